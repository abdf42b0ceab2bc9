"""The texts of the package: code in them is marked as such, so that a command line can spell it its own way."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

import parallel_frames as pf
from parallel_frames import accessor, errors
from parallel_frames._format import format_option, options_in, parse_options, spell_code
from parallel_frames._job._options import Call

ROOT = Path(pf.__file__).parent
ERRORS = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
# These have no messages of this kind: a service of its own, and a page that shows Python.
OTHERS = ("simulator", "_demo.py")
MODULES = [path for path in sorted(ROOT.rglob("*.py")) if path.relative_to(ROOT).parts[0] not in OTHERS]
SPAN = re.compile(r"`([^`]*)`")


def options_there_are():
    """Return the names of the options and parameters of all that is public."""
    kinds = [getattr(pf, name) for name in pf.__all__] + [accessor.ParallelAccessor]
    public = [kind for kind in kinds if callable(kind)]
    public += [
        method
        for kind in public
        if isinstance(kind, type) and not issubclass(kind, Exception)
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if name == "__init__" or not name.startswith("_")
    ]
    names = {name for each in public if not isinstance(each, type) for name in inspect.signature(each).parameters}
    return {*names, *(field.name for field in fields(Call)), *(field.name for field in fields(pf.Client))}


OPTION = re.compile(rf"(?<![\w.])({'|'.join(sorted(options_there_are()))})=(?!=)")


def texts_in(tree):
    """Yield each text under a node with its node; what is filled in is an x. Docstrings, reprs and keys are none."""
    nodes = list(ast.walk(tree))
    skipped = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        is_repr = isinstance(node, ast.FunctionDef) and node.name == "__repr__"
        is_marked = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "format_code"
        if is_repr or is_marked or isinstance(node, ast.JoinedStr):
            skipped |= {id(inner) for inner in ast.walk(node) if inner is not node}
        if isinstance(node, ast.Dict):
            skipped |= set(map(id, node.keys))
    for node in nodes:
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node, node.value
        elif isinstance(node, ast.JoinedStr):
            yield node, "".join(part.value if isinstance(part, ast.Constant) else "x" for part in node.values)


def messages_in(tree):
    """Yield each text that is passed to one of our errors."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ERRORS:
            yield from texts_in(node)


def is_code(text):
    """Return whether a text is an option, or Python; methods may stand alone."""
    if parse_options(text):
        return True
    try:
        return bool(ast.parse(f"x{text}" if text.startswith(".") else text).body)
    except SyntaxError:
        return False


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_option_in_a_text_is_a_code_span(path):
    """An option that is written with its equals sign stands between backticks, or no command line would find it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = [(node.lineno, text) for node, text in texts_in(tree) if OPTION.search(SPAN.sub("", text))]
    assert bare == []
    by_name = [(node.lineno, text) for node, text in messages_in(tree) if re.search(r"\bx=x", SPAN.sub("", text))]
    assert by_name == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_but_code_stands_between_the_backticks_of_a_message(path):
    """Every span of an error's message is an option, or Python."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    spans = [(node.lineno, code) for node, text in messages_in(tree) for code in SPAN.findall(text)]
    assert [(line, code) for line, code in spans if not is_code(code)] == []


def test_the_walk_sees_the_messages():
    """It finds options of every kind of caller, and hundreds of messages."""
    assert {"limit", "overwrite", "api", "elements", "group_id", "target", "force"} <= options_there_are()
    assert sum(1 for path in MODULES for _ in messages_in(ast.parse(path.read_text(encoding="utf-8")))) > 200


@pytest.mark.parametrize("value", ["a`b", "`limit=3`", "ends in \\`", 'it\'s "so"\n', "`", None, 3, ["`"], "{}"])
def test_a_value_with_backticks_stays_one_span(value):
    """Whatever a value holds, its option is found, once, and nothing within it is."""
    message = f"The column 'x`y' and {format_option('prefix', value)} and `limit=7`."
    found = options_in(message)
    assert found.pop("limit") == "7"
    assert found == {"prefix": value if isinstance(value, str) else repr(value).replace("`", r"\x60")}
    assert spell_code(message, lambda code: f"<{len(parse_options(code))}>" if parse_options(code) else None) == (
        "The column 'x`y' and <1> and <1>."
    )


@pytest.mark.parametrize(
    "code", ["", " limit", "a)(b", "limit=3) or (x", "**limit", "f(limit=3)", "limit.x", "limit=", "(" * 500, "\0"]
)
def test_other_code_has_no_options(code):
    """A call, half an expression and what Python cannot read are no options."""
    assert parse_options(code) == {}
