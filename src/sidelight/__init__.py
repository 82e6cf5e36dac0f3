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
    from sidelight.explainer import Explainer
    from sidelight.explanations.blocks import ExplainFailure
    from sidelight.explanations.explanation import Explanation
    from sidelight.explanations.stored import read_explanations
    from sidelight.inputs.images import ImageTransform
    from sidelight.scorers import ScorerConfig
    from sidelight.training.settings import ObjectiveConfig, TrainingConfig

#: public name -> module; resolved on first use, so that `import sidelight` takes milliseconds
_PUBLIC = {
    "ExplainFailure": "sidelight.explanations.blocks",
    "Explainer": "sidelight.explainer",
    "Explanation": "sidelight.explanations.explanation",
    "ImageTransform": "sidelight.inputs.images",
    "ObjectiveConfig": "sidelight.training.settings",
    "ScorerConfig": "sidelight.scorers",
    "SidelightError": "sidelight.errors",
    "TrainingConfig": "sidelight.training.settings",
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


def fit(*args: Any, **kwargs: Any) -> Explainer:
    """Short for :meth:`Explainer.fit`."""
    from sidelight.explainer import Explainer

    return Explainer.fit(*args, **kwargs)


def load(*args: Any, **kwargs: Any) -> Explainer:
    """Short for :meth:`Explainer.from_pretrained`."""
    from sidelight.explainer import Explainer

    return Explainer.from_pretrained(*args, **kwargs)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        from importlib import import_module

        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'sidelight' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
