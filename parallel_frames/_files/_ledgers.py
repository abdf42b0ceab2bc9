"""What an engine has to know of runs before it begins: of a group that was opened before, and of runs asked anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallel_frames._model import Outcome, Receipt, RunId
from parallel_frames._state import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallel_frames._files._agenda import Work
    from parallel_frames._files._index import Index


def ledger_of_group(index: Index, group_id: str) -> Ledger:
    """Return what is known of one group."""
    ledger = Ledger(keeps_answers=False)
    receipts, outcomes = index.runs_of_group(group_id)
    ledger.recall(
        outcomes=(Outcome(key, attempt, run_id, group_id, status) for key, attempt, run_id, status in outcomes),
        receipts=(Receipt(key, attempt, run_id, group_id) for key, attempt, run_id in receipts),
    )
    return ledger


def ledger_for_work(work: Sequence[Work]) -> Ledger:
    """Return what is known of runs that are asked anew, on purpose."""
    ledger = Ledger(keeps_answers=False)
    for each in work:
        if each.ended is not None:
            ledger.note_ended(RunId(each.key, each.attempt - 1), each.ended)
    ledger.mark_stale({each.key: each.attempt - 1 for each in work if each.attempt})
    return ledger
