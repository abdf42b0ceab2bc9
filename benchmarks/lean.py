"""A server of the Task Group API that is as lean as can be: what a benchmark then measures is the client.

It speaks the published dialect's paths for groups, runs and events (``/v1`` and ``/v1beta``), refuses nothing but a
batch of more than 1,000 runs, never fails, and keeps 400 bytes of a run, so that millions of runs fit. Whether a client
is right is not its business: that is what the package's simulator is for. Runs end `latency` seconds after their POST;
events are as large as real ones.

    python benchmarks/lean.py PORT LATENCY [CHUNK]

CHUNK is how many events go into one chunk at most (default: 64, about 100 KB).
"""

from __future__ import annotations

import asyncio
import socket
import sys
from itertools import count
from time import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httptools
import orjson

BATCH = 1000
TOO_MANY = [{"loc": ["body", "inputs"], "msg": "List should have at most 1000 items", "type": "too_long"}]
REASONING = (
    "The company's own history page and an independent profile agree on this value; differing figures elsewhere refer "
    "to a predecessor."
)
EXCERPT = "Founded by two engineers in a rented workshop, the company began to sell its first product a year later."


def compact(value: Any) -> bytes:
    """Return JSON in as much memory as it is long: orjson's own bytes hold a buffer of a kilobyte or more."""
    return bytes(memoryview(orjson.dumps(value)))


def moment() -> str:
    """Return the time as the service writes it."""
    return f"{time():.6f}"


def template_of(schema: dict[str, Any]) -> bytes:
    """Return the output of a run of this schema, with one %d for each field's value."""
    fields = schema.get("json_schema", schema)["properties"]
    values = {"integer": b"%d", "number": b"%d.25", "boolean": b"true"}

    def value_of(asked: dict[str, Any]) -> bytes:
        kinds = asked.get("type") or [option.get("type") for option in asked.get("anyOf", [])]
        kind = kinds if isinstance(kinds, str) else next(kind for kind in kinds if kind != "null")
        return values.get(kind, b'"value %d"')

    content = b",".join(b'"%b":%b' % (name.encode(), value_of(asked)) for name, asked in fields.items())
    basis = [
        {
            "field": name,
            "reasoning": REASONING,
            "citations": [
                {"url": f"https://example.com/{name}/history", "title": "History", "excerpts": [EXCERPT]},
                {"url": f"https://example.org/{name}/profile", "title": "Profile"},
            ],
            "confidence": "high",
        }
        for name in fields
    ]
    return b'{"type":"json","content":{%b},"basis":%b}' % (content, orjson.dumps(basis).replace(b"%", b"%%"))


class Group:
    """One group: what its runs were sent as, and how many of them have ended (the first ones, in order)."""

    def __init__(self, serial: int) -> None:
        self.group_id = f"tgrp_{serial:08x}"
        self.runs: list[tuple[bytes, bytes]] = []  # metadata, and the rest of what was sent
        self.ended = 0
        self.output = b""
        self.fields = 0
        self.streams: set[Stream] = set()

    @property
    def active(self) -> bool:
        return self.ended < len(self.runs)

    def status(self) -> dict[str, Any]:
        counts = {"completed": self.ended, "running": len(self.runs) - self.ended}
        return {
            "num_task_runs": len(self.runs),
            "task_run_status_counts": {name: number for name, number in counts.items() if number},
            "is_active": self.active,
            "status_message": None,
            "modified_at": moment(),
        }

    def body(self) -> dict[str, Any]:
        return {"taskgroup_id": self.group_id, "metadata": None, "created_at": moment(), "status": self.status()}

    def end(self, number: int) -> None:
        """Let the next `number` runs end."""
        self.ended += number
        for stream in list(self.streams):
            stream.push()

    def frame(self, position: int, kind: bytes, *, with_input: bool, with_output: bool) -> bytes:
        """Return the event of one run."""
        metadata, sent = self.runs[position]
        done = position < self.ended
        head = (
            b'data: {"type":"task_run.state","event_id":"%b_%d","run":{"run_id":"trun_%b_%d","interaction_id":'
            b'"trun_%b_%d","status":"%b","is_active":%b,"processor":"base","metadata":%b,"taskgroup_id":"%b",'
            b'"created_at":"2026-01-01T00:00:00Z","modified_at":"2026-01-01T00:00:00Z","warnings":null,"error":null}'
        ) % (
            kind, position + 1, self.tag, position, self.tag, position, b"completed" if done else b"running",
            b"false" if done else b"true", metadata, self.group_id.encode(),
        )  # fmt: skip
        parts = [head]
        if with_input:
            parts += (b',"input":', sent)
        if with_output and done:
            parts += (b',"output":', self.output % ((position,) * self.fields))
        parts.append(b"}\n\n")
        return b"".join(parts)

    @property
    def tag(self) -> bytes:
        return self.group_id[5:].encode()


class Stream:
    """One open stream of a group's events, or of its runs."""

    def __init__(self, connection: Connection, group: Group, query: dict[str, list[str]], *, kind: bytes) -> None:
        self.connection, self.group, self.kind = connection, group, kind
        self.with_input = query.get("include_input") == ["true"]
        self.with_output = query.get("include_output") == ["true"]
        cursor = query.get("last_event_id", [""])[0]
        self.position = int(cursor.rsplit("_", 1)[1]) if "_" in cursor else 0

    def push(self) -> None:
        """Write what is there, as far as the connection takes it; end with the group."""
        group, end = self.group, self.group.ended if self.kind == b"evt" else len(self.group.runs)
        while self.position < end and not self.connection.paused:
            news = range(self.position, min(end, self.position + self.connection.service.chunk))
            frames = [
                group.frame(at, self.kind, with_input=self.with_input, with_output=self.with_output) for at in news
            ]
            self.position = news.stop
            self.connection.write_chunk(b"".join(frames))
        if self.position == end and (self.kind == b"lst" or not group.active):
            group.streams.discard(self)
            self.connection.stream = None
            self.connection.write_chunk(b"")


class Connection(asyncio.Protocol):
    """One connection of a client."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.parser = httptools.HttpRequestParser(self)
        self.paused = False
        self.stream: Stream | None = None
        self.url, self.parts = b"", []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def connection_lost(self, _error: Exception | None) -> None:
        if self.stream is not None:
            self.stream.group.streams.discard(self.stream)

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.stream is not None:
            self.stream.push()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.parts.append(body)

    def on_message_complete(self) -> None:
        url, body, method = urlsplit(self.url.decode()), b"".join(self.parts), self.parser.get_method()
        self.url, self.parts = b"", []
        _, _, _, *rest = [part for part in url.path.split("/") if part] + [""] * 3
        group = self.service.groups.get(rest[0])
        match method, rest[0], rest[1] if len(rest) > 1 else "":
            case b"POST", "", _:
                self.answer(self.service.create().body())
            case _ if group is None:
                self.answer({"type": "error", "error": {"ref_id": "", "message": "unknown"}}, status=b"404 Not Found")
            case b"POST", _, "runs":
                asked = orjson.loads(body)
                if len(asked["inputs"]) > BATCH:
                    self.answer({"detail": TOO_MANY}, status=b"422 Unprocessable Entity")
                else:
                    self.answer(self.service.add(group, asked))
            case b"GET", _, "":
                self.answer(group.body())
            case b"GET", _, "runs" | "events" as what:
                self.open(Stream(self, group, parse_qs(url.query), kind=b"evt" if what == "events" else b"lst"))
            case _:
                self.answer({"type": "error", "error": {"ref_id": "", "message": "unknown"}}, status=b"404 Not Found")

    def answer(self, value: Any, *, status: bytes = b"200 OK") -> None:
        body = orjson.dumps(value)
        self.transport.write(
            b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body)
        )

    def open(self, stream: Stream) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        self.stream = stream
        stream.group.streams.add(stream)
        stream.push()

    def write_chunk(self, data: bytes) -> None:
        self.transport.write(b"%x\r\n%b\r\n" % (len(data), data))


class Service:
    """All groups."""

    def __init__(self, latency: float, chunk: int) -> None:
        self.latency = latency
        self.chunk = chunk
        self.groups: dict[str, Group] = {}
        self.serial = count(1)

    def create(self) -> Group:
        group = Group(next(self.serial))
        self.groups[group.group_id] = group
        return group

    def add(self, group: Group, body: dict[str, Any]) -> dict[str, Any]:
        """Create the runs of one POST; they end together."""
        runs, start = body["inputs"], len(group.runs)
        if not group.output:
            spec = body.get("default_task_spec") or runs[0]["task_spec"]
            group.output = template_of(spec["output_schema"])
            group.fields = group.output.count(b"%d")
        group.runs += [(compact(run.get("metadata")), compact(run)) for run in runs]
        loop = asyncio.get_running_loop()
        if self.latency:
            loop.call_later(self.latency, group.end, len(runs))
        else:
            loop.call_soon(group.end, len(runs))
        tag = group.tag.decode()
        cursors = {"run_cursor": f"lst_{start}", "event_cursor": f"evt_{group.ended}"} if start else {}
        return {
            "run_ids": [f"trun_{tag}_{at}" for at in range(start, len(group.runs))],
            "status": group.status(),
            "run_cursor": None,
            "event_cursor": None,
        } | cursors


async def serve(port: int, latency: float, chunk: int = 64) -> None:
    """Serve until the end of the process."""
    service = Service(latency, chunk)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(service), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]), *map(int, sys.argv[3:])))
