"""The target's vocabulary: its special ids and its mean word embedding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sidelight.targets.embedding import weight_of
from sidelight.targets.lending import lent

_CHUNK = 8192
_SPECIAL = ("pad", "cls", "sep", "bos", "eos", "mask")


class Vocabulary:
    """Ids and word embeddings of a text model.

    Args:
        embedding: the model's word embedding module.
        tokenizer: its tokenizer, or ``None``.
        config: its config, which gives the special ids if there is no tokenizer.
    """

    def __init__(self, embedding: nn.Module, tokenizer: Any = None, config: Any = None) -> None:
        self.embedding, self.tokenizer = embedding, tokenizer
        getter = getattr(config, "get_text_config", None)
        self.config = getter() if getter is not None else config
        self._means: dict[tuple[tuple[int, int], ...], Tensor] = {}

    @property
    def weight(self) -> Tensor:
        """Embedding table ``[V, D]``."""
        weight = weight_of(self.embedding)
        assert isinstance(weight, Tensor)  # input_embedding() made sure
        return weight

    @property
    def size(self) -> int:
        """Number of rows of the table. Every id must be smaller."""
        return len(self.weight)

    @property
    def special_ids(self) -> set[int]:
        """Ids of special tokens, without the unknown token, because an unknown word is still a word."""
        if self.tokenizer is not None:
            return set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
        values = [getattr(self.config, f"{name}_token_id", None) for name in _SPECIAL]
        flat = [i for v in values for i in (v if isinstance(v, (list, tuple)) else [v])]
        return {i for i in flat if isinstance(i, int)}

    @property
    def mask_id(self) -> int | None:
        """Id of the mask token, if the tokenizer has one."""
        return getattr(self.tokenizer, "mask_token_id", None)

    @property
    def pad_id(self) -> int | None:
        """Id of the padding token, if the tokenizer or the config names one."""
        own = getattr(self.tokenizer, "pad_token_id", None)
        return own if own is not None else self.config_pad_id

    @property
    def config_pad_id(self) -> int | None:
        """Id that the model itself treats as padding, if its config names one."""
        return getattr(self.config, "pad_token_id", None)

    def ordinary_ids(self) -> Tensor:
        """Return the ids ``[N]`` that are not special, or all ids if all are special.

        Tables are often longer than the tokenizer's vocabulary. The extra rows are untrained and do not count.
        """
        size = self.size if self.tokenizer is None else min(self.size, len(self.tokenizer))
        keep = torch.ones(size, dtype=torch.bool)
        keep[[i for i in self.special_ids if 0 <= i < size]] = False
        return keep.nonzero().flatten() if bool(keep.any()) else torch.arange(size)

    def mean(self) -> Tensor:
        """Return the mean embedding ``[D]`` of the ordinary ids. It is cached until the table changes."""
        values = [*self.embedding.parameters(), *self.embedding.buffers()]
        key = tuple((value.data_ptr(), value._version) for value in values)
        known = self._means
        if key not in known:
            ids = self.ordinary_ids().to(self.weight.device)
            with lent(self.embedding), torch.no_grad():
                sums = [self.embedding(part).float().sum(0) for part in ids.split(_CHUNK)]
            known = {key: torch.stack(sums).sum(0) / len(ids)}
            self._means = known  # one assignment, because other threads read it too
        return known[key]
