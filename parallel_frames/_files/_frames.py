"""A batch as pandas sees it: Arrow's own types, and what is unknown is null."""

# Arrow makes its functions when it is imported.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence

VIEWS: Final = {"string_view": pa.large_string(), "binary_view": pa.large_binary()}


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
    return pa.table(columns, names=batch.schema.names).take(rows)


def _without_nan(column: Any) -> Any:
    if not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
