"""The event stream and the listing: what they hold, when they end, how they resume."""

from __future__ import annotations

import threading
import time

import pytest


def test_outputs_and_inputs_are_there_when_asked_for(simulate):
    """Neither by default, either by its own parameter."""
    caller = simulate()
    group = caller.create_group()
    caller.add(group, "A")
    for wanted in ("false", "true"):
        (event,) = caller.outcomes(group, include_output=wanted, include_input=wanted)
        assert ("output" in event, "input" in event) == (wanted == "true", wanted == "true")
        (listed,) = caller.events(group, "runs", include_output=wanted, include_input=wanted)
        assert ("output" in listed, "input" in listed) == (wanted == "true", wanted == "true")


def test_outputs_may_be_withheld_from_the_stream(simulate):
    """events_honour_include_output=False leaves them out of events; the listing and the result of a run have them."""
    caller = simulate(events_honour_include_output=False)
    group = caller.create_group()
    (run_id,) = caller.add(group, "A").json()["run_ids"]
    (event,) = caller.outcomes(group)
    (listed,) = caller.events(group, "runs")
    result = caller.http.get(f"/v1/tasks/runs/{run_id}/result").json()
    assert ("output" in event, "output" in listed, "output" in result) == (False, True, True)


def test_a_stream_resumes_strictly_after_any_of_its_events(simulate):
    """Whatever event is named, what follows is what followed."""
    caller = simulate()
    group = caller.create_group()
    caller.add(group, *map(str, range(20)))
    events = caller.events(group)
    for position in range(len(events)):
        after = caller.events(group, last_event_id=events[position]["event_id"])
        assert after == events[position + 1 :]


def test_cursors_of_the_two_sequences_are_different(simulate):
    """An event's id is unknown to the listing, and the other way round; that is 422 by default."""
    caller = simulate()
    group = caller.create_group()
    caller.add(group, "A")
    event, listed = caller.events(group)[0], caller.events(group, "runs")[0]
    assert event["event_id"] != listed["event_id"]
    for leaf, foreign in (("events", listed), ("runs", event)):
        params = {"last_event_id": foreign["event_id"]}
        assert caller.http.get(f"/v1/tasks/groups/{group}/{leaf}", params=params).status_code == 422


@pytest.mark.parametrize(("policy", "events"), [("start", 2), ("end", 0)])
def test_what_an_unknown_cursor_means_is_an_option(simulate, policy, events):
    """Everything again, or nothing but what comes next."""
    caller = simulate(unknown_cursor=policy)
    group = caller.create_group()
    caller.add(group, "A")
    caller.events(group)
    assert len(caller.events(group, last_event_id="never-seen")) == events


def test_the_cursors_of_a_batch_stand_before_its_runs(simulate):
    """Both cursors are null for the first batch, and later name the last thing before the batch."""
    caller = simulate()
    group = caller.create_group()
    first = caller.add(group, "A").json()
    assert (first["event_cursor"], first["run_cursor"]) == (None, None)
    caller.events(group)
    second = caller.add(group, "B").json()
    (run,) = [e for e in caller.events(group, last_event_id=second["event_cursor"]) if e["type"] == "task_run.state"]
    (listed,) = caller.events(group, "runs", last_event_id=second["run_cursor"])
    assert run["run"]["run_id"] == listed["run"]["run_id"] == second["run_ids"][0]


def test_a_stream_stays_open_while_a_run_is_active_and_no_longer(simulate):
    """Runs added while the stream is open come in it; it ends with the last one."""
    caller = simulate(latency=0.3)
    group = caller.create_group()
    assert caller.events(group) == []
    caller.add(group, "A")
    threading.Timer(0.1, caller.add, [group, "B"]).start()
    assert len(caller.outcomes(group)) == 2


@pytest.mark.parametrize(("options", "query"), [({"stream_lifetime": 40}, {}), ({}, {"timeout": 40})])
def test_a_stream_ends_after_its_lifetime(simulate, options, query):
    """The lifetime and the timeout are simulated seconds; keep-alives come meanwhile."""
    caller = simulate(latency=10_000, speed=100, keep_alive=15, **options)
    group = caller.create_group()
    caller.add(group, "A")
    start = time.monotonic()
    assert caller.raw(group, **query) == b": keep-alive\n\n" * 2
    assert 0.35 < time.monotonic() - start < 5


def test_statuses_come_between_events_and_at_the_end(simulate):
    """The last event of a finished group has no active runs, and its counts add up."""
    caller = simulate(latency=(0, 50), speed=100, status_every=10)
    group = caller.create_group()
    caller.add(group, *map(str, range(50)))
    events = caller.events(group)
    statuses = [event["status"] for event in events if event["type"] == "task_group_status"]
    assert 3 <= len(statuses) <= 10
    assert [status["is_active"] for status in statuses] == [True] * (len(statuses) - 1) + [False]
    assert statuses[-1]["task_run_status_counts"] == {"completed": 50}
    assert events[-1]["type"] == "task_group_status"


def test_every_event_comes_once_under_load(simulate):
    """Thousands of runs added while the stream is read: each run once, ids increasing."""
    caller = simulate(latency=(0, 0.3), max_per_minute=None)
    group = caller.create_group()
    caller.add(group, *(f"0/{n}" for n in range(1000)))
    adding = [threading.Timer(0.05 * b, caller.add, [group, *(f"{b}/{n}" for n in range(1000))]) for b in (1, 2, 3)]
    for timer in adding:
        timer.start()
    events = caller.outcomes(group)
    for timer in adding:
        timer.join()
    # The group may have ended before all of them were added.
    events += caller.outcomes(group, last_event_id=events[-1]["event_id"])
    assert len({event["run"]["run_id"] for event in events}) == len(events) == 4000
    assert len({event["event_id"] for event in events}) == 4000


def test_a_listing_filters_by_status(simulate):
    """One status of all, and an unknown one is 422."""
    caller = simulate(lambda row: {"capital": 1 / (row != "B")})
    group = caller.create_group()
    caller.add(group, "A", "B")
    caller.events(group)
    assert [e["run"]["status"] for e in caller.events(group, "runs", status="failed")] == ["failed"]
    assert caller.http.get(f"/v1/tasks/groups/{group}/runs?status=done").status_code == 422


def test_a_result_waits_and_times_out(simulate):
    """408 while the run is active, 200 once it is done, in simulated seconds."""
    caller = simulate(latency=30, speed=100)
    (run_id,) = caller.add(caller.create_group(), "A").json()["run_ids"]
    path = f"/v1/tasks/runs/{run_id}/result"
    assert caller.http.get(path, params={"timeout": 1}).status_code == 408
    assert caller.http.get(path, params={"timeout": "soon"}).status_code == 422
    assert caller.http.get(path, params={"timeout": 100}).json()["run"]["status"] == "completed"
