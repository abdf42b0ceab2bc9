"""What a row's input looks like, read off the columns that are sent: an input schema nobody has to write."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from parallel_frames._inputs._select import Selection
    from parallel_frames._model import Json

MOST_PROPERTIES: Final = 100
LOOKED_AT: Final = 1000
_TYPES: Final[tuple[tuple[tuple[type, ...], str], ...]] = (
    ((bool, np.bool_), "boolean"),
    ((Integral,), "integer"),
    ((float, np.floating), "number"),
    ((dict,), "object"),
    ((list, tuple, set, frozenset, np.ndarray), "array"),
)


def infer_input_schema(df: pd.DataFrame, selection: Selection) -> dict[str, Json]:
    """Return the wire form of an input schema for what the rows of a frame send.

    An object has a property per name that is sent, of the type that the column's dtype makes of its cells; a column of
    objects is looked at. None is required: missing cells are left out. A bare cell and a template are texts.

    Raises
    ------
    InputError
        More columns than a schema may describe.
    """
    if selection.form != "object":
        return {"type": "text", "description": _described(selection)}
    if len(selection.names) > MOST_PROPERTIES:
        raise InputError(
            f"input_schema='infer' would describe {len(selection.names)} columns, and the service takes "
            f"{MOST_PROPERTIES}. Leave it out, or name fewer columns in inputs=."
        )
    columns = zip(selection.names, selection.labels, strict=True)
    properties = {name: _node_of(df[label]) for name, label in columns}
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"type": "json", "json_schema": schema}


def _described(selection: Selection) -> str:
    if selection.form == "cell":
        return f"One {selection.names[0]}."
    return f"A text about: {', '.join(dict.fromkeys(selection.names))}."


def _node_of(column: pd.Series[Any]) -> dict[str, Json]:
    """Return what the cells of a column become."""
    kind: Any = column.dtype
    if isinstance(kind, pd.CategoricalDtype):
        kind = kind.categories.dtype
    if pd.api.types.is_bool_dtype(kind):
        return {"type": "boolean"}
    if pd.api.types.is_integer_dtype(kind):
        return {"type": "integer"}
    if pd.api.types.is_float_dtype(kind):
        return {"type": "number"}
    if pd.api.types.is_datetime64_any_dtype(kind):
        return {"type": "string", "description": "A moment, ISO 8601"}
    if isinstance(kind, pd.ArrowDtype) and (nested := _nested(str(kind.pyarrow_dtype))):
        return {"type": nested}
    if pd.api.types.is_object_dtype(kind):
        return _seen(column)
    return {"type": "string"}


def _seen(column: pd.Series[Any]) -> dict[str, Json]:
    """Return the type that the first cells of a column of objects share; an empty schema where they share none."""
    cells = column.dropna().head(LOOKED_AT)
    names = {_json_type(cell) for cell in cells.tolist()}
    if names == {"integer", "number"}:
        names = {"number"}
    return {"type": names.pop()} if len(names) == 1 else {}


def _nested(arrow: str) -> str | None:
    """Return what an Arrow type of lists or structs becomes; None for any other."""
    if arrow.startswith(("struct", "map")):
        return "object"
    return "array" if arrow.startswith(("list", "large_list", "fixed_size_list")) else None


def _json_type(cell: object) -> str:
    for kinds, name in _TYPES:
        if isinstance(cell, kinds):
            return name
    return "string"
