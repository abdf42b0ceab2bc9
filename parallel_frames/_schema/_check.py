"""Does a value fit a node? A normal form compiled once into closures, constraints included.

It owns the verdict and its words. It converts nothing, and it never raises over a value. A value that fits costs
no allocation: the answer is the empty tuple.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ._constraints import constraint_tests
from ._problems import FINE, Check, Problem, Problems, below, one, shown
from ._union import NULL

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from parallel_frames._model import Json


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
