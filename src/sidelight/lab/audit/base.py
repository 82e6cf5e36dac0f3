"""What a check is, and what it is given: a run's scorer beside its target, rivals, test samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor

from sidelight.core.registry import Registry
from sidelight.core.terminal import track
from sidelight.core.types import Scores
from sidelight.explainer import Explainer
from sidelight.lab.audit.tables import Table
from sidelight.lab.baselines import make_rival
from sidelight.lab.baselines.base import Rival
from sidelight.lab.config.sections import AuditSection
from sidelight.lab.evaluation.batches import TestBatches
from sidelight.lab.evaluation.export import raw_maps
from sidelight.lab.evaluation.methods import (
    OURS,
    ScorerMethod,
    rivals_of,
    scorer_fingerprint,
    set_reference,
    supports,
)
from sidelight.lab.evaluation.settings import EvalBatch, Method
from sidelight.lab.metrics.granularity import finest
from sidelight.lab.metrics.layout import Layout, make_layout, reduce_map
from sidelight.lab.metrics.ranking import sample_seed
from sidelight.lab.metrics.similarity import spearman, ssim, top_overlap
from sidelight.lab.runs.run import Run
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")
#: what a check found: ``rows`` of numbers and ``facts`` beside them, plain values for JSON
Findings = dict[str, Any]


class Subject:
    """What is audited.

    Args:
        run: fitted.
        other: a run on the same data with another target.

    Raises:
        CheckpointError: the run is not fitted.
    """

    def __init__(self, run: Run, other: Run | None = None) -> None:
        self.run, self.other = run, other
        self.section: AuditSection = run.config.audit
        self.target = run.open_target()
        set_reference(run, self.target)
        self.explainer = run.explainer(self.section.scorer, self.target)
        wanted = [_rival(entry, run) for entry in self.section.rivals]
        self.rivals = [r for r in wanted if supports(r, self.target)]
        self.folder: Path = run.folder / "audit"

    def batches(self, count: int) -> TestBatches:
        """The first ``count`` samples that the evaluation judges."""
        rows = self.run.rows("test", self.run.config.evaluation.count)
        return TestBatches(self.target, rows, self.run.config.evaluation.batch_size, 0, count)

    def methods(self, target: TargetModel | None = None, scorer: Scorer | None = None) -> dict[str, Method]:
        """Our scorer (or ``scorer``) beside ``target`` (default: the run's), and the rivals."""
        explainer = self.explainer
        if target is not None or scorer is not None:
            # its weights are drawn anew while it is asked, and that is what the audit asks about
            explainer = Explainer(target or self.target, scorer or self.explainer.scorer, check="off")
        ours: dict[str, Method] = {OURS: ScorerMethod(explainer, "")}
        return {**ours, **{r.name: r for r in self.rivals}}

    def identity(self) -> dict[str, Any]:
        """What every result depends on besides its own settings."""
        return {
            "target": self.target.fingerprint(),
            "scorer": scorer_fingerprint(self.explainer),
            "rivals": [repr(r) for r in self.rivals],
            "data": self.run.config.data.model_dump(),
            "samples": [self.run.config.evaluation.count, self.section.seed],
        }

    def track(self, items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
        """``items`` with a bar."""
        yield from track(items, what, total=total)


def _rival(entry: str | dict[str, dict[str, Any]], run: Run) -> Rival:
    """A rival as the audit asks for it, with the options of the evaluation where it names none."""
    if isinstance(entry, str):
        known = next((r for r in rivals_of(run.config.evaluation) if r.name == entry), None)
        return known or make_rival(entry)
    ((name, options),) = entry.items()
    return make_rival(name, **options)


@dataclass(frozen=True)
class Reading:
    """Maps of ``B`` samples read in one way, for the modalities of one group.

    Attributes:
        soft: ``[B, N]`` in [0, 1], on the CPU.
        order: ``[B, N]`` what ranks the features, larger first; with its sign where it has one.
        real: ``[B, N]`` which features count.
        layout: where each feature sits.
    """

    soft: Tensor
    order: Tensor
    real: Tensor
    layout: Layout

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns where the features are laid out on such, else ``None``."""
        (shape, *more) = self.layout.shapes.values()
        return None if more or len(shape) != 3 else (shape[-2], shape[-1])


def read_maps(
    method: Method,
    target: TargetModel,
    batch: EvalBatch,
    classes: Tensor,
    groups: Sequence[tuple[str, ...]] | None = None,
    seed: int = 0,
) -> dict[tuple[str, str], Reading]:
    """Maps of ``method`` for ``classes``, as ``{(modality, reading): maps}``.

    Args:
        target: what the method explains; for a scorer the target it sits beside.
        batch: samples on the target's device.
        classes: ``[B]``.
        groups: modalities read together (default: each alone).
        seed: of whatever a method draws from torch's own generator.
    """
    with torch.random.fork_rng():
        torch.manual_seed(sample_seed(seed, batch.ids[0]))
        scores = raw_maps(method, target, batch, classes)
    return readings(scores, target, batch, method.signed, groups)


def readings(
    scores: Scores,
    target: TargetModel,
    batch: EvalBatch,
    signed: bool,
    groups: Sequence[tuple[str, ...]] | None = None,
) -> dict[tuple[str, str], Reading]:
    """Raw scores as the benchmark reads them: see :func:`sidelight.lab.metrics.layout.reduce_map`."""
    mask = {name: m.cpu() for name, m in target.feature_mask(batch.inputs).items()}
    found = {}
    for group in groups or [(m,) for m in target.modalities]:
        layout = make_layout(mask, {m: finest(m) for m in group}, batch.inputs)
        flat = layout.flatten({m: scores[m].detach().float().cpu() for m in group})
        for name, maps in reduce_map(flat, layout, signed).items():
            found["+".join(group), name] = Reading(maps.soft, maps.order, layout.real, layout)
    return found


#: what :func:`compare` finds, as people call it
SIMILARITIES = {"spearman": "Spearman", "top_k": "top-k overlap", "ssim": "SSIM"}


def compare(a: Reading, b: Reading, share: float) -> dict[str, Tensor]:
    """Similarity of two readings of the same samples: ``spearman``, ``top_k`` and, on a grid, ``ssim``; ``[B]``."""
    found = {
        "spearman": spearman(a.order, b.order, a.real),
        "top_k": top_overlap(a.order, b.order, a.real, share),
    }
    if a.grid is not None and min(a.grid) >= 3:
        found["ssim"] = ssim(a.soft.view(-1, *a.grid), b.soft.view(-1, *a.grid))
    return found


def digest(about: Any) -> str:
    """Eight characters that tell one set of plain values from another, for names of folders."""
    text = json.dumps(about, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()


def _never(subject: Subject) -> str | None:
    return None


@dataclass(frozen=True)
class Check:
    """One question put to a scorer and its rivals.

    Attributes:
        name: in :data:`CHECKS`.
        title: for headings.
        question: what is asked, and how the answer is read.
        settings: keys of :class:`~sidelight.lab.config.sections.AuditSection` that the answer depends on.
        measure: the work.
        tables: what it found, for people.
        figures: the same in pictures, by name.
        refusal: why it cannot be asked of this subject; ``None`` where it can.
        uses_other: whether the answer depends on the other run.
    """

    name: str
    title: str
    question: str
    settings: tuple[str, ...]
    measure: Callable[[Subject], Findings]
    tables: Callable[[Findings], list[Table]]
    figures: Callable[[Findings], Mapping[str, Figure]]
    refusal: Callable[[Subject], str | None] = _never
    uses_other: bool = False


#: Every check by name, in the order they are run.
CHECKS: Registry[Check] = Registry("check")
