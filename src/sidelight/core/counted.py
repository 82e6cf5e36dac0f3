"""Counts and articles in messages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import TypeVar

Value = TypeVar("Value", bound=Hashable)


def repeated(values: Iterable[Value]) -> list[Value]:
    """The values that occur more than once, in the order of their first places, in one pass.

    Example:
        >>> repeated(["a", "b", "a", "c", "b"])
        ['a', 'b']
    """
    return [value for value, count in Counter(values).items() if count > 1]


def counted(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun, which has the plural where there is not just one.

    Args:
        noun: in the singular.
        plural: default: the noun with an "s".

    Example:
        >>> counted(1, "row"), counted(2000, "row"), counted(0, "class", "classes")
        ('1 row', '2000 rows', '0 classes')
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def an(noun: str) -> str:
    """A noun with its article.

    Example:
        >>> an("Image"), an("list of 3")
        ('an Image', 'a list of 3')
    """
    return f"{'an' if noun[:1].lower() in set('aeiou') else 'a'} {noun}"
