"""Which way a table goes through the library: in memory, or from file to Parquet in bounded memory."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

import parallel_frames as pf
from parallel_frames._cli._exits import LeftInGroupsError, StoppedError
from parallel_frames._cli._formats import PIPE, format_of
from parallel_frames._cli._frames import (
    BARE,
    TEXTS,
    check_checkpoint,
    check_target,
    holds_same,
    read_frame,
    rehearse,
    with_texts,
    write_frame,
    write_rows,
)
from parallel_frames._cli._left_open import LeftOpen
from parallel_frames._cli._speech import say
from parallel_frames._files._json import TEXT_COLUMN
from parallel_frames._files._target import target_exists
from parallel_frames._inputs import NO_COLUMN, named_columns
from parallel_frames._job._offline import choose_destination
from parallel_frames.accessor import prepare_enrichment
from parallel_frames.errors import InputError, ParallelFramesError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from parallel_frames import Enrichment, EnrichmentPlan
    from parallel_frames._file_formats import Format


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command was asked for: from where to where, what to find out, and how."""

    source: str
    target: str | None
    schema: Any
    options: Mapping[str, Any]
    overwrite: bool = False
    rows_per_file: int | None = None
    source_format: Format | None = None
    target_format: Format | None = None
    as_completed: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an enrichment, as `parallel_frames.enrich_parquet` tells it too."""

    target: str
    rows: int
    counts: Mapping[str, int]
    cost: float | None
    extra_cost: str
    group_ids: tuple[str, ...]
    checkpoint: str | None
    simulated: bool = False


class Way(Protocol):
    """From a source to a target."""

    def check(self) -> Done | None:
        """Refuse a target that cannot be, before anything is asked; return what this very command wrote before."""
        ...

    def plan(self) -> EnrichmentPlan:
        """Say what it would do and cost."""
        ...

    def enrich(self) -> Done:
        """Do it, and write the target."""
        ...

    def submit(self) -> Done:
        """Send everything, and write nothing."""
        ...


def choose_way(asked: Asked) -> Way:
    """Return how it goes: from file to Parquet in bounded memory where the library can, or else in memory."""
    if asked.as_completed:
        from parallel_frames._cli._as_completed import AsCompleted

        return AsCompleted(asked)
    if asked.target_format is not None:
        format_of(asked.target or PIPE, asked.target_format, option="--to")
    if asked.source_format is not None:
        format_of(asked.source, asked.source_format, option="--from")
    if is_parquet(asked.target) and asked.source != PIPE:
        return FileToFile(asked)
    if asked.rows_per_file is not None:
        raise click.UsageError("--rows-per-file is for a Parquet target that is made from a file.")
    return InMemory(asked)


def is_parquet(target: str | None) -> bool:
    """Return whether a target is Parquet: by its ending, or as a directory of parts, which has none."""
    if target in (None, PIPE):
        return False
    name = str(target).rstrip("/").rpartition("/")[2]
    return "." not in name or str(target).endswith("/") or format_of(name) == "parquet"


def as_typed(target: str | None) -> str | None:
    """Return a target without a slash at its end where it names a file: ``out.parquet/`` is ``out.parquet``."""
    bare = (target or "").rstrip("/")
    return bare if bare.lower().endswith((".parquet", ".pq")) else target


class FileToFile:
    """From any file to a Parquet file, a part at a time."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def check(self) -> Done | None:
        """Refuse a target that cannot be, before anything is asked; return what this very command wrote before."""
        from parallel_frames._files import ROWS_PER_FILE, find_finished

        asked = self._asked
        done = find_finished(
            asked.source,
            str(asked.target),
            asked.schema,
            overwrite=asked.overwrite,
            rows_per_file=asked.rows_per_file or ROWS_PER_FILE,
            options=asked.options,
        )
        return None if done is None else self._as_done(done)

    def plan(self) -> EnrichmentPlan:
        """Say what it would do and cost."""
        asked = self._asked
        return pf.plan_parquet(asked.source, asked.schema, target=asked.target, **asked.options)

    def enrich(self) -> Done:
        """Do it, and write the target."""
        from parallel_frames._files import ROWS_PER_FILE

        asked = self._asked
        done = pf.enrich_parquet(
            asked.source,
            asked.target,
            asked.schema,
            overwrite=asked.overwrite,
            rows_per_file=asked.rows_per_file or ROWS_PER_FILE,
            **asked.options,
        )
        return self._as_done(done)

    def submit(self) -> Done:
        """Send everything, and write nothing."""
        asked = self._asked
        done = pf.enrich_parquet(asked.source, asked.target, asked.schema, wait=False, overwrite=True, **asked.options)
        return self._as_done(done)

    @staticmethod
    def _as_done(done: pf.EnrichedParquet) -> Done:
        return Done(
            str(done.target), done.rows, done.counts, done.cost, done.extra_cost, tuple(done.group_ids),
            done.checkpoint, done.simulated,
        )  # fmt: skip


class InMemory:
    """Any file or pipe, whole in memory."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._read: pd.DataFrame | None = None
        self._is_bare = False
        self._texts: pd.DataFrame | None = None
        self._target_format: Format = format_of(asked.target or PIPE, asked.target_format, option="--to")

    def check(self) -> Done | None:
        """Refuse a target that cannot be, before anything is asked; return what this very command wrote before."""
        asked, target = self._asked, self._asked.target or PIPE
        is_there = target != PIPE and not asked.overwrite and Path(target).is_file()
        overwrite = asked.overwrite or is_there
        check_target(target, source=asked.source, overwrite=overwrite, checkpoint=asked.options["checkpoint"])
        if not is_there:
            return None
        try:
            done = self._written()
            is_known = done is not None or self._left_open.is_there()
        except ParallelFramesError as error:  # what is wrong besides comes second
            raise target_exists(target) from error
        if not is_known:
            raise target_exists(target)
        return done

    @cached_property
    def _left_open(self) -> LeftOpen:
        prepared = self._enrichment(self._options)._runner.prepared
        return LeftOpen(str(self._asked.target), self.frame, prepared, choose_destination(prepared.call.client))

    def _written(self) -> Done | None:
        """Return what became of this command when it wrote what is there; None where it would write something else."""
        if self._asked.options["refresh"]:
            return None
        options = {**self._options, "retry_failed": False, "progress": False}
        plan = self._plan(options)
        if plan.to_send or plan.awaited:
            return None
        written = io.BytesIO()
        target, kind = str(self._asked.target), self._target_format
        enrichment = self._enrichment(options)
        done = self._run(enrichment, lambda out: write_rows(out, written, kind, target=target))
        return done if holds_same(Path(target), written.getvalue()) else None

    @property
    def frame(self) -> pd.DataFrame:
        """The source's rows, read once."""
        if self._read is None:
            self._read = read_frame(self._asked.source, self._asked.source_format)
            self._is_bare = self._read.attrs.pop(BARE, False)
            self._texts = self._read.attrs.pop(TEXTS, None)
            if self._read.shape == (0, 0):  # nothing new in a pipe says no columns either
                options = self._asked.options
                self._read = self._read.reindex(columns=named_columns(options["inputs"], options["metadata"]))
        return self._read

    @property
    def _options(self) -> Mapping[str, Any]:
        """The options of the library; a bare text is sent as it is."""
        options = self._asked.options
        is_bare = options["inputs"] is None and len(self.frame) and self._is_bare
        return {**options, "inputs": TEXT_COLUMN} if is_bare else options

    def _enrichment(self, options: Mapping[str, Any]) -> Enrichment:
        target = None if self._asked.target == PIPE else self._asked.target
        return prepare_enrichment(self.frame, self._asked.schema, options, target=target)

    def _plan(self, options: Mapping[str, Any]) -> EnrichmentPlan:
        from parallel_frames._job._preview import plan_call

        return plan_call(self._enrichment(options)._runner.source)

    def plan(self) -> EnrichmentPlan:
        """Say what it would do and cost."""
        return self._plan(self._options)

    def enrich(self) -> Done:
        """Do it, and write the target."""
        target = self._asked.target or PIPE
        self.check()
        rehearse(self.frame, target, self._target_format)

        def write(out: pd.DataFrame) -> None:
            try:
                overwrite = self._asked.overwrite or (target != PIPE and self._left_open.is_there())
                write_frame(out, target, self._target_format, overwrite=overwrite)
            except InputError as error:  # paid for, and safe in the checkpoint: no bad input any more
                raise ParallelFramesError(str(error)) from error

        done = self._run(self._enrichment(self._options), write)
        if target != PIPE:
            self._left_open.note(done.counts)
        return done

    def _run(self, enrichment: Enrichment, write: Callable[[pd.DataFrame], None]) -> Done:
        try:
            out = enrichment._run_into(lambda frame: write(self._as_written(frame)))
        except (KeyboardInterrupt, StoppedError, ParallelFramesError) as error:
            # Without a checkpoint the same command would pay again.
            is_left = enrichment.checkpoint is None and enrichment.group_ids
            if not is_left or getattr(error, "safety", None) is not None:
                raise
            if isinstance(error, KeyboardInterrupt):
                if (safety := enrichment._runner.safety()) is not None:
                    say(f"Stopped: {safety.state}.{safety.continues}")
                raise LeftInGroupsError(enrichment.group_ids) from None
            reason = error.message if isinstance(error, StoppedError) else str(error) or None
            raise LeftInGroupsError(enrichment.group_ids, reason) from None
        facts = out.attrs["parallel"]["enrichments"][-1]
        return Done(
            self._asked.target or PIPE,
            len(out),
            facts["rows"],
            enrichment.cost,
            enrichment.extra_cost,
            tuple(facts["group_ids"]),
            facts["checkpoint"],
            facts["simulated"],
        )

    def _as_written(self, out: pd.DataFrame) -> pd.DataFrame:
        """Return the rows for the target: from CSV to CSV with the source's cells as they stand there."""
        out = out.drop(columns=NO_COLUMN, errors="ignore")
        return with_texts(out, self.frame, self._texts) if self._target_format in ("csv", "tsv") else out

    def submit(self) -> Done:
        """Send everything, and write nothing."""
        check_checkpoint(self._asked.options["checkpoint"], self._asked.target)
        enrichment = self._enrichment(self._options)
        run = enrichment._wait_for(enrichment._send)
        simulated = run._runner.simulated
        return Done("", len(self.frame), {}, run.cost, run.extra_cost, run.group_ids, run.checkpoint, simulated)
