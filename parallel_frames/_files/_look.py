"""Looking first: before anything is sent, every group that the job has is listed once, and what is there is adopted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from parallel_frames._engine import Books, look_until_whole
from parallel_frames._files._ledgers import ledger_of_group
from parallel_frames._files._views import Silent, WindowStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallel_frames._checkpoint import DirectoryStore
    from parallel_frames._files._index import Index
    from parallel_frames._model import Plan, RunEvent, RunId
    from parallel_frames._service import Client, Session
    from parallel_frames._ui import Progress


async def look_at_groups(
    index: Index,
    store: DirectoryStore,
    service: Session,
    client: Client,
    *,
    nothing: Plan,
    seek: Callable[[RunEvent], RunId | None] | None,
    sends: bool,
) -> bool:
    """List every group of the job and adopt what is found; return whether anything was written.

    `nothing` is a plan without rows; `seek` recognises runs by their input alone.
    """
    written = False
    for group_id in store.groups:
        view = WindowStore(store, turns=asyncio.Lock(), groups=[group_id])
        ledger = ledger_of_group(index, group_id)
        books = Books(nothing, ledger=ledger, store=view, observer=Silent())
        awaited = len(ledger.awaited[group_id])
        await look_until_whole(
            service,
            books,
            group_id,
            clock=client.clock,
            include_output=awaited > max(10, ledger.group_size(group_id) // 10),
            seek=seek,
            sends=int(sends),
        )
        await books.flush()
        written |= view.has_written
    return written


async def settle_unreadable(numbers: Sequence[int], client: Client, *, progress: Progress) -> None:
    """Wait until what a damaged intent meant to send, which nobody knows, must be in its group."""
    if numbers:
        settle = client.settle_time
        progress.said(f"a damaged intent: waiting {settle:.0f} s before anything is sent")
        await client.clock.sleep(settle)
