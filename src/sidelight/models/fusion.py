"""A classifier of image-text pairs: two encoders and a small transformer over both."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from sidelight.errors import ConfigError, InputError
from sidelight.models.encoders import (
    check_encoder,
    encoder_options,
    image_channels,
    new_encoder,
    text_channels,
)

PARTS = ("text", "image")
#: rows of the type embedding
CLS, IMAGE, TEXT = range(3)


class FusionConfig(PreTrainedConfig):
    """Configuration of a :class:`FusionClassifier`.

    Args:
        text_config, image_config: configurations of the encoders, or their plain values with ``model_type``.
        width: common width of both modalities in the fusion layers.
        layers: fusion layers.
        heads: attention heads. Must divide ``width``.
        expand: width of the feed-forward part, as a multiple of ``width``.
        dropout: in the fusion layers and before the head, in training only.
        freeze: encoders that training does not change: ``"text"``, ``"image"``.
        text_channels, image_channels: width of each encoder's output. By default a trial pass finds it.
        labels: any other option of a Hugging Face configuration, e.g. ``id2label``.

    Raises:
        ConfigError: a size is out of range, or ``freeze`` names no encoder.
    """

    model_type = "sidelight-fusion"
    # transformers' releases differ in which of both names they need
    sub_configs = {"text_config": AutoConfig, "image_config": AutoConfig}  # noqa: RUF012
    has_no_defaults_at_init = True

    def __init__(
        self,
        text_config: Any = None,
        image_config: Any = None,
        width: int = 128,
        layers: int = 2,
        heads: int = 4,
        expand: int = 2,
        dropout: float = 0.1,
        freeze: Sequence[str] = (),
        text_channels: int | None = None,
        image_channels: int | None = None,
        **labels: Any,
    ) -> None:
        if min(width, heads, expand, layers) < 1 or width % heads or width % 4 or not 0 <= dropout < 1:
            raise ConfigError(
                "a fusion's width must be a positive multiple of heads and of 4, layers and expand at least 1, and "
                f"dropout in [0, 1); got width={width}, heads={heads}, layers={layers}, expand={expand}, "
                f"dropout={dropout}."
            )
        unknown = [part for part in freeze if part not in PARTS]
        if unknown or isinstance(freeze, str):
            raise ConfigError(f"freeze lists encoders out of {list(PARTS)}; got {freeze!r}.")
        self.text_config = _sub_config("text_config", text_config)
        self.image_config = _sub_config("image_config", image_config)
        self.width, self.layers, self.heads = width, layers, heads
        self.expand, self.dropout, self.freeze = expand, dropout, sorted(set(freeze))
        self.text_channels, self.image_channels = text_channels, image_channels
        super().__init__(**labels)


def _sub_config(name: str, given: Any) -> PreTrainedConfig:
    if isinstance(given, PreTrainedConfig):
        return copy.deepcopy(given)  # because a change of the whole also changes its parts
    values = dict(given or {})
    kind = values.pop("model_type", None)
    if kind is None:
        raise ConfigError(
            f"{name} must be a Hugging Face config, or its values with 'model_type'; got {given!r}."
        )
    return AutoConfig.for_model(kind, **values)


@dataclass
class FusionOutput(ModelOutput):
    """The output of a :class:`FusionClassifier`.

    Attributes:
        loss: cross-entropy, if labels are given.
        logits: ``[B, K]``.
        fusion_output: ``[B, width]`` output of the fusion layers at their class token.
        text_fused: ``[B, T, width]`` their output at the text tokens.
        image_fused: their output for the image, ``[B, width, h, w]`` if the encoder gives maps, else ``[B, L, width]``.
        text_hidden_states: states of the text encoder ``[B, T, D]`` each, if requested.
        image_hidden_states: states of the image encoder ``[B, L, D]`` or ``[B, C, h, w]`` each, if requested.
        text_encoded, image_encoded: output of each encoder. If you give it back to the model, that encoder
            does not run.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    fusion_output: Tensor | None = None
    text_fused: Tensor | None = None
    image_fused: Tensor | None = None
    text_hidden_states: tuple[Tensor, ...] | None = None
    image_hidden_states: tuple[Tensor, ...] | None = None
    text_encoded: Tensor | None = None
    image_encoded: Tensor | None = None


def _unpooled(encoder: PreTrainedModel, reads: str) -> PreTrainedModel:
    """Check that ``encoder`` reads ``reads``, and return it without an optional pooling layer."""
    check_encoder(encoder, reads)
    if encoder_options(encoder.config) and hasattr(encoder, "pooler"):
        encoder.pooler = None  # a new encoder would have none either
    return encoder


def _fusion_layer(config: FusionConfig) -> nn.Module:
    inner = config.expand * config.width
    return nn.TransformerEncoderLayer(
        config.width, config.heads, inner, config.dropout, nn.GELU(), batch_first=True, norm_first=True
    )


class FusionClassifier(PreTrainedModel):
    """A text encoder, an image encoder, and a transformer over the tokens of both with a class token.

    The image encoder may be a transformer or a convolutional network. The cells of a network's last
    feature map become tokens, and they get sine positions because they carry no others.

    Args:
        config: of both encoders and the fusion.
        text_encoder, image_encoder: ready encoders. The default is new ones from ``config``. An optional
            pooling layer is removed from them, because nothing reads it.

    Raises:
        UnsupportedTargetError: an encoder reads other inputs, or is an encoder-decoder.
    """

    config_class = FusionConfig
    main_input_name = "pixel_values"
    input_modalities = ("image", "text")
    _supports_sdpa = True

    def __init__(
        self,
        config: FusionConfig,
        text_encoder: PreTrainedModel | None = None,
        image_encoder: PreTrainedModel | None = None,
    ) -> None:
        super().__init__(config)
        text_encoder = new_encoder(config.text_config) if text_encoder is None else text_encoder
        image_encoder = new_encoder(config.image_config) if image_encoder is None else image_encoder
        self.text_encoder = _unpooled(text_encoder, "input_ids")
        self.image_encoder = _unpooled(image_encoder, "pixel_values")
        if config.text_channels is None:
            config.text_channels = text_channels(text_encoder)
        if config.image_channels is None:
            config.image_channels = image_channels(image_encoder)
        self.text_projection = _projection(config.text_channels, config.width)
        self.image_projection = _projection(config.image_channels, config.width)
        self.type_embedding = nn.Embedding(3, config.width)
        # small at first, so that positions do not outweigh the content of the cells
        self.position_scale = nn.Parameter(torch.full((1,), 0.1))
        self.fusion = nn.ModuleList(_fusion_layer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(config.width, config.num_labels)
        self._text_accepts = set(inspect.signature(text_encoder.forward).parameters)
        self.post_init()
        self.requires_grad_(True)

    @classmethod
    def from_encoders(
        cls, text_encoder: PreTrainedModel, image_encoder: PreTrainedModel, **options: Any
    ) -> FusionClassifier:
        """Join two ready encoders. The layers above them are new.

        Args:
            text_encoder: takes ``input_ids`` and gives ``last_hidden_state``.
            image_encoder: takes ``pixel_values`` and gives ``last_hidden_state``.
            options: of :class:`FusionConfig`, e.g. ``width=128, id2label={0: "no", 1: "yes"}``.
        """
        config = FusionConfig(text_encoder.config, image_encoder.config, **options)
        return cls(config, text_encoder, image_encoder)

    def _init_weights(self, module: nn.Module) -> None:
        # Only our own modules come here. Encoders initialise theirs.
        if module is self.classifier:
            # small weights give nearly equal probabilities at first, for any width
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
        else:
            super()._init_weights(module)

    def get_input_embeddings(self) -> nn.Module:
        """Return the text encoder's word embeddings."""
        return self.text_encoder.get_input_embeddings()

    # -- frozen encoders ------------------------------------------------------------

    def _frozen(self) -> list[nn.Module]:
        return [getattr(self, f"{part}_encoder") for part in self.config.freeze]

    def requires_grad_(self, requires_grad: bool = True) -> FusionClassifier:
        """Do the same as torch, except that encoders in ``config.freeze`` never require gradients."""
        super().requires_grad_(requires_grad)
        for encoder in self._frozen():
            encoder.requires_grad_(False)
        return self

    def train(self, mode: bool = True) -> FusionClassifier:
        """Do the same as torch, except that encoders in ``config.freeze`` stay in eval mode without gradients."""
        super().train(mode)
        for encoder in self._frozen():
            encoder.eval().requires_grad_(False)
        return self

    # -- passes ---------------------------------------------------------------------

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        text_encoded: Tensor | None = None,
        image_encoded: Tensor | None = None,
        output_hidden_states: bool | Mapping[str, Any] | None = None,
        return_dict: bool | None = None,
    ) -> Any:
        """Run one pass.

        Args:
            pixel_values: ``[B, C, H, W]``.
            input_ids: ``[B, T]``, or ``inputs_embeds`` ``[B, T, D]`` instead.
            attention_mask: ``[B, T]``, 0 at padding. The default means no padding.
            token_type_ids, position_ids: ``[B, T]``, for encoders that take them.
            labels: ``[B]`` classes, for a loss.
            text_encoded, image_encoded: from an earlier pass's output. That encoder then does not run, and
                only the number of words or pixels matters.
            output_hidden_states: whether to return the states of the encoders that run. Or what each encoder gets by
                this name, ``{"image": ..., "text": ...}``.
            return_dict: ``False`` for a tuple.

        Raises:
            InputError: images and texts differ in number, or no texts are given.
        """
        words = input_ids if input_ids is not None else inputs_embeds
        attention_mask = _attended(words, attention_mask, pixel_values.shape[0])
        hidden = self._kept_states(output_hidden_states)
        text = image = None
        if text_encoded is None:
            read = {"inputs_embeds" if input_ids is None else "input_ids": words}
            optional = {"token_type_ids": token_type_ids, "position_ids": position_ids, "use_cache": False}
            text = self._read({**read, "attention_mask": attention_mask}, optional, hidden["text"])
            text_encoded = text.last_hidden_state
        if image_encoded is None:
            image = self.image_encoder(pixel_values=pixel_values, output_hidden_states=hidden["image"])
            image_encoded = image.last_hidden_state
        fusion, text_fused, image_fused = self._fuse(text_encoded, image_encoded, attention_mask.bool())
        logits = self.classifier(self.dropout(fusion))
        output = FusionOutput(
            loss=None if labels is None else nn.functional.cross_entropy(logits.float(), labels),
            logits=logits,
            fusion_output=fusion,
            text_fused=text_fused,
            image_fused=image_fused,
            text_hidden_states=_states_of(text, hidden["text"]),
            image_hidden_states=_states_of(image, hidden["image"]),
            text_encoded=text_encoded,
            image_encoded=image_encoded,
        )
        return output if return_dict is not False else output.to_tuple()

    def _kept_states(self, wanted: bool | Mapping[str, Any] | None) -> Mapping[str, Any]:
        """The value of ``output_hidden_states`` for each encoder."""
        wanted = self.config.output_hidden_states if wanted is None else wanted
        if isinstance(wanted, Mapping):
            return {part: wanted.get(part, False) for part in PARTS}
        return dict.fromkeys(PARTS, bool(wanted))

    def _read(self, given: dict[str, Any], optional: dict[str, Any], hidden: Any) -> Any:
        """Run the text encoder with those ``optional`` arguments that it takes."""
        taken = {k: v for k, v in optional.items() if v is not None and k in self._text_accepts}
        return self.text_encoder(output_hidden_states=hidden, **given, **taken)

    def _fuse(self, text: Tensor, image: Tensor, attended: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return class token ``[B, W]``, text tokens and image tokens (or map) after the fusion layers."""
        grid = (image.shape[2], image.shape[3]) if image.ndim == 4 else None
        cells = self.image_projection(image.flatten(2).transpose(1, 2) if grid else image)
        if grid:
            cells = cells + self.position_scale * sine_positions(*grid, cells.shape[-1]).to(cells)
        words = self.text_projection(text)
        kinds = self.type_embedding.weight
        first = kinds[CLS].expand(cells.shape[0], 1, -1)
        x = torch.cat([first, cells + kinds[IMAGE], words + kinds[TEXT]], 1)
        count = 1 + cells.shape[1]
        padding = torch.cat([attended.new_zeros(cells.shape[0], count), ~attended], 1)
        for layer in self.fusion:
            x = layer(x, src_key_padding_mask=padding)
        x = self.norm(x)
        seen = x[:, 1:count]
        return x[:, 0], x[:, count:], seen.transpose(1, 2).unflatten(2, grid) if grid else seen


def _attended(words: Tensor | None, attention_mask: Tensor | None, images: int) -> Tensor:
    """Return the attention mask, or ones. Raise :class:`InputError` if texts and images differ in number."""
    if words is None or words.shape[0] != images:
        count = "none" if words is None else len(words)
        raise InputError(f"expected one text per image: got {images} image(s), {count} text(s).")
    if attention_mask is None:
        return torch.ones(words.shape[:2], dtype=torch.long, device=words.device)
    return attention_mask


def _states_of(output: Any, hidden: Any) -> Any:
    return output.hidden_states if hidden and output is not None else None


def _projection(channels: int, width: int) -> nn.Module:
    # the scales of encoders' outputs differ by orders of magnitude
    return nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))


def sine_positions(rows: int, columns: int, width: int) -> Tensor:
    """Compute fixed positions ``[rows · columns, width]`` on a grid: sine and cosine of row and of column.

    Args:
        rows, columns: size of the grid.
        width: a multiple of 4.
    """
    rate = torch.exp(-math.log(100.0) * torch.arange(width // 4) / max(1, width // 4))
    waves = [torch.arange(n).unsqueeze(1) * rate for n in (rows, columns)]
    row, column = (torch.cat([w.sin(), w.cos()], 1) for w in waves)
    row, column = row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1)
    return torch.cat([row, column], -1).flatten(0, 1)


AutoConfig.register(FusionConfig.model_type, FusionConfig, exist_ok=True)
AutoModel.register(FusionConfig, FusionClassifier, exist_ok=True)
