"""Evidence: the basis of an answer becomes columns of the frame, each row's next to the cell that it supports.

Owns the shape of an entry, which column an entry belongs to (by its path), how the entries of one column combine to
one confidence and one reasoning, and the columns that hold them. Reading is lenient: whatever the service sends as a
basis, nothing here may cost an answer.
"""

from __future__ import annotations

from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar

import numpy as np
import orjson
import pandas as pd

from parallel_frames._columns._cells import blank, cells_of, keep_old, take
from parallel_frames._columns._layout import BASIS_COLUMN, PARTS, evidence_label
from parallel_frames._columns._typed import build_series
from parallel_frames._model import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence

    from parallel_frames._columns._layout import Layout
    from parallel_frames._columns._typed import Backend
    from parallel_frames._model import Json, Schema

Confidence: TypeAlias = Literal["low", "medium", "high"]
Owner = TypeVar("Owner", bound="str | int | None")

CONFIDENCE: Final = ("low", "medium", "high")
# An ordered category in both backends: it compares (>= "medium") and comes back from Parquet as it was. An Arrow
# dictionary compares by the alphabet and cannot be read back by a plain pandas.read_parquet.
CONFIDENCE_DTYPE: Final[Any] = pd.CategoricalDtype(list(CONFIDENCE), ordered=True)
CODES: Final[Mapping[str | None, int]] = {None: -1, "low": 0, "medium": 1, "high": 2}
_WORDS: Final[Mapping[str, Confidence]] = {word: word for word in CONFIDENCE}


class Citation(TypedDict):
    url: str | None
    title: str | None
    excerpts: list[str]


class Entry(TypedDict):
    """The evidence for one field of an answer, or for one element of a list."""

    field: str
    reasoning: str | None
    citations: list[Citation]
    confidence: Confidence | None


def _list_of(properties: Json) -> Json:
    return {"type": "array", "items": {"type": "object", "properties": properties}}


# The columns of evidence are typed columns like any other.
_TEXT: Final[Json] = {"type": "string"}
_CITATION: Final[Json] = {"url": _TEXT, "title": _TEXT, "excerpts": {"type": "array", "items": _TEXT}}
_ENTRY: Final[Json] = {"field": _TEXT, "reasoning": _TEXT, "citations": _list_of(_CITATION), "confidence": _TEXT}
REASONING: Final = Column("reasoning", "string", _TEXT, nullable=True)
CITATIONS: Final = Column("citations", "array", _list_of({**_CITATION, "field": _TEXT}), nullable=True)
ENTRIES: Final = Column(BASIS_COLUMN, "array", _list_of(_ENTRY), nullable=True)


# Reading


def read_basis(raw: str | None) -> list[Entry]:
    """Return the entries of a basis, the raw JSON text of an outcome; nothing raises."""
    try:
        return read_entries(orjson.loads(raw)) if raw else []
    except orjson.JSONDecodeError:
        return []


def read_entries(cell: object, *, deep: bool = True) -> list[Entry]:
    """Return the entries of a parsed basis, or of a cell that holds one, in the service's order.

    Whatever is not an entry (an object with a field's name) or not a citation is left out; a text of another type
    or without letters is None. With ``deep=False`` citations stay as they are, for a caller that needs none of them, or
    one at a time.
    """
    return [entry for item in items_of(cell) if (entry := _read_entry(item, deep=deep)) is not None]


def _read_entry(value: object, *, deep: bool) -> Entry | None:
    field = text_or_none(value.get("field")) if isinstance(value, dict) else None
    if not isinstance(value, dict) or field is None:
        return None
    raw: Any = items_of(value.get("citations"))
    return {
        "field": field,
        "reasoning": text_or_none(value.get("reasoning")),
        "citations": [citation for item in raw if (citation := read_citation(item)) is not None] if deep else raw,
        "confidence": confidence_or_none(value.get("confidence")),
    }


def read_citation(value: object) -> Citation | None:
    """Return a citation; None if it cites nothing."""
    if not isinstance(value, dict):
        return None
    url, title = text_or_none(value.get("url")), text_or_none(value.get("title"))
    excerpts = [text for item in items_of(value.get("excerpts")) if (text := text_or_none(item)) is not None]
    return {"url": url, "title": title, "excerpts": excerpts} if url or title or excerpts else None


def items_of(cell: object) -> Sequence[Any]:
    """Return the items of a list, or of the array that Parquet makes of it; anything else has none."""
    if isinstance(cell, list | tuple):
        return cell
    return cell.tolist() if isinstance(cell, np.ndarray) and cell.ndim == 1 else ()


def text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value and not value.isspace() else None


def confidence_or_none(value: object) -> Confidence | None:
    """Return one of the three words, in whatever case; another word has no place in their order."""
    return _WORDS.get(value) or _WORDS.get(value.strip().lower()) if isinstance(value, str) else None


# Paths: a.0.b is the field b of the first element of the list a


def prefixes_of(path: str) -> Iterator[str]:
    """Yield a path and all that it leads through, longest first: a.0.b, a.0, a."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def owner_of(path: str, names: Collection[str]) -> str | None:
    """Return the longest of the names that a path is or leads through, or None."""
    return next((prefix for prefix in prefixes_of(path) if prefix in names), None)


def element_of(path: str, name: str) -> int | None:
    """Return the index of the list element that a path below a name leads through, or None."""
    step = path.removeprefix(f"{name}.").partition(".")[0] if path.startswith(f"{name}.") else ""
    return int(step) if step.isascii() and step.isdecimal() and len(step) < 10 else None


# Combining


def group_entries(entries: Sequence[Entry], owner: Callable[[str], Owner]) -> dict[Owner, list[Entry]]:
    """Return the entries of one answer by the owner of their paths."""
    groups: dict[Owner, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(owner(entry["field"]), []).append(entry)
    return groups


def combine_entries(entries: Sequence[Entry], name: str) -> tuple[Confidence | None, str | None]:
    """Return the confidence and the reasoning of a column.

    A column is as sure as its least sure entry, its own or an element's. The reasoning is its own; without one, those
    of its elements, one a line.
    """
    if len(entries) == 1 and entries[0]["field"] == name:  # by far the most frequent case
        return entries[0]["confidence"], entries[0]["reasoning"]
    levels: list[Confidence] = [level for entry in entries if (level := entry["confidence"])]
    reasoning = next((entry["reasoning"] for entry in entries if entry["field"] == name and entry["reasoning"]), None)
    lines = [f"{entry['field']}: {entry['reasoning']}" for entry in entries if entry["reasoning"]]
    return min(levels, key=CODES.__getitem__, default=None), reasoning or "\n".join(lines) or None


def merge_entries(old_cell: object, new_entries: Sequence[Entry], replaced: Collection[str]) -> list[Entry]:
    """Return the entries of a row of which some fields were answered again.

    Those are the old entries of the fields that were kept, and the new ones of the fields in `replaced`, each where the
    old one of its field was, else at the end. The entry of a list's element goes with its list.
    """
    first: dict[str, int] = {}  # place of a field that was answered again
    placed: list[tuple[int, Entry]] = []
    old = read_entries(old_cell)
    for at, entry in enumerate(old):
        if (owner := owner_of(entry["field"], replaced)) is None:
            placed.append((at, entry))
        else:
            first.setdefault(owner, at)
    placed += [
        (first.get(owner, len(old)), entry)
        for entry in new_entries
        if (owner := owner_of(entry["field"], replaced)) is not None
    ]
    return [entry for _, entry in sorted(placed, key=itemgetter(0))]


def as_categories(levels: Iterable[Confidence | None]) -> pd.Categorical[str]:
    return pd.Categorical.from_codes([CODES[level] for level in levels], dtype=CONFIDENCE_DTYPE)


# Building


def evidence_columns(
    bases: Iterable[Sequence[Entry] | None], names: Sequence[str], *, dtype_backend: Backend, whole: bool = False
) -> dict[tuple[str, str], pd.Series[Any]]:
    """Return the columns of ``basis="columns"`` by (name, part), three for each column of the schema.

    ``confidence`` is an ordered category, ``reasoning`` a string, ``citations`` a list of dicts with ``url``,
    ``title``, ``excerpts`` and ``field``, the path of the entry that the citation comes from, such as ``products.0``.
    Without an answer (None in `bases`) all three are missing; an answer without evidence for a column has an empty
    list of citations and lacks the other two. With ``whole=True`` the answer is one column, to which every entry
    belongs. `bases` may be an iterator, so that few of them at once are Python objects.

    A nested column of the "pyarrow" family needs ``pd.read_parquet(..., dtype_backend="pyarrow")`` to come back;
    that reads the confidence as an Arrow dictionary, whose ``>=`` goes by the alphabet.
    """
    known = frozenset(names)
    owner = cache(lambda path: names[0] if whole else owner_of(path, known))  # a million answers share a few paths
    cells: list[tuple[list[Any], list[Any], list[Any]]] = [([], [], []) for _ in names]
    for entries in bases:
        owned = group_entries(entries or (), owner)
        for name, (levels, reasonings, cited) in zip(names, cells, strict=True):
            own = owned.get(name, ())
            level, reasoning = combine_entries(own, name)
            levels.append(level)
            reasonings.append(reasoning)
            cited.append(
                None if entries is None else [{**cite, "field": e["field"]} for e in own for cite in e["citations"]]
            )
    built: dict[tuple[str, str], pd.Series[Any]] = {}
    for name, (levels, reasonings, cited) in zip(names, cells, strict=True):
        built[name, "confidence"] = pd.Series(as_categories(levels))
        built[name, "reasoning"] = build_series(REASONING, reasonings, dtype_backend)
        built[name, "citations"] = build_series(CITATIONS, cited, dtype_backend)
    return {key: column.rename(evidence_label(*key)) for key, column in built.items()}


def evidence_struct(bases: Iterable[Sequence[Entry] | None], *, dtype_backend: Backend) -> pd.Series[Any]:
    """Return the one column of ``basis="struct"``: the entries of each answer, as they are.

    It is missing without an answer, and an empty list for an answer without evidence. The cells are plain lists of
    dicts, or an Arrow list of structs, which only ``pd.read_parquet(..., dtype_backend="pyarrow")`` reads back.
    """
    return build_series(ENTRIES, [None if entries is None else list(entries) for entries in bases], dtype_backend)


# In the frame


class AnswerPlacement(NamedTuple):
    """Where the answers of a call went."""

    df: pd.DataFrame
    schema: Schema
    layout: Layout
    per_row: np.ndarray[Any, np.dtype[np.int64]]  # the position of each row's answer, or -1
    replaced: Sequence[np.ndarray[Any, np.dtype[np.bool_]]]  # for each output the rows whose cell is from this call

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.schema.columns]


def place_evidence(
    placement: AnswerPlacement, bases: Callable[[], Iterable[str | None]], *, dtype_backend: Backend
) -> dict[Hashable, Any]:
    """Return the arrays of the evidence columns; `bases` returns the raw basis of each answer."""
    arrays: dict[Hashable, Any] = {}
    df, names, layout, whole = placement.df, placement.names, placement.layout, placement.schema.form != "json"
    if layout.evidence:
        columns = evidence_columns(map(read_basis, bases()), names, dtype_backend=dtype_backend, whole=whole)
        for name, labels, new in zip(names, layout.evidence, placement.replaced, strict=True):
            for label, part in zip(labels, PARTS, strict=False):  # an output without evidence columns has no labels
                cells = take(columns[name, part], placement.per_row)
                exists = label in df.columns
                arrays[label] = keep_old(df[label], cells, where=new) if exists else blank(cells, where=~new)
    if layout.basis is not None:
        struct = _place_struct(placement, list(map(read_basis, bases())))
        arrays[layout.basis] = evidence_struct(struct, dtype_backend=dtype_backend).array
    return arrays


def _place_struct(placement: AnswerPlacement, bases: Sequence[list[Entry]]) -> list[list[Entry] | None]:
    """Return the entries of each row: the answer's for the cells from this call, the old ones for the others."""
    label, names = placement.layout.basis, placement.names
    old = cells_of(placement.df[label]) if label in placement.df.columns else [None] * len(placement.df)
    counts = np.sum(placement.replaced, axis=0).tolist()
    cells: list[list[Entry] | None] = []
    for row, (answer, count) in enumerate(zip(placement.per_row.tolist(), counts, strict=True)):
        if count == 0:  # a missing list is None, NA, or the NaN that concat puts there
            is_missing = old[row] is None or old[row] is pd.NA or isinstance(old[row], float)
            cells.append(None if is_missing else read_entries(old[row]))
        elif count == len(names):
            cells.append(bases[answer])
        else:
            replaced = [name for name, new in zip(names, placement.replaced, strict=True) if new[row]]
            cells.append(merge_entries(old[row], bases[answer], replaced))
    return cells
