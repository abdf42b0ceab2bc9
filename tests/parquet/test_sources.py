"""Sources of every format and place: the same rows are the same inputs, and each is paid once."""

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import httpx
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.feather as feather
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Simulator

SPEED = 100.0


def table() -> pa.Table:
    """Return 60 rows, 50 of them distinct, with gaps, dates and whole numbers among floats."""
    numbers = [n % 50 for n in range(60)]
    return pa.table({
        "company": [f"company {n}" for n in numbers],
        "employees": pa.array([None if n % 7 == 0 else n for n in numbers], pa.int64()),
        "share": [n / 8 for n in numbers],
        "listed": [n % 2 == 0 for n in numbers],
        "founded": [f"19{n + 10}-01-0{n % 9 + 1}" for n in numbers],
        "opens": [f"{n % 12 + 1:02d}:30" for n in numbers],
    })  # fmt: skip


def _hive(place: Path) -> Path:
    """Write two parts whose partition is the column `listed`, as text."""
    for listed in ("True", "False"):
        part = place / "hive" / f"listed={listed}"
        part.mkdir(parents=True)
        kept = table().filter(pa.array([value == (listed == "True") for value in table()["listed"].to_pylist()]))
        pq.write_table(kept.drop_columns(["listed"]), part / "rows.parquet")
    return place / "hive"


def _split(place: Path) -> Path:
    """Write the rows into a directory of two files, with what is no data beside them."""
    folder = place / "parts"
    folder.mkdir(exist_ok=True)
    pq.write_table(table().slice(0, 31), folder / "a.parquet", row_group_size=7)
    pq.write_table(table().slice(31), folder / "b.parquet")
    (folder / "_SUCCESS").write_text("")
    (folder / ".a.parquet.crc").write_text("")
    (folder / "read me.txt").write_text("no data")
    return folder


def _write(place: Path, kind: str) -> str:
    """Write the rows in a format, and return their address."""
    lines = table().to_pylist()
    one = place / f"rows.{kind}"
    if kind == "parquet":
        pq.write_table(table(), one)
    elif kind == "directory":
        return str(_split(place))
    elif kind == "glob":
        return str(_split(place) / "?.parquet")
    elif kind == "csv":
        pacsv.write_csv(table(), one)
    elif kind == "csv.gz":
        one.write_bytes(gzip.compress(table().to_pandas().to_csv(index=False).encode()))
    elif kind == "tsv":
        table().to_pandas().to_csv(one, sep="\t", index=False)
    elif kind == "feather":
        feather.write_feather(table(), one)
    elif kind == "json":
        one.write_text(json.dumps(lines))
    elif kind == "jsonl":
        one.write_text("\n".join(map(json.dumps, lines)))
    else:
        with fsspec.open(f"memory://{place.name}/rows.parquet", "wb") as handle:
            pq.write_table(table(), handle)
        return f"memory://{place.name}/rows.parquet"
    return str(one)


KINDS = ["parquet", "directory", "glob", "csv", "csv.gz", "tsv", "feather", "json", "jsonl", "memory"]


def test_the_same_rows_in_any_format_and_in_a_frame_are_paid_once(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], files: Any
) -> None:
    """One checkpoint serves them all: what the frame paid for is answered for every file."""
    client = pf.Client(api_key="key", base_url=sim.url, clock_speed=SPEED, max_per_minute=None)
    out = table().to_pandas().parallel.enrich(files.SCHEMA, client=client, checkpoint=tmp_path / "ck", progress=False)
    for kind in KINDS:
        source = _write(tmp_path, kind)
        target = tmp_path / f"{kind}.out.parquet"
        done = enrich(source, target, checkpoint=tmp_path / "ck")
        assert (done.rows, done.counts, len(sim.runs())) == (60, {"completed": 60}, 50), kind
        again = pd.read_parquet(target)
        assert again["name"].tolist() == out["name"].tolist() == again["company"].str.upper().tolist(), kind
        assert again["length"].dtype == "Int64", kind
    files.assert_paid_once(sim, runs=50)


def test_a_file_pays_and_the_frame_is_served(tmp_path: Path, sim: Simulator, enrich: Callable[..., Any]) -> None:
    """The other way round: a checkpoint that a file filled answers a frame of its rows."""
    source = _write(tmp_path, "csv")
    done = enrich(source, tmp_path / "out.parquet")
    client = pf.Client(api_key="key", base_url=sim.url, clock_speed=SPEED)
    folder = Path(done.checkpoint).parent
    out = pd.read_csv(source).parallel.enrich(
        {"name": str, "length": int}, client=client, checkpoint=folder, progress=False
    )
    assert (len(sim.runs()), set(out["parallel_status"])) == (50, {"completed"})


def test_partitions_of_json_lines_and_csv_are_columns(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """Whatever the format, a folder such as ``year=2024`` is a column, with the type of its values."""
    for year in (2023, 2024):
        for kind in ("jsonl", "csv"):
            part = tmp_path / kind / f"year={year}"
            part.mkdir(parents=True)
            text = '{"company": "Acme"}\n' if kind == "jsonl" else "company\nAcme\n"
            (part / f"rows.{kind}").write_text(text)
    enrich(tmp_path / "jsonl", tmp_path / "jsonl.parquet", checkpoint=tmp_path / "ck")
    enrich(tmp_path / "csv", tmp_path / "csv.parquet", checkpoint=tmp_path / "ck")
    for kind in ("jsonl", "csv"):
        out = pd.read_parquet(tmp_path / f"{kind}.parquet")
        assert out[["company", "year"]].to_numpy().tolist() == [["Acme", 2023], ["Acme", 2024]]


def test_hive_partitions_are_columns_like_others(tmp_path: Path, sim: Simulator, enrich: Callable[..., Any]) -> None:
    """A partition's column is sent if it is asked for, and stands in the target; rows keep the order of the files."""
    source = _hive(tmp_path)
    done = enrich(source, tmp_path / "out", inputs=["company", "listed"])
    out = pq.read_table(tmp_path / "out")
    assert done.rows == 60
    assert {run.input["listed"] for run in sim.runs()} == {"True", "False"}
    assert out.column("listed").to_pylist() == ["False"] * 30 + ["True"] * 30
    assert out.column("name").to_pylist() == [name.upper() for name in out.column("company").to_pylist()]


def test_a_file_below_a_folder_with_an_equals_sign_has_no_partition(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """Only what lies below the named directory can be a partition."""
    folder = tmp_path / "run=7"
    folder.mkdir()
    enrich(_write(folder, "parquet"), tmp_path / "out.parquet")
    enrich(_split(folder), tmp_path / "parts.parquet", checkpoint=tmp_path / "out.parquet.ckpt")
    assert "run" not in pq.read_schema(tmp_path / "out.parquet").names
    assert "run" not in pq.read_schema(tmp_path / "parts.parquet").names


def test_a_star_stays_within_a_folder_and_two_do_not(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """Patterns are a shell's, and a file whose name looks like one is a file."""
    for name in ("in/a.parquet", "in/deep/b.parquet", "in/x[1].parquet"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"company": [name]}), tmp_path / name)
    found = {
        pattern: enrich(tmp_path / "in" / pattern, tmp_path / f"{at}.parquet", checkpoint=tmp_path / "ck").rows
        for at, pattern in enumerate(["*.parquet", "**/*.parquet", "*/*.parquet", "x[1].parquet", "[ab].parquet"])
    }
    assert list(found.values()) == [2, 3, 1, 1, 1]


# Types that only show further down


def test_a_csv_column_that_becomes_text_or_a_float_further_down_is_so_from_its_first_row(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Types hold for the whole file, however late they show; and a column may begin with nulls."""
    monkeypatch.setattr("parallel_frames._files._csv.BLOCK_BYTES", 512)
    early = [f"company {n},{n},{n},{n}," for n in range(200)]
    late = ["company 200,zero,1.5,,7", "company 201,,2,3,", "company 202,x,,,8"]
    (tmp_path / "rows.csv").write_text("\n".join(["company,text,float,gaps,late", *early, *late]) + "\n")
    enrich(tmp_path / "rows.csv", tmp_path / "out.parquet", inputs=["company", "text", "float", "gaps", "late"])
    out = pq.read_table(tmp_path / "out.parquet")
    assert [str(out.schema.field(name).type) for name in ("text", "float", "gaps", "late")] == [
        "string", "double", "int64", "int64"
    ]  # fmt: skip
    assert out.column("text").to_pylist()[:2] + out.column("text").to_pylist()[-3:] == ["0", "1", "zero", None, "x"]
    assert sim.runs()[0].input == {"company": "company 0", "text": "0", "float": 0.0, "gaps": 0}


def test_cells_of_a_csv_may_hold_line_ends_and_quotes(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """A quoted cell is one cell."""
    df = pd.DataFrame({"company": ['a "b"\nc', "d,e", "ü"], "note": [None, "x", ""]})
    df.to_csv(tmp_path / "rows.csv", index=False)
    enrich(tmp_path / "rows.csv", tmp_path / "out.parquet", inputs=["company"])
    assert pq.read_table(tmp_path / "out.parquet").column("company").to_pylist() == df["company"].tolist()


def test_json_lines_may_bring_fields_and_wider_numbers_late(
    tmp_path: Path, enrich: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field that the first lines lack is a column, and nothing of it is lost."""
    monkeypatch.setattr("parallel_frames._files._json.BLOCK_BYTES", 512)
    lines: list[dict[str, Any]] = [{"company": f"company {n}", "size": n} for n in range(100)]
    lines += [{"company": "late", "size": 1.5, "when": "2024-05-06", "tags": ["a"], "nothing": None}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    enrich(tmp_path / "rows.jsonl", tmp_path / "out.parquet", inputs=["company"])
    out = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [out[-1][name] for name in ("size", "when", "tags")] == [1.5, "2024-05-06", ["a"]]
    assert out[0]["size"] == 0
    assert out[0]["when"] is None


# Elsewhere


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give an S3 server on this machine, with nothing but the empty bucket `lake`."""
    server_of = pytest.importorskip("moto.server")
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx.post(f"http://{host}:{port}/moto-api/reset", trust_env=False)  # all servers of a process hold the same
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    system = pafs.S3FileSystem(allow_bucket_creation=True, endpoint_override=f"http://{host}:{port}")
    system.create_dir("lake")
    yield server
    server.stop()


@pytest.mark.filterwarnings("default:datetime.datetime.utcnow:DeprecationWarning")
def test_source_and_target_may_be_in_an_object_store(
    store: Any, tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], files: Any
) -> None:
    """Objects are read, globbed and written; the manifest is beside the target, and nothing is paid twice."""
    bucket = "lake"
    system, _ = pafs.FileSystem.from_uri(f"s3://{bucket}/")
    for name, rows in {"part-1": table().slice(0, 31), "part-2": table().slice(31)}.items():
        pq.write_table(rows, f"{bucket}/rows/{name}.parquet", filesystem=system)
    done = enrich(f"s3://{bucket}/rows/part-?.parquet", f"s3://{bucket}/out.parquet", checkpoint=tmp_path / "ck")
    out = pq.read_table(f"{bucket}/out.parquet", filesystem=system)
    assert done.counts == {"completed": 60}
    assert out.column("name").to_pylist() == [name.upper() for name in table().column("company").to_pylist()]
    with system.open_input_stream(f"{bucket}/out.parquet.manifest.json") as stream:
        assert json.loads(stream.read())["rows"] == 60
    parts = enrich(f"s3://{bucket}/rows", f"s3://{bucket}/out", checkpoint=tmp_path / "ck", rows_per_file=25)
    assert parts.target == f"s3://{bucket}/out"
    assert pq.read_table(f"{bucket}/out", filesystem=system).num_rows == 60
    found = system.get_file_info(pafs.FileSelector(f"{bucket}/out"))
    assert [info.base_name for info in found] == [f"part-0000{n}.parquet" for n in range(3)]
    with pytest.raises(pf.errors.InputError, match=r"exists\. Nothing was sent"):
        enrich(f"s3://{bucket}/rows", f"s3://{bucket}/out", checkpoint=tmp_path / "ck")
    again = enrich(f"s3://{bucket}/rows", f"s3://{bucket}/out", checkpoint=tmp_path / "ck", rows_per_file=25)
    assert again == parts
    files.assert_paid_once(sim, runs=50)


@pytest.mark.filterwarnings("default:datetime.datetime.utcnow:DeprecationWarning")
def test_everything_of_a_job_may_be_in_an_object_store(
    store: Any, sim: Simulator, enrich: Callable[..., Any], files: Any
) -> None:
    """The checkpoint stands beside the target there too, and a later call pays nothing."""
    system, _ = pafs.FileSystem.from_uri("s3://lake/")
    pq.write_table(table(), "lake/whole/rows.parquet", filesystem=system)
    done = enrich("s3://lake/whole/rows.parquet", "s3://lake/whole/out.parquet")
    assert done.checkpoint.startswith("s3://lake/whole/out.parquet.ckpt/")
    again = enrich("s3://lake/whole/rows.parquet", "s3://lake/whole/out.parquet", overwrite=True, provenance=True)
    assert again.counts == {"completed": 60}
    assert pq.read_table("lake/whole/out.parquet", filesystem=system).column("parallel_run_id").null_count == 0
    files.assert_paid_once(sim, runs=50)


@pytest.mark.filterwarnings("default:datetime.datetime.utcnow:DeprecationWarning")
def test_an_object_store_that_fails_leaves_the_answers_safe(store: Any, tmp_path: Path, files: Any) -> None:
    """A store that is gone when the target is to be written is a TargetError; elsewhere nothing is paid again."""

    def answer(sent: dict[str, Any]) -> Any:
        store.stop()
        return files.answer(sent)

    source = _write(tmp_path, "parquet")
    with Simulator(answer, latency=0, max_per_minute=None, speed=files.SPEED) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED, max_per_minute=None)
        options: dict[str, Any] = {"checkpoint": tmp_path / "ck", "client": client, "progress": False}
        with pytest.raises(pf.errors.TargetError, match=r"s3://lake/lost\.parquet could not be written") as caught:
            pf.enrich_parquet(source, "s3://lake/lost.parquet", files.SCHEMA, **options)
        assert "room" not in str(caught.value)
        assert sim.counts.runs == 50
        pf.enrich_parquet(source, tmp_path / "out.parquet", files.SCHEMA, **options)
        assert sim.counts.runs == 50


@pytest.mark.filterwarnings("default:datetime.datetime.utcnow:DeprecationWarning")
def test_a_place_in_an_object_store_that_cannot_be_written_is_refused_before_anything_is_sent(
    store: Any, tmp_path: Path, sim: Simulator, enrich: Callable[..., Any]
) -> None:
    """No bucket, and a checkpoint that the target would delete."""
    source = _write(tmp_path, "parquet")
    for target in ("s3://nowhere/out.parquet", "s3://nowhere/out"):
        with pytest.raises(pf.errors.InputError, match="cannot be written"):
            enrich(source, target, checkpoint=tmp_path / "ck")
    for scheme, place in (("s3", "lake"), ("memory", tmp_path.name)):
        for checkpoint in ("out/ck", "out", "out/"):
            with pytest.raises(pf.errors.InputError, match="are one inside the other"):
                enrich(source, f"{scheme}://{place}/out", checkpoint=f"{scheme}://{place}/{checkpoint}")
    assert sim.counts.posts == 0
    system, _ = pafs.FileSystem.from_uri("s3://lake/")
    assert enrich(source, "s3://lake/probed.parquet", checkpoint=tmp_path / "ck").rows == 60
    names = {info.base_name for info in system.get_file_info(pafs.FileSelector("lake")) if "probe" in info.base_name}
    assert names == {"probed.parquet", "probed.parquet.manifest.json"}


@pytest.mark.filterwarnings("default:datetime.datetime.utcnow:DeprecationWarning")
def test_names_with_spaces_are_names(store: Any, tmp_path: Path, sim: Simulator, enrich: Callable[..., Any]) -> None:
    """In an object store, in a pattern, and as `Path.as_uri` spells them."""
    system, _ = pafs.FileSystem.from_uri("s3://lake/")
    pq.write_table(table(), "lake/my rows/one file.parquet", filesystem=system)
    for source in ("s3://lake/my rows/one file.parquet", "s3://lake/my rows/one *.parquet", "s3://lake/my rows"):
        done = enrich(source, "s3://lake/my out.parquet", checkpoint=tmp_path / "ck", overwrite=True)
        assert done.rows == 60
    assert pq.read_table("lake/my out.parquet", filesystem=system).num_rows == 60
    local = tmp_path / "one file.parquet"
    pq.write_table(table(), local)
    assert enrich(local.as_uri(), (tmp_path / "an out.parquet").as_uri(), checkpoint=tmp_path / "ck").rows == 60
    assert (tmp_path / "an out.parquet").exists()


@pytest.mark.filterwarnings("default:datetime.datetime.utcnow:DeprecationWarning")
def test_what_came_into_a_directory_of_an_object_store_meanwhile_is_not_deleted(
    store: Any, tmp_path: Path, files: Any
) -> None:
    """Only parts of a target are ever replaced."""
    system, _ = pafs.FileSystem.from_uri("s3://lake/")

    def answer(sent: dict[str, Any]) -> Any:
        with system.open_output_stream("lake/out/thesis.docx") as stream:
            stream.write(b"ten years of work")
        return files.answer(sent)

    source = _write(tmp_path, "parquet")
    with Simulator(answer, latency=0, max_per_minute=None, speed=files.SPEED) as sim:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED, max_per_minute=None)
        options: dict[str, Any] = {"checkpoint": tmp_path / "ck", "client": client, "progress": False}
        with pytest.raises(pf.errors.TargetError, match=r"now holds lake/out/thesis\.docx"):
            pf.enrich_parquet(source, "s3://lake/out", files.SCHEMA, overwrite=True, **options)
    with system.open_input_stream("lake/out/thesis.docx") as stream:
        assert stream.read() == b"ten years of work"


def test_a_host_that_does_not_answer_is_named(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """A refused connection is no traceback of another library."""
    with pytest.raises(pf.errors.InputError, match=r"rows\.csv' cannot be reached"):
        enrich("http://127.0.0.1:9/rows.csv", tmp_path / "out.parquet")


def test_the_address_of_a_file_and_of_memory_are_places(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """``file://`` is this machine; ``memory://`` goes through fsspec, as source and as target."""
    source = _write(tmp_path, "parquet")
    enrich(f"file://{source}", f"file://{tmp_path}/out.parquet", checkpoint=tmp_path / "ck")
    enrich(_write(tmp_path, "memory"), f"memory://{tmp_path.name}/out", checkpoint=tmp_path / "ck")
    with fsspec.open(f"memory://{tmp_path.name}/out/part-00000.parquet") as handle:
        assert pq.read_table(handle).equals(pq.read_table(tmp_path / "out.parquet"))
