"""Embedded pictures with captions. The evidence in both modalities is known, and which modality decides.

A picture shows one to three different coloured shapes on grey ground. Three captions in four are about the
picture ("there is no red circle"). Their label is 1 if they are right, else 0. The fourth is a general statement
("a square is a circle"), which its words alone decide. In half of the captions some words are blanked out. In one
of ten these are the deciding words ("there is a [PAD] [PAD]"). Such a caption claims nothing, and its label is 2.

Pictures do not depend on captions and labels, and every claim is as often right as wrong. So neither the picture
nor a caption about it predicts the label alone. A wrong claim is often nearly right: the colour, the shape, or both
are in the picture, but not in one object.

If a classifier never saw captions without their words, its answer to them is arbitrary (measured: "match",
p = 0.9 to 1 with zeros, the mean embedding or no tokens at all). Then no map of that class can be wrong (Hase, Xie
and Bansal 2021, on inputs that explanations make and models never saw).

Evidence in the text is the colour, the shape and the negation. Evidence in the picture is every pixel of the
objects that the caption names. The mask is empty if there are none, and if words alone decide.

Pictures of one object each, named by colour and shape, are a data set of their own. If an image encoder learns them
first, it spares a classifier of scenes its slowest part.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from sidelight.core.field_checks import require_choice
from sidelight.errors import ConfigError
from sidelight.lab.data.captions import (
    Spans,
    blanked,
    caption_words,
    decides,
    general_statement,
    picture_caption,
)
from sidelight.lab.data.digits import EvidenceRows
from sidelight.lab.data.pair_rows import PairRows
from sidelight.lab.data.planted_text import planted_tokenizer

if TYPE_CHECKING:  # transformers is slow to import
    from transformers import PreTrainedTokenizerFast

CANVAS = 48
CLASSES = ("no match", "match", "no claim")
NO_CLAIM = CLASSES.index("no claim")
SHAPES = ("circle", "square", "triangle")
#: RGB of each colour, before its brightness is varied
COLOURS = {
    "red": (215, 40, 40),
    "green": (40, 165, 60),
    "blue": (45, 80, 220),
    "yellow": (235, 210, 40),
}
OBJECTS = (1, 3)
RADIUS = (6, 9)
#: free pixels between two objects
GAP = 2
#: share of captions without their deciding words, and of the others the share with another word blanked out
EMPTY, PATCHY = 0.1, 0.5
#: replaces such a word: the token whose embedding is zero, so that words under zero fill fade into it
BLANK = "[PAD]"
#: share of claims that words alone decide, and share of negations in either kind
TEXT_ONLY = 0.25
NEGATED = 0.2
#: how often a caption about the picture names colour and shape, the colour, or the shape
KINDS = (2, 1, 1)
#: rows of each split if no count is given
SPLITS = {"train": 8000, "validation": 500, "test": 1000}
#: the same for pictures of one object
SINGLE = {"train": 3000, "validation": 300, "test": 500}
#: names of one object, by its class
KINDS_OF_OBJECT = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)


@dataclass(frozen=True)
class Shape:
    """An object: its kind, and the centre and half width of its box in pixels."""

    shape: str
    colour: str
    x: int
    y: int
    radius: int

    def mask(self, size: int = CANVAS) -> np.ndarray:
        """Boolean ``[size, size]``: the pixels that the object covers."""
        places = _places(size)
        return OUTLINES[self.shape](places[None, :] - self.x, places[:, None] - self.y, self.radius)


@lru_cache(maxsize=8)
def _places(size: int) -> np.ndarray:
    return np.arange(size)


#: which pixels a shape of half width r covers, by their distance from its centre
OUTLINES = {
    "circle": lambda dx, dy, r: dx**2 + dy**2 <= (r + 0.3) ** 2,
    "square": lambda dx, dy, r: np.maximum(abs(dx), abs(dy)) <= r,
    "triangle": lambda dx, dy, r: (abs(dy) <= r) & (2 * abs(dx) <= dy + r),
    "cross": lambda dx, dy, r: (np.maximum(abs(dx), abs(dy)) <= r) & (np.minimum(abs(dx), abs(dy)) <= r // 3),
}


@dataclass(frozen=True)
class Scene:
    """A picture, its objects and its caption.

    Attributes:
        image: uint8 ``[48, 48, 3]``.
        objects: the things in the picture.
        text: the caption.
        label: 1 if the caption is right, 0 if it is wrong, 2 if it claims nothing.
        decided_by: ``"both"``, or ``"text"`` if the words alone decide.
        pixels: bool ``[48, 48]``, the pixels that decide.
        spans: ``(start, end)`` of the words that decide.
    """

    image: np.ndarray
    objects: tuple[Shape, ...]
    text: str
    label: int
    decided_by: str
    pixels: np.ndarray
    spans: Spans


def scenes(count: int, seed: int = 0, stream: int = 0, text_only: float = TEXT_ONLY) -> list[Scene]:
    """``count`` scenes. The same arguments give the same ones, and a longer list starts with the shorter.

    Args:
        seed: 0 or more. Scenes of different seeds are independent.
        stream: 0 or more. It differs between the splits of one seed.
        text_only: share of claims that words alone decide.

    Raises:
        ConfigError: a number is out of range.
    """
    if count < 0 or seed < 0 or stream < 0 or not 0 <= text_only <= 1:
        raise ConfigError(
            "expected count, seed and stream of 0 or more and text_only in [0, 1]; "
            f"got {count}, {seed}, {stream} and {text_only}."
        )
    return [_scene(np.random.default_rng([seed, stream, i]), text_only) for i in range(count)]


@lru_cache(maxsize=4)  # a run reads them again at each step
def scene_rows(split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0) -> PairRows:
    """Rows ``{"image", "text", "label", "decided_by", "evidence": {"image", "text"}}`` of a split.

    Raises:
        ConfigError: unknown split, a count below 1, or a seed below 0.
    """
    size, stream = _size(SPLITS, split, count)
    made = scenes(size, seed, stream)
    return PairRows(
        pictures=[s.image for s in made],
        picture=range(len(made)),
        columns={name: [getattr(s, name) for s in made] for name in ("text", "label", "decided_by")},
        evidence=[{"image": s.pixels, "text": s.spans} for s in made],
    )


@lru_cache(maxsize=4)
def object_rows(
    split: str, data_dir: str | None = None, count: int | None = None, seed: int = 0
) -> EvidenceRows:
    """Rows ``{"image", "label", "evidence": {"image"}}``: one object in each picture, of :data:`KINDS_OF_OBJECT`.

    Raises:
        ConfigError: unknown split, a count below 1, or a seed below 0.
    """
    size, stream = _size(SINGLE, split, count)
    if seed < 0:
        raise ConfigError(f"expected a seed of 0 or more; got {seed}.")
    images, labels, masks = [], [], []
    for i in range(size):
        rng = np.random.default_rng([seed, len(SPLITS) + stream, i])
        found = _objects(rng, 1)
        images.append(draw(found, rng))
        labels.append(KINDS_OF_OBJECT.index(f"{found[0].colour} {found[0].shape}"))
        masks.append(found[0].mask())
    return EvidenceRows(np.stack(images), np.asarray(labels), np.stack(masks))


def _size(sizes: dict[str, int], split: str, count: int | None) -> tuple[int, int]:
    require_choice(split, sizes, "split")
    if count is not None and count < 1:
        raise ConfigError(f"count must be at least 1; got {count}.")
    return count or sizes[split], list(sizes).index(split)


def scene_tokenizer() -> PreTrainedTokenizerFast:
    """A word tokenizer with every word of the captions, made in memory."""
    return planted_tokenizer([" ".join(caption_words(list(COLOURS), SHAPES))], max_length=24)


def readable(display: Any) -> Any:
    """Words of a text with gaps in place of blanks, anything else as it is."""
    return [word.replace(BLANK, "___") for word in display] if isinstance(display, list) else display


def _scene(rng: np.random.Generator, text_only: float) -> Scene:
    objects = _objects(rng, int(rng.integers(OBJECTS[0], OBJECTS[1] + 1)))
    image = draw(objects, rng)
    label, negated = int(rng.integers(2)), bool(rng.random() < NEGATED)
    pixels = np.zeros((CANVAS, CANVAS), dtype=bool)
    empty, by_words = bool(rng.random() < EMPTY), bool(rng.random() < text_only)
    if by_words:
        text, spans = general_statement(rng, list(COLOURS), SHAPES, bool(label), negated)
    else:
        colour, shape = _claim(objects, rng, present=label != negated)
        text, spans = picture_caption(rng, colour, shape, negated)
        meant = [o.mask() for o in objects if colour in (None, o.colour) and shape in (None, o.shape)]
        pixels = np.logical_or.reduce([pixels, *meant])
    deciding = decides(text, spans)
    share = 0.0 if empty or rng.random() >= PATCHY else rng.random()
    others = (rng.random(len(deciding)) < share).tolist()
    gone = [empty if d else other for d, other in zip(deciding, others, strict=True)]
    text, spans = blanked(text, spans, BLANK, gone)
    if empty:
        return Scene(image, objects, text, NO_CLAIM, "text", np.zeros_like(pixels), [])
    return Scene(image, objects, text, label, "text" if by_words else "both", pixels, spans)


def _objects(rng: np.random.Generator, wanted: int) -> tuple[Shape, ...]:
    """``wanted`` different objects, at least :data:`GAP` pixels apart."""
    kinds = [(s, c) for s in SHAPES for c in COLOURS]
    picks = [kinds[i] for i in rng.permutation(len(kinds))[:wanted]]
    while True:  # a crowded layout is drawn again; the first one nearly always fits
        placed: list[Shape] = []
        for shape, colour in picks:
            radius = int(rng.integers(RADIUS[0], RADIUS[1] + 1))
            for x, y in rng.integers(radius + 1, CANVAS - radius - 1, size=(30, 2)).tolist():
                if all(max(abs(x - o.x), abs(y - o.y)) > radius + o.radius + GAP for o in placed):
                    placed.append(Shape(shape, colour, x, y, radius))
                    break
        if len(placed) == wanted:
            return tuple(placed)


def _claim(
    objects: Sequence[Shape], rng: np.random.Generator, present: bool
) -> tuple[str | None, str | None]:
    """Colour and shape (one may be left open) of a thing in the picture, or of one that is nearly there."""
    colours, shapes = {o.colour for o in objects}, {o.shape for o in objects}
    # The open part may depend on the picture, never on the label: both labels must be possible.
    many = dict(zip(("object", "colour", "shape"), KINDS, strict=True))
    kinds = [k for k, n in many.items() for _ in range(n) if k != "shape" or len(shapes) < len(SHAPES)]
    kind = kinds[int(rng.integers(len(kinds)))]
    shown = {(o.colour, o.shape) for o in objects}
    if kind == "colour":
        found: list[Any] = [(c, None) for c in COLOURS if (c in colours) == present]
    elif kind == "shape":
        found = [(None, s) for s in SHAPES if (s in shapes) == present]
    elif present:
        found = sorted(shown)
    else:
        found = _near_misses(shown, colours, shapes, rng)
    return found[int(rng.integers(len(found)))]


def _near_misses(
    shown: set[tuple[str, str]], colours: set[str], shapes: set[str], rng: np.random.Generator
) -> list[tuple[str, str]]:
    """Things that the picture lacks. With its objects they share nothing, the colour, the shape, or both."""
    absent = [(c, s) for c in COLOURS for s in SHAPES if (c, s) not in shown]
    groups = [
        [(c, s) for c, s in absent if (c in colours, s in shapes) == shared]
        for shared in itertools.product((False, True), repeat=2)
    ]
    groups = [g for g in groups if g]
    return groups[int(rng.integers(len(groups)))]


def draw(objects: Sequence[Shape], rng: np.random.Generator) -> np.ndarray:
    """uint8 ``[48, 48, 3]``: the objects, each in its own tone, on plain or grainy grey.

    Edges are not smoothed, so :meth:`Shape.mask` is exact.
    """
    ground = np.full((CANVAS, CANVAS), rng.integers(60, 221), dtype=np.int16)
    if rng.random() < 0.5:
        ground += rng.integers(-18, 19, size=ground.shape, dtype=np.int16)
    image = np.repeat(ground[..., None], 3, axis=2)
    for o in objects:
        image[o.mask()] = np.asarray(COLOURS[o.colour]) + rng.integers(-25, 26)
    return image.clip(0, 255).astype(np.uint8)
