"""When two answers are the same answer, and what a known value is read as."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from parallel_frames._job._normal_form import is_same, normal_form, read_known
from parallel_frames._model import Column


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("Acme, Inc.", "ACME INC", True),
        ("José\u00a0Núñez", "Jose\u0301  Nun\u0303ez", True),  # composed or not, and without accents
        ("Ａｃｍｅ", "acme", True),  # of full width
        ("Straße", "STRASSE", True),
        ("https://www.acme.example/", "http://acme.example", True),
        ("https://acme.example/a", "https://acme.example/b", False),
        ("C++", "C", False),
        ("USD 1,500,000", "usd 1500000", True),
        ("$1.5 million", "$15 million", False),
        ("1.5", "1,5", True),
        ("31.12.2024", "31/12/2024", True),
        ("at 1:12", "at 11:2", False),
        ("555-0100", "555 0100", True),
        ("a change of -5%", "a change of \u22125 %", True),
        ("-5%", "5%", False),
        ("C#", "C", False),
        ("# 5", "5", True),
        ("?", "!", False),  # where nothing would be left, all of it counts
        ("कि", "की", False),  # marks that are no accents
        ("", None, False),
        (None, None, True),
        (0, None, False),
        (100.0, 100.9, True),
        (100, 102, False),
        (0.0, 1e-9, False),
        (float("nan"), 1.0, False),
        (date(2024, 5, 31), date(2024, 5, 31), True),
        (datetime(2024, 5, 31, 12, tzinfo=UTC), pd.Timestamp("2024-05-31 14:00", tz="Europe/Berlin"), True),
        (["Ulm", "Bonn", "ulm"], ("bonn", "Ulm"), True),
        (["Ulm"], ["Ulm", "Bonn"], False),
        ([{"name": "A", "n": 1}], np.array([{"n": 1.0, "name": "a."}]), True),
        ({"a": [1, None]}, {"a": [1]}, False),
    ],
)
def test_what_does_not_matter_is_left_out(one, other, expected):
    """Spelling, order and forms of Unicode are not what an answer says; a number may be one per cent off."""
    assert is_same(normal_form(one), normal_form(other), tolerance=0.01) is expected
    assert is_same(normal_form(other), normal_form(one), tolerance=0.01) is expected


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("integer", np.int64(1949), 1949),
        ("integer", " 1949 ", 1949),
        ("number", Decimal("0.5"), 0.5),
        ("number", "half", ValueError),
        ("boolean", np.bool_(True), True),
        ("boolean", "yes", ValueError),
        ("string", 10115.0, "10115"),  # as a column with gaps has it
        ("enum", "a", "a"),
        ("date", "2024-05-31", date(2024, 5, 31)),
        ("date", pd.Timestamp("2024-05-31 10:00"), date(2024, 5, 31)),
        ("date", 20240531, ValueError),
        ("datetime", "2024-05-31T14:00+02:00", datetime(2024, 5, 31, 12, tzinfo=UTC)),
        ("datetime", date(2024, 5, 31), datetime(2024, 5, 31)),
        ("array", np.array(["a"]), ["a"]),
        ("array", "a", ValueError),
        ("object", {"a": 1}, {"a": 1}),
        ("object", [1], ValueError),
        ("any", "x", "x"),
    ],
)
def test_a_known_value_is_read_as_an_answer_would_be(kind, value, expected):
    """Whatever a cell of the user's holds becomes what the schema has, or is refused."""
    column = Column("field", kind, {})
    if expected is ValueError:
        with pytest.raises(ValueError, match="expected"):
            read_known(value, column)
    else:
        assert read_known(value, column) == expected
