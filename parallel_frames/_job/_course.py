"""One enrichment under way: it puts the floors together (plan, memory, engine, merge) and knows how far it got.

What a person asks of it is the handle's; what is said and asked before the first run is `_before`'s. What it says
itself is what is safe when a call ends early.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from itertools import chain
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from parallel_frames._checkpoint import in_thread
from parallel_frames._columns import merge_outcomes
from parallel_frames._engine import Engine
from parallel_frames._job._arriving import RowMaker, telling
from parallel_frames._job._before import afford, announce_call, watching
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._plan import group_metadata
from parallel_frames._job._remember import Memory, freeze_spec, opened_memory
from parallel_frames._job._telling import tell_of_enrichment
from parallel_frames._state import Ledger
from parallel_frames._ui import showing
from parallel_frames.errors import CostError, EnrichmentError, InputError, ParallelFramesError, Safety

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pandas as pd

    from parallel_frames._columns import Layout, Merged
    from parallel_frames._job._arriving import Row
    from parallel_frames._job._call import Call
    from parallel_frames._job._decide import Decided
    from parallel_frames._job._offline import Destination
    from parallel_frames._model import Outcome, Plan
    from parallel_frames._service import Client
    from parallel_frames._state import Answers, Needs
    from parallel_frames._ui import Progress

Until: TypeAlias = Literal["answered", "sent", "looked"]
LOOK_SECONDS: Final = 20.0
TIMES: Final = ("created_at", "modified_at")


class Course:
    """The state of one enrichment, before, while and after it runs.

    Attributes
    ----------
    decided : Decided
    plan : Plan
        With the task spec that the job's first call froze, once the checkpoint was read.
    ledger : Ledger or None
        None before the first run.
    group_ids : tuple of str
    checkpoint : str or None
    has_begun : bool
        Whether everything was sent once: what failed since is not tried again by going on.
    halted : bool
        Whether nothing more is to be sent.
    """

    def __init__(self, decided: Decided) -> None:
        self.decided = decided
        self.plan: Plan = decided.plan
        self.ledger: Ledger | None = None
        self.group_ids: tuple[str, ...] = ()
        self.checkpoint: str | None = None
        self.simulated = False
        self.refreshing = decided.call.refresh
        self.destination: Destination | None = None
        self.matched: Mapping[str, int] | None = None
        self.memory: Memory | None = None
        self.is_running = False
        self.has_begun = False
        self.halted = False
        self._engine: Engine | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    # What is known

    def answers(self) -> Answers:
        """Return what stands for each run of the plan so far."""
        return (self.ledger or Ledger()).answers(self.plan.keys)

    def outcomes(self) -> list[Outcome]:
        """Return the outcomes that there are so far."""
        return [known for known in self.answers().outcomes() if known is not None]

    def needs(self) -> Needs | None:
        """Return what is left to do; None before the first run."""
        if self.ledger is None:
            return None
        keys = self.plan.keys[: self.decided.call.limit]
        return self.ledger.needs(keys, retry_failed=self.decided.call.retry_failed and not self.has_begun)

    def times(self) -> list[tuple[str | None, str | None, str]]:
        """Return when each ended run began and ended, and its status."""
        answers = self.answers()
        began, ended = (chain.from_iterable(v for _, v in answers.completed(name)) for name in TIMES)
        told = [(first, last, "completed") for first, last in zip(began, ended, strict=True)]
        return told + [(each.created_at, each.modified_at, each.status) for each in answers.others().values()]

    def known_rows(self) -> Iterator[Row]:
        """Yield the rows that have an outcome."""
        maker = RowMaker(self.decided.df, self.plan, self.decided.schema)
        return maker.rows_of(self.outcomes())

    def count_ended(self) -> int:
        """Return how many runs of the plan have an outcome."""
        return 0 if self.ledger is None else sum(map(self.ledger.has_answer, self.plan.keys))

    def count_sent(self) -> int:
        """Return how many runs were sent for these rows, in this call and before."""
        if self.ledger is None:
            return 0
        newest = map(self.ledger.newest, self.plan.keys)
        return sum(attempt + 1 for attempt in newest if attempt is not None)

    def safety(self, *, is_refused: bool = False) -> Safety | None:
        """Return what is safe; None while nothing was sent. A call that is refused would ask some rows again."""
        sent, ledger = self.count_sent(), self.ledger or Ledger()
        if not self.group_ids and sent == 0:
            return None
        needs = self.needs() if is_refused else None
        again = {entry for entry, _ in needs.to_send} if needs is not None else set()
        answered = [entry not in again and ledger.has_answer(key) for entry, key in enumerate(self.plan.keys)]
        rows = sum(answered[entry] for entry in self.plan.row_runs.tolist() if entry >= 0)
        return Safety(rows, self.plan.rows, sent, self.group_ids, self.checkpoint, is_refused)

    def merge(self, layout: Layout | None = None) -> Merged:
        """Return the frame with what is known so far."""
        ledger = self.ledger
        return merge_outcomes(
            self.decided.df,
            self.plan,
            self.decided.schema,
            answers=self.answers(),
            is_sent=lambda key: ledger is not None and ledger.newest(key) is not None,
            layout=layout or self.decided.layout,
            dtype_backend=self.decided.call.dtype_backend,
        )

    def frame(self, merged: Merged) -> pd.DataFrame:
        """Return a merged frame with its small, JSON-safe attrs."""
        told = {
            "job": self.plan.job.hash,
            "processor": self.decided.call.processor,
            "group_ids": list(self.group_ids),
            "checkpoint": self.checkpoint,
            "rows": dict(merged.counts),
            "simulated": self.simulated,
            **({} if self.matched is None else {"matched": dict(self.matched)}),
        }
        return tell_of_enrichment(merged.frame, self.decided.df, layout=self.decided.layout, told=told)

    def finish(self) -> pd.DataFrame:
        """Return the enriched frame, or raise it where failures are to raise."""
        merged = self.merge()
        frame = self.frame(merged)
        bad = {name: merged.counts[name] for name in ("failed", "cancelled", "invalid") if merged.counts.get(name)}
        if bad and self.decided.call.on_error == "raise":
            told = ", ".join(f"{count} {name}" for name, count in bad.items())
            raise EnrichmentError(
                f"{told} of {len(frame)} rows; everything is stored, and the frame is on this exception as .frame. "
                "Run the same call again to try failed rows anew.",
                frame=frame,
            )
        return frame

    # Running

    def stop_sending(self) -> None:
        """Send nothing more; may be called from any thread, and before it runs."""
        self.halted = True
        engine, loop = self._engine, self._loop
        if engine is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(engine.halt)

    async def go(self, until: Until = "answered", *, tell: Callable[[Row], object] | None = None) -> None:
        """Go on until everything is answered, or sent, or the groups were looked at once."""
        if self.is_running:
            raise InputError("This enrichment is running already: wait for it, or iterate over it.")
        if not self.plan.keys:
            return
        place = self.destination = self.destination or choose_destination(self.decided.call.client)
        if place.is_gone:
            raise InputError("The offline block of this enrichment has ended, and its simulator with it.")
        call = replace(self.decided.call, refresh=self.refreshing)
        looks = until == "looked"
        self.is_running = True
        try:
            with showing(False if looks else call.progress) as progress:
                async with opened_memory(
                    call, self.plan, host=place.host, root=place.root, price=self.decided.price, carried=self.memory
                ) as memory:
                    await self._go_on(call, memory, progress, client=place.client, until=until, tell=tell)
        finally:
            self.is_running = False

    async def _go_on(
        self,
        call: Call,
        memory: Memory,
        progress: Progress,
        *,
        client: Client,
        until: Until,
        tell: Callable[[Row], object] | None,
    ) -> None:
        self._take_memory(memory)
        try:
            await self._work(client, memory, progress, until, telling(tell, call.on_row))
            if until == "looked" or (until == "sent" and self._is_all_sent()):
                progress.leave_as(until)
        except ParallelFramesError as error:
            error.safety = self.safety(is_refused=isinstance(error, CostError))
            raise
        except (KeyboardInterrupt, asyncio.CancelledError):
            if until != "looked" and (safety := self.safety()) is not None:
                progress.line(f"Stopped: {safety}")
            raise
        finally:
            self.group_ids = tuple(memory.store.groups)
        if self.refreshing and await in_thread(lambda: memory.end_refresh(self.plan)):
            self.refreshing = False

    def _is_all_sent(self) -> bool:
        needs = self.needs()
        return needs is not None and not needs.to_send

    def _take_memory(self, memory: Memory) -> None:
        self.memory, self.ledger, self.checkpoint = memory, memory.ledger, memory.location
        self.simulated = memory.simulated or (self.destination is not None and self.destination.block is not None)
        self.plan = freeze_spec(self.plan, memory)
        self.group_ids = tuple(memory.store.groups)

    async def _work(
        self,
        client: Client,
        memory: Memory,
        progress: Progress,
        until: Until,
        tell: Callable[[Row], object] | None,
    ) -> None:
        needs = self.needs()
        if needs is None:
            return
        if until != "looked":
            announce_call(self, client, memory, progress, needs)
        retry_failed = self.decided.call.retry_failed and not self.has_begun
        with watching(self, progress, client, needs, tell) as observer:
            if not (needs.to_send or needs.awaited):
                return
            with client.pacer.joined(client.max_per_minute) as pacer:
                async with client.session(dialect=memory.store.dialect) as session:
                    engine = Engine(
                        plan=self.plan,
                        ledger=memory.ledger,
                        store=memory.store,
                        service=session,
                        pacer=pacer,
                        clock=client.clock,
                        settle_time=client.settle_time,
                        observer=observer,
                        group_metadata=group_metadata(self.plan.job, library=version("parallel-frames")),
                        cursors=memory.cursors,
                        retry_failed=retry_failed,
                        max_in_flight=self.decided.call.max_in_flight,
                        unreadable_intents=memory.unreadable_intents,
                        limit=self.decided.call.limit,
                        until=until,
                        afford=partial(afford, self),
                    )
                    try:
                        await self._run_engine(engine, timeout=self._timeout(until))
                    finally:
                        self.group_ids = tuple(memory.store.groups)
                        self.simulated |= session.simulated
                        await in_thread(lambda: memory.store.note_simulated(self.simulated))

    def _timeout(self, until: Until) -> float | None:
        return LOOK_SECONDS if until == "looked" else self.decided.call.timeout

    async def _run_engine(self, engine: Engine, *, timeout: float | None) -> None:  # noqa: ASYNC109 - the engine's own
        self._loop, self._engine = asyncio.get_running_loop(), engine
        if self.halted:
            engine.halt()
        try:
            await engine.run(timeout=timeout)
            if engine.until != "looked":
                self.has_begun = True
        finally:
            self._engine = self._loop = None
