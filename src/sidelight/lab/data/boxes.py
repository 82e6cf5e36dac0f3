"""Evidence in pictures that is given as boxes, and a data set of animals with boxes around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sidelight.errors import InputError
from sidelight.lab.data.captions import Spans
from sidelight.lab.data.pair_rows import PairRows, Pictures
from sidelight.lab.data.reading import local_rows, sample_rows

ANIMALS = ("raccoon", "kangaroo")


@dataclass(frozen=True)
class BoxEvidence:
    """Evidence of each row. Its mask is made when it is needed.

    Attributes:
        sizes: height and width of each row's picture.
        boxes: of each row ``(left, top, right, bottom)`` in pixels. A pixel is inside if its centre is.
        spans: characters of each row's text, if there is one.
    """

    sizes: Sequence[tuple[int, int]]
    boxes: Sequence[Sequence[Sequence[float]]]
    spans: Sequence[Spans] | None = None

    def __getitem__(self, index: int) -> dict[str, Any]:
        mask = np.zeros(self.sizes[index], dtype=bool)
        _require_boxes(self.boxes[index], self.sizes[index], index)
        for box in self.boxes[index]:
            # pixel i has its centre at i + 0.5; a box may reach over the border by a rounding
            left, top, right, bottom = (max(0, int(np.ceil(side - 0.5))) for side in box)
            mask[top:bottom, left:right] = True
        return {"image": mask} if self.spans is None else {"image": mask, "text": self.spans[index]}


def _require_boxes(boxes: Sequence[Sequence[float]], size: tuple[int, int], number: int) -> None:
    """Raise :class:`InputError` if a box of row ``number`` holds nothing of its picture, because nobody would see that."""
    height, width = size
    for box in boxes:
        left, top, right, bottom = box
        inside = max(left, 0) < min(right, width) and max(top, 0) < min(bottom, height)
        shares = all(0 <= side <= 1 for side in box) and not all(float(side).is_integer() for side in box)
        if not inside or (shares and height * width > 1):
            raise InputError(
                f"row {number} has the box {[float(side) for side in box]}, which is no part of its picture of {width} × {height} "
                "pixels. A box is (left, top, right, bottom) in pixels: give no width and height, and no shares of the picture."
            )


def object_box_rows(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
    """Photographs of raccoons and kangaroos. The evidence is the boxes around the animals.

    The columns of the local copy are ``image``, ``label`` and ``boxes``, and the picture's ``width`` and ``height``.
    """
    columns = ("image", "label", "boxes", "width", "height")
    rows = local_rows("object_boxes", split, data_dir, columns)
    table = rows.select_columns(list(columns[1:])).to_dict()
    sizes = list(zip(table["height"], table["width"], strict=True))
    evidence = BoxEvidence(sizes, table["boxes"])
    made = PairRows(Pictures.of(rows), range(len(rows)), {"label": table["label"]}, evidence)
    return sample_rows(made, count, seed)
