"""What the engine asks of a service, a store, a feed and an observer: the seams between its floor and those around.

Nothing here does anything. The session implements `Service`, a job's store `Store`, the sources of rows `RunFeed`, and
progress and row callbacks `Observer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence

    from parallel_frames._model import (
        DialectName,
        Event,
        GroupStatus,
        Job,
        Json,
        Outcome,
        OutgoingRun,
        Posted,
        Receipt,
        RunEvent,
        RunId,
    )


class Observer(Protocol):
    """What watches an enrichment; none of its methods may fail or wait."""

    def opened(self, group_id: str) -> None:
        """Take note that runs go to a group, or that it is gone on with."""
        ...

    def sent(self, runs: int) -> None:
        """Take note that so many more runs are paid for; fewer, where it turns out that some never were."""
        ...

    def found(self, runs: int) -> None:
        """Take note of so many more runs that an earlier call, or another program, paid for."""
        ...

    def finished(self, outcome: Outcome, *, rows: int) -> None:
        """Take note that a run has an outcome, which answers so many rows."""
        ...

    def note(self, message: str) -> None:
        """Note something worth a line: a wait, a retry, a pause."""
        ...


class Service(Protocol):
    """What the engine asks of a service: one account, one dialect once it is known."""

    @property
    def dialect(self) -> DialectName | None:
        """The dialect, once fixed or found out."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why the request that is tried again and again failed; None while requests succeed."""
        ...

    @property
    def narrows_lists(self) -> bool:
        """Whether a list begins at a cursor, and has completed runs only, where that is asked for."""
        ...

    async def create_group(self, job: Job, *, metadata: Mapping[str, Json]) -> str:
        """Open a group and return its id; finds the dialect out when it is still unknown."""
        ...

    async def add_runs(self, group_id: str, *, job: Job, runs: Sequence[OutgoingRun]) -> Posted:
        """Send one batch, once: never retried in here."""
        ...

    async def group_status(self, group_id: str) -> GroupStatus:
        """Return the counts of a group."""
        ...

    def stream_events(self, group_id: str, *, last_event_id: str | None) -> AsyncGenerator[Iterator[Event], None]:
        """Yield the events that came together, to be read before the next ones, until the stream ends.

        Raises UnavailableError when it is cut or falls silent.
        """
        ...

    def list_runs(
        self,
        group_id: str,
        *,
        include_input: bool,
        include_output: bool,
        last_event_id: str | None = None,
        completed: Iterable[str] | None = None,
    ) -> AsyncGenerator[RunEvent, None]:
        """Yield every run of the group, once, as it stands now; with a cursor, those after it.

        `completed` are the ids of runs that have completed, where no other is wanted.
        """
        ...

    async def run_result(self, run_id: str) -> RunEvent | None:
        """Return a finished run with its output; None when it is not finished or the service cannot say."""
        ...


class Store(Protocol):
    """Where a job is stored: a folder of Parquet, or the memory of this process.

    Methods that write return only once what they wrote would survive this process.
    """

    @property
    def groups(self) -> Sequence[str]:
        """The ids of the job's groups, oldest first."""
        ...

    async def add_group(self, group_id: str, *, dialect: DialectName) -> None:
        """Remember a group before the first run is sent to it."""
        ...

    async def doubts_about(self, group_id: str) -> str | None:
        """Return why a group may hold runs of this job that the store does not know of, and what to do; else None."""
        ...

    async def prove_groups(self, *, dialect: DialectName | None) -> None:
        """Remember the groups a call named, now that the service knows them."""
        ...

    async def write_intent(self, group_id: str, *, runs: Sequence[RunId], rows: Sequence[int]) -> int:
        """Make a batch's intent durable and return its number."""
        ...

    async def write_receipt(self, number: int | None, *, receipts: Sequence[Receipt]) -> None:
        """Make receipts durable, then drop the intent of that number (None: there was none)."""
        ...

    async def drop_intent(self, number: int) -> None:
        """Forget a batch of which it is proven that nothing of it was created."""
        ...

    async def write_outcomes(self, outcomes: Sequence[Outcome], *, cursors: Mapping[str, str]) -> int:
        """Make outcomes and the cursors that they cover durable, in one part, and return its number."""
        ...

    async def tidy(self) -> Mapping[int, tuple[int, int]]:
        """Put small parts together, once there are many; return where the outcomes of each are now."""
        ...


class RunFeed(Protocol):
    """Where the runs of a call come from: its rows, as far as they need a run."""

    def decide(self) -> int:
        """Decide what is to be sent, as things are known now, and return how many runs that is."""
        ...

    def read(self) -> Iterator[list[OutgoingRun]]:
        """Yield what was decided last, in the order of the rows, some at a time; runs in a thread."""
        ...

    def find(self, keys: Sequence[str]) -> list[OutgoingRun]:
        """Return what is to be sent now of these inputs, after a batch of theirs was not created; runs in a thread."""
        ...

    def recognise(self, wanted: Mapping[str, int], *, or_to_send: bool = False) -> Callable[[RunEvent], RunId | None]:
        """Return what identifies, each once, runs by their input alone.

        `wanted` maps the keys of runs that may be recognised to their attempts; with `or_to_send`, so may every run
        that were decided last to be sent.
        """
        ...

    def join(self, wanted: Mapping[str, int]) -> Joiner:
        """Return what says which runs of a group that another program filled answer rows.

        That is for the rows whose keys are in `wanted`, with their attempts, and for those that are to be sent.
        """
        ...


class Joiner(Protocol):
    """What joins the runs of one group to rows."""

    def add(self, event: RunEvent, run: RunId | None) -> None:
        """Take a run of the group; `run` says whose it is, where that is known."""
        ...

    def finish(self, *, processor: str | None = None) -> Iterable[tuple[RunEvent, RunId]]:
        """Return which of the others stand for which runs of ours; `processor` is that of the whole group."""
        ...
