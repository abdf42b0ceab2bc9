"""Formats through pipes, Excel, and --offline."""

from __future__ import annotations

import io
import json
from datetime import date, datetime

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames._cli._frames import read_frame
from parallel_frames.errors import InputError

SIZE = ("--column", "size (int): letters of the name")
SEND = (*SIZE, "--yes", "--no-progress")
WRITE = {
    "csv": lambda df, sink: df.to_csv(sink, index=False),
    "tsv": lambda df, sink: df.to_csv(sink, index=False, sep="\t"),
    "json": lambda df, sink: df.to_json(sink, orient="records"),
    "jsonl": lambda df, sink: df.to_json(sink, orient="records", lines=True),
    "parquet": lambda df, sink: df.to_parquet(sink, index=False),
    "feather": lambda df, sink: df.to_feather(sink),
    "xlsx": lambda df, sink: df.to_excel(sink, index=False),
}


def written(kind, names=("Acme", "Globex")):
    """Return the bytes of a table of companies."""
    sink = io.BytesIO()
    WRITE[kind](pd.DataFrame({"company": list(names)}), sink)
    return sink.getvalue()


@pytest.mark.parametrize("kind", WRITE)
def test_any_format_goes_through_pipes(run, pointed, place, kind):
    """`--from` and `--to` say what comes in and goes out."""
    done = run("enrich", "-", "-", "--from", kind, "--to", kind, *SEND, stdin=written(kind))
    assert done.exit_code == 0, done.stderr
    (place / f"out.{kind}").write_bytes(done.stdout_bytes)
    assert read_frame(f"out.{kind}")["size"].tolist() == [4, 6]
    assert pointed.counts.runs == 2


def test_a_pipe_is_json_lines_or_a_json_array(run, pointed):
    """Which of them is seen."""
    for kind in ("jsonl", "json"):
        done = run("enrich", "-", *SEND, stdin=b"\xef\xbb\xbf \n" + written(kind))
        assert [json.loads(line)["size"] for line in done.stdout.splitlines()] == [4, 6], done.stderr
    assert pointed.counts.runs == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("rows.csv", "out.csv", "--from", "csv"),
            "--from csv is for a pipe (-); the extension of rows.csv names the format",
        ),
        (("rows.csv", "out.parquet", "--from", "csv"), "--from csv is for a pipe"),
        (("-", "out.csv", "--to", "csv"), "--to csv is for a pipe"),
        (("-", "--from", "parquet"), "the standard input cannot be read as parquet"),
        (("-", "--from", "xlsx"), "the standard input cannot be read as xlsx"),
        (("-", "out.csv", "-o", "out.csv"), "pass one of them"),
    ],
)
def test_formats_that_do_not_fit_say_so(run, pointed, place, arguments, said):
    """Nothing is sent."""
    (place / "rows.csv").write_bytes(written("csv"))
    done = run("enrich", *arguments, *SEND, stdin=b"no such format")
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
    assert pointed.counts.runs == 0


def test_short_options(run, pointed, place):
    """`-o`, `-p`, `-n` and `-y`."""
    (place / "rows.csv").write_bytes(written("csv"))
    done = run("enrich", "rows.csv", *SIZE, "-o", "out.csv", "-p", "lite", "-n", "1", "-y")
    assert done.exit_code == 0, done.stderr
    assert pd.read_csv("out.csv")["parallel_status"].tolist() == ["completed", "not_sent"]
    assert pointed.runs()[0].processor == "lite"


@pytest.mark.parametrize("target", ["out.csv", "out.parquet", "out.xlsx"])
def test_a_target_that_is_whole_leaves_nothing_to_do(run, pointed, place, target):
    """From a file or a pipe: no yes is needed, nothing is sent, and the exit code is 0."""
    (place / "rows.csv").write_bytes(written("csv"))
    for source in ["rows.csv"] if target == "out.parquet" else ["rows.csv", "-"]:
        first = run("enrich", source, target, *SEND, "--overwrite", stdin=written("jsonl"))
        before = (place / target).read_bytes()
        again = run("enrich", source, target, *SIZE, stdin=written("jsonl"))
        assert (first.exit_code, again.exit_code) == (0, 0), again.stderr
        assert "This command has already written" in again.stderr
        assert (place / target).read_bytes() == before
        changed = run("enrich", source, target, *SIZE, "--prefix", "my_", stdin=written("jsonl"))
        assert (changed.exit_code, "exists" in changed.stderr) == (2, True)
    assert pointed.counts.runs == 2


# CSV

AS_THEY_STAND = [
    "company,version,price,big,listed,since,code",
    "a,1.10,1.00,0.1234567890123456789,true,2024-01-02,NA",
    "a,1.1,2.50,123456789012345678,NA,,",
    'b,3,100.00,1,false, 3 Jan,"x, y"',
]


@pytest.mark.parametrize("way", ["file", "pipe"])
def test_cells_of_csv_come_back_as_they_stand(run, place, way):
    """Numbers, booleans and words for a gap, from CSV to CSV; two texts are two inputs; numbers are sent as numbers."""
    (place / "rows.csv").write_text("\n".join(AS_THEY_STAND))
    words = ("rows.csv", "out.csv") if way == "file" else ("-", "out.csv", "--from", "csv")
    with pf.offline(lambda _: {"listed": True, "x": "y"}, latency=0) as sim:
        answers = ("--column", "listed (bool): l", "--column", "x: y", "--if-exists", "fill", "--where", "missing")
        done = run("enrich", *words, *answers, "-y", "--no-progress", stdin=(place / "rows.csv").read_bytes())
        assert done.exit_code == 0, done.stderr
        sent = [run.input for run in sim.runs()]
    rows = [f"{row},y,completed," for row in AS_THEY_STAND[1:]]
    rows[1] = rows[1].replace("NA", "True")  # a gap that was asked about
    heads = f"{AS_THEY_STAND[0]},x,parallel_status,parallel_error"
    assert (place / "out.csv").read_text().splitlines() == [heads, *rows]
    assert [(row["version"], row["price"], row["big"]) for row in sent] == [
        ("1.10", 1.0, "0.1234567890123456789"), ("1.1", 2.5, "123456789012345678"), ("3", 100.0, "1"),
    ]  # fmt: skip


@pytest.mark.parametrize("source", ["rows.csv", "rows.xlsx"])
@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_an_index_is_kept_and_not_sent(run, place, caplog, source, target):
    """What to_csv or to_excel wrote of a frame without `index=False`: one line says so; of a part of it, too."""
    frame = pd.DataFrame({"company": ["A", "B", "A", "A"]}).drop(1)
    frame.to_csv(source) if source == "rows.csv" else frame.to_excel(source)
    with pf.offline(lambda _: {"x": "y"}, latency=0) as sim:
        assert run("enrich", source, target, "--column", "x: y", "-y", "--no-progress").exit_code == 0
        assert "(without a name) numbers the rows: it is kept, and not sent unless --inputs names it" in caplog.text
        pd.read_csv(io.StringIO(frame.to_csv())).head(2).parallel.enrich({"x": "y"}, progress=False)
        assert [run.input for run in sim.runs()] == [{"company": "A"}]
        plan = pd.read_csv(io.StringIO(frame.to_csv())).parallel.plan({"x": "y"})
    assert "('Unnamed: 0') numbers the rows" in str(plan)
    out = pd.read_csv(target) if target == "out.csv" else pd.read_parquet(target)
    assert out.iloc[:, 0].tolist() == [0, 2, 3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("company,\nA,x\n", "has no name for its column 2, which is not empty. Nothing was sent."),
        (",company\nx,A\n", "has no name for its column 1"),
        ("company,,\nA,x,\n", "has 2 columns without a name"),
        ("company,\nA,\nB,\n", ""),
    ],
)
def test_columns_of_csv_without_a_name(run, place, text, said):
    """They are refused before anything is sent; an empty one is left out."""
    (place / "rows.csv").write_text(text)
    done = run("enrich", "rows.csv", "out.csv", "--offline", *SIZE)
    assert (done.exit_code, said in done.stderr) == (2 if said else 0, True), done.stderr
    assert said or (place / "out.csv").read_text().startswith("company,size,")


# Excel

CELLS = pd.DataFrame({
    "company": ["Acme", "Globex", None],
    "code": ["01234", 4567, None],
    "founded": [1949, None, 1989],
    "share": [0.5, 2, None],
    "listed": [True, False, None],
    "since": [datetime(2024, 1, 2), None, datetime(2024, 1, 2, 3, 4)],
    "empty": [None, None, None],
})  # fmt: skip


@pytest.mark.parametrize("target", ["out.parquet", "out.csv"])
def test_cells_of_excel_are_sent_as_what_they_are(run, monkeypatch, place, target):
    """Numbers, booleans and dates keep their kind; a column of several is text; the same in memory and in files."""
    CELLS.to_excel("rows.xlsx", index=False)
    with pf.offline(lambda _: {"x": "y"}, latency=0) as sim:
        assert run("enrich", "rows.xlsx", target, "--column", "x: y", "-y", "--no-progress").exit_code == 0
        sent = sorted((sent.input for sent in sim.runs()), key=str)
    assert sent == [
        {
            "company": "Acme",
            "code": "01234",
            "founded": 1949,
            "share": 0.5,
            "listed": True,
            "since": "2024-01-02T00:00:00",
        },
        {"company": "Globex", "code": "4567", "share": 2.0, "listed": False},
        {"founded": 1989, "since": "2024-01-02T03:04:00"},
    ]


def test_a_workbook_holds_what_was_answered(run, place):
    """Texts that look like formulas stay texts, control characters go, lists are JSON, times are ISO texts."""
    answers = {"formula": "=1+1", "control": "a\x08b", "many": ["a", "b"], "when": "2024-01-02T03:04:05Z"}
    columns = ("formula: x", "control: x", "many (list[str]): x", "when (datetime): x")
    (place / "rows.csv").write_bytes(written("csv"))
    with pf.offline(lambda _: answers, latency=0):
        words = [word for column in columns for word in ("--column", column)]
        assert run("enrich", "rows.csv", "out.xlsx", *words, "-y", "--no-progress").exit_code == 0
    out = pd.read_excel("out.xlsx", dtype=object)
    assert out.loc[0, ["formula", "control", "many"]].tolist() == ["=1+1", "ab", '["a","b"]']
    assert out.loc[0, "when"] == "2024-01-02T03:04:05+00:00"


def test_what_a_cell_cannot_hold_is_not_cut(run, place):
    """A long answer is refused as a whole, kept, and written to another target without paying again."""
    (place / "rows.csv").write_bytes(written("csv"))
    with pf.offline(lambda _: {"text": "x" * 40_000}, latency=0) as sim:
        words = ("--column", "text: x", "-y", "--no-progress")
        done = run("enrich", "rows.csv", "out.xlsx", *words)
        assert (done.exit_code, "a text has 40,000 characters, and a cell holds 32,767" in done.stderr) == (3, True)
        assert not (place / "out.xlsx").exists()
        assert run("enrich", "rows.csv", "out.csv", *words).exit_code == 0
        assert sim.counts.runs == 2


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (None, "rows.xlsx cannot be read as xlsx: it is empty (0 bytes). Nothing was sent."),
        (pd.DataFrame([["company", None], ["Acme", "x"]]), "has a column without a name in its first row, with 'x'"),
        (pd.DataFrame([["company", "company"], ["Acme", "x"]]), "has the column 'company' twice"),
    ],
)
def test_a_sheet_without_names_is_refused(run, place, frame, said):
    """Nothing is sent for what may be another table than it seems."""
    (place / "rows.xlsx").touch()
    if frame is not None:
        frame.to_excel("rows.xlsx", index=False, header=False)
    done = run("plan", "rows.xlsx", "--column", "x: y")
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr


def test_sheets_of_several_files_are_one_source(run, place):
    """A folder of workbooks is read by the names of their columns."""
    (place / "rows").mkdir()
    CELLS[["company", "code"]].to_excel("rows/a.xlsx", index=False)
    CELLS[["company", "founded"]].to_excel("rows/b.xlsx", index=False)
    with pf.offline(lambda _: {"x": "y"}, latency=0):
        done = pf.enrich_parquet("rows", "out.parquet", {"x": str}, inputs=["company"], progress=False)
    assert (done.rows, done.counts) == (5, {"completed": 4, "skipped": 1})  # empty rows at the end are none


@pytest.fixture
def book(place):
    """Write a workbook of three sheets: notes, companies whose kinds of cells differ, and formulas without values."""
    openpyxl = pytest.importorskip("openpyxl")
    made = openpyxl.Workbook()
    made.active.title = "Notes"
    made.active.append(["note"])
    made.active.append(["of May"])
    rows = made.create_sheet("The rows")
    rows.append(["company", "since", "listed", None, "number"])
    rows.append(["Acme", date(2024, 1, 2), True, None, "0042"])
    totals = made.create_sheet("Totals")
    totals.append(["company", "total"])
    totals.append(["Acme", "=1+1"])
    made.save("book.xlsx")
    return place / "book.xlsx"


@pytest.mark.parametrize("target", ["out.parquet", "out.csv"])
@pytest.mark.parametrize("sheet", ["The rows", "the ROWS", "2"])
def test_a_sheet_is_chosen_by_its_name_or_number(run, book, target, sheet):
    """The address of the source names it, from file to file and in memory; its cells are sent as what they are."""
    with pf.offline(lambda _: {"x": "y"}, latency=0) as sim:
        done = run("enrich", f"book.xlsx#{sheet}", target, "--column", "x: y", "-y", "--no-progress")
        assert done.exit_code == 0, done.stderr
        (sent,) = sim.runs()
    assert sent.input == {"company": "Acme", "since": "2024-01-02T00:00:00", "listed": True, "number": "0042"}
    assert "sheets" not in done.stderr


def test_what_is_read_of_several_sheets_is_shown_and_may_be_refused(run, book, caplog):
    """The first is read, with a line that names the others; one that is not there is an error that lists them."""
    plan = ("--column", "x: y")
    assert run("plan", "book.xlsx", *plan).exit_code == 0
    (shown,) = [message for message in caplog.messages if "sheets" in message]
    assert shown.startswith("book.xlsx has 3 sheets ('Notes', 'The rows', 'Totals'); the first is read.")
    for sheet in ("Rows", "4", "0"):
        done = run("plan", f"book.xlsx#{sheet}", *plan)
        assert (done.exit_code, "Its sheets are 1 'Notes', 2 'The rows', 3 'Totals'" in done.stderr) == (2, True)
    done = run("plan", "book.xlsx#Totals", *plan)
    assert (done.exit_code, "a formula in B2 of the sheet 'Totals', and no value" in done.stderr) == (2, True)


def test_sheets_of_a_target_are_not_lost(run, book):
    """A workbook of several sheets is not replaced, nor one that is the source; another sheet is another call."""
    before = book.read_bytes()
    words = ("--column", "x: y", "-y", "--no-progress", "--overwrite")
    with pf.offline(lambda _: {"x": "y"}, latency=0):
        pd.DataFrame({"company": ["Acme"]}).to_csv("rows.csv", index=False)
        assert "has 3 sheets ('Notes', 'The rows', 'Totals')" in run("enrich", "rows.csv", "book.xlsx", *words).stderr
        assert "is the source itself" in run("enrich", "book.xlsx#2", "book.xlsx", *words).stderr
        assert "a workbook of one sheet" in run("enrich", "rows.csv", "book.xlsx#2", *words).stderr
        assert book.read_bytes() == before
        pf.enrich_parquet("book.xlsx#1", "out.parquet", {"x": str}, progress=False)
        with pytest.raises(InputError, match="exists"):
            pf.enrich_parquet("book.xlsx#2", "out.parquet", {"x": str}, progress=False)
        pf.enrich_parquet("book.xlsx#2", "of_rows.parquet", {"x": str}, progress=False)
    with pytest.raises(InputError, match="must be Parquet"):
        pf.enrich_parquet("rows.csv", "book.xlsx#2", {"x": str})
    assert pd.read_parquet("of_rows.parquet")["company"].tolist() == ["Acme"]


# Offline


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_offline_needs_no_key_no_yes_and_no_service(run, place, target):
    """A simulator answers, which is said before and after, and in what machines read."""
    (place / "rows.csv").write_bytes(written("csv"))
    done = run("enrich", "rows.csv", target, *SIZE, "--offline", "--no-progress")
    assert done.exit_code == 0, done.stderr
    assert done.stderr.startswith("Offline: a simulator on this machine answers. Every answer is made up")
    assert f"2 rows → {target} · 2 completed · SIMULATED\n" in done.stderr
    told = json.loads(run("enrich", "rows.csv", target, *SIZE, "--offline", "--overwrite", "--json").stdout)
    assert told["simulated"] is True
    (line, *_) = run("enrich", "rows.csv", *SIZE, "--offline", "--as-completed").stdout.splitlines()
    assert json.loads(line)["simulated"] is True


def test_offline_for_every_command_that_sends(run, place):
    """Plan and submit take it, too; what was submitted ends with its simulator."""
    (place / "rows.csv").write_bytes(written("csv"))
    assert "2 rows → 2 runs" in run("plan", "rows.csv", *SIZE, "--offline").stdout
    sent = run("submit", "rows.csv", *SIZE, "--offline", "--no-progress")
    assert (sent.exit_code, "there is nothing to fetch" in sent.stderr) == (0, True), sent.stderr


def test_offline_leaves_the_service_alone(run, pointed, place):
    """Not even with options of a client; an address beside it is refused."""
    (place / "rows.csv").write_bytes(written("csv"))
    words = ("enrich", "rows.csv", *SIZE, "--offline", "--no-progress")
    assert run(*words, "--max-per-minute", "100", "--api", "seed").exit_code == 0
    assert run(*words, "--base-url", pointed.url).exit_code == 2
    assert pointed.counts.runs == 0
