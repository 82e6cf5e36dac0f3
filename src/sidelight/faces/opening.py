"""``sidelight.pipeline``: the pipeline of transformers that fits an explainer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sidelight.checks.selfcheck import Check
from sidelight.core.guard import public
from sidelight.core.registry import nearest
from sidelight.errors import ConfigError, InputTypeError, UnsupportedTargetError
from sidelight.explainer import Explainer
from sidelight.targets import TargetModel

if TYPE_CHECKING:
    from sidelight.faces.pipelines import Explained

#: tasks by the modalities that a classifier reads, and other names of them
TASKS = {
    ("image",): "image-classification",
    ("text",): "text-classification",
    ("image", "text"): "image-text-classification",
}
ALIASES = {"sentiment-analysis": "text-classification"}


@public
def pipeline(
    task: str | None = None,
    model: nn.Module | TargetModel | str | os.PathLike[str] | None = None,
    *,
    explainer: Explainer | None = None,
    scorer: str | os.PathLike[str] | None = None,
    processor: Any = None,
    tokenizer: Any = None,
    image_processor: Any = None,
    revision: str | None = None,
    dtype: Any = None,
    check: Check = "error",
    **options: Any,
) -> Explained:
    """A pipeline of transformers whose answers hold their explanation (:class:`~sidelight.faces.pipelines.Explained`).

    It is a ``transformers.Pipeline``: lists, data sets and generators, ``batch_size``, ``num_workers``, ``device`` and
    ``top_k`` work as there, with the same labels and scores. One difference: transformers drops the transparency of a
    picture and cuts 16 bits to 8, and here such a picture is read as a viewer shows it. It is not entered in transformers'
    registry, because the plain tasks must stay what they are, and a task of ours would have no scorer for most models.

    Args:
        task: ``"text-classification"``, ``"image-classification"`` or ``"image-text-classification"``. Default: what the
            classifier reads.
        model: the classifier, its folder or hub id, to go with ``scorer``. Default: the place that the scorer remembers.
        explainer: a fitted or loaded one, instead of ``scorer`` and ``model``.
        scorer: folder of ``save_pretrained``, or its hub id.
        processor: what prepares raw samples, a tokenizer or an image processor. Default: what the scorer remembers.
        tokenizer, image_processor: other names for ``processor``. Give one of the three.
        revision: branch, tag or commit of the hub repository ``scorer``.
        dtype: a type such as ``torch.bfloat16`` or its name, to which a classifier that is loaded here is cast after its
            weights were compared with those of the training.
        check: reaction if ``model`` is not the classifier of the scorer, as in ``Explainer.from_pretrained``.
        options: of the pipeline: ``device``, ``batch_size``, ``num_workers``, ``top_k``, ``function_to_apply``, and
            ``maps``, the number of answers, from the top, that have an explanation (default 1, ``None`` for all).

    Raises:
        ConfigError: there is no explainer and no scorer, or both; or the task or an option does not fit.
        UnsupportedTargetError: the classifier is no model of transformers.
        CheckpointError, TargetMismatchError: as ``Explainer.from_pretrained``.

    Example:
        >>> pipe = pipeline("text-classification", scorer="my-scorer", model=model)
        >>> sorted(pipe("what a wonderful day")[0])
        ['explanation', 'label', 'score', 'words']
    """
    given = {"processor": processor, "tokenizer": tokenizer, "image_processor": image_processor}
    if explainer is None:
        kind = _type_of(dtype, model)
        explainer = _opened(scorer, model, _one_processor(given), revision, check)
        explainer = explainer if kind is None else _cast(explainer, kind, check)
    else:
        _require_alone(explainer, {"model": model, "scorer": scorer, "dtype": dtype, **given})
    named = _task_of(task, explainer)
    _require_transformers(explainer)
    from sidelight.faces import pipelines

    kinds = {
        "image-classification": pipelines.ExplainedImages,
        "text-classification": pipelines.ExplainedTexts,
        "image-text-classification": pipelines.ExplainedPairs,
    }
    return kinds[named](explainer, task=named, **options)


def _opened(scorer: Any, model: Any, processor: Any, revision: str | None, check: Check) -> Explainer:
    if scorer is None:
        raise ConfigError(
            "a pipeline needs a scorer: give scorer='folder' (what save_pretrained wrote), or explainer=Explainer.fit(...)."
        )
    return Explainer.from_pretrained(scorer, model, processor=processor, revision=revision, check=check)


def _one_processor(given: dict[str, Any]) -> Any:
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) > 1:
        raise ConfigError(f"{', '.join(named)} are names of one argument; give one, e.g. processor=...")
    return next(iter(named.values()), None)


def _require_alone(explainer: Any, others: dict[str, Any]) -> None:
    if not isinstance(explainer, Explainer):
        raise InputTypeError(f"explainer must be a sidelight Explainer; got {type(explainer).__name__}.")
    named = [name for name, value in others.items() if value is not None]
    if named:
        raise ConfigError(
            f"an explainer brings its own model and processor; leave out {', '.join(named)}, or give scorer='folder' "
            "instead of the explainer."
        )


def _type_of(dtype: Any, model: Any) -> torch.dtype | None:
    """The type to cast to, or ``None`` for the one of the weights."""
    kind = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype in (None, "auto"):
        return None
    if not isinstance(kind, torch.dtype) or not kind.is_floating_point:
        raise ConfigError(f"dtype must be a floating-point type, e.g. torch.bfloat16; got {dtype!r:.60}.")
    if isinstance(model, (nn.Module, TargetModel)):
        raise ConfigError(
            f"dtype={dtype!r} would change the model given, which is yours. Cast it yourself and pass check='warn', or give "
            "its folder or hub id."
        )
    return kind


def _cast(explainer: Explainer, kind: torch.dtype, check: Check) -> Explainer:
    """The same scorer beside its classifier in another precision, whose weights are the ones to watch from now on."""
    explainer.target.model.to(kind)
    return Explainer(explainer.target, explainer.scorer, check)


def _task_of(task: str | None, explainer: Explainer) -> str:
    modalities = tuple(explainer.target.modalities)
    own = TASKS.get(modalities)
    if own is None:
        raise UnsupportedTargetError(f"there is no pipeline for classifiers of {' and '.join(modalities)}.")
    named = own if task is None else ALIASES.get(task, task)
    if named not in TASKS.values():
        known = list(TASKS.values())
        raise ConfigError(
            f"there is no pipeline for {task!r:.60}.{nearest(named, known)} Known: {', '.join(known)}."
        )
    if named != own:
        raise ConfigError(
            f"{task!r} does not fit this classifier, which reads {' and '.join(modalities)}: {own!r}."
        )
    return own


def _require_transformers(explainer: Explainer) -> None:
    from transformers import PreTrainedModel

    if not isinstance(explainer.target.model, PreTrainedModel):
        raise UnsupportedTargetError(
            f"a pipeline needs a model of transformers; {type(explainer.target.model).__name__} is a plain module. Call "
            "explainer.explain(...) or explainer.explain_stream(...) instead."
        )
