"""The program: its commands, and what becomes of an error that leaves one."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from parallel_frames._cli._exits import (
    Commands,
    Exit,
    LeftInGroupsError,
    StoppedError,
    code_of,
    code_table,
    explain,
    fetching,
    is_only_in_groups,
    spell,
)
from parallel_frames._cli._signals import hearing_signals
from parallel_frames._cli._speech import say, settle_streams
from parallel_frames.errors import CostError, ParallelFramesError, RejectedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from parallel_frames._cli._signals import Heard

PROGRAM: Final = "parallel-frames"
VARIABLE: Final = "_PARALLEL_FRAMES_COMPLETE"  # which a shell sets to ask for completions
RESUMABLE: Final = frozenset({"compare", "enrich", "submit", "collect", "send"})
COMMANDS: Final = {
    "plan": "_enrich",
    "compare": "_compare",
    "enrich": "_enrich",
    "submit": "_enrich",
    "send": "_send",
    "status": "_groups",
    "collect": "_groups",
    "report": "_report",
    "diff": "_diff",
    "lint": "_lint",
    "doctor": "_doctor",
    "checkpoint": "_checkpoints",
    "completion": "_completion",
    "simulate": "_offline",
    "demo": "_offline",
}


class App(Commands):
    """The group of all commands: imports the one that is asked for, and ends with the documented exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order in which one needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Return a command; its room is imported only now."""
        room = COMMANDS.get(cmd_name)
        if room is None:
            return None
        command: click.Command = getattr(import_module(f"parallel_frames._cli.{room}"), f"{cmd_name}_command")
        return command

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        """Read the words of a command line."""
        with _kept_from_click():
            return super().make_context(*args, **more)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that they ask for."""
        with _kept_from_click(), spelled_for_shells():
            return super().invoke(ctx)

    def main(self, *args: Any, **more: Any) -> Any:
        """Run one command and leave with its exit code."""
        arguments = args[0] if args else more.pop("args", None)
        more = {**more, "prog_name": PROGRAM, "standalone_mode": False}
        arguments = list(sys.argv[1:] if arguments is None else arguments)
        with hearing_signals() as heard:
            code, goes_on = self._run(arguments, more, heard)
            if goes_on and arguments and arguments[0] in RESUMABLE:
                say(f"To resume: {PROGRAM} {shlex.join(arguments)}")
            settle_streams()
        sys.exit(int(code or Exit.FINE))

    def _run(self, arguments: list[str], more: dict[str, Any], heard: Heard) -> tuple[int | None, bool]:
        """Run one command; return its exit code, and whether the same command resumes."""
        command = arguments[0] if arguments else ""
        try:
            return super().main(arguments, **more, obj=arguments), False
        except LeftInGroupsError as error:
            code = heard.code if error.reason is None else Exit.SERVICE
            return _fail(f"{error.reason or heard} {fetching(error.group_ids)}", code), False
        except (click.Abort, KeyboardInterrupt) as stop:
            if stop.args:
                say(f"Stopped: {stop.args[0]}")
            return _fail(str(heard), heard.code), True
        except _LeftAloneError:
            return Exit.LEFT_ALONE, False
        except StoppedError as error:
            return _fail(error.message, Exit.SERVICE), error.goes_on
        except click.ClickException as error:
            return _tell_usage(error), False
        except ParallelFramesError as error:
            code = _fail(f"{explain(error)}{_limit_of_project(error, arguments)}", code_of(error))
            is_final = isinstance(error, RejectedError) or is_only_in_groups(error.safety)
            return code, code == Exit.SERVICE and not is_final
        except OSError as error:  # whether anything was sent before is not known here
            return _fail(str(error), Exit.SERVICE if command in RESUMABLE else Exit.USAGE), command in RESUMABLE


def _limit_of_project(error: ParallelFramesError, arguments: Sequence[str]) -> str:
    """Return where a limit in dollars is from that was not typed."""
    is_typed = any(word.startswith("--max-c") for word in arguments)
    if not isinstance(error, CostError) or is_typed:
        return ""
    from parallel_frames._job._defaults import options, origin_of

    is_set = options.in_force().get("max_cost") == error.max_cost
    return f" The limit is from {origin_of('max_cost')}." if is_set else ""


class _LeftAloneError(Exception):
    """Who read the output went away."""


@contextmanager
def spelled_for_shells() -> Iterator[None]:
    """Have what is shown and logged while a command runs spell options as flags, as its errors do."""
    from parallel_frames._ui import bar_fits, spelling

    def spell_record(record: logging.LogRecord) -> bool:
        record.msg, record.args = spell(record.getMessage()), ()
        return True

    logger = logging.getLogger("parallel_frames")
    logger.addFilter(spell_record)
    token = bar_fits.set(True)
    try:
        with spelling(spell):
            yield
    finally:
        bar_fits.reset(token)
        logger.removeFilter(spell_record)


@contextmanager
def _kept_from_click() -> Iterator[None]:
    """Keep from click what it would end by itself: a closed pipe as exit code 1, Ctrl-C with a line of its own."""
    try:
        yield
    except BrokenPipeError as error:
        raise _LeftAloneError from error
    except KeyboardInterrupt as stop:
        raise click.Abort(*stop.args) from None


def _tell_usage(error: click.ClickException) -> Exit:
    """Say what is wrong in one line, and where to read more; a bare command shows its whole help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return Exit.USAGE
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if context is None:
        return _fail(message, Exit.USAGE)
    stop = "" if message.endswith((".", "?", "!")) else "."
    say(f"{context.command_path}: {message}{stop} See {context.command_path} --help.")
    return Exit.USAGE


def _fail(message: str, code: Exit) -> Exit:
    say(f"{PROGRAM}: {message}")
    return code


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if VARIABLE in os.environ:
        import_module("parallel_frames._cli._shells")  # how they ask
    try:
        app.main(arguments)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    return Exit.FINE


EPILOG = f"""
\b
Exit codes:
{code_table()}

\b
Examples:
  parallel-frames plan companies.csv out.parquet --column "ceo: name of the current CEO"
  parallel-frames enrich companies.csv out.parquet --column "ceo: name of the current CEO" --yes
  parallel-frames enrich - - --schema schema.json --yes < rows.jsonl > answers.jsonl
  parallel-frames completion install

The API key is read from PARALLEL_API_KEY, the address of the service from PARALLEL_BASE_URL. Environment variables
can set every option: PARALLEL_FRAMES_ENRICH_PROCESSOR=core sets --processor core of enrich.
"""


@click.group(
    name=PROGRAM,
    cls=App,
    epilog=EPILOG,
    no_args_is_help=True,
    context_settings={"auto_envvar_prefix": "PARALLEL_FRAMES", "help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="parallel-frames", message="%(version)s")
def app() -> None:
    """Enrich tables with the web, without ever losing or double-paying a row."""
