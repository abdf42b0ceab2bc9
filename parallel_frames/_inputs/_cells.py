"""One cell of any type as its two tokens: what travels, and what identifies it.

For what has no column type: object columns, nested values, category labels. It owns the list of types that have a
JSON; everything else is refused by name rather than sent as its ``repr``. A missing cell is None: left out of objects
at every depth, ``null`` in lists.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd

from parallel_frames._inputs import _canonical_v1 as form
from parallel_frames._inputs import _times as times
from parallel_frames._inputs import _wire as wire
from parallel_frames._inputs._wire import UnusableCellError, refuse_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Pair: TypeAlias = tuple[str, str]
MOST_DEPTH = 100


def text_pair(text: str) -> Pair:
    return wire.quote(text), form.text(text)


def real_pair(number: float) -> Pair | None:
    return None if number != number else (wire.real(number), form.real(number))  # noqa: PLR0124 - NaN's own test


def decimal_pair(number: Decimal) -> Pair | None:
    return None if number.is_nan() else (wire.decimal(number), form.decimal(number))


def _integer_pair(number: int) -> Pair:
    return wire.integer(number), form.integer(number)


def _truth_pair(value: object) -> Pair:
    return ("true", "true") if value else ("false", "false")


def _missing(_: object) -> None:
    return None


def as_read(number: Any) -> float:
    """Return a narrow float as the double a person reads: 0.1, not 0.10000000149011612.

    numpy's own texts follow its print options, which belong to the user.
    """
    return float(np.format_float_scientific(number, unique=True))


def _spelt(spell: Callable[[Any], str]) -> Callable[[Any], Pair]:
    return lambda cell: text_pair(spell(cell))


def _numpy_moment(cell: np.datetime64) -> Pair | None:
    if np.isnat(cell):
        return None
    coarse = np.datetime_data(cell.dtype)[0] in {"Y", "M", "W", "D"}
    text = (times.days if coarse else times.moments)(np.array([cell]))[0]
    return None if text is None else text_pair(text)


def _numpy_span(cell: np.timedelta64) -> Pair | None:
    if np.isnat(cell):
        return None
    if np.datetime_data(cell.dtype)[0] in {"generic", "Y", "M"}:
        raise UnusableCellError("a timedelta64 in years, months or no unit has no length", "give it in days or less")
    text = times.durations(np.array([cell]))[0]
    return None if text is None else text_pair(text)


_SCALARS: dict[type, Callable[[Any], Pair | None]] = {
    str: text_pair,
    int: _integer_pair,
    float: real_pair,
    bool: _truth_pair,
    type(None): _missing,
    type(pd.NaT): _missing,
    type(pd.NA): _missing,
    pd.Timestamp: _spelt(times.moment_text),
    pd.Timedelta: lambda span: _numpy_span(span.to_timedelta64()),
    np.bool_: _truth_pair,
    np.float16: lambda number: real_pair(as_read(number)),
    np.float32: lambda number: real_pair(as_read(number)),
    np.longdouble: lambda number: real_pair(float(number)),
    np.datetime64: _numpy_moment,
    np.timedelta64: _numpy_span,
    np.integer: lambda number: _integer_pair(int(number)),
    datetime: _spelt(times.moment_text),
    date: _spelt(date.isoformat),
    time: _spelt(times.moment_text),
    timedelta: _spelt(times.timedelta_text),
    Decimal: decimal_pair,
    uuid.UUID: _spelt(str),
    PurePath: _spelt(str),
    pd.Period: _spelt(str),
    pd.Interval: _spelt(str),
    np.float64: real_pair,
}


def pair_of(cell: Any, depth: int = 0) -> Pair | None:
    """Return a cell's tokens (what travels, what identifies it), None for a missing one."""
    convert = _SCALARS.get(type(cell))
    return convert(cell) if convert is not None else _other_pair(cell, depth)


def _other_pair(cell: Any, depth: int) -> Pair | None:
    if depth > MOST_DEPTH:
        raise UnusableCellError(f"a value is nested more than {MOST_DEPTH} deep", "flatten it")
    if isinstance(cell, Enum):
        return pair_of(cell.value, depth + 1)
    if isinstance(cell, Mapping):
        return object_pair(((key_text(name), pair_of(value, depth + 1)) for name, value in cell.items()))
    if isinstance(cell, np.ndarray):
        return pair_of(list(cell) if cell.ndim else cell[()], depth + 1)
    if isinstance(cell, (list, tuple)):
        return list_pair(pair_of(entry, depth + 1) for entry in cell)
    for kind, convert in _SCALARS.items():  # subclasses, numpy's integers among them
        if isinstance(cell, kind):
            return convert(cell)
    raise refuse_type(cell)


def list_pair(entries: Iterable[Pair | None]) -> Pair:
    pairs = [("null", "null") if entry is None else entry for entry in entries]
    return f"[{','.join([sent for sent, _ in pairs])}]", form.array([canonical for _, canonical in pairs])


def object_pair(entries: Iterable[tuple[str, Pair | None]]) -> Pair:
    """Return the tokens of an object; two entries of one name are refused, missing ones left out."""
    pairs: dict[str, Pair | None] = {}
    for name, pair in entries:
        if name in pairs:
            raise UnusableCellError(f"two names of a dict are both {name!r} as text", "rename one of them")
        pairs[name] = pair
    kept = {name: pair for name, pair in pairs.items() if pair is not None}
    sent = ",".join([f"{wire.quote(name)}:{pair[0]}" for name, pair in kept.items()])
    return f"{{{sent}}}", form.mapping({name: pair[1] for name, pair in kept.items()})


def key_text(name: Any) -> str:
    if type(name) is str:
        return name
    pair = pair_of(name)
    if pair is None:
        raise UnusableCellError("a missing value is the name of a dict's entry", "give the entry a name")
    return wire.unquote(pair[0])
