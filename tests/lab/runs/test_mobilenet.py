"""torchvision's MobileNetV2, rebuilt here in plain torch, computes what the converted model computes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sidelight.errors import InputError
from sidelight.lab.runs.mobilenet import from_torchvision


def block(into: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(into, out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU6())


class Inverted(nn.Module):
    def __init__(self, into: int, out: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = into * expand
        layers: list[nn.Module] = [block(into, wide, 1)] if expand != 1 else []
        layers += [
            block(wide, wide, 3, stride, wide),
            nn.Conv2d(wide, out, 1, bias=False),
            nn.BatchNorm2d(out),
        ]
        self.conv = nn.Sequential(*layers)
        self.residual = stride == 1 and into == out

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class Reference(nn.Module):
    """The published architecture (width 1.0) under torchvision's names."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        plan = [
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ]
        layers: list[nn.Module] = [block(3, 32, 3, 2)]
        width = 32
        for expand, out, repeats, stride in plan:
            for i in range(repeats):
                layers.append(Inverted(width, out, stride if i == 0 else 1, expand))
                width = out
        layers.append(block(width, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


@pytest.fixture(scope="module")
def reference() -> Reference:
    torch.manual_seed(0)
    model = Reference(12).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.2)  # type: ignore[union-attr]
            module.running_var.uniform_(0.3, 0.9)  # type: ignore[union-attr]
            nn.init.uniform_(module.weight, 0.8, 1.4)
            nn.init.normal_(module.bias, 0, 0.2)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return model


@torch.no_grad()
def test_the_converted_model_gives_the_same_logits(reference: Reference) -> None:
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = reference(x)
    assert float(expected.std()) > 0.01  # lively, so that agreement says something
    state = reference.state_dict()
    converted = from_torchvision(state)
    torch.testing.assert_close(converted(x).logits, expected, rtol=1e-4, atol=1e-4)

    picked = from_torchvision(state, [7, 0, 3], ["a", "b", "c"])
    torch.testing.assert_close(picked(x).logits, expected[:, [7, 0, 3]], rtol=1e-4, atol=1e-4)
    assert picked.config.id2label == {0: "a", 1: "b", 2: "c"}
    assert not picked.training

    older = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    torch.testing.assert_close(from_torchvision(older)(x).logits, expected, rtol=1e-4, atol=1e-4)


def test_other_state_dicts_are_refused(reference: Reference) -> None:
    state = reference.state_dict()
    with pytest.raises(InputError, match=r"no 'classifier\.1\.weight'.*mobilenet_v2"):
        from_torchvision({"fc.weight": torch.zeros(2, 2)})
    with pytest.raises(InputError, match=r"expected .* feature tensors"):
        from_torchvision({k: v for k, v in state.items() if not k.startswith("features.17.")})
    wide = {**state, "features.0.0.weight": torch.zeros(48, 3, 3, 3)}
    with pytest.raises(InputError, match=r"features\.0\.0\.weight has shape \(48, 3, 3, 3\)"):
        from_torchvision(wide)
    with pytest.raises(InputError, match=r"classes must be .* 0 to 11; got 12"):
        from_torchvision(state, [0, 12])
    with pytest.raises(InputError, match="2 classes but 1 label"):
        from_torchvision(state, [0, 1], ["a"])
