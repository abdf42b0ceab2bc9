"""Answers become typed columns of a frame, with the evidence behind them.

One way in (`merge_outcomes`) and a few questions about what came of it (`citations`, `confidence`, `low_confidence`).
Its modules, from the bottom up:

- `_typed`: JSON values of one property → a column; the table of dtypes.
- `_cells`: cells taken by position and kept among new ones; equality across dtypes.
- `_layout`: the labels of all columns that an enrichment adds, made and recognised.
- `_evidence`: the basis of an answer → entries → columns of confidence, reasoning and citations.
- `_merge`: judges answers and puts them, their evidence, status and error into the rows they belong to.
- `_grade`: how good an answer is, and so whether another processor is asked.
- `_find_evidence`: evidence found again in any frame, by its labels.
- `_citations`: what a user may ask about it.

Dtypes follow from the schema alone; rows find their answers by key; the input frame is never changed. The package is
pure: it knows nothing of files, of the network, or of which of several outcomes counts for a key.
"""

from parallel_frames._columns._cells import as_python, can_be_kept, cells_of
from parallel_frames._columns._citations import citations, confidence, low_confidence
from parallel_frames._columns._evidence import (
    CONFIDENCE,
    CONFIDENCE_DTYPE,
    Confidence,
    evidence_columns,
    evidence_struct,
    merge_entries,
    read_basis,
)
from parallel_frames._columns._find_evidence import evidence_of, find_evidence
from parallel_frames._columns._grade import Level, grade_answer, grade_outcomes, level_of, needs_escalation, replaces
from parallel_frames._columns._layout import (
    BASIS_COLUMN,
    ERROR_COLUMN,
    PROCESSOR_COLUMN,
    STATUS_COLUMN,
    Affixes,
    Layout,
    error_label,
    evidence_label,
    make_layout,
    name_of,
    provenance_names,
    status_of_provenance,
)
from parallel_frames._columns._merge import Judged, Merged, Renewal, Unanswered, judge_answers, merge_outcomes
from parallel_frames._columns._typed import ABSENT, NO_ANSWER, PANDAS_3, Backend, TypedColumn, dtype_of, typed_column

__all__ = [
    "ABSENT",
    "BASIS_COLUMN",
    "CONFIDENCE",
    "CONFIDENCE_DTYPE",
    "ERROR_COLUMN",
    "NO_ANSWER",
    "PANDAS_3",
    "PROCESSOR_COLUMN",
    "STATUS_COLUMN",
    "Affixes",
    "Backend",
    "Confidence",
    "Judged",
    "Layout",
    "Level",
    "Merged",
    "Renewal",
    "TypedColumn",
    "Unanswered",
    "as_python",
    "can_be_kept",
    "cells_of",
    "citations",
    "confidence",
    "dtype_of",
    "error_label",
    "evidence_columns",
    "evidence_label",
    "evidence_of",
    "evidence_struct",
    "find_evidence",
    "grade_answer",
    "grade_outcomes",
    "judge_answers",
    "level_of",
    "low_confidence",
    "make_layout",
    "merge_entries",
    "merge_outcomes",
    "name_of",
    "needs_escalation",
    "provenance_names",
    "read_basis",
    "replaces",
    "status_of_provenance",
    "typed_column",
]
