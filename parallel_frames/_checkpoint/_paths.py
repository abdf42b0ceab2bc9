"""Where files are: the seam between a checkpoint and the file system, memory or object store it lives in.

A `StoragePath` is a folder or a file at some address: `LocalPath` on a local or mounted file system, `MemoryPath` in
this process, `ObjectPath` wherever fsspec leads (``s3://``, ``gs://``, ``memory://`` and so on). Nothing here knows
what the files mean. Whatever fsspec and the libraries below it raise becomes ours here, without secrets: credentials
come from the environment and are never part of an address.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from parallel_frames._format import format_option
from parallel_frames._fs import atomic_write, expand_home, sync_folder, take_name
from parallel_frames.errors import CheckpointError, ConfigurationError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

LOCAL: Final = {"file", "local"}
EATEN_SLASH: Final = re.compile(r"[a-z][a-z0-9+.-]+:/[^/]")


class StoragePath(Protocol):
    """A folder or a file, wherever it is. ``/`` goes into it, ``str`` says its address."""

    @property
    def name(self) -> str:
        """The last part of the address."""
        ...

    @property
    def parent(self) -> StoragePath:
        """The folder it is in."""
        ...

    def __truediv__(self, name: str) -> StoragePath: ...

    def exists(self) -> bool:
        """Return whether a file or a folder is there now."""
        ...

    def is_dir(self) -> bool:
        """Return whether it is a folder; in an object store, whether anything is below it."""
        ...

    def children(self) -> list[StoragePath]:
        """Return what the folder holds now, by name; nothing where there is none."""
        ...

    def size(self) -> int:
        """Return the size of the file in bytes."""
        ...

    def read(self) -> bytes:
        """Return the whole file."""
        ...

    def source(self) -> Any:
        """Return what Arrow reads the file from."""
        ...

    def written(self, *, exclusive: bool) -> AbstractContextManager[BinaryIO]:
        """Give a sink; what was written there is the file, durably and whole, at the end of the block, or nothing is.

        `exclusive` raises FileExistsError where the name is taken; otherwise what is there is replaced.
        """
        ...

    def remove(self) -> bool:
        """Remove the file if it is there; return whether it may have been."""
        ...

    def rename(self, name: str) -> StoragePath:
        """Give the file another name in its folder."""
        ...

    def make_folder(self) -> None:
        """Make the folder and those above it, where folders are made."""
        ...

    def sync(self) -> None:
        """Make the names in the folder durable, where that takes more than giving them."""
        ...


@contextlib.contextmanager
def permitted(path: Path, done: str) -> Iterator[None]:
    """Have what this user may not do to a file or a folder be an error that says whose it is."""
    try:
        yield
    except PermissionError as error:
        place = _nearest(path if done in ("read", "locked") else path.parent)
        raise CheckpointError(
            f"{path} may not be {done} ({error.strerror}): {place} belongs to {_owner_of(place)}. What was stored "
            "before is safe. Name another checkpoint, or have the owner share it: chgrp -R and chmod -R g+rwX on its "
            "folder, and umask 002 for everyone who writes there.",
            path=path,
        ) from error


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest folder above it of which this user may know anything."""
    for place in (path, *path.absolute().parents):
        with contextlib.suppress(OSError):
            place.stat()
            return place
    return path


def _owner_of(path: Path) -> str:
    """Return who may do what with a file or folder, in words."""
    try:
        facts = path.stat()
    except OSError:
        return "another user"
    names = []
    for name_of, number in ((path.owner, facts.st_uid), (path.group, facts.st_gid)):
        try:
            names.append(name_of())
        except (KeyError, NotImplementedError, OSError):  # no such entry, or no such thing on this system
            names.append(str(number))
    return f"user {names[0]}, group {names[1]}, mode {stat.S_IMODE(facts.st_mode):04o}"


@dataclass(frozen=True, slots=True)
class LocalPath:
    """A place on this machine's file systems, mounted ones included."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def parent(self) -> LocalPath:
        return LocalPath(self.path.parent)

    def __truediv__(self, name: str) -> LocalPath:
        return LocalPath(self.path / name)

    def __str__(self) -> str:
        return str(self.path)

    def __fspath__(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        return self._mode() is not None

    def is_dir(self) -> bool:
        return stat.S_ISDIR(self._mode() or 0)

    def _mode(self) -> int | None:
        """Return what kind of file it is; None where there is none. What may not be known is an error, not a no."""
        with permitted(self.path, "read"):
            try:
                return self.path.stat().st_mode
            except (FileNotFoundError, NotADirectoryError):
                return None

    def children(self) -> list[StoragePath]:
        if not self.is_dir():
            return []
        with permitted(self.path, "read"):
            return [LocalPath(path) for path in sorted(self.path.iterdir())]

    def size(self) -> int:
        with permitted(self.path, "read"):
            return self.path.stat().st_size

    def read(self) -> bytes:
        with permitted(self.path, "read"):
            return self.path.read_bytes()

    def source(self) -> Any:
        with permitted(self.path, "read"), self.path.open("rb"):
            return self.path

    @contextlib.contextmanager
    def written(self, *, exclusive: bool) -> Iterator[BinaryIO]:
        with permitted(self.path, "written"):
            give_name = take_name if exclusive else os.replace
            with atomic_write(self.path, give_name=give_name) as sink:
                yield sink

    def remove(self) -> bool:
        with permitted(self.path, "removed"):
            try:
                self.path.unlink()
            except FileNotFoundError:
                return False
            return True

    def rename(self, name: str) -> LocalPath:
        with permitted(self.path, "renamed"):
            return LocalPath(self.path.rename(self.path.with_name(name)))

    def make_folder(self) -> None:
        with permitted(self.path, "made"):
            self.path.mkdir(parents=True, exist_ok=True)  # who may read and write there is for the umask to say

    def sync(self) -> None:
        sync_folder(self.path)


@dataclass(frozen=True, slots=True)
class MemoryPath:
    """A place in the memory of this process: where a job is kept that has no checkpoint."""

    path: str = ""
    _files: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> MemoryPath:
        return MemoryPath(self.path.rpartition("/")[0], self._files)

    def __truediv__(self, name: str) -> MemoryPath:
        return MemoryPath(f"{self.path}/{name}", self._files)

    def __str__(self) -> str:
        return f"memory{self.path}"

    def exists(self) -> bool:
        return self.path in self._files

    def is_dir(self) -> bool:
        return bool(self.children())

    def children(self) -> list[StoragePath]:
        names = {
            path[len(self.path) + 1 :].partition("/")[0]
            for path in list(self._files)
            if path.startswith(f"{self.path}/")
        }
        return [self / name for name in sorted(names)]

    def size(self) -> int:
        return len(self._files[self.path])

    def read(self) -> bytes:
        try:
            return self._files[self.path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self)) from None

    def source(self) -> Any:
        import pyarrow as pa

        return pa.BufferReader(self.read())

    @contextlib.contextmanager
    def written(self, *, exclusive: bool) -> Iterator[BinaryIO]:
        sink = io.BytesIO()
        yield sink
        if exclusive and self.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))
        self._files[self.path] = sink.getvalue()

    def remove(self) -> bool:
        return self._files.pop(self.path, None) is not None

    def rename(self, name: str) -> MemoryPath:
        target = self.parent / name
        self._files[target.path] = self._files.pop(self.path)
        return target

    def make_folder(self) -> None:
        """Do nothing: a folder is there as soon as anything is in it."""

    def sync(self) -> None:
        """Do nothing: memory is as durable as this process."""


def is_address(path: object) -> bool:
    """Return whether it is the address of an object store or the like, and no path."""
    return "://" in str(path) and urlsplit(str(path)).scheme not in LOCAL


def check_path(path: object) -> None:
    """Refuse an address that is none, or that carries a secret, before anything is done with it."""
    if is_address(path):
        check_address(str(path))


def place_of(path: str | os.PathLike[str] | StoragePath) -> StoragePath:
    """Return the place that a path or an address names."""
    if isinstance(path, LocalPath) or not isinstance(path, str | os.PathLike):
        return path
    address = str(path)
    if is_address(address):
        return ObjectPath.at(address)
    if "://" in address:
        return LocalPath(Path(url2pathname(unquote(urlsplit(address).path))))
    if isinstance(path, Path) and EATEN_SLASH.match(address):
        raise InputError(
            f"{format_option('checkpoint', address)}: a Path turns '://' into ':/'. Give the address as a text."
        )
    return LocalPath(expand_home(path))


PUTS_WHOLE: Final = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "tos", "memory"}
DRIVERS: Final = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
ENVIRONMENT: Final = ("AWS_", "FSSPEC_", "GOOGLE_", "GCSFS_", "AZURE_", "STORAGE_EMULATOR_HOST")
SECRET: Final = re.compile(r"(?<=://)[^/@\s]*@|\?\S*")


def check_address(address: str) -> None:
    """Refuse an address that carries a secret, or is none; the message never repeats what may be one."""
    parts = urlsplit(address)
    if ":" in parts.netloc.rpartition("@")[0] or parts.query:
        raise InputError(
            f"A checkpoint's {parts.scheme}:// address must not carry a password or a query: it is shown, and written "
            "down. Set the credentials in the environment, as the library for such addresses documents."
        )
    if "::" in address:
        raise InputError(f"{format_option('checkpoint', address)} is a chain of addresses; name one place.")
    if not parts.netloc and not parts.path.strip("/"):
        raise InputError(f"{format_option('checkpoint', address)} names no place: a bucket or a folder is missing.")


def _file_system(protocol: str) -> Any:
    """Return what reaches such addresses as the environment says now; no listing is cached in it."""
    settings = frozenset(item for item in os.environ.items() if item[0].startswith(ENVIRONMENT))
    return _make_file_system(protocol, os.getpid(), settings)


@functools.lru_cache(maxsize=8)
def _make_file_system(protocol: str, _pid: int, _settings: frozenset[tuple[str, str]]) -> Any:
    driver = DRIVERS.get(protocol, "the library that knows such addresses")
    try:
        import fsspec

        return fsspec.filesystem(protocol, skip_instance_cache=True, use_listings_cache=False)
    except ImportError as error:
        install = f" {DRIVERS[protocol]}" if protocol in DRIVERS else ""
        raise ConfigurationError(
            f"A checkpoint at {protocol}:// needs fsspec and {driver} ({error.name or error}): "
            f"pip install 'parallel-frames[remote]'{install}"
        ) from None
    except ValueError as error:
        raise InputError(f"fsspec does not know addresses that begin with {protocol}:// ({error}).") from None


def _one_line(error: Exception) -> str:
    """Return what an error says in one line, without what may be a secret."""
    text = (getattr(error, "strerror", None) or str(error)).strip().partition("\n")[0]
    kind = "" if isinstance(error, OSError) and text else type(error).__name__
    return SECRET.sub("", ": ".join(filter(None, (kind, text))))[:300]


@dataclass(frozen=True, slots=True)
class ObjectPath:
    """A place that fsspec reaches."""

    address: str
    _files: Any = field(repr=False, compare=False)
    _size: int | None = field(default=None, repr=False, compare=False)

    @classmethod
    def at(cls, address: str) -> ObjectPath:
        """Return the place at an address."""
        check_address(address)
        return cls(address.rstrip("/"), _file_system(urlsplit(address).scheme))

    @property
    def name(self) -> str:
        return self.address.rpartition("/")[2]

    @property
    def parent(self) -> ObjectPath:
        return ObjectPath(self.address.rpartition("/")[0], self._files)

    @property
    def _key(self) -> str:
        key: str = self._files._strip_protocol(self.address)
        return key

    @property
    def _puts_whole(self) -> bool:
        return urlsplit(self.address).scheme in PUTS_WHOLE

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(f"{self.address}/{name}", self._files)

    def __str__(self) -> str:
        return self.address

    @contextlib.contextmanager
    def _asking(self, done: str) -> Iterator[Any]:
        """Ask the store, and translate what it raises: this is the border of the libraries below."""
        try:
            self._files.invalidate_cache()
            yield self._files
        except FileNotFoundError:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.address) from None
        except FileExistsError:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.address) from None
        except Exception as error:  # noqa: BLE001 - what the libraries below raise has no common root
            raise CheckpointError(
                f"{self.address} could not be {done} ({_one_line(error)}). What was stored before is safe; once the "
                "store can be reached and written, run the same again, or name another checkpoint.",
                path=self.address,
            ) from None

    def _info(self) -> dict[str, Any] | None:
        try:
            with self._asking("read") as files:
                info: dict[str, Any] = files.info(self._key)
                return info
        except FileNotFoundError:
            return None

    def exists(self) -> bool:
        return self._info() is not None

    def is_dir(self) -> bool:
        return bool(self.children())

    def children(self) -> list[StoragePath]:
        key = self._key.rstrip("/")
        try:
            with self._asking("read") as files:
                found = files.ls(key, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        places = {each["name"].rstrip("/"): each.get("size") for each in found}
        places.pop(key, None)  # what some stores keep in place of an empty folder
        return [
            ObjectPath(f"{self.address}/{name.rpartition('/')[2]}", self._files, size)
            for name, size in sorted(places.items())
        ]

    def size(self) -> int:
        size = self._size if self._size is not None else (self._info() or {}).get("size")
        return int(size or 0)

    def read(self) -> bytes:
        with self._asking("read") as files:
            data: bytes = files.cat_file(self._key)
            return data

    def source(self) -> Any:
        import pyarrow as pa

        return pa.BufferReader(self.read())

    @contextlib.contextmanager
    def written(self, *, exclusive: bool) -> Iterator[BinaryIO]:
        sink = io.BytesIO()
        yield sink
        if exclusive:
            self._put_exclusively(sink.getvalue())
        else:
            self._put(sink.getvalue())

    def _put(self, data: bytes) -> None:
        with self._found_or_trouble(), self._asking("written") as files:
            if self._puts_whole:
                files.pipe_file(self._key, data)
            else:
                files.pipe_file(self._hidden, data)
                files.mv(self._hidden, self._key)

    def _put_exclusively(self, data: bytes) -> None:
        """Put an object under a name that is not taken.

        A store that answers with an error may have put it all the same, and the library below may have tried twice:
        what is there afterwards tells whose it is.
        """
        if not self._puts_whole:
            if self.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.address)
            self._put(data)
            return
        try:
            with self._found_or_trouble(), self._asking("written") as files:
                self._create(files, data)
        except (FileExistsError, CheckpointError) as trouble:
            try:
                there = self.read()
            except FileNotFoundError:
                raise trouble from None
            if there != data:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), self.address) from None

    def _create(self, files: Any, data: bytes) -> None:
        try:
            files.pipe_file(self._key, data, mode="create")
        except OSError as error:
            if error.errno != errno.ENOSYS:
                raise
            if self.exists():  # a store without conditional puts; the writer's lease already keeps others out
                raise FileExistsError(self.address) from None
            files.pipe_file(self._key, data)

    @contextlib.contextmanager
    def _found_or_trouble(self) -> Iterator[None]:
        """Have a bucket that is not there be trouble: nothing is looked for when something is written."""
        try:
            yield
        except FileNotFoundError:
            raise CheckpointError(
                f"{self.address} could not be written (no such bucket or folder). Make it, or name another checkpoint.",
                path=self.address,
            ) from None

    @property
    def _hidden(self) -> str:
        return f"{self.parent._key}/.{self.name}.{os.getpid()}.tmp"

    def remove(self) -> bool:
        try:
            with self._asking("removed") as files:
                files.rm_file(self._key)
        except FileNotFoundError:
            return False
        return True

    def rename(self, name: str) -> ObjectPath:
        target = self.parent / name
        with self._asking("renamed") as files:
            files.cp_file(self._key, target._key)
            files.rm_file(self._key)
        return target

    def make_folder(self) -> None:
        if not self._puts_whole:
            with self._asking("made") as files:
                files.makedirs(self._key, exist_ok=True)

    def sync(self) -> None:
        """Do nothing: a name that was given is durable."""
