"""Many texts as people see them, and scores of their tokens as scores of what is seen. All of a batch at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sidelight.core.types import Join
from sidelight.errors import InputError
from sidelight.inputs.view import TextView


class ShownTexts:
    """The strings of some views, with the tokens of each string.

    Args:
        views: of texts that were tokenized together, so that all have ``T`` tokens.
    """

    def __init__(self, views: Sequence[TextView]) -> None:
        self._length = len(views[0].pieces) if views else 0
        groups = [view.shown_tokens() for view in views]
        #: what people see of each text (:meth:`TextView.shown`)
        self.strings = [view.shown() for view in views]
        self._ends = np.cumsum([len(own) for own in groups])
        sizes = np.array([len(tokens) for own in groups for tokens in own], dtype=np.int64)
        #: numbers of the strings with tokens, and of the string that each token belongs to
        self._seen = np.flatnonzero(sizes)
        self._owner = np.repeat(np.arange(len(sizes)), sizes)
        self._starts = (np.cumsum(sizes) - sizes)[self._seen]
        text = np.repeat(np.arange(len(views)), [sum(map(len, own)) for own in groups])
        within = np.array([t for own in groups for tokens in own for t in tokens], dtype=np.int64)
        self._places = text * self._length + within

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
        return np.split(found.astype(np.float32), self._ends[:-1])

    def _put_last(self, found: np.ndarray) -> None:
        """Give strings that the model saw nothing of the lowest score of their text."""
        seen = np.zeros(len(found), dtype=bool)
        seen[self._seen] = True
        absent = np.flatnonzero(~seen)
        for text in np.unique(np.searchsorted(self._ends, absent, side="right")):
            own = slice(self._ends[text - 1] if text else 0, self._ends[text])
            found[own][~seen[own]] = found[own][seen[own]].min(initial=np.inf) if seen[own].any() else 0.0
