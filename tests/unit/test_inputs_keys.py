"""Keys, the grouping of equal rows, and index labels."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames._inputs import distinct, hash_identity, make_key, make_keys
from parallel_frames._job._plan import index_labels
from parallel_frames.errors import InputError

JOB = "0123456789abcdef0123456789abcdef"


def test_a_key_is_32_hexadecimal_digits():
    """A key is 128 bits, spelt in lower case."""
    assert make_key(b"5", JOB) == "c30d0746d94eb80fd686d31a4073f4f7"


def test_a_numbered_key_is_what_it_was():
    """Keys of rows that do not share a run stay computable too."""
    assert make_key(b"5", JOB, occurrence=1) == "b1427351efe2b4b8e210b79984dd3576"


def test_everything_framed_changes_the_key():
    """The form, the job and the occurrence each change the key, and do not run into one another."""
    keys = [
        make_key(b"1", JOB),
        make_key(b"11", JOB),
        make_key(b"1", JOB + "1"),
        make_key(b"1", JOB, occurrence=0),
        make_key(b"1", JOB, occurrence=1),
        make_key(b"0\n1", JOB),
    ]
    assert len(set(keys)) == len(keys)


@given(st.lists(st.none() | st.binary(max_size=3)))
def test_a_batch_of_keys_is_the_keys_of_each(canonicals):
    """The fast form gives what one key at a time gives; nothing to send has no key."""
    expected = [None if canonical is None else make_key(canonical, JOB) for canonical in canonicals]
    assert make_keys(canonicals, JOB) == expected


def test_without_dedupe_equal_rows_count():
    """Without de-duplication the n-th of equal rows has the number n in its key, so resuming finds it again."""
    keys = make_keys([b"a", b"b", None, b"a"], JOB, dedupe=False)
    assert keys == [
        make_key(b"a", JOB, occurrence=0),
        make_key(b"b", JOB, occurrence=0),
        None,
        make_key(b"a", JOB, occurrence=1),
    ]


def test_a_job_hash_is_one_line():
    """A job hash that could run into the rest of the framing is refused."""
    with pytest.raises(InputError, match="one line"):
        make_key(b"", "a\nb")


@given(st.lists(st.none() | st.sampled_from([b"a", b"b", b"c", b"d"])))
def test_distinct_rows_point_at_their_first(values):
    """Each row's entry leads to the first row with its value; entries are in order of appearance."""
    first, entries = distinct(values)
    assert [values[row] for row in first] == [value for value in dict.fromkeys(values) if value is not None]
    assert entries.dtype == first.dtype == np.int64
    for row, entry in enumerate(entries):
        assert (entry == -1) == (values[row] is None)
        assert entry == -1 or (values[first[entry]] == values[row] and first[entry] <= row)
        assert entry == -1 or first[entry] == values.index(values[row])


def test_a_job_hash_ignores_order_and_keeps_nulls():
    """Names in any order hash alike at every depth; a null, a type and a list's order matter."""
    one = {"a": 1, "b": {"c": None, "d": [1, 2]}}
    assert hash_identity(one) == hash_identity(
        MappingProxyType({"b": MappingProxyType({"d": [1, 2], "c": None}), "a": 1})
    )
    others = [
        {"a": 1, "b": {"d": [1, 2]}},
        {**one, "a": "1"},
        {**one, "a": True},
        {"a": 1, "b": {"c": None, "d": [2, 1]}},
    ]
    assert len({hash_identity(other) for other in [one, *others]}) == 5
    assert hash_identity({}) == "2afb9b83f9314e5d029766197f539792"


@pytest.mark.parametrize("identity", [{"a": object()}, {"a": float("nan")}, {"a": b"x"}, {"a": "\ud800"}])
def test_an_identity_that_is_not_json_is_refused(identity):
    """What cannot be written down cannot identify a job."""
    with pytest.raises(InputError, match="is not JSON"):
        hash_identity(identity)


@pytest.mark.parametrize(
    ("index", "labels"),
    [
        (pd.RangeIndex(3), ["2", "0", "2"]),
        (pd.Index(["a", "a", "b"]), ["b", "a", "b"]),
        (pd.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2)]), ["b/2", "a/1", "b/2"]),
        (pd.to_datetime(["2024-01-02"] * 3), ["2024-01-02 00:00:00"] * 3),
        (pd.Index([1.5, 2.0, None]), ["nan", "1.5", "nan"]),
        (pd.Index(["x" * 512, "", "x" * 513]), [None, "x" * 512, None]),
        (pd.Index(["é", "", "\ud800"], dtype=object), [None, "é", None]),
    ],
)
def test_index_labels_are_text(index, labels):
    """A label is its text, a MultiIndex label its parts; what metadata cannot hold is None."""
    frame = pd.DataFrame({"x": [0, 0, 0]}, index=index)
    assert index_labels(frame, np.array([2, 0, 2])) == labels
    assert index_labels(frame, []) == []
