"""A training to be run in processes of its own: killed, resumed, or under torchrun."""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import torch

from helpers_training import TRANSFORM, classifier, corner_rows, quick
from sidelight import Explainer, ObjectiveConfig
from sidelight.inputs.collate import Collator


class SlowCollator(Collator):
    """Sleeps before every batch, so that a kill finds the training under way."""

    pause = 0.0

    def __call__(self, rows: Any) -> Any:
        time.sleep(self.pause)
        return super().__call__(rows)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--held", type=int, default=16, help="rows of the validation")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--fills", nargs="+", default=["noise", "zero", "image"])
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--budget", type=float, help="seconds; the second process measures half the pace")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.pause:
        import sidelight.training.loop

        SlowCollator.pause = options.pause
        sidelight.training.loop.Collator = SlowCollator  # type: ignore[misc]
    budget: dict[str, Any] = {}
    if options.budget:
        import sidelight.training.budget as planned

        slower = 1 + int(os.environ.get("RANK", "0"))
        planned._step_seconds = lambda *_: 0.05 * slower
        planned.BUDGETS["minute"] = planned.Budget(options.budget, 3, 1, 16)
        budget = {"budget": "minute"}
    Explainer.fit(
        classifier(),
        corner_rows(64),
        eval=corner_rows(options.held, seed=1),
        processor=TRANSFORM,
        objective=ObjectiveConfig(fills=options.fills),
        training=quick(batch_size=options.batch, epochs=options.epochs, learning_rate=options.rate, **budget),
        output_dir=options.folder,
    )


if __name__ == "__main__":
    main()
