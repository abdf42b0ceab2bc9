"""`report`: what became of the runs of a checkpoint, as text or as a page."""

from __future__ import annotations

import shlex
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING

import click

from parallel_frames._cli._checkpoints import ONE_JOB, WIDEST, find_jobs
from parallel_frames._cli._options import examples
from parallel_frames._cli._speech import need_output, say, show, show_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parallel_frames._checkpoint import StoragePath

REPORT = "parallel-frames report {checkpoint}"


@click.command(
    "report",
    epilog=examples(
        "parallel-frames report ceos.ckpt",
        "parallel-frames report ceos.ckpt --output report.html",
        "parallel-frames report ceos.ckpt --job 3f0c --output report.html",
    ),
)
@click.argument("checkpoint")
@click.option("-o", "--output", metavar="FILE", help="Write an HTML page, replacing an existing one.")
@ONE_JOB
def report_command(checkpoint: str, output: str | None, job: str | None) -> None:
    """Summarise the runs of CHECKPOINT: failures by cause, warnings, cost, answers by field.

    It changes nothing and needs no key. Of several jobs it has a line for each, and a total. A checkpoint knows each
    distinct input by the number of its first row. A page holds the answers, too; failed and unsure rows come first.
    """
    from parallel_frames._job._stored import report_of_job

    folders = find_jobs(checkpoint, [] if job is None else [job])
    if output is None:
        need_output()
        if len(folders) == 1:
            show(repr(report_of_job(folders[0])))
        else:
            _show_jobs(folders)
            say(f"One of them: parallel-frames report {shlex.quote(checkpoint)} --job {folders[0].name}")
        return
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise click.UsageError(f"{checkpoint} holds {len(folders)} jobs ({names}), and a page shows one: pass --job.")
    page = report_of_job(folders[0]).to_html(output)
    say(f"Written to {page}.")


def _show_jobs(folders: Sequence[StoragePath]) -> None:
    """Show a line for each job, and what they come to."""
    from parallel_frames._checkpoint import asked_of, read_header
    from parallel_frames._format import format_count, format_dollars, mark_simulated, shorten
    from parallel_frames._job._stored import report_of_job

    lines: list[list[object]] = []
    counts: Counter[str] = Counter()
    costs = {True: Decimal(), False: Decimal()}  # by whether answers are a simulator's
    unknown = 0
    for folder in folders:
        section = report_of_job(folder).sections[-1]
        facts = section.facts
        assert facts is not None  # noqa: S101 - a stored job has them
        counts.update(section.counts)
        costs[section.simulated] += facts.cost or 0
        unknown += facts.cost is None
        asks = shorten(", ".join(asked_of(read_header(folder) or {})), WIDEST)
        cost = mark_simulated(format_dollars(facts.cost, extra=facts.extra_cost), simulated=section.simulated)
        lines.append([folder.name, facts.processor, asks, facts.runs, _by_status(section.counts), cost])
    show_table(("job", "processor", "asks", "runs", "by status", "cost"), lines)
    parts = [format_count(len(folders), "job"), f"{format_count(counts.total(), 'run')} ({_by_status(counts)})"]
    if costs[False] or not costs[True]:
        parts.append(format_dollars(costs[False]))
    if costs[True]:
        parts.append(mark_simulated(format_dollars(costs[True]), simulated=True))
    if unknown:
        parts.append(f"{format_count(unknown, 'job')} at prices that are not known")
    show(" · ".join(parts))


def _by_status(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{runs:,} {status}" for status, runs in counts.items())
