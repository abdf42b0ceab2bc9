"""`checkpoint`: what checkpoints hold, whether it is sound, and making them smaller, unless they are being written."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from parallel_frames._cli._exits import Commands, Exit
from parallel_frames._cli._options import DIRECTORY, DURATION, JSON, YES, examples
from parallel_frames._cli._speech import ask, is_terminal, say, show, show_json, show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from parallel_frames._checkpoint import StoragePath

WIDEST = 40  # of a cell in words: a schema may have a hundred columns
PATH = click.argument("path", type=DIRECTORY, required=False)
ONE_JOB = click.option("--job", metavar="HASH", help="Only this job; the beginning of its name is enough.")


@click.group(
    "checkpoint",
    cls=Commands,
    no_args_is_help=True,
    epilog=examples(
        "parallel-frames checkpoint list",
        "parallel-frames checkpoint verify ceos.ckpt",
        "parallel-frames checkpoint prune --older-than 90d",
    ),
)
def checkpoint_command() -> None:
    """List, check, export and remove stored answers. PATH is a checkpoint; the default is your cache directory."""


def _inside(path: str | None) -> Any:
    from parallel_frames._checkpoint import Checkpoint

    return Checkpoint(path)


def find_jobs(path: str | None, named: Sequence[str] = ()) -> list[StoragePath]:
    """Return the folders of the jobs that are named, or of all."""
    from parallel_frames._checkpoint import job_folders

    if "" in named:
        raise click.UsageError("--job is empty and would match every job; checkpoint list shows their names.")
    folders = job_folders(_inside(path).path)
    if not named:
        return folders
    found = [[folder for folder in folders if folder.name.startswith(name)] for name in named]
    for name, matches in zip(named, found, strict=True):
        if not matches:
            raise click.UsageError(f"There is no job {name!r}; checkpoint list shows the jobs.")
    return list(dict.fromkeys(folder for matches in found for folder in matches))


@checkpoint_command.command("list", epilog=examples("parallel-frames checkpoint list ceos.ckpt --json"))
@PATH
@JSON
def list_command(path: str | None, *, json: bool) -> None:
    """List the jobs: what each asks and sends, its host, its number of answers, its start and its size."""
    lines = _inside(path).summary().to_dict("records")
    if json:
        show_json(lines)
        return
    names = ("job", "processor", "asks", "sends", "host", "completed", "failed", "groups", "created_at", "bytes")
    heads = [f"runs {name}" if name in ("completed", "failed") else name for name in names]
    show_table(heads, [[_cell(line[name]) for name in names] for line in lines])


def _cell(value: Any) -> Any:
    from parallel_frames._format import shorten

    return shorten(value, WIDEST) if isinstance(value, str) and " " in value else value


@checkpoint_command.command("show", epilog=examples("parallel-frames checkpoint show ceos.ckpt --job 3f0c"))
@PATH
@ONE_JOB
@JSON
def show_command(path: str | None, job: str | None, *, json: bool) -> None:
    """Show each job in detail: its schema, its groups, its answers and the runs under way."""
    folders = find_jobs(path, [] if job is None else [job])
    facts = [each for folder in folders if (each := _describe(folder)) is not None]
    if json:
        show_json(facts)
        return
    from json import dumps

    for each in facts:
        show(f"{each.pop('path')}")
        for name, value in each.items():
            text = value if isinstance(value, str) else dumps(value, ensure_ascii=False)
            show(f"  {name:<13}{text}")


def _describe(folder: StoragePath) -> dict[str, Any] | None:
    """Return what a job's folder holds, with what a removal would lose; None once another process removed it."""
    from collections import Counter

    from parallel_frames._checkpoint import (
        asked_of,
        is_being_written,
        last_used,
        read_header,
        read_manifests,
        read_patiently,
        recall_folder,
        sent_of,
    )
    from parallel_frames._format import format_utc
    from parallel_frames._state import DiskIndex

    header = read_header(folder)
    if header is None:
        return None
    used = last_used(folder)
    index = DiskIndex()

    def recall() -> Any:
        index.forget_checkpoint()
        return recall_folder(folder, index, repair=False)

    recalled = read_patiently(recall)
    groups = [index.group_state(group) for group in index.groups]
    return {
        "path": str(folder),
        "processor": header["job"].get("processor"),
        "asks": asked_of(header),
        "sends": sent_of(header),
        "host": header["host"],
        "dialect": header.get("dialect"),
        "simulated": bool(header.get("simulated")),
        "created_at": header["created_at"],
        "used_at": None if used is None else format_utc(used),
        "groups": header["groups"],
        "outcomes": dict(sum((Counter(group.statuses.values()) for group in groups), Counter[str]())),
        "under_way": sum(len(group.awaited) for group in groups),
        "undecided": sum(len(intent.runs) for intent in recalled.intents),
        "staged": len(read_manifests(folder)),
        "is_written": is_being_written(folder),
        "job": header["job"],
    }


@checkpoint_command.command("verify", epilog=examples("parallel-frames checkpoint verify ceos.ckpt"))
@PATH
@JSON
def verify_command(path: str | None, *, json: bool) -> Exit:
    """Check every file and its checksum.

    Exit code 1 if a file is damaged; the next enrichment finds its rows on the service again.
    """
    damaged = _inside(path).verify().to_dict("records")
    if json:
        show_json(damaged)
    elif damaged:
        show_table(("job", "file"), [[line["job"], line["file"]] for line in damaged])
    else:
        say("No file is damaged.")
    return Exit.FAILED if damaged else Exit.FINE


@checkpoint_command.command("compact", epilog=examples("parallel-frames checkpoint compact ceos.ckpt"))
@PATH
@ONE_JOB
@JSON
def compact_command(path: str | None, job: str | None, *, json: bool) -> None:
    """Merge the small files of each job into large ones."""
    from parallel_frames._checkpoint import compact_job
    from parallel_frames._format import format_count

    facts = []
    for folder in find_jobs(path, [] if job is None else [job]):
        before, after = compact_job(folder)
        say(f"{folder}: {format_count(before, 'part')} → {after:,}")
        facts.append({"path": str(folder), "parts_before": before, "parts": after})
    if json:
        show_json(facts)


@checkpoint_command.command("unlock", epilog=examples("parallel-frames checkpoint unlock s3://bucket/ceos.ckpt"))
@click.argument("path")
@click.option("--force", is_flag=True, help="Even if the last heartbeat of its writer is recent.")
@JSON
def unlock_command(path: str, *, force: bool, json: bool) -> None:
    """Release a checkpoint that a writer on another machine holds, after that writer was killed."""
    _inside(path).unlock(force=force)
    if json:
        show_json({"path": path, "is_locked": False})
    else:
        say(f"{path} is unlocked.")


@checkpoint_command.command(
    "prune",
    epilog=examples(
        "parallel-frames checkpoint prune --older-than 90d",
        "parallel-frames checkpoint prune old.ckpt --job 3f0c --yes",
    ),
)
@PATH
@click.option("--job", multiple=True, metavar="HASH", help="Remove this job, repeatable.")
@click.option(
    "--older-than", type=DURATION, metavar="TIME", help="Remove jobs that were not used for this time, such as 90d."
)
@YES
@JSON
def prune_command(path: str | None, job: tuple[str, ...], older_than: float | None, *, yes: bool, json: bool) -> None:
    """Remove jobs. Their answers were paid for, and to ask for them again costs again.

    A job that is being written is never removed.
    """
    from parallel_frames._checkpoint import last_used

    if not job and older_than is None:
        raise click.UsageError("Name the jobs to remove: --job HASH, or --older-than 90d.")
    folders = find_jobs(path, job)
    if older_than is not None:
        limit = time.time() - older_than
        folders = [folder for folder in folders if (used := last_used(folder)) is not None and used < limit]
    described = {folder: each for folder in folders if (each := _describe(folder)) is not None}
    for folder, each in described.items():
        kept = " · kept: another process writes to it" if each["is_written"] else ""
        say(f"{folder}: {_loss(each)}{kept}")
    removed = _remove([folder for folder, each in described.items() if not each["is_written"]], yes=yes)
    if json:
        paths = [str(folder) for folder in described]
        show_json({"removed": [each for each in paths if each in removed],
                   "kept": [each for each in paths if each not in removed]})  # fmt: skip


def _remove(going: Sequence[StoragePath], *, yes: bool) -> set[str]:
    """Remove jobs, unless the answer is no; return which."""
    from parallel_frames._checkpoint import remove_job
    from parallel_frames._format import format_count

    if not going:
        say("There is nothing to remove.")
        return set()
    if not yes and not is_terminal():
        raise click.UsageError("There is no terminal to confirm it; pass --yes to remove them. Nothing was removed.")
    if not yes and not ask(f"Remove {format_count(len(going), 'job')} for good?"):
        say("Nothing was removed.")
        return set()
    for folder in going:
        remove_job(folder)
    say(f"{format_count(len(going), 'job')} removed.")
    return {str(folder) for folder in going}


def _loss(each: dict[str, Any]) -> str:
    """Return what would be lost with a job."""
    from parallel_frames._format import format_count
    from parallel_frames._prices import price_of

    answers = each["outcomes"].get("completed", 0)  # nothing was paid for the others, or their outputs are lost
    settings = each["job"].get("advanced_settings")
    price = price_of(each["processor"] or "", advanced_settings=settings).text(answers)
    under_way = f", {format_count(each['under_way'], 'run')} under way" if each["under_way"] else ""
    under_way += f", inputs staged by {format_count(each['staged'], 'call')}" if each["staged"] else ""
    return f"{format_count(answers, 'answer')} ({price}){under_way}, last used {(each['used_at'] or 'unknown')[:10]}"


@checkpoint_command.command("export", epilog=examples("parallel-frames checkpoint export ceos.ckpt outcomes.parquet"))
@click.argument("path")
@click.argument("out")
@ONE_JOB
@click.option("--overwrite", is_flag=True, help="Replace an existing file.")
@JSON
def export_command(path: str, out: str, job: str | None, *, overwrite: bool, json: bool) -> None:
    """Write the stored outcomes to OUT, a .parquet, .csv or .jsonl file.

    There is one line per run; JSON texts are as the service sent them. A checkpoint holds no inputs. To join the lines
    to rows, use run_id: enrich --provenance writes the run_id of each row, and collect GROUP_ID the input of each run.
    row is the number, from 0, of the first row that a run was sent for, of the rows as they were then.
    """
    from parallel_frames._cli._formats import PIPE
    from parallel_frames._cli._frames import check_target, write_frame
    from parallel_frames._format import format_count

    if json and out == PIPE:
        raise click.UsageError("--json and the outcomes would both go to the standard output; name a file.")
    check_target(out, overwrite=overwrite, pays=False)
    outcomes = _inside(path).outcomes()
    if job is not None:
        names = {folder.name for folder in find_jobs(path, [job])}
        outcomes = outcomes[outcomes["job"].str.rpartition("/")[2].isin(names)]
    write_frame(outcomes.reset_index(drop=True), out, overwrite=overwrite)
    if json:
        show_json({"path": out, "outcomes": len(outcomes)})
    else:
        say(f"{format_count(len(outcomes), 'outcome')} written.")
