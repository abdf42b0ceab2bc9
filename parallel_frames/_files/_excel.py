"""Excel workbooks, whole in memory as their format wants: one sheet of each, its first row the names of the columns.

pandas reads and writes them, with openpyxl from the extra `excel`. A column is one thing, as in CSV: where numbers,
dates and texts are mixed, all of it is text. What a sheet cannot hold is refused rather than cut, and a text that
begins as a formula does is written as the text it is.
"""

from __future__ import annotations

import math
import posixpath
import zipfile
import zlib
from collections import Counter
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa

from parallel_frames._files._text import Files
from parallel_frames._log import logger
from parallel_frames.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from parallel_frames._files._address import Address
    from parallel_frames._files._text import Partitions

    Columns = dict[str, list[Any]]

UNREADABLE: Final = (OSError, ValueError, TypeError, LookupError, SyntaxError, EOFError, zipfile.BadZipFile, zlib.error)
MAX_ROWS: Final = 2**20 - 1  # below the names
MAX_COLUMNS: Final = 2**14
MAX_TEXT: Final = 32_767
TYPES: Final[dict[frozenset[type], pa.DataType]] = {
    frozenset(): pa.null(),
    frozenset({bool}): pa.bool_(),
    frozenset({int}): pa.int64(),
    frozenset({float}): pa.float64(),
    frozenset({int, float}): pa.float64(),
    frozenset({datetime}): pa.timestamp("us"),
}


@contextmanager
def _needing_excel() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise ConfigurationError(
            "Excel files need openpyxl. Nothing was sent. Install it: pip install 'parallel-frames[excel]'"
        ) from error


def open_excel(address: Address, partitions: Partitions) -> Files:
    """Open workbooks."""
    sheets = {path: _read_sheet(address, path) for path in partitions}
    names = dict.fromkeys(name for sheet in sheets.values() for name in sheet)
    kinds = {name: {type(cell) for sheet in sheets.values() for cell in sheet.get(name, ())} for name in names}
    types = {name: TYPES.get(frozenset(found - {type(None)}), pa.string()) for name, found in kinds.items()}
    return Files(partial(_read, sheets), pa.schema(types), partitions)


def _read(sheets: dict[str, Columns], path: str, schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield columns in their types; a sheet that lacks one has it empty."""
    sheet = sheets[path]
    rows = len(next(iter(sheet.values()), []))
    columns = [_array(sheet.get(field.name, [None] * rows), field.type) for field in schema]
    yield pa.table(columns, schema=schema) if columns else pa.table({"": pa.nulls(rows)}).select([])


def _array(cells: list[Any], type_: pa.DataType) -> pa.Array:
    return pa.array(list(map(_text_of, cells)) if type_ == pa.string() else cells, type_)


def _text_of(cell: Any) -> str | None:
    if cell is None or isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return str(cell).lower()
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)


def _read_sheet(address: Address, path: str) -> Columns:
    """Return the columns of one sheet of a workbook; an empty cell is None."""
    with _needing_excel(), address.system.open_input_file(path) as file:
        try:
            with pd.ExcelFile(file, engine="openpyxl") as book:
                chosen = choose_sheet([str(name) for name in book.sheet_names], address.sheet, path=path)
                sheet = pd.read_excel(book, sheet_name=chosen, header=None, dtype=object, keep_default_na=False)
                _check_computed(file, chosen, sheet, path=path)
        except InputError:
            raise
        except UNREADABLE as error:
            raise InputError(f"{path} cannot be read as xlsx: {str(error) or type(error).__name__}.") from error
    columns = [[_cell(cell) for cell in sheet[at]] for at in sheet.columns]
    named = [(_text_of(cells[0]), cells[1:]) for cells in columns if any(cell is not None for cell in cells)]
    if named and named[0][0] is None and all(type(cell) is int for cell in named[0][1]):
        named[0] = "", named[0][1]  # the index of a frame
    for name, cells in named:
        if name is None:
            example = next(cell for cell in cells if cell is not None)
            raise InputError(
                f"{path} has a column without a name in its first row, with {str(example)[:80]!r} in it. Nothing was "
                "sent. Write the name of every column into the first row of the sheet, one in each cell."
            )
    counts = Counter(name for name, _ in named)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise InputError(f"{path} has the column {twice[0]!r} twice. Nothing was sent. Rename one of them.")
    return {str(name): cells for name, cells in named}


def choose_sheet(names: Sequence[str], given: str | None, *, path: str) -> str:
    """Return the sheet that is named, or numbered from 1; by default the first.

    Raises
    ------
    InputError
        There is none of that name or number.
    """
    if given is None:
        if len(names) > 1:
            _show_first(path, tuple(names))
        return names[0]
    for name in names:
        if name.casefold() == given.casefold():  # as Excel compares them
            return name
    if given.isdecimal() and 0 < int(given) <= len(names):
        return names[int(given) - 1]
    shown = ", ".join(f"{number} {name!r}" for number, name in enumerate(names, 1))
    raise InputError(
        f"{path} has no sheet {given!r}. Nothing was sent. Its sheets are {shown}: name one or its number, such as "
        f'"{posixpath.basename(path)}#{names[-1]}".'
    )


@cache  # a command opens its source more than once
def _show_first(path: str, names: tuple[str, ...]) -> None:
    base, shown = posixpath.basename(path), ", ".join(map(repr, names))
    address = f'"{base}#{names[1]}"'
    logger.warning(
        "%s has %d sheets (%s); the first is read. To read another, name it: %s.", base, len(names), shown, address
    )


def _check_computed(file: Any, name: str, sheet: pd.DataFrame, *, path: str) -> None:
    """Refuse a sheet whose formulas have no values, as programs leave it that write formulas and compute none."""
    file.seek(0)
    with zipfile.ZipFile(file) as archive:
        parts = [part for part in archive.namelist() if part.startswith("xl/worksheets/")]
        if not any(b"<f" in archive.read(part) for part in parts):
            return
    from openpyxl import load_workbook

    file.seek(0)
    book = load_workbook(file, read_only=True)
    cells: list[Any] = [cell for row in book[name].iter_rows() for cell in row if cell.data_type == "f"]
    values = [sheet.iat[cell.row - 1, cell.column - 1] if _is_within(cell, sheet) else None for cell in cells]
    if cells and all(_cell(value) is None for value in values):
        raise InputError(
            f"{path} has a formula in {cells[0].coordinate} of the sheet {name!r}, and no value of it: the program "
            "that wrote the file computes none. Nothing was sent. Open it in Excel or LibreOffice, save it, and run "
            "the same again."
        )


def _is_within(cell: Any, sheet: pd.DataFrame) -> bool:
    return bool(cell.row <= sheet.shape[0] and cell.column <= sheet.shape[1])


def check_sheets(path: Path) -> None:
    """Refuse to replace a workbook that has further sheets, which would be lost.

    Raises
    ------
    InputError
        It has.
    """
    with _needing_excel():
        try:
            with pd.ExcelFile(path, engine="openpyxl") as book:
                names = list(map(str, book.sheet_names))
        except UNREADABLE:  # no workbook: it is replaced as any file is
            return
    if len(names) > 1:
        raise InputError(
            f"{path} has {len(names)} sheets ({', '.join(map(repr, names))}), and would be "
            "replaced by a workbook of one. Nothing was sent. Name another target."
        )


def _cell(value: Any) -> Any:
    is_empty = value is None or value is pd.NaT or value == "" or (isinstance(value, float) and math.isnan(value))
    return None if is_empty else value


def write_excel(frame: pd.DataFrame, sink: BinaryIO) -> None:
    """Write a frame without an index as a workbook of one sheet."""
    if len(frame) > MAX_ROWS or len(frame.columns) > MAX_COLUMNS:
        raise ValueError(f"a sheet holds {MAX_ROWS:,} rows and {MAX_COLUMNS:,} columns")
    with _needing_excel():
        columns = {at: _as_cells(frame.iloc[:, at]) for at in range(len(frame.columns))}
        frame = pd.DataFrame(columns, index=frame.index).set_axis(frame.columns, axis=1)
        with pd.ExcelWriter(sink, engine="openpyxl") as writer:
            frame.to_excel(writer, index=False)
            for sheet in writer.sheets.values():
                for row in sheet.iter_rows():
                    for cell in row:
                        if cell.data_type == "f":  # a text that begins with =, which is not to be computed
                            cell.data_type = "s"


def _as_cells(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as a sheet can hold it: times with a zone as text, texts without control characters."""
    from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.map(lambda cell: cell.isoformat(), na_action="ignore")
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_dtype(column.dtype):
        return column
    cells = [ILLEGAL_CHARACTERS_RE.sub("", cell) if isinstance(cell, str) else cell for cell in column]
    if (longest := max((len(cell) for cell in cells if isinstance(cell, str)), default=0)) > MAX_TEXT:
        raise ValueError(f"a text has {longest:,} characters, and a cell holds {MAX_TEXT:,}")
    return pd.Series(cells, index=column.index, dtype=object)
