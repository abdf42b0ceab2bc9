"""`offline()`: every enrichment in the block goes to a simulator of the service on this machine, without a key."""

from __future__ import annotations

import inspect
import os
import shutil
import threading
import weakref
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from parallel_frames._format import did_you_mean, format_option
from parallel_frames._fs import make_temporary_folder
from parallel_frames._limits import MAX_RUNS_PER_MINUTE
from parallel_frames.errors import InputError, UnknownOptionError, user_facing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import TracebackType

    from parallel_frames._service import Client
    from parallel_frames.simulator import Simulator


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Offline:
    """What an offline block replaces: the client, the environment, the service's name, and where checkpoints go.

    `take_notes` returns what may be misspelt in the answers that it was given, `take_error` what their function raised,
    each once.

    The folder of its checkpoints goes with it, and so with the last handle that reads answers from there.
    """

    client: Client
    root: Path
    variables: Mapping[str, str]
    take_notes: Callable[[], list[str]]
    take_error: Callable[[], BaseException | None]
    host: str = "simulator"

    def __post_init__(self) -> None:
        weakref.finalize(self, shutil.rmtree, self.root, ignore_errors=True)


# Of the whole process and not of a context: a thread started in the block must not go to the live service and pay.
_blocks: Final[list[Offline]] = []
_guard = threading.Lock()


def current_offline() -> Offline | None:
    """Return the innermost offline block of this process."""
    open_now = tuple(_blocks)  # another thread may end one meanwhile
    return open_now[-1] if open_now else None


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a call's runs go.

    Attributes
    ----------
    host : str
        What a checkpoint remembers of it.
    root : pathlib.Path or None
        Where checkpoints go that are not named; None for the user's cache directory.
    block : Offline or None
        The offline block it belongs to.
    """

    client: Client
    host: str
    root: Path | None = None
    block: Offline | None = None

    def asks_simulator(self) -> bool:
        """Ask whether a simulator answers: that of an offline block, or a server that says so of itself."""
        return self.block is not None or self.client.is_simulator()

    @property
    def is_gone(self) -> bool:
        """Whether it was a simulator whose block has ended."""
        return self.block is not None and self.block not in _blocks


def choose_destination(client: Client | None, *, for_sending: bool = True) -> Destination:
    """Return where a call goes: the client it names, the offline block it stands in, or the live service."""
    from parallel_frames._service import Client

    if client is None and (block := current_offline()) is not None:
        return Destination(block.client, block.host, block.root, block)
    if client is not None and not isinstance(client, Client):
        raise InputError(f"{format_option('client', client)} is not a parallel_frames.Client.")
    if client is None:
        client = Client() if for_sending else Client.without_key()
    return Destination(client, client.host)


_started: Final[list[OfflineBlock]] = []  # a block that only `start` returned the simulator of lasts, too


@dataclass(frozen=True, slots=True)
class OfflineBlock:
    """What `offline` returns: a context manager, or something to start and stop."""

    _block: AbstractContextManager[Simulator]

    def __enter__(self) -> Simulator:
        return self._block.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._block.__exit__(kind, error, trace)

    def start(self) -> Simulator:
        """Begin the block, and return its simulator."""
        sim = self.__enter__()
        _started.append(self)
        return sim

    def stop(self) -> None:
        """End the block."""
        with suppress(ValueError):  # a with statement began it
            _started.remove(self)
        self.__exit__(None, None, None)


@user_facing
def offline(answers: Any = None, **options: Any) -> OfflineBlock:
    """Run every enrichment of this process against the simulator while the block lasts: free, and labelled simulated.

    Parameters
    ----------
    answers : callable, mapping, DataFrame or None
        What the simulator answers. None makes answers up from the schema, of the right types, always the same for
        the same input and processor; so are those of inputs that a mapping or a frame does not have, which is said.
    **options
        Further options of `parallel_frames.simulator.Simulator`, such as ``latency=`` or ``faults=``.

    Returns
    -------
    OfflineBlock
        A context manager that gives the `Simulator`, to look at what was asked of it: ``sim.counts``, ``sim.runs()``.
        In a notebook, whose cells cannot share a with statement, call its ``start()``, and ``stop()`` in the end.

    Notes
    -----
    Checkpoints that are not named go to a temporary folder that is removed after the block. Processes that are started
    in the block go to its simulator as well: it is in their environment. Needs the extra
    ``parallel-frames[simulator]``.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> df = pd.DataFrame({"company": ["Acme", "Globex", "Acme"]})
    >>> with pf.offline(answers=lambda sent: {"founded": len(sent["company"])}, latency=0) as sim:
    ...     out = df.parallel.enrich({"founded": int}, processor="lite")
    >>> out["founded"].tolist()
    [4, 6, 4]
    >>> sim.counts.runs
    2
    """
    from parallel_frames.simulator import Simulator

    known = [*inspect.signature(Simulator).parameters][1:]
    for name in options:
        if name not in known:
            meant = did_you_mean(name, known) or f"; there are {', '.join(known)}"
            raise UnknownOptionError(name, f"`offline` has no option {name!r}{meant}.")
    return OfflineBlock(_offline(answers, **options))


@contextmanager
def _offline(answers: Any, **options: Any) -> Iterator[Simulator]:
    from parallel_frames._service import Client
    from parallel_frames.simulator import Simulator

    speed = float(options.get("speed", 1.0))
    with Simulator(answers, **options) as sim:
        client = Client(
            api_key=options.get("api_key") or "offline",
            base_url=sim.url,
            max_per_minute=options.get("max_per_minute", MAX_RUNS_PER_MINUTE),
            clock_speed=speed,
        )
        # A child that is spawned in the block has no blocks, and must not go to the live service and pay.
        variables = {
            "PARALLEL_API_KEY": client.api_key or "",
            "PARALLEL_BASE_URL": sim.url,
            "PARALLEL_FRAMES_CLOCK_SPEED": str(speed),
        }
        block = Offline(client, make_temporary_folder("parallel_frames-"), variables, sim._take_notes, sim._take_error)
        _enter(block)
        try:
            yield sim
        finally:
            _leave(block)


_outside: Final[dict[str, str | None]] = {}  # the variables as they are without a block


def _enter(block: Offline) -> None:
    with _guard:
        if not _blocks:
            _outside.update({name: os.environ.get(name) for name in block.variables})
        _blocks.append(block)
        os.environ.update(block.variables)


def _leave(block: Offline) -> None:
    """End a block; those of several threads need not end in the order in which they began."""
    with _guard:
        _blocks.remove(block)
        for name, value in (_blocks[-1].variables if _blocks else _outside).items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
