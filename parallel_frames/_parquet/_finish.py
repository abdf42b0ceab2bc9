"""The end of a job: answers gathered, the target and its manifest written, failures raised where they are to raise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from parallel_frames._parquet._gather import Gathered
from parallel_frames._parquet._manifest import make_manifest, text_of
from parallel_frames._parquet._publish import whole_target
from parallel_frames._parquet._recall import outcome_parts
from parallel_frames._parquet._temporary import temporary_folder
from parallel_frames._parquet._types import target_schema
from parallel_frames._parquet._write import added_types, told_of, write_rows
from parallel_frames._telling import counted
from parallel_frames.errors import EnrichmentError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parallel_frames._checkpoint import DirectoryStore
    from parallel_frames._checkpoint import Place as Folder
    from parallel_frames._parquet._address import Address
    from parallel_frames._parquet._job import Job


def write_target(
    job: Job, store: DirectoryStore, address: Address, *, overwrite: bool, rows_per_file: int
) -> tuple[dict[str, int], str]:
    """Write the target and its manifest; return the asked rows by status, and where the manifest is."""
    asked = job.asked
    types = added_types(asked)
    counts = job.count()
    told = {
        "job": asked.job.hash,
        "processor": job.call.processor,
        "group_ids": list(store.groups),
        "checkpoint": str(store.folder),
        "rows": {},
        "simulated": job.simulated,
    }
    schema = target_schema(asked.source, types, rows=counts.rows, attrs=told_of(asked, told, made=types))
    with temporary_folder() as spilt:
        basis = bool(asked.layout.evidence or asked.layout.basis)
        answers = Gathered(job.index, store.folder, place=spilt, basis=basis)
        with whole_target(address, schema, rows_per_file=rows_per_file, overwrite=overwrite) as writer:
            statuses = write_rows(asked, job.index, answers, writer, schema)
            manifest = make_manifest(
                asked, job.index, counts, statuses=statuses, checkpoint=str(store.folder), simulated=job.simulated
            )
            writer.manifest = text_of(manifest)
    return dict(statuses), f"{address.shown.rstrip('/')}.manifest.json"


def told_of_stored(folders: Sequence[Folder]) -> str:
    """Return what is safe where the index, which knows more, can no longer be asked."""
    if not folders:
        return "Nothing was sent."
    count = sum(table.num_rows for _, table in outcome_parts(folders[0], columns=["key"]))
    return f"{counted(count, 'answer')} {'is' if count == 1 else 'are'} safe in {folders[0]}."


def raise_for_failures(job: Job, statuses: Mapping[str, int], *, target: str) -> None:
    """Raise where failures are to raise; everything is stored and written by then."""
    bad = {name: statuses[name] for name in ("failed", "cancelled", "invalid") if statuses.get(name)}
    if bad and job.call.on_error == "raise":
        told = ", ".join(f"{count} {name}" for name, count in bad.items())
        raise EnrichmentError(
            f"{told} of {job.index.rows} rows; everything is stored, and {target} is written. Run the same call again "
            "to try failed rows anew."
        )
