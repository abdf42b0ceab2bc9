"""Groups and runs: as the service keeps them, as it sends them in both dialects, and as users see them.

Owns the shapes of run states, statuses, events, cursors and errors on the wire. Decides nothing: what happens to a
run is up to the service, and what of it is sent is up to the endpoints.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import orjson

if TYPE_CHECKING:
    from ._clock import Clock
    from ._made_up import Spec
    from .faults import RunFault

Status = Literal["queued", "action_required", "running", "completed", "failed", "cancelling", "cancelled"]
ACTIVE: frozenset[str] = frozenset({"queued", "running", "cancelling"})
TERMINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled"})


class Waiters:
    """The requests that wait for a group or a run to change, whatever event loop serves them."""

    __slots__ = ("_futures",)

    def __init__(self) -> None:
        self._futures: set[asyncio.Future[None]] = set()

    def wake(self) -> None:
        """Wake all of them; call it in the event loop's thread."""
        for future in self._futures:
            if not future.done():
                future.set_result(None)

    async def wait(self, timeout: float | None) -> None:  # noqa: ASYNC109 - a timeout here is no error
        """Wait for the next wake, at most `timeout` seconds of the wall."""
        future = asyncio.get_running_loop().create_future()
        self._futures.add(future)
        try:
            await asyncio.wait((future,), timeout=timeout)
        finally:
            self._futures.discard(future)


@dataclass(slots=True, eq=False)
class Run:
    """One run as the service keeps it."""

    run_id: str
    group: Group | None
    body: dict[str, Any]
    canonical: bytes  # the input as JSON with sorted keys
    processor: str
    spec: Spec
    created_at: float
    modified_at: float
    finish_at: float
    elements: bool
    foreign: bool
    status: Status = "queued"
    faults: tuple[RunFault, ...] = ()
    warnings: tuple[dict[str, Any], ...] = ()
    error: dict[str, Any] | None = None
    output: bytes | None = None
    state: bytes | None = None

    @property
    def input(self) -> str | dict[str, Any]:
        value: str | dict[str, Any] = self.body["input"]
        return value

    @property
    def metadata(self) -> dict[str, Any] | None:
        return self.body.get("metadata")


@dataclass(slots=True, eq=False)
class Group:
    """One group: its runs in creation order, and its event log."""

    group_id: str
    seed_dialect: bool
    metadata: dict[str, Any] | None
    processor: str
    spec: Spec | None
    created_at: float
    modified_at: float
    runs: list[Run] = field(default_factory=list)
    log: list[tuple[bytes, Run | None]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)  # runs by status
    waiters: Waiters = field(default_factory=Waiters)
    status_logged_at: float = float("-inf")

    @property
    def active(self) -> bool:
        """Whether any run of the group is active."""
        return any(self.counts[status] for status in ACTIVE)


# -- on the wire ------------------------------------------------------------------------------------------------------


OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


def dump(value: Any, *, option: int = OPTIONS) -> bytes:
    # A copy of its exact size: orjson's own bytes keep kilobytes of spare room, and one is kept for every event.
    return bytes(memoryview(orjson.dumps(value, option=option)))


def error_body(message: str, *, ref_id: str, detail: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"type": "error", "error": {"ref_id": ref_id, "message": message, "detail": detail}}


def run_state(run: Run, *, clock: Clock, echo_metadata: bool) -> bytes:
    """Return a run's state; a final one is kept with the run."""
    if run.state is not None:
        return run.state
    state = dump(
        {
            "run_id": run.run_id,
            "interaction_id": run.run_id,
            "status": run.status,
            "is_active": run.status in ACTIVE,
            "processor": run.processor,
            "metadata": run.metadata if echo_metadata else None,
            "taskgroup_id": run.group.group_id if run.group else None,
            "created_at": clock.moment(run.created_at),
            "modified_at": clock.moment(run.modified_at),
            "warnings": [*run.spec.warnings, *run.warnings] or None,
            "error": run.error,
        }
    )
    if run.status in TERMINAL:
        run.state = state
    return state


def warning(message: str, kind: str = "warning") -> dict[str, Any]:
    return {"type": kind, "message": message, "detail": None}


def group_status(group: Group, counts: Counter[str], *, modified_at: Any) -> dict[str, Any]:
    """Return a group's status in the published dialect, with counts that may be outdated."""
    return {
        "num_task_runs": sum(counts.values()),
        "task_run_status_counts": {status: n for status, n in counts.items() if n},
        "is_active": group.active,
        "status_message": None,
        "modified_at": modified_at,
    }


def group_body(group: Group, counts: Counter[str], *, clock: Clock) -> dict[str, Any]:
    body = {"taskgroup_id": group.group_id, "metadata": group.metadata, "created_at": clock.moment(group.created_at)}
    if not group.seed_dialect:
        return {**body, "status": group_status(group, counts, modified_at=clock.moment(group.modified_at))}
    by_state = {
        "pending": counts["queued"] + counts["action_required"],
        "running": counts["running"] + counts["cancelling"],
        **{status: counts[status] for status in ("completed", "failed", "cancelled")},
    }
    return {**body, "processor": group.processor, "status": by_state}


# -- as users see them ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """A run as it was at one moment.

    Attributes
    ----------
    run_id : str
        Its id.
    group_id : str or None
        Its group; None for a run created on its own.
    input : str or dict
        What was sent.
    processor : str
        The processor asked for.
    metadata : dict or None
        What was sent with it.
    status : str
        `queued`, `running`, `completed`, `failed`, `cancelled` or `action_required`.
    created_at : float
        Simulated seconds after the simulator was made.
    finished_at : float or None
        The same, for a run that is done.
    output : dict, str or None
        The whole output (type, content, basis) of a completed run; the content alone with ``output_as="bare"``.
    error : str or None
        Why it failed.
    foreign : bool
        Whether `Simulator.add_foreign_run` created it, not a request.
    """

    run_id: str
    group_id: str | None
    input: str | dict[str, Any]
    processor: str
    metadata: dict[str, Any] | None
    status: str
    created_at: float
    finished_at: float | None
    output: dict[str, Any] | str | None
    error: str | None
    foreign: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """What a simulator has seen and done, at one moment.

    Attributes
    ----------
    requests : int
        HTTP requests of any kind.
    posts : int
        Requests that add runs to a group (or create a single run), refused ones included.
    groups : int
        Groups created.
    runs : int
        Runs created by requests.
    duplicates : int
        Runs whose (metadata `key`, metadata `attempt`) was created before; without such metadata, whose (group, input).
    rejected : int
        429s answered.
    refused : int
        Other answers of 400 to 499.
    faults : int
        Faults that struck.
    streams : int
        Event streams opened.
    events : int
        Events sent over event streams.
    active : int
        Runs that are queued or running.
    completed, failed, cancelled : int
        Runs that ended so.
    foreign : int
        Runs created by `Simulator.add_foreign_run`.
    """

    requests: int = 0
    posts: int = 0
    groups: int = 0
    runs: int = 0
    duplicates: int = 0
    rejected: int = 0
    refused: int = 0
    faults: int = 0
    streams: int = 0
    events: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class SeenRequest:
    """A request the simulator answered.

    Attributes
    ----------
    endpoint : str
        `create_group`, `add_runs`, `status`, `events`, `list_runs`, `result`, `run`, `input`, `create_run` or
        `unknown`.
    method, path, query : str
        As they came.
    status : int
        What was answered; 0 when the connection was reset instead.
    at : float
        When the answer began, in simulated seconds after the simulator was made.
    """

    endpoint: str
    method: str
    path: str
    query: str
    status: int
    at: float
