"""What does the training of a scorer cost, in epochs of fine-tuning its classifier? python benchmarks/training_cost.py CONFIG ...

Both are timed on the same rows, with the batch size of the configuration: a step of fine-tuning (the classifier's loss and its
gradient to every weight) and a step of the configured objective. They take turns, and a ratio is taken within each turn.
The steps of the whole training follow from the configuration. A pass without gradient is timed too, because `fit` takes three
of them for a step of fine-tuning.

The classifier has its configured or pretrained weights and is not trained first. This changes no time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.nn.functional import cross_entropy

from sidelight.core.freed_memory import keep_freed_memory
from sidelight.core.processes import timed
from sidelight.inputs.collate import Collator
from sidelight.lab.config.files import load_config
from sidelight.lab.runs.run import Run
from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal
from sidelight.training.cost import PASSES_OF_A_STEP
from sidelight.training.fit_options import split_options
from sidelight.training.loss import ScorerObjective
from sidelight.training.memory import spread_batch
from sidelight.training.network import new_scorer


def measured(path: Path, repeats: int) -> dict[str, Any]:
    """The costs of one configuration."""
    config = load_config(path)
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / config.name, config)
        target, rows = run.new_target(), run.rows("train")
        given = {
            "scorer": run.scorer_config(target),
            "objective": run.objective(),
            "training": config.training,
        }
        (scorer_config, objective, _), _ = split_options({}, given)
        scorer = new_scorer(target, rows, scorer_config)
    module = ScorerObjective(scorer, target, objective).train()
    batch = spread_batch(target, rows, config.training.batch_size, Collator(target))
    inputs = {name: values for name, values in batch.items() if name != "labels"}

    def scorer_step() -> None:
        with target.borrowed():
            module(**batch)["loss"].backward()
        module.zero_grad(set_to_none=True)

    def fine_tuning_step() -> None:
        target.model.requires_grad_(True).train()
        with target.in_training():
            cross_entropy(target.forward_trainable(inputs), batch["labels"]).backward()
        target.model.zero_grad(set_to_none=True)
        target.model.requires_grad_(False).eval()

    turns = [
        [
            timed(step, target.device)
            for step in (fine_tuning_step, scorer_step, lambda: target.encode(inputs))
        ]
        for _ in range(repeats + 1)
    ][1:]  # the first turn is slower
    step = statistics.median(scorer / tuning for tuning, scorer, _ in turns)
    return {
        "configuration": config.name,
        "batch": len(batch["labels"]),
        "epochs": config.training.epochs,
        "scorer step ÷ fine-tuning step": step,
        "fine-tuning epochs": step * config.training.epochs,
        f"fine-tuning step ÷ {PASSES_OF_A_STEP} passes": statistics.median(
            tuning / (PASSES_OF_A_STEP * clean) for tuning, _, clean in turns
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("configs", type=Path, nargs="+")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    # as `fit` does
    keep_freed_memory()
    rows = [measured(path, given.repeats) for path in given.configs]
    names = list(rows[0])
    lines = [[f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values()] for row in rows]
    Console(width=160).print(terminal(text_table("cost of a training", names, lines)))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
