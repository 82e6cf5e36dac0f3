"""How each architecture reads an image and a text: where its pixels, words, states and logits are."""

from __future__ import annotations

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

#: what every reader passes on of a text, where the model takes it
WORDS = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


@dataclass(frozen=True)
class PairPass:
    """What one pass leaves behind.

    Attributes:
        logits: ``[B, K]``; ``[B, 1]`` is one similarity a pair.
        fusion: ``[B, D]`` what the model knows of image and text together.
        image: states of the image, ``[B, C, h, w]`` or ``[B, L, D]`` each, shallow to deep; none unless asked for.
        text: states of the text ``[B, T, D]``.
        fused: per modality its tokens after layers that saw both, where those are not among the states.
        encoded: per modality what its encoder says of it, where :meth:`Architecture.resume` can go on from that.
    """

    logits: Tensor
    fusion: Tensor
    image: Sequence[Tensor] | None
    text: Sequence[Tensor] | None
    fused: Mapping[str, Tensor]
    encoded: Mapping[str, Tensor] = field(default_factory=dict)


class Architecture(ABC):
    """One architecture behind the same few questions.

    Attributes:
        image_part: module whose config and positions say what pixels the model takes.
        text_part: module that has the word embeddings and positions, and what its forward takes of a text.
        pads_fully: whether texts must always be padded to the longest the model takes.
        can_drop: whether taking a token out of attention does what it says.
        gives_similarity: whether the model gives one similarity a pair instead of classes.
    """

    pads_fully: ClassVar[bool] = False
    can_drop: bool = True
    gives_similarity: bool = False
    image_part: nn.Module
    text_part: nn.Module

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    @abstractmethod
    def run(self, pixels: Tensor, words: Inputs, states: bool) -> PairPass:
        """One pass; ``words`` hold what of :data:`WORDS` the text part takes, ``states`` asks for states."""

    def resume(self, pixels: Tensor, words: Inputs, encoded: Mapping[str, Tensor]) -> PairPass:
        """One pass from what an earlier one left in :attr:`PairPass.encoded`, of modalities unchanged since."""
        raise NotImplementedError(f"{type(self).__name__} always runs both encoders.")

    def compare_with(self, candidates: Inputs) -> None:
        """Other texts that every pair's own text competes with.

        Raises:
            ConfigError: the model gives no similarity to compare.
        """
        raise ConfigError(
            f"candidates are for models with a similarity of image and text (CLIP, SigLIP); "
            f"{type(self.model).__name__} has classes of its own."
        )

    def prepare(self) -> None:
        """Whatever must be computed before words are replaced in the model."""
        return


#: Readers by ``config.model_type``.
ARCHITECTURES: Registry[type[Architecture]] = Registry("image-text architecture")


@ARCHITECTURES.register("sidelight-fusion")
class Fusion(Architecture):
    """Our :class:`~sidelight.models.fusion.FusionClassifier`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.image_part, self.text_part = model.image_encoder, model.text_encoder  # type: ignore[assignment]
        self.gives_similarity = _labels(model) == 1

    def run(self, pixels: Tensor, words: Inputs, states: bool) -> PairPass:
        out = self.model(pixel_values=pixels, **words, output_hidden_states=states)
        return self._read(out)

    def resume(self, pixels: Tensor, words: Inputs, encoded: Mapping[str, Tensor]) -> PairPass:
        return self._read(
            self.model(pixel_values=pixels, **words, **{f"{m}_encoded": e for m, e in encoded.items()})
        )

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
    """CLIP and its kin: two encoders that meet in one similarity.

    ``fusion`` is the product of both normalised embeddings, coordinate by coordinate, times their
    width: its mean is the cosine similarity, so it says where the two agree.
    """

    gives_similarity = True

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.image_part, self.text_part = model.vision_model, model.text_model  # type: ignore[assignment]
        self._candidates: Inputs | None = None
        self._known: tuple[Any, Tensor] | None = None

    def run(self, pixels: Tensor, words: Inputs, states: bool) -> PairPass:
        out = self.model(pixel_values=pixels, **words, output_hidden_states=states)
        # the model compares every image with every text; a pair is on the diagonal
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
        """Embed the candidates, anew where the weights have changed."""
        if self._candidates is None:
            return
        model: Any = self.model
        weights = list(model.parameters())
        state = tuple((p.data_ptr(), p._version) for p in weights)
        if self._known is None or self._known[0] != state:
            words = {k: v.to(weights[0].device) for k, v in self._candidates.items()}
            # what is kept must serve passes with a graph, whatever mode this one is in
            with torch.inference_mode(False), torch.no_grad():
                found = model.get_text_features(**words)
                embeds = getattr(found, "pooler_output", found)
            self._known = state, embeds / embeds.norm(dim=-1, keepdim=True)


for _kind in ("clip", "chinese_clip", "altclip", "metaclip_2", "vision-text-dual-encoder"):
    ARCHITECTURES.add(_kind, TwoTowers)


@ARCHITECTURES.register("siglip")
class Siglip(TwoTowers):
    """SigLIP: pools the last position of texts padded to full length, and attends to padding."""

    pads_fully = True
    can_drop = False

    def run(self, pixels: Tensor, words: Inputs, states: bool) -> PairPass:
        return super().run(pixels, {k: v for k, v in words.items() if k != "attention_mask"}, states)

    def compare_with(self, candidates: Inputs) -> None:
        super().compare_with({k: v for k, v in candidates.items() if k != "attention_mask"})


@ARCHITECTURES.register("vilt")
class Vilt(Architecture):
    """ViLT with a classification or retrieval head: words and patches in one sequence.

    Patches are embedded here, as the model does it but in their own order: the model itself
    shuffles them at every pass, which changes no logit but leaves no patch where it was.
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

    def run(self, pixels: Tensor, words: Inputs, states: bool) -> PairPass:
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
        """``[B, 1 + N, D]`` class token and patches with their positions, row by row."""
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
        first = (parts.cls_token + positions[:, :1]).expand(len(x), -1, -1)
        return parts.dropout(torch.cat([first, patches], 1))


@ARCHITECTURES.register("visual_bert")
class VisualBert(Architecture):
    """VisualBERT behind an image encoder (:class:`~sidelight.models.visual_bert.VisualBertOnPixels`)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        if not hasattr(model, "image_encoder"):
            raise UnsupportedTargetError(
                f"{type(model).__name__} takes the regions that a detector found, not pixels, so pixels cannot be "
                "scored. Put an image encoder before it: VisualBertOnPixels(model, image_encoder) of "
                "sidelight.models.visual_bert."
            )
        self.image_part, self.text_part = model.image_encoder, model.visual_bert  # type: ignore[assignment]
        # its question answering head finds the last word by counting what is attended to
        self.can_drop = "QuestionAnswering" not in type(model.visual_bert).__name__
        self.gives_similarity = _labels(model) == 1

    def run(self, pixels: Tensor, words: Inputs, states: bool) -> PairPass:
        out = self.model(pixel_values=pixels, **words, output_hidden_states=states)
        # its states of the text saw the image already
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
    """Whether ``model`` takes pixels and words together, and is not a text model that can do without pixels."""
    import inspect

    parameters = inspect.signature(model.forward).parameters
    if "input_ids" not in parameters or not {"pixel_values", "visual_embeds"} & set(parameters):
        return False
    kind = getattr(getattr(model, "config", None), "model_type", None)
    pixels = parameters.get("pixel_values")
    required = pixels is not None and pixels.default is inspect.Parameter.empty
    return kind in ARCHITECTURES or required or getattr(model, "main_input_name", None) == "pixel_values"


def open_architecture(model: nn.Module) -> Architecture:
    """The reader of ``model``.

    Raises:
        UnsupportedTargetError: there is none for this architecture or head.
    """
    kind = getattr(getattr(model, "config", None), "model_type", None)
    if kind not in ARCHITECTURES or not reads_pairs(model):
        raise UnsupportedTargetError(
            f"{type(model).__name__} (model type {kind!r}) is not an image-text model that sidelight can read: it "
            f"knows {', '.join(ARCHITECTURES)}. Join any two encoders with sidelight.models.fusion.FusionClassifier, or "
            "register a reader in sidelight.targets.architectures.ARCHITECTURES."
        )
    return ARCHITECTURES[str(kind)](model)
