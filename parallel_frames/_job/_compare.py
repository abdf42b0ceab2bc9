"""The same rows with each of several processors, to learn which is good enough before all rows are paid for.

Each processor is a job of its own, with the keys and the checkpoint that the call for all rows has, so that nothing is
paid for twice. They run at the same time; what they cost together is announced, asked for and bounded before that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from functools import partial
from itertools import chain
from math import isfinite
from numbers import Real
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pandas as pd

from parallel_frames._columns import cells_of
from parallel_frames._format import (
    did_you_mean,
    format_costs,
    format_count,
    format_dollars,
    format_duration,
    format_option,
)
from parallel_frames._job._announce import ask_before_paying
from parallel_frames._job._checkpoints import job_folder, preview_checkpoint
from parallel_frames._job._comparison import UNKNOWN, ComparedRows, ProcessorAnswers, compare_answers
from parallel_frames._job._handle import explaining_ctrl_c, frame_source
from parallel_frames._job._normal_form import read_known
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._options import check_processor
from parallel_frames._job._prepare import apply_defaults, inputs_of
from parallel_frames._job._runner import JobRunner, joint_safety, stop_text
from parallel_frames._prices import Runs, check_cost, expected_seconds
from parallel_frames._runtime import run_from_anywhere
from parallel_frames._ui import ProgressCounts, SharedProgress, report_call, showing
from parallel_frames.errors import InputError, ParallelFramesError, UnknownColumnError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallel_frames._checkpoint import StoragePath
    from parallel_frames._job._comparison import Comparison
    from parallel_frames._job._offline import Destination
    from parallel_frames._job._options import Call
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._runner import Results
    from parallel_frames._job._source import FrameSource
    from parallel_frames._model import Column, Schema
    from parallel_frames._state import MemoryIndex
    from parallel_frames._ui import Progress
    from parallel_frames.errors import Safety

    Positions = np.ndarray[Any, np.dtype[np.int64]]

TOLERANCE: Final = 0.01


def compare_processors(
    df: pd.DataFrame, schema: object, call: Call, *, processors: Sequence[str], truth: Any, tolerance: Any
) -> Comparison:
    """Ask each processor about the same rows, as far as they are not answered, and return what they answered."""
    _check_processors(processors, truth)
    if call.checkpoint is None:
        raise InputError(
            "`checkpoint=None` keeps no answers, so the call for all rows would pay for these again. Leave it out. "
            "Nothing was sent."
        )
    sources = _sources(df, schema, call, processors)
    rows = _rows_of(df, sources[0], truth, tolerance)
    destination = choose_destination(call.client)
    _let_share_checkpoint(sources, call, destination)
    runners = [JobRunner(source) for source in sources]
    for runner in runners:
        runner.destination = destination
        runner.scan()
    found = [preview_checkpoint(runner.source, runner.index, destination) for runner in runners]
    for runner, preview in zip(runners, found, strict=True):
        runner.note_preview(preview)
    folder = None if found[0].folder is None else str(found[0].folder.parent)
    is_simulated = any(each.header.get("simulated") for each in found) or destination.asks_simulator()
    essence, facts = _announcement(runners, destination, of_rows=len(df), checkpoint=folder, simulated=is_simulated)

    async def run() -> list[ProcessorAnswers]:
        report_call.set(None)  # it is the comparison that there is to look at
        with showing(call.progress) as progress:
            progress.announce(essence, facts, simulated=is_simulated)
            _bound_costs(runners, call)
            _ask(runners, call, destination)
            return await _run(runners, progress, destination, checkpoint=folder)

    with explaining_ctrl_c(runners[0]):
        answers = run_from_anywhere(run)
    spent = _dollars(runners, [runner.status().billed for runner in runners])
    return compare_answers(
        answers,
        sources[0].prepared.schema,
        rows,
        cost=None if spent is None else float(spent),
        extra_cost=_extra_cost(runners),
        checkpoint=None if any(runner.checkpoint is None for runner in runners) else folder,
        simulated=any(runner.simulated for runner in runners),
    )


def _check_processors(processors: Any, truth: object) -> None:
    if isinstance(processors, str) or not isinstance(processors, list | tuple) or not processors:
        raise InputError(f"{format_option('processors', processors)} must be a list of names, as ['lite', 'base'].")
    for processor in processors:
        check_processor(processor)
    if twice := [name for name in processors if processors.count(name) > 1]:
        raise InputError(f"{format_option('processors', processors)} names {twice[0]!r} twice.")
    if len(processors) < 2 and truth is None:
        raise InputError(
            f"{format_option('processors', processors)} names one processor, and there is nothing to compare it with. "
            "Name another one, or pass the known values as `truth`. Nothing was sent."
        )


# Rows


def _sources(df: pd.DataFrame, schema: object, call: Call, processors: Sequence[str]) -> list[FrameSource]:
    """Return for each processor the rows of the first few distinct inputs, those that `enrich` would ask first."""
    call = apply_defaults(call)
    call = replace(call, inputs=inputs_of(df, schema, call))
    if call.if_exists == "error":
        call = replace(call, if_exists="overwrite")  # no column is written, so that none is in the way
    if call.max_in_flight is not None:  # they share it
        call = replace(call, max_in_flight=max(1, call.max_in_flight // len(processors)))
    call = replace(call, confirm=False, basis="none", provenance=False, on_error="keep", on_mismatch="new")
    inputs = frame_source(df, schema, replace(call, processor=processors[0])).plan.row_runs
    chosen = (inputs >= 0) & (inputs < (len(df) if call.limit is None else call.limit))
    if not chosen.any():
        raise InputError("There is no row to compare: none is chosen, or none has anything to send. Nothing was sent.")
    call = replace(call, where=chosen, limit=None)
    return [frame_source(df, schema, replace(call, processor=processor)) for processor in processors]


def _rows_of(df: pd.DataFrame, source: FrameSource, truth: Any, tolerance: Any) -> ComparedRows:
    schema, plan = source.prepared.schema, source.plan
    positions = np.flatnonzero(plan.row_runs >= 0)
    known = {} if truth is None else _read_truth(df, truth, source, positions)
    tolerances = _tolerances(schema, tolerance)
    return ComparedRows(df.index.take(positions), positions, plan.row_runs[positions], known, tolerances)


def _tolerances(schema: Schema, tolerance: Any) -> dict[str, float]:
    """Return how far numbers may be apart, by field: whole numbers only where a mapping names their field."""
    kinds = {column.name: column.kind for column in schema.columns if column.kind in ("number", "integer")}
    numbers = [name for name, kind in kinds.items() if kind == "number"]
    given = tolerance
    if not isinstance(tolerance, Mapping):
        given = {name: tolerance for name in numbers}  # noqa: C420 - pyright takes the values of fromkeys for optional
    for name, value in given.items():
        _check_field("tolerance", name, kinds)
        if isinstance(value, bool) or not isinstance(value, Real) or not isfinite(value) or value < 0:
            raise InputError(f"{format_option('tolerance', value)} must be a share of a number, such as 0.01.")
    return {**dict.fromkeys(numbers, TOLERANCE), **{name: float(value) for name, value in given.items()}}


def _check_field(option: str, name: object, fields: Mapping[str, object]) -> None:
    if name not in fields:
        there = ", ".join(fields) or "none"
        raise InputError(f"`{option}` has no use for {name!r}{did_you_mean(name, fields)}: the fields are {there}.")


def _read_truth(df: pd.DataFrame, truth: Any, source: FrameSource, positions: Positions) -> dict[str, list[Any]]:
    """Return the known values of each field for the rows at these positions, as answers would have them."""
    columns = {column.name: column for column in source.prepared.schema.columns}
    frame, labels = df, dict[Any, Any]()
    if isinstance(truth, pd.DataFrame):
        frame, labels = truth, {label: label for label in truth.columns if label in columns}
    elif isinstance(truth, Mapping):
        labels = dict(truth)
    if not labels:
        raise InputError(
            "`truth` must be a frame with known values, whose columns have the names of fields, or map fields to "
            f"columns of the frame. The fields are {', '.join(columns)}. Nothing was sent."
        )
    for name, label in labels.items():
        _check_field("truth", name, columns)
        if label not in frame.columns:
            raise UnknownColumnError(label, frame.columns, where="`truth`")
        if frame[label].ndim != 1:
            raise InputError(f"`truth` names the column {label!r}, which stands twice in the frame. Nothing was sent.")
        if frame is df and label in source.prepared.selection.labels:
            raise InputError(
                f"`truth` names the column {label!r}, which each row would send, so that the service would see what it "
                "is asked. Nothing was sent. Name what to send, as in `inputs=['company']`, here and in the call for "
                "all rows."
            )
    places = _places(frame, df, positions)
    known: dict[str, list[Any]] = {}
    for name, label in labels.items():
        cells = [*cells_of(frame[label]), UNKNOWN]  # the last one is at -1: a row that `truth` lacks
        known[name] = [_read_cell(cells[place], columns[name], frame.index, place) for place in places]
    if all(value is UNKNOWN for value in chain(*known.values())):
        raise InputError(
            "`truth` has no value for any row that would be compared. Its index must have the labels of the frame's. "
            "Nothing was sent."
        )
    return known


def _places(frame: pd.DataFrame, df: pd.DataFrame, positions: Positions) -> list[int]:
    """Return where in a frame with known values each row is; -1 where it is not."""
    if frame.index.equals(df.index):
        return list(positions.tolist())
    if not frame.index.is_unique:
        raise InputError(
            "`truth` has another index than the frame, in which a label stands twice, so that it cannot be known which "
            "row is meant. Nothing was sent."
        )
    return list(frame.index.get_indexer(df.index[positions]).tolist())


def _read_cell(cell: Any, column: Column, index: pd.Index[Any], place: int) -> Any:
    """Return a known value; a missing one is a null where the schema has null for an answer, and unknown elsewhere."""
    if cell is UNKNOWN:
        return UNKNOWN
    if pd.api.types.is_scalar(cell) and pd.isna(cell):
        return None if column.nullable else UNKNOWN
    try:
        return read_known(cell, column)
    except ValueError as error:
        raise InputError(
            f"`truth` has {str(cell)[:80]!r} for {column.name!r} in the row with index {index[place]!r}: {error}. "
            "Nothing was sent."
        ) from None


def _let_share_checkpoint(sources: Sequence[FrameSource], call: Call, destination: Destination) -> None:
    """Let no job of a comparison be in the way of another, in a directory that is to hold all of them."""

    def folder_of(prepared: PreparedCall) -> StoragePath:
        return job_folder(prepared, destination, runs=len(sources[0].plan.keys))

    def as_called(source: FrameSource) -> PreparedCall:
        return replace(source.prepared, call=replace(source.prepared.call, on_mismatch=call.on_mismatch))

    known = [source for source in sources if folder_of(source.prepared).is_dir()]
    if not known:
        folder_of(as_called(sources[0]))
    for source in known:
        source.prepared = as_called(source)


# Costs


def _dollars(runners: Sequence[JobRunner], runs: Sequence[int]) -> Decimal | None:
    """Return what so many runs of each processor cost together; None where a price that counts is not known."""
    costs = [runner.prepared.price.of(number) for runner, number in zip(runners, runs, strict=True) if number]
    return None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0))


def _extra_cost(runners: Sequence[JobRunner]) -> str:
    return runners[0].prepared.price.extra  # of the options, which all of them have


def _price_text(runners: Sequence[JobRunner]) -> str:
    statuses = [runner.status() for runner in runners]
    now, before = ([getattr(status, name) for status in statuses] for name in ("to_send", "billed"))
    return format_costs(_dollars(runners, now), before=_dollars(runners, before), extra=_extra_cost(runners))


def _announcement(
    runners: Sequence[JobRunner], destination: Destination, *, of_rows: int, checkpoint: str | None, simulated: bool
) -> tuple[str, list[str]]:
    """Return the essence, and what else there is to know."""
    statuses = [runner.status() for runner in runners]
    prepared, to_send = runners[0].prepared, sum(status.to_send for status in statuses)
    chosen = "" if statuses[0].chosen == of_rows else f"{statuses[0].chosen:,} of "
    work = f"{chosen}{format_count(of_rows, 'row')} × {format_count(len(runners), 'processor')}"
    parts = [f"{work} → {format_count(to_send, 'run')}"]
    for name, words in (
        ("answered", "already answered"),
        ("under_way", "under way"),
        ("in_doubt", "in doubt, looked for first"),
    ):
        if number := sum(getattr(status, name) for status in statuses):
            parts.append(f"{format_count(number, 'run')} {words}")
    parts.append(_price_text(runners))
    if to_send and not simulated:
        per_minute = destination.client.max_per_minute
        times = [expected_seconds(each.prepared.price, runs=to_send, max_per_minute=per_minute) for each in runners]
        longest = None if None in times else max(filter(None, times), default=0.0)
        parts.append(format_duration(longest, estimate=True))
    prices = [
        f"{runner.prepared.price.processor} {format_dollars(runner.prepared.price.of(status.to_send))}"
        for runner, status in zip(runners, statuses, strict=True)
        if status.to_send
    ]
    return " · ".join(parts), [*prices, f"sends {prepared.selection.sends}", f"checkpoint {checkpoint}"]


def _bound_costs(runners: Sequence[JobRunner], call: Call) -> None:
    """Refuse what would cost more together than allowed; each processor counts what the others cost."""
    statuses = [runner.status() for runner in runners]
    parts = [
        Runs(runner.prepared.price, status.to_send, status.billed)
        for runner, status in zip(runners, statuses, strict=True)
    ]
    check_cost(*parts, max_cost=call.max_cost, limit_for=partial(_limit_within, runners))
    costs = [part.price.of(part.to_send + part.billed) or Decimal() for part in parts]
    for runner, cost in zip(runners, costs, strict=True):
        runner.spent_elsewhere = sum(costs, -cost)


def _limit_within(runners: Sequence[JobRunner], dollars: Decimal) -> int | None:
    """Return the ``limit`` with which they cost no more than that; None where there is none."""
    prices: list[tuple[int, Decimal]] = []  # of each run to send, with the number of its input
    for runner in runners:
        source, price = cast("FrameSource", runner.source), runner.prepared.price.per_run or Decimal()
        runner.index.decide_sending()
        rows = [run.row for runs in source.read(cast("MemoryIndex", runner.index)) for run in runs]
        prices += [(at, price) for at in np.searchsorted(source.plan.positions, rows).tolist()]
    for at, price in sorted(prices):
        dollars -= price
        if dollars < 0:
            return at or None
    return None


def _ask(runners: Sequence[JobRunner], call: Call, destination: Destination) -> None:
    runs = [runner.status().to_send for runner in runners]
    if any(runs):
        is_free = destination.block is not None
        cost, price = _dollars(runners, runs), _price_text(runners)
        ask_before_paying(call, runs=sum(runs), cost=cost, price=price, is_free=is_free)


# Running


async def _run(
    runners: Sequence[JobRunner], progress: Progress, destination: Destination, *, checkpoint: str | None
) -> list[ProcessorAnswers]:
    """Run all of them at the same time; the first error ends the others, as Ctrl-C does, and is raised."""
    statuses = [runner.status() for runner in runners]

    def total(name: str) -> int:
        return sum(getattr(status, name) for status in statuses)

    spent = _dollars(runners, [status.billed for status in statuses])
    waiting = total("to_send") + total("awaited")
    counts = ProgressCounts(
        rows=total("rows_answered") + total("rows_open"),
        done=total("rows_answered"),
        failed=total("rows_failed"),
        in_flight=total("awaited"),
        spent=spent,
        before=spent,
        extra_cost=_extra_cost(runners),
        unit="answer",
    )
    progress.begin(counts, url_of=destination.client.url_of, checkpoint=checkpoint, done="compared")
    if waiting:
        progress.started(rows=counts.rows, waiting=waiting)
    shown: set[str] = set()
    try:
        async with asyncio.TaskGroup() as group:
            tasks = []
            for runner in runners:
                part = SharedProgress(progress, counts, per_run=runner.prepared.price.per_run, warned=shown)
                deliver = partial(_read, cast("FrameSource", runner.source))
                tasks.append(group.create_task(runner.run(deliver=deliver, shared_progress=part)))
    except BaseExceptionGroup as errors:
        error = errors.exceptions[0]
        if isinstance(error, ParallelFramesError):
            error.safety = _joint_safety(runners, error)
        raise error from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        runners[0].stopped = stop_text(_joint_safety(runners))  # in place of its own part
        raise
    return [answers for task in tasks if (answers := task.result()) is not None]


def _joint_safety(runners: Sequence[JobRunner], error: BaseException | None = None) -> Safety | None:
    safeties = [runner.safety(error) for runner in runners]
    return joint_safety(safeties, answered=min(0 if each is None else each.answered for each in safeties))


def _read(source: FrameSource, results: Results[Any]) -> ProcessorAnswers:
    """Return what is known of each distinct input."""
    answers, sent = results.by_input()
    found, keys = dict(answers.outcomes()), source.plan.keys
    return ProcessorAnswers(
        source.prepared.call.processor,
        source.prepared.price,
        [found.get(at) for at in range(len(keys))],
        {at: results.unanswered(key, is_sent=sent[at]) for at, key in enumerate(keys) if at not in found},
    )
