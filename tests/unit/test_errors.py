"""The tree of errors: whole, documented, with facts as attributes and messages with what to do."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import re
from decimal import Decimal

import pandas as pd
import pytest

import parallel_frames
from parallel_frames import errors
from parallel_frames.errors import (
    AuthenticationError,
    CheckpointCorruptError,
    CheckpointError,
    CheckpointLockedError,
    CheckpointMismatchError,
    ConfigurationError,
    CostError,
    CreditError,
    DeclinedError,
    EnrichmentError,
    InputError,
    ParallelFramesError,
    ProtocolError,
    RateLimitError,
    RejectedError,
    Safety,
    SchemaError,
    ServiceError,
    SourceError,
    TargetError,
    UnavailableError,
    UndecidedError,
    UnknownColumnError,
    UnknownOptionError,
)

CLASSES = {name: kind for name, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)}

EXAMPLES = [
    InputError("max_cost is below the price"),
    SchemaError("the schema nests 6 deep; the limit is 5"),
    UnknownColumnError("citty", ["city", "country"], where="inputs"),
    UnknownOptionError("model", "there is no option 'model'"),
    ConfigurationError("no key"),
    ServiceError("odd", status=418),
    AuthenticationError("wrong key", status=401, ref_id="r1"),
    CreditError("too little credit", status=402, group_id="tgrp_1"),
    RejectedError("refused", status=422, group_id="tgrp_1", ref_id="r2"),
    RateLimitError("too fast", status=429),
    UnavailableError("reset"),
    ProtocolError("HTML", status=200),
    UndecidedError(group_id="tgrp_1", runs=3, reason="the list holds 5 of 8 runs"),
    CostError(runs=20, billed=3, cost=Decimal("2.3"), max_cost=Decimal(1), limit=7),
    DeclinedError("the answer was no"),
    CheckpointError("a folder is no checkpoint", path="companies.ckpt"),
    CheckpointMismatchError("another job", path="companies.ckpt"),
    CheckpointLockedError("locked by process 7", path="companies.ckpt"),
    CheckpointCorruptError("header.json is damaged", path="companies.ckpt"),
    SourceError("rows.parquet changed", path="rows.parquet"),
    TargetError("the disk is full", path="out.parquet"),
    EnrichmentError("2 rows failed", frame=pd.DataFrame({"a": [1]})),
]


def test_the_docstring_draws_the_tree_as_it_is():
    """The module's drawing has every class under its parent, and nothing else."""
    drawn, above = {}, {}
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"^    ([│├└─ ]*)(\w+Error)\b", line):
            depth = len(found[1]) // 4
            above[depth] = found[2]
            drawn[found[2]] = above.get(depth - 1)
    bases = {
        name: next(base for base in kind.__mro__[1:] if base in CLASSES.values())
        for name, kind in CLASSES.items()
        if kind is not ParallelFramesError
    }
    assert drawn == {"ParallelFramesError": None, **{name: base.__name__ for name, base in bases.items()}}


def test_every_class_has_an_example():
    """There is an example of each class, so that no test below has a gap."""
    assert {type(error) for error in EXAMPLES} == set(CLASSES.values()) - {ParallelFramesError}


@pytest.mark.parametrize(("name", "kind"), CLASSES.items())
def test_every_class_is_named_and_documented(name, kind):
    """Each derives from the root, ends in Error, and has a docstring of its own."""
    assert issubclass(kind, ParallelFramesError)
    assert name.endswith("Error")
    assert inspect.cleandoc(kind.__doc__ or "") != inspect.cleandoc(kind.__mro__[1].__doc__ or "")


def test_the_tree_is_public():
    """What a user writes after except is reachable without knowing a private module."""
    assert parallel_frames.errors.ParallelFramesError is ParallelFramesError


def test_mistakes_of_the_call_are_also_the_builtin_errors():
    """An InputError is a ValueError, an unknown column a KeyError too."""
    assert issubclass(InputError, ValueError)
    assert issubclass(SchemaError, InputError)
    assert issubclass(UnknownColumnError, (InputError, KeyError))
    assert not issubclass(ServiceError, ValueError)


def test_an_unknown_column_says_what_there_is():
    """The message holds the place, the column and the columns there are, unquoted by KeyError."""
    error = UnknownColumnError("citty", ["city", 1, ("a", "b")], where="inputs")
    assert (error.column, error.available) == ("citty", ("city", 1, ("a", "b")))
    assert str(error) == (
        "inputs names the column 'citty', which the frame does not have (did you mean 'city'?); it has 'city', 1, "
        "('a', 'b')."
    )
    assert str(UnknownColumnError(0, [], where="where")).endswith("it has none.")


def test_an_unknown_column_of_a_wide_frame_shows_twenty():
    """Of many columns twenty are shown, and the rest counted; the attribute has them all."""
    error = UnknownColumnError("x", [f"c{i}" for i in range(25)], where="inputs")
    assert len(error.available) == 25
    assert "'c19' and 5 more." in str(error)
    assert "c20" not in str(error)


def test_a_service_error_carries_its_facts():
    """Status, group and reference are attributes, and the message has group and reference."""
    error = RejectedError("The service refuses the request", status=422, group_id="tgrp_1", ref_id="ref_7")
    assert (error.status, error.group_id, error.ref_id) == (422, "tgrp_1", "ref_7")
    assert str(error) == "The service refuses the request (group tgrp_1) [reference ref_7]"


def test_a_service_error_without_facts_is_its_message():
    """What is not known is None, and is not mentioned."""
    error = UnavailableError("api.parallel.ai could not be reached")
    assert (error.status, error.group_id, error.ref_id) == (None, None, None)
    assert str(error) == "api.parallel.ai could not be reached"


def test_an_undecided_batch_is_never_promised_to_be_absent():
    """The message says how many runs, in which group, why, and that they are not sent again."""
    error = UndecidedError(group_id="tgrp_1", runs=3, reason="the list holds 5 of 8 runs")
    assert (error.group_id, error.runs) == ("tgrp_1", 3)
    assert str(error) == (
        "3 runs may or may not have been created in group tgrp_1: the list holds 5 of 8 runs. They are not sent again, "
        "because that could pay for them twice."
    )


def test_a_checkpoint_error_knows_its_path(tmp_path):
    """The directory is an attribute, as text."""
    assert CheckpointLockedError("locked", path=tmp_path).path == str(tmp_path)
    assert CheckpointError("odd").path is None


def test_an_enrichment_error_carries_the_frame():
    """The frame is at hand although an exception was asked for."""
    frame = pd.DataFrame({"a": [1]})
    assert EnrichmentError("1 row failed", frame=frame).frame is frame


def test_safety_with_a_checkpoint_names_it_and_how_to_resume():
    """What is answered, what was sent, in which groups, where it is, and that the same call resumes."""
    safety = Safety(answered=7, rows=10, sent=9, group_ids=("tgrp_1", "tgrp_2"), checkpoint="/data/c.ckpt")
    assert str(safety) == (
        "7 of 10 rows are answered, 9 runs sent (group tgrp_1, tgrp_2) and safe in /data/c.ckpt. "
        "Run the same again to resume: nothing is paid twice."
    )


def test_safety_without_a_checkpoint_names_the_groups_to_resume_with():
    """The message has the code that resumes, with every group in it."""
    safety = Safety(answered=7, rows=10, sent=9, group_ids=("tgrp_1", "tgrp_2"), checkpoint=None)
    assert str(safety) == (
        "7 of 10 rows are answered, 9 runs sent (group tgrp_1, tgrp_2). There is no checkpoint: resume with "
        "`pf.last().resume()` in this process, or with `enrich(..., group_id=['tgrp_1', 'tgrp_2'])` in another; "
        "`df.parallel.collect(group_id, schema)` fetches what is done."
    )


@pytest.mark.parametrize(
    ("is_refused", "again"), [(True, ""), (False, " Once the cause is fixed, run the same again.")]
)
@pytest.mark.parametrize("groups", [(), ("tgrp_1",)])
def test_safety_before_anything_was_created(groups, is_refused, again):
    """Nothing is paid, whether or not there is a group already; what is refused is not to be run again as it is."""
    safety = Safety(answered=0, rows=10, sent=0, group_ids=groups, checkpoint="c.ckpt", is_refused=is_refused)
    assert str(safety) == f"No run was created, and nothing is paid.{again}"


def test_safety_while_runs_are_under_way():
    """What continues on the service is billed, and the message has how many."""
    safety = Safety(answered=1, rows=3, sent=3, group_ids=("tgrp_1",), checkpoint="c.ckpt", under_way=2)
    assert str(safety).endswith(" What was sent continues there, and is billed: 2 runs under way.")
    simulated = dataclasses.replace(safety, is_simulated=True)
    assert str(simulated).endswith(" What was sent continues there, and a simulator bills nothing: 2 runs under way.")


def test_safety_of_an_offline_block_says_what_its_end_ends():
    """Nothing of it is to be resumed after the block, but for what a named checkpoint holds; and nothing is billed."""
    safety = Safety(
        1, 3, 3, ("tgrp_1",), "/tmp/x", under_way=2, is_simulated=True, ends_with_statement=True, is_temporary=True
    )
    lasting = "`sim = pf.offline(...).start()` lasts from cell to cell, so that the same again resumes."
    assert str(safety) == (
        "1 of 3 rows are answered, 3 runs sent (group tgrp_1). The end of the offline block ends its simulator and "
        f"these answers, 2 runs under way included; nothing is billed. {lasting}"
    )
    named = dataclasses.replace(safety, is_temporary=False, under_way=0)
    assert str(named) == (
        "1 of 3 rows are answered, 3 runs sent (group tgrp_1) and safe in /tmp/x. The end of the offline block ends "
        f"its simulator; nothing is billed. {lasting}"
    )


def test_safety_while_a_batch_is_in_doubt():
    """Runs that may not exist are never said to be under way, and billed."""
    safety = Safety(answered=1, rows=3, sent=3, group_ids=("tgrp_1",), checkpoint="c.ckpt", in_doubt=2)
    assert str(safety) == (
        "1 of 3 rows are answered, 3 runs sent, of which 2 may not have been created (group tgrp_1) and safe in "
        "c.ckpt. Run the same again to resume: nothing is paid twice."
    )


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_safety_is_added_to_any_error(error):
    """What is safe follows the error's own message once it is known."""
    error = copy.copy(error)
    alone = str(error)
    assert error.safety is None
    error.safety = Safety(answered=1, rows=2, sent=2, group_ids=("tgrp_1",), checkpoint="c.ckpt")
    assert str(error) == f"{alone}\n{error.safety}"


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_travel_between_processes(error):
    """What a worker raises arrives with its message, its facts and what is safe."""
    error = copy.copy(error)
    error.safety = Safety(answered=1, rows=2, sent=2, group_ids=("tgrp_1",), checkpoint=None)
    error.add_note("in worker 3")
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert arrived.__notes__ == ["in worker 3"]
    facts = {name: value for name, value in vars(error).items() if name != "frame"}
    assert {name: vars(arrived)[name] for name in facts} == facts


@pytest.mark.parametrize(
    ("runs", "sent", "limit", "cost", "advice"),
    [
        (1, 0, None, "1 run to send comes to $0.10", "Pass `max_cost=0.1` to proceed."),
        (
            20,
            3,
            7,
            "20 runs to send and 3 paid for before come to $2.30",
            "Pass `max_cost=2.3` to proceed, or `limit=7` to send a part.",
        ),
    ],
)
def test_a_cost_error_names_the_budget_that_suffices(runs, sent, limit, cost, advice):
    """The message has the runs, the cost with what was sent before, the limit, and what to pass instead."""
    in_all = Decimal("0.1") * (runs + sent)
    error = CostError(runs=runs, billed=sent, cost=in_all, max_cost=Decimal("0.05"), limit=limit)
    assert (error.runs, error.limit, error.max_cost) == (runs, limit, 0.05)
    assert str(error) == f"{cost}, over `max_cost=0.05`. None of them was sent. {advice}"
