"""An explainer as an attribution method of Captum. Importing this module imports Captum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

from torch import Tensor

from sidelight.core.counted import counted
from sidelight.core.guard import public
from sidelight.core.optional import require
from sidelight.core.types import Inputs, Modality
from sidelight.errors import ConfigError, InputError, InputTypeError, UnsupportedTargetError
from sidelight.explainer import Explainer
from sidelight.faces.reading import Kind, read_batch, require_kind

require(["captum"], "SidelightAttribution")

from captum.attr import Attribution  # noqa: E402 - the message above comes first
from captum.log import log_usage  # noqa: E402

#: inputs of a model that reads texts, in the order in which they follow the inputs that are explained
TEXT_ARGUMENTS = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "special_tokens_mask")
#: the input that a modality is, or is looked up from
_INPUT_OF = {"image": "pixel_values", "text": "input_ids"}


class SidelightAttribution(Attribution):
    """A fitted explainer in Captum's place: alone, in ``NoiseTunnel``, ``infidelity`` and ``sensitivity_max``.

    Attributions have the shape of the inputs, as everywhere in Captum. Our value of a feature is shared out evenly over
    its channels, so their sum is our value: ``attributions.sum(1)`` of pixels ``[B, C, H, W]`` is the map, and
    ``attributions.sum(-1)`` of word embeddings ``[B, T, D]`` has one value a token. Ids ``[B, T]`` get values ``[B, T]``.
    Special tokens and padding get 0.

    The inputs are one tensor for each modality, in the order of ``explainer.target.modalities``:

    * image: ``pixel_values [B, C, H, W]``, normalised as the model takes them.
    * text: word embeddings ``[B, T, D]``. Noise and perturbations work on these. ``additional_forward_args`` then begin
      with ``input_ids``. Integers ``[B, T]`` are ids themselves, and the arguments begin after them.
    * both: a tuple of the two.

    :meth:`tensors` makes inputs and arguments from raw samples.

    Args:
        explainer: fitted or loaded.
        reading: ``"scores"`` in [0, 1], ``"ranking"`` from 0 up, or ``"effects"``, signed changes of the probability.
        arguments: names of the model's other inputs, in the order of ``additional_forward_args``. Default: none for
            images, :data:`TEXT_ARGUMENTS` for models that read texts.

    Attributes:
        forward_func: ``(*inputs, *additional_forward_args) -> [B, K]`` logits of the classifier, with gradients to the
            inputs. Captum's measures and methods take it.

    Raises:
        ConfigError: the scorer has no such reading.

    Example:
        >>> from captum.attr import NoiseTunnel
        >>> attribution = SidelightAttribution(explainer)
        >>> NoiseTunnel(attribution).attribute(pixels, nt_samples=8, stdevs=0.1, target=1).shape
        torch.Size([2, 3, 32, 32])
    """

    @public
    def __init__(
        self, explainer: Explainer, reading: Kind = "scores", arguments: Sequence[str] | None = None
    ) -> None:
        if not isinstance(explainer, Explainer):
            raise InputTypeError(f"expected a sidelight Explainer; got {type(explainer).__name__}.")
        self.explainer, self.reading = explainer, require_kind(reading, explainer)
        self.modalities: dict[str, Modality] = dict(explainer.target.modalities)
        default = TEXT_ARGUMENTS if "text" in self.modalities else ()
        self.arguments = tuple(default if arguments is None else arguments)
        super().__init__(self._logits)

    @overload
    def attribute(
        self, inputs: Tensor, target: Any = None, additional_forward_args: Any = None
    ) -> Tensor: ...

    @overload
    def attribute(
        self, inputs: tuple[Tensor, ...], target: Any = None, additional_forward_args: Any = None
    ) -> tuple[Tensor, ...]: ...

    @log_usage()
    @public
    def attribute(
        self,
        inputs: Tensor | tuple[Tensor, ...],
        target: Any = None,
        additional_forward_args: Any = None,
    ) -> Tensor | tuple[Tensor, ...]:
        """Attributions of the shapes of ``inputs``, without a graph.

        Args:
            inputs: one tensor a modality (see the class).
            target: class of each sample: an integer for all, or a list or tensor with one for each. Default: the
                predicted ones. Give it if inputs are perturbed, because a perturbed input may be of another class. A
                scorer of ``objective="thesis"`` knows the predicted class only.
            additional_forward_args: the model's other inputs, by their place in ``arguments``. ``None`` leaves one out.

        Raises:
            InputError: inputs are not what the model takes, or targets do not fit them.
            ConfigError: the scorer does not know a class.
        """
        given = inputs if isinstance(inputs, tuple) else (inputs,)
        known, features = self._named(given, additional_forward_args)
        place = self.explainer.target.to_device
        known, features = ({k: v.detach() for k, v in place(part).items()} for part in (known, features))
        values = read_batch(self.explainer, known, _class_of(target), self.reading, features or None)
        shared = tuple(
            _shared_out(values[name], like, modality)
            for (name, modality), like in zip(self.modalities.items(), given, strict=True)
        )
        return shared if isinstance(inputs, tuple) else shared[0]

    @public
    def tensors(self, samples: Any) -> tuple[Tensor | tuple[Tensor, ...], tuple[Any, ...] | None]:
        """Inputs and ``additional_forward_args`` of raw samples, as the model's own processor prepares them.

        Args:
            samples: a list of pictures, texts or pairs, or the model's own inputs.

        Returns:
            Pixels, word embeddings, or a tuple of both. Then the other inputs, ``None`` if there are none.

        Raises:
            InputError: a sample cannot be read, or the model has inputs that ``arguments`` does not name.
        """
        target = self.explainer.target
        inputs = target.to_device(target.reader.read(samples, labelled=False).inputs)
        target.check(inputs)
        unknown = sorted(set(inputs) - {"pixel_values"} - set(self.arguments))
        if unknown:
            raise InputError(
                f"the model also takes {', '.join(unknown)}; name all its other inputs in order: "
                f"SidelightAttribution(explainer, arguments={[*self.arguments, *unknown]})."
            )
        features = tuple(target.features(inputs)[name] for name in self.modalities)
        others = tuple(inputs.get(name) for name in self.arguments)
        return features if len(features) > 1 else features[0], others or None

    def _logits(self, *tensors: Any) -> Tensor:
        count = len(self.modalities)
        inputs, features = self._named(tensors[:count], tensors[count:])
        target = self.explainer.target
        inputs, features = target.to_device(inputs), target.to_device(features)
        return target.forward(inputs, {**target.features(inputs), **features})

    def _named(self, given: Sequence[Any], others: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The model's inputs, and the features that stand in for its own."""
        if len(given) != len(self.modalities):
            raise InputError(
                f"the model reads {' and '.join(self.modalities)}, so it takes {len(self.modalities)} input tensor(s); "
                f"got {len(given)}."
            )
        inputs: dict[str, Tensor] = {}
        features: dict[str, Tensor] = {}
        for name, tensor in zip(self.modalities, given, strict=True):
            if not isinstance(tensor, Tensor):
                raise InputTypeError(f"inputs must be tensors; got {type(tensor).__name__} for the {name}.")
            if name == "text" and tensor.is_floating_point():
                features[name] = tensor
            else:
                inputs[_INPUT_OF.get(name, name)] = tensor
        inputs |= self._others(others, [name for name in self.arguments if name not in inputs])
        self._require_known(inputs)
        if features:
            rest = self.modalities.keys() - features.keys()
            features |= {name: inputs[_INPUT_OF.get(name, name)] for name in rest}
            self._require_ids(inputs, features["text"])
        return inputs, features

    def _require_known(self, inputs: Inputs) -> None:
        """Raise if a family of the user's own calls its input otherwise than its modality."""
        own = [name for name in self.modalities if name not in _INPUT_OF]
        try:
            if own:
                self.explainer.target.features(inputs)
        except KeyError as error:
            raise UnsupportedTargetError(
                f"Captum gives its inputs by their place, and the input of {' and '.join(own)} is looked for as "
                f"{own[0]!r}; {type(self.explainer.target).__name__} reads {error} instead. Call the model's argument like the "
                "modality, or compare with Captum's methods by sidelight.lab.compare(explainer, sample, [...])."
            ) from error

    def _others(self, others: Any, names: Sequence[str]) -> dict[str, Tensor]:
        several = isinstance(others, (tuple, list))
        values = tuple(others or ()) if several or others is None else (others,)
        if len(values) > len(names):
            raise InputError(
                f"additional_forward_args holds {counted(len(values), 'value')}; expected at most {len(names)}: {', '.join(names)}."
            )
        named = {k: v for k, v in zip(names, values, strict=False) if v is not None}
        wrong = next((k for k, v in named.items() if not isinstance(v, Tensor)), None)
        if wrong is not None:
            raise InputTypeError(
                f"additional_forward_args are tensors or None, here for {', '.join(names)}; {wrong} is "
                f"{type(named[wrong]).__name__}."
            )
        return named

    def _require_ids(self, inputs: Inputs, embedded: Tensor) -> None:
        ids = inputs.get("input_ids")
        if ids is None or ids.shape != embedded.shape[:2]:
            found = "none" if ids is None else str(tuple(ids.shape))
            raise InputError(
                f"word embeddings {tuple(embedded.shape)} need their input_ids {tuple(embedded.shape[:2])} as the first of "
                f"additional_forward_args; got {found}. tensors(samples) makes both."
            )


def _class_of(target: Any) -> Any:
    """``target`` as Captum means it: a tensor or tuple of one class is for all samples."""
    if isinstance(target, Tensor) and target.numel() == 1:
        return target.item()
    if isinstance(target, tuple):
        if len(target) != 1:
            raise ConfigError(
                f"target={target} has several indices, but a classifier has one axis of classes; give an integer, or a "
                "list with one class a sample."
            )
        return target[0]
    if isinstance(target, list):
        return [_class_of(one) if isinstance(one, tuple) else one for one in target]
    return target


def _shared_out(values: Tensor, like: Tensor, modality: Modality) -> Tensor:
    """``values`` of features with the shape of ``like``: each channel has an equal part."""
    if not like.is_floating_point():
        return values.to(like.device)
    channels = like.shape[modality.channel_dim]
    parts = modality.expand(values) / channels
    # Captum views attributions as rows, so they lie in memory as they look
    return parts.expand(like.shape).to(like.device, like.dtype).contiguous()
