"""Whether a value of an answer fits its node, and the words for every way it does not.

JSON Schema is jsonschema-rs's business. This module owns how a normal form is handed to it, the four keywords that
mean more here than there (`pattern`, `patternProperties`, `multipleOf`, `format`), and the wording of problems. It
converts nothing, and it never raises over a value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from jsonschema_rs import Draft202012Validator, ValidationError
from jsonschema_rs import ValidationErrorKind as Kind

from parallel_frames._model import Json
from parallel_frames._schema._formats import FORMATS
from parallel_frames._schema._normal import APPLIES, Node, split_null

MAX_SHOWN = 200
MAX_OPTIONS = 20


class Problem(NamedTuple):
    """Where a value does not fit, and why; the path is relative, empty for the value itself."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


Problems: TypeAlias = tuple[Problem, ...]
Check: TypeAlias = Callable[[Json], Problems]


@dataclass(frozen=True, slots=True)
class ModelVerdict:
    """What the user's own model says of one answer.

    Attributes
    ----------
    content : dict
        The answer with what the model's validators made of its values, as JSON; unchanged where it is refused.
    problems : dict of str to str
        What is wrong, by field.
    whole : str or None
        What is wrong with the answer as a whole.
    """

    content: dict[str, Json]
    problems: dict[str, str] = field(default_factory=dict)
    whole: str | None = None


def shown(value: object) -> str:
    """Return a value as messages show it: its JSON, cut at 200 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError, TypeError):
        text = repr(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def check(node: Mapping[str, Json], value: Json) -> Problems:
    """Return every way a value breaks a normal form; empty when it fits."""
    return compile_check(node)(value)


def compile_check(node: Mapping[str, Json]) -> Check:
    """Return the check of one node, to be called with many values."""
    schema = _validation_schema(node)
    validator = Draft202012Validator(schema, formats=_FORMATS, validate_formats=True, keywords=_KEYWORDS)
    is_valid, iter_errors = validator.is_valid, validator.iter_errors

    def check_value(value: Json) -> Problems:
        try:
            return () if is_valid(value) else tuple(_problems(iter_errors(value), value, schema))
        except ValueError as error:  # half a surrogate pair, nesting too deep to read: what is not JSON
            return (Problem("", f"cannot be checked ({error}), got {shown(value)}"),)

    return check_value


def compile_model_check(model: Any) -> Callable[[Mapping[str, Json]], ModelVerdict]:
    """Return the check of answers by a model or dataclass of pydantic's; any other model accepts every answer.

    What is returned never raises, whatever the model's validators do. It expects answers that fit the schema: what a
    model would forgive, such as ``"12"`` for a number, was refused before.
    """
    if not hasattr(model, "__pydantic_validator__"):
        return lambda content: ModelVerdict(dict(content))
    from parallel_frames._schema._pydantic import ModelValidator

    return ModelValidator(model).validate


def _validation_schema(node: Mapping[str, Json]) -> Node:
    """Return a normal form as the JSON Schema that accepts the same answers."""
    inner, nullable = split_null(node)
    if "anyOf" in inner:
        branches = [_validation_schema(branch) for branch in inner["anyOf"]]
        return {"anyOf": [*branches, {"type": "null"}] if nullable else branches}
    if "enum" in inner:
        return {"enum": [*inner["enum"], *([None] if nullable else [])]}
    type_ = inner.get("type")
    if type_ is None:
        return {}
    # Constraints bind only their own type, so null needs no branch of its own, and a problem none either.
    schema: Node = {"type": [type_, "null"] if nullable and type_ != "null" else type_}
    schema |= {_RENAMED.get(key, key): inner[key] for key in APPLIES[type_] if key in inner}
    if schema.get("format") not in FORMATS:  # jsonschema-rs checks more formats, and more strictly
        schema.pop("format", None)
    for key in ("items", "contains", "propertyNames"):
        if key in inner:
            schema[key] = _validation_schema(inner[key])
    if "prefixItems" in inner:
        schema["prefixItems"] = [_validation_schema(member) for member in inner["prefixItems"]]
    if "additionalProperties" in inner:
        extra = inner["additionalProperties"]
        schema["additionalProperties"] = _validation_schema(extra) if isinstance(extra, dict) else extra
    if "properties" in inner:
        properties = inner["properties"]
        schema["properties"] = {name: _validation_schema(child) for name, child in properties.items()}
        # A property that is absent counts as null.
        schema["required"] = [name for name, child in properties.items() if not split_null(child)[1]]
    return schema


class _Pattern:
    """`pattern` in Python's dialect of regular expressions, in which users and pydantic write them."""

    def __init__(self, _parent: object, value: str, _path: object) -> None:
        self.search = re.compile(value).search
        self.message = f"does not match {value}"

    def validate(self, instance: Any) -> None:
        if isinstance(instance, str) and not self.search(instance):
            raise ValueError(self.message)


class _MultipleOf:
    """`multipleOf` with room for binary fractions: 0.1 + 0.2 is a multiple of 0.1."""

    def __init__(self, _parent: object, value: float, _path: object) -> None:
        self.step = value

    def validate(self, instance: Any) -> None:
        if type(instance) in (int, float) and not _is_multiple(instance, self.step):
            raise ValueError(f"expected a multiple of {self.step}")


class _NamedProperties:
    """`patternProperties` in Python's dialect, beside whatever else holds for the names it matches."""

    def __init__(self, _parent: object, value: Mapping[str, Node], _path: object) -> None:
        self.checks = [(re.compile(pattern).search, compile_check(child)) for pattern, child in value.items()]

    def validate(self, instance: Any) -> None:
        properties = instance.items() if isinstance(instance, dict) else ()
        problems = [
            Problem(_joined(name, problem.path), problem.message)
            for name, value in properties
            for search, test in self.checks
            if search(name)
            for problem in test(value)
        ]
        if problems:
            raise ValueError("; ".join(map(str, problems)))


def _is_multiple(value: float, step: float) -> bool:
    if type(value) is int and type(step) is int:
        return value % step == 0
    try:
        quotient = value / step
    except OverflowError:
        return False
    return math.isfinite(quotient) and math.isclose(quotient, round(quotient), rel_tol=1e-9, abs_tol=1e-9)


# By a name of its own, because `patternProperties` would change what `additionalProperties` means.
_RENAMED = {"patternProperties": "namedProperties"}
_KEYWORDS: dict[str, Any] = {"pattern": _Pattern, "multipleOf": _MultipleOf, "namedProperties": _NamedProperties}
_FORMATS = {name: (lambda text, test=test: bool(test(text))) for name, test in FORMATS.items()}

_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_LIMITS: Mapping[type[Kind], str] = {
    Kind.MinLength: "expected a length of at least {}",
    Kind.MaxLength: "expected a length of at most {}",
    Kind.MinItems: "expected a length of at least {}",
    Kind.MaxItems: "expected a length of at most {}",
    Kind.MinProperties: "expected at least {} properties",
    Kind.MaxProperties: "expected at most {} properties",
    Kind.Minimum: "expected at least {}",
    Kind.Maximum: "expected at most {}",
    Kind.ExclusiveMinimum: "expected more than {}",
    Kind.ExclusiveMaximum: "expected less than {}",
}


def _problems(errors: Iterable[ValidationError], value: Json, schema: Node) -> Iterator[Problem]:
    """Yield the problems that errors stand for; paths start at the value that was checked."""
    for error in _relevant(errors):
        path, instance = _follow(value, error.instance_path)
        kind = error.kind
        if isinstance(kind, Kind.Required):
            yield Problem(_joined(path, kind.property), "is missing")
        elif isinstance(kind, Kind.AdditionalProperties):
            for name in kind.unexpected:
                yield Problem(_joined(path, name), f"is not asked for, got {shown(instance[name])}")
        elif isinstance(kind, Kind.PropertyNames):
            name = str(kind.error.instance)
            yield Problem(_joined(path, name), f"bad name: {_reason(kind.error, schema)}, got {shown(name)}")
        elif isinstance(kind, Kind.Custom) and kind.keyword == "namedProperties":
            yield Problem(path, kind.message)  # it has named each property and its value
        else:
            closest = _closest_branch(kind.context, value, schema) if isinstance(kind, Kind.AnyOf) else []
            if _depth(closest) > len(path):
                yield from closest
            else:
                yield Problem(path, f"{_reason(error, schema)}, got {shown(instance)}")


def _relevant(errors: Iterable[ValidationError]) -> list[ValidationError]:
    """Return errors without those of values that have the wrong type anyway: 1.5 for an integer is not too small."""
    found = list(errors)
    mistyped = {tuple(error.instance_path) for error in found if isinstance(error.kind, Kind.Type)}
    return [error for error in found if isinstance(error.kind, Kind.Type) or tuple(error.instance_path) not in mistyped]


def _closest_branch(branches: Iterable[Iterable[ValidationError]], value: Json, schema: Node) -> list[Problem]:
    """Return the problems of the branch of a union that got furthest, which is the one with the longest path."""
    return max((list(_problems(errors, value, schema)) for errors in branches), key=_depth)


def _depth(problems: Iterable[Problem]) -> int:
    return max((len(problem.path) for problem in problems), default=0)


def _reason(error: ValidationError, schema: Node) -> str:
    """Return what was expected of a value."""
    kind = error.kind
    if isinstance(kind, Kind.Type):
        types = [_TYPES[name] for name in kind.types if name != "null"]
        return f"expected {' or '.join(types) or 'null'}"
    if isinstance(kind, Kind.Enum):
        options = [shown(option) for option in kind.options if option is not None]
        return f"expected one of {', '.join(options[:MAX_OPTIONS])}{', …' if len(options) > MAX_OPTIONS else ''}"
    if isinstance(kind, Kind.AnyOf):
        reasons = [_reason(_relevant(errors)[0], schema) for errors in kind.context]
        named = dict.fromkeys(reason for reason in reasons if reason != "expected null")
        return " or ".join(named).replace("or expected ", "or ")
    if isinstance(kind, Kind.Format):
        return f"expected the format {kind.format}"
    if isinstance(kind, Kind.UniqueItems):
        return "an element occurs twice"
    if isinstance(kind, Kind.Contains):
        node = _follow(schema, error.schema_path[:-1])[1]
        least, most = node.get("minContains", 1), node.get("maxContains")
        count = f"at least {least}" if most is None else f"{least} to {most}"
        return f"expected {count} elements that fit {shown(node['contains'])}"
    if isinstance(kind, Kind.Custom):
        return kind.message
    limit = _LIMITS.get(type(kind))
    return error.message if limit is None else limit.format(kind.value)


def _follow(value: Any, steps: Sequence[str | int]) -> tuple[str, Any]:
    """Return a path as messages show it, and what stands there."""
    path = ""
    for step in steps:
        if isinstance(value, dict) and isinstance(step, int):
            # jsonschema-rs reports every step that reads as a number as one, whether it is an index or a name.
            name = next(name for name in (str(step), *value) if name in value and _reads_as(name, step))
            path, value = _joined(path, name), value[name]
        else:
            path, value = _joined(path, f"[{step}]" if isinstance(step, int) else step), value[step]
    return path, value


def _reads_as(name: str, number: int) -> bool:
    return name.removeprefix("+").isdecimal() and int(name) == number


def _joined(path: str, below: str) -> str:
    return f"{path}.{below}" if path and below and not below.startswith("[") else f"{path}{below}"
