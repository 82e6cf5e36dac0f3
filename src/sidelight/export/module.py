"""The pass of an explainer as a plain module: the model's own inputs in, logits and scores out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sidelight.core.types import Encoding, Inputs, Reading, Scores
from sidelight.errors import ConfigError, InputError
from sidelight.scorers import Scorer
from sidelight.targets import ImageTextTarget, TargetModel, TextTarget
from sidelight.targets.embedding import padding_side

#: the input that chooses a class, and the value that leaves the choice to the model
CLASSES, PREDICTED = "classes", -1
#: outputs beside those of the modalities
VERDICT = ("logits", "probabilities", "class")
#: outputs of each modality
READINGS = ("scores", "ranking", "effects")


class ExplainingModule(nn.Module):
    """A frozen classifier and its scorer as one module that ``torch.compile`` and ``torch.export`` take whole.

    It has no lock, no check of inputs and no reader. It is a copy that shares its weights' memory with the classifier. If
    you move it, the classifier stays where it is. It is always in eval mode.

    Args:
        target, scorer: from :func:`~sidelight.export.copies.shared_copy`.

    Attributes:
        input_names: names of the model's inputs.
        output_names: names of the outputs, in their order.
    """

    def __init__(self, target: TargetModel, scorer: Scorer) -> None:
        super().__init__()
        self.model, self.scorer, self._target = target.model, scorer, target
        self.by_class = bool(scorer.config.by_class)
        self.output_names = output_names(tuple(target.modalities), self.by_class)
        text = text_part(target)
        special = [] if text is None else sorted(text.added_ids)
        self.register_buffer("special_ids", torch.tensor(special, device=target.device), persistent=False)
        self._counts = text is not None and counts_positions(text)
        super().train(False)

    def forward(self, classes: Tensor | None = None, **inputs: Tensor) -> dict[str, Tensor]:
        """One pass.

        Args:
            classes: ``[B]`` class of each map, -1 for the predicted one. Only if the scorer knows classes.
            inputs: of the model, by name, e.g. ``pixel_values=[B, C, H, W]`` or ``input_ids=[B, T]`` and
                ``attention_mask=[B, T]``. If there is no ``special_tokens_mask``, the ids tell special tokens.

        Returns:
            ``logits [B, K]`` of exclusive classes, ``probabilities [B, K]``, ``class [B]`` that the maps are of, and for
            each modality ``scores_<m>`` in [0, 1], ``ranking_<m>`` (larger comes first), and ``effects_<m>`` (change of
            the probability) if the scorer knows classes. Images have ``[B, 1, H, W]``, texts ``[B, T]``.

        Raises:
            ConfigError: a class is given, but the scorer knows the predicted class only.
            InputError: the model's inputs are missing.
        """
        if classes is not None and not self.by_class:
            raise ConfigError(
                "this scorer makes maps of the predicted class only: leave out classes, or train one with "
                "objective='robust'."
            )
        encoding = self._target.encode_bare(self._completed(inputs))
        chosen = chosen_classes(encoding, classes)
        reading = self.scorer.reading(encoding, chosen if self.by_class else None)
        return named_outputs(encoding, chosen, reading)

    def _completed(self, inputs: Inputs) -> Inputs:
        """``inputs`` with what the target's reader adds for texts."""
        ids = inputs.get("input_ids")
        if ids is None:
            if "text" in self._target.modalities or "pixel_values" not in inputs:
                raise InputError(f"the model's inputs are missing; got {sorted(inputs)}.")
            return inputs
        found = dict(inputs)
        attended = found.setdefault("attention_mask", torch.ones_like(ids))
        if "special_tokens_mask" not in found:
            found["special_tokens_mask"] = self._special(ids)
        if self._counts and "position_ids" not in found:
            found["position_ids"] = (attended.cumsum(-1) - 1).clamp(min=0)
        return found

    def _special(self, ids: Tensor) -> Tensor:
        special: Tensor = self.special_ids  # type: ignore[assignment]
        if special.shape[0] == 0:
            return torch.zeros_like(ids, dtype=torch.bool)
        return (ids.unsqueeze(-1) == special).any(-1)

    def moved(self, inputs: Inputs) -> dict[str, Tensor]:
        """``inputs`` on the device of this module."""
        return self._target.to_device(inputs)

    def train(self, mode: bool = True) -> ExplainingModule:
        """Nothing: the module is frozen and stays in eval mode."""
        return self


def chosen_classes(encoding: Encoding, classes: Tensor | None) -> Tensor:
    """``[B]`` class of each map: of ``classes``, or the predicted one if that is negative or there are none."""
    found = encoding.prediction
    return found if classes is None else torch.where(classes < 0, found, classes)


def named_outputs(encoding: Encoding, chosen: Tensor, reading: Reading) -> dict[str, Tensor]:
    """The outputs by name, in their order."""
    found = dict(zip(VERDICT, (encoding.logits, encoding.probabilities, chosen), strict=True))
    for modality in encoding.feature_mask:
        for kind in READINGS:
            values: Scores | None = getattr(reading, kind)
            if values is not None:
                found[f"{kind}_{modality}"] = values[modality]
    return found


def output_names(modalities: tuple[str, ...], by_class: bool) -> tuple[str, ...]:
    """Names of the outputs, in their order.

    Example:
        >>> output_names(("text",), by_class=False)
        ('logits', 'probabilities', 'class', 'scores_text', 'ranking_text')
    """
    kinds = READINGS if by_class else READINGS[:2]
    return (*VERDICT, *(f"{kind}_{m}" for m in modalities for kind in kinds))


def text_part(target: TargetModel) -> TextTarget | None:
    """What reads the words of ``target``. ``None`` if nothing does."""
    found = target.text if isinstance(target, ImageTextTarget) else target
    return found if isinstance(found, TextTarget) else None


def counts_positions(text: TextTarget) -> bool:
    """Whether padding may lie on both sides, so that the positions of tokens have to be counted."""
    return text.reader.counts_positions and padding_side(text.model) is None
