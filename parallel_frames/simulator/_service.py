"""The state of the simulated service, and everything that can happen to it.

Owns groups, runs, the scheduler, the rate limit, the credit and the totals. Knows nothing of HTTP: the endpoints call
it, and a timer of the event loop drives it. Everything happens under one lock, so that other threads see consistent
snapshots.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias
from zlib import crc32

import orjson

from ._answers import ActionRequired, Answer, AnswerSource, Cancelled, Failure, Stuck, build_output
from ._clock import Clock, Scheduler
from ._limits import Credit, RateLimit, Window
from ._made_up import Spec, compile_spec
from ._records import Group, Run, SeenRequest, Waiters, dump, group_status, run_state, warning
from ._streams import cursor_at, open_run_event
from .faults._base import RunFault

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from ._answers import Answers
    from ._records import Status
    from .faults._base import FaultSchedule

QUEUED_PART = 0.1  # of a run's time is spent waiting in the queue

Dialect = Literal["both", "published", "seed"]
Latency: TypeAlias = float | tuple[float, float] | Callable[[Random], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The options of a simulator; `Simulator` documents them and has their defaults."""

    latency: Latency
    max_per_minute: int | None
    window: Window
    dialect: Dialect
    api_key: str | None
    seed: int
    credit: float | None
    price: float | None
    reserve: float
    refused_processors: frozenset[str]
    more_processors: frozenset[str]
    string_content: bool
    output_as: Literal["wrapped", "bare"]
    events_honour_include_output: bool
    unknown_cursor: Literal["refuse", "start", "end"]
    stream_lifetime: float
    keep_alive: float
    status_every: float
    seed_answer_ids: bool
    seed_echo_metadata: bool
    seed_echo_input: bool
    seed_input_as: Literal["bare", "run"]
    seed_list_as: Literal["json", "sse"]

    def __post_init__(self) -> None:
        choices = {
            "dialect": ("both", "published", "seed"),
            "unknown_cursor": ("refuse", "start", "end"),
            "seed_list_as": ("json", "sse"),
            "output_as": ("wrapped", "bare"),
            "seed_input_as": ("bare", "run"),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")

    def draw_latency(self, rng: Random) -> float:
        if isinstance(self.latency, tuple):
            return rng.uniform(*self.latency)
        return float(self.latency(rng) if callable(self.latency) else self.latency)


def lognormal(median: float, *, sigma: float = 0.5) -> Callable[[Random], float]:
    """Return a latency that is mostly near its median and sometimes much longer.

    Parameters
    ----------
    median : float
        Seconds half of the runs take at most.
    sigma : float, default 0.5
        How wide the distribution is: 0.5 puts one run in twenty above 2.3 times the median.

    Returns
    -------
    callable
        For `Simulator(latency=...)`.

    Examples
    --------
    >>> from parallel_frames.simulator import Simulator, lognormal
    >>> sim = Simulator(latency=lognormal(40, sigma=0.6), speed=100)
    """
    return lambda rng: median * rng.lognormvariate(0.0, sigma)


class Draft(NamedTuple):
    """A run that was checked and may be created."""

    body: dict[str, Any]
    spec: Spec
    processor: str
    canonical: bytes


class Service:
    """The simulated service without its HTTP."""

    def __init__(self, settings: Settings, *, answers: Answers, speed: float, faults: FaultSchedule) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.clock = Clock(speed=speed)
        self.scheduler = Scheduler(self.clock, lock=self.lock, after=self._log_statuses)
        self.answers = AnswerSource(answers, seed=settings.seed)
        self.faults = faults
        self.limit = RateLimit(settings.max_per_minute, window=settings.window)
        self.credit = Credit(settings.credit, price=settings.price, reserve=settings.reserve)
        self.groups: dict[str, Group] = {}
        self.runs: list[Run] = []
        self.runs_by_id: dict[str, Run] = {}
        self.requests: list[SeenRequest] = []
        self.totals: Counter[str] = Counter()  # the fields of `Counts`
        self.lone_waiters = Waiters()
        self.late_posts: set[asyncio.Future[Any]] = set()  # requests that are handled after they were answered
        self._identities: set[tuple[Any, Any]] = set()
        self._specs: dict[bytes, Spec] = {}
        self._changed: dict[Group, None] = {}  # in order, those whose streams are to be woken
        self._rng = Random(settings.seed)  # noqa: S311 - latencies, not secrets
        self._tag = secrets.token_hex(6)
        self._serial = count(1)

    def next_id(self, prefix: str) -> str:
        return f"{prefix}{self._tag}{next(self._serial):08x}"

    def spec(self, body: Any) -> Spec:
        """Return a task spec compiled; every distinct one is compiled once."""
        raw = orjson.dumps(body)
        if raw not in self._specs:
            self._specs[raw] = compile_spec(body)
        return self._specs[raw]

    # -- creating ------------------------------------------------------------------------------------------------

    def create_group(self, body: dict[str, Any], *, seed_dialect: bool) -> Group:
        with self.lock:
            now = self.clock.now()
            group = Group(
                group_id=self.next_id("tgrp_"),
                seed_dialect=seed_dialect,
                metadata=body.get("metadata"),
                processor=body.get("processor", ""),
                spec=self.spec(body["task_spec"]) if seed_dialect else None,
                created_at=now,
                modified_at=now,
            )
            self.groups[group.group_id] = group
            self.totals["groups"] += 1
        return group

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
        latency = self.settings.draw_latency(self._rng)
        run = Run(
            **draft._asdict(),
            run_id=self.next_id("trun_"),
            group=group,
            created_at=now,
            modified_at=now,
            finish_at=now + latency,
            elements=elements,
            foreign=foreign,
        )
        run.faults = tuple(self.faults.select(RunFault, lambda fault: fault.matches(run.input)))
        self.runs.append(run)
        self.runs_by_id[run.run_id] = run
        if group is not None:
            group.runs.append(run)
            group.counts["queued"] += 1
        self._count_run(run)
        self.scheduler.add(now + latency * QUEUED_PART, self._start_run, run)
        return run

    def _count_run(self, run: Run) -> None:
        """Count a run, and whether the same one was created before."""
        self.totals["active"] += 1
        if run.foreign:
            self.totals["foreign"] += 1
            return
        self.totals["runs"] += 1
        metadata = run.metadata or {}
        by_input = (run.group, run.canonical)
        identity = (metadata["key"], metadata.get("attempt")) if "key" in metadata else by_input
        self.totals["duplicates"] += identity in self._identities
        self._identities.add(identity)

    # -- running -------------------------------------------------------------------------------------------------

    def _start_run(self, run: Run) -> None:
        self._move(run, "running")
        self.scheduler.add(run.finish_at, self._finish_run, run)

    def _move(self, run: Run, status: Status) -> None:
        if run.group is not None:
            run.group.counts[run.status] -= 1
            run.group.counts[status] += 1
        run.status = status
        run.modified_at = self.clock.now()

    def _finish_run(self, run: Run) -> None:
        answer = self.answers.answer(run.input, spec=run.spec, canonical=run.canonical, processor=run.processor)
        for fault in run.faults:
            # Faults see the bare content; an answer's own evidence survives the faults that leave the content alone.
            content = answer.content if isinstance(answer, Answer) else answer
            changed = fault.change(content, run.spec)
            answer = answer if changed is content else changed
        match answer:
            case Stuck():
                return
            case ActionRequired():
                run.warnings = (warning(answer.message),)
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
                        bare=self.settings.output_as == "bare",
                    )
                except TypeError as error:  # what the user's function returned is not JSON
                    self._end_run(run, "failed", f"the answer is not JSON: {error}")
                else:
                    given = answer.warnings if isinstance(answer, Answer) else ()
                    run.warnings = tuple(warning(each) if isinstance(each, str) else dict(each) for each in given)
                    self._end_run(run, "completed")

    def _end_run(self, run: Run, status: Status, message: str | None = None) -> None:
        if message is not None:
            run.error = {"ref_id": self.next_id("ref_"), "message": message, "detail": None}
        self._move(run, status)
        self.totals["active"] -= 1
        self.totals[status] += 1
        if not run.foreign:
            self.credit.settle(run.processor, charged=status == "completed")
        group = run.group
        if group is None:
            self.lone_waiters.wake()
            return
        event_id = cursor_at("evt", group, len(group.log) + 1)
        group.log.append((open_run_event(event_id, self.state_of(run)), run))
        group.modified_at = run.modified_at
        self._changed[group] = None

    def state_of(self, run: Run) -> bytes:
        """Return a run's state as its group's dialect shows it."""
        echo = self.settings.seed_echo_metadata or run.group is None or not run.group.seed_dialect
        return run_state(run, clock=self.clock, echo_metadata=echo)

    def _log_statuses(self) -> None:
        """Add a status to the log of every group that changed, if one is due or it is done; wake its streams."""
        now = self.clock.now()
        for group in self._changed:
            due = not group.active or now - group.status_logged_at >= self.settings.status_every
            if due and not group.seed_dialect:
                group.status_logged_at = now
                status = group_status(group, group.counts, modified_at=self.clock.moment(now))
                event_id = cursor_at("evt", group, len(group.log) + 1)
                group.log.append((dump({"type": "task_group_status", "event_id": event_id, "status": status}), None))
            group.waiters.wake()
        self._changed.clear()

    async def sleep(self, seconds: float) -> None:
        """Sleep for simulated seconds."""
        until = self.clock.now() + seconds
        while (left := until - self.clock.now()) > 0:
            await self.lone_waiters.wait(self.clock.wall(left))

    def wake_all(self) -> None:
        """Let every request that waits look at the clock again."""
        self.lone_waiters.wake()
        for group in self.groups.values():
            group.waiters.wake()
