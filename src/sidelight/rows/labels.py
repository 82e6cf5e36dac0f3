"""Labels of rows as class numbers of the model, matched by name and checked.

A label may be a number or a class name. Names are compared without regard to case and surrounding white space. If the
data name their numbers, and the model has the same names in another order, then numbers are matched by name.
"""

from __future__ import annotations

import logging
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from sidelight.core.safe_output import short
from sidelight.errors import ConfigError, InputError
from sidelight.rows.row import scalar

log = logging.getLogger(__name__)

#: A whole number as a string. pandas writes labels as 1.0 if one of them is missing.
_WHOLE = re.compile(r"[+-]?\d+(\.0*)?")
#: Numbers that stand for no label, by custom.
_IGNORED = (-1, -100)


@dataclass(frozen=True)
class Classes:
    """The classes of a model.

    Attributes:
        count: how many classes.
        names: their names in order. Empty if the model has none.
        known: class number by name in small letters, other names of the model's configuration included. Of a name that
            several classes have it holds one.
    """

    count: int
    names: tuple[str, ...] = ()
    known: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, id2label: Mapping[Any, Any], label2id: Mapping[Any, Any], count: int) -> Classes:
        """The classes of a model whose logits are ``[B, count]``.

        Args:
            id2label: names by class number.
            label2id: other names that the model's configuration knows, each with its class number.
            count: how many classes.
        """
        found = {int(i): str(n) for i, n in id2label.items() if int(i) < count}
        known = {normal(n): int(i) for n, i in label2id.items() if 0 <= int(i) < count}
        known |= {normal(n): i for i, n in found.items()}
        names = tuple(found.get(i, f"LABEL_{i}") for i in range(count)) if found else ()
        return cls(count, names, known)

    @property
    def named(self) -> bool:
        """Whether the classes have real names, other than the ``LABEL_0`` of an unnamed model."""
        return any(n != f"LABEL_{i}" for i, n in enumerate(self.names))

    @cached_property
    def _called(self) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
        """The classes of each name as it is written, and in small letters."""
        written: dict[str, list[int]] = {}
        small: dict[str, list[int]] = {}
        for number, name in enumerate(self.names):
            written.setdefault(name, []).append(number)
            small.setdefault(normal(name), []).append(number)
        return written, small

    def numbers(self, name: Any) -> list[int]:
        """The classes called ``name``: those written so, else those with the same small letters."""
        written, small = self._called
        found = written.get(str(name)) or small.get(normal(name))
        other = self.known.get(normal(name))
        return found or ([] if other is None else [other])

    def number(self, name: Any) -> int | None:
        """The class called ``name``, or ``None`` if there is none, or if there are several."""
        found = self.numbers(name)
        return found[0] if len(found) == 1 else None

    def listed(self) -> str:
        """The names for a message."""
        if not self.named:
            return (
                f"The model has no names for its {self.count} classes: give them in the order of its outputs, "
                "class_names=['...', ...]."
            )
        shown = ", ".join(map(repr, self.names[:20])) + (", ..." if self.count > 20 else "")
        return f"The model's classes are {shown}. If they are called otherwise, give class_names=['...', ...] in this order."


def normal(name: Any) -> str:
    """A name as names are compared: in small letters, and an accented letter as one sign, which may also be written as two."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", str(name).strip()).casefold())


def is_whole(name: str) -> bool:
    """Whether a string is a whole number, such as ``"3"`` or ``"3.0"``. If a class has such a name, strings are names."""
    return _WHOLE.fullmatch(name.strip()) is not None


def is_missing(label: Any) -> bool:
    """Whether ``label`` stands for none: ``None``, NaN, a missing value of pandas, an empty string."""
    if label is None or type(label).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(label, (float, np.floating)):
        return math.isnan(label)
    return isinstance(label, str) and not label.strip()


def label_number(label: Any) -> int | None:
    """``label`` as a whole number (also 1.0, True, NumPy's and tensors of one element), else ``None``."""
    label = scalar(label)
    if isinstance(label, (Tensor, np.ndarray)):
        return None
    if isinstance(label, float):
        return int(label) if label.is_integer() else None
    if isinstance(label, (bool, int)):
        return int(label)
    index = getattr(label, "__index__", None)
    return int(index()) if index is not None else None


@dataclass(frozen=True)
class LabelReader:
    """A row's label as a class number.

    Args:
        classes: of the model.
        numbering: class number by the data's own number. ``None`` if they are the same.
        digits: whether strings of digits are numbers and not names.
    """

    classes: Classes
    numbering: Mapping[int, int] | None = None
    digits: bool = False

    def __call__(self, label: Any, where: str) -> int:
        """The class number of ``label``.

        Args:
            label: as the row holds it.
            where: name of the row, for messages.

        Raises:
            InputError: there is no label, or the model has no such class.
        """
        if is_missing(label):
            raise InputError(
                f"{where} has no label ({scalar(label)!r}), which label='data' needs. Leave the row out, give it a label, or "
                "use label='prediction', which reads none."
            )
        if isinstance(label, (str, bytes)):
            return self._named(label, where)
        flag = scalar(label)
        if isinstance(flag, bool) and self.classes.numbers(str(flag)):
            return self._named(str(flag), where)  # as the same column has it in a CSV file
        number = label_number(label)
        if number is None:
            raise InputError(f"{where} has the label {_shown(label)}: {_instead(label)}")
        return self._in_range(number, label, where)

    def _named(self, label: str | bytes, where: str) -> int:
        name = label.decode("utf-8", "replace") if isinstance(label, bytes) else label
        if self.digits and is_whole(name):
            return self._in_range(int(float(name)), label, where)
        numbers = self.classes.numbers(name)
        if len(numbers) > 1:
            raise InputError(
                f"{where} has the label {name[:60]!r}, which is the name of {len(numbers)} classes, {numbers[:8]}; give the number."
            )
        if not numbers:
            text = len(name.split()) > 1
            hint = " Of two texts make a pair with a label: ((first, second), label)." if text else ""
            raise InputError(
                f"{where} has the label {name[:60]!r}, which is no class of the model. {self.classes.listed()}{hint}"
            )
        return numbers[0]

    def _in_range(self, number: int, label: Any, where: str) -> int:
        number = self.numbering.get(number, number) if self.numbering is not None else number
        if 0 <= number < self.classes.count:
            return number
        hint = "is this the data set the model was trained for?"
        if number == self.classes.count:
            hint = "if the data number their classes from 1, subtract 1."
        if number in _IGNORED:
            hint = "if it stands for no label, leave these rows out or use label='prediction'."
        raise InputError(
            f"{where}: label {_shown(label)} is none of the model's {self.classes.count} classes "
            f"(0 is the first, {self.classes.count - 1} the last); {hint}"
        )


def label_reader(
    classes: Classes, data_names: Sequence[str] = (), labels: Iterable[Any] | None = None, name: str = "train"
) -> LabelReader:
    """How the labels of one data set are read.

    Args:
        classes: of the model.
        data_names: class names by the data's own number, if the data have them.
        labels: all labels, if they are known already.
    """
    return LabelReader(classes, numbering(classes, data_names, name), _has_digits(classes, labels))


def numbers_of(classes: Classes, names: Sequence[str]) -> dict[int, int] | None:
    """Class number of the model by the place of a name. ``None`` if a name is none of its classes, or two are the same one."""
    found = [classes.number(n) for n in names]
    if len(set(found)) < len(found):
        return None
    known = {i: n for i, n in enumerate(found) if n is not None}
    return known if len(known) == len(found) else None


def numbering(classes: Classes, data_names: Sequence[str], name: str) -> dict[int, int] | None:
    """Class number of the model by the data's own number, matched by name. ``None`` if there is nothing to match.

    Logs a line if the order differs, and a warning if the names do.
    """
    if not data_names or not classes.named:
        return None
    matched = numbers_of(classes, data_names)
    shown = f"{_names(data_names)} in {name}, {_names(classes.names)} in the model"
    if matched is None:
        log.warning(
            "the class names of %s are not the model's: %s. Label numbers are taken as they are. If they mean other "
            "classes, renumber them, or use label='prediction'.",
            name,
            shown,
        )
        return None
    if any(i != n for i, n in matched.items()):
        log.warning("labels go by class name, because the order differs: %s.", shown)
    return matched


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"{i} {n}" for i, n in list(enumerate(names))[:12]) + (
        ", ..." if len(names) > 12 else ""
    )


def _has_digits(classes: Classes, labels: Iterable[Any] | None) -> bool:
    """Whether strings such as "1" are numbers, and not names of classes themselves."""
    if labels is None:
        return not any(is_whole(n) for n in classes.known)
    texts = {label for label in labels if isinstance(label, str) and label.strip()}
    return not all(classes.numbers(t) for t in texts) and all(is_whole(t) for t in texts)


def check_labels(
    reader: LabelReader,
    labels: Sequence[Any],
    where: Sequence[str],
    name: str = "train",
    columns: Sequence[str] = (),
) -> list[int]:
    """Class numbers of all ``labels``. The first bad one is refused, and missing ones are counted.

    Args:
        where: name of each row, for messages.
        columns: of a row, for messages.

    Raises:
        InputError: see :class:`LabelReader`.
        ConfigError: no row has a label.
    """
    missing = [i for i, label in enumerate(labels) if is_missing(label)]
    if missing and len(missing) == len(labels):
        raise ConfigError(
            f"label='data' needs labels, but none of the {len(labels)} rows of {name} has one"
            f"{' (row 0 holds ' + ', '.join(columns) + ')' if columns else ''}. Give rows with a column 'label' or pairs "
            "(sample, label), or use label='prediction', which reads none."
        )
    if len(missing) > 1:
        rest = ", ".join(where[i] for i in missing[1:6]) + (", ..." if len(missing) > 6 else "")
        raise InputError(
            f"{where[missing[0]]} has no label ({scalar(labels[missing[0]])!r}), which label='data' needs; in all {len(missing)} rows "
            f"have none ({rest}). Leave them out, give them labels, or use label='prediction', which reads none."
        )
    return [reader(label, place) for label, place in zip(labels, where, strict=True)]


def is_multi_hot(label: Any) -> bool:
    """Whether ``label`` is a list of independent flags: zeros and ones, with other than a single one."""
    return is_flags(label) and int(sum(label)) != 1


def is_flags(label: Any) -> bool:
    """Whether ``label`` is a list of two or more zeros and ones."""
    if not isinstance(label, (list, tuple, np.ndarray, Tensor)):
        return False
    values = label.tolist() if isinstance(label, (np.ndarray, Tensor)) else list(label)
    return isinstance(values, list) and len(values) > 1 and all(v in (0, 1) for v in values)


def _instead(label: Any) -> str:
    if isinstance(label, (list, tuple, np.ndarray, Tensor)):
        values = (
            np.asarray(label.tolist() if isinstance(label, Tensor) else label, dtype=object).ravel().tolist()
        )
        numbers = [label_number(v) for v in values]
        if sorted(n if n is not None else -1 for n in numbers) == [0] * (len(numbers) - 1) + [1]:
            return f"a one-hot list. Give the number of the class, here {numbers.index(1)}."
        if is_multi_hot(label):
            return (
                "a list of zeros and ones, as for independent labels. If the model decides each label by itself, say "
                "output='labels' and label='prediction'. Else give the integer index of the one class that is true."
            )
        return "a list. A label must be the integer index of one class, or its name."
    return "a label must be the integer index of a class, or its name."


def _shown(label: Any) -> str:
    return short(repr(scalar(label)), 60)
