"""Starting, stopping, starting again; as a thread and as a program."""

from __future__ import annotations

import gc
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress

import httpx
import pytest

from parallel_frames.simulator import Simulator

KEY = {"x-api-key": "any"}


def test_a_stopped_simulator_leaves_nothing_behind():
    """No thread and no open socket is left, even with a stream and idle connections open."""
    before = set(threading.enumerate())
    sim = Simulator(latency=60).start()
    with httpx.Client(base_url=sim.url, headers=KEY) as http:
        group = http.post("/v1/tasks/groups", json={}).json()["taskgroup_id"]
        http.post(f"/v1/tasks/groups/{group}/runs", json={"inputs": [{"input": "A", "processor": "lite"}]})
        with http.stream("GET", f"/v1/tasks/groups/{group}/events") as stream:
            sim.stop()
            with pytest.raises(httpx.TransportError):
                stream.read()
        with pytest.raises(httpx.TransportError):
            http.get("/")
    gc.collect()  # an open socket would be a ResourceWarning, and that an error
    assert not set(threading.enumerate()) - before


def test_connections_made_while_it_stops_are_closed_too():
    """However many connect at that moment, none of their sockets is left open: a ResourceWarning would be an error."""
    for _ in range(5):
        sim, connections = Simulator().start(), []
        host, port = sim.url.removeprefix("http://").split(":")

        def connect(address=(host, int(port)), connections=connections):
            with suppress(OSError):
                for _ in range(60):
                    connections.append(socket.create_connection(address, timeout=1))

        threads = [threading.Thread(target=connect) for _ in range(2)]
        for thread in threads:
            thread.start()
        sim.stop()
        for thread in threads:
            thread.join()
        for connection in connections:
            connection.close()
    gc.collect()


def test_start_and_stop_may_be_repeated():
    """Starting twice or stopping twice changes nothing."""
    sim = Simulator()
    assert sim.start() is sim
    url = sim.url
    assert sim.start().url == url
    sim.stop()
    sim.stop()


def test_a_server_that_comes_back_has_its_runs_and_its_port(simulate):
    """After a stop and a start, groups, runs and events are there, and runs due meanwhile are done."""
    caller = simulate(latency=0.1)
    group = caller.create_group()
    caller.add(group, "A", "B")
    url = caller.sim.url
    caller.sim.stop()
    with pytest.raises(httpx.TransportError):
        caller.http.get("/")
    caller.sim.start()
    assert caller.sim.url == url
    assert [event["run"]["status"] for event in caller.outcomes(group)] == ["completed", "completed"]


def test_without_a_start_there_is_no_address():
    """The URL of a simulator that never started is an error that names start()."""
    with pytest.raises(RuntimeError, match=r"call start\(\)"):
        _ = Simulator().url


def test_a_taken_port_is_an_error_at_once():
    """A port in use raises in the caller's thread."""
    with Simulator() as sim, pytest.raises(OSError, match="in use"):
        Simulator(port=int(sim.url.rpartition(":")[2])).start()


def test_time_can_be_turned(simulate):
    """Speed and jumps reach runs and streams that are waiting already."""
    caller = simulate(latency=3600, stream_lifetime=float("inf"))
    group = caller.create_group()
    caller.add(group, "A")
    threading.Timer(0.05, caller.sim.advance, [400]).start()
    threading.Timer(0.1, lambda: setattr(caller.sim, "speed", 1e6)).start()
    (event,) = caller.outcomes(group)
    assert event["run"]["status"] == "completed"
    assert caller.sim.now > 3600


def test_every_response_says_it_is_simulated(simulate):
    """The header is on answers, errors and streams alike."""
    caller = simulate()
    group = caller.create_group()
    for path in ("/nothing", "/v1/tasks/groups", f"/v1/tasks/groups/{group}/events", f"/v1/tasks/groups/{group}"):
        assert caller.http.get(path).headers["x-parallel-simulator"] == "1"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_prints_its_address_and_stops_at_a_signal(forks, number):
    """One line with the URL, then an exit without a word."""
    code = "from parallel_frames.simulator import serve; serve(latency=1)"
    command = [sys.executable, "-W", "error", "-c", code]
    program = forks.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    url = program.stdout.readline().strip()
    assert httpx.post(f"{url}/v1/tasks/groups", json={}, headers=KEY).status_code == 200
    program.send_signal(number)
    assert program.communicate(timeout=20) == ("", "")
    assert program.returncode == 0


def test_a_missing_extra_says_what_to_type(tmp_path):
    """Without uvicorn the import error names the extra."""
    code = "import sys; sys.modules['uvicorn'] = None\nimport parallel_frames.simulator"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'parallel-frames[simulator]'" in done.stderr


def test_ten_thousand_runs_cost_the_server_little(simulate):
    """Creating 10,000 runs and streaming their events with outputs takes well under 2 s, client included."""
    import time

    caller = simulate(max_per_minute=None, latency=0)
    group = caller.create_group()
    start = time.process_time()
    for batch in range(10):
        caller.add(group, *({"country": f"{batch}/{n}"} for n in range(1000))).raise_for_status()
    size, query = 0, {"include_output": "true"}
    with caller.http.stream("GET", f"/v1/tasks/groups/{group}/events", params=query) as response:
        for chunk in response.iter_raw():
            size += chunk.count(b'"task_run.state"')
    assert caller.sim.counts.completed == 10_000
    assert time.process_time() - start < 4  # 1 s on a quiet machine; a broken design takes a minute
    assert size > 9_900  # a few are cut in two by chunk borders
