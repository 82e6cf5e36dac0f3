"""The code of parts that a user registered, by which stored results know whether such a part has changed since.

Parts of sidelight itself change with its version. A user's own part keeps its name while it is being written.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import CellType, CodeType, FunctionType
from typing import Any

#: where packages are installed
_PLACES = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))
#: a variable around a function that has no value yet
_UNSET = CellType()


def own_code(parts: Mapping[str, Any]) -> dict[str, str]:
    """A digest of the source of each part that is not sidelight's own. What has no source to be found is left out.

    What a function is bound to counts with its source: arguments of a partial, defaults, and the numbers, texts and
    functions of the user's own that it names. What may change while it is used, such as a list or a tensor, does not.

    Args:
        parts: functions, classes or objects by name.
    """
    found = {name: _source(part, set()) for name, part in parts.items()}
    return {n: hashlib.blake2b(s.encode(), digest_size=8).hexdigest() for n, s in found.items() if s}


def _source(part: Any, seen: set[int]) -> str:
    """The source of ``part``, ``""`` if it is of sidelight or in ``seen``, which holds what was looked at before."""
    if id(part) in seen:
        return ""
    seen.add(id(part))
    if isinstance(part, functools.partial):
        given = {**{str(i): v for i, v in enumerate(part.args)}, **part.keywords}
        return _source(part.func, seen) + _values(given, seen)
    if inspect.isroutine(part):
        return "" if _is_ours(part) else "\n".join(_of_function(f, seen) for f in _layers(part))
    kind, *bases = (part if isinstance(part, type) else type(part)).__mro__
    if _is_ours(kind):
        return ""
    return "\n".join(
        _of_class(k, seen) for k in (kind, *(base for base in bases if not _is_installed(_module(base))))
    )


def _is_ours(part: Any) -> bool:
    return _module(part).split(".")[0] == "sidelight"


def _module(part: Any) -> str:
    return str(getattr(part, "__module__", None) or "")


def _is_installed(module: str) -> bool:
    """Whether a module is of Python, of sidelight or of an installed package, and so no code that is being written."""
    if module.split(".")[0] in (*sys.stdlib_module_names, "sidelight"):
        return True
    file = getattr(sys.modules.get(module), "__file__", None)
    return file is not None and any(Path(file).is_relative_to(place) for place in _PLACES)


def _layers(part: Any) -> Iterator[Any]:
    """A routine, and those that its decorators wrap. Decorators of libraries are left out."""
    while part is not None:
        inner = getattr(part, "__wrapped__", None)
        # a decorated function names the module of what it wraps
        home = getattr(getattr(part, "__func__", part), "__globals__", {}).get("__name__", "")
        if inner is None or not _is_installed(str(home)):
            yield part
        part = inner


def _of_function(part: Any, seen: set[int]) -> str:
    function = getattr(part, "__func__", part)
    # asked for a decorated function, inspect gives the source of what it wraps; asked for its code, its own
    return _text(getattr(function, "__code__", function)) + _bound(function, seen)


def _of_class(kind: type, seen: set[int]) -> str:
    functions = [f for f in vars(kind).values() if inspect.isfunction(f)]
    # in a notebook the source of a class is not to be found, but that of its functions is
    text = _text(kind) or "\n".join(_text(f) for f in functions)
    return text + "".join(_bound(f, seen) for f in functions)


def _bound(function: Any, seen: set[int]) -> str:
    """Values of ``function`` that its source does not show: defaults, and what it names of the places around it."""
    if not isinstance(function, FunctionType):
        return ""
    code, around = function.__code__, function.__globals__
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    named = {name: around[name] for name in _operands(code, "LOAD_GLOBAL") & around.keys()}
    named |= {name: cell.cell_contents for name, cell in cells if cell != _UNSET}
    # a counter changes while the function is used, and names of Python's own tell the place of a file
    changed = _operands(code, "STORE_GLOBAL", "STORE_DEREF")
    named = {n: v for n, v in named.items() if n not in changed and not n.startswith("__")}
    defaults = {f"default {n}": v for n, v in enumerate(function.__defaults__ or ())}
    defaults |= {f"default {n}": v for n, v in (function.__kwdefaults__ or {}).items()}
    return _values(named, seen) + _values(defaults, seen)


def _values(named: Mapping[str, Any], seen: set[int]) -> str:
    """Plain values, and the code of a user's own functions and classes, by name."""
    found = ((name, _value(named[name], seen)) for name in sorted(named))
    return "".join(f"\n# {name} = {text}" for name, text in found if text)


def _value(value: Any, seen: set[int]) -> str:
    if _is_plain(value):
        return repr(value)
    if isinstance(value, functools.partial):
        return _source(value, seen)
    named = isinstance(value, type) or inspect.isroutine(value)
    return _source(value, seen) if named and not _is_installed(_module(value)) else ""


def _is_plain(value: Any) -> bool:
    """Whether ``value`` cannot change and is the same in every process."""
    if type(value) is tuple:
        return all(_is_plain(v) for v in value)
    return value is None or type(value) in (bool, int, float, complex, str, bytes)


def _codes(code: CodeType) -> Iterator[CodeType]:
    """The code of a function, and of those that are defined in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _operands(code: CodeType, *names: str) -> set[str]:
    """What the operations called ``names`` are about."""
    found = (i for part in _codes(code) for i in dis.get_instructions(part))
    return {str(i.argval) for i in found if i.opname in names}


def _text(part: Any) -> str:
    try:
        return inspect.getsource(part)
    except (OSError, TypeError):  # typed into a shell, or written in C
        return ""
