"""Rows as runs: the same keys as a frame's rows have, so that a frame's checkpoint serves a file and a file's a frame.

The source is read once for the keys of all rows, and again, a part at a time, for what is to be sent; a row that sends
something else by then stops the job.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from parallel_frames._files._frames import frame_of, take
from parallel_frames._files._types import at_risk, check_values, output_types, provenance_types
from parallel_frames._inputs import make_keys, render_inputs
from parallel_frames._job._row_filter import choose_rows
from parallel_frames._job._plan import make_plan
from parallel_frames._model import Plan
from parallel_frames.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from parallel_frames._files._agenda import Agenda, Work
    from parallel_frames._files._ask import Asked
    from parallel_frames._files._index import Index


def _plan_rows(
    asked: Asked, df: pd.DataFrame, *, occurrences: Callable[[list[str | None]], list[int]], chosen: Any = None
) -> Plan:
    """Return the runs of some rows; `occurrences` tells by their shared keys which of the equal rows each is."""
    return make_plan(
        df,
        asked.job,
        selection=asked.selection,
        chosen=chosen,
        dedupe=asked.call.dedupe,
        occurrences=lambda canonicals: occurrences(make_keys(canonicals, asked.job.hash)),
        metadata=asked.call.metadata,
    )


def _plan_again(asked: Asked, index: Index, batch: pa.RecordBatch, start: int, known: Mapping[int, str]) -> Plan:
    """Return the runs of some rows of a batch, which were planned before and have these keys.

    Raises
    ------
    SourceError
        One of them sends something else now.
    """
    df = frame_of(take(batch, [row - start for row in known]), 0)
    df.index = pd.Index(list(known))
    plan = _plan_rows(asked, df, occurrences=lambda _: index.occurrences_of(known))
    if list(plan.keys) != list(known.values()):
        raise changed(asked)
    return replace(plan, positions=list(known))


def scan_rows(asked: Asked, index: Index) -> Plan | None:
    """Read the whole source once and put each row's key into the index; return the first batch with runs."""
    first: Plan | None = None
    types = output_types(asked.schema, asked.layout) | (provenance_types(asked.call.prefix) if asked.provenance else {})
    for start, batch in asked.source.batches([*asked.columns, *at_risk(asked.source.schema, types)]):
        check_values(batch, types, start=start, shown=asked.source.shown)
        df = frame_of(batch.select(list(asked.columns)), start)
        chosen = choose_rows(df, asked.call.where, layout=asked.layout)
        plan = _plan_rows(asked, df, occurrences=partial(index.count_equals, start), chosen=chosen)
        if first is None and plan.keys:
            first = replace(plan, positions=[start + at for at in plan.positions])
        index.add_rows(start, plan)
    index.find_distinct()
    return first


def no_rows(asked: Asked) -> Plan:
    """Return the job's plan for no rows."""
    return Plan(asked.job, [], [], [], [], None, pd.RangeIndex(0).to_numpy(dtype="int64"), asked.selection.names)


def plan_open(asked: Asked, index: Index, runs: Sequence[tuple[str, int, int]], *, inputs: set[str]) -> Plan:
    """Return a plan of runs (key, first row, rows) that were sent before; `inputs` names those to be read again."""
    wanted = {row: key for key, row, _ in runs if key in inputs}
    sent = _read_inputs(asked, index, wanted) if wanted else {}
    return replace(
        no_rows(asked),
        keys=[key for key, _, _ in runs],
        inputs=[sent.get(row, b"") for _, row, _ in runs],
        positions=[row for _, row, _ in runs],
        labels=[str(row) for _, row, _ in runs],
        metadata=None,
        row_runs=pd.RangeIndex(len(runs)).to_numpy(dtype="int64"),
    )


def _read_inputs(asked: Asked, index: Index, wanted: Mapping[int, str]) -> dict[int, bytes]:
    """Return what rows send, by their number."""
    found: dict[int, bytes] = {}
    for start, batch in asked.source.batches(asked.columns):
        here = {row: wanted[row] for row in sorted(wanted) if start <= row < start + batch.num_rows}
        if here:
            found |= dict(zip(here, _plan_again(asked, index, batch, start, here).inputs, strict=True))
        if start + batch.num_rows > max(wanted):
            break
    return found


def check_same(asked: Asked, index: Index, batch: pa.RecordBatch, start: int, known: Mapping[int, str | None]) -> None:
    """Raise SourceError where a row of a batch does not send what it sent when the source was first read.

    A file may change without a change of its size and time; an answer must not land beside another row.
    """
    if known:
        df = frame_of(take(batch.select(list(asked.columns)), [row - start for row in known]), 0)
        rendered = render_inputs(df, asked.selection)
        numbers = None if asked.call.dedupe else index.occurrences_of(known)
        keys = make_keys(rendered.canonical, asked.job.hash, dedupe=asked.call.dedupe, occurrences=numbers)
        if keys != list(known.values()):
            raise changed(asked)


def changed(asked: Asked) -> SourceError:
    """Return the error for a source whose rows are not what they were."""
    return SourceError(
        f"{asked.source.shown} changed while the job ran: its rows do not send what they sent when it began. Nothing "
        "was written to the target. Run the same call again: what is answered is kept, and only inputs that are new "
        "are paid.",
        path=asked.source.shown,
    )


def read_work(asked: Asked, agenda: Agenda, *, at_once: int) -> Iterator[tuple[Plan, list[Work]]]:
    """Read the source again and yield what is to be sent, in its order, so many runs at a time.

    Raises
    ------
    SourceError
        A row sends something else than when it was read first.
    """
    last = agenda.last_work()
    plans: list[Plan] = []
    works: list[Work] = []
    batches = asked.source.batches(asked.columns) if last >= 0 else iter(())
    for start, batch in batches:
        if start > last:
            break
        work = agenda.work_between(start, start + batch.num_rows)
        for at in range(0, len(work), at_once):
            part = work[at : at + at_once]
            if len(works) + len(part) > at_once and works:
                yield _join(plans), works
                plans, works = [], []
            plans.append(_plan_again(asked, agenda.index, batch, start, {each.row: each.key for each in part}))
            works += part
    if works:
        yield _join(plans), works


def _join(plans: Sequence[Plan]) -> Plan:
    if len(plans) == 1:
        return plans[0]
    keys = [key for plan in plans for key in plan.keys]
    return replace(
        plans[0],
        keys=keys,
        inputs=[sent for plan in plans for sent in plan.inputs],
        positions=[row for plan in plans for row in plan.positions],
        labels=[label for plan in plans for label in plan.labels],
        metadata=None if plans[0].metadata is None else [each for plan in plans for each in plan.metadata or ()],
        row_runs=pd.RangeIndex(len(keys)).to_numpy(dtype="int64"),
    )
