"""The options that commands share, and what they mean to the library."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from parallel_frames._cli._values import Value, dict_of, read_column, read_pair
from parallel_frames._format import parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from parallel_frames._service import Client

F = TypeVar("F", bound="Callable[..., Any]")

DURATION: Final = Value("time", parse_duration)
COLUMN: Final = Value("name: what to find", read_column)
PAIR: Final = Value("name=column", read_pair)
TEXT: Final = Value("text", str)
APIS: Final = ("auto", "published", "published-v1beta", "seed")

SCHEMA = (
    click.option("--schema", metavar="FILE|MODULE:MODEL", help="What to find out: a JSON file, or a model to import."),
    click.option("--column", type=COLUMN, multiple=True, metavar="'NAME (TYPE): TEXT'",
                 help="One column to find out, repeatable. TYPE: str, int, float, bool, date, datetime, list[str]."),
)  # fmt: skip
PROCESSOR = click.option(
    "--processor", default="base", show_default=True, help="Decides price and depth: lite to ultra8x."
)
SERVICE = (
    click.option("--base-url", metavar="URL", help="The service's address.  [default: $PARALLEL_BASE_URL]"),
    click.option("--api", type=click.Choice(APIS), help="The dialect it speaks.  [default: found out]"),
)
JSON = click.option("--json", is_flag=True, help="Print for machines.")
YES = click.option("--yes", is_flag=True, help="Do not ask.")

FRAME = (
    *SCHEMA,
    PROCESSOR,
    click.option("--inputs", type=TEXT, multiple=True, metavar="COLUMN|TEMPLATE",
                 help="What a row sends: a column, repeatable, or a text 'Is {company} listed?'.  [default: all]"),
    click.option("--input-schema", metavar="infer|FILE|MODULE:MODEL",
                 help="Describes the input to the service; infer: by the columns sent."),
    click.option("--options", metavar="FILE",
                 help="A JSON file of what else travels: source_policy, advanced_settings, beta_headers, ..."),
    click.option("--where", type=click.Choice(["missing", "failed"]), help="Ask only these rows."),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Ask only the first N distinct inputs."),
    click.option("--checkpoint", metavar="DIR|auto|none",
                 help="What remembers.  [default: TARGET.ckpt, or auto without a target]"),
    click.option("--on-mismatch", type=click.Choice(["error", "new"]), default="error", show_default=True,
                 help="If the checkpoint holds other jobs or other rows."),
    click.option("--refresh", is_flag=True, help="Ask every row again, although there are answers."),
    click.option("--retry-failed/--no-retry-failed", default=True, help="Ask failed rows again.  [default: yes]"),
    click.option("--basis", type=click.Choice(["none", "columns", "struct"]), default="none", show_default=True,
                 help="The evidence behind each answer."),
    click.option("--prefix", default="", metavar="TEXT", help="Put before the name of every new column."),
    click.option("--if-exists", type=click.Choice(["error", "fill", "overwrite", "suffix"]), default="error",
                 show_default=True, help="If a new column is there already."),
    click.option("--max-cost", type=click.FloatRange(0), metavar="DOLLARS", help="Refuse what would cost more."),
    click.option("--timeout", type=DURATION, metavar="TIME", help="Stop waiting after 90s, 30m, 12h."),
    click.option("--max-in-flight", type=click.IntRange(1), metavar="N", help="Runs under way at the same time."),
    click.option("--metadata", type=PAIR, multiple=True, metavar="NAME=COLUMN",
                 help="Metadata of each run, repeatable."),
    click.option("--max-per-minute", type=click.IntRange(1), metavar="N", help="Runs sent a minute.  [default: 2000]"),
    *SERVICE,
    click.option("--older-than", type=DURATION, metavar="TIME", help="Ask again what was answered before 30d ago."),
    click.option("--provenance", is_flag=True, help="Add columns that tell the run and time of each answer."),
    click.option("--rows-per-file", type=click.IntRange(1), metavar="N",
                 help="Size of a part, where TARGET is a directory.  [default: 1000000]"),
    click.option("--overwrite", is_flag=True, help="Replace a target that is there."),
    click.option("--progress/--no-progress", default=None, help="Show a bar, or nothing.  [default: by the place]"),
    YES,
    JSON,
)  # fmt: skip


def with_options(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Give a command these options, in this order."""

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


SAME: Final = (
    "processor where limit on_mismatch refresh retry_failed basis prefix if_exists max_cost timeout max_in_flight "
    "progress"
)


def examples(*lines: str) -> str:
    """Return the end of a help text."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def client_of(said: Mapping[str, Any], *, for_sending: bool = True) -> Client | None:
    """Return the client that the options ask for; None for the usual one."""
    asked = {"base_url": said.get("base_url"), "api": said.get("api"), "max_per_minute": said.get("max_per_minute")}
    given = {name: value for name, value in asked.items() if value is not None}
    if not given:
        return None
    from parallel_frames._service import Client

    if not for_sending:
        given["api_key"] = os.environ.get("PARALLEL_API_KEY") or "none"
    return Client(**given)


def options_of(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options as `parallel_frames.enrich` takes them, without checkpoint and client."""
    asked = {name: said[name] for name in SAME.split()}
    metadata = dict_of(said["metadata"], option="--metadata")
    return {**asked, "inputs": _inputs(said["inputs"]), "metadata": metadata or None}


def _inputs(given: tuple[str, ...]) -> Any:
    """Return columns as a list, and a template as the text it is."""
    templates = [text for text in given if "{" in text]
    if templates and len(given) > 1:
        raise click.UsageError("--inputs is columns, or one template: say one of them.")
    return templates[0] if templates else list(given) or None
