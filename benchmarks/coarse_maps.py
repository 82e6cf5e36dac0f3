"""What does a ranking lose if its scorer gives one value for a cell of pixels? python benchmarks/coarse_maps.py RUN

The scorers of RUN are asked for rankings as they are, and after a mean over cells of 4 and of 8 pixels that is stretched
back. A decoder whose last stage is coarser can make at least such rankings, for a fraction of the cost. So this is the most
that it loses, before any training.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sidelight.lab.evaluation.engine import evaluate_batch, make_probe
from sidelight.lab.evaluation.methods import set_reference
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.runs.run import Run
from sidelight.lab.tables.markdown import markdown
from sidelight.lab.tables.table import text_table

BATCH = 10
CELLS = (1, 4, 8)
SETTINGS = EvalSettings(
    fills=("zero", "blur"),
    metrics=("deletion_auc", "insertion_auc"),
    steps=10,
    granularities=("pixel", "patch16"),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--count", type=int, default=60, help="pictures at most")
    parser.add_argument("--seeds", type=int, default=3, help="scorers at most")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    run = Run.open(given.run)
    target = run.open_target()
    set_reference(run, target)
    rows = run.tested_rows(given.count)
    scorers = [run.explainer(seed, target, None) for seed in run.config.seeds[: given.seeds]]
    found: dict[tuple[int, str, str], list[float]] = {}
    for start in range(0, len(rows), BATCH):
        ids = list(range(start, min(start + BATCH, len(rows))))
        batch = replace(target.reader.read([rows[i] for i in ids], labelled=False), ids=ids)
        encoding, probe = target.encode(target.to_device(batch.inputs)), make_probe(target, batch, SETTINGS)
        for explainer in scorers:
            ranking = explainer.read(encoding, encoding.prediction).ranking["image"].float()
            for cell in CELLS:
                note(found, cell, target, batch, coarser(ranking, cell), probe)
        print(f"{ids[-1] + 1} of {len(rows)} pictures", flush=True)
    show(found, given.json)


def coarser(ranking: Tensor, cell: int) -> Tensor:
    """``[B, 1, H, W]`` means over cells of ``cell`` pixels, stretched back as a decoder does."""
    small = F.avg_pool2d(ranking, cell, ceil_mode=True)
    return F.interpolate(small, size=ranking.shape[-2:], mode="bilinear", align_corners=False)


def note(
    found: dict[Any, list[float]], cell: int, target: Any, batch: Any, scores: Tensor, probe: Any
) -> None:
    """Keep the areas under the curves of one scorer's rankings."""
    result = evaluate_batch(
        target, batch, {"image": scores}, method="m", signed=False, settings=SETTINGS, probe=probe
    )
    for row in result.rows:
        found.setdefault((cell, row["granularity"], row["metric"]), []).append(row["value"])


def show(found: dict[tuple[int, str, str], list[float]], path: Path | None) -> None:
    """Print and store the means over pictures, fills and scorers."""
    columns = list(dict.fromkeys((g, m) for _, g, m in found))
    means = {c: [float(np.mean(found[c, g, m])) for g, m in columns] for c in CELLS}
    names = ["cell in pixels", *(f"{m} by {g}" for g, m in columns)]
    lines = [[str(c), *(f"{v:.3f}" for v in values)] for c, values in means.items()]
    print(markdown(text_table("", names, lines)))
    if path:
        stored = [dict(zip(["cell", *names[1:]], [c, *values], strict=True)) for c, values in means.items()]
        path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    with torch.inference_mode():
        main()
