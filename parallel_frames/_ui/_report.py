"""What a person looks at before and after: a plan, the card of an enrichment, and the report on it.

Each has a text and an HTML form of the same facts. It decides nothing: numbers come from `_sections` and `_times`,
words from `_words`, what a browser shows from the templates of `_html`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from parallel_frames._ui._frame import find_sections
from parallel_frames._ui._html import render
from parallel_frames._ui._page import page_values
from parallel_frames._ui._sections import RunFacts, Section, make_section
from parallel_frames._ui._times import make_curves, steps
from parallel_frames._ui._words import (
    plan_facts,
    plan_headline,
    plan_text,
    report_facts,
    report_headline,
    report_text,
    report_values,
)
from parallel_frames.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import numpy as np

    from parallel_frames._job._preview import EnrichmentPlan

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
