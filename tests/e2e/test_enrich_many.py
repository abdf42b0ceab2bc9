"""Many rows: their answers are read from the parts they were stored in, at once and when the call is made again."""

import numpy as np
import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.simulator import Failure

ROWS = 34_000
SCHEMA = {"double": int, "word": str}


def answer(sent):
    """Return an answer that tells its row; every thousandth fails, and every other breaks its schema."""
    if sent["n"] % 1000 == 7:
        return Failure("out of luck")
    return {"double": "many" if sent["n"] % 1000 == 8 else 2 * sent["n"], "word": f"w{sent['n']}"}


@pytest.mark.slow
def test_many_rows_keep_their_answers(tmp_path) -> None:
    """Rows in any order, some of them equal: each has its answer, evidence and status, at once and taken up again."""
    numbers = np.random.default_rng(0).permutation(ROWS)
    df = pd.DataFrame({"n": np.append(numbers, numbers[:500])}, index=np.arange(ROWS + 500)[::-1])
    told = []
    with pf.offline(answer, latency=0, max_per_minute=None):
        out = df.parallel.enrich(SCHEMA, checkpoint=tmp_path / "ck", basis="columns", on_row=told.append)
        run = pf.last()
        again = df.sample(frac=1, random_state=1).parallel.enrich(
            SCHEMA, checkpoint=tmp_path / "ck", basis="columns", retry_failed=False
        )
        seen = pf.last()
        asked = df.head(50).parallel.enrich(SCHEMA, checkpoint=tmp_path / "ck", on_mismatch="new", refresh=True)
    pd.testing.assert_index_equal(out.index, df.index)
    failed, invalid = df["n"] % 1000 == 7, df["n"] % 1000 == 8
    expected = np.select([failed, invalid], ["failed", "invalid"], "completed")
    assert out["parallel_status"].tolist() == expected.tolist()
    assert out["word"].fillna("").tolist() == ["" if bad else f"w{n}" for n, bad in zip(df["n"], failed, strict=True)]
    assert (out["double"] == 2 * df["n"])[expected == "completed"].all()
    assert out["double"].isna().tolist() == (failed | invalid).tolist()
    assert out["double_confidence"].isna().tolist() == (failed | invalid).tolist()
    pd.testing.assert_frame_equal(again.sort_index(), out.sort_index())
    assert [row.position for row in sorted(told, key=lambda row: row.position)] == list(range(len(df)))
    assert all(row.values["word"] == f"w{df['n'].iloc[row.position]}" for row in told if row.status == "completed")
    report = run.report()
    assert report.counts == pd.Series(expected).value_counts().to_dict()
    assert seen.report().counts == report.counts
    assert (asked["double"] == 2 * df["n"].head(50))[expected[:50] == "completed"].all()
    stored = pf.Checkpoint(tmp_path / "ck").outcomes()
    assert stored.groupby("attempt").size().tolist() == [ROWS, 50]
