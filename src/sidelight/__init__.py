"""sidelight: one-pass attribution maps from a small scorer beside a frozen classifier.

>>> import sidelight
>>> sidelight.__version__
'0.2.0.dev0'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidelight.core.version import __version__

if TYPE_CHECKING:
    from sidelight.errors import SidelightError
    from sidelight.explainer import Explainer, fit, load
    from sidelight.explanations.blocks import ExplainFailure
    from sidelight.explanations.explanation import Explanation
    from sidelight.explanations.reading import read_explanations
    from sidelight.faces.captum import SidelightAttribution as SidelightAttribution
    from sidelight.faces.opening import pipeline
    from sidelight.faces.quantus import as_quantus
    from sidelight.inputs.images import ImageTransform
    from sidelight.scorers import ScorerConfig
    from sidelight.training.settings import ObjectiveConfig, TrainingConfig

#: public name -> its module. Names resolve on first use, so that `import sidelight` takes milliseconds.
_PUBLIC = {
    "ExplainFailure": "sidelight.explanations.blocks",
    "Explainer": "sidelight.explainer",
    "Explanation": "sidelight.explanations.explanation",
    "ImageTransform": "sidelight.inputs.images",
    "ObjectiveConfig": "sidelight.training.settings",
    "ScorerConfig": "sidelight.scorers",
    "SidelightError": "sidelight.errors",
    "TrainingConfig": "sidelight.training.settings",
    "as_quantus": "sidelight.faces.quantus",
    "fit": "sidelight.explainer",
    "load": "sidelight.explainer",
    "pipeline": "sidelight.faces.opening",
    "read_explanations": "sidelight.explanations.reading",
}
#: the same for names that need a package of an extra. They are not listed: ``import *`` and completion must work without
_OPTIONAL = {"SidelightAttribution": "sidelight.faces.captum"}

__all__ = [
    "ExplainFailure",
    "Explainer",
    "Explanation",
    "ImageTransform",
    "ObjectiveConfig",
    "ScorerConfig",
    "SidelightError",
    "TrainingConfig",
    "__version__",
    "as_quantus",
    "fit",
    "load",
    "pipeline",
    "read_explanations",
]

_METHOD = (
    "; it is a method: explainer.explain(...), where explainer comes from sidelight.fit or sidelight.load"
)
#: what to write in the place of names that people try
_HINTS = {
    "compare": "; compare is of the laboratory: from sidelight.lab import compare",
    "explain": _METHOD,
    "from_pretrained": "; write sidelight.load(...)",
    "train": "; write sidelight.fit(...)",
}


def __getattr__(name: str) -> Any:
    place = _PUBLIC.get(name) or _OPTIONAL.get(name)
    if place is None:
        raise AttributeError(f"module 'sidelight' has no attribute {name!r}{_HINTS.get(name, '')}")
    from importlib import import_module

    return getattr(import_module(place), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
