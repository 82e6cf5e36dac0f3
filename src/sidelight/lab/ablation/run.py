"""Variants of one run's scorer: trained beside one target, measured on the test split, compared.

Everything lies in ``RUN/ablation/``::

    <variant>/seed-<n>/    one cell, see :class:`~sidelight.lab.ablation.cells.Cell`
    scores.parquet         one row per variant × seed × sample × fill × metric
    table.md table.csv table.json
    maps.png               a row a variant, on a few test samples
    left-out.json          default variants that the classifier does not allow, and why
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sidelight.core.files import replace_file, write_json
from sidelight.core.folders import recover_folder
from sidelight.core.locks import hold
from sidelight.core.names import OURS
from sidelight.core.tensors import masked_mean
from sidelight.core.types import Encoding, Inputs, Scores
from sidelight.errors import CollapseError, ConfigError
from sidelight.explainer import Explainer
from sidelight.explanations.blocks import require_names
from sidelight.lab.ablation.cells import FOLDER, Cell, cells_of
from sidelight.lab.ablation.table import CONSTANT, GIVEN_MEAN, LEFT_OUT, write_tables
from sidelight.lab.evaluation.batches import TestBatches
from sidelight.lab.evaluation.evidence import require_measurable
from sidelight.lab.evaluation.methods import ScorerMethod, fills_of, scorer_fingerprint, set_reference
from sidelight.lab.evaluation.own_parts import code_of
from sidelight.lab.evaluation.run import as_categories, measure
from sidelight.lab.figures.ablation import plot_variants
from sidelight.lab.report.page import grid_samples
from sidelight.lab.runs.given import require_run
from sidelight.lab.runs.run import Run, contents_of
from sidelight.lab.runs.stored_files import read_record
from sidelight.lab.runs.trained_with import require_same_answers, require_same_rows
from sidelight.lab.tables.table import Table
from sidelight.scorers.head import is_constant
from sidelight.targets import TargetModel
from sidelight.training.diagnostics import COLLAPSED
from sidelight.training.fit_options import for_objective
from sidelight.training.loss import ScorerObjective
from sidelight.training.network import new_scorer
from sidelight.training.objective import why_no_goal
from sidelight.viz import to_png
from sidelight.viz.export import write_atomic

log = logging.getLogger(__name__)

#: columns of a stored row
ROW = ["sample", "modality", "granularity", "fill", "metric", "value"]


@dataclass(frozen=True)
class VariantScorer(ScorerMethod):
    """A variant's scorer as a method. A scorer whose scores are not finite has collapsed."""

    def __call__(
        self, target: TargetModel, inputs: Inputs, classes: Tensor, encoding: Encoding | None = None
    ) -> Scores:
        """Scores in [0, 1].

        Raises:
            CollapseError: scores are not finite.
        """
        scores = super().__call__(target, inputs, classes, encoding)
        if not all(bool(torch.isfinite(s).all()) for s in scores.values()):
            raise CollapseError("the scorer's maps are not finite: its training diverged.")
        return scores


def run_ablation(run: Run, only: Sequence[str] = ()) -> list[Table]:
    """Train and measure every variant × seed that is not finished, then write the tables and the picture.

    Args:
        run: its target is opened, or trained, once for all variants.
        only: names of variants, all if empty. The tables show all that are finished.

    Returns:
        One table for each modality and granularity.

    Raises:
        ConfigError: a variant is malformed or cannot be built, was trained otherwise before, or
            beside another target.
    """
    require_run(run)
    only = require_names(only, "only", "small")
    with hold(run.folder, "ablate"):
        return _ablate(
            run, cells_of(run, only), chosen=bool(only) or run.config.ablation.variants is not None
        )


def _ablate(run: Run, cells: Sequence[Cell], chosen: bool) -> list[Table]:
    for cell in cells:
        cell.require_own()
    targets, content = Targets(run), contents_of(run)
    if not chosen:
        impossible = _without_goal(cells, targets)
        cells = [cell for cell in cells if cell.variant.name not in impossible]
        # tables that are made later, without a model, read it
        write_json(run.folder / FOLDER / LEFT_OUT, impossible)
    for cell in cells:
        cell.claim()
    _check_cells(cells, targets, content)
    for number, cell in enumerate(cells, start=1):
        _drop_other_code(cell, targets.of(cell))
        if not cell.finished:
            log.info("variant %r, seed %d (%d of %d)", *cell.key, number, len(cells))
            run_cell(cell, targets.of(cell), content)
    tables = write_tables(run)
    save_picture(run, targets)
    return tables


class Targets:
    """The run's target, opened (or trained) once for each way in which variants read it.

    Args:
        run: whose classifier all variants share.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._found: list[tuple[dict[str, Any], TargetModel]] = []
        self._add(run.config.target.options, run.open_target())

    def of(self, cell: Cell) -> TargetModel:
        """The target with the cell's ``target.options``."""
        section = cell.run.config.target
        for options, target in self._found:
            if options == section.options:
                return target
        kept = self._run.saved_target(self._run.folder / "target", section)
        return self._add(section.options, self._run.new_target(section) if kept is None else kept)

    def _add(self, options: dict[str, Any], target: TargetModel) -> TargetModel:
        set_reference(self._run, target)
        self._found.append((options, target))
        return target


def run_cell(cell: Cell, target: TargetModel, content: Mapping[str, Any]) -> None:
    """Train and measure one cell, as far as that is not done yet. A collapse is a result, not an error."""
    training: dict[str, Any] = {}
    scores, message = None, ""
    try:
        explainer, training = fit_cell(cell, target)
        scores = measure_cell(cell, target, explainer, content)
    except CollapseError as error:
        message = str(error)
    share = None if scores is None else float(scores.loc[scores.metric == CONSTANT, "value"].mean())
    if scores is not None:
        with replace_file(cell.folder / "scores.parquet") as tmp:
            as_categories(scores).to_parquet(tmp, index=False)
    facts = {
        "variant": cell.variant.name,
        "seed": cell.seed,
        "changes": dict(cell.variant.changes),
        "target": target.fingerprint(),
        "content": content,
        "measured": scores is not None,
        "collapsed": share is None or share >= COLLAPSED,
        "constant": share,
        "message": message,
        "training": training,
    }
    code = _own_code(cell, target)
    if code:
        facts["own code"] = code
    write_json(cell.folder / "cell.json", facts)
    cell.drop_parts()


def _drop_other_code(cell: Cell, target: TargetModel) -> None:
    """Drop a measurement that was made with another code of a user's own metric, fill or granularity."""
    facts = cell.facts
    if facts is not None and facts.get("own code", {}) != _own_code(cell, target):
        log.info("variant %r, seed %d: the code of a part of yours changed, measuring again", *cell.key)
        cell.drop_measurement()


def _own_code(cell: Cell, target: TargetModel) -> dict[str, str]:
    section = cell.run.config.evaluation
    fills = fills_of(section, target)
    return code_of(target, fills, section.metrics or (), section.granularities, section.protocol)


def fit_cell(cell: Cell, target: TargetModel) -> tuple[Explainer, dict[str, Any]]:
    """The cell's scorer, trained now if it was not, and the facts of its training."""
    path, folder = cell.folder / "fit.json", cell.run.scorer_folder(cell.seed) / "scorer"
    recover_folder(folder)
    if path.is_file() and folder.is_dir():
        return cell.run.explainer(cell.seed, target), dict(read_record(path, "ablate"))
    cell.drop_measurement()  # of a scorer that is gone
    explainer = cell.run.fit_scorer(target, cell.seed)
    metrics = {k: round(v, 6) if math.isfinite(v) else None for k, v in explainer.training_metrics.items()}
    facts = {"parameters": explainer.scorer.num_parameters, **metrics}
    write_json(path, facts)
    return explainer, facts


def measure_cell(
    cell: Cell, target: TargetModel, explainer: Explainer, content: Mapping[str, Any]
) -> pd.DataFrame:
    """Rows of every metric, and of the maps before the metrics stretch them to [0, 1]."""
    section = cell.run.config.evaluation
    rows = cell.run.rows("test", section.count)
    method = VariantScorer(explainer, scorer_fingerprint(explainer))
    scores, _ = measure(cell.run, target, rows, {f"{OURS}#{cell.seed}": method}, content=content["test"])
    as_given = _map_facts(explainer, TestBatches(target, rows, section.batch_size))
    return pd.concat([scores[ROW], as_given[ROW]], ignore_index=True)


def _map_facts(explainer: Explainer, batches: TestBatches) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for batch in batches:
        encoding, scores = explainer.attribute(batch.inputs)
        real = encoding.feature_mask
        constant = torch.stack([is_constant(s, real[m]).float() for m, s in scores.items()]).amin(0)
        mean = torch.stack([masked_mean(s, real[m]) for m, s in scores.items()]).mean(0)
        for metric, values in ((CONSTANT, constant), (GIVEN_MEAN, mean)):
            rows += [
                {"sample": i, "metric": metric, "value": v}
                for i, v in zip(batch.ids, values.tolist(), strict=True)
            ]
    return pd.DataFrame(rows).assign(
        modality="+".join(explainer.target.modalities), granularity="none", fill="none"
    )


def save_picture(run: Run, targets: Targets) -> None:
    """Write ``maps.png``: the first seed of every variant that has a scorer, on randomly chosen test samples."""
    section = run.config.ablation
    firsts: dict[str, Cell] = {}
    for cell in cells_of(run):
        if cell.finished and (cell.facts or {})["measured"]:
            firsts.setdefault(cell.variant.name, cell)
    methods: list[Any] = []
    for name, cell in firsts.items():
        if (cell.run.scorer_folder(cell.seed) / "scorer").is_dir():
            methods.append(VariantScorer(cell.run.explainer(cell.seed, targets.of(cell)), "", name))
        else:
            log.warning("variant %r is not in the picture: its scorer is gone.", name)
    if not methods:
        return
    rows = run.rows("test", next(iter(firsts.values())).run.config.evaluation.count)
    picks = np.random.default_rng(run.config.evaluation.seed).permutation(len(rows))[: section.samples]
    samples = grid_samples(methods[0].explainer, rows, picks.tolist(), methods)
    notes = {name: "collapsed" for name, cell in firsts.items() if (cell.facts or {})["collapsed"]}
    figure = plot_variants(samples, [m.name for m in methods], notes)
    write_atomic({run.folder / FOLDER / "maps.png": to_png(figure)})


def _without_goal(cells: Sequence[Cell], targets: Targets) -> dict[str, str]:
    """Default variants whose goal the target does not have, and why. Independent labels have one goal alone."""
    found: dict[str, str] = {}
    for cell in cells:
        if any(key == "objective.label" for key in cell.variant.changes):
            reason = why_no_goal(targets.of(cell).verdict, cell.run.config.objective.label)
            found |= {cell.variant.name: reason} if reason else {}
    for name, reason in found.items():
        log.info("variant %r is left out: %s.", name, reason)
    return found


def _check_cells(cells: Sequence[Cell], targets: Targets, content: Mapping[str, Any]) -> None:
    """Refuse cells that would stop the ablation hours later."""
    for cell in cells:
        target = targets.of(cell)
        fingerprint = target.fingerprint()
        if (cell.facts or {}).get("target", fingerprint) != fingerprint:
            raise ConfigError(
                f"variant {cell.variant.name!r}, seed {cell.seed} was trained beside another target than the "
                f"one in {cell.folder.parents[2]}: remove {cell.folder.parents[1]}, or bring that target back."
            )
        if (cell.facts or {}).get("content", content) != content:
            raise ConfigError(
                f"variant {cell.variant.name!r}, seed {cell.seed} was trained or measured on other rows: the data have "
                f"changed since. Remove {cell.folder.parents[1]}, or bring those data back."
            )
        cell.run.check_code(target)
        require_same_answers(cell.run.scorer_folder(cell.seed), target, cell.run.rows("train"))
        if cell.facts is None:
            require_same_rows(cell.run.scorer_folder(cell.seed), *map(cell.run.rows, ("train", "validation")))
        section = cell.run.config.evaluation
        require_measurable(section.metrics or (), cell.run.rows("test", section.count))
    for name, cell in {c.variant.name: c for c in cells if c.facts is None}.items():
        target = targets.of(cell)
        try:
            objective = cell.run.config.objective
            config = for_objective(cell.run.scorer_config(target), objective)
            ScorerObjective(new_scorer(target, cell.run.rows("train", 1), config), target, objective)
        except ConfigError as error:
            raise ConfigError(f"ablation variant {name!r}: {error}") from error
