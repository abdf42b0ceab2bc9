"""The program: its commands, and what becomes of an error that leaves one."""

from __future__ import annotations

import shlex
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import click

from parallel_frames._cli._exits import Exit, code_of, code_table, in_flags
from parallel_frames._cli._speech import say
from parallel_frames.errors import ParallelFramesError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM: Final = "parallel-frames"
RESUMABLE: Final = frozenset({"enrich", "submit", "collect"})
COMMANDS: Final = {
    "plan": "_enrich",
    "enrich": "_enrich",
    "submit": "_enrich",
    "status": "_groups",
    "collect": "_groups",
    "lint": "_lint",
    "checkpoint": "_checkpoints",
    "simulate": "_offline",
    "demo": "_offline",
}


class App(click.Group):
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

    def main(self, *args: Any, **more: Any) -> Any:
        """Run one command and leave with its exit code."""
        arguments = args[0] if args else more.pop("args", None)
        more = {**more, "prog_name": PROGRAM, "standalone_mode": False}
        arguments = list(sys.argv[1:] if arguments is None else arguments)
        try:
            code = super().main(arguments, **more)
        except click.Abort:
            code = _fail("interrupted.", Exit.INTERRUPTED)
        except click.ClickException as error:
            code = _tell_usage(error)
        except ParallelFramesError as error:
            code = _fail(in_flags(str(error)), code_of(error))
        except OSError as error:
            code = _fail(str(error), Exit.USAGE)
        if code in (Exit.SERVICE, Exit.INTERRUPTED) and arguments and arguments[0] in RESUMABLE:
            say(f"To go on: {PROGRAM} {shlex.join(arguments)}")
        sys.exit(int(code or Exit.FINE))


def _tell_usage(error: click.ClickException) -> Exit:
    """Say what is wrong in one line, and where the rest is told; a bare command shows its whole help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return Exit.USAGE
    context = getattr(error, "ctx", None)
    if context is None:
        return _fail(error.format_message(), Exit.USAGE)
    say(f"{context.command_path}: {error.format_message()} See {context.command_path} --help.")
    return Exit.USAGE


def _fail(message: str, code: Exit) -> Exit:
    say(f"{PROGRAM}: {message}")
    return code


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
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
  eval "$(_PARALLEL_FRAMES_COMPLETE=bash_source parallel-frames)"  # completion in this shell

The key is read from PARALLEL_API_KEY and the address from PARALLEL_BASE_URL. Every option can stand in the
environment too: PARALLEL_FRAMES_ENRICH_PROCESSOR=core is --processor core of enrich.
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
