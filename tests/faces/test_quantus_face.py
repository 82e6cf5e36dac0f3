"""Our explanations in the real Quantus: single metrics, `evaluate`, and what is refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import quantus
import torch
from torch import nn

import sidelight
from face_toys import image_explainer, image_model, pixels, text_explainer
from sidelight import Explainer
from sidelight.errors import (
    ConfigError,
    InputError,
    InputTypeError,
    TargetMismatchError,
    UnsupportedTargetError,
)

QUIET: dict[str, Any] = {"disable_warnings": True, "display_progressbar": False}


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return image_explainer()


@pytest.fixture
def arrays() -> tuple[np.ndarray, np.ndarray]:
    return pixels(3).numpy(), np.array([2, 0, 1])


def own(explainer: Explainer, x: np.ndarray, y: np.ndarray) -> Any:
    encoding = explainer.target.encode({"pixel_values": torch.from_numpy(x)})
    return explainer.read(encoding, torch.from_numpy(y))


def test_arrays_come_in_and_go_out(explainer: Explainer, arrays: Any) -> None:
    x, y = arrays
    reading = own(explainer, x, y)
    for kind in ("scores", "effects"):
        explain = sidelight.as_quantus(explainer, kind)  # type: ignore[arg-type]
        found = explain(model=explain.model, inputs=x, targets=y, method="ours", device="cpu")
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, getattr(reading, kind)["image"].numpy())
    order = sidelight.as_quantus(explainer, "ranking")
    found = order(order.model, x, y)
    assert found.min() == 0
    raw = reading.ranking["image"].numpy()
    np.testing.assert_array_equal(found.reshape(3, -1).argsort(1), raw.reshape(3, -1).argsort(1))
    one = order(order.model, x.astype(np.float64), 1)
    np.testing.assert_array_equal(one, order(order.model, x, [1, 1, 1]))


def test_the_model_for_quantus_says_what_the_classifier_says(explainer: Explainer, arrays: Any) -> None:
    model = sidelight.as_quantus(explainer).model
    with torch.no_grad():
        expected = explainer.target.model(torch.from_numpy(arrays[0])).logits
        torch.testing.assert_close(model(torch.from_numpy(arrays[0])), expected)
    assert not model.training


def test_sparseness_is_the_gini_index(explainer: Explainer, arrays: Any) -> None:
    """Chalasani et al. 2020: (Σ (2i − n − 1)·a_i) / (n·Σ a_i) with a ascending."""
    x, y = arrays
    explain = sidelight.as_quantus(explainer)
    metric = quantus.Sparseness(**QUIET)
    found = metric(model=explain.model, x_batch=x, y_batch=y, a_batch=None, explain_func=explain)
    a = np.sort(own(explainer, x, y).scores["image"].numpy().reshape(3, -1).astype(float), 1)
    n = a.shape[1]
    gini = ((2 * np.arange(1, n + 1) - n - 1) * a).sum(1) / (n * a.sum(1))
    np.testing.assert_allclose(found, gini, atol=1e-3)


def test_pixel_flipping_removes_in_the_order_of_our_ranking(explainer: Explainer, arrays: Any) -> None:
    x, y = arrays
    explain = sidelight.as_quantus(explainer, "ranking")
    step = 128
    metric = quantus.PixelFlipping(
        features_in_step=step, perturb_baseline="black", return_auc_per_sample=False, **QUIET
    )
    found = metric(
        model=explain.model, x_batch=x, y_batch=y, a_batch=None, explain_func=explain, softmax=True
    )
    order = own(explainer, x, y).ranking["image"].numpy().reshape(3, -1).argsort(1)[:, ::-1]
    for i in range(3):
        image = x[i].reshape(3, -1).copy()
        black, values = x[i].min(), []
        for start in range(0, order.shape[1], step):
            image[:, order[i, start : start + step]] = black
            with torch.no_grad():
                logits = explainer.target.model(torch.from_numpy(image.reshape(1, *x[i].shape))).logits
            values.append(float(logits.softmax(-1)[0, y[i]]))
        # Quantus counts channels: after every third step all three of the same pixels are gone
        np.testing.assert_allclose(found[i][2::3], values, atol=1e-5)


def test_metrics_of_four_kinds_run_alone(explainer: Explainer, arrays: Any) -> None:
    x, y = arrays
    explain = sidelight.as_quantus(explainer, "effects")
    subset = {"subset_size": 64, "nr_runs": 5, "return_aggregate": False, **QUIET}
    metrics = [
        (quantus.FaithfulnessCorrelation(**subset), (-1, 1)),
        (quantus.MaxSensitivity(nr_samples=3, lower_bound=0.05, **QUIET), (0, np.inf)),
        (quantus.Complexity(**QUIET), (0, np.inf)),
        (quantus.RandomLogit(num_classes=4, seed=1, **QUIET), (-1, 1.01)),
    ]
    for metric, (low, high) in metrics:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = metric(model=explain.model, x_batch=x, y_batch=y, a_batch=None, explain_func=explain)
        assert len(found) == 3
        assert all(low <= value <= high for value in found), (type(metric).__name__, found)


def test_evaluate_gives_what_metrics_give_alone(explainer: Explainer, arrays: Any) -> None:
    x, y = arrays
    explain = sidelight.as_quantus(explainer)
    metrics = {"sparse": quantus.Sparseness(**QUIET), "complex": quantus.Complexity(**QUIET)}
    found = quantus.evaluate(
        metrics=metrics,
        xai_methods={"sidelight": explain},
        model=explain.model,
        x_batch=x,
        y_batch=y,
        agg_func=np.mean,
        explain_func_kwargs={},
    )
    assert found is not None
    for name, metric in metrics.items():
        alone = metric(model=explain.model, x_batch=x, y_batch=y, a_batch=None, explain_func=explain)
        assert found["sidelight"][name] == pytest.approx(np.mean(alone))


def test_drawn_weights_change_the_map_if_asked_for(arrays: Any) -> None:
    x, y = arrays
    explainer = image_explainer()
    before = {k: v.clone() for k, v in explainer.target.model.state_dict().items()}
    metric = quantus.MPRT(layer_order="top_down", return_average_correlation=False, **QUIET)
    call = {"x_batch": x, "y_batch": y, "a_batch": None}
    plain = sidelight.as_quantus(explainer)
    call["a_batch"] = plain(plain.model, x, y)
    with pytest.raises(ConfigError, match="randomised=True"):
        metric(model=plain.model, explain_func=plain, **call)
    explain = sidelight.as_quantus(explainer, randomised=True)
    found = metric(model=explain.model, explain_func=explain, **call)
    np.testing.assert_allclose(found["original"], 1.0, atol=1e-5)
    assert min(min(values) for name, values in found.items() if name != "original") < 0.99
    after = explainer.target.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    np.testing.assert_array_equal(explain(explain.model, x, y), call["a_batch"])


class Around(nn.Module):
    """A user's own module around a classifier of transformers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inside = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inside(x).logits


def test_the_model_must_be_the_explainers_own(explainer: Explainer, arrays: Any) -> None:
    x, y = arrays
    explain = sidelight.as_quantus(explainer)
    expected = explain(explain.model, x, y)
    for model in (explainer.target.model, Around(explainer.target.model), None):
        np.testing.assert_array_equal(explain(model, x, y), expected)
    for model in (image_model(), Around(image_model()), nn.Linear(2, 2), "resnet"):
        with pytest.raises(
            ConfigError, match=r"which is not the classifier of this explainer.*model=explain\.model"
        ):
            explain(model, x, y)
    other = sidelight.as_quantus(explainer, randomised=True)
    with pytest.raises(ConfigError, match="not the classifier"):
        other(nn.Linear(2, 2), x, y)


def test_weights_that_changed_are_noticed(arrays: Any) -> None:
    x, y = arrays
    explainer = image_explainer()
    explain = sidelight.as_quantus(explainer)
    with torch.no_grad():
        next(explainer.target.model.parameters()).mul_(2)
    with pytest.raises(TargetMismatchError, match="have changed"):
        explain(explain.model, x, y)


def test_bad_input_is_named(explainer: Explainer, arrays: Any) -> None:
    x, y = arrays
    explain = sidelight.as_quantus(explainer)
    with pytest.raises(ConfigError, match="reduce_axes mean nothing"):
        explain(explain.model, x, y, reduce_axes=(1,))
    with pytest.raises(InputError, match=r"must be \[B, C, H, W\]"):
        explain(explain.model, x[0], y)
    with pytest.raises(InputTypeError, match="array"):
        explain(explain.model, [["a"]], y)
    with pytest.raises(InputError, match="lists 2 classes for 3 samples"):
        explain(explain.model, x, y[:2])
    with pytest.raises(ConfigError, match="target=9 is no class"):
        explain(explain.model, x, np.array([9, 0, 0]))
    for bad in (np.array([0.5, 1, 2]), np.array(["a", "b", "c"])):
        with pytest.raises(InputError, match="class numbers"):
            explain(explain.model, x, bad)
    with pytest.raises(UnsupportedTargetError, match="this classifier reads text"):
        sidelight.as_quantus(text_explainer())
    with pytest.raises(InputTypeError, match="Explainer"):
        sidelight.as_quantus(explainer.target)  # type: ignore[arg-type]


def test_a_scorer_of_the_thesis_takes_its_own_predictions_only(arrays: Any) -> None:
    x, _ = arrays
    explainer = image_explainer(by_class=False)
    explain = sidelight.as_quantus(explainer)
    predicted = explainer.target.encode({"pixel_values": torch.from_numpy(x)}).prediction.numpy()
    np.testing.assert_array_equal(explain(explain.model, x, predicted), explain(explain.model, x))
    with pytest.raises(ConfigError, match="predicted class only"):
        explain(explain.model, x, (predicted + 1) % 4)
