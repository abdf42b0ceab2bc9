"""Sending and waiting: what is said before, the look at what the service has, the windows, and what is safe after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallel_frames._files._job import afford
from parallel_frames._files._look import look_at_groups, settle_unreadable
from parallel_frames._files._manifest import time_of
from parallel_frames._files._recall import Recalled
from parallel_frames._files._rows import no_rows, plan_open, read_work
from parallel_frames._files._seek import ByInput
from parallel_frames._files._windows import Windows, window_size
from parallel_frames._job._attrs import Ahead, announcement, counted
from parallel_frames._runtime import run_from_anywhere
from parallel_frames._ui import ask as ask_somebody
from parallel_frames._ui import showing
from parallel_frames.errors import DeclinedError, ParallelFramesError, Safety

if TYPE_CHECKING:
    from parallel_frames._checkpoint import DirectoryStore
    from parallel_frames._files._agenda import Counts
    from parallel_frames._files._job import Job
    from parallel_frames._ui import Progress


def _announce(job: Job, counts: Counts, *, checkpoint: str) -> str:
    """Return the line that says what is ahead."""
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
    return announcement(
        ahead,
        price=job.asked.price,
        max_per_minute=job.destination.client.max_per_minute,
        checkpoint=checkpoint,
        simulated=job.destination.block is not None,
    )


def _begin(job: Job, store: DirectoryStore, progress: Progress) -> Counts:
    """Say what will be sent, and make sure that it may be."""
    price = job.asked.price
    for finding in job.asked.findings:
        progress.warn(f"schema: {finding}")
    if price.per_run is None:
        progress.warn(f"processor {job.call.processor!r} is not in the price table of {price.as_of}.")
    if timeless := job.agenda.count_timeless():
        progress.warn(
            f"older_than=: {counted(timeless, 'answer')} without a time, because the service sent none; they are not "
            "asked again. refresh=True asks every row again."
        )
    counts = job.count()
    progress.line(_announce(job, counts, checkpoint=str(store.folder)))
    afford(job, counts)
    if job.call.confirm and counts.to_send:
        asked = f"Send {counted(counts.to_send, 'run')} ({price.text(counts.to_send)})?"
        if not ask_somebody(asked):
            raise DeclinedError("confirm=True asked, and the answer was not yes. Nothing was sent.")
    return counts


# The network


async def _go(job: Job, store: DirectoryStore, progress: Progress, counts: Counts, *, wait: bool) -> None:
    client = job.destination.client
    with client.pacer.joined(client.max_per_minute) as pacer:
        async with client.session(dialect=store.dialect) as session:
            windows = Windows(
                index=job.index,
                store=store,
                service=session,
                client=client,
                pacer=pacer,
                progress=progress,
                rows_of={},
                max_in_flight=job.call.max_in_flight,
                timeout=job.call.timeout,
                until_sent=not wait,
            )
            try:
                _tell_progress(job, windows, counts)
                await _look_and_run(job, store, windows, sends=counts.to_send > 0)
            finally:
                job.simulated |= session.simulated
                store.note_simulated(job.simulated)


async def _look_and_run(job: Job, store: DirectoryStore, windows: Windows, *, sends: bool) -> None:
    recalled = job.recalled or Recalled()
    if store.groups:
        if await _look(job, store, windows, recalled, sends=sends):
            job.recall(store.folder, repair=False)
            recalled = job.recalled or recalled
        counts = job.count()
        _tell_progress(job, windows, counts)
        afford(job, counts)
    job.agenda.plan_work()
    old = []
    for group_id, runs in job.agenda.open_groups():
        intents = [intent for intent in recalled.intents if intent.group_id == group_id]
        doubtful = {run.key for intent in intents for run in intent.runs}
        windows.rows_of.update({key: rows for key, _, rows in runs})
        old.append((group_id, plan_open(job.asked, job.index, runs, inputs=doubtful), intents))
    new = read_work(job.asked, job.agenda, at_once=window_size(job.bytes_per_run))
    await windows.run(old, new, cursors=recalled.cursors)


async def _look(job: Job, store: DirectoryStore, windows: Windows, recalled: Recalled, *, sends: bool) -> bool:
    """Look at the job's groups; return whether anything was found that was not known."""
    if sends:
        await settle_unreadable(recalled.unreadable, windows.client, progress=windows.progress)
    seek = None
    if sends and windows.service.dialect == "seed":
        seek = ByInput(job.asked, job.agenda, {run.key: run.attempt for each in recalled.intents for run in each.runs})
    nothing = no_rows(job.asked)
    found = await look_at_groups(
        job.index, store, windows.service, windows.client, nothing=nothing, seek=seek, sends=sends
    )
    if sends:
        for number in recalled.unreadable:
            await store.drop_intent(number)
    return found


def _tell_progress(job: Job, windows: Windows, counts: Counts) -> None:
    """Tell the progress what there is to do, as far as it is known."""
    per_run = job.asked.price.per_run
    windows.progress.begin(
        rows=counts.rows_answered + counts.rows_open,
        answered=counts.rows_answered,
        failed=0,
        in_flight=counts.awaited,
        rows_of=windows.rows_of,
        per_run=None if per_run is None else float(per_run),
        spent=None if per_run is None else float(per_run * counts.sent),
        url_of=job.destination.client.url_of,
    )


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
        job.asks_again = False
        job.recall(store.folder, repair=False)
        if not wait and not job.count().to_send:
            progress.leave_as("sent")
    if job.call.refresh and job.agenda.is_refreshed():
        store.end_refresh(dict(job.index.stale_attempts(of_others=True)))
