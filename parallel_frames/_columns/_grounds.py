"""Evidence in the frame: it stands beside the cell it speaks for, and goes where that cell goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from parallel_frames._columns._cells import blank, keep_old, take
from parallel_frames._columns._entries import PARTS, cells_of, merge_entries, read_basis
from parallel_frames._columns._evidence import evidence_columns, evidence_struct

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence

    from parallel_frames._columns._dtypes import Backend
    from parallel_frames._columns._entries import Entry
    from parallel_frames._columns._layout import Layout
    from parallel_frames._model import Schema


@dataclass(frozen=True, slots=True)
class Placing:
    """Where a call's answers went.

    Attributes
    ----------
    per_row : numpy.ndarray of int64
        For each row its answer, or -1.
    placed : sequence of (numpy.ndarray of bool)
        For each output the rows whose cell is this call's.
    """

    df: pd.DataFrame
    schema: Schema
    layout: Layout
    per_row: np.ndarray[Any, np.dtype[np.int64]]
    placed: Sequence[np.ndarray[Any, np.dtype[np.bool_]]]

    @property
    def names(self) -> list[str]:
        """The schema's columns."""
        return [column.name for column in self.schema.columns]


def place_evidence(
    placing: Placing, bases: Callable[[], Iterable[str | None]], *, dtype_backend: Backend
) -> dict[Hashable, Any]:
    """Return the cells of the evidence's columns; `bases` gives the raw basis of each answer."""
    arrays: dict[Hashable, Any] = {}
    if placing.layout.evidence:
        arrays |= _in_columns(placing, map(read_basis, bases()), dtype_backend)
    if placing.layout.basis is not None:
        series = evidence_struct(_in_one(placing, [*map(read_basis, bases())]), dtype_backend=dtype_backend)
        arrays[placing.layout.basis] = take(series, np.arange(len(placing.df)))
    return arrays


def _in_columns(placing: Placing, bases: Iterable[list[Entry]], dtype_backend: Backend) -> dict[Hashable, Any]:
    arrays: dict[Hashable, Any] = {}
    whole = placing.schema.form != "json"
    columns = evidence_columns(bases, placing.names, dtype_backend=dtype_backend, whole=whole)
    for name, labels, new in zip(placing.names, placing.layout.evidence, placing.placed, strict=True):
        for label, part in zip(labels, PARTS if labels else (), strict=True):
            cells = take(columns[name, part], placing.per_row)
            if label in placing.df.columns:
                arrays[label] = keep_old(placing.df[label], cells, where=new)
            else:
                arrays[label] = blank(cells, where=~new)
    return arrays


def _in_one(placing: Placing, bases: Sequence[list[Entry]]) -> list[list[Entry] | None]:
    """Return each row's entries: of the cells that are this call's from the answer, of the others as they were."""
    label = placing.layout.basis
    old = cells_of(placing.df[label]) if label in placing.df.columns else [None] * len(placing.df)
    cells: list[list[Entry] | None] = []
    for row, at in enumerate(placing.per_row.tolist()):
        ours = [name for name, new in zip(placing.names, placing.placed, strict=True) if new[row]]
        if ours and len(ours) == len(placing.names):
            cells.append(bases[at])
        elif ours:
            cells.append(merge_entries(old[row], bases[at], ours))
        else:
            cells.append(None if _is_missing(old[row]) else merge_entries(old[row], [], ()))
    return cells


def _is_missing(cell: object) -> bool:
    """Return whether a cell holds no list: None, NA, or the NaN that concat puts there."""
    return cell is None or cell is pd.NA or isinstance(cell, float)
