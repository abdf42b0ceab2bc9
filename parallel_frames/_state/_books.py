"""The books of one job: what is known of every (key, attempt), kept as things are told, one at a time or in bulk."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import compress, repeat
from typing import TYPE_CHECKING, Final

import numpy as np

from parallel_frames._model import Outcome, Receipt, RunId
from parallel_frames._state._answers import Answers
from parallel_frames._state._archive import Archive
from parallel_frames._state._look import read_identity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pyarrow as pa

    from parallel_frames._model import Intent, RunEvent

WEIGHT: Final = 1000  # bytes of an outcome in the books, beside what it says


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


class Ledger:
    """The state of every (key, attempt) of one job.

    Parameters
    ----------
    keeps_answers : bool, default True
        Whether outcomes are kept with what they say; without it, whoever is told of one has to store it.
    """

    def __init__(self, *, keeps_answers: bool = True) -> None:
        self._keeps_answers = keeps_answers
        self._archive = Archive()
        self._loose: list[Outcome] = []
        self._weight = 0
        self._outcomes: dict[RunId, Outcome] = {}
        self.intents: dict[int, Intent] = {}
        self.found: dict[int, dict[RunId, Receipt]] = {}
        self._acknowledged: defaultdict[str, set[str]] = defaultdict(set)
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
        self._acknowledge(run, run_id=receipt.run_id, group_id=receipt.group_id)
        self._raise_newest(run)
        if not self.has_outcome(run):
            self.awaited[receipt.group_id][receipt.run_id] = run

    def add_outcome(self, outcome: Outcome) -> bool:
        """Take note of an outcome; return False where nothing is new.

        A completed run is never replaced; a failure is, should the same attempt have completed under another id.
        """
        run = outcome.id
        self.awaited[outcome.group_id].pop(outcome.run_id, None)
        known = self._outcomes.get(run)
        if known is not None and (known.status == "completed" or outcome.status != "completed"):
            return False
        if self._is_archived(run):
            return False
        self._outcomes[run] = outcome if self._keeps_answers else outcome.without_answer()
        self._run_ids[outcome.run_id] = run
        self._paid.add(run)
        self._acknowledge(run, run_id=outcome.run_id, group_id=outcome.group_id)
        self._raise_newest(run)
        if outcome.status == "completed":
            self._answered[run.key] = max(run.attempt, self._answered.get(run.key, 0))
            if run.attempt == 0 and self._keeps_answers:
                self._loose.append(outcome)
                self._weight += WEIGHT + len(outcome.output or "") + len(outcome.basis or "")
        return True

    def recall(self, *, outcomes: Iterable[Outcome], receipts: Iterable[Receipt]) -> None:
        """Take note of all that is stored of a job, as `add_outcome` and `add_receipt` do of what comes one by one.

        It is their work in one loop, for a million at a time; nothing may have been told before.
        """
        known, run_ids, newest, answered = self._outcomes, self._run_ids, self._newest, self._answered
        for outcome in outcomes:
            key, attempt, run_id = outcome.key, outcome.attempt, outcome.run_id
            run = RunId(key, attempt)
            completed = outcome.status == "completed"
            if run in known and (known[run].status == "completed" or not completed):
                continue
            known[run] = outcome if self._keeps_answers else outcome.without_answer()
            run_ids[run_id] = run
            self._acknowledged[outcome.group_id].add(run_id)
            if attempt > newest.get(key, -1):
                newest[key] = attempt
            if completed and attempt >= answered.get(key, 0):
                answered[key] = attempt
        self._paid.update(known)
        self._recall_receipts(receipts)

    def recall_archive(self, archive: Archive, receipts: Iterable[Receipt]) -> None:
        """Take note of all that a checkpoint holds, before anything else was told.

        `receipts` are those that are not of an archived answer.
        """
        self._archive = archive
        for outcome in archive.rest:
            self.add_outcome(outcome)
        self._recall_receipts(receipts)

    def _recall_receipts(self, receipts: Iterable[Receipt]) -> None:
        for receipt in receipts:
            if self._run_ids.get(receipt.run_id) != (receipt.key, receipt.attempt):
                self.add_receipt(receipt)

    def note_ended(self, run: RunId, status: str) -> None:
        """Take note that an attempt ended, wherever its outcome is stored."""
        self._outcomes[run] = Outcome(run.key, run.attempt, "", "", status)
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
        told = (run_id for run_id in run_ids if self._archive.identify(run_id) is None)  # those are counted there
        self._acknowledged[group_id].update(told)

    def finished_attempts(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the newest attempt of each of these keys that has an outcome; one under way is not stale."""
        newest = {key: attempt for key in keys if (attempt := self.newest(key)) is not None}
        return {key: attempt for key, attempt in newest.items() if self.has_outcome(RunId(key, attempt))}

    def mark_stale(self, attempts: Mapping[str, int]) -> None:
        """Ask each key anew whose newest attempt is still the one given (``refresh=True``)."""
        self._stale.update(attempts)

    def take_loose(self, at_least: int) -> list[Outcome]:
        """Return, once, the answers to first attempts that came since the last time.

        None while they take less than so many bytes of memory: what they say, and `WEIGHT` for each of them.
        """
        if self._weight < at_least:
            return []
        loose, self._loose, self._weight = self._loose, [], 0
        return loose

    def archive(self, outcomes: Sequence[Outcome], table: pa.Table, data: bytes) -> None:
        """Move answers that `take_loose` gave, and `encode` encoded, from the books into the archive.

        One that is not alone any more, because its key is asked anew, stays where it is.
        """
        held = [self._newest.get(each.key) == 0 and self._outcomes.get(each.id) is each for each in outcomes]
        self._archive.append(table, data, held=held)  # first: other threads may look meanwhile
        for outcome in compress(outcomes, held):
            run = outcome.id
            del self._outcomes[run], self._newest[run.key], self._answered[run.key]
            self._paid.discard(run)
            self._run_ids.pop(outcome.run_id, None)
            self._acknowledged[outcome.group_id].discard(outcome.run_id)

    def _acknowledge(self, run: RunId, *, run_id: str, group_id: str) -> None:
        """Take note that a group must show a run; the ids of archived answers are counted there."""
        if self._archive.holds(run.key, run_id=run_id):
            self._acknowledged[group_id].discard(run_id)
        else:
            self._acknowledged[group_id].add(run_id)

    def _raise_newest(self, run: RunId) -> None:
        if run.attempt > self._newest.get(run.key, -1):
            self._newest[run.key] = run.attempt

    # What is asked

    def identify(self, event: RunEvent) -> RunId | None:
        """Return which run it is: by the key and attempt in its metadata, or by its id; None for a stranger's.

        Metadata comes first: it travelled with the run, while an id was matched to it by its place in an answer.
        """
        told = read_identity(event.metadata) or self._run_ids.get(event.run_id)
        return told or self._archive.identify(event.run_id)

    def find(self, run: RunId, *, run_id: str, group_id: str) -> Receipt | None:
        """Take note that the service has a run; return a receipt to be written unless an open batch will write it."""
        if run_id in self._run_ids or self._archive.holds(run.key, run_id=run_id):
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
        return key in self._stale and self._stale[key] == self.newest(key)

    def is_paid(self, run: RunId) -> bool:
        """Return whether a run has a receipt or an outcome."""
        return run in self._paid or self._is_archived(run)

    def has_outcome(self, run: RunId) -> bool:
        """Return whether a run has ended."""
        return run in self._outcomes or self._is_archived(run)

    def _is_archived(self, run: RunId) -> bool:
        return run.attempt == 0 and run.key in self._archive

    def missing(self, number: int) -> list[RunId]:
        """Return the runs of an open batch that nothing is known of so far."""
        found = self.found[number]
        return [run for run in self.intents[number].runs if run not in found and not self.is_paid(run)]

    def is_open(self, group_id: str) -> bool:
        """Return whether a batch of this group is not yet decided."""
        return any(intent.group_id == group_id for intent in self.intents.values())

    def in_flight(self) -> int:
        """Return how many runs are paid for, or may be, and not finished."""
        return sum(map(len, self.awaited.values())) + sum(len(intent.runs) for intent in self.intents.values())

    def group_size(self, group_id: str) -> int:
        """Return how many runs a group has, or may have, from us."""
        undecided = sum(len(i.runs) for i in self.intents.values() if i.group_id == group_id)
        return self.count_acknowledged(group_id) + undecided

    def count_acknowledged(self, group_id: str) -> int:
        """Return how many runs of a group the service has acknowledged."""
        return len(self._acknowledged[group_id]) + self._archive.count(group_id)

    def acknowledged(self, group_id: str) -> set[str]:
        """Return the ids of the runs of a group that the service has acknowledged: it must show them."""
        return self._acknowledged[group_id] | self._archive.run_ids(group_id)

    @property
    def groups(self) -> list[str]:
        """The groups of which any run was acknowledged."""
        told = (group for group, run_ids in self._acknowledged.items() if run_ids)
        return list(dict.fromkeys([*self._archive.groups, *told]))

    def newest(self, key: str) -> int | None:
        """Return a key's newest attempt, whatever became of it; None if nothing is known of the key."""
        newest = self._newest.get(key)
        return 0 if newest is None and key in self._archive else newest

    @property
    def keys(self) -> int:
        """How many keys anything is known of."""
        return len(self._archive) + sum(key not in self._archive for key in self._newest)

    def needs(self, keys: Sequence[str], *, retry_failed: bool) -> Needs:
        """Return what is left to do for these keys."""
        needs = Needs()
        archive, stale = self._archive, self._stale
        for entry, key in enumerate(keys):
            if key in archive and key not in stale and key not in self._newest:
                needs.answered.append(entry)
                continue
            newest = self.newest(key)
            if newest is None:
                needs.to_send.append((entry, 0))
                continue
            if not self.has_outcome(RunId(key, newest)):
                needs.awaited.append(entry)
            elif self.is_stale(key):
                needs.to_send.append((entry, newest + 1))
            elif key in self._answered or key in archive or not retry_failed:
                needs.answered.append(entry)
            else:
                needs.to_send.append((entry, newest + 1))
        return needs

    def answer(self, key: str) -> Outcome | None:
        """Return a key's outcome: the newest answer, or else the newest attempt's failure; None if it is pending."""
        return self.answers([key]).outcomes()[0]

    def has_answer(self, key: str) -> bool:
        """Return whether `answer` would return an outcome."""
        if key in self._answered or key in self._archive:
            return True
        return self._outcome(key, self._newest.get(key)) is not None

    def answers(self, keys: Sequence[str]) -> Answers:
        """Return what `answer` would of each of many keys."""
        archived = self._archive.places
        places = np.fromiter(map(archived.get, keys, repeat(-1)), np.int64, len(keys))
        entries = np.flatnonzero(places < 0).tolist()
        if again := self._answered.keys() & archived.keys():  # a later attempt stands for these; in one go, for threads
            entries += [entry for entry, key in enumerate(keys) if key in again]
        told: dict[int, Outcome] = {}
        for entry in entries:
            key = keys[entry]
            known = self._outcome(key, self._answered.get(key))
            # It may have been put away since the first look.
            places[entry] = -1 if known is not None else archived.get(key, -1)
            if known is None and places[entry] < 0:
                known = self._outcome(key, self._newest.get(key))
            if known is not None:
                told[entry] = known
        return Answers(told, len(keys), archive=self._archive, places=places)

    def _outcome(self, key: str, attempt: int | None) -> Outcome | None:
        return None if attempt is None else self._outcomes.get(RunId(key, attempt))
