"""The two event streams of a group: its events as they happen, and the listing of its runs.

Owns cursors, events and server-sent frames; yields lists of frames, many at a time when there is a backlog. Knows
nothing of faults, which wrap these iterators.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Literal

import orjson

from ._records import TERMINAL, dump

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from ._records import Group, Run
    from ._service import Service

CHUNK = 250  # events in one chunk at most
KEEP_ALIVE = b": keep-alive\n\n"


def cursor_at(kind: Literal["evt", "lst"], group: Group, position: int) -> str | None:
    """Return the id of an event, of the log or of the listing, by its position from 1; None before the first."""
    return f"{kind}_{group.group_id.removeprefix('tgrp_')}_{position}" if position else None


def read_cursor(kind: Literal["evt", "lst"], group: Group, cursor: str, *, length: int) -> int | None:
    """Return the position a cursor stands for, or None if it isn't one of this sequence."""
    digits = cursor.rpartition("_")[2]
    position = int(digits) if digits.isascii() and digits.isdigit() else 0
    return position if 0 < position <= length and cursor == cursor_at(kind, group, position) else None


def frame(data: bytes) -> bytes:
    return b"data: %b\n\n" % data


def open_run_event(event_id: str | None, state: bytes) -> bytes:
    """Return a run's event up to its state, without the closing brace: what follows depends on the reader."""
    return b'{"type":"task_run.state","event_id":%b,"run":%b' % (orjson.dumps(event_id), state)


def close_run_event(service: Service, head: bytes, run: Run, *, with_input: bool, with_output: bool) -> bytes:
    shown_input = b',"input":%b' % _shown_input(service, run) if with_input else b""
    output = b',"output":%b' % run.output if with_output and run.output is not None else b""
    return b"%b%b%b}" % (head, shown_input, output)


def _shown_input(service: Service, run: Run) -> bytes:
    """Return a run's input as its dialect echoes it."""
    settings = service.settings
    if run.group is None or not run.group.seed_dialect:
        return dump(run.body)
    if settings.seed_input_as == "bare":
        return dump(run.input)
    return dump(run.body if settings.seed_echo_metadata else {"input": run.input})


async def follow_events(
    service: Service, group: Group, *, position: int, with_input: bool, with_output: bool, until: float
) -> AsyncIterator[list[bytes]]:
    """Yield a group's events from a position of its log on, until no run is active or the time is over."""
    clock, keep_alive = service.clock, service.settings.keep_alive
    while True:
        events = group.log[position : position + CHUNK]
        position += len(events)
        if events:
            service.totals["events"] += len(events)
            shown = {"with_input": with_input, "with_output": with_output}
            yield [frame(head if run is None else close_run_event(service, head, run, **shown)) for head, run in events]
            continue
        now = clock.now()
        if not group.active or now >= until:
            return
        await group.waiters.wait(clock.wall(min(keep_alive, until - now)))
        if position == len(group.log) and clock.now() >= now + keep_alive:
            yield [KEEP_ALIVE]


def listed_events(
    service: Service, runs: Iterable[tuple[int, Run]], *, with_input: bool, with_output: bool
) -> Iterator[bytes]:
    for position, run in runs:
        cursor = None if run.group is None else cursor_at("lst", run.group, position)
        head = open_run_event(cursor, service.state_of(run))
        shows_output = with_output and run.status in TERMINAL
        yield close_run_event(service, head, run, with_input=with_input, with_output=shows_output)


async def stream_listing(service: Service, events: Iterator[bytes]) -> AsyncIterator[list[bytes]]:
    while chunk := [frame(event) for event in islice(events, CHUNK)]:
        service.totals["events"] += len(chunk)
        yield chunk
