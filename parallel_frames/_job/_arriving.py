"""Rows as their runs end: one at a time, typed as Python values, for whoever listens or iterates.

It owns what a `Row` is and how outcomes become some while an enrichment is still at work. The frame is built by the
merge, all at once; both judge an answer by the same columns.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from parallel_frames._columns import judge_answers

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    import pandas as pd

    from parallel_frames._engine._protocols import Observer
    from parallel_frames._model import Outcome, Plan, Schema
    from parallel_frames._state import Ledger

logger = logging.getLogger("parallel_frames")

MOMENT: Final = 0.01


@dataclass(frozen=True, slots=True)
class Row:
    """One row whose run has ended.

    Attributes
    ----------
    position : int
        Which row of the frame it is, from 0.
    index : label
        Its index label.
    status : str
        ``"completed"``, ``"invalid"``, ``"failed"`` or ``"cancelled"``.
    values : dict
        The answer by column of the schema, as Python values; None where there is none.
    error : str or None
        Why, where there is a reason.
    run_id : str
        The service's id of the run; equal rows share one.

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


class RowMaker:
    """Makes the rows of outcomes; knows which rows share a run."""

    def __init__(self, df: pd.DataFrame, plan: Plan, schema: Schema) -> None:
        self._index: pd.Index[Any] = df.index
        self._schema = schema
        self._entries = {key: entry for entry, key in enumerate(plan.keys)}
        self._order = np.argsort(plan.row_runs, kind="stable")
        self._starts = np.searchsorted(plan.row_runs[self._order], np.arange(len(plan.keys) + 1))

    def rows_of(self, outcomes: Sequence[Outcome]) -> Iterator[Row]:
        """Yield every row of these outcomes, equal rows one after the other; strangers' outcomes have none."""
        ours = [outcome for outcome in outcomes if outcome.key in self._entries]
        for outcome, judged in zip(ours, judge_answers(ours, self._schema), strict=True):
            entry = self._entries[outcome.key]
            for position in self._order[self._starts[entry] : self._starts[entry + 1]].tolist():
                label: Any = self._index[position]
                yield Row(position, label, judged.status, judged.values, judged.error, outcome.run_id)

    def count_rows(self) -> dict[str, int]:
        """Return how many rows each key has."""
        numbers = np.diff(self._starts).tolist()
        return {key: numbers[entry] for key, entry in self._entries.items()}


def telling(
    give: Callable[[Row], object] | None, on_row: Callable[[Row], object] | None
) -> Callable[[Row], object] | None:
    """Return what tells of a row both to whoever iterates and to the user's function; None where nobody listens."""
    if give is None or on_row is None:
        return give or on_row

    def tell(row: Row) -> None:
        give(row)
        on_row(row)

    return tell


class Arrivals:
    """The engine's observer that tells of rows: passes everything on to the next one, and rows to a function too.

    Outcomes that come within the same moment are told together. What is told is what the frame will have.
    """

    def __init__(self, watched_by: Observer, *, maker: RowMaker, ledger: Ledger, tell: Callable[[Row], object]) -> None:
        self._next = watched_by
        self._maker = maker
        self._ledger = ledger
        self._tell = tell
        self._untold: list[str] = []
        self._broken = 0

    def started(self, *, rows: int, waiting: int) -> None:
        """Pass it on."""
        self._next.started(rows=rows, waiting=waiting)

    def opened(self, group_id: str) -> None:
        """Pass it on."""
        self._next.opened(group_id)

    def sent(self, runs: int) -> None:
        """Pass it on."""
        self._next.sent(runs)

    def said(self, message: str) -> None:
        """Pass it on."""
        self._next.said(message)

    def finished(self, outcome: Outcome, *, waiting: int) -> None:
        """Pass it on, and tell of its rows in a moment."""
        self._next.finished(outcome, waiting=waiting)
        if not self._untold:
            asyncio.get_running_loop().call_later(MOMENT, self.tell_untold)
        self._untold.append(outcome.key)

    def tell_untold(self) -> None:
        """Tell of what has not been told yet."""
        keys, self._untold = self._untold, []
        self.tell_of(keys)

    def tell_of(self, keys: Sequence[str]) -> None:
        """Tell of every row of these keys."""
        for row in self._maker.rows_of([known for known in self._ledger.answers(keys).outcomes() if known is not None]):
            try:
                self._tell(row)
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:  # a CancelledError of the user's own, too
                self._broken += 1
                if self._broken == 1:
                    logger.warning(
                        "on_row raised %s for row %d: %s. The enrichment goes on; further ones are only counted.",
                        type(error).__name__, row.position, error, exc_info=error,
                    )  # fmt: skip

    def close(self) -> None:
        """Tell of the rest, and how often the function failed, if it did."""
        self.tell_untold()
        if self._broken > 1:
            logger.warning("on_row raised for %d rows in all.", self._broken)
