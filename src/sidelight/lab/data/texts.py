"""Text data sets as rows of ``text``, ``label`` and, where it is known, ``evidence``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sidelight.errors import ConfigError
from sidelight.lab.data.planted_text import planted_texts

#: rows of each split of the planted texts where no count is given
PLANTED = {"train": 8000, "validation": 400, "test": 500}
#: label numbers of the tweets' own three classes
SENTIMENT = ("negative", "neutral", "positive")


def planted_rows(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
    """Rows ``{"text", "label", "evidence": {"text": [(start, end), ...]}}``; splits are drawn independently."""
    if split not in PLANTED:
        raise ConfigError(f"split must be one of {', '.join(PLANTED)}; got {split!r}.")
    if count is not None and count < 1:
        raise ConfigError(f"count must be at least 1; got {count}.")
    rows = planted_texts(count or PLANTED[split], seed=len(PLANTED) * seed + list(PLANTED).index(split))
    return [{"text": r["text"], "label": r["label"], "evidence": {"text": r["evidence"]}} for r in rows]


def tidy_tweets(frame: pd.DataFrame, labels: Sequence[int] = (0, 2)) -> pd.DataFrame:
    """Tweets of the classes ``labels``, renumbered; the span people selected is the evidence.

    A neutral tweet has no evidence: there people selected nearly all of it.
    """
    kept = frame[frame["label"].isin(list(labels)) & frame["text"].notna()]
    out = pd.DataFrame({"text": kept["text"], "label": kept["label"].map(list(labels).index)})
    if "selected_start" in kept:
        spans = zip(kept["selected_start"], kept["selected_end"], kept["label"], strict=True)
        out["evidence"] = [
            {"text": [] if label == SENTIMENT.index("neutral") else [[int(a), int(b)]]}
            for a, b, label in spans
        ]
    return out


def tidy_reviews(frame: pd.DataFrame) -> pd.DataFrame:
    """Reviews without their line-break marks."""
    text = frame["text"].str.replace(r"\s*(?:<br\s*/?>\s*)+", "\n", regex=True)
    return pd.DataFrame({"text": text, "label": frame["label"]})


def tidy_statements(frame: pd.DataFrame) -> pd.DataFrame:
    """Statements with the binary label: 1 from half-true upwards."""
    label = frame["label"]
    if "label6" not in frame:  # the hub's own numbering of its six grades
        label = label.isin([1, 2, 3]).astype(int)
    return pd.DataFrame({"text": frame["text"], "label": label})
