"""JSON lines and JSON arrays: every field that any row has, in a type that holds for all of them.

A field may lack or be null anywhere, and whole numbers stand among others as numbers. But a column is one thing: a
field that is text in one row and a number or an object in another is refused, with the place of both.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.json as pajson

from parallel_frames._files._text import TextFiles, partitions_of, with_partitions
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from parallel_frames._files._address import Address

BLOCK_BYTES: Final = 4 * 2**20
LONG_DIGITS: Final = re.compile(rb"\d{19}")
TOO_LONG: Final = "a whole number of more than 64 bits, whose last digits would be lost"
KINDS: Final = {
    str: "text", bool: "true or false", int: "a number", float: "a number", dict: "an object", list: "a list",
}  # fmt: skip


# Lines


@dataclass(frozen=True, slots=True)
class LinesReader:
    """Reads files of one object a line."""

    address: Address

    def read(self, path: str, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield columns in their types; what a line lacks is null."""
        parsing = pajson.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
        for block in self.blocks(path):
            if block.strip():
                yield _parsed(block, parsing)

    def blocks(self, path: str) -> Iterator[bytes]:
        """Yield a file's bytes in blocks that end with a line."""
        with self.address.system.open_input_stream(path, compression="detect") as stream:
            rest = b""
            while block := stream.read(BLOCK_BYTES):
                whole, end, rest = (rest + block).rpartition(b"\n")
                if end:
                    yield whole + end
            if rest:
                yield rest

    def fields(self, path: str) -> Iterator[pa.Schema]:
        """Yield what each block has, in the types that it shows there."""
        for block in self.blocks(path):
            if LONG_DIGITS.search(block):
                self._check_digits(path)
            if block.strip():
                yield pa.schema([field.with_type(_told(field.type)) for field in _parsed(block, None).schema])

    def _check_digits(self, path: str) -> None:
        """Refuse a file with whole numbers that Arrow would read as floats."""
        for _ in self.objects(path):
            pass

    def objects(self, path: str) -> Iterator[tuple[str, Any]]:
        """Yield each line's object, and what it is called."""
        numbers = count(1)
        for block in self.blocks(path):
            for line in block.removesuffix(b"\n").split(b"\n"):
                number = next(numbers)
                if line.strip():
                    yield f"line {number} of {path}", _loaded(line, what=f"Line {number} of {path}")


def open_json_lines(address: Address, paths: Sequence[str], *, options: Mapping[str, Any]) -> TextFiles:
    """Open JSON lines, after one look at all of them.

    Raises
    ------
    InputError
        A line is no object, or a field is of two kinds.
    """
    reader = LinesReader(address)
    schema = pa.schema([])
    try:
        for path in paths:
            for fields in reader.fields(path):
                schema = pa.unify_schemas([schema, fields], promote_options="permissive")
    except pa.ArrowException:
        refuse_two_kinds(each for path in paths for each in reader.objects(path))
        raise
    parsing = pads.JsonFileFormat(read_options=pajson.ReadOptions(block_size=BLOCK_BYTES))
    return with_partitions(reader, schema, partitions_of(paths, parsing, options))


def _parsed(block: bytes, parsing: Any) -> pa.Table:
    options = pajson.ReadOptions(block_size=len(block) + 1, use_threads=False)
    return pajson.read_json(pa.BufferReader(block), read_options=options, parse_options=parsing)


def _told(type_: pa.DataType) -> pa.DataType:
    """Return a type as it was written: a date or a time in text is text."""
    if pa.types.is_temporal(type_):
        return pa.string()
    if pa.types.is_struct(type_):
        return pa.struct([field.with_type(_told(field.type)) for field in type_])
    if pa.types.is_list(type_):
        return pa.list_(_told(type_.value_type))
    return type_


def _loaded(text: bytes, *, what: str, hint: str = "") -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputError(f"{what} is no JSON ({error}). Nothing was sent.{hint}") from None
    if not keeps_digits(text):
        raise InputError(f"{what} holds {TOO_LONG}. Nothing was sent. Write it as text, in quotes.")
    return value


def keeps_digits(text: bytes) -> bool:
    """Return whether every whole number in a JSON text fits into 64 bits; a longer one is read as a float."""
    return not LONG_DIGITS.search(text) or _is_exact(json.loads(text))


def _is_exact(value: Any) -> bool:
    """Return whether every whole number in a value fits into 64 bits."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(_is_exact, inner))


# Arrays


def read_json_arrays(address: Address, paths: Sequence[str]) -> pa.Table:
    """Return files that hold one array of objects each; they are read whole."""
    rows: list[tuple[str, Any]] = []
    for path in paths:
        with address.system.open_input_stream(path) as stream:
            hint = " One object per line is JSON lines: name the file .jsonl."
            objects = _loaded(stream.read(), what=path, hint=hint)
        if not isinstance(objects, list):
            raise InputError(f"{path} holds no array of objects; each row is one object.")
        rows += [(f"row {number} of {path}", row) for number, row in enumerate(objects, start=1)]
    refuse_two_kinds(rows)
    names = dict.fromkeys(name for _, row in rows for name in row)
    return pa.table({name: pa.array([row.get(name) for _, row in rows]) for name in names})


# A field of two kinds


def refuse_two_kinds(rows: Iterable[tuple[str, Any]]) -> None:
    """Raise InputError where a field is one thing in one row and another in another, however deep it lies."""
    seen: dict[str, tuple[str, str]] = {}
    for where, row in rows:
        if not isinstance(row, dict):
            raise InputError(f"{_capital(where)} is no object: each row is one. Nothing was sent.")
        for name, kind in _kinds_in(row):
            before, there = seen.setdefault(name, (kind, where))
            if before != kind:
                raise InputError(
                    f"The field {name!r} is {before} in {there} and {kind} in {where}: one column cannot hold both. "
                    "Nothing was sent. Write it in one way in every row, numbers as text for example, or give the two "
                    "a name each."
                )


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


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
