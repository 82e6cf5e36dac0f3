"""Counts and articles in messages."""

from __future__ import annotations


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
