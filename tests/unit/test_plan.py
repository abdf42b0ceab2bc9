"""A frame and a job become distinct runs, without network and without side effects."""

from __future__ import annotations

import numpy as np
import orjson
import pandas as pd
import pytest

from parallel_frames._inputs import select_inputs
from parallel_frames._job._plan import group_metadata, make_job, make_options, make_plan
from parallel_frames._schema import parse_schema
from parallel_frames.errors import InputError, SchemaError, UnknownColumnError

SCHEMA = parse_schema({"ceo": "name of the CEO"})


def job_of(schema=SCHEMA, *, input_schema=None, processor="base", **options):
    """Return a job with these options."""
    return make_job(schema, input_schema=input_schema, processor=processor, options=make_options(options))


def plan_of(df, job=None, *, inputs=None, **options):
    """Return the plan of a frame."""
    return make_plan(df, job or job_of(), selection=select_inputs(df, inputs), **options)


def test_distinct_inputs_are_runs_in_order_of_appearance():
    """Equal rows share an entry, rows with nothing to send have none, and each row knows its entry."""
    df = pd.DataFrame({"company": ["Acme", None, "Globex", "Acme"]}, index=["a", "b", "c", "d"])
    plan = plan_of(df)
    assert [orjson.loads(sent) for sent in plan.inputs] == [{"company": "Acme"}, {"company": "Globex"}]
    assert (plan.positions, plan.labels) == ([0, 2], ["a", "c"])
    assert plan.row_runs.tolist() == [0, -1, 1, 0]
    assert (plan.rows, plan.skipped, plan.sent) == (4, 1, ("company",))
    assert len(set(plan.keys)) == 2
    assert all(len(key) == 32 for key in plan.keys)


def test_without_dedupe_every_row_is_a_run_and_keys_repeat_over_calls():
    """dedupe=False tells equal rows apart by their occurrence, the same way each time."""
    df = pd.DataFrame({"company": ["Acme", "Globex", "Acme"]})
    plan = plan_of(df, dedupe=False)
    assert plan.row_runs.tolist() == [0, 1, 2]
    assert len(set(plan.keys)) == 3
    assert plan.keys == plan_of(df, dedupe=False).keys


def test_a_plan_of_no_rows_is_empty():
    """An empty frame means no runs."""
    plan = plan_of(pd.DataFrame({"company": pd.Series([], dtype=object)}))
    assert (list(plan.keys), plan.rows, plan.skipped) == ([], 0, 0)
    assert plan.row_runs.dtype == np.int64


JOBS = {
    "schema": {"schema": parse_schema({"ceo": int})},
    "description": {"schema": parse_schema({"ceo": "name of the boss"})},
    "processor": {"processor": "core"},
    "input schema": {"input_schema": {"company": "a legal name"}},
    "source policy": {"source_policy": {"include_domains": ["example.com"]}},
    "advanced settings": {"advanced_settings": {"location": "us"}},
    "previous interaction": {"previous_interaction_id": "i_1"},
    "memory scope": {"memory_scope_key": "team-1"},
    "MCP servers": {"mcp_servers": [{"name": "crm", "url": "https://example.com"}]},
}
SAME = {
    "webhook": {"webhook": {"url": "https://example.com"}},
    "events": {"enable_events": True},
    "betas": {"beta_headers": ["x"]},
    "nothing": {"source_policy": None},
}


@pytest.mark.parametrize("name", JOBS)
def test_what_changes_an_answer_changes_the_job_and_every_key(name):
    """Schema, processor, input schema and the options that reach the model are part of the keys."""
    df = pd.DataFrame({"company": ["Acme"]})
    other = job_of(**JOBS[name])
    assert other.hash != job_of().hash
    assert plan_of(df, other).keys != plan_of(df).keys


@pytest.mark.parametrize("name", SAME)
def test_what_does_not_change_an_answer_changes_no_key(name):
    """Webhooks, event settings and beta headers are in no key."""
    assert job_of(**SAME[name]).hash == job_of().hash


def test_secrets_of_mcp_servers_are_in_no_key():
    """The headers of an MCP server are neither in the identity nor in a repr."""
    server = {"name": "crm", "url": "https://example.com", "headers": {"authorization": "secret-1"}}
    job = job_of(mcp_servers=[server])
    assert job.hash == job_of(mcp_servers=[server | {"headers": {"authorization": "secret-2"}}]).hash
    assert "secret" not in repr(job)
    assert "secret" not in orjson.dumps(job.identity).decode()


def test_the_spec_holds_both_schemas():
    """The task spec is the output schema, and the input schema where there is one."""
    assert set(job_of().spec) == {"output_schema"}
    assert set(job_of(input_schema={"company": str}).spec) == {"output_schema", "input_schema"}


def test_an_input_schema_must_say_something():
    """An input of "auto" describes nothing, and what is no schema is refused as one."""
    for wrong in ("auto", {"type": "auto"}, 3, {}):
        with pytest.raises(SchemaError):
            job_of(input_schema=wrong)


def test_the_specs_limit_is_exact():
    """A spec of 15,000 characters passes, one of 15,001 is refused with its size."""
    text = "d" * 7_000
    room = 15_000 - len(orjson.dumps(job_of(parse_schema({"x": text}), input_schema={"y": "z"}).spec)) + 1
    job_of(parse_schema({"x": text}), input_schema={"y": "z" * room})
    with pytest.raises(SchemaError, match="15,001 characters"):
        job_of(parse_schema({"x": text}), input_schema={"y": "z" * (room + 1)})


def test_the_limit_of_spec_and_input_counts_characters():
    """An input of exactly the rest passes, also of multi-byte characters; one more is refused by row and label."""
    room = 25_000 - len(orjson.dumps(job_of().spec)) - len('{"company":""}')
    plan_of(pd.DataFrame({"company": ["é" * room]}))
    with pytest.raises(InputError, match=r"Row 1 \(index 'b'\) has an input of"):
        plan_of(pd.DataFrame({"company": ["x", "é" * (room + 1)]}, index=["a", "b"]))


def test_metadata_is_that_of_the_first_row_with_the_input():
    """Of equal rows the first one's metadata travels; missing cells are left out."""
    df = pd.DataFrame({"company": ["Acme", "Globex", "Acme"], "id": [1, None, 3], "flag": [True, False, True]})
    plan = plan_of(df, inputs=["company"], metadata={"company_id": "id", "flag": "flag"})
    assert plan.metadata == [{"company_id": 1.0, "flag": True}, {"flag": False}]
    assert plan_of(df, inputs=["company"]).metadata is None


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        (np.float64(1.5), 1.5),
        (np.int8(3), 3),
        (np.bool_(True), True),
        (2**63 - 1, 2**63 - 1),
        (2**63, str(2**63)),
        (float("-inf"), "-inf"),
        (pd.Timedelta("1h"), "0 days 01:00:00"),
        ("é" * 512, "é" * 512),
    ],
    ids=repr,
)
def test_metadata_values_are_what_the_service_takes(cell, told):
    """Whatever a cell is, its metadata is a text, a finite number or a truth value, as JSON."""
    df = pd.DataFrame({"company": ["Acme"], "m": pd.Series([cell], dtype=object)})
    (metadata,) = plan_of(df, inputs=["company"], metadata={"m": "m"}).metadata
    assert metadata == {"m": told}
    assert orjson.loads(orjson.dumps(metadata)) == {"m": told}


@pytest.mark.parametrize("cell", ["x" * 513, "\ud800"])
def test_metadata_that_cannot_travel_is_refused_by_row(cell):
    """A text that is too long or no Unicode is refused with its name and label."""
    df = pd.DataFrame({"company": ["Acme", "Globex"], "m": pd.Series(["x", cell], dtype=object)}, index=["a", "b"])
    df["m"] = pd.Series(["x", cell], dtype=object, index=df.index)
    with pytest.raises(InputError, match=r"'m'.*'b'"):
        plan_of(df, inputs=["company"], metadata={"m": "m"})


def test_metadata_names_columns_there_are():
    """An unknown column, one label for two columns, or a name of ours is refused."""
    df = pd.DataFrame([["Acme", 1, 2]], columns=["company", "x", "x"])
    with pytest.raises(UnknownColumnError, match="'nope'"):
        plan_of(df, inputs=["company"], metadata={"m": "nope"})
    with pytest.raises(InputError, match="twice"):
        plan_of(df, inputs=["company"], metadata={"m": "x"})
    wide = pd.DataFrame([["Acme", 1]], columns=pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]))
    with pytest.raises(UnknownColumnError, match="'a', which the frame does not have"):
        plan_of(wide, metadata={"m": "a"})
    assert plan_of(wide, metadata={"m": ("a", "y")}).metadata == [{"m": 1}]
    for name in ("row", "index", "key", "attempt"):
        with pytest.raises(InputError, match="one of ours"):
            plan_of(df, inputs=["company"], metadata={name: "company"})


@pytest.mark.parametrize("betas", ["one", ["one"], ("one",)])
def test_beta_headers_are_names(betas):
    """One name or several are taken."""
    assert make_options({"beta_headers": betas}).beta_headers == ("one",)


def test_a_group_says_whose_it_is():
    """A group's metadata names key version, job, processor and library, within the service's limits."""
    told = group_metadata(job_of(processor="p" * 600), library="1.2.3")
    assert told["library"] == "1.2.3"
    assert told["job"] == job_of(processor="p" * 600).hash
    assert all(len(name) <= 16 and len(str(value)) <= 512 for name, value in told.items())
