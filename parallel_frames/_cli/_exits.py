"""How a command ends: its exit code, and the one line that says why in the words of a command line."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Final

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
    INTERRUPTED = 130


MEANINGS: Final[Mapping[Exit, str]] = {
    Exit.FINE: "all fine",
    Exit.FAILED: "rows without a whole answer (the target is written), lint errors, damaged files",
    Exit.USAGE: "bad usage or bad input, or no yes to the question; nothing was sent",
    Exit.SERVICE: (
        "the service refused or is unavailable, or the target could not be written in the end; the same command goes on"
    ),
    Exit.CHECKPOINT: "the checkpoint cannot be used as it is",
    Exit.INTERRUPTED: "interrupted; the same command goes on",
}

OPTIONS: Final = (
    "basis checkpoint if_exists inputs limit max_cost max_in_flight metadata on_mismatch overwrite prefix processor "
    "provenance refresh retry_failed timeout where"
)
SPELLED: Final = re.compile(
    rf"\b({'|'.join(OPTIONS.split())})=(\"[^\"]*\"|'[^']*'|\[[^\]]*\]|True|False|\.\.\.|\d[\d.]*\d|\d)?"
)
SAID: Final = (
    ("the same call", "the same command"),
    ("a later call", "a later command"),
    ("the call again", "the command again"),
    ("pass client=pf.Client(api_key=...), or try it without one, offline: `with pf.offline(): ...`.",
     "or try it without one: parallel-frames simulate."),
    (" or client=.", "."),
    ("Client(api=...)", "--api"),
)  # fmt: skip


def code_of(error: ParallelFramesError) -> Exit:
    """Return the exit code that an error means."""
    kinds: tuple[tuple[type[ParallelFramesError], Exit], ...] = (
        (EnrichmentError, Exit.FAILED),
        (InputError, Exit.USAGE),
        (ConfigurationError, Exit.USAGE),
        (CheckpointError, Exit.CHECKPOINT),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), Exit.SERVICE)


def in_flags(message: str) -> str:
    """Return a message of the library with what to type spelled as a command line has it."""
    for python, shell in SAID:
        message = message.replace(python, shell)
    return SPELLED.sub(_flag, message)


def _flag(match: re.Match[str]) -> str:
    name, value = match[1].replace("_", "-"), match[2]
    if value == "False":
        return f"--no-{name}"
    if value in (None, "True"):
        return f"--{name}"
    return f"--{name} {value.strip(chr(34) + chr(39))}"


def code_table() -> str:
    """Return the exit codes as lines of a help text."""
    return "\n".join(f"  {code:>3}  {MEANINGS[code]}" for code in Exit)
