"""Copies of a target and its scorer that share all weights, and that may be hooked, traced and moved.

A traced pass can neither lock a model nor put hooks on it, and a borrowed model must not keep any. So the pass is traced
on a copy of the modules. The copy's weights are the original's memory until somebody moves them.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.core.types import Inputs
from sidelight.errors import ExportError, first_line
from sidelight.scorers import Scorer
from sidelight.targets import ImageTarget, ImageTextTarget, TargetModel

#: parts of a target that copies share, because they hold no weights
_SHARED = ("reader", "tokenizer", "processor", "reference")


def shared_copy(
    target: TargetModel, scorer: Scorer, inputs: Inputs, device: torch.device | None = None
) -> tuple[TargetModel, Scorer]:
    """Copies of both, frozen and in eval mode, with all hooks in place that a pass needs.

    Args:
        inputs: of a pass, which settles what only a first pass can tell.
        device: if given, the copies are moved there and compute in float32.

    Raises:
        ExportError: the model cannot be copied.
    """
    target.encode(target.to_device(inputs))
    with target.one_pass():  # freezes the model, and takes compiled code off its parts
        memo = _memo(target, scorer)
        try:
            own, network = copy.deepcopy((target, scorer), memo)
        except Exception as error:
            raise ExportError(
                f"{type(target.model).__name__} cannot be copied ({first_line(error)}), so its pass cannot be traced. "
                "Attributes that hold locks, open files or results of a pass are the usual causes."
            ) from error
    if device is not None:
        own.model.to(device, torch.float32)
        network.to(device, torch.float32)
    for image in _image_parts(own):
        image.stay_hooked()
    with torch.no_grad():
        own.encode_bare(own.to_device(inputs))  # transformers puts its hooks on, and they stay
    if isinstance(own, ImageTextTarget):
        own.architecture.settle()
    return own, network.eval()


def _image_parts(target: TargetModel) -> list[ImageTarget]:
    found = target.image if isinstance(target, ImageTextTarget) else target
    return [found] if isinstance(found, ImageTarget) else []


def _memo(target: TargetModel, scorer: Scorer) -> dict[int, Any]:
    """What ``deepcopy`` puts in place of the objects with these ids."""
    memo: dict[int, Any] = {}
    for module in (target.model, scorer):
        for value in (*module.parameters(), *module.buffers()):
            if type(value) in (nn.Parameter, Tensor):  # others, such as quantised ones, are copied
                memo[id(value)] = _alias(value)
    for part in _kept(target):
        memo[id(part)] = part
    return memo


def _alias(value: Tensor) -> Tensor:
    """Another tensor with the memory of ``value``, which can be moved by itself."""
    plain = value.detach()
    return nn.Parameter(plain, requires_grad=False) if isinstance(value, nn.Parameter) else plain


def _kept(target: TargetModel) -> Iterator[Any]:
    for part in (target, getattr(target, "image", None), getattr(target, "text", None)):
        for holder in (part, getattr(part, "reader", None), getattr(part, "vocabulary", None)):
            yield from (v for name in _SHARED if (v := getattr(holder, name, None)) is not None)
