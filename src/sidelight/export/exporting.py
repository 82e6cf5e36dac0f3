"""``explainer.module()`` and ``explainer.export()``."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from sidelight.checks.selfcheck import Check
from sidelight.checks.watched import WatchedWeights
from sidelight.core.files import file_path
from sidelight.core.guard import public
from sidelight.core.ownership import overwriting
from sidelight.core.surroundings import kept_random_state, plain_passes
from sidelight.export.copies import shared_copy
from sidelight.export.examples import TRACED, Examples
from sidelight.export.module import ExplainingModule
from sidelight.export.writing import Writing
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel


class Exporting:
    """What an explainer gives to programs that do without it: a plain module, and a file."""

    target: TargetModel
    scorer: Scorer
    check: Check
    _weights: WatchedWeights

    @public
    @plain_passes()
    def module(self) -> ExplainingModule:
        """The classifier and its scorer as one plain module: the model's own inputs in, logits and scores out.

        ``torch.compile(explainer.module(), fullgraph=True)`` takes it without a graph break, and ``torch.export`` does.
        It shares its weights' memory with the classifier. It checks neither inputs nor weights, so give it what the
        model's own processor makes.

        Raises:
            ExportError: the model cannot be copied, or belongs to a target family of your own.
            TargetMismatchError: the classifier's weights have changed.

        Example:
            >>> module = explainer.module()
            >>> module(pixel_values=pixels)["scores_image"].shape
            torch.Size([2, 1, 32, 32])
        """
        self._weights.require(self.check)
        with torch.inference_mode(False):
            examples = Examples(self.target, self.scorer)
            return ExplainingModule(*shared_copy(self.target, self.scorer, examples.inputs(*TRACED)))

    @public
    @kept_random_state()
    @plain_passes()
    def export(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the classifier and its scorer as one graph that gives logits and scores in one run.

        Batches may have any size, and texts any length. The file is compared with PyTorch on several batches before it
        takes its place. Beside it ``<path>.json`` says what a caller without Python needs, and for texts the folder
        ``<path>.tokenizer`` holds the tokenizer. Inputs and outputs are those of
        :meth:`~sidelight.export.module.ExplainingModule.forward`.

        Args:
            path: ``model.onnx`` for ONNX (float32, CPU; needs the extra ``onnx``), or ``model.pt2`` for
                ``torch.export.load``.
            overwrite: replace files of others that have these names.

        Returns:
            The path of the file.

        Raises:
            ConfigError: ``path`` has another ending.
            MissingPackageError: the packages of the extra ``onnx`` are missing.
            ExportError: the model cannot be traced, ONNX lacks one of its operations, the weights do not fit one file
                (2 GB), or the file gives other results than PyTorch. No file is left.
            TargetMismatchError: the classifier's weights have changed.
            ForeignFileError: files of others have these names.
            CheckpointError: the disk refused.

        Example:
            >>> path = explainer.export("model.pt2")
            >>> program = torch.export.load(path).module()
            >>> program(pixel_values=pixels, classes=torch.tensor([-1, -1]))["logits"].shape  # -1: the predicted class
            torch.Size([2, 2])
        """
        self._weights.require(self.check)
        with overwriting(overwrite), torch.inference_mode(False):
            return Writing(self.target, self.scorer, self._weights.now(), file_path(path)).write()
