"""A fusion classifier from its section of a run's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import AutoConfig, AutoModel, PreTrainedModel

from sidelight.config import FusionImageSection, FusionSection, FusionTextSection
from sidelight.data.sets import DataSet
from sidelight.errors import ConfigError
from sidelight.files import find_pretrained
from sidelight.models.classifier import architecture_config
from sidelight.models.fusion import FusionClassifier, encoder_options
from sidelight.targets.pairs import ImageTextProcessor
from sidelight.targets.text import TextTarget


def new_fusion(section: FusionSection, processor: ImageTextProcessor, dataset: DataSet) -> FusionClassifier:
    """A fusion classifier for the classes of ``dataset``; encoders loaded, converted or new, the rest new.

    Args:
        section: ``target.fusion`` of the configuration.
        processor: whose tokenizer a new text encoder is made for.
        dataset: of images and texts.

    Raises:
        ConfigError: the data set is of another kind, or an encoder is not given in exactly one way.
        CheckpointError: weights are not there.
        UnsupportedTargetError: what is given for an encoder is none.
    """
    if tuple(dataset.modalities) != ("image", "text"):
        raise ConfigError(
            f"target.fusion is for data sets of image and text; this one has {', '.join(dataset.modalities)}."
        )
    names = list(dataset.classes)
    options = section.model_dump(exclude={"text", "image"})
    return FusionClassifier.from_encoders(
        text_encoder(section.text, processor),
        image_encoder(section.image),
        **options,
        id2label=dict(enumerate(names)),
        label2id={name: i for i, name in enumerate(names)},
    )


def text_encoder(section: FusionTextSection, processor: ImageTextProcessor) -> PreTrainedModel:
    """The text encoder; see :func:`new_fusion`."""
    where = "target.fusion.text"
    if section.only("pretrained", "architecture", where=where) == "pretrained":
        return _pretrained(section.pretrained, section.revision)
    fitting = TextTarget.config_values(processor.tokenizer)
    return _new(section.architecture or {}, f"{where}.architecture", fitting)


def image_encoder(section: FusionImageSection) -> PreTrainedModel:
    """The image encoder; see :func:`new_fusion`."""
    where = "target.fusion.image"
    given = section.only("pretrained", "architecture", "convert", where=where)
    if given == "pretrained":
        return _pretrained(section.pretrained, section.revision)
    if section.convert is not None:
        from sidelight.models.mobilenet import from_weights

        return from_weights(section.convert.weights).base_model
    return _new(section.architecture or {}, f"{where}.architecture")


def _pretrained(place: str | None, revision: str | None) -> PreTrainedModel:
    found = find_pretrained(str(place))
    options = encoder_options(AutoConfig.from_pretrained(found, revision=revision))
    return AutoModel.from_pretrained(found, revision=revision, **options)


def _new(values: dict[str, Any], where: str, fitting: Mapping[str, Any] | None = None) -> PreTrainedModel:
    config = architecture_config(values, AutoModel, where, fitting or {})
    return AutoModel.from_config(config, **encoder_options(config))
