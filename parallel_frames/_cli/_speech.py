"""What a command says: data to the standard output, talk to the error stream."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence


def say(text: str) -> None:
    """Tell the person something, on the error stream."""
    from parallel_frames._progress import readable

    click.echo(readable(text, encoding=getattr(sys.stderr, "encoding", None)), err=True)


def show(text: str) -> None:
    """Print what was asked for."""
    from parallel_frames._progress import readable

    click.echo(readable(text, encoding=getattr(sys.stdout, "encoding", None)))


def show_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    import orjson

    click.echo(orjson.dumps(value, default=str).decode())


def show_table(head: Sequence[str], lines: Sequence[Sequence[object]]) -> None:
    """Print lines under their heads, in columns."""
    cells = [list(head), *([f"{cell:,}" if type(cell) is int else str(cell) for cell in line] for line in lines)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(head))]
    numeric = [bool(lines) and all(type(line[at]) is int for line in lines) for at in range(len(head))]
    for line in cells:
        columns = zip(line, widths, numeric, strict=True)
        show("  ".join(f"{cell:>{width}}" if right else f"{cell:<{width}}" for cell, width, right in columns).rstrip())


def is_terminal() -> bool:
    """Return whether a person sits in front of it, who can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()


def ask(question: str) -> bool:
    """Ask the person, and return whether the answer is yes."""
    from parallel_frames._progress import readable

    return click.confirm(readable(question, encoding=getattr(sys.stderr, "encoding", None)), err=True)
