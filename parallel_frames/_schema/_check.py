"""Does a value fit a node? A normal form compiled once into closures, constraints included.

It owns the verdict and its words. It converts nothing, and it never raises over a value. A value that fits costs
no allocation: the answer is the empty tuple.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from parallel_frames._model import Json
from parallel_frames._schema._leaf import NULL
from parallel_frames._schema._times import parse_date, parse_datetime

if TYPE_CHECKING:
    from collections.abc import Collection


MAX_SHOWN = 200


class Problem(NamedTuple):
    """Where a value does not fit, and why; the path is relative, empty for the value itself."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


Problems: TypeAlias = tuple[Problem, ...]
Check: TypeAlias = Callable[[Json], Problems]
FINE: Problems = ()


def shown(value: object) -> str:
    """Return a value as messages show it: its JSON, cut at 200 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError, TypeError):
        text = repr(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def one(message: str) -> Problems:
    """Return the one problem of a value itself."""
    return (Problem("", message),)


def below(step: str, problems: Problems) -> Problems:
    """Return problems seen from one level up."""
    return tuple(
        Problem(f"{step}{'' if not path or path[0] == '[' else '.'}{path}", message) for path, message in problems
    )


_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+")
_UUID = re.compile(r"(?:urn:uuid:)?\{?[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\}?")
_TIME = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?")

FORMAT_CHECKS: Mapping[str, Callable[[str], object]] = {
    "date": parse_date,
    "date-time": parse_datetime,
    "time": _TIME.fullmatch,
    "email": _EMAIL.fullmatch,
    "uri": _URI.fullmatch,
    "uuid": _UUID.fullmatch,
}
"""Format → a test whose result is true for a text in that format."""


Compile: TypeAlias = Callable[[Mapping[str, Json]], Check]
Maker: TypeAlias = Callable[[Json, Mapping[str, Json], Compile], Check]


def constraint_tests(node: Mapping[str, Json], compile_check: Compile) -> list[Check]:
    """Return one test per constraint of a node; subschemas are compiled by what is given."""
    return [maker(node[keyword], node, compile_check) for keyword, maker in _MAKERS.items() if keyword in node]


def _compared(fits: Callable[[Json, Json], bool], words: str) -> Maker:
    """Return a maker of checks that compare a value with a limit."""

    def make(limit: Json, *_: object) -> Check:
        return lambda value: FINE if fits(value, limit) else one(f"{words.format(limit)}, got {shown(value)}")

    return make


def _is_multiple(value: float, step: float) -> bool:
    if type(value) is int and type(step) is int:
        return value % step == 0
    try:
        quotient = value / step
    except OverflowError:
        return False
    return math.isfinite(quotient) and math.isclose(quotient, round(quotient), rel_tol=1e-9, abs_tol=1e-9)


def _pattern(pattern: Json, *_: object) -> Check:
    search = re.compile(pattern).search
    return lambda value: FINE if search(value) else one(f"does not match {pattern}, got {shown(value)}")


def _format(name: Json, *_: object) -> Check:
    fits = FORMAT_CHECKS.get(name)
    if fits is None:
        return lambda _: FINE
    return lambda value: FINE if fits(value) else one(f"expected the format {name}, got {shown(value)}")


def _unique(*_: object) -> Check:
    def is_unique(value: list[Json]) -> bool:
        return len({json.dumps(element, sort_keys=True, default=repr) for element in value}) == len(value)

    return lambda value: FINE if is_unique(value) else one(f"an element occurs twice, got {shown(value)}")


def _in_order(members: Json, node: Mapping[str, Json], compile_check: Compile) -> Check:
    tests = [compile_check(member) for member in members]
    beyond = compile_check(node.get("items", {}))

    def check_order(value: list[Json]) -> Problems:
        pairs = zip(value, [*tests, *[beyond] * (len(value) - len(tests))], strict=False)
        return tuple(problem for at, (element, test) in enumerate(pairs) for problem in below(f"[{at}]", test(element)))

    return check_order


def _contains(inner: Json, node: Mapping[str, Json], compile_check: Compile) -> Check:
    test = compile_check(inner)
    least, most = node.get("minContains", 1), node.get("maxContains", math.inf)

    def check_contains(value: Json) -> Problems:
        fitting = sum(not test(element) for element in value)
        if least <= fitting <= most:
            return FINE
        return one(f"{fitting} elements fit what it should contain, got {shown(value)}")

    return check_contains


def _property_names(inner: Json, _: Mapping[str, Json], compile_check: Compile) -> Check:
    test = compile_check(inner)
    return lambda value: tuple(
        Problem(name, f"bad name: {problem.message}") for name in value for problem in test(name)
    )


def _pattern_properties(patterns: Json, _: Mapping[str, Json], compile_check: Compile) -> Check:
    tests = [(re.compile(pattern).search, compile_check(child)) for pattern, child in patterns.items()]
    return lambda value: tuple(
        problem
        for name, child in value.items()
        for search, test in tests
        if search(name)
        for problem in below(name, test(child))
    )


_MAKERS: Mapping[str, Maker] = {
    "format": _format,
    "pattern": _pattern,
    "minLength": _compared(lambda value, limit: len(value) >= limit, "expected a length of at least {}"),
    "maxLength": _compared(lambda value, limit: len(value) <= limit, "expected a length of at most {}"),
    "minimum": _compared(lambda value, limit: value >= limit, "expected at least {}"),
    "exclusiveMinimum": _compared(lambda value, limit: value > limit, "expected more than {}"),
    "maximum": _compared(lambda value, limit: value <= limit, "expected at most {}"),
    "exclusiveMaximum": _compared(lambda value, limit: value < limit, "expected less than {}"),
    "multipleOf": _compared(_is_multiple, "expected a multiple of {}"),
    "minItems": _compared(lambda value, limit: len(value) >= limit, "expected a length of at least {}"),
    "maxItems": _compared(lambda value, limit: len(value) <= limit, "expected a length of at most {}"),
    "minProperties": _compared(lambda value, limit: len(value) >= limit, "expected at least {} properties"),
    "maxProperties": _compared(lambda value, limit: len(value) <= limit, "expected at most {} properties"),
    "uniqueItems": _unique,
    "prefixItems": _in_order,
    "contains": _contains,
    "propertyNames": _property_names,
    "patternProperties": _pattern_properties,
}


def check(node: Mapping[str, Json], value: Json) -> Problems:
    """Return every way a value breaks a normal form; empty when it fits."""
    return compile_check(node)(value)


def compile_check(node: Mapping[str, Json]) -> Check:
    """Return the check of one node, to be called with many values."""
    if "anyOf" in node:
        return _union(node)
    if "enum" in node:
        return _enum(node["enum"])
    type_ = node.get("type")
    if type_ is None:
        return lambda _: FINE
    tests = constraint_tests(node, compile_check)
    if type_ == "object":
        tests.insert(0, _object(node))
    elif type_ == "array" and "items" in node and "prefixItems" not in node:
        tests.insert(0, _array(compile_check(node["items"])))
    return _typed(type_, tests)


def _typed(type_: str, tests: list[Check]) -> Check:
    """Return the check of a JSON type, then of what else is asked."""
    fits, what = _TYPES[type_]
    if not tests:
        return lambda value: FINE if fits(value) else one(f"expected {what}, got {shown(value)}")

    def check_typed(value: Json) -> Problems:
        if not fits(value):
            return one(f"expected {what}, got {shown(value)}")
        found = FINE
        for test in tests:
            found += test(value)
        return found

    return check_typed


def _is_integer(value: Json) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def _is_number(value: Json) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


_TYPES: Mapping[str, tuple[Callable[[Json], bool], str]] = {
    "string": (lambda value: type(value) is str, "a text"),
    "integer": (_is_integer, "a whole number"),
    "number": (_is_number, "a number"),
    "boolean": (lambda value: type(value) is bool, "true or false"),
    "array": (lambda value: type(value) is list, "a list"),
    "object": (lambda value: type(value) is dict, "an object"),
    "null": (lambda value: value is None, "null"),
}


def _enum(values: list[Json]) -> Check:
    """Return the check of a choice; 1, true and "1" are three values, 1 and 1.0 are one."""
    plain = {(type(value) is bool, value) for value in values if not isinstance(value, (list, dict))}
    nested = [value for value in values if isinstance(value, (list, dict))]
    listed = ", ".join(shown(value) for value in values[:20]) + (", …" if len(values) > 20 else "")

    def check_enum(value: Json) -> Problems:
        hashable = not isinstance(value, (list, dict))
        if (type(value) is bool, value) in plain if hashable else shown(value) in map(shown, nested):
            return FINE
        return one(f"expected one of {listed}, got {shown(value)}")

    return check_enum


def _union(node: Mapping[str, Json]) -> Check:
    """Return the check of a union; with one real branch the problems are that branch's own."""
    branches = [compile_check(branch) for branch in node["anyOf"] if branch != NULL]
    nullable = NULL in node["anyOf"]
    only = branches[0] if len(branches) == 1 else None

    def check_union(value: Json) -> Problems:
        if value is None and nullable:
            return FINE
        if only is not None:
            return only(value)
        verdicts = [branch(value) for branch in branches]
        if not all(verdicts):
            return FINE
        # The branch that got furthest says most: it has the longest path.
        closest = max(verdicts, key=lambda problems: len(problems[0].path))
        if closest[0].path:
            return closest
        reasons = dict.fromkeys(problems[0].message.split(", got ")[0] for problems in verdicts)
        return one(f"{' or '.join(reasons).replace('or expected ', 'or ')}, got {shown(value)}")

    return check_union


def _array(item: Check) -> Check:
    def check_array(value: Json) -> Problems:
        found = FINE
        for position, element in enumerate(value):
            if problems := item(element):
                found += below(f"[{position}]", problems)
        return found

    return check_array


def _strangers(known: Collection[str], extra: Json) -> Check:
    """Return the check of properties that the schema does not name."""
    if extra is True:
        return lambda _: FINE
    if extra is False:
        return lambda value: tuple(
            Problem(name, f"is not asked for, got {shown(value[name])}") for name in value if name not in known
        )
    test = compile_check(extra)
    return lambda value: tuple(problem for name in value for problem in below(name, test(value[name])))


def _object(node: Mapping[str, Json]) -> Check:
    """Return the check of an object's properties; a missing one is null where null is allowed."""
    checks = {name: compile_check(child) for name, child in node.get("properties", {}).items()}
    strange = _strangers(checks.keys(), node.get("additionalProperties", True))

    def check_object(value: Json) -> Problems:
        found = FINE
        for name, test in checks.items():
            if name in value:
                if problems := test(value[name]):
                    found += below(name, problems)
            elif test(None):
                found += (Problem(name, "is missing"),)
        return found if value.keys() <= checks.keys() else found + strange(value)

    return check_object
