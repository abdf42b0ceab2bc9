"""The right to write a folder: one writer at a time, wherever the folder is.

Two things keep others out. On this machine a kernel lock does, which ends with its process. Everywhere a lease does,
the file ``writer.json``: who writes, since when, and the time of the last heartbeat. A lease is created exclusively and
removed at the end. One that was left behind is taken over only where its process is known to have died on this very
machine; anywhere else a person decides (`unlock`), because nothing proves that a silent writer is gone.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import json
import logging
import os
import secrets
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import filelock

from parallel_frames._checkpoint._paths import LocalPath, permitted
from parallel_frames._format import format_code, format_duration, format_time
from parallel_frames.errors import CheckpointError, CheckpointLockedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallel_frames._checkpoint._paths import StoragePath

logger = logging.getLogger("parallel_frames")

LEASE: Final = "writer.json"
BEAT_EVERY: Final = 20.0
RECENT: Final = 120.0
UNREADABLE: Final[dict[str, Any]] = {}
UNKNOWN: Final = ""
TEXTS: Final = ("host", "machine", "started", "token")
NUMBERS: Final = {"pid": 2**31, "since": 2**40, "beat": 2**40}  # and what they are below
NO_LOCKS: Final = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}
# Later versions would take a file for a lock where there are none; ours is the lease.
NATIVE_ONLY: Final[dict[str, Any]] = (
    {"fallback_to_soft": False} if "fallback_to_soft" in inspect.signature(filelock.FileLock).parameters else {}
)

_ended: set[str] = set()  # tokens of this process whose leases may have stayed behind: the store could not be reached


class Writer:
    """The right to write a folder, for as long as its lease is ours."""

    def __init__(self, folder: StoragePath, contents: dict[str, Any]) -> None:
        self._folder = folder
        self._lease = folder / LEASE
        self._contents = contents
        self._taken_by: str | None = None
        self._over = threading.Event()
        self._turns = threading.Lock()
        self._heartbeat = threading.Thread(target=self._send_heartbeats, name="parallel_frames-writer", daemon=True)
        self._heartbeat.start()

    def check(self) -> None:
        """Raise unless the lease is ours now.

        Raises
        ------
        CheckpointLockedError
            Another writer took over, or the checkpoint was unlocked.
        """
        with self._turns:
            self._look()
        self.refuse_if_lost()

    def refuse_if_lost(self) -> None:
        """Raise if the lease was seen not to be ours any more."""
        if self._taken_by is not None:
            raise CheckpointLockedError(
                f"{self._folder} is not ours to write any more: {self._taken_by}. Nothing more was sent. What was sent "
                "is in its group; run the same again once no other process writes there.",
                path=self._folder,
            )

    def release(self) -> None:
        """Take the lease away, if it still is ours, so that any machine may go on."""
        self._over.set()
        _ended.add(self._contents["token"])
        try:
            with self._turns:
                self._look()
                if self._taken_by is None:
                    self._lease.remove()
        except (CheckpointError, OSError) as error:
            logger.warning("%s Another machine will find %s locked.", error, self._folder)
        self._heartbeat.join()

    def _look(self) -> None:
        there = read_lease(self._lease)
        if self._taken_by is None and (there or {}).get("token") != self._contents["token"]:
            self._taken_by = f"it was unlocked by {holder(there)}" if there else "it was unlocked by hand"

    def _send_heartbeats(self) -> None:
        while not self._over.wait(BEAT_EVERY):
            with contextlib.suppress(CheckpointError, OSError), self._turns:
                self._look()
                if self._taken_by is None and not self._over.is_set():
                    write_lease(self._lease, {**self._contents, "beat": time.time()}, exclusive=False)


class SoleWriter:
    """The right to write what no other process can reach."""

    def check(self) -> None:
        """Do nothing."""

    def refuse_if_lost(self) -> None:
        """Do nothing."""


def read_lease(lease: StoragePath) -> dict[str, Any] | None:
    """Return what a lease tells; None where there is none, nothing where it cannot be read."""
    try:
        contents = json.loads(lease.read())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, RecursionError):
        return UNREADABLE
    if not isinstance(contents, dict):
        return UNREADABLE
    texts = {name: contents[name] for name in TEXTS if isinstance(contents.get(name), str)}
    numbers = {name: contents[name] for name in NUMBERS if isinstance(contents.get(name), int | float)}
    return texts | {name: number for name, number in numbers.items() if 0 < number < NUMBERS[name]}


def write_lease(lease: StoragePath, contents: dict[str, Any], *, exclusive: bool) -> None:
    """Write a lease, whole."""
    with lease.written(exclusive=exclusive) as sink:
        sink.write(json.dumps(contents).encode())


@contextlib.contextmanager
def written_by_us(folder: StoragePath) -> Iterator[Writer]:
    """Be the folder's only writer.

    Raises
    ------
    CheckpointLockedError
        Another writer is at work, or did not release it.
    """
    with _kernel_lock(folder) as is_locked:
        writer = Writer(folder, _acquire_lease(folder, is_locked=is_locked))
        try:
            yield writer
        finally:
            writer.release()


@contextlib.contextmanager
def _kernel_lock(folder: StoragePath) -> Iterator[bool]:
    """Hold the lock that dies with this process, where there is one; give whether there is."""
    if not isinstance(folder, LocalPath):
        yield False
        return
    with permitted(folder.path / "lock", "locked"):
        lock = _acquire_lock(folder)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            lock.release()


def _acquire_lock(folder: LocalPath) -> filelock.BaseFileLock | None:
    """Return the kernel's lock, or None where the file system has none: the lease keeps others out there."""
    path = folder.path / "lock"
    path.open("ab").close()  # as the umask says; some versions of filelock make one that only its owner can lock
    lock = filelock.FileLock(path, timeout=0, thread_local=False, mode=path.stat().st_mode & 0o777, **NATIVE_ONLY)
    try:
        lock.acquire()
    except (OSError, NotImplementedError) as error:
        if lacks_locks(path):
            logger.info("%s is on a file system without locks: %s alone keeps other writers out", folder, LEASE)
            return None
        if not isinstance(error, filelock.Timeout):
            raise
        raise locked(folder, read_lease(folder / LEASE), alive=True) from None
    return lock


def lacks_locks(path: Path) -> bool:
    """Return whether a file system has no locks, as network and cluster file systems may be mounted."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in NO_LOCKS
    return False


def _acquire_lease(folder: StoragePath, *, is_locked: bool) -> dict[str, Any]:
    lease = folder / LEASE
    there = read_lease(lease)
    if there is not None:
        if not _may_take_over(there, is_locked=is_locked):
            raise locked(folder, there)
        lease.remove()
    now = time.time()
    contents = {**_this_process(), "token": secrets.token_hex(16), "since": now, "beat": now}
    try:
        write_lease(lease, contents, exclusive=True)
        there = read_lease(lease)
    except FileExistsError:
        raise locked(folder, read_lease(lease)) from None
    except (CheckpointError, OSError):
        _ended.add(contents["token"])
        raise
    if there is None or there.get("token") != contents["token"]:  # a store without exclusive puts
        raise locked(folder, there)
    return contents


def _may_take_over(there: dict[str, Any], *, is_locked: bool) -> bool:
    if is_locked:  # the kernel lock is ours, so no process of this machine holds it
        return _is_here(there) or bool(there.get("host", socket.gethostname()) == socket.gethostname())
    return is_dead_here(there)


def is_being_written(folder: StoragePath) -> bool:
    """Return whether a folder is being written, or its lease was not released and its writer may be alive."""
    if isinstance(folder, LocalPath) and not (folder / "lock").exists():
        return False
    try:
        with _kernel_lock(folder) as is_locked:
            there = read_lease(folder / LEASE)
            return there is not None and not _may_take_over(there, is_locked=is_locked)
    except CheckpointLockedError:
        return True
    except (CheckpointError, OSError):  # not ours to lock; whoever would write it gets an error then
        return False


def locked(folder: StoragePath, there: dict[str, Any] | None, *, alive: bool = False) -> CheckpointLockedError:
    """Return the error that says who writes a folder, and what to do."""
    what = "is being" if alive else "is being, or was last,"
    unsigned = "" if alive else ", which did not release it"
    undo = (
        ""
        if alive
        else f" If that process is gone for good, {_unlocking(folder)} lets the next one in: it removes "
        f"{folder / LEASE}."
    )
    return CheckpointLockedError(
        f"{folder} {what} written by {holder(there)}{unsigned}. Two writers would pay twice: wait for it, stop it, or "
        "name another checkpoint. The same question about another file has the same checkpoint, and runs after it."
        f"{undo}",
        path=folder,
    )


def _unlocking(folder: StoragePath, how: str = "") -> str:
    return format_code(f"pf.Checkpoint({str(folder)!r}).unlock({how})")


def unlock(folder: StoragePath, *, force: bool) -> None:
    """Take away the lease of a writer that is gone."""
    there = read_lease(folder / LEASE)
    if there is None:
        return
    silent = time.time() - there.get("beat", 0)
    if not force and not is_dead_here(there) and (silent < RECENT or _is_here(there)):
        raise CheckpointLockedError(
            f"{folder} is being written by {holder(there)}: it may well be alive. Wait for two minutes of silence, or "
            f"stop it and use {_unlocking(folder, 'force=True')}.",
            path=folder,
        )
    (folder / LEASE).remove()
    logger.warning("%s was unlocked; it was written by %s", folder, holder(there))


def holder(there: dict[str, Any] | None) -> str:
    """Return who a lease tells of, in words."""
    if not there:
        return "another process"
    holder = f"process {there.get('pid')} on {there.get('host')}"
    if since := there.get("since"):
        holder += f" since {format_time(since)}"
    if beat := there.get("beat"):
        holder += f" (last heartbeat {format_duration(max(0, time.time() - beat))} ago)"
    return holder


def is_dead_here(there: dict[str, Any]) -> bool:
    """Return whether a lease's writer was this process or ran on this very machine, and is known to have ended."""
    if there.get("token") in _ended:
        return True
    if not _is_here(there) or not isinstance(there.get("pid"), int):
        return False
    try:
        os.kill(there["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(there["pid"]) not in (there.get("started"), UNKNOWN)


def _is_here(there: dict[str, Any]) -> bool:
    return bool(machine := _machine()) and there.get("machine") == machine  # a machine may have got another name


def _this_process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "machine": _machine(), "pid": os.getpid(), "started": _started(os.getpid())}


def _machine() -> str:
    """Return what tells this boot of this machine, and this container on it, from any other; empty if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a process of this machine began, which tells it from a later one with its number."""
    try:
        facts = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return UNKNOWN
    return "ended" if facts[0] in ("Z", "X") else facts[19]


@contextmanager
def file_lock(path: Path) -> Iterator[bool]:
    """Hold a lock file while the block lasts; give whether it could be had."""
    lock = filelock.FileLock(path, timeout=0, **NATIVE_ONLY)
    try:
        lock.acquire()
    except (filelock.Timeout, OSError, NotImplementedError):
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
