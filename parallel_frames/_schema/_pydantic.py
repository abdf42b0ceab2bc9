"""Pydantic's JSON Schema, held still: the only module that imports pydantic, and only once the user has.

It owns the few spellings that pydantic changed between its versions, so that an upgrade of pydantic changes no key.
"""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema

_BOUNDS = {
    "ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum", "multiple_of": "multipleOf"
}  # fmt: skip


class StableJsonSchema(GenerateJsonSchema):
    """Pydantic's generator, with one spelling for what its versions spell differently."""

    # Defaults are dropped, so one that JSON cannot hold is nobody's concern.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic declares it

    def decimal_schema(self, schema: Any) -> dict[str, Any]:
        """Return a plain number: pydantic adds a string branch, whose pattern differs from version to version."""
        bounds = {keyword: float(schema[name]) for name, keyword in _BOUNDS.items() if schema.get(name) is not None}
        return {"type": "number", **bounds}
