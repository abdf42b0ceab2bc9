"""Normal form → what is sent, and → what identifies it.

The wire schema keeps the user's order and puts into descriptions what the service's dialect of JSON Schema cannot
express. The identity keeps every constraint, holds no generated text, and does not depend on any order.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from parallel_frames._schema._normal import NULL, Node

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._model import Json

# Generated texts are in no key, so they may be reworded freely.
_FORMAT_SENTENCES = {
    "date": "Format: date (YYYY-MM-DD).",
    "date-time": "Format: date and time (ISO 8601 with zone, such as 2024-01-31T09:30:00Z).",
    "time": "Format: time (HH:MM:SS).",
    "duration": "Format: duration (ISO 8601, such as P1DT2H).",
    "email": "Format: email address.",
    "uri": "Format: absolute URL (such as https://example.com/).",
    "uuid": "Format: UUID.",
}
_SENTENCES = {
    "format": "Format: {}.",
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
    "uniqueItems": "No element may occur twice.",
    "minProperties": "Number of properties: at least {}.",
    "maxProperties": "Number of properties: at most {}.",
    "prefixItems": "Its elements must fit these JSON Schemas, in this order: {}",
    "contains": "Must contain an element that fits this JSON Schema: {}",
    "minContains": "At least {} of its elements must fit it.",
    "maxContains": "At most {} of its elements may fit it.",
    "propertyNames": "Each property's name must fit this JSON Schema: {}",
    "patternProperties": "Properties whose names match must fit these JSON Schemas: {}",
    "examples": "Examples: {}.",
}


def wire_node(node: Mapping[str, Json]) -> Node:
    """Return a normal form as the service takes it: constraints are sentences in descriptions."""
    wire: Node = {key: node[key] for key in ("type", "enum") if key in node}
    if "properties" in node:
        wire["properties"] = {name: wire_node(child) for name, child in node["properties"].items()}
        wire["required"] = list(node["required"])
    if "items" in node:
        wire["items"] = wire_node(node["items"])
    if "additionalProperties" in node:
        extra = node["additionalProperties"]
        wire["additionalProperties"] = wire_node(extra) if isinstance(extra, dict) else extra
    sentences = _sentences(node)
    if "anyOf" in node:
        branches = [wire_node(branch) for branch in node["anyOf"]]
        if sum(branch != NULL for branch in branches) == 1 and "description" not in node["anyOf"][0]:
            # One real branch: its sentences belong to the property, where the model reads them.
            sentences = _sentences(node["anyOf"][0]) + sentences
            branches[0].pop("description", None)
        wire["anyOf"] = branches
    description = _extended(node.get("description"), sentences)
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
            value = sorted((identity_of(branch) for branch in value), key=_sort_key)
        elif key in ("enum", "required"):  # but not prefixItems: the order of a tuple is its meaning
            value = sorted(value, key=_sort_key)
        sorted_node[key] = value
    return sorted_node


def _sort_key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _sentences(node: Mapping[str, Json]) -> list[str]:
    return [_sentence(keyword, value) for keyword, value in node.items() if keyword in _SENTENCES]


def _sentence(keyword: str, value: Json) -> str:
    if keyword == "format" and value in _FORMAT_SENTENCES:
        return _FORMAT_SENTENCES[value]
    text = ", ".join(map(_text, value)) if keyword == "examples" else _text(value)
    return _SENTENCES[keyword].format(text)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _extended(description: str | None, sentences: list[str]) -> str | None:
    if not sentences:
        return description
    text = (description or "").rstrip()
    if text and text[-1] not in ".!?:;…":
        text += "."
    return " ".join([text, *sentences] if text else sentences)
