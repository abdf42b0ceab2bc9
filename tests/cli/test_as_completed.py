"""Bare texts, and lines as answers arrive: what the seed's two scripts do, each as one command."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Failure, Simulator

from .conftest import point_at

RESULT = ("--column", "result: what the company does", "--yes", "--no-progress")
ITEMS = ["Acme", "Globex", "Initech", "Acme"]


def research(sent):
    """Answer a bare text; one company is not found."""
    return Failure("no such company") if sent == "Nobody" else {"result": f"About {sent}"}


@pytest.fixture(params=["seed", "published"])
def sim(request):
    """Serve one dialect, twenty times as fast."""
    with Simulator(research, latency=1, speed=20, dialect=request.param) as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def items(place):
    """Write the seed's array of texts."""
    (place / "items.json").write_text(json.dumps(ITEMS))


def lines_in(text):
    """Return lines of JSON, without the label that lines of a known simulator have."""
    return [{k: v for k, v in json.loads(line).items() if k != "simulated"} for line in text.splitlines()]


def pairs(lines):
    """Return input and output of each line, as the seed's filter does."""
    return sorted((line["input"], line["output"]["result"]) for line in lines)


def consume(sim, inputs):
    """Send texts and save their events as the seed's consumer does; return the group."""
    base = f"{sim.url}/v1beta/tasks/groups"
    headers = {"x-api-key": "not-a-real-key", "content-type": "application/json"}

    def ask(path, body=None):
        data = None if body is None else json.dumps(body).encode()
        return urllib.request.urlopen(urllib.request.Request(base + path, data, headers))

    spec = {"output_schema": {"type": "object", "properties": {"result": {"type": "string"}}, "required": ["result"]}}
    group_id = json.load(ask("", {"processor": "base", "task_spec": spec}))["taskgroup_id"]
    ask(f"/{group_id}/runs", {"runs": [{"input": text} for text in inputs]}).close()
    with (
        ask(f"/{group_id}/events?include_output=true&include_input=true") as stream,
        Path("results.jsonl").open("wb") as out,
    ):
        for line in stream:
            if line.startswith(b"data: ") and json.loads(line[6:]).get("type") == "task_run.state":
                out.write(line[6:].rstrip() + b"\n")
    return group_id


@pytest.mark.parametrize("source", ["items.json", "items.jsonl", "-"])
@pytest.mark.parametrize("target", ["out.parquet", "out.csv", "-"])
def test_texts_are_sent_bare(run, pointed, place, source, target):
    """Each text is its run's input, however it comes in and wherever it goes; equal ones are paid once."""
    (place / "items.jsonl").write_text("".join(f"{json.dumps(text)}\n" for text in ITEMS))
    done = run("enrich", source, target, *RESULT, stdin=json.dumps(ITEMS).encode())
    assert done.exit_code == 0, done.stderr
    assert sorted(sent.input for sent in pointed.runs()) == ["Acme", "Globex", "Initech"]
    if target == "-":
        assert [line["input"] for line in lines_in(done.stdout)] == ITEMS
    else:
        out = pd.read_parquet(target) if target.endswith("parquet") else pd.read_csv(target)
        assert out["result"].tolist() == [f"About {text}" for text in ITEMS]


def test_texts_frames_and_files_share_answers(run, pointed):
    """The same texts in a frame and through `enrich_parquet` are the same runs."""
    assert run("submit", "items.json", *RESULT).exit_code == 0
    schema = {"result": "what the company does"}
    done = pf.enrich_parquet("items.json", "out.parquet", schema, progress=False)
    out = pd.DataFrame({"company": ITEMS}).parallel.enrich(schema, inputs="company", progress=False)
    assert done.counts == {"completed": 4}
    assert out["result"].tolist() == [f"About {text}" for text in ITEMS]
    assert pointed.counts.runs == 3


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("mixed.json", '["a", {"b": 1}]', "mixed.json has an object in row 2 and a text in row 1."),
        ("mixed.jsonl", '{"b": 1}\n\n"a"\n', "mixed.jsonl has an object in line 1 and a text in line 3."),
        ("null.json", '["a", null]', "null.json is neither an object nor a text."),
        ("number.jsonl", "5\n", "number.jsonl is neither an object nor a text."),
    ],
)
@pytest.mark.parametrize("target", ["out.parquet", "out.csv"])
def test_rows_are_texts_or_objects(run, place, name, text, said, target):
    """A mixture is refused with the place of both, before anything is sent."""
    (place / name).write_text(text)
    done = run("plan", name, target, *RESULT[:2])
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_a_folder_of_texts_and_objects_is_refused(run, place):
    """Two files of one source are of one kind, too."""
    (place / "rows").mkdir()
    (place / "rows" / "a.json").write_text('["a"]')
    (place / "rows" / "b.json").write_text('[{"b": 1}]')
    done = run("plan", "rows", "out.parquet", *RESULT[:2])
    assert (done.exit_code, "b.json has objects and" in done.stderr) == (2, True), done.stderr


def test_a_partition_goes_with_its_texts(run, place):
    """Where a folder is a column, a row is more than its text."""
    (place / "rows" / "country=DE").mkdir(parents=True)
    (place / "rows" / "country=DE" / "a.json").write_text('["Acme"]')
    assert "sends       input, country" in run("plan", "rows", "out.parquet", *RESULT[:2]).stdout


def test_the_seeds_first_script_is_one_line(run, pointed):
    """An array of texts in, a line of input and output for each as it arrives, in either dialect."""
    done = run("enrich", "items.json", "--as-completed", *RESULT)
    assert done.exit_code == 0, done.stderr
    lines = lines_in(done.stdout)
    assert pairs(lines) == sorted((text, f"About {text}") for text in ITEMS)
    assert sorted(line["row"] for line in lines) == [0, 1, 2, 3]
    assert {(line["status"], line["error"]) for line in lines} == {("completed", None)}
    again = run("enrich", "items.json", "--as-completed", *RESULT)
    assert sorted(lines_in(again.stdout), key=str) == sorted(lines, key=str)
    assert pointed.counts.runs == 3


def test_lines_come_while_others_are_awaited(start, monkeypatch, place):
    """The first line is there long before the last run ends, and Ctrl-C loses nothing."""
    latencies = iter([1])
    with Simulator(research, latency=lambda _: next(latencies, 4000), speed=20) as sim:
        point_at(sim, monkeypatch)
        process = start("enrich", "items.json", "--as-completed", *RESULT)
        first = json.loads(process.stdout.readline())
        assert (first["input"], sim.counts.completed) == ("Acme", 1)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 143
        assert "To resume: parallel-frames enrich items.json --as-completed" in err


def test_a_reader_that_leaves_ends_it(start, monkeypatch):
    """`| head -1` stops the waiting, without a word more."""
    latencies = iter([1, 40])
    with Simulator(research, latency=lambda _: next(latencies, 40_000), speed=20) as sim:
        point_at(sim, monkeypatch)
        process = start("enrich", "items.json", "--as-completed", *RESULT)
        process.stdout.readline()
        process.stdout.close()
        begun = time.monotonic()
        assert process.wait(60) == 141
        assert time.monotonic() - begun < 50
        assert "Error" not in process.stderr.read()


@pytest.mark.parametrize("sim", ["seed"], indirect=True)
def test_the_seeds_second_script_is_one_line(run, pointed, place):
    """The service's own events, in the consumer's own file: what is there stays, a torn line goes, the rest comes."""
    group_id = consume(pointed, ["Acme", "Globex", "Nobody"])
    whole = (place / "results.jsonl").read_text()
    first, rest = whole.split("\n", 1)
    (place / "results.jsonl").write_text(f"{first}\n{rest[:40]}")
    command = ("collect", group_id, "--follow", "--raw", "-o", "results.jsonl")
    done = run(*command)
    assert done.exit_code == 0, done.stderr
    assert lines_in((place / "results.jsonl").read_text()) == lines_in(whole)
    assert "0 runs written" in run(*command).stderr
    newer = run("collect", group_id, "--follow", "--raw", "--last-event-id", json.loads(first)["event_id"])
    assert lines_in(newer.stdout) == lines_in(whole)[1:]
    assert (
        "--raw continues a file of the service's own events" in run("collect", group_id, "-o", "results.jsonl").stderr
    )


@pytest.mark.parametrize("sim", ["seed"], indirect=True)
def test_raw_events_without_a_run_are_continued_behind_the_last_one(run, pointed, place):
    """Lines of input, output and event_id alone: the cursor says where to continue."""
    group_id = consume(pointed, ["Acme", "Globex", "Initech"])
    events = lines_in((place / "results.jsonl").read_text())
    kept = [{name: event[name] for name in ("type", "event_id", "input", "output")} for event in events]
    (place / "results.jsonl").write_text(json.dumps(kept[0]) + "\n")
    assert run("collect", group_id, "--raw", "-o", "results.jsonl").exit_code == 0
    assert [line["event_id"] for line in lines_in((place / "results.jsonl").read_text())] == [
        event["event_id"] for event in events
    ]


def test_raw_events_have_their_outputs(run, pointed, place):
    """Where a dialect's events come without outputs, they are filled in."""
    group_id = run("submit", "items.json", *RESULT).stdout.strip()
    lines = lines_in(run("collect", group_id, "--follow", "--raw").stdout)
    assert {line["type"] for line in lines} == {"task_run.state"}
    assert sorted(line["output"]["content"]["result"] for line in lines) == [
        "About Acme",
        "About Globex",
        "About Initech",
    ]
    assert all(line["run"]["run_id"] for line in lines)
    assert len(lines_in(run("collect", group_id, "--raw").stdout)) == 3


@pytest.mark.parametrize("shape", ["events", "bare"])
@pytest.mark.parametrize("sim", ["seed"], indirect=True)
def test_a_file_of_the_seeds_consumer_is_continued_without_paying_again(run, pointed, place, shape):
    """Inputs that it answers are not asked, failed ones are, and every row of the source has a line in the end."""
    consume(pointed, ["Acme", "Nobody", "Elsewhere"])
    if shape == "bare":
        events = lines_in((place / "results.jsonl").read_text())
        kept = [{name: event.get(name) for name in ("input", "output", "event_id")} for event in events]
        (place / "results.jsonl").write_text("".join(f"{json.dumps(event)}\n" for event in kept))
    (place / "items.json").write_text(json.dumps([*ITEMS, "Nobody"]))
    before, paid = (place / "results.jsonl").read_text(), pointed.counts.runs
    command = ("enrich", "items.json", "results.jsonl", "--as-completed", *RESULT)
    assert "5 rows → 3 runs" in run("plan", *command[1:4], *RESULT[:2]).stdout
    done = run(*command)
    assert done.exit_code == 1, done.stderr
    after = (place / "results.jsonl").read_text()
    assert after.startswith(before)
    assert sorted(sent.input for sent in pointed.runs()[paid:]) == ["Globex", "Initech", "Nobody"]
    added = lines_in(after[len(before) :])
    assert sorted(line["input"] for line in added) == ["Acme", "Globex", "Initech", "Nobody"]
    (copied,) = [line for line in added if line["input"] == "Acme"]
    assert copied["row"] == 3
    assert run(*command, "--no-retry-failed").exit_code == 1


def test_a_file_of_lines_is_whole_and_then_nothing_is_to_do(run, pointed, place):
    """The same command again needs no yes, sends and writes nothing, and says so; a torn line is written again."""
    command = ("enrich", "items.json", "out.jsonl", "--as-completed", *RESULT[:2])
    assert run(*command, "--yes").exit_code == 0
    whole = (place / "out.jsonl").read_bytes()
    done = run(*command)
    assert (done.exit_code, (place / "out.jsonl").read_bytes()) == (0, whole), done.stderr
    assert done.stderr.splitlines()[-1] == "4 rows → out.jsonl · 4 kept · SIMULATED"
    (place / "out.jsonl").write_bytes(whole[:-20])
    assert run(*command).exit_code == 0
    assert sorted(lines_in((place / "out.jsonl").read_text()), key=str) == sorted(lines_in(whole.decode()), key=str)
    assert run(*command, "--overwrite").exit_code == 0
    assert len(lines_in((place / "out.jsonl").read_text())) == 4
    assert pointed.counts.runs == 3


@pytest.mark.parametrize(
    ("text", "arguments", "said"),
    [
        ('{"output": {"result": "x"}}\n', (), "out.jsonl has no input in line 1, so the row it answers is unknown."),
        ("not JSON\n", (), "out.jsonl holds something else in line 1"),
        ("{torn", (), "out.jsonl holds something else in line 1"),
        ('{"input": "Acme", "output": {"result": "x"}}\n', ("--where", "missing"), "both choose rows"),
    ],
)
def test_a_file_that_cannot_be_continued_is_left_alone(run, pointed, place, text, arguments, said):
    """Nothing is sent, and not a byte of it is changed."""
    (place / "out.jsonl").write_text(text)
    done = run("enrich", "items.json", "out.jsonl", "--as-completed", *RESULT, *arguments)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
    assert (place / "out.jsonl").read_text() == text
    assert pointed.counts.runs == 0


@pytest.mark.parametrize("arguments", [("out.csv",), ("-", "--to", "csv"), ("items.json",), ("no/where.jsonl",)])
def test_lines_go_into_a_pipe_or_a_file_of_lines(run, pointed, arguments):
    """Any other target is refused."""
    assert run("enrich", "items.json", *arguments, "--as-completed", *RESULT).exit_code == 2
    assert pointed.counts.runs == 0


def test_a_group_of_another_program_is_taken_over(run, pointed, place):
    """`--group-id` takes what a group holds: only what it lacks is paid for."""
    group_id = run("submit", "items.json", *RESULT, "--checkpoint", "a.ckpt").stdout.strip()
    (place / "items.json").write_text(json.dumps([*ITEMS, "Hooli"]))
    done = run("enrich", "items.json", *RESULT, "--checkpoint", "b.ckpt", "--group-id", group_id)
    assert done.exit_code == 0, done.stderr
    assert pointed.counts.runs == 4


@pytest.mark.parametrize("sim", ["published"], indirect=True)
@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            ("--column", "other: else", "--yes"),
            "out.jsonl has 'result', and lacks 'other': it answers another",
        ),
        ((*RESULT, "--processor", "core"), "is of the processor 'base', and this asks 'core'"),
        ((*RESULT, "--inputs", "company,"), 'out.jsonl answers "Acme", and this would send {"company":"Acme"}'),
    ],
)
def test_lines_of_another_question_are_no_answers(run, pointed, place, other, said):
    """Another field, another processor, or the same rows in another form: refused before it costs."""
    pd.DataFrame({"company": ["Acme", "Globex"]}).to_csv("rows.csv", index=False)
    command = ("enrich", "rows.csv", "out.jsonl", "--as-completed")
    first = run(*command, *RESULT, "--inputs", "company")
    assert first.exit_code == 0, first.stderr
    before, posts = (place / "out.jsonl").read_bytes(), pointed.counts.posts
    words = other if "--inputs" in other else (*other, "--inputs", "company")
    refused = run(*command, *words)
    assert (refused.exit_code, said in refused.stderr, "Nothing was sent." in refused.stderr) == (2, True, True), (
        refused.stderr
    )
    assert ((place / "out.jsonl").read_bytes(), pointed.counts.posts) == (before, posts)
    again = run(*command, *RESULT, "--inputs", "company")
    assert (again.exit_code, "2 kept" in again.stderr) == (0, True), again.stderr
