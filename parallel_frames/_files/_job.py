"""A job before it goes to the network: its source scanned, its checkpoint opened and recalled, its numbers known."""

from __future__ import annotations

import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._checkpoint import open_store
from parallel_frames._files._address import find_address
from parallel_frames._files._agenda import NEVER, Agenda, Counts
from parallel_frames._files._ask import Asked, ask
from parallel_frames._files._index import Index
from parallel_frames._files._recall import Recalled, recall_into, stale_table_of
from parallel_frames._files._rows import scan_rows
from parallel_frames._files._source import open_source
from parallel_frames._files._target import check_checkpoint
from parallel_frames._files._temporary import temporary_folder
from parallel_frames._files._write import check_added
from parallel_frames._job._options import make_call, seconds
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._checkpoints import SAMPLES, job_folder, note_call, trip_on_strangers
from parallel_frames._prices import check_cost
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

    from parallel_frames._checkpoint import DirectoryStore
    from parallel_frames._checkpoint import Place as Folder
    from parallel_frames._job._options import Call
    from parallel_frames._job._offline import Destination
    from parallel_frames._model import Plan

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
        A few runs, the first ones, for what is told of a job.
    bytes_per_run : float
        The size of what a run sends, about.
    asks_again : bool
        Whether failed and old answers are asked again, as the call wants; it does so once.
    """

    asked: Asked
    index: Index
    destination: Destination
    first: Plan | None
    stale_at: int = NEVER
    recalled: Recalled | None = None
    bytes_per_run: float = 0.0
    simulated: bool = False
    asks_again: bool = True

    @property
    def call(self) -> Call:
        """The options."""
        return self.asked.call

    @property
    def agenda(self) -> Agenda:
        """What the options make of what is known."""
        return Agenda(
            index=self.index,
            limit=self.call.limit,
            retry_failed=self.call.retry_failed and self.asks_again,
            stale_at=self.stale_at if self.asks_again else NEVER,
        )

    def count(self) -> Counts:
        """Return the numbers as they are known now."""
        return self.agenda.count()

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
    asked = ask(opened, schema, call, provenance=provenance)
    check_added(asked)
    destination = choose_destination(call.client, for_sending=for_sending)
    if call.checkpoint != "auto":
        check_checkpoint(
            call.checkpoint, opened.address, None if target is None else find_address(target, what="target")
        )
    with temporary_folder() as folder, closing(Index(folder / "index.sqlite")) as index:
        job = _scanned(asked, index, destination)
        job.stale_at = NEVER if age is None else int((time.time() - age) * 10**6)
        yield job


def _scanned(asked: Asked, index: Index, destination: Destination) -> Job:
    """Return the job once its source is read; of its first batch only what is told of a job stays in memory."""
    first = scan_rows(asked, index)
    if first is None:
        return Job(asked, index, destination, None)
    few = slice(SAMPLES)
    told = replace(first, keys=first.keys[few], inputs=first.inputs[few], positions=first.positions[few])
    size = sum(map(len, first.inputs)) / len(first.inputs)
    return Job(asked, index, destination, told, bytes_per_run=size)


def folder_of(job: Job) -> Folder:
    """Return the job's folder in its checkpoint."""
    price = job.asked.price.text(0 if job.first is None else job.count().runs)
    return job_folder(job.call, job.asked.job, host=job.destination.host, root=job.destination.root, price=price)


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


@contextmanager
def opened(job: Job) -> Iterator[DirectoryStore]:
    """Give the job's store, recalled into the index, with the spec that its first call froze."""
    folder = folder_of(job)
    with open_store(folder, job.asked.job, host=job.destination.host) as store:
        job.asked = replace(job.asked, job=replace(job.asked.job, spec=store.header["spec"]))
        job.recall(store.folder, repair=True)
        store.take_groups(known=list(job.index.groups()), named=())
        refuse_strangers(job, store.folder, store.header)
        if job.call.refresh:
            job.index.begin_refresh((store.unfinished_refresh() or {}).items())
            store.begin_refresh(stale_table_of(job.index.stale_attempts()))
        if job.first is not None:
            note_call(store, job.first, rows=job.index.rows)
        store.keep_header()
        job.simulated = bool(store.header.get("simulated")) or job.destination.block is not None
        yield store
