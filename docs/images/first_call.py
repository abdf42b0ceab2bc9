"""Make first-call.png, the picture in the README: a cell of a notebook with its progress, and the review page.

Run it where a change of either shows: ``python docs/images/first_call.py``. It needs Chromium and nbconvert.
"""

import subprocess
import tempfile
from pathlib import Path
from shutil import which

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter

SETUP = """\
import pandas as pd
import parallel_frames as pf
from parallel_frames.data import load_countries, load_country_facts

sim = pf.offline(load_country_facts().set_index("iso_code"), latency=(15, 100), speed=40).start()
df = load_countries().head(100)[["country", "iso_code"]]
schema = {"capital": str | None, "continent": "continent", "population": int, "neighbours": list[str]}
"""
CALL = """\
out = df.parallel.enrich(schema, basis=True, checkpoint="countries.ckpt")
out[["country", *schema, "parallel_status"]].head(14)"""
REPORT = "pf.last().report().to_html('report.html')"
PAGE = """\
<!DOCTYPE html><meta charset="utf-8"><style>
body {{ margin: 8px; display: flex; gap: 12px; background: white }}
div {{ border: 1px solid #d0d7de; height: {height}px; overflow: hidden; flex: none }}
iframe {{ border: 0; transform-origin: 0 0 }}
#cell {{ width: 1100px; height: 1000px; transform: scale(.8) }}
#report {{ width: 1126px; height: 1220px; transform: scale(.6) }}
</style>
<div style="width: 880px"><iframe id="cell" src="cell.html"></iframe></div>
<div style="width: 676px"><iframe id="report" src="report.html"></iframe></div>
"""
HEIGHT = 640


def main() -> None:
    """Run the notebook, and photograph its second cell and the page that its third one writes."""
    with tempfile.TemporaryDirectory() as folder:
        notebook = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, (SETUP, CALL, REPORT))))
        NotebookClient(notebook, resources={"metadata": {"path": folder}}).execute()
        notebook.cells = notebook.cells[1:2]
        cell, _ = HTMLExporter().from_notebook_node(notebook)
        Path(folder, "cell.html").write_text(cell, encoding="utf-8")
        Path(folder, "page.html").write_text(PAGE.format(height=HEIGHT), encoding="utf-8")
        target = Path(__file__).with_name("first-call.png")
        subprocess.run(  # noqa: S603 - a fixed command
            [which("chromium") or "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-sync", "--disable-background-networking", "--disable-component-update",
             f"--user-data-dir={folder}/profile", "--allow-file-access-from-files",
             f"--window-size=1586,{HEIGHT + 18}", f"--screenshot={target}",
             f"file://{folder}/page.html"],
            check=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
