"""VisualBERT on pixels: an image encoder replaces the detector of regions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from sidelight.errors import UnsupportedTargetError
from sidelight.models.encoders import check_encoder
from sidelight.models.fusion import FusionOutput


class VisualBertOnPixels(nn.Module):
    """A VisualBERT classifier whose visual tokens are the cells of an image encoder's last state.

    The encoder's width must be the ``visual_embedding_dim`` of the VisualBERT. Both modules stay unchanged.

    Args:
        visual_bert: ``VisualBertForQuestionAnswering`` or ``VisualBertForVisualReasoning``.
        image_encoder: takes ``pixel_values`` and gives ``last_hidden_state`` ``[B, L, D]`` or ``[B, D, h, w]``.

    Raises:
        UnsupportedTargetError: the head gives no classes, ``image_encoder`` is none, or visual states are missing.
    """

    main_input_name = "pixel_values"

    def __init__(self, visual_bert: PreTrainedModel, image_encoder: PreTrainedModel) -> None:
        super().__init__()
        if type(visual_bert).__name__ not in (
            "VisualBertForQuestionAnswering",
            "VisualBertForVisualReasoning",
        ):
            raise UnsupportedTargetError(
                f"{type(visual_bert).__name__} gives no logits [B, K] for a pair; of VisualBERT sidelight takes "
                "VisualBertForQuestionAnswering and VisualBertForVisualReasoning."
            )
        if visual_bert.config.bypass_transformer:
            raise UnsupportedTargetError(
                "this VisualBERT gives no states of visual tokens (config.bypass_transformer); it cannot be explained."
            )
        check_encoder(image_encoder, "pixel_values")
        self.visual_bert, self.image_encoder = visual_bert, image_encoder
        self.config = visual_bert.config

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        output_hidden_states: bool | None = None,
    ) -> FusionOutput:
        """Run one pass. Arguments and result are those of :class:`~sidelight.models.fusion.FusionClassifier`.

        ``fusion_output`` is the first token of the last layer.

        Raises:
            UnsupportedTargetError: the encoder's width differs from the VisualBERT's ``visual_embedding_dim``.
        """
        image = self.image_encoder(pixel_values=pixel_values, output_hidden_states=bool(output_hidden_states))
        state = image.last_hidden_state
        grid = (state.shape[2], state.shape[3]) if state.ndim == 4 else None
        cells = self._checked(state.flatten(2).transpose(1, 2) if grid else state)
        length = input_ids.shape[1]
        if attention_mask is None:
            attention_mask = torch.ones_like(input_ids)
        out: Any = self.visual_bert(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            visual_embeds=cells,
            output_hidden_states=True,
        )
        last = out.hidden_states[-1]
        seen = last[:, length:]
        return FusionOutput(
            logits=out.logits,
            fusion_output=last[:, 0],
            text_fused=last[:, :length],
            image_fused=seen.transpose(1, 2).unflatten(2, grid) if grid else seen,
            text_hidden_states=tuple(h[:, :length] for h in out.hidden_states)
            if output_hidden_states
            else None,
            image_hidden_states=image.hidden_states if output_hidden_states else None,
        )

    def _checked(self, cells: Tensor) -> Tensor:
        wanted = self.config.visual_embedding_dim
        if cells.shape[-1] != wanted:
            raise UnsupportedTargetError(
                f"the image encoder gives {cells.shape[-1]} channels; this VisualBERT takes {wanted} "
                "(config.visual_embedding_dim)."
            )
        return cells
