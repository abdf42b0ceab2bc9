"""`report`: what became of the runs of a checkpoint, as text or as a page."""

from __future__ import annotations

import click

from parallel_frames._cli._checkpoints import ONE_JOB, find_jobs
from parallel_frames._cli._options import examples
from parallel_frames._cli._speech import need_output, say, show

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

    It changes nothing and needs no key. A checkpoint knows each distinct input by the number of its first row. A page
    holds the answers, too; failed and unsure rows come first.
    """
    from parallel_frames._job._stored import report_of_job

    folders = find_jobs(checkpoint, [] if job is None else [job])
    if output is None:
        need_output()
        show("\n\n".join(repr(report_of_job(folder)) for folder in folders))
        return
    if len(folders) > 1:
        names = ", ".join(folder.name for folder in folders)
        raise click.UsageError(f"{checkpoint} holds {len(folders)} jobs ({names}), and a page shows one: pass --job.")
    page = report_of_job(folders[0]).to_html(output)
    say(f"Written to {page}.")
