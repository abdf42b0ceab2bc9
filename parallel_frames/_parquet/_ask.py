"""One job decided, as far as it can be without its rows: what is asked, what a row sends, where answers go.

And a batch's rows as runs: the same keys as a frame's rows have, so that a frame's checkpoint serves a file and a
file's a frame.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa

from parallel_frames._choose import choose_rows
from parallel_frames._decide import fill_in
from parallel_frames._inputs import infer_input_schema, select_inputs
from parallel_frames._lint import field_count_finding
from parallel_frames._merge import make_layout
from parallel_frames._model import Plan
from parallel_frames._parquet._frames import frame_of, take
from parallel_frames._parquet._types import at_risk, check_existing, check_values, output_types, provenance_types
from parallel_frames._plan import Inferred, make_job, make_options, make_plan
from parallel_frames._prices import price_of
from parallel_frames._schema import parse_schema
from parallel_frames._telling import made_columns
from parallel_frames.errors import InputError, SourceError, UnknownColumnError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from parallel_frames._call import Call
    from parallel_frames._inputs import Selection
    from parallel_frames._merge import Layout
    from parallel_frames._model import Finding, Job, Schema
    from parallel_frames._parquet._agenda import Agenda, Work
    from parallel_frames._parquet._index import Index
    from parallel_frames._parquet._source import Source
    from parallel_frames._prices import Price

ATTRS: Final = b"PANDAS_ATTRS"
IN_MEMORY_ONLY: Final = {
    "on_row": "rows are not held in memory",
    "group_id": "name a checkpoint=, or collect the group into a frame",
    "dtype_backend": "a file's columns have Arrow types",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One job, decided.

    Attributes
    ----------
    stub : pandas.DataFrame
        The source's columns and attrs, and no rows.
    columns : tuple of str
        What has to be read to know a row's run.
    provenance : bool
        Whether each row is to tell which run answered it.
    """

    source: Source
    call: Call
    schema: Schema
    layout: Layout
    selection: Selection
    job: Job
    price: Price
    stub: pd.DataFrame
    columns: tuple[str, ...]
    provenance: bool = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What there is to say of the schema and the processor together."""
        count = field_count_finding(self.schema, self.price)
        return (*self.schema.findings, *([count] if count else []))


def ask(source: Source, schema: object, call: Call, *, provenance: bool = False) -> Asked:
    """Decide a job.

    Raises
    ------
    InputError
        The schema, a column or an option is wrong, or an option makes no sense for what is not in memory.
    """
    _refuse_in_memory_only(call)
    _refuse_unions(source)
    stub = frame_of(source.schema.empty_table(), 0)
    stub.attrs = _attrs_of(source.schema)
    parsed = parse_schema(schema)
    call = fill_in(call)
    layout = make_layout(
        stub, parsed, prefix=call.prefix, status=call.status, if_exists=call.if_exists, basis=call.basis
    )
    check_existing(source.schema, output_types(parsed, layout), shown=source.shown)
    hidden: list[Hashable] = []
    if call.inputs is None:
        hidden = [*made_columns(stub, layout), *index_columns(source.schema), *provenance_types(call.prefix)]
    selection = select_inputs(stub, call.inputs, exclude=hidden)
    input_schema = call.input_schema
    if isinstance(input_schema, str) and input_schema == "infer":
        wire = infer_input_schema(_first_rows(source, selection.labels), selection)
        input_schema = None if wire is None else Inferred(wire, selection.names)
    job = make_job(parsed, input_schema=input_schema, processor=call.processor, options=make_options(call.options))
    return Asked(
        source=source,
        call=call,
        schema=parsed,
        layout=layout,
        selection=selection,
        job=job,
        price=price_of(call.processor),
        stub=stub,
        columns=_columns_of(source, selection, call, layout),
        provenance=provenance,
    )


def _refuse_in_memory_only(call: Call) -> None:
    for name, reason in IN_MEMORY_ONLY.items():
        if getattr(call, name) != type(call).__dataclass_fields__[name].default:
            raise InputError(f"{name}= is for frames: {reason}.")
    if not call.dedupe:
        raise InputError("dedupe=False is for frames: in a file equal rows share one run.")
    if call.checkpoint is None:
        raise InputError("checkpoint=None is for frames: what is larger than memory needs a checkpoint.")
    if call.where is not None and not isinstance(call.where, str) and not callable(call.where):
        raise InputError("where= is 'missing', 'failed' or a function of a batch; a mask is for frames.")


def _refuse_unions(source: Source) -> None:
    for each in source.schema:
        if pa.types.is_union(each.type):
            raise InputError(
                f"{source.shown} has {each.name!r} as {each.type}, which neither pandas nor Parquet can hold. Nothing "
                "was sent. Leave the column out, or give it another type."
            )


def _columns_of(source: Source, selection: Selection, call: Call, layout: Layout) -> tuple[str, ...]:
    """Return the columns that decide a row's run, all of them where a function of the user's decides."""
    if callable(call.where):
        return tuple(source.schema.names)
    told: list[Hashable] = [*selection.labels]
    for name in (call.metadata or {}).values():
        if name not in source.schema.names:
            raise UnknownColumnError(name, source.schema.names, where="metadata")
        told.append(name)
    if call.where is not None:
        told += [label for label in layout.all if label in source.schema.names]
    return tuple(dict.fromkeys(map(str, told)))


def _first_rows(source: Source, labels: Sequence[Hashable]) -> pd.DataFrame:
    for start, batch in source.batches(list(map(str, labels))):
        return frame_of(batch, start)
    return frame_of(source.schema.empty_table().select(list(map(str, labels))), 0)


def _attrs_of(schema: pa.Schema) -> dict[Any, Any]:
    """Return the attrs that pandas wrote beside the columns."""
    try:
        attrs = json.loads((schema.metadata or {}).get(ATTRS, b"{}"))
    except ValueError:
        return {}
    return attrs if isinstance(attrs, dict) else {}


def index_columns(schema: pa.Schema) -> list[str]:
    """Return the columns that pandas would read as the index: no part of what a row sends."""
    told = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    return [name for name in told if isinstance(name, str) and name in schema.names]


# Rows as runs


def _plan_rows(asked: Asked, df: pd.DataFrame, **options: Any) -> Plan:
    return make_plan(df, asked.job, selection=asked.selection, metadata=asked.call.metadata, **options)


def scan_rows(asked: Asked, index: Index) -> Plan | None:
    """Read the whole source once and put each row's key into the index; return the first batch with runs."""
    first: Plan | None = None
    schema = asked.source.schema
    types = output_types(asked.schema, asked.layout) | (provenance_types(asked.call.prefix) if asked.provenance else {})
    for start, batch in asked.source.batches([*asked.columns, *at_risk(schema, types)]):
        check_values(batch, types, start=start, shown=asked.source.shown)
        df = frame_of(batch.select(list(asked.columns)), start)
        plan = _plan_rows(asked, df, chosen=choose_rows(df, asked.call.where, layout=asked.layout))
        if first is None and plan.keys:
            first = replace(plan, positions=[start + at for at in plan.positions])
        index.add_rows(start, plan)
    index.find_distinct()
    return first


def no_rows(asked: Asked) -> Plan:
    """Return the job's plan for no rows."""
    return Plan(asked.job, [], [], [], [], None, pd.RangeIndex(0).to_numpy(dtype="int64"), asked.selection.names)


def plan_open(asked: Asked, runs: Sequence[tuple[str, int, int]], *, inputs: set[str]) -> Plan:
    """Return a plan of runs (key, first row, rows) that were sent before; `inputs` names those to be read again."""
    wanted = {row: key for key, row, _ in runs if key in inputs}
    sent = _read_inputs(asked, wanted) if wanted else {}
    return replace(
        no_rows(asked),
        keys=[key for key, _, _ in runs],
        inputs=[sent.get(row, b"") for _, row, _ in runs],
        positions=[row for _, row, _ in runs],
        labels=[str(row) for _, row, _ in runs],
        metadata=None,
        row_runs=pd.RangeIndex(len(runs)).to_numpy(dtype="int64"),
    )


def _read_inputs(asked: Asked, wanted: dict[int, str]) -> dict[int, bytes]:
    """Return what rows send, by their number."""
    found: dict[int, bytes] = {}
    for start, batch in asked.source.batches(asked.columns):
        here = [row for row in sorted(wanted) if start <= row < start + batch.num_rows]
        if here:
            df = frame_of(take(batch, [row - start for row in here]), 0)
            plan = _plan_rows(asked, df)
            if list(plan.keys) != [wanted[row] for row in here]:
                raise _changed(asked)
            found |= dict(zip(here, plan.inputs, strict=True))
        if start + batch.num_rows > max(wanted):
            break
    return found


def _changed(asked: Asked) -> SourceError:
    return SourceError(
        f"{asked.source.shown} changed while the job ran: its rows do not send what they sent when it began. "
        "Run the same call again: what is answered is kept, and only inputs that are new are paid.",
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
            df = frame_of(take(batch, [each.row - start for each in part]), 0)
            df.index = pd.Index([each.row for each in part])
            plans.append(_same_plan(asked, df, part))
            works += part
    if works:
        yield _join(plans), works


def _same_plan(asked: Asked, df: pd.DataFrame, work: Sequence[Work]) -> Plan:
    plan = _plan_rows(asked, df)
    if list(plan.keys) != [each.key for each in work]:
        raise _changed(asked)
    return replace(plan, positions=[each.row for each in work])


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
