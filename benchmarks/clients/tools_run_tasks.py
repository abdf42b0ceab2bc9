"""The vendor's `run_tasks`: batches of 100 one after the other, then a list of runs with inputs and outputs."""

from __future__ import annotations

import os
import sys

os.environ |= {"PARALLEL_API_KEY": "benchmark-key", "PARALLEL_API_URL": sys.argv[1], "PARALLEL_BASE_URL": sys.argv[1]}

from common import measure, records
from parallel_web_tools.core.batch import run_tasks
from pydantic import BaseModel, Field


class Input(BaseModel):
    """A row."""

    company: str
    country: str
    employees: int
    score: float
    listed: bool


class Output(BaseModel):
    """An answer."""

    founded: int = Field(description="year of foundation")
    ceo: str = Field(description="full name of the CEO")
    revenue: float = Field(description="revenue of the last year, in million dollars")


if __name__ == "__main__":
    measure(lambda rows: len(run_tasks(rows, Input, Output, processor="base")), records)
