"""One method, one batch: every reduction, granularity, fill and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sidelight.core.seeds import sample_seed
from sidelight.core.types import Scores
from sidelight.errors import ConfigError, InputError
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.coordinates import ChannelView, by_channel
from sidelight.lab.evaluation.settings import BatchResult, EvalSettings, Method
from sidelight.lab.metrics.base import METRICS, Evidence, Metric
from sidelight.lab.metrics.granularity import Granularity, resolve
from sidelight.lab.metrics.judging import JudgePasses
from sidelight.lab.metrics.layout import (
    Layout,
    ReducedMap,
    make_layout,
    plain_scores,
    read_scores,
    require_scores,
)
from sidelight.lab.metrics.probe import Probe
from sidelight.lab.metrics.protocols import DEFAULT, PROTOCOLS
from sidelight.lab.metrics.ranking import STEPPINGS, area_counts, ranks_of_draws
from sidelight.targets.base import TargetModel


def make_probe(target: TargetModel, batch: Batch, settings: EvalSettings) -> Probe:
    """The passes that all methods evaluated on ``batch`` share.

    Raises:
        InputError: ids are not distinct, or not one per sample.
    """
    if len(set(batch.ids)) < len(batch.ids):
        raise InputError(f"sample ids must be distinct, they seed every draw; got {list(batch.ids)[:8]}...")
    seeds = [sample_seed(settings.seed, i) for i in batch.ids]
    confidence = PROTOCOLS[settings.protocol].confidence_of(target.modalities)
    return Probe(target, batch.inputs, seeds, settings.forward_batch, confidence, batch.ids, batch.encoding)


def make_judge(judge: TargetModel, probe: Probe, batch: Batch, settings: EvalSettings) -> JudgePasses:
    """The judge's passes on ``batch``, for the class that ``probe`` looks at."""
    return JudgePasses(judge, probe, batch.ids, settings.judge, settings.seed)


class View(NamedTuple):
    """What a method is asked about and judged on."""

    target: TargetModel
    batch: Batch
    settings: EvalSettings
    probe: Probe
    judge: JudgePasses | None = None


class Views:
    """One batch as each method sees it: by feature, or by channel where the protocol and the method say so.

    The passes that methods share are made once a view.

    Args:
        target, batch, settings: as for :func:`evaluate_batch`.
        judge: a copy of the target that was fine-tuned with parts of its inputs removed, if a metric asks one.
    """

    def __init__(
        self, target: TargetModel, batch: Batch, settings: EvalSettings, judge: TargetModel | None = None
    ) -> None:
        probe = make_probe(target, batch, settings)
        passes = None if judge is None else make_judge(judge, probe, batch, settings)
        self.plain = View(target, batch, settings, probe, passes)
        self._by_channel: View | None = None

    def of(self, method: Method) -> View:
        """The view of ``method``: by channel if it reduces channels to a score of the feature only at the end."""
        target, batch, settings = self.plain[:3]
        names = by_channel(method, settings.protocol, target.modalities)
        if not names:
            return self.plain
        if self._by_channel is None:
            view = ChannelView(target, names)
            truth = None if batch.truth is None else view.spread(batch.truth, batch.inputs)
            batch = replace(batch, truth=truth, clean=lambda: self.plain.probe.encoding)
            settings = replace(settings, granularities=["coordinate"])
            self._by_channel = View(view, batch, settings, make_probe(view, batch, settings))
        return self._by_channel


def evaluate_batch(
    target: TargetModel,
    batch: Batch,
    scores: Scores,
    *,
    method: str,
    signed: bool,
    settings: EvalSettings | None = None,
    probe: Probe | None = None,
    judge: JudgePasses | None = None,
) -> BatchResult:
    """Judge one method's maps of one batch.

    Args:
        batch: samples with ids and, where known, ground truth.
        scores: raw scores per modality, image ``[B, 1, H, W]``, text ``[B, T]``.
        method: name for the rows.
        signed: whether the sign of a score carries meaning.
        probe: from :func:`make_probe`, to share passes between methods.
        judge: from :func:`make_judge`, for metrics that ask one.

    Raises:
        InputError: scores or truth are missing, misshapen or not finite, a sample has no real feature, or a patch is as
            large as the picture.
        ConfigError: a metric asks a judge, and there is none.
    """
    settings = settings or EvalSettings()
    if judge is None:
        _require_none_judged(settings)
    probe = probe or make_probe(target, batch, settings)
    if any(s.is_complex() for s in scores.values()):
        raise InputError(f"{method!r} gives complex scores; give real ones, e.g. scores.abs().")
    scores = plain_scores(scores, probe.clean.device)
    protocol, result = PROTOCOLS[settings.protocol], BatchResult([], [])
    for group in settings.groups or [tuple(target.modalities)]:
        _require_scores(method, scores, probe, group)
        for label, plan in resolve(settings.granularities, group).items():
            layout = make_layout(probe.feature_mask, plan, probe.inputs)
            _require_features(layout, batch.ids)
            _require_cells(layout, plan)
            truth = _truth(batch, layout)
            for reduction, maps in read_scores(scores, layout, signed, protocol.reading).items():
                key = {
                    "modality": "+".join(group),
                    "method": method,
                    "reduction": reduction,
                    "granularity": label,
                    # finished batches of evaluations before there were protocols have no such column
                    **({} if protocol.name == DEFAULT else {"protocol": protocol.name}),
                }
                judged = _Judged(probe, layout, maps, truth, batch.ids, settings, judge).result(key)
                result.rows.extend(judged.rows)
                result.curves.extend(judged.curves)
    return result


def _require_scores(method: str, scores: Scores, probe: Probe, group: Sequence[str]) -> None:
    try:
        require_scores(scores, probe.feature_mask, tuple(group))
    except InputError as error:
        raise InputError(f"method {method!r}: {error}") from error


def _require_none_judged(settings: EvalSettings) -> None:
    for name in settings.metrics:
        if METRICS[name].judged:
            raise ConfigError(
                f"metric {name!r} asks a judge: give judge=make_judge(...), or evaluate a run, which trains one."
            )


def _require_features(layout: Layout, ids: Sequence[int]) -> None:
    empty = [i for i, any_real in zip(ids, layout.real.any(1).tolist(), strict=True) if not any_real]
    if empty:
        raise InputError(f"sample(s) {empty[:8]} have no real feature (all padding?); leave them out.")


def _require_cells(layout: Layout, plan: Mapping[str, Granularity]) -> None:
    """A picture that is one single cell has no order: every method would have the same curve."""
    shape = layout.shapes.get("image")
    if shape is None or len(plan) > 1 or layout.size.shape[1] > 1 or layout.real.shape[1] == 1:
        return
    name, (height, width) = plan["image"].name, shape[-2:]
    raise InputError(
        f"granularity {name!r} makes one cell of a picture of {height}×{width} pixels, so all maps rank alike. "
        f"Choose a smaller patch, e.g. 'patch{max(1, max(height, width) // 7)}'."
    )


def _truth(batch: Batch, layout: Layout) -> Tensor | None:
    if batch.truth is None or not layout.shapes.keys() <= batch.truth.keys():
        return None
    for name, shape in layout.shapes.items():
        expected = (len(layout.real), *shape)
        if tuple(batch.truth[name].shape) != expected:
            given = tuple(batch.truth[name].shape)
            raise InputError(f"ground truth of {name!r} must have the scores' shape {expected}; got {given}.")
    return layout.flatten(batch.truth).to(layout.real.device).bool()


@dataclass(frozen=True)
class _Judged:
    """The maps of one method, reduction and granularity, on their way through every fill and metric."""

    probe: Probe
    layout: Layout
    maps: ReducedMap
    truth: Tensor | None
    ids: Sequence[int]
    settings: EvalSettings
    judge: JudgePasses | None = None

    def result(self, key: dict[str, str]) -> BatchResult:
        """Rows and curves under every fill, each with the columns ``key``."""
        known = self.truth is not None
        wanted = [m for m in map(METRICS.__getitem__, self.settings.metrics) if known or not m.needs_truth]
        needs = frozenset[str]().union(*(m.needs for m in wanted))
        filled, plain = ([m for m in wanted if m.needs_fill is with_fill] for with_fill in (True, False))
        clean = self._evidence()
        rows, curves = self._rows(clean, plain, {**key, "fill": "none"}), []
        orders = self._orders() if needs & {"steps", "areas", "parts"} else []
        for fill in self.settings.fills if needs else ():
            evidence, about = self._under(clean, fill, needs, orders), {**key, "fill": fill}
            evidence = self._by_judge(evidence, fill, needs, orders, key["granularity"])
            rows += self._rows(evidence, filled, about)
            if "steps" in needs:
                curves += self._curves(evidence, about)
        return BatchResult(rows, curves)

    def _evidence(self) -> Evidence:
        return Evidence(
            mask=self.layout.spread(self.maps.soft).masked_fill(~self.layout.real, 0.0),
            order=self.layout.spread(self.maps.order),
            real=self.layout.real,
            clean=self.probe.clean,
            truth=self.truth,
            threshold=self.settings.iou_threshold,
        )

    def _orders(self) -> list[Tensor]:
        cells = self.layout.real_cells
        return ranks_of_draws(self.maps.order, cells, self.ids, self.settings.seed, self.settings.tie_draws)

    def _under(self, clean: Evidence, fill: str, needs: frozenset[str], orders: Sequence[Tensor]) -> Evidence:
        """The evidence ``clean`` with the confidences of the passes that ``needs`` names."""
        layout, settings = self.layout, self.settings
        if "mask" in needs:
            clean = replace(clean, masked=self.probe.under_map(fill, layout, clean.mask))
        if not needs & {"steps", "areas"}:
            return clean
        cells = layout.real_cells.sum(1)
        steps, places = cells.new_empty(len(cells), 0), cells.new_empty(len(cells), 0)
        if "steps" in needs:
            stepping = STEPPINGS[PROTOCOLS[settings.protocol].stepping]
            steps, places = stepping(self.maps.soft, layout.real_cells, settings.steps)
        areas = area_counts(cells, settings.shares) if "areas" in needs else cells.new_empty(len(cells), 0)
        removed, kept, verdict = self.probe.curves(fill, layout, orders, torch.cat([steps, areas], 1))
        split = steps.shape[1]
        return replace(
            clean,
            shares=places,
            deletion=removed[:, :split],
            verdict=verdict[:, :split],
            removed=removed[:, split:],
            insertion=kept[:, :split],
            kept=kept[:, split:],
        )

    def _by_judge(
        self, evidence: Evidence, fill: str, needs: frozenset[str], orders: Sequence[Tensor], label: str
    ) -> Evidence:
        """``evidence`` with what a judge says, if ``needs`` names its passes."""
        judge = self.judge
        if judge is None:
            return evidence
        if "parts" in needs:
            top, rest = judge.parts(fill, self.layout, orders)
            evidence = replace(evidence, judge=judge.clean, without_top=top, without_rest=rest)
        if "singles" in needs:
            found = judge.single(fill, self.layout, label)
            worth, rank = (read(self.maps, self.layout) for read in (found.worth, found.rank))
            evidence = replace(evidence, worth=worth, rank=rank, drops=found.drops, measured=found.measured)
        return evidence

    def _rows(
        self, evidence: Evidence, metrics: Sequence[Metric], about: dict[str, str]
    ) -> list[dict[str, Any]]:
        return [
            {"sample": i, **about, "metric": metric.name, "value": value}
            for metric in metrics
            for i, value in zip(self.ids, metric.values(evidence), strict=True)
        ]

    def _curves(self, evidence: Evidence, about: dict[str, str]) -> list[dict[str, Any]]:
        return [
            {"sample": i, **about, "kind": kind, "p": row}
            for kind, p in (("deletion", evidence.deletion), ("insertion", evidence.insertion))
            for i, row in zip(self.ids, p.tolist(), strict=True)
        ]
