"""One job decided, as far as it can be without its rows: what is asked, what a row sends, where answers go."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from parallel_frames._columns import make_layout
from parallel_frames._files._frames import frame_of
from parallel_frames._files._types import check_existing, output_types, provenance_types
from parallel_frames._inputs import infer_input_schema, select_inputs
from parallel_frames._job._prepare import fill_in
from parallel_frames._job._lint import field_count_finding
from parallel_frames._job._plan import Inferred, make_job, make_options
from parallel_frames._job._attrs import made_columns
from parallel_frames._prices import price_of
from parallel_frames._schema import parse_schema
from parallel_frames.errors import InputError, UnknownColumnError

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import pandas as pd

    from parallel_frames._columns import Layout
    from parallel_frames._files._source import Source
    from parallel_frames._inputs import Selection
    from parallel_frames._job._options import Call
    from parallel_frames._model import Finding, Job, Schema
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
