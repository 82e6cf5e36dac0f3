"""Names for interchangeable parts: fills, terms, baseline methods, metrics, data sets."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from sidelight.errors import ConfigError, UnknownNameError

T = TypeVar("T")

#: Form of a name that is read as several names, where ``+`` joins one for each modality.
JOINED = r".*\+.*"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known name, or ``""``. Upper and lower case count as the same.

    Example:
        >>> nearest("label_1", ["LABEL_0", "LABEL_1"])
        " Did you mean 'LABEL_1'?"
    """
    folded: dict[str, str] = {}
    for one in known:
        folded.setdefault(one.strip().casefold(), one)
    match = difflib.get_close_matches(name.strip().casefold(), list(folded), n=1)
    return f" Did you mean {folded[match[0]]!r}?" if match else ""


class Registry(Generic[T]):
    """A mapping from names to entries. A failed lookup names the nearest entry.

    Args:
        kind: of the entries, for messages.
        reserved: names that no entry may have, as regular expressions of the whole name, each with what it means.

    Example:
        >>> shapes: Registry[int] = Registry("shape")
        >>> shapes.add("square", 4)
        4
        >>> shapes["square"]
        4
    """

    def __init__(self, kind: str, reserved: Mapping[str, str] | None = None) -> None:
        self.kind, self.reserved = kind, dict(reserved or {})
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register ``entry`` under ``name``. Raises :class:`ConfigError` if the name is taken or reserved, or no text."""
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"the name of a {self.kind} must be a text that is not empty; got {name!r}.")
        meanings = [meaning for form, meaning in self.reserved.items() if re.fullmatch(form, name, re.DOTALL)]
        if meanings:
            raise ConfigError(
                f"a {self.kind} cannot be called {name!r}, which stands for {meanings[0]}. Choose another name."
            )
        if name in self._entries:
            raise ConfigError(f"{self.kind} {name!r} is registered already; choose another name.")
        self._entries[name] = entry
        return entry

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of :meth:`add`."""
        return lambda entry: self.add(name, entry)

    def __getitem__(self, name: str) -> T:
        if not isinstance(name, str):
            raise UnknownNameError(
                f"a {self.kind} is named by a text; got {name!r:.60}. Known: {', '.join(self)}."
            )
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownNameError(
                f"unknown {self.kind} {name!r}.{nearest(name, self._entries)} Known: {', '.join(self)}."
            ) from None

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> Iterable[tuple[str, T]]:
        """Registered ``(name, entry)`` pairs in order of registration."""
        return self._entries.items()
