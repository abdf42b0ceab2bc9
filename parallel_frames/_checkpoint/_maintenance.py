"""Looking after jobs that no call works on: finding them, their size and age, compacting them, removing them.

What is removed was paid for, so a job is only touched while its lock is ours.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from parallel_frames._checkpoint._folders import alone_in, read_header
from parallel_frames._checkpoint._keyed import remove_leftovers
from parallel_frames._checkpoint._parts import list_parts, os_errors_as_checkpoint_error
from parallel_frames._checkpoint._paths import LocalPath, place_of
from parallel_frames._checkpoint._store import JobStore
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from parallel_frames._checkpoint._paths import StoragePath

NESTED = 2  # the user's cache holds a folder per host, and that one per job


def job_folders(path: str | os.PathLike[str] | StoragePath) -> list[StoragePath]:
    """Return the jobs of a directory: itself, those in it, or those in the folders in it."""
    return list(_find(place_of(path), NESTED))


def _find(place: StoragePath, depth: int) -> Iterator[StoragePath]:
    if read_header(place) is not None:
        yield place
    elif depth:
        for folder in place.children():
            if not folder.name.startswith(".") and folder.is_dir():
                yield from _find(folder, depth - 1)


def _files(folder: StoragePath) -> Iterator[StoragePath]:
    for place in folder.children():
        if place.is_dir():
            yield from _files(place)
        else:
            yield place


def bytes_of(folder: StoragePath) -> int:
    """Return the size of a job's files."""
    return sum(place.size() for place in _files(folder))


def last_used(folder: StoragePath) -> float | None:
    """Return when a job was written last, in seconds since the epoch; None where its place does not tell."""
    if not isinstance(folder, LocalPath):
        return None
    paths = [place.path for place in _files(folder) if isinstance(place, LocalPath) and place.name != "lock"]
    return max((path.stat().st_mtime for path in paths), default=0.0)


def compact_job(folder: StoragePath) -> tuple[int, int]:
    """Put a job's small parts together and return how many there were, and are: of outcomes, and of receipts.

    What was staged for a call that was killed goes, too.
    """
    with alone_in(folder) as writer:
        store = JobStore(folder, header=read_header(folder) or {}, writer=writer)
        before = _count_parts(folder)
        store.compact(above=1)
        remove_leftovers(folder)
        return before, _count_parts(folder)


def _count_parts(folder: StoragePath) -> int:
    return sum(not is_intent for name in ("outcomes", "receipts") for _, is_intent, _ in list_parts(folder / name))


def remove_job(folder: StoragePath) -> None:
    """Remove a job whole: it loses its name at once, and then its files."""
    if not isinstance(folder, LocalPath):
        raise InputError(f"{folder} is in an object store; remove it with the store's own tools.")
    with alone_in(folder):
        gone = folder.path.with_name(f".removed-{folder.name}-{time.time_ns()}")
        os_errors_as_checkpoint_error(folder, lambda: folder.path.rename(gone))
        folder.parent.sync()
    shutil.rmtree(gone, ignore_errors=True)
