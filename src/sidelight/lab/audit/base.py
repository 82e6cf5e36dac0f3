"""The contract of a check, the run that it examines, and the maps that it compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from sidelight.core.names import OURS
from sidelight.core.own_code import own_code
from sidelight.core.registry import Registry
from sidelight.core.seeds import sample_seed, seeded
from sidelight.explainer import Explainer
from sidelight.inputs.base import Batch
from sidelight.lab.baselines import make_rival
from sidelight.lab.baselines.base import Rival
from sidelight.lab.config.sections import AuditSection
from sidelight.lab.evaluation.batches import TestBatches
from sidelight.lab.evaluation.export import raw_maps
from sidelight.lab.evaluation.methods import (
    ScorerMethod,
    fitted_target,
    rival_of,
    scorer_fingerprint,
    supports,
)
from sidelight.lab.evaluation.run import answers_to_tests
from sidelight.lab.evaluation.settings import Method
from sidelight.lab.metrics.granularity import finest
from sidelight.lab.metrics.layout import Layout, make_layout, read_scores
from sidelight.lab.metrics.similarity import spearman, ssim, top_overlap
from sidelight.lab.runs.run import Run, contents_of
from sidelight.lab.tables.table import Table
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel
from sidelight.training.identity import own_parts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: the result of a check: ``rows`` of numbers, and ``facts`` beside them, all plain values for JSON
Findings = dict[str, Any]
Measure = TypeVar("Measure", bound="Callable[[AuditedRun], Findings]")


class AuditedRun:
    """A fitted run with its target, its scorer, and the baseline methods beside it.

    Args:
        run: fitted.
        other: a run on the same data with another target.

    Attributes:
        section: the settings, ``run.config.audit``.
        target, explainer: the classifier, and the scorer beside it.
        rivals: the baseline methods of ``section`` that can explain the target.
        folder: where answers are kept, ``RUN/audit``.

    Raises:
        CheckpointError: the run is not fitted.
        UnknownNameError: ``audit.rivals`` names a method that there is not.
        ConfigError: an option of one is wrong.

    Example:
        >>> audited = AuditedRun(run)  # whose rivals are saliency and random
        >>> list(audited.methods())
        ['sidelight', 'saliency', 'random']
    """

    def __init__(self, run: Run, other: Run | None = None) -> None:
        self.run, self.other = run, other
        self.section: AuditSection = run.config.audit
        self.target = fitted_target(run)
        self.explainer = run.explainer(self.section.scorer, self.target)
        wanted = [_rival(entry, run) for entry in self.section.rivals]
        self.rivals = [r for r in wanted if supports(r, self.target)]
        self.folder: Path = run.folder / "audit"

    def batches(self, count: int) -> TestBatches:
        """The first ``count`` samples of the evaluation."""
        rows = self.run.rows("test", self.run.config.evaluation.count)
        return TestBatches(self.target, rows, self.run.config.evaluation.batch_size, 0, count)

    @cached_property
    def content(self) -> dict[str, Any]:
        """What is in the rows that the checks read."""
        return contents_of(self.run)

    @cached_property
    def answers(self) -> dict[str, Any]:
        """What the target answers to the first rows that are measured, as an entry of records. Empty if that is not known."""
        return answers_to_tests(self.run, self.target)

    def methods(self, target: TargetModel | None = None, scorer: Scorer | None = None) -> dict[str, Method]:
        """Our scorer (or ``scorer``) beside ``target`` (default: the run's), and the baseline methods."""
        explainer = self.explainer
        if target is not None or scorer is not None:
            # the audit changes the target's weights on purpose, so the explainer must not check them
            explainer = Explainer(target or self.target, scorer or self.explainer.scorer, check="off")
        ours: dict[str, Method] = {OURS: ScorerMethod(explainer, "")}
        return {**ours, **{r.name: r for r in self.rivals}}

    @property
    def fills(self) -> list[str]:
        """Fills of the checks that mask inputs."""
        return list(self.section.fills or self.target.training_fills(self.run.config.objective.fills))

    @property
    def code(self) -> dict[str, str]:
        """The code of a user's own fills and decoders, on which what a check trains depends."""
        objective = self.target.training_fills(self.run.config.objective.fills)
        return own_parts(self.target, [*self.fills, *objective])

    def identity(self) -> dict[str, Any]:
        """Everything besides its own settings that a check's result depends on."""
        finests = {f"granularity {m}": finest(m).cells for m in self.target.modalities}
        own = {**own_code({**{r.name: r for r in self.rivals}, **finests}), **self.code}
        return {
            **({"own code": own} if own else {}),
            "target": self.target.fingerprint(),
            "scorer": scorer_fingerprint(self.explainer),
            "rivals": [repr(r) for r in self.rivals],
            "data": self.run.config.data.model_dump(),
            "samples": [self.run.config.evaluation.count, self.section.seed],
        }


def _rival(entry: str | dict[str, dict[str, Any]], run: Run) -> Rival:
    """The baseline method of an entry. A bare name takes the options that the evaluation gives it."""
    if isinstance(entry, str):
        return rival_of(run.config.evaluation, entry)
    ((name, options),) = entry.items()
    return make_rival(name, **options)


@dataclass(frozen=True)
class Maps:
    """Maps of ``B`` samples under one reading, for the modalities of one group.

    Attributes:
        soft: ``[B, N]`` in [0, 1], on the CPU.
        order: ``[B, N]`` ranks the features, larger first. It is signed if the method is.
        real: ``[B, N]`` true for features that count.
        layout: the place of each feature.
    """

    soft: Tensor
    order: Tensor
    real: Tensor
    layout: Layout

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns if the features lie on a grid, else ``None``."""
        (shape, *more) = self.layout.shapes.values()
        return None if more or len(shape) != 3 else (shape[-2], shape[-1])


def each_map(
    methods: Mapping[str, Method],
    target: TargetModel,
    batch: Batch,
    classes: Tensor,
    groups: Sequence[tuple[str, ...]] | None = None,
    seed: int = 0,
) -> Iterator[tuple[dict[str, str], Maps]]:
    """The maps of all methods for ``classes``, read as the evaluation reads them.

    Args:
        target: the explained model. For a scorer it is the target beside it.
        classes: ``[B]``.
        groups: modalities read together (default: each alone).
        seed: of draws that a method makes from torch's own generator.

    Yields:
        A key of ``modality``, ``method`` and ``reading`` (see
        :func:`~sidelight.lab.metrics.layout.reduce_map`), and the maps.
    """
    mask = {name: m.cpu() for name, m in target.feature_mask(batch.inputs).items()}
    chosen = groups or [(m,) for m in target.modalities]
    layouts = {g: make_layout(mask, {m: finest(m) for m in g}, batch.inputs) for g in chosen}
    for name, method in methods.items():
        with seeded(sample_seed(seed, batch.ids[0])):
            scores = raw_maps(method, target, batch, classes)
        for group, layout in layouts.items():
            for reading, maps in read_scores(scores, layout, method.signed).items():
                about = {"modality": "+".join(group), "method": name, "reading": reading}
                yield about, Maps(maps.soft, maps.order, layout.real, layout)


#: the similarities of :func:`compare` by their names for people
SIMILARITIES = {"spearman": "Spearman", "top_k": "top-k overlap", "ssim": "SSIM"}


def compare(a: Maps, b: Maps, share: float) -> dict[str, Tensor]:
    """Similarity ``[B]`` of two maps of the same samples: ``spearman``, ``top_k`` and, on a grid, ``ssim``."""
    found = {
        "spearman": spearman(a.order, b.order, a.real),
        "top_k": top_overlap(a.order, b.order, a.real, share),
    }
    if a.grid is not None and min(a.grid) >= 3:
        found["ssim"] = ssim(a.soft.view(-1, *a.grid), b.soft.view(-1, *a.grid))
    return found


@dataclass(frozen=True)
class Check:
    """One question about a scorer and the methods beside it.

    Attributes:
        name: in :data:`CHECKS`.
        title: for headings.
        question: the question, and how to read the answer.
        settings: keys of :class:`~sidelight.lab.config.sections.AuditSection` that the answer depends on.
        measure: the work.
        tables: the findings as tables.
        figures: the findings as pictures, by name.
        refusal: the reason why a run cannot answer the question, or ``None`` if it can.
        uses_other: whether the answer depends on the other run.

    Example:
        >>> def measure(audited):
        ...     return {"rows": [], "facts": {"parameters": audited.explainer.scorer.num_parameters}}
        >>> size = Check("size", "Size", "How large is the scorer?", (), measure, lambda found: [], lambda found: {})
        >>> size.measure(AuditedRun(run))["facts"]["parameters"] > 0, size.refusal(AuditedRun(run))
        (True, None)
    """

    name: str
    title: str
    question: str
    settings: tuple[str, ...]
    measure: Callable[[AuditedRun], Findings]
    tables: Callable[[Findings], list[Table]]
    figures: Callable[[Findings], Mapping[str, Figure]]
    refusal: Callable[[AuditedRun], str | None] = lambda audited: None
    uses_other: bool = False


#: Every check by name, in the order they are run.
CHECKS: Registry[Check] = Registry("check")


def check(title: str, settings: tuple[str, ...], **parts: Any) -> Callable[[Measure], Measure]:
    """Decorator: register a measuring function as a check, under the function's name.

    Args:
        title, settings: fields of :class:`Check`.
        parts: its other fields. The question is the function's docstring.
    """

    def register(measure: Measure) -> Measure:
        question = " ".join((measure.__doc__ or "").split())
        CHECKS.add(measure.__name__, Check(measure.__name__, title, question, settings, measure, **parts))
        return measure

    return register
