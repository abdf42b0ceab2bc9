"""What a person sees while an enrichment runs: a line before the first run is sent, a bar, and news.

In a terminal or a notebook all of it is shown; elsewhere the lines; with ``progress=False`` it goes to the log
only.
enrichment and never waits.
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from textwrap import shorten
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from parallel_frames._model import Outcome

logger = logging.getLogger("parallel_frames")


class Progress:
    """Tells of one enrichment; the engine's observer."""

    def __init__(self, *, lines: bool, bar: bool) -> None:
        self._lines = lines
        self._shown = bar
        self._bar: Any = None
        self._failed = 0

    def line(self, text: str) -> None:
        """Say one line, whatever else is on the screen."""
        logger.info("%s", text)
        if self._lines:
            _bar_class().write(text, file=sys.stderr)

    def warn(self, text: str) -> None:
        """Say one line that asks for attention."""
        logger.warning("%s", text)
        if self._lines:
            _bar_class().write(f"Warning: {text}", file=sys.stderr)

    def started(self, *, rows: int, waiting: int) -> None:
        """Begin: so many runs are waited for."""
        logger.info("%d rows, waiting for %d runs", rows, waiting)
        if self._shown:
            self._bar = _bar_class()(total=waiting, unit="run", desc="enriching", file=_bar_file(), leave=True)

    def finished(self, outcome: Outcome, *, waiting: int) -> None:
        """Take note that a run has an outcome."""
        if outcome.status != "completed":
            self._failed += 1
        if self._bar is not None:
            self._bar.update(max(0, self._bar.total - waiting - self._bar.n))
            if self._failed:
                self._bar.set_postfix(failed=self._failed, refresh=False)

    def said(self, message: str) -> None:
        """Tell that something worth a line happened."""
        logger.info("%s", message)
        if self._bar is not None:
            self._bar.set_description_str(shorten(message, 70, placeholder=" …"))

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.set_description_str("enriched" if self._bar.n >= self._bar.total else "stopped")
            self._bar.close()
            self._bar = None


@contextmanager
def showing(progress: bool | None) -> Iterator[Progress]:  # noqa: FBT001 - the user's own option
    """Give a progress that is closed in the end; None shows it where a person looks."""
    shown = progress if progress is not None else _in_notebook() or sys.stderr.isatty()
    teller = Progress(lines=progress is not False, bar=shown)  # what is paid is said, also where nobody looks
    try:
        yield teller
    finally:
        teller.close()


def _in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    return running is not None and hasattr(running, "kernel")


def _bar_class() -> Any:
    """Return tqdm's notebook bar where it can be drawn, and its text bar elsewhere."""
    if _in_notebook():
        try:
            # Without it the notebook bar only warns.
            import ipywidgets  # noqa: F401 # pyright: ignore[reportMissingImports] - optional
            from tqdm.notebook import tqdm as notebook_bar
        except ImportError:
            pass
        else:
            return notebook_bar
    from tqdm import tqdm

    return tqdm


def _bar_file() -> Any:
    return None if _in_notebook() else sys.stderr
