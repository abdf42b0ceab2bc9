"""Python types → JSON Schema: scalars, containers, unions, Literal, Enum, dataclasses, TypedDicts, pydantic models.

Annotations are inspected, nothing more. Pydantic is never imported here: a model is whatever has `model_json_schema`,
and what else pydantic or annotated_types made is read by the names of its attributes. Mappings and lists of
descriptions are the business of `_forms`.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import inspect
import re
import types
import typing
import uuid
from collections import abc
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from parallel_frames._schema._dtypes import dtype_node
from parallel_frames._schema._normal import Node, Path, normalise
from parallel_frames.errors import SchemaError

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
_QUALIFIERS = frozenset({"Required", "NotRequired", "ReadOnly"})  # by name: typing_extensions has its own
BOUNDS = {
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
    """Whether this is a dataclass or a TypedDict, of typing or of typing_extensions."""
    if not isinstance(type_, type):
        return False
    is_typed_dict = issubclass(type_, dict) and hasattr(type_, "__required_keys__") and hasattr(type_, "__total__")
    return dataclasses.is_dataclass(type_) or is_typed_dict


def type_node(type_: object, path: Path, *, trail: tuple[object, ...] = ()) -> Node:
    try:
        scalar = _SCALARS.get(type_)
    except TypeError:  # it holds a value without a hash, such as Annotated[int, {...}]
        scalar = None
    if scalar is not None:
        return dict(scalar)
    # Before anything is compared with it: numpy's dtype of objects equals list, dict and every other class.
    node = dtype_node(type_, path)
    if node is not None:
        return node
    alias = _alias(type_)
    if alias is not None:
        return type_node(alias, path, trail=trail)
    node = _generic_node(type_, path, trail)
    return node if node is not None else _class_node(type_, path, trail)


def _alias(type_: object) -> object | None:
    """Return what a NewType, a ``type X = ...``, Required, NotRequired or ReadOnly stands for."""
    if _qualifier(type_):
        return typing.cast("object", get_args(type_)[0])
    if isinstance(type_, (type, enum.Enum)):
        return None
    return getattr(type_, "__supertype__", None) or getattr(type_, "__value__", None)


def _generic_node(type_: object, path: Path, trail: tuple[object, ...]) -> Node | None:
    """Return the schema of Annotated, Literal, a union or a container; None for anything else."""
    origin, args = get_origin(type_), get_args(type_)
    base: Any = origin or type_
    if origin is Annotated:
        return _annotated_node(type_node(args[0], path, trail=trail), args[1:])
    if origin is Literal:
        return {"enum": [value.value if isinstance(value, enum.Enum) else value for value in args]}
    if origin is Union or origin is types.UnionType:
        return {"anyOf": [type_node(arg, path, trail=trail) for arg in args]}
    if base in _MAPPINGS:
        values = type_node(args[1], path, trail=trail) if len(args) == 2 else {}
        return {"type": "object"} | ({"additionalProperties": values} if values else {})
    if base in (*_LISTS, *_SETS) or (base is tuple and len(args) == 2 and args[1] is Ellipsis):
        unique = {"uniqueItems": True} if base in _SETS else {}
        return {"type": "array", "items": type_node(args[0], path, trail=trail) if args else {}} | unique
    if base is tuple:
        prefix = [type_node(arg, path, trail=trail) for arg in args]
        length = {"minItems": len(args), "maxItems": len(args)}
        return {"type": "array"} | ({"prefixItems": prefix, **length} if args else {})
    return None


def _class_node(type_: object, path: Path, trail: tuple[object, ...]) -> Node:
    if type_ in trail:
        raise SchemaError(
            f"{'.'.join(path)}: {getattr(type_, '__name__', type_)} contains itself, and an answer has a fixed depth; "
            "write out the levels you need."
        )
    if is_model(type_):
        return model_node(type_, path)
    if is_record(type_):
        return record_node(typing.cast("type", type_), path, trail=(*trail, type_))
    if isinstance(type_, type) and issubclass(type_, enum.Enum) and len(type_):
        return {"enum": [member.value for member in type_]} | _docstring(type_, "An enumeration.")
    if hasattr(type_, "__get_pydantic_core_schema__"):  # HttpUrl, for example
        return model_node(type_, path)
    raise SchemaError(
        f"{'.'.join(path) or 'The schema'}: an answer cannot have the type {type_!r}. Use str, int, float, bool, "
        "datetime.date, datetime.datetime, list[...], Literal[...], X | None, an Enum, a dataclass, a TypedDict or "
        "a pydantic model; for an instruction in words write (type, 'description')."
    )


# Annotated


def _annotated_node(node: Node, extras: tuple[Any, ...]) -> Node:
    """Return a node with the texts, FieldInfos, bounds and `Doc` of its annotation; anything else is ignored."""
    for extra in extras:
        if isinstance(extra, str):
            node = node | {"description": extra}
            continue
        description = getattr(extra, "description", None) or getattr(extra, "documentation", None)
        examples = getattr(extra, "examples", None)
        node = node | ({"description": description} if isinstance(description, str) else {})
        node = node | ({"examples": list(examples)} if isinstance(examples, list) else {})
        metadata = getattr(extra, "metadata", None)  # what a FieldInfo was made of
        for bound in (extra, *(metadata if isinstance(metadata, (list, tuple)) else ())):
            node = node | _bounds(bound, node)
    return node


def _bounds(extra: object, node: Node) -> Node:
    """Return the constraints in an object, by the attribute names of annotated_types."""
    bounds: Node = {}
    for name, keyword in BOUNDS.items():
        value = getattr(extra, name, None)
        if isinstance(value, decimal.Decimal):
            value = float(value)
        elif isinstance(value, re.Pattern):
            value = str(value.pattern)
        if isinstance(value, (int, float, str)):  # JSON Schema has no bounds for dates
            bounds |= dict.fromkeys(_bound_keywords(keyword, node), value)
    return bounds


def _bound_keywords(keyword: str, node: Node) -> list[str]:
    """Return a bound's keywords: a length is one of characters, elements or properties, in a union of any of them."""
    if not keyword.endswith("Length"):
        return [keyword]
    size = keyword.removesuffix("Length")
    if "anyOf" in node:
        return [f"{size}Length", f"{size}Items", f"{size}Properties"]
    counted = {"array": "Items", "object": "Properties"}.get(str(node.get("type")), "Length")
    return [f"{size}{counted}"]


# Records and models


class _Field(typing.NamedTuple):
    """A field of a record: its name in the class and in an answer, and what annotates it besides its type."""

    name: str
    alias: str
    optional: bool
    extras: tuple[Any, ...] = ()


def record_node(type_: type, path: Path, *, trail: tuple[object, ...] = ()) -> Node:
    """Return the schema of a dataclass or TypedDict; a field with a default is not required."""
    try:
        hints = typing.get_type_hints(type_, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise SchemaError(f"{type_.__name__}: its annotations cannot be read ({error}).") from error
    if dataclasses.is_dataclass(type_):
        fields = _dataclass_fields(type_)
    else:
        fields = [_Field(name, name, _is_optional_key(type_, name, hint)) for name, hint in hints.items()]
    properties = {}
    for field in fields:
        node = type_node(hints[field.name], (*path, "properties", field.alias), trail=trail)
        properties[field.alias] = _annotated_node(node, field.extras)
    required = [field.alias for field in fields if not field.optional]
    return {"type": "object", "properties": properties, "required": required} | _docstring(type_)


def _dataclass_fields(type_: Any) -> list[_Field]:
    """Return the fields of a dataclass; of pydantic's kind, a default may be a FieldInfo, and names have aliases."""
    infos = getattr(type_, "__pydantic_fields__", {})
    fields = []
    for field in dataclasses.fields(type_):
        alias = getattr(infos.get(field.name), "validation_alias", None)
        alias = alias if isinstance(alias, str) else field.name
        default: Any = field.default
        if callable(getattr(default, "is_required", None)):
            fields.append(_Field(field.name, alias, not default.is_required(), (default,)))
        else:
            has_default = default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
            description = field.metadata.get("description")
            fields.append(_Field(field.name, alias, has_default, (description,) if description else ()))
    return fields


def _is_optional_key(type_: type, name: str, hint: object) -> bool:
    """Whether a TypedDict's key may be absent; the hint wins, because string annotations hide it from the class."""
    qualifier = _qualifier(hint)
    if qualifier == "ReadOnly" or get_origin(hint) is Annotated:
        return _is_optional_key(type_, name, get_args(hint)[0])
    return qualifier == "NotRequired" or (qualifier != "Required" and name in getattr(type_, "__optional_keys__", ()))


def _qualifier(hint: object) -> str:
    """Return the name of what qualifies a TypedDict's key; empty where nothing does."""
    name = getattr(get_origin(hint), "_name", None)
    return name if name in _QUALIFIERS else ""


def model_node(model: Any, path: Path = ()) -> Node:
    """Return the normal form of the schema that a type describes itself with, through pydantic or without it."""
    try:
        if is_model(model) and not hasattr(model, "__pydantic_validator__"):
            document = model.model_json_schema()
        else:
            from parallel_frames._schema._pydantic import document_of

            document = document_of(model)
    except (TypeError, RuntimeError, NameError, ImportError) as error:  # the bases of pydantic's own errors
        raise SchemaError(f"{getattr(model, '__name__', model)}: pydantic cannot describe it ({error}).") from error
    return normalise(document, path)


def _docstring(type_: type, *generated: str) -> Node:
    """Return a class's docstring as its description, unless Python wrote it."""
    text = type_.__doc__ or ""
    if not text.strip() or text in generated or text.startswith(f"{type_.__name__}("):
        return {}
    return {"description": inspect.cleandoc(text)}
