"""One small network for all modalities of a target: ``S = g(h)``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from pydantic import TypeAdapter
from torch import Tensor, nn

from sidelight.core.field_checks import Flag, Options, check_fields, check_values
from sidelight.core.finite import require_finite_scores
from sidelight.core.registry import Registry, nearest
from sidelight.core.types import Encoding, TargetSpec
from sidelight.errors import ConfigError, InputError
from sidelight.scorers.head import ScoreHead

#: ``(states, feature_shape, cond_dim, **options) -> decoder``. A decoder is called as
#: ``decoder(encoding, modality_name) -> raw`` of the scores' shape.
DecoderFactory = Callable[..., nn.Module]

#: Decoders by modality name.
DECODERS: Registry[DecoderFactory] = Registry("scorer modality")


@dataclass(frozen=True)
class ScorerConfig:
    """Everything needed to rebuild a scorer before its weights are loaded.

    Attributes:
        relu, sigmoid, rescale: steps of the score head (§3.2).
        decoder: options of each modality's decoder, e.g. ``{"image": {"channels": [64, 32, 16]}}``.
        conditioned: whether decoders read the target's fusion output, if it has one (§3.3.3).
    """

    relu: Flag = True
    sigmoid: Flag = True
    rescale: Flag = True
    decoder: Mapping[str, Options] = field(default_factory=dict)
    conditioned: Flag = True

    def __post_init__(self) -> None:
        check_fields(self, "scorer")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


class Scorer(nn.Module):
    """A decoder and a score head for each modality of a target.

    Args:
        spec: shapes of the target's states.
        config: head steps and decoder options.

    Raises:
        ConfigError: a decoder option or modality is unknown.
    """

    def __init__(self, spec: TargetSpec, config: ScorerConfig | None = None) -> None:
        super().__init__()
        self.spec, self.config = spec, config or ScorerConfig()
        for name in self.config.decoder:
            if name not in spec.states:
                raise ConfigError(
                    f"scorer options for {name!r}, but the target has {sorted(spec.states)}.{nearest(name, spec.states)}"
                )
        cond = spec.fusion_dim if self.config.conditioned else None
        self.decoders = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        for name, states in spec.states.items():
            given, kinds = self.config.decoder.get(name, {}), getattr(DECODERS[name], "OPTIONS", {})
            options = check_values(given, kinds, "scorer")
            try:
                self.decoders[name] = DECODERS[name](states, spec.feature_shape.get(name), cond, **options)
            except TypeError as error:
                raise ConfigError(f"scorer options for {name!r}: {error}.") from error
            self.heads[name] = ScoreHead(self.config.relu, self.config.sigmoid, self.config.rescale)

    def forward(self, encoding: Encoding) -> dict[str, Tensor]:
        """Scores in [0, 1] for each modality, of the shape of ``encoding.feature_mask``."""
        return self.score(self.raw(encoding), encoding.feature_mask)

    def score(self, raw: Mapping[str, Tensor], feature_mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores in [0, 1] of raw scores, by the score heads.

        Raises:
            NotFiniteError: raw scores hold NaN or infinity.
        """
        require_finite_scores(raw, feature_mask)
        return {name: self.heads[name](values, feature_mask[name]) for name, values in raw.items()}

    def raw(self, encoding: Encoding) -> dict[str, Tensor]:
        """Unbounded raw scores for each modality, which the score heads read."""
        missing = sorted(set(self.decoders) - set(encoding.states))
        if missing:
            raise InputError(f"the encoding has no states of {missing}; it holds {sorted(encoding.states)}.")
        for name in self.decoders:
            self._require_states(name, encoding.states[name])
        return {name: decoder(encoding, name) for name, decoder in self.decoders.items()}

    def _require_states(self, name: str, states: Sequence[Tensor]) -> None:
        found = [s.shape[1] if s.ndim == 4 else s.shape[-1] for s in states]
        expected = [s.channels for s in self.spec.states[name]]
        if found != expected:
            raise InputError(
                f"the target gives {name} states of {found} channels; this scorer was made for {expected}. Load it beside "
                "the classifier that it was trained beside, with the same layers."
            )

    @property
    def num_parameters(self) -> int:
        """Trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def spec_to_dict(spec: TargetSpec) -> dict[str, Any]:
    """Plain values for JSON."""
    return asdict(spec)


def spec_from_dict(values: Mapping[str, Any]) -> TargetSpec:
    """Inverse of :func:`spec_to_dict`, of plain values as JSON gives them.

    Raises:
        ValueError: a value is missing or of the wrong type.
    """
    spec = TypeAdapter(TargetSpec).validate_json(json.dumps(values), strict=True)  # lists are tuples in JSON
    numbers = [s.channels for states in spec.states.values() for s in states]
    numbers += [n for states in spec.states.values() for s in states for n in s.grid or ()]
    numbers += [n for shape in spec.feature_shape.values() for n in shape]
    if min(numbers, default=1) < 1 or (spec.fusion_dim is not None and spec.fusion_dim < 1):
        raise ValueError("sizes must be 1 or more")
    return spec
