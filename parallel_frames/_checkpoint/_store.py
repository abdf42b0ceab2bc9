"""A job's folder, open for writing: the engine's `Store` over numbered Parquet parts."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from parallel_frames._checkpoint._files import (
    guarded,
    in_thread,
    list_parts,
    read_parts,
    whole_file,
    write_part,
    write_table,
)
from parallel_frames._checkpoint._recall import CURSORS, REPLACES, Remembered, cursors_of, read_stale, recall_folder
from parallel_frames._checkpoint._tables import stale_table
from parallel_frames._model import Receipt
from parallel_frames._state import OUTCOME_SCHEMA, RECEIPT_SCHEMA, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parallel_frames._checkpoint._places import Place
    from parallel_frames._checkpoint._writer import Writer
    from parallel_frames._model import DialectName, Json, Outcome, RunId

COMPACT_ABOVE: Final = 64
SMALL_PART: Final = 2 * 2**20
LARGE_TABLE: Final = 64 * 2**20  # in memory: answers that are alike take a hundredth of that as Parquet


class DirectoryStore:
    """One job's folder, open for writing. `open_store` makes it and holds its lock.

    Files are written off the event loop; the numbers of parts are given out on it.
    """

    def __init__(self, folder: Place, *, header: dict[str, Json], writer: Writer) -> None:
        self.folder = folder
        self._writer = writer
        self.header = header
        self._receipts = folder / "receipts"
        self._outcomes = folder / "outcomes"
        for place in (self._receipts, self._outcomes):
            guarded(place, place.make_folder)
        self._written = sum(1 for _ in list_parts(self._outcomes))
        self._large: set[str] = set()  # parts that are put together already, however small they are as Parquet
        self._unproven: list[str] = []
        self._lost: list[str] = []
        self._next = {place: itertools.count(_last_number(place) + 1) for place in (self._receipts, self._outcomes)}

    @property
    def location(self) -> str | None:
        """The folder that holds the jobs."""
        return str(self.folder.parent)

    @property
    def groups(self) -> list[str]:
        """The ids of the job's groups, oldest first; those a call named and nobody has seen yet come first."""
        return [*self._unproven, *self.header["groups"]]

    def take_groups(self, *, known: Sequence[str], named: Sequence[str]) -> None:
        """Take groups that parts name and the header does not, and groups that a call named."""
        self.header["groups"] = list(dict.fromkeys([*self.header["groups"], *filter(None, known)]))
        self._unproven = [group for group in named if group not in self.header["groups"]]

    async def prove_groups(self, *, dialect: DialectName | None) -> None:
        """Write into the header what was named, now that the service knows it."""
        if self._unproven:
            self.header["groups"], self._unproven = self.groups, []
            self.header["dialect"] = self.header["dialect"] or dialect
            await in_thread(self.write_header)

    @property
    def dialect(self) -> DialectName | None:
        """The dialect the groups were opened in."""
        dialect: DialectName | None = self.header["dialect"]
        return dialect

    # Reading

    def recall(self) -> Remembered:
        """Return all that is stored, setting aside what cannot be read."""
        return recall_folder(self.folder, repair=True)

    def take_lost(self) -> list[str]:
        """Return, once, the outcome parts that turned out damaged when they were put together, and were set aside."""
        lost, self._lost = self._lost, []
        return lost

    # Writing

    async def add_group(self, group_id: str, *, dialect: DialectName) -> None:
        """Write the group into the header, durably, before anything is sent to it."""
        self.header["groups"] = [*self.header["groups"], group_id]
        self.header["dialect"] = dialect
        await in_thread(self.write_header)

    def write_header(self) -> None:
        """Replace the header, whole, while it is ours to write."""
        self._writer.check()
        with whole_file(self.folder / "header.json", exclusive=False) as sink:
            sink.write((json.dumps(self.header, indent=2, ensure_ascii=False) + "\n").encode())

    def keep_header(self) -> None:
        """Write the header of a job that has a group; one that was refused before it had any leaves no job behind."""
        if self.header["groups"]:
            self.write_header()

    def unfinished_refresh(self) -> dict[str, int] | None:
        """Return the attempts that a refresh found and was to ask anew when it broke off; None if none did."""
        return read_stale(self.folder)

    def begin_refresh(self, stale: Mapping[str, int] | pa.Table) -> None:
        """Remember what a refresh is to ask anew until `end_refresh`: killed, it goes on where it stopped."""
        self._writer.check()
        with whole_file(self.folder / "refresh.parquet", exclusive=False) as sink:
            write_table(sink, stale if isinstance(stale, pa.Table) else stale_table(stale))

    def end_refresh(self, left: Mapping[str, int]) -> None:
        """Take note that a refresh is over, but for what is left to ask anew."""
        if left:
            self.begin_refresh(left)
        else:
            self._writer.check()
            (self.folder / "refresh.parquet").remove()

    def note_simulated(self, simulated: bool) -> None:  # noqa: FBT001 - a note, not a mode
        """Write into the header that the answers are a simulator's."""
        if simulated and not self.header.get("simulated"):
            self.header["simulated"] = True
            self.keep_header()

    async def write_intent(self, group_id: str, *, runs: Sequence[RunId], rows: Sequence[int]) -> int:
        """Make a batch's intent durable and return its number.

        Only then is looked whether we still are the writer: whoever takes over later finds the intent.
        """
        self._writer.refuse_if_lost()
        number = self._take_number(self._receipts)
        receipts = [Receipt(run.key, run.attempt, "", group_id, row) for run, row in zip(runs, rows, strict=True)]
        path = self._receipts / f"{number:06d}.intent.parquet"

        def write() -> None:
            write_part(path, table_of(receipts, RECEIPT_SCHEMA))
            self._writer.check()

        await in_thread(write)
        return number

    async def write_receipt(self, number: int | None, *, receipts: Sequence[Receipt]) -> None:
        """Make receipts durable, then drop the intent of that number."""
        if number is None:
            number = self._take_number(self._receipts)
        if receipts:
            path = self._receipts / f"{number:06d}.parquet"
            await in_thread(lambda: write_part(path, table_of(receipts, RECEIPT_SCHEMA)))
        await self.drop_intent(number)

    async def drop_intent(self, number: int) -> None:
        """Remove an intent, durably, if there is one."""
        path = self._receipts / f"{number:06d}.intent.parquet"

        def drop() -> None:
            if path.remove():
                self._receipts.sync()

        await in_thread(lambda: guarded(path, drop))

    async def write_outcomes(self, outcomes: Sequence[Outcome], *, cursors: Mapping[str, str]) -> None:
        """Make outcomes and the cursors that they cover durable, in one file."""
        path = self._outcomes / f"{self._take_number(self._outcomes):06d}.parquet"
        await in_thread(lambda: self._write(path, table_of(outcomes, OUTCOME_SCHEMA), cursors=cursors))

    def _write(self, path: Place, table: pa.Table, *, cursors: Mapping[str, str], replaces: Sequence[int] = ()) -> None:
        self._writer.refuse_if_lost()
        about = {CURSORS: json.dumps(dict(cursors)).encode(), REPLACES: json.dumps(list(replaces)).encode()}
        write_part(path, table.replace_schema_metadata(about))

    async def tidy(self) -> None:
        """Compact, once there are many small parts."""
        self._written += 1
        if self._written > COMPACT_ABOVE:
            self._written = 0
            await in_thread(self.compact)

    def compact(self, *, above: int = COMPACT_ABOVE) -> None:
        """Write many small parts of outcomes, or of receipts, if more than `above`, as larger ones that name them.

        Dying in between leaves both: readers keep one of each run, and the next `recall` removes the rest. What is put
        together at a time is bounded, so that it fits memory.
        """
        self._compact(self._outcomes, OUTCOME_SCHEMA, above=above)
        self._compact(self._receipts, RECEIPT_SCHEMA, above=above)

    def _compact(self, place: Place, schema: pa.Schema, *, above: int) -> None:
        parts = list(list_parts(place))
        open_batches = {number for number, is_intent, _ in parts if is_intent}  # a receipt wins by its number
        sized = [(number, path, path.size()) for number, _, path in parts if number not in open_batches]
        small = [(number, path) for number, path, size in sized if size < SMALL_PART and str(path) not in self._large]
        if len(small) <= above:
            return
        self._writer.check()
        some: dict[int, pa.Table] = {}
        size = 0
        for (number, path), table in zip(small, read_parts([path for _, path in small], repair=True), strict=True):
            if table is not None:
                some[number] = table
                size += table.nbytes
            elif place is self._outcomes:
                self._lost.append(path.name)
            if size >= LARGE_TABLE:
                self._large.add(self._put_together(place, schema, some))
                some, size = {}, 0
        if some:
            self._put_together(place, schema, some)

    def _put_together(self, place: Place, schema: pa.Schema, parts: Mapping[int, pa.Table]) -> str:
        """Write parts as one, remove them, and return where it is."""
        tables = list(parts.values())
        if len(parts) == 1:
            return str(place / f"{next(iter(parts)):06d}.parquet")
        cursors: dict[str, str] = {}
        for table in tables:
            cursors |= cursors_of(table)
        whole = pa.concat_tables([table.select(schema.names).cast(schema) for table in tables])
        path = place / f"{self._take_number(place):06d}.parquet"
        self._write(path, whole, cursors=cursors, replaces=list(parts))
        for number in parts:
            (place / f"{number:06d}.parquet").remove()
        place.sync()
        return str(path)

    def _take_number(self, place: Place) -> int:
        return next(self._next[place])  # in one step: compaction takes its number in a thread


def _last_number(folder: Place) -> int:
    """Return the highest number ever seen in a folder, set-aside parts included."""
    numbers = [0]
    for path in folder.children():
        digits = path.name.removeprefix(".damaged-").partition(".")[0]
        if digits.isdecimal():
            numbers.append(int(digits))
    return max(numbers)
