"""Faults of event streams: they do what they are documented to do, and nothing else."""

from __future__ import annotations

import time

import httpx
import orjson
import pytest

from parallel_frames.simulator import faults

RUNS = 20


@pytest.fixture
def streamed(simulate):
    """Give a function that returns a caller and a group with 20 finished runs."""

    def start(*trouble):
        caller = simulate(latency=0, faults=trouble, status_every=float("inf"))
        group = caller.create_group()
        caller.add(group, *map(str, range(RUNS))).raise_for_status()
        caller.sim.wait_until(lambda counts: counts.completed == RUNS)
        return caller, group

    return start


@pytest.mark.parametrize("leaf", ["events", "runs"])
@pytest.mark.parametrize("how", ["end", "close", "reset"])
@pytest.mark.parametrize("mid_event", [False, True])
def test_streams_are_cut(streamed, leaf, how, mid_event):
    """After five events, at a border or in mid-event, like an end, a close or a reset."""
    on = "events" if leaf == "events" else "list_runs"
    caller, group = streamed(faults.cut_stream(after=5, how=how, mid_event=mid_event, on=on))
    errors = {"end": None, "close": httpx.RemoteProtocolError, "reset": httpx.ReadError}
    data, error = b"", None
    with caller.http.stream("GET", f"/v1/tasks/groups/{group}/{leaf}") as response:
        try:
            for chunk in response.iter_raw():
                data += chunk
        except httpx.TransportError as caught:
            error = type(caught)
    assert error is errors[how]
    assert data.count(b"\n\n") == 5
    assert data.endswith(b"\n\n") is not mid_event


def test_a_cut_stream_resumes(streamed):
    """What one stream lost the next one has, and only the streams asked for are cut."""
    caller, group = streamed(faults.cut_stream(after=7, nth={1, 2}))
    seen, cursor = [], None
    for expected in (7, 7, RUNS + 1 - 14):
        events = caller.events(group, **({"last_event_id": cursor} if cursor else {}))
        assert len(events) == expected
        cursor = events[-1]["event_id"]
        seen += events
    assert len({event["event_id"] for event in seen}) == RUNS + 1


@pytest.mark.parametrize("after", [0, 3])
def test_streams_fall_silent(streamed, after):
    """Nothing comes any more, and nothing ends."""
    caller, group = streamed(faults.silent_stream(after=after))
    caller.http.timeout = 0.3
    start = time.monotonic()
    assert len(caller.events(group)) == after
    assert time.monotonic() - start > 0.25


def test_events_are_repeated_lost_and_shuffled(streamed):
    """Repeated ones are equal, lost ones are still listed, shuffled ones are all there."""
    caller, group = streamed(
        faults.repeat_events(times=2, events=1, nth=1),
        faults.lose_events(events=range(1, 11), nth=2),
        faults.shuffle_events(within=8, nth=3),
    )
    repeated, lost, shuffled = (caller.events(group) for _ in range(3))
    assert len(repeated) == RUNS + 3
    assert repeated[0] == repeated[1] == repeated[2] != repeated[3]
    assert len(lost) == RUNS + 1 - 10
    assert len(caller.events(group, "runs")) == RUNS
    assert shuffled != caller.events(group)
    assert sorted(e["event_id"] for e in shuffled) == sorted(e["event_id"] for e in caller.events(group))


def test_a_share_of_the_events_is_lost(streamed):
    """By chance, drawn from the seed."""
    caller, group = streamed(faults.lose_events(share=0.5))
    assert 3 < len(caller.events(group)) < 18


def test_malformed_events_are_broken_and_others_are_not(streamed):
    """The broken one is no JSON; the rest is untouched."""
    caller, group = streamed(faults.malform_events(events=2))
    lines = [line.removeprefix(b"data: ") for line in caller.raw(group).split(b"\n\n")[:-1]]
    assert len(lines) == RUNS + 1
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(lines[1])
    assert {orjson.loads(line)["type"] for n, line in enumerate(lines) if n != 1} >= {"task_run.state"}


def test_huge_events_are_huge_and_valid(streamed):
    """A megabyte more, in a field no client knows."""
    caller, group = streamed(faults.huge_events(size=1_000_000))
    data = caller.raw(group)
    assert len(data) > 1_000_000
    assert orjson.loads(data.split(b"\n\n")[0].removeprefix(b"data: "))["run"]["status"] == "completed"


def test_inserted_events(streamed):
    """An error event by default, or any other, before the events named."""
    caller, group = streamed(
        faults.insert_event(before=3, nth=1), faults.insert_event({"type": "brand.new", "event_id": None}, nth=2)
    )
    first, second = caller.events(group), caller.events(group)
    assert [event["type"] for event in first].index("error") == 2
    assert first[2]["error"]["message"]
    assert second[0]["type"] == "brand.new"


@pytest.mark.parametrize("ends", ["\r\n", "\r"])
def test_line_ends(streamed, ends):
    """CRLF or CR everywhere, in streams and listings."""
    caller, group = streamed(faults.line_ends(ends))
    for leaf in ("events", "runs"):
        data = caller.raw(group, leaf)
        assert data.count(ends.encode() * 2) >= RUNS
        assert data.count(b"\n") == (0 if ends == "\r" else data.count(b"\r\n"))


def test_byte_order_marks_and_dressed_events(streamed):
    """Both are valid server-sent events with the same content."""
    caller, group = streamed(faults.dressed(nth=1), faults.byte_order_mark(nth=2))
    dressed, marked, plain = caller.raw(group), caller.raw(group), caller.raw(group)
    assert marked == b"\xef\xbb\xbf" + plain
    block = dressed.split(b"\n\n")[0].split(b"\n")
    assert {line.split(b":")[0] for line in block} == {b"retry", b"", b"id", b"event", b"data"}
    body = b"\n".join(line.removeprefix(b"data:") for line in block if line.startswith(b"data:"))
    assert orjson.loads(body)["run"]["status"] == "completed"


def test_one_byte_chunks(streamed):
    """Every byte comes in a chunk of its own, and all of them come."""
    caller, group = streamed(faults.pieces(1, nth=1, on="events"))
    assert caller.raw(group) == caller.raw(group)


def test_faults_stand_around_each_other(streamed):
    """The first is next to the events: what it repeats, the second cuts."""
    caller, group = streamed(faults.repeat_events(events=1), faults.cut_stream(after=2))
    first, second = caller.events(group)
    assert first == second
    assert caller.sim.counts.faults == 2


def test_live_events_are_bent_too(simulate):
    """Faults work on streams that wait for their events."""
    caller = simulate(latency=(0.05, 0.4), faults=[faults.repeat_events(), faults.shuffle_events(within=5)])
    group = caller.create_group()
    caller.add(group, *map(str, range(10)))
    events = caller.outcomes(group)
    assert len(events) == 20
    assert len({event["run"]["run_id"] for event in events}) == 10
