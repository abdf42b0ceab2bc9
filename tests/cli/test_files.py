"""Files of every way: what is read and refused alike, targets that come to be, checkpoints beside them."""

from __future__ import annotations

import gzip
import json

import pandas as pd
import pytest

from parallel_frames.simulator import Simulator

from .conftest import point_at, size

SIZE = ("--column", "size (int): letters of the name")
SEND = (*SIZE, "--yes", "--no-progress")


@pytest.fixture
def rows(place):
    """Write a table of two companies."""
    pd.DataFrame({"company": ["Acme", "Globex"]}).to_csv("rows.csv", index=False)


@pytest.mark.parametrize("target", ["parts/", "out.parquet/"])
def test_a_slash_at_the_end_changes_no_checkpoint(rows, run, pointed, place, target):
    """The next run pays for nothing, and nothing is beside the target but what was asked for."""
    for more in ([], ["--overwrite"]):
        done = run("enrich", "rows.csv", target, *SEND, *more)
        assert done.exit_code == 0, done.stderr
    assert pointed.counts.runs == 2
    assert not list(place.glob("*.ckpt"))


@pytest.mark.parametrize("checkpoint", ["out.csv", "out.csv/inside", "./rows/../out.csv"])
def test_a_checkpoint_in_the_place_of_its_target_is_refused(rows, run, pointed, place, checkpoint):
    """It would be paid, and could never be written."""
    (place / "rows").mkdir()
    for command in ("enrich", "submit"):
        done = run(command, "rows.csv", "out.csv", *SEND, "--checkpoint", checkpoint)
        assert (done.exit_code, pointed.counts.runs) == (2, 0)
        assert "is the target, or inside it" in done.stderr


@pytest.mark.parametrize("target", ["out.jsonl", "out.parquet"])
@pytest.mark.parametrize(
    ("text", "said"),
    [("a,b\n1,2,3\n", ("2", "3")), ("a,a\n1,2\n", ("column",)), ("a,b\n\n1,2\n1,2,3\n", ("2", "3"))],
)
def test_fields_without_a_head_of_their_own_are_refused(run, pointed, place, target, text, said):
    """Which field belongs to which header is unknown, and other data than the table's would be paid for."""
    (place / "wide.csv").write_text(text)
    done = run("enrich", "wide.csv", target, *SEND)
    assert (done.exit_code, pointed.counts.runs) == (2, 0)
    assert all(word in done.stderr for word in ("wide.csv", *said))


def test_the_line_with_too_many_fields_is_named(run, pointed, place):
    """File, line, and both numbers."""
    (place / "wide.csv").write_text('a,b\n\n"x\ny",2,3\n')
    told = run("plan", "wide.csv", *SIZE).stderr
    assert "wide.csv cannot be read: line 4 has 3 fields, and the first line names 2 columns (a, b)." in told


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
@pytest.mark.parametrize(
    ("name", "text"),
    [("rows.csv", b"company\nM\xfcller\n"), ("rows.jsonl", b'{"c": "M\xfcller"}\n'), ("schema.json", b'"\xfc"')],
)
def test_what_is_not_utf8_says_what_to_do(rows, run, place, name, text, target):
    """The message says that the file must be UTF-8, beside what the codec says."""
    (place / "schema.json").write_text('{"size": "letters"}')
    (place / name).write_bytes(text)
    source = name if name != "schema.json" else "rows.csv"
    assert "UTF-8" in run("plan", source, target, "--schema", "schema.json").stderr


@pytest.mark.parametrize("target", ["out.csv", "out.jsonl", "out.parquet"])
@pytest.mark.parametrize("name", ["rows.tsv", "rows.csv.gz", "rows.jsonl.gz", "rows.pq"])
def test_a_source_is_read_on_both_ways(run, pointed, place, name, target):
    """What is a source of a Parquet file is one of every other target."""
    frame = pd.DataFrame({"company": ["Acme"], "n": [1]})
    if name.endswith(".pq"):
        frame.to_parquet(name)
    elif "csv" in name:
        frame.to_csv(name, index=False)
    elif name.endswith(".gz"):
        (place / name).write_bytes(gzip.compress(b'{"company":"Acme","n":1}\n'))
    else:
        frame.to_csv(name, sep="\t", index=False)
    done = run("plan", name, target, *SIZE, "--json")
    assert json.loads(done.stdout)["payload"]["inputs"][0]["input"] == {"company": "Acme", "n": 1}


@pytest.mark.parametrize("target", ["out.tsv", "out.pq"])
def test_more_targets(rows, run, pointed, target):
    """Tabs between the cells, and the short name of Parquet."""
    assert run("enrich", "rows.csv", target, *SEND).exit_code == 0
    out = pd.read_parquet(target) if target == "out.pq" else pd.read_csv(target, sep="\t")
    assert out["size"].tolist() == [4, 6]


@pytest.mark.parametrize(
    ("target", "said"), [("s3://lake/out.csv", "only be written as Parquet"), ("out.csv.gz", "leave out the .gz")]
)
def test_targets_that_are_none_say_why(rows, run, pointed, target, said):
    """An address takes Parquet; compressed text is no target."""
    done = run("enrich", "rows.csv", target, *SEND)
    assert (done.exit_code, pointed.counts.runs) == (2, 0)
    assert said in done.stderr


@pytest.mark.parametrize("inputs", [(), ("--inputs", "company"), ("--inputs", "Is {company} listed?")])
@pytest.mark.parametrize(
    ("source", "text"), [("none.jsonl", ""), ("none.json", "[]"), ("none.csv", "company\n"), ("none.jsonl.gz", None)]
)
def test_nothing_new_is_no_error(run, pointed, place, source, text, inputs):
    """An empty source makes an empty target: a pipe that runs every hour has nothing new now and then."""
    (place / source).write_bytes(gzip.compress(b"") if text is None else text.encode())
    assert "0 runs" in run("plan", source, *SIZE, *inputs).stdout
    for target in ("out.jsonl", "out.csv", "-"):
        done = run("enrich", source, target, *SIZE, *inputs)
        assert (done.exit_code, done.stdout) == (0, ""), done.stderr
    assert (place / "out.jsonl").read_text() == ""
    assert len(pd.read_csv("out.csv")) == 0
    assert pointed.group_ids == []


def test_an_empty_pipe_is_an_empty_pipe(start, pointed):
    """Nothing comes in, nothing goes out, and all is fine."""
    process = start("enrich", "-", "-", *SIZE)
    out, err = process.communicate("", timeout=60)
    assert (process.returncode, out) == (0, ""), err


def test_a_target_that_comes_to_be_meanwhile_is_left_alone(rows, start, monkeypatch, place):
    """Without --overwrite the answers go into a file beside it, which the message names."""
    with Simulator(size, latency=60, speed=20) as sim:
        point_at(sim, monkeypatch)
        process = start("enrich", "rows.csv", "out.csv", *SEND)
        sim.wait_until(lambda counts: counts.runs == 2, timeout=60)
        (place / "out.csv").write_text("mine")
        _, err = process.communicate(timeout=60)
    assert (process.returncode, (place / "out.csv").read_text()) == (3, "mine")
    assert (
        "Another program wrote out.csv meanwhile. It is left alone; the rows with their answers are in out-1.csv."
        in err
    )
    assert pd.read_csv("out-1.csv")["size"].tolist() == [4, 6]
    assert not [path for path in place.iterdir() if path.name.endswith(".tmp")]


@pytest.mark.parametrize("target", ["out.csv", "out.jsonl", "out.feather"])
def test_the_same_command_again_knows_what_it_wrote(rows, run, pointed, place, target):
    """As after a kill between publishing and exit: what it would write is there, so it sends nothing and is fine."""
    first = run("enrich", "rows.csv", target, *SEND)
    assert first.exit_code == 0, first.stderr
    before, posts = (place / target).read_bytes(), pointed.counts.posts
    words = [word for word in SEND if word != "--yes"]
    again = run("enrich", "rows.csv", target, *words)
    assert (again.exit_code, pointed.counts.posts, (place / target).read_bytes()) == (0, posts, before), again.stderr
    assert "This command has already written" in again.stderr
    (place / target).write_bytes(before + b"\n")
    other = run("enrich", "rows.csv", target, *words)
    assert (other.exit_code, " exists. Nothing was sent. Pass --overwrite" in other.stderr) == (2, True)


def test_a_source_is_never_its_own_target(rows, run, pointed, place):
    """It is left as it is, with --overwrite too."""
    before = (place / "rows.csv").read_bytes()
    done = run("enrich", "rows.csv", "./rows.csv", *SEND, "--overwrite")
    assert (done.exit_code, pointed.counts.runs, (place / "rows.csv").read_bytes()) == (2, 0, before)
    assert "is the source itself" in done.stderr


def test_a_link_to_nowhere_is_a_target_that_is_there(rows, run, pointed, place):
    """It has the name, so it is refused before anything is sent."""
    (place / "out.csv").symlink_to("nowhere.csv")
    done = run("enrich", "rows.csv", "out.csv", *SEND)
    assert (done.exit_code, pointed.counts.runs) == (2, 0)
    assert " exists. Nothing was sent. Pass --overwrite" in done.stderr


def test_submit_says_what_fetches_its_answers(rows, run, pointed):
    """Also where no target was named: the command that it prints pays for nothing."""
    import shlex

    sent = run("submit", "rows.csv", *SEND)
    command = shlex.split(sent.stderr.rpartition("To fetch the answers: parallel-frames ")[2])
    assert run(*command[:2], "out.parquet", *command[2:]).exit_code == 0
    assert pointed.counts.runs == 2
    unremembered = run("submit", "rows.csv", *SEND, "--checkpoint", "none").stderr
    assert f"parallel-frames collect {pointed.group_ids[-1]}" in unremembered


def test_messages_speak_the_words_of_the_command_line(rows, run, pointed, place):
    """No spelling of Python, no promise before it holds, one row in the singular."""
    (place / "one.csv").write_text("company\nAcme\n")
    assert "1 row → one.parquet" in run("enrich", "one.csv", "one.parquet", *SEND).stderr
    dear = run("enrich", "one.csv", "two.parquet", *SEND, "--processor", "lite", "--max-cost", "0.001").stderr
    assert "1 run to send comes to $0.005, over --max-cost 0.001." in dear
    there = run("enrich", "rows.csv", "one.parquet", *SEND).stderr
    assert there.startswith("parallel-frames: The target one.parquet exists.")
    assert (
        run("plan", "missing.csv", "new.parquet", *SIZE).stderr
        == "parallel-frames: The source missing.csv does not exist.\n"
    )
    assert "--inputs names the column 'x'" in run("plan", "rows.csv", *SIZE, "--inputs", "x,").stderr
    assert (
        "--if-exists overwrite to replace them, --if-exists fill to fill"
        in run("plan", "one.parquet", *SIZE, "--inputs", "company", "--processor", "core").stderr
    )
    assert "what to find'. See " in run("plan", "rows.csv", "--column", "ceo").stderr


@pytest.mark.parametrize("target", ["out.csv", "out.jsonl", "out.parquet", "parts/"])
@pytest.mark.parametrize("stop", [("--timeout", "1s"), ("--limit", "1")])
def test_the_same_command_completes_what_it_left_incomplete(rows, run, monkeypatch, place, target, stop):
    """After a timeout or a limit it resumes into its own target; another question, or an edited file, is refused."""
    with Simulator(size, latency=20, speed=20) as sim:
        point_at(sim, monkeypatch)
        first = run("enrich", "rows.csv", target, *SEND, *stop)
        assert "1 pending" in first.stderr or "2 pending" in first.stderr or "1 not_sent" in first.stderr, first.stderr
        posts = sim.counts.posts
        other = run("enrich", "rows.csv", target, "--column", "size (int): letters", "--yes")
        assert (other.exit_code, " exists. Nothing was sent" in other.stderr) == (2, True), other.stderr
        if target == "out.csv":
            before = (place / target).read_bytes()
            (place / target).write_bytes(before.replace(b"Acme", b"Mine"))
            edited = run("enrich", "rows.csv", target, *SEND)
            assert (edited.exit_code, sim.counts.posts) == (2, posts), edited.stderr
            (place / target).write_bytes(before)
        again = run("enrich", "rows.csv", target, *SEND)
        assert (again.exit_code, sim.counts.runs) == (0, 2), again.stderr
        assert "2 completed" in again.stderr
        posts = sim.counts.posts
        kept = run("enrich", "rows.csv", target, *SEND)
        assert (kept.exit_code, sim.counts.posts) == (0, posts), kept.stderr
        assert "has already written" in kept.stderr


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_an_offline_command_replaces_its_own_target_only(rows, run, place, target):
    """It is free and made up; what another question wrote stays."""
    for _ in range(2):
        done = run("enrich", "rows.csv", target, *SEND, "--offline")
        assert done.exit_code == 0, done.stderr
    before = (place / target).read_bytes()
    other = run("enrich", "rows.csv", target, "--column", "other: else", "--offline")
    assert (other.exit_code, (place / target).read_bytes()) == (2, before), other.stderr
