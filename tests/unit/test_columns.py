"""Answers → typed columns: dtypes, conversions, problems, Parquet."""

from __future__ import annotations

import datetime as dt
import io
import math
import time
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames._columns import ABSENT, NO_ANSWER, TypedColumn, dtype_of, typed_column
from parallel_frames._schema import parse_schema

UTC = dt.UTC
BACKENDS = ["numpy_nullable", "pyarrow"]
PANDAS_3 = int(pd.__version__.split(".")[0]) >= 3
STRING = pd.StringDtype(na_value=np.nan) if PANDAS_3 else pd.StringDtype()
PERSON = {"name": str, "born": dt.date, "height": float}
INSTANT = pa.timestamp("us", tz="UTC")

DTYPES = [
    ("string", str, STRING, pa.string()),
    ("integer", int, pd.Int64Dtype(), pa.int64()),
    ("number", float, pd.Float64Dtype(), pa.float64()),
    ("boolean", bool, pd.BooleanDtype(), pa.bool_()),
    ("choice", Literal["b", "a"], pd.CategoricalDtype(["b", "a"]), pa.string()),
    ("choice of integers", Literal[1, 2], pd.Int64Dtype(), pa.int64()),
    ("mixed choice", Literal[1, "a"], np.dtype(object), pa.string()),
    ("date", dt.date, np.dtype("datetime64[us]"), pa.date32()),
    ("instant", dt.datetime, pd.DatetimeTZDtype("us", "UTC"), INSTANT),
    ("list", list[int], np.dtype(object), pa.list_(pa.int64())),
    ("untyped list", list, np.dtype(object), pa.list_(pa.string())),
    ("list of lists", list[list[str]], np.dtype(object), pa.list_(pa.list_(pa.string()))),
    (
        "object",
        PERSON,
        np.dtype(object),
        pa.struct([("name", pa.string()), ("born", pa.date32()), ("height", pa.float64())]),
    ),
    ("open object", dict[str, int], np.dtype(object), pa.string()),
    ("union", int | str, np.dtype(object), pa.string()),
    ("anything", object, np.dtype(object), pa.string()),
]


def column(type_: Any, values: list[Any], backend: Any = "numpy_nullable") -> TypedColumn:
    """Return the column a type and values make."""
    return typed_column(parse_schema({"x": type_}).columns[0], values, dtype_backend=backend)


def cells(type_: Any, values: list[Any], backend: Any = "numpy_nullable") -> list[Any]:
    """Return a column's cells, None where missing."""
    series = column(type_, values, backend).series
    missing = [cell is None or cell is pd.NA or cell is pd.NaT or cell != cell for cell in series.tolist()]
    return [None if gone else cell for cell, gone in zip(series.tolist(), missing, strict=True)]


@pytest.mark.parametrize(("type_", "plain", "arrow"), [row[1:] for row in DTYPES], ids=[row[0] for row in DTYPES])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("values", [[], [None, NO_ANSWER], ["nonsense", 3, {"odd": 1}]], ids=["empty", "null", "wrong"])
def test_dtypes_follow_the_schema_alone(type_: Any, plain: Any, arrow: Any, backend: Any, values: list[Any]) -> None:
    """A column has its dtype whether it is empty, all null, or full of nonsense; optional or not."""
    expected = plain if backend == "numpy_nullable" else pd.ArrowDtype(arrow)
    for asked in (type_, type_ | None if not isinstance(type_, (dict, str)) else type_):
        schema_column = parse_schema({"x": asked}).columns[0]
        series = typed_column(schema_column, values, dtype_backend=backend).series
        assert series.dtype == expected
        assert dtype_of(schema_column, backend) == expected
        assert series.name == "x"
        assert series.index.equals(pd.RangeIndex(len(values)))


@pytest.mark.parametrize(
    ("type_", "values", "expected"),
    [
        (str, ["a", "", "ü", 1, True, ["a"], {}], ["a", "", "ü", None, None, None, None]),
        (int, [1, 3.0, 1.5, True, "1", 2**63, -(2**63)], [1, 3, None, None, None, None, -(2**63)]),
        (float, [1, 2.5, True, "2.5", math.nan, math.inf, 10**400], [1.0, 2.5, None, None, None, None, None]),
        (bool, [True, False, 0, "true"], [True, False, None, None]),
        (Literal["b", "a"], ["a", "b", "c", 1, ["a"]], ["a", "b", None, None, None]),
        (Literal[1, 2], [1, 2.0, True, 3], [1, 2, None, None]),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_value_fits_or_is_a_problem(type_: Any, values: list[Any], expected: list[Any], backend: Any) -> None:
    """The JSON type is checked before anything is converted, so nothing is rounded, cut or stringified."""
    built = column(type_, values, backend)
    assert cells(type_, values, backend) == expected
    assert set(built.problems) == {i for i, cell in enumerate(expected) if cell is None}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02", dt.date(2024, 1, 2)),
        ("0001-01-01", dt.date(1, 1, 1)),
        ("9999-12-31", dt.date(9999, 12, 31)),
        ("2024-01-02T00:00:00", dt.date(2024, 1, 2)),
        ("2024-01-02T00:00:00.000+05:00", dt.date(2024, 1, 2)),
        ("2024-01-02T00:00:01Z", None),
        ("2024-02-30", None),
        ("0000-01-01", None),
        ("10000-01-01", None),
        ("2024-W01-1", None),
        ("20240102", None),
        ("2024-1-2", None),
        (" 2024-01-02", None),
        ("\u0662\u0660\u0662\u0664-01-02", None),
        ("January 2024", None),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_dates_are_read_strictly(text: str, expected: dt.date | None, backend: Any) -> None:
    """A date is YYYY-MM-DD or a midnight, in whatever zone it names; anything else is a problem."""
    built = column(dt.date, [text], backend)
    (cell,) = cells(dt.date, [text], backend)
    assert (cell.date() if isinstance(cell, dt.datetime) else cell) == expected
    assert bool(built.problems) == (expected is None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02T03:04:05Z", dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05+02:00", dt.datetime(2024, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("2024-01-02T03:04:05-0230", dt.datetime(2024, 1, 2, 5, 34, 5, tzinfo=UTC)),
        ("2024-01-02t03:04:05z", dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02 03:04 +01", dt.datetime(2024, 1, 2, 2, 4, tzinfo=UTC)),
        ("2024-01-02T03:04:05", dt.datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2024-01-02", dt.datetime(2024, 1, 2, tzinfo=UTC)),
        ("2024-01-02T03:04:05.1Z", dt.datetime(2024, 1, 2, 3, 4, 5, 100_000, tzinfo=UTC)),
        ("2024-01-02T03:04:05.123456789Z", dt.datetime(2024, 1, 2, 3, 4, 5, 123_456, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", dt.datetime(1, 1, 1, tzinfo=UTC)),
        ("0001-01-01T00:00:00+05:00", None),
        ("2024-01-02T24:00:00Z", None),
        ("2024-01-02T23:59:60Z", None),
        ("2024-01-02T03:04:05+25:00", None),
        ("03:04:05", None),
        ("yesterday", None),
    ],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_instants_are_read_in_utc(text: str, expected: dt.datetime | None, backend: Any) -> None:
    """Zones are applied, a text without one is UTC, digits beyond microseconds are cut off."""
    built = column(dt.datetime, [text], backend)
    assert cells(dt.datetime, [text], backend) == [expected]
    assert bool(built.problems) == (expected is None)


@pytest.mark.parametrize("backend", BACKENDS)
def test_integers_keep_all_their_digits_beside_nulls(backend: Any) -> None:
    """No 64-bit integer goes through a float on its way."""
    values = [2**62 + 1, None, 2**63 - 1, -(2**63), 2**53 + 1]
    built = column(int | None, values, backend)
    assert built.problems == {}
    assert [None if cell is pd.NA else int(cell) for cell in built.series] == values


@pytest.mark.parametrize("backend", BACKENDS)
def test_null_absent_and_no_answer_are_three_things(backend: Any) -> None:
    """Null and an absent property are problems unless null is allowed; a row without an answer never is."""
    values = ["a", None, ABSENT, NO_ANSWER]
    required, optional = column(str, values, backend), column(str | None, values, backend)
    assert required.problems == {1: "expected a text, got null", 2: "is missing from the answer"}
    assert optional.problems == {}
    for built in (required, optional):
        assert built.series.isna().tolist() == [False, True, True, True]
    assert column(str, ["a", NO_ANSWER], backend).problems == {}
    assert list(column(str, ["a", ABSENT], backend).problems) == [1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_constraints_taken_off_the_wire_are_checked(backend: Any) -> None:
    """Constraints that the service only got as prose are checked in each answer."""
    built = column(Annotated[int, pydantic.Field(ge=0, le=10)] | None, [0, 11, None, -1, 10.0], backend)
    assert built.problems == {1: "expected at most 10, got 11", 3: "expected at least 0, got -1"}
    assert [None if cell is pd.NA else cell for cell in built.series] == [0, None, None, None, 10]


def test_problems_show_the_value_cut_to_200_characters() -> None:
    """A message has the raw value as JSON, and never more than 200 characters of it."""
    built = column(int, ['a"b', "x" * 1_000])
    assert built.problems[0] == 'expected a whole number, got "a\\"b"'
    assert len(built.problems[1]) < 240


def test_a_value_with_many_problems_shows_a_few() -> None:
    """A message stays readable when a whole list is wrong."""
    (message,) = column(list[int], [["a"] * 8]).problems.values()
    assert message.count("expected a whole number") == 5
    assert message.endswith("; and 3 more")


def test_plain_lists_and_dicts_stay_as_they_came() -> None:
    """The default backend gives back the answer's own lists and dicts."""
    assert cells(list[str], [["a"], [], "abc", [1]]) == [["a"], [], None, None]
    person = {"name": "Ada", "born": "1815-12-10", "height": 1}
    built = column(PERSON, [person, {**person, "extra": 1}, {"name": "Ada"}, [("name", "Ada")]])
    assert built.series[0] is person
    assert built.series.isna().tolist() == [False, True, True, True]
    assert built.problems[1] == "extra: is not asked for, got 1"
    assert built.problems[2] == "born: is missing; height: is missing"
    assert cells(object, [1, "a", {"b": [None]}, None]) == [1, "a", {"b": [None]}, None]


def test_arrow_columns_are_typed_all_the_way_down() -> None:
    """Dates, integers and nulls inside lists and objects get their Arrow types too."""
    built = column(
        list[PersonType], [[{"born": "1815-12-10", "n": 3.0}], [], [{"born": None, "n": 2**62 + 1}]], "pyarrow"
    )
    assert built.problems == {}
    assert built.series.tolist() == [
        [{"born": dt.date(1815, 12, 10), "n": 3}],
        [],
        [{"born": None, "n": 2**62 + 1}],
    ]
    assert column(object, [1, "a", {"b": [None]}, None], "pyarrow").series.tolist() == [
        "1",
        '"a"',
        '{"b":[null]}',
        pd.NA,
    ]
    assert column(list[Literal["a"] | None], [["a", None]], "pyarrow").series.tolist() == [["a", None]]
    assert column(list, [[1, "a", None]], "pyarrow").series.tolist() == [["1", '"a"', None]]


class PersonType(pydantic.BaseModel):
    born: dt.date | None
    n: int


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("type_", "value"),
    [(str, "a\ud800"), (object, ["\ud800"]), (list[str], ["\ud800"]), (list[int], [2**63]), (object, {"a": 2**63})],
    ids=str,
)
def test_what_no_file_can_store_is_a_problem(type_: Any, value: Any, backend: Any) -> None:
    """Half a character and integers beyond 64 bits are refused here, not when the frame is saved."""
    built = column(type_, [value], backend)
    assert list(built.problems) == [0]
    assert built.series.isna().tolist() == [True]


@pytest.mark.parametrize(("type_", "values"), [(str, ["a", "b"]), (int, [1, 2]), (Literal["a", "b"], ["b", "a"])])
@pytest.mark.parametrize("backend", BACKENDS)
def test_one_bad_value_changes_nothing_for_the_others(type_: Any, values: list[Any], backend: Any) -> None:
    """Converting a column at once and value by value gives the same cells."""
    fast, slow = column(type_, values, backend), column(type_, [*values, {"bad": 1}], backend)
    assert slow.series.iloc[:2].tolist() == fast.series.tolist()
    assert list(slow.problems) == [2]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("number", [2**63, 9.3e18])
def test_a_whole_number_beyond_64_bits_is_a_problem_at_any_depth(number: Any, backend: Any) -> None:
    """In whatever form it is written, and in both backends: no file could hold it."""
    assert column(list[int], [[1], [1, number]], backend).problems.keys() == {1}


TYPES = [row[1] for row in DTYPES]
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=5)
    | st.sampled_from(["a", "b", "2024-01-02", "2024-01-02T03:04:05Z", 1, 2, ABSENT]),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["name", "born", "height", "x"]), children, max_size=3)
    ),
    max_leaves=6,
).filter(lambda value: "ABSENT" not in repr(value) or value is ABSENT)


@given(st.sampled_from(TYPES), st.booleans(), st.lists(JSON, max_size=6))
def test_any_value_fits_or_is_a_problem_in_any_column(type_: Any, optional: bool, values: list[Any]) -> None:
    """No JSON value raises; each is a problem, missing, or in the column, and both backends agree."""
    asked = type_ | None if optional and not isinstance(type_, dict) else type_
    plain, arrow = column(asked, values), column(asked, values, "pyarrow")
    assert plain.problems == arrow.problems
    for built in (plain, arrow):
        for position, value in enumerate(values):
            gone = position in built.problems or value is None or value is ABSENT
            cell = built.series.iloc[position]
            missing = cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell))
            assert missing == gone
            if not gone and plain is built and built.series.dtype == object:
                assert cell is value
            elif (not gone and isinstance(value, (int, float)) and built.series.dtype.kind in "iufb") or (
                not gone and isinstance(value, str) and type_ is str
            ):
                assert cell == value


def written_and_read(series: pd.Series) -> pd.Series:
    """Return a column after a plain trip through Parquet."""
    buffer = io.BytesIO()
    pd.DataFrame({"x": series}).to_parquet(buffer)
    return pd.read_parquet(io.BytesIO(buffer.getvalue()))["x"]


TRIPS = [
    (str, ["a", None, "ü"]),
    (int, [2**62 + 1, None, -1]),
    (float, [0.1, None, 1e300]),
    (bool, [True, None, False]),
    (Literal["b", "a", "unused"], ["a", None, "b"]),
    (dt.date, ["2024-01-02", None, "1815-12-10"]),
    (dt.datetime, ["2024-01-02T03:04:05.123456Z", None, "0001-01-01T00:00:00Z"]),
]


@pytest.mark.parametrize(("type_", "values"), TRIPS, ids=lambda value: str(value)[:40])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("keep", [slice(None), slice(1, 2), slice(0)], ids=["full", "null", "empty"])
def test_columns_survive_parquet(type_: Any, values: list[Any], backend: Any, keep: slice) -> None:
    """Plain to_parquet and read_parquet give back the values, and the default backend's dtypes as well."""
    series = column(type_ | None, values[keep], backend).series
    back = written_and_read(series)
    assert [None if pd.isna(a) else a for a in back] == [None if pd.isna(a) else a for a in series]
    # An empty dictionary has no values in Parquet: the categories are lost with the last row.
    if backend == "numpy_nullable" and not (len(series) == 0 and isinstance(series.dtype, pd.CategoricalDtype)):
        assert back.dtype == series.dtype


def test_nested_columns_survive_parquet_as_arrays_and_dicts() -> None:
    """Of the default backend, lists come back as numpy arrays and objects as dicts."""
    back = written_and_read(column(list[int] | None, [[1, 2], None, []]).series)
    assert [None if cell is None else list(cell) for cell in back] == [[1, 2], None, []]
    assert isinstance(back[0], np.ndarray)
    person = {"name": "Ada", "born": "1815-12-10", "height": 1.5}
    assert written_and_read(column(PERSON, [person, person]).series).tolist() == [person, person]


@pytest.mark.parametrize(
    ("type_", "value"), [(str, "a company"), (int, 12), (float, 1.5), (bool, True), (Literal["a", "b"], "b")], ids=str
)
def test_simple_columns_are_built_at_once(type_: Any, value: Any) -> None:
    """A hundred thousand simple values take a small part of a second, nulls among them or not."""
    values = [value, value, value, None] * 25_000
    started = time.perf_counter()
    built = column(type_ | None, values)
    assert time.perf_counter() - started < 0.5
    assert built.problems == {}
