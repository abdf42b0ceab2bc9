"""One bar for several jobs that run at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallel_frames._ui._progress import Progress, ProgressCounts
from parallel_frames._ui._screen import Screen

if TYPE_CHECKING:
    from decimal import Decimal

    from parallel_frames._model import Outcome


class SharedProgress(Progress):
    """The progress of one job, shown as a part of another progress, which has begun with the numbers of all jobs.

    Parameters
    ----------
    whole : Progress
        The one that is shown.
    counts : ProgressCounts
        What it shows. It knows no price of a run: each job has its own.
    per_run : decimal.Decimal or None
        US dollars of one run of this job.
    warned : set of str
        Warnings that were shown: what concerns all jobs is shown once.
    """

    def __init__(self, whole: Progress, counts: ProgressCounts, *, per_run: Decimal | None, warned: set[str]) -> None:
        super().__init__(Screen(lines=False, bar=False))
        self._whole, self._total, self._per_run, self._warned = whole, counts, per_run, warned

    def started(self, *, rows: int, waiting: int) -> None:
        """Leave it to the whole, which has started."""

    def warn(self, text: str) -> None:
        """Show a warning that no other job has had."""
        if text not in self._warned:
            self._warned.add(text)
            super().warn(text)

    def label(self, *, simulated: bool) -> None:
        """Label the end of the whole."""
        self._whole.label(simulated=simulated)

    def opened(self, group_id: str) -> None:
        """Show a group's address, once."""
        self._whole.opened(group_id)

    def sent(self, runs: int) -> None:
        """Count runs that are paid for."""
        self._pay(runs)
        self._whole.sent(runs)

    def found(self, runs: int) -> None:
        """Count runs that were paid for before, and not by this call."""
        if self._total.before is not None and self._per_run is not None:
            self._total.before += runs * self._per_run
        self.sent(runs)

    def finished(self, outcome: Outcome, *, rows: int) -> None:
        """Count an outcome that answers so many rows."""
        if not outcome.is_billed:
            self._pay(-1)
        self._whole.finished(outcome, rows=rows)

    def note(self, message: str) -> None:
        """Log a message, and show it for a moment."""
        self._whole.note(message)

    def _pay(self, runs: int) -> None:
        if self._total.spent is not None and self._per_run is not None:
            self._total.spent += runs * self._per_run
