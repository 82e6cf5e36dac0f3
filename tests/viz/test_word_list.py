"""Touch screens and screen readers show no tooltip, so the values of words also stand in a list below the text."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import pytest

from sidelight.explanations.explanation import Explanation
from sidelight.lab.figures.grid import GridSample
from sidelight.lab.report import ReportData, ReportSection, render_report
from sidelight.lab.side_by_side.result import Comparison, Contender
from sidelight.lab.side_by_side.worth import Worth
from sidelight.live.views import map_html
from sidelight.viz.word_list import LETTERS, LISTED

WORDS = ["a ", "great\n", " <b>film</b> ", "  ", "!"]
SCORES = np.array([0.2, 1.0, 1.0, 0.5, 0.0], dtype=np.float32)


def explained(words: list[str] = WORDS, scores: np.ndarray = SCORES, **more: object) -> Explanation:
    return Explanation({"text": scores}, {"text": words}, 1, "positive", 0.9, **more)


def listed(page: str) -> list[str]:
    found = re.findall(r"<li>(.*?)</li>", page)
    return [unescape(re.sub(r"<[^>]*>", "", line)) for line in found]


def test_a_closed_list_holds_the_words_with_their_scores() -> None:
    page = explained().to_html()
    assert "<details style=" in page
    assert "<summary>Words and scores</summary>" in page
    assert listed(page) == ["great 1.00", "<b>film</b> 1.00", "a 0.20", "! 0.00"]


def test_words_stand_in_the_order_of_the_ranking() -> None:
    ranking = {"text": np.array([1.0, 3.0, 4.0, 2.0, 0.0])}
    assert listed(explained(ranking=ranking).to_html())[:2] == ["<b>film</b> 1.00", "great 1.00"]


def test_effects_stand_with_their_sign_and_the_strongest_first() -> None:
    effects = {"text": np.array([0.1, -0.3, 0.2, 0.0, 0.0])}
    page = explained(effects=effects).to_html("effects")
    assert "<summary>Words and effects</summary>" in page
    assert listed(page)[:3] == ["great \N{MINUS SIGN}0.3", "<b>film</b> +0.2", "a +0.1"]


def test_a_long_text_makes_a_short_list_that_says_so() -> None:
    scores = np.linspace(0, 1, 400)
    page = explained([f"w{i} " for i in range(400)], scores).to_html()
    assert f"Words and scores, the first {LISTED} of 400<" in page
    assert len(listed(page)) == LISTED
    assert len(page) < 1.1 * len(re.sub("<details.*</details>", "", page))


def test_a_very_long_word_is_cut_in_the_list_and_no_word_hides() -> None:
    words = ["x" * 100_000 + " ", "\u202eevil"]
    lines = listed(explained(words, np.array([1.0, 0.5])).to_html())
    assert lines == ["x" * (LETTERS - 1) + "… 1.00", "[U+202E]evil 0.50"]


def test_a_word_from_right_to_left_keeps_its_number_behind_it() -> None:
    assert '<li><bdi lang="">שלום</bdi> 1.00</li>' in explained(["שלום"], np.array([1.0])).to_html()


def test_the_texts_of_pairs_and_of_the_live_page_have_the_list_too() -> None:
    pixels = np.zeros((4, 4, 1), dtype=np.float32)
    pair = Explanation(
        {"image": pixels[..., 0], "text": SCORES}, {"image": pixels, "text": WORDS}, 1, "match", 0.9
    )
    for page in (pair.to_html(), map_html(pair), map_html(explained())):
        assert page.count("<summary>Words and scores</summary>") == 1


def test_each_map_of_a_comparison_has_the_list_of_its_own_scores() -> None:
    sample = GridSample(WORDS, {"sidelight": SCORES, "occlusion": 1 - SCORES}, modality="text")
    worth = Worth({"zero": (0.9, "none")}, {"zero": (0.1, "none")}, None)
    contenders = tuple(Contender(name, 1.0, 1, 0, worth) for name in sample.maps)
    page = Comparison(explained(), contenders, (sample,), "positive", 0.9, 0.1, ("zero",)).to_html()
    assert page.count("<summary>Words and scores</summary>") == 2
    assert listed(page)[:1] == ["great 1.00"]
    assert listed(page)[4:6] == ["! 1.00", "a 0.80"]


def test_each_map_of_a_report_has_the_list_too() -> None:
    sample = GridSample(WORDS, {"sidelight": SCORES, "occlusion": 1 - SCORES}, modality="text")
    page = render_report(ReportData("t", sections=[ReportSection("films", "text", samples=[sample])]))
    assert page.count("<summary>Words and scores</summary>") == 2
    assert listed(page)[4:6] == ["! 1.00", "a 0.80"]


@pytest.mark.parametrize("words", [["a ", "great", " […]"], ["[…] ", "a ", "great"]])
def test_what_was_cut_off_is_no_word_with_a_score(words: list[str]) -> None:
    scores = np.array([0.5 * ("…" not in word) for word in words], dtype=np.float32)
    page = explained(words, scores, meta={"truncated": True}).to_html()
    assert "[…]" in page
    assert listed(page) == ["a 0.50", "great 0.50"]


def test_a_text_without_words_has_no_list() -> None:
    assert "<details" not in explained(["  "], np.zeros(1)).to_html()
