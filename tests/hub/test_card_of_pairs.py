"""The model card of a scorer of pairs: its code loads the classifier, and its numbers say on how many samples."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
import transformers

import pair_models
from sidelight import Explainer
from sidelight.scorers import Scorer


def explainer_of(name: str, **options: object) -> Explainer:
    target = pair_models.make_target(name, **options)
    torch.manual_seed(0)
    return Explainer(target, Scorer(target.spec(target.reader.read(pair_models.pairs()).inputs)))


def card_of(explainer: Explainer, folder: Path, **card: object) -> str:
    return (explainer.save_pretrained(folder, card=card) / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["vilt-vqa", "vilt-pairs", "clip"])
def test_its_code_loads_the_classifier_with_its_head(name: str, tmp_path: Path) -> None:
    explainer = explainer_of(name, **({"candidates": pair_models.TEXTS} if name == "clip" else {}))
    text = card_of(explainer, tmp_path / "s", base_model="me/pairs")
    own = type(explainer.target.model).__name__
    assert f"model = {own}.from_pretrained('me/pairs')" in text
    (line,) = re.findall(r"^from transformers import (.*)$", text, re.MULTILINE)
    assert all(hasattr(transformers, given.strip()) for given in line.split(","))


def test_a_classifier_of_ones_own_needs_both_processors(tmp_path: Path) -> None:
    text = card_of(explainer_of("fusion-vit"), tmp_path / "s")
    assert "processor = ...  # its image processor and tokenizer" in text


def test_numbers_of_whole_curves_may_be_of_fewer_samples(tmp_path: Path) -> None:
    explainer = explainer_of("fusion-vit")
    count = sum(p.numel() for p in explainer.target.model.parameters())
    about = {"method": "sidelight", "reduction": "none", "fill": "zero", "granularity": "token", "mean": 0.5}
    rows = [
        {**about, "modality": "text", "metric": "srg", "n": 5},
        {**about, "modality": "text", "metric": "average_drop", "n": 8},
    ]
    values = {"dataset": "pairs", "rows": rows, "notes": [], "target": {"parameters": count}}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text(json.dumps(values), encoding="utf-8")
    text = card_of(explainer, tmp_path / "s", results=tmp_path / "run")
    assert "On 5 to 8 test samples of pairs, under 1 fill." in text


@pytest.mark.parametrize("several", [False, True])
def test_one_pair_is_one_sample(several: bool, tmp_path: Path) -> None:
    pair = pair_models.pairs()[0]
    text = card_of(explainer_of("fusion-vit"), tmp_path / "s", samples=[pair] if several else pair)
    assert "could not be explained" not in text
    assert text.count("![Map of an input") == 1
