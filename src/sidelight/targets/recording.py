"""What transformers notes about a model when it is made, and a copy in another process lacks."""

from __future__ import annotations

from typing import Any

from torch import nn


def note_recordable(model: nn.Module) -> None:
    """Tell transformers which outputs it can record of ``model``, e.g. its hidden states.

    It notes that in ``__init__``, which does not run if a model is unpickled. In a process that never made such a model, the
    model would then give no hidden states.
    """
    parts = [(m, wanted) for m in model.modules() if (wanted := getattr(m, "_can_record_outputs", None))]
    if not parts:
        return
    from transformers import modeling_utils

    known: Any = getattr(modeling_utils, "_CAN_RECORD_REGISTRY", None)
    for module, wanted in parts if known is not None else ():
        # earlier versions keep a plain dictionary by the name of the class
        known[str(module.__class__) if type(known) is dict else module] = wanted


def takes_numbers(model: nn.Module) -> bool:
    """Whether ``output_hidden_states`` of ``model`` may be the numbers of the states to keep, instead of all of them.

    Newer versions of transformers take them, for models whose states its hooks record.
    """
    if not any("hidden_states" in (getattr(m, "_can_record_outputs", None) or ()) for m in model.modules()):
        return False
    try:
        from transformers.utils import output_capturing
    except ImportError:
        return False
    return hasattr(output_capturing, "resolve_hidden_states_indices")
