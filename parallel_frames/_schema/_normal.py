"""Any JSON Schema → one normal form: what the user asked for, in one spelling.

Row keys are made of it, so two spellings of one meaning must come out equal. It inlines `$ref`, merges a lone `allOf`,
and writes `oneOf`, `nullable`, type lists, `const` and optional properties as `anyOf` with null last. Titles and
defaults go, constraints stay. Objects with properties are closed and require all of them; objects without stay open.
Normalising a normal form changes nothing. This module knows nothing of the service's limits, of Python types, or of
columns.
"""

from __future__ import annotations

import json
import math
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote

from parallel_frames.errors import SchemaError

if TYPE_CHECKING:
    from parallel_frames._model import Json

Node: TypeAlias = dict[str, Any]
Path: TypeAlias = tuple[str, ...]

MAX_DEPTH = 60  # far beyond what the service takes; protects Python's stack from hostile nesting
MAX_NODES = 10_000  # references that double at each level would otherwise fill the memory before lint sees them

NULL: Mapping[str, Json] = {"type": "null"}
_NUMERIC = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
APPLIES: Mapping[str, tuple[str, ...]] = {
    "string": ("format", "pattern", "minLength", "maxLength"),
    "integer": _NUMERIC,
    "number": _NUMERIC,
    "boolean": (),
    "array": ("minItems", "maxItems", "uniqueItems", "contains", "minContains", "maxContains"),
    "object": ("minProperties", "maxProperties", "propertyNames", "patternProperties"),
    "null": (),
}
"""The constraints of each JSON type, in the order in which descriptions list them."""
_SIZES = frozenset(keyword for keyword in (*APPLIES["string"], *APPLIES["array"], *APPLIES["object"])
                   if keyword.startswith(("min", "max")))  # fmt: skip
_REFUSED = frozenset({"not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies", "allOf"})
_ANNOTATIONS = ("description", "examples")  # belong to a union as a whole, not to its branches
_DROPPED = ("title", "default", "$defs", "definitions")
_NOT_WITH_A_UNION = ("enum", "const", "properties", "required", "items", "prefixItems", "additionalProperties")


def normalise(document: Mapping[str, Json], path: Path = ()) -> Node:
    """Return the normal form of a JSON Schema at a path; raise SchemaError for what has none."""
    return _Normaliser(document).node(document, path, ())


class _Normaliser:
    """One document being normalised: where its references lead, and how much of it there is."""

    def __init__(self, document: Mapping[str, Json]) -> None:
        self.document = document
        self.nodes = 0

    def node(self, raw: Json, path: Path, trail: Path) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            raise SchemaError(f"{_at(path[:8])}: the schema is too large once its $ref are followed; make it flatter.")
        raw, trail = self.resolve(raw, path, trail)
        _refuse_huge_numbers(raw, path)
        for keyword in _REFUSED.intersection(raw):
            raise SchemaError(
                f"{_at(path)}: {keyword!r} has no counterpart in an output schema; put it into a description instead."
            )
        alternatives = _alternatives(raw, path)
        if alternatives is None:
            node = self.single(raw, path, trail)
        else:
            branches = [self.node(branch, (*path, "anyOf", str(i)), trail) for i, branch in enumerate(alternatives)]
            node = _join_union(branches)
        return node | _annotations(raw)

    def resolve(self, raw: Json, path: Path, trail: Path) -> tuple[Mapping[str, Json], Path]:
        """Follow references and merge one-member unions until neither is left."""
        while True:
            if raw is True:
                return {}, trail
            if not isinstance(raw, Mapping):
                raise SchemaError(f"{_at(path)}: a JSON Schema is an object here, not {raw!r}.")
            if "$ref" in raw:
                reference = raw["$ref"]
                if reference in trail:
                    raise SchemaError(
                        f"{_at(path)}: {reference!r} leads back to itself, and an answer has a fixed depth; "
                        "write out the levels you need."
                    )
                raw = _merge(raw, "$ref", self.lookup(reference, path), path)
                trail = (*trail, reference)
                continue
            unions = (keyword for keyword in ("allOf", "anyOf", "oneOf") if isinstance(raw.get(keyword), list))
            lone = next((keyword for keyword in unions if len(raw[keyword]) == 1), None)
            if lone is None:
                return raw, trail
            raw = _merge(raw, lone, raw[lone][0], path)

    def lookup(self, reference: Json, path: Path) -> Json:
        """Return what a JSON pointer into the document points at."""
        if not isinstance(reference, str) or not reference.startswith("#"):
            raise SchemaError(f"{_at(path)}: $ref {reference!r} lies outside the schema; copy it in.")
        found: Any = self.document
        for step in reference[1:].split("/")[1:]:
            name = unquote(step).replace("~1", "/").replace("~0", "~")
            try:
                found = found[int(name)] if isinstance(found, list) else found[name]
            except (KeyError, IndexError, ValueError, TypeError):
                raise SchemaError(f"{_at(path)}: $ref {reference!r} points at nothing.") from None
        return found

    def single(self, raw: Mapping[str, Json], path: Path, trail: Path) -> Node:
        """Return the normal form of a node without a union."""
        if "enum" in raw or "const" in raw:
            return _enum_node(raw, path)
        type_ = next(iter(_types_of(raw, path)), None) or _implied_type(raw)
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
            raise SchemaError(f"{_at(path)}: 'properties' must be an object and 'required' a list.")
        check_names(properties, where=_at(path))
        required = set(map(str, required))
        for name in sorted(required - properties.keys()):
            raise SchemaError(f"{_at(path)}: required names {name!r}, which is not among the properties.")
        if not properties:
            extra = raw.get("additionalProperties", True)
            if extra is False:
                raise SchemaError(f"{_at(path)}: an object without properties can hold no answer; name its properties.")
            node = self.node(extra, (*path, "additionalProperties"), trail)
            return {"additionalProperties": node} if node else {}
        nodes = {}
        for name, child in properties.items():
            node = self.node(child, (*path, "properties", name), trail)
            nodes[name] = node if name in required else _optional(node)
        return {"properties": nodes, "required": list(nodes), "additionalProperties": False}

    def array(self, raw: Mapping[str, Json], path: Path, trail: Path) -> Node:
        items = raw.get("items", {})
        prefix = raw.get("prefixItems") or (items if isinstance(items, list) else None)
        if prefix:
            if not isinstance(prefix, list):
                raise SchemaError(f"{_at(path)}: prefixItems must be a list of schemas, not {prefix!r}.")
            # A tuple: the service's arrays have elements of one kind, so the wire schema lets each be any of them.
            # Their order is described in words, and checked.
            items = {"anyOf": list(prefix)}
        node = self.node(items or {}, (*path, "items"), trail)
        members = [self.node(child, (*path, "prefixItems", str(i)), trail) for i, child in enumerate(prefix or ())]
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
                _demand(isinstance(value, dict), keyword, value, _at(path))
                for pattern in value:
                    _check_pattern(pattern, _at(path))
                kept[keyword] = {name: self.node(child, (*where, str(name)), trail) for name, child in value.items()}
            else:
                kept |= _constraint(keyword, value, raw, _at(path))
        return kept


def _at(path: Path) -> str:
    return ".".join(path) or "the schema"


def check_names(names: Iterable[object], *, where: str) -> None:
    """Refuse names that cannot be columns, and two that look like one."""
    seen: dict[str, str] = {}
    for name in names:
        if not isinstance(name, str):
            kind = type(name).__name__
            raise SchemaError(f"{where}: the column name {name!r} is of the type {kind}; names must be texts.")
        if not name.strip():
            raise SchemaError(f"{where}: the column name {name!r} is empty.")
        if name != name.strip():
            raise SchemaError(f"{where}: the column name {name!r} begins or ends with a space; write {name.strip()!r}.")
        form = unicodedata.normalize("NFC", name)
        if form in seen:
            raise SchemaError(f"{where}: {seen[form]!a} and {name!a} look the same; each column needs its own name.")
        seen[form] = name


# Unions


def split_null(node: Mapping[str, Json]) -> tuple[Mapping[str, Json], bool]:
    """Return a normal form without its null branch, and whether null is allowed."""
    if node == NULL or not node.keys() - set(_ANNOTATIONS):
        return node, True
    branches = node.get("anyOf")
    if branches is None or NULL not in branches:
        return node, False
    real = [branch for branch in branches if branch != NULL]
    notes = {key: node[key] for key in _ANNOTATIONS if key in node}
    return ({**real[0], **notes} if len(real) == 1 else {"anyOf": real, **notes}), True


def _join_union(branches: Sequence[Node]) -> Node:
    """Return the union of normal forms: flat, without duplicates, null last."""
    flat = [leaf for branch in branches for leaf in _flatten(branch)]
    if any(not leaf.keys() - set(_ANNOTATIONS) for leaf in flat):
        return {}  # one branch allows anything, and so does the union
    leaves = _join_enums([leaf for leaf in flat if leaf != NULL])
    real = list({repr(leaf): leaf for leaf in leaves}.values())  # by text, in which 1 and True differ
    if not real:
        return dict(NULL)
    if not any(leaf == NULL for leaf in flat):
        return real[0] if len(real) == 1 else {"anyOf": real}
    notes: Node = {}
    if len(real) == 1:
        notes = {key: real[0][key] for key in _ANNOTATIONS if key in real[0]}
        inner = {key: value for key, value in real[0].items() if key not in notes}
        # A branch that was a union with a description is flat again once the description moved out.
        real = list(inner["anyOf"]) if inner.keys() == {"anyOf"} else [inner]
    return {"anyOf": [*real, dict(NULL)]} | notes


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
    unique = list({(type(value), str(value)): value for leaf in plain for value in leaf["enum"]}.values())
    shared = next(iter(types)) if len(types) == 1 else "number" if types <= {"integer", "number"} else None
    joined: Node = ({"type": shared} if shared else {}) | {"enum": unique}
    rest = [leaf for leaf in leaves if leaf not in plain]
    position = leaves.index(plain[0])
    return [*rest[:position], joined, *rest[position:]]


def _alternatives(raw: Mapping[str, Json], path: Path) -> list[Json] | None:
    """Return the branches of a node that is a union in any spelling, else None."""
    nullable = [NULL] if raw.get("nullable") is True else []
    rest = {k: v for k, v in raw.items() if k not in ("anyOf", "oneOf", "nullable", *_ANNOTATIONS)}
    if "anyOf" in raw or "oneOf" in raw:
        return _spread(raw, rest, path) + nullable
    if "enum" in raw:
        values = raw["enum"]
        has_null = isinstance(values, list) and None in values and len(values) > 1
        if has_null or nullable:
            types = [type_ for type_ in _types_of(raw, path) if type_ != "null"]
            kept = rest | {"type": types or None, "enum": [value for value in values or () if value is not None]}
            return [kept, NULL]
        return None
    types = _types_of(raw, path)
    if len(types) > 1:
        return [rest | {"type": t} for t in types] + nullable
    return [rest, *nullable] if nullable else None


def _spread(raw: Mapping[str, Json], rest: Node, path: Path) -> list[Json]:
    """Return the members of anyOf or oneOf, each with the keywords that stand next to the union."""
    members = raw.get("anyOf", raw.get("oneOf"))
    excluded = [k for k in _NOT_WITH_A_UNION if k in rest]
    if ("anyOf" in raw and "oneOf" in raw) or excluded or not isinstance(members, list) or not members:
        about = excluded[0] if excluded else "oneOf" if "oneOf" in raw and "anyOf" in raw else "an empty list"
        raise SchemaError(f"{_at(path)}: {about!r} next to or in a union is not supported; write each branch in full.")
    common = {k: v for k, v in rest.items() if k not in (*_DROPPED, "discriminator")}
    return [m if not common or m is True else {"allOf": [m], **common} for m in members]


def _merge(raw: Mapping[str, Json], keyword: str, member: Json, path: Path) -> Node:
    """Put a lone member in its keyword's place; the keywords next to it may add, not contradict."""
    siblings = {name: value for name, value in raw.items() if name != keyword}
    inner: Mapping[str, Json] = {} if member is True else member
    if not isinstance(inner, Mapping):
        raise SchemaError(f"{_at(path)}: {keyword} must hold a schema, not {member!r}.")
    for name in siblings.keys() & inner.keys() - {*_ANNOTATIONS, *_DROPPED}:
        if siblings[name] != inner[name]:
            raise SchemaError(f"{_at(path)}: {name!r} is set twice, next to {keyword} and inside it; set it once.")
    return {**inner, **siblings}


def _optional(node: Node) -> Node:
    """Return the union of a node with null; its description becomes the union's."""
    if not node or node == NULL:
        return node
    notes = {k: node[k] for k in _ANNOTATIONS if k in node}
    return _join_union([{k: v for k, v in node.items() if k not in notes}, dict(NULL)]) | notes


# Types, enums, and what describes a node


def _types_of(raw: Mapping[str, Json], path: Path) -> list[str]:
    """Return the JSON types a node names, none where it names none."""
    value = raw.get("type")
    if value is None:
        return []
    types = value if isinstance(value, list) else [value]
    for type_ in types:
        if not isinstance(type_, str) or type_ not in APPLIES:
            raise SchemaError(f"{_at(path)}: the type must be one of {', '.join(APPLIES)}, not {type_!r}.")
    if not types:
        raise SchemaError(f"{_at(path)}: an empty list of types allows no answer.")
    return types


def _implied_type(raw: Mapping[str, Json]) -> str | None:
    """Return the type that keywords belong to where the author left it out."""
    if raw.keys() & {"properties", "additionalProperties"}:
        return "object"
    if raw.keys() & {"items", "prefixItems"}:
        return "array"
    return next((t for t in ("string", "number", "array", "object") if raw.keys() & set(APPLIES[t])), None)


def _annotations(raw: Mapping[str, Json]) -> Node:
    """Return the description and the examples, where there are any."""
    notes: Node = {}
    description = raw.get("description")
    if isinstance(description, str) and description.strip():
        notes["description"] = description.strip()
    examples = raw.get("examples")
    if isinstance(examples, list) and examples:
        # Python examples (a date, a Decimal) become what JSON would show.
        notes["examples"] = json.loads(json.dumps(examples, default=str))
    return notes


def _enum_node(raw: Mapping[str, Json], path: Path) -> Node:
    """Return an enum with the type its values share; mixed values have none."""
    values = [raw["const"]] if "const" in raw else raw["enum"]
    if not isinstance(values, list) or not values:
        raise SchemaError(f"{_at(path)}: an enum must be a list of at least one value, not {values!r}.")
    if values == [None]:
        return dict(NULL)
    types = {_json_type(value, _at(path)) for value in values}
    allowed = set(_types_of(raw, path)) or types
    if not types <= allowed | ({"integer"} if "number" in allowed else set()):
        raise SchemaError(f"{_at(path)}: the enum {values!r} holds values that are not {' or '.join(sorted(allowed))}.")
    numbers = types == {"integer", "number"} or (types == {"integer"} and allowed == {"number"})
    shared = "number" if numbers else next(iter(types)) if len(types) == 1 else None
    plain = [_plain_number(value) for value in values]
    unique = list({(_json_type(value, _at(path)), str(value)): value for value in plain}.values())
    return ({"type": shared} if shared else {}) | {"enum": unique}


def _refuse_huge_numbers(raw: Mapping[str, Json], path: Path) -> None:
    """Refuse integers that no float comes near: few readers of JSON know them, and Python does not even print all."""
    for keyword, value in raw.items():
        numbers = [each for each in (value if isinstance(value, list) else [value]) if type(each) is int]
        if keyword not in _DROPPED and any(abs(each) > sys.float_info.max for each in numbers):
            raise SchemaError(f"{_at(path)}: {keyword} holds a number of more than 308 digits; choose a smaller one.")


def _json_type(value: Json, where: str) -> str:
    """Return the JSON type of a value; 3.0 is a number."""
    if value is None:
        return "null"
    if type(value) is int and not -(2**63) <= value < 2**64:
        raise SchemaError(f"{where}: the enum holds {value}, which does not fit into 64 bits; write it as a text.")
    if isinstance(value, float) and not math.isfinite(value):
        raise SchemaError(f"{where}: JSON has no number {value!r}.")
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    try:
        return names[type(value)]
    except KeyError:
        raise SchemaError(f"{where}: {value!r} is a {type(value).__name__}, which JSON does not have.") from None


# Constraints


def _constraint(keyword: str, value: Json, node: Mapping[str, Json], where: str) -> Node:
    """Return a constraint in its one spelling, nothing where it constrains nothing; refuse a malformed one."""
    if keyword == "pattern":
        _check_pattern(value, where)
        return {keyword: value}
    if keyword == "format":
        _demand(isinstance(value, str) and value.strip(), keyword, value, where)
        return {keyword: value}
    if keyword == "uniqueItems":
        _demand(isinstance(value, bool), keyword, value, where)
        return {keyword: True} if value else {}
    if keyword in _SIZES:
        value = _plain_number(value)
        _demand(type(value) is int and value >= 0, keyword, value, where)
        return {} if value == 0 and keyword.startswith("min") and keyword != "minContains" else {keyword: value}
    if keyword in ("exclusiveMinimum", "exclusiveMaximum") and isinstance(value, bool):
        # Draft 4 wrote `minimum: 1, exclusiveMinimum: true` for today's `exclusiveMinimum: 1`.
        inclusive = keyword.removeprefix("exclusive").lower()
        return {keyword: _bound(inclusive, node[inclusive], where)} if value and inclusive in node else {}
    if node.get(f"exclusive{keyword.capitalize()}") is True:
        return {}
    return {keyword: _bound(keyword, value, where)}


def _bound(keyword: str, value: Json, where: str) -> Json:
    is_number = type(value) in (int, float) and math.isfinite(value)
    _demand(is_number and (keyword != "multipleOf" or value > 0), keyword, value, where)
    return _plain_number(value)


def _plain_number(value: Json) -> Json:
    """Return an integral float as an integer, so that 0.0 and 0 are one constraint."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _demand(valid: object, keyword: str, value: Json, where: str) -> None:
    if not valid:
        raise SchemaError(f"{where}: {keyword} cannot be {value!r}.")


def _check_pattern(value: Json, where: str) -> None:
    try:
        re.compile(value)
    except (re.error, TypeError) as error:
        raise SchemaError(f"{where}: the pattern {value!r} must be a regular expression of Python: {error}.") from None
