"""Python types → JSON Schema: scalars, containers, unions, Literal, Enum, dataclasses, TypedDicts, pydantic models.

It owns plain inspection of annotations. Pydantic is never imported here: a model is whatever has `model_json_schema`,
and what else pydantic made says so by its attributes. It refuses to know mappings and lists of descriptions (`_forms`).
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
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from parallel_frames._schema._dtypes import dtype_node
from parallel_frames._schema._normal import normalise
from parallel_frames.errors import SchemaError

if TYPE_CHECKING:
    from parallel_frames._schema._leaf import Node, Path

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


def annotated_node(node: Node, extras: tuple[Any, ...]) -> Node:
    """Return a node with what is said of it in `Annotated`."""
    for extra in extras:
        if isinstance(extra, str):
            node = node | {"description": extra}
            continue
        said = getattr(extra, "description", None) or getattr(extra, "documentation", None)
        examples = getattr(extra, "examples", None)
        node = node | ({"description": said} if isinstance(said, str) else {})
        node = node | ({"examples": list(examples)} if isinstance(examples, list) else {})
        for bound in (extra, *_parts(extra)):
            node = node | _bounds(bound, node)
    return node


def _parts(extra: object) -> tuple[Any, ...]:
    """Return what a FieldInfo was made of."""
    metadata = getattr(extra, "metadata", None)
    return tuple(metadata) if isinstance(metadata, (list, tuple)) else ()


def _bounds(extra: object, node: Node) -> Node:
    """Return the constraints an object states by the attribute names of annotated_types."""
    told: Node = {}
    for name, keyword in _BOUNDS.items():
        value = _plain(getattr(extra, name, None))
        if value is not None:
            told |= dict.fromkeys(_keywords(keyword, node), value)
    return told


def _plain(value: object) -> int | float | str | None:
    """Return a bound as JSON has it; None for one that JSON Schema cannot state, such as a date."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, re.Pattern):
        return str(value.pattern)
    return value if isinstance(value, (int, float, str)) else None


def _keywords(keyword: str, node: Node) -> list[str]:
    """Return a bound's keywords: a length is one of characters, elements or properties, in a union of any of them."""
    if not keyword.endswith("Length"):
        return [keyword]
    size = keyword.removesuffix("Length")
    if "anyOf" in node:
        return [f"{size}Length", f"{size}Items", f"{size}Properties"]
    counted = {"array": "Items", "object": "Properties"}.get(str(node.get("type")), "Length")
    return [f"{size}{counted}"]


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
_KEY_MARKS = frozenset({"Required", "NotRequired", "ReadOnly"})  # by name: typing_extensions has its own


def is_model(type_: object) -> bool:
    """Whether this is a pydantic model class, or behaves like one."""
    return isinstance(type_, type) and callable(getattr(type_, "model_json_schema", None))


def is_record(type_: object) -> bool:
    """Whether this is a dataclass or a TypedDict."""
    return isinstance(type_, type) and (dataclasses.is_dataclass(type_) or _is_typed_dict(type_))


def _is_typed_dict(type_: type) -> bool:
    """Whether this is a TypedDict, of typing or of typing_extensions."""
    return issubclass(type_, dict) and hasattr(type_, "__required_keys__") and hasattr(type_, "__total__")


def node_of(type_: object, path: Path, *, trail: tuple[object, ...] = ()) -> Node:
    """Return the JSON Schema of a Python type, free of references."""
    scalar = _scalar(type_)
    if scalar is not None:
        return dict(scalar)
    # Before anything is compared with it: numpy's dtype of objects equals list, dict and every other class.
    found = dtype_node(type_, path)
    if found is not None:
        return found
    alias = _alias(type_)
    if alias is not None:
        return node_of(alias, path, trail=trail)
    found = _special(type_, path, trail)
    return found if found is not None else _class(type_, path, trail)


def _scalar(type_: object) -> Node | None:
    try:
        return _SCALARS.get(type_)
    except TypeError:  # it holds what has no hash, such as Annotated[int, {...}]
        return None


def _alias(type_: object) -> object | None:
    """Return what a NewType, a ``type X = ...``, Required, NotRequired or ReadOnly stands for."""
    if _mark(type_):
        return typing.cast("object", get_args(type_)[0])
    if isinstance(type_, (type, enum.Enum)):
        return None
    return getattr(type_, "__supertype__", None) or getattr(type_, "__value__", None)


def _special(type_: object, path: Path, trail: tuple[object, ...]) -> Node | None:
    """Return the schema of Annotated, Literal, a union or a container; None for anything else."""
    origin, args = get_origin(type_), get_args(type_)
    if origin is Annotated:
        return annotated_node(node_of(args[0], path, trail=trail), args[1:])
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
        return model_node(type_, path)
    if is_record(type_):
        return record_node(typing.cast("type", type_), path, trail=(*trail, type_))
    if isinstance(type_, type) and issubclass(type_, enum.Enum) and len(type_):
        return {"enum": [member.value for member in type_]} | _docstring(type_, "An enumeration.")
    if hasattr(type_, "__get_pydantic_core_schema__"):  # HttpUrl and its like
        return model_node(type_, path)
    raise SchemaError(
        f"{'.'.join(path) or 'The schema'}: {type_!r} is no type an answer can have. Use str, int, float, bool, "
        "datetime.date, datetime.datetime, list[...], Literal[...], X | None, an Enum, a dataclass, a TypedDict or "
        "a pydantic model; an instruction in words goes beside it: (type, 'description')."
    )


def record_node(type_: type, path: Path, *, trail: tuple[object, ...] = ()) -> Node:
    """Return the schema of a dataclass or TypedDict; what has a default is not required."""
    try:
        hints = typing.get_type_hints(type_, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise SchemaError(f"{type_.__name__}: its annotations cannot be read ({error}).") from error
    fields = _dataclass_fields(type_) if dataclasses.is_dataclass(type_) else _typed_dict_keys(type_, hints)
    properties = {
        field.asked: annotated_node(
            node_of(hints[field.name], (*path, "properties", field.asked), trail=trail), field.beside
        )
        for field in fields
    }
    required = [field.asked for field in fields if not field.optional]
    return {"type": "object", "properties": properties, "required": required} | _docstring(type_)


class _Field(typing.NamedTuple):
    """A field of a record: its name in the class and in an answer, and what is said beside its type."""

    name: str
    asked: str
    optional: bool
    beside: tuple[Any, ...] = ()


def _dataclass_fields(type_: Any) -> list[_Field]:
    """Return the fields of a dataclass; of pydantic's kind, a default may be a FieldInfo, and names have aliases."""
    infos = getattr(type_, "__pydantic_fields__", {})
    found = []
    for field in dataclasses.fields(type_):
        alias = getattr(infos.get(field.name), "validation_alias", None)
        asked = alias if isinstance(alias, str) else field.name
        default: Any = field.default
        if callable(getattr(default, "is_required", None)):
            found.append(_Field(field.name, asked, not default.is_required(), (default,)))
        else:
            said = field.metadata.get("description")
            found.append(_Field(field.name, asked, _has_default(field), (said,) if said else ()))
    return found


def _typed_dict_keys(type_: type, hints: abc.Mapping[str, Any]) -> list[_Field]:
    return [_Field(name, name, _is_optional_key(type_, name, hint)) for name, hint in hints.items()]


def model_node(model: Any, path: Path = ()) -> Node:
    """Return the normal form of what pydantic (or a model that does without it) says of a type."""
    try:
        document = _model_document(model)
    except (TypeError, RuntimeError, NameError, ImportError) as error:  # what pydantic's own errors derive from
        raise SchemaError(f"{getattr(model, '__name__', model)}: pydantic cannot describe it ({error}).") from error
    return normalise(document, path)


def _model_document(model: Any) -> dict[str, Any]:
    if is_model(model) and not hasattr(model, "__pydantic_validator__"):
        return typing.cast("dict[str, Any]", model.model_json_schema())
    from parallel_frames._schema._pydantic import document_of

    return document_of(model)


def _has_default(field: dataclasses.Field[Any]) -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _mark(hint: object) -> str:
    """Return the name of a mark around a TypedDict's key; empty where there is none."""
    name = getattr(get_origin(hint), "_name", None)
    return name if name in _KEY_MARKS else ""


def _is_optional_key(type_: type, name: str, hint: object) -> bool:
    """Whether a TypedDict's key may be absent; the hint wins, because string annotations hide it from the class."""
    mark = _mark(hint)
    if mark == "ReadOnly" or get_origin(hint) is Annotated:
        return _is_optional_key(type_, name, get_args(hint)[0])
    return mark == "NotRequired" or (mark != "Required" and name in getattr(type_, "__optional_keys__", ()))


def _docstring(type_: type, *generated: str) -> Node:
    """Return a class's docstring as its description, unless Python wrote it."""
    text = type_.__doc__ or ""
    if not text.strip() or text in generated or text.startswith(f"{type_.__name__}("):
        return {}
    return {"description": inspect.cleandoc(text)}
