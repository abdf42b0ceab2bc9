"""The client's own rules: where it finds key and address, what it refuses, and that the key never shows."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
import traceback
from contextlib import aclosing

import pytest

import parallel_frames as pf
from parallel_frames._model import Accepted, Ambiguous, Refused
from parallel_frames.errors import ConfigurationError, ServiceError
from parallel_frames.simulator import Simulator

GROUP = {"taskgroup_id": "tgrp_1", "status": {"num_task_runs": 0, "task_run_status_counts": {}, "is_active": False}}


# -- key and address -------------------------------------------------------------------------------------------------


def test_no_key_says_what_to_do():
    """The message names the variable, the argument and the way without a key."""
    with pytest.raises(ConfigurationError) as caught:
        pf.Client()
    assert str(caught.value) == (
        "There is no API key. Set the environment variable PARALLEL_API_KEY (or, in Python, pass "
        "`client=pf.Client(api_key=...)`), or try it without one, offline: `with pf.offline(): ...`."
    )


@pytest.mark.parametrize("blank", ["", "  ", "\n"])
def test_a_blank_key_is_none(monkeypatch, blank):
    """An empty variable is not a key."""
    monkeypatch.setenv("PARALLEL_API_KEY", blank)
    with pytest.raises(ConfigurationError, match="There is no API key"):
        pf.Client()
    with pytest.raises(ConfigurationError, match="There is no API key"):
        pf.Client(api_key=blank)


async def test_the_key_of_the_environment_is_used(wire, monkeypatch):
    """Without arguments, key and address come from the environment, without the white space around them."""
    async with wire.serve(wire.reply(200, GROUP)) as server:
        monkeypatch.setenv("PARALLEL_API_KEY", " key-of-the-environment\n")
        monkeypatch.setenv("PARALLEL_BASE_URL", f"{server.url}/ ")
        async with pf.Client().session() as session:
            await session.group_status("tgrp_1")
        assert server.seen[0].headers["x-api-key"] == "key-of-the-environment"
        assert server.seen[0].path == "/v1/tasks/groups/tgrp_1"


async def test_certificates_named_later_are_the_ones_that_count(tmp_path, monkeypatch):
    """Certificates are read once for all sessions, and again when the environment names another file."""
    client = pf.Client(api_key="any", base_url="https://service.invalid")
    for _ in range(2):
        async with client.session():
            pass
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nowhere.pem"))
    with pytest.raises(ConfigurationError, match="SSL_CERT_FILE"):
        async with client.session():
            pass


async def test_arguments_come_before_the_environment(wire, monkeypatch):
    """A key and an address that are given are the ones that count."""
    monkeypatch.setenv("PARALLEL_API_KEY", "key-of-the-environment")
    monkeypatch.setenv("PARALLEL_BASE_URL", "http://127.0.0.1:9")
    async with wire.session(wire.reply(200, GROUP)) as (session, server):
        await session.group_status("tgrp_1")
        assert server.seen[0].headers["x-api-key"] == wire.KEY


async def test_an_address_may_have_a_path(wire):
    """A service behind a gateway keeps the gateway's path."""
    async with wire.serve(wire.reply(200, GROUP)) as server:
        async with wire.client(f"{server.url}/gateway/parallel/").session() as session:
            await session.group_status("tgrp_1")
        assert server.seen[0].path == "/gateway/parallel/v1/tasks/groups/tgrp_1"


async def test_only_a_simulator_on_this_machine_says_that_it_is_one(wire):
    """Another server is none, and sees no key; nor is a port without a server. An address elsewhere is not asked."""
    async with wire.serve(wire.reply(404, {})) as server:
        assert not await asyncio.to_thread(wire.client(f"{server.url}/gateway").is_simulator)
        assert "x-api-key" not in server.seen[0].headers
        assert server.seen[0].path == "/gateway/"
    assert not wire.client(server.url).is_simulator()
    assert not pf.Client(api_key="k").is_simulator()
    with Simulator(dialect="seed") as sim:
        assert wire.client(sim.url).is_simulator()


def test_the_live_service_is_the_default():
    """Without any address it is the live one."""
    client = pf.Client(api_key="k")
    assert (client.base_url, client.host) == ("https://api.parallel.ai", "api.parallel.ai")


@pytest.mark.parametrize("key", ["ключ-ключ", "a\nb-secret", "a\x00b-secret", "a\x7fb-secret"])
def test_a_key_that_cannot_be_one_is_refused_without_showing_it(key):
    """Characters no header may hold are refused here, and not by a library that quotes the header."""
    with pytest.raises(ConfigurationError, match="characters that no key has") as caught:
        pf.Client(api_key=key)
    assert key not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host",
        "https://",
        "https:///path",
        "http://[::1",
        "https://host:port",
        "https://host:99999",
        "https://host:0",
        "https://a..b",
        "https://" + "a" * 70 + ".com",
        "https://ho st",
        "https://host\x00",
        "https://ho\u2028st",
        "https://host?key=1",
        "https://host/#part",
    ],
)
def test_an_address_that_cannot_be_used_is_refused(url):
    """At once, by its name, before anything is connected."""
    with pytest.raises(ConfigurationError, match="expected https://host"):
        pf.Client(api_key="k", base_url=url)


@pytest.mark.parametrize(
    "url", ["sk-0123456789-pasted-in-the-wrong-place", "https://sk-0123456789@host", "ftp://sk-0123456789:x@host"]
)
def test_an_address_that_may_be_the_key_is_not_shown(url):
    """A key in the wrong argument, or as a user name, is refused without repeating it."""
    with pytest.raises(ConfigurationError, match=r"base_url (contains a user name|has no https://)") as caught:
        pf.Client(api_key="https://api.parallel.ai", base_url=url)
    assert "0123456789" not in "".join(traceback.format_exception(caught.value))


def test_the_key_does_not_travel_unencrypted():
    """Plain http is for this machine, unless it is allowed by name."""
    with pytest.raises(
        ConfigurationError, match=r"'http://example\.org' would carry the API key unencrypted.*allow_http"
    ):
        pf.Client(api_key="k", base_url="http://example.org")
    assert pf.Client(api_key="k", base_url="http://example.org", allow_http=True).host == "example.org"
    for host in ("127.0.0.1:80", "localhost", "LOCALHOST:8000", "[::1]:8000"):
        assert pf.Client(api_key="k", base_url=f"http://{host}").host == host
    for lookalike in ("127.0.0.1.example.org", "localhost.example.org", "127.0.0.1%2eexample.org"):
        with pytest.raises(ConfigurationError):
            pf.Client(api_key="k", base_url=f"http://{lookalike}")


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("api", "v1", "`api='v1'` must be one of 'auto', 'published', 'published-v1beta', 'seed'"),
        ("max_per_minute", 0, "`max_per_minute=0` must be at least 1, or None for no limit"),
        ("settle_time", -1.0, "`settle_time=-1.0` must be a number of seconds, 0 or more"),
        ("settle_time", float("nan"), "`settle_time=nan` must be a number of seconds, 0 or more"),
        ("request_timeout", 0, "`request_timeout=0` must be a number of seconds above 0"),
        ("request_timeout", float("nan"), "`request_timeout=nan` must be a number of seconds above 0"),
        ("clock_speed", 0.0, "`clock_speed=0.0` must be a number above 0"),
        ("clock_speed", -5.0, "`clock_speed=-5.0` must be a number above 0"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(option, value, words):
    """By its name and value, before anything is connected."""
    with pytest.raises(ConfigurationError) as caught:
        pf.Client(api_key="k", **{option: value})
    assert str(caught.value).startswith(words)


def test_the_clock_of_the_environment_is_the_clients(monkeypatch):
    """Child processes turn as fast as their parent's tests; an argument comes first."""
    monkeypatch.setenv("PARALLEL_FRAMES_CLOCK_SPEED", "50")
    assert pf.Client(api_key="k").clock.speed == 50.0
    assert pf.Client(api_key="k", clock_speed=3.0).clock.speed == 3.0


def test_one_pacer_per_account():
    """Clients of one host and key share a pacer, whatever their limits; another key or host has its own."""
    one = pf.Client(api_key="k", base_url="https://a.example", max_per_minute=10).pacer
    assert pf.Client(api_key="k", base_url="https://a.example", max_per_minute=99).pacer is one
    assert pf.Client(api_key="other", base_url="https://a.example").pacer is not one
    assert pf.Client(api_key="k", base_url="https://b.example").pacer is not one


# -- proxies ---------------------------------------------------------------------------------------------------------


async def test_a_proxy_is_not_asked_for_what_is_on_this_machine(wire, monkeypatch):
    """A proxy of the environment sees nothing of the loopback's traffic."""
    async with wire.serve(wire.reply(200, GROUP)) as proxy, wire.serve(wire.reply(200, GROUP)) as server:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with wire.client(server.url).session() as session:
            await session.group_status("tgrp_1")
        assert (len(server.seen), proxy.seen) == (1, [])


async def test_a_proxy_is_asked_for_every_other_host(wire, monkeypatch):
    """The proxies of the environment are used for a service elsewhere."""
    async with wire.serve(wire.reply(200, GROUP)) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        async with wire.client("http://service.invalid", allow_http=True).session() as session:
            await session.group_status("tgrp_1")
        assert proxy.seen[0].target == "http://service.invalid/v1/tasks/groups/tgrp_1"


async def test_a_proxy_that_refuses_proves_that_nothing_was_created(wire, monkeypatch):
    """Where no tunnel was opened, the batch never left."""
    async with wire.serve(wire.reply(407, b"")) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        async with wire.client("https://service.invalid").session() as session:
            posted = await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS)
        assert [seen.method for seen in proxy.seen] == ["CONNECT"]
        assert wire.KEY not in str(proxy.seen)
    assert isinstance(posted, Refused)
    assert posted.status is None


# -- the key never shows ---------------------------------------------------------------------------------------------


def test_a_client_does_not_show_its_key(wire):
    """Neither as text nor in a container, and it is not pickled or copied into one."""
    client = wire.client("http://127.0.0.1:1")
    assert wire.KEY not in f"{client!r} {client} {[client]}"
    assert repr(client) == (
        "Client(base_url='http://127.0.0.1:1', api='published', max_per_minute=2000, settle_time=60.0)"
    )
    for copying in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="holds the API key") as caught:
            copying(client)
        assert wire.KEY not in "".join(traceback.format_exception(caught.value))


async def test_a_session_does_not_show_the_key(wire):
    """Nor does what it is made of, as far as a traceback or a debugger prints it."""
    async with wire.session(wire.reply(200, GROUP)) as (session, _):
        assert wire.KEY not in repr(session)


def echoing(wire, status, kind):
    """Return an answer that repeats every header of its request, as some servers and proxies do."""

    def answer(seen):
        headers = "".join(f"{name}: {value}\n" for name, value in seen.headers.items())
        if kind == "json":
            message = f"Invalid API key {seen.headers['x-api-key']}"
            return wire.reply(status, {"error": {"message": message, "headers": headers}})
        return wire.reply(status, f"<pre>{headers}</pre>".encode(), "text/html")

    return answer


@pytest.mark.parametrize("kind", ["json", "html"])
@pytest.mark.parametrize("status", [200, 400, 401, 402, 404, 418, 422, 429, 500])
async def test_a_server_that_repeats_the_key_does_not_make_us_repeat_it(wire, caplog, status, kind):
    """No error, no reason, no log line of ours or of the libraries below holds the key, at any level."""
    caplog.set_level(logging.DEBUG)
    texts = []
    async with wire.session(echoing(wire, status, kind)) as (session, _):
        posted = await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS)
        assert not isinstance(posted, Accepted)
        texts.append(posted.reason if isinstance(posted, Ambiguous) else f"{posted} {posted.error!r} {posted.error}")
        calls = [
            session.create_group(wire.JOB, metadata={}),
            session.group_status("tgrp_1"),
            session.run_result("trun_1"),
            first(session.stream_events("tgrp_1", last_event_id=None)),
            first(session.list_runs("tgrp_1", include_input=True, include_output=True)),
        ]
        for call in calls:
            try:
                await call
            except ServiceError as error:
                texts.append("".join(traceback.format_exception(error)))
                texts.append(f"{error!r} {vars(error)}")
    assert len(texts) >= 5
    assert wire.KEY not in "".join(texts)
    assert any(record.name.startswith("http") for record in caplog.records)
    assert wire.KEY not in "".join(f"{record.getMessage()} {record.args}" for record in caplog.records)


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("https://{key}.example.org/", r"redirects to \[the API key\]\.example\.org \(307\)"),
        ("https://[{key}]/", r"Invalid URL in location header.*\[the API key\]|was cut \(RemoteProtocolError\)"),
    ],
)
async def test_a_redirect_that_repeats_the_key_does_not_make_us_repeat_it(wire, location, words):
    """A redirect's target is shown without the key, also where httpx quotes it because it is no address."""
    async with wire.session(wire.reply(307, b"", location=location.format(key=wire.KEY))) as (session, _):
        for call in (
            lambda: session.group_status("tgrp_1"),
            lambda: first(session.stream_events("tgrp_1", last_event_id=None)),
        ):
            with pytest.raises(ServiceError, match=words) as caught:
                await call()
            assert wire.KEY not in "".join(traceback.format_exception(caught.value))


async def test_an_event_that_repeats_the_key_does_not_make_us_repeat_it(wire):
    """The key is taken out of events and lists before anything can log or store them."""
    error = {"type": "error", "error": {"message": f"who is {wire.KEY}?"}}
    async with wire.session(wire.chunked(wire.sse(error))) as (session, _):
        (event,) = await first(session.stream_events("tgrp_1", last_event_id=None))
        assert event.message == "who is [the API key]?"
        with pytest.raises(ServiceError, match=r"who is \[the API key\]\?"):
            await first(session.list_runs("tgrp_1", include_input=True, include_output=True))
    async with wire.session(wire.reply(200, [wire.KEY])) as (session, _):
        (odd,) = [run async for run in session.list_runs("tgrp_1", include_input=True, include_output=True)]
    assert odd.run_id == repr('"[the API key]"')


async def test_nothing_that_works_logs_the_key(wire, caplog):
    """Requests that are answered as they should be leave no trace of it either."""
    caplog.set_level(logging.DEBUG)
    script = wire.reply(200, GROUP), wire.reply(200, {"run_ids": ["a", "b"]}), wire.chunked(wire.sse({"type": "x"}))
    async with wire.session(*script, api="auto") as (session, server):
        await session.create_group(wire.JOB, metadata={})
        await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS)
        await first(session.stream_events("tgrp_1", last_event_id=None))
        assert all(seen.headers["x-api-key"] == wire.KEY for seen in server.seen)
        assert all(wire.KEY not in seen.target for seen in server.seen)
    loggers = {"httpx", "parallel_frames"} | ({"httpcore"} if wire.transport == "httpx" else set())
    assert {record.name.split(".")[0] for record in caplog.records} >= loggers
    assert wire.KEY not in caplog.text


async def test_trouble_of_the_connection_does_not_show_the_key(wire, caplog):
    """Errors about resets, silence and garbage do not quote what was sent."""
    caplog.set_level(logging.DEBUG)
    texts = []
    for script in ([wire.RESET], [b"garbage\r\n\r\n", wire.RESET], b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n"):
        async with wire.session(script) as (session, _):
            with pytest.raises(ServiceError) as caught:
                await session.group_status("tgrp_1")
            texts.append("".join(traceback.format_exception(caught.value)))
            texts.append(repr(await session.add_runs("tgrp_1", job=wire.JOB, runs=wire.RUNS)))
    assert wire.KEY not in "".join(texts)
    assert wire.KEY not in caplog.text


async def first(stream):
    """Return the first event of a stream, or None."""
    async with aclosing(stream) as events:
        return await anext(events, None)


async def test_a_session_serves_many_requests_at_once(wire):
    """Requests of one session don't wait for each other, and each gets its own answer."""

    def answer(seen):
        return [0.2, wire.reply(200, {"run": {"run_id": seen.path.split("/")[4], "status": "failed"}})]

    async with wire.session(answer) as (session, _):
        async with asyncio.timeout(2):
            runs = await asyncio.gather(*(session.run_result(f"trun_{n}") for n in range(20)))
    assert [run.run_id for run in runs] == [f"trun_{n}" for n in range(20)]
