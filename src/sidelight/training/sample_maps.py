"""Maps of a few validation rows as images in TensorBoard, drawn again at each validation of a training."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback

from sidelight.core.optional import require
from sidelight.core.registry import nearest
from sidelight.errors import ConfigError, MissingPackageError, first_line
from sidelight.inputs.base import Batch
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel

#: rows that are drawn, and dots per inch
SAMPLES, DPI = 4, 72


def require_loggers(names: Sequence[str]) -> None:
    """Look whether the Trainer has loggers of these names and their packages are installed.

    Raises:
        ConfigError: there is no such logger.
        MissingPackageError: its package is not installed.
    """
    from transformers.integrations import INTEGRATION_TO_CALLBACK as KNOWN

    for name in names:
        if name not in KNOWN:
            raise ConfigError(
                f"report_to: there is no logger {name!r:.60}.{nearest(str(name), KNOWN)} Known: {', '.join(KNOWN)}."
            )
        if name == "tensorboard":
            require(["tensorboard"], "report_to=['tensorboard']", extra="tensorboard")
        try:
            KNOWN[name]()
        except (RuntimeError, ImportError) as error:  # how transformers says that a package is missing
            raise MissingPackageError(f"report_to=[{name!r}]: {first_line(error)}") from error


@dataclass
class _Map:
    """What a picture of a map needs (:class:`sidelight.core.shown.Shown`)."""

    scores: Mapping[str, np.ndarray]
    inputs: Mapping[str, Any]
    label: str
    probability: float
    method: str = "sidelight"
    target: str = ""
    meta: dict[str, Any] = field(default_factory=dict)
    independent: bool = False
    ranking: Mapping[str, np.ndarray] | None = None
    effects: Mapping[str, np.ndarray] | None = None
    versus_label: str | None = None

    @property
    def explained_label(self) -> str:
        """Name of the class of the map, which is the prediction."""
        return self.label

    @property
    def explained_probability(self) -> float | None:
        """Of the class of the map, which is the prediction."""
        return self.probability


class SampleMaps(TrainerCallback):
    """Draws the maps of the first validation rows after each validation. It draws no random numbers.

    Args:
        trainer: whose TensorBoard gets the pictures, if it has one.
        target: the classifier.
        scorer: in training.
        batch: the rows to draw.
    """

    def __init__(self, trainer: Trainer, target: TargetModel, scorer: Scorer, batch: Batch) -> None:
        self.trainer, self.target, self.scorer, self.batch = trainer, target, scorer, batch

    def on_evaluate(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        board = self._board()
        if board is None or not state.is_world_process_zero:
            return
        for number, picture in enumerate(sample_pictures(self.target, self.scorer, self.batch)):
            board.add_image(f"maps/sample-{number}", picture, state.global_step, dataformats="HWC")
        board.flush()

    def _board(self) -> Any:
        """The writer of the Trainer's own TensorBoard callback."""
        found = (getattr(c, "tb_writer", None) for c in self.trainer.callback_handler.callbacks)
        return next((writer for writer in found if writer is not None), None)


def sample_pictures(target: TargetModel, scorer: Scorer, batch: Batch) -> list[np.ndarray]:
    """Pictures ``[H, W, 3]`` in uint8 of the maps of ``batch``, as ``Explanation.plot`` draws them."""
    from PIL import Image

    from sidelight.viz.explanation import plot_explanation
    from sidelight.viz.export import to_png

    pictures = []
    for shown in _maps(target, scorer, batch):
        png = to_png(plot_explanation(shown), DPI)
        pictures.append(np.asarray(Image.open(io.BytesIO(png)).convert("RGB")))
    return pictures


def _maps(target: TargetModel, scorer: Scorer, batch: Batch) -> list[_Map]:
    batch = batch.to(target.device)
    training = scorer.training
    scorer.eval()
    try:
        with torch.no_grad():
            encoding = target.encode(batch.inputs)
            scores = scorer.reading(encoding, None, None).scores
    finally:
        scorer.train(training)
    real, reader = encoding.feature_mask, target.reader
    shown, maps = reader.show(batch, real), reader.show_scores(batch, scores, real)
    found = []
    for own, inputs, p in zip(maps, shown, encoding.probabilities.cpu(), strict=True):
        predicted = int(p.argmax())
        label = str(target.id2label.get(predicted, predicted))
        found.append(_Map(own, inputs, label, float(p[predicted]), independent=encoding.independent))
    return found
