"""Whose run it is, and what a look at a group proves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from parallel_frames._model import RunId

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from parallel_frames._model import GroupStatus

HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Look:
    """One whole reading of a group: its count, then its list.

    Attributes
    ----------
    run_ids : collection of str
        Every run that was listed.
    flaw : str or None
        Why nothing may be concluded from what is *not* in it; None if something may.
    """

    run_ids: Collection[str]
    flaw: str | None


def judge_look(status: GroupStatus, run_ids: Collection[str], acknowledged: Iterable[str]) -> Look:
    """Return the look with its flaw: a listing or a count that lags, or that was cut short, proves no absence."""
    owed = set(acknowledged)
    if status.runs < len(owed):
        return Look(run_ids, f"the group counts {status.runs} runs where {len(owed)} were acknowledged")
    if len(run_ids) < status.runs:
        return Look(run_ids, f"the list holds {len(run_ids)} of {status.runs} runs")
    if lacking := owed.difference(run_ids):
        return Look(run_ids, f"the list lacks {len(lacking)} runs that were acknowledged")
    return Look(run_ids, None)


def read_identity(metadata: Mapping[str, object] | None) -> RunId | None:
    """Return the identity that a run's metadata carries, if it is one of ours."""
    if not metadata:
        return None
    key, attempt = metadata.get("key"), metadata.get("attempt")
    if not isinstance(key, str) or len(key) != 32 or not HEX.issuperset(key):
        return None
    text = str(attempt)
    return RunId(key, int(text)) if text.isdecimal() and len(text) < 7 else None
