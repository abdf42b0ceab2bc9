"""What is checked on this machine alone, without a key and before anything is sent: proxies, the cache, its lock."""

from __future__ import annotations

import errno
import os
import shutil
import ssl
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from secrets import token_hex
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from parallel_frames._checkpoint import auto_home
from parallel_frames._checkpoint._lease import lacks_locks, written_by_us
from parallel_frames._checkpoint._paths import LocalPath
from parallel_frames._doctor._diagnosis import make_check
from parallel_frames._runtime import run_from_anywhere
from parallel_frames._service._client import CERTIFICATE_VARIABLES, LOOPBACK, PROXY_VARIABLES
from parallel_frames._service._http import find_proxy
from parallel_frames.errors import CheckpointError, CheckpointLockedError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from parallel_frames._doctor._diagnosis import Check
    from parallel_frames._service import Client

PACKAGES: Final = ("parallel-frames", "pandas", "pyarrow", "httpx", "httpx-aiohttp", "filelock", "orjson")


def installed_versions() -> dict[str, str]:
    """Return what is installed, as a report on an error needs it."""
    import platform

    found = {"python": platform.python_version(), "platform": platform.platform(), "openssl": ssl.OPENSSL_VERSION}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # of an extra
            continue
    return found


def check_proxies(client: Client) -> Check:
    """Return which proxy the environment has for the service, without its password, and which certificates."""

    async def open_session() -> None:
        async with client.session():
            pass

    try:
        run_from_anywhere(open_session)
    except ConfigurationError as error:
        meaning = "Every call stops with this error. The rest could not be checked."
        return make_check("proxies", str(error), "breaks", meaning)
    if callable(client.transport):
        meaning = "The proxies and certificates of the environment are not used."
        return make_check("proxies", "a transport of your own", "ok", meaning)
    names = [name for name in sorted(os.environ) if name.lower() in PROXY_VARIABLES and os.environ[name]]
    trusted = [f"{name}={os.environ[name]}" for name in CERTIFICATE_VARIABLES[:2] if os.environ.get(name)]
    seen = f"{', '.join(names) or 'no variable of a proxy is set'}; certificates of {', '.join(trusted) or 'certifi'}"
    if urlsplit(client.base_url).hostname in LOOPBACK:
        return make_check("proxies", seen, "ok", "None is used: the service is on this machine.")
    proxy = find_proxy(client.base_url)
    if proxy is None:
        return make_check("proxies", seen, "ok", "Requests go straight to the service.")
    address = proxy.rpartition("@")[2].rpartition("://")[2]  # what is before the @ is a name and a password
    return make_check("proxies", seen, "ok", f"Requests go through the proxy {address.rstrip('/')}.")


@contextmanager
def _probe_folder(root: Path | None) -> Iterator[LocalPath]:
    """Give an empty folder where checkpoints go, and remove it; a folder that begins with a dot is no job."""
    home = root or auto_home()
    home.mkdir(parents=True, exist_ok=True, mode=0o700)  # for this user alone, as a checkpoint would make it
    folder = home / f".doctor-{token_hex(6)}"
    try:
        folder.mkdir()
        yield LocalPath(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_cache(root: Path | None) -> list[Check]:
    """Return whether a checkpoint can be kept where calls keep it by default, and whether it has one writer."""
    checks: list[Check] = []
    try:
        with _probe_folder(root) as folder:
            checks.append(_check_writing(folder))
            checks.append(_check_lock(folder))
    except (OSError, CheckpointError, ConfigurationError) as error:
        reason = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.strerror else str(error)
        meaning = "Calls stop before they send anything. Set PARALLEL_FRAMES_CACHE to another directory"
        name = "lock" if checks else "cache"
        checks.append(make_check(name, reason, "breaks", f"{meaning}, or pass `checkpoint=...`."))
    return checks


def _check_writing(folder: LocalPath) -> Check:
    """Write and replace a file as the checkpoint does, and see what the file system does not have."""
    file = folder / "part"
    for exclusive in (True, False):
        with file.written(exclusive=exclusive) as sink:
            sink.write(b"written by parallel-frames doctor")
    if file.read() != b"written by parallel-frames doctor":
        raise OSError(errno.EIO, "Read back with other contents", str(file))
    place = folder.path.parent
    if not _syncs(folder):
        meaning = "After a power cut the newest files may be missing; their rows are found in their groups, and not "
        seen = f"{place} can be written, without sync of folders"
        return make_check("cache", seen, "handled", f"{meaning}paid for twice.")
    if not _links(folder):
        seen = f"{place} can be written, without hard links"
        return make_check("cache", seen, "handled", "Whether a name is free is looked up before a file gets it.")
    return make_check("cache", f"{place} can be written", "ok", "Answers are kept there, and not paid for twice.")


def _syncs(folder: LocalPath) -> bool:
    """Return whether the names in a folder can be made durable; `LocalPath.sync` forgives where not."""
    if os.name == "nt":
        return True
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return False
    try:
        os.fsync(handle)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _links(folder: LocalPath) -> bool:
    """Return whether a name can be given that replaces nothing; elsewhere, the checkpoint looks first."""
    with suppress(OSError):
        os.link(folder / "part", folder / "linked")
        return True
    return False


def _check_lock(folder: LocalPath) -> Check:
    with written_by_us(folder):
        try:
            with written_by_us(folder):
                way_out = "Set PARALLEL_FRAMES_CACHE to a directory on a local disk, or pass `checkpoint=...`."
                meaning = f"Two calls with one checkpoint could pay twice. {way_out}"
                return make_check("lock", "a second writer was let in", "breaks", meaning)
        except CheckpointLockedError:
            pass
    if lacks_locks(folder.path / "lock"):
        seen = "refused by the file writer.json alone; the file system has no locks"
        meaning = "After a crash the checkpoint stays locked for other machines: `pf.Checkpoint(...).unlock()`."
        return make_check("lock", seen, "handled", meaning)
    return make_check("lock", "refused", "ok", "Two calls never write, or pay, at the same time.")
