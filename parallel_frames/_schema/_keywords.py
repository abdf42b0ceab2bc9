"""The keywords of JSON Schema that a normal form may hold: which type each applies to, and what it may say.

It owns the vocabulary and the look of a well-formed constraint. It refuses to know how a constraint is checked
(`_check`), told in words (`_wire`) or counted (`_lint`).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, cast

from parallel_frames.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._model import Json

_NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_SIZES = {
    "minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties"
}  # fmt: skip

APPLIES: Mapping[str, tuple[str, ...]] = {
    "string": ("format", "pattern", "minLength", "maxLength"),
    "integer": _NUMERIC,
    "number": _NUMERIC,
    "boolean": (),
    "array": ("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains"),
    "object": ("minProperties", "maxProperties", "propertyNames", "patternProperties"),
    "null": (),
}
"""The constraints of each JSON type, in the order they are told."""

REFUSED = frozenset({"not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "allOf"})
"""Keywords that neither the service nor a column can express; a lone `allOf` never gets this far."""


def json_type(value: Json, where: str) -> str:
    """Return the JSON type of a value; 3.0 is a number."""
    if value is None:
        return "null"
    if isinstance(value, float) and not math.isfinite(value):
        raise SchemaError(f"{where}: {value!r} is no number that JSON has.")
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    try:
        return names[type(value)]
    except KeyError:
        raise SchemaError(f"{where}: {value!r} is a {type(value).__name__}, which JSON does not have.") from None


def plain_number(value: Json) -> Json:
    """Return an integral float as an integer, so that 0.0 and 0 are one constraint."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def checked_constraint(keyword: str, value: Json, node: Mapping[str, Json], where: str) -> dict[str, Any]:
    """Return a constraint in its one spelling, nothing where it says nothing; refuse a malformed one."""
    if keyword == "pattern":
        _compile(value, where)
    elif keyword == "format":
        _demand(isinstance(value, str) and value.strip(), keyword, value, where)
    elif keyword == "uniqueItems":
        _demand(isinstance(value, bool), keyword, value, where)
        return {keyword: True} if value else {}
    elif keyword in _SIZES:
        value = plain_number(value)
        _demand(type(value) is int and value >= 0, keyword, value, where)
        return {} if value == 0 and keyword.startswith("min") and keyword != "minContains" else {keyword: value}
    elif keyword in ("exclusiveMinimum", "exclusiveMaximum") and isinstance(value, bool):
        return _draft4_bound(keyword, node, where) if value else {}
    elif _is_draft4_exclusive(keyword, node):
        return {}
    else:
        is_number = type(value) in (int, float) and math.isfinite(value)
        _demand(is_number and (keyword != "multipleOf" or value > 0), keyword, value, where)
        value = plain_number(value)
    return {keyword: value}


def checked_patterns(value: Json, where: str) -> Mapping[str, Json]:
    """Return what ``patternProperties`` holds, once every pattern compiles."""
    _demand(isinstance(value, dict), "patternProperties", value, where)
    for pattern in value:
        _compile(pattern, where)
    return cast("Mapping[str, Json]", value)


def _draft4_bound(keyword: str, node: Mapping[str, Json], where: str) -> dict[str, Any]:
    """Return `minimum` with `exclusiveMinimum: true`, as draft 4 wrote it, in today's spelling."""
    inclusive = "minimum" if keyword == "exclusiveMinimum" else "maximum"
    return checked_constraint(keyword, node[inclusive], {}, where) if inclusive in node else {}


def _is_draft4_exclusive(keyword: str, node: Mapping[str, Json]) -> bool:
    exclusive = {"minimum": "exclusiveMinimum", "maximum": "exclusiveMaximum"}.get(keyword)
    return exclusive is not None and node.get(exclusive) is True


def _demand(fine: object, keyword: str, value: Json, where: str) -> None:
    if not fine:
        raise SchemaError(f"{where}: {keyword} cannot be {value!r}.")


def _compile(value: Json, where: str) -> None:
    try:
        re.compile(value)
    except (re.error, TypeError) as error:
        raise SchemaError(
            f"{where}: the pattern {value!r} is no regular expression that Python reads: {error}."
        ) from None
