"""A call prepared for a file: what of its columns is sent, which must be read for that, and what the target gains."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from parallel_frames._files._batches import frame_of
from parallel_frames._files._json import TEXT_COLUMN
from parallel_frames._files._types import added_types, check_existing, widened
from parallel_frames._inputs import named_columns
from parallel_frames._job._prepare import PreparedCall, columns_needed, prepare
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from parallel_frames._files._source import Source
    from parallel_frames._job._options import Call

ATTRS: Final = b"PANDAS_ATTRS"


@dataclass(frozen=True, slots=True)
class PreparedFile:
    """A call prepared for a file.

    Attributes
    ----------
    prepared : PreparedCall
        Its frame has the source's columns and attrs, and no rows.
    columns : tuple of str
        What has to be read to know a row's run.
    added : dict of str to pyarrow.DataType
        The columns that the target has beyond, or instead of, the source's.
    """

    source: Source
    prepared: PreparedCall
    columns: tuple[str, ...]
    added: dict[str, pa.DataType]


def prepare_file(source: Source, schema: object, call: Call, *, target: str | None = None) -> PreparedFile:
    """Return the call prepared for a file whose rows go to a target."""
    _check_options(call)
    _refuse_unions(source)
    if source.is_bare and call.inputs is None:
        call = replace(call, inputs=TEXT_COLUMN)
    columns = frame_of(source.schema.empty_table(), 0)
    if source.is_void:
        columns = columns.reindex(columns=named_columns(call.inputs, call.metadata))
    columns.attrs = attrs_of(source.schema)

    def sample(labels: Sequence[Hashable]) -> pd.DataFrame:
        names = list(map(str, labels))
        if source.is_void:
            return columns
        for start, batch in source.batches(names):
            return frame_of(batch, start)
        return frame_of(source.schema.empty_table().select(names), 0)

    prepared = prepare(columns, schema, call, sample=sample, hidden=index_columns(source.schema)).to_target(target)
    added = added_types(prepared.schema, prepared.layout)
    needed = None if source.is_void else columns_needed(prepared)
    names = source.schema.names if needed is None else map(str, needed)
    file = PreparedFile(source, prepared, tuple(names), added)
    _check_added(file)
    return file


def _check_options(call: Call) -> None:
    if call.dtype_backend != "numpy_nullable":
        raise InputError("`dtype_backend` is for frames: a file's columns have Arrow types.")
    if call.checkpoint is None:
        raise InputError("`checkpoint=None` is for frames: what is larger than memory needs a checkpoint.")
    if call.where is not None and not isinstance(call.where, str) and not callable(call.where):
        raise InputError("`where` must be 'missing', 'failed' or a function of a batch; a mask is for frames.")


def _refuse_unions(source: Source) -> None:
    for field in source.schema:
        if pa.types.is_union(field.type):
            raise InputError(
                f"{source.shown} has {field.name!r} as {field.type}, which neither pandas nor Parquet can hold. "
                "Nothing was sent. Leave the column out, or give it another type."
            )


def attrs_of(schema: pa.Schema) -> dict[Any, Any]:
    """Return the attrs that pandas wrote into the file."""
    try:
        attrs = json.loads((schema.metadata or {}).get(ATTRS, b"{}"))
    except ValueError:
        return {}
    return attrs if isinstance(attrs, dict) else {}


def pandas_of(table: pa.Table) -> pd.DataFrame:
    """Return a table as the frame to look into that pandas would read back: with its index, its attrs, Arrow's types.

    pandas cannot read back all that it writes of Arrow's dtypes, and makes floats of integers next to a null.
    """
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    frame.attrs = attrs_of(table.schema)
    return frame


def index_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that pandas would read as the index: no part of what a row sends."""
    names = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    return [name for name in names if isinstance(name, str) and name in schema.names]


def _check_added(file: PreparedFile) -> None:
    """Refuse, before anything is sent, what could not be written afterwards."""
    source = file.source
    check_existing(source.schema, file.added, shown=source.shown)
    of_each_type = {field.type: field for field in reversed(list(source.schema))}  # the first one is named
    for field in of_each_type.values():
        try:
            _rehearse(pa.field(field.name, widened(field.type)))
        except pa.ArrowException as error:
            raise InputError(
                f"{source.shown} has {field.name!r} as {field.type}, which Parquet cannot hold. Nothing was sent. "
                "Leave the column out, or give it another type."
            ) from error


def _rehearse(field: pa.Field) -> None:
    """Write a column of no rows and one of a row, and read both again."""
    for rows in (0, 1):
        stream = pa.BufferOutputStream()
        table = pa.table([pa.nulls(rows, field.type)], schema=pa.schema([field]))
        with pq.ParquetWriter(stream, table.schema) as writer:
            writer.write_table(table)
        pq.read_table(stream.getvalue())
    if pa.types.is_fixed_size_list(field.type) and field.type.list_size == 0:
        raise pa.ArrowNotImplementedError("lists of no values cannot be read again")
