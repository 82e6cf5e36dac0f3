"""Tokenizers that a configuration names instead of loading them: built in memory, the same every time."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sidelight.data.planted_text import planted_tokenizer
from sidelight.registry import Registry

#: Builders by name.
TOKENIZERS: Registry[Callable[[], Any]] = Registry("tokenizer")
TOKENIZERS.add("planted", planted_tokenizer)
TOKENIZERS.add("planted_wordpiece", partial(planted_tokenizer, kind="wordpiece"))
