"""The program itself: help with examples, completion, exit codes, and `lint`."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from decimal import Decimal

import click
import pandas as pd
import pytest
from click.shell_completion import BashComplete

from parallel_frames._cli import app
from parallel_frames._cli._enrich import enrich_command
from parallel_frames._cli._exits import FLAGS, Exit, explain
from parallel_frames._cli._options import SECTIONS, read_inputs, type_inputs
from parallel_frames._format import format_option
from parallel_frames.errors import CostError, InputError, ParallelFramesError, Safety
from parallel_frames.simulator import Simulator

from .conftest import PROGRAM, point_at


def every_command():
    """Return the words of every command, groups included."""
    context = click.Context(app)
    found = [()]
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        found.append((name,))
        if isinstance(command, click.Group):
            found += [(name, inner) for inner in command.list_commands(context)]
    return found


@pytest.mark.parametrize("words", every_command(), ids=" ".join)
def test_every_help_has_examples(run, words):
    """Each command shows how it is typed; what it shows are commands and options there are."""
    shown = run(*words, "--help")
    assert shown.exit_code == 0
    assert "Examples:\n" in shown.stdout


@pytest.mark.skipif(os.name == "nt", reason="the help shows a POSIX shell")
def test_every_example_of_every_help_runs(run, program, monkeypatch, place):
    """All of them, one after another in one directory: none is in the way of another."""
    (place / "schema.json").write_text('{"founded": "year of foundation"}')
    (place / "models.py").write_text("from pydantic import BaseModel\n\nclass Company(BaseModel):\n    ceo: str\n")
    (place / "rows.jsonl").write_text('{"company": "Acme"}\n')
    monkeypatch.setenv("SHELL", "/bin/bash")
    companies = pd.DataFrame({"company": ["Acme", "Globex"]})
    companies.to_csv("companies.csv", index=False)
    companies.to_parquet("companies.parquet")
    for month in ("october", "november"):
        companies.assign(ceo=month).to_csv(f"{month}.csv", index=False)
        companies.assign(ceo=month).set_index("company").to_parquet(f"{month}.parquet")
    with Simulator(latency=1, speed=20) as sim:
        point_at(sim, monkeypatch)
        group_id = run("submit", "companies.csv", "--column", "ceo: x", "--yes").stdout.strip()
        (first, *_) = run("collect", group_id, "--follow").stdout.splitlines()
        known = {"tgrp_123": group_id, "evt_9": json.loads(first)["event_id"], "s3://bucket/": ""}
        lines = [_with(line, known) for words in every_command() for line in _examples(run(*words, "--help").stdout)]
        assert len(lines) > 20
        for line in lines:
            _run_example(run, program, line, place)


def _examples(shown):
    """Return the examples of a help text but those without an end, or tested elsewhere."""
    lines = shown.partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    return [line.strip() for line in lines if not any(name in line for name in (" simulate", " demo", "eval "))]


def _with(line, known):
    for name, real in known.items():
        line = line.replace(name, real)
    return line


def _run_example(run, program, line, place):
    """Run one example as it stands, with a yes where it would ask."""
    if "3f0c" in line:
        path = place / line.split()[3]
        if not path.exists():
            shutil.copytree("ceos.ckpt", path)
        line = line.replace("3f0c", json.loads(run("checkpoint", "list", path, "--json").stdout)[0]["job"][:4])
    if any(mark in line for mark in "|<>"):
        line = line.replace(" | jq .output", "").replace("parallel-frames", str(program))
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, (line, done.stderr)
        return
    words = shlex.split(line)[1:]
    asks = words[0] in {"enrich", "submit"} or "prune" in words
    done = run(*words, *(["--yes"] if asks and "--yes" not in words else []))
    assert done.exit_code == 0, (line, done.stderr)


def test_the_help_lists_the_exit_codes(run):
    """One table, in the program's own help."""
    text = run("--help").stdout
    assert all(f"{code:>5}  " in text for code in Exit)


def test_completion_of_bash(place):
    """The script for bash is printed, and what it starts completes commands, at each key without what they import."""
    words = {
        "_PARALLEL_FRAMES_COMPLETE": "bash_complete",
        "COMP_WORDS": "parallel-frames checkpoint v",
        "COMP_CWORD": "2",
        "PYTHONPROFILEIMPORTTIME": "1",
    }
    done = subprocess.run(PROGRAM, env={**os.environ, **words}, capture_output=True, text=True, check=True)
    assert done.stdout == "plain,verify\n"
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "parallel_frames._cli" in imported
    assert not imported & {"httpx", "pyarrow.parquet", "parallel_frames._files", "parallel_frames._ui"}


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ("enrich rows.csv --inputs", "", ["company", '"Name, legal"', "country"]),
        ("enrich -p core rows.csv -o out.csv --inputs", "company,co", ["company,company", "company,country"]),
        ("enrich rows.csv --metadata", "source=cou", ["source=country"]),
        ("enrich rows.json --inputs", "", ["a", "b"]),
        ("enrich rows.jsonl --inputs", "", ["a", "b"]),
        ("enrich rows.parquet --inputs", "", ["a", "b"]),
        ("enrich rows.xlsx --inputs", "", ["a", "b"]),
        ("enrich rows.xlsx#Sheet1 --inputs", "", ["a", "b"]),
        ("enrich rows.xlsx#Sheet2 --inputs", "", []),
        ("enrich texts.json --inputs", "", ["input"]),
        ("enrich nowhere.csv --inputs", "", []),
        ("plan rows.csv -p", "core", ["core", "core-fast", "core2x", "core2x-fast"]),
        ("plan rows.csv --if-exists", "o", ["overwrite"]),
        ("completion install", "z", ["zsh"]),
    ],
)
def test_columns_and_processors_are_completed(place, words, incomplete, expected):
    """What the source's beginning shows, whatever its format; nothing, and no error, where there is none."""
    (place / "rows.csv").write_text('company,"Name, legal",country\na,b,c\n')
    (place / "texts.json").write_text('["a", "b"]')
    (place / "rows.jsonl").write_text('{"a": 1}\n{"b": 2}\n')
    frame = pd.DataFrame({"a": [1], "b": [2]})
    frame.to_json("rows.json", orient="records")
    frame.to_parquet("rows.parquet")
    frame.to_excel("rows.xlsx", index=False)
    complete = BashComplete(app, {}, "parallel-frames", "_PARALLEL_FRAMES_COMPLETE")
    assert [item.value for item in complete.get_completions(words.split(), incomplete)] == expected


def test_files_are_completed_by_the_shell():
    """A source, a target, a schema: the shell is told that a file may stand there."""
    complete = BashComplete(app, {}, "parallel-frames", "_PARALLEL_FRAMES_COMPLETE")
    for words in ("enrich", "enrich rows.csv", "enrich rows.csv -o", "enrich rows.csv --schema", "collect tgrp_1 -o"):
        assert [item.type for item in complete.get_completions(words.split(), "ro")] == ["file"], words
    assert [item.type for item in complete.get_completions(["enrich", "rows.csv", "--checkpoint"], "c")] == ["dir"]


@pytest.mark.parametrize(("shell", "start"), [("bash", ".bashrc"), ("zsh", ".zshrc")])
def test_completion_installs_itself_once(run, monkeypatch, place, shell, start):
    """The script is where the shell reads it, what was there stays, and doing it again adds nothing."""
    monkeypatch.setenv("SHELL", f"/bin/{shell}")
    place = place / "home"
    (place / start).write_text("alias ll='ls -l'")
    assert run("completion", "install").exit_code == 0
    assert run("completion", "install", shell).exit_code == 0
    lines = (place / start).read_text().splitlines()
    assert (len(lines), lines[0]) == (2, "alias ll='ls -l'")
    script = place / ".config" / "parallel_frames" / f"completion.{shell}"
    assert str(script) in lines[1]
    assert script.read_text() == run("completion", "show").stdout
    if shell == "bash" and os.name != "nt":
        words = f". ~/{start}; complete -p parallel-frames"
        done = subprocess.run(["bash", "-c", words], capture_output=True, text=True, check=True)
        assert "_parallel_frames_completion" in done.stdout


def test_completion_for_fish_and_for_unknown_shells(run, monkeypatch, place):
    """Fish reads its own folder; where the shell is unknown it is to be named."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(place / "settings"))
    assert run("completion", "install", "fish").exit_code == 0
    assert "complete" in (place / "settings" / "fish" / "completions" / "parallel-frames.fish").read_text()
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    done = run("completion", "install")
    assert (done.exit_code, "name one of bash, zsh, fish" in done.stderr) == (2, True)


def test_lint_is_exit_code_1_only_for_errors(run, place):
    """Warnings are printed; errors are what the service would refuse."""
    assert run("lint", "--column", "ceo: name of the CEO").exit_code == 0
    assert "basis_name" in run("lint", "--column", "sources: pages").stdout
    (place / "many.json").write_text(json.dumps({f"field_{n}": "text" for n in range(101)}))
    done = run("lint", "--schema", "many.json", "--json")
    assert done.exit_code == 1
    assert "properties" in [finding["rule"] for finding in json.loads(done.stdout)]
    (place / "options.json").write_text(json.dumps({"mcp_servers": [{}] * 11}))
    assert "11 mcp_servers" in run("lint", "--column", "ceo: name", "--options", "options.json").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["enrch", "rows.csv"], "There is no command 'enrch'. Did you mean 'enrich'?"),
        (["checkpoint", "lst"], "There is no command 'lst'. Did you mean 'list'?"),
        (["sing"], "The commands are plan, compare, enrich, "),
        (["rows.csv"], "To enrich it: parallel-frames enrich rows.csv"),
        (["plan", "rows.csv", "--max_cost", "3"], "--max-cost"),
        (["plan", "rows.csv", "--column", "ceo: x", "--inputs", "compny"], "did you mean 'company'?"),
        (["plan", "rows.csv", "--column", "ceo: x", "--inputs", "compny,"], "did you mean 'company'?"),
        (["plan", "rows.csv", "--column", "ceo: x", "--inputs", "Is {compny} listed?"], "did you mean 'company'?"),
        (["plan", "rows.csv", "--column", "ceo: x", "--metadata", "name=Company"], "did you mean 'company'?"),
        (["plan", "rows.csv", "--column", "ceo: x", "-p", "cor"], "did you mean 'core'?"),
    ],
)
def test_a_word_that_is_misspelt_is_answered_with_the_one_that_is_meant(run, place, words, said):
    """Commands, options, columns and processors are named where one is like what was typed."""
    (place / "rows.csv").write_text("company\nAcme\n")
    done = run(*words)
    assert said in done.stderr
    assert done.exit_code == (0 if "-p" in words else 2)


def test_the_help_lists_options_in_sections(run):
    """Each option of enrich is in one section, by its short name too."""
    text = run("enrich", "--help").stdout
    assert [title for title in SECTIONS if f"\n{title}:\n" in text] == list(SECTIONS)
    assert set(FLAGS) - {name for names in SECTIONS.values() for name in names} == {"progress", "json"}
    assert {name for names in SECTIONS.values() for name in names} <= set(FLAGS)
    assert all(f"  {short}, --" in text for short in ("-o", "-p", "-n", "-y"))


@pytest.mark.parametrize(
    ("typed", "inputs"),
    [
        (["item"], "item"),
        (["item,"], ["item"]),
        (["a, b c"], ["a", "b c"]),
        (["a", "b c"], ["a", "b c"]),
        (["a,b", "c"], ["a", "b", "c"]),
        (['"Name, legal"'], "Name, legal"),
        (['"Name, legal",b'], ["Name, legal", "b"]),
        (["Is {a}, {b} listed?"], "Is {a}, {b} listed?"),
    ],
)
def test_inputs_mean_what_they_mean_in_python(typed, inputs):
    """One column is its bare cell, a list is an object, a text with braces a template; messages spell it that way."""
    assert read_inputs(typed) == inputs
    assert read_inputs(type_inputs(inputs)) == inputs


@pytest.mark.parametrize("typed", [[""], ["a", "{b}"]])
def test_inputs_that_mean_nothing_are_refused(typed):
    """Nothing at all, or a template among columns."""
    with pytest.raises(click.UsageError):
        read_inputs(typed)


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        (
            "Pass `on_mismatch='new'`, or `max_cost=4.31` to resume.",
            "Pass --on-mismatch new, or --max-cost 4.31 to resume.",
        ),
        ("`refresh=True` asks; `retry_failed=False` leaves.", "--refresh asks; --no-retry-failed leaves."),
        ("`older_than` and `checkpoint=None`, or `limit=...`.", "--older-than and --checkpoint none, or --limit N."),
        ("`inputs=['a', 'b c']`; `prefix='it\\'s'`.", """--inputs a --inputs 'b c'; --prefix 'it'"'"'s'."""),
        ("`where='failed', limit=3`", "--where failed --limit 3"),
        ("`pf.Checkpoint('a b').unlock()` lets", "parallel-frames checkpoint unlock 'a b' lets"),
        ("say `pf.Checkpoint('ck').unlock(force=True)`", "say parallel-frames checkpoint unlock --force ck"),
        ("`with pf.offline(): ...`", "--offline"),
        # What has no counterpart stays, and so does what is no code.
        ("`client=pf.Client(...)`, `limit=3, status=False`", "`client=pf.Client(...)`, `limit=3, status=False`"),
        ("`inputs={name: column}` or `refresh=False`", "`inputs={name: column}` or `refresh=False`"),
        ("limit=3, the column 'a`b' and `limit=3`", "limit=3, the column 'a`b' and --limit 3"),
    ],
)
def test_code_in_messages_is_spelled_for_a_shell(python, shell):
    """An option or a call between backticks is as the command line has it; other texts stay."""
    assert explain(ParallelFramesError(python)) == shell


VALUES = {
    "as_completed": True, "group_id": ["tgrp_1"], "offline": True, "source_format": "csv", "target_format": "xlsx",
    "api": "seed", "base_url": "https://host", "basis": "struct", "column": ["ceo: a name"], "if_exists": "fill",
    "inputs": ["a", "b c"], "json": True, "limit": 3, "max_cost": 0.5, "max_in_flight": 3, "max_per_minute": 3,
    "metadata": {"source": "a b"}, "older_than": "30d", "on_mismatch": "new", "overwrite": True, "progress": False,
    "provenance": True, "refresh": True, "retry_failed": False, "rows_per_file": 3, "timeout": 1.5, "where": "missing",
    "yes": True, "escalate": ["core", "pro"],
}  # fmt: skip


@pytest.mark.parametrize("option", FLAGS)
def test_every_option_in_a_message_can_be_typed(option):
    """What a message says of an option is what the command line reads as just that, given or only named."""
    value = VALUES.get(option, "it's a text")
    typed = explain(ParallelFramesError(format_option(option, value)))
    context = enrich_command.make_context("enrich", ["rows.csv", "out.csv", *shlex.split(typed)])
    read = context.params[option]
    expected = {"older_than": 30 * 86400, "column": (("ceo", (str, "a name")),), "metadata": (("source", "a b"),)}
    assert (list(read) if isinstance(value, list) and option != "column" else read) == expected.get(option, value)
    flag = FLAGS[option].opts[0]
    assert explain(ParallelFramesError(f"`{option}`")) == flag
    assert explain(ParallelFramesError(f"`{option}=...`")).split()[0] == flag


def test_hints_of_an_error_are_options_and_values():
    """An error has the options of its message as data; of one that it has twice, the value to pass."""
    error = CostError(runs=300, billed=0, cost=Decimal(3), max_cost=Decimal(1), limit=100)
    assert error.hints == {"max_cost": "3", "limit": "100"}
    assert "Pass `max_cost=3` to proceed, or `limit=100` to send a part." in str(error)
    text = explain(error)
    assert "over --max-cost 1." in text
    assert "Pass --max-cost 3 to proceed, or --limit 100 to send a part." in text
    assert CostError(runs=1, billed=0, cost=Decimal(1), max_cost=Decimal(0)).hints == {"max_cost": "1"}
    assert InputError("`prefix='new'`, `limit`, `timeout=...`, `f(limit=3)`").hints == {"prefix": "new"}
    assert InputError("`limit=3`timeout=9`prefix='new'`").hints == {"limit": "3", "prefix": "new"}


def test_runs_without_a_checkpoint_are_fetched_from_their_group():
    """Where nothing but the group remembers what was sent, the command that fetches it is said, and no Python."""
    error = ParallelFramesError("The service failed.")
    error.safety = Safety(answered=1, rows=2, sent=2, group_ids=("tgrp_1",), checkpoint=None, under_way=1)
    assert explain(error) == (
        "The service failed.\n1 of 2 rows are answered, 2 runs sent (group tgrp_1). What was sent continues there, "
        "and is billed: 1 run under way. There is no checkpoint. To fetch the answers: parallel-frames collect tgrp_1"
    )
