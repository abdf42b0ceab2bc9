"""How a command ends: its exit code, and the one line that says why in the words of a command line."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import click

from parallel_frames._cli._options import LIBRARY
from parallel_frames.errors import (
    CheckpointError,
    ConfigurationError,
    EnrichmentError,
    InputError,
    ParallelFramesError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


class Exit(IntEnum):
    """The exit codes of every command."""

    FINE = 0
    FAILED = 1
    USAGE = 2
    SERVICE = 3
    CHECKPOINT = 4
    HUNG_UP = 129
    INTERRUPTED = 130
    LEFT_ALONE = 141
    TERMINATED = 143


class StoppedError(click.ClickException):
    """What was asked for cannot be handed over in the end; what was paid for is kept."""

    def __init__(self, message: str, *, goes_on: bool = True) -> None:
        self.goes_on = goes_on
        super().__init__(message)


MEANINGS: Final[Mapping[Exit, str]] = {
    Exit.FINE: "all fine",
    Exit.FAILED: "rows without a whole answer (the target is written), lint errors, damaged files",
    Exit.USAGE: "bad usage or bad input, or no yes to the question; nothing was sent",
    Exit.SERVICE: (
        "the service refused or is unavailable, or the target or the output could not be written in the end; the same "
        "command resumes"
    ),
    Exit.CHECKPOINT: "the checkpoint cannot be used as it is",
    Exit.HUNG_UP: "its terminal is gone (SIGHUP); the same command resumes",
    Exit.INTERRUPTED: "interrupted (Ctrl-C); the same command resumes",
    Exit.LEFT_ALONE: "who read the output left, as `head` does (SIGPIPE)",
    Exit.TERMINATED: "terminated (SIGTERM); the same command resumes",
}

# What the library says of a call, and a command line says of a command.
CALL_WORDS: Final = (
    ("the same call", "the same command"),
    ("run the call again", "run the command again"),
    ("this call goes", "this command goes"),
    ("a later call", "a later command"),
    ("inputs=[...]", "--inputs COLUMN"),
    ("inputs names", "--inputs names"),
    ("metadata names", "--metadata names"),
    ("'fill' to fill", "--if-exists fill to fill"),
    ("'suffix' for", "--if-exists suffix for"),
    ("unlock(force=True)", "checkpoint unlock --force"),
    ("pass client=pf.Client(api_key=...), or try it without one, offline: `with pf.offline(): ...`.",
     "or try it without one: parallel-frames simulate."),
    (" or client=.", "."),
    ("Client(api=...)", "--api"),
)  # fmt: skip
OTHER_CHECKPOINT: Final = " If it is gone for good, name another checkpoint, or no group_id=, to start over."
WITH_CHECKPOINT: Final = ("", "plan", "enrich", "submit", "checkpoint")
# Most messages name an option inline, as `name=value`. The names are those the command line has, so that no other text
# with an equals sign is touched; the lookahead is a value that only needs a space before it.
OPTION: Final = re.compile(
    rf"\b({'|'.join((*LIBRARY, 'overwrite', 'rows_per_file'))})="
    r"(True|False|None|\"[^\"]*\"|'[^']*'|(?=[\w\[{-]|\.\.\.))?"
)
ARGUMENT: Final = re.compile(r"\b(?:source|target)='([^']*)'")  # typed without an option


def code_of(error: ParallelFramesError) -> Exit:
    """Return the exit code that an error means."""
    kinds: tuple[tuple[type[ParallelFramesError], Exit], ...] = (
        (EnrichmentError, Exit.FAILED),
        (InputError, Exit.USAGE),
        (ConfigurationError, Exit.USAGE),
        (CheckpointError, Exit.CHECKPOINT),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), Exit.SERVICE)


def in_flags(message: str, *, hints: Mapping[str, str] | None = None, command: str = "") -> str:
    """Return a message of the library with options spelled as a command line has them."""
    for option, value in (hints or {}).items():
        message = message.replace(f"{option}={value}", _flag(option, value))
    for call, words in CALL_WORDS:
        message = message.replace(call, words)
    if command not in WITH_CHECKPOINT:
        message = message.replace(OTHER_CHECKPOINT, "")
    return OPTION.sub(lambda match: _flag(match[1], match[2]), ARGUMENT.sub(r"\1", message))


def _flag(option: str, value: str | None) -> str:
    name = option.replace("_", "-")
    if value == "False":
        return f"--no-{name}"
    if value in (None, "True"):
        return f"--{name}"
    return f"--{name} {'none' if value == 'None' else str(value).strip(chr(34) + chr(39))}"


def code_table() -> str:
    """Return the exit codes as lines of a help text."""
    return "\n".join(f"  {code:>3}  {MEANINGS[code]}" for code in Exit)
