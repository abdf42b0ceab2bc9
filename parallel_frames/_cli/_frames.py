"""Tables in files and pipes: one frame in memory, its format known by the extension, written whole or not at all."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from parallel_frames._cli._exits import StoppedError
from parallel_frames._cli._formats import PIPE, format_of, is_address
from parallel_frames._cli._speech import handing_over
from parallel_frames._files._formats import is_zipped
from parallel_frames._files._target import target_exists
from parallel_frames._fs import atomic_write, take_name
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    import pandas as pd

    from parallel_frames._files._formats import Format


def read_frame(source: str) -> pd.DataFrame:
    """Return a file's rows, or the JSON lines of the standard input.

    Raises
    ------
    InputError
        It is not there, or not of the format that its name says.
    """
    kind = format_of(source)
    if source != PIPE and Path(source).is_dir():
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


def _read(source: str, kind: Format) -> pd.DataFrame:
    import pandas as pd

    from parallel_frames._files._source import open_source

    if kind == "parquet":
        return pd.read_parquet(source)
    if kind == "feather":
        frame: pd.DataFrame = open_source(source).table().to_pandas()
        return frame
    if kind in {"csv", "tsv"}:
        return _read_csv(source)
    return _frame_of(_objects_in(source, is_lines=kind == "jsonl"))


def _read_csv(source: str) -> pd.DataFrame:
    """Return the rows as they are from file to file, or they would be other inputs; whole numbers with gaps stay so."""
    import pandas as pd
    import pyarrow as pa

    from parallel_frames._files._source import open_source

    table = open_source(source).table()
    nullable = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype()}
    columns = zip(table.column_names, table.columns, strict=True)
    return pd.DataFrame(
        {name: cells.to_pandas(types_mapper=nullable.get if cells.null_count else None) for name, cells in columns}
    )


def _objects_in(source: str, *, is_lines: bool) -> list[dict[str, Any]]:
    """Return the objects of a JSON array, or one a line."""
    from parallel_frames._files._address import find_address
    from parallel_frames._files._json import read_objects

    with contextlib.ExitStack() as stack:
        if source != PIPE:
            address = find_address(source, what="source")
            stream = stack.enter_context(address.system.open_input_stream(address.path, compression="detect"))
        elif sys.stdin is not None:
            stream, source = sys.stdin.buffer, "the standard input"
        else:
            raise InputError("The standard input is closed, and the rows were to come from there; name a SOURCE.")
        return [row for rows in read_objects(stream, is_lines=is_lines, shown=source) for _, row in rows]


def _frame_of(objects: list[dict[str, Any]]) -> pd.DataFrame:
    """Return objects as a frame; numbers stay as they are where a cell is missing."""
    import pandas as pd

    names = dict.fromkeys(name for each in objects for name in each)
    columns = {}
    for name in names:
        cells = pd.Series([each.get(name) for each in objects], dtype=object)
        columns[name] = cells if cells.isna().any() else cells.infer_objects()
    return pd.DataFrame(columns, index=range(len(objects)))


# Writing


def check_target(target: str, *, source: str = PIPE, overwrite: bool, checkpoint: str | None = None) -> None:
    """Refuse a target that cannot be written, before anything is sent."""
    if target == PIPE:
        return
    path = Path(target)
    if source != PIPE and path.exists() and path.resolve() == Path(source).resolve():
        raise InputError(f"{target} is the source itself, which is not replaced; name another target.")
    if is_address(target):
        raise InputError(f"{target}: an address is written as Parquet only: end it in .parquet, or in no ending.")
    if is_zipped(target):
        raise InputError(f"{target}: compressed text is read, and not written; leave out the .gz.")
    format_of(target)
    if path.is_dir():
        raise InputError(f"{target} is a directory; name a file.")
    if (path.exists() or path.is_symlink()) and not overwrite:
        raise target_exists(target)
    if not path.parent.is_dir():
        raise InputError(f"{target} cannot be written: there is no directory {path.parent}.")
    check_checkpoint(checkpoint, target)


def check_checkpoint(checkpoint: str | None, target: str | None) -> None:
    """Refuse a checkpoint where the target is to be: the target could never be written."""
    if checkpoint in (None, "auto") or target in (None, PIPE) or is_address(str(checkpoint)):
        return
    place = Path(str(checkpoint)).resolve()
    if Path(str(target)).resolve() in (place, *place.parents):
        raise InputError(f"The checkpoint {checkpoint} is the target, or inside it; name another --checkpoint.")


def rehearse(frame: pd.DataFrame, target: str) -> None:
    """Write the rows under a hidden name and remove them: what cannot be written is reported before it costs."""
    if target == PIPE:
        return
    with contextlib.suppress(_RehearsedError), _whole(Path(target)) as sink:
        write_rows(frame, sink, target)
        raise _RehearsedError


class _RehearsedError(Exception):
    """The rehearsal is over; nothing takes the target's name."""


def write_frame(frame: pd.DataFrame, target: str, *, overwrite: bool = False) -> None:
    """Write the rows under the target's name, whole or not at all; or as JSON lines to the standard output."""
    if target == PIPE:
        with handing_over():
            _write(frame, sys.stdout.buffer, "jsonl", target=target)
            sys.stdout.buffer.flush()
        return
    with _whole(Path(target), overwrite=overwrite) as sink:
        write_rows(frame, sink, target)


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
                f"{path} came to be while this ran, and is left alone. The rows with their answers are in {name}.",
                goes_on=False,
            )
        return


def holds_same(path: Path, written: bytes) -> bool:
    """Return whether a file is what was written; Feather holds when it was enriched, too, which may differ."""
    there = path.read_bytes()
    if there == written or format_of(path.name) != "feather":
        return there == written
    from pyarrow import ArrowException, BufferReader, feather

    try:
        one, other = (feather.read_table(BufferReader(data)) for data in (there, written))
    except ArrowException:
        return False
    return bool(one.equals(other))


def write_rows(frame: pd.DataFrame, sink: BinaryIO, target: str) -> None:
    """Write the rows in the format of the target's name."""
    _write(frame, sink, format_of(target), target=target)


def _write(frame: pd.DataFrame, sink: BinaryIO, kind: Format, *, target: str) -> None:
    try:
        if kind == "parquet":
            frame.to_parquet(sink)
            return
        frame = _with_plain_index(frame)
        if kind == "feather":
            frame.to_feather(sink)
        elif kind in ("csv", "tsv"):
            _with_text_cells(frame).to_csv(sink, index=False, sep="\t" if kind == "tsv" else ",")
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

    nested = [at for at, dtype in enumerate(frame.dtypes) if _may_nest(dtype)]
    if not nested:
        return frame
    frame = frame.copy()
    for at in nested:
        cells = [_json(cell).decode() if _is_nested(cell) else cell for cell in frame.iloc[:, at].tolist()]
        frame.isetitem(at, np.array([*cells, None], dtype=object)[:-1])  # None: never read as a table of cells
    return frame


def _may_nest(dtype: Any) -> bool:
    return str(dtype) == "object" or str(dtype).startswith(("list", "struct", "large_list", "map"))


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
