"""What is passed in place of a frame or a schema: named with its module, and answered with the line that works."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pandas as pd

from parallel_frames._format import format_code
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

# How frames of other libraries become a pandas one, by the library and the name of the class.
AS_PANDAS: Final[Mapping[tuple[str, str], str]] = {
    ("polars", "DataFrame"): "df.to_pandas()",
    ("polars", "LazyFrame"): "df.collect().to_pandas()",
    ("polars", "Series"): "series.to_frame().to_pandas()",
    ("pyarrow", "Table"): "df.to_pandas()",
    ("pyarrow", "RecordBatch"): "df.to_pandas()",
    ("pyarrow", "RecordBatchReader"): "df.read_pandas()",
    ("pyarrow", "Dataset"): "df.to_table().to_pandas()",
    ("pyarrow", "FileSystemDataset"): "df.to_table().to_pandas()",
    ("duckdb", "DuckDBPyRelation"): "df.df()",
    ("_duckdb", "DuckDBPyRelation"): "df.df()",
    ("pyspark", "DataFrame"): "df.toPandas()",
    ("dask", "DataFrame"): "df.compute()",
    ("modin", "DataFrame"): "df._to_pandas()",
    ("ibis", "Table"): "df.to_pandas()",
    ("narwhals", "DataFrame"): "df.to_pandas()",
    ("cudf", "DataFrame"): "df.to_pandas()",
    ("numpy", "ndarray"): "pd.DataFrame(array, columns=['company'])",
}

LIST: Final = "pd.DataFrame({'company': values})"


def name_of_kind(value: object) -> str:
    """Return what a value is, with its library: ``a polars.DataFrame``, ``a list``."""
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    return f"a {kind.__name__}" if library == "builtins" else f"a {library.lstrip('_')}.{kind.__name__}"


def is_frame_like(value: object) -> bool:
    """Return whether a value is a table or a column, of pandas or another library."""
    return isinstance(value, pd.DataFrame | pd.Series | pd.Index) or _as_pandas(value) is not None


def _as_pandas(value: object) -> str | None:
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    return AS_PANDAS.get((library, kind.__name__))


def refuse_frame(df: Any, schema: object) -> NoReturn:
    """Say what stands in the place of a frame, and what to type."""
    expected = f"The first argument must be a pandas DataFrame, and is {name_of_kind(df)}"
    if isinstance(schema, pd.DataFrame):
        advice = f"the frame comes first, then the schema: {format_code('pf.enrich(df, schema)')}"
    elif (code := _as_pandas(df)) is not None:
        advice = f"pass {format_code(code)}"
    elif isinstance(df, pd.Series):
        advice = f"pass {format_code('series.to_frame()')}, or use {format_code('series.parallel.enrich(schema)')}"
    elif isinstance(df, pd.Index):
        advice = f"pass {format_code('index.to_frame(index=False)')}"
    elif isinstance(df, str | os.PathLike):
        advice = (
            f"files are enriched by {format_code('pf.enrich_parquet(source, target, schema)')}, or read first with "
            f"{format_code('pd.read_csv(path)')}"
        )
    elif isinstance(df, list | tuple) and df and not isinstance(df[0], dict | list | tuple):
        advice = f"pass {format_code(LIST)}"
    elif isinstance(df, list | tuple | dict):
        advice = f"pass {format_code('pd.DataFrame(rows)')}"
    else:
        advice = f"pass {format_code('pd.DataFrame(...)')}"
    raise InputError(f"{expected}: {advice}. Nothing was sent.")


def check_schema_argument(schema: object) -> None:
    """Refuse a table or a file in the place of a schema."""
    if is_frame_like(schema):
        raise InputError(
            f"The schema must say what to find out, as in `{{'ceo': 'name of the CEO'}}`, and is "
            f"{name_of_kind(schema)}: the rows are the frame's, as in `df.parallel.enrich(schema)`. Nothing was sent."
        )
    is_path = isinstance(schema, os.PathLike)
    if isinstance(schema, str) and schema.lower().endswith((".json", ".yaml", ".yml", ".py", ".csv", ".parquet")):
        is_path = os.path.exists(schema)  # noqa: PTH110 - any text may be a description
    if is_path:
        raise InputError(
            f"The schema is the path {os.fspath(schema)!r}, which would be a description: pass "  # type: ignore[call-overload]
            "`json.loads(Path(...).read_text())` for a JSON Schema in a file. Nothing was sent."
        )
