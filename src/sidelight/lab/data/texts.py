"""Text data sets as rows of ``text``, ``label`` and, if it is known, ``evidence``."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sidelight.core.field_checks import require_choice
from sidelight.errors import ConfigError, InputError
from sidelight.lab.data.planted_text import planted_texts
from sidelight.rows.labels import is_missing
from sidelight.rows.row import plain

if TYPE_CHECKING:  # slow to import
    import pandas as pd

#: classes of the tweets by the numbers of their labels
GRADES = ("negative", "neutral", "positive")
#: rows of each split of the planted texts if no count is given
PLANTED = {"train": 8000, "validation": 400, "test": 500}


@lru_cache(maxsize=4)  # a run reads them again at each step
def planted_rows(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
    """Rows ``{"text", "label", "evidence": {"text": [(start, end), ...]}}``. Splits are independent."""
    require_choice(split, PLANTED, "split")
    if count is not None and count < 1:
        raise ConfigError(f"count must be at least 1; got {count}.")
    rows = planted_texts(count or PLANTED[split], seed=len(PLANTED) * seed + list(PLANTED).index(split))
    return [{"text": r["text"], "label": r["label"], "evidence": {"text": r["evidence"]}} for r in rows]


def tidy_tweets(frame: pd.DataFrame) -> pd.DataFrame:
    """Negative and positive tweets as classes 0 and 1. The span that people selected is the evidence.

    Raises:
        InputError: the labels are not numbers of :data:`GRADES`, or none is positive where some seem to be neutral.
    """
    found = list(frame["label"].dropna().unique())
    if not set(found) <= {0, 1, 2} or (1 in found and 2 not in found):
        raise InputError(
            "the labels of tweets are numbers, 0 negative, 1 neutral and 2 positive, and neutral tweets are left out; got "
            f"{', '.join(repr(plain(label)) for label in found[:6])}. If there are two classes only, write 0 and 2."
        )
    kept = frame[frame["label"].isin([0, 2]) & frame["text"].notna()]
    out = kept[["text"]].assign(label=kept["label"].map({0: 0, 2: 1}))
    if "selected_start" in kept:
        spans = zip(kept["selected_start"], kept["selected_end"], strict=True)
        out["evidence"] = [{"text": _selected(*span)} for span in spans]
    return out


def _selected(first: Any, last: Any) -> list[list[int]]:
    """The span of a tweet as a list, which is empty if nobody selected one."""
    return [] if is_missing(first) or is_missing(last) else [[int(first), int(last)]]


def tidy_reviews(frame: pd.DataFrame) -> pd.DataFrame:
    """Reviews without their line-break marks."""
    text = frame["text"].str.replace(r"\s*(?:<br\s*/?>\s*)+", "\n", regex=True)
    return frame[["text"]].assign(text=text, label=frame["label"])


def tidy_statements(frame: pd.DataFrame) -> pd.DataFrame:
    """Statements with the binary label: 1 from half-true upwards."""
    label = frame["label"]
    if "label6" not in frame:  # the hub's own numbering of its six grades
        label = label.isin([1, 2, 3]).astype(int)
    return frame[["text"]].assign(label=label)
