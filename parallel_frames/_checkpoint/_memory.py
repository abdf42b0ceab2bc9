"""A store that remembers nothing beyond this process: the rules of paying once still hold within it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parallel_frames._model import DialectName, Outcome, Receipt, RunId


class MemoryStore:
    """Gives out numbers and keeps the groups; everything else is the ledger's."""

    def __init__(self, *, groups: Sequence[str] = (), dialect: DialectName | None = None) -> None:
        self.groups = list(groups)
        self.dialect: DialectName | None = dialect
        self._number = 0

    @property
    def location(self) -> str | None:
        """Nowhere."""
        return None

    async def add_group(self, group_id: str, *, dialect: DialectName) -> None:
        """Remember a group."""
        self.groups.append(group_id)
        self.dialect = dialect

    async def prove_groups(self, *, dialect: DialectName | None) -> None:
        """Keep nothing."""

    async def write_intent(self, group_id: str, *, runs: Sequence[RunId], rows: Sequence[int]) -> int:  # noqa: ARG002
        """Return the next number."""
        self._number += 1
        return self._number

    async def write_receipt(self, number: int | None, *, receipts: Sequence[Receipt]) -> None:
        """Keep nothing: the ledger has it."""

    async def drop_intent(self, number: int) -> None:
        """Keep nothing."""

    async def write_outcomes(self, outcomes: Sequence[Outcome], *, cursors: Mapping[str, str]) -> None:
        """Keep nothing: the ledger has them."""

    async def tidy(self) -> None:
        """Keep nothing."""

    def end_refresh(self, left: Mapping[str, int]) -> None:
        """Keep nothing."""

    def note_simulated(self, simulated: bool) -> None:  # noqa: FBT001 - a note, not a mode
        """Keep nothing."""
