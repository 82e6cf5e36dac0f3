"""Readers of image-text architectures: each finds the pixels, words, states and logits of one."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sidelight.core.registry import Registry
from sidelight.core.types import Inputs
from sidelight.errors import ConfigError, InputError, UnsupportedTargetError
from sidelight.inputs.image import PIXELS
from sidelight.targets.signatures import IDS, MASK

#: the text inputs that every reader passes on if the model takes them
WORDS = ("input_ids", MASK, "token_type_ids", "position_ids")


@dataclass(frozen=True)
class PairPass:
    """The result of one pass.

    Attributes:
        logits: ``[B, K]``, or ``[B, 1]`` if the model gives one similarity a pair.
        fusion: ``[B, D]`` joint features of image and text.
        image: states of the image, ``[B, C, h, w]`` or ``[B, L, D]`` each, shallow to deep. ``None`` unless requested.
        text: states of the text ``[B, T, D]``.
        fused: per modality the tokens after layers that read both, if the states do not hold them.
        encoded: per modality the encoder's output, if :meth:`Architecture.resume` can continue from it.
    """

    logits: Tensor
    fusion: Tensor
    image: Sequence[Tensor] | None
    text: Sequence[Tensor] | None
    fused: Mapping[str, Tensor]
    encoded: Mapping[str, Tensor] = field(default_factory=dict)


class Architecture(ABC):
    """The common interface of all architectures.

    Attributes:
        image_part: module whose config and positions define the pixels that the model takes.
        text_part: module that has the word embeddings and positions. Its forward defines the text inputs.
        pads_fully: whether every text must be padded to the model's maximum length.
        keeps_some: whether :meth:`run` takes the numbers of the states to keep.
        can_drop: whether the model ignores a token that the attention mask removes.
        gives_similarity: whether the model gives one similarity a pair instead of classes.
    """

    pads_fully: ClassVar[bool] = False
    keeps_some: ClassVar[bool] = False
    can_drop: bool = True
    gives_similarity: bool = False
    image_part: nn.Module
    text_part: nn.Module

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    @abstractmethod
    def run(self, pixels: Tensor, words: Inputs, states: Any) -> PairPass:
        """Run one pass.

        Args:
            words: inputs out of :data:`WORDS`.
            states: whether to keep the states. If :attr:`keeps_some`, also ``{modality: True or numbers of states}``.
        """

    def resume(self, pixels: Tensor, words: Inputs, encoded: Mapping[str, Tensor]) -> PairPass:
        """Run one pass, and reuse :attr:`PairPass.encoded` of an earlier pass for unchanged modalities."""
        raise NotImplementedError(f"{type(self).__name__} always runs both encoders.")

    def frozen_image(self, pixels: Tensor) -> Tensor | None:
        """Return the image part of :attr:`PairPass.encoded`, or ``None`` if training changes the image encoder."""
        return None

    def read_with(self, tokenizer: Any) -> None:  # noqa: B027
        """Learn from the tokenizer, or ``None``, what the model is given."""

    def heeded(self, words: Inputs, by_reader: bool) -> Inputs:
        """Return ``words`` without an attention mask that the model would not get from its tokenizer.

        Args:
            by_reader: whether our reader made them. It marks padding for itself, whatever the model gets.
        """
        return words

    def compare_with(self, candidates: Inputs) -> None:
        """Set the texts that every pair's own text competes with.

        Raises:
            ConfigError: the model gives no similarity to compare.
        """
        raise ConfigError(
            f"candidates are for models with a similarity of image and text (CLIP, SigLIP); "
            f"{type(self.model).__name__} has classes of its own."
        )

    def prepare(self) -> None:
        """Compute everything that a pass needs before words are replaced in the model."""
        return

    def settle(self) -> None:
        """Let :meth:`prepare` do nothing from now on. What it computed stays as it is."""
        self.prepare()
        self.prepare = lambda: None  # type: ignore[method-assign]


#: Readers by ``config.model_type``.
ARCHITECTURES: Registry[type[Architecture]] = Registry("image-text architecture")


@ARCHITECTURES.register("sidelight-fusion")
class Fusion(Architecture):
    """Reader of :class:`~sidelight.models.fusion.FusionClassifier`."""

    keeps_some = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.image_part, self.text_part = model.image_encoder, model.text_encoder  # type: ignore[assignment]
        self.gives_similarity = _labels(model) == 1

    def run(self, pixels: Tensor, words: Inputs, states: Any) -> PairPass:
        out = self.model(pixel_values=pixels, **words, output_hidden_states=states)
        return self._read(out)

    def resume(self, pixels: Tensor, words: Inputs, encoded: Mapping[str, Tensor]) -> PairPass:
        return self._read(
            self.model(pixel_values=pixels, **words, **{f"{m}_encoded": e for m, e in encoded.items()})
        )

    def frozen_image(self, pixels: Tensor) -> Tensor | None:
        model: Any = self.model  # a FusionClassifier
        if "image" not in model.config.freeze:
            return None
        encoder = model.image_encoder
        encoder.eval().to(pixels.device)
        hidden: Tensor = encoder(pixel_values=pixels).last_hidden_state
        return hidden

    def _read(self, out: Any) -> PairPass:
        return PairPass(
            out.logits,
            out.fusion_output,
            out.image_hidden_states,
            out.text_hidden_states,
            {"image": out.image_fused, "text": out.text_fused},
            {"image": out.image_encoded, "text": out.text_encoded},
        )


class TwoTowers(Architecture):
    """Reader of CLIP and similar models: two encoders and one similarity of their outputs.

    ``fusion`` is the elementwise product of both normalised embeddings, times their width. Its mean is the
    cosine similarity, so each coordinate shows its part of the agreement.
    """

    gives_similarity = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.image_part, self.text_part = model.vision_model, model.text_model  # type: ignore[assignment]
        self._candidates: Inputs | None = None
        self._known: tuple[Any, Tensor] | None = None

    def run(self, pixels: Tensor, words: Inputs, states: Any) -> PairPass:
        out = self.model(pixel_values=pixels, **words, output_hidden_states=states)
        # the model compares every image with every text, and the diagonal holds the pairs
        logits = out.logits_per_image.diagonal().unsqueeze(1)
        if self._known is not None:
            logits = torch.cat([logits, self._similarity(out.image_embeds, self._known[1])], 1)
        fusion = out.image_embeds * out.text_embeds * out.image_embeds.shape[1]
        image = out.vision_model_output.hidden_states if states else None
        text = out.text_model_output.hidden_states if states else None
        return PairPass(logits, fusion, image, text, {})

    def compare_with(self, candidates: Inputs) -> None:
        self._candidates = {k: v for k, v in candidates.items() if k in WORDS}

    def _similarity(self, images: Tensor, texts: Tensor) -> Tensor:
        model: Any = self.model
        return images @ texts.T * model.logit_scale.exp() + getattr(model, "logit_bias", 0.0)

    def prepare(self) -> None:
        """Embed the candidates, and embed them again if the weights have changed."""
        if self._candidates is None:
            return
        model: Any = self.model
        weights = list(model.parameters())
        state = tuple((p.data_ptr(), p._version) for p in weights)
        if self._known is None or self._known[0] != state:
            words = {k: v.to(weights[0].device) for k, v in self._candidates.items()}
            # later passes may build a graph, so the kept tensor must not be an inference tensor
            with torch.inference_mode(False), torch.no_grad():
                found = model.get_text_features(**words)
                embeds = getattr(found, "pooler_output", found)
            self._known = state, embeds / embeds.norm(dim=-1, keepdim=True)


for _kind in ("clip", "chinese_clip", "altclip", "metaclip_2", "vision-text-dual-encoder"):
    ARCHITECTURES.add(_kind, TwoTowers)


@ARCHITECTURES.register("siglip")
class Siglip(TwoTowers):
    """Reader of SigLIP, which pools the last position of fully padded texts.

    Its own tokenizer gives no attention mask, so the model attends to padding. With a tokenizer that gives one, and with
    ready inputs that hold one, the model heeds the mask.
    """

    pads_fully = True

    def read_with(self, tokenizer: Any) -> None:
        self.can_drop = tokenizer is None or MASK in getattr(tokenizer, "model_input_names", ())

    def compare_with(self, candidates: Inputs) -> None:
        super().compare_with(self.heeded(candidates, by_reader=True))

    def heeded(self, words: Inputs, by_reader: bool) -> Inputs:
        if self.can_drop or not by_reader:
            return words
        return {k: v for k, v in words.items() if k != MASK}


@ARCHITECTURES.register("vilt")
class Vilt(Architecture):
    """Reader of ViLT with a classification or retrieval head: one sequence holds words and patches.

    This class embeds the patches as the model does, but it keeps their order. The model itself shuffles them in
    every pass. This changes no logit, but the states then lose their places.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        kinds = ("QuestionAnswering", "ImageAndTextRetrieval", "ImagesAndTextClassification")
        if type(model).__name__ not in [f"ViltFor{kind}" for kind in kinds]:
            raise UnsupportedTargetError(
                f"{type(model).__name__} does not classify pairs; of ViLT sidelight takes "
                f"{', '.join(f'ViltFor{k}' for k in kinds)}."
            )
        self._several = type(model).__name__.startswith("ViltForImages")
        config: Any = model.config
        if self._several and config.num_images != 1:
            raise UnsupportedTargetError(
                f"this ViLT reads {config.num_images} images with a text; sidelight explains one image and one "
                "text (config.num_images = 1)."
            )
        self.image_part = self.text_part = model
        self.gives_similarity = kinds[1] in type(model).__name__ or _labels(model) == 1

    def run(self, pixels: Tensor, words: Inputs, states: Any) -> PairPass:
        model: Any = self.model
        embeds = self._patches(pixels)
        mask = torch.ones(embeds.shape[:2], dtype=torch.long, device=embeds.device)
        if self._several:
            mask = mask[:, None, None]
        out = model(**words, image_embeds=embeds, pixel_mask=mask, output_hidden_states=True)
        hidden = out.hidden_states[0] if self._several else out.hidden_states
        fusion = model.vilt.pooler(model.vilt.layernorm(hidden[-1]))
        length = words["input_ids"].shape[1]
        image = [h[:, length:] for h in hidden] if states else None
        text = [h[:, :length] for h in hidden] if states else None
        return PairPass(out.logits, fusion, image, text, {})

    def _patches(self, pixels: Tensor) -> Tensor:
        """Return class token and patches ``[B, 1 + N, D]`` with their positions, row by row."""
        parts: Any = self.model.vilt.embeddings  # type: ignore[union-attr]
        config: Any = self.model.config
        x = parts.patch_embeddings(pixels)
        count = x.shape[2] * x.shape[3]
        if 0 <= config.max_image_length < count:
            raise InputError(
                f"this ViLT would read a random {config.max_image_length} of {count} patches. Give smaller "
                "images, or set model.config.max_image_length = -1."
            )
        positions = parts.position_embeddings
        side = config.image_size // config.patch_size
        grid = positions[:, 1:].transpose(1, 2).unflatten(2, (side, side))
        grid = F.interpolate(grid, size=x.shape[2:], mode="bilinear", align_corners=True)
        patches = (x + grid).flatten(2).transpose(1, 2)
        first = (parts.cls_token + positions[:, :1]).expand(x.shape[0], -1, -1)
        return parts.dropout(torch.cat([first, patches], 1))


@ARCHITECTURES.register("visual_bert")
class VisualBert(Architecture):
    """Reader of :class:`~sidelight.models.visual_bert.VisualBertOnPixels`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        if not hasattr(model, "image_encoder"):
            raise UnsupportedTargetError(
                f"{type(model).__name__} takes the regions that a detector found, not pixels, so pixels cannot be "
                "scored. Put an image encoder before it: VisualBertOnPixels(model, image_encoder) of "
                "sidelight.models.visual_bert."
            )
        self.image_part, self.text_part = model.image_encoder, model.visual_bert  # type: ignore[assignment]
        # its question answering head counts attended tokens to find the last word
        self.can_drop = "QuestionAnswering" not in type(model.visual_bert).__name__
        self.gives_similarity = _labels(model) == 1

    def run(self, pixels: Tensor, words: Inputs, states: Any) -> PairPass:
        out = self.model(pixel_values=pixels, **words, output_hidden_states=states)
        # its text states already depend on the image, so they need no fused tokens
        return PairPass(
            out.logits,
            out.fusion_output,
            out.image_hidden_states,
            out.text_hidden_states,
            {"image": out.image_fused},
        )


def _labels(model: Any) -> int:
    return int(model.config.num_labels)


def reads_pairs(model: Any) -> bool:
    """Whether ``model`` takes pixels and words together. A text classifier with optional pixels does not count."""
    parameters = inspect.signature(model.forward).parameters
    if "input_ids" not in parameters or not {"pixel_values", "visual_embeds"} & set(parameters):
        return False
    kind = getattr(getattr(model, "config", None), "model_type", None)
    pixels = parameters.get("pixel_values")
    required = pixels is not None and pixels.default is inspect.Parameter.empty
    main = getattr(model, "main_input_name", None) == PIXELS
    return kind in ARCHITECTURES or required or main or _joins_both(model)


def _joins_both(model: Any) -> bool:
    """Whether ``model`` is one of transformers that joins an encoder of images and one of texts, as FLAVA does."""
    kind, config = type(model), getattr(model, "config", None)
    own = kind.__module__.startswith("transformers.models.") and not kind.__name__.endswith("Classification")
    sees = any(hasattr(config, name) for name in ("vision_config", "image_config"))
    return own and sees and hasattr(config, "text_config")


def open_architecture(model: nn.Module) -> Architecture:
    """Return the reader of ``model``.

    Raises:
        UnsupportedTargetError: no reader fits this architecture or head.
    """
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind not in ARCHITECTURES or not reads_pairs(model):
        raise UnsupportedTargetError(_unread(model, kind))
    return ARCHITECTURES[str(kind)](model)


def _unread(model: nn.Module, kind: str | None) -> str:
    """Return the message about a model that no reader fits."""
    unread = f"{type(model).__name__} (model type {kind!r}) is not an image-text model"
    own = {PIXELS: ("images", "image processor"), IDS: ("texts", "tokenizer")}
    alone = own.get(getattr(model, "main_input_name", ""))
    taken = inspect.signature(model.forward).parameters
    regions = [name for name in ("visual_feats", "visual_embeds") if name in taken]
    if regions:
        unread = (
            f"{type(model).__name__} takes the regions that a detector found ({regions[0]}) and not pixels"
        )
    elif alone is not None and not {PIXELS, IDS} <= set(taken):
        return (
            f"{unread}: it reads {alone[0]} alone. Give its {alone[1]} and nothing else as the processor, and samples "
            f"that are {alone[0]}."
        )
    else:
        unread += " that sidelight can read"
    compare = [name for name in ARCHITECTURES if ARCHITECTURES[name].gives_similarity]
    decide = [name for name in ARCHITECTURES if name not in compare]
    return (
        f"{unread}. sidelight reads models of the types {', '.join(compare)}, which compare an image "
        f"with a text, and classifiers of the types {', '.join(decide)}. Give one of these. Or join any image encoder "
        "and any text encoder with FusionClassifier of sidelight.models.fusion, and train it on your labels. Or write a "
        "reader, and register it in sidelight.targets.architectures.ARCHITECTURES."
    )
