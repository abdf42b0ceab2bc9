"""What the engine asks of a service, of a store and of whoever watches: the seams between its floor and those around.

Nothing here does anything. The client keeps `Service`, the checkpoint keeps `Store`, the progress keeps `Observer`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

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
    """Who is told how an enrichment goes; none of its methods may fail or wait."""

    def started(self, *, rows: int, waiting: int) -> None:
        """Begin: so many runs are waited for."""
        ...

    def opened(self, group_id: str) -> None:
        """Take note that runs go to a group, or that it is gone on with."""
        ...

    def sent(self, runs: int) -> None:
        """Take note that so many more runs are paid for; fewer, where it turns out that some never were."""
        ...

    def finished(self, outcome: Outcome, *, waiting: int) -> None:
        """Take note that a run has an outcome; so many are still waited for."""
        ...

    def said(self, message: str) -> None:
        """Tell that something worth a line happened: a wait, a retry, a pause."""
        ...


class Service(Protocol):
    """What the engine asks of a service: one account, one dialect once it is known."""

    @property
    def dialect(self) -> DialectName | None:
        """The dialect, once fixed or found out."""
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

    def stream_slot(self, *, idle_rounds: int) -> AbstractAsyncContextManager[Callable[[], None]]:
        """Wait for one of the few slots to stream events, which may be taken away while others wait."""
        ...

    def stream_events(self, group_id: str, *, last_event_id: str | None) -> AsyncGenerator[Iterator[Event], None]:
        """Yield the events that came together, to be read before the next ones, until the stream ends.

        Raises UnavailableError when it is cut or falls silent.
        """
        ...

    def list_runs(self, group_id: str, *, include_input: bool, include_output: bool) -> AsyncGenerator[RunEvent, None]:
        """Yield every run of the group, once, as it stands now."""
        ...

    async def run_result(self, run_id: str) -> RunEvent | None:
        """Return a finished run with its output; None when it is not finished or the service cannot say."""
        ...


class Store(Protocol):
    """What the engine asks of a place that remembers: a directory of Parquet, or the memory of this process.

    Methods that write return only once what they wrote would survive this process.
    """

    @property
    def location(self) -> str | None:
        """Where it is, for messages; None in memory."""
        ...

    @property
    def groups(self) -> Sequence[str]:
        """The ids of the job's groups, oldest first."""
        ...

    async def add_group(self, group_id: str, *, dialect: DialectName) -> None:
        """Remember a group before the first run is sent to it."""
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

    async def write_outcomes(self, outcomes: Sequence[Outcome], *, cursors: Mapping[str, str]) -> None:
        """Make outcomes and the cursors that they cover durable, in one file."""
        ...

    async def tidy(self) -> None:
        """Put small parts together, once there are many."""
        ...
