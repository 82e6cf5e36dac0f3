"""Many texts as people see them, and scores of their tokens as scores of what is seen. All of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any

import numpy as np

from sidelight.core.types import Join
from sidelight.errors import InputError
from sidelight.inputs.view import TextView
from sidelight.inputs.words import word_spans

#: by code point, whether a character is white space. Those above are none.
_SPACES = np.array([chr(code).isspace() for code in range(0x3001)] + [False])


class ShownTexts:
    """The strings of some texts, with the tokens of each string.

    Args:
        strings: per text what people see (:meth:`TextView.shown`).
        sizes: ``[N]`` number of tokens of each string, of all texts one after another.
        places: ``[sum of sizes]`` place of each token among ``B · T``.
        length: T, tokens of each text, padding included.
    """

    def __init__(self, strings: list[list[str]], sizes: np.ndarray, places: np.ndarray, length: int) -> None:
        self.strings, self._length, self._places = strings, length, places
        self._ends = np.cumsum([len(own) for own in strings])
        #: numbers of the strings with tokens, and of the string that each token belongs to
        self._seen = np.flatnonzero(sizes)
        self._owner = np.repeat(np.arange(len(sizes)), sizes)
        self._starts = (np.cumsum(sizes) - sizes)[self._seen]

    @classmethod
    def of_views(cls, views: Sequence[TextView]) -> ShownTexts:
        """Those of ``views`` of texts that were tokenized together, so that all have T tokens."""
        length = len(views[0].pieces) if views else 0
        groups = [view.shown_tokens() for view in views]
        sizes = np.array([len(tokens) for own in groups for tokens in own], dtype=np.int64)
        text = np.repeat(np.arange(len(views)), [sum(map(len, own)) for own in groups])
        within = np.array([t for own in groups for tokens in own for t in tokens], dtype=np.int64)
        return cls([view.shown() for view in views], sizes, text * length + within, length)

    def scores(self, tokens: np.ndarray, join: Join = "max") -> list[np.ndarray]:
        """A float32 score for each string of each text, as :meth:`TextView.shown_scores` gives them.

        Args:
            tokens: ``[B, T]`` one score per token.
            join: how pieces become a word.

        Raises:
            InputError: there is another number of tokens.
        """
        if tokens.shape[1:] != (self._length,):
            raise InputError(
                f"expected one score for each of {self._length} tokens; got {tokens.shape[1:]}. "
                "Describe the batch the scores were computed on, so that padding agrees."
            )
        values = tokens.reshape(-1)[self._places].astype(np.float64)
        count = int(self._ends[-1]) if len(self._ends) else 0
        found: np.ndarray = np.zeros(count)
        if join == "sum":  # one after another, as Python adds them
            found += np.bincount(self._owner, values, count)
        elif len(self._starts):
            found[self._seen] = np.maximum.reduceat(values, self._starts)
        if join == "rank":
            self._put_last(found)
        whole, ends = found.astype(np.float32), self._ends.tolist()
        return [whole[a:b] for a, b in zip([0, *ends], ends, strict=False)]

    def _put_last(self, found: np.ndarray) -> None:
        """Give strings that the model saw nothing of the lowest score of their text."""
        seen = np.zeros(len(found), dtype=bool)
        seen[self._seen] = True
        absent = np.flatnonzero(~seen)
        for text in np.unique(np.searchsorted(self._ends, absent, side="right")):
            own = slice(self._ends[text - 1] if text else 0, self._ends[text])
            found[own][~seen[own]] = found[own][seen[own]].min(initial=np.inf) if seen[own].any() else 0.0


# -- texts that the model read whole: what the views would show, without a view for each ---------------


@dataclass(frozen=True)
class _Tokens:
    """Tokens that are no padding and not special, of all texts one after another.

    Attributes:
        place: ``[M]`` place among ``B · T``.
        part: ``[M]`` number of the text, where a pair has two.
        start, end: ``[M]`` span in the joined texts, without white space at its ends.
    """

    place: np.ndarray
    part: np.ndarray
    start: np.ndarray
    end: np.ndarray


def shown_together(texts: Sequence[tuple[str, ...]], encodings: Sequence[Any]) -> ShownTexts | None:
    """What :meth:`ShownTexts.of_views` gives for texts that the model read whole, or ``None`` if it has to be asked.

    The texts are joined by line breaks, which belong to no word. So words are looked for once a batch.

    Args:
        texts: one string or two for each sample.
        encodings: what a fast tokenizer tells of each sample, padded to one length.
    """
    parts = list(chain.from_iterable(texts))
    joined = "\n".join(parts)
    base = np.array(list(accumulate((len(part) + 1 for part in parts), initial=0)))
    words = np.fromiter(chain.from_iterable(word_spans(joined)), np.int64).reshape(-1, 2)
    starts, ends = words[:, 0], words[:, 1]
    border = np.searchsorted(starts, base)  # of the words of each part
    found = _tokens(texts, encodings, base, joined)
    if found is None or not bool((np.diff(border) > 0).all()):
        return None
    first = np.minimum(np.searchsorted(ends, found.start, side="right"), border[found.part + 1] - 1)
    last = np.maximum(first, np.searchsorted(starts, found.end) - 1)
    group = _groups(first, last, len(words))
    leads = np.flatnonzero(np.diff(group, prepend=-1))  # the first word of each group
    own = group[first]
    order = np.argsort(own, kind="stable")
    sizes = np.bincount(own, minlength=len(leads))
    begin = starts[leads]
    heads = np.searchsorted(leads, border[:-1])  # the first group of each part
    begin[heads] = base[:-1]
    stop = np.append(begin[1:], 0)
    stop[np.append(heads[1:], len(leads)) - 1] = base[1:] - 1
    strings = [joined[a:b] for a, b in zip(begin.tolist(), stop.tolist(), strict=True)]
    length = len(encodings[0].ids)
    return ShownTexts(_by_sample(strings, heads.tolist(), texts), sizes, found.place[order], length)


def _groups(first: np.ndarray, last: np.ndarray, count: int) -> np.ndarray:
    """The group of each of ``count`` words. Words that share a token, of which it reaches first to last, are one group."""
    shared = last > first
    change = np.zeros(count + 1, dtype=np.int64)
    np.add.at(change, first[shared] + 1, 1)
    np.add.at(change, last[shared] + 1, -1)
    return np.cumsum(np.cumsum(change[:-1]) == 0) - 1


def _by_sample(strings: list[str], heads: Sequence[int], texts: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """The strings of each sample. A line break keeps the texts of a pair apart."""
    borders = [*heads, len(strings)]
    found, part = [], 0
    for text in texts:
        for inner in range(part + 1, part + len(text)):
            strings[borders[inner] - 1] += "\n"
        found.append(strings[borders[part] : borders[part + len(text)]])
        part += len(text)
    return found


def _tokens(
    texts: Sequence[tuple[str, ...]], encodings: Sequence[Any], base: np.ndarray, joined: str
) -> _Tokens | None:
    """The tokens of some texts that begin at ``base`` in ``joined``. ``None`` if a span lies outside of its text."""
    flags = np.array([(e.special_tokens_mask, e.attention_mask) for e in encodings])
    place = np.flatnonzero((flags[:, 0] == 0) & (flags[:, 1] != 0))
    spans = np.fromiter(chain.from_iterable(chain.from_iterable(e.offsets for e in encodings)), np.int64)
    start, end = spans.reshape(-1, 2)[place].T
    begin = np.array(list(accumulate(map(len, texts), initial=0)))  # the first part of each sample
    part = begin[place // flags.shape[2]]
    if len(base) - 1 > len(texts):
        segment = [s or 0 for e in encodings for s in e.sequence_ids]
        part = part + np.array(segment)[place]
    start, end = start + base[part], end + base[part]
    if not bool(((start >= base[part]) & (end < base[part + 1])).all()):
        return None
    return _Tokens(place, part, *_trimmed(start, end, joined))


def _trimmed(start: np.ndarray, end: np.ndarray, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Spans without white space at their ends. Those of nothing else are empty, at their own ends."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    space = np.append(_SPACES[np.minimum(codes, len(_SPACES) - 1)], False)
    filled = start < end
    if not bool((filled & (space[start] | space[end - 1])).any()):
        return start, end
    space = space[:-1]
    at = np.arange(len(space))
    # for each character the next one that is no white space, and the end of the last one before it
    following = np.minimum.accumulate(np.where(space, len(space), at)[::-1])[::-1]
    following = np.append(following, len(space))
    before = np.append(0, np.maximum.accumulate(np.where(space, 0, at + 1)))
    first = np.where(filled, np.minimum(following[start], end), start)
    return first, np.where(filled, np.maximum(before[end], first), end)
