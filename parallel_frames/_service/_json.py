"""JSON as services write it, leniently: what is torn, what is no JSON, and an excerpt of either."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from parallel_frames._model import Json


class UnreadableError(ValueError):
    """The text is not what this dialect answers."""


class TornError(UnreadableError):
    """The text is JSON that breaks off, or nothing at all: another try may bring the whole of it."""


def read_json(body: bytes) -> Json:
    """Parse a body, or say what it is instead."""
    try:
        return load(body)
    except ValueError as error:
        begins = body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
        kind = TornError if begins in (b"{", b"[", b"") else UnreadableError
        raise kind(f"expected JSON, got {excerpt(body)}") from error


def load(text: bytes | str) -> Json:
    """Parse JSON, forgiving what is common in the wild: half an emoji, NaN, bytes that are not UTF-8.

    Raises ValueError for everything else.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        text = text if isinstance(text, str) else text.decode("utf-8-sig", "replace")
        try:
            value = json.loads(text, strict=False, parse_constant=_nothing, parse_float=_finite)
            again = json.dumps(value, ensure_ascii=False)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        return orjson.loads(again.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def _nothing(_name: str) -> None:
    """Return what NaN and Infinity say."""


def _finite(digits: str) -> float | None:
    value = float(digits)
    return value if math.isfinite(value) else None


def dump(value: Json) -> str:
    """Return JSON text; raises ValueError for what no encoder can follow to its end."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def excerpt(body: bytes, limit: int = 200) -> str:
    """Return the beginning of a body, on one line, for a message."""
    text = " ".join(body[: 4 * limit].decode("utf-8", "replace").split())
    return repr(text if len(text) <= limit else text[:limit] + "…")
