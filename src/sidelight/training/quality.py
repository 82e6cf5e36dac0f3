"""After a training: some validation rows teach how to foretell the quality of a map (:mod:`sidelight.checks.quality`)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import torch

from sidelight.checks.quality import FEWEST, Quality, calibrated
from sidelight.core.types import Encoding, Inputs, Reading
from sidelight.inputs.collate import Collator
from sidelight.rows.holdout import spread
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel

log = logging.getLogger(__name__)

#: One row is measured for so many rows that the training read. So this takes about a twentieth of the training's passes.
READ_FOR_ONE = 80
#: largest number of rows that are measured, and rows of one batch
ROWS, BATCH = 256, 32


def learn_quality(
    target: TargetModel, scorer: Scorer, rows: Any, collate: Collator, read: int
) -> Quality | None:
    """The model of quality, or ``None`` after a short training, with few validation rows, or if it has no skill.

    Args:
        rows: of the validation.
        read: how many rows the training read, each as often as it was read.
    """
    count = min(len(rows), ROWS, read // READ_FOR_ONE)
    if count < FEWEST:
        return None

    def batches() -> Iterator[Inputs]:
        chosen = spread(len(rows), count)
        for start in range(0, count, BATCH):
            yield collate.read([rows[i] for i in chosen[start : start + BATCH]]).inputs

    @torch.no_grad()
    def reading(encoding: Encoding) -> Reading:
        return scorer.reading(encoding, encoding.prediction if scorer.config.by_class else None)

    was_training = scorer.training
    scorer.eval()
    try:
        with target.borrowed():
            found = calibrated(target, reading, batches())
    finally:
        scorer.train(was_training)
    if found is None:
        return None
    told = "foretold" if found.beyond_chance else "cannot be foretold better than by chance"
    log.info("quality: %s, from %d rows, rank correlation %.2f", told, found.rows, found.skill)
    return found if found.beyond_chance else None
