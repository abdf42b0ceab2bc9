"""What became of the rows of one enrichment, as numbers: by status, cause, field and time; no text, no HTML."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from parallel_frames._columns import CONFIDENCE, confidence
from parallel_frames._model import STATUSES
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

POINTS: Final = 160
LEFT, RIGHT, TOP, BOTTOM = 46.0, 630.0, 12.0, 140.0


class Curve(NamedTuple):
    """How many runs had come so far, at which second."""

    name: str
    seconds: np.ndarray[Any, np.dtype[np.float64]]
    total: np.ndarray[Any, np.dtype[np.int64]]


def make_curves(times: Sequence[tuple[str | None, str | None, str]]) -> tuple[pd.Timestamp | None, list[Curve]]:
    """Return when the first run was sent, and the curves of sent, finished and failed runs."""
    table = pd.DataFrame(times, columns=["created", "ended", "status"])
    created = pd.to_datetime(table["created"], utc=True, errors="coerce", format="ISO8601")
    ended = pd.to_datetime(table["ended"], utc=True, errors="coerce", format="ISO8601")
    if created.notna().sum() == 0 or ended.notna().sum() == 0:
        return None, []
    start = created.min()
    bad = table["status"] != "completed"
    curves = [Curve("sent", *_steps(created, start)), Curve("finished", *_steps(ended, start))]
    if bad.any():
        curves.append(Curve("failed", *_steps(ended[bad], start)))
    return start, curves


def steps(curve: Curve, length: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return a curve's moments and counts from nothing at the start to the end of the time shown."""
    return np.concatenate([[0.0], curve.seconds, [length]]), np.concatenate([[0], curve.total, [curve.total[-1]]])


def _steps(moments: pd.Series[Any], start: pd.Timestamp) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    seconds = np.sort((moments.dropna() - start).dt.total_seconds().to_numpy(dtype=float))
    return seconds, np.arange(1, len(seconds) + 1)


def seconds_taken(times: Sequence[tuple[str | None, str | None, str]]) -> float | None:
    """Return the seconds from the first run's creation to the last one's end; None where they are not known."""
    _, curves = make_curves(times)
    ends = [curve.seconds[-1] for curve in curves if len(curve.seconds)]
    return float(max(ends)) if ends else None


def draw_timeline(times: Sequence[tuple[str | None, str | None, str]], *, duration: Any) -> dict[str, Any] | None:
    """Return what the template draws; None where there is nothing to see. `duration` says seconds in words."""
    start, curves = make_curves(times)
    length = max((curve.seconds[-1] for curve in curves if len(curve.seconds)), default=0.0)
    most = max((int(curve.total[-1]) for curve in curves if len(curve.total)), default=0)
    if start is None or length < 0.5 or most < 2:
        return None
    colours = {"sent": "pending", "finished": "completed", "failed": "failed"}
    lines = [
        {"name": curve.name, "colour": colours[curve.name], "dashed": curve.name == "sent",
         "points": _points(curve, length=length, most=most)}
        for curve in curves
    ]  # fmt: skip
    told = f"{most} runs over {duration(length)}"
    return {
        "lines": lines,
        "most": most,
        "start": start.strftime("%Y-%m-%d %H:%M:%S UTC"),
        "length": duration(length),
        "told": told,
    }


def _points(curve: Curve, *, length: float, most: int) -> str:
    """Return a curve as the points of a polyline in steps, few enough to be small and the last one exact."""
    kept = np.unique(np.linspace(0, len(curve.seconds) - 1, min(POINTS, len(curve.seconds))).astype(int))
    seconds, totals = steps(Curve(curve.name, curve.seconds[kept], curve.total[kept]), length)
    seconds, totals = np.repeat(seconds, 2)[1:-1], np.repeat(totals, 2)[:-2]  # along, then up
    x = LEFT + seconds / length * (RIGHT - LEFT)
    y = BOTTOM - totals / most * (BOTTOM - TOP)
    return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))


EXAMPLES: Final = 3
WORKED: Final = frozenset({"completed", "skipped", "not_sent"})
_VARYING: Final = (
    (re.compile(r"\b(?:trun|tgrp)_\w+"), "…"),
    (re.compile(r'"[^"]*"|“[^”]*”'), "“…”"),
    (re.compile(r"\d[\d.,]*"), "#"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What the handle of an enrichment knows and its frame does not.

    Attributes
    ----------
    processor : str
    rows, runs : int
        Rows asked about, and their distinct inputs.
    sent : int
        Runs sent for them so far, and paid.
    cost : float or None
        US dollars of these; None where the price is not known.
    prices_as_of : str
        The date of the price table.
    group_ids : tuple of str
    url, checkpoint : str or None
    simulated : bool
    times : sequence of (str or None, str or None, str)
        When each finished run was created and when it ended, ISO 8601, and its status.
    sends : tuple of str
        The names that the service saw.
    not_asked : int
        Rows of the frame that were not asked about.
    """

    processor: str
    rows: int
    runs: int
    sent: int
    cost: float | None
    prices_as_of: str
    group_ids: tuple[str, ...]
    url: str | None
    checkpoint: str | None
    simulated: bool
    times: Sequence[tuple[str | None, str | None, str]] = ()
    sends: tuple[str, ...] = ()
    not_asked: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Rows that went wrong for one reason: how many, and the first few of them, label and error."""

    cause: str
    rows: int
    examples: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One enrichment of a frame.

    Attributes
    ----------
    name : str
        What its columns begin with.
    counts : dict of str to int
        Rows by status; empty without a status column.
    failures : tuple of Failure
        Most frequent first.
    missing : dict of label to int
        For each output column the answered rows without a value.
    confidence : pandas.DataFrame
        One line per field with evidence: rows of ``low``, ``medium``, ``high`` confidence and those with ``none``.
    told : mapping
        What the frame's attrs tell of it.
    facts : RunFacts or None
    """

    name: str = ""
    counts: dict[str, int] = field(default_factory=dict)
    failures: tuple[Failure, ...] = ()
    missing: dict[Hashable, int] = field(default_factory=dict)
    confidence: pd.DataFrame = field(default_factory=pd.DataFrame)
    told: Mapping[str, Any] = field(default_factory=dict)
    facts: RunFacts | None = None
    outputs: tuple[Hashable, ...] = ()
    status: Hashable | None = None

    @property
    def simulated(self) -> bool:
        """Whether its answers are a simulator's."""
        return bool(self.told.get("simulated")) or (self.facts is not None and self.facts.simulated)


def make_section(
    df: pd.DataFrame,
    *,
    name: str = "",
    outputs: tuple[Hashable, ...] = (),
    status: Hashable | None,
    error: Hashable | None,
    told: Mapping[str, Any] | None = None,
    facts: RunFacts | None = None,
) -> Section:
    """Return the numbers of one enrichment."""
    statuses = pd.Series(dtype=object) if status is None else df[status].astype(object)
    counted = Counter(statuses.dropna().tolist())
    answered = np.ones(len(df), dtype=bool) if status is None else statuses.isin(["completed", "invalid"]).to_numpy()
    return Section(
        name=name,
        counts={known: counted[known] for known in STATUSES if counted.get(known)},
        failures=() if status is None or error is None else _failures(statuses, df[error]),
        missing={label: int((df[label].isna().to_numpy() & answered).sum()) for label in outputs},
        confidence=_confidence(df, outputs, answered),
        told=told or {},
        facts=facts,
        outputs=outputs,
        status=status,
    )


def _failures(statuses: pd.Series[Any], errors: pd.Series[Any]) -> tuple[Failure, ...]:
    """Return what went wrong, the most frequent cause first: messages that differ only in values are one cause."""
    found: dict[str, list[tuple[str, str]]] = {}
    bad = ~statuses.isin(WORKED).to_numpy() & errors.notna().to_numpy()
    for label, message in zip(errors.index[bad], errors[bad].astype(str), strict=True):
        found.setdefault(_cause(message), []).append((_label_text(label), message))
    ranked = sorted(found.items(), key=lambda cause: -len(cause[1]))
    return tuple(Failure(cause, len(rows), tuple(rows[:EXAMPLES])) for cause, rows in ranked)


def _cause(message: str) -> str:
    for varying, instead in _VARYING:
        message = varying.sub(instead, message)
    return message


def _label_text(label: Any) -> str:
    return " / ".join(map(str, label)) if isinstance(label, tuple) else str(label)


def _confidence(df: pd.DataFrame, outputs: Sequence[Hashable], answered: np.ndarray[Any, Any]) -> pd.DataFrame:
    """Return how many answered rows of each field have which confidence."""
    columns = [*CONFIDENCE, "none"]
    try:
        wide = confidence(df)
    except InputError:  # the frame holds no evidence
        return pd.DataFrame(columns=columns, dtype="int64")
    wanted = {label_text(label) for label in outputs}
    lines = {}
    for position, label in enumerate(wide.columns):
        if wanted and label_text(label) not in wanted:
            continue
        counts = wide.iloc[:, position][answered].astype(object).value_counts()
        known = [int(counts.get(level, 0)) for level in CONFIDENCE]
        lines[label_text(label)] = [*known, int(answered.sum()) - sum(known)]
    return pd.DataFrame.from_dict(lines, orient="index", columns=columns)


def label_text(label: Any) -> str:
    """Return a column's label as a person reads it."""
    parts = label if isinstance(label, tuple) else (label,)
    return " / ".join(str(part) for part in parts if str(part))
