"""A real S3 server on loopback, behind a proxy that fails on request."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

SECRET = "very-secret-of-the-store"
Fault = Callable[[str, str], str | None]


BROKEN = b"<Error><Code>InternalError</Code><Message>broken</Message></Error>"


def no_fault(_method: str, _path: str) -> None:
    """Leave a request alone."""


class Store:
    """An S3 server with one bucket; `fault` says of a request: None, "refuse" (500), or "lose" (done, but 500)."""

    def __init__(self, client: Any) -> None:
        self.fault: Fault = no_fault
        self.client = client
        host, port = client.meta.endpoint_url.removeprefix("http://").split(":")
        reset = http.client.HTTPConnection(host, port)  # what other tests left there
        reset.request("POST", "/moto-api/reset")
        reset.getresponse().read()
        reset.close()
        store = self

        class Proxy(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = store.fault(self.command, self.path)
                status, headers, data = 500, [], b""
                if fault != "refuse":
                    there = http.client.HTTPConnection(host, port, timeout=20)
                    there.request(self.command, self.path, body, dict(self.headers))
                    answer = there.getresponse()
                    status, headers, data = answer.status, answer.getheaders(), answer.read()
                    there.close()
                if fault is not None:
                    status, headers, data = (
                        500,
                        [],
                        b"<Error><Code>InternalError</Code><Message>broken</Message></Error>",
                    )
                self.send_response_only(status)
                for name, value in headers:
                    if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(name, value)
                length = dict(headers).get("Content-Length") if self.command == "HEAD" else None
                self.send_header("Content-Length", length or str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _forward  # noqa: N815 - its names

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """Say nothing of a client that went away."""

        self._proxy = Server(("127.0.0.1", 0), Proxy)
        threading.Thread(target=self._proxy.serve_forever, args=(0.05,), daemon=True).start()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._proxy.server_port}",
            "AWS_ACCESS_KEY_ID": "id",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "2",
        }
        self.client.create_bucket(Bucket="bucket")

    def names(self) -> list[str]:
        """Return the name of every object of the bucket."""
        return [each["Key"] for each in self.client.list_objects_v2(Bucket="bucket").get("Contents", [])]

    def objects(self) -> dict[str, bytes]:
        """Return every object of the bucket, while it is not being written."""
        return {name: self.client.get_object(Bucket="bucket", Key=name)["Body"].read() for name in self.names()}

    def put(self, key: str, data: bytes) -> None:
        """Put an object behind everybody's back."""
        self.client.put_object(Bucket="bucket", Key=key, Body=data)

    def delete(self, key: str) -> None:
        """Remove an object behind everybody's back."""
        self.client.delete_object(Bucket="bucket", Key=key)

    def mend(self) -> None:
        """Fail no more."""
        self.fault = no_fault

    def close(self) -> None:
        """Stop the proxy."""
        self._proxy.shutdown()
        self._proxy.server_close()


@pytest.fixture(scope="session")
def _client() -> Iterator[Any]:
    """Run one server for all tests, and give a client of it; both take longer to begin than a test."""
    moto = ThreadedMotoServer(port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="id",
        aws_secret_access_key=SECRET,
        region_name="us-east-1",
    )
    yield client
    client.close()
    moto.stop()


@pytest.fixture
def s3(_client: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Give an empty S3 server that the environment leads to."""
    store = Store(_client)
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield store
    store.mend()
    store.close()
