"""A Hugging Face tokenizer called once for a batch of texts: tensors, and the places of the tokens in the texts."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sidelight.core.quiet import sample_name, warn
from sidelight.core.safe_output import encodable
from sidelight.errors import InputError, InputTypeError
from sidelight.inputs.pieces import adds_by_itself, segments_of, view_of_pieces
from sidelight.inputs.samples import read_texts
from sidelight.inputs.shorten import shortened
from sidelight.inputs.shown import ShownTexts, shown_together
from sidelight.inputs.tokenizer_state import lent_tokenizer
from sidelight.inputs.view import TextView, TruncationWarning, build_view

#: tokenizers without a limit report a huge number
_NO_LIMIT = 10**6
#: how byte-level and SentencePiece vocabularies spell a space
_SPACE_MARKS = ("Ġ", "▁")
#: a tokenizer's flags of special tokens
SPECIAL = "special_tokens_mask"


class ReadTexts:
    """Texts as one call of the tokenizer read them.

    Args:
        tokenizing: the tokenizer and its settings.
        texts: one string or two for each sample. Far too long ones shortened.
        batch: the result of the tokenizer.
        cut: places of the samples that were longer than the model can read.
    """

    def __init__(
        self, tokenizing: Tokenizing, texts: list[tuple[str, ...]], batch: Any, cut: frozenset[int]
    ) -> None:
        self._tokenizing, self.texts, self._batch = tokenizing, texts, batch
        self.cut = cut

    def tensors(self) -> dict[str, Tensor]:
        """``input_ids``, ``attention_mask``, ``special_tokens_mask``, perhaps more. ``[B, T]``."""
        # NumPy reads lists of numbers in less than half of the time
        return {k: torch.from_numpy(np.array(rows, dtype=np.int64)) for k, rows in self._batch.items()}

    @cached_property
    def views(self) -> list[TextView]:
        """What the tokens of each sample stand for, padding included. Made at the first look: it takes time."""
        return [
            self._tokenizing.view(texts, self._batch, i, i in self.cut) for i, texts in enumerate(self.texts)
        ]

    @cached_property
    def shown(self) -> ShownTexts:
        """The strings that people see of all samples, and which tokens each is made of."""
        encodings = None if self.cut else self._batch.encodings
        together = shown_together(self.texts, encodings) if encodings else None
        return ShownTexts.of_views(self.views) if together is None else together


class Tokenizing:
    """A tokenizer with the settings that one model needs, and what it is called with.

    Args:
        tokenizer: a Hugging Face tokenizer. One that keeps no offsets shows its pieces where words are not found again.
        max_length: longer texts are cut, with a warning. ``None`` for no limit.
        columns: text column(s) of mapping samples.
        padding_side: ``"left"`` or ``"right"``; default: the tokenizer's own.

    Raises:
        InputTypeError: ``tokenizer`` is no Hugging Face tokenizer.
    """

    def __init__(
        self,
        tokenizer: Any,
        max_length: int | None = None,
        columns: Sequence[str] = (),
        padding_side: str | None = None,
    ) -> None:
        if not callable(tokenizer) or not hasattr(tokenizer, "convert_ids_to_tokens"):
            raise InputTypeError(
                f"expected a Hugging Face tokenizer; got {type(tokenizer).__name__}. "
                "Load it with AutoTokenizer.from_pretrained(...), or wrap a tokenizers.Tokenizer: "
                "PreTrainedTokenizerFast(tokenizer_object=...)."
            )
        own = getattr(tokenizer, "model_max_length", None)
        limits = [n for n in (max_length, own) if n is not None and n < _NO_LIMIT]
        self.tokenizer = tokenizer
        self.max_length = min(limits) if limits else None
        self.columns = tuple(columns)
        self.padding_side = padding_side
        #: pad every text to ``max_length``, for models that were trained so
        self.pads_fully = False

    def read(self, samples: Sequence[Any]) -> ReadTexts:
        """Tokenize ``samples``, padded to one length. Far too long ones are shortened before.

        Raises:
            InputError, InputTypeError: a sample is empty or not text, or the tokenizer cannot pad.

        Warns: TruncationWarning: a text was cut.
        """
        texts = read_texts(samples, self.columns)
        if len(texts) > 1 and getattr(self.tokenizer, "pad_token", None) is None:
            raise InputError(
                "this tokenizer has no padding token, so texts cannot be batched. Set one: "
                "tokenizer.pad_token = tokenizer.eos_token; "
                "model.config.pad_token_id = tokenizer.pad_token_id."
            )
        short = [shortened(parts, self.tokenizer, self.max_length) for parts in texts]
        found = self._tokenized(short)
        if any(short[i] != parts and i not in found.cut for i, parts in enumerate(texts)):
            found = self._tokenized(texts)  # few tokens for so many characters: nothing may be left out
        if found.cut:
            warn(
                f"{len(found.cut)} of {len(texts)} texts are longer than {self.max_length} tokens and were cut "
                f"(first: {sample_name(min(found.cut))}); words beyond that get no score.",
                TruncationWarning,
                stacklevel=4,
            )
        return found

    def _tokenized(self, texts: list[tuple[str, ...]]) -> ReadTexts:
        batch = self._call(texts)
        cut = frozenset(i for i in range(len(texts)) if self._truncated(batch, i, texts[i]))
        return ReadTexts(self, texts, batch, cut)

    def _call(self, texts: list[tuple[str, ...]], truncate: bool = True) -> Any:
        parts = [[encodable(part) for part in column] for column in zip(*texts, strict=True)]
        with lent_tokenizer(self.tokenizer):
            batch = self.tokenizer(
                *parts,
                padding="max_length" if self.pads_fully and truncate else len(texts) > 1,
                padding_side=self.padding_side,
                truncation=truncate and self.max_length is not None,
                max_length=self.max_length if truncate else None,
                return_special_tokens_mask=True,
                return_attention_mask=True,
            )
        if not batch.encodings and adds_by_itself(self.tokenizer):
            known = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
            batch[SPECIAL] = [[int(i in known) for i in ids] for ids in batch["input_ids"]]
        return batch

    def _truncated(self, batch: Any, index: int, texts: tuple[str, ...]) -> bool:
        if batch.encodings:
            return bool(batch.encodings[index].overflowing)
        # a tokenizer written in Python keeps no record
        if self.max_length is None or sum(batch["attention_mask"][index]) < self.max_length:
            return False
        return len(self._call([texts], truncate=False)["input_ids"][0]) > self.max_length

    @cached_property
    def added_ids(self) -> set[int]:
        """Ids that the tokenizer adds to one text or two. Other special tokens are words of the text that holds them."""
        flagged: set[int] = set()
        for texts in (("a",), ("a", "a")):
            with suppress(Exception):  # some tokenizers take one text only, and they raise anything
                batch = self._call([texts], truncate=False)
                if not batch.encodings and adds_by_itself(self.tokenizer):
                    return set(self.tokenizer.all_special_ids)  # these are known by their ids alone
                flagged |= {
                    int(i) for i, on in zip(batch["input_ids"][0], batch[SPECIAL][0], strict=True) if on
                }
        return flagged

    def view(self, texts: tuple[str, ...], batch: Any, index: int, truncated: bool) -> TextView:
        """What the tokens of sample ``index`` of the tokenizer's ``batch`` stand for."""
        build = self._view if batch.encodings else self._view_of_pieces
        return build(texts, batch, index, truncated)

    def _view(self, texts: tuple[str, ...], batch: Any, index: int, truncated: bool) -> TextView:
        encoding = batch.encodings[index]
        segments = [
            None if special or not attended else segment or 0
            for special, attended, segment in zip(
                encoding.special_tokens_mask, encoding.attention_mask, encoding.sequence_ids, strict=True
            )
        ]
        return build_view(texts, encoding.tokens, segments, encoding.offsets, truncated, self.cut_side)

    def _view_of_pieces(self, texts: tuple[str, ...], batch: Any, index: int, truncated: bool) -> TextView:
        ids = batch["input_ids"][index]
        types = batch["token_type_ids"][index] if "token_type_ids" in batch else None
        segments = segments_of(batch[SPECIAL][index], batch["attention_mask"][index], types, len(texts) > 1)
        real = [i for i, segment in enumerate(segments) if segment is not None]
        read = dict(zip(real, self.spelled([ids[i] for i in real]), strict=True))
        pieces = [str(piece) for piece in self.tokenizer.convert_ids_to_tokens(list(ids))]
        spelled = [read.get(i) for i in range(len(ids))]
        return view_of_pieces(texts, pieces, spelled, segments, truncated, self.cut_side)

    @property
    def cut_side(self) -> str:
        """The side on which a text that is too long loses words: ``"left"`` or ``"right"``."""
        return str(getattr(self.tokenizer, "truncation_side", "right"))

    def spelled(self, ids: Sequence[int]) -> list[str]:
        """Token ids as readable pieces, with a space before those that begin a word.

        The vocabulary's own spelling stands where a piece is no whole character.
        """
        raw = [str(token) for token in self.tokenizer.convert_ids_to_tokens(list(ids))]
        out: list[str] = []
        for token_id, own in zip(ids, raw, strict=True):
            read = str(self.tokenizer.decode([token_id])).lstrip().removeprefix("##")
            whole = "\ufffd" not in read and (read or own in _SPACE_MARKS)
            shown = read if whole else own
            out.append(" " + shown if not shown or (out and self._begins_word(own)) else shown)
        return out

    def word_numbers(self, ids: Tensor) -> Tensor:
        """``[B, T]`` the number of the word that each token of ``ids [B, T]`` belongs to, from 0 on.

        A word begins where the vocabulary's spelling says so. Special tokens and padding get numbers too.
        """
        begins = self._beginnings[ids.cpu().clamp(max=len(self._beginnings) - 1)]
        begins[:, 0] = True
        return (begins.long().cumsum(1) - 1).to(ids.device)

    @cached_property
    def _beginnings(self) -> Tensor:
        """``[V]`` whether each entry of the vocabulary begins a word."""
        pieces = self.tokenizer.convert_ids_to_tokens(list(range(len(self.tokenizer))))
        return torch.tensor([self._begins_word(str(piece)) for piece in pieces])

    def _begins_word(self, token: str) -> bool:
        model = getattr(getattr(self.tokenizer, "backend_tokenizer", None), "model", None)
        if type(model).__name__ in ("WordPiece", "WordLevel"):
            return not token.startswith("##")
        return token.startswith(_SPACE_MARKS)
