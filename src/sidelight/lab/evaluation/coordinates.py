"""A target as a method sees it that scores every channel of a feature, such as a coordinate of an embedding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sidelight.core.types import Encoding, Features, Inputs, Unmasked
from sidelight.errors import ConfigError
from sidelight.fills.base import FillContext
from sidelight.lab.metrics.base import METRICS
from sidelight.lab.metrics.protocols import PROTOCOLS
from sidelight.targets.base import TargetModel


def by_channel(method: Any, protocol: str, modalities: Iterable[str]) -> list[str]:
    """Those of ``modalities`` that ``protocol`` scores by channel if ``method`` reduces channels only at the end."""
    if getattr(method, "reduction", "none") == "none":
        return []
    return [name for name in PROTOCOLS[protocol].coordinates if name in modalities]


def require_unjudged(
    metrics: Iterable[str], protocol: str, modalities: Iterable[str], methods: Mapping[str, Any]
) -> None:
    """Raise :class:`ConfigError` if a judge would be asked about single channels, of which it knows nothing."""
    judged = [name for name in metrics if METRICS[name].judged]
    found = {name: by_channel(method, protocol, modalities) for name, method in methods.items()}
    asked = [name for name, channels in found.items() if channels]
    if judged and asked:
        raise ConfigError(
            f"protocol {protocol!r} scores {' and '.join(found[asked[0]])} by channel for {', '.join(asked)}; a judge has "
            f"seen whole features removed only, so {', '.join(judged)} cannot be measured. Leave the metric(s) or these "
            "methods out, or use a protocol without coordinates."
        )


class ChannelView(TargetModel):
    """``target`` with every channel of some modalities a feature of its own.

    Passes, fills and inputs are the target's. Scores of the ``names`` have the shape of the differentiable
    input, text ``[B, T, D]``. A channel counts if its feature does. The caller gives a score of 1 to all
    others, as :class:`~sidelight.lab.metrics.probe.Probe` does.

    Args:
        target: the model, borrowed.
        names: modalities to be scored by channel. The others stay as they are.
    """

    def __init__(self, target: TargetModel, names: Iterable[str]) -> None:
        super().__init__(target.model)
        self.verdict = target.verdict
        self.target, self.names = target, tuple(n for n in target.modalities if n in set(names))
        self.family, self.reference = target.family, target.reference
        self.modalities = {n: m.by_channel() if n in self.names else m for n, m in target.modalities.items()}

    def spread(self, per_feature: Mapping[str, Tensor], inputs: Inputs) -> dict[str, Tensor]:
        """Each channel gets the value of its feature: text ``[B, T]`` to ``[B, T, D]``."""
        with torch.no_grad():
            features = self.features(inputs)
        return {
            n: self.target.modalities[n].expand(v).expand_as(features[n]) if n in self.names else v
            for n, v in per_feature.items()
        }

    def feature_mask(self, inputs: Inputs) -> Mapping[str, Tensor]:
        return self.spread(self.target.feature_mask(inputs), inputs)

    def check(self, inputs: Inputs) -> None:
        self.target.check(inputs)

    def features(self, inputs: Inputs) -> Features:
        return self.target.features(inputs)

    def forward(self, inputs: Inputs, features: Features) -> Tensor:
        return self.target.forward(inputs, features)

    def fill_values(
        self, inputs: Inputs, fill: str, seeds: Sequence[int], features: Features | None = None
    ) -> dict[str, Tensor]:
        return self.target.fill_values(inputs, fill, seeds, features)

    def fill_context(self, modality: str, seeds: Sequence[int]) -> FillContext:
        return self.target.fill_context(modality, seeds)

    def _encode(self, inputs: Inputs) -> Encoding:
        return self.target.encode(inputs)

    def unmasked(self, inputs: Inputs, encoding: Encoding | None = None) -> Unmasked:
        whole = self.target.unmasked(inputs, encoding)
        return replace(whole, feature_mask=self.spread(whole.feature_mask, inputs))
