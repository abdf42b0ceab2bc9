"""`EscalationRunner`: rows whose answer is not good enough are asked again at the next processor.

It is a chain of ordinary jobs, one for each processor, over the same rows: each has its own folder in the checkpoint,
where any other call finds its answers, and keeps the laws by itself. What is here is only the chain: which rows the
next job asks about (by the answers in the store, never by the cells of a frame), which answer a row takes, and what the
whole costs. How good an answer is, the grade says.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeVar, cast

import numpy as np

from parallel_frames._checkpoint import in_thread
from parallel_frames._columns import Level, Unanswered, grade_answer, level_of, needs_escalation, replaces
from parallel_frames._job._forecast import forecast, recall_quietly, total_of, with_answers
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._rows import combine_callbacks
from parallel_frames._job._runner import TRIES, DamagedPartError, JobRunner, Results, joint_safety, stop_text
from parallel_frames._job._source import FrameSource
from parallel_frames._prices import require_price
from parallel_frames._state import Answers
from parallel_frames._ui import ProgressCounts, showing
from parallel_frames.errors import CheckpointCorruptError, InputError, ParallelFramesError, Safety

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from parallel_frames._checkpoint import JobStore
    from parallel_frames._job._offline import Destination
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._row_filter import Mask
    from parallel_frames._job._rows import Row
    from parallel_frames._job._runner import Until
    from parallel_frames._job._source import EscalatingSource
    from parallel_frames._model import Json, Plan
    from parallel_frames._state import JobStatus

T = TypeVar("T")
Candidates: TypeAlias = "dict[int, tuple[int, Row]]"  # of each escalated row its best answer so far, with the grade
Numbers: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
NOT_AT_ONCE: Final = (
    "`escalate` chooses by the answers which rows the next processor is asked about, so that not everything can be "
    "sent at once, and submitted. Nothing was sent. Enrich instead, or submit without `escalate`."
)


# What is known of the answers


class JobAnswers(NamedTuple):
    """What one job of a chain says of some inputs.

    Attributes
    ----------
    asked : numpy.ndarray of int64
        The numbers of the inputs that it asks about.
    grades : numpy.ndarray of int64
        How good the answer to each of these is.
    runs : sequence of (str, bool)
        The key of each, and whether it was sent.
    """

    asked: Numbers
    grades: Numbers
    runs: Sequence[tuple[str, bool]]


class BestAnswers(NamedTuple):
    """Of each input the best answer of a chain of jobs.

    Attributes
    ----------
    jobs : numpy.ndarray of int64
        The number of the job whose answer it is.
    waiting : dict of int to Unanswered
        The inputs for which a further processor has not answered, and why.
    """

    jobs: Numbers
    waiting: dict[int, Unanswered]


class EscalatedResults(Results[Any]):
    """What the jobs of an escalation hold; what is asked by input is of the first job.

    Parameters
    ----------
    steps : sequence of JobRunner
        The jobs so far.
    names : sequence of str
        The processors of these and of those that may follow.
    """

    def __init__(self, steps: Sequence[JobRunner], names: Sequence[str], *, strict: bool) -> None:
        self._jobs = [step.results(strict=strict) for step in steps]
        self.names = names
        self.schema = steps[0].prepared.schema
        first = self._jobs[0]
        super().__init__(first.index, first._read_part, reasons=first._reasons, strict=strict)

    @property
    def jobs(self) -> Sequence[Results[Any]]:
        """What each job holds that asked about these rows: one for each processor."""
        return self._jobs

    def choose(self, inputs: int, answers: Iterable[JobAnswers]) -> BestAnswers:
        """Return which job's answer each of so many inputs takes, by what one job after the other answered."""
        jobs, grades = np.zeros(inputs, np.int64), np.full(inputs, Level.UNKNOWN, np.int64)
        waiting: dict[int, Unanswered] = {}
        left = np.zeros(0, np.int64)  # what the job before leaves to this one
        for number, (asked, new, runs) in enumerate(answers):
            is_better = replaces(new, grades[asked])
            better = asked[is_better]
            jobs[better], grades[better] = number, new[is_better]
            for at in np.flatnonzero(new == Level.UNKNOWN).tolist() if number else ():
                key, is_sent = runs[at]
                status, reason = self._jobs[number].unanswered(key, is_sent=is_sent)
                waiting[int(asked[at])] = Unanswered(status, f"{self.names[number]}: {reason}")
            waiting |= self._not_asked(number, np.setdiff1d(left, asked))
            left = asked[needs_escalation(level_of(new))]
        return BestAnswers(jobs, waiting | self._not_asked(len(self._jobs), left))

    def _not_asked(self, job: int, inputs: Numbers) -> dict[int, Unanswered]:
        """Return why inputs wait for a job that does not know of them yet; nothing where there is no such job."""
        if job >= len(self.names):
            return {}
        reason = Unanswered("not_sent", f"{self.names[job]}: not sent yet; run the same again to send it")
        return dict.fromkeys(inputs.tolist(), reason)


# Running


class BestOfFrame(EscalatedResults):
    """The same for a frame, by input: its best answer. A file brings its rows together in their order."""

    def __init__(self, steps: Sequence[JobRunner], names: Sequence[str], *, strict: bool) -> None:
        super().__init__(steps, names, strict=strict)
        self._plans: list[Plan] = [step.source.plan for step in steps if isinstance(step.source, FrameSource)]
        row_runs = self._plans[0].row_runs
        self._asked = [row_runs[np.asarray(plan.positions, dtype=np.int64)] for plan in self._plans]

    def read(self, part: int, columns: Sequence[str]) -> pa.Table | None:
        """Return columns of a part of the outcomes, whose number says which job it is of."""
        number, job = divmod(part, len(self.jobs))
        return self.jobs[job].read(number, columns)

    def by_input(self) -> tuple[Answers, Sequence[bool]]:
        """Return each input's best outcome, and whether it was ever sent to the first processor."""
        first, jobs = self.index.answers(), self._best.jobs
        places = first[:, :3].copy()
        for number, results in enumerate(self.jobs):
            asked = self._asked[number]
            is_taken = jobs[asked] == number
            places[asked[is_taken]] = results.index.answers()[is_taken, :3]
        known = places[:, 0] >= 0
        places[known, 0] = places[known, 0] * len(self.jobs) + jobs[known]
        return Answers(self.read, places), (first[:, 3] > 0).tolist()

    def unanswered(self, key: str, *, is_sent: bool) -> Unanswered:
        """Return what a run is that has no outcome, or one that another is to replace, and why."""
        return self._waiting.get(key) or super().unanswered(key, is_sent=is_sent)

    @property
    def unsettled(self) -> Collection[str]:
        """The keys of inputs whose answer another one is to replace."""
        return self._waiting

    @property
    def processors(self) -> Sequence[str]:
        """The processor of each input's answer."""
        return [self.names[job] for job in map(int, self._best.jobs)]

    @cached_property
    def _waiting(self) -> Mapping[str, Unanswered]:
        keys = self._plans[0].keys
        return {keys[entry]: reason for entry, reason in self._best.waiting.items()}

    @cached_property
    def _best(self) -> BestAnswers:
        answers = []
        for asked, plan, results in zip(self._asked, self._plans, self.jobs, strict=True):
            sent = (results.index.answers()[:, 3] > 0).tolist()
            answers.append(JobAnswers(asked, results.grades(self.schema), list(zip(plan.keys, sent, strict=True))))
        return self.choose(len(self._plans[0].keys), answers)


class EscalationRunner:
    """The jobs of one escalation, before, while and after they run; it has the interface of `JobRunner`.

    Attributes
    ----------
    source : EscalatingSource
        All rows, as the first job asks about them.
    """

    def __init__(self, source: EscalatingSource[Any]) -> None:
        self.source = source
        self.is_running = False
        self.stopped: str | None = None
        self.halted = False
        self._prepared = (source.prepared, *source.prepared.later)
        self._stores: dict[str, JobStore] = {}  # in memory, by processor
        self._rows: list[tuple[Mask, Mask]] = []  # of each later job, and those of them that have an answer
        self._steps = [self._step(source)]
        self._is_complete = False

    def _step(self, source: EscalatingSource[Any]) -> JobRunner:
        step = JobRunner(source)
        step.on_row = None  # it is called once the answer of a row is final
        step.memory = self._stores.get(source.prepared.call.processor)
        return step

    def again(self) -> EscalationRunner:
        """Return a runner of the same call, made again: what failed is asked again, and a store in memory is kept."""
        runner = EscalationRunner(self.source)
        runner._stores, runner.destination = self._stores, self.destination
        runner._steps[0].memory = self._stores.get(self.prepared.call.processor)
        return runner

    # What is known

    @property
    def prepared(self) -> PreparedCall:
        """The call."""
        return self.source.prepared

    @property
    def processors(self) -> tuple[str, ...]:
        """The processors that rows may be sent to, in order."""
        return tuple(each.call.processor for each in self._prepared)

    @property
    def destination(self) -> Destination | None:
        """Where it goes; None before the first run."""
        return self._steps[0].destination

    @destination.setter
    def destination(self, destination: Destination | None) -> None:
        self._steps[0].destination = destination

    @property
    def group_ids(self) -> tuple[str, ...]:
        """The groups of all jobs."""
        return tuple(chain.from_iterable(step.group_ids for step in self._steps))

    @property
    def checkpoint(self) -> str | None:
        """The folder of the first job; those of the others are next to it."""
        return self._steps[0].checkpoint

    @property
    def checkpoints(self) -> tuple[str, ...]:
        """The folders of all jobs."""
        return tuple(chain.from_iterable(step.checkpoints for step in self._steps))

    @property
    def simulated(self) -> bool:
        """Whether any answer is a simulator's."""
        return any(step.simulated for step in self._steps)

    @property
    def has_store(self) -> bool:
        """Whether it ever ran."""
        return self._steps[0].has_store

    @property
    def is_finished(self) -> bool:
        """Whether it ran, and nothing is left to send or to wait for."""
        return self._is_complete

    @property
    def spent(self) -> Decimal | None:
        """US dollars of the runs that were sent for these rows; None where a price is not known."""
        return total_of([step.spent for step in self._steps])

    @property
    def costs(self) -> dict[str, float | None]:
        """The same by processor."""
        return {name: cost for step in self._steps for name, cost in step.costs.items()}

    @property
    def spent_before(self) -> Decimal | None:
        """US dollars that earlier calls paid of that; None before the first run, or where a price is not known."""
        known = [step.spent_before for step in self._steps if step.billed_before is not None]
        return total_of(known) if known else None

    def status(self) -> JobStatus:
        """Return what is left to do, in numbers: runs of all jobs, for the rows of the first."""
        first, *others = (step.status() for step in self._steps)
        names = (
            "runs", "left_out", "answered", "failed", "awaited", "in_doubt", "to_send", "sent", "billed", "known",
            "keys",
        )  # fmt: skip
        sums = {name: getattr(first, name) + sum(getattr(each, name) for each in others) for name in names}
        return replace(first, **sums)

    def results(self, *, strict: bool = False) -> EscalatedResults:
        """Return what is known of the answers, to be read from the stores."""
        kind = BestOfFrame if isinstance(self.source, FrameSource) else EscalatedResults
        return kind(list(self._steps), self.processors, strict=strict)

    def known_rows(self) -> Iterator[Row]:
        """Yield the rows whose answer is final."""
        candidates: Candidates = {}
        for number, step in enumerate(self._steps):
            for row in step.known_rows():
                if (best := self._settle(number, row, candidates)) is not None:
                    yield best

    def safety(self, error: BaseException | None = None) -> Safety | None:
        """Return what is safe when it ends with an error; None before it has a store, and for input that is refused."""
        safeties = [step.safety(error) for step in self._steps]
        if safeties[0] is None:
            return None
        open_rows = sum(step.status().rows_open for step in self._steps[1:])
        return joint_safety(safeties, answered=safeties[0].answered - open_rows)

    def facts(self, counts: Mapping[str, int]) -> dict[str, Json]:
        """Return what attrs say of the jobs; `counts` are the rows by status."""
        return {
            **self._steps[0].facts(counts),
            "processors": list(self.processors),
            "costs": self.costs,
            "checkpoints": list(self.checkpoints),
            "group_ids": list(self.group_ids),
            "answered_until": max(filter(None, (step.index.answer_times()[1] for step in self._steps)), default=None),
            "escalated": {step.prepared.job.hash: list(step.group_ids) for step in self._steps[1:]},
            "simulated": self.simulated,
        }

    # Running

    def stop_sending(self) -> None:
        """Send nothing more; may be called from any thread, and before it runs."""
        self.halted = True
        for step in self._steps:
            step.stop_sending()

    async def run(
        self,
        until: Until = "answered",
        *,
        on_row: Callable[[Row], object] | None = None,
        deliver: Callable[[Results[Any]], T] | None = None,
    ) -> T | None:
        """Run one job after the other until every row has its best answer, or look at their groups once."""
        if until == "sent":
            raise InputError(NOT_AT_ONCE)
        if until == "looked":
            for step in self._steps:
                if step.has_store and step.status().awaited:
                    await step.run(until)
            return None
        if self.is_running:
            raise InputError("This enrichment is running already: wait for it, or iterate over it.")
        self.is_running = True
        try:
            for _ in range(TRIES):
                with suppress(DamagedPartError):  # running again fetches what was in it, for free
                    await self._run_all(combine_callbacks(on_row, self.prepared.call.on_row))
                    if deliver is None:
                        self._sum_up({})
                        return None
                    results = self.results(strict=True)
                    try:
                        return await in_thread(partial(deliver, results))
                    finally:
                        if results.statuses:
                            self._sum_up(results.statuses)
            raise CheckpointCorruptError(
                f"{self.checkpoint} or a folder next to it holds damaged answers again each time they were fetched. "
                "Nothing was paid for twice. Check the disk, and run the same again: it fetches them for free.",
                path=self.checkpoint,
            )
        finally:
            self.is_running = False

    def _sum_up(self, statuses: Mapping[str, int]) -> None:
        """Show how all jobs ended together, where there was more than one."""
        if len(self._steps) == 1:
            return
        first = self._steps[0].status()
        open_rows = sum(step.status().rows_open for step in self._steps[1:])
        counts = ProgressCounts(
            rows=first.chosen,
            done=first.rows_answered + first.skipped - open_rows,
            left_out=first.chosen - first.skipped - first.rows_answered - first.rows_open,
            spent=self.spent,
            before=total_of([step.prepared.price.of(step.billed_at_start or 0) for step in self._steps]),
            extra_cost=self.prepared.price.extra,
        )
        with showing(self.prepared.call.progress) as progress:
            progress.sum_up(
                counts,
                statuses,
                processors=self.processors[: len(self._steps)],
                checkpoint=self.checkpoint,
                simulated=self.simulated,
            )

    async def _run_all(self, callback: Callable[[Row], object] | None) -> None:
        self._is_complete = False
        candidates: Candidates = {}

        def hand_over(number: int, row: Row) -> None:
            if callback is not None and (best := self._settle(number, row, candidates)) is not None:
                callback(best)

        try:
            await self._run_steps(None if callback is None else hand_over)
        except ParallelFramesError as error:
            error.safety = self.safety(error)
            raise
        except (KeyboardInterrupt, asyncio.CancelledError):
            self.stopped = stop_text(self.safety())
            raise
        self._is_complete = all(step.is_finished for step in self._steps)

    async def _run_steps(self, hand_over: Callable[[int, Row], None] | None) -> None:
        first, call = self._steps[0], self.prepared.call
        await in_thread(first.scan)
        spent: dict[str, Decimal] = {}
        answered: Mask | None = None
        clock, end = None, 0.0
        if first.index.runs:  # or else there is no need of a key, or of a checkpoint
            for prepared in self.prepared.later:
                if call.max_cost is not None:
                    require_price(prepared.price, max_cost=call.max_cost)
            destination = first.destination = first.destination or choose_destination(call.client)
            if not destination.is_gone:
                spent = await in_thread(partial(self._look_ahead, destination))
            if call.timeout is not None:
                clock = destination.client.clock
                end = clock.now() + call.timeout
        for number, prepared in enumerate(self._prepared):
            step, name = self._steps[number], prepared.call.processor
            step.destination = first.destination
            step.seconds_left = None if clock is None else max(0.0, end - clock.now())
            step.spent_elsewhere = sum((cost for other, cost in spent.items() if other != name), Decimal())
            if self.halted:
                step.stop_sending()
            on_row = None if hand_over is None else partial(hand_over, number)
            source = cast("EscalatingSource[Any]", step.source)
            try:
                levels = await step.run(on_row=on_row, deliver=source.levels)
            finally:
                if step.memory is not None:
                    self._stores[name] = step.memory
            assert levels is not None  # noqa: S101 - they were delivered
            spent[name] = step.spent or Decimal()
            chosen, answered = needs_escalation(levels), with_answers(levels, answered)
            if number + 1 == len(self._prepared) or not chosen.any():
                del self._steps[number + 1 :], self._rows[number:]
                return
            await in_thread(partial(self._prepare_step, number + 1, chosen, answered))

    def _look_ahead(self, destination: Destination) -> dict[str, Decimal]:
        """Find what all of it may cost at worst, and return what the runs of these rows cost before."""
        first = self._steps[0]
        read = recall_quietly(first, destination, store=first.memory)
        ahead = forecast(first, read, destination, stores=self._stores)
        first.at_worst = total_of(ahead.costs_at_worst)
        costs = zip(self.processors, ahead.costs("billed"), strict=True)
        return {name: cost or Decimal() for name, cost in costs}

    def _prepare_step(self, number: int, chosen: Mask, answered: Mask) -> None:
        """Make the job for the rows that are escalated; the same rows as before have the same job."""
        has_begun = False
        if len(self._steps) > number:
            if all(map(np.array_equal, self._rows[number - 1], (chosen, answered))):
                return
            has_begun = self._steps[number].has_begun
        del self._steps[number:], self._rows[number - 1 :]
        step = self._step(self.source.narrowed(self._prepared[number], chosen, answered=answered))
        step.has_begun = has_begun
        self._rows.append((chosen, answered))
        self._steps.append(step)

    def _settle(self, number: int, row: Row, candidates: Candidates) -> Row | None:
        """Return the best answer of a row, once no further processor is to be asked; `candidates` are the others'."""
        assert row._outcome is not None  # noqa: S101 - an enrichment's own row
        new = grade_answer(row.status, row.values, row._outcome.basis, self.prepared.schema)
        known = candidates.pop(row.position, None)
        best = (new, row) if known is None or replaces(new, known[0]) else known
        if needs_escalation(level_of(new)) and number + 1 < len(self._prepared):
            candidates[row.position] = best
            return None
        return best[1]
