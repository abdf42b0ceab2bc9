"""The file of JSON lines that `collect` writes, one per run; what it holds is itself where to go on.

It owns the file: only its own files are appended to, a torn last line is cut off, no run is written twice, and no
other process writes at the same time.
"""

from __future__ import annotations

import contextlib
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
    from collections.abc import Iterator

    from parallel_frames._model import Json, RunEvent

BEGINNING: Final = b'{"event_id":'
LONGEST: Final = 2**26


class Lines:
    """Runs as JSON lines in a file or a pipe, each once.

    Attributes
    ----------
    written : set of str
        The ids of the runs that are there.
    last_event_id : str or None
        The newest event that is there: everything before it in the stream is there too, or still owed.
    counts : Counter
        Runs written by this process, by status.
    """

    def __init__(self, sink: BinaryIO, *, group_id: str, written: set[str], last_event_id: str | None) -> None:
        self._sink = sink
        self._group_id = group_id
        self.written = written
        self.last_event_id = last_event_id
        self.counts: Counter[str] = Counter()

    def add(self, event: RunEvent) -> None:
        """Write a finished run, unless it is there already."""
        if event.run_id in self.written or event.status not in TERMINAL:
            return
        self._sink.write(line_of(event, self._group_id))
        self.written.add(event.run_id)
        self.counts[event.status] += 1
        self.last_event_id = event.event_id or self.last_event_id

    def flush(self) -> None:
        """Hand what was written to the system: it survives this process from now on."""
        self._sink.flush()


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
        "input": _input_of(event.input),
        "output": output,
        "basis": basis,
        "metadata": event.metadata,
        "error": event.error,
    }
    return orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)


def _input_of(echoed: Json) -> Json:
    """Return the row's input out of what a service echoes: the bare input, or the whole run that held it."""
    # The seed's runs name no processor.
    is_run = isinstance(echoed, dict) and "input" in echoed
    if is_run and ("processor" in echoed or echoed.keys() <= {"input", "metadata"}):
        return echoed["input"]
    return echoed


@contextlib.contextmanager
def open_lines(output: str, group_id: str) -> Iterator[Lines]:
    """Open a file to go on with, or the standard output.

    Raises
    ------
    InputError
        The file is another program's or another group's, no file at all, or another process writes it.
    """
    if output == PIPE:
        need_output()
        with handing_over():
            lines = Lines(sys.stdout.buffer, group_id=group_id, written=set(), last_event_id=None)
            yield lines
            lines.flush()
        return
    path = Path(output)
    if path.exists() and not path.is_file():
        raise InputError(f"{output} is no regular file; name one, or say - to write into a pipe.")
    is_new = not path.exists()
    try:
        handle = path.open("x+b" if is_new else "r+b")
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror or error}).") from None
    with handing_over(output), handle, _unless_empty(path, handle, is_new=is_new):
        _lock(handle, output)
        written, last = _recall(handle, output, group_id)
        lines = Lines(handle, group_id=group_id, written=written, last_event_id=last)
        yield lines
        lines.flush()
        os.fsync(handle.fileno())


@contextlib.contextmanager
def _unless_empty(path: Path, handle: BinaryIO, *, is_new: bool) -> Iterator[None]:
    """Leave no empty file behind where nothing could be collected."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            if is_new and handle.tell() == 0:
                path.unlink()
        raise


def _recall(handle: BinaryIO, output: str, group_id: str) -> tuple[set[str], str | None]:
    """Return which runs a file holds and its newest event; a torn last line is cut off."""
    written: set[str] = set()
    last: str | None = None
    end = 0
    for number, line in enumerate(iter(lambda: handle.readline(LONGEST), b""), start=1):
        facts = _read_line(line)
        if facts is None:
            rest = handle.read(1)
            if rest or not _is_torn(line):
                raise InputError(f"{output} holds something else in line {number}; name a file of collect's own.")
            break
        if facts["group_id"] != group_id:
            raise InputError(f"{output} holds runs of the group {facts['group_id']}; name another file.")
        end += len(line)
        written.add(facts["run_id"])
        last = facts.get("event_id") or last
    handle.seek(end)
    handle.truncate()
    return written, last


def _read_line(line: bytes) -> Json | None:
    """Return what one of our lines holds; None for any other, and for a torn one."""
    if not (line.startswith(BEGINNING) and line.endswith(b"\n")):
        return None
    try:
        facts = orjson.loads(line)
    except ValueError:
        return None
    return facts if all(isinstance(facts.get(name), str) for name in ("run_id", "group_id")) else None


def _is_torn(line: bytes) -> bool:
    """Return whether a last line is the beginning of one of ours, perhaps with nothing but zeros written yet."""
    begun = line.startswith(BEGINNING) or BEGINNING.startswith(line.rstrip(b"\0\n"))
    return begun or not line.strip(b"\0\n")


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
