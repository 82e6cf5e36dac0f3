"""An ablation's stored rows apart by which modality decides: python benchmarks/decided_by.py runs/scenes.

Writes a Markdown table to the terminal: variant by variant, mean and standard deviation over scorer seeds, for the
samples that need both modalities and for those that words alone decide.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from sidelight.lab.evaluation.modality import DECIDED_BY
from sidelight.lab.runs.run import Run
from sidelight.lab.tables.markdown import markdown
from sidelight.lab.tables.table import text_table

#: shown, as (metric, modality, fill)
COLUMNS = (
    ("auprc", "image", "none"),
    ("pointing_game", "image", "none"),
    ("auprc", "text", "none"),
    ("pointing_game", "text", "none"),
    ("average_drop", "image+text", None),
    ("average_drop", "image", None),
    ("average_drop", "text", None),
    ("mean_score", "image", "none"),
    ("mean_score", "text", "none"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "run", type=Path, help="run folder of a data set whose rows say which modality decides"
    )
    folder = parser.parse_args().run
    run = Run.open(folder)
    scores = pd.read_parquet(folder / "ablation" / "scores.parquet")
    rows = run.rows("test", int(scores["sample"].max()) + 1)
    scores[DECIDED_BY] = scores["sample"].map(lambda i: rows[int(i)][DECIDED_BY])
    fills = [f for f in dict.fromkeys(scores["fill"]) if f != "none"]
    wanted = [(m, g, f) for m, g, fill in COLUMNS for f in ([fill] if fill else fills)]
    for answer, part in scores.dropna(subset=["value"]).groupby(DECIDED_BY):
        print(f"\nDecided by {answer}, n = {part['sample'].nunique()}\n")
        heads = [f"{m.replace('_', ' ')} {g}" + ("" if f == "none" else f", {f}") for m, g, f in wanted]
        rows = [
            [variant, *(_cell(part[part["variant"] == variant], *column) for column in wanted)]
            for variant in dict.fromkeys(scores["variant"])
        ]
        print(markdown(text_table("", ["variant", *heads], rows)))


def _cell(part: pd.DataFrame, metric: str, modality: str, fill: str) -> str:
    found = part[(part["metric"] == metric) & (part["modality"] == modality) & (part["fill"] == fill)]
    if found.empty:
        return "–"
    seeds = found.groupby("seed")["value"].mean()
    spread = f" ±{seeds.std(ddof=1):.3f}" if len(seeds) > 1 else ""
    return f"{seeds.mean():.3f}{spread}"


if __name__ == "__main__":
    main()
