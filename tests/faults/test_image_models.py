"""Image classifiers as users bring them: of two precisions, with views of their own, for other tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from fault_models import SQUARE, P, S, eye
from torch import Tensor, nn

from sidelight import Explainer
from sidelight.errors import UnsupportedTargetError
from sidelight.targets import as_target


class Halved(nn.Module):
    """A net whose convolution is in half precision, and whose first parameter is not, as in OpenAI's CLIP."""

    def __init__(self, first: torch.dtype, inside: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.token = nn.Parameter(torch.randn(16).to(first))
        self.conv = nn.Conv2d(3, 16, 8, 8).to(inside)
        self.deep = nn.Conv2d(16, 16, 1).to(inside)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        seen = self.deep(self.conv(x).relu()).float().mean((2, 3))
        logits: Tensor = self.head(seen + self.token.float())
        return logits


class Flips(nn.Module):
    """A net that looks at each picture and its mirror image in one batch."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 4, 4)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        both = self.head(self.conv(torch.cat([x, x.flip(-1)])).relu().mean((2, 3)))
        logits: Tensor = both.view(2, len(x), -1).mean(0)
        return logits


class OtherName(transformers.ViTForImageClassification):  # type: ignore[misc]
    """A subclass that calls its pixels otherwise."""

    def forward(self, x: Tensor, **kwargs: Any) -> Any:  # type: ignore[override]
        return super().forward(pixel_values=x, **kwargs)


@pytest.mark.parametrize(
    ("first", "inside"), [(torch.float32, torch.float16), (torch.float16, torch.float32)], ids=str
)
def test_kind_pixels_have_the_type_of_the_layer_that_reads_them(
    first: torch.dtype, inside: torch.dtype, tmp_path: Path
) -> None:
    model = Halved(first, inside).eval()
    options: dict[str, Any] = {"layers": ["conv", "deep"], "output_dir": tmp_path, **S}
    explainer = Explainer.fit(model, P[:24], processor=SQUARE, **options)
    pixels = torch.tensor(np.array(P[0])).permute(2, 0, 1)[None] / 127.5 - 1  # what SQUARE does
    with torch.no_grad():
        own = model(pixels.to(inside)).softmax(-1)[0]
    assert float(own.max()) == pytest.approx(explainer.explain(P[0]).probability, abs=1e-3)


@pytest.mark.parametrize("options", [{}, {"layouts": "BCHW"}], ids=["found", "given"])
def test_kind_layers_that_see_several_views_are_told(options: dict[str, Any]) -> None:
    target = as_target(Flips().eval(), SQUARE, layers=["conv"], **options)
    with pytest.raises(UnsupportedTargetError, match=r"layer 'conv' of Flips gives .* for \d+ picture"):
        target.encode({"pixel_values": torch.rand(2, 3, 32, 32)})


def test_kind_a_model_for_another_task_is_told_by_its_output() -> None:
    config = transformers.YolosConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        image_size=[32, 32], num_detection_tokens=3,
    )  # fmt: skip
    target = as_target(transformers.YolosForObjectDetection(config).eval(), SQUARE)
    with pytest.raises(UnsupportedTargetError, match="a classifier returns floating-point logits"):
        target.encode({"pixel_values": torch.rand(2, 3, 32, 32)})


def test_kind_a_subclass_that_names_its_pixels_otherwise_is_told_so() -> None:
    target = as_target(OtherName(eye().config).eval(), SQUARE)
    with pytest.raises(UnsupportedTargetError, match="takes no 'pixel_values'"):
        target.encode({"pixel_values": torch.rand(2, 3, 32, 32)})


class Batch(nn.Module):
    """A net that takes one mapping, as training loops of one's own give it."""

    def __init__(self, look: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.look, self.conv, self.head = look, nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 3)

    def forward(self, batch: Any) -> Tensor:
        logits: Tensor = self.head(self.conv(self.look(batch)).relu().mean((2, 3)))
        return logits


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (lambda b: b["image"], r"looks for 'image'.*model\(pixels\).*self\.model\(\{'image': x\}\)"),
        (lambda b: b.get("pixels"), r"looks for 'pixels'.*self\.model\(\{'pixels': x\}\)"),
        (lambda b: dict(**b)["x"], r"takes a mapping, which holds its pixels.*self\.model\(\{\.\.\.: x\}\)"),
    ],
    ids=["item", "get", "all"],
)
def test_kind_a_model_that_takes_a_mapping_is_told_how_it_is_called(look: Any, said: str) -> None:
    """Its error about an index came out as a fault of sidelight."""
    with pytest.raises(UnsupportedTargetError, match=said):
        Explainer.fit(Batch(look).eval(), P[:24], processor=SQUARE, layers=["conv"], **S)


def test_kind_a_model_that_reads_ids_of_colours_is_told_beside_its_own_processor() -> None:
    """It was asked for a tokenizer."""
    config = transformers.ImageGPTConfig(n_embd=16, n_layer=1, n_head=2, vocab_size=9, n_positions=64)
    model = transformers.ImageGPTForImageClassification(config).eval()
    processor = transformers.ImageGPTImageProcessorPil(clusters=np.linspace(-1, 1, 24).reshape(8, 3))
    with pytest.raises(UnsupportedTargetError, match=r"reads ids of tokens \(of colours.*takes pixel_values"):
        as_target(model, processor)
