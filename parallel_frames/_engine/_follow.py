"""Hearing how runs end: a group's event stream, reconnected at its cursor, and the outputs that did not come with it.

The end of a stream proves nothing, and neither does its silence: when it told nothing new, the group is asked. Where
there are more groups than may be heard at a time, they take turns, and silent ones come last.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from parallel_frames._clock import Backoff
from parallel_frames._engine._look import look_at_group
from parallel_frames._model import TERMINAL, OtherEvent
from parallel_frames.errors import ProtocolError, RateLimitError, RejectedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from parallel_frames._clock import Clock
    from parallel_frames._engine._books import Books
    from parallel_frames._engine._protocols import Service
    from parallel_frames._model import Event

logger = logging.getLogger("parallel_frames")

FEW: Final = 64
AT_ONCE: Final = 8
GATHER: Final = 0.02
HYDRATION_TRIES: Final = 6


def is_awaited(books: Books, group_id: str) -> bool:
    """Return whether this call waits for a run of the group."""
    awaited = books.ledger.awaited[group_id]
    return any(run in books.waiting for run in awaited.values())


async def follow_group(group_id: str, *, books: Books, service: Service, clock: Clock, is_new: bool) -> None:
    """Hear a group's events until cancelled; a new group's come first."""
    cursor = books.track(group_id).durable
    backoff = Backoff(first=0.2)
    quiet = 0
    idle_rounds = int(not is_new)
    while True:
        while not is_awaited(books, group_id):
            await books.news()
        heard = False
        try:
            async with (
                service.stream_slot(idle_rounds=idle_rounds) as note_activity,
                aclosing(service.stream_events(group_id, last_event_id=cursor)) as bursts,
            ):
                async for burst in bursts:
                    reached, news = _take(burst, group_id, books=books)
                    cursor = reached or cursor
                    if news:
                        heard = True
                        note_activity()
        except RejectedError:
            if cursor is None:
                raise
            cursor = None  # the service forgot the cursor; hearing all again is harmless
            continue
        except (UnavailableError, RateLimitError) as error:
            logger.debug("group %s: %s", group_id, error)
        quiet, idle_rounds = (0, 0) if heard else (quiet + 1, idle_rounds + 1)
        if quiet and is_awaited(books, group_id):
            await ask_group(group_id, books=books, service=service, clock=clock)
            await clock.sleep(backoff.wait(quiet - 1))


def _take(events: Iterable[Event], group_id: str, *, books: Books) -> tuple[str | None, bool]:
    """Take events, and return the cursor after them and whether they told anything new."""
    cursor, heard = None, False
    for event in events:
        cursor = event.event_id or cursor
        heard |= books.take_event(group_id, event)
        if isinstance(event, OtherEvent) and event.type == "error":
            logger.warning("group %s: the stream reports %s", group_id, event.message)
    return cursor, heard


async def ask_group(group_id: str, *, books: Books, service: Service, clock: Clock) -> None:
    """Ask a group for outcomes its stream did not tell; its counts say whether that is worth a listing."""
    ledger = books.ledger
    awaited = len(ledger.awaited[group_id])
    known = ledger.count_acknowledged(group_id) - awaited + list(books.given_up.values()).count(group_id)
    try:
        counts = (await service.group_status(group_id)).counts
        ended = sum(counts.get(word, 0) for word in TERMINAL) if counts else known + 1
    except ProtocolError:  # counts nobody can read say nothing
        ended = known + 1
    if ended > known:
        await look_at_group(service, books, group_id, clock=clock, include_output=awaited > FEW)


async def hydrate(*, books: Books, service: Service, clock: Clock) -> None:
    """Fetch the outputs that events came without, until cancelled: few one by one, many in one listing."""
    tries: Counter[str] = Counter()
    while True:
        while not books.to_hydrate:
            await books.news()
        await asyncio.sleep(GATHER)  # a burst of events is one listing
        wanted = dict(books.to_hydrate)
        for group_id in set(wanted.values()):
            run_ids = [run for run, group in wanted.items() if group == group_id]
            first = not any(tries[run_id] for run_id in run_ids)
            await _hydrate_group(group_id, run_ids, books=books, service=service, clock=clock, in_bulk=first)
        for run_id in wanted.keys() & books.to_hydrate.keys():
            tries[run_id] += 1
            if tries[run_id] >= HYDRATION_TRIES:
                books.observer.said(f"the output of run {run_id} cannot be had; its row stays pending")
                books.give_up(run_id)
        if wanted.keys() & books.to_hydrate.keys():
            await clock.sleep(Backoff().wait(max(tries[run_id] for run_id in wanted)))


async def _hydrate_group(
    group_id: str, run_ids: list[str], *, books: Books, service: Service, clock: Clock, in_bulk: bool
) -> None:
    many = in_bulk and len(run_ids) > max(FEW, books.ledger.group_size(group_id) // 5)
    try:
        if many or service.dialect == "seed":
            await look_at_group(service, books, group_id, clock=clock, include_output=True)
            return
        at_once = asyncio.Semaphore(AT_ONCE)

        async def fetch(run_id: str) -> None:
            async with at_once:
                event = await service.run_result(run_id)
            if event is not None and (run := books.ledger.identify(event)) is not None:
                books.take_run(group_id, event, run)

        await asyncio.gather(*map(fetch, run_ids))
    except (UnavailableError, RateLimitError, ProtocolError) as error:
        logger.debug("group %s: outputs could not be fetched: %s", group_id, error)
