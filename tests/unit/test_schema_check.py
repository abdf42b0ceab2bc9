"""The check of an answer against a normal form."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames._schema import compile_check
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
    return [str(problem) for problem in compile_check(normalise(node))(value)]


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
    """A value that fits has no problem, one that does not has exactly one."""
    assert [value for value in good if problems(node, value)] == []
    assert [value for value in bad if len(problems(node, value)) != 1] == []


RECORDED = json.loads((Path(__file__).parent / "golden" / "schema_checks.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: json.dumps(recorded["schema"])[:60])
def test_verdicts_are_those_on_record(recorded: dict[str, Any]) -> None:
    """What was valid for the first version's own checker stays valid; the problems of the rest have the same paths."""
    test = compile_check(normalise(recorded["schema"]))
    for value, paths in recorded["cases"]:
        found = sorted({problem.path for problem in test(value)})
        assert (value, bool(found)) == (value, bool(paths))
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
            {"n": [1, "b"], "m": "b"},
            'n[1]: expected a whole number, got "b"',
        ),
        (
            {"patternProperties": {"a": {"patternProperties": {r"\Ab\Z": {"type": "string", "format": "duration"}}}}},
            {"a": {"b": 1}, "b": 1},
            "a.b: expected a text, got 1",
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
    """Every constraint has its own message, with the limit and the value."""
    assert problems(node, value) == [message]


@pytest.mark.parametrize("name", ["7", "07", "+7", "-1", "１", "0", "", "a.b", "a/b", "~0", "%20", "anyOf", "items"])
def test_paths_hold_names_as_the_answer_has_them(name: str) -> None:
    """Names that read as numbers, as pointers or as keywords are names, and the message is about their value."""
    integers = {"type": "array", "items": {"type": "integer"}}
    other = {"7": [1], "+7": [2], "": [3], "0": [4]}
    assert problems({"type": "object", "additionalProperties": integers}, other | {name: [1, "a"]}) == [
        f'{name}[1]: expected a whole number, got "a"'
    ]


@pytest.mark.parametrize("value", [[object()], json.loads("[" * 300 + "]" * 300)], ids=["object", "deep nesting"])
def test_a_value_that_cannot_be_read_is_a_problem(value: object) -> None:
    """What is not JSON, and what is nested too deep to be read, has a problem instead of an exception."""
    assert problems({"type": "array", "items": {"type": "string"}}, value)


@pytest.mark.parametrize(
    ("node", "value"),
    [
        ({"type": "string", "pattern": "^.$", "minLength": 1, "maxLength": 1}, "\ud800"),
        ({"type": "array", "items": {"type": "string"}}, ["\ud800"]),
        ({"type": "object"}, {"\udfff": ["\ud800"]}),
        ({}, "\ud800"),
    ],
    ids=["text", "list", "object", "any"],
)
def test_a_lone_surrogate_is_a_character(node: dict[str, Any], value: object) -> None:
    """Whether half a surrogate pair can be stored is for the column to decide; the rest of the value is checked."""
    assert problems(node, value) == []
    assert problems({"type": "array", "items": node, "maxItems": 1}, [value, value])
    assert problems({"enum": ["a"]}, value)


def test_equality_is_that_of_json_schema() -> None:
    """1 and 1.0 are one value, 1 and true are two, and an object's fields have no order."""
    assert problems({"type": "array", "uniqueItems": True}, [1, 1.0])
    assert not problems({"type": "array", "uniqueItems": True}, [1, True])
    assert not problems({"enum": [{"a": 1, "b": 2}]}, {"b": 2, "a": 1.0})


@pytest.mark.parametrize(
    ("value", "messages"),
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
def test_every_problem_of_an_object_has_its_path(value: object, messages: list[str]) -> None:
    """Missing, extra and wrong properties are all listed; an optional one may be absent."""
    assert problems(PERSON, value) == messages


def test_paths_lead_through_lists_and_objects() -> None:
    """A path names every step to the problem."""
    node = {"type": "array", "items": {"type": "array", "items": PERSON}}
    assert problems(node, [[], [{"name": "Ada", "tags": ["a", 2]}]]) == ["[1][0].tags[1]: expected a text, got 2"]


def test_the_closest_branch_of_a_union_explains() -> None:
    """The branch that got deepest explains; where no branch got into the value, all of them are named."""
    node = {"anyOf": [{"type": "string"}, PERSON, {"type": "null"}]}
    assert problems(node, {"name": "Ada", "tags": [3]}) == ["tags[0]: expected a text, got 3"]
    assert problems(node, 3) == ["expected a text or an object, got 3"]


def test_long_values_are_cut() -> None:
    """A message shows at most 200 characters of a value."""
    (message,) = problems({"type": "integer"}, "x" * 10_000)
    assert message.endswith("…")
    assert len(message) < 240


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
    for problem in compile_check(normalise(node))(value):
        assert problem.message
