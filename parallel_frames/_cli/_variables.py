"""Options in the environment: one that is misspelt would be ignored, a limit in dollars among them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from parallel_frames._cli._speech import say
from parallel_frames._format import closest

if TYPE_CHECKING:
    import click


def warn_of_variables(command: click.Command, *, program: str, prefix: str) -> None:
    """Name the variables that look like options of a command, and are none."""
    names = {str(param.name).upper() for param in command.params}
    meanings = {name: name for name in names}
    for param in command.params:
        for flags, value in ((param.opts, ""), (param.secondary_opts, "=0")):
            typed = (flag.lstrip("-").replace("-", "_").upper() for flag in flags)
            meanings.update({name: f"{str(param.name).upper()}{value}" for name in typed if name not in names})
    for variable in sorted(os.environ):
        name = variable.removeprefix(prefix if variable.startswith(prefix) else f"{program}_")
        is_meant = variable.startswith(prefix) or (variable.startswith(f"{program}_") and name in meanings)
        if not is_meant or variable == f"{prefix}{meanings.get(name)}":
            continue
        meant = meanings.get(name) or meanings.get(str(closest(name, meanings)))
        question = "" if meant is None else f" Did you mean {prefix}{meant}?"
        say(f"Warning: the variable {variable} is no option of {command.name}, and is ignored.{question}")
