"""Models of the library timm: the layers to read and the preprocessing, which the models themselves tell."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from typing import Any

from torch import nn

from sidelight.errors import UnsupportedTargetError
from sidelight.inputs.images import ImageTransform

#: words in a model's configuration for the two ways of cutting a picture that we know, and whether the shape is kept
_CROPS = {"center": True, "squash": False}


def is_timm(model: Any) -> bool:
    """Whether ``model`` is of a class of timm. The library is not imported for that."""
    return isinstance(model, nn.Module) and any(
        k.__module__.split(".")[0] == "timm" for k in type(model).__mro__
    )


def timm_options(model: nn.Module, options: Mapping[str, Any]) -> dict[str, Any]:
    """``options`` of a target, with the layers of a timm model if the caller names none.

    Raises:
        UnsupportedTargetError: the model has no classes, or names no layers.
    """
    if not is_timm(model):
        return dict(options)
    # its output is a vector of features, which looks like logits
    if getattr(model, "num_classes", None) == 0:
        raise UnsupportedTargetError(
            f"{type(model).__name__} of timm was made with num_classes=0, so it gives features and no classes. Give the model "
            "with its classifier: timm.create_model(..., num_classes=K)."
        )
    return {"layers": timm_layers(model), **options}


def timm_layers(model: nn.Module) -> list[str]:
    """The submodules that timm itself reads features from, shallow to deep.

    Raises:
        UnsupportedTargetError: the model names none.
    """
    info = getattr(model, "feature_info", None)
    entries = list(getattr(info, "info", info) or [])
    known = dict(model.named_modules())
    names = [str(entry["module"]) for entry in entries if isinstance(entry, Mapping) and "module" in entry]
    found = [name for name in dict.fromkeys(names) if name in known]
    if not found:
        raise UnsupportedTargetError(
            f"{type(model).__name__} of timm does not say where its features are (feature_info). Name the submodules to read, "
            f"e.g. layers=['blocks.2', 'blocks.5'] (top level here: {', '.join(n for n, _ in model.named_children())})."
        )
    return found


def timm_transform(model: nn.Module) -> ImageTransform | None:
    """The preprocessing that the model was trained with, or ``None`` if ``ImageTransform`` cannot do it.

    It gives what ``timm.data.create_transform(**timm.data.resolve_model_data_config(model))`` gives, but in the size of the
    model if that takes one size alone (``create_model(..., img_size=384)``), which timm's configuration does not know.
    """
    timm_data = sys.modules.get("timm.data")  # who made the model imported it
    if timm_data is None:
        return None
    config = timm_data.resolve_model_data_config(model)
    channels, height, width = config["input_size"]
    height, width = _only_size(model) or (height, width)
    kept = _CROPS.get(config.get("crop_mode") or "center")
    mode = {3: "RGB", 1: "L"}.get(channels)
    if kept is None or mode is None or (kept and height != width):
        return None
    # create_model(..., in_chans=1): whose mean and deviation nobody tells
    if _channels(model) not in (None, channels):
        return None
    share = float(config.get("crop_pct") or 1)
    sizes = (math.floor(height / share), math.floor(width / share))
    return ImageTransform(
        (height, width),
        mode,
        mean=tuple(config["mean"])[:channels],
        std=tuple(config["std"])[:channels],
        crop=True,
        resize_to=sizes[0] if kept else sizes,
        resample=config.get("interpolation") or "bilinear",
        centre="even",  # timm crops by torchvision
    )


def _only_size(model: nn.Module) -> tuple[int, int] | None:
    """Height and width of the pixels, if the model takes no others."""
    embed = getattr(model, "patch_embed", None)
    size = getattr(embed, "img_size", None) if getattr(embed, "strict_img_size", False) else None
    return None if size is None else (int(size[0]), int(size[1]))


def _channels(model: nn.Module) -> int | None:
    """Channels of the pixels, if the model names its first convolution."""
    named = (getattr(model, "pretrained_cfg", None) or {}).get("first_conv")
    name = named[0] if isinstance(named, (tuple, list)) and named else named
    first = dict(model.named_modules()).get(name) if isinstance(name, str) else None
    found = getattr(first, "in_channels", None)
    return found if isinstance(found, int) else None
