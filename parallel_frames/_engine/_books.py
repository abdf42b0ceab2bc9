"""What the engine's loops share: the ledger in memory and the store that outlives it, kept in step.

Events come in here and become knowledge at once; outcomes become durable when they are flushed, together with the
cursor that covers them. The cursor never passes an event that is not an outcome yet: one whose output is still to
be fetched, or whose run may be ours once an open batch is decided.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from parallel_frames._model import TERMINAL, Intent, RunEvent
from parallel_frames._service import read_outcome
from parallel_frames._state import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallel_frames._engine._protocols import Observer, Store
    from parallel_frames._model import Event, Outcome, Plan, Receipt, RunId
    from parallel_frames._state import Ledger

PACK: Final = 32 * 2**20  # bytes of answers at a time are put away as Parquet, which takes a tenth of that


@dataclass(slots=True)
class CursorTrack:
    """The events of one group's stream in order, up to the first that may not be passed yet."""

    durable: str | None = None
    _passed: deque[tuple[str | None, str | None]] = field(default_factory=deque)
    _blocking: set[str] = field(default_factory=set)

    def add(self, event_id: str | None, *, blocked_by: str | None = None) -> None:
        """Append an event; `blocked_by` names a run that must have its outcome first."""
        if blocked_by is not None:
            self._blocking.add(blocked_by)
        if event_id is not None or blocked_by is not None:
            self._passed.append((event_id, blocked_by))

    def release(self, run_id: str) -> None:
        """Let events of a run pass: it has its outcome, or is not ours."""
        self._blocking.discard(run_id)

    def advance(self) -> str | None:
        """Return the cursor as far as it may go now."""
        while self._passed and self._passed[0][1] not in self._blocking:
            self.durable = self._passed.popleft()[0] or self.durable
        return self.durable


class Books:
    """The state of one enrichment while it runs."""

    def __init__(self, plan: Plan, *, ledger: Ledger, store: Store, observer: Observer) -> None:
        self.plan = plan
        self.ledger = ledger
        self.store = store
        self.observer = observer
        self.waiting: set[RunId] = set()
        self.tracks: dict[str, CursorTrack] = {}
        self.to_hydrate: dict[str, str] = {}
        self.given_up: dict[str, str] = {}
        self._held: dict[str, dict[str, RunEvent]] = {}
        self._buffer: list[Outcome] = []
        self._found: list[Receipt] = []
        self._news: asyncio.Event | None = None  # made by the first who waits
        self._flushing = asyncio.Lock()

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
        try:
            async with asyncio.timeout(timeout):
                await self._news.wait()
        except TimeoutError:
            pass

    # Events

    def track(self, group_id: str) -> CursorTrack:
        """Return the cursor of a group's stream."""
        return self.tracks.setdefault(group_id, CursorTrack())

    def take_event(self, group_id: str, event: Event) -> bool:
        """Take an event of a group's stream; return whether it told something new of a run of ours."""
        track = self.track(group_id)
        if not isinstance(event, RunEvent):
            track.add(event.event_id)
            return False
        run = self.ledger.identify(event)
        if run is None:
            if self.ledger.is_open(group_id):  # its receipt may still be under way
                track.add(event.event_id, blocked_by=event.run_id)
                self._held.setdefault(group_id, {})[event.run_id] = event
            else:
                track.add(event.event_id)
            return False
        self.note_found(run, run_id=event.run_id, group_id=group_id)
        known = self.ledger.has_outcome(run)
        news = self.take_run(group_id, event, run)
        lacks_output = event.run_id in self.to_hydrate
        track.add(event.event_id, blocked_by=event.run_id if lacks_output else None)
        return news or (lacks_output and not known)

    def take_run(self, group_id: str, event: RunEvent, run: RunId) -> bool:
        """Take what is said of one of our runs: an outcome, or that its output has to be fetched."""
        outcome = read_outcome(event, run, group_id=group_id)
        if outcome is not None:
            return self.take_outcome(outcome)
        if event.status in TERMINAL and not self.ledger.has_outcome(run) and event.run_id not in self.given_up:
            self.to_hydrate[event.run_id] = group_id
            self.notify()
        return False

    def take_outcome(self, outcome: Outcome) -> bool:
        """Take an outcome; return False where it says nothing new."""
        self.to_hydrate.pop(outcome.run_id, None)
        if (track := self.tracks.get(outcome.group_id)) is not None:
            track.release(outcome.run_id)
        if not self.ledger.add_outcome(outcome):
            return False
        self._buffer.append(outcome)
        if outcome.id in self.waiting:
            self.waiting.discard(outcome.id)
            self.observer.finished(outcome, waiting=len(self.waiting))
        self.notify()
        return True

    def note_found(self, run: RunId, *, run_id: str, group_id: str) -> None:
        """Take note that the service has a run; one of no open batch is told, its receipt written at a flush."""
        receipt = self.ledger.find(run, run_id=run_id, group_id=group_id)
        if receipt is not None:
            self._found.append(receipt)
            self.observer.sent(1)

    def release_held(self, group_id: str) -> None:
        """Look at held events again, now that a batch is decided."""
        for run_id, event in self._held.pop(group_id, {}).items():
            run = self.ledger.identify(event)
            if run is not None:
                self.take_run(group_id, event, run)
            elif self.ledger.is_open(group_id):
                self._held.setdefault(group_id, {})[run_id] = event
                continue
            if run_id not in self.to_hydrate:
                self.track(group_id).release(run_id)

    def give_up(self, run_id: str) -> None:
        """Leave a run pending: its output cannot be had now."""
        group_id = self.to_hydrate.pop(run_id)
        self.given_up[run_id] = group_id
        run = self.ledger.awaited[group_id].get(run_id)
        if run is not None:
            self.waiting.discard(run)
        self.notify()

    # Batches

    async def begin_batch(self, group_id: str, *, runs: Sequence[RunId], rows: Sequence[int]) -> Intent:
        """Make a batch's intent durable."""
        number = await self.store.write_intent(group_id, runs=runs, rows=rows)
        intent = Intent(number, group_id, tuple(runs), tuple(rows))
        self.ledger.open_intent(intent)
        return intent

    async def end_batch(self, intent: Intent, *, receipts: Sequence[Receipt]) -> None:
        """Make a decided batch's receipts durable, and let its intent go."""
        for receipt in receipts:
            self.ledger.add_receipt(receipt)
        self.ledger.close_intent(intent.number)
        self.release_held(intent.group_id)
        self.notify()
        await self.store.write_receipt(intent.number, receipts=receipts)

    async def drop_batch(self, intent: Intent) -> None:
        """Forget a batch of which nothing was created."""
        self.ledger.close_intent(intent.number)
        self.release_held(intent.group_id)
        await self.store.drop_intent(intent.number)

    # Durability

    async def flush(self) -> None:
        """Make everything known so far durable; several callers take turns, and cancelling one tears nothing."""
        await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def _flush(self) -> None:
        async with self._flushing:
            found, outcomes = list(self._found), list(self._buffer)
            before = {group: track.durable for group, track in self.tracks.items() if track.durable is not None}
            cursors = {group: at for group, track in self.tracks.items() if (at := track.advance()) is not None}
            if found:
                await self.store.write_receipt(None, receipts=found)
                del self._found[: len(found)]
            if outcomes or cursors != before:
                await self.store.write_outcomes(outcomes, cursors=cursors)
                del self._buffer[: len(outcomes)]
            if loose := self.ledger.take_loose(PACK):
                table, data = await asyncio.to_thread(encode, loose)
                self.ledger.archive(loose, table, data)

    @property
    def is_dirty(self) -> bool:
        """Whether something is known that would not survive this process."""
        return bool(self._buffer or self._found)
