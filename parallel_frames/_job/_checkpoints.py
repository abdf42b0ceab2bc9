"""Which store a call works on, what it held, and whether that fits the call's rows.

It joins the checkpoint with one call, before anything is sent: resuming is never silent and never a guess.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._checkpoint import (
    JobStore,
    auto_folder,
    choose_folder,
    in_thread,
    memory_store,
    open_store,
    place_of,
    read_header,
    read_patiently,
    read_stale,
    recall_folder,
)
from parallel_frames._format import format_count
from parallel_frames.errors import CheckpointError, CheckpointLockedError, CheckpointMismatchError, InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from parallel_frames._checkpoint import Recalled, StoragePath
    from parallel_frames._job._offline import Destination
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._source import RowSource
    from parallel_frames._state import Index, JobStatus

logger = logging.getLogger("parallel_frames")

SUSPICIOUS_FROM: Final = 20
SUSPICIOUS_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class OpenCheckpoint:
    """A job's store, open for writing, and what the engine needs of it besides the index."""

    store: JobStore
    recalled: Recalled


@contextlib.contextmanager
def open_checkpoint(
    source: RowSource[Any], index: Index, destination: Destination, *, refresh: bool, memory: JobStore | None = None
) -> Iterator[OpenCheckpoint]:
    """Open the store that a call names, read it into the index, and stop where it hardly knows these rows.

    Parameters
    ----------
    refresh : bool
        Whether every row is asked again.
    memory : JobStore, optional
        The store of an earlier call in this process that had no checkpoint: it is all there is.
    """
    prepared = source.prepared
    call = prepared.call
    with contextlib.ExitStack() as stack:
        store = memory
        if store is None and call.checkpoint is not None:
            folder = job_folder(prepared, destination, runs=index.runs)
            try:
                store = stack.enter_context(open_store(folder, prepared.job, host=destination.host))
            except CheckpointError as error:
                is_new = type(error) is CheckpointError and not (folder / "header.json").exists()
                if call.checkpoint != "auto" or not is_new:
                    raise  # what it holds was paid for
                logger.warning("%s Continuing without a checkpoint.", error)
        if store is None:
            stack.enter_context(_only_user(destination.host, call.group_ids))
            store = memory_store(prepared.job, host=destination.host)
        yield _recall(store, source, index, refresh=refresh)


@contextlib.asynccontextmanager
async def opened_checkpoint(
    source: RowSource[Any], index: Index, destination: Destination, *, refresh: bool, memory: JobStore | None = None
) -> AsyncIterator[OpenCheckpoint]:
    """Open a checkpoint as `open_checkpoint` does, without blocking the event loop: a store may be far away."""
    opening = open_checkpoint(source, index, destination, refresh=refresh, memory=memory)
    opened: list[OpenCheckpoint] = []
    async with contextlib.AsyncExitStack() as stack:
        if memory is None and source.prepared.call.checkpoint is not None:
            folder = await in_thread(lambda: job_folder(source.prepared, destination, runs=index.runs))
            await stack.enter_async_context(_turn(str(folder)))

        async def close(*error: Any) -> None:
            if opened:
                await in_thread(lambda: opening.__exit__(*error))

        stack.push_async_exit(close)
        await in_thread(lambda: opened.append(opening.__enter__()))
        yield opened[0]


_guard = threading.Lock()
_turns: dict[str, threading.Lock] = {}
_our_folders: contextvars.ContextVar[frozenset[str]] = contextvars.ContextVar("our_folders", default=frozenset())


@contextlib.asynccontextmanager
async def _turn(folder: str) -> AsyncIterator[None]:
    """Wait until no other call of this process writes a folder; a call made inside such a one would wait for ever."""
    if folder in _our_folders.get():
        raise CheckpointLockedError(
            f"{folder} is being written by the enrichment that called this one (in on_row=, perhaps). Name another "
            "checkpoint= for the call inside, or make it after the other.",
            path=folder,
        )
    with _guard:
        lock = _turns.setdefault(folder, threading.Lock())
    waits = False
    while not lock.acquire(blocking=False):
        if not waits:
            logger.warning("Another call of this process uses %s: waiting for it.", folder)
        waits = True
        await asyncio.sleep(0.02)
    token = _our_folders.set(_our_folders.get() | {folder})
    try:
        yield
    finally:
        _our_folders.reset(token)
        lock.release()


def _recall(store: JobStore, source: RowSource[Any], index: Index, *, refresh: bool) -> OpenCheckpoint:
    call = source.prepared.call
    index.forget_checkpoint()
    recalled = store.recall(index)
    store.take_groups(known=index.groups, named=call.group_ids)
    _check_key_overlap(store.folder, store.header, source, index.plan())
    if refresh:
        index.begin_refresh(read_stale(store.folder) or ())
        store.begin_refresh(index.marked_attempts())
    _note_call(store, source, rows=index.rows)
    store.keep_header()
    return OpenCheckpoint(store, recalled)


@dataclass(frozen=True, slots=True)
class CheckpointPreview:
    """What a call would find in its checkpoint: read without a lock, and nothing changed by it."""

    folder: StoragePath | None = None
    header: Mapping[str, Any] = field(default_factory=dict)


def preview_checkpoint(source: RowSource[Any], index: Index, destination: Destination) -> CheckpointPreview:
    """Read what a call would find into the index, and raise what it would raise over another job's answers."""
    prepared = source.prepared
    if prepared.call.checkpoint is None:
        return CheckpointPreview()
    folder = job_folder(prepared, destination, runs=index.runs)
    header = read_header(folder)
    if header is None:
        return CheckpointPreview(folder)

    def read() -> None:
        index.forget_checkpoint()
        recall_folder(folder, index, repair=False)
        if prepared.call.refresh:
            index.begin_refresh(read_stale(folder) or ())

    read_patiently(read)
    _check_key_overlap(folder, header, source, index.plan())
    return CheckpointPreview(folder, header)


_groups_in_use: set[tuple[str, str]] = set()


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


def job_folder(prepared: PreparedCall, destination: Destination, *, runs: int) -> StoragePath:
    """Return the folder of a job in the checkpoint that a call names."""
    call, price = prepared.call, prepared.price.text(runs)
    if call.checkpoint == "auto":
        if destination.root is not None:
            return choose_folder(destination.root, prepared.job, on_mismatch="new", price=price)
        return _default_folder(prepared, destination)
    if not isinstance(call.checkpoint, str | os.PathLike):
        raise InputError(f"checkpoint={call.checkpoint!r} must be a path, 'auto' or None.")
    place = place_of(call.checkpoint)
    if place.exists() and not place.is_dir():
        raise InputError(f"checkpoint={str(call.checkpoint)!r} is a file; name a directory.")
    return choose_folder(place, prepared.job, on_mismatch=call.on_mismatch, price=price)


_named_to_user: set[str] = set()  # folders of other accounts: once in a process is enough


def _default_folder(prepared: PreparedCall, destination: Destination) -> StoragePath:
    """Return the folder in the user's cache, which all ends share, or the one beside a target.

    That one counts where it knows the job (earlier versions wrote there) and the cache does not, and for a target in an
    object store, which other machines see as well.
    """
    folder, others = auto_folder(destination.host, destination.client.account, prepared.job)
    if others and str(others[0]) not in _named_to_user:
        _named_to_user.add(str(others[0]))
        logger.warning(
            "%s holds answers to this question that were asked with another API key. If the account is the same, pass "
            "checkpoint=%r to use them; without it they are paid for again.",
            others[0], str(others[0].parent),
        )  # fmt: skip
    if prepared.beside is None or (folder / "header.json").exists():
        return folder
    beside = place_of(prepared.beside) / folder.name
    return beside if "://" in prepared.beside or (beside / "header.json").exists() else folder


def _check_key_overlap(
    folder: StoragePath, header: Mapping[str, Any], source: RowSource[Any], status: JobStatus
) -> None:
    """Stop before the first POST where rows that look the same as last time have become other inputs."""
    call, price, last = source.prepared.call, source.prepared.price, header.get("last_call")
    if status.chosen != status.rows:  # a few rows out of many are expected to be unknown
        return
    if call.on_mismatch == "new" or not last or min(status.keys, status.runs) < SUSPICIOUS_FROM:
        return
    # In the cache, which all ends share, other rows are expected unless they are of the same source and as many.
    same_shape = call.checkpoint != "auto" or (last["rows"] == status.rows and last.get("source") == source.name)
    if status.known >= SUSPICIOUS_SHARE * min(status.keys, status.runs) or not same_shape:
        return
    stored, first = last["samples"][0], source.first_runs[0]
    unknown = status.runs - status.known
    raise CheckpointMismatchError(
        f"{folder} holds {status.keys} inputs of this job but only {status.known} of this frame's {status.runs}.\n"
        f"  stored, row {stored['row']}: {stored['input']}\n  now, row {first.row}: {first.input.decode()[:300]}\n"
        f"If the rows are the same, something about them changed (a column's type or name, a format); sending them "
        f"would pay for {format_count(unknown, 'run')} ({price.text(unknown)}). If they are new rows, pass "
        "on_mismatch='new'.",
        path=folder,
    )


def _note_call(store: JobStore, source: RowSource[Any], *, rows: int) -> None:
    """Keep a few of this call's inputs in the header, to show should the next call know none of its rows."""
    if source.first_runs:
        store.header["last_call"] = {
            "rows": rows,
            "source": source.name,
            "sent": list(source.prepared.selection.names),
            "samples": [
                {"row": run.row, "key": run.id.key, "input": run.input.decode()[:300]} for run in source.first_runs
            ],
        }
