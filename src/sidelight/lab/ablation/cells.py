"""One variant trained with one seed: its folder, and the parts of it that may be reused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from sidelight.errors import ConfigError
from sidelight.fills.base import default_fills
from sidelight.lab.ablation.variants import SECTIONS, Variant, chosen_variants, part_of, variants_of
from sidelight.lab.config.files import load_config
from sidelight.lab.config.sections import AblationSection, EvaluationSection, RunConfig
from sidelight.lab.metrics import METRICS
from sidelight.lab.runs.folder import remove_file, remove_ours
from sidelight.lab.runs.run import Run
from sidelight.lab.runs.stored_files import read_frame, read_record

log = logging.getLogger(__name__)

#: folder of all variants inside the run's
FOLDER = "ablation"
#: metrics if ``ablation.metrics`` gives none; those that need evidence are left out of data without it
COLUMNS = (
    "average_drop",
    "deletion_auc",
    "insertion_auc",
    "complexity",
    "sparsity",
    "entropy",
    "area",
    "mean_score",
    "auprc",
    "pointing_game",
    "f1",
)
#: these change the speed only, so they are no reason to measure again
NOT_THE_RESULT = ("forward_batch",)


@dataclass(frozen=True)
class Cell:
    """One variant with one seed: a run of its own that borrows the target of another.

    Its folder holds ``config.yaml``, ``scorer-<seed>/``, ``fit.json``, unfinished batches in ``evaluation/``,
    ``scores.parquet`` (a row per sample, fill and metric) and, last of all, ``cell.json``.
    """

    variant: Variant
    seed: int
    run: Run

    @property
    def folder(self) -> Path:
        """Where everything about this cell lies."""
        return self.run.folder

    @property
    def facts(self) -> dict[str, Any] | None:
        """The contents of ``cell.json``, ``None`` while the cell is not finished."""
        path = self.folder / "cell.json"
        facts = dict(read_record(path, "ablate")) if path.is_file() else None
        if facts and facts["measured"] and not (self.folder / "scores.parquet").is_file():
            return None
        return facts

    @property
    def finished(self) -> bool:
        """Whether it was trained and measured with the present configuration."""
        return self.facts is not None and not self.changed

    @property
    def changed(self) -> list[str]:
        """Sections in which the configuration of the folder differs from the present one."""
        path = self.folder / "config.yaml"
        if not path.is_file():
            return []
        found, wanted = load_config(path), self.run.config
        parts = [s for s in SECTIONS if part_of(found, s) != part_of(wanted, s)]
        return parts + (["evaluation"] if _measurement(found) != _measurement(wanted) else [])

    @property
    def started(self) -> bool:
        """Whether there is anything of a training."""
        return (self.folder / "cell.json").is_file() or self.run.scorer_folder(self.seed).is_dir()

    def require_own(self) -> list[str]:
        """The sections that :attr:`changed` names. Nothing is written.

        Raises:
            ConfigError: the folder holds a scorer that was trained otherwise.
        """
        changed = self.changed
        parts = [p for p in changed if p in SECTIONS]
        if parts and self.started:
            raise ConfigError(
                f"variant {self.variant.name!r} was trained with another {', '.join(parts)} before: give the "
                f"variant another name, or remove {self.folder.parent} to train it again."
            )
        return changed

    def claim(self) -> None:
        """Make the folder this cell's own. A scorer is kept even if its measurement is out of date.

        Raises:
            ConfigError: the folder holds a scorer that was trained otherwise, or files of somebody else.
        """
        changed = self.require_own()
        if any(part in SECTIONS for part in changed):
            remove_file(self.folder / "config.yaml")
        elif changed:
            log.info("variant %r, seed %d: the evaluation changed, measuring again", *self.key)
            self.drop_measurement()
        Run.create(self.folder, self.run.config)

    @property
    def key(self) -> tuple[str, int]:
        """Variant and seed."""
        return self.variant.name, self.seed

    def drop_measurement(self) -> None:
        """Remove the measurement; the scorer stays."""
        for name in ("cell.json", "scores.parquet"):
            remove_file(self.folder / name)
        self.drop_parts()

    def drop_parts(self) -> None:
        """Remove the finished batches of an evaluation."""
        remove_ours(self.folder / "evaluation")

    def scores(self) -> pd.DataFrame:
        """Stored rows (sample, modality, granularity, fill, metric, value) with ``variant`` and ``seed``."""
        frame = read_frame(self.folder / "scores.parquet", "ablate")
        frame = frame.astype(dict.fromkeys(("modality", "granularity", "fill", "metric"), str))
        frame.insert(0, "seed", self.seed)
        frame.insert(0, "variant", self.variant.name)
        return frame


def cells_of(run: Run, only: Sequence[str] = ()) -> list[Cell]:
    """Every variant × seed in the run's configuration. Nothing is written.

    Args:
        only: names of variants, all if empty.

    Raises:
        ConfigError: a variant, metric or name in ``only`` is not known.
    """
    config, modalities = run.config, run.dataset.modalities
    evaluation = measurement_of(config, modalities)
    variants = chosen_variants(variants_of(config, modalities), only)
    seeds = list(dict.fromkeys(config.ablation.seeds or config.seeds))
    return [
        Cell(v, seed, Run(run.folder / FOLDER / v.slug / f"seed-{seed}", _cell_config(v, seed, evaluation)))
        for v in variants.values()
        for seed in seeds
    ]


def measurement_of(config: RunConfig, modalities: Sequence[str]) -> EvaluationSection:
    """The evaluation of every variant: ``evaluation`` with the values of ``ablation``, without baseline methods."""
    own, base = config.ablation, config.evaluation
    for name in own.metrics or ():
        METRICS[name]
    given = {k: getattr(own, k) for k in ("count", "curve_count", "steps")}
    return base.model_copy(
        update={
            **{k: v for k, v in given.items() if v is not None},
            "fills": own.fills or base.fills or default_fills(modalities),
            "metrics": own.metrics or list(COLUMNS),
            "rivals": [],
            "few_samples": [],
            "imported": [],
        }
    )


def _cell_config(variant: Variant, seed: int, evaluation: EvaluationSection) -> RunConfig:
    config = variant.config
    return config.model_copy(
        update={
            "name": f"{config.name}: {variant.name}",
            "seeds": [seed],
            "training": replace(config.training, on_collapse="warn"),
            "evaluation": evaluation,
            "ablation": AblationSection(),
        }
    )


def _measurement(config: RunConfig) -> dict[str, Any]:
    return config.evaluation.model_dump(exclude=set(NOT_THE_RESULT))
