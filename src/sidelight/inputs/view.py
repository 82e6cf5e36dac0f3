"""The words and characters behind a text's tokens, for display.

A model's inputs are tensors of ids. A :class:`TextView` keeps what people need beside
them: which characters of the original string each token covers, which tokens make up
each word, and whether the model read the text to its end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple
from unicodedata import combining

from sidelight.core.types import Join
from sidelight.errors import InputError
from sidelight.inputs.words import word_spans

Span = tuple[int, int]
#: stands for what the model did not read, at the end of a text and at its beginning
CUT, CUT_BEFORE = " […]", "[…] "
#: all forms of the two: behind the first text of a pair stands a line break
CUT_MARKS = frozenset({CUT, CUT_BEFORE, f"{CUT}\n", f"{CUT_BEFORE}\n"})

#: characters beyond what the model read that are still told apart as words
MARGIN = 4_096


class TruncationWarning(UserWarning):
    """A text is longer than the model can read. Its end was cut off."""


class Word(NamedTuple):
    """A word of one segment: characters ``[start, end)`` and the tokens it is made of.

    ``tokens`` is empty where the model never saw the word (truncated, or dropped by the
    tokenizer's normaliser).
    """

    segment: int
    start: int
    end: int
    tokens: tuple[int, ...]


@dataclass(frozen=True)
class TextView:
    """Tokens, words and character offsets of one sample.

    Attributes:
        texts: the original string, or two for a pair.
        pieces: ``T`` vocabulary entries, as the tokenizer spells them, padding included.
        segments: ``T`` indices into ``texts``. ``None`` for special tokens and padding.
        offsets: ``T`` character spans in the token's own segment; ``(0, 0)`` for special tokens.
        words: words of all segments in reading order.
        truncated: whether the model could not read the whole text.
        cut_side: ``"right"``, or ``"left"`` if the tokenizer drops the beginning of a long text.
    """

    texts: tuple[str, ...]
    pieces: tuple[str, ...]
    segments: tuple[int | None, ...]
    offsets: tuple[Span, ...]
    words: tuple[Word, ...]
    truncated: bool = False
    cut_side: str = "right"

    def word_text(self, word: Word) -> str:
        """The characters of ``word``."""
        return self.texts[word.segment][word.start : word.end]

    def word_scores(self, scores: Any, join: Join = "max") -> list[float | None]:
        """Score of each word: the highest of its pieces, or their sum. ``None`` where the model never saw it.

        Args:
            scores: ``[T]`` one score per token (tensor, array or list).
            join: how pieces become a word.

        Raises:
            InputError: ``scores`` has another length than the tokens.
        """
        values = self._values(scores)
        joined = sum if join == "sum" else max
        return [joined([values[t] for t in w.tokens]) if w.tokens else None for w in self.words]

    def spans(self, scores: Any, segment: int = 0, unit: str = "word") -> list[tuple[int, int, float | None]]:
        """``(start, end, score)`` in ``texts[segment]``, ready to be highlighted.

        Args:
            scores: ``[T]`` one score per token.
            segment: which text of a pair.
            unit: ``"word"``, or ``"token"`` for single pieces (byte pieces of one character share its span).
        """
        if unit == "word":
            pairs = zip(self.words, self.word_scores(scores), strict=True)
            return [(w.start, w.end, s) for w, s in pairs if w.segment == segment]
        if unit != "token":
            raise InputError(f"unit must be 'word' or 'token'; got {unit!r}.")
        values = self._values(scores)
        return [
            (a, b, values[t])
            for t, (a, b) in enumerate(self.offsets)
            if self.segments[t] == segment and b > a
        ]

    def tokens_in(self, spans: Sequence[Span], segment: int = 0) -> list[bool]:
        """``T`` flags: which tokens touch the character ``spans`` (rationales, planted evidence)."""
        return [
            self.segments[t] == segment and any(a < stop and start < b for start, stop in spans)
            for t, (a, b) in enumerate(self.offsets)
        ]

    def shown(self) -> list[str]:
        """The words, each with the white space around it: joined they are the original text.

        The texts of a pair are kept apart by a line break. An end that was cut off is shown as
        :data:`CUT`, a beginning as :data:`CUT_BEFORE`, in each text that lost one.
        """
        return [string for string, _ in self._strings]

    @cached_property
    def _strings(self) -> list[tuple[str, tuple[int, ...]]]:
        """What people see, each string with its tokens. Marks of what was cut off have none."""
        out: list[tuple[str, tuple[int, ...]]] = []
        for segment, text in enumerate(self.texts):
            words = [w for w in self._shown_words() if w.segment == segment]
            borders = pairwise(self._borders(words, segment))
            parts = [(text[a:b], word.tokens) for (a, b), word in zip(borders, words, strict=True)]
            if segment in self._cut:
                parts = [(CUT_BEFORE, ()), *parts] if self.cut_side == "left" else [*parts, (CUT, ())]
            if parts and segment < len(self.texts) - 1:
                parts[-1] = (f"{parts[-1][0]}\n", parts[-1][1])
            out += parts
        return out

    @cached_property
    def _cut(self) -> frozenset[int]:
        """Indices of the texts that lost their end, or their beginning. Of a pair, the longer one alone may have."""
        if not self.truncated:
            return frozenset()
        found = frozenset(segment for segment in range(len(self.texts)) if self._has_more(segment))
        # several tokens may share a character, and pieces without places do not tell how much there was
        return found or frozenset([0 if self.cut_side == "left" else len(self.texts) - 1])

    def _has_more(self, segment: int) -> bool:
        """Whether there is something to see of a text that no token stands for, on the side that is cut."""
        text = self.texts[segment]
        read = [span for s, span in zip(self.segments, self.offsets, strict=True) if s == segment]
        read = [(start, end) for start, end in read if start < end]
        if self.cut_side == "left":
            rest = text[: min((start for start, _ in read), default=len(text))]
        else:
            rest = text[max((end for _, end in read), default=0) :]
        # tokenizers drop control characters, and some drop accents
        return any(char.isprintable() and not char.isspace() and not combining(char) for char in rest)

    def _borders(self, words: Sequence[Word], segment: int) -> list[int]:
        if not words:
            return [0]
        cut = self.cut_side if segment in self._cut else None
        first = words[0].start if cut == "left" else 0
        last = words[-1].end if cut == "right" else len(self.texts[segment])
        return [first, *(w.start for w in words[1:]), last]

    def shown_scores(self, scores: Any, join: Join = "max") -> list[float]:
        """A score for each string of :meth:`shown`. Where the model saw nothing of a word it is 0, or the lowest of
        all if ``join`` is ``"rank"``.
        """
        values = self._values(scores)
        joined = sum if join == "sum" else max
        found = [joined([values[t] for t in own]) if own else None for own in self.shown_tokens()]
        seen = (score for score in found if score is not None)
        absent = min(seen, default=0.0) if join == "rank" else 0.0
        return [absent if score is None else score for score in found]

    def shown_tokens(self) -> list[tuple[int, ...]]:
        """The tokens of each string of :meth:`shown`. None where the model saw nothing of it."""
        return [tokens for _, tokens in self._strings]

    def _shown_words(self) -> list[Word]:
        # A cut text is shown as far as the model read it.
        if not self.truncated:
            return list(self.words)
        read = [(i, w.segment) for i, w in enumerate(self.words) if w.tokens]
        if self.cut_side == "left":
            first = {segment: i for i, segment in reversed(read)}
            return [w for i, w in enumerate(self.words) if i >= first.get(w.segment, len(self.words))]
        last = {segment: i for i, segment in read}
        return [w for i, w in enumerate(self.words) if i <= last.get(w.segment, -1)]

    def _values(self, scores: Any) -> list[float]:
        values = [float(s) for s in (scores.tolist() if hasattr(scores, "tolist") else scores)]
        if len(values) != len(self.pieces):
            raise InputError(
                f"expected one score for each of {len(self.pieces)} tokens; got {len(values)}. "
                "Describe the batch the scores were computed on, so that padding agrees."
            )
        return values


def build_view(
    texts: Sequence[str],
    pieces: Sequence[str],
    segments: Sequence[int | None],
    offsets: Sequence[Span],
    truncated: bool = False,
    cut_side: str = "right",
) -> TextView:
    """A :class:`TextView` from what a fast tokenizer reports of one sample.

    Offsets are trimmed of white space, which some tokenizers count to the piece that
    follows it and others do not.
    """
    trimmed = tuple(
        trim(texts[s], *span) if s is not None else (0, 0) for s, span in zip(segments, offsets, strict=True)
    )
    words: list[Word] = []
    for index, text in enumerate(texts):
        tokens = [t for t, s in enumerate(segments) if s == index]
        words += merge_words(text, index, tokens, [trimmed[t] for t in tokens], truncated)
    return TextView(tuple(texts), tuple(pieces), tuple(segments), trimmed, tuple(words), truncated, cut_side)


def _words_near(text: str, spans: Sequence[Span]) -> list[Span]:
    """Words of a cut text as far as the model read, and :data:`MARGIN` characters on. What is beyond is one word."""
    read = [span for span in spans if span[0] < span[1]]
    start = max(0, min((a for a, _ in read), default=0) - MARGIN)
    stop = min(len(text), max((b for _, b in read), default=0) + MARGIN)
    found = [(a + start, b + start) for a, b in word_spans(text[start:stop])]
    beyond = trim(text, 0, start), trim(text, stop, len(text))
    return [span for span in (beyond[0], *found, beyond[1]) if span[0] < span[1]]


def trim(text: str, start: int, end: int) -> Span:
    """``[start, end)`` without white space at its ends. Empty, at its own end, if there is nothing else."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def merge_words(
    text: str, segment: int, tokens: Sequence[int], spans: Sequence[Span], truncated: bool = False
) -> list[Word]:
    """Assign tokens to the words of ``text``.

    Words that share a token (one piece for two CJK characters) become one word: their
    scores cannot be told apart. A piece without characters of its own (a lone space
    mark) counts for the word it stands before, or the last one.

    Args:
        segment: index of ``text`` in its sample.
        tokens: token positions.
        spans: their trimmed character spans, in the same order.
        truncated: whether the tokens may be far from all of the text.
    """
    words = _words_near(text, spans) if truncated else word_spans(text)
    if not words:
        return []
    starts, ends = [a for a, _ in words], [b for _, b in words]
    reach: list[tuple[int, int]] = []
    for start, end in spans:
        first = min(bisect_right(ends, start), len(words) - 1)
        last = max(first, bisect_left(starts, end) - 1)
        reach.append((first, last))
    leader = _leaders(reach, len(words))
    members: dict[int, list[int]] = {i: [] for i in leader}
    for token, (first, _) in zip(tokens, reach, strict=True):
        members[leader[first]].append(token)
    last_of = {head: i for i, head in enumerate(leader)}
    return [Word(segment, starts[h], ends[last_of[h]], tuple(own)) for h, own in members.items()]


def _leaders(reach: Sequence[tuple[int, int]], count: int) -> Sequence[int]:
    """For each of ``count`` words the first of those that it shares tokens with, which may be itself."""
    shared = [(first, last) for first, last in reach if last > first]
    if not shared:
        return range(count)
    leader = list(range(count))
    for first, last in shared:
        for i in range(first + 1, last + 1):
            leader[i] = -1
    for i, value in enumerate(leader):
        leader[i] = leader[i - 1] if value < 0 else value
    return leader
