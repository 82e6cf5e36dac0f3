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
#: Above this share the decoder scores cells of four pixels. Rankings lose nothing if they are averaged over such cells
#: (``docs/notes/decoder-cost.md``).
COARSER_FROM = 0.02
#: Options of the image decoder that are tried one after another, each cheaper than the one before, and the share from which
#: they are. The last one is taken at any cost, because cells of eight pixels are as coarse as a map should be.
CHEAPER: tuple[tuple[float, Mapping[str, Any]], ...] = (
    (COARSER_FROM, {"stride": 4, "pooled": True}),
    (LARGEST_SHARE, {"stride": 4, "pooled": True, "channels": (64, 32, 16, 8)}),
    (LARGEST_SHARE, {"stride": 8, "pooled": True, "channels": (64, 32, 16, 8)}),
)


def affordable(config: ScorerConfig, target: TargetModel, inputs: Inputs, spec: TargetSpec) -> ScorerConfig:
    """``config`` with an image decoder whose cost is a small share of the target's, at most :data:`LARGEST_SHARE`.

    Both are counted in floating-point operations, for the samples of ``inputs``. Options that the user gave stay. Decoders
    of inputs of up to :data:`~sidelight.scorers.image.FULL_RESOLUTION_UP_TO` pixels are not made cheaper: their
    arithmetic is small, and single pixels count in them. If they rank (``by_class``), they have :data:`UNFOLDING`.

    Args:
        inputs: one sample or more.
        spec: shapes of the target's states for ``inputs``.
    """
    shape = spec.feature_shape.get("image")
    if shape is None or config.decoder.get("image"):
        return config
    if max(shape[-2:]) <= FULL_RESOLUTION_UP_TO:
        return with_unfolding(config, target.encode(inputs).states["image"]) if config.by_class else config
    try:
        with FlopCounterMode(display=False) as counter:
            encoding = target.encode(inputs)
    except Exception as error:  # noqa: BLE001 - the pass ran before without the counter, so a model does not bear it
        log.info("the classifier's operations cannot be counted (%s); the decoder keeps its size", error)
        return config
    whole = counter.get_total_flops()
    if not whole:  # compiled or foreign code, whose operations nobody counts
        return config
    share = decoder_flops(config, spec, encoding) / whole
    for limit, options in CHEAPER:
        if share <= limit:
            break
        config = with_image(config, options)
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
    return with_image(config, {**UNFOLDING, "gates": GATES} if gated else UNFOLDING)


def with_image(config: ScorerConfig, options: Mapping[str, Any]) -> ScorerConfig:
    """``config`` with these options of the image decoder."""
    return replace(config, decoder={**config.decoder, "image": dict(options)})


def decoder_flops(config: ScorerConfig, spec: TargetSpec, encoding: Encoding) -> int:
    """Floating-point operations of a scorer of ``config`` for one class of each sample of ``encoding``."""
    with torch.random.fork_rng():
        scorer = Scorer(spec, config).to(encoding.logits.device)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        scorer.raw(encoding)
    return int(counter.get_total_flops())
