"""`Simulator`, the offline service as users start, watch, steer and stop it, from any thread; `serve`, as a program."""

from __future__ import annotations

import signal
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

import orjson

from ._clock import real_time
from ._records import TERMINAL, Counts, Run, SeenRequest, SimulatedRun, dump
from ._server import ServerThread, build_app
from ._service import Dialect, Draft, Latency, Service, Settings
from .faults._base import FaultSchedule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Self

    from ._answers import Answers
    from ._limits import Window
    from .faults import Fault


class Simulator:
    """Serve the Task Group API on loopback, offline and for free.

    A real HTTP server in a thread of this process: any client of the API can be pointed at its `url`. Answers are
    made up and labelled as simulated; every response carries the header `x-parallel-simulator: 1`. Use it as a
    context manager, or call `start` and `stop`; a simulator that is started again keeps its groups, runs and port.

    Parameters
    ----------
    answers : None, callable, mapping or DataFrame, default None
        What runs answer. None makes an answer up from the output schema, the same for the same input, schema and
        `seed`; processors differ in some fields, the less the better they are. A function is called as ``f(input)`` or
        ``f(input, spec)`` in the server's thread, with ``processor=...`` too if it has a parameter of that name; what
        it raises makes the run fail with that message. A mapping is looked up by the input, if it is a string, or
        else by each of its values; a DataFrame by its named index, or by its first column. What is not found is made
        up. An answer is a mapping, a string (for text outputs), an `Answer`, which has its own evidence, or `Failure`,
        `Cancelled`, `Stuck`, `ActionRequired`.
    latency : float, (float, float) or callable, default 0.2
        Simulated seconds a run takes: fixed, uniform between two, or drawn by ``f(rng)``, such as `lognormal`.
    max_per_minute : int or None, default 2000
        Runs that may be created a minute; a batch that doesn't fit is refused whole with 429. None: no limit.
    window : {"sliding", "fixed", "bucket"}, default "sliding"
        The last 60 seconds, the minutes of the clock, or a token bucket.
    speed : float, default 1.0
        How many simulated seconds pass in one of the wall: latency, rate limit, keep-alives, stream lifetimes and
        the delays of faults all follow it. A client should speed its own waiting up by the same factor:
        ``Retry-After`` is in simulated seconds.
    dialect : {"both", "published", "seed"}, default "both"
        The API spoken: the published one (bodies with ``inputs``, under ``/v1`` and ``/v1beta``), the older one in
        which a group holds the spec (bodies with ``runs``, under ``/v1beta`` only), or both: the path and the body
        that create the group decide.
    api_key : str or None, default None
        The only key accepted; None accepts any that isn't empty.
    host, port : str, int, default "127.0.0.1", 0
        Where to listen; port 0 takes a free one.
    seed : int, default 0
        Seed of everything drawn: answers, latencies, faults.
    faults : iterable of Fault, default ()
        What goes wrong; see `parallel_frames.simulator.faults`.
    credit : float or None, default None
        Dollars of the account; a batch that it doesn't cover together with the runs in flight is refused with 402.
    price : float or None, default None
        Dollars a run costs; None takes the processor's published price.
    reserve : float, default 2.0
        How many times its price a run reserves while it is in flight; a completed run is charged its price, others
        nothing.
    refused_processors : iterable of str, default ()
        Processors answered with 403.
    more_processors : iterable of str, default ()
        Names known besides the published ones; others are answered with 422.
    string_content : bool, default False
        Send a JSON output's content as text, as older deployments do.
    output_as : {"wrapped", "bare"}, default "wrapped"
        Whether an output is ``{"type", "content", "basis"}`` or the content alone, which has no evidence: the seed's
        document leaves that open.
    events_honour_include_output : bool, default False
        Whether the published event stream embeds outputs when asked to. The service documents that it does not: outputs
        come from the list of runs, and from the result of each.
    unknown_cursor : {"refuse", "start", "end"}, default "refuse"
        What an unknown ``last_event_id`` does: 422, everything again, or only what comes next.
    stream_lifetime, keep_alive, status_every : float, default 3600, 15, 5
        Simulated seconds an event stream lasts at most, between its keep-alive comments, and between its
        ``task_group_status`` events.
    seed_answer_ids : bool, default True
        Whether adding runs in the seed dialect answers their ids, or just ``{"status": "accepted"}``.
    seed_echo_metadata, seed_echo_input : bool, default True
        Whether the seed dialect's runs and events carry metadata, and inputs.
    seed_input_as : {"bare", "run"}, default "bare"
        Whether an echoed input is just the input, or the run as it was sent.
    seed_list_as : {"json", "sse"}, default "json"
        How the seed dialect lists runs.

    Examples
    --------
    >>> import httpx
    >>> from parallel_frames.simulator import Simulator
    >>> with Simulator(answers={"France": {"capital": "Paris"}}, latency=0) as sim:
    ...     answer = httpx.post(f"{sim.url}/v1/tasks/groups", json={}, headers={"x-api-key": "any"})
    >>> answer.status_code, answer.headers["x-parallel-simulator"]
    (200, '1')
    >>> sim.counts.groups
    1
    """

    def __init__(
        self,
        answers: Answers = None,
        *,
        latency: Latency = 0.2,
        max_per_minute: int | None = 2000,
        window: Window = "sliding",
        speed: float = 1.0,
        dialect: Dialect = "both",
        api_key: str | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        seed: int = 0,
        faults: Iterable[Fault] = (),
        credit: float | None = None,
        price: float | None = None,
        reserve: float = 2.0,
        refused_processors: Iterable[str] = (),
        more_processors: Iterable[str] = (),
        string_content: bool = False,
        output_as: Literal["wrapped", "bare"] = "wrapped",
        events_honour_include_output: bool = False,
        unknown_cursor: Literal["refuse", "start", "end"] = "refuse",
        stream_lifetime: float = 3600.0,
        keep_alive: float = 15.0,
        status_every: float = 5.0,
        seed_answer_ids: bool = True,
        seed_echo_metadata: bool = True,
        seed_echo_input: bool = True,
        seed_input_as: Literal["bare", "run"] = "bare",
        seed_list_as: Literal["json", "sse"] = "json",
    ) -> None:
        refused_processors, more_processors = frozenset(refused_processors), frozenset(more_processors)
        given = locals()  # the settings have the names of the options
        settings = Settings(**{field.name: given[field.name] for field in fields(Settings)})
        schedule = FaultSchedule(faults, seed=seed)
        self._service = Service(settings, answers=answers, speed=speed, faults=schedule)
        self._app = build_app(self._service)
        self._host = host
        self._port = port
        self._thread: ServerThread | None = None

    def start(self) -> Self:
        """Start the server, unless it is running.

        Returns
        -------
        Simulator
            Itself, once it answers requests.
        """
        if self._thread is None:
            self._thread = ServerThread(
                self._app, host=self._host, port=self._port, on_loop=self._service.scheduler.run_on
            )
            self._port = self._thread.port
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop the server as if it was killed: connections are reset, groups and runs are kept."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._service.scheduler.halt()
            thread.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def __repr__(self) -> str:
        where = self.url if self._port else "not started"
        return f"<Simulator {where}, {len(self._service.runs)} runs>"

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end."""
        if not self._port:
            raise RuntimeError("the simulator has no address yet: call start(), or use it in a with statement")
        return f"http://{self._host}:{self._port}"

    # -- watching it ---------------------------------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """What it has seen and done so far: a frozen snapshot."""
        with self._service.lock:
            totals = {field.name: self._service.totals[field.name] for field in fields(Counts)}
            return Counts(**totals | {"faults": self._service.faults.struck})

    def runs(self) -> list[SimulatedRun]:
        """Return every run created, in creation order, as it is now."""
        with self._service.lock:
            return [_snapshot(run) for run in self._service.runs]

    def requests(self) -> list[SeenRequest]:
        """Return every request answered, in order."""
        return list(self._service.requests)

    def _take_notes(self) -> list[str]:
        """Return what may be misspelt in the answers, and was not returned before."""
        with self._service.lock:
            return self._service.answers.take_notes()

    def _take_error(self) -> BaseException | None:
        """Return the first error in the user's answers since this was called last."""
        with self._service.lock:
            return self._service.answers.take_error()

    @property
    def group_ids(self) -> list[str]:
        """The ids of all groups, in creation order."""
        return list(self._service.groups)

    def wait_until(self, condition: Callable[[Counts], bool], *, timeout: float = 10.0) -> Counts:
        """Wait until the counts fulfil a condition.

        Parameters
        ----------
        condition : callable
            Gets `counts`; for example ``lambda counts: counts.completed == 3``.
        timeout : float, default 10
            Seconds of the wall after which a `TimeoutError` is raised.

        Returns
        -------
        Counts
            The counts that fulfilled it.
        """
        deadline = real_time() + timeout
        while not condition(counts := self.counts):
            if real_time() > deadline:
                raise TimeoutError(f"not within {timeout} s; the counts are {counts}")
            time.sleep(0.001)
        return counts

    # -- steering it ----------------------------------------------------------------------------------

    @property
    def speed(self) -> float:
        """How many simulated seconds pass in one second of the wall; may be set at any time."""
        return self._service.clock.speed

    @speed.setter
    def speed(self, speed: float) -> None:
        with self._service.lock:
            self._service.clock.speed = speed
        self._service.scheduler.reschedule(self._service.wake_all)

    @property
    def now(self) -> float:
        """Simulated seconds since the simulator was made."""
        return self._service.clock.now()

    def advance(self, seconds: float) -> None:
        """Advance simulated time at once.

        Parameters
        ----------
        seconds : float
            How far; runs, rate limits, streams and delayed faults all see that time as passed.
        """
        with self._service.lock:
            self._service.clock.advance(seconds)
        self._service.scheduler.reschedule(self._service.wake_all)

    @property
    def max_per_minute(self) -> int | None:
        """Runs that may be created a minute; may be set at any time."""
        return self._service.limit.per_minute

    @max_per_minute.setter
    def max_per_minute(self, per_minute: int | None) -> None:
        self._service.limit.per_minute = per_minute

    @property
    def credit(self) -> float | None:
        """Dollars of the account, reserved ones included; None if credit is not limited."""
        return self._service.credit.dollars

    def top_up(self, dollars: float) -> None:
        """Add credit to the account.

        Parameters
        ----------
        dollars : float
            How much.
        """
        with self._service.lock:
            self._service.credit.dollars = (self._service.credit.dollars or 0.0) + dollars

    def add_foreign_run(
        self,
        group_id: str,
        *,
        input: str | Mapping[str, Any] = "somebody else's row",  # noqa: A002 - the service's own word
        metadata: Mapping[str, Any] | None = None,
        processor: str = "base",
    ) -> str:
        """Create a run in a group, as if another client had.

        Parameters
        ----------
        group_id : str
            The group.
        input : str or mapping, default "somebody else's row"
            Its input.
        metadata : mapping or None, default None
            Its metadata.
        processor : str, default "base"
            Its processor.

        Returns
        -------
        str
            The run's id. It counts as `foreign`, not among `runs`.
        """
        service = self._service
        group = service.groups[group_id]
        body: dict[str, Any] = {"input": input if isinstance(input, str) else dict(input), "processor": processor}
        if metadata is not None:
            body["metadata"] = dict(metadata)
        canonical = dump(body["input"], option=orjson.OPT_SORT_KEYS)
        spec = group.spec or (group.runs[0].spec if group.runs else service.spec(None))
        with service.lock:
            (run,) = service.create_runs([Draft(body, spec, processor, canonical)], group=group, foreign=True)
        service.scheduler.reschedule()
        return run.run_id

    def add_faults(self, *faults: Fault) -> None:
        """Add faults; they count requests from now on."""
        with self._service.lock:
            self._service.faults.add(faults)

    def clear_faults(self) -> None:
        """Remove all faults; those of runs already created still apply."""
        with self._service.lock:
            self._service.faults.clear()


def _snapshot(run: Run) -> SimulatedRun:
    return SimulatedRun(
        run_id=run.run_id,
        group_id=run.group.group_id if run.group else None,
        input=run.input,
        processor=run.processor,
        metadata=run.metadata,
        status=run.status,
        created_at=run.created_at,
        finished_at=run.modified_at if run.status in TERMINAL else None,
        output=None if run.output is None else orjson.loads(run.output),
        error=run.error["message"] if run.error else None,
        foreign=run.foreign,
    )


def serve(answers: Any = None, *, port: int = 0, **options: Any) -> None:
    """Run a simulator until the process receives a signal to stop.

    Prints one line with the URL on standard output, then answers requests until SIGINT or SIGTERM, and returns.

    Parameters
    ----------
    answers : None, callable, mapping or DataFrame, default None
        As for `Simulator`.
    port : int, default 0
        Where to listen; 0 takes a free port.
    **options
        Every other option of `Simulator`.

    Examples
    --------
    >>> from parallel_frames.simulator import serve
    >>> serve(port=8787, latency=(1, 5))  # doctest: +SKIP
    http://127.0.0.1:8787
    """
    leave = threading.Event()
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():  # no other can handle signals
            for number in (signal.SIGINT, signal.SIGTERM):
                stack.callback(signal.signal, number, signal.signal(number, lambda *_: leave.set()))
        simulator = stack.enter_context(Simulator(answers, port=port, **options))
        sys.stdout.write(f"{simulator.url}\n")
        sys.stdout.flush()
        leave.wait()
