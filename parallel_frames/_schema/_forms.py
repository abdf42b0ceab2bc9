"""Which form of schema the user gave, and the JSON Schema it stands for.

This module decides which form it is, names the columns, and has the messages for anything else. It does not check the
service's limits.
"""

from __future__ import annotations

import json
import re
import typing
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from parallel_frames._schema._dtypes import named_dtype_node, python_type_for
from parallel_frames._schema._normal import APPLIES, Node, Path, check_names, normalise
from parallel_frames._schema._types import is_model, is_record, model_node, record_node, type_node
from parallel_frames.errors import SchemaError

_KEYWORDS = frozenset(
    """type properties required additionalProperties description title default examples enum const items prefixItems
    anyOf oneOf allOf not if then else $ref $defs definitions $schema $id $comment $anchor nullable discriminator
    format pattern minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minItems maxItems
    uniqueItems contains minContains maxContains minProperties maxProperties propertyNames patternProperties
    unevaluatedProperties unevaluatedItems dependentRequired dependentSchemas deprecated readOnly writeOnly
    contentMediaType contentEncoding""".split()  # noqa: SIM905 - eighty quoted words would be harder to read
)
_TYPICAL_KEYWORDS = (
    "type", "properties", "$ref", "$defs", "definitions", "anyOf", "oneOf", "allOf", "enum", "const", "$schema"
)  # fmt: skip
_WRAPPERS = {
    "json": "{'type': 'json', 'json_schema': {...}}",
    "text": "{'type': 'text', 'description': '...'}",
    "auto": "{'type': 'auto'}",
}
_HOW_TO = (
    "Give a pydantic model, a dataclass or TypedDict, a JSON Schema, {'column': 'what to find'}, {'column': type}, "
    "{'column': (type, 'what to find')}, a list of descriptions, one description for a text, or 'auto'."
)


class Form(NamedTuple):
    """What the user asked for: a JSON Schema, a text with its description, or whatever the service chooses."""

    kind: Literal["json", "text", "auto"]
    document: Node
    model: type | None = None


def read_form(schema: object) -> Form:
    if isinstance(schema, str):
        return _text_form(schema)
    if is_model(schema) or is_record(schema):
        return _class_form(typing.cast("type", schema))
    if isinstance(schema, Mapping):
        if not schema:
            raise SchemaError(f"The schema is empty. {_HOW_TO}")
        wrapped = _wrapped_form(schema)
        if wrapped is not None:
            return wrapped
        return Form("json", normalise(schema) if _is_json_schema(schema, ()) else _object_node(schema))
    if isinstance(schema, (list, tuple)):
        return Form("json", _object_node(_named_descriptions(schema)))
    name = type(schema).__name__
    if is_model(type(schema)) or is_record(type(schema)):
        raise SchemaError(f"The schema is an instance of {name}; give the class itself: {name}, not {name}(...).")
    text = repr(schema)
    raise SchemaError(f"{text[:100]}{'…' if len(text) > 100 else ''} ({name}) cannot be a schema. {_HOW_TO}")


def _class_form(schema: type) -> Form:
    if is_model(schema):
        return Form("json", model_node(schema), schema)
    model = schema if hasattr(schema, "__pydantic_validator__") else None  # a dataclass that pydantic validates
    return Form("json", record_node(schema, (), trail=(schema,)), model)


def _text_form(description: str) -> Form:
    text = description.strip()
    if text == "auto":
        return Form("auto", {})
    if not text:
        raise SchemaError(f"The schema is an empty text. {_HOW_TO}")
    if text.startswith("{"):
        try:
            json.loads(text)
        except ValueError:
            pass
        else:
            raise SchemaError("The schema is JSON in a text, which reads as a description; json.loads it first.")
    return Form("text", {"description": text})


def _wrapped_form(schema: Mapping[Any, Any]) -> Form | None:
    """Return what a wrapper of the service holds; None where there is none."""
    kind, keys = schema.get("type"), schema.keys()
    if kind == "json" and "json_schema" in keys and keys <= {"type", "json_schema"}:
        inner = schema["json_schema"]
        if is_model(inner) or is_record(inner):
            return _class_form(inner)
        if not isinstance(inner, Mapping):
            raise SchemaError(f"json_schema must be a JSON Schema, not {inner!r}.")
        return Form("json", normalise(inner))
    if kind == "text" and keys <= {"type", "description"}:
        description = schema.get("description")
        if description is not None and not isinstance(description, str):
            raise SchemaError(f"The description of a text must be a text, not {description!r}.")
        return Form("text", {"description": description.strip()} if description and description.strip() else {})
    if kind == "auto" and len(keys) == 1:
        return Form("auto", {})
    if isinstance(kind, str) and kind in _WRAPPERS:
        raise SchemaError(
            f"'type': {kind!r} reads like the service's own wrapper, which is {_WRAPPERS[kind]}; for a column named "
            "'type' write {'type': (str, 'what to find')}."
        )
    if keys <= {"output_schema", "input_schema"} and isinstance(schema.get("output_schema"), Mapping):
        raise SchemaError("This is a whole task spec; give the value of its 'output_schema'.")
    return None


def _is_json_schema(schema: Mapping[Any, Any], path: Path) -> bool:
    """Whether a mapping is a JSON Schema rather than columns; refuse what could be either.

    A keyword counts by what it holds: ``properties`` by schemas, ``type`` by a JSON type's name, ``anyOf`` by a list
    of schemas. Words other than these are descriptions, so ``type`` and ``properties`` can be columns too.
    """
    typical = [keyword for keyword in _TYPICAL_KEYWORDS if keyword in schema and _is_keyword(keyword, schema[keyword])]
    if not typical:
        return False
    others = [key for key in schema if key not in _KEYWORDS and not str(key).startswith(("x-", "$"))]
    if others and not (schema.get("type") == "object" and "properties" in typical):
        where = ".".join(path) or "The schema"
        raise SchemaError(
            f"{where}: {typical[0]!r} reads like JSON Schema and {others[0]!r} like a column. For a JSON Schema put "
            f"the columns under 'properties'; for a column named {typical[0]!r} write "
            f"{{{typical[0]!r}: (str, 'what to find')}}."
        )
    return True


def _is_keyword(keyword: str, value: Any) -> bool:
    """Whether a value is what the JSON Schema keyword of that name would hold."""
    if keyword == "type":
        names = value if isinstance(value, list) else [value]
        return bool(names) and all(isinstance(name, str) and name in APPLIES for name in names)
    if keyword in ("properties", "$defs", "definitions"):
        return isinstance(value, Mapping) and all(isinstance(v, (Mapping, bool)) for v in value.values())
    if keyword in ("anyOf", "oneOf", "allOf"):
        return isinstance(value, list) and all(isinstance(v, Mapping) for v in value)
    if keyword == "$ref":
        return isinstance(value, str) and value.startswith("#")
    if keyword == "$schema":
        return isinstance(value, str) and "://" in value
    return isinstance(value, list) if keyword == "enum" else not isinstance(value, (str, type))


def _object_node(columns: Mapping[Any, Any], path: Path = ()) -> Node:
    check_names(columns, where=".".join(path) or "The schema")
    properties = {name: _column_node(value, (*path, name)) for name, value in columns.items()}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _column_node(value: object, path: Path) -> Node:
    """Return the schema of one column from a description, a type, both, or a schema."""
    where = ".".join(path)
    if isinstance(value, str):
        if not value.strip():
            raise SchemaError(f"{where}: the description is empty; write what to find, or give a type.")
        return {"type": "string", "description": value}
    if isinstance(value, tuple):
        named = named_dtype_node(value[0]) if value and isinstance(value[0], str) else None
        if len(value) != 2 or (isinstance(value[0], str) and named is None) or not isinstance(value[1], str):
            raise SchemaError(f"{where}: {_shown(value)} must be (type, 'description'){_meant(value)}.")
        return (named or _column_node(value[0], path)) | {"description": value[1]}
    if isinstance(value, Mapping):
        if not value:
            raise SchemaError(f"{where}: the mapping is empty; name its fields, or write dict for any object.")
        return normalise(value) if _is_json_schema(value, path) else _object_node(value, path)
    if value is None or isinstance(value, list):
        hint = "Literal['a', 'b'] for a choice, list[str] for a list" if value is not None else "a type or a text"
        raise SchemaError(f"{where}: {value!r} cannot be a type; write {hint}.")
    return type_node(value, path)


def _shown(value: tuple[object, ...]) -> str:
    """Return a tuple with its types as they are written."""
    parts = [part.__name__ if type(part) is type else repr(part) for part in value]
    return f"({', '.join(parts)}{',' * (len(parts) == 1)})"


def _meant(value: tuple[object, ...]) -> str:
    """Return what to write for a type behind its description, or between quotes."""
    match value:
        case (str(type_), str(description)) if (python := python_type_for(type_)) is not None:
            return f"; write ({python}, {description!r})"
        case (str(description), type_) if not isinstance(type_, str | None):
            return f"; write {_shown((type_, description))}"
    return ", a Python type and a text"


def _named_descriptions(descriptions: Iterable[object]) -> dict[str, str]:
    """Return the columns of a list of descriptions; "CEO name" makes the column "ceo_name"."""
    columns: dict[str, str] = {}
    for description in descriptions:
        if not isinstance(description, str) or not description.strip():
            raise SchemaError(f"A list of columns must hold descriptions in words, not {description!r}. {_HOW_TO}")
        name = re.sub(r"[\W_]+", "_", unicodedata.normalize("NFKC", description).lower()).strip("_")
        if not name:
            raise SchemaError(f"{description!r} has no letter or digit to make a column name of.")
        if name in columns:
            raise SchemaError(
                f"{columns[name]!r} and {description!r} both make the column {name!r}; name them yourself: "
                "{'name': 'description', ...}."
            )
        columns[name] = description
    if not columns:
        raise SchemaError(f"The list of columns is empty. {_HOW_TO}")
    return columns
