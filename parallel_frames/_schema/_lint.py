"""The service's limits on an output schema, checked on exactly what would be sent.

It owns the rules and their texts. It looks only at the wire schema: what the user meant is known elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from parallel_frames._model import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from parallel_frames._model import Json

MAX_NESTING = 5
MAX_PROPERTIES = 100
MAX_ENUM_VALUES = 500
BIG_ENUM = 250
MAX_BIG_ENUM_CHARACTERS = 7_500
MAX_SPEC_CHARACTERS = 15_000
FORBIDDEN = frozenset(
    """contains format maxContains maxItems maxLength maxProperties maximum minContains minItems minLength
    minProperties minimum multipleOf pattern patternProperties propertyNames unevaluatedItems unevaluatedProperties
    uniqueItems""".split()  # noqa: SIM905 - reads like the service's own list
)
IN_THE_BASIS = frozenset({"citations", "confidence", "evidence", "reasoning", "source", "sources", "source_urls"})


@dataclass(slots=True)
class _Tally:
    """What is counted over the whole schema."""

    findings: list[Finding] = field(default_factory=list)
    properties: int = 0
    enum_values: int = 0
    depth: int = 0
    deepest: str = ""

    def add(self, severity: Literal["error", "warning"], rule: str, path: str, message: str) -> None:
        self.findings.append(Finding(severity, rule, path or "root", message))


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
    tally = _Tally()
    wrapped = "json_schema" in wire or wire.get("type") in ("text", "auto")
    if not wrapped or "json_schema" in wire:
        root = wire["json_schema"] if wrapped else wire
        _root(root, tally)
        _node(root, "", 0, tally, in_union=False)
        _totals(tally)
    length = length_finding({"output_schema": wire})
    tally.findings += [length] if length is not None else []
    return sorted(tally.findings, key=lambda finding: finding.severity != "error")


def _root(root: Mapping[str, Json], tally: _Tally) -> None:
    if root.get("type") != "object":
        tally.add("error", "root_object", "", f"the root must be an object, not {root.get('type', 'untyped')!r}")
    if not root.get("properties"):
        tally.add("error", "root_properties", "", "the root has no properties, so there is nothing to find")
    if "anyOf" in root:
        tally.add("error", "root_any_of", "", "the root is a union; put it into a property")


def _node(node: Mapping[str, Json], path: str, depth: int, tally: _Tally, *, in_union: bool) -> None:
    types = node.get("type")
    if types in ("object", "array"):
        depth += 1
        if depth > tally.depth:
            tally.depth, tally.deepest = depth, path
    if types == "null" and not in_union:
        tally.add("error", "null_alone", path, "null is allowed only inside a union, such as str | None")
    for keyword in sorted(FORBIDDEN & node.keys()):
        tally.add("error", "keyword", f"{path}.{keyword}".lstrip("."), f"the service does not take {keyword!r}")
    if "$ref" in node:
        tally.add("error", "reference", path, f"$ref {node['$ref']!r} is not inlined")
    if not node.keys() & {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref"}:
        tally.add("warning", "untyped", path, "any value is allowed; a type gives better answers and a typed column")
    _enum(node, path, tally)
    _object(node, path, tally)
    if types == "array" and "items" not in node:
        tally.add("warning", "untyped_items", path, "elements may be anything; say which, such as list[str]")
    for child_path, child, union in _children(node, path):
        _node(child, child_path, depth, tally, in_union=union)


def _children(node: Mapping[str, Json], path: str) -> Iterator[tuple[str, Mapping[str, Json], bool]]:
    """Yield each schema inside a node: its path, itself, whether it is a branch of a union."""
    prefix = f"{path}." if path else ""
    for name, child in (node.get("properties") or {}).items():
        yield f"{prefix}properties.{name}", child, False
    for keyword in ("items", "additionalProperties"):
        if isinstance(node.get(keyword), dict):
            yield f"{prefix}{keyword}", node[keyword], False
    for keyword in ("anyOf", "oneOf", "allOf"):
        for position, child in enumerate(node.get(keyword) or ()):
            yield f"{prefix}{keyword}.{position}", child, keyword != "allOf"


def _object(node: Mapping[str, Json], path: str, tally: _Tally) -> None:
    if node.get("type") != "object" and "properties" not in node:
        return
    properties = node.get("properties") or {}
    tally.properties += len(properties)
    for name in properties.keys() - set(node.get("required") or ()):
        tally.add("warning", "required", f"{path}.properties.{name}".lstrip("."), "is not listed in required")
    if node.get("additionalProperties") is not False:
        message = "additionalProperties is not false; name the fields for reliable answers"
        tally.add("warning", "open_object", path, message)
    for name in properties.keys() & IN_THE_BASIS:
        message = f"every answer's basis already carries {name!r}; ask for the basis instead of paying for a field"
        tally.add("warning", "basis_name", f"{path}.properties.{name}".lstrip("."), message)


def _enum(node: Mapping[str, Json], path: str, tally: _Tally) -> None:
    values = node.get("enum") or ()
    tally.enum_values += len(values)
    if len(values) <= BIG_ENUM:
        return
    characters = sum(len(value if isinstance(value, str) else json.dumps(value)) for value in values)
    if characters > MAX_BIG_ENUM_CHARACTERS:
        message = (
            f"an enum of more than {BIG_ENUM} values may have {MAX_BIG_ENUM_CHARACTERS:,} characters in all, "
            f"this one has {len(values)} values and {characters:,} characters"
        )
        tally.add("error", "enum_characters", path, message)


def _totals(tally: _Tally) -> None:
    if tally.depth > MAX_NESTING:
        message = f"objects and arrays may be nested {MAX_NESTING} deep, the root included; this is level {tally.depth}"
        tally.add("error", "nesting", tally.deepest, message)
    if tally.properties > MAX_PROPERTIES:
        message = f"a schema may have {MAX_PROPERTIES} properties in all, this one has {tally.properties}"
        tally.add("error", "properties", "", message)
    if tally.enum_values > MAX_ENUM_VALUES:
        message = f"a schema may have {MAX_ENUM_VALUES} enum values in all, this one has {tally.enum_values}"
        tally.add("error", "enum_values", "", message)


def length_finding(spec: Mapping[str, Json], *, whose: str = "this schema makes") -> Finding | None:
    """Return an error where a task spec, whole or in part, is longer than the service takes."""
    length = len(json.dumps(spec, ensure_ascii=False, separators=(",", ":")))
    if length <= MAX_SPEC_CHARACTERS:
        return None
    message = f"the task spec may have {MAX_SPEC_CHARACTERS:,} characters, {whose} {length:,}"
    return Finding("error", "spec_length", "root", message)


TYPE_NAMES = {
    **dict.fromkeys(("int", "integer", "int8", "int16", "int32", "int64"), "int"),
    **dict.fromkeys(("uint8", "uint16", "uint32", "uint64"), "pd.UInt64Dtype()"),
    **dict.fromkeys(("float", "float32", "float64", "double", "number"), "float"),
    **dict.fromkeys(("str", "string", "string[pyarrow]", "string[python]"), "str"),
    **dict.fromkeys(("bool", "boolean"), "bool"),
    **dict.fromkeys(("date", "date32", "date32[day]"), "datetime.date"),
    **dict.fromkeys(
        ("datetime", "datetime64", "datetime64[ns]", "datetime64[ns, utc]", "timestamp"), "datetime.datetime"
    ),
    "list": "list[str]",
    "dict": "dict",
}
"""Texts that name a type, as pandas, numpy or JSON Schema call it, and what to write for it."""


def types_as_text(properties: Mapping[str, Json]) -> list[Finding]:
    """Return a warning for each description that is the name of a type: most likely the type was meant."""
    return [
        Finding(
            "warning",
            "type-as-text",
            f"properties.{name}",
            f'the description is "{said}", and the column a text; for the type write {{"{name}": {TYPE_NAMES[said]}}}',
        )
        for name, node in properties.items()
        if (said := str(node.get("description", "")).strip().lower()) in TYPE_NAMES and node.get("type") == "string"
    ]
