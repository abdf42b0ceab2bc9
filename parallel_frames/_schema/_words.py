"""Constraints in words: what the wire schema may not say, said at the end of a description.

It owns the sentences. They are generated, so they are in no key and may be reworded freely.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._model import Json

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
