"""What runs answer: made up, from a function, from a table."""

from __future__ import annotations

import re

import jsonschema
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames.simulator import ActionRequired, Answer, Cancelled, Failure, Simulator, Stuck, faults
from parallel_frames.simulator._made_up import Dice, compile_schema, compile_spec, make_answer

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
    """What clients write into descriptions, because schemas have no keyword for it, is respected."""
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
    assert bad.status == "failed"
    line = capital.__code__.co_firstlineno + 2
    assert bad.error == f"your answer function raised LookupError: it sank (test_answers.py, line {line})"


def test_a_function_of_two_arguments_gets_the_spec(simulate):
    """The second argument is the task spec as it was sent."""
    (run,) = answer(simulate, lambda _row, spec: {"fields": list(spec["output_schema"]["json_schema"])}, "x")
    assert "properties" in run.output["content"]["fields"]


def test_a_function_with_a_parameter_of_that_name_gets_the_processor(simulate):
    """With the spec or without it; a second argument of another name is the spec, as ever."""
    (run,) = answer(simulate, lambda _row, processor: {"name": processor}, "x")
    assert run.output["content"] == {"name": "base"}
    (run,) = answer(simulate, lambda _row, spec, *, processor: {"name": [processor, *spec]}, "x")
    assert run.output["content"]["name"] == ["base", "output_schema"]


def test_processors_differ_in_what_they_make_up():
    """The better two processors are, the more often they agree; who errs alone is not sure of it."""
    schema = {"type": "object", "properties": {name: {"type": "integer"} for name in "abcde"}}
    spec = compile_spec({"output_schema": {"type": "json", "json_schema": schema}})

    def made_up(processor):
        pairs = [make_answer(spec, b"%d" % n, "x", processor=processor, seed=0) for n in range(300)]
        return [list(made.values()) for made, _ in pairs], [level for _, levels in pairs for level in levels.values()]

    answers = {name: made_up(name)[0] for name in ("lite", "base", "core", "pro", "ultra8x", "ultra-fast", "new")}
    shares = [
        sum(a == b for pair in zip(answers[name], answers["ultra8x"], strict=True) for a, b in zip(*pair, strict=True))
        / 1500
        for name in ("lite", "base", "core", "pro", "ultra-fast")
    ]
    assert shares == sorted(shares)
    assert shares[0] == pytest.approx(0.7, abs=0.04)
    assert shares[-1] > 0.97
    assert answers["new"] == answers["base"]
    assert answers["base"][0] == list(spec.make(Dice(b"0" + spec.digest, seed=0), "x").values())
    assert (set(made_up("lite")[1]), set(made_up("pro")[1])) == ({"low"}, {"high"})


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


SOURCE = {"url": "https://a.example/p", "title": "Atlas", "excerpts": ["Paris is the capital."]}
FRANCE = {"capital": "Paris", "rivers": ["Seine", "Loire"]}


def basis_of(simulate, answers, *, elements=False, spec=None):
    """Return the basis of one answer by field, checked against the vendor's own model."""
    caller = simulate(answers)
    if elements:
        caller.http.headers["parallel-beta"] = "field-basis-2025-11-25"
    group = caller.create_group()
    caller.add(group, "France", **({"default_task_spec": spec} if spec else {})).raise_for_status()
    (event,) = caller.outcomes(group)
    assert event["run"]["status"] == "completed", event["run"]["error"]
    model = pytest.importorskip("parallel.types").FieldBasis
    for entry in event["output"]["basis"]:
        model.model_validate(entry, strict=True)
    return {entry["field"]: entry for entry in event["output"]["basis"]}


@pytest.mark.parametrize("form", ["table", "function"])
def test_an_answer_brings_confidences_and_the_rest_is_made_up(simulate, form):
    """A word is the confidence of its field; reasoning, citations and the other fields are simulated as ever."""
    given = Answer(FRANCE, basis={"capital": "medium"})
    basis = basis_of(simulate, {"France": given} if form == "table" else lambda _: given)
    assert list(basis) == ["capital", "rivers"]
    assert basis["capital"]["confidence"] == "medium"
    assert all("Simulated" in entry["reasoning"] for entry in basis.values())
    assert all(entry["citations"] for entry in basis.values())


def test_an_answer_brings_parts_of_its_evidence(simulate):
    """The given parts are sent unchanged, a confidence of None too, and the others are made up."""
    parts = {
        "capital": {"confidence": "low", "reasoning": "An atlas says so.", "citations": [SOURCE]},
        "rivers": {"confidence": None, "citations": []},
    }
    basis = basis_of(simulate, lambda _: Answer(FRANCE, basis=parts))
    assert basis["capital"] == {"field": "capital", **parts["capital"]}
    assert (basis["rivers"]["confidence"], basis["rivers"]["citations"]) == (None, [])
    assert "Simulated" in basis["rivers"]["reasoning"]


def test_an_answer_brings_the_whole_basis(simulate):
    """A list is sent as it is: nothing is made up, and a field without an entry has no evidence."""
    entry = {"field": "capital", "reasoning": "I know.", "citations": [{"url": "https://a.example"}]}
    assert basis_of(simulate, lambda _: Answer(FRANCE, basis=[entry])) == {"capital": entry}
    bare = {"field": "rivers", "reasoning": ""}
    assert basis_of(simulate, lambda _: Answer(FRANCE, basis=[bare])) == {"rivers": {**bare, "citations": []}}
    assert basis_of(simulate, lambda _: Answer(FRANCE, basis=[])) == {}


@pytest.mark.parametrize("nothing", [None, {}])
def test_an_answer_without_a_basis_is_its_content(simulate, nothing):
    """An answer that brings nothing has the evidence that its bare content would have."""
    assert basis_of(simulate, lambda _: Answer(FRANCE, basis=nothing)) == basis_of(simulate, lambda _: FRANCE)


@pytest.mark.parametrize(
    "basis",
    [
        {"rivers.1": {"confidence": "low", "reasoning": "Of the Loire."}},
        [
            {"field": "capital", "reasoning": "r"},
            {"field": "rivers", "reasoning": "r"},
            {"field": "rivers.0", "reasoning": "r"},
            {"field": "rivers.1", "reasoning": "Of the Loire.", "confidence": "low"},
        ],
    ],
)
def test_evidence_of_elements_is_sent_to_those_who_ask(simulate, basis):
    """Evidence of elements is sent as it was given, and only with the beta header."""
    answers = {"France": Answer(FRANCE, basis=basis)}
    assert set(basis_of(simulate, answers)) == {"capital", "rivers"}
    asked = basis_of(simulate, answers, elements=True)
    assert set(asked) == {"capital", "rivers", "rivers.0", "rivers.1"}
    assert (asked["rivers.1"]["confidence"], asked["rivers.1"]["reasoning"]) == ("low", "Of the Loire.")


def test_a_text_brings_the_basis_of_its_output(simulate):
    """The one field of a text is called output."""
    spec = {"output_schema": {"type": "text"}}
    basis = basis_of(simulate, {"France": Answer("Paris.", basis={"output": "high"})}, spec=spec)
    assert {field: entry["confidence"] for field, entry in basis.items()} == {"output": "high"}


def test_fields_of_a_text_fail_the_run(simulate):
    """A mapping that becomes a text cannot have evidence of its fields, and its run fails with that message."""
    caller = simulate({"France": Answer(FRANCE, basis={"capital": "low"})})
    group = caller.create_group()
    caller.add(group, "France", default_task_spec={"output_schema": {"type": "text"}})
    (event,) = caller.outcomes(group)
    assert event["run"]["status"] == "failed"
    assert "must be a string to bring a basis" in event["run"]["error"]["message"]


def test_a_fault_breaks_the_content_of_an_answer_with_evidence(simulate):
    """Faults of answers strike those that bring their own evidence too."""
    answers = {"France": Answer(FRANCE, basis={"capital": "low"})}
    (run,) = answer(simulate, answers, "France", faults=[faults.break_answers(how="missing")])
    assert run.output["content"] == {"rivers": ["Seine", "Loire"]}


@pytest.mark.parametrize(
    ("basis", "error", "message"),
    [
        ({"captial": "low"}, ValueError, "is for 'captial', and the answer has 'capital', 'rivers', 'rivers.0'"),
        ({"rivers.2": "low"}, ValueError, "is for 'rivers.2'"),
        ({7: "low"}, ValueError, "is for 7"),
        ({"capital": "sure"}, ValueError, "a confidence must be one of low, medium, high, got 'sure'"),
        ({"capital": {"confidance": "low"}}, TypeError, "a mapping of confidence, reasoning, citations"),
        ({"capital": None}, TypeError, "must be a confidence, or a mapping"),
        ({"capital": {"reasoning": 1}}, TypeError, "a reasoning must be a string, got 1"),
        ({"capital": {"citations": "https://a.example"}}, TypeError, "citations must be a list of mappings"),
        ({"capital": {"citations": [{"title": "no url"}]}}, TypeError, "citations must be a list of mappings"),
        ({"capital": {"citations": [{**SOURCE, "excerpts": [1]}]}}, TypeError, "citations must be a list of mappings"),
        ({"capital": {"citations": [{**SOURCE, "page": 3}]}}, TypeError, "citations must be a list of mappings"),
        ([{"reasoning": "r"}], TypeError, r"basis\[0\] must be a mapping with a 'field' and a 'reasoning'"),
        ([{"field": "capital"}], TypeError, "a 'field' and a 'reasoning'"),
        ([{"field": "x", "reasoning": "r"}], ValueError, r"basis\[0\] is for 'x'"),
        ("low", TypeError, "a mapping of fields or a list of entries, got str"),
        (7, TypeError, "got int"),
    ],
)
def test_what_is_no_basis_is_refused_at_once(basis, error, message):
    """A mistake in the evidence is an error where it was made, not by a run that fails later."""
    with pytest.raises(error, match=message):
        Answer(FRANCE, basis=basis)


def test_what_is_no_content_is_refused_at_once():
    """An answer holds a mapping or a string, not another ending."""
    with pytest.raises(TypeError, match="must be a mapping or a string, got Failure"):
        Answer(Failure())


def test_warnings_and_tool_calls_come_with_the_run(simulate):
    """A message becomes a warning as the service sends it; what is no list of such is refused at once."""
    call = {"server_name": "crm", "tool_name": "find", "arguments": "{}", "content": "[]", "error": ""}
    given = Answer(FRANCE, warnings=["old", {"type": "spec", "message": "m"}], mcp_tool_calls=[call])
    (run,) = answer(simulate, lambda _: given, "France")
    assert run.output["mcp_tool_calls"] == [call]
    with pytest.raises(TypeError, match="warnings must be a list"):
        Answer(FRANCE, warnings="old")
    with pytest.raises(TypeError, match="mcp_tool_calls must be a list of mappings"):
        Answer(FRANCE, mcp_tool_calls=["find"])


def test_a_function_that_names_a_wrong_field_fails_the_run(simulate):
    """The mistake in a function's answer is the run's error."""
    (run,) = answer(simulate, lambda _: Answer(FRANCE, basis={"captial": "low"}), "France")
    assert (run.status, "'captial'" in run.error) == ("failed", True)
