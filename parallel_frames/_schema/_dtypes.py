"""The dtypes of pandas, numpy and pyarrow as types of an answer, told by what they say of themselves.

None of the three is imported here: whoever gives a dtype has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from parallel_frames.errors import SchemaError

if TYPE_CHECKING:
    from ._leaf import Node, Path

_KINDS: dict[str, Node] = {
    "b": {"type": "boolean"},
    "i": {"type": "integer"},
    "u": {"type": "integer", "minimum": 0},
    "f": {"type": "number"},
    "U": {"type": "string"},
    "T": {"type": "string"},
    "M": {"type": "string", "format": "date-time"},
}
_LETTERS = {
    "bool": "b",
    "bool_": "b",
    "unsignedinteger": "u",
    "timedelta64": "m",
    "signedinteger": "i",
    "floating": "f",
    "str_": "U",
    "datetime64": "M",
}
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
    ("date", {"type": "string", "format": "date"}),
    ("timestamp", {"type": "string", "format": "date-time"}),
    ("time", {"type": "string", "format": "time"}),
)


def dtype_node(type_: Any, path: Path) -> Node | None:
    """Return the schema of a dtype; None for what is none.

    Raises
    ------
    SchemaError
        A dtype that no answer can have, such as a period, or a category without categories.
    """
    home = (getattr(type_ if isinstance(type_, type) else type(type_), "__module__", None) or "").partition(".")[0]
    if home not in ("numpy", "pandas", "pyarrow"):
        return None
    node = _arrow(type_) if home == "pyarrow" else _dtype(type_, path)
    if node is None:
        raise SchemaError(
            f"{'.'.join(path) or 'The schema'}: {type_!r} is no type an answer can have. Use a dtype of texts, "
            "numbers, booleans, categories or moments, or a Python type such as str, int, float, datetime.date."
        )
    return dict(node)


def _dtype(type_: Any, path: Path) -> Node | None:
    """Return the schema of a dtype of numpy or pandas, or of a scalar type of numpy."""
    if isinstance(type_, type):
        kind = _kind_of_scalar(type_)
        return _KINDS.get(kind) if kind else None
    arrow = getattr(type_, "pyarrow_dtype", None)
    if arrow is not None:
        return _arrow(arrow)
    name = str(getattr(type_, "name", ""))
    if name == "category":
        categories = getattr(type_, "categories", None)
        if categories is None or not len(categories):
            raise SchemaError(
                f"{'.'.join(path)}: a category without categories allows no answer; name them: "
                "pd.CategoricalDtype(['a', 'b']), or Literal['a', 'b']."
            )
        return {"enum": categories.tolist()}
    if name.startswith(("period", "interval", "Sparse")):
        return None
    if name in ("str", "string"):
        return {"type": "string"}
    return _KINDS.get(str(getattr(type_, "kind", "")))


def _kind_of_scalar(type_: type) -> str | None:
    """Return the kind of ``np.int64`` and its like, by the letter that numpy's own dtypes have."""
    names = {base.__name__ for base in type_.__mro__}
    return next((letter for name, letter in _LETTERS.items() if name in names), None)


def _arrow(type_: Any) -> Node | None:
    """Return the schema of an Arrow type, by its name."""
    text = str(type_)
    inner = getattr(type_, "value_type", None)
    if text.startswith(("list", "large_list", "fixed_size_list")) and inner is not None:
        items = _arrow(inner)
        return None if items is None else {"type": "array", "items": items}
    return next((node for name, node in _ARROW if text.startswith(name)), None)
