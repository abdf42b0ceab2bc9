"""How good an answer is, as one number: whether another processor is asked, and which of two answers a row takes.

An answer is *good* that completed, fits its schema, leaves no field empty, and has no field of low confidence. Any
other answer is *wanting*. Of two answers a row takes the one with the higher grade, and of equal ones that of the later
processor, so that no answer is ever replaced by a worse one. Both rules are here and nowhere else.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import orjson

from parallel_frames._columns._evidence import combine_entries, group_entries, owner_of, read_entries
from parallel_frames._columns._merge import judge_answers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parallel_frames._model import Outcome, Schema

RANKS: Final[Mapping[str, int]] = {"failed": 0, "cancelled": 0, "invalid": 1, "completed": 2}


class Level(IntEnum):
    """What follows from a grade; the grades below `WANTING` are their own level."""

    UNKNOWN = -1  # the run has not ended
    FAILED = 0  # there is no answer
    WANTING = 1
    GOOD = 2


def grade(status: str, *, missing: int = 0, low: int = 0) -> int:
    """Return the grade of an answer: by its status, then by fewer missing fields, then by fewer of low confidence."""
    rank = RANKS[status]
    return (rank << 40) - (missing << 20) - low if rank else Level.FAILED


GOOD: Final = grade("completed")


def level_of(grades: Any) -> Any:
    return (grades >= Level.FAILED) * 1 + (grades > Level.FAILED) + (grades >= GOOD) - 1


def needs_escalation(levels: Any) -> Any:
    """Return whether another processor is to be asked, by a level or an array of them; not before it is known."""
    return (levels == Level.FAILED) | (levels == Level.WANTING)


def replaces(grades: Any, earlier: Any) -> Any:
    """Return whether a row takes a later processor's answer, by the grades of both, or arrays of them."""
    return (grades > Level.UNKNOWN) & (grades >= earlier)


def grade_answer(status: str, values: Mapping[str, Any], basis: str | None, schema: Schema) -> int:
    """Return the grade of an answer that was judged; `basis` is the JSON text of its evidence."""
    missing = sum(value is None for value in values.values())
    return grade(status, missing=missing, low=_count_low(basis, schema))


def grade_outcomes(outcomes: Sequence[Outcome], schema: Schema) -> list[int]:
    judged = judge_answers(outcomes, schema)
    return [
        grade_answer(each.status, each.values, outcome.basis, schema)
        for outcome, each in zip(outcomes, judged, strict=True)
    ]


def _count_low(basis: str | None, schema: Schema) -> int:
    """Return how many fields have low confidence; evidence that cannot be read states none."""
    try:
        entries = read_entries(orjson.loads(basis), deep=False) if basis else []
    except orjson.JSONDecodeError:
        return 0
    names = [column.name for column in schema.columns]
    owned = group_entries(entries, lambda path: owner_of(path, names) if schema.form == "json" else names[0])
    return sum(combine_entries(owned.get(name, ()), name)[0] == "low" for name in names)
