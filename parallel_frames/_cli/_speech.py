"""What a command says: data to the standard output, talk to the error stream."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click

from parallel_frames._cli._exits import StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import TextIO


def say(text: str) -> None:
    """Tell the person something, on the error stream; where it cannot be heard, nothing depends on it."""
    from parallel_frames._ui import readable

    try:
        click.echo(readable(text, encoding=getattr(sys.stderr, "encoding", None)), err=True)
    except OSError:
        _abandon(sys.stderr)


def show(text: str) -> None:
    """Print what was asked for."""
    from parallel_frames._ui import readable

    need_output()
    with handing_over():
        click.echo(readable(text, encoding=getattr(sys.stdout, "encoding", None)))


def show_json(value: Any) -> None:
    """Print a value as one line of JSON."""
    import orjson

    need_output()
    with handing_over():
        click.echo(orjson.dumps(value, default=str).decode())


def need_output() -> None:
    """Refuse to begin what is to be printed where there is nothing to print to."""
    if sys.stdout is None:
        raise click.ClickException("The standard output is closed, and this command prints to it. Nothing was sent.")


@contextmanager
def handing_over(sink: str = "The standard output") -> Iterator[None]:
    """Tell it where data cannot be written; that its reader left, the program's end tells."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StoppedError(f"{sink} cannot be written ({error.strerror or error}).") from error


def settle_streams() -> None:
    """Drop what cannot be written: Python would try once more at its end, and decide the exit code by it."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except OSError:
            _abandon(stream)


def _abandon(stream: TextIO) -> None:
    """Lead a stream, with what it still holds, to nowhere."""
    with suppress(OSError, ValueError):
        there = stream.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, there)
        os.close(nowhere)


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


def is_terminal_output() -> bool:
    """Return whether what is printed goes to the screen that the talk goes to."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr))


def ask(question: str) -> bool:
    """Ask the person, and return whether the answer is yes; Ctrl-D is none."""
    from parallel_frames._ui import ask as ask_person

    return ask_person(question)
