"""Where files are: a seam between the checkpoint and the file system or object store it lives in.

A place is a folder or a file at some address. This module knows the local (or mounted) file system and how an address
is told from a path; object stores are `_objects`'. Nothing here knows what the files mean.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

_writes = itertools.count()
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
        return self.path.exists()

    def is_dir(self) -> bool:
        return self.path.is_dir()

    def children(self) -> list[StoragePath]:
        return [LocalPath(path) for path in sorted(self.path.iterdir())] if self.path.is_dir() else []

    def size(self) -> int:
        return self.path.stat().st_size

    def read(self) -> bytes:
        return self.path.read_bytes()

    def source(self) -> Any:
        return self.path

    @contextlib.contextmanager
    def written(self, *, exclusive: bool) -> Iterator[BinaryIO]:
        """Give a file with a hidden name, which is flushed to the disk before it gets its own.

        Names beginning with a dot are skipped by pandas and pyarrow, so a half-written part is never read.
        """
        hidden = self.path.with_name(f".{self.path.name}.{os.getpid()}.{next(_writes)}.tmp")
        try:
            with hidden.open("wb") as sink:
                yield sink
                sink.flush()
                os.fsync(sink.fileno())
            if exclusive:
                _name_exclusively(hidden, self.path)
            else:
                hidden.replace(self.path)
            self.parent.sync()
        finally:
            with contextlib.suppress(OSError):
                hidden.unlink(missing_ok=True)

    def remove(self) -> bool:
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True

    def rename(self, name: str) -> LocalPath:
        return LocalPath(self.path.rename(self.path.with_name(name)))

    def make_folder(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def sync(self) -> None:
        if os.name == "nt":
            return
        handle = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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


def _name_exclusively(hidden: Path, path: Path) -> None:
    """Give a file its final name unless that is taken: a number is never used twice."""
    try:
        os.link(hidden, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links; the lock already keeps other writers out
        if path.exists():
            raise FileExistsError(f"{path} exists") from None
        hidden.rename(path)


def is_address(path: object) -> bool:
    """Return whether it is the address of an object store or the like, and no path."""
    return "://" in str(path) and urlsplit(str(path)).scheme not in LOCAL


def check_path(path: object) -> None:
    """Refuse an address that is none, or that carries a secret, before anything is done with it."""
    if is_address(path):
        from parallel_frames._checkpoint._objects import check_address

        check_address(str(path))


def place_of(path: str | os.PathLike[str] | StoragePath) -> StoragePath:
    """Return the place that a path or an address names.

    Raises
    ------
    InputError
        It is no address that a checkpoint can have.
    ConfigurationError
        The library that knows such addresses is not installed.
    """
    if not isinstance(path, str | os.PathLike):
        return path
    if isinstance(path, LocalPath):
        return path
    address = str(path)
    if is_address(address):
        from parallel_frames._checkpoint._objects import ObjectPath

        return ObjectPath.at(address)
    if "://" in address:
        return LocalPath(Path(url2pathname(unquote(urlsplit(address).path))))
    if isinstance(path, Path) and EATEN_SLASH.match(address):
        raise InputError(f"checkpoint={address!r}: a Path turns '://' into ':/'. Give the address as a text.")
    return LocalPath(Path(path).expanduser())
