"""Reports and plans: the numbers, the words, and HTML that is safe to show whatever an answer holds."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames._ui._html import BOTTOM, LEFT, RIGHT, render, timeline_values
from parallel_frames._ui._sections import make_timeline
from parallel_frames._ui._values import cell_text, text_width, web_address
from parallel_frames.errors import CostError, InputError
from parallel_frames.simulator import Answer, Failure

HOSTILE = '<script>alert("x")</script>'
SCHEMA = {"founded": (int | None, "year"), "sector": str}
QUIET = {"progress": False, "checkpoint": None}


def answer(sent):
    """Answer, fail or break the schema, by the number in the name."""
    n = int(sent["company"].split()[1])
    if n % 10 == 7:
        return Failure(f"no company {n}")
    page = {
        "url": "javascript:alert(1)" if n == 1 else f"https://example.com/{n}",
        "title": HOSTILE,
        "excerpts": [HOSTILE],
    }
    content = {"founded": "x" if n % 10 == 3 else None if n == 5 else 1900 + n, "sector": f"{HOSTILE} {n}"}
    return Answer(content, basis={"sector": {"confidence": "low", "citations": [page]}, "founded": "high"})


@pytest.fixture(scope="module")
def out():
    """Forty enriched rows: 4 failed, 4 invalid, 1 answered with null."""
    df = pd.DataFrame({"company": [f"Company {n}" for n in range(40)]})
    with pf.offline(answer, latency=(1, 20), speed=100):
        frame = df.parallel.enrich(SCHEMA, basis="columns", **QUIET)
        frame.attrs["run"] = None
        report = pf.last().report()
        card = pf.last()._repr_html_()
    del frame.attrs["run"]
    return frame, report, card


class Page(HTMLParser):
    """Reads a page and notes its tags, links and scripts; complains over tags that do not close."""

    VOID = frozenset({"meta", "br", "line", "polyline", "i", "input"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.loads, self.open = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.links += [values["href"]] if tag == "a" else []
        self.loads += [values[name] for name in ("src", "srcset", "data") if name in values] + (
            ["link"] if tag == "link" else []
        )
        if tag not in self.VOID or tag == "i":
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_a_report_counts(out):
    """Rows by status, failures by cause, answers by field: as the frame has them."""
    _, report, _ = out
    assert report.counts == {"completed": 32, "invalid": 4, "failed": 4}
    assert report.failures["rows"].tolist() == [4, 4]
    assert set(report.failures["cause"]) == {"founded: expected a whole number, got “…”", "no company #"}
    assert report.failures["label"].tolist() in (["3", "7"], ["7", "3"])
    assert report.missing == {"founded": 5, "sector": 0}
    assert report.confidence.loc["sector"].tolist() == [36, 0, 0, 0]
    assert report.confidence.loc["founded"].tolist() == [0, 0, 32, 4]
    assert report.cost == pytest.approx(0.36)


def test_a_cause_keeps_the_numbers_that_all_its_messages_have():
    """Only what differs from row to row is left out: 64-bit is a part of what went wrong."""
    df = pd.DataFrame({"company": ["A", "B"]})
    with pf.offline(lambda sent: Failure(f"{len(sent['company']) + ord(sent['company'])} exceeds C# 64-bit range")):
        out = df.parallel.enrich({"n": int}, progress=False)
    assert out.parallel.report().failures["cause"].tolist() == ["# exceeds C# 64-bit range"]


def test_the_frame_reports_by_itself(out):
    """Without the handle, filtered and without attrs, a frame still has statuses, missing values and confidence."""
    frame, report, _ = out
    alone = frame.parallel.report()
    assert (alone.counts, alone.missing, alone.cost) == (report.counts, report.missing, None)
    bare = frame.copy()
    bare.attrs.clear()
    assert bare.parallel.report().counts == report.counts
    assert bare.parallel.report().confidence.loc["sector"].tolist() == [36, 0, 0, 0]
    assert frame[frame["founded"] > 1930].parallel.report().counts == {"completed": 7}


def test_two_enrichments_are_two_sections(out):
    """Each status column is one enrichment, with what the attrs say of it."""
    frame, _, _ = out
    with pf.offline(lambda _: {"ceo": "x"}, latency=0):
        both = frame.parallel.enrich({"ceo": str}, prefix="b_", processor="pro", **QUIET)
        third = both.parallel.enrich({"ceo": str}, prefix="b_", if_exists="suffix", inputs=["company"], **QUIET)
    report = third.parallel.report()
    assert [section.outputs for section in report.sections] == [("founded", "sector"), ("b_ceo",), ("b_ceo_2",)]
    assert [section.attrs["processor"] for section in report.sections] == ["base", "pro", "base"]
    assert report.counts == {"completed": 40}
    assert repr(report).count("completed (") == 3


def test_a_frame_without_enrichment_has_no_report():
    """It is an error that says where a report may be had."""
    with pytest.raises(InputError, match=r"holds nothing of an enrichment.*pf\.last\(\)"):
        pd.DataFrame({"a": [1]}).parallel.report()


def test_the_text_fits_a_screen(out):
    """No line is wider than 100 columns, and the important words are in it."""
    _, report, _ = out
    text = repr(report)
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("32 of 40 rows completed (80%) · SIMULATED")
    for word in ("4 invalid", "4 failed", "no company #", "$0.36", "base", "company"):
        assert word in text


def checkpoint_html(path):
    """Return what a notebook shows of a checkpoint with an outcome."""
    with pf.offline(lambda _: {"n": 1}, latency=0):
        pd.DataFrame({"company": ["a"]}).parallel.enrich({"n": int}, checkpoint=path, progress=False)
    return pf.Checkpoint(path)._repr_html_()


@pytest.mark.parametrize("form", ["report", "frame", "card", "plan", "findings", "checkpoint", "page"])
def test_html_is_whole_and_harmless(out, form, tmp_path):
    """Nothing that came from the web becomes markup, nothing is loaded, and every tag that opens closes."""
    frame, report, card = out
    if form == "page":
        text = report.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    else:
        makers = {
            "report": report._repr_html_,
            "frame": frame.parallel.report()._repr_html_,
            "card": lambda: card,
            "plan": lambda: (
                frame.head(2).parallel.plan({HOSTILE: str, "sources": str}, prefix="p", **QUIET)._repr_html_()
            ),
            "checkpoint": lambda: checkpoint_html(tmp_path / HOSTILE.replace("/", "")),
            "findings": lambda: pf.lint({HOSTILE: str, "sources": str})._repr_html_(),
        }
        text = makers[form]()
    page = Page(text)
    assert "script" not in page.tags
    assert page.loads == []
    assert all(link.startswith(("http://", "https://")) for link in page.links)
    assert not re.search(r"url\(|@import", text)
    if form in ("page", "plan", "checkpoint"):
        assert "&lt;script" in text


def test_the_page_opens_answers(out, tmp_path):
    """Each answer with evidence opens to show confidence, citations and excerpts; the row is labelled."""
    _, report, _ = out
    text = report.to_html(tmp_path / "page.html", title="A <title>").read_text(encoding="utf-8")
    assert text.count("<details>") >= 60
    assert "<title>A &lt;title&gt;</title>" in text
    assert 'href="https://example.com/2"' in text
    assert "javascript:" not in "".join(Page(text).links)
    assert "40 rows; what is to be looked at comes first; an answer opens" in text
    assert "content=\"default-src 'none'" in text
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def rows_of(text):
    """Return of each row of a page its label and what it may be chosen by."""
    return re.findall(
        r'<tr class="pf-row ([^"]*)">\s*<th scope="row"><span class="pf-label" dir="auto">([^<]*)</span>', text
    )


def test_rows_to_be_looked_at_come_first(out, tmp_path):
    """Failed, then invalid, then unsure, each in the order of the frame; each kind can be chosen, without a script."""
    _, report, _ = out
    text = report.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    found = rows_of(text)
    assert [int(label) for _, label in found[:8]] == [7, 17, 27, 37, 3, 13, 23, 33]
    assert [int(label) for _, label in found[8:]] == [n for n in range(40) if n % 10 not in (3, 7)]
    assert found[0][0].split() == ["pf-is-failed"]
    assert found[4][0].split() == ["pf-is-invalid", "pf-is-unsure"]
    for kind, rows in {"failed": 4, "invalid": 4, "unsure": 36, "completed": 32}.items():
        assert f'name="pf-kind" id="pf-only-{kind}"><label for="pf-only-{kind}">{kind} {rows}<' in text
        assert f"#pf-only-{kind}:checked ~ .pf-scroll tbody tr.pf-row:not(.pf-is-{kind})" in text
    assert re.search(r'id="pf-all" checked><label for="pf-all">all 40<', text)


def test_a_page_of_one_kind_has_no_filter(tmp_path):
    """Where every row completed there is nothing to choose."""
    with pf.offline(lambda _: {"n": 1}, latency=0):
        out = pd.DataFrame({"company": ["a", "b"]}).parallel.enrich({"n": int}, **QUIET)
    assert 'name="pf-kind"' not in out.parallel.report().to_html(tmp_path / "p.html").read_text(encoding="utf-8")


def test_what_failed_is_on_the_page_of_a_long_frame(tmp_path):
    """The first thousand rows are those to be looked at, wherever they stand."""
    statuses = ["completed"] * 1500
    statuses[1400] = "failed"
    df = pd.DataFrame({"company": "x", "parallel_status": statuses})
    text = df.parallel.report().to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert rows_of(text)[0] == ("pf-is-failed", "1400")


def test_numbers_stand_below_one_another(out, tmp_path):
    """Columns of numbers are aligned to the right, their heads too; truth values and texts are not."""
    frame, _, _ = out
    df = frame.assign(big=[10**n % 12345 for n in range(40)], yes=True)
    text = df.parallel.report().to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    for name, is_number in {"founded": True, "big": True, "yes": False, "company": False}.items():
        (head,) = re.findall(rf'<th scope="col"([^>]*)>{name}</th>', text.partition("<h2>Rows")[2])
        assert ('class="pf-n"' in head) == is_number


def test_numbers_of_a_report_add_up(out):
    """Rows by status come to the rows, causes to the rows that went wrong, confidences to the answered rows."""
    _, report, _ = out
    text = repr(report)
    (section,) = report.sections
    assert sum(report.counts.values()) == section.facts.rows == 40
    assert report.failures["rows"].sum() == 8
    assert "What went wrong (8 rows)" in text
    assert report.confidence.sum(axis=1).tolist() == [section.answered] * 2 == [36] * 2
    assert "Answers by field: 36 rows with an answer, by confidence; missing are among them" in text
    assert "Unsure: 36 of 36 rows with an answer (low confidence in a field)" in text
    for words in ("What went wrong (8 rows)", "36 rows with an answer, by confidence; missing are among them"):
        assert words in report._repr_html_()


def test_warnings_of_the_service_are_shown(tmp_path):
    """Each warning once, with the number of runs that it is about, in the text and the page; quiet runs show none."""
    df = pd.DataFrame({"company": [f"Company {n}" for n in range(3)]})
    with pf.offline(lambda _: {"sources": ["x"], "n": 1}, latency=0):
        df.parallel.enrich({"sources": (list[str], "pages"), "n": int}, **QUIET)
        report = pf.last().report()
        df.parallel.enrich({"n": int}, **QUIET)
        quiet = pf.last().report()
    message = 'field "sources" is redundant: the basis already carries it'
    assert report.sections[0].warnings == ((message, 3),)
    assert re.search(rf"Warnings of the service \(runs\)\n +3  {message}", repr(report))
    assert "the basis already carries it" in report.to_html(tmp_path / "p.html").read_text(encoding="utf-8")
    assert "Warnings" not in repr(quiet)


def test_a_report_says_what_this_call_cost_and_all(tmp_path):
    """Where earlier calls paid for some of the rows, both are in it."""
    df = pd.DataFrame({"company": ["a", "b", "c"]})
    with pf.offline(lambda _: {"n": 1}, latency=0):
        options = {"checkpoint": tmp_path, "progress": False}
        df.head(1).parallel.enrich({"n": int}, **options)
        assert "$0.01 (prices" in repr(pf.last().report())
        df.parallel.enrich({"n": int}, **options)
        report = pf.last().report()
    assert "$0.02 now, $0.01 before (prices" in repr(report)
    assert report.cost == 0.03


def test_the_page_holds_the_first_thousand_rows(tmp_path):
    """A long frame gives a page that opens, and says what it left out."""
    df = pd.DataFrame({"company": ["x"] * 1500, "parallel_status": ["completed"] * 1500})
    text = df.parallel.report().to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    assert "the first 1,000 of 1,500 rows" in text
    assert text.count("<tr>") < 1100


def test_a_page_that_cannot_be_written_is_an_input_error(out, tmp_path):
    """The message names the path, and nothing is left behind."""
    _, report, _ = out
    with pytest.raises(InputError, match=r"could not be written"):
        report.to_html(".")
    with pytest.raises(InputError, match=r"nowhere.*could not be written"):
        report.to_html(tmp_path / "nowhere" / "page.html")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("columns", [[("company", ""), ("x", "y")], [1, 2]], ids=["multi", "integers"])
def test_odd_columns_report_too(columns, tmp_path):
    """MultiIndex columns and integer labels are shown, and nothing warns."""
    labels = pd.MultiIndex.from_tuples(columns) if isinstance(columns[0], tuple) else columns
    df = pd.DataFrame([["Company 1", 1], ["Company 7", 2]], columns=labels)
    with pf.offline(lambda _: Answer({"n": 1}, basis={"n": "low"}), latency=0):
        out = df.parallel.enrich({"n": int}, basis="columns", **QUIET)
    report = out.parallel.report()
    assert report.counts == {"completed": 2}
    assert ">low<" in report.to_html(tmp_path / "p.html").read_text(encoding="utf-8")


def test_a_frame_of_no_rows_reports():
    """A frame without rows has a report of zero rows."""
    with pf.offline(latency=0):
        out = pd.DataFrame({"company": pd.Series([], dtype=str)}).parallel.enrich({"n": int}, **QUIET)
    assert out.parallel.report().counts == {}
    assert repr(out.parallel.report()).startswith("0 of 0 rows completed")
    assert "0 of 0 rows completed" in pf.last()._repr_html_()


def test_the_plot_has_a_line_for_sent_finished_and_failed(out):
    """On given axes, with the last point at the number of runs."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    frame, report, _ = out
    _, ax = plt.subplots()
    assert report.plot(ax) is ax
    assert [line.get_label() for line in ax.lines] == ["sent", "finished", "failed"]
    assert [line.get_ydata()[-1] for line in ax.lines] == [40, 40, 4]
    assert {(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines} == {(0, 0)}
    assert len({line.get_xdata()[-1] for line in ax.lines}) == 1
    plt.close("all")
    with pytest.raises(InputError, match="not known here"):
        frame.parallel.report().plot()


def test_a_plans_text_and_html_agree(out):
    """The text is compact, the HTML has the first request, and both name what would be sent."""
    frame, _, _ = out
    plan = frame.parallel.plan(SCHEMA, where="failed", processor="hyper", checkpoint=None)
    text, html = repr(plan), plan._repr_html_()
    assert text.startswith("40 rows → 4 runs · price not known")
    for word in ("hyper", "4 of them chosen", "company"):
        assert word in text
        assert word in html
    assert "POST /v1/tasks/groups/{taskgroup_id}/runs" in html


@pytest.mark.parametrize(
    ("value", "link"),
    [
        ("https://a.example/x", True), ("http://a.example", True), (" https://a.example ", True),
        ("javascript:alert(1)", False), ("data:text/html,x", False), ("//a.example", False), ("https:", False),
        ("https://[bad", False), (None, False), (3, False), ("", False),
    ],
)  # fmt: skip
def test_only_addresses_of_the_web_become_links(value, link):
    """What a browser would run, or what is not an address, stays text."""
    assert (web_address(value) is not None) == link


def test_a_template_that_lacks_a_value_is_an_error():
    """A missing value fails in the tests instead of leaving a blank in a notebook."""
    import jinja2

    with pytest.raises(jinja2.UndefinedError):
        render("plan.html")


def test_what_is_not_known_is_not_counted(out):
    """Without attrs the fields are those with evidence; where their columns are gone there is a dash and no nought."""
    frame, report, _ = out
    bare = frame.copy()
    bare.attrs.clear()
    assert bare.parallel.report().missing == report.missing
    gone = bare.drop(columns=["founded", "sector"]).parallel.report()
    assert gone.missing == {}
    assert re.search(r"^  founded .* –$", repr(gone), re.MULTILINE)
    cell = '<td class="pf-n">{}</td>'
    line = '<th scope="row">founded</th>' + f"({cell.format('[0-9]+')}){{4}}" + cell.format("–")
    assert re.search(line, gone._repr_html_())


def test_each_enrichment_has_its_own_fields_without_attrs():
    """A status column's prefix and number are those of its fields."""
    df = pd.DataFrame({"company": ["Company 1", "Company 2"]})
    with pf.offline(lambda _: Answer({"n": 1}, basis={"n": "low"}), latency=0):
        once = df.parallel.enrich({"n": int}, basis="columns", **QUIET)
        both = once.parallel.enrich({"n": int}, basis="columns", prefix="b_", **QUIET)
        third = both.parallel.enrich({"n": int}, basis="columns", if_exists="suffix", inputs=["company"], **QUIET)
    third.attrs.clear()
    assert [list(section.missing) for section in third.parallel.report().sections] == [["n"], ["b_n"], ["n_2"]]


def test_a_column_called_none_is_no_status():
    """An enrichment without status columns names none, and a column of that name is not taken for one."""
    df = pd.DataFrame({"company": ["Acme"], "None": ["x"]})
    with pf.offline(latency=0):
        out = df.parallel.enrich({"founded": int}, status=False, inputs=["company"], checkpoint=None)
    assert [section.status for section in out.parallel.report().sections] == [None]


def test_the_report_of_a_handle_counts_the_rows_it_asked():
    """With where= the report counts as the handle does, and names the rows that were not asked."""
    df = pd.DataFrame({"company": [f"Company {n}" for n in range(6)]})
    with pf.offline(answer, latency=0):
        df.parallel.enrich(SCHEMA, where=[True, True, False, False, False, False], **QUIET)
        run = pf.last()
        assert run.report().counts == run.status() == {"completed": 2}
    assert "2 of 2 rows completed" in repr(run.report())
    assert re.search("not asked +4 rows", repr(run.report()))


def test_a_timeline_goes_in_steps():
    """A single failure late is a step up late, and every line reaches from the first moment to the last."""
    second = "2026-11-20T12:00:{:02}Z".format
    times = [(second(0), second(10), "completed"), (second(1), second(8), "failed")]
    lines = {line["name"]: line["points"].split() for line in timeline_values(make_timeline(times))["lines"]}
    start, corner, top, *_, end = ([float(part) for part in point.split(",")] for point in lines["failed"])
    assert start[1] == corner[1]
    assert corner[0] == top[0] > start[0]
    assert top[1] == end[1] < corner[1]
    assert {points[0] for points in lines.values()} == {f"{LEFT},{BOTTOM}"}
    assert {points[-1].split(",")[0] for points in lines.values()} == {f"{RIGHT}"}


def test_two_columns_of_one_status_are_named():
    """A frame joined to itself has two status columns of one name: the message names them and says how to keep one."""
    with pf.offline(lambda _: {"n": 1}, latency=0):
        out = pd.DataFrame({"company": ["a"]}).parallel.enrich({"n": int}, **QUIET)
    twice = pd.concat([out, out], axis=1)
    with pytest.raises(InputError, match=r"2 columns named 'parallel_status'.*duplicated"):
        twice.parallel.report()
    assert twice.loc[:, ~twice.columns.duplicated()].parallel.report().counts == {"completed": 1}


def test_a_users_column_that_only_sounds_like_evidence_is_shown(tmp_path):
    """Only a name that ends as evidence ends is shown behind other columns."""
    df = pd.DataFrame({"company": ["a"], "my parallel_basis notes": ["keep me"]})
    with pf.offline(lambda _: {"n": 1}, latency=0):
        out = df.parallel.enrich({"n": int}, inputs=["company"], basis="columns", **QUIET)
    assert "keep me" in out.parallel.report().to_html(tmp_path / "page.html").read_text(encoding="utf-8")


def test_an_amount_reads_the_same_everywhere(capsys):
    """Three runs of half a cent are $0.015 in the plan, the announcement, at the end, in the report and in an error."""
    df = pd.DataFrame({"company": ["a", "b", "c"]})
    options = {"processor": "lite", "checkpoint": None}
    with pf.offline(lambda _: {"n": 1}, latency=0):
        plan = df.parallel.plan({"n": int}, **options)
        with pytest.raises(CostError) as caught:
            df.parallel.enrich({"n": int}, max_cost=0.01, **options)
        df.parallel.enrich({"n": int}, max_cost=caught.value.cost, **options)
        run = pf.last()
    announcement, *_, end = capsys.readouterr().err.splitlines()[-3:]
    texts = [announcement, end, str(caught.value)]
    for shown in (plan, run.report()):
        texts += [repr(shown), shown._repr_html_()]
    assert [set(re.findall(r"\$[\d.]+\d", text)) - {"$0.005"} for text in texts] == [{"$0.015"}] * len(texts)
    assert plan.cost == run.cost == run.report().cost == caught.value.cost == 0.015


def test_a_reasoning_without_a_source_is_shown(tmp_path):
    """An answer that cites nothing may still say why."""
    basis = [{"field": "capital", "reasoning": "No page states it.", "confidence": "low", "citations": []}]
    of_columns = {"capital_confidence": ["low"], "capital_reasoning": ["No page states it."], "capital_citations": [[]]}
    for evidence in ({"parallel_basis": [basis]}, of_columns):
        df = pd.DataFrame({"capital": ["Sucre"], **evidence, "parallel_status": ["completed"]})
        assert "No page states it." in df.parallel.report().to_html(tmp_path / "p.html").read_text(encoding="utf-8")


NESTED = {
    "seat": {"street": "Main St 1", "geo": {"lat": 48.1, "lon": None}},
    "people": [{"name": "Ann", "since": 2001}, {"name": "Bo", "since": None}],
    "products": ["anvils", "ropes"],
    "motto": ["Well, well", "x"],
    "none": [],
    "share": 11111111.019000001,
    "day": pd.Timestamp("1949-05-31"),
}


def test_a_value_reads_as_a_person_writes_it():
    """Lists, objects and floats on one line, whatever pandas, numpy, Arrow or CSV made of them."""
    assert cell_text(NESTED) == (
        "seat: {street: Main St 1, geo: {lat: 48.1, lon: –}}, people: [{name: Ann, since: 2001}, {name: Bo, since: –}]"
        ", products: [anvils, ropes], motto: [Well, well, x], none: [], share: 11111111.019, day: 1949-05-31"
    )
    people = NESTED["people"]
    assert {cell_text(cell) for cell in (people, np.array(people), tuple(people), json.dumps(people))} == {
        "{name: Ann, since: 2001}, {name: Bo, since: –}"
    }
    for text in ("[draft] see {x}", "{not json}", "[1, ", "“{}”", pd.NA, None, float("nan"), pd.NaT):
        assert cell_text(text) == (text if isinstance(text, str) else "–")
    assert text_width("トヨタ e\u0301") == 8


def test_objects_and_lists_are_tables_and_lists(tmp_path):
    """Small ones are seen as they are, large ones open; nowhere is there a dict of Python's."""
    df = pd.DataFrame({**{name: [value] for name, value in NESTED.items()}, "parallel_status": "completed"})
    df["large"] = [[{"name": f"<{n}>", "role": "x" * 60} for n in range(40)]]
    df["page"] = "https://www.example.com/" + "path/" * 20
    text = df.parallel.report().to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    Page(text)
    assert not re.search(r"\{(&#39;|'|&#34;)", text)
    for part in (
        '<th scope="row">street</th><td><span class="pf-text" dir="auto">Main St 1</span>',
        '<th scope="row">lat</th>',
        '<th scope="col">name</th><th scope="col">since</th>',
        ">anvils, ropes</span>",
        '<ul class="pf-list"><li><span class="pf-text" dir="auto">Well, well</span>',
        ">11111111.019</span>",
        "&lt;39&gt;",
        f'<a href="{df["page"].iloc[0]}"',
        "…path/path/path/</a>",
    ):
        assert part in text


def test_what_became_of_a_row_is_next_to_its_label(tmp_path):
    """Under the name of the index, however many columns follow; a page of many has fewer rows."""
    index = pd.MultiIndex.from_tuples([(f"c{n}", n % 3) for n in range(600)], names=["id", None])
    df = pd.DataFrame({f"column {n}": "x" for n in range(60)}, index=index)
    df["parallel_status"] = ["failed", *["completed"] * 598, "odd"]
    df["parallel_error"] = ["no such company", *[None] * 599]
    report = df.parallel.report()
    text = report.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    heads = re.findall(r'<th scope="col"[^>]*>(.*?)</th>', text.partition("<h2>Rows")[2])
    assert heads[:3] == ["id / level_1", "<div>parallel_status</div><div>parallel_error</div>", "column 0"]
    assert len(heads) == 62
    assert "parallel_error" not in "".join(heads[2:])
    first = text.partition('<tr class="pf-row')[2].partition("</tr>")[0]
    assert first.index("c0 / 0") < first.index("no such company") < first.index(">x<")
    assert "the first 322 of 600 rows" in text
    assert "(id / level_1 c0 / 0)" in repr(report)
    assert "for example: id / level_1" in report._repr_html_()
    assert '<td data-name="column 0">' in first  # what a row is printed as
    same = pd.concat([df.head(1)] * 3).parallel.report()
    assert same.sections[0].failures[0].examples == (("c0 / 0", "no such company"),)
