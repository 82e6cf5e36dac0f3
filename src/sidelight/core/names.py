"""Names of explanation methods: ours, those of the baseline methods, and how people write them."""

from __future__ import annotations

from collections.abc import Iterable

#: name of our own method in every row, table and figure
OURS = "sidelight"
#: methods that do not look at the model: the floor that every method must beat
CONTROLS = ("random", "centre", "center", "constant", "input_norm")
#: names that :func:`method_label` would not spell as people do
_SPELLED = {
    OURS: OURS,
    "rise": "RISE",
    "lime": "LIME",
    "gradcam": "Grad-CAM",
    "grad_cam": "Grad-CAM",
    "gradient": "Gradient (signed)",
    "gradient_shap": "Gradient-SHAP",
    "deeplift": "DeepLIFT",
    "deeplift_shap": "DeepLIFT-SHAP",
    "deep_lift": "DeepLIFT",
    "deep_lift_shap": "DeepLIFT-SHAP",
    "input_x_gradient": "Input × Gradient",
    "kernel_shap": "Kernel-SHAP",
    "reference_x_gradient": "(input − mean reference) × Gradient",
}


def method_label(name: str) -> str:
    """A method's name as people write it.

    Example:
        >>> method_label("integrated_gradients"), method_label("rise")
        ('Integrated Gradients', 'RISE')
    """
    if name in _SPELLED:
        return _SPELLED[name]
    # Names with capitals or spaces were written for readers already.
    return name if name != name.lower() or " " in name else name.replace("_", " ").title()


def is_ours(method: str) -> bool:
    """Whether ``method`` is our own or a variant of it (``"sidelight (seed 1)"``)."""
    return method == OURS or method.startswith((f"{OURS} ", f"{OURS}:", f"{OURS}-"))


def is_control(method: str) -> bool:
    """Whether ``method`` is a trivial map."""
    return method.lower() in CONTROLS


def kind_of(method: str) -> str:
    """``"ours"``, ``"control"`` (a trivial map) or ``"rival"`` (a baseline method)."""
    if is_ours(method):
        return "ours"
    return "control" if is_control(method) else "rival"


def ordered(methods: Iterable[str]) -> list[str]:
    """Methods without duplicates: ours, then the others in the order given, then trivial maps."""
    unique = list(dict.fromkeys(methods))
    return sorted(unique, key=lambda m: (not is_ours(m), is_control(m)))
