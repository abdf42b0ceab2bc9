"""What is known of one group while the engine works with it: whose its runs are, what is awaited, what is in doubt.

An engine holds the state of the groups that still have something to wait for or to decide, and no other. Everything
here is in the checkpoint too, or on the service.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from parallel_frames._model import Receipt, RunId
from parallel_frames._state._rules import read_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from parallel_frames._model import Intent, RunEvent


@dataclass(slots=True)
class CursorTrack:
    """The events of one group's stream in order, up to the first that the cursor may not pass yet."""

    durable: str | None = None
    _passed: deque[tuple[str | None, str | None]] = field(default_factory=deque)
    _blocking: set[str] = field(default_factory=set)

    def add(self, event_id: str | None, *, blocked_by: str | None = None) -> None:
        """Append an event; `blocked_by` names a run that must have its outcome first."""
        if blocked_by is not None:
            self._blocking.add(blocked_by)
        if event_id is not None or blocked_by is not None:
            self._passed.append((event_id, blocked_by))

    def release(self, run_id: str) -> None:
        """Let events of a run pass: it has its outcome, or is not ours."""
        self._blocking.discard(run_id)

    def advance(self) -> str | None:
        """Return the cursor as far as it may go now."""
        while self._passed and self._passed[0][1] not in self._blocking:
            self.durable = self._passed.popleft()[0] or self.durable
        return self.durable


class GroupState:
    """The runs of one group.

    Attributes
    ----------
    acknowledged : set of str
        Ids that the service gave: it must show them, or a look at the group has a flaw.
    awaited : dict of RunId to str
        Acknowledged runs without an outcome, with their ids. The place of an id in an answer may be wrong, and an
        outcome come under another one: what is awaited goes by the run itself.
    waiting : dict of RunId to int
        The runs that this call waits for, those of open batches included, with the number of rows that share each.
    intents, found : dict by number
        Batches that are not decided yet, and the runs of each that were found so far.
    held : dict of str to RunEvent
        Events whose runs may be ours once an open batch is decided.
    to_hydrate : dict of str to float
        Ids of runs that completed and whose output is to be fetched, with the time since when, oldest first.
    """

    def __init__(self, group_id: str, *, has_key: Callable[[str], bool] | None = None) -> None:
        self.group_id = group_id
        self._has_key = has_key
        self.acknowledged: set[str] = set()
        self.awaited: dict[RunId, str] = {}
        self.waiting: dict[RunId, int] = {}
        self.intents: dict[int, Intent] = {}
        self.found: dict[int, dict[RunId, Receipt]] = {}
        self.held: dict[str, RunEvent] = {}
        self.to_hydrate: dict[str, float] = {}
        self.cursor = CursorTrack()
        self._batches: list[tuple[str | None, set[str]]] = []  # of this process: the list's cursor before, and the ids
        self._runs: dict[str, RunId] = {}
        self._paid: set[RunId] = set()
        self._ended: dict[RunId, str] = {}
        self._open: dict[RunId, int] = {}  # which open batch a run is in

    # Recording

    def add_paid(self, run: RunId, *, run_id: str) -> None:
        """Record a run that is paid for; it is awaited until it has an outcome."""
        self._runs[run_id] = run
        self._paid.add(run)
        self.acknowledged.add(run_id)
        if run not in self._ended:
            self.awaited[run] = run_id

    def add_outcome(self, run: RunId, *, run_id: str, status: str) -> bool:
        """Record how a run ended; return False where that is not new.

        A completed run is never replaced; a failure is, should the same attempt have completed under another id.
        """
        self._runs[run_id] = run
        self._paid.add(run)
        self.acknowledged.add(run_id)
        self.awaited.pop(run, None)
        known = self._ended.get(run)
        if known is not None and (known == "completed" or status != "completed"):
            return False
        self._ended[run] = status
        return True

    def note_batch(self, run_ids: Iterable[str], *, run_cursor: str | None) -> None:
        """Record where the group's list was before a batch."""
        self._batches.append((run_cursor, set(run_ids)))

    def open_intent(self, intent: Intent) -> None:
        """Record a batch that is about to be sent, or that a dead process was about to send."""
        self.intents[intent.number] = intent
        self.found[intent.number] = {}
        self._open |= dict.fromkeys(intent.runs, intent.number)

    def close_intent(self, number: int) -> None:
        """Forget a decided batch."""
        for run in self.intents.pop(number).runs:
            self._open.pop(run, None)
        del self.found[number]

    def find(self, run: RunId, *, run_id: str) -> Receipt | None:
        """Record that the service has a run; return a receipt to be written unless an open batch will write it."""
        if run_id in self._runs and (run in self._paid or self._runs[run_id] == run):
            return None  # where the id was another run's, its metadata say whose it is
        receipt = Receipt(run.key, run.attempt, run_id, self.group_id)
        number = self._open.get(run)
        if number is not None and run not in self.found[number]:
            self.found[number][run] = receipt
            self._runs[run_id] = run
            return None
        self.add_paid(run, run_id=run_id)
        return receipt

    # Asking

    def identify(self, event: RunEvent) -> RunId | None:
        """Return which run an event is of; None for a run that is not ours.

        Metadata comes first: it travelled with the run, while an id was matched to it by its place in an answer. A run
        with a key of ours that is neither recorded here nor a row's answers another job, or other rows.
        """
        known, named = self._runs.get(event.run_id), read_identity(event.metadata)
        if named is None or known is not None or named in self._open or self._has_key is None:
            return named or known
        return named if self._has_key(named.key) else None

    def cursor_before(self, run_ids: Iterable[str]) -> tuple[str | None, int]:
        """Return where to begin in the group's list for these runs, and how many acknowledged runs come after that."""
        wanted, after = set(run_ids), 0
        for run_cursor, batch in reversed(self._batches):
            wanted -= batch
            after += len(batch)
            if not wanted:
                return run_cursor, after
        return None, len(self.acknowledged)

    def run_of(self, run_id: str) -> RunId | None:
        """Return the run that an id is known to be of."""
        return self._runs.get(run_id)

    def status(self, run: RunId) -> str | None:
        """Return how a run ended; None while it has not."""
        return self._ended.get(run)

    @property
    def statuses(self) -> dict[RunId, str]:
        """How each run ended that has."""
        return dict(self._ended)

    def missing(self, number: int) -> list[RunId]:
        """Return the runs of an open batch of which nothing is known so far."""
        found = self.found[number]
        return [run for run in self.intents[number].runs if run not in found and run not in self._paid]

    @property
    def size(self) -> int:
        """How many runs the group has, or may have, from us."""
        return len(self.acknowledged) + sum(len(intent.runs) for intent in self.intents.values())

    @property
    def in_flight(self) -> int:
        """How many runs are paid for, or may be, and not finished."""
        return len(self.awaited) + sum(len(intent.runs) for intent in self.intents.values())

    @property
    def is_awaited(self) -> bool:
        """Whether this call waits for a run that the service has acknowledged."""
        return bool(self.waiting) and any(run in self.waiting for run in self.awaited)

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing left to wait for or to decide."""
        return not (self.awaited or self.waiting or self.intents or self.held or self.to_hydrate)
