"""Files of JSON lines that grow; what one holds is itself where to continue.

It owns the file: only files of the same kind are appended to, a torn last line is cut off, and no other process writes
at the same time. The lines that `collect` writes are here, too: one per run, and no run twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import orjson

from parallel_frames._cli._formats import PIPE
from parallel_frames._cli._speech import handing_over, need_output
from parallel_frames._model import TERMINAL, RunId
from parallel_frames._service import read_outcome
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from parallel_frames._model import Json, RunEvent

BEGINNINGS: Final = (b'{"event_id":', b'{"row":')
LONGEST: Final = 2**26


class Lines:
    """Runs as JSON lines in a file or a pipe, each once.

    Attributes
    ----------
    written : set of str
        The ids of the runs that are there.
    last_event_id : str or None
        The newest event that is there: everything before it in the stream is there too, or still owed.
    has_unnamed : bool
        Whether lines are there that do not say which run they are about.
    counts : Counter
        Runs written by this process, by status.
    """

    def __init__(self, *, group_id: str, raw: bool) -> None:
        self.sink: BinaryIO
        self.written: set[str] = set()
        self.last_event_id: str | None = None
        self.has_unnamed = False
        self.counts: Counter[str] = Counter()
        self.raw = raw
        self._group_id = group_id

    def recall(self, facts: Json, shown: str, number: int) -> None:
        """Take note of a line that is there already."""
        run = facts.get("run") if self.raw and isinstance(facts.get("run"), dict) else facts
        run_id, event_id = run.get("run_id"), facts.get("event_id")
        is_ours = "type" in facts if self.raw else isinstance(run_id, str) and "group_id" in facts
        if not is_ours:
            hint = "" if self.raw or "type" not in facts else " --raw continues a file of the service's own events."
            what = "events of the service" if self.raw else "collect's own"
            raise InputError(f"{shown} holds something else in line {number}; name a file of {what}.{hint}")
        group_id = run.get("taskgroup_id") if self.raw else facts["group_id"]
        if group_id not in (None, self._group_id):
            raise InputError(f"{shown} holds runs of the group {group_id}; name another file.")
        if isinstance(run_id, str):
            self.written.add(run_id)
        else:
            self.has_unnamed = True
        self.last_event_id = event_id or self.last_event_id

    def add(self, event: RunEvent) -> None:
        """Write a finished run, unless it is there already."""
        if event.run_id in self.written or event.status not in TERMINAL:
            return
        self.sink.write(raw_line_of(event) if self.raw else line_of(event, self._group_id))
        self.written.add(event.run_id)
        self.counts[event.status] += 1
        self.last_event_id = event.event_id or self.last_event_id

    def flush(self) -> None:
        """Hand what was written to the system: it survives this process from now on."""
        self.sink.flush()


def raw_line_of(event: RunEvent) -> bytes:
    """Return the service's own event as a line, with the output that it may have come without."""
    facts = {"type": "task_run.state", **json.loads(event.raw or b"{}")}
    if event.event_id is None:  # a list's, whose cursors are not the stream's
        facts.pop("event_id", None)
    for name, value in (("output", event.output), ("input", event.input)):
        if facts.get(name) is None and value is not None:
            facts[name] = value
    return orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)


def is_whole(event: RunEvent) -> bool:
    """Return whether a finished run has all that belongs into its line."""
    return event.status != "completed" or read_outcome(event, RunId("", 0), group_id="") is not None


def line_of(event: RunEvent, group_id: str) -> bytes:
    """Return a finished run as a line."""
    outcome = read_outcome(event, RunId("", 0), group_id="")
    output = basis = None
    if outcome is not None:
        output = None if outcome.output is None else orjson.Fragment(outcome.output)
        basis = None if outcome.basis is None else orjson.Fragment(outcome.basis)
    facts = {
        "event_id": event.event_id,
        "run_id": event.run_id,
        "group_id": group_id,
        "status": event.status,
        "input": input_of(event.input),
        "output": output,
        "basis": basis,
        "metadata": event.metadata,
        "error": event.error,
    }
    return orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)


def input_of(echoed: Json) -> Json:
    """Return the row's input out of what a service echoes: the bare input, or the whole run that held it."""
    # The seed's runs name no processor.
    is_run = isinstance(echoed, dict) and "input" in echoed
    if is_run and ("processor" in echoed or echoed.keys() <= {"input", "metadata"}):
        return echoed["input"]
    return echoed


@contextlib.contextmanager
def open_lines(output: str, group_id: str, *, raw: bool = False) -> Iterator[Lines]:
    """Open a file of a group's runs to continue, or the standard output; `raw` as the service's own events."""
    lines = Lines(group_id=group_id, raw=raw)
    with append_lines(output, lines.recall) as sink:
        lines.sink = sink
        yield lines


@contextlib.contextmanager
def append_lines(output: str, recall: Callable[[Json, str, int], None]) -> Iterator[BinaryIO]:
    """Give a file to append to once its lines went through `recall`, or the standard output.

    A torn last line is cut off. In the end what was written is on the disk.
    """
    if output == PIPE:
        need_output()
        with handing_over():
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    path = Path(output)
    if path.exists() and not path.is_file():
        raise InputError(f"{output} is not a regular file; name one, or pass - to write into a pipe.")
    is_new = not path.exists()
    try:
        handle = path.open("x+b" if is_new else "r+b")
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror or error}).") from None
    with handing_over(output), handle, _unless_empty(path, handle, is_new=is_new):
        _lock(handle, output)
        handle.seek(read_lines(handle, output, recall))
        handle.truncate()
        if handle.tell() and not _ends_with_newline(handle):
            handle.write(b"\n")
        yield handle
        handle.flush()
        os.fsync(handle.fileno())


@contextlib.contextmanager
def _unless_empty(path: Path, handle: BinaryIO, *, is_new: bool) -> Iterator[None]:
    """Leave no empty file behind where nothing could be collected."""
    try:
        yield
    except BaseException:  # Ctrl-C, too, before the first run
        with contextlib.suppress(OSError):
            if is_new and handle.tell() == 0:
                path.unlink()
        raise


def read_lines(handle: BinaryIO, shown: str, recall: Callable[[Json, str, int], None]) -> int:
    """Give `recall` each line's object and its place, and return where the last whole line ends."""
    end = 0
    for number, line in enumerate(iter(lambda: handle.readline(LONGEST), b""), start=1):
        facts = _object_in(line)
        if facts is None:
            if handle.read(1) or not _is_torn(line, is_first=number == 1):
                raise InputError(f"{shown} holds something else in line {number}; name another file.")
            break
        recall(facts, shown, number)
        end += len(line)
    return end


def _object_in(line: bytes) -> Json | None:
    try:
        facts = orjson.loads(line)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) else None


def _is_torn(line: bytes, *, is_first: bool) -> bool:
    """Return whether a last line is the beginning of one of ours, perhaps with nothing but zeros written yet.

    Behind whole lines, any object that breaks off is one.
    """
    text = line.rstrip(b"\0\n")
    begun = any(text.startswith(each) or each.startswith(text) for each in BEGINNINGS)
    return begun or (not is_first and line.startswith(b"{") and not line.endswith(b"\n"))


def _ends_with_newline(handle: BinaryIO) -> bool:
    handle.seek(-1, os.SEEK_END)
    return handle.read(1) == b"\n"


def _lock(handle: BinaryIO, output: str) -> None:
    """Keep a second writer out, where the platform can."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(f"{output} is being written by another process; wait for it, or name another file.") from None
