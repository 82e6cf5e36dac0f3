"""Do maps change when the model forgets? Cascading parameter randomisation (Adebayo et al. 2018).

The check draws the blocks of a copy of the target anew, one after the other, from the head down to the embedding.
The scorer stays as it is and reads the copy's states. The baseline methods explain the copy for the class
predicted before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sidelight.core.terminal import track
from sidelight.errors import InputError
from sidelight.inputs.base import Batch
from sidelight.lab.audit.base import SIMILARITIES, AuditedRun, Findings, Maps, check, compare, each_map
from sidelight.lab.audit.blocks import (
    copy_target,
    merge_blocks,
    parameter_blocks,
    randomise,
    step_seed,
)
from sidelight.lab.audit.tables import Tally, by_metric, drawn, modalities, number, per_method, pivot
from sidelight.lab.evaluation.settings import Method
from sidelight.lab.tables.table import Table, text_table
from sidelight.targets import TargetModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRAINED = "trained"


def parameter_randomisation(
    target: TargetModel,
    methods: Callable[[TargetModel], Mapping[str, Method]],
    batches: list[Batch],
    steps: int = 8,
    share: float = 0.1,
    seed: int = 0,
) -> Findings:
    """Similarity of every method's maps to those of the trained target, after each step.

    Args:
        target: the trained target. It stays exactly as it is, because all work is done on a copy.
        methods: gives the methods that explain a target, by name.
        batches: samples.
        steps: the largest number of steps. If there are more blocks, neighbours are joined.
        share: of the features in the top-k overlap.

    Returns:
        Rows ``{step, layer, modality, method, reading, metric, mean, sd, n}``, with step 0 for the trained target.
        ``facts["steps"]`` holds the share of predictions that stay after each step.

    Raises:
        InputError: there are no batches.
    """
    if not batches:
        raise InputError("no samples to audit: audit.count must be at least 1.")
    altered = copy_target(target)
    blocks = merge_blocks(parameter_blocks(altered, batches[0].inputs), steps)
    encodings = [target.encode(b.inputs) for b in batches]
    classes = [e.prediction.clone() for e in encodings]
    verdicts = [e.verdict(c) for e, c in zip(encodings, classes, strict=True)]
    del encodings
    found = methods(altered)
    before: dict[tuple[Any, ...], Maps] = {}
    tally, kept = Tally(), []
    for step, block in track([*enumerate([None, *blocks])], "randomising parameters"):
        if block is not None:
            randomise(block, step_seed(seed, step))
        layer = TRAINED if block is None else block.name
        kept.append(
            {"step": step, "layer": layer, "same_prediction": _agreement(altered, batches, classes, verdicts)}
        )
        for number_, (batch, explained) in enumerate(zip(batches, classes, strict=True)):
            for about, own in each_map(found, altered, batch, explained, seed=seed):
                first = before.setdefault((number_, *about.values()), own)
                tally.add_each(compare(first, own, share), step=step, layer=layer, **about)
    return {"rows": tally.rows(), "facts": {"steps": kept}}


def _agreement(
    target: TargetModel, batches: list[Batch], classes: list[Tensor], verdicts: list[Tensor]
) -> float:
    asked = zip(batches, classes, verdicts, strict=True)
    same = [target.encode(b.inputs).verdict(c) == before for b, c, before in asked]
    return round(float(torch.cat(same).float().mean()), 6)


def short(layer: str) -> str:
    """The end of a block's name, for headings.

    Example:
        >>> short("vit.encoder.layer.3 … vit.encoder.layer.2")
        'layer.3 … layer.2'
    """
    return " … ".join(".".join(part.split(".")[-2:]) for part in layer.split(" … "))


def tables(found: Findings) -> list[Table]:
    """One table a modality and metric: methods down, steps across."""
    steps = found["facts"]["steps"]
    out = [
        text_table(
            "Predictions that stay",
            ["", *(short(s["layer"]) for s in steps)],
            [["share", *(number(s["same_prediction"], 2) for s in steps)]],
        )
    ]
    for modality in modalities(found["rows"]):
        for title, rows in by_metric(found["rows"], modality, SIMILARITIES):
            shown = [{**r, "layer": short(r["layer"])} for r in rows]
            out.append(pivot(f"{title} with the trained target's map ({modality})", shown, "layer"))
    return out


def figures(found: Findings) -> dict[str, Figure]:
    """One picture a modality: a panel a metric, a line a method."""
    from sidelight.lab.figures.audit import Panel, plot_lines

    layers = [short(s["layer"]) for s in found["facts"]["steps"]]
    out = {}
    for modality in modalities(found["rows"]):
        panels = []
        for title, rows in by_metric(found["rows"], modality, SIMILARITIES):
            chosen = per_method(rows, lower_is_better=True)
            lines = {m: [(r["step"], r["mean"]) for r in own] for m, own in chosen.items()}
            panels.append(Panel(title, lines, ticks=dict(enumerate(layers)), marks=drawn(chosen)))
        out[f"parameters-{modality}"] = plot_lines(
            panels, "randomised down to, from the head on", "similarity to the trained target's map"
        )
    return out


@check("Parameter randomisation", ("rivals", "count", "steps", "top_share"), tables=tables, figures=figures)
def parameters(audited: AuditedRun) -> Findings:
    """Do maps change when the target's weights are drawn anew, from the head down to the embedding?
    A map that explains the model must: similarity should fall to what unrelated maps have (Spearman 0,
    top-k overlap near the share compared). A method that stays at 1 does not look at the model.
    The scorer reads states below the head, so the head's own step cannot change its map.
    """
    section = audited.section
    batches = list(audited.batches(section.count))
    return parameter_randomisation(
        audited.target, audited.methods, batches, section.steps, section.top_share, section.seed
    )
