"""One call about a frame that an engine holds: keys on the engine, runs from here, answers by key.

The engine makes keys and looks answers up, as often as it likes; sending is this process's alone, by the runner of
frames and files. An engine is known by four methods, `EngineFrame`.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

import pyarrow as pa

from parallel_frames._checkpoint import (
    ANSWERS,
    LocalPath,
    make_keyed_folder,
    new_staging,
    place_of,
    remove_folder,
)
from parallel_frames._distributed._answers import AnswerLookup, AnswerWriter
from parallel_frames._distributed._keys import InputStager, KeyMaker
from parallel_frames._distributed._source import StagedSource
from parallel_frames._files._types import check_existing, output_types
from parallel_frames._format import format_count, format_option
from parallel_frames._job._attrs import write_attrs
from parallel_frames._job._checkpoints import job_folder
from parallel_frames._job._defaults import make_call
from parallel_frames._job._engines import refuse_task
from parallel_frames._job._handle import Enrichment, failures
from parallel_frames._job._offline import choose_destination
from parallel_frames._job._prepare import columns_needed, prepare
from parallel_frames._job._preview import plan_call
from parallel_frames._job._runner import JobRunner
from parallel_frames._model import STATUSES
from parallel_frames.errors import EnrichmentError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

    import pandas as pd

    from parallel_frames._checkpoint import StoragePath
    from parallel_frames._distributed._keys import StagedFile
    from parallel_frames._job._offline import Destination
    from parallel_frames._job._options import Call
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._preview import EnrichmentPlan
    from parallel_frames._job._runner import Results

# Options that an engine's frame does not have, with their defaults, and why.
REFUSED: Final[Mapping[str, tuple[object, str]]] = {
    "dedupe": (True, "which of the equal rows a row is depends on the partitions, which an engine may change"),
    "group_id": (None, "runs of other programs are found by the numbers of rows, and an engine's rows have none"),
    "escalate": (
        None,
        (
            "which rows go to the next processor is decided by their answers, and only the engine joins those to rows. "
            "Call again with the next `processor`, `where=pf.low_confidence` and `if_exists='overwrite'`"
        ),
    ),
    "on_row": (None, "which rows an answer belongs to, only the engine knows"),
}


class EngineFrame(Protocol):
    """A frame that an engine holds, and what the engine is to do with it.

    Attributes
    ----------
    engine : str
        Its name, in messages.
    partitions : int
        0 where they are not counted before they are computed.
    is_local : bool
        Whether all of its workers are on this machine.
    is_arrow : bool
        Whether its columns have Arrow's types, rather than those of pandas.
    """

    engine: str
    partitions: int
    is_local: bool
    is_arrow: bool

    def empty(self) -> pd.DataFrame:
        """Return the frame without rows: its columns, dtypes, index and attrs."""
        ...

    def sample(self, labels: Sequence[Hashable]) -> pd.DataFrame:
        """Return some rows of these columns, to infer types from."""
        ...

    def stage(self, stager: InputStager, columns: Sequence[Hashable] | None) -> Sequence[StagedFile]:
        """Call `stager` with each batch and its partition, a number or a name; return what it returned.

        Batches need these columns only; None is all of them.
        """
        ...

    def merge(self, lookup: AnswerLookup) -> Any:
        """Return the lazy frame that has each batch as `lookup` returns it."""
        ...


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """A call about an engine's frame, prepared: where it goes, and the job's folder."""

    frame: EngineFrame
    prepared: PreparedCall
    destination: Destination
    folder: StoragePath


class EngineEnrichment(Enrichment):
    """The handle of an enrichment of an engine's frame: its result is a lazy frame.

    What it shows of single rows, in `errors` and `report`, is of distinct inputs.
    """

    def __init__(self, source: StagedSource, call: PreparedFrame, *, again: Callable[[], EngineEnrichment]) -> None:
        runner = JobRunner(source)
        runner.scan()  # from here on the inputs are in the index, and the staged files not needed
        runner.destination = call.destination
        super().__init__(runner)
        self._source = source
        self._engine_frame = call.frame
        self._job_folder = call.folder
        self._make_again = again

    def _again(self) -> Enrichment:
        return self._make_again()

    def __iter__(self) -> NoReturn:
        """Refuse: rows are with the engine."""
        name = self._engine_frame.engine
        raise InputError(
            f"The rows of a frame of {name} are not known here, only the keys of their inputs. `result()` returns the "
            "lazy frame that has them."
        )

    def partial(self) -> Any:
        """Return a lazy frame with what is known so far."""
        self._catch_up()
        lookup, _ = self._write_answers(self._runner.results())
        return self._engine_frame.merge(lookup)

    def _deliver(self, results: Results[Any]) -> Any:
        """Return the lazy frame, or raise it where failures are to raise."""
        lookup, counts = self._write_answers(results)
        results.statuses = counts
        frame = self._engine_frame.merge(lookup)
        if problems := failures(counts, on_error=self._runner.prepared.call.on_error):
            raise EnrichmentError(
                f"{problems} of {format_count(results.index.rows, 'row')}; everything is stored, and this exception "
                "has the frame as .frame. Run the same again to try failed rows again.",
                frame=frame,
            )
        return frame

    def _write_answers(self, results: Results[Any]) -> tuple[AnswerLookup, Mapping[str, int]]:
        """Write what is known for the workers, and return what looks it up, and the rows by status."""
        prepared = self._runner.prepared
        layout, call = prepared.layout, prepared.call
        folder = self._job_folder / ANSWERS
        writer, counts = AnswerWriter(folder), Counter[str]()
        for piece, answers in self._source.answered(results, layout):
            counts.update(piece.counts)
            writer.add(
                (key, results.unanswered(key, is_sent=was_sent) if outcome is None else outcome)
                for key, outcome, was_sent in answers
            )
        writer.flush()
        by_status: dict[str, int] = {status: counts[status] for status in STATUSES if counts[status]}
        attrs = write_attrs(
            prepared.frame.copy(),
            prepared.frame,
            layout=layout,
            facts=self._runner.facts(by_status),
            sends=prepared.sends_by_default,
        ).attrs
        lookup = AnswerLookup(
            keys=KeyMaker.of(prepared),
            schema=prepared.schema,
            layout=layout,
            renewal=prepared.renewal,
            dtype_backend=call.dtype_backend,
            folder=str(folder),
            files=tuple(writer.files),
            attrs=attrs,
        )
        return lookup, by_status


def prepare_frame(frame: EngineFrame, schema: object, options: Mapping[str, Any], *, sends: bool) -> PreparedFrame:
    """Return the call prepared; nothing is computed by the engine, but for a sample with ``input_schema="infer"``."""
    call = make_call(options, of_arrow=frame.is_arrow)
    _check_options(frame, call)
    if sends and call.checkpoint == "auto":
        refuse_task()  # before the engine computes anything
    if frame.is_arrow:
        call = replace(call, dtype_backend="pyarrow")
    if call.checkpoint != "auto":
        place = place_of(call.checkpoint)  # a worker has another working directory
        call = replace(call, checkpoint=place.path.absolute() if isinstance(place, LocalPath) else str(place))
    prepared = replace(
        prepare(frame.empty(), schema, call, sample=frame.sample), engine=frame.engine, partitions=frame.partitions
    )
    _check_existing(prepared)
    destination = choose_destination(call.client, for_sending=sends)
    return PreparedFrame(frame, prepared, destination, job_folder(prepared, destination, runs=0))


def _check_existing(prepared: PreparedCall) -> None:
    """Refuse a column that cannot hold the answers by its type: each partition would have another type."""
    types = output_types(prepared.schema, prepared.layout)
    existing = [label for label in prepared.layout.outputs if label in prepared.frame.columns]
    if existing:
        columns = pa.Schema.from_pandas(prepared.frame[existing], preserve_index=False)
        check_existing(columns, types, shown="The frame")


def _check_options(frame: EngineFrame, call: Call) -> None:
    for name, (default, reason) in REFUSED.items():
        if getattr(call, name) != default:
            given = getattr(call, name)
            shown = format_option(name, given) if isinstance(given, str | bool) else f"`{name}`"
            raise InputError(f"{shown} is not for frames of {frame.engine}: {reason}. Nothing was sent.")
    if frame.is_arrow and call.dtype_backend != "numpy_nullable":
        raise InputError(f"`dtype_backend` is for pandas frames: columns of {frame.engine} have Arrow types.")
    if call.checkpoint is None:
        raise InputError(
            f"`checkpoint=None` is not for frames of {frame.engine}: workers read the answers from the checkpoint. "
            "Nothing was sent."
        )
    if call.where is not None and not isinstance(call.where, str) and not callable(call.where):
        raise InputError(
            "`where` must be 'missing', 'failed' or a function of a batch of rows; a mask is for pandas frames. "
            "Nothing was sent."
        )
    if call.checkpoint == "auto" and not frame.is_local:
        raise InputError(
            "`checkpoint='auto'` is a folder of this machine, and workers may be on others. Nothing was sent. Pass a "
            "folder or an address that every machine sees, such as `checkpoint='s3://bucket/companies.ckpt'`."
        )


@contextmanager
def staged_source(call: PreparedFrame, *, keep: bool = False) -> Iterator[StagedSource]:
    """Have the engine make the keys of all rows, and give them as a source; the files go, unless they are to stay."""
    folder = new_staging(call.folder)
    new = [place for place in (folder.parent, call.folder, call.folder.parent) if not place.exists()]
    make_keyed_folder(folder)
    is_kept = False
    try:
        stager = InputStager(KeyMaker.of(call.prepared), str(folder))
        files = call.frame.stage(stager, columns_needed(call.prepared))
        batches = Counter(file.name for file in files)  # those with the same rows are one file
        yield StagedSource(call.prepared, {folder / file.name: (file.lines, batches[file.name]) for file in files})
        is_kept = keep
    finally:
        if not is_kept:
            remove_folder(folder, above=new)


def engine_enrichment(frame: EngineFrame, schema: object, options: Mapping[str, Any]) -> EngineEnrichment:
    """Have the engine make the keys, and return the handle, before anything is sent."""
    call = prepare_frame(frame, schema, options, sends=True)
    with staged_source(call) as source:
        return EngineEnrichment(source, call, again=lambda: engine_enrichment(frame, schema, options))


def plan_frame(frame: EngineFrame, schema: object, options: Mapping[str, Any]) -> EnrichmentPlan:
    """Have the engine make the keys, and say what would be sent."""
    with staged_source(prepare_frame(frame, schema, options, sends=False)) as source:
        return plan_call(source)
