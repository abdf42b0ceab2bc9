"""How a command ends: its exit code, and the one line that says why in the words of a command line."""

from __future__ import annotations

import ast
import re
import shlex
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from parallel_frames._cli._options import FRAME, NAMES, PAIR, type_inputs, with_options
from parallel_frames._format import closest, literal, parse_options, spell_code
from parallel_frames.errors import (
    CheckpointError,
    ConfigurationError,
    EnrichmentError,
    InputError,
    ParallelFramesError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parallel_frames.errors import Safety


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


class LeftInGroupsError(click.Abort):
    """Ended early, and only their groups remember the runs that were sent; `reason` is None for an interrupt."""

    def __init__(self, group_ids: Sequence[str], reason: str | None = None) -> None:
        self.group_ids = group_ids
        self.reason = reason
        super().__init__()


class StoppedError(click.ClickException):
    """What was asked for cannot be handed over in the end; what was paid for is kept."""

    def __init__(self, message: str, *, goes_on: bool = True) -> None:
        self.goes_on = goes_on
        super().__init__(message)


class Commands(click.Group):
    """A group of commands that names the one that may be meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the words ask for."""
        known = self.list_commands(ctx)
        if args and args[0] not in known and not args[0].startswith("-"):
            meant = closest(args[0], known)
            question = f" The commands are {', '.join(known)}." if meant is None else f" Did you mean {meant!r}?"
            if Path(args[0]).is_file():
                question = f" To enrich it: {ctx.command_path} enrich {shlex.quote(args[0])}"
            raise click.UsageError(f"There is no command {args[0]!r}.{question}", ctx)
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None and not isinstance(command, click.Group) and not ctx.resilient_parsing:
            from parallel_frames._cli._variables import warn_of_variables

            prefix = f"{ctx.auto_envvar_prefix}_{str(name).upper().replace('-', '_')}_"
            warn_of_variables(command, program=str(ctx.find_root().auto_envvar_prefix), prefix=prefix)
        return name, command, rest


MEANINGS: Final[Mapping[Exit, str]] = {
    Exit.FINE: "success (collect: also where runs failed, which are lines like others)",
    Exit.FAILED: (
        "rows or runs without a whole answer (the target is written), errors that lint found, damaged files, what "
        "doctor found to break"
    ),
    Exit.USAGE: "wrong usage or input, or a confirmation that was not given; nothing was sent",
    Exit.SERVICE: (
        "the service refused or cannot be reached, or the target or the output could not be written at the end; the "
        "same command resumes"
    ),
    Exit.CHECKPOINT: "the checkpoint cannot be used as it is: locked, damaged or of another job",
    Exit.HUNG_UP: "the terminal was closed (SIGHUP); the same command resumes",
    Exit.INTERRUPTED: "interrupted (Ctrl-C); the same command resumes",
    Exit.LEFT_ALONE: "the reader of the output ended early, as `head` does (SIGPIPE)",
    Exit.TERMINATED: "terminated (SIGTERM); the same command resumes",
}

# How the options of the library are typed, by their names, and the calls that have a command.
FLAGS: Final[Mapping[str, click.Option]] = {
    option.name: option
    for option in click.command("")(with_options(*FRAME)(lambda: None)).params
    if isinstance(option, click.Option) and option.name
}
ON: Final = click.Option(
    ["--on"], metavar="COLUMN", multiple=True, help="A column that identifies the rows, repeatable."
)
PROCESSORS: Final = click.Option(["--processors"], type=NAMES, metavar="NAMES")
TRUTH: Final = click.Option(["--truth"], metavar="FIELD=COLUMN", multiple=True)
IN_PYTHON: Final = re.compile(
    r" \(or, in Python,(?:`[^`]*`|[^`)])*\)|(?:, or,|;) in Python,?(?:`[^`]*`|[^`.;)])*(?=[.;)]|$)"
)
CALLS: Final[Mapping[str, str]] = {
    "pf.Checkpoint(...).unlock()": "parallel-frames checkpoint unlock {}",
    "pf.Checkpoint(...).unlock(force=True)": "parallel-frames checkpoint unlock --force {}",
    "with pf.offline(): ...": "--offline",
    "confirm=False": "--yes",
    "before": "BEFORE",
    "after": "AFTER",
}


def code_of(error: ParallelFramesError) -> Exit:
    """Return the exit code that an error means."""
    kinds: tuple[tuple[type[ParallelFramesError], Exit], ...] = (
        (EnrichmentError, Exit.FAILED),
        (InputError, Exit.USAGE),
        (ConfigurationError, Exit.USAGE),
        (CheckpointError, Exit.CHECKPOINT),
    )
    return next((code for kind, code in kinds if isinstance(error, kind)), Exit.SERVICE)


def explain(error: ParallelFramesError) -> str:
    """Return what an error says, with options and calls as a command line has them."""
    message = str(error)
    if (safety := error.safety) is not None and is_only_in_groups(safety):
        message = f"{Exception.__str__(error)}\n{safety.state}.{safety.continues} {fetching(safety.group_ids)}"
    return spell(message)


def spell(message: str) -> str:
    """Return a message with options and calls as a command line has them, and without what there is in Python only."""
    return spell_code(IN_PYTHON.sub("", message), _spell)


def fetching(group_ids: Sequence[str]) -> str:
    """Return how to get what only its groups remember."""
    fetch = " and ".join(f"parallel-frames collect {group_id}" for group_id in group_ids)
    return f"There is no checkpoint. To fetch the answers: {fetch}"


def is_only_in_groups(safety: Safety | None) -> bool:
    """Return whether nothing but its groups remembers what was sent, so that the same again would pay for it again."""
    return safety is not None and safety.checkpoint is None and safety.sent > 0


def _spell(code: str) -> str | None:
    """Return a code span as it is typed in a shell; None for what is not."""
    options = parse_options(code)
    if not options or code in CALLS:
        return _command(code)
    known = {**FLAGS, "on": ON, "processors": PROCESSORS, "truth": TRUTH}
    flags = [_flag(known[name], value) if name in known else None for name, value in options.items()]
    return None if None in flags else " ".join(map(str, flags))


def _flag(option: click.Option, value: str | None) -> str | None:
    flag, metavar = option.opts[0], option.metavar or "VALUE"
    if value is None:
        return flag
    try:
        given = literal(value)
    except ValueError:
        return None
    if option.is_flag:
        return next(iter(option.secondary_opts), None) if given is False else flag if given in (True, ...) else None
    if given is ... or (given is None and "none" in metavar.split("|")):
        return f"{flag} {metavar if given is ... else 'none'}"
    if option.name == "inputs" and isinstance(given, str | list):
        given = type_inputs(given)
    if option.type is NAMES and isinstance(given, list):
        given = ",".join(map(str, given))
    if option.multiple and isinstance(given, dict) and option.type is PAIR:
        given = [f"{name}={column}" for name, column in given.items()]
    if option.multiple and isinstance(given, list):
        return " ".join(f"{flag} {shlex.quote(str(each))}" for each in given)
    if given is None or isinstance(given, bool | list | tuple | dict):
        return None
    return f"{flag} {shlex.quote(given if isinstance(given, str) else value)}"


def _command(code: str) -> str | None:
    """Return a call as a command; the texts in it are arguments."""
    try:
        call = ast.parse(code, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return CALLS.get(code)
    texts = [node for node in ast.walk(call) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    words = [shlex.quote(str(node.value)) for node in texts]
    for node in texts:
        node.value = ...
    pattern = CALLS.get(ast.unparse(call))
    return None if pattern is None else pattern.format(*words)


def code_table() -> str:
    """Return the exit codes as lines of a help text."""
    return "\n".join(f"  {code:>3}  {MEANINGS[code]}" for code in Exit)
