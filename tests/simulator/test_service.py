"""The service itself: keys, dialects, refusals, limits, credit, accounts."""

from __future__ import annotations

from typing import Any

import pytest

from parallel_frames.simulator import Simulator
from parallel_frames.simulator._limits import RateLimit

BARE = {
    "type": "object",
    "properties": {"capital": {"type": "string"}},
    "required": ["capital"],
    "additionalProperties": False,
}


def schema_of(**properties: Any) -> dict[str, Any]:
    """Return an output schema with these properties."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def nested(depth: int) -> dict[str, Any]:
    """Return an object schema nested this deep, the root included."""
    return schema_of(x={"type": "string"} if depth == 1 else nested(depth - 1))


# -- keys and paths --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"x-api-key": ""}, {"x-api-key": "wrong"}])
def test_a_missing_or_wrong_key_is_401(simulate, headers):
    """Without the right key every endpoint answers 401 with the service's error body."""
    caller = simulate(api_key="right")
    caller.http.headers.pop("x-api-key")
    answer = caller.http.post("/v1/tasks/groups", json={}, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["type"] == "error"
    assert answer.json()["error"]["ref_id"]
    right = caller.http.post("/v1/tasks/groups", json={}, headers={"x-api-key": "right"})
    assert right.status_code == 200


@pytest.mark.parametrize(
    "path", ["/v2/x", "/v1/tasks/groups/tgrp_0", "/v1/tasks/groups/tgrp_0/events", "/v1/tasks/runs/trun_0/result"]
)
def test_what_is_unknown_is_404(simulate, path):
    """Unknown paths, groups and runs answer 404 with the service's error body."""
    answer = simulate().http.get(path)
    assert (answer.status_code, answer.json()["type"]) == (404, "error")


# -- dialects --------------------------------------------------------------------------------------------------------


def seed_group(caller, *inputs, **fields):
    """Create a group in the seed dialect, with runs."""
    body = {"processor": "base", "task_spec": {"output_schema": BARE}}
    group = caller.http.post("/v1beta/tasks/groups", json=body).raise_for_status().json()["taskgroup_id"]
    runs = [{"input": i, **fields} for i in inputs]
    return group, caller.http.post(f"/v1beta/tasks/groups/{group}/runs", json={"runs": runs})


@pytest.mark.parametrize("dialect", ["both", "seed"])
def test_the_seed_dialect_is_spoken(simulate, dialect):
    """The spec stands on the group, runs under "runs", counts under their own names, the list is plain JSON."""
    caller = simulate(dialect=dialect)
    group, added = seed_group(caller, "A", {"country": "B"}, metadata={"row": 1})
    assert len(added.json()["run_ids"]) == 2
    base = f"/v1beta/tasks/groups/{group}"
    events = caller.http.get(f"{base}/events?include_output=true&include_input=true").text
    assert events.count('"type":"task_run.state"') == 2
    assert '"input":"A"' in events
    assert '"metadata":{"row":1}' in events
    assert caller.http.get(base).json()["status"]["completed"] == 2
    listed = caller.http.get(f"{base}/runs").json()["runs"]
    assert [entry["input"] for entry in listed] == ["A", {"country": "B"}]
    assert set(listed[0]["output"]["content"]) == {"capital"}


def test_the_seed_dialect_alone_knows_nothing_else(simulate):
    """With dialect="seed" nothing is under /v1, no run has an address, and published bodies are 422."""
    caller = simulate(dialect="seed")
    group, _ = seed_group(caller, "A")
    assert caller.http.post("/v1/tasks/groups", json={}).status_code == 404
    assert caller.http.get(f"/v1/tasks/groups/{group}").status_code == 404
    assert caller.http.get("/v1beta/tasks/runs/trun_0/result").status_code == 404
    assert caller.http.post("/v1beta/tasks/groups", json={"metadata": {}}).status_code == 422


@pytest.mark.parametrize("prefix", ["/v1", "/v1beta"])
def test_the_published_dialect_alone_refuses_the_seeds_bodies(simulate, prefix):
    """With dialect="published" both prefixes speak it, and a processor on the group is 422."""
    caller = simulate(dialect="published")
    assert caller.http.post(f"{prefix}/tasks/groups", json={}).status_code == 200
    body = {"processor": "base", "task_spec": {"output_schema": BARE}}
    refused = caller.http.post(f"{prefix}/tasks/groups", json=body)
    assert refused.status_code == 422
    assert {p["loc"][-1] for p in refused.json()["detail"]} == {"processor", "task_spec"}
    assert caller.sim.counts.groups == 1


def test_the_seeds_open_questions_are_options(simulate):
    """Ids, metadata and inputs may be missing, inputs may be whole runs, and the list may be a stream."""
    caller = simulate(
        seed_answer_ids=False, seed_echo_metadata=False, seed_input_as="run", seed_list_as="sse", latency=0
    )
    group, added = seed_group(caller, "A", metadata={"row": 1})
    assert added.json() == {"status": "accepted"}
    caller.sim.wait_until(lambda counts: counts.completed == 1)
    listed = caller.http.get(f"/v1beta/tasks/groups/{group}/runs").text
    assert listed.startswith("data: ")
    assert '"input":{"input":"A"}' in listed
    assert "row" not in listed
    silent = simulate(seed_echo_input=False)
    group, _ = seed_group(silent, "A")
    assert '"input"' not in silent.http.get(f"/v1beta/tasks/groups/{group}/events?include_input=true").text


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"input": 7},
        {"processor": None},
        {"processor": ""},
        {"metadata": {"k" * 17: "v"}},
        {"metadata": {"k": "v" * 513}},
        {"metadata": {"k": ["v"]}},
        {"metadata": "k"},
        {"unknown": 1},
        {"input": "x" * 25_000},
        {"task_spec": {"output_schema": {"type": "json", "json_schema": {"type": "string"}}}},
        {"source_policy": {"include_domains": ["a.com"] * 201}},
    ],
)
def test_runs_the_service_would_not_take_are_422(simulate, change):
    """A wrong run refuses its whole batch, names its position, and creates nothing."""
    caller = simulate()
    group = caller.create_group()
    good = {"input": "A", "processor": "base"}
    answer = caller.http.post(f"/v1/tasks/groups/{group}/runs", json={"inputs": [good, {**good, **change}]})
    assert answer.status_code == 422
    assert {tuple(p["loc"][:3]) for p in answer.json()["detail"]} == {("body", "inputs", 1)}
    assert caller.sim.counts.runs == 0


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "array", "items": {"type": "string"}},
        {**BARE, "anyOf": []},
        schema_of(x={"type": "string", "format": "date"}),
        schema_of(x={"type": "array", "items": {"type": "string", "pattern": "a"}}),
        schema_of(x={"type": "null"}),
        schema_of(**{f"x{n}": {"type": "string"} for n in range(101)}),
        schema_of(x={"enum": [str(n) for n in range(501)]}),
        schema_of(x={"enum": [f"{n:040}" for n in range(251)]}),
        schema_of(x={"type": "string", "description": "x" * 15_000}),
        nested(6),
    ],
)
@pytest.mark.parametrize("seed", [False, True])
def test_output_schemas_beyond_the_limits_are_422(simulate, schema, seed):
    """Every documented limit of output schemas is enforced, in both dialects."""
    caller = simulate()
    if seed:
        body = {"processor": "base", "task_spec": {"output_schema": schema}}
        answer = caller.http.post("/v1beta/tasks/groups", json=body)
    else:
        spec = {"output_schema": {"type": "json", "json_schema": schema}}
        answer = caller.add(caller.create_group(), "A", default_task_spec=spec)
    assert answer.status_code == 422, answer.text


@pytest.mark.parametrize(
    "schema",
    [
        nested(5),
        schema_of(format={"type": "string"}, pattern={"type": ["string", "null"]}),
        schema_of(x={"anyOf": [{"type": "string"}, {"type": "null"}]}),
    ],
)
def test_output_schemas_within_the_limits_are_taken(simulate, schema):
    """Limits aren't narrower than documented: a property may be named like a keyword."""
    caller = simulate()
    spec = {"output_schema": {"type": "json", "json_schema": schema}}
    assert caller.add(caller.create_group(), "A", default_task_spec=spec).status_code == 200


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"null", b'{"inputs": 1}', b'{"runs": []}'])
def test_bodies_that_are_none_are_422(simulate, body):
    """What is not a batch is refused, never an internal error."""
    caller = simulate()
    assert caller.http.post(f"/v1/tasks/groups/{caller.create_group()}/runs", content=body).status_code == 422


def test_a_thousand_runs_fit_and_one_more_does_not(simulate):
    """A batch has at most 1,000 runs."""
    caller = simulate()
    group = caller.create_group()
    assert caller.add(group, *map(str, range(1001))).status_code == 422
    assert caller.add(group, *map(str, range(1000))).status_code == 200


def test_a_refused_processor_is_403(simulate):
    """A processor the account may not use is refused, and so is a name that there is not, in capitals for instance."""
    caller = simulate(refused_processors=["ultra"], more_processors=["brand-new"])
    group = caller.create_group()
    assert caller.add(group, "A", processor="ultra").status_code == 403
    for unknown in ("bsae", "Base", "base-slow"):
        refusal = caller.add(group, "A", processor=unknown)
        assert refusal.status_code == 422
        assert unknown in refusal.text
    for known in ("brand-new", "brand-new-fast", "core-fast"):
        assert caller.add(group, "A", processor=known).status_code == 200


def test_redundant_fields_and_lax_schemas_draw_warnings(simulate):
    """What the service warns of is on the run."""
    caller = simulate()
    schema = {"type": "object", "properties": {"sources": {"type": "string"}}}
    group = caller.create_group()
    caller.add(group, "A", default_task_spec={"output_schema": {"type": "json", "json_schema": schema}})
    (event,) = caller.outcomes(group)
    assert len(event["run"]["warnings"]) == 3


# -- limits and credit -----------------------------------------------------------------------------------------------


def test_a_batch_beyond_the_rate_limit_is_refused_whole(simulate):
    """429 states how long to wait in simulated seconds, and after that the batch passes."""
    caller = simulate(max_per_minute=3)
    group = caller.create_group()
    assert caller.add(group, "A", "B").status_code == 200
    refused = caller.add(group, "C", "D")
    assert refused.status_code == 429
    assert 59 <= int(refused.headers["retry-after"]) <= 60
    assert caller.add(group, "C").status_code == 200
    caller.sim.advance(60)
    assert caller.add(group, "D", "E", "F").status_code == 200
    assert (caller.sim.counts.rejected, caller.sim.counts.runs, caller.sim.counts.posts) == (1, 6, 4)


@pytest.mark.parametrize(
    ("window", "waits"),
    [
        ("sliding", [None, None, 30.0, 10.0, None]),
        ("fixed", [None, None, 20.0, None, None]),
        ("bucket", [None, None, None, 10.0, None]),
    ],
)
def test_the_three_windows(window, waits):
    """Batches at 10, 30 and 40 s, then at 60 and 70 s, against 1,000 a minute."""
    limit = RateLimit(1000, window=window)
    batches = [(10, 500), (30, 500), (40, 500), (60, 500), (70, 500)]
    found = [limit.take(runs, now=now) for now, runs in batches]
    assert [None if wait is None else round(wait, 6) for wait in found] == waits


def test_no_limit_and_an_impossible_batch():
    """None is no limit; a batch larger than the limit never passes."""
    assert RateLimit(None, window="sliding").take(10**9, now=0) is None
    assert RateLimit(5, window="bucket").take(6, now=0) == 60


def test_credit_is_reserved_by_runs_in_flight(simulate):
    """402 while runs in flight reserve too much; it passes once they finished or money came."""
    caller = simulate(credit=0.10, price=0.01, reserve=5, latency=100)
    group = caller.create_group()
    assert caller.add(group, "A", "B").status_code == 200
    assert caller.add(group, "C").status_code == 402
    caller.sim.advance(200)
    caller.sim.wait_until(lambda counts: counts.completed == 2)
    assert caller.sim.credit == pytest.approx(0.08)
    assert caller.add(group, "C").status_code == 200
    assert caller.add(group, "D").status_code == 402
    caller.sim.top_up(1)
    assert caller.add(group, "D").status_code == 200


# -- accounts --------------------------------------------------------------------------------------------------------


def test_duplicates_are_counted_by_key_and_attempt(simulate):
    """The same key and attempt is a duplicate in any group; another attempt isn't."""
    caller = simulate()
    one, two = caller.create_group(), caller.create_group()
    caller.add(one, "A", metadata={"key": "a", "attempt": "0"})
    caller.add(two, "A", metadata={"key": "a", "attempt": "0"})
    caller.add(two, "A", metadata={"key": "a", "attempt": "1"})
    assert caller.sim.counts.duplicates == 1


def test_duplicates_without_keys_are_counted_by_group_and_input(simulate):
    """Without a key the input decides, whatever the order of its names."""
    caller = simulate()
    one, two = caller.create_group(), caller.create_group()
    caller.add(one, {"a": 1, "b": 2}, {"b": 2, "a": 1})
    caller.add(two, {"a": 1, "b": 2})
    assert caller.sim.counts.duplicates == 1


def test_the_books_are_whole(simulate):
    """Runs, requests and groups can be asked for, as frozen values in order."""
    caller = simulate({"A": {"capital": "x"}})
    group = caller.create_group(metadata={"job": "j"})
    caller.add(group, "A", metadata={"row": 1})
    caller.outcomes(group)
    (run,) = caller.sim.runs()
    assert (run.group_id, run.input, run.processor, run.metadata) == (group, "A", "base", {"row": 1})
    assert (run.status, run.output["content"]) == ("completed", {"capital": "x"})
    assert run.created_at < run.finished_at
    assert [seen.endpoint for seen in caller.sim.requests()] == ["create_group", "add_runs", "events"]
    assert caller.sim.requests()[-1].query == "include_output=true"
    assert caller.sim.group_ids == [group]
    with pytest.raises(AttributeError):
        run.status = "failed"


def test_foreign_runs_are_in_the_group_but_not_in_the_accounts(simulate):
    """Another client's run is counted apart, and shows in streams and listings."""
    caller = simulate()
    group = caller.create_group()
    run_id = caller.sim.add_foreign_run(group, metadata={"who": "else"})
    assert [event["run"]["run_id"] for event in caller.outcomes(group)] == [run_id]
    assert (caller.sim.counts.runs, caller.sim.counts.foreign) == (0, 1)
    assert caller.sim.runs()[0].foreign


@pytest.mark.parametrize("wrong", [{"dialect": "both?"}, {"window": "round"}, {"speed": 0}, {"unknown_cursor": 1}])
def test_wrong_options_are_refused_at_once(wrong):
    """An option with an impossible value is a ValueError."""
    with pytest.raises(ValueError, match="must be"):
        Simulator(**wrong)
