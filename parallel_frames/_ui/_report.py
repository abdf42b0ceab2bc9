"""What a person looks at before and after: a plan, the card of an enrichment, and the report on it.

Each has a text and an HTML form of the same facts. It decides nothing: numbers and curves come from `_sections`, words
from `_words`, what a browser shows from the templates of `_html`.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from parallel_frames._columns import BASIS_COLUMN, check_frame, citations, confidence
from parallel_frames._model import STATUSES
from parallel_frames._ui._html import render
from parallel_frames._ui._sections import RunFacts, Section, label_text, make_curves, make_section, steps
from parallel_frames._ui._words import (
    plan_facts,
    plan_headline,
    plan_text,
    report_facts,
    report_headline,
    report_text,
    report_values,
    shorten,
)
from parallel_frames.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import numpy as np

    from parallel_frames._job._preview import EnrichmentPlan

STATUS: Final = re.compile(r"parallel_status(_\d+)?$")


def find_sections(df: pd.DataFrame) -> list[Section]:
    """Return a section for each enrichment that left its mark.

    Raises
    ------
    InputError
        The frame holds nothing of an enrichment.
    """
    check_frame(df)
    known = df.attrs.get("parallel")
    told: list[dict[str, Any]] = known.get("enrichments", []) if isinstance(known, dict) else []
    labels = [label for label in dict.fromkeys(df.columns) if STATUS.search(_first(label)) is not None]
    for label in labels:
        if (times := int((df.columns == label).sum())) != 1:
            raise InputError(
                f"The frame has {times} columns named {label!r}, and a report cannot know which one is meant. "
                "df.loc[:, ~df.columns.duplicated()] keeps the first of each name."
            )
    names = list(map(_first, labels))
    sections = [_section(df, label, _about(told, label), name=_first(label), names=names) for label in labels]
    sections.extend(
        make_section(df, outputs=outputs, status=None, error=None, told=about)
        for about in told
        if about.get("status") is None and (outputs := _outputs(df, about))
    )
    if not sections:
        raise InputError(
            "The frame holds nothing of an enrichment: no status columns, and no attrs that tell of one. "
            "pf.last().report() reports on the last enrichment of this process."
        )
    return sections


def _section(df: pd.DataFrame, status: Hashable, about: dict[str, Any], *, name: str, names: Sequence[str]) -> Section:
    text = name.replace("parallel_status", "parallel_error")
    error: Any = (text, *status[1:]) if isinstance(status, tuple) else text
    return make_section(
        df,
        name=name,
        outputs=_outputs(df, about) or _outputs_with_evidence(df, name, names=names),
        status=status,
        error=error if error in df.columns else None,
        told=about,
    )


def _about(told: list[dict[str, Any]], label: Hashable) -> dict[str, Any]:
    """Return the newest thing told of the enrichment with this status column."""
    name = label if isinstance(label, str) else repr(label)
    return next((about for about in reversed(told) if about.get("status") == name), {})


def _outputs(df: pd.DataFrame, about: dict[str, Any]) -> tuple[Hashable, ...]:
    """Return the columns that the attrs tell of, as far as the frame still has them."""
    named = {str(name) for name in about.get("columns", [])}
    return tuple(
        label
        for label in dict.fromkeys(df.columns)
        if (label if isinstance(label, str) else repr(label)) in named and (df.columns == label).sum() == 1
    )


def _outputs_with_evidence(df: pd.DataFrame, status: str, *, names: Sequence[str]) -> tuple[Hashable, ...]:
    """Return the columns that have evidence and are named as this status column is, where the attrs are lost."""
    try:
        fields = set(confidence(df).columns)
    except InputError:  # the frame holds no evidence
        return ()
    return tuple(
        label
        for label in dict.fromkeys(df.columns)
        if (name := label_text(label)) in fields
        and max((each for each in names if _are_of_one(each, name)), key=len, default=None) == status
        and (df.columns == label).sum() == 1
    )


def _are_of_one(status: str, field: str) -> bool:
    """Return whether a field has the prefix and the number of a status column."""
    prefix, _, number = status.partition("parallel_status")
    return field.startswith(prefix) and field.endswith(number)


def _first(label: Any) -> str:
    return str(label[0] if isinstance(label, tuple) and label else label)


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


__all__ = [
    "Report",
    "RunFacts",
    "enrichment_html",
    "make_report",
    "plan_html",
    "plan_text",
    "report_of_frame",
]


class Report:
    """What became of an enrichment: rows by status, failures by cause, confidence by field, cost and time.

    A notebook shows it, and `to_html` writes it as a page of its own. `parallel_frames.report` makes one of a frame,
    ``pf.last().report()`` one of the last enrichment, which knows its cost and its times too.

    Attributes
    ----------
    sections : tuple
        One per enrichment that the frame tells of, in the order of their columns; the other attributes speak of the
        last one.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> from parallel_frames.simulator import Failure
    >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
    >>> with pf.offline(answers={"Acme": {"founded": 1949}, "Globex": Failure("no such company")}, latency=0):
    ...     out = df.parallel.enrich({"founded": int})
    >>> report = out.parallel.report()
    >>> report.counts
    {'completed': 1, 'failed': 1}
    >>> report.failures[["cause", "rows"]]
                 cause  rows
    0  no such company     1
    """

    def __init__(self, frame: pd.DataFrame, sections: tuple[Section, ...]) -> None:
        self._frame = frame
        self.sections = sections

    @property
    def counts(self) -> dict[str, int]:
        """Rows by status."""
        return dict(self.sections[-1].counts)

    @property
    def failures(self) -> pd.DataFrame:
        """What went wrong, one line per cause, the most frequent first: ``cause, rows, label, error``.

        Messages that differ only in values are one cause; label and error are those of its first row.
        """
        lines = [(each.cause, each.rows, *each.examples[0]) for each in self.sections[-1].failures]
        return pd.DataFrame(lines, columns=["cause", "rows", "label", "error"])

    @property
    def confidence(self) -> pd.DataFrame:
        """Answered rows of each field by confidence: ``low, medium, high, none``; empty without evidence."""
        return self.sections[-1].confidence.copy()

    @property
    def missing(self) -> dict[Hashable, int]:
        """For each output column the answered rows without a value."""
        return dict(self.sections[-1].missing)

    @property
    def cost(self) -> float | None:
        """US dollars of the runs sent; None where it is not known, as in the report of a mere frame."""
        facts = self.sections[-1].facts
        return None if facts is None else facts.cost

    def __repr__(self) -> str:
        return "\n\n".join(map(report_text, self.sections))

    def _repr_html_(self) -> str:
        return render("fragment.html", sections=[report_values(section) for section in self.sections])

    def to_html(self, path: str | os.PathLike[str], *, title: str | None = None) -> Path:
        """Write the report as a page that stands alone, with the rows and what is behind each answer.

        Parameters
        ----------
        path : path
            The file; one that is there is replaced, whole.
        title : str, optional
            Default: "Enrichment report".

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        InputError
            The folder does not exist, or cannot be written.

        Notes
        -----
        The page holds the first 1,000 rows, inputs included: mind to whom you hand it. It needs no network and no
        scripts, and loads nothing from the addresses it links to.

        Examples
        --------
        >>> import tempfile, pandas as pd, parallel_frames as pf
        >>> with pf.offline(latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = out.parallel.report().to_html(f"{folder}/report.html", title="Companies")
        ...     "<title>Companies</title>" in page.read_text(encoding="utf-8")
        True
        """
        target = Path(path).expanduser()
        title = title or "Enrichment report"
        values = page_values(self._frame, self.sections)
        written = f"Written {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by parallel_frames"
        text = render(
            "page.html", title=title, written=written, sections=[report_values(s) for s in self.sections], **values
        )
        hidden = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            hidden.write_text(text, encoding="utf-8")
            hidden.replace(target)
        except OSError as error:
            with suppress(OSError):
                hidden.unlink(missing_ok=True)
            raise InputError(f"{target} could not be written ({error.strerror or error}).") from error
        return target

    def plot(self, ax: Any = None) -> Any:
        """Draw the runs sent, finished and failed over time.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw. Default: a new figure.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ConfigurationError
            matplotlib is not installed.
        InputError
            The times are not known: this is the report of a mere frame, or nothing has finished.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(latency=0):
        ...     out = pd.DataFrame({"company": ["Acme", "Globex"]}).parallel.enrich({"founded": int})
        >>> ax = pf.last().report().plot()
        >>> [line.get_label() for line in ax.lines]
        ['sent', 'finished']
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise ConfigurationError(
                "plot() needs matplotlib: pip install 'parallel-frames[report]'. The timeline in the notebook and in "
                "to_html() needs nothing."
            ) from None
        facts = self.sections[-1].facts
        start, curves = make_curves(facts.times if facts is not None else ())
        if start is None:
            raise InputError("When the runs were sent and finished is not known here; pf.last().report() knows it.")
        if ax is None:
            _, ax = plt.subplots(figsize=(8, 3), layout="constrained")
        length = max(float(curve.seconds[-1]) for curve in curves)
        colours = {"sent": "tab:blue", "finished": "tab:green", "failed": "tab:red"}
        for curve in curves:
            style = "--" if curve.name == "sent" else "-"
            ax.step(*steps(curve, length), style, where="post", label=curve.name, color=colours[curve.name])
        ax.set(xlabel=f"seconds from {start:%Y-%m-%d %H:%M:%S} UTC", ylabel="runs", ylim=(0, None))
        ax.legend(frameon=False)
        return ax


def make_report(
    frame: pd.DataFrame,
    *,
    outputs: tuple[Hashable, ...],
    status: Hashable | None,
    error: Hashable | None,
    asked: np.ndarray[Any, np.dtype[np.bool_]],
    facts: RunFacts | None,
) -> Report:
    """Return the report on one enrichment whose columns are known; only rows that were asked about are counted."""
    section = make_section(frame[asked], outputs=outputs, status=status, error=error, facts=facts)
    return Report(frame, (section,))


def report_of_frame(df: pd.DataFrame) -> Report:
    """Return the report on what a frame itself tells of its enrichments."""
    return Report(df, tuple(find_sections(df)))


def plan_html(plan: EnrichmentPlan) -> str:
    """Return a plan as a fragment."""
    return render("plan.html", plan=plan, headline=plan_headline(plan), facts=plan_facts(plan))


def enrichment_html(*, facts: RunFacts, counts: Mapping[str, int]) -> str:
    """Return the card of an enrichment as a fragment."""
    section = Section(counts={name: rows for name, rows in counts.items() if rows}, facts=facts)
    return render(
        "enrichment.html",
        headline=report_headline(section),
        simulated=facts.simulated,
        counts=section.counts,
        facts=report_facts(section),
    )
