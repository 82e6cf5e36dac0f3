"""Rows of pictures and texts: lazily read, and mismatched so that neither modality tells the label alone."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sidelight.errors import InputError
from sidelight.lab.data.pair_rows import PairRows, Pictures, caption_pairs, exchanged_things


class Counted:
    """Gives its own number back and keeps count of who asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __getitem__(self, index: int) -> int:
        self.asked.append(index)
        return index


def some_rows() -> tuple[PairRows, Counted]:
    pictures = Counted()
    columns: dict[str, list[Any]] = {"text": list("abcd"), "label": [0, 1, 0, 1]}
    return PairRows(pictures, [0, 0, 1, 2], columns, [{"text": [(0, i)]} for i in range(4)]), pictures


def test_rows_are_indexed_sliced_and_selected() -> None:
    rows, _ = some_rows()
    assert len(rows) == 4
    assert rows[2] == {"image": 1, "text": "c", "label": 0, "evidence": {"text": [(0, 2)]}}
    assert rows[-1] == rows[3]
    assert [r["text"] for r in rows] == list("abcd")
    assert [r["text"] for r in rows[1:3]] == ["b", "c"]
    chosen = rows.select([3, 0, 3])
    assert [r["text"] for r in chosen] == ["d", "a", "d"]
    assert [r["image"] for r in chosen.select([2, 1])] == [2, 0]
    assert chosen[1]["evidence"] == {"text": [(0, 0)]}
    for wrong in (4, -5):
        with pytest.raises(IndexError):
            rows[wrong]


def test_a_picture_is_read_when_its_row_is() -> None:
    rows, pictures = some_rows()
    chosen = rows[1:].select([1, 2])
    assert pictures.asked == []
    assert chosen[0]["image"] == 1
    assert pictures.asked == [1]
    assert "evidence" not in PairRows(pictures, [0], {"text": ["a"]})[0]


def test_pictures_in_files_are_opened_upright_and_one_by_one(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (8, 4), (200, 0, 0)).save(tmp_path / "a.jpg", exif=exif)
    (tmp_path / "b.jpg").write_bytes(b"not a picture")
    pictures = Pictures.in_files([tmp_path / "a.jpg", tmp_path / "b.jpg"])
    assert len(pictures) == 2
    assert pictures[0].size == (4, 8)
    with pytest.raises(InputError, match=r"cannot read '.*b\.jpg' as an image"):
        pictures[1]


captions = st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=4), min_size=2, max_size=8)


def can_be_mismatched(found: list[list[str]]) -> bool:
    """Hall's condition on every set of different captions: enough places of pictures that lack one of them."""
    places = Counter(t for own in found for t in own)
    return all(
        sum(places[t] for t in subset) <= sum(len(own) for own in found if set(subset) - set(own))
        for size in range(1, len(places) + 1)
        for subset in combinations(sorted(places), size)
    )


@given(captions, st.integers(0, 99))
def test_every_caption_matches_once_and_mismatches_once(found: list[list[str]], seed: int) -> None:
    if not can_be_mismatched(found):
        with pytest.raises(InputError, match="too few distinct captions"):
            caption_pairs(found, seed)
        return
    picture, text, label = caption_pairs(found, seed)
    rows = list(zip(picture, text, label, strict=True))
    assert all((t in found[p]) == (y == 1) for p, t, y in rows)
    for value in (0, 1):
        assert Counter(t for _, t, y in rows if y == value) == Counter(t for own in found for t in own)
        assert Counter(p for p, _, y in rows if y == value) == {i: len(own) for i, own in enumerate(found)}
    assert caption_pairs(found, seed) == (picture, text, label)


def test_a_caption_that_differs_in_case_or_full_stop_is_the_same() -> None:
    found = [["A dog runs .", "A dog"], ["a dog  runs", "A cat"], ["A bird", "A fish"]]
    for seed in range(20):
        picture, text, label = caption_pairs(found, seed)
        wrong = {(p, t) for p, t, y in zip(picture, text, label, strict=True) if not y}
        assert not {(0, "a dog  runs"), (1, "A dog runs .")} & wrong


def test_seeds_give_other_mismatches() -> None:
    found = [[f"{i} {j}" for j in range(5)] for i in range(20)]
    one, two = (caption_pairs(found, seed)[1] for seed in (0, 1))
    assert one[::2] == two[::2]
    assert sum(a == b for a, b in zip(one[1::2], two[1::2], strict=True)) < 10


def test_captions_that_cannot_be_mismatched_are_refused() -> None:
    with pytest.raises(InputError, match="at least two pictures"):
        caption_pairs([["a", "b"], []], 0)
    with pytest.raises(InputError, match="too few distinct captions"):
        caption_pairs([["a"], ["a"], ["a"]], 0)


things = st.sets(st.tuples(st.sampled_from("rgb"), st.sampled_from("xyz")), max_size=5)


@given(st.lists(things, min_size=1, max_size=25), st.integers(0, 99), st.integers(1, 4))
def test_claims_are_true_and_balanced_by_picture_and_by_thing(
    shown: list[set[tuple[str, str]]], seed: int, rounds: int
) -> None:
    claims = exchanged_things(shown, np.random.default_rng(seed), rounds)
    assert all((thing in shown[i]) == bool(label) for i, thing, label in claims)
    assert len({(i, thing) for i, thing, _ in claims}) == len(claims)
    by_picture, by_thing = Counter[int](), Counter[tuple[str, str]]()
    for i, thing, label in claims:
        by_picture[i] += 2 * label - 1
        by_thing[thing] += 2 * label - 1
    assert not any(by_picture.values())
    assert not any(by_thing.values())
    assert all(n <= 2 * rounds for n in Counter(i for i, _, _ in claims).values())
    two = next(((a, b) for a in shown for b in shown if a - b and b - a), None)
    assert bool(claims) == (two is not None)


def test_nobody_is_left_waiting_who_has_a_partner() -> None:
    shown = [{("red", "circle")}, {("blue", "square")}] * 30
    claims = exchanged_things(shown, np.random.default_rng(0), rounds=1)
    assert Counter(i for i, _, _ in claims) == dict.fromkeys(range(60), 2)
