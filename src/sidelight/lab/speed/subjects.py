"""Explainers to time. Random weights cost as much as trained ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sidelight.core.processes import device
from sidelight.core.registry import Registry
from sidelight.core.surroundings import kept_random_state
from sidelight.errors import InputError
from sidelight.explainer import Explainer
from sidelight.lab.runs.stored_files import read_record
from sidelight.lab.speed.zoo import SHAPES
from sidelight.scorers import ScorerConfig
from sidelight.targets import TargetModel, as_target
from sidelight.targets.architectures import ARCHITECTURES
from sidelight.targets.families import TARGETS
from sidelight.training.network import scorer_of

#: ``(target, batch, tokens) -> inputs`` of random content, by target family.
RANDOM_INPUTS: Registry[Callable[[Any, int, int], dict[str, Tensor]]] = Registry("target family to time")


def speed_subject(
    model: str, batch: int, tokens: int = 128, dtype: torch.dtype | None = None
) -> tuple[Explainer, dict[str, Tensor]]:
    """An explainer and random inputs of the right shape, on the accelerator if there is one.

    A new scorer explains any class, as ``robust`` trains it. The scorer of a run stays as it is.

    Args:
        model: a name in :data:`~sidelight.lab.speed.zoo.SHAPES`, a run folder, a hub id or a model folder.
        tokens: length of each text, special tokens included.
        dtype: of the classifier's weights (default: as they are).

    Raises:
        InputError: texts longer than the model reads.
    """
    explainer = None
    if (Path(model) / "config.yaml").is_file():
        from sidelight.lab.runs.run import Run

        explainer = Run.open(model).explainer()
    target = explainer.target if explainer is not None else _open_target(model)
    target.model.to(device(), dtype)
    inputs = RANDOM_INPUTS[target.family](target, batch, tokens)
    if explainer is not None:
        shape = explainer.scorer.spec.feature_shape.get("image")
        if shape is not None:
            inputs["pixel_values"] = _random_pixels(target, batch, shape)
    target.check(inputs)
    if explainer is None:
        explainer = Explainer(
            target, scorer_of(target, target.to_device(inputs), ScorerConfig(by_class=True))
        )
    return explainer, inputs


def training_seconds(model: str) -> float | None:
    """Mean duration of the training of one scorer of a run folder, or ``None`` if it is not known."""
    facts = Path(model) / "fit.json"
    if not facts.is_file():
        return None
    scorers = read_record(facts, "fit", finite=True)["scorers"]
    found = [s["train_runtime"] for s in scorers.values() if "train_runtime" in s]
    return sum(found) / len(found) if found else None


@kept_random_state()
def _open_target(name: str) -> TargetModel:
    torch.manual_seed(0)
    if name in SHAPES:
        return SHAPES[name]()
    from transformers import AutoConfig

    import sidelight.models.fusion  # noqa: F401 - its configuration is one that AutoConfig must know

    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        if any((Path(name) / place / "scorer.safetensors").is_file() for place in ("", "scorer")):
            raise InputError(
                f"{name!r} holds a scorer: give the folder of its run, or of its classifier."
            ) from error
        raise InputError(
            f"{name!r} is no run or model folder, no hub id that can be had ({error}), nor one of {', '.join(SHAPES)}."
        ) from error
    family = TARGETS[_family(config)]
    return as_target(family.load_model(name), family.reader_type.load(name, {}), family=family.family)


def _family(config: Any) -> str:
    if config.model_type in ARCHITECTURES:
        return "image+text"
    kinds = " ".join(getattr(config, "architectures", None) or [])
    return "text" if "ForSequenceClassification" in kinds else "image"


def _random_pixels(target: Any, batch: int, shape: Sequence[int]) -> Tensor:
    """``[B, C, H, W]`` between the processor's values of black and white. The target would refuse others."""
    reader = target.reader
    transform = getattr(reader, "image", reader).transform
    black, white = transform.bounds() if transform is not None else (None, None)
    if black is None or white is None:
        return torch.randn(batch, *shape, dtype=torch.float32)
    black, white = black.view(-1, 1, 1), white.view(-1, 1, 1)
    return black + (white - black) * torch.rand(batch, *shape, dtype=torch.float32)


@RANDOM_INPUTS.register("image")
def _pixels(target: Any, batch: int, tokens: int) -> dict[str, Tensor]:
    transform = target.reader.transform
    shape = (3, 224, 224) if transform is None else (transform.channels, *(transform.size or (224, 224)))
    return {"pixel_values": _random_pixels(target, batch, shape)}


@RANDOM_INPUTS.register("text")
def _ids(target: Any, batch: int, tokens: int) -> dict[str, Tensor]:
    ordinary = target.vocabulary.ordinary_ids()
    ids = ordinary[torch.randint(len(ordinary), (batch, tokens))]
    special = torch.zeros_like(ids)
    special[:, [0, -1]] = 1
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "special_tokens_mask": special}


@RANDOM_INPUTS.register("image+text")
def _pairs(target: Any, batch: int, tokens: int) -> dict[str, Tensor]:
    return {**_pixels(target.image, batch, tokens), **_ids(target.text, batch, tokens)}
