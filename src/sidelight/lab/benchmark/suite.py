"""A benchmark: every run fitted and evaluated where it is not yet, then the tables of all of them together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sidelight.core.processes import Share, agreed, is_main, wait
from sidelight.errors import CheckpointError, SidelightError
from sidelight.lab.benchmark.clock import Clock, duration
from sidelight.lab.benchmark.plan import Benchmark
from sidelight.lab.config.sections import RunConfig, load_config
from sidelight.lab.evaluation.batches import boundaries
from sidelight.lab.evaluation.preflight import check_run
from sidelight.lab.evaluation.run import evaluate_share
from sidelight.lab.report.publication import Publication, write_publication
from sidelight.lab.runs.run import Run

log = logging.getLogger(__name__)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a run.

    Attributes:
        run: folder and configuration.
        error: why it is not evaluated; ``None`` where it is.
        waiting: whether other shards have batches of it to measure.
    """

    run: Run
    error: str | None = None
    waiting: bool = False

    @property
    def evaluated(self) -> bool:
        """Whether its results are written."""
        return self.error is None and not self.waiting


@dataclass(frozen=True)
class BenchmarkResult:
    """What became of a benchmark.

    Attributes:
        outcomes: one a run.
        tables: what was written about all evaluated runs; ``None`` where there is none, or for other processes
            than the main one.
        folder: of the tables.
        error: why there are no tables, where they failed.
    """

    outcomes: tuple[Outcome, ...]
    tables: Publication | None
    folder: Path
    error: str | None = None

    @property
    def failed(self) -> bool:
        """Whether anything went wrong."""
        return self.error is not None or any(o.error is not None for o in self.outcomes)


def run_benchmark(
    benchmark: Benchmark, out: str | Path, share: Share | None = None, say: Say = log.info
) -> BenchmarkResult:
    """Fit what is not fitted, evaluate what is not evaluated, write the tables; a killed benchmark continues.

    A run that fails is reported and the others go on. Run folders are ``out/<run>``, as ``sidelight fit``
    has them; the tables lie in ``out/<benchmark>``. Started by a launcher, all processes train each scorer
    together and divide the batches of each evaluation.

    Args:
        benchmark: from :func:`~sidelight.lab.benchmark.plan.load_benchmark`.
        out: folder of the run folders.
        share: of the batches, where machines without a launcher divide them; their runs are fitted before.
        say: takes lines for the user.
    """
    out, clock = Path(out), Clock()
    runs = [Run(out / config.name, config) for config in benchmark.runs]
    for run in runs:
        _plan(clock, run, share or Share.launched())
    outcomes = []
    for number, run in enumerate(runs, 1):
        title = f"[{number}/{len(runs)}] {run.config.name}"
        outcomes.append(_finish(run, title, share, clock, say))
    if share is not None:  # another shard may have finished meanwhile
        outcomes = [
            _finish(o.run, o.run.config.name, share, clock, say) if o.waiting else o for o in outcomes
        ]
    folder = out / benchmark.name
    done = [o.run.results_folder for o in outcomes if o.evaluated]
    tables, error = None, None
    if done and not any(o.waiting for o in outcomes):
        try:
            tables = _write_tables(benchmark, done, folder)
        except SidelightError as failure:
            error = str(failure)
    return BenchmarkResult(tuple(outcomes), tables, folder, error)


def _write_tables(benchmark: Benchmark, done: list[Path], folder: Path) -> Publication | None:
    options = benchmark.tables
    with agreed():
        if not is_main():
            return None
        return write_publication(
            done,
            folder,
            metrics=options.metrics,
            ranked=options.rank_by,
            alpha=options.alpha,
            figures=options.figures,
        )


def _plan(clock: Clock, run: Run, share: Share) -> None:
    """Tell the clock about a run; counts of batches are those of the configuration, a data set may have fewer."""
    section = run.config.evaluation
    count = min(section.count, run.config.data.test or section.count)
    cut, few = boundaries(section, count)
    parts = {"full": cut, "single": count - cut, "few": few - cut if section.few_samples else 0}
    try:
        scorers = len(run.unfitted())
    except SidelightError:  # reported when it is the run's turn
        scorers = len(run.config.seeds)
    clock.plan(run.config.name, "fit", scorers)
    for kind, samples in parts.items():
        number = -(-samples // section.batch_size)
        clock.plan(run.config.name, kind, len([i for i in range(number) if i in share]))


def _finish(run: Run, title: str, share: Share | None, clock: Clock, say: Say) -> Outcome:
    """Fit and evaluate one run; whatever goes wrong is its outcome."""
    name, start = run.config.name, time.perf_counter()
    try:
        check_run(run.config, run.folder)
        before = _claim(run)
        _fit(run, title, share, clock, say)
        _announce(say, f"{title}: evaluating", clock)
        complete = _evaluate(run, before, title, share, clock)
    except Exception as error:  # one bad run must not lose the others
        if not isinstance(error, SidelightError):
            log.warning("%s: a bug, or a machine in trouble", title, exc_info=error)
        say(f"{title}: failed, the others go on. {_words(error)}")
        clock.drop(name)
        return Outcome(run, _words(error))
    clock.drop(name)
    taken = duration(time.perf_counter() - start)
    if not complete:
        say(f"{title}: this shard is done ({taken}); other shards have batches to measure")
        return Outcome(run, waiting=True)
    _announce(say, f"{title}: done ({taken}), {run.folder}", clock)
    return Outcome(run)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, SidelightError) else f"{type(error).__name__}: {error}"


def _announce(say: Say, text: str, clock: Clock) -> None:
    left = clock.text()
    say(f"{text}; {left}" if left else text)


def _claim(run: Run) -> RunConfig | None:
    """Make the folder this run's; returns the configuration that results there were made with."""
    with agreed():
        path = run.folder / "config.yaml"
        measured = [p for name in ("results.json", "protocols/*/results.json") for p in run.folder.glob(name)]
        before = load_config(path) if path.is_file() and measured else None
        wait()  # all have read before one of them writes
        if is_main():
            Run.create(run.folder, run.config)
    return before


def _fit(run: Run, title: str, share: Share | None, clock: Clock, say: Say) -> None:
    with agreed(training=True):
        missing = run.unfitted()
        wait()  # all have looked before one of them writes
        if missing and share is not None:
            raise CheckpointError(
                f"{run.folder} is not fitted (seeds {', '.join(map(str, missing))}), and --shard divides "
                "evaluations only: run `sidelight fit`, or the benchmark without --shard, first."
            )
        if not missing:
            return
        _announce(say, f"{title}: fitting {len(missing)} scorer(s)", clock)
        start = time.perf_counter()
        run.fit()
        clock.done(run.config.name, "fit", time.perf_counter() - start, len(missing))


def _evaluate(run: Run, before: RunConfig | None, title: str, share: Share | None, clock: Clock) -> bool:
    """Whether all shares are measured and the run's results written."""

    def note(kind: str, seconds: float | None) -> str:
        clock.done(run.config.name, kind, seconds)
        left = clock.text()
        return f"{title}, {left} in all" if left else title

    try:
        return evaluate_share(run, share, note) is not None
    except SidelightError:
        if before is not None and is_main():  # the folder goes on saying what its results were made with
            Run.create(run.folder, before)
        raise
