"""The judge of a run: trained once beside the target, kept, and found again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

import sidelight.lab.evaluation.judge as module
from sidelight.checks.answers import ANSWERS
from sidelight.errors import CheckpointError, ConfigError
from sidelight.lab.config.files import parse_config
from sidelight.lab.evaluation.judge import identity, judge_of
from sidelight.lab.evaluation.methods import set_reference
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.runs.classifier import accuracy
from sidelight.lab.runs.run import Run
from sidelight.targets import fingerprint
from tiny_runs import IMAGE, TEXT, tiny_run

METRICS = ["average_drop", "fidelity_plus", "fidelity_minus", "single_deletion"]
JUDGE: dict[str, Any] = {
    "rows": 24,
    "epochs": 1,
    "batch_size": 8,
    "draws": 2,
    "sizes": [0.3, 0.7],
    "cells": 6,
}


def asking(values: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The evaluation of a tiny run with the judge's metrics."""
    return {**values["evaluation"], "metrics": METRICS, "judge": JUDGE, **more}


def run_at(folder: Path, values: dict[str, Any] = IMAGE, **more: Any) -> Run:
    return tiny_run(folder, values, evaluation=asking(values, **more))


def judge_file(run: Run) -> Path:
    (path,) = (run.folder / "judge").glob("*/judge.json")
    return path


@pytest.mark.parametrize("kind", ["image", "text", "pair"])
def test_a_run_is_judged_and_its_target_stays(kind: str, tmp_path: Path) -> None:
    if kind == "pair":
        values = {
            **IMAGE,
            "data": {**IMAGE["data"], "name": "scenes"},
            "target": PAIR_TARGET,
            "scorer": {"channels": [8, 4], "width": 8, "layers": 1, "heads": 2},
        }
        values["evaluation"] = {**values["evaluation"], "rivals": ["random"]}
    else:
        values = {"image": IMAGE, "text": TEXT}[kind]
    run = run_at(tmp_path / "run", values)
    weights = run.folder / "target" / "model.safetensors"
    before, marked = weights.read_bytes(), fingerprint(run.open_target().model)
    results = evaluate_run(run)
    assert weights.read_bytes() == before
    assert fingerprint(run.open_target().model) == marked
    found = {(r["modality"], r["metric"]) for r in results["rows"]}
    modalities = {"image": ["image"], "text": ["text"], "pair": ["image+text", "image", "text"]}[kind]
    assert found == {(m, metric) for m in modalities for metric in METRICS}
    for row in results["rows"]:
        if row["metric"].startswith("fidelity"):
            assert -1 <= row["mean"] <= 1
            assert row["n"] == 5  # the samples that carry curves
    told = json.loads(judge_file(run).read_text())
    assert told["identity"]["target"] == marked
    assert told["fingerprint"] != marked
    assert (judge_file(run).parent / "target" / "model.safetensors").is_file()
    assert not list(run.folder.rglob("*.bin"))
    assert results["judge"] == {k: v for k, v in told.items() if k not in ("identity", "format", ANSWERS)}
    (note,) = [n for n in results["notes"] if "ask a judge" in n]
    assert f"{told['whole']['judge']:.3f} on whole inputs" in note
    assert "fidelity plus" in (run.folder / "table.md").read_text()


PAIR_TARGET: dict[str, Any] = {
    "fusion": {
        "text": {"architecture": TEXT["target"]["architecture"], "tokenizer": "scenes"},
        "image": {
            "architecture": {**IMAGE["target"]["architecture"], "num_channels": 3},
            "transform": {"size": [16, 16]},
        },
        "width": 16,
        "layers": 1,
        "heads": 2,
    },
    "training": {"epochs": 1, "batch_size": 12},
}


def test_a_judge_is_trained_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_at(tmp_path / "run")
    first = evaluate_run(run)
    stamp = judge_file(run).stat().st_mtime_ns

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(module, "train_classifier", never)
    assert evaluate_run(Run.open(run.folder)) == first
    assert judge_file(run).stat().st_mtime_ns == stamp
    # a judge whose record was lost in a kill is recorded again, with the same words
    told = json.loads(judge_file(run).read_text())
    judge_file(run).unlink()
    target = run.open_target()
    judge_of(run, target)
    assert json.loads(judge_file(run).read_text()) == told


def test_what_the_judge_is_asked_makes_no_other_judge_and_its_training_does(tmp_path: Path) -> None:
    run = run_at(tmp_path / "run")
    target = run.open_target()
    own = identity(run, target)

    def changed(**judge: Any) -> dict[str, Any]:
        section = run.config.evaluation
        asked = section.judge.model_copy(update=judge)
        config = run.config.model_copy(update={"evaluation": section.model_copy(update={"judge": asked})})
        return identity(Run(run.folder, config), target)

    assert changed(draws=9, sizes=[0.5], cells=3, alpha=0.9) == own
    for other in ({"beta": 0.2}, {"rows": 12}, {"epochs": 2.0}, {"seed": 1}, {"learning_rate": 1e-3}):
        assert changed(**other) != own


def test_weights_that_were_changed_since_are_refused(tmp_path: Path) -> None:
    run = run_at(tmp_path / "run")
    evaluate_run(run)
    path = judge_file(run).parent / "target" / "model.safetensors"
    tensors = {k: v + 1 if v.is_floating_point() else v for k, v in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="other weights than when it was trained"):
        judge_of(run, run.open_target())


def test_other_settings_of_the_judge_are_another_evaluation(tmp_path: Path) -> None:
    run = run_at(tmp_path / "run")
    evaluate_run(run)
    other = run.config.model_copy(
        update={
            "evaluation": run.config.evaluation.model_copy(
                update={"judge": run.config.evaluation.judge.model_copy(update={"draws": 3})}
            )
        }
    )
    with pytest.raises(ConfigError, match="results of another evaluation"):
        evaluate_run(Run.create(run.folder, other))


def test_an_evaluation_of_others_is_refused_before_a_judge_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny_run(tmp_path / "run")
    evaluate_run(run)

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("trained in vain")

    monkeypatch.setattr(module, "train_classifier", never)
    section = run.config.evaluation.model_copy(update={"metrics": ["fidelity_plus"]})
    other = run.config.model_copy(update={"evaluation": section})
    with pytest.raises(ConfigError, match=r"results of another evaluation \(different settings\)"):
        evaluate_run(Run.create(run.folder, other))
    assert not (run.folder / "judge").exists()


def test_evaluations_without_a_judge_are_those_of_before(tmp_path: Path) -> None:
    """The record of a finished evaluation has no word of a judge, so earlier ones go on."""
    run = tiny_run(tmp_path / "run")
    evaluate_run(run)
    told = json.loads((run.folder / "evaluation" / "full" / "evaluation.json").read_text())
    assert "judge" not in told
    assert "judge" not in told["settings"]
    assert not (run.folder / "judge").exists()
    assert "judge" not in run.results()


def test_protocols_with_metrics_of_their_own_ask_no_judge(tmp_path: Path) -> None:
    run = run_at(tmp_path / "run", protocol="thesis", fills=None, granularities=[])
    results = evaluate_run(run)
    assert not {r["metric"] for r in results["rows"]} & set(METRICS[1:])
    assert "judge" not in results
    assert not (run.folder / "judge").exists()


def test_bad_values_are_named() -> None:
    with pytest.raises(ConfigError, match=r"evaluation.judge.beta .*; got 1.5"):
        parse_config({**IMAGE, "evaluation": asking(IMAGE, judge={"beta": 1.5})})
    with pytest.raises(ConfigError, match=r"unknown config key 'evaluation\.judge\.betas'"):
        parse_config({**IMAGE, "evaluation": asking(IMAGE, judge={"betas": 0.5})})


@pytest.mark.slow
def test_removal_is_no_surprise_to_a_judge(tmp_path: Path) -> None:
    """With half of the pixels gone a trained target fails, and the judge has learnt to do without them."""
    values = {
        **IMAGE,
        "data": {"name": "digits", "train": 700, "validation": 200, "test": 50},
        "target": {
            **IMAGE["target"],
            "architecture": {
                **IMAGE["target"]["architecture"],
                "embedding_size": 16,
                "hidden_sizes": [16, 32],
            },
            "training": {"epochs": 8, "batch_size": 16, "learning_rate": 0.01},
        },
    }
    section = {
        **asking(IMAGE),
        "judge": {**JUDGE, "rows": None, "beta": 0.5, "epochs": 6, "learning_rate": 0.003},
    }
    run = Run.create(tmp_path / "run", parse_config({**values, "evaluation": section}))
    target = run.open_target()
    set_reference(run, target)
    assert accuracy(target, run.rows("validation", 200)) > 0.6
    judge_of(run, target)
    told = json.loads(judge_file(run).read_text())
    # how much more depends on the processor, whose rounding leads so short trainings to unlike ends: 0.05 on one of them
    assert told["removed"]["judge"] > told["removed"]["target"] + 0.02
    assert told["whole"]["judge"] > told["whole"]["target"] - 0.1
    assert not math.isclose(told["agreement"], 0)
