"""What a user may say in one call, checked at the door: names, defaults, types and combinations.

It owns the list of options once, for the accessor, the functions and the handle alike. It looks at no row.
"""

from __future__ import annotations

import inspect
import math
import os
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, TypedDict, get_args

from parallel_frames._format import closest, did_you_mean, format_option, parse_duration
from parallel_frames._prices import price_of, processor_meant
from parallel_frames.errors import InputError, UnknownOptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Sequence

    import numpy as np
    import pandas as pd

    from parallel_frames._job._rows import Row
    from parallel_frames._model import Json
    from parallel_frames._service import Client

Processor = Literal[
    "lite", "base", "core", "core2x", "pro", "ultra", "ultra2x", "ultra4x", "ultra8x",
    "lite-fast", "base-fast", "core-fast", "core2x-fast", "pro-fast", "ultra-fast", "ultra2x-fast", "ultra4x-fast",
    "ultra8x-fast",
]  # fmt: skip
OnMismatch = Literal["error", "new"]
IfExists = Literal["error", "fill", "overwrite", "suffix"]
Basis = Literal["none", "columns", "struct"]
DtypeBackend = Literal["numpy_nullable", "pyarrow"]
OnError = Literal["keep", "raise"]
CHOICES: Final = ("missing", "failed")
# What True and False stand for where an option has words of its own.
WORDS_FOR: Final[Mapping[str, tuple[str | None, str]]] = {"basis": ("none", "columns"), "checkpoint": (None, "auto")}
UNSENDABLE: Final = re.compile("[\ud800-\udfff\\0]")


if TYPE_CHECKING:

    class ArrowStream(Protocol):
        """A frame of another library, or a column of one."""

        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            """Return its rows."""

    class EngineFrame(Protocol):
        """A frame that an engine holds: of polars, lazily, or of Ray."""

        def map_batches(self, *args: Any, **kwargs: Any) -> Any:
            """Return it with another function to be computed."""

    Frame = pd.DataFrame | ArrowStream | EngineFrame
    SchemaLike = type[Any] | Mapping[str, Any] | Sequence[str] | str
    Mask = pd.Series[bool] | np.ndarray[Any, np.dtype[np.bool_]] | Sequence[bool] | ArrowStream
    Where = Literal["missing", "failed"] | Mask | Callable[[Any], Mask]  # of the frame, which is of any library


class FrameOptions(TypedDict, total=False):
    """What says how rows become inputs and answers become columns, for type checkers."""

    inputs: str | Sequence[Hashable] | Mapping[str, Hashable] | None
    input_schema: object
    where: Where | None
    dedupe: bool
    basis: Basis | bool
    status: bool | str
    prefix: str
    if_exists: IfExists
    dtype_backend: DtypeBackend
    options: Mapping[str, Json] | None
    client: Client | None


class EnrichOptions(FrameOptions, total=False):
    """The keyword arguments of an enrichment, for type checkers; `parallel_frames.enrich` tells what they mean."""

    processor: Processor | str
    escalate: Sequence[Processor | str] | Processor | str | None
    limit: int | None
    checkpoint: str | os.PathLike[str] | bool | None
    on_mismatch: OnMismatch
    refresh: bool
    older_than: float | str | timedelta | None
    retry_failed: bool
    on_error: OnError
    max_cost: float | Decimal | None
    confirm: bool | None
    max_in_flight: int | None
    timeout: float | str | timedelta | None
    group_id: str | Sequence[str] | None
    metadata: Mapping[str, Hashable] | None
    progress: bool | None
    on_row: Callable[[Row], object] | None
    provenance: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call's options, checked."""

    processor: str = "base"
    escalate: Any = None
    inputs: Any = None
    input_schema: Any = None
    where: Any = None
    limit: int | None = None
    checkpoint: Any = "auto"
    on_mismatch: OnMismatch = "error"
    refresh: bool = False
    older_than: Any = None
    retry_failed: bool = True
    dedupe: bool = True
    basis: Basis = "none"
    provenance: bool = False
    status: bool | str = True
    prefix: str = ""
    if_exists: IfExists = "error"
    dtype_backend: DtypeBackend = "numpy_nullable"
    on_error: OnError = "keep"
    max_cost: Any = None
    confirm: bool | None = None
    max_in_flight: int | None = None
    timeout: Any = None
    group_id: Any = None
    metadata: Any = None
    options: Any = None
    progress: bool | None = None
    on_row: Any = None
    client: Any = None

    def __post_init__(self) -> None:
        self._check_words()
        if self.on_row is not None:
            _check_on_row(self.on_row)
        self._check_values()
        self._check_counts()
        self._check_together()
        object.__setattr__(self, "timeout", seconds(self.timeout, name="timeout"))
        object.__setattr__(self, "older_than", seconds(self.older_than, name="older_than"))
        object.__setattr__(self, "max_cost", dollars(self.max_cost, name="max_cost"))
        if "://" in str(self.checkpoint):
            from parallel_frames._checkpoint import check_path

            check_path(self.checkpoint)

    def _check_words(self) -> None:
        """Check the options that take one of a few words, and put words in the place of True and False."""
        for name, words in WORDS_FOR.items():
            if isinstance(value := getattr(self, name), bool):
                object.__setattr__(self, name, words[value])
        for name, kind in (
            ("on_mismatch", OnMismatch),
            ("basis", Basis),
            ("if_exists", IfExists),
            ("dtype_backend", DtypeBackend),
            ("on_error", OnError),
        ):
            if getattr(self, name) not in get_args(kind):
                allowed, given = ", ".join(map(repr, get_args(kind))), getattr(self, name)
                meant = did_you_mean(given, get_args(kind)) if isinstance(given, str) else ""
                raise InputError(f"{format_option(name, given)} must be one of {allowed}{meant}.")
        for name in ("refresh", "retry_failed", "dedupe", "provenance"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{format_option(name, getattr(self, name))} must be True or False.")
        for name in ("progress", "confirm"):
            if not isinstance(getattr(self, name), bool | None):
                raise InputError(f"{format_option(name, getattr(self, name))} must be True, False or None.")

    def _check_values(self) -> None:
        for name in (
            "processor",
            "escalate",
            "inputs",
            "input_schema",
            "prefix",
            "status",
            "group_id",
            "metadata",
            "options",
            "checkpoint",
        ):
            check_words(name, getattr(self, name))
        check_processor(self.processor)
        object.__setattr__(self, "escalate", _checked_escalation(self.processor, self.escalate))
        if isinstance(self.where, str) and self.where not in CHOICES:
            known = ", ".join(map(repr, CHOICES))
            raise InputError(
                f"{format_option('where', self.where)} must be one of {known}{did_you_mean(self.where, CHOICES)}, a "
                "mask, or a function of the frame."
            )
        if not isinstance(self.prefix, str):
            raise InputError(f"{format_option('prefix', self.prefix)} must be a text.")
        if not (isinstance(self.status, bool | str) and self.status != ""):
            raise InputError(
                f"{format_option('status', self.status)} must be True, False, or a name such as 'ceo' for the columns "
                "'ceo_status' and 'ceo_error'."
            )
        if self.checkpoint is not None and not (isinstance(self.checkpoint, str | os.PathLike) and self.checkpoint):
            raise InputError(f"{format_option('checkpoint', self.checkpoint)} must be a path, 'auto' or None.")
        if self.group_id is not None and not self.group_ids:
            raise InputError(f"{format_option('group_id', self.group_id)} names no group.")
        for group_id in self.group_ids:
            if not isinstance(group_id, str) or not group_id:
                raise InputError(f"{format_option('group_id', group_id)} must be a group's id, such as 'tgrp_...'.")

    def _check_counts(self) -> None:
        for name in ("limit", "max_in_flight"):
            number = getattr(self, name)
            if number is None:
                continue
            if not is_count(number):
                raise InputError(f"{format_option(name, number)} must be a number of runs, 1 or more, or None.")
            object.__setattr__(self, name, int(number))

    def _check_together(self) -> None:
        """Refuse options that contradict each other, and say which two."""
        if self.refresh and self.older_than is not None:
            raise InputError("`refresh=True` asks every row again and `older_than` only old answers: pass one of them.")
        if self.refresh and self.group_id is not None:
            raise InputError("`refresh=True` asks again and `group_id` resumes what was asked: pass one of them.")
        if self.refresh and self.escalate:
            raise InputError(
                "`refresh=True` asks every row again and `escalate` those whose answer is not good enough: pass one of "
                "them. `older_than` goes with `escalate`."
            )
        if self.group_id is not None and self.escalate:
            raise InputError(
                "`group_id` resumes groups of one processor and `escalate` asks several: pass one of them. Without "
                "`group_id` the same call resumes from its checkpoint."
            )
        named = self.where if isinstance(self.where, str) else None
        if named and self.if_exists == "suffix":
            raise InputError(
                f"{format_option('where', named)} completes columns that exist and `if_exists='suffix'` makes new "
                "ones: pass one of them."
            )
        if named == "missing" and self.if_exists == "overwrite":
            raise InputError(
                "`where='missing'` fills what is null and `if_exists='overwrite'` replaces what is there: pass one of "
                "them."
            )
        if self.limit is not None and self.group_id is not None:
            raise InputError("`limit` sends a few runs of many and `group_id` resumes a whole group: pass one of them.")

    @property
    def group_ids(self) -> tuple[str, ...]:
        """The groups to resume, whether one or several were given."""
        if self.group_id is None:
            return ()
        return tuple(self.group_id) if isinstance(self.group_id, list | tuple) else (self.group_id,)


def _check_on_row(on_row: Any) -> None:
    """Refuse what cannot be called with one row, and what would only make a coroutine that is never awaited."""
    if not callable(on_row):
        raise InputError(f"{format_option('on_row', on_row)} must be a function of one row.")
    if inspect.iscoroutinefunction(on_row) or inspect.iscoroutinefunction(getattr(on_row, "__call__", None)):  # noqa: B004
        raise InputError(
            f"{format_option('on_row', on_row)} is asynchronous, and would never be awaited: pass a plain function."
        )
    try:
        signature = inspect.signature(on_row)
    except (TypeError, ValueError):  # some built-in functions tell none
        return
    try:
        signature.bind("row")
    except TypeError:
        raise InputError(
            f"{format_option('on_row', on_row)} cannot be called with one row: it takes {signature}."
        ) from None


def _synonyms() -> dict[str, str]:
    """Return what to type instead of names that other libraries have."""
    meant = {
        "`processor='core'` chooses price and depth": ("model", "engine", "tier", "llm", "model_name"),
        "`inputs=['company']` chooses the columns that a row sends": (
            "columns", "cols", "input_columns", "input_cols", "usecols", "subset", "fields", "input"
        ),
        "`inputs='Research {company}'` is the text that a row sends": ("prompt", "template", "query", "instructions"),
        "the schema is the first argument, as in `df.parallel.enrich(schema)`": (
            "output_schema", "outputs", "output_columns", "response_format", "response_model", "task_spec"
        ),
        "the client has the key, as in `client=pf.Client(api_key='...')`, or `PARALLEL_API_KEY` in the environment": (
            "api_key", "apikey", "key", "token"
        ),
        "the client has the address, as in `client=pf.Client(base_url='...')`": ("base_url", "url", "host", "endpoint"),
        "the client keeps the rate, as in `client=pf.Client(max_per_minute=600)`": (
            "max_per_minute", "rate_limit", "rpm", "requests_per_minute"
        ),
        "batches are made as large as the service takes them; `max_in_flight=...` bounds the runs that are under way": (
            "batch_size", "batch", "chunk_size", "chunksize", "max_workers", "workers", "n_jobs", "concurrency",
            "max_concurrency", "threads", "num_workers", "parallelism"
        ),
        "`limit=3` asks the first 3 distinct inputs": ("n", "nrows", "head", "sample", "max_rows", "num_rows", "top"),
        "`df.parallel.plan(schema)` says what it would do and cost, and sends nothing": (
            "dry_run", "dryrun", "estimate", "plan_only", "simulate"
        ),
        "`progress=True` shows a line and a bar, `progress=False` nothing": (
            "verbose", "show_progress", "progress_bar", "tqdm", "quiet", "silent", "disable_tqdm"
        ),
        "`checkpoint='companies.ckpt'` keeps the answers there, `checkpoint=None` nowhere": (
            "cache", "cache_dir", "use_cache", "checkpoint_dir", "cache_path", "checkpoint_path", "resume_from"
        ),
        "`max_cost=5` is a limit in US dollars": ("budget", "max_price", "max_spend", "cost_limit", "max_dollars"),
        "`timeout='10m'` is how long the call may take": ("max_wait", "deadline", "wait_timeout", "time_limit"),
        "`refresh=True` asks every row again": ("force", "force_refresh", "no_cache", "rerun", "recompute"),
        "`if_exists='overwrite'` replaces columns that exist": ("overwrite", "replace", "inplace"),
        "`if_exists='suffix'` numbers columns that exist, and `prefix='x_'` stands before each new one": (
            "suffix", "suffixes"
        ),
        "the same call again resumes, without an option": ("resume", "retry", "retries", "max_retries"),
        "`on_error='raise'` raises where rows failed": ("errors", "raise_on_error", "raise_errors", "error"),
        "`on_row=function` is called with each row as it arrives": ("callback", "on_result", "on_progress"),
        "`basis='columns'` adds confidence, reasoning and citations": (
            "citations", "confidence", "include_basis", "evidence", "sources", "reasoning"
        ),
        "it travels in the options, as in `options={'source_policy': {...}}`": (
            "source_policy", "advanced_settings", "mcp_servers", "webhook", "enable_events", "previous_interaction_id",
            "memory_scope_key", "beta_headers"
        ),
    }  # fmt: skip
    return {name: advice for advice, names in meant.items() for name in names}


SYNONYMS: Final = _synonyms()


def check_call(options: Mapping[str, Any]) -> Call:
    """Return the options checked; a name that is none of them is refused with the one that is meant."""
    known = [field.name for field in fields(Call)]
    for name in options:
        if name not in known:
            check_option(name, known)
    return Call(**options)


def check_option(name: str, known: Collection[str], *, of: str = "An enrichment") -> None:
    """Refuse an option that there is not, with the one that is meant."""
    if name in known:
        return
    has = f"{of} has no option {name!r}"
    if (advice := SYNONYMS.get(name.lower())) is not None:
        raise UnknownOptionError(name, f"{has}: {advice}.")
    meant = closest(name, known)
    rest = f"did you mean {meant!r}?" if meant is not None else f"there are {', '.join(sorted(known))}."
    raise UnknownOptionError(name, f"{has}; {rest}")


def check_processor(processor: object, *, option: str = "processor") -> None:
    """Refuse what cannot be a processor's name, and a known name with other letters in capitals."""
    if not isinstance(processor, str) or not processor.strip():
        raise InputError(f"{format_option(option, processor)} must be a name such as 'base' or 'core'.")
    meant = processor_meant(processor)
    if meant is not None and meant != processor and meant == processor.strip().lower():
        raise InputError(f"{format_option(option, processor)} must be {format_option(option, meant)}.")


def _checked_escalation(processor: str, escalate: Any) -> tuple[str, ...] | None:
    """Return the further processors, each more expensive than the one before; None for none."""
    names = (escalate,) if isinstance(escalate, str) else () if escalate is None else escalate
    if not isinstance(names, list | tuple):
        raise InputError(f"{format_option('escalate', escalate)} must be a list of processors such as ['core', 'pro'].")
    for name in names:
        check_processor(name, option="escalate")
    for before, name in pairwise((processor, *names)):
        cost, before_cost = price_of(name).per_run, price_of(before).per_run
        if name == before or (cost is not None and before_cost is not None and cost <= before_cost):
            raise InputError(
                f"{format_option('escalate', list(names))} has {name!r} after {before!r}, and it does not cost more. "
                "Nothing was sent. Name processors that look deeper, in the order of their prices."
            )
    return tuple(names) or None


def is_count(number: object) -> bool:
    """Return whether something is a whole number, 1 or more."""
    return isinstance(number, Integral) and not isinstance(number, bool) and int(number) >= 1


def check_words(name: str, value: object) -> None:
    """Refuse text that cannot travel, or be stored, anywhere in an argument: half a character, or a NUL.

    Cells of rows are another matter: there a half character is replaced, as it is data.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            check_words(name, key)
            check_words(name, item)
    elif isinstance(value, list | tuple):
        for item in value:
            check_words(name, item)
    elif isinstance(value, str | os.PathLike) and (flaw := UNSENDABLE.search(os.fspath(value))):
        text = ascii(os.fspath(value)[:80])
        raise InputError(
            f"`{name}` holds {text}, in which {flaw[0]!a} is no character: it cannot be sent or stored. Nothing was "
            "sent. Remove it, or decode the text with its own encoding."
        )


def seconds(value: float | str | timedelta | None, *, name: str) -> float | None:
    """Return a time in seconds, however it was given: a number of them, a text such as ``"10m"``, or a timedelta."""
    if value is None:
        return None
    if isinstance(value, str):
        value = _seconds_of_text(value, name=name)
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value) or value < 0:
        raise InputError(
            f"{format_option(name, value)} must be a time: seconds, a text such as '10m', a timedelta, or None."
        )
    return None if math.isinf(value) else float(value)


def _seconds_of_text(text: str, *, name: str) -> float:
    try:
        return parse_duration(text)
    except ValueError:
        pass
    try:
        import pandas as pd

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of units that pandas spells otherwise from its next version on
            found = pd.Timedelta(text).total_seconds()  # "1h30m", "2 days", "00:10:00"
    except ValueError:
        found = math.nan
    if math.isnan(found) or found < 0:
        raise InputError(
            f"{format_option(name, text)} must be a number of seconds, or a duration such as '90s', '10m', '12h', "
            "'30d' or '2w'."
        )
    return found


def dollars(value: float | Decimal | None, *, name: str) -> Decimal | None:
    """Return an amount in US dollars without the noise of binary fractions."""
    if value is None:
        return None
    is_number = isinstance(value, Real | Decimal) and not isinstance(value, bool)
    if not is_number or (isinstance(value, Decimal) and value.is_nan()) or not 0 <= value < math.inf:
        raise InputError(f"{format_option(name, value)} must be an amount in US dollars such as 5 or 0.5, or None.")
    return Decimal(str(float(value) if isinstance(value, Fraction) else value))
