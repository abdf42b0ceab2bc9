"""The user's schema → what is sent, what identifies it, the columns that come of it, and what is wrong with it.

It owns everything that is decided by a schema alone: the forms a user may write (`_forms`, `_types`), their one
normal form (`_normal`), the wire schema and the identity (`_wire`, `_words`), the service's limits (`_lint`), the
columns' kinds (`_columns_of`) and the check of an answer (`_check`). It is pure: no network, no files, no pandas;
pydantic only where the user brought it. It refuses to know what dtype a column has and how a row is merged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallel_frames._model import Column, Finding, Schema
from parallel_frames._schema._check import Check, Problem, check, compile_check, shown
from parallel_frames._schema._forms import Form, read_form
from parallel_frames._schema._leaf import split_null
from parallel_frames._schema._lint import length_finding, lint_schema, types_as_text
from parallel_frames._schema._normal import normalise
from parallel_frames._schema._times import parse_date, parse_datetime
from parallel_frames._schema._verdict import ModelVerdict, compile_model_check
from parallel_frames._schema._wire import columns_of, identity_of, kind_of, wire_node
from parallel_frames.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames._model import Json

__all__ = [
    "Check",
    "ModelVerdict",
    "Problem",
    "check",
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

    Parameters
    ----------
    schema : object
        A pydantic model class, a dataclass or TypedDict, a JSON Schema, ``{"type": "json" | "text" | "auto", ...}``,
        ``{column: description}``, ``{column: type}``, ``{column: (type, description)}`` or a mixture, a list of
        descriptions, one description (a text), or ``"auto"``.

    Returns
    -------
    Schema
        The wire schema in the user's order, the identity, the columns, and lint's warnings.

    Raises
    ------
    SchemaError
        When it is no schema, cannot be a frame's columns, or the service would refuse it.
    """
    form = read_form(schema)
    return _json(form) if form.kind == "json" else _plain(form)


def find_problems(schema: object) -> tuple[Finding, ...]:
    """Return everything there is to say of a schema, errors first; `parse_schema` raises over those.

    Raises
    ------
    SchemaError
        It is no schema, or cannot be a frame's columns.
    """
    form = read_form(schema)
    if form.kind != "json":
        return tuple(lint_schema({"type": form.kind, **form.document}))
    node = normalise(form.document)
    return (*lint_schema({"type": "json", "json_schema": wire_node(node)}), *types_as_text(node.get("properties", {})))


def _plain(form: Form) -> Schema:
    """Return the schema of a text or of whatever the service chooses: one column, ``output``."""
    wire = {"type": form.kind, **form.document}
    column = (
        Column("output", "string", {"type": "string"}) if form.kind == "text" else Column("output", "any", {}, True)  # noqa: FBT003 - Column's own order
    )
    return Schema(form.kind, wire, dict(wire), (column,), _warnings(wire))


def _json(form: Form) -> Schema:
    node = normalise(form.document)
    wire = {"type": "json", "json_schema": wire_node(node)}
    warnings = (*_warnings(wire), *types_as_text(node["properties"]))
    identity = {"type": "json", "json_schema": identity_of(node)}
    return Schema("json", wire, identity, columns_of(node), warnings, form.model)


def _warnings(wire: Mapping[str, Json]) -> tuple[Finding, ...]:
    """Return lint's warnings; raise its errors, all of them at once."""
    findings = lint_schema(wire)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        listed = "\n".join(f"- {finding}" for finding in errors)
        raise SchemaError(f"The service would refuse this schema, so nothing was sent:\n{listed}")
    return tuple(findings)
