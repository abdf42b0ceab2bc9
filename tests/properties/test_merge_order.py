"""Answers land in their own rows, whatever order and however often they arrive."""

from __future__ import annotations

import orjson
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import parallel_frames as pf
from parallel_frames._checkpoint import OUTCOME_SCHEMA, table_of
from parallel_frames._columns import Unanswered, make_layout, merge_outcomes
from parallel_frames._inputs import select_inputs
from parallel_frames._job._plan import make_job, make_options, make_plan
from parallel_frames._model import Outcome
from parallel_frames._schema import parse_schema
from parallel_frames._state import STATE_SCHEMA, Answers, MemoryIndex

SCHEMA = parse_schema({"echo": str, "tags": list[str]})
NAMES = st.lists(st.sampled_from(["a", "b", "c", "d", None]), max_size=12)
LABELS = st.sampled_from([0, 1, "x", None])


@given(names=NAMES, labels=st.data(), backend=st.sampled_from(["numpy_nullable", "pyarrow"]))
def test_any_order_and_repetition_of_outcomes_gives_the_same_frame(names, labels, backend):
    """Each row has the answer to its own input, for any index, any order of arrival and any repetition."""
    index = labels.draw(st.lists(LABELS, min_size=len(names), max_size=len(names)))
    df = pd.DataFrame({"company": pd.Series(names, dtype=object)})
    df.index = pd.Index(index, dtype=object)
    job = make_job(SCHEMA, input_schema=None, processor="base", options=make_options(None))
    plan = make_plan(df, job, selection=select_inputs(df))
    arriving = []
    for at, (key, sent) in enumerate(zip(plan.keys, plan.inputs, strict=True)):
        name = orjson.loads(sent)["company"]
        answer = orjson.dumps({"echo": name, "tags": [name] * at}).decode()
        failure = Outcome(key, 0, f"0{key}", "group", "failed", error='"first try"')
        arriving += [failure, Outcome(key, 1, f"1{key}", "group", "completed", answer, "json")]
    arriving = labels.draw(st.permutations(arriving + arriving[: len(arriving) // 2]))
    index, parts = MemoryIndex(), {}
    index.add_rows(0, plan.keys, plan.row_runs.tolist())
    index.end_rows()
    for part, start in enumerate(range(0, len(arriving), 3)):
        parts[part] = table_of(arriving[start : start + 3], OUTCOME_SCHEMA)
        index.add_outcomes(part, parts[part].select(STATE_SCHEMA.names))
    places = index.answers()[:, :3]
    merged = merge_outcomes(
        df, plan.keys, plan.row_runs, SCHEMA,
        answers=Answers(lambda part, names: parts[part].select(list(names)), places),
        unanswered=lambda _: Unanswered("pending", ""),
        layout=make_layout(df, SCHEMA, prefix="", status=True, if_exists="error"),
        dtype_backend=backend,
    )  # fmt: skip
    out = merged.frame
    assert out.index is df.index or out.index.equals(df.index)
    assert [None if pd.isna(cell) else cell for cell in out["echo"]] == names
    assert out["parallel_status"].tolist() == ["skipped" if name is None else "completed" for name in names]
    assert out["parallel_error"].isna().all()
    assert out["company"].tolist() == df["company"].tolist()


@settings(max_examples=12)
@given(
    names=st.lists(st.text(min_size=1, max_size=5).filter(str.strip), min_size=1, max_size=40),
    seed=st.integers(0, 2**16),
    dialect=st.sampled_from(["published", "seed"]),
)
def test_random_latencies_never_move_an_answer(names, seed, dialect):
    """Over HTTP, with runs that finish in any order, each row's answer echoes its own input."""
    df = pd.DataFrame({"company": pd.Series(names, dtype=object)}).set_axis([seed % 3] * len(names))
    options = {"latency": (0, 3), "speed": 60, "seed": seed, "dialect": dialect}
    with pf.offline(answers=lambda sent: {"echo": sent["company"]}, **options) as sim:
        out = df.parallel.enrich({"echo": str})
    assert out["echo"].tolist() == names
    assert (sim.counts.runs, sim.counts.duplicates) == (len(set(names)), 0)
