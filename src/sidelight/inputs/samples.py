"""From whatever a row holds (string, pair, mapping) to the strings a tokenizer takes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from sidelight.core.columns import KNOWN_COLUMNS, naming, told_of_table
from sidelight.core.files import told_of_home
from sidelight.errors import InputError, InputTypeError
from sidelight.rows.labels import is_missing


def read_texts(
    samples: Sequence[Any], columns: Sequence[str] = (), first: int = 0, part: str = ""
) -> list[tuple[str, ...]]:
    """One string, or two, for each sample.

    Args:
        samples: strings, pairs of strings, or mappings (rows of a data set).
        columns: which one or two columns of a mapping to read. By default the first entry
            of :data:`KNOWN_COLUMNS` that the row has.
        first: number of the first sample, for messages.
        part: which part of a sample these are, for messages, e.g. ``"the text of "``.

    Raises:
        InputTypeError: a sample is not text. The message says which one.
        InputError: there are no samples, a text is empty, or some samples are pairs and others not.
    """
    if isinstance(samples, str):
        raise InputTypeError("expected a list of texts; got one string. Put it in a list: [text].")
    if len(samples) == 0:
        raise InputError("the batch is empty: give at least one text.")
    texts = [_read(sample, index, columns, part) for index, sample in enumerate(samples, start=first)]
    if len({len(t) for t in texts}) > 1:
        index = next(i for i, t in enumerate(texts) if len(t) != len(texts[0]))
        raise InputError(
            f"one batch holds single texts and pairs (samples {first} and {first + index}); "
            "explain them separately."
        )
    return texts


def _read(sample: Any, index: int, columns: Sequence[str], which: str) -> tuple[str, ...]:
    if type(sample) is str and sample.strip():  # most samples, so they come first
        return (sample,)
    if isinstance(sample, Mapping):
        sample = tuple(sample[c] for c in _columns(sample, index, columns))
    parts = tuple(sample) if isinstance(sample, (tuple, list)) else (sample,)
    if not 1 <= len(parts) <= 2:
        batch = " The texts of a batch are given one by one, with labels as (texts, labels)."
        raise InputError(
            f"sample {index} has {len(parts)} texts; give one string or a pair (first, second).{batch if len(parts) > 2 else ''}"
        )
    for number, part in enumerate(parts):
        if not isinstance(part, str):
            half = len(parts) == 2 and part is parts[1] and is_missing(part)
            alone = " If the first text is the whole input, give it by itself." if half else ""
            raise InputTypeError(f"{which}sample {index} is not text: {_describe(part)}.{alone}")
        if not part.strip():
            which = which if len(parts) == 1 else f"the {('first', 'second')[number]} text of "
            what = "is empty" if not part else "is only white space"
            raise InputError(
                f"{which}sample {index} {what} ({part[:20]!r}): there is no word to score. Leave it out."
            )
    return parts


def _columns(sample: Mapping[str, Any], index: int, columns: Sequence[str]) -> Sequence[str]:
    for names in [tuple(columns)] if columns else KNOWN_COLUMNS:
        if all(name in sample for name in names):
            return names
    wanted = f"column(s) {list(columns)}" if columns else "text column (such as 'text')"
    raise InputError(
        f"sample {index} has no {wanted}; its columns are {sorted(map(str, sample))}. "
        f"Rename one of them to 'text', or name it in the call of fit or explain_dataset: {naming(sample)}."
    )


def _describe(value: Any) -> str:
    if value is None:
        return "None. Drop the rows without a text, e.g. dataset.filter(lambda row: row['text'] is not None)"
    nan = isinstance(value, float) and value != value
    if nan or type(value).__name__ in ("NAType", "NaTType"):  # by name, because pandas may not be installed
        return f"{'NaN' if nan else value}, as pandas writes a missing value. Drop these rows: frame.dropna(subset=['text'])"
    if isinstance(value, bytes):
        return "bytes. Decode them first: value.decode('utf-8')"
    if isinstance(value, Image.Image):
        return "an image. This model is read as a classifier of texts alone; a pair (image, text) needs a model of both"
    if isinstance(value, os.PathLike):
        path = os.fspath(value)
        told = (
            told_of_home(path)
            or "is no text. explainer.explain(path) opens tables and folders that are there."
        )
        return f"the path {path!r}, which {told} Give a text itself, e.g. path.read_text()"
    hint = what_else(value, "a text")
    if told_of_table(value):
        return f"{type(value).__name__}.{hint}".removesuffix(".")
    if isinstance(value, Mapping) and all(str(name).isdecimal() for name in value):
        return (
            "a mapping of row numbers to values, as pandas writes a column. Write rows: frame.to_json(path, orient='records'), "
            "or frame.to_dict('records')"
        )
    told = f"{type(value).__name__} {str(value)[:40]!r}. Give a string, or a pair of strings."
    return f"{told}{hint}".removesuffix(".")


def what_else(value: Any, sample: str) -> str:
    """What ``value``, which is no ``sample``, may be instead, as a sentence. Empty if nobody can guess.

    Example:
        >>> what_else(3, "a text")
        ' If it is the label of a text, leave it out.'
    """
    if is_number(value):
        return f" If it is the label of {sample}, leave it out."
    if is_missing(value):
        return " This is a missing value: leave the row out."
    if table := told_of_table(value):
        return table
    if sample == "an image" and isinstance(value, list) and value and isinstance(value[0], list):
        return (
            " Numbers in lists are an array: numpy.array(value, dtype='uint8'). A datasets.Dataset gives arrays after "
            ".with_format('numpy')."
        )
    one = isinstance(value, (str, bytes, Mapping, list, tuple, Tensor)) or hasattr(value, "read")
    one = one or getattr(value, "ndim", 1) == 0
    holds = any(hasattr(type(value), name) for name in ("__iter__", "__getitem__"))
    return " If it holds several samples, give them as a list: list(samples)." if holds and not one else ""


def is_number(value: Any) -> bool:
    """Whether ``value`` is a whole number, as labels are, also one of NumPy or torch."""
    if isinstance(value, Tensor):
        return value.ndim == 0 and not value.is_floating_point()
    return isinstance(value, (int, np.integer))


def sample_length(sample: Any) -> int:
    """The length of a raw sample of any modality: characters of texts, values of arrays."""
    if isinstance(sample, (str, bytes)):
        return len(sample)
    if isinstance(sample, Tensor):
        return sample.numel()
    if isinstance(sample, np.ndarray):
        return sample.size
    if isinstance(sample, Mapping):
        return sum(map(sample_length, sample.values()))
    return sum(map(sample_length, sample)) if isinstance(sample, (list, tuple)) else 1
