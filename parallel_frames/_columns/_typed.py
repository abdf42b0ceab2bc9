"""Typed columns: the JSON values of one property become a pandas Series, with a message for each that does not fit.

Owns the table of dtypes, the conversion of values and the building of a column. Knows nothing of where answers come
from, which rows they belong to and what becomes of a problem.

A dtype follows from the schema alone, never from the data: an empty frame, a full one and every part of a file agree.
A value that does not fit its schema is a problem and a missing cell, never a guess.
"""

from __future__ import annotations

import enum
import math
import re
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa

from parallel_frames._schema import compile_check, kind_of, parse_date, parse_datetime, shown, split_null

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parallel_frames._model import Column, Json

Backend: TypeAlias = Literal["numpy_nullable", "pyarrow"]
Converter: TypeAlias = "Callable[[Any], Any]"

PANDAS_3: Final = int(pd.__version__.partition(".")[0]) >= 3
STRING: Final = pd.StringDtype(na_value=np.nan) if PANDAS_3 else pd.StringDtype()  # the running pandas' own
MAX_PROBLEMS: Final = 5
INT64: Final = range(-(2**63), 2**63)
LONG_DIGITS: Final = re.compile(r"\d{19}")
# Keywords that are proved by the types of the values; any other one is a constraint to be checked value by value.
PROVED_KEYWORDS: Final = {"type", "format", "enum", "description", "examples"}


class Gap(enum.Enum):
    """Why there is no value."""

    ABSENT = "the answer lacks the property"
    NO_ANSWER = "there is no answer"


ABSENT: Final = Gap.ABSENT
NO_ANSWER: Final = Gap.NO_ANSWER


class UnfitError(ValueError):
    """A value that fits its schema but not its column."""


# One value


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UnfitError(f"holds half a character, which no file can store: {shown(value)}") from None
    return value


def _integer(value: float) -> int:
    whole = int(value)
    if whole not in INT64:
        raise UnfitError(f"does not fit into 64 bits, got {shown(value)}")
    return whole


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        raise UnfitError(f"is too large for a number, got {shown(value)}") from None


def _json_text(value: Json) -> str:
    try:
        text = orjson.dumps(value).decode()
    except (TypeError, RecursionError) as error:
        if "Integer" in str(error):
            _check_integers(value)  # names the integer
        raise UnfitError(f"cannot be stored ({error}), got {shown(value)}") from None
    if LONG_DIGITS.search(text):  # orjson also writes unsigned 64 bits, which no integer column holds
        _check_integers(value)
    return text


def _check_integers(value: Json) -> None:
    """Refuse an integer beyond 64 bits, at any depth."""
    if type(value) is int:
        _integer(value)
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            _check_integers(part)


# A whole column at once; any error sends it back to be converted value by value. filter(None, …) skips nulls (and
# zeros, which are always fine).


def _texts(values: Sequence[Any]) -> Sequence[Any]:
    "".join(filter(None, values)).encode()
    return values


def _integers(values: Sequence[Any]) -> Sequence[Any]:
    _integer(min(filter(None, values), default=0))
    _integer(max(filter(None, values), default=0))
    return values


def _numbers(values: Sequence[Any]) -> Sequence[Any]:
    floats = [None if value is None else float(value) for value in values]
    if not all(map(math.isfinite, filter(None, floats))):
        raise UnfitError
    return floats


def _readers(parse: Callable[[str], Any]) -> tuple[Converter, Converter]:
    """Return the converters of one text and of all texts in a column to what they are parsed as."""

    def read(value: str) -> Any:
        moment = parse(value)
        if moment is None:
            raise UnfitError(f"cannot be read as a date, got {shown(value)}")
        return moment

    return read, lambda values: [None if value is None else read(value) for value in values]


class CellType(NamedTuple):
    """How values of one kind become cells."""

    arrow: pa.DataType  # with ``dtype_backend="pyarrow"``, at any depth
    pandas: Any  # the dtype with ``dtype_backend="numpy_nullable"``
    json: set[type]  # the Python types that prove by themselves that a value is of this kind; empty where none does
    convert: Converter  # of one value that fits the schema, or raises `UnfitError`
    convert_all: Converter = lambda values: values  # of all values of a column, None included, or raises


OBJECT: Final = np.dtype(object)
CELL_TYPES: Final[Mapping[str, CellType]] = {
    "string": CellType(pa.string(), STRING, {str}, _text, _texts),
    "choice": CellType(pa.string(), None, {str}, _text),  # its dtype has the categories of the schema
    "integer": CellType(pa.int64(), pd.Int64Dtype(), {int}, _integer, _integers),
    "number": CellType(pa.float64(), pd.Float64Dtype(), {int, float}, _number, _numbers),
    "boolean": CellType(pa.bool_(), pd.BooleanDtype(), {bool}, bool),
    "date": CellType(pa.date32(), np.dtype("datetime64[us]"), {str}, *_readers(parse_date)),
    "datetime": CellType(
        pa.timestamp("us", tz="UTC"), pd.DatetimeTZDtype("us", "UTC"), {str}, *_readers(parse_datetime)
    ),
    "json": CellType(pa.string(), OBJECT, set(), _json_text),
}


# Schema → dtype


def cell_kind(node: Mapping[str, Json]) -> str:
    """Return the kind of a node's cells: a key of `CELL_TYPES`, "array" or "object"."""
    inner, _ = split_null(node)
    kind = kind_of(inner)
    if kind == "enum":
        type_ = str(inner.get("type"))
        return "choice" if type_ == "string" else type_ if type_ in CELL_TYPES else "json"
    return "json" if kind == "any" or (kind == "object" and "properties" not in inner) else kind


def dtype_of(column: Column, dtype_backend: Backend = "numpy_nullable") -> Any:
    if dtype_backend == "pyarrow":
        return pd.ArrowDtype(arrow_type(column.node))
    kind = cell_kind(column.node)
    if kind == "choice":
        return pd.CategoricalDtype(split_null(column.node)[0]["enum"])
    return CELL_TYPES[kind].pandas if kind in CELL_TYPES else OBJECT


def arrow_type(node: Mapping[str, Json]) -> pa.DataType:
    """Return the Arrow type of a node; what the schema gives no type is JSON text."""
    inner, _ = split_null(node)
    kind = cell_kind(inner)
    if kind == "array":
        return pa.list_(arrow_type(inner.get("items", {})))
    if kind == "object":
        return pa.struct([(name, arrow_type(child)) for name, child in inner["properties"].items()])
    return CELL_TYPES[kind].arrow


# Values → cells → column


class TypedColumn(NamedTuple):
    """A column, and by position what is wrong with each value that does not fit."""

    series: pd.Series[Any]
    problems: dict[int, str]


def typed_column(
    column: Column, values: Sequence[Json | Gap], *, dtype_backend: Backend = "numpy_nullable"
) -> TypedColumn:
    """Build one column from the parsed JSON values of its property, one per answer.

    `ABSENT` (an answer lacks the property) is null where null is allowed, a problem elsewhere; `NO_ANSWER` is missing
    and never a problem.

    Whole numbers written as 3.0 are integers; integers beyond 64 bits are problems. A date may be written as a
    midnight; an instant without a zone is UTC, a bare date its midnight, and digits beyond microseconds are cut off.
    Cells of "numpy_nullable" arrays and objects are the plain lists and dicts of the answer. Written to Parquet and
    read back, lists come back as numpy arrays, and integers in an object as floats where other rows have none;
    an "any" column of unlike values cannot be written. With "pyarrow" a choice is a string (pandas cannot read a
    dictionary column back from Parquet), and where the schema names no type the cell is JSON text.
    """
    cells, problems = convert_values(column, values, dtype_backend)
    return TypedColumn(build_series(column, cells, dtype_backend), problems)


def convert_values(
    column: Column, values: Sequence[Json | Gap], dtype_backend: Backend
) -> tuple[Sequence[Any], dict[int, str]]:
    """Return the cells, None where missing, and the problems by position."""
    cells = _convert_at_once(column, values)
    return (cells, {}) if cells is not None else _convert_one_by_one(column, values, dtype_backend)


def _convert_at_once(column: Column, values: Sequence[Json | Gap]) -> Sequence[Any] | None:
    """Return the cells of a column if the Python types of its values prove that all of them fit; else None."""
    inner, _ = split_null(column.node)
    kind = cell_kind(inner)
    cell_type = CELL_TYPES.get(kind)
    types = set(map(type, values))
    if (
        cell_type is None
        or inner.keys() - PROVED_KEYWORDS
        or ("format" in inner and kind == "string")
        or types - cell_type.json - {type(None), Gap}
        or (not column.nullable and (type(None) in types or (Gap in types and ABSENT in values)))
    ):
        return None
    if Gap in types:
        values = [None if type(value) is Gap else value for value in values]
    if "enum" in inner and not (kind == "choice" and set(values) <= {None, *inner["enum"]}):
        return None
    try:
        cells: Sequence[Any] = cell_type.convert_all(values)
    except (ValueError, OverflowError):
        return None
    return cells


def _convert_one_by_one(
    column: Column, values: Sequence[Json | Gap], dtype_backend: Backend
) -> tuple[list[Any], dict[int, str]]:
    # The schema's check comes first: Arrow alone would make 1 of 1.5 and three letters of "abc".
    check, convert = compile_check(column.node), converter(column.node)
    keeps_value = dtype_backend == "numpy_nullable" and dtype_of(column) == OBJECT
    cells: list[Any] = [None] * len(values)
    problems: dict[int, str] = {}
    for position, value in enumerate(values):
        if type(value) is Gap:
            if value is ABSENT and not column.nullable:
                problems[position] = "is missing from the answer"
        elif value is None and column.nullable:
            continue
        elif found := check(value):
            problems[position] = _first_few(found)
        else:
            try:
                if keeps_value:  # it must be one that can be stored, and that the other backend could hold
                    _json_text(value)
                cell = convert(value)
                cells[position] = value if keeps_value else cell
            except UnfitError as error:
                problems[position] = str(error)
    return cells, problems


def _first_few(problems: Sequence[object]) -> str:
    more = f"; and {len(problems) - MAX_PROBLEMS} more" if len(problems) > MAX_PROBLEMS else ""
    return "; ".join(map(str, problems[:MAX_PROBLEMS])) + more


def converter(node: Mapping[str, Json]) -> Converter:
    """Return the function that turns a value that fits a node into what Arrow takes for it."""
    inner, _ = split_null(node)
    kind = cell_kind(inner)
    if kind == "array":
        convert_item = converter(inner.get("items", {}))
        return lambda items: [None if item is None else convert_item(item) for item in items]
    if kind == "object":
        fields = [(name, converter(child)) for name, child in inner["properties"].items()]
        return lambda value: {
            name: None if value.get(name) is None else convert(value[name]) for name, convert in fields
        }
    return CELL_TYPES[kind].convert


def build_series(column: Column, cells: Sequence[Any], dtype_backend: Backend) -> pd.Series[Any]:
    """Return converted cells as a series of the column's dtype; nothing can fail here over an answer."""
    dtype = dtype_of(column, dtype_backend)
    kind = cell_kind(column.node)
    if dtype_backend == "pyarrow":
        array: Any = pd.arrays.ArrowExtensionArray(pa.array(cells, arrow_type(column.node)))
    elif dtype == OBJECT:
        array = list(cells)
    elif kind == "choice":
        codes = {value: code for code, value in enumerate(dtype.categories)} | {None: -1}
        array = pd.Categorical.from_codes([codes[cell] for cell in cells], dtype=dtype)
    elif kind == "date":
        array = pa.array(cells, pa.date32()).cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    else:
        # to_pandas() would take integers next to a null through floats; the dtype's own reader keeps all 64 bits.
        array = dtype.__from_arrow__(pa.array(cells, CELL_TYPES[kind].arrow))
    series: pd.Series[Any] = pd.Series(array, dtype=dtype, name=column.name)
    return series
