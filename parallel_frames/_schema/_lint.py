"""The service's rules for an output schema, checked on exactly what would be sent.

This module owns the rules and their messages; the limits themselves are in `_limits`. It looks only at the wire
schema, and not at what the user wrote.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

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


@dataclass(slots=True)
class _Linter:
    """What was found, and what is counted over the whole schema."""

    findings: list[Finding] = field(default_factory=list)
    properties: int = 0
    enum_values: int = 0
    depth: int = 0
    deepest: str = ""

    def add(self, severity: Literal["error", "warning"], rule: str, path: str, message: str) -> None:
        self.findings.append(Finding(severity, rule, path.lstrip(".") or "root", message))

    def root(self, root: Mapping[str, Json]) -> None:
        if root.get("type") != "object":
            self.add("error", "root_object", "", f"the root must be an object, not {root.get('type', 'untyped')!r}")
        if not root.get("properties"):
            self.add("error", "root_properties", "", "the root has no properties, so there is nothing to find")
        if "anyOf" in root:
            self.add("error", "root_any_of", "", "the root is a union; put it into a property")

    def node(self, node: Mapping[str, Json], path: str, depth: int, *, in_union: bool) -> None:
        type_ = node.get("type")
        if type_ in ("object", "array"):
            depth += 1
            if depth > self.depth:
                self.depth, self.deepest = depth, path
        if type_ == "null" and not in_union:
            self.add("error", "null_alone", path, "null is allowed only inside a union, such as str | None")
        for keyword in sorted(FORBIDDEN_KEYWORDS & node.keys()):
            self.add("error", "keyword", f"{path}.{keyword}", f"the service does not take {keyword!r}")
        if "$ref" in node:
            self.add("error", "reference", path, f"$ref {node['$ref']!r} is not inlined")
        if not node.keys() & {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}:
            message = "any value is allowed; a type gives better answers and a typed column"
            self.add("warning", "untyped", path, message)
        self.enum(node, path)
        if type_ == "object" or "properties" in node:
            self.object(node, path)
        if type_ == "array" and "items" not in node:
            message = "elements may be anything; give their type, such as list[str]"
            self.add("warning", "untyped_items", path, message)
        for child_path, child, is_branch in _children(node, path):
            self.node(child, child_path, depth, in_union=is_branch)

    def enum(self, node: Mapping[str, Json], path: str) -> None:
        values = node.get("enum") or ()
        self.enum_values += len(values)  # the service's limit is for the whole schema
        characters = sum(len(value if isinstance(value, str) else json.dumps(value)) for value in values)
        if len(values) > LARGE_ENUM_VALUES and characters > MAX_LARGE_ENUM_CHARACTERS:
            message = (
                f"an enum of more than {LARGE_ENUM_VALUES} values may have {MAX_LARGE_ENUM_CHARACTERS:,} characters "
                f"in all, this one has {len(values)} values and {characters:,} characters"
            )
            self.add("error", "enum_characters", path, message)

    def object(self, node: Mapping[str, Json], path: str) -> None:
        properties = node.get("properties") or {}
        self.properties += len(properties)
        required = set(node.get("required") or ())
        for name in (name for name in properties if name not in required):
            self.add("warning", "required", f"{path}.properties.{name}", "is not listed in required")
        if node.get("additionalProperties") is not False:
            message = "additionalProperties is not false; name the fields for reliable answers"
            self.add("warning", "open_object", path, message)
        for name in (name for name in properties if name in BASIS_NAMES):
            message = f"every answer's basis already carries {name!r}; ask for the basis instead of paying for a field"
            self.add("warning", "basis_name", f"{path}.properties.{name}", message)

    def totals(self) -> None:
        if self.depth > MAX_NESTING:
            message = (
                f"objects and arrays may be nested {MAX_NESTING} deep, the root included; this is level {self.depth}"
            )
            self.add("error", "nesting", self.deepest, message)
        if self.properties > MAX_PROPERTIES:
            message = f"a schema may have {MAX_PROPERTIES} properties in all, this one has {self.properties}"
            self.add("error", "properties", "", message)
        if self.enum_values > MAX_ENUM_VALUES:
            message = f"a schema may have {MAX_ENUM_VALUES} enum values in all, this one has {self.enum_values}"
            self.add("error", "enum_values", "", message)


def lint_schema(wire: Mapping[str, Json]) -> list[Finding]:
    """Return everything the service would refuse or warn about.

    Parameters
    ----------
    wire : mapping
        An ``output_schema`` of the published dialect, ``{"type": "json", "json_schema": ...}``, or a bare JSON Schema.

    Returns
    -------
    list of Finding
        Errors first.
    """
    linter = _Linter()
    if "json_schema" in wire or wire.get("type") not in ("text", "auto"):
        root = wire.get("json_schema", wire)
        linter.root(root)
        linter.node(root, "", 0, in_union=False)
        linter.totals()
    length = length_finding({"output_schema": wire})
    findings = [*linter.findings, length] if length is not None else linter.findings
    return sorted(findings, key=lambda finding: finding.severity != "error")


def length_finding(spec: Mapping[str, Json], *, whose: str = "this schema makes") -> Finding | None:
    """Return an error where a task spec, whole or in part, is longer than the service takes."""
    # As it is sent: an escaped or indented text would be longer than what the service counts.
    length = len(json.dumps(spec, ensure_ascii=False, separators=(",", ":")))
    if length <= MAX_SPEC_CHARACTERS:
        return None
    message = f"the task spec may have {MAX_SPEC_CHARACTERS:,} characters, {whose} {length:,}"
    return Finding("error", "spec_length", "root", message)


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
            findings.append(Finding("warning", "type_as_text", f"properties.{name}", message))
        elif found is not None or (found := _shorthand_in(description)) is not None:
            column, type_ = found
            message = (
                f'this reads like a name with a type, and is a text column called "{name}"; for the type write '
                f'{{"{column}": ({type_}, "what to find")}}'
            )
            findings.append(Finding("warning", "shorthand", f"properties.{name}", message))
    return findings


def shorthand_finding(description: str) -> Finding | None:
    """Return a warning where a description that asks for a text reads like columns with types."""
    type_ = python_type_for(description)
    found = _shorthand_in(description) if type_ is None else ("name", type_)
    if found is None:
        return None
    message = (
        f"this reads like a {'name with a type' if type_ is None else 'type'}, and is the description of one text; "
        f'for a column write {{"{found[0]}": ({found[1]}, "what to find")}}'
    )
    return Finding("warning", "shorthand", "root", message)


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
            yield Finding("warning", "description", child_path, message)
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
