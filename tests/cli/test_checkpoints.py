"""`checkpoint`: looking inside, and making smaller what is not being written."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames._checkpoint import job_folders, place_of
from parallel_frames._checkpoint._folders import alone_in
from parallel_frames._cli._checkpoints import _describe
from parallel_frames.simulator import Failure, Simulator


@pytest.fixture
def job(place):
    """Return the folder of a job with two answers and a failure, in several parts."""
    with pf.offline({"Acme": {"n": 1}, "Hooli": {"n": 2}, "Initech": {"n": 3}}, latency=0):
        for names in (["Acme"], ["Acme", "Hooli"], ["Acme", "Hooli", "Initech"]):
            df = pd.DataFrame({"company": names})
            pf.enrich(df, {"n": int}, checkpoint="c.ckpt", progress=False)
    (folder,) = (Path(str(each)) for each in job_folders(place / "c.ckpt"))
    return folder


def test_list_and_show_tell_people_and_machines(run, job):
    """Each job with its processor, counts, dates, groups and size."""
    (line,) = json.loads(run("checkpoint", "list", "c.ckpt", "--json").stdout)
    assert (line["processor"], line["completed"], line["groups"]) == ("base", 3, 1)
    assert line["bytes"] > 1000
    assert job.name in run("checkpoint", "list", "c.ckpt").stdout
    (told,) = json.loads(run("checkpoint", "show", "c.ckpt", "--job", job.name[:6], "--json").stdout)
    assert (told["outcomes"], told["under_way"], told["is_written"]) == ({"completed": 3}, 0, False)
    assert "base" in run("checkpoint", "show", "c.ckpt").stdout


def test_the_users_cache_is_the_default(run):
    """Without a path it is where unnamed checkpoints go, of every host; where there is none, exit code 4."""
    assert run("checkpoint", "list").exit_code == 4
    import platformdirs

    root = platformdirs.user_cache_path("parallel_frames") / "checkpoints" / "host.test"
    with pf.offline(latency=0):
        pf.enrich(pd.DataFrame({"c": ["Acme"]}), {"n": int}, checkpoint=root, progress=False)
    (line,) = json.loads(run("checkpoint", "list", "--json").stdout)
    assert line["job"].startswith("host.test/")


def test_list_says_which_question_each_job_asks(run, place):
    """The columns asked for and the names that were sent, whatever the form of the schema; a long text is shortened."""
    df = pd.DataFrame({"company": ["Acme"], "country": ["DE"]})
    with pf.offline(latency=0):
        options = {"checkpoint": "c.ckpt", "on_mismatch": "new", "progress": False}
        pf.enrich(df, {"founded": int, "ceo": "name of the CEO"}, processor="core", **options)
        pf.enrich(df, "A profile of the company, in three sentences", inputs="Who is {company}?", **options)
        pf.enrich(df, "auto", inputs=["country"], **options)
    found = pf.Checkpoint("c.ckpt").summary().set_index("asks")[["processor", "sends"]].to_dict("index")
    assert found == {
        "founded, ceo": {"processor": "core", "sends": "company, country"},
        "A profile of the company, in three sentences": {"processor": "base", "sends": "company"},
        "output": {"processor": "base", "sends": "country"},
    }
    listed = run("checkpoint", "list", "c.ckpt").stdout
    assert "founded, ceo" in listed
    assert "A profile of the company, in three …" in listed
    shown = json.loads(run("checkpoint", "show", "c.ckpt", "--json").stdout)
    assert max(each["asks"] for each in shown) == ["output"]
    assert ["company", "country"] in [each["sends"] for each in shown]


def test_a_header_that_lacks_what_is_only_shown_is_listed(run, job):
    """Earlier versions did not note what a call sent; then nothing stands there."""
    header = json.loads((job / "header.json").read_text())
    del header["last_call"]["sent"]
    (job / "header.json").write_text(json.dumps(header))
    assert pf.Checkpoint("c.ckpt").summary()[["asks", "sends"]].to_numpy().tolist() == [["n", ""]]
    assert run("checkpoint", "list", "c.ckpt").exit_code == 0


def test_the_environment_names_the_cache(run, place, monkeypatch):
    """Calls, commands and `pf.Checkpoint()` use that folder, private to the user; accounts stay apart in it."""
    monkeypatch.setenv("PARALLEL_FRAMES_CACHE", "answers")
    df = pd.DataFrame({"company": ["Acme"]})
    with Simulator(lambda _: {"n": 1}, latency=0) as sim:
        for key in ("first", "second", "first"):
            client = pf.Client(api_key=key, base_url=sim.url, clock_speed=sim.speed)
            out = pf.enrich(df, {"n": int}, client=client, progress=False)
            assert Path(pf.last().checkpoint).is_relative_to(place / "answers")
            assert out["n"].tolist() == [1]
        assert sim.counts.runs == 2
    assert (place / "answers").stat().st_mode & 0o077 == 0
    assert pf.Checkpoint().path == place / "answers"
    jobs = pf.Checkpoint().summary()["job"].tolist()
    assert len({job.partition("/")[0] for job in jobs}) == 2
    assert [line["job"] for line in json.loads(run("checkpoint", "list", "--json").stdout)] == jobs


def test_a_cache_is_a_folder_of_this_machine(run, place, monkeypatch):
    """An address is refused before anything is sent, and the message names the variable."""
    monkeypatch.setenv("PARALLEL_FRAMES_CACHE", "s3://bucket/cache")
    client = pf.Client(api_key="any", base_url="http://127.0.0.1:9")
    with pytest.raises(pf.errors.ConfigurationError, match=r"PARALLEL_FRAMES_CACHE is s3://bucket/cache, and must be"):
        pf.enrich(pd.DataFrame({"company": ["Acme"]}), {"n": int}, client=client, progress=False)
    assert run("checkpoint", "list").exit_code == 2


def test_without_a_cache_there_is_no_checkpoint(place, monkeypatch):
    """The error names the folder that was looked at."""
    monkeypatch.setenv("PARALLEL_FRAMES_CACHE", str(place / "nothing"))
    with pytest.raises(pf.errors.CheckpointError, match=r"There is no checkpoint in .*nothing"):
        pf.Checkpoint()


def test_verify_finds_damage(run, job):
    """Exit code 0 where every file is sound, and 1 where one is not."""
    assert run("checkpoint", "verify", "c.ckpt").exit_code == 0
    part = next((job / "outcomes").glob("*.parquet"))
    part.write_bytes(part.read_bytes()[:-20])
    done = run("checkpoint", "verify", "c.ckpt")
    assert done.exit_code == 1
    assert part.name in done.stdout


def test_compact_keeps_every_answer(run, job):
    """Parts become one, and hold what they held."""
    before = pf.Checkpoint("c.ckpt").outcomes().sort_values("key", ignore_index=True)
    assert len(list((job / "outcomes").glob("*.parquet"))) == 3
    assert run("checkpoint", "compact", "c.ckpt").exit_code == 0
    assert len(list((job / "outcomes").glob("*.parquet"))) == 1
    pd.testing.assert_frame_equal(pf.Checkpoint("c.ckpt").outcomes().sort_values("key", ignore_index=True), before)


def test_prune_says_what_is_lost_and_wants_a_yes(run, job):
    """Nothing is deleted without --yes where there is no terminal; what is deleted is deleted whole."""
    done = run("checkpoint", "prune", "c.ckpt", "--job", job.name[:4])
    assert (done.exit_code, job.exists()) == (2, True)
    assert "3 answers ($0.03)" in done.stderr
    assert run("checkpoint", "prune", "c.ckpt", "--older-than", "1d", "--yes").exit_code == 0
    assert job.exists()
    assert run("checkpoint", "prune", "c.ckpt", "--job", job.name[:4], "--yes").exit_code == 0
    assert list(job.parent.iterdir()) == []
    assert run("checkpoint", "prune", "c.ckpt", "--older-than", "1d").exit_code == 4


def test_prune_counts_the_answers_that_are_lost(run, place):
    """Failed runs are no answers and cost nothing; connectors that are billed per call are named."""
    settings = {"advanced_settings": {"data_sources": {"pay_per_use": ["a"]}}}
    with pf.offline({"Acme": {"n": 1}, "Hooli": Failure("no such company")}, latency=0):
        df = pd.DataFrame({"company": ["Acme", "Hooli"]})
        pf.enrich(df, {"n": int}, checkpoint="c.ckpt", progress=False, options=settings)
    done = run("checkpoint", "prune", "c.ckpt", "--older-than", "0s")
    assert "1 answer ($0.01 plus connector calls)" in done.stderr


def test_a_job_that_goes_while_it_is_looked_at_has_nothing_to_show(job):
    """Another process may remove a job, or damage its header, after it was found: `show` and `prune` pass over it."""
    described = _describe(place_of(job))
    assert described is not None
    assert described["outcomes"] == {"completed": 3}
    (job / "header.json").write_text("{")
    assert _describe(place_of(job)) is None


def test_a_job_that_is_being_written_is_left_alone(run, job):
    """Prune skips it, and compact refuses, exit code 4."""
    with alone_in(place_of(job)):
        done = run("checkpoint", "prune", "c.ckpt", "--older-than", "0s", "--yes")
        assert done.exit_code == 0
        assert "kept: another process writes to it" in done.stderr
        assert run("checkpoint", "compact", "c.ckpt").exit_code == 4
    assert job.exists()


@pytest.mark.parametrize("name", ["o.parquet", "o.csv", "o.jsonl"])
def test_export_writes_the_outcomes(run, job, place, name):
    """One line per run, with the row that it was sent for; a file that is there is refused, and nothing is paid."""
    assert run("checkpoint", "export", "c.ckpt", name).exit_code == 0
    readers = {"o.parquet": pd.read_parquet, "o.csv": pd.read_csv, "o.jsonl": lambda p: pd.read_json(p, lines=True)}
    stored = readers[name](name)
    assert (sorted(stored["row"]), set(stored["status"])) == ([0, 1, 2], {"completed"})
    again = run("checkpoint", "export", "c.ckpt", name)
    assert (again.exit_code, "Pass --overwrite to replace it, or name" in again.stderr) == (2, True), again.stderr


def test_machines_are_told_what_was_done(run, job, place):
    """`--json` of what changes something: what it was, and what became of it."""
    told = {
        words[0]: json.loads(run("checkpoint", *words, "--json").stdout)
        for words in (("compact", "c.ckpt"), ("unlock", "c.ckpt"), ("export", "c.ckpt", "o.jsonl"))
    }
    assert told == {
        "compact": [{"path": told["compact"][0]["path"], "parts_before": 6, "parts": 2}],
        "unlock": {"path": "c.ckpt", "is_locked": False},
        "export": {"path": "o.jsonl", "outcomes": 3},
    }
    done = run("checkpoint", "prune", "c.ckpt", "--job", job.name, "--yes", "--json")
    assert json.loads(done.stdout)["kept"] == []
    assert [Path(each).name for each in json.loads(done.stdout)["removed"]] == [job.name]


def test_unlock_says_that_it_did(run, job):
    """No news would be no answer."""
    assert run("checkpoint", "unlock", "c.ckpt").stderr == "c.ckpt is unlocked.\n"


@pytest.mark.parametrize("command", ["prune", "show", "compact"])
def test_an_empty_name_is_not_every_job(run, job, command):
    """A variable that is not set in a script removes nothing."""
    done = run("checkpoint", command, "c.ckpt", "--job", "", *(["--yes"] if command == "prune" else []))
    assert done.exit_code == 2
    assert "--job is empty" in done.stderr
    assert job.exists()
