"""Outputs that events come without: how they are fetched, how soon, and with how many requests."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import pandas as pd
import pytest
from starlette.responses import Response

import parallel_frames as pf
from parallel_frames._checkpoint import memory_store
from parallel_frames._clock import Clock
from parallel_frames._engine import _submit as submit
from parallel_frames._engine._state import EngineState
from parallel_frames._model import Job, Options, RunEvent, RunId
from parallel_frames._state import GroupState, MemoryIndex
from parallel_frames._ui import showing
from parallel_frames.errors import ProtocolError
from parallel_frames.simulator import faults
from parallel_frames.simulator.faults import RequestFault

SCHEMA = {"name": str}


def answer(sent):
    """Say the row's own name."""
    return {"name": sent["company"]}


def enrich(rows, **options):
    """Enrich so many rows with a simulator, and return it once each row has its own answer and was paid once."""
    df = pd.DataFrame({"company": [f"company {n}" for n in range(rows)]})
    with pf.offline(answer, **{"max_per_minute": None, **options}) as sim:
        out = df.parallel.enrich(SCHEMA, checkpoint=None)
    assert out["name"].tolist() == df["company"].tolist()
    assert len(sim.runs()) == rows
    return sim


def queries(sim):
    """Return the query of each listing."""
    return [parse_qs(request.query) for request in sim.requests() if request.endpoint == "list_runs"]


def test_many_outputs_take_few_requests():
    """Runs that end one after the other are gathered, and listed without those that still run."""
    sim = enrich(4000, latency=(1, 9), speed=4)
    assert len(sim.requests()) <= 4000 / 20
    assert {"status": ["completed"], "include_output": ["true"]} in queries(sim)


def test_outputs_of_the_last_few_are_asked_for_one_by_one():
    """A listing of the whole group is not worth its while for one run of it that has just ended."""
    sim = enrich(1000, latency=(1, 20), speed=5)
    asked = Counter(request.endpoint for request in sim.requests())
    assert 0 < asked["result"] < 1000 / 5


def test_a_row_has_its_answer_soon_after_its_run_ended():
    """Its output waits a second for others at the most."""
    heard = {}
    df = pd.DataFrame({"company": [f"company {n}" for n in range(400)]})
    with pf.offline(answer, latency=(1, 20), speed=5) as sim:
        df.parallel.enrich(SCHEMA, checkpoint=None, on_row=lambda row: heard.setdefault(row.run_id, sim.now))
    delays = sorted(heard[run.run_id] - run.finished_at for run in sim.runs())
    assert delays[len(delays) * 99 // 100] < 4.0  # two seconds, and what the machine takes, which counts five times


def test_a_list_that_is_cut_is_read_on_from_its_cursor():
    """What was listed before the cut is not listed again."""
    sim = enrich(500, latency=1, speed=10, faults=[faults.cut_stream(after=300, on="list_runs", nth=2)])
    (cut,) = [query for query in queries(sim) if "last_event_id" in query]
    assert cut["last_event_id"][0].endswith("_300")
    assert sim.counts.faults == 1


@pytest.mark.parametrize("code", [400, 404, 410, 422])
def test_a_service_that_forgets_cursors_of_lists_gives_the_whole_list(code):
    """A cursor that is refused costs one request, and the list is read from its beginning."""
    trouble = [faults.cut_stream(after=300, on="list_runs", nth=2), faults.refuse_cursor("list_runs", code=code)]
    sim = enrich(500, latency=1, speed=10, faults=trouble)
    assert sim.counts.faults == 2


@pytest.mark.parametrize("how", ["end", "close", "reset"])
@pytest.mark.parametrize("dialect", ["published", "seed"])
def test_lists_that_break_off_lose_nothing(how, dialect):
    """An output that a list lacks is asked for again, also where the list looks whole."""
    enrich(
        400,
        latency=(1, 10),
        speed=20,
        dialect=dialect,
        seed_list_as="sse",
        faults=[faults.cut_stream(after=100, how=how, on="list_runs", probability=0.5)],
    )


def test_a_column_named_run_id_hides_no_output():
    """Entries of other runs are left out by their ids; a user's own data may have such a name, too."""
    rows = 300
    df = pd.DataFrame({"company": [f"company {n}" for n in range(rows)], "run_id": [f"trun_{n}" for n in range(rows)]})
    with pf.offline(lambda sent: {"run_id": sent["run_id"]}, latency=(1, 9), speed=20) as sim:
        out = df.parallel.enrich({"run_id": str}, checkpoint=None, prefix="ours_")
    assert out["ours_run_id"].tolist() == df["run_id"].tolist()
    assert len(sim.requests()) < rows


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectFirst(RequestFault):
    """Redirects every request for the result of the group's first run, as a proxy does that knows one address wrong."""

    on: Any = "result"

    def concerns(self, exchange: Any) -> bool:
        """Take the result of that run alone."""
        return super(RedirectFirst, self).concerns(exchange) and exchange.service.runs[0].run_id in str(
            exchange.request.url
        )

    async def strike(self, exchange: Any, proceed: Any) -> Any:
        """Answer with a redirect."""
        return Response(status_code=302)


def test_a_result_that_cannot_be_read_holds_up_no_other():
    """The others of its round are asked for, and the list brings the one that is left."""
    draws = itertools.count()
    sim = enrich(700, latency=lambda _: 30.0 if next(draws) < 12 else 0.3, speed=10, faults=[RedirectFirst()])
    assert Counter(request.endpoint for request in sim.requests())["result"] >= 12
    assert sim.counts.faults > 0


def test_events_that_repeat_are_read_with_pauses(engine):
    """Runs whose outputs cannot be had are no news when their events come again: streams without ids end at once."""
    unnamed = engine.ChangedEvents(on="events", change=lambda event: {**event, "event_id": None})
    outage = [faults.status(503, on="result"), faults.status(503, on="list_runs", nth=faults.onwards(2))]
    df = pd.DataFrame({"company": ["a", "b", "c"]})
    with pf.offline(answer, latency=0.5, speed=50, faults=[unnamed, *outage]) as sim:
        out = df.parallel.enrich(SCHEMA, checkpoint=None, timeout=100)
    assert out["parallel_status"].tolist() == ["pending"] * 3
    assert Counter(request.endpoint for request in sim.requests())["events"] < 50


def test_groups_that_are_answered_are_forgotten(monkeypatch):
    """Memory is that of the groups at work: nothing keeps one whose runs are answered and durable."""
    monkeypatch.setattr(submit, "MAX_RUNS_PER_GROUP", 50)  # the constant, not behaviour
    alive = []

    def count(row):
        if row.position == 690:
            gc.collect()
            alive.append(sum(isinstance(each, GroupState) for each in gc.get_objects()))

    df = pd.DataFrame({"company": [f"company {n}" for n in range(800)]})
    with pf.offline(answer, latency=2, speed=5, max_per_minute=None) as sim:
        df.parallel.enrich(SCHEMA, checkpoint=None, max_in_flight=100, on_row=count)
    assert len(sim.group_ids) == 16
    assert alive[0] <= 10


@pytest.mark.parametrize("code", [429, 503])
def test_a_service_that_advises_against_another_try_ends_no_call(code):
    """A group whose counts cannot be read now is asked again with the next look."""
    trouble = faults.status(code, on="status", nth=1, headers={"x-should-retry": "false"})
    sim = enrich(5, latency=40, speed=100, stream_lifetime=3.0, faults=[trouble])
    assert sim.counts.faults == 1


def test_a_list_that_was_never_whole_is_an_error():
    """Cuts, and then a proxy's page for good: rows that no list shows must not read as rows that no run answers."""
    df = pd.DataFrame({"company": ["a"]})
    with pf.offline(answer, latency=0, speed=500) as sim:
        df.parallel.enrich(SCHEMA, checkpoint=None)
        cut = faults.reset("list_runs", nth={1, 2, 3})
        sim.add_faults(cut, faults.html("list_runs", code=200))
        with pytest.raises(ProtocolError, match="event stream"):
            df.parallel.collect(sim.group_ids[0], SCHEMA)


async def events_of_three_runs(*events):
    """Return how many of three runs are in flight after each event."""
    job = Job(identity={}, hash="0" * 32, processor="base", spec={}, options=Options())
    with showing(progress=False) as progress:
        state = EngineState(
            job=job,
            index=MemoryIndex(),
            store=memory_store(job, host="x"),
            observer=progress,
            clock=Clock(),
            reasons={},
        )
        group = state.groups["g"] = GroupState("g")
        for n in range(3):
            group.add_paid(RunId(f"{n:032x}", 0), run_id=f"r{n}")
        found = [state.in_flight]
        for n, status in events:
            state.take_event(group, RunEvent(f"r{n}", status))
            found.append(state.in_flight)
    return found


def test_a_run_is_out_of_flight_once():
    """What waits for its owner is not in flight, nor what has ended and lacks its output: each counts once."""
    events = [(0, "action_required"), (1, "action_required"), (0, "completed"), (1, "running"), (2, "completed")]
    assert asyncio.run(events_of_three_runs(*events)) == [3, 2, 1, 1, 2, 1]
