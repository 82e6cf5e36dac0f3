"""The image family: any Hugging Face image classifier, or a plain module with named layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sidelight.core.types import IMAGE, Encoding, Features, Inputs, Modality, Scores
from sidelight.errors import SidelightError, UnsupportedTargetError
from sidelight.fills.base import FillContext
from sidelight.inputs.image import ImageReader
from sidelight.inputs.pixels import blamed
from sidelight.targets.attention import AttentionPass, attention_pass
from sidelight.targets.base import TargetModel
from sidelight.targets.image_checks import check_pixels
from sidelight.targets.image_models import check_takes_pixels, require_one_each
from sidelight.targets.kept_states import KeptStates
from sidelight.targets.layouts import lay_out, tensor_of
from sidelight.targets.loading import loaded
from sidelight.targets.outputs import named_outputs
from sidelight.targets.probing import States
from sidelight.targets.state_layouts import StateLayouts
from sidelight.targets.states import ChosenStates, HookedStates, first_convolution
from sidelight.targets.verdict import Verdict
from sidelight.targets.wrappers import held, pixel_type, plain_model


class ImageTarget(TargetModel):
    """A frozen image classifier.

    A Hugging Face model returns its hidden states. The target lays token sequences out on their patch grid
    without class, distillation and register tokens. It reads one state per resolution of a pyramid, or four
    evenly spaced layers of an isotropic transformer. It also reads the first convolution if that is finer than
    every hidden state (ResNet, MobileNetV2). A plain ``nn.Module`` needs ``layers`` instead.

    Args:
        model: takes ``pixel_values`` (Hugging Face) or one image tensor (plain module).
        processor: Hugging Face image processor or :class:`ImageTransform`. Raw images need it, and so do fills
            that use the value of black.
        layers: dotted names of submodules whose outputs are the states.
        max_states: maximum number of states, at least 1. Of a model with falling resolution these are the deepest, and the finest
            is added.
        states: indices of the states to read. By default the first pass chooses them. A saved scorer keeps
            them, so another input size does not change them.
        layouts: axes of the states, e.g. ``"BHWC"`` if channels come last. Give one for all states or one for each
            (:data:`sidelight.targets.layouts.LAYOUTS`). By default the first pass finds them. If only ``states``
            are given, maps count as ``"BCHW"`` and tokens as ``"BNC"``.
        output: meaning of the model's output: ``auto``, ``logits``, ``probabilities``, ``sigmoid``, ``labels``,
            ``label_probabilities`` or ``value`` (:mod:`sidelight.targets.verdict`).
        threshold: of one regression value: the value between "lower" and "higher". Default: the mean of the values of the
            first training rows.
        scale: the distance from ``threshold`` that counts as clear. Default: the standard deviation of those values.

    Raises:
        UnsupportedTargetError: ``model`` is no module, is no Hugging Face model and no layers are named, or a layer is not
            found. States that are missing are found out by the first pass, which raises this error, too.
        InputTypeError: ``processor`` is no image processor.
        ConfigError: a layout or a kind of output is unknown, or ``scale`` is not above 0.

    Example:
        >>> target = ImageTarget(model, processor)
        >>> encoding = target.encode({"pixel_values": pixels})  # two pictures, 3 channels of 32 by 32 pixels
        >>> encoding.logits.shape, encoding.feature_mask["image"].shape
        (torch.Size([2, 2]), torch.Size([2, 1, 32, 32]))
    """

    family = "image"
    reader_type: ClassVar[type[ImageReader]] = ImageReader
    modalities: Mapping[str, Modality] = MappingProxyType({"image": IMAGE})

    def __init__(
        self,
        model: nn.Module,
        processor: Any = None,
        layers: Sequence[str] = (),
        max_states: int = 4,
        states: Sequence[int] | None = None,
        layouts: str | Sequence[str | None] | None = None,
        output: str = "auto",
        threshold: float | None = None,
        scale: float | None = None,
    ) -> None:
        model = plain_model(model)
        super().__init__(model)
        self.verdict = Verdict(model, output, threshold, scale, loader="AutoModelForImageClassification")
        self._named = named_outputs(model)
        self.reader: ImageReader = self.reader_type(processor, self._config("num_channels"))
        self.layers = tuple(layers)
        self.max_states = max_states
        self._states = ChosenStates(states, max_states, type(model).__name__, self.layers)
        self.kept = KeptStates(model)
        self._layouts = StateLayouts(layouts, assumed=bool(states) and layouts is None)
        self._hooked = HookedStates(model, self.layers) if self.layers else None
        self._stem = None if self.layers else first_convolution(model)
        self._is_hf = hasattr(model, "config") and hasattr(model.config, "to_dict")
        if not self._is_hf and not self.layers:
            raise UnsupportedTargetError(
                f"{type(model).__name__} is not a Hugging Face model, so its hidden states cannot be asked for. "
                "Name the submodules to read, e.g. layers=['layer2', 'layer4'] "
                f"(top level here: {', '.join(n for n, _ in model.named_children()) or 'none'}).{held(model)}"
            )

    # -- inputs ---------------------------------------------------------------------

    def check(self, inputs: Inputs) -> None:
        check_pixels(inputs, self.model, self.reader.transform)

    @classmethod
    def load_model(cls, name: str, revision: str | None = None, classes: Sequence[str] = ()) -> nn.Module:
        from transformers import AutoModelForImageClassification

        return loaded(AutoModelForImageClassification, name, revision, classes)

    def options(self) -> dict[str, Any]:
        chosen = list(self._states.chosen) if self._states.chosen else None
        return {
            "layers": list(self.layers),
            "max_states": self.max_states,
            "states": chosen,
            "layouts": self._layouts.to_option(),
            **self.verdict.options(),
        }

    def _config(self, key: str) -> Any:
        return getattr(getattr(self.model, "config", None), key, None)

    # -- passes ---------------------------------------------------------------------

    def features(self, inputs: Inputs) -> Features:
        return {"image": inputs["pixel_values"]}

    def feature_mask(self, inputs: Inputs) -> Mapping[str, Tensor]:
        x = inputs["pixel_values"]
        return {"image": torch.ones(x.shape[0], 1, *x.shape[-2:], dtype=torch.bool, device=x.device)}

    def seeing(self, inputs: Inputs, features: Features) -> AbstractContextManager[Inputs]:
        return nullcontext({**inputs, "pixel_values": features["image"]})

    def forward(self, inputs: Inputs, features: Features) -> Tensor:
        with self.one_pass():
            pixels = features["image"].to(pixel_type(self.model))
            return self.verdict.read(self._run(pixels), pixels.shape[0])

    def _encode(self, inputs: Inputs) -> Encoding:
        pixels = inputs["pixel_values"]
        with self.stem() as stem:
            out, captured = self._pass(pixels, self.kept)
        logits = self.verdict.read(out, pixels.shape[0])  # first, because only a classifier's states matter
        copies = getattr(out, "reshaped_hidden_states", None)
        raw = captured or copies or getattr(out, "hidden_states", None)
        self.settle_layouts(self._states_of, pixels)
        states = self.read_states(raw, stem, pixels)
        if not (captured or copies):
            self.kept.keep(self.places())
        return Encoding(logits, {"image": states}, self.feature_mask(inputs))

    def stem(self) -> AbstractContextManager[list[Any]]:
        """Open a context that collects the outputs of the model's first convolution in a list."""
        return self._stem.capture() if self._stem is not None else nullcontext([])

    def stay_hooked(self) -> None:
        """Leave the hooks that read states on the model from now on (:meth:`HookedStates.stay`)."""
        for hooks in (self._hooked, self._stem):
            if hooks is not None:
                hooks.stay()

    def settle_layouts(self, states_of: States, pixels: Tensor) -> None:
        """Find the layouts of the states if they are unknown. Several passes move a block over a picture.

        Args:
            states_of: returns the states of pixels ``[N, C, H, W]``.
            pixels: ``[B, C, H, W]`` of the size that the model takes.
        """
        if not self._layouts.known:
            self._layouts.settle(
                states_of, pixels, self._config("patch_size"), self._configuration(), self.layers
            )

    def _states_of(self, pixels: Tensor) -> Sequence[Any]:
        out, captured = self._pass(pixels)
        return (
            captured
            or getattr(out, "reshaped_hidden_states", None)
            or getattr(out, "hidden_states", None)
            or ()
        )

    def _path_states_of(self, pixels: Tensor) -> Sequence[Any]:
        """Return the states of :meth:`_states_of` that lie on the path to the logits, not reshaped copies."""
        out, captured = self._pass(pixels)
        return captured or getattr(out, "hidden_states", None) or ()

    def _configuration(self) -> Any:
        return self._config("vision_config") or getattr(self.model, "config", None)

    def read_states(
        self, raw: Sequence[Any] | None, stem: Sequence[Any], pixels: Tensor
    ) -> tuple[Tensor, ...]:
        """Return the states to read, ``[B, C, h, w]`` each, shallow to deep. The first pass chooses them.

        Args:
            raw: hidden states of the model, maps or token sequences.
            stem: from :meth:`stem`.
            pixels: ``[B, C, H, W]`` input of the pass.

        Raises:
            UnsupportedTargetError: the states are missing, too few, or fit no grid.
        """
        if not raw:
            raise self._no_states()
        size, patch = (pixels.shape[-2], pixels.shape[-1]), self._config("patch_size")
        return self._states.read(raw, stem, lambda state, i: self._layouts.map(state, i, size, patch))

    def places(self) -> list[int]:
        """Numbers of the model's own states that are read. There are none before the first pass."""
        return [place for place in self._states.places or () if place is not None]

    def fused_map(self, fused: Tensor, pixels: Tensor) -> Tensor:
        """Lay ``fused`` out as ``[B, D, h, w]``. It is such a map, or tokens ``[B, L, D]`` in the states' order."""
        layout = self._layouts.of_tokens() if fused.ndim == 3 else ""
        return lay_out(fused, layout, (pixels.shape[-2], pixels.shape[-1]), self._config("patch_size"))

    def states_with_grad(self, inputs: Inputs) -> tuple[Tensor, list[Tensor], Callable[..., Tensor]]:
        """Run a pass that keeps its graph, for methods that need gradients of the states.

        Returns:
            Logits ``[B, K]``, the states on the path to them (shallow to deep, in the model's own shape), and a
            function. The function takes a tensor and the index of its state (default: the last). It lays the
            tensor out as ``[B, C, h, w]``.
        """
        pixels = inputs["pixel_values"].detach().requires_grad_()  # a frozen model has no other leaf
        image_size = (pixels.shape[-2], pixels.shape[-1])
        with self.one_pass(), torch.enable_grad():
            out, captured = self._pass(pixels)
        # reshaped states are copies outside the path, so no gradient reaches them
        raw = captured or getattr(out, "hidden_states", None)
        if not raw:
            raise self._no_states()
        patch = self._config("patch_size")
        layouts = self._path_layouts(getattr(out, "reshaped_hidden_states", None), pixels)
        found = [(tensor_of(state), layouts.of(i)) for i, state in enumerate(raw)]
        used = [(state, layout) for state, layout in found if state is not None and layout is not None]

        def place(t: Tensor, index: int = -1) -> Tensor:
            return lay_out(t, used[index][1], image_size, patch)

        return self.verdict.read(out, len(pixels)), [state for state, _ in used], place

    def _path_layouts(self, copies: Any, pixels: Tensor) -> StateLayouts:
        """Return the layouts of states on the path to the logits, found anew if the target reads ``copies``."""
        own = StateLayouts(None) if copies and not self.layers else self._layouts
        if not own.known:
            with self.one_pass(), torch.no_grad():
                own.settle(
                    self._path_states_of, pixels.detach(), self._config("patch_size"), self._configuration()
                )
        return own

    def attention_pass(self, inputs: Inputs) -> AttentionPass:
        if not self._is_hf:
            return super().attention_pass(inputs)
        pixels = inputs["pixel_values"].detach().requires_grad_()
        height, width = pixels.shape[-2:]

        def layout(values: Tensor) -> Scores:
            order = self._layouts.of_tokens()
            grid = lay_out(values.unsqueeze(-1), order, (height, width), self._config("patch_size"))
            return {"image": nn.functional.interpolate(grid, (height, width), mode="bilinear")}

        with self.one_pass():
            found = attention_pass(self.model, {"pixel_values": pixels, **self._named}, layout)
        return found.read_by(self.verdict)

    def trial_inputs(self) -> Inputs | None:
        """Return one black image of the size in the model's config."""
        config = self._config("vision_config") or getattr(self.model, "config", None)
        size, channels = getattr(config, "image_size", None), getattr(config, "num_channels", None)
        if size is None or channels is None:
            return None
        sides = (size, size) if isinstance(size, int) else tuple(size)
        return self.to_device({"pixel_values": torch.zeros(1, channels, *sides)})

    @property
    def is_huggingface(self) -> bool:
        """Whether the model has a Hugging Face config, and so takes ``pixel_values`` by name."""
        return self._is_hf

    def _pass(self, pixels: Tensor, kept: KeptStates | None = None) -> tuple[Any, Sequence[Any] | None]:
        """Return the output of a pass, and the outputs of named layers. It keeps all states, or those that ``kept`` says."""
        pixels = pixels.to(pixel_type(self.model))
        if self._hooked is not None:
            with self._hooked.capture() as captured:
                out = self._run(pixels)
            if all(state is None for state in captured):
                raise UnsupportedTargetError(
                    f"none of the layers {list(self.layers)} ran in a pass of {type(self.model).__name__}. Name layers "
                    "that its forward calls, and give the plain model where functions of it are compiled."
                )
            require_one_each(self.model, self.layers, captured, pixels.shape[0])
            return out, captured
        try:
            if kept is None:
                return self._run(pixels, output_hidden_states=True), None
            return kept.run(lambda asked: self._run(pixels, output_hidden_states=asked)), None
        except (TypeError, ValueError, RuntimeError) as error:
            check_takes_pixels(self.model, error)
            if isinstance(error, SidelightError) or not isinstance(error, TypeError):
                raise
            raise self._no_states() from error

    def _run(self, pixels: Tensor, **options: Any) -> Any:
        """Run the model. If it fails because of the pixels, raise an error that quotes the model's error."""
        try:
            return self._plain(pixels, **options)
        except TypeError as error:
            check_takes_pixels(self.model, error)  # only now, because parts of pair models never run here
            raise
        except Exception as error:
            good, name = self._fitting(pixels), type(self.model).__name__
            found = blamed(error, lambda p: self._plain(p, **options), pixels, good, name)
            if found is None:
                check_takes_pixels(self.model, error)
                raise
            raise found from error

    def _plain(self, pixels: Tensor, **options: Any) -> Any:
        own = pixels.clone()  # the model may change its input in place, which is the user's or a leaf
        if not self._is_hf:
            return self.model(own)
        # a config may request tuples without names, so the arguments request names
        return self.model(pixel_values=own, **options, **self._named)

    def _fitting(self, like: Tensor) -> Tensor | None:
        """Return pixels that the model surely takes, with type and device of ``like``, or ``None`` if unknown."""
        trial = self.trial_inputs()
        if trial is not None:
            return trial["pixel_values"].to(like)
        transform = self.reader.transform
        if transform is None or transform.size is None:
            return None
        return torch.zeros(1, transform.channels, *transform.size).to(like)

    def _no_states(self) -> UnsupportedTargetError:
        return UnsupportedTargetError(
            f"{type(self.model).__name__} gives no hidden states. Name the submodules to read, e.g. "
            "layers=['encoder.stages.1', 'encoder.stages.3'] (see model.named_modules())."
        )

    def fill_context(self, modality: str, seeds: Sequence[int]) -> FillContext:
        transform = self.reader.transform
        bounds = transform.bounds() if transform is not None else (None, None)
        return FillContext(seeds, bounds[0], bounds[1], self.reference.get(modality))
