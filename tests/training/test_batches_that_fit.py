"""Batches that fit into memory: estimated by what a pass keeps, read in parts, and with the same result."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from helpers_training import TRANSFORM, classifier, corner_rows, state
from sidelight import Explainer
from sidelight.core import memory as machine
from sidelight.core.memory import free_memory
from sidelight.training import memory as module
from sidelight.training.memory import fitting_parts, kept_bytes

SMALL: dict[str, Any] = {"decoder": {"image": {"channels": [4, 4]}}}


def fitted(folder: Path, **options: Any) -> Explainer:
    given: dict[str, Any] = {
        "batch_size": 8,
        "epochs": 1,
        "on_collapse": "warn",
        "check": "off",
        **SMALL,
        **options,
    }
    return Explainer.fit(classifier(), corner_rows(40), processor=TRANSFORM, output_dir=folder, **given)


def training_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "training.json").read_text())["training"]
    return found


def with_room_for(monkeypatch: pytest.MonkeyPatch, rows: float) -> None:
    """A machine on which ``rows`` rows of a batch fit."""
    monkeypatch.setattr(module, "_bytes_per_row", lambda *_: 100.0)
    monkeypatch.setattr(module, "free_memory", lambda _: 100.0 * rows / module.SHARE)


@given(st.integers(1, 96), st.integers(1, 96), st.floats(0, 1e9), st.floats(0, 1e12))
def test_parts_are_the_fewest_that_fit(rows: int, batch: int, kept: float, free: float) -> None:
    rows = min(rows, batch)
    parts = fitting_parts(rows, batch, kept, free)
    assert batch % parts == 0
    fits = [d for d in range(1, batch + 1) if batch % d == 0 and min(rows, batch // d) * kept <= free]
    assert parts == (fits[0] if fits else batch)


class Exponential(nn.Module):
    """Keeps e^(a·x), x and a·x's factors: torch saves the result of exp, and both factors of the product."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.ones(1))
        self.target = SimpleNamespace(model=nn.Linear(3, 3))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"loss": (self.a * x).exp().sum()}


@pytest.mark.parametrize("rows", [2, 7])
def test_what_a_pass_keeps_is_counted_once_and_without_weights(rows: int) -> None:
    x = torch.randn(rows, 50)
    assert kept_bytes(Exponential(), {"x": x}) == 2 * rows * 50 * 4  # type: ignore[arg-type]


def test_weights_that_are_made_of_tensors_are_no_part_of_what_a_pass_keeps() -> None:
    """Weights of torchao and quanto are made of values and scales, and have no address of their own."""
    from torch.testing._internal.two_tensor import TwoTensor

    module, x = Exponential(), torch.randn(3, 50)
    module.target.model.weight = nn.Parameter(TwoTensor(torch.eye(3), torch.eye(3)), requires_grad=False)
    assert kept_bytes(module, {"x": x}) == 2 * 3 * 50 * 4  # type: ignore[arg-type]
    module.a = nn.Parameter(TwoTensor(torch.ones(1), torch.ones(1)))
    pair = TwoTensor(x, x.clone())
    assert kept_bytes(module, {"x": pair}) == 2 * 2 * 3 * 50 * 4  # type: ignore[arg-type]


def test_the_estimate_grows_with_the_rows_of_a_real_training() -> None:
    from sidelight.scorers import Scorer, ScorerConfig
    from sidelight.targets import as_target
    from sidelight.training.loss import ScorerObjective
    from sidelight.training.presets import objective_of

    torch.manual_seed(0)
    target = as_target(classifier(), TRANSFORM)
    inputs = dict(target.reader.read(corner_rows(8)).inputs)
    scorer = Scorer(target.spec({k: v[:1] for k, v in inputs.items()}), ScorerConfig(by_class=True))
    objective = ScorerObjective(scorer, target, objective_of("robust")).train()
    with target.borrowed():
        few, many = (kept_bytes(objective, {k: v[:n] for k, v in inputs.items()}) for n in (2, 8))
    assert few > 0
    assert many == pytest.approx(4 * few, rel=0.2)


def test_a_batch_that_does_not_fit_is_read_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with_room_for(monkeypatch, 3)
    with caplog.at_level(logging.WARNING):
        fitted(tmp_path)
    found = training_of(tmp_path)
    assert (found["batch_size"], found["gradient_accumulation"]) == (2, 4)
    assert "in 4 parts of 2 rows" in caplog.text
    last = json.loads(max(tmp_path.glob("checkpoint-*/trainer_state.json")).read_text())
    assert last["max_steps"] == 5  # 36 rows in batches of 8, as without parts


def test_a_batch_that_fits_stays_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        fitted(tmp_path)
    assert training_of(tmp_path)["batch_size"] == 8
    assert "in parts" not in caplog.text


def test_parts_give_the_weights_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # one fill and no draws, and an optimiser that does not blow up rounding where the gradient is 0
    objective = {"preset": "thesis", "label": "prediction", "fills": ["zero"]}
    settled: dict[str, Any] = {"objective": objective, "learning_rate": 0.1, "extra": {"optim": "sgd"}}
    whole = state(fitted(tmp_path / "whole", **settled).scorer)
    with_room_for(monkeypatch, 2)
    parts = state(fitted(tmp_path / "parts", **settled).scorer)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=2e-5, rtol=1e-3)


def test_a_training_goes_on_with_its_own_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_room_for(monkeypatch, 2)
    first = fitted(tmp_path)
    monkeypatch.undo()  # memory is free again
    second = fitted(tmp_path)
    assert training_of(tmp_path)["batch_size"] == 2
    for name, value in state(first.scorer).items():
        assert torch.equal(state(second.scorer)[name], value)


def test_a_row_that_cannot_be_read_is_named_by_the_training(tmp_path: Path) -> None:
    from sidelight.errors import InputError

    rows = [*corner_rows(39), {"image": str(tmp_path / "missing.png"), "label": 0}]
    with pytest.raises(InputError, match=r"missing\.png"):
        Explainer.fit(
            classifier(),
            rows,
            processor=TRANSFORM,
            output_dir=tmp_path / "out",
            batch_size=8,
            check="off",
            **SMALL,
        )


@pytest.mark.parametrize(
    ("limit", "used", "left"), [("1000", "400", 600), ("1000", "2000", 0), ("max", "400", None)]
)
def test_a_container_has_less_than_its_machine(
    limit: str, used: str, left: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psutil

    (tmp_path / "max").write_text(limit + "\n")
    (tmp_path / "current").write_text(used + "\n")
    monkeypatch.setattr(
        machine, "_LIMITS", ((str(tmp_path / "max"), str(tmp_path / "current")), ("nowhere", "no"))
    )
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5000))
    assert free_memory(torch.device("cpu")) == (5000 if left is None else left)


def test_processes_of_one_launcher_share_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    monkeypatch.setattr(machine, "_LIMITS", ())
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=5000))
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert free_memory(torch.device("cpu")) == 1250
