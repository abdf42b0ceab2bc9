"""What the README, the docstrings and the tables say is true: every example runs, every table is checked."""

from __future__ import annotations

import ast
import asyncio
import doctest
import importlib
import inspect
import json
import pkgutil
import re
import shlex
import subprocess
import sys
import tomllib
import typing
from dataclasses import fields
from datetime import date, datetime
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

import parallel_frames
from parallel_frames import _limits, errors
from parallel_frames.__main__ import main
from parallel_frames._file_formats import FORMATS, ZIPPED
from parallel_frames._format import format_duration
from parallel_frames._job._options import Call
from parallel_frames._model import STATUSES
from parallel_frames._prices import expected_seconds, price_of
from parallel_frames.simulator import Simulator

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PANDAS_3 = int(pd.__version__.partition(".")[0]) >= 3


def blocks(language, text=README):
    """Return the code blocks of a text in a language, each with the line it begins at."""
    found = [(text.count("\n", 0, match.start()) + 2, *match.groups()) for match in FENCE.finditer(text)]
    return [(line, source) for line, spoken, source in found if spoken == language]


def table_of(page):
    """Return the cells of the first table of a page of the reference, without its head."""
    text = (ROOT / "docs" / "reference" / page).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def code_in(cell):
    """Return the first code span of a cell."""
    return re.search(r"`([^`]+)`", cell)[1]


def code_spans(text):
    """Return the code spans of a text."""
    return re.findall(r"`([^`]+)`", text)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Work in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_block(source, namespace, *, line, page="README.md"):
    """Run one example as a reader would: a session, a module, or a cell with await."""
    name = f"{page}:{line}"
    if ">>> " in source:
        test = doctest.DocTestParser().get_doctest(source, namespace, name, page, line)
        runner = doctest.DocTestRunner(verbose=False)
        report = []
        runner.run(test, out=report.append, clear_globs=False)
        assert runner.failures == 0, "".join(report)
        namespace.update(test.globs)
        return
    code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    if code.co_flags & inspect.CO_COROUTINE:
        asyncio.run(eval(code, namespace))
    else:
        exec(code, namespace)


def test_every_python_example_of_the_readme_runs(elsewhere, monkeypatch):
    """The examples run from top to bottom, those that need a key against the simulator, and show what they say."""
    assert len(blocks("python")) >= 4
    with Simulator(latency=0) as sim:
        monkeypatch.setenv("PARALLEL_API_KEY", "not-a-real-key")
        monkeypatch.setenv("PARALLEL_BASE_URL", sim.url)
        namespace = {"__name__": "readme"}
        for line, source in blocks("python"):
            run_block(source, namespace, line=line)
            for name, test in list(namespace.items()):
                if name.startswith("test_"):
                    test()
                    del namespace[name]
    assert sim.counts.runs == 2  # the first enrichment; everything else is offline
    assert len(pd.read_parquet(elsewhere / "companies.parquet")) == 3


PAGES = sorted((ROOT / "docs").rglob("*.md"))
ENGINES = ROOT / "docs" / "how-to" / "engines.md"


@pytest.mark.parametrize("page", [page for page in PAGES if page != ENGINES], ids=lambda page: page.stem)
def test_every_python_example_of_the_pages_runs(page, elsewhere):
    """The examples of each page run from top to bottom and show what they say; a test in one is run by pytest."""
    namespace = {"__name__": "page"}
    for line, source in blocks("python", page.read_text(encoding="utf-8")):
        if "@pytest.fixture" in source:
            Path("test_example.py").write_text(source, encoding="utf-8")
            command = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                "-p",
                "no:cacheprovider",
                "-p",
                "no:xdist",
                "test_example.py",
            ]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert "1 passed" in done.stdout, done.stdout
            continue
        run_block(source, namespace, line=line, page=page.name)


LIBRARIES = {"DuckDB": "duckdb", "Polars": "polars", "Dask": "dask", "Ray": "ray", "Spark": "pyspark"}


@pytest.mark.timeout(600)  # Ray and Spark start processes of their own
@pytest.mark.filterwarnings("default")  # engines warn of themselves
@pytest.mark.parametrize("engine", LIBRARIES)
def test_the_recipe_of_each_engine(engine, elsewhere, monkeypatch):
    """Each engine enriches the rows of the page, where it is installed, and pays for each distinct input once."""
    pytest.importorskip(LIBRARIES[engine], reason=f"{engine} is not installed")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    _, in_memory, recipe, _ = re.split(r"^## ", ENGINES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    rows, *recipes = re.split(r"^### ", recipe, flags=re.MULTILINE)
    recipes = {recipe.partition("\n")[0]: recipe for recipe in recipes}
    assert set(recipes) == set(LIBRARIES)
    namespace = {"__name__": "page"}
    for text in ([in_memory] if engine == "Polars" else []) + [rows, recipes[engine]]:
        for line, source in blocks("python", text):
            run_block(source, namespace, line=line, page=f"{ENGINES.name}, {engine}")
    assert namespace["simulator"].counts.runs == 3
    namespace["offline"].stop()
    if engine == "Ray":
        namespace["ray"].shutdown()
    elif engine == "Spark":
        namespace["spark"].stop()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_of_the_pages_lead_somewhere(page):
    """A link within the site names a page that exists, and every how-to is in their list."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
        assert target.startswith("https://") or (page.parent / target).exists(), target
    if page.parent.name == "how-to" and page.stem != "index":
        assert f"\n{page.stem}\n" in (page.parent / "index.md").read_text(encoding="utf-8")


def test_the_reference_lists_every_public_name():
    """Each name is there with what its docstring begins with: in a clone, where no page is made of it, that is all."""
    text = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `([\w.]+)` \| (.*) \|$", text, re.MULTILINE))
    assert set(parallel_frames.__all__) <= set(listed)
    for name, meaning in listed.items():
        module, _, last = f"parallel_frames.{name}".rpartition(".")
        if module.endswith("spark") and find_spec("pyspark") is None:
            continue
        docstring = inspect.getdoc(getattr(importlib.import_module(module), last))
        assert meaning == " ".join(docstring.partition("\n\n")[0].split()), name


def test_the_formats_are_those_that_are_read():
    """The page on files lists each extension, compressed ones too."""
    listed = [extension for line in table_of("files.md") for cell in line[:2] for extension in code_spans(cell)]
    assert sorted(listed) == sorted([*FORMATS, *ZIPPED])


def test_the_line_before_the_first_run_is_as_the_readme_shows_it(elsewhere, caplog):
    """The announcement in the README is what its first enrichment shows, but for path, and the time of the service."""
    shown = next(source for _, source in blocks("text") if source.startswith("3 rows")).strip()
    df = pd.DataFrame({"company": ["Siemens", "Danone", "Siemens"], "country": ["DE", "FR", "DE"]})
    with caplog.at_level("INFO", logger="parallel_frames"), parallel_frames.offline(latency=0):
        df.parallel.enrich({"founded": int, "website": "official website"}, processor="lite")
    said = next(message for message in caplog.messages if "→" in message)
    seconds = expected_seconds(price_of("lite"), runs=2, max_per_minute=2000)
    before, took, after = shown.split(" · checkpoint ")[0].partition(f" · {format_duration(seconds, estimate=True)}")
    assert took
    assert said.split(" · checkpoint ")[0] == before + after


def modules():
    """Return the names of all modules of the package."""
    walked = pkgutil.walk_packages(parallel_frames.__path__, "parallel_frames.")
    return ["parallel_frames", *(module.name for module in walked)]


@pytest.mark.parametrize("name", modules())
def test_the_examples_in_docstrings_run(name, elsewhere):
    """Every doctest of every module shows what really comes out."""
    for module, library in (("spark", "pyspark"), ("._ray", "ray")):
        if name.endswith(module):
            pytest.importorskip(library, reason=f"{library} is not installed")
    tested = doctest.testmod(importlib.import_module(name))
    assert tested.failed == 0


def test_the_price_table_is_the_shipped_one():
    """Prices, times and the date on the page are those the library counts with."""
    prices = json.loads(files("parallel_frames.data").joinpath("prices.json").read_text(encoding="utf-8"))
    assert f"as of {prices['as_of']}" in (ROOT / "docs/reference/processors.md").read_text(encoding="utf-8")
    assert {code_in(line[0]): line[1:] for line in table_of("processors.md")} == {
        name: [
            str(known["per_1000"]),
            "{}–{} s".format(*known["seconds"]),
            "{}–{} s".format(*known["fast_seconds"]),
            str(known["fields"]),
        ]
        for name, known in prices["processors"].items()
    }


def error_classes(root=errors.ParallelFramesError):
    """Return a class of errors and all below it, from the root down."""
    return [root, *(name for child in root.__subclasses__() for name in error_classes(child))]


def anchors_of(page):
    """Return what the lines of a page's table can be linked by."""
    return [re.search(r'<a id="(\w+)"></a>', line[0])[1] for line in table_of(page)]


def test_every_error_is_in_the_table_of_errors():
    """The table lists each class of errors once, with an anchor, and no other."""
    listed = [code_in(line[0]) for line in table_of("errors.md")]
    assert sorted(listed) == sorted(error.__name__ for error in error_classes())
    assert anchors_of("errors.md") == listed
    assert all(len(line) == 3 and all(line) for line in table_of("errors.md"))


def test_the_limits_are_those_that_are_checked():
    """Each number on the page is the library's."""
    shown = [
        int(number.replace(",", "")) for line in table_of("limits.md") for number in re.findall(r"[\d,]*\d", line[1])
    ]
    assert shown == [
        _limits.MAX_RUNS_PER_BATCH,
        _limits.MAX_RUNS_PER_MINUTE,
        _limits.MAX_RUN_CHARACTERS,
        _limits.MAX_SPEC_CHARACTERS,
        _limits.MAX_PROPERTIES,
        _limits.MAX_NESTING,
        _limits.MAX_ENUM_VALUES,
        _limits.MAX_METADATA_NAME,
        _limits.MAX_METADATA_VALUE,
        _limits.MAX_SOURCE_DOMAINS,
        _limits.MAX_MCP_SERVERS,
    ]


def test_every_status_is_in_the_table_of_statuses():
    """The table lists each status that a row can have once."""
    assert sorted(code_in(line[0]) for line in table_of("statuses.md")) == sorted(STATUSES)


def test_every_option_is_in_the_table_of_options_with_its_default():
    """The table lists each option of `enrich` once, with an anchor; a default written as code is the real one."""
    listed = {code_in(line[0]): line[1] for line in table_of("options.md")}
    assert anchors_of("options.md") == list(listed)
    assert list(listed) == [field.name for field in fields(Call)]
    for field in fields(Call):
        if listed[field.name].startswith("`"):
            assert ast.literal_eval(code_in(listed[field.name])) == field.default
        else:
            assert field.default is None


TYPES = {"date": date, "datetime": datetime, "Literal": typing.Literal}


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_the_table_of_dtypes_is_true(backend):
    """Each type in the table gives the dtype beside it, even where there is no row."""
    for type_, *dtypes in table_of("schemas.md"):
        schema = {"column": eval(code_in(type_), TYPES)}
        out = pd.DataFrame({"row": pd.Series([], dtype="int64")}).parallel.enrich(schema, dtype_backend=backend)
        shown = dtypes[backend == "pyarrow"]
        spans = re.findall(r"`([^`]+)`", shown)
        expected = spans[-1] if not PANDAS_3 else spans[0]
        found = str(out["column"].dtype).replace("element: ", "item: ")
        assert found == expected, type_


def texts():
    """Return every text of the package, with what is put into it left out."""
    for path in (ROOT / "parallel_frames").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_the_messages_to_look_up_are_those_of_the_library():
    """What the page on troubleshooting quotes in its first column stands in a text of the package."""
    page = (ROOT / "docs/how-to/troubleshooting.md").read_text(encoding="utf-8")
    quoted = [span for line in page.splitlines() if line.startswith("| ") for span in code_spans(line.split(" | ")[0])]
    known = list(texts())
    assert len(quoted) > 15
    assert [span for span in quoted if span not in dir(errors) and not any(span in text for text in known)] == []


def commands():
    """Return every shell command of the README."""
    lines = [line for _, source in blocks("sh") for line in source.splitlines()]
    return [command.strip() for line in lines for command in line.split("&&") if command.strip()]


def test_the_architecture_page_leads_to_what_exists():
    """Each module that it names is there, and defines the name next to it."""
    page = (ROOT / "docs/explanation/architecture.md").read_text("utf-8")
    package = ROOT / "parallel_frames"
    rows = re.findall(r"^\|[^|]+\| `([\w/]+\.py)` \| `(\w+)` \|$", page, re.MULTILINE)
    assert len(rows) > 10
    for path, name in rows:
        assert re.search(rf"^ *(async def|def|class)? ?{name}\b", (package / path).read_text("utf-8"), re.MULTILINE), (
            name
        )
    for name in re.findall(r"`(_\w+(?:/\w+\.py)?)`", page):
        assert (package / name).exists() or (package / f"{name}.py").exists() or f"`{name}` |" in page, name


@pytest.mark.parametrize("command", commands())
def test_the_shell_commands_of_the_readme_exist(command):
    """Each command shown is one there is, and asks for extras and options there are."""
    program, *arguments = shlex.split(command, comments=True)
    if program.endswith("parallel-frames"):
        assert main([*arguments, "--help"]) == 0
    elif program.endswith("pip"):
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        (extras,) = re.findall(r"^\.(?:\[([\w,]+)\])?$", arguments[-1])
        assert set(filter(None, extras.split(","))) <= set(project["optional-dependencies"])
    else:
        assert command in ("python3 -m venv .venv", ".venv/bin/pytest")


def test_the_two_commands_stand_in_the_readme_as_they_must_work():
    """A newcomer copies these two lines: they are there word for word."""
    make = "python3 -m venv .venv && .venv/bin/pip install"
    lines = [line for _, source in blocks("sh") for line in source.splitlines()]
    assert f"{make} '.[demo]' && .venv/bin/parallel-frames demo" in lines
    assert f"{make} '.[test]' && .venv/bin/pytest" in lines


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)\s]+)\)", README))
def test_the_links_of_the_readme_lead_somewhere(target):
    """A link within the repository names a file or a heading that exists."""
    headings = {re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in README.splitlines()}
    if target.startswith("#"):
        assert target[1:] in headings
    elif not target.startswith("https://"):
        assert (ROOT / target).exists()


def test_the_changelog_has_the_version():
    """The version of the package is listed, with its date."""
    assert re.search(rf"^## \[{re.escape(parallel_frames.__version__)}\] - \d{{4}}-\d\d-\d\d$", CHANGELOG, re.MULTILINE)


def test_importing_the_package_is_quick_and_quiet():
    """`import parallel_frames` prints nothing, and leaves HTTP and Parquet until they are used."""
    source = "import sys, parallel_frames; print([m for m in ('httpx', 'pyarrow.parquet', 'tqdm') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
