"""The vendor's Polars function. It sends all rows in one POST, so that more than 1,000 of them are refused."""

from __future__ import annotations

import os
import sys

os.environ |= {"PARALLEL_API_KEY": "benchmark-key", "PARALLEL_API_URL": sys.argv[1], "PARALLEL_BASE_URL": sys.argv[1]}

import polars as pl
from common import columns, measure
from parallel_web_tools.integrations.polars import parallel_enrich

ASKED = ["founded (year of foundation)", "ceo (full name)", "revenue (of the last year, in million dollars)"]


def enrich(df: pl.DataFrame) -> int:
    """Enrich a frame and count its answers."""
    done = parallel_enrich(
        df, input_columns={name: name for name in df.columns}, output_columns=ASKED, processor="base", timeout=600
    )
    return int(done.success_count)


if __name__ == "__main__":
    measure(enrich, lambda rows, turn: pl.DataFrame(columns(rows, turn=turn)))
