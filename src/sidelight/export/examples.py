"""Inputs that are made up of the target alone: to trace a pass with, and to compare what was written with PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from sidelight.core.types import Inputs
from sidelight.errors import ExportError
from sidelight.export.module import CLASSES, PREDICTED, text_part
from sidelight.inputs.image import PIXELS
from sidelight.scorers import Scorer
from sidelight.targets import ImageTarget, ImageTextTarget, TargetModel, TextTarget
from sidelight.targets.architectures import WORDS
from sidelight.targets.embedding import padding_side

#: batch and length of the pass that is traced: unlike each other and most sizes within a model
TRACED = (3, 11)
#: no text of a comparison is longer
LONGEST = 128

#: names of the axes that may have any size, by input
Axes = dict[str, dict[int, str]]


@dataclass(frozen=True)
class Frame:
    """How a tokenizer frames a text.

    Attributes:
        before, after: ids of the special tokens around the words.
        names: inputs of the model, in their order.
        padding: id of the padding token.
        types: token type of padding.
        left: whether padding comes first.
        longest: tokens that are read of a text. ``None`` for all.
        full: whether every text is padded to ``longest``.
        cut_left: whether a longer text loses its beginning.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    names: tuple[str, ...]
    padding: int
    types: int
    left: bool
    longest: int | None
    full: bool
    cut_left: bool = False

    @property
    def shortest(self) -> int:
        """Tokens of a text of one word."""
        return len(self.before) + 1 + len(self.after)

    @property
    def most(self) -> int:
        """Tokens of a made-up text at most."""
        return LONGEST if self.longest is None else self.longest


def frame_of(target: TextTarget, pair: bool = False) -> Frame:
    """How the tokenizer of ``target`` frames a text, found by a text of one word.

    Args:
        pair: whether the words go to a model that reads an image, too.
    """
    reader, words = target.reader, target.vocabulary
    pad = words.config_pad_id if words.pad_id is None else words.pad_id
    side = padding_side(target.model)
    if reader.tokenizing is None:
        return Frame(
            (), (), ("input_ids", "attention_mask"), pad or 0, 0, side == "left", target.limit, False
        )
    own, inputs = reader.tokenizing, reader.prepare(["a"]).inputs
    attended = inputs["attention_mask"][0].bool()
    ids, special = inputs["input_ids"][0][attended], inputs["special_tokens_mask"][0][attended].bool()
    real = (~special).nonzero().flatten().tolist() or [0]
    taken = {*target.arguments(inputs), "attention_mask"} - {"position_ids"}
    names = tuple(n for n in inputs if n in taken and (not pair or n in WORDS))
    return Frame(
        tuple(ids[: real[0]].tolist()),
        tuple(ids[real[-1] + 1 :].tolist()),
        names,
        pad or 0,
        int(getattr(reader.tokenizer, "pad_token_type_id", 0) or 0),
        (own.padding_side or reader.tokenizer.padding_side) == "left",
        min((n for n in (target.limit, own.max_length) if n is not None), default=None),
        own.pads_fully,
        own.cut_side == "left",
    )


class Examples:
    """Made-up inputs of any size for one explainer.

    Args:
        target: the classifier.
        scorer: its scorer, which remembers the size of pictures.

    Raises:
        ExportError: the target belongs to a family that cannot be exported.
    """

    def __init__(self, target: TargetModel, scorer: Scorer) -> None:
        if not isinstance(target, (ImageTarget, TextTarget, ImageTextTarget)):
            raise ExportError(
                f"{type(target).__name__} is a target family of your own, and export knows image, text and image+text only."
            )
        self.target, self.scorer = target, scorer
        text = text_part(target)
        self.frame = None if text is None else frame_of(text, isinstance(target, ImageTextTarget))
        self.ordinary = torch.zeros(1) if text is None else text.vocabulary.ordinary_ids()

    def inputs(self, batch: int, length: int = 0, seed: int = 0) -> dict[str, Tensor]:
        """``batch`` samples on the CPU. Texts have up to ``length`` tokens and are padded to it."""
        drawn = torch.Generator().manual_seed(seed)
        found = {}
        if "image" in self.target.modalities:
            found[PIXELS] = self._pixels(batch, drawn)
        if self.frame is not None:
            found |= self._words(self.frame, batch, length, drawn)
        return found

    def classes(self, batch: int, seed: int = 0) -> Tensor:
        """``[B]`` classes. Every second one is left to the model."""
        chosen = torch.randint(
            self.scorer.spec.classes or 1, (batch,), generator=torch.Generator().manual_seed(seed)
        )
        return torch.where(torch.arange(batch) % 2 == 0, torch.full_like(chosen, PREDICTED), chosen)

    def traced(self) -> dict[str, Tensor]:
        """Inputs of the pass that is traced, :data:`CLASSES` first if the scorer knows classes."""
        batch, length = TRACED
        own = self.inputs(batch, length)
        return {CLASSES: self.classes(batch), **own} if self.scorer.config.by_class else own

    def sizes(self) -> list[tuple[int, int]]:
        """Batches and lengths at which the written file is compared with PyTorch."""
        if self.frame is None:
            return [(1, 0), (2, 0), (5, 0)]
        low, high = self.frame.shortest, min(self.frame.most, LONGEST)
        return [(1, low), (1, high), (2, (low + high) // 2), (5, min(high, low + 6))]

    def axes(self, names: Mapping[str, Tensor]) -> Axes:
        """The axes of each input that may have any size."""
        full = self.frame is not None and self.frame.full
        return {
            name: {0: "batch"} if value.ndim != 2 or full else {0: "batch", 1: "length"}
            for name, value in names.items()
        }

    def _pixels(self, batch: int, drawn: torch.Generator) -> Tensor:
        channels, *size = self.scorer.spec.feature_shape["image"]
        coarse = torch.rand(batch, channels, 4, 4, generator=drawn, dtype=torch.float32)
        smooth = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear")
        grain = torch.rand(smooth.shape, generator=drawn, dtype=torch.float32)
        picture = (0.8 * smooth + 0.2 * grain).clamp(0, 1)
        context = self.target.fill_context("image", [0])
        if isinstance(self.target, ImageTextTarget):
            context = self.target.image.fill_context("image", [0])
        if context.lower is None or context.upper is None:
            return 4 * picture - 2
        low, high = (torch.as_tensor(b).view(-1, 1, 1) for b in (context.lower, context.upper))
        return low + picture * (high - low)

    def _words(self, frame: Frame, batch: int, length: int, drawn: torch.Generator) -> Inputs:
        length = frame.most if frame.full else max(frame.shortest, min(length, frame.most))
        rows: dict[str, list[Tensor]] = {name: [] for name in frame.names}
        for row in range(batch):
            own = max(frame.shortest, length - row * max(1, (length - frame.shortest) // batch))
            picks = torch.randint(len(self.ordinary), (own - frame.shortest + 1,), generator=drawn)
            ids = torch.tensor([*frame.before, *self.ordinary[picks].tolist(), *frame.after])
            parts = {
                "input_ids": (ids, frame.padding),
                "attention_mask": (torch.ones_like(ids), 0),
                "token_type_ids": (torch.zeros_like(ids), frame.types),
            }
            for name in frame.names:
                values, at_padding = parts.get(name, (torch.zeros_like(ids), 0))
                rest = torch.full((length - own,), at_padding)
                rows[name].append(torch.cat([rest, values] if frame.left else [values, rest]))
        return {name: torch.stack(found) for name, found in rows.items()}
