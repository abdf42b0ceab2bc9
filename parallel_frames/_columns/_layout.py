"""Which labels an enrichment's columns have, and what becomes of labels that are taken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from parallel_frames._columns._entries import BASIS_COLUMN, PARTS
from parallel_frames._columns._find import name_of, refuse_texts
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import pandas as pd

    from parallel_frames._model import Schema

STATUS_COLUMN: Final = "parallel_status"
ERROR_COLUMN: Final = "parallel_error"


@dataclass(frozen=True, slots=True)
class Layout:
    """Which labels the new columns have.

    Attributes
    ----------
    outputs : tuple of label
        One per column of the schema, in its order.
    status, error : label or None
        None when they are not wanted.
    evidence : tuple of (tuple of label)
        For each output the labels of its confidence, reasoning and citations; empty where they are not wanted.
    basis : label or None
        The one column that holds all evidence; None when it is not wanted.
    fill : bool
        Whether columns that exist keep every value they have.
    """

    outputs: tuple[Hashable, ...]
    status: Hashable | None
    error: Hashable | None
    evidence: tuple[tuple[Hashable, ...], ...] = ()
    basis: Hashable | None = None
    fill: bool = False

    @property
    def all(self) -> tuple[Hashable, ...]:
        """Every new label, in order: each output with its evidence, then the basis, then the status."""
        evidence = self.evidence or ((),) * len(self.outputs)
        told = [label for output, parts in zip(self.outputs, evidence, strict=True) for label in (output, *parts)]
        return (*told, *(label for label in (self.basis, self.status, self.error) if label is not None))


def make_layout(
    df: pd.DataFrame,
    schema: Schema,
    *,
    prefix: str,
    status: bool,
    if_exists: Literal["error", "fill", "overwrite", "suffix"],
    basis: Literal["none", "columns", "struct"] = "none",
) -> Layout:
    """Return the labels of the new columns.

    Evidence that the frame already has of a column is kept in step with it, whatever `basis` says: reasons that
    belong to another answer would be worse than none.

    Raises
    ------
    InputError
        A label exists already and ``if_exists="error"``, or two of the new columns would have one name.
    """
    existing = frozenset(df.columns)

    def labels(suffix: str) -> Layout:
        return _labels(df, schema, prefix=prefix, suffix=suffix, status=status, basis=basis, existing=existing)

    layout = _free(labels, existing) if if_exists == "suffix" else labels("")
    if len(set(layout.all)) < len(layout.all):
        taken = [name for name, count in Counter(layout.all).items() if count > 1]
        about = {layout.status, layout.error}
        way_out = "say status=False" if about & set(taken) else "rename the field, or say basis='struct'"
        raise InputError(f"Two of the new columns would be named {taken[0]!r}: {way_out}.")
    clash = [name for name in layout.all if name in existing]
    if clash and if_exists == "error":
        raise InputError(
            f"The frame already has {', '.join(map(repr, clash))}. Nothing was sent. Say prefix='...' for new names, "
            "if_exists='overwrite' to replace them, 'fill' to fill what is missing in them, 'suffix' for numbered "
            f"names{_or_without_status(layout, clash)}."
        )
    if if_exists == "fill" and (alone := _alone(layout, existing)):
        raise InputError(
            f"The frame already has {', '.join(map(repr, alone))}, which would be evidence of a column it has not, "
            "or a part of it only, so it cannot be filled. Nothing was sent. Say prefix='...' for new names, "
            "if_exists='overwrite' to replace them, 'suffix' for numbered names, or rename them."
        )
    if len(df.columns) > len(existing) and any((df.columns == name).sum() > 1 for name in clash):
        raise InputError(f"The frame has {clash} more than once, so it cannot be filled or overwritten.")
    for label in (*(parts[-1] for parts in layout.evidence if parts), layout.basis):
        if label in existing:
            refuse_texts(df, str(name_of(label)))  # they would stand beside lists
    if if_exists != "fill":
        return layout
    return Layout(layout.outputs, layout.status, layout.error, layout.evidence, layout.basis, fill=True)


def _labels(
    df: pd.DataFrame,
    schema: Schema,
    *,
    prefix: str,
    suffix: str,
    status: bool,
    basis: str,
    existing: frozenset[Hashable],
) -> Layout:
    """Return the labels with a prefix and a suffix around each name."""

    def label(name: str, part: str = "") -> Hashable:
        text = f"{prefix}{name}{suffix}{part}"
        return text if df.columns.nlevels == 1 else (text, *[""] * (df.columns.nlevels - 1))

    outputs = tuple(label(column.name) for column in schema.columns)
    evidence = tuple(
        parts if basis == "columns" or {output, *parts} <= existing else ()
        for output, column in zip(outputs, schema.columns, strict=True)
        for parts in [tuple(label(column.name, f"_{part}") for part in PARTS)]
    )
    whole = label(BASIS_COLUMN)
    in_step = whole in existing and not existing.isdisjoint(outputs)
    return Layout(
        outputs,
        label(STATUS_COLUMN) if status else None,
        label(ERROR_COLUMN) if status else None,
        evidence if any(evidence) else (),
        whole if basis == "struct" or in_step else None,
    )


def _alone(layout: Layout, existing: frozenset[Hashable]) -> list[Hashable]:
    """Return the labels that stand where evidence goes and are none: without their output, or without the others."""
    alone = []
    for output, parts in zip(layout.outputs, layout.evidence, strict=False):
        there = [label for label in parts if label in existing]
        if there and (output not in existing or len(there) < len(parts)):
            alone += there
    if layout.basis in existing and existing.isdisjoint(layout.outputs):
        alone.append(layout.basis)
    return alone


def _free(labels: Callable[[str], Layout], existing: frozenset[Hashable]) -> Layout:
    """Return the labels with the first number under which none of them is taken."""
    number = 1
    layout = labels("")
    while not existing.isdisjoint(layout.all):
        number += 1
        layout = labels(f"_{number}")
    return layout


def _or_without_status(layout: Layout, clash: Sequence[Hashable]) -> str:
    """Return the way on where only an earlier enrichment's status columns stand in the way."""
    return "" if set(clash) & set(layout.outputs) else ", or status=False to do without status columns"
