"""What has to hold of a source's columns, whatever its format: one name is one column, and all files have the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa


def check_columns(files: Iterable[tuple[str, pa.Schema]]) -> None:
    """Refuse a file that has a name twice, and files whose columns differ: which is meant, or right, is ambiguous.

    Raises
    ------
    InputError
        It names the column, and the files.
    """
    first: pa.Schema | None = None
    where = ""
    for path, schema in files:
        _check_names(schema.names, where=path)
        if first is None:
            first, where = schema, path
        elif not schema.equals(first):
            raise InputError(
                f"{path} and {where} have different columns: {_difference(first, schema)}. Nothing was sent. Give them "
                "the same columns, or enrich them one by one."
            )


def _check_names(names: list[str], *, where: str) -> None:
    for name in dict.fromkeys(names):
        if (times := names.count(name)) > 1:
            raise InputError(
                f"{where} has {times} columns that are called {name!r}: which of them is meant is ambiguous. Nothing "
                "was sent. Rename them, or leave all but one out of the file."
            )


def _difference(one: pa.Schema, other: pa.Schema) -> str:
    ones, others = ({f.name: f.type for f in schema} for schema in (one, other))
    for name in dict.fromkeys([*ones, *others]):
        if ones.get(name) != others.get(name):
            return f"{name!r} is {others.get(name, 'missing')} in the one and {ones.get(name, 'missing')} in the other"
    return f"their order is {', '.join(others)} in the one and {', '.join(ones)} in the other"
