"""The error that shows how a model's logits differ through sidelight, and what may be the reason."""

from __future__ import annotations

from torch import Tensor

from sidelight.errors import SelfCheckError
from sidelight.targets.base import TargetModel
from sidelight.targets.switching import is_sparse


def difference(
    target: TargetModel, row: int, count: int, logits: tuple[Tensor, Tensor], how: str
) -> SelfCheckError:
    """Return the error of a target whose logits differ through sidelight.

    Args:
        row: the sample that differs, from 0, among ``count``.
        logits: its logits of the model by itself, and through sidelight.
        how: how sidelight looked.
    """
    own, seen = (", ".join(f"{v:.3f}" for v in values.float().tolist()[:6]) for values in logits)
    return SelfCheckError(
        f"{target.name} sees something else through sidelight than by itself. Sample {row + 1} of {count} checked: "
        f"by itself with its own processor the logits are [{own}]; {how} they are [{seen}]. "
        f"{_advice(target, how)} If you know that the difference is right, pass check='warn'."
    )


def _advice(target: TargetModel, how: str) -> str:
    if "text" in target.modalities and is_sparse(target.model):
        return (
            "Its sparse attention (BigBird) reads a text otherwise if a longer one is in the batch. Load it with "
            'from_pretrained(..., attention_type="original_full").'
        )
    if "text" in target.modalities and "batch" in how:
        return (
            "The model may not tell padding from words: compare model.config.pad_token_id with "
            "tokenizer.pad_token_id. Or its outputs depend on the rest of a batch."
        )
    if target.varying_length and "batch" in how:
        return (
            "The model may read the padding of shorter samples: let the reader put a mask of what is real beside them, and "
            "the model use it. Or its outputs depend on the rest of a batch."
        )
    return (
        "It may prepare its inputs in a way of its own, draw at random in evaluation mode, or depend on the other samples of "
        "a batch."
    )
