"""Typed columns: answers as columns of a frame, merged by position, with their evidence."""

from parallel_frames._columns._belong import evidence_label
from parallel_frames._columns._citations import citations
from parallel_frames._columns._convert import ABSENT, NO_ANSWER, Gap, convert_values
from parallel_frames._columns._doubt import confidence, low_confidence
from parallel_frames._columns._dtypes import Backend, dtype_of
from parallel_frames._columns._entries import (
    BASIS_COLUMN,
    CONFIDENCE,
    PARTS,
    Citation,
    Confidence,
    Entry,
    cells_of,
    merge_entries,
    read_basis,
)
from parallel_frames._columns._evidence import evidence_columns, evidence_struct
from parallel_frames._columns._find import check_frame, evidence_of, find_evidence, name_of, refuse_texts
from parallel_frames._columns._layout import ERROR_COLUMN, STATUS_COLUMN, Layout, make_layout
from parallel_frames._columns._merge import PANDAS_3, Judged, Merged, judge_answers, merge_outcomes
from parallel_frames._columns._typed import TypedColumn, typed_column

__all__ = [
    "ABSENT",
    "BASIS_COLUMN",
    "CONFIDENCE",
    "ERROR_COLUMN",
    "NO_ANSWER",
    "PANDAS_3",
    "PARTS",
    "STATUS_COLUMN",
    "Backend",
    "Citation",
    "Confidence",
    "Entry",
    "Gap",
    "Judged",
    "Layout",
    "Merged",
    "TypedColumn",
    "cells_of",
    "check_frame",
    "citations",
    "confidence",
    "convert_values",
    "dtype_of",
    "evidence_columns",
    "evidence_label",
    "evidence_of",
    "evidence_struct",
    "find_evidence",
    "judge_answers",
    "low_confidence",
    "make_layout",
    "merge_entries",
    "merge_outcomes",
    "name_of",
    "read_basis",
    "refuse_texts",
    "typed_column",
]
