"""Looking at a group: one count and one whole listing, and what follows for the runs in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from parallel_frames._clock import Backoff
from parallel_frames._model import UNREADABLE, RunEvent, RunId
from parallel_frames._state import judge_look, read_identity
from parallel_frames.errors import ProtocolError, RateLimitError, UnavailableError, UndecidedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Collection, Iterable

    from parallel_frames._clock import Clock
    from parallel_frames._engine._protocols import Joiner, Service
    from parallel_frames._engine._state import EngineState
    from parallel_frames._model import GroupStatus
    from parallel_frames._state import GroupState

Recognise: TypeAlias = Callable[[RunEvent], RunId | None]

logger = logging.getLogger("parallel_frames")

REREADINGS: Final = 2
# Entries of a list that cost less than one request: it takes the CPU of 130 that are left out, but their bytes travel.
LISTED_PER_REQUEST: Final = 50
UNLINKED: Final = "it holds runs without metadata and without an input that was sent: they could be anybody's"
CANNOT_BE_READ: Final = (UnavailableError, RateLimitError, ProtocolError)


@dataclass(frozen=True, slots=True)
class Look:
    """What one whole reading of a group, its count and then its list, comes to.

    Attributes
    ----------
    flaw : str or None
        Why nothing may be concluded from what is *not* listed; None if absence may be concluded.
    without_output : set of str
        Runs that completed and were listed without their outputs, where outputs were asked for.
    listed : set of str
        The ids of all runs whose entries could be read.
    unreadable : int
        How many entries could not.
    processor : str or None
        The processor of all runs in the group, where it has one.
    """

    flaw: str | None
    without_output: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)
    unreadable: int = 0
    processor: str | None = None


def is_worth_listing(wanted: int, *, of: int) -> bool:
    """Return whether a listing of so many runs costs less than one request for each that is wanted."""
    return wanted * LISTED_PER_REQUEST >= of


@dataclass(slots=True)
class _Progress:
    """How far a list was read: a cursor before the first entry that could not be."""

    cursor: str | None
    unreadable: list[RunEvent] = field(default_factory=list)

    async def read(
        self, runs: AsyncGenerator[RunEvent, None], *, take: Callable[[RunEvent], Awaitable[None] | None]
    ) -> None:
        self.unreadable.clear()
        async with aclosing(runs):
            async for event in runs:
                if event.status == UNREADABLE:
                    self.unreadable.append(event)
                elif (room := take(event)) is not None:
                    await room
                if not self.unreadable:
                    self.cursor = event.event_id or self.cursor


async def list_patiently(
    service: Service,
    group_id: str,
    *,
    take: Callable[[RunEvent], Awaitable[None] | None],
    clock: Clock,
    include_input: bool,
    include_output: bool,
    last_event_id: str | None = None,
    completed: Iterable[str] | None = None,
) -> None:
    """Hand every run of a group to `take`, those after a cursor, or those of `completed` at least.

    What `take` returns is waited for, before more is read.

    A list that broke off is read on from there, or where the service does not allow that from the beginning, so a run
    may be handed twice. Entries that cannot be read, however often, are handed over as such: they must not hide the
    others.
    """
    backoff = Backoff()
    progress = _Progress(last_event_id)
    pages = 0
    for attempt in range(backoff.tries + 1):
        try:
            await progress.read(
                service.list_runs(
                    group_id,
                    include_input=include_input,
                    include_output=include_output,
                    last_event_id=progress.cursor,
                    completed=completed,
                ),
                take=take,
            )
        except CANNOT_BE_READ as error:
            pages += isinstance(
                error, ProtocolError
            )  # a proxy's page or a redirect may pass, but not if it comes again
            if pages > REREADINGS or attempt == backoff.tries:
                raise
        else:
            if not progress.unreadable or attempt >= REREADINGS:
                for event in progress.unreadable:
                    take(event)
                return
        await clock.sleep(backoff.wait(attempt))


@dataclass(slots=True)
class _Reading:
    """One reading of a group's list: it adopts what is ours, and notes what a look has to know of the rest."""

    state: EngineState
    group: GroupState
    is_seed: bool
    include_output: bool
    recognise: Recognise | None
    joiner: Joiner | None
    unlinked: set[str] = field(default_factory=set)
    without_output: set[str] = field(default_factory=set)
    echoes: bool = False

    def take(self, event: RunEvent) -> Awaitable[None] | None:
        if not self.echoes and read_identity(event.metadata) is not None:
            self.echoes = self.state.echoes = True
        run = self.group.identify(event)
        if self.joiner is not None:
            self.joiner.add(event, run)
        elif run is None and not event.metadata and self.recognise is not None:
            run = self.recognise(event)
        if run is not None:
            self.adopt(event, run)
        elif not event.metadata and (event.input is None or self.is_seed):
            self.unlinked.add(event.run_id)  # it may be any run that was ever sent
        return self.state.make_room()

    def join(self, *, processor: str | None) -> list[tuple[RunEvent, RunId]]:
        """Return what answers a row among another program's runs."""
        joined = [] if self.joiner is None else list(self.joiner.finish(processor=processor))
        self.unlinked.difference_update(event.run_id for event, _ in joined)
        return joined

    def adopt(self, event: RunEvent, run: RunId) -> None:
        self.state.note_found(self.group, run, run_id=event.run_id)
        self.state.take_run(self.group, event, run)
        if self.include_output and event.status == "completed" and event.run_id in self.group.to_hydrate:
            self.without_output.add(event.run_id)

    @property
    def flaw(self) -> str | None:
        is_linking = self.recognise is not None or self.joiner is not None
        return UNLINKED if is_linking and self.unlinked and not self.echoes else None


async def look_at_group(
    service: Service,
    state: EngineState,
    group: GroupState,
    *,
    clock: Clock,
    include_output: bool,
    recognise: Recognise | None = None,
    joiner: Joiner | None = None,
) -> Look:
    """Read a group's count and then its whole list, and adopt every run of ours in it.

    `recognise` identifies a run of ours by its input alone, where the service holds no metadata of it at all; `joiner`
    says which runs of another program answer a row. The look that is returned says whether absence may be concluded.
    """
    reading = _Reading(state, group, service.dialect == "seed", include_output, recognise, joiner)
    async with state.listing[group.group_id]:
        look = await read_group(
            service,
            group.group_id,
            take=reading.take,
            acknowledged=set(group.acknowledged),
            clock=clock,
            include_input=recognise is not None or joiner is not None,
            include_output=include_output,
        )
    joined = reading.join(processor=look.processor)
    flaw = look.flaw or reading.flaw
    for event, run in joined if flaw is None else ():  # what is not listed yet may be the better answer
        reading.adopt(event, run)
    return replace(look, flaw=flaw, without_output=reading.without_output)


async def read_group(
    service: Service,
    group_id: str,
    *,
    take: Callable[[RunEvent], Awaitable[None] | None],
    acknowledged: Collection[str],
    clock: Clock,
    include_input: bool,
    include_output: bool = False,
) -> Look:
    """Read a group's count and then its whole list, and hand every run that can be read to `take`.

    In this order: runs that are acknowledged or counted before the listing begins must be in it.
    """
    listed: set[str] = set()
    unreadable: list[str] = []

    def note(event: RunEvent) -> Awaitable[None] | None:
        if event.status == UNREADABLE:
            unreadable.append(event.run_id)
            return None
        listed.add(event.run_id)
        return take(event)

    status = await read_status(service, group_id)
    await list_patiently(
        service, group_id, take=note, clock=clock, include_input=include_input, include_output=include_output
    )
    if unreadable:
        logger.warning("group %s: %d entries of the list cannot be read: %s", group_id, len(unreadable), unreadable[0])
    if status is None:
        return Look("its counts cannot be read", listed=listed, unreadable=len(unreadable))
    flaw = judge_look(status, listed, acknowledged, unreadable=len(unreadable))
    return Look(flaw, listed=listed, unreadable=len(unreadable), processor=status.processor)


async def look_until_whole(
    service: Service,
    state: EngineState,
    group: GroupState,
    *,
    clock: Clock,
    include_output: bool,
    recognise: Recognise | None,
    join: Callable[[], Joiner] | None,
    to_send: int,
) -> Look:
    """Look at a group, and again where so many runs are to be sent and what is absent cannot be concluded yet."""
    backoff = Backoff()
    attempt = 0
    while True:
        look = await look_at_group(
            service,
            state,
            group,
            clock=clock,
            include_output=include_output or join is not None,
            recognise=recognise,
            joiner=None if join is None else join(),
        )
        if look.flaw is None or not to_send:
            return look
        if attempt == backoff.tries:
            raise UndecidedError(group_id=group.group_id, runs=to_send, reason=look.flaw)
        state.observer.note(f"group {group.group_id} cannot be read whole yet: {look.flaw}")
        await clock.sleep(backoff.wait(attempt))
        attempt += 1


async def read_status(service: Service, group_id: str) -> GroupStatus | None:
    """Return a group's counts; None where the service writes them in a way that is not documented."""
    try:
        return await service.group_status(group_id)
    except ProtocolError:
        return None
