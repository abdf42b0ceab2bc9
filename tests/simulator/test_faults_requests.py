"""Faults of requests and runs: what they do, when, and how they are documented."""

from __future__ import annotations

import inspect
import re
import time
from email.utils import parsedate_to_datetime

import httpx
import orjson
import pytest

from parallel_frames.simulator import Simulator, faults

COMPLETE = {"capital", "population"}


def added(caller) -> httpx.Response:
    """Add two runs to a new group."""
    return caller.add(caller.create_group(), "A", "B")


@pytest.mark.parametrize(("when", "runs"), [("before", 0), ("after", 2)])
def test_a_reset_comes_before_or_after_the_runs_are_created(simulate, when, runs):
    """The client sees a TCP reset either way; only the runs differ."""
    caller = simulate(faults=[faults.reset("add_runs", when=when, nth=1)])
    with pytest.raises(httpx.ReadError) as caught:
        added(caller)
    assert "reset" in str(caught.value).lower()
    assert caller.sim.counts.runs == runs
    assert caller.sim.requests()[-1].status == 0
    assert added(caller).status_code == 200


@pytest.mark.parametrize("code", [401, 402, 403, 408, 422, 429, 500, 502, 503, 504])
@pytest.mark.parametrize(("when", "runs"), [("before", 0), ("after", 2)])
def test_a_status_comes_before_or_after(simulate, code, when, runs):
    """The error has the service's body; the runs exist or not."""
    caller = simulate(faults=[faults.status(code, on="add_runs", when=when, message="so it is")])
    answer = added(caller)
    assert answer.status_code == code
    assert "so it is" in answer.text
    assert answer.json().keys() == ({"detail"} if code == 422 else {"type", "error"})
    assert caller.sim.counts.runs == runs


def test_when_a_fault_strikes(simulate):
    """By number, by set, from a number on, by chance and seed; other endpoints don't count."""

    def statuses(**choice):
        caller = simulate(faults=[faults.status(500, on="status", **choice)])
        group = caller.create_group()
        return [caller.http.get(f"/v1/tasks/groups/{group}").status_code == 500 for _ in range(6)]

    assert statuses(nth=2) == [False, True, False, False, False, False]
    assert statuses(nth={1, 3}) == [True, False, True, False, False, False]
    assert statuses(nth=faults.onwards(5)) == [False] * 4 + [True] * 2
    assert statuses(probability=0.0) == [False] * 6
    assert statuses() == [True] * 6
    chance = statuses(probability=0.5)
    assert chance == statuses(probability=0.5)
    assert 0 < sum(chance) < 6


def test_faults_can_be_added_and_cleared_while_it_runs(simulate):
    """What is added strikes from then on, what is cleared never again."""
    caller = simulate()
    assert added(caller).status_code == 200
    caller.sim.add_faults(faults.status(503, on=["add_runs", "create_group"]))
    assert caller.http.post("/v1/tasks/groups", json={}).status_code == 503
    caller.sim.clear_faults()
    assert added(caller).status_code == 200
    assert caller.sim.counts.faults == 1


@pytest.mark.parametrize("form", ["seconds", "date", None])
def test_retry_after_has_three_forms(simulate, form):
    """Seconds, an HTTP date, or no header."""
    fault = faults.rate_limited(retry_after=30) if form == "seconds" else None
    fault = fault or (
        faults.rate_limited(retry_after=30, form="date") if form else faults.rate_limited(retry_after=None)
    )
    answer = added(simulate(faults=[fault]))
    assert answer.status_code == 429
    header = answer.headers.get("retry-after")
    if form == "date":
        assert 28 <= parsedate_to_datetime(header).timestamp() - time.time() <= 30
    else:
        assert header == (None if form is None else "30")


@pytest.mark.parametrize("code", [200, 502])
def test_html_pages(simulate, code):
    """A page instead of JSON, even as a success."""
    answer = added(simulate(faults=[faults.html("add_runs", code=code, when="after")]))
    assert (answer.status_code, answer.headers["content-type"]) == (code, "text/html; charset=utf-8")
    assert answer.text.startswith("<!doctype html>")


def test_redirects(simulate):
    """A 307 to the same place by default, or elsewhere."""
    caller = simulate(
        faults=[faults.redirect("add_runs", nth=1), faults.redirect("add_runs", code=302, to="/x", nth=2)]
    )
    first = added(caller)
    assert (first.status_code, first.headers["location"]) == (307, str(first.request.url))
    second = added(caller)
    assert (second.status_code, second.headers["location"]) == (302, "/x")
    assert caller.sim.counts.runs == 0


def test_slow_answers(simulate):
    """The answer takes simulated seconds, after the runs were created."""
    caller = simulate(speed=100, faults=[faults.slow(30, on="add_runs")])
    start = time.monotonic()
    assert added(caller).status_code == 200
    assert 0.28 < time.monotonic() - start < 3
    stuck = simulate(faults=[faults.slow(float("inf"), on="add_runs", when="after")])
    stuck.http.timeout = 0.2
    with pytest.raises(httpx.ReadTimeout):
        added(stuck)
    assert stuck.sim.counts.runs == 2


def test_torn_answers(simulate):
    """Half a body under the length of a whole one."""
    caller = simulate(faults=[faults.torn("add_runs")])
    with pytest.raises(httpx.RemoteProtocolError):
        added(caller)
    assert caller.sim.counts.runs == 2


def test_too_few_ids(simulate):
    """All runs are created, some ids are missing."""
    caller = simulate(faults=[faults.few_ids(missing=1)])
    assert len(added(caller).json()["run_ids"]) == 1
    assert caller.sim.counts.runs == 2


def test_ids_in_another_order(simulate):
    """All runs are created, and named from the last to the first."""
    caller = simulate(faults=[faults.swap_ids()])
    ids = added(caller).json()["run_ids"]
    assert [run.run_id for run in caller.sim.runs()] == ids[::-1]


def test_fields_that_are_left_out(simulate):
    """Of bodies and of events, at any depth, but not of answers; what is no event stays as it is."""
    caller = simulate(
        {"A": {"metadata": "kept"}}, faults=[faults.lose_fields(("metadata", "status"), on=["events", "status"])]
    )
    group = caller.create_group(metadata={"name": "x"})
    caller.add(group, "A", metadata={"row": "0"})
    assert caller.http.get(f"/v1/tasks/groups/{group}").json().keys() == {"taskgroup_id", "created_at"}
    event, *_ = caller.outcomes(group, include_input="true")
    assert not {"metadata", "status"} & {*event["run"], *event["input"]}
    assert event["output"]["content"] == {"metadata": "kept"}
    assert caller.events(group, "runs")[0]["run"]["metadata"] == {"row": "0"}


def test_further_headers(simulate):
    """A gateway adds them, and may replace one."""
    caller = simulate(faults=[faults.add_headers({"Via": "1.1 gateway"}, on="create_group")])
    assert caller.http.post("/v1/tasks/groups", json={}).headers["via"] == "1.1 gateway"


@pytest.mark.parametrize("answer", [504, "reset"])
def test_a_post_that_lands_late(simulate, answer):
    """An error at once, the runs some simulated time later, even across a restart of the server."""
    caller = simulate(faults=[faults.late_post(30, answer=answer, nth=1)])
    group = caller.create_group()
    if answer == "reset":
        with pytest.raises(httpx.ReadError):
            caller.add(group, "A")
    else:
        assert caller.add(group, "A").status_code == 504
    assert caller.sim.counts.runs == 0
    caller.sim.stop()
    caller.sim.advance(31)
    caller.sim.start()
    caller.sim.wait_until(lambda counts: counts.runs == 1)
    assert [run.group_id for run in caller.sim.runs()] == [group]


def test_counts_and_listings_that_lag(simulate):
    """What was created lately is neither counted nor listed, until the delay has passed."""
    caller = simulate(faults=[faults.lagging(30)])
    group = caller.create_group()
    caller.add(group, "A")
    caller.sim.advance(40)
    caller.add(group, "B")

    def seen():
        counted = caller.http.get(f"/v1/tasks/groups/{group}").json()["status"]["num_task_runs"]
        return counted, len(caller.events(group, "runs"))

    assert seen() == (1, 1)
    caller.sim.advance(40)
    assert seen() == (2, 2)


def test_a_listing_that_is_cut_short(simulate):
    """The listing ends as if it was whole, in both dialects."""
    caller = simulate(faults=[faults.short_list(keep=0.5)])
    group = caller.create_group()
    caller.add(group, *map(str, range(10)))
    assert len(caller.events(group, "runs")) == 5


def test_cursors_that_are_refused(simulate):
    """Only requests that carry one are struck."""
    caller = simulate(faults=[faults.refuse_cursor(nth=1)])
    group = caller.create_group()
    caller.add(group, "A")
    event = caller.events(group)[0]
    path = f"/v1/tasks/groups/{group}/events"
    params = {"last_event_id": event["event_id"]}
    assert caller.http.get(path, params=params).status_code == 422
    assert caller.http.get(path, params=params).status_code == 200


# -- runs ------------------------------------------------------------------------------------------------------------


def test_runs_end_otherwise(simulate):
    """Failed, cancelled, stuck, waiting for an action: by text, by function, by number."""
    caller = simulate(
        faults=[
            faults.fail_runs("no", inputs="A"),
            faults.cancel_runs(inputs=lambda run_input: run_input == {"country": "B"}),
            faults.stick_runs(nth=3),
            faults.require_action(inputs="D"),
        ]
    )
    group = caller.create_group()
    caller.add(group, "A", {"country": "B"}, "C", {"country": "D"}, "E")
    caller.sim.wait_until(lambda counts: counts.active == 1)
    runs = caller.sim.runs()
    assert [run.status for run in runs] == ["failed", "cancelled", "running", "action_required", "completed"]
    assert runs[0].error == "no"


def test_failures_by_chance_are_the_same_for_the_same_seed(simulate):
    """A share of the runs fails, and it is the same share every time."""

    def failed():
        caller = simulate(faults=[faults.fail_runs(probability=0.2)], latency=0)
        group = caller.create_group()
        caller.add(group, *map(str, range(200)))
        return {e["event_id"].rpartition("_")[2] for e in caller.outcomes(group) if e["run"]["status"] == "failed"}

    first = failed()
    assert 20 < len(first) < 60
    assert first == failed()


@pytest.mark.parametrize(
    ("how", "names"),
    [
        ("type", COMPLETE),
        ("null", COMPLETE),
        ("missing", {"population"}),
        ("extra", {*COMPLETE, "unexpected"}),
        ("empty", set()),
    ],
)
def test_answers_that_break_their_schema(simulate, how, names):
    """Every way to break an answer breaks it in that way only."""
    caller = simulate(faults=[faults.break_answers(how=how)])
    group = caller.create_group()
    caller.add(group, "A")
    (event,) = caller.outcomes(group)
    content = event["output"]["content"]
    assert set(content) == names
    if how in ("type", "null"):
        assert not isinstance(content["capital"], str)


def test_odd_text_is_raw_on_the_wire(simulate):
    """The three separators are sent unescaped, and the event is valid JSON all the same."""
    caller = simulate(faults=[faults.odd_text()])
    group = caller.create_group()
    caller.add(group, "A")
    data = caller.raw(group, include_output="true")
    for separator in ("\u2028", "\u2029", "\u0085"):
        assert separator.encode() in data
    event = orjson.loads(data.split(b"\n\n")[0].removeprefix(b"data: "))
    assert "\u2028" in event["output"]["content"]["capital"]


NAMES = [name for name in faults.__all__ if name.islower() and name != "onwards"]


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_every_fault_describes_all_its_parameters(name):
    """Parameters that faults have in common are documented with every one of them, and no others."""
    made = getattr(faults, name)
    section = inspect.getdoc(made).partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    documented = re.findall(r"^(\w+) : ", section, re.MULTILINE)
    assert sorted(documented) == sorted(inspect.signature(made).parameters)
    assert documented[-2:] == ["nth", "probability"]


def test_a_fault_is_a_value_that_can_be_printed():
    """Equal faults are equal, show their parameters, and may be given to several simulators."""
    fault = faults.cut_stream(after=2, nth=1)
    assert fault == faults.cut_stream(after=2, on=["events"], nth=1)
    assert repr(fault).startswith("cut_stream(on=frozenset({'events'}), nth=1, probability=None, after=2")
    assert [Simulator(faults=[fault]).counts.faults for _ in range(2)] == [0, 0]


def test_wrong_faults_are_refused_at_once():
    """A mistyped endpoint, an impossible number, and what is no fault at all."""
    with pytest.raises(ValueError, match="unknown endpoint add_run:"):
        faults.reset("add_run")
    with pytest.raises(ValueError, match="unknown endpoint status"):
        faults.cut_stream(after=1, on="status")
    with pytest.raises(ValueError, match="begin at 1"):
        faults.reset("add_runs", nth=0)
    with pytest.raises(ValueError, match="0 to 1"):
        faults.reset("add_runs", probability=2)
    with pytest.raises(TypeError, match="not a fault"):
        Simulator(faults=["reset"])
