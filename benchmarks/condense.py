"""A run's results as one small Markdown table: drop / deletion / insertion of each method under each fill.

    python benchmarks/condense.py results/mnist --granularity pixel
    python benchmarks/condense.py results/tweets --granularity token --metrics auprc f1 mean_score

Signed methods are given by the better of their reductions in every single figure. The
standard deviation over scorer seeds, where there are several, follows our own figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sidelight.lab.metrics import METRICS
from sidelight.lab.metrics.statistics import better_reduction

DEFAULT = ("average_drop", "deletion_auc", "insertion_auc")


def condensed(results: Path, granularity: str, metrics: Sequence[str] = DEFAULT) -> str:
    """Markdown of ``results.json`` in a folder, for one granularity."""
    rows = pd.DataFrame(json.loads((results / "results.json").read_text())["rows"])
    rows = rows[(rows.granularity == granularity) & rows.metric.isin(metrics)]
    best = better_reduction(rows).set_index(["method", "fill", "metric"])
    fills = list(dict.fromkeys(rows.fill))
    lines = ["| method | " + " | ".join(fills) + " |", "|---" * (len(fills) + 1) + "|"]
    for method in dict.fromkeys(rows.method):
        cells = [" / ".join(_figure(best, method, fill, m) for m in metrics) for fill in fills]
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    counts = sorted({int(n) for n in best["n"]})
    return "\n".join([*lines, "", f"{' / '.join(map(heading, metrics))}, {granularity}, n = {counts}"])


def heading(name: str) -> str:
    """A metric's name with an arrow to its better side."""
    arrow = "↓" if METRICS[name].direction == "lower" else "↑"
    return f"{name.removesuffix('_auc').replace('_', ' ')} {arrow}"


def _figure(best: pd.DataFrame, method: str, fill: str, metric: str) -> str:
    if (method, fill, metric) not in best.index:
        return "–"
    line = best.loc[(method, fill, metric)]
    spread = line["seed_sd"]
    return f"{line['mean']:.3f}" + (f" ±{spread:.3f}" if spread is not None and spread == spread else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--granularity", default="pixel")
    parser.add_argument("--metrics", nargs="+", default=DEFAULT)
    options = parser.parse_args()
    print(condensed(options.results, options.granularity, options.metrics))
