"""What a user sees of an error: few lines in a notebook, no inner frames in a script, and what was meant."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
import traceback
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError, UnknownColumnError, user_facing

SCHEMA = {"founded": int}
SCRIPT = """
import pandas as pd, parallel_frames as pf

def ask(df):
    return df.parallel.enrich({"founded": int}, inputs=["compny"])

ask(pd.DataFrame({"company": ["Acme"]}))
"""
CELL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance(colors="NoColor")
shell.run_cell("import pandas as pd, parallel_frames as pf")
shell.run_cell("df = pd.DataFrame({'company': ['Acme']})")
shell.run_cell('''one = 1
df.parallel.enrich({"founded": int}, inputs=["compny"])''')
"""


@pytest.fixture
def df():
    """Return one row."""
    return pd.DataFrame({"company": ["Acme"]})


def test_a_script_shows_its_own_lines_and_one_of_ours(tmp_path):
    """The traceback leads to the user's call, and then to the message; while debugging it is whole."""
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.startswith("  File")]
    assert [Path(line.split('"')[1]).name for line in lines] == ["script.py", "script.py", "_tracebacks.py"]
    assert done.stderr.splitlines()[-1].startswith(
        "parallel_frames.errors.UnknownColumnError: `inputs` names the column"
    )
    environment = os.environ | {"PARALLEL_FRAMES_DEBUG": "1"}
    whole = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "_select.py" in whole.stderr


def test_a_notebook_shows_a_few_lines(forks):
    """The user's line and the message, and nothing else; while debugging what IPython shows of any error."""
    pytest.importorskip("IPython")
    done = forks.run([sys.executable, "-c", CELL])
    shown = done.stdout.strip().splitlines()
    assert len(shown) == 2, done.stdout
    assert shown[0] == 'line 2: df.parallel.enrich({"founded": int}, inputs=["compny"])'
    assert shown[1].startswith("UnknownColumnError: `inputs` names the column 'compny'")
    whole = forks.run([sys.executable, "-c", CELL], env=os.environ | {"PARALLEL_FRAMES_DEBUG": "1"})
    assert "_select.py" in whole.stdout


def test_a_cancelled_call_says_what_is_safe_in_a_line(df):
    """In async code Ctrl-C is a cancellation: it has the text and the short traceback that the interrupt has."""

    async def cancelled(sim):
        call = asyncio.create_task(df.parallel.aenrich(SCHEMA, progress=False))
        await asyncio.to_thread(sim.wait_until, lambda counts: counts.streams > 0)
        call.cancel()
        await call

    with pf.offline(latency=1000) as sim, pytest.raises(asyncio.CancelledError) as caught:
        asyncio.run(cancelled(sim))
    error = caught.value
    assert str(error).startswith("0 of 1 row is answered, 1 run sent")
    assert error._render_traceback_() == [f"CancelledError: {error}"]
    frames = [Path(frame.filename).name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames[-1] == "_tracebacks.py"
    assert "_runner.py" not in "".join(traceback.format_exception(error))


def test_the_cause_of_an_error_is_kept_and_short():
    """What an error came from is still its cause, without the frames of installed libraries, and can be rendered."""

    @user_facing
    def read():
        try:
            json.loads("{")
        except ValueError as error:
            raise InputError("not JSON") from error

    with pytest.raises(InputError) as caught:
        read()
    error = caught.value
    frames = [Path(frame.filename).name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames == [Path(__file__).name, "_tracebacks.py"]
    assert isinstance(error.__cause__, json.JSONDecodeError)
    assert "decoder.py" not in "".join(traceback.format_exception(error))
    assert [line.partition(":")[0] for line in error._render_traceback_()] == [
        f"{Path(__file__).name}, line {error.__traceback__.tb_lineno}", "from JSONDecodeError", "InputError",
    ]  # fmt: skip
    with pytest.raises(RuntimeError) as outer:
        raise RuntimeError("mine") from error
    assert outer.value.__cause__ is error
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_a_users_own_function_keeps_its_traceback(df):
    """An error of the user's own function passes through as it is, with the line that raised it."""

    def choose(_):
        raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        df.parallel.enrich(SCHEMA, where=choose)
    assert traceback.extract_tb(caught.value.__traceback__)[-1].name == "choose"


def test_a_bug_in_an_answer_function_is_raised_by_the_call(df):
    """A test sees its own line, and no inner one, rather than a failed row; what is no answer is raised as well."""
    founded = {}

    def answer(sent):
        return {"founded": founded[sent["company"]]}

    with pf.offline(answer, latency=0):
        with pytest.raises(KeyError, match="Acme") as caught:
            df.parallel.enrich(SCHEMA)
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert [frame.name for frame in frames][1:] == ["parallel_frames", "answer"]
        with pytest.raises(KeyError, match="Acme"):
            df.parallel.compare(SCHEMA, processors=["lite", "base"])
        founded["Acme"] = 1949
        assert df.parallel.enrich(SCHEMA)["founded"].tolist() == [1949]
    with pf.offline({"Acme": 1949}, latency=0), pytest.raises(TypeError, match="must be a mapping"):
        df.parallel.enrich(SCHEMA)


def foreign(module, name, *attributes):
    """Make an object of a class of that name and module, with these attributes."""
    return type(name, (), {"__module__": module} | dict.fromkeys(attributes))()


FRAMES = {
    "lazy": (foreign("polars.lazyframe.frame", "LazyFrame"), "a polars.LazyFrame: pass `df.collect()`"),
    "column": (pa.chunked_array([["Acme"]]), "a pyarrow.ChunkedArray: pass `pd.DataFrame(...)`"),
    "dataset": (foreign("pyarrow._dataset", "FileSystemDataset"), "a pyarrow.FileSystemDataset: pass `df.to_table()`"),
    "modin": (foreign("modin.pandas.dataframe", "DataFrame"), "a modin.DataFrame: pass `df._to_pandas()`"),
    "dask": (
        foreign("dask.dataframe.dask_expr._collection", "DataFrame"),
        "a dask.DataFrame: `enrich`, `plan` and `submit` take it as it is; or pass `df.compute()`, if it fits memory",
    ),
    "spark": (
        foreign("pyspark.sql.connect.dataframe", "DataFrame", "__arrow_c_stream__", "columns"),
        "a pyspark.DataFrame: `enrich`, `plan` and `submit` take it as it is; or pass `df.toPandas()`",
    ),
    "ray": (
        foreign("ray.data.dataset", "MaterializedDataset"),
        "a ray.MaterializedDataset: `enrich`, `plan` and `submit` take it as it is; or pass `ds.to_pandas()`",
    ),
    "series": (pd.Series(["Acme"], name="company"), "a pandas.Series: pass `series.to_frame()`"),
    "index": (pd.Index(["Acme"]), "a pandas.Index: pass `index.to_frame(index=False)`"),
    "list": (["Acme"], "a list: pass `pd.DataFrame({'company': values})`"),
    "rows": ([{"company": "Acme"}], "a list: pass `pd.DataFrame(rows)`"),
    "dict": ({"company": ["Acme"]}, "a dict: pass `pd.DataFrame(rows)`"),
    "path": (Path("rows.csv"), "`pf.enrich_parquet(source, target, schema)`"),
    "none": (None, "and is None: pass `pd.DataFrame(...)`"),
}


@pytest.mark.parametrize("name", FRAMES)
def test_what_is_no_frame_is_named_with_the_line_that_works(name):
    """A frame of another library, a column, rows or a path: each function says what it is and what to type."""
    given, advice = FRAMES[name]
    in_parts = name in ("lazy", "dask", "spark", "ray")  # the other functions take these
    for function in (pf.preview,) if in_parts else (pf.enrich, pf.plan, pf.submit):
        with pytest.raises(InputError) as caught:
            function(given, SCHEMA)
        assert str(caught.value).startswith("The first argument must be a DataFrame in memory, and is ")
        assert advice in str(caught.value)


def test_a_frame_in_the_place_of_the_schema_is_named(df, tmp_path):
    """A table, a column, or the path of a file is no schema; a text that only looks like a path is a description."""
    with pytest.raises(InputError, match=r"frame comes first.*`pf\.enrich\(df, schema\)`"):
        pf.enrich(SCHEMA, df)
    for given in (df, df["company"], pa.table(df)):
        with pytest.raises(InputError, match=r"The schema must describe what to find out.*and is a (pandas|pyarrow)\."):
            df.parallel.enrich(given)
    path = tmp_path / "schema.json"
    path.write_text("{}")
    for given in (path, str(path)):
        with pytest.raises(InputError, match=r"json\.loads"):
            df.parallel.enrich(given)
    assert df.parallel.plan("the content of schema.json", checkpoint=None).to_send == 1


def test_a_call_of_the_accessor_says_enrich(df):
    """`df.parallel(schema)` is answered with the method."""
    with pytest.raises(InputError, match=r"`df\.parallel\.enrich\(schema\)`"):
        df.parallel(SCHEMA, processor="core")


@pytest.mark.parametrize(
    "options",
    [
        {"inputs": ["Company"]},
        {"inputs": "Research {compnay}"},
        {"inputs": {"name": "compny"}},
        {"metadata": {"id": "Company"}},
    ],
)
def test_a_misspelt_column_is_answered_with_the_one_that_is_meant(df, options):
    """Wherever a column is named, the nearest one is, in whatever letters."""
    with pytest.raises(UnknownColumnError, match=r"did you mean 'company'\?"):
        df.parallel.plan(SCHEMA, **options)


def test_a_misspelt_column_as_the_bare_cell_is_answered_too(df):
    """A text that is neither a column nor a template is answered with the nearest column."""
    with pytest.raises(UnknownColumnError, match=r"which the frame does not have \(did you mean 'company'\?\)"):
        df.parallel.plan(SCHEMA, inputs="Compnay")
    with pytest.raises(InputError, match=r"no 'source_polcy' \(did you mean 'source_policy'\?\)"):
        df.parallel.plan(SCHEMA, options={"source_polcy": {}})


def test_every_method_is_decorated():
    """The functions and methods that users call all end tracebacks at themselves."""
    for kind in (pf.ParallelAccessor, pf.Enrichment):
        for name, method in vars(kind).items():
            if not name.startswith("_") and callable(method):
                assert hasattr(method, "__wrapped__"), name
    for function in (pf.enrich, pf.aenrich, pf.plan, pf.submit, pf.collect, pf.report, pf.enrich_parquet, pf.lint):
        assert hasattr(function, "__wrapped__")
