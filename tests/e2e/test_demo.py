"""The command line as a newcomer types it, in a process of its own."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.__main__ import main

RUN = [sys.executable, "-m", "parallel_frames"]


@pytest.fixture(scope="module")
def shown():
    """Return what the demo prints, and the seconds it took."""
    began = time.monotonic()
    done = subprocess.run(
        [*RUN, "demo", "--rows", "60"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100", "PYTHONIOENCODING": "utf-8"},
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, time.monotonic() - began


def test_the_demo_says_first_and_last_that_it_is_simulated(shown):
    """The answers cannot be taken for research: the first word and the last paragraph say that they are simulated."""
    text, _ = shown
    assert text.startswith("SIMULATED")
    assert text.rstrip().rpartition("\n\n")[2].startswith("SIMULATED")


def test_the_demo_ends_with_a_command_that_can_be_typed(shown, tmp_path, monkeypatch):
    """The reader is at a shell's prompt: nothing that is printed is for Python's, and the command works as it is."""
    text, _ = shown
    assert "pf.last()" not in text
    (line,) = [line for line in text.splitlines() if line.startswith("    parallel-frames ")]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.csv").write_text("company\nAcme\n")
    assert main(shlex.split(line)[1:]) == 0
    assert (tmp_path / "out.csv").read_text().startswith("company,founded")


def test_the_demo_fits_the_screen_and_is_quick(shown):
    """No line is wider than 100 columns, and it takes less than ten seconds on a machine with little else to do."""
    text, seconds = shown
    assert [line for line in text.splitlines() if len(line) > 100] == []
    assert seconds < 30


def test_the_demo_counts_what_was_sent(shown):
    """The first call sends every row, the second none, the third only the new ones; nothing is ever paid twice."""
    text, _ = shown
    lines = re.findall(r"^ *(first call|the same again|grown, doubled) +(.*)$", text, re.MULTILINE)
    assert [(name, told.split()) for name, told in lines] == [
        ("first call", ["48", "48", "1", "48", "0", "$0.48"]),
        ("the same again", ["48", "48", "0", "0", "0", "$0.00"]),
        ("grown, doubled", ["121", "120", "1", "13", "0", "$0.12"]),
    ]


def test_the_demo_shows_typed_columns_and_the_row_that_failed(shown):
    """The dtypes are shown, with the real facts, and Atlantis has a status and a reason."""
    text, _ = shown
    assert re.search(r"category +Int64 +Float64 +object +category", text)
    assert re.search(r"Afghanistan +Kabul +Asia +37172386 +647500", text)
    assert re.search(r"Atlantis +\S+ +failed +No such country was found on the web\.", text)
    assert "$0.48 (prices of " in text


@pytest.mark.parametrize("rows", ["0", "251", "many"])
def test_the_demo_refuses_a_number_of_rows_it_has_not(rows, capsys):
    """A number out of range is refused with the usage, exit code 2."""
    assert main(["demo", "--rows", rows]) == 2
    assert "--rows" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "module", "extra"), [("demo", "pydantic", "demo"), ("simulate", "uvicorn", "simulator")]
)
def test_a_missing_extra_is_one_clear_line(command, module, extra):
    """Where an extra is not installed, one line says what to install, exit code 2."""
    source = f"import sys; sys.modules[{module!r}] = None\nfrom parallel_frames.__main__ import main\nsys.exit(main())"
    done = subprocess.run([sys.executable, "-c", source, command], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"parallel-frames: This needs {module}: pip install 'parallel-frames[{extra}]'\n"


@pytest.fixture
def served(forks):
    """Run a simulator as a program of its own; give it and the address it printed."""
    process = forks.start([*RUN, "simulate", "--latency", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return process, process.stdout.readline().decode().strip()


def test_simulate_serves_an_enrichment_until_it_is_interrupted(served, monkeypatch, tmp_path, caplog):
    """Other processes enrich at the address it prints, with any key; an interrupt ends it cleanly."""
    process, url = served
    monkeypatch.setenv("PARALLEL_BASE_URL", url)
    monkeypatch.setenv("PARALLEL_API_KEY", "any")
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    out = pf.enrich(df, {"founded": int}, checkpoint=tmp_path / "ckpt")
    assert out["parallel_status"].tolist() == ["completed", "completed"]
    assert out.attrs["parallel"]["simulated"]
    assert pf.plan(df, {"founded": int}, checkpoint=tmp_path / "ckpt").simulated
    caplog.clear()
    with caplog.at_level("INFO", logger="parallel_frames"):
        pf.enrich(df, {"founded": int}, checkpoint=tmp_path / "ckpt")
    assert caplog.messages[0].endswith("SIMULATED")
    process.send_signal(signal.SIGINT if sys.platform != "win32" else signal.SIGTERM)
    assert process.wait(timeout=10) == (0 if sys.platform != "win32" else 1)


def test_simulate_tells_that_a_port_is_taken(served, capsys):
    """A port in use is one line and exit code 2."""
    _, url = served
    assert main(["simulate", "--port", url.rpartition(":")[2]]) == 2
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith("parallel-frames simulate: Another program listens on port ")


def test_without_a_command_it_says_how_it_is_used(capsys):
    """The bare program prints its usage, exit code 2."""
    assert main([]) == 2
    assert "Usage: parallel-frames" in capsys.readouterr().err
