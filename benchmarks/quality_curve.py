"""How good is a scorer after so much training? python benchmarks/quality_curve.py RUN [--steps 25 50 100 200 400].

For each number of steps one scorer of RUN's objective is trained from the start, with its learning rate brought to an end.
SRG (insertion minus deletion) of each is measured on the first test rows, and that of baseline methods, each in its better
reading, on the same rows. A killed call goes on where it stopped. Writes quality_curve.json and quality_curve.png.

Seconds are those of the processor, with validation, so other work on the machine hardly counts.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from sidelight import Explainer
from sidelight.core.files import read_json, write_json
from sidelight.core.names import OURS, method_label
from sidelight.lab.evaluation.methods import (
    ScorerMethod,
    make_rivals,
    scorer_fingerprint,
    set_reference,
)
from sidelight.lab.evaluation.run import measure
from sidelight.lab.runs.run import Run
from sidelight.viz import style

RIVALS = [{"integrated_gradients": {"n_steps": 32}}, {"gradient_shap": {"n_samples": 10}}, "occlusion"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder with a target")
    parser.add_argument("--steps", type=int, nargs="+", default=[25, 50, 100, 200, 400])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=60, help="test rows")
    parser.add_argument("--fills", nargs="+", default=["zero", "noise", "blur"])
    parser.add_argument("--out", type=Path, default=Path("quality-curve"))
    given = parser.parse_args()
    run = Run.open(given.run)
    target = run.open_target()
    set_reference(run, target)
    trained = {steps: _trained(run, target, steps, given.seed, given.out) for steps in given.steps}
    methods: dict[str, Any] = {
        f"{OURS} ({steps} steps)": ScorerMethod(explainer, scorer_fingerprint(explainer))
        for steps, (explainer, _) in trained.items()
    }
    methods |= {r.name: r for r in make_rivals(RIVALS)}
    found = _srg(run, target, methods, given)
    table = {
        "run": run.config.name,
        "n": given.count,
        "fills": given.fills,
        "scorers": [
            {"steps": steps, "seconds": seconds, "srg": found[f"{OURS} ({steps} steps)"]}
            for steps, (_, seconds) in trained.items()
        ],
        "rivals": {name: found[name] for name in methods if not name.startswith(OURS)},
    }
    (given.out / "quality_curve.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    _plot(table).savefig(given.out / "quality_curve.png", dpi=110)
    print(json.dumps(table, indent=1))


def _trained(run: Run, target: Any, steps: int, seed: int, out: Path) -> tuple[Explainer, float]:
    """The scorer after so many steps, and the seconds of the processor that its training took."""
    folder = out / f"{steps}-steps-{seed}"
    noted = out / f"{steps}-steps-{seed}.json"
    if noted.is_file():
        return Explainer.from_pretrained(folder / "scorer", target), read_json(noted)["seconds"]
    rows, settings = run.rows("train"), run.config.training
    epochs = (steps - 0.5) * settings.batch_size / len(rows)
    start = time.process_time()
    explainer = Explainer.fit(
        target,
        rows,
        eval=run.rows("validation"),
        scorer=run.scorer_config(target),
        objective=run.objective(),
        training=replace(settings, epochs=epochs, evals_per_epoch=1, patience=0, budget=None, seed=seed),
        output_dir=folder,
    )
    seconds = time.process_time() - start
    write_json(noted, {"steps": steps, "seconds": seconds})
    return explainer, seconds


def _srg(
    run: Run, target: Any, methods: dict[str, Any], given: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """For each method and granularity the mean SRG over fills and rows, in the better reading."""
    changes = {"count": given.count, "curve_count": given.count, "fills": given.fills, "metrics": ["srg"]}
    section = run.config.evaluation.model_copy(update=changes)
    asked = replace(run, config=run.config.model_copy(update={"evaluation": section}))
    rows = asked.rows("test", given.count)
    frame, _ = measure(asked, target, rows, methods, given.out / "evaluation")
    means = frame.groupby(["method", "granularity", "reduction", "fill"], observed=True)["value"].mean()
    better = means.groupby(level=["method", "granularity", "fill"], observed=True).max()
    over_fills: pd.Series[float] = better.groupby(level=["method", "granularity"], observed=True).mean()
    grains = list(dict.fromkeys(frame["granularity"]))
    return {name: {g: round(float(over_fills[name, g]), 4) for g in grains} for name in methods}


def _plot(table: dict[str, Any]) -> Figure:
    scorers = table["scorers"]
    grains = list(scorers[0]["srg"])
    with style.house_style():
        figure = Figure(figsize=(4.2 * len(grains), 3.2), layout="constrained")
        for panel, grain in zip(figure.subplots(1, len(grains), squeeze=False)[0], grains, strict=True):
            panel.plot(
                [s["seconds"] for s in scorers], [s["srg"][grain] for s in scorers], "o-", label="sidelight"
            )
            for number, (name, values) in enumerate(table["rivals"].items()):
                panel.axhline(values[grain], color=f"C{number + 1}", ls="--", lw=1, label=method_label(name))
            panel.set(xscale="log", xlabel="seconds of training, one core", ylabel="SRG", title=f"by {grain}")
        panel.legend(fontsize=7)
    return figure


if __name__ == "__main__":
    main()
