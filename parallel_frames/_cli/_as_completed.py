"""`--as-completed`: a JSON line for each row as its answer arrives, in a pipe or in a file that grows.

A file's lines are answers that are paid for, whoever wrote them: a row whose input has one is not asked again. That is
true of `collect`'s lines and of the service's own events, too, as long as they hold the input.
"""

from __future__ import annotations

import signal
from collections import Counter
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np
import orjson

from parallel_frames._cli._formats import PIPE, format_of
from parallel_frames._cli._frames import check_checkpoint, check_place
from parallel_frames._cli._lines import append_lines, input_of, read_lines
from parallel_frames._cli._way import InMemory
from parallel_frames._format import format_option
from parallel_frames._inputs import canonical_of_json, canonical_of_sent
from parallel_frames._runtime import interrupt
from parallel_frames.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

    from parallel_frames import EnrichmentPlan
    from parallel_frames._cli._way import Asked, Done
    from parallel_frames._job._prepare import PreparedCall
    from parallel_frames._job._rows import Row
    from parallel_frames._model import Json


class KnownLines:
    """The answers that a file of lines holds, by input: those to the question of `asked`, and no others.

    Attributes
    ----------
    counts : Counter
        How many lines answer each input, by its canonical form.
    """

    def __init__(self, asked: PreparedCall) -> None:
        self.counts: Counter[bytes] = Counter()
        self._answers: dict[bytes, Json] = {}
        schema = asked.schema.wire.get("json_schema") or {}
        self._fields = set(schema.get("required", ())) if asked.schema.form == "json" else set()
        self._processors = [asked.call.processor, *(asked.call.escalate or ())]

    def recall(self, facts: Json, shown: str, number: int) -> None:
        """Take note of a line."""
        if "input" not in facts:
            raise InputError(
                f"{shown} has no input in line {number}, so the row it answers is unknown. Nothing was sent. Name "
                "another file; `group_id` takes what the groups hold without paying for it again."
            )
        run = facts["run"] if isinstance(facts.get("run"), dict) else facts
        if run.get("status") in ("failed", "cancelled") or facts.get("output") in (None, "", {}, []):
            return
        self._check_question(run, facts["output"], where=f"line {number} of {shown}")
        canonical = canonical_of_json(input_of(facts["input"]))
        self.counts[canonical] += 1
        self._answers[canonical] = facts

    def _check_question(self, run: Json, output: Json, *, where: str) -> None:
        """Refuse an answer to another question, as far as its fields and its processor say."""
        if isinstance(output, dict) and {"type", "content"} <= output.keys():  # the service's own event
            output = output["content"]
        fields = set(output) if isinstance(output, dict) else set()
        lacks, processor = self._fields - fields, run.get("processor")
        if lacks and run.get("status") != "invalid":
            what = f"has {_names(fields)}, and lacks {_names(lacks)}" if fields else f"lacks {_names(lacks)}"
        elif isinstance(processor, str) and processor not in self._processors:
            what = f"is of the processor {processor!r}, and this asks {self._processors[-1]!r}"
        else:
            return
        raise InputError(
            f"The answer in {where} {what}: it answers another question. Nothing was sent. Name another file, or say "
            "`overwrite=True` to replace this one."
        )

    def check_form(self, canonical: bytes, shown: str) -> None:
        """Refuse an input that the lines answer in its other form: a bare value, or an object of this value alone."""
        kept = self._forms.get(_bare(canonical))
        objects = [value for value in map(orjson.loads, filter(None, (kept, canonical))) if isinstance(value, dict)]
        if kept is None or len(objects) != 1:  # two objects are of two columns
            return
        names = list(objects[0])
        way = format_option("inputs", names if kept.startswith(b"{") else names[0])
        raise InputError(
            f"{shown} answers {kept.decode()}, and this would send {canonical.decode()}, the same in another form, and "
            f"pay again. Nothing was sent. Say {way} to continue the file, or name another one."
        )

    @cached_property
    def _forms(self) -> dict[bytes, bytes]:
        """What the lines answer, by the bare value of each input."""
        return {_bare(canonical): canonical for canonical in self.counts}

    def copy_of(self, canonical: bytes, row: int) -> bytes:
        """Return the answer to an input as the line of another row."""
        return _line({**self._answers[canonical], "row": row})

    def completed(self, done: Done, *, left: np.ndarray[Any, np.dtype[np.bool_]] | None) -> Done:
        """Return what became of the rows that were asked, and of those that the lines answer."""
        if left is None:
            return done
        is_simulated = done.simulated or any(facts.get("simulated") for facts in self._answers.values())
        return replace(done, counts={**done.counts, "kept": int((~left).sum())}, simulated=is_simulated)


def _bare(canonical: bytes) -> bytes:
    """Return the only value of an input that is an object of one, and else the input."""
    value = orjson.loads(canonical)
    if isinstance(value, dict) and len(value) == 1:
        return canonical_of_json(next(iter(value.values())))
    return canonical


def _names(fields: set[str]) -> str:
    return " and ".join(map(repr, sorted(fields)))


class AsCompleted(InMemory):
    """Any file or pipe to lines of JSON, each written as its answer arrives."""

    def __init__(self, asked: Asked) -> None:
        if asked.target_format not in (None, "jsonl") or (
            asked.target is not None and format_of(asked.target) != "jsonl"
        ):
            raise click.UsageError(
                "--as-completed writes JSON lines: name a TARGET that ends in .jsonl, or - (a pipe)."
            )
        super().__init__(asked)
        self._left: np.ndarray[Any, np.dtype[np.bool_]] | None = None

    def check(self) -> Done | None:
        """Refuse a target that cannot be, before anything is asked."""
        target = self._asked.target or PIPE
        check_checkpoint(self._asked.options["checkpoint"], target)
        path = Path(target)
        if target != PIPE:
            check_place(target, source=self._asked.source)
        if target != PIPE and path.is_file() and not self._asked.overwrite:
            known = KnownLines(self._prepared)
            with path.open("rb") as handle:
                read_lines(handle, target, known.recall)
            self._leave_out(known)
        return None

    def plan(self) -> EnrichmentPlan:
        """Say what it would do and cost, beyond what the target holds."""
        self.check()
        return super().plan()

    def _leave_out(self, known: KnownLines) -> list[tuple[int, bytes]]:
        """Ask only rows that the lines do not answer; return those that they answer and have no line for."""
        if known.counts and self._asked.options["where"] is not None:
            raise click.UsageError("--where and a TARGET that holds answers both choose rows: use one of them.")
        left, copies = np.ones(len(self.frame), dtype=bool), []
        waiting = Counter(known.counts)
        for row, canonical in enumerate(self._canonical):
            if canonical is not None and canonical in known.counts:
                left[row] = False
                if waiting[canonical] > 0:
                    waiting[canonical] -= 1
                else:
                    copies.append((row, canonical))
            elif canonical is not None and known.counts:
                known.check_form(canonical, str(self._asked.target))
        self._left = left if known.counts else None
        return copies

    @property
    def _prepared(self) -> PreparedCall:
        return self._enrichment(super()._options)._runner.prepared

    @cached_property
    def _canonical(self) -> list[bytes | None]:
        """The input of each row in its canonical form; None where a row has nothing to send."""
        plan = self._enrichment(super()._options).plan
        of_runs = [*map(canonical_of_sent, plan.inputs), None]
        return [of_runs[max(run, -1)] for run in plan.row_runs.tolist()]

    @property
    def _options(self) -> Mapping[str, Any]:
        return super()._options if self._left is None else {**super()._options, "where": self._left}

    def enrich(self) -> Done:
        """Do it, and write each line as its answer arrives."""
        target, known = self._asked.target or PIPE, KnownLines(self._prepared)
        if target != PIPE and self._asked.overwrite:
            Path(target).unlink(missing_ok=True)
        with append_lines(target, known.recall) as sink:
            copies = self._leave_out(known) if known.counts else []
            for row, canonical in copies:
                sink.write(known.copy_of(canonical, row))
            writer = _Writer(sink)
            enrichment = self._enrichment({**self._options, "on_row": writer.write})
            writer.inputs_of(enrichment)
            try:
                return known.completed(self._run(enrichment, lambda _: sink.flush()), left=self._left)
            except KeyboardInterrupt:
                if writer.failure is not None:  # it interrupted itself, since its reader is gone
                    raise writer.failure from None
                raise


class _Writer:
    """Writes rows as lines; where that fails, the enrichment is interrupted, and `failure` says why."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self._plan: Any = None
        self._runner: Any = None
        self.failure: OSError | None = None

    def inputs_of(self, enrichment: Any) -> None:
        """Take what each row sends from its enrichment."""
        self._runner, self._plan = enrichment._runner, enrichment.plan

    def write(self, row: Row) -> None:
        """Write a row's line, at once."""
        if self.failure is not None:
            return
        outcome = row._outcome
        assert outcome is not None  # noqa: S101 - an enrichment's own row
        facts = {
            "row": row.position,
            "input": orjson.Fragment(self._plan.inputs[self._plan.row_runs[row.position]]),
            "output": None if outcome.output is None else orjson.Fragment(outcome.output),
            "status": row.status,
            "error": row.error,
            "basis": None if outcome.basis is None else orjson.Fragment(outcome.basis),
            "run_id": row.run_id,
            "processor": row.processor,
            "group_id": outcome.group_id,
            **({"simulated": True} if self._runner.simulated else {}),
        }
        try:
            self._sink.write(_line(facts))
            self._sink.flush()
        except OSError as error:
            self.failure = error
            interrupt(signal.SIGINT, None)


def _line(facts: Mapping[str, Any]) -> bytes:
    return orjson.dumps(facts, option=orjson.OPT_APPEND_NEWLINE)
