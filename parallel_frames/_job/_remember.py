"""Where an enrichment remembers: which store, what is recalled into the ledger, and whether that fits these rows.

It joins the checkpoint with one call's plan, before anything is sent: resuming is never silent and never a guess.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._checkpoint import (
    DirectoryStore,
    MemoryStore,
    auto_root,
    choose_folder,
    in_thread,
    open_store,
    peek_folder,
    place_of,
)
from parallel_frames._runtime import gc_paused
from parallel_frames._state import Ledger
from parallel_frames.errors import CheckpointError, CheckpointLockedError, CheckpointMismatchError, InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from parallel_frames._checkpoint import Place
    from parallel_frames._job._call import Call
    from parallel_frames._model import Job, Plan
    from parallel_frames._prices import Price

logger = logging.getLogger("parallel_frames")

SUSPICIOUS_FROM: Final = 20
SUSPICIOUS_SHARE: Final = 0.2
SAMPLES: Final = 3
UNANSWERED: Final = -1


@dataclass(frozen=True, slots=True)
class Memory:
    """An open store and what it held."""

    store: DirectoryStore | MemoryStore
    ledger: Ledger
    cursors: dict[str, str] = field(default_factory=dict)
    unreadable_intents: tuple[int, ...] = ()
    stale: dict[str, int] = field(default_factory=dict)

    def end_refresh(self, plan: Plan) -> bool:
        """Take note that the plan's rows were asked again, if all were; what is left of another refresh stays.

        Returns whether they were.
        """
        if any(map(self.ledger.is_stale, plan.keys)):
            return False
        done = set(plan.keys)
        self.store.end_refresh({key: attempt for key, attempt in self.stale.items() if key not in done})
        return True

    @property
    def simulated(self) -> bool:
        """Whether what is remembered came from a simulator."""
        return isinstance(self.store, DirectoryStore) and bool(self.store.header.get("simulated"))

    @property
    def location(self) -> str | None:
        """The job's folder; None in memory."""
        return str(self.store.folder) if isinstance(self.store, DirectoryStore) else None


@contextlib.contextmanager
def open_memory(
    call: Call, plan: Plan, *, host: str, root: Path | None, price: Price, carried: Memory | None = None
) -> Iterator[Memory]:
    """Open what the call asks for; `root` is where checkpoints go that are not named.

    `carried` is the memory of a call in this process that goes on: without a directory it is all there is.
    """
    if carried is not None and carried.location is None:
        yield carried
        return
    with contextlib.ExitStack() as stack:
        store = None
        if call.checkpoint is not None:
            folder = job_folder(call, plan.job, host=host, root=root, price=price.text(len(plan.keys)))
            try:
                store = stack.enter_context(open_store(folder, plan.job, host=host))
            except CheckpointError as error:
                beginning = type(error) is CheckpointError and not (folder / "header.json").exists()
                if call.checkpoint != "auto" or not beginning:
                    raise  # what it holds was paid for
                logger.warning("%s Going on without a checkpoint.", error)
        if store is None:
            stack.enter_context(_only_user(host, call.group_ids))
            yield Memory(MemoryStore(groups=call.group_ids), Ledger())
        else:
            yield _recall(store, call, plan, price=price)


@contextlib.asynccontextmanager
async def opened_memory(
    call: Call, plan: Plan, *, host: str, root: Path | None, price: Price, carried: Memory | None = None
) -> AsyncIterator[Memory]:
    """Open what the call asks for, as `open_memory` does, while the event loop goes on: a store may be far away."""
    opening = open_memory(call, plan, host=host, root=root, price=price, carried=carried)
    opened: list[Memory] = []
    async with contextlib.AsyncExitStack() as stack:

        async def close(*error: Any) -> None:
            if opened:
                await in_thread(lambda: opening.__exit__(*error))

        stack.push_async_exit(close)
        await in_thread(lambda: opened.append(opening.__enter__()))
        yield opened[0]


@dataclass(frozen=True, slots=True)
class Glimpse:
    """What a call would find in its checkpoint: read without a lock, and nothing changed by it."""

    ledger: Ledger
    folder: Place | None = None
    header: dict[str, Any] = field(default_factory=dict)


def glimpse_memory(call: Call, plan: Plan, *, host: str, root: Path | None, price: Price) -> Glimpse:
    """Return what a call would find, and raise what it would raise over another job's answers."""
    if call.checkpoint is None:
        return Glimpse(Ledger())
    folder = job_folder(call, plan.job, host=host, root=root, price=price.text(len(plan.keys)))
    peek = peek_folder(folder)
    if peek is None:
        return Glimpse(Ledger(), folder)
    ledger = peek.remembered.ledger()
    _refuse_strangers(folder, peek.header, call, plan, ledger, price=price)
    if call.refresh:
        ledger.mark_stale(_stale_attempts(ledger, plan, peek.stale or {}))
    return Glimpse(ledger, folder, peek.header)


_groups_in_use: set[tuple[str, str]] = set()
_guard = threading.Lock()


@contextlib.contextmanager
def _only_user(host: str, group_ids: tuple[str, ...]) -> Iterator[None]:
    """Keep two calls of this process from completing one group at once, where no directory's lock does."""
    used = {(host, group_id) for group_id in group_ids}
    with _guard:
        if taken := used & _groups_in_use:
            raise CheckpointLockedError(
                f"Another call of this process is going on with group {min(taken)[1]}. "
                "Wait for it; two would pay twice."
            )
        _groups_in_use.update(used)
    try:
        yield
    finally:
        with _guard:
            _groups_in_use.difference_update(used)


def job_folder(call: Call, job: Job, *, host: str, root: Path | None, price: str) -> Place:
    """Return the folder of a job in the checkpoint that a call names."""
    if call.checkpoint == "auto":
        return choose_folder(root or auto_root(host), job, on_mismatch="new", price=price)
    if not isinstance(call.checkpoint, str | os.PathLike):
        raise InputError(f"checkpoint={call.checkpoint!r} is neither a path, 'auto' nor None.")
    place = place_of(call.checkpoint)
    if place.exists() and not place.is_dir():
        raise InputError(f"checkpoint={str(call.checkpoint)!r} is a file; name a directory.")
    return choose_folder(place, job, on_mismatch=call.on_mismatch, price=price)


def _recall(store: DirectoryStore, call: Call, plan: Plan, *, price: Price) -> Memory:
    """Read the store into a ledger, and stop where it hardly knows these rows."""
    with gc_paused():
        remembered = store.recall()
        ledger = remembered.ledger()
    store.take_groups(known=remembered.groups, named=call.group_ids)
    _refuse_strangers(store.folder, store.header, call, plan, ledger, price=price)
    stale: dict[str, int] = {}
    if call.refresh:
        unfinished = store.unfinished_refresh() or {}
        stale = _stale_attempts(ledger, plan, unfinished)
        if stale != unfinished:
            store.begin_refresh(stale)
        ledger.mark_stale(stale)
    note_call(store, plan, rows=plan.rows)
    store.keep_header()
    unreadable = tuple(intent.number for intent in remembered.intents if not intent.runs)
    return Memory(store, ledger, remembered.cursors, unreadable, stale)


def _stale_attempts(ledger: Ledger, plan: Plan, unfinished: Mapping[str, int]) -> dict[str, int]:
    """Return which attempts a refresh is to ask anew: those it found when it began, and of rows that are new to it.

    A row without an answer is noted too: once it has one, the refresh that goes on does not ask it a second time.
    """
    finished = ledger.finished_attempts(plan.keys)
    return {**{key: finished.get(key, UNANSWERED) for key in plan.keys}, **unfinished}


def _refuse_strangers(
    folder: Place, header: dict[str, Any], call: Call, plan: Plan, ledger: Ledger, *, price: Price
) -> None:
    """Stop before the first POST where rows that look the same as last time have become other inputs."""
    if plan.chosen == plan.rows and plan.keys:  # other rows of a frame are strangers to those asked, and no surprise
        trip_on_strangers(
            folder,
            header.get("last_call"),
            call,
            keys=ledger.keys,
            known=sum(ledger.newest(key) is not None for key in plan.keys),
            runs=len(plan.keys),
            rows=plan.rows,
            first=(plan.positions[0], plan.inputs[0]),
            price=price,
        )


def trip_on_strangers(
    folder: Place,
    last: Mapping[str, Any] | None,
    call: Call,
    *,
    keys: int,
    known: int,
    runs: int,
    rows: int,
    first: tuple[int, bytes],
    price: Price,
) -> None:
    """Stop where a checkpoint of so many keys knows few of these runs; `first` is a row's number and its input."""
    if call.on_mismatch == "new" or not last or keys < SUSPICIOUS_FROM or runs < SUSPICIOUS_FROM:
        return
    same_shape = last["rows"] == rows or call.checkpoint != "auto"
    if known >= SUSPICIOUS_SHARE * min(keys, runs) or not same_shape:
        return
    stored, new = last["samples"][0]["input"], first[1].decode()[:300]
    raise CheckpointMismatchError(
        f"{folder} holds {keys} inputs of this job but only {known} of this frame's {runs}.\n"
        f"  stored, row {last['samples'][0]['row']}: {stored}\n  now, row {first[0]}: {new}\n"
        f"If the rows are the same, something about them changed (a column's type or name, a format); sending them "
        f"would pay for {runs - known} runs ({price.text(runs - known)}). If they are new rows, say "
        "on_mismatch='new'.",
        path=folder,
    )


def note_call(store: DirectoryStore, plan: Plan, *, rows: int) -> None:
    """Keep a few of this call's inputs in the header, to show should the next call know none of its rows."""
    store.header["last_call"] = {
        "rows": rows,
        "sent": list(plan.sent),
        "samples": [
            {"row": plan.positions[at], "key": plan.keys[at], "input": plan.inputs[at].decode()[:300]}
            for at in range(min(SAMPLES, len(plan.keys)))
        ],
    }


def freeze_spec(plan: Plan, memory: Memory) -> Plan:
    """Return the plan with the task spec that the job's first call froze: later words must not change an answer."""
    if not isinstance(memory.store, DirectoryStore):
        return plan
    return replace(plan, job=replace(plan.job, spec=memory.store.header["spec"]))
