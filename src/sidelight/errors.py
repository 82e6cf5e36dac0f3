"""Errors a user can act on: what was given, what was expected, what to do.

Every error is a :class:`SidelightError` and also the builtin exception a caller
would naturally catch.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any


def first_line(error: BaseException, longest: int | None = 200) -> str:
    """The first line of an error's words, cut to ``longest`` characters, so that a message can hold it."""
    return str(error).strip().split("\n")[0][:longest]


class SidelightError(Exception):
    """Base of every error that sidelight raises on purpose.

    Messages quote what users gave. Whatever a terminal would act on is written out in them.
    """

    def __str__(self) -> str:
        return for_lines(super().__str__())


class InputError(SidelightError, ValueError):
    """Data given to a public function cannot be used as it is."""


class NotFiniteError(InputError):
    """A model or a scorer gave NaN or infinity where a number is needed.

    Args:
        what: what is not finite, e.g. "the model's output".
        samples: numbers of the samples, counted from 0.
        advice: what to do.

    Attributes:
        samples: as given.
    """

    def __init__(self, what: str, samples: Sequence[int] = (), advice: str = "") -> None:
        self.what, self.samples, self.advice = what, tuple(samples), advice
        where = f" for sample(s) {list(samples[:8])}" if samples else ""
        super().__init__(f"{what} holds NaN or infinite values{where}. {advice}".rstrip())

    def numbered(self, names: Sequence[int]) -> NotFiniteError:
        """The same error, where the i-th sample is known to its reader as ``names[i]``."""
        return NotFiniteError(self.what, [names[i] for i in self.samples], self.advice)


class InputTypeError(SidelightError, TypeError):
    """Data given to a public function has the wrong type."""


class ConfigError(SidelightError, ValueError):
    """A configuration value is unknown, missing or out of range."""


class UnknownNameError(ConfigError, KeyError):
    """A name is not in its registry; the message lists the nearest ones."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return for_lines(self.args[0]) if self.args else ""


class UnsupportedTargetError(SidelightError, TypeError):
    """The model cannot be explained: no hidden states, no known input, ..."""


class TargetMismatchError(SidelightError, ValueError):
    """A scorer was given a target other than the one it was trained beside."""


class SelfCheckError(UnsupportedTargetError):
    """A model gives other logits through sidelight than by itself, or no gradient reaches its input."""


class CheckpointError(SidelightError, OSError):
    """A saved file is missing, truncated, corrupt, or could not be written."""


class ForeignFileError(CheckpointError, FileExistsError):
    """A file, folder or link that sidelight did not write stands where something would be written."""


class BusyFolderError(CheckpointError):
    """Another process or thread works in the folder."""


class CollapseError(SidelightError, RuntimeError):
    """Training produced maps that carry no information (all scores equal)."""


class PeerError(SidelightError, RuntimeError):
    """Another of several processes failed at a step that all of them take."""


class UnexpectedError(SidelightError):
    """Something failed that no check foresaw. The original error is its cause (:mod:`sidelight.core.guard`)."""


def for_terminal(text: Any) -> str:
    """``text`` with everything that a terminal would act on written out, e.g. ``\\x1b`` for an escape character.

    Line breaks and tabs within it are written out too. Letters of all scripts stay.

    Example:
        >>> for_terminal("a\\x1b[31mb")
        'a\\\\x1b[31mb'
    """
    return "".join(c if _is_harmless(c) else _written_out(c) for c in str(text))


def for_lines(text: Any) -> str:
    """As :func:`for_terminal`, but line breaks and tabs of our own layout stay."""
    told = str(text)
    if told.isprintable():  # the usual case, quickly
        return told
    return "".join(c if c in "\n\t" or _is_harmless(c) else _written_out(c) for c in told)


def _is_harmless(character: str) -> bool:
    # Cc: control, Cf: format (bidirectional marks, zero width), Cs: lone surrogates, Co and Cn: no letters, Zl, Zp: breaks
    return (
        unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        or character in "\u200d\u200c"
    )


def _written_out(character: str) -> str:
    code = ord(character)
    if character in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[character]
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
