"""The service's rules for an output schema, checked on exactly what would be sent.

This module owns the rules and their messages; the limits themselves are in `_limits`. It looks only at the wire
schema, and not at what the user wrote.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

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
    """Return a warning for each description that is the name of a type: most likely the type was meant."""
    findings = []
    for name, node in properties.items():
        description = str(node.get("description", "")).strip().lower()
        type_ = python_type_for(description)
        if type_ is not None and node.get("type") == "string":
            message = (
                f'the description is "{description}", and the column a text; for the type write {{"{name}": {type_}}}'
            )
            findings.append(Finding("warning", "type-as-text", f"properties.{name}", message))
    return findings


def _children(node: Mapping[str, Json], path: str) -> Iterator[tuple[str, Mapping[str, Json], bool]]:
    """Yield the schemas inside a node, with their paths and whether they are branches of a union."""
    prefix = f"{path}." if path else ""
    for name, child in (node.get("properties") or {}).items():
        yield f"{prefix}properties.{name}", child, False
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            yield f"{prefix}{keyword}", node[keyword], False
    for keyword in ("anyOf", "oneOf", "allOf"):
        for position, child in enumerate(node.get(keyword) or ()):
            yield f"{prefix}{keyword}.{position}", child, keyword != "allOf"
