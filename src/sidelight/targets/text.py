"""Any Hugging Face sequence classifier, encoder or decoder-only, masked at its word embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sidelight.core.types import TEXT, Encoding, Features, Inputs, Modality, Scores, StateSpec, TargetSpec
from sidelight.errors import ConfigError, InputError, UnsupportedTargetError
from sidelight.fills.base import FillContext, TokenContext, fill_values
from sidelight.fills.text import split_drop
from sidelight.inputs.kept_tokenizer import tokenizer_hash, tokenizer_settings
from sidelight.inputs.loading import saved_tokenizer
from sidelight.inputs.samples import read_texts
from sidelight.inputs.tokenizing import Tokenizing
from sidelight.inputs.view import TextView
from sidelight.targets.attention import AttentionPass, attention_pass
from sidelight.targets.base import TargetModel, head_options
from sidelight.targets.embedding import (
    input_embedding,
    padding_side,
    position_limit,
    positions_from_ids,
    replaced_output,
)
from sidelight.targets.outputs import named_outputs
from sidelight.targets.signatures import (
    IDS,
    MASK,
    STATES,
    require_classifier,
    require_states,
    taken_arguments,
)
from sidelight.targets.text_checks import check_features, check_ids, check_padding, check_shapes
from sidelight.targets.verdict import Verdict
from sidelight.targets.vocabulary import Vocabulary
from sidelight.targets.wrappers import arguments_of, plain_model

NOT_FOR_THE_MODEL = {"labels", "special_tokens_mask"}


class TextTarget(TargetModel):
    """A frozen text classifier.

    Scores multiply the word embeddings, before positions and layer norm are added
    (method §4). Special tokens and padding are no features: their score is always 1.

    Args:
        model: a Hugging Face sequence classifier (BERT, RoBERTa, DeBERTa, GPT-2, Llama, ...).
        processor: its tokenizer; needed for raw texts and for the fill ``mask``.
        layers: which hidden states the scorer reads, as indices into ``hidden_states``
            (0: embeddings, -1: last layer); ``[-1]`` by default.
        max_length: texts are cut to so many tokens; by default what model and tokenizer can take.
        columns: text column(s) of mapping samples, where their names are not the usual ones.
        output: what the model's output means (:mod:`sidelight.targets.verdict`).

    Raises:
        UnsupportedTargetError: the model has no word embeddings, or is an encoder-decoder.
        InputTypeError: ``processor`` is no tokenizer.
    """

    family = "text"
    modalities: Mapping[str, Modality] = MappingProxyType({"text": TEXT})
    varying_length = True

    def __init__(
        self,
        model: nn.Module,
        processor: Any = None,
        layers: Sequence[int] = (-1,),
        max_length: int | None = None,
        columns: Sequence[str] = (),
        output: str = "auto",
    ) -> None:
        model = plain_model(model)
        super().__init__(model)
        self.verdict = Verdict(model, output, loader="AutoModelForSequenceClassification")
        self._named = named_outputs(model)
        if not layers or not all(isinstance(i, int) for i in layers):
            raise ConfigError(
                f"layers of a text target are hidden-state indices such as [6, -1]; got {list(layers)}."
            )
        require_classifier(model)
        self.embedding = input_embedding(model)
        self.layers = tuple(layers)
        self.columns = tuple(columns)
        self._options = {"layers": list(layers), "max_length": max_length, "columns": list(columns)}
        self.limit = position_limit(model)
        tokenizer = getattr(processor, "tokenizer", processor)
        self.vocabulary = Vocabulary(self.embedding, tokenizer, getattr(model, "config", None))
        # Rotary positions have no hard limit, but the model was not trained beyond this one.
        soft = self.limit or getattr(self.vocabulary.config, "max_position_embeddings", None)
        limits = [n for n in (max_length, soft) if n and n > 0]  # XLNet says -1 for no limit
        cut = min(limits) if limits else None
        self.text = (
            Tokenizing(tokenizer, cut, columns, padding_side(model)) if tokenizer is not None else None
        )
        self._accepts = _taken(model)

    def _takes(self, name: str) -> bool:
        """Whether the model's forward is known to take the argument ``name``."""
        return self._accepts is not None and name in self._accepts

    def _passes(self, name: str) -> bool:
        """Whether the input ``name`` is handed to the model."""
        return name not in NOT_FOR_THE_MODEL and (self._accepts is None or name in self._accepts)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, or ``None``."""
        return self.vocabulary.tokenizer

    # -- inputs ---------------------------------------------------------------------

    def prepare(self, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Tokenize strings, pairs, or rows of a data set; ``[B, T]`` tensors on the CPU.

        Beside what the tokenizer gives there is ``special_tokens_mask``. A result does not
        depend on the rest of its batch: encoders, which pool the first token, are padded on
        the right whatever the tokenizer's setting (XLNet, which pools the last place, on the left); where decoder-only models are padded on
        the left, ``position_ids`` count real tokens only.

        Raises:
            InputError, InputTypeError: a sample is empty or not text, or there is no tokenizer.

        Warns:
            TruncationWarning: a text was cut.
        """
        if isinstance(samples, Mapping) and "input_ids" in samples:
            return dict(samples)
        tensors = self._tokenizing().tensors(samples)
        attended = tensors["attention_mask"]
        left_padded = bool((attended[:, 0] == 0).any())
        if left_padded and self._takes("position_ids") and not positions_from_ids(self.model):
            tensors["position_ids"] = (attended.cumsum(1) - 1).clamp(min=0)
        return tensors

    def _tokenizing(self) -> Tokenizing:
        if self.text is None:
            raise InputError(
                "raw texts need the model's tokenizer: pass processor=AutoTokenizer.from_pretrained(...), "
                "or give tensors: {'input_ids': ..., 'attention_mask': ..., 'special_tokens_mask': ...}."
            )
        return self.text

    def check(self, inputs: Inputs) -> None:
        ids = check_shapes(inputs)
        check_ids(ids, self.vocabulary.size, self.limit)
        check_padding(ids, self.attention(inputs), self.model, self.vocabulary.config_pad_id)
        check_features(self.feature_mask(inputs)["text"])

    def attention(self, inputs: Inputs) -> Tensor:
        """``[B, T]`` the attention mask, ones where none is given."""
        mask = inputs.get("attention_mask")
        return torch.ones_like(inputs["input_ids"]) if mask is None else mask

    # -- saving and loading ---------------------------------------------------------

    def save_processor(self, folder: Path) -> None:
        if self.tokenizer is not None:
            self.tokenizer.save_pretrained(folder)

    @classmethod
    def load_processor(cls, name: str, state: Mapping[str, Any], revision: str | None = None) -> Any:
        return saved_tokenizer(name, state, revision)

    def processor_state(self) -> dict[str, Any]:
        if self.tokenizer is None:
            return {}
        place = getattr(self.tokenizer, "name_or_path", "")
        about = {"hash": tokenizer_hash(self.tokenizer), "settings": tokenizer_settings(self.tokenizer)}
        return {"tokenizer": place, **about} if place else about

    @classmethod
    def load_model(cls, name: str, revision: str | None = None, classes: Sequence[str] = ()) -> nn.Module:
        from transformers import AutoModelForSequenceClassification

        options = head_options(classes)
        return AutoModelForSequenceClassification.from_pretrained(name, revision=revision, **options).eval()

    @classmethod
    def config_values(cls, processor: Any) -> dict[str, Any]:
        """Size of the vocabulary, padding id, and longest input of the tokenizer ``processor``."""
        if processor is None:
            return {}
        values = {"vocab_size": len(processor), "pad_token_id": processor.pad_token_id}
        longest = getattr(processor, "model_max_length", None)
        return {**values, "max_position_embeddings": longest} if longest and longest < 10**6 else values

    def options(self) -> dict[str, Any]:
        return {**self._options, **self.verdict.options()}

    # -- for people -----------------------------------------------------------------

    def is_sample(self, value: Any) -> bool:
        """Whether ``value`` is one text, one row, or one pair: a tuple of two strings."""
        if isinstance(value, tuple) and len(value) == 2 and all(isinstance(v, str) for v in value):
            return True
        return not hasattr(value, "shape") and super().is_sample(value)

    def read_rows(self, samples: Sequence[Any], first: int = 0) -> Sequence[Any]:
        """One string or a pair of strings for each sample or row; the message names a bad one."""
        texts = read_texts(samples, self.columns, first)
        return [text if len(text) > 1 else text[0] for text in texts]

    def remarks(self, samples: Sequence[Any]) -> list[dict[str, Any]]:
        """``{"truncated": True}`` where the model could not read a text to its end."""
        return [{"truncated": True} if view.truncated else {} for view in self.describe(samples)]

    def truth(
        self,
        evidence: Sequence[Mapping[str, Any]],
        inputs: Inputs,
        samples: Sequence[Any] | None = None,
    ) -> dict[str, Tensor]:
        """``{"text": [B, T]}``: tokens that touch the evidence.

        Args:
            evidence: per sample ``{"text": [(start, end), ...]}`` in characters of the text; in
                the second text of a pair ``(start, end, 1)``.
            inputs: the prepared batch.
            samples: the texts it was prepared from; needed, as ids do not tell characters.
        """
        if samples is None:
            raise InputError("evidence in texts is given by character: pass the raw samples too.")
        marked = [
            _touched(view, found["text"])
            for view, found in zip(self.describe(samples), evidence, strict=True)
        ]
        real = self.feature_mask(inputs)["text"]
        return {"text": torch.tensor(marked, dtype=torch.bool, device=real.device) & real}

    def describe(self, samples: Sequence[Any]) -> list[TextView]:
        """Tokens, words and offsets of each sample, aligned with what :meth:`prepare` gives for them."""
        return self._tokenizing().views(samples)

    def display(self, inputs: Inputs, samples: Sequence[Any] | None = None) -> list[dict[str, Any]]:
        """``{"text": list of strings}`` per sample.

        With the raw ``samples`` these are words that join to the original text; without,
        the ids can only be spelled token by token.
        """
        if samples is not None:
            return [{"text": view.shown()} for view in self.describe(samples)]
        spell = self.text.spelled if self.text is not None else lambda ids: [f"#{i}" for i in ids]
        real = self.feature_mask(inputs)["text"]
        return [
            {"text": spell(ids[mask].tolist())} for ids, mask in zip(inputs["input_ids"], real, strict=True)
        ]

    def display_scores(
        self, inputs: Inputs, scores: Scores, samples: Sequence[Any] | None = None
    ) -> list[dict[str, Any]]:
        """``{"text": [N]}`` per sample: one score for each string of :meth:`display`, called alike."""
        rows = scores["text"].detach().float().cpu()
        if samples is not None:
            shown = [v.shown_scores(row) for v, row in zip(self.describe(samples), rows, strict=True)]
            return [{"text": np.asarray(values, dtype=np.float32)} for values in shown]
        real = self.feature_mask(inputs)["text"].cpu()
        return [{"text": row[mask].numpy()} for row, mask in zip(rows, real, strict=True)]

    # -- passes ---------------------------------------------------------------------

    def features(self, inputs: Inputs) -> Features:
        with torch.no_grad():
            embedded = self.embedding(inputs["input_ids"])
        if not isinstance(embedded, Tensor):
            raise UnsupportedTargetError(
                f"the word embeddings of {type(self.model).__name__} give {type(embedded).__name__} and no tensor, so "
                "words cannot be masked there (I-BERT carries a scale beside them). Use another classifier."
            )
        return {"text": embedded}

    def feature_mask(self, inputs: Inputs) -> Mapping[str, Tensor]:
        """``{"text": [B, T]}``: attended to, and not a special token.

        Without ``special_tokens_mask``, ids that the tokenizer (or config) calls special
        are taken for such; unknown words stay features.
        """
        special = inputs.get("special_tokens_mask")
        if special is None:
            known = torch.tensor(sorted(self.vocabulary.special_ids), dtype=torch.long)
            special = torch.isin(inputs["input_ids"], known.to(inputs["input_ids"].device))
        return {"text": self.attention(inputs).bool() & ~special.bool()}

    def arguments(self, inputs: Inputs) -> dict[str, Any]:
        """What of ``inputs`` the model's ``forward`` takes."""
        arguments: dict[str, Any] = {k: v for k, v in inputs.items() if self._passes(k)}
        if self._accepts is None or MASK in self._accepts:
            arguments[MASK] = self.attention(inputs)
        if self._takes("use_cache"):
            arguments["use_cache"] = False
        return {**arguments, **self._named}

    def forward_trainable(self, inputs: Inputs) -> Tensor:
        return self.verdict.read(self.model(**self.arguments(inputs)), len(inputs["input_ids"]))

    def forward(self, inputs: Inputs, features: Features) -> Tensor:
        with self.one_pass(), replaced_output(self.embedding, features["text"], inputs["input_ids"]):
            return self.verdict.read(self.model(**self.arguments(inputs)), len(inputs["input_ids"]))

    def classify(
        self,
        inputs: Inputs,
        scores: Scores,
        fill: str | Mapping[str, Tensor] = "zero",
        seeds: Sequence[int] | None = None,
    ) -> Tensor:
        """As :meth:`TargetModel.classify`; special tokens stay in, whatever their score.

        Fill ``drop`` also takes tokens that score below one half out of attention.
        """
        if "text" not in scores:
            return super().classify(inputs, scores, fill, seeds)
        size = len(scores["text"])
        values = dict(self.fill_values(inputs, fill, seeds or range(size)) if isinstance(fill, str) else fill)
        kept, values["text"], attention = self.keep_special(inputs, scores["text"], values["text"])
        return super().classify({**inputs, "attention_mask": attention}, {"text": kept}, values)

    def keep_special(self, inputs: Inputs, scores: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores that leave special tokens in, plain fill values, and the attention mask without dropped tokens.

        Args:
            inputs: the model's inputs.
            scores: ``[B, T]`` in [0, 1].
            values: of a fill, marked where tokens are to be dropped.
        """
        real = self.feature_mask(inputs)["text"]
        kept = torch.where(real, scores, torch.ones_like(scores))
        return kept, *split_drop(values, kept, self.attention(inputs), real)

    def _encode(self, inputs: Inputs) -> Encoding:
        require_states(self.model, self._accepts or set())
        out = self.model(**self.arguments(inputs), **{STATES: True})
        logits = self.verdict.read(out, len(inputs["input_ids"]))
        states = self.read_states(getattr(out, "hidden_states", None), inputs)
        return Encoding(logits, {"text": states}, self.feature_mask(inputs))

    def read_states(self, hidden: Sequence[Tensor] | None, inputs: Inputs) -> tuple[Tensor, ...]:
        """The states that ``layers`` names, ``[B, T, D]`` each, zero at padding.

        Raises:
            UnsupportedTargetError: there are no hidden states.
            ConfigError: there are fewer than ``layers`` asks for.
        """
        if not hidden:
            raise UnsupportedTargetError(
                f"{type(self.model).__name__} gives no hidden states for a scorer to read."
            )
        if not all(-len(hidden) <= i < len(hidden) for i in self.layers):
            raise ConfigError(
                f"layers {list(self.layers)}: {self.name} has hidden states 0 to {len(hidden) - 1}."
            )
        self._require_one_state_a_token(hidden, inputs["input_ids"].shape[1])
        # Exact zeros at padding tell the scorer what to leave out, and hold no NaN.
        attended = self.attention(inputs).bool().unsqueeze(-1)
        return tuple(torch.where(attended, hidden[i], torch.zeros_like(hidden[i])) for i in self.layers)

    def _require_one_state_a_token(self, hidden: Sequence[Tensor], length: int) -> None:
        fitting = [i for i, state in enumerate(hidden) if state.ndim == 3 and state.shape[1] == length]
        wrong = [i for i in self.layers if i % len(hidden) not in fitting]
        if wrong:
            raise UnsupportedTargetError(
                f"layer {wrong[0]} of {self.name} has states of shape {tuple(hidden[wrong[0]].shape)} for {length} tokens, "
                "so it does not say what belongs to which token. "
                + (f"Choose among layers={fitting}." if fitting else "No layer does.")
            )

    def attention_pass(self, inputs: Inputs) -> AttentionPass:
        embedded = self.features(inputs)["text"].detach().requires_grad_()
        with self.one_pass(), replaced_output(self.embedding, embedded, inputs["input_ids"]):
            attended = self.attention(inputs).bool()
            found = attention_pass(self.model, self.arguments(inputs), lambda r: {"text": r}, attended)
        return found.read_by(self.verdict)

    def trial_inputs(self) -> Inputs:
        """One text of two ordinary tokens."""
        return self.to_device({"input_ids": self.vocabulary.ordinary_ids()[-1:].repeat(1, 2)})

    def spec(self, inputs: Inputs) -> TargetSpec:
        states = self.encode({k: v[:1] for k, v in inputs.items()}).states["text"]
        return TargetSpec(states={"text": tuple(StateSpec(s.shape[-1]) for s in states)})

    # -- fills ----------------------------------------------------------------------

    def set_reference(self, inputs: Inputs) -> None:
        """Nothing is kept: texts differ in length, so another text's words fit no place in this one.

        Fills draw from the vocabulary; reference-based rivals make their own references.
        """

    def fill_values(
        self, inputs: Inputs, fill: str, seeds: Sequence[int], features: Features | None = None
    ) -> dict[str, Tensor]:
        features = self.features(inputs) if features is None else features
        context = FillContext(seeds, reference=self.reference.get("text"), tokens=self.token_context(inputs))
        with torch.no_grad():
            return {"text": fill_values(fill, features["text"], TEXT, context)}

    def token_context(self, inputs: Inputs) -> TokenContext:
        """What text fills may look at: vocabulary, special tokens, which tokens are real."""
        words = self.vocabulary
        return TokenContext(
            embed=self.embedding,
            mean=words.mean,
            ordinary=words.ordinary_ids,
            real=self.feature_mask(inputs)["text"],
            mask_id=words.mask_id,
            pad_id=words.pad_id,
        )


def _taken(model: nn.Module) -> set[str] | None:
    """Names of the arguments that the model takes; ``None`` where it hands on whatever it is given, to nobody we know."""
    try:
        return taken_arguments(model)
    except UnsupportedTargetError:
        if arguments_of(model, IDS) is None:
            return None
        raise


def _touched(view: TextView, spans: Sequence[Sequence[int]]) -> list[bool]:
    """``T`` flags of tokens that touch ``(start, end)`` or ``(start, end, segment)``."""
    by_segment: dict[int, list[tuple[int, int]]] = {}
    for start, end, *segment in spans:
        by_segment.setdefault(int(segment[0]) if segment else 0, []).append((int(start), int(end)))
    flags = [view.tokens_in(own, segment) for segment, own in by_segment.items()]
    return [any(on) for on in zip(*flags, strict=True)] if flags else [False] * len(view.pieces)
