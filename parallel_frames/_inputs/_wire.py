"""The JSON of single values as it travels: what the service reads.

It owns the choices a reader notices: integral floats are written as integers (a year stays 2019 when a missing cell
made its column float), and what 64 bits cannot hold travels as text with all its digits, because a JSON reader would
round it. It refuses to know types beyond text and numbers.
"""

from __future__ import annotations

import math
from json.encoder import encode_basestring
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from decimal import Decimal

MOST_BITS = 13_000  # about 3,900 digits: str() of an int stops at 4,300
MOST_ZEROS = 100  # zeros a Decimal's exponent may write out before it travels as 1E+200


class UnusableCellError(Exception):
    """A cell has no JSON; `advice` says what to do about it. It never leaves this package.

    Converters work on whole columns and do not track positions: whoever called them finds the row by halving.
    """

    def __init__(self, reason: str, advice: str) -> None:
        self.reason = reason
        self.advice = advice
        super().__init__(f"{reason}; {advice}")


def refuse_type(cell: object) -> UnusableCellError:
    kind = type(cell)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return UnusableCellError(f"{name} cannot travel as JSON", "decode it to text, or leave the column out")
    if isinstance(cell, (set, frozenset)):
        return UnusableCellError(f"a {name} has no order", "turn it into a list, for example with sorted()")
    return UnusableCellError(
        f"an object of type {name} has no JSON", "turn it into text, numbers, lists or dicts, or leave the column out"
    )


quote = encode_basestring
"""Return the JSON string of a text: only ``"``, ``\\`` and control characters are escaped, as orjson does."""


def unquote(token: str) -> str:
    """Return what a token says as text: a string's content, anything else as it is written."""
    if token[0] != '"':
        return token
    return str(orjson.loads(token)) if "\\" in token else token[1:-1]


def is_empty(token: str | None) -> bool:
    """Whether a cell says nothing: missing, blank text, an empty object or list."""
    return token is None or token in {"{}", "[]"} or (token[0] == '"' and not unquote(token).strip())


def integer(number: int) -> str:
    """Return an integer's token: a number where 64 bits hold it, else text."""
    if -(2**63) <= number < 2**64:
        return int.__repr__(number)
    if number.bit_length() > MOST_BITS:
        raise UnusableCellError("an integer has thousands of digits", "turn it into text")
    return f'"{int.__repr__(number)}"'


def real(number: float) -> str:
    if math.isinf(number):
        raise UnusableCellError("JSON has no infinity", "replace it with None or with a number")
    if number.is_integer() and -(2.0**63) <= number < 2.0**64:
        return str(int(number))
    return float.__repr__(number)


def decimal(number: Decimal) -> str:
    """Return a finite Decimal's token: text with its digits, trailing zeros included."""
    if number.is_infinite():
        raise UnusableCellError("JSON has no infinity", "replace it with None or with a number")
    exponent = number.as_tuple().exponent
    plain = isinstance(exponent, int) and abs(exponent) <= MOST_ZEROS
    return f'"{number:f}"' if plain else f'"{number}"'
