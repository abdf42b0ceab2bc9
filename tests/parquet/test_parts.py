"""Files of one source that other writers wrote: types that differ harmlessly are one, others are named."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames._cli._frames import read_frame
from parallel_frames._files._source import open_source
from parallel_frames.errors import InputError
from parallel_frames.simulator import Simulator

Enrich = Callable[..., pf.EnrichedParquet]
NOON = dt.datetime(2024, 1, 1, 12)
CATEGORY = pa.dictionary(pa.int8(), pa.string())
# One file's column, the other's, and the type of both together.
HARMLESS: dict[str, tuple[pa.Array, pa.Array, str]] = {
    "string and large_string": (pa.array(["a"]), pa.array(["b"], pa.large_string()), "large_string"),
    "string and string_view": (pa.array(["a"], pa.string_view()), pa.array(["b"]), "large_string"),
    "null and string": (pa.nulls(1), pa.array(["b"]), "string"),
    "whole numbers and null": (pa.array([1]), pa.nulls(1), "int64"),
    "whole numbers of 8 and 64 bits": (pa.array([1], pa.int8()), pa.array([2]), "int64"),
    "whole numbers, and with a gap": (pa.array([1]), pa.array([1.5]), "double"),
    "us and ns": (pa.array([NOON], pa.timestamp("us")), pa.array([NOON], pa.timestamp("ns")), "timestamp[ns]"),
    "s and ms": (pa.array([dt.time(1)], pa.time32("s")), pa.array([dt.time(1)], pa.time32("ms")), "time32[ms]"),
    "decimals": (
        pa.array([Decimal("1.50")], pa.decimal128(10, 2)),
        pa.array([Decimal("1.5")], pa.decimal128(20, 1)),
        "decimal128(21, 2)",
    ),
    "category and string": (pa.array(["a"]).cast(CATEGORY), pa.array(["b"]), "string"),
    "category and null": (pa.nulls(1), pa.array(["b"]).cast(CATEGORY), "dictionary<values=string, indices=int32"),
    "small and large category": (
        pa.array(["a"]).cast(CATEGORY),
        pa.array(["b"]).cast(pa.dictionary(pa.uint32(), pa.string())),
        "dictionary<values=string, indices=int32",
    ),
    "lists": (pa.array([[None]], pa.list_(pa.null())), pa.array([["b"]], pa.large_list(pa.string())), "large_list<"),
    "objects": (pa.array([{"a": None}]), pa.array([{"a": "x"}]), "struct<a: string>"),
}
HARMFUL: dict[str, tuple[pa.Array, pa.Array]] = {
    "string and int64": (pa.array(["a"]), pa.array([1])),
    "bool and int64": (pa.array([True]), pa.array([1])),
    "float and double": (pa.array([0.1], pa.float32()), pa.array([0.1])),  # 0.1 of 32 bits is 0.10000000149 of 64
    "timestamp[us, tz=UTC] and timestamp[us]": (
        pa.array([NOON], pa.timestamp("us", "UTC")),
        pa.array([NOON], pa.timestamp("us")),
    ),
    "struct<a: int64> and struct<a: int64, b: int64>": (pa.array([{"a": 1}]), pa.array([{"a": 1, "b": 2}])),
}
TOO_LARGE: dict[str, tuple[pa.Array, pa.Array]] = {
    "int64 .* double": (pa.array([2**53 + 1]), pa.array([1.5])),
    r"timestamp\[us\] .* timestamp\[ns\]": (
        pa.array([dt.datetime(9999, 1, 1)], pa.timestamp("us")),
        pa.array([NOON], pa.timestamp("ns")),
    ),
    "uint64 .* int64": (pa.array([2**63], pa.uint64()), pa.array([-1])),
}


def write_parts(folder: Path, columns: tuple[pa.Array, pa.Array], *, kind: str) -> Path:
    """Write two files of one row each."""
    folder.mkdir()
    for name, cell in zip("ab", columns, strict=True):
        table = pa.table({"company": [name], "cell": cell})
        (pq.write_table if kind == "parquet" else feather.write_feather)(table, folder / f"{name}.{kind}")
    return folder


@pytest.mark.parametrize("kind", ["parquet", "feather"])
@pytest.mark.parametrize("what", HARMLESS)
def test_types_that_differ_harmlessly_are_one(
    tmp_path: Path, sim: Simulator, enrich: Enrich, what: str, kind: str
) -> None:
    """Whichever file is first; a row has the key that it has where its file is enriched alone."""
    one, other, type_ = HARMLESS[what]
    alone = write_parts(tmp_path / "alone", (one, other), kind=kind)
    for name in "ab":
        enrich(alone / f"{name}.{kind}", tmp_path / f"{name}.parquet", checkpoint=tmp_path / "ck")
    assert sim.counts.runs == 2
    for folder, columns in (("in", (one, other)), ("reversed", (other, one))):
        source = write_parts(tmp_path / folder, columns, kind=kind)
        enrich(source, tmp_path / f"{folder}.parquet", inputs=["cell"], checkpoint=tmp_path / f"{folder}.ckpt")
        out = pq.read_table(tmp_path / f"{folder}.parquet")
        assert str(out.schema.field("cell").type).startswith(type_)
        assert out["cell"].to_pylist() == [*columns[0].to_pylist(), *columns[1].to_pylist()]
    enrich(alone, tmp_path / "both.parquet", checkpoint=tmp_path / "ck")
    assert len({run.metadata["key"] for run in sim.runs() if run.metadata and "company" in run.input}) == 2


@pytest.mark.parametrize("kind", ["parquet", "feather"])
@pytest.mark.parametrize("what", HARMFUL)
def test_types_that_do_not_go_together_are_named(
    tmp_path: Path, sim: Simulator, enrich: Enrich, what: str, kind: str
) -> None:
    """The column, both types and both files are, before anything is sent."""
    source = write_parts(tmp_path / "in", HARMFUL[what], kind=kind)
    with pytest.raises(InputError) as caught:
        enrich(source, tmp_path / "out.parquet")
    one, other = what.split(" and ")
    where = f"{source / f'b.{kind}'} and {source / f'a.{kind}'} have different columns"
    assert str(caught.value).startswith(f"{where}: 'cell' is {other} in the one and {one} in the other. Nothing")
    assert sim.counts.posts == 0


def test_periods_of_several_frequencies_are_named_with_them(tmp_path: Path, enrich: Enrich) -> None:
    """Arrow's name of a type of pandas does not tell two of them apart."""
    for freq in "QM":
        df = pd.DataFrame({"when": pd.period_range("2024-01", periods=1, freq=freq)})
        df.to_parquet(tmp_path / f"{freq}.parquet")
    with pytest.raises(InputError, match=r"'when' is pandas\.period .*Q-DEC.* in the one and pandas\.period .*M.* in"):
        enrich(tmp_path / "?.parquet", tmp_path / "out.parquet")


@pytest.mark.parametrize("kind", ["parquet", "feather"])
@pytest.mark.parametrize("what", TOO_LARGE)
def test_a_value_that_the_common_type_cannot_hold_is_named_before_anything_is_sent(
    tmp_path: Path, sim: Simulator, enrich: Enrich, what: str, kind: str
) -> None:
    """Also in a column that is not sent: it would be paid, and could not be written."""
    source = write_parts(tmp_path / "in", TOO_LARGE[what], kind=kind)
    one, other = what.split(" .* ")
    words = rf"a\.{kind} has the column 'cell' as {one}, and with .*b\.{kind} it becomes {other}, which cannot hold one"
    with pytest.raises(InputError, match=words):
        enrich(source, tmp_path / "out.parquet", inputs=["company"])
    assert sim.counts.posts == 0


@pytest.mark.parametrize("kind", ["parquet", "feather", "csv"])
def test_columns_are_found_by_name(tmp_path: Path, sim: Simulator, enrich: Enrich, kind: str) -> None:
    """The order of columns in a file is no part of a row; a column that one file lacks is named."""
    frames = {"a": pd.DataFrame({"company": ["a"], "n": [1]}), "b": pd.DataFrame({"n": [2], "company": ["b"]})}
    for name, frame in frames.items():
        frame.to_csv(tmp_path / f"{name}.csv", index=False) if kind == "csv" else getattr(frame, f"to_{kind}")(
            tmp_path / f"{name}.{kind}"
        )
    enrich(tmp_path / f"?.{kind}", tmp_path / "out.parquet")
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert out[["company", "n"]].to_dict("list") == {"company": ["a", "b"], "n": [1, 2]}
    assert out["name"].tolist() == ["A", "B"]
    assert [run.input for run in sim.runs()] == [{"company": "a", "n": 1}, {"company": "b", "n": 2}]
    fewer = frames["b"][["company"]]
    fewer.to_csv(tmp_path / "c.csv", index=False) if kind == "csv" else getattr(fewer, f"to_{kind}")(
        tmp_path / f"c.{kind}"
    )
    with pytest.raises(InputError, match=rf"different columns: 'n' is missing in .*c\.{kind}"):
        enrich(tmp_path / f"?.{kind}", tmp_path / "more.parquet")


def test_pandas_reads_parts_of_several_dtypes(tmp_path: Path, enrich: Enrich) -> None:
    """The dtype that pandas wrote of a column goes where it is another now; an index stays one."""
    (tmp_path / "in").mkdir()
    frames = (
        pd.DataFrame(
            {"company": ["a"], "kind": pd.Categorical(["x"]), "n": pd.array([1], "Int32")},
            index=pd.Index([1], name="id", dtype="int32"),
        ),
        pd.DataFrame({"company": ["b"], "kind": ["y"], "n": [2**40]}, index=pd.Index([2**40], name="id")),
    )
    for name, frame in zip("ab", frames, strict=True):
        frame.to_parquet(tmp_path / "in" / f"{name}.parquet")
    enrich(tmp_path / "in", tmp_path / "out.parquet")
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert out.index.tolist() == [1, 2**40]
    assert out["n"].tolist() == [1, 2**40]
    assert out["kind"].tolist() == ["x", "y"]


# Arrow's own format


@pytest.mark.parametrize("name", ["in.arrow", "in.feather"])
@pytest.mark.filterwarnings("ignore:Feather V1 files are deprecated:DeprecationWarning")
@pytest.mark.parametrize("form", ["file", "stream", "first feather"])
def test_arrow_files_and_streams_are_read_on_every_way(
    tmp_path: Path, sim: Simulator, enrich: Enrich, name: str, form: str
) -> None:
    """Their first bytes say what they are, whatever they are called."""
    path = tmp_path / name
    table = pa.table({"company": ["a", "b", "a"], "n": [1, None, 3]})
    if form == "first feather":
        feather.write_feather(table, path, version=1)
    else:
        make = pa.ipc.new_file if form == "file" else pa.ipc.new_stream
        with make(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    enrich(path, tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").select(["company", "n"]).to_pydict() == table.to_pydict()
    assert read_frame(str(path)).astype(object).where(lambda df: df.notna(), None).to_dict("list") == table.to_pydict()
    assert sim.counts.runs == 3


def test_streams_and_files_are_parts_of_one_source(tmp_path: Path, enrich: Enrich) -> None:
    """Their folders are columns; a stream that is cut off in the middle is named."""
    for year, make in ((2023, pa.ipc.new_file), (2024, pa.ipc.new_stream)):
        (tmp_path / "in" / f"year={year}").mkdir(parents=True)
        table = pa.table({"company": [f"c{year}"] * 1_000})
        with make(tmp_path / "in" / f"year={year}" / "part.arrow", table.schema) as writer:
            writer.write_table(table)
    enrich(tmp_path / "in", tmp_path / "out.parquet", inputs=["year"])
    assert pq.read_table(tmp_path / "out.parquet")["year"].to_pylist() == [2023] * 1_000 + [2024] * 1_000
    torn = tmp_path / "in" / "year=2024" / "part.arrow"
    torn.write_bytes(torn.read_bytes()[:-500])
    with pytest.raises(pf.errors.SourceError, match="cannot be read"):
        enrich(tmp_path / "in", tmp_path / "torn.parquet")


# Rows of many MB


@pytest.mark.parametrize("kind", ["parquet", "feather", "csv", "jsonl", "json"])
def test_a_text_of_twenty_mb_is_read_planned_and_written(
    tmp_path: Path, sim: Simulator, enrich: Enrich, kind: str
) -> None:
    """A row need not fit into what is read at once."""
    path, texts = tmp_path / f"in.{kind}", ["x" * 20_000_000, "short", "y, " * 7_000_000]
    df = pd.DataFrame({"company": ["a", "b", "c"], "text": texts})
    if kind == "csv":
        df.to_csv(path, index=False)
    elif kind in ("json", "jsonl"):
        df.to_json(path, orient="records", lines=kind == "jsonl")
    else:
        getattr(df, f"to_{kind}")(path)
    assert pf.plan_parquet(path, {"name": str}, inputs=["company"]).runs == 3
    enrich(path, tmp_path / "out.parquet", inputs=["company"])
    assert pq.read_table(tmp_path / "out.parquet")["text"].to_pylist() == texts
    assert read_frame(str(path))["text"].tolist() == texts
    with pytest.raises(InputError, match="over the service's 25,000"):
        enrich(path, tmp_path / "sent.parquet")
    assert sim.counts.runs == 3


def test_a_source_is_read_in_the_types_of_all_parts(tmp_path: Path) -> None:
    """Whatever columns are asked for, and wherever the files lie."""
    for year, cell in ((2023, pa.array([1], pa.int32())), (2024, pa.array([1.5]))):
        (tmp_path / f"year={year}").mkdir()
        pq.write_table(pa.table({"n": cell}), tmp_path / f"year={year}" / "part.parquet")
    source = open_source(tmp_path)
    assert source.table().to_pydict() == {"n": [1.0, 1.5], "year": [2023, 2024]}
    assert [batch.to_pydict() for _, batch in source.batches(["year"])] == [{"year": [2023, 2024]}]
