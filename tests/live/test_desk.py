"""What the page does, without the page: opening, moves, the gallery, downloads, other methods."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pair_models
from face_toys import image_explainer, pair_explainer, text_explainer
from live_toys import encoded, png
from sidelight import Explainer, Explanation
from sidelight.errors import ConfigError, MissingPackageError
from sidelight.inputs.limits import Limits
from sidelight.lab import compare
from sidelight.live import desk as desks
from sidelight.live.desk import Desk, Shown
from sidelight.live.gallery import Gallery, kept_minus_removed
from sidelight.targets import as_target

TEXTS = ["the story is charming", "a dull film", "what a wonderful day", "not so wonderful"]


@pytest.fixture(scope="module")
def explainers() -> dict[str, Explainer]:
    return {"texts": text_explainer(), "images": image_explainer(), "pairs": pair_explainer()}


@pytest.fixture
def desk(explainers: dict[str, Explainer]) -> Desk:
    galleries = {"texts": Gallery(explainers["texts"], TEXTS)}
    return Desk(explainers, galleries, compare)


def opened(desk: Desk, run: str = "texts") -> Shown:
    found = desk.open(run, png(), TEXTS[0])
    assert found.message == ""
    return found


def test_a_text_gives_verdict_and_map(desk: Desk, explainers: dict[str, Explainer]) -> None:
    found, expected = opened(desk), explainers["texts"].explain(TEXTS[0])
    assert f"<b>{expected.label}</b> {expected.probability:.1%}" in str(found.verdict)
    assert all(f'title="{score:.2f}"' in str(found.map) for score in expected.map)


def test_a_picture_and_a_pair(desk: Desk, explainers: dict[str, Explainer]) -> None:
    found = opened(desk, "images")
    expected = explainers["images"].explain(Image.open(io.BytesIO(png())))
    assert f"{expected.probability:.1%}" in str(found.verdict)
    assert str(found.map).count("<img") == 3 + 2, (
        "the input, two styles of the map, and below the input with effects"
    )
    both = opened(desk, "pairs")
    assert "charming" in str(both.map)
    assert str(both.map).count("<img") == 3 + 2, (
        "the input, two styles of the map, and below the input with effects"
    )


def test_the_slider_asks_the_classifier_again(desk: Desk, explainers: dict[str, Explainer]) -> None:
    found = desk.keep(opened(desk).token, 0.5)
    expected = explainers["texts"].live(TEXTS[0]).keep(0.5)
    assert f"<b>{expected.label}</b> {expected.probability:.1%}" in str(found.left)
    assert found.verdict is None  # stays as it is
    assert "▢" in str(found.left)


def test_another_class_and_fill(desk: Desk, explainers: dict[str, Explainer]) -> None:
    token = opened(desk).token
    asked = desk.ask(token, "2", "0")
    names = explainers["texts"].target.id2label
    assert f"Map of {names[2]}, not {names[0]}" in str(asked.map)
    assert "is the class that is explained" in desk.ask(token, "1", "1").message
    token = opened(desk, "images").token
    before = desk.keep(token, 0.3).left
    assert desk.fill(token, "blur").left != before


def test_a_text_that_is_typed(desk: Desk) -> None:
    more = ("", "", "zero", 1.0)
    token = opened(desk).token
    assert desk.typed("texts", None, TEXTS[0], *more, token) == Shown()  # explained already
    assert desk.typed("texts", None, "  ", *more, token) == Shown()
    assert desk.typed("pairs", None, "a film", *more, token) == Shown()  # its picture is missing
    found = desk.typed("texts", None, "a dull film", *more, token)
    assert found.token == token
    assert "dull" in str(found.map)


def test_the_certificate_on_demand(desk: Desk, explainers: dict[str, Explainer]) -> None:
    found = desk.certify(opened(desk).token)
    measured = explainers["texts"].explain(TEXTS[0], verify=True).meta["certificate"]
    assert all(f"<td>{c['kept']:.3f}</td>" in str(found.certificate) for c in measured)


def test_what_speaks_for_and_against_the_class_is_folded_up_below_the_map(
    desk: Desk, explainers: dict[str, Explainer]
) -> None:
    shown, found = str(opened(desk).map), explainers["texts"].explain(TEXTS[0])
    assert f"<summary>For and against {found.explained_label}</summary>" in shown
    assert found.effects is not None
    most = float(np.abs(found.effects["text"]).max())
    assert f"Full colour: {most:.2g} of the probability" in shown
    assert shown.count("<details") == 1 + 2  # and a list of words below each text


def test_other_methods_on_demand(desk: Desk) -> None:
    found = desk.rivals(opened(desk).token, ["saliency", "random"])
    assert {"Saliency", "ms", "passes"} <= set(re.findall(r"\w+", str(found.rivals)))
    assert "choose at least one method" in desk.rivals(opened(desk).token, ["rm -rf"]).message


def test_other_methods_beside_a_map_of_two_classes_say_which_class_is_theirs(
    desk: Desk, explainers: dict[str, Explainer]
) -> None:
    token, names = opened(desk).token, explainers["texts"].target.id2label
    assert "compares" not in str(desk.rivals(token, ["random"]).rivals)
    desk.ask(token, "2", "0")
    told = str(desk.rivals(token, ["random"]).rivals)
    assert (
        f"The map above compares {names[2]} with {names[0]}. The maps here, ours too, are of {names[2]} alone."
        in told
    )


def test_other_methods_need_the_laboratory(explainers: dict[str, Explainer]) -> None:
    desk = Desk(explainers)
    found = desk.rivals(opened(desk).token, ["saliency"])
    assert "pip install &#x27;sidelight[lab]&#x27;" in found.message


class TestGallery:
    def test_worst_comes_first(self, desk: Desk, explainers: dict[str, Explainer]) -> None:
        expected = {}
        for number, text in enumerate(TEXTS):
            found = explainers["texts"].explain(text, verify=True).meta["certificate"]
            expected[str(number)] = np.mean([c["kept"] - c["lost"] for c in found])
        shown, choices = desk.examples("texts", "worst first")
        numbers = [number for _, number in choices]
        assert numbers == sorted(expected, key=lambda n: expected[n])
        assert [n for _, n in desk.examples("texts", "best first")[1]] == numbers[::-1]
        assert shown.count("<figure class=") == 4

    def test_an_example_is_opened(self, desk: Desk) -> None:
        found = desk.example("texts", 1)
        assert found.text == TEXTS[1]
        assert "dull" in str(found.map)
        assert "there is no example 9" in desk.example("texts", 9).message

    def test_an_example_of_pictures_brings_its_picture(self, explainers: dict[str, Explainer]) -> None:
        own = explainers["pairs"]
        desk = Desk({"pairs": own}, {"pairs": Gallery(own, pair_models.pairs())})
        found = desk.example("pairs", 0)
        assert isinstance(found.picture, Image.Image)
        assert found.text == pair_models.pairs()[0][1]

    def test_stored_explanations(self, explainers: dict[str, Explainer], tmp_path: Path) -> None:
        own = explainers["images"]
        own.explain(Image.open(_file(tmp_path)), verify=True).save(tmp_path / "why")
        stored = [Explanation.load(tmp_path / "why"), own.explain(Image.open(_file(tmp_path)))]
        gallery = Gallery(own, stored)
        first, second = gallery.sorted("best first")
        assert first.difference == kept_minus_removed(stored[0])
        assert f"kept − removed {first.difference:+.2f}" in first.caption
        assert second.difference is None
        assert first.sample.size == (32, 32)
        assert "not measured" in second.caption

    def test_a_run_without_examples(self, desk: Desk) -> None:
        shown, choices = desk.examples("images", "worst first")
        assert "no stored examples" in shown
        assert choices == []


def _file(folder: Path) -> Path:
    (folder / "photo.png").write_bytes(png())
    return folder / "photo.png"


def test_files_to_download(desk: Desk) -> None:
    token = opened(desk, "images").token
    files = [Path(name) for name in desk.files(token)]
    assert [f.suffix for f in files] == [".png", ".svg", ".html", ".json"]
    contents = [f.read_bytes() for f in files]
    assert contents[0].startswith(b"\x89PNG")
    assert b"<svg" in contents[1]
    assert contents[2].startswith(b"<!doctype html>")
    loaded = Explanation.from_dict(json.loads(contents[3]))
    assert loaded.map.shape == (32, 32)
    assert desk.files("nobody") == []


def test_downloads_do_not_tell_where_the_classifier_lies(
    explainers: dict[str, Explainer], tmp_path: Path
) -> None:
    """They held the path of its folder, and with it names of users and projects."""
    folder, own = tmp_path / "films", explainers["texts"]
    own.target.model.save_pretrained(folder)
    target = as_target(folder, own.target.reader.tokenizer)
    desk = Desk({"texts": Explainer(target, own.scorer)})
    contents = [Path(name).read_bytes() for name in desk.files(opened(desk).token)]
    assert json.loads(contents[3])["target"] == "films"
    assert not any(str(tmp_path).encode() in content for content in contents)


def test_old_downloads_go(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "MOST_FOLDERS", 2)
    token = opened(desk).token
    made = [Path(desk.files(token)[0]).parent for _ in range(4)]
    assert [folder.is_dir() for folder in made] == [False, False, True, True]
    desk.close()
    assert not any(folder.exists() for folder in made)


def test_old_sessions_go(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desks, "MOST_SESSIONS", 2)
    tokens = [opened(desk).token for _ in range(3)]
    assert "Press Explain first" in desk.keep(tokens[0], 0.5).message
    assert desk.keep(tokens[2], 0.5).message == ""
    again = desk.open("texts", None, TEXTS[1], token=tokens[2])
    assert again.token == tokens[2]  # one session for each open page


def test_a_token_that_somebody_invents_is_not_taken(desk: Desk) -> None:
    assert desk.open("texts", None, TEXTS[0], token="mine").token != "mine"


def test_missing_parts_are_named(desk: Desk) -> None:
    assert "the text is empty" in desk.open("texts", None, None).message
    assert "there is no picture" in desk.open("images", None, "words").message
    assert "there is no picture" in desk.open("pairs", None, "words").message
    assert "there is no run" in desk.open("other", None, "words").message
    assert "there is no run" in desk.examples("other", "worst first")[0]


def test_a_refused_input_says_that_the_answer_is_of_the_input_before(desk: Desk) -> None:
    said = "What is shown is still of the input before."
    token = opened(desk).token
    for refused in (
        desk.open("texts", None, "  ", token=token),
        desk.example("texts", 9, token=token),
        desk.open("images", b"<html>", None, token=token),
    ):
        assert said in refused.message
        assert refused.verdict is refused.map is None, "the page keeps what it shows"
    assert said not in desk.open("texts", None, "  ").message
    assert said not in desk.ask(token, "1", "1").message


def test_a_long_name_that_a_bar_cuts_is_read_whole(desk: Desk) -> None:
    """Names of a thousand classes often begin alike, and a bar shows the first words alone."""
    assert 'class="sl-name" title="LABEL_1">LABEL_1<' in (opened(desk).verdict or "")


def test_choices(desk: Desk, explainers: dict[str, Explainer]) -> None:
    assert desk.runs == ["texts", "images", "pairs"]
    assert desk.classes("images") == [("cat", "0"), ("dog", "1"), ("cow", "2"), ("hen", "3")]
    assert desk.fills("images") == ["zero", "black", "mean", "blur", "noise"]
    assert Desk({"one": text_explainer(by_class=False)}).classes("one") == []
    with pytest.raises(ConfigError, match="at least one explainer"):
        Desk({})


def test_limits_are_numbers() -> None:
    with pytest.raises(ConfigError, match="the limit pixels must be a whole number"):
        Limits(pixels=0)
    assert Limits().picture(encoded(Image.new("RGB", (8, 8)), "JPEG")).size == (8, 8)


def test_a_missing_package_is_named(
    explainers: dict[str, Explainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(MissingPackageError, match=r"gradio.*pip install 'sidelight\[app\]'"):
        explainers["texts"].demo()
