"""The search for feature maps in a network's outputs: grids, extra tokens and the choice of states."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.core.module_names import named_parts
from sidelight.core.registry import nearest
from sidelight.errors import UnsupportedTargetError

#: maximum number of class, distillation and register tokens together
MAX_EXTRA_TOKENS = 17


def tokens_to_grid(tokens: Tensor, image_size: tuple[int, int], patch_size: Any = None) -> Tensor:
    """Drop leading extra tokens, and lay patch tokens ``[B, L, D]`` out as ``[B, D, h, w]``."""
    h, w = token_grid(tokens.shape[1], image_size, patch_size)
    patches = tokens[:, tokens.shape[1] - h * w :]
    return patches.transpose(1, 2).reshape(len(tokens), -1, h, w)


def token_grid(length: int, image_size: tuple[int, int], patch_size: Any = None) -> tuple[int, int]:
    """Return rows and columns of the patch grid of ``length`` tokens with extra tokens in front.

    If the patch size is known, the image size gives the grid. Otherwise the grid has the image's aspect ratio
    and leaves the fewest extra tokens.
    """
    height, width = image_size
    if patch_size is not None:
        ph, pw = (patch_size, patch_size) if isinstance(patch_size, int) else patch_size[-2:]
        grid = (height // ph, width // pw)
        if 0 <= length - grid[0] * grid[1] <= MAX_EXTRA_TOKENS:
            return grid
    for extra in range(MAX_EXTRA_TOKENS + 1):
        count = length - extra
        rows = round((count * height / width) ** 0.5) if count > 0 else 0
        if rows and count % rows == 0 and abs(rows * width - (count // rows) * height) < 1e-6:
            return rows, count // rows
    raise UnsupportedTargetError(
        f"{length} tokens fit no patch grid of a {height}×{width} image; name layers that give "
        "[B, C, h, w] feature maps."
    )


def select_states(maps: Sequence[Tensor], limit: int) -> tuple[int, ...]:
    """Return the indices of the states to read, shallow to deep.

    A pyramid gives the last state of each resolution: the ``limit`` deepest, and the finest for its detail. An
    isotropic network gives ``limit`` evenly spaced layers, with the first and the last. The choice contains
    1×1 maps only if the network gives nothing else.
    """
    usable = [i for i, m in enumerate(maps) if m.shape[-1] * m.shape[-2] > 1] or list(range(len(maps)))
    last_of_size = {tuple(maps[i].shape[-2:]): i for i in usable}
    if len(last_of_size) > 1:
        pyramid = sorted(last_of_size.values())
        return tuple(dict.fromkeys([pyramid[0], *pyramid[-limit:]]))
    count = min(limit, len(usable))
    if count == 1:
        return (usable[-1],)
    picks = [usable[round(k * (len(usable) - 1) / (count - 1))] for k in range(count)]
    return tuple(dict.fromkeys(picks))


class ChosenStates:
    """The states that a scorer reads. The first pass chooses them and finds where they are.

    Args:
        states: numbers of the states to read, among the maps of a pass from shallow to deep. The output of the first
            convolution is the first map if it is finer than every state. By default :func:`select_states` chooses.
        limit: of :func:`select_states`.
        name: of the model, for errors.
        layers: names of the model's own states, if the user named them.
    """

    def __init__(
        self, states: Sequence[int] | None, limit: int, name: str, layers: Sequence[str] = ()
    ) -> None:
        self.chosen: tuple[int, ...] | None = tuple(states) if states else None
        self._limit, self._name, self._layers = limit, name, tuple(layers)
        #: the number of each chosen state among the model's own states, ``None`` for the first convolution
        self.places: tuple[int | None, ...] | None = None

    def read(
        self, raw: Sequence[Any], stem: Sequence[Any], lay_out: Callable[[Any, int], Tensor | None]
    ) -> tuple[Tensor, ...]:
        """Return the chosen states, ``[B, C, h, w]`` each, shallow to deep. After the first pass ``raw`` may lack others.

        Args:
            raw: the model's own states.
            stem: the output of the first convolution, or nothing.
            lay_out: gives a state of that number as ``[B, C, h, w]``, or ``None`` if it is no map.

        Raises:
            UnsupportedTargetError: no state is a map, there are fewer than ``states`` asks for, or a named layer did not run.
        """
        if self.places is None:
            self._require_outputs(raw)
            self.places = self._find(raw, stem, lay_out)
        found = []
        for place in self.places:
            state = stem[0] if place is None else lay_out(raw[place], place)
            if state is None:
                self._require_outputs(raw)
                raise UnsupportedTargetError(
                    f"state {place} of {self._name} was a map in the first pass, and is none now."
                )
            found.append(state)
        return tuple(found)

    def _require_outputs(self, raw: Sequence[Any]) -> None:
        """Raise :class:`UnsupportedTargetError` if a named layer gave no output, unless a saved scorer chose the states."""
        idle = [name for name, state in zip(self._layers, raw, strict=False) if state is None]
        if idle and (self.chosen is None or self.places is not None):
            raise UnsupportedTargetError(
                f"layer {idle[0]!r} of {self._name} did not run in a pass, so it has no output to read. Name layers that "
                "run for every input."
            )

    def _find(
        self, raw: Sequence[Any], stem: Sequence[Any], lay_out: Callable[[Any, int], Tensor | None]
    ) -> tuple[int | None, ...]:
        maps, places = [], []
        for place, state in enumerate(raw):
            laid = lay_out(state, place)
            if laid is not None:
                maps.append(laid)
                places.append(place)
        if not maps:
            raise UnsupportedTargetError(
                "no state has the shape [B, C, h, w] or [B, L, D]; name other layers to read."
            )
        finer = finer_than(stem, maps)
        if self.chosen is None:
            self.chosen = select_states([*finer, *maps], self._limit)
        every = [*[None for _ in finer], *places]
        if max(self.chosen) >= len(every):
            raise UnsupportedTargetError(
                f"states {list(self.chosen)} were asked for, but {self._name} gave {len(every)}."
            )
        return tuple(every[i] for i in self.chosen)


class HookedStates:
    """Outputs of named submodules. Forward hooks read them and are removed, unless :meth:`stay` was called."""

    def __init__(self, model: nn.Module, layers: Sequence[str]) -> None:
        # a module that the model holds under two names counts under both
        modules = {**named_parts(model), **dict(model.named_modules(remove_duplicate=False))}
        missing = [name for name in layers if name not in modules]
        if missing:
            known = ", ".join([name for name in modules if name][:8])
            has = (
                f"The model has {known}, ... (see model.named_modules())." if known else "The model has none."
            )
            raise UnsupportedTargetError(
                f"no submodule named {missing[0]!r}.{nearest(missing[0], modules)} {has}"
            )
        self._modules = [modules[name] for name in layers]
        scripted = next((n for n in layers if isinstance(modules[n], torch.jit.ScriptModule)), None)
        if scripted is not None:
            raise UnsupportedTargetError(
                f"layer {scripted!r} is a TorchScript module, whose output cannot be read. Name others, or give the "
                "model with the plain module in its place."
            )
        self._stays = False
        #: outputs of the passes that go on now, by their thread
        self._outputs: dict[int, list[Any]] = {}

    def stay(self) -> None:
        """Leave the hooks on the modules. A pass that is traced or compiled finds them, and cannot add any."""
        if not self._stays:
            self._stays = True
            self._register()

    @contextmanager
    def capture(self) -> Iterator[list[Any]]:
        """Collect the outputs of this thread's pass in the order of the named layers."""
        handles = [] if self._stays else self._register()
        mine = _this_pass()
        outputs: list[Any] = [None] * len(self._modules)
        self._outputs[mine] = outputs
        try:
            yield outputs
        finally:
            self._outputs.pop(mine, None)
            for handle in handles:
                handle.remove()

    def _register(self) -> list[Any]:
        return [m.register_forward_hook(self._hook(i)) for i, m in enumerate(self._modules)]

    def _hook(self, index: int) -> Any:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            # another thread may call the model directly, and its outputs must not count
            outputs = self._outputs.get(_this_pass())
            if outputs is not None:
                outputs[index] = output

        return keep


def _this_pass() -> int:
    """Number of this thread. Compiled code has none, and its outputs never leave the pass."""
    return 0 if torch.compiler.is_compiling() else threading.get_ident()


def first_convolution(model: nn.Module) -> HookedStates | None:
    """Return hooks on the stem, the first ``Conv2d`` of a model, or ``None`` if it has none."""
    name = next((n for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and n), None)
    return HookedStates(model, [name]) if name else None


def finer_than(stem: Sequence[Any], maps: Sequence[Tensor]) -> list[Tensor]:
    """Return the stem's output if it is a map with more cells than every state, else an empty list."""
    most = max(m.shape[-2] * m.shape[-1] for m in maps)
    return [s for s in stem if isinstance(s, Tensor) and s.ndim == 4 and s.shape[-2] * s.shape[-1] > most]
