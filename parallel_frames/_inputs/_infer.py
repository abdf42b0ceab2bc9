"""What a row's input looks like, read off the columns that are sent: an input schema that need not be written.

It tells what travels, which is not always what a column holds: a Decimal travels as a text, a moment in ISO 8601. It
tells types and never values: a category that no row sends is not named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum
from numbers import Integral
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa

from parallel_frames._inputs._select import columns_of
from parallel_frames._limits import MAX_SPEC_CHARACTERS
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallel_frames._inputs._select import Selection
    from parallel_frames._model import Json

MOST_PROPERTIES: Final = 100
INT64: Final = range(-(2**63), 2**64)
_LEAVE_OUT: Final = "Leave `input_schema` out, or name fewer columns in `inputs`."

_TEXT: Final = {"type": "string"}
_WHOLE: Final = {"type": "integer"}
_NUMBER: Final = {"type": "number"}
_TRUTH: Final = {"type": "boolean"}
_LIST: Final = {"type": "array"}
_OBJECT: Final = {"type": "object"}
_MOMENT: Final = {"type": "string", "description": "A moment, ISO 8601."}
_DATE: Final = {"type": "string", "description": "A date, ISO 8601."}
_SPAN: Final = {"type": "string", "description": "A duration, ISO 8601."}
_DIGITS: Final = {"type": "string", "description": "A decimal number, as text."}
_KINDS: Final = {"b": _TRUTH, "i": _WHOLE, "u": _WHOLE, "f": _NUMBER, "M": _MOMENT, "m": _SPAN}
_CELLS: Final[tuple[tuple[tuple[type, ...], dict[str, str]], ...]] = (
    ((str,), _TEXT),
    ((bool, np.bool_), _TRUTH),
    ((Integral,), _WHOLE),
    ((float, np.floating), _NUMBER),
    ((Mapping,), _OBJECT),
    ((list, tuple, np.ndarray), _LIST),
    ((Decimal,), _DIGITS),
)
_ARROW: Final[tuple[tuple[Callable[[Any], bool], dict[str, str]], ...]] = (
    (pa.types.is_boolean, _TRUTH),
    (pa.types.is_integer, _WHOLE),
    (pa.types.is_floating, _NUMBER),
    (pa.types.is_decimal, _DIGITS),
    (pa.types.is_date, _DATE),
    (pa.types.is_timestamp, _MOMENT),
    (pa.types.is_duration, _SPAN),
    (pa.types.is_struct, _OBJECT),
    (pa.types.is_map, _OBJECT),
    (lambda kind: str(kind).startswith(("list", "large_list", "fixed_size_list")), _LIST),
)


def infer_input_schema(df: pd.DataFrame, selection: Selection) -> dict[str, Json] | None:
    """Return the wire form of an input schema for what the rows of a frame send, by its dtypes, or its objects' types.

    An object has a property per name that is sent, none of them required: missing cells are left out. A template is a
    text, and so is a bare cell. None for a bare cell that may be a dict: it travels as an object with any names.
    """
    wire = _object(df, selection) if selection.form == "object" else _text(df, selection)
    length = len(json.dumps(wire, ensure_ascii=False, separators=(",", ":")))
    if length > MAX_SPEC_CHARACTERS:
        raise InputError(
            f"`input_schema='infer'` would be {length:,} characters long, and the service takes "
            f"{MAX_SPEC_CHARACTERS:,} with the schema. {_LEAVE_OUT}"
        )
    return wire


def _object(df: pd.DataFrame, selection: Selection) -> dict[str, Json]:
    if (columns := len(selection.names)) > MOST_PROPERTIES:
        raise InputError(
            f"`input_schema='infer'` would describe {columns} columns, and the service takes {MOST_PROPERTIES}. "
            f"{_LEAVE_OUT}"
        )
    nodes = map(_node_of, columns_of(df, selection.labels))
    properties = dict(zip(selection.names, nodes, strict=True))
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {"type": "json", "json_schema": schema}


def _text(df: pd.DataFrame, selection: Selection) -> dict[str, Json] | None:
    if selection.form == "template":
        return {"type": "text", "description": f"A text about: {', '.join(selection.names)}."}
    node = _node_of(columns_of(df, selection.labels)[0])
    may_be_object = _OBJECT in (node, *node.get("anyOf", ()))
    return None if may_be_object else {"type": "text", "description": f"One {selection.names[0]}."}


def _node_of(column: pd.Series[Any]) -> dict[str, Json]:
    """Return what the cells of a column become."""
    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _node_of(pd.Series(dtype.categories))
    if isinstance(dtype, pd.SparseDtype):
        return _node_of(pd.Series(np.asarray(column)))
    if isinstance(dtype, pd.ArrowDtype):
        return _of_arrow(dtype.pyarrow_dtype)
    if dtype == np.dtype(object):
        return _of_cells(column)
    return dict(_KINDS.get(dtype.kind, _TEXT))


def _of_arrow(kind: Any) -> dict[str, Json]:
    if pa.types.is_dictionary(kind):
        return _of_arrow(kind.value_type)
    return dict(next((node for test, node in _ARROW if test(kind)), _TEXT))


def _of_cells(column: pd.Series[Any]) -> dict[str, Json]:
    """Return the type of a column of objects; of several types a union, of no cells at all a text."""
    seen = {tuple(_of_cell(cell).items()) for cell in column.dropna().tolist()}
    if len(seen) == 1:
        return dict(seen.pop())
    types = {dict(node)["type"] for node in seen}
    if {"integer", "number"} <= types:
        types.remove("integer")
    if len(types) > 1:
        return {"anyOf": [{"type": name} for name in sorted(types)]}
    return {"type": next(iter(types), "string")}


def _of_cell(cell: object) -> dict[str, str]:
    """Return the type of one cell as it travels: a text, if it is nothing that JSON has."""
    if type(cell) is str:  # most of them
        return _TEXT
    if isinstance(cell, Enum):
        return _of_cell(cell.value)
    if isinstance(cell, Integral) and not isinstance(cell, (bool, np.bool_)) and int(cell) not in INT64:
        return _DIGITS
    return next((node for kinds, node in _CELLS if isinstance(cell, kinds)), _TEXT)
