"""The parameter blocks of a target from the head down to the embedding, and how to make them random."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from sidelight.core.seeds import sample_seed, seeded
from sidelight.core.types import Inputs
from sidelight.errors import UnsupportedTargetError
from sidelight.targets import TargetModel
from sidelight.targets.copying import own_copy

#: buffers that hold the weights of a layer
WEIGHTS = ("weight", "qweight")


@dataclass(frozen=True)
class Block:
    """Modules that are randomised in one step. They hold weights of their own."""

    name: str
    modules: tuple[nn.Module, ...]


def copy_target(target: TargetModel) -> TargetModel:
    """A target of its own: nothing done to the copy reaches the model of ``target``.

    Raises:
        UnsupportedTargetError: the model cannot be copied, or has weights that cannot be drawn anew.
    """
    _require_drawable(target.model)
    return own_copy(target)


def _require_drawable(model: nn.Module) -> None:
    packed = next((n for n, m in model.named_modules() if callable(getattr(type(m), "weight", None))), None)
    if packed is not None:
        raise UnsupportedTargetError(
            f"the weights of {packed!r} are packed by torch.ao.quantization, so they cannot be drawn anew and the check would "
            "call them random when they are not. Audit the original model, before it was quantised."
        )


def parameter_blocks(target: TargetModel, inputs: Inputs) -> list[Block]:
    """Blocks of ``target``'s model in the order of a pass, the last to run first.

    A block is one layer of a stack (``encoder.layer.3``) or one stage of a pyramid. Other modules form a block if
    they share the first two parts of their names (``bert.embeddings``). Modules that no pass calls by itself
    (tables that are only read) come last, with the embedding.

    Args:
        inputs: a batch for the pass that finds the order.
    """
    modules = {name: module for name, module in target.model.named_modules() if weights_of(module)}
    called: dict[str, int] = {}

    def note(name: str) -> Any:
        def hook(_module: nn.Module, _args: Any) -> None:
            called.setdefault(name, len(called))

        return hook

    handles = [m.register_forward_pre_hook(note(name)) for name, m in modules.items()]
    try:
        target.encode(inputs)
    finally:
        for handle in handles:
            handle.remove()
    members: dict[str, list[str]] = {}
    for name in modules:
        members.setdefault(block_name(name), []).append(name)
    first = {block: min(called.get(n, len(modules)) for n in names) for block, names in members.items()}
    # a module that is never called counts as first in the pass, so its block comes last
    place = {block: -1 if at == len(modules) else at for block, at in first.items()}
    order = sorted(members, key=lambda block: place[block], reverse=True)
    return [Block(block, tuple(modules[n] for n in members[block])) for block in order]


def block_name(module: str) -> str:
    """The block that a module called ``module`` belongs to.

    Example:
        >>> block_name("vit.encoder.layer.3.attention.query"), block_name("bert.embeddings.LayerNorm")
        ('vit.encoder.layer.3', 'bert.embeddings')
    """
    parts = module.split(".")
    number = next((i for i, part in enumerate(parts) if part.isdigit()), None)
    return ".".join(parts[:2] if number is None else parts[: number + 1])


def merge_blocks(blocks: Sequence[Block], steps: int) -> list[Block]:
    """At most ``steps`` blocks. Neighbours are joined as evenly as possible."""
    count = min(steps, len(blocks))
    ends = [round(i * len(blocks) / count) for i in range(count + 1)]
    return [_joined(blocks[a:b]) for a, b in pairwise(ends)]


def _joined(blocks: Sequence[Block]) -> Block:
    names = [b.name for b in blocks]
    name = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
    return Block(name, tuple(m for b in blocks for m in b.modules))


@torch.no_grad()
def randomise(block: Block, seed: int) -> None:
    """Draw the weights of ``block`` anew, in place, by each layer's own initialisation.

    Parameters of modules without one (class tokens, bare tables) come from a normal distribution of their own mean
    and deviation. So do those that an initialisation passes over, such as a user's own beside those of a linear layer.
    Whole numbers and those of one byte, as of weights in int8 or float8, change places, because they cannot be drawn so.
    """
    with seeded(seed):
        for module in block.modules:
            parameters = weights_of(module)
            moments = [_moments(p) for p in parameters]
            reset = getattr(module, "reset_parameters", None)
            if all(map(_is_drawn, parameters)) and callable(reset) and _takes_nothing(reset):
                for parameter in parameters:
                    parameter.fill_(torch.nan)  # what is not initialised stays so
                reset()
                missed = [bool(p.isnan().any()) for p in parameters]
            else:
                missed = [True] * len(parameters)
            for parameter, (mean, deviation), left in zip(parameters, moments, missed, strict=True):
                if left:
                    _draw(parameter, mean, deviation)


def weights_of(module: nn.Module) -> list[Tensor]:
    """Parameters of ``module`` itself, and buffers that hold weights, as those of GPTQ and AWQ do."""
    own = dict(module.named_buffers(recurse=False))
    return [*module.parameters(recurse=False), *(own[name] for name in WEIGHTS if name in own)]


def _draw(parameter: Tensor, mean: float, deviation: float) -> None:
    """Draw the values of ``parameter`` anew, or shuffle them if that cannot be."""
    if _is_drawn(parameter):
        parameter.normal_(mean, deviation)
    else:
        places = torch.randperm(parameter.numel(), device=parameter.device)
        parameter.copy_(parameter.flatten()[places].view_as(parameter))


def _is_drawn(parameter: Tensor) -> bool:
    """Whether values of its type can be drawn. Whole numbers and those of one byte cannot."""
    return (parameter.is_floating_point() and parameter.itemsize > 1) or parameter.is_complex()


def _takes_nothing(function: Callable[..., Any]) -> bool:
    """Whether ``function`` can be called without arguments."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        return False
    return True


def _moments(parameter: Tensor) -> tuple[float, float]:
    """Mean and standard deviation of the values."""
    values = parameter.float()
    return float(values.mean()), float(values.std()) if parameter.numel() > 1 else 0.0


def step_seed(seed: int, step: int) -> int:
    """Seed of one step, 63 bits."""
    return sample_seed(seed, step, 17)


def randomised_copy(target: TargetModel, inputs: Inputs, seed: int) -> TargetModel:
    """A copy of ``target`` with every parameter drawn anew, as after the last step of the cascade."""
    found = copy_target(target)
    for step, block in enumerate(parameter_blocks(found, inputs), start=1):
        randomise(block, step_seed(seed, step))
    return found
