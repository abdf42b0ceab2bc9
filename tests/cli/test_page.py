"""The pages on the command line are true: their commands are run, and print what they show."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
from pathlib import Path

import click
import pandas as pd
import pytest

from parallel_frames._cli import app
from parallel_frames._cli._exits import MEANINGS
from parallel_frames.simulator import Simulator

from .conftest import point_at

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "command-line.md").read_text(encoding="utf-8")
DOCTOR = (ROOT / "docs" / "how-to" / "check-the-service.md").read_text(encoding="utf-8")
COMMANDS = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
FILES = {
    "companies.csv": "company,country\nSiemens,DE\nDanone,FR\nSiemens,DE\n",
    "rows.jsonl": '{"company": "Acme"}\n',
}


def sessions(text):
    """Return the commands of a page, each with what it prints."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            found.append((command, shown))
    return found


@pytest.mark.skipif(os.name == "nt", reason="the page shows a POSIX shell")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("text", [PAGE, README, DOCTOR], ids=["page", "README", "doctor"])
def test_the_commands_print_what_is_shown(monkeypatch, place, program, text):
    """Each command runs in its turn, against the simulator, and shows what is printed below it."""
    for name, content in FILES.items():
        (place / name).write_text(content)
    # What the blocks of the README before this one leave: the environment, and the file of its Python example.
    (place / ".venv").mkdir()
    (place / ".venv" / "bin").symlink_to(program.parent)
    pd.DataFrame({"company": ["Acme", "Globex", "Acme", "Initech"]}, index=list("abcd")).to_parquet(
        place / "rows.parquet"
    )
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONIOENCODING": "utf-8"}
    assert sessions(text)
    with Simulator(latency=1, speed=20) as sim:
        point_at(sim, monkeypatch)
        environment |= {name: value for name, value in os.environ.items() if name.startswith("PARALLEL_")}
        _check(sessions(text), environment)


def _check(commands, environment):
    for command, shown in commands:
        done = subprocess.run(
            command, shell=True, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8",
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        assert doctest.OutputChecker().check_output(shown, done.stdout, doctest.ELLIPSIS), (command, done.stdout)


def test_the_exit_codes_of_the_page_are_those_of_the_program():
    """One table, in two places."""
    table = dict(re.findall(r"^\| (\d+) \| (.*) \|$", COMMANDS, re.MULTILINE))
    assert table == {str(int(code)): meaning for code, meaning in MEANINGS.items()}


def test_the_table_of_commands_is_the_first_line_of_their_helps():
    """Who reads the page in a clone finds every command there."""
    context = click.Context(app)
    helps = {name: app.get_command(context, name).help.strip().splitlines()[0] for name in app.list_commands(context)}
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", COMMANDS, re.MULTILINE)) == helps
