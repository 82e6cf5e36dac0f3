"""What stored numbers were measured by, as far as sidelight itself measures otherwise than it did before."""

from __future__ import annotations

from typing import Any

from sidelight.targets import TargetModel

#: In 1 the logit of "no" was 0 under every mask. So drops, areas and gradients of the class "no" were 0.
OF_ONE_NUMBER = 2


def measures_of(target: TargetModel) -> dict[str, Any]:
    """What tells numbers of ``target`` from those of an earlier version, or nothing where both measure alike."""
    return {"measures of one output": OF_ONE_NUMBER} if _gives_one_number(target) else {}


def _gives_one_number(target: TargetModel) -> bool:
    """Whether the model's only number ``s`` is read as logits 0 and ``s``. It is known before the first pass."""
    compares = getattr(getattr(target, "architecture", None), "gives_similarity", False)
    # beside candidates there is a similarity for each
    similarity = compares and not getattr(target, "candidates", ())
    return target.verdict.reading in ("sigmoid", "value") or similarity
