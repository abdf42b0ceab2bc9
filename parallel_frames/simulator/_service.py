"""The state of the simulated service, and everything that can happen to it.

Owns groups, runs, the agenda, the rate limit, the credit and the accounts. Knows nothing of HTTP: the endpoints ask
it, the event loop's timer drives it. Everything is done under one lock, so that snapshots from other threads are
whole.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any
from zlib import crc32

import orjson

from ._answers import ActionRequired, Answer, AnswerBook, Cancelled, Failure, Stuck
from ._clock import Agenda, Clock
from ._limits import Credit, RateLimit
from ._messages import dump, event_cursor, group_status, run_event_head, run_state
from ._output import build_output
from ._runs import Group, Run, SeenRequest, Waiters
from ._settings import Settings, draw_latency
from ._spec import Spec, compile_spec

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from ._answers import Answers
    from ._faultline import Faultline
    from ._runs import Status

QUEUED_PART = 0.1  # of a run's time is spent waiting in the queue


@dataclass(frozen=True, slots=True)
class Draft:
    """A run that was checked and may be created."""

    body: dict[str, Any]
    spec: Spec
    processor: str
    canonical: bytes


class Service:
    """The simulated service without its HTTP."""

    def __init__(self, settings: Settings, *, answers: Answers, speed: float, faultline: Faultline) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.clock = Clock(speed=speed)
        self.agenda = Agenda(self.clock, lock=self.lock, after=self._log_statuses)
        self.book = AnswerBook(answers, seed=settings.seed)
        self.faultline = faultline
        self.limit = RateLimit(settings.max_per_minute, window=settings.window)
        self.credit = Credit(settings.credit, price=settings.price, reserve=settings.reserve)
        self.groups: dict[str, Group] = {}
        self.runs: list[Run] = []
        self.runs_by_id: dict[str, Run] = {}
        self.requests: list[SeenRequest] = []
        self.accounts: dict[str, int] = {}
        self.lone_waiters = Waiters()
        self.landings: set[asyncio.Future[Any]] = set()  # requests that are handled after they were answered
        self._paid: set[Any] = set()
        self._specs: dict[bytes, Spec] = {}
        self._dirty: list[Group] = []
        self._rng = Random(settings.seed)  # noqa: S311 - latencies, not secrets
        self._tag = secrets.token_hex(6)
        self._serial = count(1)

    def bump(self, account: str, by: int = 1) -> None:
        """Add to one of the accounts."""
        self.accounts[account] = self.accounts.get(account, 0) + by

    def next_id(self, prefix: str) -> str:
        """Return a fresh id."""
        return f"{prefix}{self._tag}{next(self._serial):08x}"

    def spec(self, body: Any) -> Spec:
        """Return a task spec compiled, each distinct one once."""
        raw = orjson.dumps(body)
        spec = self._specs.get(raw)
        if spec is None:
            spec = self._specs[raw] = compile_spec(body)
        return spec

    # -- creating ------------------------------------------------------------------------------------------------

    def create_group(self, body: dict[str, Any], *, seed_dialect: bool) -> Group:
        """Create an empty group."""
        with self.lock:
            group = self._create_group(body, seed_dialect=seed_dialect)
            self.groups[group.group_id] = group
            self.bump("groups")
        return group

    def _create_group(self, body: dict[str, Any], *, seed_dialect: bool) -> Group:
        now = self.clock.now()
        return Group(
            group_id=self.next_id("tgrp_"),
            seed_dialect=seed_dialect,
            metadata=body.get("metadata"),
            processor=body.get("processor", ""),
            spec=self.spec(body["task_spec"]) if seed_dialect else None,
            created_at=now,
            modified_at=now,
        )

    def create_runs(
        self, drafts: Iterable[Draft], *, group: Group | None, elements: bool = False, foreign: bool = False
    ) -> list[Run]:
        """Create runs, in order; they are `queued` when this returns."""
        with self.lock:
            created = [self._create_run(draft, group, elements=elements, foreign=foreign) for draft in drafts]
            if group is not None and created:
                group.modified_at = created[-1].created_at
        return created

    def _create_run(self, draft: Draft, group: Group | None, *, elements: bool, foreign: bool) -> Run:
        now = self.clock.now()
        body = draft.body
        run = Run(
            self.next_id("trun_"), group, body, body["input"], draft.canonical, draft.processor,
            body.get("metadata"), draft.spec, now, now, elements=elements, foreign=foreign,
        )  # fmt: skip
        run.faults = self.faultline.for_run(run)
        latency = draw_latency(self.settings.latency, rng=self._rng)
        run.finish_at = now + latency
        self.runs.append(run)
        self.runs_by_id[run.run_id] = run
        if group is not None:
            group.runs.append(run)
            group.count("queued", 1)
        self._account(run)
        self.agenda.add(now + latency * QUEUED_PART, self._start_run, run)
        return run

    def _account(self, run: Run) -> None:
        """Count a run, and whether the same was created before."""
        self.bump("active")
        if run.foreign:
            self.bump("foreign")
            return
        self.bump("runs")
        metadata = run.metadata or {}
        if "key" in metadata:
            identity: Any = (metadata["key"], metadata.get("attempt"))
        else:
            identity = (run.group.group_id if run.group else None, run.canonical)
        if identity in self._paid:
            self.bump("duplicates")
        self._paid.add(identity)

    # -- running -------------------------------------------------------------------------------------------------

    def _start_run(self, run: Run) -> None:
        self._move(run, "running")
        self.agenda.add(run.finish_at, self._finish_run, run)

    def _move(self, run: Run, status: Status) -> None:
        if run.group is not None:
            run.group.count(run.status, -1)
            run.group.count(status, 1)
        run.status = status
        run.modified_at = self.clock.now()

    def _finish_run(self, run: Run) -> None:
        answer = self.book.answer(run.input, spec=run.spec, canonical=run.canonical)
        for fault in run.faults:
            content = answer.content if isinstance(answer, Answer) else answer
            changed = fault.change(content, run.spec)
            answer = answer if changed is content else changed
        match answer:
            case Stuck():
                return
            case ActionRequired():
                run.warnings = ({"type": "warning", "message": answer.message, "detail": None},)
                self._end_run(run, "action_required")
            case Failure():
                self._end_run(run, "failed", answer.message)
            case Cancelled():
                self._end_run(run, "cancelled", answer.message)
            case _:
                try:
                    run.output = build_output(
                        answer,
                        spec=run.spec,
                        draw=crc32(run.canonical),
                        elements=run.elements,
                        string_content=self.settings.string_content,
                    )
                except TypeError as error:  # what the user's function returned is not JSON
                    self._end_run(run, "failed", f"the answer is not JSON: {error}")
                else:
                    self._end_run(run, "completed")

    def _end_run(self, run: Run, status: Status, message: str | None = None) -> None:
        if message is not None:
            run.error = {"ref_id": self.next_id("ref_"), "message": message, "detail": None}
        self._move(run, status)
        self.bump("active", -1)
        self.bump(status)
        if not run.foreign:
            self.credit.settle(run.processor, charged=status == "completed")
        group = run.group
        if group is None:
            self.lone_waiters.wake()
            return
        event_id = event_cursor(group, len(group.log) + 1)
        group.log.append((run_event_head(event_id, self.state_of(run)), run))
        group.modified_at = run.modified_at
        if not group.dirty:
            group.dirty = True
            self._dirty.append(group)

    def state_of(self, run: Run) -> bytes:
        """Return a run's state as its group's dialect shows it."""
        echo = self.settings.seed_echo_metadata or run.group is None or not run.group.seed_dialect
        return run_state(run, clock=self.clock, echo_metadata=echo)

    def _log_statuses(self) -> None:
        """Add a status to the log of each group that changed, now and then and when it is done; wake its streams."""
        now = self.clock.now()
        for group in self._dirty:
            group.dirty = False
            if not group.seed_dialect and (
                not group.active or now - group.status_logged_at >= self.settings.status_every
            ):
                self._log_status(group, now)
            group.waiters.wake()
        self._dirty.clear()

    def _log_status(self, group: Group, now: float) -> None:
        group.status_logged_at = now
        status = group_status(group.counts, active=group.active, modified_at=self.clock.moment(now))
        event_id = event_cursor(group, len(group.log) + 1)
        group.log.append((dump({"type": "task_group_status", "event_id": event_id, "status": status}), None))

    async def sleep(self, seconds: float) -> None:
        """Sleep for simulated seconds."""
        until = self.clock.now() + seconds
        while (left := until - self.clock.now()) > 0:
            await self.lone_waiters.wait(self.clock.wall(left))

    def wake_all(self) -> None:
        """Let everybody who waits look at the clock again."""
        self.lone_waiters.wake()
        for group in self.groups.values():
            group.waiters.wake()
