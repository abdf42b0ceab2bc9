"""The report on an enrichment, and the HTML of a plan and of a handle.

It decides nothing: numbers come from `_sections`, words from `_text`, what a browser shows from `_html`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from parallel_frames._columns import evidence_label
from parallel_frames._format import format_label, format_time, shorten
from parallel_frames._ui._html import page_values, render, report_values, write_page
from parallel_frames._ui._sections import RunFacts, Section, find_sections, make_section, make_timeline
from parallel_frames._ui._text import plan_facts, plan_headline, report_text
from parallel_frames._ui._values import MAX_LABEL, cell_values, index_name, label_text
from parallel_frames.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Hashable, Mapping
    from pathlib import Path

    import numpy as np

    from parallel_frames._job._preview import EnrichmentPlan


class Report:
    """A report on an enrichment: rows by status, failures by cause, confidence by field, cost and time.

    A notebook shows it, and `to_html` writes it as a page. `parallel_frames.report` makes a report on a frame,
    ``pf.last().report()`` one on the last enrichment, with its cost and times.

    Attributes
    ----------
    sections : tuple
        One per enrichment of the frame, in the order of their columns; the other attributes are those of the last.

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
        lines = [(failure.cause, failure.rows, *failure.examples[0]) for failure in self.sections[-1].failures]
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
        return None if facts is None or facts.cost is None else float(facts.cost)

    @property
    def extra_cost(self) -> str:
        """What is billed on top of that, in words: ``"plus connector calls"``, or nothing."""
        facts = self.sections[-1].facts
        return "" if facts is None else facts.extra_cost

    def __repr__(self) -> str:
        return "\n\n".join(map(report_text, self.sections))

    def _repr_html_(self) -> str:
        return render("report.html", sections=list(map(report_values, self.sections)))

    def to_html(self, path: str | os.PathLike[str], *, title: str | None = None) -> Path:
        """Write the report as a page of its own, with the rows and the evidence of each answer.

        Parameters
        ----------
        path : path
            The file; one that is there is replaced, whole.
        title : str, optional
            Default: "Enrichment report", and of which fields.

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
        The page holds the first 1,000 rows, fewer of more than 20 columns, inputs included: mind to whom you hand it.
        It needs no network and no scripts, and loads nothing from the addresses it links to.

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
        return write_page(
            path,
            "page.html",
            title=title or self._title(),
            sections=list(map(report_values, self.sections)),
            **page_values(self._frame, self.sections),
        )

    def _title(self) -> str:
        """Return what tells this page from others among the tabs of a browser."""
        fields = [format_label(label) for section in self.sections for label in section.outputs]
        return shorten(": ".join(filter(None, ["Enrichment report", ", ".join(fields)])), MAX_LABEL)

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
                "`plot()` needs matplotlib: pip install 'parallel-frames[report]'. The timeline in the notebook and in "
                "`to_html()` needs nothing."
            ) from None
        facts = self.sections[-1].facts
        timeline = make_timeline(facts.times) if facts is not None else None
        if timeline is None:
            raise InputError("When the runs were sent and finished is not known here; `pf.last().report()` knows it.")
        if ax is None:
            _, ax = plt.subplots(figsize=(8, 3), layout="constrained")
        colours = {"sent": "tab:blue", "finished": "tab:green", "failed": "tab:red"}
        for name, seconds, total in timeline.curves:
            style = "--" if name == "sent" else "-"
            ax.step(seconds, total, style, where="post", label=name, color=colours[name])
        ax.set(xlabel=f"seconds from {format_time(timeline.start.timestamp())}", ylabel="runs", ylim=(0, None))
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
    # Rows that `where=` left out may hold the statuses of an earlier enrichment.
    section = make_section(frame[asked], outputs=outputs, status=status, error=error, facts=facts)
    return Report(frame, (section,))


def report_of_frame(df: pd.DataFrame) -> Report:
    """Return the report on the enrichments that a frame's own columns and attrs describe."""
    return Report(df, tuple(find_sections(df)))


def plan_html(plan: EnrichmentPlan) -> str:
    """Return a plan as a fragment."""
    return render("plan.html", plan=plan, headline=plan_headline(plan), facts=plan_facts(plan))


def preview_html(frame: pd.DataFrame, summary: str, *, simulated: bool) -> str:
    """Return a few rows side by side as a fragment; each answer has its confidence and its sources next to it."""
    names = list(map(str, frame.index))
    lines: list[tuple[str, list[dict[str, Any]]]] = []
    positions = iter(range(len(names)))
    for at in positions:
        name = names[at]
        cells = [{**cell_values(value), "confidence": None, "sources": []} for value in frame.iloc[at]]
        if names[at + 1 : at + 3] == [evidence_label(name, part) for part in ("confidence", "sources")]:
            level_at, sources_at = next(positions), next(positions)
            for cell, level, sources in zip(cells, frame.iloc[level_at], frame.iloc[sources_at], strict=True):
                cell.update(confidence=None if pd.isna(level) else str(level), sources=sources.split())
        lines.append((name, cells))
    return render(
        "preview.html",
        summary=summary,
        simulated=simulated,
        rows_by=index_name(frame.columns),
        labels=list(map(label_text, frame.columns)),
        lines=lines,
    )


def enrichment_html(*, facts: RunFacts, counts: Mapping[str, int]) -> str:
    """Return the handle of an enrichment as a fragment: a report without its details."""
    section = Section(counts={status: rows for status, rows in counts.items() if rows}, facts=facts)
    return render("report.html", sections=[report_values(section, with_timeline=False)])
