"""A cell that cannot travel, before anybody knows which row it is in.

Converters work on whole columns and do not track positions: whoever called them finds the row by halving.
"""

from __future__ import annotations


class UnusableCellError(Exception):
    """A cell has no JSON; `advice` says what to do about it. Never leaves this package."""

    def __init__(self, reason: str, advice: str) -> None:
        self.reason = reason
        self.advice = advice
        super().__init__(f"{reason}; {advice}")


def refuse_type(cell: object) -> UnusableCellError:
    """Build the refusal of a type that has no JSON."""
    kind = type(cell)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return UnusableCellError(f"{name} cannot travel as JSON", "decode it to text, or leave the column out")
    if isinstance(cell, (set, frozenset)):
        return UnusableCellError(f"a {name} has no order", "turn it into a list, for example with sorted()")
    return UnusableCellError(
        f"an object of type {name} has no JSON", "turn it into text, numbers, lists or dicts, or leave the column out"
    )
