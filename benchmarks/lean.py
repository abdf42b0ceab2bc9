"""A server of the Task Group API that is as lean as can be: what a benchmark then measures is the client.

It speaks the published dialect's paths for groups, runs and events (``/v1`` and ``/v1beta``), refuses nothing but a
batch of more than 1,000 runs, never fails, and keeps 400 bytes of a run, so that millions of runs fit. Whether a client
is right is not its business: that is what the package's simulator is for. Runs end LATENCY seconds after their POST,
all of a batch together, or each at its own time between two such numbers. Outputs come from the listing and from the
result of a run, as the service documents it; with ``--embed`` the group's events have them, too.

    python benchmarks/lean.py PORT LATENCY[-LATENCY] [--chunk EVENTS] [--embed]

A chunk has 64 events at most by default.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import socket
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
    """One group: what its runs were sent as, and which of them have ended, in order."""

    def __init__(self, serial: int) -> None:
        self.group_id = f"tgrp_{serial:08x}"
        self.runs: list[tuple[bytes, bytes]] = []  # metadata, and the rest of what was sent
        self.ended: list[int] = []
        self.is_done = bytearray()
        self.output = b""
        self.fields = 0
        self.streams: set[Stream] = set()

    @property
    def active(self) -> bool:
        return len(self.ended) < len(self.runs)

    def status(self) -> dict[str, Any]:
        counts = {"completed": len(self.ended), "running": len(self.runs) - len(self.ended)}
        return {
            "num_task_runs": len(self.runs),
            "task_run_status_counts": {name: number for name, number in counts.items() if number},
            "is_active": self.active,
            "status_message": None,
            "modified_at": moment(),
        }

    def body(self) -> dict[str, Any]:
        return {"taskgroup_id": self.group_id, "metadata": None, "created_at": moment(), "status": self.status()}

    def end(self, positions: range) -> None:
        """Let runs end."""
        self.ended += positions
        for position in positions:
            self.is_done[position] = True
        for stream in list(self.streams):
            stream.push()

    def event(self, position: int, event_id: bytes, *, with_input: bool, with_output: bool) -> bytes:
        """Return the event of one run."""
        metadata, sent = self.runs[position]
        done = self.is_done[position]
        head = (
            b'{"type":"task_run.state","event_id":"%b","run":{"run_id":"trun_%b_%d","interaction_id":'
            b'"trun_%b_%d","status":"%b","is_active":%b,"processor":"base","metadata":%b,"taskgroup_id":"%b",'
            b'"created_at":"2026-01-01T00:00:00Z","modified_at":"2026-01-01T00:00:00Z","warnings":null,"error":null}'
        ) % (
            event_id, self.tag, position, self.tag, position, b"completed" if done else b"running",
            b"false" if done else b"true", metadata, self.group_id.encode(),
        )  # fmt: skip
        parts = [head]
        if with_input:
            parts += (b',"input":', sent)
        if with_output and done:
            parts += (b',"output":', self.output % ((position,) * self.fields))
        parts.append(b"}")
        return b"".join(parts)

    @property
    def tag(self) -> bytes:
        return self.group_id[5:].encode()


class Stream:
    """One open stream of a group's events, or of its runs."""

    def __init__(self, connection: Connection, group: Group, query: dict[str, list[str]], *, kind: bytes) -> None:
        self.connection, self.group, self.kind = connection, group, kind
        self.with_input = query.get("include_input") == ["true"]
        has_outputs = kind == b"lst" or connection.service.embed
        self.with_output = has_outputs and query.get("include_output") == ["true"]
        self.completed_only = query.get("status") == ["completed"]
        cursor = query.get("last_event_id", [""])[0]
        self.position = int(cursor.rsplit("_", 1)[1]) if "_" in cursor else 0

    def push(self) -> None:
        """Write what is there, as far as the connection takes it; end with the group."""
        group, is_listing = self.group, self.kind == b"lst"
        end = len(group.runs if is_listing else group.ended)
        while self.position < end and not self.connection.paused:
            news = range(self.position, min(end, self.position + self.connection.service.chunk))
            shown = {"with_input": self.with_input, "with_output": self.with_output}
            frames = [
                b"data: %b\n\n" % group.event(run, b"%b_%d" % (self.kind, at + 1), **shown)
                for at in news
                for run in [at if is_listing else group.ended[at]]
                if group.is_done[run] or not self.completed_only
            ]
            self.position = news.stop
            if frames:
                self.connection.write_chunk(b"".join(frames))
        if self.position == end and (is_listing or not group.active):
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
        self.service.requests += 1
        _, _, what, *rest = [part for part in url.path.split("/") if part] + [""] * 3
        if what == "runs":
            self.answer_result(rest[0])
            return
        group = self.service.groups.get(rest[0])
        match method, rest[0], rest[1] if len(rest) > 1 else "":
            case b"POST", "", _:
                self.answer(self.service.create().body())
            case _, "requests", _:
                self.answer(self.service.requests)
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

    def answer_result(self, run_id: str) -> None:
        """Answer one run with its output."""
        _, tag, position = run_id.split("_")
        group = self.service.groups[f"tgrp_{tag}"]
        if group.is_done[int(position)]:
            self.write_json(group.event(int(position), b"", with_input=False, with_output=True))
        else:
            self.answer({"type": "error", "error": {"ref_id": "", "message": "active"}}, status=b"408 Request Timeout")

    def answer(self, value: Any, *, status: bytes = b"200 OK") -> None:
        self.write_json(orjson.dumps(value), status=status)

    def write_json(self, body: bytes, *, status: bytes = b"200 OK") -> None:
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

    def __init__(self, latency: list[float], *, chunk: int, embed: bool) -> None:
        self.latency = latency
        self.chunk = chunk
        self.embed = embed
        self.requests = 0
        self.random = random.Random(0)
        self.groups: dict[str, Group] = {}
        self.serial = count(1)

    def create(self) -> Group:
        group = Group(next(self.serial))
        self.groups[group.group_id] = group
        return group

    def add(self, group: Group, body: dict[str, Any]) -> dict[str, Any]:
        """Create the runs of one POST; they end together, or each at its own time."""
        runs, start = body["inputs"], len(group.runs)
        if not group.output:
            spec = body.get("default_task_spec") or runs[0]["task_spec"]
            group.output = template_of(spec["output_schema"])
            group.fields = group.output.count(b"%d")
        group.runs += [(compact(run.get("metadata")), compact(run)) for run in runs]
        group.is_done += bytes(len(runs))
        loop = asyncio.get_running_loop()
        added = range(start, len(group.runs))
        if len(self.latency) > 1:
            for at in added:
                loop.call_later(self.random.uniform(*self.latency), group.end, range(at, at + 1))
        else:
            loop.call_later(self.latency[0], group.end, added)
        tag = group.tag.decode()
        cursors = {"run_cursor": f"lst_{start}", "event_cursor": f"evt_{len(group.ended)}"} if start else {}
        return {
            "run_ids": [f"trun_{tag}_{at}" for at in added],
            "status": group.status(),
            "run_cursor": None,
            "event_cursor": None,
        } | cursors


async def serve(service: Service, port: int) -> None:
    """Serve until the end of the process."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(service), "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("port", type=int)
    parser.add_argument("latency", type=lambda text: [float(part) for part in text.split("-")])
    parser.add_argument("--chunk", type=int, default=64)
    parser.add_argument("--embed", action="store_true")
    asked = parser.parse_args()
    asyncio.run(serve(Service(asked.latency, chunk=asked.chunk, embed=asked.embed), asked.port))
