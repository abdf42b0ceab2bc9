"""CSV and TSV: which type a column has, and which of its cells are missing, decided by all of its cells.

The rule, wherever rows come from CSV:

- An empty cell is missing, quoted or not. It is the only one in a column of text: ``NA`` is Namibia's code there.
- A column whose other cells are all whole numbers, all numbers, or all ``true`` and ``false`` is of that type; the
  usual words for a missing cell (`MISSING`) are missing in it, as in pandas. Nothing but such words is text.
- Two texts never become one value: numbers and booleans are written in one way in the whole column, and as exactly as
  64 bits hold them. So 1.10 and 1.1 are versions, 1.10 and 2.50 prices, and digits after a plus or a leading zero are
  codes (``02101`` is a place, 2101 is not). Spaces around a number do not count.
- Everything else is text, as it stands: dates and times, as in JSON; hexadecimal digits.
"""

# Arrow makes its functions when it is imported.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from parallel_frames._files._dialect import HEAD_BYTES, find_dialect
from parallel_frames._files._parts import join_parts
from parallel_frames._files._text import TextFiles
from parallel_frames.errors import InputError

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
BOOLEANS: Final = [pa.array(pair) for pair in (("true", "false"), ("True", "False"), ("TRUE", "FALSE"))]
WHOLE: Final = r"^(0|-?[1-9][0-9]*)$"
PLAIN: Final = r"^(0(\.[0-9]+)?|-?[1-9][0-9]*(\.[0-9]+)?|-0\.[0-9]*[1-9][0-9]*)$"
POWER: Final = r"^-?[0-9]+(\.[0-9]+)?e[+-][0-9]+$"
SPELLINGS: Final = {
    "whole": r"^[^.]*$", ".0": r"\.0$", "0": r"\.[0-9]+0$", "written out": r"^-?(0\.0000|[0-9]{17})",
}  # fmt: skip
SURE_LENGTH: Final = 15  # 64 bits tell all numbers of so many digits apart


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
    if "" in columns:
        _check_nameless(columns, paths[0])
    return pa.schema([pa.field(name, column.type) for name, column in columns.items()])


def _check_nameless(columns: dict[str, Column], path: str) -> None:
    """Leave out a column without a name that is empty; refuse another one, unless it numbers the rows."""
    type_ = columns[""].type
    if pa.types.is_null(type_):
        del columns[""]
    elif next(iter(columns)) != "" or not pa.types.is_integer(type_):
        at = [*columns].index("") + 1
        raise InputError(
            f"{path} has no name for its column {at}, which is not empty. Nothing was sent. Write the name of every "
            "column into the first line; only a first column that numbers the rows, an index, needs none."
        )


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
class Spelling:
    """In which one way the numbers of a column are written, so that no two of its texts are the same number.

    All have as many decimals, as prices have; or none ends in a zero but for a whole number's ``.0``, as programs print
    them: then all whole numbers have it, or none.
    """

    decimals: set[int] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)

    def holds(self, values: Any) -> bool:
        """Look at some texts; return whether all so far are numbers that are written in one way."""
        plain = pc.match_substring_regex(values, PLAIN)
        powers = values.filter(pc.invert(plain))
        values = values.filter(plain)
        printed = [repr(float(text)) for text in powers.to_pylist()] if _all_match(powers, POWER) else None
        if printed != powers.to_pylist() or not _are_exact(values):
            return False
        point = pc.find_substring(values, ".")
        decimals = pc.if_else(pc.less(point, 0), 0, pc.subtract(pc.subtract(pc.utf8_length(values), point), 1))
        self.decimals.update(pc.unique(decimals).to_pylist(), [-1] if len(powers) else [])
        for name, pattern in SPELLINGS.items():
            if name not in self.seen and pc.any(pc.match_substring_regex(values, pattern)).as_py():
                self.seen.add(name)
        if len(powers):
            self.seen.add("power")
        return self.is_one

    @property
    def is_one(self) -> bool:
        """Whether what was seen is written in one way."""
        mixed = "0" in self.seen or {"whole", ".0"} <= self.seen or {"written out", "power"} <= self.seen
        return len(self.decimals) == 1 or not mixed


@dataclass(slots=True)
class Column:
    """What the cells of a column can be, as far as they were seen."""

    is_empty: bool = True
    has_words: bool = False
    may_be: set[Any] = field(default_factory=lambda: {pa.int64(), pa.uint64(), pa.float64(), pa.bool_()})
    are_whole: bool = True
    booleans: list[Any] = field(default_factory=lambda: BOOLEANS)
    spelling: Spelling = field(default_factory=Spelling)

    def see(self, cells: Any) -> None:
        """Look at some cells."""
        if not self.may_be:
            return
        values = cells.filter(pc.invert(pc.is_in(cells, value_set=MISSING)))
        self.has_words = self.has_words or bool(pc.any(pc.not_equal(cells, "")).as_py())
        if not len(values):
            return
        self.is_empty = False
        self.booleans = [pair for pair in self.booleans if pc.all(pc.is_in(values, value_set=pair)).as_py()]
        values = pc.utf8_trim_whitespace(values)
        self.are_whole = self.are_whole and _all_match(values, WHOLE)
        self.may_be = {type_ for type_ in self.may_be if self._fits(values, type_)}

    def _fits(self, values: Any, type_: Any) -> bool:
        if pa.types.is_boolean(type_):
            return bool(self.booleans)
        if pa.types.is_floating(type_):
            return self.spelling.holds(values)
        try:
            return self.are_whole and pc.cast(values, type_) is not None
        except pa.ArrowInvalid:
            return False

    @property
    def type(self) -> Any:
        """The type that holds for all of them."""
        if self.is_empty:
            return pa.string() if self.has_words else pa.null()
        fits = [pa.int64(), pa.uint64()] if self.are_whole else [pa.float64(), pa.bool_()]
        return next((type_ for type_ in fits if type_ in self.may_be), pa.string())


def _are_exact(values: Any) -> bool:
    """Return whether numbers of 64 bits are printed with all of these digits, and no others."""
    long = values.filter(pc.greater(pc.utf8_length(values), SURE_LENGTH)).to_pylist()
    printed = ((repr(float(text)), text) for text in long)
    return all(one == text or Decimal(one) == Decimal(text) for one, text in printed)


def _all_match(cells: Any, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(cells, pattern), min_count=0).as_py())


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
