"""What a command says: the words of a shell, where an option is from, and what is paid in every case."""

from __future__ import annotations

import os
import pty
import subprocess

import pandas as pd
import pytest

SIZE = ("--column", "size (int): letters of the name")


@pytest.fixture(autouse=True)
def rows(place):
    """Write a table of two companies."""
    pd.DataFrame({"company": ["Acme", "Globex"]}).to_csv("rows.csv", index=False)


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_without_a_bar_what_is_paid_is_stated(run, pointed, target):
    """The line before the first run has cost and checkpoint, and the last one has the cost."""
    done = run("enrich", "rows.csv", target, *SIZE, "--yes", "--no-progress")
    first, *_, last, _ = done.stderr.splitlines()
    assert first.startswith("2 rows → 2 runs · $0.02 · sends company · checkpoint /")
    assert last.startswith("enriched: 2 of 2 rows · 2 completed · $0.02 · report: parallel-frames report /")


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("PARALLEL_FRAMES_PLAN_NO_PROGRESS", "PARALLEL_FRAMES_PLAN_PROGRESS=0"),
        ("PARALLEL_FRAMES_PLAN_MAX_COSTS", "PARALLEL_FRAMES_PLAN_MAX_COST"),
        ("PARALLEL_FRAMES_MAX_COST", "PARALLEL_FRAMES_PLAN_MAX_COST"),
    ],
)
def test_a_variable_that_is_no_option_is_named(run, monkeypatch, variable, meant):
    """It would be ignored, and a limit with it; those of other commands and of the library are none of it."""
    monkeypatch.setenv("PARALLEL_FRAMES_COLLECT_RAWW", "1")
    monkeypatch.setenv("PARALLEL_FRAMES_PLAN_PROCESSOR", "lite")
    monkeypatch.setenv(variable, "1")
    done = run("plan", "rows.csv", *SIZE)
    warning = f"Warning: the variable {variable} is no option of plan, and is ignored. Did you mean {meant}?\n"
    assert (done.exit_code, done.stderr) == (0, warning)


@pytest.mark.parametrize("text", ["company\nAcme\n", '"company","city"\nAcme,Bonn\n', "Acme\n"])
def test_a_pipe_that_is_no_json_says_what_to_type(run, text):
    """CSV has an option, and bare lines have a way."""
    done = run("plan", "-", *SIZE, stdin=text)
    assert done.exit_code == 2
    assert "Say --from csv. Are they bare lines? Make each one a JSON text, as in: jq -R . lines.txt |" in done.stderr
    assert run("plan", "-", *SIZE, "--from", "csv", stdin=text).exit_code == 0


def test_a_limit_that_was_not_typed_says_where_it_is_from(run, place):
    """The project's file decides, and is named in the plan and in the error; no word is Python's."""
    project = place / "pyproject.toml"
    project.write_text("[tool.parallel_frames]\nmax_cost = 0.01\n")
    done = run("plan", "rows.csv", *SIZE)
    assert (done.exit_code, done.stderr.endswith(f" The limit is from {project}.\n")) == (2, True), done.stderr
    assert "is from" not in run("plan", "rows.csv", *SIZE, "--max-cost", "0.01").stderr
    typed = run("plan", "rows.csv", *SIZE, "--max-cost", "1")
    assert (typed.exit_code, "payload" in typed.output) == (0, False), typed.stderr
    project.write_text('[tool.parallel_frames]\nprocesor = "lite"\n')
    assert run("plan", "rows.csv", *SIZE).exit_code == 2
    assert run("demo", "--rows", "2").exit_code == 0


def test_what_there_is_in_python_only_is_left_out(run, place):
    """A shell has no `status`, and rows of a file are no frame."""
    pd.DataFrame({"company": ["Acme"], "parallel_status": ["mine"]}).to_csv("has.csv", index=False)
    done = run("plan", "has.csv", *SIZE)
    assert done.exit_code == 2
    assert "The rows already have 'parallel_status'" in done.stderr
    assert done.stderr.endswith("or --if-exists suffix for numbered names.\n")


def test_many_columns_are_counted(run, place):
    """The line above the question stays one that can be read."""
    pd.DataFrame([range(300)], columns=[f"c{at}" for at in range(300)]).to_csv("wide.csv", index=False)
    assert "sends       300 columns (c0, c1, c2, …)\n" in run("plan", "wide.csv", *SIZE).stdout


def test_rows_have_a_terminal_of_their_own(pointed, program):
    """Where rows and bar would share the screen there is no bar; the lines stay."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([program, "enrich", "rows.csv", *SIZE, "--yes"], stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # its end
            break
        if not block:
            break
        seen += block
    os.close(ours)
    assert process.wait(60) == 0
    lines = seen.decode().splitlines()
    assert sum(line.startswith('{"company":') for line in lines) == 2, lines
    assert "%|" not in seen.decode()
    assert any("$0.02" in line for line in lines)


def test_a_port_that_is_taken_is_named(run, pointed):
    """And what to type."""
    port = pointed.url.rpartition(":")[2]
    done = run("simulate", "--port", port)
    assert done.exit_code == 2
    assert f"Another program listens on port {port}. Name another with --port" in done.stderr


@pytest.mark.parametrize("command", ["enrich", "plan", "submit"])
def test_the_help_lists_options_only(run, command):
    """The files are in the usage line."""
    lines = run(command, "--help").stdout.splitlines()
    assert not {"SOURCE", "[TARGET]"} & {line.strip() for line in lines}
    assert "extra argument (c.csv). See" in run(command, "a.csv", "b.csv", "c.csv").stderr
