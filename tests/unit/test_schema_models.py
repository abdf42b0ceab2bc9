"""Validation of answers by the user's own model: what it changes, refuses, and how it fails."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import json
import uuid
from typing import Annotated, Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic.dataclasses import dataclass as validated_dataclass

from parallel_frames._schema import ModelVerdict, compile_check, compile_model_check, parse_schema


class Kind(enum.Enum):
    PUBLIC = "public"


class Office(pydantic.BaseModel):
    city: str
    floors: int = 3
    rent: decimal.Decimal | None = None

    @pydantic.field_validator("city")
    @classmethod
    def not_nowhere(cls, city: str) -> str:
        """Refuse a city that does not exist."""
        if city == "nowhere":
            raise ValueError("this city does not exist")
        return city


class Company(pydantic.BaseModel):
    name: str
    revenue: decimal.Decimal = decimal.Decimal(0)
    employees: int = 7
    offices: list[Office] = []

    @pydantic.field_validator("name")
    @classmethod
    def tidy(cls, name: str) -> str:
        """Return a name as it should be written."""
        if name == "bad":
            raise AssertionError("a bad name")
        return name.strip().upper()

    @pydantic.model_validator(mode="after")
    def consistent(self) -> Company:
        """Refuse offices without staff."""
        if self.employees == 0 and self.offices:
            raise ValueError("offices without employees")
        return self


GOOD = {"name": " acme ", "revenue": 12.5, "employees": 3, "offices": [{"city": "Bonn", "floors": 1, "rent": None}]}


def verdict(model: Any, answer: dict[str, Any]) -> ModelVerdict:
    """Return a model's verdict on an answer, after its schema's own."""
    parsed = parse_schema(model)
    assert parsed.model is model
    for column in parsed.columns:
        assert not compile_check(column.node)(answer.get(column.name))
    return compile_model_check(parsed.model)(answer)


def made(annotation: Any, value: Any, **config: Any) -> Any:
    """Return what a model of one field makes of a value that fits its schema."""
    model = pydantic.create_model("Model", __config__=pydantic.ConfigDict(**config), x=(annotation, ...))
    found = verdict(model, {"x": value})
    assert (found.problems, found.whole) == ({}, None)
    return found.content["x"]


def test_validators_that_transform_take_effect() -> None:
    """The content is what the model made of the answer, as JSON."""
    found = verdict(Company, GOOD)
    assert found == ModelVerdict({**GOOD, "name": "ACME"}, {}, None)
    json.dumps(found.content)


def test_the_answer_itself_is_not_changed() -> None:
    """The verdict holds a new mapping, also where nulls had to be reworded."""
    answer = {**GOOD, "employees": None, "offices": [{"city": "Bonn", "floors": None, "rent": 1.5}]}
    before = json.dumps(answer)
    verdict(Company, answer)
    assert json.dumps(answer) == before


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (decimal.Decimal, 12.5),
        (decimal.Decimal, 12),
        (list[decimal.Decimal], [1.5, 2]),
        (set[decimal.Decimal], [2, 1.5]),
        (dict[str, decimal.Decimal | None], {"a": 1.25, "b": None}),
        (dt.date, "2024-01-02"),
        (dt.time, "09:30:00"),
        (uuid.UUID, "12345678-1234-5678-1234-567812345678"),
        (Kind, "public"),
        (set[str], ["z", "a", "m", "b"]),
        (frozenset[int], [3, 1, 2]),
        (tuple[int, str], [1, "a"]),
        (int | str, "12"),
        (Any, {"a": [None]}),
    ],
    ids=str,
)
def test_values_that_a_model_only_reads_stay_as_they_are(annotation: Any, value: Any) -> None:
    """A number that is a Decimal in Python is still a number, a set keeps the answer's order, strict or not."""
    assert made(annotation, value) == value
    assert type(made(annotation, value)) is type(value)
    assert made(annotation, value, strict=True) == value


def test_a_transformed_set_is_sorted() -> None:
    """What a validator puts into a set has no order of its own, and two runs give one frame."""
    upper = Annotated[set[str], pydantic.AfterValidator(lambda tags: {tag.upper() for tag in tags})]
    assert made(upper, ["b", "a", "C"]) == ["C", "A", "B"]


def test_whole_numbers_may_come_as_floats() -> None:
    """3.0 is a whole number in JSON and for our own check, so a strict model is given 3."""
    assert made(int, 3.0, strict=True) == 3
    assert made(list[int], [1.0, 2], strict=True) == [1, 2]


def test_a_null_takes_no_default() -> None:
    """A field with a default may be answered null, which stays null: it is neither the default nor a problem."""
    answer = {"name": "a", "revenue": None, "employees": None, "offices": [{"city": "x", "floors": None, "rent": 2}]}
    found = verdict(Company, answer)
    assert (found.problems, found.whole) == ({}, None)
    assert found.content == {**answer, "name": "A"}


def test_a_nullable_field_that_is_absent_is_null() -> None:
    """The schema's own check takes it so, and so must a model that requires it."""
    model = pydantic.create_model("Model", a=(int, ...), b=(int | None, ...))
    found = verdict(model, {"a": 1})
    assert (found.problems, found.whole) == ({}, None)
    assert found.content.get("b") is None


def test_problems_stand_at_their_field() -> None:
    """With the way below it and the value, and without pydantic's prefix; the content is the answer then."""
    answer = {**GOOD, "name": "bad", "offices": [{"city": "Bonn"}, {"city": "nowhere"}]}
    found = compile_model_check(Company)(answer)
    assert found.problems == {
        "name": 'a bad name, got "bad"',
        "offices": '[1].city: this city does not exist, got "nowhere"',
    }
    assert found.whole is None
    assert found.content == answer


def test_a_null_that_a_model_refuses_is_told_as_a_null() -> None:
    """The model's default is tried, and the messages are about the answer as it was given."""
    found = compile_model_check(Company)({**GOOD, "name": None, "employees": None})
    assert found.problems == {"name": "Input should be a valid string, got null"}


def test_branches_of_a_union_are_told_together() -> None:
    """Pydantic's own names for branches are not part of the path."""
    model = pydantic.create_model("Model", x=(int | list[int], 3))
    found = compile_model_check(model)({"x": {"a": 1}})
    assert found.problems == {
        "x": 'Input should be a valid integer, got {"a": 1}; Input should be a valid array, got {"a": 1}'
    }
    assert verdict(model, {"x": None}).content == {"x": None}


def test_what_the_whole_model_says_is_said_of_the_whole() -> None:
    """A problem of a model's own validator belongs to no field."""
    found = verdict(Company, {**GOOD, "employees": 0})
    assert (found.problems, found.whole) == ({}, "offices without employees")


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (KeyError("boom"), "KeyError: 'boom'"),
        (ZeroDivisionError(), "ZeroDivisionError"),
        (RecursionError("deep"), "RecursionError: deep"),
        (UnspeakableError(), "UnspeakableError: <exception str() failed>"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_whatever_a_validator_raises_costs_no_answer(raised: Exception, message: str) -> None:
    """It is a problem with the type and message, and the answer stays."""

    def fail(value: int) -> int:
        raise raised

    model = pydantic.create_model("Model", x=(Annotated[int, pydantic.AfterValidator(fail)], ...))
    found = verdict(model, {"x": 1})
    assert (found.content, found.problems) == ({"x": 1}, {})
    assert (found.whole or "").startswith("the model's own code raised ")
    assert (found.whole or "").endswith(message)


def test_a_value_that_cannot_be_written_is_a_problem() -> None:
    """A validator may return what has no JSON; nothing is raised, and nothing half-written is kept."""
    odd = Annotated[Any, pydantic.AfterValidator(lambda _: object())]
    model = pydantic.create_model("Model", x=(odd, ...))
    found = verdict(model, {"x": 1})
    assert found.content == {"x": 1}
    assert "Unable to serialize unknown type" in (found.whole or "")


def test_a_validator_that_returns_another_type_warns_nobody() -> None:
    """Pydantic's warning while writing is about a value that is judged later anyway."""
    odd = Annotated[int, pydantic.AfterValidator(str)]
    assert made(odd, 12) == "12"


def test_names_are_those_of_the_answer() -> None:
    """Aliases of every kind lead back to the name that was asked for, and excluded fields keep what was answered."""

    class Model(pydantic.BaseModel):
        a: str = pydantic.Field(alias="theA")
        b: str = pydantic.Field(validation_alias="theB", serialization_alias="elsewhere")
        c: str = pydantic.Field(validation_alias=pydantic.AliasChoices("theC", "otherC"))
        d: str = pydantic.Field(exclude=True)

        @pydantic.field_validator("*")
        @classmethod
        def upper(cls, value: str) -> str:
            if value == "bad":
                raise ValueError("is bad")
            return value.upper()

        @pydantic.computed_field  # type: ignore[prop-decorator]
        @property
        def extra(self) -> str:
            return "not asked for"

    found = verdict(Model, {"theA": "a", "theB": "b", "theC": "c", "d": "d"})
    assert found.content == {"theA": "A", "theB": "B", "theC": "C", "d": "d"}
    found = verdict(Model, {"theA": "bad", "theB": "bad", "theC": "bad", "d": "bad"})
    assert found.problems == dict.fromkeys(["theA", "theB", "theC", "d"], 'is bad, got "bad"')


def test_a_serializer_of_ones_own_writes_the_value() -> None:
    """What a model writes for its field is the value; a model that writes no object leaves the answer as it was."""

    class Fields(pydantic.BaseModel):
        x: int

        @pydantic.field_serializer("x")
        def write(self, x: int) -> str:
            return f"#{x}"

    class Whole(pydantic.BaseModel):
        x: int

        @pydantic.model_serializer
        def write(self) -> str:
            return f"#{self.x}"

    assert verdict(Fields, {"x": 1}).content == {"x": "#1"}
    assert verdict(Whole, {"x": 1}).content == {"x": 1}


def test_a_dataclass_that_pydantic_validates_is_a_judge_too() -> None:
    """Its validators count, its defaults are not answers, and its FieldInfo means what a model's does."""

    @validated_dataclass
    class Person:
        name: str = pydantic.Field(description="Full name", min_length=1)
        born: int = 1900
        title: str = pydantic.Field("Dr", alias="theTitle")

        @pydantic.field_validator("name")
        @classmethod
        def upper(cls, name: str) -> str:
            return name.upper()

    parsed = parse_schema(Person)
    assert parsed.columns[0].node == {"type": "string", "description": "Full name", "minLength": 1}
    assert [(column.name, column.nullable) for column in parsed.columns] == [
        ("name", False),
        ("born", True),
        ("theTitle", True),
    ]
    assert verdict(Person, {"name": "ada", "born": None, "theTitle": None}) == ModelVerdict(
        {"name": "ADA", "born": None, "theTitle": None}, {}, None
    )
    assert verdict(Person, {"name": "ada"}).content == {"name": "ADA"}


def test_a_root_model_is_what_it_holds() -> None:
    """Its fields are those of the model inside."""

    class Root(pydantic.RootModel[Office]):
        pass

    assert verdict(Root, {"city": "x", "floors": None, "rent": 1.5}).content == {
        "city": "x",
        "floors": None,
        "rent": 1.5,
    }


def test_a_model_that_is_none_of_pydantics_takes_every_answer() -> None:
    """It describes itself, and that is all that is known of it."""

    class Model:
        @classmethod
        def model_json_schema(cls) -> dict[str, Any]:
            return {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}

    assert verdict(Model, {"a": "x"}) == ModelVerdict({"a": "x"}, {}, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["city", "floors", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["name", "revenue", "employees", "offices", "odd"]), JSON, max_size=5))
def test_no_answer_makes_a_verdict_raise(answer: dict[str, Any]) -> None:
    """Whatever came, there is a verdict, and an answer that was refused is as it was."""
    found = compile_model_check(Company)(answer)
    assert found.content.keys() >= answer.keys()
    if found.problems or found.whole:
        assert found.content == answer
