"""A plan and its outcomes → columns in the frame: pure, by position through keys, never by label or arrival.

It owns which labels the columns have (`_layout`), what an answer is worth (`_answers`), what a row's cells are
(`_cells`), what stands behind them (`_grounds`), and its status and error. Dtypes are the schema's (`_columns`);
which outcome stands for a key is the ledger's. The input frame is never touched: what comes back is a new frame
around the same cells.
"""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import orjson
import pandas as pd

from parallel_frames._columns._answers import Contents, read_answers
from parallel_frames._columns._cells import is_missing, keep_old, take
from parallel_frames._columns._convert import convert_values
from parallel_frames._columns._dtypes import dtype_of
from parallel_frames._columns._grounds import Placing, place_evidence
from parallel_frames._columns._layout import ERROR_COLUMN, STATUS_COLUMN, Layout, make_layout
from parallel_frames._columns._typed import typed_column
from parallel_frames._model import OUTSIDE, STATUSES, Column
from parallel_frames._runtime import gc_paused
from parallel_frames._state import Answers

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    from parallel_frames._model import Outcome, Plan, Schema

    Codes = np.ndarray[Any, np.dtype[np.int8]]
    Rows = np.ndarray[Any, np.dtype[np.bool_]]

__all__ = [
    "ERROR_COLUMN",
    "PANDAS_3",
    "STATUS_COLUMN",
    "Judged",
    "Layout",
    "Merged",
    "judge_answers",
    "make_layout",
    "merge_outcomes",
]

TEXT: Final = Column(ERROR_COLUMN, "string", {"type": "string"}, nullable=True)
CODES: Final[dict[str, int]] = {word: code for code, word in enumerate(STATUSES)}
UNASKED: Final = frozenset({"not_sent", "skipped"})
PANDAS_3: Final = int(pd.__version__.partition(".")[0]) >= 3


@dataclass(frozen=True, slots=True)
class Merged:
    """The enriched frame, and the rows that were asked about by status."""

    frame: pd.DataFrame
    counts: Mapping[str, int]


def merge_outcomes(
    df: pd.DataFrame,
    plan: Plan,
    schema: Schema,
    *,
    answers: Answers,
    is_sent: Callable[[str], bool],
    layout: Layout,
    dtype_backend: Literal["numpy_nullable", "pyarrow"],
) -> Merged:
    """Return the frame with its new columns.

    Parameters
    ----------
    answers : Answers
        What stands for each distinct run of the plan.
    is_sent : callable
        Whether the run of a key may exist: it tells pending from not sent.
    """
    # A user's own model may leave cyclic garbage behind.
    with nullcontext() if schema.model is not None else gc_paused():
        contents = read_answers(answers, schema, make=partial(typed_column, dtype_backend=dtype_backend))
    per_row = _through(contents.place, plan.row_runs)
    existing = set(df.columns)
    arrays: dict[Hashable, Any] = {}
    invalid = np.zeros(contents.count + 1, dtype=bool)
    invalid[[*contents.problems]] = True
    placed: list[np.ndarray[Any, Any]] = []  # for each output the rows whose cell is this call's
    for label, series, broken in zip(layout.outputs, contents.columns, contents.broken, strict=True):
        lacking = np.zeros(contents.count + 1, dtype=bool)
        lacking[[*broken, -1]] = True  # the last one is for -1: no answer
        new = ~lacking[per_row]
        if label in existing:  # only a completed outcome replaces a value
            new &= is_missing(df[label]) | (not layout.fill and ~invalid[per_row])
        cells = take(series, per_row)
        arrays[label] = keep_old(df[label], cells, where=new) if label in existing else cells
        placed.append(new)
    if layout.evidence or layout.basis is not None:
        placing = Placing(df, schema, layout, per_row, placed)
        arrays |= place_evidence(placing, lambda: _bases(answers, contents), dtype_backend=dtype_backend)
    others = answers.others()
    of_runs = _statuses(plan, contents, others, is_sent=is_sent)
    of_rows, kept = _row_statuses(df, plan, of_runs, layout=layout)
    if layout.status is not None:
        arrays[layout.status] = pd.Categorical.from_codes(of_rows, categories=pd.Index(STATUSES))
    if layout.error is not None:
        old = df[layout.error] if layout.error in existing else None
        told = _row_errors(old, _errors(contents, others), kept, plan)
        arrays[layout.error] = pd.array(told, dtype=dtype_of(TEXT, dtype_backend))
    asked = np.bincount(of_rows[plan.row_runs != OUTSIDE], minlength=len(STATUSES)).tolist()
    ordered = {label: arrays[label] for label in layout.all}
    return Merged(_assign(df, ordered), {word: rows for word, rows in zip(STATUSES, asked, strict=True) if rows})


class Judged(NamedTuple):
    """What one outcome comes to: a status, the values of the schema's columns, and what is wrong."""

    status: str
    values: dict[str, Any]
    error: str | None


def judge_answers(outcomes: Sequence[Outcome], schema: Schema) -> list[Judged]:
    """Return what each outcome comes to, in Python values: the same verdicts as in the frame."""
    make = partial(convert_values, dtype_backend="numpy_nullable")
    contents = read_answers(Answers.of(outcomes), schema, make=make)
    judged = []
    for outcome, at in zip(outcomes, contents.place.tolist(), strict=True):
        cells = [None if at < 0 or at in broken else column[at]
                 for column, broken in zip(contents.columns, contents.broken, strict=True)]  # fmt: skip
        values = dict(zip([column.name for column in schema.columns], cells, strict=True))
        told = contents.problems.get(at)
        judged.append(
            Judged("invalid", values, "; ".join(told)) if told else Judged(outcome.status, values, _error(outcome))
        )
    return judged


def _bases(answers: Answers, contents: Contents) -> Iterator[str | None]:
    """Yield the raw basis of each answer, in the order in which answers were read."""
    for entries, bases in answers.completed("basis"):
        for place, basis in zip(contents.place[entries].tolist(), bases, strict=True):
            if place >= 0:
                yield basis


def _through(
    place: np.ndarray[Any, np.dtype[np.int64]], row_runs: np.ndarray[Any, Any]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return for each row its place among the answers, or -1."""
    table = np.append(place, -1)
    return np.asarray(table[np.maximum(row_runs, -1)], dtype=np.int64)  # -1 as an index is the last entry


# Status and error


def _statuses(
    plan: Plan, contents: Contents, others: Mapping[int, Outcome], *, is_sent: Callable[[str], bool]
) -> Codes:
    """Return each run's status as its place in `STATUSES`."""
    codes = np.where(contents.completed, CODES["completed"], -1).astype(np.int8)
    codes[np.isin(contents.place, [*contents.problems])] = CODES["invalid"]
    for entry, outcome in others.items():
        codes[entry] = CODES[outcome.status]
    for entry in np.flatnonzero(codes < 0).tolist():
        codes[entry] = CODES["pending" if is_sent(plan.keys[entry]) else "not_sent"]
    return codes


def _row_statuses(df: pd.DataFrame, plan: Plan, of_runs: Codes, *, layout: Layout) -> tuple[Codes, Rows]:
    """Return each row's status, and whether it is the one it had: so where it was not asked this time."""
    # -2 is a row outside `where`, -1 one with nothing to send
    now = np.append(of_runs, np.array([CODES["not_sent"], CODES["skipped"]], dtype=np.int8))[plan.row_runs]
    if layout.status is None or layout.status not in df.columns:
        return now, plan.row_runs == OUTSIDE
    old = [CODES.get(word, -1) if isinstance(word, str) else -1 for word in df[layout.status].astype(object)]
    before = np.array(old, dtype=np.int8)
    kept = np.isin(now, [CODES[word] for word in UNASKED]) & (before >= 0)
    return np.where(kept, before, now), kept


def _errors(contents: Contents, others: Mapping[int, Outcome]) -> list[str | None]:
    """Return each run's error, and two more: those of a row without a run."""
    errors: list[str | None] = [None] * (len(contents.place) + 2)
    for entry in np.flatnonzero(np.isin(contents.place, [*contents.problems])).tolist():
        errors[entry] = "; ".join(contents.problems[contents.place[entry]])
    for entry, outcome in others.items():
        errors[entry] = _error(outcome)
    return errors


def _row_errors(old: pd.Series[Any] | None, errors: Sequence[str | None], kept: Rows, plan: Plan) -> list[Any]:
    """Return each row's error; a row that kept its status keeps its error."""
    told: list[Any] = [errors[entry] for entry in plan.row_runs.tolist()]
    if old is not None and kept.any():
        before = old.astype(object).where(~is_missing(old), None)
        for row in np.flatnonzero(kept).tolist():
            told[row] = before.iat[row]
    return told


def _error(outcome: Outcome) -> str | None:
    """Return why a run has no answer; None where it has."""
    if outcome.status == "completed":
        return None
    try:
        told = orjson.loads(outcome.error or "null")
    except orjson.JSONDecodeError:
        told = outcome.error
    if isinstance(told, dict):
        told = told.get("message") or outcome.error
    return str(told)[:2000] if told else f"the run was {outcome.status} without a reason (run {outcome.run_id})"


def _assign(df: pd.DataFrame, arrays: Mapping[Hashable, Any]) -> pd.DataFrame:
    """Return the frame with columns added or replaced."""
    out = df.copy(deep=not PANDAS_3)  # pandas 3 copies on write
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)  # a wide schema is no reason to scold
        for label, array in arrays.items():
            # A bare array of objects would get another dtype should all of them be texts.
            out[label] = pd.Series(array, index=df.index, dtype=object) if array.dtype == object else array
    return out
