"""Every configuration that ships, the demo's too: it is valid, and those for published sets run on a tiny copy of their layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import sidelight.lab.demo.run
from pair_models import save_parts
from sidelight.lab.config.files import load_config
from sidelight.lab.data.local_copies import ENTAILMENT
from sidelight.lab.data.reading import DATA_VARIABLE
from sidelight.lab.data.sets import DATASETS
from sidelight.lab.demo.parts import PARTS, part_config
from sidelight.lab.evaluation.preflight import check_trainings
from sidelight.lab.evaluation.run import check_evaluation, evaluate_run
from sidelight.lab.runs.run import Run

CONFIGS = Path(__file__).parents[3] / "configs"
ROWS = {"train": 16, "dev": 8, "test": 8}
TINY = {
    "data": "train=16 validation=8 test=8",
    "target.fusion": "width=16 layers=1 heads=2",
    "target.options": "max_length=12",
    "target.training": "epochs=1 batch_size=8",
    "scorer": "channels=[8,8] width=16 layers=1 heads=2",
    "training": "epochs=1 batch_size=8 on_collapse=warn",
    "evaluation": "count=4 curve_count=2 batch_size=2 steps=2",
}


def shipped() -> list[Path]:
    found = (p for p in sorted(CONFIGS.rglob("*.yaml")) if p.name != "benchmark.yaml")
    return [p.relative_to(CONFIGS) for p in found]


@pytest.mark.parametrize("path", shipped(), ids=str)
def test_every_configuration_is_valid(path: Path) -> None:
    config = load_config(CONFIGS / path)
    assert config.data.name in DATASETS
    assert len(config.seeds) >= 3
    check_evaluation(config.evaluation)
    check_trainings(config)
    fills = config.evaluation.fills or []
    assert len(fills) >= 3
    assert set(fills) - set(config.objective.fills), "no fill that training never saw"


def test_every_part_of_the_demo_is_valid_and_shorter_than_its_configuration() -> None:
    folder = Path(sidelight.lab.demo.run.__file__).parent
    assert {p.stem for p in folder.glob("*.yaml")} == {*PARTS, "quick"}
    for part in PARTS:
        whole, quick = load_config(folder / f"{part}.yaml"), part_config(part)
        for config in (whole, quick):
            assert (config.name, config.data.name) == (part, part)
            check_evaluation(config.evaluation)
        assert quick.evaluation.count <= whole.evaluation.count
        assert quick.data.train is not None
        assert whole.data.train is not None
        assert quick.data.train <= whole.data.train
        assert quick.training.epochs <= whole.training.epochs
        assert len(quick.evaluation.rivals or []) < len(whole.evaluation.rivals or [])


def picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def jsonl(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")


def flickr8k(folder: Path) -> None:
    """The published archive of captions and pictures, with its lists of the splits."""
    words = ("dog", "boat", "child", "bike")
    lines, first = [], 0
    for split, count in ROWS.items():
        names = [f"{i}.jpg" for i in range(first, first + count)]
        first += count
        for i, name in enumerate(names):
            picture(folder / "Flicker8k_Dataset" / name, i)
            lines += [f"{name}#{k}\tA {words[(i + k) % 4]} seen {k} times ." for k in range(5)]
        listed = folder / "Flickr8k_text" / f"Flickr_8k.{split}Images.txt"
        listed.parent.mkdir(parents=True, exist_ok=True)
        listed.write_text("\n".join(names) + "\n")
    (folder / "Flickr8k_text" / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")


def hateful_memes(folder: Path) -> None:
    number = 0
    for split, count in ROWS.items():
        rows: list[dict[str, object]] = []
        for i in range(count):
            name = f"img/{number:05d}.png"
            picture(folder / name, number)
            rows.append({"id": number, "img": name, "label": i % 2, "text": f"when the dog saw {i}"})
            number += 1
        jsonl(folder / f"{split}.jsonl", rows)


def snli_ve(folder: Path) -> None:
    for i in range(4):
        picture(folder / "flickr30k_images" / f"{i}.jpg", i)
    for split, count in ROWS.items():
        rows: list[dict[str, object]] = [
            {"Flickr30K_ID": str(i % 4), "sentence2": f"a dog runs {i}", "gold_label": ENTAILMENT[i % 3]}
            for i in range(count)
        ]
        jsonl(folder / f"snli_ve_{split}.jsonl", rows)


@pytest.mark.parametrize("layout", [flickr8k, hateful_memes, snli_ve], ids=lambda f: f.__name__)
def test_published_pair_sets_run_from_their_configuration(
    layout: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout(tmp_path / "data" / layout.__name__)
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    text, image = save_parts(tmp_path / "parts")
    sets = [f"{part}.{value}" for part, values in TINY.items() for value in values.split()]
    sets += [f"target.fusion.{part}.pretrained={place}" for part, place in (("text", text), ("image", image))]
    sets += ["seeds=[0]", "evaluation.rivals=[saliency, random]", "evaluation.fills=[zero, mean]"]
    run = Run.create(tmp_path / "run", load_config(CONFIGS / "hub" / f"{layout.__name__}.yaml", sets))
    facts = run.fit()
    results = evaluate_run(run)
    assert facts["target"]["accuracy_n"] == 8
    assert results["dataset"] == layout.__name__
    rows = pd.DataFrame(results["rows"])
    ours = rows[(rows["method"] == "sidelight") & (rows["metric"] == "average_drop")]
    assert set(ours["modality"]) == {"image+text", "image", "text"}
    assert np.isfinite(ours["mean"].astype(float)).all()
