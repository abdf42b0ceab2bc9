"""What a user's test may ask of a running simulator, and what it may do to it, from any thread."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import orjson

from ._messages import dump
from ._runs import TERMINAL, Counts, Run, SeenRequest, SimulatedRun
from ._service import Draft, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .faults import Fault


class Controls:
    """The part of a simulator that watches and steers it."""

    def __init__(self, service: Service) -> None:
        self._service = service

    # -- what it did ---------------------------------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """What it has seen and done so far: a frozen snapshot."""
        with self._service.lock:
            known = {field.name: self._service.accounts.get(field.name, 0) for field in fields(Counts)}
            return Counts(**{**known, "faults": self._service.faultline.struck})

    def runs(self) -> list[SimulatedRun]:
        """Return every run created, in creation order, as it is now."""
        with self._service.lock:
            return [_snapshot(run) for run in self._service.runs]

    def requests(self) -> list[SeenRequest]:
        """Return every request answered, in order."""
        return list(self._service.requests)

    @property
    def group_ids(self) -> list[str]:
        """The ids of all groups, in creation order."""
        return list(self._service.groups)

    def wait_until(self, condition: Callable[[Counts], bool], *, timeout: float = 10.0) -> Counts:
        """Wait until the counts fulfil a condition.

        Parameters
        ----------
        condition : callable
            Gets `counts`; for example ``lambda counts: counts.completed == 3``.
        timeout : float, default 10
            Seconds of the wall after which a `TimeoutError` is raised.

        Returns
        -------
        Counts
            The counts that fulfilled it.
        """
        deadline = time.monotonic() + timeout
        while not condition(counts := self.counts):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout} s; the counts are {counts}")
            time.sleep(0.005)
        return counts

    # -- what may be done to it ----------------------------------------------------------------------------------

    @property
    def speed(self) -> float:
        """How many simulated seconds pass in one second of the wall; may be set at any time."""
        return self._service.clock.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        with self._service.lock:
            self._service.clock.speed = speed
        self._service.agenda.poke(self._service.wake_all)

    @property
    def now(self) -> float:
        """Simulated seconds since the simulator was made."""
        return self._service.clock.now()

    def advance(self, seconds: float) -> None:
        """Let simulated time jump.

        Parameters
        ----------
        seconds : float
            How far; runs, rate limits, streams and delayed faults all see that time as passed.
        """
        with self._service.lock:
            self._service.clock.advance(seconds)
        self._service.agenda.poke(self._service.wake_all)

    @property
    def max_per_minute(self) -> int | None:
        """Runs that may be created a minute; may be set at any time."""
        return self._service.limit.per_minute

    @max_per_minute.setter
    def max_per_minute(self, per_minute: int | None) -> None:
        self._service.limit.per_minute = per_minute

    @property
    def credit(self) -> float | None:
        """Dollars of the account, reserved ones included; None when credit doesn't matter."""
        return self._service.credit.dollars

    def top_up(self, dollars: float) -> None:
        """Add credit to the account.

        Parameters
        ----------
        dollars : float
            How much.
        """
        with self._service.lock:
            self._service.credit.dollars = (self._service.credit.dollars or 0.0) + dollars

    def add_foreign_run(
        self,
        group_id: str,
        *,
        input: str | Mapping[str, Any] = "somebody else's row",  # noqa: A002 - the service's own word
        metadata: Mapping[str, Any] | None = None,
        processor: str = "base",
    ) -> str:
        """Create a run in a group, as if somebody else had.

        Parameters
        ----------
        group_id : str
            The group.
        input : str or mapping, default "somebody else's row"
            Its input.
        metadata : mapping or None, default None
            Its metadata.
        processor : str, default "base"
            Its processor.

        Returns
        -------
        str
            The run's id. It counts as `foreign`, not among `runs`.
        """
        service = self._service
        group = service.groups[group_id]
        body: dict[str, Any] = {"input": input if isinstance(input, str) else dict(input), "processor": processor}
        if metadata is not None:
            body["metadata"] = dict(metadata)
        canonical = dump(body["input"], option=orjson.OPT_SORT_KEYS)
        spec = group.spec or (group.runs[0].spec if group.runs else service.spec(None))
        with service.lock:
            (run,) = service.create_runs([Draft(body, spec, processor, canonical)], group=group, foreign=True)
        service.agenda.poke()
        return run.run_id

    def add_faults(self, *faults: Fault) -> None:
        """Add faults; they count requests from now on."""
        with self._service.lock:
            self._service.faultline.add(faults)

    def clear_faults(self) -> None:
        """Let nothing go wrong from now on; runs already created keep their fate."""
        with self._service.lock:
            self._service.faultline.clear()


def _snapshot(run: Run) -> SimulatedRun:
    return SimulatedRun(
        run_id=run.run_id,
        group_id=run.group.group_id if run.group else None,
        input=run.input,
        processor=run.processor,
        metadata=run.metadata,
        status=run.status,
        created_at=run.created_at,
        finished_at=run.modified_at if run.status in TERMINAL else None,
        output=None if run.output is None else orjson.loads(run.output),
        error=run.error["message"] if run.error else None,
        foreign=run.foreign,
    )
