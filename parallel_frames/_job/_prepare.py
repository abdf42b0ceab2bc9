"""What is decided about one call before its rows are read: what is asked, what a row sends, where answers go.

There is one such value and one function that makes it, whatever the rows are in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from parallel_frames._columns import Layout, make_layout
from parallel_frames._inputs import infer_input_schema, select_inputs
from parallel_frames._job._attrs import made_columns
from parallel_frames._job._lint import field_count_finding, input_finding, options_finding
from parallel_frames._job._options import check_words
from parallel_frames._job._plan import Inferred, make_job, make_options
from parallel_frames._prices import Price, price_of
from parallel_frames._schema import parse_schema
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from parallel_frames._inputs import Selection
    from parallel_frames._job._options import Call
    from parallel_frames._model import Finding, Job, Schema


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCall:
    """One call, prepared.

    Attributes
    ----------
    frame : pandas.DataFrame
        The columns and attrs of the source; its rows too, where the source is a frame.
    findings : tuple of Finding
        What there is to say of the schema, the processor and the inputs together.
    target : str or None
        Where the rows go with their answers, if not into a frame.
    """

    frame: pd.DataFrame
    call: Call
    schema: Schema
    layout: Layout
    selection: Selection
    job: Job
    price: Price
    findings: tuple[Finding, ...]
    target: str | None = None

    @property
    def target_checkpoint(self) -> str | None:
        """Where a checkpoint next to the target is, if there is one."""
        return None if self.target is None else f"{self.target.rstrip('/')}.ckpt"


def prepare(
    frame: pd.DataFrame,
    schema: object,
    call: Call,
    *,
    sample: Callable[[Sequence[Hashable]], pd.DataFrame] | None = None,
    hidden: Sequence[Hashable] = (),
) -> PreparedCall:
    """Return the call prepared.

    Parameters
    ----------
    frame : pandas.DataFrame
        The columns and attrs of the source, whether or not with its rows.
    sample : callable, optional
        Returns some rows of these columns, where `frame` has none.
    hidden : sequence of labels
        Columns that are not sent unless ``inputs`` names them.

    Raises
    ------
    InputError
        Something about the columns, the schema or an option is wrong; the message names it.
    """
    check_words("schema", schema)
    parsed = parse_schema(schema)
    call = apply_defaults(call)
    layout = make_layout(
        frame, parsed, prefix=call.prefix, status=call.status, if_exists=call.if_exists, basis=call.basis
    )
    _check_kept_cells(frame, parsed, layout)
    provenance = provenance_labels(call.prefix)
    if call.provenance:
        _check_provenance(frame, layout, call, provenance)
    exclude = [*made_columns(frame, layout), *provenance, *hidden] if call.inputs is None else []
    selection = select_inputs(frame, call.inputs, exclude=exclude)
    rows = frame if sample is None or call.input_schema is None else sample(selection.labels)
    job = make_job(
        parsed,
        input_schema=_input_schema(rows, selection, call.input_schema),
        processor=call.processor,
        options=make_options(call.options),
    )
    price = price_of(call.processor, advanced_settings=job.options.advanced_settings)
    found = (
        field_count_finding(parsed, price),
        _input_finding(rows, selection, call.input_schema),
        options_finding(job.options),
    )
    return PreparedCall(
        frame=frame,
        call=call,
        schema=parsed,
        layout=layout,
        selection=selection,
        job=job,
        price=price,
        findings=(*parsed.findings, *(finding for finding in found if finding is not None)),
    )


def _check_kept_cells(frame: pd.DataFrame, schema: Schema, layout: Layout) -> None:
    """Refuse to complete a column whose cells answers would turn into something else."""
    for column, label in zip(schema.columns, layout.outputs, strict=True):
        if label not in frame.columns or frame[label].isna().all():
            continue
        dtype = frame[label].dtype
        is_zoned = isinstance(dtype, pd.DatetimeTZDtype)
        is_time = is_zoned or dtype.kind == "M"
        fits = column.kind == "any" or (column.kind == "datetime" and is_zoned)
        if (is_time or isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype)) and not fits:
            what = "times without a zone" if is_time and not is_zoned else str(dtype)
            raise InputError(
                f"{label!r} holds {what}, and the answers to it are of another type ({column.kind}"
                f"{', in UTC' * (column.kind == 'datetime')}): one column cannot hold both. Nothing was sent. Pass "
                "`if_exists='suffix'` or `prefix=...` for a column of its own, or convert it first "
                "(`.dt.tz_localize(...)`, or `.astype(str)`)."
            )


def provenance_labels(prefix: str) -> list[str]:
    """Return the columns that say which run of which group answered a row, and when."""
    return [f"{prefix}parallel_{name}" for name in ("run_id", "group_id", "answered_at")]


def _check_provenance(frame: pd.DataFrame, layout: Layout, call: Call, labels: Sequence[str]) -> None:
    if twice := [label for label in labels if label in layout.all]:
        raise InputError(
            f"`provenance=True` adds {twice[0]!r}, and the schema asks for a field of that name: one column cannot "
            "hold both. Nothing was sent. Rename the field, or leave `provenance` out."
        )
    taken = [label for label in labels if label in frame.columns]
    if taken and call.if_exists not in ("fill", "overwrite"):
        raise InputError(
            f"The source already has {', '.join(map(repr, taken))}. Nothing was sent. Pass `prefix=...` for new "
            "names, `if_exists='overwrite'` to replace them, or `if_exists='fill'`."
        )


def apply_defaults(call: Call) -> Call:
    """Return the call with what it implies: to complete rows is to fill, and to fill asks where something lacks."""
    if isinstance(call.where, str) and call.if_exists == "error":
        return replace(call, if_exists="fill")
    if call.where is None and call.if_exists == "fill":
        return replace(call, where="missing")
    return call


def _input_finding(rows: pd.DataFrame, selection: Selection, given: Any) -> Finding | None:
    """Return what there is to say where an input schema has other names, or another form, than what is sent."""
    if given is None or (isinstance(given, str) and given == "infer"):
        return None
    may_be_any = selection.form == "cell" and infer_input_schema(rows, selection) is None
    return None if may_be_any else input_finding(parse_schema(given), selection)


def _input_schema(rows: pd.DataFrame, selection: Selection, given: Any) -> Any:
    if not (isinstance(given, str) and given == "infer"):
        return given
    wire = infer_input_schema(rows, selection)
    return None if wire is None else Inferred(wire, selection.names)
