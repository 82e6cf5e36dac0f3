"""Agreement with evidence, apart by whether the classifier is right: python benchmarks/right_or_wrong.py runs/tweets.

People marked what speaks for the true class. A map shows what speaks for the predicted class. If the prediction is wrong,
the two are about unlike classes, and a faithful map should not agree with people. So the mean over all samples is lower
than what the method reaches, by an amount that depends on the classifier.

The run must be evaluated (`sidelight evaluate`): its `scores.parquet` is read, and its classifier is asked once a sample.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from sidelight.lab.metrics import METRICS
from sidelight.lab.runs.classifier import accuracy
from sidelight.lab.runs.run import Run
from sidelight.lab.tables.markdown import markdown
from sidelight.lab.tables.table import text_table

MEASURED = ("auprc", "pointing_game")
BY = ["modality", "granularity", "metric", "method"]
PARTS = ("right", "wrong", "all")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "run", type=Path, help="evaluated run of a data set with evidence, one label a sample"
    )
    parser.add_argument("--out", type=Path, help="CSV file to write the means to")
    given = parser.parse_args()
    found = means(pd.read_parquet(given.run / "scores.parquet"), rightness(Run.open(given.run)))
    if given.out is not None:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        found.round(6).to_csv(given.out, index=False)
    for (modality, metric), rows in found.groupby(["modality", "metric"]):
        counts = {part: int(rows[f"n_{part}"].max()) for part in PARTS}
        heads = ["method", *(f"{part}, n = {counts[part]}" for part in PARTS)]
        cells = [[r["method"], *(f"{r[part]:.3f}" for part in PARTS)] for _, r in rows.iterrows()]
        print(f"\n{metric} of {modality}\n")
        print(markdown(text_table("", heads, cells)))


def rightness(run: Run) -> dict[int, bool]:
    """Sample number -> is the run's classifier right about it?"""
    target = run.open_target()
    rows = run.tested_rows(run.config.evaluation.count)
    return {i: accuracy(target, [rows[i]]) == 1.0 for i in range(len(rows))}


def means(scores: pd.DataFrame, right: dict[int, bool]) -> pd.DataFrame:
    """Columns :data:`BY`, and for each of :data:`PARTS` the mean and ``n_…``. The better reduction of each method.

    The mean of a method with several seeds is over samples and seeds. Samples without evidence have no value.
    """
    scores = scores[scores["metric"].isin(MEASURED)].dropna(subset=["value"])
    scores = scores.astype(dict.fromkeys((*BY, "reduction"), str))
    scores = scores.assign(right=scores["sample"].map(right))
    readings = []
    for key, rows in scores.groupby([*BY, "reduction"], sort=False):
        parts = {"right": rows[rows["right"]], "wrong": rows[~rows["right"]], "all": rows}
        values = {part: chosen["value"].mean() for part, chosen in parts.items()}
        counts = {f"n_{part}": chosen["sample"].nunique() for part, chosen in parts.items()}
        readings.append(dict(zip([*BY, "reduction"], key, strict=True)) | values | counts)
    return better(pd.DataFrame(readings)).drop(columns="reduction")


def better(readings: pd.DataFrame) -> pd.DataFrame:
    """The reduction of each method with the better mean over all samples, the best method of a metric first."""
    gain = readings["metric"].map(lambda m: 1.0 if METRICS[m].direction == "higher" else -1.0)
    ordered = readings.assign(gain=gain * readings["all"]).sort_values("gain", ascending=False, kind="stable")
    ordered = ordered.drop_duplicates(subset=BY)
    return ordered.sort_values(BY[:-1], kind="stable").drop(columns="gain").reset_index(drop=True)


if __name__ == "__main__":
    main()
