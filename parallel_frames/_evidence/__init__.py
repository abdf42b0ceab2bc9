"""Evidence: why the service says what it says, from the raw basis of an answer to columns, and back out of a frame.

It owns what an entry of a basis is (`_entries`), which column it belongs to and what several say together
(`_belong`), the columns that `basis="columns"` and `basis="struct"` add (`_build`), how they are found again in any
frame (`_find`), and the questions asked of them (`_read`, `_doubt`). It refuses to know runs, groups and statuses. A
frame is known by its column labels alone: they survive files, filters and concatenation, where attrs do not.
"""

from __future__ import annotations

from ._belong import evidence_label
from ._build import evidence_columns, evidence_struct
from ._doubt import confidence, low_confidence
from ._entries import BASIS_COLUMN, CONFIDENCE, PARTS, Citation, Confidence, Entry, cells_of, merge_entries, read_basis
from ._find import check_frame, evidence_of, find_evidence, name_of, refuse_texts
from ._read import citations

__all__ = [
    "BASIS_COLUMN",
    "CONFIDENCE",
    "PARTS",
    "Citation",
    "Confidence",
    "Entry",
    "cells_of",
    "check_frame",
    "citations",
    "confidence",
    "evidence_columns",
    "evidence_label",
    "evidence_of",
    "evidence_struct",
    "find_evidence",
    "low_confidence",
    "merge_entries",
    "name_of",
    "read_basis",
    "refuse_texts",
]
