"""Sending what is to be sent: in paced batches, one at a time, and never again before having looked.

One loop both sends and looks, so that while it looks at a group no POST of ours is in flight there. A batch whose
answer proves nothing becomes *undecided*; two undecided batches stop further sending.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Final

from parallel_frames._clock import Backoff
from parallel_frames._engine._look import CANNOT_BE_READ, UNLINKED, Look, look_at_group
from parallel_frames._format import format_count, format_duration
from parallel_frames._limits import MAX_BYTES_PER_BATCH, MAX_RUNS_PER_BATCH, MAX_RUNS_PER_GROUP
from parallel_frames._model import UNREADABLE, Accepted, Ambiguous, Receipt, Refused
from parallel_frames._state import GroupState, judge_batch, read_identity
from parallel_frames.errors import ProtocolError, UnavailableError, UndecidedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from parallel_frames._clock import Clock
    from parallel_frames._engine._protocols import RunFeed, Service
    from parallel_frames._engine._state import EngineState
    from parallel_frames._model import Intent, Job, Json, OutgoingRun, Posted, RunId
    from parallel_frames._service import Pacer

FIRST_UNPROVEN_BATCH: Final = 5  # runs, until the seed dialect, the older API, has shown which run is of which row
LONG_WAIT: Final = 5.0  # seconds for the rate limit that are worth a note
ABSENCES: Final = 3  # batches in a row that the service may leave out
CREDIT_PAUSE: Final = 1.0  # seconds before credit is tried again, at the least
CREDIT_NEWS: Final = 4.0  # seconds more, unless a run ends first
MAX_NEWS_WAIT: Final = 1.0  # wall-clock seconds without news before it is seen again what is due
RUN_BYTES: Final = 300  # of a run around its input: processor and metadata
UNPROVEN: Final = (
    "The service shows neither the metadata nor the inputs of {runs} that it created, so that nothing proves which "
    "answer is whose. Nothing further was sent. With another checkpoint and `max_in_flight=1` each run is sent "
    "alone, and its id is certain; these are paid again then."
)


@dataclass(slots=True)
class Undecided:
    """A batch that may or may not have been created."""

    group: GroupState
    intent: Intent
    since: float
    reason: str
    next_look: float
    looks: int = 0
    is_counted: bool = False  # whether its runs were counted as sent before it was known


class Submitter:
    """The loop that sends one enrichment's runs.

    Attributes
    ----------
    queue : deque of OutgoingRun
        What is read from the feed and not sent yet; at least a batch, while the feed has more.
    filling : GroupState or None
        The group that the next batch goes to.
    """

    def __init__(
        self,
        state: EngineState,
        *,
        job: Job,
        feed: RunFeed,
        service: Service,
        pacer: Pacer,
        clock: Clock,
        settle_time: float,
        max_in_flight: int | None,
        group_metadata: Mapping[str, Json],
        on_group: Callable[[GroupState], None],
    ) -> None:
        self.state = state
        self.queue: deque[OutgoingRun] = deque()
        self.undecided: list[Undecided] = []
        self.filling: GroupState | None = None
        self.stopping = False
        self.halted = asyncio.Event()
        self._job = job
        self._feed = feed
        self._service = service
        self._pacer = pacer
        self._clock = clock
        self._settle_time = settle_time
        self._max_in_flight = max_in_flight
        self._group_metadata = group_metadata
        self._on_group = on_group
        self._unread: Iterator[list[OutgoingRun]] | None = None
        self._reading: asyncio.Future[list[OutgoingRun] | None] | None = None
        self._batch_limit = MAX_RUNS_PER_BATCH
        self._byte_limit = MAX_BYTES_PER_BATCH
        self._linked = any(group.acknowledged for group in state.groups.values())
        self._order_proven = False
        self._absences = 0
        self._unreachable = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin(self, runs: Iterator[list[OutgoingRun]]) -> None:
        """Send these runs, read in a thread while others are sent."""
        self._unread = runs
        self._read_ahead()

    def reopen(self, group: GroupState, intent: Intent) -> None:
        """Take up a batch that a dead process left open; its settle time begins again."""
        now = self._clock.now()
        self.undecided.append(Undecided(group, intent, now, "the process that sent it ended", now, is_counted=True))

    async def run(self) -> None:
        """Send everything, and decide every batch that matters to this call."""
        try:
            while not self.stopping:
                await self._fill_queue()
                if self.halted.is_set():
                    await self._drop_queue()
                if not self.queue and not self._awaits_undecided():
                    return
                await self._look_where_due()
                if self.queue and self._may_send():
                    await self._send_next()
                elif self.undecided:
                    await self._wait_for_look()
        finally:
            await self._stop_reading()

    def halt(self) -> None:
        """Send nothing more; batches that are under way are still decided."""
        self.halted.set()
        self.state.notify()

    # The feed

    def _read_ahead(self) -> None:
        runs = self._unread
        if runs is not None:
            self._reading = asyncio.ensure_future(asyncio.to_thread(next, runs, None))

    async def _fill_queue(self) -> None:
        """Have a whole batch in the queue, while the feed has more."""
        while self._reading is not None and len(self.queue) < self._batch_limit and not self.halted.is_set():
            runs = await asyncio.shield(self._reading)  # a thread that reads is waited for, also when cancelled
            self._reading = None
            if runs is not None:
                self.queue.extend(runs)
                self._read_ahead()

    async def _stop_reading(self) -> None:
        reading, self._reading, self._unread = self._reading, None, None
        if reading is not None:
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()  # the call ends for another reason

    async def _drop_queue(self) -> None:
        await self._stop_reading()
        self.queue.clear()
        self.state.notify()

    def _may_send(self) -> bool:
        """Return whether a further batch may go out while some are undecided; until runs can be linked, none may."""
        return not self.undecided or (len(self.undecided) < 2 and self._is_linkable())

    def _is_linkable(self) -> bool:
        return self._service.dialect not in ("seed", None) or self._linked

    def _awaits_undecided(self) -> bool:
        """Return whether a row waits for a run of an undecided batch."""
        return any(run in doubtful.group.waiting for doubtful in self.undecided for run in doubtful.intent.runs)

    # Sending

    async def _send_next(self) -> None:
        if not self._wanted():
            await self.state.news(timeout=MAX_NEWS_WAIT)
            return
        # Opening the first group finds out the dialect, and so how many runs may be sent: `_wanted` is asked again.
        group = await self._open_group()
        wanted = min(self._wanted(), MAX_RUNS_PER_GROUP - group.size)
        granted, wait = self._pacer.take(wanted, now=self._clock.now())
        if not granted:
            if wait > LONG_WAIT:
                self.state.observer.note(f"waiting {format_duration(wait)} for the rate limit")
            due = min((undecided.next_look for undecided in self.undecided), default=float("inf"))
            await self._sleep(min(wait, max(due - self._clock.now(), 0.01)))
            return
        batch = [self.queue.popleft() for _ in range(granted)]
        created = granted
        self._idle.clear()
        try:
            posted, intent = await self._post(group, batch)
            created = 0 if isinstance(posted, Refused) else granted
        finally:
            self._pacer.finish(granted, created=created, now=self._clock.now())
        await self._handle_response(posted, group, intent, batch)
        self._idle.set()  # not where something raises: the whole work ends then

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless there is nothing to send any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._clock.real(seconds)):
                await self.halted.wait()

    def _wanted(self) -> int:
        """Return how large the next batch may be; 0 while too many runs are in flight for one worth its request."""
        wanted = self._fitting(min(self._batch_limit, len(self.queue)))
        if not self._is_linkable():
            wanted = min(wanted, FIRST_UNPROVEN_BATCH)
        if self._max_in_flight is None:
            return wanted
        room = self._max_in_flight - self.state.in_flight
        # A request for each run that ends would be many: a quarter of the limit is to be free for the next batch.
        return min(wanted, room) if room >= min(wanted, max(1, self._max_in_flight // 4)) else 0

    def _fitting(self, most: int) -> int:
        """Return how many of the next runs, and no more than `most`, go into one request; at least one."""
        sizes = accumulate(len(run.input) + RUN_BYTES for run in islice(self.queue, most))
        return max(min(most, 1), sum(size <= self._byte_limit for size in sizes))

    async def idle(self) -> None:
        """Return when no POST is in flight and the last one's answer is durable."""
        await self._idle.wait()

    async def _open_group(self) -> GroupState:
        """Return the group that the next batch goes to; a new one is durable before anything is sent to it."""
        newest = next(reversed(self.state.store.groups), None)
        if self.filling is None and newest is not None and newest not in self.state.gone:
            self.filling = self.state.groups.get(newest) or self.state.load_group(newest)
            self._on_group(self.filling)
        if self.filling is not None and self.filling.size < MAX_RUNS_PER_GROUP:
            return self.filling
        group_id = await self._service.create_group(self._job, metadata=self._group_metadata)
        dialect = self._service.dialect
        if dialect is None:
            raise ProtocolError("The service opened a group in no known dialect.", group_id=group_id)
        await self.state.store.add_group(group_id, dialect=dialect)
        self.filling = self.state.load_group(group_id)
        self._on_group(self.filling)
        return self.filling

    async def _post(self, group: GroupState, batch: Sequence[OutgoingRun]) -> tuple[Posted, Intent]:
        """Make the intent durable, then send the batch, once."""
        intent = await self.state.begin_batch(group, batch)
        return await self._service.add_runs(group.group_id, job=self._job, runs=batch), intent

    async def _handle_response(
        self, posted: Posted, group: GroupState, intent: Intent, batch: Sequence[OutgoingRun]
    ) -> None:
        if isinstance(posted, Accepted):
            posted = await self._match_ids(posted, group, intent)
        if isinstance(posted, Accepted):
            self._after_success()
            created = {
                run: Receipt(run.key, run.attempt, run_id, group.group_id, row)
                for run, run_id, row in zip(intent.runs, posted.run_ids, intent.rows, strict=True)
            }
            await self.state.end_batch(group, intent, created=created, run_cursor=posted.run_cursor)
            self.state.observer.sent(len(created))
        elif isinstance(posted, Ambiguous):
            now = self._clock.now()
            self.undecided.append(Undecided(group, intent, now, posted.reason, now))
            self.state.trouble = posted.reason
            self.state.note_undecided(intent)
            runs = format_count(len(intent.runs), "run")
            self.state.observer.note(f"whether the service created {runs} is not known ({posted.reason}): looking")
        else:
            self.queue.extendleft(reversed(batch))
            await self.state.drop_batch(group, intent)
            await self._after_refusal(posted, batch)

    def _after_success(self) -> None:
        """Send larger batches from now on: the service creates what is sent, and its runs can be told apart."""
        self._linked = True
        self.state.trouble = None
        self._absences = self._unreachable = 0
        self._batch_limit = min(MAX_RUNS_PER_BATCH, self._batch_limit * 2)

    async def _match_ids(self, accepted: Accepted, group: GroupState, intent: Intent) -> Accepted | Ambiguous:
        """Return the ids in the order of the runs; the group's list proves it where nothing else links them."""
        is_seed = self._service.dialect == "seed"
        # One id has no order, and runs that name their metadata need none.
        order_is_trusted = self._order_proven or (
            not is_seed and (len(intent.runs) == 1 or await self._echoes_metadata(group))
        )
        if order_is_trusted:
            return accepted
        group.acknowledged.update(accepted.run_ids)  # before it is known whose they are
        claimed = dict(zip(intent.runs, accepted.run_ids, strict=True))
        flaw: str | None = None
        for attempt in range(Backoff().tries):
            flaw = (await self._look(group, intent.runs)).flaw
            found = {run: receipt.run_id for run, receipt in group.found[intent.number].items()}
            agrees = all(claimed[run] == run_id for run, run_id in found.items())
            # Nothing found in a whole list: metadata and inputs are not echoed, and the order is all there is.
            has_nothing = not found and (flaw is None or flaw == UNLINKED)
            if has_nothing and not is_seed:
                raise ProtocolError(UNPROVEN.format(runs=format_count(len(claimed), "run")), group_id=group.group_id)
            if agrees and (found or has_nothing):
                self._order_proven = len(claimed) > 1  # one id has no order
                return accepted
            if len(found) == len(claimed):  # the list has the whole batch: it counts more than the response's order
                return Accepted([found[run] for run in intent.runs], accepted.run_cursor)
            await self._clock.sleep(Backoff().wait(attempt))
        return Ambiguous(f"whose ids they are cannot be known: {flaw}")

    async def _echoes_metadata(self, group: GroupState) -> bool:
        """Return whether the service shows whose its runs are: the first one that it lists tells."""
        for attempt in range(Backoff().tries):
            if self.state.echoes:
                return True
            listed = self._service.list_runs(group.group_id, include_input=False, include_output=False)
            with suppress(*CANNOT_BE_READ):
                async with aclosing(listed) as runs:
                    async for event in runs:
                        if event.status != UNREADABLE:
                            self.state.echoes = read_identity(event.metadata) is not None
                            return self.state.echoes
            await self._clock.sleep(Backoff().wait(attempt))
        return False

    async def _after_refusal(self, refused: Refused, batch: Sequence[OutgoingRun]) -> None:
        """Wait where waiting helps; raise where it does not."""
        size = len(batch)
        if refused.status == 413 and size > 1:
            self._byte_limit = sum(len(run.input) + RUN_BYTES for run in batch) // 2
        elif refused.status == 429:
            self._batch_limit = max(1, size // 2)  # the limit may be lower than one batch
            self._pacer.note_refusal(refused.retry_after, now=self._clock.now())
        elif refused.status == 402 and (self.state.in_flight or size > 1):
            self._batch_limit = max(1, size // 2)  # perhaps fewer still fit the credit
            if self.state.in_flight:
                self.state.observer.note("out of credit: waiting for runs in flight to finish")
                await self._clock.sleep(CREDIT_PAUSE)
                await self.state.news(timeout=self._clock.real(CREDIT_NEWS))  # a top-up makes no news
        elif refused.status is None and self._unreachable < Backoff().tries:
            self.state.trouble = str(refused.error)
            self._unreachable += 1
            await self._clock.sleep(Backoff().wait(self._unreachable - 1))
        else:
            raise refused.error

    # Looking

    async def _look_where_due(self) -> None:
        for doubtful in list(self.undecided):
            if doubtful.next_look <= self._clock.now() or not doubtful.group.missing(doubtful.intent.number):
                await self._decide(doubtful)

    async def _wait_for_look(self) -> None:
        due = min(doubtful.next_look for doubtful in self.undecided)
        await self.state.news(timeout=max(self._clock.real(due - self._clock.now()), 0.001))

    async def _decide(self, doubtful: Undecided) -> None:
        """Look at the group: adopt what is there, and send again only what is proven absent."""
        group, number = doubtful.group, doubtful.intent.number
        waited = self._clock.now() - doubtful.since  # until the look begins: what it lacks had at least this long
        look = await self._look(group, group.missing(number))
        missing = group.missing(number)
        verdict = judge_batch(
            missing=len(missing), flaw=look.flaw, waited=waited, settle_time=self._settle_time, looks=doubtful.looks + 1
        )
        if verdict in ("present", "absent"):
            await self._close(doubtful, missing)
            return
        if verdict == "undecidable":
            raise UndecidedError(group_id=group.group_id, runs=len(missing), reason=look.flaw or doubtful.reason)
        doubtful.looks += 1
        left = self._settle_time - waited
        pause = min(max(1.0, waited), left) if left > 0 else 5.0
        doubtful.next_look = self._clock.now() + pause
        undecided, wait = format_count(len(missing), "run"), format_duration(max(left, 0))
        self.state.observer.note(f"{undecided} undecided; {wait} until they count as not created")

    async def _close(self, doubtful: Undecided, missing: Sequence[RunId]) -> None:
        """End a decided batch, and queue again those of its runs that were not created."""
        self.undecided.remove(doubtful)
        if len(missing) < len(doubtful.intent.runs):
            self._after_success()
        created = dict(doubtful.group.found[doubtful.intent.number])
        await self.state.end_batch(doubtful.group, doubtful.intent, created=created)
        counted = len(doubtful.intent.runs) if doubtful.is_counted else 0
        self.state.observer.sent(len(created) - counted)
        if not missing:
            self.state.observer.note(f"{format_count(len(doubtful.intent.runs), 'run')} found: all were created")
            return
        # What their inputs need is decided again: the rows may not be asked about, or a failure not be tried again.
        again = [run.key for run in missing if doubtful.group.waiting.pop(run, None) is not None]
        if not self.halted.is_set():
            self.queue.extendleft(reversed(await asyncio.to_thread(self._feed.find, again)))
        self.state.notify()
        self._after_absence(doubtful, len(missing))

    def _after_absence(self, doubtful: Undecided, missing: int) -> None:
        """Resume with smaller batches; a service that never creates what is sent gets no further tries."""
        self._absences += 1
        self._batch_limit = max(1, self._batch_limit // 2)
        if self._absences > ABSENCES:
            raise UnavailableError(
                f"The service did not create {format_count(missing, 'run')}, {self._absences} times in a row "
                f"({doubtful.reason}).",
                group_id=doubtful.group.group_id,
            )
        self.state.observer.note(f"{format_count(missing, 'run')} not created: sending again")

    async def _look(self, group: GroupState, runs: Sequence[RunId]) -> Look:
        """Look once for these runs; a service that cannot be read now proves nothing."""
        if not runs:
            return Look(None)
        recognise = self._feed.recognise({run.key: run.attempt for run in runs})
        try:
            return await look_at_group(
                self._service, self.state, group, clock=self._clock, include_output=False, recognise=recognise
            )
        except CANNOT_BE_READ as error:
            return Look(str(error))
