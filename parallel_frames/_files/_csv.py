"""CSV and TSV: which type a column has, and which of its cells are missing, decided by all of its cells.

The rule, wherever rows come from CSV:

- An empty cell is missing, quoted or not. It is the only one in a column of text: ``NA`` is Namibia's code there.
- A column whose other cells are all whole numbers, all numbers, or all ``true`` and ``false`` is of that type; the
  usual words for a missing cell (`MISSING`) are missing in it, as in pandas. Nothing but such words is text.
- Everything else is text, as it stands: dates and times, as in JSON; hexadecimal digits; digits after a plus or a
  leading zero, which are codes (``02101`` is a place, 2101 is not); whole numbers of more digits than 64 bits hold.
"""

# Arrow makes its functions when it is imported.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from parallel_frames._files._dialect import HEAD_BYTES, find_dialect
from parallel_frames._files._parts import join_parts
from parallel_frames._files._text import TextFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from parallel_frames._files._address import Address
    from parallel_frames._files._dialect import Dialect
    from parallel_frames._files._text import Partitions

BLOCK_BYTES: Final = 4 * 2**20
MAX_BLOCK_BYTES: Final = 2**30
MISSING: Final = pa.array([
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
])  # fmt: skip
TRUE: Final = pa.array(["true", "True", "TRUE"])
BOOLEAN: Final = pa.array([*TRUE.to_pylist(), "false", "False", "FALSE"])
WHOLE: Final = r"^\s*-?(0|[1-9][0-9]*)\s*$"
NUMBER: Final = r"^\s*-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"


def open_csv(address: Address, partitions: Partitions, *, delimiter: str) -> TextFiles:
    """Open CSV files, after one look at all of them."""
    dialects = {path: _dialect_of(address, path, delimiter) for path in partitions}
    block_bytes = BLOCK_BYTES
    while True:
        reader = CsvReader(address, dialects, block_bytes)
        try:
            return TextFiles(reader.read, _find_schema(reader, list(partitions)), partitions)
        except pa.ArrowInvalid as error:
            if "straddl" not in str(error) or block_bytes >= MAX_BLOCK_BYTES:
                raise
        block_bytes *= 8  # a row must fit into a block


def _dialect_of(address: Address, path: str, delimiter: str) -> Dialect:
    with address.system.open_input_stream(path, compression="detect") as stream:
        return find_dialect(stream.read(HEAD_BYTES), delimiter=delimiter, shown=path)


def _find_schema(reader: CsvReader, paths: Sequence[str]) -> pa.Schema:
    """Return the columns in the types that hold for all of their cells."""
    headers = {path: reader.header(path) for path in paths}
    join_parts((path, pa.schema([(name, pa.string()) for name in names])) for path, names in headers.items())
    columns = {name: Column() for name in headers[paths[0]]}
    for path in paths:
        for batch in reader.texts(path, list(columns)):
            for column, cells in zip(columns.values(), batch.columns, strict=True):
                column.see(cells)
    return pa.schema([pa.field(name, column.type) for name, column in columns.items()])


@dataclass(frozen=True, slots=True)
class CsvReader:
    """Reads CSV files as texts, and makes of these what a schema says."""

    address: Address
    dialects: Mapping[str, Dialect]
    block_bytes: int

    def header(self, path: str) -> list[str]:
        """Return the names in a file's first line."""
        with self._opened(path) as batches:
            return list(batches.schema.names)

    def texts(self, path: str, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield columns as the texts that stand there."""
        with self._opened(path, names) as batches:
            yield from batches

    def read(self, path: str, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield columns in their types."""
        if not schema.names:  # a column tells how many rows there are
            for batch in self.texts(path, self.header(path)[:1]):
                yield pa.table(batch).select([])
        for batch in self.texts(path, schema.names) if schema.names else ():
            yield pa.table(
                [as_type(cells, each.type) for cells, each in zip(batch.columns, schema, strict=True)], schema=schema
            )

    @contextmanager
    def _opened(self, path: str, names: Sequence[str] = ()) -> Iterator[Any]:
        dialect = self.dialects[path]
        with (
            self.address.system.open_input_stream(path, compression="detect") as stream,
            pacsv.open_csv(
                stream,
                read_options=pacsv.ReadOptions(
                    block_size=self.block_bytes, use_threads=False, encoding=dialect.encoding, skip_rows=dialect.skipped
                ),
                parse_options=pacsv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True),
                convert_options=pacsv.ConvertOptions(
                    column_types=dict.fromkeys(names, pa.string()), include_columns=list(names)
                ),
            ) as batches,
        ):
            yield batches


@dataclass(slots=True)
class Column:
    """What the cells of a column can be, as far as they were seen."""

    is_empty: bool = True
    may_be: set[Any] = field(default_factory=lambda: {pa.int64(), pa.uint64(), pa.float64(), pa.bool_()})
    are_whole: bool = True
    has_words: bool = False

    def see(self, cells: Any) -> None:
        """Look at some cells."""
        if not self.may_be:
            return
        values = cells.filter(pc.invert(pc.is_in(cells, value_set=MISSING)))
        self.has_words = self.has_words or bool(pc.any(pc.not_equal(cells, "")).as_py())
        if not len(values):
            return
        self.is_empty = False
        self.are_whole = self.are_whole and _all_match(values, WHOLE)
        self.may_be = {type_ for type_ in self.may_be if self._fits(values, type_)}

    def _fits(self, values: Any, type_: Any) -> bool:
        if pa.types.is_boolean(type_):
            return bool(pc.all(pc.is_in(values, value_set=BOOLEAN)).as_py())
        if not (self.are_whole if pa.types.is_integer(type_) else self.are_whole or _all_match(values, NUMBER)):
            return False
        try:
            pc.cast(pc.utf8_trim_whitespace(values), type_)
        except pa.ArrowInvalid:
            return False
        return True

    @property
    def type(self) -> Any:
        """The type that holds for all of them."""
        if self.is_empty:
            return pa.string() if self.has_words else pa.null()
        fits = [pa.int64(), pa.uint64()] if self.are_whole else [pa.float64(), pa.bool_()]
        return next((type_ for type_ in fits if type_ in self.may_be), pa.string())


def _all_match(cells: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, pattern)).as_py())


def as_type(cells: Any, type_: Any) -> Any:
    """Return texts as cells of a type, missing ones as nulls; raises ArrowInvalid where one does not fit."""
    if pa.types.is_null(type_):
        return pa.nulls(len(cells))
    if pa.types.is_string(type_):
        return pc.if_else(pc.equal(cells, ""), None, cells)
    values = pc.if_else(pc.is_in(cells, value_set=MISSING), None, cells)
    if pa.types.is_boolean(type_):
        return pc.if_else(pc.is_null(values), None, pc.is_in(values, value_set=TRUE))
    return pc.cast(pc.utf8_trim_whitespace(values), type_)
