"""The library's logger, and the one channel on which its warnings reach a person.

A library that logs and sets nothing up leaves its warnings to Python's last resort, which writes them across a progress
bar, and repeats what the screen shows already. So the logger has a handler of its own: a warning goes to the screen of
the enrichment that it is about, or else to the error stream; and to neither where the program's own log prints it.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Final, Protocol

logger: Final = logging.getLogger("parallel_frames")


class WarningScreen(Protocol):
    """Where an enrichment shows what it does."""

    @property
    def is_apart(self) -> bool:
        """Whether it is another place than the streams, so that a log there is no repetition."""
        ...

    def warn(self, text: str) -> None:
        """Show a warning."""
        ...


current_screen: ContextVar[WarningScreen | None] = ContextVar("current_screen", default=None)


class WarningHandler(logging.Handler):
    """Shows each warning once."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a warning, unless the program's own log prints it in the same place."""
        screen, others = current_screen.get(), self._others()
        if screen is not None:
            if screen.is_apart or not any(getattr(each, "stream", None) in (sys.stderr, sys.stdout) for each in others):
                screen.warn(self.format(record))
        elif not others and logging.lastResort is not None:
            logging.lastResort.handle(record)

    def _others(self) -> list[logging.Handler]:
        """Return the handlers that the program has set up."""
        handlers: list[logging.Handler] = []
        each: logging.Logger | None = logger
        while each is not None:
            handlers += each.handlers
            each = each.parent if each.propagate else None
        return [handler for handler in handlers if not isinstance(handler, WarningHandler | logging.NullHandler)]
