"""Which folder a job's checkpoint is, whose it is, and who writes it."""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final, get_args

import platformdirs
import pyarrow as pa

from parallel_frames._checkpoint._lease import written_by_us
from parallel_frames._checkpoint._parts import list_parts, os_errors_as_checkpoint_error, read_part, set_aside
from parallel_frames._checkpoint._paths import LocalPath, place_of
from parallel_frames._checkpoint._recall import fit_table
from parallel_frames._checkpoint._store import JobStore, MemoryStore
from parallel_frames._format import format_count, format_utc, shorten
from parallel_frames._fs import expand_home
from parallel_frames._model import DialectName
from parallel_frames.errors import CheckpointError, CheckpointMismatchError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from parallel_frames._checkpoint._lease import Writer
    from parallel_frames._checkpoint._paths import StoragePath
    from parallel_frames._model import Job, Json

CACHE_VARIABLE: Final = "PARALLEL_FRAMES_CACHE"
FORMAT: Final = 1
JOB_DIGITS: Final = 16
MAX_DIFFERENCES: Final = 5
MAX_NAMES: Final = 5
GROUP_SCHEMA: Final = pa.schema([("group_id", pa.string())])


def auto_home() -> Path:
    """Return the folder in which jobs are remembered unless another is named: the environment's, or the user's cache.

    Below it each host and account has a folder of its own, wherever it is.
    """
    if named := os.environ.get(CACHE_VARIABLE, "").strip():
        if "://" in named:
            raise ConfigurationError(
                f"{CACHE_VARIABLE} is {named}, and must be a folder of this machine. Nothing was sent. An address "
                "can be named in each call, with `checkpoint=...`."
            )
        return expand_home(named).absolute()
    try:
        return platformdirs.user_cache_path("parallel_frames") / "checkpoints"
    except RuntimeError:
        raise ConfigurationError(
            "This user has no home directory, and so no cache to remember answers in. Nothing was sent. Set HOME or "
            f"{CACHE_VARIABLE}, or name a place with `checkpoint=...`; with `checkpoint=None` nothing is remembered."
        ) from None


def auto_folder(host: str, account: str | None, job: Job) -> tuple[StoragePath, list[StoragePath]]:
    """Return the folder of a job there, and those of other accounts, where this one does not know the job.

    Hosts have folders of their own, and accounts: their answers are not shared. Without an account (a plan needs no
    key) the folder is whichever knows the job. Earlier versions did not tell accounts apart: what they paid for counts.
    """
    name, digits = re.sub(r"[^\w.-]", "_", host), job.hash[:JOB_DIGITS]
    home = LocalPath(auto_home())

    def knows(root: StoragePath) -> bool:
        return (root / digits / "header.json").exists()

    own = home / (name if account is None else f"{name}@{account}")
    others = [root for root in home.children() if root.name.startswith(f"{name}@") and knows(root)]
    for root in (own, home / name, *(others if account is None else ())):
        if knows(root):
            return root / digits, []
    return own / digits, [root / digits for root in others]


def choose_folder(root: str | os.PathLike[str] | StoragePath, job: Job, *, on_mismatch: str, price: str) -> StoragePath:
    """Return the folder of a job below a named directory."""
    root = place_of(root)
    folder = root / job.hash[:JOB_DIGITS]
    if folder.is_dir() or on_mismatch == "new" or not root.is_dir():
        return folder
    others = [header for header in map(read_header, root.children()) if header is not None]
    if others:
        nearest = min((_differences(header["job"], job.identity) for header in others), key=lambda each: len(str(each)))
        whose = "It differs" if len(others) == 1 else "The nearest differs"
        raise CheckpointMismatchError(
            f"{root} holds answers to {format_count(len(others), 'other question')} and not to this one. {whose}: "
            f"{'; '.join(nearest[:MAX_DIFFERENCES])}. They do not count here: every row would be asked ({price}). "
            "Nothing was sent. Name another checkpoint, or pass `on_mismatch='new'` to keep the new answers there too.",
            path=root,
        )
    return folder


def _differences(old: Mapping[str, Json], new: Mapping[str, Json]) -> list[str]:
    """Return in what the questions of two jobs differ, in words: the columns by their names, the rest by its values."""
    there, here = _columns(old), _columns(new)
    found = []
    if there is not None and here is not None:
        changed = [name for name in {*there} & {*here} if there[name] != here[name]]
        for words, names in (
            ("columns only there", {*there} - {*here}),
            ("columns only here", {*here} - {*there}),
            ("columns with another type or description", changed),
        ):
            if names:
                found.append(f"{words}: {_listed(sorted(names))}")
    if not found and old.get("schema") != new.get("schema"):
        found = ["another schema"]
    others = sorted(name for name in {*old, *new} - {"schema"} if old.get(name) != new.get(name))
    return [*found, *(f"{name}: {_short(old.get(name))} there, {_short(new.get(name))} here" for name in others)]


def _columns(identity: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """Return the columns that a job asks for by their names; None where its schema names none."""
    schema = identity.get("schema")
    root = schema.get("json_schema") if isinstance(schema, dict) else None
    columns = root.get("properties") if isinstance(root, dict) else None
    return columns if isinstance(columns, dict) else None


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(repr(shorten(name, 40)) for name in names[:MAX_NAMES]) + more


def _short(value: Json) -> str:
    return "none" if value is None else shorten(json.dumps(value, ensure_ascii=False), 40)


def _open_header(folder: StoragePath, job: Job, *, host: str) -> dict[str, Any]:
    """Return the job's header as it is stored, repaired where it was damaged, or a new one."""
    header = read_header(folder)
    if header is None and (folder / "header.json").exists():
        set_aside(folder / "header.json", reason="it is not the header of a job")
    if header is not None and header["job_hash"] != job.hash:
        set_aside(folder / "header.json", reason="it is the header of another job")
        header = None
    if header is None:
        return _new_header(job, host=host, groups=_groups_in_parts(folder))
    check_header(folder, header, host=host)
    return header


def check_header(folder: StoragePath, header: Mapping[str, Any], *, host: str) -> None:
    """Refuse a job's folder that this version cannot read, or whose answers are another host's.

    Raises
    ------
    CheckpointMismatchError
        The header names another host.
    CheckpointError
        A newer version wrote it.
    """
    if header["format"] > FORMAT:
        raise CheckpointError(
            f"{folder} was written by a newer parallel_frames ({header.get('library')}): install that or a later one.",
            path=folder,
        )
    if header["host"] != host:
        simulated = "simulated " if header.get("simulated") else ""
        raise CheckpointMismatchError(
            f"{folder} holds {simulated}answers of {header['host']}, and these rows go to {host}. Nothing was sent. "
            "Name another checkpoint.",
            path=folder,
        )


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
            fitted = None if table is None else fit_table(table, GROUP_SCHEMA)
            if fitted is not None:
                groups |= dict.fromkeys(fitted.column("group_id").unique().to_pylist())
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


def keep_cache_private(place: StoragePath) -> None:
    """Make the user's cache for the user alone; who may read a checkpoint that is named is for the umask to say."""
    with contextlib.suppress(ConfigurationError, OSError):
        if isinstance(place, LocalPath) and place.path.is_relative_to(auto_home()):
            auto_home().mkdir(parents=True, exist_ok=True, mode=0o700)


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
    keep_cache_private(place)
    os_errors_as_checkpoint_error(place, place.make_folder)
    with alone_in(place) as writer:
        yield JobStore(place, header=_open_header(place, job, host=host), writer=writer)


# What is needed of a header, whoever wrote it, and what is left out where it is not what it should be.
NEEDED: Final[Mapping[str, Callable[[Any], bool]]] = {
    "format": lambda value: type(value) is int,
    "job": lambda value: isinstance(value, dict),
    "job_hash": lambda value: isinstance(value, str),
    "host": lambda value: isinstance(value, str),
    "dialect": lambda value: value is None or value in get_args(DialectName),
    "groups": lambda value: isinstance(value, list) and all(group and isinstance(group, str) for group in value),
    "spec": lambda value: isinstance(value, dict) and "output_schema" in value,
}
EXTRA: Final[Mapping[str, Callable[[Any], bool]]] = {
    "library": lambda value: isinstance(value, str),
    "created_at": lambda value: isinstance(value, str),
    "simulated": lambda value: isinstance(value, bool),
    "last_call": lambda value: isinstance(value, dict) and _is_call(value),
}


def read_header(folder: StoragePath) -> dict[str, Any] | None:
    """Return a job folder's header; None where there is none, or a file that is not one."""
    try:
        header = json.loads((folder / "header.json").read().decode())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
        return None
    except OSError as error:
        raise CheckpointError(f"{folder} could not be read ({error.strerror or error}).", path=folder) from error
    if not isinstance(header, dict) or not all(name in header and fits(header[name]) for name, fits in NEEDED.items()):
        return None
    kept = {name: value for name, value in header.items() if name not in EXTRA or EXTRA[name](value)}
    return {"library": None, "created_at": "", "last_call": None} | kept


def _is_call(value: dict[str, Any]) -> bool:
    """Return whether it is what `_note_call` writes of a call."""
    earlier = value.get("earlier", [])
    return isinstance(earlier, list) and all(map(_has_samples, [value, *earlier]))


def _has_samples(call: Any) -> bool:
    samples = call.get("samples") if isinstance(call, dict) else None
    are_samples = isinstance(samples, list) and all(
        isinstance(sample, dict) and {"row", "key"} <= sample.keys() and isinstance(sample.get("input"), str)
        for sample in samples
    )
    return are_samples and bool(samples) and isinstance(call.get("rows"), int)
