"""What every engine stands on: keys of batches, staged inputs, answers by key; with an engine of a few lines."""

from __future__ import annotations

import json
import pickle
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import parallel_frames as pf
from parallel_frames import _distributed as engines
from parallel_frames._checkpoint import compact_job, place_of
from parallel_frames._cli import app
from parallel_frames._cli._exits import Exit
from parallel_frames._distributed import _answers
from parallel_frames._distributed._call import prepare_frame
from parallel_frames._distributed._keys import stage_inputs
from parallel_frames.errors import EnrichmentError, InputError
from parallel_frames.simulator import Failure, Simulator

SCHEMA = {"name": str, "length": int}


def answer(sent):
    """Answer with what identifies the row."""
    return Failure("no such company") if "bad" in sent["company"] else {"name": sent["company"].upper(), "length": 3}


def is_acme(df):
    """Return a mask, from a function that can be pickled."""
    return df["company"] == "Acme"


class Batches:
    """An engine that holds its rows as tables of Arrow, and computes when it is asked to."""

    engine = "batches"
    is_local = True
    is_arrow = True

    def __init__(self, *tables, forgets=0):
        self.tables = list(tables)
        self.partitions = len(tables)
        self.forgets = forgets

    def empty(self):
        return engines.empty_frame(self.tables[0].schema)

    def sample(self, labels):
        return self.tables[0].select(labels).to_pandas(types_mapper=pd.ArrowDtype)

    def stage(self, stager, columns):
        stager = pickle.loads(pickle.dumps(stager))
        tables = [table if columns is None else table.select(columns) for table in self.tables]
        files = [engines.stage_table(stager, table, number) for number, table in enumerate(tables)]
        for file in files[: self.forgets]:
            (Path(stager.folder) / file.name).unlink()
        return files

    def merge(self, lookup):
        travelled = pickle.dumps(lookup)
        return lambda: pa.concat_tables(engines.merge_table(pickle.loads(travelled), each) for each in self.tables)


def table(*names, size=None):
    """Return rows, one per name."""
    return pa.table({"company": pa.array(names, pa.string()), "size": pa.array(size or [1] * len(names), pa.int64())})


def enrich(frame, schema=SCHEMA, **options):
    """Enrich as the public functions do."""
    enrichment = engines.engine_enrichment(frame, schema, {"progress": False, "inputs": ["company"], **options})
    return enrichment._wait_for(enrichment._run)


@pytest.fixture
def sim():
    """Serve at once."""
    with pf.offline(answer, latency=0) as simulator:
        yield simulator


FRAME = pd.DataFrame(
    {
        "text": ["a", None, "c", "a", "é", ""] * 5,
        "integer": [1, 2**60 + 1, 3, 1, 5, 6] * 5,
        "nullable": pd.array([1, None, 3, 1, 5, 6] * 5, dtype="Int64"),
        "float": [0.5, np.nan, 1e300, 0.5, 2.0, -0.0] * 5,
        "boolean": pd.array([True, None, False, True, True, False] * 5, dtype="boolean"),
        "time": pd.to_datetime(["2024-01-01", None, "2024-01-03", "2024-01-01", "2024-02-01", "2024-03-01"] * 5),
        "category": pd.Categorical(["x", None, "y", "x", "y", "x"] * 5),
        "decimal": pd.Series([Decimal("1.10"), None, Decimal(3), Decimal("1.10"), Decimal(5), Decimal(6)] * 5),
        "list": [[1], None, [2, 3], [1], [], [4]] * 5,
    }
)


def test_keys_do_not_depend_on_partitions(tmp_path):
    """Any split of a frame stages the same inputs under the same keys, and counts the same rows."""
    frame = Batches(pa.Table.from_pandas(FRAME))
    keys = engines.KeyMaker.of(prepare_frame(frame, SCHEMA, {"checkpoint": tmp_path}, sends=False).prepared)
    whole = stage_inputs(FRAME, keys, partition=0)
    parts = pa.concat_tables(
        stage_inputs(FRAME.iloc[start : start + 7], keys, partition=0) for start in range(0, len(FRAME), 7)
    )
    both = [dict(zip(t["key"].to_pylist(), t["sent"].to_pylist(), strict=True)) for t in (whole, parts)]
    assert both[0] == both[1]
    assert pa.compute.sum(whole["rows"]) == pa.compute.sum(parts["rows"])
    assert len(both[0]) == 6


def test_what_travels_has_no_secret(tmp_path):
    """What workers are sent to make keys and to look answers up pickles small, and without key, header or client."""
    client = pf.Client(api_key="a-secret-key", base_url="http://127.0.0.1:1")
    options = {
        "checkpoint": tmp_path / "x.ckpt",
        "client": client,
        "options": {"mcp_servers": [{"url": "https://m.example", "name": "m", "headers": {"Auth": "another-secret"}}]},
    }
    call = prepare_frame(Batches(table("Acme")), SCHEMA, options, sends=True)
    keys = engines.KeyMaker.of(call.prepared)
    lookup = engines.AnswerLookup(
        keys, call.prepared.schema, call.prepared.layout, None, "pyarrow", str(tmp_path), (), {}
    )
    for travelling in (engines.InputStager(keys, str(tmp_path)), lookup):
        data = pickle.dumps(travelling)
        assert b"secret" not in data
        assert len(data) < 4_000


def test_the_columns_are_those_of_a_file(sim, tmp_path):
    """Rows and types are what `enrich_parquet` writes for the same rows, whose answers it shares; each is paid once."""
    parts = [table("Acme", "Globex", "Acme"), table(), table(None, "bad one", "Initech")]
    pq.write_table(pa.concat_tables(parts), tmp_path / "in.parquet")
    out = enrich(Batches(*parts), basis=True, provenance=True)
    assert sim.counts.runs == 4
    pf.enrich_parquet(
        tmp_path / "in.parquet", tmp_path / "out.parquet", SCHEMA, inputs=["company"], basis=True, provenance=True,
        retry_failed=False, progress=False,
    )  # fmt: skip
    written = pq.read_table(tmp_path / "out.parquet").drop_columns(["parallel_cost"])  # an engine has no first row
    assert out().equals(out())
    assert out().cast(written.schema).equals(written)
    assert sim.counts.runs == 4
    assert pf.Checkpoint(sim_folder := Path(pf.last().checkpoint)).verify().empty
    assert not list(sim_folder.glob("staged/*"))


def test_runs_say_nothing_of_row_numbers(sim):
    """A run has its key and the metadata of a row, and no number of a row or batch: rows of an engine have none."""
    enrich(Batches(table("Acme", size=[7])), metadata={"size": "size"})
    (run,) = sim.runs()
    assert set(run.metadata) == {"key", "attempt", "size"}
    assert run.metadata["size"] == 7


def test_a_row_that_is_new_when_it_is_evaluated_has_no_answer(sim):
    """A source that differs at each evaluation gives `not_sent` with the reason, and no answer on another row."""
    frame = Batches(table("Acme", "Globex"), table("Initech"))
    out = enrich(frame)
    frame.tables = [table("Globex", "Umbrella", "Acme")]
    found = out().select(["name", "parallel_status", "parallel_error"]).to_pylist()
    assert [line["name"] for line in found] == ["GLOBEX", None, "ACME"]
    assert found[1]["parallel_status"] == "not_sent"
    assert found[1]["parallel_error"] == "this row was not in the frame when the call was made"
    assert sim.counts.runs == 3


def test_a_lazy_frame_is_a_snapshot(sim):
    """Neither a later call nor a compaction changes an earlier frame; the same call again finds the same answers."""
    frame = Batches(table("Acme", "bad one", "Globex"))
    first = enrich(frame, limit=2)
    before = first()
    assert before["parallel_status"].to_pylist().count("not_sent") == 1
    assert "beyond the limit of 2" in before["parallel_error"].to_pylist()
    second = enrich(frame, retry_failed=False)
    compact_job(place_of(pf.last().checkpoint))
    _answers._loaded.cache_clear()
    assert first().equals(before)
    assert second()["parallel_status"].to_pylist() == ["completed", "failed", "completed"]
    files = set(Path(pf.last().checkpoint).glob("answers/*"))
    assert enrich(frame, retry_failed=False)().equals(second())
    assert set(Path(pf.last().checkpoint).glob("answers/*")) == files


def test_a_limit_takes_the_same_inputs_however_they_are_divided(sim, monkeypatch):
    """`limit` goes by the order of keys: another division of the same rows asks the same inputs, and pays nothing."""
    monkeypatch.setattr("parallel_frames._state._staged.MANY", 10)  # lines until equal ones are put together
    names = [f"company {number}" for number in range(30)]
    out = enrich(Batches(table(*names[:20]), table(*names[20:]), table(*names)), limit=5)
    again = enrich(Batches(*(table(name) for name in reversed(names))), limit=5)
    assert sim.counts.runs == 5
    assert pf.last().status() == {"completed": 5, "not_sent": 25}
    asked = [set(t.filter(pa.compute.equal(t["parallel_status"], "completed"))["company"].to_pylist())
             for t in (out(), again())]  # fmt: skip
    assert asked[0] == asked[1]
    assert len(asked[0]) == 5


def test_answers_beyond_memory_are_read_again(sim, monkeypatch):
    """Above a bound a worker reads the answers of each batch instead of holding them all: the same columns."""
    names = [f"company {number}" for number in range(100)]
    frame = Batches(table(*names[:60]), table(*names[60:]))
    monkeypatch.setattr("parallel_frames._distributed._answers.PART_BYTES", 2_000)
    monkeypatch.setattr("parallel_frames._distributed._source.BATCH", 20)
    out = enrich(frame)
    assert len(list(Path(pf.last().checkpoint).glob("answers/*"))) == 5
    held = out()
    assert held["name"].to_pylist() == [name.upper() for name in names]
    monkeypatch.setattr("parallel_frames._distributed._answers.MOST_HELD", 0)
    assert enrich(frame, basis=True)().select(held.column_names).equals(held)


def test_what_is_missing_or_failed_is_asked_again(sim):
    """`where` is decided batch by batch; rows that are not asked about keep what they have."""
    before = pa.table({"company": ["Acme", "Globex"], "name": ["Acme Inc.", None], "length": [4, 9]})
    out = enrich(Batches(before), where="missing")()
    assert out["name"].to_pylist() == ["Acme Inc.", "GLOBEX"]
    assert out["length"].to_pylist() == [4, 9]
    assert sim.counts.runs == 1
    chosen = enrich(Batches(before.select(["company"])), where=is_acme)()
    assert chosen["name"].to_pylist() == ["ACME", None]
    assert chosen["parallel_status"].to_pylist() == ["completed", "not_sent"]


def test_workers_that_write_elsewhere_are_noticed(sim, tmp_path):
    """Where what workers wrote cannot be read here, nothing is sent, and the message says what to pass."""
    with pytest.raises(InputError, match=r"2 files of inputs.*0 lines of its 3 from here.*Nothing was sent.*s3://"):
        enrich(Batches(table("Acme"), table("Globex", "Initech"), forgets=1), checkpoint=tmp_path / "x.ckpt")
    assert sim.counts.runs == 0
    assert list(tmp_path.iterdir()) == []


def test_a_cell_that_cannot_travel_is_named(sim):
    """The message names partition, column and row, and nothing was sent."""
    bad = pa.table({"company": pa.array(["Acme", b"\xff"], pa.binary()), "size": [1, 2]})
    with pytest.raises(InputError, match=r"Partition 1: Column 'company', row 0.*Nothing was sent"):
        enrich(Batches(bad.slice(2), bad))
    assert sim.counts.requests == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"dedupe": False}, "`dedupe=False` is not for frames of batches: .*partitions"),
        ({"group_id": "tgrp_1"}, "`group_id='tgrp_1'` is not for frames of batches"),
        ({"on_row": print}, "`on_row` is not for frames of batches"),
        ({"checkpoint": None}, "`checkpoint=None` is not for frames of batches"),
        ({"where": [True]}, "a mask is for pandas frames"),
        ({"dtype_backend": "pyarrow"}, "`dtype_backend` is for pandas frames"),
        ({"metadata": {"id": "sise"}}, "'sise'.*did you mean 'size'"),
    ],
)
def test_options_that_make_no_sense_are_refused(sim, options, reason):
    """What an engine's frame does not have is refused with the reason, before the engine computes anything."""
    with pytest.raises(InputError, match=reason):
        enrich(Batches(table("Acme")), **options)


def test_the_default_checkpoint_needs_workers_on_this_machine(sim):
    """The cache is a folder of this machine: workers elsewhere need a place that all of them see."""
    frame = Batches(table("Acme"))
    frame.is_local = False
    with pytest.raises(InputError, match=r"workers may be on others.*`checkpoint='s3://"):
        enrich(frame)


def test_equal_batches_are_counted_each(sim):
    """Batches with the same rows are one file, and all of their rows are counted."""
    parts = [table("Acme", None), table("Globex"), table("Acme", None)]
    plan = engines.plan_frame(Batches(*parts), SCHEMA, {"inputs": ["company"]})
    assert (plan.rows, plan.skipped, plan.runs, plan.duplicates) == (5, 2, 2, 1)
    assert enrich(Batches(*parts))()["name"].to_pylist() == ["ACME", None, "GLOBEX", "ACME", None]
    assert pf.last().status() == {"completed": 3, "skipped": 2}


def test_a_plan_leaves_nothing_behind(sim, tmp_path):
    """It makes the keys, counts the rows, and removes what the workers wrote."""
    plan = engines.plan_frame(
        Batches(table("Acme", "Globex"), table("Acme", None)),
        SCHEMA,
        {"inputs": ["company"], "checkpoint": tmp_path / "x"},
    )
    assert (plan.rows, plan.skipped, plan.runs, plan.duplicates, plan.cost) == (4, 1, 2, 1, 0.02)
    assert plan.payload["inputs"][0]["input"]["company"] in ("Acme", "Globex")
    assert list(tmp_path.iterdir()) == []
    assert sim.counts.requests == 0


def test_the_handle_shows_distinct_inputs(sim):
    """Counts are of rows; errors and report are of inputs; `partial` is a lazy frame, and so is a resumed one."""
    handle = engines.engine_enrichment(
        Batches(table("Acme", "bad one", "Acme"), table(None)), SCHEMA, {"progress": False, "inputs": ["company"]}
    )
    handle._wait_for(handle._send)
    out = handle.result()
    assert handle.status() == {"completed": 2, "failed": 1, "skipped": 1}
    assert handle.errors()["input"].tolist() == ['{"company":"bad one"}']
    assert handle.report().counts == {"completed": 1, "failed": 1}
    assert handle.partial()().equals(out())
    assert handle.resume()()["parallel_status"].to_pylist() == ["completed", "failed", "completed", "skipped"]
    assert sim.counts.runs == 3
    with pytest.raises(InputError, match="The rows of a frame of batches are not known here"):
        list(handle)
    with pytest.raises(EnrichmentError, match="1 failed of 4 rows") as raised:
        enrich(Batches(table("Acme", "bad one", "Acme"), table(None)), on_error="raise", retry_failed=False)
    assert raised.value.frame()["name"].to_pylist()[0] == "ACME"


def test_a_frame_without_anything_to_send(sim, tmp_path):
    """Without an input there is no run, no checkpoint and no file; the columns are there all the same."""
    out = enrich(Batches(table(None, None), table()), checkpoint=tmp_path / "x.ckpt")()
    assert out["parallel_status"].to_pylist() == ["skipped", "skipped"]
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_snapshot_is_named(sim):
    """`verify` names a file of answers that is not what its name says; the next call writes it again."""
    frame = Batches(table("Acme"))
    enrich(frame)
    (file,) = Path(pf.last().checkpoint).glob("answers/*")
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    damaged = pf.Checkpoint(pf.last().checkpoint).verify()
    assert damaged["file"].tolist() == [f"answers/{file.name}"]
    enrich(frame)
    assert pf.Checkpoint(pf.last().checkpoint).verify().empty


def test_staged_on_the_cluster_and_sent_from_anywhere(tmp_path, monkeypatch):
    """`stage` sends nothing; `send` needs no rows and resumes; `enrich` finds everything answered."""
    with Simulator(answer, latency=0) as sim:
        monkeypatch.setenv("PARALLEL_API_KEY", "key")
        monkeypatch.setenv("PARALLEL_BASE_URL", sim.url)
        frame = Batches(table("Acme", "Globex", "Acme"), table("bad one", None))
        options = {"inputs": ["company"], "checkpoint": tmp_path / "x.ckpt", "options": {"enable_events": True}}
        plan = engines.stage_frame(frame, SCHEMA, options)
        assert (plan.rows, plan.to_send, plan.cost) == (5, 3, 0.03)
        assert sim.counts.requests == 0
        engines.stage_frame(Batches(*reversed(frame.tables)), SCHEMA, options)  # again, in other partitions

        shown = CliRunner().invoke(app, ["checkpoint", "show", str(tmp_path / "x.ckpt"), "--json"])
        assert json.loads(shown.stdout)[0]["staged"] == 2

        def send(*words):
            return CliRunner().invoke(app, ["send", str(tmp_path / "x.ckpt"), "--no-progress", *words])

        assert "no terminal to confirm it" in send().stderr
        monkeypatch.chdir(tmp_path)
        (tmp_path / "pyproject.toml").write_text("[tool.parallel_frames]\nmax_cost = 0.01\n")
        assert "max_cost" in send("--yes").stderr.replace("--max-cost", "max_cost")
        (tmp_path / "pyproject.toml").unlink()
        assert send("--yes", "--limit", "1").exit_code == 0
        assert sim.counts.runs == 1
        done = send("--yes", "--json")
        assert done.exit_code == Exit.FAILED  # a failed run stays staged, to be tried again
        assert json.loads(done.stdout)[0]["counts"] == {"completed": 3, "failed": 1, "skipped": 1}
        assert sim.counts.runs == 3
        out = enrich(frame, checkpoint=tmp_path / "x.ckpt", retry_failed=False)
        assert out()["name"].to_pylist() == ["ACME", "GLOBEX", "ACME", None, None]
        assert sim.counts.runs == 3


def test_what_is_answered_is_staged_no_more(tmp_path, monkeypatch):
    """Once everything has its answer, nothing is left to be sent, and the command says so."""
    with Simulator(answer, latency=0) as sim:
        monkeypatch.setenv("PARALLEL_API_KEY", "key")
        monkeypatch.setenv("PARALLEL_BASE_URL", sim.url)
        engines.stage_frame(Batches(table("Acme")), SCHEMA, {"checkpoint": tmp_path / "x.ckpt"})
        words = ["send", str(tmp_path / "x.ckpt"), "--yes", "--no-progress"]
        assert "1 row · 1 completed" in CliRunner().invoke(app, words).stderr
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0
        assert "Nothing is staged" in done.stderr
        assert not list(tmp_path.rglob("staged"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"limit": 3}, "`limit` concerns the sending"),
        ({"options": {"webhook": {"url": "https://example.com"}}}, "`options` holds a webhook"),
        (
            {"options": {"mcp_servers": [{"url": "https://m.example", "name": "m", "headers": {"A": "b"}}]}},
            "headers of",
        ),
    ],
)
def test_what_is_staged_holds_no_secret(tmp_path, options, reason):
    """Secrets are never on a disk, so that they cannot be staged; nor what another command is to say."""
    with pytest.raises(InputError, match=reason):
        engines.stage_frame(Batches(table("Acme")), SCHEMA, {"checkpoint": tmp_path / "x.ckpt", **options})
    assert list(tmp_path.iterdir()) == []


def test_what_killed_calls_staged_is_removed_in_time(sim):
    """`compact` removes what a call staged that was killed, once it is old; not what waits to be sent."""
    enrich(Batches(table("Acme")))
    folder = Path(pf.last().checkpoint)
    for name in ("20200101T000000Z-killed", "20200101T000000Z-waits", "29990101T000000Z-at-work"):
        (folder / "staged" / name).mkdir(parents=True)
        (folder / "staged" / name / "a.parquet").touch()
    (folder / "staged" / "20200101T000000Z-waits" / "staged.json").touch()
    compact_job(place_of(folder))
    assert [path.name for path in sorted(folder.glob("staged/*"))] == [
        "20200101T000000Z-waits", "29990101T000000Z-at-work",
    ]  # fmt: skip
