"""`pf.doctor` on a service that is as assumed, and on one with each assumption broken in turn, in both dialects."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from email.utils import formatdate
from pathlib import Path

import httpx
import pandas as pd
import pytest
from starlette.requests import Request

import parallel_frames as pf
from parallel_frames._doctor import ASSUMPTIONS
from parallel_frames.errors import InputError
from parallel_frames.simulator import Simulator, faults
from parallel_frames.simulator._exchange import reply

KEY = "not-a-real-key"
DIALECTS = ("published", "seed")
GROUP = {"taskgroup_id": "tgrp_1", "status": {"num_task_runs": 0, "task_run_status_counts": {}, "is_active": False}}


class answer(faults.RequestFault):  # noqa: N801 - as the others
    """Answer with a body, whatever is asked."""

    async def strike(self, exchange, proceed):
        return reply(GROUP)


class ignore_cursor(faults.RequestFault):  # noqa: N801
    """Begin every stream and list at the beginning."""

    async def strike(self, exchange, proceed):
        exchange.request = Request({**exchange.request.scope, "query_string": b""})
        return await proceed()


class create_twice(faults.RequestFault):  # noqa: N801
    """Create each batch a second time."""

    async def strike(self, exchange, proceed):
        await proceed()
        return await proceed()


def examine(*trouble, dialect, speed=20):
    """Return the diagnosis of a simulator with these faults, and the simulator."""
    with Simulator(dialect=dialect, latency=0, speed=speed, faults=trouble) as sim:
        return pf.doctor(pf.Client(api_key=KEY, base_url=sim.url, clock_speed=speed), confirm=False), sim


def found(diagnosis):
    """Return the checks by name."""
    return {check.name: check for check in diagnosis.checks}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_breaks_where_the_service_is_as_assumed(dialect):
    """Every assumption but that of the clock, which is sped up, is checked; three runs are paid for, in two batches."""
    diagnosis, sim = examine(dialect=dialect)
    assert found(diagnosis).keys() == ASSUMPTIONS.keys()
    differs = {check.name for check in diagnosis.checks if check.verdict != "ok"} - {"clock"}
    assert differs == ({"dialect", "run_cursor"} if dialect == "seed" else set())
    assert (diagnosis.runs, diagnosis.cost, diagnosis.dialect) == (3, 0.015, dialect)
    assert (sim.counts.runs, sim.counts.posts, sim.counts.duplicates) == (3, 2, 0)
    assert diagnosis.simulated
    assert sim.group_ids == [diagnosis.group_id]


def test_a_limit_below_a_batch_delays_it():
    """A batch larger than what may be sent in a minute waits for its minutes, and is sent."""
    with Simulator(latency=0, speed=400) as sim:
        client = pf.Client(api_key=KEY, base_url=sim.url, clock_speed=400, max_per_minute=1)
        assert pf.doctor(client, confirm=False).runs == sim.counts.runs == 3


LISTS = ("events", "list_runs")
BOTH = {
    "listed late": ([faults.lagging(9_000, nth={2, 3})], "listing", "handled", "after "),
    "listed too late": ([faults.lagging(2_000)], "listing", "breaks", "not within "),
    "listed never": ([faults.short_list(keep=0)], "listing", "breaks", "the list holds 0 of"),
    "no list": ([faults.html("list_runs", code=200)], "listing", "breaks", "Expected an event stream"),
    "no metadata": ([faults.lose_fields("metadata", on=LISTS)], "metadata", "handled", "not in the list"),
    "metadata in lists": ([faults.lose_fields("metadata", on="events")], "metadata", "handled", "not in events"),
    "no inputs": ([faults.lose_fields("input", on=LISTS)], "inputs", "handled", "not in the list"),
    "swapped ids": ([faults.swap_ids()], "batch", "handled", "another order"),
    "swapped, no metadata": (
        [faults.swap_ids(), faults.lose_fields("metadata", on=LISTS)], "batch", "handled", "another order",
    ),
    "few ids": ([faults.few_ids()], "batch", "handled", "are found in the list"),
    "lost answer": ([faults.reset("add_runs", when="after", nth=1)], "batch", "handled", "are found in the list"),
    "lost request": ([faults.reset("add_runs", nth=2)], "batch", "handled", "counts as not created"),
    "no answers": ([faults.reset("add_runs")], "batch", "handled", "counts as not created"),
    "created late": ([faults.late_post(30)], "batch", "handled", "are found in the list"),
    "created too late": ([faults.late_post(2_000, nth=2)], "batch", "handled", "counts as not created"),
    "created twice": ([create_twice(on="add_runs")], "counts", "breaks", "6 counted, 3 known"),
    "no counts": ([faults.lose_fields("status", on="status")], "counts", "breaks", "cannot be read"),
    "late counts": ([faults.lagging(9_000, on="status", nth=4)], "counts", "handled", "after "),
    "stale counts": ([faults.lagging(9_000, on="status")], "counts", "breaks", "0 counted, 3 known"),
    "no event ids": ([faults.lose_fields("event_id", on="events")], "event_cursor", "handled", "no ids"),
    "no cursor": ([faults.refuse_cursor()], "event_cursor", "handled", "the cursor is refused"),
    "cursor refused in between": (
        [faults.cut_stream(after=1, nth=1), faults.refuse_cursor(on="events", nth=1)], "events", "handled", "3 comp",
    ),
    "cursor ignored": ([ignore_cursor(on="events")], "event_cursor", "handled", "before that event"),
    "events lost": ([faults.lose_events()], "events", "handled", "3 ended without an event"),
    "events lost later": ([faults.lose_events(nth=2)], "event_cursor", "handled", "2 of 2 later events are missing"),
    "stream cut": ([faults.cut_stream(after=1)], "events", "handled", "3 completed, the stream was cut"),
    "no stream": ([faults.html("events", code=200)], "events", "breaks", "Expected an event stream"),
    "one fails": ([faults.fail_runs("no such place", nth=1)], "events", "handled", "1 failed, no such place"),
    "action": ([faults.require_action(nth=2)], "events", "handled", "1 action_required"),
    "no ends": ([faults.stick_runs()], "events", "not checked", "none within 5 min"),
    "all fail": ([faults.fail_runs()], "outputs", "not checked", "no run completed"),
    "group is gone": ([faults.status(410, on="status", nth=1)], "unknown_group", "handled", "(410)"),
    "no reference": ([faults.lose_fields("ref_id", on="status")], "unknown_group", "handled", "without a reference"),
    "any group": ([answer(on="status", nth=1)], "unknown_group", "breaks", "like one that exists"),
    "lower limit": (
        [faults.add_headers({"X-RateLimit-Limit": "100"}, on="status")], "rate_limit", "handled", "limit: 100",
    ),
    "no groups": ([faults.status(503, on="create_group")], "dialect", "breaks", "(503)"),
    "no credit": ([faults.status(402, on="add_runs")], "batch", "breaks", "too little credit"),
    "no credit left": ([faults.status(402, on="add_runs", nth=2)], "batch", "breaks", "too little credit"),
    "rate limit later": ([faults.rate_limited(nth=2)], "run_cursor", "not checked", "no second batch"),
    "unreadable events": ([faults.malform_events()], "events", "handled", "3 ended without an event"),
    "rate limit": ([faults.rate_limited()], "batch", "not checked", "rate limit"),
}  # fmt: skip
ONE = {
    "gateway": (
        "published", [faults.add_headers({"Via": "1.1 gate"}, on="result")], "connection", "ok", "through 1.1 gate",
    ),
    "redirect": ("published", [faults.redirect("result", to="https://e.org")], "connection", "breaks", "to e.org"),
    "outage": ("published", [faults.status(503, on="result")], "connection", "breaks", "(503)"),
    "other page": ("published", [faults.html("result", code=200)], "connection", "breaks", "is not the service"),
    "older paths": ("published", [faults.status(404, on="create_group", nth=1)], "dialect", "handled", "under /v1beta"),
    "wrong key": ("published", [faults.status(401, on="create_group")], "api_key", "breaks", "(401)"),
    "no run cursor": (
        "published", [faults.lose_fields("run_cursor", on="add_runs")], "run_cursor", "handled", "has no cursor",
    ),
    "list cursor refused": (
        "published", [faults.refuse_cursor(on="list_runs")], "run_cursor", "handled", "the cursor is refused",
    ),
    "list cursor ignored": ("published", [ignore_cursor(on="list_runs")], "run_cursor", "handled", "begins before"),
    "no echo": (
        "published", [faults.lose_fields(("metadata", "input"), on=LISTS)], "metadata", "breaks", "not in the list",
    ),
    "no echo, seed": (
        "seed", [faults.lose_fields(("metadata", "input"), on=LISTS)], "metadata", "handled", "not in the list",
    ),
    "no ids, seed": ("seed", [faults.lose_fields("run_ids", on="add_runs")], "batch", "handled", "found in the list"),
    "no ids, no echo": (
        "seed", [faults.few_ids(), faults.lose_fields(("metadata", "input"), on=LISTS)], "batch", "breaks", "names 1",
    ),
    "outputs in events, seed": (
        "seed", [faults.lose_fields("output", on="events")], "event_outputs", "handled", "0 of 3",
    ),
    "no outputs in lists": (
        "published", [faults.lose_fields("output", on="list_runs")], "outputs", "handled", "0 of 3 in the list, also",
    ),
    "no results": ("published", [faults.status(404, on="result")], "outputs", "handled", "3 of 3 in the list, not"),
    "no outputs": (
        "published", [faults.lose_fields("output", on=("list_runs", "result"))], "outputs", "breaks", "0 of 3",
    ),
}  # fmt: skip
for dialect, groups in (("published", 1), ("seed", 2)):  # how many it takes to find out the dialect
    second = {"on": "create_group", "nth": faults.onwards(groups + 1)}
    ONE |= {
        f"400, {dialect}": (dialect, [faults.status(400, **second)], "refused_body", "handled", "(400)"),
        f"500, {dialect}": (dialect, [faults.status(500, **second)], "refused_body", "breaks", "(500)"),
        f"any body, {dialect}": (dialect, [answer(**second)], "refused_body", "handled", "it was accepted"),
    }
CASES = {f"{name}, {dialect}": (dialect, *case) for name, case in BOTH.items() for dialect in DIALECTS} | ONE


PATIENT = re.compile("listed|lost|created|no answers|stale|no ends|no groups|500|outage|no ids, no")  # they wait long


@pytest.mark.parametrize("name", CASES)
def test_each_assumption_that_does_not_hold_is_named(name):
    """What differs is observed, judged, and paid for no more than was announced."""
    dialect, trouble, check, verdict, seen = CASES[name]
    diagnosis, sim = examine(*trouble, dialect=dialect, speed=500 if PATIENT.match(name) else 20)
    checked = found(diagnosis)[check]
    assert checked.verdict == verdict, diagnosis
    assert seen in checked.observed, diagnosis
    assert len(found(diagnosis)) == len(diagnosis.checks)  # each assumption once
    assert sim.counts.posts <= 2
    assert sim.counts.runs <= diagnosis.runs <= 3 or name.startswith("created twice")
    completed = sum(run.status == "completed" for run in sim.runs())
    assert diagnosis.cost >= min(completed, 3) * 0.005


@pytest.mark.parametrize(
    ("dialect", "options", "check", "verdict"),
    [
        ("published", {"events_honour_include_output": True}, "event_outputs", "handled"),
        ("published", {"api_key": "another-key"}, "api_key", "breaks"),
        ("published", {"refused_processors": ["lite"]}, "batch", "breaks"),
        ("seed", {"refused_processors": ["lite"]}, "dialect", "breaks"),
        ("seed", {"seed_list_as": "sse", "seed_input_as": "run"}, "inputs", "ok"),
        ("seed", {"output_as": "bare"}, "outputs", "ok"),
        ("both", {"string_content": True}, "outputs", "ok"),
    ],
)
def test_what_services_may_do_otherwise(dialect, options, check, verdict):
    """Options of the simulator, where they are no fault."""
    with Simulator(dialect=dialect, latency=0, speed=20, **options) as sim:
        diagnosis = pf.doctor(pf.Client(api_key=KEY, base_url=sim.url, clock_speed=20), confirm=False)
    assert found(diagnosis)[check].verdict == verdict, diagnosis


@pytest.mark.parametrize(
    ("trouble", "ahead", "verdict", "seen"),
    [
        ([], 0, "ok", "0 s by the times of runs"),
        ([], 100, "handled", "by the times of runs"),
        ([], 3_600, "breaks", "60 min by the times of runs"),
        ([faults.add_headers({"Date": formatdate(0)}, on="status")], 0, "breaks", " h by the Date header"),
        ([faults.add_headers({"Date": "yesterday"}, on="status")], 0, "ok", "0 s by the times of runs"),
    ],
)  # fmt: skip
def test_clocks_that_differ_are_noticed(trouble, ahead, verdict, seen):
    """By the Date header of answers, and by when the service says that a run was created."""
    with Simulator(latency=0, faults=trouble) as sim:
        sim.advance(ahead)
        diagnosis = pf.doctor(pf.Client(api_key=KEY, base_url=sim.url), confirm=False)
    assert found(diagnosis)["clock"].verdict == verdict
    assert seen in found(diagnosis)["clock"].observed


def test_an_unreachable_service_is_one_line_of_the_table():
    """The machine is checked all the same, and nothing is sent."""
    with Simulator() as sim:
        url = sim.url
    diagnosis = pf.doctor(pf.Client(api_key=KEY, base_url=url, clock_speed=1_000), confirm=False)
    assert [check.name for check in diagnosis.checks] == ["proxies", "cache", "lock", "connection"]
    assert [check.name for check in diagnosis.breaks] == ["connection"]
    assert "PARALLEL_BASE_URL" in diagnosis.breaks[0].meaning
    assert (diagnosis.runs, diagnosis.cost, diagnosis.group_id) == (0, 0.0, None)


@pytest.mark.parametrize(
    ("variables", "check", "seen"),
    [
        ({}, "api_key", "there is none"),
        ({"PARALLEL_API_KEY": "schlüssel"}, "api_key", "characters that no key has"),
        ({"PARALLEL_BASE_URL": "api.parallel.ai"}, "connection", "has no https://"),
        ({"PARALLEL_API_KEY": KEY, "SSL_CERT_FILE": "/nowhere.pem"}, "proxies", "SSL_CERT_FILE=/nowhere.pem"),
        ({"PARALLEL_API_KEY": KEY, "HTTPS_PROXY": "http://me:hunter2@:0x"}, "proxies", "HTTPS_PROXY"),
        ({"PARALLEL_FRAMES_CACHE": "/dev/null/cache"}, "cache", "Not a directory"),
    ],
)
def test_what_is_wrong_with_this_machine_needs_no_service(monkeypatch, variables, check, seen):
    """Each is one line, with what to set; the rest of the table comes, and no question is asked."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    diagnosis = pf.doctor(confirm=False)
    assert found(diagnosis)[check].verdict == "breaks"
    assert seen in found(diagnosis)[check].observed
    assert {"cache"} <= found(diagnosis).keys()
    assert "hunter2" not in diagnosis.to_json() + repr(diagnosis)


def test_a_proxy_is_shown_without_its_password(monkeypatch):
    """Where requests go is what a report needs to say."""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunt@r2@proxy.example:8080/")
    proxies = found(pf.doctor())["proxies"]
    assert proxies.meaning == "Requests go through the proxy proxy.example:8080."
    assert "HTTPS_PROXY" in proxies.observed
    monkeypatch.setenv("NO_PROXY", "parallel.ai")
    assert found(pf.doctor())["proxies"].meaning == "Requests go straight to the service."


def test_it_goes_through_the_proxy_of_the_environment(monkeypatch):
    """The simulator stands in for a proxy: what it is asked for has another host."""
    with Simulator(latency=0) as sim:
        monkeypatch.setenv("HTTP_PROXY", sim.url.replace("http://", "http://me:hunter2@"))
        client = pf.Client(api_key=KEY, base_url="http://service.example", allow_http=True)
        diagnosis = pf.doctor(client, confirm=False)
    assert diagnosis.breaks == ()
    assert sim.counts.runs == 3
    assert found(diagnosis)["proxies"].meaning == f"Requests go through the proxy {sim.url.removeprefix('http://')}."
    assert found(diagnosis)["connection"].observed == "connected to 127.0.0.1"
    assert "hunter2" not in diagnosis.to_json()


def test_a_transport_of_ones_own_is_what_is_checked():
    """Then the environment's proxies do not matter, and the connection is not described."""
    with Simulator(latency=0) as sim:
        diagnosis = pf.doctor(pf.Client(api_key=KEY, base_url=sim.url, transport="aiohttp"), confirm=False)
        own = pf.Client(api_key=KEY, base_url=sim.url, transport=httpx.AsyncHTTPTransport)
        proxies = found(pf.doctor(own, confirm=False))["proxies"]
    assert found(diagnosis)["connection"].observed == "this transport does not show it"
    assert proxies.observed == "a transport of your own"


BROKEN = """
import errno, fcntl, os, stat
import parallel_frames as pf
def refuse(number):
    def call(*args, **options):
        raise OSError(number, os.strerror(number))
    return call
def look():
    print(*(f"{c.name}={c.verdict}" for c in pf.doctor().checks if c.name in ("cache", "lock")))
flock, fsync, link = fcntl.flock, os.fsync, os.link
fcntl.flock = refuse(errno.ENOLCK); look()
fcntl.flock = lambda *args: None; look()
fcntl.flock = flock
def fsync_of_files(number, fsync=fsync):
    fsync(number) if stat.S_ISREG(os.fstat(number).st_mode) else refuse(errno.EINVAL)()
os.fsync = fsync_of_files; look()
os.fsync, os.link = fsync, refuse(errno.EPERM); look()
os.link, os.fsync = link, refuse(errno.EIO); look()
"""


@pytest.mark.skipif(os.name == "nt", reason="POSIX locks")
def test_file_systems_that_lack_something_are_named(tmp_path):
    """No locks, locks that let everybody in, no sync of folders, no hard links, and a disk that fails."""
    done = subprocess.run([sys.executable, "-c", BROKEN], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines() == [
        "cache=ok lock=handled",
        "cache=ok lock=breaks",
        "cache=handled lock=ok",
        "cache=handled lock=ok",
        "cache=breaks",
    ]


def test_the_cache_is_left_as_it_was(tmp_path, monkeypatch):
    """What was written to try it is removed; a cache that was not there is for this user alone."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("PARALLEL_FRAMES_CACHE", str(cache))
    pf.doctor()
    assert list(cache.iterdir()) == []
    if os.name != "nt":
        assert stat.S_IMODE(cache.stat().st_mode) == 0o700


def test_a_diagnosis_can_be_printed_shown_framed_and_attached(tmp_path):
    """One table in four forms, labelled as simulated, without the key."""
    with pf.offline(latency=0, api_key=KEY, faults=[faults.swap_ids()]) as sim:
        diagnosis = pf.doctor()
    assert sim.counts.runs == 3
    text, page = repr(diagnosis), diagnosis._repr_html_()
    assert text.startswith("simulator · published · 19 ok · 1 handled · 3 runs on lite, $0.015 · SIMULATED\n")
    assert (
        "handled      The answer to a batch names     the ids are in another order    The metadata or the input" in text
    )
    assert max(map(len, text.splitlines())) <= 120
    assert "the ids are in another order" in page
    assert "simulated" in page
    frame = diagnosis.frame
    assert list(frame) == ["name", "assumption", "observed", "verdict", "meaning"]
    assert isinstance(frame, pd.DataFrame)
    written = json.loads(diagnosis.to_json(tmp_path / "doctor.json"))
    assert json.loads((tmp_path / "doctor.json").read_text(encoding="utf-8")) == written
    assert frame["verdict"].tolist() == [check["verdict"] for check in written["checks"]]
    assert written["versions"]["parallel-frames"] == pf.__version__
    assert KEY not in text + page + json.dumps(written)
    with pytest.raises(InputError, match="could not be written"):
        diagnosis.to_json(tmp_path / "nowhere" / "doctor.json")


def test_without_anybody_to_ask_nothing_is_sent():
    """In a script, `confirm=False` says that it may be paid for; the message has the price."""
    with Simulator() as sim, pytest.raises(InputError, match=r"3 runs on lite for \$0\.015.*`confirm=False`"):
        pf.doctor(pf.Client(api_key=KEY, base_url=sim.url))
    assert sim.requests() == []


def test_the_page_lists_what_is_checked():
    """One table, in two places."""
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "check-the-service.md").read_text(encoding="utf-8")
    assert (
        dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", page.partition("## What is checked")[2], re.MULTILINE))
        == ASSUMPTIONS
    )


def test_every_assumption_on_the_service_is_broken_once():
    """None is listed that was never seen to fail; this machine's have tests of their own."""
    broken = {check for _, _, check, verdict, _ in CASES.values() if verdict != "ok"}
    elsewhere = {"proxies", "cache", "lock", "clock"}
    assert broken == ASSUMPTIONS.keys() - elsewhere
