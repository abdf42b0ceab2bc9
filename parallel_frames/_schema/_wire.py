"""Normal form → what is sent, and → what identifies it.

The wire schema keeps the user's order and says in words what the service's dialect of JSON Schema cannot. The
identity keeps every constraint, holds no generated text, and does not depend on any order.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ._union import NULL
from ._words import add_words, sentences

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._model import Json

    from ._leaf import Node


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
