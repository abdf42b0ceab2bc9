"""Putting a target into its place: whole or not at all, and never over what is not its own.

What is written waits in a hidden folder next to a local target, so that a rename is all that is left to do; a process
that dies there leaves the folder, and the next call puts back, or finishes, what it was about.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.fs as pafs

from parallel_frames._checkpoint import file_lock
from parallel_frames._files._address import find_address
from parallel_frames._files._target import (
    PART,
    TargetWriter,
    check_target,
    foreign_in,
    is_file,
    manifest_of,
    text_of,
    write_manifest,
)
from parallel_frames._files._temporary import FULL, temporary_folder
from parallel_frames._fs import sync_folder, take_name
from parallel_frames.errors import InputError, TargetError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallel_frames._files._address import Address

BEFORE: Final = "before"  # what a directory target was, until the new one is in its place
MANIFEST: Final = "manifest.json"


def place_for(target: str | os.PathLike[str], source: Address, *, overwrite: bool) -> Address:
    """Return where the target is to be, once what a dead process left there is tidied.

    Without `overwrite` it may be there only where a call wrote it and it is as it was: `own_manifest` has its manifest.
    """
    address = find_address(target, what="target")
    if address.is_local:
        try:
            _tidy(address.local)
        except OSError as error:
            raise InputError(f"The target {address.shown} cannot be reached ({_reason(error)}).") from error
    check_target(address, source, overwrite=overwrite)
    return address


def probe(address: Address) -> None:
    """Write next to the target, under every name that will be needed, and take it away again."""
    try:
        if address.is_local:
            address.local.parent.mkdir(parents=True, exist_ok=True)
            with _workplace(address):
                manifest = Path(manifest_of(address))
                if not manifest.exists():
                    manifest.touch(exist_ok=False)
                    manifest.unlink()
            return
        name = f"{manifest_of(address)}.probe"
        with address.system.open_output_stream(name) as stream:
            stream.write(b"{}")
        with suppress(OSError):  # who may write and not delete can write a target
            address.system.delete_file(name)
    except (OSError, pa.ArrowException) as error:
        raise InputError(
            f"The target {address.shown} cannot be written ({_reason(error)}). Nothing was sent."
        ) from error


@contextmanager
def whole_target(address: Address, schema: pa.Schema, *, rows_per_file: int, overwrite: bool) -> Iterator[TargetWriter]:
    """Give a writer; what was written becomes the target once the block has ended well, and otherwise nothing does.

    The writer's `manifest` goes next to the target.
    """
    single = is_file(address)
    try:
        with _workplace(address) as folder:
            writer = TargetWriter(folder, schema, rows_per_file=None if single else rows_per_file)
            try:
                yield writer
                writer.close()
            finally:
                writer.abandon()
            _refuse_foreign_files(address, overwrite=overwrite)
            if address.is_local:
                _put_local(address, folder, writer, overwrite=overwrite)
            else:
                _put_remote(address, writer)
    except (OSError, pa.ArrowException) as error:
        advice = "Make room" if getattr(error, "errno", None) in FULL else "Once that is fixed"
        raise TargetError(
            f"{address.shown} could not be written ({_reason(error)}). It is as it was before, and every answer is in "
            f"the checkpoint. {advice}{' and' if advice == 'Make room' else ','} run the same again; nothing is "
            "paid twice.",
            path=address.shown,
        ) from error


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error).partition("\n")[0].rstrip(".") or type(error).__name__


def _refuse_foreign_files(address: Address, *, overwrite: bool) -> None:
    """Refuse, right before the target is replaced, what was put there since the call began."""
    try:
        exists, foreign = address.exists, foreign_in(address)
    except InputError as error:
        raise OSError(str(error).rstrip(".")) from error
    if exists and not overwrite:
        raise _appeared(address)
    if foreign:
        raise TargetError(
            f"{address.shown} now holds {foreign}, which is not part of a target, and would be deleted. It is as it "
            "was, and every answer is in the checkpoint: move the file away, and run the same again; nothing is "
            "paid twice.",
            path=address.shown,
        )


def _appeared(address: Address) -> TargetError:
    return TargetError(
        f"{address.shown} was made by another program meanwhile, and was left as it is. Every answer is "
        "in the checkpoint: move that file away, or pass `overwrite=True` to replace it, and run the same again; "
        "nothing is paid twice.",
        path=address.shown,
    )


@contextmanager
def _workplace(address: Address) -> Iterator[Path]:
    """Give a hidden folder next to a local target; else a temporary one."""
    if not address.is_local:
        with temporary_folder() as folder:
            yield folder
        return
    target = address.local
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp"))
    with file_lock(folder / "lock"):
        try:
            yield folder
        finally:
            _leave(folder, target)
    shutil.rmtree(folder, ignore_errors=True)  # where a file that is held cannot be removed


def _leave(folder: Path, target: Path) -> None:
    """Remove a workplace, after what it was about to do is undone or finished."""
    before, manifest = folder / BEFORE, folder / MANIFEST
    if before.exists() and not target.exists():
        before.rename(target)
    elif manifest.exists() and not _unpublished(folder):
        manifest.replace(f"{target}.{MANIFEST}")
    if before.is_dir():
        _empty(before, target)
    shutil.rmtree(folder, ignore_errors=True)


def _unpublished(folder: Path) -> bool:
    return (folder / "whole").exists() or any(path.stat().st_nlink == 1 for path in folder.glob("part-*"))


def _empty(before: Path, target: Path) -> None:
    """Delete the parts of a replaced target, and nothing else: what came into it in between stays."""
    for path in sorted(before.iterdir()):
        if PART.match(path.name) and path.is_file():
            path.unlink()
        elif not (target / path.name).exists():
            path.rename(target / path.name)


def _tidy(target: Path) -> None:
    """Remove what processes that died left next to a target; put back, or finish, what one of them was about."""
    if not target.parent.is_dir():
        return
    for folder in target.parent.iterdir():
        if not (folder.name.startswith(f".{target.name}.") and folder.suffix == ".tmp" and folder.is_dir()):
            continue
        with file_lock(folder / "lock") as is_dead, suppress(OSError):
            if is_dead:
                _leave(folder, target)


def _put_local(address: Address, folder: Path, writer: TargetWriter, *, overwrite: bool) -> None:
    target = address.local
    manifest = folder / MANIFEST
    if writer.manifest is not None:
        manifest.write_bytes(text_of(writer.manifest, writer.files))
    for path in [*writer.files, *([manifest] if writer.manifest is not None else [])]:
        with path.open("rb+") as handle:
            os.fsync(handle.fileno())
    try:
        if is_file(address):
            (os.replace if overwrite else take_name)(writer.files[0], target)
        else:
            _put_directory(folder, writer.files, target, overwrite=overwrite)
    except OSError as error:
        if not overwrite and target.exists():
            raise _appeared(address) from error
        raise
    with suppress(FileNotFoundError):
        manifest.replace(manifest_of(address))
    sync_folder(target.parent)


def _put_directory(folder: Path, files: list[Path], target: Path, *, overwrite: bool) -> None:
    new, before = folder / "whole", folder / BEFORE
    new.mkdir()
    for path in files:
        path.rename(new / path.name)
    if overwrite and target.exists():
        target.rename(before)
    new.rename(target)  # over a directory that holds anything it fails; `_leave` puts back what was there before


def _put_remote(address: Address, writer: TargetWriter) -> None:
    """Put whole objects; an object store shows one only once all of it has come. The manifest is the last."""
    system: Any = address.system
    base = address.path.rstrip("/")
    here = pafs.LocalFileSystem()
    if is_file(address):
        pafs.copy_files(str(writer.files[0]), base, source_filesystem=here, destination_filesystem=system)
    else:
        system.create_dir(base, recursive=True)
        for path in writer.files:
            pafs.copy_files(str(path), f"{base}/{path.name}", source_filesystem=here, destination_filesystem=system)
        wanted = {path.name for path in writer.files}
        for info in system.get_file_info(pafs.FileSelector(base)):
            is_old = PART.match(info.base_name) and info.base_name not in wanted
            if is_old and info.type == pafs.FileType.File:
                system.delete_file(info.path)
    if writer.manifest is not None:
        write_manifest(address, text_of(writer.manifest, writer.files))
