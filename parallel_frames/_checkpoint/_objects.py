"""Places in an object store, or wherever else fsspec leads: `s3://`, `gs://`, `memory://` and so on.

An object is there whole or not at all, so it needs no hidden name; what fsspec knows that is not an object store gets
one. Listings are always fresh. Whatever fsspec and the libraries below it raise becomes ours here, without secrets:
credentials come from the environment and are never part of an address.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from parallel_frames.errors import CheckpointError, ConfigurationError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from parallel_frames._checkpoint._places import StoragePath

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
            "down. Give credentials by the environment, as the library for such addresses says."
        )
    if "::" in address:
        raise InputError(f"checkpoint={address!r} is a chain of addresses; name one place.")
    if not parts.netloc and not parts.path.strip("/"):
        raise InputError(f"checkpoint={address!r} names no place: a bucket or a folder is missing.")


def _file_system(protocol: str) -> Any:
    """Return what reaches such addresses as the environment says now; nobody else's listings are cached in it."""
    told = frozenset(item for item in os.environ.items() if item[0].startswith(ENVIRONMENT))
    return _make_file_system(protocol, os.getpid(), told)


@functools.lru_cache(maxsize=8)
def _make_file_system(protocol: str, _pid: int, _told: frozenset[tuple[str, str]]) -> Any:
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
        raise InputError(f"{protocol}:// is no kind of address that fsspec knows ({error}).") from None


def _told(error: Exception) -> str:
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
                f"{self.address} could not be {done} ({_told(error)}). What was stored before is safe; once the store "
                "can be reached and written, run the same call again, or name another checkpoint.",
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
            if self.exists():  # a store without conditional puts; the writer's card already keeps others out
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
