"""The image-text family: classifiers of pairs, with masks on pixels and word embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from types import MappingProxyType
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sidelight.core.types import IMAGE, TEXT, Encoding, Features, Inputs, Modality, Scores, Unmasked
from sidelight.errors import InputError, InputTypeError, UnsupportedTargetError
from sidelight.fills.base import pair_fills
from sidelight.fills.text import Dropped
from sidelight.inputs.image import PIXELS
from sidelight.inputs.pair import ImageTextReader, image_inputs, text_inputs
from sidelight.inputs.pairs import ImageTextProcessor
from sidelight.inputs.tokenizing import SPECIAL
from sidelight.targets.architectures import WORDS, PairPass, open_architecture
from sidelight.targets.base import TargetModel
from sidelight.targets.embedding import replaced_output
from sidelight.targets.image import ImageTarget
from sidelight.targets.loading import loaded
from sidelight.targets.outputs import named_outputs
from sidelight.targets.text import TextTarget
from sidelight.targets.verdict import Verdict
from sidelight.targets.wrappers import pixel_type, plain_model

#: classes of a model that gives one similarity a pair
MATCHING = ("no match", "match")
#: name of a frozen image encoder's output among the inputs of a training
IMAGE_ENCODED = "image_encoded"


class ImageTextTarget(TargetModel):
    """A frozen classifier of image-text pairs.

    An :class:`ImageTarget` and a :class:`TextTarget` handle one modality each, around the parts of the model
    that read it. :mod:`sidelight.targets.architectures` finds those parts and runs the passes.

    Some models give one similarity ``s`` a pair (CLIP, SigLIP, retrieval heads). Such a model becomes a
    classifier of "no match" and "match" with logits ``[0, s - threshold]``. If you give ``candidates``, the
    classes are "this text" and each candidate, and the similarities are the logits. SigLIP's similarity has a
    meaningful zero. CLIP's has none, so give a threshold or candidates for CLIP.

    Args:
        model: a :class:`~sidelight.models.fusion.FusionClassifier`, CLIP-like two-tower model, ViLT, ...
        processor: an :class:`ImageTextProcessor`, or a Hugging Face processor of both.
        layers: hidden states of the text that the scorer reads, as for text classifiers (:class:`TextTarget`).
        max_states, states, layouts: states of the image that the scorer reads, and their axes, as for image classifiers
            (:class:`ImageTarget`).
        max_length: maximum number of tokens, as for text classifiers.
        columns: names of the columns with the text or the two texts, if sidelight does not find them.
        fused: also read each modality's tokens after the fusion layers, if the model has such layers.
        context: add the mean of each modality's last state to the fusion output. The class token of a fusion is
            trained for the decision and may lose what the text asks. On the scenes (``docs/notes/scenes.md``) this
            helps words a little, but pictures that learn by coalitions do better without it.
        candidates: texts that every sample's own text competes with.
        threshold: similarity at which match and no match are equally probable (default: 0), or as in
            :class:`ImageTarget` if the model gives a regression value.
        output: meaning of the model's output, as for image classifiers (:mod:`sidelight.targets.verdict`).
        scale: as in :class:`ImageTarget`.

    Raises:
        UnsupportedTargetError: sidelight cannot read this model.
        InputTypeError: ``processor`` prepares one of the two only.
        ConfigError: candidates are given, but the model has its own classes, or an option is wrong (:class:`ImageTarget`,
            :class:`TextTarget`).

    Example:
        >>> target = ImageTextTarget(pair_model, pair_processor)
        >>> inputs = target.reader.prepare([("photo.jpg", "a dull film")]).inputs
        >>> {name: tuple(mask.shape) for name, mask in target.feature_mask(inputs).items()}
        {'image': (1, 1, 32, 32), 'text': (1, 5)}
    """

    family = "image+text"
    reader_type: ClassVar[type[ImageTextReader]] = ImageTextReader
    modalities: Mapping[str, Modality] = MappingProxyType({"image": IMAGE, "text": TEXT})

    def __init__(
        self,
        model: nn.Module,
        processor: Any = None,
        layers: Sequence[int] = (-1,),
        max_states: int = 4,
        states: Sequence[int] | None = None,
        layouts: str | Sequence[str | None] | None = None,
        max_length: int | None = None,
        columns: Sequence[str] = (),
        fused: bool = True,
        context: bool = True,
        candidates: Sequence[str] = (),
        threshold: float | None = None,
        output: str = "auto",
        scale: float | None = None,
    ) -> None:
        model = plain_model(model)
        super().__init__(model)
        both = ImageTextProcessor.wrap(processor)
        self.architecture = open_architecture(model)
        self.architecture.read_with(both.tokenizer)
        self.verdict = Verdict(model, output, threshold, scale, similarity=self.architecture.gives_similarity)
        self._named = named_outputs(model)
        self.image = ImageTarget(
            self.architecture.image_part,
            both.image_processor,
            max_states=max_states,
            states=states,
            layouts=layouts,
        )
        self.text = TextTarget(self.architecture.text_part, both.tokenizer, layers, max_length)
        if self.text.reader.tokenizing is not None:
            self.text.reader.tokenizing.pads_fully = self.architecture.pads_fully
        self.reader: ImageTextReader = self.reader_type(both, self.image.reader, self.text.reader, columns)
        self.fused, self.context = fused, context
        self.candidates, self.threshold = tuple(candidates), threshold or 0.0
        if candidates:
            texts = self.text.reader.prepare(list(candidates))
            self.architecture.compare_with(self.text.arguments(texts.inputs))

    @property
    def id2label(self) -> dict[int, str]:
        """Class names. If the model gives a similarity, the match or the candidates name the classes."""
        if self.candidates and not self.class_names:
            return dict(enumerate(("this text", *self.candidates)))
        declared = self.verdict.independent or self.verdict.reading == "value"
        similarity = self.architecture.gives_similarity and not self.class_names and not declared
        return dict(enumerate(MATCHING)) if similarity else super().id2label

    # -- inputs ---------------------------------------------------------------------

    def check(self, inputs: Inputs) -> None:
        check_kinds(inputs)
        self.image.check({PIXELS: inputs[PIXELS]})
        self.text.check(text_inputs(inputs))
        counts = len(inputs[PIXELS]), len(inputs["input_ids"])
        if counts[0] != counts[1]:
            raise InputError(f"{counts[0]} image(s) but {counts[1]} text(s); give one text per image.")
        mask = inputs.get("pixel_mask")
        if mask is not None and not bool(mask.bool().all()):
            raise InputError(
                "images padded to a common size (pixel_mask with zeros) are not supported: resize or crop them "
                "to one size, or pass raw images with a processor that gives all of them one size."
            )

    def words(self, inputs: Inputs) -> dict[str, Tensor]:
        return self.text.words(text_inputs(inputs))

    @classmethod
    def load_model(cls, name: str, revision: str | None = None, classes: Sequence[str] = ()) -> nn.Module:
        """Load the model class that the config in the folder or on the hub names.

        Raises:
            UnsupportedTargetError: the config names no model class of transformers.
        """
        import transformers

        import sidelight.models.fusion as fusion

        config = transformers.AutoConfig.from_pretrained(name, revision=revision)
        own = (getattr(config, "architectures", None) or [""])[0]
        kind = getattr(fusion, own, None) or getattr(transformers, own, None)
        if kind is None:
            raise UnsupportedTargetError(
                f"the config of {name!r} names no model class that transformers has (architectures: {own!r}); "
                "load it yourself and pass it."
            )
        return loaded(kind, name, revision, classes if hasattr(config, "id2label") else ())

    def options(self) -> dict[str, Any]:
        image, text = self.image.options(), self.text.options()
        return {
            "layers": text["layers"],
            "max_states": image["max_states"],
            "states": image["states"],
            "layouts": image["layouts"],
            "max_length": text["max_length"],
            "columns": list(self.reader.columns),
            "fused": self.fused,
            "context": self.context,
            "candidates": list(self.candidates),
            "threshold": self.threshold,
            **self.verdict.options(),
        }

    # -- passes ---------------------------------------------------------------------

    def features(self, inputs: Inputs) -> Features:
        return {**self.image.features(inputs), **self.text.features(text_inputs(inputs))}

    def feature_mask(self, inputs: Inputs) -> Mapping[str, Tensor]:
        return {**self.image.feature_mask(inputs), **self.text.feature_mask(text_inputs(inputs))}

    @contextmanager
    def seeing(self, inputs: Inputs, features: Features) -> Iterator[Inputs]:
        with self.one_pass():
            self.architecture.prepare()  # it may look up words of its own
            with replaced_output(self.text.embedding, features["text"], inputs["input_ids"]):
                yield {**inputs, PIXELS: features["image"]}

    def forward(self, inputs: Inputs, features: Features) -> Tensor:
        return self._forward_masked(inputs, features, {})

    def _forward_masked(self, inputs: Inputs, features: Features, encoded: Mapping[str, Tensor]) -> Tensor:
        with self.one_pass():
            self.architecture.prepare()
            # if the text encoder does not run, no lookup of words happens
            lookup = self.text.embedding, features["text"], inputs["input_ids"]
            words = nullcontext() if "text" in encoded else replaced_output(*lookup)
            with words:
                return self._logits(self._run(inputs, features["image"], encoded=encoded))

    def forward_trainable(self, inputs: Inputs) -> Tensor:
        self.architecture.prepare()
        encoded = {"image": inputs[IMAGE_ENCODED]} if IMAGE_ENCODED in inputs else {}
        return self._logits(self._run(inputs, inputs[PIXELS], encoded=encoded))

    def frozen_encodings(self, inputs: Inputs) -> dict[str, Tensor]:
        encoded = self.architecture.frozen_image(inputs[PIXELS].to(pixel_type(self.image.model)))
        return {} if encoded is None else {IMAGE_ENCODED: encoded}

    def _run(
        self,
        inputs: Inputs,
        pixels: Tensor,
        states: Any = False,
        encoded: Mapping[str, Tensor] | None = None,
    ) -> PairPass:
        words = {k: v for k, v in self.text.arguments(text_inputs(inputs)).items() if k in WORDS}
        words = {**self.architecture.heeded(words, by_reader=SPECIAL in inputs), **self._named}
        pixels = pixels.to(pixel_type(self.image.model), copy=True)  # the model may change them in place
        if encoded:
            return self.architecture.resume(pixels, words, encoded)
        return self.architecture.run(pixels, words, states)

    def _logits(self, out: PairPass) -> Tensor:
        return self.verdict.read(out.logits, out.logits.shape[0])

    def _masks(
        self, inputs: Inputs, scores: Scores, fill: Mapping[str, Tensor], unmasked: Unmasked
    ) -> tuple[Inputs, dict[str, tuple[Tensor, Tensor]]]:
        if "text" in scores and isinstance(fill["text"], Dropped) and not self.architecture.can_drop:
            raise InputError(
                f"fill 'drop' takes tokens out of attention, which {type(self.model).__name__} does not heed; "
                "choose another fill: zero, mean, random."
            )
        inputs, masks = self.text._masks(inputs, scores, fill, unmasked)
        if "image" in scores:
            masks["image"] = (scores["image"], fill["image"])
        return inputs, masks

    def _encode(self, inputs: Inputs) -> Encoding:
        self.architecture.prepare()
        pixels, words = inputs[PIXELS], text_inputs(inputs)
        with self.image.stem() as stem:
            out = self._pass(inputs, pixels)
        self.image.settle_layouts(lambda p: self._image_states(inputs, p), pixels)
        image = self.image.read_states(out.image, stem, pixels)
        text = self.text.read_states(out.text, words)
        self.image.kept.keep(self.image.places())
        self.text.kept.keep(self.text.places(out.text))
        if self.fused and "image" in out.fused:
            image += (self.image.fused_map(out.fused["image"], pixels),)
        attended = self.text.attention(words).bool().unsqueeze(-1)
        if self.fused and "text" in out.fused:
            text += (torch.where(attended, out.fused["text"], torch.zeros_like(out.fused["text"])),)
        fusion = out.fusion
        if self.context:
            means = (image[-1].flatten(2).mean(2), tokens_mean(text[-1], attended))
            # the scales of different models' states differ by orders of magnitude
            fusion = torch.cat([fusion, *(F.layer_norm(m, m.shape[1:]) for m in means)], 1)
        return Encoding(
            self._logits(out),
            {"image": image, "text": text},
            self.feature_mask(inputs),
            fusion,
            out.encoded,
        )

    def _pass(self, inputs: Inputs, pixels: Tensor) -> PairPass:
        """Return a pass that keeps the states that are read, or all of them if the model cannot choose."""
        kept = {"image": self.image.kept, "text": self.text.kept}
        asked = {m: k.asked() for m, k in kept.items()} if self.architecture.keeps_some else {}
        out = self._run(inputs, pixels, states=asked or True)
        given = all(kept[m].given(asked[m], getattr(out, m)) for m in asked)
        return out if given else self._run(inputs, pixels, states=True)

    def _image_states(self, inputs: Inputs, pixels: Tensor) -> Sequence[Any]:
        """Return the states of other ``pixels`` beside the first text of ``inputs``."""
        words = {k: v[:1].repeat(len(pixels), *[1] * (v.ndim - 1)) for k, v in text_inputs(inputs).items()}
        return self._run(words, pixels, states=True).image or ()

    def exchange(self, inputs: Inputs, others: Inputs, modalities: Sequence[str]) -> Inputs:
        """Replace the images, the texts, or both of ``inputs`` by those of ``others`` (as many samples)."""
        image, text = (others if m in modalities else inputs for m in self.modalities)
        return {**image_inputs(image), **text_inputs(text)}

    # -- fills ----------------------------------------------------------------------

    def set_reference(self, inputs: Inputs) -> None:
        """Keep the images only. Texts differ in length, so another text's words do not fit this one."""
        self.image.set_reference(inputs)
        self.reference = dict(self.image.reference)

    def fill_values(
        self, inputs: Inputs, fill: str, seeds: Sequence[int], features: Features | None = None
    ) -> dict[str, Tensor]:
        """Compute the fill values of each modality. :func:`sidelight.fills.base.pair_fills` splits ``fill``."""
        chosen = pair_fills(fill, self.modalities)
        return {
            **self.image.fill_values(inputs, chosen["image"], seeds, features),
            **self.text.fill_values(text_inputs(inputs), chosen["text"], seeds, features),
        }


def check_kinds(inputs: Inputs) -> None:
    """Raise :class:`InputTypeError` if pixels or token ids are missing or have the wrong type."""
    if not isinstance(inputs, Mapping) or PIXELS not in inputs or "input_ids" not in inputs:
        given = sorted(inputs) if isinstance(inputs, Mapping) else type(inputs).__name__
        raise InputTypeError(
            f"expected a mapping with 'pixel_values' [B, C, H, W] and 'input_ids' [B, T]; got {given}."
        )
    for name, wanted in ((PIXELS, True), ("input_ids", False)):
        value = inputs[name]
        if isinstance(value, Tensor) and value.is_floating_point() is not wanted:
            raise InputTypeError(
                f"{name} must hold {'floating point numbers' if wanted else 'integers'}; got {value.dtype}. "
                "Are pixel_values and input_ids swapped?"
            )


def tokens_mean(tokens: Tensor, attended: Tensor) -> Tensor:
    """Return the mean ``[B, D]`` of ``tokens`` ``[B, T, D]`` over the places that ``attended`` ``[B, T, 1]`` marks."""
    return (tokens * attended).sum(1) / attended.sum(1).clamp(min=1)
