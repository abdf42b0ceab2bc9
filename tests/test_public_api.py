"""What users may rely on: names, signatures, documentation, and an import that costs nothing."""

from __future__ import annotations

import dataclasses
import inspect
import re
import statistics
import subprocess
import sys

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames import errors
from parallel_frames._job._options import Call, EnrichOptions, FrameOptions

OPTIONS = {field.name: field.default for field in dataclasses.fields(Call)}
ENRICHING = [pf.enrich, pf.aenrich, pd.DataFrame.parallel.enrich, pd.DataFrame.parallel.aenrich]
COLLECTING = [pf.collect, pd.DataFrame.parallel.collect]


def options_of(function):
    """Return the keyword-only parameters of a function with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}


def test_the_list_of_public_names_is_this():
    """These names and no others are public, all of them can be had, and dir() shows no other."""
    assert pf.__all__ == sorted(pf.__all__)
    assert {"Checkpoint", "Client", "Enrichment", "aenrich", "collect", "enrich", "errors", "last", "offline"} <= set(
        pf.__all__
    )
    for name in pf.__all__:
        assert getattr(pf, name) is not None
    public = {name for name in vars(pf) if not name.startswith("_") and not inspect.ismodule(vars(pf)[name])}
    assert public <= set(pf.__all__)


def test_completion_shows_every_public_name():
    """dir() has them before any was used, also those that are imported later; a name that was used is kept."""
    code = (
        "import parallel_frames as pf; print(set(pf.__all__) <= set(dir(pf)), 'Client' in vars(pf)); "
        "pf.Client; print('Client' in vars(pf))"
    )
    assert run(code) == ["True", "False", "True"]


def test_an_unknown_name_is_an_attribute_error():
    """A name that is not public is refused as Python does it."""
    with pytest.raises(AttributeError, match="'parallel_frames' has no attribute 'enrch'"):
        pf.enrch  # noqa: B018 - the look-up is the test


@pytest.mark.parametrize("function", ENRICHING, ids=lambda f: f.__qualname__)
def test_enriching_shows_every_option_with_its_default(function):
    """Signatures name all options, keyword-only, with the defaults that hold."""
    assert options_of(function) == OPTIONS
    positional = [p for p in inspect.signature(function).parameters if p not in OPTIONS]
    assert positional == [positional[0], "schema"]
    assert positional[0] in ("df", "self")


@pytest.mark.parametrize("function", COLLECTING, ids=lambda f: f.__qualname__)
def test_collecting_shows_the_options_that_matter_to_it(function):
    """collect() has the options of columns and inputs, and no option of sending."""
    expected = {name: default for name, default in OPTIONS.items() if name in FrameOptions.__optional_keys__}
    assert options_of(function) == expected | {"processor": None}


def test_type_checkers_are_told_the_options_there_are():
    """The TypedDict for type checkers and the dataclass that checks at run time have the same names."""
    assert set(OPTIONS) == EnrichOptions.__optional_keys__


def test_the_accessor_is_a_skin():
    """The accessor documents and takes what the functions do, and is there on every frame."""
    df = pd.DataFrame({"company": ["Acme"]})
    for name in ("enrich", "aenrich", "collect"):
        method, function = getattr(df.parallel, name), getattr(pf, name)
        assert method.__doc__ == function.__doc__
        first, *rest = inspect.signature(function).parameters.values()
        assert list(inspect.signature(method).parameters.values()) == rest
        assert first.name == "df"
        assert inspect.iscoroutinefunction(method) == inspect.iscoroutinefunction(function)
    assert "enrich" in repr(df.parallel)


def public_callables():
    """Return every function, class and method that users may call."""
    found = {name: getattr(pf, name) for name in pf.__all__ if callable(getattr(pf, name))}
    for kind in [value for value in found.values() if inspect.isclass(value)]:
        for name, member in vars(kind).items():
            plain = getattr(member, "fget", None) or getattr(member, "__func__", member)
            if not name.startswith("_") and callable(plain):
                found[f"{kind.__name__}.{name}"] = plain
    return found


@pytest.mark.parametrize("name", public_callables())
def test_everything_public_is_documented(name):
    """Each public callable has an imperative or telling first line that ends with a full stop."""
    documentation = inspect.getdoc(public_callables()[name])
    assert documentation
    first = documentation.splitlines()[0]
    assert first.endswith((".", ":")), first
    assert len(first) <= 120


@pytest.mark.parametrize("name", [name for name in pf.__all__ if name != "errors"])
def test_everything_public_has_an_example(name):
    """Each public name shows how it is used; the examples run as doctests."""
    assert "\nExamples\n--------\n>>> " in inspect.getdoc(getattr(pf, name))


@pytest.mark.parametrize(
    "kind", [pf.Enrichment, pf.Checkpoint, pf.Report, pf.ParallelAccessor], ids=lambda k: k.__name__
)
def test_every_method_has_an_example(kind):
    """Completion leads to methods, and each of them shows how it is used."""
    methods = [member for name, member in vars(kind).items() if not name.startswith("_") and inspect.isfunction(member)]
    assert len(methods) >= 2
    assert [m.__name__ for m in methods if "\nExamples\n--------\n>>> " not in inspect.getdoc(m)] == []


SECTIONS = {
    "enrich": ["Parameters", "Returns", "Raises", "Notes", "Examples"],
    "aenrich": ["Examples"],
    "collect": ["Parameters", "Returns", "Raises", "Examples"],
    "offline": ["Parameters", "Returns", "Notes", "Examples"],
    "last": ["Examples"],
    "Client": ["Parameters", "Raises", "Examples"],
}


@pytest.mark.parametrize("name", SECTIONS)
def test_documentation_has_the_sections_a_reader_looks_for(name):
    """The sections of numpydoc stand in order, underlined, and the examples run (they are doctests)."""
    documentation = inspect.getdoc(getattr(pf, name))
    found = re.findall(r"^([A-Z][a-z]+)\n-+$", documentation, flags=re.MULTILINE)
    assert [section for section in found if section in SECTIONS[name]] == SECTIONS[name]
    assert ">>> " in documentation


def test_every_option_is_explained_with_its_default():
    """The documentation of enrich has a paragraph for each option, and names its default."""
    documentation = inspect.getdoc(pf.enrich)
    for name, default in OPTIONS.items():
        line = re.search(rf"^{name} : (.+)$", documentation, flags=re.MULTILINE)
        assert line, name
        expected = "optional" if default is None else f"default {default!r}".replace("'", '"')
        assert expected in line[1], (name, line[1])


def test_errors_are_public_and_one_tree():
    """Every class of the errors module but the record of what is safe is a ParallelFramesError, and documented."""
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    for kind in classes:
        assert issubclass(kind, errors.ParallelFramesError) or kind is errors.Safety
        assert inspect.getdoc(kind)


def run(code):
    """Run code in a fresh interpreter and return what it printed."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.split()


def test_importing_imports_nothing_heavy():
    """`import parallel_frames` brings in neither HTTP nor simulator nor what only some calls need."""
    imported = set(run("import parallel_frames, sys; print(*sys.modules)"))
    assert "parallel_frames" in imported
    assert not imported & {"httpx", "starlette", "uvicorn", "nest_asyncio", "tqdm", "pydantic", "IPython"}


def test_importing_does_nothing_but_register_the_accessor():
    """After the import df.parallel is there; no thread was started, no file and no variable touched."""
    code = (
        "import threading, os, logging, pandas; before = dict(os.environ), list(logging.getLogger().handlers); "
        "import parallel_frames; "
        "print(hasattr(pandas.DataFrame, 'parallel'), threading.active_count(), "
        "before == (dict(os.environ), list(logging.getLogger().handlers)))"
    )
    assert run(code) == ["True", "1", "True"]


@pytest.mark.slow
def test_importing_is_quick():
    """The import adds little to that of pandas: the median of fresh interpreters needs little of a processor."""
    code = (
        "import time, pandas, pyarrow; start = time.process_time(); import parallel_frames; "
        "print(time.process_time() - start)"
    )
    seconds = statistics.median(float(run(code)[0]) for _ in range(3))
    assert seconds < 0.3, seconds  # twice what it should be
