"""Answers made up from an output schema alone: the right JSON type at every node, the same for the same input.

A schema is compiled once into a tree of functions, so that ten thousand answers cost little. Strings say that they
are simulated, and descriptions are obeyed as far as `_hints` understands them. Knows nothing of runs, HTTP or time.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from ._hints import find_format, find_multiple, find_range, find_sizes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Maker = Callable[["Dice", str], Any]

_MASK = (1 << 64) - 1


class Dice:
    """A stream of draws that depends on the seed and some bytes only."""

    __slots__ = ("_state",)

    def __init__(self, data: bytes, *, seed: int) -> None:
        digest = blake2b(data, digest_size=8, key=str(seed).encode()[:64])
        self._state = int.from_bytes(digest.digest(), "little")

    def draw(self, sides: int) -> int:
        """Return a number from 0 to `sides` - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) & _MASK
        return (self._state >> 33) % sides


def label_input(run_input: str | Mapping[str, Any]) -> str:
    """Return a short text that names an input: itself, or its first plain value."""
    if isinstance(run_input, str):
        return run_input[:80]
    for value in run_input.values():
        if isinstance(value, str | int | float):
            return str(value)[:80]
    return "this row"


def compile_schema(schema: Any, *, name: str = "answer") -> Maker:
    """Return a function (dice, label) → value for a JSON Schema node."""
    if not isinstance(schema, dict):
        return _text_maker(name, "")
    if "const" in schema:
        const = schema["const"]
        return lambda _dice, _label: const
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        values = schema["enum"]
        return lambda dice, _label: values[dice.draw(len(values))]
    branches = next((schema[union] for union in ("anyOf", "oneOf") if schema.get(union)), None)
    if branches is None and isinstance(schema.get("type"), list):
        branches = [{**schema, "type": kind} for kind in schema["type"]]
        schema = {}
    if isinstance(branches, list) and branches:
        return _union_maker(branches, name, str(schema.get("description", "")))
    return _plain_maker(schema, name)


def _plain_maker(schema: Mapping[str, Any], name: str) -> Maker:
    words = str(schema.get("description", ""))
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind in ("object", "array"):
        return _object_maker(schema, name) if kind == "object" else _array_maker(schema, name, words)
    if kind in ("integer", "number"):
        return _integer_maker(words) if kind == "integer" else _number_maker(words)
    if kind == "boolean":
        return lambda dice, _label: bool(dice.draw(2))
    return _text_maker(name, words) if kind != "null" else lambda _dice, _label: None


def _union_maker(branches: list[Any], name: str, words: str) -> Maker:
    """Make the first branch that isn't null; null now and then where that is allowed."""
    solid = [b for b in branches if not (isinstance(b, dict) and b.get("type") == "null")]
    if not solid:
        return lambda _dice, _label: None
    first = solid[0]
    if isinstance(first, dict) and words:
        first = {**first, "description": f"{first.get('description', '')} {words}"}
    make = compile_schema(first, name=name)
    if len(solid) == len(branches):
        return make
    return lambda dice, label: None if dice.draw(10) == 0 else make(dice, label)


def _object_maker(schema: Mapping[str, Any], name: str) -> Maker:
    makers = {key: compile_schema(node, name=key) for key, node in schema.get("properties", {}).items()}
    if not makers and isinstance(schema.get("additionalProperties"), dict):
        makers = {"key": compile_schema(schema["additionalProperties"], name=name)}

    def make(dice: Dice, label: str) -> dict[str, Any]:
        return {key: maker(dice, label) for key, maker in makers.items()}

    return make


def _array_maker(schema: Mapping[str, Any], name: str, words: str) -> Maker:
    make = compile_schema(schema.get("items", {"type": "string"}), name=name.removesuffix("s"))
    least, most = find_sizes(words)
    least = max(least, min(1, 1 if most is None else most))
    sides = (least + 2 if most is None else max(least, min(most, least + 2))) - least + 1
    return lambda dice, label: [make(dice, label) for _ in range(least + dice.draw(sides))]


def _integer_maker(words: str) -> Maker:
    low, high = find_range(words, step=1)
    unit = max(1, int(find_multiple(words) or 1))
    first = math.ceil(low / unit)
    sides = max(1, math.floor(high / unit) - first + 1)
    return lambda dice, _label: (first + dice.draw(sides)) * unit


def _number_maker(words: str) -> Maker:
    low, high = find_range(words, step=0.01)
    unit = find_multiple(words) or 0.01
    first = math.ceil(low / unit)
    sides = max(1, math.floor(high / unit) - first + 1)
    return lambda dice, _label: round((first + dice.draw(sides)) * unit, 6)


def _text_maker(name: str, words: str) -> Maker:
    formatted = find_format(words)
    if formatted is not None:
        return lambda dice, _label: formatted(dice)
    readable = name.replace("_", " ")
    least, most = find_sizes(words)
    if least or most is not None:
        return lambda dice, label: f"Simulated {readable} {dice.draw(1000)} for {label}".ljust(least, ".")[:most]
    return lambda dice, label: f"Simulated {readable} {dice.draw(1000)} for {label}"
