"""The check of an answer against a normal form."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames._schema import check, compile_check
from parallel_frames._schema._normal import normalise

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1},
        "age": {"type": "integer", "minimum": 0, "nullable": True},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
    },
    "required": ["name", "tags"],
}


def problems(node: dict[str, Any], value: object) -> list[str]:
    """Return what is wrong with a value, as texts."""
    return [str(problem) for problem in check(normalise(node), value)]


FITS = [
    ({"type": "string"}, ["", "a"], [1, None, True, ["a"], {}]),
    ({"type": "integer"}, [0, -1, 3.0, 2**70], [True, 1.5, "1", None, math.inf, math.nan]),
    ({"type": "number"}, [0, 1.5, 2**70], [True, "1.5", None, math.inf, math.nan]),
    ({"type": "boolean"}, [True, False], [0, 1, "true", None]),
    ({"type": "array"}, [[], [1, "a"]], ["abc", {}, None]),
    ({"type": "object"}, [{}, {"a": 1}], [[], "a", None]),
    ({"type": ["string", "null"]}, ["a", None], [1]),
    ({}, [None, 1, "a", [], {}], []),
    ({"enum": ["a", "b"]}, ["a"], ["c", None, ["a"], {}]),
    ({"enum": [1]}, [1, 1.0], [True, "1", 2]),
    ({"enum": [True]}, [True], [1, "true"]),
    ({"enum": [[1], {"a": 1}]}, [[1], {"a": 1}], [[2], 1]),
    ({"type": ["integer", "string"]}, [1, "a"], [1.5, None]),
    ({"type": "integer", "minimum": 1, "maximum": 3}, [1, 2, 3.0], [0, 4]),
    ({"type": "number", "exclusiveMinimum": 1, "exclusiveMaximum": 3}, [1.1, 2], [1, 3]),
    ({"type": "number", "multipleOf": 0.1}, [0.3, 7, 0.7], [0.35]),
    ({"type": "integer", "multipleOf": 3}, [0, 3, 3 * 10**30], [1, 10**30]),
    ({"type": "number", "multipleOf": 0.5}, [10**30, 1.5], [10**400, 1.3]),
    ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "äöü"], ["a", "abcd"]),
    ({"type": "string", "pattern": "^[a-z]+$"}, ["abc"], ["Abc", ""]),
    ({"type": "string", "pattern": "b"}, ["abc"], ["ac"]),
    (
        {"type": "string", "format": "date"},
        ["2024-02-29", "2024-01-02T00:00:00Z"],
        ["2023-02-29", "2024-1-2", "20240102", "2024-01-02T01:00:00Z", "soon"],
    ),
    (
        {"type": "string", "format": "date-time"},
        ["2024-01-02T03:04:05Z", "2024-01-02 03:04", "2024-01-02"],
        ["2024-01-02T25:00:00Z", "03:04", "2024-13-01T00:00:00Z"],
    ),
    ({"type": "string", "format": "time"}, ["03:04:05", "03:04Z"], ["24:00", "3pm"]),
    ({"type": "string", "format": "email"}, ["a@b.co"], ["a@b", "a b@c.de", "ab.co"]),
    ({"type": "string", "format": "uri"}, ["https://a.b/c", "mailto:a@b.co"], ["www.a.b", "a b:c"]),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"], ["123"]),
    ({"type": "string", "format": "never heard of"}, ["anything"], [1]),
    (
        {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
        [[1], [1, 2]],
        [[], [1, 2, 3], ["a"]],
    ),
    (
        {"type": "array", "uniqueItems": True},
        [[], [1, "1", True], [{"a": 1}, {"a": 2}]],
        [[1, 1], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]],
    ),
    (
        {"prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2},
        [[1, "a"]],
        [["a", "b"], [1, 2], [1], [1, "a", "b"]],
    ),
    ({"type": "array", "contains": {"type": "integer"}}, [["a", 1]], [["a"], []]),
    ({"type": "array", "contains": {"const": 1}, "minContains": 0, "maxContains": 1}, [[], [1, 2]], [[1, 1]]),
    ({"type": "object", "minProperties": 1, "maxProperties": 2}, [{"a": 1}], [{}, {"a": 1, "b": 2, "c": 3}]),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, [{}, {"a": 1}], [{"a": "x"}]),
    ({"type": "object", "propertyNames": {"maxLength": 1}}, [{"a": 1}], [{"ab": 1}]),
    ({"type": "object", "patternProperties": {"^n_": {"type": "integer"}}}, [{"n_a": 1, "b": "x"}], [{"n_a": "x"}]),
]


@pytest.mark.parametrize(("node", "good", "bad"), FITS, ids=lambda value: repr(value)[:60])
def test_values_fit_or_have_one_problem(node: dict[str, Any], good: list[Any], bad: list[Any]) -> None:
    """Each value that fits has no problem, each that does not has exactly one."""
    assert [value for value in good if problems(node, value)] == []
    assert [value for value in bad if len(problems(node, value)) != 1] == []


RECORDED = json.loads((Path(__file__).parent / "golden" / "schema_checks.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: json.dumps(recorded["schema"])[:60])
def test_verdicts_are_those_of_the_first_version(recorded: dict[str, Any]) -> None:
    """Answers that were valid stay valid, and what is wrong with the others is in the same places."""
    test = compile_check(normalise(recorded["schema"]))
    for value, paths in recorded["cases"]:
        found = sorted({problem.path for problem in test(value)})
        assert (value, bool(found)) == (value, bool(paths))
        if "patternProperties" not in recorded["schema"]:  # its problems name the property in their text
            assert (value, found) == (value, paths)


@pytest.mark.parametrize(
    ("node", "value", "message"),
    [
        ({"enum": list(range(30))}, 99, f"expected one of {', '.join(map(str, range(20)))}, …, got 99"),
        ({"type": "string", "enum": ["a"], "nullable": True}, "b", 'expected one of "a", got "b"'),
        ({"type": "number", "multipleOf": 0.5}, 0.3, "expected a multiple of 0.5, got 0.3"),
        ({"type": "string", "pattern": "^a"}, "b", 'does not match ^a, got "b"'),
        ({"type": "string", "format": "date"}, "soon", 'expected the format date, got "soon"'),
        ({"type": "array", "uniqueItems": True}, [1, 1], "an element occurs twice, got [1, 1]"),
        ({"type": "array", "maxItems": 1}, [1, 2], "expected a length of at most 1, got [1, 2]"),
        ({"type": "object", "minProperties": 1}, {}, "expected at least 1 properties, got {}"),
        (
            {"type": "array", "contains": {"type": "integer"}, "minContains": 2},
            [1],
            'expected at least 2 elements that fit {"type": "integer"}, got [1]',
        ),
        (
            {"type": "object", "propertyNames": {"maxLength": 1}},
            {"ab": 1},
            'ab: bad name: expected a length of at most 1, got "ab"',
        ),
        (
            {"type": "object", "patternProperties": {"^n": {"type": "array", "items": {"type": "integer"}}}},
            {"n": ["a", 1, "b"]},
            'n[0]: expected a whole number, got "a"; n[2]: expected a whole number, got "b"',
        ),
        (
            {"anyOf": [{"type": "integer", "minimum": 3}, {"enum": ["a"]}]},
            1,
            'expected at least 3 or one of "a", got 1',
        ),
    ],
    ids=repr,
)
def test_a_problem_names_what_was_expected_and_found(node: dict[str, Any], value: object, message: str) -> None:
    """Each constraint has its own words, with the limit and the value."""
    assert problems(node, value) == [message]


def test_names_that_read_as_numbers_are_names() -> None:
    """A property called "01" is in the path as it is in the answer, beside indices of lists."""
    node = {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "integer"}}}
    assert problems(node, {"01": ["a"]}) == ['01[0]: expected a whole number, got "a"']
    assert problems(node, {"7": [1, "a"], "8": [1]}) == ['7[1]: expected a whole number, got "a"']


@pytest.mark.parametrize(
    "value",
    ["\ud800", ["\ud800"], [object()], json.loads("[" * 300 + "]" * 300)],
    ids=["half a character", "half a character inside", "an object of Python's", "deep nesting"],
)
def test_what_cannot_be_read_is_a_problem(value: object) -> None:
    """Half a surrogate pair, what is not JSON, and endless nesting are told as a problem of the value."""
    assert problems({"type": "array", "items": {"type": "string"}}, value)


def test_equality_is_that_of_json_schema() -> None:
    """1 and 1.0 are one value, 1 and true are two, and an object's fields have no order."""
    assert problems({"type": "array", "uniqueItems": True}, [1, 1.0])
    assert not problems({"type": "array", "uniqueItems": True}, [1, True])
    assert not problems({"enum": [{"a": 1, "b": 2}]}, {"b": 2, "a": 1.0})


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"name": "Ada", "age": 36, "tags": []}, []),
        ({"name": "Ada", "tags": ["x"]}, []),
        ({"name": "Ada", "age": None, "tags": []}, []),
        ({"tags": []}, ["name: is missing"]),
        ({"name": "Ada", "tags": [], "x": [1]}, ["x: is not asked for, got [1]"]),
        (
            {"name": "", "age": -1, "tags": [1]},
            [
                'name: expected a length of at least 1, got ""',
                "age: expected at least 0, got -1",
                "tags[0]: expected a text, got 1",
            ],
        ),
        ("Ada", ['expected an object, got "Ada"']),
    ],
)
def test_objects_tell_every_problem_with_its_path(value: object, told: list[str]) -> None:
    """Missing, extra and wrong properties are all told; an optional one may be absent."""
    assert problems(PERSON, value) == told


def test_paths_lead_through_lists_and_objects() -> None:
    """A path names each step to where the trouble is."""
    node = {"type": "array", "items": {"type": "array", "items": PERSON}}
    assert problems(node, [[], [{"name": "Ada", "tags": ["a", 2]}]]) == ["[1][0].tags[1]: expected a text, got 2"]


def test_a_union_tells_the_closest_branch() -> None:
    """Of several branches the one that got furthest explains; when none got anywhere, all are named."""
    node = {"anyOf": [{"type": "string"}, PERSON, {"type": "null"}]}
    assert problems(node, {"name": "Ada", "tags": [3]}) == ["tags[0]: expected a text, got 3"]
    assert problems(node, 3) == ["expected a text or an object, got 3"]


def test_long_values_are_cut() -> None:
    """A message shows at most 200 characters of a value."""
    (told,) = problems({"type": "integer"}, "x" * 10_000)
    assert told.endswith("…")
    assert len(told) < 240


def test_a_compiled_check_may_be_used_again() -> None:
    """Compiling is done once per column, so the check holds no state."""
    test = compile_check(normalise(PERSON))
    assert [bool(test(value)) for value in (3, {"name": "a", "tags": []}, 3)] == [True, False, True]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([node for node, _, _ in FITS] + [PERSON]), JSON)
def test_no_value_makes_a_check_raise(node: dict[str, Any], value: Any) -> None:
    """Whatever an answer holds, the verdict is a tuple of problems with texts."""
    for problem in check(normalise(node), value):
        assert problem.message
