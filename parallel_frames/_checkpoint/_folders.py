"""Which folder a job's checkpoint is, whose it is, and who writes it."""

from __future__ import annotations

import contextlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

import platformdirs

from parallel_frames._checkpoint._lease import written_by_us
from parallel_frames._checkpoint._parts import list_parts, os_errors_as_checkpoint_error, read_part, set_aside
from parallel_frames._checkpoint._paths import place_of
from parallel_frames._checkpoint._store import JobStore, MemoryStore
from parallel_frames._format import format_count, format_utc
from parallel_frames.errors import CheckpointError, CheckpointMismatchError, ConfigurationError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

    from parallel_frames._checkpoint._lease import Writer
    from parallel_frames._checkpoint._paths import StoragePath
    from parallel_frames._model import Job, Json

FORMAT: Final = 1
JOB_DIGITS: Final = 16


def auto_home() -> Path:
    """Return the folder of the user's cache in which jobs are remembered unless another is named."""
    try:
        return platformdirs.user_cache_path("parallel_frames") / "checkpoints"
    except RuntimeError:
        raise ConfigurationError(
            "This user has no home directory, and so no cache to remember answers in. Nothing was sent. Set HOME or "
            "XDG_CACHE_HOME, name a checkpoint='...', or pass checkpoint=None."
        ) from None


def auto_folder(host: str, account: str | None, job: Job) -> tuple[StoragePath, list[StoragePath]]:
    """Return the folder of a job there, and those of other accounts, where this one does not know the job.

    Hosts have folders of their own, and accounts: their answers are not shared. Without an account (a plan needs no
    key) the folder is whichever knows the job. Earlier versions did not tell accounts apart: what they paid for counts.
    """
    name, digits = re.sub(r"[^\w.-]", "_", host), job.hash[:JOB_DIGITS]
    own = auto_home() / (name if account is None else f"{name}@{account}")
    others = [root for root in sorted(auto_home().glob(f"{name}@*")) if (root / digits / "header.json").exists()]
    for root in (own, auto_home() / name, *(others if account is None else ())):
        if (root / digits / "header.json").exists():
            return place_of(root) / digits, []
    return place_of(own) / digits, [place_of(root) / digits for root in others]


def choose_folder(root: str | os.PathLike[str] | StoragePath, job: Job, *, on_mismatch: str, price: str) -> StoragePath:
    """Return the folder of a job below a named directory.

    Raises
    ------
    CheckpointMismatchError
        The directory holds only other jobs, and ``on_mismatch`` is not ``"new"``.
    """
    root = place_of(root)
    folder = root / job.hash[:JOB_DIGITS]
    if folder.is_dir() or on_mismatch == "new" or not root.is_dir():
        return folder
    others = [header for header in map(read_header, root.children()) if header is not None]
    if others:
        nearest = min(others, key=lambda header: len(_differences(header["job"], job.identity)))
        differing = "; ".join(_differences(nearest["job"], job.identity)[:5])
        raise CheckpointMismatchError(
            f"{root} holds {format_count(len(others), 'other job')} and not this one. Against the nearest: "
            f"{differing}. Its answers do not count for this call; going on asks every row anew ({price}). "
            'Say on_mismatch="new" to go on, or name another checkpoint.',
            path=root,
        )
    return folder


def _differences(old: Json, new: Json, path: str = "") -> list[str]:
    """Return where two JSON values differ, in words."""
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            difference
            for name in sorted({*old, *new})
            for difference in _differences(old.get(name), new.get(name), f"{path}.{name}" if path else name)
        ]
    if old == new:
        return []
    return [f"{path} was {_short(old)}, is {_short(new)}"]


def _short(value: Json) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:80] + "…"


def _open_header(folder: StoragePath, job: Job, *, host: str) -> dict[str, Any]:
    """Return the job's header as it is stored, repaired where it was damaged, or a new one."""
    header = read_header(folder)
    if header is None and (folder / "header.json").exists():
        set_aside(folder / "header.json", reason="it is not the header of a job")
    if header is not None and int(header.get("format", 0)) > FORMAT:
        raise CheckpointError(
            f"{folder} was written by a newer parallel_frames ({header.get('library')}): install that or a later one.",
            path=folder,
        )
    if header is None:
        header = _new_header(job, host=host, groups=_groups_in_parts(folder))
    if header["host"] != host:
        raise CheckpointMismatchError(
            f"{folder} holds answers of {header['host']}, and this call goes to {host}. Name another checkpoint.",
            path=folder,
        )
    return header


def _new_header(job: Job, *, host: str, groups: list[str]) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "format": FORMAT,
        "library": version("parallel-frames"),
        "created_at": format_utc(),
        "job": dict(job.identity),
        "job_hash": job.hash,
        "host": host,
        "dialect": None,
        "groups": groups,
        "spec": dict(job.spec),
        "last_call": None,
    }


def memory_store(job: Job, *, host: str) -> JobStore:
    """Return a store that ends with this process: the rules of paying once hold within it."""
    return MemoryStore(header=_new_header(job, host=host, groups=[]))


def _groups_in_parts(folder: StoragePath) -> list[str]:
    """Return the groups that receipts and outcomes name: what a lost header can be rebuilt from."""
    groups: dict[str, None] = {}
    for place in (folder / "receipts", folder / "outcomes"):
        for _, _, path in list_parts(place):
            table = read_part(path, repair=False)
            if table is not None and "group_id" in table.column_names:
                groups |= dict.fromkeys(table.column("group_id").unique().to_pylist())
    return [group for group in groups if group]


@contextlib.contextmanager
def alone_in(folder: StoragePath) -> Iterator[Writer]:
    """Be a job's only writer, without opening it.

    Raises
    ------
    CheckpointLockedError
        Another writer is at work.
    """
    try:
        writing = written_by_us(folder)
        writer = writing.__enter__()
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written ({error.strerror or error}).", path=folder) from error
    with contextlib.ExitStack() as stack:
        stack.push(writing.__exit__)
        yield writer


@contextlib.contextmanager
def open_store(folder: str | os.PathLike[str] | StoragePath, job: Job, *, host: str) -> Iterator[JobStore]:
    """Open a job's folder for writing, as its only writer.

    Raises
    ------
    CheckpointLockedError
        Another writer is at work.
    CheckpointMismatchError
        The folder holds another host's answers.
    CheckpointError
        The folder cannot be written.
    """
    place = place_of(folder)
    os_errors_as_checkpoint_error(place, place.make_folder)
    with alone_in(place) as writer:
        yield JobStore(place, header=_open_header(place, job, host=host), writer=writer)


def read_header(folder: StoragePath) -> dict[str, Any] | None:
    """Return a job folder's header; None where there is none that can be read."""
    try:
        header = json.loads((folder / "header.json").read().decode())
    except (OSError, ValueError):
        return None
    return header if isinstance(header, dict) and isinstance(header.get("job"), dict) else None
