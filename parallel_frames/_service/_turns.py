"""Turns at something of which there is little: so many at a time, and who makes no use of it gives way to others."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class Turns:
    """Gives turns to the tasks of one event loop.

    Parameters
    ----------
    limit : int
        How many have a turn at a time.
    patience : float
        Seconds of the wall after which a turn that is of no use ends, if others wait.
    """

    def __init__(self, limit: int, *, patience: float) -> None:
        self._free = limit
        self._patience = patience
        self._line: list[tuple[int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()

    @asynccontextmanager
    async def turn(self, *, useless: int) -> AsyncIterator[Callable[[], None]]:
        """Wait for a turn and take it; the block is broken off without an error once it has to give way.

        Parameters
        ----------
        useless : int
            How many turns in a row were of no use; those with fewer come first, and then those who wait longer.

        Yields
        ------
        callable
            To be called whenever the turn was of use.
        """
        await self._take(useless)
        loop = asyncio.get_running_loop()
        used = False
        limit = asyncio.timeout(None)
        timer: asyncio.TimerHandle | None = None

        def use() -> None:
            nonlocal used
            used = True

        def look() -> None:
            nonlocal used, timer
            if self._line and not used:
                limit.reschedule(loop.time())
            else:
                used = False
                timer = loop.call_later(self._patience, look)

        timer = loop.call_later(self._patience, look)
        try:
            async with limit:
                yield use
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            timer.cancel()
            self._give()

    async def _take(self, useless: int) -> None:
        if self._free:
            self._free -= 1
            return
        place = asyncio.get_running_loop().create_future()
        entry = (useless, next(self._numbers), place)
        heapq.heappush(self._line, entry)
        try:
            await place
        except asyncio.CancelledError:
            if entry in self._line:
                self._line.remove(entry)
                heapq.heapify(self._line)
            elif not place.cancelled():  # it was given a turn just then
                self._give()
            raise

    def _give(self) -> None:
        """Let the next one have a turn."""
        while self._line:
            place = heapq.heappop(self._line)[2]
            if not place.done():
                place.set_result(None)
                return
        self._free += 1
