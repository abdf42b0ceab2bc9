"""How the documentation is built: ``python -m sphinx -W docs site``."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import parallel_frames
from parallel_frames._cli._app import COMMANDS

HERE = Path(__file__).parent
for notebook in (HERE.parent / "notebooks").glob("*.ipynb"):
    shutil.copy(notebook, HERE / "tutorial")  # Sphinx reads nothing outside its own folder

# A row of the tables of names and of commands, which a clone shows as they are.
ROW = re.compile(r"^\| `([\w.]+)` \|", re.MULTILINE)
MEMBERS = {  # of the classes that have something to show besides their docstring, and of `Client` what is for users
    "Client": "   :exclude-members: clock, pacer, real_timeout, session, without_key\n",
    **dict.fromkeys(["EnrichedParquet", "EnrichmentPreview", "Comparison", "ParallelAccessor"], "   :no-members:\n"),
    **dict.fromkeys(["simulator.Answer", "simulator.Failure"], "   :no-members:\n"),
}
SPECIAL = {
    "errors": ".. automodule:: parallel_frames.errors\n   :member-order: bysource\n",
    "options": ".. autodata:: parallel_frames.options\n.. autoclass:: parallel_frames._job._defaults.Options\n",
}


def directive(page, name):
    """Return what makes the page of a name or a command from its docstring or its help."""
    if page == "commands":
        return (
            f".. click:: parallel_frames._cli.{COMMANDS[name]}:{name}_command\n"
            f"   :prog: parallel-frames {name}\n   :nested: full\n"
        )
    if name in SPECIAL:
        return SPECIAL[name]
    kind = "autoclass" if name.rpartition(".")[2][0].isupper() else "autofunction"
    return f".. {kind}:: parallel_frames.{name}\n{MEMBERS.get(name, '')}"


def page_of(name):
    """Return how the page of a name is called: `Report` and `report` are one on some disks."""
    return name.replace(".", "-") + ("-class" if name.rpartition(".")[2][0].isupper() else "")


for page in ("api", "commands"):
    folder = HERE / "reference" / page
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ROW.findall((HERE / "reference" / f"{page}.md").read_text(encoding="utf-8")):
        text = f"# {name}\n\n```{{eval-rst}}\n{directive(page, name)}```\n"
        (folder / f"{page_of(name)}.md").write_text(text, encoding="utf-8")


def link_rows(_, document, source):
    """Link each row of the two tables to its page."""
    page = document.rpartition("/")[2]
    if document in ("reference/api", "reference/commands"):
        names = ROW.findall(source[0])
        linked = ROW.sub(lambda row: f"| [`{row[1]}`]({page}/{page_of(row[1])}.md) |", source[0])
        pages = "\n".join(f"{page}/{page_of(name)}" for name in names)
        source[0] = f"{linked}\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def setup(app):
    """Have the tables linked."""
    app.connect("source-read", link_rows)


project = "parallel_frames"
author = "the parallel_frames team"
version = release = parallel_frames.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "numpydoc", "sphinx_click"]
nb_execution_mode = "off"  # they are stored as they ran, and the tests run them
exclude_patterns = ["_build", "site"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
smartquotes = False  # an option is --limit, with both its dashes
html_theme = "pydata_sphinx_theme"
html_title = "parallel_frames"
html_theme_options = {"navigation_depth": 2, "secondary_sidebar_items": ["page-toc"]}
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
autodoc_mock_imports = ["pyspark"]  # large, and of its interface nothing is shown
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False
add_module_names = False
