"""Two digits side by side: what lies where, and a run whose classifier decides each label by itself."""

from __future__ import annotations

import io
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

from cli_tools import sidelight, write_config
from sidelight.errors import ConfigError, InputError
from sidelight.inputs.images import ImageTransform
from sidelight.lab.audit.encoding import verdicts
from sidelight.lab.audit.retraining import shuffled_labels
from sidelight.lab.data.reading import DATA_VARIABLE
from sidelight.lab.data.sets import load_rows
from sidelight.lab.data.two_digits import SIDE, ink_of, two_digits
from sidelight.lab.metrics.probe import Probe
from sidelight.lab.runs.classifier import Classifier, accuracy
from sidelight.targets import as_target

MICRO: dict[str, Any] = {
    "name": "two",
    "seeds": [0],
    "data": {"name": "two_digits", "train": 96, "validation": 16, "test": 40},
    "target": {
        "architecture": {
            "model_type": "resnet",
            "problem_type": "multi_label_classification",
            "num_channels": 1,
            "embedding_size": 8,
            "hidden_sizes": [8, 16],
            "depths": [1, 1],
            "layer_type": "basic",
        },
        "transform": {"size": [28, 56], "mode": "L", "mean": [0.0], "std": [1.0]},
        "training": {"epochs": 30, "batch_size": 16, "learning_rate": 0.01},
    },
    "scorer": {"channels": [8, 4]},
    "training": {"epochs": 1, "batch_size": 16, "evals_per_epoch": 1, "on_collapse": "warn"},
    "evaluation": {
        "count": 8,
        "curve_count": 4,
        "batch_size": 4,
        "fills": ["zero", "noise"],
        "granularities": ["pixel"],
        "steps": 3,
        "rivals": ["saliency", "occlusion", "random"],
    },
    "report": {"samples": 2, "failures": 1, "methods": ["saliency"], "speed": False},
    "audit": {"count": 4, "count_wide": 8, "steps": 2, "train": 16, "rivals": ["saliency"]},
}


def squares(count: int) -> list[dict[str, Any]]:
    """Digits that are easy to tell: a bright bar in row ``2 · label + 4`` of a dark picture."""
    rows = []
    for number in range(count):
        picture = np.full((SIDE, SIDE), 5, dtype=np.uint8)
        picture[2 * (number % 10) + 4 : 2 * (number % 10) + 6, 4:24] = 250
        rows.append({"image": Image.fromarray(picture), "label": number % 10})
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``mnist/<split>.parquet`` of such digits."""
    place = tmp_path_factory.mktemp("sets")
    (place / "mnist").mkdir()
    for split, count in (("train", 60), ("validation", 30), ("test", 40)):
        stored = []
        for row in squares(count):
            buffer = io.BytesIO()
            row["image"].save(buffer, "PNG")
            stored.append({"bytes": buffer.getvalue(), "path": None})
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        labels = pa.array([r["label"] for r in squares(count)], pa.int64())
        pq.write_table(
            pa.table({"image": pa.array(stored, kind), "label": labels}), place / "mnist" / f"{split}.parquet"
        )
    return place


def test_each_half_holds_its_digit_and_the_flags_say_which() -> None:
    rows = two_digits(squares(40), 200, seed=3)
    empty = 0
    for row in (rows[i] for i in range(200)):
        assert [i for i, flag in enumerate(row["label"]) if flag] == sorted(
            {d for d in row["digits"] if d >= 0}
        )
        for half, digit in enumerate(row["digits"]):
            own = row["image"][:, half * SIDE : (half + 1) * SIDE]
            bright = np.flatnonzero((own > 200).any(1)).tolist()
            assert bright == ([] if digit < 0 else [2 * digit + 4, 2 * digit + 5])
            empty += digit < 0
            if digit >= 0:
                assert ink_of(row, digit)[:, half * SIDE : (half + 1) * SIDE].sum() == 40
    assert empty / 400 == pytest.approx(0.2, abs=0.06)


def test_the_same_arguments_give_the_same_rows_and_fewer_are_the_first(folder: Path) -> None:
    some, more = (load_rows("two_digits", "test", data_dir=str(folder), count=n) for n in (5, 9))
    np.testing.assert_array_equal(some.images, more.images[:5])
    assert [some[i]["digits"] for i in range(5)] == [more[i]["digits"] for i in range(5)]
    other = load_rows("two_digits", "test", data_dir=str(folder), count=9, seed=1)
    assert (other.digits != more.digits).any()
    with pytest.raises(ConfigError, match="split must be one of"):
        load_rows("two_digits", "dev", data_dir=str(folder))
    with pytest.raises(ConfigError, match="at least 1"):
        load_rows("two_digits", "test", data_dir=str(folder), count=0)


class Bars(nn.Module):
    """Says that label ``l`` is there with log-odds ``40 · (mean of its row) − 4``. Right about every digit of above."""

    def __init__(self) -> None:
        super().__init__()
        self.same, self.scale = nn.Identity(), nn.Parameter(torch.tensor(40.0))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        rows = self.same(pixel_values)[:, 0, 4:24].reshape(len(pixel_values), 10, 2, -1).mean((2, 3))
        return self.scale * rows - 4


def bars() -> Any:
    transform = ImageTransform((SIDE, 2 * SIDE), mode="L", mean=(0.0,), std=(1.0,))
    return as_target(Bars().eval(), transform, layers=["same"], output="labels")


def test_accuracy_and_loss_by_hand() -> None:
    target, rows = bars(), two_digits(squares(40), 30)
    assert accuracy(target, rows) == 1.0
    wrong = [{**rows[0], "label": [1 - flag for flag in rows[0]["label"]]}, rows[1]]
    assert accuracy(target, wrong) == 0.5
    batch = target.reader.read([rows[i] for i in range(5)])
    assert batch.labels is not None
    assert batch.labels.shape == (5, 10)
    found = Classifier(target)(labels=batch.labels, **batch.inputs)["loss"]
    p = target.model(batch.inputs["pixel_values"]).sigmoid().double()
    flags = batch.labels.bool()
    by_hand = -torch.where(flags, p, 1 - p).log().mean().detach()
    assert float(found.detach()) == pytest.approx(float(by_hand), rel=1e-4)
    with pytest.raises(InputError, match="needs lists of 10 flags"):
        Classifier(target)(labels=torch.zeros(5, dtype=torch.long), **batch.inputs)
    with pytest.raises(InputError, match="both kinds"):
        target.reader.read([rows[0], {**rows[1], "label": 3}])


def test_a_probe_asks_about_the_most_probable_label() -> None:
    target, rows = bars(), two_digits(squares(40), 20)
    inputs = target.reader.read([rows[i] for i in range(20)]).inputs
    probe = Probe(target, inputs, range(20))
    p = target.model(inputs["pixel_values"]).sigmoid().detach()
    torch.testing.assert_close(probe.clean, p.max(1).values, atol=1e-6, rtol=0)
    assert torch.equal(probe.classes, p.argmax(1))
    found = probe.confidence(
        "zero", torch.arange(20), lambda part: {"image": torch.zeros(20, 1, SIDE, 2 * SIDE)[part]}
    )
    empty = float(torch.tensor(-4.0).sigmoid())
    torch.testing.assert_close(found[:, 0], torch.full((20,), empty), atol=1e-6, rtol=0)
    there = p.max(1).values >= 0.5
    assert found[:, 1].bool().tolist() == (~there).tolist()  # a label that is not there is still not there


def test_judges_say_whether_the_label_is_there() -> None:
    p = torch.tensor([[0.7, 0.6, 0.3, 0.4], [0.2, 0.4, 0.8, 0.6]])
    clean = torch.tensor([[0.9, 0.4, 0.1, 0.6], [0.3, 0.9, 0.7, 0.1]])
    labels, said = torch.tensor([[0, 1], [0, 1]]), torch.tensor([True, True])
    found = verdicts(p, clean, torch.tensor([0, 1]), labels, said)
    assert found["agreement"].tolist() == [1, 0]
    assert found["kept"].tolist() == [1, 0]
    assert found["accuracy"].tolist() == [0, 0]
    assert found["confidence"].tolist() == pytest.approx([0.7, 0.4])


def test_flags_are_shuffled_whole() -> None:
    rows = two_digits(squares(40), 30)
    found = shuffled_labels(rows, 0)
    before, after = ([tuple(r[i]["label"]) for i in range(30)] for r in (rows, found))
    assert sorted(before) == sorted(after)
    assert before != after


def test_a_whole_run_of_independent_labels(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv(DATA_VARIABLE, str(folder))
    config, out = write_config(tmp_path, MICRO), tmp_path / "run"
    result = sidelight("fit", config, "--out", out)
    assert result.code == 0, result.err
    facts = json.loads((out / "fit.json").read_text())["target"]
    assert facts["accuracy"] > 0.9  # 0.84 without ever saying yes
    for command in ("evaluate", "report", "audit"):
        result = sidelight(command, out)
        assert result.code == 0, result.err
    scores = pd.read_parquet(out / "scores.parquet")
    drops = scores[scores["metric"] == "average_drop"]["value"]
    assert drops.between(0, 1).all()
    assert set(scores[scores["metric"] == "flip_share"]["method"]) == {
        "sidelight",
        "saliency",
        "occlusion",
        "random",
    }
    picture = tmp_path / "two.png"
    Image.fromarray(load_rows("two_digits", "test", count=1).images[0]).save(picture)
    result = sidelight("explain", out, picture, "--target", "not 3", "--out", tmp_path / "maps")
    assert result.code == 0, result.err
    assert "the map is of not 3 (" in result.out
    script = Path(__file__).parents[3] / "benchmarks" / "asked_digit.py"
    monkeypatch.setattr(sys, "argv", ["asked_digit.py", str(out)])
    capsys.readouterr()
    runpy.run_path(str(script), run_name="__main__")
    told = capsys.readouterr().out
    assert "questions about" in told
    assert "| sidelight" in told
    assert "probability lost without its own half" in told
