"""A run from its configuration: open or train the target, fit scorers, evaluate, report.

Everything a run makes lives in one folder::

    config.yaml            the configuration
    target/                the classifier, if it was trained or converted here
    warmup/                encoders of a fusion, if they had a warm-up
    scorer-<seed>/         checkpoints, log.csv and scorer/ of each seed (scorer-<kind>-<seed>/ of kinds beside)
    evaluation/            finished batches, from which an interrupted evaluation continues
    scores.parquet         one row per sample × method × fill × metric
    curves.parquet         mean deletion and insertion curves
    results.json table.md report.html
    elsewhere/<data set>/  the same files, if ``evaluation.data`` names another data set
    protocols/<name>/      the same files, if ``evaluation.protocol`` is not the default
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from sidelight.core.field_checks import require_choice
from sidelight.core.files import find_pretrained, find_weights, write_json
from sidelight.core.folders import folder_path, recover_folder
from sidelight.core.locks import hold
from sidelight.core.processes import device, is_main, process_count, wait
from sidelight.core.surroundings import kept_random_state
from sidelight.errors import CheckpointError, ConfigError
from sidelight.explainer import Explainer
from sidelight.lab.config.files import load_config
from sidelight.lab.config.sections import DataSection, RunConfig, TargetSection
from sidelight.lab.data.sets import DATASETS, DataSet, load_rows
from sidelight.lab.metrics.protocols import DEFAULT, PROTOCOLS
from sidelight.lab.runs.classifier import (
    AUTO_CLASSES,
    accuracy,
    is_saved,
    load_saved,
    new_classifier,
    save_target,
    train_classifier,
)
from sidelight.lab.runs.folder import claim_run, digest, load_run_config, require_results
from sidelight.lab.runs.labelled import Renumbered, class_numbers, require_classifier
from sidelight.lab.runs.measured import require_measured_by
from sidelight.lab.runs.processors import config_values, new_processor
from sidelight.lab.runs.stored_files import read_record
from sidelight.lab.runs.trained_with import require_same_code, require_whole
from sidelight.rows.content import content_of
from sidelight.scorers import ScorerConfig
from sidelight.targets import TargetModel, as_target
from sidelight.targets.families import TARGETS
from sidelight.targets.options import known_options
from sidelight.training.settings import ObjectiveConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """A run folder and its configuration."""

    folder: Path
    config: RunConfig

    @classmethod
    def create(cls, folder: str | Path, config: RunConfig) -> Run:
        """Start or continue a run.

        Raises:
            ConfigError: ``folder`` was made with another data set, target or scorer.
            ForeignFileError: files of somebody else have names that the run needs. Nothing is written.
        """
        folder = folder_path(folder)
        found = load_run_config(folder / "config.yaml") or config
        parts = ("data", "target", "scorer", "objective", "training")
        moved = config.model_copy(update={"data": _anywhere(config.data)})
        known = found.model_copy(update={"data": _anywhere(found.data)})
        changed = [part for part in parts if getattr(known, part) != getattr(moved, part)]
        if changed:
            raise ConfigError(
                f"{folder} holds a run whose {', '.join(changed)} differ(s) from this configuration; "
                "choose another --out, or remove the folder."
            )
        claim_run(folder, config)
        return cls(folder, config)

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """An existing run. Raises :class:`CheckpointError` if there is none."""
        place = folder_path(folder)
        if not (place / "config.yaml").is_file():
            raise CheckpointError(f"{place} is no run folder: no config.yaml of `sidelight fit` is there.")
        return cls(place, load_config(place / "config.yaml"))

    @property
    def dataset(self) -> DataSet:
        """Entry of the run's data set."""
        return DATASETS[self.config.data.name]

    def rows(self, split: str, count: int | None = None) -> Any:
        """Rows of a split, labels as the classifier counts: at most as many as the configuration allows, and ``count``."""
        data = self.config.data
        require_choice(split, ("train", "validation", "test"), "split")
        most = min((n for n in (count, getattr(data, split)) if n is not None), default=None)
        rows = load_rows(data.name, split, data_dir=data.data_dir, count=most, seed=data.seed)
        return rows if self.class_numbers is None else Renumbered(rows, self.class_numbers)

    @cached_property
    def class_numbers(self) -> dict[int, int] | None:
        """The classifier's number of each class of the data set, where it differs from the data set's own."""
        return class_numbers(self.config.target, self.dataset.classes)

    def tested_rows(self, count: int | None = None) -> Any:
        """At most ``count`` rows of what ``evaluation`` measures: the test split, or those of another data set."""
        other = self.config.evaluation.data
        if other is None:
            return self.rows("test", count)
        folder = other.data_dir or self.config.data.data_dir
        return load_rows(other.name, other.split, data_dir=folder, count=count, seed=other.seed)

    @property
    def tested_name(self) -> str:
        """Name of the data set that ``evaluation`` measures."""
        return (self.config.evaluation.data or self.config.data).name

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of scorers: the run's own, called ``""``, and those beside it."""
        return ("", *self.config.beside)

    def scorer_folder(self, seed: int, kind: str = "") -> Path:
        """The folder of the scorer of ``seed`` and ``kind``."""
        return self.folder / f"scorer-{scorer_name(seed, kind)}"

    def open_target(self, again: bool = False) -> TargetModel:
        """The classifier: the one trained here before, the pretrained one, or a new one (trained now).

        Args:
            again: whether a classifier that is gone is trained again, though scorers were trained beside it.

        Raises:
            CheckpointError: the classifier of the scorers is gone, or cannot be loaded.
        """
        folder, section = self.folder / "target", self.config.target
        kept = self.saved_target(folder)
        wait()  # all have looked before one of them writes
        if kept is not None:
            return kept
        made_here = section.training is not None or section.convert is not None
        if made_here and not again and any(self.folder.glob("scorer-*/scorer")):
            raise CheckpointError(
                f"{folder} is gone, the classifier that the scorers were trained beside. Copy it there again, or run "
                "`sidelight fit`, which makes it anew."
            )
        target = self.new_target()
        if section.training is not None:
            train_classifier(target, self.rows("train"), self.rows("validation"), folder, section.training)
        elif section.convert is not None:
            save_target(target, folder, {})
        elif section.pretrained is None:
            log.warning(
                "the architecture is neither pretrained nor trained: its maps explain random weights."
            )
        if process_count() == 1:
            return target
        wait()  # running means of a batch norm differ from process to process, so all load the saved model
        return self.saved_target(folder) or target

    def saved_target(self, folder: Path, section: TargetSection | None = None) -> TargetModel | None:
        """The classifier that a finished training or conversion left in ``folder``, or ``None`` if there is none."""
        if not is_saved(folder):
            return None
        family = TARGETS[self._family()]
        return self._wrap(load_saved(family, folder), family.reader_type.load(str(folder), {}), section)

    def new_target(self, section: TargetSection | None = None) -> TargetModel:
        """The classifier of ``section`` (default: the run's own) before any training.

        Raises:
            ConfigError: the section names no model, or several, or one that cannot be built.
        """
        section = self.config.target if section is None else section
        section.only("pretrained", "architecture", "convert", "fusion")
        if section.convert is not None:
            find_weights(section.convert.weights)  # a missing file is reported before anything else
        family = TARGETS[self._family()]
        processor = new_processor(family.family, section)
        return self._wrap(self._new_model(section, family, processor), processor, section)

    def _family(self) -> str:
        return "+".join(self.dataset.modalities)

    def _wrap(self, model: Any, processor: Any, section: TargetSection | None = None) -> TargetModel:
        options = known_options(TARGETS[self._family()], (section or self.config.target).options)
        found = as_target(model.to(device()), processor, family=self._family(), **options)
        return require_classifier(found)

    @kept_random_state()
    def _new_model(self, section: TargetSection, family: type[TargetModel], processor: Any) -> Any:
        torch.manual_seed(section.training.seed if section.training else 0)
        if section.pretrained is not None:
            # training brings a new head for the data set's classes; without training the model keeps its own
            classes = self.dataset.classes if section.training else ()
            return family.load_model(find_pretrained(section.pretrained), section.revision, classes)
        if section.convert is not None:
            from sidelight.lab.runs.mobilenet import from_weights

            return from_weights(section.convert.weights, section.convert.classes, self.dataset.classes)
        if section.fusion is not None:
            from sidelight.lab.runs.fusion_build import new_fusion

            seed = section.training.seed if section.training else 0
            return new_fusion(section.fusion, processor, self.dataset, self.folder / "warmup", seed)
        architecture = {**config_values(processor), **(section.architecture or {})}
        return new_classifier(architecture, self.dataset.classes, AUTO_CLASSES[self._family()])

    def fit(self) -> dict[str, Any]:
        """Train the classifier and the scorers that are not trained yet. Returns the facts of ``fit.json``."""
        with hold(self.folder, "fit"):
            return self._fit()

    def _fit(self) -> dict[str, Any]:
        facts = self._facts()
        if "accuracy" not in facts["target"]:
            self.rows("test", 1)  # if there are none, it is said before the classifier is trained
        target = self.open_target(again=True)
        self._check_data(facts)
        self.check_code(target)
        if "accuracy" not in facts["target"]:
            facts["target"] = self._target_facts(target)
            self._keep(facts)
        for seed, kind in self.unfitted():
            log.info("fitting the scorer of seed %d%s", seed, f", {kind}" if kind else "")
            explainer = self.fit_scorer(target, seed, kind)
            facts["scorers"][scorer_name(seed, kind)] = {
                "parameters": explainer.scorer.num_parameters,
                **{k: round(v, 6) for k, v in explainer.training_metrics.items()},
            }
            self._keep(facts)
        wait()  # for the files of the last scorer
        return facts

    def _target_facts(self, target: TargetModel) -> dict[str, Any]:
        test = self.rows("test")
        return {
            "name": self.config.target.pretrained or type(target.model).__name__,
            "parameters": sum(p.numel() for p in target.model.parameters()),
            "accuracy": accuracy(target, test, name="test"),
            "accuracy_n": len(test),
        }

    def _check_data(self, facts: dict[str, Any]) -> None:
        """Note the content of the run's rows, or refuse rows on which its scorers were not trained.

        Raises:
            ConfigError: scorers in this folder were trained on other rows.
        """
        found = {split: content_of(self.rows(split)).to_dict() for split in ("train", "validation")}
        changed = [split for split in found if facts.get("data", found)[split] != found[split]]
        if changed and facts["scorers"]:
            raise ConfigError(
                f"{self.folder} holds scorers that were trained on other data: the rows of {' and '.join(changed)} have "
                "changed since. Choose another --out, or remove the folder."
            )
        if "data" in facts or not facts["scorers"]:  # an earlier version kept no record
            facts["data"] = found

    def check_code(self, target: TargetModel) -> None:
        """Refuse scorers that are damaged, or trained with another code of a user's own part."""
        for seed, kind in ((s, k) for k in self.kinds for s in self.config.seeds):
            require_whole(self.scorer_folder(seed, kind))
            require_same_code(self.scorer_folder(seed, kind), target, self.objective(kind).fills)

    def unfitted(self) -> list[tuple[int, str]]:
        """Seed and kind of each scorer that is not trained yet."""
        fitted = self._facts()["scorers"]
        return [
            (seed, kind)
            for kind in self.kinds
            for seed in self.config.seeds
            if scorer_name(seed, kind) not in fitted
            or not (self.scorer_folder(seed, kind) / "scorer").is_dir()
        ]

    def _keep(self, facts: dict[str, Any]) -> None:
        if is_main():
            write_json(self.folder / "fit.json", facts)

    def _facts(self) -> dict[str, Any]:
        path = self.folder / "fit.json"
        found = read_record(path, "fit", finite=True) if path.is_file() else {"target": {}, "scorers": {}}
        whole = isinstance(found, dict) and all(isinstance(found.get(k), dict) for k in ("target", "scorers"))
        if not whole:
            raise CheckpointError(
                f"{path} holds no facts of a target and its scorers: it was not written by `sidelight fit`, or was "
                "changed since. Restore it, or delete it and fit again."
            )
        return found

    def fit_scorer(self, target: TargetModel, seed: int, kind: str = "") -> Explainer:
        """Train the scorer of one seed and kind (continuing a killed training)."""
        from dataclasses import replace

        beside = self.config.beside.get(kind)
        training = self.config.training if beside is None else beside.training_of(self.config.training)
        return Explainer.fit(
            target,
            self.rows("train"),
            eval=self.rows("validation"),
            scorer=self.scorer_config(target, kind),
            objective=self.objective(kind),
            training=replace(training, seed=seed),
            output_dir=self.scorer_folder(seed, kind),
        )

    def objective(self, kind: str = "") -> ObjectiveConfig:
        """What the scorers of a kind learn."""
        return self.config.beside[kind].objective if kind else self.config.objective

    def scorer_config(self, target: TargetModel, kind: str = "") -> ScorerConfig:
        """The configured scorer for ``target``."""
        beside = self.config.beside.get(kind)
        section = self.config.scorer if beside is None else beside.scorer_of(self.config.scorer)
        return ScorerConfig(
            relu=section.relu,
            sigmoid=section.sigmoid,
            rescale=section.rescale,
            standardise=section.standardise,
            conditioned=section.conditioned,
            by_class=section.by_class,
            decoder=section.decoder_options(list(target.modalities)),
        )

    def explainer(
        self, seed: int | None = None, target: TargetModel | None = None, kind: str = ""
    ) -> Explainer:
        """The fitted explainer of a seed (default: the first) and kind."""
        seed = self.config.seeds[0] if seed is None else seed
        folder = self.scorer_folder(seed, kind) / "scorer"
        recover_folder(folder)
        if not folder.is_dir():
            raise CheckpointError(
                f"no fitted scorer in {folder}: run `sidelight fit` first (or again; it resumes)."
            )
        return Explainer.from_pretrained(folder, target or self.open_target())

    @property
    def results_folder(self) -> Path:
        """The folder of results: the run's folder, or a folder in it for other data or a protocol other than the default.

        Raises:
            UnknownNameError: there is no such protocol.
        """
        name, other = PROTOCOLS[self.config.evaluation.protocol].name, self.config.evaluation.data
        folder = self.folder
        if other is not None:
            # another split or seed has other samples, and must find no finished parts of this one
            folder = folder / "elsewhere" / f"{other.name}-{digest(other.model_dump())}"
        return folder if name == DEFAULT else folder / "protocols" / name

    @property
    def facts(self) -> dict[str, Any]:
        """Facts of target and scorers. Raises :class:`CheckpointError` before ``fit``."""
        if not (self.folder / "fit.json").is_file():
            raise CheckpointError(f"{self.folder} has no fit.json: run `sidelight fit` first or again.")
        return dict(self._facts())

    def results(self) -> dict[str, Any]:
        """The results of ``evaluate``.

        Raises:
            CheckpointError: there are none yet.
            ConfigError: they were measured by other settings than those of the configuration.
        """
        require_results(self.results_folder, ["results.json"], self.folder)
        found = dict(read_record(self.results_folder / "results.json", "evaluate", finite=True))
        require_measured_by(found, self.config.evaluation, self.folder)
        return found


def contents_of(run: Run) -> dict[str, Any]:
    """What is in the rows of each split of ``run``."""
    return {split: content_of(run.rows(split)).to_dict() for split in ("train", "validation", "test")}


def _anywhere(data: DataSection) -> DataSection:
    """``data`` wherever its files lie: they may be moved, and what is in them is compared by itself."""
    return data.model_copy(update={"data_dir": None})


def scorer_name(seed: int, kind: str = "") -> str:
    """Name of a scorer in ``fit.json`` and in its folder's name: ``"0"``, or ``"thesis-0"`` for one beside."""
    return f"{kind}-{seed}" if kind else str(seed)
