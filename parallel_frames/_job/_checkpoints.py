"""Which store a call works on, what it held, and whether that fits the call's rows.

It joins the checkpoint with one call, before anything is sent: resuming is never silent and never a guess.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import orjson

from parallel_frames._checkpoint import (
    JobStore,
    auto_folder,
    check_header,
    choose_folder,
    in_thread,
    memory_store,
    open_store,
    place_of,
    read_answers,
    read_header,
    read_patiently,
    read_receipts,
    read_stale,
    recall_folder,
)
from parallel_frames._format import format_count, format_option, format_sends
from parallel_frames._job._likeness import look_alike
from parallel_frames._job._turns import only_user, take_turn
from parallel_frames._state import runs_of, states_of
from parallel_frames.errors import CheckpointCorruptError, CheckpointError, CheckpointMismatchError, InputError

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
EARLIER_CALLS: Final = 16
KEPT: Final = 1_000  # characters of an input
SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class OpenCheckpoint:
    """A job's store, open for writing, and what the engine needs of it besides the index."""

    store: JobStore
    recalled: Recalled
    continues_refresh: bool = False


@contextlib.asynccontextmanager
async def open_checkpoint(
    source: RowSource[Any], index: Index, destination: Destination, *, refresh: bool, memory: JobStore | None
) -> AsyncIterator[OpenCheckpoint]:
    """Open the store that a call names, read it into the index, and stop where it hardly knows these rows.

    Files are read and written in threads: a store may be far away.

    Parameters
    ----------
    refresh : bool
        Whether every row is asked again.
    memory : JobStore or None
        The store of an earlier call in this process that had no checkpoint: it is all there is.

    Raises
    ------
    CheckpointLockedError
        Another process writes the folder, or a call of this process that cannot end before this one does.
    """
    call = source.prepared.call
    folder: StoragePath | None = None
    other: StoragePath | None = None
    if memory is not None:
        folder = memory.folder
    elif call.checkpoint is not None:
        folder, other = await in_thread(lambda: job_folders(source.prepared, destination, runs=index.runs))
    loop = asyncio.get_running_loop()
    opening = _opened(folder, other, source, index, destination, loop=loop, refresh=refresh, memory=memory)
    opened: list[OpenCheckpoint] = []

    def open_it() -> None:
        opened.append(opening.__enter__())
        if loop.is_closed():  # meanwhile: nothing else would close it
            close_it()

    def close_it(*error: Any) -> None:
        with contextlib.suppress(IndexError):  # it was closed
            opened.pop()
            opening.__exit__(*(error or (None, None, None)))

    async with contextlib.AsyncExitStack() as stack:
        if folder is not None:
            turn = take_turn(str(folder), clock=destination.client.clock, at_most=call.timeout)
            (await stack.enter_async_context(turn)).release = close_it

        async def close(*error: Any) -> None:
            if loop.is_closed():  # the call was left, and ends as garbage
                close_it(*error)
            else:
                await in_thread(lambda: close_it(*error))

        stack.push_async_exit(close)
        await in_thread(open_it)
        yield opened[0]


@contextlib.contextmanager
def _opened(
    folder: StoragePath | None,
    other: StoragePath | None,
    source: RowSource[Any],
    index: Index,
    destination: Destination,
    *,
    loop: asyncio.AbstractEventLoop,
    refresh: bool,
    memory: JobStore | None,
) -> Iterator[OpenCheckpoint]:
    call, job = source.prepared.call, source.prepared.job
    with contextlib.ExitStack() as stack:
        store = memory
        if store is None and folder is not None:
            try:
                store = stack.enter_context(open_store(folder, job, host=destination.host))
            except CheckpointError as error:
                is_new = type(error) is CheckpointError and not (folder / "header.json").exists()
                if call.checkpoint != "auto" or not is_new:
                    raise  # what it holds was paid for
                logger.warning("%s Continuing without a checkpoint.", error)
        if store is None:
            store = memory_store(job, host=destination.host)
        if store.location is None:
            stack.enter_context(only_user(destination.host, call.group_ids, loop=loop))
        yield _recall(store, other, source, index, refresh=refresh)


def _recall(
    store: JobStore, other: StoragePath | None, source: RowSource[Any], index: Index, *, refresh: bool
) -> OpenCheckpoint:
    call = source.prepared.call
    index.forget_checkpoint()
    recalled = store.recall(index)
    if other is not None:
        _take_over(other, index, store=store)
    # By the frame's own account these hold its answers: where the checkpoint is gone, they are not paid for again.
    earlier = () if refresh else source.prepared.earlier_groups
    store.take_groups(known=index.groups, named=[*call.group_ids, *earlier])
    _check_key_overlap(store.folder, store.header, source, index.status())
    unfinished: list[tuple[str, int]] = []
    if refresh:
        unfinished = read_stale(store.folder) or []
        index.begin_refresh(unfinished)
        store.begin_refresh(index.marked_attempts())
    else:
        with contextlib.suppress(CheckpointCorruptError):  # which concerns a refresh only
            index.recall_refresh(read_stale(store.folder) or ())
    _note_call(store, source, rows=index.rows)
    store.keep_header()
    return OpenCheckpoint(store, recalled, any(map(index.has_key, (key for key, _ in unfinished))))


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
    folder, other = job_folders(prepared, destination, runs=index.runs)
    header = read_header(folder) or {}  # a damaged one does not hide what was paid for
    if header.get("job_hash") == prepared.job.hash:
        check_header(folder, header, host=destination.host)

    def read() -> None:
        index.forget_checkpoint()
        recall_folder(folder, index, repair=False)
        if other is not None:
            _take_over(other, index)

    read_patiently(read)
    if prepared.call.refresh:
        index.begin_refresh(read_stale(folder) or ())
    _check_key_overlap(folder, header, source, index.status())
    return CheckpointPreview(folder, header)


def _take_over(other: StoragePath, index: Index, *, store: JobStore | None = None) -> None:
    """Take what another folder of the job holds of rows that would be sent: their answers, and runs under way.

    They go into the index, and into the store where there is one: the other folder is only read.
    """
    if not index.status().to_send:
        return

    def to_send(keys: set[str]) -> set[str]:
        return {step.key for step in index.steps_of(keys)}

    taken = 0
    for answers in read_answers(other, of=to_send):
        index.add_outcomes(0 if store is None else store.put_outcomes(answers), states_of(answers))
        taken += len(answers)
    for receipts in read_receipts(other):
        keys = to_send({receipt.key for receipt in receipts})
        under_way = [receipt for receipt in receipts if receipt.key in keys]
        if under_way:
            if store is not None:
                store.put_receipts(under_way)
            index.add_receipts(runs_of(under_way))
            taken += len(under_way)
    if taken and store is not None:
        logger.info("%s were taken over from %s", format_count(taken, "run"), other)


def job_folder(prepared: PreparedCall, destination: Destination, *, runs: int) -> StoragePath:
    """Return the folder of a job in the checkpoint that a call names."""
    return job_folders(prepared, destination, runs=runs)[0]


def job_folders(
    prepared: PreparedCall, destination: Destination, *, runs: int
) -> tuple[StoragePath, StoragePath | None]:
    """Return that folder, and another one that may hold answers to the same question."""
    call, price = prepared.call, prepared.price.text(runs)
    if call.checkpoint == "auto":
        if destination.root is not None:
            return choose_folder(destination.root, prepared.job, on_mismatch="new", price=price), None
        return _default_folders(prepared, destination)
    if not isinstance(call.checkpoint, str | os.PathLike):
        raise InputError(f"{format_option('checkpoint', call.checkpoint)} must be a path, 'auto' or None.")
    place = place_of(call.checkpoint)
    if place.exists() and not place.is_dir():
        raise InputError(f"{format_option('checkpoint', str(call.checkpoint))} is a file; name a directory.")
    return choose_folder(place, prepared.job, on_mismatch=call.on_mismatch, price=price), None


_named_to_user: set[str] = set()  # folders of other accounts: once in a process is enough


def _default_folders(prepared: PreparedCall, destination: Destination) -> tuple[StoragePath, StoragePath | None]:
    """Return the folder in the user's cache, which all ends share, or the one next to a target.

    That one counts where it knows the job (earlier versions wrote there) and the cache does not, and for a target in an
    object store, which other machines see as well. Where both know the job, it is the other one.
    """
    folder, others = auto_folder(destination.host, destination.client.account, prepared.job)
    if others and str(others[0]) not in _named_to_user:
        _named_to_user.add(str(others[0]))
        logger.warning(
            "%s holds answers to this question that were asked with another API key. If the account is the same, pass "
            "%s to use them; without it they are paid for again.",
            others[0], format_option("checkpoint", str(others[0].parent)),
        )  # fmt: skip
    if prepared.target_checkpoint is None:
        return folder, None
    at_target = place_of(prepared.target_checkpoint) / folder.name
    headers = {place: read_header(place) for place in (folder, at_target) if (place / "header.json").exists()}
    # A damaged header is repaired by who opens it; another host's answers are no answers here.
    knowing = [place for place, header in headers.items() if header is None or header["host"] == destination.host]
    default = at_target if "://" in prepared.target_checkpoint else folder
    return (knowing[0], knowing[1]) if len(knowing) == 2 else (next(iter(knowing), default), None)


def _check_key_overlap(
    folder: StoragePath, header: Mapping[str, Any], source: RowSource[Any], status: JobStatus
) -> None:
    """Stop before the first POST where rows that look the same as last time have become other inputs."""
    call, price, last = source.prepared.call, source.prepared.price, header.get("last_call")
    if status.chosen != status.rows:  # a few rows out of many are expected to be unknown
        return
    if call.on_mismatch == "new" or not last or min(status.keys, status.runs) < SUSPICIOUS_FROM:
        return
    if status.known >= SUSPICIOUS_SHARE * min(status.keys, status.runs):
        return
    now = [run.input.decode() for run in source.first_runs]
    for past in (last, *last.get("earlier", ())):
        if look_alike([sample["input"] for sample in past["samples"]], now):
            break
    else:
        return  # other rows
    stored, first = past["samples"][0], source.first_runs[0]
    unknown = status.runs - status.known
    raise CheckpointMismatchError(
        f"{folder} holds {format_count(status.keys, 'input')} of this job but only {status.known:,} of this frame's "
        f"{status.runs:,}.\n"
        f"  stored, row {stored['row']}: {stored['input'][:SHOWN]}\n  now, row {first.row}: {now[0][:SHOWN]}\n"
        f"If the rows are the same, something about them changed (a column's type or name, a format); sending them "
        f"would pay for {format_count(unknown, 'run')} ({price.text(unknown)}). If they are new rows, pass "
        "`on_mismatch='new'`.",
        path=folder,
    )


def other_form_of(header: Mapping[str, Any], source: RowSource[Any]) -> str | None:
    """Return a hint where an earlier call sent the same values of a column in another form, bare or named."""
    selection = source.prepared.selection
    other = {"cell": "object", "object": "cell"}.get(selection.form)
    if other is None or len(selection.names) != 1:
        return None
    (name,), (label,) = selection.names, selection.labels
    now = {_only_value(run.input) for run in source.first_runs}
    last = header.get("last_call") or {}
    for call in (last, *last.get("earlier", ())):
        is_other = call.get("form") == other and call.get("sent") == [name]
        if is_other and now & {_only_value(sample["input"].encode()) for sample in call["samples"]}:
            columns: Any = [label] if name == label else {name: label}
            option = format_option("inputs", label if other == "cell" else columns)
            held, sent = format_sends([name], other), selection.sends
            return (
                f"earlier calls sent {held}, and this one sends {sent}: {option} has their answers without a new run."
            )
    return None


def _only_value(sent: bytes) -> bytes:
    """Return an input's only value, whether it is bare or has a name, as JSON; what cannot be read as it is."""
    try:
        value = orjson.loads(sent)
    except orjson.JSONDecodeError:
        return sent
    return orjson.dumps(next(iter(value.values()))) if isinstance(value, dict) and len(value) == 1 else sent


def _note_call(store: JobStore, source: RowSource[Any], *, rows: int) -> None:
    """Keep a few inputs of this call and of earlier ones in the header, to compare with those of the next call."""
    if not source.first_runs:
        return
    samples = [{"row": run.row, "key": run.id.key, "input": run.input.decode()[:KEPT]} for run in source.first_runs]
    earlier: list[dict[str, Any]] = []
    if last := store.header.get("last_call"):
        # A table may come in chunks: the first ones are those that a second round begins with.
        kept = {name: last[name] for name in ("rows", "samples", "sent", "form") if name in last}
        calls = [*last.get("earlier", ()), kept]
        earlier = [call for call in calls if call["samples"][0]["key"] != samples[0]["key"]][:EARLIER_CALLS]
    store.header["last_call"] = {
        "rows": rows,
        "source": source.name,
        "sent": list(source.prepared.selection.names),
        "form": source.prepared.selection.form,
        "samples": samples,
        "earlier": earlier,
    }
