"""Adding runs: sent once, never again, and what each possible answer proves."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import time
from dataclasses import replace
from email.utils import formatdate

import pytest

from parallel_frames._model import Accepted, Ambiguous, Options, Refused
from parallel_frames.errors import (
    AuthenticationError,
    CreditError,
    RateLimitError,
    RejectedError,
    UnavailableError,
)
from parallel_frames.simulator import Simulator, faults

IDS = ["trun_1", "trun_2"]
FULL = {"run_ids": IDS, "status": {}, "run_cursor": None, "event_cursor": None}
TEXT = json.dumps(FULL).encode()
PAGE = b"<!doctype html><title>Bad gateway</title>"


async def post(wire, *script, **options):
    """Send one batch to a server of this script; return what it proves, and how often it was sent."""
    async with wire.session(*script, **options) as (session, server):
        posted = await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS)
        return posted, len(server.seen)


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_a_full_receipt_is_accepted(wire, status):
    """As many distinct ids as were sent, under any status of success, are the runs in the order sent."""
    posted, times = await post(wire, wire.reply(status, FULL))
    assert (posted, times) == (Accepted(IDS), 1)


async def test_what_is_sent(wire):
    """One POST to the group's runs, without a status refresh, with the key, JSON, and the beta headers of the job."""
    job = replace(wire.JOB, options=Options(beta_headers=("field-basis-2025-11-25", "mcp-server-2025-07-17")))
    async with wire.session(wire.reply(200, FULL)) as (session, server):
        await session.add_runs("tgrp_1", job=job, runs=wire.RUNS)
        (seen,) = server.seen
    assert (seen.method, seen.path, seen.query) == ("POST", "/v1/tasks/groups/tgrp_1/runs", {"refresh_status": "false"})
    assert seen.headers["x-api-key"] == wire.KEY
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["parallel-beta"] == "field-basis-2025-11-25,mcp-server-2025-07-17"
    assert [run["input"] for run in json.loads(seen.body)["inputs"]] == [{"country": "0"}, {"country": "1"}]


async def test_the_seed_is_asked_at_its_own_path(wire):
    """Under /v1beta, without a query, with runs."""
    async with wire.session(wire.reply(200, FULL), api="seed") as (session, server):
        assert await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS) == Accepted(IDS)
        (seen,) = server.seen
    assert seen.target == "/v1beta/tasks/groups/tgrp_1/runs"
    assert json.loads(seen.body).keys() == {"runs"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RejectedError),
        (401, AuthenticationError),
        (402, CreditError),
        (403, AuthenticationError),
        (404, RejectedError),
        (422, RejectedError),
        (429, RateLimitError),
        *((status, RejectedError) for status in (405, 407, *range(409, 419), 421, 431, 451)),
    ],
)
@pytest.mark.parametrize("body", ["error", "html", "nothing"])
async def test_statuses_that_prove_nothing_was_created(wire, status, kind, body):
    """The service's refusals and its gateways', whatever their body is, carry the error to raise, and its facts."""
    error = {"type": "error", "error": {"ref_id": "ref_1", "message": "no, thanks."}}
    content = {"error": error, "html": PAGE, "nothing": b""}[body]
    posted, times = await post(wire, wire.reply(status, content))
    assert isinstance(posted, Refused)
    assert times == 1
    assert (posted.status, posted.retry_after) == (status, None)
    assert type(posted.error) is kind
    assert (posted.error.status, posted.error.group_id) == (status, "tgrp_1")
    if body == "error":
        assert posted.error.ref_id == "ref_1"
        assert "no, thanks." in str(posted.error)


async def test_a_422_says_what_is_wrong_where(wire):
    """The message has the place and the text of each of the service's findings."""
    detail = [{"loc": ["body", "inputs", 0, "input"], "msg": "too long", "type": "x"}, {"loc": None, "msg": 5}, "odd"]
    posted, _ = await post(wire, wire.reply(422, {"detail": detail}))
    assert "(422): body.inputs.0.input: too long; : refused; odd." in str(posted.error)


@pytest.mark.parametrize("body", [{"detail": "Not Found"}, {"error": "odd"}, {"error": {"message": {"a": [1]}}}, [], 5])
async def test_an_error_of_any_shape_has_a_message(wire, body):
    """No body makes another exception than the one it is about."""
    posted, _ = await post(wire, wire.reply(400, body))
    assert str(posted.error).startswith("The service refuses the request (400): ")


@pytest.mark.parametrize(
    "body",
    [
        {"error": "no luck."},
        {"message": "no luck"},
        {"errors": [{"message": "no luck"}]},
        {"errors": ["no luck"]},
        {"errors": "no luck"},
        {"errors": [{"detail": "no luck"}]},
        {"error": {"errors": [{"msg": "no luck"}]}},
        {"error": {"message": None}, "message": "no luck"},
        {"detail": "no luck"},
        {"detail": {"message": "no luck"}},
        {"error": {"detail": "no luck"}},
        {"title": "Bad request", "detail": "no luck"},
        [{"message": "no luck"}],
        {"type": "error", "error": {"code": 5}, "message": "no luck"},
        {"error": True, "message": "no luck"},
        "no luck",
    ],
)
async def test_the_text_of_an_error_is_found_wherever_gateways_put_it(wire, body):
    """Bare messages, texts as errors and lists of errors say what is wrong."""
    posted, _ = await post(wire, wire.reply(400, body))
    assert "(400): no luck. " in f"{posted.error} "


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("999999", 3600.0),
        ("inf", 3600.0),
        ("nan", None),
        ("soon", None),
        ("", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3600.0),
        ("Thu, 01 Jan 0001 00:00:00", None),
        ("Mon, 99 Foo 2020 99:99:99 GMT", None),
    ],
)
async def test_a_retry_after_is_understood_or_ignored(wire, header, seconds):
    """Seconds and dates, none negative, none beyond an hour; what is neither is as if it was not there."""
    posted, _ = await post(wire, wire.reply(429, b"", retry_after=header))
    assert isinstance(posted, Refused)
    if header.startswith("Thu, 01 Jan 0001"):
        assert posted.retry_after in (None, 0.0)  # a year that some systems' clocks don't know
    else:
        assert posted.retry_after == seconds


async def test_a_retry_after_in_the_future_counts_from_now(wire):
    """A date is turned into the seconds until it comes."""
    posted, _ = await post(wire, wire.reply(429, b"", retry_after=formatdate(time.time() + 20, usegmt=True)))
    assert 18 <= posted.retry_after <= 20


AMBIGUOUS = {
    "torn JSON": lambda wire: [wire.endless("application/json") + TEXT[:20]],
    "shorter than announced": lambda wire: [wire.reply(200, FULL)[:-10], wire.RESET],
    "shorter than announced, closed": lambda wire: [
        wire.endless("text/x").replace(b"close", b"close\r\ncontent-length: 99")
    ],
    "one id too few": lambda wire: wire.reply(200, {"run_ids": IDS[:1]}),
    "one id too many": lambda wire: wire.reply(200, {"run_ids": [*IDS, "trun_3"]}),
    "one id twice": lambda wire: wire.reply(200, {"run_ids": ["trun_1", "trun_1"]}),
    "no ids": lambda wire: wire.reply(200, {"status": "accepted"}),
    "ids of null": lambda wire: wire.reply(200, {"run_ids": [None, None]}),
    "a list": lambda wire: wire.reply(200, IDS),
    "HTML": lambda wire: wire.reply(200, PAGE, "text/html"),
    "nothing": lambda wire: wire.reply(200),
    "accepted without ids": lambda wire: wire.reply(202, {}),
    "no content": lambda _: b"HTTP/1.1 204 No Content\r\n\r\n",
    "deep JSON": lambda wire: wire.reply(200, b"[" * 100_000),
    "broken compression": lambda wire: wire.reply(200, b"not gzip", content_encoding="gzip"),
    "cut compression": lambda wire: wire.reply(200, gzip.compress(TEXT)[:30], content_encoding="gzip"),
    "no HTTP": lambda wire: [b"220 smtp.example.org ESMTP\r\n", wire.RESET],
    "closed before the answer": lambda _: [b"HTTP/1.1 200 OK\r\nconnection: close"],
    "reset before the answer": lambda wire: [wire.RESET],
    "reset in the headers": lambda wire: [b"HTTP/1.1 200 OK\r\ncontent-type: app", wire.RESET],
    "reset in the body": lambda wire: [wire.endless("application/json") + TEXT[:20], 0.05, wire.RESET],
}
AMBIGUOUS |= {f"HTTP {n}": lambda wire, n=n: wire.reply(n, FULL) for n in (406, 408, 419, 423, 425, 499)}
AMBIGUOUS |= {f"HTTP {n}": lambda wire, n=n: wire.reply(n, FULL) for n in (500, 501, 502, 503, 504, 520, 599)}
AMBIGUOUS |= {f"HTTP {n}": lambda wire, n=n: wire.reply(n, FULL) for n in (300, 301, 302, 303, 305, 307, 308)}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_everything_else_is_ambiguous(wire, name):
    """What is neither a full receipt nor a proof has a reason, and nothing is sent a second time."""
    script = AMBIGUOUS[name](wire)
    posted, times = await post(wire, script)
    assert isinstance(posted, Ambiguous), posted
    assert times == 1
    assert 10 < len(posted.reason) < 400
    if name.startswith("HTTP"):
        assert name in posted.reason


async def test_an_answer_that_does_not_come_in_time_is_ambiguous(wire):
    """Silence, half an answer and one that drips: a request's time is over, two seconds of the wall at least."""
    half = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"
    drip = [wire.endless("application/json"), *[b" ", 0.2] * 100]
    began = time.monotonic()
    scripts = ([wire.HANG], [half, wire.HANG], drip)
    for posted, times in await asyncio.gather(*(post(wire, script, request_timeout=0.001) for script in scripts)):
        assert isinstance(posted, Ambiguous)
        assert times == 1
    assert 1.9 < time.monotonic() - began < 4


async def test_an_answer_without_end_is_ambiguous(wire):
    """A body is read up to a bound; a server that sends for ever is left."""
    chunk = b" " * 2**22
    script = [wire.endless("application/json"), *[chunk] * 200]
    async with wire.session(script, clock_speed=1.0) as (session, server):
        posted = await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS)
        assert posted == Ambiguous("the connection broke before the answer (ProtocolError)")
        assert server.sent < 300 * 2**20


async def test_a_refused_connection_proves_that_nothing_was_created(wire):
    """No byte left us: the runs may be sent again."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with wire.client(f"http://127.0.0.1:{port}").session() as session:
        posted = await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS)
    assert isinstance(posted, Refused)
    assert posted.status is None
    assert isinstance(posted.error, UnavailableError)
    assert f"127.0.0.1:{port} could not be reached" in str(posted.error)


async def test_an_unknown_host_proves_that_nothing_was_created(wire):
    """A name that leads nowhere is no POST."""
    async with wire.client("http://nowhere.invalid", allow_http=True).session() as session:
        posted = await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS)
    assert isinstance(posted, Refused)
    assert posted.status is None


async def test_a_redirect_is_not_followed(wire):
    """A 307 repeats neither the POST nor the key at its target."""
    async with wire.serve(wire.reply(200, FULL)) as target:
        posted, times = await post(wire, wire.reply(307, b"", location=f"{target.url}/v1/tasks/groups/tgrp_1/runs"))
        assert isinstance(posted, Ambiguous)
        assert times == 1
        assert target.seen == []


async def test_a_connection_that_was_closed_meanwhile_is_not_used(wire):
    """A server that hangs up between batches costs no doubt: the next batch takes a new connection."""
    script = [wire.reply(200, FULL), 0.0, wire.RESET]
    async with wire.session(script, wire.reply(200, FULL)) as (session, server):
        for _ in range(2):
            assert await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS) == Accepted(IDS)
            await asyncio.sleep(0.1)
        assert len(server.seen) == 2


async def test_a_cancelled_post_is_left_at_once(wire):
    """Cancelling while the answer is awaited ends the call, and sends nothing more."""
    async with wire.session([wire.HANG]) as (session, server):
        posting = asyncio.ensure_future(session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS))
        await asyncio.sleep(0.2)
        posting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await posting
        assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("fault", "kind", "created"),
    [
        (None, Accepted, 2),
        (faults.reset("add_runs"), Ambiguous, 0),
        (faults.reset("add_runs", when="after"), Ambiguous, 2),
        (faults.status(503, on="add_runs", when="after"), Ambiguous, 2),
        (faults.torn("add_runs"), Ambiguous, 2),
        (faults.few_ids(), Ambiguous, 2),
        (faults.html("add_runs", code=200, when="after"), Ambiguous, 2),
        (faults.redirect("add_runs", when="after"), Ambiguous, 2),
        (faults.rate_limited(), Refused, 0),
        (faults.status(402, on="add_runs"), Refused, 0),
        (faults.status(422, on="add_runs"), Refused, 0),
    ],
)
async def test_what_the_simulator_did_never_contradicts_the_proof(wire, fault, kind, created):
    """Accepted means created, refused means not created, and everything sent was sent once."""
    with Simulator(faults=[] if fault is None else [fault], latency=0) as sim:
        async with wire.client(sim.url).session() as session:
            group_id = await session.create_group(wire.JOB, metadata={})
            posted = await session.add_runs(group_id, job=wire.JOB, runs=wire.RUNS)
        assert isinstance(posted, kind)
        assert len(sim.runs()) == created
        assert sim.counts.posts == 1
        assert session.simulated
