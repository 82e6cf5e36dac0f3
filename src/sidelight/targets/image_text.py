"""A classifier of pairs of an image and a text, masked at its pixels and its word embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sidelight.core.types import (
    IMAGE,
    TEXT,
    Encoding,
    Features,
    Inputs,
    Modality,
    Scores,
    StateSpec,
    TargetSpec,
)
from sidelight.errors import InputError, InputTypeError, UnsupportedTargetError
from sidelight.fills.base import pair_fills
from sidelight.fills.text import Dropped
from sidelight.inputs.pair_inputs import ENCODED, PIXELS, check_kinds, image_inputs, text_inputs, tokens_mean
from sidelight.inputs.pairs import ImageTextProcessor, Pair, is_pair, read_pairs
from sidelight.inputs.pixels import stacked
from sidelight.targets.base import TargetModel, head_options
from sidelight.targets.embedding import replaced_output
from sidelight.targets.image import ImageTarget
from sidelight.targets.outputs import named_outputs
from sidelight.targets.pair_readers import WORDS, PairPass, open_reader
from sidelight.targets.text import TextTarget
from sidelight.targets.verdict import Verdict
from sidelight.targets.wrappers import float_type, plain_model

#: classes of a model that gives one similarity a pair
MATCHING = ("no match", "match")


class ImageTextTarget(TargetModel):
    """A frozen classifier of image-text pairs.

    What concerns one modality is done by an :class:`ImageTarget` and a :class:`TextTarget` around
    the parts of the model that read it; a reader (:mod:`sidelight.targets.pair_readers`) knows
    where those are and makes the passes.

    A model that gives one similarity ``s`` a pair (CLIP, SigLIP, retrieval heads) becomes a
    classifier: of "no match" and "match" with logits ``[0, s - threshold]``, or, where
    ``candidates`` are given, of "this text" and each candidate with the similarities as logits.
    SigLIP's similarity has its zero where it belongs; CLIP's has none, so give a threshold or
    candidates there.

    Args:
        model: a :class:`~sidelight.models.fusion.FusionClassifier`, CLIP-like two-tower model, ViLT, ...
        processor: an :class:`ImageTextProcessor`, or a Hugging Face processor of both.
        layers: which hidden states of the text are read, as in :class:`TextTarget`.
        max_states, states, layouts: which states of the image are read and how they lie, as in :class:`ImageTarget`.
        max_length, columns: as in :class:`TextTarget`.
        fused: read each modality's tokens after the fusion layers too, where the model has such.
        context: let scorers know the mean of each modality's last state beside the fusion output. A fusion's
            class token is trained to hold the verdict and may forget what was asked. Measured on the scenes
            (``docs/notes/scenes.md``): it helps words a little; pictures taught by coalitions choose better without.
        candidates: texts that every sample's own text competes with.
        threshold: similarity at which match and no match are equally probable.
        output: what the model's output means (:mod:`sidelight.targets.verdict`).

    Raises:
        UnsupportedTargetError: sidelight does not know how to read this model.
        ConfigError: candidates for a model that has classes of its own.
    """

    family = "image+text"
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
        threshold: float = 0.0,
        output: str = "auto",
    ) -> None:
        model = plain_model(model)
        super().__init__(model)
        self.processor = ImageTextProcessor.wrap(processor)
        self.reader = open_reader(model)
        self.verdict = Verdict(model, output, threshold if self.reader.gives_similarity else None)
        self._named = named_outputs(model)
        self.image = ImageTarget(
            self.reader.image_part,
            self.processor.image_processor,
            max_states=max_states,
            states=states,
            layouts=layouts,
        )
        self.text = TextTarget(self.reader.text_part, self.processor.tokenizer, layers, max_length)
        if self.text.text is not None:
            self.text.text.pads_fully = self.reader.pads_fully
        self.columns, self.fused, self.context = tuple(columns), fused, context
        self.candidates, self.threshold = tuple(candidates), threshold
        if candidates:
            self.reader.compare_with(self.text.arguments(self.text.prepare(list(candidates))))

    @property
    def id2label(self) -> dict[int, str]:
        """Class names; of a model that gives a similarity, those of the matching or the candidates."""
        if self.candidates and not self.class_names:
            return dict(enumerate(("this text", *self.candidates)))
        similarity = self.reader.gives_similarity and not self.class_names
        return dict(enumerate(MATCHING)) if similarity else super().id2label

    @property
    def tokenizer(self) -> Any:
        """The tokenizer of the text, or ``None``."""
        return self.text.tokenizer

    # -- inputs ---------------------------------------------------------------------

    def read_rows(self, samples: Sequence[Any], first: int = 0) -> list[Pair]:
        """``(image, text)`` of each tuple or row; the message names a bad one."""
        return read_pairs(samples, self.columns, first)

    def is_sample(self, value: Any) -> bool:
        """Whether ``value`` is one pair ``(image, text)``, or one row."""
        return is_pair(value) or (not isinstance(value, tuple) and super().is_sample(value))

    def prepare(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Model inputs of pairs or rows: ``pixel_values`` and ``[B, T]`` tensors of the text.

        Raises:
            InputError, InputTypeError: a part is missing, empty, unreadable, or the two are swapped;
                the message says of which sample.

        Warns:
            TruncationWarning: a text was cut.
        """
        if isinstance(samples, Mapping) and PIXELS in samples:
            return dict(samples)
        pairs = self.read_rows(samples)
        pixels = [self._pixels(image, number) for number, (image, _) in enumerate(pairs)]
        return {
            PIXELS: stacked(pixels, self.image.transform),
            **self.text.prepare([text for _, text in pairs]),
        }

    def _pixels(self, image: Any, number: int) -> Tensor:
        try:
            return self.image.prepare([image])[PIXELS][0]
        except (InputError, InputTypeError) as error:
            raise type(error)(f"the image of sample {number}: {error}") from error

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

    # -- saving and loading ---------------------------------------------------------

    def save_processor(self, folder: Path) -> None:
        self.processor.save_pretrained(folder)

    def processor_state(self) -> dict[str, Any]:
        return {"image": self.image.processor_state(), "text": self.text.processor_state()}

    @classmethod
    def load_processor(cls, name: str, state: Mapping[str, Any], revision: str | None = None) -> Any:
        return ImageTextProcessor(
            ImageTarget.load_processor(name, state.get("image", {}), revision),
            TextTarget.load_processor(name, state.get("text", {}), revision),
        )

    @classmethod
    def config_values(cls, processor: Any) -> dict[str, Any]:
        """What of a new model's config follows from the tokenizer."""
        return TextTarget.config_values(processor.tokenizer)

    @classmethod
    def load_model(cls, name: str, revision: str | None = None, classes: Sequence[str] = ()) -> nn.Module:
        """The model that the folder's or hub id's own config names.

        Raises:
            UnsupportedTargetError: it names none.
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
        options = head_options(classes) if hasattr(config, "id2label") else {}
        return kind.from_pretrained(name, revision=revision, **options).eval()

    def options(self) -> dict[str, Any]:
        image, text = self.image.options(), self.text.options()
        return {
            "layers": text["layers"],
            "max_states": image["max_states"],
            "states": image["states"],
            "layouts": image["layouts"],
            "max_length": text["max_length"],
            "columns": list(self.columns),
            "fused": self.fused,
            "context": self.context,
            "candidates": list(self.candidates),
            "threshold": self.threshold,
            **self.verdict.options(),
        }

    # -- for people -----------------------------------------------------------------

    def display(self, inputs: Inputs, samples: Sequence[Any] | None = None) -> list[dict[str, Any]]:
        """``{"image": [H, W, C], "text": list of strings}`` per sample."""
        shown = self.text.display(text_inputs(inputs), self._texts(samples))
        return [i | t for i, t in zip(self.image.display(inputs), shown, strict=True)]

    def display_scores(
        self, inputs: Inputs, scores: Scores, samples: Sequence[Any] | None = None
    ) -> list[dict[str, Any]]:
        """``{"image": [H, W], "text": [N]}`` per sample, of the modalities that ``scores`` hold."""
        shown: list[dict[str, Any]] = [{} for _ in inputs[PIXELS]]
        if "image" in scores:
            found = self.image.display_scores(inputs, scores)
            shown = [s | f for s, f in zip(shown, found, strict=True)]
        if "text" in scores:
            found = self.text.display_scores(text_inputs(inputs), scores, self._texts(samples))
            shown = [s | f for s, f in zip(shown, found, strict=True)]
        return shown

    def remarks(self, samples: Sequence[Any]) -> list[dict[str, Any]]:
        texts = self._texts(samples)
        return self.text.remarks(texts) if texts is not None else []

    def truth(
        self,
        evidence: Sequence[Mapping[str, Any]],
        inputs: Inputs,
        samples: Sequence[Any] | None = None,
    ) -> dict[str, Tensor]:
        """Evidence of each modality that every sample has some entry for (it may be empty)."""
        found: dict[str, Tensor] = {}
        if all(e.get("image") is not None for e in evidence):
            found |= self.image.truth(evidence, inputs)
        if all(e.get("text") is not None for e in evidence):
            found |= self.text.truth(evidence, text_inputs(inputs), self._texts(samples))
        return found

    def _texts(self, samples: Sequence[Any] | None) -> list[Any] | None:
        return None if samples is None else [text for _, text in self.read_rows(samples)]

    # -- passes ---------------------------------------------------------------------

    def features(self, inputs: Inputs) -> Features:
        return {**self.image.features(inputs), **self.text.features(text_inputs(inputs))}

    def feature_mask(self, inputs: Inputs) -> Mapping[str, Tensor]:
        return {**self.image.feature_mask(inputs), **self.text.feature_mask(text_inputs(inputs))}

    def forward(self, inputs: Inputs, features: Features) -> Tensor:
        return self._forward(inputs, features, {})

    def _forward_masked(self, inputs: Inputs, features: Features) -> Tensor:
        encoded = {m: inputs[key] for m, key in ENCODED.items() if key in inputs}
        return self._forward(inputs, features, encoded)

    def _forward(self, inputs: Inputs, features: Features, encoded: Mapping[str, Tensor]) -> Tensor:
        """Logits of ``features``, or of what is ``encoded`` in place of a modality's features."""
        with self.one_pass():
            self.reader.prepare()
            # an encoder that is spared looks up no words that could be replaced
            with (
                nullcontext() if "text" in encoded else replaced_output(self.text.embedding, features["text"])
            ):
                return self._logits(self._run(inputs, features["image"], encoded=encoded))

    def encoded(self, inputs: Inputs) -> dict[str, Tensor]:
        return dict(self.encode(inputs).encoded) if self.reader.resumes else {}

    def forward_trainable(self, inputs: Inputs) -> Tensor:
        self.reader.prepare()
        return self._logits(self._run(inputs, inputs[PIXELS]))

    def _run(
        self,
        inputs: Inputs,
        pixels: Tensor,
        states: bool = False,
        encoded: Mapping[str, Tensor] | None = None,
    ) -> PairPass:
        words = {k: v for k, v in self.text.arguments(text_inputs(inputs)).items() if k in WORDS}
        words |= self._named
        pixels = pixels.to(float_type(self.image.model))
        if encoded:
            return self.reader.resume(pixels, words, encoded)
        return self.reader.run(pixels, words, states)

    def _logits(self, out: PairPass) -> Tensor:
        return self.verdict.read(out.logits, len(out.logits))

    def classify(
        self,
        inputs: Inputs,
        scores: Scores,
        fill: str | Mapping[str, Tensor] = "zero",
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        """As :meth:`TargetModel.classify`; special tokens stay in, and fill ``drop`` does what it does for texts.

        Where ``inputs`` hold what :meth:`encoded` gave for them, the encoder of a modality without scores is not
        run again.

        Raises:
            InputError: scores of a modality that the target has not, or ``drop`` where the model cannot.
        """
        unknown = sorted(set(scores) - set(self.modalities))
        if unknown:
            raise InputError(f"scores of {', '.join(unknown)}; this target has {', '.join(self.modalities)}.")
        inputs = {k: v for k, v in inputs.items() if k not in [ENCODED[m] for m in scores]}
        if "text" not in scores:
            return super().classify(inputs, scores, fill, seeds)
        size = len(scores["text"])
        values = dict(self.fill_values(inputs, fill, seeds or range(size)) if isinstance(fill, str) else fill)
        if isinstance(values["text"], Dropped) and not self.reader.can_drop:
            raise InputError(
                f"fill 'drop' takes tokens out of attention, which {type(self.model).__name__} does not heed; "
                "choose another fill: zero, mean, random."
            )
        kept, values["text"], attention = self.text.keep_special(
            text_inputs(inputs), scores["text"], values["text"]
        )
        return super().classify({**inputs, "attention_mask": attention}, {**scores, "text": kept}, values)

    def _encode(self, inputs: Inputs) -> Encoding:
        self.reader.prepare()
        pixels, words = inputs[PIXELS], text_inputs(inputs)
        with self.image.stem() as stem:
            out = self._run(inputs, pixels, states=True)
        self.image.settle_layouts(lambda p: self._image_states(inputs, p), pixels)
        image = self.image.read_states(out.image, stem, pixels)
        text = self.text.read_states(out.text, words)
        if self.fused and "image" in out.fused:
            image += (self.image.fused_map(out.fused["image"], pixels),)
        attended = self.text.attention(words).bool().unsqueeze(-1)
        if self.fused and "text" in out.fused:
            text += (torch.where(attended, out.fused["text"], torch.zeros_like(out.fused["text"])),)
        fusion = out.fusion
        if self.context:
            means = (image[-1].flatten(2).mean(2), tokens_mean(text[-1], attended))
            # states of different models differ in scale by orders of magnitude
            fusion = torch.cat([fusion, *(F.layer_norm(m, m.shape[1:]) for m in means)], 1)
        return Encoding(
            self._logits(out),
            {"image": image, "text": text},
            self.feature_mask(inputs),
            fusion,
            {ENCODED[m]: e for m, e in out.encoded.items()},
        )

    def _image_states(self, inputs: Inputs, pixels: Tensor) -> Sequence[Any]:
        """States of other ``pixels`` beside the first text of ``inputs``."""
        words = {k: v[:1].repeat(len(pixels), *[1] * (v.ndim - 1)) for k, v in text_inputs(inputs).items()}
        return self._run(words, pixels, states=True).image or ()

    def spec(self, inputs: Inputs) -> TargetSpec:
        encoding = self.encode({k: v[:1] for k, v in inputs.items()})
        image = tuple(StateSpec(s.shape[1], (s.shape[2], s.shape[3])) for s in encoding.states["image"])
        text = tuple(StateSpec(s.shape[-1]) for s in encoding.states["text"])
        size = tuple(int(n) for n in inputs[PIXELS].shape[1:])
        width = None if encoding.fusion is None else encoding.fusion.shape[1]
        return TargetSpec({"image": image, "text": text}, {"image": size}, width)

    def exchange(self, inputs: Inputs, others: Inputs, modalities: Sequence[str]) -> Inputs:
        """The images, the texts, or both of ``inputs`` replaced by those of ``others`` (as many samples)."""
        image, text = (others if m in modalities else inputs for m in self.modalities)
        return {**image_inputs(image), **text_inputs(text)}

    # -- fills ----------------------------------------------------------------------

    def set_reference(self, inputs: Inputs) -> None:
        """Keep the images; texts differ in length, so another text's words fit no place in this one."""
        self.image.set_reference(inputs)
        self.reference = dict(self.image.reference)

    def fill_values(
        self, inputs: Inputs, fill: str, seeds: Sequence[int], features: Features | None = None
    ) -> dict[str, Tensor]:
        """Values of the fill that ``fill`` means for each modality (:func:`sidelight.fills.base.pair_fills`)."""
        chosen = pair_fills(fill, self.modalities)
        return {
            **self.image.fill_values(inputs, chosen["image"], seeds, features),
            **self.text.fill_values(text_inputs(inputs), chosen["text"], seeds, features),
        }
