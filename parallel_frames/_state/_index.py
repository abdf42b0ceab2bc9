"""What every index shares: the numbers and steps that it returns, the states that it takes, one thread at a time."""

# Arrow makes its functions when it is imported.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Concatenate, Final, NamedTuple, ParamSpec, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from parallel_frames._model import LOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from parallel_frames._model import Outcome, Receipt

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")

# What an index takes of receipts, and of outcomes: everything but texts.
RUN_SCHEMA: Final = pa.schema(
    [("key", pa.string()), ("attempt", pa.int32()), ("group_id", pa.string()), ("run_id", pa.string())]
)
STATE_SCHEMA: Final = pa.schema(
    [
        ("key", pa.string()),
        ("attempt", pa.int32()),
        ("status", pa.string()),
        ("output_type", pa.string()),
        ("group_id", pa.string()),
        ("run_id", pa.string()),
        ("modified_at", pa.string()),
        ("created_at", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What a source comes to, in numbers.

    Attributes
    ----------
    rows, chosen, skipped : int
        Rows of the source, those asked about, and of these the ones with nothing to send.
    runs, left_out : int
        Distinct inputs, and those beyond ``limit``.
    answered, failed, awaited, to_send : int
        Runs within the limit; `failed` are those of the answered ones that failed and are not asked again.
    in_doubt : int
        Of the awaited runs, those in a batch of which it is not known whether it was created.
    rows_answered, rows_failed, rows_open : int
        Rows of the answered runs, of the failed ones among them, and of those that are awaited or to be sent.
    sent, billed : int
        Runs that were ever sent for these rows, and those of them that did not fail: failed and cancelled runs are
        not billed, but those are that completed and whose output was lost.
    known, keys : int
        Runs of which the checkpoint knows anything, and everything it knows.
    """

    rows: int
    chosen: int
    skipped: int
    runs: int
    left_out: int
    answered: int
    failed: int
    awaited: int
    in_doubt: int
    to_send: int
    rows_answered: int
    rows_failed: int
    rows_open: int
    sent: int
    billed: int
    known: int
    keys: int

    @property
    def under_way(self) -> int:
        """Runs that are awaited, and of which it is known that they were created."""
        return self.awaited - self.in_doubt


class Step(NamedTuple):
    """A run that is to be sent: the first row with its input, its key and attempt, and how many rows share it."""

    row: int
    key: str
    attempt: int
    rows: int


def locked(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
    """Let one thread at a time use an index: a handle may be asked while the enrichment runs."""

    @wraps(method)
    def alone(self: Any, /, *args: P.args, **options: P.kwargs) -> T:
        with self._lock:
            return method(self, *args, **options)

    return alone


def runs_of(receipts: Iterable[Receipt]) -> pa.Table:
    """Return receipts as an index takes them."""
    return _table_of(receipts, RUN_SCHEMA)


def states_of(outcomes: Iterable[Outcome]) -> pa.Table:
    """Return outcomes as an index takes them."""
    return _table_of(outcomes, STATE_SCHEMA)


def _table_of(nouns: Iterable[Outcome | Receipt], schema: pa.Schema) -> pa.Table:
    nouns = list(nouns)
    return pa.table([list(map(attrgetter(name), nouns)) for name in schema.names], schema=schema)


def are_billed(states: pa.Table) -> pa.Array:
    """Return which runs are billed, as `Outcome.is_billed` does for one."""
    is_lost = pc.fill_null(pc.equal(states.column("output_type"), LOST), False)  # noqa: FBT003 - Arrow's signature
    return pc.or_(pc.equal(states.column("status"), "completed"), is_lost).combine_chunks()


def ended_at(states: pa.Table) -> pa.Array:
    """Return when runs ended, in UTC, as ISO 8601 texts that sort; null for what is no time.

    Where the service does not say when a run ended, the outcome counts as old as the run.
    """
    texts = pc.coalesce(states.column("modified_at"), states.column("created_at")).combine_chunks()
    in_utc = pc.and_(pc.ends_with(texts, "Z"), pc.equal(pc.utf8_slice_codeunits(texts, 10, 11), "T"))
    if pc.all(in_utc, min_count=0).as_py():  # nulls are skipped: as the service writes times, nothing is left to do
        return texts
    return pa.array(map(utc_time, texts.to_pylist()), pa.string())


def utc_time(text: str | None) -> str | None:
    """Return a time of the service in UTC, as ISO 8601 that sorts; None for what is no time."""
    if not text:
        return None
    if text[-1] == "Z" and text[10:11] == "T":
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    return moment.replace(tzinfo=None).isoformat() + "Z"
