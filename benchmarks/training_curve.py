"""How fast does a scorer rank better than other methods? python benchmarks/training_curve.py runs/mnist [--out FOLDER].

Nothing is trained. The logs of a run's scorers hold the rank loss of each validation: 1 − p(best share kept) + p(best share
removed), mean over shares, single features and groups of them, and the fills of the training. So 1 minus this loss is SRG,
insertion minus deletion, as a mean over all that. The same rows and draws measure the order of baseline methods here, each
in its better reading. Our order is measured with the noise that training has, and theirs without. The stored scorers are
measured again in both ways, so the first of these two numbers must be that of the log.

Writes training_curve.json and training_curve.png. Seconds are those of the machine that trained.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from sidelight.core.names import method_label
from sidelight.lab.baselines import make_rival
from sidelight.lab.evaluation.settings import call_method
from sidelight.lab.runs.run import Run
from sidelight.training.loss import ScorerObjective
from sidelight.training.ranking import rank_loss
from sidelight.training.step import Step
from sidelight.viz import style

RIVALS: dict[str, dict[str, int]] = {
    "integrated_gradients": {"n_steps": 32},
    "gradient_shap": {"n_samples": 10},
    "occlusion": {},
    "random": {},
}
#: so large beside the noise that only the order counts
LOUD = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    given = parser.parse_args()
    run = Run.open(given.run)
    curves = {seed: _validations(run.scorer_folder(seed) / "log.csv") for seed in run.config.seeds}
    table = {"run": run.config.name, "validations": curves, **_measured(run)}
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "training_curve.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    _plot(table).savefig(given.out / "training_curve.png", dpi=110)
    print(json.dumps(table, indent=1))


def _validations(path: Path) -> list[dict[str, float]]:
    """Step, seconds and SRG of each validation. The last line of a log repeats the best."""
    log = pd.read_csv(path)
    found = log[log["eval_rank"].notna() & (log["step"] > 0)]
    return [
        {"step": int(r.step), "seconds": float(r.seconds), "srg": round(1 - float(r.eval_rank), 4)}
        for r in found.itertuples()
    ]


@torch.no_grad()
def _measured(run: Run) -> dict[str, Any]:
    """SRG of the stored scorers and of the baseline methods on the validation rows."""
    target, rows, size = run.open_target(), run.rows("validation"), run.config.training.batch_size
    scorers = {seed: run.explainer(seed, target).scorer.eval() for seed in run.config.seeds}
    losses: dict[str, list[Tensor]] = {}
    for start in range(0, len(rows), size):
        ids = list(range(start, min(start + size, len(rows))))
        batch = target.reader.read([rows[i] for i in ids])
        inputs = target.to_device(batch.inputs)
        for seed, scorer in scorers.items():
            step = ScorerObjective(scorer, target, run.objective()).eval().step(inputs, batch.labels)
            losses.setdefault(f"ours {seed}", []).append(rank_loss(step))
            losses.setdefault(f"ours {seed}, without noise", []).append(_loss_of(step, step.ranking))
        for name, reading, raw in _rival_maps(target, inputs, step, ids):
            losses.setdefault(f"{name} ({reading})", []).append(_loss_of(step, raw))
    srg = {name: round(1 - float(torch.cat(found).mean()), 4) for name, found in losses.items()}
    better = {n: max(v for k, v in srg.items() if k.startswith(f"{n} (")) for n in RIVALS}
    return {"n": len(rows), "ours": {k: v for k, v in srg.items() if k.startswith("ours")}, "rivals": better}


def _rival_maps(
    target: Any, inputs: Any, step: Step, ids: list[int]
) -> list[tuple[str, str, dict[str, Tensor]]]:
    found = []
    for name, options in RIVALS.items():
        rival = make_rival(name, **options)
        with torch.enable_grad():
            raw = call_method(rival, target, inputs, step.goal.argmax(-1), ids, step.encoding)
        raw = {m: v.detach().float() for m, v in raw.items()}
        found.append((name, "as it is", raw))
        if rival.signed:
            found.append((name, "absolute", {m: v.abs() for m, v in raw.items()}))
    return found


def _loss_of(step: Step, raw: Any) -> Tensor:
    """``[B]`` rank loss of an order, whatever the spread of its scores."""
    spread = {
        m: v / v.flatten(1).std(1).clamp(min=1e-12).view(-1, *[1] * (v.ndim - 1)) for m, v in raw.items()
    }
    ranking = {m: LOUD * v for m, v in spread.items()}
    return rank_loss(replace(step, raw=replace(step.raw, ranking=ranking)))


def _plot(table: dict[str, Any]) -> Figure:
    with style.house_style():
        figure = Figure(figsize=(5.4, 3.4), layout="constrained")
        panel = figure.subplots()
        for points in table["validations"].values():
            label = "sidelight, three seeds" if not panel.lines else None
            panel.plot(
                [p["seconds"] for p in points], [p["srg"] for p in points], "o-", color="C0", label=label
            )
        for number, (name, value) in enumerate(table["rivals"].items()):
            panel.axhline(
                value, color=f"C{number + 1}", ls="--", lw=1, label=f"{method_label(name)} {value:.2f}"
            )
        panel.set(xlabel="seconds of training", ylabel="SRG on validation rows", xlim=(0, None))
        panel.legend(fontsize=7)
    return figure


if __name__ == "__main__":
    main()
