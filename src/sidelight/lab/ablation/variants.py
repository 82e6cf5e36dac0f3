"""The variants of an ablation: named changes of one run's scorer, objective, training, or of how the target is read."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from sidelight.core.registry import nearest
from sidelight.errors import ConfigError, UnknownNameError
from sidelight.lab.ablation.sizes import scaled_options
from sidelight.lab.config.files import dump_config, parse_config, read_overrides
from sidelight.lab.config.sections import RunConfig
from sidelight.training.settings import CALIBRATION_NAMES, LABELS, ObjectiveConfig

#: name of the run as it is
FULL = "full"
#: sections that a variant may change; all variants share the classifier and the data, but not how it is read
SECTIONS = ("scorer", "objective", "training", "target.options")
#: keys that the ablation sets itself, and how
RESERVED = {
    "training.seed": "every variant is trained with each of ablation.seeds",
    "training.on_collapse": "a collapsed variant is a result and never stops the others",
}
#: how many times as wide the scorers of the size variants are
SIZE_FACTORS = {"smaller scorer": 0.5, "larger scorer": 2.0}


@dataclass(frozen=True)
class Variant:
    """A name, its changes (dotted keys to values), and the run's configuration with these changes."""

    name: str
    changes: Mapping[str, Any]
    config: RunConfig

    @property
    def slug(self) -> str:
        """The name as a folder: lower case, words joined by ``-``."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")

    @property
    def parts(self) -> list[Any]:
        """The sections in which variants may differ."""
        return [part_of(self.config, section) for section in SECTIONS]


def part_of(config: RunConfig, section: str) -> Any:
    """The part of a configuration at a dotted name, one of :data:`SECTIONS`."""
    return functools.reduce(getattr, section.split("."), config)


def variants_of(config: RunConfig, modalities: Sequence[str]) -> dict[str, Variant]:
    """The variants of a configuration, or the default ones, by name and in order.

    Args:
        config: of the run. ``config.ablation.variants`` holds the changes.
        modalities: of the run's data set, whose decoders are made smaller and larger.

    Raises:
        ConfigError: a change is malformed, outside :data:`SECTIONS`, unknown or of a bad value, or two
            names would share a folder.
    """
    given, values = config.ablation.variants, yaml.safe_load(dump_config(config))
    if given is None:
        return _distinct(_variant(values, n, c) for n, c in default_changes(config, modalities).items())
    found = [_variant(values, name, changes or ()) for name, changes in given.items()]
    for variant in found:
        twins = [v.name for v in found if v.slug == variant.slug]
        if not variant.slug or len(twins) > 1:
            raise ConfigError(
                f"the variant name(s) {', '.join(map(repr, twins))} give the folder {variant.slug!r}: "
                "each needs one of its own, made of letters and digits."
            )
    return {v.name: v for v in found}


def default_changes(config: RunConfig, modalities: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The thesis's eight variants, then calibrations, labels, further terms and sizes."""
    no_relu, no_sigmoid, no_rescale = ({f"scorer.{s}": False} for s in ("relu", "sigmoid", "rescale"))
    fields = [f.name for f in dataclasses.fields(ObjectiveConfig)]
    # mask_weight is no term's own: it weighs Eq. 3.3-3.5 as a whole
    weights = [name for name in fields if name.endswith("_weight") and name != "mask_weight"]
    no_term = {name: {f"objective.{name}": 0.0} for name in weights}
    no_binary, no_magnitude = no_term["binary_weight"], no_term["magnitude_weight"]
    nothing = {k: v for change in no_term.values() for k, v in change.items()}
    found: dict[str, dict[str, Any]] = {
        FULL: {},
        "without ReLU": no_relu,
        "without sigmoid": no_sigmoid,
        "without rescale": no_rescale,
        "without binary penalty": no_binary,
        "without magnitude penalty": no_magnitude,
        "without both penalties": {**no_binary, **no_magnitude},
        # Cross-entropy alone is left, also if the run has terms beyond the thesis.
        "without everything": {**no_relu, **no_sigmoid, **no_rescale, **nothing},
    }
    further = [name for name in weights if not name.startswith(("binary", "magnitude"))]
    found.update({f"without {n.removesuffix('_weight')} term": no_term[n] for n in further})
    found.update({f"calibration {name}": {"objective.calibration": name} for name in CALIBRATION_NAMES})
    found.update({f"label {name}": {"objective.label": name} for name in LABELS})
    decoder = config.scorer.decoder_options(modalities)
    for name, factor in SIZE_FACTORS.items():
        found[name] = {f"scorer.{k}": v for k, v in scaled_options(decoder, factor).items()}
    return found


def chosen_variants(variants: Mapping[str, Variant], names: Sequence[str]) -> dict[str, Variant]:
    """Those of ``variants`` with one of the given names or folders, all if no name is given.

    Raises:
        UnknownNameError: there is no such variant. The message lists the known ones.
    """
    by_slug = {v.slug: v.name for v in variants.values()}
    for name in names:
        if name not in variants and name not in by_slug:
            raise UnknownNameError(
                f"unknown variant {name!r}.{nearest(name, [*variants, *by_slug])} Known: {', '.join(variants)}."
            )
    wanted = {by_slug.get(name, name) for name in names} or set(variants)
    return {name: v for name, v in variants.items() if name in wanted}


def _variant(values: Mapping[str, Any], name: str, given: Sequence[str] | Mapping[str, Any]) -> Variant:
    try:
        changes = dict(read_overrides(given))
        for key in changes:
            _check_key(key)
        return Variant(name, changes, parse_config(values, changes))
    except ConfigError as error:
        raise ConfigError(f"ablation variant {name!r}: {error}") from error


def _check_key(key: str) -> None:
    if not any(key.startswith(f"{section}.") and key[len(section) + 1 :] for section in SECTIONS):
        raise ConfigError(
            f"{key!r} cannot be changed by a variant: all share one target and one data set. "
            f"A variant sets single keys of {', '.join(SECTIONS)}, e.g. scorer.relu=false."
        )
    if key in RESERVED:
        raise ConfigError(f"{key!r} is not a variant's to set: {RESERVED[key]}.")


def _distinct(variants: Iterable[Variant]) -> dict[str, Variant]:
    """Without those that equal an earlier one, e.g. a calibration that the run has anyway."""
    found: dict[str, Variant] = {}
    for variant in variants:
        if all(variant.parts != other.parts for other in found.values()):
            found[variant.name] = variant
    return found
