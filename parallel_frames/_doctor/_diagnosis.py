"""What a diagnosis is: one check for each assumption, and how that is printed, shown and written to a file."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from parallel_frames._format import format_count, format_dollars, mark_simulated
from parallel_frames._fs import atomic_write, expand_home
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import pandas as pd

Verdict: TypeAlias = Literal["ok", "handled", "breaks", "not checked"]

VERDICTS: Final = ("ok", "handled", "breaks", "not checked")
WIDTHS: Final = {"verdict": 11, "assumption": 30, "observed": 30, "meaning": 40}
HEADS: Final = {"verdict": "", "assumption": "assumption", "observed": "observed", "meaning": "what it means"}

# In the order in which they are checked.
ASSUMPTIONS: Final[Mapping[str, str]] = {
    "proxies": "The proxies and certificates of the environment can be used.",
    "cache": "What is written to the cache directory survives a crash.",
    "lock": "A second writer of a checkpoint is refused.",
    "connection": "The service answers, over a connection that is trusted.",
    "api_key": "There is an API key, and the service takes it.",
    "dialect": "The service speaks the published API under /v1.",
    "unknown_group": "A group that does not exist is answered with 404 and a reference.",
    "refused_body": "A body that is not allowed is answered with 422 and the reason.",
    "batch": "The answer to a batch names its runs, in the order sent.",
    "listing": "The group lists and counts runs as soon as they are acknowledged.",
    "run_cursor": "A list can begin after the runs of earlier batches.",
    "events": "Each run ends, and an event reports it.",
    "event_outputs": "Events carry outputs in the seed dialect, and none in the published one.",
    "metadata": "A run comes back with its metadata.",
    "inputs": "A run comes back with its input, on request.",
    "event_cursor": "A stream of events resumes after the last one that was read.",
    "outputs": "The output of a completed run can be read.",
    "counts": "The group counts what was sent and what ended.",
    "rate_limit": "No limit is announced below the client's own.",
    "clock": "The clocks of the service and of this machine agree.",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One assumption, what was observed, and what that means.

    Attributes
    ----------
    name : str
        What is checked, in a word: the same in every version.
    assumption, observed : str
    verdict : {"ok", "handled", "breaks", "not checked"}
        As assumed; different, and this client copes; different, and something does not work; not known.
    meaning : str
        What follows, and what to do where something breaks.
    """

    name: str
    assumption: str
    observed: str
    verdict: Verdict
    meaning: str


def make_check(name: str, observed: str, verdict: Verdict, meaning: str) -> Check:
    return Check(name, ASSUMPTIONS[name], observed, verdict, meaning)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What `doctor` found: a table that is printed, shown in a notebook, or written to a file without secrets.

    Attributes
    ----------
    checks : tuple of Check
        Each has ``name``, ``assumption``, ``observed``, ``verdict`` and ``meaning``.
    host : str
        Whom it asked.
    dialect : str or None
        What the service speaks; None where it was not found out.
    simulated : bool
        Whether a simulator answered.
    processor : str
        What the runs were sent to.
    runs : int
        Runs that were sent.
    cost : float
        US dollars that they cost at most: failed runs are not billed.
    group_id : str or None
        The group that they are in.
    at : str
        When, in UTC.
    versions : mapping of str to str
        What was installed.

    Examples
    --------
    >>> import parallel_frames as pf
    >>> with pf.offline(latency=0):
    ...     diagnosis = pf.doctor()
    >>> diagnosis.simulated, diagnosis.breaks, diagnosis.runs
    (True, (), 3)
    """

    checks: tuple[Check, ...]
    host: str
    dialect: str | None
    simulated: bool
    processor: str
    runs: int
    cost: float
    group_id: str | None
    at: str
    versions: Mapping[str, str]

    @property
    def breaks(self) -> tuple[Check, ...]:
        """The checks that found what does not work."""
        return tuple(check for check in self.checks if check.verdict == "breaks")

    @property
    def frame(self) -> pd.DataFrame:
        """The checks as a frame: ``name, assumption, observed, verdict, meaning``."""
        import pandas as pd

        return pd.DataFrame([asdict(check) for check in self.checks], columns=list(Check.__dataclass_fields__))

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the diagnosis as JSON, and write it to a file if one is named; a file that is there is replaced.

        Parameters
        ----------
        path : path, optional
            The file. It holds no API key and no password of a proxy, and may be attached to a report.

        Returns
        -------
        str
            The JSON.

        Raises
        ------
        InputError
            The file cannot be written.

        Examples
        --------
        >>> import json, parallel_frames as pf
        >>> with pf.offline(latency=0):
        ...     diagnosis = pf.doctor()
        >>> json.loads(diagnosis.to_json())["checks"][0]["verdict"]
        'ok'
        """
        text = json.dumps(asdict(self), ensure_ascii=False, indent=2)
        if path is not None:
            target = expand_home(path)
            try:
                with atomic_write(target) as sink:
                    sink.write(f"{text}\n".encode())
            except OSError as error:
                raise InputError(f"{target} could not be written ({error.strerror or error}).") from error
        return text

    @property
    def _headline(self) -> str:
        found = Counter(check.verdict for check in self.checks)
        parts = [self.host, *([self.dialect] if self.dialect else [])]
        parts += [f"{found[verdict]} {verdict}" for verdict in VERDICTS if found[verdict]]
        sent = f"{format_count(self.runs, 'run')} on {self.processor}, {format_dollars(self.cost)}"
        return " · ".join([*parts, sent if self.runs else "nothing was sent"])

    def __repr__(self) -> str:
        lines = [mark_simulated(self._headline, simulated=self.simulated), *_wrap(HEADS)]
        for check in self.checks:
            lines += _wrap(asdict(check))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from parallel_frames._ui._html import render

        return render("diagnosis.html", diagnosis=self, headline=self._headline)


def _wrap(cells: Mapping[str, Any]) -> list[str]:
    """Return one line of the table, as many lines as its cells need."""
    columns = [textwrap.wrap(cells[name], width, break_on_hyphens=False) for name, width in WIDTHS.items()]
    heights = range(max(map(len, columns)))
    rows = [[column[at] if at < len(column) else "" for column in columns] for at in heights]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, WIDTHS.values(), strict=True)).rstrip() for row in rows
    ]
