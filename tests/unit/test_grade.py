"""How good an answer is: the one rule of what is escalated to another processor, and of which answer a row takes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import orjson
import pytest

from parallel_frames._columns import Level, grade_outcomes, level_of, needs_escalation
from parallel_frames._columns._grade import GOOD, grade
from parallel_frames._model import Outcome
from parallel_frames._schema import parse_schema

# From the best to the worst; what stands in one line is equally good, and the later processor's answer is taken.
ORDER = [
    [("completed", 0, 0)],
    [("completed", 0, 1)],
    [("completed", 0, 3)],
    [("completed", 1, 0)],
    [("completed", 1, 2)],
    [("completed", 2, 0)],
    [("invalid", 0, 0)],
    [("invalid", 0, 1)],
    [("invalid", 1, 0)],
    [("invalid", 3, 3)],
    [("failed", 0, 0), ("failed", 3, 0), ("cancelled", 0, 0), ("cancelled", 3, 1)],
]


def grade_of(answer):
    """Return the grade of a line of the table."""
    status, missing, low = answer
    return grade(status, missing=missing, low=low)


def test_answers_have_this_order():
    """Completed goes before invalid before failed; then fewer missing fields count, then fewer of low confidence."""
    for better, worse in pairwise(ORDER):
        assert min(map(grade_of, better)) > max(map(grade_of, worse))
    for equal in ORDER:
        assert len(set(map(grade_of, equal))) == 1
    assert grade_of(ORDER[-1][0]) > Level.UNKNOWN


def test_every_answer_but_a_good_one_is_wanting():
    """Only what completed, lacks nothing and is sure stays; where there is no answer yet, nothing is escalated."""
    answers = [answer for line in ORDER for answer in line]
    levels = {answer: level_of(grade_of(answer)) for answer in answers}
    assert [answer for answer in answers if not needs_escalation(levels[answer])] == [("completed", 0, 0)]
    assert {status for (status, _, _), level in levels.items() if level == Level.FAILED} == {"failed", "cancelled"}
    levels = level_of(np.array([Level.UNKNOWN, 0, 1, GOOD - 1, GOOD]))
    assert levels.tolist() == [Level.UNKNOWN, Level.FAILED, Level.WANTING, Level.WANTING, Level.GOOD]
    assert needs_escalation(levels).tolist() == [False, True, True, True, False]


SCHEMA = parse_schema({
    "type": "object",
    "properties": {
        "founded": {"type": ["integer", "null"], "description": "year of foundation"},
        "products": {"type": "array", "items": {"type": "string"}, "description": "what it sells"},
    },
    "required": ["founded", "products"],
})  # fmt: skip


def basis(**levels):
    """Return the evidence for these fields; two underscores are a dot."""
    entries = [{"field": name.replace("__", "."), "confidence": level} for name, level in levels.items()]
    return orjson.dumps(entries).decode()


@pytest.mark.parametrize(
    ("output", "evidence", "expected"),
    [
        ({"founded": 1949, "products": []}, None, ("completed", 0, 0)),
        ({"founded": 1949, "products": ["a"]}, basis(founded="medium", products="high"), ("completed", 0, 0)),
        ({"founded": 1949, "products": ["a", "b"]}, basis(founded="low", products__1="LOW"), ("completed", 0, 2)),
        ({"founded": 1949, "products": ["a"]}, basis(revenue="low"), ("completed", 0, 0)),
        ({"founded": 1949, "products": ["a"]}, "no JSON", ("completed", 0, 0)),
        ({"founded": None, "products": ["a"]}, basis(founded="high"), ("completed", 1, 0)),
        ({"founded": "long ago", "products": ["a"]}, basis(products="low"), ("invalid", 1, 1)),
        ("no object", None, ("invalid", 2, 0)),
    ],
)
def test_an_outcome_is_graded_as_its_row_will_show_it(output, evidence, expected):
    """A null that the schema allows counts as missing, an empty list does not; a list is as sure as its elements."""
    outcome = Outcome("k", 0, "r", "g", "completed", orjson.dumps(output).decode(), "json", evidence)
    assert grade_outcomes([outcome], SCHEMA) == [grade_of(expected)]


def test_a_text_is_one_field_whatever_its_evidence_is_about():
    """With a schema of one text every entry of the evidence belongs to it."""
    schema = parse_schema("a summary")
    outcome = Outcome("k", 0, "r", "g", "completed", '"A maker of tools."', "text", basis(anything="low"))
    failed = Outcome("k", 0, "r", "g", "failed", error='{"message": "no"}')
    assert grade_outcomes([outcome, failed], schema) == [grade("completed", low=1), grade("failed")]
