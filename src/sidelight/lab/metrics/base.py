"""The contract of a metric: an entry of :data:`METRICS`, computed from the measurements of the engine.

An entry names the passes through the target that it needs, so the engine makes only those. A new metric needs
one call of :func:`define` in one file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from sidelight.core.registry import Registry, nearest
from sidelight.errors import ConfigError, InputError

Direction = Literal["lower", "higher"]
#: ``mask``: one pass under the soft map; ``steps``: both curves; ``areas``: the fixed shares of ERASER. Of the judge,
#: ``parts``: random removals from parts; ``singles``: removals of single units.
Need = Literal["mask", "steps", "areas", "parts", "singles"]
#: needs that a judge's passes meet, and not the target's
JUDGED: frozenset[str] = frozenset({"parts", "singles"})


def _absent() -> Tensor:
    return torch.empty(0)


@dataclass
class Evidence:
    """The measurements of ``B`` samples under one method, reduction, granularity and fill.

    Fields that no requested metric needs stay empty. ``N`` counts the features of all modalities that are ranked
    together. ``p`` is the softmax probability of the class predicted on the clean input, unless the protocol
    has another confidence.

    Attributes:
        mask: ``[B, N]`` soft map in [0, 1] (min-max per sample).
        order: ``[B, N]`` values that rank the features, larger first. They may be negative.
        real: ``[B, N]`` true for features that count.
        clean: ``[B]`` p of the clean input.
        truth: ``[B, N]`` true for features that are known evidence.
        threshold: level at which ``mask`` becomes a region for IoU and F1.
        masked: ``[B]`` p under the soft map.
        shares: ``[B, K+1]`` the place of each step, 0 to 1: the share of features removed (added), or the
            protocol's own axis.
        deletion, insertion: ``[B, K+1]`` p at each step.
        verdict: ``[B, K+1]`` 1 if the clean prediction still stands at a step of deletion, else 0.
        removed, kept: ``[B, A]`` p with the top features removed, or alone, at each area.
        judge: ``[B]`` the judge's p of the clean input.
        without_top, without_rest: ``[B, S]`` the judge's p with random features removed from the top part of each
            size, or from the rest.
        worth, drops: ``[B, U]`` attribution of each unit, and the fall of the judge's logit if it alone is removed.
        rank: ``[B, U]`` mean of what ranks the features of each unit.
        measured: ``[B, U]`` true for units that were removed.

    Example:
        >>> scores, yes = torch.tensor([[0.0, 1.0]]), torch.tensor([[True, True]])
        >>> evidence = Evidence(scores, scores, yes, clean=torch.tensor([0.75]), masked=torch.tensor([0.5]))
        >>> METRICS["average_drop"].values(evidence)
        [0.25]
    """

    mask: Tensor
    order: Tensor
    real: Tensor
    clean: Tensor
    truth: Tensor | None = None
    threshold: float = 0.5
    masked: Tensor = field(default_factory=_absent)
    shares: Tensor = field(default_factory=_absent)
    deletion: Tensor = field(default_factory=_absent)
    insertion: Tensor = field(default_factory=_absent)
    verdict: Tensor = field(default_factory=_absent)
    removed: Tensor = field(default_factory=_absent)
    kept: Tensor = field(default_factory=_absent)
    judge: Tensor = field(default_factory=_absent)
    without_top: Tensor = field(default_factory=_absent)
    without_rest: Tensor = field(default_factory=_absent)
    worth: Tensor = field(default_factory=_absent)
    drops: Tensor = field(default_factory=_absent)
    rank: Tensor = field(default_factory=_absent)
    measured: Tensor = field(default_factory=_absent)


@dataclass(frozen=True)
class Metric:
    """One registered metric.

    Attributes:
        name: key in :data:`METRICS`.
        direction: ``"lower"`` or ``"higher"`` is better.
        doc: one line for tables and ``list``.
        compute: :class:`Evidence` to ``[B]`` values, NaN if undefined.
        needs: passes through the target, or through its judge, that must be made first.
        needs_truth: whether ground truth is required.

    Example:
        >>> peak = Metric("peak", "higher", "largest score of the map", lambda e: e.mask.amax(1))
        >>> peak.needs_fill, peak.one_pass
        (False, True)
    """

    name: str
    direction: Direction
    doc: str
    compute: Callable[[Evidence], Tensor]
    needs: frozenset[Need] = frozenset()
    needs_truth: bool = False

    @property
    def needs_fill(self) -> bool:
        """Whether the value depends on the fill of removed features."""
        return bool(self.needs)

    @property
    def one_pass(self) -> bool:
        """Whether at most one masked pass is needed, so that the value is cheap on many samples."""
        return self.needs <= {"mask"}

    def values(self, evidence: Evidence) -> list[float]:
        """The metric's value of each sample.

        Raises:
            InputError: the metric gives something else than a number for each sample, or an infinite one, or it changed
                the evidence, which other metrics and methods read after it.
        """
        seen = [t._version for t in _tensors(evidence)]
        found = self.compute(evidence)
        if seen != [t._version for t in _tensors(evidence)]:
            raise InputError(
                f"metric {self.name!r} changed the evidence in place, which other metrics read after it. Work on a copy, "
                "e.g. evidence.mask.clone()."
            )
        values = _numbers(found)
        if values is None or values.shape != (len(evidence.clean),):
            kind = getattr(found, "dtype", type(found).__name__)
            given = kind if values is None else f"shape {tuple(values.shape)}"
            empty = values is not None and values.numel() == 0
            unmade = " Does it read a field for which `define` must be told what it needs?" if empty else ""
            raise InputError(
                f"metric {self.name!r} must give a tensor of one real number for each sample, [{len(evidence.clean)}]; "
                f"got {given}.{unmade}"
            )
        if torch.isinf(values).any():
            raise InputError(
                f"metric {self.name!r} gives infinite values. Where it is not defined, give NaN."
            )
        return values.tolist()

    @property
    def judged(self) -> bool:
        """Whether a judge is asked, which must be trained first. Such a metric is measured only if it is named."""
        return bool(self.needs & JUDGED)


def _tensors(evidence: Evidence) -> list[Tensor]:
    found = [getattr(evidence, f.name) for f in fields(evidence)]
    return [t for t in found if isinstance(t, Tensor) and not t.is_inference()]


def _numbers(found: Any) -> Tensor | None:
    """Real numbers as float64, or ``None`` if ``found`` holds none."""
    try:
        values = torch.as_tensor(found).detach()
    except (TypeError, ValueError, RuntimeError):
        return None
    return None if values.is_complex() else values.double()


#: Every metric by name, in the order tables show them.
METRICS: Registry[Metric] = Registry("metric")


def default_metrics() -> tuple[str, ...]:
    """Names of the metrics that are measured unless others are named: all that need no judge, in the order of tables.

    Example:
        >>> "average_drop" in default_metrics(), "fidelity_plus" in default_metrics()  # a judge is asked for the second
        (True, False)
    """
    return tuple(name for name, metric in METRICS.items() if not metric.judged)


def define(
    name: str,
    direction: Direction,
    doc: str,
    compute: Callable[[Evidence], Tensor],
    *needs: Need,
    truth: bool = False,
) -> Metric:
    """Register a metric.

    Args:
        name, direction, doc, compute, needs: see :class:`Metric`.
        truth: whether ground truth is required.

    Raises:
        ConfigError: the name is taken, the direction is neither ``"lower"`` nor ``"higher"``, a need is unknown, or
            ``compute`` cannot be called.
    """
    if direction not in get_args(Direction):
        raise ConfigError(f"metric {name!r}: direction must be 'lower' or 'higher'; got {direction!r}.")
    if not callable(compute):
        raise ConfigError(f"metric {name!r}: compute must be a function; got {type(compute).__name__}.")
    known = get_args(Need)
    for need in needs:
        if need not in known:
            raise ConfigError(
                f"metric {name!r} cannot need {need!r}.{nearest(str(need), known)} Known: {', '.join(known)}."
            )
    return METRICS.add(name, Metric(name, direction, doc, compute, frozenset(needs), truth))
