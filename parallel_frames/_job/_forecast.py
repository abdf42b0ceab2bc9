"""What an escalation would do and cost, as far as checkpoints say: one job after the other, read without a lock.

A call without `escalate=` is the chain of one job.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from parallel_frames._checkpoint import read_outcomes
from parallel_frames._columns import Level, needs_escalation
from parallel_frames._job._checkpoints import preview_checkpoint
from parallel_frames._job._runner import JobRunner, Reasons, Results
from parallel_frames._prices import Runs, check_cost, expected_seconds, require_price

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parallel_frames._checkpoint import JobStore
    from parallel_frames._job._offline import Destination
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._row_filter import Mask
    from parallel_frames._job._source import EscalatingSource, Levels
    from parallel_frames._state import JobStatus
    from parallel_frames._state._answers import ReadPart


@dataclass(frozen=True, slots=True)
class Forecast:
    """What the jobs of an escalation would do now, as far as their checkpoints say.

    Attributes
    ----------
    prepared : tuple of PreparedCall
        The call to each processor.
    statuses : tuple of JobStatus or None
        What is known of each job; None where no row is known to need its processor.
    at_most : tuple of int
        Runs that each may send at worst: those it is known to send, and all that the processors before it may leave.
    """

    prepared: tuple[PreparedCall, ...]
    statuses: tuple[JobStatus | None, ...]
    at_most: tuple[int, ...]

    def total(self, name: str) -> int:
        """Return a number of `JobStatus` for all jobs together."""
        return sum(getattr(status, name) for status in self.statuses if status is not None)

    def costs(self, name: str) -> list[Decimal | None]:
        """Return what that many runs of each job cost."""
        return self._costs([0 if status is None else getattr(status, name) for status in self.statuses])

    @property
    def costs_at_worst(self) -> list[Decimal | None]:
        """What each processor costs at worst."""
        return self._costs(self.at_most)

    def _costs(self, numbers: Sequence[int]) -> list[Decimal | None]:
        first, *later = zip(self.prepared, numbers, strict=True)
        # A processor that is not needed costs nothing, whether or not its price is known.
        others = [prepared.price.of(runs) if runs else Decimal() for prepared, runs in later]
        return [first[0].price.of(first[1]), *others]

    def seconds(self, *, max_per_minute: int | None) -> float | None:
        """Return about how long the runs that are known take: one processor after the other."""
        found = [
            expected_seconds(prepared.price, runs=status.to_send, max_per_minute=max_per_minute)
            for prepared, status in zip(self.prepared, self.statuses, strict=True)
            if status is not None and status.to_send
        ]
        return None if None in found else sum(filter(None, found), 0.0)

    def check_cost(self, *, limit_for: Callable[[Decimal], int | None] | None) -> None:
        """Refuse what is known to be sent where it comes to more than the call allows, as each job will."""
        max_cost = self.prepared[0].call.max_cost
        in_all = sum(filter(None, self.costs("billed")), Decimal())
        for prepared, status in zip(self.prepared, self.statuses, strict=True):
            if prepared.is_later and max_cost is not None:
                require_price(prepared.price, max_cost=max_cost)
            if status is not None:
                part = Runs(prepared.price, status.to_send, status.billed)
                elsewhere = in_all - (part.price.of(part.billed) or 0)
                check_cost(part, elsewhere=elsewhere, max_cost=max_cost, limit_for=limit_for)
                in_all += part.price.of(part.to_send) or 0
            limit_for = None  # which counts the first job's runs


def total_of(costs: Sequence[Decimal | None]) -> Decimal | None:
    """Return a sum of dollars; None where one of them is not known."""
    return None if None in costs else sum(filter(None, costs), Decimal())


def forecast(
    first: JobRunner,
    read: ReadPart | None,
    destination: Destination,
    *,
    stores: Mapping[str, JobStore] | None = None,
) -> Forecast:
    """Return what an escalation would do; the first job's index knows its checkpoint, from which `read` reads.

    Parameters
    ----------
    stores : mapping of str to JobStore, optional
        The stores in memory of earlier calls, by processor.
    """
    runner: JobRunner | None = first
    all_rows = source = cast("EscalatingSource[Any]", first.source)
    limit, status = first.prepared.call.limit, first.status()
    statuses: list[JobStatus | None] = [status]
    at_most, undecided = [status.to_send], 0
    answered: Mask | None = None
    for prepared in first.prepared.later:
        if runner is not None:
            levels = source.levels(Results(runner.index, read, reasons=Reasons()))
            undecided += _count_undecided(runner.status(), levels)
            chosen, answered = needs_escalation(levels), with_answers(levels, answered)
            runner = None
            if chosen.any():
                source = all_rows.narrowed(prepared, chosen, answered=answered)
                runner = JobRunner(source)
                runner.scan()
                read = recall_quietly(runner, destination, store=(stores or {}).get(prepared.call.processor))
        statuses.append(None if runner is None else runner.status())
        known = undecided if runner is None else undecided + runner.status().to_send
        at_most.append(known if limit is None else min(limit, known))
    return Forecast((first.prepared, *first.prepared.later), tuple(statuses), tuple(at_most))


def with_answers(levels: Levels, answered: Mask | None) -> Mask:
    """Return which rows have an answer, whether from this job or from those before."""
    found: Mask = levels >= Level.WANTING
    return found if answered is None else found | answered


def _count_undecided(status: JobStatus, levels: Levels) -> int:
    """Return how many runs of a job may still leave their rows to the next processor."""
    # Answers that are still where they will be taken over from may be of any level.
    unread = status.rows_answered - int((levels > Level.UNKNOWN).sum())
    return status.to_send + status.awaited + max(0, unread)


def recall_quietly(runner: JobRunner, destination: Destination, *, store: JobStore | None) -> ReadPart | None:
    """Read what a job's checkpoint holds into its index, without a lock; return what reads its answers."""
    if store is not None:
        runner.index.forget_checkpoint()
        store.recall(runner.index)
        return store.read_outcomes
    found = preview_checkpoint(runner.source, runner.index, destination)
    return None if found.folder is None else partial(read_outcomes, found.folder)
