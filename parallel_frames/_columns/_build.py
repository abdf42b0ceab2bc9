"""Cells → a pandas Series, by Arrow from one list in one go.

It owns the way into each dtype. Its values were judged before: nothing here can fail over an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from parallel_frames._columns._dtypes import ARROW_TYPES, arrow_type, cell_kind, dtype_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallel_frames._columns._dtypes import Backend
    from parallel_frames._model import Column


def build_series(column: Column, cells: Sequence[Any], dtype_backend: Backend) -> pd.Series:
    """Return the cells as a series of the column's dtype."""
    dtype = dtype_of(column, dtype_backend)
    if dtype_backend == "pyarrow":
        array: Any = pd.arrays.ArrowExtensionArray(pa.array(cells, arrow_type(column.node)))
    else:
        array = _nullable(cell_kind(column.node), cells, dtype)
    series: pd.Series = pd.Series(array, dtype=dtype, name=column.name)
    return series


def _nullable(kind: str, cells: Sequence[Any], dtype: Any) -> Any:
    if kind in ("array", "object", "json"):
        return list(cells)
    if kind == "choice":
        codes = {value: code for code, value in enumerate(dtype.categories)}
        return pd.Categorical.from_codes([-1 if cell is None else codes[cell] for cell in cells], dtype=dtype)
    array = pa.array(cells, ARROW_TYPES[kind])
    if kind == "date":
        return array.cast(pa.timestamp("us")).to_numpy(zero_copy_only=False)
    # The dtype's own reader keeps all 64 bits of an integer beside a null; to_pandas() would go through floats.
    return dtype.__from_arrow__(array)
