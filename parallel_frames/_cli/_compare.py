"""`compare`: the same few rows with several processors, before one of them is paid for all rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from parallel_frames._cli._enrich import SOURCE, call_options
from parallel_frames._cli._exits import Exit
from parallel_frames._cli._offline import destination
from parallel_frames._cli._options import (
    JSON,
    KINDS,
    LIBRARY,
    MAX_PER_MINUTE,
    NAMES,
    OFFLINE,
    PAIR,
    SCHEMA,
    SERVICE,
    YES,
    dict_of,
    examples,
    read_schema,
    with_options,
)
from parallel_frames._cli._speech import is_terminal, need_output, show, show_json
from parallel_frames.accessor import COMPARED_INPUTS, NOT_COMPARED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from parallel_frames import Comparison

OPTIONS = [option for name, option in LIBRARY.items() if name not in {*NOT_COMPARED, "limit"}]


@click.command(
    "compare",
    epilog=examples(
        'parallel-frames compare companies.csv --offline --column "founded (int): year of foundation"',
        "parallel-frames compare companies.csv --schema schema.json --processors lite,base --limit 10 --yes",
    ),
)
@SOURCE
@with_options(
    *SCHEMA,
    click.option("--processors", type=NAMES, default="lite,base,core", show_default=True, metavar="NAMES",
                 help="The processors to compare; the most expensive one is the reference."),
    click.option("--truth", type=PAIR, multiple=True, metavar="FIELD=COLUMN",
                 help="A column with the known values of a field, repeatable. It must not be sent: see --inputs."),
    click.option("--tolerance", type=click.FloatRange(0), default=0.01, show_default=True, metavar="SHARE",
                 help="Numbers count as the same if they differ by at most this share of the larger one."),
    click.option("--limit", "-n", type=click.IntRange(1), default=COMPARED_INPUTS, show_default=True, metavar="N",
                 help="How many distinct inputs to ask about, the first ones."),
    *OPTIONS,
    click.option("--from", "source_format", type=click.Choice(KINDS),
                 help="Format of SOURCE where it is -.  [default: json or jsonl]"),
    OFFLINE,
    MAX_PER_MINUTE,
    *SERVICE,
    YES,
    JSON,
)  # fmt: skip
def compare_command(source: str, **arguments: Any) -> Exit:
    """Ask several processors about the same few rows, and compare their answers, times and costs.

    The price of all processors is shown first. The answers are kept: neither enrich with one of the processors nor the
    same command again pays for them again.
    """
    if not (arguments["yes"] or arguments["offline"] or is_terminal()):
        raise click.UsageError(
            "This would send runs, and there is no terminal to confirm it. Pass --yes to send without confirmation, "
            "and --max-cost DOLLARS to limit the cost."
        )
    need_output()
    with destination(arguments):
        found = _compare(source, arguments)
    if arguments["json"]:
        frame = found.frame.astype(object)
        show_json(frame.where(frame.notna(), None).to_dict("records"))
    else:
        show(str(found))
    whole = found.processors["completed"] == found.processors["rows"]
    return Exit.FINE if whole.all() else Exit.FAILED


def _compare(source: str, arguments: Mapping[str, Any]) -> Comparison:
    """Return the comparison of the first rows of a source, whose inputs are those that `enrich` would send."""
    import parallel_frames as pf
    from parallel_frames._cli._frames import BARE, TEXTS, read_frame
    from parallel_frames._files._json import TEXT_COLUMN

    schema = read_schema(arguments["schema"], arguments["column"])
    options = call_options(arguments)
    frame = read_frame(source, arguments["source_format"])
    frame.attrs.pop(TEXTS, None)
    if frame.attrs.pop(BARE, False) and options["inputs"] is None:
        options["inputs"] = TEXT_COLUMN
    return pf.compare(
        frame,
        schema,
        processors=arguments["processors"],
        truth=dict_of(arguments["truth"], option="--truth") or None,
        tolerance=arguments["tolerance"],
        **{name: value for name, value in options.items() if name not in NOT_COMPARED},
        confirm=not (arguments["yes"] or arguments["offline"]),
    )
