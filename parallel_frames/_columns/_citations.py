"""The citations of a frame, one a line."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from parallel_frames._columns._belong import CONFIDENCE_DTYPE
from parallel_frames._columns._dtypes import dtype_of
from parallel_frames._columns._evidence import TEXT
from parallel_frames._columns._find import find_evidence, refuse_texts

_TEXT: Final = dtype_of(TEXT)
_DTYPES: Final[dict[str, Any]] = {
    "row": "int64",
    "field": _TEXT,
    "element": "Int64",
    "citation": "int64",
    "url": _TEXT,
    "title": _TEXT,
    "excerpts": object,
    "confidence": CONFIDENCE_DTYPE,
    "reasoning": _TEXT,
}


def citations(df: pd.DataFrame) -> pd.DataFrame:
    """Return the citations of an enriched frame, one a line.

    Parameters
    ----------
    df : pandas.DataFrame
        Enriched with ``basis="columns"`` or ``basis="struct"``. It may have been filtered, sorted, concatenated or
        written to Parquet since: evidence is known by the names of its columns.

    Returns
    -------
    pandas.DataFrame
        One line per row, field and citation, in this order. Its index has each row's own label, repeated, so that
        ``df.join`` takes it, and its columns are:

        - ``row`` (int64): the row's position in `df`, which tells rows of one label apart;
        - ``field`` (string): the column the citation is for, prefix included;
        - ``element`` (Int64): of which element of the column's list, from 0; missing where it is for the whole field;
        - ``citation`` (int64): its number within the row and field, from 0;
        - ``url``, ``title`` (string), and ``excerpts`` (list of str, empty if there are none);
        - ``confidence`` (category low < medium < high) and ``reasoning`` (string): what the citation stands for. With
          ``basis="struct"`` they are the element's own, with ``basis="columns"`` the field's.

        A row or a field without citations has no line.

    Raises
    ------
    InputError
        The frame has no columns of evidence, or CSV has made texts of their lists.

    Examples
    --------
    >>> import pandas as pd
    >>> from parallel_frames._evidence import citations
    >>> out = pd.DataFrame(
    ...     {
    ...         "capital": ["Paris", None],
    ...         "capital_confidence": ["high", None],
    ...         "capital_reasoning": ["Two sources agree.", None],
    ...         "capital_citations": [[{"url": "https://a.example"}, {"url": "https://b.example"}], None],
    ...     },
    ...     index=["France", "Atlantis"],
    ... )
    >>> citations(out)[["row", "field", "citation", "url", "confidence"]]
            row    field  citation                url confidence
    France    0  capital         0  https://a.example       high
    France    0  capital         1  https://b.example       high
    """
    found = find_evidence(df)
    for name in found.nested:
        refuse_texts(df, name)
    cells: dict[str, list[Any]] = {name: [] for name in _DTYPES}
    add = [column.append for column in cells.values()]
    for evidence in found.fields:
        row, number = -1, 0
        for source in evidence.sources():
            row, number = source.row, number + 1 if source.row == row else 0
            cited = source.citation.values()
            line = (row, evidence.field, source.element, number, *cited, source.confidence, source.reasoning)
            for append, cell in zip(add, line, strict=True):
                append(cell)
    lines = pd.DataFrame({name: pd.Series(column, dtype=_DTYPES[name]) for name, column in cells.items()})
    lines = lines.sort_values("row", kind="stable")
    return lines.set_axis(df.index.take(lines["row"].to_numpy()))
