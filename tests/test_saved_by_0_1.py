"""What version 0.1 saved still loads and gives the same maps (``tests/fixtures/saved_by_0_1``)."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sidelight import Explainer, Explanation
from sidelight.lab.runs.run import Run

HERE = Path(__file__).parent / "fixtures" / "saved_by_0_1"


def _models() -> Any:
    spec = importlib.util.spec_from_file_location("models_of_0_1", HERE / "models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MODELS = _models()
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
#: How far a map may be from the stored one. Processors round in unlike orders, and these scorers, which hardly learnt, make
#: rounding larger: their maps in double precision are up to 5e-4 away from those in single precision.
ROUNDING = 1e-3


@pytest.mark.parametrize("name", EXPECTED)
def test_a_scorer_of_0_1_gives_the_same_maps(name: str) -> None:
    build, reads = MODELS.CASES[name]
    explainer = Explainer.from_pretrained(HERE / name, build(), processor=MODELS.processor(reads))
    found = explainer.explain(MODELS.samples(reads))
    assert len(found) == len(EXPECTED[name])
    for explanation, expected in zip(found, EXPECTED[name], strict=True):
        assert explanation.label == expected["label"]
        np.testing.assert_allclose(explanation.probabilities, expected["probabilities"], atol=2e-6)
        assert set(explanation.scores) == set(expected["scores"])
        for modality, scores in expected["scores"].items():
            own = explanation.scores[modality]
            np.testing.assert_allclose(own.reshape(-1, own.shape[-1]), scores, atol=ROUNDING)


@pytest.mark.parametrize("name", [n for n in EXPECTED if n != "bert" and n != "fusion"])
def test_a_scorer_of_0_1_brings_its_own_image_preprocessing(name: str) -> None:
    build, reads = MODELS.CASES[name]
    explanation = Explainer.from_pretrained(HERE / name, build()).explain(MODELS.samples(reads)[0])
    np.testing.assert_allclose(explanation.map, EXPECTED[name][0]["scores"]["image"], atol=ROUNDING)


def test_a_run_folder_of_0_1_explains_as_before(tmp_path: Path) -> None:
    folder = shutil.copytree(HERE / "run", tmp_path / "run")
    run = Run.open(folder)
    found = run.explainer().explain([row["image"] for row in run.rows("test", 3)])
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    for explanation, scores in zip(found, expected, strict=True):
        np.testing.assert_allclose(explanation.map, scores, atol=ROUNDING)
    assert run.unfitted() == []


def test_an_explanation_of_0_1_loads() -> None:
    explanation = Explanation.load(HERE / "explanation.json")
    assert "".join(explanation.inputs["text"]) == MODELS.TEXTS[0]
    np.testing.assert_allclose(explanation.map, EXPECTED["bert"][0]["scores"]["text"][0], atol=ROUNDING)
