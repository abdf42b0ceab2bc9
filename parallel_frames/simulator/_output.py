"""A finished run's output as bytes: its content, and the evidence for it.

Serialised once, when the run finishes; every stream, listing and answer reuses the bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from ._answers import Answer
from ._basis import build_basis
from ._messages import dump
from ._spec import AUTO_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._spec import Spec


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
    content, told = (answer.content, answer.basis) if isinstance(answer, Answer) else (answer, None)
    if spec.kind == "text" or isinstance(content, str):
        text = content if isinstance(content, str) else orjson.dumps(content).decode()
        basis = build_basis(text, told, draw=draw, elements=elements)
        return dump({"type": "text", "content": text, "basis": basis}, option=0)
    raw = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
    output: dict[str, Any] = {
        "type": "json",
        "content": raw.decode() if string_content else orjson.Fragment(raw),
        "basis": build_basis(content, told, draw=draw, elements=elements),
    }
    if spec.kind == "auto":
        made_up = content.keys() == AUTO_SCHEMA["properties"].keys()  # type: ignore[attr-defined]
        output["output_schema"] = AUTO_SCHEMA if made_up else guess_schema(content)
    return dump(output, option=0)
