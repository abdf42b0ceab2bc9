"""Addresses: which file system a source or a target lives in, and its path there."""

from __future__ import annotations

import fnmatch
import os
import posixpath
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import pyarrow.fs as pafs

from parallel_frames._file_formats import split_sheet
from parallel_frames._fs import expand_home
from parallel_frames.errors import InputError

ARROWS_OWN: Final = frozenset({"s3", "gs", "gcs", "abfs", "abfss", "hdfs", "file"})
MANIFEST: Final = ".manifest.json"  # what is next to a target, named after it
WILD: Final = frozenset("*?[")
SAFE: Final = "%/:?&=#@+,;!$'()~"  # what an address may hold as it is; a space, among others, it may not
SAME: Final = {"gcs": "gs", "abfss": "abfs", "s3a": "s3"}


@dataclass(frozen=True, slots=True)
class Spot:
    """A place to be compared with others, without asking anybody; the path has no slash at its ends."""

    scheme: str
    path: str

    def holds(self, other: Spot) -> bool:
        """Return whether the other is this place, or below it."""
        return self.scheme == other.scheme and f"{other.path}/".startswith(f"{self.path}/" if self.path else "")


def spot_of(text: str) -> Spot:
    """Return the place that a path or an address names."""
    scheme, found, rest = text.partition("://")
    if not found or scheme == "file":
        return Spot("", os.path.realpath(_path_of(rest) if found else expand_home(text)).strip("/"))
    return Spot(SAME.get(scheme, scheme), posixpath.normpath(rest.strip("/")))


def _path_of(rest: str) -> Path:
    """Return the path behind ``file://``, as it is or as `Path.as_uri` spells it."""
    return Path(rest) if Path(rest).exists() else Path(unquote(rest))


@dataclass(frozen=True, slots=True)
class Address:
    """A path in a file system.

    Attributes
    ----------
    path : str
        As the file system spells it; absolute where it is this machine's.
    shown : str
        As it was given, without credentials.
    sheet : str or None
        Of a workbook, as ``book.xlsx#Sales`` names it.
    """

    system: Any
    path: str
    shown: str
    is_local: bool
    sheet: str | None = None

    @property
    def local(self) -> Path:
        """The path on this machine."""
        return Path(self.path)

    @property
    def spot(self) -> Spot:
        """The place, to be compared with others."""
        return spot_of(self.path if self.is_local else self.shown)

    def info(self) -> Any:
        """Return what the file system knows of it: type, size, time."""
        return self._asked(self.path)

    def infos_below(self, base: str) -> list[Any]:
        """Return what the file system knows of everything below a directory, if there is one."""
        return list(self._asked(pafs.FileSelector(base, recursive=True, allow_not_found=True)))

    def _asked(self, what: Any) -> Any:
        try:
            return self.system.get_file_info(what)
        except OSError as error:
            raise InputError(f"{self.shown!r} cannot be reached: {error}.") from error

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
    """Return where an address points."""
    if not isinstance(given, str | os.PathLike):
        hint = " A frame is enriched by `df.parallel.enrich(...)`." if hasattr(given, "columns") else ""
        raise InputError(f"{what} is a {type(given).__name__}; name a file, a directory or an address.{hint}")
    shown = str(given)
    is_source = what == "source" and not Path(shown).exists()  # a file that is really called so is itself
    text, sheet = split_sheet(shown) if is_source else (shown, None)
    if not text:
        raise InputError(f"{what} is empty; name a file, a directory or an address.")
    scheme, found, rest = text.partition("://")
    if not found:
        path = expand_home(text).absolute()
        return Address(pafs.LocalFileSystem(), str(path), shown, is_local=True, sheet=sheet)
    if scheme == "file":
        return Address(pafs.LocalFileSystem(), str(_path_of(rest)), shown, is_local=True, sheet=sheet)
    if "@" in rest.partition("/")[0]:
        raise InputError(f"{what} holds a user name or a secret; leave it to the environment, as {scheme} does.")
    try:
        if scheme in ARROWS_OWN:
            wild = min((text.index(mark) for mark in WILD if mark in text), default=len(text))
            system, found_path = pafs.FileSystem.from_uri(quote(text[:wild], safe=SAFE))
            inner = rest if wild < len(text) else found_path
        else:
            system, inner = _by_fsspec(scheme, text)
    except (OSError, ValueError) as error:
        raise InputError(f"The {what} {text} cannot be reached: {error}.") from error
    return Address(system, inner, shown, is_local=False, sheet=sheet)


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
