"""The judge's metrics against slow loops in float64, SciPy, and toys whose answer is known."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import Tensor

from eval_toys import LinearToy, image_toy, joint_toy
from sidelight.core.types import IMAGE, TEXT
from sidelight.errors import ConfigError
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.engine import evaluate_batch, make_judge, make_probe
from sidelight.lab.evaluation.settings import BatchResult, EvalSettings
from sidelight.lab.metrics import METRICS, default_metrics, single_deletion
from sidelight.lab.metrics.judging import JudgeSettings, removed_counts
from sidelight.lab.metrics.layout import RankedScores

JUDGED = ("fidelity_plus", "fidelity_minus", "single_deletion", "single_deletion_rank")


def judged(
    target: LinearToy,
    judge: LinearToy,
    inputs: dict[str, Tensor],
    scores: Any,
    ids: list[int] | None = None,
    metrics: tuple[str, ...] = JUDGED,
    granularities: tuple[str, ...] = ("pixel",),
    signed: bool = False,
    groups: tuple[tuple[str, ...], ...] = (),
    **asked: Any,
) -> BatchResult:
    batch = Batch(inputs, ids or list(range(len(next(iter(inputs.values()))))))
    options = EvalSettings(
        metrics=metrics, granularities=granularities, groups=groups, judge=JudgeSettings(**asked)
    )
    probe = make_probe(target, batch, options)
    passes = make_judge(judge, probe, batch, options)
    return evaluate_batch(
        target, batch, scores, method="m", signed=signed, settings=options, probe=probe, judge=passes
    )


def values(result: BatchResult, metric: str, **where: Any) -> dict[int, float]:
    rows = [r for r in result.rows if r["metric"] == metric and all(r[k] == v for k, v in where.items())]
    found = {r["sample"]: r["value"] for r in rows}
    assert len(found) == len(rows)
    return found


def other_weights(target: LinearToy, seed: int = 9) -> LinearToy:
    """A judge of the target's kind with weights of its own."""
    g = torch.Generator().manual_seed(seed)
    own = {n: torch.randn(w.shape, generator=g) for n, w in target.model.named_buffers()}
    return LinearToy(own, list(target.modalities.values()))


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 200), st.floats(0.01, 1), st.floats(0.01, 1), st.data())
def test_as_many_features_go_as_the_shares_say(total: int, alpha: float, beta: float, data: Any) -> None:
    part = data.draw(st.integers(0, total))
    found = int(removed_counts(torch.tensor(part), torch.tensor(total), alpha, beta))
    most = max(1, math.floor(beta * total + 1e-9))
    assert found == min(max(1, min(math.floor(alpha * part + 0.5), most)), part)


@pytest.mark.parametrize("fill", ["zero", "one"])
def test_fidelity_with_whole_parts_removed_by_hand(fill: str) -> None:
    """With α = β = 1 nothing is left to chance: the whole top part goes, or all the rest."""
    target, inputs = image_toy(size=3, batch=4)
    judge = other_weights(target)
    order = torch.from_numpy(np.random.default_rng(0).permuted(np.tile(np.arange(9.0), (4, 1)), axis=1))
    sizes = (0.2, 0.5, 0.8)
    options = EvalSettings(
        fills=[fill], metrics=JUDGED[:2], judge=JudgeSettings(1.0, 1.0, sizes, draws=2, cells=9)
    )
    batch = Batch(inputs, [0, 1, 2, 3])
    probe = make_probe(target, batch, options)
    passes = make_judge(judge, probe, batch, options)
    scores = {"image": order.view(4, 1, 3, 3)}
    result = evaluate_batch(
        target, batch, scores, method="m", signed=False, settings=options, probe=probe, judge=passes
    )
    gone = {"zero": 0.0, "one": 1.0}[fill]
    for row in range(4):
        x = inputs["image"][row].flatten().double()
        says = float((target.model.image.flatten().double() * x).sum())
        sign = 1.0 if says > 0 else -1.0  # the class that the target predicts
        w = judge.model.image.flatten().double()

        def p(keep: np.ndarray, w: Tensor = w, x: Tensor = x, sign: float = sign) -> float:
            kept = torch.from_numpy(keep)
            return 1 / (1 + math.exp(-sign * float((w * torch.where(kept, x, gone)).sum())))

        place = (-order[row]).argsort().argsort().numpy()
        whole = p(np.ones(9, dtype=bool))
        tops = [math.floor(s * 9 + 0.5) for s in sizes]
        plus = np.mean([whole - p(place >= t) for t in tops])
        minus = np.mean([whole - p(place < t) for t in tops])
        assert values(result, "fidelity_plus")[row] == pytest.approx(plus, abs=1e-6)
        assert values(result, "fidelity_minus")[row] == pytest.approx(minus, abs=1e-6)


def test_fidelity_is_the_mean_over_random_parts() -> None:
    """Two of four top features go: the mean over all six choices, by enumeration."""
    target, inputs = image_toy(size=3, batch=1, seed=3)
    scores = {"image": torch.arange(9.0).view(1, 1, 3, 3)}
    found = judged(target, target, inputs, scores, alpha=0.5, beta=0.5, sizes=(4 / 9,), draws=4000)
    contributions = (inputs["image"] * target.model.image).flatten().double().numpy()
    sign = np.sign(contributions.sum())

    def p(gone: tuple[int, ...]) -> float:
        kept = contributions[[i for i in range(9) if i not in gone]].sum()
        return 1 / (1 + math.exp(-sign * kept))

    for metric, part, size in (("fidelity_plus", (5, 6, 7, 8), 2), ("fidelity_minus", (0, 1, 2, 3, 4), 3)):
        each = [p(()) - p(gone) for gone in itertools.combinations(part, size)]
        spread = np.std(each) / math.sqrt(4000)
        assert values(found, metric)[0] == pytest.approx(np.mean(each), abs=4 * spread + 1e-6)


def test_never_more_than_beta_is_removed() -> None:
    target, inputs = image_toy(size=10, batch=2)
    seen: list[Tensor] = []

    class Watching(LinearToy):
        def classify(self, inputs, scores, *args, **kwargs):
            seen.append((scores["image"] == 0).flatten(1).sum(1))
            return super().classify(inputs, scores, *args, **kwargs)

    judge = Watching({"image": target.model.image}, [IMAGE])
    judged(target, judge, inputs, {"image": torch.rand(2, 1, 10, 10)}, metrics=JUDGED[:2], beta=0.07)
    removed = torch.cat(seen)
    assert removed.max() == 7
    assert removed.min() == 5  # half of the top tenth


@pytest.mark.parametrize(("granularity", "side"), [("pixel", 1), ("patch2", 2), ("patch4", 4)])
def test_single_deletion_is_scipys_correlation(granularity: str, side: int) -> None:
    target, inputs = image_toy(size=5, batch=3)
    judge = other_weights(target)
    raw = {"image": torch.randn(3, 1, 5, 5, generator=torch.Generator().manual_seed(1))}
    result = judged(
        target, judge, inputs, raw, metrics=("single_deletion",), granularities=(granularity,), signed=True
    )
    grid = torch.arange(25).view(5, 5)
    starts = range(0, 5, side)
    units = [grid[r : r + side, c : c + side].flatten().tolist() for r in starts for c in starts]
    for row in range(3):
        own = (inputs["image"] * judge.model.image)[row].flatten().double()
        says = float((target.model.image * inputs["image"][row]).sum())
        # the logit of class 0 is w·x, that of class 1 is always 0, so a judge of class 1 never loses anything
        drops = [float(own[unit].sum()) for unit in units]
        flat = raw["image"][row].flatten().double()
        for reduction, worth in (
            ("positive", [float(flat[u].sum()) for u in units]),
            ("abs", [float(flat[u].abs().sum()) for u in units]),
        ):
            found = values(result, "single_deletion", reduction=reduction)[row]
            if says > 0:
                assert found == pytest.approx(spearmanr(worth, drops).statistic, abs=1e-9)
            else:
                assert math.isnan(found)


class OneOutput(LinearToy):
    """Logits ``(0, w·x)``: those of a classifier of one output, as :mod:`sidelight.targets.verdict` reads it."""

    def forward(self, inputs: dict[str, Tensor], features: dict[str, Tensor]) -> Tensor:
        return super().forward(inputs, features).flip(1)


def test_a_judge_of_one_output_loses_evidence_for_no_as_well_as_for_yes() -> None:
    own, inputs = image_toy(size=5, batch=3)
    target = OneOutput({"image": own.model.image}, [IMAGE])
    said = (inputs["image"] * own.model.image).flatten(1).sum(1) > 0
    assert set(said.tolist()) == {True, False}
    raw = {"image": torch.rand(3, 1, 5, 5, generator=torch.Generator().manual_seed(1))}
    found = values(judged(target, target, inputs, raw, metrics=("single_deletion",)), "single_deletion")
    for row in range(3):
        drops = (inputs["image"] * own.model.image)[row].flatten().double() * (1 if said[row] else -1)
        assert found[row] == pytest.approx(spearmanr(raw["image"][row].flatten(), drops).statistic, abs=1e-6)


def positive_toy(size: int = 4, batch: int = 3) -> tuple[LinearToy, dict[str, Tensor]]:
    """A toy that predicts class 0 for every sample of the batch."""
    target, inputs = image_toy(size=size, batch=batch)
    total = (inputs["image"] * target.model.image).flatten(1).sum(1)
    inputs["image"] = inputs["image"] * torch.sign(total).view(-1, 1, 1, 1)
    return target, inputs


def test_true_contributions_have_the_best_score_and_their_negative_the_worst() -> None:
    target, inputs = positive_toy()
    exact = inputs["image"] * target.model.image
    for factor, expected in ((1.0, 1.0), (-1.0, -1.0)):
        result = judged(target, target, inputs, {"image": factor * exact}, signed=True, cells=16)
        found = values(result, "single_deletion", reduction="positive")
        assert list(found.values()) == pytest.approx([expected] * 3)
    right = judged(target, target, inputs, {"image": exact}, signed=True, beta=0.5, draws=200)
    wrong = judged(target, target, inputs, {"image": -exact}, signed=True, beta=0.5, draws=200)
    for sample in range(3):
        better, worse = (
            [values(r, m, reduction="positive")[sample] for m in JUDGED[:2]] for r in (right, wrong)
        )
        assert better[0] > 0.02 > 0 > better[1]
        assert worse[0] < better[0]
        assert worse[1] > better[1]


def test_the_judge_is_asked_about_the_targets_class() -> None:
    target, inputs = positive_toy()
    opposed = LinearToy({"image": -target.model.image}, [IMAGE])
    exact = inputs["image"] * target.model.image
    result = judged(target, opposed, inputs, {"image": exact}, signed=True)
    found = values(result, "single_deletion", reduction="positive")
    assert list(found.values()) == pytest.approx([-1.0] * 3)


def test_at_most_so_many_units_are_removed_and_none_twice() -> None:
    target, inputs = positive_toy(size=6, batch=2)
    judge = LinearToy({"image": target.model.image}, [IMAGE])
    exact = inputs["image"] * target.model.image
    batch = Batch(inputs, [4, 8])
    options = EvalSettings(metrics=("single_deletion",), judge=JudgeSettings(cells=10))
    probe = make_probe(target, batch, options)
    passes = make_judge(judge, probe, batch, options)
    for method in ("first", "second"):
        result = evaluate_batch(
            target,
            batch,
            {"image": exact},
            method=method,
            signed=True,
            settings=options,
            probe=probe,
            judge=passes,
        )
        assert list(values(result, "single_deletion", reduction="positive").values()) == pytest.approx([1, 1])
    assert (
        sum(judge.passes) == 2 + 2 * 10
    )  # two clean inputs, ten removals of each, for both methods together
    assert passes.single("zero", _layout(probe), "pixel").measured.sum(1).tolist() == [10, 10]


def _layout(probe: Any) -> Any:
    from sidelight.lab.metrics.granularity import finest
    from sidelight.lab.metrics.layout import make_layout

    return make_layout(probe.feature_mask, {"image": finest("image")}, probe.inputs)


class Worded(LinearToy):
    """A text toy whose tokens come in words."""

    def words(self, inputs):
        return {"text": inputs["text_words"]}


def test_words_of_a_text_go_as_a_whole() -> None:
    g = torch.Generator().manual_seed(0)
    weights = torch.rand(1, 6, 2, generator=g) + 0.1
    inputs = {
        "text": torch.rand(2, 6, 2, generator=g),
        "text_real": torch.tensor(
            [[False, True, True, True, True, False], [False, True, True, True, False, False]]
        ),
        "text_words": torch.tensor([[0, 1, 1, 2, 3, 4], [0, 1, 2, 2, 3, 4]]),
    }
    target = Worded({"text": weights}, [TEXT])
    raw = torch.randn(2, 6, generator=g)
    result = judged(target, target, inputs, {"text": raw}, granularities=("token",), signed=True)
    own = (inputs["text"] * weights).sum(-1).double()
    for row, words in enumerate([[[1, 2], [3], [4]], [[1], [2, 3]]]):
        expected = spearmanr(
            [float(raw[row, w].double().sum()) for w in words], [float(own[row, w].sum()) for w in words]
        ).statistic
        found = values(result, "single_deletion", reduction="positive")[row]
        assert found == pytest.approx(expected, abs=1e-9)


def test_scores_that_only_rank_count_by_their_mean() -> None:
    """Raw scores of a ranking have no zero, so a patch at the border is not worth less for being small."""
    target, inputs = positive_toy(size=5, batch=1)
    ranking = torch.full((1, 1, 5, 5), -5.0)
    ranking[0, 0, 4, 4] = -1.0  # the corner is a patch of one pixel
    flat = {"image": torch.rand(1, 1, 5, 5)}
    scores = RankedScores(flat, {"image": ranking})
    batch = Batch(inputs, [0])
    options = EvalSettings(metrics=("single_deletion",), granularities=("patch2",), judge=JudgeSettings())
    probe = make_probe(target, batch, options)
    passes = make_judge(target, probe, batch, options)
    result = evaluate_batch(
        target, batch, scores, method="m", signed=False, settings=options, probe=probe, judge=passes
    )
    own = (inputs["image"] * target.model.image)[0, 0].double()
    drops = [float(own[r : r + 2, c : c + 2].sum()) for r in (0, 2, 4) for c in (0, 2, 4)]
    expected = spearmanr([0] * 8 + [1], drops).statistic
    assert values(result, "single_deletion")[0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_effects_add_up_where_a_method_has_them(cut: int) -> None:
    """A method of three readings: its effects are summed in a patch, also a small one, and its ranking is averaged."""
    target, inputs = positive_toy(size=5, batch=2)
    g = torch.Generator().manual_seed(cut)
    ranking, effects = (torch.randn(2, 1, 5, 5, generator=g) for _ in range(2))
    scores = RankedScores({"image": torch.rand(2, 1, 5, 5)}, {"image": ranking}, {"image": effects})
    grain = f"patch{cut}" if cut > 1 else "pixel"
    result = judged(target, target, inputs, scores, metrics=JUDGED[2:], granularities=(grain,))
    grid = torch.arange(25).view(5, 5)
    starts = range(0, 5, cut)
    units = [grid[r : r + cut, c : c + cut].flatten().tolist() for r in starts for c in starts]
    for row in range(2):
        own = (inputs["image"] * target.model.image)[row].flatten().double()
        drops = [float(own[u].sum()) for u in units]
        sums = [float(effects[row].flatten()[u].double().sum()) for u in units]
        means = [float(ranking[row].flatten()[u].double().mean()) for u in units]
        for metric, worth in (("single_deletion", sums), ("single_deletion_rank", means)):
            expected = spearmanr(worth, drops).statistic
            assert values(result, metric)[row] == pytest.approx(expected, abs=1e-9)


def test_a_sample_keeps_its_values_in_any_batch() -> None:
    target, inputs = joint_toy()
    judge = other_weights(target)
    scores = {n: torch.randn(m.shape) for n, m in target.feature_mask(inputs).items()}
    together = judged(target, judge, inputs, scores, [7, 3, 5], cells=5)
    for row, sample in enumerate([7, 3, 5]):
        one = {k: v[row : row + 1] for k, v in inputs.items()}
        own = {k: v[row : row + 1] for k, v in scores.items()}
        alone = judged(target, judge, one, own, [sample], cells=5)
        for metric in JUDGED:
            assert values(alone, metric)[sample] == pytest.approx(
                values(together, metric)[sample], abs=1e-6, nan_ok=True
            )


def test_parts_of_one_modality_leave_the_others_whole() -> None:
    target, inputs = joint_toy()
    scores = {n: torch.randn(m.shape) for n, m in target.feature_mask(inputs).items()}
    seen: list[set[str]] = []

    class Watching(LinearToy):
        def classify(self, inputs, scores, *args, **kwargs):
            seen.append(set(scores))
            return super().classify(inputs, scores, *args, **kwargs)

    judge = Watching(dict(target.model.named_buffers()), list(target.modalities.values()))
    result = judged(target, judge, inputs, scores, groups=(("text",),))
    assert seen
    assert set().union(*seen) == {"text"}
    assert {r["modality"] for r in result.rows} == {"text"}


def test_no_order_means_no_value() -> None:
    ones, drops = torch.ones(1, 3), torch.tensor([[1.0, 2.0, 3.0]])
    every = torch.ones(1, 3, dtype=torch.bool)
    assert single_deletion(ones, drops, every).isnan().all()
    assert single_deletion(drops, ones, every).isnan().all()
    assert single_deletion(ones, ones, every).isnan().all()
    alone = torch.tensor([[True, False, False]])
    assert single_deletion(drops, drops, alone).isnan().all()
    assert float(single_deletion(drops, drops, every)) == pytest.approx(1)


def test_a_judge_is_asked_only_by_name() -> None:
    assert not set(JUDGED) & set(default_metrics())
    assert set(default_metrics()) | set(JUDGED) == set(METRICS)
    assert not EvalSettings().judged
    target, inputs = image_toy()
    options = EvalSettings(metrics=("fidelity_plus",))
    assert options.judged
    with pytest.raises(ConfigError, match="asks a judge"):
        evaluate_batch(
            target,
            Batch(inputs, [0, 1, 2]),
            {"image": inputs["image"]},
            method="m",
            signed=True,
            settings=options,
        )


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"beta": 0.0}, r"judge.beta must lie in \(0, 1\]; got 0.0"),
        ({"alpha": 1.5}, "judge.alpha"),
        ({"sizes": ()}, "judge.sizes"),
        ({"sizes": (1.0,)}, "judge.sizes"),
        ({"sizes": (0.5, 0.1, 0.5)}, "judge.sizes names 0.5 twice"),
        ({"sizes": 0.5}, r"Write sizes=\[0.5\]"),
        ({"beta": True}, "beta must be a number; got True"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"draws": 2.5}, "draws must be a whole number"),
        ({"cells": 1}, "judge.cells must be at least 2"),
    ],
)
def test_bad_settings_are_refused(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        JudgeSettings(**bad)


def test_a_sample_without_measured_units_has_no_value_and_takes_none_from_others() -> None:
    worth, drops = torch.tensor([[1.0, 2.0], [1.0, 2.0]]), torch.tensor([[0.1, 0.4], [0.1, 0.4]])
    found = single_deletion(worth, drops, torch.tensor([[True, True], [False, False]]))
    assert found[0] == 1
    assert math.isnan(found[1])
