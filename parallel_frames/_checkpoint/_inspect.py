"""`Checkpoint`: what a person sees of a checkpoint without changing it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from parallel_frames._checkpoint._folders import auto_home, read_header
from parallel_frames._checkpoint._keyed import is_sound, keyed_files
from parallel_frames._checkpoint._lease import LEASE, read_lease, unlock
from parallel_frames._checkpoint._maintenance import bytes_of, job_folders
from parallel_frames._checkpoint._parts import (
    OUTCOME_SCHEMA,
    RECEIPT_SCHEMA,
    list_parts,
    read_part,
    read_parts,
    read_patiently,
)
from parallel_frames._checkpoint._paths import LocalPath, place_of
from parallel_frames._checkpoint._recall import read_intent, sound_table
from parallel_frames._format import format_sends
from parallel_frames.errors import CheckpointCorruptError, CheckpointError

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa

    from parallel_frames._checkpoint._paths import StoragePath


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Read the contents of a checkpoint, and unlock it if its writer is gone.

    Parameters
    ----------
    path : str or path, optional
        The directory or address that was passed as ``checkpoint=``, that of an enrichment's handle, or a directory of
        such directories. Default: the cache, with the jobs of every host and account: the folder that
        ``PARALLEL_FRAMES_CACHE`` names, or the one in your cache directory.

    Raises
    ------
    CheckpointError
        There is no checkpoint.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> with pf.offline(answers=lambda sent: {"founded": 1949}, latency=0):
    ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int})
    ...     inside = pf.Checkpoint(pf.last().checkpoint)
    ...     shown = inside.summary()[["processor", "completed"]], inside.outcomes()["output"].tolist()
    >>> shown[0]
      processor  completed
    0      base          1
    >>> shown[1]
    ['{"founded":1949}']
    """

    path: Path | str
    _place: StoragePath = field(repr=False, compare=False)

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        place = place_of(auto_home() if path is None else path)
        object.__setattr__(self, "path", place.path if isinstance(place, LocalPath) else str(place))
        object.__setattr__(self, "_place", place)
        if not self._folders() and not self._locked():
            raise CheckpointError(f"There is no checkpoint in {place}.", path=place)

    def _repr_html_(self) -> str:
        from parallel_frames._ui._html import render

        lines = self.summary()
        last = [name for name in ("asks", "sends") if name in lines]  # the longest ones
        lines = lines[[*lines.columns.difference(last, sort=False), *last]]
        return render(
            "checkpoint.html", path=str(self.path), names=list(lines.columns), lines=lines.to_numpy().tolist()
        )

    def _folders(self) -> list[StoragePath]:
        return job_folders(self._place)

    def _name(self, folder: StoragePath) -> str:
        """Return what a job is called: its folder's name, below the cache's root with its host's in front."""
        deep = str(folder) not in (str(self._place), str(self._place / folder.name))
        return f"{folder.parent.name}/{folder.name}" if deep else folder.name

    def _locked(self) -> list[StoragePath]:
        return [folder for folder in (self._place, *self._place.children()) if read_lease(folder / LEASE) is not None]

    def unlock(self, *, force: bool = False) -> None:
        """Let another writer in, after one that ended on another machine without releasing its lease.

        Where a process was killed, or its machine is gone, its lease ``writer.json`` is left behind. On the same
        machine the next call knows that it is dead; on another only you do. Make sure of it: two writers could pay
        twice, were it not that the old one stops before it sends anything more.

        Parameters
        ----------
        force : bool, default False
            Unlock also where the writer was heard of in the last two minutes, or its process is alive on this machine.

        Raises
        ------
        CheckpointLockedError
            The writer may well be alive.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(answers=lambda sent: {"founded": 1949}, latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int}, checkpoint="memory://acme")
        >>> pf.Checkpoint("memory://acme").unlock()  # no writer holds it: nothing to do
        """
        for folder in self._locked():
            unlock(folder, force=force)

    @property
    def header(self) -> dict[str, Any]:
        """The header of its newest job: the job, the host, the dialect, the group ids."""
        headers = [header for folder in self._folders() if (header := read_header(folder)) is not None]
        if not headers:
            raise CheckpointCorruptError(f"{self.path} holds no job with a header that can be read.", path=self.path)
        return max(headers, key=lambda header: header["created_at"])

    def outcomes(self) -> pd.DataFrame:
        """Return every stored outcome.

        Returns
        -------
        pandas.DataFrame
            One line per run: ``key, attempt, run_id, group_id, status, output, output_type, basis, error,
            warnings, details, created_at, modified_at``, ``row`` and ``job``; JSON texts are as the service sent them.
            ``row`` is the position, from 0, of the first row that the run was sent for; it is of the rows as they were
            then. A checkpoint holds no inputs: the ``parallel_run_id`` of ``provenance=True`` says each row's run.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(answers=lambda sent: {"founded": 1949}, latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int})
        ...     outcomes = pf.Checkpoint(pf.last().checkpoint).outcomes()
        >>> outcomes[["attempt", "status", "output"]]
           attempt     status            output
        0        0  completed  {"founded":1949}
        """
        import pandas as pd

        frames = []
        for folder in self._folders():
            parts = _sound_parts(folder / "outcomes", OUTCOME_SCHEMA)
            frames += [part.to_pandas().assign(job=self._name(folder)) for part in parts]
        if not frames:
            return pd.DataFrame()
        everything: pd.DataFrame = pd.concat(frames, ignore_index=True)
        everything = everything.drop_duplicates(["job", "key", "attempt"], keep="last")
        rows = {
            run_id: row
            for folder in self._folders()
            for part in _sound_parts(folder / "receipts", RECEIPT_SCHEMA)
            for run_id, row in zip(part["run_id"].to_pylist(), part["row"].to_pylist(), strict=True)
        }
        return everything.assign(row=everything["run_id"].map(rows).astype("Int64"))

    def verify(self) -> pd.DataFrame:
        """Read every file, checksums included, and return a line for each that is damaged: none is good news.

        Damaged files do no harm beyond looking: the next call sets them aside and asks the service again.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(answers=lambda sent: {"founded": 1949}, latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int})
        ...     damaged = pf.Checkpoint(pf.last().checkpoint).verify()
        >>> len(damaged)
        0
        """
        import pandas as pd

        damaged = [
            {"job": self._name(folder), "file": f"{place}/{path.name}"}
            for folder in self._folders()
            for place, schema in (("receipts", RECEIPT_SCHEMA), ("outcomes", OUTCOME_SCHEMA))
            for path in _damaged(folder / place, schema)
        ]
        damaged += [
            {"job": self._name(folder), "file": str(file).removeprefix(f"{folder}/")}
            for folder in self._folders()
            for file in keyed_files(folder)
            if not is_sound(file)
        ]
        return pd.DataFrame(damaged, columns=["job", "file"])

    def summary(self) -> pd.DataFrame:
        """Return a line per job: which question it asks, where it is asked, and what became of it.

        Returns
        -------
        pandas.DataFrame
            ``job, processor, asks`` (the columns, or the description of a text), ``sends`` (what its last call sent of
            a row), ``host, groups``, runs ``completed, failed`` and ``cancelled``, ``created_at`` and ``bytes``.

        Examples
        --------
        >>> import pandas as pd, parallel_frames as pf
        >>> with pf.offline(answers=lambda sent: {"founded": 1949}, latency=0):
        ...     out = pd.DataFrame({"company": ["Acme"]}).parallel.enrich({"founded": int})
        ...     summary = pf.Checkpoint(pf.last().checkpoint).summary()
        >>> summary[["processor", "asks", "sends", "host", "groups", "completed", "failed"]]
          processor     asks    sends       host  groups  completed  failed
        0      base  founded  company  simulator       1          1       0
        """
        import pandas as pd

        outcomes = self.outcomes()
        lines = []
        for folder in self._folders():
            header = read_header(folder) or {}
            ours = outcomes[outcomes["job"] == self._name(folder)] if len(outcomes) else outcomes
            counts = ours["status"].value_counts().to_dict() if len(ours) else {}
            lines.append(
                {"job": self._name(folder), "processor": header.get("job", {}).get("processor"),
                 "asks": ", ".join(asked_of(header)), "sends": ", ".join(sent_of(header)), "host": header.get("host"),
                 "groups": len(header.get("groups", [])), **{name: int(counts.get(name, 0)) for name in
                                                             ("completed", "failed", "cancelled")},
                 "created_at": header.get("created_at"), "bytes": bytes_of(folder)}
            )  # fmt: skip
        return pd.DataFrame(lines)


def asked_of(header: Mapping[str, Any]) -> list[str]:
    """Return the columns that a job asks for, in their order; of a text its description."""
    output = header.get("spec", {}).get("output_schema", {})
    properties = output.get("json_schema", {}).get("properties") if isinstance(output, dict) else None
    if isinstance(properties, dict):
        return list(properties)
    description = output.get("description") if isinstance(output, dict) else output
    return [description] if isinstance(description, str) and description else ["output"]


def sent_of(header: Mapping[str, Any]) -> list[str]:
    """Return the names that a job's last call sent of each row; none where that is not known."""
    call = header.get("last_call") or {}
    names = call.get("sent")
    return list(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else []


def forms_of(header: Mapping[str, Any]) -> list[str]:
    """Return what calls of a job sent of each row, each form of it once, the last one first; none where not known."""
    last = header.get("last_call") or {}
    calls = (call for call in (last, *last.get("earlier", ())) if sent_of({"last_call": call}))
    return list(dict.fromkeys(format_sends(call["sent"], call.get("form", "object")) for call in calls))


def _sound_parts(place: StoragePath, schema: pa.Schema) -> list[pa.Table]:
    def read() -> list[pa.Table]:
        parts = read_parts([path for _, _, path in list_parts(place)], repair=False)
        return [sound for part in parts if (sound := sound_table(part, schema)) is not None]

    return read_patiently(read)


def _damaged(place: StoragePath, schema: pa.Schema) -> list[StoragePath]:
    def is_sound(number: int, path: StoragePath, *, is_intent: bool) -> bool:
        if is_intent:
            return bool(read_intent(number, path).runs)
        return sound_table(read_part(path, repair=False), schema) is not None

    return read_patiently(
        lambda: [
            path for number, is_intent, path in list_parts(place) if not is_sound(number, path, is_intent=is_intent)
        ]
    )
