"""The last guard before the user: no builtin error leaves a public function without an explanation.

Functions check their arguments. An error that no check foresaw, or that the user's model raises, becomes an
:class:`~sidelight.errors.UnexpectedError` that is also an error of the original type. The original is its cause.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import GeneratorType
from typing import Any, ParamSpec, TypeVar

from sidelight.core.refusals import not_reached
from sidelight.core.registry import nearest
from sidelight.errors import SidelightError, UnexpectedError, UnknownArgumentError

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
#: kinds of arguments that stand for any number of values
_OPEN_ENDED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def public(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator of public functions: only errors of our family come out.

    Running out of memory is no fault of the arguments. Such errors pass as they are, and so does an interrupt. A call that
    Python refuses stays a ``TypeError``. It names what exists, or what is missing, by names that users know.

    Example:
        >>> @public
        ... def half(x):
        ...     return x / 2
        >>> half("a")
        Traceback (most recent call last):
        sidelight.errors.UnexpectedError: half() failed with TypeError: unsupported operand ...
    """

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        with _guarding(function, args, kwargs):
            result = function(*args, **kwargs)
        return _guarded_items(function, result, args) if isinstance(result, GeneratorType) else result  # type: ignore[return-value]

    return guarded


def public_class(kind: type[T]) -> type[T]:
    """Decorator of public classes: making one is guarded as a public function is.

    Example:
        >>> @public_class
        ... class Square:
        ...     def __init__(self, side):
        ...         self.side = side
        >>> Square()
        Traceback (most recent call last):
        TypeError: Square() needs side; side is missing.
    """
    kind.__init__ = public(kind.__init__)  # type: ignore[method-assign]
    return kind


@contextmanager
def _guarding(
    function: Callable[..., Any], args: Sequence[Any], keywords: Iterable[str] = ()
) -> Iterator[None]:
    try:
        yield
    except (SidelightError, Warning, StopIteration):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        if isinstance(error, PermissionError) and error.filename is not None:
            raise not_reached(os.fsdecode(error.filename), error) from error
        name = _called(function, args)
        if _is_wrong_call(error):
            _require_known(function, name, keywords)
            _require_places(function, name, len(args))
            _require_given(function, name, args, keywords)
            raise TypeError(str(error).replace(f"{function.__qualname__}()", name)) from None
        raise _unexpected(name, error) from error


def _guarded_items(function: Callable[..., Any], items: Iterator[Any], args: Sequence[Any]) -> Iterator[Any]:
    """A generator may fail long after the call, when it makes an item."""
    while True:
        with _guarding(function, args):
            try:
                item = next(items)
            except StopIteration:
                return
        yield item


def is_out_of_memory(error: Exception) -> bool:
    """Whether memory ran out, on any device."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def _is_wrong_call(error: Exception) -> bool:
    """Whether Python itself refused the call, for an argument that is missing or unknown."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    # decorators stand between the caller and the function, which was never entered
    return isinstance(error, TypeError) and all(f in (__file__, contextlib.__file__) for f in frames)


def _called(function: Callable[..., Any], args: Sequence[Any]) -> str:
    """What the user called: a method by the class of its object, as nobody knows that of a part, and a class by its name."""
    if not _is_bound(function) or not args:
        return f"{function.__qualname__}()"
    owner = args[0] if isinstance(args[0], type) else type(args[0])
    made = function.__name__ in ("__init__", "__post_init__")
    return f"{owner.__name__}()" if made else f"{owner.__name__}.{function.__name__}()"


def _is_bound(function: Callable[..., Any]) -> bool:
    """Whether Python itself gives the first argument: the object or the class."""
    return next(iter(inspect.signature(function).parameters), "") in ("self", "cls")


def _require_known(function: Callable[..., Any], called: str, keywords: Iterable[str]) -> None:
    """Raise :class:`UnknownArgumentError` if ``function`` has no argument of one of the names ``keywords``."""
    known = [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]
    odd = next((name for name in keywords if name not in known), None)
    if odd is not None:
        raise UnknownArgumentError(
            f"{called} has no argument {odd!r}.{nearest(odd, known)} It takes {', '.join(known)}."
        ) from None


def _require_places(function: Callable[..., Any], called: str, given: int) -> None:
    """Raise :class:`UnknownArgumentError` if ``function`` takes fewer than ``given`` values without their names."""
    arguments = inspect.signature(function).parameters.values()
    if any(a.kind is a.VAR_POSITIONAL for a in arguments):
        return
    placed = _placed(arguments)
    if given <= len(placed):
        return
    bound = _is_bound(function)
    known, named = placed[bound:], [a.name for a in arguments if a.kind is a.KEYWORD_ONLY]
    only = f"only {', '.join(known)}" if known else "nothing"
    rest = (
        f" Write the name before each of the others: {', '.join(f'{n}=...' for n in named)}." if named else ""
    )
    raise UnknownArgumentError(
        f"{called} takes {only} without a name; {given - bound} values were given without one.{rest} "
        "If several values are one sample, put them into a tuple, e.g. (image, text)."
    ) from None


def _require_given(
    function: Callable[..., Any], called: str, args: Sequence[Any], keywords: Iterable[str]
) -> None:
    """Raise ``TypeError`` if a needed argument is missing. A class may say in ``_how_made`` how people come to one."""
    arguments = inspect.signature(function).parameters.values()
    have = {*_placed(arguments)[: len(args)], *keywords}
    needed = [a.name for a in arguments if a.default is a.empty and a.kind not in _OPEN_ENDED]
    missing = [name for name in needed if name not in have]
    if missing:
        how = getattr(args[0], "_how_made", "") if function.__name__ == "__init__" and args else ""
        told = f"{called} needs {', '.join(needed[_is_bound(function) :])}; {_and(missing)} missing. {how}"
        raise TypeError(told.rstrip()) from None


def _placed(arguments: Iterable[inspect.Parameter]) -> list[str]:
    """The arguments that may be given without their names, in order."""
    return [a.name for a in arguments if a.kind not in (*_OPEN_ENDED, a.KEYWORD_ONLY)]


def _and(names: Sequence[str]) -> str:
    first = ", ".join(names[:-1])
    return f"{first} and {names[-1]} are" if first else f"{names[-1]} is"


def _unexpected(called: str, error: Exception) -> UnexpectedError:
    words = " ".join(str(error).split())[:500]
    return unexpected_kind(type(error))(
        f"{called} failed with {type(error).__name__}: {words or 'no words'}. An argument may be of "
        "a kind that it does not take, or the model itself may have failed. If neither is so, this is a fault of "
        "sidelight: please report it with the lines above."
    )


def _builtin(kind: type[Exception]) -> type[Exception]:
    """The nearest ancestor of ``kind`` that Python itself brings, which can be combined with our class."""
    return next(k for k in kind.__mro__ if k.__module__ == "builtins")


def unexpected_kind(kind: type[Exception]) -> type[UnexpectedError]:
    """A class of our family that ``except`` clauses for the builtin error ``kind`` catch too."""
    names = {
        "__module__": UnexpectedError.__module__,
        "__init__": _plain_init,
        "__str__": _plain_str,
        "__reduce__": _plain_reduce,
        "builtin": _builtin(kind),
    }
    return type("UnexpectedError", (UnexpectedError, _builtin(kind)), names)


def _rebuild(kind: type[Exception], message: str) -> UnexpectedError:
    return unexpected_kind(kind)(message)


def _plain_init(self: Exception, message: str) -> None:
    # kinds such as UnicodeDecodeError want arguments of their own
    Exception.__init__(self, message)


def _plain_str(self: Exception) -> str:
    return str(self.args[0])


def _plain_reduce(self: Any) -> Any:
    # pickle finds no class that was made on the way, and errors must pass from worker processes
    return _rebuild, (self.builtin, str(self))
