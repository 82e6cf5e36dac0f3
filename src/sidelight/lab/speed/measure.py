"""The cost of an explanation beside its classification: ratio of times, peak memory, break-even."""

from __future__ import annotations

import gc
import math
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from sidelight.core.counted import repeated
from sidelight.core.freed_memory import return_freed_memory
from sidelight.core.names import OURS
from sidelight.core.processes import device, timed
from sidelight.core.tensors import predictable
from sidelight.core.types import Inputs
from sidelight.errors import ConfigError, InputError
from sidelight.explainer import Explainer
from sidelight.lab.baselines.base import Rival

#: seconds after which a method is not repeated again
PATIENCE = 20.0


@dataclass
class Peak:
    """Largest extra memory of a block, in MB."""

    mb: float = 0.0


@dataclass(frozen=True)
class SpeedRow:
    """Cost of one method at one batch size.

    Attributes:
        method: its name.
        batch: samples at once.
        classify_ms: the target's own pass, measured by turns with the method.
        explain_ms: class and map together.
        ratio: median over pairs of ``explain / classify``.
        peak_mb: extra memory of the first pass, in MB (resident set on a CPU, allocator on a GPU).
        classify_peak_mb: the same of the target's own pass.
        repeats: pairs measured.
    """

    method: str
    batch: int
    classify_ms: float
    explain_ms: float
    ratio: float
    peak_mb: float
    repeats: int
    classify_peak_mb: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class BreakEven:
    """The number of explanations after which the training of a scorer has paid for itself, for one rival.

    Attributes:
        method: the rival.
        batch: samples at once.
        saved_ms: milliseconds that one of our explanations saves, negative if the rival is faster.
        explanations: from this number on ours cost less, training included, or ``None`` if never.
    """

    method: str
    batch: int
    saved_ms: float
    explanations: int | None


def break_even(rows: Sequence[SpeedRow], training_seconds: float) -> list[BreakEven]:
    """Explanations after which ``training / (rival − ours)`` seconds are won back, for each rival and batch size.

    Args:
        rows: from :func:`measure_speed`, ours among them.
        training_seconds: duration of the scorer's training, on a machine like that of the rows.

    Raises:
        InputError: a batch size lacks a row of ours, or the training time is negative or not finite.
    """
    if not (math.isfinite(training_seconds) and training_seconds >= 0):
        raise InputError(f"training_seconds must be finite and not negative; got {training_seconds}.")
    own = {r.batch: r for r in rows if r.method == OURS}
    found = []
    for row in rows:
        if row.method == OURS:
            continue
        if row.batch not in own:
            raise InputError(f"{row.method!r} was timed at batch {row.batch}, {OURS} was not: time both.")
        saved = (row.explain_ms - own[row.batch].explain_ms) / row.batch
        count = math.ceil(1e3 * training_seconds / saved) if saved > 0 else None
        found.append(BreakEven(row.method, row.batch, round(saved, 4), count))
    return found


def require_once(values: Iterable[Hashable], what: str) -> None:
    """Raise :class:`ConfigError` if one of ``values`` is given twice. Its rows could not be told apart."""
    twice = repeated(values)
    if twice:
        raise ConfigError(f"{what} {twice[0]!r} is given twice; each is timed once.")


def measure_speed(
    explainer: Explainer,
    inputs: Inputs,
    rivals: Sequence[Rival] = (),
    batches: Sequence[int] = (1, 8),
    repeats: int = 15,
    on_row: Callable[[SpeedRow], None] | None = None,
    patience: float = PATIENCE,
) -> list[SpeedRow]:
    """Time the scorer and every rival against the target's own pass, by turns in one run.

    Pairs are interleaved (classify, explain, classify, ...), so a change of the machine's speed affects both sides.
    A method slower than ``patience`` is measured once.

    Args:
        inputs: at least ``max(batches)`` samples.
        patience: seconds after which a method is not repeated again.

    Raises:
        ConfigError: a batch size or a method is given twice.
        InputError: there are fewer samples than a batch has.
    """
    require_once(batches, "batch size")
    require_once([r.name for r in rivals], "method")
    _require_samples(inputs, max(batches))
    target, rows = explainer.target, []
    with target.borrowed(), old_objects_aside():
        for batch in batches:
            part = {k: v[:batch] for k, v in target.to_device(inputs).items()}

            def classify(part: Inputs = part) -> Any:
                with torch.inference_mode():
                    logits = target.forward(part, target.features(part))
                    return predictable(logits, target.independent).argmax(-1)

            with peak_memory() as alone:
                classes = classify().clone()
            methods: list[tuple[str, Callable[[], Any]]] = [
                (OURS, lambda part=part: explainer.attribute(part))  # type: ignore[misc]
            ]
            methods += [
                (r.name, lambda r=r, part=part, c=classes: (classify(), r(target, part, c)))  # type: ignore[misc]
                for r in rivals
            ]
            for name, explain in methods:
                row = _pairs(name, batch, classify, explain, repeats, patience)
                row = replace(row, classify_peak_mb=round(alone.mb, 1))
                rows.append(row)
                if on_row:
                    on_row(row)
    return rows


def _require_samples(inputs: Inputs, most: int) -> None:
    count = max((len(x) for x in inputs.values()), default=0)
    if count < most:
        raise InputError(
            f"a batch of {most} samples cannot be timed with {count} sample(s). Give at least {most}, or smaller batches."
        )


def time_zoo(
    batches: Sequence[int] = (1, 8),
    tokens: int = 128,
    repeats: int = 15,
    models: Sequence[str] = (),
    on_row: Callable[[dict[str, Any]], None] | None = None,
) -> list[dict[str, Any]]:
    """Time published models with random weights, one after another, without baseline methods.

    Args:
        batches, tokens: sizes of the inputs.
        models: names in :data:`~sidelight.lab.speed.zoo.SHAPES` (default: all).
        on_row: called with each row as it is measured.

    Returns:
        The fields of :class:`SpeedRow`, with ``model``, ``parameters`` of the classifier, ``scorer_parameters`` and
        ``memory_ratio``: memory of the weights of both and of the pass, divided by that of the classifier alone.

    Raises:
        ConfigError: a batch size is given twice.
    """
    from sidelight.lab.speed.subjects import speed_subject
    from sidelight.lab.speed.zoo import SHAPES

    require_once(batches, "batch size")
    found = []
    for name in models or list(SHAPES):
        explainer, inputs = speed_subject(name, max(batches), tokens)
        kept, more = (_megabytes(m) for m in (explainer.target.model, explainer.scorer))
        for row in measure_speed(explainer, inputs, (), batches, repeats):
            alone, both = kept + row.classify_peak_mb, kept + more + max(row.peak_mb, row.classify_peak_mb)
            found.append(
                {
                    "model": name,
                    "parameters": sum(p.numel() for p in explainer.target.model.parameters()),
                    "scorer_parameters": explainer.scorer.num_parameters,
                    **row.to_dict(),
                    "memory_ratio": round(both / alone, 3),
                }
            )
            if on_row:
                on_row(found[-1])
    return found


def _megabytes(module: torch.nn.Module) -> float:
    return sum(p.numel() * p.element_size() for p in module.parameters()) / 2**20


def _pairs(
    name: str,
    batch: int,
    classify: Callable[[], Any],
    explain: Callable[[], Any],
    repeats: int,
    patience: float,
) -> SpeedRow:
    started, place = time.perf_counter(), device()
    with peak_memory() as peak:
        first = timed(explain, place)  # the warm-up, during which memory is read
    pairs: list[tuple[float, float]] = []
    if first > patience:
        pairs.append((timed(classify, place), first))
    while len(pairs) < repeats and (not pairs or time.perf_counter() - started < patience):
        pairs.append((timed(classify, place), timed(explain, place)))
    median = sorted(e / c for c, e in pairs)[len(pairs) // 2]
    return SpeedRow(
        method=name,
        batch=batch,
        classify_ms=round(1e3 * sorted(c for c, _ in pairs)[len(pairs) // 2], 3),
        explain_ms=round(1e3 * sorted(e for _, e in pairs)[len(pairs) // 2], 3),
        ratio=round(median, 4),
        peak_mb=round(peak.mb, 1),
        repeats=len(pairs),
    )


@contextmanager
def peak_memory(interval: float = 0.002) -> Iterator[Peak]:
    """Measure the largest extra memory of a block."""
    peak = Peak()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield peak
        peak.mb = (torch.cuda.max_memory_allocated() - before) / 2**20
        return
    import psutil

    release_memory()
    process = psutil.Process()
    start = process.memory_info().rss
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(interval):
            peak.mb = max(peak.mb, (process.memory_info().rss - start) / 2**20)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()
        peak.mb = max(peak.mb, (process.memory_info().rss - start) / 2**20, 0.0)


@contextmanager
def old_objects_aside() -> Iterator[None]:
    """Let collections look at new objects only: beside the rows of a data set each one would take half a second."""
    if gc.get_freeze_count():  # the process did so itself
        yield
        return
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def release_memory() -> None:
    """Return freed memory to the system. Otherwise an earlier method's peak would hide a later one's."""
    gc.collect()
    return_freed_memory()  # without the GNU C library the figures are lower bounds
