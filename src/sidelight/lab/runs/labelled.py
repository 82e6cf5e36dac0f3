"""Labels of the rows on which a classifier is trained, checked before its loss meets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from sidelight.errors import InputError
from sidelight.inputs.collate import Collator
from sidelight.targets import TargetModel


class LabelledCollator(Collator):
    """A collator of rows that need a label, which is one of the classifier's classes."""

    def __init__(self, target: TargetModel) -> None:
        super().__init__(target)
        self.names = target.id2label

    def __call__(self, rows: Sequence[Any]) -> dict[str, Tensor]:
        found = super().__call__(rows)
        require_classes(require_labels(found.get("labels")), self.names)
        return found


def require_labels(labels: Tensor | None) -> Tensor:
    """Class numbers ``[B]``, or flags ``[B, L]``, of rows of a data set. Raises :class:`InputError` if a row has none."""
    if labels is None:
        raise InputError(
            "a row of the data set has no label. A run trains or measures its classifier by labels, so every row needs "
            "the key 'label', the number of its class."
        )
    return labels


def require_classes(labels: Tensor, names: Mapping[int, str]) -> None:
    """Raise :class:`InputError` if one of the class numbers ``[B]`` is not among ``names``, which may be unknown."""
    wrong = [int(v) for v in labels.unique() if names and int(v) not in names] if labels.ndim == 1 else []
    if wrong:
        known = ", ".join(f"{i} ({name})" for i, name in list(names.items())[:8])
        raise InputError(
            f"a row of the data set has the label {wrong[0]}, and the classifier knows {len(names)} classes: {known}. Give "
            "numbers of these classes, or name all classes where the data set is registered."
        )
