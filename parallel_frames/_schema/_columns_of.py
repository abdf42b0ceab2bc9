"""Normal form → columns: what kind of cells each property has.

It owns the kinds, decided by the schema alone; what dtype a kind has is decided where columns are built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from parallel_frames._model import Column

from ._union import split_null

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._model import Json


def columns_of(node: Mapping[str, Json]) -> tuple[Column, ...]:
    """Return one column per property of the root, in the user's order."""
    return tuple(column_of(name, child) for name, child in node["properties"].items())


def column_of(name: str, node: Mapping[str, Json]) -> Column:
    """Return the column of one property."""
    inner, nullable = split_null(node)
    return Column(name, cast("Any", kind_of(inner)), node, nullable)


def kind_of(node: Mapping[str, Json]) -> str:
    """Return what the values of a normal form without null are."""
    if "anyOf" in node:
        return _common_kind([kind_of(branch) for branch in node["anyOf"]], node["anyOf"])
    if "enum" in node:
        return "enum"
    type_ = node.get("type")
    if type_ == "string":
        return {"date": "date", "date-time": "datetime"}.get(node.get("format", ""), "string")
    return "any" if type_ is None or type_ == "null" else str(type_)


def _common_kind(kinds: list[str], branches: list[Mapping[str, Json]]) -> str:
    """Return the kind that holds every branch of a union."""
    if len(set(kinds)) == 1 and kinds[0] not in ("enum", "array", "object"):
        return kinds[0]
    types = {str(branch.get("type")) for branch in branches}
    if len(types) == 1 and types <= {"string", "integer", "number", "boolean"}:
        return types.pop()
    return "number" if types == {"integer", "number"} else "any"
