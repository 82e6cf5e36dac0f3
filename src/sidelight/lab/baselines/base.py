"""The contract of a baseline method: one callable that gives one raw score per feature.

A baseline method maps ``(target, inputs, classes)`` to scores. It reaches the model only through
:meth:`TargetModel.features`, :meth:`TargetModel.forward` and :meth:`TargetModel.classify`. Therefore it works
for any modality.

The methods explain the class **logit**. A probability near 1 has a vanishing gradient, and it mixes evidence
for the class with evidence against the others. Only RISE weighs its masks by the probability, as in its paper,
because it needs non-negative weights.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, get_args

import torch
from torch import Tensor

from sidelight.core.field_checks import plain_number, whole
from sidelight.core.names import OURS, method_label
from sidelight.core.registry import Registry, nearest
from sidelight.core.seeds import one_each
from sidelight.core.surroundings import plain_passes
from sidelight.core.tensors import both_ways
from sidelight.core.types import Features, Inputs, is_batched
from sidelight.errors import ConfigError, InputError, InputTypeError
from sidelight.lab.baselines.hooks import pristine
from sidelight.targets.base import TargetModel

Reduction = Literal["sum", "l2", "none"]
R = TypeVar("R", bound="type[Rival]")


@dataclass(frozen=True)
class Job:
    """One chunk of samples that a baseline method explains. Its tensors are private copies.

    Attributes:
        inputs: the model's inputs, ``B`` samples.
        features: differentiable inputs per modality, detached.
        classes: ``[B]`` class explained for each sample.
        ids: one integer per sample, from which its random stream is derived.
    """

    target: TargetModel
    inputs: Inputs
    features: Features
    classes: Tensor
    ids: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of samples."""
        return len(self.ids)

    def single(self, index: int) -> Job:
        """The job of one of the samples alone."""
        row = slice(index, index + 1)
        return Job(
            self.target,
            {k: v[row] if is_batched(v, self.size) else v for k, v in self.inputs.items()},
            {k: v[row] for k, v in self.features.items()},
            self.classes[row],
            self.ids[row],
        )

    def repeated(self, times: int) -> dict[str, Tensor]:
        """Inputs with every sample repeated ``times`` in a row."""
        return {
            k: v.repeat_interleave(times, 0) if is_batched(v, self.size) else v
            for k, v in self.inputs.items()
        }

    def score_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of the scores per modality, e.g. ``(B, 1, H, W)`` or ``(B, T)``."""
        return {
            name: tuple(modality.reduce_sum(self.features[name]).shape)
            for name, modality in self.target.modalities.items()
        }

    def spatial(self, modality: str) -> tuple[int, ...]:
        """Shape over which features of ``modality`` are laid out: ``(H, W)`` or ``(T,)``."""
        keeps = self.target.modalities[modality].keeps_channel_dim
        return self.score_shapes()[modality][2 if keeps else 1 :]


#: the largest count that an option of a method may be: more would take days for each input
MOST = 1_000_000


def at_least(least: int, default: int | None) -> Any:
    """The field of an option that must be an integer of at least ``least``, or ``None`` if that is its default."""
    return dataclasses.field(default=default, metadata={"least": least})


@dataclass(frozen=True)
class Rival(ABC):
    """A baseline method. Its options are the fields of its dataclass.

    To add a method, write a module in this package with a subclass that implements ``_maps``, under
    :func:`register`. Options that must be positive integers are declared with :func:`at_least`.

    Class attributes:

    * ``name``: key in :data:`RIVALS`.
    * ``signed``: whether scores below zero mean evidence against the class.
    * ``reduction``: how the channels of a feature become one score. ``"sum"`` for signed methods, ``"l2"`` for
      Saliency, ``"none"`` if the method scores features directly.

    Args:
        internal_batch: at most so many rows go through the target at once. The default is the fastest on a
            CPU, which takes three times as long with 64 images of 224 px. Raise it on a GPU.

    Raises:
        ConfigError: an option is out of range.

    Example:
        >>> from sidelight.lab.baselines import make_rival
        >>> make_rival("integrated_gradients", n_steps=20)
        IntegratedGradients(internal_batch=16, n_steps=20, baseline='zero')
    """

    name: ClassVar[str]
    signed: ClassVar[bool]
    reduction: ClassVar[Reduction]
    #: rows of the target's batch that one sample needs at the least
    rows_per_sample: ClassVar[int] = 1
    #: modalities the method can explain. ``None`` means any
    modalities: ClassVar[tuple[str, ...] | None] = None

    internal_batch: int = at_least(1, 16)

    @property
    def title(self) -> str:
        """The name as people write it."""
        return method_label(self.name)

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            given, least = getattr(self, option.name), option.metadata.get("least")
            value = plain_number(given)
            if least is not None:
                good = (value is None and option.default is None) or whole(value, least, MOST) is not None
                self.require(option.name, good, f"be an integer of at least {least} and at most {MOST}")
            elif option.type in (int, "int"):
                self.require(option.name, type(value) is int, "be an integer")
            elif option.type in (float, "float"):
                good = type(value) in (int, float) and math.isfinite(value)
                self.require(option.name, good, "be a finite number")
            if value is not given:
                object.__setattr__(self, option.name, value)

    def require(self, option: str, good: bool, rule: str) -> None:
        """Raise :class:`ConfigError` unless ``good``. ``rule`` completes "option ... must"."""
        if not good:
            raise ConfigError(
                f"option {option!r} of baseline method {self.name!r} must {rule}; got {getattr(self, option)!r}."
            )

    @abstractmethod
    def _maps(self, job: Job) -> Mapping[str, Tensor]: ...

    def plain(self) -> Rival | None:
        """The plain method that this one becomes on models whose layers it has no rule for."""
        return None

    def refusal(self, target: TargetModel) -> str | None:
        """The reason why the method cannot explain ``target``, as a sentence, or ``None`` if it can."""
        wanted = self.modalities
        if wanted is not None and not set(target.modalities) <= set(wanted):
            return f"it explains {', '.join(wanted)} only."
        return None

    def __call__(
        self,
        target: TargetModel,
        inputs: Inputs,
        classes: Tensor,
        ids: Sequence[int] | None = None,
    ) -> dict[str, Tensor]:
        """Raw attribution, one score per feature, before any absolute value or rescaling.

        Args:
            target: the model to explain. The call leaves it exactly as it was.
            inputs: the model's inputs, ``B`` samples.
            classes: ``[B]`` integer class to explain for each sample.
            ids: one integer per sample that seeds its random stream (default ``0..B-1``). A sample with the
                same id gets the same map in any batch.

        Returns:
            Per modality a detached tensor of the scores' shape, image ``[B, 1, H, W]``, text
            ``[B, T]``. Padding and special tokens keep their raw values.

        Raises:
            InputError: classes or ids do not fit the batch.
            InputTypeError: ``target`` is no wrapped classifier.
            UnsupportedTargetError: the method cannot work on this target.
        """
        if not isinstance(target, TargetModel):
            raise InputTypeError(
                f"a baseline method explains a wrapped classifier: give explainer.target, or as_target(model, processor); got "
                f"{type(target).__name__}."
            )
        # autograd must work in any mode of the caller, and the caller's tensors stay untouched
        with (
            plain_passes(),
            torch.inference_mode(False),
            torch.enable_grad(),
            target.one_pass(),
            pristine(target.model),
        ):
            target.check(inputs)
            parts = [self._maps(job) for job in self._jobs(target, inputs, classes, ids)]
        for part in parts:
            self._require_maps(part, tuple(target.modalities))
        return {name: torch.cat([_presentable(p[name]) for p in parts]) for name in target.modalities}

    def _require_maps(self, found: Any, modalities: Sequence[str]) -> None:
        """Raise :class:`InputError` unless ``_maps`` gave a tensor for each modality."""
        whole = isinstance(found, Mapping) and all(isinstance(found.get(m), Tensor) for m in modalities)
        if not whole:
            held = (
                {m: type(v).__name__ for m, v in found.items()}
                if isinstance(found, Mapping)
                else type(found).__name__
            )
            raise InputError(
                f"baseline method {self.name!r} must return a mapping with a tensor for each modality, "
                f"{', '.join(modalities)}; got {held}."
            )

    def _jobs(
        self, target: TargetModel, inputs: Inputs, classes: Tensor, ids: Sequence[int] | None
    ) -> list[Job]:
        with torch.no_grad():
            size = len(next(iter(target.features(inputs).values())))
        _check_classes(classes, size)
        names = tuple(range(size)) if ids is None else one_each(ids, size)
        step = max(1, self.internal_batch // self.rows_per_sample)
        jobs = []
        for start in range(0, size, step):
            rows = slice(start, start + step)
            part = {k: (v[rows] if is_batched(v, size) else v).clone() for k, v in inputs.items()}
            with torch.no_grad():
                features = {k: v.detach().clone().contiguous() for k, v in target.features(part).items()}
            device = next(iter(features.values())).device
            jobs.append(Job(target, part, features, classes[rows].clone().to(device), names[rows]))
        return jobs


#: Every baseline method by name. An entry is called with the method's options.
RIVALS: Registry[type[Rival]] = Registry("baseline method")


def register(cls: R) -> R:
    """Class decorator: enter a baseline method in :data:`RIVALS` under its own name.

    Raises:
        ConfigError: a class attribute is missing or has another kind of value, or the name is taken or is one of ours.
    """
    told = f"baseline method {cls.__name__}"
    name, signed = getattr(cls, "name", None), getattr(cls, "signed", None)
    reduction = getattr(cls, "reduction", "none")
    if not isinstance(name, str) or not isinstance(signed, bool) or reduction not in get_args(Reduction):
        raise ConfigError(
            f"{told} needs the class attributes name (a text), signed (true or false) and reduction (one of "
            f"{', '.join(get_args(Reduction))}); got {name!r}, {signed!r} and {reduction!r}."
        )
    if "#" in name or name == OURS or name.startswith(f"{OURS} ("):
        raise ConfigError(
            f"{told} cannot be called {name!r}: results are kept under the names of methods, '#' begins the number of a "
            f"seed there, and {OURS!r} is the scorer. Choose another name."
        )
    RIVALS.add(name, cls)
    return cls


def make_rival(name: str, **options: Any) -> Rival:
    """The baseline method called ``name``.

    Args:
        name: in :data:`RIVALS`. ``sidelight list`` shows them.
        options: fields of the method's class.

    Returns:
        The method. It is called as ``method(target, inputs, classes)`` (:class:`Rival`).

    Raises:
        UnknownNameError: there is no method of that name.
        ConfigError: an option is unknown or out of range.

    Example:
        >>> inputs = explainer.target.reader.prepare(["a dull film"]).inputs
        >>> maps = make_rival("integrated_gradients", n_steps=20)(explainer.target, inputs, torch.tensor([0]))
        >>> maps["text"].shape  # three words between two special tokens
        torch.Size([1, 5])
    """
    cls = RIVALS[name]
    known = [f.name for f in dataclasses.fields(cls)]
    for option in options:
        if option not in known:
            raise ConfigError(
                f"baseline method {name!r} has no option {option!r}.{nearest(option, known)} Known: {', '.join(known)}."
            )
    return cls(**options)


def reduce_channels(
    target: TargetModel, attributions: Mapping[str, Tensor], how: Reduction
) -> dict[str, Tensor]:
    """One score per feature from attributions of the differentiable input's shape."""
    out = {}
    for name, value in attributions.items():
        modality = target.modalities[name]
        out[name] = modality.reduce_norm(value) if how == "l2" else modality.reduce_sum(value)
    return out


def class_output(logits: Tensor, classes: Tensor) -> Tensor:
    """``[B]`` logit of each sample's class (:func:`both_ways`). Raises :class:`InputError` for a class out of range."""
    return of_class(both_ways(logits), classes)


def of_class(values: Tensor, classes: Tensor) -> Tensor:
    """``[B]`` value of each sample's class. Raises :class:`InputError` for a class out of range."""
    check_range(classes, values.shape[-1])
    return values.gather(1, classes[:, None]).squeeze(1)


def check_range(classes: Tensor, count: int) -> None:
    """Raise :class:`InputError` unless every class lies in ``0..count-1``."""
    low, high = int(classes.min()), int(classes.max())
    if low < 0 or high >= count:
        raise InputError(
            f"the model has {count} classes (0 to {count - 1}); got class {low if low < 0 else high}."
        )


def _presentable(value: Tensor) -> Tensor:
    value = value.detach()
    return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value


def _check_classes(classes: Tensor, size: int) -> None:
    if not isinstance(classes, Tensor) or classes.is_floating_point() or classes.dtype == torch.bool:
        kind = classes.dtype if isinstance(classes, Tensor) else type(classes).__name__
        raise InputTypeError(f"classes must be a tensor of integers [B], e.g. logits.argmax(-1); got {kind}.")
    if classes.shape != (size,):
        raise InputError(
            f"classes must hold one class per sample, shape ({size},); got {tuple(classes.shape)}."
        )
