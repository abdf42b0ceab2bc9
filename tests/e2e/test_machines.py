"""Machines as they are: proxies and certificates that cannot be used, no home, odd streams, frozen clocks, trio."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import ConfigurationError, InputError
from parallel_frames.simulator import Simulator

PASSWORD = "hunter#2"
OFFLINE = "import pandas as pd, parallel_frames as pf\n"
ENRICH = 'print(pd.DataFrame({"c": ["A"]}).parallel.enrich({"n": str}, progress=False)["parallel_status"].tolist())\n'


def rows() -> pd.DataFrame:
    """Return one row."""
    return pd.DataFrame({"company": ["Acme"]})


def python(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program."""
    environment = {**os.environ, **variables}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ALL_PROXY", "socks5://127.0.0.1:1", r"httpx\[socks\]"),
        ("all_proxy", "socks://127.0.0.1:1", "all_proxy"),
        ("NO_PROXY", "localhost,fd00::/8", "NO_PROXY"),
        ("HTTPS_PROXY", f"http://me:{PASSWORD}@proxy:port", "HTTPS_PROXY"),
        ("SSL_CERT_FILE", "/gone.pem", "SSL_CERT_FILE=/gone.pem"),
        ("SSLKEYLOGFILE", "/proc/x/y", "SSLKEYLOGFILE=/proc/x/y"),
    ],
)
def test_settings_of_the_environment_that_cannot_be_used_are_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    """A ConfigurationError names the variable and shows no password, before anything is sent."""
    monkeypatch.setenv(name, value)
    client = pf.Client(api_key="k" * 20, base_url="https://127.0.0.2:9", clock_speed=1000)
    with pytest.raises(ConfigurationError, match=says) as caught:
        rows().parallel.enrich({"n": str}, checkpoint=None, progress=False, client=client)
    assert PASSWORD not in str(caught.value)
    assert "Nothing was sent" in str(caught.value)


def test_a_bad_proxy_is_exit_code_2(tmp_path: Path) -> None:
    """On the command line it is a wrong argument, and no traceback."""
    (tmp_path / "rows.csv").write_text("company\nAcme\n")
    variables = {
        "ALL_PROXY": "socks://127.0.0.1:1",
        "PARALLEL_API_KEY": "k" * 20,
        "PARALLEL_BASE_URL": "https://127.0.0.2:9",
    }
    words = ["enrich", "rows.csv", "out.csv", "--column", "n: x", "--yes", "--no-progress", "--checkpoint", "none"]
    done = subprocess.run(
        [sys.executable, "-m", "parallel_frames", *words], env={**os.environ, **variables}, cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "all_proxy" in done.stderr.lower()


def test_a_user_without_a_home_is_told_what_to_set() -> None:
    """Where containers run as a user that is nobody, there is no cache: an error names the ways out."""
    code = (
        "import os, pwd\n"
        "def unknown(*_): raise KeyError('uid not found')\n"
        "pwd.getpwuid = unknown\n"
        "os.environ.pop('HOME', None); os.environ.pop('XDG_CACHE_HOME', None)\n"
        + OFFLINE
        + "from parallel_frames.simulator import Simulator\n"
        "with Simulator(latency=0) as sim:\n"
        "    options = {'client': pf.Client(api_key='k' * 20, base_url=sim.url), 'progress': False}\n"
        "    df = pd.DataFrame({'c': ['A']})\n"
        "    print(df.parallel.enrich({'n': str}, checkpoint=None, **options)['parallel_status'].tolist())\n"
        "    df.parallel.enrich({'n': str}, **options)\n"
    )
    done = python(code)
    assert "['completed']" in done.stdout, done.stderr
    assert "ConfigurationError: This user has no home directory" in done.stderr


NO_TEMPORARY = """
import os, sys, tempfile
tempfile._candidate_tempdir_list = lambda: ["/nonexistent"]
"""
WITHOUT_TEMPORARY = """
from parallel_frames.errors import ConfigurationError
from parallel_frames.simulator import Simulator
df = pd.DataFrame({"c": ["A"]})
df.to_parquet("rows.parquet"); df.to_csv("rows.csv", index=False)
with Simulator(latency=0) as sim:
    options = {"client": pf.Client(api_key="k" * 20, base_url=sim.url), "progress": False, "checkpoint": "ck"}
    calls = {
        "offline": lambda: pf.offline().__enter__(),
        "file": lambda: pf.enrich_parquet("rows.parquet", "out.parquet", {"n": str}, **options),
        "text": lambda: pf.plan_parquet("rows.csv", {"n": str}),
    }
    for name, call in calls.items():
        try:
            call()
        except ConfigurationError as error:
            print(name, "TMPDIR" in str(error), sim.counts.posts)
    out = df.parallel.enrich({"n": str}, **options)
    print(out["parallel_status"].tolist(), pf.plan_parquet("rows.parquet", {"n": str}).runs)
"""


def test_where_nothing_temporary_can_be_written_the_variable_is_named(tmp_path: Path) -> None:
    """Before anything is sent, and only where a temporary file is needed: frames need none."""
    done = subprocess.run(
        [sys.executable, "-c", NO_TEMPORARY + OFFLINE + WITHOUT_TEMPORARY], cwd=tmp_path, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["offline True 0", "file True 0", "text True 0", "['completed'] 1"], done.stderr


@pytest.mark.parametrize(
    "words", [["plan", "rows.csv", "out.parquet"], ["enrich", "rows.csv", "out.csv", "--yes"], ["demo"]]
)
def test_nothing_temporary_is_exit_code_2(tmp_path: Path, words: list[str]) -> None:
    """On the command line it is a wrong setting, and no traceback."""
    (tmp_path / "rows.csv").write_text("c\nA\n")
    program = NO_TEMPORARY + "from parallel_frames.__main__ import main\nsys.exit(main())\n"
    more = [] if words == ["demo"] else ["--column", "n: x", "--checkpoint", "ck"]
    variables = {"PARALLEL_API_KEY": "k" * 20, "PARALLEL_BASE_URL": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", program, *words, *more], env={**os.environ, **variables}, cwd=tmp_path,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, "Traceback" in done.stderr, "TMPDIR" in done.stderr) == (2, False, True), done.stderr


def test_a_name_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``~report.csv`` is a name where no user is called report.csv."""
    monkeypatch.chdir(tmp_path)
    Path("~report.csv").write_text("company\nAcme\n")
    assert pf.plan_parquet("~report.csv", {"n": str}).runs == 1


def test_a_stream_that_only_writes_is_enough() -> None:
    """What stands in for the error stream in services and consoles need not be a file."""
    code = (
        "import sys\n"
        "class Stream:\n"
        "    def write(self, text): return len(text)\n"
        "    def flush(self): pass\n"
        "sys.stderr = Stream()\n"
        "with pf.offline(latency=0):\n"
        '    print(pd.DataFrame({"c": ["A"]}).parallel.enrich({"n": str})["n"].notna().tolist())\n'
    )
    assert python(OFFLINE + code).stdout == "[True]\n"


FROZEN = """
df = pd.DataFrame({"c": ["A", "B"]})
df.to_parquet("rows.parquet")
options = {"older_than": "1d", "progress": False}
def enrich():
    first = df.parallel.enrich({"n": str}, progress=True)
    again = df.parallel.enrich({"n": str}, **options)
    pf.enrich_parquet("rows.parquet", "out.parquet", {"n": str}, provenance=True, **options)
    file = pd.read_parquet("out.parquet")
    at = first.attrs["parallel"]["enrichments"][0]["at"]
    print(again["parallel_status"].tolist(), at, file["parallel_answered_at"].dt.strftime("%Y-%m-%d").tolist())
with freeze(), pf.offline(latency=(1, 5), speed=50) as sim:
    enrich()
    print(sim.counts.runs, pf.Checkpoint(pf.last().checkpoint).header["created_at"][:10])
with pf.offline(latency=0), freeze():
    df.parallel.enrich({"n": str}, progress=False)
"""


@pytest.mark.parametrize(
    "freeze",
    [
        "freezegun.freeze_time('2024-01-01')",
        "freezegun.freeze_time('2024-01-01', tick=True)",
        "time_machine.travel('2024-01-01T00:00Z', tick=False)",
        "time_machine.travel('2040-01-01T00:00Z', tick=True)",
    ],
)
def test_a_frozen_clock_stops_nothing(tmp_path: Path, freeze: str) -> None:
    """Tests that freeze time enrich all the same, within the time that they say, and pay for nothing twice."""
    library = pytest.importorskip(freeze.partition(".")[0]).__name__
    begin = f"import {library}\ndef freeze(): return {freeze}\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", OFFLINE + begin + FROZEN], cwd=tmp_path, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    day = re.findall(r"\d{4}-\d{2}-\d{2}", freeze)[0]
    first, second = done.stdout.splitlines() or [done.stderr, ""]
    assert re.sub(r"T00:00:\d\dZ", "", first) == f"['completed', 'completed'] {day} {[day, day]}"
    assert second == f"2 {day}"
    assert done.returncode == 0, done.stderr


def test_trio_may_be_running() -> None:
    """A call inside trio's loop blocks it, as any blocking call does, and works."""
    pytest.importorskip("trio")
    code = "import trio\nasync def main():\n    with pf.offline(latency=0):\n        " + ENRICH + "trio.run(main)\n"
    done = python(OFFLINE + code)
    assert done.stdout == "['completed']\n", done.stderr


MOUNT = """
import errno, os, stat, sys
real = os.fsync
def fsync(handle):
    if stat.S_ISDIR(os.fstat(handle).st_mode):
        raise OSError(getattr(errno, sys.argv[1]), "refused")
    real(handle)
os.fsync = fsync
df = pd.DataFrame({"company": ["Acme"]})
df.to_parquet("rows.parquet")
with pf.offline(latency=0) as sim:
    for overwrite in (False, True):
        options = {"checkpoint": "ck", "overwrite": overwrite, "progress": False}
        pf.enrich_parquet("rows.parquet", "out.parquet", {"n": str}, **options)
    print(sim.counts.runs, pd.read_parquet("out.parquet")["parallel_status"].tolist())
"""


@pytest.mark.parametrize("number", ["EINVAL", "EBADF", "ENOTSUP", "EACCES"])
def test_a_mount_whose_folders_cannot_be_synced_holds_targets_and_checkpoints(tmp_path: Path, number: str) -> None:
    """CIFS, FUSE and others refuse fsync of a folder: what was written is there, and no error says otherwise."""
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE + MOUNT, number], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.stdout == "1 ['completed']\n", done.stderr


@pytest.mark.parametrize(
    "options",
    [
        {"schema": {"x": "find \ud800"}},
        {"schema": {"x\ud800": str}},
        {"input_schema": {"company": "\ud800"}},
        {"prefix": "\udce9"},
        {"checkpoint": "k\udce9"},
        {"checkpoint": "k\0"},
        {"metadata": {"a\ud800": "company"}},
        {"options": {"beta_headers": ["é"]}},
        {"options": {"beta_headers": ["a\nb"]}},
    ],
)
def test_words_that_cannot_travel_are_refused_before_anything_is_paid(options: dict[str, Any]) -> None:
    """Half a character, a NUL, or what no header carries is an InputError that names the option."""
    schema = options.pop("schema", {"n": str})
    name = next(iter(options), "schema")
    with Simulator(latency=0) as sim:
        client = pf.Client(api_key="k" * 20, base_url=sim.url)
        with pytest.raises(InputError, match=name):
            rows().parallel.enrich(schema, client=client, progress=False, **options)
        assert sim.counts.posts == 0


def test_a_child_of_an_offline_block_goes_to_its_simulator() -> None:
    """A process that is spawned in the block pays nothing, whatever key its environment had."""
    with pf.offline(latency=0) as sim:
        done = python(OFFLINE + ENRICH)
        assert (done.stdout, sim.counts.runs) == ("['completed']\n", 1), done.stderr
    assert os.environ.get("PARALLEL_BASE_URL") != sim.url


def test_blocks_that_overlap_leave_the_environment_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks may be stopped in any order: the newest one that is open counts, or what was before."""
    monkeypatch.setenv("PARALLEL_API_KEY", "mine")
    one, other = pf.offline(latency=0), pf.offline(latency=0)
    one.start()
    newest = other.start()
    one.stop()
    assert os.environ["PARALLEL_BASE_URL"] == newest.url
    other.stop()
    assert (os.environ["PARALLEL_API_KEY"], os.environ.get("PARALLEL_BASE_URL")) == ("mine", None)


def test_a_simulator_that_has_ended_is_named_where_its_runs_are_resumed(tmp_path):
    """What was under way at a simulator that has ended cannot be resumed: its row says so, and what to do."""
    df = pd.DataFrame({"company": ["Acme"]})
    with pf.offline(latency=1000):
        df.parallel.enrich({"founded": int}, checkpoint=tmp_path / "c.ckpt", timeout=0.5, progress=False)
    with pf.offline(latency=0):
        out = df.parallel.enrich({"founded": int}, checkpoint=tmp_path / "c.ckpt", progress=False)
    assert out["parallel_status"].tolist() == ["pending"]
    assert re.search(r"a simulator's that has ended\? .*`refresh=True` for these rows alone", out["parallel_error"][0])
