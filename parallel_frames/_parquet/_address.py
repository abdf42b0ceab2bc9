"""Addresses: which file system a source or a target lives in, and its path there."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow.fs as pafs

from parallel_frames.errors import InputError

if TYPE_CHECKING:
    import os

ARROWS_OWN: Final = frozenset({"s3", "gs", "gcs", "abfs", "abfss", "hdfs", "file"})
WILD: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Address:
    """A path in a file system.

    Attributes
    ----------
    system : pyarrow.fs.FileSystem
    path : str
        As the file system spells it; absolute where it is this machine's.
    shown : str
        As it was given, without credentials.
    is_local : bool
    """

    system: Any
    path: str
    shown: str
    is_local: bool

    @property
    def local(self) -> Path:
        """The path on this machine."""
        return Path(self.path)

    def info(self) -> Any:
        """Return what the file system knows of it: type, size, time."""
        return self.system.get_file_info(self.path)

    @property
    def exists(self) -> bool:
        """Whether anything is there."""
        return bool(self.info().type != pafs.FileType.NotFound)

    @property
    def is_pattern(self) -> bool:
        """Whether it names files by ``*``, ``?`` or ``[...]``; a file that is really called so is itself."""
        return bool(WILD & set(self.path)) and not self.exists


def matches(path: str, pattern: str) -> bool:
    """Return whether a path fits a pattern, in which ``*`` stays within a folder and ``**`` does not."""
    return _fits(path.strip("/").split("/"), pattern.strip("/").split("/"))


def _fits(parts: list[str], marks: list[str]) -> bool:
    if not marks:
        return not parts
    if marks[0] == "**":
        return any(_fits(parts[at:], marks[1:]) for at in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], marks[0]) and _fits(parts[1:], marks[1:])


def find_address(given: str | os.PathLike[str], *, what: str) -> Address:
    """Return where an address points.

    Raises
    ------
    InputError
        No file system of that name is known here.
    """
    text = str(given)
    if not text:
        raise InputError(f"{what} is empty; name a file, a directory or an address.")
    scheme, found, rest = text.partition("://")
    if not found:
        path = Path(text).expanduser().absolute()
        return Address(pafs.LocalFileSystem(), str(path), text, is_local=True)
    if scheme == "file":
        return Address(pafs.LocalFileSystem(), rest, text, is_local=True)
    if "@" in rest.partition("/")[0]:
        raise InputError(f"{what} holds a user name or a secret; leave it to the environment, as {scheme} does.")
    try:
        if scheme in ARROWS_OWN:
            wild = min((text.index(mark) for mark in WILD if mark in text), default=len(text))
            system, found_path = pafs.FileSystem.from_uri(text[:wild])
            inner = rest if wild < len(text) else found_path
        else:
            system, inner = _by_fsspec(scheme, text)
    except (OSError, ValueError) as error:
        raise InputError(f"{what}={text!r} cannot be reached: {error}.") from error
    return Address(system, inner, text, is_local=False)


def _by_fsspec(scheme: str, text: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise InputError(
            f"{text!r}: addresses of {scheme}:// need fsspec: pip install 'parallel-frames[remote]'."
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(text)
    except (ImportError, ValueError) as error:
        raise InputError(f"{text!r}: {error}.") from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(system)), path
