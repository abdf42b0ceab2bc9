"""A finished run's output as bytes: its content and a basis that says it is simulated.

Serialised once, when the run finishes; every stream, listing and answer reuses the bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from ._answers import CONFIDENCES, Answer
from ._spec import AUTO_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._spec import Spec


def _made_up_basis(field: str, confidence: int) -> dict[str, Any]:
    slug = "".join(c if c.isalnum() and c.isascii() else "-" for c in field)
    return {
        "field": field,
        "reasoning": f"Simulated: nothing was researched for {field}.",
        "citations": [
            {
                "url": f"https://example.com/simulated/{slug}",
                "title": "Simulated source",
                "excerpts": ["Simulated excerpt: this page does not exist."],
            }
        ],
        "confidence": CONFIDENCES[confidence],
    }


@lru_cache(maxsize=4096)
def _field_basis(field: str, confidence: int) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps(_made_up_basis(field, confidence)))


def _told_basis(field: str, confidence: int, told: str | Mapping[str, Any]) -> dict[str, Any]:
    """Return a field's evidence with what the answer itself says of it."""
    own = {"confidence": told} if isinstance(told, str) else dict(told)
    return _made_up_basis(field, confidence) | own


def _basis(
    content: Mapping[str, Any], *, draw: int, elements: bool, told: Mapping[str, Any]
) -> list[orjson.Fragment | dict[str, Any]]:
    names: list[tuple[str, int]] = []
    for position, (field, value) in enumerate(content.items()):
        names.append((str(field), (draw + position) % 3))
        if elements and isinstance(value, list):
            names.extend((f"{field}.{n}", (draw + n) % 3) for n in range(len(value)))
    return [_told_basis(*name, told[name[0]]) if name[0] in told else _field_basis(*name) for name in names]


def guess_schema(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema an automatic output would be described by."""
    kinds = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    properties = {key: {"type": kinds.get(type(value), "string")} for key, value in content.items()}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def build_output(
    answer: Mapping[str, Any] | str | Answer, *, spec: Spec, draw: int, elements: bool, string_content: bool
) -> bytes:
    """Return an OUTPUT object as JSON bytes.

    `draw` decides the confidences; `elements` adds a basis for each list element; `string_content` sends a JSON
    content as text, as older deployments do.
    """
    content, told = (answer.content, answer.basis) if isinstance(answer, Answer) else (answer, {})
    if spec.kind == "text" or isinstance(content, str):
        text = content if isinstance(content, str) else orjson.dumps(content).decode()
        said = told.get("output", {})
        return orjson.dumps({"type": "text", "content": text, "basis": [_told_basis("output", draw % 3, said)]})
    raw = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    output: dict[str, Any] = {
        "type": "json",
        "content": raw.decode() if string_content else orjson.Fragment(raw),
        "basis": _basis(content, draw=draw, elements=elements, told=told),
    }
    if spec.kind == "auto":
        made_up = content.keys() == AUTO_SCHEMA["properties"].keys()  # type: ignore[attr-defined]
        output["output_schema"] = AUTO_SCHEMA if made_up else guess_schema(content)
    return orjson.dumps(output)
