"""Labels: what the columns of an enrichment are called, and what happens where the frame has such labels already.

Every label that the package adds is written here once, both ways: made for a new enrichment, and recognised in a frame
that has one. Knows nothing of cells and dtypes.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from parallel_frames._columns._cells import check_lists
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable

    import pandas as pd

    from parallel_frames._model import Schema

STATUS: Final = "status"
STATUS_COLUMN: Final = f"parallel_{STATUS}"
ERROR_COLUMN: Final = "parallel_error"
BASIS_COLUMN: Final = "parallel_basis"
PROCESSOR_COLUMN: Final = "parallel_processor"
PARTS: Final = ("confidence", "reasoning", "citations")


def evidence_label(output: str, part: str) -> str:
    return f"{output}_{part}"


def error_label(status: str) -> str:
    """Return the label of the errors that a status column's rows have: ``ceo_error`` of ``ceo_status``."""
    return _status_sibling(status, "error")


def _status_sibling(status: str, word: str) -> str:
    head, _, tail = status.rpartition(STATUS)
    return f"{head}{word}{tail}"


def name_of(label: Hashable) -> str | None:
    """Return the one text that names a column, whatever blank levels lie below it; None if there is no such text."""
    if isinstance(label, tuple):
        return name_of(label[0]) if label and all(level == "" for level in label[1:]) else None
    return label if isinstance(label, str) else None


class Affixes(NamedTuple):
    """The user's prefix and the number of ``if_exists="suffix"``: what one enrichment puts around each name."""

    prefix: str
    number: str

    @classmethod
    def of(cls, label: str, name: str) -> Affixes | None:
        """Return the affixes of an enrichment that calls its column `name` by this label; None if none does."""
        match = re.fullmatch(rf"(.*){re.escape(name)}(_\d+)?", label, re.DOTALL)
        return None if match is None else cls(match[1], match[2] or "")

    def around(self, name: str) -> str:
        return f"{self.prefix}{name}{self.number}"

    def within(self, label: str) -> str | None:
        """Return the name of a label; None for one that has other affixes."""
        name = label.removeprefix(self.prefix).removesuffix(self.number)
        return name if self.around(name) == label else None


@dataclass(frozen=True, slots=True)
class Layout:
    """The labels of the new columns; None for one that is not wanted."""

    outputs: tuple[Hashable, ...]  # one per column of the schema, in its order
    status: Hashable | None
    error: Hashable | None
    evidence: tuple[tuple[Hashable, ...], ...] = ()  # of each output; empty where it is not wanted
    basis: Hashable | None = None  # the one column that holds all evidence
    processor: Hashable | None = None  # the column that names the processor which answered
    fill: bool = False  # whether columns that exist keep every value they have

    @property
    def all(self) -> tuple[Hashable, ...]:
        """Every new label, in order: each output with its evidence, then the basis, then the status."""
        evidence = self.evidence or ((),) * len(self.outputs)
        answers = [label for output, parts in zip(self.outputs, evidence, strict=True) for label in (output, *parts)]
        others = (self.basis, self.status, self.error, self.processor)
        return (*answers, *(label for label in others if label is not None))


def make_layout(
    df: pd.DataFrame,
    schema: Schema,
    *,
    prefix: str,
    status: bool | str,
    if_exists: Literal["error", "fill", "overwrite", "suffix"],
    basis: Literal["none", "columns", "struct"] = "none",
    processor: bool = False,
    own_status: str | None = None,
    other_statuses: Collection[str] = (),
) -> Layout:
    """Return the labels of the new columns.

    A `status` that is a text names the columns: ``"ceo"`` gives ``ceo_status`` and ``ceo_error``. `own_status` is the
    name that the frame's status column for these outputs has, `other_statuses` are those of other questions about it.

    Evidence that the frame already has for a column is updated with it, whatever `basis` is: the evidence of an
    earlier answer would be worse than none. So is the column of processors.
    """
    existing = frozenset(df.columns)
    affixes = Affixes(prefix, "")
    name = _status_name(df, schema, affixes, status=status, own=own_status, others=other_statuses)
    layout = _make(df, schema, affixes, status=name, basis=basis, processor=processor)
    number = 1
    while if_exists == "suffix" and not existing.isdisjoint(layout.all):
        number += 1
        affixes = Affixes(prefix, f"_{number}")
        name = _status_name(df, schema, affixes, status=status)
        layout = _make(df, schema, affixes, status=name, basis=basis, processor=processor)
    _check_distinct(layout)
    clash = [label for label in layout.all if label in existing]
    if clash and if_exists == "error":
        no_status = "; in Python, `status='...'` names the status columns, and `status=False` does without"
        no_status = "" if set(clash) & set(layout.outputs) else no_status
        raise InputError(
            f"The frame already has {', '.join(map(repr, clash))}. Nothing was sent. Pass `prefix=...` for new names, "
            "`if_exists='overwrite'` to replace them, `if_exists='fill'` to fill what is missing in them, or "
            f"`if_exists='suffix'` for numbered names{no_status}."
        )
    if if_exists == "fill":
        _check_complete(layout, existing)
    if len(df.columns) > len(existing) and any((df.columns == label).sum() > 1 for label in clash):
        raise InputError(f"The frame has {clash} more than once, so it cannot be filled or overwritten.")
    for label in (*(parts[-1] for parts in layout.evidence if parts), layout.basis):
        if label in existing:
            check_lists(df[label], str(name_of(label)))  # new lists would be mixed with texts
    return replace(layout, fill=if_exists == "fill")


def _status_name(
    df: pd.DataFrame,
    schema: Schema,
    affixes: Affixes,
    *,
    status: bool | str,
    own: str | None = None,
    others: Collection[str] = (),
) -> str | None:
    """Return the name of the status column; None where there is to be none.

    Where another question has the usual one, it is named by the first output; numbered where that is taken, too.
    """
    if isinstance(status, str):
        return f"{status.removesuffix(f'_{STATUS}')}_{STATUS}{affixes.number}"
    usual = affixes.around(STATUS_COLUMN)
    if not status or own is not None or usual not in others:
        return (own or usual) if status else None
    outputs = {affixes.around(column.name) for column in schema.columns}
    taken = outputs | {name_of(label) for label in df.columns}
    first = f"{affixes.around(schema.columns[0].name)}_{STATUS}"
    names = chain([first], (f"{first}_{number}" for number in count(2)))
    return next(name for name in names if taken.isdisjoint((name, error_label(name))))


def _make(
    df: pd.DataFrame, schema: Schema, affixes: Affixes, *, status: str | None, basis: str, processor: bool
) -> Layout:
    existing = frozenset(df.columns)

    def padded(label: str) -> Hashable:
        return label if df.columns.nlevels == 1 else (label, *[""] * (df.columns.nlevels - 1))

    names = [affixes.around(column.name) for column in schema.columns]
    outputs = tuple(map(padded, names))
    parts = [tuple(padded(evidence_label(name, part)) for part in PARTS) for name in names]
    evidence = tuple(
        labels if basis == "columns" or existing.issuperset((output, *labels)) else ()
        for output, labels in zip(outputs, parts, strict=True)
    )
    struct = padded(affixes.around(BASIS_COLUMN))
    has_outputs = not existing.isdisjoint(outputs)
    has_struct = struct in existing and has_outputs
    of_processor = None if status is None else padded(_status_sibling(status, "processor"))
    has_processor = of_processor in existing and has_outputs
    return Layout(
        outputs,
        None if status is None else padded(status),
        None if status is None else padded(error_label(status)),
        evidence if any(evidence) else (),
        struct if basis == "struct" or has_struct else None,
        of_processor if processor or has_processor else None,
    )


def _check_distinct(layout: Layout) -> None:
    twice = [label for label, count in Counter(layout.all).items() if count > 1]
    if twice:
        is_status = not {layout.status, layout.error, layout.processor}.isdisjoint(twice)
        way_out = (
            "rename the field, or, in Python, pass `status='...'` for other names, or `status=False`"
            if is_status
            else "rename the field, or pass `basis='struct'`"
        )
        raise InputError(f"Two of the new columns would be named {twice[0]!r}: {way_out}.")


def _check_complete(layout: Layout, existing: frozenset[Hashable]) -> None:
    """Refuse to fill labels of evidence that the frame has without their output or without the other parts."""
    alone: list[Hashable] = []
    for output, parts in zip(layout.outputs, layout.evidence, strict=False):
        found = [label for label in parts if label in existing]
        if output not in existing or len(found) < len(parts):
            alone += found
    if layout.basis in existing and existing.isdisjoint(layout.outputs):
        alone.append(layout.basis)
    if alone:
        raise InputError(
            f"The frame already has {', '.join(map(repr, alone))}, which would be the evidence of a column that it "
            "does not have, or only a part of it, so it cannot be filled. Nothing was sent. Pass `prefix=...` for new "
            "names, `if_exists='overwrite'` to replace them, or `if_exists='suffix'` for numbered names; or rename "
            "them."
        )
