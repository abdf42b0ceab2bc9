"""What runs answer: made up, from a function, from a table."""

from __future__ import annotations

import re

import jsonschema
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames.simulator import ActionRequired, Cancelled, Failure, Simulator, Stuck
from parallel_frames.simulator._made_up import Dice, compile_schema

LEAVES = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "enum": ["a", "b"]},
        {"const": 7},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": ["integer", "null"]},
        {"anyOf": [{"type": "null"}, {"type": "number"}]},
    ]
)


def objects(children):
    """Build object schemas of child schemas."""
    return st.dictionaries(st.sampled_from("abcdef"), children, min_size=1).map(
        lambda p: {"type": "object", "properties": p, "required": list(p), "additionalProperties": False}
    )


SCHEMAS = objects(
    st.recursive(
        LEAVES,
        lambda c: objects(c) | c.map(lambda s: {"type": "array", "items": s}) | c.map(lambda s: {"anyOf": [s]}),
        max_leaves=12,
    )
)


@given(SCHEMAS, st.text(), st.integers(0, 3))
def test_made_up_answers_fit_their_schema(schema, text, seed):
    """Whatever the schema, the answer validates against it, and the same draw makes the same answer."""
    make = compile_schema(schema)
    answer = make(Dice(text.encode(), seed=seed), text)
    jsonschema.validate(answer, schema)
    assert answer == make(Dice(text.encode(), seed=seed), text)


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ({"type": "string", "description": "Format: date (YYYY-MM-DD)."}, r"\d{4}-\d\d-\d\d"),
        ({"type": "string", "description": "Format: date and time (ISO 8601 with zone)."}, r".{10}T\d\d:\d\d:\d\dZ"),
        ({"type": "string", "description": "Format: absolute URL."}, r"https://example\.com/\S+"),
        ({"type": "string", "description": "Format: email address."}, r"\S+@example\.com"),
        ({"type": "string", "description": "Format: UUID."}, r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
        ({"type": "string", "description": "Must have at most 9 characters."}, r".{1,9}"),
        ({"type": "integer", "description": "Must be at least 5. Must be less than 8."}, "[567]"),
        ({"type": "integer", "description": "between 3 and 4"}, "[34]"),
        ({"type": "integer", "description": "Must be a multiple of 7."}, r"\d+"),
        ({"type": "number", "description": "Must be at most 0.5. Must be at least 0.25."}, r"0\.[2345]\d*"),
        ({"anyOf": [{"type": "string"}], "description": "Format: time (HH:MM:SS)."}, r"\d\d:\d\d:\d\d"),
    ],
)
def test_descriptions_are_obeyed(schema, pattern):
    """What clients write into descriptions, because schemas can't say it, is respected."""
    make = compile_schema(schema)
    for n in range(50):
        assert re.fullmatch(pattern, str(make(Dice(b"%d" % n, seed=0), "x")))


def answer(simulate, answers, *inputs, **options):
    """Return the runs that answer some inputs."""
    caller = simulate(answers, **options)
    group = caller.create_group()
    caller.add(group, *inputs).raise_for_status()
    caller.outcomes(group)
    return caller.sim.runs()


def test_answers_depend_on_input_schema_and_seed_only(simulate):
    """The same input gets the same answer from two simulators of one seed, and another from another seed."""
    (one, other), (again, _) = answer(simulate, None, "A", "B"), answer(simulate, None, "A", "C")
    (different,) = answer(simulate, None, "A", seed=1)
    assert one.output == again.output
    assert one.output != other.output
    assert one.output["content"] != different.output["content"]
    assert "Simulated" in one.output["content"]["capital"]
    assert all("Simulated" in basis["reasoning"] for basis in one.output["basis"])
    assert {basis["confidence"] for basis in one.output["basis"]} <= {"low", "medium", "high"}


def test_a_function_answers_and_its_exceptions_fail_the_run(simulate):
    """What the function returns is the content; what it raises is the run's error."""

    def capital(row):
        if row["country"] == "Atlantis":
            raise LookupError("it sank")
        return {"capital": "Paris"}

    good, bad = answer(simulate, capital, {"country": "France"}, {"country": "Atlantis"})
    assert good.output["content"] == {"capital": "Paris"}
    assert (bad.status, bad.error) == ("failed", "it sank")


def test_a_function_of_two_arguments_gets_the_spec(simulate):
    """The second argument is the task spec as it was sent."""
    (run,) = answer(simulate, lambda _row, spec: {"fields": list(spec["output_schema"]["json_schema"])}, "x")
    assert "properties" in run.output["content"]["fields"]


def test_a_string_for_a_json_schema_fails_the_run(simulate):
    """An answer that can't be sent is a failed run with a message, not a broken server."""
    (run,) = answer(simulate, lambda _: "Paris", "France")
    assert (run.status, "must be a mapping" in run.error) == ("failed", True)


def test_a_mapping_is_found_by_the_input_or_by_any_of_its_values(simulate):
    """A string input is the key; of an object input any value may be; the rest is made up."""
    table = {"France": {"capital": "Paris"}, "Spain": Failure("closed"), "Italy": Cancelled("later")}
    runs = answer(simulate, table, "France", {"n": 1, "country": "Spain"}, "Italy", "Peru")
    assert runs[0].output["content"] == {"capital": "Paris"}
    assert [run.status for run in runs] == ["completed", "failed", "cancelled", "completed"]
    assert [run.error for run in runs[1:3]] == ["closed", "later"]
    assert "Peru" in runs[3].output["content"]["capital"]


@pytest.mark.parametrize("indexed", [True, False])
def test_a_frame_is_found_by_its_named_index_or_first_column(simulate, indexed):
    """The key's name picks the field of the input; missing cells are null, numbers plain."""
    frame = pd.DataFrame({"country": ["France", "Spain"], "capital": ["Paris", None], "population": [67, 48]})
    frame = frame.set_index("country") if indexed else frame
    france, spain = answer(simulate, frame, {"other": "Spain", "country": "France"}, "Spain")
    assert france.output["content"] == {"capital": "Paris", "population": 67}
    assert spain.output["content"] == {"capital": None, "population": 48}


def test_endings_that_never_complete(simulate):
    """A stuck run stays running; one that needs an action leaves the active states with an event."""
    caller = simulate({"A": Stuck(), "B": ActionRequired("sign in")})
    group = caller.create_group()
    caller.add(group, "A", "B")
    caller.sim.wait_until(lambda counts: counts.active == 1)
    assert [run.status for run in caller.sim.runs()] == ["running", "action_required"]
    (event,) = caller.outcomes(group, timeout=0.1)
    assert event["run"]["warnings"][0]["message"] == "sign in"


def test_content_as_text(simulate):
    """Older deployments send a JSON content as text, and so does the simulator when asked to."""
    caller = simulate({"A": {"capital": "Paris"}}, string_content=True)
    group = caller.create_group()
    caller.add(group, "A")
    (event,) = caller.outcomes(group)
    assert event["output"]["content"] == '{"capital":"Paris"}'


def test_nonsense_is_refused():
    """Answers that are neither function nor table are a TypeError at once."""
    with pytest.raises(TypeError, match="answers must be"):
        Simulator(answers=7)
