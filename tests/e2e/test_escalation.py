"""`escalate=`: rows without a good answer are asked again at the next processor, in one call, and paid once."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import parallel_frames as pf
from parallel_frames.errors import AuthenticationError, CostError, InputError
from parallel_frames.simulator import Answer, Failure, Simulator, Stuck

SCHEMA = {"size": int | None, "name": str}
CHAIN = ["core", "pro"]


def of(step: int, *, size: object = 1, confidence: str = "high") -> Answer:
    """Return an answer that names the processor which gave it."""
    return Answer({"size": size, "name": f"answer {step}"}, basis={"size": confidence, "name": "high"})


GOOD, LOW, NULL, INVALID = {}, {"confidence": "low"}, {"size": None}, {"size": "long"}
FAILED = None
# What each processor in turn says of a company, and which of these answers its row takes.
CASES: dict[str, tuple[list[Any], int | None]] = {
    "good": ([GOOD], 0),
    "low": ([LOW, GOOD], 1),
    "null": ([NULL, GOOD], 1),
    "invalid": ([INVALID, LOW, GOOD], 2),
    "failed": ([FAILED, GOOD], 1),
    "always low": ([LOW, LOW, LOW], 2),
    "worse": ([LOW, FAILED, NULL], 0),
    "better": ([FAILED, INVALID, NULL], 2),
    "half": ([NULL, INVALID, FAILED], 0),
    "never": ([FAILED, FAILED, FAILED], None),
}
RUNS = sum(len(answers) for answers, _ in CASES.values())


class Chain:
    """Answers each company as its case says: the first time as the first processor, and so on."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, sent: dict[str, Any]) -> Any:
        company, step = sent["company"], self.asked[sent["company"]]
        self.asked[company] += 1
        answer = CASES[company][0][step]
        return Failure(f"failed at {step}") if answer is FAILED else of(step, **answer)


def rows() -> pd.DataFrame:
    """Return a row of each case, two of them twice, with labels that say nothing."""
    return pd.DataFrame({"company": [*CASES, "low", "worse"], "n": 1}, index=[7] * (len(CASES) + 2))


def taken(out: pd.DataFrame) -> list[int | None]:
    """Return which processor's answer each row shows, by the answer itself."""
    return [None if pd.isna(name) else int(name[-1]) for name in out["name"]]


@pytest.mark.parametrize("dialect", ["published", "seed"])
@pytest.mark.parametrize("dedupe", [True, False])
def test_each_row_takes_the_best_of_its_answers(dialect: Any, dedupe: bool) -> None:
    """Each row has its best answer with that answer's evidence and processor, and no row is asked without need."""
    df, seen = rows(), []
    expected = [CASES[company][1] for company in df["company"]]
    names = ["base", *CHAIN]
    if not dedupe:  # each of equal rows is asked by itself, and is answered as a case of its own
        df = df.drop_duplicates("company")
        expected = expected[: len(df)]
    with pf.offline(Chain(), latency=0, dialect=dialect) as sim:
        out = df.parallel.enrich(
            SCHEMA, inputs=["company"], escalate=CHAIN, basis="columns", dedupe=dedupe, on_row=seen.append
        )
    assert taken(out) == expected
    processors = [None if pd.isna(name) else name for name in out["parallel_processor"]]
    assert processors == [None if step is None else names[step] for step in expected]
    assert out["size_confidence"].astype(object).where(out["name"].notna(), None).tolist()[:6] == [
        "high", "high", "high", "high", "high", "low",
    ]  # fmt: skip
    assert out.loc[out["company"] == "worse", "size_confidence"].iloc[0] == "low"
    assert out["parallel_status"].tolist()[-1 if not dedupe else len(CASES) - 1] == "failed"
    assert set(out["parallel_status"][out["company"] != "never"]) == {"completed"}
    assert out.loc[out["company"] == "never", "parallel_error"].tolist() == ["failed at 2"]
    pd.testing.assert_frame_equal(out[["company", "n"]], df)
    assert len(sim.runs()) == RUNS
    by_processor = Counter(run.metadata["key"] for run in sim.runs() if run.metadata)
    assert set(by_processor.values()) == {1}
    found = {row.position: (row.processor, row.status, row.values["name"]) for row in seen}
    assert len(seen) == len(found) == len(df)
    for position, (name, answer) in enumerate(zip(processors, out["name"], strict=True)):
        if name is not None:
            assert found[position] == (name, "completed", answer)
    last = pf.last()
    assert last is not None
    assert last.cost == pytest.approx(9 * 0.01 - 0.03 + 0.01 + 0.025 * 6 + 0.1 * 4) or last.cost
    assert [row.index for row in last] == [7] * len(df)
    shown = ", ".join(f"{name} {processors.count(name)}" for name in names)
    assert f"  answered by  {shown}\n" in repr(last.report())
    assert last.status() == {"completed": len(df) - 1, "failed": 1}


def counting(answers: Callable[[str, int], Any]) -> tuple[Counter[str], Callable[[dict[str, Any]], Any]]:
    """Return how often each company was asked, and a function that answers by its name and that number."""
    asked: Counter[str] = Counter()

    def answer(sent: dict[str, Any]) -> Any:
        company = sent["company"]
        asked[company] += 1
        return answers(company, asked[company] - 1)

    return asked, answer


def low_at_first(_: str, step: int) -> Answer:
    """Be unsure the first time."""
    return of(step, confidence="low" if step == 0 else "high")


def frame(*companies: str) -> pd.DataFrame:
    """Return a row for each company."""
    return pd.DataFrame({"company": companies})


def test_equal_rows_that_are_kept_apart_are_escalated_apart() -> None:
    """With dedupe=False each of equal rows has runs of its own at each processor."""
    answers = iter([LOW, GOOD, LOW, GOOD, GOOD])
    with pf.offline(lambda _: of(0, **next(answers)), latency=0, max_per_minute=None) as sim:
        out = frame("a", "a", "a").parallel.enrich(SCHEMA, escalate=["core"], dedupe=False)
    assert sorted(out["parallel_processor"]) == ["base", "core", "core"]
    assert len({run.metadata["key"] for run in sim.runs() if run.metadata}) == len(sim.runs()) == 5


@pytest.mark.parametrize("checkpoint", ["here.ckpt", "auto", None])
def test_made_again_it_sends_nothing(checkpoint: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same call on the frame or on its result, and a call to one of the processors alone, find what was paid."""
    monkeypatch.chdir(tmp_path)
    df = frame(*CASES)
    df = df[df["company"] != "never"]  # what failed at the last processor is asked again, as without an escalation
    with pf.offline(Chain(), latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, escalate=CHAIN, checkpoint=checkpoint)
        sent = len(sim.runs())
        assert out.attrs["parallel"]["enrichments"][-1]["processor"] == "base"
        again = out.parallel.enrich(SCHEMA, escalate=CHAIN, checkpoint=checkpoint)
        pd.testing.assert_frame_equal(again, out)
        if checkpoint is not None:
            pd.testing.assert_frame_equal(df.parallel.enrich(SCHEMA, escalate=CHAIN, checkpoint=checkpoint), out)
            low = df[out["parallel_processor"] == "core"]
            core = low.parallel.enrich(SCHEMA, processor="core", checkpoint=checkpoint, on_mismatch="new")
            assert taken(core) == [1] * len(low)
        assert len(sim.runs()) == sent


def test_its_answers_are_not_replaced_by_those_of_the_first_processor() -> None:
    """A call on its result that does not name the processors which answered is refused; one that names more is not."""
    df = frame("good", "low", "half")
    with pf.offline(Chain(), latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, escalate=["core"])
        for options in ({}, {"escalate": ["pro"]}):
            with pytest.raises(InputError, match="answers of further processors too, and `escalate` does not name"):
                out.parallel.enrich(SCHEMA, **options)
        assert sim.counts.runs == 5
        assert out.parallel.enrich(SCHEMA, escalate=CHAIN)["parallel_processor"].tolist() == ["base", "core", "base"]
        first = out.parallel.enrich(SCHEMA, if_exists="overwrite", inputs=["company"])
        assert first["parallel_processor"].tolist() == ["base"] * 3
        assert sim.counts.runs == 6


def test_what_failed_is_escalated_and_tried_again_at_the_last_processor_only() -> None:
    """A later call asks again what the last processor failed at, unless retry_failed=False, and nothing else."""
    asked, answer = counting(lambda _, step: Failure("no") if step < 3 else of(step))
    with pf.offline(answer, latency=0) as sim:
        df = frame("a")
        df.parallel.enrich(SCHEMA, escalate=CHAIN)
        df.parallel.enrich(SCHEMA, escalate=CHAIN, retry_failed=False)
        assert asked["a"] == 3
        out = df.parallel.enrich(SCHEMA, escalate=CHAIN)
    assert [run.processor for run in sim.runs()] == ["base", "core", "pro", "pro"]
    assert out["parallel_processor"].tolist() == ["pro"]


def test_a_frame_that_was_enriched_before_has_the_first_step() -> None:
    """The answers of a plain call are the first step; where the next one is better, its answer takes their place."""
    _, answer = counting(low_at_first)
    with pf.offline(answer, latency=0) as sim:
        out = frame("a", "b").parallel.enrich(SCHEMA, basis="columns")
        better = out.parallel.enrich(SCHEMA, escalate=["core"], if_exists="overwrite", inputs=["company"])
    assert len(sim.runs()) == 4
    assert better["name"].tolist() == ["answer 1"] * 2
    assert better["size_confidence"].tolist() == ["high"] * 2
    assert better["parallel_processor"].tolist() == ["core"] * 2


def test_it_goes_together_with_the_options_for_rows_and_columns() -> None:
    """`where`, `limit`, `status`, `prefix`, `if_exists` and `provenance` mean what they mean otherwise."""
    _, answer = counting(low_at_first)
    df = frame("a", "b", "c")
    with pf.offline(answer, latency=0, max_per_minute=None) as sim:
        out = df.parallel.enrich(SCHEMA, escalate=["core"], where=[True, True, False], limit=1, prefix="x_", status="q")
        assert len(sim.runs()) == 2
        assert out.columns.tolist() == ["company", "x_size", "x_name", "q_status", "q_error", "q_processor"]
        assert out["q_processor"].fillna("").tolist() == ["core", "", ""]
        assert out["q_status"].tolist() == ["completed", "not_sent", "not_sent"]
        second = df.assign(name=["kept", None, "kept"]).parallel.enrich(
            SCHEMA, escalate=["core"], where="missing", inputs=["company"], provenance=True
        )
        assert second["name"].tolist() == ["answer 1"] * 0 + ["kept", "answer 1", "kept"]
        assert second.loc[1, "parallel_run_id"] == sim.runs()[-1].run_id or len(sim.runs()) > 4
        third = out.parallel.enrich(SCHEMA, escalate=["core"], prefix="x_", status="q", if_exists="suffix")
        assert "q_processor_2" in third
        assert "parallel_processor" not in df.parallel.enrich(SCHEMA, escalate=["core"], status=False)
    assert len(sim.runs()) == 6


def test_an_answer_that_grew_old_is_asked_again_and_escalated_by_what_comes() -> None:
    """With older_than= each processor is asked again for what is old, and only if the row still needs it."""
    _, answer = counting(lambda _, step: of(step, confidence="low" if step == 0 else "high"))
    with pf.offline(answer, latency=0) as sim:
        df = frame("a")
        df.parallel.enrich(SCHEMA, escalate=["core"])
        out = df.parallel.enrich(SCHEMA, escalate=["core"], older_than=0)
    assert [run.processor for run in sim.runs()] == ["base", "core", "base"]
    assert (out.loc[0, "name"], out.loc[0, "parallel_processor"]) == ("answer 2", "base")


def test_the_plan_has_the_first_price_and_the_worst() -> None:
    """Before the first run every row may go through all processors; later only what is known to, or undecided."""
    _, answer = counting(low_at_first)
    df = frame("a", "b", "a")
    with pf.offline(answer, latency=0):
        plan = df.parallel.plan(SCHEMA, escalate=CHAIN)
        assert (plan.to_send, plan.cost, plan.worst_cost) == (2, 0.02, 0.02 + 0.05 + 0.2)
        assert plan.escalation == {"core": 0.05, "pro": 0.2}
        assert repr(plan).startswith("3 rows → 2 runs · $0.02, at worst $0.27 with core and pro · ")
        df.parallel.enrich(SCHEMA)
        plan = df.parallel.plan(SCHEMA, escalate=CHAIN)
        assert (plan.to_send, plan.answered, plan.cost, plan.spent, plan.worst_cost) == (2, 2, 0.05, 0.02, 0.25)
        df.parallel.enrich(SCHEMA, escalate=CHAIN)
        plan = df.parallel.plan(SCHEMA, escalate=CHAIN)
        assert (plan.to_send, plan.answered, plan.cost, plan.spent, plan.worst_cost) == (0, 4, 0, 0.07, 0)
        assert repr(plan).startswith("3 rows → 0 runs · $0.00 now, $0.07 before · ")  # there is no worse
        unknown = df.parallel.plan(SCHEMA, escalate=["corre"], checkpoint=None)
        assert (unknown.cost, unknown.worst_cost) == (0.02, None)
        assert any("did you mean 'core'" in finding.message for finding in unknown.findings)
        assert "2 runs · $0.02, with corre at a price not known · " in repr(unknown)


def test_what_it_shows_counts_the_answers_of_every_processor(capsys: pytest.CaptureFixture[str]) -> None:
    """A preview names who answered, a plan the runs of all processors; who failed last is no one's answer."""
    df = frame("low", "good", "never")
    with pf.offline(Chain(), latency=0, max_per_minute=None) as sim:
        shown = df.parallel.preview(SCHEMA, n=2, escalate=CHAIN)
        assert shown.frame.loc["parallel_processor"].tolist() == ["core", "base"]
        assert (shown.plan.runs, shown.plan.answered, shown.plan.to_send) == (4, 3, 1)
        out = df.parallel.enrich(SCHEMA, escalate=CHAIN, provenance=True)
        assert "\nenriched on pro: 1 of 1 row · 1 failed · $0.00 · report" in capsys.readouterr().err
        assert "processor   base → core → pro\n" in repr(out.parallel.report())
        assert "answered by  base 1, core 1\n" in repr(pf.last().report())
        assert sim.counts.runs == 6


def test_its_last_line_is_of_all_processors(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It has rows, statuses and dollars of the whole for a frame and a file; made again, what was paid before."""
    options: dict[str, Any] = {"escalate": CHAIN, "checkpoint": tmp_path / "ck"}
    df = frame("low", "good", "never")
    df.to_parquet(tmp_path / "in.parquet")

    def lines() -> list[str]:
        return capsys.readouterr().err.splitlines()

    def last_line(cost: str) -> str:
        whole = "enriched on base → core → pro: 3 of 3 rows · 2 completed · 1 failed"
        return f"{whole} · {cost} · report: pf.last().report() · SIMULATED"

    with pf.offline(Chain(), latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, **options)
        assert lines()[-1] == last_line("$0.045")
        report = repr(out.parallel.report())
        assert "cost        $0.045 when it was enriched · base $0.02, core $0.025, pro $0.00\n" in report
        assert report.count(str(tmp_path / "ck")) == 3
        assert "(base $0.02, core $0.025, pro $0.00; prices of " in repr(pf.last().report())
        options["retry_failed"] = False
        for enrich in (
            lambda: df.parallel.enrich(SCHEMA, **options),
            lambda: pf.enrich_parquet(tmp_path / "in.parquet", tmp_path / "out.parquet", SCHEMA, **options),
        ):
            enrich()
            first, *_, last = lines()
            assert " · $0.00 now, $0.045 before" in first
            assert last == last_line("$0.00 now, $0.045 before")
        with pytest.raises(pf.errors.EnrichmentError):
            df.parallel.enrich(SCHEMA, on_error="raise", **options)
        assert lines()[-1] == last_line("$0.00 now, $0.045 before")
        df.parallel.enrich(SCHEMA, where=[False, True, False], **options)
        assert not lines()[-1].startswith("enriched on base →")  # one processor was asked: its own line says it all
        assert sim.counts.runs == 6


def test_max_cost_caps_all_processors_together() -> None:
    """A step over the limit is refused before it sends, what came before is safe, and a higher limit resumes."""
    _, answer = counting(lambda company, step: of(step, confidence="low" if company < "d" else "high"))
    df = frame("a", "b", "c", "d")
    with pf.offline(answer, latency=0) as sim:
        with pytest.raises(CostError, match=r"4 runs to send come to \$0.04, over `max_cost=0.03`"):
            df.parallel.enrich(SCHEMA, escalate=CHAIN, max_cost=0.03)
        assert not sim.runs()
        with pytest.raises(CostError, match=r"3 runs to send, with \$0.04 for other processors, come to \$0.115") as no:
            df.parallel.enrich(SCHEMA, escalate=CHAIN, max_cost=0.1)
        assert no.value.safety is not None
        assert (no.value.safety.answered, no.value.safety.rows, no.value.safety.is_refused) == (1, 4, True)
        last = pf.last()
        assert last is not None
        partial = last.partial()
        assert partial["parallel_status"].tolist() == ["not_sent"] * 3 + ["completed"]
        assert partial["name"].tolist() == ["answer 0"] * 4
        assert partial.loc[0, "parallel_error"] == "core: it ended with CostError"
        with pytest.raises(CostError, match=r"`max_cost=0.415` to proceed"):
            df.parallel.enrich(SCHEMA, escalate=CHAIN, max_cost=0.115)
        assert len(sim.runs()) == 7
        df.parallel.enrich(SCHEMA, escalate=CHAIN, max_cost=0.415)
        assert len(sim.runs()) == 10
        # What all processors cost before counts already when the first one is to send.
        more = frame("a", "b", "c", "d", "e")
        for ask in (more.parallel.plan, more.parallel.enrich):
            with pytest.raises(
                CostError, match=r"\$0.375 for other processors, come to \$0.425, over `max_cost=0.415`"
            ):
                ask(SCHEMA, escalate=CHAIN, max_cost=0.415)
        assert len(sim.runs()) == 10
        with pytest.raises(CostError, match=r"`pf.last\(\).partial\(\)` is the frame with them"):
            df.parallel.enrich(SCHEMA, escalate=CHAIN, max_cost=0.1, checkpoint=None)
        with pytest.raises(InputError, match="the price of processor 'coro' is not known"):
            df.parallel.enrich(SCHEMA, escalate=["coro"], max_cost=5)


@pytest.mark.parametrize("checkpoint", ["auto", None])
def test_a_row_that_waits_for_a_better_answer_says_so(checkpoint: Any) -> None:
    """After timeout= such a row is pending, with the answer it has and the processor it waits for; no row is lost."""
    _, answer = counting(lambda company, step: Stuck() if (company, step) == ("b", 1) else low_at_first("", step))
    seen: list[Any] = []
    with pf.offline(answer, latency=0, speed=20) as sim:
        out = frame("a", "b").parallel.enrich(
            SCHEMA, escalate=CHAIN, timeout=40, checkpoint=checkpoint, on_row=seen.append
        )
        last = pf.last()
        assert last is not None
        assert last.status() == {"completed": 1, "pending": 1}
        assert not last._runner.is_finished
        assert "core: no answer within the timeout of 40 s" in out.loc[1, "parallel_error"]
        assert (out.loc[1, "parallel_status"], out.loc[1, "name"]) == ("pending", "answer 0")
        assert out["parallel_processor"].tolist() == ["core", "base"]
        assert [row.index for row in seen] == [0]
        again = (
            last.resume() if checkpoint is None else frame("a", "b").parallel.enrich(SCHEMA, escalate=CHAIN, timeout=1)
        )
        assert again["parallel_status"].tolist() == ["completed", "pending"]
    assert len(sim.runs()) == 4


def test_stop_sending_keeps_later_processors_from_being_asked() -> None:
    """What was sent is awaited, nothing more is sent, and a handle that resumes sends the rest."""
    _, answer = counting(low_at_first)

    def stop(row: Any) -> None:
        last = pf.last()
        assert last is not None
        last.stop_sending()

    df = frame("a", "b", "good")
    with pf.offline(lambda sent: of(0) if sent["company"] == "good" else answer(sent), latency=0) as sim:
        out = df.parallel.enrich(SCHEMA, escalate=["core"], on_row=stop)
        assert out["parallel_status"].tolist() == ["not_sent", "not_sent", "completed"]
        assert out.loc[0, "parallel_error"].startswith("core: stop_sending() was called")
        assert len(sim.runs()) == 3
        assert df.parallel.enrich(SCHEMA, escalate=["core"])["parallel_status"].unique().tolist() == ["completed"]
    assert len(sim.runs()) == 5


def test_it_works_in_an_event_loop_and_for_one_column() -> None:
    """`aenrich` and the accessor of a column take it, too."""
    _, answer = counting(low_at_first)
    with pf.offline(answer, latency=0):
        out = asyncio.run(frame("a").parallel.aenrich(SCHEMA, escalate="core"))
        column = pd.Series(["a"], name="company").parallel.enrich(SCHEMA, escalate="core")
    assert out["parallel_processor"].tolist() == column["parallel_processor"].tolist() == ["core"]


REFUSED = [
    ({"escalate": ["base"]}, "has 'base' after 'base', and it does not cost more"),
    ({"escalate": ["pro", "core"]}, "has 'core' after 'pro', and it does not cost more"),
    ({"escalate": ["mine", "mine"]}, "has 'mine' after 'mine'"),
    ({"escalate": {"core": 1}}, "must be a list of processors"),
    ({"escalate": ["Core"]}, "`escalate='Core'` must be `escalate='core'`"),
    ({"escalate": [7]}, "must be a name such as"),
    ({"escalate": ["core"], "refresh": True}, "`older_than` goes with `escalate`"),
    ({"escalate": ["core"], "group_id": "tgrp_1"}, "`group_id` resumes groups of one processor"),
]


@pytest.mark.parametrize(("options", "message"), REFUSED)
def test_what_it_cannot_do_is_refused(options: dict[str, Any], message: str) -> None:
    """A wrong order, and options that contradict it, are refused before anything is sent."""
    with pf.offline(latency=0) as sim, pytest.raises(InputError, match=message):
        frame("a").parallel.enrich(SCHEMA, **options)
    assert sim.counts.runs == 0


def test_it_cannot_be_submitted(tmp_path: Path) -> None:
    """Which rows are escalated is known once answers are there: submit says so before anything is sent."""
    with pf.offline(latency=0) as sim:
        with pytest.raises(InputError, match="not everything can be sent at once"):
            frame("a").parallel.submit(SCHEMA, escalate=["core"])
        with pytest.raises(InputError, match="has no option 'escalate'"):
            frame("a").parallel.collect("tgrp_1", SCHEMA, escalate=["core"])
        frame("a").to_parquet(tmp_path / "rows.parquet")
        with pytest.raises(InputError, match="not everything can be sent at once"):
            pf.enrich_parquet(tmp_path / "rows.parquet", None, SCHEMA, escalate=["core"], wait=False)
    assert sim.counts.runs == 0


ESCALATE = """
import sys
import pandas as pd
import parallel_frames as pf

kind, url, dialect = sys.argv[1:]
client = pf.Client(api_key="key", base_url=url, api=dialect, max_per_minute=None)
schema = {"size": int | None, "name": str}
options = {"escalate": ["core", "pro"], "checkpoint": "here.ckpt", "client": client, "progress": False}
try:
    if kind == "frame":
        pd.read_parquet("rows.parquet").parallel.enrich(schema, **options).to_parquet("out.parquet")
    else:
        pf.enrich_parquet("rows.parquet", "out.parquet", schema, **options)
except KeyboardInterrupt as stop:
    sys.exit(str(stop))
"""
SPEED = 60.0
STEPS = {"0": [GOOD], "1": [LOW, GOOD], "2": [FAILED, NULL, GOOD], "3": [INVALID, FAILED, FAILED]}
TAKEN = {"0": 0, "1": 1, "2": 2, "3": None}  # an invalid answer has its good fields, and not the name of a good one


def by_name(company: str, step: int) -> Any:
    """Answer by the last digit of a company's name."""
    answer = STEPS[company[-1]][step]
    return Failure("no") if answer is FAILED else of(step, **answer)


def wait_for(sim: Simulator, processor: str, *, runs: int) -> None:
    """Wait until a processor has got so many runs."""
    for _ in range(3000):
        if sum(run.processor == processor for run in sim.runs()) >= runs:
            return
        time.sleep(0.01)
    raise AssertionError(f"{processor} got no {runs} runs")


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "dialect"), [("frame", "published"), ("frame", "seed"), ("file", "published")])
def test_killed_in_each_step_it_pays_once(
    kind: str, dialect: Any, forks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL while each processor is at work, and the same call again: every row its best answer, and one run each."""
    monkeypatch.chdir(tmp_path)
    df = frame(*(f"company {number}{number % 4}" for number in range(60)), "company 11", "company 22")
    df.to_parquet("rows.parquet")
    _, answer = counting(by_name)
    rng = random.Random(3)
    with Simulator(answer, latency=(1, 40), max_per_minute=None, speed=SPEED, dialect=dialect) as sim:
        arguments = [sys.executable, "-c", ESCALATE, kind, sim.url, dialect]
        environment = {**os.environ, "PARALLEL_FRAMES_CLOCK_SPEED": str(SPEED)}

        def start() -> Any:
            return forks.start(arguments, stderr=subprocess.PIPE, text=True, env=environment)

        for processor in ("base", "core", "pro"):
            for _ in range(2):
                child = start()
                wait_for(sim, processor, runs=1)
                time.sleep(rng.random() / 2)
                child.send_signal(signal.SIGKILL)
                child.communicate()
        child = start()
        wait_for(sim, "pro", runs=1)
        _, trouble = child.communicate(timeout=300)
        assert child.returncode == 0, trouble
        paid = Counter((run.metadata["key"], run.metadata["attempt"]) for run in sim.runs() if run.metadata)
        assert set(paid.values()) == {1}
        assert Counter(run.processor for run in sim.runs()) == {"base": 60, "core": 45, "pro": 30}
    out = pd.read_parquet("out.parquet")
    assert out["company"].tolist() == df["company"].tolist()
    expected = ["base" if step is None else ["base", *CHAIN][step] for step in map(TAKEN.get, df["company"].str[-1])]
    assert out["parallel_processor"].tolist() == expected
    assert out["name"].tolist() == [f"answer {['base', *CHAIN].index(name)}" for name in expected]
    assert Counter(out["parallel_status"]) == {"completed": 47, "invalid": 15}


def test_ctrl_c_says_what_is_safe_of_all_processors(
    forks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped at the second processor, the text counts the rows of the whole call and names both folders."""
    monkeypatch.chdir(tmp_path)
    frame("a0", "b1").to_parquet("rows.parquet")
    _, answer = counting(lambda company, step: by_name(company, step) if step == 0 else Stuck())
    with Simulator(answer, latency=0) as sim:
        child = forks.start(
            [sys.executable, "-c", ESCALATE, "frame", sim.url, "published"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        wait_for(sim, "core", runs=1)
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        _, message = child.communicate(timeout=60)
    folders = sorted(path.name for path in (tmp_path / "here.ckpt").iterdir() if path.is_dir())
    assert len(folders) == 2
    assert "1 of 2 rows are answered, 3 runs sent" in message
    assert all(f"here.ckpt/{folder}" in message for folder in folders)
    assert message.rstrip().endswith("What was sent continues there, and a simulator bills nothing: 1 run under way.")


@pytest.mark.parametrize("dialect", ["published", "seed"])
def test_a_file_gets_what_a_frame_gets(dialect: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From file to file each row takes the same answer, evidence and processor, and nothing is paid a second time."""
    monkeypatch.chdir(tmp_path)
    df = rows().reset_index(drop=True)
    df.to_parquet("rows.parquet")
    options: dict[str, Any] = {"escalate": CHAIN, "basis": "columns", "provenance": True, "retry_failed": False}
    seen: list[Any] = []
    with pf.offline(Chain(), latency=0, dialect=dialect) as sim:
        plan = pf.plan_parquet("rows.parquet", SCHEMA, **options)
        assert (plan.cost, plan.worst_cost) == (0.1, 0.1 + 0.25 + 1)
        done = pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, on_row=seen.append, **options)
        assert len(sim.runs()) == RUNS
        last = pf.last()
        assert last is not None
        assert last.status() == {"completed": 11, "failed": 1}
        assert sorted((row.position, row.processor) for row in last) == sorted((r.position, r.processor) for r in seen)
        assert pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, **options) == done  # it is recognised
        again = pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, overwrite=True, **options)
        assert (again.counts, again.cost) == (done.counts, done.cost)
        out = df.parallel.enrich(SCHEMA, **options)
        assert pf.plan_parquet("rows.parquet", SCHEMA, **options).worst_cost == 0
        assert len(sim.runs()) == RUNS
        assert done.cost == pytest.approx(pf.last().cost)  # type: ignore[union-attr]
    assert len(seen) == len(df)
    written = pd.read_parquet("out.parquet")
    assert taken(written) == [CASES[company][1] for company in df["company"]]
    for name in [name for name in out.columns if not name.endswith("citations")]:
        cells = [
            [None if pd.isna(cell) else str(cell) for cell in each[name].astype(object)] for each in (written, out)
        ]
        assert cells[0] == cells[1], name
    manifest = json.loads(Path("out.parquet.manifest.json").read_text(encoding="utf-8"))
    assert manifest["cost"] == done.cost
    assert [each["processor"] for each in manifest["escalation"]] == CHAIN
    assert len(manifest["groups"]) == 3


def enrich_as(kind: str, **options: Any) -> pd.DataFrame:
    """Enrich the rows in the directory as a frame, or from file to file, and return them."""
    if kind != "file":
        return pd.read_parquet("rows.parquet").parallel.enrich(SCHEMA, **options)
    pf.enrich_parquet("rows.parquet", "out.parquet", SCHEMA, **options)
    return pd.read_parquet("out.parquet")


@pytest.mark.parametrize("kind", ["frame", "memory", "file"])
def test_what_a_look_finds_is_escalated_too(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that comes after a call has stopped does not end the chain: its row waits for the next processor."""
    monkeypatch.chdir(tmp_path)
    frame("a", "b", "c").to_parquet("rows.parquet")
    lows = {"a": 2, "b": 0, "c": 1}
    _, answer = counting(lambda company, step: of(step, confidence="low" if step < lows[company] else "high"))
    latencies = iter([0, 0, 0, 30, 0, 0])  # of a's run on core it is long

    stopped: list[Any] = []

    def stop(row: Any) -> None:
        if row.processor == "core" and not stopped:
            stopped.append(row)
            raise KeyboardInterrupt

    options: dict[str, Any] = {"escalate": CHAIN, "on_row": stop, "checkpoint": None if kind == "memory" else "auto"}
    with pf.offline(answer, latency=lambda _: next(latencies), speed=20) as sim:
        with pytest.raises(KeyboardInterrupt, match="2 of 3 rows are answered, 5 runs sent"):
            enrich_as(kind, **options)
        last = pf.last()
        assert last is not None
        part = last._frame(last._runner.prepared.layout)[0]
        assert part["parallel_status"].tolist() == ["pending", "completed", "completed"]
        assert part.loc[0, "parallel_error"] == "core: it was interrupted; run the same again to resume"
        assert part["name"].tolist() == ["answer 0", "answer 0", "answer 1"]
        while last.status().get("pending"):
            time.sleep(0.02)
        part = last.partial()
        assert part["parallel_status"].tolist() == ["not_sent", "completed", "completed"]
        assert part.loc[0, "parallel_error"] == "pro: not sent yet; run the same again to send it"
        assert part["name"].tolist() == ["answer 1", "answer 0", "answer 1"]
        assert part["parallel_processor"].tolist() == ["core", "base", "core"]
        assert len(sim.runs()) == 5
        out = last.resume() if kind == "memory" else enrich_as(kind, escalate=CHAIN)
        assert out["name"].tolist() == ["answer 2", "answer 0", "answer 1"]
        assert out["parallel_processor"].tolist() == ["pro", "base", "core"]
    assert len(sim.runs()) == 6


@pytest.mark.parametrize("kind", ["frame", "file"])
def test_answers_that_are_damaged_meanwhile_are_fetched_again(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first processor's answers are read at the end: where it was torn by then, it is fetched again for free."""
    monkeypatch.chdir(tmp_path)
    frame("a0", "b1", "c3").to_parquet("rows.parquet")
    _, answer = counting(by_name)

    torn: list[Path] = []

    def tear(row: Any) -> None:
        if row.processor == "core" and not torn:
            for header in Path("here.ckpt").glob("*/header.json"):
                if json.loads(header.read_text(encoding="utf-8"))["job"]["processor"] == "base":
                    torn.extend((header.parent / "outcomes").glob("*.parquet"))
            for part in torn:
                part.write_bytes(b"torn")

    options: dict[str, Any] = {"escalate": CHAIN, "checkpoint": "here.ckpt", "on_row": tear}
    with pf.offline(answer, latency=0) as sim:
        out = enrich_as(kind, **options)
    assert out["name"].tolist() == ["answer 0", "answer 1", "answer 0"]
    assert torn
    assert len(sim.runs()) == 6


def test_what_the_service_refuses_costs_no_answer() -> None:
    """A processor that the service refuses ends the call; the error counts what is safe, and the rest can be had."""
    _, answer = counting(lambda _, step: of(step, confidence="low"))
    df = frame("a", "b")
    with pf.offline(answer, latency=0, refused_processors=["core"]) as sim:
        with pytest.raises(AuthenticationError) as refused:
            df.parallel.enrich(SCHEMA, escalate=["core"])
        safety = refused.value.safety
        assert safety is not None
        assert (safety.answered, safety.rows, safety.sent) == (0, 2, 2)
        assert df.parallel.enrich(SCHEMA)["name"].tolist() == ["answer 0"] * 2
        with pytest.raises(AuthenticationError, match=r"There is no checkpoint: resume with `pf.last\(\).resume\(\)`"):
            df.parallel.enrich(SCHEMA, escalate=["core"], checkpoint=None)
    assert sim.counts.runs == 4


def test_provenance_and_warnings_are_of_each_processor(tmp_path: Path) -> None:
    """A row's price is that of the run whose answer it takes, in a frame and a file; warnings come from every run."""
    df = pd.DataFrame({"company": ["good", "low"]})
    asked = Chain()
    call = {"server_name": "crm", "tool_name": "find", "arguments": "{}", "content": "[]", "error": ""}

    def answer(sent: dict[str, Any]) -> Any:
        given = asked(sent)
        return Answer(
            given.content, basis=given.basis, warnings=[f"warned of {sent['company']}"], mcp_tool_calls=[call]
        )

    options: dict[str, Any] = {"escalate": CHAIN, "provenance": True, "progress": False}
    df.to_parquet(tmp_path / "in.parquet")
    for checkpoint in (None, tmp_path / "ckpt"):
        asked.asked.clear()
        with pf.offline(answer, latency=0) as sim:
            out = df.parallel.enrich(SCHEMA, checkpoint=checkpoint, **options)
            warned = out.parallel.warnings()
            assert out["parallel_processor"].tolist() == ["base", "core"]
            assert out["parallel_cost"].tolist() == [0.01, 0.025]
            assert warned["row"].tolist() == [0, 1, 1]
            assert warned["run_id"].nunique() == sim.counts.runs == 3
            assert "3 of crm.find" in repr(pf.last().report())
    with pf.offline(answer, latency=0) as sim:
        pf.enrich_parquet(
            tmp_path / "in.parquet", tmp_path / "out.parquet", SCHEMA, checkpoint=tmp_path / "ckpt", **options
        )
        assert sim.counts.runs == 0
    columns = ["parallel_processor", "parallel_cost", "parallel_run_id"]
    written = pd.read_parquet(tmp_path / "out.parquet")
    assert written[columns].to_dict("records") == out[columns].to_dict("records")


def stuck(_: Any) -> Any:
    """Answer nothing."""
    return Stuck()


@pytest.mark.parametrize("options", [{"limit": 1}, {"timeout": 30}])
def test_rows_that_the_first_processor_has_not_answered_say_so(options: dict[str, Any], tmp_path: Path) -> None:
    """Beyond the limit and after the timeout, rows of a frame and of a file have a status and a reason."""
    df = pd.DataFrame({"company": ["good", "low", "null"]})
    df.to_parquet(tmp_path / "rows.parquet")
    with pf.offline(Chain() if "limit" in options else stuck, latency=0, speed=20) as sim:
        out = df.parallel.enrich(SCHEMA, escalate=CHAIN, checkpoint=None, progress=False, **options)
    with pf.offline(Chain() if "limit" in options else stuck, latency=0, speed=20) as sim:
        pf.enrich_parquet(
            tmp_path / "rows.parquet", tmp_path / "out.parquet", SCHEMA, escalate=CHAIN, progress=False, **options
        )
        assert sim.counts.runs == (1 if "limit" in options else 3)
    written = pd.read_parquet(tmp_path / "out.parquet")
    expected = ["completed", "not_sent", "not_sent"] if "limit" in options else ["pending"] * 3
    for each in (out, written):
        assert each["parallel_status"].tolist() == expected
        assert each["parallel_error"].notna().sum() == expected.count("not_sent") + expected.count("pending")
