"""torchvision's MobileNetV2 weights in the Hugging Face class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from sidelight.core.files import find_weights
from sidelight.errors import InputError

#: counts training batches, which a frozen model never reads and older files lack
COUNTER = ".num_batches_tracked"
#: torchvision's last layer
HEAD = "classifier.1"


def from_weights(
    place: str, classes: Sequence[int] | None = None, labels: Sequence[str] | None = None
) -> Any:
    """:func:`from_torchvision` of a weights file.

    Args:
        place: a path, or ``package:path/in/package``.
        classes, labels: as in :func:`from_torchvision`.

    Raises:
        CheckpointError: there is no such file.
        InputError: the state dict is of another architecture.
    """
    state = torch.load(find_weights(place), map_location="cpu", weights_only=True)
    return from_torchvision(state, classes, labels)


def from_torchvision(
    state: Mapping[str, Tensor], classes: Sequence[int] | None = None, labels: Sequence[str] | None = None
) -> Any:
    """A ``MobileNetV2ForImageClassification`` that computes the same as torchvision's ``mobilenet_v2``.

    Both networks hold the same layers in the same order, so the n-th convolution or batch norm of one is the n-th
    of the other. Every shape is checked.

    Args:
        state: torchvision's state dict (width 1.0).
        classes: rows of the classifier to keep, in order (default: all).

    Raises:
        InputError: the state dict is of another architecture.
    """
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification

    picks = _rows(state, classes)
    names = list(labels) if labels is not None else [str(int(i)) for i in picks]
    if len(names) != len(picks):
        raise InputError(f"{len(picks)} classes but {len(names)} label(s); give one label a class.")
    config = MobileNetV2Config(
        num_labels=len(picks),
        tf_padding=False,
        layer_norm_eps=1e-5,
        id2label=dict(enumerate(names)),
        label2id={n: i for i, n in enumerate(names)},
    )
    model = MobileNetV2ForImageClassification(config).eval()
    own = model.state_dict()
    source = [(k, v) for k, v in state.items() if k.startswith("features.") and not k.endswith(COUNTER)]
    goal = [k for k in own if k.startswith("mobilenet_v2.") and not k.endswith(COUNTER)]
    if len(source) != len(goal):
        raise InputError(
            f"expected {len(goal)} feature tensors of torchvision's mobilenet_v2; got {len(source)}."
        )
    for name, (given, tensor) in zip(goal, source, strict=True):
        if own[name].shape != tensor.shape:
            raise InputError(
                f"{given} has shape {tuple(tensor.shape)}, {name} needs {tuple(own[name].shape)}."
            )
        own[name] = tensor
    for part in ("weight", "bias"):
        own[f"classifier.{part}"] = state[f"{HEAD}.{part}"][picks]
    model.load_state_dict(own)
    return model


def _rows(state: Mapping[str, Tensor], classes: Sequence[int] | None) -> Tensor:
    """Numbers of the classifier's rows that are kept, in order."""
    for key in (f"{HEAD}.weight", f"{HEAD}.bias"):
        if key not in state:
            raise InputError(f"no {key!r} in the state dict; it is not of torchvision's mobilenet_v2.")
    count = len(state[f"{HEAD}.weight"])
    bad = [c for c in classes or () if not 0 <= c < count]
    if bad:
        raise InputError(f"classes must be rows of the classifier, 0 to {count - 1}; got {bad[0]}.")
    return torch.arange(count) if classes is None else torch.tensor(list(classes))
