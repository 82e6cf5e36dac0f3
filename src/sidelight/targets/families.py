"""The target families, and the choice of one for a model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from sidelight.core.registry import Registry
from sidelight.errors import UnsupportedTargetError
from sidelight.targets.architectures import reads_pairs
from sidelight.targets.base import TargetModel
from sidelight.targets.image import ImageTarget
from sidelight.targets.image_text import ImageTextTarget
from sidelight.targets.input_checks import OTHER_INPUTS
from sidelight.targets.outputs import is_hugging_face
from sidelight.targets.text import TextTarget
from sidelight.targets.wrappers import require_module

#: Target families by modality name. A new family needs one file and one line here.
TARGETS: Registry[type[TargetModel]] = Registry("target family")
TARGETS.add("image", ImageTarget)
TARGETS.add("text", TextTarget)
TARGETS.add("image+text", ImageTextTarget)


def family_of(model: Any) -> str:
    """Return the name in :data:`TARGETS` of the family that reads the inputs of ``model``.

    Args:
        model: a classifier or a target. A Hugging Face model declares its inputs. A plain module counts as one of images.

    Raises:
        UnsupportedTargetError: ``model`` is no ``nn.Module``.

    Example:
        >>> family_of(model), family_of(nn.Linear(2, 2))  # the first is a BERT
        ('text', 'image')
    """
    if isinstance(model, TargetModel):
        return model.family
    require_module(model, "" if isinstance(model, nn.Module) else _advice(model))
    # Hugging Face models declare their inputs. We assume that a plain module reads images.
    if reads_pairs(model):
        return "image+text"
    return "text" if getattr(model, "main_input_name", "pixel_values") == "input_ids" else "image"


def require_known_inputs(model: nn.Module) -> None:
    """Raise :class:`UnsupportedTargetError` if a Hugging Face ``model`` reads something else than images and texts."""
    if not is_hugging_face(model) or reads_pairs(model):
        return
    main = str(getattr(model, "main_input_name", ""))
    taken = inspect.signature(model.forward).parameters
    other = main in taken and not taken.keys() & {"pixel_values", "input_ids"}
    frames = getattr(model.config, "num_frames", None) is not None and main == "pixel_values"
    if other or frames:
        what = f"{main!r}" if other else f"several frames of a video as {main!r}"
        raise UnsupportedTargetError(
            f"{type(model).__name__} reads {what}, and sidelight knows images, texts and pairs of both. {OTHER_INPUTS}"
        )


def _advice(given: Any) -> str:
    """What to do about ``given``, which is no module, or nothing if that is not known."""
    if isinstance(given, type):
        return f" That is the class {given.__name__} itself: make a model of it."
    if isinstance(given, Mapping) and any(isinstance(value, Tensor) for value in given.values()):
        return (
            " These are weights: load them into their model, model.load_state_dict(...), and give the model."
        )
    if isinstance(given, (tuple, list)):
        return (
            " Give the model alone, and what prepares its inputs as processor=.... The model comes first, and the data second: "
            "Explainer.fit(model, data, processor=...)."
        )
    if isinstance(getattr(given, "target", None), TargetModel):
        return " An explainer holds the wrapped model: give it.target."
    own = getattr(given, "__dict__", {})
    parts = [n for n, m in own.items() if isinstance(m, nn.Module) and next(m.parameters(), None) is not None]
    if parts:  # a head of scikit-learn may decide, as SetFit's does
        return (
            f" It holds torch modules ({', '.join(parts)}), but sidelight cannot tell whether one of them alone decides. Give "
            "the module whose forward returns the logits. If a model of scikit-learn decides, methods that ask for predictions "
            "alone can explain it, e.g. those of SHAP and LIME."
        )
    if inspect.isroutine(given) or hasattr(given, "predict") or hasattr(given, "predict_proba"):
        return (
            " A scorer reads the hidden states of a network, which functions and models of scikit-learn do not show. Methods "
            "that ask for predictions alone can explain these, e.g. those of SHAP and LIME."
        )
    return ""
