"""``explainer.attribute()``, ``explainer.scores()`` and ``explainer.read()``: tensors in, tensors out."""

from __future__ import annotations

import torch
from torch import Tensor

from sidelight.checks.selfcheck import Check
from sidelight.checks.watched import WatchedWeights
from sidelight.core.guard import public
from sidelight.core.surroundings import plain_passes
from sidelight.core.types import Encoding, Inputs, Reading
from sidelight.explanations.classes import Asked, checked_classes
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel


class Attributing:
    """How an explainer reads the model's own inputs."""

    target: TargetModel
    scorer: Scorer
    check: Check
    _weights: WatchedWeights

    @public
    @plain_passes()
    def attribute(self, inputs: Inputs, classes: Tensor | None = None) -> tuple[Encoding, dict[str, Tensor]]:
        """The model's pass over the whole input, and the scores of each modality, as tensors without a graph.

        Args:
            inputs: the model's own inputs, e.g. ``{"pixel_values": [B, C, H, W]}``, checked as by ``explain``.
            classes: ``[B]`` class to explain, checked as by :meth:`read`. Default: the predicted ones.

        Returns:
            The pass, with logits and probabilities ``[B, K]``, and a mapping from modality to scores in [0, 1], of the shape
            ``[B, 1, H, W]`` for ``"image"`` and ``[B, T]`` for ``"text"``.

        Raises:
            ConfigError, InputError, TargetMismatchError: as :meth:`read`.

        Example:
            >>> encoding, scores = explainer.attribute({"pixel_values": pixels})
            >>> encoding.probabilities.shape, scores["image"].shape
            (torch.Size([2, 2]), torch.Size([2, 1, 32, 32]))
        """
        self.target.check(inputs)
        encoding = self._encode(inputs)
        return encoding, dict(self._read(encoding, classes, None).scores)

    def _encode(self, inputs: Inputs) -> Encoding:
        self._weights.require(self.check)
        with torch.inference_mode():
            return self.target.encode(inputs)

    @public
    @plain_passes()
    def scores(self, encoding: Encoding, classes: Tensor | None = None) -> dict[str, Tensor]:
        """The scores of :meth:`attribute`, if the pass over the whole input was made already.

        Example:
            >>> encoding, scores = explainer.attribute({"pixel_values": pixels})
            >>> of_the_other_class = explainer.scores(encoding, classes=1 - encoding.prediction)
        """
        return dict(self.read(encoding, classes).scores)

    @public
    @plain_passes()
    def read(
        self, encoding: Encoding, classes: Tensor | None = None, versus: Tensor | None = None
    ) -> Reading:
        """Scores, ranking and effects of one class for each sample, if the pass over the whole input was made already.

        Args:
            encoding: that pass, of ``B`` samples.
            classes: ``[B]`` classes to explain. Default: the predicted ones.
            versus: ``[B]`` classes to compare them with. Default: none.

        Raises:
            ConfigError: there is no such class, or this scorer knows the predicted class only.
            InputError: there is another number of classes than of samples.
            TargetMismatchError: the classifier's weights have changed.

        Example:
            >>> encoding, _ = explainer.attribute({"pixel_values": pixels})
            >>> reading = explainer.read(encoding, classes=torch.tensor([0, 1]))
            >>> reading.ranking["image"].shape == reading.scores["image"].shape
            True
        """
        self._weights.require(self.check)
        return self._read(encoding, classes, versus)

    def _read(self, encoding: Encoding, classes: Tensor | None, versus: Tensor | None) -> Reading:
        """:meth:`read` right after a pass, which looked at the weights already."""
        return self._reading(encoding, *checked_classes(encoding, self.target.id2label, classes, versus))

    def _reading(self, encoding: Encoding, classes: Tensor | None, versus: Tensor | None) -> Reading:
        """:meth:`_read` of classes that are checked already."""
        Asked(None, classes, versus).require_scorer(self.scorer.config)
        with torch.inference_mode():
            return self.scorer.on(self.target.device).reading(encoding, classes, versus)
