"""`StreamSlots`: a priority semaphore for open event streams.

It knows nothing of HTTP or of groups. Only `Session.stream_slot` uses it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class StreamSlots:
    """A priority semaphore for the open event streams of one event loop.

    There may be more groups than connections. Waiters with fewer idle rounds come first, then those who have waited
    longer. Unlike a semaphore's, a slot can be taken away: a holder that reports no activity has to leave once others
    wait, so that silent streams take turns.

    Parameters
    ----------
    limit : int
        Slots there are.
    patience : float
        Real seconds without activity after which a slot is taken away, if others wait.
    """

    def __init__(self, limit: int, *, patience: float) -> None:
        self._free = limit
        self._patience = patience
        self._waiters: list[tuple[int, int, asyncio.Future[None]]] = []  # a heap
        self._numbers = itertools.count()  # order of arrival, the second key of the heap

    @asynccontextmanager
    async def slot(self, *, idle_rounds: int) -> AsyncIterator[Callable[[], None]]:
        """Wait for a slot and hold it for the block, which ends early and without an error when the slot is taken away.

        Parameters
        ----------
        idle_rounds : int
            How many of this caller's last slots brought nothing.

        Yields
        ------
        callable
            To be called at any activity.
        """
        await self._acquire(idle_rounds)
        loop = asyncio.get_running_loop()
        deadline = asyncio.timeout(None)
        timer: asyncio.TimerHandle
        is_active = False

        def note_activity() -> None:
            nonlocal is_active
            is_active = True

        def check() -> None:
            nonlocal is_active, timer
            if self._waiters and not is_active:
                deadline.reschedule(loop.time())
            else:
                is_active = False
                timer = loop.call_later(self._patience, check)

        timer = loop.call_later(self._patience, check)
        try:
            async with deadline:
                yield note_activity
        except TimeoutError:
            if not deadline.expired():  # the block's own
                raise
        finally:
            timer.cancel()
            self._release()

    async def _acquire(self, idle_rounds: int) -> None:
        if self._free:
            self._free -= 1
            return
        granted = asyncio.get_running_loop().create_future()
        entry = (idle_rounds, next(self._numbers), granted)
        heapq.heappush(self._waiters, entry)
        try:
            await granted
        except asyncio.CancelledError:
            if entry in self._waiters:
                self._waiters.remove(entry)
                heapq.heapify(self._waiters)
            elif not granted.cancelled():  # granted in the same turn of the loop: pass it on
                self._release()
            raise

    def _release(self) -> None:
        """Hand the slot to the next waiter."""
        while self._waiters:
            granted = heapq.heappop(self._waiters)[2]
            if not granted.done():
                granted.set_result(None)
                return
        self._free += 1
