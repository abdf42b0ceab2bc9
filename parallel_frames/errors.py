"""Every way an enrichment can go wrong, as one tree.

::

    ParallelFramesError
    ├── InputError (ValueError)          the call or the frame is wrong; nothing was sent
    │   ├── SchemaError                  the service would refuse the schema
    │   ├── UnknownColumnError (KeyError)
    │   ├── CostError                    it would cost more than ``max_cost=``
    │   └── DeclinedError                ``confirm=True`` asked, and the answer was no
    ├── ConfigurationError               no key, an unusable address
    ├── ServiceError                     the service refused, or could not be reached
    │   ├── AuthenticationError          401, 403
    │   ├── CreditError                  402
    │   ├── RejectedError                400, 404, 422: the request itself
    │   ├── RateLimitError               429, and waiting did not help
    │   ├── UnavailableError             408, 5xx, connections that fail
    │   └── ProtocolError                an answer that is not this service's
    ├── UndecidedError                   it cannot be told whether a batch was created; never guessed
    ├── CheckpointError
    │   ├── CheckpointMismatchError      the directory belongs to another job, or to other rows
    │   ├── CheckpointLockedError        somebody else is writing
    │   └── CheckpointCorruptError       a file is damaged beyond setting aside
    ├── SourceError                      a source cannot be read, or changed under a running job
    ├── TargetError                      a target cannot be written
    └── EnrichmentError                  only for ``on_error="raise"``: rows failed; carries the frame

The facts of an error are attributes; its message is built in one place. Once runs were sent, an error that
leaves also carries a `Safety`: what is safe, where, and the line that goes on. This module knows nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from decimal import Decimal

    import pandas as pd


@dataclass(frozen=True, slots=True)
class Safety:
    """What is already safe when a call ends early.

    Attributes
    ----------
    answered : int
        Rows whose outcome is stored; where the error is of sending more, without those that it would ask again.
    rows : int
        Rows of the frame.
    sent : int
        Runs the service has acknowledged for this frame.
    group_ids : tuple of str
        The groups the runs are in.
    checkpoint : str or None
        The directory that holds the outcomes; None without one.
    is_refused : bool
        Whether the same call would be refused again, and how to go on is the error's own to say.
    """

    answered: int
    rows: int
    sent: int
    group_ids: tuple[str, ...]
    checkpoint: str | None
    is_refused: bool = False

    def __str__(self) -> str:
        groups = ", ".join(self.group_ids) or "none yet"
        sent = f"{self.sent} run{'s' * (self.sent != 1)} sent"
        told = f"{self.answered} of {self.rows} rows are answered, {sent} (group {groups})"
        if self.is_refused:
            where = "in the group" if self.checkpoint is None else f"in {self.checkpoint}"
            return f"{told} and safe {where}: nothing of it is paid twice."
        if self.checkpoint is not None:
            return f"{told} and safe in {self.checkpoint}. Run the same again to go on: nothing is paid twice."
        if not self.group_ids:
            return f"{told}. Nothing was written to disk; run the call again."
        return (
            f"{told}. There is no checkpoint: go on with pf.last().resume() in this process, or with "
            f"enrich(..., group_id={list(self.group_ids)!r}) in another; df.parallel.collect(group_id, schema) fetches "
            "what is done."
        )


class ParallelFramesError(Exception):
    """Root of everything this library raises on purpose.

    Attributes
    ----------
    safety : Safety or None
        What is safe, once something was sent; None before.
    """

    safety: Safety | None = None

    def __str__(self) -> str:
        message = Exception.__str__(self)  # KeyError's would quote it
        return message if self.safety is None else f"{message}\n{self.safety}"

    def __reduce__(self) -> tuple[Callable[..., ParallelFramesError], tuple[object, ...]]:
        return _restore, (type(self), self.args, self.__dict__)


def _restore(
    kind: type[ParallelFramesError], args: tuple[object, ...], facts: dict[str, object]
) -> ParallelFramesError:
    """Return an error as it was in another process; its message is not built a second time."""
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class InputError(ParallelFramesError, ValueError):
    """The call or the frame is wrong. Nothing was sent, nothing is lost."""


class SchemaError(InputError):
    """The service would refuse this schema; names the rule, the path, the limit and the value."""


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
        super().__init__(f"{where} names the column {column!r}, which the frame does not have; it has {shown}{more}.")


class CostError(InputError):
    """Going on would cost more than ``max_cost``. Of what it would have sent, nothing was sent.

    Attributes
    ----------
    runs : int
        Runs that were about to be sent.
    cost : float
        US dollars of these and of what the rows' runs have cost before.
    max_cost : float
        What was allowed.
    limit : int or None
        The ``limit=`` with which the same call would stay below it; None where there is none.
    """

    def __init__(self, *, runs: int, sent: int, per_run: Decimal, max_cost: Decimal, limit: int | None = None) -> None:
        self.runs = runs
        self.cost = float(per_run * (runs + sent))
        self.max_cost = float(max_cost)
        before = f" and {sent:,} sent before" if sent else ""
        self.limit = limit
        way_out = "" if limit is None else f", or limit={limit} for a part of it"
        to_send = f"{runs:,} run{'s' * (runs != 1)} to send"
        super().__init__(
            f"{to_send}{before} come{'s' * (runs + sent == 1)} to ${self.cost:,.2f}, over "
            f"max_cost={self.max_cost:g}. None of them was sent. Say max_cost={self.cost:g} to go on{way_out}."
        )


class DeclinedError(InputError):
    """``confirm=True`` asked, and the answer was not yes. Nothing was sent."""


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
    """The key is wrong (401), or may not do this (403). Never retried."""


class CreditError(ServiceError):
    """The account has too little credit (402) and nothing in flight that would release some."""


class RejectedError(ServiceError):
    """The service understood the request and refuses it (400, 404, 422). Nothing was created."""


class RateLimitError(ServiceError):
    """The service kept answering 429 for longer than we were willing to wait."""


class UnavailableError(ServiceError):
    """The service did not answer, or answered 408 or 5xx, more often than we were willing to try."""


class ProtocolError(ServiceError):
    """The answer is not one of this service's: HTML, a body without its fields, a stream without end."""


class UndecidedError(ParallelFramesError):
    """Whether the service created a batch cannot be told, so nothing more is sent for it.

    Attributes
    ----------
    group_id : str
        The group in question.
    runs : int
        Runs that may or may not have been created.
    """

    def __init__(self, *, group_id: str, runs: int, reason: str) -> None:
        self.group_id = group_id
        self.runs = runs
        super().__init__(
            f"{runs} runs may or may not have been created in group {group_id}: {reason}. They are not sent again, "
            "because that could pay for them twice; a later call looks again."
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
    """The checkpoint belongs to another job, or hardly knows these rows."""


class CheckpointLockedError(CheckpointError):
    """Another writer has this checkpoint open."""


class CheckpointCorruptError(CheckpointError):
    """A file that cannot be done without is damaged."""


class SourceError(ParallelFramesError):
    """A source file cannot be read, or is not what it was when the job began. Answers are kept in the checkpoint.

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
        The enriched frame, as ``on_error="keep"`` would have returned it; not there where a file was enriched.
    """

    frame: pd.DataFrame

    def __init__(self, message: str, *, frame: pd.DataFrame | None = None) -> None:
        if frame is not None:
            self.frame = frame
        super().__init__(message)
