"""The rows of a frame for the page that a colleague opens: texts, and behind each answer why it stands there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from parallel_frames._columns import BASIS_COLUMN, citations, confidence
from parallel_frames._model import STATUSES
from parallel_frames._ui._sections import label_text
from parallel_frames._ui._words import shorten
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallel_frames._ui._sections import Section

MOST_ROWS: Final = 1_000
LONG: Final = 160
LONG_LABEL: Final = 80
_PARTS: Final = ("_confidence", "_reasoning", "_citations")
_ENTRIES: Final = re.compile(rf"{BASIS_COLUMN}(_\d+)?$")


def page_values(df: pd.DataFrame, sections: Sequence[Section]) -> dict[str, Any]:
    """Return the columns, the rows and what is told of them, as the template takes them."""
    part = df.head(MOST_ROWS)
    why = _evidence(part)
    hidden = _evidence_columns(part, {field for _, field in why})
    statuses = {section.status for section in sections}
    shown = [(position, label) for position, label in enumerate(part.columns) if label_text(label) not in hidden]
    rows = []
    for row, index in enumerate(part.index):
        cells = []
        for position, label in shown:
            value = part.iat[row, position]
            reason = why.get((row, label_text(label)))
            cells.append(_cell(value, reason, is_status=label in statuses))
        rows.append({"label": shorten(label_text(index), LONG_LABEL), "cells": cells})
    told = f"{len(df):,} rows" if len(part) == len(df) else f"the first {len(part):,} of {len(df):,} rows"
    if why:
        told += "; an answer opens to show its confidence, reasoning and citations"
    return {"columns": [label_text(label) for _, label in shown], "rows": rows, "told": told}


def _cell(value: Any, why: dict[str, Any] | None, *, is_status: bool) -> dict[str, Any]:
    text = _text(value)
    short = shorten(text, LONG) if len(text) > LONG else text
    status = text if is_status and text in STATUSES else None
    return {"text": short, "more": text if short != text else None, "why": why, "status": status}


def _text(value: Any) -> str:
    """Return a cell as a person reads it; missing is a dash."""
    if isinstance(value, list | tuple) or (hasattr(value, "ndim") and value.ndim):
        return ", ".join(_text(each) for each in value)
    missing = not isinstance(value, dict) and pd.isna(value)
    return "–" if missing else str(value)


def _evidence(df: pd.DataFrame) -> dict[tuple[int, str], dict[str, Any]]:
    """Return what stands behind the cells, by row and field."""
    try:
        levels = confidence(df)
    except InputError:
        return {}
    try:
        cited = citations(df).to_dict("records")
    except InputError:  # the frame has been through CSV
        cited = []
    why: dict[tuple[int, str], dict[str, Any]] = {}
    for position, label in enumerate(levels.columns):
        for row, level in enumerate(levels.iloc[:, position].astype(object).tolist()):
            if isinstance(level, str):
                why[row, label_text(label)] = {"confidence": level, "reasoning": None, "citations": []}
    for line in cited:
        known = why.setdefault((line["row"], line["field"]), {"confidence": None, "reasoning": None, "citations": []})
        reasoning = line["reasoning"]
        known["reasoning"] = known["reasoning"] or (reasoning if isinstance(reasoning, str) else None)
        source = {name: line[name] if isinstance(line[name], str) else None for name in ("url", "title")}
        known["citations"].append({**source, "excerpts": line["excerpts"]})
    return why


def _evidence_columns(df: pd.DataFrame, fields: set[str]) -> set[str]:
    """Return the names of columns that are shown behind others."""
    names = {label_text(label) for label in df.columns}
    parts = {name for field in fields for part in _PARTS if (name := f"{field}{part}") in names}
    return parts | {name for name in names if _ENTRIES.search(name)}
