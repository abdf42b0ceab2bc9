"""Looking after jobs that nobody works on: finding them, their size and age, compacting them, removing them.

What is removed was paid for, so a job is only touched while its lock is ours.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

from parallel_frames._checkpoint._directory import alone_in
from parallel_frames._checkpoint._files import guarded, list_parts, sync_folder
from parallel_frames._checkpoint._header import read_header
from parallel_frames._checkpoint._store import DirectoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NESTED = 2  # the user's cache holds a folder per host, and that one per job


def job_folders(path: Path) -> list[Path]:
    """Return the jobs of a directory: itself, those in it, or those in the folders in it."""
    return list(_find(path, NESTED)) if path.is_dir() else []


def _find(path: Path, depth: int) -> Iterator[Path]:
    if read_header(path) is not None:
        yield path
    elif depth:
        for folder in sorted(path.iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                yield from _find(folder, depth - 1)


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def bytes_of(folder: Path) -> int:
    """Return the size of a job's files."""
    return sum(path.stat().st_size for path in _files(folder))


def last_used(folder: Path) -> float:
    """Return when a job was written last, in seconds since the epoch; its lock says nothing."""
    return max((path.stat().st_mtime for path in _files(folder) if path.name != "lock"), default=0.0)


def compact_job(folder: Path) -> tuple[int, int]:
    """Put a job's small outcome parts together and return how many parts there were, and are."""
    with alone_in(folder):
        store = DirectoryStore(folder, header=read_header(folder) or {})
        before = _count_parts(folder)
        store.compact(above=1)
        return before, _count_parts(folder)


def _count_parts(folder: Path) -> int:
    return sum(1 for _ in list_parts(folder / "outcomes"))


def remove_job(folder: Path) -> None:
    """Remove a job whole: it loses its name at once, and then its files."""
    with alone_in(folder):
        gone = folder.with_name(f".removed-{folder.name}-{time.time_ns()}")
        guarded(folder, lambda: folder.rename(gone))
        sync_folder(folder.parent)
    shutil.rmtree(gone, ignore_errors=True)
