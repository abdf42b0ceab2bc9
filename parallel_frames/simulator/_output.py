"""A finished run's output as bytes: its content and a basis that says it is simulated.

Serialised once, when the run finishes; every stream, listing and answer reuses the bytes.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from ._spec import AUTO_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._spec import Spec

CONFIDENCES = ("low", "medium", "high")


@lru_cache(maxsize=4096)
def _field_basis(field: str, confidence: int) -> orjson.Fragment:
    slug = "".join(c if c.isalnum() and c.isascii() else "-" for c in field)
    return orjson.Fragment(
        orjson.dumps(
            {
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
        )
    )


def _basis(content: Mapping[str, Any], *, draw: int, elements: bool) -> list[orjson.Fragment]:
    basis = []
    for position, (field, value) in enumerate(content.items()):
        basis.append(_field_basis(str(field), (draw + position) % 3))
        if elements and isinstance(value, list):
            names = (f"{field}.{n}" for n in range(len(value)))
            basis.extend(_field_basis(name, (draw + n) % 3) for n, name in enumerate(names))
    return basis


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
    content: Mapping[str, Any] | str, *, spec: Spec, draw: int, elements: bool, string_content: bool
) -> bytes:
    """Return an OUTPUT object as JSON bytes.

    `draw` decides the confidences; `elements` adds a basis for each list element; `string_content` sends a JSON
    content as text, as older deployments do.
    """
    if spec.kind == "text" or isinstance(content, str):
        text = content if isinstance(content, str) else orjson.dumps(content).decode()
        return orjson.dumps({"type": "text", "content": text, "basis": [_field_basis("output", draw % 3)]})
    raw = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    output: dict[str, Any] = {
        "type": "json",
        "content": raw.decode() if string_content else orjson.Fragment(raw),
        "basis": _basis(content, draw=draw, elements=elements),
    }
    if spec.kind == "auto":
        made_up = content.keys() == AUTO_SCHEMA["properties"].keys()  # type: ignore[attr-defined]
        output["output_schema"] = AUTO_SCHEMA if made_up else guess_schema(content)
    return orjson.dumps(output)
