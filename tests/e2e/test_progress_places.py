"""Progress and questions in a real terminal, a real notebook and a pipe."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time

import nbformat
import pytest

CODE = """
import pandas as pd, parallel_frames as pf
df = pd.DataFrame({"company": [f"Company {n}" for n in range(60)]})
with pf.offline(lambda sent: {"n": 1}, latency=(1, 20), speed=20, more_processors=["bsae"]) as sim:
    try:
        out = df.parallel.enrich({"n": int}, CONFIRM)
        print("ROWS", int(out["n"].sum()))
    except pf.errors.DeclinedError as error:
        print("DECLINED", error)
    except KeyboardInterrupt:
        print("INTERRUPTED")
    finally:
        print("PAID", sim.counts.runs)
"""

FILES = CODE.replace(
    'out = df.parallel.enrich({"n": int}, CONFIRM)',
    """df.to_parquet("in.parquet")
        pf.enrich_parquet("in.parquet", "out.parquet", {"n": int}, CONFIRM)
        out = pd.read_parquet("out.parquet")""",
)

pty = pytest.importorskip("pty", reason="this system has no pseudo terminals")


def in_terminal(forks, code, *, answers=(), columns=80):
    """Run code with a terminal of its own, answer what it asks (None: with Ctrl-C), and return what it showed."""
    import fcntl
    import struct
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(leader, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), follower)
    process = forks.start([sys.executable, "-c", code], terminal=True, **streams)
    os.close(follower)
    shown, left = b"", list(answers)
    try:
        while True:
            try:
                part = os.read(leader, 65536)
            except OSError:  # the other end closed
                break
            if not part:
                break
            shown += part
            if left and shown.count(b"[y/N]") > len(answers) - len(left):
                answer = left.pop(0)
                time.sleep(0.2)
                if answer is None:
                    process.send_signal(signal.SIGINT)
                else:
                    os.write(leader, answer)
        process.wait(timeout=30)
    finally:
        process.kill()
        os.close(leader)
    return shown.decode(errors="replace")


@pytest.mark.parametrize("columns", [80, 60, 45])
def test_a_terminal_shows_how_far_it_is(forks, columns):
    """The announcement is broken to the width; the bar fits it, its figures whole or left out, and ends whole."""
    shown = in_terminal(forks, CODE.replace("CONFIRM", ""), columns=columns)
    before = shown.partition("enriching")[0]
    assert max(map(len, before.replace("\r", "").splitlines())) <= max(columns, 80)  # a path is not cut
    assert "60 rows → 60 runs" in before.replace("\r\n", " ")
    bars = [line for line in shown.split("\r") if "/60 rows" in line]
    assert max(len(bar.partition("\n")[0]) for bar in bars) <= columns
    assert "60/60 rows" in bars[-1]
    assert "enriched" in bars[-1]
    assert "enriched: 60 of 60 rows · 60 completed · $0.60 · report:" in shown.replace("\r\n  ", " · ")
    assert "ROWS 60" in shown
    figures = [line.partition("/60 rows")[2].strip() for line in shown.split("\r") if "/60 rows" in line]
    parts = [
        part for figure in figures for part in re.sub(r"\s*\n.*", "", figure, flags=re.DOTALL)[2:].split(" · ") if part
    ]
    assert parts
    whole = re.compile(r"~?<?[\d,.]+ (s|min|h) left|[\d,]+ (failed|in flight)|[\d,]+/min|\$[\d,.]+")
    assert [part for part in parts if not whole.fullmatch(re.sub(r"\x1b.*", "", part))] == []


def test_a_terminal_is_asked_before_anything_is_paid(forks):
    """No, nothing, Ctrl-C and the end of the input pay nothing, at once; yes pays."""
    answers = [b"n\n", b"\n", None, b"\x04", b"y\n"]
    asking = textwrap.indent(CODE.replace("CONFIRM", "confirm=True, progress=False"), "    ")
    shown = in_terminal(forks, f"for _ in range({len(answers)}):\n{asking}", answers=answers)
    assert shown.count("Send 60 runs ($0.60)? [y/N]") == len(answers)
    results = re.findall(r"(DECLINED|INTERRUPTED|ROWS 60)(?s:.*?)(PAID \d+)", shown)
    declined = ("DECLINED", "PAID 0")
    assert results == [declined, declined, ("INTERRUPTED", "PAID 0"), declined, ("ROWS 60", "PAID 60")]


def test_a_bar_is_written_as_the_stream_can():
    """Where the stream knows no such characters, the figures of the bar are written plainly, too."""
    done = subprocess.run(
        [sys.executable, "-c", CODE.replace("CONFIRM", "progress=True")], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii:backslashreplace"},
    )  # fmt: skip
    assert "enriched: 100%" in done.stderr
    assert "\\x" not in done.stderr


def test_a_pipe_gets_its_lines_and_no_bar(forks):
    """Into a file go the announcement, the group's address and how it ended, nothing that moves."""
    command = [sys.executable, "-c", CODE.replace("CONFIRM", "")]
    done = forks.run(command, env=os.environ | {"PYTHONIOENCODING": "ascii"}, check=True)
    first, second, last = done.stderr.splitlines()
    assert first.startswith("60 rows -> 60 runs - $0.60")
    assert second.startswith("group http://127.0.0.1")
    assert last == "enriched: 60 of 60 rows - 60 completed - $0.60 - report: pf.last().report() - SIMULATED"
    assert "\r" not in done.stderr


# Files


@pytest.fixture
def own_directory(tmp_path, monkeypatch):
    """Let processes begin where a test's files are."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_pipe_gets_the_lines_of_a_file_too(forks, own_directory):
    """From file to file the announcement, the first group's address and the end are shown, and nothing moves."""
    code = FILES.replace("CONFIRM", "limit=50")
    done = forks.run([sys.executable, "-c", code], check=True)
    first, second, last = done.stderr.splitlines()
    assert first.startswith("60 rows → 50 runs · of the first 50 of 60 runs · $0.50 · ")
    assert re.search(r" · sends company · checkpoint \S+", first)
    assert re.match(r"group http://127\.0\.0\.1:\d+/", second)
    assert (
        last == "enriched: 50 of 60 rows · 50 completed · 10 not_sent · $0.50 · report: pf.last().report() · SIMULATED"
    )
    assert "\r" not in done.stderr


def test_a_file_is_enriched_in_silence_where_progress_is_false(forks, own_directory):
    """Only what the program itself prints appears."""
    code = FILES.replace("CONFIRM", "progress=False")
    done = forks.run([sys.executable, "-c", code], check=True)
    assert (done.stderr, done.stdout) == ("", "ROWS 60\nPAID 60\n")


@pytest.mark.parametrize("more", ["", ", progress=False"])
def test_a_warning_appears_once(forks, own_directory, more):
    """Where no logging is set up it is shown, or else logged, which Python shows; never both."""
    done = forks.run([sys.executable, "-c", CODE.replace("CONFIRM", f'processor="bsae"{more}')], check=True)
    assert done.stderr.count("is not in the price table") == 1


@pytest.mark.parametrize(("answer", "result"), [(b"y\n", "ROWS 60"), (b"n\n", "DECLINED")])
def test_a_terminal_is_asked_before_a_file_is_paid_for(forks, own_directory, answer, result):
    """Yes pays; no pays nothing and writes nothing."""
    shown = in_terminal(forks, FILES.replace("CONFIRM", "confirm=True, progress=False"), answers=[answer])
    assert "Send 60 runs ($0.60)? [y/N]" in shown
    assert result in shown
    assert f"PAID {60 if result == 'ROWS 60' else 0}" in shown
    assert (own_directory / "out.parquet").exists() == (result == "ROWS 60")


def test_confirming_a_file_needs_a_terminal(forks, own_directory):
    """In a pipe confirm=True is an error that says what to do; nothing is paid or written."""
    code = FILES.replace("CONFIRM", "confirm=True")
    done = forks.run([sys.executable, "-c", code])
    assert (
        "InputError: `confirm=True` asks before anything is paid, and there is neither a terminal nor a notebook"
        in done.stderr
    )
    assert "PAID 0" in done.stdout
    assert not (own_directory / "out.parquet").exists()


@pytest.fixture(scope="module")
def kernel(start_kernel):
    """Start a real kernel."""
    manager, client = start_kernel()
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def cell(client, code, *, answer=None):
    """Execute a cell, answering what it asks, and return what it printed."""
    texts = []

    def collect(message):
        content = message["content"]
        texts.append(content.get("text", "") or content.get("evalue", "") or str(content.get("data", "")))

    def reply(message):
        texts.append(message["content"]["prompt"])
        client.input(answer)

    client.execute_interactive(code, allow_stdin=answer is not None, stdin_hook=reply, output_hook=collect, timeout=60)
    return "".join(texts)


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning", "default::RuntimeWarning")
def test_a_notebook_is_asked_in_the_cell(kernel):
    """The question appears where the cell is; a front end that takes no input gets an error that says so."""
    asking = CODE.replace("CONFIRM", "confirm=True, progress=False")
    shown = cell(kernel, asking, answer="yes")
    assert "Send 60 runs ($0.60)? [y/N]" in shown
    assert "ROWS 60" in shown
    assert "DECLINED" in cell(kernel, asking, answer="no")
    shown = cell(kernel, asking)
    assert "neither a terminal nor a notebook that takes input" in shown
    assert "PAID 0" in shown


NOTEBOOK = [
    """
import pandas as pd, parallel_frames as pf
from parallel_frames.simulator import Failure, Simulator, faults
df = pd.DataFrame({"company": [f"Company {n}" for n in range(60)]})
def answer(sent):
    n = int(sent["company"].split()[1])
    return Failure("no such company") if n % 10 == 7 else {"n": "x" if n % 10 == 3 else n}
sim = Simulator(answer, latency=(1, 20), speed=20, more_processors=["bsae"]).start()
client = pf.Client(api_key="any", base_url=sim.url, clock_speed=20)
""",
    'out = df.parallel.enrich({"n": int}, client=client, checkpoint=None, processor="bsae")',
    """
run = df.parallel.submit({"m": int}, client=client, checkpoint="ck")
sim.stop()
""",
    'out = df.parallel.enrich({"m": int}, client=client, checkpoint="ck", progress=False, timeout=0.1)',
    """
sim = Simulator(answer, latency=0).start()
client = pf.Client(api_key="any", base_url=sim.url, clock_speed=20)
try:
    df.parallel.enrich({"n": int}, client=client, checkpoint=None, on_error="raise")
except pf.errors.EnrichmentError:
    print("raised")
sim.stop()
""",
    """
import os
os.environ.pop("PYTEST_CURRENT_TEST", None)  # in a test nothing is asked
with Simulator(latency=0) as sim:
    client = pf.Client(api_key="any", base_url=sim.url)
    df.parallel.enrich({"n": int}, client=client, checkpoint=None, processor="ultra", progress=False)
    print(sim.counts.runs)
""",
]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory, execute_notebook):
    """Execute a notebook as a whole, and return what it is saved with."""
    cells = [nbformat.v4.new_code_cell(source) for source in NOTEBOOK]
    saved = nbformat.v4.new_notebook(cells=cells)
    folder = tmp_path_factory.mktemp("notebook")
    execute_notebook(saved, folder=folder)
    nbformat.validate(saved)
    return saved


def card(cell):
    """Return the text and the HTML of the one card that a cell shows, and what else it printed."""
    cards = [output for output in cell.outputs if output.get("metadata", {}).get("parallel_frames") == "progress"]
    others = [output.get("text", "") for output in cell.outputs if output not in cards]
    assert len(cards) == 1
    return cards[0]["data"]["text/plain"], cards[0]["data"]["text/html"], "".join(others)


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning", "default::RuntimeWarning")
def test_a_notebook_is_saved_with_one_card_as_it_ended(notebook):
    """Plan, warning, group and end are on it: rows by status, dollars, the report; nothing is on the error stream."""
    text, html, printed = card(notebook.cells[1])
    assert printed == ""
    first, group, warning, last = text.splitlines()
    assert first.startswith("60 rows → 60 runs · price of 'bsae' not known · ")
    assert re.fullmatch(r"group http://127\.0\.0\.1:\d+/v1/tasks/groups/tgrp_\w+", group)
    assert warning.startswith("Warning: processor 'bsae' is not in the price table")
    assert last == (
        "enriched: 60 of 60 rows · 48 completed · 6 invalid · 6 failed · report: pf.last().report() · SIMULATED"
    )
    for words in ("48 completed", "6 invalid", "6 failed", "<b>enriched</b>", f'href="{group.removeprefix("group ")}"'):
        assert words in html
    assert html.count("bsae") == text.count("bsae")


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning", "default::RuntimeWarning")
def test_a_submit_in_a_notebook_counts_runs(notebook):
    """The card says how many of the runs the service has."""
    text, html, printed = card(notebook.cells[2])
    assert text.splitlines()[-1] == "60 of 60 runs sent · $0.60 · SIMULATED"
    assert "60 pending" in html
    assert printed == ""


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning", "default::RuntimeWarning")
def test_a_notebook_without_progress_has_no_card(notebook):
    """What must be known is on the error stream then, once."""
    (output,) = notebook.cells[3].outputs
    assert (output["output_type"], output["name"]) == ("stream", "stderr")
    assert output["text"].count("60 rows without an answer") == 1


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning", "default::RuntimeWarning")
def test_a_card_counts_judged_answers_where_failures_raise(notebook):
    """The card has the rows by status although the call ended with an error."""
    text, html, printed = card(notebook.cells[4])
    assert printed == "raised\n"
    assert "6 invalid" in html
    last = text.splitlines()[-1]
    assert last.startswith("enriched: 60 of 60 rows · 48 completed · 6 invalid · 6 failed · $0.54 · report")


@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning", "default::RuntimeWarning")
def test_a_notebook_that_is_executed_without_input_sends_as_a_script_does(notebook):
    """Above 10 dollars a cell asks; where nobody can answer, as with nbconvert and papermill, the call is sent."""
    assert [output["text"] for output in notebook.cells[5].outputs] == ["60\n"]


MARIMO = """
import marimo
app = marimo.App()

@app.cell
def _():
CELL
    return

if __name__ == "__main__":
    app.run()
"""


def test_marimo_shows_its_own_bar(own_directory):
    """The bar is marimo's, saved as it ended; lines stand below the cell, and as a script the same file shows lines."""
    pytest.importorskip("marimo")
    body = textwrap.indent(CODE.replace("CONFIRM", ""), "    ")
    (own_directory / "book.py").write_text(MARIMO.replace("CELL", body), encoding="utf-8")
    command = [sys.executable, "-m", "marimo", "export", "html", "book.py", "-o", "book.html", "--no-include-code"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    page = (own_directory / "book.html").read_text(encoding="utf-8")
    (bar,) = re.findall(r"marimo-progress data-title.{0,300}?marimo-progress", page)
    assert "enriched" in bar
    assert "data-total='60' data-progress='60'" in bar
    assert "0.60" in bar
    last = "enriched: 60 of 60 rows · 60 completed · $0.60 · report: pf.last().report() · SIMULATED"
    assert last in done.stderr
    script = subprocess.run([sys.executable, "book.py"], capture_output=True, text=True, check=True)
    assert script.stderr.splitlines()[-1] == last


PROMPT = """
import os, sys
import pandas as pd, parallel_frames as pf
from parallel_frames.simulator import Simulator
os.environ.pop("PYTEST_CURRENT_TEST", None)
INTERACTIVE
df = pd.DataFrame({"company": [f"Company {n}" for n in range(ROWS)]})
with Simulator(lambda sent: {"n": 1}, latency=0, speed=20) as sim:
    client = pf.Client(api_key="any", base_url=sim.url, clock_speed=20)
    try:
        out = df.parallel.enrich({"n": int}, client=client, progress=False, OPTIONS)
        print("ROWS", int(out["n"].sum()))
    except pf.errors.DeclinedError as error:
        print("DECLINED", error)
    print("PAID", sim.counts.runs)
"""


def prompt(rows, options, *, interactive="sys.ps1 = '>>> '"):
    """Return code that enriches as at Python's prompt."""
    return PROMPT.replace("INTERACTIVE", interactive).replace("ROWS", str(rows), 1).replace("OPTIONS", options)


@pytest.mark.parametrize(("given", "result"), [(b"y\n", "PAID 401"), (b"\n", "PAID 0")])
def test_at_the_prompt_more_than_10_dollars_are_asked_for(forks, own_directory, given, result):
    """A person who types the code is asked once, and nothing but yes pays."""
    shown = in_terminal(forks, prompt(401, 'processor="core"'), answers=[given], columns=200)
    assert "Send 401 runs ($10.025)? [y/N]" in shown
    assert result in shown
    assert ("DECLINED The answer was not yes." in shown) == (given == b"\n")


@pytest.mark.parametrize(
    ("rows", "options", "interactive"),
    [
        (400, 'processor="core"', "sys.ps1 = '>>> '"),  # 10 dollars
        (401, 'processor="core", max_cost=20', "sys.ps1 = '>>> '"),
        (401, 'processor="core", confirm=False', "sys.ps1 = '>>> '"),
        (401, 'processor="core"', ""),  # a script
    ],
    ids=["cheap", "bounded", "told", "script"],
)
def test_nothing_is_asked_where_the_cost_is_bounded_or_a_script_runs(forks, own_directory, rows, options, interactive):
    """Ten dollars, a limit, an explicit no and a script need no answer."""
    shown = in_terminal(forks, prompt(rows, options, interactive=interactive), columns=200)
    assert "[y/N]" not in shown
    assert f"PAID {rows}" in shown


def test_a_prompt_that_cannot_be_answered_pays_as_a_script_does(forks, own_directory):
    """A notebook that is executed as a whole takes no input: it is not stopped where nobody asked for a question."""
    done = forks.run([sys.executable, "-c", prompt(401, 'processor="core"')], check=True)
    assert "PAID 401" in done.stdout
