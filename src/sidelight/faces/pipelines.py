"""Pipelines of transformers whose answers also say why: a label, a score, and the explanation of it."""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import ImageClassificationPipeline, Pipeline, TextClassificationPipeline
from transformers.pipelines.pt_utils import KeyDataset

from sidelight.core.field_checks import whole
from sidelight.core.quiet import told_once
from sidelight.core.registry import nearest
from sidelight.core.surroundings import plain_passes
from sidelight.core.tensors import predictable
from sidelight.core.types import Encoding, Reading
from sidelight.errors import ConfigError, InputError
from sidelight.explainer import Explainer
from sidelight.explanations.building import Answered, explanations_of
from sidelight.explanations.classes import NO_CLASSES, Classes
from sidelight.inputs.base import Batch
from sidelight.inputs.file_names import tell_file_names
from sidelight.inputs.image import PIXELS

#: settings of tokenizers that change nothing here, because texts are always cut to the model's length and padded
_MOOT = {"truncation": (True, "longest_first"), "padding": (True, False, "longest", "max_length")}
#: begin what the plain pipeline fetches or decodes
_FETCHED = ("http://", "https://", "data:")


class Explained(Pipeline):
    """The part that all pipelines of sidelight share. It stands before a pipeline of transformers.

    Each answer has the keys of the plain pipeline, ``label`` and ``score``, and those of its explanation:

    * ``explanation``: the :class:`~sidelight.Explanation` of this label.
    * ``map``: of an image, ``[H, W]`` scores in [0, 1].
    * ``words``: of a text, ``{"word", "score", "start", "end"}`` each, with places in the text. Words that the model did
      not read are left out. For two texts ``segment`` says which one.

    Args:
        explainer: fitted or loaded. Its model and its processor are those of the pipeline.
        maps: answers, from the top, that have an explanation. Each is the explanation of its own label. ``None`` for all
            of them. The others have ``None`` there. May be given at a call too.
        options: of ``transformers.Pipeline``: ``device``, ``batch_size``, ``num_workers``, ``top_k``, ...

    Raises:
        ConfigError: an option is unknown, or several maps are asked of a scorer that knows the predicted class only.
    """

    #: labels in an answer, unless ``top_k`` says how many. ``None`` for all
    answers: int | None = 1
    #: options beside ``maps``
    known: tuple[str, ...] = ("top_k", "function_to_apply")

    def __init__(self, explainer: Explainer, **options: Any) -> None:
        self.explainer = explainer
        self._told: set[type[Warning]] = set()
        reader = explainer.target.reader
        tokenizer = getattr(reader, "tokenizer", None)
        image_processor = None if tokenizer is not None else getattr(reader, "processor", None)
        own = {"tokenizer": tokenizer, "image_processor": image_processor}
        super().__init__(model=explainer.target.model, **own, **options)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Answers as the plain pipeline gives them, one for each sample.

        Raises:
            InputError: there is no sample.
        """
        if inputs and isinstance(inputs[0], (list, tuple, KeyDataset)) and len(inputs[0]) == 0:
            raise InputError("the batch is empty: give at least one sample.")
        return super().__call__(*inputs, **options)

    def _sanitize_parameters(self, maps: Any = "", **given: Any) -> tuple[dict, dict, dict]:
        for name in given:
            if name not in self.known:
                known = ("maps", *self.known)
                raise ConfigError(
                    f"this pipeline has no option {name!r}.{nearest(name, known)} Known: {', '.join(known)}, and those of "
                    "every pipeline of transformers (batch_size, device, num_workers, ...)."
                )
        before, forward, after = self._plain_parameters(given)
        # "" stands for an argument that was not given, as in transformers
        if maps != "":
            forward["maps"] = self._require_count(maps)
        if "top_k" in after:
            forward["top_k"] = after["top_k"] = _count(after["top_k"], "top_k")
        return before, forward, after

    def _plain_parameters(self, given: dict[str, Any]) -> tuple[dict, dict, dict]:
        """Parameters of the steps, as the plain pipeline sorts them."""
        found: tuple[dict, dict, dict] = super()._sanitize_parameters(**given)
        return found

    def _require_count(self, maps: Any) -> int | None:
        maps = _count(maps, "maps")
        if maps not in (0, 1) and not self.explainer.scorer.config.by_class:
            raise ConfigError(
                f"maps={maps} needs a scorer that knows every class; this one was trained with the thesis's objective. "
                "Leave maps out, or train one with objective='robust'."
            )
        return maps

    def _batch(self, model_inputs: Mapping[str, Any]) -> Batch:
        """What :meth:`preprocess` made of one sample, or a list of that of several, as one batch."""
        samples = model_inputs["sample"]
        with told_once(self._told):
            batch = self.explainer.target.reader.read_samples(
                samples if isinstance(samples, list) else [samples]
            )
            tell_file_names(batch)
        return batch

    @plain_passes()
    def _forward(
        self, model_inputs: Mapping[str, Any], maps: int | None = 1, top_k: int | str | None = ""
    ) -> dict[str, Any]:
        target = self.explainer.target
        batch = self._batch(model_inputs).to(target.device)
        target.check(batch.inputs)
        encoding = target.encode(batch.inputs)
        wanted = self.answers if top_k == "" else top_k
        ranked = self._ranked(encoding.logits)
        count = min(n for n in (ranked.shape[1], maps, wanted) if isinstance(n, int))
        about = np.empty((len(batch), count), dtype=object)  # transformers takes such arrays apart by sample
        for place in range(count):
            about[:, place] = self._about(batch, encoding, ranked[:, place])
        return {"logits": self._as_plain(encoding.logits), "about": about}

    def _ranked(self, logits: Tensor) -> Tensor:
        """``[B, N]`` classes in the order of the answers."""
        if self._one_label(logits):
            # the plain pipeline's only label stands for "yes"
            return logits.new_ones(len(logits), 1, dtype=torch.long)
        said = predictable(logits.float(), self.explainer.target.independent)
        return said.argsort(dim=1, descending=True, stable=True)

    def _one_label(self, logits: Tensor) -> bool:
        return getattr(self.model.config, "num_labels", None) == 1 and logits.shape[1] == 2

    def _as_plain(self, logits: Tensor) -> Tensor:
        """The model's own output: of one yes-or-no logit that one, of independent labels one logit each, or a value."""
        target = self.explainer.target
        value = target.verdict.value_of(logits)
        if value is not None:
            return value[:, None]
        if target.independent:
            return 2 * predictable(logits, independent=True)  # ours are half log-odds
        return logits[:, 1:] - logits[:, :1] if self._one_label(logits) else logits

    def _about(self, batch: Batch, encoding: Encoding, classes: Tensor) -> list[dict[str, Any]]:
        """Per sample the keys that explain one label."""
        explainer, target = self.explainer, self.explainer.target
        predicted = torch.equal(classes, encoding.prediction)
        known = explainer.scorer.config.by_class and not predicted
        reading = explainer.read(encoding, classes if known else None)
        chosen = Classes(classes) if known else NO_CLASSES
        explanations = explanations_of(target, Answered(batch, encoding, reading, chosen))
        words = words_of(batch, reading) if "text" in target.modalities else [{}] * len(batch)
        maps = [{"map": e.scores["image"]} if "image" in e.scores else {} for e in explanations]
        return [{**m, **w, "explanation": e} for m, w, e in zip(maps, words, explanations, strict=True)]

    def _with_explanations(self, answers: Any, about: np.ndarray) -> Any:
        """``answers`` of one sample, one or a list of them, with their explanations."""
        several = isinstance(answers, list)
        listed = answers if several else [answers]
        names = self._empty()
        found = [*about[0], *[names] * (len(listed) - len(about[0]))]
        merged = [{**answer, **own} for answer, own in zip(listed, found, strict=False)]
        return merged if several else merged[0]

    def _empty(self) -> dict[str, None]:
        kinds = {"image": "map", "text": "words"}
        return dict.fromkeys([*(kinds[m] for m in self.explainer.target.modalities), "explanation"])

    def save_pretrained(self, save_directory: str | os.PathLike[str], **options: Any) -> None:
        """Write the scorer, as ``Explainer.save_pretrained``. The classifier is borrowed and not written."""
        if options:
            raise ConfigError(f"a pipeline is saved without options; got {', '.join(sorted(options))}.")
        self.explainer.save_pretrained(save_directory)

    def postprocess(self, model_outputs: Mapping[str, Any], **options: Any) -> Any:
        """The plain pipeline's answers, with what explains them."""
        plain = super().postprocess({"logits": model_outputs["logits"]}, **options)
        return self._with_explanations(plain, model_outputs["about"])


def _one(sample: Any) -> Any:
    """``sample``, never as a list: a list of samples is a batch."""
    return tuple(sample) if isinstance(sample, list) else sample


def _require_a_row(sample: Mapping[str, Any]) -> None:
    """Refuse columns of several texts, of which two would be read as one pair."""
    held = sample["text"]
    if isinstance(held, (list, tuple)) and len(held) != 1:
        raise InputError(
            f"'text' holds {len(held)} texts: this is a batch of columns, not a row. Give rows: [{{'text': text}} for text in "
            "texts]. A pair of texts is {'text': first, 'text_pair': second}."
        )


def _count(value: Any, name: str) -> int | None:
    """A number of answers. Raises :class:`ConfigError` if ``value`` is none."""
    found = whole(value, least=0)
    if value is not None and found is None:
        raise ConfigError(f"{name} must be a number of answers, or None for all; got {value!r:.60}.")
    return found


class ExplainedTexts(Explained, TextClassificationPipeline):
    """``text-classification`` with explanations. Takes what the plain one takes: texts, and pairs of texts as
    ``{"text", "text_pair"}``.
    """

    known = (*Explained.known, *_MOOT)

    def _plain_parameters(self, given: dict[str, Any]) -> tuple[dict, dict, dict]:
        for name, values in _MOOT.items():
            if name in given and given.pop(name) not in values:
                raise ConfigError(
                    f"{name} may be {', '.join(map(repr, values))}: texts are always cut to the length that the model reads."
                )
        return super()._plain_parameters(given)

    def preprocess(self, inputs: Any) -> dict[str, Any]:
        """One text, or two, untouched: a batch of them is tokenized at once."""
        if isinstance(inputs, Mapping) and "text" not in inputs:
            raise InputError(
                f"a mapping needs 'text', and may have 'text_pair'; got {sorted(map(str, inputs))}."
            )
        if isinstance(inputs, Mapping):
            _require_a_row(inputs)
            inputs = (inputs["text"], inputs["text_pair"]) if "text_pair" in inputs else inputs["text"]
        elif isinstance(inputs, list) and len(inputs) == 1 and isinstance(inputs[0], list):
            inputs = inputs[0]  # an old form that transformers still takes
        return {"sample": _one(inputs)}


class ExplainedImages(Explained, ImageClassificationPipeline):
    """``image-classification`` with explanations. Takes what the plain one takes: paths, addresses and pictures."""

    answers = 5
    known = (*Explained.known, "timeout")

    def preprocess(self, image: Any, timeout: float | None = None) -> dict[str, Any]:
        """Pixels of one picture, ``[1, C, H, W]``. Worker processes may do it."""
        if isinstance(image, str) and image.startswith(_FETCHED):
            image = _content_at(image, timeout)
        return dict(self.explainer.target.reader.read_samples([image]).inputs)

    def _batch(self, model_inputs: Mapping[str, Any]) -> Batch:
        return Batch({PIXELS: model_inputs[PIXELS]})


def _content_at(address: str, timeout: float | None) -> bytes:
    """What lies at an address, or is written in it. The reader opens it as it opens a file."""
    if not address.startswith("data:"):
        import httpx  # transformers needs it too

        return httpx.get(address, timeout=timeout, follow_redirects=True).content
    try:
        return base64.b64decode(address.partition(",")[2])
    except ValueError as error:
        raise InputError(
            f"{address[:40]!r}... cannot be decoded ({error}); after the comma there must be a picture's file in base64."
        ) from error


class ExplainedPairs(Explained):
    """Classification of images with texts, ``image-text-classification``. Transformers has no plain pipeline for it.

    A sample is a pair ``(image, text)``, or ``{"image", "text"}`` (``"question"`` is another name of the text). Answers
    have both ``map`` and ``words``.
    """

    known = ("top_k",)

    def _plain_parameters(self, given: dict[str, Any]) -> tuple[dict, dict, dict]:
        return {}, {}, dict(given)

    def preprocess(self, inputs: Any) -> dict[str, Any]:
        """One pair, untouched. Of a row all that the model reads is taken, as by ``explain``."""
        if isinstance(inputs, Mapping):
            reader, row = self.explainer.target.reader, dict(inputs)
            if "question" in row and row.keys().isdisjoint({"text", "context", *reader.columns}):
                row["text"] = row.pop("question")
            (inputs,) = reader.samples([row])
        return {"sample": _one(inputs)}

    def postprocess(self, model_outputs: Mapping[str, Any], **options: Any) -> Any:
        """One answer, or a list of ``top_k``, the most probable first."""
        names = self.explainer.target.id2label
        logits = model_outputs["logits"][0].float()
        p = logits.sigmoid() if self.explainer.target.independent else logits.softmax(-1)
        order = p.argsort(descending=True, stable=True).tolist()
        answers = [{"label": str(names.get(i, i)), "score": float(p[i])} for i in order]
        shown: Any = answers[: options["top_k"]] if "top_k" in options else answers[0]
        return self._with_explanations(shown, model_outputs["about"])


def words_of(batch: Batch, reading: Reading) -> list[dict[str, Any]]:
    """Per sample ``{"words": [...]}``: each word that the model read, its score and its place in the text."""
    if batch.texts is None:
        return [{"words": None}] * len(batch)
    rows = reading.scores["text"].float().cpu()
    return [
        {
            "words": [
                {
                    "word": text[start:end],
                    "score": score,
                    "start": start,
                    "end": end,
                    **({"segment": number} if len(view.texts) > 1 else {}),
                }
                for number, text in enumerate(view.texts)
                for start, end, score in view.spans(row, number)
                if score is not None
            ]
        }
        for view, row in zip(batch.texts.views, rows, strict=True)
    ]
