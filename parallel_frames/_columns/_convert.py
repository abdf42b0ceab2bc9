"""JSON values → what a column can hold, with a message for each that does not fit.

It owns the judging: first the JSON type and the constraints, by the schema's own check, and only then a conversion,
because Arrow alone would make 1 of 1.5 and three letters of "abc". Columns whose values are all of one plain type
are judged at once.
"""

from __future__ import annotations

import enum
import math
import re
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from parallel_frames._columns._dtypes import cell_kind
from parallel_frames._schema import compile_check, parse_date, parse_datetime, shown, split_null

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parallel_frames._columns._dtypes import Backend
    from parallel_frames._model import Column, Json

Converter: TypeAlias = "Callable[[Any], Any]"

MAX_TOLD = 5
INT64 = range(-(2**63), 2**63)
LONG_DIGITS = re.compile(r"\d{19}")


class Gap(enum.Enum):
    """Why there is no value."""

    ABSENT = "the answer lacks the property"
    NO_ANSWER = "there is no answer"


ABSENT = Gap.ABSENT
NO_ANSWER = Gap.NO_ANSWER


class UnfitError(ValueError):
    """A value that fits its schema and yet no cell."""


def convert_values(
    column: Column, values: Sequence[Json | Gap], dtype_backend: Backend
) -> tuple[Sequence[Any], dict[int, str]]:
    """Return what the cells hold, None where missing, and the problems by position."""
    plain = _all_plain(column, values)
    return (plain, {}) if plain is not None else _one_by_one(column, values, dtype_backend)


def _all_plain(column: Column, values: Sequence[Json | Gap]) -> Sequence[Any] | None:
    """Return the values of a simple column when a look at their types proves that all fit; else None."""
    inner, _ = split_null(column.node)
    kind = cell_kind(inner)
    exact = _EXACT.get(kind)
    if exact is None or inner.keys() - {"type", "format", "enum", "description", "examples"}:
        return None
    seen = set(map(type, values))
    if seen - exact - {type(None), Gap} or (type(None) in seen and not column.nullable):
        return None
    if Gap in seen:
        if not column.nullable and ABSENT in values:
            return None
        values = [None if type(value) is Gap else value for value in values]
    if "enum" in inner:
        return values if kind == "choice" and set(values) <= {None, *inner["enum"]} else None
    if "format" in inner and kind == "string":
        return None
    prove = _PROOFS.get(kind)
    return prove(values) if prove is not None else values


def _one_by_one(
    column: Column, values: Sequence[Json | Gap], dtype_backend: Backend
) -> tuple[list[Any], dict[int, str]]:
    test, convert = compile_check(column.node), _cell_converter(column, dtype_backend)
    converted: list[Any] = [None] * len(values)
    problems: dict[int, str] = {}
    for position, value in enumerate(values):
        if type(value) is Gap:
            if value is ABSENT and not column.nullable:
                problems[position] = "is missing from the answer"
        elif value is not None or not column.nullable:
            if found := test(value):
                problems[position] = _told(found)
                continue
            try:
                converted[position] = convert(value)
            except UnfitError as error:
                problems[position] = str(error)
    return converted, problems


def _told(problems: Sequence[object]) -> str:
    more = f"; and {len(problems) - MAX_TOLD} more" if len(problems) > MAX_TOLD else ""
    return "; ".join(map(str, problems[:MAX_TOLD])) + more


def _cell_converter(column: Column, dtype_backend: Backend) -> Converter:
    """Return what turns a value that fits its node into a cell."""
    convert = converter(column.node)
    if dtype_backend == "numpy_nullable" and cell_kind(column.node) in ("array", "object", "json"):
        return lambda value: _kept(value, convert)
    return convert


def converter(node: Mapping[str, Json]) -> Converter:
    """Return what turns a value that fits a node into what Arrow takes for it."""
    inner, _ = split_null(node)
    kind = cell_kind(inner)
    if kind == "array":
        return _list_converter(converter(inner.get("items", {})))
    if kind == "object":
        return _struct_converter({name: converter(child) for name, child in inner["properties"].items()})
    return _CONVERTERS[kind]


def _list_converter(convert: Converter) -> Converter:
    return lambda values: [None if value is None else convert(value) for value in values]


def _struct_converter(converters: Mapping[str, Converter]) -> Converter:
    fields = list(converters.items())

    def convert_struct(value: Mapping[str, Json]) -> dict[str, Any]:
        return {name: None if value.get(name) is None else convert(value[name]) for name, convert in fields}

    return convert_struct


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


def _date(value: str) -> Any:
    return _read(parse_date(value), value)


def _datetime(value: str) -> Any:
    return _read(parse_datetime(value), value)


def _read(read: Any, value: str) -> Any:
    if read is None:
        raise UnfitError(f"is no date that can be read, got {shown(value)}")
    return read


def _json_text(value: Json) -> str:
    try:
        text = orjson.dumps(value).decode()
    except (TypeError, RecursionError) as error:
        if isinstance(error, TypeError) and "Integer" in str(error):
            _check_integers(value)  # says which
        raise UnfitError(f"cannot be stored ({error}), got {shown(value)}") from None
    if LONG_DIGITS.search(text):  # orjson writes unsigned 64 bits too, which no column of integers holds
        _check_integers(value)
    return text


def _check_integers(value: Json) -> None:
    """Refuse an integer beyond 64 bits, at any depth."""
    if type(value) is int:
        _integer(value)
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            _check_integers(part)


def _kept(value: Json, convert: Converter) -> Json:
    """Return a value as it is, once it is known that it can be stored, and that the other family would hold it too."""
    _json_text(value)
    convert(value)
    return value


def _all_integers(values: Sequence[Any]) -> Sequence[Any] | None:
    numbers = [value for value in values if value is not None] if None in values else values
    return values if not numbers or (min(numbers) in INT64 and max(numbers) in INT64) else None


def _all_numbers(values: Sequence[Any]) -> Sequence[Any] | None:
    try:
        floats = [None if value is None else float(value) for value in values]
    except OverflowError:
        return None
    there = [value for value in floats if value is not None] if None in floats else floats
    return floats if all(map(math.isfinite, there)) else None  # type: ignore[arg-type]


def _all_texts(values: Sequence[Any]) -> Sequence[Any] | None:
    try:
        "".join(filter(None, values)).encode()
    except UnicodeEncodeError:
        return None
    return values


def _all_parsed(parse: Converter) -> Converter:
    def parse_all(values: Sequence[Any]) -> Sequence[Any] | None:
        parsed = [None if value is None else parse(value) for value in values]
        # More gaps than before: something was no date, and is told one by one.
        return parsed if parsed.count(None) == sum(value is None for value in values) else None

    return parse_all


_EXACT: Mapping[str, set[type]] = {
    "string": {str},
    "choice": {str},
    "integer": {int},
    "number": {int, float},
    "boolean": {bool},
    "date": {str},
    "datetime": {str},
}
_PROOFS: Mapping[str, Converter] = {
    "string": _all_texts,
    "integer": _all_integers,
    "number": _all_numbers,
    "date": _all_parsed(parse_date),
    "datetime": _all_parsed(parse_datetime),
}
_CONVERTERS: Mapping[str, Converter] = {
    "string": _text,
    "choice": _text,
    "integer": _integer,
    "number": _number,
    "boolean": bool,
    "date": _date,
    "datetime": _datetime,
    "json": _json_text,
}
