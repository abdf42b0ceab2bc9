"""An input schema read off a frame: true of every row that is sent, and legal whatever the columns are called."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallel_frames._inputs import infer_input_schema, render_inputs, select_inputs
from parallel_frames._schema import compile_check, lint_schema
from parallel_frames.errors import InputError


class Size(enum.Enum):
    SMALL = 1


def inferred(df: pd.DataFrame, inputs: Any = None) -> dict[str, Any]:
    """Return the JSON Schema that is read off a frame."""
    wire = infer_input_schema(df, select_inputs(df, inputs))
    assert wire is not None
    assert wire["type"] == "json"
    return dict(wire["json_schema"])


def column(values: Any, dtype: Any = None) -> pd.DataFrame:
    """Return a frame of one column, x."""
    return pd.DataFrame({"x": pd.Series(values, dtype=dtype)})


def arrow(kind: pa.DataType, values: list[Any]) -> pd.DataFrame:
    """Return a frame of one Arrow column, x."""
    return pd.DataFrame({"x": pd.array(pa.array(values, kind), dtype=pd.ArrowDtype(kind))})


def is_true_of(schema: dict[str, Any], sent: bytes | None) -> bool:
    """Whether what was sent has the properties that a schema tells of, each as told."""
    value = json.loads(sent or b"{}")
    return all(not compile_check(schema["properties"][name])(cell) for name, cell in value.items())


FRAMES = [
    (column([1, 2]), "integer"),
    (column([1, None], "Int64"), "integer"),
    (column([1, 2], "uint8"), "integer"),
    (column([1.5, None]), "number"),
    (column([True, False]), "boolean"),
    (column([True, None], "boolean"), "boolean"),
    (column(["a", None]), "string"),
    (column(["a", None], "string"), "string"),
    (column(pd.to_datetime(["2024-01-02", None])), "string"),
    (column(pd.to_datetime(["2024-01-02"], utc=True)), "string"),
    (column(pd.to_timedelta([1], unit="s")), "string"),
    (column(pd.period_range("2024", periods=2, freq="Y")), "string"),
    (column(pd.Categorical(["a", "b"])), "string"),
    (column(pd.Categorical([1, 2])), "integer"),
    (column(pd.arrays.SparseArray([1, 0])), "integer"),
    (column([1, 2.5], object), "number"),
    (column([1, "a"], object), ["integer", "string"]),
    (column([True, 1], object), ["boolean", "integer"]),
    (column([2**70, None], object), "string"),
    (column([decimal.Decimal("1.50")]), "string"),
    (column([dt.date(2024, 1, 2), None], object), "string"),
    (column([Size.SMALL], object), "integer"),
    (column([{"a": 1}, None], object), "object"),
    (column([[1], (2,), np.array([3])], object), "array"),
    (column([None, None], object), "string"),
    (arrow(pa.int8(), [1, None]), "integer"),
    (arrow(pa.float32(), [0.5]), "number"),
    (arrow(pa.bool_(), [True, None]), "boolean"),
    (arrow(pa.large_string(), ["a"]), "string"),
    (arrow(pa.decimal128(5, 2), [decimal.Decimal("1.5")]), "string"),
    (arrow(pa.date32(), [dt.date(2024, 1, 2)]), "string"),
    (arrow(pa.timestamp("us", "UTC"), [dt.datetime(2024, 1, 2, tzinfo=dt.UTC)]), "string"),
    (arrow(pa.duration("s"), [dt.timedelta(seconds=1)]), "string"),
    (arrow(pa.time64("us"), [dt.time(1)]), "string"),
    (arrow(pa.list_(pa.int8()), [[1], None]), "array"),
    (arrow(pa.struct([("a", pa.int8())]), [{"a": 1}]), "object"),
    (arrow(pa.map_(pa.string(), pa.int8()), [[("a", 1)]]), "object"),
    (arrow(pa.dictionary(pa.int32(), pa.int64()), [1, 2]), "integer"),
]


@pytest.mark.parametrize(("df", "types"), FRAMES, ids=lambda each: str(each) if isinstance(each, str) else None)
def test_the_schema_is_true_of_what_is_sent(df: pd.DataFrame, types: str | list[str]):
    """Each dtype has the JSON type of its cells as they travel: a Decimal is a text there, as it is no float."""
    schema = inferred(df)
    node = schema["properties"]["x"]
    assert ([branch["type"] for branch in node["anyOf"]] if "anyOf" in node else node["type"]) == types
    assert all(is_true_of(schema, sent) for sent in render_inputs(df, select_inputs(df)).sent)


@pytest.mark.parametrize(
    ("df", "words"),
    [
        (column(pd.to_datetime(["2024-01-02"])), "A moment, ISO 8601."),
        (column(pd.to_timedelta([1], unit="s")), "A duration, ISO 8601."),
        (arrow(pa.date32(), [dt.date(2024, 1, 2)]), "A date, ISO 8601."),
        (arrow(pa.decimal128(5, 2), [decimal.Decimal("1.5")]), "A decimal number, as text."),
        (column([1]), None),
    ],
)
def test_words_stand_only_where_a_type_says_too_little(df: pd.DataFrame, words: str | None):
    """A text that is more than a text says what."""
    assert inferred(df)["properties"]["x"].get("description") == words


def test_properties_are_named_as_they_are_sent():
    """In the order of the selection, by the names that the service sees; none is required."""
    df = pd.DataFrame({"a": [1], ("t", "u"): ["x"], 3: [1.5], np.nan: [True]})
    assert list(inferred(df)["properties"]) == ["a", "t/u", "3", "nan"]
    assert list(inferred(df, {"price": 3, "name": "a"})["properties"]) == ["price", "name"]
    assert "required" not in inferred(df)
    assert inferred(df)["additionalProperties"] is False


def test_categories_stay_at_home():
    """A value that no row sends is not sent in the schema either."""
    df = column(pd.Categorical(["a"], categories=["a", "secret"]))
    assert "secret" not in json.dumps(inferred(df))


def test_a_text_is_a_text():
    """A template and a bare cell have the service's own form for texts, with the columns' names."""
    df = pd.DataFrame({"company": ["Acme"], "country": ["DE"]})
    template = select_inputs(df, "{company} in {country}, {company}")
    assert infer_input_schema(df, template) == {"type": "text", "description": "A text about: company, country."}
    cell = select_inputs(df, "company")
    assert infer_input_schema(df, cell) == {"type": "text", "description": "One company."}


@pytest.mark.parametrize("cells", [[{"a": 1}], [{"a": 1}, "a"]], ids=["objects", "objects and texts"])
def test_a_bare_cell_that_may_be_an_object_has_no_schema(cells: list[Any]):
    """It travels as it is, with names that no column tells."""
    df = column(cells, object)
    assert infer_input_schema(df, select_inputs(df, "x")) is None


@pytest.mark.parametrize(
    ("df", "told"),
    [
        (pd.DataFrame({f"c{n}": [1] for n in range(101)}), "would describe 101 columns, and the service takes 100"),
        (pd.DataFrame({"x" * 16_000: [1]}), "characters long, and the service takes 15,000"),
    ],
    ids=["columns", "names"],
)
def test_what_cannot_be_described_says_to_leave_it_out(df: pd.DataFrame, told: str):
    """The error names the number, the limit and the way out."""
    with pytest.raises(InputError, match=told) as caught:
        infer_input_schema(df, select_inputs(df))
    assert "Leave `input_schema` out, or name fewer columns in `inputs`." in str(caught.value)


def test_a_hundred_columns_are_described():
    """The limit itself is allowed."""
    assert len(inferred(pd.DataFrame({f"c{n}": [1] for n in range(100)}))["properties"]) == 100


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ["$ref", "format", "properties"]
)
CELLS = st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False) | st.text(max_size=3).map(
    lambda text: text.encode("utf-8", "ignore").decode()
) | st.decimals(allow_nan=False, allow_infinity=False) | st.lists(st.integers(0, 3), max_size=2) | st.dictionaries(
    st.sampled_from(["a", "b"]), st.integers(0, 3), max_size=2
)  # fmt: skip


@settings(max_examples=60)
@given(st.dictionaries(NAMES, st.lists(CELLS, min_size=2, max_size=2), min_size=1, max_size=4))
def test_whatever_the_frame_the_schema_is_legal_and_true(columns: dict[str, list[Any]]):
    """Odd names and mixed cells make no keyword, and no row is unlike what is told of it."""
    df = pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in columns.items()})
    schema = inferred(df)
    assert not [finding for finding in lint_schema(schema) if finding.severity == "error"]
    assert all(is_true_of(schema, sent) for sent in render_inputs(df, select_inputs(df)).sent)
