"""The stream path alone: events of a second of CPU, against what else reads such a stream.

All readers hear the same events of about 1.8 KB from a server in a process of its own, one event to a chunk and many,
in turns. `raw socket` is the limit (one `recv`, one split, the same JSON parser); `httpx bytes` is the bare client with
that split and parser: what every reader built on httpx must stay below.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
import statistics
import time
from functools import partial
from typing import TYPE_CHECKING, Literal

import httpx
import orjson
from clients.common import OUTPUT_SCHEMA
from serving import lean

import parallel_frames as pf
from parallel_frames._model import RunEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

KEY = secrets.token_urlsafe(30)  # as long and as mixed as a real one
TLS = ssl.create_default_context()  # making one takes as long as a thousand events, and nobody here speaks TLS


def read_socket(url: str, group_id: str) -> int:
    """Read a stream with nothing between the socket and the parser."""
    parts = httpx.URL(url)
    count, rest = 0, b""
    with socket.create_connection((parts.host, parts.port)) as sock:
        path = f"/v1/tasks/groups/{group_id}/events?include_output=true"
        sock.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        while not rest.endswith(b"\r\n0\r\n\r\n"):
            *events, rest = (rest + sock.recv(2**18)).split(b"\n\n")
            for event in events:
                at = event.find(b"data: ")
                if at >= 0:
                    count += "run" in orjson.loads(event[at + 6 :])
    return count


async def read_httpx(url: str, group_id: str) -> int:
    """Read a stream with httpx, a split, and the parser."""
    count, rest = 0, b""
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, verify=TLS) as client,
        client.stream("GET", f"/v1/tasks/groups/{group_id}/events", params={"include_output": "true"}) as response,
    ):
        async for chunk in response.aiter_bytes():
            *events, rest = (rest + chunk).split(b"\n\n")
            for event in events:
                count += "run" in orjson.loads(event[6:])
    return count


async def read_httpx_sse(url: str, group_id: str) -> int:
    """Read a stream with httpx-sse and the standard library's parser."""
    import json

    from httpx_sse import aconnect_sse

    path, count = f"/v1/tasks/groups/{group_id}/events", 0
    async with (
        httpx.AsyncClient(base_url=url, trust_env=False, verify=TLS) as client,
        aconnect_sse(client, "GET", path, params={"include_output": "true"}) as source,
    ):
        async for event in source.aiter_sse():
            count += "run" in json.loads(event.data)
    return count


async def read_sdk(url: str, group_id: str) -> int:
    """Read a stream with the vendor's SDK."""
    from parallel import AsyncParallel

    count = 0
    async with AsyncParallel(api_key=KEY, base_url=url) as client:
        query = {"include_output": "true"}
        async for event in await client.task_group.events(group_id, extra_query=query):
            count += event.type == "task_run.state"
    return count


async def read_ours(url: str, group_id: str, *, transport: Literal["httpx", "aiohttp"] = "httpx") -> int:
    """Read a stream as an enrichment does: reconnectable, bounded, and every event checked into a `RunEvent`."""
    count = 0
    client = pf.Client(api_key=KEY, base_url=url, transport=transport)
    async with client.session(dialect="published") as session:
        async for burst in session.stream_events(group_id, last_event_id=None):
            count += sum(isinstance(event, RunEvent) for event in burst)
    return count


READERS: dict[str, Callable[[str, str], int | Coroutine[None, None, int]]] = {
    "raw socket + orjson": read_socket,
    "httpx bytes + orjson": read_httpx,
    "parallel_frames": read_ours,
    "parallel_frames over aiohttp": partial(read_ours, transport="aiohttp"),
    "httpx-sse + json": read_httpx_sse,
    "vendor's SDK": read_sdk,
}


def fill_group(url: str, events: int) -> str:
    """Return a group whose runs have ended."""
    spec = {"output_schema": {"type": "json", "json_schema": OUTPUT_SCHEMA}}
    with httpx.Client(base_url=url, trust_env=False) as client:
        group_id = client.post("/v1/tasks/groups", json={}).json()["taskgroup_id"]
        for start in range(0, events, 1000):
            inputs = [
                {
                    "input": {"n": n},
                    "processor": "base",
                    "metadata": {"row": str(n), "key": f"{n:032x}", "attempt": "0"},
                }
                for n in range(start, min(start + 1000, events))
            ]
            client.post(f"/v1/tasks/groups/{group_id}/runs", json={"default_task_spec": spec, "inputs": inputs})
    return str(group_id)


def measure(*, events: int, turns: int, readers: Sequence[str] = tuple(READERS)) -> dict[str, dict[str, list[float]]]:
    """Return the events of a second of CPU of each of these readers, by how the events were cut into chunks."""
    told: dict[str, dict[str, list[float]]] = {}
    for name, chunk in (("one event a chunk", 1), ("64 events a chunk", 64)):
        told[name] = {reader: [] for reader in readers}
        with lean(chunk=chunk) as url:
            group_id = fill_group(url, events)
            for turn in range(turns + 1):
                for reader in readers:
                    cpu = time.process_time()
                    got = READERS[reader](url, group_id)
                    count = got if isinstance(got, int) else asyncio.run(got)
                    cpu = time.process_time() - cpu
                    assert count == events, (reader, count)
                    if turn:  # the first one warms up
                        told[name][reader].append(events / cpu)
    return told


if __name__ == "__main__":
    for name, measured in measure(events=20_000, turns=5).items():
        print(name)
        for reader, rates in measured.items():
            print(f"  {reader:28} {statistics.median(rates):9,.0f}  ({min(rates):,.0f}-{max(rates):,.0f})")
