"""A group's results join a frame: ours by key, anybody's by input; nothing is sent."""

from __future__ import annotations

import os
import sys
from decimal import Decimal

import httpx
import pandas as pd
import parallel
import pytest

import parallel_frames as pf
from parallel_frames.errors import InputError, RejectedError, UndecidedError
from parallel_frames.simulator import Failure, Simulator, faults

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
    assert out["parallel_error"].tolist()[0] == "the groups hold no run for this row"
    assert out["name"].tolist()[1] == "Globex"


def test_runs_under_way_are_pending(df):
    """What has not finished yet is pending, and a later collect has it."""
    with pf.offline(answers=answer, latency=5_000, speed=40) as sim:
        df.parallel.enrich(SCHEMA, timeout=60)
        group = sim.group_ids[0]
        waiting = df.parallel.collect(group, SCHEMA)
        assert waiting["parallel_status"].tolist() == ["pending"] * 4 + ["skipped"]
        assert waiting["parallel_error"].str.contains(f"of group {group} is (?:running|queued)$")[:4].all()
        sim.advance(10_000)
        assert df.parallel.collect(group, SCHEMA)["size"].tolist()[:2] == [4, 6]


def test_another_process_collects(forks, df):
    """A fresh process that knows nothing but the group's id gets the answers."""
    code = (
        "import sys, pandas as pd, parallel_frames as pf\n"
        "df = pd.DataFrame({'company': ['Globex', 'Acme']})\n"
        "print(df.parallel.collect(sys.argv[1], {'name': str, 'size': int})['size'].tolist())"
    )
    with Simulator(answers=answer, latency=0) as sim:
        df.parallel.enrich(SCHEMA, client=pf.Client(api_key="any", base_url=sim.url), checkpoint=None)
        done = forks.run(
            [sys.executable, "-W", "error", "-c", code, sim.group_ids[0]],
            env=os.environ | {"PARALLEL_API_KEY": "any", "PARALLEL_BASE_URL": sim.url},
        )
    assert (done.stdout, done.stderr) == ("[6, 4]\n", "")
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
    """Runs that another program added to our group answer no row."""
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


def add_elsewhere(vendor, runs):
    """Make a group as another program would, and return its id."""
    group = vendor.task_group.create()
    spec = {"output_schema": {"type": "json", "json_schema": {
        "type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
        "required": ["name", "size"], "additionalProperties": False}}}  # fmt: skip
    inputs = [{"input": sent, "processor": "base", "metadata": metadata} for sent, metadata in runs]
    vendor.task_group.add_runs(group.task_group_id, default_task_spec=spec, inputs=inputs)
    return group.task_group_id


@pytest.fixture
def vendor():
    """Start a published service, and a client of the vendor's for it."""
    with (
        Simulator(answers=lambda sent: {"name": str(sent), "size": 1}, latency=0) as sim,
        parallel.Parallel(api_key="any", base_url=sim.url) as client,
    ):
        client.sim = sim
        yield client


def matched(out):
    """Return how the runs were matched."""
    return out.attrs["parallel"]["enrichments"][-1]["matched"]


def test_prompts_of_another_program_are_joined_by_the_row_in_their_metadata(df, vendor, client_of, caplog):
    """Inputs that no row would send find their row by its number, and a warning says that only that was known."""
    group = add_elsewhere(vendor, [(f"Research {n}", {"row": str(n)}) for n in range(3)])
    vendor.sim.wait_until(lambda counts: counts.active == 0)
    out = df.parallel.collect(group, SCHEMA, client=client_of(vendor.sim))
    assert out["name"].tolist()[:3] == ["Research 0", "Research 1", "Research 2"]
    assert out["name"].tolist()[3] == "Research 0"  # an equal row shares the answer
    assert matched(out) == {"key": 0, "input": 0, "row": 3, "unmatched": 0}
    assert "by the row number in their metadata alone" in caplog.text


@pytest.mark.parametrize(
    ("runs", "unmatched"),
    [
        ([("x", {"row": "9"})], 1),  # there is no such row
        ([("x", {"row": "-1"}), ("y", {"row": "one"}), ("z", {})], 3),  # no row numbers
        ([("x", {"row": "4"})], 1),  # that row has nothing to send
        ([("x", {"row": "0"}), ("y", {"row": "0"})], 2),  # two claim one row
        ([({"company": "Globex"}, {"row": "0"}), ("x", {"row": "2"})], 1),  # the rows stood in another order
    ],
)
def test_a_row_number_that_may_be_wrong_matches_nothing(df, vendor, client_of, runs, unmatched):
    """Where it names no row, or may name the wrong one, a row stays without an answer rather than with another's."""
    group = add_elsewhere(vendor, runs)
    vendor.sim.wait_until(lambda counts: counts.active == 0)
    out = df.parallel.collect(group, SCHEMA, client=client_of(vendor.sim))
    assert matched(out)["row"] == 0
    assert matched(out)["unmatched"] == unmatched
    assert out["name"].isna().tolist()[0]


def test_our_own_runs_of_other_rows_are_never_matched_by_number(vendor, client_of):
    """A group of ours holds keys: rows that have moved or changed get no other row's answer."""
    client = client_of(vendor.sim)
    one = pd.DataFrame({"company": ["Acme", "Globex", "Initech"]})
    one.parallel.enrich(SCHEMA, client=client, checkpoint=None)
    other = pd.DataFrame({"company": ["Hooli", "Acme", "Umbrella"]})
    out = other.parallel.collect(pf.last().group_ids, SCHEMA, client=client)
    assert out["parallel_status"].tolist() == ["not_sent", "completed", "not_sent"]
    assert matched(out) == {"key": 1, "input": 0, "row": 0, "unmatched": 2}


def test_several_groups_are_joined_together(vendor, client_of):
    """A list of ids joins them all, and of two runs of one input the newest answer counts, whatever the order."""
    client = client_of(vendor.sim)
    frame = pd.DataFrame({"company": ["Acme", "Globex"]})
    groups = [add_elsewhere(vendor, [({"company": name}, {})]) for name in ("Acme", "Globex")]
    vendor.sim.wait_until(lambda counts: counts.active == 0)
    for order in (groups, groups[::-1]):
        out = frame.parallel.collect(order, SCHEMA, client=client)
        assert out["parallel_status"].tolist() == ["completed"] * 2
        assert matched(out)["input"] == 2


@pytest.mark.parametrize("group_id", [[], "", None, [""], 3])
def test_a_group_id_that_is_none_is_refused(df, group_id):
    """What names no group is an error that shows it."""
    with pf.offline(), pytest.raises(InputError, match="group"):
        df.parallel.collect(group_id, SCHEMA)


@pytest.mark.parametrize("dialect", ["published", "both", "seed"])
def test_a_group_is_found_whatever_its_service_speaks(df, client_of, dialect):
    """collect() finds a known group under either path by itself: reading creates nothing."""
    with Simulator(answers=answer, latency=0, dialect=dialect) as sim:
        df.parallel.enrich(SCHEMA, client=client_of(sim), checkpoint=None)
        posts = sim.counts.posts
        out = df.parallel.collect(pf.last().group_ids[0], SCHEMA, client=client_of(sim), processor="base")
        assert out["parallel_status"].tolist() == ["completed", "completed", "failed", "completed", "skipped"]
        assert (sim.counts.posts, sim.counts.groups) == (posts, 1)
        with pytest.raises(RejectedError, match="404"):
            df.parallel.collect("tgrp_unknown", SCHEMA, client=client_of(sim))


def test_a_weaker_proof_never_replaces_a_stronger_one(vendor, client_of):
    """A run of another input whose metadata claims a row does not take the place of the row's own answer."""
    df = pd.DataFrame({"company": ["Acme", "Globex", "Initech"]})
    runs = [({"company": name}, {"row": str(row)}) for row, name in enumerate(df["company"])]
    group = add_elsewhere(vendor, [*runs, ({"company": "Somebody else"}, {"row": "2"})])
    vendor.sim.wait_until(lambda counts: counts.active == 0)
    out = df.parallel.collect(group, SCHEMA, client=client_of(vendor.sim))
    assert matched(out) == {"key": 0, "input": 3, "row": 0, "unmatched": 1}
    assert out["parallel_status"].tolist() == ["completed"] * 3


def test_a_number_that_no_row_has_makes_all_of_them_worthless(vendor, client_of):
    """A group of ten joined to four of its rows puts nothing on a wrong row."""
    df = pd.DataFrame({"company": [f"c{n}" for n in range(10)]})
    group = add_elsewhere(vendor, [(f"Research {name}", {"row": str(row)}) for row, name in enumerate(df["company"])])
    some = df.iloc[[1, 4, 6, 9]].reset_index(drop=True)
    assert matched(some.parallel.collect(group, SCHEMA, client=client_of(vendor.sim)))["row"] == 0
    assert matched(df.parallel.collect(group, SCHEMA, client=client_of(vendor.sim)))["row"] == 10


def test_equal_rows_that_are_kept_apart_get_a_run_each(vendor, client_of):
    """With dedupe=False two runs of one input answer two rows."""
    df = pd.DataFrame({"company": ["Acme", "Acme"]})
    group = add_elsewhere(vendor, [({"company": "Acme"}, {}), ({"company": "Acme"}, {})])
    vendor.sim.wait_until(lambda counts: counts.active == 0)
    out = df.parallel.collect(group, SCHEMA, client=client_of(vendor.sim), dedupe=False)
    assert out["parallel_status"].tolist() == ["completed"] * 2


@pytest.mark.parametrize("end", ["frame", "file"])
def test_a_group_that_another_program_filled_is_joined_before_anything_is_sent(vendor, client_of, tmp_path, end):
    """enrich(group_id=...) recognises inputs as collect does: only what is not there is sent."""
    df = pd.DataFrame({"company": [f"c{n}" for n in range(5)]})
    group = add_elsewhere(vendor, [({"company": f"c{n}"}, {"job": "nightly"}) for n in range(4)])
    vendor.sim.wait_until(lambda counts: counts.active == 0)
    options = {"client": client_of(vendor.sim), "group_id": group, "progress": False}
    if end == "frame":
        out = df.parallel.enrich(SCHEMA, **options)
    else:
        df.to_parquet(tmp_path / "rows.parquet")
        pf.enrich_parquet(tmp_path / "rows.parquet", tmp_path / "out.parquet", SCHEMA, **options)
        out = pd.read_parquet(tmp_path / "out.parquet")
    assert out["parallel_status"].tolist() == ["completed"] * 5
    assert vendor.sim.counts.runs == 5
    if end == "frame":
        assert matched(out) == {"key": 0, "input": 4, "row": 0, "unmatched": 0}


def test_a_plan_counts_what_the_named_group_holds(vendor, client_of):
    """plan(group_id=...) reads the group, sends nothing, and expects what enrich(group_id=...) then sends."""
    df = pd.DataFrame({"company": [f"c{n}" for n in range(5)]})
    group = add_elsewhere(vendor, [({"company": f"c{n}"}, {"job": "nightly"}) for n in range(4)])
    vendor.sim.wait_until(lambda counts: counts.active == 0)
    options = {"client": client_of(vendor.sim), "group_id": group, "progress": False}
    plan = df.parallel.plan(SCHEMA, **options)
    assert (plan.answered, plan.to_send, vendor.sim.counts.runs) == (4, 1, 4)
    df.parallel.enrich(SCHEMA, max_cost=plan.spent + plan.cost, **options)
    assert vendor.sim.counts.runs == 5


@pytest.mark.parametrize("end", ["frame", "file"])
def test_prompts_of_another_program_are_not_paid_again(vendor, client_of, tmp_path, caplog, end):
    """enrich(group_id=...) believes row numbers where collect does, says so, and not where it does not."""
    df = pd.DataFrame({"company": ["Acme", "Globex", "Initech"]})
    group = add_elsewhere(vendor, [(f"Research {n}", {"row": str(n)}) for n in range(2)])
    other = add_elsewhere(vendor, [("Research 9", {"row": "9"}), ("Research 0", {"row": "0"})])
    vendor.sim.wait_until(lambda counts: counts.active == 0)

    def enrich(group_id, **more):
        options = {"client": client_of(vendor.sim), "group_id": group_id, "progress": False, "checkpoint": None, **more}
        if end == "frame":
            return df.parallel.enrich(SCHEMA, **options)
        df.to_parquet(tmp_path / "rows.parquet")
        options["checkpoint"] = tmp_path / f"{group_id}.ckpt"
        pf.enrich_parquet(tmp_path / "rows.parquet", tmp_path / "out.parquet", SCHEMA, overwrite=True, **options)
        return pd.read_parquet(tmp_path / "out.parquet")

    out = enrich(group)
    assert out["name"].tolist()[:2] == ["Research 0", "Research 1"]
    assert vendor.sim.counts.runs == 5
    assert "by the row number in their metadata alone" in caplog.text
    assert enrich(other)["parallel_status"].tolist() == ["completed"] * 3
    assert vendor.sim.counts.runs == 8


@pytest.mark.parametrize("trouble", [[], [faults.short_list(keep=0.5, nth=1)]], ids=["whole", "cut short"])
def test_of_several_runs_of_one_input_the_completed_one_counts(client_of, trouble):
    """A failure that another program asked again is not taken where its answer is there, or may be."""
    answers = iter([Failure("first"), {"name": "Acme", "size": 4}])
    with (
        Simulator(answers=lambda _: next(answers), latency=0, faults=trouble) as sim,
        parallel.Parallel(api_key="any", base_url=sim.url) as vendor,
    ):
        group = add_elsewhere(vendor, [({"company": "Acme"}, {"n": "1"}), ({"company": "Acme"}, {"n": "2"})])
        sim.wait_until(lambda counts: counts.active == 0)
        df = pd.DataFrame({"company": ["Acme"]})
        out = df.parallel.enrich(SCHEMA, client=client_of(sim), group_id=group, progress=False, checkpoint=None)
        assert (out["size"].tolist(), sim.counts.runs) == ([4], 2)


@pytest.mark.parametrize("dialect", ["published", "both", "seed"])
def test_a_named_group_is_found_and_filled_whatever_its_service_speaks(df, client_of, dialect):
    """enrich(group_id=...) finds the group under either path, and sends the rest in the dialect that is taken."""
    with Simulator(answers=answer, latency=0, dialect=dialect) as sim:
        df.head(1).parallel.enrich(SCHEMA, client=client_of(sim), checkpoint=None)
        group = pf.last().group_ids[0]
        out = df.parallel.enrich(SCHEMA, client=client_of(sim), checkpoint=None, group_id=group)
        assert out["parallel_status"].tolist() == ["completed", "completed", "failed", "completed", "skipped"]
        assert (sim.counts.groups, sim.counts.runs) == (1, 3)


@pytest.mark.parametrize("dedupe", [True, False])
@pytest.mark.parametrize("end", ["frame", "file"])
def test_decimals_are_known_by_what_they_send(vendor, client_of, tmp_path, end, dedupe):
    """A number that travels as text is the input that another program sent as that text, at any depth of a cell."""
    prices, nested = [Decimal("1.50")] * 2 + [Decimal("2.50")], [{"a": [Decimal("0.10")]}] * 3
    df = pd.DataFrame({"company": ["Acme"] * 2 + ["Globex"], "price": prices, "nested": nested})
    sent = {"company": "Acme", "price": "1.50", "nested": {"a": ["0.10"]}}
    others = [(sent, {"n": str(n)}) for n in range(1 if dedupe else 2)]
    group = add_elsewhere(vendor, [*others, ({**sent, "price": "1.5"}, {"n": "9"})])
    vendor.sim.wait_until(lambda counts: counts.active == 0)
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    df.to_parquet(source)
    options = {"client": client_of(vendor.sim), "group_id": group, "dedupe": dedupe}
    if end == "frame":
        out = df.parallel.enrich(SCHEMA, checkpoint=None, **options)
    else:
        pf.enrich_parquet(source, target, SCHEMA, checkpoint=tmp_path / "ckpt", **options)
        out = pd.read_parquet(target)
    assert out["size"].tolist() == [1, 1, 1]
    assert vendor.sim.counts.runs == len(others) + 2  # Globex, and one that no row sends


def test_what_is_under_way_comes_before_a_failure(client_of):
    """A failed run is not asked again while another program's run of the same input may still answer."""
    latencies = iter([300.0, 0.0])
    answers = iter([Failure("first"), {"name": "Acme", "size": 4}])
    with (
        Simulator(lambda _: next(answers), latency=lambda _: next(latencies), speed=100) as sim,
        parallel.Parallel(api_key="any", base_url=sim.url) as vendor,
    ):
        group = add_elsewhere(vendor, [({"company": "Acme"}, {"n": "1"}), ({"company": "Acme"}, {"n": "2"})])
        sim.wait_until(lambda counts: counts.active == 1)
        client = pf.Client(api_key="any", base_url=sim.url, clock_speed=100)
        options = {"client": client, "group_id": group, "checkpoint": None, "progress": False}
        df = pd.DataFrame({"company": ["Acme"]})
        assert df.parallel.plan(SCHEMA, **options).to_send == 0
        assert df.parallel.enrich(SCHEMA, **options)["size"].tolist() == [4]
        assert sim.counts.runs == 2


def test_numbers_of_inputs_that_are_other_rows_are_not_believed(vendor, client_of):
    """An input with the names that a row sends, and other values, is another row, whatever its number says."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    group = add_elsewhere(vendor, [({"company": f"other {n}"}, {"row": str(n)}) for n in range(2)])
    vendor.sim.wait_until(lambda counts: counts.active == 0)
    assert matched(df.parallel.collect(group, SCHEMA, client=client_of(vendor.sim)))["row"] == 0
    df.parallel.enrich(SCHEMA, client=client_of(vendor.sim), group_id=group, checkpoint=None, progress=False)
    assert vendor.sim.counts.runs == 4


def test_the_first_batch_into_a_named_seed_group_is_small(client_of):
    """Until runs can be told apart there, no more than a few are sent, as into a group of one's own."""
    hidden = {"seed_answer_ids": False, "seed_echo_metadata": False, "seed_echo_input": False}
    many = pd.DataFrame({"company": [f"c{n}" for n in range(100)]})
    with Simulator(answers=answer, latency=0, dialect="seed", speed=100, **hidden) as sim:
        client = pf.Client(api_key="any", base_url=sim.url, clock_speed=100)
        made = httpx.post(
            f"{sim.url}/v1beta/tasks/groups", headers={"x-api-key": "any"},
            json={"processor": "base", "task_spec": {"output_schema": {"type": "object", "properties": {}}}},
        ).json()  # fmt: skip
        group = made.get("taskgroup_id") or made["group_id"]
        with pytest.raises(UndecidedError):
            many.parallel.enrich(SCHEMA, client=client, group_id=group, checkpoint=None, progress=False)
        assert sim.counts.runs == 5


@pytest.mark.parametrize("end", ["frame", "file"])
def test_answers_of_another_processor_are_not_adopted(vendor, client_of, tmp_path, end, caplog, capsys):
    """What a group holds from another processor, or of another question, is none of this job's, and that is stated."""
    df = pd.DataFrame({"company": [f"c{n}" for n in range(4)]})
    group = add_elsewhere(vendor, [({"company": f"c{n}"}, None) for n in range(3)])
    vendor.sim.wait_until(lambda counts: counts.active == 0)
    store = {"checkpoint": tmp_path / "ckpt", "on_mismatch": "new"}
    options = {"client": client_of(vendor.sim), "group_id": group, **store}

    def enrich(schema, **more):
        plan = df.parallel.plan(schema, **options, **more)
        if end == "frame":
            df.parallel.enrich(schema, max_cost=plan.spent + plan.cost, **options, **more)
        else:
            df.to_parquet(tmp_path / "rows.parquet")
            source, target = tmp_path / "rows.parquet", tmp_path / "out.parquet"
            pf.enrich_parquet(source, target, schema, overwrite=True, **options, **more)
        return plan, capsys.readouterr().err

    plan, shown = enrich(SCHEMA, processor="pro")
    assert (plan.answered, plan.to_send, plan.cost, vendor.sim.counts.runs) == (0, 4, 0.4, 7)
    assert "3 runs of the group not adopted: they are on 'base', and this call asks 'pro'." in caplog.text
    assert "`processor='base'` adopts them" in plan.findings[-1].message
    assert "$0.40" in shown
    assert "enriched: 4 of 4 rows · 4 completed · $0.40 ·" in shown
    caplog.clear()
    plan, shown = enrich({"name": "legal name", "size": int}, processor="base")
    assert (plan.answered, plan.to_send, plan.spent, plan.cost, vendor.sim.counts.runs) == (3, 1, 0.03, 0.01, 8)
    assert "4 rows → 1 run · 3 runs already answered" in shown
    assert "$0.01 now, $0.03 before · 3 runs of the group adopted, paid before (asked by another program, on" in shown
    assert "4 completed · $0.01 now, $0.03 before" in shown
    assert "4 runs of the group not adopted: by their key they are another question's" in caplog.text
    for line in pf.Checkpoint(tmp_path / "ckpt").summary().to_dict("records"):
        assert line["completed"] == 4  # and nothing of rows that are none of the call's


def test_a_seed_group_is_not_given_another_question(client_of, tmp_path):
    """Its question and processor are the group's own, so what is to be sent there would be answered wrongly."""
    df = pd.DataFrame({"company": ["Acme", "Globex"]})
    with Simulator(answers=answer, latency=0, dialect="seed") as sim:
        options = {"client": client_of(sim), "checkpoint": tmp_path, "on_mismatch": "new", "progress": False}
        df.parallel.enrich(SCHEMA, processor="base", **options)
        group = sim.group_ids[0]
        for schema, processor, asks in [(SCHEMA, "pro", "'base', and this call 'pro'"), ("Say", "base", "another")]:
            for call in (df.parallel.plan, df.parallel.enrich):
                with pytest.raises(InputError, match=f"asks {asks}"):
                    call(schema, processor=processor, group_id=group, **options)
        assert sim.counts.runs == 2
        df.parallel.enrich(SCHEMA, processor="pro", **options)
        assert (sim.counts.groups, sim.counts.runs) == (2, 4)
