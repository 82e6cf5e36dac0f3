"""sidelight: one-pass attribution maps from a small scorer beside a frozen classifier.

>>> import sidelight
>>> sidelight.__version__
'0.1.0'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidelight.core.version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from torch import nn

    from sidelight.checks.selfcheck import Check
    from sidelight.errors import SidelightError
    from sidelight.explainer import Explainer
    from sidelight.explanations.blocks import ExplainFailure
    from sidelight.explanations.explanation import Explanation
    from sidelight.explanations.stored import read_explanations
    from sidelight.inputs.images import ImageTransform
    from sidelight.scorers import ScorerConfig
    from sidelight.targets import TargetModel
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


def fit(
    model: nn.Module | TargetModel,
    train: Any,
    *,
    eval: Any = None,
    validation: Any = None,
    processor: Any = None,
    scorer: ScorerConfig | Mapping[str, Any] | None = None,
    objective: ObjectiveConfig | Mapping[str, Any] | None = None,
    training: TrainingConfig | Mapping[str, Any] | None = None,
    output_dir: str | os.PathLike[str] | None = None,
    check: Check = "error",
    **options: Any,
) -> Explainer:
    """Short for :meth:`Explainer.fit`."""
    from sidelight.explainer import Explainer

    return Explainer.fit(
        model,
        train,
        eval=eval,
        validation=validation,
        processor=processor,
        scorer=scorer,
        objective=objective,
        training=training,
        output_dir=output_dir,
        check=check,
        **options,
    )


def load(
    folder: str | os.PathLike[str],
    model: nn.Module | TargetModel | str | os.PathLike[str] | None = None,
    *,
    processor: Any = None,
    revision: str | None = None,
    check: Check = "error",
) -> Explainer:
    """Short for :meth:`Explainer.from_pretrained`."""
    from sidelight.explainer import Explainer

    return Explainer.from_pretrained(folder, model, processor=processor, revision=revision, check=check)


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        from importlib import import_module

        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'sidelight' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
