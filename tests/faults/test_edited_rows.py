"""Rows that are edited under a run: what was trained or measured on the earlier ones is not taken for theirs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from test_run_folders import QUICK, put_digits

import sidelight.lab.evaluation.judge as judge_module
import sidelight.lab.evaluation.run as evaluation_module
from sidelight.errors import ConfigError, InputError
from sidelight.explainer import Explainer
from sidelight.lab.ablation.run import run_ablation
from sidelight.lab.ablation.table import build_ablation_tables, page
from sidelight.lab.audit import run_audit
from sidelight.lab.evaluation.judge import judge_of
from sidelight.lab.evaluation.methods import set_reference
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.runs.run import Run
from tiny_runs import tiny_run

JUDGE = {"rows": 12, "epochs": 1, "batch_size": 8, "draws": 1, "sizes": [0.5], "cells": 2}


def run_at(place: Path, **sections: object) -> Run:
    data = {"name": "mnist", "data_dir": str(put_digits(place / "data"))}
    return tiny_run(place / "run", data=data, **{"evaluation": QUICK, **sections})


def edit(run: Run, split: str = "train", seed: int = 1) -> None:
    """Other pictures in one split, of the same number and with the same labels."""
    place = run.folder.parent
    shutil.rmtree(place / "other", ignore_errors=True)
    other = put_digits(place / "other", seed=seed)
    shutil.copy(other / "mnist" / f"{split}.parquet", place / "data" / "mnist" / f"{split}.parquet")


def trained(run: Run) -> dict[str, int]:
    """The models of an audit, with the time at which each was written."""
    found = [
        *run.folder.glob("audit/*/model.safetensors"),
        *run.folder.glob("audit/*/scorer/scorer.safetensors"),
    ]
    return {str(path.relative_to(run.folder)): path.stat().st_mtime_ns for path in found}


def test_kind_models_of_an_audit_are_trained_on_the_rows_that_are_there(tmp_path: Path) -> None:
    settings = {"count": 3, "count_wide": 3, "train": 12, "epochs": 1, "labels": True, "rivals": ["random"]}
    run = run_at(tmp_path, audit={**settings, "fills": ["zero"]})
    checks = ["retraining", "encoding"]
    run_audit(run, checks)
    first = trained(run)
    assert len(first) == 5  # three scorers, a classifier of shuffled labels and an independent one
    edit(run)
    run_audit(run, checks)
    both = trained(run)
    assert len(both) == 10
    assert {k: v for k, v in both.items() if k in first} == first


def test_kind_models_of_an_earlier_version_without_a_record_of_their_rows_are_read(tmp_path: Path) -> None:
    settings = {"count": 3, "train": 12, "epochs": 1, "labels": False, "rivals": ["random"]}
    run = run_at(tmp_path, audit=settings)
    run_audit(run, ["retraining"])
    first = trained(run)
    for record in run.folder.glob("audit/*/training.json"):
        record.unlink()
    edit(run)
    run_audit(run, ["retraining"])
    assert trained(run) == first


def test_kind_a_judge_is_trained_on_the_rows_that_are_there(tmp_path: Path) -> None:
    run = run_at(tmp_path, evaluation={**QUICK, "metrics": ["fidelity_plus"], "judge": JUDGE})
    target = run.open_target()
    set_reference(run, target)
    first = judge_of(run, target).fingerprint()
    edit(run)
    second = judge_of(run, target).fingerprint()
    assert second != first
    assert len(list(run.folder.glob("judge/*/judge.json"))) == 2
    assert judge_module.judge_facts(run, target)["fingerprint"] == second
    edit(run, seed=0)
    assert judge_of(run, target).fingerprint() == first
    for record in run.folder.glob("judge/*/target-training/training.json"):
        record.unlink()  # an earlier version left none
    edit(run)
    assert judge_of(run, target).fingerprint() == first


def test_kind_an_evaluation_is_not_continued_with_other_rows_to_draw_from(tmp_path: Path) -> None:
    run = run_at(tmp_path, evaluation={**QUICK, "rivals": ["gradient_shap"]})
    evaluate_run(run)
    (run.folder / "evaluation" / "full" / "part-00001.parquet").unlink()
    edit(run, "validation")
    evaluate_run(run)  # nothing is drawn from these
    edit(run)
    with pytest.raises(
        ConfigError, match="fills and methods draw from the training data, which have changed"
    ):
        evaluate_run(run)
    manifest = run.folder / "evaluation" / "full" / "evaluation.json"
    known = json.loads(manifest.read_text())
    del known["content"]["reference"]  # an earlier version did not note it
    manifest.write_text(json.dumps(known))
    evaluate_run(run)


def test_kind_a_variant_is_not_measured_with_a_scorer_of_other_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_at(tmp_path, ablation={"variants": {"as it is": []}, "count": 4, "steps": 1})

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("sidelight.lab.ablation.run.measure", killed)
        with pytest.raises(KeyboardInterrupt):
            run_ablation(run)
    edit(run)
    with pytest.raises(ConfigError, match="a scorer that was trained on other rows"):
        run_ablation(run)
    edit(run, seed=0)
    run_ablation(run)


@pytest.mark.parametrize("work", [evaluate_run, run_ablation])
def test_kind_metrics_of_which_none_can_be_measured_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, work: object
) -> None:
    evaluation = {**QUICK, "metrics": ["auprc", "f1"]}
    run = run_at(tmp_path, evaluation=evaluation, ablation={"metrics": ["auprc"], "count": 4})

    def never(*_: object, **__: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr(Explainer, "fit", never)
    monkeypatch.setattr(evaluation_module, "finish_parts", never)
    with pytest.raises(InputError, match="names only metrics that need known evidence"):
        work(run)  # type: ignore[operator]


def test_kind_an_ablation_of_maps_as_given_alone_has_a_table() -> None:
    about = {"dataset": "digits", "modality": "image", "method": "full", "reduction": "none", "fill": "none"}
    row = {**about, "granularity": "none", "metric": "constant_map", "mean": 1.0, "sd": 0.0, "n": 4}
    variants = [{"name": "full", "seeds": [0], "collapsed": [0]}]
    summary = [{**row, "ci95": [1.0, 1.0], "seeds": 1, "seed_sd": None}]
    (table,) = build_ablation_tables(summary, variants)
    assert table.title == "digits · maps as given · n = 4"
    assert "full" in page([table])
