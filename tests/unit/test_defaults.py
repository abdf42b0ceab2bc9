"""Defaults of a process and of a project: what wins, what is refused, and that every end heeds them."""

from __future__ import annotations

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.__main__ import main
from parallel_frames._job._defaults import NAMES
from parallel_frames._job._options import Call
from parallel_frames.errors import ConfigurationError, CostError, InputError, RejectedError, UnknownOptionError

SCHEMA = {"founded": int}


@pytest.fixture
def df():
    """Return two rows."""
    return pd.DataFrame({"company": ["Acme", "Globex"]})


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """Work in a folder below a project, whose table it writes; defaults end with the test."""
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")

    def write(table):
        (tmp_path / "pyproject.toml").write_text(f"[tool.parallel_frames]\n{table}")
        return tmp_path

    write("")
    yield write
    pf.options.reset()


def test_what_a_call_passes_wins_then_the_process_then_the_project(df, project):
    """The nearest pyproject.toml is read, options set here win over it, and arguments over both."""
    assert df.parallel.plan(SCHEMA, checkpoint=None).processor == "base"
    project('processor = "pro"\ncheckpoint = false')
    plan = df.parallel.plan(SCHEMA)
    assert (plan.processor, plan.checkpoint, pf.options.processor) == ("pro", None, "pro")
    assert "processor='pro' (tool.parallel_frames of " in repr(pf.options)
    pf.options.processor = "core"
    assert df.parallel.plan(SCHEMA).processor == "core"
    assert df.parallel.plan(SCHEMA, processor="lite").processor == "lite"
    pf.options.reset("processor")
    assert pf.options.in_force() == {"processor": "pro", "checkpoint": False}
    assert df["company"].parallel.plan(SCHEMA).processor == "pro"


def test_an_unknown_processor_is_named_where_it_is_set(df, project, caplog):
    """It may be new at the service, so that it is taken; the likely name is said at once, and by each plan and call."""
    pf.options.processor = "cor"
    warning = "processor 'cor' is not in the price table of"
    assert caplog.messages[0].startswith(warning)
    assert caplog.messages[0].endswith("did you mean 'core'?")
    pf.options.reset()
    project('processor = "cor"')
    (finding,) = df.parallel.plan(SCHEMA, checkpoint=None).findings
    assert finding.with_subject.startswith("processor: 'cor' is not in the price table of")
    with pf.offline(latency=0), pytest.raises(RejectedError, match="did you mean 'core'"):
        df.parallel.enrich(SCHEMA)
    assert warning in caplog.messages[-1]


def test_the_line_before_the_first_run_says_which_defaults_decide(df, project, capsys):
    """What decides what is asked and what it costs, and is not in the call itself, can be seen."""
    project('processor = "pro"\nbasis = true\ntimeout = 600')
    with pf.offline(latency=0):
        df.parallel.enrich(SCHEMA)
        assert "pyproject.toml processor='pro', timeout=600" in capsys.readouterr().err
        df.parallel.enrich(SCHEMA, processor="lite", timeout=None)
        assert "pyproject.toml" not in capsys.readouterr().err


def test_a_checkpoint_in_the_file_is_relative_to_it(df, project):
    """Wherever in the project a call is made, it has the project's checkpoint."""
    root = project('checkpoint = "answers.ckpt"')
    with pf.offline(latency=0) as sim:
        df.parallel.enrich(SCHEMA, progress=False)
        pf.enrich_parquet(written(df), "out.parquet", SCHEMA, progress=False)
    assert (root / "answers.ckpt").is_dir()
    assert sim.counts.runs == 2


def written(df):
    """Write the rows into a file here, and return its name."""
    df.to_parquet("in.parquet")
    return "in.parquet"


def test_files_and_the_command_line_heed_them_too(df, project):
    """A project's limit of cost holds for files and for commands that type none; a typed one wins."""
    project('max_cost = 0.01\ndtype_backend = "pyarrow"')
    with pf.offline(latency=0) as sim:
        for call in (lambda: df.parallel.enrich(SCHEMA), lambda: pf.enrich_parquet(written(df), "out.parquet", SCHEMA)):
            with pytest.raises(CostError):
                call()
        command = ["enrich", "in.parquet", "out.parquet", "--column", "founded (int)", "--yes"]
        assert main(command) == 2
        assert sim.counts.runs == 0
        assert main([*command, "--max-cost", "1"]) == 0
        assert sim.counts.runs == 2
        out = df.parallel.enrich(SCHEMA, max_cost=None, progress=False)
    assert str(out["founded"].dtype) == "int64[pyarrow]"


def test_unknown_names_and_wrong_values_are_refused(df, project):
    """Names are answered with the nearest, what belongs to a call is said to, and a value is checked when it is set."""
    for name, said in (("procesor", "did you mean 'processor'"), ("model", "`processor='core'`")):
        with pytest.raises(UnknownOptionError, match=said):
            setattr(pf.options, name, "core")
    for name in set(Call.__dataclass_fields__) - set(NAMES):
        with pytest.raises(UnknownOptionError, match="passed with each call"):
            setattr(pf.options, name, None)
    with pytest.raises(InputError, match="must be an amount"):
        pf.options.max_cost = "lots"
    with pytest.raises(AttributeError, match="did you mean 'max_cost'"):
        _ = pf.options.maxcost
    with pytest.raises(InputError, match=r"`pf\.options\.processor = 'core'`"):
        pf.options(processor="core")
    assert pf.options.in_force() == {}
    assert set(NAMES) < set(dir(pf.options))
    for table in ('procesor = "core"', 'max_cost = "lots"'):
        root = project(table)
        with pytest.raises(ConfigurationError, match=r"pyproject\.toml, \[tool\.parallel_frames\]: "):
            df.parallel.plan(SCHEMA)
    (root / "pyproject.toml").write_text("not TOML")
    assert df.parallel.plan(SCHEMA, checkpoint=None).processor == "base"
