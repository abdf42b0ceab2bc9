"""The card that a Jupyter notebook shows of an enrichment: one output, brought up to date while it runs.

What a notebook saves, and so what it is exported with, is the card as it was last: how the enrichment ended. Front ends
that show no HTML get the same as lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from parallel_frames._ui._html import render
from parallel_frames._ui._screen import Screen, end_line, first_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# This marks the output: it is no result of the cell.
METADATA: Final = {"parallel_frames": "progress"}
SHOWN_GROUPS: Final = 3


class Card(Screen):
    """A screen that is one display of IPython's."""

    is_apart = True

    def __init__(self) -> None:
        super().__init__(lines=True, bar=True)
        self._handle: Any = None
        self._headline = ""
        self._facts: list[str] = []
        self._simulated = False
        self._groups: list[str] = []
        self._lines: list[str] = []
        self._warnings: list[str] = []
        self._state = ""
        self._figures: Sequence[str] = ()
        self._total = 0
        self._unit = "row"
        self._counts: Mapping[str, int] = {}
        self._last_line = ""

    def announce(self, essence: str, facts: Sequence[str], *, simulated: bool) -> None:
        """Say what will be done, as the card's head."""
        self._headline, self._facts, self._simulated = essence, list(facts), simulated
        self._draw()

    def show_group(self, address: str) -> None:
        """Link to a group."""
        self._groups.append(address)
        self._draw()

    def warn(self, text: str) -> None:
        """Show a warning, once."""
        if text not in self._warnings:
            self._warnings.append(text)
            self._draw()

    def write_line(self, text: str) -> None:
        """Add a line."""
        self._lines.append(text)
        self._draw()

    def open_bar(self, title: str, *, unit: str, total: int, counts: Mapping[str, int]) -> None:
        """Show the bar."""
        self._state, self._unit, self._total = title, unit, total
        self._counts = counts
        self._draw()

    def advance(self, count: int) -> None:
        """Do nothing: the figures that come next say how far it is."""

    def set_title(self, text: str, *, min_width: int) -> None:  # noqa: ARG002 - there is room for all of it
        """Show a text in place of the state."""
        self._state = text
        self._draw()

    def set_figures(self, title: str, figures: Sequence[str], counts: Mapping[str, int]) -> None:
        """Show how far it is."""
        self._state, self._figures, self._counts = title, figures, counts
        self._draw()

    def end(self, word: str, figures: Sequence[str], counts: Mapping[str, int], *, simulated: bool) -> None:
        """Show how it ended."""
        self._state, self._figures, self._simulated = word, figures, simulated
        if counts:
            self._counts, self._total = counts, max(self._total, sum(counts.values()))
        self._last_line = end_line(word, figures, counts, simulated=simulated)
        self._draw()

    def close(self) -> None:
        """Leave the card as it is."""
        self._has_lines = self.has_bar = False

    def _draw(self) -> None:
        if self._has_lines:
            self._show(self._display)

    def _display(self) -> None:
        from IPython import display as ipython  # pyright: ignore[reportMissingImports] - it runs the cell

        display: Any = ipython.display
        bundle = {"text/html": self._html(), "text/plain": self._text()}
        if self._handle is None:
            self._handle = display(bundle, raw=True, metadata=METADATA, display_id=True)
        else:
            self._handle.update(bundle, raw=True, metadata=METADATA)

    def _html(self) -> str:
        groups = [("group", address) for address in self._groups[-SHOWN_GROUPS:]]
        if len(self._groups) > SHOWN_GROUPS:
            groups.insert(0, ("groups", f"{len(self._groups):,}, of which the newest are"))
        done = {name: number for name, number in self._counts.items() if number}
        return render(
            "card.html",
            headline=self._headline,
            simulated=self._simulated,
            counts=done,
            rest=max(0, self._total - sum(done.values())),
            total=self._total,
            unit=self._unit,
            state=self._state,
            figures=self._figures,
            facts=[*(_name_and_value(fact) for fact in self._facts), *groups],
            warnings=self._warnings,
            lines=self._lines,
        )

    def _text(self) -> str:
        """Return the card as lines."""
        announced = first_line(self._headline, self._facts, simulated=self._simulated) if self._headline else ""
        now = end_line(self._state, self._figures, {}, simulated=False) if self._figures else ""
        groups = [f"group {address}" for address in self._groups]
        warnings = [f"Warning: {text}" for text in self._warnings]
        return "\n".join(filter(None, [announced, *groups, *warnings, *self._lines, self._last_line or now]))


def _name_and_value(fact: str) -> tuple[str, str]:
    """Return "checkpoint companies.ckpt" as name and value, and "no checkpoint" likewise."""
    name, _, value = fact.partition(" ")
    return (value, "none") if name == "no" else (name, value)
