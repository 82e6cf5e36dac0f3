"""The code of parts that a user registered, by which stored results know whether such a part has changed since.

Parts of sidelight itself change with its version. A user's own part keeps its name while it is being written.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: where packages are installed
_PLACES = tuple(sysconfig.get_path(name) for name in ("purelib", "platlib"))


def own_code(parts: Mapping[str, Any]) -> dict[str, str]:
    """A digest of the source of each part that is not sidelight's own. What has no source to be found is left out.

    Args:
        parts: functions, classes or objects by name.
    """
    found = {name: _source(part) for name, part in parts.items()}
    return {n: hashlib.blake2b(s.encode(), digest_size=8).hexdigest() for n, s in found.items() if s}


def _source(part: Any) -> str:
    if isinstance(part, functools.partial):
        return _source(part.func)
    if inspect.isroutine(part):
        return "" if _is_ours(part) else _text(inspect.unwrap(part))
    kind, *bases = (part if isinstance(part, type) else type(part)).__mro__
    if _is_ours(kind):
        return ""
    return "\n".join(_of_class(k) for k in (kind, *(base for base in bases if not _is_installed(base))))


def _is_ours(part: Any) -> bool:
    return str(getattr(part, "__module__", None) or "").split(".")[0] == "sidelight"


def _is_installed(kind: type) -> bool:
    """Whether a class is of Python, of sidelight or of an installed package, and so no code that is being written."""
    if _is_ours(kind) or kind.__module__.split(".")[0] in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return file is not None and any(Path(file).is_relative_to(place) for place in _PLACES)


def _of_class(kind: type) -> str:
    functions = [value for value in vars(kind).values() if inspect.isfunction(value)]
    # in a notebook the source of a class is not to be found, but that of its functions is
    return _text(kind) or "\n".join(_text(f) for f in functions)


def _text(part: Any) -> str:
    try:
        return inspect.getsource(part)
    except (OSError, TypeError):  # typed into a shell, or written in C
        return ""
