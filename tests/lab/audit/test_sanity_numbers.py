"""What the checks compute, on maps whose answers are known: stability, class bias, masks and verdicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import f_oneway, pearsonr

from sidelight.lab.audit.base import Maps
from sidelight.lab.audit.classes import (
    Collected,
    class_share,
    correlation,
    from_places,
    mean_of_others,
    to_places,
)
from sidelight.lab.audit.encoding import masks_of, verdicts
from sidelight.lab.audit.stability import change
from sidelight.lab.audit.tables import Tally, choose, pivot
from sidelight.lab.metrics.granularity import finest
from sidelight.lab.metrics.layout import make_layout
from sidelight.lab.runs.folder import digest
from sidelight.lab.tables.markdown import markdown


def g(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- stability -----------------------------------------------------------------------------


def test_a_linear_map_has_its_factor_as_lipschitz_constant() -> None:
    """S = 3x: every draw gives the quotient 3, whatever it is; ‖ΔS‖/‖S‖ = ‖Δx‖/‖x‖."""
    x = torch.rand(4, 50, generator=g(), dtype=torch.float64)
    step = 0.01 * torch.randn(6, 4, 50, generator=g(1), dtype=torch.float64)
    distance, valid = step.norm(dim=2), torch.ones(6, 4, dtype=torch.bool)
    real = torch.ones(4, 50, dtype=torch.bool)
    found = change(3 * x, 3 * (x + step), distance, valid, (x, x + step), real)
    assert found["lipschitz"].tolist() == pytest.approx([3.0] * 4)
    relative = distance / x.norm(dim=1)
    assert found["max_change"].tolist() == pytest.approx(relative.amax(0).tolist())
    assert found["mean_change"].tolist() == pytest.approx(relative.mean(0).tolist())
    assert (found["spearman"] > 0.9).all()


def test_draws_that_do_not_count_are_left_out() -> None:
    base, real = torch.tensor([[1.0, 0.0, 5.0]] * 3), torch.tensor([[True, True, False]] * 3)
    soft = torch.stack([base + torch.tensor([d, 0.0, 9.0]) for d in (0.5, 0.2)])  # the third is no feature
    distance = torch.tensor([[1.0, 1.0, 0.0], [1.0, 2.0, 0.0]])
    valid = torch.tensor([[True, False, True], [True, True, True]])
    found = change(base, soft, distance, valid, (base, soft), real)
    np.testing.assert_allclose(found["lipschitz"], [0.5, 0.1, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found["max_change"], [0.5, 0.2, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found["mean_change"], [0.35, 0.2, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found["spearman"], [1, 1, np.nan])


def test_a_map_of_zeros_has_no_relative_change() -> None:
    zero, real = torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.bool)
    soft = torch.stack([zero + torch.arange(4)])
    found = change(zero, soft, torch.ones(1, 1), torch.ones(1, 1, dtype=torch.bool), (zero, soft), real)
    assert found["max_change"].isnan().all()
    assert found["lipschitz"].item() == pytest.approx(np.sqrt(14))


# -- class bias ----------------------------------------------------------------------------


def test_a_scorer_that_draws_the_class_has_share_one() -> None:
    templates = torch.rand(3, 40, generator=g())
    classes = torch.tensor([0, 1, 2, 1, 0, 2, 2])
    found = class_share(templates[classes], classes)
    assert found["share"] == pytest.approx(1)
    assert found["adjusted"] == pytest.approx(1)
    assert found["chance"] == pytest.approx(2 / 6)
    # one picture for all is told by the class just as well
    assert class_share(templates[torch.zeros(7, dtype=torch.long)], classes)["share"] == 1.0


def test_maps_that_know_no_class_have_the_share_of_chance() -> None:
    maps, classes = torch.rand(120, 300, generator=g()), torch.arange(120) % 6
    found = class_share(maps, classes)
    assert found["share"] == pytest.approx(5 / 119, abs=0.004)
    assert found["adjusted"] == pytest.approx(0, abs=0.004)


def test_share_of_one_feature_is_that_of_the_f_test() -> None:
    values, classes = torch.rand(20, 1, generator=g()).double(), torch.arange(20) % 3
    f = f_oneway(*(values[classes == c, 0].numpy() for c in range(3))).statistic
    share = class_share(values, classes)["share"]
    assert (share / 2) / ((1 - share) / 17) == pytest.approx(f)


def test_means_leave_the_sample_out() -> None:
    maps = torch.tensor([[1.0, 0], [3, 2], [5, 4], [9, 9]])
    found = mean_of_others(maps, torch.tensor([0, 0, 0, 1]))
    np.testing.assert_allclose(found, [[4, 3], [3, 2], [2, 1], [np.nan, np.nan]])


def test_correlation_is_pearsons() -> None:
    a, b = torch.rand(3, 20, generator=g()), torch.rand(3, 20, generator=g(1))
    wanted = [pearsonr(x, y).statistic for x, y in zip(a.numpy(), b.numpy(), strict=True)]
    np.testing.assert_allclose(correlation(a, b), wanted, atol=1e-6)
    assert correlation(torch.ones(1, 5), a[:1, :5]).isnan().all()


def test_texts_are_read_at_places() -> None:
    soft = torch.tensor([[0.0, 1.0, 2.0, 9.0], [4.0, 0.0, 0.0, 0.0]])
    real = torch.tensor([[True, True, True, False], [True, False, False, False]])
    at = to_places(soft, real, places=5)
    np.testing.assert_allclose(at, [[0, 0.5, 1, 1.5, 2], [4] * 5])
    np.testing.assert_allclose(from_places(at, real), [[0, 1, 2, 0], [4, 0, 0, 0]])


def reading(soft: torch.Tensor, grid: tuple[int, int] | None = None) -> Maps:
    """``[B, N]`` as an image of ``grid``, or as texts of N tokens."""
    name, shape = ("image", (len(soft), 1, *grid)) if grid else ("text", tuple(soft.shape))
    mask = {name: torch.ones(shape, dtype=torch.bool)}
    layout = make_layout(mask, {name: finest(name)}, {})
    return Maps(soft, soft, layout.real, layout)


@pytest.mark.parametrize("grid", [(4, 5), None])
def test_a_template_points_no_better_than_its_class_mean(grid: tuple[int, int] | None) -> None:
    classes = torch.arange(12) % 3
    templates = torch.rand(3, 20, generator=g())
    drawn, found = Collected(), Collected()
    truth = torch.zeros(12, 20, dtype=torch.bool)
    truth[torch.arange(12), torch.randperm(20, generator=g(2))[:12]] = True
    for half in (slice(0, 5), slice(5, 12)):
        drawn.add(reading(templates[classes][half], grid), truth[half])
        found.add(reading(truth[half].float(), grid), truth[half])
    draws, finds = drawn.describe(classes), found.describe(classes)
    assert draws["share"] == pytest.approx(1)
    assert draws["like_its_class"] == pytest.approx(1)
    assert finds["auprc_own"] == pytest.approx(1)
    assert finds["pointing_game_own"] == pytest.approx(1)
    assert finds["auprc_class_mean"] < 0.5
    assert finds["adjusted"] < 0.3
    if grid:  # between places a text's mean is interpolated
        assert draws["auprc_own"] == pytest.approx(draws["auprc_class_mean"])


def test_without_truth_nothing_is_said_of_pointing() -> None:
    own = Collected()
    own.add(reading(torch.rand(4, 6, generator=g())), None)
    row = own.describe(torch.tensor([0, 0, 1, 2]))
    assert not [k for k in row if k.startswith("auprc")]
    assert row["samples"] == 4
    assert row["classes"] == 3


# -- encoding ------------------------------------------------------------------------------


def test_masks_of_a_map() -> None:
    soft = torch.rand(3, 20, generator=g())
    found = masks_of(reading(soft), [0.1, 0.25, 0.005], [4, 5, 6])
    assert list(found) == ["map", "map, shuffled", "10%", "25%", "0.5%"]
    assert torch.equal(found["map"], soft)
    moved = found["map, shuffled"]
    assert not torch.equal(moved, soft)
    np.testing.assert_array_equal(moved.sort(1).values, soft.sort(1).values)
    for name, k in (("10%", 2), ("25%", 5), ("0.5%", 1)):
        for row, own in zip(found[name], soft, strict=True):
            assert set(row.nonzero().flatten().tolist()) == set(own.topk(k).indices.tolist())
    again = masks_of(reading(soft[1:2]), [0.1], [5])
    assert torch.equal(again["map, shuffled"][0], moved[1])  # a sample's own, whatever its batch


def test_verdicts_by_hand() -> None:
    p = torch.tensor([[0.7, 0.3], [0.4, 0.6], [0.9, 0.1]])
    clean = torch.tensor([[0.6, 0.4], [0.8, 0.2], [0.1, 0.9]])
    found = verdicts(p, clean, torch.tensor([0, 1, 1]), torch.tensor([1, 1, 0]))
    assert found["agreement"].tolist() == [1, 1, 0]
    assert found["kept"].tolist() == [1, 0, 0]
    assert found["accuracy"].tolist() == [0, 1, 1]
    assert found["confidence"].tolist() == pytest.approx([0.7, 0.6, 0.1])
    assert "accuracy" not in verdicts(p, clean, torch.tensor([0, 1, 1]), None)


# -- tables --------------------------------------------------------------------------------


def test_a_tally_forgets_what_is_no_number() -> None:
    tally = Tally()
    tally.add(torch.tensor([1.0, torch.nan, 2.0]), a="x")
    tally.add(torch.tensor([6.0]), a="x")
    tally.add(torch.tensor([torch.nan]), a="y")
    tally.add(torch.tensor([4.0]), a="z")
    first, second, third = tally.rows()
    assert first == {"a": "x", "mean": 3.0, "sd": pytest.approx(np.std([1, 2, 6], ddof=1), abs=1e-6), "n": 3}
    assert second == {"a": "y", "mean": None, "sd": None, "n": 0}
    assert third == {"a": "z", "mean": 4.0, "sd": None, "n": 1}, "one value has no deviation"


def test_tables_and_the_better_reading() -> None:
    rows = [
        {"method": "rise", "reading": r, "at": at, "mean": m, "n": n}
        for r, at, m, n in (
            ("abs", 1, 0.9, 32),
            ("abs", 2, 0.1, 29),
            ("positive", 1, 0.6, 32),
            ("positive", 2, None, 0),
        )
    ]
    table = pivot("t", rows, "at")
    assert (table.title, pivot("t", rows[:1], "at").title) == ("t, n = 0 to 32", "t, n = 32")
    assert markdown(table).splitlines() == [
        "| method | 1 | 2 |",
        "| --- | --- | --- |",
        "| RISE \\|·\\| | 0.900 | 0.100 |",
        "| RISE + | 0.600 | – |",
    ]
    assert {r["reading"] for r in choose(rows, lower_is_better=True)} == {"abs"}
    assert {r["reading"] for r in choose(rows, lower_is_better=False)} == {"positive"}
    assert digest({"a": 1}) == digest({"a": 1}) != digest({"a": 2})
