"""Sending what is to be sent: in paced batches, one at a time, and never again before having looked.

One loop both sends and looks, so that while it looks at a group no POST of ours is in flight there. A batch whose
answer proves nothing becomes *undecided*; two undecided batches stop further sending.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from parallel_frames._clock import Backoff
from parallel_frames._engine._look import UNLINKED, look_at_group, seek_among
from parallel_frames._limits import MAX_RUNS_PER_BATCH, MAX_RUNS_PER_GROUP
from parallel_frames._model import (
    Accepted,
    Ambiguous,
    OutgoingRun,
    Receipt,
    Refused,
    RunId,
)
from parallel_frames._state import Look
from parallel_frames.errors import ProtocolError, RateLimitError, UnavailableError, UndecidedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parallel_frames._clock import Clock, Pacer
    from parallel_frames._engine._books import Books
    from parallel_frames._engine._protocols import Service
    from parallel_frames._model import Intent, Json, Posted

FIRST_UNPROVEN_BATCH: Final = 5
LOOKS_AFTER_SETTLING: Final = 8
LONG_WAIT: Final = 5.0
ABSENCES: Final = 3
CREDIT_PAUSE: Final = 1.0
NEWS_AT_LEAST: Final = 1.0  # of the wall: a batch that is undecided may be due
CANNOT_BE_READ: Final = (UnavailableError, RateLimitError, ProtocolError)


@dataclass(slots=True)
class Undecided:
    """A batch that may or may not have been created."""

    intent: Intent
    since: float
    reason: str
    next_look: float
    looks: int = 0
    is_counted: bool = False  # whether its runs were taken as sent before it was known


class Submitter:
    """The loop that sends one enrichment's runs."""

    def __init__(
        self,
        books: Books,
        *,
        service: Service,
        pacer: Pacer,
        clock: Clock,
        settle_time: float,
        retry_failed: bool,
        max_in_flight: int | None,
        in_flight_elsewhere: Callable[[], int] | None = None,
        group_metadata: Mapping[str, Json],
        on_group: Callable[[str], None],
    ) -> None:
        self.books = books
        self.queue: deque[tuple[int, int]] = deque()
        self.undecided: list[Undecided] = []
        self.stopping = False
        self.halted = asyncio.Event()
        self._service = service
        self._pacer = pacer
        self._clock = clock
        self._settle_time = settle_time
        self._retry_failed = retry_failed
        self._max_in_flight = max_in_flight
        self._in_flight_elsewhere = in_flight_elsewhere or (lambda: 0)
        self._group_metadata = group_metadata
        self._on_group = on_group
        self._batch_limit = MAX_RUNS_PER_BATCH
        self._linked = bool(books.ledger.groups)
        self._order_proven = False
        self._absences = 0
        self._unreachable = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._entries = {key: entry for entry, key in enumerate(books.plan.keys)}

    def reopen(self, intent: Intent) -> None:
        """Take up a batch that a dead process left open; its settle time begins anew."""
        now = self._clock.now()
        self.undecided.append(Undecided(intent, now, "the process that sent it ended", now, is_counted=True))

    async def run(self) -> None:
        """Send everything in the queue, and decide every batch that matters to this call."""
        while not self.stopping and (self.queue or self._has_relevant()):
            if self.halted.is_set():
                self._drop_queue()
            await self._look_where_due()
            if self.queue and self._may_send():
                await self._send_next()
            elif self.undecided:
                await self._wait_for_look()

    def halt(self) -> None:
        """Send nothing more; batches that are under way are still decided."""
        self.halted.set()
        self.books.notify()

    def _drop_queue(self) -> None:
        """Wait no longer for what will not be sent."""
        keys = self.books.plan.keys
        self.books.waiting.difference_update(RunId(keys[entry], attempt) for entry, attempt in self.queue)
        self.queue.clear()
        self.books.notify()

    def _may_send(self) -> bool:
        """Return whether a further batch may go out while some are undecided; until runs can be linked, none may."""
        return not self.undecided or (len(self.undecided) < 2 and self._is_linkable())

    def _is_linkable(self) -> bool:
        return self._service.dialect != "seed" or self._linked

    def _has_relevant(self) -> bool:
        return any(run in self.books.waiting for each in self.undecided for run in each.intent.runs)

    # Sending

    async def _send_next(self) -> None:
        if not self._wanted():
            await self.books.news(timeout=NEWS_AT_LEAST)
            return
        group_id = await self._open_group()  # opening the first one tells the dialect, and so how much is wanted
        wanted = min(self._wanted(), MAX_RUNS_PER_GROUP - self.books.ledger.group_size(group_id))
        granted, wait = self._pacer.take(wanted, now=self._clock.now())
        if not granted:
            if wait > LONG_WAIT:
                self.books.observer.said(f"waiting {wait:.0f} s for the rate limit")
            due = min((each.next_look for each in self.undecided), default=float("inf"))
            await self._sleep(min(wait, max(due - self._clock.now(), 0.01)))
            return
        batch = [self.queue.popleft() for _ in range(granted)]
        created = granted
        self._idle.clear()
        try:
            posted, intent = await self._post(group_id, batch)
            created = 0 if isinstance(posted, Refused) else granted
        finally:
            self._pacer.finish(granted, created=created, now=self._clock.now())
        await self._settle_answer(posted, intent, batch)
        self._idle.set()

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless there is nothing to send any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._clock.real(seconds)):
                await self.halted.wait()

    def _wanted(self) -> int:
        """Return how large the next batch may be; 0 while too many runs are in flight for one worth its request."""
        wanted = min(self._batch_limit, len(self.queue))
        if not self._is_linkable():
            wanted = min(wanted, FIRST_UNPROVEN_BATCH)
        if self._max_in_flight is None:
            return wanted
        room = self._max_in_flight - self.books.ledger.in_flight() - self._in_flight_elsewhere()
        return min(wanted, room) if room >= min(wanted, max(1, self._max_in_flight // 4)) else 0

    async def idle(self) -> None:
        """Return when no POST is in flight and the last one's answer is durable."""
        await self._idle.wait()

    async def _open_group(self) -> str:
        """Return the group that the next batch goes to; a new one is durable before anything is sent to it."""
        groups = self.books.store.groups
        if groups and self.books.ledger.group_size(groups[-1]) < MAX_RUNS_PER_GROUP:
            return groups[-1]
        group_id = await self._service.create_group(self.books.plan.job, metadata=self._group_metadata)
        dialect = self._service.dialect
        if dialect is None:
            raise ProtocolError("The service opened a group in no known dialect.", group_id=group_id)
        await self.books.store.add_group(group_id, dialect=dialect)
        self._on_group(group_id)
        return group_id

    async def _post(self, group_id: str, batch: Sequence[tuple[int, int]]) -> tuple[Posted, Intent]:
        """Make the intent durable, then send the batch, once."""
        plan = self.books.plan
        runs = [RunId(plan.keys[entry], attempt) for entry, attempt in batch]
        outgoing = [OutgoingRun(plan.inputs[entry], plan.metadata_of(entry, attempt)) for entry, attempt in batch]
        intent = await self.books.begin_batch(group_id, runs=runs, rows=[plan.positions[entry] for entry, _ in batch])
        return await self._service.add_runs(group_id, job=plan.job, runs=outgoing), intent

    async def _settle_answer(self, posted: Posted, intent: Intent, batch: Sequence[tuple[int, int]]) -> None:
        if isinstance(posted, Accepted):
            posted = await self._match_ids(posted, intent)
        if isinstance(posted, Accepted):
            self._note_created()
            receipts = [
                Receipt(run.key, run.attempt, run_id, intent.group_id, row)
                for run, run_id, row in zip(intent.runs, posted.run_ids, intent.rows, strict=True)
            ]
            await self.books.end_batch(intent, receipts=receipts)
            self.books.observer.sent(len(receipts))
        elif isinstance(posted, Ambiguous):
            now = self._clock.now()
            self.undecided.append(Undecided(intent, now, posted.reason, now))
            self.books.observer.said(
                f"whether {len(intent.runs)} runs were created is not known ({posted.reason}): looking"
            )
        else:
            self.queue.extendleft(reversed(batch))
            await self.books.drop_batch(intent)
            await self._after_refusal(posted, len(batch))

    def _note_created(self) -> None:
        """Go on with larger batches: the service creates what is sent, and its runs can be told apart."""
        self._linked = True
        self._absences = self._unreachable = 0
        self._batch_limit = min(MAX_RUNS_PER_BATCH, self._batch_limit * 2)

    async def _match_ids(self, accepted: Accepted, intent: Intent) -> Accepted | Ambiguous:
        """Return the ids in the order of the runs; where that order is not documented, the group's list tells it."""
        if self._order_proven or self._service.dialect != "seed":
            return accepted
        self.books.ledger.acknowledge(intent.group_id, accepted.run_ids)
        claimed = dict(zip(intent.runs, accepted.run_ids, strict=True))
        flaw: str | None = None
        for attempt in range(Backoff().tries):
            try:
                flaw = (await self._look_for(intent.group_id, intent.runs)).flaw
            except CANNOT_BE_READ as error:
                flaw = str(error)
            found = {run: receipt.run_id for run, receipt in self.books.ledger.found[intent.number].items()}
            agrees = all(claimed[run] == run_id for run, run_id in found.items())
            # Nothing found in a whole list: metadata and inputs are not echoed, and the order is all there is.
            if agrees and (found or flaw is None or flaw == UNLINKED):
                self._order_proven = True
                return accepted
            if len(found) == len(claimed):
                return Accepted([found[run] for run in intent.runs])
            await self._clock.sleep(Backoff().wait(attempt))
        return Ambiguous(f"whose ids they are cannot be told: {flaw}")

    async def _after_refusal(self, refused: Refused, size: int) -> None:
        """Wait where waiting helps; raise where it does not."""
        if refused.status == 429:
            self._batch_limit = max(1, size // 2)  # the limit may be lower than one batch
            self._pacer.refuse(refused.retry_after, now=self._clock.now())
        elif refused.status == 402 and (self.books.ledger.in_flight() or size > 1):
            self._batch_limit = max(1, size // 2)  # perhaps fewer still fit the credit
            if self.books.ledger.in_flight():
                self.books.observer.said("out of credit: waiting for runs in flight to finish")
                await self._clock.sleep(CREDIT_PAUSE)
                await self.books.news(timeout=self._clock.real(30.0))
        elif refused.status is None and self._unreachable < Backoff().tries:
            self._unreachable += 1
            await self._clock.sleep(Backoff().wait(self._unreachable - 1))
        else:
            raise refused.error

    # Looking

    async def _look_where_due(self) -> None:
        for each in list(self.undecided):
            if each.next_look <= self._clock.now() or not self.books.ledger.missing(each.intent.number):
                await self._decide(each)

    async def _wait_for_look(self) -> None:
        due = min(each.next_look for each in self.undecided)
        await self.books.news(timeout=max(self._clock.real(due - self._clock.now()), 0.001))

    async def _decide(self, each: Undecided) -> None:
        """Look at the group: adopt what is there, and send again only what is proven absent."""
        number, group_id = each.intent.number, each.intent.group_id
        began = self._clock.now()
        look = await self._look(each, self.books.ledger.missing(number))
        missing = self.books.ledger.missing(number)
        waited = began - each.since
        if not missing or (look.flaw is None and waited >= self._settle_time):
            self.undecided.remove(each)
            if len(missing) < len(each.intent.runs):
                self._note_created()
            receipts = list(self.books.ledger.found[number].values())
            await self.books.end_batch(each.intent, receipts=receipts)
            self.books.observer.sent(len(receipts) - len(each.intent.runs) * each.is_counted)
            self._requeue(missing)
            if missing:
                self._note_absent(each, len(missing))
            else:
                self.books.observer.said(f"all {len(each.intent.runs)} runs were found")
            return
        each.looks += 1
        if waited > self._settle_time and each.looks > LOOKS_AFTER_SETTLING:
            raise UndecidedError(group_id=group_id, runs=len(missing), reason=look.flaw or each.reason)
        left = self._settle_time - waited
        pause = min(max(1.0, waited), left) if left > 0 else 5.0
        each.next_look = self._clock.now() + pause
        self.books.observer.said(f"{len(missing)} runs undecided; {max(left, 0):.0f} s until they count as not created")

    def _note_absent(self, each: Undecided, missing: int) -> None:
        """Go on with smaller batches; a service that never creates what is sent gets no further tries."""
        self._absences += 1
        self._batch_limit = max(1, self._batch_limit // 2)
        if self._absences > ABSENCES:
            raise UnavailableError(
                f"The service did not create {missing} runs, {self._absences} times in a row ({each.reason}).",
                group_id=each.intent.group_id,
            )
        self.books.observer.said(f"{missing} runs were not created: sending them again")

    def _requeue(self, absent: Sequence[RunId]) -> None:
        """Ask the ledger again what the keys of runs need that were not created after all."""
        keys = [run.key for run in absent if run in self.books.waiting]
        self.books.waiting.difference_update(absent)
        for at, attempt in self.books.ledger.needs(keys, retry_failed=self._retry_failed).to_send:
            self.books.waiting.add(RunId(keys[at], attempt))
            self.queue.appendleft((self._entries[keys[at]], attempt))
        self.books.notify()

    async def _look(self, each: Undecided, missing: Sequence[RunId]) -> Look:
        """Look once; a service that cannot be read now proves nothing."""
        if not missing:
            return Look((), None)
        try:
            return await self._look_for(each.intent.group_id, missing)
        except CANNOT_BE_READ as error:
            return Look((), str(error))

    async def _look_for(self, group_id: str, runs: Sequence[RunId]) -> Look:
        seek = seek_among(self.books, runs)
        return await look_at_group(
            self._service, self.books, group_id, clock=self._clock, include_output=False, seek=seek
        )
