"""`demo` and `simulate`: what runs on this machine alone, without a key."""

from __future__ import annotations

import errno
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from parallel_frames._cli._options import Value, examples
from parallel_frames._cli._speech import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

COUNTRIES = 250


def _number(kind: Callable[[str], float], allowed: Callable[[float], bool], expected: str) -> Value:
    """Return a reader of a number that says what it expected."""

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not allowed(value):
            raise ValueError(f"{text!r} is not {expected}")
        return value

    return Value(expected, read)


PORT = _number(int, lambda n: 0 <= n < 65536, "a port")
ABOVE = _number(int, lambda n: n > 0, "a whole number above 0")
SECONDS = _number(float, lambda s: 0 <= s < math.inf, "a number of seconds")
FACTOR = _number(float, lambda f: 0 < f < math.inf, "a number above 0")
ROWS = _number(int, lambda n: 1 <= n <= COUNTRIES, f"a number of countries from 1 to {COUNTRIES}")


@contextmanager
def _needing(extra: str) -> Iterator[None]:
    """Say what to install where an extra's module is missing."""
    try:
        yield
    except ImportError as error:
        if error.name is None or error.name.startswith("parallel_frames"):
            raise  # ours, and not an extra's
        raise click.ClickException(f"This needs {error.name}: pip install 'parallel-frames[{extra}]'") from None


@contextmanager
def destination(arguments: Mapping[str, Any]) -> Iterator[None]:
    """With `--offline`, have a simulator on this machine answer what the block sends."""
    if not arguments["offline"]:
        yield
        return
    if arguments["base_url"] is not None:
        raise click.UsageError("--offline uses a simulator, and --base-url a service: pass one of them.")
    with _needing("simulator"):
        import parallel_frames.simulator  # noqa: F401
    from parallel_frames import offline

    given = {"max_per_minute": arguments["max_per_minute"]} if arguments.get("max_per_minute") else {}
    dialect = {None: "both", "auto": "both", "seed": "seed"}.get(arguments["api"], "published")
    with offline(dialect=dialect, **given):
        say("Offline: a simulator on this machine answers. Every answer is made up, and nothing is paid.")
        yield


@click.command("demo", epilog=examples("parallel-frames demo", "parallel-frames demo --rows 60"))
@click.option("--rows", type=ROWS, default=COUNTRIES, show_default=True, metavar="N", help="How many countries.")
def demo_command(rows: int) -> None:
    """Enrich a table of countries, offline, without a key, for free."""
    with _needing("demo"):
        from parallel_frames._demo import run_demo

        run_demo(rows=rows)


@click.command(
    "simulate",
    epilog=examples(
        "parallel-frames simulate --port 8787", "parallel-frames simulate --latency 2 --max-per-minute 600"
    ),
)
@click.option("--port", type=PORT, default=0, metavar="N", help="The port to listen on.  [default: a free one]")
@click.option(
    "--max-per-minute", type=ABOVE, default=2000, show_default=True, metavar="N", help="Runs accepted a minute."
)
@click.option("--latency", type=SECONDS, default=0.2, show_default=True, metavar="S", help="Seconds that a run takes.")
@click.option("--speed", type=FACTOR, default=1.0, show_default=True, metavar="F", help="How fast its clock runs.")
@click.option("--dialect", type=click.Choice(["both", "published", "seed"]), default="both", show_default=True,
              help="The API that it speaks.")  # fmt: skip
def simulate_command(**arguments: Any) -> None:
    """Run a simulator of the API on this machine until Ctrl-C. Every answer is made up."""
    with _needing("simulator"):
        from parallel_frames.simulator import serve
    say("This is a simulator of the service; every answer is made up. Set PARALLEL_BASE_URL to this address")
    say("and PARALLEL_API_KEY to any text. Ctrl-C stops it.")
    try:
        serve(**arguments)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise click.UsageError(
            f"Another program listens on port {arguments['port']}. Name another with --port, or leave it out for a "
            "free one."
        ) from None
