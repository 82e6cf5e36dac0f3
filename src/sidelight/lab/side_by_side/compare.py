"""``compare``: one line, one picture, one table."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sidelight.checks.certificate import certificate_fills
from sidelight.core.counted import repeated
from sidelight.core.guard import public
from sidelight.core.names import OURS
from sidelight.core.surroundings import plain_passes
from sidelight.core.types import Encoding, Reading, Scores
from sidelight.errors import ConfigError, InputError, InputTypeError, UnsupportedTargetError
from sidelight.explainer import Explainer
from sidelight.explanations.blocks import is_input_batch, require_names
from sidelight.explanations.building import Answered, explanations_of
from sidelight.explanations.classes import NO_CLASSES, Asked, Classes
from sidelight.explanations.explanation import Explanation
from sidelight.fills.base import require_unlike
from sidelight.inputs.base import Batch
from sidelight.lab.baselines.base import Rival
from sidelight.lab.evaluation.methods import make_rivals, reading_of_method
from sidelight.lab.figures.grid import GridSample
from sidelight.lab.side_by_side.passes import Passes, Watched, counted_passes, timed
from sidelight.lab.side_by_side.result import Comparison, Contender, in_order
from sidelight.lab.side_by_side.worth import Worths
from sidelight.targets import TargetModel

log = logging.getLogger(__name__)

#: methods unless others are named: with gradients, without, and a map that knows nothing of the model
DEFAULT_METHODS = ("saliency", "integrated_gradients", "occlusion", "random")


@public
@plain_passes()
def compare(
    explainer: Explainer,
    sample: Any,
    methods: Sequence[str | Mapping[str, Any] | Rival] = DEFAULT_METHODS,
    *,
    target: Any = None,
    area: float = 0.2,
    fills: Sequence[str] = (),
) -> Comparison:
    """Explain one input by our scorer and by other methods, and compare cost and worth of the maps.

    Every method keeps, and removes, the same share of the features. So no map wins by showing more. One input says how
    methods differ on it, and not which is better: for that, ``sidelight evaluate`` measures many.

    Args:
        explainer: fitted or loaded.
        sample: one picture, text or pair, as ``explain`` takes it, or a mapping of the model's own inputs.
        methods: names of baseline methods, mappings of a name to its options, or methods themselves. A method that cannot
            explain this classifier is left out, with a warning and a note.
        target: class to explain, as in ``explain``. Default: the predicted one.
        area: share of the features that is kept and removed, in (0, 1].
        fills: what stands in for removed features. Default: those of a certificate
            (:data:`~sidelight.checks.certificate.CERTIFICATE_FILLS`).

    Returns:
        The comparison, with ``table``, ``figure()`` and ``save(path)``.

    Raises:
        InputError: the sample cannot be read, or there are several.
        ConfigError: ``area`` is out of range, a method or fill is given twice, or the scorer does not know the class.
        UnknownNameError: there is no such method or fill.

    Example:
        >>> found = compare(explainer, "photo.jpg", ["integrated_gradients", "occlusion"])
        >>> found.save("side-by-side.html").name
        'side-by-side.html'
    """
    if not isinstance(explainer, Explainer):
        raise InputTypeError(f"expected a sidelight Explainer; got {type(explainer).__name__}.")
    rivals = _rivals(methods)
    _require_area(area)
    asked = Asked(None, target)
    asked.require_scorer(explainer.scorer.config)
    asked.require_length(1)
    job = _Job.of(explainer, _one(explainer.target, sample), asked)
    names = require_names(fills, "fills", "zero") or certificate_fills(explainer.target.modalities)
    worths = Worths(explainer.target, job.batch.inputs, job.encoding, job.label, area, names)
    worths.require_fills()  # said before anything slow runs
    require_unlike(names, explainer.target.modalities)
    used, notes = _run(explainer.target, rivals, job)
    maps: dict[str, tuple[Scores, bool]] = {OURS: (job.ours, False)}
    maps |= {w.name: (w.maps, w.rival.signed) for w in used}
    return Comparison(
        explanation=job.explanation,
        contenders=_measured(explainer, job, worths, used, maps),
        samples=job.drawn(explainer.target, maps),
        label=job.explanation.explained_label,
        clean=float(job.encoding.probabilities[0, job.label]),
        area=area,
        fills=names,
        notes=notes,
    )


def _measured(
    explainer: Explainer,
    job: _Job,
    worths: Worths,
    used: Sequence[Watched],
    maps: Mapping[str, tuple[Scores, bool]],
) -> tuple[Contender, ...]:
    """Cost and worth of all ``maps``."""
    spent, worth = timed(explainer, job.batch.inputs, used), worths.of(maps, OURS)
    # the label of every other method costs one more pass
    passes = {OURS: job.passes, **{w.name: Passes(w.passes.count + 1, w.passes.with_graph) for w in used}}
    found = {
        name: Contender(name, spent[name], passes[name].count, passes[name].with_graph, worth[name], signed)
        for name, (_, signed) in maps.items()
    }
    return in_order(found)


@dataclass(frozen=True)
class _Job:
    """One sample, read once, with what our scorer says of it."""

    batch: Batch
    encoding: Encoding
    reading: Reading
    ours: Scores
    passes: Passes
    explanation: Explanation
    label: int

    @classmethod
    def of(cls, explainer: Explainer, batch: Batch, asked: Asked) -> _Job:
        target = explainer.target
        target.check(batch.inputs)
        batch = batch.to(target.device)
        target.encode(
            batch.inputs
        )  # the first pass of a target may find out how its states lie, with more passes
        with counted_passes(target) as passes:
            encoding = target.encode(batch.inputs)
            classes = asked.classes(encoding, target.id2label, [0])
            reading = explainer.read(encoding, classes.explained)
        ours = reading_of_method(explainer.scorer.config, reading)
        label = encoding.prediction if classes.explained is None else classes.explained
        shown = NO_CLASSES if classes.explained is None else Classes(classes.explained)
        (explanation,) = explanations_of(target, Answered(batch, encoding, reading, shown))
        return cls(batch, encoding, reading, ours, passes, explanation, int(label[0]))

    def drawn(self, target: TargetModel, maps: Mapping[str, tuple[Scores, bool]]) -> tuple[GridSample, ...]:
        """The maps as people see them, of signed ones the positive part."""
        reader, real = target.reader, self.encoding.feature_mask
        unsigned = {
            name: {m: v.clamp(min=0) if signed else v for m, v in scores.items()}
            for name, (scores, signed) in maps.items()
        }
        shown = {name: reader.show_scores(self.batch, scores, real)[0] for name, scores in unsigned.items()}
        about = self.explanation
        return tuple(
            GridSample(
                display=about.inputs[modality],
                maps={name: found[modality] for name, found in shown.items()},
                label=about.label,
                probability=about.probability,
                modality=modality,
            )
            for modality in target.modalities
        )


def _one(target: TargetModel, sample: Any) -> Batch:
    """The only sample of a call, read."""
    if is_input_batch(sample):
        size = len(next(iter(sample.values())))
        if size != 1:
            raise InputError(f"one input is compared at a time; the mapping holds {size}.")
        return Batch(dict(sample))
    if not target.reader.is_sample(sample):
        raise InputError(
            f"one input is compared at a time ({' with '.join(target.modalities)}); got {type(sample).__name__}. For "
            "many inputs see `sidelight evaluate`."
        )
    return target.reader.read([sample], labelled=False)


def _rivals(methods: Any) -> list[Rival]:
    if isinstance(methods, str) or not isinstance(methods, Sequence):
        raise ConfigError(f"methods must be a list of names, e.g. ['occlusion']; got {methods!r:.60}.")
    odd = [m for m in methods if not isinstance(m, (str, Mapping, Rival))]
    if odd:
        raise ConfigError(f"methods must be a list of names, e.g. ['occlusion']; it holds {odd[0]!r:.60}.")
    found = [m if isinstance(m, Rival) else make_rivals([m])[0] for m in methods]
    twice = repeated(r.name for r in found)
    if twice:
        raise ConfigError(f"method {twice[0]!r} is given twice; each may be compared once.")
    return found


def _require_area(area: Any) -> None:
    number = isinstance(area, (int, float)) and not isinstance(area, bool)
    if not number or not 0 < area <= 1:
        raise ConfigError(f"area must be a share of the features in (0, 1]; got {area!r:.60}.")


def _run(target: TargetModel, rivals: Sequence[Rival], job: _Job) -> tuple[list[Watched], tuple[str, ...]]:
    """The methods that can explain this target, run once, and notes about the others."""
    classes = torch.tensor([job.label], device=target.device)
    used, notes = [], []
    for rival in rivals:
        watched, reason = Watched(rival, classes), rival.refusal(target)
        if reason is None:
            try:
                watched(target, job.batch.inputs, classes)
            except UnsupportedTargetError as error:
                reason = str(error)
        if reason is None:
            used.append(watched)
        else:
            notes.append(f"{rival.title} is left out: {reason}")
            log.warning("%s", notes[-1])
    return used, tuple(notes)
