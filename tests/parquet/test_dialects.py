"""CSV as other programs write it: what separates cells, which encoding, and what is refused before it is paid for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from parallel_frames._cli._frames import read_frame
from parallel_frames._files._source import open_source
from parallel_frames.errors import InputError
from parallel_frames.simulator import Simulator

ROWS = {"company": ["Müller", "Globex; Inc", "Initech, Inc"], "country": ["DE", "a|b", "tab\there"], "n": [1, 2, 3]}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("excel", ["", "sep={}\n", '"sep={}"\r\n'])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["in.csv", "in.tsv"])
def test_cells_are_cells_whatever_separates_them(
    tmp_path: Path, name: str, mark: str, excel: str, encoding: str
) -> None:
    """Comma, semicolon, tab and bar, with Excel's own first line and without, in UTF-8 and UTF-16, on both ways."""
    path = tmp_path / name
    text = excel.format(mark) + pd.DataFrame(ROWS).to_csv(sep=mark, index=False)
    path.write_bytes(text.encode(encoding))
    assert open_source(path).table().to_pydict() == ROWS
    assert read_frame(str(path)).to_dict("list") == ROWS


ONE_COLUMN = {
    "semicolons in its rows": ("company\nAcme; Inc\nGlobex; Inc\n", ["Acme; Inc", "Globex; Inc"]),
    "a semicolon in its quoted name": ('"company; name"\nAcme; Inc\nGlobex\n', ["Acme; Inc", "Globex"]),
    "a mark in all of its quoted cells": ('"a;b"\n"1;2"\n"3;4"\n', ["1;2", "3;4"]),
    "a first line that names commas": ("sep=,\ncompany; name\nAcme; Inc\n", ["Acme; Inc"]),
    "nothing but its name": ("company\n", []),
}
SEVERAL = {
    "decimal commas": ("company;price\nAcme;1,5\nInc;2,5\n", {"company": ["Acme", "Inc"], "price": ["1,5", "2,5"]}),
    "a comma in its head": (
        "company;price, EUR;n\nAcme;15;1\nGlobex;25;2\n",
        {"company": ["Acme", "Globex"], "price, EUR": [15, 25], "n": [1, 2]},
    ),
    "no row": ("company;country\n", {"company": [], "country": []}),
    "bars in one column": ("a,tags|more\nx,a|b\ny,c|d\n", {"a": ["x", "y"], "tags|more": ["a|b", "c|d"]}),
    "line ends in cells": ('company;note\n"Acme";"two\nlines"\n', {"company": ["Acme"], "note": ["two\nlines"]}),
    "a long text": (f"company;text\nAcme;{'x' * 200_000}\n", {"company": ["Acme"], "text": ["x" * 200_000]}),
    "a longer text": (f"company;text\nAcme;{'x,' * 200_000}\n", {"company": ["Acme"], "text": ["x," * 200_000]}),
    "a wide table": (
        f"{';'.join(f'column {n}' for n in range(40_000))}\n{';' * 39_999}\n",
        {f"column {n}": [None] for n in range(40_000)},
    ),
    "blank lines": ("\ncompany;n\n\nAcme;1\n\n", {"company": ["Acme"], "n": [1]}),
}  # fmt: skip


@pytest.mark.parametrize("what", ONE_COLUMN)
def test_one_column_stays_one(tmp_path: Path, what: str) -> None:
    """Only what makes columns of the head and of every row separates them."""
    text, cells = ONE_COLUMN[what]
    (tmp_path / "in.csv").write_text(text)
    assert list(open_source(tmp_path / "in.csv").table().to_pydict().values()) == [cells]


@pytest.mark.parametrize("what", SEVERAL)
def test_several_columns_are_several(tmp_path: Path, what: str) -> None:
    """Head and rows decide together."""
    text, columns = SEVERAL[what]
    (tmp_path / "in.csv").write_text(text)
    assert open_source(tmp_path / "in.csv").table().to_pydict() == columns


UNCLEAR = {
    "a row with more": "company;country\nAcme;DE\nGlobex;FR;x\n",
    "a row with less": "company; name\nAcme; Inc\nGlobex\n",
    "two marks": "company;price|EUR\nAcme;1|2\nGlobex;2|3\n",
    "decimal commas below a comma in the head": "company;price, EUR;n\nAcme;1,5;1\nGlobex;2,5;2\n",
}


@pytest.mark.parametrize("what", UNCLEAR)
def test_what_is_unclear_is_refused_with_the_line_that_decides_it(
    tmp_path: Path, sim: Simulator, enrich: Callable[..., Any], what: str
) -> None:
    """It is never paid as one column by silence; with either line before it, it is read."""
    path = tmp_path / "in.csv"
    path.write_text(UNCLEAR[what])
    with pytest.raises(InputError, match=r"may be separated by a comma or by a \w+: .*Nothing was sent") as caught:
        enrich(path, tmp_path / "out.parquet")
    assert "a first line 'sep=,', or 'sep=" in str(caught.value)
    with pytest.raises(InputError, match="may be separated"):
        read_frame(str(path))
    assert sim.counts.posts == 0
    path.write_text("sep=,\n" + UNCLEAR[what])
    assert open_source(path).schema.names[0].startswith("company;")


def test_utf16_without_a_mark_and_other_encodings_say_what_to_do(tmp_path: Path) -> None:
    """Save it as UTF-8."""
    (tmp_path / "in.csv").write_bytes("company,n\nAcme,1\n".encode("utf-16-le"))
    with pytest.raises(InputError, match=r"NUL bytes in its first line: it is UTF-16 without.*Save it as UTF-8"):
        open_source(tmp_path / "in.csv")
    (tmp_path / "in.csv").write_bytes("company,n\nMüller,1\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"invalid UTF8 data\. Save it as UTF-8"):
        open_source(tmp_path / "in.csv")


def test_parts_of_several_dialects_are_one_source(tmp_path: Path, sim: Simulator, enrich: Callable[..., Any]) -> None:
    """Each file is read as it is written, and the same rows are paid once."""
    frame = pd.DataFrame(ROWS)
    (tmp_path / "in").mkdir()
    for number, (mark, encoding) in enumerate([(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16")]):
        frame.to_csv(tmp_path / "in" / f"{number}.csv", sep=mark, encoding=encoding, index=False)
    done = enrich(tmp_path / "in", tmp_path / "out.parquet")
    assert (done.rows, sim.counts.runs) == (9, 3)
