"""Frames of Spark as engine frames: keys and answers in `mapInArrow`, whose cells are those that Spark holds.

UDFs of pandas would make a float of a long next to a null, and of one beyond 2^53 another number. Nothing here needs
the JVM, an RDD or `persist`, so that Connect will do. Workers import this module; it must not import `pyspark.pandas`.
"""

# pyright: reportMissingImports=false
# Where types are checked there need not be a Spark.

from __future__ import annotations

import json
import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa
from pyspark import TaskContext
from pyspark.errors import PySparkException
from pyspark.sql import types
from pyspark.sql.pandas.types import from_arrow_type

from parallel_frames._distributed import (
    StagedFile,
    empty_frame,
    merge_batches,
    new_types,
    stage_table,
)
from parallel_frames._files._batches import frame_of
from parallel_frames.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Sequence

    from parallel_frames._distributed import AnswerLookup, EngineFrame, InputStager

SAMPLE: Final = 1_000
ATTRS: Final = "parallel"
MARK: Final = "parallel_frames"  # Spark has no attrs: they are in the metadata of the columns that were made
ARROW: Final = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "bigint": pa.int64(),
    "float": pa.float32(),
    "double": pa.float64(),
    "string": pa.string(),
    "binary": pa.binary(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", "UTC"),
    "timestamp_ntz": pa.timestamp("us"),
    "time": pa.time64("ns"),
    "void": pa.null(),
}


class SparkFrame:
    """A `pyspark.sql.DataFrame`, classic or of Connect."""

    engine = "spark"
    partitions = 0  # not known before it runs
    is_arrow = True

    def __init__(self, sdf: Any, *, hidden: Sequence[str] = ()) -> None:
        if sdf.isStreaming:
            raise InputError(
                "A frame of a stream has no end, and so no distinct inputs. Nothing was sent. Enrich each of its "
                "batches, in a function for `sdf.writeStream.foreachBatch`, with a `checkpoint=...` that is named."
            )
        self._sdf = sdf
        self._hidden = [*hidden]
        fields = sdf.schema.fields
        self._names = [field.name for field in fields]
        self._fields = dict(zip(self._names, fields, strict=True))
        self._schema = pa.schema([(field.name, _arrow_type(field.dataType, field.name)) for field in fields])
        self._check_names()
        self.is_local = _is_local(sdf.sparkSession)

    def empty(self) -> pd.DataFrame:
        """Return the frame without rows, and without what no row sends."""
        frame = empty_frame(self._schema).drop(columns=self._hidden)
        made = {name: field.metadata[MARK] for name, field in self._fields.items() if MARK in field.metadata}
        if made:
            parts = [json.loads(text) for text in dict.fromkeys(made.values())]
            enrichments = {json.dumps(each): each for part in parts for each in part["enrichments"]}
            frame.attrs[ATTRS] = {
                "simulated": any(part["simulated"] for part in parts),
                "made": [*made],
                "enrichments": sorted(enrichments.values(), key=lambda each: str(each["at"])),
            }
        return frame

    def sample(self, labels: Sequence[Hashable]) -> pd.DataFrame:
        """Return the first rows."""
        rows = _collect(self._select(labels).limit(SAMPLE).mapInArrow(_write_ipc, "data binary"))
        schema = pa.schema([self._schema.field(str(label)) for label in labels])
        return frame_of(pa.concat_tables([schema.empty_table(), *(_read_ipc(row.data, schema) for row in rows)]), 0)

    def stage(self, stager: InputStager, columns: Sequence[Hashable] | None) -> list[StagedFile]:
        """Compute the keys, a batch of Arrow at a time."""
        self._check_names([str(label) for label in stager.keys.layout.all])
        sdf = self._sdf if columns is None else self._select(columns)
        rows = _collect(sdf.mapInArrow(partial(_stage, stager), "name string, lines bigint"))
        return [StagedFile(row.name, row.lines) for row in rows]

    def merge(self, lookup: AnswerLookup) -> Any:
        """Return the lazy frame."""
        fields, mark = dict(self._fields), json.dumps(lookup.attrs[ATTRS])
        for name, type_ in new_types(lookup).items():
            metadata = {**(fields[name].metadata if name in fields else {}), MARK: mark}
            fields[name] = types.StructField(name, from_arrow_type(type_), metadata=metadata)
        return self._sdf.mapInArrow(partial(merge_batches, lookup), types.StructType([*fields.values()]))

    def _select(self, labels: Sequence[Hashable]) -> Any:
        return self._sdf.select(["`{}`".format(str(label).replace("`", "``")) for label in labels])

    def _check_names(self, new: Sequence[str] = ()) -> None:
        """Refuse names that Spark could not tell from one another."""
        names = [*self._names, *(name for name in new if name not in self._fields)]
        is_exact = _setting(self._sdf.sparkSession, "spark.sql.caseSensitive") == "true"
        counts = Counter(name if is_exact else name.lower() for name in names)
        same = [name for name in names if counts[name if is_exact else name.lower()] > 1]
        if same:
            raise InputError(
                f"The frame would have the columns {', '.join(map(repr, same))}, which are the same to Spark. Nothing "
                "was sent. Rename one of them, or pass `prefix=...` for the new columns."
            )


class PandasOnSparkFrame(SparkFrame):
    """A `pyspark.pandas.DataFrame`: the same, with its index and dtypes."""

    def __init__(self, psdf: Any) -> None:
        if psdf.columns.nlevels > 1 or not all(isinstance(label, str) for label in psdf.columns):
            raise InputError(
                "The columns of a frame of pandas-on-Spark must be texts of one level here, as those of Spark. Nothing "
                "was sent. Rename them, with `psdf.columns = [...]`."
            )
        self._dtypes = dict(psdf.dtypes)
        for name, dtype in self._dtypes.items():
            if isinstance(dtype, pd.CategoricalDtype):
                raise InputError(
                    f"Column {name!r} is a category, of which Spark holds the codes only. Nothing was sent. Make it a "
                    f"text, with `psdf.astype({{{name!r}: str}})`."
                )
        self._index_names = list(psdf.index.names)
        index = [f"__index_level_{number}__" for number in range(len(self._index_names))]
        super().__init__(psdf.to_spark(index_col=index), hidden=index)

    def merge(self, lookup: AnswerLookup) -> Any:
        """Return the lazy frame."""
        out = super().merge(lookup).pandas_api(index_col=self._hidden)
        out.index.names = self._index_names
        new = new_types(lookup)
        lost = {name: t for name, t in self._dtypes.items() if name not in new and out.dtypes[name] != t}
        return out.astype(lost) if lost else out


def wrap_frame(df: Any) -> EngineFrame | None:
    """Return a frame of Spark for the functions of this package; None for what is no such frame."""
    pandas = sys.modules.get("pyspark.pandas")
    if pandas is not None and isinstance(df, pandas.DataFrame):
        return PandasOnSparkFrame(df)
    return SparkFrame(df) if hasattr(df, "mapInArrow") else None


def _collect(sdf: Any) -> list[Any]:
    """Return rows that workers made; where they have no such package, say so."""
    try:
        return list(sdf.collect())
    except PySparkException as error:
        if "ModuleNotFoundError" not in str(error):
            raise
        missing = str(error).rpartition("ModuleNotFoundError: ")[2].partition("\n")[0]
        raise ConfigurationError(
            f"A worker of Spark cannot import what the keys need ({missing}). Nothing was sent. Install it, with "
            "`parallel-frames[spark]`, for the Python of the workers, which `PYSPARK_PYTHON` names."
        ) from error


def _is_local(session: Any) -> bool:
    """Return whether all of the cluster is this machine; where the server of Connect is, is not known."""
    return "connect" not in type(session).__module__ and _setting(session, "spark.master").startswith("local")


def _setting(session: Any, name: str) -> str:
    try:
        return str(session.conf.get(name, ""))
    except PySparkException:  # a shared or serverless cluster shows few
        return ""


def _arrow_type(type_: Any, column: str) -> pa.DataType:
    """Return what a type of Spark is in the batches of `mapInArrow`."""
    if isinstance(type_, types.ArrayType):
        return pa.list_(_arrow_type(type_.elementType, column))
    if isinstance(type_, types.MapType):
        return pa.map_(_arrow_type(type_.keyType, column), _arrow_type(type_.valueType, column))
    if isinstance(type_, types.StructType):
        return pa.struct([(field.name, _arrow_type(field.dataType, column)) for field in type_.fields])
    if isinstance(type_, types.DecimalType):
        return pa.decimal128(type_.precision, type_.scale)
    if isinstance(type_, types.DayTimeIntervalType):
        return pa.duration("us")
    name = type_.simpleString().partition(" ")[0].partition("(")[0]  # without collation and precision
    if name not in ARROW:
        raise InputError(
            f"Column {column!r} is of Spark's type {type_.simpleString()}, which is not passed to Python's workers as "
            "it is. Nothing was sent. Cast it, or drop it and join it to the result."
        )
    return ARROW[name]


def _stage(stager: InputStager, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        task: Any = TaskContext.get()
        file = stage_table(stager, batch, task.partitionId())
        yield pa.RecordBatch.from_pylist([file._asdict()])


def _write_ipc(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, batch.schema) as writer:
            writer.write_batch(batch)
        yield pa.RecordBatch.from_pydict({"data": [sink.getvalue().to_pybytes()]})


def _read_ipc(data: bytes, schema: pa.Schema) -> pa.Table:
    return pa.ipc.open_stream(data).read_all().cast(schema)
