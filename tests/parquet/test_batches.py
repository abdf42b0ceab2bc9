"""Batches of a source: few for many small row groups, and small ones of large rows."""

from pathlib import Path

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from parallel_frames._files._source import open_source


def test_small_row_groups_are_read_together(tmp_path: Path) -> None:
    """A batch is worth its work, however a file was written."""
    (tmp_path / "in").mkdir()
    for name in "ab":
        kinds = pa.array([f"{name}{n % 100}" for n in range(600)]).dictionary_encode()
        table = pa.table({
            "n": range(600),
            "kind": kinds.cast(pa.dictionary(pa.int8(), pa.string())),
            "kinds": pa.ListArray.from_arrays(pa.array(range(601), pa.int32()), kinds),
        })  # fmt: skip
        pq.write_table(table, tmp_path / "in" / f"{name}.parquet", row_group_size=5)
    found = list(open_source(tmp_path / "in").batches())
    assert [(start, batch.num_rows) for start, batch in found] == [(0, 1_200)]
    assert found[0][1].column("n").to_pylist() == [*range(600), *range(600)]
    expected = [f"{name}{n % 100}" for name in "ab" for n in range(600)]
    assert found[0][1].column("kind").to_pylist() == expected
    assert found[0][1].column("kinds").to_pylist() == [[each] for each in expected]


@pytest.mark.parametrize("format_", ["parquet", "feather"])
def test_batches_of_large_rows_have_few_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_: str) -> None:
    """Bytes bound a batch as rows do."""
    monkeypatch.setattr("parallel_frames._files._batches.BATCH_BYTES", 2**20)
    table = pa.table({"n": range(300), "text": [f"{n:06d}" * 2_000 for n in range(300)]})
    write = pq.write_table if format_ == "parquet" else feather.write_feather
    write(table, tmp_path / f"in.{format_}")
    batches = [batch for _, batch in open_source(tmp_path / f"in.{format_}").batches()]
    assert max(batch.nbytes for batch in batches) < 1.2 * 2**20
    assert pa.Table.from_batches(batches).equals(table)
