"""A job's folder, open for writing: the engine's `Store` over numbered Parquet parts."""

# Arrow makes its functions when it is imported.
# pyright: reportAttributeAccessIssue=false

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from parallel_frames._checkpoint._lease import SoleWriter
from parallel_frames._checkpoint._parts import (
    DAMAGED,
    OUTCOME_SCHEMA,
    RECEIPT_SCHEMA,
    STALE_SCHEMA,
    in_thread,
    list_parts,
    os_errors_as_checkpoint_error,
    read_part,
    read_parts,
    set_aside,
    table_of,
    whole_file,
    write_part,
    write_table,
)
from parallel_frames._checkpoint._paths import MemoryPath
from parallel_frames._checkpoint._recall import (
    CURSORS,
    REPLACES,
    Recalled,
    cursors_of,
    fit_table,
    recall_folder,
    sound_table,
)
from parallel_frames._model import Intent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from parallel_frames._checkpoint._lease import Writer
    from parallel_frames._checkpoint._paths import StoragePath
    from parallel_frames._model import DialectName, Json, Outcome, Receipt, RunId
    from parallel_frames._state import Index

T = TypeVar("T")

COMPACT_ABOVE: Final = 64
SMALL_PART: Final = 2 * 2**20
_numbers: Final = itertools.count(1)  # of the stores in memory
Moves: TypeAlias = dict[int, tuple[int, int]]  # of each part its new one, and the place of its first outcome there
LARGE_TABLE: Final = 64 * 2**20  # in memory: answers that are alike take a hundredth of that as Parquet


class JobStore:
    """One job's folder, open for writing. `open_store` makes it and holds its lock.

    Files are written off the event loop; the numbers of parts are given out on it.
    """

    def __init__(self, folder: StoragePath, *, header: dict[str, Json], writer: Writer | SoleWriter) -> None:
        self.folder = folder
        self._writer = writer
        self.header = header
        self._receipts = folder / "receipts"
        self._outcomes = folder / "outcomes"
        for place in (self._receipts, self._outcomes):
            os_errors_as_checkpoint_error(place, place.make_folder)
        self._written = sum(1 for _ in list_parts(self._outcomes))
        self._large: set[str] = set()  # parts that are put together already, however small they are as Parquet
        self._unproven: list[str] = []
        self._next = {place: itertools.count(_last_number(place) + 1) for place in (self._receipts, self._outcomes)}

    @property
    def location(self) -> str | None:
        """The job's folder; None in memory."""
        return str(self.folder)

    @property
    def simulated(self) -> bool:
        """Whether what is stored came from a simulator."""
        return bool(self.header.get("simulated"))

    @property
    def groups(self) -> list[str]:
        """The ids of the job's groups, oldest first, and before them those that a call named and none has read yet."""
        return [*self._unproven, *self.header["groups"]]

    def take_groups(self, *, known: Sequence[str], named: Sequence[str]) -> None:
        """Take groups that parts name and the header does not, and groups that a call named."""
        self.header["groups"] = list(dict.fromkeys([*self.header["groups"], *filter(None, known)]))
        self._unproven = [group for group in named if group not in self.header["groups"]]

    async def doubts_about(self, group_id: str) -> str | None:
        """Return why a group may hold runs of this job that are not known here, and what to do; else None."""
        if group_id in self._unproven:
            return (
                "The frame's attrs name it, and this checkpoint does not know what it held. If it is gone for good, "
                "`refresh=True` asks, and pays for, these rows again."
            )

        def find_damaged() -> str | None:
            return next((str(path) for path in self._receipts.children() if path.name.startswith(DAMAGED)), None)

        damaged = await self._off_loop(find_damaged)
        if damaged is None:
            return None
        return (
            f"{damaged} is damaged and may have known more runs of it. If the group is gone for good, remove that "
            "file: rows that only it knew are then asked, and paid for, again."
        )

    async def prove_groups(self, *, dialect: DialectName | None) -> None:
        """Write into the header what was named, now that the service knows it."""
        if self._unproven:
            self.header["groups"], self._unproven = self.groups, []
            self.header["dialect"] = self.header["dialect"] or dialect
            await self._off_loop(self.write_header)

    @property
    def dialect(self) -> DialectName | None:
        """The dialect the groups were opened in."""
        dialect: DialectName | None = self.header["dialect"]
        return dialect

    # Reading

    def recall(self, index: Index) -> Recalled:
        """Read all that is stored into `index`, setting aside what cannot be read."""
        return recall_folder(self.folder, index, repair=True)

    def read_outcomes(self, part: int, columns: Sequence[str]) -> pa.Table | None:
        """Return columns of a part of outcomes; None where the part is damaged, and was set aside, or is gone."""
        path = self._outcomes / f"{part:06d}.parquet"
        table = read_part(path, columns=list(columns)) if path.exists() else None
        fitted = (
            None if table is None else fit_table(table, pa.schema([OUTCOME_SCHEMA.field(name) for name in columns]))
        )
        if table is not None and fitted is None:
            set_aside(path, reason="columns of an outcome are missing")
        return fitted

    def check_outcomes(self, part: int) -> bool:
        """Return whether a part holds answers that can be read; one that does not is set aside."""
        table = self.read_outcomes(part, ["status", "output", "basis"])
        if table is None:
            return False
        outputs = table.filter(pc.equal(table.column("status"), "completed")).column("output").to_pylist()
        try:
            for output in outputs:
                orjson.loads(output or "")
        except orjson.JSONDecodeError:
            set_aside(self._outcomes / f"{part:06d}.parquet", reason="it holds an answer that is not JSON")
            return False
        return True

    # Writing

    async def add_group(self, group_id: str, *, dialect: DialectName) -> None:
        """Write the group into the header, durably, before anything is sent to it."""
        self.header["groups"] = [*self.header["groups"], group_id]
        self.header["dialect"] = dialect
        await self._off_loop(self.write_header)

    def write_header(self) -> None:
        """Replace the header, whole, while it is ours to write."""
        self._writer.check()
        with whole_file(self.folder / "header.json", exclusive=False) as sink:
            sink.write((json.dumps(self.header, indent=2, ensure_ascii=False) + "\n").encode())

    def keep_header(self) -> None:
        """Write the header of a job that has a group; one that was refused before it had any leaves no job behind."""
        if self.header["groups"]:
            self.write_header()

    def begin_refresh(self, marked: Iterable[tuple[str, int]]) -> None:
        """Remember what a refresh asks again until `end_refresh`: killed, it resumes where it stopped."""
        self._writer.check()
        pairs = list(marked)
        columns = [[key for key, _ in pairs], [attempt for _, attempt in pairs]]
        table = pa.table(columns, schema=STALE_SCHEMA)
        with whole_file(self.folder / "refresh.parquet", exclusive=False) as sink:
            write_table(sink, table)

    def end_refresh(self, left: Sequence[tuple[str, int]]) -> None:
        """Record that a refresh is over, but for what is left to ask again."""
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
        count = len(runs)
        columns = [
            [run.key for run in runs], [run.attempt for run in runs], rows, [""] * count, [group_id] * count,
        ]  # fmt: skip
        path = self._receipts / f"{number:06d}.intent.parquet"

        def write() -> None:
            write_part(path, pa.table(columns, schema=RECEIPT_SCHEMA))
            self._writer.check()

        await self._off_loop(write)
        return number

    async def write_receipt(self, number: int | None, *, receipts: Sequence[Receipt]) -> None:
        """Make receipts durable, then drop the intent of that number."""
        if number is None:
            number = self._take_number(self._receipts)
        if receipts:
            path = self._receipts / f"{number:06d}.parquet"
            await self._off_loop(lambda: write_part(path, table_of(receipts, RECEIPT_SCHEMA)))
        await self.drop_intent(number)

    async def drop_intent(self, number: int) -> None:
        """Remove an intent, durably, if there is one."""
        path = self._receipts / f"{number:06d}.intent.parquet"

        def drop() -> None:
            if path.remove():
                self._receipts.sync()

        await self._off_loop(lambda: os_errors_as_checkpoint_error(path, drop))

    async def write_outcomes(self, outcomes: Sequence[Outcome], *, cursors: Mapping[str, str]) -> int:
        """Make outcomes and the cursors that they cover durable, in one file, and return its number."""
        number = self._take_number(self._outcomes)
        path = self._outcomes / f"{number:06d}.parquet"
        await self._off_loop(lambda: self._write(path, table_of(outcomes, OUTCOME_SCHEMA), cursors=cursors))
        return number

    def _write(
        self, path: StoragePath, table: pa.Table, *, cursors: Mapping[str, str], replaces: Sequence[int] = ()
    ) -> None:
        self._writer.refuse_if_lost()
        about = {CURSORS: json.dumps(dict(cursors)).encode(), REPLACES: json.dumps(list(replaces)).encode()}
        write_part(path, table.replace_schema_metadata(about))

    def put_outcomes(self, outcomes: Sequence[Outcome]) -> int:
        """Store outcomes of another folder of the job, and return the number of their part."""
        number = self._take_number(self._outcomes)
        self._write(self._outcomes / f"{number:06d}.parquet", table_of(outcomes, OUTCOME_SCHEMA), cursors={})
        return number

    def put_receipts(self, receipts: Sequence[Receipt]) -> None:
        """Store receipts of another folder of the job."""
        path = self._receipts / f"{self._take_number(self._receipts):06d}.parquet"
        write_part(path, table_of(receipts, RECEIPT_SCHEMA))

    async def tidy(self) -> Moves:
        """Compact, once there are many small parts; return what was moved where."""
        self._written += 1
        if self._written <= COMPACT_ABOVE:
            return {}
        self._written = 0
        return await self._off_loop(self.compact)

    def compact(self, *, above: int = COMPACT_ABOVE) -> Moves:
        """Write many small parts of outcomes, or of receipts, if more than `above`, as larger ones that name them.

        Dying in between leaves both: readers keep one of each run, and the next `recall` removes the rest. What is put
        together at a time is bounded, so that it fits memory. Returned are the moved parts of outcomes.
        """
        moves = self._compact(self._outcomes, OUTCOME_SCHEMA, above=above)
        self._compact(self._receipts, RECEIPT_SCHEMA, above=above)
        return moves

    def _compact(self, place: StoragePath, schema: pa.Schema, *, above: int) -> Moves:
        parts = list(list_parts(place))
        open_batches = {number for number, is_intent, _ in parts if is_intent}  # a receipt wins by its number
        sized = [(number, path, path.size()) for number, _, path in parts if number not in open_batches]
        small = [(number, path) for number, path, size in sized if size < SMALL_PART and str(path) not in self._large]
        if len(small) <= above:
            return {}
        self._writer.check()
        moves: Moves = {}
        tables: dict[int, pa.Table] = {}
        size = 0
        read = read_parts([path for _, path in small], repair=True)
        for (number, _), table in zip(small, read, strict=True):
            sound = sound_table(table, schema)
            if sound is not None:  # the others are left for `recall` to set aside
                tables[number] = sound
                size += sound.nbytes
            if size >= LARGE_TABLE:
                self._large.add(self._put_together(place, tables, moves))
                tables, size = {}, 0
        if tables:
            self._put_together(place, tables, moves)
        return moves

    def _put_together(self, place: StoragePath, parts: Mapping[int, pa.Table], moves: Moves) -> str:
        """Write parts as one, remove them, add where each went to `moves`, and return the path of the whole."""
        if len(parts) == 1:
            return str(place / f"{next(iter(parts)):06d}.parquet")
        cursors: dict[str, str] = {}
        for table in parts.values():
            cursors |= cursors_of(table)
        whole = pa.concat_tables(list(parts.values()))
        number = self._take_number(place)
        path = place / f"{number:06d}.parquet"
        self._write(path, whole, cursors=cursors, replaces=list(parts))
        base = 0
        for old, table in parts.items():
            moves[old] = (number, base)
            base += table.num_rows
            (place / f"{old:06d}.parquet").remove()
        place.sync()
        return str(path)

    def _take_number(self, place: StoragePath) -> int:
        return next(self._next[place])  # in one step: compaction takes its number in a thread

    async def _off_loop(self, act: Callable[[], T]) -> T:
        return await in_thread(act)


class MemoryStore(JobStore):
    """The store of a job without a checkpoint: the same parts in memory, but for intents, which are kept as they are.

    It waits for no disk, so nothing is done in a thread.
    """

    def __init__(self, *, header: dict[str, Json]) -> None:
        super().__init__(MemoryPath(f"/job-{next(_numbers)}"), header=header, writer=SoleWriter())
        self._intents: dict[int, Intent] = {}

    @property
    def location(self) -> None:
        """None: it has no folder."""
        return None

    def recall(self, index: Index) -> Recalled:
        """Read all that is stored into `index`."""
        recalled = super().recall(index)
        for intent in self._intents.values():
            index.add_intent(intent.number, intent.group_id, intent.runs)
        return Recalled(list(self._intents.values()), recalled.cursors)

    async def write_intent(self, group_id: str, *, runs: Sequence[RunId], rows: Sequence[int]) -> int:
        """Keep a batch's intent and return its number."""
        number = self._take_number(self._receipts)
        self._intents[number] = Intent(number, group_id, tuple(runs), tuple(rows))
        return number

    async def drop_intent(self, number: int) -> None:
        """Forget an intent, if there is one."""
        self._intents.pop(number, None)

    async def _off_loop(self, act: Callable[[], T]) -> T:
        return act()


def _last_number(folder: StoragePath) -> int:
    """Return the highest number ever seen in a folder, set-aside parts included."""
    numbers = [0]
    for path in folder.children():
        digits = path.name.removeprefix(DAMAGED).partition(".")[0]
        if digits.isdecimal() and len(digits) < 16:
            numbers.append(int(digits))
    return max(numbers)
