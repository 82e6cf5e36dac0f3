"""Models of timm without naming layers: a stand-in that tells what timm's models tell, and the real ones where installed."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from sidelight import Explainer, ImageTransform
from sidelight.errors import UnsupportedTargetError
from sidelight.targets import as_target
from sidelight.targets.timm_models import is_timm, timm_layers

QUICK: dict[str, Any] = {"epochs": 1, "batch_size": 8, "extra": {"disable_tqdm": True, "use_cpu": True}}
CONFIG = {
    "input_size": (3, 32, 32),
    "interpolation": "bicubic",
    "mean": (0.485, 0.456, 0.406),
    "std": (0.229, 0.224, 0.225),
    "crop_pct": 0.9,
    "crop_mode": "center",
}


class Net(nn.Module):
    """What sidelight reads of a model of timm: the module of its class, and ``feature_info``."""

    __module__ = "timm.models.net"

    def __init__(self, feature_info: Any = None) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU())
        self.stages = nn.ModuleList([nn.Conv2d(8, 12, 3, 2, 1), nn.Conv2d(12, 16, 3, 2, 1)])
        self.head = nn.Linear(16, 3)
        modules = ("stem", "stages.0", "stages.1", "act9")  # timm names some that only tracing finds
        self.feature_info = (
            [{"num_chs": 8, "reduction": 2, "module": name} for name in modules]
            if feature_info is None
            else feature_info
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x).relu()
        return self.head(x.mean((2, 3)))


@pytest.fixture
def timm_data(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    config = dict(CONFIG)
    stand_in = SimpleNamespace(resolve_model_data_config=lambda model: config)
    monkeypatch.setitem(sys.modules, "timm.data", stand_in)
    return config


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(count)]


def test_layers_and_preprocessing_come_from_the_model(timm_data: dict[str, Any]) -> None:
    torch.manual_seed(0)
    net = Net().eval()
    target = as_target(net)
    assert target.options()["layers"] == ["stem", "stages.0", "stages.1"]
    assert target.reader.transform == ImageTransform(
        (32, 32),
        mean=CONFIG["mean"],
        std=CONFIG["std"],
        crop=True,
        resize_to=35,
        resample="bicubic",
        centre="even",
    )
    inputs = target.reader.read(pictures(3)).inputs
    with torch.no_grad():
        alone = net(inputs["pixel_values"])
    assert torch.equal(target.encode(inputs).logits, alone)


def test_a_model_of_timm_is_explained_without_a_word_about_it(
    timm_data: dict[str, Any], tmp_path: Any
) -> None:
    torch.manual_seed(0)
    net, names = Net(), ["cat", "dog", "bird"]
    options = {"class_names": names, "on_collapse": "warn", "output_dir": tmp_path / "run", **QUICK}
    explainer = Explainer.fit(net, pictures(16), **options)
    found = explainer.explain(pictures(1)[0])
    assert (found.label in names, found.map.shape) == (True, (32, 32))
    folder = explainer.save_pretrained(tmp_path / "s")
    sys.modules.pop("timm.data")
    again = Explainer.from_pretrained(folder, net).explain(pictures(1)[0])
    np.testing.assert_array_equal(again.map, found.map)


def test_what_the_caller_says_comes_first(timm_data: dict[str, Any]) -> None:
    target = as_target(Net(), ImageTransform((16, 16)), layers=["stages.1"])
    assert target.options()["layers"] == ["stages.1"]
    assert target.reader.transform.size == (16, 16)


def test_a_model_that_does_not_tell(timm_data: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedTargetError, match=r"layers=\[.*top level here: stem, stages, head"):
        as_target(Net(feature_info=()))
    assert not is_timm(nn.Linear(1, 1))


def test_cuts_that_we_do_not_know_leave_the_processor_to_the_caller(timm_data: dict[str, Any]) -> None:
    timm_data["crop_mode"] = "border"
    assert as_target(Net()).reader.transform is None
    timm_data["crop_mode"] = "squash"
    assert as_target(Net()).reader.transform.resize_to == (35, 35)


def test_a_model_without_classes_is_refused(timm_data: dict[str, Any]) -> None:
    net = Net()
    net.num_classes = 0
    with pytest.raises(UnsupportedTargetError, match=r"num_classes=0.*create_model\(\.\.\., num_classes=K\)"):
        as_target(net)


def test_pictures_have_the_only_size_that_the_model_takes(timm_data: dict[str, Any]) -> None:
    net = Net()
    net.patch_embed = nn.Identity()
    net.patch_embed.img_size, net.patch_embed.strict_img_size = (48, 48), True
    transform = as_target(net).reader.transform
    assert (transform.size, transform.resize_to) == ((48, 48), 53)
    net.patch_embed.strict_img_size = False
    assert as_target(net).reader.transform.size == (32, 32)


@pytest.mark.parametrize("first", ["stem.0", ("stem.0", "stages.0")])
def test_other_channels_leave_the_processor_to_the_caller(timm_data: dict[str, Any], first: Any) -> None:
    net = Net()
    net.pretrained_cfg = {"first_conv": first}
    assert as_target(net).reader.transform is not None
    net.stem[0] = nn.Conv2d(1, 8, 3, 2, 1)
    assert as_target(net).reader.transform is None


@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "convnext_atto"])
def test_the_real_library(name: str) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model(name, pretrained=False, num_classes=5).eval()
    made = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    target = as_target(model)
    pixels = torch.stack([made(p) for p in pictures(2)])
    assert torch.equal(torch.stack([target.reader.transform(p) for p in pictures(2)]), pixels)
    with torch.no_grad():
        assert torch.equal(target.encode({"pixel_values": pixels}).logits, model(pixels))
    assert len(timm_layers(model)) >= 4
