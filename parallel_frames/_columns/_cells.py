"""Cells of columns: taken by position, kept among new ones without changing a value, compared whatever their dtypes.

Owns what is subtle about single cells in pandas: lists as cells, missing values of every kind, equality across dtypes.
Knows nothing of answers and labels.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from typing import TypeAlias

    Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

NUMBERS: Final = (int, float, Decimal)
LISTS: Final = (list, tuple)


def cells_of(column: pd.Series[Any]) -> list[Any]:
    """Return the cells of any column.

    pandas cannot list every nested column of Arrow, and takes whole numbers next to a null through floats there.
    """
    if isinstance(column.dtype, pd.ArrowDtype) and pa.types.is_nested(column.dtype.pyarrow_dtype):
        return list(pa.Array.from_pandas(column).to_pylist())
    return list(column.to_numpy(dtype=object))


def check_lists(column: pd.Series[Any], name: str) -> None:
    """Refuse a column of lists that CSV turned into texts; other texts are the user's own, and no evidence."""
    if any(isinstance(cell, str) and cell.startswith("[") for cell in cells_of(column)):
        raise InputError(
            f"The column {name!r} holds texts where lists of evidence should be: CSV makes texts of lists. "
            "Keep the frame as Parquet, or drop its evidence and enrich again with `basis`: what a checkpoint holds "
            "is not paid for again."
        )


def take(column: pd.Series[Any], positions: np.ndarray[Any, Any]) -> Any:
    """Return the cells at these positions; -1 is a missing one."""
    if column.dtype != object:
        return pd.api.extensions.take(column.array, positions, allow_fill=True)
    cells = np.empty(len(column) + 1, dtype=object)
    cells[:-1] = column.to_numpy()  # the last one, None, is at -1: pandas would put NaN where a list is missing
    return cells[positions]


def blank(cells: Any, *, where: Mask) -> Any:
    if not where.any():
        return cells
    if isinstance(cells, np.ndarray):
        cells = cells.copy()
        cells[where] = None
        return cells
    return pd.api.extensions.take(cells, np.where(where, -1, np.arange(len(cells))), allow_fill=True)


def keep_old(old: pd.Series[Any], new: Any, *, where: Mask) -> Any:
    """Return the new cells where the mask says so, else the old ones; in the new dtype if it holds those exactly."""
    kept = pd.Series(old.array[~where])
    if kept.isna().all():
        return blank(new, where=~where)
    if (cast := _cast(kept, new.dtype)) is not None:
        merged = pd.Series(new)
        merged[~where] = cast.array
        return merged.array
    cells = old.astype(object).to_numpy(copy=True)
    cells[where] = np.asarray(new.astype(object), dtype=object)[where]
    return cells


def _cast(kept: pd.Series[Any], dtype: Any) -> pd.Series[Any] | None:
    """Return cells in another dtype; None if it cannot hold every one of them as it is."""
    if isinstance(dtype, np.dtype) and dtype.hasobject:
        return None
    if kept.dtype == dtype:
        return kept
    if isinstance(dtype, pd.CategoricalDtype) and not _are_among(kept, dtype.categories):
        return None  # pandas warns before it makes other words missing
    try:
        cast = kept.astype(dtype)
    except (TypeError, ValueError, OverflowError, NotImplementedError):  # the last is Arrow's
        return None
    is_exact = all(map(is_equal, kept.astype(object).tolist(), cast.astype(object).tolist()))
    return cast if is_exact else None


def _are_among(kept: pd.Series[Any], categories: pd.Index[Any]) -> bool:
    words = frozenset(categories.tolist())
    return all(isinstance(cell, str) and cell in words for cell in kept.dropna().tolist())


def is_equal(old: object, new: object) -> bool:
    """Return whether two cells hold one value: a number is not a text, nor a truth value; a day is its midnight."""
    old, new = as_python(old), as_python(new)
    if old is None or new is None or isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, LISTS) and isinstance(new, LISTS):
        return len(old) == len(new) and all(map(is_equal, old, new))
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(is_equal(cell, new[name]) for name, cell in old.items())
    if isinstance(old, dt.date) and isinstance(new, dt.date):  # a datetime is a date, too
        return _as_datetime(old) == _as_datetime(new)
    is_one_kind = isinstance(new, type(old)) or isinstance(old, type(new))
    return (is_one_kind or (isinstance(old, NUMBERS) and isinstance(new, NUMBERS))) and bool(old == new)


def as_python(cell: object) -> object:
    """Return a cell as plain Python has it, and None for a missing one."""
    if isinstance(cell, np.ndarray):
        return cell.tolist()
    if isinstance(cell, np.generic) and not isinstance(cell, np.datetime64 | np.timedelta64):
        cell = cell.item()
    return None if cell is pd.NA or cell is pd.NaT or cell != cell else cell  # noqa: PLR0124 - NaN's own test


def _as_datetime(moment: dt.date) -> dt.datetime:
    return moment if isinstance(moment, dt.datetime) else dt.datetime.combine(moment, dt.time())
