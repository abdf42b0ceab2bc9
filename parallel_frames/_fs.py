"""Files of this machine, whatever is in them: writing one whole or not at all, homes, and temporary folders."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from parallel_frames.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNSYNCED: Final = {errno.EINVAL, errno.EBADF, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.ENOSYS}
_TOKEN: Final = secrets.token_hex(4)  # another machine's process may have the same number
_writes = itertools.count()


@contextlib.contextmanager
def atomic_write(path: Path, *, give_name: Callable[[Path, Path], object] = os.replace) -> Iterator[BinaryIO]:
    """Give a file with a hidden name, which is on the disk before it gets its own; nothing is left of one that fails.

    Names that begin with a dot are skipped by pandas and pyarrow, so that a half-written file is never read.
    `give_name` moves the first path to the second one.
    """
    hidden = path.absolute().with_name(f".{path.name}.{os.getpid()}-{_TOKEN}.{next(_writes)}.tmp")  # "." has no name
    try:
        with hidden.open("wb") as sink:  # a process that died may have had the same number, and left the same name
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        give_name(hidden, path)
        sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):
            hidden.unlink(missing_ok=True)


def take_name(path: Path, name: Path) -> None:
    """Rename a file; unlike a rename, it replaces nothing."""
    try:
        os.link(path, name)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links, on which two at once cannot be kept apart
        if name.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(name)) from None
        path.rename(name)
    else:
        with contextlib.suppress(OSError):  # it has its name
            path.unlink()


def sync_folder(folder: Path) -> None:
    """Have the names in a folder survive a crash, where its file system can: CIFS, FUSE and others refuse it."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may be written and not read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in UNSYNCED:
            raise
    finally:
        os.close(handle)


def temporary_home() -> Path:
    """Return the directory for temporary files."""
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise _no_temporary_home(str(error.strerror)) from None


def make_temporary_folder(prefix: str) -> Path:
    """Return a new folder there, which this user alone may use."""
    home = temporary_home()
    try:
        return Path(tempfile.mkdtemp(prefix=prefix, dir=home))
    except OSError as error:
        raise _no_temporary_home(f"{home}: {error.strerror or error}") from error


def _no_temporary_home(problem: str) -> ConfigurationError:
    variable = "TEMP" if os.name == "nt" else "TMPDIR"
    value = os.environ.get(variable)
    return ConfigurationError(
        f"There is no directory for temporary files that can be written ({problem}); {variable} is "
        f"{'not set' if value is None else repr(value)}. Let {variable} name one, and run the same again."
    )


def expand_home(path: str | os.PathLike[str]) -> Path:
    """Return a path whose ``~`` is the user's home; where there is none, it is a name like any other."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
