"""A decoder that fits its target: it costs no more than a stated share of the target's own arithmetic."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sidelight.core.types import Encoding, Inputs, TargetSpec
from sidelight.scorers import Scorer, ScorerConfig
from sidelight.scorers.image import FULL_RESOLUTION_UP_TO
from sidelight.targets import TargetModel

log = logging.getLogger(__name__)

#: Options of a decoder that ranks single pixels, beside states that all share one grid, as a transformer's do. They go to the
#: last stage at once, where the thesis's decoder doubles the resolution from stage to stage
#: (``docs/notes/decoder-cost.md``).
UNFOLDING: Mapping[str, Any] = {"direct": True, "channels": (64, 48)}
#: How many gates such a decoder has, if all states have one width too. With them a map needs what the later layers add
#: (``docs/notes/audit-of-mnist.md``).
GATES = 2
#: A decoder may cost at most this share of its target's operations.
LARGEST_SHARE = 0.05
#: Above this share a decoder gets the first of its cheaper shapes. It measures as well (``docs/notes/decoder-cost.md``).
CHEAPER_FROM = 0.02
#: A text decoder beside states of at most so many channels, its usual width, is not made cheaper. Such classifiers take little
#: time, and short trainings beside them end worse.
FULL_WIDTH_UP_TO = 128
#: Options of each modality's decoder that are tried one after another, each cheaper than the one before, and the share from
#: which they are. Small objects need cells of four pixels, even if the stages are narrow. The last one is taken at any
#: cost: cells of eight pixels are as coarse as a map should be, and no smaller text decoder has been measured.
CHEAPER: Mapping[str, tuple[tuple[float, Mapping[str, Any]], ...]] = {
    "image": (
        (CHEAPER_FROM, {"stride": 4, "pooled": True}),
        (LARGEST_SHARE, {"stride": 4, "pooled": True, "channels": (32, 16, 16, 12)}),
        (LARGEST_SHARE, {"stride": 4, "pooled": True, "channels": (24, 16, 12, 12)}),
        (LARGEST_SHARE, {"stride": 8, "pooled": True, "channels": (32, 16, 16, 12)}),
    ),
    "text": ((CHEAPER_FROM, {"width": 64, "layers": 1}),),
}


def affordable(config: ScorerConfig, target: TargetModel, inputs: Inputs, spec: TargetSpec) -> ScorerConfig:
    """``config`` with decoders whose cost is a small share of the target's, at most :data:`LARGEST_SHARE` where that can be.

    Both are counted in floating-point operations, for the samples of ``inputs``. Options that the user gave stay. Image
    decoders of inputs of up to :data:`~sidelight.scorers.image.FULL_RESOLUTION_UP_TO` pixels are not made cheaper, nor
    the text decoders beside them: their arithmetic is small, and single pixels count in them. If they rank (``by_class``), they
    have :data:`UNFOLDING`. Text decoders beside states of up to :data:`FULL_WIDTH_UP_TO` channels are not made cheaper either.

    Args:
        inputs: one sample or more.
        spec: shapes of the target's states for ``inputs``.
    """
    shape = spec.feature_shape.get("image")
    if shape is not None and max(shape[-2:]) <= FULL_RESOLUTION_UP_TO:
        if config.decoder.get("image") or not config.by_class:
            return config
        return with_unfolding(config, target.encode(inputs).states["image"])
    kept = [name for name, given in config.decoder.items() if given]
    if all(state.channels <= FULL_WIDTH_UP_TO for state in spec.states.get("text", ())):
        kept.append("text")
    rungs = [
        (limit, {name: options})
        for name in spec.states
        if name not in kept
        for limit, options in CHEAPER.get(name, ())
    ]
    # What costs no quality is saved in every modality first, and pictures become coarser only if that is not enough.
    rungs.sort(key=lambda rung: rung[0])
    counted = _operations(target, inputs) if rungs else None
    return config if counted is None else _cheaper(config, spec, rungs, *counted)


def _operations(target: TargetModel, inputs: Inputs) -> tuple[Encoding, int] | None:
    """A pass of the classifier and its floating-point operations, if they can be counted."""
    try:
        with FlopCounterMode(display=False) as counter:
            encoding = target.encode(inputs)
    except Exception as error:  # noqa: BLE001 - the pass ran before without the counter, so a model does not bear it
        log.info("the classifier's operations cannot be counted (%s); the decoder keeps its size", error)
        return None
    whole = counter.get_total_flops()  # none are counted of compiled or foreign code
    return (encoding, whole) if whole else None


def _cheaper(
    config: ScorerConfig,
    spec: TargetSpec,
    rungs: Sequence[tuple[float, Mapping[str, Mapping[str, Any]]]],
    encoding: Encoding,
    whole: int,
) -> ScorerConfig:
    """``config`` with the options of each rung whose limit is passed."""
    share = decoder_flops(config, spec, encoding) / whole
    for limit, options in rungs:
        if share > limit:
            config = with_options(config, options)
            share = decoder_flops(config, spec, encoding) / whole
    log.info("the scorer costs %.1f %% of the classifier's operations", 100 * share)
    return config


def with_unfolding(config: ScorerConfig, states: Sequence[Tensor]) -> ScorerConfig:
    """``config`` with a decoder that unfolds ``states`` at once, if all share one grid.

    Args:
        states: ``[B, C, h, w]`` each, of a sample or more. If the last ones are all equal, the layers between them add
            nothing, and gates would make every map constant.
    """
    if len({state.shape[2:] for state in states}) > 1:
        return config
    gated = len(states) > GATES and len({state.shape[1] for state in states}) == 1
    gated = gated and any(not torch.equal(*pair) for pair in pairwise(states[-GATES - 1 :]))
    return with_options(config, {"image": {**UNFOLDING, "gates": GATES} if gated else UNFOLDING})


def with_options(config: ScorerConfig, options: Mapping[str, Mapping[str, Any]]) -> ScorerConfig:
    """``config`` with these options of decoders."""
    return replace(config, decoder={**config.decoder, **{name: dict(of) for name, of in options.items()}})


def decoder_flops(config: ScorerConfig, spec: TargetSpec, encoding: Encoding) -> int:
    """Floating-point operations of a scorer of ``config`` for one class of each sample of ``encoding``."""
    with torch.random.fork_rng():
        scorer = Scorer(spec, config).to(encoding.logits.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        scorer.raw(encoding)
    return int(counter.get_total_flops())
