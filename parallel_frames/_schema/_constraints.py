"""Constraints as closures: one maker per keyword, each making a test of values whose JSON type is already right.

It owns what each keyword demands and the words for a value that falls short.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias

from parallel_frames._model import Json

from ._formats import FORMAT_CHECKS
from ._problems import FINE, Check, Problem, Problems, below, one, shown

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
