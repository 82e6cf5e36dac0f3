"""``training.extra``: what the Trainer would misread, do in silence or fail on is told with its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from fault_models import SQUARE, P, S, eye
from process_state import assert_process_unchanged

from sidelight import Explainer
from sidelight.errors import ConfigError, MissingPackageError, UnexpectedError
from sidelight.lab.config.files import parse_config
from sidelight.lab.config.sections import ClassifierTraining
from sidelight.lab.evaluation.preflight import check_run
from sidelight.lab.runs.classifier import classifier_arguments
from sidelight.training import arguments
from sidelight.training.arguments import scorer_arguments, trainer_arguments
from sidelight.training.settings import TrainingConfig
from sidelight.training.trainer import CsvLog
from tiny_runs import IMAGE

REFUSED: list[tuple[str, Any, str]] = [
    ("dataloader_drop_last", True, "must be False or left out, because the validation"),
    ("push_to_hub", True, "explainer.push_to_hub"),
    ("resume_from_checkpoint", "checkpoint-5", "goes on by itself"),
    ("save_only_model", True, "could not go on"),
    ("load_best_model_at_end", False, "best weights are always kept"),
    ("greater_is_better", True, "lower is better"),
    ("label_smoothing_factor", 0.1, "no labels"),
    ("neftune_noise_alpha", 5, "no word embeddings"),
    ("gradient_checkpointing", True, "twice"),
    ("torch_compile", True, "must be False or left out.*cannot follow"),
    ("torch_compile_backend", "eager", "must be None or left out.*cannot follow"),
    ("torch_compile_mode", "default", "must be None or left out.*cannot follow"),
    ("num_train_epochs", 9, "Set training.epochs"),
    ("per_device_train_batch_size", 4, "Set training.batch_size"),
    ("learning_rate", 1e-3, "Set training.learning_rate"),
    ("seed", 1, "Set training.seed"),
    ("per_device_eval_batch_size", 0, "at least 1"),
    ("max_steps", 0, "must be at least 1, or -1 for no limit; got 0"),
    ("eval_accumulation_steps", 0, "at least 1"),
    ("max_steps", "3", "must be a whole number"),
    ("max_steps", 2.5, "must be a whole number"),
    ("dataloader_num_workers", -1, "at least 0"),
    ("data_seed", -4, "at least 0"),
    ("disable_tqdm", "yes", "must be True or False"),
    ("adam_epsilon", "small", "must be a number"),
]


def fit(folder: Path, **extra: Any) -> Explainer:
    settings = {**S, "batch_size": 8}
    return Explainer.fit(eye(), P[:20], processor=SQUARE, output_dir=folder, extra=extra, **settings)


@pytest.mark.parametrize(("name", "value", "told"), REFUSED)
def test_kind_arguments_of_the_trainer_are_refused_by_name(
    name: str, value: Any, told: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=rf"(?s)(?=.*training\.extra)(?=.*{name}).*{told}"):
        fit(tmp_path / "run", **{name: value})


@pytest.mark.parametrize("place", ["training", "beside.other"])
def test_kind_arguments_of_the_trainer_are_refused_before_anything_is_trained(
    place: str, tmp_path: Path
) -> None:
    extra = {"dataloader_drop_last": True}
    beside = {"other": {"objective": "robust", "training": {"extra": extra}}}
    values = {**IMAGE, "beside": beside} if place != "training" else {**IMAGE, "training": {"extra": extra}}
    with pytest.raises(ConfigError, match=rf"{place}.*dataloader_drop_last must be False"):
        check_run(parse_config(values), tmp_path / "run")


def test_a_kind_of_scorer_without_a_training_of_its_own_is_checked_with_that_of_the_run(
    tmp_path: Path,
) -> None:
    values = {**IMAGE, "beside": {"finer": {"objective": "robust", "scorer": {"stride": 2}}}}
    check_run(parse_config(values), tmp_path / "run")
    extra = {"dataloader_drop_last": True}
    with pytest.raises(ConfigError, match=r"dataloader_drop_last must be False"):
        check_run(parse_config({**values, "training": {"extra": extra}}), tmp_path / "run")


def test_kind_an_argument_that_goes_with_ours_is_not_refused_for_being_looked_at_alone(
    tmp_path: Path,
) -> None:
    extra = {
        "load_best_model_at_end": True,
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "push_to_hub": False,
    }
    check_run(parse_config({**IMAGE, "training": {"extra": extra}}), tmp_path / "run")
    fit(tmp_path / "fitted", **extra)


def test_kind_a_training_without_a_bar_shows_none(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for silent in (False, True):
        fit(tmp_path / f"{silent}", disable_tqdm=silent)
        said = "".join(capfd.readouterr())
        assert ("scorer" in said and "3/3" in said) is not silent


def test_kind_an_argument_without_a_setting_of_ours_is_taken() -> None:
    section = ClassifierTraining(extra={"gradient_accumulation_steps": 2})
    assert classifier_arguments(section, 64, Path("run")).gradient_accumulation_steps == 2
    with pytest.raises(
        ConfigError, match=r"target\.training\.extra must not hold seed\. Set target\.training\.seed"
    ):
        classifier_arguments(ClassifierTraining(extra={"seed": 2}), 64, Path("run"))


def test_kind_yaml_takes_a_small_number_for_a_text_and_the_trainer_gets_the_number() -> None:
    assert trainer_arguments(Path("run"), {}, {"adam_epsilon": "1e-8"}).adam_epsilon == 1e-8


def test_kind_a_logger_in_extra_whose_package_is_missing_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers.integrations as integrations

    def missing() -> None:
        raise RuntimeError("WandbCallback requires wandb to be installed.")

    monkeypatch.setitem(integrations.INTEGRATION_TO_CALLBACK, "wandb", missing)
    with pytest.raises(MissingPackageError, match="wandb"):
        fit(tmp_path / "run", report_to=["wandb"])


@pytest.mark.parametrize(
    "extra",
    [{"metric_for_best_model": "accuracy"}, {"lr_scheduler_kwargs": {"x": 1}}, {"save_strategy": "no"}],
)
def test_kind_what_the_trainer_fails_on_names_the_arguments_that_were_added(
    extra: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises((UnexpectedError, ConfigError), match=r"training\.extra") as told:
        fit(tmp_path / "run", **extra)
    assert "fault of sidelight" not in str(told.value)


@pytest.mark.parametrize(("most", "warm"), [(10, 1), (400, 40), (-1, 192)])
def test_kind_a_training_of_few_steps_is_not_all_warming_up(most: int, warm: int) -> None:
    config = TrainingConfig(epochs=30, warmup_ratio=0.1, extra={"max_steps": most, "use_cpu": True})
    assert scorer_arguments(Path("run"), config, 64).warmup_steps == warm


def test_kind_a_precision_of_the_users_takes_the_place_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = arguments.shared_arguments()
    monkeypatch.setattr(arguments, "shared_arguments", lambda: {**ours, "bf16": True})  # as on a GPU
    made = trainer_arguments(Path("run"), {}, {"fp16": True})
    assert (made.fp16, made.bf16) == (True, False)


def test_kind_a_deterministic_training_leaves_the_process_alone(tmp_path: Path) -> None:
    model = eye()
    with assert_process_unchanged(model):
        settings = {**S, "batch_size": 8, "extra": {"full_determinism": True}}
        Explainer.fit(model, P[:20], processor=SQUARE, output_dir=tmp_path / "run", **settings)


def test_kind_a_stopped_training_whose_workers_stay_goes_on_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their seed came from the generator of the training, once in a whole training and once more after a kill."""
    settings = {**S, "epochs": 2, "batch_size": 8, "processor": SQUARE}
    settings["extra"] = {"dataloader_num_workers": 1, "dataloader_persistent_workers": True}
    whole = Explainer.fit(eye(), P[:20], output_dir=tmp_path / "whole", **settings)

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as first:
        first.setattr(CsvLog, "on_save", stop)
        with pytest.raises(KeyboardInterrupt):
            Explainer.fit(eye(), P[:20], output_dir=tmp_path / "stopped", **settings)
    again = Explainer.fit(eye(), P[:20], output_dir=tmp_path / "stopped", **settings)
    for one, other in zip(whole.scorer.parameters(), again.scorer.parameters(), strict=True):
        assert torch.equal(one, other)
