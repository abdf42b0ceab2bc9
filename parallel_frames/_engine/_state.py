"""What the engine's loops share: the groups at work, what is to be stored, and the store and index kept in step.

Events come in here and change the state at once; outcomes become durable when they are flushed, together with the
cursor that covers them. The cursor never passes an event that is not an outcome yet: one whose output is still to
be fetched, or whose run may be ours once an open batch is decided.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from parallel_frames._model import ACTIVE, LOST, TERMINAL, Intent, Outcome, RunEvent, RunId
from parallel_frames._service import describe_open_run, read_outcome
from parallel_frames._state import runs_of, states_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from parallel_frames._clock import Clock
    from parallel_frames._engine._protocols import Observer, Store
    from parallel_frames._model import Event, Job, OutgoingRun, Receipt
    from parallel_frames._state import GroupState, Index


FLUSH_AT: Final = 1000  # outcomes: a few MB with their evidence


class EngineState:
    """The state of one enrichment while its engine runs.

    Attributes
    ----------
    groups : dict of str to GroupState
        The groups with something left to wait for or to decide, and the one that is being filled.
    given_up : set of str
        Runs whose output cannot be had now.
    reasons : dict of RunId to str
        Why this call does not wait for a run that has not ended.
    trouble : str or None
        Why the service could not be read at the last try; None once it could.
    gone : set of str
        Groups that the service does not know: nothing is asked of them, or sent to them.
    noted : set of int
        Open batches that the index knows.
    misses : Counter of RunId
        How often a list lacked the outcome of a run that it should have shown.
    echoes : bool
        Whether the service has shown the metadata of any run of ours.
    listing : dict of str to asyncio.Lock
        Held while a group's list is read: one listing at a time.
    embeds : bool
        Whether an event of the group's stream has brought an output.
    """

    def __init__(
        self, *, job: Job, index: Index, store: Store, observer: Observer, clock: Clock, reasons: dict[RunId, str]
    ) -> None:
        self.reasons = reasons
        self.trouble: str | None = None
        self._asked = job.spec.get("output_schema")
        self.index = index
        self.store = store
        self.observer = observer
        self._clock = clock
        self.groups: dict[str, GroupState] = {}
        self.gone: set[str] = set()
        self.given_up: set[str] = set()
        self._lost: set[str] = set()  # runs whose output is gone, as the service has shown in this call
        self._rechecks: set[str] = set()
        self._idle: set[RunId] = set()  # what does not run any more: it waits for an action, or its output is missing
        self._buffer: list[Outcome] = []
        self._found: list[Receipt] = []
        self.found_runs = 0
        self.noted: set[int] = set()
        self.misses: Counter[RunId] = Counter()
        self.echoes = False
        self.embeds = False
        self.listing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._news: asyncio.Event | None = None  # made by the first who waits
        self._flushing = asyncio.Lock()
        self._full = asyncio.Event()

    # Waiting for news

    def notify(self) -> None:
        """Wake whoever waits for news."""
        if self._news is not None:
            self._news.set()
            self._news = None

    async def news(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - real seconds; late is no error
        """Return when something changed, or after that many of the wall's seconds."""
        if self._news is None:
            self._news = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._news.wait()

    # Groups

    def load_group(self, group_id: str, *, cursor: str | None = None) -> GroupState:
        """Take up a group with what the index knows of it."""
        self.groups[group_id] = self.index.group_state(group_id, cursor=cursor)
        return self.groups[group_id]

    def forget_settled(self, *, filling: str | None) -> list[str]:
        """Drop the groups whose runs are all answered and durable, but for the one that is being filled."""
        busy = {outcome.group_id for outcome in self._buffer} | {receipt.group_id for receipt in self._found}
        settled = [g for g, state in self.groups.items() if state.is_settled and g not in busy and g != filling]
        for group_id in settled:
            del self.groups[group_id]
            self.listing.pop(group_id, None)
        return settled

    @property
    def is_waiting(self) -> bool:
        """Whether this call waits for any run."""
        return any(group.waiting for group in self.groups.values())

    @property
    def in_flight(self) -> int:
        """How many runs are paid for, or may be, and still run."""
        groups = self.groups.values()
        ended = sum(
            run in self._idle or run_id in group.to_hydrate for group in groups for run, run_id in group.awaited.items()
        )
        return sum(group.in_flight for group in groups) - ended

    # Events

    def take_event(self, group: GroupState, event: Event) -> bool:
        """Take an event of a group's stream; return whether it brought something new of a run of ours."""
        if not isinstance(event, RunEvent):
            group.cursor.add(event.event_id)
            return False
        run = group.identify(event)
        if run is None:
            if group.intents:  # its receipt may still be under way
                group.cursor.add(event.event_id, blocked_by=event.run_id)
                group.held[event.run_id] = event
            else:
                group.cursor.add(event.event_id)
            return False
        self.note_found(group, run, run_id=event.run_id)
        was_known = group.status(run) is not None or event.run_id in group.to_hydrate
        is_new = self.take_run(group, event, run)
        lacks_output = event.run_id in group.to_hydrate
        self.embeds = self.embeds or (event.output is not None and is_new)
        group.cursor.add(event.event_id, blocked_by=event.run_id if lacks_output else None)
        return is_new or (lacks_output and not was_known)

    def take_run(self, group: GroupState, event: RunEvent, run: RunId) -> bool:
        """Take what the service says of one of our runs: an outcome, or that its output has to be fetched."""
        outcome = read_outcome(event, run, group_id=group.group_id, asked=self._asked)
        if outcome is not None:
            return self._take_outcome(group, run, outcome)
        if event.status == "action_required":
            self._idle.add(run)
        elif event.status in ACTIVE:  # its owner acted
            self._idle.discard(run)
        if event.status == "action_required" or event.status not in TERMINAL | ACTIVE:
            self.set_aside(group, run, reason=describe_open_run(event, group.group_id))
        is_settled = group.status(run) == "completed" or event.run_id in self.given_up or event.run_id in self._lost
        if event.status in TERMINAL and not is_settled:
            if group.status(run) is not None:  # it failed, or counted as lost, and may have an answer all the same
                self._rechecks.add(event.run_id)
            group.to_hydrate.setdefault(event.run_id, self._clock.now())
            self.notify()
        return False

    def is_recheck(self, run_id: str) -> bool:
        """Return whether a run to hydrate has a failure as its outcome already."""
        return run_id in self._rechecks

    @property
    def is_rechecking(self) -> bool:
        """Whether a failure may yet turn out to be an answer."""
        return any(not self._rechecks.isdisjoint(group.to_hydrate) for group in self.groups.values())

    @property
    def is_hydrating(self) -> bool:
        """Whether outputs are still to be fetched."""
        return any(group.to_hydrate for group in self.groups.values())

    def _take_outcome(self, group: GroupState, run: RunId, outcome: Outcome) -> bool:
        if group.to_hydrate.pop(outcome.run_id, None) is not None:
            self.notify()  # it may be waited for although it brings nothing new
        group.cursor.release(outcome.run_id)
        if not group.add_outcome(run, run_id=outcome.run_id, status=outcome.status):
            return False
        self._buffer.append(outcome)
        if len(self._buffer) >= FLUSH_AT:
            self._full.set()
        self.reasons.pop(run, None)
        rows = group.waiting.pop(run, None)
        if rows is not None:
            self.observer.finished(outcome, rows=rows)
        self.notify()
        return True

    def note_found(self, group: GroupState, run: RunId, *, run_id: str) -> None:
        """Record that the service has a run; a receipt for one of no open batch is written at the next flush."""
        claimed = group.run_of(run_id)
        if claimed is not None and claimed.key == run.key and claimed != run and claimed in group.waiting:
            reason = (
                f"the checkpoint has run {run_id} as attempt {claimed.attempt} of its row, and the service as attempt "
                f"{run.attempt}"
            )
            self.set_aside(group, claimed, reason=reason)
        receipt = group.find(run, run_id=run_id)
        if receipt is not None:
            self._found.append(receipt)
            self.found_runs += 1
            self.observer.found(1)

    def _release_held(self, group: GroupState) -> None:
        """Look at held events again, now that a batch is decided."""
        held, group.held = group.held, {}
        for run_id, event in held.items():
            run = group.identify(event)
            if run is not None:
                self.take_run(group, event, run)
            elif group.intents:
                group.held[run_id] = event
                continue
            if run_id not in group.to_hydrate:
                group.cursor.release(run_id)

    def set_aside(self, group: GroupState, run: RunId, *, reason: str) -> None:
        """Stop waiting for a run, which cannot be decided now; the next call looks again."""
        self.reasons[run] = reason
        group.waiting.pop(run, None)
        self.notify()

    def give_up(self, group: GroupState, run_id: str, *, reason: str) -> None:
        """Leave a run pending: its output cannot be had now."""
        del group.to_hydrate[run_id]
        self.given_up.add(run_id)
        if (run := group.run_of(run_id)) is not None:
            self._idle.add(run)
            self.set_aside(group, run, reason=reason)
            if self.is_recheck(run_id):  # it failed, as far as is known; not to be asked again before that is certain
                self.index.add_intent(-len(self.given_up), "", [RunId(run.key, run.attempt + 1)])
        self.notify()

    def take_lost(self, group: GroupState, run_id: str) -> None:
        """Take a run as failed whose output the service does not hold, as it has shown: it may be asked again."""
        del group.to_hydrate[run_id]
        self._lost.add(run_id)
        if not self.is_recheck(run_id):
            self.observer.note(f"run {run_id} completed, but the service holds no output of it")
        message = (
            f"run {run_id} completed, but the service holds no output of it any more (retention). "
            "Run the same again to ask, and pay, again"
        )
        self.notify()
        if (run := group.run_of(run_id)) is not None:
            error = json.dumps({"message": message})
            outcome = Outcome(run.key, run.attempt, run_id, group.group_id, "failed", output_type=LOST, error=error)
            self._take_outcome(group, run, outcome)

    # A group that is gone

    def leave_group(self, group: GroupState) -> None:
        """Ask nothing more of a group that the service does not know, and send nothing to it."""
        self.gone.add(group.group_id)
        self.groups.pop(group.group_id, None)

    def set_aside_gone(self, group: GroupState) -> None:
        """Leave the rows pending whose runs are undecided in a group that is gone."""
        where = f"group {group.group_id}, which the service does not know (404)"
        for run in list(group.waiting):
            run_id = group.awaited.get(run)
            which = f"it may be in {where}" if run_id is None else f"run {run_id} is in {where}"
            reason = (
                f"{which}. Is it another account's or host's, or a simulator's that has ended? If it is gone for good, "
                "`refresh=True` for these rows alone asks, and pays for, them again"
            )
            self.set_aside(group, run, reason=reason)

    async def write_off(self, group: GroupState) -> None:
        """Take what a gone group owes these rows as lost, once their user has asked for them again."""
        message = f"its run was lost with group {group.group_id}, which the service does not know any more (404)"
        lost = list(group.waiting)
        for run in lost:
            run_id = group.awaited.get(run, f"unknown-{run.key}")  # a batch in doubt has no ids
            error = json.dumps({"message": message})
            outcome = Outcome(run.key, run.attempt, run_id, group.group_id, "failed", output_type=LOST, error=error)
            group.waiting.pop(run)
            self._take_outcome(group, run, outcome)
        await self.flush()
        keys = {run.key for run in lost}
        # What the refresh asks again is then the lost attempt itself, whatever it had marked before.
        self.index.begin_refresh([mark for mark in self.index.marked_attempts() if mark[0] not in keys])
        for number, intent in list(group.intents.items()):
            if all(group.status(run) is not None for run in intent.runs):
                self.index.drop_intent(number)
                await self.store.drop_intent(number)

    # Batches

    async def begin_batch(self, group: GroupState, runs: Sequence[OutgoingRun]) -> Intent:
        """Make a batch's intent durable."""
        ids, rows = [run.id for run in runs], [run.row for run in runs]
        number = await self.store.write_intent(group.group_id, runs=ids, rows=rows)
        intent = Intent(number, group.group_id, tuple(ids), tuple(rows))
        group.open_intent(intent)
        group.waiting |= {run.id: run.rows for run in runs}
        return intent

    async def end_batch(
        self,
        group: GroupState,
        intent: Intent,
        *,
        created: Mapping[RunId, Receipt],
        run_cursor: str | None = None,
    ) -> None:
        """Make the receipts of a decided batch's runs durable, and let its intent go."""
        receipts = list(created.values())
        group.note_batch((receipt.run_id for receipt in receipts), run_cursor=run_cursor)
        for run, receipt in created.items():
            group.add_paid(run, run_id=receipt.run_id)
        group.close_intent(intent.number)
        self._release_held(group)
        self.notify()
        self.index.add_receipts(runs_of(receipts))
        self.index.drop_intent(intent.number)
        await self.store.write_receipt(intent.number, receipts=receipts)

    def note_undecided(self, intent: Intent) -> None:
        """Let the index know of a batch in doubt; one whose answer comes is known by its receipts soon enough."""
        self.index.add_intent(intent.number, intent.group_id, intent.runs)
        self.noted.add(intent.number)

    def note_open_batches(self) -> None:
        """Let the index know of the batches that are still open when the engine ends."""
        for group in self.groups.values():
            for number, intent in group.intents.items():
                if number not in self.noted:
                    self.note_undecided(intent)

    def note_missing_outputs(self) -> None:
        """Say of the runs that completed, and whose output had not come when the engine ended, that this is why."""
        for group in self.groups.values():
            for run_id in group.to_hydrate:
                if (run := group.run_of(run_id)) is not None:
                    self.reasons[run] = (
                        f"run {run_id} of group {group.group_id} completed, but its output has not come yet"
                    )

    async def drop_batch(self, group: GroupState, intent: Intent) -> None:
        """Forget a batch of which nothing was created."""
        group.close_intent(intent.number)
        for run in intent.runs:
            group.waiting.pop(run, None)
        self._release_held(group)
        self.index.drop_intent(intent.number)
        await self.store.drop_intent(intent.number)

    # Durability

    async def full(self, timeout: float) -> None:  # noqa: ASYNC109 - as above
        """Return once so many outcomes are known that they would better be stored, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._full.wait()

    def make_room(self) -> Awaitable[None] | None:
        """Return what to wait for before more is read, where outcomes come faster than they are stored."""
        return self.flush() if len(self._buffer) >= 2 * FLUSH_AT else None

    async def flush(self) -> None:
        """Make everything known so far durable; several callers take turns, and cancelling one tears nothing."""
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def _flush(self) -> None:
        async with self._flushing:
            self._full.clear()
            found, outcomes = list(self._found), list(self._buffer)
            groups = list(self.groups.values())
            before = {group.group_id: group.cursor.durable for group in groups if group.cursor.durable is not None}
            cursors = {group.group_id: at for group in groups if (at := group.cursor.advance()) is not None}
            if found:
                rows = self.index.rows_of({receipt.key for receipt in found})
                for receipt in found:
                    receipt.row = rows.get(receipt.key, [receipt.row])[0]
                await self.store.write_receipt(None, receipts=found)
                self.index.add_receipts(runs_of(found))
                del self._found[: len(found)]
            if outcomes or cursors != before:
                part = await self.store.write_outcomes(outcomes, cursors=cursors)
                self.index.add_outcomes(part, states_of(outcomes))
                del self._buffer[: len(outcomes)]

    async def tidy(self) -> None:
        """Compact the store where it has many small parts, and tell the index what was moved."""
        async with self._flushing:
            self.index.move_parts(await self.store.tidy())

    @property
    def is_dirty(self) -> bool:
        """Whether something is known that would not survive this process."""
        return bool(self._buffer or self._found)
