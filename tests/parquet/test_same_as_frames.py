"""A file sends what the frame of the same table sends, whatever the column's type, and under the same keys."""

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError
from parallel_frames.simulator import Simulator

MOMENT = dt.datetime(2024, 7, 1, 12, 30, 15, 250_000)
COLUMNS: dict[str, Any] = {
    "period": pd.period_range("2024Q1", periods=2, freq="Q"),
    "period of days": pd.period_range("2024-01-31", periods=2, freq="D"),
    "interval": pd.interval_range(0, 2),
    "interval closed left": pd.interval_range(0.5, 2.5, closed="left"),
    "interval of times": pd.interval_range(pd.Timestamp("2024-01-01"), periods=2),
    "category": pd.Categorical(["a", None]),
    "float32": np.array([123456.79, 0.1], dtype="float32"),
    "float16": np.array([0.1, 2.5], dtype="float16"),
    "masked integer": pd.array([1, None], dtype="Int8"),
    "unsigned": np.array([2**64 - 1, 0], dtype="uint64"),
    "boolean": pd.array([True, None], dtype="boolean"),
    "string": pd.array(["x", None], dtype="string"),
    "zoned": pd.to_datetime([MOMENT, None]).tz_localize("Europe/Berlin"),
    "naive": pd.to_datetime([MOMENT, None]),
    "duration": pd.to_timedelta([90, None], unit="s"),
    "date": pd.Series([dt.date(2024, 1, 31), None], dtype=object),
    "time": pd.Series([dt.time(12, 30, 15), None], dtype=object),
    "decimal": pd.Series([Decimal("1.10"), None], dtype=object),
    "list": pd.Series([[1, 2], []], dtype=object),
    "struct": pd.Series([{"a": 1, "b": "x"}, None], dtype=object),
}
ARROW: dict[str, Any] = {
    "dictionary of unsigned indices": pa.array(["x", None])
    .dictionary_encode()
    .cast(pa.dictionary(pa.uint32(), pa.string())),
    "dictionary of bytes": pa.array(["x", None]).dictionary_encode().cast(pa.dictionary(pa.uint8(), pa.string())),
    "large string": pa.array(["x", None], pa.large_string()),
    "uuid": pa.ExtensionArray.from_storage(pa.uuid(), pa.array([uuid.UUID(int=7).bytes, None], pa.binary(16))),
    "decimal": pa.array([Decimal("1.10"), None], pa.decimal128(9, 2)),
    "time": pa.array([dt.time(12, 30), None], pa.time64("us")),
    "nanoseconds": pa.array([1_719_837_015_250_000_001, None], pa.timestamp("ns")),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
}


def sent(sim: Simulator) -> list[Any]:
    """Return the inputs that were sent, and forget none."""
    return [run.input for run in sim.runs()]


def same(table: pa.Table, path: Path, *frames: pd.DataFrame) -> list[Any]:
    """Enrich a file and frames of it with one checkpoint, and return what was sent: once, if all agree."""
    pq.write_table(table, path / "rows.parquet")
    with pf.offline(lambda _: {"note": "n"}, latency=0) as sim:
        options: dict[str, Any] = {"checkpoint": path / "ck", "progress": False}
        pf.enrich_parquet(path / "rows.parquet", path / "out.parquet", {"note": str}, **options)
        inputs = sent(sim)
        for frame in frames:
            frame.parallel.enrich({"note": str}, on_mismatch="new", **options)
        assert sent(sim) == inputs
    return inputs


@pytest.mark.parametrize("name", COLUMNS)
def test_every_pandas_type(tmp_path: Path, name: str) -> None:
    """A frame, its file, and the file read back in either family of dtypes send the same."""
    df = pd.DataFrame({"company": ["A", "B"], "cell": COLUMNS[name]})
    table = pa.Table.from_pandas(df, preserve_index=False)
    backed = table.to_pandas(types_mapper=pd.ArrowDtype)
    frames = [df] if name == "float16" else [df, backed]
    inputs = same(table, tmp_path, *frames)
    assert len(inputs) == 2


@pytest.mark.parametrize("name", ARROW)
def test_every_arrow_type(tmp_path: Path, name: str) -> None:
    """A file and the frame of its Arrow columns send the same."""
    table = pa.table({"company": ["A", "B"], "cell": ARROW[name]})
    assert len(same(table, tmp_path, table.to_pandas(types_mapper=pd.ArrowDtype))) == 2


def test_periods_and_intervals_say_what_a_person_reads(tmp_path: Path) -> None:
    """The quarter, and the side that is closed; in templates as well."""
    df = pd.DataFrame({"quarter": COLUMNS["period"][:1], "band": COLUMNS["interval"][:1]})
    df.to_parquet(tmp_path / "rows.parquet")
    with pf.offline(lambda _: {"note": "n"}, latency=0) as sim:
        pf.enrich_parquet(tmp_path / "rows.parquet", tmp_path / "out.parquet", {"note": str}, progress=False)
        backed = pd.read_parquet(tmp_path / "rows.parquet", dtype_backend="pyarrow")
        backed.parallel.enrich({"note": str}, inputs="Revenue in {quarter} within {band}", progress=False)
        assert sent(sim) == [{"quarter": "2024Q1", "band": "(0, 1]"}, "Revenue in 2024Q1 within (0, 1]"]


def test_codes_keep_their_leading_zeros(tmp_path: Path, files: SimpleNamespace) -> None:
    """In CSV 02101 is a place and 2101 is not; a column of plain numbers is one of numbers."""
    (tmp_path / "rows.csv").write_text("city,zip,count,rate\nBoston,02101,0,0.5\nNew York,10001,12,-3\n")
    with pf.offline(lambda _: {"note": "n"}, latency=0) as sim:
        pf.enrich_parquet(tmp_path / "rows.csv", tmp_path / "out.parquet", {"note": str}, progress=False)
        assert sent(sim)[0] == {"city": "Boston", "zip": "02101", "count": 0, "rate": 0.5}
    out = pd.read_parquet(tmp_path / "out.parquet")
    assert out["zip"].tolist() == ["02101", "10001"]
    assert out["count"].tolist() == [0, 12]


@pytest.mark.parametrize("legacy", [False, "1.13"])
def test_print_options_decide_nothing(legacy: Any) -> None:
    """What numpy shows on a screen is the user's own; what is sent is not."""
    df = pd.DataFrame({"x": np.array([123456.79], dtype="float32")})
    cells = pd.DataFrame({"x": pd.Series([np.float32(123456.79)], dtype=object)})
    with np.printoptions(legacy=legacy, precision=2), pf.offline(latency=0) as sim:
        df.parallel.enrich({"n": str}, progress=False)
        cells.parallel.enrich({"n": str}, progress=False)
        assert sent(sim) == [{"x": 123456.79}]


@pytest.mark.parametrize("if_exists", ["fill", "overwrite"])
def test_times_on_the_wall_are_not_turned_into_utc(tmp_path: Path, if_exists: Any) -> None:
    """A column of naive times is refused for answers in UTC, by frame and file, before anything is sent."""
    table = pa.table({"company": ["A", "B"], "seen": pa.array([MOMENT, None], pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "rows.parquet")
    options: dict[str, Any] = {"inputs": ["company"], "if_exists": if_exists, "progress": False}
    with pf.offline(lambda _: {"seen": "2020-01-01T00:00:00Z"}, latency=0) as sim:
        with pytest.raises(InputError, match="if_exists='suffix'"):
            pf.enrich_parquet(tmp_path / "rows.parquet", tmp_path / "out.parquet", {"seen": dt.datetime}, **options)
        with pytest.raises(InputError, match=r"'seen' holds times without a zone.*tz_localize"):
            table.to_pandas().parallel.enrich({"seen": dt.datetime}, **options)
        periods = pd.DataFrame({"company": ["A"], "seen": COLUMNS["period"][:1]})
        with pytest.raises(InputError, match=r"'seen' holds period\[Q-DEC\]"):
            periods.parallel.enrich({"seen": str}, **options)
        assert sim.counts.runs == 0
