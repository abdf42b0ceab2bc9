"""A group's results join a frame: ours by key, anybody's by input; nothing is sent."""

from __future__ import annotations

import os
import subprocess
import sys

import pandas as pd
import parallel
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError, RejectedError
from parallel_frames.simulator import Failure, Simulator

SCHEMA = {"name": str, "size": int}


def answer(sent):
    """Answer with what was sent, or fail."""
    company = sent if isinstance(sent, str) else sent["company"]
    return Failure("no luck") if company == "Initech" else {"name": company, "size": len(company)}


@pytest.fixture
def df():
    """Three companies, one of them twice, and a row with nothing to send."""
    return pd.DataFrame({"company": ["Acme", "Globex", "Initech", "Acme", None]}, index=[4, 4, 2, 1, 0])


@pytest.fixture(params=["published", "seed"])
def sim(request):
    """Start a simulator of either dialect."""
    with Simulator(answers=answer, latency=0, dialect=request.param) as sim:
        sim.api = request.param
        yield sim


def test_our_own_group_comes_back_as_it_was(df, sim, client_of):
    """collect() returns what enrich() returned, for the same rows, matched by key, and sends nothing."""
    client = client_of(sim, api=sim.api)
    out = df.parallel.enrich(SCHEMA, processor="core", client=client, checkpoint=None, prefix="x_")
    posts = sim.counts.posts
    processor = {} if sim.api == "published" else {"processor": "core"}
    again = df.parallel.collect(pf.last().group_ids[0], SCHEMA, client=client, prefix="x_", **processor)
    pd.testing.assert_frame_equal(again, out)
    assert out["x_parallel_status"].tolist() == ["completed", "completed", "failed", "completed", "skipped"]
    assert (sim.counts.posts, sim.counts.groups) == (posts, 1)
    assert again.attrs["parallel"]["enrichments"][0]["group_ids"] == list(pf.last().group_ids)


def test_rows_it_does_not_know_were_not_sent(df, sim, client_of):
    """Rows the group holds no run for are not_sent; runs for rows the frame lacks are left aside."""
    client = client_of(sim, api=sim.api)
    df.head(2).parallel.enrich(SCHEMA, client=client, checkpoint=None)
    group = pf.last().group_ids[0]
    other = pd.DataFrame({"company": ["Umbrella", "Globex"]})
    out = pf.collect(other, group, SCHEMA, client=client)
    assert out["parallel_status"].tolist() == ["not_sent", "completed"]
    assert out["name"].tolist()[1] == "Globex"


def test_runs_under_way_are_pending(df):
    """What has not finished yet is pending, and a later collect has it."""
    with pf.offline(answers=answer, latency=5_000, speed=40) as sim:
        df.parallel.enrich(SCHEMA, timeout=60)
        group = sim.group_ids[0]
        assert df.parallel.collect(group, SCHEMA)["parallel_status"].tolist() == ["pending"] * 4 + ["skipped"]
        sim.advance(10_000)
        assert df.parallel.collect(group, SCHEMA)["size"].tolist()[:2] == [4, 6]


def test_another_process_collects(df):
    """A fresh process that knows nothing but the group's id gets the answers."""
    code = (
        "import sys, pandas as pd, parallel_frames as pf\n"
        "df = pd.DataFrame({'company': ['Globex', 'Acme']})\n"
        "print(df.parallel.collect(sys.argv[1], {'name': str, 'size': int})['size'].tolist())"
    )
    with Simulator(answers=answer, latency=0) as sim:
        df.parallel.enrich(SCHEMA, client=pf.Client(api_key="any", base_url=sim.url), checkpoint=None)
        told = subprocess.run(
            [sys.executable, "-W", "error", "-c", code, sim.group_ids[0]],
            env=os.environ | {"PARALLEL_API_KEY": "any", "PARALLEL_BASE_URL": sim.url},
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert (told.stdout, told.stderr) == ("[6, 4]\n", "")
    assert sim.counts.posts == 1


@pytest.mark.parametrize("bare", [False, True])
def test_a_group_of_the_vendors_own_client_is_joined_by_input(df, client_of, bare):
    """Runs that another program made carry no key; they belong to the rows whose input is equal."""
    with Simulator(answers=answer, latency=0) as sim, parallel.Parallel(api_key="any", base_url=sim.url) as vendor:
        group = vendor.task_group.create(metadata={"made": "elsewhere"})
        vendor.task_group.add_runs(
            group.task_group_id,
            default_task_spec={
                "output_schema": {
                    "type": "json",
                    "json_schema": {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
                        "required": ["name", "size"],
                        "additionalProperties": False,
                    },
                },
            },
            inputs=[
                {"input": name if bare else {"company": name, "note": None}, "processor": "base"}
                for name in ("Initech", "Umbrella", "Acme")
            ],
        )  # fmt: skip
        sim.wait_until(lambda counts: counts.active == 0)
        out = df.parallel.collect(
            group.task_group_id, SCHEMA, client=client_of(sim), inputs="company" if bare else None
        )
    assert out["parallel_status"].tolist() == ["completed", "not_sent", "failed", "completed", "skipped"]
    assert out["size"].tolist()[::3] == [4, 4]
    assert out["parallel_error"].tolist()[2] == "no luck"
    assert sim.counts.runs == 3


def test_strangers_in_a_group_change_nothing(df):
    """Runs that somebody else added to our group are nobody's answer."""
    with pf.offline(answers=answer, latency=0) as sim:
        out = df.parallel.enrich(SCHEMA)
        for stranger in ("somebody else's row", {"company": "Nobody"}):
            sim.add_foreign_run(sim.group_ids[0], input=stranger, metadata={"key": "nonsense"})
        sim.wait_until(lambda counts: counts.active == 0)
        again = df.parallel.collect(sim.group_ids[0], SCHEMA)
    pd.testing.assert_frame_equal(again, out)


def test_a_retried_row_shows_its_newest_answer(df):
    """Of several attempts in a group the newest answer counts."""
    with pf.offline(answers={"Acme": Failure("first")}, latency=0) as sim:
        first = df.head(1).parallel.enrich(SCHEMA)
        assert first["parallel_status"].tolist() == ["failed"]
        sim.add_faults()
        out = df.head(1).parallel.enrich(SCHEMA)
        again = df.head(1).parallel.collect(sim.group_ids[0], SCHEMA)
    pd.testing.assert_frame_equal(again, out)
    assert [run.metadata["attempt"] for run in sim.runs()] == ["0", "1"]


def test_options_that_shape_columns_count(df):
    """prefix, status, if_exists and dtype_backend are as for enrich."""
    with pf.offline(answers=answer, latency=0) as sim:
        df.parallel.enrich(SCHEMA)
        group = sim.group_ids[0]
        out = df.parallel.collect(group, SCHEMA, prefix="x_", status=False, dtype_backend="pyarrow")
        assert out.columns.tolist() == ["company", "x_name", "x_size"]
        assert str(out["x_size"].dtype) == "int64[pyarrow]"
        taken = df.assign(size=range(5))
        with pytest.raises(InputError, match="'size'"):
            taken.parallel.collect(group, SCHEMA, inputs=["company"])
        out = taken.parallel.collect(group, SCHEMA, inputs=["company"], if_exists="overwrite")
    assert out["size"].tolist() == [4, 6, 2, 4, 4]


@pytest.mark.parametrize("group", ["", None, 3])
def test_what_is_no_group_id_is_refused(df, group):
    """Without a group's id nothing is asked."""
    with pf.offline(latency=0) as sim:
        with pytest.raises(InputError, match="group_id="):
            df.parallel.collect(group, SCHEMA)
        assert sim.counts.requests == 0


def test_an_unknown_group_is_rejected(df):
    """A group that the service does not know is a RejectedError with its id, whoever asks."""
    with pf.offline(latency=0), pytest.raises(RejectedError, match="tgrp_nobody") as caught:
        df.parallel.collect("tgrp_nobody", SCHEMA)
    assert (caught.value.status, caught.value.group_id) == (404, "tgrp_nobody")
