"""Arrow columns as tokens, by their structure: a list is made of its values' tokens, a struct of its fields'.

Arrow's own way out (``to_pylist``) loses digits of float32, refuses nanoseconds in times and tells maps as lists of
pairs; walking the type is exact and fast. It knows Arrow types only, and neither pandas nor rows.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from parallel_frames._inputs import _plain as plain
from parallel_frames._inputs import _times as times
from parallel_frames._inputs import _wire as wire
from parallel_frames._inputs._cells import list_pair, object_pair
from parallel_frames._inputs._plain import Tokens
from parallel_frames._inputs._wire import UnusableCellError

if TYPE_CHECKING:
    from collections.abc import Callable


def arrow_tokens(array: Any) -> Tokens:
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if array.null_count == len(array):
        return Tokens.same([None] * len(array))
    return next(convert for test, convert in _KINDS if test(array.type))(array)


def _strings(array: Any) -> Tokens:
    try:
        return plain.strings(array.to_numpy(zero_copy_only=False).tolist())
    except (UnicodeDecodeError, pa.ArrowException):  # which of the two depends on the version
        raise UnusableCellError("the text is not UTF-8", "decode it with its own encoding") from None


def _integers(array: Any) -> Tokens:
    return plain.integers(array.fill_null(0).to_numpy()).without(_nulls(array))


def _reals(array: Any) -> Tokens:
    return plain.reals(array.to_numpy(zero_copy_only=False))


def _truths(array: Any) -> Tokens:
    return plain.truths(array.fill_null(False).to_numpy(zero_copy_only=False)).without(_nulls(array))  # noqa: FBT003 - Arrow's name for it is positional


def _moments(array: Any) -> Tokens:
    values = array.to_numpy(zero_copy_only=False)
    if array.type.tz is None:
        return Tokens.of_ascii(times.moments(values))
    try:
        zone = pa.scalar(0, array.type).as_py().tzinfo
    except (ValueError, KeyError):  # pytz, zoneinfo and Arrow each have their own
        reason = f"the time zone {array.type.tz!r} is unknown on this machine"
        raise UnusableCellError(reason, "convert the column to one that is known, such as UTC") from None
    return plain.moments(pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(zone).array)


def _days(array: Any) -> Tokens:
    return plain.days(array.to_numpy(zero_copy_only=False))


def _spans(array: Any) -> Tokens:
    return Tokens.of_ascii(times.durations(array.to_numpy(zero_copy_only=False)))


def _clock_times(array: Any) -> Tokens:
    counts = array.cast(pa.int32() if array.type.bit_width == 32 else pa.int64()).fill_null(0)
    return Tokens.of_ascii([*times.clock_times(counts.to_pylist(), array.type.unit)]).without(_nulls(array))


def _dictionary(array: Any) -> Tokens:
    codes = array.indices.cast(pa.int64()).fill_null(-1).to_numpy()  # polars counts them without a sign
    return plain.take(codes, lambda used: arrow_tokens(array.dictionary.take(pa.array(used))))


def _lists(array: Any) -> Tokens:
    entries = arrow_tokens(array.flatten()).pairs()  # without those of null lists
    if pa.types.is_fixed_size_list(array.type):
        lengths = [array.type.list_size] * len(array)
    else:
        lengths = np.diff(array.offsets.to_numpy()).tolist()
    missing = _nulls(array).tolist()
    return Tokens.of_pairs(
        [None if gone else list_pair(islice(entries, length)) for gone, length in zip(missing, lengths, strict=True)]
    )


def _maps(array: Any) -> Tokens:
    offsets = array.offsets.to_numpy()  # into all keys and items, those of other slices too
    within = slice(int(offsets[0]), int(offsets[-1]))
    names = [wire.unquote(token or '""') for token in arrow_tokens(array.keys[within]).wire]
    entries = list(zip(names, arrow_tokens(array.items[within]).pairs(), strict=True))
    bounds = (offsets - offsets[0]).tolist()
    missing = _nulls(array).tolist()
    return Tokens.of_pairs(
        [
            None if gone else object_pair(entries[start:end])
            for gone, start, end in zip(missing, bounds, bounds[1:], strict=False)
        ]
    )


def _structs(array: Any) -> Tokens:
    names = [field.name for field in array.type]
    fields = [arrow_tokens(values).pairs() for values in array.flatten()]
    rows = zip(*fields, strict=True) if fields else iter([()] * len(array))
    missing = _nulls(array).tolist()
    return Tokens.of_pairs(
        [None if gone else object_pair(zip(names, row, strict=True)) for gone, row in zip(missing, rows, strict=True)]
    )


def _extension(array: Any) -> Tokens:
    """Return what a cell of the type says, which is not what is stored: 2024Q1, and not the 216th quarter."""
    if array.type.extension_name in ("pandas.period", "pandas.interval"):
        values = array.type.to_pandas_dtype().__from_arrow__(array)
        return plain.strings([str(value) for value in values]).without(np.asarray(values.isna()))
    return plain.cells(array.to_pylist())


def _cells(array: Any) -> Tokens:
    return plain.cells(array.to_pylist())


def _run_ends(array: Any) -> Tokens:
    return arrow_tokens(pc.call_function("run_end_decode", [array]))


def _refuse(array: Any) -> Tokens:
    advice = "decode it to text, or leave the column out"
    raise UnusableCellError(f"Arrow type {array.type} cannot travel as JSON", advice)


def _nulls(array: Any) -> np.ndarray[Any, Any]:
    return np.asarray(array.is_null().to_numpy(zero_copy_only=False), dtype=bool)


def _is_text(kind: Any) -> bool:
    view = getattr(pa.types, "is_string_view", lambda _: False)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or view(kind))


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_run_ends(kind: Any) -> bool:
    return bool(getattr(pa.types, "is_run_end_encoded", lambda _: False)(kind))


def _has_cells(kind: Any) -> bool:
    return bool(pa.types.is_decimal(kind) or pa.types.is_union(kind))


def _is_other_list(kind: Any) -> bool:
    return str(kind).startswith(("list_view", "large_list_view"))


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Tokens]], ...] = (
    (_is_text, _strings),
    (pa.types.is_integer, _integers),
    (pa.types.is_floating, _reals),
    (pa.types.is_boolean, _truths),
    (pa.types.is_timestamp, _moments),
    (pa.types.is_date, _days),
    (pa.types.is_duration, _spans),
    (pa.types.is_time, _clock_times),
    (pa.types.is_dictionary, _dictionary),
    (_is_list, _lists),
    (pa.types.is_map, _maps),
    (pa.types.is_struct, _structs),
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extension),
    (_has_cells, _cells),
    (_is_other_list, _cells),
    (_is_run_ends, _run_ends),
    (lambda _: True, _refuse),
)
