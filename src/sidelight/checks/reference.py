"""The classifier by itself, with its own processor. The passes of sidelight are compared with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.core.safe_output import encodable
from sidelight.core.types import Inputs
from sidelight.inputs.images import ImageTransform, ProcessorTransform, read_picture
from sidelight.inputs.samples import read_texts
from sidelight.inputs.tokenizer_state import lent_tokenizer
from sidelight.targets.base import TargetModel
from sidelight.targets.image import ImageTarget
from sidelight.targets.image_text import ImageTextTarget
from sidelight.targets.switching import unswitched
from sidelight.targets.text import NOT_FOR_THE_MODEL, TextTarget
from sidelight.targets.wrappers import arguments_of, pixel_type


def logits_alone(target: TargetModel, samples: Sequence[Any] | Inputs) -> Tensor | None:
    """``[B, K]`` logits that the model gives without sidelight.

    Args:
        target: whose model is called. Frozen and in evaluation mode meanwhile.
        samples: raw samples, which the model's own processor prepares, or the model's inputs.

    Returns:
        ``None`` if nothing can be compared, as for models of pairs whose texts compete with candidates.
    """
    inputs = dict(samples) if isinstance(samples, Mapping) else own_inputs(target, samples)
    with target.one_pass(), unswitched(target.model), torch.no_grad():
        return _call(target, _moved(target, inputs))


@contextmanager
def coarsest(model: nn.Module) -> Iterator[list[torch.dtype]]:
    """Collects the floating-point types in which the parts of ``model`` compute during a pass.

    They may differ from those of its weights, for example under autocast.
    """
    found: list[torch.dtype] = []

    def look(_module: nn.Module, _args: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point():
            found.append(output.dtype)

    parts = (m for m in model.modules() if not isinstance(m, torch.jit.ScriptModule))  # these take no hooks
    handles = [m.register_forward_hook(look) for m in parts]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def own_inputs(target: TargetModel, samples: Sequence[Any]) -> dict[str, Tensor]:
    """What the model's own processor makes of one or several raw samples."""
    if isinstance(target, ImageTarget):
        return _own_pixels(target, samples)
    if isinstance(target, TextTarget):
        return _own_tokens(target, samples)
    if isinstance(target, ImageTextTarget):
        images, texts = zip(*target.reader.samples(samples), strict=True)
        return {**_own_pixels(target.image, images), **_own_tokens(target.text, texts)}
    return dict(target.reader.prepare(samples).inputs)


def _own_pixels(target: ImageTarget, samples: Sequence[Any]) -> dict[str, Tensor]:
    processor = getattr(target.reader.processor, "image_processor", target.reader.processor)
    if isinstance(processor, ProcessorTransform):
        processor = processor.processor
    raw = [s for s in samples if not isinstance(s, Tensor)]
    if processor is None or isinstance(processor, ImageTransform) or not callable(processor) or not raw:
        return dict(target.reader.prepare(samples).inputs)
    mode = "RGB" if target.reader.transform is None else target.reader.transform.mode
    pictures = [read_picture(s, mode) for s in samples]
    return {"pixel_values": processor(images=pictures, return_tensors="pt")["pixel_values"]}


def _own_tokens(target: TextTarget, samples: Sequence[Any]) -> dict[str, Tensor]:
    if target.reader.tokenizing is None:
        return dict(target.reader.prepare(samples).inputs)
    texts = read_texts(list(samples), target.reader.columns)
    columns = [[encodable(part) for part in column] for column in zip(*texts, strict=True)]
    longest, fully = target.reader.tokenizing.max_length, target.reader.tokenizing.pads_fully
    with lent_tokenizer(target.reader.tokenizer):
        found = target.reader.tokenizer(
            *columns,
            padding="max_length" if fully else len(texts) > 1,
            truncation=longest is not None,
            max_length=longest,
            return_tensors="pt",
        )
    return dict(found)


def _moved(target: TargetModel, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of ``inputs`` as the model takes them. It may change them in place."""
    dtype = pixel_type(target.model)
    moved = target.to_device(inputs)
    return {k: v.to(dtype if v.is_floating_point() else v.dtype, copy=True) for k, v in moved.items()}


def _call(target: TargetModel, inputs: Mapping[str, Tensor]) -> Tensor | None:
    if isinstance(target, ImageTarget):
        pixels = inputs["pixel_values"]
        out = target.model(pixel_values=pixels) if target.is_huggingface else target.model(pixels)
        return target.verdict.read(out, len(pixels))
    taken = arguments_of(target.model, "input_ids")
    known = {k: v for k, v in inputs.items() if (taken is None or k in taken) and k not in NOT_FOR_THE_MODEL}
    if isinstance(target, TextTarget):
        return target.verdict.read(target.model(**known), len(inputs["input_ids"]))
    out = target.model(**known)
    if isinstance(target, ImageTextTarget) and target.candidates:
        return None  # the model does not know them
    if isinstance(out, Tensor) and not isinstance(target, ImageTextTarget):
        # only a family of the user's own knows what its module returns, so its clean pass of one sample is the reference
        return target.encode(inputs).logits
    logits, similarities = getattr(out, "logits", None), getattr(out, "logits_per_image", None)
    if isinstance(similarities, Tensor):  # of every image with every text
        logits = similarities.diagonal().unsqueeze(1)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        return None
    return target.verdict.read(logits, len(logits))
