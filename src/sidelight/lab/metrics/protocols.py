"""Named bundles of the choices that a metric's formula leaves open.

The default is this library's. The two others repeat the choices behind published tables of the method (the
thesis, and its authors' later numbers), so that people can read our numbers beside them. The published numbers
themselves reveal those choices:

* Maps around zero have a complexity of half the root of the number of features: signed min-max.
* On texts that number is 512 × 768. The later tables hold sparsities above 512, which no map of 512 tokens can
  have. So the baseline methods were scored by embedding coordinate, and the method itself by token.
* Average drops on texts and on images with texts exceed 1: logits, not probabilities.

Two things differ. Published maps of texts count padding up to 512 positions as features. Ours do not. Nobody
knows how the thesis's curves step. Ours take equal counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sidelight.core.registry import Registry
from sidelight.errors import ConfigError
from sidelight.lab.metrics.base import METRICS

#: the default protocol
DEFAULT = "sidelight"


@dataclass(frozen=True)
class Protocol:
    """The choices of an evaluation beside the formulas of its metrics.

    Attributes:
        name: key in :data:`PROTOCOLS`.
        doc: one line for people.
        reading: of raw maps, a name in :data:`~sidelight.lab.metrics.layout.READINGS`.
        stepping: of curves, a name in :data:`~sidelight.lab.metrics.ranking.STEPPINGS`.
        confidence: by modality a name in :data:`~sidelight.lab.metrics.probe.CONFIDENCES`, if it is no probability.
            Of several modalities the first that is named here decides.
        coordinates: modalities whose channels are scored one by one, by the methods that can.
        fills, metrics: the only allowed ones. Empty tuples leave both to the settings.
    """

    name: str
    doc: str
    reading: str = "better_of_two"
    stepping: str = "counts"
    confidence: Mapping[str, str] = field(default_factory=dict)
    coordinates: tuple[str, ...] = ()
    fills: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    def confidence_of(self, modalities: Iterable[str]) -> str:
        """Name of the confidence of a target that reads ``modalities``."""
        return next((self.confidence[m] for m in modalities if m in self.confidence), "probability")

    def comparable(self, modalities: Iterable[str]) -> bool:
        """Whether all methods are scored by the same unit, so that people can compare their numbers."""
        return not set(self.coordinates) & set(modalities)

    def remark(self, modalities: Iterable[str]) -> str:
        """Words for headings: ``"protocol thesis, not comparable across methods"``, or none for the default."""
        if self.name == DEFAULT:
            return ""
        return f"protocol {self.name}" + (
            "" if self.comparable(modalities) else ", not comparable across methods"
        )

    def note(self, modalities: Iterable[str]) -> str:
        """Words for pages: the protocol, and the reason if its numbers do not compare. The default needs none."""
        if self.name == DEFAULT:
            return ""
        text = f"Measured under protocol {self.name}: {self.doc}."
        if not self.comparable(modalities):
            text += (
                " Not comparable across methods: gradient methods are scored by embedding coordinate, all others by "
                "token, so that complexity, sparsity and the steps of curves count different things."
            )
        return text

    def axes(self, modalities: Iterable[str]) -> dict[str, str]:
        """Labels of a curve's axes, ``xlabel`` and ``ylabel``, if they differ from the default."""
        confidence = self.confidence_of(modalities)
        labels = {} if confidence == "probability" else {"ylabel": f"{confidence} of the predicted class"}
        if self.stepping == "thresholds":
            labels["xlabel"] = "of the map's range passed, from its top"
        return labels

    def check(self, fills: Iterable[str], metrics: Iterable[str], granularities: Iterable[str]) -> None:
        """Raise :class:`ConfigError` if settings name things that the protocol does not have."""
        for what, given, own in (("fill", fills, self.fills), ("metric", metrics, self.metrics)):
            other = [name for name in given if own and name not in own]
            if other:
                raise ConfigError(
                    f"protocol {self.name!r} has the {what}(s) {', '.join(own)}; got {', '.join(other)}. Leave "
                    f"them out, or use protocol {DEFAULT!r}."
                )
        coarse = [g for g in granularities if self.name != DEFAULT and g not in UNITS]
        if coarse:
            raise ConfigError(
                f"protocol {self.name!r} removes single features; got granularity {', '.join(coarse)}. Leave it out, "
                f"or use protocol {DEFAULT!r}."
            )

    def fixed(self) -> dict[str, Any]:
        """Settings that the protocol fixes. The default fixes none."""
        if self.name == DEFAULT:
            return {}
        named = {"fills": list(self.fills), "metrics": list(self.metrics)}
        return {**{what: names for what, names in named.items() if names}, "granularities": []}


#: granularities that leave every feature alone
UNITS = ("pixel", "token", "coordinate", "pixel+token", "pixel+coordinate")

#: Every protocol by name.
PROTOCOLS: Registry[Protocol] = Registry("protocol")


def define(protocol: Protocol) -> Protocol:
    """Register a protocol. Raises :class:`~sidelight.errors.ConfigError` if the name is taken."""
    for name in protocol.metrics:
        METRICS[name]
    return PROTOCOLS.add(protocol.name, protocol)


define(
    Protocol(
        DEFAULT,
        "both readings of signed maps, one unit for all methods, softmax probability, equal steps of the feature count",
    )
)
define(
    Protocol(
        "thesis",
        "signed min-max; texts by embedding coordinate (gradient methods) or token (others), logit as confidence "
        "where there is text; zero fill; equal steps of the feature count",
        reading="signed",
        confidence={"text": "logit"},
        coordinates=("text",),
        fills=("zero",),
        metrics=("average_drop", "deletion_auc", "complexity", "sparsity"),
    )
)
define(
    Protocol(
        "thesis-later",
        "min-max of the absolute value; texts by embedding coordinate (gradient methods) or token (others); softmax "
        "probability, drop relative to it; zero fill; equal steps of a threshold on the map",
        reading="absolute",
        stepping="thresholds",
        coordinates=("text",),
        fills=("zero",),
        metrics=(
            "average_drop_relative",
            "increase_in_confidence",
            "deletion_auc",
            "insertion_auc",
            "complexity",
            "sparsity",
            "iou",
        ),
    )
)

#: the protocols that come with sidelight, whose choices change with its version alone
SHIPPED = frozenset(PROTOCOLS)
