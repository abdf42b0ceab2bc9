"""`completion`: what a shell completes, and how it comes into bash, zsh and fish."""

from __future__ import annotations

import csv
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from parallel_frames._cli._app import PROGRAM, VARIABLE, app
from parallel_frames._cli._exits import Commands
from parallel_frames._cli._options import examples
from parallel_frames._cli._shells import Bash, Fish, Zsh
from parallel_frames._cli._speech import say, show
from parallel_frames._file_formats import format_at, split_sheet
from parallel_frames._fs import atomic_write
from parallel_frames.errors import ParallelFramesError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SHELLS: Final = {"bash": Bash, "zsh": Zsh, "fish": Fish}
MARK: Final = "# completion of parallel-frames"
LOOKED_AT: Final = 2**20

SHELL = click.argument("shell", type=click.Choice(SHELLS), required=False)


@click.group(
    "completion",
    cls=Commands,
    no_args_is_help=True,
    epilog=examples("parallel-frames completion install", "parallel-frames completion show zsh"),
)
def completion_command() -> None:
    """Set up completion of commands, options, files, columns and processors in bash, zsh and fish."""


@completion_command.command("install", epilog=examples("parallel-frames completion install bash"))
@SHELL
def install_command(shell: str | None) -> None:
    """Install completion for SHELL, by default yours ($SHELL). Run it again to update it."""
    shell = shell or _own_shell()
    home = Path.home()
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    if shell == "fish":  # which reads it from there by itself
        path = settings / "fish" / "completions" / f"{PROGRAM}.fish"
        _write(path, _script(shell))
        say(f"Written: {path}. The next fish that you start completes {PROGRAM}.")
        return
    path = settings / "parallel_frames" / f"completion.{shell}"
    _write(path, _script(shell))
    start = home / ".bashrc" if shell == "bash" else Path(os.environ.get("ZDOTDIR") or home) / ".zshrc"
    known = start.read_text(encoding="utf-8", errors="replace") if start.exists() else ""
    if MARK not in known:
        needed = "" if shell == "bash" else "autoload -Uz compinit && (( $+functions[compdef] )) || compinit; "
        line = f"{needed}[ -r '{path}' ] && . '{path}'  {MARK}\n"
        with start.open("a", encoding="utf-8") as sink:
            sink.write(line if not known or known.endswith("\n") else f"\n{line}")
    say(f"Written: {path}, which {start} reads. The next {shell} that you start completes {PROGRAM}.")


@completion_command.command("show", epilog=examples("parallel-frames completion show fish"))
@SHELL
def show_command(shell: str | None) -> None:
    """Print the script for SHELL, by default yours ($SHELL)."""
    show(_script(shell or _own_shell()).rstrip("\n"))


def _own_shell() -> str:
    name = Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise click.UsageError(f"$SHELL is {name or 'not set'}; name one of {', '.join(SHELLS)}.")
    return name


def _script(shell: str) -> str:
    complete = SHELLS[shell](app, {}, PROGRAM, VARIABLE)
    return complete.source_template % complete.source_vars()


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as sink:
            sink.write(text.encode())
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written ({error.strerror or error}).") from error


# Columns


def column_names(words: Sequence[str]) -> list[str]:
    """Return the names of the columns of the first word that is a file, as far as its beginning shows them."""
    source = next((word for word in words if Path(split_sheet(word)[0]).is_file()), None)
    if source is None:
        return []
    with suppress(OSError, ValueError, LookupError, EOFError, csv.Error, ParallelFramesError):
        return list(dict.fromkeys(_names_in(*split_sheet(source))))
    return []


def _names_in(source: str, sheet: str | None) -> Iterator[str]:
    path = Path(source)
    kind = format_at(path.name)
    if kind in ("parquet", "feather"):
        from parallel_frames._files._source import open_source

        yield from open_source(path).schema.names
    elif kind == "xlsx":
        import pandas as pd

        from parallel_frames._files._excel import choose_sheet

        with pd.ExcelFile(path) as book:
            name = choose_sheet([str(name) for name in book.sheet_names], sheet or "1", path=source)
            yield from map(str, pd.read_excel(book, sheet_name=name, nrows=0).columns)
    elif kind in ("csv", "tsv"):
        yield from next(csv.reader(_beginning(path).splitlines(), delimiter="\t" if kind == "tsv" else ","), [])
    elif kind is not None:
        yield from _names_of_json(_beginning(path), is_lines=kind == "jsonl")


def _beginning(path: Path) -> str:
    import gzip

    opened = gzip.open if path.name.endswith(".gz") else open
    with opened(path, "rb") as stream:
        return stream.read(LOOKED_AT).decode("utf-8-sig", errors="replace")


def _names_of_json(text: str, *, is_lines: bool) -> Iterator[str]:
    """Yield the names in the first object of a JSON array, or of each of a few lines."""
    import json

    decoder = json.JSONDecoder()
    texts = text.splitlines()[:100] if is_lines else [text.lstrip().removeprefix("[").lstrip()]
    for each in texts:
        row, _ = decoder.raw_decode(each)
        yield from row if isinstance(row, dict) else ["input"]
