"""Where an enrichment shows what it does: the error stream, with a bar in a terminal; and a question with its answer.

It owns where output goes, how much fits and what the encoding can show. It does not know what is shown, or when: that
is `_progress`. A notebook's card is `_card`.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._format import mark_simulated, shorten
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

logger = logging.getLogger("parallel_frames")

SEPARATOR: Final = " · "
YES: Final = frozenset({"y", "yes"})
UNLIMITED: Final = 1_000
MIN_BAR: Final = len(": 100%|██████|  rows")
ASCII: Final = str.maketrans({"→": "->", "·": "-", "…": "...", "–": "-", "×": "x"})


_spell: Callable[[str], str] = str  # code in what is shown, such as options: as it is, unless a command line spells it


@contextmanager
def spelling(spell: Callable[[str], str]) -> Iterator[None]:
    """Show what this process shows with its code spelled another way."""
    global _spell  # noqa: PLW0603 - a process has one error stream
    before, _spell = _spell, spell
    try:
        yield
    finally:
        _spell = before


def in_notebook() -> bool:
    """Return whether this process is a Jupyter notebook's kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def in_marimo() -> bool:
    """Return whether this thread runs a cell of a marimo notebook."""
    runs_cell = getattr(sys.modules.get("marimo"), "running_in_notebook", None)
    return runs_cell is not None and bool(runs_cell())


def in_terminal() -> bool:
    """Return whether the error stream is a terminal."""
    is_terminal = getattr(sys.stderr, "isatty", None)  # what stands in for a stream may have `write` and no more
    return is_terminal is not None and not getattr(sys.stderr, "closed", False) and is_terminal()


def first_line(essence: str, facts: Sequence[str], *, simulated: bool) -> str:
    """Return what will be done, as a line."""
    return mark_simulated(SEPARATOR.join([essence, *facts]), simulated=simulated)


def end_line(word: str, figures: Sequence[str], counts: Mapping[str, int], *, simulated: bool) -> str:
    """Return how an enrichment ended, as a line: how far it came, rows by status, and the other figures."""
    first, *others = figures
    statuses = [f"{rows:,} {status}" for status, rows in counts.items() if rows]
    line = (f"{word}: " if word else "") + SEPARATOR.join([first, *statuses, *others])
    return mark_simulated(line, simulated=simulated)


class Screen:
    """Lines, and a bar of tqdm's; after the first failure nothing is shown any more.

    Attributes
    ----------
    has_bar : bool
        Whether what moves is shown: then lines that only say how far it is are left out.
    is_apart : bool
        Whether it is another place than the streams that a log may be printed to.
    """

    is_apart = False

    def __init__(self, *, lines: bool, bar: bool) -> None:
        self.has_bar = bar
        self._has_lines = lines
        self._bar: Any = None

    @property
    def shows_lines(self) -> bool:
        """Whether lines are shown."""
        return self._has_lines

    def announce(self, essence: str, facts: Sequence[str], *, simulated: bool) -> None:
        """Say what will be done, before anything is sent."""
        self.write_line(first_line(essence, facts, simulated=simulated))

    def show_group(self, address: str) -> None:
        """Show where a group can be looked at."""
        self.write_line(f"group {address}")

    def warn(self, text: str) -> None:
        """Show a warning."""
        self.write_line(f"Warning: {text}")

    def write_line(self, text: str) -> None:
        """Write a line, above the bar if there is one."""
        if self._has_lines:
            self._show(lambda: _write_line(text))

    def open_bar(self, title: str, *, unit: str, total: int, counts: Mapping[str, int]) -> None:
        """Draw the bar, if there is to be one; `counts` is what is done, by status."""
        if self.has_bar:
            self._show(lambda: self._draw_bar(title, unit=unit, total=total, done=sum(counts.values())))

    def _draw_bar(self, title: str, *, unit: str, total: int, done: int) -> None:
        self._bar = _bar_class()(
            total=total,
            initial=done,
            unit=unit,
            desc=title,
            file=sys.stderr,
            leave=True,
            dynamic_ncols=True,
            bar_format=f"{{desc}}: {{percentage:3.0f}}%|{{bar}}| {{n_fmt}}/{{total_fmt}} {unit}s{{postfix}}",
        )

    def advance(self, count: int) -> None:
        """Move the bar on by so many rows or runs."""
        if self._bar is not None and count:
            self._show(lambda: self._bar.update(count))

    def set_title(self, text: str, *, min_width: int) -> None:
        """Put a text in front of the bar, cut to the room there is."""

        def draw() -> None:
            room = self._room() - len(str(self._bar.total))
            self._bar.set_description_str(_bar_text(shorten(text, max(min_width, min(60, room)))))

        if self._bar is not None:
            self._show(draw)

    def set_figures(self, title: str, figures: Sequence[str], counts: Mapping[str, int]) -> None:  # noqa: ARG002 - a card's
        """Put the title in front of the bar and behind it as many of the figures, from the first on, as fit whole."""

        def draw() -> None:
            fitting = list(figures)
            room = self._room() - len(title) - len(str(self._bar.n)) - len(", ")
            while fitting and len(SEPARATOR.join(fitting)) > room:
                fitting.pop()
            self._bar.set_description_str(title, refresh=False)
            self._bar.set_postfix_str(_bar_text(SEPARATOR.join(fitting)))

        if self._bar is not None:
            self._show(draw)

    def _room(self) -> int:
        """Return the columns that a short bar leaves; a pipe has room for everything."""
        columns = self._bar.format_dict["ncols"]
        width = columns if isinstance(columns, int) and columns > 0 else UNLIMITED
        return width - MIN_BAR - len(f"{self._bar.total}/")

    def end(self, word: str, figures: Sequence[str], counts: Mapping[str, int], *, simulated: bool) -> None:
        """Leave the bar as it is, and show how it ended."""
        self._close_bar()
        self.write_line(end_line(word, figures, counts, simulated=simulated))

    def close(self) -> None:
        """Leave the bar as it is, and show nothing from now on."""
        self._close_bar()
        self._has_lines = self.has_bar = False

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._show(self._bar.close)
        self._bar = None

    def _show(self, draw: Callable[[], object]) -> None:
        try:
            draw()
        except Exception as error:  # noqa: BLE001 - a screen must not cost what was paid for
            logger.debug("progress cannot be shown: %s: %s", type(error).__name__, error)
            self._bar, self._has_lines, self.has_bar = None, False, False


class MarimoScreen(Screen):
    """Lines on the error stream, which marimo shows below the cell, and marimo's own bar."""

    def _draw_bar(self, title: str, *, unit: str, total: int, done: int) -> None:
        import marimo  # pyright: ignore[reportMissingImports] - it runs the cell

        bar: Any = marimo.status.progress_bar(
            total=total, title=title, subtitle=f"{unit}s", show_rate=False, show_eta=False, remove_on_exit=False
        )
        self._bar, self._leave = bar.__enter__(), bar.__exit__
        self._bar.update(done)

    def set_title(self, text: str, *, min_width: int) -> None:  # noqa: ARG002 - it has room
        """Put a text above the bar."""
        if self._bar is not None:
            self._show(lambda: self._bar.update(0, title=text))

    def set_figures(self, title: str, figures: Sequence[str], counts: Mapping[str, int]) -> None:  # noqa: ARG002 - a card's
        """Put the title above the bar and the figures below it."""
        if self._bar is not None:
            self._show(lambda: self._bar.update(0, title=title, subtitle=SEPARATOR.join(figures)))

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._show(lambda: self._leave(None, None, None))
        self._bar = None


def _bar_class() -> Any:
    """Return tqdm's text bar."""
    from tqdm import tqdm

    # All bars of a process share a lock. A Ctrl-C between its taking and its release would leave it taken, and the next
    # enrichment in another thread would wait for ever; so each bar has its own. The monitor's thread is not needed.
    return type("Bar", (tqdm,), {"monitor_interval": 0, "_lock": threading.RLock()})


def _bar_text(text: str) -> str:
    return readable(_spell(text), encoding=getattr(sys.stderr, "encoding", None))


def _write_line(text: str) -> None:
    stream = sys.stderr
    if stream is None:
        return
    text = _spell(text)
    if in_terminal():
        text = wrap_parts(text, width=shutil.get_terminal_size().columns)
    _bar_class().write(readable(f"{text}\n", encoding=getattr(stream, "encoding", None)), file=stream, end="")


def readable(text: str, *, encoding: str | None) -> str:
    """Return a text as the encoding can show it."""
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return text.translate(ASCII).encode("ascii", "replace").decode()
    return text


def wrap_parts(text: str, *, width: int) -> str:
    """Return a line broken between its parts, where it is wider than that."""
    if len(text) <= width:
        return text
    first, *parts = text.split(SEPARATOR)
    lines = [first]
    for part in parts:
        longer = f"{lines[-1]}{SEPARATOR}{part}"
        if len(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(f"  {part}")
    return "\n".join(lines)


def is_interactive() -> bool:
    """Return whether a person types the code: in a notebook or at Python's prompt, and not in a test."""
    return hasattr(sys, "ps1") and "PYTEST_CURRENT_TEST" not in os.environ


def ask(question: str, *, required: bool = True) -> bool:
    """Ask in the terminal or in the notebook, and return whether the answer is yes.

    Raises
    ------
    InputError
        There is neither. Where the question is not `required`, that is a yes: a notebook that is executed as a whole.
    """
    try:
        return _ask(question)
    except InputError:
        if required:
            raise
        return True


def _ask(question: str) -> bool:
    prompt = f"{question} [y/N] "
    with _default_ctrl_c():
        if in_notebook():
            answer = _ask_in_notebook(prompt)
        elif in_terminal() and sys.stdin is not None and sys.stdin.isatty():
            sys.stderr.write(readable(prompt, encoding=sys.stderr.encoding))
            sys.stderr.flush()
            answer = sys.stdin.readline()
        else:
            raise _cannot_ask()
    return answer.strip().lower() in YES


def _ask_in_notebook(prompt: str) -> str:
    try:
        return input(prompt)
    except NotImplementedError:  # the front end takes no input, as when a notebook is executed as a whole
        raise _cannot_ask() from None
    except EOFError:
        return ""


def _cannot_ask() -> InputError:
    return InputError(
        "`confirm=True` asks before anything is paid, and there is neither a terminal nor a notebook that takes input. "
        "Nothing was sent. In a script, leave it out and set `max_cost=...` to bound the cost."
    )


@contextmanager
def _default_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C interrupt the reading of a line: asyncio's own handler only cancels at the next step of the loop."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
