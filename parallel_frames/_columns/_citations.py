"""Questions about the evidence in a frame: its citations, its confidence by field, its rows of low confidence.

These are public functions, and methods of the accessor. Where evidence is, and how it reads, is for `_find_evidence`
to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import pandas as pd

from parallel_frames._columns._cells import check_lists
from parallel_frames._columns._evidence import CONFIDENCE, CONFIDENCE_DTYPE, as_categories
from parallel_frames._columns._find_evidence import StructEvidence, find_evidence
from parallel_frames._columns._layout import name_of
from parallel_frames._columns._typed import STRING
from parallel_frames._format import format_option
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from parallel_frames._columns._evidence import Confidence

CITATION_DTYPES: Final[dict[str, Any]] = {
    "row": "int64",
    "field": STRING,
    "element": "Int64",
    "citation": "int64",
    "url": STRING,
    "title": STRING,
    "excerpts": object,
    "confidence": CONFIDENCE_DTYPE,
    "reasoning": STRING,
}


def citations(df: pd.DataFrame) -> pd.DataFrame:
    """Return the citations of an enriched frame, one a line.

    Parameters
    ----------
    df : pandas.DataFrame
        Enriched with ``basis="columns"`` or ``basis="struct"``. It may have been filtered, sorted, concatenated or
        written to Parquet since: evidence is found by the names of its columns.

    Returns
    -------
    pandas.DataFrame
        One line per row, field and citation, in this order. Its index has each row's own label, repeated, so that
        ``df.join`` takes it, and its columns are:

        - ``row`` (int64): the row's position in `df`, which distinguishes rows with the same label;
        - ``field`` (string): the column the citation is for, prefix included;
        - ``element`` (Int64): the element of the column's list, from 0; missing where it is for the whole field;
        - ``citation`` (int64): its number within the row and field, from 0;
        - ``url``, ``title`` (string), and ``excerpts`` (list of str, empty if there are none);
        - ``confidence`` (category low < medium < high) and ``reasoning`` (string): of what the citation supports.
          With ``basis="struct"`` they are the element's own, with ``basis="columns"`` the field's.

        A row or a field without citations has no line.

    Raises
    ------
    InputError
        The frame has no columns of evidence, or CSV has made texts of their lists.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> out = pd.DataFrame(
    ...     {
    ...         "capital": ["Paris", None],
    ...         "capital_confidence": ["high", None],
    ...         "capital_reasoning": ["Two sources agree.", None],
    ...         "capital_citations": [[{"url": "https://a.example"}, {"url": "https://b.example"}], None],
    ...     },
    ...     index=["France", "Atlantis"],
    ... )
    >>> pf.citations(out)[["row", "field", "citation", "url", "confidence"]]
            row    field  citation                url confidence
    France    0  capital         0  https://a.example       high
    France    0  capital         1  https://b.example       high
    """
    found = find_evidence(df)
    for name, column in found.lists():
        check_lists(column, name)
    cells: dict[str, list[Any]] = {name: [] for name in CITATION_DTYPES}
    appends = [column.append for column in cells.values()]
    for evidence in found.fields:
        row, number = -1, 0
        for source in evidence.sources():
            row, number = source.row, number + 1 if source.row == row else 0
            cited = source.citation.values()
            line = (row, evidence.field, source.element, number, *cited, source.confidence, source.reasoning)
            for append, cell in zip(appends, line, strict=True):
                append(cell)
    table = pd.DataFrame({name: pd.Series(column, dtype=CITATION_DTYPES[name]) for name, column in cells.items()})
    table = table.sort_values("row", kind="stable")
    return table.set_axis(df.index.take(table["row"].to_numpy()))


def confidence(df: pd.DataFrame, *, elements: bool = False) -> pd.DataFrame:
    """Return the service's confidence in each field.

    Parameters
    ----------
    df : pandas.DataFrame
        Enriched with ``basis="columns"`` or ``basis="struct"``; it may have been filtered, sorted or read from a file
        since.
    elements : bool, default False
        Add a column for each element of a list that has evidence of its own, such as ``products.0``. Only
        ``basis="struct"`` keeps it.

    Returns
    -------
    pandas.DataFrame
        The rows and the index of `df`; a column per field, an ordered category low < medium < high, so that
        ``confidence(df) <= "medium"`` compares. Missing where a row has no answer, or where the service states no
        confidence.

    Raises
    ------
    InputError
        The frame has no columns of evidence; or with ``elements=True`` no column of ``basis="struct"``.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> basis = [
    ...     {"field": "capital", "confidence": "high"},
    ...     {"field": "rivers.0", "confidence": "medium"},
    ...     {"field": "rivers.1", "confidence": "low"},
    ... ]
    >>> out = pd.DataFrame({"capital": ["Paris"], "rivers": [["Seine", "Po"]], "parallel_basis": [basis]})
    >>> pf.confidence(out)
      capital rivers
    0    high    low
    >>> pf.confidence(out, elements=True)
      capital rivers rivers.0 rivers.1
    0    high    low   medium      low
    """
    found = find_evidence(df)
    if elements and not found.structs:
        raise InputError(
            "`elements=True` needs `basis='struct'`: `basis='columns'` keeps one confidence for each field, the lowest "
            "of its elements. Leave `elements` out, or enrich with `basis='struct'`; what is in the checkpoint is not "
            "paid for again."
        )
    columns: list[tuple[str, Sequence[Confidence | None]]] = []
    for evidence in found.fields:
        columns.append((evidence.field, evidence.confidences()))
        if elements and isinstance(evidence, StructEvidence):
            columns.extend(evidence.elements().items())
    # By number first: two enrichments of one frame may have fields of the same name.
    table = pd.DataFrame({at: as_categories(levels) for at, (_, levels) in enumerate(columns)}, index=df.index)
    return table.set_axis([name for name, _ in columns], axis=1)


def low_confidence(
    df: pd.DataFrame,
    *,
    fields: Sequence[Hashable] | str | None = None,
    at_most: Literal["low", "medium", "high"] = "low",
) -> pd.Series[bool]:
    """Return which rows have an answer of low confidence.

    Made for ``where=``: with a more expensive processor,
    ``df.parallel.enrich(schema, where=pf.low_confidence, processor="pro", if_exists="overwrite")`` repeats the rows
    in which the first one had little confidence.

    Parameters
    ----------
    df : pandas.DataFrame
        Enriched with ``basis="columns"`` or ``basis="struct"``.
    fields : label or sequence of labels, optional
        The columns that matter, prefix included. Default: every one that has evidence; as ``where=``, those of the
        enrichment itself if any of them has.
    at_most : {"low", "medium", "high"}, default "low"
        The highest confidence that counts as low.

    Returns
    -------
    pandas.Series
        Of bool, with the index of `df`: True where any of the fields has this confidence or a lower one. A row
        without an answer is False, and so is a field for which the service states no confidence: rows that
        have no answer are found by ``where="missing"`` and ``where="failed"``.

    Raises
    ------
    InputError
        The frame has no columns of evidence, a field has none, or `at_most` is not a confidence.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> out = pd.DataFrame(
    ...     {
    ...         "capital": ["Paris", "Sucre", None],
    ...         "capital_confidence": ["high", "low", None],
    ...         "capital_reasoning": ["Sources agree.", "Sources disagree.", None],
    ...         "capital_citations": [[], [], None],
    ...     }
    ... )
    >>> pf.low_confidence(out).tolist()
    [False, True, False]
    >>> out[pf.low_confidence(out, fields=["capital"], at_most="medium")]["capital"].tolist()
    ['Sucre']
    """
    if at_most not in CONFIDENCE:
        raise InputError(f"{format_option('at_most', at_most)} is not a confidence: choose 'low', 'medium' or 'high'.")
    found = find_evidence(df)
    wanted = found.names()
    if fields is not None:
        labels = list(fields) if pd.api.types.is_list_like(fields) else [fields]
        if unknown := [label for label in labels if name_of(label) not in wanted]:
            known = ", ".join(dict.fromkeys(repr(evidence.field) for evidence in found.fields))
            raise InputError(
                f"{format_option('fields', fields)} names {', '.join(map(repr, unknown))}, of which the frame holds no "
                f"evidence; it has some of {known or 'no field'}."
            )
        wanted = frozenset(filter(None, map(name_of, labels)))
    is_low: Any = np.zeros(len(df), dtype=bool)
    for evidence in found.fields:
        if evidence.field in wanted:
            codes = as_categories(evidence.confidences()).codes  # -1 is missing
            is_low |= (codes >= 0) & (codes <= CONFIDENCE.index(at_most))
    return pd.Series(is_low, index=df.index)
