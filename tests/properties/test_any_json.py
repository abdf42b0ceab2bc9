"""Whatever JSON the service answers, it is read as what it should be or refused as unreadable."""

from __future__ import annotations

import json

import orjson
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames._model import GroupStatus, OtherEvent, RunEvent, RunId
from parallel_frames._service import DIALECTS, read_outcome
from parallel_frames._service._messages import (
    UnreadableError,
    read_batch,
    read_event,
    read_group_id,
    read_listing,
    read_status,
)

RUN = RunId("0" * 32, 0)
WORDS = st.sampled_from(
    [
        "run",
        "run_id",
        "run_ids",
        "runs",
        "status",
        "type",
        "event_id",
        "input",
        "output",
        "content",
        "metadata",
        "error",
        "message",
        "ref_id",
        "counts",
        "data",
        "basis",
        "task_run_status_counts",
        "num_task_runs",
        "completed",
        "warnings",
        "created_at",
        "processor",
        "is_active",
        "pending",
        "taskgroup_id",
    ]
)
TEXTS = st.sampled_from(["completed", "failed", "pending", "task_run.state", "error", "json", "text", "{", '{"a":1}'])
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | TEXTS
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=6),
    max_leaves=25,
)
RUNLIKE = st.fixed_dictionaries(
    {"run_id": st.just("trun_1") | JSON, "status": TEXTS | JSON},
    optional=dict.fromkeys(("metadata", "input", "output", "error", "warnings", "created_at", "event_id"), JSON),
)
ANYTHING = JSON | RUNLIKE | st.fixed_dictionaries({"run": RUNLIKE}, optional={"type": TEXTS, "output": JSON})


def is_text(value: object) -> bool:
    """Return whether it is a text, or nothing."""
    return value is None or isinstance(value, str)


@given(ANYTHING)
def test_any_json_is_an_event(value):
    """Every JSON value, NaN and half characters included, is read as some event, whose fields have their types."""
    event = read_event(json.dumps(value).encode())
    assert is_text(event.event_id)
    if isinstance(event, OtherEvent):
        assert isinstance(event.type, str)
        assert is_text(event.message)
        return
    assert isinstance(event.run_id, str)
    assert isinstance(event.status, str)
    assert event.metadata is None or isinstance(event.metadata, dict)
    outcome = read_outcome(event, RUN, group_id="g")
    if outcome is not None:
        texts = (outcome.output, outcome.basis, outcome.error, outcome.warnings, outcome.details)
        for text in filter(None, texts):
            orjson.loads(text)
        assert all(map(is_text, (*texts, outcome.created_at, outcome.modified_at, outcome.output_type)))


@given(ANYTHING, st.sampled_from(list(DIALECTS)))
def test_any_json_is_an_answer_or_unreadable(value, name):
    """Every JSON value is read as what was asked for, or refused as unreadable, by every reader."""
    body = json.dumps(value).encode()
    readers = {
        "status": lambda: isinstance(read_status("g", body), GroupStatus),
        "listing": lambda: all(isinstance(run, RunEvent) for run in read_listing(body)),
        "ids": lambda: all(isinstance(run_id, str) for run_id in read_batch(body)[0]),
        "group": lambda: isinstance(read_group_id(body, dialect=DIALECTS[name]), str),
    }
    for reader, read in readers.items():
        try:
            assert read(), reader
        except UnreadableError:
            continue


@given(st.binary(max_size=60))
def test_any_bytes_are_an_event(data):
    """No bytes make an exception."""
    assert isinstance(read_event(data), OtherEvent | RunEvent)
