"""Parquet to Parquet: what does not fit memory, and jobs that run for days.

`enrich_parquet` does for a file what `enrich` does for a frame, with the same keys, the same checkpoint and the same
rules of paying once. Its rooms: where data lies (`_address`), reading it (`_source`, `_columns`, `_text`, `_csv`,
`_json`, `_batches`, `_frames`), what is asked of it (`_ask`, `_rows`), what is known of its rows (`_index`, with
`_tables`, filled by `_recall`), what is to be done about them (`_agenda`), the network (`_look` with `_seek`,
`_windows`; `_ledgers`, `_views`), answers in the order of the rows (`_gather`), writing (`_types`, `_write`, `_target`,
`_manifest`), putting that in its place (`_publish`), and where things lie meanwhile (`_temporary`). `_job`, `_send` and
`_finish` put them together.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._checkpoint import read_header, read_patiently, read_stale
from parallel_frames._files._address import find_address
from parallel_frames._files._finish import raise_for_failures, told_of_stored, write_target
from parallel_frames._files._job import afford, folder_of, opened, prepared, refuse_strangers
from parallel_frames._files._publish import place_for, probe
from parallel_frames._files._rows import read_work
from parallel_frames._files._send import send_and_wait
from parallel_frames._files._source import open_source
from parallel_frames._files._temporary import told_if_full
from parallel_frames._job._preview import EnrichmentPlan, dialect_of, first_body
from parallel_frames._prices import expected_seconds
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from datetime import timedelta
    from typing import Unpack

    from parallel_frames._checkpoint import Place
    from parallel_frames._files._job import Job
    from parallel_frames._job._options import EnrichOptions

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
        US dollars of every run that was sent for these rows; None where the price is not known.
    group_ids : tuple of str
        The groups the runs are in.
    checkpoint : str
        The job's folder.
    manifest : str or None
        The JSON file beside the target.
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
    group_ids: tuple[str, ...]
    checkpoint: str
    manifest: str | None
    simulated: bool


def enrich_parquet(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None,
    schema: object,
    *,
    overwrite: bool = False,
    provenance: bool = False,
    older_than: float | str | timedelta | None = None,
    rows_per_file: int = ROWS_PER_FILE,
    wait: bool = True,
    **options: Unpack[EnrichOptions],
) -> EnrichedParquet:
    """Ask the web about every row of a file and write a Parquet file with the answers beside the rows.

    Memory is bounded whatever the number of rows. The checkpoint is the job's state: the same call again goes on
    where it stopped, and pays for nothing twice. A source that has grown or was edited pays for its new inputs only.

    Parameters
    ----------
    source : str or path
        A file, a directory, a glob, a directory of hive partitions, or an address such as ``s3://bucket/rows``.
        Parquet, CSV (``.tsv`` with tabs), Feather, JSON lines, or a JSON array of objects (read whole). In a CSV
        column of text only the empty cell is missing; among numbers or booleans ``NA``, ``null`` and the like are, too.
        A JSON field that is of two kinds in two rows is refused.
    target : str or path, or None
        A file that ends in ``.parquet``, or a directory for parts of at most `rows_per_file` rows. It appears whole
        or not at all (a directory on an object store: a file at a time, the manifest last). None only with
        ``wait=False``.
    schema : as for `enrich`
        What to find out.
    overwrite : bool, default False
        Replace a target that exists, once everything is written.
    provenance : bool, default False
        Add ``parallel_run_id``, ``parallel_group_id`` and ``parallel_answered_at`` to each row.
    older_than : str, float or timedelta, optional
        Ask rows again whose answer is older: ``"30d"``, ``"12h"``, ``"2w"``, or seconds. Where that failed, the row
        counts as old as the failure.
    rows_per_file : int, default 1,000,000
        The size of a part.
    wait : bool, default True
        False: return once everything is sent, and write nothing; the same call with True goes on from there.
    **options
        As for `enrich`: ``processor``, ``inputs``, ``input_schema``, ``where`` (``"missing"``, ``"failed"``, or a
        function that is given batches of rows), ``limit``, ``checkpoint`` (default: ``<target>.ckpt``),
        ``on_mismatch``, ``refresh``, ``retry_failed``, ``dedupe``, ``basis``, ``status``, ``prefix``, ``if_exists``,
        ``on_error``, ``max_cost``, ``confirm``, ``max_in_flight``, ``timeout``, ``metadata``, ``options``,
        ``progress``, ``client``.

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
    have the Arrow type that the schema says, in every part, and pandas reads them as nullable dtypes. Equal rows share
    one run across the whole source, unless ``dedupe=False``. ``<target>.manifest.json`` tells what came from which
    group, when, at what price, with which schema.

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
        raise InputError("target=None goes with wait=False: name a file that ends in .parquet, or a directory.")
    if target is None and "checkpoint" not in options:
        raise InputError(
            "target=None needs checkpoint='...': it is named after the target otherwise, and the call that writes one "
            "would not find it, and pay again."
        )
    if isinstance(rows_per_file, bool) or not isinstance(rows_per_file, int) or rows_per_file < 1:
        raise InputError(f"rows_per_file={rows_per_file!r} is no number of rows.")
    address = None
    if target is not None:
        address = place_for(target, find_address(source, what="source"), overwrite=overwrite)
    found = open_source(source)
    preparing = prepared(found, target, schema, options, older_than=older_than, provenance=provenance, for_sending=True)
    stored: list[Place] = []
    with told_if_full(lambda: told_of_stored(stored)), preparing as job:
        if address is not None:
            probe(address)
        with opened(job) as store:
            stored.append(store.folder)
            send_and_wait(job, store, wait=wait)
            statuses: dict[str, int] = {}
            manifest = None
            if wait and address is not None:
                statuses, manifest = write_target(job, store, address, overwrite=overwrite, rows_per_file=rows_per_file)
                raise_for_failures(job, statuses, target=address.shown)
            cost = job.asked.price.of(job.count().sent)
            return EnrichedParquet(
                target=address.shown if wait and address is not None else None,
                rows=job.index.rows,
                counts=statuses,
                cost=None if cost is None else float(cost),
                group_ids=tuple(store.groups),
                checkpoint=str(store.folder),
                manifest=manifest,
                simulated=job.simulated,
            )


def plan_parquet(
    source: str | os.PathLike[str],
    schema: object,
    *,
    target: str | os.PathLike[str] | None = None,
    older_than: float | str | timedelta | None = None,
    **options: Unpack[EnrichOptions],
) -> EnrichmentPlan:
    """Say what `enrich_parquet` would do and cost with these arguments. It sends nothing, and needs no key.

    Parameters
    ----------
    source, schema, target, older_than, **options
        As for `enrich_parquet`; `target` only says which checkpoint is looked at.

    Returns
    -------
    EnrichmentPlan
        As `plan` gives for a frame.

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
    with prepared(source, target, schema, options, older_than=older_than, for_sending=False) as job:
        folder = folder_of(job)
        header = read_header(folder) or {}
        read_patiently(lambda: job.recall(folder, repair=False))
        refuse_strangers(job, folder, header)
        if job.call.refresh:
            job.index.begin_refresh((read_stale(folder) or {}).items())
        return _preview(job, header, checkpoint=str(folder))


def _preview(job: Job, header: Mapping[str, Any], *, checkpoint: str) -> EnrichmentPlan:
    counts, price, client = job.count(), job.asked.price, job.destination.client
    job.agenda.plan_work()
    dialect = dialect_of(header, client.api)
    first = next(read_work(job.asked, job.agenda, at_once=1), None)
    cost, spent = price.of(counts.to_send), price.of(counts.sent)
    seconds = expected_seconds(price, runs=counts.to_send, max_per_minute=client.max_per_minute)
    afford(job, counts)
    return EnrichmentPlan(
        rows=counts.rows,
        chosen=counts.chosen,
        skipped=counts.skipped,
        runs=counts.runs,
        duplicates=counts.chosen - counts.skipped - counts.runs,
        answered=counts.answered,
        awaited=counts.awaited,
        left_out=counts.left_out,
        to_send=counts.to_send,
        processor=job.call.processor,
        price_per_run=None if price.per_run is None else float(price.per_run),
        cost=None if cost is None else float(cost),
        prices_as_of=price.as_of,
        spent=None if spent is None else float(spent),
        seconds=seconds if counts.to_send else 0.0,
        max_per_minute=client.max_per_minute,
        sends=job.asked.selection.names,
        findings=job.asked.findings,
        checkpoint=checkpoint,
        simulated=job.destination.block is not None,
        method_path=f"POST {dialect.group_path()}/{{taskgroup_id}}/runs",
        payload=None if first is None else first_body(first[0], header, dialect, (0, first[1][0].attempt)),
    )
