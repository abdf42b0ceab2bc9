"""The committed notebooks are what a real kernel makes of them: executed again, they show the same."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pandas as pd
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3
MACHINE_PATHS = re.compile(r"(/home/|/root/|/tmp/|/Users/|/var/|[A-Z]:\\\\)")
CHANGING = [
    (re.compile(r"\b(tgrp|trun)_\w+"), r"\1_…"),
    (re.compile(r"\b\d+ runs under way"), "<n> runs under way"),
    (re.compile(r"\b\d{4}-\d\d-\d\d([T ][\d:.]+Z?)?"), "<time>"),
]

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="this checkout has no notebooks")


def shown_text(cell):
    """Return what a cell shows as text, in order, but for progress, ids and times."""
    texts = []
    for output in cell.get("outputs", []):
        if output.get("metadata", {}).get("parallel_frames") == "progress":
            continue
        if output["output_type"] == "stream" and output["name"] == "stdout":
            texts.append(output["text"])
        elif output["output_type"] in ("execute_result", "display_data"):
            texts.append(output["data"]["text/plain"])
        elif output["output_type"] == "error":
            texts.append(f"{output['ename']}: {output['evalue']}")
    text = "".join(texts)
    for pattern, instead in CHANGING:
        text = pattern.sub(instead, text)
    return text.strip()


def cards(cell):
    """Return the cards of progress that a cell shows."""
    return [
        output for output in cell.get("outputs", [])
        if output.get("metadata", {}).get("parallel_frames") == "progress"
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.slow
@pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning")
def test_a_notebook_says_again_what_is_committed(path, tmp_path, execute_notebook):
    """Every cell runs in a real kernel, and its text outputs are the committed ones; it leaves no file behind."""
    committed = nbformat.read(path, as_version=4)
    executed = execute_notebook(nbformat.from_dict(committed), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    if PANDAS_3:  # an older pandas shows missing texts and string dtypes otherwise
        assert [shown_text(cell) for cell in executed.cells] == [shown_text(cell) for cell in committed.cells]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_outputs_that_suit_everybody(path):
    """The cells were executed from top to bottom, without errors, and show no path of anybody's machine."""
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any(shown_text(cell) for cell in cells)
    for cell in cells:
        assert not [output for output in cell.outputs if output.output_type == "error"]
        assert all(
            "Traceback" not in output.get("text", "") and "%|" not in output.get("text", "") for output in cell.outputs
        )
    for card in (card for cell in cells for card in cards(cell)):  # as it ended
        assert re.search(r"^enriched: |→ 0 runs", card["data"]["text/plain"], re.MULTILINE)
    assert not MACHINE_PATHS.search(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_says_first_that_it_is_simulated(path):
    """The first cell tells that the answers are not from the web."""
    assert "simulated" in nbformat.read(path, as_version=4).cells[0].source
