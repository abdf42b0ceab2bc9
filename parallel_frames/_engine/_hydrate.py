"""Fetching the outputs that events came without: many in one listing, a few with a request for each.

On the live service no event carries an output, so this is how every answer comes. What ended is gathered for a moment
while many runs are under way, because a listing has all runs of a group that completed, wanted or not; as soon as few
are left there is nothing to gain by that.
"""

from __future__ import annotations

import asyncio
import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from parallel_frames._clock import Backoff
from parallel_frames._engine._look import CANNOT_BE_READ, is_worth_listing, list_patiently, look_at_group

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from parallel_frames._clock import Clock
    from parallel_frames._engine._protocols import Service
    from parallel_frames._engine._state import EngineState
    from parallel_frames._model import RunEvent
    from parallel_frames._state import GroupState

logger = logging.getLogger("parallel_frames")

GATHER: Final = 1.0  # seconds that an output may wait for others to be listed with
FEW: Final = 32  # runs under way, below which there is no waiting
BEAT: Final = 0.02  # real seconds: a burst of events is one round
AT_ONCE: Final = 8  # requests for results
GIVE_UP: Final = 6  # tries that brought no word of an output, after which its row stays pending
DENIALS: Final = 4  # times that a run is shown as completed and without an output, at the least, until it is lost


async def hydrate(*, state: EngineState, service: Service, clock: Clock, settle_time: float) -> None:
    """Fetch the outputs that events came without, until cancelled; groups do not wait for each other."""
    hydrations: dict[str, _Hydration] = {}
    try:
        while True:
            next_due = math.inf
            for group in list(state.groups.values()):
                hydration = hydrations.get(group.group_id)
                if hydration is not None and not hydration.is_ready():
                    continue
                if hydration is None or hydration.group is not group:
                    hydration = _Hydration(group, state, service, clock, settle_time)
                    hydrations[group.group_id] = hydration
                next_due = min(next_due, hydration.start_if_due())
            for group_id in hydrations.keys() - state.groups.keys():  # forgotten: all of it is answered and durable
                if hydrations[group_id].is_ready():
                    del hydrations[group_id]
            await state.news(timeout=None if next_due == math.inf else clock.real(max(next_due - clock.now(), 0.0)))
            await asyncio.sleep(BEAT)
    finally:
        tasks = [hydration.task for hydration in hydrations.values() if hydration.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True)
class _Tries:
    """How often an output was asked for, and how often the service showed its run as completed and without one."""

    run_id: str
    unknown: int = 0
    denials: int = 0
    first_denial: float = 0.0
    due: float = 0.0  # when it is asked for again


@dataclass(slots=True)
class _Hydration:
    """Fetches the outputs of one group.

    An output counts as lost where the service shows the run as completed and without it several times, for as long as
    an answer of the service may lag; nothing else than such a run says so.
    """

    group: GroupState
    state: EngineState
    service: Service
    clock: Clock
    settle_time: float
    task: asyncio.Task[None] | None = None
    _tries: dict[str, _Tries] = field(default_factory=dict)  # of outputs that were asked for and did not come

    def is_ready(self) -> bool:
        """Return whether nothing is being fetched; raise what made the last fetching fail."""
        if self.task is not None and self.task.done():
            self.task.result()
            self.task = None
        return self.task is None

    def start_if_due(self) -> float:
        """Begin to fetch what is due, and return when something will be, infinity where nothing is known."""
        wanted = self.group.to_hydrate
        self._tries = {run_id: tries for run_id, tries in self._tries.items() if run_id in wanted}
        due = min((tries.due for tries in self._tries.values()), default=math.inf)
        if len(wanted) > len(self._tries):
            oldest = next(since for run_id, since in wanted.items() if run_id not in self._tries)
            due = min(due, oldest + (GATHER if self._may_gather() else 0.0))
        if due > self.clock.now():
            return due
        self.task = asyncio.create_task(self._fetch())
        self.task.add_done_callback(lambda _: self.state.notify())
        return math.inf

    @property
    def _under_way(self) -> int:
        """How many runs of the group have not ended."""
        return self.group.in_flight - len(self.group.to_hydrate)

    def _may_gather(self) -> bool:
        """Return whether so many runs are still under way that more outputs will be wanted in a moment."""
        return not self.state.embeds and self._under_way > FEW

    async def _fetch(self) -> None:
        wanted, now = self.group.to_hydrate, self.clock.now()
        fresh = [run_id for run_id in wanted if run_id not in self._tries]
        again = [run_id for run_id, tries in self._tries.items() if tries.due <= now]
        for run_ids, ask in ((fresh, self._ask), (again, self._ask_again)):
            denied = await ask(run_ids) if run_ids else set()
            left = [self._tries.setdefault(run_id, _Tries(run_id)) for run_id in run_ids if run_id in wanted]
            # All at the same time: what is asked for together may be listed together.
            wait = Backoff().wait(max((tries.unknown + tries.denials for tries in left), default=0))
            for tries in left:
                tries.due = self.clock.now() + wait
                self._note_try(tries, is_denied=tries.run_id in denied)

    async def _ask(self, run_ids: Sequence[str]) -> set[str]:
        """Fetch outputs, and return the runs that the service shows as completed and without one."""
        cursor, after = self.group.cursor_before(run_ids)
        # What has completed since that cursor: nearly all that is under way was sent later than what has ended.
        listed = after - self._under_way if self.service.narrows_lists else len(self.group.acknowledged)
        if self.service.dialect != "seed" and not is_worth_listing(len(run_ids), of=listed):
            return await self._ask_for_each(run_ids)
        wanted, denied = set(run_ids), set()

        def take(event: RunEvent) -> Awaitable[None] | None:
            if event.run_id in wanted and self._take(event):
                denied.add(event.run_id)
            return self.state.make_room()

        try:
            async with self.state.listing[self.group.group_id]:
                await list_patiently(
                    self.service,
                    self.group.group_id,
                    take=take,
                    clock=self.clock,
                    include_input=False,
                    include_output=True,
                    last_event_id=cursor,
                    completed=run_ids,
                )
        except CANNOT_BE_READ as error:
            self._log(error)
        return denied

    async def _ask_again(self, run_ids: Sequence[str]) -> set[str]:
        """Fetch outputs that did not come the first time: from the results, and from a whole list where those lack."""
        denied = set() if self.service.dialect == "seed" else await self._ask_for_each(run_ids)
        if not denied.issuperset(run_id for run_id in run_ids if run_id in self.group.to_hydrate):
            try:
                look = await look_at_group(self.service, self.state, self.group, clock=self.clock, include_output=True)
                denied |= look.without_output
            except CANNOT_BE_READ as error:
                self._log(error)
        return denied

    async def _ask_for_each(self, run_ids: Sequence[str]) -> set[str]:
        """Fetch results one by one, and return the runs that the service shows as completed and without an output."""
        pending, denied = iter(run_ids), set[str]()

        async def ask() -> None:
            for run_id in pending:
                try:
                    event = await self.service.run_result(run_id)
                except CANNOT_BE_READ as error:  # that one result: the others are asked for all the same
                    self._log(error)
                    continue
                if event is not None and self._take(event):
                    denied.add(run_id)

        workers = [asyncio.create_task(ask()) for _ in range(min(AT_ONCE, len(run_ids)))]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
        return denied

    def _take(self, event: RunEvent) -> bool:
        """Take what the service says of a run, and return whether it says that it completed and has no output."""
        run = self.group.identify(event)
        if run is None:
            return False
        self.state.take_run(self.group, event, run)
        return event.status == "completed" and event.run_id in self.group.to_hydrate

    def _note_try(self, tries: _Tries, *, is_denied: bool) -> None:
        """Count one more try at an output, and take its run as lost, or give it up, where that is enough."""
        run_id = tries.run_id
        if is_denied:
            tries.first_denial = tries.first_denial or self.clock.now()
            tries.denials += 1
            has_settled = tries.denials >= DENIALS and self.clock.now() - tries.first_denial >= self.settle_time
            if has_settled or self.state.is_recheck(run_id):
                self.state.take_lost(self.group, run_id)
        else:
            tries.unknown += 1
            if tries.unknown >= GIVE_UP:
                self.state.observer.note(f"the output of run {run_id} cannot be had; its row stays pending")
                reason = f"run {run_id} completed, but its output cannot be had now"
                self.state.give_up(self.group, run_id, reason=reason)

    def _log(self, error: Exception) -> None:
        logger.debug("group %s: outputs could not be fetched: %s", self.group.group_id, error)
