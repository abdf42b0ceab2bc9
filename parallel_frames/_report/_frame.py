"""What a frame itself tells of its enrichments: by its status columns, and by its attrs where they are still there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._evidence import check_frame
from parallel_frames._report._sections import Section, make_section
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Hashable

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
    sections = []
    for label in dict.fromkeys(df.columns):
        if STATUS.search(_first(label)) is None or (df.columns == label).sum() != 1:
            continue
        about = _about(told, label)
        sections.append(_section(df, label, about, name=_first(label)))
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


def _section(df: pd.DataFrame, status: Hashable, about: dict[str, Any], *, name: str) -> Section:
    text = name.replace("parallel_status", "parallel_error")
    error: Any = (text, *status[1:]) if isinstance(status, tuple) else text
    return make_section(
        df,
        name=name,
        outputs=_outputs(df, about),
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


def _first(label: Any) -> str:
    return str(label[0] if isinstance(label, tuple) and label else label)
