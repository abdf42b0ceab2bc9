"""What comes with answers: evidence of elements, warnings, calls of tools, as in the vendor's published samples."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames._checkpoint import place_of
from parallel_frames._job._stored import report_of_job
from parallel_frames.errors import InputError
from parallel_frames.simulator import Answer

SAMPLES = json.loads((Path(__file__).parents[1] / "samples" / "outputs.json").read_text(encoding="utf-8"))
EXECUTIVES = SAMPLES["elements"]["output"]
PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "title": {"type": "string"}}}
SCHEMA = {
    "type": "object",
    "properties": {"company": {"type": "string"}, "key_executives": {"type": "array", "items": PERSON}},
}
BY_ELEMENT = {"beta_headers": ["field-basis-2025-11-25"]}
QUIET = {"progress": False}
DF = pd.DataFrame({"company": ["OpenAI", "Acme", "OpenAI"]}, index=["x", "y", "x"])


def sample(name, *, output_as=dict):
    """Return a published output as the simulator's answer."""
    run, output = SAMPLES[name]["run"], SAMPLES[name]["output"]
    content = output["content"] if output_as is dict else output["content"]["output"]
    return Answer(content, output["basis"], run["warnings"] or (), output.get("mcp_tool_calls", ()))


def executives(sent):
    """Answer as published; of the second row's second executive with less confidence than of the list."""
    basis = [dict(entry) for entry in EXECUTIVES["basis"]]
    if sent["firm"] == "Acme":
        basis[3]["confidence"] = "low"
    return Answer({**EXECUTIVES["content"], "company": sent["firm"]}, basis)


@pytest.mark.parametrize("basis", ["columns", "struct"])
def test_an_element_that_is_less_sure_than_its_field_counts(basis, tmp_path):
    """The frame, a file of it, the mask, the report and its page take the list for as sure as its weakest element."""
    options = {"basis": basis, "options": BY_ELEMENT, **QUIET}
    rows, files = DF.rename(columns={"company": "firm"}), (tmp_path / "in.parquet", tmp_path / "out.parquet")
    rows.to_parquet(files[0])
    with pf.offline(executives, latency=0):
        out = rows.parallel.enrich(SCHEMA, **options)
        pf.enrich_parquet(*files, SCHEMA, **options)
        stored = report_of_job(place_of(pf.last().checkpoint))
    for frame in (out, pd.read_parquet(files[1], dtype_backend="pyarrow")):
        levels = frame.parallel.confidence()
        assert levels["key_executives"].astype(object).tolist() == ["high", "low", "high"]
        assert levels["company"].astype(object).tolist() == ["high"] * 3
        assert frame.parallel.low_confidence().tolist() == [False, True, False]
        report = frame.parallel.report()
        assert report.confidence.loc["key_executives", ["low", "high"]].tolist() == [1, 2]
        assert "Unsure: 1 of 3 rows" in repr(report)
        page = report.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
        assert page.index("Acme") < page.index("OpenAI")  # what is unsure comes first
        assert ('<code>[0]</code> <span class="pf-tag pf-high">' in page) is (basis == "struct")
        assert ('<code>[1]</code> <span class="pf-tag pf-low">' in page) is (basis == "struct")
    assert stored.confidence.loc["key_executives", ["low", "high"]].tolist() == [1, 1]
    with pf.offline(executives, latency=0) as sim:
        out.parallel.enrich(SCHEMA, where=pf.low_confidence, if_exists="overwrite", processor="pro", **options)
    assert sim.counts.runs == 1


@pytest.mark.parametrize("schema", [{"output": "what is new"}, "what is new"], ids=["json", "text"])
@pytest.mark.parametrize("checkpoint", ["auto", None])
def test_warnings_and_tool_calls_are_counted_and_can_be_read(schema, checkpoint, tmp_path):
    """Of JSON and of texts, with a checkpoint or in this process, after Parquet and for the rows that are left."""
    kind = str if isinstance(schema, str) else dict
    answers = {"OpenAI": sample("tool_call", output_as=kind), "Acme": sample("warning", output_as=kind)}
    with pf.offline(answers, latency=0):
        out = DF.parallel.enrich(schema, basis="columns", checkpoint=checkpoint, **QUIET)
        out.to_parquet(tmp_path / "out.parquet")
        found, calls = out.parallel.warnings(), out.parallel.tool_calls()
        part = pd.read_parquet(tmp_path / "out.parquet").iloc[1:]
        assert part.parallel.warnings()["row"].tolist() == [0]
        report = pf.last().report()
    assert out["output_confidence"].tolist() == ["medium"] * 3
    assert len(out.parallel.citations()) == 3
    assert found.index.tolist() == ["y"]
    assert found.iloc[0]["message"].startswith("Error listing tools from MCP server dummy_mcp_server: 502 Bad gateway")
    assert found[["row", "kind"]].to_numpy().tolist() == [[1, "warning"]]
    assert found["detail"].isna().all()
    assert calls[["row", "server", "tool"]].to_numpy().tolist() == [
        [row, "parallel_web_search", "web_search"] for row in (0, 2)
    ]
    assert json.loads(calls.iloc[0]["arguments"])["search_queries"]
    assert calls["error"].isna().all()
    assert "1  Error listing tools" in repr(report)
    assert "1 of parallel_web_search.web_search" in repr(report)


def test_a_tool_call_that_failed_is_a_warning(tmp_path):
    """Its message names the tool; a run with both has a line for each; a file's rows have theirs."""
    call = {"server_name": "crm", "tool_name": "find", "arguments": '{"id":1}', "content": "", "error": "no access"}
    answer = Answer(
        {"ceo": "A"}, warnings=[{"type": "spec", "message": "old", "detail": {"a": 1}}], mcp_tool_calls=[call]
    )
    with pf.offline(lambda _: answer, latency=0):
        found = DF.parallel.enrich({"ceo": str}, dedupe=False, **QUIET).parallel.warnings()
        DF.to_csv(tmp_path / "in.csv", index=False)
        pf.enrich_parquet(tmp_path / "in.csv", tmp_path / "out.parquet", {"ceo": str}, inputs="{company}!", **QUIET)
        written = pd.read_parquet(tmp_path / "out.parquet").parallel.warnings()
    assert written["row"].tolist() == [0, 0, 1, 1, 2, 2]
    assert written["run_id"].nunique() == 2
    assert found["row"].tolist() == [0, 0, 1, 1, 2, 2]
    assert found["kind"].tolist()[:2] == ["spec", "tool_call"]
    assert found["message"].tolist()[:2] == ["old", "crm.find failed: no access"]
    assert found["detail"].tolist()[:2] == ['{"a":1}', '{"id":1}']
    assert found["run_id"].nunique() == 3


def test_warnings_that_cannot_be_known_are_refused_with_the_reason(tmp_path):
    """Lost attrs, lost columns, a checkpoint that is gone, or none: each has its own way out."""
    with pf.offline(lambda _: {"ceo": "A"}, latency=0):
        out = DF.parallel.enrich({"ceo": str}, checkpoint=tmp_path / "there", **QUIET)
        memory = DF.parallel.enrich({"ceo": str}, checkpoint=None, **QUIET)
        DF.parallel.enrich({"cto": str}, **QUIET)
    with pytest.raises(InputError, match="concat, merge and CSV lose"):
        pd.DataFrame(out.to_dict("list")).parallel.warnings()
    with pytest.raises(InputError, match="lost a column"):
        out.drop(columns="company").parallel.warnings()
    with pytest.raises(InputError, match="without a checkpoint"):
        memory.parallel.warnings()
    assert len(out.parallel.warnings()) == 0
    (tmp_path / "there").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="no longer there"):
        out.parallel.tool_calls()
