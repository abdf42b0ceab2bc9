"""When a fault strikes: counts what each fault could have struck, and draws.

Owns the counters and the seeded dice; what a fault does is its own affair.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from .faults import Fault, RequestFault, RunFault, StreamFault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._exchange import Exchange
    from ._runs import Run


class Faultline:
    """The faults of one simulator, and how often each could have struck so far."""

    def __init__(self, faults: Iterable[Fault], *, seed: int) -> None:
        self._rng = Random(seed)  # noqa: S311 - faults, not secrets
        self._faults: list[Fault] = []
        self._seen: list[int] = []
        self.struck = 0
        self.add(faults)

    def add(self, faults: Iterable[Fault]) -> None:
        """Add faults; their counters begin now."""
        for fault in faults:
            if not isinstance(fault, Fault):
                raise TypeError(f"not a fault: {fault!r}")
            self._faults.append(fault)
            self._seen.append(0)

    def clear(self) -> None:
        """Forget all faults."""
        self._faults.clear()
        self._seen.clear()

    def _strikes(self, position: int) -> bool:
        self._seen[position] += 1
        struck = self._faults[position].choice.picks(self._seen[position], rng=self._rng)
        self.struck += struck
        return struck

    def for_request(self, exchange: Exchange) -> list[RequestFault]:
        """Return the faults that strike this request itself."""
        return [
            fault
            for position, fault in enumerate(self._faults)
            if isinstance(fault, RequestFault) and fault.concerns(exchange) and self._strikes(position)
        ]

    def for_stream(self, endpoint: str) -> list[StreamFault]:
        """Return the faults that strike the stream this request opens."""
        return [
            fault
            for position, fault in enumerate(self._faults)
            if isinstance(fault, StreamFault) and endpoint in fault.on and self._strikes(position)
        ]

    def for_run(self, run: Run) -> tuple[RunFault, ...]:
        """Return the faults that strike a run just created."""
        return tuple(
            fault
            for position, fault in enumerate(self._faults)
            if isinstance(fault, RunFault) and fault.matches(run.input) and self._strikes(position)
        )

    @property
    def rng(self) -> Random:
        """The dice faults throw."""
        return self._rng
