"""Whether a value of an answer fits its node, and the words for every way it does not.

The verdict is jsonschema-rs's. This module owns how a normal form is handed to it, the four keywords that mean more
here than there (`pattern`, `patternProperties`, `multipleOf`, `format`), and the messages. It converts nothing, and it
never raises over a value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, NamedTuple, TypeAlias

from jsonschema_rs import Draft202012Validator

from parallel_frames._format import format_count
from parallel_frames._model import Json
from parallel_frames._schema._formats import FORMATS
from parallel_frames._schema._normal import APPLIES, NULL, Node, split_null

MAX_SHOWN = 200
MAX_OPTIONS = 20
_PATTERNS = "x-patternProperties"  # named patternProperties, it would change which properties are additional


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
    """The verdict of the user's own model on one answer."""

    content: dict[str, Json]  # with what the validators made of its values, as JSON; unchanged where it is refused
    problems: dict[str, str] = field(default_factory=dict)  # by field
    whole: str | None = None  # what is wrong with the answer as a whole


def shown(value: object) -> str:
    """Return a value as messages show it: its JSON, cut at 200 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError, TypeError):
        text = repr(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def compile_check(node: Mapping[str, Json]) -> Check:
    """Return the function that finds every way a value breaks a normal form, to be called with many values."""
    schema = _validation_schema(node)
    validator = _validator(schema)
    is_valid = validator.is_valid

    def check_value(value: Json) -> Problems:
        try:
            return () if is_valid(value) else _problems(validator, schema, value)
        except ValueError:  # half a surrogate pair, or nesting beyond what jsonschema-rs reads
            pass
        try:
            readable = _replace_surrogates(value)
            return () if is_valid(readable) else _problems(validator, schema, readable)
        except (ValueError, RecursionError) as error:
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
    # Constraints bind only values of their own type, so null needs no anyOf, whose errors would be harder to read.
    schema: Node = {"type": [type_, "null"] if nullable and type_ != "null" else type_}
    schema |= {key: inner[key] for key in APPLIES[type_] if key in inner}
    if schema.get("format") not in FORMATS:
        schema.pop("format", None)  # jsonschema-rs knows more formats, and refuses answers that are close enough
    for key in ("items", "contains", "propertyNames", "additionalProperties"):
        if key in inner:
            schema[key] = _validation_schema(inner[key]) if inner[key] else inner[key]
    if "prefixItems" in inner:
        schema["prefixItems"] = [_validation_schema(member) for member in inner["prefixItems"]]
    if "properties" in inner:
        schema["properties"] = _validation_schemas(inner["properties"])
        # An absent property counts as null, so only those that must not be null are required.
        schema["required"] = [name for name, child in inner["properties"].items() if not split_null(child)[1]]
    if "patternProperties" in inner:
        schema[_PATTERNS] = _validation_schemas(schema.pop("patternProperties"))
    return schema


def _validation_schemas(nodes: Mapping[str, Mapping[str, Json]]) -> Node:
    return {name: _validation_schema(node) for name, node in nodes.items()}


def _validator(schema: Node) -> Draft202012Validator:
    return Draft202012Validator(schema, formats=_FORMATS, validate_formats=True, keywords=_KEYWORDS)


def _replace_surrogates(value: Json) -> Json:
    """Return a value without lone surrogates: whether they can be stored is for the column to decide."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_replace_surrogates(element) for element in value]
    if isinstance(value, dict):
        return {_replace_surrogates(name): _replace_surrogates(element) for name, element in value.items()}
    return value


# The keywords that mean more here than in jsonschema-rs


class _Pattern:
    """`pattern` in Python's dialect of regular expressions, in which users and pydantic write them."""

    def __init__(self, _parent: object, pattern: str, _path: object) -> None:
        self.search = re.compile(pattern).search

    def validate(self, instance: Any) -> None:
        if isinstance(instance, str) and not self.search(instance):
            raise ValueError


class _MultipleOf:
    """`multipleOf` with room for binary fractions: 0.1 + 0.2 is a multiple of 0.1."""

    def __init__(self, _parent: object, step: float, _path: object) -> None:
        self.step = step

    def validate(self, instance: Any) -> None:
        if type(instance) in (int, float) and not _is_multiple(instance, self.step):
            raise ValueError


class _PatternProperties:
    """`patternProperties` in Python's dialect."""

    def __init__(self, _parent: object, patterns: Mapping[str, Node], _path: object) -> None:
        self.checks = [(re.compile(pattern).search, _validator(child)) for pattern, child in patterns.items()]

    def validate(self, instance: Any) -> None:
        for name, value in instance.items() if isinstance(instance, dict) else ():
            for search, validator in self.checks:
                if search(name) and not validator.is_valid(value):
                    raise ValueError


def _is_multiple(value: float, step: float) -> bool:
    if type(value) is int and type(step) is int:
        return value % step == 0
    try:
        quotient = value / step
    except OverflowError:
        return False
    return math.isfinite(quotient) and math.isclose(quotient, round(quotient), rel_tol=1e-9, abs_tol=1e-9)


_SURROGATE = re.compile(r"[\ud800-\udfff]")
_KEYWORDS: dict[str, Any] = {"pattern": _Pattern, "multipleOf": _MultipleOf, _PATTERNS: _PatternProperties}
_FORMATS: dict[str, Any] = dict(FORMATS)  # typed as returning bool; jsonschema-rs takes whatever is true


# Errors → problems

_TYPES = {
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_REASONS = {
    "format": "expected the format {}",
    "pattern": "does not match {}",
    "minLength": "expected a length of at least {}",
    "maxLength": "expected a length of at most {}",
    "minimum": "expected at least {}",
    "exclusiveMinimum": "expected more than {}",
    "maximum": "expected at most {}",
    "exclusiveMaximum": "expected less than {}",
    "multipleOf": "expected a multiple of {}",
    "minItems": "expected a length of at least {}",
    "maxItems": "expected a length of at most {}",
    "uniqueItems": "an element occurs twice",
    "minProperties": "expected at least {} properties",
    "maxProperties": "expected at most {} properties",
}
_STEPS_TO_CHILD = {"properties": 2, "prefixItems": 2, "items": 1, "additionalProperties": 1}

Step: TypeAlias = str | int
Steps: TypeAlias = tuple[Step, ...]


class _Error(NamedTuple):
    """Where an error is, in the schema and in the value."""

    keyword: tuple[str, ...]
    instance: tuple[str, ...]


class _Finding(NamedTuple):
    """What was expected at a place in the value, and what was found there."""

    steps: Steps
    reason: str
    got: str = ""

    def below(self, step: Step) -> _Finding:
        return self._replace(steps=(step, *self.steps))


def _problems(validator: Draft202012Validator, schema: Node, value: Json) -> Problems:
    return tuple(
        Problem(
            "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in finding.steps).removeprefix("."),
            f"{finding.reason}{finding.got}",
        )
        for finding in _find(validator, schema, value)
    )


def _find(validator: Draft202012Validator, schema: Node, value: Json) -> list[_Finding]:
    # iter_errors() names the kinds of errors, but its paths lose empty names, and "07" and "+7" become 7. The JSON
    # pointers of evaluate() are exact, and the words follow from the keyword and the value that they lead to.
    entries = validator.evaluate(value).errors()
    errors = [_Error(_steps(entry["schemaLocation"]), _steps(entry["instanceLocation"])) for entry in entries]
    return _explain(errors, schema, value)


def _steps(pointer: str) -> tuple[str, ...]:
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def _explain(errors: Iterable[_Error], schema: Node, value: Any) -> list[_Finding]:
    children: dict[tuple[str, ...], list[_Error]] = {}
    branches: dict[int, list[_Error]] = {}
    keywords = []
    for error in errors:
        keyword = error.keyword[0]
        size = _STEPS_TO_CHILD.get(keyword, len(error.keyword))
        if keyword == "anyOf":
            branches.setdefault(int(error.keyword[1]), []).append(_Error(error.keyword[2:], error.instance))
        elif size < len(error.keyword):
            child = (*error.keyword[:size], error.instance[0])
            children.setdefault(child, []).append(_Error(error.keyword[size:], error.instance[1:]))
        else:
            keywords.append(keyword)
    if "type" in keywords:  # what else is wrong follows from it: 1.5 for a whole number is not "too small" as well
        keywords = ["type"]
    found = [finding for keyword in dict.fromkeys(keywords) for finding in _broken(keyword, schema, value)]
    for (*path, name), below in children.items():
        step = int(name) if isinstance(value, list) else name
        findings = _explain(below, reduce(_member, path, schema), _member(value, name))
        found += [finding.below(step) for finding in findings]
    if branches:
        found += _explain_union(branches, schema["anyOf"], value)
    return found


def _member(container: Any, step: str) -> Any:
    return container[int(step)] if isinstance(container, list) else container[step]


def _explain_union(branches: Mapping[int, list[_Error]], schemas: list[Node], value: Json) -> list[_Finding]:
    """Return the findings of the closest branch; where no branch got into the value, what all of them expected."""
    found = [_explain(errors, schemas[at], value) for at, errors in branches.items() if schemas[at] != NULL]
    closest = max(found, key=_depth)  # the deeper a branch got, the likelier it is the one that was meant
    if _depth(closest):
        return closest
    reasons = dict.fromkeys(findings[0].reason for findings in found)
    return [_finding(" or ".join(reasons).replace("or expected ", "or "), value)]


def _depth(findings: list[_Finding]) -> int:
    return max(len(finding.steps) for finding in findings)


def _finding(reason: str, value: Json, *steps: Step) -> _Finding:
    return _Finding(steps, reason, f", got {shown(value)}")


def _broken(keyword: str, schema: Node, value: Any) -> Iterator[_Finding]:
    """Yield what a keyword that a value breaks expected, one finding for each property concerned."""
    limit: Any = schema[keyword]
    match keyword:
        case "required":
            yield from (_Finding((name,), "is missing") for name in limit if name not in value)
        case "additionalProperties":
            names = (name for name in value if name not in schema["properties"])
            yield from (_finding("is not asked for", value[name], name) for name in names)
        case "propertyNames":
            validator = _validator(limit)
            for name in value:
                findings = _find(validator, limit, name)
                yield from (_finding(f"bad name: {finding.reason}", name, name) for finding in findings)
        case _ if keyword == _PATTERNS:
            for pattern, child in limit.items():
                validator = _validator(child)
                for name in filter(re.compile(pattern).search, value):
                    yield from (finding.below(name) for finding in _find(validator, child, value[name]))
        case _:
            yield _finding(_expectation(keyword, schema), value)


def _expectation(keyword: str, schema: Node) -> str:
    if keyword == "type":
        types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        return f"expected {' or '.join(_TYPES[name] for name in types if name != 'null') or 'null'}"
    if keyword == "enum":
        options = [shown(option) for option in schema["enum"] if option is not None]
        return f"expected one of {', '.join(options[:MAX_OPTIONS])}{', …' if len(options) > MAX_OPTIONS else ''}"
    if keyword in ("contains", "minContains", "maxContains"):
        least, most = schema.get("minContains", 1), schema.get("maxContains")
        count = (
            f"at least {format_count(least, 'element')}"
            if most is None
            else (f"{least} to {format_count(most, 'element')}")
        )
        return f"expected {count} that fit {shown(schema['contains'])}"
    return _REASONS[keyword].format(schema[keyword])
