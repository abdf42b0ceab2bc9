"""The same data, read another way, is the same input; other data is not.

What CSV cannot keep, no form can bring back. Floats are the case to know: pandas 2.2's default parser returned 36 % of
random doubles in [0, 1) one bit off (33 % of random bit patterns, 17 % of a log-normal column; none of prices with two
digits or fractions with six), and so changed their keys. ``read_csv(..., float_precision="round_trip")`` returned every
one of 200,000, as pandas 3.1 does by default and as ``engine="pyarrow"`` does on both.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import warnings
from decimal import Decimal

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parallel_frames._inputs import (
    canonical_of_json,
    canonical_of_sent,
    render_inputs,
    select_inputs,
)
from parallel_frames._inputs._canonical_v1 import moment
from parallel_frames.errors import InputError


def canonicals(frame, inputs=None):
    """Return the canonical forms of the rows."""
    return render_inputs(frame, select_inputs(frame, inputs)).canonical


def objects(cells):
    """Return a frame of one object column, x."""
    column = np.empty(len(cells), dtype=object)
    for position, cell in enumerate(cells):
        column[position] = cell
    return pd.DataFrame({"x": pd.Series(column, dtype=object)})


def read_csv(text, **options):
    """Read a CSV with every double exact."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer pandas deprecates the option: exact reading became the default
        return pd.read_csv(io.StringIO(text), float_precision="round_trip", **options)


def column(values, dtype=None):
    """Return a frame of one column, x."""
    return pd.DataFrame({"x": pd.Series(values, dtype=dtype)})


FIRMS = pd.DataFrame(
    {
        "name": ["Acme", "Böse & Söhne", 'quote " comma ,', None, "line\nbreak"],
        "staff": [5, -7, 2**53 - 1, 0, 12],
        "revenue": [0.1 + 0.2, 1e-7, 1e16, 3.0, -2.5],
        "public": [True, False, True, True, False],
        "seen": pd.to_datetime(
            ["2024-01-02T10:00:00.5", "1999-12-31", "1850-01-01", "2024-02-29", "2038-01-19T03:14:08"], format="ISO8601"
        ),
        "zoned": pd.to_datetime(
            ["2024-01-02T10:00:00", "2024-07-02", "1970-01-01", None, "2024-02-29"], format="ISO8601"
        ).tz_localize("Europe/Berlin"),
    }
)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"parse_dates": ["seen"]},
        {"dtype_backend": "numpy_nullable"},
        {"dtype_backend": "pyarrow"},
        {"dtype": {"name": "category", "staff": "float64", "revenue": "float64"}},
    ],
    ids=str,
)
def test_csv_keeps_the_key(options):
    """A frame that went through CSV is the same frame."""
    assert canonicals(read_csv(FIRMS.to_csv(index=False), **options)) == canonicals(FIRMS)


def test_csv_keeps_random_doubles_read_exactly():
    """Every double that is read back exactly has its key; see the module's docstring for readers that do not."""
    frame = pd.DataFrame({"x": np.random.default_rng(1).random(2_000)})
    text = frame.to_csv(index=False)
    again = read_csv(text)
    assert canonicals(again) == canonicals(frame)
    assert canonicals(pd.read_csv(io.StringIO(text), engine="pyarrow")) == canonicals(frame)


def test_parquet_keeps_the_key():
    """A frame that went through Parquet is the same frame, read to numpy or to Arrow dtypes."""
    buffer = io.BytesIO()
    FIRMS.to_parquet(buffer)
    assert canonicals(pd.read_parquet(io.BytesIO(buffer.getvalue()))) == canonicals(FIRMS)
    assert canonicals(pd.read_parquet(io.BytesIO(buffer.getvalue()), dtype_backend="pyarrow")) == canonicals(FIRMS)


@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.convert_dtypes(),
        lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
        lambda frame: frame.astype(object),
        lambda frame: frame.astype({"name": "category", "staff": "category", "seen": "category"}),
        lambda frame: frame.astype({"name": "string", "staff": "Int64", "revenue": "Float64", "public": "boolean"}),
        lambda frame: frame.astype({"staff": "float64"}),
        lambda frame: frame[frame.columns[::-1]],
        lambda frame: frame.set_axis(["r"] * 5),
        lambda frame: frame.assign(zoned=frame["zoned"].dt.tz_convert("America/New_York")),
        lambda frame: frame.assign(empty=None),
        lambda frame: frame.assign(seen=frame["seen"].astype(str)),
    ],
    ids=["nullable", "arrow", "objects", "category", "masked", "float", "order", "index", "zone", "empty", "text"],
)
def test_another_storage_keeps_the_key(change):
    """Dtypes, column order, index, zones and empty columns do not make another input."""
    assert canonicals(change(FIRMS)) == canonicals(FIRMS)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_a_unit_keeps_the_key(unit):
    """A timestamp is the same moment at every resolution."""
    times = FIRMS[["seen", "zoned"]].iloc[1:]
    assert canonicals(times.apply(lambda column: column.dt.as_unit(unit))) == canonicals(times)


def test_a_missing_cell_that_makes_a_column_float_keeps_the_other_keys():
    """Integers that became floats because one cell is missing are the same inputs, and are sent the same."""
    whole, holed = pd.DataFrame({"x": [1999, 2, 3]}), pd.DataFrame({"x": [1999, None, 3]})
    assert canonicals(holed) == [canonicals(whole)[0], None, canonicals(whole)[2]]
    assert render_inputs(holed, select_inputs(holed, "since {x}")).sent[0] == b'"since 1999"'


@pytest.mark.parametrize(
    "cells",
    [
        [5, 5.0, np.int8(5), np.float32(5), Decimal("5.00"), Decimal("0.5E1")],
        [0, -0.0, 0.0, Decimal("-0"), Decimal("0E+5")],
        [0.1, np.float32(0.1), Decimal("0.10")],
        [1e-7, Decimal("0.0000001"), Decimal("1E-7")],
        [2**60, 2.0**60, Decimal(2**60)],
        [10**500, Decimal("1E+500"), Decimal("10E+499")],
        [True, np.bool_(True)],
        [
            "2024-01-02",
            dt.date(2024, 1, 2),
            dt.datetime(2024, 1, 2),
            pd.Timestamp("2024-01-02"),
            np.datetime64("2024-01-02"),
            "2024-01-02 00:00",
            "2024-01-02T00:00:00.000",
            pd.Period("2024-01-02", "D"),
        ],
        [
            "2024-01-02T09:00:00Z",
            "2024-01-02 10:00+01:00",
            pd.Timestamp("2024-01-02T10:00", tz="Europe/Berlin"),
            dt.datetime(2024, 1, 2, 9, tzinfo=dt.UTC),
            "2024-01-01T23:00:00.0-10:00",
        ],
        [dt.timedelta(hours=25), pd.Timedelta("25h"), np.timedelta64(25, "h"), "P1DT1H"],
        [{"a": 1, "b": [None]}, {"b": [float("nan")], "c": None, "a": 1.0}],
        [[1, None], (1.0, np.nan), np.array([1, None], dtype=object)],
    ],
    ids=str,
)
def test_one_value_in_many_types_is_one_input(cells):
    """What is equal to a person is one input."""
    assert len(set(canonicals(objects(cells)))) == 1


@pytest.mark.parametrize(
    "cells",
    [
        [True, 1, "1", "true", [1], {"a": 1}, "[1]", '{"a":1}', 1.5, "1.5"],
        ["1.50", "1.5", 1.5],
        ["2024-01-02T10:00:00", "2024-01-02T10:00:00Z", "2024-01-02T10:00:01", " 2024-01-02T10:00:00", "2024-01-02"],
        [0.1, 0.10000000000000002, Decimal("0.1000000000000000055511151231257827")],
        [2**64, 2**64 + 1, str(2**64), 2**53, 2**53 + 1],
        [Decimal("1E+999999"), Decimal("1E+999998"), Decimal("1E-999999"), Decimal("-1E+999999")],
        [[1, None], [1], [None, 1], [[1], None]],
        ["a", "A", "a ", "\u00e1", "a\u0301"],
    ],
    ids=str,
)
@pytest.mark.parametrize("inputs", [["x"], "x"])
def test_different_values_are_different_inputs(cells, inputs):
    """What is not equal is not one input, as an object and bare."""
    assert len(set(canonicals(objects(cells), inputs))) == len(cells)


def test_shapes_never_collide():
    """An object input, a bare text of its JSON and a template's text are three inputs."""
    frame = objects(['{"x":"a"}', "a"])
    forms = canonicals(frame, ["x"]) + canonicals(frame, "x") + canonicals(frame, "<{x}>")
    assert len(set(forms)) == 6


def test_floats_of_every_width_are_the_digits_a_person_sees():
    """A float32 column is its shortest digits, in numpy, masked, Arrow and objects."""
    values = np.array([0.1, 3.14, 1e-7, 16777216.0, 1.17549435e-38], dtype="float32")
    expected = canonicals(objects([float(str(value)) for value in values]))
    arrow = pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values)))
    for frame in (column(values), column(values, "Float32"), column(arrow), objects(list(values))):
        assert canonicals(frame) == expected


# pandas 2.2 takes "" and "\x00" for one category: its own doing, before we see the cells.
PRINTABLE = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.dates().map(str)
    | st.datetimes().map(str),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=15,
)


def normal(value):
    """Return what the canonical form should say of a JSON value, written without it."""
    if isinstance(value, dict):
        return {name: normal(value[name]) for name in sorted(value) if value[name] is not None}
    if isinstance(value, list):
        return [normal(entry) for entry in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return moment(value) or value if isinstance(value, str) else value


@given(json_values)
def test_a_canonical_form_can_be_read_back(value):
    """The form is JSON that says everything that identifies the value, so different values have different forms."""
    assert repr(json.loads(canonical_of_json(value))) == repr(normal(value))


@given(json_values, st.randoms(use_true_random=False))
def test_order_and_nulls_do_not_matter(value, random):
    """Names in another order and nulls beside them make no other input, at any depth."""

    def disturb(inner):
        if isinstance(inner, list):
            return [disturb(entry) for entry in inner]
        if not isinstance(inner, dict):
            return inner
        pairs = [(name, disturb(entry)) for name, entry in inner.items()]
        pairs += [(name, None) for name in ("null", "") if name not in inner]
        random.shuffle(pairs)
        return dict(pairs)

    assert canonical_of_json(disturb(value)) == canonical_of_json(value)


@given(json_values, json_values)
def test_an_object_of_cells_is_an_object(first, second):
    """A row's form is that of the JSON object it is, and what it sends has the form a server's echo has."""
    frame = objects([first]).rename(columns={"x": "b"}).assign(a=objects([second])["x"])
    rendered = render_inputs(frame, select_inputs(frame, ["b", "a"]))
    if rendered.sent[0] is not None:
        assert rendered.canonical[0] == canonical_of_json({"a": second, "b": first})
        assert canonical_of_sent(rendered.sent[0]) == canonical_of_json(orjson.loads(rendered.sent[0]))


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(1.7976931348623157e308)
@example(2.0**53)
@example(-(2.0**63))
@example(2.0**64)
def test_a_float_is_the_decimal_it_shows(number):
    """A Decimal with a float's digits, or with its exact integral value, is the same number."""
    same = Decimal(int(number)) if number.is_integer() else Decimal(repr(number))
    forms = canonicals(objects([number, same])) + canonicals(column([number])) + canonicals(column([number, 0.5]))[:1]
    assert len(set(forms)) == 1
    sent = render_inputs(column([number]), select_inputs(column([number]), ["x"])).sent[0]
    assert orjson.loads(sent)["x"] == number


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_are_equal_as_numbers_are(one, other):
    """Two Decimals are one input exactly when they are equal."""
    forms = canonicals(objects([one, other]))
    assert (forms[0] == forms[1]) == (one == other)


# In a column, pandas 2 knows no summer time after 2037 and rounds offsets of old; in a cell it does not. What is sent
# then names the same instant in two ways; the keys agree.
PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3
MOMENTS = (dt.datetime(1920 if PANDAS_3 else 1970, 1, 1), dt.datetime(2200 if PANDAS_3 else 2037, 1, 1))
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "+05:30"]


@given(
    st.lists(st.none() | st.datetimes(*MOMENTS), min_size=1),
    st.sampled_from(["s", "ms", "us", "ns"]),
    st.sampled_from([None, *ZONES]),
)
def test_columns_of_moments_are_their_cells(moments, unit, zone):
    """numpy, Arrow, objects and text of the same moments agree, what they send as well as their form."""
    times = pd.Series(pd.to_datetime(pd.Series(moments, dtype="datetime64[ns]")).dt.as_unit(unit), name="x")
    if zone:
        times = times.dt.tz_localize("UTC").dt.tz_convert(zone)
    typed = times.to_frame()
    arrow = times.astype(pd.ArrowDtype(pa.timestamp(unit, zone))).to_frame()
    cells = objects(list(times))
    selection = select_inputs(typed, ["x"])
    rendered = render_inputs(typed, selection)
    assert rendered == render_inputs(cells, selection) == render_inputs(arrow, selection)
    text = objects([sent and orjson.loads(sent)["x"] for sent in rendered.sent])
    assert canonicals(text) == rendered.canonical


def test_years_beyond_four_digits_agree():
    """Moments that no ISO text of four digits names are the same input as column, cell and text."""
    instants = np.array([-70_000_000_000, 253402300800, 253402297200], dtype="M8[s]")
    naive = column(instants)
    zoned = column(pd.DatetimeIndex(instants).tz_localize("UTC").tz_convert("Etc/GMT-1"))
    for frame in (naive, zoned):
        rendered = render_inputs(frame, select_inputs(frame, ["x"]))
        assert canonicals(objects([orjson.loads(sent)["x"] for sent in rendered.sent])) == rendered.canonical


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@given(st.lists(st.none() | st.integers(-(2**62), 2**62), min_size=1))
def test_columns_of_durations_are_their_cells(unit, counts):
    """numpy, Arrow and objects of the same spans agree at every unit."""
    values = np.array(
        [np.timedelta64("NaT", unit) if count is None else np.timedelta64(count, unit) for count in counts]
    )
    values = values.astype(f"m8[{unit}]")
    arrow = column(pd.arrays.ArrowExtensionArray(pa.array(values)))
    assert canonicals(column(values)) == canonicals(objects(list(values))) == canonicals(arrow)


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_columns_of_integers_are_their_cells(numbers):
    """Masked, Arrow, category and object columns of the same integers agree."""
    expected = canonicals(objects(numbers))
    assert canonicals(column(numbers, "Int64")) == expected
    assert canonicals(column(numbers, pd.ArrowDtype(pa.int64()))) == expected
    assert canonicals(column(pd.Categorical(numbers))) == expected


@given(st.lists(st.none() | st.text(PRINTABLE) | st.dates().map(str), min_size=1))
def test_columns_of_text_are_their_cells(texts):
    """Text of every storage agrees, and travels as it is."""
    expected = canonicals(objects(texts))
    for dtype in ("string", "string[pyarrow]", pd.ArrowDtype(pa.large_string()), "category", "str"):
        if dtype == "str" and pd.__version__ < "3":
            continue
        assert canonicals(column(texts, dtype)) == expected
    rendered = render_inputs(objects(texts), select_inputs(objects(texts), "x"))
    for text, sent in zip(texts, rendered.sent, strict=True):
        assert sent == (orjson.dumps(text) if text and text.strip() else None)


def test_json_without_a_canonical_form_is_refused():
    """A server's echo that is no JSON of ours is an InputError."""
    with pytest.raises(InputError, match="no canonical form"):
        canonical_of_json(b"x")
    assert canonical_of_json(None) == b"null"
