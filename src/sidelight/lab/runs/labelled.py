"""Labels of a data set's rows: in the classifier's own numbers, and checked before a loss meets them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from sidelight.core.files import find_pretrained
from sidelight.errors import ConfigError, InputError
from sidelight.inputs.base import Batch, Reader
from sidelight.inputs.collate import Collator
from sidelight.inputs.row_parts import split_row
from sidelight.lab.config.sections import TargetSection
from sidelight.rows.labels import Classes, is_flags, label_number, numbering, numbers_of
from sidelight.rows.row import Numbered
from sidelight.targets import TargetModel
from sidelight.targets.options import names_in_order
from sidelight.targets.verdict import ONE_VALUE, names_of_one

#: advice if lists of flags are in the place of class numbers
ONE_CLASS = "Give each row the number of its class, from 0 on, e.g. 1 and not [0, 1, 0]."


class Renumbered(Sequence[Any]):
    """Rows of a data set whose labels are numbers of the classifier's classes.

    Args:
        rows: mappings or pairs ``(sample, label)``.
        numbers: the classifier's number of each class, by the data set's own number.
    """

    def __init__(self, rows: Sequence[Any], numbers: Mapping[int, int]) -> None:
        self.rows, self.numbers = rows, numbers

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        row = self.rows[index]
        sample, label = split_row(row)
        if label is None:
            return row
        return {**sample, "label": self._of(label)} if isinstance(row, Mapping) else (sample, self._of(label))

    def _of(self, label: Any) -> Any:
        if is_flags(label) and len(label) == len(self.numbers):
            order = sorted(self.numbers, key=self.numbers.__getitem__)
            return [int(label[place]) for place in order]
        number = label_number(label)
        return label if number is None else self.numbers.get(number, label)


def class_numbers(section: TargetSection, classes: Sequence[str]) -> dict[int, int] | None:
    """The classifier's number of each class of a data set, or ``None`` if both count alike or share no names.

    A classifier that is trained here counts as its data set does. One that came trained keeps its own classes, which may
    have another order. A log line tells it.

    Args:
        classes: names of the data set's classes in order.
    """
    if section.pretrained is None or section.training is not None:
        return None
    given = names_in_order(section.options.get("class_names"))
    names = given or _names_of(section.pretrained, section.revision)
    known = dict(enumerate(names)) if isinstance(names, (list, tuple)) else names
    if len(known) == 1 and section.options.get("output") in ("sigmoid", "probabilities"):
        # one output has two classes, and its configuration names one of them
        known = names_of_one(known.get(0))
    found = numbering(Classes.of(known, {}, len(known)), classes, "the data set")
    return found if found and any(own != theirs for own, theirs in found.items()) else None


def same_classes(target: TargetModel, other: TargetModel) -> dict[int, int] | None:
    """The number in ``other`` of each class of ``target``, by name, or ``None`` if the two have not the same classes."""
    own, theirs = target.id2label, other.id2label
    if own == theirs:
        return {i: i for i in own}
    found = numbers_of(Classes.of(theirs, {}, len(theirs)), list(own.values()))
    return dict(zip(own, found.values(), strict=True)) if found and len(found) == len(theirs) else None


def numbered_for(rows: Any, target: TargetModel, other: TargetModel) -> Any:
    """``rows``, whose labels are numbers of ``target``'s classes, with ``other``'s numbers of the same classes."""
    numbers = same_classes(target, other) or {}
    if other.independent:  # flags are of the labels alone, and not of their opposites
        numbers = {i: n for i, n in numbers.items() if i < len(numbers) // 2}
    return rows if all(i == n for i, n in numbers.items()) else Renumbered(rows, numbers)


def _names_of(name: str, revision: str | None) -> Mapping[int, str]:
    import transformers

    try:
        config = transformers.AutoConfig.from_pretrained(find_pretrained(name), revision=revision)
    except (OSError, ValueError):  # whoever opens the model says what is wrong with it
        return {}
    return dict(getattr(config, "id2label", None) or {})


def read_rows(
    reader: Reader,
    rows: Sequence[Any],
    places: Sequence[int],
    name: str,
    *,
    evidence: bool = False,
    check: Callable[[Batch], object] = lambda batch: None,
) -> Batch:
    """The rows ``places`` as one batch. A message about one of them calls it by its place in ``rows``.

    Args:
        name: of ``rows``, for messages.
        evidence: as for :meth:`~sidelight.inputs.base.Reader.read`.
        check: raises :class:`InputError` if something in a batch is wrong.
    """

    def read(samples: Sequence[Any]) -> Batch:
        batch = reader.read(samples, evidence=evidence)
        check(batch)
        return batch

    numbered = [Numbered(rows[i], i, name) for i in places]
    return Collator.checking(numbered, [row.row for row in numbered], read)


class LabelledCollator(Collator):
    """A collator of rows that need a label, which is one of the classifier's classes.

    A message about a row that knows its number (:class:`~sidelight.rows.row.Numbered`) names it.
    """

    def __init__(self, target: TargetModel) -> None:
        super().__init__(target)
        self.names, self.independent = target.id2label, target.independent

    def __call__(self, rows: Sequence[Any]) -> dict[str, Tensor]:
        if rows and isinstance(rows[0], Numbered):
            return self.checking(rows, [row.row for row in rows], self.labelled_inputs)
        return self.labelled_inputs(rows)

    def labelled_inputs(self, rows: Sequence[Any]) -> dict[str, Tensor]:
        """The model's inputs and the labels of rows without numbers."""
        found = super().__call__(rows)
        require_classes(require_labels(found.get("labels")), self.names, self.independent)
        return found


def require_classifier(target: TargetModel) -> TargetModel:
    """Return ``target``, if it can be measured by labels. Raises :class:`ConfigError` if it gives a value without unit."""
    if target.verdict.needs_unit:
        raise ConfigError(
            f"{type(target.model).__name__} gives a regression value, and a run measures a classifier: it needs rows with a "
            "label, which is the number of a class. To explain the value, train in Python with sidelight.Explainer.fit, "
            "which needs no labels, and measure inputs with sidelight.lab.compare or explain(input, verify=True). To "
            "measure it in a run nevertheless, say which values are low and high: target.options with threshold (the usual value) "
            "and scale (a clear distance from it), and rows with the label 0 for lower or 1 for higher."
        )
    return target


def require_labels(labels: Tensor | None) -> Tensor:
    """Class numbers ``[B]``, or flags ``[B, L]``, of rows of a data set. Raises :class:`InputError` if a row has none."""
    if labels is None:
        raise InputError(
            "this row of the data set has no label. A run trains or measures its classifier by labels, so every row needs "
            "the key 'label', the number of its class."
        )
    return labels


def require_classes(labels: Tensor, names: Mapping[int, str], independent: bool) -> None:
    """Raise :class:`InputError` if one of the class numbers ``[B]`` is not among ``names``, which may be unknown.

    Lists of flags are refused too, unless the labels are ``independent``.
    """
    if labels.ndim == 2 and not independent:
        raise InputError(
            f"this row of the data set has the label {labels[0].tolist()}. Lists of flags do not fit a classifier of exclusive "
            f"classes. {ONE_CLASS}"
        )
    wrong = [int(v) for v in labels.unique() if names and int(v) not in names] if labels.ndim == 1 else []
    if wrong and len(names) == 1:
        raise InputError(
            f"this row of the data set has the label {wrong[0]}, and the model gives one number a sample, not classes. "
            f"{ONE_VALUE} In a configuration it is target.options, e.g. {{output: sigmoid}}."
        )
    if wrong:
        known = ", ".join(f"{i} ({name})" for i, name in list(names.items())[:8])
        raise InputError(
            f"this row of the data set has the label {wrong[0]}, and the classifier knows {len(names)} classes: {known}. Give "
            "numbers of these classes, or name all classes where the data set is registered."
        )
