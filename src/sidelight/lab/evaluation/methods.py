"""The methods that an evaluation compares, and the training inputs and fills that they draw from."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from torch import Tensor

from sidelight.core.field_checks import require_once
from sidelight.core.names import OURS
from sidelight.core.types import Encoding, Inputs, Reading, Scores
from sidelight.errors import CheckpointError, ConfigError
from sidelight.explainer import Explainer
from sidelight.fills.base import default_fills
from sidelight.lab.baselines import DEFAULT_RIVALS, make_rival
from sidelight.lab.baselines.base import Rival
from sidelight.lab.config.sections import EvaluationSection
from sidelight.lab.metrics.layout import RankedScores
from sidelight.lab.metrics.protocols import PROTOCOLS
from sidelight.lab.runs.run import Run
from sidelight.scorers import ScorerConfig
from sidelight.targets import TargetModel

log = logging.getLogger(__name__)

#: number of training inputs from which fills and DeepLIFT-SHAP draw
REFERENCE_SIZE = 32


@dataclass(frozen=True)
class ScorerMethod:
    """A fitted scorer as one more method of the benchmark.

    Attributes:
        effects: whether the scorer has learnt effects. Where values must add up, they count in place of its ranking.
    """

    explainer: Explainer
    fingerprint: str
    name: str = OURS
    signed: bool = False
    effects: bool = False

    def __call__(
        self, target: TargetModel, inputs: Inputs, classes: Tensor, encoding: Encoding | None = None
    ) -> Scores:
        """Scores in [0, 1], with a ranking beside them if the scorer has learnt one of its own.

        A scorer without ``by_class`` is ranked by its map, as in the thesis, and explains the prediction whatever
        ``classes`` are.
        """
        encoding = target.encode(target.to_device(inputs)) if encoding is None else encoding
        config = self.explainer.scorer.config
        if not config.by_class:
            return self.explainer.scores(encoding)
        reading = self.explainer.read(encoding, classes.to(encoding.logits.device))
        return reading_of_method(config, reading, self.effects)


def reading_of_method(config: ScorerConfig, reading: Reading, effects: bool = False) -> Scores:
    """What measures get of a scorer: its map, and the ranking beside it if the scorer has learnt one of its own.

    Args:
        effects: whether the scorer has learnt effects.
    """
    if not config.by_class or config.ranked is False:
        return dict(reading.scores)
    return RankedScores(reading.scores, reading.ranking, reading.effects if effects else None)


def fills_of(section: EvaluationSection, target: TargetModel) -> list[str]:
    """The fills of a configuration, or the defaults of the target's modalities."""
    fixed: list[str] | None = PROTOCOLS[section.protocol].fixed().get("fills")
    return fixed or (default_fills(target.modalities) if section.fills is None else section.fills)


def groups_of(section: EvaluationSection, modalities: Iterable[str]) -> list[tuple[str, ...]]:
    """The groups of modalities that are masked and ranked together.

    By default these are all together, then each alone. The list is empty if there is only one modality and the
    configuration names no groups.

    Raises:
        ConfigError: a group is empty, is named twice, or names a modality that the target does not read.
    """
    names = tuple(modalities)
    if section.groups is None:
        return [names, *((n,) for n in names)] if len(names) > 1 else []
    for group in section.groups:
        if not group or not set(group) <= set(names):
            raise ConfigError(
                f"evaluation.groups: {group!r} must name modalities among {', '.join(names)}, "
                f"e.g. [[{', '.join(names)}]]."
            )
    found = [tuple(n for n in names if n in group) for group in section.groups]
    require_once(found, "evaluation.groups")
    return found


def rivals_of(section: EvaluationSection) -> list[Rival]:
    """The baseline methods of a configuration, ready to call. Those for few samples come last.

    Raises:
        ConfigError: a method is unknown or named twice.
    """
    found = [
        *make_rivals(DEFAULT_RIVALS if section.rivals is None else section.rivals),
        *make_rivals(section.few_samples),
    ]
    require_once((rival.name for rival in found), "evaluation.rivals")
    return found


def rival_of(section: EvaluationSection, name: str) -> Rival:
    """The baseline method ``name`` with the options that a configuration gives it, or its own defaults."""
    return next((r for r in rivals_of(section) if r.name == name), None) or make_rival(name)


def make_rivals(entries: Sequence[str | Mapping[str, Any]]) -> list[Rival]:
    """Baseline methods from a configuration's entries: names, or mappings of one name to its options."""
    found: list[Rival] = []
    for entry in entries:
        if isinstance(entry, str):
            found.append(make_rival(entry))
        elif len(entry) == 1:
            found += [make_rival(name, **(options or {})) for name, options in entry.items()]
        else:
            raise ConfigError(
                f"a baseline method is a name or a mapping of one name to its options; got {entry!r}."
            )
    return found


def fitted_target(run: Run) -> TargetModel:
    """The classifier of a fitted run, with training inputs from which fills and baseline methods draw.

    Raises:
        CheckpointError: the run is not fitted. A classifier that is missing is not trained first.
    """
    if not run.facts.get("target"):
        raise CheckpointError(
            f"{run.folder} has no classifier yet: run `sidelight fit` first (or again; it resumes)."
        )
    target = run.open_target()
    set_reference(run, target)
    return target


def set_reference(run: Run, target: TargetModel) -> None:
    """Give the target training inputs, from which some fills and baseline methods draw."""
    target.set_reference(target.to_device(reference_inputs(run, target)))


def reference_inputs(run: Run, target: TargetModel) -> Inputs:
    """:func:`reference_rows`, prepared."""
    return target.reader.read(reference_rows(run)).inputs


def reference_rows(run: Run) -> list[Any]:
    """:data:`REFERENCE_SIZE` rows of the training split."""
    rows = run.rows("train")
    picks = np.random.default_rng(run.config.evaluation.seed).permutation(len(rows))[:REFERENCE_SIZE]
    return [rows[int(i)] for i in picks]


def supports(rival: Rival, target: TargetModel) -> bool:
    """Whether a baseline method can explain the target. A warning names one that cannot."""
    reason = rival.refusal(target)
    if reason is not None:
        _say_once(f"{rival.title} is left out: {reason}")
    return reason is None


@lru_cache(maxsize=64)
def _say_once(message: str) -> None:
    log.warning(message)


def scorer_fingerprint(explainer: Explainer) -> str:
    """Hash of a scorer's weights, so that an evaluation never mixes batches of two scorers."""
    from sidelight.targets import fingerprint

    return fingerprint(explainer.scorer)
