"""Every choice of a protocol against formulas in float64, through the one engine; the default stays as it was."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from eval_toys import LinearToy, evaluated, joint_toy
from sidelight.core.types import IMAGE, TEXT
from sidelight.errors import ConfigError, InputError, UnknownNameError
from sidelight.inputs.base import Batch
from sidelight.lab.evaluation.settings import EvalSettings
from sidelight.lab.metrics.granularity import granularity
from sidelight.lab.metrics.protocols import PROTOCOLS
from sidelight.lab.metrics.ranking import threshold_counts

TOKENS, WIDTH, STEPS = 5, 3, 7


class TwoSided(LinearToy):
    """Logits ``(z, −z)``, so that no class has a constant one."""

    def forward(self, inputs: dict[str, Tensor], features: dict[str, Tensor]) -> Tensor:
        z = super().forward(inputs, features)[:, 0]
        return torch.stack([z, -z], 1)


class OneOutput(TwoSided):
    """Logits ``(0, −z)``: those of a classifier of one output, as :mod:`sidelight.targets.verdict` reads it."""

    def forward(self, inputs: dict[str, Tensor], features: dict[str, Tensor]) -> Tensor:
        z = super().forward(inputs, features)[:, :1]
        return torch.cat([torch.zeros_like(z), -z], 1)


class Product:
    """Weight × input: signed, reduced over channels only at the end, as gradient methods are."""

    name, signed, reduction = "product", True, "sum"

    def __call__(self, target, inputs, classes):
        parts = {n: getattr(target.model, n) * inputs[n] for n in target.modalities}
        return {n: target.modalities[n].reduce_sum(v) for n, v in parts.items()}


class Given:
    """Maps made beforehand, one score a feature, without a sign."""

    name, signed = "given", False

    def __init__(self, maps: dict[str, Tensor]) -> None:
        self.maps = maps

    def __call__(self, target, inputs, classes):
        return self.maps


def text_toy(seed: int = 0, batch: int = 3) -> tuple[TwoSided, dict[str, Tensor]]:
    g = torch.Generator().manual_seed(seed)
    target = TwoSided({"text": torch.randn(1, TOKENS, WIDTH, generator=g)}, [TEXT])
    real = torch.arange(TOKENS) < 3 + torch.arange(batch)[:, None]
    return target, {"text": torch.randn(batch, TOKENS, WIDTH, generator=g), "text_real": real}


def measured(target, inputs, methods, protocol: str, truth=None) -> dict[tuple[str, int, str], float]:
    own = PROTOCOLS[protocol]
    options = EvalSettings(
        metrics=own.metrics, fills=own.fills, steps=STEPS, protocol=protocol, forward_batch=4
    )
    batch = Batch(inputs, list(range(len(next(iter(inputs.values()))))), truth)
    rows = evaluated(target, [batch], methods, options).rows
    assert set(rows["protocol"]) == {protocol}
    table = {(r.method, r.sample, r.metric): r.value for r in rows.itertuples()}
    assert len(table) == len(rows), "one reading, one granularity, one fill"
    return table


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


def by_hand(here: np.ndarray, rest: float, values: np.ndarray, protocol: str) -> dict[str, float]:
    """The metrics of one sample from contributions ``here`` of its features and ``rest`` of what always stays.

    A metric that rounding decides is left out.
    """
    sign = 1.0 if rest + here.sum() > 0 else -1.0

    def sure(keep: np.ndarray) -> float:
        z = sign * (rest + float((keep * here).sum()))
        return z if protocol == "thesis" else sigmoid(2 * z)  # softmax of (z, −z)

    n, soft = len(here), (values - values.min()) / (values.max() - values.min())
    full, drop = sure(np.ones(n)), max(0.0, sure(np.ones(n)) - sure(soft))
    found = {"complexity": math.sqrt((soft**2).sum()), "sparsity": 1 / soft.mean()}
    if protocol == "thesis":
        place = np.argsort(np.argsort(-values))
        counts = [math.floor(k * n / STEPS + 0.5) for k in range(STEPS + 1)]
        curve = [sure(place >= c) for c in counts]
        area = sum((curve[k] + curve[k + 1]) / 2 * (counts[k + 1] - counts[k]) / n for k in range(STEPS))
        return found | {"average_drop": drop, "deletion_auc": area}
    gone = [np.zeros(n, bool), *(soft >= 1 - k / STEPS for k in range(1, STEPS + 1))]
    curves = ([sure(~g) for g in gone], [sure(g) for g in gone])
    areas = [sum((c[k] + c[k + 1]) / 2 for k in range(STEPS)) / STEPS for c in curves]
    more = sure(soft) - full - 1e-6
    if abs(more) > 1e-6:
        found["increase_in_confidence"] = float(more > 0)
    return found | {
        "average_drop_relative": drop / full,
        "deletion_auc": areas[0],
        "insertion_auc": areas[1],
    }


@pytest.mark.parametrize("protocol", ["thesis", "thesis-later"])
@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_texts_by_coordinate_and_by_token_equal_the_formulas(protocol: str, seed: int) -> None:
    target, inputs = text_toy(seed)
    own = torch.rand(3, TOKENS, generator=torch.Generator().manual_seed(seed))
    methods = {"product": Product(), "given": Given({"text": own})}
    got = measured(target, inputs, methods, protocol)
    for row in range(3):
        real = inputs["text_real"][row].numpy()
        parts = (target.model.text[0] * inputs["text"][row]).double().numpy()
        rest = float(parts[~real].sum())
        product = parts[real].ravel().astype(np.float32).astype(np.float64)
        reading = product if protocol == "thesis" else np.abs(product)
        wanted = {"product": by_hand(parts[real].ravel(), rest, reading, protocol)}
        wanted["given"] = by_hand(parts[real].sum(-1), rest, own[row].double().numpy()[real], protocol)
        for method, values in wanted.items():
            for metric, value in values.items():
                assert got[method, row, metric] == pytest.approx(value, rel=1e-5, abs=1e-5), (method, metric)


def test_the_logit_of_no_is_that_of_yes_turned_round_if_there_is_one_output() -> None:
    target, inputs = text_toy()
    one = OneOutput({"text": target.model.text}, [TEXT])
    said = target.forward(inputs, target.features(inputs)).argmax(1)
    assert set(said.tolist()) == {0, 1}
    methods = {"given": Given({"text": torch.rand(3, TOKENS, generator=torch.Generator().manual_seed(0))})}
    assert measured(one, inputs, methods, "thesis") == measured(target, inputs, methods, "thesis")


@pytest.mark.parametrize("protocol", ["thesis", "thesis-later"])
def test_images_keep_probability_and_pixels(protocol: str) -> None:
    g = torch.Generator().manual_seed(2)
    target = TwoSided({"image": torch.randn(1, 1, 3, 4, generator=g)}, [IMAGE])
    x = torch.randn(2, 1, 3, 4, generator=g)
    got = measured(
        target, {"image": x, "image_real": torch.ones_like(x) > 0}, {"product": Product()}, protocol
    )
    for row in range(2):
        parts = (target.model.image[0] * x[row]).double().numpy().ravel()
        values = parts if protocol == "thesis" else np.abs(parts)
        wanted = by_hand(parts, 0.0, values, protocol)
        sign = np.sign(parts.sum())
        if protocol == "thesis":  # on images its confidence is a probability
            soft = (values - values.min()) / (values.max() - values.min())
            p, masked = sigmoid(2 * sign * parts.sum()), sigmoid(2 * sign * (soft * parts).sum())
            wanted["average_drop"] = max(0.0, p - masked)
            order, counts = np.argsort(-values), [math.floor(k * 12 / STEPS + 0.5) for k in range(STEPS + 1)]
            curve = [sigmoid(2 * sign * parts[order[c:]].sum()) for c in counts]
            wanted["deletion_auc"] = np.trapezoid(curve, np.array(counts) / 12)
        for metric, value in wanted.items():
            assert got["product", row, metric] == pytest.approx(value, rel=1e-5, abs=1e-5), metric


def test_a_map_that_centres_on_zero_has_half_the_root_of_its_features() -> None:
    """What gave the protocol away: complexity near sqrt(N / 4), sparsity near 2."""
    g = torch.Generator().manual_seed(0)
    target = TwoSided({"text": torch.ones(1, 40, 64)}, [TEXT])
    x = torch.rand(1, 40, 64, generator=g) - 0.5
    got = measured(target, {"text": x, "text_real": torch.ones(1, 40) > 0}, {"product": Product()}, "thesis")
    assert got["product", 0, "complexity"] == pytest.approx(math.sqrt(40 * 64 * (0.25 + 1 / 12)), rel=0.02)
    assert got["product", 0, "sparsity"] == pytest.approx(2, rel=0.02)


def test_units_have_tables_of_their_own_and_pairs_are_laid_out_together() -> None:
    target, inputs = joint_toy()
    options = EvalSettings(metrics=["complexity", "average_drop"], steps=2, protocol="thesis")
    g = torch.Generator().manual_seed(0)
    maps = {n: torch.rand(m.shape, generator=g) for n, m in target.feature_mask(inputs).items()}
    batch = Batch(inputs, [0, 1, 2])
    methods = {"product": Product(), "given": Given(maps)}
    rows = evaluated(target, [batch], methods, options).rows
    units = rows.groupby("method")["granularity"].unique().str[0].to_dict()
    assert units == {"product": "pixel+coordinate+unit", "given": "pixel+token+unit"}
    assert rows.groupby("method")["reduction"].unique().str[0].to_dict() == {
        "product": "signed",
        "given": "none",
    }
    drops = rows[(rows["method"] == "given") & (rows["metric"] == "average_drop")].set_index("sample")[
        "value"
    ]
    for row in range(3):  # logits (z, 0) as they are, because there is text among the modalities
        real = {n: inputs[f"{n}_real"][row] for n in maps}
        own = torch.cat([maps[n][row][real[n]] for n in maps]).double()
        soft = {
            n: ((maps[n][row] - own.min()) / (own.max() - own.min())).masked_fill(~real[n], 1) for n in maps
        }
        parts = {n: getattr(target.model, n)[0] * inputs[n][row] for n in maps}
        clean = float(sum(v.double().sum() for v in parts.values()))
        masked = float(
            sum((TEXT if n == "text" else IMAGE).expand(soft[n][None])[0].mul(parts[n]).sum() for n in maps)
        )
        assert drops[row] == pytest.approx(max(0.0, clean - masked) if clean > 0 else 0.0, abs=1e-5)
    assert drops.max() > 0


def test_known_evidence_of_a_token_is_that_of_its_coordinates() -> None:
    target, inputs = text_toy(batch=1)
    truth = torch.tensor([[True, False, True, False, False]])
    got = measured(target, inputs, {"product": Product()}, "thesis-later", {"text": truth})
    real = inputs["text_real"][0]
    parts = (target.model.text[0] * inputs["text"][0])[real].double().abs().numpy()
    region = (parts - parts.min()) / (parts.max() - parts.min()) >= 0.5
    marked = np.repeat(truth[0][real].numpy()[:, None], WIDTH, 1)
    assert got["product", 0, "iou"] == pytest.approx(
        (region & marked).sum() / (region | marked).sum(), abs=1e-6
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12))
def test_threshold_counts_are_those_of_a_loop_with_ties(seed: int, levels: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    soft = (rng.integers(0, levels + 1, (3, 9)) / levels).astype(np.float32)
    real = rng.random((3, 9)) > 0.3
    got = threshold_counts(torch.from_numpy(soft), torch.from_numpy(real), steps).tolist()
    for row in range(3):
        wanted = [0]
        for k in range(1, steps + 1):
            level = np.float32(1 - k / steps)
            wanted.append(sum(bool(r) and s >= level for s, r in zip(soft[row], real[row], strict=True)))
        assert got[row] == wanted
        assert got[row][-1] == real[row].sum()


def test_the_default_says_nothing_and_evaluations_begun_before_go_on(tmp_path: Path) -> None:
    target, inputs = joint_toy()
    maps = {n: torch.rand(m.shape) for n, m in target.feature_mask(inputs).items()}
    batches, stored = [Batch(inputs, [0, 1, 2])], {}
    for protocol in ("sidelight", "thesis"):
        folder = tmp_path / protocol
        options = EvalSettings(metrics=["complexity"], protocol=protocol)
        rows = evaluated(target, batches, {"g": Given(maps)}, options, folder).rows
        known = json.loads((folder / "evaluation.json").read_text())["settings"]
        stored[protocol] = ("protocol" in rows, known.get("protocol"))
    assert stored == {"sidelight": (False, None), "thesis": (True, "thesis")}
    default = PROTOCOLS["sidelight"]
    assert (default.remark(["text"]), default.note(["text"]), default.fixed()) == ("", "", {})


@pytest.mark.parametrize("reading", ["sigmoid", "value", "logits", "probabilities"])
def test_numbers_that_an_earlier_version_measured_otherwise_are_not_continued(
    reading: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logit of "no" was 0 under every mask. Other heads were measured as now, and go on."""
    target, inputs = joint_toy()
    target.verdict.reading = reading
    maps = {n: torch.rand(m.shape) for n, m in target.feature_mask(inputs).items()}
    given = ([Batch(inputs, [0, 1, 2])], {"g": Given(maps)}, EvalSettings(metrics=["complexity"]), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("sidelight.lab.evaluation.loop.measures_of", lambda target: {})
        evaluated(target, *given)
    if reading in ("logits", "probabilities"):
        evaluated(target, *given)
        return
    with pytest.raises(ConfigError, match=r"different measures of one output.*remove this folder"):
        evaluated(target, *given)


def test_labels_say_where_numbers_do_not_compare() -> None:
    for name in ("thesis", "thesis-later"):
        protocol = PROTOCOLS[name]
        assert protocol.remark(["image"]) == f"protocol {name}"
        for modalities in (["text"], ["image", "text"]):
            assert protocol.remark(modalities) == f"protocol {name}, not comparable across methods"
            assert "Not comparable across methods: gradient methods" in protocol.note(modalities)
        assert "ot comparable" not in protocol.note(["image"])
    assert PROTOCOLS["thesis"].axes(["image"]) == PROTOCOLS["sidelight"].axes(["text"]) == {}
    assert PROTOCOLS["thesis"].axes(["text"]) == {"ylabel": "logit of the predicted class"}
    assert PROTOCOLS["thesis-later"].axes(["text"]) == {"xlabel": "of the map's range passed, from its top"}
    assert PROTOCOLS["thesis"].confidence_of(["image"]) == "probability"
    assert PROTOCOLS["thesis"].confidence_of(["image", "text"]) == "logit"
    assert PROTOCOLS["thesis-later"].confidence_of(["text"]) == "probability"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fills": ["zero", "mean"], "metrics": ["sparsity"]}, "the fill.*zero; got mean"),
        ({"metrics": ["srg"]}, "the metric.*average_drop.*got srg"),
        (
            {"metrics": ["sparsity"], "granularities": ["patch4"]},
            "removes single features; got granularity patch4",
        ),
    ],
)
def test_settings_that_contradict_the_protocol_are_refused(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        EvalSettings(protocol="thesis", **options)


def test_unknown_protocols_and_coordinates_of_tokens_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'thesis'"):
        EvalSettings(protocol="thesi")
    with pytest.raises(InputError, match=r"\[B, T, D\].*got \(2, 5\)"):
        granularity("coordinate").cells((2, 5), {})
