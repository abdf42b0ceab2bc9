"""What a user may say in one call, checked at the door: names, defaults, types and combinations.

It owns the list of options once, for the accessor, the functions and the handle alike. It looks at no row.
"""

from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from decimal import Decimal
from difflib import get_close_matches
from fractions import Fraction
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, get_args

from parallel_frames._format import format_option, parse_duration
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import numpy as np
    import pandas as pd

    from parallel_frames._job._rows import Row
    from parallel_frames._model import Json
    from parallel_frames._service import Client

OnMismatch = Literal["error", "new"]
IfExists = Literal["error", "fill", "overwrite", "suffix"]
Basis = Literal["none", "columns", "struct"]
DtypeBackend = Literal["numpy_nullable", "pyarrow"]
OnError = Literal["keep", "raise"]
CHOICES: Final = ("missing", "failed")
UNSENDABLE: Final = re.compile("[\ud800-\udfff\\0]")


if TYPE_CHECKING:
    Mask = pd.Series[bool] | np.ndarray[Any, np.dtype[np.bool_]] | Sequence[bool]
    Where = Literal["missing", "failed"] | Mask | Callable[[pd.DataFrame], Mask]


class FrameOptions(TypedDict, total=False):
    """What says how rows become inputs and answers become columns, for type checkers."""

    inputs: str | Sequence[Hashable] | Mapping[str, Hashable] | None
    input_schema: object
    where: Where | None
    dedupe: bool
    basis: Basis
    status: bool
    prefix: str
    if_exists: IfExists
    dtype_backend: DtypeBackend
    options: Mapping[str, Json] | None
    client: Client | None


class EnrichOptions(FrameOptions, total=False):
    """The keyword arguments of an enrichment, for type checkers; `parallel_frames.enrich` tells what they mean."""

    processor: str
    limit: int | None
    checkpoint: str | os.PathLike[str] | None
    on_mismatch: OnMismatch
    refresh: bool
    older_than: float | str | timedelta | None
    retry_failed: bool
    on_error: OnError
    max_cost: float | Decimal | None
    confirm: bool
    max_in_flight: int | None
    timeout: float | timedelta | None
    group_id: str | Sequence[str] | None
    metadata: Mapping[str, Hashable] | None
    progress: bool | None
    on_row: Callable[[Row], object] | None
    provenance: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call's options, checked."""

    processor: str = "base"
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
    status: bool = True
    prefix: str = ""
    if_exists: IfExists = "error"
    dtype_backend: DtypeBackend = "numpy_nullable"
    on_error: OnError = "keep"
    max_cost: Any = None
    confirm: bool = False
    max_in_flight: int | None = None
    timeout: Any = None
    group_id: Any = None
    metadata: Any = None
    options: Any = None
    progress: bool | None = None
    on_row: Any = None
    client: Any = None

    def __post_init__(self) -> None:
        for name, kind in (
            ("on_mismatch", OnMismatch),
            ("basis", Basis),
            ("if_exists", IfExists),
            ("dtype_backend", DtypeBackend),
            ("on_error", OnError),
        ):
            if getattr(self, name) not in get_args(kind):
                allowed = ", ".join(map(repr, get_args(kind)))
                raise InputError(f"{format_option(name, getattr(self, name))} is none of {allowed}.")
        for name in ("refresh", "retry_failed", "dedupe", "provenance", "status", "confirm"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{format_option(name, getattr(self, name))} is neither True nor False.")
        if self.progress is not None and not isinstance(self.progress, bool):
            raise InputError(f"{format_option('progress', self.progress)} is neither True, False nor None.")
        if self.on_row is not None:
            _check_on_row(self.on_row)
        self._check_values()
        self._check_counts()
        self._check_together()
        object.__setattr__(self, "timeout", seconds(self.timeout, name="timeout"))
        object.__setattr__(self, "older_than", age(self.older_than, name="older_than"))
        object.__setattr__(self, "max_cost", dollars(self.max_cost, name="max_cost"))
        if "://" in str(self.checkpoint):
            from parallel_frames._checkpoint import check_path

            check_path(self.checkpoint)

    def _check_values(self) -> None:
        for name in ("processor", "inputs", "input_schema", "prefix", "group_id", "metadata", "options", "checkpoint"):
            check_words(name, getattr(self, name))
        if not isinstance(self.processor, str) or not self.processor.strip():
            raise InputError(f"{format_option('processor', self.processor)} is not a name such as 'base' or 'core'.")
        if isinstance(self.where, str) and self.where not in CHOICES:
            known = ", ".join(map(repr, CHOICES))
            raise InputError(
                f"{format_option('where', self.where)} is none of {known}, nor a mask or a function of the frame."
            )
        if not isinstance(self.prefix, str):
            raise InputError(f"{format_option('prefix', self.prefix)} is not a text.")
        if self.checkpoint is not None and not (isinstance(self.checkpoint, str | os.PathLike) and self.checkpoint):
            raise InputError(f"{format_option('checkpoint', self.checkpoint)} is neither a path, 'auto' nor None.")
        if self.group_id is not None and not self.group_ids:
            raise InputError(f"{format_option('group_id', self.group_id)} names no group.")
        for group_id in self.group_ids:
            if not isinstance(group_id, str) or not group_id:
                raise InputError(f"{format_option('group_id', group_id)} is not a group's id.")

    def _check_counts(self) -> None:
        for name in ("limit", "max_in_flight"):
            number = getattr(self, name)
            if number is None:
                continue
            if isinstance(number, bool) or not isinstance(number, Integral) or number < 1:
                raise InputError(f"{format_option(name, number)} is no number of runs: expected 1 or more, or None.")
            object.__setattr__(self, name, int(number))

    def _check_together(self) -> None:
        """Refuse options that contradict each other, and say which two."""
        if self.refresh and self.older_than is not None:
            raise InputError("`refresh=True` asks every row again and `older_than` only old answers: pass one of them.")
        if self.refresh and self.group_id is not None:
            raise InputError("`refresh=True` asks again and `group_id` resumes what was asked: pass one of them.")
        named = self.where if isinstance(self.where, str) else None
        if named and self.if_exists == "suffix":
            raise InputError(
                f"{format_option('where', named)} completes columns that exist and `if_exists='suffix'` makes new "
                "ones: say one of them."
            )
        if named == "missing" and self.if_exists == "overwrite":
            raise InputError(
                "`where='missing'` fills what is null and `if_exists='overwrite'` replaces what is there: say one of "
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
        raise InputError(f"{format_option('on_row', on_row)} is no function of one row.")
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


def make_call(options: Mapping[str, Any]) -> Call:
    """Return the options checked; a name that is none of them is a TypeError, as with any function."""
    known = [field.name for field in fields(Call)]
    for name in options:
        if name not in known:
            close = get_close_matches(name, known, 1)
            meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}."
            raise TypeError(f"An enrichment has no option {name!r}; {meant}")
    return Call(**options)


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


def seconds(value: float | timedelta | None, *, name: str) -> float | None:
    """Return a time in seconds, however it was given."""
    if value is None:
        return None
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value) or value < 0:
        raise InputError(f"{format_option(name, value)} is no time: expected seconds, a timedelta, or None.")
    return None if math.isinf(value) else float(value)


def age(value: float | str | timedelta | None, *, name: str) -> float | None:
    """Return an age such as ``"30d"`` in seconds; a number is seconds already."""
    if isinstance(value, str):
        try:
            value = parse_duration(value)
        except ValueError as error:
            raise InputError(f"{error}.".replace(repr(value), format_option(name, value), 1)) from None
    return seconds(value, name=name)


def dollars(value: float | Decimal | None, *, name: str) -> Decimal | None:
    """Return an amount in US dollars without the noise of binary fractions."""
    if value is None:
        return None
    is_number = isinstance(value, Real | Decimal) and not isinstance(value, bool)
    if not is_number or (isinstance(value, Decimal) and value.is_nan()) or not 0 <= value < math.inf:
        raise InputError(f"{format_option(name, value)} is no amount: expected US dollars, 0 or more, or None.")
    return Decimal(str(float(value) if isinstance(value, Fraction) else value))
