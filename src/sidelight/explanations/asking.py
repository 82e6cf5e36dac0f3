"""The options of ``explain``, and what is measured beside a map because an option asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from PIL import Image

from sidelight.checks.certificate import certify
from sidelight.checks.modality_share import modality_shares
from sidelight.core.types import Encoding, Inputs, Reading
from sidelight.errors import ConfigError, InputError
from sidelight.explanations.blocks import is_input_batch
from sidelight.explanations.classes import Asked, Classes
from sidelight.inputs.collate import Collator
from sidelight.rows.row import Labelled, NumberedRows, are_records
from sidelight.rows.sources import is_source, rows_of
from sidelight.targets.base import TargetModel

#: always one sample
OneSample = str | bytes | Image.Image | tuple[Any, Any]


class MoreOptions(TypedDict, total=False):
    """Keyword arguments of ``Explainer.explain`` but ``errors``, for type checkers."""

    batch_size: int
    progress: bool
    others: Any
    target: Any
    versus: Any
    verify: bool
    refine: int


class ExplainOptions(MoreOptions, total=False):
    """The same with the ``errors`` that leaves no failures among the answers."""

    errors: Literal["raise"]


def is_one(target: TargetModel, samples: Any) -> bool:
    """Whether ``samples`` is a single sample. A string is a path if the model reads no texts."""
    if target.reader.is_row(samples):
        return True
    if is_input_batch(samples) or is_source(samples) or are_records(samples):
        return False
    if isinstance(samples, Labelled):
        return True
    named = isinstance(samples, str) and "text" not in target.modalities and is_source(Path(samples))
    return not named and target.reader.is_sample(samples)


def lent_inputs(target: TargetModel, others: Any) -> Inputs | None:
    """Inputs of the rows ``others``, to exchange modalities with. ``None`` if there are no ``others``.

    Raises:
        ConfigError: ``target`` reads one modality only.
        InputError: ``others`` is empty.
    """
    if others is None:
        return None
    if len(target.modalities) < 2:
        raise ConfigError(
            f"others measure what each modality is worth; {target.name} reads one only. Leave them out."
        )
    rows = rows_of(others, "others")
    if len(rows) == 0:
        raise InputError("others is empty: give at least one row to exchange modalities with.")
    return Collator(target).read(list(NumberedRows(rows))).inputs


def measurements(
    target: TargetModel,
    inputs: Inputs,
    encoding: Encoding,
    reading: Reading,
    classes: Classes,
    asked: Asked,
    numbers: Sequence[int],
) -> list[Mapping[str, Any]]:
    """Entries of ``Explanation.meta`` for each sample: the measurements that were ``asked`` for."""
    measured: list[dict[str, Any]] = [{} for _ in numbers]
    if asked.lent is not None:
        shares = modality_shares(target, inputs, asked.lent, clean=encoding.probabilities)
        for own, share in zip(measured, shares, strict=True):
            own["modality_share"] = share.to_dict()
    if asked.verify:
        found = certify(target, inputs, encoding, reading, classes.explained, seeds=numbers)
        for own, certificates in zip(measured, found, strict=True):
            own["certificate"] = [c.to_dict() for c in certificates]
    return list(measured)
