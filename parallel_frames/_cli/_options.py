"""The options of the commands, and what their texts mean.

It owns how an option is typed. Names, defaults, choices and help come from the library: from `Call` and from the
Parameters of `parallel_frames.enrich`. Only what a shell spells differently is written here, so that a new default or
a better sentence there is one here too.
"""

from __future__ import annotations

import csv
import inspect
import json
import math
import os
import re
import sys
from dataclasses import fields
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

import click
from click.shell_completion import CompletionItem

from parallel_frames._file_formats import FORMATS
from parallel_frames._format import parse_duration
from parallel_frames._job._options import CHOICES, Call
from parallel_frames._schema._dtypes import python_type_for
from parallel_frames.accessor import enrich

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from parallel_frames._service import Client

F = TypeVar("F", bound="Callable[..., Any]")

COLUMN_PATTERN: Final = re.compile(
    r"(?P<name>[^:]+?)\s*(?:\((?P<type>[^()]*)\))?\s*(?::\s*(?P<description>.*))?", re.DOTALL
)
TYPES: Final[Mapping[str, Any]] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "date": date,
    "datetime": datetime,
    "list[str]": list[str],
}
IMPORTABLE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


class Value(click.ParamType):  # type: ignore[type-arg,unused-ignore]  # generic in some versions only
    """An option's text, read by a function whose ValueError says what is wrong.

    Several in one environment variable stand one a line: a column's name may hold spaces.
    """

    envvar_list_splitter = "\n"

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return what the text means."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def read_column(text: str) -> tuple[str, Any]:
    """Return a column's name and what to find: ``ceo: name of the CEO``, ``founded (int): year of foundation``."""
    match = COLUMN_PATTERN.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a column: expected 'name: what to find' or 'name (int): what to find'")
    name, kind, description = match["name"], match["type"], (match["description"] or "").strip()
    kind = None if kind is None else kind.replace(" ", "")
    if kind is not None and kind not in TYPES:
        python = python_type(kind)
        rest = f"write '{name} ({python})'" if python in TYPES else f"expected one of {', '.join(TYPES)}"
        raise ValueError(f"{kind!r} in {text!r} is not a type: {rest}")
    if kind is None and not description:
        raise ValueError(f"{text!r} lacks what to find: expected 'name: what to find'")
    python = python_type(description) if kind is None else ""
    if python in TYPES:
        raise ValueError(f"{text!r} has a type where its description belongs: write '{name} ({python}): what to find'")
    column_type = TYPES[kind or "str"]
    return name, (column_type, description) if description else column_type


def python_type(text: str) -> str:
    """Return the type that a word means, as it is typed here; an empty text where it means none."""
    return (python_type_for(text) or "").removeprefix("datetime.")


def read_dollars(text: str) -> float:
    """Return an amount of US dollars."""
    try:
        amount = float(text)
    except ValueError:
        amount = math.nan
    if not amount >= 0:
        raise ValueError(f"{text!r} must be an amount in US dollars, 0 or more, such as 5 or 0.5")
    return amount


def read_pair(text: str) -> tuple[str, str]:
    """Return name and column of ``NAME=COLUMN``."""
    name, sign, column = text.partition("=")
    if not (name and sign and column):
        raise ValueError(f"{text!r} is not of the form NAME=COLUMN")
    return name, column


def read_names(text: str) -> list[str]:
    """Return the names of ``core,pro``."""
    return [name.strip() for name in text.split(",")]


def dict_of(pairs: Sequence[tuple[str, Any]], *, option: str) -> dict[str, Any]:
    """Return pairs as a mapping; a name given twice is refused."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise click.UsageError(f"{option} names {name!r} twice.")
        found[name] = value
    return found


class Completed(Value):
    """An option's text that a shell completes: `complete` returns what may stand there."""

    def __init__(
        self, name: str, read: Callable[[str], Any], complete: Callable[[click.Context, str], Iterable[str]]
    ) -> None:
        super().__init__(name, read)
        self._complete = complete

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG002 - click's signature
        """Return what begins as the incomplete text does."""
        found = [text for text in self._complete(ctx, incomplete) if text.startswith(incomplete)]
        return [CompletionItem(text) for text in found]


def _columns_of_source(ctx: click.Context) -> list[str]:
    from parallel_frames._cli._completion import column_names

    # Behind an option that lacks its value, click has parsed nothing.
    return column_names([ctx.params["source"]] if ctx.params.get("source") else ctx.args)


def _lists_of_columns(ctx: click.Context, incomplete: str) -> list[str]:
    before, comma, _ = incomplete.rpartition(",")
    names = [f'"{name}"' if "," in name else name for name in _columns_of_source(ctx)]
    return [f"{before}{comma}{name}" for name in names]


def _pairs_of_columns(ctx: click.Context, incomplete: str) -> list[str]:
    name, sign, _ = incomplete.partition("=")
    return [f"{name}={column}" for column in _columns_of_source(ctx)] if sign else []


def _lists_of_processors(ctx: click.Context, incomplete: str) -> list[str]:
    before, comma, _ = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _processors(ctx, incomplete)]


def _processors(ctx: click.Context, incomplete: str) -> list[str]:  # noqa: ARG001 - as the others
    from parallel_frames._prices import processor_names

    return processor_names()


DURATION: Final = Value("time", parse_duration)
DOLLARS: Final = Value("dollars", read_dollars)
COLUMN: Final = Value("name: what to find", read_column)
PAIR: Final = Completed("name=column", read_pair, _pairs_of_columns)
TEXT: Final = Value("text", str)
INPUTS: Final = Completed("text", str, _lists_of_columns)
NAME: Final = Completed("text", str, _processors)
NAMES: Final = Completed("text", read_names, _lists_of_processors)
FILE: Final = click.Path()
DIRECTORY: Final = click.Path(file_okay=False)
KINDS: Final = tuple(dict.fromkeys(FORMATS.values()))
APIS: Final = ("auto", "published", "published-v1beta", "seed")

# In the order of the help. What the library offers and is not here makes no sense at a prompt (`on_row`, `client`) or
# has a switch of its own (`confirm` is the absence of --yes).
ENRICH: Final[Mapping[str, Mapping[str, Any]]] = {
    "processor": {"short": "-p", "type": NAME},
    "escalate": {"type": NAMES, "metavar": "NAMES",
                 "help": "Further processors for rows without a good answer: core,pro."},
    "inputs": {"type": INPUTS, "multiple": True, "metavar": "COLUMNS|TEMPLATE",
               "help": "What a row sends: the bare cell of one column (company), an object of columns "
                       "(company,country; of one: company,), or a text 'Is {company} listed?'. These are different "
                       "inputs, each paid for. Repeatable.  [default: all columns]"},
    "input_schema": {"type": FILE, "metavar": "infer|FILE|MODULE:MODEL"},
    "options": {"type": FILE, "metavar": "FILE",
                "help": "A JSON file of further settings: source_policy, advanced_settings, beta_headers, ..."},
    "where": {"type": click.Choice(CHOICES), "help": "Ask about these rows only."},
    "limit": {"short": "-n"},
    "group_id": {"type": TEXT, "multiple": True, "metavar": "ID"},
    "checkpoint": {"type": DIRECTORY, "default": None, "metavar": "DIR|auto|none",
                   "help": "The directory in which answers are kept.  [default: auto, your cache]"},
    "on_mismatch": {},
    "refresh": {},
    "older_than": {"type": DURATION, "metavar": "TIME"},
    "retry_failed": {},
    "basis": {},
    "provenance": {},
    "prefix": {"metavar": "TEXT"},
    "if_exists": {},
    "max_cost": {"type": DOLLARS, "metavar": "DOLLARS"},
    "max_in_flight": {},
    "timeout": {"type": DURATION, "metavar": "TIME", "help": "Stop waiting after this time: 90s, 30m, 12h."},
    "metadata": {"type": PAIR, "multiple": True, "metavar": "NAME=COLUMN",
                 "help": "Further metadata of each run, repeatable."},
    "progress": {"help": "Show a bar; costs are shown without it too.  [default: a bar in a terminal]"},
}  # fmt: skip


def _parameter_help() -> dict[str, str]:
    """Return the first sentence on each parameter of `enrich`; none where Python runs without docstrings (-OO)."""
    parameters = (inspect.getdoc(enrich) or "").partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    entries = re.findall(r"^(\w+) : .*\n((?:    .*\n?)+)", parameters, re.MULTILINE)
    sentences = {name: re.split(r"(?<=\.)\s", " ".join(text.split()))[0] for name, text in entries}
    return {name: re.sub(r"``\"?|\"?``", "", text).replace("call", "command") for name, text in sentences.items()}


def _library_options() -> dict[str, Callable[[F], F]]:
    """Return the click option of each entry of `ENRICH`."""
    hints, sentences = get_type_hints(Call), _parameter_help()
    defaults = {field.name: field.default for field in fields(Call)}
    return {
        name: _option(name, hints[name], defaults[name], {"help": sentences.get(name), **shell})
        for name, shell in ENRICH.items()
    }


def _option(name: str, hint: Any, default: Any, settings: Mapping[str, Any]) -> Callable[[F], F]:
    flag = f"--{name.replace('_', '-')}"
    if settings.get("multiple"):
        return click.option(flag, **settings)
    settings = {"default": default, "show_default": isinstance(default, str) and default != "", **settings}
    short = [settings.pop("short")] if "short" in settings else []
    if get_origin(hint) is Literal:
        settings["type"] = click.Choice(get_args(hint))
    elif hint is bool and not default:
        settings["is_flag"] = True
    elif bool in (hint, *get_args(hint)):  # click shows no default of a pair
        flag = f"{flag}/--no-{name.replace('_', '-')}"
        settings["help"] = f"{settings['help'] or ''}{'  [default: yes]' if default else ''}"
    elif int in get_args(hint):
        settings |= {"type": click.IntRange(1), "metavar": "N"}
    return click.option(flag, *short, **settings)


LIBRARY: Final = _library_options()

SCHEMA = (
    click.option("--schema", type=FILE, metavar="FILE|MODULE:MODEL",
                 help="What to find out: a JSON file, or a model class to import."),
    click.option("--column", type=COLUMN, multiple=True, metavar="'NAME (TYPE): TEXT'",
                 help="One column to find out, repeatable. TYPE: str, int, float, bool, date, datetime, list[str]."),
)  # fmt: skip
PROCESSOR = LIBRARY["processor"]
SERVICE = (
    click.option("--base-url", metavar="URL", help="The address of the service.  [default: $PARALLEL_BASE_URL]"),
    click.option("--api", type=click.Choice(APIS), help="The API that it speaks.  [default: detected]"),
)
OFFLINE = click.option("--offline", is_flag=True,
                       help="Use a simulator on this machine: free, no key, made-up answers.")  # fmt: skip
MAX_PER_MINUTE = click.option("--max-per-minute", type=click.IntRange(1), metavar="N",
                              help="Runs sent a minute.  [default: 2000]")  # fmt: skip
JSON = click.option("--json", is_flag=True, help="Print JSON.")
YES = click.option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")

FRAME = (
    *SCHEMA,
    *LIBRARY.values(),
    click.option("--output", "-o", type=FILE, metavar="TARGET", help="The same as TARGET."),
    click.option("--from", "source_format", type=click.Choice(KINDS),
                 help="Format of SOURCE where it is -.  [default: json or jsonl]"),
    click.option("--to", "target_format", type=click.Choice(KINDS),
                 help="Format of TARGET where it is -.  [default: jsonl]"),
    click.option("--as-completed", is_flag=True,
                 help="Write a JSON line for each row as its answer arrives, to a pipe or appended to a file: row, "
                      "input, output, status, error, basis, run_id, processor, group_id. Inputs in the file are not "
                      "asked again."),
    OFFLINE,
    MAX_PER_MINUTE,
    *SERVICE,
    click.option("--rows-per-file", type=click.IntRange(1), metavar="N",
                 help="Rows in each file where TARGET is a directory.  [default: 1000000]"),
    click.option("--overwrite", is_flag=True, help="Replace an existing target."),
    YES,
    JSON,
)  # fmt: skip


SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "The question": ("schema", "column", "processor", "escalate", "inputs", "input_schema", "options"),
    "Rows and files": ("where", "limit", "output", "source_format", "target_format", "as_completed", "overwrite",
                       "rows_per_file"),
    "Columns": ("basis", "provenance", "prefix", "if_exists"),
    "Cost and pace": ("max_cost", "yes", "max_in_flight", "max_per_minute", "timeout"),
    "Checkpoint": ("checkpoint", "on_mismatch", "group_id", "refresh", "older_than", "retry_failed"),
    "The service": ("offline", "base_url", "api", "metadata"),
}  # fmt: skip


class Sectioned(click.Command):
    """A command with many options: its help lists them in sections."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, those of no section last."""
        section_of = {name: title for title, names in SECTIONS.items() for name in names}
        titles = (*SECTIONS, "Output")
        records: dict[str, list[tuple[str, str]]] = {title: [] for title in titles}
        for param in self.get_params(ctx):
            is_option = isinstance(param, click.Option)  # some versions of click list the arguments, too
            if is_option and (record := param.get_help_record(ctx)) is not None:
                records[section_of.get(param.name or "", "Output")].append(record)
        for title, lines in records.items():
            with formatter.section(title):
                formatter.write_dl(lines)


def with_options(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    """Give a command these options, in this order."""

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def examples(*lines: str) -> str:
    """Return the end of a help text."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


def client_of(options: Mapping[str, Any], *, for_sending: bool = True) -> Client | None:
    """Return the client that the options ask for; None for the usual one."""
    names = ("base_url", "api", "max_per_minute")
    given = {name: options[name] for name in names if options.get(name) is not None}
    if not given or options.get("offline"):
        return None
    from parallel_frames._service import Client

    if not for_sending:
        given["api_key"] = os.environ.get("PARALLEL_API_KEY") or "none"
    return Client(**given)


def library_options(options: Mapping[str, Any], *, for_sending: bool = True) -> dict[str, Any]:
    """Return the options as `parallel_frames.enrich` takes them; the checkpoint is still as it was typed."""
    return {
        **{name: options[name] for name in LIBRARY if name in options},  # a command may not have all of them
        "inputs": read_inputs(options["inputs"]),
        "group_id": list(options.get("group_id", ())) or None,
        "metadata": dict_of(options["metadata"], option="--metadata") or None,
        "input_schema": read_input_schema(options["input_schema"]),
        "options": read_options(options["options"]),
        "client": client_of(options, for_sending=for_sending),
    }


def read_inputs(given: Sequence[str]) -> Any:
    """Return what a row sends as the library takes it: ``a`` is one bare cell, ``a,b`` or ``a,`` a list of columns.

    Several are columns of one list. A name that has a comma is quoted, as in CSV: ``'"Name, legal"'``.
    """
    if not given:
        return None
    templates = [text for text in given if "{" in text]
    if templates and len(given) > 1:
        raise click.UsageError("--inputs takes columns, or one template, and not both.")
    if templates:
        return templates[0]
    lines = [next(csv.reader([text], skipinitialspace=True), []) for text in given]
    names = [name.strip() for line in lines for name in line if name.strip()]
    if not names:
        raise click.UsageError("--inputs is empty: name columns, or leave it out to send all of them.")
    return names[0] if len(lines) == len(lines[0]) == 1 else names


def type_inputs(value: str | Sequence[object]) -> list[str]:
    """Return what is typed after each ``--inputs`` for what the library takes."""
    if isinstance(value, str):
        return [value if "{" in value else _quoted(value)]
    names = [_quoted(str(name)) for name in value]
    return [f"{names[0]},"] if len(names) == 1 else names


def _quoted(name: str) -> str:
    is_plain = not set(name) & {",", '"'} and name == name.strip()
    return name if is_plain else '"{}"'.format(name.replace('"', '""'))


def read_schema(schema: str | None, columns: Sequence[tuple[str, Any]]) -> Any:
    """Return the schema that ``--schema`` or ``--column`` gives."""
    if (schema is None) == (not columns):
        raise click.UsageError(
            "Pass what to find out, in one way: --schema FILE.json, --schema module:Model, or --column 'name: what to "
            "find' as often as needed."
        )
    if schema is None:
        return dict_of(columns, option="--column")
    return _file_or_model(schema)


def read_input_schema(given: str | None) -> Any:
    """Return the schema that ``--input-schema`` gives; "infer" is the library's own word."""
    return given if given in (None, "infer") else _file_or_model(str(given))


def read_options(path: str | None) -> Any:
    """Return what ``--options`` says shall travel with every run."""
    return None if path is None else _read_file(Path(path), what="options")


def _file_or_model(given: str) -> Any:
    if IMPORTABLE.fullmatch(given) and not Path(given).exists():
        return _import_model(given)
    return _read_file(Path(given), what="schema")


def _read_file(path: Path, *, what: str) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise click.UsageError(f"The {what} {path} cannot be read ({error.strerror or error}).") from None
    except UnicodeDecodeError as error:
        raise click.UsageError(f"The {what} {path} cannot be read: {error}. Save it as UTF-8.") from None
    except ValueError as error:
        raise click.UsageError(f"The {what} {path} is not JSON: {error}.") from None


def _import_model(named: str) -> Any:
    module, _, name = named.partition(":")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise click.UsageError(f"--schema {named}: there is no module {module!r} here, nor installed.") from None
        raise click.UsageError(f"--schema {named}: {module} needs {error.name!r}, which is not installed.") from None
    except (ImportError, SyntaxError, NameError, TypeError, ValueError, AttributeError, OSError) as error:
        raise click.UsageError(f"--schema {named}: {module} cannot be imported: {error}.") from None
    for part in name.split("."):
        if not hasattr(found, part):
            raise click.UsageError(f"--schema {named}: {module} has no {name!r}.")
        found = getattr(found, part)
    return found
