"""Settings hold what they may hold, and what a run needs later is checked before it trains."""

from __future__ import annotations

import math
import shutil
from collections import namedtuple
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sidelight import ObjectiveConfig, ScorerConfig, SidelightError, TrainingConfig
from sidelight.errors import CheckpointError, ConfigError
from sidelight.lab.config.files import changed, parse_config, read_overrides, read_yaml
from sidelight.lab.config.sections import ClassifierTraining
from sidelight.lab.evaluation.preflight import bytes_needed, check_run
from sidelight.lab.runs.run import Run
from sidelight.training.fit_options import as_setting
from sidelight.training.identity import differences
from tiny_runs import IMAGE, tiny_run

NAN, INF = math.nan, math.inf
BAD_TRAINING: list[tuple[str, Any]] = [
    *[("seed", v) for v in (-1, 2**32, 2**64, 1.5, "a", None, True, NAN)],
    *[("epochs", v) for v in (NAN, INF, -INF, 0, -1, "1", None, True, [1])],
    *[("batch_size", v) for v in (2.5, 0, -3, "8", NAN, None, 10**30)],
    *[("learning_rate", v) for v in (INF, NAN, 0, -1e-3, "1e-3")],
    *[("weight_decay", v) for v in (NAN, INF, -0.1, "0")],
    *[("max_grad_norm", v) for v in (NAN, INF, -1)],
    *[("warmup_ratio", v) for v in (NAN, -0.1, 1.1)],
    *[("patience", v) for v in (-1, 0.5, NAN)],
    *[("resume", v) for v in ("no", "false", 2, None)],
    ("extra", [1]),
    ("on_collapse", "ignore"),
    ("checkpoints", 0),
]
WEIGHTS = ["magnitude_weight", "binary_weight", "complement_weight", "rank_weight", "coalition_weight"]
BAD_OBJECTIVE: list[tuple[str, Any]] = [
    *[
        (name, v)
        for name in WEIGHTS
        for v in (NAN, INF, -5, "1", None)
        if (name, v) != ("coalition_weight", None)
    ],
    *[("solo", v) for v in ("no", 1, None)],
    *[("fills", v) for v in ("zero", [], [1], None, [None])],
    *[("coalition_draws", v) for v in (0, 1.5, -1)],
    *[("rank_draws", v) for v in (0, 1.5, None)],
    *[("other_classes", v) for v in (-0.1, 1.1, NAN, "half")],
    *[("preset", v) for v in ("robst", None, ["thesis"])],
    *[("coalition_unit", v) for v in (0.0, NAN, -1, INF)],
    *[("coalition_modalities", v) for v in ("image", [1])],
    ("calibration", "tight"),
    ("calibration", None),
    ("label", "truth"),
    ("label", ["data"]),
]


@pytest.mark.parametrize(("name", "value"), BAD_TRAINING)
def test_kind_raw_exceptions_training_settings_are_checked(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"^{name}.*{'training.' + name if name != 'extra' else ''}"):
        TrainingConfig(**{name: value})


@pytest.mark.parametrize(("name", "value"), BAD_OBJECTIVE)
def test_kind_refused_only_after_training_objective_settings_are_checked(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name}"):
        ObjectiveConfig(**{name: value})


def test_a_retired_setting_is_ignored_if_it_had_no_effect() -> None:
    run = {
        "data": {"name": "digits"},
        "target": {},
        "objective": {"preset": "thesis", "order_weight": 0.0, "solo": False},
    }
    assert parse_config(run).objective == ObjectiveConfig(solo=False)
    assert parse_config(run, ["objective.order_weight=0"]).objective == ObjectiveConfig(solo=False)
    old = {"preset": "thesis", "order_weight": 0}
    assert as_setting("objective", ObjectiveConfig, old) == ObjectiveConfig()
    now = {"objective": asdict(ObjectiveConfig()), "version": 2, "train": {"rows": 1}, "eval": {"rows": 1}}
    assert differences({**now, "objective": {**now["objective"], "order_weight": 0.0}}, now) == []  # type: ignore[dict-item]
    before = {**now, "objective": {**now["objective"], "order_weight": 0.5}}  # type: ignore[dict-item]
    assert differences(before, now) == ["order_weight (0.5 there, null now)"]


def test_a_retired_setting_is_refused_if_it_had_an_effect() -> None:
    with pytest.raises(
        ConfigError, match=r"objective\.order_weight is 0\.5, but this version has no such term"
    ):
        as_setting("objective", ObjectiveConfig, {"order_weight": 0.5})
    run = {"data": {"name": "digits"}, "target": {}}
    with pytest.raises(ConfigError, match=r"order_weight is 2, but this version has no such term"):
        parse_config(run, ["objective.order_weight=2"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("relu", "no"),
        ("sigmoid", 1),
        ("conditioned", None),
        ("decoder", [1]),
        ("decoder", {"image": 3}),
        ("rescale", ""),
        ("by_class", "yes"),
    ],
)
def test_kind_values_nobody_checks_flags_of_the_scorer_are_flags(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name}"):
        ScorerConfig(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", NAN), ("warmup_ratio", 1.5), ("weight_decay", NAN), ("seed", -1)]
)
def test_kind_raw_exceptions_classifier_settings_are_checked(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{name}"):
        ClassifierTraining(**{name: value})


def test_numbers_of_numpy_and_lists_of_names_are_taken() -> None:
    config = TrainingConfig(seed=np.int64(3), epochs=np.float32(0.5), resume=np.bool_(False))
    assert (config.seed, config.epochs, config.resume) == (3, 0.5, False)
    assert type(config.seed) is int
    assert ObjectiveConfig(fills=["zero", "mean"]).fills == ("zero", "mean")
    # file names are made of hashes of settings, so that an int may not become a float
    assert type(TrainingConfig(epochs=3).epochs) is int


def test_a_message_names_what_the_caller_wrote() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainingConfig(batch_size=2.5)
    assert str(caught.value) == (
        "batch_size must be a whole number; got 2.5. (In a configuration file: training.batch_size.)"
    )


LATER: list[tuple[str, dict[str, Any]]] = [
    ("baseline method", {"evaluation": {"rivals": ["salience"]}}),
    ("baseline method", {"evaluation": {"few_samples": ["nothing"]}}),
    ("option", {"evaluation": {"rivals": [{"integrated_gradients": {"stepz": 3}}]}}),
    ("n_steps", {"evaluation": {"rivals": [{"integrated_gradients": {"n_steps": 0}}]}}),
    ("metric", {"evaluation": {"metrics": ["average_dorp"]}}),
    ("fill", {"evaluation": {"fills": ["zeros"]}}),
    ("steps", {"evaluation": {"steps": 0}}),
    ("forward_batch", {"evaluation": {"forward_batch": 0}}),
    ("granularity", {"evaluation": {"granularities": ["pixels"]}}),
    ("groups", {"evaluation": {"groups": [["text"]]}}),
    ("protocol", {"evaluation": {"protocol": "other"}}),
    ("none.npz", {"evaluation": {"imported": [{"name": "x", "path": "none.npz"}]}}),
    ("report.methods", {"report": {"methods": ["salience"]}}),
    ("ablation.fills", {"ablation": {"fills": ["zeros"]}}),
    ("audit.fills", {"audit": {"fills": ["zeros"]}}),
    ("objective.fills", {"objective": {"fills": ["zeros"]}}),
    ("coalition_modalities", {"objective": {"coalition_modalities": ["text"]}}),
    ("training.extra", {"training": {"extra": {"no_such": 1}}}),
    ("training.extra", {"training": {"extra": {"lr_scheduler_type": "never"}}}),
    ("no model folder|not installed", {"target": {"pretrained": "nowhere_at_all:model"}}),
    ("seeds", {"seeds": [-1]}),
    ("data set", {"data": {"name": "digitz"}}),
    ("evaluation.fills names 'zero' and 'zero'", {"evaluation": {"fills": ["zero", "mean", "zero"]}}),
    ("ablation.fills names 'zero' and 'zero'", {"ablation": {"fills": ["zero", "zero"]}}),
    ("audit.fills names 'zero' and 'zero'", {"audit": {"fills": ["zero", "zero"]}}),
    ("evaluation.metrics names 'iou' twice", {"evaluation": {"metrics": ["iou", "iou"]}}),
    ("ablation.metrics names 'iou' twice", {"ablation": {"metrics": ["iou", "iou"]}}),
    ("groups names .* twice", {"evaluation": {"groups": [["image"], ["image"]]}}),
    ("rivals names 'saliency' twice", {"evaluation": {"rivals": ["saliency", {"saliency": {}}]}}),
    ("rivals names 'saliency' twice", {"evaluation": {"few_samples": ["saliency"]}}),
]


@pytest.mark.parametrize(("word", "changes"), LATER, ids=[f"{w}-{i}" for i, (w, _) in enumerate(LATER)])
def test_kind_refused_only_after_training_is_refused_before(
    word: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    values = {
        **IMAGE,
        **{k: {**IMAGE.get(k, {}), **v} if isinstance(v, dict) else v for k, v in changes.items()},
    }
    with pytest.raises(SidelightError, match=word):
        check_run(parse_config(values), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_full_disk_is_said_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = parse_config(IMAGE)
    check_run(config, tmp_path / "run")  # enough space: nothing is said
    usage = namedtuple("usage", "total used free")
    needed = bytes_needed(config)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2 * needed, needed, needed - 1))
    with pytest.raises(SidelightError, match=r"MB are free.*--out"):
        check_run(config, tmp_path / "run")


def test_kind_what_is_trained_already_needs_no_space_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path / "run")
    (run.folder / "judge" / "1234" / "target").mkdir(parents=True)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**30, 2**30 - 2**24, 2**24))
    judged = changed(run.config, ["evaluation.metrics=[fidelity_plus]"])
    check_run(judged, run.folder)
    more = changed(run.config, ["seeds=[0,1]"])
    with pytest.raises(
        CheckpointError, match=r"about 64 MB more.* or move the run's folder to another disk\.$"
    ):
        check_run(more, run.folder)


def test_kind_a_name_given_twice_in_a_configuration_is_told(tmp_path: Path) -> None:
    file = tmp_path / "twice.yaml"
    file.write_text("data: {name: digits}\nevaluation:\n  count: 8\n  steps: 2\n  count: 4\n")
    with pytest.raises(ConfigError, match=r"'count' is given twice(.|\n)*line 5"):
        read_yaml(file)
    file.write_text("a: &a {count: 8}\nb: {<<: *a, count: 4}\nc: {count: 1}\n")
    assert read_yaml(file)["b"] == {"count": 4}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, r"config data is required\.$"),
        ({**IMAGE, "evaluation": 5}, r"config evaluation must be a mapping of names to values; got 5\.$"),
        ({**IMAGE, "training": 5}, r"config training must be a mapping of names to values; got 5\.$"),
        (
            {**IMAGE, "data": None},
            r"config data must be a mapping of names to values; it is empty \(null in YAML\)\. Write a value, or leave its",
        ),
        (
            {**IMAGE, "evaluation": {"judge": None}},
            r"config evaluation\.judge .* it is empty \(null in YAML\)",
        ),
        ({**IMAGE, "seeds": None}, r"config seeds must be a list; it is empty \(null in YAML\)"),
    ],
)
def test_kind_a_section_that_is_missing_or_no_mapping_is_told_in_plain_words(
    values: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        parse_config(values)


def test_kind_a_seed_that_is_given_twice_is_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="seeds names 0 twice"):
        check_run(parse_config({**IMAGE, "seeds": [0, 1, 0]}), tmp_path / "run")


def test_kind_a_run_without_results_says_which_command_makes_them(tmp_path: Path) -> None:
    run = Run(tmp_path / "run", parse_config(IMAGE))
    with pytest.raises(CheckpointError, match=r"has no results\.json: run `sidelight evaluate .*run` first"):
        run.results()


def test_kind_a_name_that_a_value_of_set_gives_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'a' is given twice"):
        read_overrides(["evaluation.rivals={a: 1, a: 2}"])
