"""Rows of a picture and a text, and mismatched pairs that neither the picture nor the text gives away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from sidelight.errors import InputError
from sidelight.inputs.images import read_image


class Indexed(Protocol):
    """Anything that gives a value for a number."""

    def __getitem__(self, index: int, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class PairRows(Sequence[dict[str, Any]]):
    """Rows ``{"image", "text", "label", ..., "evidence"}``. A picture is opened when its row is read.

    Attributes:
        pictures: gives a picture for its number.
        picture: the number of each row's picture. Several rows may share one.
        columns: the other columns by name, each with a value for each row.
        evidence: gives ``{"image": bool [H, W], "text": [(start, end), ...]}`` for a row's number, if it is known.
        order: numbers of the chosen rows, in order (default: all rows).
    """

    pictures: Indexed
    picture: Sequence[int]
    columns: Mapping[str, Sequence[Any]]
    evidence: Indexed | None = None
    order: Sequence[int] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.picture if self.order is None else self.order)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return self.select(range(*index.indices(len(self))))
        number = range(len(self))[index]
        number = number if self.order is None else self.order[number]
        row = {"image": self.pictures[self.picture[number]]}
        row.update((name, values[number]) for name, values in self.columns.items())
        if self.evidence is not None:
            row["evidence"] = self.evidence[number]
        return row

    def select(self, indices: Sequence[int]) -> PairRows:
        """The rows at ``indices``, in that order."""
        known = range(len(self)) if self.order is None else self.order
        return replace(self, order=[known[i] for i in indices])


@dataclass(frozen=True, eq=False)
class Pictures:
    """Column ``image`` of a ``datasets.Dataset`` as upright PIL images, each read when it is needed."""

    rows: Any

    @classmethod
    def of(cls, rows: Any) -> Pictures:
        """The pictures of a data set with a column ``image``. Nothing is decoded yet.

        Raises:
            InputError: the column does not hold images.
        """
        import datasets

        try:
            return cls(rows.select_columns(["image"]).cast_column("image", datasets.Image(decode=False)))
        except Exception as error:
            raise InputError(
                f"column 'image' must hold pictures (bytes and path, as data sets keep them): {error}."
            ) from error

    @classmethod
    def in_files(cls, paths: Sequence[Any]) -> Pictures:
        """The pictures in image files."""
        import datasets

        return cls.of(datasets.Dataset.from_dict({"image": [str(p) for p in paths]}))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        return read_image(self.rows[int(index)]["image"])


def caption_pairs(captions: Sequence[Sequence[str]], seed: int) -> tuple[list[int], list[str], list[int]]:
    """Every caption once with its own picture (label 1) and once with another's (label 0).

    So each picture, and each caption, has as many rows of either label, and neither alone predicts it.

    Args:
        captions: the captions of each picture.

    Returns:
        Picture numbers, texts and labels, row by row.

    Raises:
        InputError: there are fewer than two pictures, or too few different captions.
    """
    owner = np.array([i for i, own in enumerate(captions) for _ in own], dtype=int)
    texts = [text for own in captions for text in own]
    if len(set(owner.tolist())) < 2:
        raise InputError("mismatches need captions of at least two pictures; give more rows.")
    own = [{_plain(text) for text in found} for found in captions]
    other = _derange(owner, [_plain(t) for t in texts], own, np.random.default_rng(seed))
    picture = [n for i in owner.tolist() for n in (i, i)]
    paired = [t for i, j in enumerate(other) for t in (texts[i], texts[j])]
    return picture, paired, [1, 0] * len(texts)


def _derange(owner: np.ndarray, texts: list[str], own: list[set[str]], rng: np.random.Generator) -> list[int]:
    """A permutation of the captions that gives no picture one of its own captions."""
    other = rng.permutation(len(owner)).tolist()

    def clashes(place: int, caption: int) -> bool:
        return texts[caption] in own[owner[place]]

    for place in range(len(other)):
        if not clashes(place, other[place]):
            continue
        swaps = (
            k
            for k in rng.permutation(len(other)).tolist()
            if not clashes(place, other[k]) and not clashes(k, other[place])
        )
        swap = next(swaps, None)
        if swap is None:  # happens among few captions only, which need more than one exchange
            return _derange_few(other, clashes)
        other[place], other[swap] = other[swap], other[place]
    return other


def _derange_few(order: list[int], clashes: Callable[[int, int], bool]) -> list[int]:
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    allowed = csr_array([[not clashes(place, caption) for caption in order] for place in range(len(order))])
    found = maximum_bipartite_matching(allowed, perm_type="column")
    if (found < 0).any():
        raise InputError(
            "too few distinct captions to mismatch: a caption that most pictures have fits no other."
        )
    return [order[i] for i in found.tolist()]


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(" .")


Thing = tuple[str, str]


def exchanged_things(
    shown: Sequence[set[Thing]], rng: np.random.Generator, rounds: int = 3
) -> list[tuple[int, Thing, int]]:
    """Claims that a picture shows a thing, balanced by picture and by thing.

    Two pictures form a couple if each shows something that the other does not. Both things are claimed of both
    pictures. So every picture, and every thing, has as many rows of either label.

    Args:
        shown: the things in each picture, at most 62 different ones in all.
        rounds: a picture joins at most so many couples, each time with other things.

    Returns:
        ``(picture, thing, label)`` of each row. No picture is asked for a thing twice. Pictures that find no
        partner are left out.
    """
    things = sorted(set().union(*shown))
    # a picture's claims as bits of a number, because many are compared:
    # those that are right and not made yet, and those that would be right or are made already
    true = np.array([sum(1 << k for k, t in enumerate(things) if t in own) for own in shown], dtype=np.int64)
    spent = true.copy()
    claims: list[tuple[int, Thing, int]] = []
    for _ in range(rounds):
        waiting = rng.permutation(len(shown))
        waiting = waiting[(true[waiting] != 0) & (spent[waiting] != (1 << len(things)) - 1)]
        while len(waiting):
            one, waiting = int(waiting[0]), waiting[1:]
            fits = (true[one] & ~spent[waiting] != 0) & (true[waiting] & ~spent[one] != 0)
            if not fits.any():
                continue
            place = int(fits.argmax())
            other, waiting = int(waiting[place]), np.delete(waiting, place)
            for bits, label in ((true[one] & ~spent[other], 1), (true[other] & ~spent[one], 0)):
                k = _any_bit(rng, int(bits))
                claims += [(one, things[k], label), (other, things[k], 1 - label)]
                true[[one, other]] &= ~(1 << k)
                spent[[one, other]] |= 1 << k
    return claims


def _any_bit(rng: np.random.Generator, bits: int) -> int:
    found = [k for k in range(bits.bit_length()) if bits >> k & 1]
    return found[int(rng.integers(len(found)))]
