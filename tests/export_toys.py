"""Explainers of every kind with untrained scorers, and samples for them, for the tests of `sidelight.export`."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pair_models
import text_models
from helpers_training import TRANSFORM, classifier, corner_images
from sidelight import Explainer, ScorerConfig
from sidelight.core.types import Inputs
from sidelight.targets import TargetModel, as_target
from sidelight.training.network import new_scorer

SMALL: dict[str, Any] = {"image": {"channels": [8, 4]}, "text": {"width": 8, "layers": 1, "heads": 2}}


CORNERS = ["north west", "north east", "south west", "south east"]


def _plain() -> TargetModel:
    return as_target(classifier("plain"), TRANSFORM, layers=["first", "second"], class_names=CORNERS)


def _text(family: str, **options: Any) -> TargetModel:
    return as_target(*text_models.make_pair(family, **options))


TARGETS: dict[str, Callable[[], TargetModel]] = {
    "vit": lambda: as_target(classifier(), TRANSFORM),
    "resnet": lambda: as_target(classifier("resnet"), TRANSFORM),
    "plain": _plain,
    "bert": lambda: _text("bert"),
    "roberta": lambda: _text("roberta"),
    "gpt2": lambda: _text("gpt2"),
    "gpt2, padded on the left": lambda: _text("gpt2", padding_side="left"),
    "fusion-resnet": lambda: pair_models.make_target("fusion-resnet"),
    "fusion-vit": lambda: pair_models.make_target("fusion-vit"),
    "clip": lambda: pair_models.make_target("clip"),
    "vilt-vqa": lambda: pair_models.make_target("vilt-vqa"),
}


def samples_for(target: TargetModel) -> list[Any]:
    """Three samples. Texts have three lengths, so that two of them are padded."""
    kinds = {
        ("image",): lambda: list(corner_images(3, seed=5)[0]),
        ("text",): lambda: list(text_models.TEXTS),
        ("image", "text"): pair_models.pairs,
    }
    return kinds[tuple(target.modalities)]()


def explainer_for(
    target: TargetModel, by_class: bool = True, samples: list[Any] | None = None, **config: Any
) -> Explainer:
    """An explainer with an untrained scorer. Random weights give maps as lively as trained ones."""
    decoder = {m: SMALL[m] for m in target.modalities}
    first = (samples_for(target) if samples is None else samples)[:1]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        scorer = new_scorer(target, first, ScorerConfig(decoder=decoder, by_class=by_class, **config))
    return Explainer(target, scorer)


def explainer_of(name: str, by_class: bool = True, **config: Any) -> Explainer:
    """The target ``name`` of :data:`TARGETS` with its scorer."""
    return explainer_for(TARGETS[name](), by_class, **config)


@cache
def exported(name: str, by_class: bool = True, ending: str = ".onnx") -> tuple[Explainer, Path]:
    """An explainer and its exported file, made once, because tracing takes seconds. Nobody changes the two."""
    folder = Path(tempfile.mkdtemp(prefix="sidelight-export-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    explainer = explainer_of(name, by_class)
    return explainer, explainer.export(folder / f"model{ending}")


def read_inputs(explainer: Explainer) -> dict[str, Tensor]:
    """What the reader makes of the samples."""
    return dict(explainer.target.reader.prepare(samples_for(explainer.target)).inputs)


def plain_inputs(explainer: Explainer) -> dict[str, Tensor]:
    """The same without what callers of an exported file do not have."""
    beside = ("special_tokens_mask", "position_ids")
    return {k: v for k, v in read_inputs(explainer).items() if k not in beside}


def expected(explainer: Explainer, inputs: Inputs, classes: Tensor | None = None) -> dict[str, Tensor]:
    """Outputs by the public way of tensors: `attribute` and `read`."""
    encoding, _ = explainer.attribute(inputs)
    chosen = encoding.prediction if classes is None else classes
    reading = explainer.read(encoding, chosen if explainer.scorer.config.by_class else None)
    out = {"logits": encoding.logits, "probabilities": encoding.probabilities, "class": chosen}
    for m in explainer.target.modalities:
        out |= {f"scores_{m}": reading.scores[m], f"ranking_{m}": reading.ranking[m]}
        if reading.effects is not None:
            out[f"effects_{m}"] = reading.effects[m]
    return out


def assert_same(found: Any, wanted: dict[str, Tensor], atol: float = 1e-5) -> None:
    """The same names in the same order, and the same values."""
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(torch.as_tensor(found[name]), value, atol=atol, rtol=1e-4, msg=name)
