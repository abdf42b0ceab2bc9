"""The dtypes of pandas, numpy and pyarrow as types of an answer, told by what they say of themselves.

None of the three is imported here: whoever gives a dtype has it. A width is no constraint (an answer's column is as
wide as pandas makes it), but an unsigned type has no negative values.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from parallel_frames.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallel_frames._schema._leaf import Node, Path

_DATE: Node = {"type": "string", "format": "date"}
_MOMENT: Node = {"type": "string", "format": "date-time"}
_KINDS: dict[str, Node] = {
    "b": {"type": "boolean"},
    "i": {"type": "integer"},
    "u": {"type": "integer", "minimum": 0},
    "f": {"type": "number"},
    "U": {"type": "string"},
    "T": {"type": "string"},
    "M": _MOMENT,
}
"""By numpy's letters, which pandas' own dtypes have too."""
_SCALARS = {
    "bool": "b",
    "bool_": "b",
    "timedelta64": "m",  # a signed integer by descent, and no number
    "unsignedinteger": "u",
    "signedinteger": "i",
    "floating": "f",
    "str_": "U",
    "datetime64": "M",
    "Timestamp": "M",
}
"""By the names of the classes that numpy's scalar types descend from."""
_ARROW: tuple[tuple[str, Node], ...] = (
    ("bool", {"type": "boolean"}),
    ("uint", {"type": "integer", "minimum": 0}),
    ("int", {"type": "integer"}),
    ("float", {"type": "number"}),
    ("halffloat", {"type": "number"}),
    ("double", {"type": "number"}),
    ("decimal", {"type": "number"}),
    ("string", {"type": "string"}),
    ("large_string", {"type": "string"}),
    ("date", _DATE),
    ("timestamp", _MOMENT),
    ("time", {"type": "string", "format": "time"}),
)
"""By how the names of Arrow's types begin."""


_NAMES: tuple[tuple[str, Node], ...] = (
    (r"uint(8|16|32|64)?", {"type": "integer", "minimum": 0}),
    (r"int(8|16|32|64)?", {"type": "integer"}),
    (r"float(16|32|64)?", {"type": "number"}),
    (r"bool(ean)?", {"type": "boolean"}),
    (r"str(ing)?", {"type": "string"}),
    (r"datetime64(\[\w+(, *[^]]+)?\])?", _MOMENT),
)
"""By the names that pandas reads as dtypes, in any case and with a storage behind them."""


def named_dtype_node(name: str) -> Node | None:
    """Return the schema of a dtype's name, such as "Int64"; None for what names none."""
    bare = re.sub(r"\[(python|pyarrow)\]$", "", name.strip())
    return next((dict(node) for pattern, node in _NAMES if re.fullmatch(pattern, bare, re.IGNORECASE)), None)


def dtype_node(type_: Any, path: Path) -> Node | None:
    """Return the schema of a dtype; None for what is none.

    Raises
    ------
    SchemaError
        A dtype that no answer can have, such as a period, or a category without categories.
    """
    home = str(getattr(type_ if isinstance(type_, type) else type(type_), "__module__", "")).partition(".")[0]
    read = _READERS.get(home)
    if read is None:
        return None
    node = read(type_, path)
    if node is None:
        raise SchemaError(
            f"{'.'.join(path) or 'The schema'}: {type_!r} is no type an answer can have. Use a dtype of texts, "
            "numbers, booleans, categories or moments, or a Python type such as str, int, float, datetime.date."
        )
    return node


def _dtype(type_: Any, path: Path) -> Node | None:
    """Return the schema of a dtype of numpy or pandas, or of a scalar type of theirs."""
    if isinstance(type_, type):
        return _of_class(type_, path)
    if hasattr(type_, "pyarrow_dtype"):
        return _arrow(type_.pyarrow_dtype, path)
    name = str(getattr(type_, "name", ""))
    if name == "category":
        return _choice(type_.categories, path)
    if name in ("str", "string"):
        return {"type": "string"}
    if name.startswith("Sparse"):
        return _dtype(type_.subtype, path)
    if name == "datetime64[D]":
        return dict(_DATE)
    node = _KINDS.get(str(getattr(type_, "kind", "")))
    return None if node is None else dict(node)


def _of_class(type_: type, path: Path) -> Node | None:
    """Return the schema of ``np.int64``, ``pd.Timestamp``, ``pd.Int64Dtype`` and their like."""
    ancestors = {base.__name__ for base in type_.__mro__}
    if "ExtensionDtype" in ancestors:
        try:
            return _dtype(type_(), path)
        except TypeError:  # it is nothing without its parameters
            return None
    letter = next((letter for name, letter in _SCALARS.items() if name in ancestors), "")
    return dict(_KINDS[letter]) if letter in _KINDS else None


def _choice(categories: Any, path: Path) -> Node:
    if categories is None or not len(categories):
        raise SchemaError(
            f"{'.'.join(path)}: a category without categories allows no answer; name them: "
            "pd.CategoricalDtype(['a', 'b']), or Literal['a', 'b']."
        )
    return {"enum": categories.tolist()}


def _arrow(type_: Any, path: Path) -> Node | None:
    """Return the schema of an Arrow type."""
    name = str(type_)
    if name.startswith("dictionary<"):
        return _choice(None, path)
    if name.startswith(("list", "large_list", "fixed_size_list")):
        size = getattr(type_, "list_size", None)
        return {"type": "array", "items": _inner(type_.value_type, path, "items")} | (
            {} if size is None else {"minItems": size, "maxItems": size}
        )
    if name.startswith("struct<"):
        fields = {field.name: _inner(field.type, path, "properties", field.name) for field in type_}
        return {"type": "object", "properties": fields, "required": list(fields)}
    if name.startswith("map<string,"):
        return {"type": "object", "additionalProperties": _inner(type_.item_type, path, "additionalProperties")}
    node = next((node for prefix, node in _ARROW if name.startswith(prefix)), None)
    return None if node is None else dict(node)


def _inner(type_: Any, path: Path, *steps: str) -> Node:
    """Return the schema of what an Arrow type holds; there is always one, or a refusal."""
    return dtype_node(type_, (*path, *steps)) or {}


_READERS: dict[str, Callable[[Any, Path], Node | None]] = {"numpy": _dtype, "pandas": _dtype, "pyarrow": _arrow}
