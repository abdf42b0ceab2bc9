"""Gathering a group's finished runs into lines: what is there now, or all of them while they arrive.

The cursor only saves work, as in an enrichment: what the stream brought badly, or not at all, is found in the listing
at the end. Where the start was named, nothing before it is wanted, and the stream alone decides.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from parallel_frames._cli._lines import is_whole
from parallel_frames._clock import Backoff
from parallel_frames._engine import list_patiently
from parallel_frames._format import format_count
from parallel_frames._job._collect import fetch_results
from parallel_frames._model import TERMINAL, OtherEvent, RunEvent
from parallel_frames._service import describe_open_run
from parallel_frames.errors import RateLimitError, RejectedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallel_frames._cli._lines import Lines
    from parallel_frames._service import Client, Session

FEW: Final = 64
BATCH: Final = 500
TRIES: Final = 6


async def gather_runs(
    client: Client,
    group_id: str,
    lines: Lines,
    *,
    follow: bool,
    start: str | None,
    say: Callable[[str], object],
) -> int:
    """Write what a group holds, and return how many runs are not finished.

    With `follow` it waits until there is none; from the event `start` on it writes only what came after.

    Raises
    ------
    RejectedError
        The service does not know the group.
    UnavailableError
        It cannot be reached, or does not hand out the output of a finished run.
    """
    if lines.has_unnamed:  # which runs are there cannot be known, but up to where they are
        follow, start = True, start or lines.last_event_id
    async with client.session() as session:
        session.keeps_raw = lines.raw
        await session.group_status(group_id)
        gathering = _Gathering(client, session, group_id, lines, say=say)
        if follow:
            await gathering.follow(start)
        if start is None:
            await gathering.take_listing()
        await gathering.settle_debts()
        return 0 if follow else gathering.running


class _Gathering:
    """One group on its way into lines."""

    def __init__(
        self, client: Client, session: Session, group_id: str, lines: Lines, *, say: Callable[[str], object]
    ) -> None:
        self._clock = client.clock
        self._session = session
        self._group_id = group_id
        self._lines = lines
        self._say = say
        self._owed: dict[str, RunEvent] = {}  # finished, and their output did not come
        self.running = 0
        self._known: set[tuple[str, str]] = set()  # runs and their statuses: what a stream has brought so far

    async def follow(self, start: str | None) -> None:
        """Write runs as their events come, over any cut, until the group is at rest and has brought everything."""
        cursor = start or self._lines.last_event_id
        backoff = Backoff(first=0.2)
        failures = quiet = 0
        at_rest = False
        while True:
            known = len(self._known)
            try:
                cursor = await self._hear(cursor)
            except RejectedError:
                if cursor is None or start is not None:
                    raise
                cursor = None  # the service forgot the cursor; hearing all again is harmless
                continue
            except _CutError as cut:
                cursor, failures = cut.cursor, failures + 1
                if len(self._known) == known and at_rest and failures > TRIES:
                    if start is not None:
                        raise UnavailableError(str(cut), group_id=self._group_id) from cut
                    return  # the listing tells the rest
            else:
                failures = 0
                if at_rest and len(self._known) == known:
                    return
            # Events of the group itself have cursors, too: only what is new of a run is news.
            quiet = 0 if len(self._known) > known else quiet + 1
            at_rest = not (await self._session.group_status(self._group_id)).is_active
            if quiet and not (at_rest and not failures):
                await self._clock.sleep(backoff.wait(quiet - 1))

    async def _hear(self, cursor: str | None) -> str | None:
        """Hear one stream to its end and return the cursor then; raises `_CutError` where it was cut."""
        queue: asyncio.Queue[RunEvent | OtherEvent | None] = asyncio.Queue(BATCH)

        async def listen() -> None:
            stream = self._session.stream_events(self._group_id, last_event_id=cursor, include_input=True)
            try:
                async with aclosing(stream) as bursts:
                    async for burst in bursts:
                        for event in burst:
                            await queue.put(event)
            except Exception:  # whichever: it is raised where the task is awaited, once the queue has ended
                await queue.put(None)
                raise
            await queue.put(None)

        listening = asyncio.ensure_future(listen())
        try:
            while batch := await _next_batch(queue):
                runs = [event for event in batch if isinstance(event, RunEvent)]
                self._known.update((run.run_id, run.status) for run in runs)
                await self._keep(runs)
                for event in batch:
                    if isinstance(event, OtherEvent) and event.type == "error":
                        self._say(f"The stream reports: {event.message}")
                    cursor = (event.event_id if event is not None else None) or cursor
            await listening
        except (UnavailableError, RateLimitError) as error:
            raise _CutError(str(error), cursor) from error
        finally:
            listening.cancel()
            await asyncio.wait([listening])
        return cursor

    async def take_listing(self) -> None:
        """Write every finished run of the group that is not there yet."""
        backoff = Backoff()
        known, listed = 0, dict[str, RunEvent]()
        for attempt in range(TRIES):
            known = (await self._session.group_status(self._group_id)).runs
            listed = {}
            await self._list(lambda event, listed=listed: listed.update({event.run_id: event}))  # type: ignore[misc]
            # Its cursors are of another sequence than the stream's.
            await self._keep([replace(event, event_id=None) for event in listed.values()])
            if len(listed) >= known:
                self.running = sum(event.status not in TERMINAL for event in listed.values())
                return
            await self._clock.sleep(backoff.wait(attempt))
        raise UnavailableError(f"The list of runs has {len(listed)} of {known}.", group_id=self._group_id)

    async def _list(self, take: Callable[[RunEvent], None]) -> None:
        await list_patiently(
            self._session, self._group_id, take=take, clock=self._clock, include_input=True, include_output=True
        )

    async def _keep(self, events: Sequence[RunEvent]) -> None:
        """Write the finished ones of these runs, in their order, with their outputs."""
        fresh = [event for event in events if event.status in TERMINAL and event.run_id not in self._lines.written]
        whole = await self._completed(fresh)
        for event in fresh:
            if event.run_id in whole:
                self._lines.add(whole[event.run_id])
                self._owed.pop(event.run_id, None)
            else:
                self._owed[event.run_id] = event
        self._lines.flush()

    async def _completed(self, events: Sequence[RunEvent]) -> dict[str, RunEvent]:
        """Return runs by id with the outputs that their events came without, as far as they can be had."""
        whole = {event.run_id: event for event in events if is_whole(event)}
        lacking = {event.run_id: event for event in events if event.run_id not in whole}
        fetched = [*(await fetch_results(self._session, lacking)).values()] if len(lacking) <= FEW else []
        if len(fetched) < len(lacking):
            await self._list(lambda event: fetched.append(event) if event.run_id in lacking else None)
        for event in fetched:
            if event.status == "completed" and is_whole(event):
                known = lacking[event.run_id]
                sent = event.input if known.input is None else known.input
                whole[event.run_id] = replace(known, output=event.output, input=sent)
        return whole

    async def settle_debts(self) -> None:
        """Fetch the outputs that are still owed, or say that they cannot be had."""
        backoff = Backoff()
        for attempt in range(TRIES):
            if not self._owed:
                return
            if attempt:
                await self._clock.sleep(backoff.wait(attempt))
            await self._keep([replace(event, event_id=None) for event in self._owed.values()])
        if self._owed:
            named = "; ".join(describe_open_run(event, self._group_id) for event in list(self._owed.values())[:3])
            raise UnavailableError(
                f"{format_count(len(self._owed), 'run')} without an output, of which no line is written: {named}. "
                "Every other finished run is written. The same command again asks for what is missing; an output that "
                "is past the service's retention does not come back.",
                group_id=self._group_id,
            )


class _CutError(Exception):
    """A stream was cut; the cursor is that of the last event that is written."""

    def __init__(self, message: str, cursor: str | None) -> None:
        super().__init__(message)
        self.cursor = cursor


async def _next_batch(queue: asyncio.Queue[RunEvent | OtherEvent | None]) -> list[RunEvent | OtherEvent]:
    """Return all events that are there, at least one; empty at the stream's end."""
    batch: list[RunEvent | OtherEvent] = []
    while not batch or (not queue.empty() and len(batch) < BATCH):
        event = await queue.get()
        if event is None:
            if batch:
                queue.put_nowait(None)
            break
        batch.append(event)
    return batch
