"""Where maps point if the evidence is known: python benchmarks/boxes.py RUN [--count 249] [--json FILE].

RUN must be set to rows with evidence, for example by
`sidelight evaluate RUN --set 'evaluation.data={name: object_boxes, split: train}'`.
Each method is read in several ways. Of the ranking, the map and the effects: how often the best pixel lies in a box, the
share of the best tenth and quarter that does, and the overlap (IoU) of the best k pixels with the boxes, where k is the
number of pixels in the boxes. So no threshold and no width of a map counts. Beside them, the overlap of the map above one
half, as `iou` of an evaluation has it.

The last lines ask the target and no map: what does it lose without the boxes, and what without all the rest?
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sidelight.lab.baselines import make_rival
from sidelight.lab.evaluation.methods import set_reference
from sidelight.lab.evaluation.settings import call_method
from sidelight.lab.metrics import iou, pointing_game
from sidelight.lab.metrics.ranking import min_max
from sidelight.lab.runs.run import Run
from sidelight.lab.tables.markdown import markdown
from sidelight.lab.tables.table import text_table

BATCH = 20
COLUMNS = ("best pixel in a box", "best 10 %", "best 25 %", "IoU at the boxes' area", "IoU above 0.5")
FILLS = ("blur", "noise")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--count", type=int, default=249, help="pictures at most")
    parser.add_argument("--rivals", nargs="*", default=["grad_cam", "saliency", "random", "centre"])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    run = Run.open(given.run)
    target = run.open_target()
    set_reference(run, target)
    rows = run.tested_rows(given.count)
    scorers = {
        f"{kind or 'robust'}#{seed}": run.explainer(seed, target, kind)
        for kind in run.kinds
        for seed in run.config.seeds
    }
    rivals = [make_rival(name) for name in given.rivals]
    values: dict[str, list[Tensor]] = {}
    lost: list[Tensor] = []
    for start in range(0, len(rows), BATCH):
        ids = list(range(start, min(start + BATCH, len(rows))))
        batch = target.reader.read([rows[i] for i in ids], labelled=False, evidence=True)
        inputs, truth = target.to_device(batch.inputs), batch.truth["image"].flatten(1)
        encoding = target.encode(inputs)
        for name, read in _readings(scorers, rivals, target, inputs, encoding, ids):
            values.setdefault(name, []).append(_measured(read.flatten(1).float(), truth))
        lost.append(_lost(target, inputs, truth, encoding, ids))
    _show({name: torch.cat(found) for name, found in values.items()}, torch.cat(lost), given.json)


def _readings(
    scorers: dict[str, Any], rivals: list[Any], target: Any, inputs: Any, encoding: Any, ids: list[int]
) -> Iterator[tuple[str, Tensor]]:
    """``(method, reading)`` and its values. A scorer without a ranking of its own has its map alone."""
    for name, explainer in scorers.items():
        by_class = explainer.scorer.config.by_class
        reading = explainer.read(encoding, encoding.prediction if by_class else None)
        yield f"{name}: map", reading.scores["image"]
        if by_class:
            yield f"{name}: ranking", reading.ranking["image"]
            yield f"{name}: effects", reading.effects["image"]
    for rival in rivals:
        raw = call_method(rival, target, inputs, encoding.prediction.clone(), ids, encoding)["image"]
        yield rival.name, raw.clamp(min=0) if rival.signed else raw


def _measured(values: Tensor, truth: Tensor) -> Tensor:
    """``[B, 5]`` of the columns."""
    order = values.sort(dim=1, descending=True, stable=True).indices
    hit = truth.gather(1, order).float()
    n = values.shape[1]
    place = torch.arange(n).expand_as(order)
    inside = truth.sum(1)
    both = (hit * (place < inside[:, None])).sum(1)
    same_area = both / (2 * inside - both).clamp(min=1)
    shares = [hit[:, : int(n * share)].mean(1) for share in (0.1, 0.25)]
    real = torch.ones_like(truth)
    above = iou(min_max(values, real), truth)
    found = torch.stack([pointing_game(values, truth), *shares, same_area, above], 1)
    return found[inside > 0]


def _lost(target: Any, inputs: Any, truth: Tensor, encoding: Any, ids: list[int]) -> Tensor:
    """``[B, 3]`` probability lost without the boxes and without the rest, mean over two fills, and the boxes' area."""
    clean = encoding.probabilities.gather(1, encoding.prediction[:, None]).squeeze(1)
    height, width = inputs["pixel_values"].shape[-2:]
    boxes = truth.view(-1, 1, height, width).float()
    drops = []
    for kept in (1 - boxes, boxes):
        left = []
        for fill in FILLS:
            p = target.classify(inputs, {"image": kept}, fill, ids).softmax(-1)
            left.append(p.gather(1, encoding.prediction[:, None]).squeeze(1))
        drops.append(clean - torch.stack(left).mean(0))
    return torch.stack([*drops, truth.float().mean(1)], 1)[truth.any(1)]


def _show(values: dict[str, Tensor], lost: Tensor, path: Path | None) -> None:
    """Means over the pictures, then over the seeds of a kind, with the deviation of the seeds."""
    needed = lost[:, 0] > lost[:, 1]
    stored: dict[str, Any] = {"n": len(lost), "area": float(lost[:, 2].mean())}
    stored["lost without boxes"], stored["lost without the rest"] = (
        lost[:, 0].mean().item(),
        lost[:, 1].mean().item(),
    )
    stored["boxes matter more"] = int(needed.sum())
    for about, chosen in (("all", torch.ones_like(needed)), ("boxes matter more", needed)):
        seeds: dict[str, list[list[float]]] = {}
        for name, found in values.items():
            kind, _, reading = name.partition(": ")
            key = f"{kind.partition('#')[0]}, by its {reading}" if reading else kind
            seeds.setdefault(key, []).append(found[chosen].mean(0).tolist())
        stored[about] = {
            k: dict(zip(COLUMNS, torch.tensor(v).mean(0).tolist(), strict=True)) for k, v in seeds.items()
        }
        lines = [[k, *(f"{x:.3f}" for x in torch.tensor(v).mean(0).tolist())] for k, v in seeds.items()]
        print(f"\n{int(chosen.sum())} pictures ({about})\n")
        print(markdown(text_table("", ["method", *COLUMNS], lines)))
    print({k: v for k, v in stored.items() if not isinstance(v, dict)})
    if path:
        path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
