"""Checks before anything is trained: names, files, splits and free disk space that a run will need later."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from glob import escape
from pathlib import Path
from typing import Any

from sidelight.core.field_checks import require_once
from sidelight.core.files import find_pretrained, find_weights
from sidelight.core.names import OURS
from sidelight.errors import CheckpointError, ConfigError, SidelightError
from sidelight.fills.base import default_fills, pair_fills, require_unlike, training_fills
from sidelight.lab.baselines import make_rival
from sidelight.lab.config.sections import ConvertSection, ModelSection, RunConfig
from sidelight.lab.data.sets import DATASETS, load_rows
from sidelight.lab.evaluation.coordinates import require_unjudged
from sidelight.lab.evaluation.foreign_maps import imported_of
from sidelight.lab.evaluation.methods import groups_of, rivals_of
from sidelight.lab.evaluation.run import check_evaluation
from sidelight.lab.metrics import METRICS, default_metrics
from sidelight.lab.metrics.protocols import PROTOCOLS
from sidelight.lab.runs.classifier import classifier_arguments
from sidelight.lab.runs.run import scorer_name

#: most bytes of the checkpoints and the log of one scorer, which has fewer than two million parameters
SCORER_BYTES = 64 * 2**20
#: bytes of the checkpoints of a classifier that the run trains
TARGET_BYTES = 512 * 2**20
#: bytes of one stored value of an evaluation
VALUE_BYTES = 32


def check_run(config: RunConfig, folder: str | Path) -> None:
    """Refuse a run that could not be trained, measured or reported later.

    Nothing is trained or written. A data set that is not on this machine is fetched from the hub.

    Args:
        folder: of the run. It need not exist yet.

    Raises:
        ConfigError: a name or value in the configuration is unknown or does not fit the data set.
        InputError: a data set or a file of imported maps cannot be read.
        CheckpointError: weights are missing, or the disk has too little space left.
    """
    modalities = DATASETS[config.data.name].modalities
    require_once(config.seeds, "seeds")
    _check_fills(config, modalities)
    check_evaluation(config.evaluation)
    require_once(config.ablation.metrics or (), "ablation.metrics")
    _check_groups(config, modalities)
    own, rivals = config.evaluation, {rival.name: rival for rival in rivals_of(config.evaluation)}
    asked = PROTOCOLS[own.protocol].metrics or own.metrics or ()
    require_unjudged(asked, own.protocol, modalities, rivals)
    imported = imported_of(config.evaluation, [OURS, *rivals])
    for maps in imported:
        maps.require([], modalities)
    for name in config.report.methods:
        _named("report.methods", make_rival, name)
    check_trainings(config)
    for section in _models(config):
        _check_places(section)
    _check_rows(config)
    _check_space(config, Path(folder))


def check_trainings(config: RunConfig) -> None:
    """The Trainer takes what every training of ``config`` gives it."""
    from sidelight.training.arguments import scorer_arguments  # transformers' Trainer takes seconds to import

    scorer_arguments(Path(), config.training, 1)
    for name, section in config.beside.items():
        own = section.training_of(config.training)
        _named(f"beside.{name}", lambda training: scorer_arguments(Path(), training, 1), own)
    if config.target.training is not None:
        classifier_arguments(config.target.training, 1, Path())


def _check_fills(config: RunConfig, modalities: Iterable[str]) -> None:
    names = list(modalities)
    places = {
        "objective.fills": training_fills(config.objective.fills, names),
        "evaluation.fills": config.evaluation.fills,
        "ablation.fills": config.ablation.fills,
        "audit.fills": config.audit.fills,
    }
    for place, fills in places.items():
        for fill in fills or ():
            _named(place, lambda name: pair_fills(name, names), fill)
        if place != "objective.fills":  # a training may draw one fill more often than another
            require_unlike(fills or (), names, place)


def _check_groups(config: RunConfig, modalities: Iterable[str]) -> None:
    known = list(modalities)
    groups_of(config.evaluation, known)
    unknown = sorted(set(config.objective.coalition_modalities) - set(known))
    if unknown:
        raise ConfigError(
            f"objective.coalition_modalities names {', '.join(unknown)}; the data set has {', '.join(known)}."
        )


def _named(place: str, look_up: Callable[[Any], object], name: Any) -> None:
    """Look a name up. An error names its place in the configuration."""
    try:
        look_up(name)
    except SidelightError as error:
        raise ConfigError(f"{place}: {error}") from error


def _models(config: RunConfig) -> list[ModelSection]:
    found: list[ModelSection] = [config.target]
    if config.target.fusion is not None:
        found += [config.target.fusion.text, config.target.fusion.image]
    return found


def _check_places(section: ModelSection) -> None:
    """Local weights exist. A hub id is fetched later, when the model is opened."""
    convert: ConvertSection | None = getattr(section, "convert", None)
    if convert is not None:
        find_weights(convert.weights)
    if section.pretrained is not None:
        find_pretrained(section.pretrained)


def _check_rows(config: RunConfig) -> None:
    """One row of every split can be read, and of another data set to measure on, which must fit the run's."""
    data = config.data
    for split in ("train", "validation", "test"):
        load_rows(data.name, split, data_dir=data.data_dir, count=1, seed=data.seed)
    other, own = config.evaluation.data, DATASETS[data.name].modalities
    if other is None:
        return
    _named("evaluation.data.name", DATASETS.__getitem__, other.name)
    if DATASETS[other.name].modalities != own:
        raise ConfigError(
            f"evaluation.data.name: {other.name!r} holds {' and '.join(DATASETS[other.name].modalities)}, but the run's "
            f"classifier reads {' and '.join(own)}. Choose a data set with the same modalities."
        )
    load_rows(other.name, other.split, data_dir=other.data_dir or data.data_dir, count=1, seed=other.seed)


def _check_space(config: RunConfig, folder: Path) -> None:
    place = next(p for p in [folder.absolute(), *folder.absolute().parents] if p.exists())
    free = shutil.disk_usage(place).free
    needed = bytes_needed(config, folder)
    if free < needed:
        elsewhere = (
            "move the run's folder to another disk" if place == folder.absolute() else "give another --out"
        )
        raise CheckpointError(
            f"only {free / 2**20:,.0f} MB are free at {place}; this run needs about {needed / 2**20:,.0f} MB more for "
            f"checkpoints and results. Free some space, or {elsewhere}."
        )


def bytes_needed(config: RunConfig, folder: Path | None = None) -> int:
    """Bytes that checkpoints and results of a run may take, estimated on the high side.

    Args:
        folder: of the run. What is trained there already takes no more.
    """
    section = config.evaluation
    modalities = DATASETS[config.data.name].modalities
    scorers = [scorer_name(seed, kind) for kind in ("", *config.beside) for seed in config.seeds]
    methods = len(rivals_of(section)) + len(section.imported) + len(scorers)
    fills = default_fills(modalities) if section.fills is None else section.fills
    metrics = section.metrics or default_metrics()
    settings = len(fills) * max(1, len(section.granularities)) * max(1, len(section.groups or modalities))
    values = section.count * methods * settings * len(metrics) * VALUE_BYTES
    judged = any(METRICS[name].judged for name in metrics)
    targets = {"target": config.target.training is not None, "judge/*/target": judged}
    trained = sum(wanted and not _is_there(folder, name) for name, wanted in targets.items())
    fitted = sum(not _is_there(folder, f"scorer-{escape(name)}/scorer") for name in scorers)
    return values + TARGET_BYTES * trained + SCORER_BYTES * fitted


def _is_there(folder: Path | None, pattern: str) -> bool:
    return folder is not None and any(place.is_dir() for place in folder.glob(pattern))
