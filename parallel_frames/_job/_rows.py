"""Rows as their runs end: one at a time, typed as Python values, for `on_row` and for iteration.

It owns what a `Row` is and how outcomes become rows while an enrichment is still at work. The frame is built by the
merge, all at once; both judge an answer by the same columns.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._columns import judge_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from parallel_frames._engine._protocols import Observer
    from parallel_frames._job._source import RowSource
    from parallel_frames._model import Outcome
    from parallel_frames._state import Index

logger = logging.getLogger("parallel_frames")

MOMENT: Final = 0.01


@dataclass(frozen=True, slots=True)
class Row:
    """One row whose run has ended.

    Attributes
    ----------
    position : int
        Which row of the source it is, from 0.
    index : label
        Its index label; for a file the number of the row.
    status : str
        ``"completed"``, ``"invalid"``, ``"failed"`` or ``"cancelled"``.
    values : dict
        The answer by column of the schema, as Python values; None where there is none.
    error : str or None
        Why, where there is a reason.
    run_id : str
        The service's id of the run; equal rows share one.
    processor : str
        The processor that answered.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> def show(row):
    ...     print(row.index, row.status, row.values)
    >>> with pf.offline(answers=lambda sent: {"founded": 1949}, latency=0):
    ...     out = pd.DataFrame({"company": ["Acme"]}, index=["a"]).parallel.enrich({"founded": int}, on_row=show)
    a completed {'founded': 1949}
    """

    position: int
    index: Hashable
    status: str
    values: Mapping[str, Any] = field(hash=False)
    error: str | None
    run_id: str
    processor: str = ""
    _outcome: Outcome | None = field(default=None, compare=False, repr=False)  # as the service sent it


class RowBuilder:
    """Builds the rows of outcomes; the index knows which rows share a run."""

    def __init__(self, source: RowSource[Any], index: Index) -> None:
        self._source = source
        self._index = index

    def rows_of(self, outcomes: Sequence[Outcome]) -> Iterator[Row]:
        """Yield every row of these outcomes, equal rows one after the other; outcomes of other rows have none."""
        rows = self._index.rows_of(outcome.key for outcome in outcomes)
        ours = [outcome for outcome in outcomes if outcome.key in rows]
        processor = self._source.prepared.call.processor
        for outcome, judged in zip(ours, judge_answers(ours, self._source.prepared.schema), strict=True):
            for row in rows[outcome.key]:
                label: Any = self._source.label(row)
                yield Row(row, label, judged.status, judged.values, judged.error, outcome.run_id, processor, outcome)


def combine_callbacks(
    first: Callable[[Row], object] | None, second: Callable[[Row], object] | None
) -> Callable[[Row], object] | None:
    """Return what calls both, the first one first; None where there is neither."""
    if first is None or second is None:
        return first or second

    def call_both(row: Row) -> None:
        first(row)
        second(row)

    return call_both


class RowObserver:
    """The engine's observer that hands rows to a function, and passes everything on to another observer.

    Outcomes that come within the same moment are judged together. What is handed over is what the result will have.

    Attributes
    ----------
    statuses : Counter of str
        The rows handed over by status.
    """

    def __init__(self, observer: Observer, *, builder: RowBuilder, on_row: Callable[[Row], object]) -> None:
        self._observer = observer
        self.opened, self.note = observer.opened, observer.note
        self.sent, self.found = observer.sent, observer.found
        self._builder = builder
        self._on_row = on_row
        self._waiting: list[Outcome] = []
        self._failures = 0
        self.statuses: Counter[str] = Counter()

    def finished(self, outcome: Outcome, *, rows: int) -> None:
        """Pass it on, and hand its rows over in a moment."""
        self._observer.finished(outcome, rows=rows)
        if not self._waiting:
            asyncio.get_running_loop().call_later(MOMENT, self._hand_over_waiting)
        self._waiting.append(outcome)

    def _hand_over_waiting(self) -> None:
        outcomes, self._waiting = self._waiting, []
        self.hand_over(outcomes)

    def hand_over(self, outcomes: Sequence[Outcome]) -> None:
        """Hand every row of these outcomes over."""
        for row in self._builder.rows_of(outcomes):
            self.statuses[row.status] += 1
            try:
                self._on_row(row)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # a CancelledError of the user's own, too
                self._failures += 1
                if self._failures == 1:
                    logger.warning(
                        "on_row raised %s for row %d: %s. The enrichment continues; further ones are only counted.",
                        type(error).__name__, row.position, error, exc_info=error,
                    )  # fmt: skip

    def close(self) -> None:
        """Hand the rest over, and log how often the function failed, if it did."""
        self._hand_over_waiting()
        if self._failures > 1:
            logger.warning("on_row raised for %d rows in all.", self._failures)
