"""JSON lines and JSON arrays, by one set of rules on every way: which text is a row, and which type a column has.

A file is what RFC 8259 calls JSON, in UTF-8, with or without a byte order mark. What JSON readers differ in is refused,
with its place: NaN and Infinity, a name twice in one object, whole numbers beyond 64 bits with a sign. A file of no
lines has no rows.

A row is an object, or in a file of texts a bare text: the cell of a column ``input``.

A field may lack or be null anywhere, and whole numbers stand among others as numbers. But a column of a file is one
thing: a field that is text in one row and a number or an object in another is refused, with the place of both.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa

from parallel_frames._files._text import TextFiles
from parallel_frames._runtime import gc_paused
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from parallel_frames._files._address import Address
    from parallel_frames._files._text import Partitions

    Row = dict[str, Any]

BLOCK_BYTES: Final = 4 * 2**20
MAX_DEPTH: Final = 100
BOM: Final = b"\xef\xbb\xbf"
LONG_DIGITS: Final = re.compile(rb"[1-9]\d{18}")
NAME: Final = re.compile(rb'"\s*:')
TEXT_COLUMN: Final = "input"
KINDS: Final = {
    str: "text", bool: "true or false", int: "a number", float: "a number", dict: "an object", list: "a list",
}  # fmt: skip


# Rows


class TextRow(dict[str, Any]):
    """A row that is a bare text."""


def read_objects(stream: BinaryIO, *, is_lines: bool, shown: str) -> Iterator[list[tuple[int, Row]]]:
    """Yield the rows of a file in blocks, each with the number of its line, or its row in an array."""
    kinds: dict[type, int] = {}  # and the first row of each
    try:
        for rows in _read_objects(stream, is_lines=is_lines, shown=shown):
            kinds = {type(row): number for number, row in reversed(rows)} | kinds
            if len(kinds) > 1:
                unit = "line" if is_lines else "row"
                raise InputError(
                    f"{shown} has an object in {unit} {kinds[dict]} and a text in {unit} {kinds[TextRow]}. Nothing was "
                    "sent. Write every row as an object, or every row as a text."
                )
            yield rows
    except RecursionError:
        raise _too_deep(f"Something in {shown}") from None


def _too_deep(what: str, depth: int | None = None) -> InputError:
    nested = "too deep" if depth is None else f"{depth} deep"
    return InputError(
        f"{what} is nested {nested}: Parquet holds {MAX_DEPTH}. Nothing was sent. Write it as text, or leave it out."
    )


def _read_objects(stream: BinaryIO, *, is_lines: bool, shown: str) -> Iterator[list[tuple[int, Row]]]:
    if is_lines:
        yield from _read_lines(stream, shown=shown)
        return
    hint = " One object per line is JSON lines: name the file .jsonl."
    text = stream.read().removeprefix(BOM)
    objects = _parsed(text, what=shown, hint=hint)
    if not isinstance(objects, list):
        raise InputError(f"{shown} holds no array; each row is an object or a text in one array.")
    if _may_be_ambiguous(text, objects):
        _refuse_fields(text, shown)
    yield [(number, _row(value, f"Row {number} of {shown}")) for number, value in enumerate(objects, start=1)]


def _read_lines(stream: BinaryIO, *, shown: str) -> Iterator[list[tuple[int, Row]]]:
    above = 0
    for block in _blocks(stream):
        with gc_paused():  # objects by the ten thousand, and no cycle among them
            rows = _rows_of(block, above, shown=shown)
        above += block.count(b"\n")
        yield rows


def _rows_of(block: bytes, above: int, *, shown: str) -> list[tuple[int, Row]]:
    lines = [pair for pair in enumerate(block.split(b"\n"), start=above + 1) if pair[1].strip()]
    rows = []
    for number, line in lines:
        what = f"Line {number} of {shown}"
        rows.append((number, _row(_parsed(line, what=what), what)))
    if _may_be_ambiguous(block, [row for _, row in rows]):
        for number, line in lines:
            _refuse_fields(line, f"Line {number} of {shown}")
    return rows


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Yield a file's bytes in blocks that end with a line."""
    rest: list[bytes] = []
    is_first = True
    while block := stream.read(BLOCK_BYTES):
        if is_first:
            block, is_first = block.removeprefix(BOM), False
        whole, end, after = block.rpartition(b"\n")
        if end:
            yield b"".join([*rest, whole, end])
            rest.clear()
        rest.append(after)
    if any(rest):
        yield b"".join(rest)


def _row(value: Any, what: str) -> Row:
    if isinstance(value, str):
        return TextRow({TEXT_COLUMN: value})
    if not isinstance(value, dict):
        raise InputError(f"{what} is neither an object nor a text. Nothing was sent.")
    return value


def _parsed(text: bytes, *, what: str, hint: str = "") -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        _refuse_fields(text, what)
        advice = " Save it as UTF-8." if "UTF-8" in str(error) else hint
        raise InputError(f"{what} is not JSON ({error}). Nothing was sent.{advice}") from None


def _may_be_ambiguous(text: bytes, values: list[Any]) -> bool:
    """Return whether a text may have a long number or a name twice; looking closely takes ten times as long."""
    return bool(LONG_DIGITS.search(text)) or len(NAME.findall(text)) != _count_names(values)


def _count_names(value: Any) -> int:
    """Return how many names the objects within a value have; its text has more where one is there twice."""
    is_object = type(value) is dict
    count = len(value) if is_object else 0
    for inner in value.values() if is_object else value:
        if type(inner) is dict or type(inner) is list:
            count += _count_names(inner)
    return count


def _refuse_fields(text: bytes, what: str) -> None:
    """Raise InputError for a field that readers of JSON differ in, if there is one."""

    def check(pairs: list[tuple[str, Any]]) -> None:
        names = set()
        for name, value in pairs:
            if name in names:
                raise InputError(f"{what} has the field {name!r} twice in one object. Nothing was sent. Leave one out.")
            names.add(name)
            if (trouble := _trouble_in(value)) is not None:
                raise InputError(f"{what} has {trouble[0]} in the field {name!r}{trouble[1]}")

    try:
        json.loads(text, object_pairs_hook=check)
    except InputError:
        raise
    except (ValueError, RecursionError):  # no JSON at all
        return


def _trouble_in(value: Any) -> tuple[str, str] | None:
    if isinstance(value, list):
        return next(filter(None, map(_trouble_in, value)), None)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"the whole number {value}", (
            ", which is more than 64 bits with a sign hold. Nothing was sent. Write it as text, in quotes: it keeps "
            "its digits."
        )
    if isinstance(value, float) and not math.isfinite(value):
        word = "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"  # noqa: PLR0124 - NaN's own test
        return word, ", which is no JSON. Nothing was sent. Write null, or leave the field out."
    return None


# Columns


def open_json(address: Address, partitions: Partitions, *, is_lines: bool) -> TextFiles:
    """Open files of JSON, after one look at all of them."""
    reader = JsonReader(address, is_lines)
    schema = pa.schema([])
    kinds: dict[type, str] = {}  # of rows, and a file of each
    try:
        for path in partitions:
            for rows in reader.blocks(path):
                kinds |= {type(row): path for _, row in rows[:1]}
                schema = pa.unify_schemas([schema, _fields_of(rows)], promote_options="permissive")
    except pa.ArrowException:
        reader.refuse_two_kinds(partitions)
        raise
    if len(kinds) > 1:
        raise InputError(
            f"{kinds[dict]} has objects and {kinds[TextRow]} texts. Nothing was sent. Write every row as an object, or "
            "every row as a text."
        )
    if kinds and not schema.names:
        raise InputError(f"{next(iter(partitions))} has objects without a field: a row would have nothing to send.")
    files = TextFiles(reader.read, schema, partitions)
    files.is_bare = TextRow in kinds and files.schema.names == [TEXT_COLUMN]  # folders may be columns, too
    return files


def _depth_of(type_: pa.DataType) -> int:
    depth, level = 0, [type_]
    while level:
        depth, level = depth + 1, [each.field(at).type for each in level for at in range(each.num_fields)]
    return depth


@dataclass(frozen=True, slots=True)
class JsonReader:
    """Reads files of objects."""

    address: Address
    is_lines: bool

    def read(self, path: str, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield columns in their types; what an object lacks is null."""
        for rows in self.blocks(path):
            columns = [_column(rows, field.name, field.type) for field in schema]
            yield pa.table(columns, schema=schema) if columns else pa.table({"": pa.nulls(len(rows))}).select([])

    def blocks(self, path: str) -> Iterator[list[tuple[int, Row]]]:
        """Yield a file's objects, some at a time, with their numbers."""
        with self.address.system.open_input_stream(path, compression="detect") as stream:
            yield from read_objects(stream, is_lines=self.is_lines, shown=path)

    def refuse_two_kinds(self, paths: Iterable[str]) -> None:
        """Raise InputError where a field is one thing in one row and another in another, however deep it lies."""
        seen: dict[str, tuple[str, str]] = {}
        unit = "line" if self.is_lines else "row"
        everything = ((path, *numbered) for path in paths for rows in self.blocks(path) for numbered in rows)
        for file, number, row in everything:
            where = f"{unit} {number} of {file}"
            for name, kind in _kinds_in(row):
                before, there = seen.setdefault(name, (kind, where))
                if before != kind:
                    raise InputError(
                        f"The field {name!r} is {before} in {there} and {kind} in {where}: one column cannot hold "
                        "both. Nothing was sent. Write it in one way in every row, numbers as text for example, or "
                        "give the two a name each."
                    )


def _fields_of(rows: list[tuple[int, Row]]) -> pa.Schema:
    """Return what some rows have, in the types that they show."""
    names = dict.fromkeys(name for _, row in rows for name in row)
    types = {name: _column(rows, name).type for name in names}
    for name, type_ in types.items():
        if (depth := _depth_of(type_)) > MAX_DEPTH:
            raise _too_deep(f"The field {name!r}", depth)
    return pa.schema(types)


def _column(rows: list[tuple[int, Row]], name: str, type_: pa.DataType | None = None) -> pa.Array:
    try:
        return pa.array([row.get(name) for _, row in rows], type_)
    except (pa.ArrowException, OverflowError) as error:
        raise pa.ArrowInvalid(f"the field {name!r} does not fit into one column ({error})") from error


def _kinds_in(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield each field within a value, as ``a.b`` or ``a[]``, with its kind; null is of any."""
    if name and value is not None:
        yield name, KINDS[type(value)]
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _kinds_in(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for inner in value:
            yield from _kinds_in(inner, f"{name}[]")
