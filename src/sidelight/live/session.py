"""A session: one input that a person plays with. Every move costs as little as it can.

The clean pass is made once for an input. Another class costs one pass of the scorer, and the slider costs one pass of the
classifier over the masked input.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sidelight.checks.certificate import certificate_fills
from sidelight.core.guard import public
from sidelight.core.surroundings import plain_passes
from sidelight.core.tensors import predictable, probabilities
from sidelight.core.types import Encoding, Reading, Unmasked
from sidelight.errors import ConfigError, InputError, InputTypeError
from sidelight.explanations.asking import is_one, measurements
from sidelight.explanations.building import Answered, explanations_of
from sidelight.explanations.classes import Asked
from sidelight.explanations.explanation import Explanation
from sidelight.fills.base import apply_mask, pair_fills
from sidelight.inputs.base import Batch
from sidelight.inputs.image import PIXELS
from sidelight.inputs.row_parts import sample_and_label
from sidelight.inputs.whole_paths import with_whole_path, working_directory
from sidelight.live.units import TEXT, Units, as_words, require_parts
from sidelight.rows.row import scalar
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel


class Explains(Protocol):
    """The parts of an :class:`~sidelight.explainer.Explainer` that a session needs."""

    target: TargetModel
    scorer: Scorer

    def read(
        self, encoding: Encoding, classes: Tensor | None = None, versus: Tensor | None = None
    ) -> Reading: ...

    def _require_weights(self) -> None: ...


@dataclass(frozen=True, eq=False)
class Masked:
    """A masked input, and what the classifier says of it.

    Attributes:
        share: of the features that the slider keeps, in [0, 1].
        stays: modality -> boolean array of the map's shape: the parts that stay. Image ``[H, W]``, text ``[T]``.
        inputs: modality -> the masked input as a person sees it. Image floats ``[H, W, C]`` in [0, 1], with the fill in
            place of what is gone, text a list of ``T`` strings, with a sign in place of words that are gone.
        prediction: index of the class that is predicted for the masked input.
        label: name of that class.
        probability: of that class, in [0, 1].
        probabilities: ``[K]`` of all classes.
        explained_probability: of the class that the map is of, in [0, 1].
    """

    share: float
    stays: Mapping[str, np.ndarray]
    inputs: Mapping[str, Any]
    prediction: int
    label: str
    probability: float
    probabilities: np.ndarray
    explained_probability: float

    def __repr__(self) -> str:
        return f"Masked({self.label!r} {self.probability:.1%}, best {self.share:.0%} kept)"


@dataclass(frozen=True)
class _Pass:
    """The clean pass of one sample, and everything that all masks of it share."""

    sample: Any
    batch: Batch
    encoding: Encoding
    unmasked: Unmasked


class Session:
    """One input that a person plays with: its explanation, and the classifier's answers to masked copies.

    ``Explainer.live`` makes it.

    Args:
        explainer: fitted or loaded.
        sample: one picture, text or pair, as ``explain`` takes it.
        target, versus: class of the map, and another class to compare it with, as in ``explain``.
        fill: what stands in for removed features (``sidelight list`` names all). Default: the first fill of a certificate,
            which is ``zero``.

    Attributes:
        explanation: the current one.
        masked: the answer to the last move.
        units: the parts of the input, in the order in which they are shown.

    Raises:
        InputError, InputTypeError: the sample cannot be read, or there are several.
        ConfigError: the scorer has no map of the class.
        UnknownNameError: there is no such fill.
        UnsupportedTargetError: the classifier reads something else than images and texts.

    Example:
        >>> session = explainer.live("what a wonderful day")
        >>> with_the_best_word = session.keep(0.25).probability
    """

    @plain_passes()
    def __init__(
        self,
        explainer: Explains,
        sample: Any,
        target: Any = None,
        versus: Any = None,
        fill: str | None = None,
    ) -> None:
        require_parts(explainer.target.modalities)
        self.explainer = explainer
        self.share: float = 1.0
        self.removed: tuple[int, ...] = ()
        self.fill = fill or certificate_fills(explainer.target.modalities)[0]
        pair_fills(self.fill, explainer.target.modalities)
        self._open(sample, target, versus)

    # -- what is asked ------------------------------------------------------------------

    @public
    @plain_passes()
    def keep(self, share: float) -> Masked:
        """Keep the best ``share`` of the pixels and of the words. Words that were removed before stay removed.

        Args:
            share: in [0, 1]. In a pair each modality keeps this share of its own parts.

        Raises:
            InputError: ``share`` is outside [0, 1].
        """
        share = scalar(share)
        number = isinstance(share, (int, float)) and not isinstance(share, bool) and math.isfinite(share)
        if not number or not 0 <= share <= 1:
            raise InputError(
                f"share must be a number in [0, 1], e.g. 0.2 for the best fifth; got {share!r:.60}."
            )
        return self._move(float(share), self.removed)

    @public
    @plain_passes()
    def remove(self, words: Iterable[int]) -> Masked:
        """Remove exactly these words, whatever the slider says. An empty list brings all of them back.

        Args:
            words: places in ``explanation.inputs["text"]``, from 0 on.

        Raises:
            InputError: there is no such word, or the classifier reads no text.
        """
        return self._move(self.share, self._known_words(words))

    @public
    @plain_passes()
    def fill_with(self, fill: str) -> Masked:
        """Let another fill stand in for removed features.

        Raises:
            UnknownNameError: there is no such fill.
        """
        pair_fills(fill, self.explainer.target.modalities)
        self.fill = fill
        self.__dict__.pop("_values", None)
        return self._move(self.share, self.removed)

    @public
    @plain_passes()
    def retype(self, text: str | tuple[str, str]) -> Explanation:
        """Explain another text, in a pair beside the same image. The share stays, and removed words come back.

        Args:
            text: the whole new text, or two for a classifier of two texts.

        Raises:
            InputError: it is empty, or the classifier reads no text. The session stays as it was.
        """
        if TEXT not in self.explainer.target.modalities:
            raise InputError("this classifier reads no text; use .show(image) for another picture.")
        return self._with("text", text)

    @public
    @plain_passes()
    def show(self, image: Any) -> Explanation:
        """Explain another picture, in a pair beside the same text.

        Args:
            image: as ``explain`` takes it.

        Raises:
            InputError, InputTypeError: it cannot be read, or the classifier reads no images. The session stays as it was.
        """
        if "image" not in self.explainer.target.modalities:
            raise InputError("this classifier reads no images; use .retype(text) for another text.")
        return self._with("image", image)

    @public
    @plain_passes()
    def ask(self, target: Any = None, versus: Any = None) -> Explanation:
        """Make the map of another class. The classifier is not run again.

        Args:
            target, versus: as in ``explain``. ``None`` for the predicted class, and for no comparison.

        Raises:
            ConfigError, InputError: there is no such class, both are the same, or the scorer has no map of it. The session
                stays as it was.
        """
        return self._read(self._pass, target, versus)

    @public
    @plain_passes()
    def certify(self) -> Explanation:
        """Measure the map on this input, as ``explain(verify=True)`` does. Costs about 90 passes.

        Returns:
            The explanation, with ``meta["certificate"]``.
        """
        return self._read(self._pass, *self.asked, verify=True)

    @property
    def sample(self) -> Any:
        """The input as it was given, or as it was typed since. The path of a picture is whole."""
        return self._pass.sample

    @property
    def class_count(self) -> int:
        """Number of classes that a map may be of."""
        return int(self._pass.encoding.logits.shape[-1])

    @property
    def selection(self) -> dict[str, Any]:
        """The parts that stay now, as plain data.

        Returns:
            ``{"share": float, "words": [numbers], "text": [strings], "image": boolean [H, W]}``. A modality that the
            classifier does not read is left out.
        """
        found: dict[str, Any] = {"share": self.share}
        if TEXT in self.masked.stays:
            words = np.flatnonzero(self.masked.stays[TEXT]).tolist()
            found |= {"words": words, "text": [self.explanation.inputs[TEXT][w].strip() for w in words]}
        if "image" in self.masked.stays:
            found["image"] = self.masked.stays["image"].copy()
        return found

    # -- how it is answered -------------------------------------------------------------

    def _open(self, sample: Any, target: Any, versus: Any) -> Explanation:
        asked = Asked(None, target, versus)
        asked.require_scorer(self.explainer.scorer.config)
        asked.require_length(1)
        return self._read(self._encode(sample), target, versus)

    def _encode(self, sample: Any) -> _Pass:
        own = self.explainer.target
        if not is_one(own, sample):
            raise InputTypeError(
                f"one input is shown at a time ({' with '.join(own.modalities)}); got {type(sample).__name__}."
            )
        # a row of a data set becomes the plain sample in it, so that its parts can be replaced
        (sample,) = own.reader.samples([sample_and_label(own.reader, sample)[0]])
        batch = own.reader.read([sample], labelled=False)
        own.check(batch.inputs)
        batch = batch.to(own.device)
        with torch.inference_mode():
            encoding = own.encode(batch.inputs)
            # read again beside another text, perhaps in another working directory
            kept = with_whole_path(sample, working_directory()) if "image" in own.modalities else sample
            return _Pass(kept, batch, encoding, own.unmasked(batch.inputs, encoding))

    def _read(self, clean: _Pass, target: Any, versus: Any, verify: bool = False) -> Explanation:
        """The explanation of a clean pass. It becomes the current one as the last step, so that an error changes nothing."""
        asked, own = Asked(None, target, versus, verify), self.explainer.target
        asked.require_scorer(self.explainer.scorer.config)
        classes = asked.classes(clean.encoding, own.id2label, [0])
        reading = self.explainer.read(clean.encoding, classes.explained, classes.versus)
        known = (clean.encoding, reading, classes)
        measured = measurements(own, clean.batch.inputs, *known, asked, [0])
        (explanation,) = explanations_of(own, Answered(clean.batch, *known, measured))
        other = clean is not self.__dict__.get("_pass")
        self._pass, self.asked, self.explanation = clean, (target, versus), explanation
        self.units = Units.of(clean.batch, explanation, clean.encoding.feature_mask)
        if other:
            self.__dict__.pop("_values", None)
            self.removed = ()
        self._move(self.share, self.removed)
        return explanation

    def _with(self, modality: str, value: Any) -> Explanation:
        modalities = tuple(self.explainer.target.modalities)
        parts = (
            {modalities[0]: self.sample}
            if len(modalities) == 1
            else dict(zip(modalities, self.sample, strict=True))
        )
        parts[modality] = value
        sample = value if len(modalities) == 1 else tuple(parts[m] for m in modalities)
        clean = self._encode(sample)
        try:
            return self._read(clean, *self.asked)
        except (ConfigError, InputError):
            # the class that was compared with may be the predicted one of this input
            return self._read(clean, None, None)

    def _known_words(self, words: Iterable[int]) -> tuple[int, ...]:
        count = len(self.explanation.inputs.get(TEXT, ()))
        try:
            found = as_words(words)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"words must be a list of their places, e.g. [0, 3]; got {words!r:.60}."
            ) from error
        if found and not 0 <= found[0] <= found[-1] < count:
            shown = f"0 to {count - 1}" if count else "none, because the classifier reads no text"
            raise InputError(f"there is no word {found[-1] if found[0] >= 0 else found[0]}; words: {shown}.")
        return found

    @cached_property
    def _values(self) -> dict[str, Tensor]:
        """Values of the fill. All masks of this input share them."""
        own, clean = self.explainer.target, self._pass
        return own.fill_values(clean.batch.inputs, self.fill, [0], clean.unmasked.features)

    def _move(self, share: float, removed: tuple[int, ...]) -> Masked:
        """One pass of the classifier over the masked input."""
        self.explainer._require_weights()  # the clean pass is older
        own, clean = self.explainer.target, self._pass
        stays = self.units.stay(share, removed)
        masks = self.units.masks(stays)
        with torch.no_grad():
            if all(
                stay[read].all() for stay, read in zip(stays.values(), self.units.read.values(), strict=True)
            ):
                logits = clean.encoding.logits  # nothing is removed
            else:
                logits = own.classify(clean.batch.inputs, masks, self._values, unmasked=clean.unmasked)
        self.share, self.removed = share, removed
        self.masked = self._answer(share, stays, self._shown(stays, masks), logits)
        return self.masked

    def _shown(self, stays: Mapping[str, np.ndarray], masks: Mapping[str, Tensor]) -> dict[str, Any]:
        own, clean = self.explainer.target, self._pass
        found: dict[str, Any] = {}
        if TEXT in stays:
            found[TEXT] = self.units.shown(stays)
        if "image" in stays:
            features = clean.unmasked.features["image"]
            seen = apply_mask(features, masks["image"], self._values["image"], own.modalities["image"])
            found["image"] = _picture(own, clean.batch, seen)
        return found

    def _answer(
        self, share: float, stays: Mapping[str, np.ndarray], inputs: Mapping[str, Any], logits: Tensor
    ) -> Masked:
        own, independent = self.explainer.target, self._pass.encoding.independent
        found = probabilities(logits, independent)[0].cpu()
        labels = predictable(found[None], independent)[0]
        predicted = int(labels.argmax())
        return Masked(
            share=share,
            stays=stays,
            inputs=inputs,
            prediction=predicted,
            label=str(own.id2label.get(predicted, predicted)),
            probability=float(labels[predicted]),
            probabilities=labels.numpy(),
            explained_probability=float(found[_explained(self.explanation)]),
        )


def _explained(explanation: Explanation) -> int:
    return explanation.prediction if explanation.explained is None else explanation.explained


def _picture(target: TargetModel, batch: Batch, pixels: Tensor) -> np.ndarray:
    """``[H, W, C]`` of pixels ``[1, C, H, W]`` as a person sees them."""
    reader: Any = target.reader
    images = getattr(reader, "image", reader)  # the reader of pairs holds one of images
    shown: np.ndarray = np.asarray(images.show(Batch({PIXELS: pixels}), {})[0]["image"])
    return shown.clip(0.0, 1.0)
