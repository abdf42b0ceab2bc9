"""Types of columns, both ways: the dtype that a user gives → its node, and a node → the kind of its column.

Pandas, numpy and pyarrow are not imported here: whoever gives a dtype has them, and it is read by what it is called.
A width is not a constraint (an answer's column is as wide as pandas makes it), but an unsigned type has no negative
values. Which dtype a kind has is decided where columns are built.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from parallel_frames._model import Column, Json
from parallel_frames._schema._normal import Node, Path, split_null
from parallel_frames.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping


class _NamedType(NamedTuple):
    """What types of this name hold, and how to write one in Python."""

    name: str
    node: Node
    python: str = ""


_TYPES = (
    _NamedType(r"bool(ean)?", {"type": "boolean"}, "bool"),
    _NamedType(r"uint(8|16|32|64)?", {"type": "integer", "minimum": 0}, "pd.UInt64Dtype()"),
    _NamedType(r"int(8|16|32|64|eger)?", {"type": "integer"}, "int"),
    _NamedType(r"(half)?float(16|32|64)?|double|number", {"type": "number"}, "float"),
    _NamedType(r"decimal\d+\(.*\)", {"type": "number"}),
    _NamedType(r"str(ing)?|large_string|string_view", {"type": "string"}, "str"),
    _NamedType(r"date((32|64)(\[\w+\])?)?", {"type": "string", "format": "date"}, "datetime.date"),
    _NamedType(
        r"(datetime(64)?|timestamp)(\[\w+(, *[^]]+)?\])?",
        {"type": "string", "format": "date-time"},
        "datetime.datetime",
    ),
    _NamedType(r"time(32|64)\[\w+\]", {"type": "string", "format": "time"}),
    _NamedType(r"list", {"type": "array"}, "list[str]"),
    _NamedType(r"dict", {"type": "object"}, "dict"),
)
"""Types by the names that pandas, numpy, Arrow and JSON Schema have for them, in any case."""
_SYNONYMS = {"array": "list", "object": "dict", "text": "str", "decimal": "float"}
"""Words that people write for a type, and no dtype has for a name → a name in the table."""
_COMPOUND = (
    (r"(?:optional\[(.+)\])", "{} | None"),
    (r"(.+?)\s*\|\s*none", "{} | None"),
    (r"(?:list|array)\[(.+)\]", "list[{}]"),
    (r"(?:list|array) of (.+?)s?", "list[{}]"),
)
_KINDS = {"b": "bool", "i": "int", "u": "uint", "f": "float", "U": "str", "T": "str", "M": "datetime"}
"""Numpy's letters, which pandas' own dtypes have, too → a name in the table."""
_BASE_CLASSES = {
    "timedelta64": "",  # numpy derives it from signedinteger, but it is not a number
    "bool": "bool",
    "bool_": "bool",
    "unsignedinteger": "uint",
    "signedinteger": "int",
    "floating": "float",
    "str_": "str",
    "datetime64": "datetime",
    "Timestamp": "datetime",
}
"""Classes from which numpy's scalar types descend → a name in the table."""


def _named_type(name: str) -> _NamedType | None:
    # "string[pyarrow]" and "string[python]" differ in how pandas stores them, and an answer does not care.
    bare = re.sub(r"\[(python|pyarrow)\]$", "", name.strip())
    return next((type_ for type_ in _TYPES if re.fullmatch(type_.name, bare, re.IGNORECASE)), None)


def named_dtype_node(name: str) -> Node | None:
    """Return the schema of a type's name, such as "Int64" or "date32[day]"; None for any other text."""
    found = _named_type(name)
    return None if found is None else dict(found.node)


def python_type_for(name: str) -> str | None:
    """Return what to write for a type that is written as a text, such as "int | None"; None for any other text."""
    text = re.sub(r"^an? ", "", name.strip(), flags=re.IGNORECASE)
    if re.fullmatch(r"literal\[.+\]", text, re.IGNORECASE):
        return text
    for pattern, whole in _COMPOUND:
        if (match := re.fullmatch(pattern, text, re.IGNORECASE)) is not None:
            inner = python_type_for(match[1])
            return None if inner is None else whole.format(inner)
    found = _named_type(_SYNONYMS.get(text.lower(), text))
    return None if found is None else found.python or None


def dtype_node(type_: Any, path: Path) -> Node | None:
    """Return the schema of a dtype; None for anything else."""
    library = str(getattr(type_ if isinstance(type_, type) else type(type_), "__module__", "")).partition(".")[0]
    if library not in ("numpy", "pandas", "pyarrow"):
        return None
    node = _arrow_node(type_, path) if library == "pyarrow" else _numpy_node(type_, path)
    if node is None:
        raise SchemaError(
            f"{'.'.join(path) or 'The schema'}: an answer cannot have the type {type_!r}. Use a dtype of texts, "
            "numbers, booleans, categories or moments, or a Python type such as str, int, float, datetime.date."
        )
    return node


def _numpy_node(type_: Any, path: Path) -> Node | None:
    """Return the schema of a dtype of numpy or pandas, or of a class of theirs."""
    if isinstance(type_, type):
        bases = {base.__name__ for base in type_.__mro__}
        if "ExtensionDtype" in bases:
            try:
                return _numpy_node(type_(), path)
            except TypeError:  # it needs parameters
                return None
        return named_dtype_node(next((name for base, name in _BASE_CLASSES.items() if base in bases), ""))
    if hasattr(type_, "pyarrow_dtype"):
        return _arrow_node(type_.pyarrow_dtype, path)
    name = str(getattr(type_, "name", ""))
    if name == "category":
        return _category_node(type_.categories, path)
    if name.startswith("Sparse"):
        return _numpy_node(type_.subtype, path)
    if name == "datetime64[D]":  # of numpy's kind M like every other unit, but it holds no time of day
        return named_dtype_node("date")
    return named_dtype_node("str" if name in ("str", "string") else _KINDS.get(str(getattr(type_, "kind", "")), ""))


def _category_node(categories: Any, path: Path) -> Node:
    if categories is None or not len(categories):
        raise SchemaError(
            f"{'.'.join(path)}: a category without categories allows no answer; name them: "
            "pd.CategoricalDtype(['a', 'b']), or Literal['a', 'b']."
        )
    return {"enum": categories.tolist()}


def _arrow_node(type_: Any, path: Path) -> Node | None:
    name = str(type_)
    if name.startswith("dictionary<"):
        return _category_node(None, path)
    if name.startswith(("list", "large_list", "fixed_size_list")):
        size = getattr(type_, "list_size", None)
        length = {} if size is None else {"minItems": size, "maxItems": size}
        return {"type": "array", "items": dtype_node(type_.value_type, (*path, "items"))} | length
    if name.startswith("struct<"):
        fields = {field.name: dtype_node(field.type, (*path, "properties", field.name)) for field in type_}
        return {"type": "object", "properties": fields, "required": list(fields)}
    if name.startswith("map<string,"):
        values = dtype_node(type_.item_type, (*path, "additionalProperties"))
        return {"type": "object", "additionalProperties": values}
    return named_dtype_node(name)


def columns_of(node: Mapping[str, Json]) -> tuple[Column, ...]:
    columns = []
    for name, child in node["properties"].items():
        inner, nullable = split_null(child)
        columns.append(Column(name, cast("Any", kind_of(inner)), child, nullable))
    return tuple(columns)


def kind_of(node: Mapping[str, Json]) -> str:
    """Return what the values of a normal form without null are."""
    if "anyOf" in node:
        return _common_kind([kind_of(branch) for branch in node["anyOf"]], node["anyOf"])
    if "enum" in node:
        return "enum"
    type_ = node.get("type")
    if type_ == "string":
        return {"date": "date", "date-time": "datetime"}.get(node.get("format", ""), "string")
    return "any" if type_ is None or type_ == "null" else str(type_)


def _common_kind(kinds: list[str], branches: list[Mapping[str, Json]]) -> str:
    """Return the kind that holds every branch of a union."""
    # Two arrays or objects may differ in what they hold, and two enums in their values, so equal kinds are not enough.
    if len(set(kinds)) == 1 and kinds[0] not in ("enum", "array", "object"):
        return kinds[0]
    types = {str(branch.get("type")) for branch in branches}
    if len(types) == 1 and types <= {"string", "integer", "number", "boolean"}:
        return types.pop()
    return "number" if types == {"integer", "number"} else "any"
