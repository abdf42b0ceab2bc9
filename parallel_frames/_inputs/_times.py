"""Dates, moments, clock times and durations as ISO 8601, a column at a time.

It owns one spelling for every type and unit that names the same thing: fractions without trailing zeros, the zone
as an offset, durations as ``-P1DT2H3M4.5S``. It works on integers since the epoch, because that is exact at every
unit and never overflows. It refuses to know which library a column came from.
"""

from __future__ import annotations

from datetime import datetime, time, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from parallel_frames._inputs import _canonical_v1 as form

if TYPE_CHECKING:
    from collections.abc import Sequence

Pair: TypeAlias = tuple[str, str]
Texts: TypeAlias = "list[str | None]"
Array: TypeAlias = "np.ndarray[Any, Any]"

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}
_DIGITS = {per: len(str(per)) - 1 for per in _PER_SECOND.values()}
_FIRST, _LAST = np.datetime64("0001-01-01T00:00:00"), np.datetime64("9999-12-31T23:59:59")


def moments(values: Array) -> Texts:
    """Return the ISO text of each datetime64, None for NaT."""
    counts, per = _count(values)
    texts: Texts = np.datetime_as_string((counts // per).astype("M8[s]")).tolist()
    if per > 1 and (fractions := counts % per).any():
        texts = [f"{text}{_fraction(part, per)}" for text, part in zip(texts, fractions.tolist(), strict=True)]
    return _with_gaps(texts, np.isnat(values))


def days(values: Array) -> Texts:
    return _with_gaps(np.datetime_as_string(values.astype("M8[D]")).tolist(), np.isnat(values))


def zoned(utc: Array, wall: Array) -> tuple[Texts, Texts]:
    """Return the texts that travel and the canonical tokens of moments given in UTC and on the wall.

    An offset with seconds (zones before standard time) is no ISO 8601, so such a moment travels in UTC.
    """
    behind, per = _count(utc)
    ahead, _ = _count(wall)
    offsets = (ahead - behind) // per
    odd = offsets % 60 != 0
    local = moments(np.where(odd, utc, wall))
    names = {offset: offset_text(offset) for offset in np.unique(np.where(odd, 0, offsets)).tolist()}
    sent: Texts = [
        text and text + names[offset] for text, offset in zip(local, np.where(odd, 0, offsets).tolist(), strict=True)
    ]
    seconds = utc.astype("M8[s]")[~np.isnat(utc)]
    if len(seconds) and (seconds.min() < _FIRST or seconds.max() > _LAST):
        return sent, [text if text is None else form.text(text) for text in sent]
    return sent, [text and f'"{text}Z"' for text in moments(utc)]


def durations(values: Array) -> Texts:
    counts, per = _count(values)
    return _with_gaps([_duration(count, per) for count in counts.tolist()], np.isnat(values))


def clock_times(counts: Sequence[int], unit: str) -> list[str]:
    per = _PER_SECOND[unit]
    return [_clock(*divmod(count, per), per) for count in counts]


def moment_text(moment: datetime | time) -> str:
    """Return the ISO text of one datetime, Timestamp or time of day."""
    offset = moment.utcoffset()
    if isinstance(moment, datetime) and offset is not None and offset % timedelta(minutes=1):
        return moment_text(moment.astimezone(timezone.utc))  # noqa: UP017 - the same object, and pandas knows it
    text = moment.replace(tzinfo=None).isoformat()
    text = text.rstrip("0") if "." in text else text
    return text if offset is None else text + offset_text(offset // timedelta(seconds=1))


def timedelta_text(span: timedelta) -> str:
    """Return the ISO 8601 duration of one timedelta of the standard library."""
    return _duration(span // timedelta(microseconds=1), 10**6)


def offset_text(seconds: int) -> str:
    """Return ``+01:00`` for 3600."""
    hours, rest = divmod(abs(seconds), 3600)
    return f"{'-' if seconds < 0 else '+'}{hours:02d}:{rest // 60:02d}"


def _count(values: Array) -> tuple[Array, int]:
    """Return whole numbers since the epoch (or of a span) and how many of them make a second; NaT counts 0."""
    unit = np.datetime_data(values.dtype)[0]
    unit = unit if unit in _PER_SECOND else "s"
    plain = values.astype(f"{values.dtype.kind}8[{unit}]")
    return np.where(np.isnat(plain), 0, plain.view("int64")), _PER_SECOND[unit]


def _with_gaps(texts: list[Any], missing: Array) -> Texts:
    for position in np.flatnonzero(missing).tolist():
        texts[position] = None
    return texts


def _fraction(part: int, per: int) -> str:
    return f".{part:0{_DIGITS[per]}d}".rstrip("0") if part else ""


def _clock(seconds: int, part: int, per: int) -> str:
    minutes, second = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}{_fraction(part, per)}"


def _duration(count: int, per: int) -> str:
    seconds, part = divmod(abs(count), per)
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    day, hour = divmod(hours, 24)
    clock = (f"{hour}H" if hour else "") + (f"{minute}M" if minute else "")
    if second or part or not (day or clock):
        clock += f"{second}{_fraction(part, per)}S"
    return f"{'-' if count < 0 else ''}P{f'{day}D' if day else ''}{f'T{clock}' if clock else ''}"
