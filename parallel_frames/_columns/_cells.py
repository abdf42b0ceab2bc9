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
    """Return the new cells where the mask says so, else the old ones; in the new dtype if it holds those exactly.

    A category keeps its own categories, and has the new ones after them; a column of texts that gets words stays one.
    """
    kept = pd.Series(old.array[~where])
    if kept.isna().all():
        return blank(new, where=~where)
    gets_words = isinstance(new.dtype, pd.CategoricalDtype) and _are_texts(kept)
    joined = _joined_categories(old.dtype, new.dtype) if gets_words else None
    if joined is None and (cast := _cast(kept, new.dtype)) is not None:
        merged = pd.Series(new)
        merged[~where] = cast.array
        return merged.array
    if not where.any():
        return old.array
    cells = old.astype(object).to_numpy(copy=True)
    cells[where] = np.asarray(new.astype(object), dtype=object)[where]
    dtype: Any = joined or old.dtype
    return pd.array(cells, dtype=dtype) if gets_words and not isinstance(dtype, np.dtype) else cells


def _joined_categories(old: Any, new: pd.CategoricalDtype) -> pd.CategoricalDtype | None:
    """Return a dtype of both categories, in the order of the old one where it has all; None where that is no category.

    Where new ones come, it is not known how they compare.
    """
    if not isinstance(old, pd.CategoricalDtype) or old == new:
        return None
    categories = old.categories.union(new.categories, sort=False)
    return pd.CategoricalDtype(categories, ordered=bool(old.ordered) and len(categories) == len(old.categories))


def can_be_kept(old: pd.Series[Any], dtype: Any) -> bool:
    """Return whether one column can hold these cells and new ones of this dtype, and still be of one kind."""
    kept = pd.Series(old.dropna().array)
    if isinstance(dtype, pd.CategoricalDtype):
        return _are_texts(kept)
    return old.dtype == dtype or _cast(kept, dtype) is not None


def _are_texts(cells: pd.Series[Any]) -> bool:
    """Return whether all cells that are not missing are texts."""
    return all(isinstance(cell, str) for cell in cells.dropna().tolist())


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


def equal_cells(old: pd.Series[Any], new: Any, *, where: Mask) -> Mask:
    """Return which cells of these rows hold one value; a missing one equals none."""
    found = np.zeros(len(old), dtype=bool)
    rows = np.flatnonzero(where)
    one, other = old.iloc[rows].array, pd.Series(new).iloc[rows].array
    if one.dtype == other.dtype and one.dtype != object and "<" not in str(one.dtype):  # not nested
        found[rows] = np.asarray(pd.Series(one == other).fillna(False), dtype=bool)  # noqa: FBT003 - pandas' signature
    else:
        pairs = zip(cells_of(pd.Series(one)), cells_of(pd.Series(other)), strict=True)
        found[rows] = [as_python(cell) is not None and is_equal(cell, answer) for cell, answer in pairs]
    return found


def _as_datetime(moment: dt.date) -> dt.datetime:
    return moment if isinstance(moment, dt.datetime) else dt.datetime.combine(moment, dt.time())
