"""`df.parallel` and the same as functions: a skin over one enrichment, usable without the accessor.

The full list of options, with defaults and meanings, stands once, at `enrich`.
"""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from parallel_frames._bridge import run_from_anywhere
from parallel_frames._call import Call, EnrichOptions, FrameOptions, make_call

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from parallel_frames._handle import Enrichment

F = TypeVar("F", bound="Callable[..., Any]")


def _shows(names: frozenset[str]) -> Callable[[F], F]:
    """Show these options with their defaults where a person looks: ``enrich?`` and ``help(enrich)``."""

    def show(function: F) -> F:
        signature = inspect.signature(function)
        kept = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        options = [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
            for f in fields(Call)
            if f.name in names
        ]
        shown: Any = function
        shown.__signature__ = signature.replace(parameters=[*kept, *options])
        return function

    return show


@_shows(EnrichOptions.__optional_keys__)
def enrich(df: pd.DataFrame, schema: object, **options: Unpack[EnrichOptions]) -> pd.DataFrame:
    """Ask the web about every row and return the frame with the answers as typed columns.

    Rows become runs of Parallel's Task Group API; equal rows share one run. What was paid for is kept in a
    checkpoint, so the same call again goes on where it stopped and pays for nothing twice.

    Parameters
    ----------
    df : pandas.DataFrame
        Any index, any column labels. It is not changed.
    schema : model class, mapping, list of str, or str
        What to find out: a pydantic model, a JSON Schema, ``{column: description}``, ``{column: type}``,
        ``{column: (type, description)}``, a list of descriptions, one description (a text), or ``"auto"``.
    processor : str, default "base"
        The service's processor, which decides price and depth; ``"lite"`` to ``"ultra8x"``.
    inputs : list of labels, mapping, or str, optional
        What a row sends: columns; ``{name the service sees: column}``; one column's name for its bare cell; or a
        template ``"Research {company} ({website})"``. Default: every column that no enrichment made.
    input_schema : as schema, optional
        Describes the input to the service.
    checkpoint : path, "auto" or None, default "auto"
        The directory that remembers. ``"auto"``: one per job in your cache directory; None: only this process.
    on_mismatch : {"error", "new"}, default "error"
        What to do when the named checkpoint holds other jobs only, or hardly any of these rows.
    refresh : bool, default False
        Ask every row again, although there are answers. A refresh that was killed goes on where it stopped.
    retry_failed : bool, default True
        Ask rows again whose newest run failed in an earlier call.
    dedupe : bool, default True
        Let equal rows share one run.
    status : bool, default True
        Add the columns ``<prefix>parallel_status`` and ``<prefix>parallel_error``.
    prefix : str, default ""
        Put before the name of every new column.
    if_exists : {"error", "overwrite"}, default "error"
        What to do when a column exists already. Only a completed run replaces a value.
    dtype_backend : {"numpy_nullable", "pyarrow"}, default "numpy_nullable"
        The family of dtypes; which one a column gets follows from the schema alone.
    on_error : {"keep", "raise"}, default "keep"
        Whether failed rows raise once every outcome is stored. The frame is then on the exception.
    max_in_flight : int, optional
        Runs that may be sent and not finished at the same time: bounds the credit they reserve. Default: no limit.
    timeout : float or timedelta, optional
        Seconds this call may take; rows not done by then are ``pending``, and a later call goes on. Default: no limit.
    group_id : str or list of str, optional
        Go on with these groups: what they hold for these rows is adopted, only the rest is sent.
    metadata : mapping of str to label, optional
        Further metadata of each run: name (at most 16 characters) → column.
    options : mapping, optional
        What else travels with every run: ``source_policy``, ``advanced_settings``, ``mcp_servers``,
        ``previous_interaction_id``, ``enable_events``, ``webhook``, and ``beta_headers`` (a list of names).
    progress : bool, optional
        True: show a line before the first run, and a bar. False: nothing but the log. Default: the line, and the
        bar in a terminal or a notebook.
    client : Client, optional
        Default: one made from ``PARALLEL_API_KEY`` and ``PARALLEL_BASE_URL``.

    Returns
    -------
    pandas.DataFrame
        The rows, order, index, columns and dtypes of `df`, and the new columns. A row that failed has missing
        values there, its status and what the service said. ``out.attrs["parallel"]`` tells groups and checkpoint.

    Raises
    ------
    InputError
        The schema, a column, a cell or an option is wrong. Nothing was sent.
    ConfigurationError
        There is no key, or the address cannot be used.
    ServiceError
        The service refuses the key, the processor, the credit or the request, or cannot be reached. What was
        answered is safe, and the message says where.
    CheckpointError
        The checkpoint is in use, or belongs to another job, or cannot be written.
    UndecidedError
        It cannot be told whether a batch was created. It is not sent again; run the same call later.
    EnrichmentError
        With ``on_error="raise"``, when rows failed.

    Notes
    -----
    A run costs from half a cent to 2.40 dollars, by processor; one run per distinct row. One line before the first
    run says how many, at what price, what is sent, and where the checkpoint is. Ctrl-C stops, and loses nothing.

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
    return run_from_anywhere(_prepare(df, schema, options).run)


@_shows(EnrichOptions.__optional_keys__)
async def aenrich(df: pd.DataFrame, schema: object, **options: Unpack[EnrichOptions]) -> pd.DataFrame:
    """Do what `enrich` does without blocking the event loop; the options are the same.

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
    return await _prepare(df, schema, options).run()


def _prepare(df: pd.DataFrame, schema: object, options: Any) -> Enrichment:
    from parallel_frames._handle import Enrichment

    return Enrichment(df, schema, make_call(options))


@_shows(FrameOptions.__optional_keys__)
def collect(
    df: pd.DataFrame,
    group_id: str,
    schema: object,
    *,
    processor: str | None = None,
    **options: Unpack[FrameOptions],
) -> pd.DataFrame:
    """Join what a group holds to the rows it answers. It sends nothing and costs nothing.

    Parameters
    ----------
    df : pandas.DataFrame
        The rows.
    group_id : str
        The group; of this process, another one, or another program.
    schema : as for `enrich`
        What its answers look like.
    processor : str, optional
        The one its runs were sent with. Default: what the group's metadata says.
    **options
        ``inputs``, ``input_schema``, ``dedupe``, ``status``, ``prefix``, ``if_exists``, ``dtype_backend``,
        ``options`` and ``client``, as for `enrich`.

    Returns
    -------
    pandas.DataFrame
        As `enrich` returns it. A run belongs to a row by the key in its metadata, or else by its input; a row
        without one is ``not_sent``.

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
    from parallel_frames._collect import collect_group

    if unknown := options.keys() - FrameOptions.__optional_keys__:
        raise TypeError(f"collect() has no {', '.join(sorted(unknown))}: it sends nothing and only reads a group")
    call = make_call(options)
    return run_from_anywhere(lambda: collect_group(df, group_id, schema, call, processor=processor))


@pd.api.extensions.register_dataframe_accessor("parallel")
class ParallelAccessor:
    """Enrich this frame with the web. Holds nothing but the frame: pandas makes it anew whenever it likes."""

    __slots__ = ("_df",)

    def __init__(self, df: pd.DataFrame) -> None:
        self._df = df

    def __repr__(self) -> str:
        return "df.parallel: .enrich(schema, ...), .aenrich(schema, ...), .collect(group_id, schema, ...)"

    def enrich(self, schema: object, **options: Unpack[EnrichOptions]) -> pd.DataFrame:
        """See `parallel_frames.enrich`."""
        return enrich(self._df, schema, **options)

    async def aenrich(self, schema: object, **options: Unpack[EnrichOptions]) -> pd.DataFrame:
        """See `parallel_frames.aenrich`."""
        return await aenrich(self._df, schema, **options)

    def collect(
        self, group_id: str, schema: object, *, processor: str | None = None, **options: Unpack[FrameOptions]
    ) -> pd.DataFrame:
        """See `parallel_frames.collect`."""
        return collect(self._df, group_id, schema, processor=processor, **options)


def _share_documentation() -> None:
    """Give the accessor's methods the functions' documentation and signature, without the frame."""
    pairs: list[tuple[Any, Callable[..., Any]]] = [
        (ParallelAccessor.enrich, enrich),
        (ParallelAccessor.aenrich, aenrich),
        (ParallelAccessor.collect, collect),
    ]
    for method, function in pairs:
        method.__doc__ = function.__doc__
        _, *rest = inspect.signature(function).parameters.values()
        own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        method.__signature__ = inspect.Signature([own, *rest])


_share_documentation()
