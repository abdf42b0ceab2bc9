"""`report`: what became of the runs of a checkpoint, from nothing but the checkpoint."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Answer, Failure

SCHEMA = {"sector": str, "founded": (int, "year of foundation"), "sources": (list[str], "pages")}
DF = pd.DataFrame({"company": [f"Company {n}" for n in range(40)] + ["Company 1"]})


def answer(sent):
    """Fail, break the schema or be unsure, by the number in the name."""
    n = int(sent["company"].split()[1])
    if n % 10 == 7:
        return Failure(f"no company {n}")
    content = {"sector": "tools", "founded": "long ago" if n % 10 == 3 else 1900 + n, "sources": []}
    return Answer(content, basis={"founded": "low" if n == 2 else "high", "sector": "high", "sources": "medium"})


@pytest.fixture
def ckpt(place):
    """Return the path of a checkpoint with answers, failures and runs under way."""
    with pf.offline(answer, latency=0):
        pf.enrich(DF, SCHEMA, checkpoint="c.ckpt", progress=False)
    return "c.ckpt"


def test_the_text_says_what_became_of_the_runs(run, ckpt):
    """By status, cause, warning, field and cost, as the handle's report does, counted by distinct inputs."""
    expected = pf.last().report()
    done = run("report", ckpt)
    assert done.exit_code == 0
    first, second, third, *_ = done.stdout.splitlines()
    assert first == "32 of 40 runs completed (80%) · SIMULATED"
    assert (second, third) == (
        "  4 invalid · 4 failed",
        "  Unsure: 1 of 36 runs with an answer (low confidence in a field)",
    )
    for cause in expected.failures["cause"]:
        assert f"4  {cause}" in done.stdout
    assert '40  field "sources" is redundant' in done.stdout or '36  field "sources" is redundant' in done.stdout
    assert re.search(r"cost +\$0\.36 \(prices of ", done.stdout)
    assert re.search(r"inputs +company\n", done.stdout)
    # in the order of the user's columns
    fields = re.findall(r"^  (sector|founded|sources) +\d", done.stdout, re.MULTILINE)
    assert fields == ["sector", "founded", "sources"]


def test_the_page_holds_the_answers(run, place, ckpt):
    """Failed rows come first, under the number of the first row with their input; nothing in the checkpoint changes."""
    before = {path: path.stat().st_mtime_ns for path in (place / ckpt).rglob("*") if path.is_file()}
    done = run("report", ckpt, "-o", "report.html")
    assert (done.exit_code, done.stderr) == (0, "Written to report.html.\n")
    page = (place / "report.html").read_text(encoding="utf-8")
    labels = [int(label) for label in re.findall(r'<span class="pf-label" dir="auto">(\d+)</span>', page)]
    assert labels[:8] == [7, 17, 27, 37, 3, 13, 23, 33]
    assert labels[8] == 2
    assert sorted(labels) == list(range(40))
    assert "no company 17" in page
    assert "tools" in page
    assert {path: path.stat().st_mtime_ns for path in (place / ckpt).rglob("*") if path.is_file()} == before


def test_runs_under_way_are_pending(run, place):
    """What was sent and has no outcome is counted, and is no failure of the command."""
    with pf.offline(latency=1000):
        pf.submit(DF.head(3), {"n": int}, checkpoint="c.ckpt", progress=False)
        shown = run("report", "c.ckpt").stdout
    assert shown.startswith("0 of 3 runs completed (0%)")
    assert "3 pending" in shown
    assert "Not answered yet (3 runs)\n        3  under way, or not fetched yet" in shown
    assert "went wrong" not in shown


def test_a_page_is_of_one_job(run, place, ckpt):
    """The text has a line for each job of a directory; a page needs the job's name where there are several."""
    with pf.offline(lambda _: "A profile.", latency=0):
        pf.enrich(DF.head(2), "A profile of the company", checkpoint="c.ckpt", on_mismatch="new", progress=False)
    done = run("report", ckpt)
    _, *lines, total = done.stdout.splitlines()
    assert sorted(re.split("  +", line)[1:4] for line in lines) == [
        ["base", "A profile of the company", "2"],
        ["base", "sector, founded, sources", "40"],
    ]
    assert total.startswith("2 jobs · 42 runs (")
    assert f"parallel-frames report {ckpt} --job " in done.stderr
    refused = run("report", ckpt, "-o", "report.html")
    assert refused.exit_code == 2
    assert "holds 2 jobs" in refused.stderr
    jobs = pf.Checkpoint(ckpt).summary().set_index("asks")["job"]
    job = jobs["A profile of the company"]
    assert run("report", ckpt, "--job", job[:6], "-o", "report.html").exit_code == 0
    assert "A profile." in (place / "report.html").read_text(encoding="utf-8")


def test_what_is_no_checkpoint_is_exit_code_4(run, place):
    """The message names the path."""
    done = run("report", "nothing.ckpt")
    assert done.exit_code == 4
    assert "nothing.ckpt" in done.stderr


@pytest.mark.parametrize("schema", ["user's", "sent"])
def test_answers_are_judged_as_the_call_judged_them(run, place, schema):
    """By limits that the service never saw; where the header lost the user's schema, by what was sent."""
    limited = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}
    with pf.offline(lambda _: {"n": 1}, latency=0):
        pf.enrich(DF.head(1), limited, checkpoint="c.ckpt", progress=False)
    (header,) = (place / "c.ckpt").glob("*/header.json")
    if schema == "sent":
        facts = json.loads(header.read_text())
        facts["job"]["schema"] = "lost"
        header.write_text(json.dumps(facts))
    assert ("1 invalid" in run("report", "c.ckpt").stdout) == (schema == "user's")


def test_the_last_line_of_enrich_names_the_command(run, place, monkeypatch):
    """What it names can be typed; without a checkpoint it names none."""
    DF.head(2).to_csv("in.csv", index=False)
    with pf.offline(answer, latency=0):
        words = ["enrich", "in.csv", "--column", "founded (int): year", "--yes"]
        shown = run(*words, "out.csv", "--checkpoint", "my answers.ckpt").stderr
        command = re.search(r"report: parallel-frames (report '.*')", shown)[1]
        import shlex

        assert "2 of 2 runs completed" in run(*shlex.split(command)).stdout
        shown = run(*words, "again.csv", "--checkpoint", "none").stderr
    assert "report:" not in shown
    assert "2 completed" in shown
