"""The mask of a student that mimics the target, on models whose important cells are known."""

from __future__ import annotations

import pytest
import torch

from baseline_toys import LinearNet
from sidelight.errors import ConfigError
from sidelight.lab.baselines import make_rival
from sidelight.targets import ImageTarget


def with_evidence(cells: list[int], side: int = 4) -> ImageTarget:
    """A linear model that reads the given cells of a 4 × 4 grid only, each with another weight."""
    model = LinearNet()
    weight = torch.zeros(5, 3, 16, 16)
    for number, cell in enumerate(cells, start=1):
        row, column = 4 * (cell // side), 4 * (cell % side)
        weight[0, :, row : row + 4, column : column + 4] = 0.03 * number * (-1) ** number
    model.weight.data = weight
    return ImageTarget(model, layers=["body"])


def cells_of(scores: torch.Tensor) -> torch.Tensor:
    return scores[0, 0].unfold(0, 4, 4).unfold(1, 4, 4).flatten(2).mean(-1).flatten()


def test_cells_that_decide_have_the_highest_scores() -> None:
    """Also those that speak against the class: the student needs them too."""
    evidence = [1, 6, 11]
    target = with_evidence(evidence)
    inputs = {"pixel_values": torch.ones(1, 3, 16, 16)}
    method = make_rival("distillation_masks", window=4)
    scores = method(target, inputs, torch.tensor([0]))["image"]
    found = cells_of(scores)
    assert set(found.topk(3).indices.tolist()) == set(evidence)
    others = [i for i in range(16) if i not in evidence]
    assert found[evidence].min() > found[others].max() + 0.2


def test_the_word_that_decides_is_found(text_target) -> None:
    model = text_target.model
    with torch.no_grad():
        model.embed.weight.mul_(0.01)
        model.embed.weight[7] = 3.0
    texts = torch.tensor([[3, 5, 7, 2, 9], [4, 7, 1, 0, 0]])
    inputs = {"input_ids": texts, "attention_mask": (texts != 0).long()}
    scores = make_rival("distillation_masks", n_samples=60)(text_target, inputs, torch.tensor([0, 1]))["text"]
    assert scores.argmax(1).tolist() == [2, 1]
    assert bool((scores[1, 3:] == 0).all())  # no feature, no score


def test_nothing_can_be_learnt_from_a_constant_target() -> None:
    target = with_evidence([])
    inputs = {"pixel_values": torch.ones(1, 3, 16, 16)}
    scores = make_rival("distillation_masks", n_samples=20)(target, inputs, torch.tensor([0]))["image"]
    assert not scores.any()


def test_no_gradient_is_asked_of_the_target(vit_target, images, classes) -> None:
    for parameter in vit_target.model.parameters():
        parameter.requires_grad_(True)
    seen = []
    handle = vit_target.model.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    make_rival("distillation_masks", n_samples=6, steps=3)(vit_target, images, classes)
    handle.remove()
    assert seen
    assert not any(seen)


def test_more_sparsity_gives_smaller_masks() -> None:
    target, inputs = with_evidence([5]), {"pixel_values": torch.ones(1, 3, 16, 16)}
    masks = [
        make_rival("distillation_masks", window=4, n_samples=60, sparsity=weight)(
            target, inputs, torch.tensor([0])
        )["image"].mean()
        for weight in (0.0, 0.5, 2.0)
    ]
    assert masks[0] > masks[1] > masks[2]


def test_bad_options_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'sparsity' .* must not be negative; got -1"):
        make_rival("distillation_masks", sparsity=-1)
    with pytest.raises(ConfigError, match=r"'steps' .* at least 1 and at most 1000000; got 0"):
        make_rival("distillation_masks", steps=0)
