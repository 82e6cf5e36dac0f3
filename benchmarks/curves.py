"""How much faster are batched deletion and insertion curves than one sample, one step at a time?

Both ways rank the same maps, remove the same features and fill them with the same values;
the slow one is what a straightforward loop over samples and steps does. The ratio is
taken within one run, on one machine, after a warm-up of each.

    python benchmarks/curves.py [--samples 32] [--steps 20] [--repeats 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from transformers import ViTConfig, ViTForImageClassification

from sidelight.core.tensors import step_counts
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.engine import evaluate_batch
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.metrics.ranking import ranks
from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal
from sidelight.targets import ImageTarget

METRICS = ("deletion_auc", "insertion_auc")


def small_vit() -> ImageTarget:
    """A seeded ViT for 28-pixel images: patch 4, width 96, 4 layers."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=192,
        image_size=28,
        patch_size=4,
        num_channels=1,
        num_labels=10,
        initializer_range=0.2,  # far from uniform outputs, so that the curves have a shape
    )
    return ImageTarget(ViTForImageClassification(config))


@torch.no_grad()
def one_at_a_time(target: ImageTarget, batch: Batch, scores: torch.Tensor, steps: int) -> np.ndarray:
    """``[B, 2]`` deletion and insertion area, every step of every sample its own pass."""
    areas = []
    for row, sample in enumerate(batch.ids):
        inputs = {k: v[row : row + 1] for k, v in batch.inputs.items()}
        flat = scores[row].flatten()[None]
        place = ranks(flat, torch.ones_like(flat, dtype=torch.bool), [sample])[0]
        counts = step_counts(torch.tensor([flat.shape[1]]), steps)[0]
        predicted = int(target.classify(inputs, {}).argmax())
        curves = []
        for keep_top in (False, True):
            p = []
            for count in counts.tolist():
                keep = ((place < count) == keep_top).float().view(1, *scores.shape[1:])
                logits = target.classify(inputs, {"image": keep}, "zero")
                p.append(float(logits.softmax(-1)[0, predicted]))
            curves.append(np.trapezoid(p, counts.numpy() / flat.shape[1]))
        areas.append(curves)
    return np.array(areas)


def batched(
    target: ImageTarget, batch: Batch, scores: torch.Tensor, steps: int, forward_batch: int
) -> np.ndarray:
    """The same by the evaluation engine."""
    settings = EvalSettings(metrics=METRICS, steps=steps, forward_batch=forward_batch)
    result = evaluate_batch(target, batch, {"image": scores}, method="m", signed=False, settings=settings)
    values = {(r["sample"], r["metric"]): r["value"] for r in result.rows}
    return np.array([[values[i, m] for m in METRICS] for i in batch.ids])


def seconds(call: Callable[[], np.ndarray]) -> tuple[float, float, np.ndarray]:
    """How long a call takes on the clock and on the processor, and its result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def measure(samples: int, steps: int, repeats: int, forward_batch: int) -> dict[str, float]:
    """Median seconds of both ways, median ratio and the largest difference of an area."""
    target = small_vit()
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(samples, 1, 28, 28, generator=generator)
    scores = torch.rand(samples, 1, 28, 28, generator=generator)
    batch = Batch({"pixel_values": pixels}, range(samples))
    warm = Batch({"pixel_values": pixels[:2]}, range(2))
    one_at_a_time(target, warm, scores[:2], steps)
    batched(target, warm, scores[:2], steps, forward_batch)
    slow_s, fast_s, cpu_ratio, difference = [], [], [], 0.0
    for _ in range(repeats):  # in turns, so that whatever else the machine does meets both alike
        slow_wall, slow_cpu, slow = seconds(lambda: one_at_a_time(target, batch, scores, steps))
        fast_wall, fast_cpu, fast = seconds(lambda: batched(target, batch, scores, steps, forward_batch))
        slow_s.append(slow_wall)
        fast_s.append(fast_wall)
        cpu_ratio.append(slow_cpu / fast_cpu)
        difference = max(difference, float(np.abs(slow - fast).max()))
    return {
        "samples": samples,
        "steps": steps,
        "threads": torch.get_num_threads(),
        "slow_s": statistics.median(slow_s),
        "fast_s": statistics.median(fast_s),
        "ratio": statistics.median(a / b for a, b in zip(slow_s, fast_s, strict=True)),
        "cpu_ratio": statistics.median(cpu_ratio),
        "max_diff": difference,
    }


def main() -> None:
    """Measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--forward-batch", type=int, default=EvalSettings().forward_batch)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    row = measure(args.samples, args.steps, args.repeats, args.forward_batch)
    texts = [f"{v:.3g}" for v in row.values()]
    Console().print(terminal(text_table("deletion + insertion, one method, small ViT", list(row), [texts])))
    if args.json:
        args.json.write_text(json.dumps([row], indent=1))


if __name__ == "__main__":
    main()
