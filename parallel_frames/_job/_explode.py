"""Lists become rows: each element of an answer's list on a line of its own, typed as the schema says.

pandas' `explode` repeats the other columns and leaves a dict in each cell. Here the fields of the element are columns,
of the dtypes that columns of these types have, and the element's evidence stands next to them.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pandas as pd

from parallel_frames._columns import Affixes, cells_of, find_evidence, name_of, typed_column
from parallel_frames._columns._cells import check_lists
from parallel_frames._columns._evidence import as_categories
from parallel_frames._columns._typed import cell_kind
from parallel_frames._foreign import check_enriched
from parallel_frames._format import format_label
from parallel_frames._job._attrs import enrichments
from parallel_frames._model import Column
from parallel_frames._schema import kind_of, parse_schema, split_null
from parallel_frames.errors import InputError, UnknownColumnError, user_facing

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from parallel_frames._columns import Backend, Confidence
    from parallel_frames._job._options import SchemaLike
    from parallel_frames._model import Json

SOURCES: Final = Column("sources", "array", {"type": "array", "items": {"type": "string"}}, nullable=True)


@user_facing
def explode(df: pd.DataFrame, column: Hashable, *, schema: SchemaLike | None = None, prefix: str = "") -> pd.DataFrame:
    """Return the elements of an answer's lists as rows, typed by the schema.

    Parameters
    ----------
    df : pandas.DataFrame
        Enriched. It may have been filtered, sorted or written to Parquet since.
    column : label
        A column of lists, or of single objects.
    schema : as for `enrich`, optional
        What was asked, where the frame no longer knows it: concat, merge and CSV lose a frame's attrs.
    prefix : str, default ""
        Put before the name of each field of an element.

    Returns
    -------
    pandas.DataFrame
        One line per element, in order, with the label of its row as its index, repeated, as `DataFrame.explode` does.
        Its columns:

        - ``row`` (int64): the row's position in `df`;
        - ``element`` (Int64): the element's number in the list, from 0; missing for an object that is in no list;
        - a column for each field of the objects, with the dtype that a column of its type has (of Arrow where `column`
          is); of a list of other values one column with the name of `column`;
        - ``confidence`` (category low < medium < high) and ``sources`` (list of addresses), where the frame has
          evidence for `column`: the element's own with ``basis="struct"``, and the field's where it has none.

        ``lines.join(df.reset_index(drop=True)[["company"]], on="row")`` adds columns of the frame, also where labels of
        its index repeat: `row` is a position, which no two rows share.

        A row without an answer, or with an empty list, has one line in which all of that is missing, as with
        `DataFrame.explode`; ``.dropna(subset="element")`` drops these.

    Raises
    ------
    InputError
        The column's type is not known, or is neither a list nor an object with fields, or two columns would have one
        name.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Product:
    ...     name: str
    ...     price: float
    >>> answer = {"products": [{"name": "Anvil", "price": 12.5}, {"name": "Rope", "price": 3}]}
    >>> with pf.offline(lambda sent: answer, latency=0):
    ...     out = pd.DataFrame({"company": ["Acme"]}, index=["a"]).parallel.enrich({"products": list[Product]})
    >>> lines = out.parallel.explode("products")
    >>> lines
       row  element   name  price
    a    0        0  Anvil   12.5
    a    0        1   Rope    3.0

    With columns of the frame:

    >>> lines.join(out.reset_index(drop=True)[["company"]], on="row")
       row  element   name  price company
    a    0        0  Anvil   12.5    Acme
    a    0        1   Rope    3.0    Acme
    """
    check_enriched(df)
    if (places := sum(label == column for label in df.columns.tolist())) != 1:
        if not places:
            raise UnknownColumnError(column, df.columns, where="`column`")
        raise InputError(f"The frame has {column!r} {places} times: rename all but one of them.")
    name, node = _type_of(df, column, schema)
    cells = cells_of(df[column])
    backend: Backend = "pyarrow" if isinstance(df[column].dtype, pd.ArrowDtype) else "numpy_nullable"
    kind = cell_kind(node)
    item = split_null(node)[0].get("items", {}) if kind == "array" else node
    of_objects = cell_kind(item) == "object"
    rows, elements, values = _lines(
        cells, node, column, is_list=kind == "array", of_objects=of_objects, is_arrow=backend == "pyarrow"
    )
    parts: dict[str, Any] = {"row": pd.Series(rows, dtype="int64"), "element": pd.Series(elements, dtype="Int64")}
    if of_objects:
        for field, child in split_null(item)[0]["properties"].items():
            of_field = [None if value is None else value.get(field) for value in values]
            _add(parts, f"{prefix}{field}", _typed(field, child, of_field, backend), column)
    else:
        _add(parts, f"{prefix}{name_of(column) or name}", _typed(name, item, values, backend), column)
    for part, cells_of_part in _evidence(df, column, rows, elements, backend).items():
        _add(parts, part, cells_of_part, column)
    return pd.DataFrame(parts).set_axis(df.index.take(np.array(rows, dtype="int64")))


def _add(parts: dict[str, Any], name: str, cells: pd.Series[Any], column: Hashable) -> None:
    if name in parts:
        raise InputError(
            f"The elements of {column!r} have a field {name!r}, which is the name of another column of the result: "
            "pass `prefix=...` for the names of the fields."
        )
    parts[name] = cells


# What the cells are


def _type_of(df: pd.DataFrame, column: Hashable, schema: object) -> tuple[str, Mapping[str, Json]]:
    """Return the name that a column has in its schema, and its node there."""
    if schema is None:
        named = [
            (name, facts.types[name])
            for facts in enrichments(df)
            for name, label in facts.outputs.items()
            if label == column and name in facts.types
        ]
        if not named:
            raise InputError(
                f"What type {column!r} has is not known: no enrichment made it, or the frame's attrs are lost (concat, "
                "merge and CSV lose them). Pass `schema=...`, the schema of that column."
            )
        name, node = named[-1]
    else:
        label = format_label(column)
        columns = {column.name: column.node for column in parse_schema(schema).columns}
        fitting = [name for name in columns if Affixes.of(name_of(column) or label, name) is not None]
        if not fitting:
            raise InputError(
                f"`schema` has no field for the column {column!r}; it has {', '.join(map(repr, columns))}."
            )
        name = max(fitting, key=len)
        node = columns[name]
    if cell_kind(node) not in ("array", "object"):
        raise InputError(
            f"{column!r} is of type {kind_of(split_null(node)[0])}: only lists, and objects whose fields the schema "
            "names, become rows. DataFrame.explode takes any column."
        )
    return name, node


def _lines(
    cells: list[Any], node: Mapping[str, Json], column: Hashable, *, is_list: bool, of_objects: bool, is_arrow: bool
) -> tuple[list[int], list[int | None], list[Json]]:
    """Return of each line of the result its row, its element, and what it is."""
    rows: list[int] = []
    elements: list[int | None] = []
    values: list[Json] = []
    for row, cell in enumerate(cells):
        value: Any = _as_json(_parsed(cell, column), node, is_arrow=is_arrow)
        if value is not None and not isinstance(value, list if is_list else dict):
            raise _misfit(column, row, value, "a list" if is_list else "an object")
        found = value if is_list and value else [value if not is_list else None]
        if (
            of_objects
            and (other := next((each for each in found if not isinstance(each, dict | None)), None)) is not None
        ):
            raise _misfit(column, row, other, "an object")
        rows += [row] * len(found)
        elements += range(len(found)) if is_list and value else [None]
        values += found
    return rows, elements, values


def _misfit(column: Hashable, row: int, value: Any, expected: str) -> InputError:
    return InputError(
        f"{column!r} has {str(value)[:60]!r} in row {row}, where its schema has {expected}. Pass `schema=...`, what "
        "was asked for it."
    )


def _parsed(cell: Any, column: Hashable) -> Any:
    """Return the list or object of a cell; CSV holds both as the text of their JSON."""
    if not isinstance(cell, str):
        return cell
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        raise InputError(
            f"{column!r} holds texts that are not JSON, such as {cell[:60]!r}, in place of lists: DataFrame.to_csv "
            "writes lists as Python shows them. Keep the frame as Parquet; a CSV target of the command line holds JSON."
        ) from None


def _as_json(value: Any, node: Mapping[str, Json], *, is_arrow: bool) -> Json:
    """Return a cell, or a part of one, as the answer had it, whatever pandas, numpy and Arrow made of it."""
    inner, _ = split_null(node)
    kind = cell_kind(inner)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if kind == "array" and isinstance(value, list | tuple):
        return [_as_json(item, inner.get("items", {}), is_arrow=is_arrow) for item in value]
    if kind == "object" and isinstance(value, dict):
        return {
            name: _as_json(value.get(name), child, is_arrow=is_arrow) for name, child in inner["properties"].items()
        }
    if value is None or (not isinstance(value, list | dict) and pd.isna(value)):
        return None
    if kind == "json":  # what the schema gives no type is JSON text in Arrow
        return orjson.loads(value) if is_arrow and isinstance(value, str) else value
    if isinstance(value, dt.date):
        return value.isoformat()
    return value.item() if isinstance(value, np.generic) else value


def _typed(name: str, node: Mapping[str, Json], values: list[Json], backend: Backend) -> pd.Series[Any]:
    kind: Any = kind_of(split_null(node)[0])
    return typed_column(Column(name, kind, node, nullable=True), values, dtype_backend=backend).series


# Their evidence


def _evidence(
    df: pd.DataFrame, column: Hashable, rows: list[int], elements: list[int | None], backend: Backend
) -> dict[str, pd.Series[Any]]:
    """Return confidence and sources of each line; nothing where the frame has no evidence for the column."""
    try:
        found = find_evidence(df)
    except InputError:
        return {}
    if name_of(column) not in found.names():
        return {}
    for name, lists in found.lists():
        check_lists(lists, name)
    own = next((evidence for evidence in found.fields if evidence.field == name_of(column)), None)
    levels: list[dict[int | None, Confidence | None]] = (
        [{} for _ in range(len(df))] if own is None else own.by_element()
    )
    urls: dict[tuple[int, int | None], list[str]] = {}
    for source in () if own is None else own.sources():
        of_element = urls.setdefault((source.row, source.element), [])
        if source.citation["url"] and source.citation["url"] not in of_element:
            of_element.append(source.citation["url"])
    lines = list(zip(rows, elements, strict=True))
    confidences: list[Confidence | None] = [levels[row].get(at) or levels[row].get(None) for row, at in lines]
    sources = [urls.get((row, at)) or urls.get((row, None)) or [] for row, at in lines]
    answered = df[column].notna().tolist()
    cells = [source if answered[row] else None for source, row in zip(sources, rows, strict=True)]
    return {
        "confidence": pd.Series(as_categories(confidences)),
        "sources": typed_column(SOURCES, cells, dtype_backend=backend).series,
    }
