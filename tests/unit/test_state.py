"""What is known of each input, run and group, and the rules of paying once on that knowledge."""

import itertools
from dataclasses import replace

import pytest

from parallel_frames._model import GroupStatus, Intent, Outcome, Receipt, RunEvent, RunId
from parallel_frames._state import (
    ANSWERED,
    AWAITED,
    NEVER,
    DiskIndex,
    GroupState,
    Index,
    MemoryIndex,
    judge_batch,
    judge_look,
    next_step,
    read_identity,
    runs_of,
    states_of,
)

KEY = "0" * 31 + "a"
OTHER = "0" * 31 + "b"
GROUP = "tgrp_1"
COMPLETED, FAILED, CANCELLED = 0, 1, 2


def outcome(key: str, attempt: int = 0, *, status: str = "completed", run_id: str = "run_1") -> Outcome:
    """Return an outcome, completed with an empty answer unless another status is given."""
    output = "{}" if status == "completed" else None
    return Outcome(key, attempt, run_id, GROUP, status, output=output, modified_at="2026-01-02T03:04:05Z")


# The rule


@pytest.mark.parametrize("retry_failed", [True, False])
@pytest.mark.parametrize("marked", [None, -1, 0, 1])
@pytest.mark.parametrize("newest", [None, 0, 1])
@pytest.mark.parametrize("status", [None, COMPLETED, FAILED, CANCELLED])
@pytest.mark.parametrize("is_old", [True, False])
def test_what_an_input_needs(
    newest: int | None, status: int | None, marked: int | None, *, is_old: bool, retry_failed: bool
) -> None:
    """Sent when unknown, awaited while under way, asked again when marked, old or failed, and otherwise answered."""
    for answered in (None, 0, 1):
        impossible = answered is not None and (newest is None or answered > newest)
        if impossible or (newest is None and status is not None) or ((status == COMPLETED) != (answered == newest)):
            continue
        ended_at, stale_before = "2026-01-02T03:04:05Z", "2026-02-02T03:04:05Z" if is_old else NEVER
        step = next_step(
            newest, status, answered, ended_at, marked, retry_failed=retry_failed, stale_before=stale_before
        )
        if newest is None:
            expected = 0
        elif status is None:
            expected = AWAITED
        elif marked == newest:
            expected = newest + 1
        elif answered is None:
            expected = newest + 1 if retry_failed else ANSWERED
        else:
            repeats = is_old and (status == COMPLETED or retry_failed)
            expected = newest + 1 if repeats else ANSWERED
        assert step == expected


@pytest.mark.parametrize(
    ("missing", "flaw", "waited", "looks", "verdict"),
    [
        (0, None, 0.0, 1, "present"),
        (0, "the list holds 1 of 2 runs", 0.0, 1, "present"),
        (2, None, 119.9, 1, "undecided"),
        (2, None, 120.0, 1, "absent"),
        (2, "the list holds 1 of 2 runs", 120.0, 1, "undecided"),
        (2, "the list holds 1 of 2 runs", 121.0, 8, "undecided"),
        (2, "the list holds 1 of 2 runs", 121.0, 9, "undecidable"),
    ],
)
def test_a_batch_is_absent_only_after_a_whole_look_and_the_settle_time(
    missing: int, flaw: str | None, waited: float, looks: int, verdict: str
) -> None:
    """What was found is present at once; what lacks counts as absent late, and never by a look with a flaw."""
    assert judge_batch(missing=missing, flaw=flaw, waited=waited, settle_time=120.0, looks=looks) == verdict


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
    """Metadata of other programs never becomes one of our runs."""
    assert read_identity(metadata) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("count", "listed", "acknowledged", "flaw"),
    [
        (2, ("a", "b"), ("a", "b"), None),
        (3, ("a", "b", "c"), ("a",), None),
        (2, ("a", "b", "c"), ("a",), None),
        (1, ("a", "b"), ("a", "b"), "the group counts 1 run where 2 were acknowledged"),
        (3, ("a", "b"), ("a", "b"), "the list holds 2 of 3 runs"),
        (2, ("b", "c"), ("a",), "the list lacks 1 acknowledged run"),
    ],
)
def test_absence_is_concluded_from_whole_listings_only(
    count: int, listed: tuple[str, ...], acknowledged: tuple[str, ...], flaw: str | None
) -> None:
    """A count or a listing that lags, or is cut short, proves nothing."""
    status = GroupStatus(GROUP, count, {}, is_active=True)
    assert judge_look(status, listed, acknowledged) == flaw


# A group


def test_a_completed_outcome_is_never_replaced_but_replaces_a_failure() -> None:
    """Should one attempt exist twice, its completed run counts."""
    group = GroupState(GROUP)
    assert group.add_outcome(RunId(KEY, 0), run_id="run_1", status="failed")
    assert group.add_outcome(RunId(KEY, 0), run_id="run_2", status="completed")
    assert not group.add_outcome(RunId(KEY, 0), run_id="run_3", status="failed")
    assert group.statuses == {RunId(KEY, 0): "completed"}


def test_a_receipt_is_awaited_until_its_outcome() -> None:
    """A paid run is awaited, whichever of receipt and outcome comes first."""
    group = GroupState(GROUP)
    group.add_paid(RunId(KEY, 0), run_id="run_1")
    assert (group.in_flight, group.is_settled) == (1, False)
    assert group.add_outcome(RunId(KEY, 0), run_id="run_1", status="completed")
    group.add_paid(RunId(KEY, 0), run_id="run_1")
    assert (group.in_flight, group.is_settled, group.size) == (0, True, 1)


def test_an_outcome_under_another_id_ends_the_wait_for_its_run() -> None:
    """Ids that were given in another order than sent never take a wrong run off what is awaited."""
    group = GroupState(GROUP)
    group.add_paid(RunId(KEY, 0), run_id="run_2")  # the service answered with the ids of the two swapped
    group.add_paid(RunId(OTHER, 0), run_id="run_1")
    group.add_outcome(RunId(KEY, 0), run_id="run_1", status="completed")
    assert group.awaited == {RunId(OTHER, 0): "run_1"}


def test_a_run_found_by_metadata_waits_for_its_batch_to_be_decided() -> None:
    """What is found of an open batch becomes part of that batch's receipt and not a receipt of its own."""
    group = GroupState(GROUP)
    group.open_intent(Intent(1, GROUP, (RunId(KEY, 0), RunId(OTHER, 0)), (0, 1)))
    assert group.find(RunId(KEY, 0), run_id="run_1") is None
    assert group.missing(1) == [RunId(OTHER, 0)]
    assert group.find(RunId(KEY, 5), run_id="run_9") == Receipt(KEY, 5, "run_9", GROUP)
    group.close_intent(1)
    assert group.in_flight == 1


def test_a_run_with_an_outcome_is_not_missing_from_its_batch() -> None:
    """An answered run needs no receipt to be known as created."""
    group = GroupState(GROUP)
    group.add_outcome(RunId(KEY, 0), run_id="run_1", status="completed")
    group.open_intent(Intent(1, GROUP, (RunId(KEY, 0), RunId(OTHER, 0)), (0, 1)))
    assert group.missing(1) == [RunId(OTHER, 0)]


def test_metadata_identifies_a_run_before_its_place_in_an_answer_does() -> None:
    """An id that was matched to the wrong run by its place is corrected by the run's own metadata."""
    group = GroupState(GROUP)
    group.add_paid(RunId(KEY, 0), run_id="run_1")
    assert group.identify(RunEvent("run_1", "completed")) == RunId(KEY, 0)
    event = RunEvent("run_1", "completed", metadata={"key": OTHER, "attempt": "0"})
    assert group.identify(event) == RunId(OTHER, 0)


# The index


@pytest.fixture(params=[MemoryIndex, DiskIndex])
def index(request: pytest.FixtureRequest) -> Index:
    """Give an index of three rows: two with one input, one with another."""
    with_rows: Index = request.param()
    with_rows.add_rows(0, [KEY, OTHER], [0, 1, 0, -1, -2])
    with_rows.end_rows()
    return with_rows


@pytest.fixture
def disk_index() -> DiskIndex:
    """Give such an index of a file."""
    with_rows = DiskIndex()
    with_rows.add_rows(0, [KEY, OTHER], [0, 1, 0, -1, -2])
    with_rows.end_rows()
    return with_rows


def store(index: Index, *outcomes: Outcome, part: int = 1) -> None:
    """Add the outcomes of one part."""
    index.add_outcomes(part, states_of(outcomes))


def steps(index: Index) -> list[tuple[int, int, int]]:
    """Return row, attempt and number of rows of what is to be sent."""
    index.decide_sending()
    return [(step.row, step.attempt, step.rows) for step in index.steps_between(0, 100)]


def test_rows_are_counted_and_equal_ones_share_a_run(index: Index) -> None:
    """Of five rows one is not asked about and one has nothing to send; two share an input."""
    status = index.status()
    assert (status.rows, status.chosen, status.skipped, status.runs, status.to_send) == (5, 4, 1, 2, 2)
    assert steps(index) == [(0, 0, 2), (1, 0, 1)]
    assert index.rows_of([KEY, OTHER, "f" * 32]) == {KEY: [0, 2], OTHER: [1]}


def test_rows_of_a_file_are_read_with_their_keys(disk_index: DiskIndex) -> None:
    """Rows that are not asked about are left out; one with nothing to send has no key."""
    found = disk_index.rows_between(0, 9)
    assert found == [(0, KEY, False), (1, OTHER, False), (2, KEY, False), (3, None, False)]


def test_what_is_to_be_sent_stays_as_it_was_decided(index: Index) -> None:
    """Numbers asked for while the feed is read do not put what failed meanwhile into it."""
    index.decide_sending()
    store(index, outcome(KEY, status="failed"))
    assert index.status().to_send == 2
    assert [(step.row, step.attempt) for step in index.steps_between(0, 100)] == [(0, 0), (1, 0)]


def test_a_limit_asks_the_first_inputs(index: Index) -> None:
    """Inputs beyond the limit are left out; how many inputs so many runs need is known."""
    index.configure(limit=1)
    status = index.status()
    assert (status.to_send, status.left_out, steps(index)) == (1, 1, [(0, 0, 2)])
    index.configure()
    index.status()
    assert index.limit_for(1) == 1


def test_the_newest_answer_counts_and_a_failed_repetition_keeps_the_old_one(index: Index) -> None:
    """A later failure does not take an earlier answer away."""
    store(index, outcome(KEY), outcome(KEY, 1, status="failed", run_id="run_2"))
    assert steps(index) == [(1, 0, 1)]
    assert index.answers()[0].tolist() == [1, 0, COMPLETED, 1]
    store(index, outcome(KEY, 2, run_id="run_3"), part=2)
    assert index.answers()[0].tolist()[:3] == [2, 0, COMPLETED]


def test_what_failed_is_not_asked_again_for_an_input_with_an_answer_elsewhere(index: Index) -> None:
    """Such an input is asked once, and not a second time because that failed; others are asked again."""
    index.note_answered([KEY])
    assert index.status().to_send == 2
    store(index, outcome(KEY, status="failed"), outcome(OTHER, status="failed"))
    assert (index.status().to_send, index.status().failed) == (1, 1)
    assert [step.key for step in index.steps_of([KEY, OTHER])] == [OTHER]


def test_a_run_whose_output_is_lost_fails_and_is_billed(index: Index) -> None:
    """It is sent again as a failed one is, and both attempts are billed; a run that failed is not."""
    lost = replace(outcome(KEY, status="failed"), output_type="lost")
    store(index, lost, outcome(OTHER, status="failed", run_id="run_2"))
    assert (index.status().sent, index.status().billed, steps(index)) == (2, 1, [(0, 1, 2), (1, 1, 1)])
    store(index, outcome(KEY, 1, run_id="run_3"), part=2)
    assert (index.status().sent, index.status().billed) == (3, 2)
    store(index, outcome(KEY, run_id="run_1"), part=3)  # its output is back
    assert (index.status().sent, index.status().billed) == (3, 2)


def test_a_failure_whose_repetition_is_under_way_is_no_answer(index: Index) -> None:
    """While the second attempt runs, the first one's failure is not the row's outcome."""
    store(index, outcome(KEY, status="failed"))
    index.add_receipts(runs_of([Receipt(KEY, 1, "run_2", GROUP)]))
    assert index.status().awaited == 1
    assert index.answers()[0].tolist()[:3] == [-1, -1, -1]
    assert index.waiting(GROUP) == {RunId(KEY, 1): 2}


def test_a_refresh_asks_what_it_found_once_and_awaits_what_is_under_way(index: Index) -> None:
    """A marked answer gets the next attempt; a run under way is awaited and not bought again."""
    store(index, outcome(KEY))
    index.add_receipts(runs_of([Receipt(OTHER, 0, "run_2", GROUP)]))
    index.begin_refresh(())
    assert sorted(index.marked_attempts()) == [(KEY, 0), (OTHER, -1)]
    assert steps(index) == [(0, 1, 2)]
    assert not index.is_refreshed()
    store(index, outcome(KEY, 1, run_id="run_3"), part=2)
    assert steps(index) == []
    assert not index.is_refreshed()
    store(index, outcome(OTHER, run_id="run_2"), part=3)
    assert index.is_refreshed()
    assert steps(index) == []


def test_a_key_that_a_refresh_marks_twice_is_marked_once(index: Index) -> None:
    """What another tool wrote twice counts as it stands last."""
    index.recall_refresh([(KEY, 0), (KEY, 1)])
    assert index.marked_attempts() == [(KEY, 1)]


def test_an_unfinished_refresh_is_not_continued_by_a_call_that_does_not_refresh(index: Index) -> None:
    """Its marks are known, and ask for nothing; once what they mark has ended anew, the refresh is over."""
    store(index, outcome(KEY), outcome(OTHER))
    index.recall_refresh([(KEY, 0), ("f" * 32, 0)])
    assert steps(index) == []
    assert index.has_marks
    assert not index.is_refreshed()
    store(index, outcome(KEY, 1, run_id="run_3"), part=2)
    assert index.is_refreshed()
    assert index.marked_attempts(of_others=True) == [("f" * 32, 0)]
    index.forget_checkpoint()
    assert not index.has_marks


def test_an_open_batch_is_awaited_and_its_absence_frees_the_attempt(index: Index) -> None:
    """Runs of an undecided batch are not sent; once the batch is dropped, the same attempt may be sent."""
    store(index, outcome(OTHER, status="failed"))
    index.add_intent(1, GROUP, (RunId(KEY, 0), RunId(OTHER, 1), RunId("f" * 32, 0)))
    assert (steps(index), index.status().awaited, index.status().in_doubt) == ([], 2, 2)
    index.drop_intent(1)
    assert index.status().in_doubt == 0
    assert steps(index) == [(0, 0, 2), (1, 1, 1)]
    assert [step.attempt for step in index.steps_of([OTHER])] == [1]


def test_a_group_is_loaded_with_what_it_owes(index: Index) -> None:
    """Receipts and outcomes give the ids that the group must show, and the runs that are awaited."""
    store(index, outcome(KEY))
    index.add_receipts(runs_of([Receipt(KEY, 0, "run_1", GROUP), Receipt(OTHER, 0, "run_2", GROUP)]))
    group = index.group_state(GROUP, cursor="evt_7")
    assert group.acknowledged == {"run_1", "run_2"}
    assert group.awaited == {RunId(OTHER, 0): "run_2"}
    assert (group.waiting, group.cursor.durable) == ({RunId(OTHER, 0): 1}, "evt_7")


def test_moved_parts_are_found_where_they_are(index: Index) -> None:
    """After a compaction an answer is read from the new part; a dropped part is asked for again."""
    store(index, outcome(KEY), part=1)
    store(index, outcome(OTHER, run_id="run_2"), part=2)
    index.move_parts({1: (3, 0), 2: (3, 1)})
    assert index.answers()[:, :2].tolist() == [[3, 0], [3, 1]]
    assert index.parts() == [3]
    index.drop_part(3)
    assert index.status().to_send == 2


def test_answers_of_a_file_are_read_part_by_part(disk_index: DiskIndex) -> None:
    """Each part comes with the places and rows of its answers, in the order in which they are stored."""
    store(disk_index, outcome(KEY), outcome(OTHER, run_id="run_2"))
    assert list(disk_index.answers_by_part()) == [(1, [(0, 0), (0, 2), (1, 1)])]


def test_an_old_answer_is_asked_again_where_its_time_is_known(index: Index) -> None:
    """`stale_before` goes by the newest attempt's time; an answer without a time is counted and kept."""
    undated = Outcome(OTHER, 0, "run_2", GROUP, "completed", output="{}")
    store(index, outcome(KEY), undated)
    index.configure(stale_before="2026-02-02T03:04:05Z")
    assert (steps(index), index.count_undated()) == ([(0, 1, 2)], 1)


@pytest.mark.parametrize("kind", [MemoryIndex, DiskIndex])
def test_the_order_in_which_things_are_added_changes_nothing(kind: type[MemoryIndex] | type[DiskIndex]) -> None:
    """Receipts, outcomes and intents in any order give the same numbers."""
    numbers = set()
    for order in itertools.permutations(range(3)):
        index = kind()
        index.add_rows(0, [KEY, OTHER], [0, 1])
        index.end_rows()
        acts = [
            lambda index=index: store(index, outcome(KEY)),
            lambda index=index: index.add_receipts(runs_of([Receipt(KEY, 0, "run_1", GROUP)])),
            lambda index=index: index.add_intent(1, GROUP, [RunId(OTHER, 0)]),
        ]
        for number in order:
            acts[number]()
        numbers.add(index.status())
    assert len(numbers) == 1
