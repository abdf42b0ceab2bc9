"""Parquet to Parquet: what does not fit memory, and jobs that run for days.

A file is one more source and sink of the same job: the runner, the engine, the index and the store are those of frames.
What is a file's own is here: reading rows in batches (`FileSource`), bringing answers into the order of the rows
(`RowOrderReader`), and putting a target into its place, whole or not at all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from parallel_frames._files._address import MANIFEST, find_address
from parallel_frames._files._prepare import prepare_file
from parallel_frames._files._publish import place_for, probe, whole_target
from parallel_frames._files._rows import FileSource
from parallel_frames._files._source import open_source
from parallel_frames._files._target import (
    check_checkpoint,
    describe_files,
    digest_of,
    make_manifest,
    may_be_completed,
    own_manifest,
    target_exists,
)
from parallel_frames._files._temporary import disk_full_as_target_error
from parallel_frames._files._types import as_type, target_schema
from parallel_frames._format import format_count, format_option
from parallel_frames._fs import temporary_home
from parallel_frames._job._attrs import write_attrs
from parallel_frames._job._checkpoints import job_folder
from parallel_frames._job._defaults import make_call
from parallel_frames._job._handle import Enrichment, failures, make_runner, warn_of_kept
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._preview import EnrichmentPlan, plan_call
from parallel_frames._model import STATUSES
from parallel_frames._ui import IDLE, showing
from parallel_frames.errors import EnrichmentError, InputError, user_facing

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from typing import Unpack

    from parallel_frames._files._address import Address
    from parallel_frames._files._prepare import PreparedFile
    from parallel_frames._job._handle import Runner
    from parallel_frames._job._offline import Destination
    from parallel_frames._job._options import Call, EnrichOptions, SchemaLike
    from parallel_frames._job._runner import Results


ROWS_PER_FILE: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrichedParquet:
    """What `enrich_parquet` wrote.

    Attributes
    ----------
    target : str or None
        The file or directory; None with ``wait=False``.
    rows : int
        Rows of the source, and so of the target.
    counts : dict of str to int
        The rows that were asked about by status.
    cost : float or None
        US dollars of the runs that were sent for these rows and are billed; None where the price is not known.
    extra_cost : str
        What is billed on top of that, at prices that are not known: ``"plus connector calls"``, or nothing.
    group_ids : tuple of str
        The groups the runs are in.
    checkpoint : str
        The job's folder.
    manifest : str or None
        The JSON file next to the target.
    simulated : bool
        Whether the answers are a simulator's.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> pd.DataFrame({"company": ["Acme", "Globex"]}).to_parquet("two.parquet")
    >>> with pf.offline(answers=lambda sent: {"founded": 1949}, latency=0):
    ...     done = pf.enrich_parquet("two.parquet", "two_enriched.parquet", {"founded": int})
    >>> done.rows, done.counts, done.cost
    (2, {'completed': 2}, 0.02)
    """

    target: str | None
    rows: int
    counts: Mapping[str, int] = field(default_factory=dict)
    cost: float | None
    extra_cost: str = ""
    group_ids: tuple[str, ...]
    checkpoint: str
    manifest: str | None
    simulated: bool


@user_facing
def enrich_parquet(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None,
    schema: SchemaLike,
    *,
    overwrite: bool = False,
    rows_per_file: int = ROWS_PER_FILE,
    wait: bool = True,
    **options: Unpack[EnrichOptions],
) -> EnrichedParquet:
    """Ask the web about every row of a file and write a Parquet file with the answers next to the rows.

    By default answers are kept in your cache directory, together with those of frames and of the command line: the same
    question about the same rows is paid for once, whatever the name of the target. For a target in an object store the
    checkpoint is next to it, ``<target>.ckpt``, unless the cache already holds the job.

    Memory use is bounded for any number of rows. The checkpoint is the state of the job: the same call again resumes
    where it stopped, and pays for nothing twice. If the source has grown or was edited, only its new inputs are paid
    for.

    Parameters
    ----------
    source : str or path
        A file, a directory, a glob, a directory of hive partitions, or an address such as ``s3://bucket/rows``.
        Parquet, CSV and TSV, Feather, Arrow files and streams, JSON lines, or (read whole) a JSON array, or a sheet
        of Excel: ``book.xlsx#Sales``, ``book.xlsx#2``, or the first (the extra ``excel``).
        Where JSON holds bare texts instead of objects, the text itself is sent, and is the column ``input``.
        The separator of CSV is detected in the first rows, or set by a first line ``sep=;``. In a CSV column of text
        only empty cells are missing; among numbers or booleans ``NA``, ``null`` and the like are missing too.
        The type of a column may differ between files if the keys of the rows do not.
        A JSON field that has two kinds of values in two rows is refused.
    target : str or path, or None
        A file that ends in ``.parquet``, or a directory for parts of at most `rows_per_file` rows. It appears whole
        or not at all (a directory on an object store: a file at a time, the manifest last). None only with
        ``wait=False``.
    schema : as for `enrich`
        What to find out.
    overwrite : bool, default False
        Replace an existing target, once everything is written. This is not needed if the same call over the same rows
        wrote the target: then the earlier result is returned, and nothing is sent; a target that the call left
        incomplete, because of ``timeout`` or ``limit``, is completed.
    rows_per_file : int, default 1,000,000
        The largest number of rows in each file of a directory.
    wait : bool, default True
        False: return once everything is sent, and write nothing; the same call with True resumes from there.
    **options
        As for `enrich`: ``processor``, ``escalate``, ``inputs``, ``input_schema``, ``where`` (``"missing"``,
        ``"failed"``, or a function that is given batches of rows), ``limit``, ``checkpoint`` (default: your cache, as
        for a frame), ``on_mismatch``, ``refresh``, ``older_than``, ``retry_failed``, ``dedupe``, ``basis``, ``status``,
        ``prefix``, ``if_exists``, ``on_error``, ``max_cost``, ``confirm``, ``max_in_flight``, ``timeout``,
        ``metadata``, ``options``, ``group_id``, ``provenance``, ``progress``, ``on_row``, ``client``.

    Returns
    -------
    EnrichedParquet
        What was written, and what it cost.

    Raises
    ------
    InputError
        The source, the target, the schema, a column or an option is wrong. Nothing was sent.
    SourceError
        A source file changed while the job ran, or cannot be read any more. Answers are in the checkpoint.
    TargetError
        The target cannot be written. It is as it was; answers are in the checkpoint.
    ServiceError, CheckpointError, UndecidedError
        As `enrich`.

    Notes
    -----
    Rows keep their order, and columns their Arrow types and metadata; dictionaries have indices of 32 bits. New columns
    have the Arrow type of the schema in every file, and pandas reads them as nullable dtypes. Equal rows share one run
    across the whole source, unless ``dedupe=False``. ``<target>.manifest.json`` records the groups, the times, the
    prices and the schema.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> pd.DataFrame({"company": ["Acme", "Globex", "Acme"]}).to_parquet("companies.parquet")
    >>> with pf.offline(answers={"Acme": {"founded": 1949}, "Globex": {"founded": 1989}}, latency=0) as sim:
    ...     done = pf.enrich_parquet("companies.parquet", "enriched.parquet", {"founded": int})
    >>> pd.read_parquet("enriched.parquet")[["company", "founded", "parallel_status"]]
      company  founded parallel_status
    0    Acme     1949       completed
    1  Globex     1989       completed
    2    Acme     1949       completed
    >>> sim.counts.runs
    2
    """
    if target is None and wait:
        raise InputError("Only `wait=False` does without a target: name a file that ends in .parquet, or a directory.")
    if isinstance(rows_per_file, bool) or not isinstance(rows_per_file, int) or rows_per_file < 1:
        raise InputError(f"{format_option('rows_per_file', rows_per_file)} must be a number of rows, 1 or more.")
    address = None
    if target is not None:
        address = place_for(target, find_address(source, what="source"), overwrite=overwrite)
    runner, rows = _prepare(source, target, schema, options)
    runner.destination = choose_destination(rows.prepared.call.client)
    enrichment = FileEnrichment(runner, rows.file, address, overwrite=overwrite, rows_per_file=rows_per_file)
    if address is not None:
        if not overwrite and address.exists and (written := enrichment.recognise(address)) is not None:
            return written
        probe(address)
        temporary_home()  # where answers are put in order: not to be missed once they are paid for
    with disk_full_as_target_error(enrichment.safe):
        if wait:
            done: EnrichedParquet = enrichment._wait_for(enrichment._run)
            return done
        enrichment._wait_for(enrichment._send)
        return enrichment.summary({}, manifest=None)


def find_finished(
    source: str, target: str, schema: object, *, overwrite: bool, rows_per_file: int, options: Mapping[str, Any]
) -> EnrichedParquet | None:
    """Return what this very call wrote before; None where there is no target, or it is to be written again."""
    address = place_for(target, find_address(source, what="source"), overwrite=overwrite)
    if overwrite or not address.exists:
        return None
    runner, rows = _prepare(source, target, schema, options)
    enrichment = FileEnrichment(runner, rows.file, address, overwrite=False, rows_per_file=rows_per_file)
    return enrichment.recognise(address, is_shown=False)


def _prepare(source: Any, target: Any, schema: object, options: Mapping[str, Any]) -> tuple[Runner, FileSource]:
    """Return a job whose source is opened: everything that can be decided before its rows are read."""
    call: Call = make_call(options, of_arrow=True)
    opened = open_source(source)
    rows = FileSource(prepare_file(opened, schema, call, target=None if target is None else str(target)))
    if call.checkpoint != "auto":
        place = None if target is None else find_address(target, what="target")
        check_checkpoint(call.checkpoint, opened.address, place)
    return make_runner(rows), rows


class FileEnrichment(Enrichment):
    """The handle of a file's enrichment: its result is a target that is written, and what `enrich_parquet` returns."""

    def __init__(
        self, runner: Runner, file: PreparedFile, target: Address | None, *, overwrite: bool, rows_per_file: int
    ) -> None:
        super().__init__(runner)
        self._file = file
        self._target = target
        self._overwrite = overwrite
        self._rows_per_file = rows_per_file
        self._delivered: EnrichedParquet | None = None

    async def _finish(self) -> EnrichedParquet:
        if self._delivered is not None and self._runner.is_finished:
            return self._delivered
        done: EnrichedParquet = await super()._finish()
        return done

    def _again(self) -> FileEnrichment:
        # The target of the call before is this call's own.
        overwrite = self._overwrite or self._delivered is not None
        return FileEnrichment(
            self._runner.again(), self._file, self._target, overwrite=overwrite, rows_per_file=self._rows_per_file
        )

    def _deliver(self, results: Results[Any]) -> EnrichedParquet:
        """Write the target and its manifest, and return what was written, or raise where failures are to raise."""
        if self._target is None:
            return self.summary({}, manifest=None)
        runner, file, prepared = self._runner, self._file, self._file.prepared
        counts: Counter[str] = Counter()
        attrs: dict[Any, Any] = write_attrs(
            prepared.frame.copy(),
            prepared.frame,
            layout=prepared.layout,
            facts=runner.facts({}),
            sends=prepared.sends_by_default,
        ).attrs
        attrs = {str(name): value for name, value in attrs.items()}
        schema = target_schema(file.source, file.added, rows=results.index.rows, attrs=attrs)
        rows = FileSource(file)
        with (
            rows.answers_in_order(results, prepared.layout) as answers,
            whole_target(
                self._target,
                schema,
                rows_per_file=self._rows_per_file,
                overwrite=self._overwrite or self._left_open(own_manifest(self._target)),
            ) as writer,
        ):
            tables = rows.tables(results, answers, layout=prepared.layout, types=file.added)
            for _, table, statuses, _ in tables:
                columns = [as_type(table.column(column.name), column.type) for column in schema]
                writer.write(pa.table(columns, schema=schema))
                counts.update(statuses)
            manifest = make_manifest(
                file,
                results,
                counts=counts,
                checkpoint=self._folder,
                simulated=runner.simulated,
                call=self._digest(),
                question=self._digest(limited=False),
            )
            writer.manifest = manifest
        results.statuses = {status: counts[status] for status in STATUSES if counts[status]}
        warn_of_kept(results.kept, prepared)
        self._raise_failures(counts, results.index.rows, self._target)
        self._delivered = self.summary(counts, manifest=f"{self._target.shown.rstrip('/')}{MANIFEST}")
        return self._delivered

    def summary(self, counts: Mapping[str, int], *, manifest: str | None) -> EnrichedParquet:
        """Return what was written."""
        status = self._runner.status()
        cost = self._runner.spent
        return EnrichedParquet(
            target=None if manifest is None or self._target is None else self._target.shown,
            rows=status.rows,
            counts=dict(counts),
            cost=None if cost is None else float(cost),
            extra_cost=self._file.prepared.price.extra,
            group_ids=self._runner.group_ids,
            checkpoint=self._folder,
            manifest=manifest,
            simulated=self._runner.simulated,
        )

    def recognise(self, target: Address, *, is_shown: bool = True) -> EnrichedParquet | None:
        """Return what this very call wrote before it was killed, or before it was made again; nothing is sent.

        That is logged, and shown where progress is. None where it left rows open: then it is completed.
        """
        manifest = own_manifest(target)
        try:
            if manifest is None or not self._wrote(manifest):
                if self._left_open(manifest):
                    return None
                raise target_exists(target.shown, since="" if manifest is None else self._since(manifest))
            written_at = manifest["written_at"]
            done = EnrichedParquet(
                target=target.shown,
                rows=manifest["rows"],
                counts=manifest["rows_by_status"],
                cost=manifest["cost"],
                extra_cost=manifest.get("extra_cost", ""),
                group_ids=tuple(group["group_id"] for group in manifest["groups"]),
                checkpoint=manifest["checkpoint"],
                manifest=f"{target.shown.rstrip('/')}{MANIFEST}",
                simulated=manifest["simulated"],
            )
        except (KeyError, TypeError):  # a manifest that was edited
            raise target_exists(target.shown) from None
        with showing(self._file.prepared.call.progress if is_shown else False) as progress:
            essence = f"{target.shown} is what the same call wrote at {written_at}"
            progress.announce(f"{essence} · {IDLE}", [], simulated=done.simulated)
        self._raise_failures(done.counts, done.rows, target)
        return done

    def _since(self, manifest: Mapping[str, Any]) -> str:
        """Return when a target was written, where it is this question's and only its source has changed since then."""
        file, source = self._file, manifest["source"]
        is_same = (manifest["job"], source["address"]) == (file.prepared.job.hash, file.source.shown)
        if not is_same or source["files"] == describe_files(file.source):
            return ""
        rows = format_count(manifest["rows"], "row")
        return f", written at {manifest['written_at']} when {file.source.shown} had {rows}"

    def _wrote(self, manifest: Mapping[str, Any]) -> bool:
        """Return whether this call wrote a target to its end, and would write no other one now."""
        call, counts = self._file.prepared.call, manifest["rows_by_status"]
        may_differ = call.refresh or call.older_than is not None or callable(call.where)
        is_open = "pending" in counts or ("not_sent" in counts and call.limit is None)
        return not may_differ and not is_open and manifest.get("call") == self._digest()

    def _left_open(self, manifest: Mapping[str, Any] | None) -> bool:
        """Return whether a target is this question's, about the same rows, and not complete."""
        if manifest is None or manifest.get("question") != self._digest(limited=False):
            return False
        return may_be_completed(self._file.prepared, self._destination, manifest["rows_by_status"])

    def _raise_failures(self, counts: Mapping[str, int], rows: int, target: Address) -> None:
        if problems := failures(counts, on_error=self._file.prepared.call.on_error):
            raise EnrichmentError(
                f"{problems} of {format_count(rows, 'row')}; everything is stored, and {target.shown} is written. "
                "Run the same again with `overwrite=True` to try failed rows again."
            )

    @property
    def _destination(self) -> Destination:
        return self._runner.destination or choose_destination(self._file.prepared.call.client)

    def _digest(self, *, limited: bool = True) -> str:
        return digest_of(self._file, self._destination, rows_per_file=self._rows_per_file, limited=limited)

    @property
    def _folder(self) -> str:
        """The job's folder, whether or not it was opened."""
        return self._runner.checkpoint or str(job_folder(self._file.prepared, self._destination, runs=0))

    def safe(self) -> str:
        """Return what is safe where the index, which knows more, can no longer be asked."""
        if self._runner.checkpoint is None:
            return "Nothing was sent."
        return f"Every answer that came is safe in {self._runner.checkpoint}."


@user_facing
def plan_parquet(
    source: str | os.PathLike[str],
    schema: SchemaLike,
    *,
    target: str | os.PathLike[str] | None = None,
    **options: Unpack[EnrichOptions],
) -> EnrichmentPlan:
    """Return what `enrich_parquet` would send and cost with these arguments. It sends nothing, and needs no key.

    Parameters
    ----------
    source, schema, target, **options
        As for `enrich_parquet`; `target` only decides which checkpoint is read.

    Returns
    -------
    EnrichmentPlan
        As `plan` returns it for a frame.

    Raises
    ------
    InputError, CheckpointError
        As `enrich_parquet` would.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> pd.DataFrame({"company": ["Acme", "Globex", "Acme"]}).to_parquet("companies.parquet")
    >>> plan = pf.plan_parquet("companies.parquet", {"founded": int}, processor="core")
    >>> plan.runs, plan.duplicates, plan.cost
    (2, 1, 0.05)
    """
    _, rows = _prepare(source, target, schema, options)
    return plan_call(rows)
