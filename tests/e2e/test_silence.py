"""A service that cannot be reached: one warning on one channel, while it is tried again."""

from __future__ import annotations

import logging
import os
import socket
import sys

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Simulator, faults

DF = pd.DataFrame({"company": [f"Company {n}" for n in range(5)]})
WORDS = "has not answered for"

SCRIPT = """
import sys, logging, warnings
import pandas as pd, parallel_frames as pf
import parallel_frames._service._session as session
session.SILENCE = 0.3
SETUP
client = pf.Client(api_key="any", base_url="http://127.0.0.1:PORT", clock_speed=20)
out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich(
    {"n": int}, client=client, checkpoint=None, timeout=20, processor="bsae", MORE
)
print(out["parallel_error"].tolist()[0])
"""


@pytest.fixture
def closed_port():
    """Give a port at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def run(forks, port, *, setup="", more=""):
    """Run the script and return what it printed and what the error stream got."""
    code = SCRIPT.replace("PORT", str(port)).replace("SETUP", setup).replace("MORE", more)
    done = forks.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONIOENCODING": "utf-8"})
    return done.stdout, done.stderr


@pytest.mark.parametrize("more", ["", "progress=False"], ids=["lines", "silent"])
def test_an_unreachable_service_is_named_once(forks, closed_port, more):
    """A script without logging sees each warning once, with or without progress; the row's error says why."""
    printed, shown = run(forks, closed_port, more=more)
    (line,) = [line for line in shown.splitlines() if WORDS in line]
    assert f"127.0.0.1:{closed_port} {WORDS}" in line
    assert "ConnectError" in line
    assert shown.count("is not in the price table") == 1
    assert "not sent within the timeout of 20 s" in printed
    assert "could not be reached (ConnectError" in printed


@pytest.mark.parametrize("stream", ["stderr", "stdout"])
def test_a_log_that_prints_is_not_repeated(forks, closed_port, stream):
    """Where the program's own log goes to the terminal, the screen leaves warnings to it."""
    setup = f"logging.basicConfig(stream=sys.{stream})"
    printed, shown = run(forks, closed_port, setup=setup)
    both = printed + shown
    assert both.count(WORDS) == 1
    assert both.count("is not in the price table") == 1
    assert f"WARNING:parallel_frames:127.0.0.1:{closed_port} {WORDS}" in both


def test_a_log_in_a_file_leaves_the_screen_its_warnings(forks, closed_port, tmp_path):
    """The person sees them and the file has them; without progress the file alone has them."""
    setup = f"logging.basicConfig(filename={str(tmp_path / 'log')!r})"
    _, shown = run(forks, closed_port, setup=setup)
    assert shown.count(WORDS) == 1
    assert (tmp_path / "log").read_text().count(WORDS) == 1
    _, shown = run(forks, closed_port, setup=setup, more="progress=False")
    assert shown == ""
    assert (tmp_path / "log").read_text().count(WORDS) == 2


def test_a_service_that_takes_connections_and_says_nothing_is_named_too(caplog, monkeypatch):
    """Nothing failed yet, and nothing came: that is named as well."""
    monkeypatch.setattr("parallel_frames._service._session.SILENCE", 0.05)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client = pf.Client(api_key="any", base_url=f"http://127.0.0.1:{server.getsockname()[1]}", clock_speed=20)
        out = DF.parallel.enrich({"n": int}, client=client, checkpoint=None, timeout=10, progress=False)
    assert set(out["parallel_status"]) == {"not_sent"}
    (message,) = [message for message in caplog.messages if WORDS in message]
    assert "It is asked again until it does" in message


def test_a_service_that_answers_in_time_is_not_named(caplog):
    """Failures that pass within moments, and streams that are cut, are no news for a person."""
    trouble = [faults.status(503, on="create_group", nth={1, 2}), faults.cut_stream(after=2)]
    with Simulator(lambda _: {"n": 1}, latency=1, speed=50, faults=trouble) as sim:
        client = pf.Client(api_key="any", base_url=sim.url, clock_speed=sim.speed)
        with caplog.at_level(logging.INFO, logger="parallel_frames"):
            out = DF.parallel.enrich({"n": int}, client=client, checkpoint=None, progress=False)
    assert set(out["parallel_status"]) == {"completed"}
    assert WORDS not in caplog.text


def test_an_outage_is_named_and_its_end_is_not(caplog, monkeypatch):
    """A service that fails for long and comes back costs one warning, and no row."""
    monkeypatch.setattr("parallel_frames._service._session.SILENCE", 0.01)
    trouble = [faults.status(503, on="create_group", nth={1, 2, 3})]
    with Simulator(lambda _: {"n": 1}, latency=1, speed=5, faults=trouble) as sim:
        client = pf.Client(api_key="any", base_url=sim.url, clock_speed=sim.speed)
        out = DF.parallel.enrich({"n": int}, client=client, checkpoint=None, progress=False)
    assert set(out["parallel_status"]) == {"completed"}
    assert caplog.text.count(WORDS) == 1
