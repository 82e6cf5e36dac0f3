"""What a caller without Python must know of an exported file: one JSON object beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from sidelight.core.tensors import predictable
from sidelight.export.examples import Axes, Examples
from sidelight.export.module import CLASSES, text_part
from sidelight.inputs.image_transform import ImageTransform
from sidelight.inputs.images import PictureTransform, nearly_plain
from sidelight.targets import ImageTarget, ImageTextTarget, TargetModel

FORMAT = "sidelight.export"
#: what each output and input means, by its name or by the part before the modality's
ABOUT = {
    CLASSES: "class of each map; -1 for the predicted one",
    "attention_mask": "1 at tokens, 0 at padding, also if the tokenizer itself gives no mask (SigLIP)",
    "logits": "of classes of which one is true; of independent labels half log-odds, each label and then each opposite",
    "probabilities": "of the classes: softmax of the logits; of independent labels the sigmoid of twice the logits",
    "class": "class that the maps are of: the predicted one, unless `classes` names another",
    "scores": "in [0, 1]: how much each feature made the model decide so",
    "ranking": "without bounds; larger comes first",
    "effects": "change of the probability by each feature, with a sign",
    "scores_text": "in [0, 1]: how much each token made the model decide so; 1 at padding and special tokens",
    "effects_text": "change of the probability by each token, with a sign; 0 at padding and special tokens",
}

#: the steps of an image processor that nothing but itself describes. It may keep a picture's shape, and a file has one.
OWN_STEPS = (
    "those of the image processor, which no plain settings describe. The file takes one height and width, those of its input: "
    "if the processor keeps the shape of a picture, bring the picture to that shape first"
)


def described(name: str, value: Tensor, axes: Mapping[int, str]) -> dict[str, Any]:
    """Name, type and shape of an input or output.

    Example:
        >>> import torch
        >>> described("logits", torch.zeros(2, 5), {0: "batch"})["shape"]
        ['batch', 5]
    """
    shape = [axes.get(i, int(n)) for i, n in enumerate(value.shape)]
    found = {"name": name, "dtype": str(value.dtype).removeprefix("torch."), "shape": shape}
    about = ABOUT.get(name, ABOUT.get(name.rsplit("_", 1)[0]))
    return {**found, "about": about} if about else found


def output_axes(outputs: Mapping[str, Tensor]) -> Axes:
    """The axes of each output that may have any size."""
    return {name: {0: "batch", 1: "length"} if name.endswith("_text") else {0: "batch"} for name in outputs}


def class_names(target: TargetModel, count: int) -> list[str]:
    """The names of the classes in the order of the logits. A class without a name has its number."""
    names = target.id2label
    return [str(names.get(i, i)) for i in range(count)]


def sidecar(
    target: TargetModel,
    examples: Examples,
    inputs: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    about: Mapping[str, Any],
    checked: Mapping[str, Any],
    tokenizer: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The content of the JSON file.

    ``predictable`` is the number of classes, the first ones, of which the prediction is one: opposites of labels are not.
    ``output`` is the kind of the classifier's output (:mod:`sidelight.targets.verdict`). For ``"value"`` the value is
    ``threshold + scale * logits[:, 1]``.

    Args:
        inputs, outputs: of one pass, in their order.
        about: entries about the file.
        checked: how the file was compared with PyTorch.
        tokenizer: where its files lie, if there is one.
    """
    axes = {**examples.axes(inputs), **output_axes(outputs)}
    return {
        "format": FORMAT,
        **about,
        "classes": class_names(target, int(outputs["logits"].shape[1])),
        "predictable": predictable(outputs["logits"], target.independent).shape[1],
        **target.verdict.settled(),
        "inputs": [described(n, v, axes[n]) for n, v in inputs.items()],
        "outputs": [described(n, v, axes[n]) for n, v in outputs.items()],
        "preprocessing": preprocessing(target, examples, tokenizer),
        "checked": dict(checked),
    }


def preprocessing(
    target: TargetModel, examples: Examples, tokenizer: Mapping[str, Any] | None
) -> dict[str, Any]:
    """How samples become inputs, by modality."""
    found: dict[str, Any] = {}
    image = target.image if isinstance(target, ImageTextTarget) else target
    if isinstance(image, ImageTarget):
        found["image"] = picture_steps(image.reader.transform)
    text, frame = text_part(target), examples.frame
    if text is not None and frame is not None:
        found["text"] = {
            "longest": frame.longest,
            "truncation": {"side": "left" if frame.cut_left else "right"},
            "padding": {"id": frame.padding, "side": "left" if frame.left else "right"},
            "pad_to_longest": frame.full,
            "special_ids": sorted(text.added_ids),
            "tokenizer": None if tokenizer is None else dict(tokenizer),
        }
    return found


def picture_steps(transform: PictureTransform | None) -> dict[str, Any]:
    """How a picture becomes pixels. Empty if pixels come prepared."""
    if transform is None:
        return {}
    if isinstance(transform, ImageTransform):
        return _plain_steps(transform)
    values = transform.to_dict()
    own = {"processor": values.get("class"), "settings": values.get("settings")}
    near = nearly_plain(transform)
    if near is None:
        return {"steps": OWN_STEPS, **own}
    return {
        **_plain_steps(near),
        "exact": "up to one grey level of 255, by which the processor rounds otherwise",
        **own,
    }


def _plain_steps(transform: ImageTransform) -> dict[str, Any]:
    return {
        "steps": "transparent places on white; resize; crop; pixel / 255; (pixel - mean) / std; channels first",
        "channels": transform.mode,
        "size": list(transform.size),
        "resize_to": _plain(transform.resize_to or (max(transform.size) if transform.crop else None)),
        "crop": bool(transform.crop),
        "centre": transform.centre,
        "resample": transform.resample,
        "mean": list(transform.mean),
        "std": list(transform.std),
    }


def _plain(value: int | Sequence[int] | None) -> Any:
    return list(value) if isinstance(value, (tuple, list)) else value


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()
