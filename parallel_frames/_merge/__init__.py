"""A plan and its outcomes → columns in the frame: pure, by position through keys, never by label or arrival.

It owns what a row's cells, status and error are. Dtypes are the schema's (`_columns`); which outcome stands for a
key is the ledger's. The input frame is never touched: what comes back is a new frame around the same cells.
"""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import orjson
import pandas as pd

from parallel_frames._columns import ABSENT, NO_ANSWER, dtype_of, typed_column
from parallel_frames._model import STATUSES, Column
from parallel_frames._schema import shown
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from parallel_frames._model import Json, Outcome, Plan, Schema

STATUS_COLUMN: Final = "parallel_status"
ERROR_COLUMN: Final = "parallel_error"
TEXT: Final = Column(ERROR_COLUMN, "string", {"type": "string"}, nullable=True)
PANDAS_3: Final = int(pd.__version__.partition(".")[0]) >= 3


@dataclass(frozen=True, slots=True)
class Merged:
    """The enriched frame and its rows by status."""

    frame: pd.DataFrame
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which labels the new columns have.

    Attributes
    ----------
    outputs : tuple of label
        One per column of the schema, in its order.
    status, error : label or None
        None when they are not wanted.
    """

    outputs: tuple[Hashable, ...]
    status: Hashable | None
    error: Hashable | None

    @property
    def all(self) -> tuple[Hashable, ...]:
        """Every new label, in order."""
        return (*self.outputs, *(label for label in (self.status, self.error) if label is not None))


def make_layout(
    df: pd.DataFrame, schema: Schema, *, prefix: str, status: bool, if_exists: Literal["error", "overwrite"]
) -> Layout:
    """Return the labels of the new columns.

    Raises
    ------
    InputError
        A label exists already and ``if_exists="error"``, or a column of the schema takes a status column's name.
    """

    def label(name: str) -> Hashable:
        levels = df.columns.nlevels
        return prefix + name if levels == 1 else (prefix + name, *[""] * (levels - 1))

    outputs = tuple(label(column.name) for column in schema.columns)
    layout = Layout(outputs, label(STATUS_COLUMN) if status else None, label(ERROR_COLUMN) if status else None)
    if len(set(layout.all)) < len(layout.all):
        taken = [name for name, count in Counter(layout.all).items() if count > 1]
        raise InputError(f"The schema has columns {taken}, which are the status columns' names; say status=False.")
    existing = [name for name in layout.all if name in df.columns]
    if existing and if_exists == "error":
        raise InputError(
            f"The frame already has {', '.join(map(repr, existing))}. Nothing was sent. Say prefix='...' for new "
            f"names, if_exists='overwrite' to replace them{_or_without_status(layout, existing)}."
        )
    if len(df.columns) > len(set(df.columns)) and any((df.columns == name).sum() > 1 for name in existing):
        raise InputError(f"The frame has {existing} more than once, so it cannot be overwritten.")
    return layout


def _or_without_status(layout: Layout, existing: Sequence[Hashable]) -> str:
    """Return the third way on where only an earlier enrichment's status columns are in the way."""
    return "" if set(existing) & set(layout.outputs) else ", or status=False to do without status columns"


def merge_outcomes(
    df: pd.DataFrame,
    plan: Plan,
    schema: Schema,
    *,
    outcomes: Sequence[Outcome | None],
    is_sent: Callable[[str], bool],
    layout: Layout,
    dtype_backend: Literal["numpy_nullable", "pyarrow"],
) -> Merged:
    """Return the frame with its new columns.

    Parameters
    ----------
    outcomes : sequence of (Outcome or None)
        One per distinct run of the plan.
    is_sent : callable
        Whether the run of a key may exist: it tells pending from not sent.
    """
    contents, place = _read_contents(outcomes)
    problems = _not_objects(contents, form=schema.form)
    arrays: dict[Hashable, Any] = {}
    whole = tuple(problems)
    per_row = _through(place, plan.row_runs)
    existing = set(df.columns)
    for label, column in zip(layout.outputs, schema.columns, strict=True):
        values = _values(contents, column.name, form=schema.form)
        typed = typed_column(column, values, dtype_backend=dtype_backend)
        for at, problem in typed.problems.items():
            problems.setdefault(at, []).append(f"{column.name}: {problem}")
        broken = np.zeros(len(contents) + 1, dtype=bool)  # the last one is for -1: no answer
        broken[[*typed.problems, *whole, -1]] = True
        cells = _take(typed.series, per_row)
        arrays[label] = _keep_old(df[label], cells, where=~broken[per_row]) if label in existing else cells
    statuses = [_status(o, at, problems, is_sent(key)) for o, at, key in zip(outcomes, place, plan.keys, strict=True)]
    errors = [_error(o, at, problems) for o, at in zip(outcomes, place, strict=True)]
    row_status = _take_list([*statuses, "skipped"], plan.row_runs)
    if layout.status is not None:
        arrays[layout.status] = pd.Categorical(row_status, categories=list(STATUSES))
    if layout.error is not None:
        dtype = dtype_of(TEXT, dtype_backend)
        arrays[layout.error] = pd.array(_take_list([*errors, None], plan.row_runs), dtype=dtype)
    return Merged(_assign(df, arrays), dict(Counter(row_status)))


def _read_contents(outcomes: Sequence[Outcome | None]) -> tuple[list[Json], list[int]]:
    """Return the parsed answers, and for each entry of the plan its place among them or -1."""
    contents: list[Json] = []
    place: list[int] = []
    for outcome in outcomes:
        if outcome is None or outcome.status != "completed" or outcome.output is None:
            place.append(-1)
        else:
            place.append(len(contents))
            contents.append(orjson.loads(outcome.output))
    return contents, place


def _values(contents: Sequence[Json], name: str, *, form: str) -> list[Json]:
    if form != "json":
        return list(contents)
    return [content.get(name, ABSENT) if isinstance(content, dict) else NO_ANSWER for content in contents]


def _not_objects(contents: Sequence[Json], *, form: str) -> dict[int, list[str]]:
    """Return what is wrong with answers that are no object where one was asked for."""
    if form != "json":
        return {}
    return {
        at: [f"the answer: expected an object, got {shown(content)}"]
        for at, content in enumerate(contents)
        if not isinstance(content, dict)
    }


def _through(place: Sequence[int], row_runs: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return for each row its place among the answers, or -1."""
    table = np.array([*place, -1], dtype=np.int64)  # -1 as an index is the last entry
    return np.asarray(table[row_runs], dtype=np.int64)


def _take(column: pd.Series[Any], per_row: np.ndarray[Any, Any]) -> Any:
    if column.dtype == object:  # a missing list is None, not NaN
        return _objects([*column.tolist(), None])[per_row]
    return pd.api.extensions.take(column.array, per_row, allow_fill=True)


def _objects(cells: Sequence[object]) -> np.ndarray[Any, Any]:
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return array


def _take_list(values: Sequence[Any], row_runs: np.ndarray[Any, Any]) -> list[Any]:
    return [values[entry] for entry in row_runs.tolist()]


def _status(outcome: Outcome | None, at: int, problems: Mapping[int, object], sent: bool) -> str:  # noqa: FBT001 - private
    if outcome is None:
        return "pending" if sent else "not_sent"
    if outcome.status == "completed" and at in problems:
        return "invalid"
    return outcome.status


def _error(outcome: Outcome | None, at: int, problems: Mapping[int, list[str]]) -> str | None:
    if outcome is None:
        return None
    if at in problems:
        return "; ".join(problems[at])
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


def _keep_old(old: pd.Series[Any], new: Any, *, where: np.ndarray[Any, Any]) -> Any:
    """Return the new cells where there is an answer and the old ones elsewhere, in the schema's dtype if it can."""
    kept = pd.Series(old.array[~where])
    if kept.isna().all():
        return new
    if new.dtype != object:
        try:
            cast = kept.astype(new.dtype)
        except (TypeError, ValueError, OverflowError, NotImplementedError):  # the last is Arrow's
            cast = None
        if cast is not None and cast.isna().equals(kept.isna()):
            merged = pd.Series(new)
            merged[~where] = cast.array
            return merged.array
    cells = old.astype(object).to_numpy(copy=True)
    cells[where] = np.asarray(new.astype(object), dtype=object)[where]
    return cells
