"""Images with texts read for a model: each pair by the reader of its image and the reader of its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from sidelight.core.types import Inputs, Join, Scores
from sidelight.errors import InputError, InputTypeError
from sidelight.inputs.base import Batch, Reader
from sidelight.inputs.image import PIXELS, ImageReader
from sidelight.inputs.pairs import ImageTextProcessor, is_pair, read_pairs
from sidelight.inputs.pixels import stacked
from sidelight.inputs.text import TextReader

IMAGE_INPUTS = (PIXELS, "pixel_mask")


def image_inputs(inputs: Inputs) -> dict[str, Tensor]:
    """The part of ``inputs`` that belongs to the image."""
    return {k: v for k, v in inputs.items() if k in IMAGE_INPUTS}


def text_inputs(inputs: Inputs) -> dict[str, Tensor]:
    """The part of ``inputs`` that belongs to the text."""
    return {k: v for k, v in inputs.items() if k not in IMAGE_INPUTS}


class ImageTextReader(Reader):
    """Reads pairs of an image and a text.

    Args:
        processor: prepares both.
        image, text: readers of the two, made from the parts of ``processor``.
        columns: text column(s) of rows, if their names are not the usual ones.
    """

    modalities = ("image", "text")

    def __init__(
        self,
        processor: ImageTextProcessor,
        image: ImageReader,
        text: TextReader,
        columns: Sequence[str] = (),
    ) -> None:
        self.processor, self.image, self.text = processor, image, text
        self.columns = tuple(columns)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the text, or ``None``."""
        return self.text.tokenizer

    def is_sample(self, value: Any) -> bool:
        """Whether ``value`` is one pair ``(image, text)``, or one row."""
        return is_pair(value) or (not isinstance(value, tuple) and super().is_sample(value))

    def samples(self, rows: Sequence[Any], first: int = 0) -> Sequence[Any]:
        """``(image, text)`` of each tuple or row. The message names a bad one."""
        return read_pairs(rows, self.columns, first)

    def prepare(self, samples: Any) -> Batch:
        """Tuples ``(image, text)`` as ``pixel_values`` and ``[B, T]`` tensors of the text.

        Raises:
            InputError, InputTypeError: a part is missing, empty, unreadable, or the two are swapped. The
                message names the sample.

        Warns: TruncationWarning: a text was cut.
        """
        read = [self._picture(image, number) for number, (image, _) in enumerate(samples)]
        words = self.text.prepare([text for _, text in samples])
        pixels = stacked([picture.inputs[PIXELS][0] for picture in read], self.image.transform)
        sizes = [picture.sizes[0] for picture in read]
        return replace(words, inputs={PIXELS: pixels, **words.inputs}, sizes=sizes)

    def _picture(self, image: Any, number: int) -> Batch:
        try:
            return self.image.prepare([image])
        except (InputError, InputTypeError) as error:
            raise type(error)(f"the image of sample {number}: {error}") from error

    def alike(self, rows: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
        # features of an image are no tokens, and a token has no axes
        words = self.text.alike([{k: v for k, v in row.items() if v.ndim == 1} for row in rows])
        return [{k: v for k, v in row.items() if v.ndim > 1} | w for row, w in zip(rows, words, strict=True)]

    def truth(self, evidence: Sequence[Mapping[str, Any]], batch: Batch) -> dict[str, Tensor]:
        """Evidence of each modality that every sample has some entry for (it may be empty)."""
        readers: dict[str, Reader] = {"image": self.image, "text": self.text}
        found: dict[str, Tensor] = {}
        for modality, reader in readers.items():
            if all(e.get(modality) is not None for e in evidence):
                found |= reader.truth(evidence, batch)
        return found

    def show(self, batch: Batch, real: Mapping[str, Tensor]) -> list[dict[str, Any]]:
        """``{"image": [H, W, C], "text": list of strings}`` per sample."""
        words = self.text.show(batch, real)
        return [i | t for i, t in zip(self.image.show(batch, real), words, strict=True)]

    def show_scores(
        self, batch: Batch, scores: Scores, real: Mapping[str, Tensor], join: Join = "max"
    ) -> list[dict[str, Any]]:
        """``{"image": [H, W], "text": [N]}`` per sample, of the modalities that ``scores`` hold."""
        readers: dict[str, Reader] = {"image": self.image, "text": self.text}
        shown: list[dict[str, Any]] = [{} for _ in range(len(batch))]
        for modality in (m for m in readers if m in scores):
            found = readers[modality].show_scores(batch, scores, real, join)
            shown = [s | f for s, f in zip(shown, found, strict=True)]
        return shown

    def state(self) -> dict[str, Any]:
        return {"image": self.image.state(), "text": self.text.state()}

    def save(self, folder: Path) -> None:
        self.processor.save_pretrained(folder)

    @classmethod
    def load(cls, name: str, state: Mapping[str, Any], revision: str | None = None) -> Any:
        return ImageTextProcessor(
            ImageReader.load(name, state.get("image", {}), revision),
            TextReader.load(name, state.get("text", {}), revision),
        )
