"""What a target keeps of its source, and which types its new columns have."""

import base64
import datetime as dt
import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from parallel_frames.simulator import Simulator


def odd_table(rows: int = 3) -> pa.Table:
    """Return columns of every type that is easily lost, with metadata of the fields and of the whole."""
    columns: dict[str, tuple[Any, pa.DataType]] = {
        "company": ("Acme", pa.large_string()),
        "kind": ("b", pa.dictionary(pa.int8(), pa.string())),
        "tags": (["x", None], pa.list_(pa.field("element", pa.string()))),
        "where": ({"city": "Oslo", "at": [1.5]}, pa.struct({"city": pa.string(), "at": pa.list_(pa.float32())})),
        "price": (decimal.Decimal("1.50"), pa.decimal128(9, 2)),
        "day": (dt.date(2024, 2, 29), pa.date32()),
        "seen": (dt.datetime(2024, 2, 29, 1, 2, 3, 4), pa.timestamp("ns", tz="Europe/Berlin")),
        "local": (dt.datetime(2024, 2, 29), pa.timestamp("ms")),
        "clock": (dt.time(1, 2, 3), pa.time64("us")),
        "small": (7, pa.uint8()),
        "raw": (b"\x00\xff", pa.binary()),
        "map": ([("a", 1)], pa.map_(pa.string(), pa.int32())),
    }
    arrays = [pa.array([value, None] * (rows // 2) + [value] * (rows % 2), type_) for value, type_ in columns.values()]
    names = [f"Acme {n}" for n in range(rows)]
    arrays[0] = pa.array(names, pa.large_string())
    fields = [
        pa.field(name, type_, nullable=name != "company", metadata={"note": f"about {name}"})
        for name, (_, type_) in columns.items()
    ]
    return pa.table(arrays, schema=pa.schema(fields, metadata={"owner": "us"}))


def test_types_order_and_metadata_of_the_source_are_kept(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """Every column has its Arrow type, its metadata and its values, over several batches and files."""
    source = odd_table(25_001)
    (tmp_path / "in").mkdir()
    pq.write_table(source.slice(0, 12_000), tmp_path / "in" / "a.parquet")
    pq.write_table(source.slice(12_000), tmp_path / "in" / "b.parquet")
    enrich(tmp_path / "in", tmp_path / "out", inputs=["kind"], rows_per_file=10_000)
    parts = [pq.read_table(path) for path in sorted((tmp_path / "out").iterdir())]
    assert [part.num_rows for part in parts] == [10_000, 10_000, 5_001]
    out = pa.concat_tables(parts)
    before = pq.read_table(tmp_path / "in" / "a.parquet").schema  # nothing more than Parquet itself loses
    wide = pa.dictionary(pa.int32(), pa.string())  # the categories of all files together need room
    before = before.set(before.get_field_index("kind"), before.field("kind").with_type(wide))
    assert out.select(source.column_names).schema.equals(before, check_metadata=False)
    for name in source.column_names:
        assert out.schema.field(name).metadata[b"note"] == f"about {name}".encode()
        assert out.column(name).to_pylist() == source.column(name).to_pylist()
    assert out.schema.metadata[b"owner"] == b"us"


def test_schemas_that_other_programs_would_believe_rather_than_the_file_are_left_out(
    tmp_path: Path, enrich: Callable[..., Any]
) -> None:
    """Spark, Avro and Iceberg keep a schema in a file, in which the paid columns are not; what else they say stays."""
    schemas = {
        "org.apache.spark.sql.parquet.row.metadata": '{"type":"struct","fields":[{"name":"company","type":"string"}]}',
        "parquet.avro.schema": '{"type":"record","name":"row","fields":[{"name":"company","type":"string"}]}',
        "avro.schema": "{}", "iceberg.schema": '{"type":"struct","schema-id":0,"fields":[]}',
    }  # fmt: skip
    facts = {"org.apache.spark.version": "4.0.0", "org.apache.spark.legacyDateTime": "", "owner": "us"}
    (tmp_path / "in").mkdir()
    for name in "ab":
        table = pa.table({"company": [f"Acme {name}"]}).replace_schema_metadata({**schemas, **facts})
        pq.write_table(table, tmp_path / "in" / f"{name}.snappy.parquet")
    enrich(tmp_path / "in", tmp_path / "out.parquet")
    kept = pq.read_metadata(tmp_path / "out.parquet").metadata
    assert set(kept) == {*(key.encode() for key in facts), b"pandas", b"PANDAS_ATTRS", b"ARROW:schema"}
    assert pa.ipc.read_schema(pa.py_buffer(base64.b64decode(kept[b"ARROW:schema"]))).names == [
        "company", "name", "length", "parallel_status", "parallel_error",
    ]  # fmt: skip


def test_new_columns_have_one_type_in_every_part(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """A part without a single answer has the types of the others, and the schema's own."""
    pq.write_table(pa.table({"company": [f"bad {n}" for n in range(20)] + ["good"]}), tmp_path / "in.parquet")
    schema = {
        "name": str, "length": int, "share": float, "listed": bool, "size": Literal["a", "b"], "day": dt.date,
        "at": dt.datetime, "tags": list[str], "extra": dict,
    }  # fmt: skip
    enrich(tmp_path / "in.parquet", tmp_path / "out", schema, rows_per_file=10, basis="columns", provenance=True)
    schemas = [pq.read_schema(path) for path in sorted((tmp_path / "out").iterdir())]
    assert len(schemas) == 3
    assert all(each.equals(schemas[0], check_metadata=True) for each in schemas)
    assert [str(schemas[0].field(name).type) for name in schema] == [
        "string", "int64", "double", "bool", "string", "date32[day]", "timestamp[us, tz=UTC]", "list<element: string>",
        "string",
    ]  # fmt: skip
    assert not [field for field in schemas[0] if pa.types.is_null(field.type)]


def test_pandas_reads_answers_as_nullable_dtypes(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """Whole numbers with gaps stay whole numbers, with and without pandas' own metadata in the source."""
    schema = {"name": str, "length": int, "share": float, "listed": bool}
    frame = pd.DataFrame({"company": ["Acme", "bad"], "n": pd.array([1, None], "Int64")})
    frame.to_parquet(tmp_path / "pandas.parquet")
    pq.write_table(pa.table({"company": ["Acme", "bad"], "n": [1, 2]}), tmp_path / "arrow.parquet")
    for kind in ("pandas", "arrow"):
        enrich(tmp_path / f"{kind}.parquet", tmp_path / f"{kind}.out.parquet", schema, inputs=["company"])
        out = pd.read_parquet(tmp_path / f"{kind}.out.parquet")
        told = {name: str(out[name].dtype) for name in ("length", "share", "listed")}
        assert told == {"length": "Int64", "share": "Float64", "listed": "boolean"}
        assert out["name"].dtype == pd.DataFrame({"a": ["x"]}).convert_dtypes(dtype_backend="numpy_nullable")[
            "a"
        ].dtype or str(out["name"].dtype) in ("str", "object")
    assert str(pd.read_parquet(tmp_path / "pandas.out.parquet")["n"].dtype) == "Int64"


@pytest.mark.parametrize("index", ["labels", "multi", "range", "times"])
def test_the_index_of_pandas_is_the_index_afterwards_and_is_not_sent(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], index: str
) -> None:
    """An index column travels into the target and to no service; a RangeIndex of one file is the target's."""
    df = pd.DataFrame({"company": ["Acme", "Globex", "Acme"]})
    df.index = {
        "labels": pd.Index(["x", "y", "y"], name="id"),
        "multi": pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["one", None]),
        "range": pd.RangeIndex(10, 16, 2),
        "times": pd.date_range("2024-01-01", periods=3, tz="UTC"),
    }[index]
    df.to_parquet(tmp_path / "in.parquet")
    enrich(tmp_path / "in.parquet", tmp_path / "out.parquet")
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert [run.input for run in sim.runs()] == [{"company": "Acme"}, {"company": "Globex"}]
    pd.testing.assert_index_equal(out.index, pd.read_parquet(tmp_path / "in.parquet").index)
    assert out["name"].tolist() == ["ACME", "GLOBEX", "ACME"]
    pd.testing.assert_frame_equal(out[["company"]].reset_index(drop=True), df[["company"]].reset_index(drop=True))


def test_two_files_with_a_range_index_are_one_range(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """Each file that pandas wrote counts from 0; the target counts its own rows."""
    (tmp_path / "in").mkdir()
    for name in "ab":
        pd.DataFrame({"company": [f"{name} {n}" for n in range(3)]}).to_parquet(tmp_path / "in" / f"{name}.parquet")
    enrich(tmp_path / "in", tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet").index.equals(pd.RangeIndex(6))


def test_attrs_are_kept_and_tell_of_the_enrichment(tmp_path: Path, sim: Simulator, enrich: Callable[..., Any]) -> None:
    """The source's attrs survive, and a second enrichment does not send the first one's answers."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    df.attrs = {"source": "crm"}
    df.to_parquet(tmp_path / "in.parquet")
    enrich(tmp_path / "in.parquet", tmp_path / "one.parquet", provenance=True, basis="struct")
    enrich(tmp_path / "one.parquet", tmp_path / "two.parquet", {"ceo": str}, prefix="b_", provenance=True)
    out = pd.read_parquet(tmp_path / "two.parquet")
    assert out.attrs["source"] == "crm"
    assert [each["columns"] for each in out.attrs["parallel"]["enrichments"]] == [["name", "length"], ["b_ceo"]]
    assert out.attrs["parallel"]["enrichments"][0]["group_ids"] == [sim.group_ids[0]]
    assert [run.input for run in sim.runs()] == [{"company": "Acme"}, {"company": "Globex"}] * 2
    frame = pd.read_parquet(tmp_path / "one.parquet")
    assert frame.parallel.plan({"other": str}, prefix="c_", checkpoint=None).sends == ("company",)


def test_an_empty_source_gives_an_empty_target_of_the_same_schema(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any]
) -> None:
    """No rows cost nothing, and the target has the columns that it would have."""
    for kind, target in {"file": "out.parquet", "folder": "out"}.items():
        pq.write_table(odd_table(3).slice(0, 0), tmp_path / f"{kind}.parquet")
        done = enrich(tmp_path / f"{kind}.parquet", tmp_path / target, inputs=["company"])
        assert (done.rows, done.counts, done.cost) == (0, {}, 0.0)
        out = pq.read_table(tmp_path / target)
        assert (out.num_rows, out.schema.names[-2:]) == (0, ["parallel_status", "parallel_error"])
    assert sim.counts.posts == 0


def test_evidence_and_answers_that_break_the_schema_are_as_in_a_frame(
    tmp_path: Path, sim: Simulator, client_frame: Callable[..., pd.DataFrame], enrich: Callable[..., Any]
) -> None:
    """Statuses, errors, reasons and citations equal those of the same rows in a frame."""
    df = pd.DataFrame({"company": ["Acme", "bad", "Globex", None]})
    df.to_parquet(tmp_path / "in.parquet")
    schema = {"name": (Literal["ACME"], "only one is right"), "length": int}
    for basis in ("columns", "struct"):
        enrich(tmp_path / "in.parquet", tmp_path / f"{basis}.parquet", schema, basis=basis, checkpoint=tmp_path / "ck")
        out = pd.read_parquet(tmp_path / f"{basis}.parquet", dtype_backend="pyarrow")
        frame = client_frame(df, schema, basis=basis, checkpoint=tmp_path / "ck", retry_failed=False)
        assert out["parallel_status"].tolist() == ["completed", "failed", "invalid", "skipped"]
        assert (
            out.drop(columns="company").to_dict("list").keys() == frame.drop(columns="company").to_dict("list").keys()
        )
        for name in set(frame) - {"company"}:
            one, other = (each[name].to_list() for each in (out, frame))
            assert [str(a) if not _gone(a) else None for a in one] == [str(b) if not _gone(b) else None for b in other]


def _gone(value: Any) -> bool:
    return value is None or (not isinstance(value, list | dict) and bool(pd.isna(value)))


@pytest.fixture
def client_frame(sim: Simulator) -> Callable[..., pd.DataFrame]:
    """Enrich frames against the same simulator, in Arrow's types."""
    import parallel_frames as pf

    def run(df: pd.DataFrame, schema: object, **options: Any) -> pd.DataFrame:
        client = pf.Client(api_key="key", base_url=sim.url, clock_speed=sim.speed, max_per_minute=None)
        return pf.enrich(df, schema, client=client, progress=False, dtype_backend="pyarrow", **options)

    return run
