"""What changed between two enrichments: which row is which, which values are the same, and what a person sees."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError, UnknownColumnError
from parallel_frames.simulator import Answer, Failure

SCHEMA = {
    "ceo": "full name",
    "staff": int | None,
    "share": float,
    "since": dt.date,
    "listed": bool,
    "products": list[str],
}
QUIET = {"progress": False, "basis": "columns"}
DF = pd.DataFrame({"company": ["Acme", "Globex", "Hooli", "Globex"]}, index=list("abcd"))
HOSTILE = "<script>alert(1)</script>"


def content(**changes):
    """Return an answer with these values."""
    return {"ceo": "Ann", "staff": 7, "share": 0.5, "since": "1949-01-02", "listed": True, "products": ["x"], **changes}


def sure(level, url, **changes):
    """Return an answer with evidence for its first field."""
    return Answer(content(**changes), basis={"ceo": {"confidence": level, "citations": [{"url": url, "title": "t"}]}})


OLD = {
    "Acme": content(),
    "Globex": sure("high", "https://old.example", ceo=HOSTILE, staff=None),
    "Hooli": content(products=["a", "b"]),
}
NEW = {
    "Acme": content(),
    "Globex": sure("low", "https://new.example", ceo="Bo", staff=9, products=["x", "y"]),
    "Hooli": Failure("no such company"),
    "Initech": content(),
}


def enriched(answers, df=DF, **options):
    """Return rows with these answers."""
    with pf.offline(answers, latency=0):
        return df.parallel.enrich(SCHEMA, **{**QUIET, **options})


@pytest.fixture(scope="module")
def old():
    """Enrich the rows as they were."""
    return enriched(OLD, checkpoint=None)


@pytest.fixture(scope="module")
def new():
    """Enrich them again: in another order, under other labels, with one more, one less and another dtype family."""
    rows = pd.DataFrame({"extra": range(4), "company": ["Initech", "Globex", "Hooli", "Globex"]})
    return enriched(NEW, rows, inputs=["company"], checkpoint=None, dtype_backend="pyarrow", processor="pro")


def changes_of(found):
    """Return what changed, without evidence."""
    return found.frame[["name", "field", "change", "before", "after"]].to_numpy().tolist()


GLOBEX = [
    ["Globex", "ceo", "changed", HOSTILE, "Bo"],
    ["Globex", "staff", "new", None, 9],
    ["Globex", "products", "changed", ["x"], ["x", "y"]],
]


def test_rows_are_matched_by_what_they_sent(old, new):
    """Whatever their order, index, processor and dtypes; equal rows in their order; both sides with their evidence."""
    found = pf.diff(old, new)
    assert found.rows == {"compared": 3, "changed": 3, "came": 1, "went": 1}
    assert found.came["company"].tolist() == ["Initech"]
    assert found.went["company"].tolist() == ["Acme"]
    changes = changes_of(found)
    assert changes[:3] == changes[-3:] == GLOBEX
    assert [change[1:3] for change in changes[3:9]] == [[field, "lost"] for field in SCHEMA]
    first = found.frame.iloc[0]
    assert first[["confidence_before", "confidence_after", "row_before", "row_after"]].tolist() == ["high", "low", 1, 1]
    assert (first["sources_before"], first["sources_after"]) == (["https://old.example"], ["https://new.example"])
    assert found.frame.index.tolist() == [1] * 3 + [2] * 6 + [3] * 3
    assert found.counts.loc["ceo"].to_dict() == {"changed": 2, "new": 0, "lost": 1, "same": 0}
    assert found.counts.loc["share"].to_dict() == {"changed": 0, "new": 0, "lost": 1, "same": 2}
    assert found.to_dict()["came"] == ["Initech"]
    assert len(pf.diff(old, old)) == 0


@pytest.mark.parametrize("to_csv", ["pandas", "program"])
def test_files_are_compared_as_a_person_reads_them(to_csv, old, new, tmp_path):
    """Numbers, dates, truth values and lists are what the texts of a CSV file say; on= says which row is which."""
    rows = old.drop_duplicates("company").reset_index(drop=True)
    rows.to_parquet(tmp_path / "old.parquet")
    if to_csv == "pandas":
        rows.to_csv(tmp_path / "same.csv", index=False)
    else:
        from parallel_frames._cli._frames import write_frame

        write_frame(rows, str(tmp_path / "same.csv"))
    same = pf.diff(tmp_path / "old.parquet", tmp_path / "same.csv", on="company")
    assert same.rows == {"compared": 3, "changed": 0, "came": 0, "went": 0}
    assert same.counts.index.tolist() == list(SCHEMA)
    found = pf.diff(str(tmp_path / "same.csv"), new.drop_duplicates("company"), on=["company"])
    assert changes_of(found)[:2] == GLOBEX[:2]
    assert found.frame["confidence_before"].iloc[0] == "high"
    plain = pd.read_csv(tmp_path / "same.csv").rename(columns=lambda name: name.replace("parallel_", "ceo_"))
    assert "ceo_error" in plain
    assert pf.diff(plain, plain, on="company").counts.index.tolist() == list(SCHEMA)
    assert changes_of(pf.diff(old, tmp_path / "old.parquet"))[:1] == []
    earlier = old.copy()  # as an earlier version wrote its attrs
    for name in ("selection", "types"):
        del earlier.attrs["parallel"]["enrichments"][0][name]
    assert pf.diff(earlier, earlier).counts["same"].to_dict() == dict.fromkeys(SCHEMA, 4)
    named = pf.diff(
        rows.set_index("company").set_axis(["A", "B", "C"]), rows.set_axis(["B", "A", "D"]).assign(company="")
    )
    assert named.rows["compared"] == 2


@dataclass
class Person:
    """An element."""

    name: str
    born: int | None


def test_lists_and_objects_are_the_same_in_each_file_and_of_each_dtype(tmp_path):
    """Apostrophes, nulls and large numbers: from pandas' CSV, the program's, and a file of Arrow's dtypes."""
    from parallel_frames._cli._frames import read_frame, write_frame

    answer = {
        "ceo": {"name": "O'Brien", "born": None},
        "names": ["O'Brien"],
        "sizes": [2**60 + 1, None],
        "flags": [True],
    }
    schema = {"ceo": Person, "names": list[str], "sizes": list[int | None], "flags": list[bool]}
    with pf.offline({"Acme": answer}, latency=0):
        rows = pd.DataFrame({"company": ["Acme"]}).parallel.enrich(schema, checkpoint=None, progress=False)
        arrow = rows[["company"]].parallel.enrich(schema, checkpoint=None, progress=False, dtype_backend="pyarrow")
    rows.to_csv(tmp_path / "pandas.csv", index=False)
    write_frame(rows, str(tmp_path / "program.csv"))
    arrow.to_parquet(tmp_path / "arrow.parquet")
    for after in (tmp_path / "pandas.csv", tmp_path / "program.csv", tmp_path / "arrow.parquet", arrow):
        assert pf.diff(rows, after, on="company").counts["same"].tolist() == [1, 1, 1, 1]
    assert len(pf.diff(rows, read_frame(str(tmp_path / "arrow.parquet")), on="company")) == 0
    rows["sizes"] = [[2**60, None]]
    assert pf.diff(rows, tmp_path / "arrow.parquet", on="company").counts["changed"].tolist() == [0, 0, 1, 0]
    assert arrow.parallel.explode("sizes")["sizes"].tolist()[0] == 2**60 + 1
    with pytest.raises(InputError, match=r"other columns that identify .* a number is not its text"):
        pf.diff(rows.assign(company=1), rows.assign(company="1"), on="company")


def test_a_row_is_not_known_by_an_answer_that_was_sent_again():
    """The second of two enrichments sent what the first one answered, which changed."""

    def chain(ceo):
        with pf.offline(lambda sent: {"age": 40} if "ceo" in sent else {"ceo": ceo}, latency=0):
            out = DF.parallel.enrich({"ceo": str}, checkpoint=None, progress=False)
            return out.parallel.enrich({"age": int}, inputs=["company", "ceo"], checkpoint=None, progress=False)

    found = pf.diff(chain("Ann"), chain("Bo"))
    assert found.rows == {"compared": 4, "changed": 4, "came": 0, "went": 0}


def test_dates_and_numbers_that_name_rows_are_read_as_in_cells():
    """A day has no midnight, and a float no more digits than it holds, in the name of a row as in its cells."""
    df = pd.DataFrame({"revenue": [202168.09397548463], "day": pd.to_datetime(["2021-01-01"])})
    old, new = enriched(lambda _: content(), df=df), enriched(lambda _: content(), df=df)
    new["staff"] = 8
    assert "  202168.093975485, 2021-01-01 · staff: 7 (medium) → 8 (medium)" in repr(pf.diff(old, new))
    by_day = [frame.set_index("day")[["staff"]] for frame in (old, new)]
    assert "  2021-01-01 · staff: 7 → 8" in repr(pf.diff(*by_day))


def test_checkpoints_are_compared_with_frames_and_with_what_they_held_before(tmp_path):
    """One that was refreshed knows both answers of what was asked again; a frame names its rows."""
    rounds = [OLD, NEW]
    with pf.offline(lambda sent: rounds[0][sent["company"]], latency=0):
        before = DF.parallel.enrich(SCHEMA, checkpoint=tmp_path / "c", **QUIET)
        rounds.pop(0)
        DF.parallel.enrich(SCHEMA, checkpoint=tmp_path / "c", refresh=True, **QUIET)
    alone = pf.diff(tmp_path / "c")
    assert alone.rows == {"compared": 2, "changed": 1, "came": 0, "went": 0}  # the third failed, and keeps its answer
    assert [change[1:] for change in changes_of(alone)] == [change[1:] for change in GLOBEX]
    assert alone.frame["name"].unique().tolist() == ["row 1"]
    assert alone.frame["sources_after"].iloc[0] == ["https://new.example"]
    with_frame = pf.diff(before, pf.Checkpoint(tmp_path / "c"))
    assert changes_of(with_frame) == GLOBEX
    assert with_frame.rows["compared"] == 3
    assert len(pf.diff(tmp_path / "c", tmp_path / "c")) == 0
    enriched(NEW, checkpoint=tmp_path / "d", processor="pro")
    with pytest.raises(InputError, match="different questions"):
        pf.diff(tmp_path / "c", tmp_path / "d")
    enriched(NEW, checkpoint=tmp_path / "c2", processor="pro")
    enriched(NEW, checkpoint=tmp_path / "c2", on_mismatch="new", processor="core")
    with pytest.raises(InputError, match="holds 2 jobs"):
        pf.diff(tmp_path / "c2")
    with pytest.raises(InputError, match="knows no columns"):
        pf.diff(before, tmp_path / "c", on="company")


def test_frames_of_other_libraries_are_compared_as_those_of_pandas(old, new):
    """A table is one side or both; what is no frame is named with its library and with what to pass."""
    distinct = old.iloc[:3], new.iloc[:3]
    tables = [pa.table(frame) for frame in distinct]
    frame = pf.diff(*distinct, on="company").frame
    for sides in (tables, [tables[0], distinct[1]], [distinct[0], tables[1]]):
        found = pf.diff(*sides, on="company")
        assert found.frame["before"].map(str).tolist() == frame["before"].map(str).tolist()
    assert pf.report(tables[1]).counts == pf.report(distinct[1]).counts
    with pytest.raises(InputError, match=r"`before` is a pandas\.Series: pass an enriched frame"):
        pf.diff(old["ceo"], new)


def test_what_is_ambiguous_is_refused(old, new, tmp_path):
    """Two rows of one name, an index that only counts, columns and files that are not there, nothing in common."""
    lost = pd.DataFrame(new.to_dict("list"))
    torn = old.assign(ceo=["Ann", "Bo", "Ann", "Cy"])
    with pytest.raises(
        InputError, match=r"`on='company'` is the same in the rows 1 and 3 of before \(Globex\), and ceo"
    ):
        pf.diff(torn, new, on="company")
    with pytest.raises(InputError, match=r"not known.*Pass `on=...`"):
        pf.diff(old.reset_index(drop=True), lost)
    with pytest.raises(InputError, match="the index is the same in the rows 0 and 1 of before"):
        pf.diff(lost.set_axis(list("xxyz")), lost.set_axis(list("wxyz")))
    with pytest.raises(UnknownColumnError, match="company"):
        pf.diff(old, new, on="companies")
    with pytest.raises(InputError, match="No row of before is in after"):
        pf.diff(old.iloc[:1], new)
    with pytest.raises(InputError, match="no answers to the same field"):
        pf.diff(old, old.rename(columns={name: f"{name}_2" for name in SCHEMA}))
    with pytest.raises(InputError, match="has no value in `on='company'`"):
        pf.diff(old.assign(company=None), new, on="company")
    with pytest.raises(InputError, match="`after` is missing"):
        pf.diff(old)
    with pytest.raises(InputError, match="`after` is an int"):
        pf.diff(old, 7)
    with pytest.raises(InputError, match=r"nothing\.parquet"):
        pf.diff(old, tmp_path / "nothing.parquet")


def test_equal_rows_with_equal_answers_are_no_doubt(old, new, tmp_path):
    """In frames and files, by columns or by the index: their changes are one line, and one more of them came."""
    by_rows = pf.diff(old, new, on="company")
    assert "  Globex × 2 rows · ceo: " in repr(by_rows)
    old.to_csv(tmp_path / "old.csv", index=False)
    pd.concat([new, new.iloc[[1]]]).to_csv(tmp_path / "new.csv", index=False)
    found = pf.diff(tmp_path / "old.csv", tmp_path / "new.csv", on="company")
    assert found.counts.loc["ceo"].tolist() == by_rows.counts.loc["ceo"].tolist()
    assert found.rows["came"] == by_rows.rows["came"] + 1
    named = [
        frame.reset_index(drop=True).set_axis(frame["company"]) for frame in (old, pd.DataFrame(new.to_dict("list")))
    ]
    assert pf.diff(*named).counts.loc["ceo"].tolist() == by_rows.counts.loc["ceo"].tolist()


def test_a_person_sees_both_values(old, new, tmp_path):
    """As text, in a notebook and on a page: escaped, with confidence, filters by field, and what came and went."""
    found = pf.diff(old, new)
    assert repr(found).splitlines()[0] == "3 of 3 rows changed · SIMULATED"
    assert "  Globex × 2 rows · staff: – (" in repr(found)  # equal rows with the same change are one line
    assert "before → after · 1 row came · 1 went" in found._repr_html_()
    page = found.to_html(tmp_path / "diff.html", title="November").read_text(encoding="utf-8")
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 1
    assert '<span class="pf-muted">× 2 rows</span>' in page
    assert '<th scope="col">company</th>' in page
    assert '<span class="pf-tag pf-low">low</span>' in page
    assert '<a href="https://new.example"' in page
    assert "1 row came" in page
    assert ">ceo 3</label>" in page
    assert "<h2>Changes</h2>" not in pf.diff(old, old).to_html(tmp_path / "same.html").read_text(encoding="utf-8")
    many = pd.DataFrame({"id": range(1500), "value": range(1500)})
    wide = pf.diff(many, many.assign(value=-1), on="id")
    assert "and 1,480 more changes, in .frame" in repr(wide)
    assert "the first 1,000 of 1,500" in wide.to_html(tmp_path / "many.html").read_text(encoding="utf-8")
