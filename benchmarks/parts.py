"""The parts of the main job that need no server: payloads, merge, checkpoint. Each function runs in a fresh process.

    python benchmarks/parts.py NAME [ROWS]

prints one line of JSON; `NAME` is a function of this module. Every figure stands beside a plain one of the same run.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from clients.common import columns, watching

from parallel_frames._checkpoint import OUTCOME_SCHEMA, memory_store, open_store, table_of
from parallel_frames._columns import Unanswered, make_layout, merge_outcomes
from parallel_frames._inputs import select_inputs
from parallel_frames._job._plan import make_job, make_options, make_plan
from parallel_frames._model import Outcome, OutgoingRun, Receipt, RunId
from parallel_frames._schema import parse_schema
from parallel_frames._service import PUBLISHED
from parallel_frames._state import Answers, MemoryIndex, states_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from parallel_frames._model import Job, Schema

SCHEMA = {"founded": int, "ceo": str, "revenue": float}
BASIS = orjson.dumps(
    [
        {
            "field": name,
            "reasoning": "The company's own history page and an independent profile agree on this value. <1>",
            "citations": [{"url": f"https://example.com/{name}/history", "title": "History", "excerpts": ["<2>"]}],
            "confidence": "high",
        }
        for name in SCHEMA
    ]
).decode()


def job_of() -> tuple[Schema, Job]:
    """Return a schema and its job."""
    schema = parse_schema(SCHEMA)
    return schema, make_job(schema, input_schema=None, processor="base", options=make_options(None))


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of CPU that a call takes, and what it returns."""
    gc.collect()
    began = time.process_time()
    result = call()
    return time.process_time() - began, result


def payloads(rows: int = 200_000) -> dict[str, float]:
    """Rows to payloads: a frame of five mixed columns to the JSON of its inputs, each with its key; then to bodies.

    The plain way is pandas' own: its rows as dicts, dumped in thousands. It has no keys, and gets missing cells wrong.
    """
    df = pd.DataFrame(columns(rows, turn="x"))
    _, job = job_of()

    def bodies(plan: Any) -> int:
        size = 0
        for start in range(0, rows, 1000):
            batch = range(start, min(start + 1000, rows))
            runs = [OutgoingRun(plan.inputs[entry], plan.metadata_of(entry, 0)) for entry in batch]
            size += len(PUBLISHED.runs_body(job, runs=runs))
        return size

    def plain() -> int:
        size, every = 0, df.to_dict("records")
        for start in range(0, rows, 1000):
            inputs = [
                {"input": row, "processor": "base", "metadata": {"row": start + n}}
                for n, row in enumerate(every[start : start + 1000])
            ]
            size += len(orjson.dumps({"default_task_spec": job.spec, "inputs": inputs}))
        return size

    planning, plan = timed(lambda: make_plan(df, job, selection=select_inputs(df, None)))
    sending, _ = timed(lambda: bodies(plan))
    bare, _ = timed(plain)
    return {
        "rows a second, planned with keys": rows / planning,
        "rows a second, bodies": rows / sending,
        "rows a second, both": rows / (planning + sending),
        "rows a second, plain": rows / bare,
    }


def outcome_of(key: str, number: int) -> Outcome:
    """Return a finished run of 1.6 KB, of which a third compresses badly."""
    noise = random.Random(number).randbytes(100).hex()
    basis = BASIS.replace("<1>", noise[:100]).replace("<2>", noise[100:])
    return Outcome(
        key, 0, f"trun_{number:032x}", "tgrp_1", "completed",
        output='{"founded":%d,"ceo":"value %d","revenue":%d.25}' % (number, number, number),
        output_type="json", basis=basis, created_at="2026-01-01T00:00:00Z", modified_at="2026-01-01T00:01:00Z",
    )  # fmt: skip


def merge(rows: int = 1_000_000) -> dict[str, float]:
    """Merge outcomes that came in any order, each with its key, against Arrow building the same three columns of them.

    In turns, each in a fresh process: memory that one of them has given back would be the other's for nothing.
    """
    ways = {"plain": "merge_plainly", "ours": "merge_ours"}
    taken = [{name: in_fresh_process(way, rows) for name, way in ways.items()} for _ in range(3)]
    return {
        f"{what}, {name}": statistics.median(each[name][place] for each in taken)
        for name in ways
        for place, what in enumerate(("seconds", "peak MB"))
    }


def arriving(rows: int) -> tuple[pd.DataFrame, Any, list[tuple[str, str]]]:
    """Return a frame, its plan, and the key and the answer of each row in the order in which they come."""
    df = pd.DataFrame({"company": [f"Company {n}" for n in range(rows)]})
    plan = make_plan(df, job_of()[1], selection=select_inputs(df, None))
    order = random.Random(0).sample(range(rows), rows)
    return df, plan, [(plan.keys[n], '{"founded":%d,"ceo":"value %d","revenue":%d.25}' % (n, n, n)) for n in order]


def weighed(call: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds of CPU that a call takes, and the memory it adds at most, its result included, in MB."""
    gc.collect()
    with watching() as most:
        seconds, _ = timed(call)
        return seconds, most()


def merge_plainly(rows: int) -> tuple[float, float]:
    """Return what Arrow takes: parse, build, find each key, take."""
    _, plan, told = arriving(rows)

    def build() -> pd.DataFrame:
        batches = [
            pa.RecordBatch.from_pylist([orjson.loads(text) for _, text in told[start : start + 10_000]])
            for start in range(0, rows, 10_000)
        ]
        places = pc.index_in(pa.array(plan.keys), pa.array([key for key, _ in told]))
        return pa.Table.from_batches(batches).take(places).to_pandas()

    return weighed(build)


def merge_ours(rows: int) -> tuple[float, float]:
    """Return what the merge at the end of a job takes: its answers are found where they are stored."""
    schema, job = job_of()
    df, plan, arrived = arriving(rows)
    index, store = MemoryIndex(), memory_store(job, host="bench")
    index.add_rows(0, plan.keys, plan.row_runs.tolist())
    index.end_rows()
    for start in range(0, rows, 10_000):
        outcomes = [
            Outcome(key, 0, f"trun_{number}", "tgrp", "completed", output=text, output_type="json")
            for number, (key, text) in enumerate(arrived[start : start + 10_000], start)
        ]
        index.add_outcomes(asyncio.run(store.write_outcomes(outcomes, cursors={})), states_of(outcomes))

    def build() -> pd.DataFrame:
        layout = make_layout(df, schema, prefix="", status=True, if_exists="error")
        places = index.answers()[:, :3]
        return merge_outcomes(
            df, plan.keys, plan.row_runs, schema, answers=Answers(store.read_outcomes, places),
            unanswered=lambda _: Unanswered("pending", ""),
            layout=layout,
            dtype_backend="numpy_nullable",
        ).frame  # fmt: skip

    return weighed(build)


def checkpoint(rows: int = 200_000) -> dict[str, float]:
    """Write a checkpoint as a job does, and take it up again, against writing and reading the same as plain Parquet.

    A flush is 1,000 outcomes made durable, in milliseconds of the wall; receipts and their intents stand beside it. A
    resume is the job's folder opened, its keys and states known to the index, and what each input needs decided; what
    it is compared with is Arrow's reading of the same files, whole. Both are done in turns and in fresh processes, as a
    resume is.
    """
    _, job = job_of()
    keys = [f"{number:032x}" for number in range(rows)]
    told: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        with open_store(folder, job, host="bench") as store:
            taken = asyncio.run(fill(store, keys))
        for step in ("intent", "receipt", "flush"):
            told[f"{step}, ms, median"] = statistics.median(each[step] for each in taken)
        told["tidy, ms, mean"] = statistics.mean(each["tidy"] for each in taken)
        told["plain Parquet file of as many, ms, median"] = statistics.median(write_plainly(Path(folder)))
        ways = {"resume, s": "resume", "plain dataset read, s": "read_plainly"}
        taken_up = [{name: in_fresh_process(way, rows, folder) for name, way in ways.items()} for _ in range(5)]
        told |= {name: statistics.median(each[name] for each in taken_up) for name in ways}
    return told


def in_fresh_process(name: str, rows: int, *arguments: str) -> Any:
    """Return what another function of this module measures, in a process of its own."""
    command = [sys.executable, __file__, name, str(rows), *arguments]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


async def fill(store: Any, keys: list[str]) -> list[dict[str, float]]:
    """Store runs and their outcomes, a thousand at a time; return the milliseconds of each step."""
    taken = []
    await store.add_group("tgrp_1", dialect="published")
    for start in range(0, len(keys), 1000):
        numbers = range(start, min(start + 1000, len(keys)))
        runs = [RunId(keys[number], 0) for number in numbers]
        outcomes = [outcome_of(keys[number], number) for number in numbers]
        receipts = [Receipt(each.key, 0, each.run_id, "tgrp_1", start) for each in outcomes]
        marks = [time.perf_counter()]
        intent = await store.write_intent("tgrp_1", runs=runs, rows=list(numbers))
        marks.append(time.perf_counter())
        await store.write_receipt(intent, receipts=receipts)
        marks.append(time.perf_counter())
        await store.write_outcomes(outcomes, cursors={"tgrp_1": f"evt_{start}"})
        marks.append(time.perf_counter())
        await store.tidy()
        marks.append(time.perf_counter())
        steps = [(later - earlier) * 1e3 for earlier, later in pairwise(marks)]
        taken.append(dict(zip(("intent", "receipt", "flush", "tidy"), steps, strict=True)))
    return taken


def write_plainly(folder: Path) -> Iterator[float]:
    """Yield the milliseconds that a plain Parquet file of 1,000 such outcomes takes."""
    table = table_of([outcome_of(f"{number:032x}", number) for number in range(1000)], OUTCOME_SCHEMA)
    for _ in range(11):
        began = time.perf_counter()
        with (folder / "plain").open("wb") as sink:
            pq.write_table(table, sink, compression="zstd")
            sink.flush()
            os.fsync(sink.fileno())
        yield (time.perf_counter() - began) * 1e3
    (folder / "plain").unlink()


def resume(rows: int, folder: str) -> float:
    """Return the seconds until the index knows all that is stored, and what each input needs."""
    _, job = job_of()
    keys = [f"{number:032x}" for number in range(rows)]
    began = time.perf_counter()
    index = MemoryIndex()
    index.add_rows(0, keys, range(rows))
    index.end_rows()
    with open_store(folder, job, host="bench") as store:
        store.recall(index)
    status = index.status()
    seconds = time.perf_counter() - began
    assert (status.answered, all(index.done())) == (rows, True)
    return seconds


def read_plainly(rows: int, folder: str) -> float:
    """Return the seconds in which Arrow reads the same files."""
    began = time.perf_counter()
    tables = [pads.dataset(Path(folder) / name).to_table() for name in ("outcomes", "receipts")]
    seconds = time.perf_counter() - began
    assert [table.num_rows for table in tables] == [rows, rows]
    return seconds


if __name__ == "__main__":
    measured = globals()[sys.argv[1]]
    print(json.dumps(measured(*map(int, sys.argv[2:3]), *sys.argv[3:])))
