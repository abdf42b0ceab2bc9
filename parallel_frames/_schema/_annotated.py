"""What stands in `Annotated` beside a type → what a schema says of it.

It owns texts, pydantic's FieldInfo, the bounds of annotated_types and `Doc`, all read by the names of their
attributes: no library of annotations is imported here. What it does not know says nothing.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._leaf import Node

_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
}


def annotated_node(node: Node, extras: tuple[Any, ...]) -> Node:
    """Return a node with what is said of it in `Annotated`."""
    for extra in extras:
        if isinstance(extra, str):
            node = node | {"description": extra}
            continue
        said = getattr(extra, "description", None) or getattr(extra, "documentation", None)
        examples = getattr(extra, "examples", None)
        node = node | ({"description": said} if isinstance(said, str) else {})
        node = node | ({"examples": list(examples)} if isinstance(examples, list) else {})
        for bound in (extra, *_parts(extra)):
            node = node | _bounds(bound, node)
    return node


def _parts(extra: object) -> tuple[Any, ...]:
    """Return what a FieldInfo was made of."""
    metadata = getattr(extra, "metadata", None)
    return tuple(metadata) if isinstance(metadata, (list, tuple)) else ()


def _bounds(extra: object, node: Node) -> Node:
    """Return the constraints an object states by the attribute names of annotated_types."""
    told: Node = {}
    for name, keyword in _BOUNDS.items():
        value = _plain(getattr(extra, name, None))
        if value is not None:
            told |= dict.fromkeys(_keywords(keyword, node), value)
    return told


def _plain(value: object) -> int | float | str | None:
    """Return a bound as JSON has it; None for one that JSON Schema cannot state, such as a date."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, re.Pattern):
        return str(value.pattern)
    return value if isinstance(value, (int, float, str)) else None


def _keywords(keyword: str, node: Node) -> list[str]:
    """Return a bound's keywords: a length is one of characters, elements or properties, in a union of any of them."""
    if not keyword.endswith("Length"):
        return [keyword]
    size = keyword.removesuffix("Length")
    if "anyOf" in node:
        return [f"{size}Length", f"{size}Items", f"{size}Properties"]
    counted = {"array": "Items", "object": "Properties"}.get(str(node.get("type")), "Length")
    return [f"{size}{counted}"]
