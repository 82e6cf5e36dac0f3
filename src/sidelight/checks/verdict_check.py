"""A check before a training: what does the model's output mean, and is it finite?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from sidelight.core.types import Inputs
from sidelight.errors import ConfigError, NotFiniteError, UnsupportedTargetError
from sidelight.inputs.collate import Collator
from sidelight.rows.labels import is_multi_hot
from sidelight.targets.base import TargetModel
from sidelight.targets.verdict import independent_labels

#: rows that are looked at before a training, and rows whose regression values tell what is low and high
COUNT, VALUES = 16, 256
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
    "Select",
    "Alias",
    "T0",
    "Permute",
)
#: operations that make half log-odds of logits
OURS = ("Cat", "Div")
#: operations that make two classes of one logit, the last one first
OF_ONE_LOGIT = ("Cat", "Sub")


def check_verdict(target: TargetModel, rows: Any, collate: Collator, count: int = COUNT) -> Tensor:
    """Make one pass over the first rows. It also settles how the model's output is read.

    A regression value takes more rows: their mean and standard deviation say which values are low and high.

    Args:
        rows: of a data set, with or without labels.
        count: rows to look at.

    Returns:
        Logits ``[count, K]``.

    Raises:
        UnsupportedTargetError: labels are independent, and nobody said so.
        ConfigError: the output is of another kind than was said, or all regression values are equal.
        NotFiniteError: the model's output for a row holds NaN or infinity.
    """
    target.verdict.require_classes()
    chosen = [rows[i] for i in range(min(count, len(rows)))]
    for number, row in enumerate(chosen):
        label = collate.split(row)[1]
        if is_multi_hot(label) and not target.independent:
            raise independent_labels(
                f"the label of row {number} lists {len(label)} values of 0 and 1, as for independent labels",
                "labels",
            )
    if target.verdict.needs_unit:
        _settle_unit(target, rows, collate, count)
    inputs = target.to_device(collate.read(chosen).inputs)
    logits = _first_pass(target, inputs)
    # whoever says "logits" knows that one class is true
    if target.verdict.reading in ("logits", "labels", "sigmoid") and target.verdict.output != "logits":
        _refuse_sigmoids(target, inputs)
    return logits


def _settle_unit(target: TargetModel, rows: Any, collate: Collator, count: int) -> None:
    """Let the regression values of the first rows say which values are low and high."""
    found = []
    with target.verdict.unscaled():
        for start in range(0, min(VALUES, len(rows)), count):
            chosen = [rows[i] for i in range(start, min(start + count, VALUES, len(rows)))]
            try:
                logits = _first_pass(target, target.to_device(collate.read(chosen).inputs))
            except NotFiniteError as error:
                raise error.numbered(range(start, start + len(chosen))) from None
            found.append(logits[:, 1].cpu())
    target.verdict.settle_unit(torch.cat(found))


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
                # rows that were held out still count as in the data that they came from
                whose = getattr(chosen[0], "name", name)
                raise NotFiniteError(f"{found.what} ({whose} rows)", found.samples, found.advice) from None


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


def _refuse_sigmoids(target: TargetModel, inputs: Inputs) -> None:
    """Refuse a sigmoid that would be taken twice, and independent labels that nobody told of. The last operation shows both."""
    logits = _with_gradient(target, {k: v[:2] for k, v in inputs.items()})
    if logits is None:
        return  # no gradient passes, which the self-check tells
    made_here, names = OURS if target.independent else (), list(_operations(logits))
    one = target.verdict.reading == "sigmoid"
    if one and [n.startswith(o) for n, o in zip(names, OF_ONE_LOGIT, strict=False)] == [True, True]:
        names = names[len(OF_ONE_LOGIT) :]
    last = next((n for n in names if not n.startswith((*_LAYOUT, *made_here))), "")
    count = target.verdict.outputs
    if one and last.startswith(_BY_ITSELF):
        raise ConfigError(
            f"output='sigmoid' is for the logit that a sigmoid is still to be taken of, but {type(target.model).__name__} ends "
            "in a sigmoid itself: say output='probabilities'."
        )
    if not last.startswith(_BY_ITSELF) or (count == 1 and not target.independent):
        return
    what = f"{type(target.model).__name__} ends in a sigmoid for each of its {count} outputs"
    if target.independent:
        raise ConfigError(f"output='labels' is for logits, but {what}: say output='label_probabilities'.")
    raise independent_labels(f"{what}, so several may be true at once", "label_probabilities")


def _with_gradient(target: TargetModel, inputs: Inputs) -> Tensor | None:
    """The logits of a pass with gradient, or ``None`` if the model cannot make one."""

    def made() -> Tensor:
        with target.one_pass(), torch.enable_grad():
            features = {k: v.detach().requires_grad_() for k, v in target.features(inputs).items()}
            return target.forward(inputs, features)

    try:
        return made()
    except (RuntimeError, AssertionError):
        try:
            made()
        except (RuntimeError, AssertionError):
            return None
        raise  # the gradient is not why, if the same pass works now


def _operations(value: Tensor) -> Iterator[str]:
    """Names of the operations that made ``value``, the last one first."""
    node: Any = value.grad_fn
    while node is not None:
        yield type(node).__name__
        node = next((before for before, _ in node.next_functions if before is not None), None)
