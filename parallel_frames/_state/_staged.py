"""What is known of every distinct input of a frame that an engine holds: a `DiskIndex` whose keys come with the inputs.

Its rows are numbered in the order of their keys, one for each distinct input: an engine's frame has no first row, and
``limit`` must choose the same inputs however it is partitioned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from parallel_frames._state._disk import DiskIndex
from parallel_frames._state._index import locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TABLES: Final = """
create table staged(key blob, sent blob, label text, metadata text, rows int);
create table inputs(row integer primary key, key blob, sent blob, label text, metadata text, rows int);
"""
# With one `min`, SQLite takes the other columns from the line that has it.
DISTINCT: Final = """
insert into inputs
    select row_number() over (order by key) - 1, key, sent, label, metadata, rows from (
        select key, sent, min(label) as label, metadata, sum(rows) as rows from staged group by key
    );
delete from staged;
insert into rows select row, key from inputs;
insert into runs select key, row, rows from inputs order by row;
"""


# Equal inputs of many partitions do not pile up.
COLLAPSE: Final = """
create table grouped as
    select key, sent, min(label) as label, metadata, sum(rows) as rows from staged group by key;
drop table staged;
alter table grouped rename to staged;
"""
MANY: Final = 2_000_000


class StagedInput(NamedTuple):
    """A distinct input: its number, key, JSON, an index label and metadata of one of its rows, and how many those are.

    `metadata` is JSON.
    """

    row: int
    key: str
    sent: bytes
    label: str | None
    metadata: str | None
    rows: int


class StagedIndex(DiskIndex):
    """The database of one call about an engine's frame; its inputs are in it, so that they are staged only once."""

    def __init__(self) -> None:
        super().__init__()
        self._db.executescript(TABLES)
        self._room = MANY

    def add_inputs(self, lines: Sequence[Sequence[Any]]) -> None:
        """Add inputs by their keys: key, JSON, label, metadata and rows; one may come several times."""
        with self._writing() as db:
            db.executemany("insert into staged values (?, ?, ?, ?, ?)", lines)
        self._room -= len(lines)
        if self._room < 0:
            with self._lock:
                self._db.executescript(COLLAPSE)
                self._room = max(MANY, self._line("select count(*) from staged")[0])

    def add_counts(self, *, rows: int, skipped: int, chosen: int) -> None:
        """Add how many rows the engine has, how many of those are asked about, and how many of those send nothing."""
        self.rows += rows
        self.skipped += skipped
        self.chosen += chosen

    @locked
    def end_rows(self) -> None:
        """Group inputs by their keys, once all are added."""
        self._db.executescript(DISTINCT)
        self._last_row = self.rows

    @locked
    def inputs_at(self, rows: Iterable[int]) -> list[StagedInput]:
        """Return inputs by their numbers."""
        query = "select row, lower(hex(key)), sent, label, metadata, rows from inputs where row = ?"
        return [StagedInput(*self._line(query, row)) for row in rows]

    def all_inputs(self, at_once: int) -> Iterator[list[StagedInput]]:
        """Yield all inputs in the order of their keys, so many at a time."""
        query = """select row, lower(hex(key)), sent, label, metadata, rows from inputs
            where row >= ? and row < ? order by row"""
        for start in range(0, self.runs, at_once):
            with self._lock:
                found = self._db.execute(query, (start, start + at_once)).fetchall()
            yield [StagedInput(*line) for line in found]

    def keys_at(self, rows: Iterable[int]) -> dict[int, str]:  # noqa: ARG002 - as the others
        """Return nothing: a number is no row of the frame, so that a run cannot name it."""
        return {}
