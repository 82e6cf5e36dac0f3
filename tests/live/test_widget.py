"""The widget from Python's side: its traits, what it refuses, and what is shown where no kernel runs."""

from __future__ import annotations

import copy
import gc
import json
import sys
from typing import Any

import numpy as np
import pytest
import torch

import pair_models
import text_models
from face_toys import beside, image_explainer, pair_explainer, pictures, text_explainer
from live_toys import HOSTILE, SIGNS, hostile_texts
from sidelight import Explainer, Explanation
from sidelight.errors import InputError, MissingPackageError
from sidelight.inputs.limits import Limits
from sidelight.targets import as_target

pytest.importorskip("anywidget", reason="the extra widget is not installed")

TEXT = "the story is charming and the film was dull"


@pytest.fixture(scope="module")
def texts() -> Explainer:
    return text_explainer()


def test_the_slider_moves_the_session(texts: Explainer) -> None:
    widget = texts.widget(TEXT)
    widget.share = 0.5
    expected = texts.live(TEXT).keep(0.5)
    assert widget.answer["probability"] == pytest.approx(expected.probability)
    assert widget.answer["stays"] == expected.stays["text"].tolist()
    assert widget.selection["words"] == np.flatnonzero(expected.stays["text"]).tolist()
    assert widget.selection["text"] == [TEXT.split()[w] for w in widget.selection["words"]]


def test_words_are_clicked_away(texts: Explainer) -> None:
    widget = texts.widget(TEXT)
    widget.removed = [0, 3]
    assert widget.selection["words"] == [1, 2, 4, 5, 6, 7, 8]
    widget.removed = []
    assert len(widget.selection["words"]) == 9


def test_a_typed_text_has_its_own_map(texts: Explainer) -> None:
    widget = texts.widget(TEXT)
    widget.removed = [1]
    widget.text = "a dull film"
    assert widget.view["words"] == ["a ", "dull ", "film"]
    np.testing.assert_allclose(widget.view["word_scores"], texts.explain("a dull film").map, atol=1e-4)
    assert widget.removed == []
    assert widget.error == ""


def test_a_typed_text_that_is_predicted_as_the_other_class_clears_the_choice() -> None:
    model, tokenizer = text_models.make_pair("bert")
    target = as_target(model, tokenizer)
    inputs = dict(target.reader.read(text_models.TEXTS).inputs)
    with torch.no_grad():
        model.classifier.bias -= target.encode(inputs).logits.mean(0)  # so that texts differ in their class
    own = beside(target, inputs, True)
    words = " ".join(text_models.TEXTS).split()
    by_class = {own.explain(word).prediction: word for word in words}
    (first, text), (second, other) = list(by_class.items())[:2]
    widget = own.widget(text, versus=second)
    assert (widget.target, widget.versus) == ("", str(second))
    widget.text = other  # whose map cannot be compared with its own class
    assert widget.session.asked == (None, None)
    assert (widget.target, widget.versus, widget.view["versus"], widget.error) == ("", "", "", "")
    widget.versus = str(first)
    assert widget.view["versus"] == own.target.id2label[first]


def test_classes_are_chosen(texts: Explainer) -> None:
    widget = texts.widget(TEXT)
    predicted = widget.explanation.prediction
    one, other = (k for k in range(3) if k != predicted)
    widget.target = str(one)
    assert widget.explanation.explained == one
    widget.versus = str(other)
    assert widget.explanation.versus == other
    np.testing.assert_allclose(
        widget.explanation.map, texts.explain(TEXT, target=one, versus=other).map, atol=1e-6
    )
    widget.versus = str(one)
    assert "is the class that is explained" in widget.error
    assert widget.explanation.versus == other


def test_what_is_refused_leaves_everything_and_is_told(texts: Explainer) -> None:
    widget = texts.widget(TEXT, limits=Limits(characters=100))
    for bad, said in (("", "empty"), ("x" * 101, "limit of 100"), ("  \n", "empty")):
        turn = widget.answer["turn"]
        widget.text = bad
        assert said in widget.error
        assert widget.error.endswith("What is shown is still of the input before.")
        assert widget.explanation.inputs["text"] == texts.explain(TEXT).inputs["text"]
        assert widget.answer["turn"] > turn  # a browser that waits must hear something
    widget.share = 2.0
    assert "share must be" in widget.error
    widget.text = "a film"
    assert widget.error == ""


def test_a_fill_is_chosen(texts: Explainer) -> None:
    widget = texts.widget(TEXT)
    widget.share = 0.4
    before = widget.answer["probability"]
    widget.fill = "mean"
    session = texts.live(TEXT, fill="mean")
    assert widget.answer["probability"] == pytest.approx(session.keep(0.4).probability)
    assert widget.answer["probability"] != before
    assert widget.fills[0] == "zero"


def test_pictures_bring_their_values() -> None:
    explainer = image_explainer()
    widget = explainer.widget(pictures(1)[0])
    assert widget.view["size"] == [32, 32]
    assert widget.view["image"].startswith("data:image/png;base64,")
    assert "words" not in widget.view
    widget.share = 0.25
    assert widget.selection["image"].sum() == 256
    assert widget.answer["image"].startswith("data:image/png;base64,")


def test_what_speaks_for_and_against_is_in_the_view(texts: Explainer) -> None:
    widget = texts.widget("a dull film")
    effects = texts.explain("a dull film").effects["text"]
    most = np.abs(effects).max()
    np.testing.assert_allclose(widget.view["word_strengths"], effects / most, atol=1e-3)
    assert f"Full colour: {most:.2g} of the probability." in widget.view["effects"]
    assert image_explainer().widget(pictures(1)[0]).view["effects_image"].startswith("data:image/png;base64,")


def test_pairs_have_both() -> None:
    widget = pair_explainer().widget(pair_models.pairs()[0])
    assert {"words", "image"} <= set(widget.view)
    widget.text = "two dogs on a beach"
    assert len(widget.view["words"]) == 5


def test_everything_sent_is_plain_data(texts: Explainer) -> None:
    for widget in (texts.widget(TEXT), image_explainer().widget(pictures(1)[0])):
        assert json.loads(json.dumps(widget.view)) == widget.view
        assert json.loads(json.dumps(widget.answer)) == widget.answer


def test_pages_without_a_kernel_show_the_explanation(texts: Explainer) -> None:
    widget = texts.widget(TEXT)
    data, _ = widget._repr_mimebundle_()
    assert data["text/html"] == widget.explanation.to_html()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert data["text/plain"].startswith("Explanation(")


def test_hostile_names_and_texts_are_neutral() -> None:
    widget = hostile_texts().widget(f"a film {HOSTILE}")
    shown = [widget.view["label"], widget.view["explained"], *widget.view["words"], *widget.view["classes"]]
    shown.append(widget.view["effects"])
    assert not any(sign in part for part in shown for sign in ("\x1b", "\u202e"))
    html = widget._repr_mimebundle_()[0]["text/html"]
    assert not any(sign in html for sign in SIGNS)


class TestFromAnExplanation:
    def test_it_opens_the_same_input_and_class(self, texts: Explainer) -> None:
        found = texts.explain(TEXT, target=2)
        widget = found.widget()
        np.testing.assert_allclose(widget.explanation.map, found.map, atol=1e-6)
        assert widget.target == ("" if found.prediction == 2 else "2")

    def test_one_of_a_list(self, texts: Explainer) -> None:
        found = texts.explain([TEXT, "a dull film"])
        assert found[1].widget().view["words"] == ["a ", "dull ", "film"]

    def test_a_copy_or_a_saved_one_says_what_to_call(self, texts: Explainer, tmp_path: Any) -> None:
        found = texts.explain(TEXT)
        found.save(tmp_path / "why")
        for other in (
            copy.deepcopy(found),
            Explanation.load(tmp_path / "why"),
            *texts.explain_stream([TEXT]),
        ):
            with pytest.raises(InputError, match=r"explainer\.widget\(sample\)"):
                other.widget()

    def test_it_keeps_no_explainer_in_memory(self) -> None:
        explainer = text_explainer()
        found = explainer.explain(TEXT)
        del explainer
        gc.collect()
        with pytest.raises(InputError, match="is gone"):
            found.widget()


def test_a_missing_package_is_named(texts: Explainer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(MissingPackageError, match=r"anywidget.*pip install 'sidelight\[widget\]'"):
        texts.widget(TEXT)
    with pytest.raises(MissingPackageError, match=r"pip install 'sidelight\[widget\]'"):
        texts.explain(TEXT).widget()


def test_the_view_is_one_file_that_loads_nothing() -> None:
    from sidelight.live.widget import FOLDER

    for name in ("widget.js", "widget.css"):
        content = (FOLDER / name).read_text(encoding="utf-8")
        assert not any(
            word in content for word in ("http:", "https:", "import ", "@import", "innerHTML", "eval(")
        )
