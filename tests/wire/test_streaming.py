"""Streams of events and lists of runs: what is read of them, and which error each way of breaking off raises."""

from __future__ import annotations

import asyncio
import gzip
import time
from contextlib import aclosing

import pytest

from parallel_frames._model import OtherEvent, RunEvent
from parallel_frames._service import possible_inputs
from parallel_frames.errors import (
    AuthenticationError,
    ProtocolError,
    RateLimitError,
    RejectedError,
    UnavailableError,
)
from parallel_frames.simulator import Simulator, faults

EVENTS = [
    {"type": "task_group_status", "event_id": "e0", "status": {}},
    *({"type": "task_run.state", "event_id": f"e{n}", "run": {"run_id": f"r{n}", "status": "failed"}} for n in (1, 2)),
]
PAGE = b"<!doctype html><title>Welcome</title>"


async def read_events(session, last_event_id=None):
    """Return all events of a stream that ends."""
    return await events_of(session, "tgrp_1", last_event_id=last_event_id)


async def events_of(session, group_id, last_event_id=None):
    """Return all events of a group's stream that ends."""
    async with aclosing(session.stream_events(group_id, last_event_id=last_event_id)) as bursts:
        return [event async for burst in bursts for event in burst]


async def read_list(session, **asked):
    """Return all runs of a list that ends."""
    asked = {"include_input": False, "include_output": True, **asked}
    async with aclosing(session.list_runs("tgrp_1", **asked)) as runs:
        return [run async for run in runs]


def ids(events):
    """Return which events these are."""
    return [event.event_id for event in events]


async def broken(read, kind, **asked):
    """Read until the expected error; return what came before it, and the error."""
    got = []

    async def read_all():
        async with aclosing(read(**asked)) as events:
            async for event in events:
                got.extend([event] if isinstance(event, RunEvent) else event)  # what came before the error counts

    with pytest.raises(kind) as caught:
        await read_all()
    return ids(got), caught.value


# -- events --------------------------------------------------------------------------------------------------------


async def test_a_stream_is_read_to_its_end(wire):
    """Events come in order, with outputs asked for, at the group's path."""
    async with wire.session(wire.chunked(wire.sse(*EVENTS))) as (session, server):
        events = await read_events(session)
        assert ids(events) == ["e0", "e1", "e2"]
        assert [type(event) for event in events] == [OtherEvent, RunEvent, RunEvent]
        (seen,) = server.seen
    assert (seen.method, seen.path) == ("GET", "/v1/tasks/groups/tgrp_1/events")
    assert seen.query == {"include_output": "true"}
    assert seen.headers["accept"].startswith("text/event-stream")
    assert seen.headers["x-api-key"] == wire.KEY


async def test_a_stream_resumes_at_its_cursor(wire):
    """The last event's id is what the next stream begins after, whatever characters it holds."""
    async with wire.session(wire.chunked(b"")) as (session, server):
        assert await read_events(session, last_event_id="a&b=c d/é+1") == []
        assert server.seen[0].query == {"include_output": "true", "last_event_id": "a&b=c d/é+1"}


async def test_events_are_there_as_soon_as_they_are_sent(wire):
    """Nothing waits for the next event, or for the end."""
    async with wire.session([wire.endless() + wire.sse(EVENTS[0]), wire.HANG]) as (session, _):
        events = session.stream_events("tgrp_1", last_event_id=None)
        assert ids(await asyncio.wait_for(anext(events), 1.0)) == ["e0"]
        await events.aclose()


@pytest.mark.parametrize(
    "kind", ["text/event-stream", "text/event-stream; charset=utf-8", "Text/Event-Stream", "text/event-stream;foo"]
)
async def test_any_spelling_of_the_media_type_is_a_stream(wire, kind):
    """Parameters and capitals are no other type."""
    async with wire.session(wire.chunked(wire.sse(*EVENTS), kind=kind)) as (session, _):
        assert ids(await read_events(session)) == ["e0", "e1", "e2"]


async def test_a_compressed_stream_is_read(wire):
    """A proxy that compresses changes nothing."""
    body = gzip.compress(wire.sse(*EVENTS))
    answer = wire.endless().replace(b"\r\n\r\n", b"\r\ncontent-encoding: gzip\r\n\r\n") + body
    async with wire.session(answer) as (session, _):
        assert ids(await read_events(session)) == ["e0", "e1", "e2"]


async def test_a_malformed_event_is_one_and_not_the_end(wire):
    """The stream continues after what cannot be read."""
    body = wire.sse(EVENTS[0]) + b"data: {\n\n" + wire.sse(EVENTS[1])
    async with wire.session(wire.chunked(body)) as (session, _):
        events = await read_events(session)
    assert ids(events) == ["e0", None, "e1"]
    assert events[1] == OtherEvent("malformed", None, "'{'")


async def test_an_error_event_is_an_event(wire):
    """The stream's own trouble is an event with the service's reference, and is not raised."""
    error = {"type": "error", "error": {"ref_id": "ref_1", "message": "lost my place"}}
    async with wire.session(wire.chunked(wire.sse(error, EVENTS[1]))) as (session, _):
        first, second = await read_events(session)
    assert first == OtherEvent("error", None, "lost my place [reference ref_1]")
    assert second.event_id == "e1"


CUTS = {
    "chunks without end": lambda wire, body: [wire.chunked(body, end=False), 0.05, wire.CLOSE],
    "reset": lambda wire, body: [wire.chunked(body, end=False), 0.05, wire.RESET],
    "shorter than announced": lambda wire, body: [
        wire.endless().replace(b"close", b"close\r\ncontent-length: 9999") + body
    ],
    "broken chunk": lambda wire, body: [wire.chunked(body, end=False), 0.05, b"xyz\r\n", 0.05],
}


@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("stream", ["events", "list"])
async def test_a_cut_is_unavailable_after_what_came_whole(wire, name, stream):
    """Events before the cut are handed out, half an event is not, and then the cut is raised."""
    asked = {"last_event_id": None} if stream == "events" else {"include_input": False, "include_output": False}
    if (name, stream, wire.transport) == ("broken chunk", "list", "aiohttp"):
        pytest.skip("as events, and takes four seconds")
    script = CUTS[name](wire, wire.sse(*EVENTS[1:]) + b'data: {"type"')
    async with wire.session(script, request_timeout=0.001) as (session, _):
        read = session.stream_events if stream == "events" else session.list_runs
        got, error = await broken(read, UnavailableError, group_id="tgrp_1", **asked)
    assert got == ["e1", "e2"]
    assert error.group_id == "tgrp_1"
    assert "The stream from 127.0.0.1" in str(error)
    assert "was cut (" in str(error)


async def test_a_close_that_looks_like_an_end_ends_the_stream(wire):
    """Where nothing marks the end, a close is one; half an event is dropped."""
    answer = wire.endless() + wire.sse(*EVENTS) + b'data: {"type"'
    async with wire.session(answer) as (session, _):
        assert ids(await read_events(session)) == ["e0", "e1", "e2"]


async def test_silence_is_unavailable(wire):
    """A stream without a byte for as long as a request may take is given up, after what had come."""
    began = time.monotonic()
    script = [wire.endless() + wire.sse(EVENTS[1]), wire.HANG]
    async with wire.session(script, request_timeout=0.001) as (session, _):
        got, error = await broken(session.stream_events, UnavailableError, group_id="tgrp_1", last_event_id=None)
    assert got == ["e1"]
    assert "(ReadTimeout)" in str(error)
    assert time.monotonic() - began < 4


async def test_keep_alives_are_no_silence(wire):
    """Comments keep a stream open for as long as they come."""
    beats = [b": keep-alive\n\n", 1.2] * 2
    script = [wire.endless(), *beats, wire.sse(EVENTS[1])]
    async with wire.session(script, request_timeout=0.001) as (session, _):
        assert ids(await read_events(session)) == ["e1"]


@pytest.mark.parametrize("read", [read_events, read_list], ids=["events", "list"])
async def test_a_page_is_no_stream(wire, read):
    """HTML under 200 is another server, quoted shortly."""
    async with wire.session(wire.reply(200, PAGE * 500, "text/html")) as (session, _):
        with pytest.raises(ProtocolError, match="Expected an event stream, got text/html: '<!doctype html>") as caught:
            await read(session)
    assert len(str(caught.value)) < 400


async def test_no_media_type_is_no_stream(wire):
    """An answer without a content type is not read as events."""
    async with wire.session(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok") as (session, _):
        with pytest.raises(ProtocolError, match="got no content type: 'ok'"):
            await read_events(session)


@pytest.mark.parametrize("read", [read_events, read_list], ids=["events", "list"])
@pytest.mark.parametrize("status", [200, 503])
async def test_a_page_without_end_is_left_at_once(wire, read, status):
    """Of what is not the service, no more is read than a message needs."""
    script = [wire.endless("text/html", status), *[b"<p>padding" * 10_000] * 2000]
    async with wire.session(script) as (session, server):
        with pytest.raises((ProtocolError, UnavailableError), match="padding"):
            await read(session)
        assert server.sent < 50 * 2**20


async def test_an_error_that_breaks_off_is_still_that_error(wire):
    """The status counts, though its text did not come whole."""
    async with wire.session([wire.reply(401, b"x" * 100)[:-50], wire.RESET]) as (session, _):
        with pytest.raises(AuthenticationError):
            await read_events(session)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, AuthenticationError),
        (403, AuthenticationError),
        (404, RejectedError),
        (422, RejectedError),
        (429, RateLimitError),
        (408, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
        (204, UnavailableError),
        (302, ProtocolError),
        (307, ProtocolError),
    ],
)
@pytest.mark.parametrize("read", [read_events, read_list], ids=["events", "list"])
async def test_a_refused_stream_is_its_statuss_error(wire, read, status, kind):
    """It is asked for once: the reader decides when to try again."""
    body = b"" if status == 204 else {"error": {"message": "no", "ref_id": "ref_1"}}
    async with wire.session(wire.reply(status, body)) as (session, server):
        with pytest.raises(kind) as caught:
            await read(session)
        assert len(server.seen) == 1
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.group_id) == (status, "tgrp_1")


async def test_an_event_without_end_is_an_error_of_ours(wire):
    """A line that never ends is left at a bound."""
    script = [wire.endless() + wire.sse(EVENTS[1]) + b"data: ", *[b"x" * 2**22] * 60]
    async with wire.session(script) as (session, server):
        got, error = await broken(session.stream_events, ProtocolError, group_id="tgrp_1", last_event_id=None)
        assert server.sent < 120 * 2**20
    assert got == ["e1"]
    assert "an event of more than 67,108,864 bytes" in str(error)


async def test_a_deep_event_is_malformed(wire):
    """A hundred thousand brackets are an event that cannot be read, and the stream continues."""
    body = b"data: " + b"[" * 100_000 + b"\n\n" + wire.sse(EVENTS[1])
    async with wire.session(wire.chunked(body)) as (session, _):
        assert ids(await read_events(session)) == [None, "e1"]


async def test_a_reader_may_leave(wire):
    """Closing a stream in the middle closes its connection, and the session stays usable."""
    async with wire.session([wire.endless() + wire.sse(*EVENTS), wire.HANG], wire.chunked(b"")) as (session, server):
        async with aclosing(session.stream_events("tgrp_1", last_event_id=None)) as events:
            await anext(events)
        assert await read_events(session) == []
        assert len(server.seen) == 2


# -- lists ---------------------------------------------------------------------------------------------------------


async def test_a_list_is_read_as_a_stream(wire):
    """Runs alone are handed out, with what was asked for and nothing else."""
    async with wire.session(wire.chunked(wire.sse(*EVENTS))) as (session, server):
        assert ids(await read_list(session, include_input=True, include_output=False)) == ["e1", "e2"]
        (seen,) = server.seen
    assert (seen.path, seen.query) == ("/v1/tasks/groups/tgrp_1/runs", {"include_input": "true"})


async def test_a_list_is_read_as_json(wire):
    """Where a deployment lists runs as one document, it is the same list."""
    runs = {"runs": [{"run_id": "r1", "status": "pending"}, {"run": {"run_id": "r2", "status": "failed"}}]}
    async with wire.session(wire.reply(200, runs, "application/json; charset=utf-8")) as (session, _):
        assert [(run.run_id, run.status) for run in await read_list(session)] == [("r1", "queued"), ("r2", "failed")]


@pytest.mark.parametrize("event", [b"{", b'{"type":"task_run.state"}', b'{"type":"task_run.state","run":null}'])
async def test_an_entry_that_cannot_be_read_hides_no_other(wire, event):
    """It stands in the list as one that cannot be read."""
    body = wire.sse(EVENTS[1]) + b"data: " + event + b"\n\n" + wire.sse(EVENTS[2])
    async with wire.session(wire.chunked(body)) as (session, _):
        first, odd, last = await read_list(session)
    assert (first.run_id == last.run_id, odd.status) == (False, "unreadable")


async def test_a_list_with_an_error_in_it_is_not_whole(wire):
    """An error makes a list unfit to conclude absence from."""
    event = b'{"type": "error", "error": {"message": "odd"}}'
    body = wire.sse(EVENTS[1]) + b"data: " + event + b"\n\n" + wire.sse(EVENTS[2])
    async with wire.session(wire.chunked(body)) as (session, _):
        asked = {"group_id": "tgrp_1", "include_input": False, "include_output": False}
        got, error = await broken(session.list_runs, UnavailableError, **asked)
    assert got == ["e1"]
    assert "The list of runs broke off" in str(error)


@pytest.mark.parametrize("body", [b'[{"run_id": "r1", "st', b'{"more": true}', b"", b"[" * 100_000])
async def test_a_json_list_that_cannot_be_read_is_no_list(wire, body):
    """Torn, odd or empty: nothing may be concluded from it."""
    async with wire.session(wire.reply(200, body)) as (session, _):
        with pytest.raises(ProtocolError, match="The list of runs: expected"):
            await read_list(session)


async def test_a_json_list_that_is_cut_is_unavailable(wire):
    """A connection that breaks within the document is a cut."""
    async with wire.session([wire.reply(200, b"[" + b" " * 100)[:-50], wire.RESET]) as (session, _):
        with pytest.raises(UnavailableError, match="was cut"):
            await read_list(session)


# -- the simulator ---------------------------------------------------------------------------------------------------


DISGUISES = {
    "plain": [],
    "CRLF": [faults.line_ends("\r\n")],
    "CR": [faults.line_ends("\r")],
    "a mark": [faults.byte_order_mark()],
    "dressed": [faults.dressed()],
    "bytes": [faults.pieces(1)],
    "all at once": [faults.dressed(), faults.line_ends("\r\n"), faults.byte_order_mark(), faults.pieces(3)],
    "odd text": [faults.odd_text()],
    "huge": [faults.huge_events(size=3_000_000)],
}


@pytest.mark.parametrize("name", DISGUISES)
async def test_lawful_streams_of_every_look_are_the_same_stream(wire, name):
    """Line ends, marks, other fields, tiny pieces and huge events change nothing of what is read."""
    options = {"latency": 0.05, "speed": 10, "seed": 7, "events_honour_include_output": True}
    with Simulator(faults=DISGUISES[name], **options) as sim:
        async with wire.client(sim.url).session() as session:
            group_id = await session.create_group(wire.JOB, metadata={})
            posted = await session.add_runs(group_id, job=wire.JOB, runs=wire.RUNS)
            events = await events_of(session, group_id)
            async with aclosing(session.list_runs(group_id, include_input=True, include_output=True)) as stream:
                listed = [run async for run in stream]
    runs = [event for event in events if isinstance(event, RunEvent)]
    assert {event.type for event in events if isinstance(event, OtherEvent)} <= {"task_group_status"}
    assert {run.run_id for run in runs} == {run.run_id for run in listed} == set(posted.run_ids)
    assert all(run.status == "completed" and run.output for run in [*runs, *listed])
    assert sorted(run.metadata["key"] for run in listed) == [run.metadata["key"] for run in wire.RUNS]
    assert sorted(possible_inputs(run)[-1]["country"] for run in listed) == ["0", "1"]


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("mid_event", [False, True])
async def test_the_simulators_cuts_are_cuts(wire, how, mid_event):
    """After a cut, resuming at the cursor brings what was missing, and nothing twice."""
    cut = faults.cut_stream(after=1, how=how, mid_event=mid_event, nth=1)
    with Simulator(faults=[cut], latency=0, status_every=1000) as sim:
        async with wire.client(sim.url).session() as session:
            group_id = await session.create_group(wire.JOB, metadata={})
            await session.add_runs(group_id, job=wire.JOB, runs=wire.RUNS)
            asked = {"group_id": group_id, "last_event_id": None}
            first, _ = await broken(session.stream_events, UnavailableError, **asked)
            rest = ids(await events_of(session, group_id, last_event_id=first[-1]))
            whole = ids([event for event in await events_of(session, group_id) if isinstance(event, RunEvent)])
    assert len(first) == 1
    assert [each for each in [*first, *rest] if each in whole] == whole
