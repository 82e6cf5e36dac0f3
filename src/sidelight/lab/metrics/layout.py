"""The readings of a raw map over a layout of features: a soft map, and an order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sidelight.core.layout import Layout, lay_out
from sidelight.core.registry import Registry
from sidelight.core.types import Inputs, Scores
from sidelight.errors import InputError
from sidelight.lab.metrics.granularity import Granularity
from sidelight.lab.metrics.ranking import min_max


def make_layout(
    feature_mask: Mapping[str, Tensor], granularities: Mapping[str, Granularity], inputs: Inputs
) -> Layout:
    """Lay out the modalities named in ``granularities``, in that order.

    Args:
        feature_mask: per modality a bool tensor of the scores' shape, true for real features.
        granularities: one per modality that takes part.
        inputs: the model's inputs, for granularities that depend on them.

    Returns:
        The layout of the N features of these modalities in M cells.

    Raises:
        KeyError: ``feature_mask`` lacks a modality of ``granularities``.

    Example:
        >>> from sidelight.lab.metrics import granularity
        >>> layout = make_layout({"text": torch.tensor([[True, True, False]])}, {"text": granularity("token")}, {})
        >>> layout.real_cells
        tensor([[ True,  True, False]])
    """
    masks = {name: feature_mask[name] for name in granularities}
    cells = {
        name: granularity.cells(masks[name].shape, inputs).to(masks[name].device).clamp(min=0)
        for name, granularity in granularities.items()
    }
    return lay_out(masks, cells)


@dataclass(frozen=True)
class ReducedMap:
    """One reading of a raw map.

    Attributes:
        soft: ``[B, M]`` per cell in [0, 1]. It multiplies the input.
        order: ``[B, M]`` per cell. It ranks the cells, larger first.
        ordinal: whether the values of ``order`` only rank, so that their sums mean nothing.
        effect: ``[B, M]`` per cell, mean of values that add up, if the method has others than ``order``.
    """

    soft: Tensor
    order: Tensor
    ordinal: bool = False
    effect: Tensor | None = None


class RankedScores(dict[str, Tensor]):
    """Scores per modality that mask the input, and other values that rank its features.

    Attributes:
        ranking: per modality, of the scores' shape, larger first.
        effects: of the same shape, values with a sign that add up, or ``None`` if the method has none.
    """

    def __init__(self, scores: Scores, ranking: Scores, effects: Scores | None = None) -> None:
        super().__init__(scores)
        self.ranking, self.effects = ranking, effects


def plain_scores(scores: Scores, device: torch.device) -> Scores:
    """``scores`` as float32 on ``device``, without a graph. :class:`RankedScores` keep their other readings.

    Scores in float64 stay so, because float32 may not reach them (:func:`reduce_map`).
    """

    def plain(values: Scores) -> dict[str, Tensor]:
        found = {name: v.detach().to(device) for name, v in values.items()}
        return {name: v if v.dtype == torch.float64 else v.float() for name, v in found.items()}

    own = plain(scores)
    if not isinstance(scores, RankedScores):
        return own
    return RankedScores(own, plain(scores.ranking), scores.effects and plain(scores.effects))


#: ``(raw [B, N], layout, signed) -> {name: ReducedMap}``: turns a raw map into soft maps and orders.
Reading = Callable[[Tensor, Layout, bool], dict[str, ReducedMap]]

#: How raw maps are read before the metrics see them, by name.
READINGS: Registry[Reading] = Registry("reading")


@READINGS.register("better_of_two")
def better_of_two(raw: Tensor, layout: Layout, signed: bool) -> dict[str, ReducedMap]:
    """A signed map is read twice, and the better reading counts.

    ``abs`` takes the mean of |a| in each cell. ``positive`` keeps the sign while pooling. Its soft map is the
    positive part, but its order is that of the signed means: features against the class are removed last in their
    own order, instead of being tied at zero. This favours the baseline methods over a learned mask, which is the
    safe side. Scores without a sign have the single reading ``none``.
    """
    real = layout.real_cells
    if not signed:
        return as_it_is(raw, layout, signed)
    magnitude, mean = layout.pool(raw.abs()), layout.pool(raw)
    return {
        "abs": ReducedMap(min_max(magnitude, real), magnitude),
        "positive": ReducedMap(min_max(mean.clamp(min=0), real), mean),
    }


@READINGS.register("signed")
def as_it_is(raw: Tensor, layout: Layout, signed: bool) -> dict[str, ReducedMap]:
    """Min-max of the map with its sign, as in the thesis. A map around zero becomes about 0.5 everywhere."""
    pooled = layout.pool(raw)
    return {"signed" if signed else "none": ReducedMap(min_max(pooled, layout.real_cells), pooled)}


@READINGS.register("absolute")
def absolute(raw: Tensor, layout: Layout, signed: bool) -> dict[str, ReducedMap]:
    """Min-max of the absolute value, and nothing else."""
    if not signed:
        return as_it_is(raw, layout, signed)
    magnitude = layout.pool(raw.abs())
    return {"abs": ReducedMap(min_max(magnitude, layout.real_cells), magnitude)}


def reduce_map(
    raw: Tensor, layout: Layout, signed: bool, reading: str = "better_of_two"
) -> dict[str, ReducedMap]:
    """The readings of a raw map, pooled to cells and min-maxed, in float32.

    Args:
        raw: ``[B, N]`` finite scores. A map in float64 that float32 does not reach is divided by its largest value, which
            changes no order and no soft map.
        layout: of the N features.
        signed: whether the sign carries meaning.
        reading: a name in :data:`READINGS`. ``better_of_two`` reads a map with signs by absolute value and by positive
            part, ``absolute`` by absolute value, and ``signed`` as it is.

    Returns:
        A ``soft`` map ``[B, M]`` in [0, 1] and an ``order`` ``[B, M]`` of the cells, under ``abs``, ``positive`` or ``signed``.
        A map without signs has one reading, ``none``.

    Raises:
        UnknownNameError: there is no such reading.

    Example:
        >>> from sidelight.lab.metrics import granularity
        >>> layout = make_layout({"text": torch.ones(1, 3, dtype=torch.bool)}, {"text": granularity("token")}, {})
        >>> maps = reduce_map(torch.tensor([[-2.0, 1.0, 0.0]]), layout, signed=True)
        >>> maps["abs"].soft, maps["positive"].soft
        (tensor([[1.0000, 0.5000, 0.0000]]), tensor([[0., 1., 0.]]))
    """
    return READINGS[reading](_within_float32(raw, layout.real), layout, signed)


def _within_float32(values: Tensor, real: Tensor) -> Tensor:
    """``values [B, N]``, those of a sample divided by the largest real one if that is infinite, or next to 0, in float32."""
    if values.dtype != torch.float64:
        return values
    largest = values.abs().masked_fill(~real, 0.0).amax(1, keepdim=True)
    bounds = torch.finfo(torch.float32)
    beyond = (largest > bounds.max) | ((largest > 0) & (largest < bounds.tiny))
    return torch.where(beyond & torch.isfinite(largest), values / largest, values)


def read_scores(
    scores: Scores, layout: Layout, signed: bool, reading: str = "better_of_two"
) -> dict[str, ReducedMap]:
    """:func:`reduce_map` of scores ``{modality: [B, ...]}``. :class:`RankedScores` are ranked by their ranking."""
    found = reduce_map(layout.flatten(scores), layout, signed, reading)
    if not isinstance(scores, RankedScores):
        return found

    def pooled(values: Scores) -> Tensor:
        flat = layout.flatten(values).to(layout.real.device)
        return layout.pool(_within_float32(flat, layout.real))

    order, effect = pooled(scores.ranking), None if scores.effects is None else pooled(scores.effects)
    return {n: replace(maps, order=order, ordinal=True, effect=effect) for n, maps in found.items()}


def require_scores(scores: Scores, feature_mask: Mapping[str, Tensor], names: tuple[str, ...]) -> None:
    """Raise :class:`InputError` if scores are missing, misshapen or not finite."""
    for name in names:
        if name not in scores:
            raise InputError(f"no scores for modality {name!r}; the method gave {sorted(scores)}.")
        expected, given = tuple(feature_mask[name].shape), tuple(scores[name].shape)
        if expected != given:
            raise InputError(
                f"scores of {name!r} must have one value per feature, shape {expected}; got {given}. "
                "Reduce attributions over their channels first (Modality.reduce_sum or reduce_norm)."
            )
        bad = ~torch.isfinite(scores[name]) & feature_mask[name]
        if bool(bad.any()):
            rows = bad.flatten(1).any(1).nonzero().flatten().tolist()
            raise InputError(
                f"scores of {name!r} hold NaN or infinite values in row(s) {rows[:8]} of the batch; "
                "check the method that made them."
            )
