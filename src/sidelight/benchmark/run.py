"""Evaluation of a run: its scorers and the rivals on the test split, stored as files."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from sidelight.baselines import DEFAULT_RIVALS, coincidences, make_rival
from sidelight.baselines.base import Rival
from sidelight.baselines.degeneracy import PLAIN, SUSPECTS
from sidelight.benchmark.evaluate import run_evaluation
from sidelight.benchmark.imported import imported_of
from sidelight.benchmark.modality import share_note, share_rows, share_summary
from sidelight.benchmark.settings import EvalBatch, EvalSettings, Method
from sidelight.benchmark.statistics import summarise
from sidelight.config import EvaluationSection
from sidelight.data.collate import Collator
from sidelight.data.lengths import row_lengths
from sidelight.errors import ConfigError
from sidelight.experiment import Run
from sidelight.explainer import Explainer
from sidelight.files import replace_file, write_json, write_text
from sidelight.masking import default_fills
from sidelight.metrics import METRICS
from sidelight.report.table import markdown_table
from sidelight.targets import TargetModel
from sidelight.targets.removal import blind_fills, granted_classes
from sidelight.types import Inputs, Scores

log = logging.getLogger(__name__)

#: our own method's name in every table
OURS = "sidelight"
#: how many training inputs fills and DeepLIFT-SHAP may draw from
REFERENCE_SIZE = 32
#: metrics that need only one masked pass, or none
SINGLE_PASS = (
    "average_drop",
    "average_drop_relative",
    "increase_in_confidence",
    "complexity",
    "sparsity",
    "mean_score",
    "area",
    "entropy",
    "iou",
    "f1",
    "auprc",
    "pointing_game",
)


@dataclass(frozen=True)
class ScorerMethod:
    """A fitted scorer as one more method of the benchmark."""

    explainer: Explainer
    fingerprint: str
    name: str = OURS
    signed: bool = False

    def __call__(self, target: TargetModel, inputs: Inputs, classes: Tensor) -> Scores:
        """Scores in [0, 1]; the scorer explains the prediction, so ``classes`` play no part."""
        return self.explainer.attribute(target.to_device(inputs))[1]


class TestBatches:
    """Batches of the test split with ids and, where it is known, the evidence; sized and repeatable."""

    __test__ = False  # not a test case, whatever pytest thinks of the name

    def __init__(
        self, target: TargetModel, rows: Any, size: int, first: int = 0, last: int | None = None
    ) -> None:
        self.target, self.rows, self.size = target, rows, size
        self.first, self.last = first, len(rows) if last is None else min(last, len(rows))

    def __len__(self) -> int:
        return -(-max(0, self.last - self.first) // self.size)

    def __iter__(self) -> Any:
        collate = Collator(self.target)
        order = list(range(self.first, self.last))
        lengths = (
            row_lengths(self.target, [self.rows[i] for i in order]) if self.target.varying_length else None
        )
        if lengths:  # like with like: no result depends on what a sample is batched with
            order.sort(key=lambda i: lengths[i - self.first])
        for start in range(0, len(order), self.size):
            ids = order[start : start + self.size]
            rows = [self.rows[i] for i in ids]
            inputs = collate(rows)
            inputs.pop("labels", None)
            yield EvalBatch(self.target.to_device(inputs), ids, known_evidence(self.target, rows, inputs))


def known_evidence(target: TargetModel, rows: Sequence[Any], inputs: Inputs) -> dict[str, Tensor] | None:
    """The evidence that rows bring along, laid on the features of ``inputs``; ``None`` where they bring none."""
    if not (isinstance(rows[0], Mapping) and "evidence" in rows[0]):
        return None
    samples = Collator(target).samples(rows)
    return target.truth([r["evidence"] for r in rows], inputs, samples)


def fills_of(section: EvaluationSection, target: TargetModel) -> list[str]:
    """The fills a configuration asks for, or those that suit the target."""
    return default_fills(target.modalities) if section.fills is None else section.fills


def groups_of(section: EvaluationSection, target: TargetModel) -> list[tuple[str, ...]]:
    """The modalities that are masked and ranked together: all of them, then each alone where there are several.

    Empty where there is one and nothing else was asked for.

    Raises:
        ConfigError: a group is empty or names a modality that the target does not read.
    """
    names = tuple(target.modalities)
    if section.groups is None:
        return [names, *((n,) for n in names)] if len(names) > 1 else []
    for group in section.groups:
        if not group or not set(group) <= set(names):
            raise ConfigError(
                f"evaluation.groups: {group!r} must name modalities among {', '.join(names)}, "
                f"e.g. [[{', '.join(names)}]]."
            )
    return [tuple(n for n in names if n in group) for group in section.groups]


def rivals_of(section: EvaluationSection) -> list[Rival]:
    """The rivals a configuration asks for, ready to call; those for few samples come last."""
    return [*_make(DEFAULT_RIVALS if section.rivals is None else section.rivals), *_make(section.few_samples)]


def _make(entries: Sequence[str | Mapping[str, Any]]) -> list[Rival]:
    found: list[Rival] = []
    for entry in entries:
        if isinstance(entry, str):
            found.append(make_rival(entry))
        elif len(entry) == 1:
            found += [make_rival(name, **(options or {})) for name, options in entry.items()]
        else:
            raise ConfigError(f"a rival is a name or a mapping of one name to its options; got {entry!r}.")
    return found


def evaluate_run(run: Run) -> dict[str, Any]:
    """Measure every method of a run; writes ``scores.parquet``, ``curves.parquet``, ``results.json``, ``table.md``.

    Returns:
        The content of ``results.json``.
    """
    section = run.config.evaluation
    target = run.open_target()
    set_reference(run, target)
    rows = run.rows("test", section.count)
    rivals = [r for r in rivals_of(section) if supports(r, target)]
    methods: dict[str, Method] = {}
    for seed in run.config.seeds:
        explainer = run.explainer(seed, target)
        methods[f"{OURS}#{seed}"] = ScorerMethod(explainer, scorer_fingerprint(explainer))
    methods.update({r.name: r for r in rivals})
    imported = imported_of(section, [OURS, *(r.name for r in rivals)])
    for maps in imported:  # refused now, not after hours
        maps.require(range(len(rows)), target.modalities)
    measured = [
        # apart from the rest: a file may be added, or change, when everything else is measured already
        measure(run, target, rows, {maps.name: maps}, run.folder / "evaluation" / "imported" / maps.slug)
        for maps in imported
    ]
    measured.insert(0, measure(run, target, rows, methods))
    scores, curves = (pd.concat(tables, ignore_index=True) for tables in zip(*measured, strict=True))
    notes = degeneracy_notes(target, rows, rivals) + removal_notes(target, rows, fills_of(section, target))
    shares = measured_shares(run, target, rows)
    if shares:
        notes.append(share_note(shares))
    summary = summarise(scores, dataset=run.config.data.name)
    results = {
        "name": run.config.name,
        "dataset": run.config.data.name,
        **{k: v for k, v in run.facts.items() if k in ("target", "scorers")},
        "notes": notes,
        **({"modality_share": shares} if shares else {}),
        "rows": plain_rows(summary),
    }
    with replace_file(run.folder / "scores.parquet") as tmp:
        as_categories(scores).to_parquet(tmp, index=False)
    with replace_file(run.folder / "curves.parquet") as tmp:
        curves.to_parquet(tmp, index=False)
    write_text(run.folder / "table.md", markdown_table(results["rows"]))
    write_json(run.folder / "results.json", results)
    return results


def measure(
    run: Run, target: TargetModel, rows: Any, methods: Mapping[str, Method], folder: Path | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every method on ``rows`` as ``run.config.evaluation`` says, resuming in ``folder``.

    Args:
        methods: by name; what follows a ``#`` is the seed of a scorer.
        folder: of finished batches; default ``evaluation/`` of the run.

    Returns:
        Per-sample rows with a ``seed`` column, and mean curves.
    """
    section = run.config.evaluation
    settings = EvalSettings(
        fills=fills_of(section, target),
        metrics=section.metrics or tuple(METRICS),
        steps=section.steps,
        granularities=section.granularities,
        groups=groups_of(section, target),
        tie_draws=section.tie_draws,
        forward_batch=section.forward_batch,
        seed=section.seed,
    )
    folder = run.folder / "evaluation" if folder is None else folder
    whole, rest = split_batches(target, rows, section)
    full = run_evaluation(
        target,
        whole,
        methods,
        settings,
        directory=folder / "full",
    )
    parts, curves = [full.rows], full.curves
    quick_metrics = [m for m in settings.metrics if m in SINGLE_PASS]
    if len(rest) and quick_metrics:
        single = replace(settings, metrics=quick_metrics)
        slow = {r.name for r in _make(section.few_samples)}
        quick = {name: m for name, m in methods.items() if name not in slow}
        parts.append(run_evaluation(target, rest, quick, single, directory=folder / "single").rows)
    scores = pd.concat(parts, ignore_index=True)
    return _split_seed(scores), _merge_seeds(curves)


def split_batches(
    target: TargetModel, rows: Any, section: EvaluationSection
) -> tuple[TestBatches, TestBatches]:
    """Batches that get every metric, and those of the further samples, which get only the ones of a single pass."""
    cut = len(rows) if section.curve_count is None else min(section.curve_count, len(rows))
    size = section.batch_size
    return TestBatches(target, rows, size, 0, cut), TestBatches(target, rows, size, cut)


def _split_seed(frame: pd.DataFrame) -> pd.DataFrame:
    """``sidelight#1`` becomes method ``sidelight`` with seed 1; rivals have no seed."""
    names = frame["method"].str.split("#", n=1, expand=True)
    seeds = pd.to_numeric(names[1]) if 1 in names else np.nan
    return frame.assign(method=names[0], seed=seeds)


def _merge_seeds(curves: pd.DataFrame) -> pd.DataFrame:
    if curves.empty:  # no metric asked for needs a curve
        return curves
    frame = _split_seed(curves)
    keys = [c for c in frame.columns if c not in ("mean", "lo", "hi", "seed")]
    return frame.groupby(keys, sort=False, as_index=False)[["mean", "lo", "hi"]].mean()


def measured_shares(run: Run, target: TargetModel, rows: Any) -> dict[str, Any]:
    """What each modality is worth to the run's target; writes ``modality_share.parquet``. Empty for one modality."""
    names = tuple(target.modalities)
    if len(names) < 2:
        return {}
    others = reference_inputs(run, target)
    frame = share_rows(target, rows, others, batch_size=run.config.evaluation.batch_size)
    with replace_file(run.folder / "modality_share.parquet") as tmp:
        frame.to_parquet(tmp, index=False)
    return share_summary(frame, names)


def set_reference(run: Run, target: TargetModel) -> None:
    """Training inputs that fills ("another image") and reference-based rivals draw from."""
    target.set_reference(reference_inputs(run, target))


def reference_inputs(run: Run, target: TargetModel) -> Inputs:
    """:data:`REFERENCE_SIZE` rows of the training split, prepared."""
    rows = run.rows("train")
    picks = np.random.default_rng(run.config.evaluation.seed).permutation(len(rows))[:REFERENCE_SIZE]
    inputs = Collator(target)([rows[int(i)] for i in picks])
    inputs.pop("labels", None)
    return inputs


def supports(rival: Rival, target: TargetModel) -> bool:
    """Whether a rival knows what to do with the target; the others are left out with a word."""
    reason = rival.refusal(target)
    if reason is not None:
        _say_once(f"{rival.title} is left out: {reason}")
    return reason is None


@lru_cache(maxsize=64)
def _say_once(message: str) -> None:
    log.warning(message)


def degeneracy_notes(target: TargetModel, rows: Any, rivals: Sequence[Rival], count: int = 8) -> list[str]:
    """Sentences on rivals whose maps coincide on this target; only those that can are computed."""
    suspects = [r for r in rivals if r.name in (*SUSPECTS, *PLAIN)]
    if not suspects:
        return []
    inputs = Collator(target)([rows[i] for i in range(min(count, len(rows)))])
    inputs.pop("labels", None)
    inputs = target.to_device(inputs)
    classes = target.encode(inputs).prediction
    return [c.note for c in coincidences(target, inputs, classes, suspects)]


def removal_notes(target: TargetModel, rows: Any, fills: Sequence[str], count: int = 64) -> list[str]:
    """A sentence on each fill under which removing features does less than a reader would think."""
    inputs = Collator(target)([rows[i] for i in range(min(count, len(rows)))])
    inputs.pop("labels", None)
    inputs = target.to_device(inputs)
    dimmed = [
        f"Under {fill} fill a score of 0.1 everywhere leaves this target's confidence as it is: only exact zeros "
        "remove anything, so average drop under it says little here."
        for fill in blind_fills(target, inputs, fills)
    ]
    granted = [
        f"With everything removed under {g.fill} fill this target says {g.label!r} (p = {g.probability:.2f}; "
        f"{g.share:.0%} of the samples): those keep their prediction under any map, so read that fill's average "
        "drop as one about the others."
        for g in granted_classes(target, inputs, fills)
    ]
    return dimmed + granted


def scorer_fingerprint(explainer: Explainer) -> str:
    """Hash of a scorer's weights: an evaluation never mixes batches of two scorers."""
    from sidelight.targets import fingerprint

    return fingerprint(explainer.scorer)


def plain_rows(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Summary lines as JSON values; what is undefined becomes ``None``."""
    return [
        {str(k): (None if isinstance(v, float) and np.isnan(v) else v) for k, v in row.items()}
        for row in summary.to_dict("records")
    ]


def as_categories(frame: pd.DataFrame) -> pd.DataFrame:
    """Text columns as categories and float32 values: a tenth of the size on disk."""
    names = [c for c in frame.columns if frame[c].dtype == object or str(frame[c].dtype) in ("str", "string")]
    small = frame.assign(**{c: frame[c].astype("category") for c in names})
    return small.assign(value=small["value"].astype(np.float32))
