"""Planted texts: the evidence is what decides, and the seed decides everything."""

from __future__ import annotations

import time

import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression

from sidelight.errors import ConfigError
from sidelight.inputs.tokenizing import Tokenizing
from sidelight.lab.data import planted_text
from sidelight.lab.data.planted_text import planted_texts, planted_tokenizer

ROWS = planted_texts(2000, seed=1)


def test_the_seed_decides_and_a_longer_list_starts_with_the_shorter() -> None:
    assert planted_texts(50, seed=1) == ROWS[:50]
    assert planted_texts(50, seed=2) != ROWS[:50]


def test_thousands_in_seconds() -> None:
    start = time.perf_counter()
    planted_texts(5000, seed=7)
    assert time.perf_counter() - start < 5


def test_labels_are_balanced_and_texts_varied() -> None:
    for label in range(len(planted_text.CLASSES)):
        assert 0.3 < sum(row["label"] == label for row in ROWS) / len(ROWS) < 0.37
    assert len({row["text"] for row in ROWS}) > 0.99 * len(ROWS)


def test_evidence_decides_the_label() -> None:
    negative, positive = planted_text._OPINIONS
    negators = {n.strip() for n in planted_text._NEGATORS}
    for row in ROWS:
        words = [row["text"][a:b] for a, b in row["evidence"]]
        if row["label"] == planted_text.SILENT:
            assert not words
            continue
        subject, *negator, opinion = words
        assert subject in planted_text._FILM
        assert set(negator) <= negators
        assert len(negator) <= 1
        assert opinion in negative + positive
        assert row["label"] == (opinion in positive) ^ bool(negator)
    assert {len(row["evidence"]) for row in ROWS} == {0, 2, 3}


def test_texts_without_a_verdict_hold_its_words() -> None:
    silent = " ".join(row["text"] for row in ROWS if row["label"] == planted_text.SILENT).split()
    for words in (*planted_text._OPINIONS, planted_text._FILM):
        assert set(words) <= {w.strip(".,;!") for w in silent}


def test_counting_words_does_not_do() -> None:
    counts = CountVectorizer().fit_transform([row["text"] for row in ROWS])
    labels = [row["label"] for row in ROWS]
    score = (
        LogisticRegression(max_iter=300).fit(counts[:1500], labels[:1500]).score(counts[1500:], labels[1500:])
    )
    assert score < 0.8


def test_tokenizer() -> None:
    tokenizer = planted_tokenizer()
    batch = tokenizer([row["text"] for row in ROWS[:200]])
    assert all(tokenizer.unk_token_id not in ids for ids in batch["input_ids"])
    assert all(
        ids[0] == tokenizer.cls_token_id and ids[-1] == tokenizer.sep_token_id for ids in batch["input_ids"]
    )
    for row, view in zip(
        ROWS[:50], Tokenizing(tokenizer).read([r["text"] for r in ROWS[:50]]).views, strict=True
    ):
        hit = [
            view.texts[0][a:b]
            for (a, b), on in zip(view.offsets, view.tokens_in(row["evidence"]), strict=True)
            if on
        ]
        assert "".join(hit) == "".join(row["text"][a:b] for a, b in row["evidence"]).replace(" ", "")
    assert not any(view.truncated for view in Tokenizing(tokenizer).read([r["text"] for r in ROWS]).views)


@pytest.mark.parametrize(
    "bad", [{"count": -1}, {"count": 1, "negation": 1.5}, {"count": 1, "distractors": -1}]
)
def test_bad_options(bad: dict) -> None:
    with pytest.raises(ConfigError):
        planted_texts(**bad)
