"""States are laid out as they are, or refused: an object that moves in a picture moves in the states that are read."""

from __future__ import annotations

from collections import Counter
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_models import SQUARE, P, S
from image_families import build, classes
from torch import Tensor, nn

from sidelight import Explainer
from sidelight.checks.selfcheck import self_check
from sidelight.errors import ConfigError, SidelightError, UnsupportedTargetError
from sidelight.targets import ImageTarget, as_target
from sidelight.targets.layouts import MAPS

#: families that cannot be right: latents, patches cut outside, colour clusters, words too, an output without logits
REFUSED = {"perceiver", "siglip2", "imagegpt", "shieldgemma2", "pp_lcnet"}
#: what needs a package that is no dependency
MISSING = {"dinat", "timm_wrapper"}


def moves(target: ImageTarget, size: int = 64) -> bool:
    """Whether a dark object in each quarter of a noise picture is seen in that quarter of every state of 4×4 and more."""
    picture = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(3))
    still = target.encode({"pixel_values": picture}).states["image"]
    answers: list[list[Tensor]] = [[] for _ in still]
    edge = size // 8
    for top in (0, size // 2):
        for left in (0, size // 2):
            other = picture.clone()
            other[..., top + edge : top + size // 2 - edge, left + edge : left + size // 2 - edge] = -1.5
            states = target.encode({"pixel_values": other}).states["image"]
            for kept, a, b in zip(answers, states, still, strict=True):
                kept.append(nn.functional.adaptive_avg_pool2d((a - b).norm(dim=1)[0][None], 2).flatten())
    told = [own for k in answers if (own := _own_quarter(torch.stack(k))) is not None]
    return bool(told) and all(told)


def _own_quarter(found: Tensor) -> bool | None:
    """Of answers ``[place, quarter]``: whether each is in the place's own; ``None`` where quarters hardly differ."""
    centred = found - found.mean(0) - found.mean(1, keepdim=True) + found.mean()
    orders = {p: float(centred[range(4), list(p)].sum()) for p in permutations(range(4))}
    best = max(orders, key=orders.__getitem__)
    # where each answer is in one quarter alone, the right order holds half of what differs
    distinct = orders[best] >= 0.45 * float(centred.abs().sum()) and float(found.max()) > 1e-6
    return best == (0, 1, 2, 3) if distinct else None


def test_fault_05_every_image_family_is_right_or_refused() -> None:
    outcome: dict[str, list[str]] = {"right": [], "refused": [], "unbuildable": [], "wrong": []}
    for kind, name in classes():
        if kind == "perceiver" and "Conv" not in name:
            continue  # refused for the same latents, at ten times the cost
        try:
            model = build(kind, name)
        except ImportError:
            outcome["unbuildable"].append(kind)
            continue
        try:
            right = moves(ImageTarget(model))
        except SidelightError:
            outcome["refused"].append(kind)
            continue
        outcome["right" if right else "wrong"].append(kind)

    assert not outcome["wrong"], outcome
    assert set(outcome["unbuildable"]) <= MISSING, outcome
    assert set(outcome["refused"]) <= REFUSED, outcome
    assert Counter({k: len(v) for k, v in outcome.items()})["right"] >= 36, outcome


class Ordered(nn.Module):
    """A small net whose named layer gives the same values in another order of axes."""

    def __init__(self, order: str, channels: int = 8, gate: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.order, self.gate = order, gate
        self.conv = nn.Conv2d(3, channels, 4, 4)
        self.layer = nn.Identity()
        self.head = nn.Linear(channels, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.conv(pixels).relu()
        if self.gate:  # a squeezed context that answers everywhere
            x = x * x.mean((2, 3), keepdim=True).sigmoid() + x.mean((2, 3), keepdim=True)
        value: Tensor = self.layer(arranged(x, self.order))
        return self.head(x.mean((2, 3))) + 0 * value.mean()


def arranged(x: Tensor, order: str) -> Tensor:
    """``[B, C, h, w]`` in the order of axes, or as tokens, that ``order`` names."""
    if order in MAPS:
        return x.permute(["BCHW".index(a) for a in order])
    kind, *flags = order.split("+")
    b, c, h, w = x.shape
    if "serpentine" in flags:
        x = torch.cat([x[:, :, i : i + 1].flip(3) if i % 2 else x[:, :, i : i + 1] for i in range(h)], 2)
    if "windows" in flags:
        x = x.reshape(b, c, 2, h // 2, 2, w // 2).transpose(3, 4)
    if "global" in flags:
        x = x.mean((2, 3), keepdim=True).expand(b, c, h, w) * torch.arange(1.0, h * w + 1).view(h, w)
    tokens = (x.transpose(2, 3) if "columns" in flags else x).reshape(b, c, h * w).transpose(1, 2)
    if "first" in flags or "last" in flags:
        extra = torch.zeros(b, 3, c)
        tokens = torch.cat([extra, tokens] if "first" in flags else [tokens, extra], 1)
    return tokens if kind == "BNC" else tokens.transpose(1, 2)


def state(order: str, size: tuple[int, int], **options: Any) -> Tensor:
    target = ImageTarget(Ordered(order, **options).eval(), layers=["layer"])
    pixels = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    return target.encode({"pixel_values": pixels}).states["image"][0]


@pytest.mark.parametrize("size", [(32, 32), (24, 40), (8, 8), (8, 4)])
@pytest.mark.parametrize("order", MAPS)
def test_fault_05_the_same_values_in_any_order_are_the_same_state(order: str, size: tuple[int, int]) -> None:
    assert torch.equal(state(order, size), state("BCHW", size))


@pytest.mark.parametrize("order", MAPS)
def test_fault_05_context_that_answers_everywhere_does_not_confuse(order: str) -> None:
    assert torch.equal(state(order, (32, 32), gate=True), state("BCHW", (32, 32), gate=True))


@pytest.mark.parametrize(
    "order", ["BNC", "BNC+first", "BNC+last", "BNC+columns", "BNC+columns+first", "BCN", "BCN+columns"]
)
@pytest.mark.parametrize("size", [(32, 32), (24, 40)])
def test_fault_05_tokens_in_any_order_are_laid_where_they_belong(order: str, size: tuple[int, int]) -> None:
    assert torch.equal(state(order, size, channels=12), state("BCHW", size, channels=12))


@pytest.mark.parametrize("order", ["BNC+serpentine", "BNC+windows", "BNC+global"])
def test_fault_05_other_orders_are_refused_with_the_layer_named(order: str) -> None:
    with pytest.raises(UnsupportedTargetError, match=r"layer 'layer'.*layouts="):
        state(order, (64, 64))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_fault_05_the_order_is_found_in_every_precision(dtype: torch.dtype) -> None:
    target = ImageTarget(Ordered("BHWC").eval().to(dtype), layers=["layer"])
    target.encode({"pixel_values": torch.randn(1, 3, 32, 32).to(dtype)})
    assert target.options()["layouts"] == "BHWC"


def test_fault_05_memory_format_is_no_order_of_axes() -> None:
    net: Any = Ordered("BCHW").eval().to(memory_format=torch.channels_last)
    target = ImageTarget(net, layers=["layer"])
    pixels = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    found = target.encode({"pixel_values": pixels.to(memory_format=torch.channels_last)}).states["image"][0]
    assert torch.allclose(found, state("BCHW", (32, 32)), atol=1e-6)


def test_fault_05_permuted_states_train_to_the_same_maps_and_come_back(tmp_path: Path) -> None:
    maps = {}
    for order in ("BCHW", "BHWC"):
        net = Ordered(order).eval()
        explainer = Explainer.fit(
            net, P, processor=SQUARE, layers=["layer"], output_dir=tmp_path / order, **S
        )
        explainer.save_pretrained(tmp_path / f"{order}-scorer")
        again = Explainer.from_pretrained(tmp_path / f"{order}-scorer", net, processor=SQUARE)
        maps[order] = np.stack([e.map for e in explainer.explain(P[:6])])
        assert again.target.options()["layouts"] == order
        assert np.array_equal(maps[order], np.stack([e.map for e in again.explain(P[:6])]))
    assert np.array_equal(maps["BCHW"], maps["BHWC"])


def test_fault_05_states_of_an_older_scorer_are_read_as_they_were() -> None:
    net = Ordered("BHWC").eval()
    old = ImageTarget(net, layers=["layer"], states=[0])  # what older versions saved
    assert old.encode({"pixel_values": torch.randn(1, 3, 32, 32)}).states["image"][0].shape == (1, 8, 8, 8)
    assert old.options()["layouts"] is None
    told = ImageTarget(net, layers=["layer"], layouts="BWHC")
    assert told.encode({"pixel_values": torch.randn(1, 3, 32, 40)}).states["image"][0].shape == (1, 8, 10, 8)
    with pytest.raises(ConfigError, match="BHWX"):
        ImageTarget(net, layers=["layer"], layouts="BHWX")


class Parts(nn.Module):
    """A classifier one of whose layers has two names, and another of which is TorchScript."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 2), nn.Linear(8, 3)
        self.again = self.stem
        self.act = torch.jit.script(nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.head(self.act(self.again(x)).mean((2, 3)))
        return found


def test_kind_a_layer_of_two_names_is_found_by_both() -> None:
    model, x = Parts().eval(), torch.randn(2, 3, 32, 32)
    first, second = (
        as_target(model, SQUARE, layers=[name]).encode({"pixel_values": x}) for name in ("stem", "again")
    )
    assert torch.equal(first.states["image"][0], second.states["image"][0])


def test_kind_a_scripted_part_is_no_fault_of_the_model_and_cannot_be_read() -> None:
    self_check(as_target(Parts().eval(), SQUARE, layers=["stem"]), P[:2], gradients=True)
    with pytest.raises(UnsupportedTargetError, match="layer 'act' is a TorchScript module"):
        as_target(Parts().eval(), SQUARE, layers=["act"])


class Branching(nn.Module):
    """One layer never runs, and another runs for bright pictures only."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.idle, self.bright, self.head = (
            nn.Conv2d(3, 8, 3, 2),
            nn.Conv2d(8, 8, 1),
            nn.Conv2d(8, 8, 1),
            nn.Linear(8, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        seen = self.stem(x)
        seen = self.bright(seen) if x.mean() > 0 else seen
        found: Tensor = self.head(seen.mean((2, 3)))
        return found


def test_kind_a_named_layer_that_does_not_run_is_told() -> None:
    model, light = Branching().eval(), torch.rand(2, 3, 32, 32)
    with pytest.raises(UnsupportedTargetError, match="layer 'idle' of Branching did not run"):
        as_target(model, SQUARE, layers=["stem", "idle"]).encode({"pixel_values": light})
    target = as_target(model, SQUARE, layers=["stem", "bright"], states=[0, 1], layouts="BCHW")
    target.encode({"pixel_values": light})
    with pytest.raises(UnsupportedTargetError, match="layer 'bright' of Branching did not run"):
        target.encode({"pixel_values": -light})
    saved = as_target(model, SQUARE, layers=["stem", "idle"], states=[0], layouts="BCHW")
    assert saved.encode({"pixel_values": light}).states["image"][0].shape == (2, 8, 15, 15)
