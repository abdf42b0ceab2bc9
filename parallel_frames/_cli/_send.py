"""`send`: what a cluster staged in a checkpoint, sent from this machine, which needs neither cluster nor rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from parallel_frames._cli._checkpoints import ONE_JOB, find_jobs
from parallel_frames._cli._enrich import BAD, agree, project_defaults, with_lines
from parallel_frames._cli._exits import Exit
from parallel_frames._cli._options import (
    JSON,
    LIBRARY,
    MAX_PER_MINUTE,
    OFFLINE,
    SERVICE,
    YES,
    client_of,
    examples,
    with_options,
)
from parallel_frames._cli._speech import say, show_json

if TYPE_CHECKING:
    from parallel_frames._distributed import Sent, StagedJob

OF_SENDING = ("limit", "max_cost", "max_in_flight", "timeout", "refresh", "older_than", "retry_failed", "progress")


@click.command(
    "send",
    epilog=examples(
        "parallel-frames send ceos.ckpt --max-cost 500",
        "parallel-frames send ceos.ckpt --yes --no-wait",
    ),
)
@click.argument("checkpoint")
@ONE_JOB
@click.option("--wait/--no-wait", default=True, help="Wait for the answers.  [default: yes]")
@with_options(*(LIBRARY[name] for name in OF_SENDING), OFFLINE, MAX_PER_MINUTE, *SERVICE, YES, JSON)
def send_command(checkpoint: str, job: str | None, *, wait: bool, **arguments: Any) -> Exit:
    """Send the inputs that `stage` wrote into a checkpoint, and wait for the answers.

    If it is stopped at any moment, the same command resumes. Afterwards the call that staged the inputs, with
    enrich in the place of stage, finds everything answered.
    """
    from parallel_frames._distributed import open_staged

    options = with_lines({name: arguments[name] for name in OF_SENDING} | project_defaults())
    options |= {"client": client_of(arguments), "confirm": False}
    jobs = [open_staged(folder, options) for folder in find_jobs(checkpoint, [] if job is None else [job])]
    staged = [each for each in jobs if each is not None]
    sent = [_send(each, arguments, wait=wait) for each in staged]
    if arguments["json"]:
        show_json([asdict(each) for each in sent])
    elif not staged:
        say(f"Nothing is staged in {checkpoint}: all of it is answered, or `stage` was never called for it.")
    bad = sum(each.counts.get(name, 0) for each in sent for name in BAD if wait or name != "pending")
    return Exit.FAILED if bad else Exit.FINE


def _send(job: StagedJob, arguments: dict[str, Any], *, wait: bool) -> Sent:
    from parallel_frames._format import format_count

    if not arguments["yes"]:
        agree(job.plan(), processor=job.source.prepared.call.processor)
    sent = job.send(wait=wait)
    counts = " · ".join(f"{count:,} {name}" for name, count in sent.counts.items())
    say(f"{format_count(sent.rows, 'row')} · {counts or 'nothing asked'} · {sent.checkpoint}")
    return sent
