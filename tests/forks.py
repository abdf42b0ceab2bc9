"""Child processes forked from one preloaded process: no second of imports for each of them.

Everything else about a child is real: it has its own process id, signals, streams, environment and interpreter
shutdown. A test that is about how an interpreter starts (its options, its first imports, a closed stream) uses
`subprocess`.

The server listens on a Unix socket. A connection asks for one child: it sends the command as a line of JSON, with three
file descriptors, and receives the child's process id and, when the child has ended, its return code.
"""

from __future__ import annotations

import json
import os
import select
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVER = r"""
import fcntl, gc, json, os, runpy, select, signal, socket, sys, termios, warnings
import httpx, pandas, pyarrow.compute, pyarrow.csv, pyarrow.dataset, pyarrow.parquet, tqdm.auto
import parallel_frames, parallel_frames._checkpoint, parallel_frames._cli, parallel_frames._files
import parallel_frames._job._handle, parallel_frames._service, parallel_frames.simulator

gc.collect()
gc.freeze()
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(64)
print("ready", flush=True)
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers are not waited for
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True:
    if sys.stdin in select.select([listener, sys.stdin], [], [])[0]:
        os._exit(0)  # the tests ended
    connection = listener.accept()[0]
    if os.fork() == 0:
        break
    connection.close()

# The keeper of one child: it says how the child ended.
signal.signal(signal.SIGCHLD, signal.SIG_DFL)
listener.close()
os.setsid()
message, streams, _, _ = socket.recv_fds(connection, 65536, 3)
while not message.endswith(b"\n"):
    message += connection.recv(65536)
asked = json.loads(message)
child = os.fork()
if child:
    for descriptor in streams:
        os.close(descriptor)
    connection.sendall(b"%d\n" % child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        connection.sendall(b"%d\n" % code)
    finally:
        os._exit(0)

# The child: what follows runs at the top level, so that an exception and the end are those of any program.
connection.close()
for number, descriptor in enumerate(streams):
    os.dup2(descriptor, number)
    os.close(descriptor)
if asked["terminal"]:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_IGN if asked["ignores_interrupts"] else signal.default_int_handler)
os.chdir(asked["cwd"])
os.environ.clear()
os.environ.update(asked["env"])
encoding, _, errors = os.environ.get("PYTHONIOENCODING", "utf-8").partition(":")
sys.stdin = sys.__stdin__ = open(0, encoding=encoding, closefd=False)
sys.stdout = sys.__stdout__ = open(1, "w", encoding=encoding, errors=errors or "strict", closefd=False)
sys.stderr = sys.__stderr__ = open(2, "w", encoding=encoding, errors="backslashreplace", closefd=False)
sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())
sys.stderr.reconfigure(line_buffering=True)
arguments = asked["arguments"]
while arguments[0] in ("-u", "-W"):
    if arguments.pop(0) == "-u":
        sys.stdout.reconfigure(line_buffering=True)
    else:
        warnings.simplefilter(arguments.pop(0))
if arguments[0] in ("-c", "-m"):
    option = arguments.pop(0)
else:
    option = "script"
run = arguments[0]
sys.argv = ["-c" if option == "-c" else run, *arguments[1:]]
sys.path[0] = "" if option != "script" else os.path.dirname(run)
for name in ("connection", "message", "streams", "asked", "child", "number", "descriptor", "arguments", "listener"):
    globals().pop(name, None)
if option == "-c":
    exec(compile(run, "<string>", "exec"))
elif option == "-m":
    runpy.run_module(run, run_name="__main__", alter_sys=True)
else:
    runpy.run_path(run, run_name="__main__")
"""

# A program that runs a child in its place, for shells.
PROGRAM = r"""
import json, os, signal, socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
asked = {"arguments": sys.argv[2:], "cwd": os.getcwd(), "env": dict(os.environ), "terminal": False,
         "ignores_interrupts": False}
socket.send_fds(connection, [json.dumps(asked).encode() + b"\n"], [0, 1, 2])
lines = connection.makefile()
child = int(lines.readline())
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: os.kill(child, number))
code = int(lines.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class Child:
    """A child, with what tests need of `subprocess.Popen`."""

    def __init__(self, connection: socket.socket, streams: list[IO[Any] | None], command: Sequence[Any]) -> None:
        self.args = command
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | None = None
        self._connection = connection
        self._lines = connection.makefile("rb", buffering=0)
        self.pid = int(self._lines.readline())

    def poll(self) -> int | None:
        """Return the return code, or None while the child runs."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the return code."""
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self.returncode = int(self._lines.readline())
            self._lines.close()
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the child has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill the child."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:  # noqa: A002 - as Popen's
        """Write the input, read what is left of both outputs, wait, and close all streams."""
        read: dict[IO[Any], Any] = {}
        outputs = [out for out in (self.stdout, self.stderr) if out and not out.closed]
        readers = [threading.Thread(target=lambda out=out: read.update({out: out.read()})) for out in outputs]
        for reader in readers:
            reader.start()
        if self.stdin and not self.stdin.closed:
            with suppress(BrokenPipeError):
                if input:
                    self.stdin.write(input)
                self.stdin.close()
        try:
            self.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            for reader in readers:
                reader.join()
            for out in outputs:
                out.close()
        return read.get(self.stdout), read.get(self.stderr)  # type: ignore[call-overload]


class Forks:
    """The server, and the children it forks."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="forks-")
        self._address = str(Path(self._folder.name) / "server")
        command = [sys.executable, "-c", SERVER, self._address]
        self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._children: list[Child] = []
        assert self._server.stdout is not None
        assert self._server.stdout.readline() == b"ready\n"

    def start(
        self,
        command: Sequence[Any],
        *,
        env: Mapping[str, str] | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        text: bool = False,
        terminal: bool = False,
    ) -> Child:
        """Start ``[sys.executable, *options, "-c", code, *arguments]``, or the same with -m or a script.

        With `terminal`, what the standard input is becomes the terminal of a session of the child's own.
        """
        program, *arguments = map(str, command)
        assert program == sys.executable
        asked = {
            "arguments": arguments,
            "cwd": str(Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "terminal": terminal,
            "ignores_interrupts": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        }
        ours: list[IO[Any] | None] = []
        theirs: list[int] = []
        null = os.open(os.devnull, os.O_RDWR)
        for number, stream in enumerate((stdin, stdout, stderr)):
            if stream == subprocess.PIPE:
                read, write = os.pipe()
                theirs.append(write if number else read)
                mode = ("r" if number else "w") + ("" if text else "b")
                ours.append(os.fdopen(read if number else write, mode, encoding="utf-8" if text else None))
            elif stream == subprocess.STDOUT:
                theirs.append(os.dup(theirs[1]))
                ours.append(None)
            else:
                theirs.append(os.dup(null if stream is None else stream))
                ours.append(None)
        os.close(null)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(self._address)
        try:
            message = json.dumps(asked).encode() + b"\n"
            sent = socket.send_fds(connection, [message], theirs)
            connection.sendall(message[sent:])
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        child = Child(connection, ours, command)
        self._children.append(child)
        return child

    def run(
        self, command: Sequence[Any], *, env: Mapping[str, str] | None = None, text: bool = True, check: bool = False,
        timeout: float | None = 100,
    ) -> subprocess.CompletedProcess[Any]:  # fmt: skip
        """Run a command to its end, as `subprocess.run` with ``capture_output=True`` does."""
        child = self.start(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=text)
        out, err = child.communicate(timeout=timeout)
        done = subprocess.CompletedProcess(command, child.wait(), out, err)
        if check:
            assert done.returncode == 0, err
        return done

    def write_program(self, path: Path, *arguments: str) -> None:
        """Write an executable for shells that runs a child with these arguments and those of its own."""
        client = Path(self._folder.name) / "client.py"
        client.write_text(PROGRAM)
        words = [sys.executable, "-I", "-S", str(client), self._address, *arguments]
        path.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        path.chmod(0o755)

    def end_children(self) -> None:
        """Kill the children that still run, and close the streams of all."""
        for child in self._children:
            child.kill()
            child.communicate()
        self._children.clear()

    def close(self) -> None:
        """End the server."""
        self.end_children()
        self._server.communicate()
        self._folder.cleanup()
