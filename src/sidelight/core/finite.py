"""Numbers that are no numbers are an error, with the samples they belong to."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from sidelight.errors import NotFiniteError


def require_finite_logits(logits: Tensor, where: str = "") -> None:
    """Refuse logits ``[B, K]`` that hold NaN or infinity: no class can be read off them.

    Args:
        where: the input of the model if it was not the whole one, e.g. "of a masked input".

    Raises:
        NotFiniteError: with the numbers of the samples within the batch.
    """
    if not all_finite(logits):
        raise NotFiniteError(
            f"the model's output{where and ' ' + where}",
            _rows(~torch.isfinite(logits.detach())),
            "Call the model by itself with these inputs. Usual causes are damaged weights, half precision that "
            "overflows, and a division by zero inside the model.",
        )


def require_finite_scores(raw: Mapping[str, Tensor], feature_mask: Mapping[str, Tensor]) -> None:
    """Refuse raw scores of a scorer that hold NaN or infinity at a real feature. The head would make zeros of them.

    Args:
        raw: per modality, raw scores ``[B, ...]``.
        feature_mask: per modality, boolean of the same shape: features that count.

    Raises:
        NotFiniteError: with the numbers of the samples within the batch.
    """
    if torch.compiler.is_compiling():
        return  # a graph cannot look at values, so an exported model refuses nothing
    for name, values in raw.items():
        if _surely_finite(values):
            continue
        bad = ~torch.isfinite(values.detach()) & feature_mask[name].reshape(values.shape)
        if bool(bad.any()):
            raise NotFiniteError(
                f"the scorer's output for the {name}",
                _rows(bad),
                "Its weights are damaged, or a training has failed: in training give a lower learning_rate, else load "
                "the scorer again or fit a new one.",
            )


def require_finite_loss(terms: Mapping[str, Tensor]) -> None:
    """Stop a training if its loss is not finite.

    Args:
        terms: named terms of the loss, ``[B]`` each, the total among them as ``loss``.

    Raises:
        NotFiniteError: the loss of a sample is NaN or infinite. The message names the terms.
    """
    if bool(torch.isfinite(terms["loss"].detach()).all()):
        return
    bad = [name for name, value in terms.items() if not bool(torch.isfinite(value.detach()).all())]
    raise NotFiniteError(
        f"the training's loss ({', '.join(n for n in bad if n != 'loss') or 'its sum'})",
        advice="The training stops here, because nothing can be learned from it. Where the term 'task', 'solo' or "
        "'rank' is named, the model gives NaN for masked inputs: choose other fills, e.g. fills=['mean']. Otherwise "
        "give a lower learning_rate and smaller weights of the terms.",
    )


def all_finite(values: Tensor) -> bool:
    """Whether ``values`` hold neither NaN nor infinity."""
    return _surely_finite(values) or bool(torch.isfinite(values.detach()).all())


def _surely_finite(values: Tensor) -> bool:
    """Whether the sum of ``values`` is finite, and so each of them. A sum costs a thirtieth of a look at each.

    Finite values with an infinite sum are possible, so a caller must look at each before it complains.
    """
    return math.isfinite(values.detach().sum().item())


def _rows(bad: Tensor) -> list[int]:
    return [int(i) for i in bad.flatten(1).any(1).nonzero().flatten().tolist()]
