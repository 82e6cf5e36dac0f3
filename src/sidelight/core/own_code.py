"""The code of parts that a user registered, by which stored results know whether such a part has changed since.

Parts of sidelight itself change with its version. A user's own part keeps its name while it is being written.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from typing import Any


def own_code(parts: Mapping[str, Any]) -> dict[str, str]:
    """A digest of the source of each part that is not sidelight's own. What has no source to be found is left out.

    Args:
        parts: functions, classes or objects by name.
    """
    found = {name: _source(part) for name, part in parts.items()}
    return {n: hashlib.blake2b(s.encode(), digest_size=8).hexdigest() for n, s in found.items() if s}


def _source(part: Any) -> str:
    part = getattr(part, "func", part)  # of functools.partial
    if inspect.isroutine(part):
        return "" if _is_ours(part) else _text(inspect.unwrap(part))
    kinds = (part if isinstance(part, type) else type(part)).__mro__
    return "\n".join(_of_class(kind) for kind in kinds if not _is_ours(kind) and kind is not object)


def _is_ours(part: Any) -> bool:
    return str(getattr(part, "__module__", None) or "").split(".")[0] == "sidelight"


def _of_class(kind: type) -> str:
    functions = [value for value in vars(kind).values() if inspect.isfunction(value)]
    # in a notebook the source of a class is not to be found, but that of its functions is
    return _text(kind) or "\n".join(_text(f) for f in functions)


def _text(part: Any) -> str:
    try:
        return inspect.getsource(part)
    except (OSError, TypeError):  # typed into a shell, or written in C
        return ""
