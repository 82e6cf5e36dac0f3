"""Does a map stay as it was when the input hardly changes?

Inputs close by come from :mod:`sidelight.lab.audit.nearby`: noise on pixels, near neighbours for words. The measures
are those of Alvarez-Melis and Jaakkola 2018 (local Lipschitz estimate, a largest quotient over draws) and of Yeh
et al. 2019 (largest relative change). Draws that change the prediction do not count, because then the map should
change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sidelight.core.seeds import sample_seed
from sidelight.core.terminal import track
from sidelight.inputs.base import Batch
from sidelight.lab.audit.base import AuditedRun, Findings, check, each_map
from sidelight.lab.audit.nearby import NEARBY
from sidelight.lab.audit.tables import Tally, by_metric, drawn, modalities, number, per_method, pivot
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
#: the metrics in the picture
DRAWN = {m: METRICS[m] for m in ("spearman", "max_change")}


def change(
    base: Tensor, soft: Tensor, distance: Tensor, valid: Tensor, orders: tuple[Tensor, Tensor], real: Tensor
) -> dict[str, Tensor]:
    """The change of maps with their inputs.

    Args:
        base: ``[B, N]`` maps of the inputs.
        soft: ``[D, B, N]`` maps of the inputs nearby.
        distance: ``[D, B]`` their L2 distance in the differentiable input. Draws of distance 0 do not count.
        valid: ``[D, B]`` whether a draw counts.
        orders: values that rank the features, ``[B, N]`` and ``[D, B, N]``.
        real: ``[B, N]`` true for features that count.

    Returns:
        ``[B]`` each, NaN if no draw counts: ``lipschitz``, the largest ``‖ΔS‖ / ‖Δx‖``, ``max_change`` and
        ``mean_change`` of ``‖ΔS‖ / ‖S‖`` (NaN for a map of zeros), and ``spearman``, the mean correlation.
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
    """Largest over draws ``[D, B]``, NaN if there is none."""
    found = values.nan_to_num(-torch.inf, posinf=torch.inf).amax(0)
    return found.where(found > -torch.inf, torch.full_like(found, torch.nan))


def _nearby(
    audited: AuditedRun, batch: Batch, classes: Tensor, verdicts: Tensor
) -> tuple[list[Batch], dict[str, Tensor], Tensor]:
    """Draws close to a batch, their distances ``[D, B]`` by modality, and whether the verdict stays ``[D, B]``."""
    section, target = audited.section, audited.target
    base = target.features(batch.inputs)
    near: list[Batch] = []
    distance: dict[str, list[Tensor]] = {m: [] for m in target.modalities}
    valid = []
    for draw in range(section.draws):
        seeds = [sample_seed(section.seed, i, 31, draw) for i in batch.ids]
        inputs: Any = NEARBY[target.family](target, batch.inputs, section.noise, seeds)
        near.append(Batch(inputs, batch.ids))
        features = target.features(inputs)
        for modality, x in base.items():
            distance[modality].append((features[modality] - x).flatten(1).double().norm(dim=1).cpu())
        valid.append((target.encode(inputs).verdict(classes) == verdicts).cpu())
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
            chosen = per_method(rows, lower_is_better=rows[0]["metric"] != "spearman")
            points = {m: {"": own[-1]["mean"]} for m, own in chosen.items()}
            if points:
                panels.append(Panel(title, points=points, marks=drawn(chosen)))
        out[f"stability-{modality}"] = plot_points(panels, "")
    return out


@check("Stability", ("rivals", "count", "noise", "draws"), tables=tables, figures=figures)
def stability(audited: AuditedRun) -> Findings:
    """Does a map stay where it was when the input hardly changes and the prediction not at all? Spearman
    near 1 and small changes are steady; a steady map may still be wrong (random maps that do not look at the
    input are steadiest), so read this beside faithfulness.
    """
    section, target, tally = audited.section, audited.target, Tally()
    batches = audited.batches(section.count)
    kept: list[float] = []
    for batch in track(batches, "stability", total=len(batches)):
        clean = target.encode(batch.inputs)
        classes = clean.prediction.clone()
        near, distance, valid = _nearby(audited, batch, classes, clean.verdict(classes))
        kept += valid.double().mean(0).tolist()
        # one generator a batch, side by side: only the maps of one method are held at a time
        maps = (each_map(audited.methods(), target, b, classes, seed=section.seed) for b in (batch, *near))
        for (about, own), *others in zip(*maps, strict=True):
            soft, order = (torch.stack([getattr(m, n) for _, m in others]) for n in ("soft", "order"))
            values = change(own.soft, soft, distance[about["modality"]], valid, (own.order, order), own.real)
            tally.add_each(values, **about)
    share = round(sum(kept) / max(len(kept), 1), 6)
    return {"rows": tally.rows(), "facts": {"same_prediction": share, "noise": section.noise}}
