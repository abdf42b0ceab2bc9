"""Targets that are Parquet without saying so: directories of parts, and what travels beside a row."""

from __future__ import annotations

import json
import signal
import sys

import pandas as pd
import pytest

import parallel_frames as pf


def test_a_target_without_an_ending_is_a_directory_of_parts(place, run):
    """It is written in parts of the size that is named."""
    pd.DataFrame({"company": [f"c{n}" for n in range(10)]}).to_csv("rows.csv", index=False)
    with pf.offline(latency=0) as sim:
        done = run("enrich", "rows.csv", "out", "--column", "ceo: the CEO", "--rows-per-file", "4", "--yes")
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in (place / "out").iterdir()) == [f"part-0000{n}.parquet" for n in range(3)]
    assert pd.read_parquet("out")["company"].tolist() == [f"c{n}" for n in range(10)]
    assert sim.counts.runs == 10


@pytest.mark.parametrize("target", ["out.parquet", "out", "out.csv"])
@pytest.mark.parametrize("source", ["rows.csv", "torn.csv"])
def test_a_target_that_is_there_is_refused_before_anything_is_read_or_asked(place, run, source, target):
    """Neither the question, nor what is wrong with the source, comes first."""
    pd.DataFrame({"company": ["Acme"]}).to_csv("rows.csv", index=False)
    (place / "torn.csv").write_text("a,b\n1\n")
    (place / "out").mkdir()
    for name in ("out.parquet", "out.csv", "out/part-00000.parquet"):
        (place / name).write_bytes(b"kept")
    with pf.offline(latency=0) as sim:
        for agreed in ((), ("--yes",)):
            done = run("enrich", source, target, "--column", "ceo: the CEO", *agreed)
            assert done.exit_code == 2
            assert "Pass --overwrite" in done.stderr
            assert "terminal" not in done.stderr
    assert sim.counts.requests == 0
    assert not list(place.glob("*.ckpt"))
    for name in ("out.parquet", "out.csv", "out/part-00000.parquet"):
        assert (place / name).read_bytes() == b"kept"


def test_what_else_travels_is_a_file(place, run):
    """`--options` and `--input-schema` reach the service as the library sends them."""
    pd.DataFrame({"company": ["Acme"]}).to_parquet("rows.parquet")
    (place / "options.json").write_text(json.dumps({"source_policy": {"include_domains": ["example.com"]}}))
    words = ("--column", "ceo: the CEO", "--options", "options.json", "--input-schema", "infer", "--json")
    with pf.offline(latency=0):
        told = json.loads(run("plan", "rows.parquet", "out.parquet", *words).stdout)
    (sent,) = told["payload"]["inputs"]
    assert sent["source_policy"] == {"include_domains": ["example.com"]}
    assert "company" in json.dumps(told["payload"]["default_task_spec"]["input_schema"])


KILLED = """
import os, pathlib, runpy, signal, sys
replace = pathlib.Path.replace
def killed(self, to):
    moved = replace(self, to)
    if str(to).endswith(".manifest.json"):
        os.kill(os.getpid(), signal.SIGKILL)
    return moved
pathlib.Path.replace = killed
sys.argv[0] = "parallel-frames"
runpy.run_module("parallel_frames", run_name="__main__")
"""


@pytest.mark.parametrize("target", ["out.parquet", "parts/"])
def test_a_command_that_was_killed_after_its_target_was_there_says_so(place, run, forks, target, pointed):
    """The manifest tells that the target is this command's own: nothing is sent or asked, and all is fine."""
    (place / "rows.csv").write_text("company\nAcme\nGlobex\nAcme\n")
    arguments = ["enrich", "rows.csv", target, "--column", "size (int): letters of the name"]
    killed = forks.run([sys.executable, "-c", KILLED, *arguments, "--yes"])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert pointed.counts.runs == 2
    posts = pointed.counts.posts
    again = run(*arguments)  # without --yes: there is nothing to agree to
    assert (again.exit_code, pointed.counts.posts) == (0, posts), again.stderr
    assert "This command has already written" in again.stderr
    assert f"3 rows → {target} · 3 completed" in again.stderr
    facts = json.loads(run(*arguments, "--json").stdout)
    assert (facts["rows"], facts["counts"], facts["cost"]) == (3, {"completed": 3}, 0.02)


def test_a_target_of_another_command_is_not_taken_for_its_own(place, run, pointed):
    """Another question, other options or other rows: the target is there, and is not replaced unasked."""
    (place / "rows.csv").write_text("company\nAcme\nNobody\n")
    column = ["--column", "size (int): letters of the name", "--yes"]
    first = run("enrich", "rows.csv", "out.parquet", *column)
    again = run("enrich", "rows.csv", "out.parquet", *column)
    assert (first.exit_code, again.exit_code) == (1, 1)
    assert "1 completed · 1 failed" in again.stderr
    posts = pointed.counts.posts
    for other in (
        ["--column", "size (int): letters", "--yes"],
        [*column, "--processor", "lite"],
        [*column, "--provenance"],
        [*column, "--refresh"],
        [*column, "--older-than", "30d"],
    ):
        refused = run("enrich", "rows.csv", "out.parquet", *other)
        assert (refused.exit_code, "out.parquet exists. Nothing was sent" in refused.stderr) == (2, True), (
            refused.stderr
        )
    (place / "rows.csv").write_text("company\nAcme\nNobodi\n")
    assert run("enrich", "rows.csv", "out.parquet", *column).exit_code == 2
    assert pointed.counts.posts == posts
