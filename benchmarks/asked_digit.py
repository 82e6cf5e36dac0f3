"""Where maps of an asked label point: python benchmarks/asked_digit.py runs/two_digits.

Pictures with two different digits that the classifier sees both. Every method is asked for the one digit, then for the
other. The table says how often the best pixel lies in the half with the asked digit (chance: 50%), and how often on its
ink. The last columns remove half a picture instead of trusting maps: the probability of the asked digit that is lost with
its own half, and with the other half. Each seed of our scorer has a row. The last line has the signs of their effects in the
asked half, of the digit and of its opposite.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sidelight.core.names import OURS
from sidelight.core.tensors import probabilities
from sidelight.lab.baselines import make_rival
from sidelight.lab.data.two_digits import SIDE, ink_of
from sidelight.lab.evaluation.settings import call_method
from sidelight.lab.runs.run import Run
from sidelight.lab.tables.markdown import markdown
from sidelight.lab.tables.table import text_table

METHODS = ("saliency", "integrated_gradients", "grad_cam", "occlusion", "random")
BATCH = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of two_digits")
    parser.add_argument("--count", type=int, default=500, help="test pictures to look through")
    given = parser.parse_args()
    run = Run.open(given.run)
    target, rows = run.open_target(), run.rows("test", given.count)
    explainers = {f"{OURS}, seed {seed}": run.explainer(seed, target) for seed in run.config.seeds}
    asked = _asked(target, rows)
    hits: dict[str, list[tuple[bool, bool]]] = {}
    signs: list[tuple[bool, bool]] = []
    lost: list[tuple[float, float]] = []
    for start in range(0, len(asked), BATCH):
        part = asked[start : start + BATCH]
        inputs = target.to_device(target.reader.read([rows[i] for i, _, _ in part], labelled=False).inputs)
        classes = torch.tensor([label for _, label, _ in part])
        encoding = target.encode(inputs)
        maps = {}
        for name, explainer in explainers.items():
            own, against = (explainer.read(encoding, asked_for) for asked_for in (classes, classes + 10))
            maps[name] = own.ranking["image"]
            halves = zip(own.effects["image"], against.effects["image"], part, strict=True)
            for yes, no, (_, _, half) in halves:
                signs.append((float(_half(yes, half).sum()) > 0, float(_half(no, half).sum()) < 0))
        for name in METHODS:
            rival = make_rival(name)
            raw = call_method(rival, target, inputs, classes, [i for i, _, _ in part], encoding)["image"]
            maps[name] = raw.clamp(min=0) if rival.signed else raw
        for name, found in maps.items():
            hits.setdefault(name, []).extend(_hits(found, part, rows))
        lost += _lost(target, inputs, classes, [half for _, _, half in part], encoding)
    shares = [[name, *(f"{100 * v:.1f}" for v in np.mean(found, axis=0))] for name, found in hits.items()]
    print(f"\n{len(asked)} questions about {len(asked) // 2} pictures\n")
    print(markdown(text_table("", ["method", "right half %", "on the digit %"], shares)))
    own_half, other_half = np.mean(lost, axis=0)
    print(f"\nprobability lost without its own half {own_half:.3f}, without the other {other_half:.3f}")
    yes, no = np.mean(signs, axis=0)
    print(f"effects of the own half: for the digit {100 * yes:.1f}%, against its opposite {100 * no:.1f}%")


def _asked(target: Any, rows: Any) -> list[tuple[int, int, int]]:
    """Row, label and half of every question: both digits of pictures of which the classifier says exactly both."""
    found = []
    for start in range(0, len(rows), BATCH):
        numbers = range(start, min(start + BATCH, len(rows)))
        batch = target.reader.read([rows[i] for i in numbers], labelled=True)
        said = target.encode(target.to_device(batch.inputs)).logits[:, :10] >= 0
        right = (said.cpu() == batch.labels.bool()).all(1).tolist()
        for i, good in zip(numbers, right, strict=True):
            left, second = rows[i]["digits"]
            if good and left != second and min(left, second) >= 0:
                found += [(i, left, 0), (i, second, 1)]
    return found


def _half(values: Tensor, half: int) -> Tensor:
    return values[..., half * SIDE : (half + 1) * SIDE]


def _hits(maps: Tensor, part: list[tuple[int, int, int]], rows: Any) -> list[tuple[bool, bool]]:
    found = []
    for values, (i, label, half) in zip(maps.squeeze(1).cpu().numpy(), part, strict=True):
        place = np.unravel_index(values.argmax(), values.shape)
        found.append((int(place[1]) // SIDE == half, bool(ink_of(rows[i], label)[place])))
    return found


@torch.no_grad()
def _lost(
    target: Any, inputs: dict[str, Tensor], classes: Tensor, halves: list[int], encoding: Any
) -> list[tuple[float, float]]:
    column = torch.arange(2 * SIDE) // SIDE
    clean = encoding.probabilities.gather(1, classes[:, None]).squeeze(1)
    drops = []
    for own in (True, False):
        gone = torch.stack([(column == half) == own for half in halves])[:, None, None]
        scores = {"image": (~gone).float().expand(-1, 1, SIDE, -1)}
        p = probabilities(target.classify(inputs, scores, "black"), target.independent)
        drops.append((clean - p.gather(1, classes[:, None]).squeeze(1)).tolist())
    return list(zip(*drops, strict=True))


if __name__ == "__main__":
    main()
