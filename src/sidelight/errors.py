"""Errors that a user can act on: each message names the given value, the expected one, and a remedy.

Every error is a :class:`SidelightError` and also the builtin exception a caller would naturally catch.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any


def first_line(error: BaseException, longest: int | None = 200) -> str:
    """The first line of an error's message, cut to ``longest`` characters."""
    return str(error).strip().split("\n")[0][:longest]


class SidelightError(Exception):
    """Base of every error that sidelight raises on purpose.

    Messages quote values of users, with all characters written out that a terminal would act on.
    """

    def __str__(self) -> str:
        return for_lines(super().__str__())


class InputError(SidelightError, ValueError):
    """Data given to a public function cannot be used as it is."""


class NotFiniteError(InputError):
    """A model or a scorer gave NaN or infinity.

    Args:
        what: the values that are not finite, e.g. "the model's output".
        samples: numbers of the samples, counted from 0.
        advice: the remedy.

    Attributes:
        samples: as given.
    """

    def __init__(self, what: str, samples: Sequence[int] = (), advice: str = "") -> None:
        self.what, self.samples, self.advice = what, tuple(samples), advice
        where = f" for sample(s) {list(samples[:8])}" if samples else ""
        super().__init__(f"{what} holds NaN or infinite values{where}. {advice}".rstrip())

    def numbered(self, names: Sequence[int]) -> NotFiniteError:
        """The same error for a reader who knows the i-th sample as ``names[i]``."""
        return NotFiniteError(self.what, [names[i] for i in self.samples], self.advice)


class InputTypeError(SidelightError, TypeError):
    """Data given to a public function has the wrong type."""


class ConfigError(SidelightError, ValueError):
    """A configuration value is unknown, missing or out of range."""


class UnknownNameError(ConfigError, KeyError):
    """A name is not in its registry. The message names the nearest ones."""

    def __str__(self) -> str:  # KeyError would show the repr of the message
        return for_lines(self.args[0]) if self.args else ""


class UnknownArgumentError(ConfigError, TypeError):
    """A function has no argument of this name, or of this place. The message names those that it has."""


class UnsupportedTargetError(SidelightError, TypeError):
    """The model cannot be explained: no hidden states, no known input, ..."""


class TargetMismatchError(SidelightError, ValueError):
    """A scorer was given a target other than the one it was trained beside."""


class SelfCheckError(UnsupportedTargetError):
    """A model gives other logits through sidelight than by itself, or no gradient reaches its input."""


class CheckpointError(SidelightError, OSError):
    """A saved file is missing, truncated, corrupt, or could not be written."""


class ForeignFileError(CheckpointError, FileExistsError):
    """A file, folder or link that sidelight did not write has the name of one that would be written."""


class BusyFolderError(CheckpointError):
    """Another process or thread works in the folder."""


class CollapseError(SidelightError, RuntimeError):
    """Training produced maps that carry no information (all scores equal)."""


class MissingPackageError(SidelightError, ImportError):
    """A package that a plain installation lacks is needed. The message holds the line that installs it."""


class ExportError(SidelightError, RuntimeError):
    """A model cannot be written for use without sidelight, or what was written gives other results than PyTorch."""


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
