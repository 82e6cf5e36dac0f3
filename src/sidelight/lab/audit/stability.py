"""Does a map stay where it was when the input hardly changes?

Inputs close by come from :mod:`sidelight.lab.audit.nearby`: noise on pixels, near neighbours for words. The figures
are those of Alvarez-Melis and Jaakkola 2018 (local Lipschitz estimate, a largest quotient over draws) and of Yeh
et al. 2019 (largest relative change). Draws that change the prediction are left out: there the map should change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sidelight.lab.audit.base import CHECKS, Check, Findings, Subject, read_maps
from sidelight.lab.audit.nearby import NEARBY
from sidelight.lab.audit.tables import Tally, by_metric, choose, modalities, number, pivot
from sidelight.lab.evaluation.settings import EvalBatch
from sidelight.lab.metrics.ranking import sample_seed
from sidelight.lab.metrics.similarity import spearman
from sidelight.lab.tables.table import Table, text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = {
    "spearman": "Spearman",
    "mean_change": "mean change",
    "max_change": "largest change",
    "lipschitz": "Lipschitz estimate",
}
#: those of them in the picture
DRAWN = {m: METRICS[m] for m in ("spearman", "max_change")}


def change(
    base: Tensor, soft: Tensor, distance: Tensor, valid: Tensor, orders: tuple[Tensor, Tensor], real: Tensor
) -> dict[str, Tensor]:
    """How far maps move with their inputs.

    Args:
        base: ``[B, N]`` maps of the inputs.
        soft: ``[D, B, N]`` maps of the inputs nearby.
        distance: ``[D, B]`` how far these lie off, L2 in the differentiable input; 0 says nothing and is left out.
        valid: ``[D, B]`` whether a draw counts.
        orders: what ranks the features, ``[B, N]`` and ``[D, B, N]``.
        real: ``[B, N]`` which features count.

    Returns:
        ``[B]`` each: ``lipschitz``, the largest ``‖ΔS‖ / ‖Δx‖``; ``max_change`` and ``mean_change`` of
        ``‖ΔS‖ / ‖S‖`` (NaN for a map of zeros); ``spearman``, mean correlation. NaN where no draw counts.
    """
    valid = valid & (distance > 0)
    gone = torch.full_like(distance, torch.nan)
    moved = ((soft - base).masked_fill(~real, 0.0)).norm(dim=2).double()
    size = base.masked_fill(~real, 0.0).norm(dim=1).double()
    relative = torch.where(valid & (size > 0), moved / size.clamp(min=1e-12), gone)
    slope = torch.where(valid, moved / distance.where(distance > 0, torch.ones_like(distance)), gone)
    alike = torch.stack([spearman(orders[0], order, real) for order in orders[1]])
    return {
        "lipschitz": _largest(slope),
        "max_change": _largest(relative),
        "mean_change": relative.nanmean(0),
        "spearman": torch.where(valid, alike, gone).nanmean(0),
    }


def _largest(values: Tensor) -> Tensor:
    """Largest over draws ``[D, B]``, NaN where there is none."""
    found = values.nan_to_num(-torch.inf, posinf=torch.inf).amax(0)
    return found.where(found > -torch.inf, torch.full_like(found, torch.nan))


def measure(subject: Subject) -> Findings:
    """The subject's methods on its samples and on what lies close to them."""
    section, tally = subject.section, Tally()
    batches = subject.batches(section.count)
    kept: list[float] = []
    for batch in subject.track(batches, "stability", len(batches)):
        classes: Tensor = subject.target.encode(batch.inputs).prediction.clone()
        near, distance, valid = _nearby(subject, batch, classes)
        kept += valid.double().mean(0).tolist()
        for name, method in subject.methods().items():
            own = read_maps(method, subject.target, batch, classes, seed=section.seed)
            others = [read_maps(method, subject.target, n, classes, seed=section.seed) for n in near]
            for (modality, reading), first in own.items():
                drawn = [maps[modality, reading] for maps in others]
                values = change(
                    first.soft,
                    torch.stack([d.soft for d in drawn]),
                    distance[modality],
                    valid,
                    (first.order, torch.stack([d.order for d in drawn])),
                    first.real,
                )
                tally.add_each(values, modality=modality, method=name, reading=reading)
    share = round(sum(kept) / max(len(kept), 1), 6)
    return {"rows": tally.rows(), "facts": {"same_prediction": share, "noise": section.noise}}


def _nearby(
    subject: Subject, batch: EvalBatch, classes: Tensor
) -> tuple[list[EvalBatch], dict[str, Tensor], Tensor]:
    """Draws close to a batch, their distances ``[D, B]`` by modality, and whether the prediction stays ``[D, B]``."""
    section, target = subject.section, subject.target
    base = target.features(batch.inputs)
    near: list[EvalBatch] = []
    distance: dict[str, list[Tensor]] = {m: [] for m in target.modalities}
    valid = []
    for draw in range(section.draws):
        seeds = [sample_seed(section.seed, i, 31, draw) for i in batch.ids]
        inputs: Any = NEARBY[target.family](target, batch.inputs, section.noise, seeds)
        near.append(EvalBatch(inputs, batch.ids))
        features = target.features(inputs)
        for modality, x in base.items():
            distance[modality].append((features[modality] - x).flatten(1).double().norm(dim=1).cpu())
        valid.append((target.encode(inputs).prediction == classes).cpu())
    return near, {m: torch.stack(d) for m, d in distance.items()}, torch.stack(valid)


def tables(found: Findings) -> list[Table]:
    """One table a modality, a column a figure."""
    facts = found["facts"]
    out = [text_table("Draws that keep the prediction", ["share"], [[number(facts["same_prediction"], 2)]])]
    for modality in modalities(found["rows"]):
        shown = [{**r, "metric": t} for t, rows in by_metric(found["rows"], modality, METRICS) for r in rows]
        out.append(pivot(f"Change of the map, noise {facts['noise']:g} ({modality})", shown, "metric"))
    return out


def figures(found: Findings) -> dict[str, Figure]:
    """One picture a modality: correlation and relative change of each method."""
    from sidelight.lab.figures.audit import Panel, plot_points

    out = {}
    for modality in modalities(found["rows"]):
        panels = []
        for title, rows in by_metric(found["rows"], modality, DRAWN):
            chosen = choose(rows, lower_is_better=rows[0]["metric"] != "spearman")
            points = {r["method"]: {"": r["mean"]} for r in chosen if r["mean"] is not None}
            if points:
                panels.append(Panel(title, points=points))
        out[f"stability-{modality}"] = plot_points(panels, "")
    return out


CHECKS.add(
    "stability",
    Check(
        name="stability",
        title="Stability",
        question="Does a map stay where it was when the input hardly changes and the prediction not at all? Spearman "
        "near 1 and small changes are steady; a steady map may still be wrong (random maps that do not look at the "
        "input are steadiest), so read this beside faithfulness.",
        settings=("rivals", "count", "noise", "draws"),
        measure=measure,
        tables=tables,
        figures=figures,
    ),
)
