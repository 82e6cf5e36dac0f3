"""Texts read for a model: strings and pairs of strings as token ids, and scores of tokens as scores of words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sidelight.core.counted import counted
from sidelight.core.types import Join, Scores
from sidelight.errors import InputError
from sidelight.inputs.base import Batch, Reader
from sidelight.inputs.kept_tokenizer import tokenizer_hash, tokenizer_settings
from sidelight.inputs.loading import saved_tokenizer
from sidelight.inputs.samples import read_texts
from sidelight.inputs.tokenizing import Tokenizing
from sidelight.inputs.view import TextView

#: inputs at padding, where that is not 0
_AT_PADDING = {"input_ids": "pad_token_id", "token_type_ids": "pad_token_type_id"}


class TextReader(Reader):
    """Reads texts, each with one call of the tokenizer.

    Args:
        tokenizer: a Hugging Face tokenizer. ``None`` if ids come prepared.
        max_length: texts are cut to so many tokens; ``None``: the tokenizer's own limit.
        columns: text column(s) of mapping samples, if their names are not the usual ones.
        padding_side: ``"left"`` or ``"right"``; default: the tokenizer's own.
        counts_positions: give texts that are padded on the left ``position_ids``, which count real tokens only.

    Raises:
        InputTypeError: ``tokenizer`` is none.
    """

    modalities = ("text",)

    def __init__(
        self,
        tokenizer: Any = None,
        max_length: int | None = None,
        columns: Sequence[str] = (),
        padding_side: str | None = None,
        counts_positions: bool = False,
    ) -> None:
        self.tokenizer, self.columns, self.counts_positions = tokenizer, tuple(columns), counts_positions
        self.tokenizing = (
            Tokenizing(tokenizer, max_length, columns, padding_side) if tokenizer is not None else None
        )

    def is_sample(self, value: Any) -> bool:
        """Whether ``value`` is one text, one row, or one pair: a tuple of two strings."""
        if isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, str) for v in value):
            return True
        if isinstance(value, str):
            return True  # one of NumPy has a shape too
        return not (hasattr(value, "shape") or hasattr(value, "read")) and super().is_sample(value)

    def samples(self, rows: Sequence[Any], first: int = 0) -> Sequence[Any]:
        """One string or a pair of strings for each sample or row. The message names a bad one."""
        texts = read_texts(rows, self.columns, first)
        return [text if len(text) > 1 else text[0] for text in texts]

    def prepare(self, samples: Any) -> Batch:
        """Tokenize strings, pairs, or rows of a data set. ``[B, T]`` tensors on the CPU.

        Beside the tokenizer's own tensors there is ``special_tokens_mask``. A result does not depend on the
        rest of its batch: encoders, which pool the first token, are padded on the right whatever the
        tokenizer's setting (XLNet, which pools the last place, on the left). If decoder-only models are
        padded on the left, ``position_ids`` count real tokens only.

        Raises:
            InputError, InputTypeError: a sample is empty or not text, or there is no tokenizer.

        Warns: TruncationWarning: a text was cut.
        """
        if self.tokenizing is None:
            raise InputError(
                "raw texts need the model's tokenizer: pass processor=AutoTokenizer.from_pretrained(...), "
                "or give tensors: {'input_ids': ..., 'attention_mask': ..., 'special_tokens_mask': ...}."
            )
        texts = self.tokenizing.read(samples)
        tensors = texts.tensors()
        return Batch({**tensors, **self.positions(tensors["attention_mask"])}, texts=texts)

    def positions(self, attended: Tensor) -> dict[str, Tensor]:
        """``{"position_ids": [B, T]}`` that count real tokens only, if padding of ``attended [B, T]`` makes that needed."""
        left_padded = bool((attended[..., 0] == 0).any())
        if not (left_padded and self.counts_positions):
            return {}
        return {"position_ids": (attended.cumsum(-1) - 1).clamp(min=0)}

    def alike(self, rows: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        if self.tokenizing is None or self.tokenizing.pads_fully or "attention_mask" not in rows[0]:
            return rows
        attended = [row["attention_mask"].bool() for row in rows]
        length = max(int(a.sum()) for a in attended)
        alike = [
            {k: self._padded(k, v[a], length) for k, v in row.items() if k != "position_ids"}
            for row, a in zip(rows, attended, strict=True)
        ]
        positions = self.positions(torch.stack([row["attention_mask"] for row in alike]))
        return [row | {k: v[i] for k, v in positions.items()} for i, row in enumerate(alike)]

    def _padded(self, name: str, values: Tensor, length: int) -> Tensor:
        assert self.tokenizing is not None
        at_padding = getattr(self.tokenizer, _AT_PADDING[name], 0) if name in _AT_PADDING else 0
        rest = values.new_full((length - len(values),), 1 if name == "special_tokens_mask" else at_padding)
        side = self.tokenizing.padding_side or self.tokenizer.padding_side
        return torch.cat([rest, values] if side == "left" else [values, rest])

    def truth(self, evidence: Sequence[Mapping[str, Any]], batch: Batch) -> dict[str, Tensor]:
        """``{"text": [B, T]}``: tokens that touch the evidence.

        Args:
            evidence: per sample ``{"text": [(start, end), ...]}`` in characters of the text. In
                the second text of a pair ``(start, end, 1)``.
            batch: read from the texts, as ids do not tell characters.

        Raises:
            InputError: the evidence of a row is no list of places in its text.
        """
        if batch.texts is None:
            raise InputError("evidence in texts is given by character: give the raw texts, not their ids.")
        marked = [
            _touched(view, found["text"], number)
            for number, (view, found) in enumerate(zip(batch.texts.views, evidence, strict=True))
        ]
        return {"text": torch.tensor(marked, dtype=torch.bool)}

    def show(self, batch: Batch, real: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        """``{"text": list of strings}`` per sample.

        If texts were read, these are words that join to the original text. Ids can only be spelled token by token.
        """
        if batch.texts is not None:
            return [{"text": strings} for strings in batch.texts.shown.strings]
        spell = self.tokenizing.spelled if self.tokenizing else lambda ids: [f"#{i}" for i in ids]
        ids = batch.inputs["input_ids"]
        return [{"text": spell(row[mask].tolist())} for row, mask in zip(ids, real["text"], strict=True)]

    def show_scores(
        self, batch: Batch, scores: Scores, real: Mapping[str, Tensor], join: Join = "max"
    ) -> list[dict[str, Any]]:
        """``{"text": [N]}`` per sample: one score for each string of :meth:`show`."""
        rows = scores["text"].detach().float().cpu()
        if batch.texts is not None:
            return [{"text": values} for values in batch.texts.shown.scores(rows.numpy(), join)]
        return [{"text": row[mask].numpy()} for row, mask in zip(rows, real["text"].cpu(), strict=True)]

    def state(self) -> dict[str, Any]:
        if self.tokenizer is None:
            return {}
        place = getattr(self.tokenizer, "name_or_path", "")
        about = {"hash": tokenizer_hash(self.tokenizer), "settings": tokenizer_settings(self.tokenizer)}
        return {"tokenizer": place, **about} if place else about

    def save(self, folder: Path) -> None:
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)

    @classmethod
    def load(cls, name: str, state: Mapping[str, Any], revision: str | None = None) -> Any:
        return saved_tokenizer(name, state, revision)


def _touched(view: TextView, spans: Sequence[Sequence[int]], number: int) -> list[bool]:
    """``T`` flags of tokens of row ``number`` that touch ``(start, end)`` or ``(start, end, segment)``."""
    by_segment: dict[int, list[tuple[int, int]]] = {}
    try:
        for start, end, *segment in spans:
            by_segment.setdefault(int(segment[0]) if segment else 0, []).append((int(start), int(end)))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"the evidence of row {number} must be a list of places in its text, [(start, end), ...] in characters; got "
            f"{spans!r:.80}."
        ) from error
    for text, own in by_segment.items():
        _require_places(view.texts, text, own, number)
    flags = [view.tokens_in(own, segment) for segment, own in by_segment.items()]
    return [any(on) for on in zip(*flags, strict=True)] if flags else [False] * len(view.pieces)


def _require_places(
    texts: Sequence[str], segment: int, spans: Sequence[tuple[int, int]], number: int
) -> None:
    """Raise :class:`InputError` if one of ``spans`` is no place in its text, because it would mark nothing, or other words."""
    if not 0 <= segment < len(texts):
        raise InputError(
            f"the evidence of row {number} is in text {segment}, and the row has {counted(len(texts), 'text')}: the first is 0."
        )
    length = len(texts[segment])
    wrong = next((span for span in spans if not 0 <= span[0] < span[1] <= length), None)
    if wrong is not None:
        raise InputError(
            f"the evidence of row {number} holds {wrong}, which is no place in its text of {length} characters "
            f"({texts[segment][:40]!r}). A place is (start, end): the first character, from 0 on, and the one after the last. "
            "Correct it, or leave it out: a row without any evidence has an empty list."
        )
