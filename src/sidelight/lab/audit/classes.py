"""Does a method draw the class instead of finding it? The share of a map that its predicted class explains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sidelight.core.counted import counted
from sidelight.core.terminal import track
from sidelight.lab.audit.base import AuditedRun, Findings, Maps, check, each_map
from sidelight.lab.audit.tables import Row, drawn, modalities, named, number
from sidelight.lab.metrics.localisation import auprc, pointing_game
from sidelight.lab.tables.table import Table, text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: places at which maps of texts are read and averaged, because texts differ in length
PLACES = 32


def class_share(maps: Tensor, classes: Tensor) -> dict[str, float]:
    """Share of the maps' variance that lies between the means of classes (eta squared, over all features).

    Args:
        maps: ``[M, N]``.
        classes: ``[M]`` class of each sample.

    Returns:
        ``share`` in [0, 1]: 1 if the class decides the whole map, also if all maps are equal.
        ``chance``: its average if classes play no part, ``(C − 1) / (M − 1)``.
        ``adjusted``: the share beyond chance, ``1 − (1 − share)(M − 1) / (M − C)`` (epsilon squared, Kelley 1935),
        NaN for M = C.
    """
    maps = maps.double()
    grand, count = maps.mean(0), len(maps)
    total = float((maps - grand).square().sum())
    members = [maps[classes == c] for c in classes.unique()]
    between = sum(len(m) * float((m.mean(0) - grand).square().sum()) for m in members)
    groups = len(members)
    # if all maps are equal up to rounding, the class explains everything
    share = min(between / total, 1.0) if total > 1e-12 * float(maps.square().sum()) else 1.0
    spare = count - groups
    adjusted = 1 - (1 - share) * (count - 1) / spare if spare > 0 else float("nan")
    chance = (groups - 1) / (count - 1) if count > 1 else 1.0
    return {"share": share, "adjusted": adjusted, "chance": chance}


def mean_of_others(maps: Tensor, classes: Tensor) -> Tensor:
    """For each sample the mean map of the others of its class: ``[M, N]``, NaN if there are none."""
    maps, out = maps.double(), torch.full(maps.shape, torch.nan, dtype=torch.float64)
    for c in classes.unique():
        own = (classes == c).nonzero().flatten()
        if len(own) > 1:
            out[own] = (maps[own].sum(0) - maps[own]) / (len(own) - 1)
    return out


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation of each pair of rows: ``[M]``, NaN if either is constant or not finite."""
    a, b = (m.double() - m.double().mean(1, keepdim=True) for m in (a, b))
    scale = a.norm(dim=1) * b.norm(dim=1)
    found = (a * b).sum(1) / scale.where(scale > 1e-12, torch.ones_like(scale))
    return found.where(scale > 1e-12, torch.full_like(found, torch.nan))


def to_places(soft: Tensor, real: Tensor, places: int = PLACES) -> Tensor:
    """Maps of different lengths, read at evenly spaced places from the first real feature to the last.

    Args:
        soft: ``[B, N]``.
        real: ``[B, N]`` which features count.
        places: P.

    Returns:
        ``[B, P]``, interpolated linearly.
    """
    out = [
        np.interp(np.linspace(0, 1, places), np.linspace(0, 1, len(own)), own)
        if len(own) > 1
        else np.full(places, own)
        for own in (row[keep].numpy() for row, keep in zip(soft, real, strict=True))
    ]
    return torch.from_numpy(np.stack(out))


def from_places(at: Tensor, real: Tensor) -> Tensor:
    """Inverse of :func:`to_places`: ``[B, P]`` laid on the real features of ``[B, N]``, 0 elsewhere."""
    out = torch.zeros(real.shape, dtype=torch.float64)
    for row, own, keep in zip(out, at, real, strict=True):
        count = int(keep.sum())
        grid = np.linspace(0, 1, count) if count > 1 else np.array([0.5])
        row[keep] = torch.from_numpy(np.interp(grid, np.linspace(0, 1, len(own)), own.numpy()))
    return out


@dataclass
class Collected:
    """Maps of one method and reading over all samples, made comparable, and the known evidence."""

    maps: list[Tensor] = field(default_factory=list)
    parts: list[tuple[Maps, Tensor | None]] = field(default_factory=list)

    def add(self, maps: Maps, truth: Tensor | None) -> None:
        """Add the maps of one batch, and the evidence ``[B, N]`` if it is known."""
        self.maps.append(maps.soft if maps.grid is not None else to_places(maps.soft, maps.real))
        self.parts.append((maps, truth))

    def describe(self, classes: Tensor) -> Row:
        """The row of the method: class share, likeness to mean maps, and localisation."""
        maps = torch.cat(self.maps).double()
        one = torch.zeros_like(classes)
        of_class, of_all = mean_of_others(maps, classes), mean_of_others(maps, one)
        row: Row = {**class_share(maps, classes), "samples": len(maps), "classes": len(classes.unique())}
        row["like_its_class"] = _mean(correlation(maps, of_class))
        row["like_all"] = _mean(correlation(maps, of_all))
        for name, means in (("own", None), ("class_mean", of_class), ("overall_mean", of_all)):
            row |= {f"{metric}_{name}": value for metric, value in self._localised(means).items()}
        return {k: None if isinstance(v, float) and v != v else v for k, v in row.items()}

    def _localised(self, means: Tensor | None) -> dict[str, float]:
        """Localisation of the maps, or of ``means`` ``[M, ...]`` in their place. It is empty without truth."""
        found: dict[str, list[Tensor]] = {"auprc": [], "pointing_game": []}
        start = 0
        for maps, truth in self.parts:
            rows = slice(start, start + len(maps.real))
            start = rows.stop
            if truth is None:
                continue
            order = maps.order.double()
            if means is not None:
                order = means[rows] if maps.grid is not None else from_places(means[rows], maps.real)
            known = torch.isfinite(order).all(1)
            for metric, function in (("auprc", auprc), ("pointing_game", pointing_game)):
                values = function(order.nan_to_num(0.0), truth, maps.real)
                found[metric].append(values.where(known, torch.full_like(values, torch.nan)))
        return {metric: _mean(torch.cat(values)) for metric, values in found.items() if values}


def _mean(values: Tensor) -> float:
    return float(values.double().nanmean())


COLUMNS = {
    "share": "explained by class",
    "adjusted": "beyond chance",
    "like_its_class": "like its class",
    "like_all": "like all",
    "auprc_own": "AUPRC",
    "auprc_class_mean": "AUPRC of class mean",
    "auprc_overall_mean": "AUPRC of overall mean",
}


def tables(found: Findings) -> list[Table]:
    """One table a modality."""
    out = []
    for modality in modalities(found["rows"]):
        rows = [r for r in found["rows"] if r["modality"] == modality]
        columns = {k: v for k, v in COLUMNS.items() if any(r.get(k) is not None for r in rows)}
        cells = [[named(r), *(number(r.get(k)) for k in columns)] for r in rows]
        out.append(
            text_table(
                f"{modality}: {_about(rows[0])}",
                ["method", *columns.values()],
                cells,
            )
        )
    return out


def _about(row: Row) -> str:
    """How many samples and classes there were. Shares of one class are 0 for every method, which looks like a good result."""
    classes = counted(row["classes"], "predicted class", "predicted classes")
    told = f"{counted(row['samples'], 'sample')} of {classes}"
    if row["classes"] == 1:
        return f"{told}, so nothing is known of a bias: it shows only between classes"
    return f"{told}, chance {number(row['chance'])}"


def figures(found: Findings) -> dict[str, Figure]:
    """One picture a modality: variance explained by the class, and localisation of maps and of class means."""
    from sidelight.lab.figures.audit import Panel, plot_points

    out = {}
    for modality in modalities(found["rows"]):
        # one line a method: the reading that the class explains least
        best: dict[str, Row] = {}
        for row in (r for r in found["rows"] if r["modality"] == modality):
            if row["method"] not in best or row["share"] < best[row["method"]]["share"]:
                best[row["method"]] = row
        marks = drawn({m: [r] for m, r in best.items()})
        shares = {m: {"": r["share"]} for m, r in best.items()}
        panels = [Panel("variance explained by the class", points=shares, marks=marks)]
        names = {
            "auprc_own": "its map",
            "auprc_class_mean": "mean map of its class",
            "auprc_overall_mean": "mean map",
        }
        located = {
            m: {label: r[k] for k, label in names.items() if r.get(k) is not None} for m, r in best.items()
        }
        if any(located.values()):
            panels.append(Panel("AUPRC", points={m: p for m, p in located.items() if p}, marks=marks))
        out[f"classes-{modality}"] = plot_points(panels, "")
    return out


@check("Class bias", ("rivals", "count_wide"), tables=tables, figures=figures)
def classes(audited: AuditedRun) -> Findings:
    """Does a method draw the class instead of finding it? The share of its maps' variance that the predicted
    class explains should be near chance where classes appear anywhere in the input; near 1, the map is a
    picture of the class. Where the evidence is known, a map must point better than the mean map of the other
    samples of its class.
    """
    target, section = audited.target, audited.section
    batches = audited.batches(section.count_wide)
    collected: dict[tuple[str, ...], Collected] = {}
    predicted = []
    for batch in track(batches, "class bias", total=len(batches)):
        found: Tensor = target.encode(batch.inputs).prediction.clone()
        predicted.append(found.cpu())
        for about, own in each_map(audited.methods(), target, batch, found, seed=section.seed):
            truth = None if batch.truth is None else batch.truth.get(about["modality"])
            flat = None if truth is None else truth.cpu().flatten(1).bool()
            collected.setdefault(tuple(about.values()), Collected()).add(own, flat)
    rows = []
    for key, gathered in collected.items():
        row = gathered.describe(torch.cat(predicted))
        plain = {k: round(v, 6) if isinstance(v, float) else v for k, v in row.items()}
        rows.append({**dict(zip(("modality", "method", "reading"), key, strict=True)), **plain})
    return {"rows": rows, "facts": {}}
