"""`status` and `collect`: groups that are known by their id, whoever sent them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from parallel_frames._cli._exits import Exit
from parallel_frames._cli._options import DURATION, FILE, JSON, SERVICE, client_of, examples, with_options
from parallel_frames._cli._speech import say, show, show_json
from parallel_frames._file_formats import format_at, is_zipped

if TYPE_CHECKING:
    from parallel_frames._model import GroupStatus
    from parallel_frames._service import Client

GROUP = click.argument("group_id")


def _client(arguments: dict[str, Any]) -> Client:
    from parallel_frames._job._offline import choose_destination

    return choose_destination(client_of(arguments)).client


@click.command(
    "status",
    epilog=examples("parallel-frames status tgrp_123", "parallel-frames status tgrp_123 --watch --every 1m"),
)
@GROUP
@click.option("--watch", is_flag=True, help="Print again at each change, until no run is active.")
@click.option("--every", type=DURATION, default="5s", show_default=True, metavar="TIME", help="How often to check.")
@with_options(*SERVICE, JSON)
def status_command(group_id: str, *, watch: bool, every: float, json: bool, **arguments: Any) -> None:
    """Show the state of a group: its runs by status, its address and its metadata."""
    from parallel_frames._format import format_count
    from parallel_frames._runtime import run_from_anywhere

    client = _client(arguments)

    def tell(status: GroupStatus) -> None:
        facts = {
            "group_id": group_id,
            "runs": status.runs,
            "counts": dict(status.counts),
            "is_active": status.is_active,
            "url": client.url_of(group_id),
            "metadata": dict(status.metadata),
        }
        if json:
            show_json(facts)
            return
        counts = " · ".join(f"{count:,} {name}" for name, count in status.counts.items() if count)
        show(f"{format_count(status.runs, 'run')}: {counts or 'none'}{' · active' if status.is_active else ''}")

    async def look() -> None:
        async with client.session() as session:
            status = await session.group_status(group_id)
            tell(status)
            if not json:
                show(f"  {client.url_of(group_id)}")
                for name, value in status.metadata.items():
                    show(f"  {name}: {value}")
            while watch and status.is_active:
                await client.clock.sleep(every)
                known, status = status, await session.group_status(group_id)
                if (status.counts, status.is_active) != (known.counts, known.is_active):
                    tell(status)

    run_from_anywhere(look)


@click.command(
    "collect",
    epilog=examples(
        "parallel-frames collect tgrp_123 --output runs.jsonl --follow",
        "parallel-frames collect tgrp_123 | jq .output",
        "parallel-frames collect tgrp_123 --follow --last-event-id evt_9 >> newer.jsonl",
        "parallel-frames collect tgrp_123 --follow --raw -o results.jsonl",
    ),
)
@GROUP
@click.option(
    "-o", "--output", default="-", show_default=True, metavar="FILE|-", type=FILE, help="Where to write the lines."
)
@click.option("--follow", is_flag=True, help="Continue until the group has no active run.")
@click.option("--raw", is_flag=True, help="Write the service's own events, with the outputs that they lack.")
@click.option("--last-event-id", metavar="ID", help="With --follow: only what came after this event.")
@with_options(*SERVICE)
def collect_command(
    group_id: str, output: str, *, follow: bool, raw: bool, last_event_id: str | None, **arguments: Any
) -> Exit:
    """Write the finished runs of a group as JSON lines, each once. It sends nothing, and costs nothing.

    A line holds event_id, run_id, group_id, status, input, output, basis, metadata and error. If it is stopped at any
    moment, the same command resumes after the last whole line of its file. So does --raw, also in a file of events that
    another program began. Failed runs are lines like others, and exit with 0.
    """
    from parallel_frames._cli._follow import gather_runs
    from parallel_frames._cli._lines import open_lines
    from parallel_frames._format import format_count
    from parallel_frames._runtime import run_from_anywhere

    if last_event_id is not None and not follow:
        raise click.UsageError("--last-event-id is a place in the stream that --follow reads; pass --follow too.")
    if format_at(Path(output).name) not in (None, "jsonl") or is_zipped(output):
        raise click.UsageError(f"collect writes JSON lines, and {output} names another format: end it in .jsonl.")
    client = _client(arguments)
    with open_lines(output, group_id, raw=raw) as lines:
        try:
            running = run_from_anywhere(
                lambda: gather_runs(client, group_id, lines, follow=follow, start=last_event_id, say=say)
            )
        except (KeyboardInterrupt, asyncio.CancelledError):
            if output == "-" and lines.last_event_id:
                say(f"To continue after the last event written: --follow --last-event-id {lines.last_event_id}")
            raise
        counts = " · ".join(f"{count:,} {name}" for name, count in lines.counts.items())
        of_all = f"{lines.counts.total():,} of " if running else ""
        runs = format_count(len(lines.written) + running if running else lines.counts.total(), "run")
        rest = f", {running:,} still running; add --follow to wait for them" if running else ""
        say(f"{of_all}{runs} written{f' ({counts})' if counts else ''}{rest}.")
    return Exit.FAILED if running else Exit.FINE
