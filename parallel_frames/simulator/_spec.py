"""A run's specification, read once: its kind, how to make an answer up, and the warnings it draws.

Understands both dialects' forms. Refuses nothing: what is wrong with a spec is found in `_validation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal

import orjson

from ._made_up import compile_schema, label_input

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._made_up import Dice

BASIS_NAMES = frozenset({"citations", "confidence", "evidence", "reasoning", "source", "sources", "source_urls"})
AUTO_SCHEMA = {
    "type": "object",
    "properties": {
        "summary": {"type": "string", "description": "What was found."},
        "relevance": {"type": "integer", "description": "A number between 0 and 100."},
    },
    "required": ["summary", "relevance"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class Spec:
    """One specification, compiled."""

    body: Any
    kind: Literal["json", "text", "auto"]
    schema: dict[str, Any] | None
    make: Callable[[Dice, str], Any]
    warnings: tuple[dict[str, Any], ...]
    digest: bytes
    size: int


def compile_spec(body: Any) -> Spec:
    """Compile what a client sent as a task spec; None is an automatic output."""
    kind, schema = read_output_schema(body)
    raw = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    digest = blake2b(raw, digest_size=16).digest()
    size = 0 if body is None else len(raw.decode())
    if kind == "text":
        return Spec(body, kind, None, _make_text, (), digest, size)
    shape = schema if schema is not None else AUTO_SCHEMA
    return Spec(body, kind, schema, compile_schema(shape), tuple(_warnings(schema)), digest, size)


def read_output_schema(body: Any) -> tuple[Literal["json", "text", "auto"], dict[str, Any] | None]:
    """Return the kind of output a spec asks for, and its JSON Schema if it is one."""
    out = body.get("output_schema") if isinstance(body, dict) else None
    if isinstance(out, str):
        return "text", None
    if not isinstance(out, dict):
        return "auto", None
    if out.get("type") == "text":
        return "text", None
    if out.get("type") == "auto":
        return "auto", None
    if isinstance(out.get("json_schema"), dict):
        return "json", out["json_schema"]
    return "json", out


def _make_text(dice: Dice, label: str) -> str:
    return f"Simulated answer {dice.draw(1000)} for {label_input(label)}"


def _warnings(schema: dict[str, Any] | None) -> list[dict[str, Any]]:
    """List what the service would warn of: names the basis carries, and schemas that aren't strict."""
    if schema is None:
        return []
    names = set(schema.get("properties", {}))
    found = [f'field "{name}" is redundant: the basis already carries it' for name in sorted(names & BASIS_NAMES)]
    missing = sorted(names - set(schema.get("required", [])))
    if missing:
        found.append(f"properties not listed in required: {', '.join(missing)}")
    if schema.get("additionalProperties") is not False:
        found.append("additionalProperties is not false")
    return [{"type": "spec_validation_warning", "message": message, "detail": None} for message in found]
