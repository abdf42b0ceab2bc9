"""The index in memory and the one on disk know the same of any history."""

from hypothesis import given
from hypothesis import strategies as st

from parallel_frames._model import Outcome, Receipt, RunId
from parallel_frames._state import NEVER, DiskIndex, Index, MemoryIndex, runs_of, states_of

KEYS = [f"{number:032x}" for number in range(6)]  # the last two are of no row
GROUPS = ["tgrp_1", "tgrp_2"]
MOMENTS = [None, "2026-01-01T00:00:00Z", "2026-02-01T00:00:00+02:00", "2026-03-01T00:00:00Z", "yesterday"]
RUNS = st.tuples(st.sampled_from(KEYS), st.integers(0, 2), st.sampled_from(GROUPS))
OUTCOMES = st.tuples(RUNS, st.sampled_from(["completed", "failed", "cancelled", "lost"]))
HISTORY = st.lists(
    st.one_of(
        st.tuples(st.just("outcomes"), st.lists(OUTCOMES, max_size=4)),
        st.tuples(st.just("receipts"), st.lists(RUNS, max_size=4)),
        st.tuples(st.just("intent"), st.lists(RUNS, max_size=3)),
        st.tuples(st.just("decided"), st.integers(0, 5)),
        st.tuples(st.just("damaged"), st.integers(0, 5)),
        st.tuples(st.just("refresh"), st.lists(st.tuples(st.sampled_from(KEYS), st.integers(-1, 2)), max_size=2)),
    ),
    max_size=8,
)


def moment_of(key, attempt):
    """Return when an attempt ended: the same for all its outcomes, of which any may count."""
    return MOMENTS[(KEYS.index(key) + 2 * attempt) % len(MOMENTS)]


def replay(history, kind):
    """Return an index of four inputs in seven rows that has lived through a history, and its outcomes by place."""
    index: Index = kind()
    index.add_rows(0, KEYS[:3], [0, 1, -1, 0, 2])
    index.add_rows(5, [KEYS[1], KEYS[3]], [0, 1, -2])
    index.end_rows()
    stored = {}
    for number, (what, items) in enumerate(history):
        if what == "outcomes":
            outcomes = [
                Outcome(
                    key,
                    attempt,
                    f"trun_{number}_{at}",
                    group,
                    "failed" if status == "lost" else status,
                    output_type="lost" if status == "lost" else None,
                    modified_at=moment_of(key, attempt),
                )
                for at, ((key, attempt, group), status) in enumerate(items)
            ]
            index.add_outcomes(number, states_of(outcomes))
            stored |= {(number, at): outcome for at, outcome in enumerate(outcomes)}
        elif what == "receipts":
            receipts = [Receipt(key, at, f"trun_{number}_{key}_{at}", group) for key, at, group in items]
            index.add_receipts(runs_of(receipts))
        elif what == "intent":
            index.add_intent(number, "tgrp_1", [RunId(key, attempt) for key, attempt, _ in items])
        elif what == "decided":
            index.drop_intent(items)
        elif what == "damaged":
            index.drop_part(items)
        elif not index.marked_attempts():  # a call begins one refresh at most
            index.begin_refresh(dict(items).items())
    return index, stored


def answers_of(index, stored):
    """Return of each input which outcome its answer is; where two are of one attempt, either will do."""
    for part, offset, status, sent in index.answers().tolist():
        outcome = stored.get((part, offset))
        yield outcome and (outcome.key, outcome.attempt, outcome.status), status, sent


@given(
    history=HISTORY, retry_failed=st.booleans(), stale_before=st.sampled_from([NEVER, "2026-02-15T00:00:00Z"]),
    limit=st.sampled_from([None, 1, 3, 9]),
)  # fmt: skip
def test_both_indexes_know_the_same(history, retry_failed, stale_before, limit):
    """Numbers, steps, answers, groups and marks agree, whatever happened and with whatever options."""
    (memory, in_memory), (disk, on_disk) = replay(history, MemoryIndex), replay(history, DiskIndex)
    for index in (memory, disk):
        index.configure(retry_failed=retry_failed, stale_before=stale_before, limit=limit)
    assert memory.status() == disk.status()
    assert memory.decide_sending() == disk.decide_sending()
    assert memory.last_step() == disk.last_step()
    assert memory.steps_between(0, 9) == disk.steps_between(0, 9)
    assert memory.steps_between(1, 4) == disk.steps_between(1, 4)
    assert memory.steps_of(KEYS[::-1]) == disk.steps_of(KEYS[::-1])
    assert [memory.limit_for(runs) for runs in range(4)] == [disk.limit_for(runs) for runs in range(4)]
    assert memory.done() == disk.done()
    assert list(answers_of(memory, in_memory)) == list(answers_of(disk, on_disk))
    assert memory.rows_of(KEYS) == disk.rows_of(KEYS)
    assert [memory.has_key(key) for key in KEYS] == [disk.has_key(key) for key in KEYS]
    assert sorted(memory.groups) == sorted(disk.groups)
    assert (memory.runs, memory.rows, memory.chosen, memory.skipped) == (
        disk.runs,
        disk.rows,
        disk.chosen,
        disk.skipped,
    )
    assert memory.parts() == disk.parts()
    assert sorted(memory.marked_attempts()) == sorted(disk.marked_attempts())
    assert sorted(memory.marked_attempts(of_others=True)) == sorted(disk.marked_attempts(of_others=True))
    assert memory.is_refreshed() == disk.is_refreshed()
    for group in GROUPS:
        one, other = memory.group_state(group), disk.group_state(group)
        assert (one.awaited, one.waiting, one.acknowledged) == (other.awaited, other.waiting, other.acknowledged)
        assert one.statuses.keys() == other.statuses.keys()
