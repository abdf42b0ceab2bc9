"""CSV and JSON lines do not say their types: which type a column has, and which of its cells are missing."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import parallel_frames as pf
from parallel_frames._cli._frames import read_frame
from parallel_frames._files._source import open_source
from parallel_frames.errors import InputError
from parallel_frames.simulator import Simulator

# What stands there; the type that is found; what is read.
COLUMNS: dict[str, tuple[list[str], str, list[Any]]] = {
    "text": (["a", "b"], "string", ["a", "b"]),
    "Namibia": (["DE", "NA", ""], "string", ["DE", "NA", None]),
    "Mr Null": (["null", "None", "nan", "x"], "string", ["null", "None", "nan", "x"]),
    "nothing but Namibia": (["NA", "", "NA"], "string", ["NA", None, "NA"]),
    "nothing": (["", "", ""], "null", [None, None, None]),
    "whole numbers": (["1", " 2", "-3", "0"], "int64", [1, 2, -3, 0]),
    "codes": (["1", "007"], "string", ["1", "007"]),
    "codes with a point": (["01.5", "2.5"], "string", ["01.5", "2.5"]),
    "whole numbers with gaps": (["1", "", "NA", "nan", "null", "None", "N/A"], "int64", [1, *[None] * 6]),
    "numbers": (["1", "2.5", " -0.1", "0.00001"], "double", [1.0, 2.5, -0.1, 0.00001]),
    "numbers with gaps": (["0.1", "NaN", "", "#N/A"], "double", [0.1, None, None, None]),
    "numbers as Python prints them": (["1.0", "0.1", "1e-05", "1e+16"], "double", [1.0, 0.1, 1e-5, 1e16]),
    "all digits of 64 bits": (["52.520006599999995", "1"], "double", [52.520006599999995, 1.0]),
    "prices": (["1.00", "2.50", "-0.25", ""], "double", [1.0, 2.5, -0.25, None]),
    "versions": (["1.10", "1.1", "3"], "string", ["1.10", "1.1", "3"]),
    "a whole number in two ways": (["1", "1.0"], "string", ["1", "1.0"]),
    "a small number in two ways": (["0.00001", "1e-05"], "string", ["0.00001", "1e-05"]),
    "a large number in two ways": (["10000000000000000", "1e+16"], "string", ["10000000000000000", "1e+16"]),
    "more digits than 64 bits": (["0.1234567890123456789", "1"], "string", ["0.1234567890123456789", "1"]),
    "long codes with a number": (["123456789012345678", "0.5"], "string", ["123456789012345678", "0.5"]),
    "an exponent as no program prints it": (["1e5", "0.5"], "string", ["1e5", "0.5"]),
    "a zero with a sign": (["-0", "1"], "string", ["-0", "1"]),
    "booleans": (["True", "False", "True"], "bool", [True, False, True]),
    "booleans in two ways": (["true", "False", "TRUE"], "string", ["true", "False", "TRUE"]),
    "booleans with gaps": (["", "NA", "false"], "bool", [None, None, False]),
    "booleans and a number": (["true", "1"], "string", ["true", "1"]),
    "numbers and a word": (["1", "NA", "x"], "string", ["1", "NA", "x"]),
    "more than 63 bits": (["18446744073709551615", "1"], "uint64", [2**64 - 1, 1]),
    "more than 64 bits": (["18446744073709551616", "1"], "string", ["18446744073709551616", "1"]),
    "both signs and 64 bits": (["18446744073709551615", "-1"], "string", ["18446744073709551615", "-1"]),
    "hexadecimal": (["0x1F", "0x20"], "string", ["0x1F", "0x20"]),
    "telephones": (["+49123", "+49124"], "string", ["+49123", "+49124"]),
    "dates": (["2024-01-02", "NA"], "string", ["2024-01-02", "NA"]),
    "times": (["12:30", ""], "string", ["12:30", None]),
    "infinity": (["inf", "1.5"], "string", ["inf", "1.5"]),
    "other digits": (["\u0661", "1"], "string", ["\u0661", "1"]),
}


def as_csv(cells: list[str], *, delimiter: str = ",") -> str:
    """Return a table whose second column has these cells."""
    return "\n".join([f"row{delimiter}cell", *[f"r{at}{delimiter}{cell}" for at, cell in enumerate(cells)]]) + "\n"


@pytest.mark.parametrize("what", COLUMNS)
def test_a_csv_columns_type_and_gaps(tmp_path: Path, what: str) -> None:
    """Only the empty cell is missing in text; among numbers or booleans the usual words are, too."""
    cells, type_, expected = COLUMNS[what]
    for name, delimiter in (("rows.csv", ","), ("rows.tsv", "\t")):
        (tmp_path / name).write_text(as_csv(cells, delimiter=delimiter))
        table = open_source(tmp_path / name).table()
        assert (str(table.schema.field("cell").type), table.column("cell").to_pylist()) == (type_, expected)


@pytest.mark.parametrize("what", COLUMNS)
@pytest.mark.parametrize("turn", ["early", "late"])
def test_a_column_is_the_same_in_every_part_of_a_large_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, turn: str
) -> None:
    """The cell that decides may be the first or the last of many blocks, or stand in another file."""
    monkeypatch.setattr("parallel_frames._files._csv.BLOCK_BYTES", 256)
    cells, type_, expected = COLUMNS[what]
    cells, expected = (cells, expected) if turn == "early" else (cells[::-1], expected[::-1])
    many, values = [cells[0]] * 100 + cells, [expected[0]] * 100 + expected
    (tmp_path / "rows.csv").write_text(as_csv(many))
    table = open_source(tmp_path / "rows.csv").table()
    assert (str(table.schema.field("cell").type), table.column("cell").to_pylist()) == (type_, values)
    (tmp_path / "parts").mkdir()
    for at, part in enumerate((many[:50], many[50:])):
        (tmp_path / "parts" / f"{at}.csv.gz").write_bytes(gzip.compress(as_csv(part).encode()))
    parts = open_source(tmp_path / "parts").table()
    assert (parts.schema, parts.column("cell")) == (table.schema, table.column("cell"))


@pytest.mark.parametrize("what", COLUMNS)
@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv"])
def test_the_command_line_reads_into_memory_what_it_reads_from_file_to_file(
    tmp_path: Path, what: str, name: str
) -> None:
    """Gaps are gaps and texts are texts in both, and a whole number beside a gap stays whole."""
    cells, _, expected = COLUMNS[what]
    (tmp_path / name).write_text(as_csv(cells, delimiter="\t" if name == "rows.tsv" else ","))
    found = read_frame(str(tmp_path / name))["cell"].astype(object)
    assert [None if gap else cell for cell, gap in zip(found, found.isna(), strict=True)] == expected


def test_namibia_is_asked_about_whichever_way_its_row_goes(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], files: Any
) -> None:
    """A file and the frame of the command line send ``NA``, and share the run."""
    (tmp_path / "rows.csv").write_text("company,code,size\nDe Beers,NA,1\nSiemens,DE,NA\nNobody,,2\n")
    enrich(tmp_path / "rows.csv", tmp_path / "out.parquet", checkpoint=tmp_path / "ck")
    sent = [{"company": "De Beers", "code": "NA", "size": 1}, {"company": "Siemens", "code": "DE"}]
    assert [run.input for run in sim.runs()] == [*sent, {"company": "Nobody", "size": 2}]
    frame = read_frame(str(tmp_path / "rows.csv"))
    client = pf.Client(api_key="key", base_url=sim.url, clock_speed=files.SPEED)
    frame.parallel.enrich(files.SCHEMA, client=client, checkpoint=tmp_path / "ck", progress=False)
    files.assert_paid_once(sim, runs=3)
    assert pd.read_parquet(tmp_path / "out.parquet")["code"].tolist()[:2] == ["NA", "DE"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_folders_alone_may_be_asked_for(tmp_path: Path, kind: str) -> None:
    """A partition's column has a cell for every row, also where nothing else is read."""
    for year in (2023, 2024):
        part = tmp_path / f"year={year}"
        part.mkdir()
        (part / f"rows.{kind}").write_text('{"n": 1}\n{"n": 2}\n' if kind == "jsonl" else "n\n1\n2\n")
    found = [year for _, batch in open_source(tmp_path).batches(["year"]) for year in batch.to_pydict()["year"]]
    assert found == [2023, 2023, 2024, 2024]


# JSON

LINES: dict[str, tuple[list[Any], str, list[Any]]] = {
    "whole numbers and others": ([1, 2.5, None], "double", [1.0, 2.5, None]),
    "others and whole numbers": ([2.5, 1], "double", [2.5, 1.0]),
    "null and objects": ([None, {"a": 1}], "struct<a: int64>", [None, {"a": 1}]),
    "objects with other fields": (
        [{"a": 1}, {"b": "x"}, {"a": 1.5}],
        "struct<a: double, b: string>",
        [{"a": 1.0, "b": None}, {"a": None, "b": "x"}, {"a": 1.5, "b": None}],
    ),
    "null and lists": ([None, [], [1], [1.5]], "list<item: double>", [None, [], [1.0], [1.5]]),
    "words for nothing": (["NA", "null", None, ""], "string", ["NA", "null", None, ""]),
    "dates and texts": (["2024-01-02", "soon"], "string", ["2024-01-02", "soon"]),
}
CLASHES: dict[str, tuple[list[Any], str]] = {
    "a number and text": ([1, None, "1a"], "The field 'cell' is a number in {} 1 of {} and text in {} 3 of {}"),
    "text and an object": (["x", {"a": 1}], "'cell' is text in {} 1 of {} and an object in {} 2 of {}"),
    "an object and a list": ([{"a": 1}, [1]], "'cell' is an object in {} 1 of {} and a list in {} 2 of {}"),
    "a truth and a number": ([True, 1], "'cell' is true or false in {} 1 of {} and a number in {} 2 of {}"),
    "something within": ([{"a": 1}, {"a": "x"}], r"'cell\.a' is a number in {} 1 of {} and text in {} 2 of {}"),
    "members of a list": ([[1], [None, "x"]], r"'cell\[\]' is a number in {} 1 of {} and text in {} 2 of {}"),
}


@pytest.mark.parametrize("what", LINES)
@pytest.mark.parametrize("block", [64, 2**20])
def test_a_json_fields_type_holds_for_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, block: int
) -> None:
    """Numbers widen and null is of any type, within a block and beyond it, in lines and in arrays."""
    monkeypatch.setattr("parallel_frames._files._json.BLOCK_BYTES", block)
    cells, type_, expected = LINES[what]
    rows = [{"row": f"row number {at}", "cell": cell} for at, cell in enumerate(cells)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    for name in ("rows.jsonl", "rows.json"):
        table = open_source(tmp_path / name).table()
        assert (str(table.schema.field("cell").type), table.column("cell").to_pylist()) == (type_, expected)


@pytest.mark.parametrize("what", CLASHES)
@pytest.mark.parametrize("block", [64, 2**20])
def test_a_json_field_of_two_kinds_is_refused_with_both_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sim: Simulator, enrich: Callable[..., Any], what: str, block: int
) -> None:
    """The field, both kinds and both lines are named before anything is sent, and what to do."""
    monkeypatch.setattr("parallel_frames._files._json.BLOCK_BYTES", block)
    cells, words = CLASHES[what]
    rows = [{"company": f"company {at}", "cell": cell} for at, cell in enumerate(cells)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    for name, unit in (("rows.jsonl", "line"), ("rows.json", "row")):
        where = rf".*{name}".replace(".json", r"\.json")
        with pytest.raises(InputError, match=words.format(unit, where, unit, where)) as caught:
            enrich(tmp_path / name, tmp_path / "out.parquet")
        assert "Nothing was sent. Write it in one way in every row" in str(caught.value)
    assert sim.counts.posts == 0


def test_lines_are_counted_over_empty_ones_and_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line's number is the one that an editor shows, in the file it stands in."""
    monkeypatch.setattr("parallel_frames._files._json.BLOCK_BYTES", 50)
    (tmp_path / "a.jsonl").write_text("\n\n" + '{"n": 1}\r\n\n' * 20)
    (tmp_path / "b.jsonl").write_text('{"n": null}\n' * 9 + "\n \n" + '{"n": "x"}\n')
    with pytest.raises(InputError, match=r"a number in line 3 of .*a\.jsonl and text in line 12 of .*b\.jsonl"):
        open_source(tmp_path / "*.jsonl")
    (tmp_path / "b.jsonl").write_text('{"n": 2}\n\n[3]\n')
    with pytest.raises(InputError, match=r"Line 3 of .*b\.jsonl is neither an object nor a text"):
        open_source(tmp_path / "*.jsonl")


# What readers of JSON differ in: the text of one row after a first one, and the error's words.
AMBIGUOUS: dict[str, tuple[str, str]] = {
    "NaN": ('{"company": "b", "x": NaN}', r"has NaN in the field 'x', which is no JSON.*Write null"),
    "-Infinity": ('{"company": "b", "x": [1, -Infinity]}', "has -Infinity in the field 'x', which is no JSON"),
    "a number beyond floats": ('{"company": "b", "x": {"y": 1e400}}', "has Infinity in the field 'y'"),
    "a name twice": ('{"company": "b", "company": "c"}', "has the field 'company' twice in one object"),
    "a name twice within": ('{"company": "b", "x": [{"y": 1, "y" : 2}]}', "has the field 'y' twice in one object"),
    "unsigned": ('{"company": "b", "id": 9223372036854775808}', "the whole number 9223372036854775808 in the field"),
    "two objects": ('{"company": "b"}{"company": "c"}', r"is not JSON \("),
    "a lone surrogate": ('{"company": "\\ud800"}', r"is not JSON \("),
    "single quotes": ("{'company': 'b'}", r"is not JSON \("),
}  # fmt: skip


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.jsonl.gz"])
@pytest.mark.parametrize("what", AMBIGUOUS)
def test_what_readers_of_json_differ_in_is_refused_on_every_way(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], what: str, name: str
) -> None:
    """In the same words from file to file and in memory, with the file, the line and the field."""
    row, words = AMBIGUOUS[what]
    rows = ['{"company": "a: \\"NaN\\": 1"}', row]
    text = f"[{','.join(rows)}]" if name == "rows.json" else "\n".join(rows)
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    where = "" if name == "rows.json" else "Line 2 of "
    for read in (lambda: enrich(path, tmp_path / "out.parquet"), lambda: read_frame(str(path))):
        with pytest.raises(InputError, match=rf"^{where}.*{name}.* {words}.*"):
            read()
    assert sim.counts.posts == 0


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
def test_a_byte_order_mark_is_no_part_of_json(tmp_path: Path, name: str) -> None:
    """It is read over; UTF-16 is refused with what to do."""
    path = tmp_path / name
    text = '[{"company": "é"}]' if name == "rows.json" else '{"company": "é"}\n'
    path.write_bytes(text.encode("utf-8-sig"))
    assert open_source(path).table().to_pydict() == {"company": ["é"]}
    assert read_frame(str(path)).to_dict("list") == {"company": ["é"]}
    path.write_bytes(text.encode("utf-16"))
    for read in (open_source, read_frame):
        with pytest.raises(InputError, match="Save it as UTF-8"):
            read(str(path))


@pytest.mark.parametrize(("name", "text"), [("rows.jsonl", ""), ("rows.jsonl", "\ufeff\n\n"), ("rows.json", "[]")])
@pytest.mark.parametrize("inputs", [None, ["company"], {"firm": "company"}, "About {company}", "company"])
def test_json_of_no_rows_has_no_rows(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], name: str, text: str, inputs: Any
) -> None:
    """A source that is filled every hour has nothing new now and then; an array needs its brackets."""
    (tmp_path / name).write_text(text)
    assert pf.plan_parquet(tmp_path / name, {"name": str}, inputs=inputs).runs == 0
    done = enrich(tmp_path / name, tmp_path / "out.parquet", inputs=inputs)
    assert (done.rows, sim.counts.posts) == (0, 0)
    assert pq.read_table(tmp_path / "out.parquet").schema.names[:2] == ["name", "length"]
    (tmp_path / "rows.json").write_text("")
    for read in (open_source, read_frame):
        with pytest.raises(InputError, match="not JSON"):
            read(str(tmp_path / "rows.json"))


def test_objects_without_a_field_are_rows_that_send_nothing(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """They are not taken for no rows."""
    (tmp_path / "rows.jsonl").write_text("{}\n{}\n")
    with pytest.raises(InputError, match="has objects without a field"):
        enrich(tmp_path / "rows.jsonl", tmp_path / "out.parquet")


def test_whole_numbers_among_others_keep_their_digits(tmp_path: Path, enrich: Callable[..., Any]) -> None:
    """One that a float of 64 bits cannot hold is refused, with its field, and not rounded."""
    for rows in (["9007199254740993", "1.5"], ["1", "9007199254740993", *["1"] * 5, "1.5"]):
        (tmp_path / "rows.jsonl").write_text("".join(f'{{"company": "a", "n": {n}}}\n' for n in rows))
        with pytest.raises((InputError, pf.errors.SourceError), match="the field 'n' does not fit into one column"):
            enrich(tmp_path / "rows.jsonl", tmp_path / "out.parquet")


def test_folders_of_json_arrays_are_columns(tmp_path: Path) -> None:
    """As those of every other format are."""
    for year in (2023, 2024):
        (tmp_path / f"year={year}").mkdir()
        (tmp_path / f"year={year}" / "rows.json").write_text('[{"n": 1}]')
    assert open_source(tmp_path).table().to_pydict() == {"n": [1, 1], "year": [2023, 2024]}


def test_mixed_fields_of_json_stay_as_they_are_in_memory(tmp_path: Path) -> None:
    """A frame's cells may be of several kinds: the command line sends each as it stands."""
    (tmp_path / "rows.jsonl").write_text('{"cell": 1}\n{"cell": "1a"}\n{"cell": {"a": 1.5}}\n{"cell": null}\n')
    assert read_frame(str(tmp_path / "rows.jsonl"))["cell"].tolist() == [1, "1a", {"a": 1.5}, None]


def test_folders_are_integers_only_where_they_are_written_so(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any]
) -> None:
    """``zip=01`` and ``zip=1`` are two inputs, and ``year=2024`` is a number."""
    for code in ("01", "1"):
        (tmp_path / "in" / f"zip={code}" / "year=2024").mkdir(parents=True)
        rows = pa.table({"company": ["same"]})
        pq.write_table(rows, tmp_path / "in" / f"zip={code}" / "year=2024" / "rows.parquet")
    enrich(tmp_path / "in", tmp_path / "out.parquet")
    sent = sorted((run.input for run in sim.runs()), key=lambda each: each["zip"])
    assert sent == [{"company": "same", "zip": code, "year": 2024} for code in ("01", "1")]
    assert pq.read_table(tmp_path / "out.parquet")["zip"].to_pylist() == ["01", "1"]


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json"])
@pytest.mark.parametrize("number", ["12345678901234567891", "-9223372036854775809", "99999999999999999999991"])
def test_digits_of_json_are_not_lost(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], name: str, number: str
) -> None:
    """A number that 64 bits cannot hold would become another one, and two rows one: it is refused, with its place."""
    rows = ['{"company": "a", "id": 1}', f'{{"company": "b", "more": {{"id": [{number}]}}}}']
    (tmp_path / name).write_text("\n".join(rows) if name.endswith("l") else f"[{','.join(rows)}]")
    with pytest.raises(InputError, match=r"(line 2 of )?.*rows.json.*more than 64 bits.*Nothing was sent.*in quotes"):
        enrich(tmp_path / name, tmp_path / "out.parquet")
    with pytest.raises(InputError, match="more than 64 bits"):
        read_frame(str(tmp_path / name))
    assert sim.counts.runs == 0


def test_long_numbers_that_fit_travel_whole(tmp_path: Path, sim: Simulator, enrich: Callable[..., Any]) -> None:
    """Nineteen digits alone are no reason to refuse; nor are those within a text or a float."""
    (tmp_path / "rows.jsonl").write_text(
        '{"company": "12345678901234567891", "id": 9223372036854775807, "x": 0.1234567890123456789}\n'
    )
    enrich(tmp_path / "rows.jsonl", tmp_path / "out.parquet")
    assert sim.runs()[0].input["id"] == 9223372036854775807


@pytest.mark.parametrize(("depth", "words"), [(120, "'a' is nested 121 deep"), (900, "nested"), (2_000, "not JSON")])
def test_json_that_is_nested_too_deep_for_parquet_is_refused(tmp_path: Path, depth: int, words: str) -> None:
    """The field and both depths are named before anything is sent, as far as they can be known."""
    (tmp_path / "deep.jsonl").write_text('{"a": ' + "[" * depth + "1" + "]" * depth + "}\n")
    with pf.offline(latency=0) as sim:
        with pytest.raises(InputError, match=words):
            pf.enrich_parquet(tmp_path / "deep.jsonl", tmp_path / "out.parquet", {"n": str}, progress=False)
        assert sim.counts.posts == 0
