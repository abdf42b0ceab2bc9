"""A frame and a job → the distinct runs it means: everything that can be decided without the network.

Pure: it reads the frame's columns, sends nothing and stores nothing. A `Plan` can be printed, priced and thrown
away.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from parallel_frames._format import did_you_mean, format_option
from parallel_frames._inputs import distinct, hash_identity, make_keys, render_inputs
from parallel_frames._limits import (
    MAX_MCP_SERVERS,
    MAX_METADATA_NAME,
    MAX_METADATA_VALUE,
    MAX_RUN_CHARACTERS,
    MAX_SOURCE_DOMAINS,
    MAX_SPEC_CHARACTERS,
)
from parallel_frames._model import KEY_VERSION, OUTSIDE, Job, Options, Plan
from parallel_frames._schema import parse_schema
from parallel_frames.errors import InputError, SchemaError, UnknownColumnError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from parallel_frames._inputs import Selection
    from parallel_frames._model import Json, Schema

INT64: Final = range(-(2**63), 2**63)
RESERVED: Final = frozenset({"row", "index", "key", "attempt"})
BETAS: Final = "beta_headers"
SCOPE_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,128}")


def make_options(options: Mapping[str, Json] | None) -> Options:
    """Return the user's options, each known by name."""
    if not isinstance(options, Mapping | None):
        raise InputError(f"{format_option('options', options)} must be a mapping of names to values.")
    given = dict(options or {})
    known: dict[str, Any] = {
        "source_policy": dict,
        "advanced_settings": dict,
        "mcp_servers": list,
        "previous_interaction_id": str,
        "memory_scope_key": str,
        "enable_events": bool,
        "webhook": dict,
        BETAS: (str, list, tuple),
    }
    for name, value in given.items():
        if name not in known:
            raise InputError(f"`options` has no {name!r}{did_you_mean(name, known)}; there are {', '.join(known)}.")
        if value is not None and not isinstance(value, known[name]):
            raise InputError(f"options[{name!r}] is a {type(value).__name__}, expected {_named(known[name])}.")
    scope = given.get("memory_scope_key")
    if scope is not None and not SCOPE_KEY.fullmatch(scope):
        raise InputError(
            f"options['memory_scope_key'] is {scope!r}: it must be 1 to 128 of the letters a to z and A to Z, digits, "
            "'_' and '-'. Nothing was sent."
        )
    betas = given.pop(BETAS, None) or ()
    if (servers := len(given.get("mcp_servers") or ())) > MAX_MCP_SERVERS:
        raise InputError(
            f"`options` names {servers} mcp_servers; the service takes {MAX_MCP_SERVERS}. Nothing was sent. Leave out "
            f"{servers - MAX_MCP_SERVERS} of them."
        )
    _check_source_policy(given.get("source_policy"))
    betas = (betas,) if isinstance(betas, str) else tuple(betas)
    for beta in betas:
        if not (isinstance(beta, str) and beta.isascii() and beta.isprintable()):
            raise InputError(f"'beta_headers' in `options` holds {beta!r}, which no HTTP header can carry.")
    return Options(**given, beta_headers=betas)


def _named(kind: Any) -> str:
    return " or ".join(each.__name__ for each in kind) if isinstance(kind, tuple) else kind.__name__


def _check_source_policy(policy: Mapping[str, Json] | None) -> None:
    domains = 0
    for name in ("include_domains", "exclude_domains"):
        listed = (policy or {}).get(name) or []
        if not isinstance(listed, list | tuple):
            raise InputError(f"source_policy[{name!r}] is a {type(listed).__name__}, expected a list of domains.")
        domains += len(listed)
    if domains > MAX_SOURCE_DOMAINS:
        raise InputError(f"source_policy names {domains} domains; the service takes {MAX_SOURCE_DOMAINS}.")


@dataclass(frozen=True, slots=True)
class Inferred:
    """An input schema that was read off a frame: what is sent of it, and the names that identify it."""

    wire: Mapping[str, Json]
    names: tuple[str, ...]


def make_job(schema: Schema, *, input_schema: object, processor: str, options: Options) -> Job:
    """Return what, besides the input, decides an answer; `input_schema` takes any form of a schema, or `Inferred`."""
    spec: dict[str, Json] = {"output_schema": schema.wire}
    identity: dict[str, Json] = {"schema": schema.identity, "processor": processor, **options.identity()}
    if isinstance(input_schema, Inferred):
        spec["input_schema"] = input_schema.wire
        identity["input_schema"] = {"infer": sorted(input_schema.names)}  # types may differ from file to file
    elif input_schema is not None:
        parsed = parse_schema(input_schema)
        if parsed.form == "auto":
            raise SchemaError("`input_schema='auto'` describes nothing; describe the input of a row, or leave it out.")
        spec["input_schema"] = parsed.wire
        identity["input_schema"] = parsed.identity
    if (size := _characters(spec)) > MAX_SPEC_CHARACTERS:
        raise SchemaError(
            f"The task spec has {size:,} characters, schema and input_schema together; the service takes "
            f"{MAX_SPEC_CHARACTERS:,}. Nothing was sent."
        )
    return Job(identity, hash_identity(identity), processor, spec, options)


def with_processor(job: Job, processor: str) -> Job:
    """Return the same question to another processor."""
    identity = {**job.identity, "processor": processor}
    return replace(job, identity=identity, hash=hash_identity(identity), processor=processor)


def _characters(spec: Mapping[str, Json]) -> int:
    return len(orjson.dumps(spec).decode())


def make_plan(
    df: pd.DataFrame,
    job: Job,
    *,
    selection: Selection,
    chosen: np.ndarray[Any, np.dtype[np.bool_]] | None = None,
    dedupe: bool = True,
    occurrences: Callable[[Sequence[bytes | None]], Sequence[int]] | None = None,
    metadata: Mapping[str, Hashable] | None = None,
) -> Plan:
    """Return the distinct runs of a frame.

    Parameters
    ----------
    chosen : numpy.ndarray of bool, optional
        Which rows to ask about. Default: all.
    occurrences : callable, optional
        Tells which of the equal rows each is by their canonical forms, where `df` is a part of a table and
        ``dedupe=False``. Default: counted in `df`.
    """
    of_rows, row_keys, sent = _keyed_rows(df, job, selection, chosen, dedupe=dedupe, occurrences=occurrences)
    of_part, part_runs = distinct(row_keys)
    first = of_rows[of_part]
    row_runs = np.full(len(df), OUTSIDE, dtype=np.int64)
    row_runs[of_rows] = part_runs
    positions = first.tolist()
    inputs = [sent[at] or b"" for at in of_part.tolist()]
    _check_sizes(df, job, inputs, positions)
    return Plan(
        job=job,
        keys=[row_keys[at] or "" for at in of_part.tolist()],
        inputs=inputs,
        positions=positions,
        labels=index_labels(df, positions),
        metadata=_user_metadata(df, metadata, first) if metadata else None,
        row_runs=row_runs,
        sent=selection.names,
    )


def _keyed_rows(
    df: pd.DataFrame,
    job: Job,
    selection: Selection,
    chosen: np.ndarray[Any, np.dtype[np.bool_]] | None,
    *,
    dedupe: bool,
    occurrences: Callable[[Sequence[bytes | None]], Sequence[int]] | None,
) -> tuple[np.ndarray[Any, np.dtype[np.int64]], list[str | None], list[bytes | None]]:
    """Return the positions of the rows asked about, their keys and what they send."""
    if chosen is not None and dedupe:
        of_rows = np.flatnonzero(chosen)
        rendered = render_inputs(df.iloc[of_rows], selection, numbers=of_rows.tolist())
        return of_rows, make_keys(rendered.canonical, job.hash), rendered.sent
    rendered = render_inputs(df, selection)
    numbers = None if dedupe or occurrences is None else occurrences(rendered.canonical)
    keys = make_keys(rendered.canonical, job.hash, dedupe=dedupe, occurrences=numbers)
    if chosen is None:
        return np.arange(len(df)), keys, rendered.sent
    # Which of the equal rows a row is counts the rows that are not asked about, too: its key must not depend on them.
    of_rows = np.flatnonzero(chosen)
    return of_rows, [keys[row] for row in of_rows], [rendered.sent[row] for row in of_rows]


def _check_sizes(df: pd.DataFrame, job: Job, inputs: Sequence[bytes], positions: Sequence[int]) -> None:
    spec = _characters(job.spec)
    room = MAX_RUN_CHARACTERS - spec
    for sent, position in zip(inputs, positions, strict=True):
        if len(sent) > room and (size := len(sent.decode())) > room:
            raise InputError(
                f"Row {position} (index {df.index[position]!r}) has an input of {size:,} characters; with the task "
                f"spec's {spec:,} that is over the service's {MAX_RUN_CHARACTERS:,}. Nothing was sent. Shorten it, or "
                "name fewer columns in `inputs`."
            )


def _user_metadata(
    df: pd.DataFrame, metadata: Mapping[str, Hashable], first: np.ndarray[Any, Any]
) -> list[dict[str, Json]]:
    """Return the user's own metadata of each distinct input's first row."""
    if not isinstance(metadata, Mapping):
        raise InputError(f"{format_option('metadata', metadata)} must map names to columns, as {{'id': 'company_id'}}.")
    columns: dict[str, list[Any]] = {}
    labels = frozenset(df.columns)  # an index of several levels holds parts of its labels, too
    for name, label in metadata.items():
        if not isinstance(name, str) or not 0 < len(name) <= MAX_METADATA_NAME or not _is_unicode(name):
            raise InputError(f"metadata name {name!r} must be a text of 1 to {MAX_METADATA_NAME} characters.")
        if name in RESERVED:
            raise InputError(f"metadata name {name!r} is one of ours ({', '.join(sorted(RESERVED))}); choose another.")
        if not isinstance(label, Hashable) or label not in labels:
            raise UnknownColumnError(label, df.columns, where="`metadata`")
        cells = df[label]
        if cells.ndim != 1:
            raise InputError(f"metadata column {label!r} stands twice in the frame.")
        taken = cells.iloc[first]
        columns[name] = [
            None if missing else _metadata_value(cell, name=name, label=taken.index[at])
            for at, (cell, missing) in enumerate(zip(taken.tolist(), taken.isna().tolist(), strict=True))
        ]
    return [
        {name: values[at] for name, values in columns.items() if values[at] is not None} for at in range(len(first))
    ]


def _metadata_value(cell: object, *, name: str, label: object) -> str | int | float | bool:
    """Return a cell as the service takes it: a text, unless it is a number that JSON has."""
    if isinstance(cell, bool | np.bool_):
        return bool(cell)
    if isinstance(cell, float) and math.isfinite(cell):
        return float(cell)
    if isinstance(cell, int | np.integer) and int(cell) in INT64:
        return int(cell)
    text = str(cell)
    if len(text) > MAX_METADATA_VALUE:
        raise InputError(
            f"metadata {name!r} of the row with index {label!r} has {len(text)} characters; at most "
            f"{MAX_METADATA_VALUE}."
        )
    if not _is_unicode(text):
        raise InputError(
            f"metadata {name!r} of the row with index {label!r} holds half a character, which cannot travel: {text!r}."
        )
    return text


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def group_metadata(job: Job, *, library: str) -> dict[str, Json]:
    """Return what a group says of itself."""
    return {"key_version": KEY_VERSION, "job": job.hash, "processor": job.processor[:512], "library": library}


def index_labels(df: pd.DataFrame, positions: Sequence[int] | np.ndarray[Any, Any]) -> list[str | None]:
    """Return the index labels of the rows at these positions as text, for people who read a run's metadata.

    They identify nothing. The parts of a MultiIndex label are joined by ``/``. A text that is longer than metadata may
    be, or is not Unicode that can travel, is None: half a label misleads.
    """
    index = df.index.take(np.asarray(positions, dtype="int64"))
    if index.dtype.kind == "i":
        return list(map(str, index.tolist()))
    texts = map("/".join, (map(str, label) for label in index)) if index.nlevels > 1 else map(str, index.tolist())
    return [text if len(text) <= MAX_METADATA_VALUE and _is_unicode(text) else None for text in texts]
