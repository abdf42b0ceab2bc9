"""Entries → the columns an enrichment adds, a batch of answers in one go.

It owns their dtypes. A confidence is an ordered category in both families: it is what compares
(``>= "medium"``), and it comes back from Parquet as it went in, while an Arrow dictionary compares its words by the
alphabet and cannot be read back by a plain `pandas.read_parquet`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa

from parallel_frames._columns import dtype_of
from parallel_frames._model import Column

from ._belong import evidence_label, judge, ordered, owner_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallel_frames._columns import Backend

    from ._entries import Confidence, Entry

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
    bases: Sequence[Sequence[Entry] | None], names: Sequence[str], *, dtype_backend: Backend, whole: bool = False
) -> dict[tuple[str, str], pd.Series[Any]]:
    """Return the columns of ``basis="columns"``.

    Parameters
    ----------
    bases : sequence of (sequence of Entry, or None)
        One per answer; None where there is no answer.
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
    columns: dict[tuple[str, str], pd.Series[Any]] = {}
    for name, found in _sorted_out(bases, names, whole=whole).items():
        confidences: list[Confidence | None] = []
        reasonings: list[str | None] = []
        cited: list[list[dict[str, Any]] | None] = []
        for entries in found:
            confidence, reasoning = judge(entries or (), name)
            confidences.append(confidence)
            reasonings.append(reasoning)
            cited.append(None if entries is None else _with_paths(entries))
        columns[name, "confidence"] = pd.Series(ordered(confidences))
        columns[name, "reasoning"] = pd.Series(reasonings, dtype=dtype_of(TEXT, dtype_backend))
        columns[name, "citations"] = _nested(cited, CITATIONS, dtype_backend)
    return {key: column.rename(evidence_label(*key)) for key, column in columns.items()}


def evidence_struct(bases: Sequence[Sequence[Entry] | None], *, dtype_backend: Backend) -> pd.Series[Any]:
    """Return the one column of ``basis="struct"``: the entries of each answer, as they are.

    Parameters
    ----------
    bases : sequence of (sequence of Entry, or None)
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


def _sorted_out(
    bases: Sequence[Sequence[Entry] | None], names: Sequence[str], *, whole: bool
) -> dict[str, list[Sequence[Entry] | None]]:
    """Return for each column its entries in each answer."""
    if whole:
        return {name: list(bases) for name in names}
    known = frozenset(names)
    owners: dict[str, str | None] = {}
    sorted_out: dict[str, list[Sequence[Entry] | None]] = {name: [] for name in names}
    for entries in bases:
        found: dict[str | None, list[Entry]] = {}
        for entry in entries or ():
            path = entry["field"]
            if path not in owners:
                owners[path] = owner_of(path, known)
            found.setdefault(owners[path], []).append(entry)
        for name, column in sorted_out.items():
            column.append(None if entries is None else found.get(name, ()))
    return sorted_out


def _with_paths(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [{**citation, "field": entry["field"]} for entry in entries for citation in entry["citations"]]


def _nested(cells: Sequence[Any], type_: pa.DataType, dtype_backend: Backend) -> pd.Series[Any]:
    if dtype_backend == "pyarrow":
        return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(cells, type_)))
    return pd.Series(list(cells), dtype=object)
