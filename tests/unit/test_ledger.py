"""The ledger: what is known of each (key, attempt), and what follows from it."""

import io
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallel_frames._checkpoint._files import parse_part, write_table
from parallel_frames._model import GroupStatus, Intent, Outcome, Receipt, RunEvent, RunId
from parallel_frames._state import (
    OUTCOME_SCHEMA,
    RECEIPT_SCHEMA,
    WEIGHT,
    Archive,
    Ledger,
    encode,
    judge_look,
    read_identity,
    receipts_of,
    table_of,
)

KEY = "0" * 31 + "a"
OTHER = "0" * 31 + "b"
GROUP = "tgrp_1"


def outcome(key: str, attempt: int = 0, *, status: str = "completed", run_id: str = "run_1") -> Outcome:
    """Return an outcome, completed with an empty answer unless said otherwise."""
    return Outcome(key, attempt, run_id, GROUP, status, output="{}" if status == "completed" else None)


def needs(ledger: Ledger, *keys: str, retry_failed: bool = True) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Return what a ledger needs, as three lists."""
    told = ledger.needs(keys, retry_failed=retry_failed)
    return told.answered, told.awaited, told.to_send


def test_an_unknown_key_is_sent_as_attempt_0() -> None:
    """Nothing known means: send it."""
    assert needs(Ledger(), KEY, OTHER) == ([], [], [(0, 0), (1, 0)])


def test_a_receipt_is_awaited_and_an_answer_ends_it() -> None:
    """A paid run is awaited until its outcome is there, then never sent again."""
    ledger = Ledger()
    ledger.add_receipt(Receipt(KEY, 0, "run_1", GROUP))
    assert needs(ledger, KEY) == ([], [0], [])
    assert ledger.in_flight() == 1
    assert ledger.add_outcome(outcome(KEY))
    assert needs(ledger, KEY) == ([0], [], [])
    assert ledger.in_flight() == 0


@pytest.mark.parametrize(("retry", "expected"), [(True, ([], [], [(0, 1)])), (False, ([0], [], []))])
def test_a_failure_is_tried_again_only_when_asked(retry: bool, expected: object) -> None:
    """A failed run gets a second attempt with retry_failed, and stays failed without."""
    ledger = Ledger()
    ledger.add_outcome(outcome(KEY, status="failed"))
    assert needs(ledger, KEY, retry_failed=retry) == expected


def test_a_pending_attempt_is_never_bought_again_by_a_refresh() -> None:
    """Refreshing a key whose newest run is still under way awaits that run."""
    ledger = Ledger()
    ledger.add_receipt(Receipt(KEY, 0, "run_1", GROUP))
    ledger.mark_stale(ledger.finished_attempts([KEY, OTHER]))
    assert needs(ledger, KEY, OTHER) == ([], [0], [(1, 0)])


def test_a_stale_answer_is_asked_again_once() -> None:
    """After mark_stale an answered key gets the next attempt; once that is answered it is done."""
    ledger = Ledger()
    ledger.add_outcome(outcome(KEY))
    ledger.mark_stale(ledger.finished_attempts([KEY]))
    assert needs(ledger, KEY) == ([], [], [(0, 1)])
    ledger.add_outcome(outcome(KEY, 1, run_id="run_2"))
    assert needs(ledger, KEY) == ([0], [], [])


def test_the_newest_answer_wins_and_a_failed_refresh_keeps_the_old_one() -> None:
    """A later failure does not take an earlier answer away."""
    ledger = Ledger()
    ledger.add_outcome(outcome(KEY))
    ledger.add_outcome(outcome(KEY, 1, status="failed", run_id="run_2"))
    answer = ledger.answer(KEY)
    assert answer is not None
    assert (answer.attempt, answer.status) == (0, "completed")
    assert needs(ledger, KEY) == ([0], [], [])


def test_a_failure_whose_retry_is_under_way_is_pending() -> None:
    """While the second attempt runs, the first one's failure is not the row's answer."""
    ledger = Ledger()
    ledger.add_outcome(outcome(KEY, status="failed"))
    ledger.add_receipt(Receipt(KEY, 1, "run_2", GROUP))
    assert ledger.answer(KEY) is None


def test_a_replayed_old_failure_changes_nothing() -> None:
    """Hearing of attempt 0's failure again, after attempt 1 answered, is no news."""
    ledger = Ledger()
    ledger.add_outcome(outcome(KEY, status="failed"))
    ledger.add_outcome(outcome(KEY, 1, run_id="run_2"))
    assert not ledger.add_outcome(outcome(KEY, status="failed"))
    answer = ledger.answer(KEY)
    assert answer is not None
    assert answer.attempt == 1


def test_a_completed_outcome_is_never_replaced_but_replaces_a_failure() -> None:
    """Should one attempt exist twice, its completed run stands."""
    ledger = Ledger()
    assert ledger.add_outcome(outcome(KEY, status="failed", run_id="run_1"))
    assert ledger.add_outcome(outcome(KEY, run_id="run_2"))
    assert not ledger.add_outcome(outcome(KEY, status="failed", run_id="run_3"))
    answer = ledger.answer(KEY)
    assert answer is not None
    assert answer.run_id == "run_2"


def test_an_open_intent_is_awaited_and_its_absence_frees_the_attempt() -> None:
    """Runs of an undecided batch are not sent; once the batch is dropped, the same attempt may be sent."""
    ledger = Ledger()
    ledger.add_outcome(outcome(OTHER, status="failed"))
    ledger.open_intent(Intent(1, GROUP, (RunId(KEY, 0), RunId(OTHER, 1)), (0, 1)))
    assert needs(ledger, KEY, OTHER) == ([], [0, 1], [])
    assert ledger.in_flight() == 2
    ledger.close_intent(1)
    assert needs(ledger, KEY, OTHER) == ([], [], [(0, 0), (1, 1)])


def test_a_run_found_by_metadata_waits_for_its_batch_to_be_decided() -> None:
    """What is found of an open batch becomes part of that batch's receipt and not a receipt of its own."""
    ledger = Ledger()
    ledger.open_intent(Intent(1, GROUP, (RunId(KEY, 0), RunId(OTHER, 0)), (0, 1)))
    assert ledger.find(RunId(KEY, 0), run_id="run_1", group_id=GROUP) is None
    assert ledger.missing(1) == [RunId(OTHER, 0)]
    assert ledger.find(RunId(KEY, 5), run_id="run_9", group_id=GROUP) == Receipt(KEY, 5, "run_9", GROUP)


def test_a_run_with_an_outcome_is_not_missing_from_its_batch() -> None:
    """An answered run needs no receipt to be known as created."""
    ledger = Ledger()
    ledger.add_outcome(outcome(KEY))
    ledger.open_intent(Intent(1, GROUP, (RunId(KEY, 0), RunId(OTHER, 0)), (0, 1)))
    assert ledger.missing(1) == [RunId(OTHER, 0)]


def test_metadata_says_whose_a_run_is_before_its_place_in_an_answer_does() -> None:
    """An id that was matched to the wrong run by its place is corrected by the run's own metadata."""
    ledger = Ledger()
    ledger.add_receipt(Receipt(KEY, 0, "run_1", GROUP))
    assert ledger.identify(RunEvent("run_1", "completed")) == RunId(KEY, 0)
    told = RunEvent("run_1", "completed", metadata={"key": OTHER, "attempt": "0"})
    assert ledger.identify(told) == RunId(OTHER, 0)


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"key": KEY, "attempt": "3"}, RunId(KEY, 3)),
        ({"key": KEY, "attempt": 3}, RunId(KEY, 3)),
        ({"key": KEY}, None),
        ({"key": KEY, "attempt": "-1"}, None),
        ({"key": "x" * 32, "attempt": "0"}, None),
        ({"key": 5, "attempt": "0"}, None),
        ({"row": "1"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_an_identity_is_read_only_from_metadata_like_ours(metadata: object, expected: object) -> None:
    """A stranger's metadata never becomes one of our runs."""
    assert read_identity(metadata) == expected  # type: ignore[arg-type]


def listing(*run_ids: str) -> tuple[str, ...]:
    """Return a listing of runs."""
    return run_ids


@pytest.mark.parametrize(
    ("count", "listed", "acknowledged", "flaw"),
    [
        (2, ("a", "b"), ("a", "b"), None),
        (3, ("a", "b", "c"), ("a",), None),
        (2, ("a", "b", "c"), ("a",), None),
        (1, ("a", "b"), ("a", "b"), "the group counts 1 runs where 2 were acknowledged"),
        (3, ("a", "b"), ("a", "b"), "the list holds 2 of 3 runs"),
        (2, ("b", "c"), ("a",), "the list lacks 1 runs that were acknowledged"),
    ],
)
def test_absence_is_concluded_from_whole_listings_only(
    count: int, listed: tuple[str, ...], acknowledged: tuple[str, ...], flaw: str | None
) -> None:
    """A count or a listing that lags, or is cut short, proves nothing."""
    status = GroupStatus(GROUP, count, {}, is_active=True)
    assert judge_look(status, listing(*listed), acknowledged).flaw == flaw


@given(
    outcomes=st.lists(
        st.tuples(
            st.sampled_from([KEY, OTHER]),
            st.integers(0, 2),
            st.sampled_from(["completed", "failed", "cancelled"]),
            st.sampled_from(["run_1", "run_2", "run_3", "run_4"]),
        ),
        max_size=8,
    ),
    receipts=st.lists(
        st.tuples(st.sampled_from([KEY, OTHER]), st.integers(0, 2), st.sampled_from(["run_1", "run_2", "run_5"])),
        max_size=5,
    ),
)
def test_recalling_is_being_told_one_by_one(outcomes, receipts) -> None:
    """What a checkpoint holds means the same in bulk, whatever stands in it, twice or in any order."""
    group_of = {"run_1": GROUP, "run_2": GROUP, "run_3": "tgrp_2", "run_4": "tgrp_2", "run_5": "tgrp_2"}
    told = [
        Outcome(key, attempt, f"{run_id}{key[-1]}", group_of[run_id], status, output=f'"{at}"', basis="[]")
        for at, (key, attempt, status, run_id) in enumerate(outcomes)
    ]
    paid = [Receipt(key, attempt, f"{run_id}{key[-1]}", group_of[run_id]) for key, attempt, run_id in receipts]
    single = Ledger()
    for outcome in told:
        single.add_outcome(outcome)
    for receipt in paid:
        single.add_receipt(receipt)
    packed = Ledger()
    for outcome in told:
        packed.add_outcome(outcome)
        pack(packed, at_least=2 * WEIGHT)
    for receipt in paid:
        packed.add_receipt(receipt)
    bulk = Ledger()
    bulk.recall(outcomes=told, receipts=paid)
    archived = Ledger()
    archive = archive_of(told[:3], told[3:])
    archived.recall_archive(archive, receipts_of(archive.without_outcome(table_of(paid, RECEIPT_SCHEMA))))
    assert list(archive) == told
    assert seen(bulk) == seen(single)
    assert seen(archived) == seen(single)
    assert seen(packed) == seen(single)
    for ledger in (single, bulk, archived, packed):  # and whatever is told afterwards
        ledger.mark_stale({KEY: 0})
        ledger.open_intent(Intent(1, GROUP, (RunId(KEY, 1), RunId("c" * 32, 0)), (0, 1)))
        ledger.add_receipt(Receipt(KEY, 1, "run_9a", GROUP))
        ledger.add_outcome(Outcome(OTHER, 0, "run_8b", GROUP, "completed", output='"late"'))
        ledger.acknowledge(GROUP, ["run_1a", "run_7b"])
        ledger.add_receipt(Receipt(KEY, 2, "run_1a", GROUP))
        ledger.close_intent(1)
    pack(archived, at_least=1)
    assert seen(bulk) == seen(single)
    assert seen(archived) == seen(single)
    assert seen(packed) == seen(single)


def test_an_id_that_comes_after_its_answer_was_put_away_is_counted_once() -> None:
    """A POST may be answered after its runs have ended: a group counted too large would not be asked for the rest."""
    ledger = Ledger()
    ledger.add_outcome(Outcome(KEY, 0, "run_1", GROUP, "completed", output='"a"'))
    pack(ledger, at_least=1)
    ledger.acknowledge(GROUP, ["run_1", "run_2"])
    assert ledger.acknowledged(GROUP) == {"run_1", "run_2"}
    assert ledger.count_acknowledged(GROUP) == 2


def pack(ledger: Ledger, *, at_least: int) -> None:
    """Put away the answers that are in the books."""
    if loose := ledger.take_loose(at_least):
        ledger.archive(loose, *encode(loose))


def archive_of(*parts: list[Outcome]) -> Archive:
    """Return the archive of these parts of a checkpoint."""
    archive = Archive()
    for outcomes in parts:
        data = io.BytesIO()
        write_table(data, table_of(outcomes, OUTCOME_SCHEMA))
        archive.add(*parse_part(data.getvalue()))
    archive.settle()
    return archive


def seen(ledger: Ledger) -> dict[str, object]:
    """Return all that can be asked of a ledger."""
    keys, run_ids = [KEY, OTHER, "c" * 32], [f"run_{number}{key}" for key in "ab" for number in range(10)]
    runs = [RunId(key, attempt) for key in keys for attempt in range(4)]
    answers = ledger.answers(keys)
    completed = [(entries.tolist(), texts) for entries, texts in answers.completed("output")]
    return {
        "newest": [ledger.newest(key) for key in keys],
        "ended": [ledger.has_outcome(run) for run in runs],
        "paid": [ledger.is_paid(run) for run in runs],
        "answers": [ledger.answer(key) for key in keys],
        "in bulk": answers.outcomes(),
        "has": [ledger.has_answer(key) for key in keys],
        "completed": {entry: text for entries, texts in completed for entry, text in zip(entries, texts, strict=True)},
        "others": answers.others(),
        "stale": [ledger.is_stale(key) for key in keys],
        "finished": ledger.finished_attempts(keys),
        "needs": [ledger.needs(keys, retry_failed=retry) for retry in (False, True)],
        "runs": [known and known.key for run_id in run_ids
                 for known in [ledger.identify(RunEvent(run_id, "completed"))]],
        "acknowledged": [ledger.acknowledged(group) for group in ("tgrp_2", GROUP)],
        "counts": [ledger.count_acknowledged(group) for group in ("tgrp_2", GROUP)],
        "groups": sorted(ledger.groups),
        "awaited": {group: runs for group, runs in ledger.awaited.items() if runs},
        "found": [ledger.find(run, run_id=run_id, group_id=GROUP) is None for run in runs for run_id in run_ids
                  if (known := ledger.identify(RunEvent(run_id, "completed"))) and known.key == run.key],
        "keys": ledger.keys,
    }  # fmt: skip


def test_answers_may_be_looked_at_while_others_come_in() -> None:
    """A handle is looked at from one thread while its enrichment goes on in another."""
    ledger, keys, before = Ledger(), [f"{number:032x}" for number in range(30_000)], sys.getswitchinterval()
    ledger.add_outcome(outcome(keys[0]))
    pack(ledger, at_least=1)

    def come_in() -> None:
        for number, key in enumerate(keys):
            ledger.add_outcome(outcome(key, run_id=f"run_{number}"))

    coming = threading.Thread(target=come_in)
    sys.setswitchinterval(1e-6)
    try:
        coming.start()
        while coming.is_alive():
            assert ledger.answers(keys[:1]).outcomes() == [outcome(keys[0])]
    finally:
        sys.setswitchinterval(before)
        coming.join()
