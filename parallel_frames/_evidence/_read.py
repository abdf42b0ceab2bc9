"""The citations of a frame, one a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from parallel_frames._columns import dtype_of

from ._belong import ordered
from ._build import TEXT
from ._find import find_evidence

if TYPE_CHECKING:
    from ._find import Source


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
        The frame has no columns of evidence.

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
    fields: list[str] = []
    numbers: list[int] = []
    sources: list[Source] = []
    for evidence in find_evidence(df, cited=True).fields:
        row, number = -1, 0
        for source in evidence.sources():
            row, number = source.row, number + 1 if source.row == row else 0
            fields.append(evidence.field)
            numbers.append(number)
            sources.append(source)
    rows = np.array([source.row for source in sources], dtype=np.int64)
    order = np.argsort(rows, kind="stable")
    text = dtype_of(TEXT)
    lines = pd.DataFrame(
        {
            "row": rows,
            "field": pd.Series(fields, dtype=text),
            "element": pd.Series([source.element for source in sources], dtype="Int64"),
            "citation": np.array(numbers, dtype=np.int64),
            "url": pd.Series([source.citation["url"] for source in sources], dtype=text),
            "title": pd.Series([source.citation["title"] for source in sources], dtype=text),
            "excerpts": pd.Series([source.citation["excerpts"] for source in sources], dtype=object),
            "confidence": ordered([source.confidence for source in sources]),
            "reasoning": pd.Series([source.reasoning for source in sources], dtype=text),
        }
    )
    return lines.take(order).set_axis(df.index.take(rows[order]))
