"""Everything about one call that is decided before the network: what is asked of which rows, and where answers go."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from parallel_frames._columns import PANDAS_3, Layout, make_layout
from parallel_frames._inputs import infer_input_schema, select_inputs
from parallel_frames._job._choose import choose_rows
from parallel_frames._job._lint import field_count_finding, input_finding
from parallel_frames._job._plan import Inferred, make_job, make_options, make_plan
from parallel_frames._job._telling import made_columns
from parallel_frames._prices import Price, price_of
from parallel_frames._schema import parse_schema
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from parallel_frames._inputs import Selection
    from parallel_frames._job._call import Call
    from parallel_frames._model import Finding, Plan, Schema


@dataclass(frozen=True, slots=True)
class Decided:
    """One call, decided.

    Attributes
    ----------
    df : pandas.DataFrame
        The frame as it was given; what the caller does to it meanwhile moves no row.
    raw_schema : object
        The schema as it was given.
    """

    df: pd.DataFrame
    raw_schema: object
    schema: Schema
    call: Call
    layout: Layout
    plan: Plan
    price: Price
    input_finding: Finding | None = None

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What there is to say of the schema and the processor together."""
        found = [field_count_finding(self.schema, self.price), self.input_finding]
        return (*self.schema.findings, *(each for each in found if each is not None))


def decide(df: pd.DataFrame, schema: object, call: Call) -> Decided:
    """Return the call decided.

    Raises
    ------
    InputError
        Something about the frame, the schema or an option is wrong; the message names it.
    """
    if not isinstance(df, pd.DataFrame):
        raise InputError(f"expected a DataFrame first and then the schema, got a {type(df).__name__} first.")
    df = df.copy(deep=not PANDAS_3)
    parsed = parse_schema(schema)
    call = fill_in(call)
    layout = make_layout(df, parsed, prefix=call.prefix, status=call.status, if_exists=call.if_exists, basis=call.basis)
    chosen = choose_rows(df, call.where, layout=layout)
    exclude = made_columns(df, layout) if call.inputs is None else ()
    selection = select_inputs(df, call.inputs, exclude=exclude)
    job = make_job(
        parsed,
        input_schema=_input_schema(df, selection, call.input_schema),
        processor=call.processor,
        options=make_options(call.options),
    )
    plan = make_plan(df, job, selection=selection, chosen=chosen, dedupe=call.dedupe, metadata=call.metadata)
    return Decided(
        df,
        schema,
        parsed,
        call,
        layout,
        plan,
        price_of(call.processor),
        _input_finding(df, selection, call.input_schema),
    )


def fill_in(call: Call) -> Call:
    """Return the call with what it implies: to complete rows is to fill, and to fill asks where something lacks."""
    if isinstance(call.where, str) and call.if_exists == "error":
        return replace(call, if_exists="fill")
    if call.where is None and call.if_exists == "fill":
        return replace(call, where="missing")
    return call


def _input_finding(df: pd.DataFrame, selection: Selection, given: Any) -> Finding | None:
    """Return what there is to say where an input schema tells of other names, or another form, than are sent."""
    if given is None or (isinstance(given, str) and given == "infer"):
        return None
    may_be_any = selection.form == "cell" and infer_input_schema(df, selection) is None
    return None if may_be_any else input_finding(parse_schema(given), selection)


def _input_schema(df: pd.DataFrame, selection: Selection, given: Any) -> Any:
    if not (isinstance(given, str) and given == "infer"):
        return given
    wire = infer_input_schema(df, selection)
    return None if wire is None else Inferred(wire, selection.names)
