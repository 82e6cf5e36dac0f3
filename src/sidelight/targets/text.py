"""The text family: Hugging Face sequence classifiers, with masks on word embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from sidelight.core.types import TEXT, Encoding, Features, Inputs, Modality, Scores, Unmasked
from sidelight.errors import ConfigError, UnsupportedTargetError
from sidelight.fills.base import FillContext, TokenContext, fill_values
from sidelight.fills.text import split_drop
from sidelight.inputs.text import TextReader
from sidelight.targets.attention import AttentionPass, attention_pass
from sidelight.targets.base import TargetModel
from sidelight.targets.embedding import (
    input_embedding,
    padding_side,
    position_limit,
    positions_from_ids,
    replaced_output,
)
from sidelight.targets.kept_states import KeptStates
from sidelight.targets.loading import loaded
from sidelight.targets.outputs import hidden_states, named_outputs
from sidelight.targets.signatures import (
    IDS,
    MASK,
    STATES,
    needed_arguments,
    require_classifier,
    require_states,
    taken_arguments,
)
from sidelight.targets.text_checks import (
    REMARKS,
    check_arguments,
    check_features,
    check_ids,
    check_padding,
    check_shapes,
)
from sidelight.targets.verdict import Verdict
from sidelight.targets.vocabulary import Vocabulary
from sidelight.targets.wrappers import arguments_of, plain_model

NOT_FOR_THE_MODEL = {"labels", "special_tokens_mask", *REMARKS}


class Kept(NamedTuple):
    """A mask of tokens in the form that the model gets.

    Attributes:
        scores: ``[B, T]``, 1 at special tokens and padding.
        values: fill values without the mark of ``drop``.
        attention: ``[B, T]`` attention mask, 0 at dropped tokens.
    """

    scores: Tensor
    values: Tensor
    attention: Tensor


class TextTarget(TargetModel):
    """A frozen text classifier.

    Scores multiply the word embeddings before positions and layer norm. Special tokens and padding are no features,
    and their score is always 1.

    Args:
        model: a Hugging Face sequence classifier (BERT, RoBERTa, DeBERTa, GPT-2, Llama, ...).
        processor: its tokenizer. Raw texts and the fill ``mask`` need it.
        layers: hidden states that the scorer reads, as indices into ``hidden_states``
            (0: embeddings, -1: last layer). The default is the last layer.
        max_length: maximum number of tokens, at least 1. The default is the limit of model and tokenizer.
        columns: names of the columns with the text or the two texts, if sidelight does not find them.
        output: meaning of the model's output: ``auto``, ``logits``, ``probabilities``, ``sigmoid``, ``labels``,
            ``label_probabilities`` or ``value`` (:mod:`sidelight.targets.verdict`).
        threshold: of one regression value: the value between "lower" and "higher". Default: the mean of the values of the
            first training rows.
        scale: the distance from ``threshold`` that counts as clear. Default: the standard deviation of those values.

    Raises:
        UnsupportedTargetError: the model has no word embeddings, is an encoder-decoder, or is made for another task.
        InputTypeError: ``processor`` is no tokenizer.
        ConfigError: ``layers`` are no numbers, a kind of output is unknown, or ``scale`` is not above 0. The first pass
            finds out which layers there are, and raises this error, too.

    Example:
        >>> target = TextTarget(model, processor)
        >>> inputs = target.reader.prepare(["a dull film"]).inputs
        >>> target.feature_mask(inputs)["text"]  # three words between two special tokens
        tensor([[False,  True,  True,  True, False]])
    """

    family = "text"
    reader_type: ClassVar[type[TextReader]] = TextReader
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
        threshold: float | None = None,
        scale: float | None = None,
    ) -> None:
        model = plain_model(model)
        super().__init__(model)
        self.verdict = Verdict(model, output, threshold, scale, loader="AutoModelForSequenceClassification")
        self._named = named_outputs(model)
        self.kept = KeptStates(model)
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
        # Rotary positions have no hard limit, but the model's training ended at this length.
        soft = self.limit or getattr(self.vocabulary.config, "max_position_embeddings", None)
        limits = [n for n in (max_length, soft) if n and n > 0]  # XLNet gives -1 for no limit
        cut = min(limits) if limits else None
        self._accepts, self._needed = _taken(model), needed_arguments(model)
        counts = self._takes("position_ids") and not positions_from_ids(model)
        self.reader: TextReader = self.reader_type(tokenizer, cut, columns, padding_side(model), counts)

    def _takes(self, name: str) -> bool:
        """Whether the model's forward surely takes the argument ``name``."""
        return self._accepts is not None and name in self._accepts

    def _passes(self, name: str) -> bool:
        """Whether the model gets the input ``name``."""
        return name not in NOT_FOR_THE_MODEL and (self._accepts is None or name in self._accepts)

    # -- inputs ---------------------------------------------------------------------

    def check(self, inputs: Inputs) -> None:
        ids = check_shapes(inputs)
        check_arguments(self.model, self._needed, inputs)
        check_ids(ids, self.vocabulary.size, self.limit)
        check_padding(ids, self.attention(inputs), self.model, self.vocabulary.config_pad_id)
        check_features(self.feature_mask(inputs)["text"])

    def attention(self, inputs: Inputs) -> Tensor:
        """Return the attention mask ``[B, T]``, or ones if ``inputs`` has none."""
        mask = inputs.get("attention_mask")
        return torch.ones_like(inputs["input_ids"]) if mask is None else mask

    @classmethod
    def load_model(cls, name: str, revision: str | None = None, classes: Sequence[str] = ()) -> nn.Module:
        from transformers import AutoModelForSequenceClassification

        return loaded(AutoModelForSequenceClassification, name, revision, classes)

    def options(self) -> dict[str, Any]:
        return {**self._options, **self.verdict.options()}

    # -- passes ---------------------------------------------------------------------

    def features(self, inputs: Inputs) -> Features:
        # in training mode a look-up may add noise or change the weights
        with self.borrowed(), torch.no_grad():
            embedded = self.embedding(inputs["input_ids"])
        if not isinstance(embedded, Tensor):
            raise UnsupportedTargetError(
                f"the word embeddings of {type(self.model).__name__} give {type(embedded).__name__} and no tensor, so "
                "words cannot be masked there (I-BERT carries a scale beside them). Use another classifier."
            )
        return {"text": embedded}

    def feature_mask(self, inputs: Inputs) -> Mapping[str, Tensor]:
        """Return ``{"text": [B, T]}``, true at attended tokens that are not special.

        If ``special_tokens_mask`` is missing, :attr:`added_ids` tell special tokens.
        """
        special = inputs.get("special_tokens_mask")
        if special is None:
            known = torch.tensor(sorted(self.added_ids), dtype=torch.long)
            special = torch.isin(inputs["input_ids"], known.to(inputs["input_ids"].device))
        return {"text": self.attention(inputs).bool() & ~special.bool()}

    @property
    def added_ids(self) -> set[int]:
        """Ids that are no features: padding and what the tokenizer adds, or the special ids of the config without one.

        Unknown words are features, and so are special tokens that a text holds itself, such as "@user".
        """
        tokenizing, special = self.reader.tokenizing, self.vocabulary.special_ids
        return special if tokenizing is None else special & {*tokenizing.added_ids, self.vocabulary.pad_id}

    def words(self, inputs: Inputs) -> dict[str, Tensor]:
        tokenizing = self.reader.tokenizing
        return {} if tokenizing is None else {"text": tokenizing.word_numbers(inputs["input_ids"])}

    def arguments(self, inputs: Inputs) -> dict[str, Any]:
        """Return the arguments of the model's ``forward`` for ``inputs``: copies, because it may change them in place."""
        given = {k: v for k, v in inputs.items() if self._passes(k)}
        if self._accepts is None or MASK in self._accepts:
            given[MASK] = self.attention(inputs)
        arguments: dict[str, Any] = {k: v.clone() for k, v in given.items()}
        if self._takes("use_cache"):
            arguments["use_cache"] = False
        return {**arguments, **self._named}

    def forward_trainable(self, inputs: Inputs) -> Tensor:
        return self.verdict.read(self.model(**self.arguments(inputs)), inputs["input_ids"].shape[0])

    @contextmanager
    def seeing(self, inputs: Inputs, features: Features) -> Iterator[Inputs]:
        with self.one_pass(), replaced_output(self.embedding, features["text"], inputs["input_ids"]):
            yield inputs

    def forward(self, inputs: Inputs, features: Features) -> Tensor:
        with self.one_pass(), replaced_output(self.embedding, features["text"], inputs["input_ids"]):
            return self.verdict.read(self.model(**self.arguments(inputs)), inputs["input_ids"].shape[0])

    def _masks(
        self, inputs: Inputs, scores: Scores, fill: Mapping[str, Tensor], unmasked: Unmasked
    ) -> tuple[Inputs, dict[str, tuple[Tensor, Tensor]]]:
        if "text" not in scores:
            return inputs, {}
        kept = self.keep_special(inputs, scores["text"], fill["text"], unmasked.feature_mask["text"])
        return {**inputs, MASK: kept.attention}, {"text": (kept.scores, kept.values)}

    def _trimmed(
        self, inputs: Inputs, scores: Scores, fill: Mapping[str, Tensor], unmasked: Unmasked
    ) -> tuple[Inputs, Scores, Mapping[str, Tensor], Unmasked]:
        """The same without the columns at the end that are padding in every text.

        They stay if the model takes no attention mask, or if there are inputs of a shape that is not known here.
        """
        ids, attended = inputs["input_ids"], self.attention(inputs).bool().any(0)
        used = int(attended.nonzero().max()) + 1 if attended.any() else len(attended)
        known = all(value.ndim < 2 or value.shape == ids.shape for value in inputs.values())
        if used == len(attended) or not known or not self._takes(MASK):
            return inputs, scores, fill, unmasked

        def cut(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {name: value if value.ndim < 2 else value[:, :used] for name, value in tensors.items()}

        whole = Unmasked(cut(unmasked.features), cut(unmasked.feature_mask), unmasked.encoded)
        return cut(inputs), cut(scores), cut(fill), whole

    def keep_special(self, inputs: Inputs, scores: Tensor, values: Tensor, real: Tensor) -> Kept:
        """Keep special tokens, and remove dropped tokens from attention.

        Args:
            scores: ``[B, T]`` in [0, 1].
            values: fill values. The fill ``drop`` marks them.
            real: ``[B, T]`` feature mask.
        """
        kept = torch.where(real, scores, torch.ones_like(scores))
        plain, attention = split_drop(values, kept, self.attention(inputs), real)
        return Kept(kept, plain, attention)

    def _encode(self, inputs: Inputs) -> Encoding:
        require_states(self.model, self._accepts or set())
        out = self._pass(inputs)
        logits = self.verdict.read(out, inputs["input_ids"].shape[0])
        states = self.read_states(hidden_states(out), inputs)
        return Encoding(logits, {"text": states}, self.feature_mask(inputs))

    def _pass(self, inputs: Inputs) -> Any:
        """Return the output of a pass that keeps the states in ``layers``. The first pass keeps all of them."""
        arguments = self.arguments(inputs)
        out = self.kept.run(lambda asked: self.model(**arguments, **{STATES: asked}))
        self.kept.keep(self.places(hidden_states(out)))
        return out

    def places(self, hidden: Sequence[Any] | None) -> list[int] | None:
        """Numbers of the states to read among ``hidden``, from 0, or ``None`` if there are fewer."""
        count = len(hidden or ())
        return [i % count for i in self.layers] if all(-count <= i < count for i in self.layers) else None

    def read_states(self, hidden: Sequence[Tensor] | None, inputs: Inputs) -> tuple[Tensor, ...]:
        """Return the states that ``layers`` names, ``[B, T, D]`` each, zero at padding.

        Raises:
            UnsupportedTargetError: the model gives no hidden states, or not one a token.
            ConfigError: the model gives fewer states than ``layers`` needs.
        """
        if not hidden:
            raise UnsupportedTargetError(
                f"{type(self.model).__name__} gives no hidden states for a scorer to read. If it is your own, let it return "
                "them under the name 'hidden_states' beside its 'logits'."
            )
        if not all(-len(hidden) <= i < len(hidden) for i in self.layers):
            raise ConfigError(
                f"layers {list(self.layers)}: {self.name} has hidden states 0 to {len(hidden) - 1}."
            )
        self._require_one_state_a_token(hidden, inputs["input_ids"].shape[1])
        # The scorer recognises padding by exact zeros, which also remove NaN.
        attended = self.attention(inputs).bool().unsqueeze(-1)
        return tuple(torch.where(attended, hidden[i], torch.zeros_like(hidden[i])) for i in self.layers)

    def _require_one_state_a_token(self, hidden: Sequence[Tensor], length: int) -> None:
        known = [(i, state) for i, state in enumerate(hidden) if state is not None]  # others were not kept
        fitting = [i for i, state in known if state.ndim == 3 and state.shape[1] == length]
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
        """Return one text of two ordinary tokens."""
        return self.to_device({"input_ids": self.vocabulary.ordinary_ids()[-1:].repeat(1, 2)})

    # -- fills ----------------------------------------------------------------------

    def set_reference(self, inputs: Inputs) -> None:
        """Keep nothing. Texts differ in length, so another text's words do not fit this one.

        Fills draw from the vocabulary. Reference-based baseline methods make their own references.
        """

    def fill_values(
        self, inputs: Inputs, fill: str, seeds: Sequence[int], features: Features | None = None
    ) -> dict[str, Tensor]:
        features = self.features(inputs) if features is None else features
        context = FillContext(seeds, reference=self.reference.get("text"), tokens=self.token_context(inputs))
        with torch.no_grad():
            return {"text": fill_values(fill, features["text"], TEXT, context)}

    def token_context(self, inputs: Inputs) -> TokenContext:
        """Return the data that text fills may read: vocabulary, special tokens and the feature mask."""
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
    """Return the names of the model's arguments, or ``None`` if it passes them on to an unknown module."""
    try:
        return taken_arguments(model)
    except UnsupportedTargetError:
        if arguments_of(model, IDS) is None:
            return None
        raise
