"""The source: whatever Arrow can read, as batches of rows in one fixed order, with one schema, in bounded memory.

It owns which files there are and in which order, that they have one schema, and that they have not changed since
they were first looked at. It refuses to know what a row sends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs

from parallel_frames._file_formats import FORMATS, format_at
from parallel_frames._files._address import MANIFEST, WILD, Address, find_address, matches
from parallel_frames._files._batches import even, rows_at_once
from parallel_frames._files._csv import open_csv
from parallel_frames._files._excel import open_excel
from parallel_frames._files._ipc import open_ipc
from parallel_frames._files._json import open_json
from parallel_frames._files._parts import Parts, join_parts
from parallel_frames._files._text import TextFiles, hive_of, partitions_of
from parallel_frames.errors import InputError, SourceError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from parallel_frames._files._text import Files


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file as it was when it was first looked at."""

    path: str
    size: int
    modified: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """An opened source.

    Attributes
    ----------
    shown : str
        The address as it was given.
    schema : pyarrow.Schema
        Of every batch, hive partitions included, with the files' own metadata.
    files : tuple of FileFacts
        In the order in which their rows stand.
    """

    address: Address
    shown: str
    format: str
    schema: pa.Schema
    files: tuple[FileFacts, ...]
    _files: Files | ParquetFiles = field(repr=False)

    @property
    def is_void(self) -> bool:
        """Whether it has neither rows nor columns, as JSON lines have where there is no line."""
        return self.format in ("json", "jsonl") and not self.schema.names

    @property
    def is_bare(self) -> bool:
        """Whether each row is a bare text and nothing else, and so its own input."""
        return self._files.is_bare

    @property
    def mixed(self) -> frozenset[str]:
        """The columns that have several types in the files: that their values fit into one is known once read."""
        return self._files.mixed

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield each batch with the number of its first row.

        Parameters
        ----------
        columns : sequence of str, optional
            Only these. Default: all.

        Raises
        ------
        SourceError
            A file cannot be read, or is not what it was.
        """
        names = list(self.schema.names if columns is None else dict.fromkeys(columns))
        start = 0
        for batch in even(self._read(names)):
            yield start, batch
            start += batch.num_rows
        self.check_unchanged()

    def _read(self, names: list[str]) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._files.read(names)
        except (pa.ArrowException, OSError) as error:
            self.check_unchanged()
            raise SourceError(f"{self.shown} cannot be read: {_first_line(error)}.", path=self.shown) from error

    def table(self) -> pa.Table:
        """Return all rows at once; for what is known to fit memory."""
        return pa.Table.from_batches([batch for _, batch in self.batches()], schema=self.schema)

    def texts(self) -> pa.Table | None:
        """Return the cells of CSV that are not read as text as they stand there, None where there is none."""
        if self.format not in ("csv", "tsv") or not isinstance(self._files, TextFiles):
            return None
        names = [field.name for field in self.schema if not pa.types.is_string(field.type)]
        schema = pa.schema([(name, pa.string()) for name in names])
        return pa.concat_tables([schema.empty_table(), *self._files.texts(schema)])

    def check_unchanged(self) -> None:
        """Raise where a file is not the one that was first looked at."""
        now = _facts(self.address, [each.path for each in self.files])
        for before, after in zip(self.files, now, strict=True):
            if before != after:
                raise SourceError(
                    f"{before.path} changed while it was read: {before.size:,} bytes before, {after.size:,} now. "
                    "Answers could land on other rows, so nothing was written to the target. What was answered is "
                    "kept in the checkpoint: run the same again, and only inputs that are new are paid.",
                    path=before.path,
                )


class ParquetFiles:
    """Parquet, by Arrow's dataset: only the columns that are asked for, in bounded memory."""

    is_bare = False

    def __init__(self, dataset: pads.Dataset, parts: Parts) -> None:
        """Take a dataset, and what its files are together."""
        common = {each.name: each for each in parts.schema}
        fields = [common.get(each.name, each) for each in dataset.schema]
        self.schema = pa.schema(fields, metadata=parts.schema.metadata)
        self.mixed = frozenset(parts.mixed)
        self._dataset = dataset
        self._parts = parts

    def read(self, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield batches of these columns."""
        scanning = pads.ParquetFragmentScanOptions(use_buffered_stream=True, buffer_size=2**20, pre_buffer=False)
        for fragment in self._dataset.get_fragments():
            own = {name: fragment.physical_schema.field(name) for name in self.mixed}
            for batch in fragment.to_batches(
                schema=pa.schema([own.get(each.name, each) for each in self.schema]) if own else self.schema,
                columns=list(names),
                batch_size=rows_at_once(fragment),
                batch_readahead=1,
                fragment_readahead=1,
                fragment_scan_options=scanning,
                use_threads=False,
            ):
                yield self._parts.cast(batch, path=fragment.path)


def open_source(source: str | os.PathLike[str]) -> Source:
    """Open a file, a directory, a glob or an address."""
    address = find_address(source, what="source")
    paths = _find_files(address)
    format_ = _format_of(paths, shown=address.shown)
    facts = tuple(_facts(address, paths))
    _check_filled(facts, format_)
    try:
        files = _open(address, paths, format_)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        advice = " Save it as UTF-8." if "UTF8" in str(error) else ""
        raise InputError(
            f"The source {address.shown} cannot be read as {format_}: {_first_line(error)}.{advice}"
        ) from error
    return Source(address, address.shown, format_, files.schema, facts, files)


def _check_filled(facts: Sequence[FileFacts], format_: str) -> None:
    """Refuse a file of no bytes, which only JSON lines may be."""
    empty = [each.path for each in facts if not each.size]
    if empty and format_ not in ("json", "jsonl"):
        raise InputError(f"{empty[0]} cannot be read as {format_}: it is empty (0 bytes). Nothing was sent.")


def _find_files(address: Address) -> list[str]:
    """Return the files of an address, in the order of their names."""
    if address.is_pattern:
        found = _list_below(address, _before_wild(address.path))
        paths = [path for path in found if matches(path, address.path)]
    else:
        kind = address.info().type
        paths = [address.path] if kind == pafs.FileType.File else _list_below(address, address.path)
        if kind == pafs.FileType.NotFound:
            raise InputError(f"The source {address.shown} does not exist.")
    if not paths:
        raise InputError(f"The source {address.shown} holds no file that can be read ({', '.join(FORMATS)}).")
    return sorted(paths)


def _list_below(address: Address, base: str) -> list[str]:
    """Return the readable files below a directory; hidden ones, those that begin with _ and manifests are no data."""
    found = [info.path for info in address.infos_below(base or ".") if info.type == pafs.FileType.File]
    visible = [path for path in found if not any(p[:1] in "._" for p in path[len(base) :].split("/") if p)]
    return [path for path in visible if format_at(path) and not path.endswith(MANIFEST)]


def _format_of(paths: Sequence[str], *, shown: str) -> str:
    formats = {format_at(path) or "" for path in paths}
    if formats == {""}:
        raise InputError(f"The source {shown}: its ending must name its format, one of {', '.join(FORMATS)}.")
    if len(formats) > 1:
        raise InputError(f"The source {shown} holds files of several formats ({', '.join(sorted(formats))}); name one.")
    return formats.pop()


def _facts(address: Address, paths: Sequence[str]) -> list[FileFacts]:
    infos = address.system.get_file_info(list(paths))
    return [FileFacts(info.path, int(info.size or 0), getattr(info, "mtime_ns", None)) for info in infos]


def _open(address: Address, paths: list[str], format_: str) -> Files | ParquetFiles:
    base = _base_of(address, paths)
    partitioning = hive_of([path[len(base) :] for path in paths])
    if format_ == "parquet":
        kind = pads.ParquetFileFormat()
        join_parts([(paths[0], kind.inspect(paths[0], address.system))])  # a dataset would refuse it in Arrow's words
        dataset = pads.dataset(
            paths, format=kind, filesystem=address.system, partitioning=partitioning, partition_base_dir=base
        )
        return ParquetFiles(dataset, join_parts((part.path, part.physical_schema) for part in dataset.get_fragments()))
    partitions = partitions_of(paths, partitioning, base=base)
    if format_ == "xlsx":
        return open_excel(address, partitions)
    if format_ == "feather":
        return open_ipc(address, partitions)
    if format_ in ("csv", "tsv"):
        return open_csv(address, partitions, delimiter="\t" if format_ == "tsv" else ",")
    return open_json(address, partitions, is_lines=format_ == "jsonl")


def _base_of(address: Address, paths: Sequence[str]) -> str:
    """Return the folder below which folders such as ``year=2024`` are partitions: the named one."""
    if paths == [address.path]:
        return address.path.rpartition("/")[0]
    return _before_wild(address.path) if address.is_pattern else address.path.rstrip("/")


def _before_wild(path: str) -> str:
    return path[: min(path.index(mark) for mark in WILD if mark in path)].rpartition("/")[0]


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
