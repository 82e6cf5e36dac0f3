"""The front door: fit a scorer beside a classifier, explain with it, save it, load it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.checkpoint import load_scorer, save_scorer
from sidelight.data.collate import Collator
from sidelight.errors import ConfigError, InputError
from sidelight.explanation import Explanation
from sidelight.folders import folder_path
from sidelight.modality_share import modality_shares
from sidelight.output_folder import training_place
from sidelight.processes import in_main
from sidelight.registry import nearest
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.scorers.head import is_constant
from sidelight.selfcheck import (
    Check,
    WatchedWeights,
    compare_weights,
    few_samples,
    made_up_samples,
    require_check,
    self_check,
)
from sidelight.settings import ObjectiveConfig, TrainingConfig
from sidelight.surroundings import kept_place, kept_random_state, plain_passes, training_surroundings
from sidelight.targets import TargetModel, as_target
from sidelight.targets.base import require_plain
from sidelight.targets.lending import check_gradients_pass
from sidelight.training import train_scorer
from sidelight.types import Encoding, Inputs


class Explainer:
    """A frozen classifier and the small network that explains it in one pass.

    Args:
        target: the classifier behind the target protocol (see :func:`sidelight.targets.as_target`).
        scorer: a scorer built for it.
        check: what to do where the classifier's weights change later: ``"error"``, ``"warn"`` or ``"off"``.
        fingerprint: hash of the classifier's weights, where it is known already.

    Example:
        >>> explainer = Explainer.fit(model, train_rows, eval=val_rows, processor=processor)  # doctest: +SKIP
        >>> explainer.explain("photo.jpg").plot().savefig("why.png")  # doctest: +SKIP
    """

    def __init__(
        self, target: TargetModel, scorer: Scorer, check: Check = "error", fingerprint: str | None = None
    ) -> None:
        self.target = target
        self.check = require_check(check)
        self._weights = WatchedWeights(target, fingerprint)
        # float32 whatever the caller's default dtype was when it was made
        self.scorer = scorer.to(target.device, torch.float32).eval()
        #: metrics of the training that made the scorer, where it was trained here
        self.training_metrics: dict[str, float] = {}
        #: folder of the training that made the scorer, where it was trained here
        self.output_dir: Path | None = None

    @classmethod
    @training_surroundings()
    def fit(
        cls,
        model: nn.Module | TargetModel,
        train: Any,
        *,
        eval: Any = None,
        processor: Any = None,
        scorer: ScorerConfig | None = None,
        objective: ObjectiveConfig | None = None,
        training: TrainingConfig | None = None,
        output_dir: str | os.PathLike[str] | None = None,
        check: Check = "error",
        **options: Any,
    ) -> Explainer:
        """Train a scorer beside ``model``, which is left exactly as it was.

        Args:
            model: a Hugging Face classifier, or a plain module with ``layers=[...]``.
            train: rows ``{"image": ..., "label": ...}`` (for pairs ``{"image": ..., "text": ..., "label": ...}``),
                pairs ``(sample, label)`` or samples; any
                sequence, e.g. a ``datasets.Dataset``. Labels are needed for ``objective.label="data"`` only.
            eval: rows for early stopping; default: the last tenth of ``train``.
            processor: the model's image processor, tokenizer, or :class:`ImageTransform`.
            scorer, objective, training: settings; defaults follow the thesis. Fields may also be
                given directly, e.g. ``epochs=1, label="prediction"``.
            output_dir: checkpoints, ``log.csv`` and the fitted scorer. A killed training of the same model, rows and
                settings continues from it, a finished one is taken up again, any other is refused. Default: a fresh
                ``sidelight-runs/<date>-<time>-<random>``; ``Explainer.output_dir`` tells it.
            check: before training, a few rows are shown to the model through sidelight and by itself with its own
                processor. Where the logits differ: ``"error"``, ``"warn"``, or ``"off"`` to leave the check out.
            options: fields of the three settings, or of the target family (``layers=...``).

        Raises:
            InputError: no data, or data the model cannot take.
            CollapseError: training produced constant maps.
            UnsupportedTargetError: the model gives no hidden states.
            SelfCheckError: the model sees something else through sidelight than by itself.
            ConfigError: ``output_dir`` holds another training.
            ForeignFileError: it holds files of somebody else that have the names of ours; they stay.
            BusyFolderError: another process or thread trains there.
            CheckpointError: the disk refused.
        """
        settings, rest = _split_options(
            options, scorer or ScorerConfig(), objective or ObjectiveConfig(), training or TrainingConfig()
        )
        scorer_config, objective_config, training_config = settings
        target = as_target(model, processor, **rest)
        check_gradients_pass(target.model)
        train, eval = _with_eval(train, eval)
        require_check(check)
        if check != "off":
            self_check(target, few_samples(target, train), check, gradients=True)
        torch.manual_seed(training_config.seed)
        network = new_scorer(target, train, scorer_config)
        with training_place(output_dir) as place, kept_place(target.model):
            metrics = train_scorer(network, target, train, eval, place, objective_config, training_config)
            explainer = cls(target, network, check)
            explainer.training_metrics, explainer.output_dir = metrics, place
            in_main(lambda: explainer.save_pretrained(place / "scorer"))
        return explainer

    @plain_passes()
    def explain(
        self, samples: Any, *, batch_size: int = 32, progress: bool = False, others: Any = None
    ) -> Any:
        """What in each sample made the model decide as it did: one clean pass plus one scorer pass.

        Args:
            samples: one sample (path, PIL image, uint8 array, ``[C, H, W]`` tensor, text, pair of
                texts, ``(image, text)``) or several (a list, a ``datasets.Dataset`` or one of its columns, a pandas
                column, a ``[B, C, H, W]`` tensor, a mapping of model inputs).
            batch_size: samples a pass.
            progress: show a bar.
            others: rows or samples, 16 are enough, to exchange modalities with; then ``meta["modality_share"]``
                says what each modality is worth (:mod:`sidelight.modality_share`), at three passes a row for
                image and text.

        Returns:
            An :class:`Explanation` for one sample, a list for several. ``meta`` says what a reader
            must know: ``truncated`` (not read to its end), ``constant_map``.

        Raises:
            InputError: a sample is empty, unreadable, of the wrong size, or not finite; the
                message says which one.
        """
        lent = None if others is None else self._lent(others)
        if _is_batch(samples):
            for name, value in samples.items():
                require_plain(name, value)
            size = len(next(iter(samples.values())))
            batches = (
                {k: v[i : i + batch_size] for k, v in samples.items()} for i in _starts(size, batch_size)
            )
            return [e for batch in batches for e in self._explain_inputs(batch, lent=lent)]
        if self.target.is_sample(samples):
            return self._explain_samples([samples], 0, lent)[0]
        if hasattr(samples, "to_list"):  # a pandas column is indexed by its labels
            samples = samples.to_list()
        from rich.progress import track

        found: list[Explanation] = []
        for start in track(_starts(len(samples), batch_size), "explaining", disable=not progress):
            part = [samples[i] for i in range(start, min(start + batch_size, len(samples)))]
            found += self._explain_samples(part, start, lent)
        return found

    @plain_passes()
    def attribute(self, inputs: Inputs) -> tuple[Encoding, dict[str, Tensor]]:
        """The bare tensors: the clean encoding and the scores of each modality, without a graph.

        Args:
            inputs: the model's own inputs, e.g. ``{"pixel_values": [B, C, H, W]}``.
        """
        self._weights.require(self.check)
        with torch.inference_mode():
            encoding = self.target.encode(inputs)
            return encoding, self._beside_target()(encoding)

    def _beside_target(self) -> Scorer:
        """The scorer, on the device that the target is on now."""
        if next(self.scorer.parameters()).device != self.target.device:
            self.scorer.to(self.target.device)
        return self.scorer

    def _lent(self, others: Any) -> dict[str, Tensor]:
        if len(self.target.modalities) < 2:
            raise ConfigError(
                f"others measure what each modality is worth; {self.target.name} reads one only. Leave them out."
            )
        if len(others) == 0:
            raise InputError("others is empty: give at least one row to exchange modalities with.")
        batch = Collator(self.target)([others[i] for i in range(len(others))])
        batch.pop("labels", None)
        return batch

    def _explain_samples(
        self, samples: Sequence[Any], first: int, lent: Inputs | None = None
    ) -> list[Explanation]:
        collate = Collator(self.target)
        raw = collate.samples(samples, first)
        if raw is None:
            return self._explain_inputs(collate.inputs(samples), lent=lent)
        try:
            inputs = self.target.prepare(raw)
            self.target.check(inputs)
        except InputError as error:
            if first == 0:
                raise
            # the message counts within the batch
            raise InputError(f"in the batch that begins with sample {first}: {error}") from error
        return self._explain_inputs(inputs, raw, lent)

    def _explain_inputs(
        self, inputs: Inputs, raw: Sequence[Any] | None = None, lent: Inputs | None = None
    ) -> list[Explanation]:
        self.target.check(inputs)
        inputs = self.target.to_device(inputs)
        encoding, scores = self.attribute(inputs)
        probabilities = encoding.probabilities.cpu()
        shown = self.target.display(inputs, raw)
        remarks = self.target.remarks(raw) if raw is not None else [{} for _ in shown]
        labels = self.target.id2label
        constant = {m: is_constant(s, encoding.feature_mask[m]) for m, s in scores.items()}
        maps = self.target.display_scores(inputs, scores, raw)
        shares = modality_shares(self.target, inputs, lent) if lent is not None else []
        out = []
        for i, p in enumerate(probabilities):
            predicted = int(p.argmax())
            flat = [m for m, c in constant.items() if bool(c[i])]
            measured = {"modality_share": shares[i].to_dict()} if shares else {}
            out.append(
                Explanation(
                    scores=maps[i],
                    inputs=shown[i],
                    prediction=predicted,
                    label=str(labels.get(predicted, predicted)),
                    probability=float(p[predicted]),
                    probabilities=p.numpy(),
                    method="sidelight",
                    target=self.target.name,
                    meta={**remarks[i], **({"constant_map": flat} if flat else {}), **measured},
                )
            )
        return out

    def save_pretrained(self, folder: str | os.PathLike[str], overwrite: bool = False) -> Path:
        """Write scorer weights (safetensors) and config, with the target's id, revision and weight hash.

        Args:
            folder: made where it is missing. Files of others in it stay.
            overwrite: replace files of others that have the names of ours: ``config.json``, ``scorer.safetensors``.

        Raises:
            CheckpointError: the disk refused; an older checkpoint in ``folder`` is left as it was.
            ForeignFileError: ``folder`` is a file or a link, or such a file stands in it.
        """
        return save_scorer(folder_path(folder), self.scorer, self.target, overwrite)

    @classmethod
    @kept_random_state()
    @plain_passes()
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        model: nn.Module | TargetModel | str | os.PathLike[str] | None = None,
        *,
        processor: Any = None,
        revision: str | None = None,
        check: Check = "error",
    ) -> Explainer:
        """Load a scorer and put it beside its target.

        Args:
            folder: what :meth:`save_pretrained` wrote, or a hub id of such a folder.
            model: the classifier, its folder or hub id; default: loaded from where the scorer remembers it.
            processor: default: the preprocessing the scorer remembers.
            revision: of the hub repository ``folder``.
            check: what to do where ``model`` has other weights than the scorer was trained beside, or sees something
                else through sidelight than by itself: ``"error"``, ``"warn"``, or ``"off"`` to look for neither.

        Raises:
            CheckpointError: files are missing, truncated or corrupt.
            TargetMismatchError: ``model`` is not the classifier the scorer was trained beside.
        """
        require_check(check)
        saved = load_scorer(folder, revision)
        target = saved.open_target(model, processor)
        found = target.fingerprint()
        if check != "off":
            compare_weights(target, saved, found, check)
            self_check(target, made_up_samples(target), check)
        return cls(target, saved.scorer, check, found)


def new_scorer(target: TargetModel, rows: Any, config: ScorerConfig) -> Scorer:
    """An untrained scorer of the right shape, found by one probing pass over the first row."""
    if len(rows) == 0:
        raise InputError("the train data set is empty: give at least one row.")
    batch = Collator(target)([rows[0]])
    batch.pop("labels", None)
    target.check(batch)
    return Scorer(target.spec(target.to_device(batch)), config)


def _with_eval(train: Any, evaluation: Any) -> tuple[Any, Any]:
    if evaluation is not None:
        return train, evaluation
    held = max(1, len(train) // 10)
    if len(train) <= held:
        raise InputError("too few rows to hold some out for validation: give eval=... or more rows.")
    cut = len(train) - held
    if hasattr(train, "select"):
        return train.select(range(cut)), train.select(range(cut, len(train)))
    if isinstance(train, Tensor) or (isinstance(train, Sequence) and not isinstance(train, str)):
        return train[:cut], train[cut:]
    subset = torch.utils.data.Subset
    return subset(train, range(cut)), subset(train, range(cut, len(train)))


def _split_options(options: dict[str, Any], *settings: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Fields of the settings out of ``options``; what is left goes to the target family."""
    import dataclasses

    rest, filled = dict(options), []
    for setting in settings:
        own = {f.name: rest.pop(f.name) for f in dataclasses.fields(setting) if f.name in rest}
        filled.append(dataclasses.replace(setting, **own))
    known = [f.name for s in settings for f in dataclasses.fields(s)]
    family = {"layers", "max_states", "max_length", "columns", "fused", "layouts", "candidates", "threshold"}
    for name in rest:
        if name not in family:
            raise ConfigError(f"fit() has no option {name!r}.{nearest(name, [*known, *family])}")
    return tuple(filled), rest


def _is_batch(samples: Any) -> bool:
    """Whether ``samples`` are the model's own inputs: a mapping of tensors."""
    return (
        isinstance(samples, Mapping)
        and bool(samples)
        and all(isinstance(v, Tensor) for v in samples.values())
    )


def _starts(total: int, size: int) -> range:
    if size < 1:
        raise InputError(f"batch_size must be at least 1; got {size}.")
    if total == 0:
        raise InputError("the batch is empty: give at least one sample.")
    return range(0, total, size)
