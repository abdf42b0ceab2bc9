"""The floors of the house: who may import whom, and which room knows which third party."""

from __future__ import annotations

import ast
import graphlib
import re
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import parallel_frames

ROOT = Path(parallel_frames.__file__).parent
TESTS = Path(__file__).parent

# A module imports only from floors below its own. Modules of one floor know nothing of each other.
FLOORS = {
    "_tracebacks": 0,
    "_format": 0,  # even the messages of `errors` are built with it
    "errors": 1,
    "data": 0,
    "_runtime": 0,
    "_log": 0,
    "_limits": 2,
    "_file_formats": 2,
    "_fs": 2,
    "_model": 2,
    "_clock": 2,
    "_prices": 2,
    "_foreign": 2,
    "_schema": 3,
    "_inputs": 3,
    "_service": 3,
    "_state": 3,
    "_engine": 4,
    "_checkpoint": 4,
    "_columns": 4,
    "_ui": 5,
    "_job": 6,
    "_files": 7,
    "_distributed": 8,
    "_arrow_frames": 8,
    "_doctor": 8,
    "_spark": 9,
    "accessor": 9,
    "parallel_frames": 10,  # the package's own names
    "dask": 11,
    "polars": 11,
    "spark": 11,
    "_ray": 11,
    "simulator": 9,  # knows nothing of ours: see ALONE
    "_demo": 11,
    "_cli": 12,
    "__main__": 13,
}
# These import nothing of ours at all: a service must not share its client's mistakes.
ALONE = {"simulator", "_format", "_tracebacks", "_runtime", "_limits", "data"}
# What a module imports only when it is asked to do what needs it, wherever it lives.
LATER = {("_checkpoint", "_ui"), ("_job", "simulator"), ("_schema", "data"), ("parallel_frames", "data")}

BASICS = {"numpy", "pandas", "pyarrow", "orjson"}
THIRD_PARTIES = {
    "_tracebacks": set(),
    "_format": set(),
    "errors": set(),
    "data": {"pandas"},
    "_runtime": {"nest_asyncio"},
    "_log": set(),
    "_limits": set(),
    "_file_formats": set(),
    "_fs": set(),
    "_model": set(),
    "_clock": set(),
    "_prices": set(),
    "_foreign": {"pandas", "pyarrow"},
    "_schema": {"jsonschema_rs", "pydantic"},  # pydantic in a module that is imported once the user brought a model
    "_inputs": BASICS,
    "_service": {"httpx", "orjson", "aiohttp", "httpx_aiohttp"},
    "_state": {"numpy", "pyarrow"},
    "_engine": set(),
    "_checkpoint": {"numpy", "pyarrow", "filelock", "platformdirs", "pandas", "fsspec", "orjson"},
    "_columns": BASICS,
    "_ui": {"tqdm", "IPython", "marimo", "jinja2", "numpy", "pandas", "matplotlib"},
    "_job": {"numpy", "pandas", "orjson"},
    "_files": {*BASICS, "fsspec", "openpyxl"},
    "_distributed": BASICS,
    "dask": {"dask", "pandas"},
    "_arrow_frames": {"pandas", "pyarrow"},
    "_doctor": {"orjson", "pandas"},
    "_spark": {"pyspark", "pandas", "pyarrow"},
    "spark": {"pyspark"},
    "accessor": {"pandas"},
    "polars": {"polars"},
    "_ray": {"ray", "pyarrow"},
    "_cli": {"click", "numpy", "orjson", "pandas", "pyarrow"},
    "__main__": set(),
    "simulator": {"orjson", "starlette", "uvicorn", "httptools", "anyio", "pandas"},
    "parallel_frames": set(),
}


class Import(NamedTuple):
    """One import statement, resolved."""

    room: str  # our module or package that it stands in
    path: str
    line: int
    target: str  # the full dotted name
    typing_only: bool
    inside_function: bool

    def __str__(self) -> str:
        return f"{self.path}:{self.line} imports {self.target}"

    @property
    def ours(self) -> str | None:
        """Our room that is imported, if it is one of ours."""
        parts = self.target.split(".")
        if parts[0] != "parallel_frames":
            return None
        return parts[1] if len(parts) > 1 and parts[1] in FLOORS else "parallel_frames"

    @property
    def third_party(self) -> str | None:
        """The third party's package, if it is one."""
        top = self.target.partition(".")[0]
        return None if top in sys.stdlib_module_names or top == "parallel_frames" else top


def imports_of(path: Path, *, package: str, room: str) -> list[Import]:
    """Return a file's imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = path.relative_to(ROOT.parent).as_posix() if path.is_relative_to(ROOT) else path.name
    found: list[Import] = []

    def visit(node: ast.AST, *, typing_only: bool, inside: bool) -> None:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{whole}.{alias.name}" for alias in node.names]
        else:
            names = []
        found.extend(Import(room, told, getattr(node, "lineno", 0), name, typing_only, inside) for name in names)
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        deeper = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                continue  # no statement is in an expression
            visit(child, typing_only=typing_only or (guarded and child is not node), inside=deeper)

    visit(tree, typing_only=False, inside=False)
    return found


def source_files() -> list[tuple[Path, str, str]]:
    """Return each file of the package with its package's name and its room."""
    files = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        room = "parallel_frames" if parts == ("__init__",) else parts[0]
        package = ".".join(["parallel_frames", *parts[:-1]])
        files.append((path, package, room))
    return files


ALL = [found for path, package, room in source_files() for found in imports_of(path, package=package, room=room)]


def test_every_room_stands_on_a_floor():
    """Each module and package is in the table, and the table names no others."""
    rooms = {room for _, _, room in source_files()}
    assert rooms == set(FLOORS)


@pytest.mark.parametrize("room", sorted(FLOORS))
def test_a_room_imports_from_below_only(room):
    """What a module imports of ours at run time lives on a lower floor."""
    wrong = [
        str(found)
        for found in ALL
        if found.room == room and found.ours not in (None, room) and not found.typing_only
        and (room, found.ours) not in LATER and FLOORS[found.ours] >= FLOORS[room]
    ]  # fmt: skip
    assert wrong == []


def arrows_within(room: str) -> dict[str, set[str]]:
    """Return which module of a room imports which others of it when it is imported."""
    names = {
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts) for path, _, own in source_files() if own == room
    } - {f"parallel_frames.{room}.__init__"}
    arrows: dict[str, set[str]] = {name: set() for name in names}
    for found in ALL:
        module = found.path.removesuffix(".py").replace("/", ".")
        if module in names and not (found.typing_only or found.inside_function):
            arrows[module] |= {name for name in names if f"{found.target}.".startswith(f"{name}.")} - {module}
    return arrows


@pytest.mark.parametrize("room", sorted(FLOORS))
def test_no_modules_of_a_room_import_each_other(room):
    """Within a package, too, arrows go one way only."""
    graphlib.TopologicalSorter(arrows_within(room)).prepare()  # a CycleError names the circle


@pytest.mark.parametrize("room", sorted(ALONE))
def test_these_rooms_know_nothing_of_ours(room):
    """Some modules are whole without the rest: the simulator above all, which must not share our mistakes."""
    assert [str(found) for found in ALL if found.room == room and found.ours not in (None, room)] == []


def test_nobody_but_the_edges_imports_the_simulator():
    """The package runs without the simulator's extra; only what asks for it imports it, when it is called."""
    rooms = {found.room for found in ALL if found.ours == "simulator" and not found.typing_only} - {"simulator"}
    assert rooms <= {"_job", "_demo", "_cli", "parallel_frames"}
    at_import = [str(f) for f in ALL if f.room == "_job" and f.ours == "simulator" and not f.inside_function]
    assert [each for each in at_import if "simulator" in each and not _typing_only(each)] == []


def _typing_only(told: str) -> bool:
    return any(str(found) == told and found.typing_only for found in ALL)


@pytest.mark.parametrize("room", sorted(THIRD_PARTIES))
def test_a_room_knows_only_its_third_parties(room):
    """Each third party is known where it is needed, and nowhere else; for type checkers as well."""
    known = {found.third_party for found in ALL if found.room == room and not found.typing_only} - {None}
    assert known <= THIRD_PARTIES[room]


SEAMS = {
    "httpx": {"_service"},
    "httpx_aiohttp": {"_service"},
    "aiohttp": {"_service"},
    "pyarrow.parquet": {"_checkpoint", "_state", "_files"},
    "pyarrow.fs": {"_checkpoint", "_files"},
    "pyarrow.dataset": {"_files"},
    "sqlite3": {"_files", "_state"},
    "fsspec": {"_checkpoint", "_files"},
    "nest_asyncio": {"_runtime"},
    "filelock": {"_checkpoint"},
    "platformdirs": {"_checkpoint"},
    "tqdm": {"_ui"},
    "IPython": {"_ui"},
    "marimo": {"_ui"},
    "jinja2": {"_ui"},
    "click": {"_cli"},
    "dask": {"dask"},
    "ray": {"_ray"},
    "distributed": set(),
    "matplotlib": {"_ui"},
    "starlette": {"simulator"},
    "uvicorn": {"simulator"},
    "jsonschema_rs": {"_schema"},
    "pydantic": {"_schema"},
    "requests": set(),
    "polars": {"polars"},
}


@pytest.mark.parametrize("name", SEAMS)
def test_each_outside_thing_has_one_seam(name):
    """One room knows each library that talks to the outside."""
    rooms = {found.room for found in ALL if f"{found.target}.".startswith(f"{name}.")} - {"_demo", "__main__"}
    assert rooms <= SEAMS[name]


def test_one_module_imports_the_http_library():
    """A library of the same interface as httpx replaces it in one line, for type checkers too."""
    assert {found.path for found in ALL if found.third_party == "httpx"} == {"parallel_frames/_service/_http.py"}
    apart = {found.path for found in ALL if found.third_party in ("aiohttp", "httpx_aiohttp")}
    assert apart == {"parallel_frames/_service/_aiohttp.py"}


def blanket_handlers() -> set[str]:
    """Return where exceptions of any kind are caught and kept, as file:function."""
    found = set()
    for path, _, _ in source_files():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in ast.walk(tree):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                for node in ast.walk(function):
                    names = ast.unparse(node.type) if isinstance(node, ast.ExceptHandler) and node.type else ""
                    bare = isinstance(node, ast.ExceptHandler) and node.type is None
                    if isinstance(node, ast.ExceptHandler) and ast.unparse(node.body[-1]) == "raise":
                        continue  # it tidies up and lets the exception go on
                    if bare or {"Exception", "BaseException"} & set(names.replace("(", " ").replace(")", " ").split()):
                        found.add(f"{path.relative_to(ROOT).as_posix()}:{function.name}")
    return found


ALLOWED_HANDLERS = {
    "_checkpoint/_paths.py:_asking": "what fsspec and the libraries below it raise has no common root",
    "_job/_rows.py:hand_over": "the user's own function must not cost what was paid for",
    "_schema/_pydantic.py:validate": "the user's own code, and the answer is paid for",
    "_service/_http.py:_translated": "a transport may raise anything, and each of its errors becomes one of httpx's",
    "_ui/_screen.py:_show": "a screen must not cost what was paid for",
    "_runtime.py:_find_patch": "nest-asyncio may break in any way on a Python it never saw",
    "_runtime.py:_start_worker": "raised again in the thread that takes the result",
    "_runtime.py:work": "raised again in the thread that takes the result",
    "simulator/_answers.py:answer": "the user's function may raise anything: the run fails with it",
    "simulator/_service.py:_finish_run": "whatever cannot be an answer makes its run fail",
}


def test_nobody_swallows_exceptions():
    """`except Exception` stands only where the list says why."""
    assert blanket_handlers() - set(ALLOWED_HANDLERS) == set()


def patches(path: Path) -> list[str]:
    """Return what a test file patches; a constant (a limit too high to reach in a test) is no behaviour."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    patched = [ast.unparse(call) for call in calls if call.func.attr == "setattr" and not _names_constant(call)]
    mocks = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.arg) and node.arg == "mocker"]
    return [f"{path.name}: {each}" for each in patched + mocks]


def _names_constant(call: ast.Call) -> bool:
    told = [arg.value for arg in call.args[:2] if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
    return bool(told) and told[0].rpartition(".")[2].isupper()


def test_no_test_mocks():
    """Tests run the real code against a real server: no unittest.mock, no pytest-mock, no function of ours patched."""
    wrong = []
    for path in sorted(TESTS.rglob("*.py")):
        found = imports_of(path, package="tests", room="tests")
        wrong += [str(each) for each in found if each.target.startswith("unittest.mock")] + patches(path)
    assert wrong == []


FORMATTING = {
    "amounts": r"\$\{",
    "plurals": r"""['"]s['"] \* \(""",
    "times": r"strftime|%Y-%m-%d",
    "durations": r":\.[0-9]f\} (s|min|h)\b",
}


@pytest.mark.parametrize("what", FORMATTING)
def test_texts_are_formatted_in_one_module(what):
    """An amount, a count, a time or a duration reads the same everywhere, because `_format` alone writes it."""
    found = {
        path.relative_to(ROOT).as_posix()
        for path, _, room in source_files()
        if room not in ("_format", "simulator") and re.search(FORMATTING[what], path.read_text(encoding="utf-8"))
    }
    others = {"plurals": {"errors.py"}, "amounts": {"_cli/_shells.py"}}  # "1 run comes to", "2 runs come to"; bash's ${
    assert found <= others.get(what, set())
