"""Training the scorer: what it changes, what it keeps, and what happens when it is cut short."""

from __future__ import annotations

import csv
import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from forked import TESTS, Runner, environment, launched
from helpers_training import (
    TRANSFORM,
    classifier,
    corner_images,
    corner_rows,
    corner_tensor,
    largest_difference,
    quick,
    saved_state,
    state,
)
from sidelight import Explainer, ObjectiveConfig
from sidelight.errors import CollapseError, ConfigError, InputError, SidelightError, UnknownNameError
from sidelight.inputs.row_parts import RowReader
from sidelight.rows.row import Rows
from sidelight.targets import as_target, fingerprint
from sidelight.training.diagnostics import LOST, check_collapse
from sidelight.training.fit_data import class_count
from sidelight.training.folder import append_csv, newest_checkpoint
from sidelight.training.loss import ScorerObjective
from sidelight.training.objective import is_lost
from sidelight.training.presets import objective_of
from sidelight.training.settings import TrainingConfig
from sidelight.training.terms import objective

TERMS = ("task", "magnitude", "binary", "gamma", "mean_score", "constant", "solo", "complement")


def fit(
    folder: Path, model: Any = None, *, rows: Any = None, evaluation: Any = None, **options: Any
) -> Explainer:
    """A training with the thesis's objective, which is the quicker one, unless ``options`` say another."""
    training = options.pop("training", None) or quick()
    options.setdefault("objective", "thesis")
    return Explainer.fit(
        classifier() if model is None else model,
        corner_rows(64) if rows is None else rows,
        eval=corner_rows(16, seed=1) if evaluation is None else evaluation,
        processor=TRANSFORM,
        training=training,
        output_dir=folder,
        **options,
    )


def read_log(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def column(rows: list[dict[str, str]], name: str) -> list[float]:
    return [float(r[name]) for r in rows if r.get(name)]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Explainer]:
    folder = tmp_path_factory.mktemp("fitted")
    return folder, fit(folder, training=quick(epochs=6))


# -- what training does ------------------------------------------------------------------


def test_validation_objective_falls(fitted: tuple[Path, Explainer]) -> None:
    folder, explainer = fitted
    losses = column(read_log(folder), "eval_loss")
    assert min(losses) < 0.8 * losses[0]
    assert explainer.training_metrics["eval_loss"] == pytest.approx(min(losses), rel=1e-5)


@pytest.mark.parametrize("kind", ["vit", "resnet", "plain"])
def test_target_is_given_back_bit_identical(kind: str, tmp_path: Path) -> None:
    model = classifier(kind)
    model.train()
    next(model.parameters()).requires_grad_(False)
    if kind != "plain":  # transformers keeps hooks of its own once hidden states were asked for
        model.eval()(corner_tensor(1), output_hidden_states=True)
        model.train()
    hooks = [len(m._forward_hooks) for m in model.modules()]
    before, flags = fingerprint(model), [p.requires_grad for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    options = {"layers": ["first", "second"]} if kind == "plain" else {}
    fit(tmp_path, model, objective="robust", **options)
    assert fingerprint(model) == before
    assert [p.requires_grad for p in model.parameters()] == flags
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None for p in model.parameters())
    assert [len(m._forward_hooks) for m in model.modules()] == hooks


def test_target_is_given_back_after_an_error(tmp_path: Path) -> None:
    model = classifier().train()
    with pytest.raises(ConfigError, match="label='data' needs labels"):
        fit(tmp_path, model, rows=[i for i, _ in corner_rows(16)], label="data")
    assert model.training
    assert all(p.requires_grad for p in model.parameters())


def test_checkpoints_hold_scorer_weights_only(fitted: tuple[Path, Explainer]) -> None:
    folder, explainer = fitted
    own = set(explainer.scorer.state_dict())
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None
    for path in checkpoint.glob("*.safetensors"):
        with safe_open(str(path), "pt") as file:
            assert {k.removeprefix("scorer.") for k in file.keys()} == own  # noqa: SIM118 - not a mapping
    held = sum(p.stat().st_size for p in checkpoint.glob("*.safetensors"))
    assert held < 4 * explainer.scorer.num_parameters + 20_000
    assert set(saved_state(folder / "scorer")) == own


def test_weights_of_a_checkpoint_have_the_permissions_that_new_files_have(
    fitted: tuple[Path, Explainer], tmp_path: Path
) -> None:
    """Nobody else of a group could go on from a training: safetensors lets nobody but the owner read weights."""
    (tmp_path / "plain").write_bytes(b"")
    checkpoint = newest_checkpoint(fitted[0])
    assert checkpoint is not None
    modes = {path.stat().st_mode for path in checkpoint.iterdir()}
    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_log_has_every_term(fitted: tuple[Path, Explainer]) -> None:
    rows = read_log(fitted[0])
    steps = column([r for r in rows if r.get("loss")], "step")
    assert steps == sorted(set(steps))
    for prefix, key in (("", "loss"), ("eval_", "eval_loss")):
        lines = [r for r in rows if r.get(key)]
        assert lines, key
        for line in lines:
            values = {t: float(line[prefix + t]) for t in TERMS}
            total = values["task"] + values["gamma"] * (values["magnitude"] + values["binary"])
            # a mean of products is not the product of means, hence the tolerance
            assert float(line[key]) == pytest.approx(total, rel=0.05)
            assert 0 <= values["mean_score"] <= 1
            assert 0 < values["gamma"] <= 1


def test_terms_are_means_over_samples_not_batches(tmp_path: Path) -> None:
    # 16 + 1 rows: a mean over batches would give the last row sixteen times its weight
    explainer = fit(
        tmp_path, rows=corner_rows(32), evaluation=corner_rows(17, seed=3), training=quick(batch_size=16)
    )
    module = ScorerObjective(explainer.scorer, explainer.target, ObjectiveConfig()).eval()
    inputs = {"pixel_values": corner_tensor(17, seed=3)}
    with torch.no_grad():
        step = module.step(inputs, torch.tensor(corner_images(17, seed=3)[1]))
        terms, scores = objective(step), step.scores
    metrics = explainer.training_metrics
    assert metrics["eval_loss"] == pytest.approx(float(terms["loss"].mean()), rel=1e-4)
    assert metrics["eval_task"] == pytest.approx(float(terms["task"].mean()), rel=1e-4)
    assert metrics["eval_mean_score"] == pytest.approx(float(scores["image"].mean()), rel=1e-4)


def test_best_weights_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation that gets worse and worse: the first checkpoint must win."""
    worsen_validation(monkeypatch)
    explainer = fit(tmp_path, training=quick(epochs=2, checkpoints=10, patience=0))
    first = min(tmp_path.glob("checkpoint-*"), key=lambda p: int(p.name.split("-")[1]))
    with safe_open(str(first / "model.safetensors"), "pt") as file:
        kept = {k.removeprefix("scorer."): file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    assert largest_difference(state(explainer.scorer), kept) == 0
    assert column(read_log(tmp_path), "step")[-1] > 4


def test_early_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worsen_validation(monkeypatch)
    fit(tmp_path, training=quick(epochs=10, patience=2))
    # validations at 4, 8, 12: the first is the best, two without improvement end it
    assert max(column(read_log(tmp_path), "step")) == 12


def test_rerun_of_an_early_stopped_training_trains_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worsen_validation(monkeypatch)
    first = state(fit(tmp_path, training=quick(epochs=10, patience=2)).scorer)
    rows = read_log(tmp_path)
    worsen_validation(monkeypatch, sign=-1)  # whatever validation would say now
    again = fit(tmp_path, training=quick(epochs=10, patience=2))
    assert largest_difference(first, state(again.scorer)) == 0
    assert max(column(read_log(tmp_path), "step")) == 12
    assert len(read_log(tmp_path)) <= len(rows) + 1
    assert again.training_metrics["train_runtime"] > 0


def test_quality_costs_a_share_of_the_rows_that_were_read_and_not_of_those_that_were_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    monkeypatch.setattr("sidelight.training.loop.learn_quality", lambda *given: read.append(given[-1]))
    whole = fit(tmp_path / "whole", training=quick(epochs=1))
    rows = read.pop()
    assert rows == whole.scorer.facts["rows"]["train"]
    stopped = quick(epochs=10, extra={"disable_tqdm": True, "use_cpu": True, "max_steps": 2})
    for _ in ("trained", "taken up again"):
        fit(tmp_path / "stopped", training=stopped)
        assert read.pop() == 2 * stopped.batch_size
    worsen_validation(monkeypatch)
    for _ in ("trained", "taken up again"):
        fit(tmp_path / "impatient", training=quick(epochs=10, patience=2))
        assert rows <= read.pop() < 4 * rows


def worsen_validation(monkeypatch: pytest.MonkeyPatch, sign: float = 1) -> None:
    calls = [0]
    original = ScorerObjective.forward

    def forward(self: ScorerObjective, *args: Any, **kwargs: Any) -> Any:
        out = original(self, *args, **kwargs)
        if not self.training:
            calls[0] += 1
            out["loss"] = out["loss"] * 0 + 10 + sign * calls[0]
        return out

    monkeypatch.setattr(ScorerObjective, "forward", forward)


def test_gradient_accumulation_equals_the_bigger_batch(tmp_path: Path) -> None:
    # AdamW would turn the rounding of a gradient that is 0 into a whole step; SGD's are as small as the gradients
    options = {
        "epochs": 2,
        "extra": {"disable_tqdm": True, "use_cpu": True, "optim": "sgd"},
        "learning_rate": 0.1,
    }
    whole = fit(tmp_path / "a", training=quick(batch_size=16, **options))
    assert largest_difference(state(whole.scorer), state(fit(tmp_path / "c", training=quick()).scorer)) > 1e-3
    parts = fit(tmp_path / "b", training=quick(batch_size=8, gradient_accumulation=2, **options))
    assert largest_difference(state(whole.scorer), state(parts.scorer)) < 1e-5


def test_same_seed_same_weights(tmp_path: Path) -> None:
    objective = ObjectiveConfig(fills=["noise", "zero"])
    a, b, c = (
        state(fit(tmp_path / str(i), objective=objective, training=quick(seed=s)).scorer)
        for i, s in enumerate([3, 3, 4])
    )
    assert largest_difference(a, b) == 0
    assert largest_difference(a, c) > 1e-3


def test_global_random_state_of_the_caller_does_not_matter(tmp_path: Path) -> None:
    torch.manual_seed(1)
    a = fit(tmp_path / "a")
    torch.manual_seed(2)
    np.random.default_rng()
    b = fit(tmp_path / "b")
    assert largest_difference(state(a.scorer), state(b.scorer)) == 0


@pytest.mark.parametrize(
    "objective",
    [
        {"complement_weight": 1.0},
        {"coalition_weight": 1.0},
        {"coalition_weight": 1.0, "coalition_focus": True},
        {"rank_weight": 1.0},
        {"preset": "robust"},
    ],
)
def test_extra_terms_train_and_validate_repeatably(objective: dict[str, Any], tmp_path: Path) -> None:
    config = objective_of({"preset": "thesis", **objective})
    explainer = fit(tmp_path, objective=config)
    module = ScorerObjective(explainer.scorer, explainer.target, config).eval()
    batch = {"pixel_values": corner_tensor(8), "labels": torch.tensor(corner_images(8)[1])}
    losses = {module(**batch)["loss"].item() for _ in range(3)}
    assert len(losses) == 1  # chance in validation would choose the best checkpoint
    assert np.isfinite(losses.pop())


@pytest.mark.parametrize("focus", [False, True])
def test_coalitions_in_half_precision(focus: bool, tmp_path: Path) -> None:
    """What the Trainer does on a GPU that has bfloat16."""
    config = ObjectiveConfig(coalition_weight=1.0, coalition_focus=focus)
    explainer = fit(tmp_path)
    module = ScorerObjective(explainer.scorer.requires_grad_(True), explainer.target, config).eval()
    batch = {"pixel_values": corner_tensor(8), "labels": torch.tensor(corner_images(8)[1])}
    exact = module(**batch)["coalition"]
    with torch.autocast("cpu", torch.bfloat16):
        found = module(**batch)
    found["loss"].backward()
    assert found["coalition"].dtype == torch.float32
    torch.testing.assert_close(found["coalition"], exact, rtol=0.02, atol=1e-4)
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in module.scorer.parameters())


def test_the_rank_term_in_half_precision(tmp_path: Path) -> None:
    explainer = fit(tmp_path, objective={"preset": "robust", "rank_draws": 1})
    config = ObjectiveConfig(rank_weight=1.0)
    module = ScorerObjective(explainer.scorer.requires_grad_(True), explainer.target, config).eval()
    batch = {"pixel_values": corner_tensor(8), "labels": torch.tensor(corner_images(8)[1])}
    with torch.autocast("cpu", torch.bfloat16):
        found = module(**batch)
    found["loss"].backward()
    assert found["rank"].dtype == torch.float32
    assert 0 <= float(found["rank"]) <= 2
    assert all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in module.scorer.parameters())


def test_other_classes_need_a_scorer_that_knows_classes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="by_class=True"):
        fit(tmp_path, objective="thesis", other_classes=0.2)


def test_unknown_fill_is_told_before_training(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'noise'"):
        fit(tmp_path, objective=ObjectiveConfig(fills=["niose"]))


def test_unknown_modality_of_coalitions_is_told_before_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"coalition_modalities .*names text; this target has image"):
        fit(tmp_path, objective=ObjectiveConfig(coalition_weight=1.0, coalition_modalities=["text"]))


# -- labels and data ---------------------------------------------------------------------


def test_prediction_needs_no_labels_and_ignores_wrong_ones(tmp_path: Path) -> None:
    images, labels = corner_images(32)
    wrong = [(i, (n + 1) % 4) for i, n in zip(images, labels, strict=True)]
    plain = fit(tmp_path / "a", rows=list(images), evaluation=list(images[:8]), label="prediction")
    given = fit(tmp_path / "b", rows=wrong, evaluation=wrong[:8], label="prediction")
    data = fit(tmp_path / "c", rows=wrong, evaluation=wrong[:8], label="data")
    assert largest_difference(state(plain.scorer), state(given.scorer)) == 0
    assert largest_difference(state(plain.scorer), state(data.scorer)) > 1e-4


def test_distribution_label(tmp_path: Path) -> None:
    images = list(corner_images(8, seed=1)[0])
    explainer = fit(
        tmp_path, rows=list(corner_images(32)[0]), evaluation=images, label="distribution", fills=["zero"]
    )
    # one validation batch by the formula, in plain arithmetic: all classes count, by their probabilities
    inputs = {"pixel_values": corner_tensor(8, seed=1)}
    scores = explainer.attribute(inputs)[1]["image"].double()
    with torch.no_grad():
        clean = explainer.target.model(inputs["pixel_values"]).logits.double()
        masked = explainer.target.model(inputs["pixel_values"] * scores.float()).logits.double()
    losses = []
    for sample in range(8):
        p = torch.exp(clean[sample]) / torch.exp(clean[sample]).sum()
        entropy = -sum(p[k] * torch.log(p[k]) for k in range(4))
        task = -sum(p[k] * (masked[sample, k] - torch.logsumexp(masked[sample], 0)) for k in range(4))
        penalty = scores[sample].mean() ** 2 + ((scores[sample] * (1 - scores[sample])) ** 2).mean()
        losses.append(float(task + penalty / max(float(task - entropy), 1)))
    assert explainer.training_metrics["eval_loss"] == pytest.approx(np.mean(losses), abs=2e-5)


def test_label_the_model_has_no_class_for(tmp_path: Path) -> None:
    rows = [(i, 7) for i in corner_images(16)[0]]
    with pytest.raises(InputError, match=r"label 7.*4 classes"):
        fit(tmp_path, rows=rows, evaluation=rows[:4])


def rows_of(kind: str, count: int, seed: int) -> Any:
    images, labels = corner_images(count, seed)
    pictures = [Image.fromarray(i) for i in images]
    tensors = list(corner_tensor(count, seed))
    if kind == "dataset":
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        return datasets.Dataset.from_dict({"image": pictures, "label": labels}, features=features)
    return {
        "pil pairs": list(zip(pictures, labels, strict=True)),
        "dicts": [
            {"image": p, "label": n, "id": k} for k, (p, n) in enumerate(zip(pictures, labels, strict=True))
        ],
        "tensor dicts": [{"image": p, "label": n} for p, n in zip(tensors, labels, strict=True)],
        "model inputs": [{"pixel_values": p, "labels": n} for p, n in zip(tensors, labels, strict=True)],
        "tensor pairs": list(zip(tensors, labels, strict=True)),
        "torch": torch.utils.data.TensorDataset(torch.stack(tensors), torch.tensor(labels)),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["dataset", "pil pairs", "dicts", "tensor dicts", "model inputs", "tensor pairs", "torch"]
)
def test_every_form_of_rows_gives_the_same_training(kind: str, tmp_path: Path, fitted_on_pairs: Any) -> None:
    explainer = fit(tmp_path, rows=rows_of(kind, 32, 0), evaluation=rows_of(kind, 8, 1))
    assert largest_difference(state(explainer.scorer), fitted_on_pairs) < 1e-6


@pytest.fixture(scope="module")
def fitted_on_pairs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("pairs")
    return state(fit(folder, rows=corner_rows(32), evaluation=corner_rows(8, seed=1)).scorer)


@pytest.mark.parametrize("kind", ["dataset", "pil pairs", "torch"])
def test_a_tenth_is_held_out_without_eval(kind: str, tmp_path: Path) -> None:
    explainer = Explainer.fit(
        classifier(), rows_of(kind, 20, 0), processor=TRANSFORM, training=quick(), output_dir=tmp_path
    )
    assert np.isfinite(explainer.training_metrics["eval_loss"])


def test_a_training_on_one_picture_goes_without_the_fill_that_needs_another(tmp_path: Path) -> None:
    images = list(corner_images(2)[0])
    options: Any = {"epochs": 1, "on_collapse": "warn", "label": "prediction", "output_dir": tmp_path}
    explainer = Explainer.fit(classifier(), images[:1], eval=images[1:], processor=TRANSFORM, **options)
    assert explainer.explain(images[0]).map.shape


@pytest.mark.parametrize(
    ("names", "told"),
    [({1: "a", 2: "b", 3: "c", 4: "d"}, True), ({0: "a", 1: "b", 2: "c", 3: "d"}, False), ({0: "a"}, False)],
    ids=["numbered from 1", "all", "gaps"],
)
def test_names_of_classes_that_the_output_lacks_are_told(
    names: dict[int, str], told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model = classifier()
    model.config.id2label = names
    data = Rows(list(corner_images(4)[0]), "train")
    assert class_count(as_target(model, TRANSFORM), data, RowReader()) == 4
    assert ("names class 4, 'd', but its output holds the classes 0 to 3" in caplog.text) is told


def test_too_few_rows(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too few rows"):
        Explainer.fit(classifier(), corner_rows(1), processor=TRANSFORM, output_dir=tmp_path)
    with pytest.raises(InputError, match="train data set is empty"):
        fit(tmp_path, rows=[])
    with pytest.raises(InputError, match="eval data set is empty"):
        fit(tmp_path, evaluation=[])


def test_wrong_column_names(tmp_path: Path) -> None:
    rows = [{"snapshot": i, "label": n} for i, n in corner_rows(8)]
    with pytest.raises(InputError, match=r"needs the column.*image.*snapshot"):
        fit(tmp_path, rows=rows)


def test_unknown_option_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'epochs'"):
        fit(tmp_path, epoch=3)


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"learning_rate": -1.0},
        {"gradient_accumulation": 0},
        {"evals_per_epoch": 0},
        {"patience": -1},
        {"checkpoints": 0},
        {"warmup_ratio": 1.5},
        {"on_collapse": "ignore"},
    ],
)
def test_settings_out_of_range(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        TrainingConfig(**bad)


def test_unknown_trainer_argument_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="wamup_steps"):
        fit(tmp_path, training=quick(extra={"wamup_steps": 3}))


# -- collapse ----------------------------------------------------------------------------


@pytest.fixture
def collapsing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scorers whose readout says the same far below ReLU's floor everywhere."""
    from sidelight.scorers.image import ImageDecoder

    original = ImageDecoder.__init__

    def init(self: ImageDecoder, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        torch.nn.init.constant_(self.readout.bias, -1e4)

    monkeypatch.setattr(ImageDecoder, "__init__", init)


@pytest.mark.usefixtures("collapsing")
def test_collapse_stops_with_advice(tmp_path: Path) -> None:
    model = classifier().train()
    with pytest.raises(CollapseError, match=r"100% of the validation maps.*learning_rate") as caught:
        fit(tmp_path, model)
    assert isinstance(caught.value, SidelightError)
    assert model.training
    assert not (tmp_path / "scorer").exists()


@pytest.mark.usefixtures("collapsing")
def test_collapse_can_be_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    explainer = fit(tmp_path, training=quick(on_collapse="warn"))
    assert "collapsed" in caplog.text
    assert explainer.training_metrics["eval_constant"] == 1
    # the map says so of itself, too
    assert explainer.explain(corner_images(1)[0][0]).meta["constant_map"] == ["image"]


def test_collapse_check_by_numbers(caplog: pytest.LogCaptureFixture) -> None:
    check_collapse({"eval_constant": 0.49, "eval_mean_score": 0.5}, "stop")
    assert not caplog.text
    check_collapse({"eval_constant": 0.0, "eval_mean_score": 0.99}, "stop")
    assert "nearly everything" in caplog.text
    with pytest.raises(CollapseError):
        check_collapse({"eval_constant": 0.5}, "stop")
    # where another modality decides, an empty map is right; not where it is always empty
    parts = {"eval_constant": 0.1, "eval_constant_image": 0.89, "eval_constant_text": 0.2}
    check_collapse(parts, "stop")
    with pytest.raises(CollapseError, match="95% of the validation maps of image are constant"):
        check_collapse({**parts, "eval_constant_image": 0.95}, "stop")


def test_a_prediction_is_lost_where_it_falls_below_a_uniform_guess() -> None:
    chance = math.log(3)
    task = torch.tensor([chance - 0.01, chance + 0.01, 5.0, 5.0])
    clean = torch.tensor([0.0, 0.0, 0.1, chance + 0.01])  # the last was never better than a guess
    assert is_lost(task, clean, 3).tolist() == [False, True, True, False]


def test_maps_that_vary_but_keep_nothing_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # with a penalty a thousand times the weight of the task the best map hides what decides
    config = ObjectiveConfig(magnitude_weight=1000.0, calibration="fixed")
    explainer = fit(tmp_path / "a", training=quick(epochs=3, on_collapse="warn"), objective=config)
    assert explainer.training_metrics["eval_lost"] >= LOST
    assert "the prediction is lost" in caplog.text
    caplog.clear()
    explainer = fit(tmp_path / "b")
    assert explainer.training_metrics["eval_lost"] < LOST
    assert "the prediction is lost" not in caplog.text


# -- resuming ----------------------------------------------------------------------------


def test_half_written_checkpoints_are_skipped(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    fit(tmp_path, training=quick(epochs=2, checkpoints=10))
    steps = sorted(int(p.name.split("-")[1]) for p in tmp_path.glob("checkpoint-*"))
    newest = tmp_path / f"checkpoint-{steps[-1]}"
    assert newest_checkpoint(tmp_path) == newest
    # a kill while the last file is written leaves half of it
    text = (newest / "trainer_state.json").read_text()
    (newest / "trainer_state.json").write_text(text[: len(text) // 2])
    second = tmp_path / f"checkpoint-{steps[-2]}"
    assert newest_checkpoint(tmp_path) == second
    (second / "trainer_state.json").unlink()
    third = tmp_path / f"checkpoint-{steps[-3]}"
    (third / "optimizer.pt").unlink()
    assert newest_checkpoint(tmp_path) == tmp_path / f"checkpoint-{steps[-4]}"
    (tmp_path / "checkpoint-final").mkdir()
    assert newest_checkpoint(tmp_path) == tmp_path / f"checkpoint-{steps[-4]}"


def test_training_continues_past_a_half_written_checkpoint(tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "objective": {"preset": "robust", "rank_draws": 1},
        "training": quick(epochs=2, checkpoints=10),
    }
    whole = state(fit(tmp_path, **options).scorer)
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    (newest / "trainer_state.json").write_text("{")
    (newest / "model.safetensors").write_bytes(b"\0" * 10)
    resumed = fit(tmp_path, **options)
    assert largest_difference(whole, state(resumed.scorer)) == 0
    steps = [float(r["step"]) for r in read_log(tmp_path) if r.get("loss")]
    assert steps == sorted(set(steps)), "steps done twice must not stand twice in the log"


def test_rerun_of_a_finished_training_is_quick_and_the_same(tmp_path: Path) -> None:
    first = fit(tmp_path)
    passes = count_training_passes(lambda: fit(tmp_path))
    again = passes[1]
    assert passes[0] == 0
    assert largest_difference(state(first.scorer), state(again.scorer)) == 0
    assert again.training_metrics["eval_loss"] == pytest.approx(first.training_metrics["eval_loss"])
    assert again.training_metrics["epoch"] == first.training_metrics["epoch"] > 0
    assert list(again.training_metrics) == list(first.training_metrics), (
        "files of results hold them in this order"
    )


def count_training_passes(run: Any) -> tuple[int, Any]:
    calls = [0]
    original = ScorerObjective.forward

    def forward(self: ScorerObjective, *args: Any, **kwargs: Any) -> Any:
        calls[0] += self.training
        return original(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScorerObjective, "forward", forward)
        result = run()
    return calls[0], result


@pytest.mark.parametrize(
    "change",
    [
        {"training": quick(learning_rate=1e-4)},
        {"training": quick(seed=5)},
        {"objective": ObjectiveConfig(calibration="fixed")},
        {"model": "resnet"},
    ],
)
def test_another_training_never_takes_up_the_checkpoints(change: dict[str, Any], tmp_path: Path) -> None:
    fit(tmp_path)
    options = {**change}
    model = classifier(options.pop("model", "vit"))
    with pytest.raises(ConfigError, match=r"another training .*output_dir"):
        fit(tmp_path, model, **options)


def test_other_weights_of_the_same_architecture_never_take_up_the_checkpoints(tmp_path: Path) -> None:
    fit(tmp_path)
    model = classifier()
    with torch.no_grad():
        next(model.parameters()).add_(0.01)
    with pytest.raises(ConfigError, match="another training"):
        fit(tmp_path, model)


def test_starting_over_on_request(tmp_path: Path) -> None:
    fit(tmp_path)
    explainer = fit(tmp_path, training=quick(seed=5, resume=False))
    fresh = fit(tmp_path / "fresh", training=quick(seed=5))
    assert largest_difference(state(explainer.scorer), state(fresh.scorer)) == 0
    assert len(read_log(tmp_path)) == len(read_log(tmp_path / "fresh"))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_training_resumes_to_the_same_weights(runner: Runner, tmp_path: Path) -> None:
    """kill -9 in the middle, run again: the weights of an uninterrupted run, random fills included."""
    assert runner.run("fit", tmp_path / "whole").code == 0
    folder = tmp_path / "killed"
    # half a second more: on into steps that the checkpoint does not hold
    saved = folder / "checkpoint-*" / "trainer_state.json"
    killed = runner.run("fit", folder, "--pause", 0.2, once=saved, kill=0.5)
    assert killed.code == -signal.SIGKILL, killed.output
    assert newest_checkpoint(folder) is not None
    assert not (folder / "scorer").exists()
    assert runner.run("fit", folder).code == 0
    difference = largest_difference(
        saved_state(tmp_path / "whole" / "scorer"), saved_state(tmp_path / "killed" / "scorer")
    )
    assert difference <= 1e-6, difference
    whole, killed = read_log(tmp_path / "whole"), read_log(tmp_path / "killed")
    assert column(whole, "eval_loss") == pytest.approx(column(killed, "eval_loss"), rel=1e-6)
    assert [r["step"] for r in whole] == [r["step"] for r in killed]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_processes_train_what_one_trains(runner: Runner, tmp_path: Path) -> None:
    """Two processes on gloo: losses and weights of one process with the same global batch.

    The last batches of the validation are filled up with rows that were seen before, which must not be counted twice.
    """
    options = ("--fills", "zero", "--epochs", 1, "--rate", "1e-3", "--held", 19)
    two = runner.run("fit", tmp_path / "two", "--batch", 8, *options, environments=launched(2))
    assert two.codes == [0, 0], two.output
    assert runner.run("fit", tmp_path / "one", "--batch", 16, *options).code == 0
    one, two = read_log(tmp_path / "one"), read_log(tmp_path / "two")
    assert [r["step"] for r in one] == [r["step"] for r in two]
    for name in ("loss", "task", "mean_score", "eval_loss", "eval_task", "eval_constant"):
        assert column(two, name) == pytest.approx(column(one, name), abs=2e-5), name
    difference = largest_difference(
        saved_state(tmp_path / "one" / "scorer"), saved_state(tmp_path / "two" / "scorer")
    )
    # sums of float32 in another order; 2.6e-5 on some processors, and one step of Adam moves a weight by 1e-3
    assert difference < 1e-4, difference


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_torchrun_itself_trains_as_its_environment_does(runner: Runner, tmp_path: Path) -> None:
    options = ["--batch", "8", "--fills", "zero", "--epochs", "0.5"]
    copies = runner.run("fit", tmp_path / "copies", *options, environments=launched(2))
    assert copies.codes == [0, 0], copies.output
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    script = [str(TESTS / "training_worker.py"), str(tmp_path / "torchrun"), *options]
    done = subprocess.run(
        [*launcher, *script], env=environment(), capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = (saved_state(tmp_path / name / "scorer") for name in ("copies", "torchrun"))
    assert largest_difference(first, second) == 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_processes_of_unlike_pace_plan_the_same_training(runner: Runner, tmp_path: Path) -> None:
    two = runner.run("fit", tmp_path, "--batch", 8, "--budget", 1.0, environments=launched(2))
    assert two.codes == [0, 0], two.output
    # the slower one takes 0.1 s for a step of 8 rows, so both make 5 to 10 steps (by the time of validations), of 16 rows
    found = json.loads((tmp_path / "training.json").read_text())["training"]
    assert 5 * 16 / 64 <= found["epochs"] <= 10 * 16 / 64


# -- the log -----------------------------------------------------------------------------


def test_csv_gains_columns(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    append_csv(path, {"step": 1, "loss": 0.5})
    append_csv(path, {"step": 2, "eval_loss": 0.25})
    append_csv(path, {"step": 3, "loss": 0.1})
    rows = read_log(tmp_path)
    assert [list(r) for r in rows] == [["step", "loss", "eval_loss"]] * 3
    assert [r["step"] for r in rows] == ["1", "2", "3"]
    assert rows[0]["eval_loss"] == ""
    assert json.dumps(rows[1]["eval_loss"]) == '"0.25"'
