"""Everything this library raises on purpose, as one tree.

::

    ParallelFramesError
    ├── InputError (ValueError)          the call or the frame is wrong; nothing was sent
    │   ├── SchemaError                  the service would refuse the schema
    │   ├── UnknownColumnError (KeyError)
    │   ├── UnknownOptionError (TypeError)
    │   ├── CostError                    the runs would cost more than ``max_cost=``
    │   └── DeclinedError                the question before paying was not answered with yes
    ├── ConfigurationError               no key, an unusable address
    ├── ServiceError                     the service refused, or could not be reached
    │   ├── AuthenticationError          401, 403
    │   ├── CreditError                  402
    │   ├── RejectedError                400, 404, 422: the request itself
    │   ├── RateLimitError               429, and waiting did not help
    │   ├── UnavailableError             408, 5xx, a connection that fails
    │   └── ProtocolError                an answer that is not this service's
    ├── UndecidedError                   unknown whether a batch was created; it is not sent again
    ├── CheckpointError
    │   ├── CheckpointMismatchError      the folder belongs to another job, or to other rows
    │   ├── CheckpointLockedError        another writer has it open
    │   └── CheckpointCorruptError       a file that is indispensable is damaged
    ├── SourceError                      a source cannot be read, or changed under a running job
    ├── TargetError                      a target cannot be written
    └── EnrichmentError                  only for ``on_error="raise"``: rows failed; carries the frame

The facts of an error are attributes, and errors survive pickling. Where a class has facts of its own, it builds its
message from them; the others are given a message where they are raised. An error that ends a call while it runs also
carries a `Safety`: what is safe, where, and how to resume, or that no run was created. This module imports `_format`
and `_tracebacks` only, so that any other may raise. `user_facing` decorates what users call: a traceback shows the
user's own code.

Code in a message stands between backticks, and nothing else does: an option with its value (``limit=3``), with any
(``limit=...``), its name alone (``limit``), and calls. So an error gives the options that it is about as data, and a
command line spells them its own way. The English around them is true of a call and of a command alike.
"""

from __future__ import annotations

from asyncio import CancelledError
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from parallel_frames._format import (
    did_you_mean,
    format_amount,
    format_code,
    format_count,
    format_dollars,
    format_option,
    options_in,
)
from parallel_frames._tracebacks import is_debugging, render_traceback, short_tracebacks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from decimal import Decimal

    import pandas as pd


@dataclass(frozen=True, slots=True)
class Safety:
    """What is already safe when a call ends early.

    Attributes
    ----------
    answered : int
        Rows whose outcome is stored; for an error about sending, without the rows that would be asked again.
    rows : int
        Rows of the frame.
    sent : int
        Runs for this frame that the service has acknowledged, or may have created.
    group_ids : tuple of str
        The groups the runs are in.
    checkpoint : str or None
        The folder that holds the outcomes; None without a checkpoint.
    is_refused : bool
        Whether the same again would be refused again, so that the error itself says how to resume.
    is_escalated : bool
        Whether the runs are of several processors, so that the groups alone do not resume them.
    under_way : int
        Runs that have no outcome yet: they continue on the service, and are billed.
    in_doubt : int
        Runs that may not have been created: resuming looks for them before it sends them.
    is_simulated : bool
        Whether a simulator has them, which bills nothing.
    ends_with_statement : bool
        Whether that simulator ends with its with statement.
    is_temporary : bool
        Whether the folder ends with it, too.
    """

    answered: int
    rows: int
    sent: int
    group_ids: tuple[str, ...]
    checkpoint: str | None
    is_refused: bool = False
    is_escalated: bool = False
    under_way: int = 0
    in_doubt: int = 0
    is_simulated: bool = False
    ends_with_statement: bool = False
    is_temporary: bool = False

    @property
    def state(self) -> str:
        """How far it came."""
        sent = f"{format_count(self.sent, 'run')} sent"
        doubt = f", of which {self.in_doubt:,} may not have been created" if self.in_doubt else ""
        rows = f"{format_count(self.rows, 'row')} {'is' if self.rows == 1 else 'are'}"
        return f"{self.answered:,} of {rows} answered, {sent}{doubt} (group {', '.join(self.group_ids)})"

    def __str__(self) -> str:
        if not self.sent:
            again = "" if self.is_refused else " Once the cause is fixed, run the same again."
            return f"No run was created, and nothing is paid.{again}"
        if self.ends_with_statement and not self.is_refused and self.checkpoint is not None:
            return self._until_end
        return f"{self._kept}{self.continues}"

    @property
    def continues(self) -> str:
        """The sentence on what continues on the service, after a space; empty where nothing does."""
        if not self.under_way:
            return ""
        billed = "and a simulator bills nothing" if self.is_simulated else "and is billed"
        return f" What was sent continues there, {billed}: {format_count(self.under_way, 'run')} under way."

    @property
    def _until_end(self) -> str:
        """What the end of an offline block takes with it, and how to have it last."""
        safe, what = f" and safe in {self.checkpoint}", "its simulator"
        if self.is_temporary:
            safe, what = "", "its simulator and these answers"
        under_way = f", {format_count(self.under_way, 'run')} under way included" if self.under_way else ""
        return (
            f"{self.state}{safe}. Run the same again to resume while the offline block lasts: its end ends {what}"
            f"{under_way}. Nothing is billed. `sim = pf.offline(...).start()` lasts from cell to cell."
        )

    @property
    def _kept(self) -> str:
        """What is stored where, and how to resume."""
        state = self.state
        if self.is_refused:
            if self.checkpoint is None and self.is_escalated:
                return f"{state}. There is no checkpoint: `pf.last().partial()` is the frame with them in this process."
            place = "in the group" if self.checkpoint is None else f"in {self.checkpoint}"
            return f"{state} and safe {place}: nothing of it is paid twice."
        if self.checkpoint is not None:
            return f"{state} and safe in {self.checkpoint}. Run the same again to resume: nothing is paid twice."
        if self.is_escalated:
            return f"{state}. There is no checkpoint: resume with `pf.last().resume()` in this process."
        resumed = format_code(f"enrich(..., group_id={list(self.group_ids)!r})")
        return (
            f"{state}. There is no checkpoint: resume with `pf.last().resume()` in this process, or with {resumed} in "
            "another; `df.parallel.collect(group_id, schema)` fetches what is done."
        )


class ParallelFramesError(Exception):
    """Base class of everything this library raises on purpose.

    Attributes
    ----------
    safety : Safety or None
        What is safe, once a call ran; None before, and for input that is refused before any run was created.
    hints : mapping of str to str
        Options that the message tells of, each with its value as text. Of one that it has several times, the last:
        what to pass comes after what was passed.
    """

    safety: Safety | None = None

    @property
    def hints(self) -> Mapping[str, str]:
        """Options that the message tells of, each with its value as text."""
        return options_in(Exception.__str__(self))

    def __str__(self) -> str:
        message = Exception.__str__(self)  # not KeyError's, which is a repr
        return message if self.safety is None else f"{message}\n{self.safety}"

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """What IPython shows of it; while debugging, what it shows of any other error."""
        if is_debugging():
            raise AttributeError("_render_traceback_")
        return partial(render_traceback, self)

    def __reduce__(self) -> tuple[Callable[..., ParallelFramesError], tuple[object, ...]]:
        return _restore, (type(self), self.args, self.__dict__)


user_facing = short_tracebacks(ParallelFramesError, KeyboardInterrupt, CancelledError)


def _restore(
    kind: type[ParallelFramesError], args: tuple[object, ...], facts: dict[str, object]
) -> ParallelFramesError:
    """Return an error as it was in another process, without building its message a second time."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class InputError(ParallelFramesError, ValueError):
    """The call or the frame is wrong. Nothing was sent, nothing is lost."""


class SchemaError(InputError):
    """The service would refuse this schema; the message has the rule, the path, the limit and the value."""


class UnknownColumnError(InputError, KeyError):
    """A column that the frame does not have.

    Attributes
    ----------
    column : object
        The label asked for.
    available : tuple
        The labels there are.
    """

    def __init__(self, column: object, available: Iterable[object], *, where: str) -> None:
        self.column = column
        self.available = tuple(available)
        shown = ", ".join(repr(label) for label in self.available[:20]) or "none"
        more = f" and {len(self.available) - 20} more" if len(self.available) > 20 else ""
        meant = did_you_mean(column, self.available)
        super().__init__(
            f"{where} names the column {column!r}, which the frame does not have{meant}; it has {shown}{more}."
        )


class UnknownOptionError(InputError, TypeError):
    """An option that there is not; the message names the one that is meant, where that is known.

    Attributes
    ----------
    option : str
        The name that was passed.
    """

    def __init__(self, option: str, message: str) -> None:
        self.option = option
        super().__init__(message)


class CostError(InputError):
    """The runs would cost more than ``max_cost``. None of them was sent.

    Attributes
    ----------
    runs : int
        Runs that were about to be sent.
    cost : float
        US dollars of these and of the runs for the same rows before, but for those that failed.
    max_cost : float
        The limit, in US dollars.
    limit : int or None
        The largest ``limit=`` with which the same call stays within it; None where there is none.
    """

    def __init__(
        self,
        *,
        runs: int,
        billed: int,
        cost: Decimal,
        max_cost: Decimal,
        elsewhere: Decimal | None = None,
        limit: int | None = None,
    ) -> None:
        self.runs = runs
        self.cost = float(cost)
        self.max_cost = float(max_cost)
        before = f" and {billed:,} paid for before" if billed else ""
        others = f", with {format_dollars(elsewhere)} for other processors," if elsewhere else ""
        self.limit = limit
        part = "" if limit is None else f", or {format_option('limit', limit)} to send a part"
        to_send = f"{format_count(runs, 'run')} to send"
        super().__init__(
            f"{to_send}{before}{others} come{'s' * (runs + billed == 1)} to {format_dollars(cost)}, over "
            # What is to be passed is exact: an amount rounded down would be refused again.
            f"`max_cost={format_amount(max_cost)}`. None of them was sent. Pass `max_cost={format_amount(cost)}` to "
            f"proceed{part}."
        )


class DeclinedError(InputError):
    """A person was asked before anything was paid, and the answer was not yes. Nothing was sent."""


class ConfigurationError(ParallelFramesError):
    """Something outside the call is missing or unusable: the API key, the address, an extra."""


class ServiceError(ParallelFramesError):
    """The service refused a request, or could not be reached.

    Attributes
    ----------
    status : int or None
        The HTTP status; None when there was no answer.
    group_id : str or None
        The group the request was about.
    ref_id : str or None
        The service's own reference, for its support.
    """

    def __init__(
        self, message: str, *, status: int | None = None, group_id: str | None = None, ref_id: str | None = None
    ) -> None:
        self.status = status
        self.group_id = group_id
        self.ref_id = ref_id
        about = f" (group {group_id})" if group_id else ""
        reference = f" [reference {ref_id}]" if ref_id else ""
        super().__init__(f"{message}{about}{reference}")


class AuthenticationError(ServiceError):
    """The API key is wrong (401), or may not do this (403). Never retried."""


class CreditError(ServiceError):
    """The account has too little credit (402) and nothing in flight that would release some."""


class RejectedError(ServiceError):
    """The service, or a gateway before it, refuses the request (4xx). Nothing was created."""


class RateLimitError(ServiceError):
    """The service answered 429 until all retries of a request were used up; sending runs waits instead."""


class UnavailableError(ServiceError):
    """The service did not answer, or answered 408 or 5xx, until all retries were used up."""


class ProtocolError(ServiceError):
    """The answer is not this service's: HTML, a body without its fields, an event without end."""


class UndecidedError(ParallelFramesError):
    """It is unknown whether the service created a batch, so its runs are not sent again.

    Attributes
    ----------
    group_id : str
        The group of the batch.
    runs : int
        Runs that may or may not have been created.
    """

    def __init__(self, *, group_id: str, runs: int, reason: str) -> None:
        self.group_id = group_id
        self.runs = runs
        super().__init__(
            f"{format_count(runs, 'run')} may or may not have been created in group {group_id}: {reason}. They are not "
            "sent again, because that could pay for them twice."
        )


class CheckpointError(ParallelFramesError):
    """The checkpoint cannot be used as it is.

    Attributes
    ----------
    path : str or None
        The directory.
    """

    def __init__(self, message: str, *, path: object = None) -> None:
        self.path = None if path is None else str(path)
        super().__init__(message)


class CheckpointMismatchError(CheckpointError):
    """The checkpoint belongs to another job, or contains hardly any of these rows."""


class CheckpointLockedError(CheckpointError):
    """Another writer has this checkpoint open."""


class CheckpointCorruptError(CheckpointError):
    """A file that is indispensable is damaged."""


class SourceError(ParallelFramesError):
    """A source file cannot be read, or has changed since the job began. Answers are kept in the checkpoint.

    Attributes
    ----------
    path : str
        The file.
    """

    def __init__(self, message: str, *, path: object) -> None:
        self.path = str(path)
        super().__init__(message)


class TargetError(ParallelFramesError):
    """A target cannot be written; nothing half-written is left there. Answers are kept in the checkpoint.

    Attributes
    ----------
    path : str
        The target.
    """

    def __init__(self, message: str, *, path: object) -> None:
        self.path = str(path)
        super().__init__(message)


class EnrichmentError(ParallelFramesError):
    """Rows failed and ``on_error="raise"`` was asked for; every outcome is stored.

    Attributes
    ----------
    frame : pandas.DataFrame
        The enriched frame, as ``on_error="keep"`` would have returned it; not set where a file was enriched.
    """

    frame: pd.DataFrame

    def __init__(self, message: str, *, frame: pd.DataFrame | None = None) -> None:
        if frame is not None:
            self.frame = frame
        super().__init__(message)
