"""A check before a training: does the model choose one of several classes, with finite logits?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sidelight.core.types import Inputs
from sidelight.errors import NotFiniteError, UnsupportedTargetError
from sidelight.inputs.collate import Collator
from sidelight.rows.labels import is_multi_hot
from sidelight.targets.base import TargetModel
from sidelight.targets.outputs import is_hugging_face
from sidelight.targets.verdict import independent_labels

#: rows that are looked at before a training
COUNT = 16
#: last operations of a model that decides each label by itself, and operations that only change shapes
_BY_ITSELF = ("Sigmoid", "Hardsigmoid", "LogSigmoid")
_LAYOUT = (
    "View",
    "Unsafeview",
    "Squeeze",
    "Unsqueeze",
    "ToCopy",
    "Clone",
    "Reshape",
    "Slice",
    "Alias",
    "T0",
    "Permute",
)


def check_verdict(target: TargetModel, rows: Any, collate: Collator, count: int = COUNT) -> Tensor:
    """Make one pass over the first rows. It also settles how the model's output is read.

    Args:
        rows: of a data set, with or without labels.
        count: rows to look at.

    Returns:
        Logits of exclusive classes ``[count, K]``.

    Raises:
        UnsupportedTargetError: the model or the labels are not of exclusive classes.
        NotFiniteError: the model's output for a row holds NaN or infinity.
    """
    target.verdict.require_classes()
    chosen = [rows[i] for i in range(min(count, len(rows)))]
    for number, row in enumerate(chosen):
        label = collate.split(row)[1]
        if is_multi_hot(label):
            raise independent_labels(
                f"the label of row {number} lists {len(label)} values of 0 and 1, as for independent labels"
            )
    inputs = target.to_device(collate.read(chosen).inputs)
    logits = _first_pass(target, inputs)
    if target.verdict.reading == "logits" and not is_hugging_face(target.model):
        _refuse_independent(target, inputs)
    return logits


def name_bad_rows(target: TargetModel, sets: Mapping[str, Any], collate: Collator, batch_size: int) -> None:
    """Find the rows for which the model's output is not finite. Looks at all, so only after an error.

    Args:
        sets: name of each data set, and its rows.

    Raises:
        NotFiniteError: with the numbers of the first such rows.
    """
    for name, rows in sets.items():
        for start in range(0, len(rows), batch_size):
            chosen = [rows[i] for i in range(start, min(start + batch_size, len(rows)))]
            places = [getattr(row, "number", start + i) for i, row in enumerate(chosen)]
            inputs = target.to_device(collate.read(chosen).inputs)
            try:
                target.encode(inputs)
            except NotFiniteError as error:
                found = error.numbered(places)
                raise NotFiniteError(f"{found.what} ({name} rows)", found.samples, found.advice) from None


def _first_pass(target: TargetModel, inputs: Inputs) -> Tensor:
    try:
        return target.encode(inputs).logits
    except AttributeError as error:
        config = getattr(target.model, "config", None)
        if getattr(config, "return_dict", True) is not False:
            raise
        raise UnsupportedTargetError(
            f"{type(target.model).__name__} fails by itself with return_dict=False in its configuration ({error}); "
            "set model.config.return_dict = True."
        ) from error


def _refuse_independent(target: TargetModel, inputs: Inputs) -> None:
    """Refuse independent labels. A plain module has no configuration that names them, but its last operation shows them."""
    two = {k: v[:2] for k, v in inputs.items()}
    with target.one_pass(), torch.enable_grad():
        features = {k: v.detach().requires_grad_() for k, v in target.features(two).items()}
        logits = target.forward(two, features)
    last = next((n for n in _operations(logits) if not n.startswith(_LAYOUT)), "")
    if last.startswith(_BY_ITSELF) and logits.shape[1] > 1:
        raise independent_labels(
            f"{type(target.model).__name__} ends in a sigmoid for each of its {logits.shape[1]} outputs, so several "
            "may be true at once"
        )


def _operations(value: Tensor) -> Iterator[str]:
    """Names of the operations that made ``value``, the last one first."""
    node: Any = value.grad_fn
    while node is not None:
        yield type(node).__name__
        node = node.next_functions[0][0] if node.next_functions else None
