"""``explainer.explain_stream()``, ``explainer.explain_dataset()`` and ``explainer.row_function()``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast, overload

from sidelight.core.guard import public
from sidelight.explanations.asking import lent_inputs
from sidelight.explanations.block_tables import BlockOptions, Pack
from sidelight.explanations.blocks import (
    Answer,
    Errors,
    require_columns_once,
    require_errors,
    require_names,
    require_size,
)
from sidelight.explanations.classes import Asked, require_flag
from sidelight.explanations.engines import Engine, Local
from sidelight.explanations.explanation import Explanation
from sidelight.explanations.job import Job, open_job, run_job
from sidelight.explanations.on_ray import OnRay
from sidelight.explanations.packing import schema_of
from sidelight.explanations.reading import StoredAnswers
from sidelight.explanations.row_function import RowFunction
from sidelight.explanations.score_types import require_score_type
from sidelight.rows.row import scalar
from sidelight.rows.sources import open_data
from sidelight.scorers import Scorer
from sidelight.targets import TargetModel

if TYPE_CHECKING:
    from typing_extensions import Unpack


class StreamOptions(TypedDict, total=False):
    """Keyword arguments of ``Explainer.explain_stream`` but ``errors``, for type checkers."""

    batch_size: int
    others: Any
    first: int
    target: Any
    versus: Any


class Streaming:
    """How an explainer explains more rows than fit in memory, and goes on after a kill."""

    target: TargetModel
    scorer: Scorer
    _answers: Callable[..., Iterator[Answer]]

    @overload
    def explain_stream(
        self, samples: Any, *, errors: Literal["raise"] = "raise", **options: Unpack[StreamOptions]
    ) -> Iterator[Explanation]: ...

    @overload
    def explain_stream(
        self, samples: Any, *, errors: Errors, **options: Unpack[StreamOptions]
    ) -> Iterator[Answer]: ...

    @public
    def explain_stream(
        self,
        samples: Any,
        *,
        batch_size: int = 32,
        errors: Errors = "raise",
        others: Any = None,
        first: int = 0,
        target: Any = None,
        versus: Any = None,
    ) -> Iterator[Answer]:
        """Like :meth:`explain`, one answer after another, with at most ``batch_size`` rows in memory.

        Args:
            samples: several samples, in the forms of :meth:`explain`.
            batch_size, errors, others, target, versus: see :meth:`explain`.
            first: number of the first row to explain.

        Yields:
            For each row from ``first`` on an :class:`Explanation`, or an
            :class:`~sidelight.explanations.blocks.ExplainFailure`.

        Raises:
            InputError, ConfigError: as :meth:`explain`.

        Example:
            >>> for explanation in explainer.explain_stream(["a dull film", "what a wonderful day"]):
            ...     words = explanation.inputs["text"]
        """
        asked = Asked(lent_inputs(self.target, others), target, versus)
        asked.require_scorer(self.scorer.config)
        if isinstance(samples, (str, os.PathLike)) and os.path.exists(samples):
            samples = Path(samples).absolute()  # rows are read later, perhaps in another working directory
        source, first = open_data(samples, "samples"), require_size(first, "first", least=0)
        return self._answers(source, require_size(batch_size), require_errors(errors), asked, first)

    @public
    def explain_dataset(
        self,
        source: Any,
        out: str | os.PathLike[str],
        *,
        columns: Sequence[str] = (),
        block_rows: int = 256,
        batch_size: int = 32,
        strict: bool = False,
        target: str | int | None = None,
        versus: str | int | None = None,
        progress: bool = False,
        scores: str | None = None,
        engine: str = "local",
        workers: int | None = None,
    ) -> StoredAnswers:
        """Explain every row of ``source`` into finished Parquet files in ``out``. A call that was killed continues.

        The same call again goes on after the last finished file, and writes the same bytes as one that was not killed.
        Within a block, texts of like length go through the model together. While they do, threads read the next batch, pack
        the last one, and write the block before. So rows of two blocks are in memory.

        Args:
            source: the path of a table (CSV, TSV, JSONL, Parquet) or of a folder of pictures, the id of a data set of the
                hub, or several samples in any form that :meth:`explain` takes. A stream must give the same rows again.
            out: folder, made if it is missing. It gets ``parts/``, ``manifest.json``, ``explanations.csv`` and, if a row
                could not be explained, ``errors.csv`` with its number and the reason.
            columns: of a table, the columns with the samples, the picture first. Default: those named like the modalities.
            block_rows: rows of a block, which is one file, at least 1.
            batch_size: rows in each pass, at least 1, and never more than a block has.
            strict: stop at the first row that cannot be explained.
            target: class of all maps: its name, its number, or ``"second"``. Default: the predicted class.
            versus: another class, in the same forms.
            progress: show a bar, with rows per second and the time that is left.
            scores: type in which scores are stored: ``"float32"``, ``"float16"`` (rounded by at most 0.00025), or
                ``"uint8"`` (by at most 0.002). Default: 32 bits for words, which are few, and 16 bits for pixels.
            engine: ``"local"`` explains in this process. ``"ray"`` explains on a Ray cluster (needs the extra ``ray``) and
                writes the same files: the one that ``RAY_ADDRESS`` names, or one that is started on this machine.
            workers: of Ray, at least 1. Default: one for each GPU, or as many as the CPUs give with this process's threads.

        Returns:
            What :func:`sidelight.read_explanations` gives for ``out``.

        Raises:
            InputError: the source or a column is missing, no row can be explained, or with ``strict`` one cannot.
            ConfigError: ``out`` holds the explanations of another job, or an argument is of another kind.
            BusyFolderError: another process writes there.
            CheckpointError: the disk refused. What was finished stays, and the same call goes on from it.
            MissingPackageError: Ray is not installed.
            PeerError: no worker of Ray could be started, or workers were lost again and again.

        Example:
            >>> found = explainer.explain_dataset("reviews.csv", "explained")
            >>> frame = found.to_pandas(["id", "label", "probability", "text_top"])
        """
        options = {k: scalar(v) for k, v in {"target": target, "versus": versus}.items() if v is not None}
        chosen = require_columns_once(columns)
        job = Job(
            source,
            # the job makes it a path
            cast(Path, out),
            chosen,
            block_rows,
            batch_size,
            require_flag(strict, "strict"),
            options,
            require_flag(progress, "progress"),
            scores=scores,
            engine=engine,
            workers=workers,
        )
        chosen_engine = self.engine_of(job)
        run_job(job, open_job(job), self.target, self.scorer, chosen_engine)
        return StoredAnswers(job.out)

    @public
    def row_function(
        self,
        *,
        columns: Sequence[str] = (),
        keep: Sequence[str] = (),
        batch_size: int = 32,
        target: str | int | None = None,
        versus: str | int | None = None,
        scores: str | None = None,
    ) -> RowFunction:
        """A function that other engines call with batches of rows: Spark, ``datasets.map``, Ray Data. It can be pickled.

        Args:
            columns, batch_size, target, versus, scores: see :meth:`explain_dataset`.
            keep: columns of the result, as :meth:`StoredAnswers.to_arrow` names them. Default: all.

        Returns:
            See :class:`~sidelight.explanations.row_function.RowFunction`.

        Raises:
            ConfigError: the scorer has no map of the class, or an argument is of another kind.

        Example:
            >>> explain = explainer.row_function(keep=["id", "label", "text_top"])
            >>> table = explain({"text": ["what a wonderful day", "a dull film"]})
        """
        how = BlockOptions(require_size(batch_size), "skip", "text" in self.target.modalities, scores)
        require_score_type(scores)
        words = {name: not own.keeps_channel_dim for name, own in self.target.modalities.items()}
        empty = schema_of(words, scores).empty_table()
        named = require_columns_once(columns), require_names(keep, "keep")
        return RowFunction(self.packing(target, versus), how, empty, *named)

    def engine_of(self, job: Job) -> Engine:
        """What explains the blocks of a job.

        Raises:
            ConfigError: the scorer has no map of the class.
            MissingPackageError: Ray is not installed.
        """
        pack = self.packing(**job.options)
        if job.engine == "local":
            return Local(pack, self.target.borrowed)
        return OnRay(self, dict(job.options), job.workers)

    def packing(self, target: Any = None, versus: Any = None) -> Pack:
        """A function that explains some rows together, for a class that is chosen for all of them.

        Raises:
            ConfigError: the scorer has no map of the class.
        """
        asked = Asked(None, target, versus)
        asked.require_scorer(self.scorer.config)
        answer = cast(Any, self)._answer_batch  # of the explainer, which is this class too
        return Pack(self.target, partial(asked.read, self.target.reader), partial(answer, asked=asked))
