"""How sure the service is: of each field, and of which rows it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from parallel_frames._columns._belong import ordered
from parallel_frames._columns._entries import CONFIDENCE
from parallel_frames._columns._find import InStruct, find_evidence, name_of
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from parallel_frames._columns._entries import Confidence
    from parallel_frames._columns._find import Found


def confidence(df: pd.DataFrame, *, elements: bool = False) -> pd.DataFrame:
    """Return how sure the service is of each field.

    Parameters
    ----------
    df : pandas.DataFrame
        Enriched with ``basis="columns"`` or ``basis="struct"``; filtered, sorted or read from a file since, as you
        like.
    elements : bool, default False
        Add a column for each element of a list that has evidence of its own, such as ``products.0``. Only
        ``basis="struct"`` keeps it, and only the beta header ``field-basis-2025-11-25`` makes the service send it.

    Returns
    -------
    pandas.DataFrame
        The rows and the index of `df`; a column per field, an ordered category low < medium < high, so that
        ``confidence(df) <= "medium"`` compares. Missing where a row has no answer, or where the service does not
        say how sure it is.

    Raises
    ------
    InputError
        The frame has no columns of evidence; or with ``elements=True`` no column of ``basis="struct"``.

    Examples
    --------
    >>> import pandas as pd
    >>> from parallel_frames._evidence import confidence
    >>> basis = [
    ...     {"field": "capital", "confidence": "high"},
    ...     {"field": "rivers.0", "confidence": "medium"},
    ...     {"field": "rivers.1", "confidence": "low"},
    ... ]
    >>> out = pd.DataFrame({"capital": ["Paris"], "rivers": [["Seine", "Po"]], "parallel_basis": [basis]})
    >>> confidence(out)
      capital rivers
    0    high    low
    >>> confidence(out, elements=True)
      capital rivers rivers.0 rivers.1
    0    high    low   medium      low
    """
    found = find_evidence(df)
    if elements and not found.affixes:
        raise InputError(
            "elements=True needs basis='struct': basis='columns' keeps one confidence for each field, the lowest of "
            "its elements. Leave elements=True out, or enrich with basis='struct'; what is in the checkpoint is not "
            "paid for again."
        )
    columns: list[tuple[str, Sequence[Confidence | None]]] = []
    for evidence in found.fields:
        columns.append((evidence.field, evidence.confidences()))
        if elements and isinstance(evidence, InStruct):
            columns.extend(evidence.elements().items())
    wide = pd.DataFrame({at: ordered(words) for at, (_, words) in enumerate(columns)}, index=df.index)
    return wide.set_axis([label for label, _ in columns], axis=1)


def low_confidence(
    df: pd.DataFrame,
    *,
    fields: Sequence[Hashable] | str | None = None,
    at_most: Literal["low", "medium", "high"] = "low",
) -> pd.Series[bool]:
    """Return which rows have an answer that the service is not sure of.

    Made to be given to ``where=``: with a dearer processor,
    ``df.parallel.enrich(schema, where=pf.low_confidence, processor="pro", if_exists="overwrite")`` asks again what
    the first one was not sure of.

    Parameters
    ----------
    df : pandas.DataFrame
        Enriched with ``basis="columns"`` or ``basis="struct"``.
    fields : label or sequence of labels, optional
        The columns that matter, prefix included. Default: every one that has evidence; as ``where=``, those of the
        enrichment itself if any of them has.
    at_most : {"low", "medium", "high"}, default "low"
        The confidence at which an answer is still doubted.

    Returns
    -------
    pandas.Series
        Of bool, with the index of `df`: True where any of the fields has this confidence or a lower one. A row
        without an answer is False, and so is a field of which the service does not say how sure it is: rows that
        have no answer are found by ``where="missing"`` and ``where="failed"``.

    Raises
    ------
    InputError
        The frame has no columns of evidence, a field has none, or `at_most` is no confidence.

    Examples
    --------
    >>> import pandas as pd
    >>> from parallel_frames._evidence import low_confidence
    >>> out = pd.DataFrame(
    ...     {
    ...         "capital": ["Paris", "Sucre", None],
    ...         "capital_confidence": ["high", "low", None],
    ...         "capital_reasoning": ["Sources agree.", "Sources disagree.", None],
    ...         "capital_citations": [[], [], None],
    ...     }
    ... )
    >>> low_confidence(out).tolist()
    [False, True, False]
    >>> out[low_confidence(out, fields=["capital"], at_most="medium")]["capital"].tolist()
    ['Sucre']
    """
    if at_most not in CONFIDENCE:
        raise InputError(f"at_most={at_most!r} is no confidence: choose 'low', 'medium' or 'high'.")
    found = find_evidence(df)
    wanted = _wanted(found, fields)
    doubted: Any = np.zeros(len(df), dtype=bool)
    for evidence in found.fields:
        if wanted is None or evidence.field in wanted:
            codes = ordered(evidence.confidences()).codes  # -1 is missing
            doubted |= (codes >= 0) & (codes <= CONFIDENCE.index(at_most))
    return pd.Series(doubted, index=df.index)


def _wanted(found: Found, fields: Sequence[Hashable] | str | None) -> frozenset[str | None] | None:
    """Return the names asked for; None is all."""
    if fields is None:
        return None
    asked = list(fields) if pd.api.types.is_list_like(fields) else [fields]
    having = list(dict.fromkeys(evidence.field for evidence in found.fields))
    possible = found.names()
    unknown = [field for field in asked if name_of(field) not in possible]
    if unknown:
        told = ", ".join(map(repr, unknown))
        raise InputError(
            f"fields={fields!r} names {told}, of which the frame holds no evidence; it has some of "
            f"{', '.join(map(repr, having)) or 'no field'}."
        )
    return frozenset(map(name_of, asked))
