"""Typed columns → cells of the frame's rows: taken by position, beside or instead of what a row had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from parallel_frames._columns._same import are_same

if TYPE_CHECKING:
    from collections.abc import Sequence


def take(column: pd.Series[Any], per_row: np.ndarray[Any, Any]) -> Any:
    """Return a column's cell for each row; -1 is a missing one."""
    if column.dtype == object:  # a missing list is None, not NaN
        return objects([*column.tolist(), None])[per_row]
    return pd.api.extensions.take(column.array, per_row, allow_fill=True)


def objects(cells: Sequence[object]) -> np.ndarray[Any, Any]:
    """Return cells as an array of objects, lists included."""
    array = np.empty(len(cells), dtype=object)
    array[:] = cells
    return array


def blank(cells: Any, *, where: np.ndarray[Any, Any]) -> Any:
    """Return the cells, missing where it says so."""
    if not where.any():
        return cells
    if isinstance(cells, np.ndarray):
        out = cells.copy()
        out[where] = None
        return out
    return pd.api.extensions.take(cells, np.where(where, -1, np.arange(len(cells))), allow_fill=True)


def keep_old(old: pd.Series[Any], new: Any, *, where: np.ndarray[Any, Any]) -> Any:
    """Return the new cells where it says so and the old ones elsewhere, in the new ones' dtype if they fit it."""
    kept = pd.Series(old.array[~where])
    if is_missing(kept).all():
        return blank(new, where=~where)
    if (cast := _cast(kept, new.dtype)) is not None:
        merged = pd.Series(new)
        merged[~where] = cast.array
        return merged.array
    cells = old.astype(object).to_numpy(copy=True)
    cells[where] = np.asarray(new.astype(object), dtype=object)[where]
    return cells


def _cast(kept: pd.Series[Any], dtype: Any) -> pd.Series[Any] | None:
    """Return cells in another dtype; None where it could not hold every one of them as it is."""
    if isinstance(dtype, np.dtype) and dtype.hasobject:
        return None
    if kept.dtype == dtype:
        return kept
    if isinstance(dtype, pd.CategoricalDtype) and not _are_among(kept, dtype.categories.tolist()):
        return None  # and pandas would warn of it
    try:
        cast = kept.astype(dtype)
    except (TypeError, ValueError, OverflowError, NotImplementedError):  # the last is Arrow's
        return None
    return cast if are_same(kept, cast) else None


def _are_among(kept: pd.Series[Any], categories: Sequence[str]) -> bool:
    words = frozenset(categories)
    return all(isinstance(cell, str) and cell in words for cell in kept.dropna().tolist())


def is_missing(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which cells are missing; an empty list is a value."""
    return np.asarray(column.isna(), dtype=bool)
