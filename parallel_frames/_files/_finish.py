"""The end of a job: answers gathered, the target and its manifest written, failures raised where they are to raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from parallel_frames._files._address import MANIFEST
from parallel_frames._files._gather import Gathered
from parallel_frames._files._manifest import make_manifest, text_of
from parallel_frames._files._publish import whole_target
from parallel_frames._files._recall import count_outcomes
from parallel_frames._files._send import send_and_wait
from parallel_frames._files._temporary import temporary_folder
from parallel_frames._files._types import target_schema
from parallel_frames._files._write import added_types, told_of, write_rows
from parallel_frames._job._attrs import counted
from parallel_frames.errors import CheckpointCorruptError, EnrichmentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from parallel_frames._checkpoint import DirectoryStore
    from parallel_frames._checkpoint import Place as Folder
    from parallel_frames._files._address import Address
    from parallel_frames._files._job import Job

GATHERINGS: Final = 3


def write_target(
    job: Job, store: DirectoryStore, address: Address, *, overwrite: bool, rows_per_file: int
) -> tuple[dict[str, int], str]:
    """Write the target and its manifest; return the asked rows by status, and where the manifest is."""
    asked = job.asked
    types = added_types(asked)
    told = {
        "job": asked.job.hash,
        "processor": job.call.processor,
        "group_ids": list(store.groups),
        "checkpoint": str(store.folder),
        "rows": {},
        "simulated": job.simulated,
    }
    schema = target_schema(asked.source, types, rows=job.index.rows, attrs=told_of(asked, told, made=types))
    with temporary_folder() as spilt:
        answers = _gather(job, store, place=spilt)
        with whole_target(address, schema, rows_per_file=rows_per_file, overwrite=overwrite) as writer:
            statuses = write_rows(asked, job.index, answers, writer, schema)
            manifest = make_manifest(
                asked, job.index, job.count(), statuses=statuses, checkpoint=str(store.folder), simulated=job.simulated
            )
            writer.manifest = text_of(manifest)
    return dict(statuses), f"{address.shown.rstrip('/')}{MANIFEST}"


def told_of_stored(folders: Sequence[Folder]) -> str:
    """Return what is safe where the index, which knows more, can no longer be asked."""
    if not folders:
        return "Nothing was sent."
    count = count_outcomes(folders[0])
    return f"{counted(count, 'answer')} {'is' if count == 1 else 'are'} safe in {folders[0]}."


def _gather(job: Job, store: DirectoryStore, *, place: Path) -> Gathered:
    """Return every row's answer; what a damaged part held is fetched from the service, where it was paid for.

    Raises
    ------
    CheckpointCorruptError
        Parts are damaged as fast as they are written.
    """
    basis = bool(job.asked.layout.evidence or job.asked.layout.basis)
    lost: list[str] = []
    for _ in range(GATHERINGS):
        answers = Gathered(job.index, store.folder, place=place, basis=basis)
        lost = [*answers.lost, *store.take_lost()]
        if not lost:
            return answers
        job.recall(store.folder, repair=True)
        job.asks_again = False
        send_and_wait(job, store, wait=True)
    raise CheckpointCorruptError(
        f"{store.folder} holds damaged answers again each time they were fetched, the last time in outcomes/{lost[0]}. "
        "The target is as it was, and nothing was paid for twice. Check the disk, and run the same call again: it "
        "fetches them for free.",
        path=store.folder,
    )


def raise_for_failures(job: Job, statuses: Mapping[str, int], *, target: str) -> None:
    """Raise where failures are to raise; everything is stored and written by then."""
    bad = {name: statuses[name] for name in ("failed", "cancelled", "invalid") if statuses.get(name)}
    if bad and job.call.on_error == "raise":
        told = ", ".join(f"{count} {name}" for name, count in bad.items())
        raise EnrichmentError(
            f"{told} of {job.index.rows} rows; everything is stored, and {target} is written. Run the same call again "
            "to try failed rows anew."
        )
