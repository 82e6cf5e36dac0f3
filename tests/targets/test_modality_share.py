"""Shares of modalities against closed forms: what a toy decision is worth with each part exchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sidelight.checks.modality_share import ModalityShare, modality_shares, shapley_value
from sidelight.errors import ConfigError, InputError

NAMES = ("image", "text")


class Toy:
    """Logit of class 1 is ``a·image + b·text + c·image·text`` of one number each; class 0 has 0."""

    name, independent = "toy", False

    def __init__(self, a: float, b: float, c: float, names: Sequence[str] = NAMES) -> None:
        self.weights, self.modalities = (a, b, c), dict.fromkeys(names)

    def to_device(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(inputs)

    def features(self, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        return inputs

    def forward(self, inputs: Mapping[str, Tensor], features: Mapping[str, Tensor]) -> Tensor:
        (a, b, c), x, y = self.weights, inputs["image"], inputs["text"]
        return torch.stack([torch.zeros_like(x), a * x + b * y + c * x * y], 1)

    def encode(self, inputs: Mapping[str, Tensor]) -> Any:
        return SimpleNamespace(probabilities=self.forward(inputs, inputs).softmax(-1))

    def exchange(
        self, inputs: Mapping[str, Tensor], others: Mapping[str, Tensor], gone: Sequence[str]
    ) -> dict[str, Tensor]:
        return {k: (others if k in gone else inputs)[k] for k in inputs}


def share(toy: Toy, x: float, y: float, others: Mapping[str, Tensor]) -> ModalityShare:
    inputs = {"image": torch.tensor([x]), "text": torch.tensor([y])}
    return modality_shares(toy, inputs, others)[0]  # type: ignore[arg-type]


OTHERS = {"image": torch.tensor([-2.0, 2.0, 0.0]), "text": torch.tensor([1.0, -1.0, 0.0])}


def test_drops_are_the_mean_over_other_samples_by_hand() -> None:
    found = share(Toy(1.0, 0.5, 0.3), 1.5, 2.0, OTHERS)
    p = lambda x, y: float(torch.sigmoid(torch.tensor(1.0 * x + 0.5 * y + 0.3 * x * y, dtype=torch.double)))  # noqa: E731
    images, texts = OTHERS["image"].tolist(), OTHERS["text"].tolist()
    full = p(1.5, 2.0)
    no_image = sum(p(x, 2.0) for x in images) / 3
    no_text = sum(p(1.5, y) for y in texts) / 3
    nothing = sum(p(x, y) for x, y in zip(images, texts, strict=True)) / 3
    assert found.confidence == pytest.approx(full, abs=1e-6)
    assert found.drops["image"] == pytest.approx(full - no_image, abs=1e-6)
    assert found.drops["text"] == pytest.approx(full - no_text, abs=1e-6)
    assert found.drops["all"] == pytest.approx(full - nothing, abs=1e-6)
    image = 0.5 * ((full - no_image) + (no_text - nothing))
    assert found.values["image"] == pytest.approx(image, abs=1e-6)
    assert sum(found.values.values()) == pytest.approx(found.drops["all"], abs=1e-6)
    assert found.draws == 3


def test_a_modality_the_model_does_not_read_gets_nothing() -> None:
    found = share(Toy(0.0, 3.0, 0.0), 5.0, 2.0, OTHERS)
    assert found.drops["image"] == pytest.approx(0)
    assert found.needed == ("text",)
    assert found.shares == {"image": pytest.approx(0, abs=1e-6), "text": pytest.approx(1)}


def test_a_conjunction_needs_both_and_shares_evenly_by_symmetry() -> None:
    others = {"image": torch.tensor([-1.0, 0.5]), "text": torch.tensor([-1.0, 0.5])}
    found = share(Toy(0.0, 0.0, 4.0), 1.0, 1.0, others)
    assert found.needed == ("image", "text")
    assert found.shares == {"image": pytest.approx(0.5), "text": pytest.approx(0.5)}


def test_no_share_where_other_samples_do_as_well() -> None:
    found = share(Toy(0.0, 0.0, 0.0), 1.0, 1.0, OTHERS)
    assert found.shares is None
    assert found.needed == ()
    assert found.to_dict()["shares"] is None


@given(st.lists(st.floats(-1, 1), min_size=8, max_size=8))
def test_shapley_values_of_three_add_up_and_ignore_a_dummy(values: list[float]) -> None:
    names = ("a", "b", "c")
    subsets = [frozenset(n for i, n in enumerate(names) if k >> i & 1) for k in range(8)]
    worth = dict(zip(subsets, values, strict=True))
    total = sum(shapley_value(n, names, worth) for n in names)
    assert total == pytest.approx(worth[frozenset(names)] - worth[frozenset()], abs=1e-9)
    blind = {s: worth[s - {"c"}] for s in subsets}
    assert shapley_value("c", names, blind) == pytest.approx(0, abs=1e-12)


def test_bad_input_is_refused() -> None:
    inputs = {"image": torch.ones(1), "text": torch.ones(1)}
    with pytest.raises(ConfigError, match="nothing to share"):
        modality_shares(Toy(1, 1, 1, ("text",)), inputs, OTHERS)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="draws"):
        modality_shares(Toy(1, 1, 1), inputs, OTHERS, draws=0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="other samples"):
        modality_shares(Toy(1, 1, 1), inputs, {"image": torch.ones(0), "text": torch.ones(0)})  # type: ignore[arg-type]
