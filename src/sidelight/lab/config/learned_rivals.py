"""Objectives of other people's learned explainers, to train our decoder with (``beside: nemt: {objective: nemt}``).

Each is the loss of its paper, as far as it is known, on the decoder, rows and fills of this library. So a table
compares losses and not networks, and none of these rows is a measurement of the authors' own system. What a source does
not tell, or what differs here, is said in :attr:`LearnedRival.choices`. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from sidelight.core.registry import Registry

#: The thesis's own terms switched off.
_NOT_OURS: Mapping[str, Any] = MappingProxyType(
    {"preset": "thesis", "calibration": "fixed", "magnitude_weight": 0.0, "binary_weight": 0.0, "solo": False}
)


@dataclass(frozen=True)
class LearnedRival:
    """A learned explainer as settings of ours.

    Attributes:
        name: key in :data:`LEARNED_RIVALS`.
        source: the paper.
        doc: one line for people.
        choices: what the source does not tell, or what differs.
        objective: fields of :class:`~sidelight.training.settings.ObjectiveConfig`.
        scorer: fields of the scorer's section that belong to the method.
        modalities: for which the paper has it.
    """

    name: str
    source: str
    doc: str
    choices: str
    objective: Mapping[str, Any]
    scorer: Mapping[str, Any] = field(default_factory=dict)
    modalities: tuple[str, ...] = ("image",)


#: Learned explainers by name.
LEARNED_RIVALS: Registry[LearnedRival] = Registry("learned rival")


def _add(rival: LearnedRival) -> None:
    LEARNED_RIVALS.add(rival.name, rival)


_add(
    LearnedRival(
        name="nemt",
        source="Møller, Igel, Wickstrøm, Sporring, Jenssen & Ibragimov, ICML 2024; called NEMt in arXiv 2610.09844",
        doc="mask loss of NEM for classifiers: mean(S) + 2·(p(x⊗S) − p(x))², zero fill",
        choices=(
            "The factors are those of the public code for classifiers, whose settings for NEMt are not known to be the "
            "same. The class is the predicted one, where the code takes the label. The code smooths masks by a random "
            "kernel of 21 pixels, and our decoder does not."
        ),
        objective={
            **_NOT_OURS,
            "label": "prediction",
            "fills": ["zero"],
            "mask_weight": 0.0,
            "shown_weight": 1.0,
            "probability_weight": 2.0,
        },
        scorer={"relu": False, "standardise": False, "rescale": False},
    )
)
_add(
    LearnedRival(
        name="ra_nem",
        source="Møller, Ibragimov & Igel 2026, arXiv 2610.09844",
        doc="rank loss of Ra-NEM: 1 − p(best share kept) + p(best share removed), six shares a sample, zero fill",
        choices=(
            "Single features are ranked, with the cut and the noise of our own rank term (docs/notes/rank-term.md) and "
            "hard masks, which "
            "follows the paper. The fill and the predicted class are our choice. The goal is indexed for each sample, "
            "which the public code does not do. A map is the min-max of the raw scores, because the loss teaches an order "
            "and no mask."
        ),
        objective={
            **_NOT_OURS,
            "label": "prediction",
            "fills": ["zero"],
            "mask_weight": 0.0,
            "rank_weight": 1.0,
            "rank_draws": 6,
            "rank_groups": False,
            "rank_hard": True,
        },
        scorer={"relu": False, "sigmoid": False, "rescale": True},
    )
)
_add(
    LearnedRival(
        name="attributive_masking",
        source="Barkan, Toib, Elisha, Weill & Koenigstein, Findings of EMNLP 2024 (reference 2 of the thesis)",
        doc="AML in its pre-trained form: CE(x⊗S, output) − log(1 − p(x⊗(1−S))) − mean(log(1 − S)), mask token as fill",
        choices=(
            "This is the form that makes a map in one pass. The fine-tuning on each single text is left out. The paper "
            "tunes the three factors for each data set and metric. Here all are 1. Its network is a second language model "
            "that is trained as a whole and is told the prediction by an extra token, and ours is the small decoder. A "
            "target whose tokenizer has no mask token needs another fill (objective.fills)."
        ),
        objective={
            **_NOT_OURS,
            "label": "distribution",
            "fills": ["mask"],
            "mask_weight": 1.0,
            "complement_weight": 1.0,
            "emptiness_weight": 1.0,
        },
        scorer={"relu": False, "standardise": False, "rescale": False},
        modalities=("text",),
    )
)


def learned_rival(given: Any) -> LearnedRival | None:
    """The learned rival that an ``objective`` names, as ``nemt`` or as ``{rival: nemt, shown_weight: 0.5}``."""
    if isinstance(given, Mapping):
        return LEARNED_RIVALS[str(given["rival"])] if "rival" in given else None
    return LEARNED_RIVALS[given] if isinstance(given, str) and given in LEARNED_RIVALS else None
