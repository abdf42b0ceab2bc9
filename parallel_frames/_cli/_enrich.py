"""`plan`, `enrich` and `submit`: one set of options, so that a plan's command becomes the real one by one word."""

from __future__ import annotations

import shlex
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from parallel_frames._cli._exits import Exit, StoppedError, spell
from parallel_frames._cli._offline import destination
from parallel_frames._cli._options import FILE, FRAME, Sectioned, examples, library_options, read_schema, with_options
from parallel_frames._cli._speech import ask, is_terminal, is_terminal_output, need_output, say, show, show_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from parallel_frames import EnrichmentPlan
    from parallel_frames._cli._way import Asked, Done

SOURCE = click.argument("source", type=FILE)
TARGET = click.argument("target", type=FILE, required=False)
BAD = ("failed", "cancelled", "invalid", "pending")


@click.command(
    "plan",
    cls=Sectioned,
    epilog=examples(
        'parallel-frames plan companies.csv out.parquet --column "ceo: name of the current CEO"',
        "parallel-frames plan companies.parquet --schema schema.json --processor core --json",
    ),
)
@SOURCE
@TARGET
@with_options(*FRAME)
def plan_command(source: str, target: str | None, **arguments: Any) -> None:
    """Show what enrich would send and cost. It sends nothing, and needs no key."""
    from parallel_frames._cli._way import choose_way
    from parallel_frames._ui import plan_text

    with destination(arguments):
        plan = choose_way(_asked(source, target, arguments, for_sending=False)).plan()
    _warn_of_processor(arguments["processor"])
    if arguments["json"]:
        show_json(asdict(plan))
    else:
        show(spell(plan_text(plan, with_request=False)))


@click.command(
    "enrich",
    cls=Sectioned,
    epilog=examples(
        'parallel-frames enrich companies.csv ceos.parquet --column "ceo: name of the current CEO"',
        'parallel-frames enrich companies.parquet founded.csv --column "founded (int): year of foundation" --yes',
        "parallel-frames enrich companies.csv profiles.parquet --schema models:Company --checkpoint ceos.ckpt --yes",
        "cat rows.jsonl | parallel-frames enrich - - --schema schema.json --yes > answers.jsonl",
        'parallel-frames enrich companies.csv --offline --as-completed --column "ceo: name of the current CEO"',
    ),
)
@SOURCE
@TARGET
@with_options(*FRAME)
def enrich_command(source: str, target: str | None, **arguments: Any) -> Exit:
    """Ask the web about every row of SOURCE and write the rows with their answers to TARGET.

    SOURCE and TARGET are files (.parquet .pq .csv .tsv .feather .arrow .json .jsonl .ndjson .xlsx; a SOURCE also
    .csv.gz .tsv.gz .jsonl.gz .ndjson.gz), or - for a pipe of JSON lines. Without TARGET the rows go to the standard
    output. Where JSON holds bare texts instead of objects, the text itself is sent. book.xlsx#Sales is a sheet.
    Into Parquet, SOURCE may also be a directory, a glob or an address such as s3://bucket/rows, memory use is bounded,
    and a TARGET without an extension is a directory of parts. The same command again resumes where it stopped, and
    pays for nothing twice.
    """
    from parallel_frames._cli._formats import PIPE
    from parallel_frames._cli._way import choose_way
    from parallel_frames._ui import bar_fits

    asked = _asked(source, target, arguments)
    asked = replace(asked, target=asked.target or PIPE)
    if arguments["json"] and asked.target == PIPE:
        raise click.UsageError("--json and the rows would both go to the standard output; name a TARGET.")
    if arguments["json"] or asked.target == PIPE:
        need_output()
    if asked.target == PIPE and is_terminal_output():
        bar_fits.set(False)  # the rows would stand in its line
    _check_pipe(asked)
    with destination(arguments), _naming_the_report():
        way = choose_way(asked)
        done = way.check()
        if done is not None:
            say(f"This command has already written {done.target}. Nothing was sent; --overwrite writes it again.")
        elif not (arguments["yes"] or arguments["offline"]):
            agree(way.plan(), processor=arguments["processor"])
        done = done or way.enrich()
    _tell_done(done, as_json=arguments["json"])
    bad = sum(done.counts.get(name, 0) for name in (*BAD, *(() if arguments["limit"] else ("not_sent",))))
    return Exit.FAILED if bad else Exit.FINE


@click.command(
    "submit",
    cls=Sectioned,
    epilog=examples(
        'parallel-frames submit companies.csv later.parquet --column "ceo: name of the current CEO" --yes',
        "parallel-frames status tgrp_123 --watch",
        'parallel-frames enrich companies.csv later.parquet --column "ceo: name of the current CEO" --yes',
    ),
)
@SOURCE
@TARGET
@with_options(*FRAME)
def submit_command(source: str, target: str | None, **arguments: Any) -> None:
    """Send what enrich would send, and exit as soon as the service has all of it.

    TARGET is not written. The same command with enrich in the place of submit fetches the answers, and sends nothing
    twice.
    """
    from parallel_frames._cli._way import choose_way
    from parallel_frames._job._escalate import NOT_AT_ONCE
    from parallel_frames._job._offline import choose_destination
    from parallel_frames.errors import InputError

    asked = _asked(source, target, arguments)
    if asked.options["escalate"]:
        raise InputError(NOT_AT_ONCE)
    need_output()
    with destination(arguments):
        way = choose_way(replace(asked, as_completed=False, target_format=None))
        if not (arguments["yes"] or arguments["offline"]):
            agree(way.plan(), processor=arguments["processor"])
        sent = way.submit()
        client = choose_destination(asked.options["client"]).client
    if arguments["json"]:
        urls = [client.url_of(group_id) for group_id in sent.group_ids]
        names = ("rows", "cost", "extra_cost", "group_ids", "checkpoint", "simulated")
        show_json({**{name: getattr(sent, name) for name in names}, "urls": urls})
        return
    for group_id in sent.group_ids:
        show(group_id)
    are = "row is" if sent.rows == 1 else "rows are"
    if arguments["offline"]:
        say(f"{sent.rows:,} {are} with the simulator, which ends with this command: there is nothing to fetch.")
        return
    say(f"{sent.rows:,} {are} with the service{_costs(sent)}. To fetch the answers: {_fetching(asked, sent)}")


@contextmanager
def _naming_the_report() -> Iterator[None]:
    """Let the last line of the progress name the command for the report."""
    from parallel_frames._cli._report import REPORT
    from parallel_frames._ui import report_call

    given = click.get_current_context().params
    is_kept = not given["offline"] or given["checkpoint"] is not None  # or else it goes with the simulator
    token = report_call.set(REPORT if is_kept else None)
    try:
        yield
    finally:
        report_call.reset(token)


def _fetching(asked: Asked, sent: Done) -> str:
    """Return the command that fetches what was submitted: by what remembers it, wherever the target is."""
    if asked.options["checkpoint"] is None:
        return f"parallel-frames collect {' '.join(sent.group_ids[-1:])}"
    context = click.get_current_context()
    words = list(context.find_root().obj)
    words[words.index("submit")] = "enrich"
    return f"parallel-frames {shlex.join(words)}"


def _asked(source: str, target: str | None, arguments: Mapping[str, Any], *, for_sending: bool = True) -> Asked:
    """Return what the options ask for; everything that is wrong with them is reported here, before a row is read."""
    from parallel_frames._cli._way import Asked, as_typed

    if target is not None and arguments["output"] is not None:
        raise click.UsageError(f"TARGET is {target}, and --output {arguments['output']}: pass one of them.")
    target = target if arguments["output"] is None else arguments["output"]
    return Asked(
        source,
        as_typed(target),
        read_schema(arguments["schema"], arguments["column"]),
        {**call_options(arguments, for_sending=for_sending), "confirm": False},
        overwrite=arguments["overwrite"],
        rows_per_file=arguments["rows_per_file"],
        source_format=arguments["source_format"],
        target_format=arguments["target_format"],
        as_completed=arguments["as_completed"],
    )


def call_options(arguments: Mapping[str, Any], *, for_sending: bool = True) -> dict[str, Any]:
    """Return the options of the library that are asked for: as they were typed, or else by the project's defaults."""
    defaults = project_defaults()
    given = defaults.get("checkpoint", arguments["checkpoint"])
    checkpoint = "auto" if given is None else None if given in ("none", False) else given
    found = {**library_options(arguments, for_sending=for_sending), **defaults, "checkpoint": checkpoint}
    return with_lines(found)


def with_lines(options: dict[str, Any]) -> dict[str, Any]:
    """Return options that leave out no more than the bar: what is paid is stated all the same."""
    from parallel_frames._ui import bar_fits

    if options["progress"] is False:
        bar_fits.set(False)
    return {**options, "progress": options["progress"] or None}


def project_defaults() -> dict[str, Any]:
    """Return the defaults of the project for options that were not typed; the command asks by itself."""
    from parallel_frames import options

    context = click.get_current_context()
    found = options.in_force().items()
    return {name: value for name, value in found if context.get_parameter_source(name) is ParameterSource.DEFAULT}


def _check_pipe(asked: Asked) -> None:
    """Refuse what a terminal cannot show."""
    from parallel_frames._cli._frames import BINARY

    if asked.target == "-" and asked.target_format in BINARY and sys.stdout is not None and sys.stdout.isatty():
        raise click.UsageError(f"{asked.target_format} cannot be shown in a terminal: name a TARGET, or use a pipe.")


def _warn_of_processor(name: str) -> None:
    """Name the processor that may be meant by one that the price table does not have."""
    from parallel_frames._prices import price_of

    if (unknown := price_of(name).unknown) is not None:
        say(f"Warning: {unknown}")


def agree(plan: EnrichmentPlan, *, processor: str) -> None:
    """Make sure that what is to be sent is to be paid for."""
    from parallel_frames._format import format_at_worst, format_count
    from parallel_frames._ui import plan_text
    from parallel_frames.errors import DeclinedError

    if not plan.to_send and (not plan.escalation or plan.worst_cost == 0):
        return
    _warn_of_processor(processor)
    runs = format_count(plan.to_send, "run")
    costs = _costs(plan) + format_at_worst(plan.worst_cost, [*plan.escalation], certain=plan.cost)
    if not is_terminal():
        raise click.UsageError(
            f"This would send {runs}{costs}, and there is no terminal to confirm it. Pass --yes "
            "to send without confirmation, and --max-cost DOLLARS to limit the cost."
        )
    say(spell(plan_text(plan, with_request=False)))
    if not ask(f"Send {runs}{costs}?"):
        raise DeclinedError("The answer was not yes. Nothing was sent.")


def _costs(what: EnrichmentPlan | Done) -> str:
    from parallel_frames._format import format_dollars

    price = "at a price that is not known" if what.cost is None else f"for {format_dollars(what.cost)}"
    return f" {price} {what.extra_cost}".rstrip()


def _tell_done(done: Done, *, as_json: bool) -> None:
    from parallel_frames._format import format_count, mark_simulated

    if as_json:
        _show_done(done)
        return
    counts = " · ".join(f"{count:,} {name}" for name, count in done.counts.items() if count)
    where = "" if done.target == "-" else f" → {done.target}"
    text = f"{format_count(done.rows, 'row')}{where} · {counts or 'nothing asked'}"
    say(mark_simulated(text, simulated=done.simulated))
    if done.counts.get("failed"):
        say("The column parallel_error says why a row failed; the same command with --overwrite tries such rows again.")


def _show_done(done: Done) -> None:
    try:
        show_json(asdict(done))
    except StoppedError as error:
        again = "" if done.checkpoint is None else "; the same command with --overwrite pays for none of them"
        raise StoppedError(
            f"{error.message} The rows with their answers are in {done.target}{again}.",
            goes_on=done.checkpoint is not None,
        ) from error
