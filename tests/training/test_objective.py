"""Eq. 3.3-3.5 and their parts against slow loops in Python floats."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sidelight.core.finite import require_finite_loss
from sidelight.errors import ConfigError, InputError, NotFiniteError, UnknownNameError
from sidelight.training.objective import (
    CALIBRATIONS,
    binary_penalty,
    complement_loss,
    emptiness_penalty,
    label_distribution,
    magnitude_penalty,
    task_loss,
)
from sidelight.training.settings import CALIBRATION_NAMES, ObjectiveConfig
from sidelight.training.terms import TERMS, objective

NAMES = ("bounded", "literal", "reference", "fixed")


def gamma_by_hand(name: str, delta: float) -> float:
    """The table of method §3."""
    if name == "literal":
        return 1 / min(max(delta, 0.01), 1.0)
    if name == "reference":
        return min(max(1 / (delta + 1e-16), 0.0), 1.0)
    return 1.0 if name == "fixed" else 1 / max(delta, 1.0)


def penalties_by_hand(scores: Tensor, mask: Tensor) -> tuple[list[float], list[float]]:
    magnitude, binary = [], []
    for row, real in zip(scores.flatten(1).tolist(), mask.flatten(1).tolist(), strict=True):
        kept = [s for s, r in zip(row, real, strict=True) if r]
        magnitude.append((sum(kept) / len(kept)) ** 2)
        binary.append(sum((s * (1 - s)) ** 2 for s in kept) / len(kept))
    return magnitude, binary


class GivenLosses:
    """A step whose passes through the target have losses that are known beforehand.

    Args:
        joint: of all modalities masked.
        clean: of none.
        scores, masks: per modality.
        solo: per modality, of it masked alone.
        outside: of the evidence removed.
        settings: of the objective.
    """

    def __init__(
        self,
        joint: Tensor,
        clean: Tensor,
        scores: dict[str, Tensor],
        masks: dict[str, Tensor],
        solo: dict[str, Tensor] | None = None,
        outside: Tensor | None = None,
        **settings: Any,
    ) -> None:
        self.joint, self.clean, self.solo, self.outside = joint, clean, solo or {}, outside
        self.scores, self.feature_mask = scores, masks
        self.config = ObjectiveConfig(**settings)

    def clean_loss(self) -> Tensor:
        return self.clean

    def masked_loss(self, masks: dict[str, Tensor]) -> Tensor:
        return self.joint if set(masks) == set(self.scores) else self.solo[next(iter(masks))]

    def removed_loss(self, masks: dict[str, Tensor]) -> Tensor:
        assert self.outside is not None, "a term without weight makes no pass"
        return self.outside

    def zeros(self) -> Tensor:
        return torch.zeros_like(self.clean)


def terms_of(*args: Any, **kwargs: Any) -> dict[str, Tensor]:
    """The objective and its terms; see :class:`GivenLosses`."""
    return objective(GivenLosses(*args, **kwargs))  # type: ignore[arg-type]


def problem(modalities: tuple[str, ...] = ("image", "text"), batch: int = 6) -> dict[str, dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"image": (batch, 1, 4, 5), "text": (batch, 7)}
    scores = {m: torch.rand(*shapes[m], generator=generator, dtype=torch.float64) for m in modalities}
    masks = {m: torch.rand(*shapes[m], generator=generator) > 0.25 for m in modalities}
    solo = {m: torch.rand(batch, generator=generator, dtype=torch.float64) * 3 for m in modalities}
    return {"scores": scores, "masks": masks, "solo": solo}


#: joint minus clean covers Δ < 0, = 0, in (0, 1), = 1, > 1 and ≫ 1
DELTAS = torch.tensor([-0.75, 0.0, 0.25, 1.0, 2.5, 40.0], dtype=torch.float64)
CLEAN = torch.tensor([1.0, 0.5, 0.25, 0.0, 0.125, 2.0], dtype=torch.float64)


def test_the_registry_holds_the_calibrations_that_settings_name() -> None:
    assert tuple(CALIBRATIONS) == CALIBRATION_NAMES == NAMES
    with pytest.raises(UnknownNameError, match="Did you mean 'bounded'"):
        CALIBRATIONS["bound"]


@pytest.mark.parametrize("name", NAMES)
def test_equation_3_5_by_hand(name: str) -> None:
    p = problem()
    terms = terms_of(
        CLEAN + DELTAS,
        CLEAN,
        p["scores"],
        p["masks"],
        solo=p["solo"],
        calibration=name,
        magnitude_weight=0.7,
        binary_weight=1.3,
    )
    parts = {m: penalties_by_hand(p["scores"][m], p["masks"][m]) for m in p["scores"]}
    for i in range(6):
        gamma = gamma_by_hand(name, float(DELTAS[i]))
        magnitude = sum(parts[m][0][i] for m in parts)
        binary = sum(parts[m][1][i] for m in parts)
        solo = sum(float(p["solo"][m][i]) for m in parts)
        expected = float(CLEAN[i] + DELTAS[i]) + solo + gamma * (0.7 * magnitude + 1.3 * binary)
        assert float(terms["loss"][i]) == pytest.approx(expected, rel=1e-12)
        assert float(terms["gamma"][i]) == pytest.approx(gamma, rel=1e-12)
        assert float(terms["magnitude"][i]) == pytest.approx(magnitude, rel=1e-12)
        assert float(terms["binary"][i]) == pytest.approx(binary, rel=1e-12)
        assert float(terms["solo"][i]) == pytest.approx(solo, rel=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_one_modality_is_equation_3_4(name: str) -> None:
    p = problem(("image",))
    terms = terms_of(CLEAN + DELTAS, CLEAN, p["scores"], p["masks"], calibration=name)
    magnitude, binary = penalties_by_hand(p["scores"]["image"], p["masks"]["image"])
    expected = [
        float(CLEAN[i] + DELTAS[i]) + gamma_by_hand(name, float(DELTAS[i])) * (magnitude[i] + binary[i])
        for i in range(6)
    ]
    torch.testing.assert_close(terms["loss"], torch.tensor(expected, dtype=torch.float64))
    assert not terms["solo"].any()
    same = terms_of(CLEAN + DELTAS, CLEAN, p["scores"], p["masks"], solo={}, calibration=name)
    assert torch.equal(terms["loss"], same["loss"])


def test_fixed_is_equation_3_3_with_its_two_gammas() -> None:
    p = problem(("text",))
    terms = terms_of(
        CLEAN, CLEAN, p["scores"], p["masks"], calibration="fixed", magnitude_weight=0.2, binary_weight=5.0
    )
    magnitude, binary = penalties_by_hand(p["scores"]["text"], p["masks"]["text"])
    expected = [float(c) + 0.2 * m + 5.0 * b for c, m, b in zip(CLEAN, magnitude, binary, strict=True)]
    torch.testing.assert_close(terms["loss"], torch.tensor(expected, dtype=torch.float64))


def test_the_complement_is_added_with_its_weight() -> None:
    p = problem(("text",))
    outside = torch.arange(6, dtype=torch.float64)
    base = terms_of(CLEAN, CLEAN, p["scores"], p["masks"])
    terms = terms_of(CLEAN, CLEAN, p["scores"], p["masks"], outside=outside, complement_weight=0.5)
    torch.testing.assert_close(terms["loss"] - base["loss"], 0.5 * outside)
    assert torch.equal(terms["complement"], outside)


def test_every_term_has_its_weight_among_the_settings() -> None:
    fields = {f.name for f in dataclasses.fields(ObjectiveConfig)}
    assert {t.weight for _, t in TERMS.items()} - {None} <= fields
    assert all(name == entry.name for name, entry in TERMS.items())


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_flows_through_gamma_in_the_reference_reading_alone(name: str) -> None:
    delta = DELTAS.clone().requires_grad_()
    gamma = CALIBRATIONS[name](delta)
    if name != "reference":
        assert not gamma.requires_grad
        return
    gamma.sum().backward()
    assert delta.grad is not None
    # -1/Δ² where the clip is open (Δ > 1), which rewards a larger Δ; 0 where it is shut
    assert delta.grad[[0, 1, 2]].tolist() == [0.0, 0.0, 0.0]
    torch.testing.assert_close(delta.grad[4:], -1 / DELTAS[4:] ** 2)


@pytest.mark.parametrize("name", NAMES)
def test_scores_always_get_the_gradient_of_the_penalties(name: str) -> None:
    scores = {"text": torch.full((1, 4), 0.3, dtype=torch.float64, requires_grad=True)}
    mask = {"text": torch.tensor([[True, True, True, False]])}
    joint = torch.tensor([2.0], dtype=torch.float64)
    terms_of(joint, torch.zeros_like(joint), scores, mask, calibration=name)["loss"].sum().backward()
    gamma = gamma_by_hand(name, 2.0)
    s = 0.3
    each = gamma * (2 * s / 3 + 2 * s * (1 - s) * (1 - 2 * s) / 3)
    assert scores["text"].grad is not None
    torch.testing.assert_close(
        scores["text"].grad, torch.tensor([[each, each, each, 0.0]], dtype=torch.float64)
    )


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=20))
def test_bounded_stays_in_the_half_open_unit_interval_and_is_monotone(values: list[float]) -> None:
    gamma = CALIBRATIONS["bounded"](torch.tensor(sorted(values)))
    assert bool(((gamma > 0) & (gamma <= 1)).all())
    assert bool((gamma.diff() <= 0).all())
    assert bool((gamma[torch.tensor(sorted(values)) <= 1] == 1).all())


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.one_of(st.just(0.0), st.floats(2.0**-100, 1e6, width=32), st.floats(-1e6, -(2.0**-30), width=32)),
        min_size=1,
        max_size=8,
    )
)
def test_every_calibration_is_finite_in_float32(values: list[float]) -> None:
    for name in NAMES:
        delta = torch.tensor(values, dtype=torch.float32, requires_grad=True)
        gamma = CALIBRATIONS[name](delta)
        assert bool(torch.isfinite(gamma).all())
        if gamma.requires_grad:
            gamma.sum().backward()
            assert delta.grad is not None
            assert bool(torch.isfinite(delta.grad).all())


def test_penalties_of_a_sample_without_features_are_zero() -> None:
    scores, mask = torch.ones(2, 3), torch.tensor([[True] * 3, [False] * 3])
    assert magnitude_penalty(scores, mask).tolist() == [1.0, 0.0]
    assert binary_penalty(scores, mask).tolist() == [0.0, 0.0]


def test_label_sources() -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]], requires_grad=True)
    labels = torch.tensor([2, 0])
    assert label_distribution(logits, labels, "data").tolist() == [[0, 0, 1], [1, 0, 0]]
    assert label_distribution(logits, labels, "prediction").tolist() == [[1, 0, 0], [0, 1, 0]]
    assert label_distribution(logits, None, "prediction").tolist() == [[1, 0, 0], [0, 1, 0]]
    whole = label_distribution(logits, None, "distribution")
    torch.testing.assert_close(whole, logits.detach().softmax(-1))
    assert not whole.requires_grad
    with pytest.raises(ConfigError, match="needs labels"):
        label_distribution(logits, None, "data")
    with pytest.raises(ConfigError, match="label must be one of data, prediction, distribution"):
        label_distribution(logits, labels, "gold")
    with pytest.raises(InputError, match="label 3 is none of the model's 3 classes"):
        label_distribution(logits, torch.tensor([0, 3]), "data")


def test_task_loss_is_cross_entropy_with_any_distribution() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 4, generator=generator)
    soft = torch.randn(5, 4, generator=generator).softmax(-1)
    expected = []
    for row, target in zip(logits.double().tolist(), soft.double().tolist(), strict=True):
        total = math.log(sum(math.exp(v) for v in row))
        expected.append(-sum(t * (v - total) for v, t in zip(row, target, strict=True)))
    torch.testing.assert_close(
        task_loss(logits, soft).double(), torch.tensor(expected).double(), rtol=1e-5, atol=1e-6
    )
    labels = torch.tensor([0, 1, 2, 3, 0])
    hard = label_distribution(logits, labels, "data")
    reference = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(task_loss(logits, hard), reference)


def test_complement_loss_is_minus_log_one_minus_p() -> None:
    logits = 3 * torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(50) % 6
    p = logits.double().softmax(-1)[torch.arange(50), labels]
    given = complement_loss(logits, torch.nn.functional.one_hot(labels, 6).float())
    torch.testing.assert_close(given.double(), -torch.log1p(-p), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("height", [50.0, 1e3, 1e6])
def test_complement_loss_is_finite_as_p_nears_one(height: float) -> None:
    logits = torch.tensor([[height, 0.0, 0.0]], requires_grad=True)
    loss = complement_loss(logits, torch.tensor([[1.0, 0.0, 0.0]]))
    assert float(loss.detach()) == pytest.approx(height - math.log(2), rel=1e-6)  # -log(1 - p), exactly
    loss.sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.tensor([[1.0, -0.5, -0.5]]))


def test_other_penalties_are_added_with_their_weights_and_without_gamma() -> None:
    p = problem()
    base = terms_of(CLEAN + DELTAS, CLEAN, p["scores"], p["masks"], solo=p["solo"])
    terms = terms_of(
        CLEAN + DELTAS,
        CLEAN,
        p["scores"],
        p["masks"],
        solo=p["solo"],
        shown_weight=0.3,
        emptiness_weight=0.7,
    )
    for i in range(6):
        shown = empty = 0.0
        for m, scores in p["scores"].items():
            kept = [
                s
                for s, r in zip(
                    scores[i].flatten().tolist(), p["masks"][m][i].flatten().tolist(), strict=True
                )
                if r
            ]
            shown += sum(kept) / len(kept)
            empty -= sum(math.log(1 - s) for s in kept) / len(kept)
        assert float(terms["shown"][i]) == pytest.approx(shown, rel=1e-12)
        assert float(terms["emptiness"][i]) == pytest.approx(empty, rel=1e-12)
        added = float(terms["loss"][i] - base["loss"][i])
        assert added == pytest.approx(0.3 * shown + 0.7 * empty, rel=1e-9)


def test_an_empty_map_is_pulled_up_by_what_it_loses() -> None:
    """Four samples: a map that is not empty, and empty ones that lose 0.4, nothing, and more than 1."""
    raw = torch.tensor(
        [[0.5, -3.0, 9.0], [-2.0, -0.5, 9.0], [-2.0, -0.7, 9.0], [-4.0, -1.5, 9.0]], dtype=torch.float64
    ).requires_grad_()
    real = torch.tensor([[True, True, False]] * 4)  # the third is padding
    clean = torch.tensor([0.1, 0.1, 0.3, 0.2], dtype=torch.float64)
    after = torch.tensor([9.0, 0.5, 0.2, 5.0], dtype=torch.float64)
    asked = []

    def masked_loss(masks: Any) -> torch.Tensor:
        asked.append(sorted(masks))
        return after

    step: Any = SimpleNamespace(
        raw=SimpleNamespace(map={"image": raw, "text": raw.detach().abs()}),
        feature_mask={"image": real, "text": real},
        scores={"image": torch.zeros(4, 3), "text": torch.ones(4, 3)},
        zeros=lambda: torch.zeros(4, dtype=torch.float64),
        clean_loss=lambda: clean,
        masked_loss=masked_loss,
    )
    found = TERMS["empty"].value(step)
    assert asked == [["image"]]  # the text has no empty map and costs no pass
    assert found.tolist() == pytest.approx([0.0, 0.4 * 0.5, 0.0, 1.0 * 1.5])
    found.sum().backward()
    assert raw.grad is not None
    expected = torch.zeros(4, 3, dtype=torch.float64)
    expected[1, 1], expected[3, 1] = -0.4, -1.0  # a step against the gradient raises the highest raw score
    torch.testing.assert_close(raw.grad, expected)


def test_terms_of_others_are_not_logged_without_a_weight() -> None:
    p = problem(("text",))
    quiet = {name for name, entry in TERMS.items() if entry.quiet}
    assert quiet == {"shown", "probability", "emptiness", "slope", "empty"}
    assert not quiet & set(terms_of(CLEAN, CLEAN, p["scores"], p["masks"]))


def test_a_score_of_one_has_a_finite_emptiness_and_gradient() -> None:
    scores = torch.tensor([[0.0, 0.5, 1.0]], requires_grad=True)
    value = emptiness_penalty(scores, torch.ones(1, 3, dtype=torch.bool))
    value.sum().backward()
    assert float(value.detach()) == pytest.approx((math.log(2) - math.log(1e-6)) / 3, rel=0.02)
    assert torch.isfinite(scores.grad).all()  # type: ignore[arg-type]
    assert float(scores.grad[0, 1]) == pytest.approx(2 / 3)  # type: ignore[index]


def test_with_mask_weight_zero_the_task_teaches_nothing() -> None:
    p = problem(("text",))
    joint = (CLEAN + DELTAS).requires_grad_()
    outside = torch.arange(6, dtype=torch.float64).requires_grad_()
    terms = terms_of(
        joint, CLEAN, p["scores"], p["masks"], outside=outside, mask_weight=0, complement_weight=2
    )
    torch.testing.assert_close(terms["loss"], 2 * outside)
    torch.testing.assert_close(terms["task"], joint)  # it is still told
    terms["loss"].sum().backward()
    assert joint.grad is None
    assert outside.grad is not None


def test_an_objective_that_teaches_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="teaches nothing"):
        ObjectiveConfig(mask_weight=0)
    with pytest.raises(ConfigError, match="teaches nothing"):
        ObjectiveConfig(mask_weight=0, shown_weight=1, emptiness_weight=1)
    assert ObjectiveConfig(mask_weight=0, probability_weight=1).mask_weight == 0


def test_a_rank_term_that_is_no_number_is_said_to_come_from_the_fill() -> None:
    nan = torch.tensor([torch.nan])
    with pytest.raises(NotFiniteError, match=r"loss \(rank\).*'rank' is named.*choose other fills"):
        require_finite_loss({"rank": nan, "loss": nan})
