"""One enrichment's network side: submit ∥ stream ∥ look ∥ hydrate, until every key has an outcome.

It is fed: it reads runs from an iterator as the pacer permits, keeps its state per group, and forgets a group once
every run in it is answered and durable. It is given a service, a store and an index by their protocols, and knows
neither HTTP nor Parquet nor pandas. What may be concluded is for the rules to say; when something is durable, for the
store.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from parallel_frames._engine._follow import ask_often, follow_group
from parallel_frames._engine._hydrate import hydrate
from parallel_frames._engine._look import is_worth_listing, list_patiently, look_until_whole
from parallel_frames._engine._state import EngineState
from parallel_frames._engine._submit import Submitter
from parallel_frames._format import format_count, format_duration
from parallel_frames.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parallel_frames._clock import Clock
    from parallel_frames._engine._protocols import Observer, RunFeed, Service, Store
    from parallel_frames._model import Intent, Job, Json, RunId
    from parallel_frames._service import Pacer
    from parallel_frames._state import GroupState, Index

__all__ = ["Engine", "list_patiently"]

FLUSH_EVERY: Final = 0.5
GRACE: Final = 5.0
BEAT: Final = 0.2


@dataclass(slots=True, kw_only=True)
class Engine:
    """Everything one enrichment needs to run.

    Attributes
    ----------
    feed : RunFeed
        Where the runs to be sent come from.
    intents : sequence of Intent
        Batches that a dead process left open; those without runs could not be read.
    cursors : mapping of str to str
        How far each group's events are stored.
    until : str
        ``"answered"``: every key has an outcome; ``"sent"``: nothing is left to send, and no batch is undecided;
        ``"looked"``: each group was looked at once, and nothing is sent; ``"joined"``: so were those that the call
        names, for what they hold of what is to be sent.
    check_budget : callable or None
        Gets how many runs are about to be sent, once that is certain; raises where they are too many.
    named_groups : sequence of str
        Groups that the call names: another program may have filled them.
    refreshes : bool
        Whether the call asks every row again.
    may_leave_groups : bool
        Whether new rows may go to a new group where the service does not know the one that they would go to.
    undecided_in_gone : set of RunId
        Runs without an outcome in groups that the service does not know.
    reasons : dict of RunId to str
        Filled with why a run that has not ended is not waited for.
    trouble : str or None
        Why the service could not be read, where the time was up meanwhile.
    found_runs : int
        Runs that were found in the groups, and that neither this call nor its checkpoint knew of.
    """

    job: Job
    feed: RunFeed
    index: Index
    store: Store
    service: Service
    pacer: Pacer
    clock: Clock
    settle_time: float
    observer: Observer
    group_metadata: Mapping[str, Json]
    intents: Sequence[Intent] = ()
    cursors: Mapping[str, str] = field(default_factory=dict)
    max_in_flight: int | None = None
    until: Literal["answered", "sent", "looked", "joined"] = "answered"
    check_budget: Callable[[int], None] | None = None
    named_groups: Sequence[str] = ()
    refreshes: bool = False
    may_leave_groups: bool = False
    reasons: dict[RunId, str] = field(default_factory=dict)
    undecided_in_gone: set[RunId] = field(default_factory=set)
    trouble: str | None = None
    found_runs: int = 0
    _submitter: Submitter | None = None
    _followers: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _halted: bool = False

    def halt(self) -> None:
        """Send nothing more, from now on or from the beginning; to be called in the engine's own loop."""
        self._halted = True
        if self._submitter is not None:
            self._submitter.halt()

    async def run(self, *, timeout: float | None) -> None:  # noqa: ASYNC109 - a deadline that leaves rows pending
        """Run until every key has an outcome, or `timeout` seconds of the clock have passed."""
        state = EngineState(
            job=self.job,
            index=self.index,
            store=self.store,
            observer=self.observer,
            clock=self.clock,
            reasons=self.reasons,
        )
        work = asyncio.create_task(self._work(state))
        side = [
            asyncio.create_task(
                hydrate(state=state, service=self.service, clock=self.clock, settle_time=self.settle_time)
            ),
            asyncio.create_task(self._flush_often(state)),
            asyncio.create_task(ask_often(state=state, service=self.service, clock=self.clock)),
        ]
        try:
            await self._until_done(work, side, timeout=timeout)
        finally:
            tasks = [work, *side, *self._followers.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._followers.clear()
            self.trouble = state.trouble or self.service.trouble
            self.found_runs = state.found_runs
            try:
                await state.flush()
            finally:  # also on a full disk: what may have been created is never reported as not sent
                state.note_open_batches()
                state.note_missing_outputs()

    async def _work(self, state: EngineState) -> None:
        """Look first, then send and wait."""
        if self.until in ("looked", "joined"):
            await self._look_at_groups(state, to_send=self._decide() if self.until == "joined" else 0)
            while state.is_hydrating:
                await state.news()
            return
        to_send = self._decide()
        if self.store.groups:
            is_whole = False
            while not is_whole:  # what it finds may have to be tried again, and that needs a whole look
                is_whole = await self._look_first(state, to_send=to_send)
                while to_send and state.is_rechecking:  # a failure that turns out an answer is not asked again
                    await state.news()
                await state.flush()  # a failure is durable before its retry's intent
                to_send = self._decide()
                is_whole = is_whole or not to_send
        if self.check_budget is not None:
            self.check_budget(to_send)
        await self._send(state, to_send=to_send)
        while state.is_waiting and self.until == "answered":
            await state.news()

    def _decide(self) -> int:
        """Return how many runs are to be sent, as the index knows it now."""
        return 0 if self._halted else self.feed.decide()

    async def _send(self, state: EngineState, *, to_send: int) -> None:
        self._submitter = submitter = Submitter(
            state,
            job=self.job,
            feed=self.feed,
            service=self.service,
            pacer=self.pacer,
            clock=self.clock,
            settle_time=self.settle_time,
            max_in_flight=self.max_in_flight,
            group_metadata=self.group_metadata,
            on_group=lambda group: self._follow(group, state),
        )
        if self._halted:
            submitter.halt()
        for group in list(state.groups.values()):
            for intent in self.intents:
                if intent.runs and intent.group_id == group.group_id:
                    submitter.reopen(group, intent)
            self._follow(group, state)
        if to_send:
            submitter.begin(self.feed.read())
        await submitter.run()

    def _follow(self, group: GroupState, state: EngineState) -> None:
        """Take a group's events from now on."""
        if group.group_id not in self._followers:
            self.observer.opened(group.group_id)
            follower = follow_group(group, state=state, service=self.service, clock=self.clock)
            self._followers[group.group_id] = asyncio.create_task(follower)

    async def _look_first(self, state: EngineState, *, to_send: int) -> bool:
        """List each known group and adopt from it, before anything is sent; return whether the lists were whole."""
        unreadable = [intent.number for intent in self.intents if not intent.runs]
        if unreadable and to_send:
            self.observer.note(f"a damaged intent: waiting {format_duration(self.settle_time)} before anything is sent")
            await self.clock.sleep(self.settle_time)
        is_whole = await self._look_at_groups(state, to_send=to_send)
        await self.store.prove_groups(dialect=self.service.dialect)
        if to_send:
            for number in unreadable:
                await self.store.drop_intent(number)
        return is_whole

    async def _look_at_groups(self, state: EngineState, *, to_send: int) -> bool:
        """Look at each group, and keep those in which there is something to wait for or to decide."""
        is_whole = True
        in_doubt = {run.key: run.attempt for intent in self.intents for run in intent.runs}
        # In the seed dialect a run that was lost may be known by its input alone, whichever batch it was in.
        anything = bool(to_send) and self.service.dialect == "seed"
        recognise = self.feed.recognise(in_doubt, or_to_send=anything) if in_doubt or anything else None
        for group_id in self.store.groups:
            group = state.load_group(group_id, cursor=self.cursors.get(group_id))
            for intent in self.intents:
                if intent.runs and intent.group_id == group_id:
                    group.open_intent(intent)
                    state.noted.add(intent.number)
            awaited = len(group.awaited)
            try:
                look = await look_until_whole(
                    self.service,
                    state,
                    group,
                    clock=self.clock,
                    include_output=is_worth_listing(awaited, of=group.size),
                    recognise=recognise,
                    # In a group that the call names, another program may have asked what is about to be asked.
                    join=partial(self.feed.join, in_doubt) if to_send and group_id in self.named_groups else None,
                    to_send=to_send,
                )
            except RejectedError as error:
                is_whole = await self._do_without(group, error, state, to_send=to_send) and is_whole
                continue
            is_whole = is_whole and look.flaw is None
            await state.flush()
            for run, rows in self.index.waiting(group_id).items():
                # An outcome may have come since the flush, and the index not know it yet.
                if group.status(run) is None and run not in state.reasons:
                    group.waiting.setdefault(run, rows)
            state.forget_settled(filling=self.store.groups[-1])
        return is_whole

    async def _do_without(self, group: GroupState, error: RejectedError, state: EngineState, *, to_send: int) -> bool:
        """Do without a group that the service does not know; return whether that leaves nothing to look at again.

        What it answered is stored, and new rows go to another group where the call allows it and all that was sent to
        it is known here. What is undecided in it stays so, unless a refresh asks these rows again: then it is lost,
        should the settle time not bring the group back.
        """
        if error.status != 404:
            raise error
        group_id, waiting = group.group_id, len(group.waiting)
        doubt = await self._doubts_about(group_id, to_send=to_send)
        if doubt is not None:
            error.args = (f"{error} {doubt}",)
            raise error
        gives_up = self.refreshes and bool(waiting)
        state.leave_group(group)
        if gives_up:
            wait = format_duration(self.settle_time)
            self.observer.note(
                f"group {group_id} is not known (404): {wait} until its {format_count(waiting, 'run')} count as lost"
            )
            await self.clock.sleep(self.settle_time)
            try:
                await self.service.group_status(group_id)
            except RejectedError:
                await state.write_off(group)
            else:
                error.args = (f"{error} It is known again now: run the same again.",)
                raise error
        elif to_send and group_id == self.store.groups[-1]:
            self.observer.note(f"group {group_id} is not known (404): what is sent now goes to a new one")
        self.undecided_in_gone.update(group.waiting)
        state.set_aside_gone(group)
        return not gives_up

    async def _doubts_about(self, group_id: str, *, to_send: int) -> str | None:
        """Return why what is about to be sent may not go to another group, and what to do where this one is gone."""
        if group_id in self.named_groups:
            return "If it is gone for good, leave out `group_id`."
        if not to_send:
            return None
        unreadable = [intent.number for intent in self.intents if not intent.runs]
        if unreadable:
            return (
                f"The checkpoint's {unreadable[0]:06d}.intent.parquet is damaged and may be of a batch in it. If "
                "the group is gone for good, remove that file: rows of that batch are then asked, and paid for, again."
            )
        doubt = await self.store.doubts_about(group_id)
        if doubt is None and not self.may_leave_groups and group_id == self.store.groups[-1]:
            return (
                "What it answered is in the checkpoint. If it is gone for good, `on_mismatch='new'` sends new rows to "
                "a new group, and pays for nothing that is answered."
            )
        return doubt

    async def _until_done(
        self,
        work: asyncio.Task[None],
        side: list[asyncio.Task[None]],
        *,
        timeout: float | None,  # noqa: ASYNC109 - as above
    ) -> None:
        """Return when the work is done or the time is up; raise what any part of it raised."""
        deadline = None if timeout is None else self.clock.now() + timeout
        while True:
            tasks = {work, *side, *self._followers.values()}
            for task in tasks:
                if task.done():
                    task.result()
            if work.done():
                return
            left = None if deadline is None else max(0.0, self.clock.real(deadline - self.clock.now()))
            if left == 0.0:
                await self._let_post_end(work)
                for task in tasks:  # an error that came meanwhile is not to be lost
                    if task.done():
                        task.result()
                return
            beat = BEAT if left is None else min(left, BEAT)
            await asyncio.wait(tasks, timeout=beat, return_when=asyncio.FIRST_COMPLETED)

    async def _let_post_end(self, work: asyncio.Task[None]) -> None:
        """Give a POST in flight a moment for its response; return at once where the work ends with an error."""
        if self._submitter is not None:
            self._submitter.stopping = True
            idle = asyncio.create_task(self._submitter.idle())
            await asyncio.wait({idle, work}, timeout=GRACE, return_when=asyncio.FIRST_COMPLETED)
            idle.cancel()

    async def _flush_often(self, state: EngineState) -> None:
        while True:
            await state.full(timeout=FLUSH_EVERY)
            if state.is_dirty:
                await state.flush()
                await state.tidy()
            if self._submitter is not None:
                filling = self._submitter.filling
                for group_id in state.forget_settled(filling=filling.group_id if filling else None):
                    if (follower := self._followers.pop(group_id, None)) is not None:
                        follower.cancel()
