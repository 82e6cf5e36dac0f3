"""One callable for every attribution method the scorer is compared with.

A rival maps ``(target, inputs, classes)`` to one raw score per feature. It reaches the
model only through :meth:`TargetModel.features`, :meth:`TargetModel.forward` and
:meth:`TargetModel.classify`, so no rival asks which modality it deals with.

What is explained is the class **logit**: a probability near 1 has a vanishing gradient,
and it mixes evidence for the class with evidence against the others. RISE alone weighs
its masks by the probability, as in its paper, because it needs non-negative weights.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar

import torch
from torch import Tensor

from sidelight.core.registry import Registry, nearest
from sidelight.core.types import Features, Inputs, is_batched
from sidelight.errors import ConfigError, InputError, InputTypeError
from sidelight.lab.baselines.hooks import pristine
from sidelight.targets.base import TargetModel

Reduction = Literal["sum", "l2", "none"]
R = TypeVar("R", bound="type[Rival]")


@dataclass(frozen=True)
class Job:
    """One chunk of samples on its way through a rival; tensors are private copies.

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


@dataclass(frozen=True)
class Rival(ABC):
    """An attribution method; its options are the fields of its dataclass.

    Class attributes: ``name`` (registry key), ``title`` (for tables), ``signed`` (scores
    below zero mean evidence against the class), ``reduction`` (how channels of a feature
    become one score: ``"sum"`` for signed methods, ``"l2"`` for Saliency, ``"none"`` where
    the method scores features directly) and ``source`` (the paper).

    Args:
        internal_batch: at most so many rows go through the target at once. The default is the
            fastest on a CPU, where 64 images of 224 px take three times as long; raise it on a GPU.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    signed: ClassVar[bool]
    reduction: ClassVar[Reduction]
    source: ClassVar[str] = ""
    #: rows of the target's batch that one sample needs at the least
    rows_per_sample: ClassVar[int] = 1
    #: modalities the method can explain; ``None`` means any
    modalities: ClassVar[tuple[str, ...] | None] = None

    internal_batch: int = 16

    def __post_init__(self) -> None:
        positive = ("internal_batch", "n_steps", "n_samples", "n_baselines", "n_masks", "grid")
        for option in positive:
            value = getattr(self, option, 1)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(
                    f"option {option!r} of rival {self.name!r} must be an integer of at least 1; "
                    f"got {value!r}."
                )

    @property
    @abstractmethod
    def passes(self) -> str:
        """Passes of the target per input, in words."""

    @abstractmethod
    def _maps(self, job: Job) -> Mapping[str, Tensor]: ...

    def plain(self) -> Rival | None:
        """The plain method this one falls back to on models whose layers it has no rule for."""
        return None

    def refusal(self, target: TargetModel) -> str | None:
        """Why the method cannot explain ``target``, as a sentence; ``None`` where it can."""
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
            target: the model explained; given back exactly as it was.
            inputs: the model's inputs, ``B`` samples.
            classes: ``[B]`` integer class to explain for each sample.
            ids: one integer per sample that seeds its random stream (default ``0..B-1``);
                a sample keeps its map whatever batch it comes in.

        Returns:
            Per modality a detached tensor of the scores' shape, image ``[B, 1, H, W]``, text
            ``[B, T]``; padding and special tokens keep their raw values.

        Raises:
            InputError: classes or ids do not fit the batch.
            UnsupportedTargetError: the method cannot work on this target.
        """
        # autograd must work whatever mode the caller is in, and the caller's tensors stay untouched
        with torch.inference_mode(False), torch.enable_grad(), target.one_pass(), pristine(target.model):
            target.check(inputs)
            parts = [self._maps(job) for job in self._jobs(target, inputs, classes, ids)]
        return {name: torch.cat([_presentable(p[name]) for p in parts]) for name in target.modalities}

    def _jobs(
        self, target: TargetModel, inputs: Inputs, classes: Tensor, ids: Sequence[int] | None
    ) -> list[Job]:
        with torch.no_grad():
            size = len(next(iter(target.features(inputs).values())))
        _check_classes(classes, size)
        names = tuple(range(size)) if ids is None else tuple(int(i) for i in ids)
        if len(names) != size:
            raise InputError(f"ids must hold one integer per sample: got {len(names)} for {size} samples.")
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


#: Every rival by name; an entry is called with the rival's options.
RIVALS: Registry[type[Rival]] = Registry("rival")


def register(cls: R) -> R:
    """Class decorator: enter a rival in :data:`RIVALS` under its own name."""
    RIVALS.add(cls.name, cls)
    return cls


def make_rival(name: str, **options: Any) -> Rival:
    """The rival called ``name``, e.g. ``make_rival("integrated_gradients", n_steps=20)``.

    Raises:
        UnknownNameError: there is no such rival.
        ConfigError: an option is unknown or out of range.
    """
    cls = RIVALS[name]
    known = [f.name for f in dataclasses.fields(cls)]
    for option in options:
        if option not in known:
            raise ConfigError(
                f"rival {name!r} has no option {option!r}.{nearest(option, known)} Known: {', '.join(known)}."
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
    """``[B]`` logit of each sample's class; raises :class:`InputError` for a class out of range."""
    check_range(classes, logits.shape[-1])
    return logits.gather(1, classes[:, None]).squeeze(1)


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
