""":class:`Explainer`: fit a scorer beside a classifier, explain with it, save it, load it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import torch
from torch import nn

from sidelight.checks.selfcheck import (
    HOW_MADE,
    Check,
    made_up_samples,
    require_check,
    require_parts,
    self_check,
)
from sidelight.checks.watched import WatchedWeights
from sidelight.core.guard import public
from sidelight.core.processes import in_main
from sidelight.core.quiet import told_once
from sidelight.core.surroundings import kept_place, kept_random_state, plain_passes, training_surroundings
from sidelight.core.terminal import track
from sidelight.errors import InputError
from sidelight.explanations.asking import (
    ExplainOptions,
    MoreOptions,
    OneSample,
    is_one,
    lent_inputs,
    measurements,
)
from sidelight.explanations.attributing import Attributing
from sidelight.explanations.blocks import (
    Answer,
    Errors,
    InputRows,
    answers,
    answers_of_inputs,
    is_input_batch,
    require_errors,
    require_size,
    total_of,
    with_columns,
)
from sidelight.explanations.building import Answered, explanations_of
from sidelight.explanations.classes import Asked, require_flag, require_steps
from sidelight.explanations.explanation import Explanation
from sidelight.explanations.origins import remembered
from sidelight.explanations.streaming import Streaming
from sidelight.export.exporting import Exporting
from sidelight.hub.sharing import Sharing
from sidelight.inputs.base import Batch
from sidelight.live.playing import Playing
from sidelight.rows.row import Rows, as_row
from sidelight.rows.sources import open_data
from sidelight.rows.stream import Stream
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.scorers.checkpoint import load_scorer, save_scorer
from sidelight.scorers.likeness import compare_target
from sidelight.targets import TargetModel
from sidelight.targets.lending import check_gradients_pass
from sidelight.training.facts import training_facts
from sidelight.training.fit_data import fit_data
from sidelight.training.fit_options import one_of, open_target, split_options
from sidelight.training.folder import training_place
from sidelight.training.loop import train_scorer
from sidelight.training.network import network_for
from sidelight.training.refine import refined_reading
from sidelight.training.settings import ObjectiveConfig, TrainingConfig

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Explainer(Attributing, Exporting, Playing, Sharing, Streaming):
    """A classifier and its scorer, the small network that explains it. :meth:`fit` or :meth:`from_pretrained` makes it.

    Args:
        target: the classifier, wrapped by :func:`sidelight.targets.as_target`.
        scorer: a scorer that was built for it.
        check: reaction if the classifier's weights change later: ``"error"``, ``"warn"`` or ``"off"``.
        fingerprint: hash of the classifier's weights, if it is known already.
    """

    _how_made = HOW_MADE

    @public
    def __init__(
        self, target: TargetModel, scorer: Scorer, check: Check = "error", fingerprint: str | None = None
    ) -> None:
        require_parts(target, scorer)
        self.target, self.check = target, require_check(check)
        self._weights = WatchedWeights(target, fingerprint)
        self.scorer = scorer.to(target.device, torch.float32).eval()  # the default dtype may be another
        #: what the training measured at its end, by name. Empty if the scorer was loaded
        self.training_metrics: dict[str, float] = {}
        #: the folder of the training: checkpoints, log and scorer. ``None`` if the scorer was loaded
        self.output_dir: Path | None = None

    @classmethod
    @public
    @training_surroundings()
    def fit(
        cls,
        model: nn.Module | TargetModel | str | os.PathLike[str],
        train: Any,
        *,
        eval: Any = None,
        validation: Any = None,
        processor: Any = None,
        scorer: ScorerConfig | Mapping[str, Any] | None = None,
        objective: ObjectiveConfig | Mapping[str, Any] | str | None = None,
        training: TrainingConfig | Mapping[str, Any] | None = None,
        output_dir: str | os.PathLike[str] | None = None,
        check: Check = "error",
        **options: Any,
    ) -> Explainer:
        """Train a scorer beside ``model``. The model itself does not change.

        Args:
            model: a Hugging Face classifier, its folder or hub id, or a plain module with ``layers=[...]``.
            train: samples, rows ``{"image": ..., "label": ...}`` (or with ``"text"``, or with both), or pairs
                ``(sample, label)``. They may be a list, a ``datasets.Dataset`` or ``DatasetDict``, a data frame, a
                dictionary of columns, a ``DataLoader`` or torch data set, a ``[B, C, H, W]`` tensor, ``(samples, labels)``,
                or a stream (up to :data:`sidelight.rows.stream.MOST_ROWS` rows stay in memory). They may also be the
                path of a table (CSV, TSV, JSON, JSONL, Parquet), of a folder of pictures, or of a folder with a folder
                per class, or the id ``"owner/name"`` of a data set of the hub. Labels are class numbers or names. Only ``label="data"`` reads them.
            eval: validation rows, in the same forms. The best scorer on them is kept. Default: the validation split of
                ``train``, else a tenth of it, drawn by ``seed`` from each class in proportion.
            validation: another name for ``eval``.
            processor: the model's image processor, tokenizer, or :class:`ImageTransform`.
            scorer: a :class:`ScorerConfig` or a mapping of its fields: the scorer's network.
            objective: a preset, ``"robust"`` (default) or ``"thesis"``, an :class:`ObjectiveConfig`, or a mapping of its
                fields: what the scorer learns.
            training: a :class:`TrainingConfig` or a mapping of its fields: how long and how it is trained.
            output_dir: folder for checkpoints, ``log.csv`` and the fitted scorer. If it holds a training of the same
                model, rows and settings, that training continues or is reused. Any other training is refused.
                Default: a fresh ``sidelight-runs/<date>-<time>-<random>`` (see :attr:`Explainer.output_dir`).
            check: before training, some rows go through sidelight and directly through the model with its own processor.
                Reaction if the logits differ: ``"error"``, ``"warn"``, or ``"off"`` to skip the check.
            options: fields of the three settings, e.g. ``epochs=1``, or options of the target family, e.g.
                ``layers=[...]``, ``class_names=[...]``, or ``output="sigmoid"`` for the meaning of the model's output.

        Raises:
            InputError: there are no rows, or the model cannot take a row. The message names the row.
            ConfigError: an option is unknown, of another type or out of range, or ``output_dir`` holds another
                training.
            CollapseError: training produced constant maps.
            UnsupportedTargetError: the model gives no hidden states, or does not choose one of several classes.
            NotFiniteError: the model's output, or the loss, holds NaN or infinity.
            SelfCheckError: the model gives other logits through sidelight than by itself.
            ForeignFileError: ``output_dir`` holds files of others with names of ours. They stay.
            BusyFolderError: another process or thread trains there.
            CheckpointError: the disk refused.

        Example:
            >>> explainer = Explainer.fit(model, rows, processor=processor, epochs=1)
        """
        given = {"scorer": scorer, "objective": objective, "training": training}
        (scorer_config, objective_config, training_config), rest = split_options(options, given)
        target = open_target(model, processor, rest)
        check_gradients_pass(target.model)
        held, seed = one_of(eval=eval, validation=validation), training_config.seed
        held_name = "eval" if validation is None else "validation"
        data = fit_data(target, train, held, objective_config.label, seed, held_name)
        net = network_for(target, data, scorer_config, seed, require_check(check), output_dir)
        weights = WatchedWeights(target)  # hashed once for all of the following
        with training_place(output_dir) as place, kept_place(target.model):
            sets, settings = (data.train, data.evaluation), (objective_config, training_config)
            metrics = train_scorer(net, target, *sets, place, *settings, data.readers, weights.known)
            counts = {"train": len(data.train), "validation": len(data.evaluation)}
            net.facts = training_facts(train, counts, place, (scorer_config, *settings), metrics)
            explainer = cls(target, net, check, weights.now())
            explainer.training_metrics, explainer.output_dir = metrics, place
            in_main(lambda: save_scorer(place / "scorer", net, target, weights=explainer._weights.origin()))
        return explainer

    @overload
    def explain(self, samples: OneSample, **options: Unpack[ExplainOptions]) -> Explanation: ...

    @overload
    def explain(
        self, samples: list[Any] | Iterator[Any], **options: Unpack[ExplainOptions]
    ) -> list[Explanation]: ...

    @overload
    def explain(self, samples: OneSample, *, errors: Errors, **options: Unpack[MoreOptions]) -> Answer: ...

    @overload
    def explain(
        self, samples: list[Any] | Iterator[Any], *, errors: Errors, **options: Unpack[MoreOptions]
    ) -> list[Answer]: ...

    @overload
    def explain(self, samples: Any, *, errors: Errors = "raise", **options: Unpack[MoreOptions]) -> Any: ...

    @public
    def explain(
        self,
        samples: Any,
        *,
        batch_size: int = 32,
        progress: bool = False,
        others: Any = None,
        errors: Errors = "raise",
        target: Any = None,
        versus: Any = None,
        verify: bool = False,
        refine: int = 0,
    ) -> Any:
        """Say which features of each sample made the model decide, in one pass of model and scorer.

        Args:
            samples: one sample (path, PIL image, uint8 array, ``[C, H, W]`` tensor, text, pair of texts as a tuple,
                ``(image, text)``, a row), or several in any form that :meth:`fit` takes as ``train``, or a mapping of the
                model's own inputs. A folder or table is a ``Path``, or a string if the model reads no texts.
            batch_size: samples per pass, at least 1.
            progress: show a bar.
            others: rows whose images and texts take the place of the sample's. 16 are enough. Each costs three passes.
                ``meta["modality_share"]`` then says what each modality is worth (:mod:`sidelight.checks.modality_share`).
            errors: if a sample cannot be explained, ``"raise"`` raises an error that names it. ``"skip"`` puts an
                :class:`~sidelight.explanations.blocks.ExplainFailure` in its place and continues.
            target: class of the map: its number, its name, ``"second"`` for the second most probable, or a list with one
                of these for each sample. Default: the predicted class.
            versus: another class, in the same forms. The map then says why ``target`` and not this one.
            verify: measure each map on its own input (:mod:`sidelight.checks.certificate`). Costs about 90 passes per
                sample. ``meta["certificate"]`` holds the result.
            refine: training steps on each map alone (:mod:`sidelight.training.refine`), at most 10,000. Each costs five passes
                with gradient.

        Returns:
            An :class:`Explanation` for one sample, a list for several. In its ``meta`` stand the remarks ``truncated`` (the
            text was cut) and ``constant_map`` (all scores are equal), and ``columns``, the row's own values.

        Raises:
            InputError: a sample is empty, unreadable, of the wrong size, or not finite. The message names it.
            ConfigError: an argument is of another kind, or the scorer has no map of the class that was chosen.

        Example:
            >>> explanation = explainer.explain("photo.jpg")
            >>> explanation.map.shape
            (32, 32)
            >>> explanation.plot().savefig("why.png")
        """
        size, errors = require_size(batch_size), require_errors(errors)
        progress, verify = require_flag(progress, "progress"), require_flag(verify, "verify")
        asked = Asked(lent_inputs(self.target, others), target, versus, verify, require_steps(refine))
        asked.require_scorer(self.scorer.config)
        size = 1 if asked.refine else size  # steps of one map would depend on the rest of its batch
        if is_one(self.target, samples := as_row(samples, self.target.reader.columns)):
            asked.require_length(1)
            if errors == "raise":  # there is no other sample that it could be mistaken for
                found = self._explain_rows([samples], [0], asked)
                return with_columns(remembered(found, self, [samples])[0], samples)
            return next(self._answers(Rows([samples], "samples"), 1, errors, asked))
        if is_input_batch(samples):
            asked.require_length(len(InputRows(samples)))
            explain = partial(self._explain_batch, asked=asked)
            return list(answers_of_inputs(samples, explain, size, errors))
        source = open_data(samples, "samples")
        each = self._answers(source, size, errors, asked)
        if progress:
            each = track(each, "explaining", total=total_of(source))
        explanations = remembered(list(each), self, source)
        if not explanations:
            raise InputError("the batch is empty: give at least one sample.")
        return explanations

    def _answers(
        self, source: Rows | Stream, size: int, errors: Errors, asked: Asked, first: int = 0
    ) -> Iterator[Answer]:
        asked.require_length(len(source) if isinstance(source, Rows) else None)
        explain = partial(self._explain_rows, asked=asked)
        return answers(source, explain, size, errors, first)

    @plain_passes()
    def _explain_rows(self, rows: Sequence[Any], numbers: Sequence[int], asked: Asked) -> list[Explanation]:
        """Explanations of rows or samples, of these numbers, that go through the model together."""
        return self._explain_batch(asked.read(self.target.reader, rows, numbers), numbers, asked)

    @plain_passes()
    def _explain_batch(self, batch: Batch, numbers: Sequence[int], asked: Asked) -> list[Explanation]:
        return explanations_of(self.target, self._answer_batch(batch, numbers, asked))

    @plain_passes()
    def _answer_batch(self, batch: Batch, numbers: Sequence[int], asked: Asked) -> Answered:
        with told_once(asked.told):
            self.target.check(batch.inputs)
            batch = batch.to(self.target.device)
            encoding = self._encode(batch.inputs)
        classes = asked.classes(encoding, self.target.id2label, numbers)
        reading = self._reading(encoding, classes.explained, classes.versus)
        quality = None if asked.refine else self.scorer.quality  # learnt from maps of one pass
        if asked.refine:
            known = (self.target, self.scorer.on(self.target.device), batch.inputs, encoding)
            reading = refined_reading(*known, classes.explained, asked.refine)
        measured = measurements(self.target, batch.inputs, encoding, reading, classes, asked, numbers)
        return Answered(batch, encoding, reading, classes, measured, quality)

    @classmethod
    @public
    @kept_random_state()
    @plain_passes()
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        model: nn.Module | TargetModel | str | os.PathLike[str] | None = None,
        *,
        processor: Any = None,
        revision: str | None = None,
        token: str | bool | None = None,
        check: Check = "error",
    ) -> Explainer:
        """Load a scorer for its classifier.

        Args:
            folder: a folder of :meth:`save_pretrained`, or its hub id.
            model: the classifier, its folder or hub id. Default: the place that the scorer remembers.
            processor: default: the preprocessing that the scorer remembers.
            revision: branch, tag or commit of the hub repository ``folder``.
            token: of the hub, for private repositories. Default: the one of ``hf auth login``.
            check: reaction if ``model`` has other weights, or fails the self-check: ``"error"``, ``"warn"`` or ``"off"``.

        Raises:
            CheckpointError: files are missing, truncated or corrupt, or the hub refused.
            TargetMismatchError: ``model`` is not the classifier the scorer was trained beside.

        Example:
            >>> explainer = Explainer.from_pretrained("my-scorer", model)
            >>> explainer.explain("what a wonderful day").modalities
            ('text',)
        """
        require_check(check)
        saved = load_scorer(folder, revision, token)
        target = saved.open_target(model, processor)
        found = target.fingerprint()
        if check != "off":
            compare_target(target, saved, found, check)
            self_check(target, made_up_samples(target), check, made_up=True)
        explainer = cls(target, saved.scorer, check, found)
        explainer._weights.remember(saved.target)
        return explainer


fit, load = Explainer.fit, Explainer.from_pretrained
