"""A job from source to target: scan, recall, say, send and wait, gather, write. It puts the other rooms together."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._bridge import run_from_anywhere
from parallel_frames._call import make_call, seconds
from parallel_frames._checkpoint import open_store
from parallel_frames._offline import choose_destination
from parallel_frames._parquet._ask import Asked, ask, no_rows, plan_open, read_work, scan_rows
from parallel_frames._parquet._gather import Gathered
from parallel_frames._parquet._index import NEVER, Counts, Index
from parallel_frames._parquet._manifest import make_manifest, time_of, write_manifest
from parallel_frames._parquet._recall import Recalled, recall_into, stale_table_of
from parallel_frames._parquet._source import open_source
from parallel_frames._parquet._target import whole_target
from parallel_frames._parquet._types import target_schema
from parallel_frames._parquet._windows import WINDOW_RUNS, Windows
from parallel_frames._parquet._write import added_types, check_added, told_of, write_rows
from parallel_frames._prices import check_cost
from parallel_frames._progress import ask as ask_somebody
from parallel_frames._progress import showing
from parallel_frames._remember import job_folder, note_call, trip_on_strangers
from parallel_frames._telling import Ahead, announcement, counted
from parallel_frames.errors import (
    DeclinedError,
    EnrichmentError,
    InputError,
    ParallelFramesError,
    Safety,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

    from parallel_frames._call import Call
    from parallel_frames._checkpoint import DirectoryStore
    from parallel_frames._checkpoint import Place as Folder
    from parallel_frames._model import Plan
    from parallel_frames._offline import Destination
    from parallel_frames._parquet._places import Place
    from parallel_frames._progress import Progress

SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def age_in_seconds(value: float | str | timedelta | None) -> float | None:
    """Return an age such as ``"30d"`` in seconds; a number is seconds already."""
    if isinstance(value, str):
        number, unit = value.strip()[:-1], value.strip()[-1:].lower()
        try:
            value = float(number) * SECONDS[unit]
        except (KeyError, ValueError):
            raise InputError(f"older_than={value!r} is no age such as '30d', '12h' or '2w'.") from None
    return seconds(value, name="older_than")


@dataclass(slots=True)
class Job:
    """One job under way.

    Attributes
    ----------
    first : Plan or None
        The first batch that has runs, for what is told of a job.
    """

    asked: Asked
    index: Index
    place: Destination
    first: Plan | None
    stale_at: int = NEVER
    recalled: Recalled | None = None
    simulated: bool = False

    @property
    def call(self) -> Call:
        """The options."""
        return self.asked.call

    def count(self) -> Counts:
        """Return the numbers as they are known now."""
        return self.index.count(limit=self.call.limit, retry_failed=self.call.retry_failed, stale_at=self.stale_at)

    def recall(self, folder: Folder, *, repair: bool) -> None:
        """Read the checkpoint into the index."""
        self.recalled = recall_into(self.index, folder, repair=repair)


@contextmanager
def prepared(
    source: Any,
    target: Any,
    schema: object,
    options: Mapping[str, Any],
    *,
    older_than: Any,
    provenance: bool = False,
    for_sending: bool,
) -> Iterator[Job]:
    """Give a job whose source is scanned: everything that can be decided before the checkpoint is opened."""
    age = age_in_seconds(older_than)
    call = make_call(options)
    if age is not None and call.refresh:
        raise InputError("refresh=True asks every row again and older_than= only old answers: say one of them.")
    if target is not None and "checkpoint" not in options:
        call = replace(call, checkpoint=f"{str(target).rstrip('/')}.ckpt")
    opened = source if hasattr(source, "batches") else open_source(source)
    asked = ask(opened, schema, call)
    check_added(asked, provenance=provenance)
    destination = choose_destination(call.client, for_sending=for_sending)
    with (
        tempfile.TemporaryDirectory(prefix="parallel_frames-") as place,
        closing(Index(Path(place) / "index.sqlite")) as index,
    ):
        job = Job(asked, index, destination, scan_rows(asked, index))
        job.stale_at = NEVER if age is None else int((time.time() - age) * 10**6)
        yield job


def folder_of(job: Job) -> Folder:
    """Return the job's folder in its checkpoint."""
    price = job.asked.price.text(0 if job.first is None else job.count().runs)
    return job_folder(job.call, job.asked.job, host=job.place.host, root=job.place.root, price=price)


# Before anything is sent


def look_ahead(job: Job, *, checkpoint: str) -> tuple[Ahead, str]:
    """Return the numbers of what is ahead, and the line that says them."""
    counts = job.count()
    ahead = Ahead(
        rows=counts.rows,
        chosen=counts.chosen,
        skipped=counts.skipped,
        runs=counts.runs,
        to_send=counts.to_send,
        answered=counts.answered,
        awaited=counts.awaited,
        since=time_of(counts.since),
        limit=job.call.limit,
        sent=job.asked.selection.names,
    )
    line = announcement(
        ahead,
        price=job.asked.price,
        max_per_minute=job.place.client.max_per_minute,
        checkpoint=checkpoint,
        simulated=job.place.block is not None,
    )
    return ahead, line


def refuse_strangers(job: Job, folder: Folder, header: Mapping[str, Any]) -> None:
    """Stop where rows that look the same as last time have become other inputs."""
    counts = job.count()
    if job.first is not None and counts.chosen == counts.rows:
        trip_on_strangers(
            folder,
            header.get("last_call"),
            job.call,
            keys=counts.keys,
            known=counts.known,
            runs=counts.runs,
            rows=counts.rows,
            first=(job.first.positions[0], job.first.inputs[0]),
            price=job.asked.price,
        )


def afford(job: Job, counts: Counts) -> None:
    """Refuse to send what would cost more than allowed."""
    check_cost(job.asked.price, range(counts.to_send), sent=counts.sent, max_cost=job.call.max_cost, may_limit=False)


def _begin(job: Job, store: DirectoryStore, progress: Progress) -> Counts:
    """Say what will be sent, and make sure that it may be."""
    price = job.asked.price
    for finding in job.asked.findings:
        progress.warn(f"schema: {finding}")
    if price.per_run is None:
        progress.warn(f"processor {job.call.processor!r} is not in the price table of {price.as_of}.")
    _, line = look_ahead(job, checkpoint=str(store.folder))
    progress.line(line)
    counts = job.count()
    afford(job, counts)
    if job.call.confirm and counts.to_send:
        asked = f"Send {counted(counts.to_send, 'run')} ({price.text(counts.to_send)})?"
        if not ask_somebody(asked):
            raise DeclinedError("confirm=True asked, and the answer was not yes. Nothing was sent.")
    return counts


@contextmanager
def opened(job: Job) -> Iterator[DirectoryStore]:
    """Give the job's store, recalled into the index, with the spec that its first call froze."""
    folder = folder_of(job)
    with open_store(folder, job.asked.job, host=job.place.host) as store:
        job.asked = replace(job.asked, job=replace(job.asked.job, spec=store.header["spec"]))
        job.recall(store.folder, repair=True)
        store.take_groups(known=job.index.group_names(), named=())
        refuse_strangers(job, store.folder, store.header)
        if job.call.refresh:
            job.index.begin_refresh((store.unfinished_refresh() or {}).items())
            store.begin_refresh(stale_table_of(job.index.stale_attempts()))
        if job.first is not None:
            note_call(store, job.first, rows=job.index.rows)
        store.write_header()
        job.simulated = bool(store.header.get("simulated")) or job.place.block is not None
        yield store


# The network


async def _go(job: Job, store: DirectoryStore, progress: Progress, counts: Counts, *, wait: bool) -> None:
    client = job.place.client
    with client.pacer.joined(client.max_per_minute) as pacer:
        async with client.session(dialect=store.dialect) as session:
            windows = Windows(
                index=job.index,
                store=store,
                service=session,
                client=client,
                pacer=pacer,
                progress=progress,
                rows_of=_tell_progress(job, progress, counts),
                max_in_flight=job.call.max_in_flight,
                timeout=job.call.timeout,
                until_sent=not wait,
            )
            try:
                await _look_and_run(job, store, windows, sends=counts.to_send > 0)
            finally:
                job.simulated |= session.simulated
                store.note_simulated(job.simulated)


async def _look_and_run(job: Job, store: DirectoryStore, windows: Windows, *, sends: bool) -> None:
    recalled = job.recalled or Recalled()
    if store.groups:
        unreadable = recalled.unreadable
        if await windows.look_at_groups(no_rows(job.asked), unreadable=unreadable, sends=sends):
            job.recall(store.folder, repair=False)
            recalled = job.recalled or recalled
        afford(job, job.count())
    job.index.plan_work(limit=job.call.limit, retry_failed=job.call.retry_failed, stale_at=job.stale_at)
    old = []
    for group_id, runs in job.index.open_groups(limit=job.call.limit):
        intents = [intent for intent in recalled.intents if intent.group_id == group_id]
        doubtful = {run.key for intent in intents for run in intent.runs}
        windows.rows_of.update({key: rows for key, _, rows in runs})
        old.append((group_id, plan_open(job.asked, runs, inputs=doubtful), intents))
    new = read_work(job.asked, job.index, at_once=WINDOW_RUNS)
    await windows.run(old, new, cursors=recalled.cursors)


def _tell_progress(job: Job, progress: Progress, counts: Counts) -> dict[str, int]:
    """Tell the progress what there is to do; return where it looks up how many rows share a run."""
    rows_of: dict[str, int] = {}
    per_run = job.asked.price.per_run
    progress.begin(
        rows=counts.rows_answered + counts.rows_open,
        answered=counts.rows_answered,
        failed=0,
        in_flight=counts.awaited,
        rows_of=rows_of,
        per_run=None if per_run is None else float(per_run),
        spent=None if per_run is None else float(per_run * counts.sent),
        url_of=job.place.client.url_of,
    )
    return rows_of


def _safety(job: Job, store: DirectoryStore) -> Safety | None:
    if not store.groups:
        return None
    job.recall(store.folder, repair=False)
    counts = job.count()
    return Safety(counts.rows_answered, counts.rows, counts.sent, tuple(store.groups), str(store.folder))


def send_and_wait(job: Job, store: DirectoryStore, *, wait: bool) -> None:
    """Send what is to be sent and wait for what is under way; what was learnt is in the index afterwards."""
    with showing(job.call.progress) as progress:
        counts = _begin(job, store, progress)
        if not (counts.to_send or counts.awaited):
            return
        try:
            run_from_anywhere(lambda: _go(job, store, progress, counts, wait=wait))
        except ParallelFramesError as error:
            error.safety = _safety(job, store)
            raise
        except KeyboardInterrupt:
            if (safety := _safety(job, store)) is not None:
                progress.line(f"Stopped: {safety}")
            raise
    job.recall(store.folder, repair=False)
    if job.call.refresh and job.index.is_refreshed():
        store.end_refresh(dict(job.index.stale_attempts(of_others=True)))


# The target


def write_target(
    job: Job, store: DirectoryStore, place: Place, *, provenance: bool, rows_per_file: int
) -> tuple[dict[str, int], str]:
    """Write the target and its manifest; return the asked rows by status, and where the manifest is."""
    asked = job.asked
    types = added_types(asked, provenance=provenance)
    counts = job.count()
    told = {
        "job": asked.job.hash,
        "processor": job.call.processor,
        "group_ids": list(store.groups),
        "checkpoint": str(store.folder),
        "rows": {},
        "simulated": job.simulated,
    }
    schema = target_schema(asked.source.schema, types, rows=counts.rows, attrs=told_of(asked, told, made=types))
    with ExitStack() as stack:
        spilt = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="parallel_frames-")))
        basis = bool(asked.layout.evidence or asked.layout.basis)
        answers = Gathered(job.index, store.folder, place=spilt, basis=basis)
        with whole_target(place, schema, rows_per_file=rows_per_file) as writer:
            statuses = write_rows(asked, job.index, answers, writer, schema)
    manifest = make_manifest(
        asked, job.index, counts, statuses=statuses, checkpoint=str(store.folder), simulated=job.simulated
    )
    return dict(statuses), write_manifest(place, manifest)


def raise_for_failures(job: Job, statuses: Mapping[str, int], *, target: str) -> None:
    """Raise where failures are to raise; everything is stored and written by then."""
    bad = {name: statuses[name] for name in ("failed", "cancelled", "invalid") if statuses.get(name)}
    if bad and job.call.on_error == "raise":
        told = ", ".join(f"{count} {name}" for name, count in bad.items())
        raise EnrichmentError(
            f"{told} of {job.index.rows} rows; everything is stored, and {target} is written. Run the same call again "
            "to try failed rows anew."
        )
