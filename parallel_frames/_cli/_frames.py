"""Tables in files and pipes: one frame in memory, its format known by the extension, written whole or not at all."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import shutil
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from parallel_frames._cli._exits import StoppedError
from parallel_frames._cli._formats import PIPE, format_of, is_address
from parallel_frames._cli._speech import handing_over
from parallel_frames._file_formats import is_zipped, split_sheet
from parallel_frames._files._excel import check_sheets, write_excel
from parallel_frames._files._target import target_exists
from parallel_frames._fs import atomic_write, take_name
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    import pandas as pd

    from parallel_frames._file_formats import Format

STDIN: Final = "the standard input"
NOT_JSON: Final = (
    "Is it CSV? Say --from csv. Are they bare lines? Make each one a JSON text, as in: jq -R . lines.txt | "
    "parallel-frames enrich -"
)
BARE: Final = "bare texts"
TEXTS: Final = "cells as they stand"
BINARY: Final = frozenset({"parquet", "feather", "xlsx"})


def read_frame(source: str, kind: Format | None = None) -> pd.DataFrame:
    """Return the rows of a file or of the standard input; `kind` is by default what the name says.

    `BARE` in its attrs says that each row is a bare text; `TEXTS` holds the cells of CSV that are read as no text.
    """
    if source == PIPE:
        return _read_pipe(kind)
    kind = format_of(source, kind, option="--from")
    if Path(source).is_dir():
        raise InputError(f"{source} is a directory: a directory is enriched into a Parquet target.")
    try:
        return _read(source, kind)
    except InputError:
        raise
    except OSError as error:
        if error.errno is None:  # pyarrow's word for a torn file
            raise InputError(f"{source} cannot be read as {kind}: {_first_line(error)}") from None
        gone = isinstance(error, FileNotFoundError)
        raise InputError(
            f"The source {source} does not exist." if gone else f"{source} cannot be read ({error.strerror})."
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{source} cannot be read as {kind}: {error}. Save it as UTF-8.") from None
    except (ValueError, TypeError) as error:  # pandas' and pyarrow's own errors among them
        raise InputError(f"{source} cannot be read as {kind}: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def _read_pipe(kind: Format | None) -> pd.DataFrame:
    """Return what comes in: by default JSON lines, or a JSON array; other formats are put into a file first."""
    from parallel_frames._files._json import BOM
    from parallel_frames._files._temporary import temporary_folder

    if sys.stdin is None:
        raise InputError("The standard input is closed, so there are no rows to read; name a SOURCE.")
    if kind in (None, "json", "jsonl"):
        text = sys.stdin.buffer.read()
        begin = text.removeprefix(BOM).lstrip()[:1]  # "[" of an array, which no row begins with
        try:
            return _frame_of(_rows_of(io.BytesIO(text), kind or ("json" if begin == b"[" else "jsonl"), shown=STDIN))
        except InputError as error:
            if begin in (b"{", b"["):
                raise
            raise InputError(f"{error} {NOT_JSON}") from None
    with temporary_folder() as folder:
        path = folder / f"rows.{kind}"
        with path.open("wb") as sink:
            shutil.copyfileobj(sys.stdin.buffer, sink)
        try:
            return read_frame(str(path))
        except InputError as error:
            raise InputError(str(error).replace(str(path), STDIN)) from error


def _read(source: str, kind: Format) -> pd.DataFrame:
    import pandas as pd

    from parallel_frames._files._address import find_address
    from parallel_frames._files._source import open_source

    if kind == "parquet":
        try:
            return pd.read_parquet(source)
        except (TypeError, NotImplementedError):  # dtypes of Arrow that pandas writes, and does not read back so
            return pd.read_parquet(source, dtype_backend="pyarrow")
    if kind == "feather":
        frame: pd.DataFrame = open_source(source).table().to_pandas()
        return frame
    if kind in {"csv", "tsv", "xlsx"}:
        return _read_cells(source)
    address = find_address(source, what="source")
    with address.system.open_input_stream(address.path, compression="detect") as stream:
        return _frame_of(_rows_of(stream, kind, shown=source))


def _read_cells(source: str) -> pd.DataFrame:
    """Return the rows as they are from file to file, or they would be other inputs; whole numbers with gaps stay so."""
    import pandas as pd
    import pyarrow as pa

    from parallel_frames._files._source import open_source

    opened = open_source(source)
    table = opened.table()
    nullable = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype()}
    columns = zip(table.column_names, table.columns, strict=True)
    frame = pd.DataFrame(
        {name: cells.to_pandas(types_mapper=nullable.get if cells.null_count else None) for name, cells in columns}
    )
    if (texts := opened.texts()) is not None:
        frame.attrs[TEXTS] = texts.to_pandas().astype(object)
    return frame


def with_texts(out: pd.DataFrame, source: pd.DataFrame, texts: pd.DataFrame | None) -> pd.DataFrame:
    """Return rows in which a cell that is as it was read from CSV is what stands there: 2.50, true, NA."""
    if texts is None:
        return out
    out = out.copy(deep=False)
    for name in out.columns.intersection(texts.columns):
        cells, before = out[name].astype(object), source[name].astype(object)
        is_same = (cells == before) | (cells.isna() & before.isna())
        out[name] = texts[name].where(is_same, cells)
    return out


def _rows_of(stream: BinaryIO, kind: Format, *, shown: str) -> list[dict[str, Any]]:
    """Return the rows of a JSON array, or of one value a line."""
    from parallel_frames._files._json import read_objects

    blocks = read_objects(stream, is_lines=kind == "jsonl", shown=shown)
    return [row for rows in blocks for _, row in rows]


def _frame_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Return rows as a frame; numbers stay as they are where a cell is missing."""
    import pandas as pd

    from parallel_frames._files._json import TextRow

    names = dict.fromkeys(name for each in rows for name in each)
    columns = {}
    for name in names:
        cells = pd.Series([each.get(name) for each in rows], dtype=object)
        columns[name] = cells if cells.isna().any() else cells.infer_objects()
    frame = pd.DataFrame(columns, index=range(len(rows)))
    if rows and isinstance(rows[0], TextRow):
        frame.attrs[BARE] = True
    return frame


# Writing


def check_target(
    target: str, *, source: str = PIPE, overwrite: bool, checkpoint: str | None = None, pays: bool = True
) -> None:
    """Refuse a target that cannot be written, before anything is sent; `pays` says whether something could be."""
    if target == PIPE:
        return
    path = Path(target)
    check_place(target, source=source)
    if is_address(target):
        raise InputError(
            f"{target}: an address can only be written as Parquet: end it in .parquet, or leave the extension out."
        )
    if is_zipped(target):
        raise InputError(f"{target}: compressed text can be read but not written; leave out the .gz.")
    if format_of(target) == "xlsx":
        _check_workbook(path)
    if path.is_dir():
        raise InputError(f"{target} is a directory; name a file.")
    if (path.exists() or path.is_symlink()) and not overwrite:
        if not pays:
            raise InputError(f"The target {target} exists. Pass `overwrite=True` to replace it, or name another.")
        raise target_exists(target)
    check_checkpoint(checkpoint, target)


def check_place(target: str, *, source: str) -> None:
    """Refuse a target that is the source itself, or in a directory that is not there."""
    path = Path(target)
    if source != PIPE and path.exists() and path.resolve() == Path(split_sheet(source)[0]).resolve():
        raise InputError(f"{target} is the source itself, which is never replaced; name another target.")
    if not is_address(target) and not path.parent.is_dir():
        raise InputError(f"{target} cannot be written: there is no directory {path.parent}.")


def _check_workbook(path: Path) -> None:
    """Refuse a target that names a sheet, or has sheets that would be lost."""
    book, sheet = split_sheet(str(path))
    if sheet is not None:
        raise InputError(f"{path}: a target is a workbook of one sheet, Sheet1. Nothing was sent. Name {book}.")
    if path.is_file():
        check_sheets(path)


def check_checkpoint(checkpoint: str | None, target: str | None) -> None:
    """Refuse a checkpoint where the target is to be: the target could never be written."""
    if checkpoint in (None, "auto") or target in (None, PIPE) or is_address(str(checkpoint)):
        return
    place = Path(str(checkpoint)).resolve()
    if Path(str(target)).resolve() in (place, *place.parents):
        raise InputError(f"The checkpoint {checkpoint} is the target, or inside it; name another --checkpoint.")


def rehearse(frame: pd.DataFrame, target: str, kind: Format) -> None:
    """Write the rows under a hidden name and remove them: what cannot be written is reported before it costs."""
    if target == PIPE:
        if kind in BINARY:
            write_rows(frame, io.BytesIO(), kind, target=target)
        return
    with contextlib.suppress(_RehearsedError), _whole(Path(target)) as sink:
        write_rows(frame, sink, kind, target=target)
        raise _RehearsedError


class _RehearsedError(Exception):
    """The rehearsal is over; nothing takes the target's name."""


def write_frame(frame: pd.DataFrame, target: str, kind: Format | None = None, *, overwrite: bool = False) -> None:
    """Write the rows under the target's name, whole or not at all; or to the standard output."""
    kind = kind or format_of(target)
    if target == PIPE:
        with handing_over():
            if kind in BINARY:  # some are not written from their beginning to their end
                written = io.BytesIO()
                write_rows(frame, written, kind, target=target)
                sys.stdout.buffer.write(written.getbuffer())
            else:
                write_rows(frame, sys.stdout.buffer, kind, target=target)
            sys.stdout.buffer.flush()
        return
    with _whole(Path(target), overwrite=overwrite) as sink:
        write_rows(frame, sink, kind, target=target)


@contextlib.contextmanager
def _whole(path: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Give a file to write to that takes its name only once it is whole, and on the disk."""
    try:
        with atomic_write(path, give_name=os.replace if overwrite else _take_free_name) as sink:
            yield sink
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}).") from error


def _take_free_name(hidden: Path, path: Path) -> None:
    """Give a finished file its name; where another came to be under it meanwhile, one with a number."""
    for number in itertools.count():
        name = path.with_name(f"{path.stem}-{number}{path.suffix}") if number else path
        try:
            take_name(hidden, name)
        except FileExistsError:
            continue
        if number:
            raise StoppedError(
                f"Another program wrote {path} meanwhile. It is left alone; the rows with their answers are in {name}.",
                goes_on=False,
            )
        return


def holds_same(path: Path, written: bytes) -> bool:
    """Return whether a file is what was written; Feather and Excel hold when it was written, too, which may differ."""
    there, kind = path.read_bytes(), format_of(path.name)
    if there == written or kind not in ("feather", "xlsx"):
        return there == written
    import pandas as pd
    from pyarrow import ArrowException, BufferReader, feather

    try:
        if kind == "xlsx":
            sheets = [pd.read_excel(io.BytesIO(data), dtype=object, keep_default_na=False) for data in (there, written)]
            return bool(sheets[0].equals(sheets[1]))
        one, other = (feather.read_table(BufferReader(data)) for data in (there, written))
    except (ArrowException, ValueError, KeyError, OSError, zipfile.BadZipFile):
        return False
    return bool(one.equals(other))


def write_rows(frame: pd.DataFrame, sink: BinaryIO, kind: Format, *, target: str) -> None:
    """Write the rows in a format."""
    try:
        if kind == "parquet":
            frame.to_parquet(sink)
            return
        frame = _with_plain_index(frame)
        if kind == "feather":
            frame.to_feather(sink)
        elif kind in ("csv", "tsv"):
            _with_text_cells(frame).to_csv(sink, index=False, sep="\t" if kind == "tsv" else ",")
        elif kind == "xlsx":
            write_excel(_with_text_cells(frame), sink)
        else:
            _write_json(frame, sink, lines=kind == "jsonl")
    except (ValueError, TypeError) as error:
        raise InputError(f"{target} cannot hold these rows as {kind}: {_first_line(error)}") from error


def _with_plain_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with an index that says something as columns."""
    import pandas as pd

    plain = isinstance(frame.index, pd.RangeIndex) and frame.index.name is None
    return frame.reset_index(drop=True) if plain else frame.reset_index()


def _with_text_cells(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with JSON texts where a cell holds more than one value."""
    import numpy as np

    may_nest = ("object", "list", "struct", "large_list", "map")
    nested = [at for at, dtype in enumerate(frame.dtypes) if str(dtype).startswith(may_nest)]
    if not nested:
        return frame
    frame = frame.copy()
    for at in nested:
        cells = [_json(cell).decode() if _is_nested(cell) else cell for cell in frame.iloc[:, at].tolist()]
        frame.isetitem(at, np.array([*cells, None], dtype=object)[:-1])  # None: never read as a table of cells
    return frame


def _is_nested(cell: Any) -> bool:
    return isinstance(cell, dict | list | tuple) or getattr(cell, "ndim", 0) > 0


def _write_json(frame: pd.DataFrame, sink: BinaryIO, *, lines: bool) -> None:
    """Write an object per row: one a line, or all in an array."""
    names = [str(label) for label in frame.columns]
    columns = [frame.iloc[:, at].astype(object).tolist() for at in range(len(names))]
    rows = zip(*columns, strict=True) if columns else iter([()] * len(frame))
    texts = (_json(dict(zip(names, row, strict=True))) for row in rows)
    if lines:
        sink.writelines(text + b"\n" for text in texts)
        return
    sink.write(b"[")
    for number, text in enumerate(texts):
        sink.write(b",\n" if number else b"\n")
        sink.write(text)
    sink.write(b"\n]\n")


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    """Return what orjson does not know as what it knows: missing values, times, decimals, arrays."""
    import pandas as pd

    if value is pd.NA or value is pd.NaT:
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, bytes):
        raise TypeError("bytes are no JSON")
    return str(value)
