"""Every method on every batch, with a bar, and resuming where an earlier run stopped."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import torch

from sidelight.core.processes import Share
from sidelight.core.seeds import sample_seed
from sidelight.core.terminal import counting_bar
from sidelight.core.types import Scores
from sidelight.errors import InputError
from sidelight.lab.evaluation.engine import Views, evaluate_batch, make_probe
from sidelight.lab.evaluation.parts import PartStore
from sidelight.lab.evaluation.settings import BatchResult, EvalBatch, EvalResult, EvalSettings, Method
from sidelight.lab.metrics.probe import Probe
from sidelight.lab.metrics.protocols import DEFAULT
from sidelight.lab.metrics.statistics import mean_curves
from sidelight.targets.base import TargetModel

__all__ = [
    "BatchResult",
    "EvalBatch",
    "EvalResult",
    "EvalSettings",
    "LazyBatches",
    "Method",
    "evaluate_batch",
    "finish_parts",
    "make_probe",
    "open_store",
    "run_evaluation",
]


class LazyBatches(Protocol):
    """Batches that are made when they are needed, their ids known before."""

    def __len__(self) -> int: ...

    def ids(self, index: int) -> list[int]:
        """Sample ids of batch ``index``."""

    def __getitem__(self, index: int) -> EvalBatch: ...


CURVE_COLUMNS = ("sample", "modality", "method", "reduction", "granularity", "fill", "kind", "p")


def run_evaluation(
    target: TargetModel,
    batches: Iterable[EvalBatch],
    methods: Mapping[str, Method],
    settings: EvalSettings | None = None,
    *,
    on_rows: Callable[[pd.DataFrame], None] | None = None,
    directory: str | Path | None = None,
    progress: bool = True,
) -> EvalResult:
    """Evaluate several methods on a data set, resuming where an earlier run stopped.

    Args:
        target: the frozen model.
        batches: in the same order at every run.
        methods: display name to method; a method may tell its version by an attribute or
            call ``fingerprint``, a dataclass does so by its options.
        settings: what to measure.
        on_rows: called with the rows of every finished batch, also those read back.
        directory: where to keep finished batches; a second run skips them.
        progress: show a bar.

    Raises:
        ConfigError: ``directory`` holds an evaluation of other settings, methods or target.
        InputError: there is no method or no batch, or a method's scores cannot be used.
    """
    settings = settings or EvalSettings()
    if not methods:
        raise InputError(
            "no method to evaluate; give at least one, e.g. {'saliency': make_rival('saliency')}."
        )
    store = open_store(directory, target, methods, settings) if directory is not None else None
    rows, curves = [], []
    with _bar(batches, len(methods), progress) as advance:
        for index, batch in enumerate(batches):
            part = store.read(index, batch.ids) if store else None
            if part is None:
                part = _evaluate_methods(target, batch, methods, settings)
                if store:
                    store.write(index, *part)
            rows.append(part[0])
            curves.append(part[1])
            if on_rows:
                on_rows(part[0])
            advance("")
    if not rows:
        raise InputError("nothing to evaluate: the iterable of batches is empty.")
    return EvalResult(
        pd.concat(rows, ignore_index=True),
        mean_curves(pd.concat(curves, ignore_index=True), seed=settings.seed),
    )


def open_store(
    directory: str | Path, target: TargetModel, methods: Mapping[str, Method], settings: EvalSettings
) -> PartStore:
    """Where finished batches of this evaluation are kept.

    Raises:
        ConfigError: ``directory`` holds an evaluation of other settings, methods or target.
    """
    return PartStore(directory, _identity(target, methods, settings))


def finish_parts(
    target: TargetModel,
    batches: LazyBatches,
    methods: Mapping[str, Method],
    settings: EvalSettings,
    store: PartStore,
    *,
    share: Share | None = None,
    on_batch: Callable[[float | None], str] | None = None,
    progress: bool = True,
) -> None:
    """Evaluate what ``store`` lacks of this process's share of the batches; nothing is kept in memory.

    Args:
        target, methods, settings: as in :func:`run_evaluation`.
        batches: in the same order at every run and in every process.
        store: of :func:`open_store`.
        share: of the batches (default: all of them).
        on_batch: called after every batch with the seconds it took, ``None`` where it was there; what it
            returns stands beside the bar.
        progress: show a bar.

    Raises:
        ConfigError: a stored batch has other samples.
        CheckpointError: a stored batch is damaged.
    """
    share = share or Share()
    own = [index for index in range(len(batches)) if index in share]
    with _bar(own, len(methods), progress) as advance:
        for index in own:
            start, there = time.perf_counter(), store.holds(index, batches.ids(index))
            if not there:
                store.write(index, *_evaluate_methods(target, batches[index], methods, settings))
            advance(on_batch(None if there else time.perf_counter() - start) if on_batch else "")


def _evaluate_methods(
    target: TargetModel, batch: EvalBatch, methods: Mapping[str, Method], settings: EvalSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    views = Views(target, batch, settings)
    rows, curves = [], []
    for number, (name, method) in enumerate(methods.items()):
        # Chance inside a method must not depend on which batches an earlier run had finished.
        with torch.random.fork_rng():
            torch.manual_seed(sample_seed(settings.seed, batch.ids[0], number))
            view = views.of(method)
            scores = _call(method, view.target, view.probe, batch.ids)
        result = evaluate_batch(
            view.target,
            view.batch,
            scores,
            method=name,
            signed=method.signed,
            settings=view.settings,
            probe=view.probe,
        )
        rows += result.rows
        curves += result.curves
    # no row where every metric needs evidence that is not known here
    return pd.DataFrame(rows, columns=None if rows else ["sample"]), pd.DataFrame(
        curves, columns=list(CURVE_COLUMNS)
    )


def _call(method: Method, target: TargetModel, probe: Probe, ids: Sequence[int]) -> Scores:
    if "ids" in inspect.signature(method).parameters:
        return method(target, probe.inputs, probe.classes, ids=list(ids))  # type: ignore[call-arg]
    return method(target, probe.inputs, probe.classes)


def _identity(target: TargetModel, methods: Mapping[str, Method], settings: EvalSettings) -> dict[str, Any]:
    about = asdict(settings)
    about.pop("forward_batch")  # speed only
    if about["protocol"] == DEFAULT:  # as before there were others, so that what was begun then can go on
        about.pop("protocol")
    return {
        "settings": about,
        "target": target.fingerprint(),
        "methods": {name: [m.name, m.signed, _version(m)] for name, m in methods.items()},
    }


def _version(method: Method) -> str:
    """What tells two methods of one name apart: a fingerprint if it has one, else its options."""
    fingerprint = getattr(method, "fingerprint", None)
    if fingerprint is not None:
        return str(fingerprint() if callable(fingerprint) else fingerprint)
    return repr(method) if is_dataclass(method) else ""


@contextmanager
def _bar(batches: object, methods: int, progress: bool) -> Iterator[Callable[[str], None]]:
    """A bar over the batches; what is called after each of them takes words to stand beside it."""
    total = len(batches) if isinstance(batches, Sized) else None
    about = f"evaluating {methods} method(s)"
    with counting_bar(disable=not progress) as bar:
        task = bar.add_task(about, total=total)
        yield lambda beside: bar.update(task, advance=1, description=f"{about} {beside}".rstrip())
