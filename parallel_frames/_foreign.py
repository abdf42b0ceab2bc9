"""What is passed in place of a frame or a schema: named with its module, and answered with the line that works."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pandas as pd
import pyarrow as pa

from parallel_frames._format import format_code
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What makes a frame of what is none yet, by the library and the name of the class.
ADVICE: Final[Mapping[tuple[str, str], str]] = {
    ("polars", "LazyFrame"): "df.collect()",
    ("polars", "Series"): "series.to_frame()",
    ("narwhals", "LazyFrame"): "df.collect()",
    ("narwhals", "Series"): "series.to_frame()",
    ("pyarrow", "Dataset"): "df.to_table()",
    ("pyarrow", "FileSystemDataset"): "df.to_table()",
    ("modin", "DataFrame"): "df._to_pandas()",
    ("ibis", "Table"): "df.to_pyarrow()",
    ("cudf", "DataFrame"): "df.to_arrow()",
    ("numpy", "ndarray"): "pd.DataFrame(array, columns=['company'])",
}
# What makes a pandas frame of one that an engine holds in parts: for those that fit memory.
WHOLE: Final[Mapping[tuple[str, str], str]] = {
    ("dask", "DataFrame"): "df.compute()",
    ("pyspark", "DataFrame"): "df.toPandas()",
    ("pyspark.pandas", "DataFrame"): "df.to_pandas()",
    ("ray", "Dataset"): "ds.to_pandas()",
    ("ray", "MaterializedDataset"): "ds.to_pandas()",
}
# What makes a pandas frame of what an enrichment gave, to look into it.
ENRICHED: Final[Mapping[tuple[str, str], str]] = {
    **WHOLE,
    ("polars", "LazyFrame"): "df.collect().to_pandas()",
    ("narwhals", "LazyFrame"): "df.collect().to_pandas()",
    ("duckdb", "DuckDBPyRelation"): "relation.df()",
    ("parallel_frames", "Enrichment"): "run.result()",
    ("parallel_frames", "EnrichedParquet"): "pd.read_parquet(done.target)",
}

LIST: Final = "pd.DataFrame({'company': values})"


def library_of(value: object) -> str:
    """Return the name of the library that a value's class is of."""
    module = type(value).__module__
    return "pyspark.pandas" if module.startswith("pyspark.pandas.") else module.partition(".")[0].lstrip("_")


def name_of_kind(value: object) -> str:
    """Return what a value is, with its library: ``a polars.DataFrame``, ``a list``."""
    if value is None:
        return "None"
    kind, library = type(value).__name__, library_of(value)
    name = kind if library == "builtins" else f"{library}.{kind}"
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"


def is_arrow_frame(value: object) -> bool:
    """Return whether a value is a frame in memory that speaks Arrow; an engine's frame may speak it, too."""
    if isinstance(value, pd.DataFrame) or kind_of(value) in WHOLE:
        return False
    speaks = hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")
    return speaks and (hasattr(value, "columns") or hasattr(value, "schema"))  # a column speaks it, and has neither


def is_frame_like(value: object) -> bool:
    """Return whether a value is a table or a column, of pandas or another library."""
    known = kind_of(value) in ADVICE or kind_of(value) in WHOLE
    return known or isinstance(value, pd.DataFrame | pd.Series | pd.Index) or hasattr(value, "__arrow_c_stream__")


def kind_of(value: object) -> tuple[str, str]:
    """Return the library and the name of a value's class."""
    return library_of(value), type(value).__name__


def table_of(given: Any) -> pa.Table:
    """Return the rows of an Arrow frame.

    Raises
    ------
    InputError
        Arrow cannot read a column of it.
    """
    try:
        # Polars has texts as views by default, which not every version of Arrow knows.
        return given.to_arrow() if library_of(given) == "polars" else pa.table(given)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InputError(
            f"The first argument is {name_of_kind(given)} that Arrow cannot read ({error}). Nothing was sent. Give "
            "the column another type, or leave it out."
        ) from error


def check_enriched(df: object) -> None:
    """Refuse anything but a pandas frame where one is asked for what is in it."""
    if isinstance(df, pd.DataFrame):
        return
    if (code := ENRICHED.get(kind_of(df))) is not None:
        advice = f"pass {format_code(code)}"
    elif is_arrow_frame(df) and hasattr(df, "to_pandas"):
        advice = "pass `df.to_pandas()`"
    elif isinstance(df, str | os.PathLike):
        advice = "read it first, with `pd.read_parquet(path)`"
    else:
        advice = "pass the whole frame that `enrich` returned"
    raise InputError(f"This takes an enriched DataFrame of pandas, and was given {name_of_kind(df)}: {advice}.")


def refuse_frame(df: Any, schema: object) -> NoReturn:
    """Say what stands in the place of a frame, and what to type."""
    expected = f"The first argument must be a DataFrame in memory, and is {name_of_kind(df)}"
    if is_frame_like(schema):
        advice = f"the frame comes first, then the schema: {format_code('pf.enrich(df, schema)')}"
    elif (code := WHOLE.get(kind_of(df))) is not None:
        advice = f"`enrich`, `plan` and `submit` take it as it is; or pass {format_code(code)}, if it fits memory"
    elif (code := ADVICE.get(kind_of(df))) is not None:
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
            f"The schema must describe what to find out, as in `{{'ceo': 'name of the CEO'}}`, and is "
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
