"""Facts about a text model's embeddings. The model itself gives them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from sidelight.errors import InputError, UnsupportedTargetError
from sidelight.targets.lending import lent
from sidelight.targets.wrappers import held

#: usual names of modules that hold absolute positions
POSITION_NAMES = {
    "position_embeddings",
    "position_embedding",
    "wpe",
    "embed_positions",
    "pos_emb",
    "positions_embed",
}
#: usual names of position tables that are plain tensors
POSITION_TABLES = {"pos_encoding", "embed_positions"}
#: name parts of modules that read pictures or sound instead of words
OTHER_SENSES = ("vision", "visual", "image", "audio", "video")


def input_embedding(model: nn.Module) -> nn.Module:
    """Return the module that turns token ids into word embeddings.

    Raises:
        UnsupportedTargetError: the model has no such module, or is an encoder-decoder.
    """
    config = getattr(model, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        raise UnsupportedTargetError(
            f"{type(model).__name__} is an encoder-decoder: its decoder reads the text again, past the mask. "
            "Use an encoder (BERT, RoBERTa, ...) or a decoder-only classifier (GPT-2, Llama, ...)."
        )
    getter = getattr(model, "get_input_embeddings", None)
    try:
        embedding = getter() if getter is not None else None
    except NotImplementedError:
        embedding = None
    if not isinstance(embedding, nn.Module) or weight_of(embedding) is None:
        raise UnsupportedTargetError(
            f"{type(model).__name__} has no word embeddings to mask (get_input_embeddings() gives none). "
            f"Give a Hugging Face sequence classifier (AutoModelForSequenceClassification).{held(model)}"
        )
    return embedding


def weight_of(module: nn.Module) -> Any:
    """The weight of ``module``, or ``None``.

    A parametrised weight is computed at each look, in training mode by a step of its own. So it is looked at in evaluation mode.
    """
    with lent(module) if is_parametrized(module) else nullcontext():
        weight = getattr(module, "weight", None)
    return weight() if callable(weight) else weight  # the quantised layers of torch give it by a method


@contextmanager
def replaced_output(embedding: nn.Module, values: Tensor, ids: Tensor | None = None) -> Iterator[None]:
    """Let this thread's calls of ``embedding`` with the text's ids return ``values`` ``[B, T, D]``.

    The model still gets its ``input_ids`` and derives other values from them, with padding on either side.
    For example, RoBERTa computes its positions, and a decoder-only classifier finds the last real token.
    ``inputs_embeds`` would not allow this. Calls with other ids are unchanged, because GPT-2 looks up token types in the
    same table, and others a prompt of their own. The ``ids`` ``[B, T]`` show whether a model looks them up as ``[T, B]``,
    as XLNet does. The model gets a copy of ``values``, because it may change them in place.

    Raises:
        InputError: ``values`` do not fit the ids that the model looks up.
        UnsupportedTargetError: the model finished without calling ``embedding``, or looks up words of its own that cannot be
            told from the text.
    """
    mine = threading.get_ident()
    known: list[Any] = []  # what the replaced calls looked up

    def hook(_module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        if threading.get_ident() != mine:  # another thread looks up words of its own
            return None
        looked_up = args[0] if args else None
        if known and not _same(looked_up, known[0]):
            _require_other_words(looked_up, ids)
            return None
        if not known and _is_own_lookup(output, values, ids):
            return None
        known.append(looked_up)
        if ids is not None and _is_turned(looked_up, ids):
            return _in_place_of(output.transpose(0, 1), values).transpose(0, 1)
        return _in_place_of(output, values)

    handle = embedding.register_forward_hook(hook)
    try:
        yield
        if not known:
            raise UnsupportedTargetError(
                "the model did not look words up in get_input_embeddings(), so they cannot be masked. "
                "Give the plain model, not a compiled or traced one."
            )
    finally:
        handle.remove()


def _same(looked_up: Any, first: Any) -> bool:
    """Whether a later call looks up the ids of the first one again."""
    known = isinstance(looked_up, Tensor) and isinstance(first, Tensor)
    return known and looked_up.shape == first.shape and torch.equal(looked_up, first)


def _require_other_words(looked_up: Any, ids: Tensor | None) -> None:
    """Refuse a model that looks up the text itself after words that were taken for the text, as their shape is like its own.

    Raises:
        UnsupportedTargetError: ``looked_up`` is the text.
    """
    if ids is not None and _same(looked_up, ids):
        raise UnsupportedTargetError(
            f"the model looks up words of its own before those of the text, and the text, with ids of shape {tuple(ids.shape)}, "
            "is not longer than they, so a mask would hide the wrong ones. Give a longer text, or several texts at once."
        )


def _is_own_lookup(output: Tensor, values: Tensor, ids: Tensor | None) -> bool:
    """Whether ``output`` is made of other ids than those of the text, as its shape tells."""
    if ids is None or values.shape[:2] != ids.shape or output.ndim != 3:
        return False
    size, length = ids.shape
    padded = output.shape[0] == size and output.shape[1] >= length
    return not padded and output.shape[:2] != (length, size)


def _is_turned(found: Any, ids: Tensor) -> bool:
    """Whether a model looks up the ids ``[B, T]`` as ``[T, B]``."""
    if not isinstance(found, Tensor) or found.shape != ids.T.shape:
        return False
    return ids.shape[0] != ids.shape[1] or (torch.equal(found, ids.T) and not torch.equal(found, ids))


def _in_place_of(output: Tensor, values: Tensor) -> Tensor:
    """Return ``values`` in the shape of the model's own ``output``.

    A model that reads blocks of tokens (Longformer) pads its ids to whole blocks. That padding stays.
    """
    size, length, width = values.shape
    if output.shape == values.shape:
        return values.to(output.dtype, copy=True)
    if output.ndim == 3 and output.shape[::2] == (size, width) and output.shape[1] > length:
        return torch.cat([values.to(output.dtype), output[:, length:]], 1)
    if output.shape == (length, size, width):
        raise UnsupportedTargetError(
            "the model looks its words up column by column (XLNet does), where a mask cannot be laid. "
            "Use another classifier, e.g. BERT, RoBERTa or DeBERTa."
        )
    raise InputError(
        f"features have shape {tuple(values.shape)}, but the token ids give {tuple(output.shape)}; "
        "repeat the inputs as often as the features."
    )


def position_limit(model: nn.Module) -> int | None:
    """Return the longest input that a table of positions allows, or ``None`` if the model has no table.

    RoBERTa-like tables reserve the rows up to the padding index. Computed tables (CTRL, GPT-J, MPT) have an end too.
    """
    parts = list(_reading_words(model))
    for name, module in parts:
        if name.rsplit(".", 1)[-1] in POSITION_NAMES and isinstance(module, nn.Embedding):
            reserved = module.padding_idx + 1 if module.padding_idx is not None else 0
            return module.num_embeddings - max(reserved, int(getattr(module, "offset", 0)))
    tables = [t for _, module in parts for n, t in _tensors(module) if n in POSITION_TABLES and t.ndim == 2]
    computed = [len(t) for t in tables]
    longest = getattr(getattr(model, "config", None), "max_seq_len", None)
    return min([*computed, *([longest] if isinstance(longest, int) else [])], default=None)


def _reading_words(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield names and modules of ``model``, except modules that read pictures or sound."""
    for name, module in model.named_modules():
        if not any(other in part for part in name.split(".") for other in OTHER_SENSES):
            yield name, module


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the named tensors that ``module`` itself holds as attributes or buffers."""
    plain = [(n, t) for n, t in vars(module).items() if isinstance(t, Tensor)]
    return [*plain, *module.named_buffers(recurse=False)]


def positions_from_ids(model: nn.Module) -> bool:
    """Whether the model counts positions from its ids and skips padding (RoBERTa and similar models)."""
    return any(hasattr(m, "create_position_ids_from_inputs_embeds") for m in model.modules())


def pools_last_token(model: nn.Module) -> bool:
    """Whether the classifier reads the last token that is not padding (decoder-only families)."""
    score = getattr(model, "score", None)
    score = getattr(score, "original_module", score)  # a PEFT adapter keeps the head it trains in a wrapper
    return isinstance(score, nn.Linear) and not hasattr(model, "classifier")


def padding_side(model: nn.Module) -> str | None:
    """Return the padding side that keeps padding out of the pooled place, or ``None`` if both sides do."""
    if pools_last_token(model):
        return None
    # Encoders pool the first token. XLNet pools the last place, even if it holds padding.
    return "left" if getattr(getattr(model, "config", None), "summary_type", None) == "last" else "right"
