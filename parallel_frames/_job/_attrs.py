"""The attrs of an enriched frame: which columns an enrichment made, from which groups and checkpoint.

They are a description only: pandas loses them on joins, so nothing that was paid for depends on them.
"""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._columns import BASIS_COLUMN, ERROR_COLUMN, STATUS_COLUMN, evidence_of, name_of
from parallel_frames._format import format_utc
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping

    import pandas as pd

    from parallel_frames._columns import Layout
    from parallel_frames._model import Json

ATTRS: Final = "parallel"
REMEMBERED: Final = 10
ENRICHED: Final = re.compile(rf"({STATUS_COLUMN}|{ERROR_COLUMN}|{BASIS_COLUMN})(_\d+)?$")


def write_attrs(
    out: pd.DataFrame, df: pd.DataFrame, *, layout: Layout, facts: Mapping[str, Json], made: Iterable[str] = ()
) -> pd.DataFrame:
    """Write small, JSON-safe attrs into an enriched frame, after those that `df` had; return the frame."""
    before = df.attrs.get(ATTRS)
    before = deepcopy(before) if isinstance(before, dict) else {}
    simulated = facts["simulated"] or before.get("simulated", False)
    enrichment = {
        "at": format_utc(),
        **facts,
        "group_ids": facts["group_ids"][-REMEMBERED:],
        "columns": [_json_label(label) for label in layout.outputs],
        "status": None if layout.status is None else _json_label(layout.status),
        "simulated": simulated,
    }
    columns = [*before.get("made", []), *map(_json_label, layout.all), *made]
    out.attrs = deepcopy(df.attrs)
    out.attrs[ATTRS] = {
        "simulated": simulated,
        "made": list(dict.fromkeys(map(str, columns))),
        "enrichments": [*before.get("enrichments", []), enrichment][-REMEMBERED:],
    }
    return out


def made_columns(df: pd.DataFrame, layout: Layout) -> list[Hashable]:
    """Return the columns an enrichment made, which are not inputs by default.

    Raises
    ------
    InputError
        A status column, or the evidence of an answer, shows that there was an enrichment, and the attrs that named its
        other columns are lost. Sending old answers as inputs would make every row a new one, and pay for it.
    """
    attrs = df.attrs.get(ATTRS)
    made = frozenset(attrs.get("made", [])) if isinstance(attrs, dict) else frozenset()
    evidence = {name for labels in evidence_of(df).values() for name in labels}
    signs = [label for label in df.columns if _is_status(label) or name_of(label) in evidence]
    orphans = [label for label in signs if not _is_among(label, made)]
    if set(layout.outputs) <= set(df.columns):  # this enrichment's own columns are known by their names
        orphans = [label for label in orphans if label not in layout.all]
    if orphans:
        raise InputError(
            f"The frame has {orphans[0]!r}, which an enrichment made, but no longer tells which other columns it made: "
            "concat, merge and CSV lose a frame's attrs. Nothing was sent. Say what to send with `inputs=...`, so that "
            "old answers are not sent, and paid for, as inputs."
        )
    return [label for label in df.columns if label in layout.all or _is_among(label, made) or _is_status(label)]


def _is_among(label: Hashable, made: frozenset[str]) -> bool:
    """Return whether attrs tell that an enrichment made a column: its label is a text, or a tuple of texts."""
    return isinstance(label, str | tuple) and _json_label(label) in made


def _is_status(label: Any) -> bool:
    name = str(label[0] if isinstance(label, tuple) and label else label)
    return ENRICHED.search(name) is not None


def _json_label(label: object) -> str:
    """Return a label as attrs tell it; the number 1 is not the name "1"."""
    if isinstance(label, str):
        return label
    return repr(label) if isinstance(label, tuple) else f"<{type(label).__name__}> {label!r}"
