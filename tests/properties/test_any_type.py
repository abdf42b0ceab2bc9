"""Whatever Python type is asked for, it is a schema that the service takes, or refused in words."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import uuid
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import annotated_types
import numpy as np
import pandas as pd
import pyarrow as pa
import pydantic
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass as validated_dataclass

from parallel_frames._job._lint import lint
from parallel_frames._schema import compile_check, parse_schema
from parallel_frames.errors import SchemaError


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


PLAIN = st.sampled_from(
    [
        str,
        int,
        float,
        bool,
        decimal.Decimal,
        dt.date,
        dt.datetime,
        dt.time,
        uuid.UUID,
        Any,
        list,
        dict,
        Colour,
        Level,
        Literal["a", "b"],
        Literal[1, 2] | None,
        pydantic.PositiveInt,
        Annotated[int, annotated_types.Interval(ge=1, lt=9)],
        Annotated[list[str], annotated_types.Len(1, 3)],
        Annotated[str, pydantic.Field(pattern="^a", max_length=4)],
    ]
)
DTYPES = st.sampled_from(
    [np.int64, np.dtype("f4"), pd.BooleanDtype(), pd.CategoricalDtype(["x", "y"]), pa.date32(), pa.list_(pa.string())]
)
ODD = st.sampled_from(
    [bytes, range, complex, np.dtype("m8[s]"), pa.binary(), type(None), "text", 3, None, Ellipsis, ()]
)
NOTES = st.sampled_from(["described", pydantic.Field(description="d"), annotated_types.doc("documented")])
COUNTER = iter(range(10**9))


def _record(kind: str, fields: list[tuple[Any, bool]]) -> Any:
    """Return a class of so many fields, each with whether it may be absent."""
    name = f"Made{next(COUNTER)}"
    if kind == "model":
        return pydantic.create_model(name, **{f"f{i}": (t, None if o else ...) for i, (t, o) in enumerate(fields)})
    if kind == "TypedDict":
        return TypedDict(name, {f"f{i}": NotRequired[t] if o else t for i, (t, o) in enumerate(fields)})  # type: ignore[operator]
    inner = [
        (f"f{i}", t, dataclasses.field(default=None, kw_only=True)) if o else (f"f{i}", t)
        for i, (t, o) in enumerate(fields)
    ]
    made = dataclasses.make_dataclass(name, inner)
    return made if kind == "dataclass" else validated_dataclass(made)


def _composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        inner.map(lambda t: list[t]),
        inner.map(lambda t: dict[str, t]),
        inner.map(lambda t: tuple[t, ...]),
        st.tuples(inner, inner).map(lambda pair: tuple[pair[0], pair[1]]),
        inner.map(lambda t: t | None),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        st.tuples(inner, NOTES).map(lambda pair: Annotated[pair[0], pair[1]]),
    )


RECORDS = st.sampled_from(["model", "dataclass", "validated", "TypedDict"])
TYPES = st.recursive(PLAIN, _composed, max_leaves=4)


@settings(max_examples=150)
@given(fields=st.lists(st.tuples(TYPES, st.booleans()), min_size=1, max_size=3))
def test_records_of_every_kind_ask_for_the_same(fields: list[tuple[Any, bool]]) -> None:
    """A model, a dataclass, pydantic's own and a TypedDict of the same fields have one identity and a legal wire."""
    seen = set()
    for kind in ("dataclass", "validated", "TypedDict"):
        record = _record(kind, fields)
        found = lint({"x": record})
        assert {finding.rule for finding in found.errors} <= {"nesting"}
        if not found.errors:
            parsed = parse_schema(record)
            assert parsed.wire["json_schema"]["required"] == [column.name for column in parsed.columns]
            seen.add(repr(parsed.identity))
    assert len(seen) <= 1


@settings(max_examples=150)
@given(
    kind=RECORDS,
    fields=st.lists(st.tuples(TYPES | DTYPES, st.booleans()), min_size=1, max_size=3),
    value=st.none() | st.integers() | st.text(max_size=2),
)
def test_every_type_has_a_check(kind: str, fields: list[tuple[Any, bool]], value: Any) -> None:
    """What is asked for can be checked in every answer, and what may be absent may be null."""
    try:
        parsed = parse_schema(_record(kind, fields))
    except (SchemaError, pydantic.errors.PydanticSchemaGenerationError):
        return
    for column, (_, optional) in zip(parsed.columns, fields, strict=True):
        check = compile_check(column.node)
        check(value)
        assert not (column.nullable and check(None))
        assert column.nullable or not optional


@settings(max_examples=200)
@given(
    st.dictionaries(st.text(max_size=3), PLAIN | DTYPES | ODD | st.tuples(PLAIN | ODD, st.text(max_size=2)), max_size=3)
)
def test_any_mapping_is_a_schema_or_refused(schema: dict[str, Any]) -> None:
    """Nothing else is raised, and lint says the same as parsing does."""
    found = lint(schema, processor="ultra")
    try:
        parse_schema(schema)
    except SchemaError:
        assert found.errors
    else:
        assert not found.errors
