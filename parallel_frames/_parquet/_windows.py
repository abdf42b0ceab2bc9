"""The network side of a job larger than memory: windows of runs, each with an engine and a group of its own.

A window begins to send as soon as the one before it has sent everything, while that one still waits for answers: the
rate limit is used from the first run to the last. A window's ledger keeps no answers and ends with it. Before any of
them sends, every group that the job has is listed once, and what is found there is adopted.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._engine import Books, Engine, look_until_whole
from parallel_frames._ledger import Ledger
from parallel_frames._model import Outcome, Receipt, RunId
from parallel_frames._plan import group_metadata

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

    from parallel_frames._checkpoint import DirectoryStore
    from parallel_frames._client import Client, Session
    from parallel_frames._model import DialectName, Intent, Plan
    from parallel_frames._parquet._index import Index, Work
    from parallel_frames._progress import Progress

WINDOW_RUNS: Final = 10_000
MOST_OPEN: Final = 120_000  # runs of windows that still wait; each costs about 2 KB


class WindowStore:
    """The job's store as one window sees it: with its own groups only."""

    def __init__(self, store: DirectoryStore, *, turns: asyncio.Lock, groups: Sequence[str] = ()) -> None:
        self.groups = list(groups)
        self.has_written = False
        self._store = store
        self._turns = turns

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


@dataclass(slots=True, kw_only=True)
class Windows:
    """What every window of a job needs.

    Attributes
    ----------
    max_in_flight : int or None
    timeout : float or None
        Seconds from the beginning.
    until_sent : bool
        Whether to end once everything is sent.
    """

    index: Index
    store: DirectoryStore
    service: Session
    client: Client
    pacer: Any
    progress: Progress
    rows_of: dict[str, int]
    max_in_flight: int | None = None
    timeout: float | None = None
    until_sent: bool = False
    watching: Watching = field(init=False)
    _turns: asyncio.Lock = field(default_factory=asyncio.Lock)
    _ledgers: list[Ledger] = field(default_factory=list)
    _open: int = 0
    _deadline: float | None = None
    _room: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.watching = Watching(self.progress)

    # Looking first

    async def look_at_groups(self, nothing: Plan, *, unreadable: Sequence[int], sends: bool) -> bool:
        """List every group of the job and adopt what is found; return whether anything was written.

        `nothing` is a plan without rows; `unreadable` are intents of which nobody knows what they meant to send.
        """
        if unreadable and sends:
            settle = self.client.settle_time
            self.progress.said(f"a damaged intent: waiting {settle:.0f} s before anything is sent")
            await self.client.clock.sleep(settle)
        written = False
        for group_id in self.store.groups:
            view = WindowStore(self.store, turns=self._turns, groups=[group_id])
            ledger = self._ledger_of(group_id)
            books = Books(nothing, ledger=ledger, store=view, observer=_Silent())
            awaited = len(ledger.awaited[group_id])
            await look_until_whole(
                self.service,
                books,
                group_id,
                clock=self.client.clock,
                include_output=awaited > max(10, ledger.group_size(group_id) // 10),
                sends=int(sends),
            )
            await books.flush()
            written |= view.has_written
        if sends:
            for number in unreadable:
                await self.store.drop_intent(number)
        return written

    def _ledger_of(self, group_id: str) -> Ledger:
        """Return what is known of one group."""
        ledger = Ledger(keeps_answers=False)
        receipts, outcomes = self.index.runs_of_group(group_id)
        for key, attempt, run_id, status in outcomes:
            ledger.add_outcome(Outcome(key, attempt, run_id, group_id, status))
        for key, attempt, run_id in receipts:
            ledger.add_receipt(Receipt(key, attempt, run_id, group_id))
        return ledger

    # Sending and waiting

    async def run(
        self,
        old: Sequence[tuple[str, Plan, Sequence[Intent]]],
        new: Iterator[tuple[Plan, list[Work]]],
        *,
        cursors: Mapping[str, str],
    ) -> None:
        """Wait for what is under way in old groups, and send and await what is new."""
        self._deadline = None if self.timeout is None else self.client.clock.now() + self.timeout
        try:
            async with asyncio.TaskGroup() as tasks:
                for group_id, plan, intents in old:
                    ledger = self._ledger_of(group_id)
                    for intent in intents:
                        ledger.open_intent(intent)
                    await self._begin(tasks, plan, ledger, groups=[group_id], cursors=cursors)
                async with aclosing(_ahead(new)) as windows:
                    async for plan, work in windows:
                        if self._left() == 0.0:
                            break
                        self.rows_of.update({each.key: each.rows for each in work})
                        await self._begin(tasks, plan, _ledger_for(work))
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _begin(
        self,
        tasks: asyncio.TaskGroup,
        plan: Plan,
        ledger: Ledger,
        *,
        groups: Sequence[str] = (),
        cursors: Mapping[str, str] | None = None,
    ) -> None:
        """Begin a window, and return once it has sent everything and there is room for another."""
        while self._open and self._open + len(plan.keys) > MOST_OPEN:
            self._room.clear()
            await self._room.wait()
        sent = asyncio.Event()
        kept = {group: at for group, at in (cursors or {}).items() if group in groups}
        engine = Engine(
            plan=plan,
            ledger=ledger,
            store=WindowStore(self.store, turns=self._turns, groups=groups),
            service=self.service,
            pacer=self.pacer,
            clock=self.client.clock,
            settle_time=self.client.settle_time,
            observer=self.watching,
            group_metadata=group_metadata(plan.job, library=version("parallel-frames")),
            cursors=kept,
            retry_failed=False,
            max_in_flight=self.max_in_flight,
            until="sent" if self.until_sent else "answered",
            on_sent=sent.set,
            in_flight_elsewhere=lambda: sum(each.in_flight() for each in self._ledgers if each is not ledger),
        )
        self._ledgers.append(ledger)
        self._open += len(plan.keys)
        tasks.create_task(self._run(engine, ledger, sent))
        await sent.wait()

    async def _run(self, engine: Engine, ledger: Ledger, sent: asyncio.Event) -> None:
        keys = engine.plan.keys
        try:
            await engine.run(timeout=self._left())
        finally:
            sent.set()
            self._ledgers.remove(ledger)
            self._open -= len(keys)
            self._room.set()
            self.progress.forget(keys)
            for key in keys:
                self.rows_of.pop(key, None)

    def _left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - self.client.clock.now())


def _ledger_for(work: Sequence[Work]) -> Ledger:
    """Return what is known of runs that are asked anew, on purpose."""
    ledger = Ledger(keeps_answers=False)
    for each in work:
        if each.ended is not None:
            ledger.note_ended(RunId(each.key, each.attempt - 1), each.ended)
    ledger.mark_stale({each.key: each.attempt - 1 for each in work if each.attempt})
    return ledger


async def _ahead(windows: Iterator[tuple[Plan, list[Work]]]) -> AsyncGenerator[tuple[Plan, list[Work]]]:
    """Yield each window, with the next one being read in a thread meanwhile: no sending waits for the source."""

    def take() -> tuple[Plan, list[Work]] | None:
        return next(windows, None)

    coming = asyncio.ensure_future(asyncio.to_thread(take))
    try:
        while (window := await coming) is not None:
            coming = asyncio.ensure_future(asyncio.to_thread(take))
            yield window
    finally:
        await asyncio.wait([coming])  # a thread that reads is not left behind
        if not coming.cancelled():
            coming.exception()  # what it met is told, or the call ends for another reason


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


class _Silent:
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
