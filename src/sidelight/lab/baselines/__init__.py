"""The baseline methods that a scorer is compared with, behind one callable (:class:`Rival`).

Importing the package imports every module in it, so a new method needs one file and no entry here.
"""

from importlib import import_module
from pkgutil import iter_modules

from sidelight.lab.baselines.base import RIVALS, Rival, make_rival
from sidelight.lab.baselines.degeneracy import Coincidence, coincidences

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

#: what a benchmark runs unless told otherwise; LIME and KernelSHAP are slow, ``few_samples`` may name them
DEFAULT_RIVALS = (
    "saliency",
    "guided_backprop",
    "integrated_gradients",
    "deep_lift",
    "deep_lift_shap",
    "gradient_shap",
    "grad_cam",
    "attention_rollout",
    "rise",
    "occlusion",
    "random",
    "centre",
    "constant",
)

__all__ = ["DEFAULT_RIVALS", "RIVALS", "Coincidence", "Rival", "coincidences", "make_rival"]
