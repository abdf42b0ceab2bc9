"""Schema → dtype, for both backends; the data is never looked at.

It owns the table of dtypes, and the Arrow type of a node nested as deep as it may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from parallel_frames._schema import kind_of, split_null

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._model import Column, Json

Backend: TypeAlias = Literal["numpy_nullable", "pyarrow"]

INSTANT = pa.timestamp("us", tz="UTC")
ARROW_TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "choice": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": INSTANT,
    "json": pa.string(),
}
_HAS_DEFAULT_STRINGS = int(pd.__version__.split(".", maxsplit=1)[0]) >= 3


def cell_kind(node: Mapping[str, Json]) -> str:
    """Return what the cells of a node are: its kind, an enum by the type of its values, "json" for anything."""
    inner, _ = split_null(node)
    kind = kind_of(inner)
    if kind == "enum":
        type_ = inner.get("type")
        return {"string": "choice"}.get(str(type_), str(type_) if type_ in ARROW_TYPES else "json")
    if kind == "any" or (kind == "object" and "properties" not in inner):
        return "json"
    return kind


def dtype_of(column: Column, dtype_backend: Backend = "numpy_nullable") -> Any:
    """Return the dtype of a column, empty or full."""
    if dtype_backend == "pyarrow":
        return pd.ArrowDtype(arrow_type(column.node))
    kind = cell_kind(column.node)
    if kind == "choice":
        return pd.CategoricalDtype(split_null(column.node)[0]["enum"])
    return _NULLABLE.get(kind, np.dtype(object))


def arrow_type(node: Mapping[str, Json]) -> pa.DataType:
    """Return the Arrow type of a node; what has no type of its own is JSON text."""
    inner, _ = split_null(node)
    kind = cell_kind(inner)
    if kind == "array":
        return pa.list_(arrow_type(inner.get("items", {})))
    if kind == "object":
        return pa.struct([(name, arrow_type(child)) for name, child in inner["properties"].items()])
    return ARROW_TYPES[kind]


def default_string_dtype() -> pd.StringDtype:
    """Return the running pandas' own string dtype: "str" from pandas 3 on, "string" before."""
    return pd.StringDtype(na_value=np.nan) if _HAS_DEFAULT_STRINGS else pd.StringDtype()


_NULLABLE: Mapping[str, Any] = {
    "string": default_string_dtype(),
    "integer": pd.Int64Dtype(),
    "number": pd.Float64Dtype(),
    "boolean": pd.BooleanDtype(),
    "date": np.dtype("datetime64[us]"),
    "datetime": pd.DatetimeTZDtype("us", "UTC"),
}
