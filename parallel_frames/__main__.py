"""The command line: `parallel-frames demo` and `parallel-frames simulate`.

It reads arguments and says what is missing; what a command does is in its own room. Nothing is imported for a command
that is not asked for.
"""

from __future__ import annotations

import argparse
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
    demo.add_argument("--rows", type=_rows, default=COUNTRIES, metavar="N", help=f"how many (default: {COUNTRIES})")
    demo.set_defaults(command=_demo, extra="demo")


def _add_simulate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    simulate = commands.add_parser("simulate", help="serve the API on this machine until Ctrl-C; answers are made up")
    simulate.add_argument("--port", type=int, default=0, metavar="N", help="where to listen (default: a free port)")
    simulate.add_argument(
        "--max-per-minute", type=_positive(int), default=2000, metavar="N", help="runs a minute (default: 2000)"
    )
    simulate.add_argument("--latency", type=_seconds, default=0.2, metavar="S", help="seconds of a run (default: 0.2)")
    simulate.add_argument(
        "--speed", type=_positive(float), default=1.0, metavar="F", help="its seconds per real second (default: 1)"
    )
    simulate.add_argument(
        "--dialect", choices=("both", "published", "seed"), default="both", help="the API spoken (default: both)"
    )
    simulate.set_defaults(command=_simulate, extra="simulator")


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    return read


def _seconds(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _rows(text: str) -> int:
    rows = int(text)
    if not 1 <= rows <= COUNTRIES:
        raise argparse.ArgumentTypeError(f"there are {COUNTRIES} countries; {text} is not among 1 to {COUNTRIES}")
    return rows


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
