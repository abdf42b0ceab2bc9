"""Dtypes of pandas, numpy and pyarrow as types of an answer."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from parallel_frames._schema import parse_schema
from parallel_frames.errors import SchemaError

WHOLE = {"type": "integer"}
COUNT = {"type": "integer", "minimum": 0}
NUMBER = {"type": "number"}
TRUTH = {"type": "boolean"}
TEXT = {"type": "string"}
DATE = {"type": "string", "format": "date"}
MOMENT = {"type": "string", "format": "date-time"}


def node_of(type_: object) -> dict[str, Any]:
    """Return the normal form that a type makes of a column."""
    return dict(parse_schema({"x": type_}).columns[0].node)


def refusal(type_: object) -> str:
    """Return the message of the error for a type that no answer can have."""
    with pytest.raises(SchemaError) as caught:
        parse_schema({"x": type_})
    return str(caught.value)


@pytest.mark.parametrize(
    ("dtype", "node"),
    [
        (np.dtype("float64"), NUMBER),
        (np.dtype("int8"), WHOLE),
        (np.dtype("uint8"), COUNT),
        (np.dtype("bool"), TRUTH),
        (np.dtype("U5"), TEXT),
        (np.dtype("datetime64[ns]"), MOMENT),
        (np.dtype("datetime64[D]"), DATE),
        (np.int64, WHOLE),
        (np.uint16, COUNT),
        (np.float64, NUMBER),
        (np.float32, NUMBER),
        (np.bool_, TRUTH),
        (np.str_, TEXT),
        (np.datetime64, MOMENT),
        (pd.Int64Dtype(), WHOLE),
        (pd.Int64Dtype, WHOLE),
        (pd.UInt8Dtype(), COUNT),
        (pd.Float32Dtype(), NUMBER),
        (pd.BooleanDtype(), TRUTH),
        (pd.StringDtype(), TEXT),
        (pd.StringDtype("pyarrow"), TEXT),
        (pd.DatetimeTZDtype(tz="Europe/Berlin"), MOMENT),
        (pd.Timestamp, MOMENT),
        (pd.SparseDtype("int64"), WHOLE),
        (pd.CategoricalDtype(["b", "a"]), {"type": "string", "enum": ["b", "a"]}),
        (pd.CategoricalDtype([1, 2], ordered=True), {"type": "integer", "enum": [1, 2]}),
        (pd.ArrowDtype(pa.date32()), DATE),
        (pd.ArrowDtype(pa.timestamp("us", "UTC")), MOMENT),
        (pd.ArrowDtype(pa.list_(pa.string())), {"type": "array", "items": TEXT}),
        (pa.int32(), WHOLE),
        (pa.uint8(), COUNT),
        (pa.float16(), NUMBER),
        (pa.float64(), NUMBER),
        (pa.bool_(), TRUTH),
        (pa.string(), TEXT),
        (pa.large_string(), TEXT),
        (pa.date64(), DATE),
        (pa.timestamp("s"), MOMENT),
        (pa.time64("us"), {"type": "string", "format": "time"}),
        (pa.decimal128(10, 2), NUMBER),
        (pa.list_(pa.int8(), 2), {"type": "array", "items": WHOLE, "minItems": 2, "maxItems": 2}),
        (pa.map_(pa.string(), pa.int8()), {"type": "object", "additionalProperties": WHOLE}),
        (
            pa.struct([("a", pa.int8()), ("b", pa.list_(pa.date32()))]),
            {
                "type": "object",
                "properties": {"a": WHOLE, "b": {"type": "array", "items": DATE}},
                "required": ["a", "b"],
                "additionalProperties": False,
            },
        ),
        (list[np.int64], {"type": "array", "items": WHOLE}),
        (np.float64 | None, {"anyOf": [NUMBER, {"type": "null"}]}),
    ],
    ids=str,
)
def test_a_dtype_is_a_type(dtype: object, node: dict[str, Any]) -> None:
    """What pandas, numpy and pyarrow call a type means what it holds, alone or inside other types."""
    assert node_of(dtype) == node


@pytest.mark.parametrize("name", ["float64", "Int64", "string", "boolean", "datetime64[ns]"])
def test_a_dtype_in_words_is_words_with_a_warning(name: str) -> None:
    """A text is always a description; the warning for one that names a dtype gives the type to write."""
    parsed = parse_schema({"x": name})
    assert parsed.columns[0].node == {"type": "string", "description": name}
    (finding,) = parsed.findings
    assert (finding.severity, finding.rule, finding.path) == ("warning", "type_as_text", "properties.x")


@pytest.mark.parametrize(
    ("text", "python"),
    [
        ("int", "int"),
        ("list[str]", "list[str]"),
        ("List[int]", "list[int]"),
        ("list of dates", "list[datetime.date]"),
        ("a number", "float"),
        ("int | None", "int | None"),
        ("Optional[float]", "float | None"),
        ("Literal['a', 'b']", "Literal['a', 'b']"),
        ("object", "dict"),
    ],
)
def test_a_type_between_quotes_is_answered_with_the_type(text: str, python: str) -> None:
    """However a type is written as a text, one warning says what it was taken for and what to write."""
    (finding,) = parse_schema({"x": text}).findings
    assert finding.message.startswith(f'"{text}" is taken as a description, and the answers will be texts')
    assert f'write {{"x": {python}}}, or' in finding.message
    (shorthand,) = parse_schema(text).findings
    assert f'{{"name": ({python}, "what to find")}}' in shorthand.message


@pytest.mark.parametrize("text", ["str", "text"])
def test_a_text_by_name_is_no_description(text: str) -> None:
    """The type is right, and what to find is not said."""
    (finding,) = parse_schema({"x": text}).findings
    assert finding.message == f'"{text}" does not describe what to find; write {{"x": (str, "what to find")}}'


@pytest.mark.parametrize(
    ("column", "meant"),
    [
        (("year", int), "; write (int, 'year')."),
        (("year", list[str]), "; write (list[str], 'year')."),
        (("list[str]", "tags"), "; write (list[str], 'tags')."),
        ((int,), "x: (int,) must be (type, 'description'), a Python type and a text."),
        (("a", "b"), "x: ('a', 'b') must be (type, 'description'), a Python type and a text."),
    ],
    ids=str,
)
def test_a_tuple_that_is_none_is_answered_with_what_is_meant(column: object, meant: str) -> None:
    """A type behind its description, or between quotes, is put right."""
    with pytest.raises(SchemaError) as caught:
        parse_schema({"x": column})
    assert str(caught.value).endswith(meant)


def test_dtypes_of_a_frame_are_a_schema() -> None:
    """The dtypes of one frame can be asked of another."""
    df = pd.DataFrame({"n": [1], "x": [0.5], "b": [True], "when": pd.to_datetime(["2024-01-02"])})
    parsed = parse_schema(df.dtypes.to_dict())
    assert [(column.name, column.kind) for column in parsed.columns] == [
        ("n", "integer"),
        ("x", "number"),
        ("b", "boolean"),
        ("when", "datetime"),
    ]


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype("timedelta64[s]"),
        np.dtype("complex128"),
        np.dtype("O"),
        np.dtype("S3"),
        np.dtype([("a", "i4")]),
        np.timedelta64,
        np.complex64,
        np.bytes_,
        np.generic,
        np.ndarray,
        pd.PeriodDtype("M"),
        pd.IntervalDtype("int64"),
        pd.DatetimeTZDtype,
        pd.Timedelta,
        pd.DataFrame,
        pa.duration("s"),
        pa.binary(),
        pa.null(),
        pa.month_day_nano_interval(),
        pa.map_(pa.int8(), pa.int8()),
    ],
    ids=repr,
)
def test_what_no_answer_can_be_is_refused(dtype: object) -> None:
    """The message names the column, the dtype, and what can be asked instead."""
    message = refusal(dtype)
    assert message.startswith(f"x: an answer cannot have the type {dtype!r}. Use a dtype of texts, numbers, booleans")


def test_what_is_inside_is_refused_with_its_path() -> None:
    """A list or struct of something impossible says where it is."""
    assert refusal(pa.list_(pa.duration("s"))).startswith("x.items: ")
    assert refusal(pa.struct([("a", pa.binary())])).startswith("x.properties.a: ")


@pytest.mark.parametrize(
    "dtype",
    [pd.CategoricalDtype(), pd.CategoricalDtype, pd.CategoricalDtype([]), pa.dictionary(pa.int8(), pa.string())],
    ids=repr,
)
def test_a_category_needs_its_categories(dtype: object) -> None:
    """A choice of nothing cannot be asked for, and the message says how to name the choices."""
    assert "x: a category without categories allows no answer; name them: pd.CategoricalDtype" in refusal(dtype)


def test_categories_that_json_does_not_have_are_refused() -> None:
    """JSON has no moments, and the message says where it is."""
    message = refusal(pd.CategoricalDtype(pd.to_datetime(["2024-01-02"])))
    assert message.startswith("properties.x: Timestamp('2024-01-02 00:00:00') is a Timestamp, which JSON does not have")


def test_pydantic_comes_only_with_a_model() -> None:
    """A schema of types and words imports none of it."""
    code = (
        "import sys\n"
        "before = set(sys.modules)\n"
        "from parallel_frames._schema import parse_schema\n"
        "parse_schema({'x': int, 'y': 'words'})\n"
        "print('pydantic' in sys.modules)"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == "False"
