"""Columns of plain values as tokens, normalised once per type rather than once per cell.

It owns `Tokens`, two lists side by side with one entry per row, None where a cell is missing. It refuses to know how
a column is stored (that is `_columns` and `_arrow`) and which rows these are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from parallel_frames._inputs import _canonical_v1 as form
from parallel_frames._inputs import _times as times
from parallel_frames._inputs import _wire as wire
from parallel_frames._inputs._cells import as_read, pair_of, real_pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from parallel_frames._inputs._cells import Pair

Texts: TypeAlias = "list[str | None]"
Array: TypeAlias = "np.ndarray[Any, Any]"
_EXACT = 2.0**53


@dataclass(frozen=True, slots=True)
class Tokens:
    """One column of one slice: for each row the JSON that travels and the one that identifies it."""

    wire: Texts
    canonical: Texts

    @classmethod
    def same(cls, tokens: Texts) -> Tokens:
        """Make tokens of values that identify as they travel."""
        return cls(tokens, tokens)

    @classmethod
    def of_ascii(cls, texts: Texts) -> Tokens:
        """Make tokens of texts that need no escaping and whose canonical form is themselves."""
        return cls.same([text and f'"{text}"' for text in texts])

    @classmethod
    def of_pairs(cls, pairs: Sequence[Pair | None]) -> Tokens:
        return cls([pair and pair[0] for pair in pairs], [pair and pair[1] for pair in pairs])

    def pairs(self) -> Iterator[Pair | None]:
        for sent, canonical in zip(self.wire, self.canonical, strict=True):
            yield None if sent is None or canonical is None else (sent, canonical)

    def without(self, missing: Array) -> Tokens:
        """Return the tokens with those rows missing."""
        if not missing.any():
            return self
        sent, canonical = list(self.wire), list(self.canonical)
        for position in np.flatnonzero(missing).tolist():
            sent[position] = canonical[position] = None
        return Tokens(sent, canonical)

    def take(self, codes: Array) -> Tokens:
        """Return the tokens at these positions, -1 being a missing row."""
        places = codes.tolist()
        sent, canonical = [*self.wire, None], [*self.canonical, None]
        return Tokens([sent[place] for place in places], [canonical[place] for place in places])


def strings(texts: Sequence[Any]) -> Tokens:
    """Return the tokens of texts, whatever is not text being missing."""
    quote = wire.quote
    sent: Texts = [quote(text) if isinstance(text, str) else None for text in texts]
    dated = [row for row, token in enumerate(sent) if token is not None and token[5:6] == "-"]
    if not dated:
        return Tokens.same(sent)
    canonical = list(sent)
    for row in dated:
        canonical[row] = form.text(texts[row])
    return Tokens(sent, canonical)


def integers(values: Array) -> Tokens:
    return Tokens.same(list(map(str, values.tolist())))


def truths(values: Array) -> Tokens:
    return Tokens.same(["true" if value else "false" for value in values.tolist()])


def reals(values: Array) -> Tokens:
    """Return the tokens of floats of any width, NaN being missing."""
    if values.dtype.itemsize < 8:
        values = _shortest(values)
    values = values.astype("float64")
    missing = np.isnan(values)
    size = np.abs(np.where(missing, 0, values))
    if (size > _EXACT).any():
        return Tokens.of_pairs([real_pair(value) for value in values.tolist()])
    whole = np.where(missing, 0, values).astype("int64")
    integral = whole == values
    if (integral | missing).all():
        return integers(whole).without(missing)
    texts: Texts = list(map(repr, values.tolist()))
    for row in np.flatnonzero(integral).tolist():
        texts[row] = str(int(whole[row]))
    return Tokens.same(texts).without(missing)


def _shortest(values: Array) -> Array:
    if values.dtype.itemsize == 4:  # Arrow writes the same digits, and does it faster
        doubles: Array = pa.array(values).cast(pa.string()).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return doubles
    return np.array(list(map(as_read, values)), dtype="float64")


def moments(values: Any) -> Tokens:
    """Return the tokens of a pandas array of datetimes with a zone."""
    utc, wall = np.asarray(values.tz_convert(None)), np.asarray(values.tz_localize(None))
    sent, canonical = times.zoned(utc, wall)
    return Tokens([text and f'"{text}"' for text in sent], canonical)


def days(values: Array) -> Tokens:
    texts = times.days(values)
    canonical = [text if text is None else form.text(text) for text in texts]
    return Tokens([text and f'"{text}"' for text in texts], canonical)


def cells(values: Iterable[Any]) -> Tokens:
    return Tokens.of_pairs([pair_of(value) for value in values])


def spelt(values: Any) -> Tokens:
    """Return the tokens of periods or intervals in a pandas array, by their texts."""
    return strings([str(value) for value in values]).without(np.asarray(values.isna()))


def take(codes: Array, convert: Callable[[Array], Tokens]) -> Tokens:
    """Return the tokens of coded values, converting only the values these rows use; -1 is missing."""
    used, places = np.unique(codes, return_inverse=True)
    gap = bool(len(used) and used[0] < 0)
    places = places.reshape(-1) - gap
    return convert(used[1:] if gap else used).take(places)
