"""The identity of runs: a canonical form and a job become 32 hexadecimal digits, equal ones share a run.

It owns the framing that is hashed, with its version number, and the grouping of equal rows. It refuses to know how a
canonical form is made: bytes come in. A key depends on nothing but its arguments, on any machine and any version of
pandas; golden vectors hold it to that.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from hashlib import blake2b
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from parallel_frames._model import KEY_VERSION
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from parallel_frames._model import Json


def make_key(canonical: bytes, job_hash: str, *, occurrence: int | None = None) -> str:
    """Return the key of an input in its canonical form: 32 hexadecimal digits.

    `occurrence` is which of the equal rows it is, from 0, where equal rows do not share a run.
    """
    return _finish(_start(job_hash, occurrence), canonical)


def make_keys(
    canonicals: Sequence[bytes | None], job_hash: str, *, dedupe: bool = True, occurrences: Sequence[int] | None = None
) -> list[str | None]:
    """Return the key of each canonical form, None for None, which is a row with nothing to send.

    Without `dedupe`, equal rows have the number of their occurrence in their keys: those of `occurrences`, where the
    rows are a part of a table, or else counted from 0.
    """
    if not dedupe:
        pairs = zip(canonicals, occurrences or _count_equal(canonicals), strict=True)
        return [None if sent is None else make_key(sent, job_hash, occurrence=number) for sent, number in pairs]
    start = _start(job_hash, None)
    return [None if canonical is None else _finish(start, canonical) for canonical in canonicals]


def distinct(values: Sequence[Hashable | None]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the first row of each distinct value, in order of appearance, and for each row its entry there.

    A value is a key or a canonical form; None is a row with nothing to send, whose entry is -1.
    """
    numbers: dict[Hashable | None, int] = dict.fromkeys(values, 0)
    numbers.pop(None, None)
    if len(numbers) == len(values):
        return np.arange(len(values)), np.arange(len(values))
    numbers = {value: number for number, value in enumerate(numbers)}
    first = np.empty(len(numbers), dtype="int64")
    numbers[None] = -1
    entries = np.fromiter(map(numbers.__getitem__, values), dtype="int64", count=len(values))
    sent = np.flatnonzero(entries >= 0)[::-1]
    first[entries[sent]] = sent  # backwards, so that the first row of each value is the last one written
    return first, entries


def hash_identity(identity: Mapping[str, Json]) -> str:
    """Return 32 hexadecimal digits over a mapping that is JSON; the order of names does not matter, nulls do."""
    try:
        text = json.dumps(
            identity, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_as_dict
        )
        return blake2b(text.encode(), digest_size=16).hexdigest()
    except (TypeError, ValueError) as problem:
        raise InputError(f"What identifies this job is not JSON: {problem}.") from None


def _start(job_hash: str, occurrence: int | None) -> blake2b:
    if "\n" in job_hash:
        raise InputError(f"A job's hash is one line; {job_hash!r} is not.")
    # Lines, then the canonical form up to the end: no two inputs can be framed alike.
    number = "shared" if occurrence is None else str(occurrence)
    return blake2b(f"parallel_frames\n{KEY_VERSION}\n{job_hash}\n{number}\n".encode(), digest_size=16)


def _finish(start: blake2b, canonical: bytes) -> str:
    digest = start.copy()
    digest.update(canonical)
    return digest.hexdigest()


def _count_equal(canonicals: Sequence[bytes | None]) -> list[int]:
    """Return how many equal ones stand before each."""
    seen: defaultdict[bytes | None, count[int]] = defaultdict(count)
    return [next(seen[canonical]) for canonical in canonicals]


def _as_dict(value: object) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an object of type {type(value).__name__} is not JSON")
