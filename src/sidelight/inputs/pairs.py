"""An image and a text as one sample: reading such samples, and their processor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from sidelight.core.columns import KNOWN_COLUMNS, column_of, naming
from sidelight.core.counted import an
from sidelight.core.files import write_json
from sidelight.core.guard import public_class
from sidelight.errors import InputError, InputTypeError
from sidelight.inputs.images import PictureTransform, as_transform
from sidelight.inputs.loading import TRANSFORM_FILE, load_transform, saved_tokenizer
from sidelight.inputs.picture_files import CONTENT, is_open_file, read_image
from sidelight.inputs.pixels import picture_batch
from sidelight.inputs.samples import read_texts, what_else
from sidelight.inputs.tokenizer_state import lent_tokenizer
from sidelight.rows.labels import is_missing

#: how a sample may be written, for messages
FORMS = "give (image, text), in this order, or a row {'image': ..., 'text': ...}"

Pair = tuple[Any, Any]


@public_class
class ImageTextProcessor:
    """What prepares pairs for a model: an image transform and a tokenizer, saved in one folder.

    Args:
        image_processor: an :class:`ImageTransform`, or a Hugging Face image processor, whose own pixels are
            given. ``None`` where pixels come prepared.
        tokenizer: a Hugging Face tokenizer; ``None`` where ids come prepared.

    Raises:
        InputTypeError: ``image_processor`` is no image processor.

    Example:
        >>> inputs = pair_processor(["photo.jpg"], text=["a dull film"])  # 32 by 32 pixels, three words and two special tokens
        >>> {name: tuple(inputs[name].shape) for name in ("pixel_values", "input_ids")}
        {'pixel_values': (1, 3, 32, 32), 'input_ids': (1, 5)}
    """

    def __init__(self, image_processor: Any = None, tokenizer: Any = None) -> None:
        self.image_processor: PictureTransform | None = as_transform(image_processor)
        self.tokenizer = tokenizer

    @classmethod
    def wrap(cls, processor: Any) -> ImageTextProcessor:
        """``processor`` as one of this kind: a Hugging Face processor of both, a pair of two, or ``None``.

        Raises:
            InputTypeError: it prepares one of the two only.
        """
        if processor is None or isinstance(processor, cls):
            return processor or cls()
        parts = [getattr(processor, name, None) for name in ("image_processor", "tokenizer")]
        if isinstance(processor, (tuple, list)) and len(processor) == 2:
            parts = list(processor)
        if None in parts:
            raise InputTypeError(
                "an image-text model needs what prepares both: pass ImageTextProcessor(image_processor, tokenizer), "
                f"or a Hugging Face processor that holds both; got {type(processor).__name__}."
            )
        return cls(*parts)

    def __call__(self, images: Sequence[Any], text: Sequence[Any], **options: Any) -> dict[str, Tensor]:
        """Model inputs of ``images`` and ``text``, as many of the one as of the other.

        Args:
            images: paths, PIL images, arrays.
            text: strings.
            options: of the tokenizer, e.g. ``max_length=64, truncation=True``.

        Returns:
            ``pixel_values`` ``[B, C, H, W]``, and what the tokenizer gives: ``input_ids`` ``[B, T]``, ...

        Raises:
            InputError: they differ in number, or a part of the processor is missing.
            InputTypeError: one image or one text is given in place of a list.
        """
        if self.image_processor is None or self.tokenizer is None:
            raise InputError("this processor lacks its image transform or its tokenizer; give both.")
        if isinstance(images, (str, Image.Image)) or isinstance(text, str):
            raise InputTypeError(
                "give a list of images and a list of texts, e.g. images=[image], text=[text]."
            )
        if len(images) != len(text):
            raise InputError(f"{len(images)} image(s) but {len(text)} text(s); give one text per image.")
        texts = [parts[0] for parts in read_texts(list(text))]
        with lent_tokenizer(self.tokenizer):
            words = self.tokenizer(texts, **{"padding": True, "return_tensors": "pt", **options})
        return {"pixel_values": picture_batch(list(images), self.image_processor), **words}

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write both parts into ``folder``, where they may lie beside a model."""
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        if self.image_processor is not None:
            write_json(place / TRANSFORM_FILE, self.image_processor.to_dict())
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(place)

    @classmethod
    def from_pretrained(cls, name: str | os.PathLike[str], revision: str | None = None) -> ImageTextProcessor:
        """What :meth:`save_pretrained` wrote, or the parts of a Hugging Face processor. A missing one is ``None``."""
        place = os.fspath(name)
        return cls(load_transform(place, {}, revision), saved_tokenizer(place, {}, revision))


def is_pair(value: Any) -> bool:
    """Whether ``value`` is a tuple of an image and a text, in whichever order, or of an image and two texts.

    Either may be missing, and the text may be a list: who reads the pair tells what is wrong with it.
    """
    if not isinstance(value, tuple) or len(value) != 2:
        return False
    first, second = value
    two = isinstance(second, tuple) and len(second) == 2 and all(isinstance(text, str) for text in second)
    if two or _lists_texts(second) or _is_none(second):
        return _may_be_image(first)
    return all(map(_may_be_image, value)) and any(isinstance(v, str) for v in value)


def _may_be_image(value: Any) -> bool:
    """Whether ``value`` is an image or its path. A missing one is told when it is read."""
    return isinstance(value, (str, os.PathLike)) or _is_none(value) or is_picture(value)


def _is_none(value: Any) -> bool:
    """Whether ``value`` stands for no image: ``None``, or NaN as pandas has it for an empty cell."""
    return is_missing(value) and not isinstance(value, str)


def _lists_texts(value: Any) -> bool:
    """Whether ``value`` is a list of texts, also an array as tables give it. It may be empty."""
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "OU"
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def read_pairs(samples: Sequence[Any], columns: Sequence[str] = (), first: int = 0) -> list[Pair]:
    """``(image, text)`` of each sample. Texts are strings, or pairs of strings.

    Args:
        samples: tuples ``(image, text)``, or rows with a column ``image`` and one or two of text.
        columns: the text column(s), where their names are not the usual ones.
        first: number of the first sample, for messages.

    Raises:
        InputError: a part is missing or empty, or the text is no text but the image might be one.
        InputTypeError: a sample is none, or its parts are swapped.
    """
    pairs = [_parts(sample, number, columns) for number, sample in enumerate(samples, start=first)]
    for number, (image, text) in enumerate(pairs, start=first):
        _check_parts(image, text, number)
    texts = read_texts([text for _, text in pairs], (), first, "the text of ")
    return [(image, t if len(t) > 1 else t[0]) for (image, _), t in zip(pairs, texts, strict=True)]


def _parts(sample: Any, number: int, columns: Sequence[str]) -> Pair:
    if isinstance(sample, tuple) and len(sample) == 2:
        return sample
    if not isinstance(sample, Mapping):
        kind = f"{type(sample).__name__} of {len(sample)}" if isinstance(sample, (tuple, list)) else None
        raise InputTypeError(
            f"sample {number} is not an image with a text but {an(kind or type(sample).__name__)}; {FORMS}. "
            f"Of two lists make pairs: list(zip(images, texts)).{what_else(sample, 'an image with a text')}"
        )
    _check_columns(sample, number)
    picture = column_of(sample, "image") or "image"
    if _is_none(sample.get(picture)):
        held = f"is {sample[picture]!r}" if picture in sample else None
        what = held or f"is missing; the columns are {sorted(map(str, sample))}"
        raise InputError(f"the image of sample {number} {what}. Leave the row out, or {FORMS}.")
    words = {k: v for k, v in sample.items() if k != picture}
    names = next((n for n in ([tuple(columns)] if columns else KNOWN_COLUMNS) if set(n) <= set(words)), None)
    if names is None:
        raise InputError(
            f"the text of sample {number} is missing; the columns are {sorted(map(str, sample))}. "
            f"Rename one of them to 'text', or name it in the call of fit: {naming(words, pair=False)}."
        )
    return sample[picture], words[names[0]] if len(names) == 1 else tuple(words[n] for n in names)


def _check_columns(sample: Mapping[str, Any], number: int) -> None:
    known = (column_of(sample, "image"), "text")
    listed = {k: len(v) for k, v in sample.items() if k in known and isinstance(v, list)}
    if known[0] in listed:
        counts = " and ".join(f"{n} under {k!r}" for k, n in listed.items())
        raise InputError(
            f"sample {number} holds lists ({counts}): it is a batch of columns, not a row. Give rows: "
            "[{'image': i, 'text': t} for i, t in zip(images, texts)], with one text per image."
        )


def _check_parts(image: Any, text: Any, number: int) -> None:
    for name, value, missing in (("image", image, _is_none(image)), ("text", text, text is None)):
        if missing:
            raise InputError(f"sample {number} has no {name} ({value!r}). Leave it out, or {FORMS}.")
    if _lists_texts(text):
        raise InputError(
            f"the text of sample {number} is a list of {len(text)}, and a pair has one. Give a pair for each, e.g. "
            "[(image, text) for image, texts in rows for text in texts]; two texts that the model reads together are a tuple, "
            "or two columns, e.g. premise and hypothesis."
        )
    if is_picture(text):
        swapped = " The two are swapped." if isinstance(image, str) else ""
        raise InputTypeError(
            f"the text of sample {number} is {an(type(text).__name__)}.{swapped} {FORMS.capitalize()}."
        )
    if isinstance(image, str) and not os.path.isfile(image):
        swapped = (
            " Its text is a file, so the two are swapped."
            if isinstance(text, (str, os.PathLike)) and os.path.isfile(text)
            else ""
        )
        try:
            read_image(image)
        except InputError as error:
            raise InputError(
                f"the image of sample {number}: {error}{swapped} {FORMS.capitalize()}."
            ) from error


def is_picture(value: Any) -> bool:
    """Whether ``value`` is an image in memory: PIL, array, tensor, bytes, an open file, or a row of a data set's image column."""
    if isinstance(value, Mapping):
        return "bytes" in value or "path" in value
    return isinstance(value, (Image.Image, np.ndarray, Tensor, *CONTENT)) or is_open_file(value)
