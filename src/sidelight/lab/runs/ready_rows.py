"""Rows whose pictures are prepared once, and not again in each epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sidelight.core.processes import device
from sidelight.inputs.image import PIXELS
from sidelight.lab.runs.labelled import LabelledCollator
from sidelight.rows.row import Numbered
from sidelight.targets import TargetModel

#: prepared pictures of more bytes are not kept
MOST_BYTES = 512 * 2**20
#: pictures that are prepared, or encoded, at once
CHUNK = 128


@dataclass(frozen=True)
class ReadyRows(Sequence[Mapping[str, Any]]):
    """Rows with their pictures as tensors, or with encodings in place of pictures.

    Attributes:
        rows: the other columns of each row.
        pictures: ``[C, H, W]`` of each row. If there are encodings, nobody looks at its values.
        encodings: more inputs of the model, with a value for each row.
    """

    rows: Sequence[Mapping[str, Any]]
    pictures: Sequence[Tensor]
    encodings: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return {**self.rows[index], "image": self.pictures[index], "encodings": self._encoded(index)}

    def _encoded(self, index: int) -> dict[str, Tensor]:
        return {name: values[index] for name, values in self.encodings.items()}


class ReadyCollator(LabelledCollator):
    """A collator that adds the encodings of :class:`ReadyRows` to the model's inputs."""

    def labelled_inputs(self, rows: Sequence[Any]) -> dict[str, Tensor]:
        found = [row["encodings"] for row in rows]
        return super().labelled_inputs(rows) | {
            name: torch.stack([f[name] for f in found]) for name in found[0]
        }


@torch.no_grad()
def ready_rows(target: TargetModel, rows: Sequence[Any]) -> ReadyRows | None:
    """``rows`` with prepared pictures, or with their encodings by frozen parts of the model.

    ``None`` if the rows hold no pictures, or if they would take more than :data:`MOST_BYTES`.
    """
    reader = getattr(target.reader, "image", target.reader)
    first = rows[0] if "image" in target.modalities and len(rows) else None
    if not isinstance(first, Mapping) or first.get("image") is None or isinstance(first["image"], Tensor):
        return None
    example = reader.prepare([first["image"]]).inputs[PIXELS]
    encodings = _encodings(target, example)
    kept = list(encodings.values()) or [example]
    if len(rows) * sum(k.numel() * k.element_size() for k in kept) > MOST_BYTES:
        return None
    others: list[dict[str, Any]] = []
    pictures: list[Tensor] = []
    encoded: list[dict[str, Tensor]] = []
    for start in range(0, len(rows), CHUNK):
        chunk = [Numbered(rows[i], i, "train") for i in range(start, min(start + CHUNK, len(rows)))]
        others += [{k: v for k, v in one.row.items() if k != "image"} for one in chunk]
        pixels = LabelledCollator.checking(
            chunk, [one.row["image"] for one in chunk], lambda found: reader.prepare(found).inputs[PIXELS]
        )
        encoded.append(_encodings(target, pixels))
        pictures += torch.zeros(()).expand(pixels.shape) if encodings else pixels
    return ReadyRows(others, pictures, {k: torch.cat([e[k] for e in encoded]) for k in encodings})


def _encodings(target: TargetModel, pixels: Tensor) -> dict[str, Tensor]:
    found = target.frozen_encodings({PIXELS: pixels.to(device())})
    return {name: values.cpu() for name, values in found.items()}
