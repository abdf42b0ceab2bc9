"""`Simulator`: the offline service as users make, start and stop it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ._app import build_app
from ._controls import Controls
from ._faultline import Faultline
from ._server import ServerThread
from ._service import Service
from ._settings import Dialect, Latency, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from ._answers import Answers
    from ._limits import Window
    from .faults import Fault


class Simulator(Controls):
    """Serve the Task Group API on loopback, offline and for free.

    A real HTTP server in a thread of this process: any client of the API can be pointed at its `url`. Answers are
    made up and say so; every response carries the header `x-parallel-simulator: 1`. Use it as a context manager, or
    call `start` and `stop`; a simulator that is started again goes on with the groups and runs it had, on the same
    port.

    Parameters
    ----------
    answers : None, callable, mapping or DataFrame, default None
        What runs answer. None makes an answer up from the output schema, the same for the same input, schema and
        `seed`. A function is called as ``f(input)`` or ``f(input, spec)`` in the server's thread; what it raises
        makes the run fail with that message. A mapping is looked up by the input, if it is a string, or else by
        each of its values; a DataFrame by its named index, or by its first column. What is not found is made up.
        An answer is a mapping, a string (for text outputs), an `Answer`, which brings its own evidence, or
        `Failure`, `Cancelled`, `Stuck`, `ActionRequired`.
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
        which a group holds the spec (bodies with ``runs``, under ``/v1beta`` only), or both, told apart by the path
        and the body that creates the group.
    api_key : str or None, default None
        The only key accepted; None accepts any that isn't empty.
    host, port : str, int, default "127.0.0.1", 0
        Where to listen; port 0 takes a free one.
    seed : int, default 0
        Of everything drawn: answers, latencies, faults.
    faults : iterable of Fault, default ()
        What goes wrong; see `parallel_frames.simulator.faults`.
    credit : float or None, default None
        Dollars of the account; a batch that doesn't fit beside the runs in flight is refused with 402.
    price : float or None, default None
        Dollars a run costs; None takes the processor's published price.
    reserve : float, default 2.0
        How many times its price a run reserves while it is in flight; a completed run is charged its price, others
        nothing.
    refused_processors : iterable of str, default ()
        Processors answered with 403.
    string_content : bool, default False
        Send a JSON output's content as text, as older deployments do.
    events_honour_include_output : bool, default True
        Whether the published event stream embeds outputs when asked to.
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
        string_content: bool = False,
        events_honour_include_output: bool = True,
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
        settings = Settings(
            latency=latency,
            max_per_minute=max_per_minute,
            window=window,
            dialect=dialect,
            api_key=api_key,
            seed=seed,
            credit=credit,
            price=price,
            reserve=reserve,
            refused_processors=tuple(refused_processors),
            string_content=string_content,
            events_honour_include_output=events_honour_include_output,
            unknown_cursor=unknown_cursor,
            stream_lifetime=stream_lifetime,
            keep_alive=keep_alive,
            status_every=status_every,
            seed_answer_ids=seed_answer_ids,
            seed_echo_metadata=seed_echo_metadata,
            seed_echo_input=seed_echo_input,
            seed_input_as=seed_input_as,
            seed_list_as=seed_list_as,
        )
        faultline = Faultline(faults, seed=seed)
        super().__init__(Service(settings, answers=answers, speed=speed, faultline=faultline))
        self._app = build_app(self._service)
        self._host = host
        self._port = port
        self._thread: ServerThread | None = None

    def start(self) -> Self:
        """Start the server, unless it runs already.

        Returns
        -------
        Simulator
            Itself, answering requests.
        """
        if self._thread is None:
            self._thread = ServerThread(
                self._app, host=self._host, port=self._port, on_loop=self._service.agenda.run_on
            )
            self._port = self._thread.port
            self._thread.start()
        return self

    def stop(self) -> None:
        """Stop the server as if it was killed: connections are reset, groups and runs are kept."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._service.agenda.halt()
            thread.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
