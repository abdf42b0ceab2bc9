"""Everything that needs pydantic: the JSON Schema of a model, and what its validators make of an answer.

The only module that imports pydantic, and only once the user has. It keeps one spelling for what pydantic's versions
spell differently, so that an upgrade changes no key, and it keeps a model's validators, which are the user's own code,
from costing an answer.

A schema asks for every field and allows null where the model has a default; a model takes null only where its type
does, and its default where a field is absent. Whatever differs between the two is translated here, in both directions.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from traceback import format_exception_only
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import GenerateJsonSchema

from parallel_frames._schema._checks import ModelVerdict, shown
from parallel_frames._schema._types import BOUNDS

if TYPE_CHECKING:
    from parallel_frames._model import Json

Location: TypeAlias = tuple[str | int, ...]


class StableJsonSchema(GenerateJsonSchema):
    """Pydantic's generator, with one spelling for what its versions spell differently."""

    # Defaults are dropped, so one that JSON cannot hold does not matter.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic declares it

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Return a plain number: pydantic adds a string branch, whose pattern differs from version to version."""
        bounds = {keyword: float(schema[name]) for name, keyword in BOUNDS.items() if schema.get(name) is not None}
        return {"type": "number", **bounds}


def document_of(type_: Any) -> dict[str, Any]:
    """Return the JSON Schema of a model, or of anything else that pydantic describes."""
    if hasattr(type_, "model_json_schema"):
        return cast("dict[str, Any]", type_.model_json_schema(schema_generator=StableJsonSchema))
    return TypeAdapter(type_).json_schema(schema_generator=StableJsonSchema)


class ValidationIssue(NamedTuple):
    """One error of pydantic's: its type, location, message and value."""

    type: str
    loc: Location
    message: str
    value: Any

    def location(self, content: Any) -> Location:
        """Return where in an answer the value is, without pydantic's names for branches of unions."""
        steps: list[str | int] = []
        for step in self.loc[:-1] if self.type == "missing" else self.loc:
            is_index = isinstance(content, list) and isinstance(step, int) and step < len(content)
            if is_index or (isinstance(content, dict) and step in content):
                content = _value_at(content, [step])
                steps.append(step)
        return (*steps, self.loc[-1]) if self.type == "missing" else tuple(steps)


class ModelValidator:
    """A model's validator and serializer, and the names that its fields have in an answer.

    Pydantic's own parts are looked up once, because a model validates every answer.
    """

    def __init__(self, model: Any) -> None:
        self._validator = model.__pydantic_validator__
        self._serializer = model.__pydantic_serializer__
        self._names: dict[str, str] = {}
        fields = getattr(model, "__pydantic_fields__", None) or getattr(model, "model_fields", {})  # before 2.10
        for name, field in fields.items():
            choices = getattr(field.validation_alias, "choices", [field.validation_alias])
            alias = next((choice for choice in choices if isinstance(choice, str)), name)
            self._names |= {name: alias, field.serialization_alias or name: alias, alias: alias}

    def validate(self, content: Mapping[str, Json]) -> ModelVerdict:
        """Return what the model makes of an answer that fits its schema; never raise."""
        try:
            made, issues = self._validate(content)
            problems, whole = self._messages(issues, content)
        except Exception as error:  # noqa: BLE001 - the user's own code, and the answer is paid for
            raised = format_exception_only(error)[-1].strip()
            return ModelVerdict(dict(content), {}, f"the model's own code raised {raised}")
        return ModelVerdict({**content, **made}, problems, whole)

    def _validate(self, content: Mapping[str, Json]) -> tuple[dict[str, Json], list[ValidationIssue]]:
        """Return what the model makes of an answer's values, or its issues with them."""
        try:
            return self._dump(self._load(content), content), []
        except ValidationError as error:
            issues = _issues(error)
        adapted, nulls = null_defaults(content, issues)
        if repr(adapted) == repr(dict(content)):  # as texts: 3.0 == 3 in Python
            return {}, issues
        try:
            made = self._dump(self._load(adapted), content)
        except ValidationError as error:
            # An issue where a null was left out is reported for the null, which is what was answered.
            located = [(issue, issue.location(adapted)) for issue in _issues(error)]
            return {}, [first for issue, location in located for first in nulls.get(location, [issue])]
        for *parents, name in nulls:  # the null is the answer, and not the model's default
            parent = _value_at(made, parents)
            if isinstance(parent, dict):
                parent[name] = None
        return made, []

    def _load(self, content: Mapping[str, Json]) -> Any:
        # As JSON, in which a strict model accepts a date as a text.
        return self._validator.validate_json(json.dumps(content))

    def _dump(self, valid: Any, content: Mapping[str, Json]) -> dict[str, Json]:
        """Return a validated answer as JSON, without defaults, which are not part of the answer."""
        options: Any = {"by_alias": True, "exclude_unset": True, "warnings": False}
        written = self._serializer.to_python(valid, mode="json", **options)
        if not isinstance(written, dict):  # a serializer of the user's own
            return {}
        values = serialise(written, self._serializer.to_python(valid, mode="python", **options), dict(content))
        tracks_fields = hasattr(valid, "model_fields_set")
        made = {}
        for name, value in values.items():
            alias = self._names.get(name)
            if (alias or name) in content or (alias and tracks_fields):
                made[alias or name] = value
        return made

    def _messages(
        self, issues: Iterable[ValidationIssue], content: Mapping[str, Json]
    ) -> tuple[dict[str, str], str | None]:
        """Return the messages by field, and those about the answer as a whole."""
        by_field: dict[str, dict[str, None]] = {}  # dicts as sets that keep their order
        whole: dict[str, None] = {}
        for issue in issues:
            message = issue.message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
            location = issue.location(content)
            if not location:
                whole[message] = None
                continue
            if issue.type != "missing":
                message = f"{message}, got {shown(issue.value)}"
            name = self._names.get(str(location[0]), str(location[0]))
            path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location[1:])
            by_field.setdefault(name, {})[f"{path.removeprefix('.')}: {message}" if path else message] = None
        return {name: "; ".join(messages) for name, messages in by_field.items()}, "; ".join(whole) or None


def _issues(error: ValidationError) -> list[ValidationIssue]:
    return [
        ValidationIssue(issue["type"], issue["loc"], issue["msg"], issue["input"])
        for issue in error.errors(include_url=False, include_context=False)
    ]


def null_defaults(
    content: Mapping[str, Json], issues: Sequence[ValidationIssue]
) -> tuple[dict[str, Json], dict[Location, list[ValidationIssue]]]:
    """Return an answer as a model may accept it, and the issues at each place where a null was left out.

    Nulls that the model refuses are left out, so that its defaults apply; fields that it misses become null; a strict
    model gets 3 for 3.0, which JSON Schema counts as an integer.
    """
    adapted: dict[str, Json] = copy.deepcopy(dict(content))
    nulls: dict[Location, list[ValidationIssue]] = {}
    for issue in issues:
        location = issue.location(content)
        if not location:
            continue
        parent: Any = _value_at(adapted, location[:-1])
        if issue.type == "missing" and isinstance(parent, dict):
            parent[location[-1]] = None
        elif issue.value is None and isinstance(parent, dict):
            parent.pop(location[-1], None)
            nulls.setdefault(location, []).append(issue)
        elif issue.type == "int_type" and isinstance(issue.value, float) and issue.value.is_integer():
            parent[location[-1]] = int(issue.value)
    return adapted, nulls


def _value_at(content: Any, location: Iterable[str | int]) -> Any:
    for step in location:
        try:
            content = content[step]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def serialise(written: Json, value: Any, answer: Json) -> Json:
    """Return pydantic's JSON of a value, corrected to fit the columns of the model's schema.

    Pydantic writes a Decimal as a text, where the schema asks for a number, and a set in any order, where two runs of
    one program should give one frame. Types are read from `value`, which is the same in Python's own types, nested
    alike, and never guessed from texts; of the `answer` only the order matters.
    """
    if isinstance(value, Decimal) and isinstance(written, str):
        if not value.is_finite():
            return written
        return int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)
    if isinstance(written, list) and isinstance(value, AbstractSet):
        decimals = {str(element): element for element in value if isinstance(element, Decimal)}
        numbers = (decimals.get(text) if isinstance(text, str) else None for text in written)
        return _ordered([serialise(text, number, None) for text, number in zip(written, numbers, strict=True)], answer)
    if not isinstance(written, (dict, list)) or not isinstance(value, (dict, list, tuple)):
        return written
    if len(written) != len(value):  # a serializer of the user's own
        return written
    if isinstance(written, dict) and isinstance(value, dict):
        fields = answer if isinstance(answer, dict) else {}
        pairs = zip(written.items(), value.values(), strict=True)
        return {name: serialise(text, element, fields.get(name)) for (name, text), element in pairs}
    if isinstance(written, list):
        elements = answer if isinstance(answer, list) and len(answer) == len(written) else [None] * len(written)
        return [serialise(*triple) for triple in zip(written, value, elements, strict=True)]
    return written


def _ordered(elements: list[Json], answer: Json) -> list[Json]:
    """Return the elements of a set in the order of the answer; those that are not in it come last, sorted."""
    answered = [repr(element) for element in answer] if isinstance(answer, list) else []
    positions = {text: position for position, text in enumerate(answered)}
    return sorted(elements, key=lambda element: (positions.get(repr(element), len(answered)), repr(element)))
