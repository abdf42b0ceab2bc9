"""How the documentation is built: ``python -m sphinx -W docs site``."""

from __future__ import annotations

import shutil
from pathlib import Path

import parallel_frames

HERE = Path(__file__).parent
for notebook in (HERE.parent / "notebooks").glob("*.ipynb"):
    shutil.copy(notebook, HERE / "tutorial")  # Sphinx reads nothing outside its own folder

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
html_theme_options = {"navigation_depth": 2, "show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
html_show_sourcelink = False
autodoc_mock_imports = ["pyspark"]  # large, and of its interface nothing is shown
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
numpydoc_show_class_members = False
add_module_names = False
