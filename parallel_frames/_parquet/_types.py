"""Arrow types of what a job adds: decided by the schema alone, the same in every part; and pandas' words for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa

from parallel_frames._merge import merge_outcomes
from parallel_frames._model import Job, Options, Plan
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._merge import Layout
    from parallel_frames._model import Json, Schema

PANDAS: Final = b"pandas"
NULLABLE: Final = {"int64": "Int64", "double": "Float64", "bool": "boolean"}
PROVENANCE: Final = {
    "run_id": pa.string(),
    "group_id": pa.string(),
    "answered_at": pa.timestamp("us", tz="UTC"),
}


def provenance_types(prefix: str) -> dict[str, pa.DataType]:
    """Return name and type of the columns that tell which run answered a row."""
    return {f"{prefix}parallel_{name}": type_ for name, type_ in PROVENANCE.items()}


def output_types(schema: Schema, layout: Layout) -> dict[str, pa.DataType]:
    """Return the type of each column that a job adds, read off the merge of no rows."""
    nothing = Plan(Job({}, "", "", {}, Options()), [], [], [], [], None, pd.RangeIndex(0).to_numpy(dtype="int64"), ())
    frame = merge_outcomes(
        pd.DataFrame(index=pd.RangeIndex(0)),
        nothing,
        schema,
        outcomes=[],
        is_sent=lambda _: False,
        layout=layout,
        dtype_backend="pyarrow",
    ).frame
    return {str(label): _plain(pa.Array.from_pandas(frame[label]).type) for label in layout.all}


def _plain(type_: pa.DataType) -> pa.DataType:
    """Return a category as its text: a dictionary column written to Parquet breaks a plain pd.read_parquet."""
    return pa.string() if pa.types.is_dictionary(type_) or type_ == pa.null() else type_


def check_existing(schema: pa.Schema, types: Mapping[str, pa.DataType], *, shown: str) -> None:
    """Refuse where the source has a column of an output's name whose values the output's type cannot hold."""
    for name, type_ in types.items():
        if name in schema.names and not _holds(type_, schema.field(name).type):
            raise InputError(
                f"{shown} has {name!r} as {schema.field(name).type}, and the answers to it are {type_}: one column "
                f"cannot hold both. Nothing was sent. Say prefix='...' or if_exists='suffix' for a column of its own, "
                "or give the schema the column's type."
            )


def _holds(new: pa.DataType, old: pa.DataType) -> bool:
    """Return whether every value of the old type is one of the new type."""
    if pa.types.is_dictionary(old):
        old = old.value_type
    if new.equals(old) or pa.types.is_null(old):
        return True
    same = (
        (pa.types.is_integer, pa.types.is_integer),
        (pa.types.is_floating, lambda t: pa.types.is_floating(t) or pa.types.is_integer(t)),
        (_is_text, _is_text),
        (pa.types.is_date, pa.types.is_date),
        (pa.types.is_timestamp, pa.types.is_timestamp),
        (pa.types.is_nested, pa.types.is_nested),
    )
    return any(of_new(new) and of_old(old) for of_new, of_old in same)


def _is_text(type_: pa.DataType) -> bool:
    return bool(pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_))


def target_schema(source: pa.Schema, types: Mapping[str, pa.DataType], *, rows: int, attrs: Mapping[str, Json]) -> Any:
    """Return the schema of the target: the source's fields and metadata, with the new columns in both."""
    fields = {field.name: field for field in source}
    fields |= {
        name: pa.field(name, type_, metadata=fields[name].metadata if name in fields else None)
        for name, type_ in types.items()
    }
    metadata = dict(source.metadata or {})
    metadata[PANDAS] = json.dumps(_pandas_words(metadata.get(PANDAS), types, rows=rows)).encode()
    metadata[b"PANDAS_ATTRS"] = json.dumps(attrs).encode()
    return pa.schema(list(fields.values()), metadata=metadata)


def _pandas_words(told: bytes | None, types: Mapping[str, pa.DataType], *, rows: int) -> dict[str, Json]:
    """Return what pandas says of the columns, with a line for each new one and the right number of rows."""
    words: dict[str, Json] = json.loads(told) if told else {"index_columns": [], "column_indexes": [], "columns": []}
    words["index_columns"] = [
        {**each, "start": 0, "stop": rows, "step": 1} if isinstance(each, dict) else each
        for each in words.get("index_columns", [])
    ]
    kept = [each for each in words.get("columns", []) if each.get("field_name", each.get("name")) not in types]
    words["columns"] = kept + [_pandas_line(name, type_) for name, type_ in types.items()]
    words.setdefault("pandas_version", pd.__version__)
    return words


def _pandas_line(name: str, type_: pa.DataType) -> dict[str, Json]:
    known = NULLABLE.get(str(type_))
    pandas_type = {"int64": "int64", "double": "float64", "bool": "bool"}.get(str(type_), "unicode")
    if known is None and not pa.types.is_string(type_):
        pandas_type = "datetime" if pa.types.is_timestamp(type_) else "empty" if pa.types.is_nested(type_) else "object"
    return {
        "name": name,
        "field_name": name,
        "pandas_type": pandas_type,
        "numpy_type": known or "object",
        "metadata": None,
    }
