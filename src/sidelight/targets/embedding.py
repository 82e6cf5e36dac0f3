"""Facts about a text model's embeddings, read from the model itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.errors import InputError, UnsupportedTargetError

#: what tables of absolute positions are called
POSITION_NAMES = {
    "position_embeddings",
    "position_embedding",
    "wpe",
    "embed_positions",
    "pos_emb",
    "positions_embed",
}
#: what tables are called that are tensors and no modules
POSITION_TABLES = {"pos_encoding", "embed_positions"}
#: parts of names of modules that read no words, in models that read pictures or sound too
OTHER_SENSES = ("vision", "visual", "image", "audio", "video")


def input_embedding(model: nn.Module) -> nn.Module:
    """The module that turns token ids into word embeddings.

    Raises:
        UnsupportedTargetError: the model has none, or is an encoder-decoder.
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
    if not isinstance(embedding, nn.Module) or not hasattr(embedding, "weight"):
        raise UnsupportedTargetError(
            f"{type(model).__name__} has no word embeddings to mask (get_input_embeddings() gives none). "
            "Give a Hugging Face sequence classifier (AutoModelForSequenceClassification)."
        )
    return embedding


@contextmanager
def replaced_output(embedding: nn.Module, values: Tensor, ids: Tensor | None = None) -> Iterator[None]:
    """Within the context, this thread's first call of ``embedding`` returns ``values`` ``[B, T, D]``.

    The model still gets its ``input_ids``, so whatever else it derives from them
    (RoBERTa's positions, the last real token a decoder-only classifier pools) is its own,
    on either padding side. Passing ``inputs_embeds`` would take that knowledge away. Later
    calls are left alone: GPT-2 looks token types up in the same table. With the ``ids`` ``[B, T]`` that the model
    is given, a model that looks them up as ``[T, B]`` (XLNet) is understood too.

    Raises:
        InputError: ``values`` do not fit the ids the model looks up.
        UnsupportedTargetError: the model finished without calling ``embedding``.
    """
    calls, mine = 0, threading.get_ident()

    def hook(_module: nn.Module, args: Any, output: Tensor) -> Tensor | None:
        nonlocal calls
        if threading.get_ident() != mine:  # another thread looks up words of its own
            return None
        calls += 1
        if calls > 1:
            return None
        if ids is not None and args and _is_turned(args[0], ids):
            return _in_place_of(output.transpose(0, 1), values).transpose(0, 1)
        return _in_place_of(output, values)

    handle = embedding.register_forward_hook(hook)
    try:
        yield
        if not calls:
            raise UnsupportedTargetError(
                "the model did not look words up in get_input_embeddings(), so they cannot be masked. "
                "Give the plain model, not a compiled or traced one."
            )
    finally:
        handle.remove()


def _is_turned(found: Any, ids: Tensor) -> bool:
    """Whether a model looks up the ids ``[B, T]`` as ``[T, B]``."""
    if not isinstance(found, Tensor) or found.shape != ids.T.shape:
        return False
    return ids.shape[0] != ids.shape[1] or (torch.equal(found, ids.T) and not torch.equal(found, ids))


def _in_place_of(output: Tensor, values: Tensor) -> Tensor:
    """``values`` in the form in which the model looked its words up.

    A model that reads blocks of tokens (Longformer) pads its ids to whole blocks first; its padding stays.
    """
    size, length, width = values.shape
    if output.shape == values.shape:
        return values.to(output.dtype)
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
    """Longest input that a table of positions allows; ``None`` where there is none.

    RoBERTa-like tables keep the rows up to their padding index for padding. Tables that are computed rather than
    learned (CTRL, GPT-J) end too, and so does MPT's.
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
    """Names and modules of ``model`` but those that read pictures or sound, whose positions are no words."""
    for name, module in model.named_modules():
        if not any(other in part for part in name.split(".") for other in OTHER_SENSES):
            yield name, module


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Tensors that ``module`` itself holds, registered or not."""
    plain = [(n, t) for n, t in vars(module).items() if isinstance(t, Tensor)]
    return [*plain, *module.named_buffers(recurse=False)]


def positions_from_ids(model: nn.Module) -> bool:
    """Whether the model counts positions from its ids, skipping padding (RoBERTa and its kin)."""
    return any(hasattr(m, "create_position_ids_from_inputs_embeds") for m in model.modules())


def pools_last_token(model: nn.Module) -> bool:
    """Whether the classifier reads the last token that is not padding (decoder-only families)."""
    score = getattr(model, "score", None)
    score = getattr(score, "original_module", score)  # a PEFT adapter keeps the head it trains in a wrapper
    return isinstance(score, nn.Linear) and not hasattr(model, "classifier")


def padding_side(model: nn.Module) -> str | None:
    """``"left"`` or ``"right"``: where padding does not get into the place that ``model`` pools; ``None`` for either."""
    if pools_last_token(model):
        return None
    # Encoders pool the first token. XLNet pools the last place, whatever stands there.
    return "left" if getattr(getattr(model, "config", None), "summary_type", None) == "last" else "right"
