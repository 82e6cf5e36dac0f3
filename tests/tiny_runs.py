"""Run folders that look fitted: random classifiers and scorers, saved without any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sidelight.core.files import write_json
from sidelight.explainer import Explainer
from sidelight.lab.config.files import parse_config
from sidelight.lab.runs.classifier import save_target
from sidelight.lab.runs.run import Run
from sidelight.training.network import new_scorer

IMAGE: dict[str, Any] = {
    "name": "tiny",
    "seeds": [0],
    "data": {"name": "digits", "train": 24, "validation": 8, "test": 8},
    "target": {
        "architecture": {
            "model_type": "resnet",
            "num_channels": 1,
            "embedding_size": 4,
            "hidden_sizes": [4, 8],
            "depths": [1, 1],
            "layer_type": "basic",
        },
        "transform": {"size": [20, 20], "mode": "L", "mean": [0.0], "std": [1.0]},
        "training": {"epochs": 1, "batch_size": 12},
    },
    "scorer": {"channels": [8, 4]},
    "objective": {"label": "prediction"},
    "training": {"epochs": 1, "batch_size": 12, "evals_per_epoch": 1, "on_collapse": "warn"},
    "evaluation": {
        "count": 8,
        "curve_count": 5,
        "batch_size": 3,
        "fills": ["zero"],
        "granularities": ["pixel"],
        "steps": 2,
        "rivals": ["saliency", {"integrated_gradients": {"n_steps": 2}}, "random"],
    },
}
TEXT: dict[str, Any] = {
    **IMAGE,
    "data": {"name": "planted_text", "train": 24, "validation": 8, "test": 8},
    "target": {
        "tokenizer": "planted",
        "architecture": {
            "model_type": "bert",
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 16,
        },
        "training": {"epochs": 1, "batch_size": 12},
    },
    "scorer": {"width": 8, "layers": 1, "heads": 2},
    "evaluation": {**IMAGE["evaluation"], "granularities": []},
}


def tiny_run(folder: Path, values: dict[str, Any] | None = None, seed: int = 0, **sections: Any) -> Run:
    """A run whose target and scorers have random weights, large enough to tell inputs apart.

    Args:
        folder: made here.
        values: :data:`IMAGE` (default) or :data:`TEXT`; ``sections`` replace some of them.
        seed: of the weights.
    """
    run = Run.create(folder, parse_config({**(values or IMAGE), **sections}))
    target = run.new_target()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for parameter in target.model.parameters():
            if parameter.ndim > 1:
                parameter.data.normal_(0, 1.5 / parameter[0].numel() ** 0.5)
        save_target(target, folder / "target", {"accuracy": 0.5})
        scorers = {}
        for number in run.config.seeds:
            scorer = new_scorer(target, run.rows("train", 1), run.scorer_config(target))
            Explainer(target, scorer).save_pretrained(run.scorer_folder(number) / "scorer")
            scorers[str(number)] = {"parameters": scorer.num_parameters, "train_runtime": 1.0}
    facts = {"name": "tiny", "parameters": 1, "accuracy": 0.5, "accuracy_n": 8}
    write_json(folder / "fit.json", {"target": facts, "scorers": scorers})
    return run
