"""Training the classifier that is to be explained, if a run brings none."""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from sidelight.core.folders import is_target_folder, recover_folder, replace_folder
from sidelight.core.ownership import files_below, is_named, is_ours
from sidelight.core.processes import in_main, is_main
from sidelight.core.registry import nearest
from sidelight.core.surroundings import training_surroundings
from sidelight.core.tensors import predictable
from sidelight.errors import CheckpointError, ConfigError, InputError, UnsupportedTargetError
from sidelight.inputs.base import Batch
from sidelight.inputs.image import PIXELS
from sidelight.lab.config.sections import ClassifierTraining
from sidelight.lab.runs.augmentation import augmented, moved
from sidelight.lab.runs.labelled import (
    ONE_CLASS,
    LabelledCollator,
    read_rows,
    require_classes,
    require_labels,
)
from sidelight.lab.runs.ready_rows import ReadyCollator, ready_rows
from sidelight.rows.row import NumberedRows, Rows
from sidelight.targets import TargetModel
from sidelight.training.folder import claim_folder, drop_checkpoints, recorded_identity
from sidelight.training.identity import differences, identity_of, is_known, with_answers
from sidelight.training.lengths import row_lengths

log = logging.getLogger(__name__)

#: the class that builds a new classifier, by target family
AUTO_CLASSES = {
    "image": "AutoModelForImageClassification",
    "text": "AutoModelForSequenceClassification",
    "image+text": "AutoModelForVisualQuestionAnswering",
}


class Classifier(nn.Module):
    """A target's model with a cross-entropy loss, as the Trainer wants it. Independent labels have one each.

    Args:
        augment: shift and mirror pictures in training.
    """

    def __init__(self, target: TargetModel, augment: bool = False) -> None:
        super().__init__()
        self.model = target.model
        self.target = target
        self.augment = augment

    def forward(self, labels: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """``{"loss": scalar, "logits": [B, K]}``.

        Args:
            labels: ``[B]`` class numbers, or ``[B, L]`` flags of independent labels.
        """
        if self.augment and self.training:
            inputs = {**inputs, PIXELS: moved(inputs[PIXELS])}
        logits = self.target.forward_trainable(inputs)
        loss = _loss(logits.float(), labels, self.target.independent)
        return {"loss": loss, "logits": logits}


def _loss(logits: Tensor, labels: Tensor, independent: bool) -> Tensor:
    _require_kind(labels, logits, independent)
    if not independent:
        return nn.functional.cross_entropy(logits, labels)
    whole = 2 * predictable(logits, independent)  # half log-odds
    return nn.functional.binary_cross_entropy_with_logits(whole, labels.to(whole.dtype))


def _require_kind(labels: Tensor, logits: Tensor, independent: bool) -> None:
    """Raise :class:`InputError` if labels are flags and the classifier's classes exclude each other, or the other way round."""
    count = predictable(logits, independent).shape[-1]
    if independent and labels.ndim == 1:
        raise InputError(
            f"the label {int(labels[0])} does not fit a classifier of independent labels, which needs lists of {count} flags: for "
            "each label in turn 1 if it is there, else 0, and not the number of a class. If exactly one class is true, say "
            "target.options: {output: logits}."
        )
    if independent != (labels.ndim == 2) or (independent and labels.shape[-1] != count):
        raise InputError(
            f"labels of shape {tuple(labels.shape)} do not fit a classifier "
            + (
                f"of independent labels, which needs lists of {count} flags."
                if independent
                else f"of exclusive classes. {ONE_CLASS}"
            )
        )


def new_classifier(architecture: Mapping[str, Any], classes: Sequence[str], auto_class: str) -> nn.Module:
    """A randomly initialised Hugging Face classifier.

    Args:
        architecture: ``{"model_type": "vit", ...}`` and any option of that type's config.
        classes: class names by index.
        auto_class: e.g. ``AutoModelForImageClassification``.

    Raises:
        ConfigError: the model type or an option is unknown.
    """
    import transformers

    auto = getattr(transformers, auto_class)
    config = architecture_config(
        architecture,
        auto,
        "target.architecture",
        id2label=dict(enumerate(classes)),
        label2id={name: i for i, name in enumerate(classes)},
    )
    return auto.from_config(config)


def architecture_config(
    architecture: Mapping[str, Any],
    auto: Any,
    key: str,
    defaults: Mapping[str, Any] = MappingProxyType({}),
    **more: Any,
) -> Any:
    """The Hugging Face config that ``architecture`` describes.

    Args:
        architecture: ``{"model_type": "vit", ...}`` and any option of that type's config.
        auto: the ``AutoModel...`` class that builds it.
        key: of ``architecture`` in the configuration, for messages.
        defaults: options of the type, unless ``architecture`` names others.
        more: options that are not checked.

    Raises:
        ConfigError: the model type or an option is unknown, or ``auto`` does not build the type.
    """
    import transformers

    options = dict(architecture)
    kind = options.pop("model_type", None)
    known = transformers.models.auto.configuration_auto.CONFIG_MAPPING_NAMES
    if kind not in known:
        raise ConfigError(
            f"{key}.model_type {kind!r} is not a Hugging Face model type.{nearest(str(kind), known)}"
        )
    plain = transformers.AutoConfig.for_model(kind)
    unknown = [k for k in options if not hasattr(plain, k) and not _reads(auto, plain, k)]
    if unknown:
        raise ConfigError(
            f"{key}: {kind!r} has no option {unknown[0]!r}.{nearest(unknown[0], plain.to_dict())}"
        )
    if type(plain) not in auto._model_mapping:
        raise ConfigError(f"{key}: transformers has no {auto.__name__} of type {kind!r}.")
    own = {k: v for k, v in defaults.items() if hasattr(plain, k)}
    return transformers.AutoConfig.for_model(kind, **{**own, **options}, **more)


def _reads(auto: Any, config: Any, option: str) -> bool:
    """Whether the model's code reads ``option``, though its config does not list it (DeBERTa does that)."""
    if type(config) not in auto._model_mapping:
        return False
    found = auto._model_mapping[type(config)]
    kind = found[0] if isinstance(found, tuple) else found
    source = inspect.getsource(sys.modules[kind.__module__])
    return f'"{option}"' in source or re.search(rf"config\.{re.escape(option)}\b", source) is not None


@training_surroundings()
def train_classifier(
    target: TargetModel, train: Any, evaluation: Any, output_dir: Path, config: ClassifierTraining
) -> dict[str, float]:
    """Train ``target``'s model in place and save it in Hugging Face layout under ``output_dir``.

    A training that was killed continues from its last epoch, if it is the same one. Its checkpoints lie beside
    ``output_dir`` until it is finished.

    Returns:
        ``{"accuracy": share in [0, 1], "train_runtime": seconds}``, the accuracy on ``evaluation``.
    """
    from sidelight.training.arguments import extra_named
    from sidelight.training.progress import shown_progress
    from sidelight.training.trainer import BaseTrainer, CsvLog

    folder = record_of(output_dir)
    last = _continued(folder, target, train, evaluation, config)
    ready, clock = ready_rows(target, train), CsvLog(folder / "log.csv")
    trainer = BaseTrainer(
        model=Classifier(target, augmented(target, config)),
        args=classifier_arguments(config, len(train), folder),
        data_collator=LabelledCollator(target) if ready is None else ReadyCollator(target),
        train_dataset=NumberedRows(Rows(train if ready is None else ready, "train")),
        eval_dataset=evaluation,
        callbacks=[clock],
    )
    trainer.lengths = row_lengths(target, train)
    target.model.requires_grad_(True).train()
    try:
        with (
            shown_progress(trainer, "classifier", config.extra),
            extra_named(config.extra, "target.training.extra"),
        ):
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        target.model.eval()
    metrics = {
        "accuracy": accuracy(target, evaluation, config.batch_size * 2),
        "train_runtime": round(clock.seconds, 3),
    }
    log.info("classifier: accuracy %.4f on %d samples", metrics["accuracy"], len(evaluation))
    save_target(target, output_dir, metrics)
    in_main(lambda: drop_checkpoints(folder))
    return metrics


def record_of(output_dir: Path) -> Path:
    """The folder beside ``output_dir`` with the checkpoints of its training, and what the training is known by."""
    return output_dir.with_name(output_dir.name + "-training")


def _continued(
    folder: Path, target: TargetModel, train: Any, evaluation: Any, config: ClassifierTraining
) -> Path | None:
    """The checkpoint from which this training continues. What another training of ours left in ``folder`` is removed."""
    about = identity_of(target, train, evaluation, {"training": asdict(config)})
    about = with_answers(about, target, NumberedRows(Rows(train, "train")), LabelledCollator(target))
    found = recorded_identity(folder)
    same = is_known(about) and is_known(found) and not differences(found, about)
    return claim_folder(folder, about, same, "Move it away and call again, or give the run another folder.")


def classifier_arguments(config: ClassifierTraining, rows: int, folder: Path) -> Any:
    """The Trainer's settings for a training on so many ``rows``."""
    # late, because importing transformers' Trainer takes seconds
    from sidelight.training.arguments import trainer_arguments

    steps = -(-rows // config.batch_size) * config.epochs
    options: dict[str, Any] = {
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": config.batch_size,
        "per_device_eval_batch_size": 2 * config.batch_size,
        "learning_rate": config.learning_rate,
        "weight_decay": config.weight_decay,
        "warmup_steps": int(config.warmup_ratio * steps),
        "save_strategy": "epoch",
        "save_total_limit": 1,
        "logging_steps": max(1, int(steps) // 20),
        "seed": config.seed,
    }
    return trainer_arguments(folder, options, config.extra, "target.training.extra")


@torch.inference_mode()
def accuracy(target: TargetModel, rows: Any, batch_size: int = 64, name: str = "validation") -> float:
    """Share of ``rows`` whose label the target predicts. Of independent labels: share of right decisions.

    Args:
        name: of ``rows``, for messages.

    Raises:
        InputError: a row has no label, or none of the target's classes.
    """

    def check(batch: Batch) -> None:
        require_classes(require_labels(batch.labels), target.id2label, target.independent)

    right = 0.0
    with target.borrowed():
        for start in range(0, len(rows), batch_size):
            places = range(start, min(start + batch_size, len(rows)))
            batch = read_rows(target.reader, rows, places, name, check=check)
            labels = require_labels(batch.labels)
            inputs = target.to_device(batch.inputs)
            logits = target.forward(inputs, target.features(inputs))
            right += float(share_right(logits.cpu(), labels, target.independent).sum())
    return right / max(len(rows), 1)


def share_right(logits: Tensor, labels: Tensor, independent: bool) -> Tensor:
    """``[B]`` 1 if the prediction is right, or the share of labels about which the model is right.

    Args:
        logits: ``[B, K]``.
        labels: ``[B]`` class numbers, or ``[B, L]`` flags of independent labels.

    Raises:
        InputError: the labels are of the other kind.
    """
    _require_kind(labels, logits, independent)
    return (answers(logits, independent) == labels).double().view(len(logits), -1).mean(-1)


def answers(logits: Tensor, independent: bool) -> Tensor:
    """What a model says: ``[B]`` the most probable class, or ``[B, L]`` whether each of the independent labels is there."""
    return (predictable(logits, independent) >= 0).long() if independent else logits.argmax(-1)


def save_target(target: TargetModel, folder: Path, metrics: Mapping[str, float]) -> None:
    """Write model, preprocessing and metrics to ``folder``, all or nothing. Of several processes one writes."""
    if is_main():
        with replace_folder(folder) as tmp:
            target.model.save_pretrained(str(tmp))  # type: ignore[operator]
            target.reader.save(tmp)
            (tmp / "metrics.json").write_text(json.dumps(dict(metrics), indent=2))
    config = getattr(target.model, "config", None)
    if config is not None:
        config._name_or_path = os.fspath(folder)


def is_saved(folder: Path) -> bool:
    """Whether :func:`save_target` wrote a classifier to ``folder``.

    Raises:
        CheckpointError: a file of it was changed since, over which no other classifier could be written.
    """
    recover_folder(folder)
    if is_target_folder(folder):
        return True
    damaged = [file for file in files_below(folder) if is_named(file) and not is_ours(file)]
    if damaged:
        raise CheckpointError(
            f"{folder} holds no whole classifier: {damaged[0].name} was changed since `sidelight fit` wrote it, or is cut off. "
            "Copy the folder there again, or remove it, so that `sidelight fit` makes the classifier again."
        )
    return False


def load_saved(family: type[TargetModel], folder: Path) -> nn.Module:
    """The model that :func:`save_target` wrote to ``folder``.

    Raises:
        CheckpointError: its weights are gone, damaged, or those of another model.
    """
    if not any(folder.glob("*.safetensors")):
        raise CheckpointError(
            f"{folder} holds a classifier's settings without its weights (*.safetensors). Copy the weights there, or "
            "remove the folder, so that the classifier is made again."
        )
    try:
        return family.load_model(str(folder))
    except (OSError, ValueError, SafetensorError, UnsupportedTargetError) as error:
        raise CheckpointError(
            f"the classifier in {folder} cannot be loaded ({error}). Copy the folder there again, or remove it, so that "
            "`sidelight fit` makes the classifier again."
        ) from error
