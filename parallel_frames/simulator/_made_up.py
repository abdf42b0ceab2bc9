"""Task specs, and answers made up from them: the right JSON type at every node, the same for the same input.

A schema is compiled once into a tree of functions, so that ten thousand answers cost little. Strings say that they
are simulated. Formats, ranges and sizes are read from descriptions, where clients put them because the service takes
no such keywords; regular expressions in words are not understood. Refuses nothing: what is wrong with a spec is found
in `_validation`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

from ._records import warning

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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

# How many of a thousand fields a processor makes up otherwise than the best ones do.
ERRORS: Mapping[str, int] = {
    "lite": 300, "base": 150, "core": 80, "core2x": 70, "pro": 40,
    "ultra": 20, "ultra2x": 15, "ultra4x": 10, "ultra8x": 5,
}  # fmt: skip

Maker: TypeAlias = "Callable[[Dice, str], Any]"  # (dice, label of the input) → value
_MASK = (1 << 64) - 1


class Dice:
    """Random numbers that depend only on the seed and some bytes, on every Python version."""

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
        return _number_maker(words, whole=kind == "integer")
    if kind == "boolean":
        return lambda dice, _label: bool(dice.draw(2))
    return _text_maker(name, words) if kind != "null" else lambda _dice, _label: None


def _union_maker(branches: list[Any], name: str, words: str) -> Maker:
    """Make the first branch that isn't null, and null one time in ten where that is allowed."""
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
    return lambda dice, label: {key: make(dice, label) for key, make in makers.items()}


def _array_maker(schema: Mapping[str, Any], name: str, words: str) -> Maker:
    make = compile_schema(schema.get("items", {"type": "string"}), name=name.removesuffix("s"))
    least, most = find_sizes(words)
    least = max(least, min(1, 1 if most is None else most))
    sides = (least + 2 if most is None else max(least, min(most, least + 2))) - least + 1
    return lambda dice, label: [make(dice, label) for _ in range(least + dice.draw(sides))]


def _number_maker(words: str, *, whole: bool) -> Maker:
    low, high = find_range(words, step=1 if whole else 0.01)
    multiple = _first(_MULTIPLE, words)
    unit = max(1, int(multiple or 1)) if whole else multiple or 0.01
    first = math.ceil(low / unit)
    sides = max(1, math.floor(high / unit) - first + 1)
    if whole:
        return lambda dice, _label: (first + dice.draw(sides)) * unit
    return lambda dice, _label: round((first + dice.draw(sides)) * unit, 6)


def _text_maker(name: str, words: str) -> Maker:
    formatted = next((make for pattern, make in _FORMATS if pattern.search(words)), None)
    if formatted is not None:
        return lambda dice, _label: formatted(dice)
    readable = name.replace("_", " ")
    least, most = find_sizes(words)
    return lambda dice, label: f"Simulated {readable} {dice.draw(1000)} for {label}".ljust(least, ".")[:most]


# -- what descriptions ask for ----------------------------------------------------------------------------------------


_NUMBER = r"(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
_SIZES = r"\s+(?:character|element)"
_LEAST = re.compile(rf"(?:minimum|at least|no less than|>=|≥)\s*(?:of|is|:|=)?\s*{_NUMBER}", re.IGNORECASE)
_MOST = re.compile(rf"(?:maximum|at most|no more than|<=|≤)\s*(?:of|is|:|=)?\s*{_NUMBER}", re.IGNORECASE)
_OVER = re.compile(rf"(?:greater than|more than|above)\s+{_NUMBER}", re.IGNORECASE)
_UNDER = re.compile(rf"(?:less than|below|under)\s+{_NUMBER}", re.IGNORECASE)
_BETWEEN = re.compile(rf"(?:between|from)\s+{_NUMBER}\s+(?:and|to)\s+{_NUMBER}", re.IGNORECASE)
_MULTIPLE = re.compile(rf"multiple of {_NUMBER}", re.IGNORECASE)
_LEAST_SIZE = re.compile(rf"at least (\d+){_SIZES}", re.IGNORECASE)
_MOST_SIZE = re.compile(rf"at most (\d+){_SIZES}", re.IGNORECASE)


def _day(dice: Dice) -> str:
    return f"{1990 + dice.draw(35)}-{1 + dice.draw(12):02}-{1 + dice.draw(28):02}"


def _time(dice: Dice) -> str:
    return f"{dice.draw(24):02}:{dice.draw(60):02}:{dice.draw(60):02}"


def _uuid(dice: Dice) -> str:
    digits = "".join(f"{dice.draw(1 << 31):08x}" for _ in range(4))
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


_FORMATS: tuple[tuple[re.Pattern[str], Callable[[Dice], str]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), make)
    for pattern, make in (
        (r"\bduration \(", lambda dice: f"P{1 + dice.draw(300)}D"),
        (r"date-time|date and time|timestamp|RFC ?3339|YYYY-MM-DDT", lambda dice: f"{_day(dice)}T{_time(dice)}Z"),
        (r"YYYY-MM-DD|\bISO ?8601\b|\bformat: date\b|\bISO date\b", _day),
        (r"HH:MM", _time),
        (r"\bUUID\b", _uuid),
        (r"\be-?mail address\b|\bformat: email\b", lambda dice: f"simulated-{dice.draw(100_000)}@example.com"),
        (r"\bUR[LI]\b|https?://", lambda dice: f"https://example.com/simulated/{dice.draw(100_000)}"),
    )
)


def _first(pattern: re.Pattern[str], words: str, *, shift: float = 0.0) -> float | None:
    found = pattern.search(words)
    return float(found[1]) + shift if found else None


def find_range(words: str, *, step: float) -> tuple[float, float]:
    """Return the range a description asks for, else 0 to 1000; an excluded end is a `step` away."""
    between = _BETWEEN.search(words)
    if between:
        low, high = sorted(map(float, between.groups()))
        return low, high
    low_ends = _first(_LEAST, words), _first(_OVER, words, shift=step)
    high_ends = _first(_MOST, words), _first(_UNDER, words, shift=-step)
    lows, highs = ([end for end in ends if end is not None] for ends in (low_ends, high_ends))
    if lows:
        low = max(lows)
        return low, max(low, min(highs)) if highs else max(1000.0, low + 1000)
    if highs:
        return min(0.0, min(highs) - 100), min(highs)
    return 0.0, 1000.0


def find_sizes(words: str) -> tuple[int, int | None]:
    """Return how many characters or elements a description asks for, at least and at most."""
    least, most = _LEAST_SIZE.search(words), _MOST_SIZE.search(words)
    return int(least[1]) if least else 0, int(most[1]) if most else None


# -- specs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spec:
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
        return Spec(body, kind, None, _text_maker("answer", ""), (), digest, size)
    shape = schema if schema is not None else AUTO_SCHEMA
    return Spec(body, kind, schema, compile_schema(shape), tuple(_warnings(schema)), digest, size)


def read_output_schema(body: Any) -> tuple[Literal["json", "text", "auto"], dict[str, Any] | None]:
    """Return the kind of output a spec asks for, and its JSON Schema if it is one."""
    out = body.get("output_schema") if isinstance(body, dict) else None
    if isinstance(out, str):
        return "text", None
    if not isinstance(out, dict):
        return "auto", None
    kind, schema = out.get("type"), out.get("json_schema")
    if kind in ("text", "auto"):
        return kind, None
    return "json", schema if isinstance(schema, dict) else out


def _warnings(schema: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Return the warnings of the service: names the basis carries, and schemas that aren't strict."""
    if schema is None:
        return []
    names = set(schema.get("properties", {}))
    found = [f'field "{name}" is redundant: the basis already carries it' for name in sorted(names & BASIS_NAMES)]
    missing = sorted(names - set(schema.get("required", [])))
    if missing:
        found.append(f"properties not listed in required: {', '.join(missing)}")
    if schema.get("additionalProperties") is not False:
        found.append("additionalProperties is not false")
    return [warning(message, "spec_validation_warning") for message in found]


def make_answer(spec: Spec, canonical: bytes, label: str, *, processor: str, seed: int) -> tuple[Any, dict[str, str]]:
    """Return a processor's answer to an input, and the confidence of the fields that "base" answers otherwise.

    Dice decide how difficult each field of an input is. Processors that are good enough for it answer the same. So does
    "base" where it is not, since its answers were there first: better ones correct it, and cheaper ones get more wrong.
    """

    def make(mark: bytes) -> Any:
        return spec.make(Dice(canonical + spec.digest + mark, seed=seed), label)

    answer, usual = make(b""), ERRORS["base"]
    errors = ERRORS.get(processor.removesuffix("-fast"), usual)
    if errors == usual or not isinstance(answer, dict):
        return answer, {}
    low, high = sorted((errors, usual))
    dice = Dice(canonical + spec.digest + b"difficulty", seed=seed)
    changed = [name for name in answer if low <= dice.draw(1000) < high]
    mark, confidence = (b"wrong", "low") if errors > usual else (b"right", "high")
    other = make(mark) if changed else {}
    return answer | {name: other[name] for name in changed}, dict.fromkeys(changed, confidence)
