"""Batches of rows: of a size that fits memory, with one column per name, and as pandas sees them."""

# Arrow makes its functions when it is imported.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from parallel_frames._files._types import VIEWS, widened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def frame_of(batch: pa.RecordBatch | pa.Table, start: int) -> pd.DataFrame:
    """Return a batch as a frame of Arrow's own types, its rows named by their number.

    NaN of a column is null, as in a frame: nothing is known there.
    """
    columns = [_without_nan(column) for column in batch.columns]
    frame: pd.DataFrame = pa.table(columns, names=batch.schema.names).to_pandas(types_mapper=pd.ArrowDtype)
    frame.index = pd.RangeIndex(start, start + len(frame))
    return frame


def take(batch: pa.RecordBatch, rows: Sequence[int]) -> pa.Table:
    """Return some rows; views, which Arrow cannot take from, as what they are views of."""
    columns = [
        column.cast(VIEWS[str(column.type)]) if str(column.type) in VIEWS else column for column in batch.columns
    ]
    return pa.table(columns, names=batch.schema.names).take(pa.array(rows, pa.int64()))


def _without_nan(column: Any) -> Any:
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


BATCH_ROWS: Final = 10_000
BATCH_BYTES: Final = 64 * 2**20


def rows_at_once(fragment: Any) -> int:
    """Return how many rows of a Parquet file may be read at once, judged by its widest row group."""
    groups = getattr(fragment, "row_groups", None) or []
    widest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=0.0)
    return max(1, min(BATCH_ROWS, int(BATCH_BYTES / widest))) if widest else BATCH_ROWS


def even(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the same rows, small batches put together and large ones cut."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        for part in _cut(batch):
            here = part.nbytes
            if waiting and (rows + part.num_rows > BATCH_ROWS or size + here > BATCH_BYTES):
                yield from _joined(waiting)
                waiting, rows, size = [], 0, 0
            waiting.append(part)
            rows, size = rows + part.num_rows, size + here
    if waiting:
        yield from _joined(waiting)


def _cut(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    pieces = max(-(-batch.num_rows // BATCH_ROWS), -(-batch.nbytes // BATCH_BYTES), 1)
    length = max(1, -(-batch.num_rows // pieces))
    for start in range(0, batch.num_rows, length):
        yield batch.slice(start, length)


def _joined(batches: list[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Return batches as one, or as they are where Arrow cannot put a type together."""
    if len(batches) == 1:
        return batches
    table = pa.Table.from_batches(batches)
    schema = pa.schema([field.with_type(widened(field.type)) for field in table.schema], metadata=table.schema.metadata)
    try:
        return table.cast(schema).combine_chunks().to_batches()  # type: ignore[no-any-return]
    except pa.ArrowException:
        return batches
