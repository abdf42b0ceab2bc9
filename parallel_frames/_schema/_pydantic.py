"""What only pydantic knows of a model: its JSON Schema, held still, and its verdict on an answer.

The only module that imports pydantic, and only once the user has. It owns the few spellings that pydantic changed
between its versions, so that an upgrade of pydantic changes no key; and it keeps a model's validators, which are the
user's own code, from costing an answer.
"""

from __future__ import annotations

import json
from traceback import format_exception_only
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from ._mending import Trouble, mend
from ._problems import shown
from ._settling import settled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from parallel_frames._model import Json

    from ._mending import Place

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
