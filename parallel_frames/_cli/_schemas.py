"""What is to be found out: a JSON file, a model that can be imported, or columns in words."""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from parallel_frames._cli._values import dict_of

if TYPE_CHECKING:
    from collections.abc import Sequence

IMPORTABLE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def read_schema(schema: str | None, columns: Sequence[tuple[str, Any]]) -> Any:
    """Return the schema that ``--schema`` or ``--column`` gives."""
    if (schema is None) == (not columns):
        raise click.UsageError(
            "Say what to find out, in one way: --schema FILE.json, --schema module:Model, or --column 'name: what to "
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
