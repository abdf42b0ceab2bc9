"""Bodies and answers of both dialects: what is sent satisfies the vendor's models, what comes is read or refused."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest

from parallel_frames._model import UNREADABLE, GroupStatus, Job, Options, OtherEvent, OutgoingRun, RunEvent, RunId
from parallel_frames._service import DIALECTS, PUBLISHED, PUBLISHED_V1BETA, SEED, possible_inputs, read_outcome
from parallel_frames._service._dialects import seed_spec
from parallel_frames._service._messages import (
    TornError,
    UnreadableError,
    excerpt,
    read_batch,
    read_event,
    read_group_id,
    read_json,
    read_listing,
    read_run,
    read_status,
)

SCHEMA = {
    "type": "object",
    "properties": {"capital": {"type": "string", "description": "the capital city"}},
    "required": ["capital"],
    "additionalProperties": False,
}
SPEC = {"output_schema": {"type": "json", "json_schema": SCHEMA}}
EVERY_OPTION = Options(
    source_policy={"include_domains": ["example.org"], "after_date": "2024-01-01"},
    advanced_settings={"location": "us"},
    mcp_servers=[{"type": "url", "url": "https://mcp.example.org", "name": "m", "headers": {"authorization": "x"}}],
    previous_interaction_id="int_1",
    enable_events=False,
    webhook={"url": "https://hook.example.org", "event_types": ["task_run.status"]},
    beta_headers=("field-basis-2025-11-25",),
)
RUNS = [
    OutgoingRun(b'{"country":"France"}', {"row": "0", "key": "0" * 32, "attempt": "0"}),
    OutgoingRun(b'"Research Japan"', {"row": "1", "index": "jp", "key": "f" * 32, "attempt": "1"}),
]
RUN = RunId("0" * 32, 0)


def job(options: Options = EVERY_OPTION, spec: dict[str, Any] = SPEC) -> Job:
    """Return a job with these options."""
    return Job(identity={}, hash="h", processor="core", spec=spec, options=options)


def run_state(status: str = "completed", **more: Any) -> dict[str, Any]:
    """Return a published RUN_STATE with every documented field."""
    return {
        "run_id": "trun_1",
        "interaction_id": "int_1",
        "status": status,
        "is_active": status in ("queued", "running", "cancelling"),
        "processor": "core",
        "metadata": {"key": "0" * 32, "attempt": "0"},
        "taskgroup_id": "tgrp_1",
        "created_at": "2026-01-01T00:00:00Z",
        "modified_at": "2026-01-01T00:01:00Z",
        "warnings": [{"type": "spec_validation_warning", "message": "odd", "detail": None}],
        **more,
    }


OUTPUT = {
    "type": "json",
    "content": {"capital": "Paris"},
    "basis": [{"field": "capital", "reasoning": "r", "citations": [{"url": "https://a", "title": "t"}]}],
    "mcp_tool_calls": [{"tool_call_id": "c", "server_name": "m", "tool_name": "t", "arguments": "{}"}],
}
SENT = {"input": {"country": "France"}, "processor": "core", "metadata": {"key": "0" * 32, "attempt": "0"}}


def an_event(**more: Any) -> dict[str, Any]:
    """Return a published event of a completed run."""
    return {
        "type": "task_run.state",
        "event_id": "ev_1",
        "run": run_state(),
        "input": SENT,
        "output": OUTPUT,
        **more,
    }


def outcome_of(event: dict[str, Any], *, asked: Any = None) -> Any:
    """Return the outcome an event is read as, in a job that asked so."""
    run = read_run(json.loads(json.dumps(event)))
    assert run is not None
    return read_outcome(run, RUN, group_id="tgrp_1", asked=asked)


# -- what is sent ------------------------------------------------------------------------------------------------


class TestBodies:
    @pytest.mark.parametrize("dialect", [PUBLISHED, PUBLISHED_V1BETA], ids=lambda dialect: dialect.name)
    @pytest.mark.parametrize("options", [Options(), EVERY_OPTION], ids=["no options", "every option"])
    def test_runs_satisfy_the_vendors_parameters(self, dialect, options):
        """Each run of a published batch is a RunInputParam, with nothing in it that is unknown there."""
        types = pytest.importorskip("parallel.types")
        pydantic = pytest.importorskip("pydantic")
        from parallel.types.run_input_param import RunInputParam

        body = json.loads(dialect.runs_body(job(options), runs=RUNS))
        assert body.keys() == {"default_task_spec", "inputs"}
        assert body.keys() <= types.TaskGroupAddRunsParams.__annotations__.keys()
        pydantic.TypeAdapter(types.TaskSpecParam).validate_python(body["default_task_spec"])
        for run in body["inputs"]:
            pydantic.TypeAdapter(RunInputParam).validate_python(run)
            assert run.keys() <= RunInputParam.__annotations__.keys()

    def test_a_published_group_satisfies_the_vendors_parameters(self):
        """A group is created with its metadata and nothing else."""
        types = pytest.importorskip("parallel.types")
        pydantic = pytest.importorskip("pydantic")
        body = json.loads(PUBLISHED.group_body(job(), metadata={"job": "h", "version": 1}))
        assert body == {"metadata": {"job": "h", "version": 1}}
        pydantic.TypeAdapter(types.TaskGroupCreateParams).validate_python(body)

    def test_a_published_batch_holds_inputs_processor_options_and_metadata(self):
        """Inputs are in the order given, as the JSON they are, each with its own metadata and the job's options."""
        body = json.loads(PUBLISHED.runs_body(job(), runs=RUNS))
        assert body["default_task_spec"] == SPEC
        assert [run["input"] for run in body["inputs"]] == [{"country": "France"}, "Research Japan"]
        assert [run["metadata"] for run in body["inputs"]] == [run.metadata for run in RUNS]
        for run in body["inputs"]:
            assert run["processor"] == "core"
            assert {name: run[name] for name in EVERY_OPTION.on_the_wire()} == EVERY_OPTION.on_the_wire()
            assert "beta_headers" not in run

    def test_a_seed_group_carries_the_bare_schema_and_the_processor(self):
        """The seed's group holds what its runs share, the output schema without the published wrapping."""
        body = json.loads(SEED.group_body(job(), metadata={"job": "h"}))
        assert body == {"processor": "core", "task_spec": {"output_schema": SCHEMA}}

    def test_a_seed_batch_holds_runs_with_input_and_metadata(self):
        """Neither a spec nor a processor is repeated in a run."""
        body = json.loads(SEED.runs_body(job(Options()), runs=RUNS))
        assert body == {"runs": [{"input": json.loads(run.input), "metadata": run.metadata} for run in RUNS]}

    @pytest.mark.parametrize("output", ["a sentence", {"type": "text", "description": "d"}, {"type": "auto"}, SCHEMA])
    def test_a_seed_spec_keeps_what_is_not_wrapped(self, output):
        """Only a json_schema is unwrapped, and the rest of the spec stays."""
        spec = {"output_schema": output, "input_schema": {"type": "object"}}
        assert seed_spec(spec) == spec

    @pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
    def test_an_empty_batch_is_still_json(self, dialect):
        """No run, no comma."""
        body = json.loads(dialect.runs_body(job(), runs=[]))
        assert body["runs" if dialect is SEED else "inputs"] == []

    def test_paths_begin_where_the_dialect_does(self):
        """Groups live under the dialect's prefix, results of the published ones under /v1."""
        assert PUBLISHED.group_path() == "/v1/tasks/groups"
        assert PUBLISHED_V1BETA.group_path("tgrp_1", "runs") == "/v1beta/tasks/groups/tgrp_1/runs"
        assert SEED.group_path("tgrp_1") == "/v1beta/tasks/groups/tgrp_1"
        assert PUBLISHED.result_path("trun_1") == "/v1/tasks/runs/trun_1/result"
        assert SEED.result_path("trun_1") == "/v1beta/tasks/runs/trun_1/result"

    def test_no_id_can_leave_its_place_in_a_path(self):
        """Whatever a group or run is called, it is one step of the path."""
        assert PUBLISHED.group_path("a/../b?c#d e", "runs") == "/v1/tasks/groups/a%2F..%2Fb%3Fc%23d%20e/runs"
        assert PUBLISHED.result_path("a/b\n") == "/v1/tasks/runs/a%2Fb%0A/result"


# -- answers that are JSON -----------------------------------------------------------------------------------------


class TestJson:
    @pytest.mark.parametrize(
        ("text", "value"),
        [
            (rb'{"a": "half \ud83d"}', {"a": "half \ufffd"}),
            (rb'{"a": "whole \ud83d\ude00"}', {"a": "whole 😀"}),
            (b'{"a": NaN, "b": -Infinity, "c": 1e999}', {"a": None, "b": None, "c": None}),
            (b'{"a": "\xff"}', {"a": "\ufffd"}),
            (b'{"a": "tab\there"}', {"a": "tab\there"}),
            (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
            (b'{"a": 123456789012345678901234567890, "b": NaN}', {"a": 1.2345678901234568e29, "b": None}),
        ],
        ids=["half an emoji", "an emoji", "no numbers", "no UTF-8", "control character", "mark", "huge integer"],
    )
    def test_what_is_common_in_the_wild_is_forgiven(self, text, value):
        """An answer that is paid for is not lost to half a character or a NaN."""
        assert read_json(text) == value

    @pytest.mark.parametrize("text", [b"", b"  ", b'{"run_ids": ["a', b"[1, 2", b'{"a": 1}x'])
    def test_json_that_breaks_off_is_torn(self, text):
        """What begins like JSON, or holds nothing, may come whole the next time."""
        with pytest.raises(TornError, match="expected JSON"):
            read_json(text)

    @pytest.mark.parametrize("text", [b"<html>no</html>", b"upstream error", b"\x1f\x8b\x08"])
    def test_what_is_no_json_is_unreadable_and_not_torn(self, text):
        """A page or a sentence stays what it is."""
        with pytest.raises(UnreadableError) as caught:
            read_json(text)
        assert not isinstance(caught.value, TornError)

    @pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
    def test_deep_nesting_is_refused_and_overflows_nothing(self, bracket):
        """A hundred thousand brackets are unreadable, closed or not."""
        close = {b"[": b"]", b'{"a":': b"}"}[bracket]
        for text in (bracket * 100_000, bracket * 100_000 + b"1" + close * 100_000):
            with pytest.raises(UnreadableError):
                read_json(text)
            assert read_event(text) == OtherEvent("malformed", None, excerpt(text))

    def test_an_excerpt_is_short_and_on_one_line(self):
        """Two hundred characters at most, white space collapsed, bytes that are no text replaced."""
        assert excerpt(b"<html>\n  <body>\xff</body>") == "'<html> <body>\ufffd</body>'"
        assert len(excerpt(b"x" * 10_000)) < 210


# -- groups --------------------------------------------------------------------------------------------------------


class TestGroups:
    def test_a_group_id_is_read(self):
        """Published and seed answers name it the same."""
        body = orjson.dumps({"taskgroup_id": "tgrp_1", "status": {}})
        for dialect in DIALECTS.values():
            assert read_group_id(body, dialect=dialect) == "tgrp_1"

    @pytest.mark.parametrize("body", [b"{}", b"[]", b'{"taskgroup_id": ""}', b'{"taskgroup_id": 5}', b"null", b"<p>"])
    def test_no_group_id_is_unreadable(self, body):
        """An answer without one is not this service's."""
        with pytest.raises(UnreadableError):
            read_group_id(body, dialect=PUBLISHED)

    def test_a_published_group_has_a_status(self):
        """Under the path both dialects share, a group without a status is not taken for a published one."""
        with pytest.raises(UnreadableError, match="not the published dialect"):
            read_group_id(b'{"taskgroup_id": "tgrp_1"}', dialect=PUBLISHED_V1BETA)
        assert read_group_id(b'{"taskgroup_id": "tgrp_1"}', dialect=SEED) == "tgrp_1"

    @pytest.mark.parametrize(
        "body",
        [
            {"run_ids": ["a", "b"], "status": {}, "run_cursor": None},
            {"runs": [{"run_id": "a"}, {"run_id": "b", "status": "queued"}]},
            {"runs": ["a", "b"]},
        ],
        ids=["published", "runs as objects", "runs as ids"],
    )
    def test_run_ids_are_read_in_order(self, body):
        """Wherever they are, they keep the order of the answer."""
        assert read_batch(orjson.dumps(body))[0] == ["a", "b"]

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"status": "accepted"},
            {"run_ids": None},
            {"run_ids": "ab"},
            {"run_ids": ["a", None]},
            {"run_ids": ["a", ""]},
            {"run_ids": ["a", 5]},
            {"run_ids": ["a", "a"]},
            {"runs": [{"run_id": "a"}, {}]},
            {"runs": [{"run_id": "a"}, None]},
        ],
    )
    def test_ids_that_cannot_be_told_apart_are_none(self, body):
        """Missing, empty, odd or repeated ids prove nothing."""
        assert read_batch(orjson.dumps(body))[0] == []

    @pytest.mark.parametrize("body", [b"[]", b"null", b'"a"', b"5", b"", b"<html>"])
    def test_an_answer_that_is_no_object_is_unreadable(self, body):
        """Ids, status and listing are read from objects (a listing from a list too)."""
        for read in (read_batch, lambda text: read_status("tgrp_1", text)):
            with pytest.raises(UnreadableError):
                read(body)


class TestStatus:
    def test_the_published_status_is_read_as_the_vendor_models_it(self):
        """Counts, total, activity and metadata of a group that satisfies the vendor's model."""
        types = pytest.importorskip("parallel.types")
        group = {
            "taskgroup_id": "tgrp_1",
            "created_at": "2026-01-01T00:00:00Z",
            "metadata": {"job": "h", "n": 1, "b": True},
            "status": {
                "num_task_runs": 7,
                "task_run_status_counts": {"queued": 1, "running": 2, "completed": 3, "failed": 1},
                "is_active": True,
                "status_message": None,
                "modified_at": None,
            },
        }
        types.TaskGroup.model_validate(group, strict=True)
        status = read_status("tgrp_1", orjson.dumps(group))
        counts = {"queued": 1, "running": 2, "completed": 3, "failed": 1}
        assert status == GroupStatus("tgrp_1", 7, counts, is_active=True, metadata={"job": "h", "n": 1, "b": True})

    @pytest.mark.parametrize(
        "body",
        [
            {"pending": 1, "running": 1, "completed": 2},
            {"counts": {"pending": 1, "running": 1, "completed": 2}},
            {"status": {"pending": 1, "running": 1, "completed": 2}},
            {"status": {"counts": {"pending": 1, "running": 1, "completed": 2}}},
            {"status": "running", "counts": {"pending": 1, "running": 1, "completed": 2}},
            {"run_counts": {"pending": 1, "running": 1, "completed": 2}},
            {"progress": {"by_state": {"pending": 1, "running": 1, "completed": 2}}},
            {"status": {"task_run_status_counts": {"queued": 1, "running": 1, "completed": 2}}},
            {"task_run_status_counts": {"queued": 1, "running": 1, "completed": 2, "new_word": 9}, "num_task_runs": 4},
            {"metadata": {"completed": 99}, "counts": {"pending": 1, "running": 1, "completed": 2}},
            {"metadata": {"completed": 99}, "state": {"pending": 1, "running": 1, "completed": 2}},
            {"counts": {"pending": 1, "queued": 0, "running": 1, "completed": 2}},
            {"counts": {"PENDING": 1, "Running": 1, "COMPLETED": 2}},
            {"state": {"QUEUED": 1, "RUNNING": 1, "Completed": 2}},
        ],
    )
    def test_counts_are_found_wherever_they_stand(self, body):
        """The seed leaves the place open; pending is what the published dialect calls queued."""
        status = read_status("tgrp_1", orjson.dumps({"taskgroup_id": "tgrp_1", **body}))
        assert (status.runs, status.counts) == (4, {"queued": 1, "running": 1, "completed": 2})
        assert status.is_active

    def test_pending_and_queued_add_up(self):
        """Two words for one state are one count."""
        assert read_status("g", b'{"counts": {"pending": 2, "queued": 3}}').counts == {"queued": 5}

    @pytest.mark.parametrize(
        ("counts", "active"),
        [({}, False), ({"completed": 5}, False), ({"action_required": 1}, True), ({"cancelling": 1}, True)],
    )
    def test_activity_follows_from_the_counts_where_it_is_not_said(self, counts, active):
        """Whatever may still change is active."""
        assert read_status("g", orjson.dumps({"counts": counts})).is_active is active

    def test_an_empty_group_has_no_runs(self):
        """A group without runs is readable."""
        body = b'{"status": {"num_task_runs": 0, "task_run_status_counts": {}, "is_active": false}}'
        assert read_status("g", body) == GroupStatus("g", 0, {}, is_active=False, metadata={})

    @pytest.mark.parametrize("body", [{}, {"status": "running"}, {"num_task_runs": True}, {"completed": "3"}])
    def test_a_body_without_counts_is_unreadable(self, body):
        """Nothing to count with is no status."""
        with pytest.raises(UnreadableError, match="expected counts of runs"):
            read_status("g", orjson.dumps(body))

    def test_odd_metadata_is_none(self):
        """What is not a mapping is left out."""
        assert read_status("g", b'{"counts": {"failed": 1}, "metadata": ["x"]}').metadata == {}


# -- events and listings -------------------------------------------------------------------------------------------


class TestEvents:
    def test_a_published_event_is_read_as_the_vendor_models_it(self):
        """Every field of an event that satisfies the vendor's model arrives."""
        types = pytest.importorskip("parallel.types")
        types.TaskRunEvent.model_validate(an_event(), strict=True)
        event = read_event(orjson.dumps(an_event()))
        assert event == RunEvent(
            run_id="trun_1",
            status="completed",
            event_id="ev_1",
            metadata={"key": "0" * 32, "attempt": "0"},
            input=SENT,
            output=OUTPUT,
            error=None,
            processor="core",
            warnings=run_state()["warnings"],
            created_at="2026-01-01T00:00:00Z",
            modified_at="2026-01-01T00:01:00Z",
        )

    def test_an_event_with_everything_at_the_top_is_read(self):
        """The seed's run is the event itself, with a bare input."""
        event = read_event(
            orjson.dumps(
                {
                    "type": "task_run.state",
                    "event_id": "ev_1",
                    "run_id": "trun_1",
                    "status": "completed",
                    "metadata": {"key": "k"},
                    "input": {"input": "x", "country": "France"},
                    "output": OUTPUT,
                }
            )
        )
        assert isinstance(event, RunEvent)
        assert (event.run_id, event.event_id, event.metadata) == ("trun_1", "ev_1", {"key": "k"})
        assert possible_inputs(event) == [{"input": "x", "country": "France"}, "x"]
        assert event.output == OUTPUT

    def test_metadata_may_stand_with_the_input(self):
        """Where a run carries none, that of the run as it was sent is taken."""
        event = read_event(orjson.dumps(an_event(run=run_state(metadata=None))))
        assert isinstance(event, RunEvent)
        assert event.metadata == SENT["metadata"]

    def test_a_column_named_metadata_is_not_the_runs_metadata(self):
        """A bare input that happens to hold that name identifies no run."""
        bare = {"metadata": {"key": "k"}, "country": "France"}
        event = read_event(orjson.dumps(an_event(run=run_state(metadata=None), input=bare)))
        assert isinstance(event, RunEvent)
        assert event.metadata is None
        assert possible_inputs(event) == [bare]

    @pytest.mark.parametrize("metadata", [[], "x", 0, ["key"], True])
    def test_odd_metadata_is_none(self, metadata):
        """What is not a mapping identifies no run."""
        event = read_event(orjson.dumps(an_event(run=run_state(metadata=metadata), input=None)))
        assert isinstance(event, RunEvent)
        assert event.metadata is None

    def test_pending_is_queued(self):
        """The seed's word for a run that has not begun."""
        event = read_event(b'{"type": "task_run.state", "run_id": "r", "status": "pending"}')
        assert isinstance(event, RunEvent)
        assert event.status == "queued"

    def test_an_event_without_a_type_that_tells_of_a_run_is_one(self):
        """Where the seed's example has no type, the run counts."""
        assert isinstance(read_event(b'{"run_id": "r", "status": "failed"}'), RunEvent)

    def test_times_that_are_no_text_are_none(self):
        """What is stored in a column of texts is a text."""
        event = read_event(orjson.dumps(an_event(run=run_state(created_at=1700000000, modified_at={"at": 5}))))
        assert isinstance(event, RunEvent)
        assert (event.created_at, event.modified_at) == (None, None)

    def test_progress_and_unknown_types_keep_their_cursor(self):
        """What is not about a run is kept for its type and event id."""
        types = pytest.importorskip("parallel.types")
        status = {"num_task_runs": 1, "task_run_status_counts": {"queued": 1}, "is_active": True}
        progress = {"type": "task_group_status", "event_id": "ev_2", "status": status}
        types.TaskGroupStatusEvent.model_validate(progress, strict=True)
        assert read_event(orjson.dumps(progress)) == OtherEvent("task_group_status", "ev_2", None)
        assert read_event(b'{"type": "new.thing", "event_id": "ev_3"}') == OtherEvent("new.thing", "ev_3", None)

    @pytest.mark.parametrize(
        ("error", "message"),
        [
            ({"ref_id": "ref_1", "message": "trouble"}, "trouble [reference ref_1]"),
            ({"message": "trouble"}, "trouble"),
            ("trouble", "trouble"),
            ({"code": 5}, """'{"type":"error","error":{"code":5}}'"""),
        ],
    )
    def test_an_error_event_says_what_is_wrong(self, error, message):
        """The service's words and its reference; or the event itself where it has none."""
        assert read_event(orjson.dumps({"type": "error", "error": error})) == OtherEvent("error", None, message)

    def test_an_error_event_is_short(self):
        """A page of text is cut."""
        event = read_event(orjson.dumps({"type": "error", "error": {"message": "x" * 10_000}}))
        assert isinstance(event, OtherEvent)
        assert event.message == "x" * 500

    @pytest.mark.parametrize(
        "data",
        [
            *(b"", b"{", b"[]", b"null", b"5", b'"x"', b"hello", b"{}", b'{"type": 5}', b'{"type": "task_run.state"}'),
            b'{"type": "task_run.state", "run": {"run_id": 5, "status": "failed"}}',
            b'{"run": {"run_id": "r"}}',
        ],
    )
    def test_what_cannot_be_read_is_malformed(self, data):
        """No event is an exception."""
        event = read_event(data)
        assert isinstance(event, OtherEvent)
        assert event.type == "malformed"

    def test_an_event_with_half_a_character_is_an_event(self):
        """An excerpt that was cut within an emoji does not cost the row."""
        data = orjson.dumps(an_event()).replace(b"Paris", rb"Paris \ud83d")
        event = read_event(data)
        assert isinstance(event, RunEvent)
        outcome = read_outcome(event, RUN, group_id="g")
        assert outcome is not None
        assert outcome.output == '{"capital":"Paris \ufffd"}'

    def test_a_malformed_event_keeps_its_cursor(self):
        """The stream can go on after it."""
        event = read_event(b'{"type": "task_run.state", "event_id": "ev_9", "run": {"run_id": null}}')
        assert (event.type, event.event_id) == ("malformed", "ev_9")
        assert '"run_id": null' in event.message

    @pytest.mark.parametrize(
        ("data", "name", "kind"),
        [
            (b"{}", "ping", "ping"), (b"{}", "message", "malformed"), (b"{}", None, "malformed"),
            (b"still here", "ping", "ping"), (b"[DONE]", None, "done"), (b"[DONE]", "done", "done"),
            (b'{"status": {"num_task_runs": 1}}', "task_group_status", "task_group_status"),
            (b'{"error": "no luck"}', "error", "error"), (b'{"message": "no luck"}', None, "error"),
            (b'{"errors": [{"message": "no luck"}]}', None, "error"), (b'{"type": "new"}', "ping", "new"),
            (b'{"run": {"status": "failed"}, "error": "no luck"}', None, "malformed"),
        ],
    )  # fmt: skip
    def test_a_type_may_stand_in_the_event_line_alone(self, data, name, kind):
        """What states no type is what its ``event:`` line says; a bare error is an error."""
        event = read_event(data, name=name)
        assert event.type == kind
        assert b"no luck" not in data or event.message == "no luck"

    @pytest.mark.parametrize("name", [None, "message", "task_run.state", "update"])
    def test_a_run_is_a_run_whatever_its_event_line_says(self, name):
        """Data without a type that describe a run are read as such."""
        event = read_event(b'{"run": {"run_id": "trun_1", "status": "completed"}}', name=name)
        assert isinstance(event, RunEvent)

    @pytest.mark.parametrize(
        ("word", "is_active", "status"),
        [
            ("COMPLETED", None, "completed"), (" Failed ", None, "failed"), ("Canceled", None, "cancelled"),
            ("PENDING", None, "queued"), ("warming_up", True, "running"), ("Warming_up", False, "warming_up"),
        ],
    )  # fmt: skip
    def test_a_status_is_read_however_it_is_written(self, word, is_active, status):
        """Case does not matter, and a new word is under way where the run says that it is active."""
        assert read_run({"run": {"run_id": "trun_1", "status": word, "is_active": is_active}}).status == status


class TestListings:
    ENTRIES = ({"run": run_state(), "output": OUTPUT}, {"run_id": "trun_2", "status": "pending"})

    @pytest.mark.parametrize("wrap", [None, "runs", "data", "results"])
    def test_a_listing_is_read_wherever_it_stands(self, wrap):
        """A list, or an object that holds one."""
        body = list(self.ENTRIES) if wrap is None else {wrap: list(self.ENTRIES), "next": None}
        runs = list(read_listing(orjson.dumps(body)))
        assert [(run.run_id, run.status) for run in runs] == [("trun_1", "completed"), ("trun_2", "queued")]

    def test_an_empty_listing_is_no_error(self):
        """A group without runs lists none."""
        assert list(read_listing(b'{"runs": []}')) == list(read_listing(b"[]")) == []

    @pytest.mark.parametrize("body", [b"{}", b"null", b'{"runs": {}}', b"<p>", b"[{"])
    def test_what_is_no_list_is_unreadable(self, body):
        """It proves nothing."""
        with pytest.raises(UnreadableError):
            list(read_listing(body))

    @pytest.mark.parametrize(
        "entry", [b'{"run_id": "a"}', b'{"run": null}', b"5", b"[]", b'"t"', b"[" * 900 + b"]" * 900]
    )
    def test_an_entry_that_is_no_run_hides_no_other(self, entry):
        """It is handed on as one that cannot be read, with an excerpt of it."""
        first, odd, last = read_listing(
            b'[{"run_id": "a", "status": "failed"},' + entry + b',{"run_id": "b", "status": "queued"}]'
        )
        assert (first.run_id, odd.status, last.run_id) == ("a", UNREADABLE, "b")


# -- outcomes ------------------------------------------------------------------------------------------------------


class TestOutcomes:
    def test_a_completed_run_is_an_outcome_with_raw_texts(self):
        """Content, basis, warnings and everything else are JSON texts."""
        outcome = outcome_of(an_event())
        assert (outcome.key, outcome.attempt, outcome.run_id, outcome.group_id) == (*RUN, "trun_1", "tgrp_1")
        assert (outcome.status, outcome.output_type) == ("completed", "json")
        assert json.loads(outcome.output) == {"capital": "Paris"}
        assert json.loads(outcome.basis) == OUTPUT["basis"]
        assert json.loads(outcome.details) == {"mcp_tool_calls": OUTPUT["mcp_tool_calls"]}
        assert json.loads(outcome.warnings) == run_state()["warnings"]
        assert outcome.error is None
        assert outcome.modified_at == "2026-01-01T00:01:00Z"

    def test_the_vendors_text_output_is_read(self):
        """A text's content is the JSON of a text."""
        types = pytest.importorskip("parallel.types")
        text = {"type": "text", "content": "It is Paris.", "basis": [{"field": "output", "reasoning": "r"}]}
        types.TaskRunTextOutput.model_validate(text, strict=True)
        outcome = outcome_of(an_event(output=text))
        assert (outcome.output, outcome.output_type) == ('"It is Paris."', "text")

    @pytest.mark.parametrize("content", ['{"capital": "Paris"}', {"capital": "Paris"}], ids=["text", "object"])
    def test_json_content_may_come_as_text(self, content):
        """Older deployments send an answer as text that holds it."""
        outcome = outcome_of(an_event(output={**OUTPUT, "content": content}))
        assert json.loads(outcome.output) == {"capital": "Paris"}

    def test_a_text_that_looks_like_json_stays_a_text(self):
        """Only where a JSON answer was asked for is a text opened."""
        outcome = outcome_of(an_event(output={"type": "text", "content": '{"a": 1}', "basis": []}))
        assert json.loads(outcome.output) == '{"a": 1}'

    @pytest.mark.parametrize("content", ["no json", "[1, 2]", "null", "5", "{", "[" * 100_000])
    def test_a_json_answer_that_holds_no_object_is_kept_as_it_came(self, content):
        """It is the merge that calls it invalid; nothing is thrown away."""
        outcome = outcome_of(an_event(output={**OUTPUT, "content": content}))
        assert json.loads(outcome.output) == content

    @pytest.mark.parametrize(("content", "kind"), [({"a": 1}, "json"), ("x", "text"), ([1], "text")])
    def test_an_output_without_a_type_is_what_its_content_is(self, content, kind):
        """Objects are JSON, everything else a text."""
        assert outcome_of(an_event(output={"content": content})).output_type == kind

    @pytest.mark.parametrize("status", ["queued", "pending", "running", "cancelling", "action_required", "odd", ""])
    def test_what_is_not_terminal_is_no_outcome(self, status):
        """A run that may still change proves nothing, even with an output."""
        assert outcome_of(an_event(run=run_state(status))) is None

    @pytest.mark.parametrize("output", [None, {}, {"type": "json"}, {"type": "text", "basis": []}, "", []])
    def test_a_completed_run_without_its_output_is_no_outcome(self, output):
        """It has to be fetched."""
        assert outcome_of(an_event(output=output)) is None

    @pytest.mark.parametrize(
        ("fields", "output", "answer"),
        [
            (["capital"], {"capital": "Paris"}, {"capital": "Paris"}),
            (["capital"], '{"capital": "Paris"}', {"capital": "Paris"}),
            (["capital"], {"content": {"capital": "Paris"}}, {"capital": "Paris"}),
            (["content"], {"content": "news"}, {"content": "news"}),
            (["content"], {"type": "json", "content": {"content": "news"}}, {"content": "news"}),
            (["content"], {"type": "json", "content": '{"content": "news"}'}, {"content": "news"}),
            (["content", "type"], {"type": "text", "content": "news"}, {"type": "text", "content": "news"}),
            (["type"], {"type": "json"}, {"type": "json"}),
        ],
    )
    def test_a_bare_answer_is_told_from_a_wrapped_one(self, fields, output, answer):
        """Wrapped or bare, as an object or as its text, an answer is the same, whatever its fields are called."""
        asked = {"type": "json", "json_schema": {"type": "object", "properties": {name: {} for name in fields}}}
        outcome = outcome_of(an_event(output=output), asked=asked)
        assert (json.loads(outcome.output), outcome.output_type) == (answer, "json")

    @pytest.mark.parametrize("text", ["Paris", '{"capital": "Paris"}', "[1]", "null"])
    @pytest.mark.parametrize("wrap", [lambda text: text, lambda text: {"type": "text", "content": text}])
    def test_a_text_answer_stays_text_whatever_it_looks_like(self, wrap, text):
        """What was asked for says how an answer is read."""
        outcome = outcome_of(an_event(output=wrap(text)), asked={"type": "text", "description": "the capital"})
        assert (json.loads(outcome.output), outcome.output_type) == (text, "text")

    @pytest.mark.parametrize("place", ["output", "result"])
    def test_an_output_is_found_beside_the_run_and_inside_it(self, place):
        """It is read from where it stands; beside the run comes first."""
        event = an_event()
        del event["output"]
        assert outcome_of(event | {place: OUTPUT}).output == outcome_of(an_event()).output
        event["run"] = {**event["run"], place: OUTPUT}
        assert outcome_of(event).output == outcome_of(an_event()).output

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_a_failure_needs_no_output_and_has_none(self, status):
        """Its error is kept; a stray output is not."""
        error = {"ref_id": "ref_1", "message": "no sources"}
        outcome = outcome_of(an_event(run=run_state(status, error=error)))
        assert (outcome.status, outcome.output, outcome.output_type) == (status, None, None)
        assert json.loads(outcome.error) == error

    def test_a_deeply_nested_answer_is_kept_or_fetched_again_and_never_an_exception(self):
        """Beyond what one encoder follows, another does; beyond that, the run counts as without its output."""
        for depth in (200, 400, 1000):
            nested: Any = "x"
            for _ in range(depth):
                nested = [nested]
            output = {"type": "json", "content": {"a": nested}, "basis": nested}
            event = RunEvent("r", "completed", output=output, error=nested, warnings=nested)
            outcome = read_outcome(event, RUN, group_id="g")
            assert outcome is not None or depth == 1000
