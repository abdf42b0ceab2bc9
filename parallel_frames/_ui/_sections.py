"""What became of the rows of one enrichment, as numbers: by status, by cause, by field. No text, no HTML."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from parallel_frames._columns import CONFIDENCE, confidence
from parallel_frames._model import STATUSES
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

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
