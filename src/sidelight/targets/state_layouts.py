"""The layouts of one model's states: given, found once, or assumed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from sidelight.errors import ConfigError, UnsupportedTargetError
from sidelight.targets.layouts import LAYOUTS, check_layout, lay_out, tensor_of
from sidelight.targets.probing import States, configured_channels, find_layouts


class StateLayouts:
    """The layouts of one model's states: given, found once, or assumed.

    Args:
        given: one layout for all states, one for each (``None`` if a state is no map), or ``None``.
        assumed: if no layout is given, assume ``BCHW`` for maps and ``BNC`` for tokens without a search.

    Raises:
        ConfigError: a layout is unknown.
    """

    def __init__(self, given: str | Sequence[str | None] | None, assumed: bool = False) -> None:
        each = [given] if isinstance(given, str) else given
        if each is not None and not all(layout is None or isinstance(layout, str) for layout in each):
            raise ConfigError(f"layouts must be texts such as {LAYOUTS[0]!r}; got {given!r}.")
        self._each = None if each is None else [e and check_layout(e) for e in each]
        self._same = self._each[0] if self._each is not None and isinstance(given, str) else None
        self._assumed = assumed

    @property
    def known(self) -> bool:
        """Whether no search is needed."""
        return self._assumed or self._each is not None

    def settle(
        self, states_of: States, pixels: Tensor, patch_size: Any, config: Any, names: Sequence[str] = ()
    ) -> None:
        """Find the layouts and keep them.

        Args:
            states_of, pixels, patch_size: see :func:`find_layouts`.
            config: of the model, or ``None``.
            names: of the layers that give the states. If the caller named them, each must give a map.

        Raises:
            UnsupportedTargetError: a named layer gives no map of the picture, or no state is a map.
        """
        found = find_layouts(states_of, pixels, patch_size, configured_channels(config))
        lost = [i for i, layout in enumerate(found) if layout is None]
        if lost and (names or not any(found)):
            what = f"layer {names[lost[0]]!r}" if names and lost else "any hidden state"
            raise UnsupportedTargetError(
                f"it cannot be told which axes of {what} are height and width: a block that was moved over a picture moved "
                "nothing there. Name layers that give maps of the picture, layers=[...], or say how they lie, "
                f"layouts=... (one of {', '.join(LAYOUTS)})."
            )
        self._each = found

    def of(self, index: int) -> str | None:
        """Return the layout of state ``index``, ``None`` if it is no map, or ``""`` if the layout is assumed."""
        if self._same is not None:
            return self._same
        return "" if self._each is None or index >= len(self._each) else self._each[index]

    def of_tokens(self) -> str:
        """Return the order of the tokens, if states are tokens."""
        return next((e for e in self._each or () if e is not None and e.startswith("BN")), "BNC")

    def map(self, state: Any, index: int, image_size: tuple[int, int], patch_size: Any) -> Tensor | None:
        """Return ``state``, which has number ``index``, as ``[B, C, h, w]``, or ``None`` if it is no map.

        Raises:
            UnsupportedTargetError: tokens fit no grid.
        """
        value, layout = tensor_of(state), self.of(index)
        return None if value is None or layout is None else lay_out(value, layout, image_size, patch_size)

    def to_option(self) -> str | list[str | None] | None:
        """Return the option that gives the same layouts again, or ``None`` if they are unknown or assumed."""
        if self._each is None:
            return None
        return self._each[0] if len(set(self._each)) == 1 else list(self._each)
