"""Following a group to the end of its runs: its event stream, reconnected at its cursor, and outputs that lacked.

The end of a stream proves nothing, and neither does its silence: when it said nothing new, the group is asked.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from parallel_frames._clock import Backoff
from parallel_frames._engine._look import CANNOT_BE_READ, look_at_group
from parallel_frames._model import TERMINAL, OtherEvent
from parallel_frames.errors import ProtocolError, RateLimitError, RejectedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from parallel_frames._clock import Clock
    from parallel_frames._engine._protocols import Service
    from parallel_frames._engine._state import EngineState
    from parallel_frames._model import Event
    from parallel_frames._state import GroupState

logger = logging.getLogger("parallel_frames")

FEW: Final = 64
AT_ONCE: Final = 8
GATHER_SECONDS: Final = 0.02
HYDRATION_TRIES: Final = 6


async def follow_group(group: GroupState, *, state: EngineState, service: Service, clock: Clock) -> None:
    """Take a group's events until cancelled."""
    cursor = group.cursor.durable
    backoff = Backoff(first=0.2)
    silent_streams = 0
    while True:
        while not group.is_awaited:
            await state.news()
        has_news = False
        try:
            async with aclosing(service.stream_events(group.group_id, last_event_id=cursor)) as bursts:
                async for burst in bursts:
                    reached, is_new = _take(burst, group, state=state)
                    cursor = reached or cursor
                    has_news = has_news or is_new
        except RejectedError:
            if cursor is None:
                raise
            cursor = None  # the service forgot the cursor; taking all events again is harmless
            continue
        except (UnavailableError, RateLimitError) as error:
            logger.debug("group %s: %s", group.group_id, error)
        silent_streams = 0 if has_news else silent_streams + 1
        if silent_streams and group.is_awaited:
            await _ask_group(group, state=state, service=service, clock=clock)
            await clock.sleep(backoff.wait(silent_streams - 1))


def _take(events: Iterable[Event], group: GroupState, *, state: EngineState) -> tuple[str | None, bool]:
    """Take events, and return the cursor after them and whether they said anything new."""
    cursor, has_news = None, False
    for event in events:
        cursor = event.event_id or cursor
        has_news |= state.take_event(group, event)
        if isinstance(event, OtherEvent) and event.type == "error":
            logger.warning("group %s: the stream reports %s", group.group_id, event.message)
    return cursor, has_news


async def _ask_group(group: GroupState, *, state: EngineState, service: Service, clock: Clock) -> None:
    """Ask a group for outcomes that its stream did not bring; its counts say whether that is worth a listing."""
    awaited = len(group.awaited)
    known = len(group.acknowledged) - awaited + list(state.given_up.values()).count(group.group_id)
    try:
        counts = (await service.group_status(group.group_id)).counts
        ended = sum(counts.get(word, 0) for word in TERMINAL) if counts else known + 1
    except ProtocolError:  # counts that cannot be read say nothing
        ended = known + 1
    if ended > known:
        await look_at_group(service, state, group, clock=clock, include_output=awaited > FEW)


async def hydrate(*, state: EngineState, service: Service, clock: Clock) -> None:
    """Fetch the outputs that events came without, until cancelled: few one by one, many in one listing."""
    tries: Counter[str] = Counter()
    while True:
        while not state.to_hydrate:
            await state.news()
        await asyncio.sleep(GATHER_SECONDS)  # a burst of events is one listing
        wanted = dict(state.to_hydrate)
        for group_id in set(wanted.values()):
            run_ids = [run_id for run_id, group in wanted.items() if group == group_id]
            is_first = not any(tries[run_id] for run_id in run_ids)
            await _hydrate_group(
                state.groups[group_id], run_ids, state=state, service=service, clock=clock, in_bulk=is_first
            )
        for run_id in wanted.keys() & state.to_hydrate.keys():
            tries[run_id] += 1
            if tries[run_id] >= HYDRATION_TRIES:
                state.observer.note(f"the output of run {run_id} cannot be had; its row stays pending")
                state.give_up(run_id)
        if wanted.keys() & state.to_hydrate.keys():
            await clock.sleep(Backoff().wait(max(tries[run_id] for run_id in wanted)))


async def _hydrate_group(
    group: GroupState, run_ids: list[str], *, state: EngineState, service: Service, clock: Clock, in_bulk: bool
) -> None:
    are_many = in_bulk and len(run_ids) > max(FEW, group.size // 5)
    try:
        if are_many or service.dialect == "seed":
            await look_at_group(service, state, group, clock=clock, include_output=True)
            return
        gate = asyncio.Semaphore(AT_ONCE)

        async def fetch(run_id: str) -> None:
            async with gate:
                event = await service.run_result(run_id)
            if event is not None and (run := group.identify(event)) is not None:
                state.take_run(group, event, run)

        await asyncio.gather(*map(fetch, run_ids))
    except CANNOT_BE_READ as error:
        logger.debug("group %s: outputs could not be fetched: %s", group.group_id, error)
