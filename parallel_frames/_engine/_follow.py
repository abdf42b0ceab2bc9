"""Following a group to the end of its runs: its event stream, reconnected at its cursor, and what it is asked else.

The end of a stream proves nothing, and neither does its silence: where it brings nothing new, the group is asked.
"""

from __future__ import annotations

import logging
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING, Final

from parallel_frames._clock import Backoff
from parallel_frames._engine._look import CANNOT_BE_READ, is_worth_listing, look_at_group, read_status
from parallel_frames._model import ACTIVE, OtherEvent
from parallel_frames.errors import ProtocolError, RateLimitError, RejectedError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parallel_frames._clock import Clock
    from parallel_frames._engine._protocols import Service
    from parallel_frames._engine._state import EngineState
    from parallel_frames._model import Event, GroupStatus, RunId
    from parallel_frames._state import GroupState
    from parallel_frames.errors import ServiceError

logger = logging.getLogger("parallel_frames")

REFUSALS: Final = 4
MISSES: Final = 8  # of a run in lists; the waits between them come to about a minute
ASK_EVERY: Final = 45.0
HEARD_WITHIN: Final = 5.0  # what ended a moment ago is on its way


async def follow_group(group: GroupState, *, state: EngineState, service: Service, clock: Clock) -> None:
    """Take a group's events until cancelled."""
    cursor = group.cursor.durable
    backoff = Backoff(first=0.2)
    silent_streams = refusals = 0
    while True:
        while not group.is_awaited:
            await state.news()
        has_news = False
        try:
            async with aclosing(service.stream_events(group.group_id, last_event_id=cursor)) as bursts:
                async for burst in bursts:
                    state.trouble, refusals = None, 0
                    reached, is_new = _take(burst, group, state=state)
                    cursor = reached or cursor
                    has_news = has_news or is_new
                    if (room := state.make_room()) is not None:
                        await room
        except RejectedError as error:
            if cursor is None:
                refusals = _count_refusal(refusals, error, state=state)
            else:
                cursor = None  # the service forgot the cursor; taking all events again is harmless
                continue
        except ProtocolError as error:
            refusals = _count_refusal(refusals, error, state=state)
        except (UnavailableError, RateLimitError) as error:
            logger.debug("group %s: %s", group.group_id, error)
            state.trouble = str(error)
        silent_streams = 0 if has_news else silent_streams + 1
        if silent_streams and group.is_awaited:
            await _ask_group(group, state=state, service=service, clock=clock)
            await clock.sleep(backoff.wait(silent_streams - 1))


@contextmanager
def _tolerating(group: GroupState, *, state: EngineState) -> Iterator[None]:
    """Let what cannot be read now be tried again later."""
    try:
        yield
    except CANNOT_BE_READ as error:
        logger.debug("group %s: %s", group.group_id, error)
        state.trouble = str(error)


def _count_refusal(refusals: int, error: ServiceError, *, state: EngineState) -> int:
    """Count one more; a proxy's page or a redirect may pass, but what a service says five times in a row it means."""
    if refusals >= REFUSALS:
        raise error
    state.trouble = str(error)
    return refusals + 1


def _take(events: Iterable[Event], group: GroupState, *, state: EngineState) -> tuple[str | None, bool]:
    """Take events, and return the cursor after them and whether they brought anything new."""
    cursor, has_news = None, False
    for event in events:
        cursor = event.event_id or cursor
        has_news |= state.take_event(group, event)
        if isinstance(event, OtherEvent) and event.type == "error":
            logger.warning("group %s: the stream reports %s", group.group_id, event.message)
    return cursor, has_news


async def ask_often(*, state: EngineState, service: Service, clock: Clock) -> None:
    """Ask each group now and then, until cancelled: a stream that stays open may have lost an event."""
    while True:
        await clock.sleep(ASK_EVERY)
        for group in list(state.groups.values()):
            if not group.is_awaited:
                continue
            with _tolerating(group, state=state):
                if _has_more_ended(group, await _status_of(group, service=service), state=state):
                    await clock.sleep(HEARD_WITHIN)
                    await _ask_group(group, state=state, service=service, clock=clock)


async def _status_of(group: GroupState, *, service: Service) -> GroupStatus | None:
    """Return a group's counts by status; None where they cannot be read, or are not there."""
    status = await read_status(service, group.group_id)
    return status if status is not None and status.counts else None


def _has_more_ended(group: GroupState, status: GroupStatus | None, *, state: EngineState) -> bool:
    """Return whether more runs of a group may have ended than were heard of."""
    lacking = sum(run_id in state.given_up or run_id in group.to_hydrate for run_id in group.awaited.values())
    known = len(group.acknowledged) - len(group.awaited) + lacking
    # Not the sum of those that ended: a count may have a word that is not known.
    return status is None or status.runs - sum(status.counts.get(word, 0) for word in ACTIVE) > known


async def _ask_group(group: GroupState, *, state: EngineState, service: Service, clock: Clock) -> None:
    """Ask a group for outcomes that its stream did not bring; its counts say whether that is worth a listing.

    Where it cannot be read now, it is asked again later.
    """
    with _tolerating(group, state=state):
        status = await _status_of(group, service=service)
        if not _has_more_ended(group, status, state=state):
            return
        look = await look_at_group(
            service, state, group, clock=clock, include_output=is_worth_listing(len(group.awaited), of=group.size)
        )
        has_ended = status is not None and not any(status.counts.get(word) for word in ACTIVE - {"action_required"})
        for run, run_id in list(group.awaited.items()):
            is_hidden = look.unreadable > 0 and run_id not in look.listed
            if (is_hidden or has_ended) and run in group.waiting and run_id not in group.to_hydrate:
                await _note_miss(group, run, run_id, is_hidden=is_hidden, state=state, service=service)


async def _note_miss(
    group: GroupState, run: RunId, run_id: str, *, is_hidden: bool, state: EngineState, service: Service
) -> None:
    """Ask for a run that a whole list does not show; stop waiting for it where that never says more."""
    state.misses[run] += 1
    event = await service.run_result(run_id) if is_hidden else None
    if event is not None and group.identify(event) == run:
        state.take_run(group, event, run)
    elif state.misses[run] >= MISSES:
        reason = f"group {group.group_id} has ended, and shows no outcome of run {run_id}"
        if is_hidden:
            reason = f"what group {group.group_id} says of run {run_id} cannot be read"
        state.observer.note(f"{reason}; its row stays pending")
        state.set_aside(group, run, reason=reason)
