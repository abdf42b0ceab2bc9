"""One enrichment over both descriptions of the service, and over what each leaves open."""

from __future__ import annotations

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import RejectedError
from parallel_frames.simulator import Failure, Simulator

SCHEMA = {"name": "the full name", "size": int}


def answer(sent):
    """Answer with what was sent, or fail."""
    company = sent if isinstance(sent, str) else sent["company"]
    return Failure("no luck") if company == "c3" else {"name": company, "size": len(company)}


def check(out, rows):
    """Check that each row has its own answer, and the failed one its reason."""
    expected = [None if name == "c3" else name for name in out["company"]]
    assert [None if pd.isna(name) else name for name in out["name"]] == expected
    assert out["parallel_status"].tolist() == ["failed" if name is None else "completed" for name in expected]
    assert out.loc[out["company"] == "c3", "parallel_error"].tolist() == ["no luck"]
    assert len(out) == rows


SERVICES = {
    "both": {},
    "published": {"dialect": "published"},
    "string content": {"string_content": True},
    "bare outputs": {"output_as": "bare"},
    "bare outputs not in the stream": {"output_as": "bare", "events_honour_include_output": False},
    "outputs not in the stream": {"events_honour_include_output": False},
    "seed": {"dialect": "seed"},
    "seed, list as SSE": {"dialect": "seed", "seed_list_as": "sse"},
    "seed, no ids": {"dialect": "seed", "seed_answer_ids": False},
    "seed, no ids, list as SSE": {"dialect": "seed", "seed_answer_ids": False, "seed_list_as": "sse"},
    "seed, no metadata": {"dialect": "seed", "seed_echo_metadata": False},
    "seed, no ids and no metadata": {"dialect": "seed", "seed_answer_ids": False, "seed_echo_metadata": False},
    "seed, echoed runs": {
        "dialect": "seed",
        "seed_answer_ids": False,
        "seed_echo_metadata": False,
        "seed_input_as": "run",
    },
    "seed, no input": {"dialect": "seed", "seed_echo_input": False, "seed_answer_ids": False},
    "seed, string content": {"dialect": "seed", "string_content": True},
    "seed, bare outputs": {"dialect": "seed", "output_as": "bare"},
    "seed, bare outputs, list as SSE": {"dialect": "seed", "output_as": "bare", "seed_list_as": "sse"},
    "seed, bare outputs as text": {"dialect": "seed", "output_as": "bare", "string_content": True},
}


@pytest.mark.parametrize("rows", [6, 150])
@pytest.mark.parametrize("name", SERVICES)
def test_every_service_answers_every_row_once(name, rows, tmp_path):
    """Found out by itself, each dialect and each gap in it gives every row its answer, and pays for each row once."""
    df = pd.DataFrame({"company": [f"c{n}" for n in range(rows)]})
    with pf.offline(answers=answer, latency=(0, 2), speed=20, **SERVICES[name]) as sim:
        out = df.parallel.enrich(SCHEMA, checkpoint=tmp_path)
        check(out, rows)
        again = df.parallel.enrich(SCHEMA, checkpoint=tmp_path, retry_failed=False)
    pd.testing.assert_frame_equal(again, out)
    assert (sim.counts.runs, sim.counts.duplicates) == (rows, 0)


@pytest.mark.parametrize(
    ("api", "dialect", "prefix"),
    [
        ("published", "published", "/v1/"),
        ("published-v1beta", "published", "/v1beta/"),
        ("published", "both", "/v1/"),
        ("published-v1beta", "both", "/v1beta/"),
        ("seed", "seed", "/v1beta/"),
        ("seed", "both", "/v1beta/"),
        ("auto", "both", "/v1/"),
        ("auto", "published", "/v1/"),
    ],
)
def test_a_named_dialect_is_spoken_from_the_first_request(api, dialect, prefix, client_of):
    """api= fixes paths and bodies; nothing is tried that the service refuses."""
    df = pd.DataFrame({"company": [f"c{n}" for n in range(6)]})
    with Simulator(answers=answer, latency=0, dialect=dialect) as sim:
        out = df.parallel.enrich(SCHEMA, client=client_of(sim, api=api), checkpoint=None)
        check(out, 6)
    assert {request.path.partition("tasks")[0] for request in sim.requests()} == {prefix}
    assert sim.counts.refused == 0


def test_the_dialect_is_remembered_with_the_checkpoint(tmp_path, client_of):
    """What was found out for a job's first group is not found out again by the next process."""
    df = pd.DataFrame({"company": [f"c{n}" for n in range(12)]})
    with Simulator(answers=answer, latency=0, dialect="seed") as sim:
        df.head(6).parallel.enrich(SCHEMA, client=client_of(sim), checkpoint=tmp_path)
        refused = sim.counts.refused
        check(df.parallel.enrich(SCHEMA, client=client_of(sim), checkpoint=tmp_path, retry_failed=False), 12)
    assert (sim.counts.refused, sim.counts.groups, sim.counts.runs) == (refused, 1, 12)


@pytest.mark.parametrize(("api", "dialect"), [("published", "seed"), ("seed", "published")])
def test_the_wrong_dialect_is_told_and_pays_nothing(api, dialect, client_of):
    """A dialect that the service does not speak is refused, as an error, before any run."""
    df = pd.DataFrame({"company": ["Acme"]})
    with Simulator(latency=0, dialect=dialect) as sim, pytest.raises(RejectedError, match=r"40\d|422"):
        df.parallel.enrich(SCHEMA, client=client_of(sim, api=api))
    assert sim.counts.runs == 0


@pytest.mark.parametrize("dialect", ["published", "seed"])
def test_bare_inputs_and_templates_travel_in_both(dialect):
    """A text as input is a text in either dialect."""
    df = pd.DataFrame({"company": ["c1", "c2"]})
    with pf.offline(answers=answer, latency=0, dialect=dialect) as sim:
        out = df.parallel.enrich(SCHEMA, inputs="company")
        df.parallel.enrich(SCHEMA, inputs="Tell of {company}.")
    assert out["name"].tolist() == ["c1", "c2"]
    assert [run.input for run in sim.runs()] == ["c1", "c2", "Tell of c1.", "Tell of c2."]


def test_a_bare_text_is_an_answer(tmp_path):
    """A text that was asked for may come without anything around it."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    with pf.offline(lambda sent: f"about {sent['company']}", latency=0, output_as="bare"):
        out = df.parallel.enrich("What the company does", checkpoint=tmp_path)
    assert out["output"].tolist() == ["about Acme", "about Globex"]


@pytest.mark.parametrize("embedded", [True, False])
@pytest.mark.parametrize("dialect", ["published", "seed"])
def test_a_field_called_content_is_a_field(dialect, embedded):
    """A bare answer is not mistaken for a wrapper, in events, listings and results alike."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    schema, answer = {"content": str, "type": str}, {"content": "news", "type": "json"}
    options = {"dialect": dialect, "output_as": "bare", "events_honour_include_output": embedded}
    with pf.offline(lambda _: answer, latency=0, **options):
        out = df.parallel.enrich(schema, checkpoint=None)
        assert out[["content", "type"]].to_numpy().tolist() == [["news", "json"]] * 2
        joined = df.parallel.collect(pf.last().group_ids[0], schema)
    assert joined["content"].tolist() == ["news"] * 2
