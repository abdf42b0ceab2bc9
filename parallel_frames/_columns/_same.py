"""Whether a cell is still what it was after its column's dtype has changed: a number is no text, and no moment."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, TypeAlias

import numpy as np
import pandas as pd

NUMBERS: Final = (int, float, Decimal)
LISTS: Final = (list, tuple)
Instant: TypeAlias = dt.date  # a datetime is one, too


def are_same(old: pd.Series[Any], new: pd.Series[Any]) -> bool:
    """Return whether two columns of one length hold the same values, whatever their dtypes."""
    return all(map(is_same, old.astype(object).tolist(), new.astype(object).tolist()))


def is_same(old: object, new: object) -> bool:
    """Return whether two cells hold one value, compared exactly; a day is its midnight."""
    old, new = _plain(old), _plain(new)
    if old is None or new is None:
        return old is new
    if isinstance(old, bool) or isinstance(new, bool):
        return old is new
    if isinstance(old, LISTS) and isinstance(new, LISTS):
        return len(old) == len(new) and all(map(is_same, old, new))
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(is_same(cell, new[name]) for name, cell in old.items())
    if isinstance(old, Instant) and isinstance(new, Instant):
        return _moment(old) == _moment(new)
    of_one_kind = isinstance(new, type(old)) or isinstance(old, type(new))
    return (of_one_kind or (isinstance(old, NUMBERS) and isinstance(new, NUMBERS))) and bool(old == new)


def _plain(cell: object) -> object:
    """Return a cell as Python has it, and None for a missing one."""
    if isinstance(cell, np.ndarray):
        return cell.tolist()
    if isinstance(cell, np.generic) and not isinstance(cell, np.datetime64 | np.timedelta64):
        cell = cell.item()
    return None if cell is pd.NA or cell is pd.NaT or cell != cell else cell  # noqa: PLR0124 - NaN's own test


def _moment(instant: Instant) -> dt.datetime:
    return instant if isinstance(instant, dt.datetime) else dt.datetime.combine(instant, dt.time())
