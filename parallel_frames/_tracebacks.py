"""Tracebacks that end where this library begins, and errors of a few lines in notebooks.

What is wrong with a call is in the message; which of our functions noticed it is of use to those only who work on them.
They set ``PARALLEL_FRAMES_DEBUG=1`` and see everything. It imports nothing of ours: even `errors` builds on it.
"""

from __future__ import annotations

import functools
import inspect
import os
import reprlib
import sysconfig
import traceback
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
K = TypeVar("K", bound="type[Any]")

DEBUG_VARIABLE: Final = "PARALLEL_FRAMES_DEBUG"
OURS: Final = f"{Path(__file__).parent}{os.sep}"
# Where code lives that was not written for this call.
INSTALLED: Final = (OURS, *(f"{sysconfig.get_path(name)}{os.sep}" for name in ("stdlib", "purelib", "platlib")))
USERS: Final = "_parallel_frames_traceback"
# What a value without a name most likely is.
MEANT: Final = ((str, "processor"), (int, "n"), (int, "limit"), (list, "processors"), (list, "inputs"))
MAX_FRAMES: Final = 3
MAX_LINE: Final = 100


def is_debugging() -> bool:
    """Return whether tracebacks are to be shown whole."""
    return os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def short_tracebacks(*kinds: type[BaseException]) -> Callable[[F], F]:
    """Return a decorator: the function's errors of these kinds have a traceback without our inner frames."""

    def decorate(function: F) -> F:
        make: Any = _call
        if inspect.iscoroutinefunction(function):
            make = _call_async
        elif inspect.isgeneratorfunction(function):
            make = _iterate
        wrapped: Any = functools.wraps(function)(make(function, kinds))
        return cast("F", wrapped)

    return decorate


# The name of the inner functions stands in the one line of ours that a traceback shows.


def _call(function: Callable[..., Any], kinds: tuple[type[BaseException], ...]) -> Callable[..., Any]:
    def parallel_frames(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except BaseException as error:
            if isinstance(error, kinds) or USERS in error.__dict__ or _is_misuse(error, function, args):
                raise _shortened(error)
            raise

    return parallel_frames


def _call_async(function: Callable[..., Any], kinds: tuple[type[BaseException], ...]) -> Callable[..., Any]:
    async def parallel_frames(*args: Any, **options: Any) -> Any:
        try:
            return await function(*args, **options)
        except BaseException as error:
            if isinstance(error, kinds) or USERS in error.__dict__ or _is_misuse(error, function, args):
                raise _shortened(error)
            raise

    return parallel_frames


def _iterate(function: Callable[..., Any], kinds: tuple[type[BaseException], ...]) -> Callable[..., Any]:
    def parallel_frames(*args: Any, **options: Any) -> Any:
        try:
            yield from function(*args, **options)
        except BaseException as error:
            if isinstance(error, kinds) or USERS in error.__dict__ or _is_misuse(error, function, args):
                raise _shortened(error)
            raise

    return parallel_frames


def _is_misuse(error: BaseException, function: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Return whether a call has too many arguments without a name; its error says then which name was meant."""
    if not isinstance(error, TypeError) or error.__traceback__ is None or error.__traceback__.tb_next is not None:
        return False  # or else it was the call itself that failed
    parameters = inspect.signature(function).parameters.values()
    places = [each.name for each in parameters if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    names = {each.name for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}
    names |= {"processor" for each in parameters if each.kind is inspect.Parameter.VAR_KEYWORD}
    if len(args) <= len(places):
        return False
    value = args[len(places)]
    meant = next((name for kind, name in MEANT if isinstance(value, kind) and name in names), None)
    named = "name=..." if meant is None else f"{meant}={value!r}"
    call = f"{function.__name__}({', '.join([*(name for name in places if name != 'self'), named])})"
    without = f"{reprlib.repr(value)} was passed without a name, and `{function.__name__}` takes its options by name"
    error.args = (f"{without}, as in `{call}`." if meant is None else f"{without}: did you mean `{call}`?",)
    return True


def decorate_methods(kind: K, decorate: Callable[[Any], Any]) -> K:
    """Decorate the public methods of a class, iteration included; return the class."""
    for name, member in list(vars(kind).items()):
        if inspect.isfunction(member) and (not name.startswith("_") or name in ("__init__", "__iter__", "__call__")):
            setattr(kind, name, decorate(member))
    return kind


def of_user(error: BaseException) -> BaseException:
    """Return an error of a user's own function, of which `short_tracebacks` is to show users' code only."""
    error.__dict__[USERS] = _of_users(error.__traceback__)
    return error


def _shortened(error: BaseException) -> BaseException:
    """Return the error without its traceback so far, and those it came from with the frames of users' code only."""
    if is_debugging():
        return error
    seen = {id(error)}
    before = error.__cause__ or error.__context__
    while before is not None and id(before) not in seen:
        seen.add(id(before))
        before.__traceback__ = _of_users(before.__traceback__)
        before = before.__cause__ or before.__context__
    return error.with_traceback(error.__dict__.get(USERS))


def _of_users(found: TracebackType | None) -> TracebackType | None:
    """Return a traceback without the frames of this library, of the standard library and of what is installed."""
    if found is None:
        return None
    rest = _of_users(found.tb_next)
    if found.tb_frame.f_code.co_filename.startswith(INSTALLED):
        return rest
    return TracebackType(rest, found.tb_frame, found.tb_lasti, found.tb_lineno)


def render_traceback(error: BaseException) -> list[str]:
    """Return an error in a few lines, as a notebook shows it: the user's own lines, what it came from, the message."""
    lines = []
    for frame in traceback.extract_tb(_of_users(error.__traceback__))[-MAX_FRAMES:]:
        path = Path(frame.filename)
        place = f"{path.name}, line {frame.lineno}" if path.exists() else f"line {frame.lineno}"
        lines.append(f"{place}: {(frame.line or '')[:MAX_LINE]}")
    cause = error.__cause__
    if cause is not None:
        lines.append(f"from {type(cause).__name__}: {str(cause).partition(chr(10))[0][:MAX_LINE]}")
    lines.append(f"{type(error).__name__}: {error}")
    return lines
