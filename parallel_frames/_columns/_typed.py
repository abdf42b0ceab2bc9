"""Answers → one typed column: the values of one property, in order, and what is wrong with some of them.

It owns dtypes (`_dtypes`), the turning of JSON values into what a column holds (`_convert`), and the building of a
column in one go by Arrow (`_build`). It refuses to know where answers come from, which row they belong to, and what
becomes of a problem.

The dtype follows the schema alone; a value that does not fit is a problem and a missing cell, never a guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from parallel_frames._columns._build import build_series
from parallel_frames._columns._convert import ABSENT, NO_ANSWER, Gap, convert_values
from parallel_frames._columns._dtypes import Backend, dtype_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from parallel_frames._model import Column, Json

__all__ = ["ABSENT", "NO_ANSWER", "Backend", "Gap", "TypedColumn", "convert_values", "dtype_of", "typed_column"]


class TypedColumn(NamedTuple):
    """A column, and for each entry that broke its schema (by position) what is wrong with it."""

    series: pd.Series
    problems: dict[int, str]


def typed_column(
    column: Column, values: Sequence[Json | Gap], *, dtype_backend: Backend = "numpy_nullable"
) -> TypedColumn:
    """Build one column from the values of its property.

    Parameters
    ----------
    column : Column
        What the schema says of the property.
    values : sequence
        One parsed JSON value per answer; `ABSENT` where an answer lacks the property, `NO_ANSWER` where there is
        no answer at all.
    dtype_backend : {"numpy_nullable", "pyarrow"}
        Which family of dtypes.

    Returns
    -------
    TypedColumn
        The series has a RangeIndex, the column's name, and the dtype of `dtype_of`. An entry that broke the schema
        is missing in it and has its message in ``problems``. `ABSENT` is null where null is allowed, a problem
        elsewhere; `NO_ANSWER` is missing and never a problem.

    Notes
    -----
    Whole numbers written as 3.0 are integers; integers beyond 64 bits are problems. A date may be written as a
    midnight; an instant without a zone is UTC, a bare date its midnight, and digits beyond microseconds are cut off.
    Cells of "numpy_nullable" arrays and objects are the plain lists and dicts of the answer. Written to Parquet and
    read back, lists come back as numpy arrays, and integers in an object as floats where other rows have none;
    an "any" column of unlike values cannot be written. With "pyarrow" a choice is a string (pandas cannot read a
    dictionary column back from Parquet), and where the schema names no type the cell is JSON text.
    """
    converted, problems = convert_values(column, values, dtype_backend)
    return TypedColumn(build_series(column, converted, dtype_backend), problems)
