"""The rules of paying once, as pure functions: what an input needs, whose a run is, what a look at a group proves.

They know no clock, no file, no network and no index. Whoever acts on them makes things durable in the ledger's order.
A run's identity is (key, attempt).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from parallel_frames._format import format_count
from parallel_frames._model import RunId

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from parallel_frames._model import GroupStatus

COMPLETED: Final = 0
FAILED: Final = 1
CANCELLED: Final = 2
STATUS_CODES: Final = {"completed": COMPLETED, "failed": FAILED, "cancelled": CANCELLED}
STATUS_NAMES: Final = {code: name for name, code in STATUS_CODES.items()}

ANSWERED: Final = -1
AWAITED: Final = -2
LEFT_OUT: Final = -3  # beyond the limit
NEVER: Final = ""  # no answer is from before this moment

LOOKS_AFTER_SETTLING: Final = 8
HEX: Final = frozenset("0123456789abcdef")


def next_step(
    newest: int | None,
    status: int | None,
    answered: int | None,
    ended_at: str | None,
    marked: int | None,
    *,
    retry_failed: bool,
    stale_before: str,
) -> int:
    """Return the attempt to send for one input, or `ANSWERED` or `AWAITED` where nothing is to be sent.

    Whether a row is sent again, and so paid again, is decided here and nowhere else.

    Parameters
    ----------
    newest : int or None
        The newest attempt that was sent or may have been; None for an input that was never sent.
    status : int or None
        What became of that attempt (`STATUS_CODES`); None while it is under way or undecided.
    answered : int or None
        The newest attempt that completed.
    ended_at : str or None
        When the newest attempt ended: ISO 8601 in UTC, which sorts as text.
    marked : int or None
        The newest attempt when the refresh began, which asks it again; None without a refresh.
    retry_failed : bool
        Whether an input whose newest attempt failed is asked again; with an older answer, only where that is old.
    stale_before : str
        Answers from before this moment are asked again.
    """
    if newest is None:
        return 0
    if status is None:
        return AWAITED  # what is under way is never bought again, not even by a refresh
    if marked == newest:
        return newest + 1
    if answered is not None:
        # An old answer whose repetition failed is as old as that failure, so that each call asks it once at most.
        is_old = ended_at is not None and ended_at < stale_before
        return newest + 1 if is_old and (status == COMPLETED or retry_failed) else ANSWERED
    return newest + 1 if retry_failed else ANSWERED


def read_identity(metadata: Mapping[str, object] | None) -> RunId | None:
    """Return the identity that a run's metadata carries, if the run is one of ours."""
    if not metadata:
        return None
    key, attempt = metadata.get("key"), metadata.get("attempt")
    if not isinstance(key, str) or len(key) != 32 or not HEX.issuperset(key):
        return None
    number = str(attempt)
    return RunId(key, int(number)) if number.isdecimal() and len(number) < 7 else None


def judge_look(
    status: GroupStatus, run_ids: Collection[str], acknowledged: Iterable[str], *, unreadable: int = 0
) -> str | None:
    """Return why nothing may be concluded from what a look at a group lacks; None if absence may be concluded.

    A listing or a count that lags, or that was cut short, proves no absence. Entries that cannot be read are no flaw
    where they can only be the acknowledged runs that are not listed otherwise.
    """
    owed = set(acknowledged)
    lacking = owed.difference(run_ids)
    if status.runs < len(owed):
        return f"the group counts {format_count(status.runs, 'run')} where {len(owed):,} were acknowledged"
    if len(run_ids) + unreadable < status.runs:
        return f"the list holds {len(run_ids) + unreadable:,} of {format_count(status.runs, 'run')}"
    if len(lacking) > unreadable:
        return f"the list lacks {format_count(len(lacking), 'acknowledged run')}"
    if unreadable > len(lacking):
        return f"{unreadable} entries of the list cannot be read, and may be of any run"
    return None


def judge_batch(
    *, missing: int, flaw: str | None, waited: float, settle_time: float, looks: int
) -> Literal["present", "absent", "undecided", "undecidable"]:
    """Return what a look says of a batch whose POST proved nothing.

    *Present*: all its runs were found. *Absent*: a look without a flaw, taken after the settle time, lacks some.
    *Undecidable*: the settle time is long over, and no look was without a flaw.
    """
    if not missing:
        return "present"
    if flaw is None and waited >= settle_time:
        return "absent"
    return "undecidable" if waited > settle_time and looks > LOOKS_AFTER_SETTLING else "undecided"
