"""The methods a scorer is compared with, behind one callable (:class:`Rival`)."""

from sidelight.lab.baselines.attention import AttentionRollout
from sidelight.lab.baselines.base import RIVALS, Rival, make_rival
from sidelight.lab.baselines.captum import (
    DeepLift,
    DeepLiftShap,
    GuidedBackprop,
    IntegratedGradients,
    Saliency,
)
from sidelight.lab.baselines.degeneracy import Coincidence, coincidences, completeness_gap
from sidelight.lab.baselines.gradcam import GradCam
from sidelight.lab.baselines.gradients import Gradient, GradientShap, InputXGradient
from sidelight.lab.baselines.perturbation import Occlusion, Rise
from sidelight.lab.baselines.surrogate import KernelShap, Lime
from sidelight.lab.baselines.trivial import Centre, Constant, InputNorm, Random

#: what a benchmark runs unless told otherwise; LIME and KernelSHAP are slow: name them in ``few_samples``
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

__all__ = [
    "DEFAULT_RIVALS",
    "RIVALS",
    "AttentionRollout",
    "Centre",
    "Coincidence",
    "Constant",
    "DeepLift",
    "DeepLiftShap",
    "GradCam",
    "Gradient",
    "GradientShap",
    "GuidedBackprop",
    "InputNorm",
    "InputXGradient",
    "IntegratedGradients",
    "KernelShap",
    "Lime",
    "Occlusion",
    "Random",
    "Rise",
    "Rival",
    "Saliency",
    "coincidences",
    "completeness_gap",
    "make_rival",
]
