"""The parts of a normal form that hold no other schema: types, enums, and what is said about a node."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from parallel_frames.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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


Node: TypeAlias = dict[str, Any]
NULL: Mapping[str, Json] = {"type": "null"}


def join_union(branches: Sequence[Node]) -> Node:
    """Return the union of normal forms; what is said of its only real branch is said of the union."""
    flat = [leaf for branch in branches for leaf in _flatten(branch)]
    if any(not leaf.keys() - {"description", "examples"} for leaf in flat):
        return {}  # one branch allows anything, and so does the union
    real = _without_duplicates(_join_enums([leaf for leaf in flat if leaf != NULL]))
    has_null = len(real) == 0 or any(leaf == NULL for leaf in flat)
    if not real:
        return dict(NULL)
    if not has_null:
        return real[0] if len(real) == 1 else {"anyOf": real}
    said: Node = {}
    if len(real) == 1:
        said = {key: real[0][key] for key in ("description", "examples") if key in real[0]}
        inner = {key: value for key, value in real[0].items() if key not in said}
        # A branch that was a union with a description is flat again once the description moved out.
        real = list(inner["anyOf"]) if inner.keys() == {"anyOf"} else [inner]
    return {"anyOf": [*real, dict(NULL)]} | said


def split_null(node: Mapping[str, Json]) -> tuple[Mapping[str, Json], bool]:
    """Return a normal form without its null branch, and whether null is allowed."""
    if not node.keys() - {"description", "examples"}:
        return node, True
    if node == NULL:
        return node, True
    branches = node.get("anyOf")
    if branches is None or NULL not in branches:
        return node, False
    real = [branch for branch in branches if branch != NULL]
    said = {key: node[key] for key in ("description", "examples") if key in node}
    return ({**real[0], **said} if len(real) == 1 else {"anyOf": real, **said}), True


def _flatten(branch: Node) -> Iterator[Node]:
    """Yield the leaves of a branch; a described union stays one leaf, its null comes out."""
    if "anyOf" not in branch:
        yield dict(NULL) if branch.get("type") == "null" else branch
        return
    if branch.keys() == {"anyOf"}:
        yield from branch["anyOf"]
        return
    inner, has_null = split_null(branch)
    yield dict(inner)
    if has_null:
        yield dict(NULL)


def _join_enums(leaves: list[Node]) -> list[Node]:
    """Make one enum of those that differ in nothing but their values."""
    plain = [leaf for leaf in leaves if "enum" in leaf and not leaf.keys() - {"type", "enum"}]
    if len(plain) < 2:
        return leaves
    types = {leaf.get("type") for leaf in plain}
    values = [value for leaf in plain for value in leaf["enum"]]
    unique = list({(type(value), str(value)): value for value in values}.values())
    numeric = types <= {"integer", "number"}
    shared = next(iter(types)) if len(types) == 1 else "number" if numeric else None
    joined: Node = ({"type": shared} if shared else {}) | {"enum": unique}
    rest = [leaf for leaf in leaves if leaf not in plain]
    position = leaves.index(plain[0])
    return [*rest[:position], joined, *rest[position:]]


def _without_duplicates(leaves: list[Node]) -> list[Node]:
    kept: list[Node] = []
    for leaf in leaves:
        # 1 == True in Python: compare the text, in which they differ.
        if not any(repr(leaf) == repr(other) for other in kept):
            kept.append(leaf)
    return kept


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
