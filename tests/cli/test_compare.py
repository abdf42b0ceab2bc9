"""`compare`: the same rows with several processors, paid once for it and for the command that asks all of them."""

from __future__ import annotations

import json

import pytest

WORDS = ("compare", "companies.csv", "--column", "size (int): letters", "--inputs", "company,", "--no-progress")


@pytest.fixture
def companies(place):
    """Write a table of companies whose sizes are known."""
    (place / "companies.csv").write_text("company,known\nAcme,4\nGlobex,7\nAcme,4\nNobody,\n")


@pytest.mark.usefixtures("companies")
def test_its_answers_are_not_paid_again(run, pointed):
    """It prints the tables, or JSON; the command for all rows, into any target, finds the answers."""
    done = run(*WORDS, "--processors", "lite, base", "--truth", "size=known", "--limit", "2", "--yes")
    assert (done.exit_code, pointed.counts.runs) == (0, 4)
    lines = done.stdout.splitlines()
    assert lines[0] == "3 rows, 1 field, 2 processors · $0.03 · SIMULATED"
    assert [line.split() for line in lines[1:4]] == [
        ["lite", "base", "(reference)"],
        ["All", "fields"],
        ["correct", *["67%", "(2", "of", "3)"] * 2],
    ]
    done = run(*WORDS, "--processors", "base,lite", "--json", "--yes", "--max-cost", "1")
    assert (done.exit_code, pointed.counts.runs) == (1, 6)  # Nobody has no answer
    assert [(line["processor"], line["answered"], line["right"]) for line in json.loads(done.stdout)] == [
        ("base", 3, None),
        ("lite", 3, None),
    ]
    for target in ("out.parquet", "out.csv"):
        words = ("enrich", "companies.csv", target, *WORDS[2:], "--processor", "base", "--no-retry-failed", "--yes")
        assert run(*words).exit_code == 1
    assert pointed.counts.runs == 6


@pytest.mark.usefixtures("companies")
def test_nothing_is_sent_without_a_yes(run, pointed):
    """Where there is no terminal to ask at, it says what to type; so does a cost that is too high."""
    done = run(*WORDS)
    assert (done.exit_code, "Pass --yes" in done.stderr) == (2, True)
    done = run(*WORDS, "--yes", "--max-cost", "0.05")
    assert done.exit_code == 2
    assert "Pass --max-cost 0.12 to proceed, or --limit 1 to send a part." in done.stderr
    done = run("compare", "companies.csv", "--column", "size (int): letters", "--truth", "size=known", "--yes")
    assert "each row would send" in done.stderr
    done = run("compare", "companies.csv", "--column", "size (int): letters", "--processors", "base", "--yes")
    assert "--processors base names one" in done.stderr
    assert "as --truth." in done.stderr
    assert pointed.counts.groups == 0
