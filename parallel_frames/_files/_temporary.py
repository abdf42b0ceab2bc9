"""Folders in the directory for temporary files, held while their process lives; what dead ones left is removed."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from parallel_frames._checkpoint import file_lock
from parallel_frames._fs import make_temporary_folder, temporary_home
from parallel_frames.errors import TargetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PREFIX: Final = "parallel_frames-"
LOCK: Final = "in-use.lock"
YOUNG_SECONDS: Final = 60.0  # a folder this young may be about to be held
FULL: Final = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give an empty folder that goes with the block, or, if the process is killed, with the next call of anybody."""
    _sweep(temporary_home())
    folder = make_temporary_folder(PREFIX)
    try:
        with file_lock(folder / LOCK):
            inner = folder / "files"
            inner.mkdir()
            yield inner
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove the folders of this user's dead processes."""
    mine = os.getuid() if hasattr(os, "getuid") else None
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):
            facts = folder.lstat()
            is_old = time.time() - facts.st_mtime > YOUNG_SECONDS
            if folder.is_symlink() or not is_old or mine not in (None, facts.st_uid) or not (folder / LOCK).is_file():
                continue
            with file_lock(folder / LOCK) as is_dead:
                if is_dead:
                    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def disk_full_as_target_error(safe: Callable[[], str]) -> Iterator[None]:
    """Have a full directory for temporary files named as such."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        if not isinstance(error, sqlite3.OperationalError) and error.errno not in FULL:
            raise
        place = temporary_home()
        reason = getattr(error, "strerror", None) or error
        raise TargetError(
            f"The directory for temporary files, {place}, cannot be written ({reason}). {safe()} Make room there, or "
            "let the environment's TMPDIR name a directory with more, and run the same again: nothing is paid "
            "twice.",
            path=place,
        ) from error
