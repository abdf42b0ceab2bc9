"""The program itself: help with examples, completion, exit codes, and `lint`."""

from __future__ import annotations

import json
import os
import subprocess

import click
import pytest

from parallel_frames._cli import app
from parallel_frames._cli._exits import Exit, in_flags

from .conftest import PROGRAM


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


def test_the_help_lists_the_exit_codes(run):
    """One table, in the program's own help."""
    text = run("--help").stdout
    assert all(f"{code:>5}  " in text for code in Exit)


def test_completion_of_bash(place):
    """The script for bash is printed, and completes commands and choices."""
    environment = {**os.environ, "_PARALLEL_FRAMES_COMPLETE": "bash_source"}
    script = subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, check=True).stdout
    assert "complete -o nosort -F" in script
    words = {
        "_PARALLEL_FRAMES_COMPLETE": "bash_complete",
        "COMP_WORDS": "parallel-frames checkpoint v",
        "COMP_CWORD": "2",
    }
    done = subprocess.run(PROGRAM, env={**os.environ, **words}, capture_output=True, text=True, check=True)
    assert done.stdout == "plain,verify\n"


def test_lint_is_exit_code_1_only_for_errors(run, place):
    """Warnings are told; errors are what the service would refuse."""
    assert run("lint", "--column", "ceo: name of the CEO").exit_code == 0
    assert "basis_name" in run("lint", "--column", "sources: pages").stdout
    (place / "many.json").write_text(json.dumps({f"field_{n}": "text" for n in range(101)}))
    done = run("lint", "--schema", "many.json", "--json")
    assert done.exit_code == 1
    assert "properties" in [finding["rule"] for finding in json.loads(done.stdout)]


def test_messages_speak_of_flags():
    """What the library says in Python, the program says in options."""
    assert (
        in_flags('Say on_mismatch="new", or max_cost=4.31 to go on.')
        == "Say --on-mismatch new, or --max-cost 4.31 to go on."
    )
    assert in_flags("refresh=True asks; retry_failed=False leaves.") == "--refresh asks; --no-retry-failed leaves."
