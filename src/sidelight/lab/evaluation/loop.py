"""Measure every method on every batch, and go on where an earlier run stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from sidelight.checks.watched import WatchedWeights
from sidelight.core.own_code import own_code
from sidelight.core.processes import Share
from sidelight.core.seeds import sample_seed, seeded
from sidelight.core.terminal import counting_bar
from sidelight.errors import InputError
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.engine import Views, evaluate_batch
from sidelight.lab.evaluation.measures import measures_of
from sidelight.lab.evaluation.own_parts import code_of
from sidelight.lab.evaluation.settings import EvalResult, EvalSettings, Method, call_method
from sidelight.lab.evaluation.store import PartStore, require_same
from sidelight.lab.metrics.protocols import DEFAULT
from sidelight.lab.metrics.statistics import mean_curves
from sidelight.targets.base import TargetModel

CURVE_COLUMNS = ("sample", "modality", "method", "reduction", "granularity", "fill", "kind", "p")


class Batches(Protocol):
    """Batches that are made when they are needed. Their ids are known before."""

    def __len__(self) -> int: ...

    def ids(self, index: int) -> list[int]:
        """Sample ids of batch ``index``."""

    def __getitem__(self, index: int) -> Batch: ...


@dataclass(frozen=True)
class Measurement:
    """Methods to measure on batches with one set of settings.

    Attributes:
        target: the frozen model.
        batches: in the same order at every run and in every process.
        methods: display name to method. A method may tell its version by an attribute or
            call ``fingerprint``. A dataclass does so by its options, and whatever a user wrote by its source.
        settings: what to measure.
        folder: keeps the finished batches. A later run skips them.
        judge: a fine-tuned copy of the target, if a metric asks one.

    Raises:
        InputError: there is no method or no batch.
    """

    target: TargetModel
    batches: Batches
    methods: Mapping[str, Method]
    settings: EvalSettings
    folder: Path
    judge: TargetModel | None = None

    def __post_init__(self) -> None:
        if not self.methods:
            raise InputError(
                "no method to evaluate; give at least one, e.g. {'saliency': make_rival('saliency')}."
            )
        if not len(self.batches):
            raise InputError("nothing to evaluate: there are no batches.")

    def open_store(self, content: Mapping[str, Any] | None = None) -> PartStore:
        """The store of the finished batches.

        Args:
            content: of the rows that are measured, if it is known.

        Raises:
            ConfigError: ``folder`` holds an evaluation of other settings, methods, target or rows.
        """
        return PartStore(self.folder, self.identity(), content)

    def require_folder(self) -> None:
        """Raise :class:`ConfigError` if ``folder`` holds an evaluation of others, whoever judges. Nothing is written."""
        require_same(self.folder, self.identity())

    def identity(self) -> dict[str, Any]:
        """What the results depend on beside the rows, as plain values."""
        about = asdict(self.settings)
        about.pop("forward_batch")  # speed only
        if about["protocol"] == DEFAULT:  # older stores, which may be continued, know no protocols
            about.pop("protocol")
        if not self.settings.judged:  # likewise
            about.pop("judge")
        methods = {name: [m.name, m.signed, _version(m)] for name, m in self.methods.items()}
        identity = {"settings": about, "target": self.target.fingerprint(), "methods": methods}
        identity |= measures_of(self.target)
        if self.judge is not None:
            identity["judge"] = self.judge.fingerprint()
        own = own_code({f"method {name}": method for name, method in self.methods.items()})
        named = self.settings
        own |= code_of(self.target, named.fills, named.metrics, named.granularities, named.protocol)
        if own:
            identity["own code"] = own
        return identity


def run_evaluation(
    measurement: Measurement, *, content: Mapping[str, Any] | None = None, progress: bool = True
) -> EvalResult:
    """All results of a measurement in memory. Batches that an earlier run finished are read back.

    Args:
        measurement: what to measure.
        content: of the rows that are measured, if it is known.
        progress: whether to show a bar.

    Raises:
        ConfigError: the folder holds an evaluation of other settings, methods, target or samples.
        InputError: a method's scores cannot be used.
        CheckpointError: a stored batch is damaged.
    """
    store = measurement.open_store(content)
    finish_parts(measurement, store, progress=progress)
    rows, curves = store.read(len(measurement.batches))
    return EvalResult(rows, mean_curves(curves, seed=measurement.settings.seed))


def finish_parts(
    measurement: Measurement,
    store: PartStore,
    *,
    share: Share | None = None,
    on_batch: Callable[[float | None], str] | None = None,
    progress: bool = True,
) -> None:
    """Measure the batches that ``store`` lacks, as far as they belong to this process.

    Nothing is kept in memory.

    Args:
        measurement: what to measure.
        store: from :meth:`Measurement.open_store`.
        share: the batches of this process (default: all).
        on_batch: called after every batch with the seconds it took, ``None`` if it was there already. The
            words that it returns stand beside the bar.

    Raises:
        ConfigError: a stored batch has other samples.
        CheckpointError: a stored batch is damaged.
        InputError: a method's scores cannot be used, or it changed the classifier.
    """
    share = share or Share()
    batches, weights = measurement.batches, WatchedWeights(measurement.target)
    own = [index for index in range(len(batches)) if index in share]
    about = f"evaluating {len(measurement.methods)} method(s)"
    with counting_bar(disable=not progress) as bar:
        task = bar.add_task(about, total=len(own))
        for index in own:
            start, there = time.perf_counter(), store.holds(index, batches.ids(index))
            if not there:
                store.write(index, *_evaluate_methods(measurement, batches[index], weights))
            seconds = None if there else time.perf_counter() - start
            beside = on_batch(seconds) if on_batch else ""
            bar.update(task, advance=1, description=f"{about} {beside}".rstrip())


def _evaluate_methods(
    measurement: Measurement, batch: Batch, weights: WatchedWeights
) -> tuple[pd.DataFrame, pd.DataFrame]:
    settings = measurement.settings
    views = Views(measurement.target, batch, settings, measurement.judge)
    rows, curves = [], []
    for name, method in measurement.methods.items():
        # Chance inside a method must depend neither on which batches an earlier run had finished, nor on the other methods.
        with seeded(sample_seed(settings.seed, batch.ids[0], *name.encode())):
            view = views.of(method)
            probe = view.probe
            scores = call_method(method, view.target, probe.inputs, probe.classes, batch.ids, probe.encoding)
        if weights.now() != weights.known:
            raise InputError(
                f"method {name!r} changed the weights of the classifier, so it and all others would be measured on another "
                "one. A method must leave the classifier as it was, or work on a copy."
            )
        result = evaluate_batch(
            view.target,
            view.batch,
            scores,
            method=name,
            signed=method.signed,
            settings=view.settings,
            probe=view.probe,
            judge=view.judge,
        )
        rows += result.rows
        curves += result.curves
    # there is no row if every metric needs evidence that is not known here
    return pd.DataFrame(rows, columns=None if rows else ["sample"]), pd.DataFrame(
        curves, columns=list(CURVE_COLUMNS)
    )


def _version(method: Method) -> str:
    """Tells two methods of one name apart: a fingerprint if there is one, else the options."""
    fingerprint = getattr(method, "fingerprint", None)
    if fingerprint is None:
        return repr(method) if is_dataclass(method) else ""
    return str(fingerprint() if callable(fingerprint) else fingerprint)
