"""The last pass: the source's batches with their answers beside them, into the target."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from parallel_frames._columns import merge_outcomes
from parallel_frames._files._frames import frame_of
from parallel_frames._files._rows import changed, check_same
from parallel_frames._files._types import PROVENANCE, as_type, check_existing, output_types, provenance_types, widened
from parallel_frames._job._attrs import tell_of_enrichment
from parallel_frames._model import OUTSIDE, SKIPPED, Plan
from parallel_frames._state import Answers
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from parallel_frames._files._ask import Asked
    from parallel_frames._files._gather import Gathered
    from parallel_frames._files._index import Index
    from parallel_frames._files._target import TargetWriter
    from parallel_frames._model import Outcome


def added_types(asked: Asked) -> dict[str, pa.DataType]:
    """Return name and type of every column that the target has beyond, or instead of, the source's."""
    types = output_types(asked.schema, asked.layout)
    if asked.provenance:
        types |= provenance_types(asked.call.prefix)
    return types


def check_added(asked: Asked) -> None:
    """Refuse, before anything is sent, what could not be written afterwards.

    Raises
    ------
    InputError
        A column is there already, or one of the source is of a type that Parquet does not have.
    """
    source = asked.source
    types = added_types(asked)
    provenance = provenance_types(asked.call.prefix) if asked.provenance else {}
    if twice := [name for name in provenance if name in set(map(str, asked.layout.all))]:
        raise InputError(
            f"provenance=True adds {twice[0]!r}, and the schema asks for a field of that name: one column cannot hold "
            "both. Nothing was sent. Rename the field, or leave provenance out."
        )
    taken = [name for name in types if name in source.schema.names and name not in asked.layout.all]
    if taken and asked.call.if_exists not in ("fill", "overwrite"):
        raise InputError(
            f"{source.shown} already has {', '.join(map(repr, taken))}. Nothing was sent. Say prefix='...' for new "
            "names, or if_exists='overwrite' or 'fill'."
        )
    check_existing(source.schema, types, shown=source.shown)
    for field in source.schema:
        try:
            _rehearse(pa.field(field.name, widened(field.type)))
        except pa.ArrowException as error:
            raise InputError(
                f"{source.shown} has {field.name!r} as {field.type}, which Parquet cannot hold. Nothing was sent. "
                "Leave the column out, or give it another type."
            ) from error


def _rehearse(field: pa.Field) -> None:
    """Write a column of no rows and one of a row, and read both again."""
    for rows in (0, 1):
        stream = pa.BufferOutputStream()
        table = pa.table([pa.nulls(rows, field.type)], schema=pa.schema([field]))
        with pq.ParquetWriter(stream, table.schema) as writer:
            writer.write_table(table)
        pq.read_table(stream.getvalue())
    if pa.types.is_fixed_size_list(field.type) and field.type.list_size == 0:
        raise pa.ArrowNotImplementedError("lists of no values cannot be read again")


def write_rows(asked: Asked, index: Index, answers: Gathered, writer: TargetWriter, schema: pa.Schema) -> Counter[str]:
    """Write every row of the source with its answer; return the asked rows by status.

    Raises
    ------
    SourceError
        The rows are not what they were when they were asked about.
    """
    types = added_types(asked)
    counts: Counter[str] = Counter()
    rows = 0
    for start, batch in asked.source.batches():
        rows += batch.num_rows
        known = answers.between(start, start + batch.num_rows)
        columns = {name: batch.column(name) for name in batch.schema.names}
        made, statuses = _new_columns(asked, index, start=start, batch=batch, known=known, types=types)
        columns |= made
        counts.update(statuses)
        writer.write(pa.table([as_type(columns[field.name], field.type) for field in schema], schema=schema))
    if rows != index.rows:
        raise changed(asked)
    return counts


def _new_columns(
    asked: Asked,
    index: Index,
    *,
    start: int,
    batch: pa.RecordBatch,
    known: Mapping[int, Outcome],
    types: Mapping[str, pa.DataType],
) -> tuple[dict[str, Any], Mapping[str, int]]:
    """Return the new columns of a batch, and its asked rows by status."""
    keys: list[str] = []
    outcomes: list[Outcome | None] = []
    sent: set[str] = set()
    row_runs = np.full(batch.num_rows, OUTSIDE, dtype=np.int64)
    asked_rows = list(index.rows_between(start, start + batch.num_rows))
    check_same(asked, index, batch, start, {row: key for row, key, _ in asked_rows})
    for row, key, is_sent in asked_rows:
        row_runs[row - start] = SKIPPED if key is None else len(keys)
        if key is None:
            continue
        keys.append(key)
        outcomes.append(known.get(row))
        if is_sent:
            sent.add(key)
    nothing = [b""] * len(keys)
    plan = Plan(asked.job, keys, nothing, [0] * len(keys), [None] * len(keys), None, row_runs, asked.selection.names)
    merged = merge_outcomes(
        _existing(batch, start, types),
        plan,
        asked.schema,
        answers=Answers.of(outcomes),
        is_sent=sent.__contains__,
        layout=asked.layout,
        dtype_backend="pyarrow",
    )
    made = {
        str(label): as_type(pa.Array.from_pandas(merged.frame[label]), types[str(label)]) for label in asked.layout.all
    }
    return made | _provenance(asked, types, batch, row_runs, outcomes), merged.counts


def _existing(batch: pa.RecordBatch, start: int, types: Mapping[str, pa.DataType]) -> pd.DataFrame:
    """Return the columns that answers are merged into, in the answers' own types."""
    names = [name for name in batch.schema.names if name in types]
    if not names:
        return pd.DataFrame(index=pd.RangeIndex(start, start + batch.num_rows))
    return frame_of(pa.table({name: as_type(batch.column(name), types[name]) for name in names}), start)


def _provenance(
    asked: Asked,
    types: Mapping[str, pa.DataType],
    batch: pa.RecordBatch,
    row_runs: np.ndarray[Any, Any],
    outcomes: list[Outcome | None],
) -> dict[str, Any]:
    """Return which run of which group answered each row, and when; rows without an answer keep what they had."""
    prefix = f"{asked.call.prefix}parallel_"
    if not asked.provenance:
        return {}
    table = [*outcomes, None]
    of_rows = [table[entry] if entry >= 0 else None for entry in row_runs.tolist()]
    times = pd.to_datetime(
        pd.Series([each.modified_at if each else None for each in of_rows], dtype=object),
        utc=True, errors="coerce", format="ISO8601",
    )  # fmt: skip
    made = {
        f"{prefix}run_id": pa.array([each.run_id if each else None for each in of_rows], pa.string()),
        f"{prefix}group_id": pa.array([each.group_id if each else None for each in of_rows], pa.string()),
        f"{prefix}answered_at": pa.Array.from_pandas(times.dt.as_unit("us")).cast(PROVENANCE["answered_at"]),
    }
    had = {name: as_type(batch.column(name), types[name]) for name in made if name in batch.schema.names}
    return made | {name: pc.call_function("coalesce", [made[name], old]) for name, old in had.items()}


def told_of(asked: Asked, told: Mapping[str, Any], *, made: Iterable[str]) -> dict[str, Any]:
    """Return the attrs of the target: those of the source, and what this enrichment made."""
    out = tell_of_enrichment(asked.stub.copy(), asked.stub, layout=asked.layout, told=told)
    words = out.attrs["parallel"]
    words["made"] = list(dict.fromkeys([*words["made"], *made]))
    return {str(name): value for name, value in out.attrs.items()}
