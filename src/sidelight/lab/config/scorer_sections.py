"""The sections of a configuration about scorers, and what every section is. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from sidelight.core.registry import nearest
from sidelight.lab.config.learned_rivals import learned_rival
from sidelight.training.presets import objective_fields
from sidelight.training.settings import ObjectiveConfig, TrainingConfig


class Section(BaseModel):
    """A part of the configuration. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ScorerSection(Section):
    """The scorer's network.

    Attributes:
        relu, sigmoid, rescale: steps of the score head, as in :class:`ScorerConfig`.
        standardise: whether raw scores are standardised in each sample before the sigmoid.
        conditioned: whether decoders read the classifier's fusion output, if it has one.
        by_class: whether maps are of any class (default: if the objective teaches it).
        channels, stride, padding, pooled, direct, gates: options of the image decoder.
        width, layers, heads: options of the text decoder.
    """

    relu: bool = True
    sigmoid: bool = True
    rescale: bool = True
    standardise: bool = True
    conditioned: bool = True
    by_class: bool | None = None
    channels: list[int] | None = None
    stride: int | None = None
    padding: str | None = None
    pooled: bool | None = None
    direct: bool | None = None
    gates: int | None = None
    width: int | None = None
    layers: int | None = None
    heads: int | None = None

    def decoder_options(self, modalities: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Options of each modality's decoder, those left unset dropped."""
        owned = {
            "image": ("channels", "stride", "padding", "pooled", "direct", "gates"),
            "text": ("width", "layers", "heads"),
        }
        return {
            m: {k: getattr(self, k) for k in owned.get(m, ()) if getattr(self, k) is not None}
            for m in modalities
        }


class BesideSection(Section):
    """Another kind of scorer beside the same target, with the same seeds. It gets a row of its own in every table.

    Attributes:
        objective: the name of a preset, or fields, or a learned rival: ``nemt``, ``ra_nem``, ``attributive_masking``, or
            ``{rival: nemt, shown_weight: 0.5}``.
        training: how it is trained (default: like the scorer of the run).
        scorer: its network (default: like the scorer of the run, with the head of the learned rival if it is one).
    """

    objective: ObjectiveConfig
    training: TrainingConfig | None = None
    scorer: dict[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _of_rival(cls, given: Any) -> Any:
        """A learned rival's name as the fields that it stands for."""
        rival = learned_rival(given.get("objective")) if isinstance(given, dict) else None
        if rival is None:
            return given
        named = given["objective"]
        more = {k: v for k, v in named.items() if k != "rival"} if isinstance(named, dict) else {}
        head = {**rival.scorer, **(given.get("scorer") or {})}
        return {**given, "objective": {**rival.objective, **more}, "scorer": head}

    @field_validator("scorer")
    @classmethod
    def _known_fields(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        known = list(ScorerSection.model_fields)
        for name in given or {}:
            if name not in known:
                raise ValueError(f"scorer has no field {name!r}.{nearest(name, known)}")
        ScorerSection(**(given or {}))
        return given

    def scorer_of(self, section: ScorerSection) -> ScorerSection:
        """The run's ``section`` with this kind's own values."""
        return ScorerSection(**{**section.model_dump(), **(self.scorer or {})})

    def training_of(self, own: TrainingConfig) -> TrainingConfig:
        """This kind's own training, or the run's ``own``."""
        return own if self.training is None else self.training

    @field_validator("objective", mode="before")
    @classmethod
    def _by_preset(cls, given: Any) -> Any:
        return objective_fields(given) if given is None or isinstance(given, (str, dict)) else given
