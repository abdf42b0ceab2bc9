"""What tests of the command line share: a simulator, an environment that points at it, and the program as a process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from click.testing import CliRunner

from parallel_frames._cli import app
from parallel_frames.simulator import Failure, Simulator

PROGRAM = [sys.executable, "-m", "parallel_frames"]


def size(sent):
    """Answer with the length of the company's name; one company is not found."""
    return Failure("no such company") if sent["company"] == "Nobody" else {"size": len(sent["company"])}


@pytest.fixture
def sim():
    """Serve the API on loopback, twenty times as fast."""
    with Simulator(size, latency=1, speed=20) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Work in an empty directory with a cache and a home of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def pointed(sim, monkeypatch):
    """Point the environment at the simulator."""
    return point_at(sim, monkeypatch)


def point_at(sim, monkeypatch):
    """Set the variables that a user would set."""
    monkeypatch.setenv("PARALLEL_BASE_URL", sim.url)
    monkeypatch.setenv("PARALLEL_API_KEY", "not-a-real-key")
    monkeypatch.setenv("PARALLEL_FRAMES_CLOCK_SPEED", str(sim.speed))
    return sim


@pytest.fixture
def run():
    """Run a command in this process, with bytes for its input; give its exit code, output and error stream."""

    def invoke(*arguments, stdin=None):
        return CliRunner().invoke(app, list(map(str, arguments)), input=stdin, catch_exceptions=False)

    return invoke


@pytest.fixture
def start(forks):
    """Start the program in a process of its own."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)

    def begin(*arguments):
        return forks.start([*PROGRAM, *arguments], text=True, **pipes)

    return begin


@pytest.fixture
def program(forks, tmp_path_factory):
    """Write the program as shells start it, and return its path."""
    path = tmp_path_factory.mktemp("bin") / "parallel-frames"
    forks.write_program(path, *PROGRAM[1:])
    return path
