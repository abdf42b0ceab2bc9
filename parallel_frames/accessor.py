"""`df.parallel` and the same as functions: a skin over one enrichment, usable without the accessor.

The full list of options, with defaults and meanings, stands once, at `enrich`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from dataclasses import fields
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

import pandas as pd

from parallel_frames._job._defaults import make_call
from parallel_frames._job._engines import refuse_task
from parallel_frames._job._options import Call, EnrichOptions, FrameOptions, check_option
from parallel_frames._tracebacks import decorate_methods
from parallel_frames.errors import InputError, UnknownOptionError, user_facing

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from typing import Unpack

    from parallel_frames._columns import Confidence
    from parallel_frames._distributed import EngineFrame
    from parallel_frames._job._comparison import Comparison
    from parallel_frames._job._handle import Enrichment
    from parallel_frames._job._options import ArrowStream, Frame, Processor, SchemaLike
    from parallel_frames._job._preview import EnrichmentPlan
    from parallel_frames._job._sample import EnrichmentPreview
    from parallel_frames._ui import Report

logger = logging.getLogger("parallel_frames")

F = TypeVar("F", bound="Callable[..., Any]")
FrameT = TypeVar("FrameT", bound="Frame")
# What knows the frames of another library's engine, by the library; it is imported when such a frame is met.
ENGINES: Final[Mapping[str, str]] = {
    "dask": "parallel_frames.dask",
    "polars": "parallel_frames.polars",  # its lazy frames
    "pyspark": "parallel_frames._spark",
    "ray": "parallel_frames._ray",
}
SET_BY_PREVIEW: Final = frozenset({"limit", "basis", "on_error", "dtype_backend"})
COMPARED_INPUTS: Final = 20
NOT_COMPARED: Final[Mapping[str, str]] = {  # and why
    "processor": "`processors=['lite', 'base']` names those that are compared.",
    "escalate": "it asks every processor about each row.",
    "group_id": "the runs of a group have one processor. What a checkpoint holds is not paid for again.",
    "on_row": "a row does not say which processor answered it. `.cells` of what it returns does.",
    **dict.fromkeys(
        ("basis", "provenance", "dtype_backend", "on_error"), "it returns a comparison, and no frame with new columns."
    ),
}


def _shows(names: frozenset[str], **defaults: Any) -> Callable[[F], F]:
    """Show these options with their defaults where a person looks: ``enrich?`` and ``help(enrich)``.

    `defaults` are those that are others than an enrichment has.
    """

    def show(function: F) -> F:
        signature = inspect.signature(function)
        kept = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        options = [
            inspect.Parameter(
                f.name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(f.name, f.default), annotation=f.type
            )
            for f in fields(Call)
            if f.name in names
        ]
        shown: Any = function
        shown.__signature__ = signature.replace(parameters=[*kept, *options])
        return function

    return show


def _engine_frame(df: Any) -> EngineFrame | None:
    """Return a frame that another library's engine holds, for the functions of `_distributed`; None for any other."""
    module = ENGINES.get(type(df).__module__.partition(".")[0])
    frame: EngineFrame | None = None if module is None else import_module(module).wrap_frame(df)
    return frame


@user_facing
@_shows(EnrichOptions.__optional_keys__)
def enrich(df: FrameT, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> FrameT:
    """Ask the web about every row and return the frame with the answers as typed columns.

    Rows become runs of Parallel's Task Group API; equal rows share one run. What was paid for is kept in a
    checkpoint, so the same call again resumes where it stopped and pays for nothing twice.

    Parameters
    ----------
    df : pandas.DataFrame, or another library's frame
        Any index, any column labels. It is not changed. Other frames in memory speak Arrow (``__arrow_c_stream__``):
        those of polars, pyarrow, DuckDB and narwhals, and others. A frame of Dask or Spark, a dataset of Ray or a lazy
        frame of polars gives a lazy one.
    schema : model class, mapping, list of str, or str
        What to find out: a pydantic model, a JSON Schema, ``{column: description}``, ``{column: type}``,
        ``{column: (type, description)}``, a list of descriptions, one description (a text), or ``"auto"``.
    processor : str, default "base"
        The service's processor, which decides price and depth; ``"lite"`` to ``"ultra8x"``.
    escalate : list of str, optional
        Further processors, such as ``["core", "pro"]``. Each row whose answer failed, is invalid, or has a null or a
        field of low confidence is asked again at the next one. It takes the best of its answers, and
        ``<prefix>parallel_processor`` names the processor that gave it. Each processor's answers are kept apart, so
        nothing is paid twice. Default: none.
    inputs : list of labels, mapping, or str, optional
        What a row sends: columns; ``{name the service sees: column}``; one column's name for its bare cell; or a
        template ``"Research {company} ({website})"``. Default: every column that no enrichment made.
    input_schema : as schema, or "infer", optional
        Describes the input to the service; ``"infer"`` uses the names and dtypes of the columns that are sent.
    where : "missing", "failed", mask or callable, optional
        Which rows to ask about: those with a null or absent output column, those whose status is failed or
        cancelled, one boolean per row by position, or a function of the frame that returns a mask. The other rows
        keep what they have. The two words imply ``if_exists="fill"``. Default: all rows.
    limit : int, optional
        The number of distinct inputs to ask about, the first ones, as a trial. The whole frame is returned; the full
        call does not pay for them again. Default: no limit.
    checkpoint : path, "auto" or None, default "auto"
        The directory in which answers are kept. ``"auto"``: one per job in your cache directory; None or False: answers
        are kept in this process only.
    on_mismatch : {"error", "new"}, default "error"
        What to do if the named checkpoint holds only other jobs, or hardly any of these rows.
    refresh : bool, default False
        Ask about every row again, even if it has an answer. A refresh that was killed resumes where it stopped. Without
        a checkpoint no answers are kept, and every call asks about every row.
    older_than : str, float or timedelta, optional
        Ask again about rows whose answer is older: ``"30d"``, ``"12h"``, ``"2w"``, or seconds. If the repeated run
        failed, its end counts as the time of the answer. Default: answers do not age.
    retry_failed : bool, default True
        Ask again about rows whose newest run failed in an earlier call.
    dedupe : bool, default True
        Let equal rows share one run.
    basis : {"none", "columns", "struct"} or bool, default "none"
        The evidence behind each answer. ``"columns"`` or True adds ``<field>_confidence`` (ordered category, low <
        medium < high), ``<field>_reasoning`` and ``<field>_citations`` (lists of dicts) next to each field;
        ``"struct"`` adds one column ``<prefix>parallel_basis``. Evidence columns that the frame already has are updated
        in any case.
    provenance : bool, default False
        Add the run that answered each row: ``<prefix>parallel_run_id``, ``parallel_group_id``, ``parallel_answered_at``
        (UTC), ``parallel_processor`` and ``parallel_cost`` (Float64): dollars, 0.0 where nothing is billed. Of equal
        rows, which share a run, the first one has its price, so that the column adds up. They are named as the status
        columns are: ``ceo_run_id`` next to ``ceo_status``.
    status : bool or str, default True
        Add the columns ``<prefix>parallel_status`` and ``<prefix>parallel_error``. If those belong to another question
        about this frame, the first new column gives the names: ``ceo_status`` and ``ceo_error``. A text sets the
        names: ``status="ceo"`` does the same.
    prefix : str, default ""
        Put before the name of every new column.
    if_exists : {"error", "fill", "overwrite", "suffix"}, default "error"
        What to do when a column exists already. ``"error"``: refuse, unless this very question made it, by the
        frame's attrs; then the call resumes, and values that are no answers, such as your edits, are kept.
        ``"fill"``: only nulls get a value, and only rows with a null are asked; ``"overwrite"``: a good answer
        replaces what is there, an invalid or failed one does not; ``"suffix"``: new columns with a number.
    dtype_backend : {"numpy_nullable", "pyarrow"}, default "numpy_nullable"
        The family of dtypes, for pandas only; the dtype of a column follows from the schema alone.
    on_error : {"keep", "raise"}, default "keep"
        Whether failed rows raise an error once every outcome is stored. The exception then has the frame.
    max_cost : float, optional
        US dollars that the runs of these rows may cost, those of earlier calls included. More is refused before
        anything is sent, and so is a processor whose price is not known. Default: no limit.
    confirm : bool, optional
        Ask before anything is paid, at a terminal or in a notebook; an error where there is no one to ask. Default: in
        a notebook and at Python's prompt, for more than 10 dollars, where `max_cost` sets no limit; a notebook that is
        executed without input, as by papermill, sends without asking.
    max_in_flight : int, optional
        The number of runs that may be under way at the same time, which limits the credit that they reserve. Default:
        no limit.
    timeout : float, str or timedelta, optional
        How long this call may take, in seconds or as ``"10m"``; rows not done by then are ``pending``, and a later call
        resumes. Default: no limit.
    group_id : str or list of str, optional
        Continue these groups: their answers to these rows, from the same processor, are adopted, and only the rest is
        sent.
    metadata : mapping of str to label, optional
        Further metadata of each run: name (at most 16 characters) → column.
    options : mapping, optional
        Further settings of every run: ``source_policy``, ``advanced_settings``, ``mcp_servers``,
        ``previous_interaction_id``, ``memory_scope_key``, ``enable_events``, ``webhook``, and ``beta_headers`` (a
        list of names).
    progress : bool, optional
        True: show a line before the first run, and a bar. False: write to the log only. Default: the line, and the
        bar in a terminal or a notebook.
    on_row : callable, optional
        Called with a `Row` for every row that has an outcome, soon after the outcome arrived; first for the rows that
        were answered before. An error in the function is logged, and nothing is lost; KeyboardInterrupt and SystemExit
        stop the call as Ctrl-C does, and the same call resumes. Default: none.
    client : Client, optional
        Default: one made from ``PARALLEL_API_KEY`` and ``PARALLEL_BASE_URL``.

    Returns
    -------
    pandas.DataFrame, or a frame of the library of `df`
        The rows, order, index, columns and dtypes of `df`, and the new columns. In a row that failed, these hold
        missing values, its status and the service's message. ``out.attrs["parallel"]`` has the groups and the
        checkpoint. For polars, DuckDB (a relation of the same connection) and narwhals the result is of the type of
        `df`, for others a ``pyarrow.Table``; the new columns have the types that `enrich_parquet` gives them.

    Raises
    ------
    InputError
        The schema, a column, a cell or an option is wrong. Nothing was sent.
    ConfigurationError
        There is no key, or the address cannot be used.
    ServiceError
        The service refuses the key, the processor, the credit or the request, or cannot be reached. The answers so far
        are safe, and the message names their place.
    CheckpointError
        The checkpoint is in use, or belongs to another job, or cannot be written.
    UndecidedError
        It is not known whether a batch was created. It is not sent again; run the same call later.
    CostError, DeclinedError
        It would cost more than `max_cost`, or `confirm` was answered with no.
    EnrichmentError
        With ``on_error="raise"``, when rows failed.

    Notes
    -----
    Each distinct row is one run, which costs from half a cent to 2.40 dollars, by processor. Before the first run, one
    line shows the number of runs, their price, what is sent, and the checkpoint. Ctrl-C stops, and loses nothing.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
    >>> with pf.offline(answers={"Acme": {"founded": 1949}, "Globex": {"founded": 1989}}, latency=0):
    ...     out = pf.enrich(df, {"founded": int})
    >>> out[["company", "founded", "parallel_status"]]
      company  founded parallel_status
    0    Acme     1949       completed
    1  Globex     1989       completed
    """
    enrichment = prepare_enrichment(df, schema, options)
    frame: FrameT = enrichment._wait_for(enrichment._run)
    return frame


@user_facing
@_shows(EnrichOptions.__optional_keys__)
async def aenrich(df: FrameT, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> FrameT:
    """Do the same as `enrich` without blocking the event loop; the options are the same.

    Examples
    --------
    >>> import asyncio, pandas as pd, parallel_frames as pf
    >>> async def main(df):
    ...     return await pf.aenrich(df, {"founded": int})
    >>> with pf.offline(answers=lambda sent: {"founded": 1949}, latency=0):
    ...     out = asyncio.run(main(pd.DataFrame({"company": ["Acme"]})))
    >>> out["founded"].tolist()
    [1949]
    """
    from parallel_frames._job._handle import explaining_ctrl_c

    prepare = partial(prepare_enrichment, df, schema, options)
    if _engine_frame(df) is None:
        enrichment = prepare()
    else:
        refuse_task()  # here, where the caller's thread is known
        enrichment = await asyncio.to_thread(prepare)
    try:
        with explaining_ctrl_c(enrichment._runner):
            frame: FrameT = await enrichment._run()
    except asyncio.CancelledError:
        if (stopped := enrichment._runner.stopped) is not None:
            logger.warning("Stopped: %s", stopped)  # asyncio.run makes a KeyboardInterrupt of its own
        raise
    return frame


def prepare_enrichment(df: Frame, schema: object, options: Any, *, target: str | None = None) -> Enrichment:
    """Return an enrichment that has not begun, its options checked; `target` is the file that the frame will go to.

    Where an engine holds the frame, it has made the keys by then.
    """
    if isinstance(df, pd.DataFrame):
        from parallel_frames._job._handle import frame_enrichment

        return frame_enrichment(df, schema, make_call(options), target=target)
    if (frame := _engine_frame(df)) is not None:
        from parallel_frames._distributed import engine_enrichment

        return engine_enrichment(frame, schema, options)
    from parallel_frames._arrow_frames import arrow_enrichment

    return arrow_enrichment(df, schema, options)


@user_facing
@_shows(FrameOptions.__optional_keys__)
def collect(
    df: FrameT,
    group_id: str | Sequence[str],
    schema: SchemaLike,
    *,
    processor: str | None = None,
    **options: Unpack[FrameOptions],
) -> FrameT:
    """Join the answers of a group to their rows. It sends nothing and costs nothing.

    Parameters
    ----------
    df : pandas.DataFrame, or another library's frame
        The rows.
    group_id : str or list of str
        The group or groups, which this process, another process or another program created.
    schema : as for `enrich`
        The form of the answers.
    processor : str, optional
        The processor of its runs. Default: the one in the metadata of the group.
    **options
        ``inputs``, ``input_schema``, ``where``, ``dedupe``, ``basis``, ``status``, ``prefix``, ``if_exists``,
        ``dtype_backend``, ``options`` and ``client``, as for `enrich`.

    Returns
    -------
    pandas.DataFrame
        As `enrich` returns it; a row that no run answers is ``not_sent``, one whose run has not finished ``pending``.
        Runs of this library are matched to rows by their key. Runs of another program are matched by their input, if it
        equals what the row would send, or otherwise by the row number in their metadata (``"row"``), if nothing
        contradicts it. ``out.attrs["parallel"]["enrichments"][-1]["matched"]`` and the log count the runs by each way.

    Raises
    ------
    RejectedError
        The service does not know the group.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme"]})
    >>> with pf.offline(answers={"Acme": {"founded": 1949}}, latency=0):
    ...     out = df.parallel.enrich({"founded": int}, checkpoint=None)
    ...     again = df.parallel.collect(pf.last().group_ids[-1], {"founded": int})
    >>> again["founded"].tolist()
    [1949]
    """
    from parallel_frames._foreign import refuse_frame
    from parallel_frames._job._collect import collect_groups
    from parallel_frames._runtime import run_from_anywhere

    for name in options:
        check_option(name, FrameOptions.__optional_keys__ | {"processor"}, of="collect(), which only reads a group,")
    if _engine_frame(df) is not None:
        refuse_frame(df, schema)

    def prepare(chosen: Mapping[str, Any]) -> Enrichment:
        return prepare_enrichment(df, schema, {**options, **chosen})

    call = make_call(options)
    frame: FrameT = run_from_anywhere(lambda: collect_groups(prepare, group_id, call, processor=processor))
    return frame


@user_facing
@_shows(EnrichOptions.__optional_keys__)
def plan(df: Frame, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> EnrichmentPlan:
    """Return what `enrich` would send and cost with these arguments. It sends nothing, and needs no key.

    Parameters
    ----------
    df, schema, **options
        As for `enrich`.

    Returns
    -------
    EnrichmentPlan
        Rows, distinct runs, duplicates saved, answers in the checkpoint, price, time, findings about the schema, and
        the first request as it would be sent. A notebook shows it as a table.

    Raises
    ------
    InputError, CheckpointError
        As `enrich` would.

    Notes
    -----
    The runs and their price are exact; the time is an estimate. With ``group_id=`` it reads those groups, which is free
    but needs a key.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex", "Acme"]})
    >>> plan = df.parallel.plan({"founded": int}, processor="core", checkpoint=None)
    >>> plan.to_send, plan.duplicates, plan.cost
    (2, 1, 0.05)
    """
    from parallel_frames._job._preview import plan_call

    if (frame := _engine_frame(df)) is not None:
        from parallel_frames._distributed import plan_frame

        return plan_frame(frame, schema, options)
    return plan_call(prepare_enrichment(df, schema, options)._runner.source)


@user_facing
@_shows(EnrichOptions.__optional_keys__ - SET_BY_PREVIEW)
def preview(df: Frame, schema: SchemaLike, *, n: int = 3, **options: Unpack[EnrichOptions]) -> EnrichmentPreview:
    """Send a few rows, and show their answers and what all rows would cost. `enrich` does not pay for these again.

    Parameters
    ----------
    df, schema, **options
        As for `enrich`, with a checkpoint: it keeps the answers for the call for all rows.
    n : int, default 3
        The number of distinct inputs to send, the first ones; 1 or more.

    Returns
    -------
    EnrichmentPreview
        A column for each of these rows, with its input and each answer, confidence and source below one another; and
        the plan for all rows. A notebook shows both.

    Raises
    ------
    ParallelFramesError
        As `enrich`.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex", "Initech"]}, index=["a", "b", "c"])
    >>> with pf.offline(lambda sent: {"founded": 1949}, latency=0) as sim:
    ...     some = df.parallel.preview({"founded": int}, n=2)
    ...     out = df.parallel.enrich({"founded": int})
    >>> some.frame.loc[["company", "founded"]]
                a       b
    company  Acme  Globex
    founded  1949    1949
    >>> some.cost, sim.counts.runs
    (0.01, 3)
    """
    from parallel_frames._job._sample import prepare_sample, read_sample

    for name in options:
        if name in SET_BY_PREVIEW:
            raise UnknownOptionError(name, f"A preview has no option {name!r}: `n=3` is how many inputs are asked.")
    call = make_call(options)
    if not isinstance(df, pd.DataFrame):
        from parallel_frames._arrow_frames import as_pandas

        df, call = as_pandas(df, schema, call)
    enrichment = prepare_sample(df, schema, call, n=n)
    out: pd.DataFrame = enrichment._wait_for(enrichment._run)
    return read_sample(enrichment, out, df, schema, call)


@user_facing
@_shows(EnrichOptions.__optional_keys__ - NOT_COMPARED.keys(), limit=COMPARED_INPUTS)
def compare(
    df: Frame,
    schema: SchemaLike,
    *,
    processors: Sequence[Processor | str] = ("lite", "base", "core"),
    truth: Frame | Mapping[str, Hashable] | None = None,
    tolerance: float | Mapping[str, float] = 0.01,
    **options: Unpack[EnrichOptions],
) -> Comparison:
    """Ask several processors about the same few rows, to find the one that is good enough before you pay for all rows.

    The answers are kept: neither `enrich` with one of these processors nor another comparison pays for them again.

    Parameters
    ----------
    df, schema, **options
        As for `enrich`, with a checkpoint. ``limit`` is the number of distinct inputs, by default 20; they are those
        that ``enrich(limit=...)`` would send. ``max_cost``, ``confirm`` and ``max_in_flight`` apply to all processors
        together, with at least one run in flight for each.
    processors : list of str, default ("lite", "base", "core")
        The processors to compare; the most expensive one is the reference.
    truth : DataFrame or mapping of str to label, optional
        Known values: a frame with the same index labels, or one of another library with the same rows, whose columns
        have the names of fields; or the column of `df` for each field, which must not be sent. If the schema allows
        null, a missing cell means that null is right; otherwise, that the value is not known.
    tolerance : float or mapping of str to float, default 0.01
        Numbers count as the same if they differ by at most this share of the larger one. Whole numbers must be equal,
        unless a mapping names their field.

    Returns
    -------
    Comparison
        For each field and processor: the share of right answers, also by confidence, or without `truth` the share that
        agrees with the most expensive processor; rows without an answer, time, and dollars for a row and for a right
        answer. It prints as one table; ``.frame``, ``.cells`` and ``.differences`` are frames.

    Raises
    ------
    ParallelFramesError
        As `enrich`. The first error of a processor stops the others too; answers so far are kept.

    Notes
    -----
    The price of all processors together is shown, checked and confirmed before anything is sent. Texts are compared
    without case, spaces, accents, Unicode form and punctuation (except in numbers), addresses without their scheme,
    dates as dates, and lists as sets. Equal inputs share a run, which is paid for once, and each of their rows counts.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
    >>> known = pd.DataFrame({"founded": [1949, 1989]})
    >>> def answer(sent, processor):
    ...     return {"founded": 1989 if processor == "lite" else {"Acme": 1949, "Globex": 1989}[sent["company"]]}
    >>> with pf.offline(answer, latency=0) as sim:
    ...     comparison = df.parallel.compare({"founded": int}, processors=["lite", "base"], truth=known)
    ...     out = df.parallel.enrich({"founded": int}, processor="base")
    >>> comparison.frame[["field", "processor", "known", "right", "cost_per_right"]]
         field processor  known  right  cost_per_right
    0  founded      lite      2      1            0.01
    1  founded      base      2      2            0.01
    >>> sim.counts.runs
    4
    """
    from parallel_frames._foreign import is_arrow_frame
    from parallel_frames._job._compare import compare_processors

    for name in options:
        if name in NOT_COMPARED:
            raise UnknownOptionError(name, f"A comparison has no option {name!r}: {NOT_COMPARED[name]}")
    call = make_call({"limit": COMPARED_INPUTS, **options})
    if not isinstance(df, pd.DataFrame):
        from parallel_frames._arrow_frames import as_pandas

        df, call = as_pandas(df, schema, call, to_enrich=False)
    if is_arrow_frame(truth):
        from parallel_frames._arrow_frames import as_pandas

        truth, _ = as_pandas(truth, schema, call, to_enrich=False)
    return compare_processors(df, schema, call, processors=processors, truth=truth, tolerance=tolerance)


@user_facing
@_shows(EnrichOptions.__optional_keys__)
def submit(df: Frame, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> Enrichment:
    """Send what `enrich` would send, and return as soon as the service has all of it.

    Parameters
    ----------
    df, schema, **options
        As for `enrich`.

    Returns
    -------
    Enrichment
        The handle. Iterate over it for rows as they arrive; it has ``.status()``, ``.partial()``, and ``.result()`` for
        the frame. In another process, at a later time, the same call with the same checkpoint returns such a handle and
        sends nothing twice; without a checkpoint, use ``group_id=`` or `collect`.

    Raises
    ------
    ParallelFramesError
        As `enrich`.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
    >>> with pf.offline(answers=lambda sent: {"founded": 1949}, latency=0):
    ...     run = df.parallel.submit({"founded": int})
    ...     out = run.result()
    >>> out["founded"].tolist()
    [1949, 1949]
    """
    enrichment = prepare_enrichment(df, schema, options)
    return enrichment._wait_for(enrichment._send)


@user_facing
def report(df: pd.DataFrame | ArrowStream) -> Report:
    """Return a report on the enrichments of a frame: rows by status, failures by cause, confidence.

    Parameters
    ----------
    df : pandas.DataFrame, or a frame of another library
        A frame in memory that was enriched, at any time and on any machine.

    Returns
    -------
    Report
        A notebook shows it; ``report.to_html(path)`` writes a page for others. The report of a handle,
        ``pf.last().report()``, has cost and times too.

    Raises
    ------
    InputError
        The frame was not enriched.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex"]})
    >>> with pf.offline(answers=lambda sent: {"founded": 1949}, latency=0):
    ...     out = df.parallel.enrich({"founded": int})
    >>> out.parallel.report().counts
    {'completed': 2}
    """
    from parallel_frames._files._prepare import pandas_of
    from parallel_frames._foreign import is_arrow_frame, table_of
    from parallel_frames._ui import report_of_frame

    frame: Any = pandas_of(table_of(df)) if is_arrow_frame(df) else df
    return report_of_frame(frame)


class FrameMethods(Generic[FrameT]):
    """What ``df.parallel`` is of any frame in memory: the functions, with the frame in their first place."""

    __slots__ = ("_df",)

    def __init__(self, df: FrameT) -> None:
        self._df = df

    def __repr__(self) -> str:
        kinds = reversed(type(self).__mro__)
        names = (f".{name}()" for kind in kinds for name in vars(kind) if not name.startswith("_"))
        return f"df.parallel: {', '.join(names)}"

    def enrich(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> FrameT:
        """See `parallel_frames.enrich`."""
        return enrich(self._df, schema, **options)

    async def aenrich(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> FrameT:
        """See `parallel_frames.aenrich`."""
        return await aenrich(self._df, schema, **options)

    def plan(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> EnrichmentPlan:
        """See `parallel_frames.plan`."""
        return plan(self._df, schema, **options)

    def preview(self, schema: SchemaLike, *, n: int = 3, **options: Unpack[EnrichOptions]) -> EnrichmentPreview:
        """See `parallel_frames.preview`."""
        return preview(self._df, schema, n=n, **options)

    def compare(
        self,
        schema: SchemaLike,
        *,
        processors: Sequence[Processor | str] = ("lite", "base", "core"),
        truth: Frame | Mapping[str, Hashable] | None = None,
        tolerance: float | Mapping[str, float] = 0.01,
        **options: Unpack[EnrichOptions],
    ) -> Comparison:
        """See `parallel_frames.compare`."""
        return compare(self._df, schema, processors=processors, truth=truth, tolerance=tolerance, **options)

    def submit(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> Enrichment:
        """See `parallel_frames.submit`."""
        return submit(self._df, schema, **options)

    def collect(
        self,
        group_id: str | Sequence[str],
        schema: SchemaLike,
        *,
        processor: str | None = None,
        **options: Unpack[FrameOptions],
    ) -> FrameT:
        """See `parallel_frames.collect`."""
        return collect(self._df, group_id, schema, processor=processor, **options)


@pd.api.extensions.register_dataframe_accessor("parallel")
class ParallelAccessor(FrameMethods[pd.DataFrame]):
    """Enrich this frame with the web: the accessor ``df.parallel``.

    Its methods are the functions of the same names, with the frame as their first argument. It holds only the frame,
    because pandas may make it again at any time.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme"]})
    >>> type(df.parallel) is pf.ParallelAccessor
    True
    >>> with pf.offline(answers=lambda sent: {"founded": 1949}, latency=0):
    ...     out = pf.ParallelAccessor(df).enrich({"founded": int})
    >>> out["founded"].tolist()
    [1949]
    """

    __slots__ = ()

    def __call__(self, *_: object, **options: object) -> NoReturn:  # noqa: ARG002 - whatever is passed
        """Refuse a call of what has methods."""
        raise InputError(
            "`df.parallel` is not a function. To ask the web about each row: `df.parallel.enrich(schema)`."
        )

    def citations(self) -> pd.DataFrame:
        """Return the evidence's citations, one a line; see `parallel_frames.citations`.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int}, basis="columns")
        >>> out.parallel.citations()[["row", "field", "citation"]].head(1)
           row    field  citation
        0    0  founded         0
        """
        from parallel_frames._columns import citations

        return citations(self._df)

    def confidence(self, *, elements: bool = False) -> pd.DataFrame:
        """Return how sure the service is of each field; see `parallel_frames.confidence`.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> from parallel_frames.simulator import Answer
        >>> answer = Answer({"founded": 1949}, basis={"founded": "medium"})
        >>> with pf.offline(lambda sent: answer, latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int}, basis="columns")
        >>> out.parallel.confidence()["founded"].tolist()
        ['medium']
        """
        from parallel_frames._columns import confidence

        return confidence(self._df, elements=elements)

    def low_confidence(
        self, *, fields: Sequence[Hashable] | None = None, at_most: Confidence = "low"
    ) -> pd.Series[bool]:
        """Return which rows have a field that is no better than this; see `parallel_frames.low_confidence`.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> from parallel_frames.simulator import Answer
        >>> answer = Answer({"founded": 1949}, basis={"founded": "medium"})
        >>> with pf.offline(lambda sent: answer, latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int}, basis="columns")
        >>> out.parallel.low_confidence().tolist(), out.parallel.low_confidence(at_most="medium").tolist()
        ([False], [True])
        """
        from parallel_frames._columns import low_confidence

        return low_confidence(self._df, fields=fields, at_most=at_most)

    def explode(self, column: Hashable, *, schema: SchemaLike | None = None, prefix: str = "") -> pd.DataFrame:
        """Return the elements of an answer's lists as rows, typed by the schema; see `parallel_frames.explode`.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(lambda sent: {"offices": ["Berlin", "Oslo"]}, latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"offices": list[str]})
        >>> out.parallel.explode("offices")["offices"].tolist()
        ['Berlin', 'Oslo']
        """
        from parallel_frames._job._explode import explode

        return explode(self._df, column, schema=schema, prefix=prefix)

    def warnings(self) -> pd.DataFrame:
        """Return what the service warned of, one warning a line; see `parallel_frames.warnings`.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int})
        ...     len(out.parallel.warnings())
        0
        """
        from parallel_frames._job._warnings import warnings

        return warnings(self._df)

    def tool_calls(self) -> pd.DataFrame:
        """Return the calls of MCP tools that the service made, one a line; see `parallel_frames.tool_calls`.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int})
        ...     len(out.parallel.tool_calls())
        0
        """
        from parallel_frames._job._warnings import tool_calls

        return tool_calls(self._df)

    def report(self) -> Report:
        """See `parallel_frames.report`."""
        return report(self._df)


class EngineMethods(Generic[FrameT]):
    """What ``df.parallel`` is of a frame that an engine holds: the engine makes the keys, and this process sends."""

    def __init__(self, df: FrameT) -> None:
        self._df = df

    def enrich(self, schema: Any, **options: Any) -> FrameT:
        """Send every distinct input, wait for the answers, and return a lazy frame that has them.

        Parameters
        ----------
        schema, **options
            As for `parallel_frames.enrich`. ``checkpoint`` must be a place that this process and all workers reach;
            ``where`` is ``"missing"``, ``"failed"`` or a function of a batch of rows, ``limit`` counts distinct inputs
            in the order of their keys. ``dedupe=False``, ``group_id`` and ``on_row`` are refused; of Spark
            ``dtype_backend``, too.

        Returns
        -------
        dask.dataframe.DataFrame or pyspark.pandas.DataFrame
            The same rows, index and columns, of Dask also order, partitions and divisions, and the new columns. It is a
            snapshot: what it gives is decided now, and no computation of it sends anything.

        Raises
        ------
        InputError, ConfigurationError, ServiceError, CheckpointError
            As `parallel_frames.enrich` does.
        """
        return enrich(self._df, schema, **options)

    async def aenrich(self, schema: Any, **options: Any) -> FrameT:
        """Do what `enrich` does without blocking the event loop."""
        return await aenrich(self._df, schema, **options)

    def plan(self, schema: Any, **options: Any) -> EnrichmentPlan:
        """Make the keys on the workers, and return what `enrich` would send and cost. It sends nothing."""
        return plan(self._df, schema, **options)

    def submit(self, schema: Any, **options: Any) -> Enrichment:
        """Send what `enrich` would send, and return a handle; its ``result()`` waits, and returns the lazy frame."""
        return submit(self._df, schema, **options)

    def stage(self, schema: Any, **options: Any) -> EnrichmentPlan:
        """Make the keys on the workers, and write the inputs into the checkpoint. It sends nothing.

        This is for jobs that run for days. ``parallel-frames send CHECKPOINT`` sends the inputs from any machine, so
        the cluster need not wait; afterwards the same call with `enrich` finds everything answered.

        Parameters
        ----------
        schema, **options
            As for `enrich`, except those that control the sending, such as ``max_cost``.

        Returns
        -------
        EnrichmentPlan
            What is to be sent, and its cost.
        """
        from parallel_frames._distributed import stage_frame

        frame = _engine_frame(self._df)
        assert frame is not None  # noqa: S101 - the accessor is registered for frames of an engine
        return stage_frame(frame, schema, options)


@pd.api.extensions.register_series_accessor("parallel")
class ParallelSeriesAccessor:
    """Ask the web about each value of one column: the accessor ``df["company"].parallel``.

    Its methods are those of ``df.parallel``. A row sends its value under the name of the column (``"value"`` if it has
    none). The methods return only the new columns, with the index of the column, for ``df.assign`` and ``pd.concat``.
    The answers are shared with ``df[["company"]].parallel``.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex"], "rank": [2, 1]})
    >>> with pf.offline(lambda sent: {"founded": 1940 + len(sent["company"])}, latency=0):
    ...     df = df.assign(**df["company"].parallel.enrich({"founded": int}, status=False))
    >>> df
      company  rank  founded
    0    Acme     2     1944
    1  Globex     1     1946
    """

    __slots__ = ("_column", "_df")

    def __init__(self, series: pd.Series[Any]) -> None:
        self._column: Hashable = "value" if series.name is None else series.name
        self._df = series.to_frame(self._column)

    def __repr__(self) -> str:
        names = ", ".join(f".{name}()" for name in vars(ParallelSeriesAccessor) if not name.startswith("_"))
        return f"series.parallel: {names}"

    def __call__(self, *_: object, **options: object) -> NoReturn:  # noqa: ARG002 - whatever is passed
        """Refuse a call of what has methods."""
        raise InputError("`series.parallel` is not a function. Use `series.parallel.enrich(schema)`.")

    def enrich(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> pd.DataFrame:
        """Ask about each value and return the answers as the columns of a frame; see `parallel_frames.enrich`.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(lambda sent: {"founded": 1949}, latency=0):
        ...     out = pd.Series(["Acme"], name="company").parallel.enrich({"founded": int})
        >>> out.columns.tolist()
        ['founded', 'parallel_status', 'parallel_error']
        """
        return enrich(self._df, schema, **self._sending(options)).drop(columns=self._column)

    async def aenrich(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> pd.DataFrame:
        """Do the same as `enrich` without blocking the event loop.

        Examples
        --------
        >>> import asyncio, pandas as pd, parallel_frames as pf
        >>> with pf.offline(lambda sent: {"founded": 1949}, latency=0):
        ...     out = asyncio.run(pd.Series(["Acme"]).parallel.aenrich({"founded": int}))
        >>> out["founded"].tolist()
        [1949]
        """
        out = await aenrich(self._df, schema, **self._sending(options))
        return out.drop(columns=self._column)

    def plan(self, schema: SchemaLike, **options: Unpack[EnrichOptions]) -> EnrichmentPlan:
        """Return what `enrich` would send and cost; see `parallel_frames.plan`.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> pd.Series(["Acme", "Globex", "Acme"]).parallel.plan({"founded": int}, checkpoint=None).cost
        0.02
        """
        return plan(self._df, schema, **self._sending(options))

    def preview(self, schema: SchemaLike, *, n: int = 3, **options: Unpack[EnrichOptions]) -> EnrichmentPreview:
        """Send a few values, and show their answers and what all would cost; see `parallel_frames.preview`.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(lambda sent: {"founded": 1949}, latency=0):
        ...     some = pd.Series(["Acme", "Globex"], name="company").parallel.preview({"founded": int}, n=1)
        >>> some.plan.to_send
        1
        """
        return preview(self._df, schema, n=n, **self._sending(options))

    def _sending(self, options: EnrichOptions) -> EnrichOptions:
        """Return the options with this column as what a row sends, be it an answer; refuse a choice of columns."""
        if "inputs" in options:
            text = "A column sends its own values: use `df.parallel.enrich` for other inputs."
            raise UnknownOptionError("inputs", text)
        return {**options, "inputs": [self._column]}


def share_documentation(accessor: type, *, of_series: bool = False) -> None:
    """Give an accessor's methods the functions' signatures without the frame; to those of frames the documentation."""
    functions: list[Callable[..., Any]] = [enrich, aenrich, plan, preview, compare, submit, collect, report]
    for function in functions:
        method: Any = vars(accessor).get(function.__name__)
        if method is None:
            continue
        if not of_series:
            method.__doc__ = function.__doc__
        _, *rest = inspect.signature(function).parameters.values()
        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        shown = [each for each in rest if not (of_series and each.name == "inputs")]
        method.__signature__ = inspect.Signature([own, *shown])
    decorate_methods(accessor, user_facing)


decorate_methods(EngineMethods, user_facing)
share_documentation(FrameMethods)
share_documentation(ParallelAccessor)
share_documentation(ParallelSeriesAccessor, of_series=True)
