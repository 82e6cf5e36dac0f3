"""A benchmark: all runs are fitted and evaluated, unless they are already, then the tables of all are written."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sidelight.core.locks import hold
from sidelight.core.processes import Share, agreed, is_main, wait
from sidelight.errors import CheckpointError, SidelightError
from sidelight.lab.benchmark.plan import Benchmark
from sidelight.lab.config.files import load_config
from sidelight.lab.config.sections import RunConfig
from sidelight.lab.evaluation.preflight import check_run
from sidelight.lab.evaluation.run import evaluate_share
from sidelight.lab.report.publication import Publication, write_publication
from sidelight.lab.runs.run import Run, scorer_name

log = logging.getLogger(__name__)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        run: folder and configuration.
        error: the reason if it failed, else ``None``.
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
    """The outcome of a benchmark.

    Attributes:
        outcomes: one for each run.
        tables: the tables of all evaluated runs, or ``None`` without any, and in processes other than the main one.
        folder: of the tables.
        error: the reason if the tables failed, else ``None``.
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
    """Fit what is not fitted, evaluate what is not evaluated, and write the tables.

    A killed benchmark continues. A run that fails is reported and the others go on. The run folders are
    ``out/<run>``, as ``sidelight fit`` makes them. The tables lie in ``out/<benchmark>``. If a launcher started
    several processes, they train each scorer together and divide the batches of each evaluation.

    Args:
        benchmark: from :func:`~sidelight.lab.benchmark.plan.load_benchmark`.
        share: of the batches, if machines without a launcher divide them. Their runs must be fitted before.
    """
    out = Path(out)
    outcomes = []
    for number, config in enumerate(benchmark.runs, 1):
        title = f"[{number}/{len(benchmark.runs)}] {config.name}"
        outcomes.append(_finish(Run(out / config.name, config), title, share, say))
    if share is not None:  # another shard may have finished meanwhile
        outcomes = [_finish(o.run, o.run.config.name, share, say) if o.waiting else o for o in outcomes]
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


def _finish(run: Run, title: str, share: Share | None, say: Say) -> Outcome:
    """Fit and evaluate one run. An error becomes its outcome."""
    start = time.perf_counter()
    try:
        check_run(run.config, run.folder)
        # the settings of a run are not changed while another command works there
        with hold(run.folder, "benchmark", "" if share is None else share.name):
            before = _claim(run)
            _fit(run, title, share, say)
            say(f"{title}: evaluating")
            complete = _evaluate(run, before, share)
    except Exception as error:  # one bad run must not lose the others
        if not isinstance(error, SidelightError):
            log.warning("%s: a bug, or a machine in trouble", title, exc_info=error)
        say(f"{title}: failed, the others go on. {_words(error)}")
        return Outcome(run, _words(error))
    taken = timedelta(seconds=round(time.perf_counter() - start))
    if not complete:
        say(f"{title}: this shard is done ({taken}); other shards have batches to measure")
        return Outcome(run, waiting=True)
    say(f"{title}: done ({taken}), {run.folder}")
    return Outcome(run)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, SidelightError) else f"{type(error).__name__}: {error}"


def _claim(run: Run) -> RunConfig | None:
    """Make the folder this run's. Returns the configuration of the results that it holds, if there are any."""
    with agreed():
        path = run.folder / "config.yaml"
        measured = [p for name in ("results.json", "protocols/*/results.json") for p in run.folder.glob(name)]
        before = load_config(path) if path.is_file() and measured else None
        wait()  # all have read before one of them writes
        if is_main():
            Run.create(run.folder, run.config)
    return before


def _fit(run: Run, title: str, share: Share | None, say: Say) -> None:
    with agreed(training=True):
        missing = run.unfitted()
        wait()  # all have looked before one of them writes
        if missing and share is not None:
            raise CheckpointError(
                f"{run.folder} is not fitted (scorers {', '.join(scorer_name(*m) for m in missing)}), and --shard divides "
                "evaluations only: run `sidelight fit`, or the benchmark without --shard, first."
            )
        if missing:
            say(f"{title}: fitting {len(missing)} scorer(s)")
            run.fit()


def _evaluate(run: Run, before: RunConfig | None, share: Share | None) -> bool:
    """Whether all shares are measured and the run's results are written."""
    try:
        return evaluate_share(run, share) is not None
    except SidelightError:
        if before is not None and is_main():  # the folder keeps the configuration of its results
            Run.create(run.folder, before)
        raise
