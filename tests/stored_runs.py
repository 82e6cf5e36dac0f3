"""Folders as an evaluation leaves them, from synthetic rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sidelight.core.files import write_json
from sidelight.lab.evaluation.run import as_categories

SETTINGS = (("image", "pixel"),)
PAIRS = (("image+text", "patch4+token"), ("image", "patch4"), ("text", "token"))
METHODS = (
    ("sidelight", "none", 0.2),
    ("rise", "none", 0.3),
    ("integrated_gradients", "abs", 0.5),
    ("integrated_gradients", "positive", 0.4),
    ("saliency", "none", 0.6),
    ("constant", "none", 0.0),
)
METRICS = ("average_drop", "deletion_auc", "insertion_auc")


def stored_run(
    folder: Path,
    dataset: str = "digits",
    settings=SETTINGS,
    fills=("zero",),
    samples: int = 12,
    seed: int = 0,
) -> Path:
    """Write ``results.json``, ``scores.parquet`` and ``curves.parquet``; returns ``folder``."""
    rng = np.random.default_rng(seed)
    rows, curves = [], []
    for modality, grain in settings:
        for method, reduction, level in METHODS:
            key = {"modality": modality, "method": method, "reduction": reduction, "granularity": grain}
            for scorer in (0, 1) if method == "sidelight" else (None,):
                # curves are slow: the last third of the samples has none
                cases = [("none", "mean_score", samples)]
                cases += [
                    (fill, m, samples if m == "average_drop" else 2 * samples // 3)
                    for fill in fills
                    for m in METRICS
                ]
                for fill, metric, count in cases:
                    values = level + 0.1 * rng.random(count)
                    values = 1 - values if metric in ("insertion_auc", "mean_score") else values
                    rows += [
                        {**key, "fill": fill, "metric": metric, "sample": i, "value": v, "seed": scorer}
                        for i, v in enumerate(values)
                    ]
            for fill in fills:
                for kind in ("deletion", "insertion"):
                    mean = np.linspace(1, level, 3) if kind == "deletion" else np.linspace(level, 1, 3)
                    curves += [
                        {
                            **key,
                            "fill": fill,
                            "kind": kind,
                            "share": s,
                            "mean": m,
                            "lo": m - 0.1,
                            "hi": m + 0.1,
                        }
                        for s, m in zip((0, 0.5, 1), mean, strict=True)
                    ]
    folder.mkdir(parents=True)
    as_categories(pd.DataFrame(rows)).to_parquet(folder / "scores.parquet", index=False)
    pd.DataFrame(curves).to_parquet(folder / "curves.parquet", index=False)
    facts = {"name": folder.name, "dataset": dataset, "notes": ["A is B on this target."], "rows": []}
    write_json(folder / "results.json", facts)
    return folder
