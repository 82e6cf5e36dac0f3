"""``report_to``: a missing logger is named, the training stays the same, and TensorBoard gets curves and maps."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from helpers_training import TRANSFORM, classifier, corner_rows, largest_difference, state
from sidelight import Explainer
from sidelight.core import optional
from sidelight.errors import ConfigError, MissingPackageError
from sidelight.training.sample_maps import SAMPLES, SampleMaps, sample_pictures

QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 8, "extra": {"disable_tqdm": True, "use_cpu": True}}
ROWS = corner_rows(48)


def fit(folder: Path, **options: Any) -> Explainer:
    return Explainer.fit(classifier(), ROWS, processor=TRANSFORM, output_dir=folder, **{**QUICK, **options})


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match=r"report_to=\['tensorboard'\].*'sidelight\[tensorboard\]'"):
        fit(tmp_path / "run", report_to=["tensorboard"])


def test_an_unknown_logger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no logger 'tensorbored'\. Did you mean 'tensorboard'"):
        fit(tmp_path / "run", report_to=["tensorbored"])


def test_maps_are_drawn_without_a_trace(tmp_path: Path) -> None:
    explainer = fit(tmp_path / "run")
    target, scorer = explainer.target, explainer.scorer
    batch = target.reader.read([row[0] for row in ROWS[:SAMPLES]])
    drawn: list[Any] = []
    board = SimpleNamespace(add_image=lambda *args, **kinds: drawn.append((args, kinds)), flush=lambda: None)
    handler = SimpleNamespace(callbacks=[SimpleNamespace(), SimpleNamespace(tb_writer=board)])
    scorer.train()
    before, weights = torch.random.get_rng_state(), state(scorer)
    maps = SampleMaps(SimpleNamespace(callback_handler=handler), target, scorer, batch)
    maps.on_evaluate(None, SimpleNamespace(is_world_process_zero=True, global_step=7), None)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert scorer.training
    assert largest_difference(state(scorer), weights) == 0
    assert [args[0] for args, _ in drawn] == [f"maps/sample-{n}" for n in range(SAMPLES)]
    assert {args[2] for args, _ in drawn} == {7}
    scorer.eval()
    from sidelight.viz.export import to_png

    plot = to_png(explainer.explain(ROWS[0][0]).plot(), 72)
    expected = np.asarray(Image.open(io.BytesIO(plot)).convert("RGB"))
    np.testing.assert_array_equal(sample_pictures(target, scorer, batch)[0], expected)


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs the extra tensorboard")
def test_tensorboard_gets_curves_and_maps_and_the_training_stays_the_same(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    plain, told = fit(tmp_path / "plain"), fit(tmp_path / "told", report_to=["tensorboard"])
    assert largest_difference(state(plain.scorer), state(told.scorer)) == 0
    events = {p.parent for p in tmp_path.rglob("events.out.tfevents.*")}
    assert len(events) == 1
    found = EventAccumulator(str(events.pop())).Reload()
    assert "eval/loss" in found.Tags()["scalars"]
    assert sorted(found.Tags()["images"]) == [f"maps/sample-{n}" for n in range(SAMPLES)]
    picture = Image.open(io.BytesIO(found.Images("maps/sample-0")[0].encoded_image_string))
    assert picture.size[0] > 100
    assert len(found.Images("maps/sample-0")) >= 2  # one a validation
    again = fit(tmp_path / "told")  # the loggers are no part of what a training is
    assert largest_difference(state(again.scorer), state(told.scorer)) == 0
