"""Whatever one request or one stream suffers: every distinct row is paid for once, and its answer stands in its row."""

from collections import Counter
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Fault, Simulator, faults

ROWS = 60
SPEED = 100.0


def answer(sent: dict[str, Any]) -> dict[str, Any]:
    """Answer with what identifies the row."""
    return {"name": sent["company"].upper()}


def enrich(sim: Simulator, **options: Any) -> pd.DataFrame:
    """Enrich rows of which some are equal, in batches small enough that there are several."""
    df = pd.DataFrame({"company": [f"company {n % (ROWS - 10)}" for n in range(ROWS)]})
    client = pf.Client(api_key="sk-engine-0123456789", base_url=sim.url, clock_speed=SPEED, **options.pop("client", {}))
    return df.parallel.enrich({"name": str}, client=client, progress=False, **{"checkpoint": None, **options})


def check(sim: Simulator, out: pd.DataFrame) -> None:
    """Every row has its own answer, and every distinct input has exactly one run."""
    assert out["name"].tolist() == [name.upper() for name in out["company"]]
    ours = [run for run in sim.runs() if run.metadata]
    assert Counter(run.metadata["key"] for run in ours) == dict.fromkeys({r.metadata["key"] for r in ours}, 1)
    assert len(ours) == ROWS - 10


POST_FAULTS = {
    "reset before": [faults.reset("add_runs", nth=1)],
    "reset after": [faults.reset("add_runs", when="after", nth=1)],
    "503 before": [faults.status(503, on="add_runs", nth=1)],
    "503 after": [faults.status(503, on="add_runs", when="after", nth=1)],
    "500 after": [faults.status(500, on="add_runs", when="after", nth=1)],
    "408 after": [faults.status(408, on="add_runs", when="after", nth=1)],
    "unknown status after": [faults.status(299 + 120, on="add_runs", when="after", nth=1)],
    "torn after": [faults.torn("add_runs", nth=1)],
    "few ids": [faults.few_ids(nth=1)],
    "no ids": [faults.few_ids(missing=1000, nth=1)],
    "html": [faults.html("add_runs", code=502, when="after", nth=1)],
    "redirect after": [faults.redirect("add_runs", when="after", nth=1)],
    "redirect before": [faults.redirect("add_runs", nth=1)],
    "late, and unanswered": [faults.late_post(30, answer="reset", nth=1)],
    "late, and 504": [faults.late_post(50, nth=1)],
    "lagging reads": [faults.late_post(20, nth=1), faults.lagging(10)],
    "short lists": [faults.reset("add_runs", when="after", nth=1), faults.short_list(nth={1, 2})],
    "twice": [faults.reset("add_runs", nth=1), faults.reset("add_runs", when="after", nth=2)],
    "429 seconds": [faults.rate_limited(retry_after=3, nth={1, 2})],
    "429 date": [faults.rate_limited(retry_after=3, form="date", nth=1)],
    "429 absent": [faults.rate_limited(retry_after=None, nth=1)],
    "group creation reset": [faults.reset("create_group", when="after", nth=1)],
    "group creation 503": [faults.status(503, on="create_group", nth={1, 2})],
}
STREAM_FAULTS = {
    "cut": [faults.cut_stream(after=3)],
    "ended": [faults.cut_stream(after=3, how="end")],
    "reset": [faults.cut_stream(after=3, how="reset")],
    "cut in mid-event": [faults.cut_stream(after=2, mid_event=True)],
    "never an event": [faults.cut_stream(after=0, how="end")],
    "silent": [faults.silent_stream(after=5, nth={1, 2})],
    "repeated": [faults.repeat_events(times=3)],
    "shuffled": [faults.shuffle_events(within=20)],
    "lost": [faults.lose_events(share=0.3)],
    "all lost": [faults.lose_events()],
    "malformed": [faults.malform_events(share=0.3)],
    "huge": [faults.huge_events(events={1, 5})],
    "error event": [faults.insert_event(before=2)],
    "unknown event": [faults.insert_event({"type": "task_run.progress_stats", "event_id": None}, before=1)],
    "crlf": [faults.line_ends("\r\n")],
    "cr": [faults.line_ends("\r")],
    "bom": [faults.byte_order_mark()],
    "dressed": [faults.dressed()],
    "one byte at a time": [faults.pieces()],
    "cursor refused": [faults.cut_stream(after=5), faults.refuse_cursor()],
    "stream 503": [faults.status(503, on="events", nth={1, 2})],
    "stream html": [faults.html("events", nth=1)],
    "lists empty, results 503": [
        faults.cut_stream(after=0, how="end", on="list_runs", nth=faults.onwards(2)),
        faults.status(503, on="result", nth={1, 3}),
    ],
}


@pytest.mark.parametrize(
    ("checkpoint", "transport"),
    [(False, "httpx"), (True, "httpx"), (False, "aiohttp")],
    ids=["memory", "disk", "aiohttp"],
)
@pytest.mark.parametrize("trouble", POST_FAULTS)
def test_trouble_with_a_post_pays_once(trouble: str, checkpoint: bool, transport: Any, tmp_path: Any) -> None:
    """No fault of a request that creates runs makes two of one input, or loses one."""
    with Simulator(answer, latency=(1, 5), speed=SPEED, faults=POST_FAULTS[trouble]) as sim:
        out = enrich(sim, checkpoint=tmp_path if checkpoint else None, client={"transport": transport})
        assert sim.counts.faults > 0
        check(sim, out)


@pytest.mark.parametrize("trouble", STREAM_FAULTS)
@pytest.mark.parametrize(
    ("embedded", "transport"),
    [(True, "httpx"), (False, "httpx"), (False, "aiohttp")],
    ids=["outputs in events", "outputs fetched", "outputs fetched with aiohttp"],
)
def test_trouble_with_a_stream_loses_nothing(trouble: str, embedded: bool, transport: Any) -> None:
    """No fault of a stream loses an outcome or puts it on another row."""
    client = {"request_timeout": 200.0, "transport": transport}
    if trouble == "lists empty, results 503" and embedded:
        pytest.skip("neither is asked for when events carry outputs")
    with Simulator(
        answer,
        latency=(1, 20),
        speed=SPEED,
        faults=STREAM_FAULTS[trouble],
        events_honour_include_output=embedded,
    ) as sim:
        out = enrich(sim, client=client)
        assert sim.counts.faults > 0
        check(sim, out)


def strike_all() -> list[Fault]:
    """Return a bit of everything."""
    return [
        faults.reset("add_runs", when="after", probability=0.2),
        faults.reset("add_runs", probability=0.2),
        faults.status(503, on=["status", "list_runs", "events", "result", "create_group"], probability=0.2),
        faults.torn("add_runs", probability=0.1),
        faults.cut_stream(after=4, probability=0.5),
        faults.lose_events(share=0.1),
        faults.repeat_events(share=0.2),
        faults.shuffle_events(within=5, probability=0.5),
    ]


@pytest.mark.parametrize(
    ("seed", "transport"), [*((seed, "httpx") for seed in range(6)), (0, "aiohttp"), (1, "aiohttp")]
)
@pytest.mark.parametrize("dialect", ["published", "seed"])
def test_a_bit_of_everything_at_once(seed: int, transport: Any, dialect: Any, tmp_path: Any) -> None:
    """Faults of all kinds together, in both dialects, still pay once and lose nothing."""
    with Simulator(answer, latency=(1, 20), speed=SPEED, faults=strike_all(), seed=seed, dialect=dialect) as sim:
        out = enrich(sim, checkpoint=tmp_path, client={"transport": transport})
        check(sim, out)


@pytest.mark.parametrize("transport", ["httpx", "aiohttp"])
def test_a_429_of_a_get_slows_no_sending(transport: Any) -> None:
    """The service's limit on reading says nothing of creating runs."""
    reads = ["status", "list_runs", "events", "result"]
    slow = [faults.status(429, on=[kind], nth=1) for kind in reads]
    with Simulator(answer, latency=(1, 5), speed=SPEED, faults=slow, events_honour_include_output=False) as sim:
        check(sim, enrich(sim, client={"transport": transport, "max_per_minute": None}))
        assert sim.counts.faults > 0
        client = pf.Client(api_key="sk-engine-0123456789", base_url=sim.url, clock_speed=SPEED)
        assert client.pacer.take(1000, now=client.clock.now()) == (1000, 0.0)
