"""Checks of a text model: the arguments of its forward, and whether it is a classifier."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from torch import nn

from sidelight.errors import UnsupportedTargetError

#: tasks of transformers' models that make no decision on a whole text, by the names of its tables
OTHER_TASKS = {
    "QUESTION_ANSWERING": "finds an answer in a text",
    "TOKEN_CLASSIFICATION": "decides token by token",
    "MULTIPLE_CHOICE": "chooses among several texts",
    "MASKED_LM": "predicts masked words",
    "CAUSAL_LM": "predicts the next word",
    "SEQ_TO_SEQ_CAUSAL_LM": "writes another text",
}
#: names of a text model's arguments
IDS, MASK, STATES = "input_ids", "attention_mask", "output_hidden_states"
#: arguments that say how a pass is made, and that every pass has
ALWAYS = ("return_dict", "use_cache")


def taken_arguments(model: nn.Module) -> set[str]:
    """Return the names of the arguments that ``model`` takes, also if its forward passes ``**kwargs`` on.

    If a forward has no ``input_ids`` but passes its arguments to its parent class or to an inner model, the
    names of that forward count.

    Raises:
        UnsupportedTargetError: none of these forwards takes token ids.
    """
    names: set[str] = set()
    for forward in _forwards(model):
        parameters = inspect.signature(forward).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if IDS in names:
            return names
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    raise UnsupportedTargetError(
        f"the forward of {type(model).__name__} takes {_listed(names - {'self'})}, and no {IDS!r}. A text classifier is "
        f"called as model(input_ids=..., attention_mask=...): name its arguments so, or give the Hugging Face model "
        "inside (AutoModelForSequenceClassification)."
    )


def needed_arguments(model: nn.Module) -> list[str]:
    """Return the names of the arguments without which ``model.forward`` cannot be called, except those that we always give."""
    parameters = inspect.signature(model.forward).parameters.values()
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return [p.name for p in named if p.default is p.empty and p.name not in (IDS, MASK, *ALWAYS)]


def _forwards(model: nn.Module) -> Iterator[Any]:
    yield model.forward
    for kind in type(model).__mro__[1:]:
        if kind is nn.Module:
            break
        if "forward" in vars(kind):
            yield vars(kind)["forward"]
    for inside in list(model.modules())[1:]:
        if getattr(inside, "main_input_name", None) == IDS:
            yield inside.forward
            return


def _listed(names: set[str]) -> str:
    return ", ".join(map(repr, sorted(names))) or "nothing that has a name"


def require_states(model: nn.Module, taken: set[str]) -> None:
    """Raise :class:`UnsupportedTargetError` if ``model`` cannot return its hidden states."""
    forwarded = inspect.signature(model.forward).parameters.values()
    if STATES in taken or any(p.kind is p.VAR_KEYWORD for p in forwarded):
        return
    raise UnsupportedTargetError(
        f"the forward of {type(model).__name__} takes no {STATES!r}, so there are no hidden states for a scorer to read. "
        "Let it take **kwargs and hand them to the model inside, and return what that gives; or give the Hugging Face "
        "model inside (AutoModelForSequenceClassification)."
    )


def require_classifier(model: nn.Module) -> None:
    """Raise :class:`UnsupportedTargetError` if ``model`` is a transformers class for another task."""
    kind = type(model)
    if kind.__module__.split(".")[0] != "transformers":
        return  # the user's own class may make any decision
    task = next((about for name, about in OTHER_TASKS.items() if kind.__name__ in _kinds_for(name)), None)
    if task is not None and kind.__name__ not in _kinds_for("SEQUENCE_CLASSIFICATION"):
        raise UnsupportedTargetError(
            f"{kind.__name__} {task}; sidelight explains classifiers of whole texts. Load yours with "
            "AutoModelForSequenceClassification.from_pretrained(...)."
        )


def reads_colours(model: nn.Module) -> bool:
    """Whether ``model``, which reads ids, is a transformers class for pictures (ImageGPT): its ids are of colours."""
    return type(model).__name__ in _kinds_for("IMAGE_CLASSIFICATION")


def _kinds_for(task: str) -> set[str]:
    from transformers.models.auto import modeling_auto

    found: set[str] = set()
    for names in getattr(modeling_auto, f"MODEL_FOR_{task}_MAPPING_NAMES", {}).values():
        found |= {names} if isinstance(names, str) else set(names)
    return found
