"""The user's schema → what is sent, what identifies it, the columns of its answers, and what is wrong with it.

This package owns everything that is decided by a schema alone: the forms a user may give (`_forms`, `_types`,
`_dtypes`), their one normal form (`_normal`), the wire schema and the identity (`_wire`), the service's rules
(`_lint`), and the check of an answer (`_checks`, `_formats`, `_pydantic`). It is pure: no network, no
files, no pandas, and pydantic only where the user brought it. It refuses to know which dtype a column has and how a row
is merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallel_frames._model import Column, Finding, Json, Schema
from parallel_frames._schema._checks import ModelVerdict, compile_check, compile_model_check, shown
from parallel_frames._schema._dtypes import columns_of, kind_of
from parallel_frames._schema._formats import parse_date, parse_datetime
from parallel_frames._schema._forms import Form, read_form
from parallel_frames._schema._lint import (
    length_finding,
    lint_schema,
    missing_descriptions,
    text_as_columns,
    types_as_text,
)
from parallel_frames._schema._normal import normalise, split_null
from parallel_frames._schema._wire import identity_of, wire_node
from parallel_frames.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ModelVerdict",
    "compile_check",
    "compile_model_check",
    "find_problems",
    "kind_of",
    "length_finding",
    "lint_schema",
    "parse_date",
    "parse_datetime",
    "parse_schema",
    "shown",
    "split_null",
]


def parse_schema(schema: object) -> Schema:
    """Read a schema in any of its forms.

    These are a pydantic model class, a dataclass or TypedDict, a JSON Schema, ``{"type": "json" | "text" | ...}``,
    ``{column: description}``, ``{column: type}``, ``{column: (type, description)}`` or a mixture, a list of
    descriptions, one description (a text), or ``"auto"``.
    """
    form = read_form(schema)
    if form.kind != "json":
        return _one_column(form)
    node = normalise(form.document)
    wire = {"type": "json", "json_schema": wire_node(node)}
    warnings = (*_warnings(wire), *types_as_text(node["properties"]))
    identity = {"type": "json", "json_schema": identity_of(node)}
    return Schema("json", wire, identity, columns_of(node), warnings, form.model)


def find_problems(schema: object) -> tuple[Finding, ...]:
    """Return every finding about a schema, errors first; `parse_schema` raises those.

    What would only make better answers, descriptions above all, is for this to say and not for every call.
    """
    form = read_form(schema)
    if form.kind != "json":
        wire = {"type": form.kind, **form.document}
        return (*lint_schema(wire), *text_as_columns(form.document.get("description", "")))
    node = normalise(form.document)
    found = lint_schema({"type": "json", "json_schema": wire_node(node)})
    return (*found, *types_as_text(node.get("properties", {})), *missing_descriptions(node))


def _one_column(form: Form) -> Schema:
    """Return the schema of a text, or of whatever the service chooses: one column, ``output``."""
    wire = {"type": form.kind, **form.document}
    if form.kind == "text":
        column = Column("output", "string", {"type": "string"})
    else:
        column = Column("output", "any", {}, nullable=True)
    warnings = (*_warnings(wire), *text_as_columns(form.document.get("description", "")))
    return Schema(form.kind, wire, dict(wire), (column,), warnings)


def _warnings(wire: Mapping[str, Json]) -> tuple[Finding, ...]:
    """Return lint's warnings; raise its errors, all of them at once."""
    findings = lint_schema(wire)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        listed = "\n".join(f"- {finding}" for finding in errors)
        raise SchemaError(f"The service would refuse this schema, so nothing was sent:\n{listed}")
    return tuple(findings)
