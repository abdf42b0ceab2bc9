"""The same for engines whose batches are Arrow's: types as `enrich_parquet` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pyarrow as pa

from parallel_frames._files._batches import frame_of
from parallel_frames._files._types import added_types, as_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from parallel_frames._distributed._answers import AnswerLookup
    from parallel_frames._distributed._keys import InputStager, StagedFile


def empty_frame(schema: pa.Schema) -> pd.DataFrame:
    """Return what `EngineFrame.empty` does for an Arrow schema."""
    return frame_of(schema.empty_table(), 0)


def stage_table(
    stager: InputStager, table: pa.Table | pa.RecordBatch, partition: int | str, *, start: int | None = None
) -> StagedFile:
    """Write the distinct inputs of one batch; `start` is the number of its first row, where rows have numbers."""
    return stager(frame_of(table, start or 0), partition, has_labels=start is not None)


def enriched_schema(schema: pa.Schema, lookup: AnswerLookup) -> pa.Schema:
    """Return the schema of what `merge_table` returns, from the schema of the batches."""
    fields = {field.name: field for field in schema} | {
        name: pa.field(name, type_) for name, type_ in new_types(lookup).items()
    }
    return pa.schema(list(fields.values()))


def look_up(lookup: AnswerLookup, table: pa.Table | pa.RecordBatch) -> pa.Table:
    """Return the new columns of a batch."""
    types = new_types(lookup)
    plan = lookup.keys.plan(frame_of(table, 0))
    existing = {name: as_type(table.column(name), type_) for name, type_ in types.items() if name in table.schema.names}
    before = frame_of(pa.table(existing), 0) if existing else pd.DataFrame(index=pd.RangeIndex(table.num_rows))
    merged = lookup.merge(before, plan)
    columns = {name: as_type(pa.Array.from_pandas(merged[name]), type_) for name, type_ in types.items()}
    return pa.table(columns, schema=pa.schema(types))


def merge_table(lookup: AnswerLookup, table: pa.Table | pa.RecordBatch) -> pa.Table:
    """Return a batch with its new columns."""
    new = look_up(lookup, table)
    columns = {name: each.column(name) for each in (table, new) for name in each.schema.names}
    return pa.table(columns, schema=enriched_schema(table.schema, lookup))


def merge_batches(lookup: AnswerLookup, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield batches with their new columns."""
    for batch in batches:
        yield from merge_table(lookup, batch).to_batches()


def new_types(lookup: AnswerLookup) -> dict[str, pa.DataType]:
    """Return the new columns, in their order."""
    return added_types(lookup.schema, lookup.layout, has_cost=False)
