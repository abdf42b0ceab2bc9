"""`diff`: what changed between two enrichments, as text, as JSON or as a page."""

from __future__ import annotations

import click

from parallel_frames._cli._options import JSON, examples
from parallel_frames._cli._speech import need_output, say, show, show_json


@click.command(
    "diff",
    epilog=examples(
        "parallel-frames diff october.parquet november.parquet",
        "parallel-frames diff october.csv november.csv --on company --output diff.html",
        "parallel-frames diff ceos.ckpt",
    ),
)
@click.argument("before")
@click.argument("after", required=False)
@click.option("--on", metavar="COLUMN", multiple=True, help="A column that identifies the rows, repeatable.")
@click.option("-o", "--output", metavar="FILE", help="Write an HTML page, replacing an existing one.")
@JSON
def diff_command(before: str, after: str | None, on: tuple[str, ...], output: str | None, *, json: bool) -> None:
    """Show which cells changed from BEFORE to AFTER: files of enriched rows, or checkpoints.

    Rows are matched by what they sent, which Parquet files keep, or by the columns of --on. With one checkpoint alone,
    the newest answer of each input that was asked again is compared with the one before. Nothing is sent or changed.
    """
    from parallel_frames._files._diff import diff

    if output is None:
        need_output()
    found = diff(before, after, on=list(on) or None)
    if output is not None:
        say(f"Written to {found.to_html(output)}.")
    if json:
        show_json(found.to_dict())
    elif output is None:
        show(repr(found))
