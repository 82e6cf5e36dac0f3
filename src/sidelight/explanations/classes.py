"""The class of a map, as a caller names it: by name, by number, as ``"second"``, or by a list with one for each sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sidelight.core.counted import counted
from sidelight.core.field_checks import MOST_DRAWS, plain_number, whole
from sidelight.core.quiet import told_once
from sidelight.core.registry import nearest
from sidelight.core.tensors import predictable
from sidelight.core.types import Encoding, Inputs
from sidelight.errors import ConfigError, InputError, InputTypeError
from sidelight.inputs.base import Batch, Reader
from sidelight.inputs.file_names import tell_file_names
from sidelight.rows.labels import is_whole, normal
from sidelight.rows.row import plain
from sidelight.scorers.base import ScorerConfig

#: stands for the most probable class but one
SECOND = "second"


@dataclass(frozen=True)
class Classes:
    """The classes of the maps of a batch.

    Attributes:
        explained: ``[B]`` classes that are explained. ``None`` stands for the predicted ones.
        versus: ``[B]`` classes to compare with. ``None`` stands for no comparison.
    """

    explained: Tensor | None = None
    versus: Tensor | None = None

    def of(self, index: int, names: Mapping[int, str]) -> dict[str, Any]:
        """Arguments of an :class:`Explanation` about the sample ``index``."""
        found = {"explained": self.explained, "versus": self.versus}
        numbers = {name: int(classes[index]) for name, classes in found.items() if classes is not None}
        if not numbers:  # of most calls, and a look at all names takes long if there are many
            return {"meta": {}}
        labels = dict(zip(numbers, told_apart(names, numbers.values()), strict=True))
        return {**numbers, "meta": {f"{name}_label": label for name, label in labels.items()}}


def told_apart(names: Mapping[int, str], classes: Iterable[int]) -> list[str]:
    """The names of ``classes``, with the number where other classes have the same name, as some of ImageNet do.

    Example:
        >>> told_apart({0: "crane", 1: "crane", 2: "cat"}, [1, 2, 7])
        ['crane (class 1)', 'cat', '7']
    """
    count = Counter(names.values())
    told = [(i, str(names.get(i, i))) for i in classes]
    return [f"{name} (class {i})" if count[name] > (i in names) else name for i, name in told]


@dataclass(frozen=True)
class Asked:
    """The options of one call of ``explain``.

    Attributes:
        lent: inputs to exchange modalities with.
        target, versus: classes, as :func:`chosen_classes` takes them.
        verify: whether each map is measured on its own input (:mod:`sidelight.checks.certificate`).
        refine: steps of the objective on each map (:mod:`sidelight.training.refine`).
        told: kinds of warnings that were shown in the call.
    """

    lent: Inputs | None = None
    target: Any = None
    versus: Any = None
    verify: bool = False
    refine: int = 0
    told: set[type[Warning]] = field(default_factory=set, compare=False)

    def read(self, reader: Reader, rows: Sequence[Any], numbers: Sequence[int]) -> Batch:
        """``rows`` of these numbers as one batch. A kind of warning is passed on once in the call."""
        with told_once(self.told, [f"sample {number}" for number in numbers]):
            batch = reader.read(rows, labelled=False)
            tell_file_names(batch)
            return batch

    def require_scorer(self, config: ScorerConfig) -> None:
        """Refuse classes if the scorer knows the predicted class only.

        Raises:
            ConfigError: see above.
        """
        given = {"target": self.target, "versus": self.versus}
        chosen = [f"{name}={wanted!r:.60}" for name, wanted in given.items() if wanted is not None]
        if chosen and not config.by_class:
            raise ConfigError(
                f"this scorer makes maps of the predicted class only ({', '.join(chosen)}), because it was "
                "trained with the thesis's objective. Leave the class out, train one with objective='robust', or use a "
                "baseline method that takes classes, e.g. Captum's."
            )

    def __post_init__(self) -> None:
        for name in ("target", "versus"):
            object.__setattr__(self, name, _by_place(getattr(self, name), name))
        if self.refine and self.versus is not None:
            raise ConfigError("refine works on the map of one class; leave versus out.")

    def require_length(self, count: int | None) -> None:
        """Refuse lists of classes that do not have one for each of ``count`` samples.

        Args:
            count: ``None`` if nobody knows it, as for a stream.

        Raises:
            InputError: see above.
        """
        for name, wanted in (("target", self.target), ("versus", self.versus)):
            if _is_listed(wanted) and count is None:
                raise InputError(
                    f"{name} lists classes, but the samples are a stream; give one class for all."
                )
            if _is_listed(wanted):
                _require_one_each(wanted, count, name)

    def classes(self, encoding: Encoding, names: Mapping[int, str], numbers: Sequence[int]) -> Classes:
        """The classes of a batch.

        Args:
            encoding: of the clean pass.
            numbers: of its samples, at which lists hold their classes.
        """
        logits, independent = encoding.logits, encoding.independent
        wanted = [
            [listed[i] for i in numbers] if _is_listed(listed) else listed
            for listed in (self.target, self.versus)
        ]
        explained = chosen_classes(wanted[0], logits, names, independent=independent)
        versus = chosen_classes(wanted[1], logits, names, "versus", independent)
        if versus is None:
            return Classes(explained)
        explained = encoding.prediction if explained is None else explained
        same = (explained == versus).nonzero().flatten().tolist()
        if same:
            name = names.get(int(versus[same[0]]), int(versus[same[0]]))
            told = f"versus={name!r:.60} is the class that is explained; give another one."
            if _is_fixed(self.target) and _is_fixed(self.versus):
                raise ConfigError(told)  # of every sample
            raise InputError(f"sample {same[0]}: {told}")
        return Classes(explained, versus)


#: of the predicted classes
NO_CLASSES = Classes()


def chosen_classes(
    wanted: Any,
    logits: Tensor,
    names: Mapping[int, str],
    argument: str = "target",
    independent: bool = False,
) -> Tensor | None:
    """``[B]`` class of each sample. ``None`` for the predicted ones.

    Args:
        wanted: a class number, a class name, ``"second"``, a list or tensor with one of these for each sample, or
            ``None``.
        logits: ``[B, K]`` of the clean pass.
        names: of the classes, by number.
        argument: for messages.
        independent: whether classes are labels and their opposites. ``"second"`` is then a label.

    Raises:
        ConfigError: there is no such class, or a class is named by something else.
        InputError: a list has another length than the batch, or an array has several axes.

    Example:
        >>> logits = torch.tensor([[3.0, 1.0, 2.0]])
        >>> chosen_classes("second", logits, {}), chosen_classes("cat", logits, {0: "dog", 1: "cat"})
        (tensor([2]), tensor([1]))
    """
    if wanted is None:
        return None
    size, wanted = len(logits), _by_place(wanted, argument)
    each = list(wanted) if _is_listed(wanted) else [wanted] * size
    _require_one_each(each, size, argument)
    found = [_class(one, row, names, argument, independent) for one, row in zip(each, logits, strict=True)]
    return torch.tensor(found, device=logits.device)


def checked_classes(
    encoding: Encoding, names: Mapping[int, str], classes: Any, versus: Any
) -> tuple[Tensor | None, Tensor | None]:
    """:func:`chosen_classes` of a clean pass, for a caller who makes the tensors ``[B]``.

    Raises:
        ConfigError, InputError: as :func:`chosen_classes`.
        InputTypeError: ``encoding`` is none.
    """
    if not isinstance(encoding, Encoding):
        raise InputTypeError(
            "encoding must be what explainer.attribute(inputs) gives first, or explainer.target.encode(inputs); got "
            f"{type(encoding).__name__}."
        )

    def chosen(wanted: Any, argument: str) -> Tensor | None:
        wanted = _by_place(wanted, argument)
        if isinstance(wanted, Tensor):
            wanted = wanted.tolist()  # at once, because each number alone waits for the device
        return chosen_classes(wanted, encoding.logits, names, argument, encoding.independent)

    return chosen(classes, "classes"), chosen(versus, "versus")


def _require_one_each(listed: Any, count: int | None, argument: str) -> None:
    if len(listed) != count:
        held = f"{counted(len(listed), 'class', 'classes')} for {counted(count or 0, 'sample')}"
        raise InputError(f"{argument} lists {held}; give one class for all, or one for each.")


def require_steps(count: Any) -> int:
    """``count``, which must be a number of steps. Raises :class:`ConfigError` if it is none."""
    found = whole(count, 0, MOST_DRAWS)
    if found is None:
        raise ConfigError(f"refine must be a number of steps, 0 to {MOST_DRAWS}; got {count!r:.60}.")
    return found


def require_flag(value: Any, name: str) -> bool:
    """``value``, which must be true or false. Raises :class:`ConfigError` for others: the text "no" would be true."""
    found = plain_number(value)
    if not isinstance(found, int) or found not in (0, 1):
        raise ConfigError(f"{name} must be True or False; got {value!r:.60}.")
    return bool(found)


def _by_place(wanted: Any, argument: str) -> Any:
    """``wanted`` as a list if it is a column of a table, which counts its values by labels, or not as Python does.

    An array ``[B, 1]`` becomes ``[B]``. Raises :class:`InputError` for arrays of other shapes.
    """
    if isinstance(wanted, (Tensor, np.ndarray)) and wanted.ndim > 1:
        if wanted.ndim > 2 or wanted.shape[1] != 1:
            raise InputError(
                f"{argument} holds a class for each sample, [B]; got the shape {list(wanted.shape)}."
            )
        return wanted[:, 0]
    listed = next((getattr(wanted, name) for name in ("to_list", "to_pylist") if hasattr(wanted, name)), None)
    return wanted if listed is None else [plain(one) for one in listed()]


def _is_listed(wanted: Any) -> bool:
    """Whether ``wanted`` holds one class for each sample."""
    several = isinstance(wanted, (Tensor, np.ndarray)) and wanted.ndim > 0
    return several or (isinstance(wanted, Sequence) and not isinstance(wanted, (str, bytes)))


def _is_fixed(wanted: Any) -> bool:
    """Whether ``wanted`` is the same class for every sample."""
    return wanted is not None and not _is_listed(wanted) and wanted != SECOND


def _class(wanted: Any, logits: Tensor, names: Mapping[int, str], argument: str, independent: bool) -> int:
    count = len(logits)
    if isinstance(wanted, (Tensor, np.ndarray, np.generic)) and wanted.ndim == 0:
        wanted = wanted.item()
    if isinstance(wanted, str):
        return _named(wanted, logits, names, argument, independent)
    if isinstance(wanted, bool) or not isinstance(wanted, int):
        raise ConfigError(
            f"{argument} must be a class number, a class name or {SECOND!r}; got {wanted!r:.60}.{_way_on(wanted)}"
        )
    if not 0 <= wanted < count:
        half = count // 2
        known = f"{half} labels, 0 to {half - 1}, and their opposites" if independent else f"{count}"
        raise ConfigError(
            f"{argument}={wanted} is no class: the model has {known}, {half if independent else 0} to {count - 1}."
        )
    return wanted


def _way_on(wanted: Any) -> str:
    """What to do about ``wanted``, which is no class, or nothing if that is not known."""
    if isinstance(wanted, float) and wanted.is_integer():
        return f" Class numbers are whole numbers: write {int(wanted)}."
    if isinstance(wanted, Iterable):
        return " For several samples give a list with one of these for each."
    return " Leave the argument out for the predicted class." if wanted is None else ""


def _named(wanted: str, logits: Tensor, names: Mapping[int, str], argument: str, independent: bool) -> int:
    own = {i: name for i, name in names.items() if i < len(logits)}
    places = [i for i, name in own.items() if name == wanted]
    if not places and wanted != SECOND:
        places = [i for i, name in own.items() if normal(name) == normal(wanted)]  # as labels are read
    if len(places) > 1:
        raise ConfigError(f"{argument}={wanted!r} names {len(places)} classes, {places}; give the number.")
    if places:
        return places[0]
    if wanted == SECOND:
        candidates = predictable(logits, independent)
        if len(candidates) < 2:
            kind = "labels" if independent else "classes"
            raise ConfigError(f"{argument}={SECOND!r} needs two {kind}; the model has one.")
        return int(candidates.topk(2).indices[1])
    digits, numbered = wanted.strip(), any(is_whole(name) for name in own.values())
    if digits.isdecimal() and len(digits) < 10 and int(digits) < len(logits) and not numbered:
        return int(digits)  # from a command line
    known = [str(name) for name in own.values()]
    shown = ", ".join(f"{name:.60}" for name in known[:12]) + (", ..." if len(known) > 12 else "")
    second = f"; or {SECOND!r}" if len(predictable(logits, independent)) > 1 else ""
    as_name = " Numbers are names of classes here, so a string is no class number." if numbered else ""
    raise ConfigError(
        f"{argument}={wanted!r:.60} is no class of the model.{as_name or nearest(wanted, known)} "
        f"Classes: {shown or f'0 to {len(logits) - 1}'}{second}."
    )
