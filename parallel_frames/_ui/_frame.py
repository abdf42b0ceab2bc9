"""What a frame itself tells of its enrichments: by its status columns, and by its attrs where they are still there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._columns import check_frame, confidence
from parallel_frames._ui._sections import Section, label_text, make_section
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import pandas as pd

STATUS: Final = re.compile(r"parallel_status(_\d+)?$")


def find_sections(df: pd.DataFrame) -> list[Section]:
    """Return a section for each enrichment that left its mark.

    Raises
    ------
    InputError
        The frame holds nothing of an enrichment.
    """
    check_frame(df)
    known = df.attrs.get("parallel")
    told: list[dict[str, Any]] = known.get("enrichments", []) if isinstance(known, dict) else []
    labels = [label for label in dict.fromkeys(df.columns) if STATUS.search(_first(label)) is not None]
    for label in labels:
        if (times := int((df.columns == label).sum())) != 1:
            raise InputError(
                f"The frame has {times} columns named {label!r}, and a report cannot know which one is meant. "
                "df.loc[:, ~df.columns.duplicated()] keeps the first of each name."
            )
    names = list(map(_first, labels))
    sections = [_section(df, label, _about(told, label), name=_first(label), names=names) for label in labels]
    sections.extend(
        make_section(df, outputs=outputs, status=None, error=None, told=about)
        for about in told
        if about.get("status") is None and (outputs := _outputs(df, about))
    )
    if not sections:
        raise InputError(
            "The frame holds nothing of an enrichment: no status columns, and no attrs that tell of one. "
            "pf.last().report() reports on the last enrichment of this process."
        )
    return sections


def _section(df: pd.DataFrame, status: Hashable, about: dict[str, Any], *, name: str, names: Sequence[str]) -> Section:
    text = name.replace("parallel_status", "parallel_error")
    error: Any = (text, *status[1:]) if isinstance(status, tuple) else text
    return make_section(
        df,
        name=name,
        outputs=_outputs(df, about) or _outputs_with_evidence(df, name, names=names),
        status=status,
        error=error if error in df.columns else None,
        told=about,
    )


def _about(told: list[dict[str, Any]], label: Hashable) -> dict[str, Any]:
    """Return the newest thing told of the enrichment with this status column."""
    name = label if isinstance(label, str) else repr(label)
    return next((about for about in reversed(told) if about.get("status") == name), {})


def _outputs(df: pd.DataFrame, about: dict[str, Any]) -> tuple[Hashable, ...]:
    """Return the columns that the attrs tell of, as far as the frame still has them."""
    named = {str(name) for name in about.get("columns", [])}
    return tuple(
        label
        for label in dict.fromkeys(df.columns)
        if (label if isinstance(label, str) else repr(label)) in named and (df.columns == label).sum() == 1
    )


def _outputs_with_evidence(df: pd.DataFrame, status: str, *, names: Sequence[str]) -> tuple[Hashable, ...]:
    """Return the columns that have evidence and are named as this status column is, where the attrs are lost."""
    try:
        fields = set(confidence(df).columns)
    except InputError:  # the frame holds no evidence
        return ()
    return tuple(
        label
        for label in dict.fromkeys(df.columns)
        if (name := label_text(label)) in fields
        and max((each for each in names if _are_of_one(each, name)), key=len, default=None) == status
        and (df.columns == label).sum() == 1
    )


def _are_of_one(status: str, field: str) -> bool:
    """Return whether a field has the prefix and the number of a status column."""
    prefix, _, number = status.partition("parallel_status")
    return field.startswith(prefix) and field.endswith(number)


def _first(label: Any) -> str:
    return str(label[0] if isinstance(label, tuple) and label else label)
