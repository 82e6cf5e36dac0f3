"""Counts that a caller gives: whole numbers of Python, NumPy and torch are taken, and those that never end are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from sidelight.core.field_checks import LARGEST_COUNT, whole
from sidelight.errors import ConfigError, SidelightError
from sidelight.explanations.blocks import require_size
from sidelight.explanations.classes import require_flag, require_steps
from sidelight.inputs.limits import Limits
from sidelight.lab.baselines import make_rival
from sidelight.lab.config.sections import AuditSection
from sidelight.serving.settings import ServeOptions
from sidelight.training.memory import fitting_parts
from sidelight.training.settings import ObjectiveConfig, TrainingConfig

THREE = [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3), torch.tensor(3, dtype=torch.uint8)]
NONE = [None, "3", b"3", 3.0, float("nan"), True, np.bool_(True), [3], np.array([3]), torch.tensor([3]), -1]
HUGE = [10**30, 2**63]
TAKERS: dict[str, Any] = {
    "batch_size": require_size,
    "refine": require_steps,
    "n_steps": lambda n: make_rival("integrated_gradients", n_steps=n).n_steps,
    "internal_batch": lambda n: make_rival("rise", internal_batch=n).internal_batch,
    "training": lambda n: TrainingConfig(batch_size=n).batch_size,
    "rank_draws": lambda n: ObjectiveConfig(rank_draws=n).rank_draws,
    "coalition_draws": lambda n: ObjectiveConfig(coalition_draws=n).coalition_draws,
    "queue": lambda n: ServeOptions(queue=n).queue,
    "characters": lambda n: Limits(characters=n).characters,
}


@pytest.mark.parametrize("name", TAKERS)
@pytest.mark.parametrize("value", THREE, ids=[f"{type(v).__module__}-{i}" for i, v in enumerate(THREE)])
def test_whole_numbers_of_every_library_are_counts(name: str, value: Any) -> None:
    found = TAKERS[name](value)
    assert (type(found), found) == (int, 3)


@pytest.mark.parametrize("name", TAKERS)
@pytest.mark.parametrize("value", [*NONE, *HUGE], ids=repr)
def test_other_values_are_refused_with_the_name(name: str, value: Any) -> None:
    if value is None and name == "coalition_draws":  # a default of its own
        return
    with pytest.raises(
        SidelightError, match=rf"{'batch_size' if name == 'training' else name}.*must be"
    ) as caught:
        TAKERS[name](value)
    assert "got" in str(caught.value)


def test_counts_that_would_never_end_are_refused() -> None:
    """``explain(refine=10**30)`` went on for ever, and islice refused ``block_rows`` in words of Python."""
    assert require_size(LARGEST_COUNT) == LARGEST_COUNT
    assert require_steps(0) == 0
    for call in (
        lambda: require_steps(10**6),
        lambda: make_rival("integrated_gradients", n_steps=10**9),
        lambda: ObjectiveConfig(rank_draws=10**6),
        lambda: AuditSection(draws=10**9),
    ):
        with pytest.raises(ValueError, match=r"at most|less than or equal|0 to|to 1"):
            call()


def test_a_batch_that_fits_is_not_divided_however_large() -> None:
    """Its two thousand million possible parts were tried one by one."""
    assert fitting_parts(16, 2**31 - 1, kept=1, free=100) == 1


def test_flags_of_every_library() -> None:
    assert [require_flag(v, "x") for v in (True, np.True_, torch.tensor(True), 0)] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("method", "option"),
    [
        ("rise", "p"),
        ("lime", "alpha"),
        ("lime", "kernel_width"),
        ("gradient_shap", "stdev"),
        ("centre", "width"),
        ("distillation_masks", "sparsity"),
        ("random", "seed"),
    ],
)
def test_options_of_methods_are_numbers(method: str, option: str) -> None:
    """A text raised an error of Python, and NaN or a seed of another kind was taken."""
    for value in ("3", None, float("nan"), [0.5], True):
        with pytest.raises(ConfigError, match=f"option '{option}' of baseline method '{method}' must be"):
            make_rival(method, **{option: value})
    taken = make_rival(method, **{option: torch.tensor(7)}) if option == "seed" else None
    assert taken is None or getattr(taken, option) == 7
    if option != "seed":
        assert getattr(make_rival(method, **{option: np.float32(0.5)}), option) == 0.5


def test_whole_within_bounds() -> None:
    assert [whole(n, 0, 2) for n in (-1, 0, 2, 3)] == [None, 0, 2, None]
