"""The maps of one method on a run's test split, in a file that another benchmark can read."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sidelight.core.names import OURS
from sidelight.core.terminal import track
from sidelight.core.types import Encoding, Scores
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.batches import split_batches
from sidelight.lab.evaluation.map_files import MapFile, require_place, write_maps
from sidelight.lab.evaluation.methods import ScorerMethod, fitted_target, rival_of
from sidelight.lab.evaluation.settings import Method, call_method
from sidelight.lab.metrics.layout import plain_scores
from sidelight.lab.runs.run import Run
from sidelight.targets import TargetModel


def export_maps(
    run: Run,
    path: str | Path,
    method: str = OURS,
    seed: int | None = None,
    count: int | None = None,
    progress: bool = True,
) -> Path:
    """Write the raw maps of ``method``, as the benchmark would judge them, for the samples it would judge.

    Args:
        path: ``.npz`` or ``.parquet``, see :mod:`sidelight.lab.evaluation.map_files`.
        method: ``sidelight``, or a rival. With the options that the run's configuration gives it.
        seed: of the scorer (default: the first).
        count: samples (default: ``evaluation.count``).

    Raises:
        UnknownNameError: there is no such rival.
        CheckpointError: the run is not fitted, or the disk refused.
        InputError: maps cannot be written to ``path``, which is told before any is made, or float32 would spoil one.
    """
    require_place(path)
    section = run.config.evaluation
    target = fitted_target(run)
    chosen: Method
    if method == OURS:
        chosen = ScorerMethod(run.explainer(seed, target), "")
    else:
        chosen = rival_of(section, method)
    # batched as the evaluation does it: the last digit of a gradient depends on what is beside it
    split = split_batches(target, run.tested_rows(count or section.count), section)
    batches, total = chain(split.whole, split.single), len(split.whole) + len(split.single)
    found: dict[str, dict[int, np.ndarray]] = {m: {} for m in target.modalities}
    for batch in track(batches, f"maps of {method}", total=total, disable=not progress):
        encoding = batch.encoding
        assert encoding is not None  # the batches of a test split make their own
        scores = raw_maps(chosen, target, batch, encoding.prediction.clone(), encoding)
        for modality, real in encoding.feature_mask.items():
            own = zip(batch.ids, scores[modality].cpu(), real.cpu(), strict=True)
            found[modality].update({i: _values(s, r) for i, s, r in own})
    return write_maps(path, MapFile(found, chosen.signed))


def raw_maps(
    method: Method, target: TargetModel, batch: Batch, classes: Tensor, encoding: Encoding | None = None
) -> Scores:
    """Scores of a method for ``classes`` ``[B]`` of the samples of a batch.

    Args:
        method: a scorer or a baseline method.
        encoding: the clean pass of ``target``, if it was made already.
    """
    found = call_method(method, target, batch.inputs, classes, batch.ids, encoding)
    return plain_scores(found, torch.device("cpu"))


def _values(scores: Tensor, real: Tensor) -> np.ndarray:
    """Scores of the real features of one sample: image ``[H, W]``, text ``[T]`` without what is no feature."""
    if scores.ndim == 3:
        return scores[0].numpy()
    return torch.masked_select(scores, real).numpy()
