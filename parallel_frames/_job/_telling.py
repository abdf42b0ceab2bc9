"""What is told of an enrichment: one line before anything is sent, and the attrs of the frame that comes back.

Attrs are for telling only: pandas loses them on joins, so nothing that was paid for depends on them.
"""

from __future__ import annotations

import re
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._columns import BASIS_COLUMN, ERROR_COLUMN, STATUS_COLUMN, evidence_of, name_of
from parallel_frames._prices import duration_text, expected_seconds
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    import pandas as pd

    from parallel_frames._columns import Layout
    from parallel_frames._model import Json, Plan
    from parallel_frames._prices import Price
    from parallel_frames._state import Answers, Needs

ATTRS: Final = "parallel"
REMEMBERED: Final = 10
ENRICHED: Final = re.compile(rf"({STATUS_COLUMN}|{ERROR_COLUMN}|{BASIS_COLUMN})(_\d+)?$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """What a call is about to do, in numbers.

    Attributes
    ----------
    rows, chosen, skipped : int
        Rows there are, those that are asked about, and of these the ones with nothing to send.
    runs : int
        Distinct inputs.
    to_send, answered, awaited : int
        Runs, of those within the limit.
    failed : int
        Of the answered ones, those that failed and are not tried again.
    since : str or None
        When the oldest of the answers came.
    limit : int or None
    sent : tuple of str
        The names the service sees.
    """

    rows: int
    chosen: int
    skipped: int
    runs: int
    to_send: int
    answered: int
    awaited: int
    since: str | None
    limit: int | None
    sent: tuple[str, ...]
    failed: int = 0


def announce(
    plan: Plan,
    needs: Needs,
    *,
    limit: int | None,
    price: Price,
    max_per_minute: int | None,
    answers: Answers,
    checkpoint: str | None,
    simulated: bool,
) -> str:
    """Return the line that is said before anything is sent: what it will do, cost and take.

    `answers` is what stands for those that are answered.
    """
    failures = answers.others().values()
    told = chain(*(times for _, times in answers.completed("modified_at")), (each.modified_at for each in failures))
    ahead = Ahead(
        rows=plan.rows,
        chosen=plan.chosen,
        skipped=plan.skipped,
        runs=len(plan.keys),
        to_send=len(needs.to_send),
        answered=len(needs.answered),
        failed=len(failures),
        awaited=len(needs.awaited),
        since=min(filter(None, told), default=None),
        limit=limit,
        sent=plan.sent,
    )
    return announcement(ahead, price=price, max_per_minute=max_per_minute, checkpoint=checkpoint, simulated=simulated)


def announcement(
    ahead: Ahead, *, price: Price, max_per_minute: int | None, checkpoint: str | None, simulated: bool
) -> str:
    """Return what is ahead as one line."""
    chosen = "" if ahead.chosen == ahead.rows else f"{ahead.chosen:,} of "
    parts = [f"{chosen}{counted(ahead.rows, 'row')} → {counted(ahead.to_send, 'run')}"]
    if ahead.limit is not None and ahead.limit < ahead.runs:
        parts.append(f"of the first {ahead.limit:,} of {ahead.runs:,}")
    if ahead.answered:
        since = f" ({ahead.since[:10]})" if ahead.since else ""
        parts.append(f"{ahead.answered:,} already answered{since}")
    if ahead.failed:
        parts.append(f"{ahead.failed:,} of them failed, not tried again")
    if ahead.awaited:
        parts.append(f"{ahead.awaited:,} under way")
    if ahead.skipped:
        parts.append(f"{counted(ahead.skipped, 'row')} with nothing to send")
    parts.append(price.text(ahead.to_send))
    if ahead.to_send:
        parts.append(duration_text(expected_seconds(price, runs=ahead.to_send, max_per_minute=max_per_minute)))
    parts.append(f"sends {', '.join(ahead.sent)}")
    parts.append(f"checkpoint {checkpoint}" if checkpoint else "no checkpoint")
    return " · ".join([*parts, "SIMULATED"] if simulated else parts)


def tell_of_enrichment(
    out: pd.DataFrame, df: pd.DataFrame, *, layout: Layout, told: Mapping[str, Json]
) -> pd.DataFrame:
    """Write small, JSON-safe attrs into an enriched frame, after those that `df` had; return the frame."""
    before = df.attrs.get(ATTRS)
    before = deepcopy(before) if isinstance(before, dict) else {}
    simulated = told["simulated"] or before.get("simulated", False)
    enrichment = {
        "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        **told,
        "group_ids": told["group_ids"][-REMEMBERED:],
        "columns": [_json_label(label) for label in layout.outputs],
        "status": None if layout.status is None else _json_label(layout.status),
        "simulated": simulated,
    }
    made = [*before.get("made", []), *map(_json_label, layout.all)]
    out.attrs = deepcopy(df.attrs)
    out.attrs[ATTRS] = {
        "simulated": simulated,
        "made": list(dict.fromkeys(map(str, made))),
        "enrichments": [*before.get("enrichments", []), enrichment][-REMEMBERED:],
    }
    return out


def made_columns(df: pd.DataFrame, layout: Layout) -> list[Hashable]:
    """Return the columns an enrichment made, which are not inputs by default.

    Raises
    ------
    InputError
        A status column, or the evidence of an answer, shows that there was an enrichment, and the attrs that told its
        other columns are lost. Sending old answers as inputs would make every row a new one, and pay for it.
    """
    told = df.attrs.get(ATTRS)
    made = frozenset(told.get("made", [])) if isinstance(told, dict) else frozenset()
    evidence = {name for labels in evidence_of(df).values() for name in labels}
    signs = [label for label in df.columns if _is_status(label) or name_of(label) in evidence]
    orphans = [label for label in signs if not _is_among(label, made)]
    if set(layout.outputs) <= set(df.columns):  # this enrichment's own columns are known by their names
        orphans = [label for label in orphans if label not in layout.all]
    if orphans:
        raise InputError(
            f"The frame has {orphans[0]!r}, which an enrichment made, but no longer tells which other columns it made: "
            "concat, merge and CSV lose a frame's attrs. Nothing was sent. Say what to send with inputs=[...], so that "
            "old answers are not sent, and paid for, as inputs."
        )
    return [label for label in df.columns if label in layout.all or _is_among(label, made) or _is_status(label)]


def _is_among(label: Hashable, made: frozenset[str]) -> bool:
    """Return whether attrs tell that an enrichment made a column: its label is a text, or a tuple of texts."""
    return isinstance(label, str | tuple) and _json_label(label) in made


def _is_status(label: Any) -> bool:
    name = str(label[0] if isinstance(label, tuple) and label else label)
    return ENRICHED.search(name) is not None


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural where it is one."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _json_label(label: object) -> str:
    """Return a label as attrs tell it; the number 1 is not the name "1"."""
    if isinstance(label, str):
        return label
    return repr(label) if isinstance(label, tuple) else f"<{type(label).__name__}> {label!r}"
