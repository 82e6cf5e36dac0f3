"""Does a model read the words of a text past the mask? Then a map would mark the wrong ones, and nothing would tell."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from sidelight.core.types import Inputs
from sidelight.targets.base import TargetModel
from sidelight.targets.image_text import ImageTextTarget
from sidelight.targets.text import TextTarget

#: inputs beside the ids that say again which word it is: shape and sound of a character (RoCBert)
SAYS_AGAIN = ("input_shape_ids", "input_pronunciation_ids")


def renamed_words(target: TargetModel, inputs: Inputs) -> dict[str, Tensor] | None:
    """Return ``inputs`` in which every word has the name of one of them. ``None`` if the target reads no texts, or one word.

    Models find places by the ids of special tokens, padding, and tokens that were added to the vocabulary, such as [MASK]
    and markers of entities. So these stay, also where they are features.
    """
    text = target.text if isinstance(target, ImageTextTarget) else target
    if not isinstance(text, TextTarget) or text.reader.tokenizing is None:
        return None
    ids, words = inputs["input_ids"], target.feature_mask(inputs)["text"]
    words = words & ~torch.isin(ids, torch.tensor(sorted(_markers(text)), dtype=ids.dtype, device=ids.device))
    rows, columns = words.nonzero(as_tuple=True)
    if len(rows) == 0 or bool((ids[words] == ids[rows[0], columns[0]]).all()):
        return None
    found = dict(inputs)
    for name in ("input_ids", *SAYS_AGAIN):
        if name in inputs:
            value = inputs[name]
            found[name] = torch.where(words, value[rows[0], columns[0]], value)
    return found


def _markers(text: TextTarget) -> set[int]:
    """Ids that stand for a place in a text, and not for a word."""
    vocabulary = text.vocabulary
    added: dict[str, int] = getattr(vocabulary.tokenizer, "get_added_vocab", dict)()
    pads = {vocabulary.pad_id, vocabulary.config_pad_id}  # an unknown word may have the id of padding
    return {i for i in (*vocabulary.special_ids, *added.values(), *pads) if i is not None}


def logits_of_renamed(target: TargetModel, inputs: Inputs) -> tuple[Tensor, Tensor] | None:
    """Return logits ``[B, K]`` of ``inputs``, and of other ids with the same word embeddings, which a mask changes alone.

    They are equal if the model knows its words by these embeddings only. ``None`` as in :func:`renamed_words`.
    """
    renamed = renamed_words(target, inputs)
    if renamed is None:
        return None
    features: Mapping[str, Tensor] = target.features(inputs)
    with torch.no_grad():
        return target.forward(inputs, features), target.forward(renamed, features)
