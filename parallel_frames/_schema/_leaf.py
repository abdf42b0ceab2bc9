"""The parts of a normal form that hold no other schema: types, enums, and what is said about a node."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from parallel_frames.errors import SchemaError

from ._keywords import APPLIES, json_type, plain_number
from ._union import NULL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._model import Json

Node: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str, ...]


def at(path: Path) -> str:
    """Return a path as messages show it."""
    return ".".join(path) or "the schema"


def types_of(raw: Mapping[str, Json], path: Path) -> list[str]:
    """Return the JSON types a node names, none where it names none."""
    said = raw.get("type")
    if said is None:
        return []
    types = said if isinstance(said, list) else [said]
    for type_ in types:
        if not isinstance(type_, str) or type_ not in APPLIES:
            raise SchemaError(f"{at(path)}: {type_!r} is no JSON type; use one of {', '.join(APPLIES)}.")
    if not types:
        raise SchemaError(f"{at(path)}: an empty list of types allows no answer.")
    return types


def said_of(raw: Mapping[str, Json]) -> Node:
    """Return the description and the examples, where there are any."""
    said: Node = {}
    description = raw.get("description")
    if isinstance(description, str) and description.strip():
        said["description"] = description.strip()
    examples = raw.get("examples")
    if isinstance(examples, list) and examples:
        # Python examples (a date, a Decimal) become what JSON would show.
        said["examples"] = json.loads(json.dumps(examples, default=str))
    return said


def implied_type(raw: Mapping[str, Json]) -> str | None:
    """Return the type that keywords speak of where the author left it out."""
    if raw.keys() & {"properties", "additionalProperties"}:
        return "object"
    if raw.keys() & {"items", "prefixItems"}:
        return "array"
    return next((t for t in ("string", "number", "array", "object") if raw.keys() & set(APPLIES[t])), None)


def enum_node(raw: Mapping[str, Json], path: Path) -> Node:
    """Return an enum with the type its values share; mixed values have none."""
    values = [raw["const"]] if "const" in raw else raw["enum"]
    if not isinstance(values, list) or not values:
        raise SchemaError(f"{at(path)}: an enum is a list of at least one value, not {values!r}.")
    if values == [None]:
        return dict(NULL)
    types = {json_type(value, at(path)) for value in values}
    allowed = set(types_of(raw, path)) or types
    fits = allowed | ({"integer"} if "number" in allowed else set())
    if not types <= fits:
        raise SchemaError(f"{at(path)}: the enum {values!r} holds values that are not {' or '.join(sorted(allowed))}.")
    numbers = types == {"integer", "number"} or (types == {"integer"} and allowed == {"number"})
    shared = "number" if numbers else next(iter(types)) if len(types) == 1 else None
    plain = [plain_number(value) for value in values]
    unique = list({(json_type(value, at(path)), str(value)): value for value in plain}.values())
    return ({"type": shared} if shared else {}) | {"enum": unique}
