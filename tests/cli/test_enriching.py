"""`plan`, `enrich` and `submit`: formats, pipes, what is refused before it costs, and going on."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path

import click
import pandas as pd
import pytest

from parallel_frames._cli import app
from parallel_frames._cli._frames import read_frame, write_frame
from parallel_frames._job._options import Call
from parallel_frames.simulator import Answer, Simulator

from .conftest import point_at, size

SIZE = ("--column", "size (int): letters of the name")


def write_rows(path, *names):
    """Write a table of companies."""
    pd.DataFrame({"company": names}).to_csv(path, index=False)


@pytest.mark.parametrize(
    "name", ["out.parquet", "out.csv", "out.feather", "out.arrow", "out.json", "out.jsonl", "out.xlsx"]
)
def test_each_format_is_written_and_read_back(run, pointed, name):
    """A target holds the rows and their answers, and is a source of the next command."""
    write_rows("rows.csv", "Acme", "Globex")
    done = run("enrich", "rows.csv", name, *SIZE, "--yes", "--no-progress")
    assert (done.exit_code, done.stdout) == (0, "")
    out = read_frame(name)
    assert out["company"].tolist() == ["Acme", "Globex"]
    assert out["size"].tolist() == [4, 6]
    again = run("enrich", name, "again.jsonl", *SIZE, "--if-exists", "overwrite", "--inputs", "company,",
                "--yes")  # fmt: skip
    assert again.exit_code == 0
    assert pointed.counts.runs == 2


def test_a_pipe_of_json_lines(start, pointed, place):
    """Rows come from the standard input, and leave with their answers on the standard output; talk goes elsewhere."""
    process = start("enrich", "-", "-", *SIZE, "--yes")
    out, err = process.communicate('{"company": "Acme", "id": 9007199254740993}\n{"company": "Hooli"}\n')
    assert process.returncode == 0, err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [(line["company"], line["id"], line["size"]) for line in lines] == [
        ("Acme", 9007199254740993, 4),
        ("Hooli", None, 5),
    ]
    assert "2 rows" in err


def test_the_model_may_be_imported_from_here(run, pointed, place):
    """A schema is a class of a module in the working directory, or a JSON file."""
    (place / "ours_model.py").write_text("from pydantic import BaseModel\n\nclass Size(BaseModel):\n    size: int\n")
    (place / "size.json").write_text('{"type": "object", "properties": {"size": {"type": "integer"}}}')
    write_rows("rows.csv", "Acme")
    for schema in ("ours_model:Size", "size.json"):
        done = run("enrich", "rows.csv", "-", "--schema", schema, "--yes")
        assert json.loads(done.stdout)["size"] == 4


def test_failed_rows_are_exit_code_1_and_the_target_is_written(run, pointed):
    """A row's failure is data; a script sees it in the exit code, and the machine's summary counts it."""
    write_rows("rows.csv", "Acme", "Nobody")
    done = run("enrich", "rows.csv", "out.parquet", *SIZE, "--yes", "--json", "--no-progress")
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert (told["counts"]["failed"], told["rows"], told["cost"]) == (1, 2, 0.01)
    assert pd.read_parquet("out.parquet")["parallel_status"].tolist() == ["completed", "failed"]


@pytest.mark.parametrize("target", ["out.parquet", "out.csv"])
def test_connectors_that_are_billed_per_call_are_named_wherever_a_cost_is(run, pointed, place, target):
    """The machine's summaries, the manifest, the question and the line of `submit` say that the cost is not all."""
    write_rows("rows.csv", "Acme")
    (place / "o.json").write_text('{"advanced_settings": {"data_sources": {"pay_per_use": ["a"]}}}')
    words = ("rows.csv", target, *SIZE, "--options", "o.json", "--no-progress")
    assert "for $0.01 plus connector calls" in run("enrich", *words).stderr
    assert "for $0.01 plus connector calls" in run("submit", *words, "--yes").stderr
    for command in ("plan", "submit", "enrich", "enrich"):  # the last finds what the one before wrote
        consent = () if command == "plan" else ("--yes",)
        told = json.loads(run(command, *words, *consent, "--json").stdout)
        assert (command, told["extra_cost"]) == (command, "plus connector calls")
    if target == "out.parquet":
        assert json.loads((place / "out.parquet.manifest.json").read_text())["extra_cost"] == "plus connector calls"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rows.csv", "out.xls", *SIZE], "The extension names the format, and out.xls has another"),
        (["nowhere.csv", "out.csv", *SIZE], "does not exist"),
        (["rows.csv", "there.csv", *SIZE], "Pass --overwrite"),
        (["rows.csv", "no/where.csv", *SIZE], "there is no directory"),
        (["rows.csv", "out.csv"], "in one way"),
        (["rows.csv", "out.csv", *SIZE, "--schema", "x.json"], "in one way"),
        (["rows.csv", "out.csv", "--schema", "x.json"], "cannot be read"),
        (["rows.csv", "out.csv", "--schema", "no_such_module_here:Model"], "there is no module"),
        (["rows.csv", "out.csv", "--column", "size (integer): x"], "write 'size (int)'"),
        (["rows.csv", "out.csv", "--column", "size (huge): x"], "expected one of str, int"),
        (["rows.csv", "out.csv", "--column", "opened: a date"], "write 'opened (date): what to find'"),
        (["rows.csv", "out.csv", "--column", "size"], "what to find"),
        (["rows.csv", "out.csv", *SIZE, "--inputs", "compny"], "did you mean 'company'?"),
        (["rows.csv", "out.csv", *SIZE, "--max-cost", "0.001"], "Pass --max-cost 0.02 to proceed"),
        (["rows.csv", "out.csv", *SIZE, "--max-cost", "5$"], "must be an amount in US dollars, 0 or more, such as 5"),
        (["rows.csv", "out.csv", *SIZE, "--processor", "cor", "--max-cost", "1"], "did you mean 'core'? Nothing was"),
        (["rows.csv", "out.csv", *SIZE, "--timeout", "soon"], "must be a number of seconds"),
        (["rows.csv", "out.csv", *SIZE, "--processr", "x"], "--processor"),
        (["rows.csv", "out.csv", *SIZE, "--rows-per-file", "9"], "Parquet target"),
        (["rows.csv", "-", *SIZE, "--json"], "name a TARGET"),
        (["torn.parquet", "out.csv", *SIZE], "cannot be read as parquet"),
    ],
)
def test_bad_input_is_one_clear_line_and_nothing_is_sent(run, pointed, place, arguments, said):
    """Exit code 2, a line that says what to type, no traceback, no run, and no target."""
    write_rows("rows.csv", "Acme", "Globex")
    (place / "there.csv").write_text("kept")
    (place / "torn.parquet").write_bytes(b"PAR1 and no more")
    done = run("enrich", *arguments, "--yes", "--no-progress")
    assert done.exit_code == 2
    assert said in done.stderr
    assert pointed.counts.runs == 0
    assert (place / "there.csv").read_text() == "kept"
    assert not (place / "out.csv").exists()


def test_without_a_terminal_it_wants_a_yes(run, pointed):
    """A script pays only when it says so; the error names both ways to say it."""
    write_rows("rows.csv", "Acme")
    done = run("enrich", "rows.csv", "out.csv", *SIZE)
    assert done.exit_code == 2
    assert "--yes" in done.stderr
    assert "--max-cost" in done.stderr
    assert pointed.counts.runs == 0


@pytest.mark.parametrize(("answer", "code", "runs"), [("n", 2, 0), ("y", 0, 1)])
def test_at_a_terminal_it_shows_the_plan_and_asks(pointed, place, program, answer, code, runs):
    """A person sees the price before it is paid, and may say no."""
    pexpect = pytest.importorskip("pexpect")
    write_rows("rows.csv", "Acme")
    child = pexpect.spawn(str(program), ["enrich", "rows.csv", "out.csv", *SIZE], encoding="utf-8", timeout=60)
    child.expect(r"Send 1 run for \$0\.01\? \[y/N\]")
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert (child.exitstatus, pointed.counts.runs) == (code, runs)
    assert (place / "out.csv").exists() == (code == 0)


def test_a_wrong_key_is_exit_code_3(run, monkeypatch):
    """The service's refusal names how to go on, and not the key."""
    with Simulator(size, api_key="right") as sim:
        point_at(sim, monkeypatch)
        write_rows("rows.csv", "Acme")
        done = run("enrich", "rows.csv", "out.csv", *SIZE, "--yes", "--no-progress")
    assert done.exit_code == 3
    assert "To resume: parallel-frames enrich rows.csv out.csv" in done.stderr
    assert "not-a-real-key" not in done.stderr + done.stdout


def test_another_jobs_checkpoint_is_exit_code_4(run, pointed):
    """The error says what to type in the words of the command line."""
    write_rows("rows.csv", "Acme")
    words = ("enrich", "rows.csv", "out.csv", "--checkpoint", "ck", "--yes")
    assert run(*words, *SIZE).exit_code == 0
    done = run(*words, "--column", "ceo: name", "--overwrite")
    assert done.exit_code == 4
    assert "--on-mismatch new" in done.stderr


def test_ctrl_c_and_the_same_command_again_pay_once(start, monkeypatch, place):
    """An interrupt leaves no target, says how to go on, and the same command sends only what is missing."""
    with Simulator(size, latency=(1, 60), speed=20, max_per_minute=None) as sim:
        point_at(sim, monkeypatch)
        write_rows("rows.csv", *[f"Company {n}" for n in range(300)])
        command = ("enrich", "rows.csv", "out.parquet", *SIZE, "--yes")
        process = start(*command)
        sim.wait_until(lambda counts: counts.completed >= 20, timeout=60)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "To resume: parallel-frames enrich rows.csv out.parquet" in err
        assert not [path for path in place.iterdir() if path.name.startswith((".out", "out.parquet"))]
        again = start(*command)
        _, err = again.communicate(timeout=100)
        assert again.returncode == 0, err
        assert sim.counts.runs == 300
        assert pd.read_parquet("out.parquet")["size"].notna().all()


def test_submit_leaves_at_once_and_enrich_fetches(run, monkeypatch):
    """What was submitted is awaited by the same words with enrich, and not sent again."""
    with Simulator(size, latency=30, speed=20) as sim:
        point_at(sim, monkeypatch)
        write_rows("rows.csv", "Acme", "Globex")
        began = time.monotonic()
        sent = run("submit", "rows.csv", "out.csv", *SIZE, "--yes", "--json", "--no-progress")
        told = json.loads(sent.stdout)
        assert (sent.exit_code, told["rows"], told["cost"]) == (0, 2, 0.02)
        assert told["group_ids"] == sim.group_ids
        assert time.monotonic() - began < 30
        assert run("enrich", "rows.csv", "out.csv", *SIZE, "--yes").exit_code == 0
        assert sim.counts.runs == 2


def test_both_ways_send_the_same(run, pointed, place):
    """What submit read in memory is what enrich reads from file to file: other dtypes, missing cells and all."""
    (place / "rows.csv").write_text(
        "company,code,n,x,day,yes,mixed,when\n"
        "Acme,NA,1,0.1,2024-01-02,true,1,2024-01-02T03:04:05\n"
        "Hooli,None,,2.50,,false,True,\n"
        "007,null,3,1e3,2024-02-03,,<NA>,2024-01-02T03:04:06\n"
    )
    sent = run("submit", "rows.csv", "out.csv", *SIZE, "--yes", "--no-progress", "--checkpoint", "out.parquet.ckpt")
    assert sent.exit_code == 0
    done = run("enrich", "rows.csv", "out.parquet", *SIZE, "--yes", "--no-progress", "--provenance")
    assert done.exit_code == 0, done.stderr
    assert pointed.counts.runs == 3
    assert len(pd.read_parquet("out.parquet").columns) > 8 + 3
    assert run("submit", "rows.csv", "out.parquet", *SIZE, "--yes", "--no-progress").exit_code == 0
    assert pointed.counts.runs == 3
    told = run("plan", "rows.csv", "out.parquet", *SIZE, "--older-than", "30d", "--json")
    assert json.loads(told.stdout)["to_send"] == 0


def test_age_and_provenance_are_for_every_format(run, monkeypatch):
    """A CSV target, made in memory, takes the same options as a Parquet target."""
    with Simulator(size, latency=0) as sim:  # at the speed of the clock that ages are measured by
        point_at(sim, monkeypatch)
        write_rows("rows.csv", "Acme")
        done = run("enrich", "rows.csv", "out.csv", *SIZE, "--yes", "--no-progress", "--provenance")
        assert done.exit_code == 0, done.stderr
        assert pd.read_csv("out.csv")["parallel_run_id"].notna().all()
        for age, to_send in {"0s": 1, "30d": 0}.items():
            plan = run("plan", "rows.csv", "out.csv", *SIZE, "--older-than", age, "--json")
            assert json.loads(plan.stdout)["to_send"] == to_send


def test_the_options_are_those_of_the_library(run):
    """Defaults, choices and help of the options come from the library's own parameters."""
    options = {option.name: option for option in app.get_command(click.Context(app), "enrich").params}
    for field in fields(Call):
        if field.name in options and field.name not in {"checkpoint", "group_id", "inputs", "metadata"}:
            assert options[field.name].get_default(click.Context(app)) == field.default, field.name
    assert list(options["if_exists"].type.choices) == ["error", "fill", "overwrite", "suffix"]
    assert "Ask again about rows whose answer is older: 30d, 12h, 2w, or seconds." in options["older_than"].help
    assert all(option.help for option in options.values() if isinstance(option, click.Option))
    assert run("enrich", "--help").stdout.isascii()


def test_a_target_that_cannot_be_written_in_the_end_is_resumable(start, monkeypatch, place):
    """What was paid for is safe: exit code 3, and the same command writes it without paying again."""
    with Simulator(size, latency=60, speed=20) as sim:
        point_at(sim, monkeypatch)
        write_rows("rows.csv", "Acme")
        (place / "there").mkdir()
        command = ("enrich", "rows.csv", "there/out.csv", *SIZE, "--yes", "--checkpoint", "c.ckpt")
        process = start(*command)
        sim.wait_until(lambda counts: counts.runs == 1, timeout=60)
        (place / "there").rmdir()
        _, err = process.communicate(timeout=60)
        assert (process.returncode, "To resume: " in err) == (3, True), err
        (place / "there").mkdir()
        assert start(*command).wait(60) == 0
        assert sim.counts.runs == 1


def test_plan_needs_no_key_and_sends_nothing(run):
    """Runs and price are printed for people and for machines."""
    write_rows("rows.csv", "Acme", "Globex", "Acme")
    assert "2 runs · $0.05" in run("plan", "rows.csv", *SIZE, "--processor", "core").stdout
    told = json.loads(run("plan", "rows.csv", *SIZE, "--json").stdout)
    assert (told["to_send"], told["duplicates"], told["payload"]["inputs"][0]["input"]) == (2, 1, {"company": "Acme"})


def test_options_stand_in_the_environment_too(run, monkeypatch):
    """Any option is a variable; several columns stand one a line."""
    write_rows("rows.csv", "Acme")
    monkeypatch.setenv("PARALLEL_FRAMES_PLAN_PROCESSOR", "pro")
    monkeypatch.setenv("PARALLEL_FRAMES_PLAN_COLUMN", "ceo: name of the CEO\nsize (int): letters")
    monkeypatch.setenv("PARALLEL_FRAMES_PLAN_JSON", "1")
    told = json.loads(run("plan", "rows.csv").stdout)
    assert (told["processor"], told["cost"]) == ("pro", 0.1)


def test_cells_of_every_kind_survive_text_formats(place):
    """Lists and objects become JSON in CSV, and missing cells null in JSON."""
    frame = pd.DataFrame(
        {"a": [["x"], None], "b": pd.array([1, None], "Int64"), "c": pd.to_datetime(["2024-01-02", None])}
    )
    write_frame(frame, "out.csv")
    assert (place / "out.csv").read_text().splitlines() == ["a,b,c", '"[""x""]",1,2024-01-02', ",,"]
    write_frame(frame, "out.jsonl")
    assert [json.loads(line) for line in (place / "out.jsonl").read_text().splitlines()] == [
        {"a": ["x"], "b": 1, "c": "2024-01-02T00:00:00"},
        {"a": None, "b": None, "c": None},
    ]


def test_rows_go_on_to_better_processors(run, monkeypatch):
    """--escalate names processors: in CSV, Parquet and lines as they come, and what it cannot do is refused."""
    asked = Counter()

    def answer(sent):
        asked[sent["company"]] += 1
        is_null = asked[sent["company"]] == 1 and sent["company"] == "Acme"
        return Answer({"size": None if is_null else asked[sent["company"]]}, basis={"size": "high"})

    write_rows("rows.csv", "Acme", "Globex")
    with Simulator(answer, latency=0) as sim:
        point_at(sim, monkeypatch)
        Path("schema.json").write_text(
            '{"type": "object", "properties": {"size": {"type": ["integer", "null"]}}, "required": ["size"]}',
            encoding="utf-8",
        )
        options = ("--schema", "schema.json", "--escalate", "core, pro")
        planned = json.loads(run("plan", "rows.csv", *options, "--json").stdout)
        assert (planned["cost"], planned["worst_cost"], planned["escalation"]) == (
            0.02,
            0.27,
            {"core": 0.05, "pro": 0.2},
        )
        refused = run("enrich", "rows.csv", "out.csv", *options)
        assert (
            "This would send 2 runs for $0.02, at worst $0.27 with core and pro, and there is no terminal"
            in refused.output
        )
        assert run("submit", "rows.csv", *options, "--yes").exit_code == 2
        wrong = run("enrich", "rows.csv", "out.csv", *options[:2], "--escalate", "pro,core", "--yes")
        assert "--escalate pro,core has 'core' after 'pro'" in wrong.output
        assert sim.counts.runs == 0
        for name in ("out.csv", "out.parquet"):
            assert run("enrich", "rows.csv", name, *options, "--yes", "--no-progress").exit_code == 0
            assert read_frame(name)[["size", "parallel_processor"]].to_numpy().tolist() == [[2, "core"], [1, "base"]]
        lines = run("enrich", "rows.csv", "-", *options, "--yes", "--no-progress", "--as-completed").stdout.splitlines()
        found = [json.loads(line) for line in lines]
        assert sorted((line["row"], line["output"], line["processor"]) for line in found) == [
            (0, {"size": 2}, "core"), (1, {"size": 1}, "base"),
        ]  # fmt: skip
        assert sim.counts.runs == 3
