"""The network side of a job larger than memory: windows of runs, each with an engine and a group of its own.

A window begins to send as soon as the one before it has sent everything, while that one still waits for answers: the
rate limit is used from the first run to the last. A window's ledger keeps no answers and ends with it.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final, cast

from parallel_frames._engine import Engine
from parallel_frames._files._ledgers import ledger_for_work, ledger_of_group
from parallel_frames._files._views import Watching, WindowStore
from parallel_frames._job._plan import group_metadata

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence

    from parallel_frames._checkpoint import DirectoryStore
    from parallel_frames._files._agenda import Work
    from parallel_frames._files._index import Index
    from parallel_frames._model import Intent, Plan, Receipt
    from parallel_frames._service import Client, Session
    from parallel_frames._state import Ledger
    from parallel_frames._ui import Progress

WINDOW_RUNS: Final = 10_000
LEAST_RUNS: Final = 100
WINDOW_BYTES: Final = 32 * 2**20  # of what its runs send
MOST_OPEN: Final = 120_000  # runs of windows that still wait; each costs about 2 KB, whatever it sent


def window_size(bytes_per_run: float) -> int:
    """Return how many runs a window has: its inputs are in memory until they are sent."""
    return int(min(WINDOW_RUNS, max(LEAST_RUNS, WINDOW_BYTES / max(1.0, bytes_per_run))))


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
                    ledger = ledger_of_group(self.index, group_id)
                    for intent in intents:
                        ledger.open_intent(intent)
                    await self._begin(tasks, plan, ledger, groups=[group_id], cursors=cursors)
                async with aclosing(_ahead(new)) as windows:
                    async for plan, work in windows:
                        if self._left() == 0.0:
                            break
                        self.rows_of.update({each.key: each.rows for each in work})
                        await self._begin(tasks, plan, ledger_for_work(work))
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
            store=WindowStore(self.store, turns=self._turns, groups=groups, on_receipts=_forgetting_inputs(plan)),
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


def _forgetting_inputs(plan: Plan) -> Callable[[Sequence[Receipt]], None]:
    """Return what lets go of an input once its run has a receipt: nothing is sent again, or looked for by it, then."""
    inputs = cast("list[bytes]", plan.inputs)
    entries = {key: entry for entry, key in enumerate(plan.keys)}

    def forget(receipts: Sequence[Receipt]) -> None:
        for receipt in receipts:
            if (entry := entries.get(receipt.key)) is not None:
                inputs[entry] = b""

    return forget


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
