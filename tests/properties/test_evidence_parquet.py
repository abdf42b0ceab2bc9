"""Evidence survives a Parquet file: whatever the answers say, the same questions get the same answers."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallel_frames._columns import (
    BASIS_COLUMN,
    cells_of,
    citations,
    confidence,
    evidence_columns,
    evidence_label,
    evidence_struct,
    low_confidence,
    merge_entries,
)

FIELDS = ["p", "q"]
WORDS = st.sampled_from(["low", "medium", "high", None])
TEXT = st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=5).filter(lambda text: not text.isspace())
CITATION = st.fixed_dictionaries({"url": TEXT, "title": st.none() | TEXT, "excerpts": st.lists(TEXT, max_size=2)})
ENTRY = st.fixed_dictionaries(
    {
        "field": st.sampled_from(["p", "q", "q.0", "q.1", "other"]),
        "reasoning": st.none() | TEXT,
        "citations": st.lists(CITATION, max_size=2),
        "confidence": WORDS,
    }
)
BASES = st.lists(st.none() | st.lists(ENTRY, max_size=3), max_size=4)
NULLABLE, ARROW = "numpy_nullable", "pyarrow"
# pandas itself cannot read a nested Arrow column back without being asked for Arrow.
TRIPS = [(NULLABLE, {}), (NULLABLE, {"dtype_backend": NULLABLE}), (NULLABLE, {"dtype_backend": ARROW})]
TRIPS += [(ARROW, {"dtype_backend": ARROW})]


def through_a_file(frame, options):
    """Write a frame and read it back."""
    file = io.BytesIO()
    frame.to_parquet(file)
    return pd.read_parquet(io.BytesIO(file.getvalue()), **options)


def frames(bases, backend):
    """Return the evidence in both forms."""
    columns = evidence_columns(bases, FIELDS, dtype_backend=backend)
    wide = pd.DataFrame({evidence_label(*key): column for key, column in columns.items()})
    return wide, pd.DataFrame({BASIS_COLUMN: evidence_struct(bases, dtype_backend=backend)})


@pytest.mark.parametrize(("backend", "options"), TRIPS)
@settings(max_examples=20)
@given(bases=BASES)
def test_the_same_questions_get_the_same_answers(backend, options, bases):
    """Citations, confidences and masks are the same before and after the file, in either form and backend."""
    for frame in frames(bases, backend):
        back = through_a_file(frame, options)
        pd.testing.assert_frame_equal(citations(back), citations(frame))
        pd.testing.assert_frame_equal(confidence(back), confidence(frame))
        pd.testing.assert_series_equal(low_confidence(back), low_confidence(frame))


@pytest.mark.parametrize(("backend", "options"), TRIPS)
@settings(max_examples=20)
@given(bases=BASES)
def test_entries_can_be_merged_after_the_file(backend, options, bases):
    """A cell that comes back from a file has the very entries that went in."""
    _, frame = frames(bases, backend)
    cells = cells_of(through_a_file(frame, options)[BASIS_COLUMN])
    assert [merge_entries(cell, [], ()) for cell in cells] == [entries or [] for entries in bases]


@pytest.mark.parametrize(
    "bases",
    [[None, None], [[], []], [[{**dict.fromkeys(["reasoning", "confidence"]), "field": "p", "citations": []}], None]],
)
def test_a_confidence_comes_back_with_its_order(bases):
    """Also a column in which every confidence is missing compares after the file as before."""
    frame, _ = frames(bases, NULLABLE)
    back = through_a_file(frame, {})
    assert back["p_confidence"].dtype.ordered
    assert back["p_confidence"].cat.categories.tolist() == ["low", "medium", "high"]
    assert (back["p_confidence"] >= "medium").tolist() == [False, False]
