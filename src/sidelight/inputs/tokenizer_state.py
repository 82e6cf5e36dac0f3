"""A tokenizer lent for one call: by one thread at a time, and given back as it was."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

_guard = threading.Lock()
_locks: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()


@contextmanager
def lent_tokenizer(tokenizer: Any) -> Iterator[None]:
    """Padding and truncation that a call sets on a fast tokenizer are put back, and threads take turns.

    transformers sets both on the tokenizer itself before each call, where another thread finds them.
    """
    backend = getattr(tokenizer, "_tokenizer", None)
    with _lock_of(tokenizer):
        before = getattr(backend, "padding", None), getattr(backend, "truncation", None)
        try:
            yield
        finally:
            _restore(backend, *before)


def _restore(backend: Any, padding: Any, truncation: Any) -> None:
    if getattr(backend, "padding", None) != padding:
        backend.enable_padding(**padding) if padding else backend.no_padding()
    if getattr(backend, "truncation", None) != truncation:
        backend.enable_truncation(**truncation) if truncation else backend.no_truncation()


def _lock_of(tokenizer: Any) -> Any:
    with _guard:
        try:
            return _locks.setdefault(tokenizer, threading.RLock())
        except TypeError:  # compared by value, or without weak references: all of these share one
            return _shared


_shared = threading.RLock()


def _in_child() -> None:
    # a thread that the child does not have may hold any of these
    global _guard, _shared
    _guard, _shared = threading.Lock(), threading.RLock()
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
