"""What is decided about one call before its rows are read: what is asked, what a row sends, where answers go.

There is one such value and one function that makes it, whatever the rows are in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from parallel_frames._columns import Layout, Renewal, as_python, can_be_kept, dtype_of, make_layout
from parallel_frames._foreign import check_schema_argument
from parallel_frames._format import shorten
from parallel_frames._inputs import infer_input_schema, select_inputs
from parallel_frames._job._attrs import earlier_answers, earlier_outputs, made_columns, status_names
from parallel_frames._job._lint import (
    field_count_finding,
    input_finding,
    is_described,
    numbering_finding,
    options_finding,
)
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._options import check_words
from parallel_frames._job._plan import Inferred, make_job, make_options, with_processor
from parallel_frames._model import Finding
from parallel_frames._prices import Price, price_of
from parallel_frames._schema import parse_schema
from parallel_frames.errors import InputError, UnknownColumnError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from parallel_frames._inputs import Selection
    from parallel_frames._job._attrs import EarlierAnswers
    from parallel_frames._job._options import Call, DtypeBackend
    from parallel_frames._model import Column, Job, Schema


# What makes of a column of texts what the answers are, by the kind of these.
CONVERSIONS: Final[Mapping[str, str]] = {
    "date": "pd.to_datetime({})",
    "datetime": "pd.to_datetime({}, utc=True)",
    "integer": "pd.to_numeric({})",
    "number": "pd.to_numeric({})",
}


NO_NAME: Final = re.compile(r"(Unnamed: 0(\.\d+)*)?")  # what `pd.read_csv` calls such a column, and others leave it


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
    renewal : Renewal or None
        Where the frame has the answers of this very question, by its own account: which of them newer ones replace.
    earlier_groups : tuple of str
        The groups that these answers came from.
    unsent : tuple of label
        Columns that came since, and are not sent: they would make every row a new one.
    later : tuple of PreparedCall
        The same question to each processor that rows may be escalated to, in order.
    is_later : bool
        Whether it is one of these.
    engine : str or None
        What holds the rows, and makes their keys, where that is another library's engine.
    partitions : int
        Into how many parts it divides them.
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
    renewal: Renewal | None = None
    earlier_groups: tuple[str, ...] = ()
    unsent: tuple[Hashable, ...] = ()
    later: tuple[PreparedCall, ...] = ()
    is_later: bool = False
    engine: str | None = None
    partitions: int = 0

    @property
    def sends_by_default(self) -> tuple[Hashable, ...]:
        """The columns that a row sends, where the call did not name them."""
        return self.selection.labels if self.call.inputs is None else ()

    @property
    def expected(self) -> Sequence[Hashable]:
        """The columns without which what a row sends has a gap: those of a template, and earlier answers."""
        of = self.selection
        return of.labels if of.form == "template" else earlier_outputs(self.frame, of.labels)

    @property
    def on_processor(self) -> str:
        """The words that tell it from the calls to other processors, where there are any."""
        return f" on {self.call.processor}" if self.later or self.is_later else ""

    def to_target(self, target: str | None) -> PreparedCall:
        """Return the call for rows that go there."""
        return replace(self, target=target, later=tuple(each.to_target(target) for each in self.later))

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
    """
    check_schema_argument(schema)
    check_words("schema", schema)
    parsed = parse_schema(schema)
    call = apply_defaults(call)
    earlier = _find_earlier(frame, parsed, call)
    layout = layout_of(frame, parsed, call if earlier is None else replace(call, if_exists="overwrite"))
    _check_kept_cells(frame, parsed, layout, dtype_backend=call.dtype_backend)
    numbering = row_numbers(frame) if call.inputs is None else []
    exclude = [*made_columns(frame, layout), *hidden, *numbering] if call.inputs is None else []
    inputs = _inputs(call, earlier)
    selection = select_inputs(frame, inputs, exclude=exclude)
    rows = frame if sample is None or call.input_schema is None else sample(selection.labels)
    job = make_job(
        parsed,
        input_schema=_input_schema(rows, selection, call.input_schema),
        processor=call.processor,
        options=make_options(call.options),
    )
    if earlier is not None:
        _check_same_question(earlier, layout, job, selection, call)
        call = replace(call, if_exists="overwrite")
    price = price_of(call.processor, advanced_settings=job.options.advanced_settings)
    found = (
        field_count_finding(parsed, price),
        _input_finding(rows, selection, call.input_schema),
        options_finding(job.options),
        numbering_finding([label for label in numbering if label not in selection.labels]),
    )
    prepared = PreparedCall(
        frame=frame,
        call=call,
        schema=parsed,
        layout=layout,
        selection=selection,
        job=job,
        price=price,
        findings=(*parsed.findings, *(finding for finding in found if finding is not None)),
        renewal=None if earlier is None else _renewal(earlier, call),
        earlier_groups=earlier.group_ids if earlier is not None and earlier.host == _host_of(call) else (),
        unsent=() if inputs is call.inputs else _unsent(frame, selection, exclude),
    )
    if not call.escalate:
        return prepared
    later = tuple(_for_processor(prepared, processor, earlier) for processor in call.escalate)
    unknown = [Finding("warning", "processor", "escalate", each.price.unknown) for each in later if each.price.unknown]
    # What failed is escalated to the next processor, rather than asked again at the same one.
    first = replace(call, retry_failed=False)
    return replace(prepared, call=first, later=later, findings=(*prepared.findings, *unknown))


def row_numbers(frame: pd.DataFrame) -> list[Hashable]:
    """Return the first columns if they are an index that `to_csv` wrote without a name: by label and dtype alone.

    Which rows there are does not matter, so that a part of the frame sends what the whole frame does.
    """
    found = list(takewhile(lambda at: _is_index(frame.columns[at], frame.dtypes.iloc[at]), range(len(frame.columns))))
    return [frame.columns[at] for at in found] if len(found) < len(frame.columns) else []


def _is_index(label: Hashable, dtype: Any) -> bool:
    return isinstance(label, str) and NO_NAME.fullmatch(label) is not None and pd.api.types.is_integer_dtype(dtype)


def _for_processor(prepared: PreparedCall, processor: str, earlier: EarlierAnswers | None) -> PreparedCall:
    """Return the call for rows that are escalated to a processor: what was confirmed is not asked a second time."""
    call = prepared.call
    is_last = processor == call.escalate[-1]
    job = with_processor(prepared.job, processor)
    known = earlier is not None and earlier.host == _host_of(call)
    return replace(
        prepared,
        call=replace(
            call,
            processor=processor,
            escalate=None,
            on_mismatch="new",
            confirm=False,
            retry_failed=call.retry_failed and is_last,
        ),
        job=job,
        price=price_of(processor, advanced_settings=job.options.advanced_settings),
        findings=(),
        earlier_groups=earlier.escalated.get(job.hash, ()) if earlier is not None and known else (),
        is_later=True,
    )


def _find_earlier(frame: pd.DataFrame, schema: Schema, call: Call) -> EarlierAnswers | None:
    """Return what wrote the columns that this call would write, if the frame tells, and the call does not say more."""
    outputs = _outputs(frame, schema, call)
    if call.if_exists != "error" or not set(outputs) <= set(frame.columns):
        return None
    # No column that we make has numpy's own numbers: such a column was put in its place.
    is_replaced = any(isinstance(dtype, np.dtype) and dtype.kind in "iufb" for dtype in frame[[*outputs]].dtypes)
    return None if is_replaced else earlier_answers(frame, outputs)


def inputs_of(frame: pd.DataFrame, schema: object, call: Call) -> Any:
    """Return what a call sends, as far as it or the answers in its columns say so, whatever the processor."""
    check_schema_argument(schema)
    return _inputs(call, _find_earlier(frame, parse_schema(schema), call))


def _inputs(call: Call, earlier: EarlierAnswers | None) -> Any:
    if call.inputs is None and earlier is not None and earlier.sends:
        return list(earlier.sends)  # a column that came since would make every row a new one, and pay for it
    return call.inputs


def _unsent(frame: pd.DataFrame, selection: Selection, exclude: Sequence[Hashable]) -> tuple[Hashable, ...]:
    return tuple(label for label in frame.columns if label not in selection.labels and label not in exclude)


def _check_same_question(earlier: EarlierAnswers, layout: Layout, job: Job, selection: Selection, call: Call) -> None:
    """Refuse to replace the answers to another question, or the service's by a simulator's."""
    host = _host_of(call)
    asked = {job for job, groups in earlier.escalated.items() if groups}
    if earlier.job != job.hash:
        what = "answers to another question (another schema, processor or option)"
    elif earlier.inputs != selection.identity:
        what = "answers to this question for other inputs"
    elif not (earlier.simulated or earlier.host == host):
        what = f"answers of {earlier.host}, and this call goes to {host}"
    elif not asked <= {with_processor(job, processor).hash for processor in call.escalate or ()}:
        what = "answers of further processors too, and `escalate` does not name them"
    else:
        return
    hold = "which holds" if len(layout.outputs) == 1 else "which hold"
    raise InputError(
        f"The rows already have {', '.join(map(repr, layout.outputs))}, {hold} {what}. Nothing was sent. Pass "
        "`prefix=...` for new names, `if_exists='overwrite'` to replace them, `if_exists='fill'` to fill what is "
        "missing in them, or `if_exists='suffix'` for numbered names."
    )


def _renewal(earlier: EarlierAnswers, call: Call) -> Renewal:
    """Return which answers replace those that the frame has."""
    destination = choose_destination(call.client, for_sending=False)
    is_same = earlier.host == destination.client.host
    is_rehearsed = not is_same and destination.block is None  # a simulator's answers, and this call asks for real
    since = earlier.until if is_same else None
    return Renewal(call.refresh or is_rehearsed, call.older_than is not None, since, call.processor, earlier.is_whole)


def _host_of(call: Call) -> str:
    return choose_destination(call.client, for_sending=False).client.host


def _outputs(frame: pd.DataFrame, schema: Schema, call: Call) -> tuple[Hashable, ...]:
    return make_layout(frame, schema, prefix=call.prefix, status=False, if_exists="overwrite").outputs


def layout_of(frame: pd.DataFrame, schema: Schema, call: Call) -> Layout:
    """Return the labels of a call's new columns."""
    own, others = status_names(frame, _outputs(frame, schema, call))
    return make_layout(
        frame,
        schema,
        prefix=call.prefix,
        status=call.status,
        if_exists=call.if_exists,
        basis=call.basis,
        processor=bool(call.escalate),
        provenance=call.provenance,
        own_status=None if call.if_exists == "suffix" else own,
        other_statuses=others,
    )


def _check_kept_cells(frame: pd.DataFrame, schema: Schema, layout: Layout, *, dtype_backend: DtypeBackend) -> None:
    """Refuse to complete a column whose cells answers would turn into something else, or would be mixed with."""
    for column, label in zip(schema.columns, layout.outputs, strict=True):
        if label not in frame.columns or frame[label].isna().all():
            continue
        dtype = frame[label].dtype
        is_zoned = isinstance(dtype, pd.DatetimeTZDtype)
        is_time = is_zoned or dtype.kind == "M"
        is_naive = is_time and not is_zoned
        fits = {"any": True, "datetime": is_zoned, "date": is_naive and _are_days(frame[label])}
        if (is_time or isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype)) and not fits.get(column.kind):
            what = "times without a zone" if is_naive else str(dtype)
            raise InputError(
                f"{label!r} holds {what}, and the answers to it are of another type ({column.kind}"
                f"{', in UTC' * (column.kind == 'datetime')}): one column cannot hold both. Nothing was sent. Pass "
                "`if_exists='suffix'` or `prefix=...` for a column of its own, or convert it first "
                "(`.dt.tz_localize(...)`, or `.astype(str)`)."
            )
        if layout.fill and frame[label].isna().any():
            _check_mixed(frame[label], column, label, dtype_of(column, dtype_backend))


def _check_mixed(cells: pd.Series[Any], column: Column, label: Hashable, answers: Any) -> None:
    """Refuse to fill a column whose own values would be of another type than the answers next to them."""
    first = as_python(cells.dropna().iloc[0])
    is_text = isinstance(first, str)
    is_nested = isinstance(answers, np.dtype) and answers.hasobject  # lists and mappings
    if (column.kind == "any" or not is_text) if is_nested else can_be_kept(cells, answers):
        return
    of_cells = f"df[{label!r}]"
    convert = CONVERSIONS.get(column.kind) if is_text else None
    if column.kind == "string":
        convert = "{}.astype('string')"
    way = "" if convert is None else f": `{of_cells} = {convert.format(of_cells)}`"
    raise InputError(
        f"{label!r} is {cells.dtype} and holds {shorten(repr(first), 40)}, and the answers to it are "
        f"{'lists or mappings' if is_nested else answers}: one column cannot hold both. Nothing was sent. Pass "
        f"`if_exists='suffix'` or `prefix=...` for a column of its own, or convert it first{way}."
    )


def _are_days(cells: pd.Series[Any]) -> bool:
    """Return whether these times are days at midnight, as answers that are dates come."""
    return bool((cells == cells.dt.normalize()).eq(cells.notna()).all())


def columns_needed(prepared: PreparedCall) -> list[Hashable] | None:
    """Return the columns that decide a row's run; None for all of them, where a function of the user's decides."""
    call, columns = prepared.call, prepared.frame.columns
    if callable(call.where):
        return None
    labels = [*prepared.selection.labels]
    for label in (call.metadata or {}).values():
        if label not in columns:
            raise UnknownColumnError(label, columns, where="`metadata`")
        labels.append(label)
    if call.where is not None:
        labels += [label for label in prepared.layout.all if label in columns]
    return list(dict.fromkeys(labels))


def apply_defaults(call: Call) -> Call:
    """Return the call with what it implies: to complete rows is to fill, and to fill asks where something lacks."""
    if isinstance(call.where, str) and call.if_exists == "error":
        return replace(call, if_exists="fill")
    if call.where is None and call.if_exists == "fill":
        return replace(call, where="missing")
    return call


def _input_finding(rows: pd.DataFrame, selection: Selection, given: Any) -> Finding | None:
    """Return what there is to say where an input schema has other names, or another form, than what is sent."""
    if not is_described(given):
        return None
    may_be_any = selection.form == "cell" and infer_input_schema(rows, selection) is None
    return None if may_be_any else input_finding(parse_schema(given), selection)


def _input_schema(rows: pd.DataFrame, selection: Selection, given: Any) -> Any:
    if given is None or is_described(given):
        return given
    wire = infer_input_schema(rows, selection)
    return None if wire is None else Inferred(wire, selection.names)
