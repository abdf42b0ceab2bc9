"""Any way of cutting a stream into chunks gives the events that a simple reader of the whole finds."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from parallel_frames._service._sse import EventDecoder, EventTooLargeError

ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
VALUES = st.one_of(
    st.sampled_from(["", " ", "x", ": y", '{"a":"\u2028\u2029\u0085"}', "héé€😀", "\ufeff", "data: z"]),
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12),
).map(str.encode)
FIELDS = st.sampled_from(
    [b"data: ", b"data:", b"data:  ", b"data", b"event: ", b"id: ", b"id:", b"retry: ", b":", b"", b" data:", b"xdata:"]
)
LINES = st.one_of(
    st.builds(bytes.__add__, FIELDS, VALUES), st.sampled_from([b"", b"", b"data: x", b"data: x", b":", b"data"])
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a stream, lawful or odd, perhaps cut at its end."""
    lines = draw(st.lists(st.tuples(LINES, ENDS), max_size=25))
    mark = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf", b"\xef\xbb", b"\xef\xbb\xbf\xef\xbb\xbf"]))
    whole = mark + b"".join(line + end for line, end in lines)
    return whole[: len(whole) - draw(st.integers(0, 3))] if draw(st.booleans()) else whole


@st.composite
def cut_streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """Draw a stream and its chunks, of which some may be empty, and of which all may be single bytes."""
    whole = draw(streams() | st.binary(max_size=40).map(lambda odd: odd.replace(b"\x00", b"\n")))
    if draw(st.booleans()):
        return whole, [whole[at : at + 1] for at in range(len(whole))]
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    return whole, [whole[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def read_whole(stream: bytes) -> list[bytes]:
    """Return the events with data, by the standard's text, line by line over the whole stream."""
    events, data = [], []
    *lines, _unended = re.split(rb"\r\n|\n|\r", stream.removeprefix(b"\xef\xbb\xbf"))
    for line in lines:
        if not line:
            if event := b"\n".join(data):
                events.append(event)
            data = []
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
    return events


@given(cut_streams())
@example((b"data: a\r\n\r\ndata: b\r\n\r\n", [b"data: a\r", b"\n\r", b"\ndata: b\r\n", b"\r\n"]))
@example(("data: é\n\n".encode(), [b"data: \xc3", b"\xa9\n", b"\n"]))
@example((b"\xef\xbb\xbfdata: a\r\r", [b"\xef", b"\xbb\xbf", b"data: a\r", b"\r"]))
def test_any_chunking_gives_the_same_events(cut):
    """Borders within CRLF, within UTF-8, within the byte order mark and everywhere else change nothing."""
    whole, chunks = cut
    decoder = EventDecoder()
    assert [data for chunk in chunks for data in decoder.feed(chunk)] == read_whole(whole)


@given(cut_streams(), st.integers(1, 30))
def test_any_chunking_meets_the_same_bound(cut, bound):
    """Whether a stream holds something too large, and what comes before, does not depend on the chunks."""
    whole, chunks = cut

    def read(pieces: list[bytes]) -> tuple[list[bytes], bool]:
        decoder, events = EventDecoder(max_bytes=bound), []
        try:
            for piece in pieces:
                for data in decoder.feed(piece):
                    events.append(data)  # noqa: PERF402 - what comes before the error counts
        except EventTooLargeError:
            return events, True
        return events, False

    assert read(chunks) == read([whole])
