"""What may be repeated, reading and opening groups: when it is tried again, when it is final; and the dialects."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

import pytest

from parallel_frames._model import GroupStatus
from parallel_frames.errors import (
    AuthenticationError,
    CreditError,
    ProtocolError,
    RateLimitError,
    RejectedError,
    ServiceError,
    UnavailableError,
)
from parallel_frames.simulator import Simulator, faults

STATUS = {"num_task_runs": 1, "task_run_status_counts": {"queued": 1}, "is_active": True}
GROUP = {"taskgroup_id": "tgrp_1", "status": STATUS}
TEXT = json.dumps(GROUP).encode()
READ = GroupStatus("tgrp_1", 1, {"queued": 1}, is_active=True)
RESULT = {"run": {"run_id": "trun_1", "status": "completed"}, "output": {"type": "text", "content": "x", "basis": []}}
PAGE = b"<!doctype html><title>Welcome</title><p>" + b"padding " * 1000


async def status_of(session):
    """Ask for a group's status."""
    return await session.group_status("tgrp_1")


TROUBLES = {
    **{str(n): lambda wire, n=n: wire.reply(n, PAGE, "text/html") for n in (408, 425, 429, 500, 502, 503, 504)},
    "reset before the answer": lambda wire: [wire.RESET],
    "reset in the answer": lambda wire: [wire.reply(200, GROUP)[:-10], wire.RESET],
    "closed before the answer": lambda _: [b"HTTP/1.1 200 OK\r\nconnection: close"],
    "no HTTP": lambda wire: [b"220 smtp.example.org ESMTP\r\n", wire.RESET],
    "torn JSON": lambda wire: wire.endless("application/json") + TEXT[:30],
    "nothing": lambda wire: wire.reply(200),
    "broken compression": lambda wire: wire.reply(200, b"not gzip", content_encoding="gzip"),
}


@pytest.mark.parametrize("name", TROUBLES)
async def test_reading_is_tried_again(wire, name):
    """After trouble on the way, twice, the third try's answer is what counts."""
    trouble = TROUBLES[name](wire)
    async with wire.session(trouble, trouble, wire.reply(200, GROUP)) as (session, server):
        assert await session.group_status("tgrp_1") == READ
        assert [seen.method for seen in server.seen] == ["GET"] * 3


@pytest.mark.parametrize("name", TROUBLES)
async def test_opening_a_group_is_tried_again(wire, name):
    """An empty group costs nothing, so even an ambiguous try is repeated, with the same body."""
    trouble = TROUBLES[name](wire)
    async with wire.session(trouble, trouble, wire.reply(200, GROUP)) as (session, server):
        assert await session.create_group(wire.JOB, metadata={"job": "h"}) == "tgrp_1"
        assert [json.loads(seen.body) for seen in server.seen] == [{"metadata": {"job": "h"}}] * 3


FINAL = {
    400: RejectedError,
    401: AuthenticationError,
    402: CreditError,
    403: AuthenticationError,
    404: RejectedError,
    405: RejectedError,
    409: RejectedError,
    422: RejectedError,
    410: RejectedError,
    501: UnavailableError,
    301: ProtocolError,
    307: ProtocolError,
}


@pytest.mark.parametrize(("status", "kind"), FINAL.items())
async def test_other_refusals_are_final(wire, status, kind):
    """Nothing that will be refused again is asked again; the error knows status, group and reference."""
    error = {"type": "error", "error": {"ref_id": "ref_1", "message": "simply no"}}
    async with wire.session(wire.reply(status, error)) as (session, server):
        with pytest.raises(ServiceError) as caught:
            await session.group_status("tgrp_1")
        assert len(server.seen) == 1
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.group_id, caught.value.ref_id) == (status, "tgrp_1", "ref_1")
    assert "(group tgrp_1) [reference ref_1]" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (503, UnavailableError, "The service failed (503): simply no"),
        (429, RateLimitError, "The service's rate limit is reached (429): simply no"),
    ],
)
async def test_trouble_that_stays_is_an_error_in_the_end(wire, status, kind, words):
    """Nine tries, then the last one's error."""
    error = {"type": "error", "error": {"ref_id": "ref_1", "message": "simply no"}}
    async with wire.session(wire.reply(status, error)) as (session, server):
        with pytest.raises(kind) as caught:
            await session.group_status("tgrp_1")
        assert len(server.seen) == 9
    assert str(caught.value).startswith(words)


async def test_a_host_that_is_not_there_is_named(wire):
    """After the last try, the message has the host and the kind of trouble."""
    async with wire.serve(b"") as server:
        url = server.url
    async with wire.client(url).session() as session:
        with pytest.raises(
            UnavailableError, match=rf"{url.removeprefix('http://')} could not be reached \(ConnectError"
        ):
            await session.group_status("tgrp_1")


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_a_retry_after_is_obeyed(wire, form):
    """The next try does not come before the service asked for it, by the client's clock."""
    advice = "40" if form == "seconds" else formatdate(time.time() + 41, usegmt=True)
    script = wire.reply(429, b"", retry_after=advice), wire.reply(200, GROUP)
    async with wire.session(*script, clock_speed=100.0) as (session, server):
        await session.group_status("tgrp_1")
        first, second = server.seen
    assert second.at - first.at >= 0.38


async def test_a_garbled_retry_after_is_no_reason_to_wait_for_ever(wire):
    """NaN and nonsense fall back to the usual wait."""
    troubles = [wire.reply(429, b"", retry_after=advice) for advice in ("nan", "soon", "inf;q=0.5", "-7")]
    async with wire.session(*troubles, wire.reply(200, GROUP)) as (session, server):
        assert await session.group_status("tgrp_1") == READ
        assert len(server.seen) == 5


@pytest.mark.parametrize("body", [TEXT[:30], b"", b"["])
async def test_an_answer_that_stays_torn_is_final_after_three_tries(wire, body):
    """It is not worth nine."""
    async with wire.session(wire.reply(200, body)) as (session, server):
        with pytest.raises(ProtocolError, match=r"is not the service, or its answer is incomplete: expected JSON"):
            await session.group_status("tgrp_1")
        assert len(server.seen) == 3


@pytest.mark.parametrize("ask", [status_of, lambda s: s.run_result("trun_1")], ids=["status", "result"])
async def test_a_page_is_final_at_once_and_quoted_shortly(wire, ask):
    """HTML under 200 is another server: one try, and an excerpt of two hundred characters."""
    async with wire.session(wire.reply(200, PAGE, "text/html")) as (session, server):
        with pytest.raises(ProtocolError) as caught:
            await ask(session)
        assert len(server.seen) == 1
    assert "<!doctype html><title>Welcome</title><p>padding" in str(caught.value)
    assert len(str(caught.value)) < 400
    assert caught.value.status == 200


@pytest.mark.parametrize("body", [{}, [], {"status": "fine"}, "text", None])
async def test_json_of_another_kind_is_final_at_once(wire, body):
    """An answer that came whole and lacks what was asked for is another service's."""
    async with wire.session(wire.reply(200, body)) as (session, server):
        with pytest.raises(ProtocolError):
            await session.group_status("tgrp_1")
        assert len(server.seen) == 1


async def test_deep_json_is_an_error_of_ours(wire):
    """A hundred thousand brackets overflow nothing, as an answer and as an error's body."""
    for script in (wire.reply(200, b"[" * 100_000 + b"]" * 100_000), wire.reply(400, b'{"error":' * 100_000)):
        async with wire.session(script) as (session, _):
            with pytest.raises((ProtocolError, RejectedError)):
                await session.group_status("tgrp_1")


async def test_a_body_without_end_is_an_error_of_ours(wire):
    """A server that sends for ever is left at a bound, and not asked again."""
    script = [wire.endless("application/json"), *[b" " * 2**22] * 200]
    async with wire.session(script, clock_speed=1.0) as (session, server):
        with pytest.raises(ProtocolError, match="An answer of more than 268,435,456 bytes"):
            await session.group_status("tgrp_1")
        assert len(server.seen) == 1


async def test_silence_is_tried_again(wire):
    """A server that hangs once is asked once more."""
    async with wire.session([wire.HANG], wire.reply(200, GROUP), request_timeout=0.001) as (session, server):
        assert await session.group_status("tgrp_1") == READ
        assert len(server.seen) == 2


async def test_a_result_is_a_run_with_its_output(wire):
    """One finished run, asked for at the published path."""
    async with wire.session(wire.reply(200, RESULT)) as (session, server):
        run = await session.run_result("trun_1")
        assert (run.run_id, run.status, run.output) == ("trun_1", "completed", RESULT["output"])
        assert server.seen[0].path == "/v1/tasks/runs/trun_1/result"


@pytest.mark.parametrize("status", [404, 408])
async def test_a_result_that_is_not_there_is_none(wire, status):
    """A run that failed, still runs, or cannot be asked for has no result, and is not asked for again."""
    async with wire.session(wire.reply(status, {"error": {"message": "no"}})) as (session, server):
        assert await session.run_result("trun_1") is None
        assert len(server.seen) == 1


async def test_a_result_that_cannot_be_had_is_an_error(wire):
    """A wrong key is not a missing result."""
    async with wire.session(wire.reply(401, b"")) as (session, _):
        with pytest.raises(AuthenticationError, match="PARALLEL_API_KEY"):
            await session.run_result("trun_1")


# -- which dialect --------------------------------------------------------------------------------------------------


def deployment(wire, **groups):
    """Return a server's script: what POST answers by version, and 404 for everything else."""

    def answer(seen):
        body = groups.get(seen.path.removesuffix("/tasks/groups").strip("/"), b"")
        return body(seen) if callable(body) else body or wire.reply(404, {"error": {"message": "no such path"}})

    return answer


async def test_published_under_v1_is_found_first(wire):
    """The live service takes one request."""
    async with wire.session(deployment(wire, v1=wire.reply(200, GROUP)), api="auto") as (session, server):
        assert session.dialect is None
        assert await session.create_group(wire.JOB, metadata={}) == "tgrp_1"
        assert session.dialect == "published"
        assert [seen.path for seen in server.seen] == ["/v1/tasks/groups"]


async def test_published_under_v1beta_only_is_found(wire):
    """An older deployment is found after one 404, and spoken to there from then on."""
    script = deployment(wire, v1beta=wire.reply(200, GROUP))
    async with wire.session(script, api="auto") as (session, server):
        await session.create_group(wire.JOB, metadata={})
        assert session.dialect == "published-v1beta"
        await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS)
        assert [seen.path for seen in server.seen] == [
            "/v1/tasks/groups",
            "/v1beta/tasks/groups",
            "/v1beta/tasks/groups/tgrp_1/runs",
        ]
        assert json.loads(server.seen[-1].body).keys() == {"default_task_spec", "inputs"}


async def test_what_a_new_group_proves_counts_more_than_what_an_old_one_looked_like(wire):
    """A host that answers for any group under both paths is spoken to where it opens a group."""

    def answer(seen):
        if seen.method == "POST":
            return wire.reply(200, GROUP if seen.path.endswith("groups") else {"run_ids": ["trun_1", "trun_2"]})
        return wire.reply(404) if seen.path.startswith("/v1/") else wire.reply(200, GROUP)

    async with wire.session(answer, api="auto") as (session, _):
        await session.group_status("tgrp_1")
        await session.create_group(wire.JOB, metadata={})
        await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS)
        assert session.dialect == "published"


async def test_the_seed_is_found_where_it_refuses_the_published_body(wire):
    """422 for a group without a spec leads to the seed's body, on the same path."""

    def seed(seen):
        return wire.reply(*((200, {"taskgroup_id": "tgrp_1"}) if b"task_spec" in seen.body else (422, {"detail": []})))

    async with wire.session(deployment(wire, v1beta=seed), api="auto") as (session, server):
        assert await session.create_group(wire.JOB, metadata={}) == "tgrp_1"
        assert session.dialect == "seed"
        assert len(server.seen) == 3


async def test_the_seed_is_found_where_it_ignores_the_published_body(wire):
    """A group without a status is not taken for the published dialect; the empty group is left behind."""
    script = deployment(wire, v1beta=wire.reply(200, {"taskgroup_id": "tgrp_1"}))
    async with wire.session(script, api="auto") as (session, server):
        await session.create_group(wire.JOB, metadata={})
        assert session.dialect == "seed"
        assert json.loads(server.seen[-1].body).keys() == {"processor", "task_spec"}


@pytest.mark.parametrize(("dialect", "found"), [("both", "published"), ("published", "published"), ("seed", "seed")])
async def test_the_simulators_dialects_are_found(wire, dialect, found):
    """Each of them, with no run created on the way."""
    with Simulator(dialect=dialect) as sim:
        async with wire.client(sim.url, api="auto").session() as session:
            await session.create_group(wire.JOB, metadata={})
            assert session.dialect == found
        assert sim.counts.runs == 0


@pytest.mark.parametrize(
    ("status", "kind"), [(401, AuthenticationError), (402, CreditError), (403, AuthenticationError)]
)
async def test_a_refused_account_is_raised_at_once(wire, status, kind):
    """Another dialect would not help."""
    async with wire.session(wire.reply(status, b""), api="auto") as (session, server):
        with pytest.raises(kind):
            await session.create_group(wire.JOB, metadata={})
        assert len(server.seen) == 1
        assert session.dialect is None


async def test_a_web_site_is_raised_at_once(wire):
    """A page under 200 is no service in any dialect."""
    async with wire.session(wire.reply(200, PAGE, "text/html"), api="auto") as (session, server):
        with pytest.raises(ProtocolError, match="is not the service"):
            await session.create_group(wire.JOB, metadata={})
        assert len(server.seen) == 1


async def test_a_web_site_that_knows_no_path_is_refused(wire):
    """404 everywhere ends in 404, after each dialect was tried."""
    async with wire.session(wire.reply(404, PAGE, "text/html"), api="auto") as (session, server):
        with pytest.raises(RejectedError, match=r"\(404\)"):
            await session.create_group(wire.JOB, metadata={})
        assert len(server.seen) == 3


async def test_the_published_words_on_a_refused_body_are_the_ones_shown(wire):
    """Where every dialect refuses, the first one's explanation is worth more than the last one's."""
    script = [wire.reply(422, {"detail": [{"loc": ["body", n], "msg": "no"}]}) for n in ("first", "second", "third")]
    async with wire.session(*script, api="auto") as (session, _):
        with pytest.raises(RejectedError, match=r"body\.first: no"):
            await session.create_group(wire.JOB, metadata={})


@pytest.mark.parametrize("api", ["published", "published-v1beta", "seed"])
async def test_a_fixed_dialect_never_falls_back(wire, api):
    """What the user fixed is what is spoken, even where it is refused."""
    async with wire.session(wire.reply(404, b""), api=api) as (session, server):
        assert session.dialect == api
        with pytest.raises(RejectedError):
            await session.create_group(wire.JOB, metadata={})
        assert len(server.seen) == 1


async def test_what_a_checkpoint_remembers_is_spoken(wire):
    """A group's dialect is not found out a second time, whatever the client would try."""
    async with wire.serve(wire.reply(200, GROUP)) as server:
        async with wire.client(server.url, api="auto").session(dialect="seed") as session:
            await session.group_status("tgrp_1")
        assert server.seen[0].path == "/v1beta/tasks/groups/tgrp_1"


async def test_a_redirected_group_is_not_followed(wire):
    """The key does not travel to where a redirect points, and the message says where that is."""
    async with wire.serve(wire.reply(200, GROUP)) as target:
        script = wire.reply(308, b"", location=f"{target.url}/v1/tasks/groups")
        async with wire.session(script, api="auto") as (session, _):
            with pytest.raises(ProtocolError, match=f"redirects to 127.0.0.1:{target.port} \\(308\\)"):
                await session.create_group(wire.JOB, metadata={})
        assert target.seen == []


@pytest.mark.parametrize("location", ["http://[::1", "http://[odd]/", "//", "/elsewhere", ""])
async def test_a_redirect_to_anywhere_is_an_error_of_ours(wire, location):
    """A target that is no address is no other exception."""
    async with wire.session(wire.reply(302, b"", location=location)) as (session, _):
        with pytest.raises((ProtocolError, UnavailableError), match=r"redirects to elsewhere \(302\)|Invalid URL"):
            await session.group_status("tgrp_1")


@pytest.mark.parametrize(
    "fault",
    [
        faults.reset("create_group", when="after", nth=1),
        faults.status(503, on="create_group", nth={1, 2}),
        faults.rate_limited("create_group", nth=1),
        faults.torn("create_group", nth=1),
    ],
)
async def test_a_group_is_opened_in_spite_of_trouble(wire, fault):
    """The simulator's trouble leaves a group that can be used, in the dialect that was tried first."""
    with Simulator(faults=[fault]) as sim:
        async with wire.client(sim.url, api="auto").session() as session:
            group_id = await session.create_group(wire.JOB, metadata={})
            assert (await session.group_status(group_id)).runs == 0
            assert session.dialect == "published"
        assert sim.group_ids[-1] == group_id


async def test_a_refused_cursor_of_a_list_keeps_its_filter(wire):
    """What is refused is given up one by one, and remembered: the cursor first, then the status, never the list."""
    whole = wire.chunked(wire.sse({"type": "task_run.state", "run": {"run_id": "a", "status": "completed"}}))
    refuse = wire.reply(422, {"detail": []})

    async def listed(session):
        asked = {"include_input": False, "include_output": True, "last_event_id": "lst_1", "completed": ["a"]}
        return [run.run_id async for run in session.list_runs("tgrp_1", **asked)]

    async with wire.session(refuse, whole, whole, refuse, whole) as (session, server):
        narrow = []
        for _ in range(3):
            assert await listed(session) == ["a"]
            narrow.append(session.narrows_lists)
    queries = [sorted(seen.query) for seen in server.seen]
    filtered, plain = ["include_output", "status"], ["include_output"]
    assert queries == [["include_output", "last_event_id", "status"], filtered, filtered, filtered, plain]
    assert narrow == [False] * 3


async def test_a_refused_cursor_of_a_whole_list_says_nothing_of_filters(wire):
    """A list that is read on from its cursor asks for no status, and a refusal of the cursor disables none."""
    whole = wire.chunked(wire.sse({"type": "task_run.state", "run": {"run_id": "a", "status": "completed"}}))
    asked = {"include_input": False, "include_output": True}
    async with wire.session(wire.reply(422, {"detail": []}), whole, whole) as (session, server):
        [run async for run in session.list_runs("tgrp_1", **asked, last_event_id="lst_1")]
        [run async for run in session.list_runs("tgrp_1", **asked, last_event_id="lst_1", completed=["a"])]
    assert [sorted(seen.query) for seen in server.seen][1:] == [["include_output"], ["include_output", "status"]]


async def test_an_error_within_a_list_of_some_runs_is_an_error(wire):
    """An event of the list's own trouble is not left out, whatever run it names."""
    trouble = wire.sse({"type": "error", "error": {"message": "trouble", "detail": {"run_id": "z"}}})
    async with wire.session(wire.chunked(trouble)) as (session, _):
        listing = session.list_runs("tgrp_1", include_input=False, include_output=True, completed=["a"])
        with pytest.raises(UnavailableError, match="trouble"):
            [run async for run in listing]
