"""A job's store and its progress as one window sees them: as if it were alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from parallel_frames._checkpoint import DirectoryStore
    from parallel_frames._model import DialectName, Outcome, Receipt, RunId
    from parallel_frames._ui import Progress


class WindowStore:
    """The job's store as one window sees it: with its own groups only.

    Parameters
    ----------
    on_receipts : callable
        Told of receipts once they are durable.
    """

    def __init__(
        self,
        store: DirectoryStore,
        *,
        turns: asyncio.Lock,
        groups: Sequence[str] = (),
        on_receipts: Callable[[Sequence[Receipt]], None] = lambda _: None,
    ) -> None:
        self.groups = list(groups)
        self.has_written = False
        self._store = store
        self._turns = turns
        self._on_receipts = on_receipts

    @property
    def location(self) -> str | None:
        """The folder that holds the jobs."""
        return self._store.location

    @property
    def dialect(self) -> DialectName | None:
        """The dialect the groups were opened in."""
        return self._store.dialect

    async def add_group(self, group_id: str, *, dialect: DialectName) -> None:
        """Write the group into the job's header; one window at a time."""
        async with self._turns:
            await self._store.add_group(group_id, dialect=dialect)
        self.groups.append(group_id)

    async def prove_groups(self, *, dialect: DialectName | None) -> None:
        """Keep nothing: a job's groups are known."""

    async def write_intent(self, group_id: str, *, runs: Sequence[RunId], rows: Sequence[int]) -> int:
        """Pass it on."""
        return await self._store.write_intent(group_id, runs=runs, rows=rows)

    async def write_receipt(self, number: int | None, *, receipts: Sequence[Receipt]) -> None:
        """Pass it on."""
        self.has_written = True
        await self._store.write_receipt(number, receipts=receipts)
        self._on_receipts(receipts)

    async def drop_intent(self, number: int) -> None:
        """Pass it on."""
        await self._store.drop_intent(number)

    async def write_outcomes(self, outcomes: Sequence[Outcome], *, cursors: Mapping[str, str]) -> None:
        """Pass it on."""
        self.has_written = True
        await self._store.write_outcomes(outcomes, cursors=cursors)

    async def tidy(self) -> None:
        """Put small parts together; one window at a time."""
        if not self._turns.locked():
            async with self._turns:
                await self._store.tidy()


class Watching:
    """Watches all windows of a job as if they were one."""

    def __init__(self, progress: Progress) -> None:
        self._next = progress
        self._has_begun = False
        self._has_group = False

    def started(self, *, rows: int, waiting: int) -> None:
        """Pass the first one on."""
        if not self._has_begun:
            self._has_begun = True
            self._next.started(rows=rows, waiting=waiting)

    def opened(self, group_id: str) -> None:
        """Say where the first group is; a long job has hundreds, and its manifest names them."""
        if not self._has_group:
            self._has_group = True
            self._next.opened(group_id)

    def sent(self, runs: int) -> None:
        """Pass it on."""
        self._next.sent(runs)

    def finished(self, outcome: Outcome, *, waiting: int) -> None:
        """Pass it on."""
        self._next.finished(outcome, waiting=waiting)

    def said(self, message: str) -> None:
        """Pass it on."""
        self._next.said(message)


class Silent:
    """Watches, and tells nobody."""

    def started(self, *, rows: int, waiting: int) -> None:
        """Say nothing."""

    def opened(self, group_id: str) -> None:
        """Say nothing."""

    def sent(self, runs: int) -> None:
        """Say nothing."""

    def finished(self, outcome: Outcome, *, waiting: int) -> None:
        """Say nothing."""

    def said(self, message: str) -> None:
        """Say nothing."""
