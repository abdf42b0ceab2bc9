"""Which rows a call asks about: what `where=` means for a frame, decided from its cells before anything is sent."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from parallel_frames._columns import PANDAS_3, find_evidence, low_confidence, name_of
from parallel_frames._format import format_count
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable

    from parallel_frames._columns import Layout

Mask = np.ndarray[Any, np.dtype[np.bool_]]

FAILED: Final = ("failed", "cancelled")


def choose_rows(df: pd.DataFrame, where: Any, *, layout: Layout) -> Mask | None:
    """Return which rows to ask about, by position; None for all of them.

    Parameters
    ----------
    where : "missing", "failed", mask, callable or None
        ``"missing"``: an output column is null or absent; ``"failed"``: the status is failed or cancelled; one
        boolean per row, by position; or a function of the frame that returns such a mask.
    """
    if where is None:
        return None
    if isinstance(where, str):
        return _missing(df, layout) if where == "missing" else _failed(df, layout)
    name = "`where`"
    if callable(where):
        name = f"`where={getattr(where, '__name__', 'function')}`"
        where = _of_these_outputs(df, where, layout)(df.copy(deep=not PANDAS_3))  # what it does to it stays with it
    return _checked(df, where, name=name)


def _of_these_outputs(df: pd.DataFrame, where: Any, layout: Layout) -> Any:
    """Return the function; where it is `low_confidence` of all fields, that of this enrichment's own ones.

    What another enrichment of the frame is not sure of would be asked, and paid, in vain.
    """
    function, given = (where.func, where.keywords) if isinstance(where, partial) else (where, {})
    if function is not low_confidence or given.get("fields") is not None:
        return where
    having = find_evidence(df).names()
    fields = [name for label in layout.outputs if (name := name_of(label)) in having]
    return partial(low_confidence, **{**given, "fields": fields}) if fields else where


def _missing(df: pd.DataFrame, layout: Layout) -> Mask:
    """Return the rows with something to fill."""
    mask = np.zeros(len(df), dtype=bool)
    for label in layout.outputs:
        if label not in df.columns:
            return np.ones(len(df), dtype=bool)
        mask |= np.asarray(df[label].isna(), dtype=bool)
    return mask


def _failed(df: pd.DataFrame, layout: Layout) -> Mask:
    status: Hashable = layout.status
    if status is None or status not in df.columns:
        reason = "with `status=False` there is none" if status is None else f"the frame has no {status!r}"
        raise InputError(
            f"`where='failed'` reads the status column of an earlier enrichment, and {reason}. Pass "
            "`where='missing'`, or, in Python, a mask."
        )
    return np.asarray(df[status].isin(FAILED), dtype=bool)


def _checked(df: pd.DataFrame, given: Any, *, name: str) -> Mask:
    """Return a mask as one boolean per row, refusing what only looks like one."""
    if isinstance(given, pd.DataFrame):
        raise InputError(f"{name} is a DataFrame; a mask is one boolean per row, such as `(frame < 1).any(axis=1)`.")
    if isinstance(given, pd.Series):
        given = _in_order(df, given, name=name)
    if (dimensions := getattr(given, "ndim", 1)) != 1:
        raise InputError(f"{name} has {dimensions} dimensions; a mask is one boolean per row, such as `mask.ravel()`.")
    try:
        values = pd.array(given)
    except (TypeError, ValueError):
        raise InputError(f"{name} gives a {type(given).__name__}, expected one boolean per row.") from None
    if len(values) != len(df):
        raise InputError(
            f"{name} has {format_count(len(values), 'value')} and the frame {format_count(len(df), 'row')}."
        )
    if len(df) == 0:
        return np.zeros(0, dtype=bool)
    if not pd.api.types.is_bool_dtype(values.dtype):
        raise InputError(f"{name} holds {values.dtype} values, expected booleans: one per row, True for those to ask.")
    if missing := int(np.asarray(pd.isna(values)).sum()):
        raise InputError(
            f"{name} has {format_count(missing, 'missing value')}; use `.fillna(False)` or `.fillna(True)`."
        )
    return np.asarray(values, dtype=bool)


def _in_order(df: pd.DataFrame, given: pd.Series[Any], *, name: str) -> pd.Series[Any]:
    """Return a Series to be read by position, refusing one whose labels say something else."""
    same = len(given) != len(df) or given.index.equals(df.index)
    if same or given.index.nlevels != df.index.nlevels or not given.index.isin(df.index).any():
        return given
    raise InputError(
        f"{name} is a Series in which the frame's index labels stand in another order, so which row is meant cannot be "
        "known. Make it from the frame itself, or give `.to_numpy()` for a mask by position."
    )
