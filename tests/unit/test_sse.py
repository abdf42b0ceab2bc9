"""The decoder of event streams: what is an event, what is not, and what it costs."""

from __future__ import annotations

import itertools
import sys
import time

import pytest

from parallel_frames._service._sse import EventDecoder, EventTooLargeError


def decode(*chunks: bytes, **options: int) -> list[bytes]:
    """Return the events of a stream that arrives in these chunks."""
    decoder = EventDecoder(**options)
    return [data for chunk in chunks for data in decoder.feed(chunk)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_lines_end_with_any_of_three(end):
    """LF, CRLF and CR all end a line, and an empty line ends an event."""
    assert decode(b"data: a" + end + end + b"data: b" + end + end) == [b"a", b"b"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_an_event_is_there_as_soon_as_its_last_byte(end):
    """Nothing more has to arrive before an event is handed out, whatever ends its lines."""
    decoder = EventDecoder()
    assert list(decoder.feed(b"data: a" + end + end[:1])) == [b"a"]
    assert list(decoder.feed(end[1:] + b"data: b" + end + end)) == [b"b"]


def test_a_carriage_return_and_its_line_feed_may_arrive_apart():
    """CRLF is one line end even if the chunk border runs through it, and an empty chunk in between changes nothing."""
    assert decode(b"data: a\r", b"", b"\ndata: b\r", b"\n\r", b"\n") == [b"a\nb"]


def test_a_carriage_return_in_a_line_of_its_own_chunk_ends_the_line_before():
    """A CR that arrives alone ends the line; the byte after it begins the next."""
    assert decode(b"data: a", b"\r", b"\r", b"data: b\r\r") == [b"a", b"b"]


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_no_other_character_ends_a_line(separator):
    """What Python's splitlines would split at is content."""
    text = f'{{"a":"x{separator}y"}}'.encode()
    assert decode(b"data: " + text + b"\n\n") == [text]


def test_data_lines_of_one_event_are_joined_by_line_feeds():
    """Several data lines are one event, whatever the lines ended with."""
    assert decode(b"data: {\r\ndata:1\rdata: }\n\n") == [b"{\n1\n}"]


def test_one_space_after_the_colon_is_dropped_and_no_more():
    """The space is optional; a second one is content."""
    assert decode(b"data:a\n\ndata: b\n\ndata:  c\n\n") == [b"a", b"b", b" c"]


def test_a_byte_order_mark_counts_only_at_the_start():
    """It is dropped before the first line, even in pieces; later it makes a line unknown."""
    assert decode(b"\xef", b"\xbb", b"\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n") == [b"a"]


@pytest.mark.parametrize(
    "lines",
    [
        b": comment\n\n",
        b"event: ping\n\n",
        b"id: 7\n\n",
        b"retry: 3000\n\n",
        b"data\n\n",
        b"data:\n\n",
        b"data: \n\n",
        b"\n\n\n",
        b"datum: x\n\n",
        b" data: x\n\n",
        b"DATA: x\n\n",
    ],
)
def test_no_event_without_data(lines):
    """Comments, other fields, empty data and blank lines hand out nothing, and don't disturb the next event."""
    assert decode(lines + b"data: real\n\n" + lines) == [b"real"]


def test_other_fields_within_an_event_say_nothing():
    """Type, id, retry and comments around the data leave only the data."""
    assert decode(b"event: message\nid: 1\n: hm\ndata: a\nretry: 5\nunknown\ndata: b\n\n") == [b"a\nb"]


ODD_EVENTS = {
    b"data: a": b"a",
    b"data:a": b"a",
    b"data:  a": b" a",
    b"data: ": b"",
    b"data:": b"",
    b"data": b"",
    b"": b"",
    b": hm": b"",
    b"event: message": b"",
    b"id: 1\ndata: a": b"a",
    b"data: a\nid: 1": b"a",
    b"data: a\ndata: b": b"a\nb",
    b"data: a\rdata: b": b"a\nb",
    b"data: a\r\ndata: b": b"a\nb",
    b"data: a\r": b"a",
    b"\ndata: a": b"a",
    b" data: a": b"",
    b"\xef\xbb\xbfdata: a": b"",
}


@pytest.mark.parametrize("odd", ODD_EVENTS)
@pytest.mark.parametrize("together", [[3], [1, 2], [2, 1], [1, 1, 1]], ids=str)
def test_an_odd_event_among_usual_ones_is_read_all_the_same(odd, together):
    """Whole events in chunks of their own, or several in one, are what they are byte by byte."""
    parts = iter([b"data: before\n\n", odd + b"\n\n", b"data: after\n\n"])
    chunks = [b"".join(itertools.islice(parts, number)) for number in together]
    expected = [event for event in (b"before", ODD_EVENTS[odd], b"after") if event]
    start = b"data: start\n\n"  # after which a stream has no mark before it any more
    assert decode(start, *chunks) == [b"start", *expected]
    assert decode(*(bytes([byte]) for byte in b"".join(chunks))) == expected


def test_a_chunk_that_looks_like_an_event_may_be_the_rest_of_one():
    """What a chunk looks like counts only where an event begins."""
    assert decode(b"data: a\n\n", b"data: b", b"data: c\n\n") == [b"a", b"bdata: c"]
    assert decode(b"data: a\n\n", b"data: b\n", b"data: c\n\n") == [b"a", b"b\nc"]
    assert decode(b"data: a\n\n", b"data: b\r", b"\ndata: c\n\n") == [b"a", b"b\nc"]
    assert decode(b"data: a\n\n", b": hm", b"data: c\n\ndata: d\n\n") == [b"a", b"d"]


def test_the_bound_is_the_same_for_a_usual_event():
    """A line and its end as long as the bound are read, also in a chunk of their own, and one byte more is not."""
    first, fits = b"data: a\n\n", b"data: " + b"x" * 13
    for decoded in (decode(first, fits + b"\n\n", max_bytes=20), decode(first, fits, b"\n\n", max_bytes=20)):
        assert decoded == [b"a", b"x" * 13]
    for chunks in ([fits + b"x\n\n"], [fits, b"x\n\n"], [fits + b"x", b"\n\n"]):
        with pytest.raises(EventTooLargeError):
            decode(first, *chunks, max_bytes=20)


def test_an_event_that_is_not_ended_is_not_handed_out():
    """A stream that is cut within an event gives the events before it."""
    assert decode(b"data: a\n\ndata: b\n") == [b"a"]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: " + b"x" * 200 + b"\n\n"],
        [b"data: ", *[b"x"] * 200],
        [b"data: xx\n"] * 40,
        [b"data\n"] * 40,
        [b": " + b"x" * 200],
        [b": " + b"x" * 200 + b"\n"],
    ],
    ids=["in one chunk", "in bytes", "in lines", "in empty lines", "an unended comment", "a comment"],
)
def test_what_grows_too_large_is_refused(chunks):
    """A line or an event beyond the bound raises, however it arrives, and names the bound."""
    with pytest.raises(EventTooLargeError, match="more than 100 bytes"):
        decode(*chunks, max_bytes=100)


def test_what_is_before_a_too_large_event_is_handed_out():
    """Events that were complete are not lost with the one that is not."""
    feeding = EventDecoder(max_bytes=100).feed(b"data: a\n\ndata: " + b"x" * 200)
    assert next(feeding) == b"a"
    with pytest.raises(EventTooLargeError):
        next(feeding)


def test_the_bound_is_of_one_event_and_not_of_a_stream():
    """Any number of events and comments, in chunks of any size, may add up to more than the bound."""
    assert len(decode(b"data: 0123456789\n\n" * 50, max_bytes=20)) == 50
    assert decode(*[b": keep-alive\n\n"] * 50, b"data: a\n\n", max_bytes=20) == [b"a"]
    assert decode(*[b": keep-alive\n"] * 50, b"data: a\n\n", max_bytes=20) == [b"a"]


def test_a_line_without_end_costs_linear_time():
    """Twenty megabytes in chunks of a kilobyte take about as long for each half."""
    decoder = EventDecoder()
    chunk = b"y" * 1024

    def feed_ten_megabytes() -> float:
        began = time.process_time()
        for _ in range(10 * 1024):
            assert not list(decoder.feed(chunk))
        return time.process_time() - began

    first, second = feed_ten_megabytes(), feed_ten_megabytes()
    assert second < 5 * first + 0.5
    assert first + second < 5


def test_memory_is_bounded_by_what_arrived():
    """A line fed byte by byte is held in little more than its own size."""
    decoder = EventDecoder()
    for _ in range(200_000):
        assert not list(decoder.feed(b"y"))
    held = sum(sys.getsizeof(getattr(decoder, name)) for name in EventDecoder.__slots__)
    assert held < 300_000


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_data_keep_the_name_of_their_event(size):
    """However a stream is cut, an ``event:`` line names its own event and no other."""
    stream = b"data: 0\n\nevent: ping\ndata: 1\n\nevent:error\n\ndata: 2\n\nid: 5\nevent: ping\n\ndata: 3\n\n"
    decoder = EventDecoder()
    chunks = (stream[at : at + size] for at in range(0, len(stream), size))
    events = [event for chunk in chunks for event in decoder.feed(chunk)]
    assert events == [b"0", b"1", b"2", b"3"]
    assert [getattr(event, "name", None) for event in events] == [None, b"ping", None, None]
