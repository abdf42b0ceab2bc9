"""`offline()`: every enrichment in the block goes to a simulator of the service on this machine, without a key."""

from __future__ import annotations

import inspect
import os
import shutil
import threading
import weakref
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
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
    each once. `lasts` says that it was started, and not begun by a with statement, which an error ends.

    The folder of its checkpoints goes with it, and so with the last handle that reads answers from there.
    """

    client: Client
    root: Path
    variables: Mapping[str, str]
    take_notes: Callable[[], list[str]]
    take_error: Callable[[], BaseException | None]
    lasts: bool = False
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
    def ends_with_statement(self) -> bool:
        """Whether it is a simulator that the end of a with statement ends."""
        return self.block is not None and not self.block.lasts

    def is_temporary(self, checkpoint: object) -> bool:
        """Return whether that end removes a call's checkpoint, too."""
        return self.ends_with_statement and checkpoint == "auto"

    @property
    def is_gone(self) -> bool:
        """Whether it was a simulator whose block has ended."""
        return self.block is not None and self.block not in _blocks


def choose_destination(client: Client | None, *, for_sending: bool = True) -> Destination:
    """Return where a call goes: the client it names, the offline block it stands in, or the live service.

    A client belongs to the block whose simulator it asks, as one does that is made in a block without an address.
    """
    from parallel_frames._service import Client
    from parallel_frames._service._client import LIVE_URL

    if client is None and (block := current_offline()) is not None:
        return Destination(block.client, block.host, block.root, block)
    if client is not None and not isinstance(client, Client):
        raise InputError(f"{format_option('client', client)} is not a parallel_frames.Client.")
    if client is None:
        client = Client() if for_sending else Client.without_key()
    for block in reversed(tuple(_blocks)):
        if client.base_url == block.client.base_url:
            return Destination(client, block.host, block.root, block)
    if client.base_url == LIVE_URL and _blocks:
        raise InputError(
            f"An offline block is open, and this client asks {client.host}, where runs are paid for. Nothing was sent. "
            "Leave out `client`, or end the block."
        )
    return Destination(client, client.host)


_started: Final[list[OfflineBlock]] = []  # a block that only `start` returned the simulator of lasts, too


@dataclass(slots=True, eq=False)
class OfflineBlock:
    """What `offline` returns: a context manager, or something to start and stop."""

    _answers: Any = field(repr=False)
    _options: Mapping[str, Any] = field(repr=False)
    _block: AbstractContextManager[Simulator] | None = field(default=None, repr=False)

    def __enter__(self) -> Simulator:
        return self._begin(lasts=False)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        block, self._block = self._block, None
        return None if block is None else block.__exit__(kind, error, trace)

    def start(self) -> Simulator:
        """Begin the block, and return its simulator."""
        sim = self._begin(lasts=True)
        _started.append(self)
        return sim

    def stop(self) -> None:
        """End the block."""
        with suppress(ValueError):  # a with statement began it
            _started.remove(self)
        self.__exit__(None, None, None)

    def _begin(self, *, lasts: bool) -> Simulator:
        if self._block is not None:
            raise InputError("This offline block has begun already.")
        block = _offline(self._answers, self._options, lasts=lasts)
        sim = block.__enter__()
        self._block = block
        return sim


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
    return OfflineBlock(answers, options)


@contextmanager
def _offline(answers: Any, options: Mapping[str, Any], *, lasts: bool) -> Iterator[Simulator]:
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
        folder = make_temporary_folder("parallel_frames-")
        block = Offline(client, folder, variables, sim._take_notes, sim._take_error, lasts)
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
