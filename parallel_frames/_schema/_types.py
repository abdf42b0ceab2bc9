"""Python types → JSON Schema: scalars, containers, unions, Literal, Enum, dataclasses, TypedDicts, pydantic models.

It owns plain inspection of annotations and what is read from `Annotated`. Pydantic is never imported here: a
model is whatever has `model_json_schema`. It refuses to know mappings and lists of descriptions (`_forms`).
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import sys
import types
import typing
import uuid
from collections import abc
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from parallel_frames.errors import SchemaError

from ._dtypes import dtype_node
from ._keywords import json_type
from ._normal import normalise

if typing.TYPE_CHECKING:
    from ._leaf import Node, Path

_SCALARS: dict[object, Node] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    decimal.Decimal: {"type": "number"},
    bool: {"type": "boolean"},
    None: {"type": "null"},
    type(None): {"type": "null"},
    Any: {},
    object: {},
    dt.date: {"type": "string", "format": "date"},
    dt.datetime: {"type": "string", "format": "date-time"},
    dt.time: {"type": "string", "format": "time"},
    dt.timedelta: {"type": "string", "format": "duration"},
    uuid.UUID: {"type": "string", "format": "uuid"},
}
_LISTS = (list, abc.Sequence, abc.MutableSequence, abc.Iterable, abc.Collection)
_SETS = (set, frozenset, abc.Set, abc.MutableSet)
_MAPPINGS = (dict, abc.Mapping, abc.MutableMapping)
_KEY_MARKS = (typing.Required, typing.NotRequired, getattr(typing, "ReadOnly", typing.Required))
_BOUNDS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
    "multiple_of": "multipleOf",
    "pattern": "pattern",
    "min_length": "minLength",
    "max_length": "maxLength",
}


def is_model(type_: object) -> bool:
    """Whether this is a pydantic model class, or behaves like one."""
    return isinstance(type_, type) and callable(getattr(type_, "model_json_schema", None))


def is_record(type_: object) -> bool:
    """Whether this is a dataclass or a TypedDict."""
    return isinstance(type_, type) and (dataclasses.is_dataclass(type_) or typing.is_typeddict(type_))


def node_of(type_: object, path: Path, *, trail: tuple[object, ...] = ()) -> Node:
    """Return the JSON Schema of a Python type, free of references."""
    if not isinstance(type_, abc.Hashable):
        return _class(type_, path, trail)
    if type_ in _SCALARS:
        return dict(_SCALARS[type_])
    alias = _alias(type_)
    if alias is not None:
        return node_of(alias, path, trail=trail)
    found = _special(type_, path, trail)
    if found is None:
        found = dtype_node(type_, path)
    return found if found is not None else _class(type_, path, trail)


def _alias(type_: object) -> object | None:
    """Return what a NewType, a ``type X = ...``, Required, NotRequired or ReadOnly stands for."""
    if get_origin(type_) in _KEY_MARKS:
        return typing.cast("object", get_args(type_)[0])
    if isinstance(type_, (type, enum.Enum)):
        return None
    return getattr(type_, "__supertype__", None) or getattr(type_, "__value__", None)


def _special(type_: object, path: Path, trail: tuple[object, ...]) -> Node | None:
    """Return the schema of Annotated, Literal, a union or a container; None for anything else."""
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return _annotated(node_of(args[0], path, trail=trail), args[1:])
    if origin is Literal:
        return {"enum": [value.value if isinstance(value, enum.Enum) else value for value in args]}
    if origin is Union or origin is types.UnionType:
        return {"anyOf": [node_of(arg, path, trail=trail) for arg in args]}
    return _container(origin or type_, args, path, trail)


def _container(base: object, args: tuple[Any, ...], path: Path, trail: tuple[object, ...]) -> Node | None:
    """Return the schema of a list, set, tuple or dict type; None for anything else."""
    if base in _MAPPINGS:
        values = node_of(args[1], path, trail=trail) if len(args) == 2 else {}
        return {"type": "object"} | ({"additionalProperties": values} if values else {})
    if base in (*_LISTS, *_SETS):
        unique = {"uniqueItems": True} if base in _SETS else {}
        return {"type": "array", "items": node_of(args[0], path, trail=trail) if args else {}} | unique
    if base is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return {"type": "array", "items": node_of(args[0], path, trail=trail)}
        prefix = [node_of(arg, path, trail=trail) for arg in args]
        length = {"prefixItems": prefix, "minItems": len(args), "maxItems": len(args)}
        return {"type": "array"} | (length if args else {})
    return None


def _class(type_: object, path: Path, trail: tuple[object, ...]) -> Node:
    if type_ in trail:
        raise SchemaError(
            f"{'.'.join(path)}: {getattr(type_, '__name__', type_)} contains itself, and an answer has a fixed depth; "
            "write out the levels you need."
        )
    if is_model(type_):
        return model_node(type_)
    if is_record(type_):
        return record_node(typing.cast("type", type_), path, trail=(*trail, type_))
    if isinstance(type_, type) and issubclass(type_, enum.Enum) and len(type_):
        values = [member.value for member in type_]
        for value in values:
            json_type(value)
        return {"enum": values} | _docstring(type_, "An enumeration.")
    raise SchemaError(
        f"{'.'.join(path) or 'The schema'}: {type_!r} is no type an answer can have. Use str, int, float, bool, "
        "datetime.date, datetime.datetime, list[...], Literal[...], X | None, an Enum, a dataclass, a TypedDict or "
        "a pydantic model; an instruction in words goes beside it: (type, 'description')."
    )


def record_node(type_: type, path: Path, *, trail: tuple[object, ...] = ()) -> Node:
    """Return the schema of a dataclass or TypedDict; what has a default is not required."""
    try:
        hints = typing.get_type_hints(type_, include_extras=True)
    except (NameError, TypeError, SyntaxError) as error:
        raise SchemaError(f"{type_.__name__}: its annotations cannot be read ({error}).") from error
    if dataclasses.is_dataclass(type_):
        fields = dataclasses.fields(type_)
        names = [field.name for field in fields]
        optional = {field.name for field in fields if _has_default(field)}
        said = {field.name: field.metadata.get("description") for field in fields}
    else:
        names, said = list(hints), {}
        optional = {name for name, hint in hints.items() if _is_optional_key(type_, name, hint)}
    properties: dict[str, Node] = {}
    for name in names:
        node = node_of(hints[name], (*path, "properties", name), trail=trail)
        properties[name] = node | ({"description": said[name]} if said.get(name) else {})
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required} | _docstring(type_)


def model_node(model: Any) -> Node:
    """Return the normal form of a pydantic model's own JSON Schema."""
    try:
        document = _model_document(model)
    except (TypeError, RuntimeError, NameError) as error:  # what pydantic's own errors derive from
        raise SchemaError(f"{model.__name__}: pydantic cannot describe it ({error}).") from error
    return normalise(document)


def _model_document(model: Any) -> dict[str, Any]:
    pydantic = sys.modules.get("pydantic")
    if pydantic is None or not issubclass(model, pydantic.BaseModel):
        return typing.cast("dict[str, Any]", model.model_json_schema())
    from ._pydantic import StableJsonSchema

    return typing.cast("dict[str, Any]", model.model_json_schema(schema_generator=StableJsonSchema))


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _is_optional_key(type_: type, name: str, hint: object) -> bool:
    """Whether a TypedDict's key may be absent; the hint wins, because string annotations hide it from the class."""
    origin = get_origin(hint)
    if origin is typing.NotRequired:
        return True
    return origin is not typing.Required and name in getattr(type_, "__optional_keys__", ())


def _docstring(type_: type, *generated: str) -> Node:
    """Return a class's docstring as its description, unless Python wrote it."""
    text = type_.__doc__ or ""
    if not text.strip() or text in generated or text.startswith(f"{type_.__name__}("):
        return {}
    return {"description": inspect.cleandoc(text)}


def _annotated(node: Node, extras: tuple[Any, ...]) -> Node:
    """Add what stands in `Annotated`: texts, pydantic's FieldInfo, annotated_types' bounds, `Doc`."""
    for extra in extras:
        if isinstance(extra, str):
            node = node | {"description": extra}
            continue
        said = getattr(extra, "description", None) or getattr(extra, "documentation", None)
        examples = getattr(extra, "examples", None)
        node = node | ({"description": said} if isinstance(said, str) else {})
        node = node | ({"examples": list(examples)} if isinstance(examples, list) else {})
        for bound in (extra, *(getattr(extra, "metadata", None) or ())):
            node = node | _bounds(bound, is_array=node.get("type") == "array")
    return node


def _bounds(extra: object, *, is_array: bool) -> Node:
    """Return the constraints an object states by the attribute names of annotated_types."""
    told: Node = {}
    for name, keyword in _BOUNDS.items():
        value = getattr(extra, name, None)
        if isinstance(value, (int, float, str)):
            told[keyword.replace("Length", "Items") if is_array else keyword] = value
    return told
