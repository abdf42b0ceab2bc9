"""The two event streams: a group's events as they happen, and the listing of its runs.

Yields lists of finished server-sent frames, many at a time when there is a backlog. Knows nothing of faults, which
wrap these iterators.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from ._messages import dump, frame, run_cursor, run_event, run_event_head
from ._runs import TERMINAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from ._runs import Group, Run
    from ._service import Service

CHUNK = 250  # events in one chunk at most
KEEP_ALIVE = b": keep-alive\n\n"


def shown_input(service: Service, run: Run) -> bytes:
    """Return a run's input as its dialect echoes it."""
    settings = service.settings
    if run.group is None or not run.group.seed_dialect:
        return dump(run.body)
    if settings.seed_input_as == "bare":
        return dump(run.input)
    return dump(run.body if settings.seed_echo_metadata else {"input": run.input})


def render_event(service: Service, head: bytes, run: Run, *, with_input: bool, with_output: bool) -> bytes:
    """Complete a run's event with what was asked for."""
    shown = shown_input(service, run) if with_input else None
    return run_event(head, shown_input=shown, output=run.output if with_output else None)


async def follow_events(
    service: Service, group: Group, *, position: int, with_input: bool, with_output: bool, until: float
) -> AsyncIterator[list[bytes]]:
    """Yield a group's events from a position of its log on, until no run is active or the time is over."""
    clock, settings = service.clock, service.settings
    while True:
        news = group.log[position : position + CHUNK]
        position += len(news)
        if news:
            service.bump("events", len(news))
            yield [
                frame(
                    head
                    if run is None
                    else render_event(service, head, run, with_input=with_input, with_output=with_output)
                )
                for head, run in news
            ]
            continue
        now = clock.now()
        if not group.active or now >= until:
            return
        pause = min(settings.keep_alive, until - now)
        await group.waiters.wait(clock.wall(pause))
        if position == len(group.log) and clock.now() >= now + settings.keep_alive:
            yield [KEEP_ALIVE]


def listed_events(
    service: Service, runs: Iterable[tuple[int, Run]], *, with_input: bool, with_output: bool
) -> Iterator[bytes]:
    """Yield the listing's event of each (position, run)."""
    for position, run in runs:
        cursor = None if run.group is None else run_cursor(run.group, position)
        head = run_event_head(cursor, service.state_of(run))
        shows_output = with_output and run.status in TERMINAL
        yield render_event(service, head, run, with_input=with_input, with_output=shows_output)


async def stream_listing(service: Service, events: Iterator[bytes]) -> AsyncIterator[list[bytes]]:
    """Yield a listing in chunks."""
    while chunk := [frame(event) for event in islice(events, CHUNK)]:
        service.bump("events", len(chunk))
        yield chunk
