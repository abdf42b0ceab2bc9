"""Columns of every kind: written so that pandas reads them, or refused before anything is sent."""

import datetime as dt
import json
import time
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
from parallel_frames.errors import InputError
from parallel_frames.simulator import Simulator

Enrich = Callable[..., pf.EnrichedParquet]


@pytest.mark.parametrize("target", ["out.parquet", "out"])
def test_categories_of_several_files_have_room_in_one(tmp_path: Path, enrich: Enrich, target: str) -> None:
    """Each file's dictionary fits one byte, all of them together do not."""
    frames = []
    (tmp_path / "in").mkdir()
    for name in "abc":
        df = pd.DataFrame({"company": [f"{name} {n}" for n in range(100)]})
        df["kind"] = df["company"].astype("category")
        kinds = pa.array(df["company"]).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))
        table = pa.Table.from_pandas(df, preserve_index=False)
        table = table.append_column("kinds", pa.ListArray.from_arrays(pa.array(range(101), pa.int32()), kinds))
        pq.write_table(table, tmp_path / "in" / f"{name}.parquet")
        frames.append(df)
    enrich(tmp_path / "in", tmp_path / target, inputs=["company"])
    out = pd.read_parquet(tmp_path / target)
    assert out["kind"].astype(str).tolist() == pd.concat(frames)["company"].tolist()
    assert [list(kinds) for kinds in out["kinds"]] == [[name] for name in out["company"]]
    assert out["name"].tolist() == out["company"].str.upper().tolist()


LABELS: dict[str, Any] = {
    "whole numbers": [0, 1],
    "times": pd.to_datetime(["2024-01-01", "2024-01-02"]),
    "two levels": pd.MultiIndex.from_tuples([("a", "x"), ("a", "y")]),
    "named": pd.Index(["a", "b"], name="columns"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("labels", LABELS)
def test_a_target_whose_source_has_labels_that_are_no_text_is_read_by_pandas(
    tmp_path: Path, sim: Simulator, enrich: Enrich, labels: str
) -> None:
    """The target's labels are texts, as those of the new columns are."""
    table = pa.Table.from_pandas(pd.DataFrame([["Acme", "x"], ["Globex", "y"]], columns=LABELS[labels]))
    pq.write_table(table, tmp_path / "in.parquet")
    first, other = table.column_names[:2]
    enrich(tmp_path / "in.parquet", tmp_path / "out.parquet", inputs={"company": first})
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert list(out.columns) == [first, other, "name", "length", "parallel_status", "parallel_error"]
    assert (out[first].tolist(), out["name"].tolist()) == (["Acme", "Globex"], ["ACME", "GLOBEX"])


NS = pa.array([1_700_000_000_000_000_001], pa.timestamp("ns", tz="UTC"))
MISFITS: dict[str, tuple[Any, Any]] = {
    "lists of numbers for texts": (pa.array([[1]], pa.list_(pa.int64())), list[str]),
    "lists of texts for numbers": (pa.array([["a"]]), list[int]),
    "structs for lists": (pa.array([{"a": "x"}]), list[str]),
    "a number too large": (pa.array([2**63], pa.uint64()), int),
    "a number too exact": (pa.array([2**53 + 1], pa.int64()), float),
    "a time too exact": (NS, dt.datetime),
}


@pytest.mark.parametrize("kind", MISFITS)
def test_values_that_the_answers_type_cannot_hold_are_refused_before_anything_is_sent(
    tmp_path: Path, sim: Simulator, enrich: Enrich, kind: str
) -> None:
    """They would stop the target after everything is paid, at every call."""
    column, type_ = MISFITS[kind]
    values = pa.concat_arrays([column, pa.nulls(1, column.type)])
    pq.write_table(pa.table({"company": ["a", "b"], "found": values}), tmp_path / "in.parquet")
    for if_exists in ("fill", "overwrite"):
        with pytest.raises(InputError, match=r"has 'found' as .* answers to it are .*Nothing was sent"):
            enrich(
                tmp_path / "in.parquet", tmp_path / "out.parquet", {"found": type_}, inputs=["company"],
                if_exists=if_exists,
            )  # fmt: skip
    assert sim.counts.posts == 0


def test_values_that_the_answers_type_can_hold_are_filled_up(
    tmp_path: Path, files: SimpleNamespace, enrich: Enrich
) -> None:
    """The same types with values that fit are no trouble."""
    table = pa.table(
        {
            "company": ["a", "bb"],
            "length": pa.array([7, None], pa.uint64()),
            "share": pa.array([2**53, None], pa.int64()),
            "name": pa.array(["mine", None]).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "in.parquet")
    schema = {"length": int, "name": str}
    enrich(tmp_path / "in.parquet", tmp_path / "out.parquet", schema, inputs=["company"], if_exists="fill")
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert (out["length"].tolist(), out["name"].tolist()) == ([7, 2], ["mine", "BB"])


UNWRITABLE: dict[str, Any] = {
    "dictionary of lists": pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array([["a"]])),
    "dictionary of structs": pa.DictionaryArray.from_arrays(pa.array([0], pa.int32()), pa.array([{"a": 1}])),
    "lists of nothing": pa.array([[]], pa.list_(pa.int64(), 0)),
    "union": pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]),
}


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_columns_that_parquet_does_not_hold_are_refused_before_anything_is_sent(
    tmp_path: Path, sim: Simulator, enrich: Enrich, kind: str
) -> None:
    """Feather has more types than Parquet can be written with."""
    feather.write_feather(pa.table({"company": ["a"], "odd": UNWRITABLE[kind]}), tmp_path / "in.feather")
    with pytest.raises(InputError, match=r"has 'odd' as .*Parquet can.*Nothing was sent"):
        enrich(tmp_path / "in.feather", tmp_path / "out.parquet", inputs=["company"])
    assert sim.counts.posts == 0


def test_columns_called_like_provenance_are_the_users_own(tmp_path: Path, enrich: Enrich) -> None:
    """Without provenance=True they stay as they are, whatever they hold."""
    own = {"parallel_run_id": [1], "parallel_group_id": ["g"], "parallel_answered_at": ["never"]}
    pq.write_table(pa.table({"company": ["a"], **own}), tmp_path / "in.parquet")
    enrich(tmp_path / "in.parquet", tmp_path / "out.parquet", inputs=["company"])
    assert pq.read_table(tmp_path / "out.parquet").select(list(own)).to_pydict() == own


def test_a_field_called_like_provenance_is_refused_beside_it(tmp_path: Path, sim: Simulator, enrich: Enrich) -> None:
    """Its answers would be paid for and replaced."""
    pq.write_table(pa.table({"company": ["a"]}), tmp_path / "in.parquet")
    with pytest.raises(InputError, match="the schema asks for a field of that name"):
        enrich(tmp_path / "in.parquet", tmp_path / "out.parquet", {"parallel_run_id": str}, provenance=True)
    assert sim.counts.posts == 0


@pytest.mark.parametrize("options", [{"where": "missing"}, {"if_exists": "fill"}])
def test_nan_is_missing_as_in_a_frame(tmp_path: Path, sim: Simulator, enrich: Enrich, options: dict[str, Any]) -> None:
    """A row whose number is NaN is asked, and filled."""
    table = pa.table({"company": ["a", "bb"], "length": pa.array([1.5, float("nan")])})
    pq.write_table(table, tmp_path / "in.parquet")
    enrich(tmp_path / "in.parquet", tmp_path / "out.parquet", {"length": float}, inputs=["company"], **options)
    assert [run.input for run in sim.runs()] == [{"company": "bb"}]
    assert pq.read_table(tmp_path / "out.parquet").column("length").to_pylist() == [1.5, 2.0]


def test_views_are_read_sent_and_kept(tmp_path: Path, sim: Simulator, enrich: Enrich) -> None:
    """Arrow cannot take rows of a view."""
    names = pa.array([f"company {n}" for n in range(30)], pa.string_view())
    raw = pa.array([b"x"] * 30, pa.binary_view())
    feather.write_feather(pa.table({"company": names, "raw": raw}), tmp_path / "in.feather")
    enrich(tmp_path / "in.feather", tmp_path / "out.parquet", inputs=["company"])
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.column("company").to_pylist() == names.to_pylist()
    assert out.column("raw").to_pylist() == raw.to_pylist()
    assert sim.counts.runs == 30


@pytest.mark.parametrize("kind", ["parquet", "feather", "csv", "jsonl"])
def test_ten_thousand_columns_are_planned_and_enriched_at_once(tmp_path: Path, enrich: Enrich, kind: str) -> None:
    """What a column costs does not grow with the number of columns: a wide table takes a second or two."""
    names = [f"g{n}" for n in range(10_000)]
    path = tmp_path / f"wide.{kind}"
    if kind == "csv":
        path.write_text(f"company,{','.join(names)}\nA,{','.join(['1'] * 10_000)}\n")
    elif kind == "jsonl":
        path.write_text(json.dumps({"company": "A", **dict.fromkeys(names, 1)}))
    else:
        (pq.write_table if kind == "parquet" else feather.write_feather)(
            pa.table({"company": ["A"], **{name: [1] for name in names}}), path
        )
    began = time.process_time()
    assert pf.plan_parquet(path, {"n": str}, inputs=["company"]).runs == 1
    enrich(path, tmp_path / "out.parquet", inputs=["company"])
    assert time.process_time() - began < 15
    assert pq.read_schema(tmp_path / "out.parquet").names[:10_001] == ["company", *names]
