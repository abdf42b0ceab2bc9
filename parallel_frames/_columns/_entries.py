"""The entries of one answer's basis, in one shape whatever came: lenient, for nothing here may cost an answer.

It owns the shape and the way into it, from the service's JSON and from a cell that has been through Parquet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict

import numpy as np
import orjson

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pandas as pd

Confidence: TypeAlias = Literal["low", "medium", "high"]

CONFIDENCE: Final = ("low", "medium", "high")
PARTS: Final = ("confidence", "reasoning", "citations")
BASIS_COLUMN: Final = "parallel_basis"

_WORDS: Final[Mapping[str, Confidence]] = {"low": "low", "medium": "medium", "high": "high"}


class Citation(TypedDict):
    """A source, and what it says."""

    url: str | None
    title: str | None
    excerpts: list[str]


class Entry(TypedDict):
    """What speaks for one field of an answer, or for one element of a list."""

    field: str
    reasoning: str | None
    citations: list[Citation]
    confidence: Confidence | None


def read_basis(raw: str | None) -> list[Entry]:
    """Return the entries of a basis.

    Parameters
    ----------
    raw : str or None
        The JSON text of an outcome's basis.

    Returns
    -------
    list of Entry
        In the service's order. What is no entry (no object, or one without a field's name) and what is no citation
        is left out; a text of the wrong type or without letters is None. Nothing makes it raise.
    """
    if not raw:
        return []
    try:
        return read_entries(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return []


def read_entries(cell: object, *, deep: bool = True) -> list[Entry]:
    """Return what a parsed basis, or a cell that holds one, has of entries.

    With ``deep=False`` the citations are left as they came, for a reader that wants none of them, or one at a time.
    """
    return [entry for each in listed(cell) if (entry := _entry(each, deep=deep)) is not None]


def merge_entries(old_cell: object, new_entries: Sequence[Entry], replaced: Collection[str]) -> list[Entry]:
    """Return the entries of a row of which some fields were answered anew.

    Parameters
    ----------
    old_cell : object
        The cell as it is in the frame: a list, an array, or missing.
    new_entries : sequence of Entry
        The new answer's.
    replaced : collection of str
        The fields whose values are the new answer's, by the schema's names.

    Returns
    -------
    list of Entry
        The old entries of the fields that were kept, then the new ones of those that were replaced. The entry of a
        list's element goes with its list.
    """
    kept = [entry for entry in read_entries(old_cell) if not _is_of(entry["field"], replaced)]
    return [*kept, *(entry for entry in new_entries if _is_of(entry["field"], replaced))]


def _is_of(path: str, names: Collection[str]) -> bool:
    return path in names or any(path.startswith(f"{name}.") for name in names)


def cells_of(column: pd.Series[Any]) -> list[Any]:
    """Return the cells of any column, whatever holds them.

    By way of numpy, because pandas 2.2 cannot list a nested Arrow column in which some part is null throughout.
    """
    return list(column.to_numpy(dtype=object))


def listed(cell: object) -> Sequence[Any]:
    """Return the parts of a cell that may be a list, an array, or anything else, which has none."""
    if isinstance(cell, list | tuple):
        return cell
    return cell.tolist() if isinstance(cell, np.ndarray) and cell.ndim == 1 else ()


def text_or_none(value: object) -> str | None:
    """Return a text that says something, else None."""
    return value if isinstance(value, str) and value and not value.isspace() else None


def confidence_or_none(value: object) -> Confidence | None:
    """Return one of the three words, however they are written; another word has no place in their order."""
    return _WORDS.get(value) or _WORDS.get(value.strip().lower()) if isinstance(value, str) else None


def read_citation(value: object) -> Citation | None:
    """Return a citation, or None if it cites nothing."""
    if not isinstance(value, dict):
        return None
    url, title = text_or_none(value.get("url")), text_or_none(value.get("title"))
    excerpts = [each for each in listed(value.get("excerpts")) if isinstance(each, str) and each and not each.isspace()]
    return {"url": url, "title": title, "excerpts": excerpts} if url or title or excerpts else None


def _entry(value: object, *, deep: bool) -> Entry | None:
    if not isinstance(value, dict):
        return None
    field = text_or_none(value.get("field"))
    if field is None:
        return None
    raw: Any = listed(value.get("citations"))
    return {
        "field": field,
        "reasoning": text_or_none(value.get("reasoning")),
        "citations": [citation for each in raw if (citation := read_citation(each)) is not None] if deep else raw,
        "confidence": confidence_or_none(value.get("confidence")),
    }
