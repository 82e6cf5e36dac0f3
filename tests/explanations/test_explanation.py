"""Explanation: construction, pictures, HTML, and files that are whole or not there."""

from __future__ import annotations

import html
import json
import os
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from sidelight.errors import CheckpointError, InputError, SidelightError
from sidelight.explanations.explanation import Explanation
from sidelight.viz.style import HEAT


def explain(size=28, channels=1, scores=None, **changes) -> Explanation:
    rng = np.random.default_rng(0)
    values = rng.random((size, size)) if scores is None else scores
    fields = {
        "scores": {"image": values},
        "inputs": {"image": rng.random((size, size, channels))},
        "prediction": 3,
        "label": "three",
        "probability": 0.934,
        "probabilities": np.full(10, 0.1),
        "target": "tiny",
        "meta": {"seed": np.int64(1), "path": ("a", "b")},
    }
    return Explanation(**{**fields, **changes})


class Collector(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def test_map_is_the_only_modality():
    e = explain()
    assert e.map.shape == (28, 28)
    assert e.map.dtype == np.float32
    assert e.modalities == ("image",)


def test_map_refuses_several_modalities():
    both = Explanation(
        {"image": np.zeros((4, 4)), "text": np.zeros(2)},
        {"image": np.zeros((4, 4, 1)), "text": ["a", "b"]},
        0,
        "x",
        0.5,
    )
    with pytest.raises(InputError, match=r"image, text.*scores\['image'\]"):
        _ = both.map


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({}, "at least one modality"),
        ({"image": np.array([[0.0, np.nan]])}, "finite"),
        ({"image": np.array([[-0.5, 1.0]])}, r"\[0, 1\]; got -0.5 to 1"),
        ({"image": np.zeros((0, 4))}, "not empty"),
        ({"audio": np.zeros(4)}, "no display input for audio"),
    ],
)
def test_bad_scores_are_refused(scores, message):
    with pytest.raises(InputError, match=message):
        Explanation(scores, {"image": np.zeros((1, 2, 1))}, 0, "x", 0.5)


@pytest.mark.parametrize("size", [28, 224])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("fill", [0.0, 0.5, 1.0, None])
def test_plot_copes_with_every_map(size, channels, fill):
    explanation = explain(size, channels, None if fill is None else np.full((size, size), fill))
    figure = explanation.plot()
    figure.canvas.draw()
    shown = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    display = np.broadcast_to(explanation.inputs["image"], (size, size, 3))
    grey = display @ np.array([0.2126, 0.7152, 0.0722])
    weight = explanation.map[..., None]
    faded = weight * display + (1 - weight) * (0.64 + 0.26 * grey[..., None])
    coloured = 0.78 * colormaps[HEAT](explanation.map)[..., :3] + 0.22 * grey[..., None]
    for pixels, expected in zip(shown, (display, faded, coloured), strict=True):
        np.testing.assert_allclose(pixels, expected, atol=1e-6)


def test_plot_into_an_axis_and_a_figure():
    figure = Figure()
    ax = figure.add_subplot()
    assert explain().plot(ax, style="heat") is figure
    other = Figure(figsize=(6, 3))
    assert explain().plot(figure=other) is other


def test_plot_leaves_global_state_alone():
    import matplotlib

    before = dict(matplotlib.rcParams)
    explain().plot()
    assert dict(matplotlib.rcParams) == before


def test_plot_refuses_unknown_style_and_misfitting_scores():
    with pytest.raises(InputError, match="choose from dim, heat"):
        explain().plot(Figure().add_subplot(), style="rainbow")
    with pytest.raises(InputError, match=r"\(4, 4\).*\(28, 28, 1\)"):
        explain(scores=np.zeros((4, 4))).plot()


def test_a_label_with_dollars_is_not_mathematics():
    figure = explain(label="$\\frac{$ broken").plot()
    figure.canvas.draw()  # mathematics that cannot be parsed would raise
    drawn = [text.get_text().replace("\\$", "$") for text in figure.findobj(Text)]
    assert any("$\\frac{$ broken" in text for text in drawn)


def test_a_picture_says_of_which_class_its_map_is():
    for explained, meta, words in (
        (3, {}, ""),
        (3, {"explained_label": "three"}, ""),
        (5, {"explained_label": "<b>"}, "map of <b>"),
        (5, {}, "map of 5"),
        (3, {"explained_label": "three", "versus_label": "$8$"}, "map of three, not $8$"),
    ):
        e = explain(explained=explained, versus=8 if "versus_label" in meta else None, meta=meta)
        title = e.plot().get_suptitle()
        assert words.replace("$", r"\$") in title
        assert ("map of" in title) == bool(words)
        assert html.escape(words) in e.to_html()
        assert "<b>" not in e.to_html()


def test_html_escapes_and_is_self_contained():
    html = explain(label="<script>alert(1)</script>", target='"><img src=x>').to_html()
    parsed = Collector()
    parsed.feed(html)
    assert "script" not in parsed.tags
    assert "&lt;script&gt;" in html
    sources = [value for name, value in parsed.attributes if name in ("src", "href")]
    assert len(sources) == 3
    assert all(value and value.startswith("data:image/") for value in sources)


def test_round_trip(tmp_path):
    e = explain()
    picture, data = e.save(tmp_path / "deep" / "map")
    assert (picture.name, data.name) == ("map.png", "map.json")
    assert Image.open(picture).size[0] > 300
    back = Explanation.load(data)
    np.testing.assert_allclose(back.map, e.map, atol=1e-6)
    np.testing.assert_allclose(back.inputs["image"], e.inputs["image"], atol=1e-4)
    assert (back.prediction, back.label, back.target) == (3, "three", "tiny")
    assert back.probability == pytest.approx(0.934)
    assert back.meta == {"seed": 1, "path": ["a", "b"]}
    assert back.to_dict() == json.loads(data.read_text())


@pytest.mark.parametrize("name", ["map", "map.png", "map.json", "v1.2"])
def test_save_names(tmp_path, name):
    stem = name.removesuffix(".png").removesuffix(".json")
    explain().save(tmp_path / name)
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"{stem}.json", f"{stem}.png"]
    assert Explanation.load(tmp_path / name).label == "three"


def full_disk(*args, **kwargs):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("module", "function"), [("os", "replace"), ("pathlib", "write_bytes")])
def test_a_failed_save_keeps_the_old_files(tmp_path, monkeypatch, module, function):
    import pathlib

    old = explain(label="old")
    old.save(tmp_path / "map")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    monkeypatch.setattr(os if module == "os" else pathlib.Path, function, full_disk)
    with pytest.raises(CheckpointError, match="No space left") as caught:
        explain(label="new").save(tmp_path / "map")
    monkeypatch.undo()
    assert isinstance(caught.value, SidelightError)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    assert Explanation.load(tmp_path / "map").label == "old"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        ('{"format": "sidelight.expl', "not complete JSON"),
        ("[1, 2]", "holds list"),
        ('{"format": "other"}', "not a saved explanation"),
        ('{"format": "sidelight.explanation", "scores": {}}', "damaged"),
    ],
)
def test_load_says_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "map.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(CheckpointError, match=message):
        Explanation.load(path)


def test_repr_reads_well():
    assert repr(explain()) == "Explanation('three' 93.4%, image 28×28, by sidelight on tiny)"
