"""Does the model give the same logits through sidelight as by itself? A few samples are compared before a training."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sidelight.checks.difference import difference
from sidelight.checks.past_the_mask import logits_of_renamed
from sidelight.checks.reference import coarsest, logits_alone
from sidelight.core.field_checks import require_choice
from sidelight.core.types import Inputs
from sidelight.errors import (
    InputTypeError,
    SelfCheckError,
    SidelightError,
    first_line,
)
from sidelight.inputs.collate import Collator
from sidelight.inputs.samples import sample_length
from sidelight.rows.holdout import spread
from sidelight.targets.base import TargetModel
from sidelight.targets.image import ImageTarget
from sidelight.targets.image_text import ImageTextTarget
from sidelight.targets.switching import unswitched
from sidelight.targets.text import TextTarget
from sidelight.targets.weights import hash_of
from sidelight.targets.wrappers import float_type

log = logging.getLogger(__name__)

#: what to do if a check fails
Check = Literal["error", "warn", "off"]
CHECKS: tuple[Check, ...] = ("error", "warn", "off")

#: samples that are compared
SAMPLES = 2
#: rows of varying length from which they are chosen, so that a short and a long one are among them
LOOKED_AT = 16
#: how far logits may lie apart, as a share of their spread, by the number of bytes of a weight
TOLERANCE = {8: 1e-3, 4: 1e-3, 2: 5e-2, 1: 5e-2}
#: the same for float32 on a GPU, where products may be made of numbers with 10 bits
TF32 = 1e-2
#: last digits of the largest logit that may be off besides
ROUNDINGS = 8
#: what to do if no gradient passes
LEARN_ELSEWHERE = (
    "So a scorer cannot learn beside it. Fit beside the original model; then load the scorer beside this one: "
    "Explainer.from_pretrained(folder, model, check='warn')."
)
#: sides of the made-up pictures, in pixels; no processor keeps them
HEIGHT, WIDTH = 53, 71


#: how people come to an explainer
HOW_MADE = "Explainer.fit(model, data, processor=...) trains a scorer, and Explainer.from_pretrained(folder, model) loads one."


def require_parts(target: Any, scorer: Any) -> None:
    """Raise :class:`InputTypeError` if these are no classifier and scorer that an explainer joins."""
    if isinstance(target, TargetModel) and isinstance(scorer, nn.Module):
        return
    raise InputTypeError(
        f"Explainer(target, scorer) joins a wrapped classifier and its scorer; got {type(target).__name__} and "
        f"{type(scorer).__name__}. {HOW_MADE}"
    )


def require_check(check: Any) -> Check:
    """``check`` if it is one. Raises :class:`ConfigError` otherwise."""
    return cast(Check, require_choice(check, CHECKS, "check", quoted=True))


def raise_or_warn(error: SidelightError, check: Check) -> None:
    """Raise ``error``, or only say it if ``check`` is not ``"error"``."""
    if check == "error":
        raise error
    log.warning("%s", error)


def few_samples(target: TargetModel, rows: Any, collate: Collator | None = None) -> Sequence[Any] | Inputs:
    """A few raw samples of ``rows``, or the model's inputs if rows hold those. If lengths differ, the shortest and the longest."""
    collate = Collator(target, labelled=False) if collate is None else collate
    count = LOOKED_AT if target.varying_length else SAMPLES
    looked = [rows[i] for i in spread(len(rows), count)]
    raw = collate.raw(looked)
    if target.varying_length and raw is not None:
        looked = sorted(looked, key=lambda row: sample_length(collate.split(row)[0]))
    chosen = [looked[i] for i in sorted({0, len(looked) // 2, len(looked) - 1})]
    inputs = collate.read(chosen).inputs  # an error of the data names its row here
    return inputs if raw is None else collate.raw(chosen) or inputs


def made_up_samples(target: TargetModel) -> Sequence[Any] | Inputs:
    """Samples that need no data: pictures of an odd size, words of the target's vocabulary, or inputs of its own."""
    if isinstance(target, ImageTextTarget):
        if target.reader.image.transform is None or target.reader.text.tokenizing is None:
            return {}
        return list(zip(_pictures(target.image), _texts(target.text), strict=True))
    if isinstance(target, TextTarget):
        return {} if target.reader.tokenizing is None else _texts(target)
    if isinstance(target, ImageTarget) and target.reader.transform is not None:
        return _pictures(target)
    found = target.trial_inputs()
    return {} if found is None else found


def _pictures(target: ImageTarget) -> list[Image.Image]:
    height, width = HEIGHT, WIDTH
    trial, transform = target.trial_inputs(), target.reader.transform
    if transform is not None and transform.size is None and trial is not None:
        # the transform does not resize, so the size must fit
        height, width = trial["pixel_values"].shape[-2:]
    rows, columns = np.mgrid[:height, :width]
    waves = [[np.sin(rows / (3 + c) + n) + np.cos(columns / (5 + n) + c) for c in range(3)] for n in range(2)]
    return [Image.fromarray(np.uint8(63.75 * (np.stack(w, -1) + 2))) for w in waves]


def _texts(target: TextTarget) -> list[str]:
    ids = target.vocabulary.ordinary_ids()
    chosen = ids[torch.linspace(0, len(ids) - 1, 12).long()].tolist()
    words = [str(target.reader.tokenizer.decode([i])).strip() for i in chosen]
    known = [w for w in words if w and "\ufffd" not in w] or ["a"]
    tokenizing = target.reader.tokenizing
    most = (tokenizing and tokenizing.max_length) or 18
    long = max(1, min(9, most // 2))  # a word may have two tokens, and no text should be cut
    return [" ".join((known * n)[:n]) for n in (min(3, long), long)]


def self_check(
    target: TargetModel,
    samples: Sequence[Any] | Inputs,
    check: Check = "error",
    gradients: bool = False,
    made_up: bool = False,
) -> None:
    """Compare logits through sidelight with those of the model by itself, alone and in a batch.

    Args:
        samples: raw samples, or the model's inputs. If there are none, nothing is checked.
        check: ``"error"`` or ``"warn"``.
        gradients: whether a gradient must reach the scores, as a training needs it.
        made_up: whether the samples are nobody's. A model may fail on made-up words, e.g. if it looks for a marker in its text.

    Raises:
        SelfCheckError: the logits differ by more than :data:`TOLERANCE` of their spread, or differ from one pass to
            the next, or no gradient passes through the model.
    """
    if len(samples) == 0:
        return
    try:
        with unswitched(target.model):
            _check(target, samples, gradients, made_up)
    except SelfCheckError as error:
        raise_or_warn(error, check)


def _check(target: TargetModel, samples: Sequence[Any] | Inputs, gradients: bool, made_up: bool) -> None:
    with _unmoved_buffers(target):
        own = _alone(target, samples, made_up)
    if gradients:
        require_gradient(target, prepared(target, _ones(samples)[-1]), LEARN_ELSEWHERE)
    if own is not None:
        _compare(target, samples, *own)
        _require_masked_words(target, samples, own[1])
        _tell_of_padding(target, samples)


def _require_masked_words(target: TargetModel, samples: Sequence[Any] | Inputs, limit: float) -> None:
    """Raise :class:`SelfCheckError` if the model also knows words by other things than the embeddings that are masked."""
    sample = prepared(target, _ones(samples)[-1])
    try:
        found = logits_of_renamed(target, sample)
        if found is None:
            return
        own, renamed = (logits.float() for logits in found)
        if bool(((own - renamed).abs() <= limit).all()):
            return
        first, second = (", ".join(f"{v:.3f}" for v in row[0].tolist()[:6]) for row in (own, renamed))
        seen, cause = f"its logits are [{second}] in place of [{first}]", None
    except (SidelightError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if not _fails_again(lambda: logits_of_renamed(target, sample)):
            raise
        seen, cause = f"it fails with {type(error).__name__}: {first_line(error, None)}", error
    raise SelfCheckError(
        f"{target.name} reads words past the mask. A mask changes the word embeddings (get_input_embeddings()), but this model "
        "also reads the token ids elsewhere: by a second table of words (RoCBert has some for shape and sound), by counting "
        f"words or by looking for one. With the same embeddings and other ids {seen}. So a word that a mask removes would "
        "still be seen, and maps would be wrong. Use a classifier that reads its text by one table. If only a little is read "
        "so, or only the place of a word, pass check='warn'."
    ) from cause


@contextmanager
def _unmoved_buffers(target: TargetModel) -> Iterator[None]:
    """Raise :class:`SelfCheckError` if passes inside change what is saved with the weights, and put that back.

    A scorer knows its classifier by these values. So it would be refused after the first map.
    """
    saved = target.model.state_dict(keep_vars=True)
    before = {name: b.clone() for name, b in target.model.named_buffers() if name in saved}
    yield
    after = dict(target.model.named_buffers())
    moved = [n for n, b in before.items() if n in after and hash_of({n: b}) != hash_of({n: after[n]})]
    if not moved:
        return
    with torch.no_grad():
        for name in moved:
            if after[name].shape == before[name].shape and not after[name].is_inference():
                after[name].copy_(before[name])
    more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
    raise SelfCheckError(
        f"{target.name} changes {moved[0]!r}{more} in each pass, in evaluation mode too. These buffers are saved with its "
        "weights, and a scorer is refused beside other weights. If such a buffer only counts or caches, register it with "
        "persistent=False. If it collects statistics, as observers of a quantisation do, switch that off."
    )


def _tell_of_padding(target: TargetModel, samples: Sequence[Any] | Inputs) -> None:
    """If all texts had one length, compare texts of two lengths too, and warn if padding changes their logits."""
    if not isinstance(target, TextTarget) or target.reader.tokenizing is None or len(samples) < 2:
        return
    if isinstance(samples, Mapping) or bool((_inputs(target, samples)["attention_mask"] == 0).any()):
        return  # padding was there, and changed nothing
    texts = _texts(target)
    own = _alone(target, texts, made_up=True)
    try:
        if own is not None:
            _compare(target, texts, *own)
    except SelfCheckError as error:
        log.warning("all texts looked at are of one length; with others in one batch: %s", error)


def _alone(
    target: TargetModel, samples: Sequence[Any] | Inputs, made_up: bool
) -> tuple[Tensor, float] | None:
    """Logits of the model called by itself, one sample at a time, and how far they may be off. ``None`` if unknown."""
    ones, own = _ones(samples), list[Tensor | None]()
    try:
        with coarsest(target.model) as types:
            for one in ones:
                own.append(logits_alone(target, one))
    except (SidelightError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # models raise anything
        reason = f"{type(error).__name__}: {first_line(error, None)}"
        if made_up and "text" in target.modalities:
            if not _fails_again(lambda: logits_alone(target, ones[len(own)])):
                raise
            log.warning(
                "%s could not be checked with made-up words, on which it fails by itself: %s. That is no fault if it needs "
                "something in its texts that these lack, e.g. a marker.",
                target.name,
                reason,
            )
            return None
        raise SelfCheckError(
            f"{target.name} fails by itself, without sidelight, on a sample that its own processor prepared: "
            f"{reason}. Repair the model or its processor first, or give the processor that belongs "
            "to it."
        ) from error
    if any(o is None for o in own):
        return None
    logits = torch.cat([o for o in own if o is not None])
    return logits, tolerance(logits, {*types, float_type(target.model), logits.dtype})


def _fails_again(call: Callable[[], Any]) -> bool:
    """Whether a call that failed fails again. If not, the reason was no input, but e.g. a device that was lost."""
    try:
        call()
    except Exception:  # noqa: BLE001 - models raise anything
        return True
    return False


def prepared(target: TargetModel, samples: Sequence[Any] | Inputs) -> dict[str, Tensor]:
    """The model's inputs for ``samples``, checked, and on its device."""
    inputs = _inputs(target, samples)
    target.check(inputs)
    return target.to_device(inputs)


def _inputs(target: TargetModel, samples: Sequence[Any] | Inputs) -> Inputs:
    return samples if isinstance(samples, Mapping) else target.reader.prepare(samples).inputs


def _ones(samples: Sequence[Any] | Inputs) -> list[Sequence[Any] | Inputs]:
    """Each sample as a batch of one."""
    if isinstance(samples, Mapping):
        size = len(next(iter(samples.values())))
        return [{k: v[i : i + 1] for k, v in samples.items()} for i in range(size)]
    return [[s] for s in samples]


def _compare(target: TargetModel, samples: Sequence[Any] | Inputs, alone: Tensor, limit: float) -> None:
    with torch.no_grad():
        one = prepared(target, _ones(samples)[-1])
        whole = {m: torch.ones_like(mask, dtype=torch.float) for m, mask in target.feature_mask(one).items()}
        seen = {
            "one at a time through sidelight": lambda: target.encode(one).logits,
            "in a batch through sidelight": lambda: target.encode(prepared(target, samples)).logits,
            "with everything kept through sidelight": lambda: target.classify(one, whole),
        }
    for how, look in seen.items():
        with torch.no_grad(), unswitched(target.model):
            logits = look()
        first = len(alone) - len(logits)
        away = (logits.float() - alone[first:].float()).abs().amax(1)
        if not bool((away <= limit).all()):
            row = int(away.argmax())
            raise difference(target, first + row, len(alone), (alone[first + row], logits[row]), how)


def tolerance(logits: Tensor, types: Iterable[torch.dtype]) -> float:
    """How far the logits of two passes may differ: a share of the spread of ``logits``, more in coarse precision.

    Args:
        logits: ``[B, K]`` of a few samples.
        types: floating-point types that the pass computes in.
    """
    values = logits.float()
    spread, largest = float(values.max() - values.min()), float(values.abs().max())
    share = max(TOLERANCE[t.itemsize] for t in types)
    if logits.device.type != "cpu":
        share = max(share, TF32)
    rounding = max(torch.finfo(t).eps for t in types)
    return share * max(spread, 1e-3) + ROUNDINGS * rounding * largest


def require_gradient(target: TargetModel, inputs: Inputs, advice: str) -> None:
    """Raise if no gradient of the logits reaches the scores.

    Args:
        inputs: some samples, on the target's device.
        advice: the end of the message: what cannot be done without a gradient, and what to do instead.

    Raises:
        SelfCheckError: see above.
    """
    # a model with gradient checkpointing runs again in the backward pass, when it must still be frozen
    with torch.enable_grad(), target.borrowed():
        mask = target.feature_mask(inputs)
        scores = {m: torch.full_like(v, 0.5, dtype=torch.float).requires_grad_() for m, v in mask.items()}
        why = "none of the scores has one"
        try:
            logits = target.classify(inputs, scores)
            found = torch.autograd.grad(logits.float().sum(), list(scores.values()), allow_unused=True)
            if any(g is not None for g in found):
                return
            cause = None
        except (RuntimeError, AssertionError) as error:  # Reformer asserts that it is in training mode
            why, cause = first_line(error, None), error
    raise SelfCheckError(
        f"no gradient passes through {target.name} to its input ({why}). {_remedy(cause, advice)}"
    ) from cause


def _remedy(error: Exception | None, advice: str) -> str:
    if "torch.utils.checkpoint" in str(error):
        return (
            "The model computes some layers again for the gradient (gradient checkpointing). Switch that off, e.g. by "
            "model.gradient_checkpointing_disable() or in its forward. The weights and the answers stay the same."
        )
    return f"Weights that were quantised for inference, or a forward under torch.no_grad(), are the usual causes. {advice}"
