"""What a notebook and a browser show, as HTML: the templates, their filters, and the values that go in.

Everything that goes in is escaped, since most of it comes from the web. A fragment brings its style along, scoped to
its own class, and needs no script and nothing from any other place.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from parallel_frames._columns import BASIS_COLUMN, cells_of, citations, find_evidence
from parallel_frames._format import format_count, format_duration, format_label, format_time
from parallel_frames._fs import atomic_write, expand_home
from parallel_frames._model import STATUSES
from parallel_frames._ui._sections import find_unsure, make_timeline
from parallel_frames._ui._text import (
    WARNINGS_TITLE,
    fields_title,
    report_facts,
    report_headline,
    unsure_text,
    waiting_title,
    wrong_title,
)
from parallel_frames._ui._values import (
    MISSING,
    cell_values,
    common_fields,
    index_name,
    label_text,
    on_one_line,
    short_address,
    web_address,
)
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence
    from pathlib import Path

    import jinja2

    from parallel_frames._ui._sections import Curve, Section, Timeline

MAX_ROWS: Final = 1_000
MIN_ROWS: Final = 100
MAX_CELLS: Final = 20_000
MAX_WIDTH: Final = 34
# What a row may be, in the order in which rows are looked at.
KINDS: Final = ("failed", "cancelled", "invalid", "pending", "unsure", "completed", "not_sent", "skipped")
EVIDENCE: Final = ("_confidence", "_reasoning", "_citations")
ENTRIES: Final = re.compile(rf"{BASIS_COLUMN}(_\d+)?$")
MAX_POINTS: Final = 160
LEFT, RIGHT, TOP, BOTTOM = 0.0, 640.0, 2.0, 128.0
COLOURS: Final = {"sent": "pending", "finished": "completed", "failed": "failed"}


def render(template: str, **values: object) -> str:
    """Return a template filled in; the names of templates are those of the files in ``templates``."""
    return _environment().get_template(template).render(**values)


def write_page(path: str | os.PathLike[str], template: str, **values: object) -> Path:
    """Write a template filled in as a page of its own, whole, and return where."""
    target = expand_home(path)
    text = render(template, written=f"Written {format_time()} by parallel_frames", **values)
    try:
        with atomic_write(target) as page:  # a browser that reloads never finds half a page
            page.write(text.encode())
    except OSError as error:
        raise InputError(f"{target} could not be written ({error.strerror or error}).") from error
    return target


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("parallel_frames._ui"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,  # a misspelt name is an error, not a blank in a report
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["count"] = "{:,}".format
    environment.filters["pretty"] = lambda value: json.dumps(value, indent=2, ensure_ascii=False)
    environment.filters |= {"link": web_address, "short_address": short_address}
    environment.filters |= {"on_one_line": on_one_line, "common_fields": common_fields}
    return environment


def report_values(section: Section, *, with_timeline: bool = True) -> dict[str, Any]:
    """Return an enrichment as the template takes it."""
    timeline = make_timeline(section.facts.times) if with_timeline and section.facts is not None else None
    return {
        "headline": report_headline(section),
        "simulated": section.simulated,
        "counts": section.counts,
        "facts": report_facts(section),
        "unsure": unsure_text(section),
        "index": section.index,
        "unit": section.unit,
        "failures": section.failures,
        "failures_title": wrong_title(section),
        "waiting": section.waiting,
        "waiting_title": waiting_title(section),
        "warnings": section.warnings,
        "warnings_title": WARNINGS_TITLE,
        "fields": section.fields(),
        "fields_title": fields_title(section),
        "has_confidence": len(section.confidence) > 0,
        "timeline": timeline and timeline_values(timeline),
    }


def timeline_values(timeline: Timeline) -> dict[str, Any] | None:
    """Return a timeline as the template draws it; None where there is nothing to see."""
    runs = max(int(curve.total[-1]) for curve in timeline.curves)
    if timeline.length < 0.5 or runs < 2:  # a single step says no more than the fact "took"
        return None
    length = format_duration(timeline.length)
    return {
        "lines": [
            {"name": curve.name, "colour": COLOURS[curve.name], "points": _points(curve, timeline.length, runs)}
            for curve in timeline.curves
        ],
        "runs": runs,
        "start": format_time(timeline.start.timestamp()),
        "length": length,
        "description": f"{runs:,} runs over {length}",
    }


def _points(curve: Curve, length: float, runs: int) -> str:
    """Return a curve as the points of a polyline in steps, few enough to be small, the first and the last exact."""
    # An SVG with a point for each of a million runs would be larger than the rest of the page.
    kept = np.unique(np.linspace(0, len(curve.seconds) - 1, min(MAX_POINTS, len(curve.seconds))).astype(int))
    seconds, totals = np.repeat(curve.seconds[kept], 2)[1:], np.repeat(curve.total[kept], 2)[:-1]  # along, then up
    x = LEFT + seconds / length * (RIGHT - LEFT)
    y = BOTTOM - totals / runs * (BOTTOM - TOP)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


# The rows of the page


def page_values(df: pd.DataFrame, sections: Sequence[Section]) -> dict[str, Any]:
    """Return the columns and the first rows of a frame, and the evidence of its answers, as the template takes them.

    Rows that are to be looked at come first: failed, invalid, without an answer, unsure; each can be chosen by these.
    What became of a row, and why, stands next to its label, however many columns there are.
    """
    kinds = _kinds_of_rows(df, sections)
    ranks = [min(map(KINDS.index, of_row), default=len(KINDS)) for of_row in kinds]
    order = np.argsort(ranks, kind="stable")[: most_rows(df)]
    part = df.iloc[order]
    names = list(map(format_label, part.columns))
    evidence = _find_evidence(part)
    # Evidence is shown inside the answer that it belongs to, not in columns of its own.
    hidden = {f"{field}{end}" for _, field in evidence for end in EVIDENCE} | set(filter(ENTRIES.search, names))
    first = [(section.status, section.error) for section in sections if section.status is not None]
    at_front = {label for pair in first for label in pair if label is not None}
    shown = [
        at
        for at, (label, name) in enumerate(zip(part.columns, names, strict=True))
        if name not in hidden and label not in at_front
    ]
    numeric = [is_number(dtype) for dtype in part.dtypes]
    columns = {at: cells_of(part.iloc[:, at]) for at in shown}
    statuses = [
        (cells_of(part[status]), [None] * len(part) if error is None else cells_of(part[error]))
        for status, error in first
    ]
    widths = dict.fromkeys(shown, 0)
    rows = []
    for row, label in enumerate(part.index):
        cells = []
        for at, of_column in columns.items():
            cell = cell_values(of_column[row])
            cells.append(cell | {"evidence": evidence.get((row, names[at])), "is_number": numeric[at]})
            # An arrow and a confidence stand next to the text.
            widths[at] = max(widths[at], len(cell["text"]) + 12 * ((row, names[at]) in evidence))
        of_row = [_status_values(found[row], reasons[row]) for found, reasons in statuses]
        rows.append({"label": label_text(label), "cells": cells, "kinds": kinds[order[row]], "statuses": of_row})
    total = format_count(len(df), "row")
    summary = total if len(part) == len(df) else f"the first {len(part):,} of {total}"
    summary += "; what is to be looked at comes first"
    if evidence:
        summary += "; an answer opens to show its confidence, reasoning and citations"
    found = Counter(kind for row in rows for kind in row["kinds"])
    return {
        "index": index_name(df.index),
        "statuses": [[format_label(label) for label in pair if label is not None] for pair in first],
        "columns": [
            # About as wide as its longest cell, so that neither a code nor a sentence has a letter a line.
            {"name": names[at], "is_number": numeric[at], "width": round(min(widths[at], MAX_WIDTH) * 0.6, 1)}
            for at in shown
        ],
        "rows": rows,
        "summary": summary,
        "kinds": [(kind, found[kind]) for kind in KINDS if found[kind]],
    }


def most_rows(df: pd.DataFrame) -> int:
    """Return how many rows a page holds: a browser is slow from some tens of thousands of cells."""
    columns = sum(not name.endswith(EVIDENCE) for name in map(format_label, df.columns))
    return max(MIN_ROWS, min(MAX_ROWS, MAX_CELLS // max(1, columns)))


def _status_values(status: Any, reason: Any) -> dict[str, Any]:
    """Return what became of a row, and why if that is known."""
    text, why = (None if pd.isna(value) else str(value) for value in (status, reason))
    return {"text": text or MISSING, "colour": text in STATUSES, "reason": None if why is None else cell_values(why)}


def _kinds_of_rows(df: pd.DataFrame, sections: Sequence[Section]) -> list[list[str]]:
    """Return of each row its statuses, one for each enrichment, and whether an answer is unsure."""
    kinds: list[list[str]] = [[] for _ in range(len(df))]
    for section in sections:
        if section.status is not None:
            for of_row, status in zip(kinds, df[section.status].astype(object).tolist(), strict=True):
                if status in STATUSES and status not in of_row:
                    of_row.append(status)
    for row in np.flatnonzero(find_unsure(df)).tolist():
        kinds[row].append("unsure")
    return kinds


def is_number(dtype: Any) -> bool:
    """Return whether a column holds numbers, which stand below one another by their last digit."""
    return bool(pd.api.types.is_numeric_dtype(dtype)) and not pd.api.types.is_bool_dtype(dtype)


def _find_evidence(df: pd.DataFrame) -> dict[tuple[int, str], dict[str, Any]]:
    """Return confidence, reasoning and citations by row and field."""
    try:
        fields = find_evidence(df).fields
    except InputError:
        return {}
    try:
        cited = citations(df).to_dict("records")
    except InputError:  # the frame has been through CSV
        cited = []
    found: dict[tuple[int, str], dict[str, Any]] = {}
    for evidence in fields:
        for row, (level, reasoning) in enumerate(zip(evidence.confidences(), evidence.reasonings(), strict=True)):
            if level is not None or reasoning is not None:
                found[row, evidence.field] = {"confidence": level, "reasoning": reasoning, "citations": []}
    for line in cited:
        nothing: dict[str, Any] = {"confidence": None, "reasoning": None, "citations": []}
        cell = found.setdefault((line["row"], line["field"]), nothing)
        element = None if pd.isna(line["element"]) else int(line["element"])
        source = {name: line[name] if isinstance(line[name], str) else None for name in ("url", "title")}
        of_element = line["confidence"] if element is not None and isinstance(line["confidence"], str) else None
        cell["citations"].append(source | {"excerpts": line["excerpts"], "element": element, "confidence": of_element})
    for cell in found.values():
        if all(source["confidence"] in (None, cell["confidence"]) for source in cell["citations"]):
            # It is the field's, which `basis="columns"` knows alone.
            cell["citations"] = [source | {"confidence": None} for source in cell["citations"]]
    return found
