"""One input, several methods: the numbers against slow references, the table, the picture and the files."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import spearmanr

import sidelight
from face_toys import image_explainer, pair_explainer, pictures, pixels, text_explainer
from pair_models import pairs
from sidelight.errors import ConfigError, ForeignFileError, InputError, InputTypeError, UnknownNameError
from sidelight.lab import compare
from sidelight.lab.baselines import make_rival
from sidelight.lab.side_by_side.passes import counted_passes
from sidelight.lab.side_by_side.result import Comparison
from sidelight.lab.tables.html import html_table
from sidelight.lab.tables.table import Cell, Column, Line, Table
from text_models import TEXTS

METHODS = ["integrated_gradients", "occlusion", "random"]


@pytest.fixture(autouse=True, scope="module")
def once() -> Iterator[None]:
    """Methods are timed once: no test depends on how long they take."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sidelight.lab.side_by_side.passes.REPEATS", 1)
        yield


@pytest.fixture(scope="module")
def explainer() -> sidelight.Explainer:
    return image_explainer()


@pytest.fixture(scope="module")
def found(explainer: sidelight.Explainer) -> Comparison:
    return compare(explainer, pictures(1)[0], METHODS, area=0.1)


def by_hand(
    explainer: Any, inputs: Any, order: np.ndarray, label: int, area: float, fill: str
) -> tuple[float, float]:
    """Probability with the top features alone, and without them, one mask at a time."""
    target = explainer.target
    mask = target.feature_mask(inputs)
    flat = torch.cat([m.flatten() for m in mask.values()]).numpy()
    count = max(1, int(np.floor(area * flat.sum() + 0.5)))
    top = np.argsort(-np.where(flat, order, -np.inf), kind="stable")[:count]
    chosen = np.zeros(len(flat), dtype=bool)
    chosen[top] = True
    out = []
    for keep in (chosen, ~chosen):
        scores, start = {}, 0
        for name, m in mask.items():
            part = keep[start : start + m.numel()] | ~m.flatten().numpy()
            scores[name] = torch.from_numpy(part.astype(np.float32)).view(m.shape)
            start += m.numel()
        with torch.no_grad():
            out.append(float(target.classify(inputs, scores, fill, seeds=[0]).softmax(-1)[0, label]))
    return out[0], out[1]


def test_kept_and_lost_are_those_of_single_masks(explainer: Any, found: Comparison) -> None:
    inputs = explainer.target.reader.read([pictures(1)[0]]).inputs
    encoding = explainer.target.encode(inputs)
    reading = explainer.read(encoding)
    label = int(encoding.prediction[0])
    raw = make_rival("integrated_gradients")(explainer.target, inputs, encoding.prediction)["image"]
    flat = raw.flatten().numpy()
    # occlusion is not among them: its windows tie, and ties are broken at random
    orders = {
        "sidelight": [reading.ranking["image"].flatten().numpy()],
        "integrated_gradients": [flat, np.abs(flat)],
    }
    rows = {row["method"]: row for row in found.rows()}
    assert found.fills == ("zero", "blur")
    for name, own in orders.items():
        for fill in found.fills:
            values = [by_hand(explainer, inputs, order, label, 0.1, fill) for order in own]
            assert rows[name]["kept"][fill] == pytest.approx(max(k for k, _ in values), abs=1e-4)
            assert rows[name]["lost"][fill] == pytest.approx(min(v for _, v in values), abs=1e-4)
    assert found.clean == pytest.approx(float(encoding.probabilities[0, label]), abs=1e-5)


def test_agreement_is_spearmans(explainer: Any, found: Comparison) -> None:
    inputs = explainer.target.reader.read([pictures(1)[0]]).inputs
    encoding = explainer.target.encode(inputs)
    ours = explainer.read(encoding).ranking["image"].flatten().numpy()
    raw = make_rival("integrated_gradients")(explainer.target, inputs, encoding.prediction)["image"]
    row = next(r for r in found.rows() if r["method"] == "integrated_gradients")
    assert row["agreement"] == pytest.approx(spearmanr(ours, raw.flatten().numpy())[0], abs=1e-4)
    assert found.rows()[0]["agreement"] is None


def test_passes_are_counted(found: Comparison) -> None:
    """A window of 5 pixels every 2 pixels covers 32 pixels at 15 places a side."""
    counted = {r["method"]: (r["passes"], r["with_graph"]) for r in found.rows()}
    windows = (1 + int(np.ceil((32 - 5) / 2))) ** 2
    assert counted["sidelight"] == (1, 0)
    assert counted["random"] == (1, 0)
    assert counted["occlusion"] == (1 + 1 + windows, 0)
    steps = make_rival("integrated_gradients").n_steps  # type: ignore[attr-defined]
    assert counted["integrated_gradients"] == (1 + steps, steps)


@pytest.mark.parametrize("make", [image_explainer, text_explainer, pair_explainer])
def test_every_family_counts_each_pass_once(make: Any) -> None:
    explainer = make()
    samples: Any = {"image": list(pixels(3)), "text": TEXTS, "image+text": pairs()}[
        "+".join(explainer.target.modalities)
    ]
    inputs = explainer.target.reader.read(samples).inputs
    explainer.target.encode(inputs)  # settles the layout of states
    with counted_passes(explainer.target) as passes:
        encoding = explainer.target.encode(inputs)
        explainer.read(encoding)
    assert (passes.count, passes.with_graph) == (3, 0)
    with counted_passes(explainer.target) as passes:
        scores = {m: torch.ones(v.shape, requires_grad=True) for m, v in encoding.feature_mask.items()}
        explainer.target.classify(inputs, scores)
    assert (passes.count, passes.with_graph) == (3, 3)
    assert "read" not in vars(explainer.target.verdict)


def test_the_table_marks_the_best_and_tells_signs(found: Comparison) -> None:
    table = found.table
    assert [line.name for line in table.lines] == ["sidelight", *METHODS]
    assert [line.kind for line in table.lines] == ["ours", "rival", "rival", "control"]
    kept = [line.cells[2] for line in table.lines]
    best = max(range(3), key=lambda i: round(kept[i].mean, 3))  # type: ignore[union-attr]
    assert kept[best].rank == 1  # type: ignore[union-attr]
    assert kept[3].rank is None  # type: ignore[union-attr]
    assert {c.reduction for c in table.lines[1].cells[2:6] if c} <= {"abs", "positive"}
    text = str(found)
    assert "| **sidelight** |" in text
    assert "kept, blur ↑" in text
    assert re.search(r"\d+∇", text)
    assert "Signed maps are read" in text
    assert "top 10%" in text


@pytest.mark.parametrize(("make", "sample"), [(text_explainer, TEXTS[1]), (pair_explainer, pairs()[1])])
def test_texts_and_pairs(make: Any, sample: Any, tmp_path: Path) -> None:
    explainer = make()
    found = compare(explainer, sample, METHODS, area=0.3)
    assert [s.modality for s in found.samples] == list(explainer.target.modalities)
    for part in found.samples:
        expected = explainer.explain(sample).scores[part.modality]
        np.testing.assert_allclose(part.maps["sidelight"], expected, atol=1e-5)
        assert all(np.shape(m) == expected.shape for m in part.maps.values())
    assert found.save(tmp_path / "why.png").is_file()
    assert Image.open(tmp_path / "why.png").size[0] > 100
    html = found._repr_html_()
    for part in found.samples:
        if part.modality == "text":
            assert all(word.strip() in re.sub("<[^>]*>", "", html) for word in part.display)
    inputs = explainer.target.reader.read([sample]).inputs
    label = int(explainer.target.encode(inputs).prediction[0])
    reading = explainer.read(explainer.target.encode(inputs))
    order = np.concatenate([v.flatten().numpy() for v in reading.ranking.values()])
    for fill in found.fills:
        kept, lost = by_hand(explainer, inputs, order, label, 0.3, fill)
        assert found.rows()[0]["kept"][fill] == pytest.approx(kept, abs=1e-4)
        assert found.rows()[0]["lost"][fill] == pytest.approx(lost, abs=1e-4)


def test_another_class_may_be_explained(explainer: Any) -> None:
    picture = pictures(1)[0]
    found = compare(explainer, picture, ["saliency"], target="second")
    second = explainer.explain(picture, target="second")
    assert found.label == second.explained_label
    assert found.clean == pytest.approx(second.probabilities[second.explained], abs=1e-5)
    np.testing.assert_allclose(found.samples[0].maps["sidelight"], second.map, atol=1e-5)
    inputs = explainer.target.reader.read([picture]).inputs
    raw = make_rival("saliency")(explainer.target, inputs, torch.tensor([second.explained]))["image"][0, 0]
    np.testing.assert_allclose(found.samples[0].maps["saliency"], raw.numpy(), atol=1e-5)


def test_a_screen_reader_hears_the_class_of_the_map(explainer: Any) -> None:
    found = compare(explainer, pictures(1)[0], ["saliency"], target="second")
    said = re.findall('alt="([^"]+)"', found.to_html())
    assert said == ["input", f"sidelight for {found.label}", f"Saliency for {found.label}"]
    assert found.label != found.explanation.label
    assert "\u202e" not in dataclasses.replace(found, label="\u202egod").to_html()


def test_forms_of_a_sample(explainer: Any, found: Comparison, tmp_path: Path) -> None:
    pictures(1)[0].save(tmp_path / "photo.png")
    inputs = dict(explainer.target.reader.read([pictures(1)[0]]).inputs)
    for sample in (str(tmp_path / "photo.png"), {"image": pictures(1)[0]}, inputs):
        again = compare(explainer, sample, ["random"], area=0.1)
        assert again.rows()[0]["kept"] == pytest.approx(found.rows()[0]["kept"], abs=1e-5)


def test_files(found: Comparison, tmp_path: Path) -> None:
    for ending in (".png", ".svg", ".pdf", ".html", ".md"):
        place = tmp_path / f"why{ending}"
        assert found.save(place) == place
        assert place.stat().st_size > 500
        found.save(str(place))  # ours may be replaced
    page = (tmp_path / "why.html").read_text()
    assert page.count("<img") == 5
    assert '<html lang="en">' in page
    assert "Integrated Gradients" in page
    (tmp_path / "mine.png").write_bytes(b"mine")
    with pytest.raises(ForeignFileError):
        found.save(tmp_path / "mine.png")
    assert (tmp_path / "mine.png").read_bytes() == b"mine"
    with pytest.raises(InputError, match=r"written as \.png.*'.*why\.jpg'"):
        found.save(tmp_path / "why.jpg")


def test_every_text_is_escaped(found: Comparison) -> None:
    evil = "<script>alert(1)</script>"
    sample = dataclasses.replace(found.samples[0], label=evil, maps={evil: found.samples[0].maps["random"]})
    changed = dataclasses.replace(found, label=evil, samples=(sample,), notes=(f"{evil} is left out",))
    for html in (changed._repr_html_(), changed._page()):
        assert "<script" not in html
        assert "&lt;script&gt;" in html
    in_markdown = str(dataclasses.replace(changed, label=f"{evil}\n# two lines"))
    assert "<script" not in in_markdown
    assert "\n#" not in in_markdown
    changed.figure()
    dollars = dataclasses.replace(found, label="$\\frac$")
    dollars.figure().canvas.draw()


def test_arrows_of_a_html_table_are_said_in_words_too() -> None:
    columns = (Column("lost", "lost", "lower", fill="zero"), Column("ms"))
    head = html_table(Table("", columns, ()))
    assert re.findall(r'>lost <span aria-hidden="true">↓</span><span [^>]*>([^<]*)</span> zero<', head) == [
        "lower is better"
    ]


def test_html_of_a_table_by_hand() -> None:
    cells = (Cell("1 < 2", rank=1), None, Cell("3", "±0.1", 2, reduction="abs"))
    lines = (Line("ours", "A & B", cells, "ours"), Line("x", "x", (), "block"))
    html = html_table(Table("T>", (Column("a", left=True), Column("b"), Column("c")), lines))
    assert "<caption>T&gt;</caption>" in html
    assert "<strong>A &amp; B</strong>" in html
    assert "<strong>1 &lt; 2</strong></td>" in html
    assert "<u>3</u>&nbsp;±0.1&nbsp;|·|</td>" in html
    assert html.count("<td") == 6


def test_a_method_that_cannot_explain_is_left_out_with_its_reason(
    explainer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    found = compare(explainer, pictures(1)[0], ["attention_rollout", "random"])
    assert [r["method"] for r in found.rows()] == ["sidelight", "random"]
    (note,) = found.notes
    assert note.startswith("Attention Rollout is left out: ")
    assert note in caplog.text
    assert note in str(found)
    text = compare(text_explainer(), TEXTS[0], ["grad_cam"])
    assert "explains image only" in text.notes[0]


def test_options_of_methods_and_fills(explainer: Any) -> None:
    few = [{"integrated_gradients": {"n_steps": 3}}, make_rival("rise", n_masks=7)]
    found = compare(explainer, pictures(1)[0], few, fills=["mean"], area=1.0)
    assert {r["method"]: r["passes"] for r in found.rows()} == {
        "sidelight": 1,
        "integrated_gradients": 4,
        "rise": 8,
    }
    assert [c.label for c in found.table.columns][2:4] == ["kept, mean", "lost, mean"]
    # all features are kept, so nothing is removed
    assert all(r["kept"]["mean"] == pytest.approx(found.clean, abs=1e-5) for r in found.rows())


def test_bad_calls_are_named(explainer: Any) -> None:
    picture = pictures(1)[0]
    with pytest.raises(InputTypeError, match="Explainer"):
        compare(explainer.target, picture)
    with pytest.raises(InputError, match="one input is compared at a time"):
        compare(explainer, pictures(2))
    with pytest.raises(InputError, match="the mapping holds 2"):
        compare(explainer, {"pixel_values": pixels(2)})
    with pytest.raises(UnknownNameError, match="Did you mean 'occlusion'"):
        compare(explainer, picture, ["oclusion"])
    with pytest.raises(ConfigError, match="'random' is given twice"):
        compare(explainer, picture, ["random", "random"])
    with pytest.raises(ConfigError, match="fills names 'zero' and 'zero', which are the same"):
        compare(explainer, picture, ["random"], fills=["zero", "zero"])
    with pytest.raises(ConfigError, match="must be a list of names"):
        compare(explainer, picture, "random")
    for method in (None, ("random",)):
        with pytest.raises(ConfigError, match=r"methods must be a list of names.*it holds"):
            compare(explainer, picture, [method])  # type: ignore[list-item]
    for fills in ("zero", 3, [None], ["zero", ["mean"]]):
        with pytest.raises(ConfigError, match="fills must be a list of names"):
            compare(explainer, picture, ["random"], fills=fills)  # type: ignore[arg-type]
    for area in (0, 1.1, True, "half", float("nan")):
        with pytest.raises(ConfigError, match="area must be a share"):
            compare(explainer, picture, ["random"], area=area)
    with pytest.raises(UnknownNameError, match="fill"):
        compare(explainer, picture, ["random"], fills=["blurr"])
    with pytest.raises(ConfigError, match="predicted class only"):
        compare(image_explainer(by_class=False), picture, ["random"], target=1)


def test_a_scorer_of_the_thesis_is_ranked_by_its_map() -> None:
    explainer = image_explainer(by_class=False)
    picture = pictures(1)[0]
    found = compare(explainer, picture, ["random"], fills=["zero"])
    inputs = explainer.target.reader.read([picture]).inputs
    encoding = explainer.target.encode(inputs)
    scores = explainer.read(encoding).scores["image"].flatten().numpy()
    if len(np.unique(scores)) == len(scores):
        kept, _ = by_hand(explainer, inputs, scores, int(encoding.prediction[0]), 0.2, "zero")
        assert found.rows()[0]["kept"]["zero"] == pytest.approx(kept, abs=1e-4)
    assert found.explanation.ranking is not None


def test_the_library_points_to_the_laboratory() -> None:
    with pytest.raises(AttributeError, match=r"from sidelight\.lab import compare"):
        _ = sidelight.compare  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="no attribute 'contrast'"):
        _ = sidelight.lab.contrast  # type: ignore[attr-defined]


def test_the_page_says_how_its_maps_are_drawn(found: Comparison) -> None:
    page = found.to_html()
    assert "from its lowest score (0) to its highest (1); brightest: a score of 1." in page
    assert "Of a method with signs the positive part is drawn." in page  # Integrated Gradients
