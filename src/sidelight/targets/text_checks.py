"""Checks of a batch of token ids before the model runs on it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

from torch import Tensor, nn

from sidelight.core.types import Inputs
from sidelight.errors import InputError, InputTypeError, UnsupportedTargetError
from sidelight.targets.embedding import pools_last_token, positions_from_ids
from sidelight.targets.input_checks import missing_tensor, require_finite
from sidelight.targets.signatures import IDS

#: remarks of a tokenizer about its texts, which no model reads
REMARKS = frozenset({"offset_mapping", "overflow_to_sample_mapping", "length", "num_truncated_tokens"})


def check_arguments(model: nn.Module, needed: Sequence[str], inputs: Inputs) -> None:
    """Raise :class:`UnsupportedTargetError` if ``inputs`` lack an argument that the forward of ``model`` needs."""
    lacking = [name for name in needed if name not in inputs]
    if lacking:
        names = ", ".join(map(repr, lacking))
        if IDS not in inspect.signature(model.forward).parameters:
            raise UnsupportedTargetError(
                f"the forward of {type(model).__name__} needs {names}, and names no {IDS!r}. A text classifier is called as "
                f"model(input_ids=..., attention_mask=...). If {lacking[0]!r} holds all inputs, take them by name: "
                f"def forward(self, input_ids, attention_mask=None, **options), and {lacking[0]} = dict(options, "
                "input_ids=input_ids, attention_mask=attention_mask) inside it."
            )
        raise UnsupportedTargetError(
            f"the forward of {type(model).__name__} needs {names}, and the inputs hold {', '.join(map(repr, inputs))}. Give "
            f"{lacking[0]!r} a default in the forward, let the tokenizer make it (tokenizer.model_input_names), or give ready "
            "inputs that hold it."
        )


def check_shapes(inputs: Inputs) -> Tensor:
    """Return the ``input_ids`` ``[B, T]`` if all tensors have their shape and hold finite numbers.

    Raises:
        InputTypeError: the ``input_ids`` are missing.
        InputError: a shape or dtype is wrong, the batch is empty, or a value is not finite.
    """
    if not isinstance(inputs, Mapping):
        raise InputTypeError(
            f"expected a mapping with an 'input_ids' tensor [B, T]; got {type(inputs).__name__}. "
            "tokenizer(texts, padding=True, return_tensors='pt') makes one."
        )
    ids = inputs.get("input_ids")
    if not isinstance(ids, Tensor):
        raise InputTypeError(f"expected an 'input_ids' tensor [B, T]{missing_tensor(inputs, 'input_ids')}")
    if ids.ndim != 2 or ids.is_floating_point():
        advice = {
            1: " Ids of one text need a batch axis: tokenizer(text, return_tensors='pt'). Without it, [T] is read as T texts.",
            3: " This row is a batch: give its rows one by one, or the DataLoader itself.",
        }
        raise InputError(
            f"input_ids must be integers [B, T]; got {ids.dtype} of shape {tuple(ids.shape)}."
            + advice.get(ids.ndim, "")
        )
    if ids.numel() == 0:
        raise InputError(f"the batch is empty (input_ids are {tuple(ids.shape)}): give at least one text.")
    for name, value in inputs.items():
        if name != "labels" and name not in REMARKS and value.shape != ids.shape:
            raise InputError(
                f"{name} has shape {tuple(value.shape)}, input_ids {tuple(ids.shape)}; they must agree."
            )
        require_finite(name, value)
    return ids


def check_ids(ids: Tensor, vocabulary: int, limit: int | None) -> None:
    """Raise :class:`InputError` if an id is outside a ``vocabulary`` of that size, or a row exceeds ``limit``."""
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= vocabulary:
        raise InputError(
            f"token id {low if low < 0 else high} is not in the model's vocabulary of {vocabulary}: "
            "tokenizer and model do not belong together. Load both from the same name or folder."
        )
    if limit is not None and ids.shape[1] > limit:
        raise InputError(
            f"the inputs have {ids.shape[1]} tokens; the model has positions for {limit}. "
            "Tokenize with truncation=True, or pass raw texts, which are cut with a warning."
        )


def check_padding(ids: Tensor, attended: Tensor, model: nn.Module, pad: int | None) -> None:
    """Raise :class:`InputError` if a model finds padding by its id, but the batch uses another id.

    Decoder-only classifiers pool the last token before padding, and RoBERTa counts positions without padding.
    If the id is wrong, both give wrong logits without an error.
    """
    unknown = pad is None and len(ids) > 1
    padding = ids[attended == 0]
    wrong = pad is not None and bool((padding != pad).any())
    if not (unknown or wrong) or not (pools_last_token(model) or positions_from_ids(model)):
        return  # a look at all parts of a model takes longer than one at the ids, so it comes last
    if unknown:
        raise InputError(
            "the model's config has no pad_token_id, so it cannot take batches. "
            "Set model.config.pad_token_id = tokenizer.pad_token_id, or give one text at a time."
        )
    raise InputError(
        f"texts are padded with token {int(padding[padding != pad][0])}, the model looks for {pad}. "
        "Set model.config.pad_token_id = tokenizer.pad_token_id."
    )


def check_features(real: Tensor) -> None:
    """Raise :class:`InputError` if a row of the feature mask ``[B, T]`` has no feature."""
    bare = (~real.any(1)).nonzero().flatten().tolist()
    if bare:
        raise InputError(
            f"there is no word to score in sample(s) {bare[:8]}: only special tokens or padding. Leave such texts out."
        )
