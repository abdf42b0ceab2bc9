"""The vendor's own client against the simulator: every message must satisfy its strict response models."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

parallel = pytest.importorskip("parallel")

from parallel_frames.simulator import Failure, Simulator  # noqa: E402 - after the skip

SCHEMA = {
    "type": "object",
    "properties": {
        "capital": {"type": "string"},
        "population": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "languages": {"type": "array", "items": {"type": "string"}},
        "kind": {"type": "string", "enum": ["small", "large"]},
    },
    "required": ["capital", "population", "languages", "kind"],
    "additionalProperties": False,
}
SPEC: Any = {"output_schema": {"type": "json", "json_schema": SCHEMA}}


def strictly(message: BaseModel) -> Any:
    """Validate a parsed message by its own model, which the SDK itself never does, and let no field be unknown."""
    data = message.model_dump(by_alias=True, mode="json")
    validated = type(message).model_validate(data, strict=True)
    assert not unknown_fields(validated)
    return validated


def unknown_fields(message: Any, where: str = "") -> list[str]:
    """List the fields of a message its model doesn't know."""
    found = []
    if isinstance(message, BaseModel):
        found += [f"{where}.{name}" for name in message.model_extra or {}]
        for name in type(message).model_fields:
            found += unknown_fields(getattr(message, name), f"{where}.{name}")
    if isinstance(message, list):
        for n, element in enumerate(message):
            found += unknown_fields(element, f"{where}[{n}]")
    return found


@pytest.fixture
def sim():
    """Give a simulator that knows one input that fails."""
    answers = {"Atlantis": Failure("no such country")}
    with Simulator(answers, latency=0.05, events_honour_include_output=True) as simulator:
        yield simulator


@pytest.fixture
def client(sim):
    """Give the vendor's client, without its own retries."""
    with parallel.Parallel(api_key="any", base_url=sim.url, max_retries=0) as client:
        yield client


def add(client, group, *names, spec=SPEC):
    """Add one run for each name."""
    runs = [{"input": {"country": n}, "processor": "base", "metadata": {"key": n, "n": 1}} for n in names]
    return client.task_group.add_runs(group.task_group_id, inputs=runs, default_task_spec=spec)


def test_a_group_and_its_runs_satisfy_the_models(client):
    """Creating, adding and retrieving give valid messages, with ids in the order sent."""
    group = strictly(client.task_group.create(metadata={"a": "b"}))
    assert group.metadata == {"a": "b"}
    added = strictly(add(client, group, "France", "Spain"))
    assert len(added.run_ids) == 2
    assert added.status.num_task_runs == 2
    assert added.run_cursor is None
    again = strictly(add(client, group, "Italy"))
    assert again.run_cursor is not None
    status = strictly(client.task_group.retrieve(group.task_group_id)).status
    assert status.num_task_runs == 3
    run = strictly(client.task_group.retrieve_run(added.run_ids[0], task_group_id=group.task_group_id))
    assert run.metadata == {"key": "France", "n": 1}


def test_the_event_stream_satisfies_the_models(client):
    """Every event validates, runs end as they should, and the stream ends when no run is active."""
    group = client.task_group.create()
    add(client, group, "France", "Atlantis")
    with client.task_group.events(
        group.task_group_id, extra_query={"include_output": "true", "include_input": "true"}
    ) as stream:
        events = [strictly(event) for event in stream]
    runs = {event.input.input["country"]: event for event in events if event.type == "task_run.state"}
    assert runs["France"].run.status == "completed"
    assert set(runs["France"].output.content) == set(SCHEMA["properties"])
    assert [basis.field for basis in runs["France"].output.basis] == list(SCHEMA["properties"])
    assert runs["Atlantis"].run.status == "failed"
    assert runs["Atlantis"].run.error.message == "no such country"
    assert runs["Atlantis"].output is None
    assert events[-1].type == "task_group_status"
    assert events[-1].status.is_active is False


def test_the_listing_satisfies_the_models(client, sim):
    """The listing shows every run of every status, with inputs and outputs where asked for."""
    group = client.task_group.create()
    add(client, group, "France", "Atlantis")
    sim.wait_until(lambda counts: counts.active == 0)
    sim.speed = 0.001
    add(client, group, "Spain")
    with client.task_group.get_runs(group.task_group_id, include_input=True, include_output=True) as stream:
        events = [strictly(event) for event in stream]
    assert [event.run.status for event in events] == ["completed", "failed", "queued"]
    assert events[0].input.processor == "base"
    with client.task_group.get_runs(group.task_group_id, last_event_id=events[0].event_id) as stream:
        assert [event.run.run_id for event in stream] == [event.run.run_id for event in events[1:]]
    with client.task_group.get_runs(group.task_group_id, status="failed") as stream:
        assert [event.run.status for event in stream] == ["failed"]


def test_a_result_satisfies_the_models(client):
    """The result waits for the run, and a failed run's result is a 404."""
    group = client.task_group.create()
    france, atlantis = add(client, group, "France", "Atlantis").run_ids
    result = strictly(client.task_run.result(france, api_timeout=10))
    assert result.run.status == "completed"
    assert result.output.type == "json"
    with pytest.raises(parallel.NotFoundError, match="no such country"):
        client.task_run.result(atlantis, api_timeout=10)


@pytest.mark.parametrize("schema", [{"type": "text", "description": "A word."}, "A word."])
def test_text_outputs_satisfy_the_models(client, schema):
    """A text schema, or a bare string, gives a text output with one basis named output."""
    run = strictly(client.task_run.create(input="France", processor="lite", task_spec={"output_schema": schema}))
    output = strictly(client.task_run.result(run.run_id)).output
    assert (output.type, [basis.field for basis in output.basis]) == ("text", ["output"])
    assert "Simulated" in output.content


def test_automatic_outputs_bring_their_schema(client):
    """Without a spec the output is JSON and contains its own schema."""
    run = client.task_run.create(input={"country": "France"}, processor="lite")
    output = strictly(client.task_run.result(run.run_id)).output
    assert set(output.output_schema["properties"]) == set(output.content)


def test_element_basis_is_sent_to_those_who_ask(client):
    """With the beta header, list fields have a basis for each element too."""
    group = client.task_group.create()
    beta: Any = ["field-basis-2025-11-25"]
    runs: Any = [{"input": "France", "processor": "base"}]
    added = client.task_group.add_runs(group.task_group_id, inputs=runs, default_task_spec=SPEC, betas=beta)
    output = strictly(client.task_run.result(added.run_ids[0])).output
    fields = [basis.field for basis in output.basis]
    assert fields.count("languages.0") == 1
    assert len(fields) == len(SCHEMA["properties"]) + len(output.content["languages"])


@pytest.mark.parametrize(
    ("body", "error"),
    [({"nonsense": 1}, "UnprocessableEntityError"), ({"metadata": {"k" * 17: 1}}, "UnprocessableEntityError")],
)
def test_refusals_are_the_errors_the_client_knows(client, body, error):
    """A refused body raises the client's own error class."""
    with pytest.raises(getattr(parallel, error)):
        client.task_group.create(extra_body=body)


def test_a_wrong_key_is_an_authentication_error(client):
    """An accepted key is compared, and 401 answered for another."""
    with Simulator(api_key="right") as sim, parallel.Parallel(api_key="wrong", base_url=sim.url) as client:
        with pytest.raises(parallel.AuthenticationError, match="x-api-key"):
            client.task_group.create()
        assert sim.counts.refused == 1
