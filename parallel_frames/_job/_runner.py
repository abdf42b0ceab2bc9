"""`JobRunner`: one job from an open checkpoint to its answers, the same for frames and files.

It puts the floors together: open the store, recall, check that the rows are the ones it knows, announce, ask, check the
budget, run the engine, and say what is safe when it stops. What the rows are in and where the answers go is for the
source to know; what a person may ask, for the handle.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from importlib.metadata import version
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias, TypeVar

import numpy as np

from parallel_frames._checkpoint import in_thread, memory_store
from parallel_frames._columns import Level, Unanswered, grade_outcomes
from parallel_frames._engine import Engine
from parallel_frames._format import format_at_worst, format_count, format_utc
from parallel_frames._job._announce import announcement, ask_before_paying
from parallel_frames._job._attrs import question_facts
from parallel_frames._job._checkpoints import OpenCheckpoint, open_checkpoint, other_form_of
from parallel_frames._job._engines import refuse_task
from parallel_frames._job._join import Matches, count_matches, log_matches, refuse_other_question
from parallel_frames._job._lint import gaps_finding
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._plan import group_metadata
from parallel_frames._job._rows import RowBuilder, RowObserver, combine_callbacks
from parallel_frames._job._source import IndexedFeed
from parallel_frames._job._stored import times_of, tool_calls_of, warnings_of
from parallel_frames._prices import Runs, check_cost
from parallel_frames._state import NEVER, Answers, runs_of, states_of
from parallel_frames._tracebacks import of_user
from parallel_frames._ui import ProgressCounts, showing
from parallel_frames.errors import (
    CheckpointCorruptError,
    InputError,
    ParallelFramesError,
    RejectedError,
    Safety,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from parallel_frames._checkpoint import JobStore
    from parallel_frames._engine._protocols import Observer
    from parallel_frames._job._checkpoints import CheckpointPreview
    from parallel_frames._job._offline import Destination
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._rows import Row
    from parallel_frames._job._source import RowSource
    from parallel_frames._model import Job, Json, Outcome, Receipt, RunId, Schema
    from parallel_frames._service import Client
    from parallel_frames._state import Index, JobStatus
    from parallel_frames._state._answers import ReadPart
    from parallel_frames._ui import Progress

IndexT = TypeVar("IndexT", bound="Index")
T = TypeVar("T")
Until: TypeAlias = Literal["answered", "sent", "looked", "joined"]
LOOK_SECONDS: Final = 20.0
TRIES: Final = 3  # of reading answers, where parts turn out damaged
AT_ONCE: Final = 1_000
NOTHING_SENT: Final = "Nothing was sent."


@dataclass(slots=True)
class Reasons:
    """Why runs have no outcome: a run's own reason, or else the call's."""

    runs: dict[RunId, str] = field(default_factory=dict)
    pending: str = "not waited for yet"
    not_sent: str = "not sent yet"
    limit: int | None = None


class DamagedPartError(Exception):
    """A part of the outcomes turned out damaged while answers were read; the runner fetches them again."""


class Results(Generic[IndexT]):
    """What a job's store holds for its rows, read when it is asked for.

    Parameters
    ----------
    read_part : callable or None
        Reads columns of a part of the outcomes from the store; None without a store.
    reasons : Reasons
        Why there is no answer where there is none.
    strict : bool, default False
        Raise where a part is damaged; without it, its rows seem to have no answer.

    Attributes
    ----------
    statuses : mapping of str to int
        The asked rows by status; who delivers the rows fills it.
    kept : Counter of label
        For each column the cells that keep a value which is not the answer; who merges the rows fills it.
    """

    def __init__(self, index: IndexT, read_part: ReadPart | None, *, reasons: Reasons, strict: bool = False) -> None:
        self.index = index
        self._reasons = reasons
        self._of_keys = {run.key: reason for run, reason in reasons.runs.items()}
        self._read_part = read_part
        self._strict = strict
        self.statuses: Mapping[str, int] = {}
        self.kept: Counter[Hashable] = Counter()

    @property
    def jobs(self) -> Sequence[Results[IndexT]]:
        """What each job holds that asked about these rows: one for each processor."""
        return (self,)

    @property
    def unsettled(self) -> Collection[str]:
        """The keys of inputs whose answer another one is to replace."""
        return ()

    @property
    def processors(self) -> Sequence[str] | None:
        """The processor of each input's answer; None where there is only one."""
        return None

    def read(self, part: int, columns: Sequence[str]) -> pa.Table | None:
        """Return columns of a part of the outcomes; None where it is damaged."""
        table = None if self._read_part is None else self._read_part(part, columns)
        if table is None and self._strict:
            raise DamagedPartError(part)
        return table

    def by_input(self) -> tuple[Answers, Sequence[bool]]:
        """Return each input's outcome, and whether it was ever sent."""
        table = self.index.answers()
        return Answers(self.read, table[:, :3]), (table[:, 3] > 0).tolist()

    def unanswered(self, key: str, *, is_sent: bool) -> Unanswered:
        """Return what a run without an outcome is, and why."""
        if is_sent:
            return Unanswered("pending", self._of_keys.get(key, self._reasons.pending))
        limit = self._reasons.limit
        if limit is not None and (not self.index.status().to_send or not self.index.steps_of([key])):
            return Unanswered("not_sent", f"beyond the limit of {limit}")
        return Unanswered("not_sent", self._reasons.not_sent)

    def outcomes(self, *, only_done: bool = False) -> Iterator[list[Outcome]]:
        """Yield the outcomes that there are, some at a time; `only_done`: but for those that are asked again."""
        answers, _ = self.by_input()
        done = self.index.done() if only_done else None
        found = (outcome for entry, outcome in answers.outcomes() if done is None or done[entry])
        while batch := list(islice(found, AT_ONCE)):
            yield batch

    def grades(self, schema: Schema) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return how good each input's answer is."""
        answers, _ = self.by_input()
        grades = np.full(len(answers), Level.UNKNOWN, dtype=np.int64)
        found = answers.outcomes()
        while batch := list(islice(found, AT_ONCE)):
            entries, outcomes = zip(*batch, strict=True)
            grades[list(entries)] = grade_outcomes(outcomes, schema)
        return grades

    def times(self) -> list[tuple[str | None, str | None, str]]:
        """Return when each ended run of any job began and ended, and its status."""
        return [times for results in self.jobs for times in times_of(results.by_input()[0])]

    def warnings(self) -> Counter[str]:
        """Return what the service warned of, and for how many runs."""
        return sum((warnings_of(results.by_input()[0]) for results in self.jobs), Counter())

    def tool_calls(self) -> Counter[str]:
        """Return which MCP tools were called, and how often."""
        return sum((tool_calls_of(results.by_input()[0]) for results in self.jobs), Counter())


def stop_text(safety: Safety | None) -> str:
    """Return what Ctrl-C leaves: what is safe, how to resume, and that what was sent is not called back."""
    return str(safety) if safety is not None and safety.sent else NOTHING_SENT


def is_refusal(error: BaseException | None) -> bool:
    """Return whether the same call would end like this again, so that the error itself says what to change."""
    return isinstance(error, InputError | RejectedError)


def joint_safety(safeties: Iterable[Safety | None], *, answered: int) -> Safety | None:
    """Return what is safe of jobs that ask several processors about the same rows; None where there is nothing."""
    known = [each for each in safeties if each is not None]
    if not known:
        return None
    folders = [each.checkpoint for each in known if each.checkpoint is not None]
    return replace(
        known[0],
        answered=answered,
        sent=sum(each.sent for each in known),
        group_ids=tuple(dict.fromkeys(group_id for each in known for group_id in each.group_ids)),
        checkpoint=" and ".join(dict.fromkeys(folders)) or None,
        is_escalated=True,
        under_way=sum(each.under_way for each in known),
        in_doubt=sum(each.in_doubt for each in known),
    )


def _plus(amount: Decimal | None, more: Decimal) -> Decimal | None:
    return None if amount is None else amount + more


class JobRunner:
    """The state of one job, before, while and after it runs.

    Attributes
    ----------
    index : Index
        What is known of each row and run; of the rows only, before the first run.
    checkpoint : str or None
        The job's folder; None without a checkpoint.
    destination : Destination or None
        Where it goes; None before the first run.
    simulated : bool
        Whether any answer is a simulator's.
    matched : mapping of str to int, or None
        How runs of groups that the call names were matched to rows.
    has_begun : bool
        Whether everything was sent once: what failed since is not tried again by resuming.
    halted : bool
        Whether nothing more is to be sent.
    stopped : str or None
        What is safe, and what continues, once Ctrl-C stopped it.
    refreshing : bool
        Whether rows are left that a refresh is to ask again.
    billed_before : int or None
        Runs that earlier calls paid for; None before the first run.
    billed_at_start : int or None
        Runs that were paid for when it ran last, by this handle too; None before that.
    on_row : callable or None
        The call's own function for each row.
    seconds_left : float or None
        How long it may take.
    spent_elsewhere : decimal.Decimal
        US dollars that other processors' runs of these rows cost: `max_cost` counts them, too.
    at_worst : decimal.Decimal or None
        US dollars that this costs at worst, where rows may be escalated to further processors; None for not known.
    """

    def __init__(self, source: RowSource[Any]) -> None:
        if source.prepared.call.checkpoint in ("auto", None):  # a named one pays once, whoever repeats the call
            refuse_task()  # here, where the caller's thread is known
        self.source = source
        self.index: Index = source.make_index()
        self.group_ids: tuple[str, ...] = ()
        self.checkpoint: str | None = None
        self.destination: Destination | None = None
        self.memory: JobStore | None = None
        self.simulated = False
        self.matched: Mapping[str, int] | None = None
        self.is_running = False
        self.has_begun = False
        self.halted = False
        self.billed_before: int | None = None
        self.billed_at_start: int | None = None
        self.stopped: str | None = None
        self.refreshing = source.prepared.call.refresh
        self.on_row: Callable[[Row], object] | None = source.prepared.call.on_row
        self.seconds_left: float | None = source.prepared.call.timeout
        self.spent_elsewhere = Decimal()
        self.at_worst: Decimal | None = None
        self._reasons = Reasons(limit=source.prepared.call.limit)
        self._store: JobStore | None = None
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._undecided_in_gone = 0
        self._matches = Matches()
        self._is_scanned = self._asks_simulator = False
        older_than = source.prepared.call.older_than
        # Read here: in the thread that scans, a test's frozen clock may not be in force.
        self._stale_before = NEVER if older_than is None else format_utc(time.time() - older_than)

    def again(self) -> JobRunner:
        """Return a runner of the same call, made again: what failed is asked again, and a store in memory is kept."""
        runner = JobRunner(self.source)
        runner.memory, runner.destination, runner.refreshing = self.memory, self.destination, self.refreshing
        return runner

    @property
    def prepared(self) -> PreparedCall:
        """The call."""
        return self.source.prepared

    @property
    def job(self) -> Job:
        """The job, with the task spec that its first call froze: later words must not change an answer."""
        job = self.prepared.job
        return job if self._store is None else replace(job, spec=self._store.header["spec"])

    # What is known

    def scan(self) -> None:
        """Read the rows into the index, once."""
        if not self._is_scanned:
            self.source.scan(self.index)
            self._is_scanned = True
        self._configure()

    def _configure(self) -> None:
        call = self.prepared.call
        # What failed or grew old since everything was sent is for another call to ask again.
        self.index.configure(
            retry_failed=call.retry_failed and not self.has_begun,
            stale_before=NEVER if self.has_begun else self._stale_before,
            limit=call.limit,
        )

    def status(self) -> JobStatus:
        """Return what is left to do, in numbers."""
        self.scan()
        return self.index.status()

    def results(self, *, strict: bool = False) -> Results[Any]:
        """Return what is known of the answers, to be read from the store."""
        self.scan()
        read_part = None if self._store is None else self._store.read_outcomes
        return Results(self.index, read_part, reasons=self._reasons, strict=strict)

    @property
    def processors(self) -> tuple[str, ...]:
        """The processors that rows may be sent to."""
        return (self.prepared.call.processor,)

    @property
    def spent(self) -> Decimal | None:
        """US dollars of the runs that were sent for these rows; None where the price is not known."""
        return self.prepared.price.of(self.status().billed)

    @property
    def costs(self) -> dict[str, float | None]:
        """The same by processor."""
        return {self.prepared.call.processor: None if self.spent is None else float(self.spent)}

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The folders of its jobs."""
        return () if self.checkpoint is None else (self.checkpoint,)

    @property
    def spent_before(self) -> Decimal | None:
        """US dollars that earlier calls paid of that; None before the first run, or where the price is not known."""
        return None if self.billed_before is None else self.prepared.price.of(self.billed_before)

    @property
    def has_store(self) -> bool:
        """Whether it ever ran."""
        return self._store is not None

    @property
    def is_finished(self) -> bool:
        """Whether it ran and nothing is left to send or to wait for."""
        if self._store is None:
            return False
        status = self.status()
        return not (status.to_send or status.awaited)

    def known_rows(self) -> Iterator[Row]:
        """Yield the rows that have an outcome."""
        builder = RowBuilder(self.source, self.index)
        for outcomes in self.results().outcomes():
            yield from builder.rows_of(outcomes)

    def note_preview(self, preview: CheckpointPreview) -> None:
        """Keep where earlier calls left answers, for what is safe before the checkpoint is opened."""
        self.checkpoint = None if preview.folder is None else str(preview.folder)
        self.group_ids = tuple(preview.header.get("groups", ()))

    def safety(self, error: BaseException | None = None) -> Safety | None:
        """Return what is safe when it ends with an error; None where it knows of no run, and for input that is refused.

        A call that is refused would ask some rows again.
        """
        if self._store is None and not self.group_ids:
            return None
        is_refused = is_refusal(error)
        if not is_refused:
            self.index.configure(retry_failed=False, limit=None)
        status = self.index.status()
        self._configure()
        if isinstance(error, InputError) and not status.sent:
            return None  # it says so itself
        destination = self.destination
        return Safety(
            status.rows_answered,
            status.rows,
            status.sent,
            self.group_ids,
            self.checkpoint,
            is_refused,
            under_way=status.under_way,
            in_doubt=status.in_doubt,
            is_simulated=self._asks_simulator,
            ends_with_statement=destination is not None and destination.ends_with_statement,
            is_temporary=destination is not None and destination.is_temporary(self.prepared.call.checkpoint),
        )

    def facts(self, counts: Mapping[str, int]) -> dict[str, Json]:
        """Return what attrs say of the job; `counts` are its rows by status."""
        return {
            "job": self.prepared.job.hash,
            "processor": self.prepared.call.processor,
            "costs": self.costs,
            "inputs": self.prepared.selection.identity,
            "host": None if self.destination is None else self.destination.client.host,
            "group_ids": list(self.group_ids),
            "checkpoint": self.checkpoint,
            "rows": dict(counts),
            "answered_until": self.index.answer_times()[1],
            "simulated": self.simulated,
            **question_facts(self.prepared),
            **({} if self.matched is None else {"matched": dict(self.matched)}),
        }

    # Running

    def stop_sending(self) -> None:
        """Send nothing more; may be called from any thread, and before it runs."""
        self.halted = True
        engine, loop = self._engine, self._loop
        if engine is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(engine.halt)

    async def run(
        self,
        until: Until = "answered",
        *,
        on_row: Callable[[Row], object] | None = None,
        deliver: Callable[[Results[Any]], T] | None = None,
        shared_progress: Progress | None = None,
    ) -> T | None:
        """Run until everything is answered, or sent, or the groups were looked at once.

        `deliver` reads the answers, in a thread and while the checkpoint is still ours; what it returns is returned.
        `shared_progress` shows what several jobs do, in place of a progress of its own.
        """
        if self.is_running:
            raise InputError("This enrichment is running already: wait for it, or iterate over it.")
        self.is_running, self.billed_at_start = True, None
        try:
            await in_thread(self.scan)
            shows = False if until == "looked" else self.prepared.call.progress
            if not self.index.runs:  # no need of a key, or of a checkpoint
                with showing(shows) if shared_progress is None else nullcontext(shared_progress) as progress:
                    self._begin(progress, self.index.status(), until)
                    return None if deliver is None else deliver(self.results())
            destination = self.destination = self.destination or choose_destination(self.prepared.call.client)
            if destination.is_gone:
                raise InputError("The offline block of this enrichment has ended, and its simulator with it.")
            self.simulated = self._asks_simulator = await in_thread(destination.asks_simulator)
            with showing(shows) if shared_progress is None else nullcontext(shared_progress) as progress:
                async with open_checkpoint(
                    self.source, self.index, destination, refresh=self.refreshing, memory=self.memory
                ) as opened:
                    self._take_store(opened.store)
                    if opened.continues_refresh and not self.has_begun:
                        progress.warn(
                            "this continues a refresh that is not over: rows that were asked again since it began "
                            "are not asked once more. `older_than` asks by age instead."
                        )
                    await self._run(opened, destination.client, progress, until, on_row)
                    if deliver is None:
                        return None
                    for _ in range(TRIES):
                        with suppress(DamagedPartError, CheckpointCorruptError):
                            results = self.results(strict=True)
                            try:
                                delivered = await in_thread(partial(deliver, results))
                            finally:
                                if results.statuses:
                                    progress.count(results.statuses)
                            await self._end_refresh(opened.store)
                            return delivered
                        await in_thread(partial(self._drop_damaged, opened.store))
                        await self._run(opened, destination.client, progress, until, on_row)
                    raise CheckpointCorruptError(
                        f"{self.checkpoint} holds damaged answers again each time they were fetched. Nothing was paid "
                        "for twice. Check the disk, and run the same again: it fetches them for free.",
                        path=self.checkpoint,
                    )
        finally:
            self.is_running = False

    async def _end_refresh(self, store: JobStore) -> None:
        """Record the end of a refresh: not before its answers are delivered, or a kill would pay for it twice.

        A call without ``refresh=`` may deliver what is left of one.
        """
        if self.index.has_marks and self.index.is_refreshed():
            self.refreshing = False
            await in_thread(lambda: store.end_refresh(self.index.marked_attempts(of_others=True)))

    async def adopt(
        self,
        receipts: Sequence[Receipt],
        outcomes: Sequence[Outcome],
        reasons: Mapping[RunId, str],
        *,
        destination: Destination,
    ) -> None:
        """Take what was collected rather than sent for, into a store in memory."""
        self._reasons.runs = dict(reasons)
        self._reasons.not_sent = "the groups hold no run for this row"
        self.scan()
        store = memory_store(self.prepared.job, host=destination.host)
        self.index.add_receipts(runs_of(receipts))
        if outcomes:
            part = await store.write_outcomes(outcomes, cursors={})
            self.index.add_outcomes(part, states_of(outcomes))
        self._take_store(store)

    def _drop_damaged(self, store: JobStore) -> None:
        """Forget the outcomes of damaged parts: what was in them is on the service, and is fetched again for free."""
        for part in self.index.parts():
            if not store.check_outcomes(part):
                self.index.drop_part(part)

    def _take_store(self, store: JobStore) -> None:
        self._store, self.checkpoint = store, store.location
        self.memory = store if store.location is None else None
        self.simulated |= store.simulated
        self.group_ids = tuple(store.groups)

    async def _run(
        self,
        opened: OpenCheckpoint,
        client: Client,
        progress: Progress,
        until: Until,
        on_row: Callable[[Row], object] | None,
    ) -> None:
        self._reasons = Reasons({}, "under way", "waits to be sent", self.prepared.call.limit)
        try:
            if self.prepared.call.group_ids and until != "looked" and not (self.has_begun or self.halted):
                await self._join_groups(opened, client, progress)
            status = self.index.status()
            if until != "looked":
                self._announce(status, opened.store, client, progress)
            callback = combine_callbacks(on_row, self.on_row)
            with self._observed(status, client, progress, callback, until) as observer:
                if status.to_send or status.awaited:
                    progress.started(rows=status.rows, waiting=status.to_send + status.awaited)
                    await self._run_engine(opened, client, observer, until)
                    progress.label(simulated=self.simulated)
                    self._check_answers(progress)
            if until == "looked" or (until == "sent" and not self.index.status().to_send):
                progress.leave_as(until)
            if until == "answered":
                self._warn_of_open_rows(progress)
        except ParallelFramesError as error:
            self._end(f"it ended with {type(error).__name__}", is_refused=is_refusal(error))
            unknown = self.prepared.price.unknown
            if isinstance(error, RejectedError) and error.status != 404 and unknown is not None:
                error.args = (f"{error}\n{unknown[0].upper()}{unknown[1:]}",)
            error.safety = self.safety(error)
            raise
        except (KeyboardInterrupt, asyncio.CancelledError):
            self._end("it was interrupted")
            if until != "looked":
                self.stopped = stop_text(self.safety())
            raise

    async def _join_groups(self, opened: OpenCheckpoint, client: Client, progress: Progress) -> None:
        """Adopt what the groups that the call names hold, so that what is announced and bounded is what is sent."""
        if not self.index.status().to_send:
            return
        await self._run_engine(opened, client, progress, "joined")
        if self._matches.ways:
            log_matches(self.prepared.call.group_ids, self._matches)
        for text in self._matches.left_texts(self.prepared.call.processor):
            progress.warn(text)
        processor, to_send = self.prepared.call.processor, self.index.status().to_send
        refuse_other_question(self._matches, processor, to_send=to_send)

    def _end(self, pending: str, *, not_sent: str | None = None, is_refused: bool = False) -> None:
        """Say why the rows that are left have no answer."""
        self._reasons.pending = f"{pending}; run the same again to resume"
        self._reasons.not_sent = pending if is_refused else f"{not_sent or pending}; run the same again to send it"

    def _end_as(self, engine: Engine, until: Until) -> None:
        """Say why rows are left after the engine has ended without an error."""
        not_sent = "stop_sending() was called" if self.halted else None
        if until == "sent":
            self._end("sent, and not waited for", not_sent=not_sent)
        elif until == "looked":
            self._end("had no answer when the group was looked at", not_sent=not_sent or "only looked, sent nothing")
        else:
            timeout = self.prepared.call.timeout
            late = "no answer yet" if timeout is None else f"no answer within the timeout of {timeout:g} s"
            unsent = "not sent" if timeout is None else f"not sent within the timeout of {timeout:g} s"
            trouble = f" ({engine.trouble})" if engine.trouble else ""
            self._end(late + trouble, not_sent=not_sent or unsent + trouble)

    def _check_answers(self, progress: Progress) -> None:
        """Warn of what may be misspelt in the answers of an offline block, and raise what their function raised."""
        block = None if self.destination is None else self.destination.block
        if block is not None:
            for note in block.take_notes():
                progress.warn(note)
            if (error := block.take_error()) is not None:
                raise of_user(error)

    def _warn_of_open_rows(self, progress: Progress) -> None:
        status = self.index.status()
        rows = status.rows_open
        if rows and not self.halted:
            own = list(self._reasons.runs.values())
            reasons = [own[0] + (f" (and {len(own) - 1} more)" if len(own) > 1 else "")] if own else []
            if status.awaited > len(own):
                reasons.append(self._reasons.pending)
            if status.to_send:
                reasons.append(self._reasons.not_sent)
            progress.warn(f"{format_count(rows, 'row')} without an answer: {'; '.join(reasons)}")
        if self._undecided_in_gone:
            progress.warn(self._price_of_gone(self._undecided_in_gone, self.index.status().runs))

    def _price_of_gone(self, gone: int, runs: int) -> str:
        """Return what asks runs again that are undecided in groups that are gone, and what that costs."""
        price, label = self.prepared.price, self.prepared.layout.status
        which = f"{format_count(gone, 'run')} in groups that are gone"
        if self.prepared.target is None and label is not None:
            where = f"`where=out[{label!r}] == 'pending'`"
            return f"{which}: `refresh=True` with {where} asks them again, for {price.text(gone)}"
        return (
            f"{which}: to ask them again comes to {price.text(gone)} if their rows are passed alone with `refresh=True`"
            f", and to {price.text(runs)} with all rows"
        )

    async def _run_engine(self, opened: OpenCheckpoint, client: Client, observer: Observer, until: Until) -> None:
        store, call = opened.store, self.prepared.call
        await in_thread(lambda: store.note_simulated(self.simulated))  # before anything is sent: it may be killed
        with client.pacer.joined(client.max_per_minute) as pacer:
            async with client.session(dialect=store.dialect) as session:
                feed = IndexedFeed(self.source, self.index, self._matches)
                engine = Engine(
                    job=self.job,
                    feed=feed,
                    index=self.index,
                    store=store,
                    service=session,
                    pacer=pacer,
                    clock=client.clock,
                    settle_time=client.settle_time,
                    observer=observer,
                    group_metadata=group_metadata(self.job, library=version("parallel-frames")),
                    intents=opened.recalled.intents,
                    cursors=opened.recalled.cursors,
                    max_in_flight=call.max_in_flight,
                    until=until,
                    reasons=self._reasons.runs,
                    named_groups=call.group_ids,
                    refreshes=self.refreshing,
                    may_leave_groups=self.refreshing or call.on_mismatch == "new",
                    check_budget=self._check_budget,
                )
                self._loop, self._engine = asyncio.get_running_loop(), engine
                if self.halted:
                    engine.halt()
                try:
                    await engine.run(timeout=LOOK_SECONDS if until == "looked" else self.seconds_left)
                    self._end_as(engine, until)
                    if until not in ("looked", "joined"):
                        self.has_begun = True
                        self._configure()
                finally:
                    self._undecided_in_gone = len(engine.undecided_in_gone)
                    self._engine = self._loop = None
                    self.billed_before = (self.billed_before or 0) + engine.found_runs
                    self.group_ids = tuple(store.groups)
                    if feed.matches.ways:
                        self.matched = count_matches(feed.matches.ways)
                    self.simulated |= session.simulated
                    await in_thread(lambda: store.note_simulated(self.simulated))

    # Before and while it runs

    def _announce(self, status: JobStatus, store: JobStore, client: Client, progress: Progress) -> None:
        """Say what will be sent, and make sure that it may be."""
        prepared, price = self.prepared, self.prepared.price
        if not self.has_begun:
            for finding in prepared.findings:
                progress.warn(finding.with_subject)
            gaps = gaps_finding(self.source.gaps) if status.to_send and not prepared.is_later else None
            if gaps is not None:
                progress.warn(gaps.with_subject)
            if price.unknown is not None:
                progress.warn(price.unknown)
            hint = other_form_of(store.header, self.source) if status.to_send else None
            if hint is not None:
                progress.warn(hint)
            if prepared.call.older_than is not None and (undated := self.index.count_undated()):
                progress.warn(
                    f"{format_count(undated, 'answer')} without a time, because the service sent none; "
                    "they are not asked again. `refresh=True` asks every row again."
                )
        essence, facts = announcement(
            prepared,
            status,
            since=self.index.answer_times()[0] if status.answered else None,
            max_per_minute=client.max_per_minute,
            checkpoint=self.checkpoint,
            earlier_groups=len(set(prepared.earlier_groups) - set(store.header["groups"])),
            elsewhere=self._paid_elsewhere,
            at_worst=self.at_worst,
            simulated=self.simulated,
        )
        if (adopted := self._matches.adopted_text()) is not None and not self.has_begun:
            facts.insert(0, adopted)
        progress.announce(essence, facts, simulated=self.simulated)
        runs = 0 if self.halted else status.to_send
        self._check_budget(runs)
        may_send = runs or (prepared.later and self.at_worst != 0)
        if may_send and not self.has_begun:
            is_free = self.destination is not None and self.destination.block is not None
            certain = price.of(runs)
            cost = certain if self.at_worst is None else self.at_worst
            worst = format_at_worst(self.at_worst, [each.call.processor for each in prepared.later], certain=certain)
            text = price.text(runs, before=status.billed, elsewhere=self._paid_elsewhere) + worst
            ask_before_paying(prepared.call, runs=runs, cost=cost, price=text, is_free=is_free)

    @property
    def _paid_elsewhere(self) -> Decimal:
        """What earlier calls paid to processors that this job's rows may be escalated to."""
        return self.spent_elsewhere if self.prepared.later else Decimal()

    def _check_budget(self, runs: int) -> None:
        """Refuse to send so many runs where all of them, with those before, would cost more than allowed."""
        call = self.prepared.call
        limit_for = None if call.group_ids or self.prepared.is_later else self.limit_within
        part = Runs(self.prepared.price, runs, self.index.status().billed)
        check_cost(part, elsewhere=self.spent_elsewhere, max_cost=call.max_cost, limit_for=limit_for)

    def limit_within(self, dollars: Decimal) -> int | None:
        """Return the ``limit`` with which what is to be sent costs no more than that; None where there is none."""
        per_run = self.prepared.price.per_run
        runs = 0 if per_run is None else int(dollars // per_run)
        return self.index.limit_for(runs) if runs else None

    @contextmanager
    def _observed(
        self,
        status: JobStatus,
        client: Client,
        progress: Progress,
        on_row: Callable[[Row], object] | None,
        until: Until,
    ) -> Iterator[Observer]:
        """Give the engine's observer, which hands over rows too where a function takes them."""
        self._begin(progress, status, until, url_of=client.url_of)
        if on_row is None:
            yield progress
            return
        observer = RowObserver(progress, builder=RowBuilder(self.source, self.index), on_row=on_row)
        try:
            for outcomes in self.results().outcomes(only_done=True):
                observer.hand_over(outcomes)
            yield observer
        finally:
            observer.close()
            progress.count(observer.statuses)

    def _begin(
        self, progress: Progress, status: JobStatus, until: Until, *, url_of: Callable[[str], str] | None = None
    ) -> None:
        """Let the progress know what there is to do."""
        price, elsewhere = self.prepared.price, self._paid_elsewhere
        if self.billed_before is None:
            self.billed_before = status.billed
        if self.billed_at_start is None:
            self.billed_at_start = status.billed
        counts = ProgressCounts(
            rows=status.chosen,
            done=status.rows_answered + status.skipped,
            failed=status.rows_failed,
            skipped=status.skipped,
            left_out=status.chosen - status.skipped - status.rows_answered - status.rows_open,
            in_flight=status.awaited,
            runs=status.answered + status.awaited + status.to_send,
            sent=status.answered + status.awaited,
            per_run=price.per_run,
            spent=_plus(price.of(status.billed), elsewhere),
            before=_plus(price.of(self.billed_at_start), elsewhere),
            extra_cost=price.extra,
        )
        progress.begin(
            counts,
            url_of=url_of,
            checkpoint=self.checkpoint,
            only_sending=until == "sent",
            done=f"enriched{self.prepared.on_processor}",
        )
