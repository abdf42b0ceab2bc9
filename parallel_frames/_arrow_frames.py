"""Frames of other libraries: what speaks Arrow is enriched as the pandas frame of its columns, and returned as it came.

A cell of it sends what the same cell of a pandas frame or a file sends, under the same key. The new columns have the
types that a file's would have; its own columns are not touched. Each library is met where the user's frame is of it.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from parallel_frames._columns import low_confidence
from parallel_frames._files._batches import frame_of, take
from parallel_frames._files._prepare import attrs_of, index_columns
from parallel_frames._files._types import (
    added_types,
    as_type,
    check_existing,
    check_values,
    plain_type,
    target_metadata,
)
from parallel_frames._foreign import is_arrow_frame, library_of, refuse_frame, table_of
from parallel_frames._job._defaults import make_call
from parallel_frames._job._handle import frame_enrichment
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from parallel_frames._job._handle import Enrichment
    from parallel_frames._job._options import Call


def arrow_enrichment(df: Any, schema: object, options: Mapping[str, Any]) -> Enrichment:
    """Return the enrichment of another library's frame, before it runs; it gives frames of that library."""
    native, wrap = _unwrap(df)
    if isinstance(native, pd.DataFrame):
        enrichment = frame_enrichment(native, schema, _choosing_by(wrap(native), make_call(options)))
    else:
        arrow = ArrowFrame(native, schema)
        enrichment = arrow.enrichment(schema, _choosing_by(wrap(arrow.own), make_call(options, of_arrow=True)))
    give_back = enrichment._give_back
    enrichment._give_back = lambda frame: wrap(give_back(frame))
    return enrichment


def as_pandas(df: Any, schema: object, call: Call, *, to_enrich: bool = True) -> tuple[pd.DataFrame, Call]:
    """Return another library's frame as it is asked about, and the call for it."""
    native, wrap = _unwrap(df)
    if isinstance(native, pd.DataFrame):
        return native, _choosing_by(wrap(native), call)
    arrow = ArrowFrame(native, schema)
    call = _choosing_by(wrap(arrow.own), call)
    if to_enrich:
        arrow.enrichment(schema, replace(call, dtype_backend="numpy_nullable"))  # a default that is not for its columns
    return arrow.frame, call


def _unwrap(df: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return what a frame of narwhals stands for, and what makes such a frame again; of others the frame itself."""
    if library_of(df) != "narwhals" or not hasattr(df, "to_native"):
        return df, lambda frame: frame
    stable = type(df).__module__.startswith("narwhals.stable.")  # where each version has a module of its own
    module = importlib.import_module(type(df).__module__ if stable else "narwhals")
    return df.to_native(), partial(module.from_native, eager_only=True)


def _choosing_by(own: Any, call: Call) -> Call:
    """Return the call with a function that chooses rows given the frame that the user has; ours reads one of pandas."""
    where = call.where
    if not callable(where) or getattr(where, "func", where) is low_confidence:
        return call
    return replace(call, where=lambda _: where(own))


class ArrowFrame:
    """A frame of another library.

    Attributes
    ----------
    own : frame
        As it was given; a table of it where it gives its rows once.
    frame : pandas.DataFrame
        Its columns, with Arrow's dtypes. The index that pandas left in it, if any, is not there.
    """

    def __init__(self, given: Any, schema: object) -> None:
        if not is_arrow_frame(given):
            refuse_frame(given, schema)
        self._table = table_of(given)
        self.own = self._table if hasattr(given, "read_next_batch") else given
        names, hidden = Counter(self._table.column_names), index_columns(self._table.schema)
        if twice := [name for name in names if names[name] > 1]:
            raise InputError(f"The frame has two columns {twice[0]!r}. Nothing was sent. Rename one of them.")
        self.frame = frame_of(self._table.select([name for name in names if name not in hidden]), 0)
        self.frame.attrs = attrs_of(self._table.schema)

    def enrichment(self, schema: object, call: Call) -> Enrichment:
        """Return its enrichment, before it runs."""
        if call.dtype_backend != "numpy_nullable":
            raise InputError("`dtype_backend` is for pandas: the columns of other frames have Arrow's types.")
        enrichment = frame_enrichment(self.frame, schema, replace(call, dtype_backend="pyarrow"))
        prepared = enrichment._runner.prepared
        types = added_types(prepared.schema, prepared.layout)
        check_existing(self._table.schema, types, shown="The frame")
        check_values(self._table, types, start=0, shown="The frame")
        enrichment._give_back = partial(self._give_back, types=types)
        return enrichment

    def _give_back(self, frame: pd.DataFrame, *, types: Mapping[str, pa.DataType]) -> Any:
        """Return rows of the frame, which are named by their number, with the columns that the pandas frame gained."""
        made = [label for label in frame.columns if label in types or label not in self._table.column_names]
        columns = {str(label): pa.Array.from_pandas(frame[label]) for label in made}
        new = {name: as_type(column, types.get(name, plain_type(column.type))) for name, column in columns.items()}
        library, is_part = library_of(self.own), len(frame) < self._table.num_rows
        if library == "polars":
            given = self.own[frame.index.tolist()] if is_part else self.own
            return given.with_columns(sys.modules["polars"].from_arrow(pa.table(new)).get_columns())
        table = take(self._table, frame.index.tolist()) if is_part else self._table
        table = self._with_columns(table, new, attrs=frame.attrs)
        return _relation_of(self.own, table) if library == "duckdb" else table

    def _with_columns(self, table: pa.Table, new: Mapping[str, Any], *, attrs: Mapping[Any, Any]) -> pa.Table:
        fields = {field.name: field for field in table.schema}
        for name, column in new.items():
            fields[name] = pa.field(name, column.type, metadata=fields[name].metadata if name in fields else None)
        types = {name: column.type for name, column in new.items()}
        metadata = target_metadata(table.schema, types, rows=table.num_rows, is_one=True, attrs=attrs)
        columns = [new[name] if name in new else table.column(name) for name in fields]
        return pa.table(columns, schema=pa.schema(fields.values(), metadata=metadata))


def _relation_of(given: Any, parallel_frames_rows: pa.Table) -> Any:
    """Return rows as a relation of the connection that another relation is of; as they are, where it takes none.

    DuckDB finds them by the name of the variable. Some versions keep a view of the other relation by the first name.
    """
    try:
        relation = given.query("parallel_frames_given", "SELECT * FROM parallel_frames_rows")
        given.query("parallel_frames_given", "DROP VIEW IF EXISTS parallel_frames_given")
    except sys.modules["duckdb"].Error:  # it is closed, or may not read variables: what was paid for is not lost
        return parallel_frames_rows
    return relation
