"""The target's vocabulary: which ids are special, and what its words look like on average."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_CHUNK = 8192
_SPECIAL = ("pad", "cls", "sep", "bos", "eos", "mask")


class Vocabulary:
    """Ids and word embeddings of a text model.

    Args:
        embedding: the model's word embedding module.
        tokenizer: its tokenizer, or ``None``.
        config: its config, asked for special ids where there is no tokenizer.
    """

    def __init__(self, embedding: nn.Module, tokenizer: Any = None, config: Any = None) -> None:
        self.embedding, self.tokenizer = embedding, tokenizer
        getter = getattr(config, "get_text_config", None)
        self.config = getter() if getter is not None else config
        self._means: dict[tuple[int, int], Tensor] = {}

    @property
    def weight(self) -> Tensor:
        """``[V, D]`` the embedding table."""
        weight = self.embedding.weight
        assert isinstance(weight, Tensor)  # input_embedding() made sure
        return weight

    @property
    def size(self) -> int:
        """Rows of the table: ids must be below."""
        return len(self.weight)

    @property
    def special_ids(self) -> set[int]:
        """Ids of special tokens. An unknown word is a word, so its id is not among them."""
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
        """Id of the padding token, if tokenizer or config name one."""
        own = getattr(self.tokenizer, "pad_token_id", None)
        return own if own is not None else self.config_pad_id

    @property
    def config_pad_id(self) -> int | None:
        """Id that the model itself takes for padding, if its config names one."""
        return getattr(self.config, "pad_token_id", None)

    def ordinary_ids(self) -> Tensor:
        """``[N]`` ids that are not special (all of them where none would be left).

        Tables are often longer than the tokenizer's vocabulary. The rows beyond it were
        never trained and are left out.
        """
        size = self.size if self.tokenizer is None else min(self.size, len(self.tokenizer))
        keep = torch.ones(size, dtype=torch.bool)
        keep[[i for i in self.special_ids if 0 <= i < size]] = False
        return keep.nonzero().flatten() if bool(keep.any()) else torch.arange(size)

    def mean(self) -> Tensor:
        """``[D]`` mean embedding of the ordinary ids, computed once until the table changes."""
        key = (self.weight.data_ptr(), self.weight._version)
        known = self._means
        if key not in known:
            ids = self.ordinary_ids().to(self.weight.device)
            with torch.no_grad():
                sums = [self.embedding(part).float().sum(0) for part in ids.split(_CHUNK)]
            known = {key: torch.stack(sums).sum(0) / len(ids)}
            self._means = known  # in one step: other threads ask too
        return known[key]
