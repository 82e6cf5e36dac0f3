"""The data of ``fit``: the rows of ``train`` and ``eval``, their readers, and checks that cost little."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from sidelight.checks.verdict_check import check_verdict
from sidelight.core.safe_output import short
from sidelight.core.tensors import predictable
from sidelight.errors import InputError
from sidelight.inputs.collate import Collator, place
from sidelight.inputs.images import read_image
from sidelight.inputs.row_parts import RowReader, lacks_second
from sidelight.rows.holdout import hold_out, spread
from sidelight.rows.hub import fetched
from sidelight.rows.labels import Classes, check_labels, is_missing, label_reader, normal
from sidelight.rows.row import Labelled, NumberedRows, Rows
from sidelight.rows.sources import rows_of
from sidelight.rows.splits import VALIDATION, split_named
from sidelight.targets.base import TargetModel
from sidelight.targets.verdict import configured_names
from sidelight.training.objective import require_goal

log = logging.getLogger(__name__)

#: So many rows are looked at if all of them would cost too much.
SOME = 200
#: The longest class name, in characters. Longer strings are texts.
LONGEST_NAME = 40

PAIRS_AND_LABELS = (
    "Write a text with its label as {'text': ..., 'label': ...}, a pair as {'text': ..., 'text_pair': ...}, and a pair with "
    "its label as ((first, second), label)"
)


@dataclass(frozen=True)
class FitData:
    """Rows of a training.

    Attributes:
        train, evaluation: the rows.
        readers: how rows are read, by the name of the data.
    """

    train: Rows
    evaluation: Rows
    readers: Mapping[str, RowReader]


def fit_data(
    target: TargetModel, train: Any, evaluation: Any, source: str, seed: int, held_name: str = "eval"
) -> FitData:
    """Rows to train and to validate with. Each row is checked as far as that costs little.

    Args:
        train: see :data:`sidelight.rows.sources.FORMS`.
        evaluation: likewise. Default: the validation split of ``train``, else a tenth of it, drawn by class.
        source: the setting ``label``. Labels are read for ``"data"`` only.
        held_name: what the caller calls ``evaluation``, for messages.

    Raises:
        InputError, InputTypeError: there is no data, or a row cannot be used. The message names it.
    """
    train, evaluation = fetched(train, "train"), fetched(evaluation, held_name)
    if evaluation is None:
        evaluation = split_named(train, VALIDATION)
    sets = {"train": rows_of(train, "train")}
    if evaluation is not None:
        sets[held_name] = rows_of(evaluation, held_name)
    for name, rows in sets.items():
        if len(rows) == 0:
            raise InputError(f"the {name} data set is empty: give at least one row.")
    readers, labels = _readers(target, sets, source)
    if held_name in sets:
        return FitData(sets["train"], sets[held_name], readers)
    kept, held = hold_out(len(sets["train"]), labels["train"], seed)
    return FitData(sets["train"].pick(kept), sets["train"].pick(held), readers)


def _readers(
    target: TargetModel, sets: Mapping[str, Rows], source: str
) -> tuple[dict[str, RowReader], dict[str, list[Any] | None]]:
    """The reader of each data set, and its labels unchanged, if all of them can be read cheaply."""
    readers, labels = {}, {}
    names = {normal(n) for n in target.id2label.values()}
    for name, rows in sets.items():
        reader = second_of_two(target, rows, names, source)
        readers[name], labels[name] = reader, raw_labels(target, rows, reader)
        check_rows(target, rows, reader)
    count = class_count(target, sets["train"], readers["train"])
    require_goal(target.verdict, source)
    if source != "data":
        return readers, labels
    config = getattr(target.model, "config", None)
    others = {} if target.class_names else dict(getattr(config, "label2id", None) or {})
    classes = Classes.of(target.id2label, others, count)
    for name, rows in sets.items():
        found = labels[name]
        read = label_reader(classes, rows.label_names, found, name)
        if found is not None:
            where = [place(rows.number(i), name) for i in range(len(rows))]
            columns = [str(k) for k in rows[0]] if isinstance(rows[0], Mapping) else []
            check_labels(read, found, where, name, columns)
        readers[name] = replace(readers[name], labels=read)
    return readers, labels


def class_count(target: TargetModel, rows: Rows, reader: RowReader) -> int:
    """The number of classes, or of independent labels, of the model, by one pass over the first rows.

    Raises:
        UnsupportedTargetError: its output cannot be read (:mod:`sidelight.targets.verdict`).
        ConfigError: ``class_names`` holds another number of names.
    """
    collate = Collator(target, {rows.name: reader})
    logits = check_verdict(target, NumberedRows(rows), collate)
    count = int(predictable(logits, target.independent).shape[-1])
    _warn_of_names(target, count)
    return count


def _warn_of_names(target: TargetModel, count: int) -> None:
    """Warn if the model's configuration names a class that the output lacks: all names may then be of other classes."""
    names = {} if target.class_names else configured_names(target.model)
    beyond = {number: name for number, name in names.items() if number >= count}
    if beyond:
        number, name = next(iter(beyond.items()))
        log.warning(
            "id2label of %s names class %d, %.60r, but its output holds the classes 0 to %d. Names may stand beside the wrong "
            "classes, e.g. if they are numbered from 1. Give class_names=[...] in the order of the outputs.",
            target.name,
            number,
            name,
            count - 1,
        )


def raw_labels(target: TargetModel, rows: Rows, reader: RowReader) -> list[Any] | None:
    """The labels of ``rows`` unchanged, or ``None`` if files would have to be read for them."""
    found = rows.labels()
    if found is not None or not rows.cheap:
        return found
    return [reader.split(target.reader, row)[1] for row in rows]


# -- a text with its label, or a pair of texts? ----------------------------------------------


def second_of_two(target: TargetModel, rows: Rows, names: set[str], source: str) -> RowReader:
    """Who reads rows of two strings: as a text and its label, or as a pair of texts.

    They are a text and its label if all second strings are class names or numbers. They are also if ``label="data"`` needs labels and the
    second strings are a few short ones that repeat. If this does not decide, the rows are refused.

    Args:
        names: the model's class names, in small letters.
        source: the setting ``label``.

    Raises:
        InputError: rows may be either.
    """
    if set(target.modalities) != {"text"} or hasattr(rows.base, "column_names"):
        return RowReader()
    picked = range(len(rows)) if rows.cheap else spread(len(rows), SOME)
    read = [rows[i] for i in picked]
    two = [
        row
        for row in read
        if isinstance(row, (tuple, list))
        and not isinstance(row, Labelled)
        and len(row) == 2
        and isinstance(row[0], str)
        and not lacks_second(row)
    ]
    seconds = [row[1] for row in two if isinstance(row[1], str)]
    if not seconds:
        return RowReader()
    distinct = {normal(s) for s in seconds}
    if distinct <= names or all(s.lstrip("+-").isdecimal() for s in distinct) or len(seconds) < len(two):
        return RowReader(second_is_label=True)
    few = 2 * len(distinct) <= len(seconds) and max(map(len, distinct)) <= LONGEST_NAME
    if source == "data" and (few or distinct & names):
        return RowReader(second_is_label=True)
    first = f"{place(picked[read.index(two[0])], rows.name)} is {short(repr(two[0]))}"
    if source == "data":
        raise InputError(
            f"{first}: a pair of texts without a label, which label='data' needs. {PAIRS_AND_LABELS}."
        )
    if few:
        raise InputError(
            f"{first}: a text with its label, or a pair of texts? The second strings of {rows.name} repeat "
            f"{len(distinct)} value(s) and are no class names of the model. {PAIRS_AND_LABELS}."
        )
    return RowReader(second_is_text=True)


# -- checks that open no files ---------------------------------------------------


def check_rows(target: TargetModel, rows: Rows, reader: RowReader, chunk: int = 1000) -> None:
    """Check every row that is cheap to read: its columns, the types of its values, its texts, and whether its files exist.

    Raises:
        InputError, InputTypeError: the first row that cannot be used.
    """
    if not rows.cheap or isinstance(rows.base, (Tensor, np.ndarray)):
        return
    collate = Collator(target)
    numbered = NumberedRows(rows)
    for start in range(0, len(rows), chunk):
        part = numbered.__getitems__(range(start, min(start + chunk, len(rows))))
        samples = [reader.split(target.reader, row.row)[0] for row in part]
        collate.checking(part, samples, lambda values: _check_samples(collate, values))


def _check_samples(collate: Collator, samples: Sequence[Any]) -> None:
    reader = collate.target.reader
    if reader.holds_inputs(samples[0]):
        return
    read = reader.samples(samples)
    if set(reader.modalities) == {"image"}:
        _check_pictures(read)


def _check_pictures(pictures: Iterable[Any]) -> None:
    for picture in pictures:
        if is_missing(picture):
            raise InputError(f"there is no picture ({picture!r}). Leave the row out.")
        known = isinstance(picture, (Image.Image, np.ndarray, Tensor, bytes, Mapping)) or hasattr(
            picture, "read"
        )
        path = isinstance(picture, (str, os.PathLike))
        if not known and not (path and os.path.isfile(picture)):
            read_image(picture)  # raises the right error
