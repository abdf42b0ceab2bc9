"""Any JSON Schema → one normal form: what the user said, in one spelling.

It owns the spelling: `$ref` inlined, one-member `allOf` merged, `oneOf`, `nullable`, type lists, `const` and
properties that are not required all written as `anyOf` with null last, titles and defaults gone. Objects with
properties are closed and require all of them; objects without stay open. Constraints stay in. Normalising a
normal form changes nothing. It knows nothing of the service's limits, of Python types, or of columns.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from parallel_frames._schema._leaf import (
    APPLIES,
    NULL,
    REFUSED,
    Node,
    Path,
    at,
    checked_constraint,
    checked_patterns,
    enum_node,
    implied_type,
    join_union,
    said_of,
    types_of,
)
from parallel_frames.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from parallel_frames._model import Json


def slug(description: str) -> str:
    """Return the column name a description makes: ``"CEO name"`` → ``"ceo_name"``."""
    return re.sub(r"[\W_]+", "_", unicodedata.normalize("NFKC", description).lower()).strip("_")


def check_names(names: Iterable[object], *, where: str) -> None:
    """Refuse names that cannot be columns, and two that look like one."""
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str):
            raise SchemaError(f"{where}: the column name {name!r} is a {type(name).__name__}; names are texts.")
        if not name.strip():
            raise SchemaError(f"{where}: the column name {name!r} is empty.")
        if name != name.strip():
            raise SchemaError(f"{where}: the column name {name!r} begins or ends with a space; write {name.strip()!r}.")
        form = unicodedata.normalize("NFC", name)
        if form in seen:
            raise SchemaError(f"{where}: {seen[form]!a} and {name!a} look the same; each column needs its own name.")
        seen[form] = name


MAX_DEPTH = 60  # far beyond what the service takes; keeps hostile nesting away from Python's stack
MAX_NODES = 10_000  # references that double at each level would otherwise eat the memory before lint sees them
SAID_OF_ALL = ("description", "examples")  # belong to a union as a whole, not to its branches
NOT_BESIDE_A_UNION = ("enum", "const", "properties", "required", "items", "prefixItems", "additionalProperties")


def normalise(document: Mapping[str, Json], path: Path = ()) -> Node:
    """Return the normal form of a JSON Schema that stands at a path; raise SchemaError for what has none."""
    return _Walk(document).node(document, path, ())


class _Walk:
    """One document being normalised: where its references lead, and how much of it there is."""

    def __init__(self, document: Mapping[str, Json]) -> None:
        self.document = document
        self.nodes = 0

    def node(self, raw: Json, path: Path, trail: Path) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise SchemaError(f"{at(path[:8])}: the schema is too large once its $ref are followed; make it flatter.")
        raw, trail = self.resolve(raw, path, trail)
        for keyword in REFUSED.intersection(raw):
            raise SchemaError(
                f"{at(path)}: {keyword!r} has no counterpart in an output schema; say it in a description instead."
            )
        alternatives = _alternatives(raw, path)
        if alternatives is None:
            node = self.single(raw, path, trail)
        else:
            branches = [self.node(branch, (*path, "anyOf", str(i)), trail) for i, branch in enumerate(alternatives)]
            node = join_union(branches)
        return node | said_of(raw)

    def resolve(self, raw: Json, path: Path, trail: Path) -> tuple[Mapping[str, Json], Path]:
        """Follow references and merge one-member unions until neither is left."""
        while True:
            if raw is True:
                return {}, trail
            if not isinstance(raw, Mapping):
                raise SchemaError(f"{at(path)}: a JSON Schema is an object here, not {raw!r}.")
            if "$ref" in raw:
                reference = raw["$ref"]
                if reference in trail:
                    raise SchemaError(
                        f"{at(path)}: {reference!r} leads back to itself, and an answer has a fixed depth; "
                        "write out the levels you need."
                    )
                raw = _merge(raw, "$ref", self.lookup(reference, path), path)
                trail = (*trail, reference)
                continue
            lone = next((k for k in ("allOf", "anyOf", "oneOf") if _length(raw.get(k)) == 1), None)
            if lone is None:
                return raw, trail
            raw = _merge(raw, lone, raw[lone][0], path)

    def lookup(self, reference: Json, path: Path) -> Json:
        """Return what a JSON pointer into the document points at."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SchemaError(f"{at(path)}: $ref {reference!r} lies outside the schema; copy it in.")
        found: Any = self.document
        for step in reference[1:].split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name)] if isinstance(found, list) else found[name]
            except (KeyError, IndexError, ValueError, TypeError):
                raise SchemaError(f"{at(path)}: $ref {reference!r} points at nothing.") from None
        return found

    def single(self, raw: Mapping[str, Json], path: Path, trail: Path) -> Node:
        """Return the normal form of a node that is no union."""
        if "enum" in raw or "const" in raw:
            return enum_node(raw, path)
        type_ = next(iter(types_of(raw, path)), None) or implied_type(raw)
        if type_ is None:
            return {}
        node: Node = {"type": type_}
        if type_ == "object":
            node |= self.object(raw, path, trail)
        elif type_ == "array":
            node |= self.array(raw, path, trail)
        return node | self.constraints(raw, type_, path, trail)

    def object(self, raw: Mapping[str, Json], path: Path, trail: Path) -> Node:
        properties, required = raw.get("properties") or {}, raw.get("required") or ()
        if not isinstance(properties, Mapping) or not isinstance(required, (list, tuple)):
            raise SchemaError(f"{at(path)}: 'properties' must be an object and 'required' a list.")
        check_names(properties, where=at(path))
        required = set(map(str, required))
        for name in sorted(required - properties.keys()):
            raise SchemaError(f"{at(path)}: required names {name!r}, which is not among the properties.")
        if not properties:
            return self.open_object(raw, path, trail)
        nodes = {
            name: self.node(child, (*path, "properties", name), trail)
            if name in required
            else _optional(self.node(child, (*path, "properties", name), trail))
            for name, child in properties.items()
        }
        return {"properties": nodes, "required": list(nodes), "additionalProperties": False}

    def open_object(self, raw: Mapping[str, Json], path: Path, trail: Path) -> Node:
        extra = raw.get("additionalProperties", True)
        if extra is False:
            raise SchemaError(f"{at(path)}: an object without properties can hold no answer; name its properties.")
        node = self.node(extra, (*path, "additionalProperties"), trail)
        return {"additionalProperties": node} if node else {}

    def array(self, raw: Mapping[str, Json], path: Path, trail: Path) -> Node:
        items = raw.get("items", {})
        prefix = raw.get("prefixItems") or (items if isinstance(items, list) else None)
        if prefix:
            if not isinstance(prefix, list):
                raise SchemaError(f"{at(path)}: prefixItems is a list of schemas, not {prefix!r}.")
            # A tuple: the service has only arrays of one kind, so any member may be any of its kinds. Which stands
            # where is told in words, and checked.
            items = {"anyOf": list(prefix)}
        node = self.node(items or {}, (*path, "items"), trail)
        members = [self.node(child, (*path, "prefixItems", str(at)), trail) for at, child in enumerate(prefix or ())]
        ordered = {"prefixItems": members} if any(member != members[0] for member in members) else {}
        return ({"items": node} if node else {}) | ordered

    def constraints(self, raw: Mapping[str, Json], type_: str, path: Path, trail: Path) -> Node:
        kept: Node = {}
        for keyword in APPLIES[type_]:
            if keyword not in raw:
                continue
            value, where = raw[keyword], (*path, keyword)
            if keyword in ("contains", "propertyNames"):
                kept[keyword] = self.node(value, where, trail)
            elif keyword == "patternProperties":
                kept[keyword] = {
                    pattern: self.node(child, (*where, str(pattern)), trail)
                    for pattern, child in checked_patterns(value, at(path)).items()
                }
            else:
                kept |= checked_constraint(keyword, value, raw, at(path))
        return kept


def _length(value: Json) -> int:
    return len(value) if isinstance(value, list) else 0


def _merge(raw: Mapping[str, Json], keyword: str, member: Json, path: Path) -> Node:
    """Put a lone member in its keyword's place; what stands beside it may add, not contradict."""
    beside = {name: value for name, value in raw.items() if name != keyword}
    inner: Mapping[str, Json] = {} if member is True else member
    if not isinstance(inner, Mapping):
        raise SchemaError(f"{at(path)}: {keyword} holds {member!r}, which is no schema.")
    for name in beside.keys() & inner.keys() - {*SAID_OF_ALL, "title", "default", "$defs", "definitions"}:
        if beside[name] != inner[name]:
            raise SchemaError(f"{at(path)}: {name!r} is said twice, beside {keyword} and inside it; say it once.")
    return {**inner, **beside}


def _alternatives(raw: Mapping[str, Json], path: Path) -> list[Json] | None:
    """Return the branches of a node that is a union in any spelling; None when it is none."""
    nullable = [NULL] if raw.get("nullable") is True else []
    rest = {k: v for k, v in raw.items() if k not in ("anyOf", "oneOf", "nullable", *SAID_OF_ALL)}
    if "anyOf" in raw or "oneOf" in raw:
        return _spread(raw, rest, path) + nullable
    if "enum" in raw:
        values = raw["enum"]
        has_null = isinstance(values, list) and None in values and len(values) > 1
        if has_null or nullable:
            types = [type_ for type_ in types_of(raw, path) if type_ != "null"]
            kept = rest | {"type": types or None, "enum": [value for value in values or () if value is not None]}
            return [kept, NULL]
        return None
    types = types_of(raw, path)
    if len(types) > 1:
        return [rest | {"type": t} for t in types] + nullable
    return [rest, *nullable] if nullable else None


def _spread(raw: Mapping[str, Json], rest: Node, path: Path) -> list[Json]:
    """Return the members of anyOf or oneOf, each with what stands beside the union."""
    members = raw.get("anyOf", raw.get("oneOf"))
    beside = [k for k in NOT_BESIDE_A_UNION if k in rest]
    if ("anyOf" in raw and "oneOf" in raw) or beside or not isinstance(members, list) or not members:
        about = beside[0] if beside else "oneOf" if "oneOf" in raw and "anyOf" in raw else "an empty list"
        raise SchemaError(f"{at(path)}: {about!r} beside or in a union is not understood; write each branch in full.")
    common = {k: v for k, v in rest.items() if k not in ("$defs", "definitions", "title", "default", "discriminator")}
    return [m if not common or m is True else {"allOf": [m], **common} for m in members]


def _optional(node: Node) -> Node:
    """Return the union of a node with null; what is said of it is said of the union."""
    if not node or node == NULL:
        return node
    said = {k: node[k] for k in SAID_OF_ALL if k in node}
    return join_union([{k: v for k, v in node.items() if k not in said}, dict(NULL)]) | said
