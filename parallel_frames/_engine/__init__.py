"""One enrichment's network side: submit ∥ stream ∥ look ∥ hydrate, until every key has an outcome.

It is given a service and a store by their protocols, and knows neither HTTP nor Parquet nor pandas. What may be
concluded is the ledger's to say; when something is durable is the store's.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from parallel_frames._engine._books import Books
from parallel_frames._engine._follow import follow_group, hydrate
from parallel_frames._engine._look import list_patiently, look_until_whole, seek_among
from parallel_frames._engine._submit import Submitter
from parallel_frames._model import RunId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parallel_frames._clock import Clock, Pacer
    from parallel_frames._engine._protocols import Observer, Service, Store
    from parallel_frames._model import Json, Plan
    from parallel_frames._state import Ledger

__all__ = ["Books", "Engine", "list_patiently", "look_until_whole"]

FLUSH_EVERY: Final = 0.5
GRACE: Final = 5.0


@dataclass(slots=True, kw_only=True)
class Engine:
    """Everything one enrichment needs to run.

    Attributes
    ----------
    retry_failed : bool
        Whether keys whose newest attempt failed are tried again.
    unreadable_intents : tuple of int
        Numbers of intents of which nobody knows what they meant to send: all sending waits for the settle time.
    limit : int or None
        Only the first so many inputs of the plan are sent or awaited.
    until : str
        ``"answered"``: every key has an outcome; ``"sent"``: nothing is left to send, and no batch is undecided;
        ``"looked"``: each group was looked at once, and nothing is sent.
    afford : callable or None
        Told how many runs are about to be sent, once that is certain; raises where they are too many.
    on_sent : callable
        Called once nothing is left to send.
    in_flight_elsewhere : callable or None
        Returns how many runs of this job other engines have in flight; they count for `max_in_flight`.
    """

    plan: Plan
    ledger: Ledger
    store: Store
    service: Service
    pacer: Pacer
    clock: Clock
    settle_time: float
    observer: Observer
    group_metadata: Mapping[str, Json]
    cursors: Mapping[str, str]
    retry_failed: bool = True
    max_in_flight: int | None = None
    unreadable_intents: tuple[int, ...] = ()
    limit: int | None = None
    until: Literal["answered", "sent", "looked"] = "answered"
    afford: Callable[[Sequence[int]], None] | None = None
    on_sent: Callable[[], None] = lambda: None
    in_flight_elsewhere: Callable[[], int] | None = None
    _submitter: Submitter | None = None
    _halted: bool = False

    def halt(self) -> None:
        """Send nothing more, from now on or from the beginning; to be called in the engine's own loop."""
        self._halted = True
        if self._submitter is not None:
            self._submitter.halt()

    async def run(self, *, timeout: float | None) -> Books:  # noqa: ASYNC109 - a deadline that leaves rows pending
        """Run until every key has an outcome, or `timeout` seconds of the clock have passed."""
        books = Books(self.plan, ledger=self.ledger, store=self.store, observer=self.observer)
        for group_id, cursor in self.cursors.items():
            books.track(group_id).durable = cursor
        followers: dict[str, asyncio.Task[None]] = {}

        def follow(group_id: str, *, is_new: bool = True) -> None:
            self.observer.opened(group_id)
            followers[group_id] = asyncio.create_task(
                follow_group(group_id, books=books, service=self.service, clock=self.clock, is_new=is_new)
            )

        submitter = Submitter(
            books,
            service=self.service,
            pacer=self.pacer,
            clock=self.clock,
            settle_time=self.settle_time,
            retry_failed=self.retry_failed,
            max_in_flight=self.max_in_flight,
            in_flight_elsewhere=self.in_flight_elsewhere,
            group_metadata=self.group_metadata,
            on_group=follow,
        )
        self._submitter = submitter
        if self._halted:
            submitter.halt()
        work = asyncio.create_task(self._work(books, submitter, follow))
        side = [
            asyncio.create_task(hydrate(books=books, service=self.service, clock=self.clock)),
            asyncio.create_task(self._flush_often(books)),
        ]
        try:
            await self._until_done(work, side, followers, timeout=timeout, submitter=submitter)
        finally:
            tasks = [work, *side, *followers.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await books.flush()
        return books

    async def _work(self, books: Books, submitter: Submitter, follow: Callable[..., None]) -> None:
        """Look first, then send and wait."""
        self._plan_work(books, submitter)
        if not books.waiting:
            return
        self.observer.started(rows=self.plan.rows, waiting=len(books.waiting))
        if self.until == "looked":
            await self._look_at_groups(books, submitter)
            while books.to_hydrate:
                await books.news()
            return
        if self.store.groups:
            whole = False
            while not whole:  # what it finds may have to be tried again, and that needs a whole look
                whole = await self._look_first(books, submitter)
                await books.flush()  # a failure is durable before its retry's intent
                self._plan_work(books, submitter)
                whole = whole or not submitter.queue
            for intent in self.ledger.intents.values():
                submitter.reopen(intent)
            for group_id in self.store.groups:
                follow(group_id, is_new=False)
        if self.afford is not None:
            self.afford([entry for entry, _ in submitter.queue])
        await submitter.run()
        self.on_sent()
        while books.waiting and self.until == "answered":
            await books.news()

    def _plan_work(self, books: Books, submitter: Submitter) -> None:
        """Fill the queue and the set of runs waited for from what the ledger knows."""
        keys = self.plan.keys[: self.limit]
        needs = self.ledger.needs(keys, retry_failed=self.retry_failed)
        to_send = [] if self._halted or self.until == "looked" else needs.to_send
        submitter.queue.clear()
        submitter.queue.extend(to_send)
        books.waiting.clear()
        books.waiting.update(RunId(keys[entry], attempt) for entry, attempt in to_send)
        books.waiting.update(RunId(keys[entry], self.ledger.newest(keys[entry]) or 0) for entry in needs.awaited)

    async def _look_first(self, books: Books, submitter: Submitter) -> bool:
        """List each known group and adopt from it, before anything is sent; return whether the lists were whole."""
        if self.unreadable_intents and submitter.queue:
            self.observer.said(f"a damaged intent: waiting {self.settle_time:.0f} s before anything is sent")
            await self.clock.sleep(self.settle_time)
        whole = await self._look_at_groups(books, submitter)
        await self.store.prove_groups(dialect=self.service.dialect)
        if submitter.queue:
            for number in self.unreadable_intents:
                await self.store.drop_intent(number)
        return whole

    async def _look_at_groups(self, books: Books, submitter: Submitter) -> bool:
        whole = True
        for group_id in self.store.groups:
            awaited = len(self.ledger.awaited[group_id])
            wholesale = awaited > max(10, self.ledger.group_size(group_id) // 10)
            opened = {run for i in self.ledger.intents.values() if i.group_id == group_id for run in i.runs}
            unknown = {run for run in books.waiting - opened if not self.ledger.is_paid(run)}
            unknown = unknown if self.service.dialect == "seed" else set()
            look = await look_until_whole(
                self.service,
                books,
                group_id,
                clock=self.clock,
                include_output=wholesale,
                seek=seek_among(books, opened | unknown),
                sends=len(submitter.queue),
            )
            whole = whole and look.flaw is None
        return whole

    async def _until_done(
        self,
        work: asyncio.Task[None],
        side: list[asyncio.Task[None]],
        followers: Mapping[str, asyncio.Task[None]],
        *,
        timeout: float | None,  # noqa: ASYNC109 - as above
        submitter: Submitter,
    ) -> None:
        """Return when the work is done or the time is up; raise what any part of it raised."""
        deadline = None if timeout is None else self.clock.now() + timeout
        while True:
            for task in (work, *side, *followers.values()):
                if task.done():
                    task.result()
            if work.done():
                return
            left = None if deadline is None else max(0.0, self.clock.real(deadline - self.clock.now()))
            if left == 0.0:
                submitter.stopping = True  # a POST in flight gets a moment for its answer
                with suppress(TimeoutError):
                    async with asyncio.timeout(GRACE):
                        await submitter.idle()
                return
            beat = 0.2 if left is None else min(left, 0.2)
            tasks = {work, *side, *followers.values()}
            await asyncio.wait(tasks, timeout=beat, return_when=asyncio.FIRST_COMPLETED)

    async def _flush_often(self, books: Books) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            if books.is_dirty:
                await books.flush()
                await self.store.tidy()
