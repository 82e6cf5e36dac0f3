"""The batched engine against closed forms, slow float64 loops and Quantus."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from eval_toys import image_toy, joint_toy
from sidelight.core.layout import lay_out
from sidelight.errors import ConfigError, InputError, UnknownNameError
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.engine import evaluate_batch, make_probe
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.metrics import METRICS
from sidelight.lab.metrics.probe import Probe
from sidelight.lab.metrics.ranking import ranks
from sidelight.targets import as_target
from text_models import make_pair

AREAS = (0.01, 0.05, 0.1, 0.2, 0.5)


def values(result, **where) -> dict[tuple[int, str], float]:
    rows = [r for r in result.rows if all(r[k] == v for k, v in where.items())]
    table = {(r["sample"], r["metric"]): r["value"] for r in rows}
    assert len(table) == len(rows), "a value is reported twice"
    return table


def half_up(x: float) -> int:
    return math.floor(x + 0.5 + 1e-9)


def slow(target, inputs, scores, ids, steps, fill=0.0):
    """Every quantity of one non-signed map by float64 loops, one mask at a time.

    Ranks all modalities together; ``scores`` have no ties.
    """
    out = {}
    names = list(target.modalities)
    for row, sample in enumerate(ids):
        features = []  # (score, contribution when present, contribution when removed)
        fixed = 0.0
        for name in names:
            w = getattr(target.model, name)[0].double()
            x, s = inputs[name][row].double(), scores[name][row].double()
            here, gone = w * x, w * fill
            if s.ndim < x.ndim:  # one score over the last axis
                here, gone = here.sum(-1), gone.sum(-1)
            real = inputs[f"{name}_real"][row]
            fixed += float(here[~real].sum())
            features += zip(s[real].tolist(), here[real].tolist(), gone[real].tolist(), strict=True)
        clean = fixed + sum(h for _, h, _ in features)
        sign = 1.0 if clean > 0 else -1.0

        def p(keep, fixed=fixed, features=features, sign=sign):
            logit = fixed + sum(k * h + (1 - k) * g for k, (_, h, g) in zip(keep, features, strict=True))
            return 1 / (1 + math.exp(-sign * logit))

        n = len(features)
        order = sorted(range(n), key=lambda i, f=features: -f[i][0])
        place = {feature: position for position, feature in enumerate(order)}
        counts = [half_up(k * n / steps) for k in range(steps + 1)]
        deletion = [p([float(place[i] >= c) for i in range(n)]) for c in counts]
        insertion = [p([float(place[i] < c) for i in range(n)]) for c in counts]
        least_first = [p([float(place[i] < n - c) for i in range(n)]) for c in [n - c for c in counts][::-1]]
        tops = [max(1, half_up(a * n)) for a in AREAS]
        low, high = min(f[0] for f in features), max(f[0] for f in features)
        soft = [(f[0] - low) / (high - low) for f in features]
        shares = [c / n for c in counts]
        full = p([1.0] * n)
        area = {k: np.trapezoid(c, shares) for k, c in (("d", deletion), ("i", insertion))}
        area["l"] = np.trapezoid(least_first, [1 - s for s in shares][::-1])
        out |= {
            (sample, "average_drop"): max(0.0, full - p(soft)),
            (sample, "average_drop_relative"): max(0.0, full - p(soft)) / full,
            (sample, "increase_in_confidence"): float(p(soft) > full),
            (sample, "deletion_auc"): area["d"],
            (sample, "insertion_auc"): area["i"],
            (sample, "srg"): area["l"] - area["d"],
            (sample, "flip_share"): next((s for s, q in zip(shares, deletion, strict=True) if q < 0.5), 1.0),
            (sample, "sufficiency"): np.mean(
                [full - p([float(place[i] < c) for i in range(n)]) for c in tops]
            ),
            (sample, "comprehensiveness"): np.mean(
                [full - p([float(place[i] >= c) for i in range(n)]) for c in tops]
            ),
            (sample, "complexity"): math.sqrt(sum(s * s for s in soft)),
            (sample, "sparsity"): n / sum(soft),
            (sample, "mean_score"): sum(soft) / n,
            (sample, "area"): sum(s > 0.5 for s in soft) / n,
            (sample, "entropy"): -sum(q * math.log(q) for s in soft if (q := s / sum(soft)) > 0)
            / math.log(n),
        }
    return out


def distinct(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    order = np.random.default_rng(seed).permutation(int(np.prod(shape))).astype(np.float32)
    return torch.from_numpy(order).view(shape)


@pytest.mark.parametrize("steps", [1, 7, 20])
@pytest.mark.parametrize(("fill", "value"), [("zero", 0.0), ("one", 1.0)])
def test_every_metric_of_jointly_ranked_modalities_equals_the_slow_loop(steps, fill, value) -> None:
    target, inputs = joint_toy()
    scores = {n: distinct(m.shape, i) + i / 7 for i, (n, m) in enumerate(target.feature_mask(inputs).items())}
    options = EvalSettings(fills=[fill], steps=steps, forward_batch=5)
    ids = [11, 5, 8]
    got = evaluate_batch(target, Batch(inputs, ids), scores, method="m", signed=False, settings=options)
    want = slow(target, inputs, scores, ids, steps, value)
    assert {r["granularity"] for r in got.rows} == {"pixel+token+unit"}
    assert {r["modality"] for r in got.rows} == {"image+text+sound"}
    table = values(got)
    assert table.keys() == want.keys()
    for key, expected in want.items():
        assert table[key] == pytest.approx(expected, abs=2e-6), key


def test_two_features_by_hand() -> None:
    target, inputs = image_toy(size=2, batch=1)
    target.model.image.copy_(torch.tensor([2.0, 1.0, 0.0, 0.0]).view(1, 1, 2, 2))
    inputs["image"] = torch.ones(1, 1, 2, 2)
    scores = {"image": torch.tensor([4.0, 3.0, 2.0, 1.0]).view(1, 1, 2, 2)}
    options = EvalSettings(steps=4)
    result = evaluate_batch(target, Batch(inputs, [0]), scores, method="m", signed=False, settings=options)

    def p(logit: float) -> float:
        return 1 / (1 + math.exp(-logit))

    curves = {c["kind"]: c["p"] for c in result.curves}
    assert curves["deletion"] == pytest.approx([p(3), p(1), 0.5, 0.5, 0.5])
    assert curves["insertion"] == pytest.approx([0.5, p(2), p(3), p(3), p(3)])
    assert values(result)[0, "average_drop"] == pytest.approx(p(3) - p(2 + 2 / 3), abs=1e-6)
    assert values(result)[0, "deletion_auc"] == pytest.approx((p(3) / 2 + p(1) + 0.5 + 0.5 + 0.25) / 4)


def test_one_modality_is_masked_while_the_others_stay() -> None:
    target, inputs = joint_toy()
    scores = {n: distinct(m.shape, 1) for n, m in target.feature_mask(inputs).items()}
    options = EvalSettings(groups=[["text"], ["image", "text"]], metrics=["deletion_auc", "mean_score"])
    batch = Batch(inputs, [0, 1, 2])
    result = evaluate_batch(target, batch, scores, method="m", signed=False, settings=options)
    assert {r["modality"] for r in result.rows} == {"text", "image+text"}
    text = next(c for c in result.curves if c["modality"] == "text" and c["sample"] == 0)
    w, x = target.model.text[0], inputs["text"][0]
    rest = float(sum((getattr(target.model, n)[0] * inputs[n][0]).sum() for n in ("image", "sound")))
    left = rest + float((w * x)[~inputs["text_real"][0]].sum())
    clean = rest + float((w * x).sum())
    assert text["p"][-1] == pytest.approx(1 / (1 + math.exp(-math.copysign(1, clean) * left)), abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 25), st.sampled_from(["pixel", "patch2", "patch3"]))
def test_srg_is_least_minus_most_relevant_first(seed: int, steps: int, granularity: str) -> None:
    """Against a direct loop that removes the least relevant features, with ties."""
    target, inputs = image_toy(size=5, batch=2, seed=seed)
    raw = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (2, 1, 5, 5)).astype(np.float32))
    options = EvalSettings(steps=steps, granularities=[granularity], metrics=["srg", "deletion_auc"])
    batch = Batch(inputs, [3, 4])
    table = values(evaluate_batch(target, batch, {"image": raw}, method="m", signed=False, settings=options))
    size = {"pixel": 1, "patch2": 2, "patch3": 3}[granularity]
    side = math.ceil(5 / size)
    for row, sample in enumerate(batch.ids):
        blocks = [
            (slice(r * size, (r + 1) * size), slice(c * size, (c + 1) * size))
            for r in range(side)
            for c in range(side)
        ]
        means = torch.stack([raw[row, 0][b].double().mean().float() for b in blocks])[None]
        place = ranks(means, torch.ones_like(means, dtype=torch.bool), [sample])[0]
        n = len(blocks)
        kept_counts = [(2 * k * n + steps) // (2 * steps) for k in range(steps + 1)][::-1]
        predicted = int(target.forward(inputs, {"image": inputs["image"]})[row].argmax())
        p = []
        for kept in kept_counts:  # ever more of the least relevant are gone
            x = torch.zeros_like(inputs["image"][row : row + 1])
            for index, block in enumerate(blocks):
                if place[index] < kept:
                    x[0, 0][block] = inputs["image"][row, 0][block]
            p.append(float(target.forward({}, {"image": x}).softmax(-1)[0, predicted]))
        least_first = np.trapezoid(p, [1 - c / n for c in kept_counts])
        expected = least_first - table[sample, "deletion_auc"]
        assert table[sample, "srg"] == pytest.approx(expected, abs=1e-5)


def test_signed_maps_are_read_twice_and_others_once() -> None:
    target, inputs = image_toy()
    batch = Batch(inputs, [0, 1, 2])
    scores = {"image": inputs["image"] * target.model.image}
    signed = evaluate_batch(target, batch, scores, method="gradient × input", signed=True)
    assert {r["reduction"] for r in signed.rows} == {"abs", "positive"}
    plain = evaluate_batch(target, batch, {"image": scores["image"].abs()}, method="m", signed=False)
    assert values(plain, reduction="none") == values(signed, reduction="abs")


def test_a_map_of_ones_loses_nothing_and_has_the_curve_of_a_random_order() -> None:
    target, inputs = image_toy(size=6, batch=2)
    ones = {"image": torch.ones(2, 1, 6, 6)}
    options = EvalSettings(tie_draws=300)
    batch = Batch(inputs, [0, 1])
    table = values(evaluate_batch(target, batch, ones, method="m", signed=False, settings=options))
    for sample in (0, 1):
        assert table[sample, "average_drop"] == 0
        assert table[sample, "increase_in_confidence"] == 0
        assert table[sample, "mean_score"] == 1
        assert table[sample, "srg"] == pytest.approx(
            table[sample, "insertion_auc"] - table[sample, "deletion_auc"]
        )
        contributions = (inputs["image"] * target.model.image)[sample].flatten().double().numpy()
        rng = np.random.default_rng(0)
        sign, areas = np.sign(contributions.sum()), []
        counts = [half_up(k * 36 / 20) for k in range(21)]
        for _ in range(2000):
            shuffled = rng.permutation(contributions)
            p = [1 / (1 + math.exp(-sign * shuffled[c:].sum())) for c in counts]
            areas.append(np.trapezoid(p, np.array(counts) / 36))
        assert table[sample, "deletion_auc"] == pytest.approx(
            np.mean(areas), abs=4 * np.std(areas) / math.sqrt(300)
        )


def test_permuting_the_pixels_of_input_map_and_weights_changes_nothing() -> None:
    target, inputs = image_toy(size=4)
    scores = {"image": distinct((3, 1, 4, 4), 2)}
    before = values(evaluate_batch(target, Batch(inputs, [0, 1, 2]), scores, method="m", signed=False))
    order = torch.from_numpy(np.random.default_rng(1).permutation(16))

    def shuffle(x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, order].view(x.shape)

    target.model.image.copy_(shuffle(target.model.image))
    inputs["image"] = shuffle(inputs["image"])
    scores = {"image": shuffle(scores["image"])}
    after = values(evaluate_batch(target, Batch(inputs, [0, 1, 2]), scores, method="m", signed=False))
    assert after == pytest.approx(before, abs=1e-6)


def test_results_do_not_depend_on_the_batch() -> None:
    target, inputs = joint_toy()
    mask = target.feature_mask(inputs)
    scores = {n: torch.ones(m.shape) for n, m in mask.items()}  # nothing but ties
    options = EvalSettings(steps=5, tie_draws=2)
    whole = values(
        evaluate_batch(target, Batch(inputs, [4, 5, 6]), scores, method="m", signed=False, settings=options)
    )
    one = {k: v[1:2] for k, v in inputs.items()}
    alone = values(
        evaluate_batch(
            target,
            Batch(one, [5]),
            {k: v[1:2] for k, v in scores.items()},
            method="m",
            signed=False,
            settings=EvalSettings(steps=5, tie_draws=2, forward_batch=3),
        )
    )
    assert alone == pytest.approx({k: v for k, v in whole.items() if k[0] == 5}, abs=1e-6)


def test_each_mask_is_evaluated_once() -> None:
    target, inputs = image_toy(size=10, batch=4)
    batch = Batch(inputs, range(4))
    options = EvalSettings(fills=["zero", "one"], forward_batch=1000)
    probe = make_probe(target, batch, options)
    assert target.passes == [4]
    target.passes.clear()
    scores = {"image": distinct((4, 1, 10, 10), 0)}
    evaluate_batch(target, batch, scores, method="a", signed=False, settings=options, probe=probe)
    # soft map, everything removed, and per sample the 19 inner steps and the 1 % area, twice
    assert target.passes == [4, 4, 4 * 2 * (19 + 1)] * 2
    assert target.filled == ["zero", "one"]
    target.passes.clear()
    evaluate_batch(target, batch, scores, method="b", signed=False, settings=options, probe=probe)
    assert target.passes == [4, 4 * 2 * (19 + 1)] * 2
    assert target.filled == ["zero", "one"]


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1000),
    st.floats(0, 1),
    st.integers(1, 20),
    st.sampled_from(["pixel", "patch2"]),
    st.sampled_from([1, 2]),
)
def test_removals_that_change_nothing_are_not_asked_again(
    seed: int, share: float, steps: int, granularity: str, draws: int
) -> None:
    """Against curves that remove every cell for real, by passes of their own."""
    target, inputs = image_toy(size=6, batch=3, seed=seed)
    chance = np.random.default_rng(seed)
    inputs["image"][torch.from_numpy(chance.random((3, 1, 6, 6)) < share)] = 0.0
    raw = torch.from_numpy(chance.integers(0, 5, (3, 1, 6, 6)).astype(np.float32))
    options = EvalSettings(
        steps=steps,
        granularities=[granularity],
        metrics=["srg", "deletion_auc", "insertion_auc"],
        tie_draws=draws,
    )
    batch = Batch(inputs, [3, 4, 5])

    def measured() -> tuple[list[float], int]:
        target.passes.clear()
        found = evaluate_batch(target, batch, {"image": raw}, method="m", signed=False, settings=options)
        return [p for curve in found.curves for p in curve["p"]], sum(target.passes)

    own, few = measured()
    with pytest.MonkeyPatch.context() as patch:  # as if every removal changed something
        patch.setattr(
            Probe, "_changed", lambda probe, name, values: torch.ones_like(probe.feature_mask[name])
        )
        expected, many = measured()
    assert own == pytest.approx(expected, abs=1e-6)
    assert few <= many
    if not inputs["image"].any():
        assert few == 2 * 3, "black on black: the clean and the empty pass tell everything"


def test_black_on_black_costs_no_pass_and_a_dropped_token_does() -> None:
    target, inputs = image_toy(size=10, batch=1)
    inputs["image"][:, :, 3:] = 0.0  # 30 pixels are left
    scores = {"image": torch.arange(100.0).flip(0).view(1, 1, 10, 10)}  # from the top left on
    options = EvalSettings(steps=10, metrics=["deletion_auc"])
    batch = Batch(inputs, [0])
    curve = evaluate_batch(target, batch, scores, method="m", signed=False, settings=options).curves
    assert target.passes == [1, 1, 2 * 2]  # clean, empty, and two inner steps within the 30 pixels
    for line in curve:
        assert len(set(line["p"][3:])) == 1, "flat from the third step on"
    # a dropped token leaves the attention, whatever its embedding is
    text = as_target(*make_pair("bert"))
    text.model.get_input_embeddings().weight.data.zero_()
    batch = Batch(text.reader.read(["a good film"], labelled=False).inputs, [0])
    probe = make_probe(text, batch, EvalSettings(fills=["zero", "drop"]))
    layout = lay_out(probe.feature_mask)
    assert not probe.changes("zero", layout).any()
    assert torch.equal(probe.changes("drop", layout), layout.real)


def test_short_inputs_do_not_repeat_masks() -> None:
    target, inputs = joint_toy(batch=3)
    scores = {"text": distinct((3, 6), 0)}
    options = EvalSettings(groups=[["text"]], metrics=["deletion_auc"], forward_batch=1000)
    evaluate_batch(target, Batch(inputs, range(3)), scores, method="m", signed=False, settings=options)
    assert target.passes == [3, 3, 2 * (3 + 4 + 5)]  # 4, 5 and 6 real tokens, the ends are known


def test_metrics_without_fill_make_no_pass_and_truth_is_optional() -> None:
    target, inputs = image_toy()
    options = EvalSettings(metrics=["complexity", "auprc", "pointing_game", "iou"], fills=[])
    scores = {"image": inputs["image"].abs()}
    batch = Batch(inputs, [0, 1, 2])
    result = evaluate_batch(target, batch, scores, method="m", signed=False, settings=options)
    assert target.passes == [3]
    assert {(r["metric"], r["fill"]) for r in result.rows} == {("complexity", "none")}
    truth = {"image": inputs["image"].abs() >= inputs["image"].abs().flatten(1).amax(1).view(3, 1, 1, 1)}
    batch = Batch(inputs, [0, 1, 2], truth)
    table = values(evaluate_batch(target, batch, scores, method="m", signed=False, settings=options))
    assert all(table[i, "auprc"] == table[i, "pointing_game"] == 1 for i in range(3))


def test_a_cell_is_removed_as_a_whole() -> None:
    target, inputs = image_toy(size=4, batch=1)
    seen = []
    original = target.forward
    target.forward = lambda i, f: (seen.append(f["image"].clone()), original(i, f))[1]
    options = EvalSettings(granularities=["patch2"], metrics=["deletion_auc"])
    scores = {"image": distinct((1, 1, 4, 4), 0)}
    evaluate_batch(target, Batch(inputs, [0]), scores, method="m", signed=False, settings=options)
    masks = (torch.cat(seen) == inputs["image"]).float()
    cells = masks.view(-1, 2, 2, 2, 2).transpose(2, 3).flatten(3)
    assert bool((cells == cells[..., :1]).all())


def test_what_cannot_be_evaluated_says_so() -> None:
    target, inputs = image_toy()
    scores = {"image": torch.rand(3, 1, 4, 4)}
    with pytest.raises(InputError, match="distinct"):
        evaluate_batch(target, Batch(inputs, [1, 1, 2]), scores, method="m", signed=False)
    with pytest.raises(InputError, match="one number for each sample"):
        evaluate_batch(target, Batch(inputs, [1, 2]), scores, method="m", signed=False)
    with pytest.raises(InputError, match="no scores"):
        evaluate_batch(target, Batch(inputs, [0, 1, 2]), {}, method="m", signed=False)
    truth = {"image": torch.ones(3, 4, 4, dtype=torch.bool)}
    with pytest.raises(InputError, match="ground truth of 'image'"):
        evaluate_batch(target, Batch(inputs, [0, 1, 2], truth), scores, method="m", signed=False)
    inputs["image_real"][1] = False
    with pytest.raises(InputError, match=r"\[7\] have no real feature"):
        evaluate_batch(target, Batch(inputs, [6, 7, 8]), scores, method="m", signed=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"steps": True}, "steps must be a whole number; got True"),
        ({"steps": 1.5}, "steps must be a whole number; got 1.5"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"iou_threshold": 5}, "iou_threshold must be at most 1"),
        ({"fills": "zero"}, "fills must be a list of names; got 'zero'"),
        ({"groups": ["image"]}, "groups.* must be a list of names; got 'image'"),
        ({"shares": [float("nan")]}, "shares"),
        ({"tie_draws": 0}, "tie_draws"),
        ({"forward_batch": 0}, "forward_batch"),
        ({"fills": ()}, "at least one fill"),
        ({"metrics": ()}, "no metrics"),
        ({"shares": (0.1, 1.5)}, "shares must lie"),
        ({"fills": ("zero", "mean", "zero")}, "fills names 'zero' twice"),
        ({"metrics": ("iou", "iou")}, "metrics names 'iou' twice"),
        ({"shares": (0.1, 0.1)}, "shares names 0.1 twice"),
        ({"groups": (("image", "text"), ("text", "image"))}, "groups names .* twice"),
    ],
)
def test_settings_out_of_range_are_refused(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        EvalSettings(**options)


def test_settings_of_numpy_are_those_of_python() -> None:
    options = EvalSettings(steps=np.int64(4), seed=np.int32(3), shares=np.array([0.1, 0.5]), fills=["zero"])
    assert options == EvalSettings(steps=4, seed=3, shares=(0.1, 0.5), fills=("zero",))


def test_a_patch_as_large_as_the_picture_is_refused_because_all_maps_would_tie() -> None:
    target, inputs = image_toy(size=4, batch=2)
    scores, batch = {"image": distinct((2, 1, 4, 4), 0)}, Batch(inputs, [0, 1])
    options = EvalSettings(granularities=["patch4"], metrics=["deletion_auc"])
    with pytest.raises(InputError, match="'patch4' makes one cell of a picture of 4×4 pixels"):
        evaluate_batch(target, batch, scores, method="m", signed=False, settings=options)
    target, inputs = joint_toy()  # beside words a whole picture is a cell like another
    scores = {n: distinct(m.shape, 1) for n, m in target.feature_mask(inputs).items()}
    options = EvalSettings(groups=[["image", "text"]], granularities=["patch64"], metrics=["deletion_auc"])
    assert evaluate_batch(
        target, Batch(inputs, [0, 1, 2]), scores, method="m", signed=False, settings=options
    ).rows


def test_unknown_names_in_settings_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'sparsity'"):
        EvalSettings(metrics=["sparsty"])
    with pytest.raises(UnknownNameError, match="granularity"):
        EvalSettings(granularities=["segment"])


def test_metrics_of_settings_default_to_all_that_need_no_judge() -> None:
    assert tuple(EvalSettings().metrics) == tuple(n for n, m in METRICS.items() if not m.judged)


def test_deletion_curve_is_quantus_pixel_flipping() -> None:
    quantus = pytest.importorskip("quantus")

    class Net(torch.nn.Module):
        def forward(self, x):
            return target.forward({}, {"image": x})

    target, inputs = image_toy(size=4, batch=3)
    raw = distinct((3, 1, 4, 4), 5)
    predicted = target.forward(inputs, {"image": inputs["image"]}).argmax(-1)
    flip = quantus.PixelFlipping(
        features_in_step=2, perturb_baseline=0.0, abs=False, normalise=False, disable_warnings=True
    )
    try:
        reference = flip(
            model=Net().eval(),
            x_batch=inputs["image"].numpy(),
            y_batch=predicted.numpy(),
            a_batch=raw.numpy(),
            device="cpu",
            softmax=True,
        )
    except (AttributeError, TypeError, ValueError) as error:
        pytest.skip(f"Quantus cannot be called here: {error}")
    options = EvalSettings(metrics=["deletion_auc"], steps=8)
    batch = Batch(inputs, range(3))
    result = evaluate_batch(target, batch, {"image": raw}, method="m", signed=False, settings=options)
    curves = {c["sample"]: c["p"] for c in result.curves if c["kind"] == "deletion"}
    for row in range(3):
        assert curves[row][1:] == pytest.approx(
            list(map(float, reference[row])), abs=1e-5
        )  # it has no step 0
