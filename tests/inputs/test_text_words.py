"""Words, offsets and highlights: the original string always comes back."""

from __future__ import annotations

import html
from html.parser import HTMLParser
from itertools import pairwise

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidelight.errors import InputError
from sidelight.inputs.tokenizing import Tokenizing
from sidelight.inputs.view import build_view
from sidelight.inputs.words import word_spans
from sidelight.viz.highlight import to_html
from sidelight.viz.safe_text import partition, visible
from text_models import CORPUS, TOKENIZERS, make_tokenizer

FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEW = settings(FAST, max_examples=20)
#: any string at all, and strings dense in what is hard
TEXT = st.text(max_size=40) | st.text(
    st.sampled_from(list("ab é́#@'.,!\n\t  \u200d\u200e\u202e\ufe0f☃👍🏽👩👧🇩🇪我们カタ\x00\x1bשלום١ﬁ")),
    max_size=30,
)
SPANS = st.lists(st.tuples(st.integers(-3, 45), st.integers(-3, 45), st.none() | st.floats(0, 1)), max_size=8)
RTL = "הסרט היה מצוין, فيلم رائع (5/5)"
SCRIPT = "<script>alert('x')</script> & \"quotes\" <img src=x onerror=alert(1)>"


class TestWordSpans:
    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("Don't stop-gap it!", ["Don't", "stop-gap", "it", "!"]),
            (
                "see https://a.b/c?d=1&e=(2), or www.x.org.",
                ["see", "https://a.b/c?d=1&e=(2", "),", "or", "www.x.org", "."],
            ),
            ("mail me@x.co.uk now", ["mail", "me@x.co.uk", "now"]),
            ("#NLProc @user_1 #été", ["#NLProc", "@user_1", "#été"]),
            ("10.5/10, 1,000 at 12:30", ["10.5", "/", "10", ",", "1,000", "at", "12:30"]),
            ("我喜欢 电影。", ["我", "喜", "欢", "电", "影", "。"]),
            ("カタカナ ひら", ["カタカナ", "ひ", "ら"]),
            ("👍🏽👨‍👩‍👧🇩🇪🇫🇷", ["👍🏽", "👨‍👩‍👧", "🇩🇪", "🇫🇷"]),
            ("cafe\u0301 naïve", ["cafe\u0301", "naïve"]),
            ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
            ("می‌خواهم", ["می‌خواهم"]),
            (RTL, ["הסרט", "היה", "מצוין", ",", "فيلم", "رائع", "(", "5", "/", "5", ")"]),
            ("wow!!! :-)", ["wow", "!!!", ":-)"]),
            ("", []),
            (" \n\t\u00a0\u3000", []),
        ],
    )
    def test_examples(self, text: str, words: list[str]) -> None:
        assert [text[a:b] for a, b in word_spans(text)] == words

    @FAST
    @given(TEXT)
    def test_every_visible_character_is_in_exactly_one_word(self, text: str) -> None:
        spans = word_spans(text)
        assert all(a < b for a, b in spans)
        assert all(b <= c for (_, b), (c, _) in pairwise(spans))
        covered = {i for a, b in spans for i in range(a, b)}
        assert all((i in covered) or c.isspace() for i, c in enumerate(text))


class TestViews:
    @pytest.mark.parametrize("kind", TOKENIZERS)
    @pytest.mark.parametrize(
        "text", [*CORPUS[:7], RTL, SCRIPT, "👨‍👩‍👧 é e\u0301 ﬁn ½ #tag https://x.org/a_b"]
    )
    def test_every_token_belongs_to_a_word(self, kind: str, text: str) -> None:
        view = Tokenizing(make_tokenizer(kind)).read([text]).views[0]
        owned = [t for w in view.words for t in w.tokens]
        features = [t for t, s in enumerate(view.segments) if s is not None]
        assert sorted(owned) == features
        assert all(w.tokens for w in view.words if view.word_text(w).isalnum())
        assert "".join(view.shown()) == text

    @pytest.mark.parametrize("kind", TOKENIZERS)
    def test_pieces_are_merged_and_the_highest_counts(self, kind: str) -> None:
        text = "unforgettable #mustsee 😀, straße"
        view = Tokenizing(make_tokenizer(kind)).read([text]).views[0]
        assert [view.word_text(w) for w in view.words] == ["unforgettable", "#mustsee", "😀", ",", "straße"]
        scores = torch.linspace(0, 1, len(view.pieces))
        values = view.word_scores(scores)
        for word, value in zip(view.words, values, strict=True):
            assert value == pytest.approx(max(scores[t].item() for t in word.tokens))
        assert len(view.words[0].tokens) > 1

    @pytest.mark.parametrize("kind", TOKENIZERS)
    def test_offsets_are_exact(self, kind: str) -> None:
        text = "great the  film\twas"
        view = Tokenizing(make_tokenizer(kind)).read([text]).views[0]
        words = {view.word_text(w): w for w in view.words}
        assert set(words) == {"the", "film", "was", "great"}
        for word in view.words:
            spans = [view.offsets[t] for t in word.tokens if view.offsets[t][1] > view.offsets[t][0]]
            assert min(a for a, _ in spans) == word.start
            assert max(b for _, b in spans) == word.end
        assert view.tokens_in([(11, 15)]) == [
            t in words["film"].tokens and b > a for t, (a, b) in enumerate(view.offsets)
        ]

    @pytest.mark.parametrize("kind", TOKENIZERS)
    @FAST
    @given(text=TEXT.filter(lambda t: t.strip()))
    def test_round_trip(self, kind: str, text: str) -> None:
        view = Tokenizing(make_tokenizer(kind)).read([text]).views[0]
        assert view.texts == (text,)
        for unit in ("word", "token"):
            spans = view.spans([0.5] * len(view.pieces), unit=unit)
            assert "".join(p.text for p in partition(text, spans)) == text
        if any(not c.isspace() for c in text):
            assert "".join(view.shown()) == text
        assert len(view.shown()) == len(view.shown_scores([0.5] * len(view.pieces)))

    @pytest.mark.parametrize("side", ["right", "left"])
    @pytest.mark.parametrize("kind", TOKENIZERS)
    @FEW
    @given(texts=st.lists(TEXT.filter(lambda t: t.strip()), min_size=2, max_size=3))
    def test_round_trip_in_a_batch(self, kind: str, side: str, texts: list[str]) -> None:
        tokenizing = Tokenizing(make_tokenizer(kind, padding_side=side))
        inputs = tokenizing.read(texts).tensors()
        real = inputs["attention_mask"].bool() & ~inputs["special_tokens_mask"].bool()
        for text, view, features in zip(texts, tokenizing.read(texts).views, real.tolist(), strict=True):
            assert "".join(view.shown()) == text
            assert [segment is not None for segment in view.segments] == features
            assert sorted(t for w in view.words for t in w.tokens) == [
                t for t, on in enumerate(features) if on
            ]
            assert all(0 <= a <= b <= len(text) for a, b in view.offsets)

    @pytest.mark.parametrize("kind", TOKENIZERS)
    @FEW
    @given(first=TEXT.filter(lambda t: t.strip()), second=TEXT.filter(lambda t: t.strip()))
    def test_round_trip_of_a_pair(self, kind: str, first: str, second: str) -> None:
        (view,) = Tokenizing(make_tokenizer(kind)).read([(first, second)]).views
        assert "".join(view.shown()) == f"{first}\n{second}"

    @pytest.mark.parametrize("kind", TOKENIZERS)
    @FEW
    @given(text=TEXT.filter(lambda t: t.strip()), length=st.integers(3, 12))
    def test_what_is_left_of_a_cut_text_is_its_beginning(self, kind: str, text: str, length: int) -> None:
        (view,) = Tokenizing(make_tokenizer(kind), max_length=length).read([text]).views
        shown = view.shown()
        assert len(view.pieces) <= length
        assert len(view.shown_scores([0.5] * len(view.pieces))) == len(shown)
        if view.truncated:
            assert shown[-1] == " […]"
            assert text.startswith("".join(shown[:-1]))
        else:
            assert "".join(shown) == text

    @pytest.mark.parametrize("kind", TOKENIZERS)
    def test_pairs(self, kind: str) -> None:
        view = Tokenizing(make_tokenizer(kind)).read([("great film", "a dull film")]).views[0]
        assert [(w.segment, view.word_text(w)) for w in view.words] == [
            (0, "great"),
            (0, "film"),
            (1, "a"),
            (1, "dull"),
            (1, "film"),
        ]
        assert "".join(view.shown()) == "great film\na dull film"
        assert [view.texts[1][a:b] for a, b, _ in view.spans([1.0] * len(view.pieces), 1)] == [
            "a",
            "dull",
            "film",
        ]

    def test_words_that_share_a_token_become_one(self) -> None:
        view = build_view(["我喜欢你"], ["我喜", "欢", "你"], [0, 0, 0], [(0, 2), (2, 3), (3, 4)])
        assert [view.word_text(w) for w in view.words] == ["我喜", "欢", "你"]
        view = build_view(["a b c"], ["a b", "c"], [0, 0], [(0, 3), (3, 5)])
        assert [(view.word_text(w), w.tokens) for w in view.words] == [("a b", (0,)), ("c", (1,))]

    def test_a_blank_piece_counts_for_the_word_it_precedes(self) -> None:
        view = build_view(["a 😀 "], ["a", " ", "😀", " "], [0, 0, 0, 0], [(0, 1), (1, 2), (2, 3), (3, 4)])
        assert [w.tokens for w in view.words] == [(0,), (1, 2, 3)]

    def test_cut_texts_say_so(self) -> None:
        view = (
            Tokenizing(make_tokenizer("wordpiece"), max_length=5)
            .read(["the film was great and charming"])
            .views[0]
        )
        assert view.truncated
        assert view.word_scores([0.5] * 5)[-1] is None
        assert view.shown()[-1] == " […]"
        assert view.shown_scores([0.5] * 5)[-1] == 0
        whole = Tokenizing(make_tokenizer("wordpiece"), max_length=60).read(["the film was great"]).views[0]
        assert not whole.truncated

    def test_padding_of_the_batch_is_counted(self) -> None:
        short, long = Tokenizing(make_tokenizer("byte_bpe")).read(["great", "the film was great"]).views
        assert len(short.pieces) == len(long.pieces)
        with pytest.raises(InputError, match=rf"each of {len(short.pieces)} tokens; got 2"):
            short.word_scores([0.1, 0.2])
        with pytest.raises(InputError, match="'word' or 'token'"):
            short.spans([0.0] * len(short.pieces), unit="line")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def read_html(source: str) -> _Reader:
    reader = _Reader()
    reader.feed(source)
    reader.close()
    return reader


class TestPartition:
    @FAST
    @given(TEXT, SPANS)
    def test_pieces_join_to_the_text(self, text: str, spans: list) -> None:
        pieces = partition(text, spans)
        assert "".join(p.text for p in pieces) == text
        assert all(p.text for p in pieces)

    def test_the_highest_score_wins_where_spans_overlap(self) -> None:
        pieces = partition("abcdef", [(0, 4, 0.2), (2, 6, 0.9), (2, 3, None)])
        assert [(p.text, p.score) for p in pieces] == [("ab", 0.2), ("c", 0.9), ("d", 0.9), ("ef", 0.9)]

    def test_unread_is_not_zero(self) -> None:
        pieces = partition("ab cd", [(0, 2, 0.0), (3, 5, None)])
        assert [(p.score, p.unread) for p in pieces] == [(0.0, False), (None, False), (None, True)]


class TestHighlights:
    @FAST
    @given(TEXT, SPANS)
    def test_html_shows_the_text_and_runs_nothing(self, text: str, spans: list) -> None:
        reader = read_html(to_html(text, spans))
        assert reader.text == visible(text)
        assert set(reader.tags) <= {"div", "span"}
        to_html(text, spans).encode("utf-8")

    def test_scripts_are_shown(self) -> None:
        source = to_html(SCRIPT, [(0, 8, 0.7), (8, len(SCRIPT), 0.1)])
        assert "<script" not in source
        assert "<img" not in source
        assert html.escape("<script>") in source
        assert 'dir="auto"' in source

    def test_control_characters_are_shown(self) -> None:
        assert visible("a\x00\x1b[31m\u202eb\ud800\ufeff") == "a␀␛[31m[U+202E]b[U+D800][U+FEFF]"
        assert visible("line\n\ttab \u200d\u200c\u200f") == "line\n\ttab \u200d\u200c\u200f"

    def test_right_to_left_text_keeps_its_order(self) -> None:
        spans = [(a, b, 0.5) for a, b in word_spans(RTL)]
        assert read_html(to_html(RTL, spans)).text == RTL

    def test_strength_follows_the_score(self) -> None:
        source = to_html("a b", [(0, 1, 0.25), (2, 3, 1.0)])
        assert "0.250)" in source
        assert "1.000)" in source
        assert "not read by the model" in to_html("a", [(0, 1, None)])
        assert "title" not in to_html("a b", [(0, 1, None), (2, 3, 0.5)], titles=False)
        nan = float("nan")
        assert "nan" not in to_html("a", [(0, 1, nan)])


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_ids_alone_are_spelled_readably(kind: str) -> None:
    tokenizer = make_tokenizer(kind)
    text = "the film was great but memorable"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert "".join(Tokenizing(tokenizer).spelled(ids)).strip() == text
    assert all(Tokenizing(tokenizer).spelled(tokenizer("😀", add_special_tokens=False)["input_ids"]))
