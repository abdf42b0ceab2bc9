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
        return plain.strings(_numpy(array).tolist())
    except (UnicodeDecodeError, pa.ArrowException):  # which of the two depends on the version
        raise UnusableCellError("the text is not UTF-8", "decode it with its own encoding") from None


def _integers(array: Any) -> Tokens:
    return plain.integers(array.fill_null(0).to_numpy()).without(_nulls(array))


def _truths(array: Any) -> Tokens:
    return plain.truths(_numpy(array.fill_null(False))).without(_nulls(array))  # noqa: FBT003 - Arrow's name for it is positional


def _moments(array: Any) -> Tokens:
    values = _numpy(array)
    if array.type.tz is None:
        return Tokens.of_ascii(times.moments(values))
    try:
        zone = pa.scalar(0, array.type).as_py().tzinfo
    except (ValueError, KeyError):  # pytz, zoneinfo and Arrow each have their own
        reason = f"the time zone {array.type.tz!r} is unknown on this machine"
        raise UnusableCellError(reason, "convert the column to one that is known, such as UTC") from None
    return plain.moments(pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(zone).array)


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
    return Tokens.of_pairs([object_pair(zip(names, row, strict=True)) for row in rows]).without(_nulls(array))


def _extension(array: Any) -> Tokens:
    """Return what a cell of the type says, which is not what is stored: 2024Q1, and not the 216th quarter."""
    if array.type.extension_name in ("pandas.period", "pandas.interval"):
        return plain.spelt(array.type.to_pandas_dtype().__from_arrow__(array))
    return plain.cells(array.to_pylist())


def _refuse(array: Any) -> Tokens:
    advice = "decode it to text, or leave the column out"
    raise UnusableCellError(f"Arrow type {array.type} cannot travel as JSON", advice)


def _numpy(array: Any) -> np.ndarray[Any, Any]:
    return np.asarray(array.to_numpy(zero_copy_only=False))


def _nulls(array: Any) -> np.ndarray[Any, Any]:
    return _numpy(array.is_null()).astype(bool)


def _is(*names: str) -> Callable[[Any], bool]:
    """Return a test for any of these types; those that this version of Arrow does not have are left out."""
    tests = [getattr(pa.types, f"is_{name}") for name in names if hasattr(pa.types, f"is_{name}")]
    return lambda kind: any(test(kind) for test in tests)


_KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Tokens]], ...] = (
    (_is("string", "large_string", "string_view"), _strings),
    (_is("integer"), _integers),
    (_is("floating"), lambda array: plain.reals(_numpy(array))),
    (_is("boolean"), _truths),
    (_is("timestamp"), _moments),
    (_is("date"), lambda array: plain.days(_numpy(array))),
    (_is("duration"), lambda array: Tokens.of_ascii(times.durations(_numpy(array)))),
    (_is("time"), _clock_times),
    (_is("dictionary"), _dictionary),
    (_is("list", "large_list", "fixed_size_list"), _lists),
    (_is("map"), _maps),
    (_is("struct"), _structs),
    (lambda kind: isinstance(kind, pa.BaseExtensionType), _extension),
    (_is("decimal", "union", "list_view", "large_list_view"), lambda array: plain.cells(array.to_pylist())),
    (_is("run_end_encoded"), lambda array: arrow_tokens(pc.call_function("run_end_decode", [array]))),
    (lambda _: True, _refuse),
)
