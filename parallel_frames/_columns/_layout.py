"""Labels: what the columns of an enrichment are called, and what happens where the frame has such labels already.

Every label that the package adds is written here once, both ways: made for a new enrichment, and recognised in a frame
that has one. Knows nothing of cells and dtypes.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import chain, count
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

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
PROVENANCE_PARTS: Final = ("run_id", "group_id", "answered_at", "processor", "cost")


def evidence_label(output: str, part: str) -> str:
    return f"{output}_{part}"


def error_label(status: str) -> str:
    """Return the label of the errors that a status column's rows have: ``ceo_error`` of ``ceo_status``."""
    return _status_sibling(status, "error")


def _status_sibling(status: str, word: str) -> str:
    head, _, tail = status.rpartition(STATUS)
    return f"{head}{word}{tail}"


def provenance_names(status: str) -> list[str]:
    """Return what the columns are called that say which run answered a row, next to this status column."""
    return [_status_sibling(status, part) for part in PROVENANCE_PARTS]


def status_of_provenance(run_id: str) -> str:
    """Return what the status column is called next to this column of runs: ``ceo_status`` of ``ceo_run_id``."""
    head, _, tail = run_id.rpartition(PROVENANCE_PARTS[0])
    return f"{head}{STATUS}{tail}"


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
    provenance: tuple[Hashable, ...] = ()  # which run answered a row, the processor among them; empty if not wanted
    fill: bool = False  # whether columns that exist keep every value they have

    @property
    def all(self) -> tuple[Hashable, ...]:
        """Every new label but provenance, in order: each output with its evidence, then the basis, then the status."""
        evidence = self.evidence or ((),) * len(self.outputs)
        answers = [label for output, parts in zip(self.outputs, evidence, strict=True) for label in (output, *parts)]
        others = (self.basis, self.status, self.error, self.processor)
        return (*answers, *(label for label in others if label is not None))

    @property
    def made(self) -> tuple[Hashable, ...]:
        """Every new label, in order, each once."""
        return (*self.all, *(label for label in self.provenance if label != self.processor))


def make_layout(
    df: pd.DataFrame,
    schema: Schema,
    *,
    prefix: str,
    status: bool | str,
    if_exists: Literal["error", "fill", "overwrite", "suffix"],
    basis: Literal["none", "columns", "struct"] = "none",
    processor: bool = False,
    provenance: bool = False,
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
    wanted: dict[str, Any] = {
        "has_status": status is not False,
        "basis": basis,
        "processor": processor,
        "provenance": provenance,
    }
    name = _status_name(df, schema, affixes, status=status, own=own_status, others=other_statuses)
    layout = _make(df, schema, affixes, status=name, **wanted)
    number = 1
    while if_exists == "suffix" and not existing.isdisjoint(layout.made):
        number += 1
        affixes = Affixes(prefix, f"_{number}")
        name = _status_name(df, schema, affixes, status=status)
        layout = _make(df, schema, affixes, status=name, **wanted)
    _check_distinct(layout)
    clash = [label for label in layout.made if label in existing]
    if clash and if_exists == "error":
        hint = ""
        if clash == [layout.basis]:
            hint = "; `basis='columns'` puts the evidence next to each column"
        elif layout.basis not in clash and not set(clash) & set(layout.outputs):
            hint = (
                "; in Python, `status='...'` names the columns of status and provenance, and `status=False` does "
                "without the former"
            )
        raise InputError(
            f"The rows already have {', '.join(map(repr, clash))}. Nothing was sent. Pass `prefix=...` for new names, "
            "`if_exists='overwrite'` to replace them, `if_exists='fill'` to fill what is missing in them, or "
            f"`if_exists='suffix'` for numbered names{hint}."
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
) -> str:
    """Return the name that the status column has, or would have: what it is named by names provenance, too.

    Where another question has the usual one, it is named by the first output; numbered where that is taken, too.
    """
    if isinstance(status, str):
        return f"{status.removesuffix(f'_{STATUS}')}_{STATUS}{affixes.number}"
    usual = affixes.around(STATUS_COLUMN)
    if own is not None or usual not in others:
        return own or usual
    outputs = {affixes.around(column.name) for column in schema.columns}
    taken = outputs | {name_of(label) for label in df.columns}
    first = f"{affixes.around(schema.columns[0].name)}_{STATUS}"
    names = chain([first], (f"{first}_{number}" for number in count(2)))
    return next(name for name in names if taken.isdisjoint((name, error_label(name))))


def _make(
    df: pd.DataFrame,
    schema: Schema,
    affixes: Affixes,
    *,
    status: str,
    has_status: bool,
    basis: str,
    processor: bool,
    provenance: bool,
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
    of_processor = padded(_status_sibling(status, "processor")) if has_status else None
    has_processor = of_processor in existing and has_outputs
    return Layout(
        outputs,
        padded(status) if has_status else None,
        padded(error_label(status)) if has_status else None,
        evidence if any(evidence) else (),
        struct if basis == "struct" or has_struct else None,
        of_processor if processor or has_processor else None,
        tuple(map(padded, provenance_names(status))) if provenance else (),
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
    if both := set(layout.provenance) & (set(layout.all) - {layout.processor}):
        raise InputError(
            f"`provenance=True` adds {min(both, key=str)!r}, and the schema asks for a field of that name: one column "
            "cannot hold both. Nothing was sent. Rename the field, or leave `provenance` out."
        )


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
            f"The rows already have {', '.join(map(repr, alone))}, which would be the evidence of a column that "
            "they do not have, or only a part of it, so it cannot be filled. Nothing was sent. Pass `prefix=...` for "
            "new names, `if_exists='overwrite'` to replace them, or `if_exists='suffix'` for numbered names; or "
            "rename them."
        )
