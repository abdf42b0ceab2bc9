"""Targets that a command left incomplete: the same command completes them, and nothing else replaces them.

A text file has no room for whose it is, so the cache directory remembers it, by place, bytes and question.
"""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parallel_frames._checkpoint import auto_home
from parallel_frames._files._target import may_be_completed, question_digest
from parallel_frames._fs import atomic_write
from parallel_frames.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from parallel_frames._job._offline import Destination
    from parallel_frames._job._prepare import PreparedCall

FOLDER = ".targets"  # which begins as no folder of jobs does


class LeftOpen:
    """The record of one target for one question about these rows."""

    def __init__(self, target: str, frame: pd.DataFrame, prepared: PreparedCall, destination: Destination) -> None:
        self._target = Path(target).absolute()
        self._prepared = prepared
        self._destination = destination
        rows = hashlib.sha256(frame.to_csv().encode(errors="surrogatepass")).hexdigest()
        self._question = question_digest(prepared, destination, {"rows": rows})

    def is_there(self) -> bool:
        """Return whether the target is, byte for byte, what this question left incomplete."""
        try:
            facts = json.loads(self._record.read_bytes())
            is_ours = facts == self._facts(facts["counts"])
        except (OSError, ValueError, KeyError, TypeError, ConfigurationError):  # none, or damaged
            return False
        return is_ours and may_be_completed(self._prepared, self._destination, facts["counts"])

    def note(self, counts: Mapping[str, int]) -> None:
        """Remember a target that was just written, if it is to be completed; without a cache nothing depends on it."""
        with suppress(OSError, ConfigurationError):
            if not may_be_completed(self._prepared, self._destination, counts):
                self._record.unlink(missing_ok=True)
                return
            self._record.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(self._record) as sink:
                sink.write(json.dumps(self._facts(counts)).encode())

    @property
    def _record(self) -> Path:
        name = hashlib.sha256(str(self._target).encode(errors="surrogatepass")).hexdigest()
        return auto_home() / FOLDER / f"{name[:32]}.json"

    def _facts(self, counts: Mapping[str, int]) -> dict[str, Any]:
        written = hashlib.sha256(self._target.read_bytes()).hexdigest()
        return {"target": str(self._target), "question": self._question, "written": written, "counts": dict(counts)}
