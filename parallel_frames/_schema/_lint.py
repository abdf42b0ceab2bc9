"""The service's rules for an output schema, checked on exactly what would be sent.

This module owns the rules and their messages; the limits themselves are in `_limits`. It looks only at the wire
schema, and not at what the user wrote.
"""

from __future__ import annotations

import json
import re
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from parallel_frames._limits import (
    BASIS_NAMES,
    FORBIDDEN_KEYWORDS,
    LARGE_ENUM_VALUES,
    MAX_ENUM_VALUES,
    MAX_LARGE_ENUM_CHARACTERS,
    MAX_NESTING,
    MAX_PROPERTIES,
    MAX_SPEC_CHARACTERS,
)
from parallel_frames._model import Finding, Json
from parallel_frames._schema._dtypes import python_type_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# A name with a type, as people write it by mistake: "founded (int)", "founded: int", "founded int". Without a sign
# between the two only the words that mean nothing else count: a column may well be a "start date" or a "phone number".
TYPED_NAME: Final = re.compile(r"(\w[\w -]*?)\s*(?:\(([^()]+)\)|:\s*([\w\[\]]+))")
TYPED_WORDS: Final = re.compile(r"(\w[\w -]*?)\s+(int|integer|str|float|bool|boolean|datetime|list\[str\])")


class _Place(NamedTuple):
    """A node of a schema: where it is, how deep in objects and arrays, and whether it is a branch of a union."""

    node: Mapping[str, Json]
    path: str
    depth: int
    in_union: bool


def lint_schema(wire: Mapping[str, Json]) -> list[Finding]:
    """Return everything the service would refuse or warn about, errors first.

    `wire` is an ``output_schema`` of the published dialect, or the bare JSON Schema in one.
    """
    findings: list[Finding] = []
    if "json_schema" in wire or wire.get("type") not in ("text", "auto"):
        root = wire.get("json_schema", wire)
        places = list(_walk(root))
        findings = [*_lint_root(root), *chain.from_iterable(map(_lint_node, places)), *_lint_totals(places)]
    length = length_finding({"output_schema": wire})
    findings += [] if length is None else [length]
    return sorted(findings, key=lambda finding: finding.severity != "error")


def _walk(node: Mapping[str, Json], path: str = "", depth: int = 0, *, in_union: bool = False) -> Iterator[_Place]:
    depth += node.get("type") in ("object", "array")
    yield _Place(node, path, depth, in_union)
    for child_path, child, is_branch in _children(node, path):
        yield from _walk(child, child_path, depth, in_union=is_branch)


def _error(rule: str, path: str, message: str) -> Finding:
    return Finding("error", rule, path.lstrip(".") or "root", message)


def _warning(rule: str, path: str, message: str) -> Finding:
    return Finding("warning", rule, path.lstrip(".") or "root", message)


def _lint_root(root: Mapping[str, Json]) -> Iterator[Finding]:
    if root.get("type") != "object":
        yield _error("root_object", "", f"the root must be an object, not {root.get('type', 'untyped')!r}")
    if not root.get("properties"):
        yield _error("root_properties", "", "the root has no properties, so there is nothing to find")
    if "anyOf" in root:
        yield _error("root_any_of", "", "the root is a union; put it into a property")


def _lint_node(place: _Place) -> Iterator[Finding]:
    node, path = place.node, place.path
    type_ = node.get("type")
    if type_ == "null" and not place.in_union:
        yield _error("null_alone", path, "null is allowed only inside a union, such as str | None")
    for keyword in sorted(FORBIDDEN_KEYWORDS & node.keys()):
        yield _error("keyword", f"{path}.{keyword}", f"the service does not take {keyword!r}")
    if "$ref" in node:
        yield _error("reference", path, f"$ref {node['$ref']!r} is not inlined")
    if not node.keys() & {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}:
        yield _warning("untyped", path, "any value is allowed; a type gives better answers and a typed column")
    values = node.get("enum") or ()
    characters = sum(len(value if isinstance(value, str) else json.dumps(value)) for value in values)
    if len(values) > LARGE_ENUM_VALUES and characters > MAX_LARGE_ENUM_CHARACTERS:
        message = (
            f"an enum of more than {LARGE_ENUM_VALUES} values may have {MAX_LARGE_ENUM_CHARACTERS:,} characters "
            f"in all, this one has {len(values)} values and {characters:,} characters"
        )
        yield _error("enum_characters", path, message)
    if type_ == "object" or "properties" in node:
        yield from _lint_object(node, path)
    if type_ == "array" and "items" not in node:
        yield _warning("untyped_items", path, "elements may be anything; give their type, such as list[str]")


def _lint_object(node: Mapping[str, Json], path: str) -> Iterator[Finding]:
    properties = node.get("properties") or {}
    required = set(node.get("required") or ())
    for name in (name for name in properties if name not in required):
        yield _warning("required", f"{path}.properties.{name}", "is not listed in required")
    if node.get("additionalProperties") is not False:
        message = "additionalProperties is not false; name the fields for reliable answers"
        yield _warning("open_object", path, message)
    for name in (name for name in properties if name in BASIS_NAMES):
        message = f"every answer's basis already carries {name!r}; ask for the basis instead of paying for a field"
        yield _warning("basis_name", f"{path}.properties.{name}", message)


def _lint_totals(places: list[_Place]) -> Iterator[Finding]:
    deepest = max(places, key=lambda place: place.depth)
    properties = sum(len(place.node.get("properties") or ()) for place in places)
    enum_values = sum(len(place.node.get("enum") or ()) for place in places)
    if deepest.depth > MAX_NESTING:
        limit = f"objects and arrays may be nested {MAX_NESTING} deep, the root included"
        yield _error("nesting", deepest.path, f"{limit}; this is level {deepest.depth}")
    if properties > MAX_PROPERTIES:
        message = f"a schema may have {MAX_PROPERTIES} properties in all, this one has {properties}"
        yield _error("properties", "", message)
    if enum_values > MAX_ENUM_VALUES:
        message = f"a schema may have {MAX_ENUM_VALUES} enum values in all, this one has {enum_values}"
        yield _error("enum_values", "", message)


def length_finding(spec: Mapping[str, Json], *, whose: str = "this schema makes") -> Finding | None:
    """Return an error where a task spec, whole or in part, is longer than the service takes."""
    # As it is sent: an escaped or indented text would be longer than what the service counts.
    length = len(json.dumps(spec, ensure_ascii=False, separators=(",", ":")))
    if length <= MAX_SPEC_CHARACTERS:
        return None
    message = f"the task spec may have {MAX_SPEC_CHARACTERS:,} characters, {whose} {length:,}"
    return _error("spec_length", "", message)


def types_as_text(properties: Mapping[str, Json]) -> list[Finding]:
    """Return a warning for each text column whose name or description holds a type: most likely the type was meant."""
    findings = []
    for name, node in properties.items():
        if node.get("type") != "string":
            continue
        description = str(node.get("description", "")).strip()
        type_, found = python_type_for(description), shorthand(name)
        if type_ is not None:
            message = (
                f'"{description}" is taken as a description, and the answers will be texts; for the type write '
                f'{{"{name}": {type_}}}, or with a description {{"{name}": ({type_}, "what to find")}}'
            )
            if type_ == "str":
                message = f'"{description}" does not describe what to find; write {{"{name}": (str, "what to find")}}'
            findings.append(_warning("type_as_text", f"properties.{name}", message))
        elif found is not None or (found := _shorthand_in(description)) is not None:
            column, type_ = found
            message = (
                f'this reads like a name with a type, and is a text column called "{name}"; for the type write '
                f'{{"{column}": ({type_}, "what to find")}}'
            )
            findings.append(_warning("shorthand", f"properties.{name}", message))
    return findings


def text_as_columns(description: str) -> list[Finding]:
    """Return a warning where a description that asks for a text reads like columns with types."""
    type_ = python_type_for(description)
    found = _shorthand_in(description) if type_ is None else ("name", type_)
    if found is None:
        return []
    message = (
        f"this reads like a {'name with a type' if type_ is None else 'type'}, and is the description of one text; "
        f'for a column write {{"{found[0]}": ({found[1]}, "what to find")}}'
    )
    return [_warning("shorthand", "", message)]


def _shorthand_in(description: str) -> tuple[str, str] | None:
    start, colon, _ = description.partition(":")
    return shorthand(start) or (shorthand(description) if colon else None)


def shorthand(text: str) -> tuple[str, str] | None:
    """Return name and Python type where a text has both: ``founded int``, ``founded (int)``, ``founded: int``."""
    match = TYPED_NAME.fullmatch(text.strip()) or TYPED_WORDS.fullmatch(text.strip())
    name, *types = match.groups() if match is not None else (None,)
    written = next(filter(None, types), "")
    type_ = python_type_for(written)
    return None if name is None or type_ is None else (name, type_)


def missing_descriptions(node: Mapping[str, Json], path: str = "") -> Iterator[Finding]:
    """Yield a warning for each field without a description, nested ones too; `node` is as the user wrote it."""
    # Not of the wire schema: there, limits in words make up a description that the user did not write.
    for child_path, child, _ in _children(node, path):
        is_field = child_path != path and child_path.rpartition(".")[0].endswith("properties")
        if is_field and not str(child.get("description") or "").strip():
            message = "has no description; what to find, in words, makes better answers than a name alone"
            yield _warning("description", child_path, message)
        yield from missing_descriptions(child, child_path)


def _children(node: Mapping[str, Json], path: str) -> Iterator[tuple[str, Mapping[str, Json], bool]]:
    """Yield the schemas inside a node, with their paths and whether they are branches of a union."""
    prefix = f"{path}." if path else ""
    for name, child in (node.get("properties") or {}).items():
        yield f"{prefix}properties.{name}", child, False
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            yield f"{prefix}{keyword}", node[keyword], False
    for keyword in ("anyOf", "oneOf", "allOf"):
        branches = node.get(keyword) or ()
        # Of "an object or null" the object has the path of both: who writes `Office | None` writes no union.
        is_optional = sum(child.get("type") != "null" for child in branches) == 1
        for position, child in enumerate(branches):
            yield path if is_optional else f"{prefix}{keyword}.{position}", child, keyword != "allOf"
