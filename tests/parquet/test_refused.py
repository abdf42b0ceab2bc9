"""What cannot work is named before anything is sent."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames._job._options import Call
from parallel_frames.errors import InputError, UnknownColumnError
from parallel_frames.simulator import Simulator


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Give a source of three rows."""
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"company": ["a", "b", "a"], "n": [1, 2, 3], "text": ["x", "y", "z"]}), path)
    return path


def _bad_sources(place: Path) -> dict[str, tuple[str, str]]:
    """Return an address and the message about it, for each thing that can be wrong with a source."""
    good = pa.table({"company": ["a"]})
    for name in ("empty", "mixed", "differing", "csvs", "tsv_csv", "feathers", "nested"):
        (place / name).mkdir()
    (place / "torn.parquet").write_bytes(b"PAR1 torn")
    (place / "none.parquet").write_bytes(b"")
    (place / "rows.txt").write_text("a")
    (place / "bad.json").write_text('{"a": 1}\n{"a": 2}')
    (place / "object.json").write_text('{"a": 1}')
    (place / "bad.jsonl").write_text('{"a": 1}\n{"a": ')
    (place / "types.jsonl").write_text('{"a": 1}\n{"a": "x"}')
    (place / "bad.csv").write_text("a,b\n1,2\n3\n")
    (place / "void.csv").write_text("")
    (place / "latin.csv").write_bytes("company\nM\xfcller\n".encode("latin-1"))
    pq.write_table(good, place / "mixed" / "a.parquet")
    (place / "mixed" / "b.csv").write_text("company\na\n")
    pq.write_table(good, place / "differing" / "a.parquet")
    pq.write_table(pa.table({"company": [1]}), place / "differing" / "b.parquet")
    (place / "csvs" / "a.csv").write_text("company,n\na,1\n")
    (place / "csvs" / "b.csv").write_text("company,m\na,1\n")
    (place / "tsv_csv" / "a.csv").write_text("company,n\na,1\n")
    (place / "tsv_csv" / "b.tsv").write_text("company\tn\na\t1\n")
    (place / "twice.csv").write_text("a,b,a,a\n1,2,3,4\n")
    feather.write_feather(good, place / "feathers" / "a.feather")
    feather.write_feather(pa.table({"company": ["a"], "n": [1]}), place / "feathers" / "b.feather")
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["a", "a"]), place / "twice.parquet")
    feather.write_feather(pa.table({"company": ["a"], "void": pa.array([{}], pa.struct([]))}), place / "void.feather")
    return {
        "missing": ("missing.parquet", "does not exist"),
        "torn": ("torn.parquet", "cannot be read as parquet"),
        "no bytes": ("none.parquet", "cannot be read as parquet"),
        "no known ending": ("rows.txt", "its ending must name its format"),
        "lines in an array's place": ("bad.json", r"name the file \.jsonl"),
        "an object": ("object.json", "holds no array; each row"),
        "torn lines": ("bad.jsonl", r"Line 2 of .*bad\.jsonl is not JSON"),
        "lines of two types": ("types.jsonl", "'a' is a number in line 1"),
        "a short line": ("bad.csv", "cannot be read as csv"),
        "no header": ("void.csv", "cannot be read as csv"),
        "not UTF-8": ("latin.csv", "cannot be read as csv"),
        "empty directory": ("empty", "holds no file that can be read"),
        "a glob that finds nothing": ("nothing-*.parquet", "holds no file that can be read"),
        "several formats": ("mixed", r"several formats \(csv, parquet\)"),
        "commas and tabs": ("tsv_csv", r"several formats \(csv, tsv\)"),
        "two schemas": (
            "differing",
            r"b\.parquet and .*a\.parquet have different columns: 'company' is int64 .* string",
        ),
        "two headers": ("csvs", r"b\.csv and .*a\.csv have different columns"),
        "two feather schemas": ("feathers", "have different columns"),
        "one name twice": ("twice.parquet", r"twice\.parquet has 2 columns that are called 'a'.* Rename them"),
        "one header twice": ("twice.csv", r"twice\.csv has 3 columns that are called 'a'"),
        "a type Parquet lacks": ("void.feather", "'void' as struct<>, which Parquet cannot hold"),
    }


def test_a_source_that_cannot_be_read_is_named(tmp_path: Path, sim: Simulator, enrich: Callable[..., Any]) -> None:
    """Each way in which a source can be wrong has its own words, and nothing is sent or written."""
    for trouble, (name, words) in _bad_sources(tmp_path).items():
        with pytest.raises(InputError) as caught:
            enrich(tmp_path / name, tmp_path / "out.parquet")
        assert re.search(words, str(caught.value)), trouble
        with pytest.raises(InputError, match=words):
            pf.plan_parquet(tmp_path / name, {"name": str})
    assert sim.counts.posts == 0
    assert not list(tmp_path.glob("out*"))


def test_a_source_that_is_torn_in_the_middle_is_named(
    tmp_path: Path, source: Path, sim: Simulator, enrich: Callable[..., Any]
) -> None:
    """A footer may be whole where a page is not: the file is read once before anything is sent."""
    data = bytearray(source.read_bytes())
    data[10:40] = b"\xff" * 30
    source.write_bytes(data)
    with pytest.raises(pf.errors.SourceError, match=r"in\.parquet cannot be read"):
        enrich(source, tmp_path / "out.parquet")
    assert sim.counts.posts == 0


def test_a_target_is_refused_before_a_source_is_read(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """A source of many gigabytes takes a while; a wrong target is refused first, and makes no folder."""
    (tmp_path / "torn.csv").write_text("a,b\n1\n")
    (tmp_path / "out.parquet").write_bytes(b"kept")
    with pytest.raises(InputError, match=r"exists\. Nothing was sent"):
        enrich(tmp_path / "torn.csv", tmp_path / "out.parquet")
    with pytest.raises(InputError, match=r"torn\.csv.* cannot be read as csv"):
        enrich(tmp_path / "torn.csv", tmp_path / "new" / "out.parquet")
    assert not (tmp_path / "new").exists()


def _targets(place: Path) -> dict[str, tuple[Any, str]]:
    folder = place / "own"
    folder.mkdir()
    (folder / "thesis.docx").write_text("ten years of work")
    (place / "folder.parquet").mkdir()
    (place / "there.parquet").write_bytes(b"")
    (place / "file").write_text("")
    return {
        "the source": (place / "in.parquet", "is the source"),
        "the source by another way": (place / "own" / ".." / "in.parquet", "is the source"),
        "around the source": (place, "is the source, inside it or around it"),
        "CSV": (place / "out.csv", "must be Parquet"),
        "JSON": (place / "out.jsonl", "must be Parquet"),
        "a folder where a file is meant": (place / "folder.parquet", "is a directory"),
        "somebody's folder": (folder, r"holds .*thesis\.docx, which is not part of a target"),
        "below a file": (place / "file" / "out.parquet", "cannot be written"),
        "nothing": ("", "target is empty"),
        "a secret": ("s3://key:secret@bucket/out.parquet", "holds a user name or a secret"),
        "no such place": ("nowhere://x/out.parquet", "nowhere"),
    }


def test_a_target_that_cannot_be_is_named(
    tmp_path: Path, source: Path, sim: Simulator, enrich: Callable[..., Any]
) -> None:
    """Each way in which a target can be wrong is refused before anything is sent, with overwrite=True too."""
    for trouble, (target, words) in _targets(tmp_path).items():
        with pytest.raises(InputError) as caught:
            enrich(source, target, overwrite=True, checkpoint=tmp_path / "ck")
        assert re.search(words, str(caught.value)), trouble
    for exists in ("there.parquet", "own"):
        with pytest.raises(InputError, match=r"exists\. Nothing was sent\. Pass `overwrite=True`"):
            enrich(source, tmp_path / exists)
    assert sim.counts.posts == 0
    assert (tmp_path / "own" / "thesis.docx").read_text() == "ten years of work"


def test_a_target_among_the_sources_files_is_refused(
    tmp_path: Path, source: Path, sim: Simulator, enrich: Callable[..., Any]
) -> None:
    """The next call would read it as rows: in the source's directory, or where its pattern finds it."""
    folder = tmp_path / "rows"
    folder.mkdir()
    source.rename(folder / "in.parquet")
    for given in (folder, folder / "*.parquet", tmp_path / "*" / "*.parquet"):
        with pytest.raises(InputError, match="is the source, inside it or around it"):
            enrich(given, folder / "out.parquet", checkpoint=tmp_path / "ck")
    assert enrich(folder / "in*.parquet", folder / "out.parquet", checkpoint=tmp_path / "ck").rows == 3
    assert sim.counts.runs == 3


OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "a column that is not there": ({"inputs": ["compny"]}, "compny"),
    "metadata that is not there": ({"metadata": {"id": "nr"}}, "nr"),
    "no checkpoint": ({"checkpoint": None}, "needs a checkpoint"),
    "a mask": ({"where": [True, False, True]}, "a mask is for frames"),
    "dtype_backend": ({"dtype_backend": "pyarrow"}, "`dtype_backend` is for frames"),
    "rows_per_file": ({"rows_per_file": 0}, "must be a number of rows"),
    "older_than": ({"older_than": "ten days"}, "a duration such as '90s', '10m', '12h', '30d'"),
    "a negative age": ({"older_than": "-3d"}, "`older_than='-3d'` must be a number of seconds"),
    "two ways to ask again": ({"older_than": "3d", "refresh": True}, "pass one of them"),
    "failed without a status": ({"where": "failed"}, "`where='failed'` reads the status column"),
    "a function that gives no mask": ({"where": len}, "one boolean per row"),
    "too dear": ({"max_cost": 0.01}, "max_cost"),
    "an existing column": ({"schema": {"text": str}}, "already have 'text'"),
    "an existing column of another type": (
        {"schema": {"text": int}, "if_exists": "fill"}, "has 'text' as string, and the answers to it are int64"
    ),
}  # fmt: skip


@pytest.mark.parametrize("trouble", OPTIONS)
def test_an_option_that_cannot_be_is_named(
    tmp_path: Path, source: Path, sim: Simulator, enrich: Callable[..., Any], trouble: str
) -> None:
    """What is wrong with a call, or makes sense for frames alone, is refused, and nothing is sent or written."""
    options, words = OPTIONS[trouble]
    options = {"schema": {"name": str}, "inputs": ["company", "n"], **options}
    with pytest.raises(pf.errors.ParallelFramesError, match=words) as caught:
        enrich(source, tmp_path / "out.parquet", **options)
    assert isinstance(caught.value, UnknownColumnError | InputError | pf.errors.CostError)
    assert sim.counts.posts == 0
    assert not (tmp_path / "out.parquet").exists()


def test_without_a_target_there_is_nothing_to_wait_for(
    source: Path, sim: Simulator, enrich: Callable[..., Any]
) -> None:
    """`target=None` goes with `wait=False` only."""
    with pytest.raises(InputError, match="Only `wait=False` does without a target"):
        enrich(source, None)
    assert sim.counts.posts == 0


def test_no_option_of_a_frame_is_forgotten(tmp_path: Path, source: Path) -> None:
    """Every option of `enrich` is taken or refused with a reason; an unknown one is a TypeError."""
    known = {field.name for field in dataclasses.fields(Call)}
    text = pf.enrich_parquet.__doc__ or ""
    refused = {"dtype_backend"}
    assert {name for name in known if f"``{name}``" not in text} == refused
    with pytest.raises(TypeError, match="no option 'proccessor'; did you mean 'processor'"):
        pf.enrich_parquet(source, tmp_path / "out.parquet", {}, proccessor="lite")


def test_provenance_that_is_there_already_is_not_replaced_unasked(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any]
) -> None:
    """Columns of provenance are columns like others: error, or fill and overwrite where that was passed."""
    pd.DataFrame({"company": ["a"], "parallel_run_id": ["mine"]}).to_parquet(tmp_path / "in.parquet")
    with pytest.raises(InputError, match="already have 'parallel_run_id'"):
        enrich(tmp_path / "in.parquet", tmp_path / "out.parquet", provenance=True)
    assert sim.counts.posts == 0


def test_a_manifest_beside_a_target_tells_no_secret(tmp_path: Path, source: Path, enrich: Callable[..., Any]) -> None:
    """Neither the key nor another part of the client is in a file of the call."""
    done = enrich(source, tmp_path / "out.parquet", client={"api_key": "sk-secret-123"})
    assert json.loads(Path(done.manifest).read_text())["rows"] == 3
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"sk-secret-123" in path.read_bytes()]


@pytest.mark.parametrize("why", ["the price", "the host"])
def test_a_call_that_bought_nothing_is_not_in_the_way_of_the_corrected_one(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], files: SimpleNamespace, why: str
) -> None:
    """It leaves no job in the checkpoint: there are no answers that could be missed."""
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    files.rows(*range(5)).to_parquet(source)
    wrong: dict[str, Any] = {"max_cost": 0.01} if why == "the price" else {"client": {"base_url": "http://127.0.0.1:9"}}
    with pytest.raises((pf.errors.CostError, pf.errors.UnavailableError)):
        enrich(source, target, {"wrong": str}, checkpoint=tmp_path / "ckpt", **wrong)
    assert enrich(source, target, checkpoint=tmp_path / "ckpt").counts == {"completed": 5}
    assert sim.counts.runs == 5
    assert len(pf.Checkpoint(tmp_path / "ckpt").summary()) == 1
