"""A question to whoever sits in front of it; an error where nobody does."""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from parallel_frames._ui._screen import in_notebook, in_terminal, readable
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

YES = frozenset({"y", "yes"})


def ask(question: str) -> bool:
    """Ask at the terminal or in the notebook, and return whether the answer is yes.

    Raises
    ------
    InputError
        There is nobody to ask.
    """
    prompt = f"{question} [y/N] "
    with _plain_ctrl_c():
        if in_notebook():
            answer = _ask_in_notebook(prompt)
        elif in_terminal() and sys.stdin is not None and sys.stdin.isatty():
            sys.stderr.write(readable(prompt, encoding=sys.stderr.encoding))
            sys.stderr.flush()
            answer = sys.stdin.readline()
        else:
            raise _nobody()
    return answer.strip().lower() in YES


def _ask_in_notebook(prompt: str) -> str:
    try:
        return input(prompt)
    except NotImplementedError:  # the front end takes no input, as when a notebook is executed as a whole
        raise _nobody() from None
    except EOFError:
        return ""


def _nobody() -> InputError:
    return InputError(
        "confirm=True asks before anything is paid, and here is nobody to ask: neither a terminal nor a notebook that "
        "takes input. Nothing was sent. In a script leave it out, and say max_cost=... to bound what it may cost."
    )


@contextmanager
def _plain_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C break off the reading of a line: while an enrichment runs, it only cancels at the next moment."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
