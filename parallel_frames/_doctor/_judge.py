"""What was observed of a service → what it means, as pure functions, one for each assumption.

They know no connection and no clock. What an enrichment does in each case is in `_engine` and `_service`; these texts
say it, and change with it.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from parallel_frames._doctor._diagnosis import Verdict
from parallel_frames._doctor._runs import RUNS
from parallel_frames._format import format_count, format_duration
from parallel_frames._model import TERMINAL
from parallel_frames.errors import CreditError, RateLimitError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from parallel_frames._doctor._runs import SentRun
    from parallel_frames._model import DialectName, GroupStatus, Refused
    from parallel_frames.errors import ServiceError

Judgement: TypeAlias = tuple[str, Verdict, str]  # what was observed, whether that is well, and what it means

PATIENCE: Final = 300.0  # seconds that the runs may take
SKEW: Final = 5.0  # seconds that two clocks may differ
LARGE_SKEW: Final = 300.0
LIMITS: Final = ("ratelimit", "rate-limit")
ENDS: Final = ("completed", "failed", "cancelled", "action_required")
UNDECIDED: Final = (
    "A call that does not get the answer to a batch stops with UndecidedError. It pays nothing twice; please report it."
)


class Look(NamedTuple):
    """What the group showed of a batch."""

    verdict: Literal["present", "absent", "undecided", "undecidable"]  # had the batch's answer been lost
    seconds: float  # how long it took, 0 where the first look was enough
    flaw: str | None  # why nothing was to be concluded from what was not listed


def judge_dialect(name: DialectName | None) -> Judgement:
    if name == "published":
        return "the published API, under /v1", "ok", "The schema is sent with each batch."
    if name == "seed":
        meaning = "The first batch is small, and its runs must be matched to rows. `options` may be ignored."
        return "the seed dialect, under /v1beta", "handled", meaning
    return "the published API, under /v1beta", "handled", "It is read in the same way."


def judge_unknown_group(error: ServiceError | None) -> Judgement:
    """Check what was answered for a group that does not exist; None where it was answered like any other."""
    if error is None:
        meaning = "A group that is gone looks like an empty one, and its rows would be paid for again."
        return "it is answered like one that exists", "breaks", meaning
    if error.status != 404:
        return str(error), "handled", "A group that is gone is an error with this text."
    if error.ref_id is None:
        return "404, without a reference", "handled", "Errors name no reference for the service's support."
    meaning = "A group that is gone is an error, and its rows are not paid for again."
    return f"404, reference {error.ref_id}", "ok", meaning


def judge_refused_body(error: ServiceError | None) -> Judgement:
    """Check what was answered to a body that is not allowed; None where it was accepted."""
    if error is None:
        return "it was accepted", "handled", "The documented limits are checked before anything is sent, in any case."
    if error.status is None or not 400 <= error.status < 500:
        meaning = "A batch that is refused looks as if it may have been created: calls wait, and stop late."
        return str(error), "breaks", meaning
    meaning = "What is refused is an error, and proves that nothing was created."
    return str(error), "ok" if error.status == 422 else "handled", meaning


# Two batches


def judge_refusal(refused: Refused) -> Judgement:
    reason = str(refused.error)
    if isinstance(refused.error, RateLimitError):
        return reason, "not checked", "Calls wait, and send the same again. To check the rest, try again in a minute."
    way_out = "Add credit to the account. " if isinstance(refused.error, CreditError) else ""
    return reason, "breaks", f"Nothing was created. {way_out}The rest could not be checked."


def judge_lost_answer(reason: str, look: Look) -> Judgement:
    if look.verdict == "undecidable":
        return f"{reason}; {look.flaw}", "breaks", UNDECIDED
    found = "its runs are found in the list" if look.verdict == "present" else "it counts as not created"
    return f"{reason}; {found}", "handled", "The group is looked at before more is sent."


def judge_ids(runs: Sequence[SentRun]) -> Judgement:
    if any(sent.claimed_id != sent.listed.run_id for sent in runs if sent.listed is not None):
        meaning = "The metadata or the input of a run identifies it, and not the order of the ids."
        return "the ids are in another order", "handled", meaning
    return f"{len(runs)} ids of {RUNS} runs", "ok", "A receipt is kept for each run before the next batch is sent."


def judge_listing(looks: Sequence[Look], *, settle_time: float) -> Judgement:
    rule = "A batch whose answer is lost counts as not created if it is not listed after "
    rule += format_duration(settle_time)
    order = ("present", "undecidable", "absent")
    worst = max(looks, key=lambda look: (order.index(look.verdict), look.seconds))
    if worst.verdict == "absent":
        meaning = f"{rule}, and would be paid for twice. Pass a larger `pf.Client(settle_time=...)`."
        return f"not within {format_duration(worst.seconds)}", "breaks", meaning
    if worst.verdict != "present":
        return str(worst.flaw), "breaks", UNDECIDED
    if worst.seconds:
        return f"after {format_duration(worst.seconds)}", "handled", f"{rule}, which is late enough."
    return "at once", "ok", f"{rule}."


def judge_run_cursor(
    cursor: str | None, listed: Collection[str], *, wanted: Collection[str], is_refused: bool
) -> Judgement:
    """Check what a list from a cursor on held, where the runs after it were wanted."""
    whole = "Lists are read whole."
    if cursor is None:
        return "the answer to a batch has no cursor", "handled", whole
    if is_refused:
        return "the cursor is refused", "handled", whole
    if set(wanted) - set(listed):
        return "the list leaves out later runs", "handled", "Runs that it leaves out are read one by one."
    if set(listed) - set(wanted):
        return "the list begins before the cursor", "handled", whole
    return "the runs of the second batch", "ok", "Of a large group, only new runs are read."


# The stream of events


def judge_events(runs: Collection[SentRun], *, cuts: int, is_active: bool, group_id: str) -> Judgement:
    ended = [sent.ended for sent in runs if sent.ended is not None]
    counts = Counter(event.status for event in ended)
    parts = [f"{counts[status]} {status}" for status in ENDS if counts[status]] or ["none"]
    parts += [f"the stream was cut {format_count(cuts, 'time')}"] if cuts else []
    errors = [event.error for event in ended if event.error]
    parts += [str(error.get("message") if isinstance(error, dict) else error) for error in errors[:1]]
    seen, missing = ", ".join(parts), len(runs) - len(ended)
    if missing and is_active:
        meaning = f"They may still end, and be billed: `parallel-frames status {group_id}`."
        return f"{seen} within {format_duration(PATIENCE)}", "not checked", meaning
    if missing:
        meaning = "What the stream leaves out is read from the list."
        return f"{seen}; {missing} ended without an event", "handled", meaning
    if counts["completed"] < len(ended):
        return seen, "handled", "Such runs are not billed; their rows have the reason."
    return seen, "handled" if cuts else "ok", "Rows are answered as soon as their runs end."


def judge_event_outputs(carrying: int, *, completed: int, is_seed: bool) -> Judgement:
    meaning = "Answers arrive with the events." if carrying else "Outputs are read from the list."
    is_expected = carrying == (completed if is_seed else 0)
    return f"{carrying} of {completed} carry one", "ok" if is_expected else "handled", meaning


def judge_metadata(runs: Collection[SentRun], *, is_seed: bool) -> Judgement:
    """Check whether runs came back with their metadata, and what else says whose they are."""
    listed = [(sent, sent.listed) for sent in runs if sent.listed is not None]
    ended = [(sent, sent.ended) for sent in runs if sent.ended is not None]
    if all(sent.has_metadata(event) for sent, event in listed):
        meaning = "It identifies the run, whatever happens to the answer of its batch."
        if all(sent.has_metadata(event) for sent, event in ended):
            return "in the list and in events", "ok", meaning
        return "in the list, not in events", "handled", meaning
    if all(sent.has_input(event) for sent, event in listed):
        return "not in the list", "handled", "A run is recognised by its input instead."
    if is_seed and all(sent.claimed_id is not None for sent in runs):
        return "not in the list", "handled", "The order of the ids identifies the runs."
    meaning = "Nothing proves which row an answer belongs to. Calls stop after the first batch, except with "
    return "not in the list", "breaks", f"{meaning}`max_in_flight=1`."


def judge_inputs(runs: Collection[SentRun]) -> Judgement:
    meaning = "What another program sent to a group can be matched to rows"
    if all(sent.has_input(sent.listed) for sent in runs if sent.listed is not None):
        return "in the list", "ok", f"{meaning}."
    return "not in the list", "handled", f"{meaning} by its metadata only."


def judge_event_cursor(ids: Sequence[str], heard: Collection[str] | None) -> Judgement:
    """Check which of the events with these ids came again after the first of them; None where that is refused."""
    meaning = "A stream that is cut is read from its beginning."
    if not ids:
        return "events have no ids", "handled", meaning
    if heard is None:
        return "the cursor is refused", "handled", meaning
    later = set(ids[1:])
    if ids[0] in heard:
        return "it begins before that event", "handled", "Events that come twice are recognised."
    if missing := later - set(heard):
        seen = f"{len(missing)} of {len(later)} later events are missing"
        return seen, "handled", "What the stream leaves out is read from the list."
    seen = f"{format_count(len(later), 'later event')}, and no earlier one"
    return seen, "ok", "A stream that is cut resumes there."


# The end


def judge_outputs(in_list: int, *, completed: int, has_result: bool | None, is_carried: bool) -> Judgement:
    """Check where the outputs of completed runs were; `has_result` is None where results have no address."""
    if not completed:
        return "no run completed", "not checked", "Try again once runs complete."
    result = "" if has_result is None else f", {'also' if has_result else 'not'} as a result"
    seen, is_whole = f"{in_list} of {completed} in the list{result}", in_list == completed
    if is_whole and has_result is not False:
        return seen, "ok", "Many are read in one list, a few one by one."
    if is_whole or has_result or is_carried:
        return seen, "handled", "Answers are read where they are, with more requests."
    return seen, "breaks", "Rows end as failed, although their runs are billed. Does the account keep no outputs?"


def has_settled(status: GroupStatus, runs: Collection[SentRun]) -> bool:
    """Return whether a group counts what was created, and at least what events reported of its end."""
    # Not of those that wait for an action: the seed dialect counts them as pending.
    heard = Counter(sent.ended.status for sent in runs if sent.ended is not None and sent.ended.status in TERMINAL)
    return status.runs == len(runs) and all(status.counts.get(word, 0) >= number for word, number in heard.items())


def judge_counts(status: GroupStatus | None, runs: Collection[SentRun], *, seconds: float) -> Judgement:
    """Check a group's counts, which were waited for so long; None where they cannot be read."""
    if status is None:
        return "they cannot be read", "breaks", UNDECIDED
    seen = f"{status.runs} counted, {len(runs)} known"
    if status.runs > len(runs):
        return seen, "breaks", "The group holds, and bills, runs that were not acknowledged. Please report it."
    if status.runs < len(runs):
        return seen, "breaks", UNDECIDED
    if not has_settled(status, runs):
        meaning = "A lost event is noticed late, or only when the stream ends."
        return f"{seen}, and fewer ended than events say", "handled", meaning
    late = f" after {format_duration(seconds)}" if seconds else ""
    return f"{seen}{late}", "handled" if seconds else "ok", "The counts show what the stream leaves out."


def judge_limits(headers: Mapping[str, str], *, max_per_minute: int | None) -> Judgement:
    limits = {name: value for name, value in headers.items() if any(word in name for word in LIMITS)}
    seen = ", ".join(f"{name}: {value}" for name, value in limits.items()) or "no answer names a limit"
    found = [int(value) for name, value in limits.items() if name.endswith("limit") and value.isdecimal()]
    if found and (max_per_minute is None or min(found) < max_per_minute):
        return seen, "handled", f"Batches that are refused wait. `pf.Client(max_per_minute={min(found)})` avoids it."
    pace = "without a limit" if max_per_minute is None else f"at {max_per_minute:,} a minute at most"
    return seen, "ok", f"Runs are sent {pace}."


def judge_clock(skews: Mapping[str, float]) -> Judgement:
    """Check how far the service's clock is ahead, in seconds, by what tells it."""
    goes_by = "`older_than=...` goes by both clocks."
    if not skews:
        return "no answer names the time", "not checked", goes_by
    seen = ", ".join(f"{format_duration(abs(skew))} by {name}" for name, skew in skews.items())
    largest = max(map(abs, skews.values()))
    if largest <= SKEW:
        return seen, "ok", goes_by
    if largest <= LARGE_SKEW:
        return seen, "handled", "`older_than=...` is off by so much."
    return seen, "breaks", "`older_than=...` asks, and pays, too early or too late. Set the clock of this machine."


def skew_of(sent: SentRun) -> float | None:
    """Return how far the time of a run's creation is outside of its POST, in seconds; None where it has none."""
    try:
        created = datetime.fromisoformat((sent.listed and sent.listed.created_at) or "")
    except ValueError:
        return None
    at = (created if created.tzinfo else created.replace(tzinfo=UTC)).timestamp()
    began, answered = sent.sent_at
    return min(at - began, 0.0) + max(at - answered, 0.0)
