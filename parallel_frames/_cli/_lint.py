"""`lint`: what there is to say of a schema, without sending anything."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from parallel_frames._cli._exits import Exit
from parallel_frames._cli._options import (
    JSON,
    LIBRARY,
    PROCESSOR,
    SCHEMA,
    examples,
    read_input_schema,
    read_options,
    read_schema,
    with_options,
)
from parallel_frames._cli._speech import say, show, show_json


@click.command(
    "lint",
    epilog=examples(
        "parallel-frames lint --schema schema.json --processor core",
        'parallel-frames lint --column "sources (list[str]): addresses of the sources"',
    ),
)
@with_options(*SCHEMA, PROCESSOR, LIBRARY["input_schema"], LIBRARY["options"], JSON)
def lint_command(schema: str | None, column: tuple[tuple[str, Any], ...], *, json: bool, **arguments: Any) -> Exit:
    """Check a schema for what the service would refuse and what you may regret. Exit code 1 if there are errors."""
    from parallel_frames._job._lint import lint

    findings = lint(
        read_schema(schema, column),
        processor=arguments["processor"],
        input_schema=read_input_schema(arguments["input_schema"]),
        options=read_options(arguments["options"]),
    )
    if json:
        show_json([asdict(finding) for finding in findings])
    elif findings:
        show(repr(findings))
    else:
        say("No findings.")
    return Exit.FAILED if findings.errors else Exit.FINE
