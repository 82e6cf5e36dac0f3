"""Our deletion and insertion curves against Quantus's PixelFlipping: the same numbers, then the time for each.

One model, the same inputs, maps, steps and zero fill. What Quantus does otherwise is met in the open:

* It flips single channels, and a step must divide the number of pixels, so that the three channels of a pixel
  cannot go together. The images here have one channel.
* It has no step 0; ours is the clean probability and is checked against a pass of its own.
* It has no insertion. Flipping the least relevant first and reading the curve backwards is one.
* It takes any Hugging Face model for one of texts, so it is given a plain module around it.
* Its own area (``return_auc_per_sample``) needs ``np.trapz``, which NumPy removed, and does not divide by the
  number of steps. Here both areas are trapezoids over the same shares.

The curves must agree before anything is timed. Then all ways take turns within one run, and every ratio is
taken within one turn, so that whatever else the machine does meets all alike.

A pass of Quantus holds one step of the samples that it was given, so never more rows than there are samples. Ours holds
steps of all samples, as many rows as ``--rows`` says. ``--rows 32`` gives both the same. With ``--methods 8`` eight rankings
of the same samples are measured: ours in one batch, and Quantus one after another.

The images are noise and the maps are random, so each step changes something. With ``--digits`` the images are test digits
of MNIST and the maps are gradient times input, each of another class. Most of such an image is black, as the fill is, and
a step that removes black alone changes nothing.

    python benchmarks/quantus_flipping.py [--digits] [--samples 32] [--methods 8] [--rows 128] [--repeats 9] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import quantus
import torch
from curves import METRICS, one_at_a_time, seconds, small_vit
from rich.console import Console

from sidelight.inputs.base import Batch
from sidelight.lab.data.sets import load_rows
from sidelight.lab.evaluation.engine import evaluate_batch, make_probe
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.metrics.probe import Probe
from sidelight.lab.tables.table import text_table
from sidelight.lab.tables.terminal import terminal
from sidelight.targets import ImageTarget

#: largest difference of two probabilities that is rounding
TOLERANCE = 1e-5
SIDE = 28


class Logits(torch.nn.Module):
    """A Hugging Face classifier of images as a plain module: its logits and nothing else."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, C, H, W]`` to ``[B, K]``."""
        return self.model(x).logits


def small_cnn() -> ImageTarget:
    """A seeded network of two strided convolutions: what surrounds its passes costs more than they do."""
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 8, 3, 2), torch.nn.ReLU(), torch.nn.Conv2d(8, 16, 3, 2), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(16 * 36, 10))
    return ImageTarget(model, layers=["1", "3"])


MODELS: dict[str, Callable[[], ImageTarget]] = {"vit": small_vit, "cnn": small_cnn}


def logits_of(target: ImageTarget) -> torch.nn.Module:
    """What maps images to logits; Quantus would take a Hugging Face model for one of texts."""
    return (Logits(target.model) if hasattr(target.model, "config") else target.model).eval()


def predictions(target: ImageTarget, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """``[B]`` class predicted on the whole input, and its probability."""
    with torch.no_grad():
        p, predicted = logits_of(target)(batch.inputs["pixel_values"]).softmax(-1).max(-1)
    return predicted.cpu().numpy(), p.double().cpu().numpy()


def passed(model: torch.nn.Module, call: Callable[[], Any]) -> int:
    """How many rows ``call`` sends through ``model``."""
    rows: list[int] = []

    def count(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        rows.append(len(next(v for v in (*args, *kwargs.values()) if isinstance(v, torch.Tensor))))

    handle = model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        call()
    finally:
        handle.remove()
    return sum(rows)


def flipped(
    target: ImageTarget, batch: Batch, predicted: np.ndarray, maps: np.ndarray, per_step: int, rows: int
) -> np.ndarray:
    """``[B, K]`` probability of the ``predicted`` class after each step of Quantus, largest ``maps`` first.

    Args:
        maps: ``[B, 1, H, W]`` distinct scores.
        per_step: pixels flipped at a time.
        rows: samples Quantus takes together.
    """
    pixels = batch.inputs["pixel_values"]
    metric = quantus.PixelFlipping(
        features_in_step=per_step,
        perturb_baseline=0.0,
        abs=False,
        normalise=False,
        disable_warnings=True,
    )
    found = metric(
        model=logits_of(target),
        x_batch=pixels.cpu().numpy(),
        y_batch=predicted,
        a_batch=maps,
        device=str(target.device),
        softmax=True,
        batch_size=rows,
    )
    return np.array(found, dtype=np.float64)


def quantus_curves(
    target: ImageTarget, batch: Batch, predicted: np.ndarray, maps: np.ndarray, steps: int, rows: int
) -> tuple[np.ndarray, np.ndarray]:
    """Deletion at steps 1 to K, and insertion at steps 0 to K − 1."""
    per_step = maps[0].size // steps
    deletion = flipped(target, batch, predicted, maps, per_step, rows)
    upside_down = maps.max() + 1 - maps  # Quantus refuses maps that are negative throughout
    return deletion, flipped(target, batch, predicted, upside_down, per_step, rows)[:, ::-1]


def our_curves(
    target: ImageTarget,
    batch: Batch,
    scores: torch.Tensor,
    options: EvalSettings,
    probe: Probe | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Deletion and insertion at steps 0 to K, and ``[B, 2]`` their areas. Methods may share the passes of a ``probe``."""
    maps = {"image": scores}
    found = evaluate_batch(target, batch, maps, method="m", signed=False, settings=options, probe=probe)
    curves = {(c["sample"], c["kind"]): c["p"] for c in found.curves}
    areas = {(r["sample"], r["metric"]): r["value"] for r in found.rows}
    deletion, insertion = (np.array([curves[i, k] for i in batch.ids]) for k in ("deletion", "insertion"))
    return deletion, insertion, np.array([[areas[i, m] for m in METRICS] for i in batch.ids])


def largest_difference(
    target: ImageTarget, batch: Batch, scores: torch.Tensor, options: EvalSettings
) -> float:
    """How far apart the two implementations are, over all steps and both areas.

    Raises:
        SystemExit: further than rounding explains.
    """
    deletion, insertion, areas = our_curves(target, batch, scores, options)
    steps = options.steps
    predicted, clean = predictions(target, batch)
    theirs, backwards = quantus_curves(target, batch, predicted, scores.cpu().numpy(), steps, len(scores))
    full = [np.column_stack([clean, theirs]), np.column_stack([backwards, clean])]
    shares = np.linspace(0, 1, steps + 1)
    apart = [np.abs(deletion - full[0]).max(), np.abs(insertion - full[1]).max()]
    apart += [np.abs(areas[:, i] - np.trapezoid(full[i], shares, axis=1)).max() for i in (0, 1)]
    if max(apart) > TOLERANCE:
        raise SystemExit(
            f"the curves differ by {max(apart):.2g}, more than {TOLERANCE:g}: nothing was timed."
        )
    return float(max(apart))


def turns(ways: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds on the clock and on the processor of every way in every turn, after one that does not count."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, call in ways.items():
            wall, cpu, _ = seconds(call)
            if turn:
                taken[name].append((wall, cpu))
    return taken


def ratio(
    slow: list[tuple[float, float]], fast: list[tuple[float, float]], part: float = 1.0
) -> dict[str, Any]:
    """Median and range of the ratios within a turn, by clock and by processor.

    Args:
        slow, fast: seconds of each turn.
        part: share of the samples that the slow way was given.
    """
    found = {}
    for i, name in enumerate(("wall", "cpu")):
        each = [a[i] / part / b[i] for a, b in zip(slow, fast, strict=True)]
        found[name] = {"median": statistics.median(each), "min": min(each), "max": max(each)}
    return found


def measure(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Agreement, seconds and ratios on one of :data:`MODELS`."""
    samples, steps, device = args.samples, args.steps, args.device
    target = MODELS[name]()
    target.model.to(device).eval()
    pixels, maps = (digits if args.digits else noise)(target, samples, args.methods)
    batch = Batch({"pixel_values": pixels}, range(samples))
    options = EvalSettings(metrics=METRICS, steps=steps, forward_batch=args.rows)
    apart = max(largest_difference(target, batch, scores, options) for scores in maps)
    few = max(1, samples // 8)
    first = Batch({"pixel_values": pixels[:few]}, range(few))
    predicted, _ = predictions(target, batch)

    def ours() -> None:
        own = Batch(batch.inputs, batch.ids)  # without the clean pass of an earlier turn
        probe = make_probe(target, own, options)
        for scores in maps:
            our_curves(target, own, scores, options, probe)

    def theirs() -> None:
        for scores in maps:
            quantus_curves(target, batch, predicted, scores.cpu().numpy(), steps, samples)

    ways = {
        "ours": ours,
        "quantus": theirs,
        "one_at_a_time": lambda: one_at_a_time(target, first, maps[0][:few], steps),
    }
    taken = turns(ways, args.repeats)
    parts = {"ours": 1.0, "quantus": 1.0, "one_at_a_time": few / samples / args.methods}
    return {
        "model": name,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "images": "mnist" if args.digits else "noise",
        "samples": samples,
        "methods": args.methods,
        "one_at_a_time_samples": few,
        "steps": steps,
        "rows_together": {"ours": args.rows, "quantus": samples},
        "rows_passed": {n: passed(target.model, call) for n, call in ways.items()},
        "repeats": args.repeats,
        "threads": torch.get_num_threads(),
        "quantus_version": quantus.__version__,
        "max_difference": apart,
        "median_s": {n: statistics.median(wall for wall, _ in t) / parts[n] for n, t in taken.items()},
        "quantus_over_ours": ratio(taken["quantus"], taken["ours"]),
        "one_at_a_time_over_ours": ratio(taken["one_at_a_time"], taken["ours"], parts["one_at_a_time"]),
    }


def noise(target: ImageTarget, samples: int, methods: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Images ``[B, 1, H, W]`` of noise, and random maps of distinct scores, of the same shape."""
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randn(samples, 1, SIDE, SIDE, generator=generator)
    orders = [
        [torch.randperm(SIDE * SIDE, generator=generator) for _ in range(samples)] for _ in range(methods)
    ]
    maps = [(torch.stack(order) + 1).float().view(pixels.shape) for order in orders]
    return pixels.to(target.device), [scores.to(target.device) for scores in maps]


def digits(target: ImageTarget, samples: int, methods: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Test digits of MNIST in [0, 1], and the order of gradient times input of a class for each method."""
    rows = load_rows("mnist", "test", count=samples)
    images = np.stack([np.asarray(row["image"], dtype=np.float32) / 255 for row in rows])
    pixels = torch.from_numpy(images)[:, None].to(target.device).requires_grad_()
    logits = logits_of(target)(pixels)
    maps = []
    for method in range(methods):
        (slope,) = torch.autograd.grad(logits[:, method % logits.shape[1]].sum(), pixels, retain_graph=True)
        scores = (slope * pixels).detach().abs().flatten(1)
        places = scores.argsort(stable=True).argsort(stable=True)  # distinct, as Quantus wants them
        maps.append((places + 1).float().view(pixels.shape))
    return pixels.detach(), maps


def texts_of(row: dict[str, Any]) -> list[str]:
    """A line of the printed table."""
    seconds_of = [f"{row['median_s'][n]:.3g}" for n in ("ours", "quantus", "one_at_a_time")]
    ratios = [
        "\n".join(f"{n} {r[n]['median']:.2f} ({r[n]['min']:.2f}–{r[n]['max']:.2f})" for n in ("wall", "cpu"))
        for r in (row["quantus_over_ours"], row["one_at_a_time_over_ours"])
    ]
    return [row["model"], str(row["methods"]), *seconds_of, *ratios]


def main() -> None:
    """Check, measure, print a table, write JSON if asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--steps", type=int, default=28, help="must divide 784")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--methods", type=int, default=1, help="rankings of the same samples")
    parser.add_argument("--digits", action="store_true", help="test digits of MNIST, not noise")
    parser.add_argument("--rows", type=int, default=128, help="rows of a pass of ours")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if SIDE * SIDE % args.steps:
        parser.error(
            f"--steps must divide {SIDE * SIDE}: Quantus flips equal numbers of pixels; got {args.steps}."
        )
    found = [measure(model, args) for model in args.models]
    title = "deletion and insertion curves: seconds, and ratios (median, range)"
    heads = ["model", "methods", "ours", "Quantus", "one at a time", "Quantus / ours", "one / ours"]
    Console().print(terminal(text_table(title, heads, map(texts_of, found))))
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
