"""NLVR: pictures of coloured shapes whose boxes are known, with claims about their objects, and its objects alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from sidelight.lab.data.boxes import BoxEvidence
from sidelight.lab.data.captions import picture_caption
from sidelight.lab.data.pair_rows import PairRows, Pictures, Thing, exchanged_things
from sidelight.lab.data.reading import local_rows, sample_rows

COLOURS = ("black", "blue", "yellow")
SHAPES = ("circle", "square", "triangle")
#: names of one object, by its class
KINDS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
#: ``(left, top, right, bottom)`` in pixels
Box = Sequence[float]


def nlvr_rows(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
    """Does the picture show such an object? Labels and evidence come from the objects' boxes.

    Claims are balanced by picture and by object (:func:`~sidelight.lab.data.pair_rows.exchanged_things`), so neither
    modality alone predicts the label. Evidence in the picture is the boxes of the objects that the text names, or empty
    if there are none. Evidence in the text is the colour and the shape.
    """
    pictures, objects = _pictures(split, data_dir)
    rng = np.random.default_rng([seed, len(objects)])
    claims = exchanged_things([{thing for thing, _ in found} for found in objects], rng)
    texts = [picture_caption(rng, *thing) for _, thing, _ in claims]
    boxes = [[box for thing, box in objects[i] if thing == claimed] for i, claimed, _ in claims]
    made = PairRows(
        pictures,
        [i for i, _, _ in claims],
        {"text": [text for text, _ in texts], "label": [label for _, _, label in claims]},
        BoxEvidence([_size(pictures)] * len(claims), boxes, [spans for _, spans in texts]),
    )
    return sample_rows(made, count, seed)


def nlvr_object_rows(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> Any:
    """One object in each picture, at its place and in its size, of :data:`KINDS`. It warms up encoders of NLVR's pictures.

    Three objects in four are squares. So each kind has as many rows as the rarest, drawn with ``seed``. The evidence is
    the object's box.
    """
    pictures, objects = _pictures(split, data_dir)
    found = [
        (KINDS.index(" ".join(thing)), i, k)
        for i, own in enumerate(objects)
        for k, (thing, _) in enumerate(own)
    ]
    kinds = np.array([kind for kind, _, _ in found])
    rng = np.random.default_rng([seed, len(found)])
    each = np.unique(kinds, return_counts=True)[1].min()
    chosen = [
        found[i] for kind in range(len(KINDS)) for i in rng.permutation(np.flatnonzero(kinds == kind))[:each]
    ]
    boxes = [[box for _, box in own] for own in objects]
    made = PairRows(
        _Alone(pictures, boxes, [(i, k) for _, i, k in chosen]),
        range(len(chosen)),
        {"label": [kind for kind, _, _ in chosen]},
        BoxEvidence([_size(pictures)] * len(chosen), [[boxes[i][k]] for _, i, k in chosen]),
    )
    return sample_rows(made, count, seed)


def _pictures(split: str, data_dir: str | None) -> tuple[Pictures, list[list[tuple[Thing, Box]]]]:
    """The pictures of a split, and the objects in each: colour and shape, and the box."""
    rows = local_rows("nlvr", split, data_dir, ("image", "object_shape", "object_color", "object_box"))
    table = rows.select_columns(["object_color", "object_shape", "object_box"]).to_dict()
    objects = [
        [((colour, shape), box) for colour, shape, box in zip(*found, strict=True)]
        for found in zip(*table.values(), strict=True)
    ]
    return Pictures.of(rows), objects


def _size(pictures: Pictures) -> tuple[int, int]:
    """Height and width, which all pictures share."""
    width, height = pictures[0].size
    return height, width


@dataclass(frozen=True, eq=False)
class _Alone:
    """Pictures with one object left.

    Attributes:
        boxes: of all objects of each picture.
        kept: of each picture to make, the number of the picture and of the object that stays.
    """

    pictures: Pictures
    boxes: Sequence[Sequence[Box]]
    kept: Sequence[tuple[int, int]]

    def __getitem__(self, index: int) -> Any:
        i, k = self.kept[index]
        picture = self.pictures[i].convert("RGB")
        _, ground = max(picture.getcolors(picture.width * picture.height))
        image = np.array(picture)
        places = [
            (slice(int(top), int(bottom)), slice(int(left), int(right)))
            for left, top, right, bottom in self.boxes[i]
        ]
        own = image[places[k]].copy()
        for place in places:
            image[place] = ground
        image[places[k]] = own
        return Image.fromarray(image)
