"""An explainer as an ``explain_func`` of Quantus. Quantus itself is not imported."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sidelight.core.guard import public
from sidelight.errors import ConfigError, InputError, InputTypeError, UnsupportedTargetError
from sidelight.explainer import Explainer
from sidelight.faces.reading import Kind, read_batch, require_kind
from sidelight.inputs.image import PIXELS
from sidelight.targets import TargetModel
from sidelight.targets.weights import shapes_hash

#: arguments that Quantus passes to every ``explain_func``, whether it needs them or not
_IGNORED = {"method", "device"}


class PlainModel(nn.Module):
    """A target as Quantus calls models: pixels ``[B, C, H, W]`` to logits ``[B, K]``, always in eval mode.

    Attributes:
        target: its passes are made. A deep copy of this module holds a copy of it.
    """

    def __init__(self, target: TargetModel) -> None:
        super().__init__()
        self.target, self.inner = target, target.model
        # of this module alone: each pass puts the borrowed classifier into eval mode and back
        self.training = False

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of ``pixels``, with gradients to them."""
        pixels = pixels.to(self.target.device)
        return self.target.forward({PIXELS: pixels}, {"image": pixels})


class QuantusExplain:
    """The callable that :func:`as_quantus` gives. Arrays come in, and arrays go out.

    Attributes:
        model: the explainer's classifier as Quantus calls it. Give this to Quantus as ``model=``: it calls models with one
            tensor, which Hugging Face models do not take.
    """

    def __init__(self, explainer: Explainer, reading: Kind, randomised: bool) -> None:
        self.explainer, self.reading, self.randomised = explainer, reading, randomised
        self.model = PlainModel(explainer.target)

    @public
    def __call__(self, model: Any, inputs: Any, targets: Any = None, **options: Any) -> np.ndarray:
        """Attributions of a batch, as Quantus asks for them.

        Args:
            model: the explainer's own classifier: :attr:`model`, the classifier itself, or a module around it.
            inputs: ``[B, C, H, W]`` pixels as the model takes them.
            targets: ``[B]`` class of each sample. Default: the predicted ones.
            options: ``method`` and ``device``, which Quantus adds, mean nothing here.

        Returns:
            ``[B, 1, H, W]`` float32.

        Raises:
            ConfigError: ``model`` is another one, an option is unknown, or the scorer does not know a class.
            InputError: inputs or targets are not what the model takes.
        """
        unknown = sorted(set(options) - _IGNORED)
        if unknown:
            raise ConfigError(
                f"explain_func_kwargs: {', '.join(unknown)} mean nothing to sidelight; leave them out. A reading is chosen "
                "beforehand: as_quantus(explainer, reading='ranking')."
            )
        explainer = self._explainer_of(model)
        pixels = _pixels(inputs).to(explainer.target.device)
        values = read_batch(explainer, {PIXELS: pixels}, _classes(targets, len(pixels)), self.reading)
        return values["image"].cpu().numpy()

    def _explainer_of(self, model: Any) -> Explainer:
        """The explainer, or its scorer beside a copy of its classifier whose weights were drawn anew."""
        own = self.explainer.target.model
        if model is None or model is own:
            return self.explainer
        if isinstance(model, nn.Module) and any(part is own for part in model.modules()):
            return self.explainer
        copied = isinstance(model, PlainModel) and shapes_hash(model.inner) == shapes_hash(own)
        if copied and self.randomised:
            # other weights are wanted, so nothing of them is compared
            return Explainer(model.target, self.explainer.scorer, "off", fingerprint="drawn anew")
        raise ConfigError(
            f"Quantus asks about {type(model).__name__}, which is not the classifier of this explainer "
            f"({self.explainer.target.name}). Give Quantus model=explain.model, where explain = as_quantus(explainer). "
            "Metrics that draw weights anew (MPRT) need as_quantus(explainer, randomised=True)."
        )


@public
def as_quantus(explainer: Explainer, reading: Kind = "scores", *, randomised: bool = False) -> QuantusExplain:
    """An ``explain_func`` for ``quantus.evaluate`` and for single metrics of Quantus. Images only.

    Args:
        explainer: fitted or loaded.
        reading: ``"scores"`` in [0, 1]; ``"ranking"`` for metrics that go by the order of features (PixelFlipping);
            ``"effects"`` for metrics that add values up (FaithfulnessCorrelation).
        randomised: also explain copies of ``.model`` with other weights, with the same scorer. Metrics that randomise
            parameters (MPRT) need it. They ask whether a map depends on the weights at all.

    Returns:
        The callable. Its ``model`` is what Quantus gets as ``model=``.

    Raises:
        UnsupportedTargetError: the classifier reads more than images.
        ConfigError: the scorer has no such reading.

    Example:
        >>> explain = as_quantus(explainer)
        >>> explain(explain.model, pixels.numpy(), np.array([0, 1])).shape
        (2, 1, 32, 32)
    """
    if not isinstance(explainer, Explainer):
        raise InputTypeError(f"expected a sidelight Explainer; got {type(explainer).__name__}.")
    modalities = tuple(explainer.target.modalities)
    if modalities != ("image",):
        raise UnsupportedTargetError(
            f"Quantus measures maps of images here; this classifier reads {' and '.join(modalities)}. Measure it with "
            "`sidelight evaluate`, or with explain(verify=True)."
        )
    return QuantusExplain(explainer, require_kind(reading, explainer), randomised)


def _pixels(inputs: Any) -> Tensor:
    try:
        return torch.as_tensor(np.asarray(inputs), dtype=torch.float32)
    except (TypeError, ValueError) as error:
        raise InputTypeError(
            f"inputs must be an array [B, C, H, W] of numbers; got {type(inputs).__name__} ({error})."
        ) from error


def _classes(targets: Any, count: int) -> list[int] | None:
    """One class a sample. Quantus may give one for all."""
    if targets is None:
        return None
    given = np.asarray(targets).reshape(-1)
    whole = given.astype(np.int64) if np.issubdtype(given.dtype, np.number) else None
    if whole is None or not np.array_equal(whole, given):
        raise InputError(f"targets must be class numbers; got {targets!r:.60}.")
    return [int(whole[0])] * count if len(whole) == 1 else [int(c) for c in whole]
