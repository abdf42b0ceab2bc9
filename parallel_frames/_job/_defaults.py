"""`options`: defaults for a whole process, or for a project in its pyproject.toml. What a call passes itself wins.

Only options that say how one works are here; what decides which rows are asked, or asked again, stays with each call.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from parallel_frames._format import did_you_mean
from parallel_frames._job._options import Call, check_call, check_option
from parallel_frames._log import logger
from parallel_frames._prices import price_of
from parallel_frames.errors import ConfigurationError, InputError, UnknownOptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAMES: Final = (
    "processor", "checkpoint", "retry_failed", "older_than", "basis", "provenance", "dtype_backend", "on_error",
    "max_cost", "confirm", "max_in_flight", "timeout", "progress",
)  # fmt: skip
PROJECT: Final = "pyproject.toml"
TABLE: Final = "tool.parallel_frames"
_is_alone: ContextVar[bool] = ContextVar("is_alone", default=False)


class Options:
    """Defaults of this process: ``pf.options.processor = "core"``; a project has them in its pyproject.toml.

    The file is the nearest pyproject.toml in the working directory or above it, its table ``[tool.parallel_frames]``; a
    path in it is relative to the file. What a call passes wins, then what is set here, then the file. There are
    ``processor``, ``checkpoint``, ``retry_failed``, ``older_than``, ``basis``, ``provenance``, ``dtype_backend`` (of
    frames), ``on_error``, ``max_cost``, ``confirm``, ``max_in_flight``, ``timeout`` and ``progress``.

    Examples
    --------
    >>> import pandas as pd, parallel_frames as pf
    >>> pf.options.processor = "pro"
    >>> pd.DataFrame({"company": ["Acme"]}).parallel.plan({"founded": int}, checkpoint=None).cost
    0.1
    >>> pf.options
    processor='pro'
    >>> pf.options.reset()
    """

    __slots__ = ("_set",)
    _set: dict[str, Any]

    def __init__(self) -> None:
        object.__setattr__(self, "_set", {})

    def __getattr__(self, name: str) -> Any:
        if name not in NAMES:
            raise AttributeError(f"There is no default for {name!r}{did_you_mean(name, NAMES)}.")
        return self.in_force().get(name, getattr(Call(), name))

    def __setattr__(self, name: str, value: Any) -> None:
        _check_name(name)
        Call(**{name: value})
        if name == "processor" and (unknown := price_of(value).unknown) is not None:
            logger.warning("%s", unknown)
        self._set[name] = value

    def __call__(self, **_: object) -> NoReturn:
        """Refuse a call of what is set by name."""
        raise InputError(
            "`pf.options` is not a function. Set an option by its name, as in `pf.options.processor = 'core'`."
        )

    def __dir__(self) -> list[str]:
        return ["in_force", "reset", *NAMES]

    def __repr__(self) -> str:
        found = self.in_force()
        lines = [
            f"{name}={found[name]!r}" + ("" if name in self._set else f" ({TABLE} of {_find_project()})")
            for name in NAMES
            if name in found
        ]
        return "\n".join(lines) or "no defaults set"

    def in_force(self) -> Mapping[str, Any]:
        """Return the defaults that are set, here or in the project's file, by name.

        Examples
        --------
        >>> import parallel_frames as pf
        >>> pf.options.max_cost = 5
        >>> pf.options.in_force()
        {'max_cost': 5}
        >>> pf.options.reset("max_cost")
        """
        return {**_of_project(), **self._set}

    def reset(self, *names: str) -> None:
        """Forget these defaults, or all that were set here; those of the file stay.

        Examples
        --------
        >>> import parallel_frames as pf
        >>> pf.options.progress = False
        >>> pf.options.reset()
        >>> pf.options.in_force()
        {}
        """
        for name in names:
            _check_name(name)
        for name in names or list(self._set):
            self._set.pop(name, None)


def _check_name(name: str, *, of: str = "`pf.options`") -> None:
    if name in NAMES:
        return
    if name in Call.__dataclass_fields__:
        raise UnknownOptionError(name, f"`{name}` has no default: it is passed with each call.")
    check_option(name, NAMES, of=of)


def origin_of(name: str) -> str:
    """Return what sets the default that is in force for an option: `pf.options`, or the project's file."""
    return "`pf.options`" if name in options._set else str(_find_project() or PROJECT)


@contextmanager
def without_project() -> Iterator[None]:
    """Let the project's file decide nothing in the block: a demonstration is the same everywhere."""
    token = _is_alone.set(True)
    try:
        yield
    finally:
        _is_alone.reset(token)


def _find_project() -> Path | None:
    """Return the nearest pyproject.toml."""
    if _is_alone.get():
        return None
    try:
        here = Path.cwd()
    except OSError:  # the directory was removed
        return None
    return next((path for folder in (here, *here.parents) if (path := folder / PROJECT).is_file()), None)


def _of_project() -> Mapping[str, Any]:
    path = _find_project()
    return {} if path is None else _read(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _read(path: Path, _: int) -> Mapping[str, Any]:
    """Return the table of a file."""
    import tomllib  # most of a millisecond, and needed where there is such a file only

    try:
        found = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("parallel_frames", {})
    except (OSError, ValueError, AttributeError):
        return {}  # another tool's to complain about
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path}: {TABLE} must be a table of options.")
    for name, value in found.items():
        try:
            _check_name(name, of="the table")
            Call(**{name: value})
        except InputError as error:
            raise ConfigurationError(f"{path}, [{TABLE}]: {error}") from None
    place = found.get("checkpoint")
    if isinstance(place, str) and place != "auto" and "://" not in place:
        found["checkpoint"] = str(path.parent / Path(place).expanduser())
    return found


options: Final = Options()


def make_call(given: Mapping[str, Any], *, of_arrow: bool = False) -> Call:
    """Return a call's options, completed by the defaults that are in force, and checked."""
    found = dict(options.in_force())
    if of_arrow:  # a file or a frame whose columns have Arrow's types
        found.pop("dtype_backend", None)
    return check_call({**found, **given})
