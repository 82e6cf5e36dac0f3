"""What does an explanation cost on a GPU, beside its classification? And a training of a scorer, beside fine-tuning?

Random weights of published shapes, so nothing is downloaded. Every ratio is taken within one turn. For each model,
precision and batch: milliseconds of classifying, explain ÷ classify, inputs per second, and peak memory of both. Compiled
rows are of :meth:`Explainer.module` beside the classifier, both compiled (``--compile``).

    benchmarks/gpu.sh [--model vit-b16 ...] [--batch 1 --batch 32] [--compile] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from sidelight.core.processes import device, timed
from sidelight.explainer import Explainer
from sidelight.lab.speed.measure import peak_memory
from sidelight.lab.speed.subjects import speed_subject
from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal
from sidelight.scorers import ScorerConfig
from sidelight.targets.base import TargetModel
from sidelight.training.loss import ScorerObjective
from sidelight.training.network import scorer_of
from sidelight.training.presets import objective_of

MODELS = ("vit-b16", "convnext-t", "roberta-base-shape", "minilm-l6", "vit-roberta-shape")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}
#: samples of one step of a training
STEP = 32
#: key of a row -> heading of its column
WHAT = {"model": "model", "precision": "precision", "batch": "batch"}
COSTS = {
    "mode": "mode",
    "classify_ms": "classify ms",
    "ratio": "explain ÷ classify",
    "per_second": "explained / s",
    "classify_mb": "classify MB",
    "explain_mb": "explain MB",
}
TRAINING = {
    "fine_tuning_ms": "fine-tuning step ms",
    "robust_ms": "robust step ms",
    "ratio": "robust ÷ fine-tuning",
    "robust_mb": "MB",
}


def turns(first: Callable[[], Any], second: Callable[[], Any], repeats: int) -> tuple[float, float, float]:
    """Median seconds of both, and the median ratio second ÷ first, called by turns after three calls to warm up."""
    place = device()
    for _ in range(3):
        first(), second()
    pairs = [(timed(first, place), timed(second, place)) for _ in range(repeats)]
    ratio = statistics.median(b / a for a, b in pairs)
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs), ratio


def costs(
    explainer: Explainer, inputs: Any, batches: list[int], repeats: int, about: dict[str, Any]
) -> list[dict[str, Any]]:
    """Rows of eager passes."""
    target, rows = explainer.target, []
    scorer = explainer.scorer.eval()
    for batch in batches:
        part = {k: v[:batch] for k, v in target.to_device(inputs).items()}

        def classify(part: Any = part) -> Any:
            return target.forward(part, target.features(part))

        def explain(part: Any = part) -> Any:
            encoding = target.encode(part)
            return scorer.reading(encoding, encoding.prediction)

        with target.borrowed(), torch.inference_mode():
            rows.append({**about, "mode": "eager", **measured(classify, explain, batch, repeats)})
    return rows


def measured(
    classify: Callable[[], Any], explain: Callable[[], Any], batch: int, repeats: int
) -> dict[str, Any]:
    """One row: times by turns, and the peak memory of each alone."""
    alone, both, ratio = turns(classify, explain, repeats)
    with peak_memory() as first:
        classify()
    with peak_memory() as second:
        explain()
    return {
        "batch": batch,
        "classify_ms": round(1e3 * alone, 3),
        "explain_ms": round(1e3 * both, 3),
        "ratio": round(ratio, 4),
        "per_second": round(batch / both, 1),
        "classify_mb": round(first.mb, 1),
        "explain_mb": round(second.mb, 1),
    }


def compiled(
    explainer: Explainer, inputs: Any, batches: list[int], repeats: int, about: dict[str, Any]
) -> list[dict[str, Any]]:
    """Rows of compiled modules, with fixed shapes and CUDA graphs."""
    rows = []
    module = explainer.module()
    options = {"mode": "reduce-overhead"} if device().type == "cuda" else {}
    names = [n for n in inputs if n != "special_tokens_mask"]
    for batch in batches:
        part = {k: v[:batch].contiguous() for k, v in module.moved(inputs).items() if k in names}
        plain: nn.Module = torch.compile(explainer.target.model, **options)  # type: ignore[assignment]
        whole: nn.Module = torch.compile(module, **options)  # type: ignore[assignment]

        def classify(part: Any = part, model: nn.Module = plain) -> Any:
            return model(**part).logits

        def explain(part: Any = part, model: nn.Module = whole) -> Any:
            return model(**part)

        try:
            with torch.no_grad():
                rows.append({**about, "mode": "compiled", **measured(classify, explain, batch, repeats)})
        except Exception as error:  # noqa: BLE001 - a compiler that fails is a result, and the others go on
            print(f"{about}: not compiled: {type(error).__name__}: {str(error)[:300]}", flush=True)
        torch._dynamo.reset()
    return rows


def training_step(target: TargetModel, inputs: Any, repeats: int, about: dict[str, Any]) -> dict[str, Any]:
    """Seconds of one step of ``robust``, beside one of fine-tuning the target on the same batch."""
    batch = target.to_device(inputs)
    scorer = scorer_of(target, batch, ScorerConfig(by_class=True)).to(device()).train()
    module = ScorerObjective(scorer, target, objective_of("robust"))
    taught = torch.optim.AdamW(scorer.parameters())
    precise = {"device_type": device().type, "dtype": torch.bfloat16, "enabled": about["precision"] == "bf16"}
    labels = torch.zeros(len(next(iter(batch.values()))), dtype=torch.long, device=device())

    def robust() -> None:
        with target.borrowed(), torch.autocast(**precise):
            module(labels, **batch)["loss"].backward()
        taught.step()
        taught.zero_grad()

    model = target.model
    tuned = torch.optim.SGD(model.parameters(), lr=0.0)  # nothing moves, so that every turn is alike

    def fine_tune() -> None:
        model.requires_grad_(True).train()
        with torch.autocast(**precise):
            loss = nn.functional.cross_entropy(target.forward_trainable(batch).float(), labels)
        loss.backward()
        tuned.step()
        tuned.zero_grad()
        model.requires_grad_(False).eval()

    alone, both, ratio = turns(fine_tune, robust, repeats)
    with peak_memory() as peak:
        robust()
    return {
        **about,
        "batch": len(labels),
        "fine_tuning_ms": round(1e3 * alone, 2),
        "robust_ms": round(1e3 * both, 2),
        "ratio": round(ratio, 3),
        "robust_mb": round(peak.mb, 1),
    }


def show(title: str, columns: dict[str, str], rows: list[dict[str, Any]]) -> None:
    """Print rows as a table.

    Args:
        columns: key of a row -> heading.
    """
    lines = [[str(row[key]) for key in columns] for row in rows]
    Console(width=140).print(terminal(text_table(title, list(columns.values()), lines, left=False)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", action="append", help=f"default: {', '.join(MODELS)}")
    parser.add_argument("--batch", action="append", type=int, help="default: 1 and 32")
    parser.add_argument("--precision", action="append", choices=list(PRECISIONS), help="default: both")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument(
        "--compile", action="append", default=[], metavar="MODEL", help="also compile this model"
    )
    parser.add_argument(
        "--step", type=int, default=STEP, help="samples of a training's step, 0 for no training"
    )
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    batches = given.batch or [1, 32]
    rows: list[dict[str, Any]] = []
    steps: list[dict[str, Any]] = []
    name = (
        torch.cuda.get_device_name() if device().type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    )
    print(f"device: {name}; torch {torch.__version__}", flush=True)
    for model in given.model or MODELS:
        for precision in given.precision or PRECISIONS:
            about = {"model": model, "precision": precision}
            size = max(*batches, given.step)
            explainer, inputs = speed_subject(model, size, dtype=PRECISIONS[precision])
            rows += costs(explainer, inputs, batches, given.repeats, about)
            if model in given.compile:
                rows += compiled(explainer, inputs, batches, given.repeats, about)
            for row in rows[-len(batches) :]:
                print(row, flush=True)
            if given.step:
                explainer.target.model.float()  # autocast, as fit trains
                part = {k: v[: given.step] for k, v in inputs.items()}
                steps.append(training_step(explainer.target, part, max(3, given.repeats // 3), about))
                print(steps[-1], flush=True)
    show("explaining", WHAT | COSTS, rows)
    show("training", WHAT | TRAINING, steps)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"device": name, "costs": rows, "training": steps}, indent=1) + "\n")
        print(f"numbers: {given.json}")


if __name__ == "__main__":
    main()
