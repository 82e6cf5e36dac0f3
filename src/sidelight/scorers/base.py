"""One small network for all modalities of a target: ``S = g(h)``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from sidelight.checks.quality import Quality
from sidelight.core.field_checks import Flag, Options, Positive, check_fields, check_values
from sidelight.core.finite import require_finite_scores
from sidelight.core.guard import public_class
from sidelight.core.registry import Registry, nearest
from sidelight.core.tensors import unless_all
from sidelight.core.types import Encoding, Reading, TargetSpec
from sidelight.errors import ConfigError, InputError
from sidelight.scorers.head import ScoreHead
from sidelight.scorers.readout import UNIT

#: ``(states, feature_shape, cond_dim, **options) -> decoder``. A decoder is called as
#: ``decoder(encoding, modality_name) -> raw`` of the scores' shape.
DecoderFactory = Callable[..., nn.Module]

#: Decoders by modality name.
DECODERS: Registry[DecoderFactory] = Registry("scorer modality")


@public_class
@dataclass(frozen=True)
class ScorerConfig:
    """Settings of the scorer's network. With them a scorer is built again before its weights are loaded.

    Attributes:
        relu: whether the score head cuts raw scores below 0 (thesis §3.2).
        sigmoid: whether the score head applies a sigmoid (thesis §3.2).
        rescale: whether the score head stretches each map to [0, 1] (thesis §3.2).
        standardise: whether raw scores are standardised in each sample before the sigmoid.
        decoder: options of each modality's decoder, e.g. ``{"image": {"channels": [64, 32, 16]}}``.
        conditioned: whether decoders read the target's fusion output, if it has one (thesis §3.3.3).
        by_class: whether maps are of any class, with a ranking and effects of their own
            (:mod:`sidelight.scorers.readout`). Otherwise they are of the predicted class, as in the thesis.
            With ``None`` the objective decides in a training. Elsewhere ``None`` means no.
        ranked: with ``by_class``, whether the ranking is a reading of its own. Otherwise it is the order of the map. With
            ``None`` the objective decides in a training. Elsewhere ``None`` means yes.
        effect_unit: with ``by_class``, scale of the raw effects: if a part covers this share of the input and all its raw
            effects are 1, it changes the probability by 1. With ``None`` the target decides in a training. Elsewhere
            ``None`` means 1/8.

    Raises:
        ConfigError: a value is of another kind, or out of range.

    Example:
        >>> ScorerConfig(decoder={"text": {"width": 64}}).to_dict()["decoder"]
        {'text': {'width': 64}}
    """

    relu: Flag = True
    sigmoid: Flag = True
    rescale: Flag = True
    standardise: Flag = True
    decoder: Mapping[str, Options] = field(default_factory=dict)
    conditioned: Flag = True
    by_class: Flag | None = None
    ranked: Flag | None = None
    effect_unit: Positive | None = None

    def __post_init__(self) -> None:
        check_fields(self, "scorer")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class RawScores:
    """Raw scores, without bounds, of one class for each sample: one set for each reading. Per modality, of the scores' shape.

    A scorer without ``by_class`` has one reading, and all three sets are equal.

    Attributes:
        map: what the score head turns into the map.
        ranking: the larger, the earlier a feature comes.
        effects: change of the probability by each feature, times the number of features and ``unit``.
        unit: scale of the effects. ``None`` if the objective's settings hold it.
    """

    map: dict[str, Tensor]
    ranking: dict[str, Tensor]
    effects: dict[str, Tensor]
    unit: float | None = None

    def minus(self, other: RawScores) -> RawScores:
        """Differences of raw scores."""
        pairs = ((self.map, other.map), (self.ranking, other.ranking), (self.effects, other.effects))
        mapped, ranked, effects = ({m: a[m] - b[m] for m in a} for a, b in pairs)
        return RawScores(mapped, ranked, effects, self.unit)


class Scorer(nn.Module):
    """A decoder and a score head for each modality of a target.

    Args:
        spec: shapes of the target's states, from ``target.spec(inputs)``.
        config: head steps and decoder options (default: ``ScorerConfig()``).

    Raises:
        ConfigError: a decoder option or modality is unknown, or ``by_class`` lacks the number of classes in ``spec``.
        UnknownNameError: a modality of ``spec`` has no decoder.

    Example:
        >>> inputs = explainer.target.reader.prepare(["a dull film"]).inputs
        >>> scorer = Scorer(explainer.target.spec(inputs))  # not yet trained
        >>> scorer(explainer.target.encode(inputs))["text"].shape  # three words between two special tokens
        torch.Size([1, 5])
    """

    def __init__(self, spec: TargetSpec, config: ScorerConfig | None = None) -> None:
        super().__init__()
        self.spec, self.config = spec, config or ScorerConfig()
        #: what is known of the training, and entries of a newer version's configuration: plain values that are saved too
        self.facts: dict[str, Any] = {}
        self.later: dict[str, Any] = {}
        #: foretells how well a map will do (:mod:`sidelight.checks.quality`), if the training learnt that
        self.quality: Quality | None = None
        for name in self.config.decoder:
            if name not in spec.states:
                raise ConfigError(
                    f"scorer options for {name!r}, but the target has {sorted(spec.states)}.{nearest(name, spec.states)}"
                )
        cond = spec.fusion_dim if self.config.conditioned else None
        known = {"classes": self._class_count()} if self.config.by_class else {}
        self.decoders = nn.ModuleDict()
        self.heads = nn.ModuleDict()
        for name, states in spec.states.items():
            given, kinds = self.config.decoder.get(name, {}), getattr(DECODERS[name], "OPTIONS", {})
            options = check_values(given, kinds, "scorer")
            try:
                self.decoders[name] = DECODERS[name](
                    states, spec.feature_shape.get(name), cond, **known, **options
                )
            except TypeError as error:
                if "classes" in known and "'classes'" in str(error):
                    raise ConfigError(
                        f"the decoder of {name!r} makes maps of the predicted class only. Train with objective='thesis', or "
                        "let the decoder take classes (docs/extend/modality.md)."
                    ) from error
                raise ConfigError(f"scorer options for {name!r}: {error}.") from error
            head = self.config
            self.heads[name] = ScoreHead(head.relu, head.sigmoid, head.rescale, head.standardise)

    def _class_count(self) -> int:
        if not self.spec.classes:
            raise ConfigError(
                "by_class needs the number of classes of the target: build the scorer of target.spec()."
            )
        return self.spec.classes

    def forward(self, encoding: Encoding) -> dict[str, Tensor]:
        """Scores in [0, 1] for each modality, of the shape of ``encoding.feature_mask``.

        Raises:
            InputError: the states of ``encoding`` are not those that this scorer was made for.
            NotFiniteError: raw scores hold NaN or infinity.
        """
        return self.score(self.raw(encoding).map, encoding.feature_mask)

    def reading(
        self, encoding: Encoding, classes: Tensor | None = None, versus: Tensor | None = None
    ) -> Reading:
        """Scores, ranking and effects of one class for each sample.

        Args:
            encoding: of the clean pass.
            classes: ``[B]``, as for :meth:`raw`.
            versus: ``[B]`` another class of each sample. The reading then says why the first class and not this one:
                its raw scores and effects are differences.
        """
        if versus is None:
            return self.read_raw(self.raw(encoding, classes), encoding)
        chosen = encoding.prediction if classes is None else classes
        these, those = self.raw_of_classes(encoding, torch.stack([chosen, versus], 1))
        return self.read_raw(these.minus(those), encoding)

    def read_raw(self, raw: RawScores, encoding: Encoding) -> Reading:
        """The readings that the raw scores of ``encoding`` give."""
        real = encoding.feature_mask
        scores = self.score(raw.map, real)
        if raw.unit is None:
            return Reading(scores, raw.ranking)
        effects = {m: _shares(v.float(), raw.unit, real[m]) for m, v in raw.effects.items()}
        return Reading(scores, raw.ranking, effects)

    def score(self, raw: Mapping[str, Tensor], feature_mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scores in [0, 1] of raw scores, by the score heads.

        Raises:
            NotFiniteError: raw scores hold NaN or infinity.
        """
        require_finite_scores(raw, feature_mask)
        return {name: self.heads[name](values, feature_mask[name]) for name, values in raw.items()}

    def raw(self, encoding: Encoding, classes: Tensor | None = None) -> RawScores:
        """Raw scores of one class for each sample.

        Args:
            encoding: of the clean pass.
            classes: ``[B]`` class of each sample. Default: the predicted one, which is the only one that a scorer
                without ``by_class`` has.
        """
        if not self.config.by_class:
            raw = {name: decoder(encoding, name) for name, decoder in self._ready(encoding).items()}
            return RawScores(raw, raw, raw)
        chosen = encoding.prediction if classes is None else classes
        return self.raw_of_classes(encoding, chosen[:, None])[0]

    def raw_of_classes(self, encoding: Encoding, classes: Tensor) -> list[RawScores]:
        """Raw scores of C classes for each sample, by one pass of the decoders.

        Args:
            encoding: of the clean pass.
            classes: ``[B, C]``.
        """
        found = {m: decoder(encoding, m, classes) for m, decoder in self._ready(encoding).items()}
        shapes = {m: mask.shape for m, mask in encoding.feature_mask.items()}
        parts = []
        for i in range(classes.shape[1]):
            readings = ({m: v[:, i, r].reshape(shapes[m]) for m, v in found.items()} for r in range(3))
            mapped, ranking, effects = readings
            ranking = mapped if self.config.ranked is False else ranking
            parts.append(RawScores(mapped, ranking, effects, self.config.effect_unit or UNIT))
        return parts

    def _ready(self, encoding: Encoding) -> Mapping[str, nn.Module]:
        """The decoders, after the check that ``encoding`` holds the states that they read."""
        missing = sorted(set(self.decoders) - set(encoding.states))
        if missing:
            raise InputError(f"the encoding has no states of {missing}; it holds {sorted(encoding.states)}.")
        for name in self.decoders:
            self._require_states(name, encoding.states[name])
        return dict(self.decoders.items())

    def _require_states(self, name: str, states: Sequence[Tensor]) -> None:
        found = [s.shape[1] if s.ndim == 4 else s.shape[-1] for s in states]
        expected = [s.channels for s in self.spec.states[name]]
        if found != expected:
            raise InputError(
                f"the target gives {name} states of {found} channels; this scorer was made for {expected}. Load it beside "
                "the classifier that it was trained beside, with the same layers."
            )

    def on(self, device: torch.device) -> Scorer:
        """This scorer, moved to ``device`` if it is elsewhere: its target may have moved."""
        return self if next(self.parameters()).device == device else self.to(device)

    @property
    def num_parameters(self) -> int:
        """Trainable parameters."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


def _shares(values: Tensor, unit: float, feature_mask: Tensor) -> Tensor:
    """``values [B, ...]`` divided by ``unit`` and the number of features of their sample, 0 at what is no feature."""
    real = unless_all(feature_mask)
    if real is None:
        return values / (values[0].numel() * unit)
    count = real.flatten(1).sum(1).clamp(min=1).view(-1, *[1] * (values.ndim - 1))
    return (values / (count * unit)).masked_fill(~real, 0)


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
