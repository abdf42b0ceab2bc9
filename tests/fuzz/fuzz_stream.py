"""Feed a coverage-guided fuzzer's bytes to the event decoder and the event reader.

The long form of ``tests/properties/test_sse_chunks.py`` and ``test_any_json.py``; needs ``pip install atheris``::

    python tests/fuzz/fuzz_stream.py -max_total_time=60

Nothing may raise but the bound on an event's size; any chunking gives the same events; an event that is read gives an
outcome, or none.
"""

from __future__ import annotations

import contextlib
import sys

import atheris

with atheris.instrument_imports(include=["parallel_frames._service"]):
    from parallel_frames._model import RunEvent, RunId
    from parallel_frames._service._messages import UnreadableError, read_event, read_listing, read_outcome, read_status
    from parallel_frames._service._sse import EventDecoder, EventTooLargeError

RUN = RunId("0" * 32, 0)


def decode(data: bytes, size: int) -> list[bytes]:
    """Return the events of a stream that comes in chunks of one size, up to where it is refused."""
    decoder = EventDecoder(max_bytes=1000)
    events: list[bytes] = []
    try:
        for start in range(0, len(data), size):
            events += decoder.feed(data[start : start + size])
    except EventTooLargeError:
        events.append(b"too large")
    return events


def one_input(data: bytes) -> None:
    """Try one input."""
    if len(data) < 2:
        return
    size, stream = data[0] % 16 + 1, data[1:]
    events = decode(stream, size)
    assert events == decode(stream, len(stream)), "the chunking changed the events"
    for event in (*events, stream):
        read = read_event(event)
        if isinstance(read, RunEvent):
            read_outcome(read, RUN, group_id="tgrp")
    for reader in (lambda: list(read_listing(stream)), lambda: read_status("tgrp", stream)):
        with contextlib.suppress(UnreadableError):
            reader()


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
