"""Entries → the columns an enrichment adds, a batch of answers in one go.

It owns their dtypes. A confidence is an ordered category in both families: it is what compares
(``>= "medium"``), and it comes back from Parquet as it went in, while an Arrow dictionary compares its words by the
alphabet and cannot be read back by a plain `pandas.read_parquet`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa

from parallel_frames._columns._belong import evidence_label, judge, ordered, owner_of
from parallel_frames._columns._dtypes import dtype_of
from parallel_frames._model import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from parallel_frames._columns._dtypes import Backend
    from parallel_frames._columns._entries import Confidence, Entry

TEXT: Final = Column("text", "string", {"type": "string"}, nullable=True)
SOURCE: Final = (("url", pa.string()), ("title", pa.string()), ("excerpts", pa.list_(pa.string())))
CITATIONS: Final = pa.list_(pa.struct([*SOURCE, ("field", pa.string())]))
ENTRIES: Final = pa.list_(
    pa.struct(
        [
            ("field", pa.string()),
            ("reasoning", pa.string()),
            ("citations", pa.list_(pa.struct(SOURCE))),
            ("confidence", pa.string()),
        ]
    )
)


def evidence_columns(
    bases: Iterable[Sequence[Entry] | None], names: Sequence[str], *, dtype_backend: Backend, whole: bool = False
) -> dict[tuple[str, str], pd.Series[Any]]:
    """Return the columns of ``basis="columns"``.

    Parameters
    ----------
    bases : iterable of (sequence of Entry, or None)
        One per answer; None where there is no answer. Given one at a time, they need not all be kept at once.
    names : sequence of str
        The columns of the schema.
    dtype_backend : {"numpy_nullable", "pyarrow"}
        Which family of dtypes.
    whole : bool, default False
        Whether the answer is one column, to which every entry belongs.

    Returns
    -------
    dict of (name, part) to Series
        Three for each name, in order, with a RangeIndex. ``confidence`` is an ordered category, low < medium < high;
        ``reasoning`` a string; ``citations`` a list of dicts with ``url``, ``title``, ``excerpts`` and ``field``,
        which is the path of the entry the citation comes from, such as ``products.0``. Without an answer all three
        are missing; an answer without evidence for a column has no citations in its list and misses the others.

    Notes
    -----
    A nested column of the "pyarrow" family needs ``pd.read_parquet(..., dtype_backend="pyarrow")`` to come back;
    that reads the confidence as an Arrow dictionary, whose ``>=`` goes by the alphabet.
    """
    columns = {name: _Cells() for name in names}
    share = (lambda entries: dict.fromkeys(columns, entries)) if whole else _sharing(frozenset(names))
    for entries in bases:
        shared = None if entries is None else share(entries)
        for name, cells in columns.items():
            cells.add(name, None if shared is None else shared.get(name, ()))
    text = dtype_of(TEXT, dtype_backend)
    built: dict[tuple[str, str], pd.Series[Any]] = {}
    for name, cells in columns.items():
        built[name, "confidence"] = pd.Series(ordered(cells.confidences))
        built[name, "reasoning"] = pd.Series(cells.reasonings, dtype=text)
        built[name, "citations"] = _nested(cells.cited, CITATIONS, dtype_backend)
    return {key: column.rename(evidence_label(*key)) for key, column in built.items()}


def evidence_struct(bases: Iterable[Sequence[Entry] | None], *, dtype_backend: Backend) -> pd.Series[Any]:
    """Return the one column of ``basis="struct"``: the entries of each answer, as they are.

    Parameters
    ----------
    bases : iterable of (sequence of Entry, or None)
        One per answer; None where there is no answer.
    dtype_backend : {"numpy_nullable", "pyarrow"}
        Plain lists of dicts, or an Arrow list of structs, which only
        ``pd.read_parquet(..., dtype_backend="pyarrow")`` reads back.

    Returns
    -------
    Series
        With a RangeIndex. Missing without an answer, an empty list for an answer without evidence.
    """
    return _nested([None if entries is None else list(entries) for entries in bases], ENTRIES, dtype_backend)


@dataclass(frozen=True, slots=True)
class _Cells:
    """The evidence of one column while it grows, answer by answer."""

    confidences: list[Confidence | None] = field(default_factory=list)
    reasonings: list[str | None] = field(default_factory=list)
    cited: list[list[dict[str, Any]] | None] = field(default_factory=list)

    def add(self, name: str, entries: Sequence[Entry] | None) -> None:
        """Add what the column's entries say; None: there is no answer."""
        confidence, reasoning = judge(entries or (), name)
        self.confidences.append(confidence)
        self.reasonings.append(reasoning)
        self.cited.append(
            None if entries is None else [{**each, "field": e["field"]} for e in entries for each in e["citations"]]
        )


def _sharing(names: frozenset[str]) -> Callable[[Sequence[Entry]], Mapping[str | None, Sequence[Entry]]]:
    """Return what sorts the entries of an answer by the column they belong to; it knows a path the second time."""
    owner = cache(lambda path: owner_of(path, names))

    def share(entries: Sequence[Entry]) -> Mapping[str | None, Sequence[Entry]]:
        shared: dict[str | None, list[Entry]] = {}
        for entry in entries:
            shared.setdefault(owner(entry["field"]), []).append(entry)
        return shared

    return share


def _nested(cells: Sequence[Any], type_: pa.DataType, dtype_backend: Backend) -> pd.Series[Any]:
    if dtype_backend == "pyarrow":
        return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(cells, type_)))
    return pd.Series(list(cells), dtype=object)
