"""Which form the user wrote, and the JSON Schema it means.

It owns telling the forms apart, names that become columns, and what a person is told who gave something else. It
does not normalise, translate or check limits.
"""

from __future__ import annotations

import json
import typing
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from parallel_frames._schema._dtypes import named_dtype_node
from parallel_frames._schema._normal import check_names, normalise, slug
from parallel_frames._schema._types import is_model, is_record, model_node, node_of, record_node
from parallel_frames.errors import SchemaError

if typing.TYPE_CHECKING:
    from parallel_frames._schema._leaf import Node, Path

JSON_TYPES = frozenset({"object", "string", "integer", "number", "boolean", "array", "null"})
KEYWORDS = frozenset(
    """type properties required additionalProperties description title default examples enum const items prefixItems
    anyOf oneOf allOf not if then else $ref $defs definitions $schema $id $comment $anchor nullable discriminator
    format pattern minLength maxLength minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minItems maxItems
    uniqueItems contains minContains maxContains minProperties maxProperties propertyNames patternProperties
    unevaluatedProperties unevaluatedItems dependentRequired dependentSchemas deprecated readOnly writeOnly
    contentMediaType contentEncoding""".split()  # noqa: SIM905 - a list of eighty quoted words is no better to read
)
SIGNS = ("type", "properties", "$ref", "$defs", "definitions", "anyOf", "oneOf", "allOf", "enum", "const", "$schema")
_WRAPPERS = {
    "json": "{'type': 'json', 'json_schema': {...}}",
    "text": "{'type': 'text', 'description': '...'}",
    "auto": "{'type': 'auto'}",
}
HOW_TO = (
    "Give a pydantic model, a dataclass or TypedDict, a JSON Schema, {'column': 'what to find'}, {'column': type}, "
    "{'column': (type, 'what to find')}, a list of descriptions, one description for a text, or 'auto'."
)


class Form(NamedTuple):
    """What the user asked for: a JSON Schema, a text with its description, or whatever the service chooses."""

    kind: Literal["json", "text", "auto"]
    document: Node
    model: type | None = None


def read_form(schema: object) -> Form:
    """Tell the forms apart."""
    if isinstance(schema, str):
        return _text(schema)
    if is_model(schema) or is_record(schema):
        return _class(typing.cast("type", schema))
    if isinstance(schema, Mapping):
        return _mapping(schema)
    if isinstance(schema, (list, tuple)):
        return Form("json", object_of(_described(schema)))
    if is_model(type(schema)) or is_record(type(schema)):
        name = type(schema).__name__
        raise SchemaError(f"The schema is an instance of {name}; give the class itself: {name}, not {name}(...).")
    shown = repr(schema) if len(repr(schema)) <= 100 else f"{repr(schema)[:100]}…"
    raise SchemaError(f"{shown} ({type(schema).__name__}) is no schema. {HOW_TO}")


def _class(schema: type) -> Form:
    if is_model(schema):
        return Form("json", model_node(schema), schema)
    model = schema if hasattr(schema, "__pydantic_validator__") else None  # a dataclass that pydantic validates
    return Form("json", record_node(schema, (), trail=(schema,)), model)


def _text(description: str) -> Form:
    text = description.strip()
    if text == "auto":
        return Form("auto", {})
    if not text:
        raise SchemaError(f"The schema is an empty text. {HOW_TO}")
    if text.startswith("{"):
        try:
            json.loads(text)
        except ValueError:
            pass
        else:
            raise SchemaError("The schema is JSON in a text, which reads as a description; json.loads it first.")
    return Form("text", {"description": text})


def _mapping(schema: Mapping[typing.Any, typing.Any]) -> Form:
    """Tell the vendor's wrappers, a JSON Schema, and a mapping of columns apart."""
    if not schema:
        raise SchemaError(f"The schema is empty. {HOW_TO}")
    wrapped = _vendor_form(schema)
    if wrapped is not None:
        return wrapped
    if is_json_schema(schema, path=()):
        return Form("json", normalise(schema))
    return Form("json", object_of(schema))


def _vendor_form(schema: Mapping[typing.Any, typing.Any]) -> Form | None:
    """Return what a wrapper of the service holds; None where there is none."""
    kind, keys = schema.get("type"), schema.keys()
    if kind == "json" and "json_schema" in keys and keys <= {"type", "json_schema"}:
        inner = schema["json_schema"]
        if is_model(inner) or is_record(inner):
            return _class(inner)
        if not isinstance(inner, Mapping):
            raise SchemaError(f"json_schema holds {inner!r}; it takes a JSON Schema.")
        return Form("json", normalise(inner))
    if kind == "text" and keys <= {"type", "description"}:
        said = schema.get("description")
        if said is not None and not isinstance(said, str):
            raise SchemaError(f"The description of a text is a text, not {said!r}.")
        return Form("text", {"description": said.strip()} if said and said.strip() else {})
    if kind == "auto" and len(keys) == 1:
        return Form("auto", {})
    if isinstance(kind, str) and kind in ("json", "text", "auto"):
        raise SchemaError(
            f"'type': {kind!r} reads like the service's own wrapper, which is {_WRAPPERS[kind]}; for a column named "
            "'type' write {'type': (str, 'what to find')}."
        )
    if keys <= {"output_schema", "input_schema"} and isinstance(schema.get("output_schema"), Mapping):
        raise SchemaError("This is a whole task spec; give what its 'output_schema' holds.")
    return None


def is_json_schema(schema: Mapping[typing.Any, typing.Any], *, path: Path) -> bool:
    """Whether a mapping is a JSON Schema rather than columns; refuse what could be either.

    A keyword counts by what it holds: ``properties`` by schemas, ``type`` by a JSON type's name, ``anyOf`` by a list
    of schemas. Words other than these are descriptions, so ``type`` and ``properties`` can be columns too.
    """
    signs = [keyword for keyword in SIGNS if keyword in schema and _is_keyword(keyword, schema)]
    if not signs:
        return False
    strange = [key for key in schema if key not in KEYWORDS and not str(key).startswith(("x-", "$"))]
    surely = schema.get("type") == "object" and "properties" in signs
    if strange and not surely:
        where = ".".join(path) or "The schema"
        raise SchemaError(
            f"{where}: {signs[0]!r} reads like JSON Schema and {strange[0]!r} like a column. For a JSON Schema put "
            f"the columns under 'properties'; for a column named {signs[0]!r} write "
            f"{{{signs[0]!r}: (str, 'what to find')}}."
        )
    return True


def _is_keyword(keyword: str, schema: Mapping[typing.Any, typing.Any]) -> bool:
    """Whether this key holds what the JSON Schema keyword of that name would hold."""
    value = schema[keyword]
    if keyword == "type":
        names = value if isinstance(value, list) else [value]
        return bool(names) and all(isinstance(name, str) and name in JSON_TYPES for name in names)
    if keyword in ("properties", "$defs", "definitions"):
        return isinstance(value, Mapping) and all(isinstance(v, (Mapping, bool)) for v in value.values())
    if keyword in ("anyOf", "oneOf", "allOf"):
        return isinstance(value, list) and all(isinstance(v, Mapping) for v in value)
    if keyword == "$ref":
        return isinstance(value, str) and value.startswith("#")
    if keyword == "$schema":
        return isinstance(value, str) and "://" in value
    return isinstance(value, list) if keyword == "enum" else keyword == "const" and not isinstance(value, (str, type))


def object_of(columns: Mapping[typing.Any, typing.Any], path: Path = ()) -> Node:
    """Return the object with one required property per column."""
    check_names(columns, where=".".join(path) or "The schema")
    properties = {name: _column(value, (*path, name)) for name, value in columns.items()}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _column(value: object, path: Path) -> Node:
    """Return the schema of one column from a description, a type, both, or a schema."""
    where = ".".join(path)
    if isinstance(value, str):
        if not value.strip():
            raise SchemaError(f"{where}: the description is empty; say what to find, or give a type.")
        return {"type": "string", "description": value}
    if isinstance(value, tuple):
        named = named_dtype_node(value[0]) if value and isinstance(value[0], str) else None
        if len(value) != 2 or (isinstance(value[0], str) and named is None) or not isinstance(value[1], str):
            raise SchemaError(f"{where}: {value!r} should be (type, 'description'), a Python type and a text.")
        return (named or _column(value[0], path)) | {"description": value[1]}
    if isinstance(value, Mapping):
        if not value:
            raise SchemaError(f"{where}: the mapping is empty; name its fields, or write dict for any object.")
        return normalise(value) if is_json_schema(value, path=path) else object_of(value, path)
    if value is None or isinstance(value, list):
        hint = "Literal['a', 'b'] for a choice, list[str] for a list" if value is not None else "a type or a text"
        raise SchemaError(f"{where}: {value!r} is no type; write {hint}.")
    return node_of(value, path)


def _described(descriptions: Iterable[object]) -> dict[str, str]:
    """Return the columns of a list of descriptions, named by slug."""
    columns: dict[str, str] = {}
    for description in descriptions:
        if not isinstance(description, str) or not description.strip():
            raise SchemaError(f"A list of columns holds descriptions in words, not {description!r}. {HOW_TO}")
        name = slug(description)
        if not name:
            raise SchemaError(f"{description!r} has no letter or digit to make a column name of.")
        if name in columns:
            raise SchemaError(
                f"{columns[name]!r} and {description!r} both make the column {name!r}; name them yourself: "
                "{'name': 'description', ...}."
            )
        columns[name] = description
    if not columns:
        raise SchemaError(f"The list of columns is empty. {HOW_TO}")
    return columns
