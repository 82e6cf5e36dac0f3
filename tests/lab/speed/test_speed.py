"""Peak memory is a method's own, whatever ran before it; when a training has paid for itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from pair_models import make_target
from sidelight.cli.app import app
from sidelight.core.files import write_json
from sidelight.errors import ConfigError, InputError
from sidelight.explainer import Explainer
from sidelight.lab.speed.measure import SpeedRow, break_even, measure_speed, peak_memory, time_zoo
from sidelight.lab.speed.subjects import RANDOM_INPUTS, speed_subject, training_seconds
from sidelight.scorers import Scorer


@pytest.mark.skipif(not sys.platform.startswith("linux") or torch.cuda.is_available(), reason="reads RSS")
def test_an_earlier_peak_does_not_hide_a_later_one() -> None:
    found, pins = [], []
    for _ in range(3):
        with peak_memory() as peak:
            blocks = [torch.ones(2**14) for _ in range(3000)]  # 190 MB in pieces that malloc keeps
            pins.append(torch.ones(2**10))  # ... also because something above them stays in use
            del blocks
        found.append(peak.mb)
    assert min(found) > 150


def row(method: str, batch: int, explain_ms: float) -> SpeedRow:
    return SpeedRow(method, batch, 5.0, explain_ms, explain_ms / 5, 1.0, 3)


def test_break_even_by_hand() -> None:
    """60 s of training; alone 100 − 10 = 90 ms are saved an explanation, in eights (400 − 40) / 8 = 45 ms."""
    rows = [row("sidelight", 1, 10), row("ig", 1, 100), row("sidelight", 8, 40), row("ig", 8, 400)]
    found = break_even(rows, 60.0)
    assert [(b.method, b.batch, b.saved_ms, b.explanations) for b in found] == [
        ("ig", 1, 90.0, 667),  # 666.7
        ("ig", 8, 45.0, 1334),  # 1333.3
    ]
    at = found[0].explanations
    assert at is not None
    assert 60 + 0.010 * at <= 0.100 * at
    assert 60 + 0.010 * (at - 1) > 0.100 * (at - 1)


def test_a_rival_that_is_no_slower_is_never_overtaken() -> None:
    rows = [row("sidelight", 1, 10), row("random", 1, 10), row("constant", 1, 6)]
    assert [(b.saved_ms, b.explanations) for b in break_even(rows, 1.0)] == [(0.0, None), (-4.0, None)]
    assert break_even([rows[0], row("slow", 1, 11)], 0.0)[0].explanations == 0


def test_break_even_refuses_what_it_cannot_compare() -> None:
    with pytest.raises(InputError, match="batch 8"):
        break_even([row("sidelight", 1, 1), row("ig", 8, 9)], 1.0)
    for seconds in (-1.0, float("nan")):
        with pytest.raises(InputError, match="training_seconds"):
            break_even([], seconds)


def test_training_time_is_the_mean_over_seeds(tmp_path: Path) -> None:
    assert training_seconds(str(tmp_path)) is None
    write_json(
        tmp_path / "fit.json", {"scorers": {"0": {"train_runtime": 10.0}, "1": {"train_runtime": 14.0}}}
    )
    assert training_seconds(str(tmp_path)) == 12.0
    write_json(tmp_path / "fit.json", {"scorers": {}})
    assert training_seconds(str(tmp_path)) is None


def test_a_folder_of_a_pair_model_is_timed_as_one(tmp_path: Path) -> None:
    target = make_target("fusion-vit")
    target.model.save_pretrained(tmp_path)
    target.reader.save(tmp_path)
    explainer, inputs = speed_subject(str(tmp_path), 2, 6)
    assert list(explainer.target.modalities) == ["image", "text"]
    assert {k: len(v) for k, v in inputs.items()} == dict.fromkeys(inputs, 2)
    assert set(explainer.attribute(inputs)[1]) == {"image", "text"}


@pytest.mark.parametrize("inside", ["", "scorer"])
def test_a_scorer_is_no_classifier(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).mkdir(exist_ok=True)
    (tmp_path / inside / "scorer.safetensors").touch()
    write_json(tmp_path / inside / "config.json", {"format": "sidelight.scorer"})
    with pytest.raises(InputError, match="holds a scorer: give the folder of its run"):
        speed_subject(str(tmp_path), 1)


def test_pairs_are_timed_on_random_pictures_and_words() -> None:
    target = make_target("fusion-vit")
    inputs = RANDOM_INPUTS[target.family](target, 3, 6)
    assert (inputs["pixel_values"].shape, inputs["input_ids"].shape) == ((3, 3, 32, 32), (3, 6))
    assert target.feature_mask(inputs)["text"].sum(1).tolist() == [4, 4, 4]  # without [CLS] and [SEP]
    rows = measure_speed(Explainer(target, Scorer(target.spec(inputs))), inputs, batches=[1, 3], repeats=1)
    assert [(r.method, r.batch) for r in rows] == [("sidelight", 1), ("sidelight", 3)]
    assert all(0 < r.classify_ms < 60_000 and r.ratio > 0 for r in rows)


def test_the_zoo_is_timed_model_by_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tiny models stand in for two of the zoo. Ratios and memory are those of the rows' own numbers."""
    from sidelight.lab.speed import zoo
    from sidelight.lab.speed.measure import time_zoo

    monkeypatch.setitem(zoo.SHAPES._entries, "minilm-l6", lambda: make_target("fusion-resnet"))
    monkeypatch.setitem(zoo.SHAPES._entries, "vit-b16", lambda: make_target("fusion-resnet"))
    told: list[str] = []
    rows = time_zoo(
        [1, 2], 8, 2, models=["vit-b16", "minilm-l6"], on_row=lambda row: told.append(row["model"])
    )
    assert [(r["model"], r["batch"]) for r in rows] == [
        ("vit-b16", 1),
        ("vit-b16", 2),
        ("minilm-l6", 1),
        ("minilm-l6", 2),
    ]
    assert told == [r["model"] for r in rows]
    model = make_target("fusion-resnet").model
    size = sum(p.numel() * p.element_size() for p in model.parameters()) / 2**20
    for row in rows:
        assert row["parameters"] == sum(p.numel() for p in model.parameters())
        more = row["scorer_parameters"] * 4 / 2**20 + max(row["peak_mb"], row["classify_peak_mb"])
        assert row["memory_ratio"] == pytest.approx(
            (size + more) / (size + row["classify_peak_mb"]), abs=2e-3
        )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["clip-vit-b32", "dinov2-s", "gpt2", "deberta-v3-base"])
def test_models_of_the_zoo_have_their_published_size(name: str) -> None:
    """Millions of parameters with the head of these classes, from the papers and model cards."""
    from sidelight.lab.speed.zoo import SHAPES

    published = {"clip-vit-b32": 88.2, "dinov2-s": 22.4, "gpt2": 124.4, "deberta-v3-base": 184.4}
    found = sum(p.numel() for p in SHAPES[name]().model.parameters()) / 1e6
    assert found == pytest.approx(published[name], rel=0.01)


def test_a_size_or_a_method_is_timed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows could not be told apart, and the time was spent twice."""
    monkeypatch.setattr(
        "sidelight.lab.speed.subjects.speed_subject", lambda *_: pytest.fail("a model was loaded")
    )
    for how, told in (
        (["--batch", "2", "--batch", "2"], "batch size 2 is given twice"),
        (["--rival", "random", "--rival", "random"], "method 'random' is given twice"),
        (["--zoo", "--batch", "2", "--batch", "2"], "batch size 2 is given twice"),
    ):
        found = CliRunner().invoke(app, ["speed", *how])
        assert isinstance(found.exception, ConfigError), found.output
        assert told in str(found.exception)
    with pytest.raises(ConfigError, match="batch size 4 is given twice"):
        time_zoo([4, 4])
