"""Which column an entry belongs to, by its path alone, and what the entries of one column say together.

It owns the labels of the evidence columns too, so that those who write them and those who find them agree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from parallel_frames._columns._entries import CONFIDENCE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from parallel_frames._columns._entries import Confidence, Entry

_RANK: Final[Mapping[str, int]] = {word: rank for rank, word in enumerate(CONFIDENCE)}
CONFIDENCE_DTYPE: Final[Any] = pd.CategoricalDtype(list(CONFIDENCE), ordered=True)


def evidence_label(name: str, part: str) -> str:
    """Return the label of one part of a column's evidence."""
    return f"{name}_{part}"


def owner_of(path: str, names: Collection[str]) -> str | None:
    """Return the longest of the names that a path is or leads through, or None."""
    return next((head for head in heads_of(path) if head in names), None)


def heads_of(path: str) -> Iterator[str]:
    """Give a path, and all it leads through, longest first: a.0.b, a.0, a."""
    while path:
        yield path
        path = path.rpartition(".")[0]


def element_of(path: str, name: str) -> int | None:
    """Return the number of the list's element that a path below a name leads through, or None."""
    step = path.removeprefix(f"{name}.").partition(".")[0] if path.startswith(f"{name}.") else ""
    return int(step) if step.isascii() and step.isdecimal() and len(step) < 10 else None


def judge(entries: Sequence[Entry], name: str) -> tuple[Confidence | None, str | None]:
    """Return the confidence and the reasoning of a column.

    Its own entry decides each of them where it says something; otherwise the lowest confidence of its elements holds
    and their reasonings stand in lines of their own. Of several own entries the first that says something decides.
    """
    if len(entries) == 1 and entries[0]["field"] == name:
        return entries[0]["confidence"], entries[0]["reasoning"]
    own = [entry for entry in entries if entry["field"] == name]
    confidence: Confidence | None = next((entry["confidence"] for entry in own if entry["confidence"]), None)
    reasoning = next((entry["reasoning"] for entry in own if entry["reasoning"]), None)
    return confidence or _lowest(entries), reasoning or _lines(entries)


def _lowest(entries: Sequence[Entry]) -> Confidence | None:
    stated: list[Confidence] = [word for entry in entries if (word := entry["confidence"]) is not None]
    return min(stated, key=_RANK.__getitem__, default=None)


def _lines(entries: Sequence[Entry]) -> str | None:
    lines = [f"{entry['field']}: {entry['reasoning']}" for entry in entries if entry["reasoning"]]
    return "\n".join(lines) or None


def ordered(words: Sequence[object]) -> pd.Categorical[str]:
    """Return confidences as an ordered category; what is none of the three words is missing."""
    codes = [_RANK.get(word, -1) if isinstance(word, str) else -1 for word in words]
    return pd.Categorical.from_codes(codes, dtype=CONFIDENCE_DTYPE)
