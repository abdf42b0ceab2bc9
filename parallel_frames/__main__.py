"""The command line: `parallel-frames demo` and `parallel-frames simulate`.

It reads arguments and says what is missing; what a command does is in its own room. Nothing is imported for a command
that is not asked for.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from parallel_frames.errors import ParallelFramesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

COUNTRIES = 250
MISSING = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    asked = build_parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = asked.command
    try:
        return command(asked)
    except ImportError as error:
        return _missing(error, extra=asked.extra)
    except BrokenPipeError:  # whoever read us, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ParallelFramesError, OSError) as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    from importlib.metadata import version

    parser = argparse.ArgumentParser(
        prog="parallel-frames", description="Enrich a pandas DataFrame with the web, without ever paying twice."
    )
    parser.add_argument("--version", action="version", version=version("parallel-frames"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_demo(commands)
    _add_simulate(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser("demo", help="enrich a table of countries, offline, without a key, for free")
    rows = _number(int, lambda n: 1 <= n <= COUNTRIES, f"a number of countries from 1 to {COUNTRIES}")
    demo.add_argument("--rows", type=rows, default=COUNTRIES, metavar="N", help=f"how many (default: {COUNTRIES})")
    demo.set_defaults(command=_demo, extra="demo")


def _add_simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    simulate = commands.add_parser("simulate", help="serve the API on this machine until Ctrl-C; answers are made up")
    port = _number(int, lambda n: 0 <= n < 65536, "a port")
    above = _number(int, lambda n: n > 0, "a whole number above 0")
    seconds = _number(float, lambda s: 0 <= s < float("inf"), "a number of seconds")
    factor = _number(float, lambda f: 0 < f < float("inf"), "a number above 0")
    add = simulate.add_argument
    add("--port", type=port, default=0, metavar="N", help="where to listen (default: a free port)")
    add("--max-per-minute", type=above, default=2000, metavar="N", help="runs a minute (default: 2000)")
    add("--latency", type=seconds, default=0.2, metavar="S", help="seconds of a run (default: 0.2)")
    add("--speed", type=factor, default=1.0, metavar="F", help="its seconds per real second (default: 1)")
    dialects = ("both", "published", "seed")
    add("--dialect", choices=dialects, default="both", metavar="D", help="published, seed or both (default: both)")
    simulate.set_defaults(command=_simulate, extra="simulator")


def _number(kind: Callable[[str], float], allowed: Callable[[float], bool], said: str) -> Callable[[str], float]:
    """Return a reader of an argument that says what it expected."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not allowed(value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {said}")
        return value

    return read


def _demo(asked: argparse.Namespace) -> int:
    from parallel_frames._demo import run_demo

    run_demo(rows=asked.rows)
    return 0


def _simulate(asked: argparse.Namespace) -> int:
    from parallel_frames.simulator import serve

    sys.stderr.write("A simulator of the service; every answer is made up. Point PARALLEL_BASE_URL at this address,\n")
    sys.stderr.write("with any PARALLEL_API_KEY. Ctrl-C stops it.\n")
    serve(
        port=asked.port,
        max_per_minute=asked.max_per_minute,
        latency=asked.latency,
        speed=asked.speed,
        dialect=asked.dialect,
    )
    return 0


def _missing(error: ImportError, *, extra: str) -> int:
    if error.name is None or error.name.startswith("parallel_frames"):
        raise error  # ours, and not an extra's
    return _fail(f"this needs {error.name}: pip install 'parallel-frames[{extra}]'")


def _fail(message: str) -> int:
    sys.stderr.write(f"parallel-frames: {message}\n")
    return MISSING


if __name__ == "__main__":
    sys.exit(main())
