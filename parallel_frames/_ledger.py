"""What is known of every run, and the rules of paying once, as decisions on that knowledge.

Pure bookkeeping: no clock, no file, no network. It is told of intents, receipts, listings and outcomes, and says
what is answered, what is awaited, what may be sent, and whether an ambiguous batch is present, absent, or has to
wait. Whoever acts on it makes things durable in the order of `Store`.

A run's identity is (key, attempt). *Present* is what was found by run id, by the key and attempt in a run's
metadata, or, where a service echoes no metadata, by its input. *Absent* is never concluded from an event, a count
or a partial listing: only from a whole listing taken after the settle time.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from parallel_frames._model import Outcome, Receipt, RunId

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from parallel_frames._model import GroupStatus, Intent, RunEvent

HEX = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class Needs:
    """What one call has to do for its keys; entries are positions in the plan.

    Attributes
    ----------
    answered : list of int
        Nothing to do: an answer is there, or a failure that is not to be tried again.
    awaited : list of int
        Sent and not yet finished, or in a batch of which it is not yet known.
    to_send : list of (int, int)
        Entry and attempt.
    """

    answered: list[int] = field(default_factory=list)
    awaited: list[int] = field(default_factory=list)
    to_send: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Look:
    """One whole reading of a group: its count, then its list.

    Attributes
    ----------
    run_ids : collection of str
        Every run that was listed.
    flaw : str or None
        Why nothing may be concluded from what is *not* in it; None if something may.
    """

    run_ids: Collection[str]
    flaw: str | None


def judge_look(status: GroupStatus, run_ids: Collection[str], acknowledged: Iterable[str]) -> Look:
    """Return the look with its flaw: a listing or a count that lags, or that was cut short, proves no absence."""
    owed = set(acknowledged)
    if status.runs < len(owed):
        return Look(run_ids, f"the group counts {status.runs} runs where {len(owed)} were acknowledged")
    if len(run_ids) < status.runs:
        return Look(run_ids, f"the list holds {len(run_ids)} of {status.runs} runs")
    if lacking := owed.difference(run_ids):
        return Look(run_ids, f"the list lacks {len(lacking)} runs that were acknowledged")
    return Look(run_ids, None)


class Ledger:
    """The state of every (key, attempt) of one job.

    Parameters
    ----------
    keeps_answers : bool, default True
        Whether outcomes are kept with what they say; without it, whoever is told of one has to store it.
    """

    def __init__(self, *, keeps_answers: bool = True) -> None:
        self._keeps_answers = keeps_answers
        self.outcomes: dict[RunId, Outcome] = {}
        self.intents: dict[int, Intent] = {}
        self.found: dict[int, dict[RunId, Receipt]] = {}
        self.acknowledged: defaultdict[str, set[str]] = defaultdict(set)
        self.awaited: defaultdict[str, dict[str, RunId]] = defaultdict(dict)
        self._run_ids: dict[str, RunId] = {}
        self._paid: set[RunId] = set()
        self._newest: dict[str, int] = {}
        self._answered: dict[str, int] = {}
        self._stale: dict[str, int] = {}
        self._open: dict[RunId, int] = {}

    # What is told

    def add_receipt(self, receipt: Receipt) -> None:
        """Take note that a run is paid for; it is awaited until it has an outcome."""
        run = RunId(receipt.key, receipt.attempt)
        self._run_ids[receipt.run_id] = run
        self._paid.add(run)
        self.acknowledged[receipt.group_id].add(receipt.run_id)
        self._raise_newest(run)
        if run not in self.outcomes:
            self.awaited[receipt.group_id][receipt.run_id] = run

    def add_outcome(self, outcome: Outcome) -> bool:
        """Take note of an outcome; return False where nothing is new.

        A completed run is never replaced; a failure is, should the same attempt have completed under another id.
        """
        run = outcome.id
        self.awaited[outcome.group_id].pop(outcome.run_id, None)
        known = self.outcomes.get(run)
        if known is not None and (known.status == "completed" or outcome.status != "completed"):
            return False
        self.outcomes[run] = outcome if self._keeps_answers else outcome.without_answer()
        self._run_ids[outcome.run_id] = run
        self._paid.add(run)
        self.acknowledged[outcome.group_id].add(outcome.run_id)
        self._raise_newest(run)
        if outcome.status == "completed":
            self._answered[run.key] = max(run.attempt, self._answered.get(run.key, 0))
        return True

    def recall(self, *, outcomes: Iterable[Outcome], receipts: Iterable[Receipt]) -> None:
        """Take note of all that is stored of a job, as `add_outcome` and `add_receipt` do of what comes one by one.

        It is their work in one loop, for a million at a time; nothing may have been told before.
        """
        known, run_ids, newest, answered = self.outcomes, self._run_ids, self._newest, self._answered
        for outcome in outcomes:
            key, attempt, run_id = outcome.key, outcome.attempt, outcome.run_id
            run = RunId(key, attempt)
            completed = outcome.status == "completed"
            if run in known and (known[run].status == "completed" or not completed):
                continue
            known[run] = outcome if self._keeps_answers else outcome.without_answer()
            run_ids[run_id] = run
            self.acknowledged[outcome.group_id].add(run_id)
            if attempt > newest.get(key, -1):
                newest[key] = attempt
            if completed and attempt >= answered.get(key, 0):
                answered[key] = attempt
        self._paid.update(known)
        for receipt in receipts:
            if run_ids.get(receipt.run_id) != (receipt.key, receipt.attempt):
                self.add_receipt(receipt)

    def note_ended(self, run: RunId, status: str) -> None:
        """Take note that an attempt ended, wherever its outcome is stored."""
        self.outcomes[run] = Outcome(run.key, run.attempt, "", "", status)
        self._paid.add(run)
        self._raise_newest(run)

    def open_intent(self, intent: Intent) -> None:
        """Take note of a batch that is about to be sent, or that a dead process was about to send."""
        self.intents[intent.number] = intent
        self.found[intent.number] = {}
        for run in intent.runs:
            self._open[run] = intent.number
            self._raise_newest(run)

    def close_intent(self, number: int) -> None:
        """Forget a decided batch; what of it is not acknowledged is as if it had never been meant."""
        intent = self.intents.pop(number)
        self.found.pop(number)
        for run in intent.runs:
            self._open.pop(run, None)
            if run not in self._paid and self._newest.get(run.key) == run.attempt:
                if run.attempt:
                    self._newest[run.key] = run.attempt - 1
                else:
                    del self._newest[run.key]

    def acknowledge(self, group_id: str, run_ids: Iterable[str]) -> None:
        """Take note of ids the service gave, before it is known whose they are: the group must show them."""
        self.acknowledged[group_id].update(run_ids)

    def finished_attempts(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the newest attempt of each of these keys that has an outcome; one under way is not stale."""
        newest = {key: attempt for key in keys if (attempt := self._newest.get(key)) is not None}
        return {key: attempt for key, attempt in newest.items() if RunId(key, attempt) in self.outcomes}

    def mark_stale(self, attempts: Mapping[str, int]) -> None:
        """Ask each key anew whose newest attempt is still the one given (``refresh=True``)."""
        self._stale.update(attempts)

    def _raise_newest(self, run: RunId) -> None:
        if run.attempt > self._newest.get(run.key, -1):
            self._newest[run.key] = run.attempt

    # What is asked

    def identify(self, event: RunEvent) -> RunId | None:
        """Return which run it is: by the key and attempt in its metadata, or by its id; None for a stranger's.

        Metadata comes first: it travelled with the run, while an id was matched to it by its place in an answer.
        """
        return read_identity(event.metadata) or self._run_ids.get(event.run_id)

    def find(self, run: RunId, *, run_id: str, group_id: str) -> Receipt | None:
        """Take note that the service has a run; return a receipt to be written unless an open batch will write it."""
        if run_id in self._run_ids:
            return None
        receipt = Receipt(run.key, run.attempt, run_id, group_id)
        number = self._open.get(run)
        if number is not None and run not in self.found[number]:
            self.found[number][run] = receipt
            self._run_ids[run_id] = run
            return None
        self.add_receipt(receipt)
        return receipt

    def is_stale(self, key: str) -> bool:
        """Return whether a refresh has yet to ask this key."""
        return key in self._stale and self._stale[key] == self._newest.get(key)

    def is_paid(self, run: RunId) -> bool:
        """Return whether a run has a receipt or an outcome."""
        return run in self._paid

    def missing(self, number: int) -> list[RunId]:
        """Return the runs of an open batch that nothing is known of so far."""
        found = self.found[number]
        return [run for run in self.intents[number].runs if run not in found and run not in self._paid]

    def is_open(self, group_id: str) -> bool:
        """Return whether a batch of this group is not yet decided."""
        return any(intent.group_id == group_id for intent in self.intents.values())

    def in_flight(self) -> int:
        """Return how many runs are paid for, or may be, and not finished."""
        return sum(map(len, self.awaited.values())) + sum(len(intent.runs) for intent in self.intents.values())

    def group_size(self, group_id: str) -> int:
        """Return how many runs a group has, or may have, from us."""
        undecided = sum(len(i.runs) for i in self.intents.values() if i.group_id == group_id)
        return len(self.acknowledged[group_id]) + undecided

    def newest(self, key: str) -> int | None:
        """Return a key's newest attempt, whatever became of it; None if nothing is known of the key."""
        return self._newest.get(key)

    @property
    def keys(self) -> int:
        """How many keys anything is known of."""
        return len(self._newest)

    def needs(self, keys: Sequence[str], *, retry_failed: bool) -> Needs:
        """Return what is left to do for these keys."""
        needs = Needs()
        for entry, key in enumerate(keys):
            newest = self._newest.get(key)
            if newest is None:
                needs.to_send.append((entry, 0))
                continue
            outcome = self.outcomes.get(RunId(key, newest))
            if outcome is None:
                needs.awaited.append(entry)
            elif self.is_stale(key):
                needs.to_send.append((entry, newest + 1))
            elif key in self._answered or not retry_failed:
                needs.answered.append(entry)
            else:
                needs.to_send.append((entry, newest + 1))
        return needs

    def answer(self, key: str) -> Outcome | None:
        """Return a key's outcome: the newest answer, or else the newest attempt's failure; None if it is pending."""
        attempt = self._answered.get(key, self._newest.get(key))
        return None if attempt is None else self.outcomes.get(RunId(key, attempt))


def read_identity(metadata: Mapping[str, object] | None) -> RunId | None:
    """Return the identity that a run's metadata carries, if it is one of ours."""
    if not metadata:
        return None
    key, attempt = metadata.get("key"), metadata.get("attempt")
    if not isinstance(key, str) or len(key) != 32 or not HEX.issuperset(key):
        return None
    text = str(attempt)
    return RunId(key, int(text)) if text.isdecimal() and len(text) < 7 else None
