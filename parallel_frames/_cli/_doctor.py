"""`doctor`: what the client assumes about the service and this machine, checked."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parallel_frames._cli._exits import Exit, StoppedError, spell
from parallel_frames._cli._offline import destination
from parallel_frames._cli._options import JSON, OFFLINE, SERVICE, YES, client_of, examples, with_options
from parallel_frames._cli._speech import need_output, say, show, show_json

if TYPE_CHECKING:
    from parallel_frames._doctor import Check


@click.command(
    "doctor",
    epilog=examples("parallel-frames doctor --offline", "parallel-frames doctor --yes --output doctor.json"),
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False), metavar="FILE",
    help="Also write the results as JSON, to attach to a report.",
)  # fmt: skip
@with_options(OFFLINE, *SERVICE, YES, JSON)
def doctor_command(*, output: str | None, yes: bool, json: bool, **arguments: Any) -> Exit:
    """Check what this program assumes about the service and this machine, with three runs on the cheapest processor.

    It asks for confirmation first, and sends no run twice. Without a key it checks this machine only. It prints and
    writes neither the key nor the password of a proxy. Exit code 1 if something breaks.
    """
    from parallel_frames._doctor import describe_cost, doctor
    from parallel_frames.errors import InputError

    need_output()
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise click.UsageError(f"--output {output}: there is no such directory.")
    with destination(arguments):
        if yes and not arguments["offline"]:
            say(f"Sends {describe_cost()}, once the service answers.")
        found = doctor(client_of(arguments, for_sending=False), confirm=not yes)
    diagnosis = replace(found, checks=tuple(map(_spell, found.checks)))
    if output is not None:
        try:
            diagnosis.to_json(output)
        except InputError as error:
            show(repr(diagnosis))
            raise StoppedError(str(error), goes_on=False) from error
    if json:
        show_json(asdict(diagnosis))
    else:
        show(repr(diagnosis))
    return Exit.FAILED if diagnosis.breaks else Exit.FINE


def _spell(check: Check) -> Check:
    """Return a check with options and calls as a command line has them."""
    return replace(check, observed=spell(check.observed), meaning=spell(check.meaning))
