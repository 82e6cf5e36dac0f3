"""Which hidden states the passes of a model keep. All of them together need far more memory than those that are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import nn

from sidelight.targets.outputs import hidden_states
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
        asked = self.asked()
        out = call(asked)
        return out if self.given(asked, hidden_states(out)) else call(True)

    def asked(self) -> Any:
        """The value of ``output_hidden_states`` for the next pass: ``True``, or the numbers to keep."""
        return (None if torch.compiler.is_compiling() else self._numbers) or True

    def given(self, asked: Any, hidden: Sequence[Any] | None) -> bool:
        """Whether a pass gave the states that it was asked for. If not, the next passes keep all of them."""
        if asked is True or all(i < len(hidden or ()) and hidden[i] is not None for i in asked):  # type: ignore[index]
            return True
        self._numbers = []  # the configuration counts other layers than the model has
        return False

    def keep(self, numbers: Iterable[int] | None) -> None:
        """From now on keep the states of these ``numbers``, counted from 0, if they are known. The first call counts."""
        if numbers is not None and self._numbers is None and not torch.compiler.is_compiling():
            self._numbers = sorted(set(numbers)) if takes_numbers(self._model) else []
