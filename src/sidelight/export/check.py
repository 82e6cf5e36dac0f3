"""Does a written file give what PyTorch gives?"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sidelight.core.types import Inputs
from sidelight.errors import ExportError, first_line
from sidelight.export.examples import Examples
from sidelight.export.graph import Runner
from sidelight.export.module import CLASSES

#: largest difference, as a share of an output's largest value if that is above 1
TOLERANCE = 1e-4


def compare(
    run: Runner, reference: Callable[[Inputs], dict[str, Tensor]], examples: Examples, name: str
) -> list[dict[str, float | int]]:
    """Run the written file and PyTorch on batches of several sizes and lengths, with padding.

    Args:
        run: runs the file.
        reference: runs PyTorch.
        examples: make the inputs.
        name: of the file, for messages.

    Returns:
        For each batch its ``batch``, ``length`` (of texts) and largest ``difference`` as a share (:data:`TOLERANCE`).

    Raises:
        ExportError: the file does not run, or an output differs by more than :data:`TOLERANCE`.
    """
    rows: list[dict[str, float | int]] = []
    for seed, (batch, length) in enumerate(examples.sizes(), start=1):
        inputs = examples.inputs(batch, length, seed)
        if examples.scorer.config.by_class:
            inputs = {CLASSES: examples.classes(batch, seed), **inputs}
        size = f"{batch} sample(s)" + (f" of up to {length} tokens" if length else "")
        expected = reference(inputs)
        try:
            found = run(inputs)
        except Exception as error:
            raise ExportError(f"{name} does not run on {size}: {first_line(error)}.") from error
        worst = _worst(found, expected, name, size)
        rows.append({"batch": batch, **({"length": length} if length else {}), "difference": worst})
    return rows


def _worst(found: dict[str, Tensor], expected: dict[str, Tensor], name: str, size: str) -> float:
    if list(found) != list(expected):
        raise ExportError(f"{name} gives {list(found)}; expected {list(expected)}.")
    worst = 0.0
    for output, wanted in expected.items():
        given = found[output]
        away = difference(given, wanted) if given.shape == wanted.shape else float("inf")
        if not away <= TOLERANCE:
            raise ExportError(
                f"{name} gives other results than PyTorch: {output} is off by {away:.2g} on {size}, and {TOLERANCE:g} "
                "is allowed. The exporter may translate an operation of this model wrongly, or the "
                "model may compute too coarsely for a comparison."
            )
        worst = max(worst, away)
    return worst


def difference(found: Tensor, expected: Tensor) -> float:
    """Largest difference, divided by the largest absolute value that is expected if that is above 1.

    Example:
        >>> difference(torch.tensor([0.5, 200.0]), torch.tensor([0.5, 100.0]))
        1.0
    """
    away, size = (found.double() - expected.double()).abs(), expected.double().abs()
    if not bool(torch.isfinite(away).all()):
        return float("inf")
    return float(away.max()) / max(1.0, float(size.max()))
