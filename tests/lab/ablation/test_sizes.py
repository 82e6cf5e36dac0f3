"""Sizes: half and twice as wide, still buildable, each modality by its own option."""

from __future__ import annotations

import pytest

from sidelight.core.types import StateSpec, TargetSpec
from sidelight.errors import UnknownNameError
from sidelight.lab.ablation.sizes import scaled_options
from sidelight.scorers import Scorer, ScorerConfig

SPEC = TargetSpec(
    states={"image": (StateSpec(12, (4, 4)),), "text": (StateSpec(12, None),)},
    feature_shape={"image": (3, 16, 16)},
    fusion_dim=None,
)


def parameters(options: dict[str, object]) -> int:
    image = {k: v for k, v in options.items() if k == "channels"}
    text = {k: v for k, v in options.items() if k == "width"}
    return Scorer(SPEC, ScorerConfig(decoder={"image": image, "text": text})).num_parameters


def test_widths_scale_and_the_defaults_are_the_decoders_own() -> None:
    assert scaled_options({"image": {"channels": [8, 3]}}, 0.5) == {"channels": [4, 2]}
    assert scaled_options({"image": {}}, 2) == {"channels": [128, 64, 32]}
    assert scaled_options({"text": {"width": 12, "heads": 4}}, 2) == {"width": 24}
    assert scaled_options({"text": {}, "image": {"channels": [1]}}, 0.5) == {"width": 64, "channels": [1]}


@pytest.mark.parametrize(("width", "heads", "factor"), [(8, 4, 0.3), (6, 3, 0.5), (4, 4, 0.01), (10, 5, 1.3)])
def test_a_width_stays_a_positive_multiple_of_the_heads(width: int, heads: int, factor: float) -> None:
    found = scaled_options({"text": {"width": width, "heads": heads}}, factor)["width"]
    assert found >= heads
    assert found % heads == 0
    assert abs(found - max(width * factor, heads)) <= heads / 2


def test_scorers_of_every_size_can_be_built_and_differ() -> None:
    both = {"image": {}, "text": {}}
    sizes = [parameters(scaled_options(both, factor)) for factor in (0.5, 1.0, 2.0)]
    assert sizes[1] == parameters({})
    assert sizes[0] < 0.6 * sizes[1] < 0.36 * sizes[2]


def test_unknown_modality() -> None:
    with pytest.raises(UnknownNameError, match="smell"):
        scaled_options({"smell": {}}, 2)
