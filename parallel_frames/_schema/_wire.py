"""Normal form → what is sent, and → what identifies it.

The wire schema keeps the user's order and says in words what the service's dialect of JSON Schema cannot. The
identity keeps every constraint, holds no generated text, and does not depend on any order.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from parallel_frames._model import Column
from parallel_frames._schema._leaf import NULL, split_null

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._model import Json
    from parallel_frames._schema._leaf import Node


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


FORMATS = {
    "date": "Format: date (YYYY-MM-DD).",
    "date-time": "Format: date and time (ISO 8601 with zone, such as 2024-01-31T09:30:00Z).",
    "time": "Format: time (HH:MM:SS).",
    "duration": "Format: duration (ISO 8601, such as P1DT2H).",
    "email": "Format: email address.",
    "uri": "Format: absolute URL (such as https://example.com/).",
    "uuid": "Format: UUID.",
}
SENTENCES = {
    "minimum": "Must be at least {}.",
    "exclusiveMinimum": "Must be greater than {}.",
    "maximum": "Must be at most {}.",
    "exclusiveMaximum": "Must be less than {}.",
    "multipleOf": "Must be a multiple of {}.",
    "pattern": "Must match the regular expression {}",  # no full stop: it would look like a part of it
    "minLength": "Length in characters: at least {}.",
    "maxLength": "Length in characters: at most {}.",
    "minItems": "Number of elements: at least {}.",
    "maxItems": "Number of elements: at most {}.",
    "minProperties": "Number of properties: at least {}.",
    "maxProperties": "Number of properties: at most {}.",
    "prefixItems": "Its elements must fit these JSON Schemas, in this order: {}",
    "contains": "Must contain an element that fits this JSON Schema: {}",
    "minContains": "At least {} of its elements must fit it.",
    "maxContains": "At most {} of its elements may fit it.",
    "propertyNames": "Each property's name must fit this JSON Schema: {}",
    "patternProperties": "Properties whose names match must fit these JSON Schemas: {}",
}


def sentences(node: Mapping[str, Json]) -> list[str]:
    """Return one sentence for each constraint of a node."""
    return [_sentence(keyword, node[keyword]) for keyword in node if keyword in _TOLD]


def add_words(description: str | None, words: list[str]) -> str | None:
    """Return a description with sentences at its end."""
    if not words:
        return description
    text = (description or "").rstrip()
    if text and text[-1] not in ".!?:;…":
        text += "."
    return " ".join([text, *words] if text else words)


def _sentence(keyword: str, value: Json) -> str:
    if keyword == "format":
        return FORMATS.get(value, f"Format: {value}.")
    if keyword == "uniqueItems":
        return "No element may occur twice."
    if keyword == "examples":
        return f"Examples: {', '.join(_shown(example) for example in value)}."
    return SENTENCES[keyword].format(_shown(value))


def _shown(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_TOLD = {*SENTENCES, "format", "uniqueItems", "examples"}


def wire_node(node: Mapping[str, Json]) -> Node:
    """Return a normal form as the service takes it: constraints are words in descriptions."""
    wire: Node = {key: node[key] for key in ("type", "enum") if key in node}
    if "properties" in node:
        wire["properties"] = {name: wire_node(child) for name, child in node["properties"].items()}
        wire["required"] = list(node["required"])
    if "items" in node:
        wire["items"] = wire_node(node["items"])
    if "additionalProperties" in node:
        extra = node["additionalProperties"]
        wire["additionalProperties"] = wire_node(extra) if isinstance(extra, dict) else extra
    words = sentences(node)
    if "anyOf" in node:
        branches = [wire_node(branch) for branch in node["anyOf"]]
        if sum(branch != NULL for branch in branches) == 1 and "description" not in node["anyOf"][0]:
            # One real branch: its words belong to the property, where the model reads them.
            words = sentences(node["anyOf"][0]) + words
            branches[0].pop("description", None)
        wire["anyOf"] = branches
    description = add_words(node.get("description"), words)
    return wire | ({"description": description} if description else {})


def identity_of(node: Mapping[str, Json]) -> Node:
    """Return a normal form whose sets are sorted: properties, required names, enum values, branches."""
    sorted_node: Node = {}
    for key in sorted(node):
        value = node[key]
        if key in ("properties", "patternProperties"):
            value = {name: identity_of(value[name]) for name in sorted(value)}
        elif key in ("items", "contains", "propertyNames", "additionalProperties") and isinstance(value, dict):
            value = identity_of(value)
        elif key == "prefixItems":
            value = [identity_of(member) for member in value]
        elif key == "anyOf":
            value = sorted((identity_of(branch) for branch in value), key=_text)
        elif key in ("enum", "required"):
            value = sorted(value, key=_text)
        sorted_node[key] = value
    return sorted_node


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
