"""The protocol of every target, the frozen model.

A target has three main methods. :meth:`encode` returns the logits and states of a clean pass.
:meth:`classify` returns the logits of the masked input. :meth:`features` returns the
differentiable tensors that scores multiply. Scorers, baseline methods and metrics use only these.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sidelight.core.finite import require_finite_logits
from sidelight.core.types import Encoding, Features, Inputs, Modality, Scores, StateSpec, TargetSpec, Unmasked
from sidelight.errors import InputError, UnsupportedTargetError
from sidelight.fills.base import FillContext, apply_mask, fill_values, pair_fills, training_fills
from sidelight.inputs.base import Reader
from sidelight.targets.attention import AttentionPass
from sidelight.targets.copying import computed_values
from sidelight.targets.lending import lent, one_pass, training_pass
from sidelight.targets.recording import note_recordable
from sidelight.targets.verdict import Verdict
from sidelight.targets.weights import fingerprint, shapes_hash
from sidelight.targets.wrappers import precision_of, uncompiled


class TargetModel(ABC):
    """A borrowed classifier. It is frozen and in eval mode during use, and its flags are restored afterwards.

    Args:
        model: the classifier. Its parameters and buffers never change.

    Example:
        >>> target, inputs = explainer.target, {"pixel_values": pixels}
        >>> masked = target.classify(inputs, {"image": torch.ones(2, 1, 32, 32)}, fill="noise")  # a score of 1 keeps a pixel
        >>> torch.equal(masked, target.encode(inputs).logits)
        True
    """

    #: Name of the family in :data:`sidelight.targets.families.TARGETS`.
    family: str
    #: Modalities by name, in the order of reported scores.
    modalities: Mapping[str, Modality]
    #: Names of the classes in the order of the model's outputs, if the user gave them.
    class_names: tuple[str, ...] = ()
    #: Reads samples for the family, and keeps their processor.
    reader_type: ClassVar[type[Reader]]
    #: Whether inputs differ in length. If so, batches of similar lengths save work.
    varying_length: ClassVar[bool] = False
    #: Turns samples into the model's inputs.
    reader: Reader

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        #: how the model's output becomes logits
        self.verdict = Verdict(model)
        #: per modality, inputs of the same shape from which fills may draw
        self.reference: dict[str, Tensor] = {}
        self._found_at = self._folder()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        memo.update(computed_values(self.model))
        memo[id(self)] = found = type(self).__new__(type(self))
        found.__setstate__(copy.deepcopy(vars(self), memo))
        return found

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        note_recordable(self.model)  # this may be another process

    # -- methods that a family implements -------------------------------------------

    @abstractmethod
    def features(self, inputs: Inputs) -> Features:
        """Return the differentiable tensors that scores multiply: images ``[B, C, H, W]``, texts ``[B, T, D]``."""

    @abstractmethod
    def forward(self, inputs: Inputs, features: Features) -> Tensor:
        """Return logits ``[B, K]`` for ``features`` in place of the model's own. Gradients reach ``features``."""

    @abstractmethod
    def feature_mask(self, inputs: Inputs) -> Mapping[str, Tensor]:
        """Return a boolean tensor of the scores' shape for each modality. It is true at real features."""

    # -- methods that a family may add ----------------------------------------------

    def check(self, inputs: Inputs) -> None:
        """Raise :class:`InputError` if the model does not take ``inputs``. The default checks nothing."""
        return

    def attention_pass(self, inputs: Inputs) -> AttentionPass:
        """Run a pass that keeps attention weights, for methods that read them.

        Raises:
            UnsupportedTargetError: the model gives no attention weights.
        """
        raise UnsupportedTargetError(
            f"{type(self).__name__} gives no attention weights. "
            "Leave 'attention_rollout' out of the rivals of this target."
        )

    def trial_inputs(self) -> Inputs | None:
        """Return small inputs for a trial of the model, or ``None`` if its input size is unknown."""
        return None

    def exchange(self, inputs: Inputs, others: Inputs, modalities: Sequence[str]) -> Inputs:
        """Return ``inputs`` with the named ``modalities`` replaced by those of ``others``, sample by sample.

        Raises:
            InputError: this target has one modality.
        """
        raise InputError(f"{type(self).__name__} has one modality; there is nothing to exchange.")

    def seeing(self, inputs: Inputs, features: Features) -> AbstractContextManager[Inputs]:
        """Open a context that gives inputs. One pass of them sees ``features`` in place of the model's own.

        Libraries that perturb an input need this, e.g. to add noise to word embeddings.

        Args:
            inputs: ``B`` samples.
            features: one tensor for each modality, of the shapes of :meth:`features`.

        Raises:
            UnsupportedTargetError: this family has no such pass.
        """
        raise UnsupportedTargetError(f"{type(self).__name__} takes no features in place of its own.")

    def set_reference(self, inputs: Inputs) -> None:
        """Keep ``inputs`` so that fills and reference-based methods can draw from them."""
        self.reference = {k: v.detach() for k, v in self.features(inputs).items()}

    @classmethod
    def load_model(cls, name: str, revision: str | None = None, classes: Sequence[str] = ()) -> nn.Module:
        """Load a classifier of this family from a folder or hub id.

        Args:
            revision: of the hub repository.
            classes: if given, the model gets a head for them, which is new unless its own fits.

        Raises:
            UnsupportedTargetError: this kind of target wraps loaded models only.
        """
        raise UnsupportedTargetError(f"{cls.__name__} loads no models: give it one.")

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments that rebuild this target around the same model."""
        return {}

    def all_options(self) -> dict[str, Any]:
        """Return :meth:`options` and the shared options, as :func:`sidelight.targets.as_target` takes them."""
        shared = {"class_names": list(self.class_names)} if self.class_names else {}
        return {**self.options(), **shared}

    def weights_record(self, fingerprint: str | None = None) -> dict[str, Any]:
        """Return what :meth:`identity` says of the weights. It reuses a given hash."""
        return {
            "fingerprint": fingerprint or self.fingerprint(),
            "shapes": shapes_hash(self.model),
            "precision": precision_of(self.model),
        }

    def identity(self, weights: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the target's record for a scorer: id, revision, weights (default: :meth:`weights_record`), processor."""
        config = getattr(self.model, "config", None)
        return {
            "family": self.family,
            "name": self.name,
            **self._place(),
            "revision": getattr(config, "_commit_hash", None),
            **(self.weights_record() if weights is None else weights),
            "processor": self.reader.state(),
            "options": {**self.all_options(), **self.verdict.settled()},
        }

    def _place(self) -> dict[str, Any]:
        """Return the model's folder or hub id. A folder's path is absolute, so any working directory finds it."""
        given, folder = self._folder()
        # a relative path counts from the working directory in which this target was made
        folder = self._found_at[1] or folder if given == self._found_at[0] else folder
        return {"place": folder or given or None, "local": folder is not None}

    def _folder(self) -> tuple[str, str | None]:
        """Return the model's name, and its absolute path if it is that of a folder."""
        given = str(getattr(getattr(self.model, "config", None), "name_or_path", "") or "")
        return given, str(Path(given).absolute()) if given and Path(given).is_dir() else None

    def forward_trainable(self, inputs: Inputs) -> Tensor:
        """Return logits with gradients to the model's parameters, to train the classifier itself."""
        return self.verdict.read(self.model(**inputs), len(next(iter(inputs.values()))))

    def frozen_encodings(self, inputs: Inputs) -> dict[str, Tensor]:
        """Return what parts of the model that training leaves alone make of ``inputs``, by name.

        :meth:`forward_trainable` takes these among its inputs, and does not compute them again.
        """
        return {}

    # -- methods that every family shares -------------------------------------------

    def encode(self, inputs: Inputs) -> Encoding:
        """Run one clean pass without a graph. Return logits, states and feature masks.

        Raises:
            InputTypeError: ``inputs`` are no mapping.
            NotFiniteError: the model's output holds NaN or infinity.
        """
        if not isinstance(inputs, Mapping):
            self.check(inputs)  # its error says what the model takes
        with self.one_pass(), torch.no_grad():
            encoding = self._encode(inputs)
        require_finite_logits(encoding.logits)
        return replace(encoding, independent=True) if self.independent else encoding

    def encode_bare(self, inputs: Inputs) -> Encoding:
        """Do the pass of :meth:`encode` without lock, freezing and check, so that it can be traced or compiled.

        Only for a target that nobody else uses (:mod:`sidelight.export.copies`). Sizes are read from ``shape`` in this
        pass, because ``len`` of a tensor would fix the batch size of a traced one.
        """
        encoding = self._encode(inputs)
        return replace(encoding, independent=True) if self.independent else encoding

    def _encode(self, inputs: Inputs) -> Encoding:
        """Do the pass of :meth:`encode`. This default gives no states, and some methods need none."""
        return Encoding(self.forward(inputs, self.features(inputs)), {}, self.feature_mask(inputs))

    def spec(self, inputs: Inputs) -> TargetSpec:
        """Return the shapes of the states that :meth:`encode` returns for ``inputs``."""
        first = {k: v[:1] for k, v in inputs.items()}
        encoding, features = self.encode(first), self.features(first)
        states = {m: tuple(map(_state_spec, found)) for m, found in encoding.states.items()}
        laid_out = [m for m, modality in self.modalities.items() if modality.keeps_channel_dim]
        sizes = {m: tuple(int(n) for n in features[m].shape[1:]) for m in laid_out}
        fusion = None if encoding.fusion is None else encoding.fusion.shape[1]
        return TargetSpec(states, sizes, fusion, encoding.logits.shape[-1])

    def fill_values(
        self, inputs: Inputs, fill: str, seeds: Sequence[int], features: Features | None = None
    ) -> dict[str, Tensor]:
        """Compute the values that replace removed features. They serve all masks of a sample.

        Args:
            fill: a name in :data:`sidelight.fills.base.FILLS`. For several modalities see
                :func:`sidelight.fills.base.pair_fills`.
            seeds: one integer per sample. The same seed gives the same values.
            features: :meth:`features` of ``inputs`` if computed already.
        """
        features = self.features(inputs) if features is None else features
        chosen = pair_fills(fill, self.modalities)
        with torch.no_grad():
            return {
                name: fill_values(chosen[name], features[name], modality, self.fill_context(name, seeds))
                for name, modality in self.modalities.items()
            }

    def fill_context(self, modality: str, seeds: Sequence[int]) -> FillContext:
        """Return the data that fills of ``modality`` may read. Families add more, such as the pixel range."""
        return FillContext(seeds=seeds, reference=self.reference.get(modality))

    def training_fills(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return ``names`` with several unlike fills of this target in place of ``varied``."""
        black = all(self.fill_context(m, [0]).lower is not None for m in self.modalities if m == "image")
        return training_fills(names, self.modalities, black)

    def words(self, inputs: Inputs) -> dict[str, Tensor]:
        """Per modality with words the number of the word that each token belongs to, ``[B, T]`` from 0 on."""
        return {}

    def unmasked(self, inputs: Inputs, encoding: Encoding | None = None) -> Unmasked:
        """Compute the features and masks that many calls of :meth:`classify` on ``inputs`` share.

        Args:
            encoding: their clean pass, if you have it.
        """
        features = {k: v.detach() for k, v in self.features(inputs).items()}
        if encoding is None:
            return Unmasked(features, self.feature_mask(inputs))
        return Unmasked(features, encoding.feature_mask, encoding.encoded)

    def classify(
        self,
        inputs: Inputs,
        scores: Scores,
        fill: str | Mapping[str, Tensor] = "zero",
        seeds: Sequence[int] | None = None,
        unmasked: Unmasked | None = None,
    ) -> Tensor:
        """Return logits ``[B, K]`` of ``x ⊗ S``. Gradients reach the scores and nothing else.

        Args:
            scores: one score in [0, 1] per feature. A modality without scores is not masked. A text's special
                tokens are never masked.
            fill: a fill's name, or values from :meth:`fill_values`. ``drop`` also removes tokens from attention
                if they score below 0.5.
            seeds: one integer per sample for a named random fill (default: 0, 1, ...).
            unmasked: from :meth:`unmasked`, for the same samples. By default this method computes it.

        Raises:
            InputError: the target lacks a modality of the scores, or the model cannot drop tokens.
            UnknownNameError: there is no fill of that name.
        """
        unknown = sorted(set(scores) - set(self.modalities))
        if unknown:
            raise InputError(f"scores of {', '.join(unknown)}; this target has {', '.join(self.modalities)}.")
        with self.one_pass():
            whole = self.unmasked(inputs) if unmasked is None else unmasked
            if isinstance(fill, str):
                size = len(next(iter(whole.features.values())))
                fill = self.fill_values(inputs, fill, seeds or range(size), whole.features)
            if not torch.is_grad_enabled():
                inputs, scores, fill, whole = self._trimmed(inputs, scores, fill, whole)
            inputs, masks = self._masks(inputs, scores, fill, whole)
            masked = {
                name: apply_mask(x, *masks[name], self.modalities[name]) if name in masks else x
                for name, x in whole.features.items()
            }
            encoded = {name: known for name, known in whole.encoded.items() if name not in scores}
            return self._forward_masked(inputs, masked, encoded)

    def _trimmed(
        self, inputs: Inputs, scores: Scores, fill: Mapping[str, Tensor], unmasked: Unmasked
    ) -> tuple[Inputs, Scores, Mapping[str, Tensor], Unmasked]:
        """The same without features that are padding in every sample. A family that has none changes nothing."""
        return inputs, scores, fill, unmasked

    def _masks(
        self, inputs: Inputs, scores: Scores, fill: Mapping[str, Tensor], unmasked: Unmasked
    ) -> tuple[Inputs, dict[str, tuple[Tensor, Tensor]]]:
        """Return the inputs for the masked pass, and the scores and fill values of each masked modality."""
        return inputs, {name: (values, fill[name]) for name, values in scores.items()}

    def _forward_masked(self, inputs: Inputs, features: Features, encoded: Mapping[str, Tensor]) -> Tensor:
        """Run :meth:`forward`. A family may reuse the ``encoded`` output of an unmasked modality."""
        return self.forward(inputs, features)

    def borrowed(self) -> AbstractContextManager[None]:
        """Freeze the model and put it in eval mode. The exit restores every flag, also after an error.

        Contexts may nest and may be open in several threads at once. The last exit restores the flags.
        """
        return lent(self.model)

    @contextmanager
    def one_pass(self) -> Iterator[None]:
        """Do the same as :meth:`borrowed`, and block passes of other threads through the model meanwhile."""
        with one_pass(self.model), uncompiled(self.model):
            yield

    @contextmanager
    def in_training(self) -> Iterator[None]:
        """Let passes neither freeze the model nor change its mode, so that :meth:`forward` and :meth:`classify`
        train it, also on masked inputs. They do not train word embeddings, which are inputs there.
        """
        with training_pass(self.model), uncompiled(self.model):
            yield

    @property
    def device(self) -> torch.device:
        """Device of the model's first parameter, or CPU if it has none."""
        return next((p.device for p in self.model.parameters()), torch.device("cpu"))

    @property
    def id2label(self) -> dict[int, str]:
        """Class names from the user, else from the model's config, else empty. Independent labels have opposites."""
        own = dict(enumerate(self.class_names)) if self.class_names else self.verdict.names
        return self.verdict.with_opposites(own)

    @property
    def independent(self) -> bool:
        """Whether the model decides each label by itself, so that several may be true at once."""
        return self.verdict.independent

    @property
    def name(self) -> str:
        """Hub id or folder of the model, else its class name."""
        return getattr(getattr(self.model, "config", None), "name_or_path", "") or type(self.model).__name__

    def to_device(self, inputs: Inputs) -> dict[str, Tensor]:
        """Move ``inputs`` to the model's device."""
        return {k: v.to(self.device) for k, v in inputs.items()}

    def fingerprint(self) -> str:
        """Hash every parameter and buffer. The hash identifies the weights of a scorer's training."""
        return fingerprint(self.model)


def _state_spec(state: Tensor) -> StateSpec:
    if state.ndim == 4:
        return StateSpec(state.shape[1], (state.shape[2], state.shape[3]))
    return StateSpec(state.shape[-1])
