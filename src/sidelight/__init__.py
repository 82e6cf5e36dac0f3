"""sidelight: one-pass attribution maps from a small scorer beside a frozen classifier.

>>> import sidelight
>>> sidelight.__version__
'0.1.0'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidelight.core.version import __version__

if TYPE_CHECKING:
    from sidelight.errors import SidelightError
    from sidelight.explainer import Explainer, fit, load
    from sidelight.explanations.blocks import ExplainFailure
    from sidelight.explanations.explanation import Explanation
    from sidelight.explanations.stored import read_explanations
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
    "fit": "sidelight.explainer",
    "load": "sidelight.explainer",
    "read_explanations": "sidelight.explanations.stored",
}

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
    "fit",
    "load",
    "read_explanations",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'sidelight' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
