"""What carries the requests: httpx, aiohttp or the user's own; and what each may conclude from an error."""

from __future__ import annotations

import asyncio
import gzip
import json
import pickle
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import traceback

import aiohttp
import httpx
import httpx_aiohttp
import pytest

import parallel_frames as pf
from parallel_frames._model import Accepted, Ambiguous, Refused, RunEvent
from parallel_frames._service import _aiohttp
from parallel_frames._service._http import guard
from parallel_frames.errors import ConfigurationError, RateLimitError, ServiceError, UnavailableError

FULL = {"run_ids": ["trun_1", "trun_2"]}
GROUP = {"taskgroup_id": "tgrp_1", "status": {"num_task_runs": 0, "task_run_status_counts": {}, "is_active": False}}
EVENT = {"type": "task_run.state", "event_id": "e1", "run": {"run_id": "trun_1", "status": "completed"}}


async def post(session, wire):
    """Send one batch."""
    return await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS)


# -- the option ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("transport", "words"),
    [
        ("requests", "`transport='requests'` must be one of 'httpx', 'aiohttp', or a function that returns an httpx."),
        (None, "`transport=None` must be one of 'httpx', 'aiohttp', or a function"),
        ([], "`transport=[]` must be one of 'httpx', 'aiohttp', or a function"),
        (httpx.AsyncHTTPTransport(), "a function that makes one: `transport=lambda: AsyncHTTPTransport(...)`."),
    ],
)
def test_what_is_no_transport_is_refused(transport, words):
    """At once, with what is expected; an instance too, because a client serves many event loops."""
    with pytest.raises(ConfigurationError) as caught:
        pf.Client(api_key="k", transport=transport)
    assert words in str(caught.value)


def test_a_missing_extra_is_named_at_once(monkeypatch):
    """What to install is said where the client is made, before anything is sent."""
    monkeypatch.setitem(sys.modules, "httpx_aiohttp", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'parallel-frames\[aiohttp\]'"):
        pf.Client(api_key="k", transport="aiohttp")


def test_a_client_with_a_transport_is_a_value():
    """It is equal to one like it, may be a key, does not show its transport, and is not pickled."""
    one, two = (pf.Client(api_key="k", transport="aiohttp") for _ in range(2))
    own = pf.Client(api_key="k", transport=httpx.AsyncHTTPTransport)
    assert one == two
    assert len({one, two, own, pf.Client(api_key="k")}) == 3
    assert repr(one) == repr(own) == repr(pf.Client(api_key="k"))
    with pytest.raises(TypeError, match="holds the API key"):
        pickle.dumps(own)


async def test_what_a_function_returns_is_checked(wire):
    """Something else than a transport is refused by its type, and nothing is sent."""
    with pytest.raises(ConfigurationError, match=r"`transport` returned a dict; expected is an httpx\.AsyncBaseTransp"):
        async with wire.client("http://127.0.0.1:1", transport=dict).session():
            pass


# -- bodies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["chunked", "announced", "until the close", "gzip", "gzip in chunks"])
async def test_bodies_of_every_shape_are_the_same_stream(wire, shape):
    """Chunks, lengths, closes and compression make no difference to what is read."""
    events = wire.sse(*[{**EVENT, "event_id": f"e{n}"} for n in range(500)])
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n"
    packed = gzip.compress(events)
    script = {
        "chunked": wire.chunked(*[events[n : n + 999] for n in range(0, len(events), 999)]),
        "announced": wire.reply(200, events, "text/event-stream"),
        "until the close": wire.endless() + events,
        "gzip": head + b"content-length: %d\r\n\r\n" % len(packed) + packed,
        "gzip in chunks": head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(packed), packed),
    }[shape]
    async with wire.session(script) as (session, _):
        bursts = session.stream_events("tgrp_1", last_event_id=None)
        read = [event async for burst in bursts for event in burst]
    assert [event.event_id for event in read if isinstance(event, RunEvent)] == [f"e{n}" for n in range(500)]


async def test_a_long_header_is_no_error(wire):
    """Both transports take heads of tens of kilobytes."""
    async with wire.session(wire.reply(200, FULL, x_long="x" * 50_000)) as (session, _):
        assert await post(session, wire) == Accepted(FULL["run_ids"])


async def test_cookies_are_not_mixed_up(wire):
    """A cookie is sent back once, by either transport."""
    async with wire.session(wire.reply(200, GROUP, set_cookie="a=1; Path=/")) as (session, server):
        for _ in range(2):
            await session.group_status("tgrp_1")
        assert [seen.headers.get("cookie") for seen in server.seen] == [None, "a=1"]


# -- sent or not -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["close", "reset", "half a head", "no HTTP"])
async def test_a_batch_on_a_kept_connection_is_never_repeated(wire, ending):
    """A connection that served before and breaks after it took the batch proves nothing, and it is sent once."""
    end = {"close": wire.CLOSE, "reset": wire.RESET, "half a head": b"HTTP/1.1 200", "no HTTP": b"220 ESMTP\r\n\r\n"}
    async with wire.session(wire.reply(200, FULL), [end[ending], wire.CLOSE]) as (session, server):
        assert isinstance(await post(session, wire), Accepted)
        posted = await post(session, wire)
        assert len(server.seen) == 2
    assert isinstance(posted, Ambiguous), posted


async def test_a_server_that_takes_no_more_of_a_batch_is_left(wire):
    """Where the rest of a large batch is never read, the time of a request ends it, and nothing is proven."""
    with socket.create_server(("127.0.0.1", 0)) as server:  # its kernel connects, and nothing is read
        runs = [type(wire.RUNS[0])(b'"%s"' % (b"x" * 2**20), {"row": str(n)}) for n in range(8)]
        client = wire.client(f"http://127.0.0.1:{server.getsockname()[1]}", request_timeout=0.001)
        # The whole time of a request of that size is longer than a test may take.
        async with client.session() as session:
            session._http.timeout = httpx.Timeout(0.2)
            posted = await asyncio.wait_for(session.add_runs("tgrp_1", job=wire.JOB, runs=runs), 10)
    assert isinstance(posted, Ambiguous)


async def test_a_handshake_without_end_proves_that_nothing_was_sent(wire):
    """TLS that is not there before the first byte of a request is no request."""
    async with wire.serve(wire.HANG) as server:
        client = wire.client(server.url.replace("http:", "https:"), request_timeout=0.001)
        async with client.session() as session:
            assert isinstance(await post(session, wire), Refused)


async def test_a_large_batch_arrives_whole(wire):
    """Several megabytes are sent as they are, with their length."""
    runs = [type(wire.RUNS[0])(b'"%s"' % (b"x" * 2**20), {"row": str(n)}) for n in range(3)]
    async with wire.session(wire.reply(200, {"run_ids": ["a", "b", "c"]})) as (session, server):
        assert isinstance(await session.add_runs("tgrp_1", job=wire.JOB, runs=runs), Accepted)
        (seen,) = server.seen
    assert "transfer-encoding" not in seen.headers
    assert [run["input"] for run in json.loads(seen.body)["inputs"]] == ["x" * 2**20] * 3


async def test_a_proxy_takes_the_password_of_its_address(wire, monkeypatch):
    """As a header of its own, and no text has it."""
    async with wire.serve(wire.reply(407, b"")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.replace("//", "//user:pass%23word@"))
        async with wire.client("https://service.invalid").session() as session:
            posted = await post(session, wire)
        (seen,) = proxy.seen
    assert seen.headers["proxy-authorization"] == "Basic dXNlcjpwYXNzI3dvcmQ="
    assert isinstance(posted, Refused)
    assert "ProxyError: 407" in str(posted.error)
    assert "word" not in "".join(traceback.format_exception(posted.error))


@pytest.mark.parametrize("hosts", ["service.invalid", "*", ".invalid", "x.org, service.invalid"])
async def test_hosts_without_a_proxy_are_asked_themselves(wire, monkeypatch, hosts):
    """NO_PROXY means the same for both transports."""
    async with wire.serve(wire.reply(200, GROUP)) as proxy:
        monkeypatch.setenv("all_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", hosts)
        async with wire.client("http://service.invalid", allow_http=True).session() as session:
            assert isinstance(await post(session, wire), Refused)
        assert proxy.seen == []


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "ftp://127.0.0.1:1", "http://[::1"])
async def test_a_proxy_that_cannot_be_used_is_named_before_anything_is_sent(wire, monkeypatch, proxy):
    """By the variable it is in, or by what to do."""
    monkeypatch.setenv("all_proxy", proxy)
    with pytest.raises(ConfigurationError, match="Nothing was sent"):
        async with wire.client("https://service.invalid").session():
            pass


@pytest.mark.parametrize("raised", sorted(_every := {
    name: error for name, error in vars(aiohttp).items()
    if isinstance(error, type) and issubclass(error, Exception) and not issubclass(error, Warning)
}))  # fmt: skip
def test_every_error_of_aiohttp_has_a_meaning(raised):
    """Of all that aiohttp can raise, only what comes before a connection is there proves that nothing was sent."""
    proofs = (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.ClientHttpProxyError,
        aiohttp.InvalidURL,
        aiohttp.NonHttpUrlClientError,
    )
    kind = next(kind for kinds, kind in _aiohttp.ERRORS if issubclass(_every[raised], kinds))
    from parallel_frames._service._http import NOTHING_SENT

    assert issubclass(kind, NOTHING_SENT) == issubclass(_every[raised], proofs)


# -- transports of the user's own ------------------------------------------------------------------------------------


class Failing(httpx.AsyncBaseTransport):
    """Raises an error for each request."""

    def __init__(self, error):
        self.error = error

    async def handle_async_request(self, request):
        """Raise it, with the request in its text."""
        raise self.error(f"failed: {request.headers}")


@pytest.mark.parametrize(
    "error", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ReadError, OSError, TimeoutError,
              KeyError, aiohttp.ClientError, httpx.InvalidURL, httpx.StreamError],
)  # fmt: skip
async def test_no_error_of_a_foreign_transport_proves_anything(wire, error, caplog):
    """Whatever it raises becomes ours, without the key; a batch may have been sent."""
    client = wire.client("http://127.0.0.1:1", transport=lambda: Failing(error))
    async with client.session() as session:
        assert isinstance(await post(session, wire), Ambiguous)
        with pytest.raises(UnavailableError) as caught:
            await session.group_status("tgrp_1")
        with pytest.raises(UnavailableError) as cut:
            await anext(session.stream_events("tgrp_1", last_event_id=None))
    for each in (caught, cut):
        assert wire.KEY not in "".join(traceback.format_exception(each.value))
    assert wire.KEY not in caplog.text


async def test_httpxs_own_transport_proves_what_it_does(wire):
    """A refused connection is a proof, whoever made the transport; of a subclass, which may retry, it is none."""

    class Traced(httpx.AsyncHTTPTransport):
        pass

    for transport, kind in ((httpx.AsyncHTTPTransport, Refused), (Traced, Ambiguous)):
        async with wire.client("http://127.0.0.1:1", transport=transport).session() as session:
            assert isinstance(await post(session, wire), kind)


async def test_the_table_of_httpx_aiohttp_is_not_trusted(wire):
    """There, a server that hangs up with a batch in its hands is a connection that was never made."""
    async with wire.session([wire.CLOSE], transport=httpx_aiohttp.AiohttpTransport) as (session, server):
        assert isinstance(await post(session, wire), Ambiguous)
        assert len(server.seen) == 1


def test_a_client_with_a_transport_serves_many_loops(wire):
    """Each session has a transport of its own, which is closed with it."""
    made, closed = [], []

    class Counted(httpx.AsyncHTTPTransport):
        def __init__(self):
            super().__init__()
            made.append(self)

        async def aclose(self):
            await super().aclose()
            closed.append(self)

    async def ask():
        async with wire.serve(wire.reply(200, GROUP)) as server:
            for options in ({"transport": Counted}, {}):
                async with wire.client(server.url, **options).session() as session:
                    await session.group_status("tgrp_1")

    threads = [threading.Thread(target=lambda: asyncio.run(ask())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    asyncio.run(ask())
    assert len(made) == 4
    assert made == closed or set(made) == set(closed)


# -- advice of the service -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "advice", "times"), [(503, "false", 1), (503, "FALSE", 1), (429, "false", 1), (503, "maybe", 9),
                                    (409, "true", 9), (501, "true", 9)],
)  # fmt: skip
async def test_the_service_says_whether_to_try_again(wire, status, advice, times):
    """`x-should-retry` decides for what may be repeated, whatever the status; another word of it is none."""
    async with wire.session(wire.reply(status, b"", x_should_retry=advice)) as (session, server):
        with pytest.raises(ServiceError):
            await session.group_status("tgrp_1")
        assert len(server.seen) == times
        server.seen.clear()
        with pytest.raises(ServiceError):
            await session.create_group(wire.JOB, metadata={})
        assert len(server.seen) == times


async def test_a_result_that_is_not_there_yet_is_not_tried_again(wire):
    """408 of a result is an answer: the run has not ended."""
    async with wire.session(wire.reply(408, b"", x_should_retry="true")) as (session, server):
        assert await session.run_result("trun_1") is None
        assert len(server.seen) == 1


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_no_advice_repeats_a_batch(wire, status):
    """A batch is sent once; whether it is sent again is never the transport's or the service's to say."""
    async with wire.session(wire.reply(status, b"", x_should_retry="true")) as (session, server):
        posted = await post(session, wire)
        assert len(server.seen) == 1
    assert isinstance(posted, Ambiguous if status >= 500 else Refused)


@pytest.mark.parametrize(
    ("what", "header"),
    [
        ("status", {"retry_after": "40"}),
        ("result", {"retry_after_ms": "40000"}),
        ("events", {"retry_after": "40"}),
        ("list", {"retry_after_ms": "40000"}),
    ],
)
async def test_a_get_waits_as_long_as_it_is_advised(wire, header, what):
    """A status, a result, a stream and a list are not asked again before that; sending is not slowed by it."""
    script = wire.reply(429, b"", **header), wire.reply(200, GROUP if what == "status" else {"run": EVENT["run"]})
    async with wire.session(*script, clock_speed=100.0, max_per_minute=None) as (session, server):
        began = time.monotonic()
        if what in ("status", "result"):
            await (session.group_status("tgrp_1") if what == "status" else session.run_result("trun_1"))
            assert len(server.seen) == 2
        else:
            asked = {"include_input": False, "include_output": False}
            stream = (
                session.stream_events("t", last_event_id=None) if what == "events" else session.list_runs("t", **asked)
            )
            with pytest.raises(RateLimitError):
                await anext(stream)
        assert 0.38 < time.monotonic() - began < 2
        client = wire.client(server.url, clock_speed=100.0)
        assert client.pacer.take(1000, now=client.clock.now()) == (1000, 0.0)
        client.pacer.finish(1000, created=0, now=client.clock.now())


# -- certificates ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("openssl") is None, reason="needs 127.0.0.2 and openssl")
async def test_certificates_of_the_environment_are_the_ones_trusted(wire, monkeypatch, tmp_path):
    """A server whose certificate SSL_CERT_FILE names is asked; to any other nothing is sent, which is proven."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=x -addext subjectAltName=IP:127.0.0.2"
    made = [*command.split(), "-keyout", str(key), "-out", str(certificate)]
    await asyncio.to_thread(subprocess.run, made, check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with wire.serve(wire.reply(200, FULL), host="127.0.0.2", tls=tls) as server:  # not this machine, by its name
        client = wire.client(f"https://127.0.0.2:{server.port}")
        async with client.session() as session:
            posted = await post(session, wire)
        assert (type(posted), server.seen) == (Refused, [])
        assert "certificate verify failed" in str(posted.error).lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        async with client.session() as session:
            connections = []
            session.on_answer = lambda _headers, connection: connections.append(connection)
            assert await post(session, wire) == Accepted(FULL["run_ids"])
        seen = r"connected to 127\.0\.0\.2, TLSv1\.\d, certificate of x, valid until .* GMT"
        assert re.fullmatch(seen if wire.transport == "httpx" else "None", str(*connections))


class SilentBody(httpx.AsyncByteStream):
    """A body of which nothing ever comes."""

    async def __aiter__(self):
        await asyncio.Event().wait()
        yield b""


class Silent(httpx.AsyncBaseTransport):
    """Answers each request with a body that stays silent."""

    async def handle_async_request(self, request):
        """Answer the head at once."""
        return httpx.Response(200, stream=SilentBody())


async def test_a_silent_body_of_a_custom_transport_ends_in_time():
    """Whatever carries the requests, a body that stays silent is given up after the request's timeout."""
    request = httpx.Request("GET", "http://x.example/", extensions={"timeout": {"read": 0.05}})
    response = await guard(Silent()).handle_async_request(request)
    with pytest.raises(httpx.ReadTimeout):
        async with asyncio.timeout(5):
            await response.aread()
