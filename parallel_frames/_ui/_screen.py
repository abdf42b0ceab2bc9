"""Where a person looks: a terminal, a notebook, or nowhere; and how a line gets there in one piece."""

from __future__ import annotations

import shutil
import signal
import sys
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Self

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


SEPARATOR: Final = " · "
WIDE: Final = 1_000
PLAIN: Final = str.maketrans({"→": "->", "·": "-", "…": "...", "–": "-", "×": "x"})


def in_notebook() -> bool:
    """Return whether this process is a notebook's kernel."""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    return running is not None and hasattr(running, "kernel")


def in_terminal() -> bool:
    """Return whether the error stream is a terminal."""
    return sys.stderr is not None and not sys.stderr.closed and sys.stderr.isatty()


def bar_class() -> Any:
    """Return tqdm's notebook bar where it can be drawn, and its text bar elsewhere; neither starts a thread."""
    from tqdm import tqdm

    base: Any = tqdm
    if in_notebook():
        try:
            # Without it the notebook bar only warns.
            import ipywidgets  # noqa: F401 # pyright: ignore[reportMissingImports] - optional
            from tqdm.notebook import tqdm as notebook_bar
        except ImportError:
            pass
        else:
            base = notebook_bar
    return _bar_of(base)


@cache
def _bar_of(base: Any) -> Any:
    """Return a bar without the thread and the lock that all bars of a process share.

    A Ctrl-C between its taking and its giving back would leave that lock taken, and the next enrichment in another
    thread waiting for ever. Without it two lines may stand in one, at worst.
    """
    return type("Bar", (base,), {"monitor_interval": 0, "_lock": _NoLock()})


class _NoLock:
    """A lock that is always free."""

    def acquire(self, *_: object, **__: object) -> bool:
        return True

    def release(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def bar_file() -> Any:
    """Return where a text bar is drawn; the notebook's bar chooses itself."""
    return None if in_notebook() else sys.stderr


def bar_width(bar: Any) -> int:
    """Return the columns a bar may take; a notebook's has room for everything, and so has a pipe's."""
    columns = None if in_notebook() else bar.format_dict["ncols"]
    return columns if isinstance(columns, int) and columns > 0 else WIDE


def print_line(text: str) -> None:
    """Write a line to the error stream, above a bar if there is one, in what the stream can show."""
    stream = sys.stderr
    if stream is None:
        return
    if in_terminal():
        text = wrapped(text, width=shutil.get_terminal_size().columns)
    bar_class().write(readable(f"{text}\n", encoding=getattr(stream, "encoding", None)), file=stream, end="")


def readable(text: str, *, encoding: str | None) -> str:
    """Return a text as the encoding can show it."""
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return text.translate(PLAIN).encode("ascii", "replace").decode()
    return text


def wrapped(text: str, *, width: int) -> str:
    """Return a line broken between its parts where it is wider than the terminal."""
    if len(text) <= width:
        return text
    lines = [""]
    for part in text.split(SEPARATOR):
        longer = f"{lines[-1]}{SEPARATOR}{part}" if lines[-1].strip() else f"{lines[-1]}{part}"
        if len(longer) <= width or not lines[-1].strip():
            lines[-1] = longer
        else:
            lines.append(f"  {part}")
    return "\n".join(lines)
