"""Which hidden states the passes of a model keep. All of them together need far more memory than those that are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from sidelight.targets.recording import takes_numbers


class KeptStates:
    """The hidden states that passes of a model keep: all of them at first, and then only those that are read.

    Models whose states transformers does not record itself keep all of them always. So does a pass that is traced.

    Args:
        model: of transformers.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        #: Numbers of the states to keep. ``None`` before they are known, and empty if the model keeps all.
        self._numbers: list[int] | None = None

    def run(self, call: Callable[[Any], Any]) -> Any:
        """The output of a pass. States that are not kept are ``None`` in its ``hidden_states``.

        Args:
            call: runs the model with this value of ``output_hidden_states``.
        """
        asked = None if torch.compiler.is_compiling() else self._numbers
        out = call(asked or True)
        hidden = getattr(out, "hidden_states", None) or ()
        if asked and not all(i < len(hidden) and hidden[i] is not None for i in asked):
            self._numbers = []  # the configuration counts other layers than the model has
            return call(True)
        return out

    def keep(self, numbers: Iterable[int]) -> None:
        """From now on keep the states of these ``numbers``, counted from 0. The first call counts."""
        if self._numbers is None and not torch.compiler.is_compiling():
            self._numbers = sorted(set(numbers)) if takes_numbers(self._model) else []
