"""Ours: a DataFrame in, a DataFrame with typed columns out; with a checkpoint where a third argument says so."""

from __future__ import annotations

import shutil
import sys
import tempfile

import pandas as pd
from common import columns, measure

import parallel_frames as pf

SCHEMA = {
    "founded": (int, "year of foundation"),
    "ceo": "full name of the CEO",
    "revenue": (float, "revenue of the last year, in million dollars"),
}


def prepare(rows: int, *, turn: str) -> pd.DataFrame:
    """Return the inputs as a frame."""
    return pd.DataFrame(columns(rows, turn=turn))


def enrich(df: pd.DataFrame) -> int:
    """Enrich a frame and count its answers."""
    client = pf.Client(api_key="benchmark-key", base_url=sys.argv[1], max_per_minute=None)
    folder = tempfile.mkdtemp() if sys.argv[3:] == ["checkpoint"] else None
    try:
        out = df.parallel.enrich(SCHEMA, processor="base", client=client, checkpoint=folder, progress=False)
    finally:
        if folder:
            shutil.rmtree(folder)
    return int(out["parallel_status"].eq("completed").sum())


if __name__ == "__main__":
    measure(enrich, prepare)
