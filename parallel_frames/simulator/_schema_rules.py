"""The limits the service sets on output schemas, as a pure check.

Walks a schema by its structure, so that a property may well be *named* like a forbidden keyword.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

FORBIDDEN = frozenset(
    """contains format maxContains maxItems maxLength maxProperties maximum minContains minItems minLength minimum
    minProperties multipleOf pattern patternProperties propertyNames uniqueItems unevaluatedItems
    unevaluatedProperties""".split()  # noqa: SIM905 - a list of words reads better than nineteen quotes
)
MAX_DEPTH = 5
MAX_PROPERTIES = 100
MAX_ENUM_VALUES = 500
LONG_ENUM = 250
LONG_ENUM_CHARACTERS = 7_500


@dataclass(slots=True)
class _Tally:
    """What one walk adds up."""

    problems: list[str] = field(default_factory=list)
    properties: int = 0
    enum_values: int = 0


def check_output_schema(schema: Any) -> list[str]:
    """Return what is wrong with a JSON output schema, in words; empty when the service would take it."""
    if not isinstance(schema, dict):
        return ["the output schema must be an object"]
    if any(union in schema for union in ("anyOf", "oneOf", "allOf")):
        return ["the root of an output schema may not be a union"]
    if schema.get("type") != "object" or not isinstance(schema.get("properties"), dict):
        return ['the root of an output schema must have "type": "object" and "properties"']
    tally = _Tally()
    _walk(schema, tally, depth=1, where="root", in_union=False)
    if tally.properties > MAX_PROPERTIES:
        tally.problems.append(f"{tally.properties} properties, at most {MAX_PROPERTIES} are allowed")
    if tally.enum_values > MAX_ENUM_VALUES:
        tally.problems.append(f"{tally.enum_values} enum values, at most {MAX_ENUM_VALUES} are allowed")
    return tally.problems


def _walk(node: Any, tally: _Tally, *, depth: int, where: str, in_union: bool) -> None:
    if not isinstance(node, dict):
        if not isinstance(node, bool):
            tally.problems.append(f"{where}: a schema must be an object")
        return
    for keyword in sorted(FORBIDDEN & node.keys()):
        tally.problems.append(f'{where}: the keyword "{keyword}" is not supported')
    if node.get("type") == "null" and not in_union:
        tally.problems.append(f"{where}: null is allowed inside a union only")
    _count_enum(node, tally, where)
    if isinstance(node.get("properties"), dict):
        tally.properties += len(node["properties"])
    if node.keys() & {"properties", "items"}:
        if depth > MAX_DEPTH:
            tally.problems.append(f"{where}: objects and arrays nested more than {MAX_DEPTH} deep")
            return
        depth += 1
    for name, child, union in _children(node):
        _walk(child, tally, depth=depth, where=f"{where}.{name}", in_union=union)


def _count_enum(node: dict[str, Any], tally: _Tally, where: str) -> None:
    values = node.get("enum")
    if not isinstance(values, list):
        return
    tally.enum_values += len(values)
    if len(values) > LONG_ENUM and sum(len(str(value)) for value in values) > LONG_ENUM_CHARACTERS:
        tally.problems.append(
            f"{where}: an enum of more than {LONG_ENUM} values may have {LONG_ENUM_CHARACTERS} characters"
        )


def _children(node: dict[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """Yield (name, child schema, whether it stands in a union)."""
    for container in ("properties", "$defs", "definitions"):
        if isinstance(node.get(container), dict):
            for name, child in node[container].items():
                yield str(name), child, False
    for union in ("anyOf", "oneOf", "allOf"):
        if isinstance(node.get(union), list):
            for position, child in enumerate(node[union]):
                yield f"{union}[{position}]", child, True
    for single in ("items", "additionalProperties"):
        if isinstance(node.get(single), dict):
            yield single, node[single], False
