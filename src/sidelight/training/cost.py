"""What a training of a scorer costs, in epochs of fine-tuning the classifier. So it means the same on every machine."""

from __future__ import annotations

import logging
from typing import Any

from sidelight.core.processes import largest, process_count, timed
from sidelight.inputs.collate import Collator
from sidelight.rows.holdout import spread
from sidelight.targets import TargetModel

log = logging.getLogger(__name__)

#: Rows of the pass that is timed. Fewer would mostly measure what every call costs.
TIMED_ROWS = 16
#: A step of fine-tuning in passes without gradient: one forward, and twice as much back, because both the weights and the
#: activations have a gradient (Kaplan et al. 2020, arXiv 2001.08361, section 2.1).
PASSES_OF_A_STEP = 3
#: Seconds from which on an epoch of fine-tuning says something. Shorter ones are of tiny models or a few rows, beside which
#: what every training costs, such as its validation and its checkpoint, would be told as dozens of epochs.
LEAST_EPOCH = 5.0


def cost_of_training(
    seconds: float, target: TargetModel, train: Any, collate: Collator, batch_size: int
) -> float:
    """A training of ``seconds``, in epochs of fine-tuning the classifier on the rows ``train``.

    A log line says it, if such an epoch takes at least :data:`LEAST_EPOCH` seconds.

    Such an epoch is not made. It is taken as :data:`PASSES_OF_A_STEP` passes of the classifier for each row, and a pass is
    timed here, on rows from all over ``train``.

    Args:
        seconds: of the training, at least 0.
        target: the classifier.
        train: rows.
        collate: makes batches of them.
        batch_size: rows of a batch, at most :data:`TIMED_ROWS` of which are timed.

    Returns:
        Epochs, at least 0.
    """
    count = min(batch_size, len(train), TIMED_ROWS)
    batch = target.to_device(collate.read([train[i] for i in spread(len(train), count)]).inputs)
    with target.borrowed():
        target.encode(batch)  # the first pass is slower
        row = largest(timed(lambda: target.encode(batch), target.device)) / count
    epoch = PASSES_OF_A_STEP * row * len(train) / process_count()
    cost = seconds / max(epoch, 1e-9)  # a coarse clock may see no time pass
    if epoch < LEAST_EPOCH:
        log.info("the training took %.0f s", seconds)
    else:
        log.info(
            "the training took %.0f s, as long as about %.2g epochs of fine-tuning the classifier on the same %d rows",
            seconds,
            cost,
            len(train),
        )
    return cost
