"""What only pydantic knows of a model: its JSON Schema, held still, and its verdict on an answer.

The only module that imports pydantic, and only once the user has. It owns the few spellings that pydantic changed
between its versions, so that an upgrade of pydantic changes no key; and it keeps a model's validators, which are the
user's own code, from costing an answer.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Set as AbstractSet
from decimal import Decimal
from traceback import format_exception_only
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from parallel_frames._schema._check import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from parallel_frames._model import Json

Place: TypeAlias = "tuple[str | int, ...]"


class Trouble(NamedTuple):
    """One thing a model says against an answer, and the value it says it of."""

    kind: str
    place: Place
    message: str
    value: Any

    def steps(self, content: Json) -> Place:
        """Return the way to the value in an answer, without the names that pydantic gives to branches of unions."""
        if self.kind == "missing":
            return (*way(content, self.place[:-1]), self.place[-1])
        return way(content, self.place)


class Mended(NamedTuple):
    """An answer in other words, and what was said of each place where a null was left out."""

    content: dict[str, Json]
    left_out: Mapping[Place, Sequence[Trouble]]

    def blamed(self, troubles: Sequence[Trouble]) -> list[Trouble]:
        """Return troubles with the mended answer as troubles with the answer that was given."""
        return [first for each in troubles for first in self.left_out.get(each.steps(self.content), [each])]

    def restored(self, made: dict[str, Json]) -> dict[str, Json]:
        """Return what became of the mended answer, with its nulls back: a default is nobody's answer."""
        for place in self.left_out:
            parent = value_at(made, place[:-1])
            if isinstance(parent, dict):
                parent[place[-1]] = None
        return made


def mend(content: Mapping[str, Json], troubles: Sequence[Trouble]) -> Mended | None:
    """Return an answer in words that a model may take; None where there is nothing to reword."""
    mended: dict[str, Json] = copy.deepcopy(dict(content))
    left_out: dict[Place, list[Trouble]] = {}
    for trouble in troubles:
        place = trouble.steps(content)
        if not place:
            continue
        parent: Any = value_at(mended, place[:-1])
        if trouble.kind == "missing" and isinstance(parent, dict):
            parent[place[-1]] = None
        elif trouble.value is None and isinstance(parent, dict):
            parent.pop(place[-1], None)
            left_out.setdefault(place, []).append(trouble)
        elif trouble.kind == "int_type" and isinstance(trouble.value, float) and trouble.value.is_integer():
            parent[place[-1]] = int(trouble.value)
    # Compared as texts: 3.0 == 3 in Python.
    return Mended(mended, left_out) if repr(mended) != repr(dict(content)) else None


def way(content: Any, place: Place) -> Place:
    """Return those steps of a place that lead somewhere in an answer."""
    steps: list[str | int] = []
    for step in place:
        inside = isinstance(content, list) and isinstance(step, int) and step < len(content)
        if inside or (isinstance(content, dict) and step in content):
            content = value_at(content, (step,))
            steps.append(step)
    return tuple(steps)


def value_at(content: Any, place: tuple[Any, ...]) -> Json:
    """Return what stands at a place; None where it leads nowhere."""
    for step in place:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def settled(written: Json, held: Any, answer: Json) -> Json:
    """Return what was written, by what the model holds there and what the answer said there.

    Parameters
    ----------
    written : JSON
        What a model writes of its value.
    held : object
        The same in Python's own types, nested alike.
    answer : JSON
        What the service said; only its order counts.
    """
    if isinstance(held, Decimal) and isinstance(written, str):
        return _number(held, written)
    if isinstance(written, list) and isinstance(held, AbstractSet):
        return _ordered([settled(each, _same(each, held), None) for each in written], answer)
    if (
        not isinstance(written, (dict, list)) or not isinstance(held, (dict, list, tuple)) or len(written) != len(held)
    ):  # a serializer of the user's own
        return written
    if isinstance(written, dict) and isinstance(held, dict):
        fields = answer if isinstance(answer, dict) else {}
        values = zip(written.items(), held.values(), strict=True)
        return {name: settled(value, each, fields.get(name)) for (name, value), each in values}
    if isinstance(written, list):
        said = answer if isinstance(answer, list) and len(answer) == len(written) else [None] * len(written)
        return [settled(*each) for each in zip(written, held, said, strict=True)]
    return written


def _number(held: Decimal, written: str) -> Json:
    if not held.is_finite():
        return written
    return int(held) if held == held.to_integral_value() and abs(held) < 2**63 else float(held)


def _same(written: Json, held: AbstractSet[Any]) -> Any:
    """Return the element of a set that was written so."""
    return next((each for each in held if isinstance(each, Decimal) and str(each) == written), None)


def _ordered(elements: list[Json], answer: Json) -> list[Json]:
    """Return the elements of a set in the order of the answer; those that it does not have come last, sorted."""
    said = [repr(each) for each in answer] if isinstance(answer, list) else []
    places = {text: place for place, text in enumerate(said)}
    return sorted(elements, key=lambda each: (places.get(repr(each), len(said)), repr(each)))


_BOUNDS = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf"
}  # fmt: skip


class StableJsonSchema(GenerateJsonSchema):
    """Pydantic's generator, with one spelling for what its versions spell differently."""

    # Defaults are dropped, so one that JSON cannot hold is nobody's concern.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic declares it

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Return a plain number: pydantic adds a string branch, whose pattern differs from version to version."""
        bounds = {keyword: float(schema[name]) for name, keyword in _BOUNDS.items() if schema.get(name) is not None}
        return {"type": "number", **bounds}


def document_of(type_: Any) -> dict[str, Any]:
    """Return the JSON Schema of a model, or of anything else that pydantic describes."""
    if hasattr(type_, "model_json_schema"):
        return cast("dict[str, Any]", type_.model_json_schema(schema_generator=StableJsonSchema))
    return TypeAdapter(type_).json_schema(schema_generator=StableJsonSchema)


class Judge(NamedTuple):
    """What a model validates and writes with, and the answer's name of each of its fields by what it calls them."""

    validator: Any
    serializer: Any
    names: Mapping[str, str]


def judge_of(model: Any) -> Judge:
    """Return what judges answers for a model, looked up once."""
    names: dict[str, str] = {}
    fields = getattr(model, "__pydantic_fields__", None) or getattr(model, "model_fields", {})  # before 2.10
    for name, field in fields.items():
        asked = _first_alias(field.validation_alias) or name
        names |= {name: asked, field.serialization_alias or name: asked, asked: asked}
    return Judge(model.__pydantic_validator__, model.__pydantic_serializer__, names)


def validate(judge: Judge, content: Mapping[str, Json]) -> tuple[dict[str, Json], dict[str, str], str | None]:
    """Return an answer as a model has it, what is wrong with which of its fields, and with the whole of it."""
    try:
        made, troubles = _made(judge, content)
        problems, whole = _told(troubles, judge, content)
    except Exception as error:  # noqa: BLE001 - the user's own code, and the answer is paid for
        raised = format_exception_only(error)[-1].strip()
        return dict(content), {}, f"the model's own code raised {raised}"
    return {**content, **made}, problems, whole


def _made(judge: Judge, content: Mapping[str, Json]) -> tuple[dict[str, Json], list[Trouble]]:
    """Return what a model makes of an answer's values, or its troubles with it.

    Read as JSON, in which a strict model takes the date that it asked for as a text.
    """
    try:
        return _written(judge, judge.validator.validate_json(json.dumps(content)), content), []
    except ValidationError as error:
        first = _troubles(error)
    mended = mend(content, first)
    if mended is None:
        return {}, first
    try:
        valid = judge.validator.validate_json(json.dumps(mended.content))
    except ValidationError as error:
        return {}, mended.blamed(_troubles(error))
    return mended.restored(_written(judge, valid, content)), []


def _written(judge: Judge, valid: Any, content: Mapping[str, Json]) -> dict[str, Json]:
    """Return a validated answer as JSON; a default is nobody's answer, so what was not set is not in it."""
    how: Any = {"by_alias": True, "exclude_unset": True, "warnings": False}
    written = judge.serializer.to_python(valid, mode="json", **how)
    if not isinstance(written, dict):  # a serializer of the user's own
        return {}
    found = judge.serializer.to_python(valid, mode="python", **how)
    made = settled(written, found, dict(content))
    tracked = hasattr(valid, "model_fields_set")
    named = ((judge.names.get(name), name, value) for name, value in made.items())
    return {asked or name: value for asked, name, value in named if (asked or name) in content or (asked and tracked)}


def _troubles(error: ValidationError) -> list[Trouble]:
    return [
        Trouble(each["type"], each["loc"], each["msg"], each["input"])
        for each in error.errors(include_url=False, include_context=False)
    ]


def _told(troubles: Iterable[Trouble], judge: Judge, content: Mapping[str, Json]) -> tuple[dict[str, str], str | None]:
    """Return the messages by field; what belongs to no field of the answer is said of the whole."""
    by_field: dict[str, dict[str, None]] = {}
    whole: dict[str, None] = {}
    for trouble in troubles:
        message = trouble.message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
        steps = trouble.steps(content)
        if not steps:
            whole[message] = None
            continue
        told = message if trouble.kind == "missing" else f"{message}, got {shown(trouble.value)}"
        by_field.setdefault(judge.names.get(str(steps[0]), str(steps[0])), {})[_below(steps[1:], told)] = None
    return {name: "; ".join(told) for name, told in by_field.items()}, "; ".join(whole) or None


def _below(steps: Place, told: str) -> str:
    """Return a message about what lies below a field, with the way to it."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
    return f"{path.removeprefix('.')}: {told}" if path else told


def _first_alias(alias: Any) -> str | None:
    """Return the name that a validation alias has in the JSON Schema."""
    return next((choice for choice in getattr(alias, "choices", [alias]) if isinstance(choice, str)), None)
