"""The classifier of a run answers otherwise with the same weights: nothing of it is measured as if it were the same one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_edited_rows import JUDGE, run_at
from test_run_folders import QUICK

from cli_tools import sidelight
from sidelight.core.files import write_json
from sidelight.errors import ConfigError
from sidelight.lab.ablation.run import run_ablation
from sidelight.lab.audit import run_audit
from sidelight.lab.evaluation.judge import judge_facts, judge_of
from sidelight.lab.evaluation.methods import set_reference
from sidelight.lab.evaluation.run import evaluate_run
from sidelight.lab.runs.run import Run

WORDS = r"different the model's answers with the same weights \(logits \[.*\] there, \[.*\] now"


def answer_otherwise(run: Run, function: str = "sigmoid") -> None:
    """Give the classifier another function between its layers, which has no weights."""
    before = run.open_target().fingerprint()
    path = run.folder / "target" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hidden_act": function}))
    assert run.open_target().fingerprint() == before


def without_answers(path: Path, inside: str | None = None) -> None:
    """Make a record look as if an earlier version had written it."""
    known = json.loads(path.read_text())
    del (known if inside is None else known[inside])["answers"]
    write_json(path, known)


def test_kind_an_evaluation_is_not_continued_by_a_classifier_that_answers_otherwise(tmp_path: Path) -> None:
    """``evaluate`` measured the missing batches with it, and ``report`` showed its maps beside the numbers of both."""
    run = run_at(tmp_path)
    evaluate_run(run)
    evaluate_run(run)
    assert sidelight("report", run.folder).code == 0
    (run.folder / "evaluation" / "full" / "part-00001.parquet").unlink()
    answer_otherwise(run)
    with pytest.raises(ConfigError, match=WORDS):
        evaluate_run(run)
    refused = sidelight("report", run.folder)
    assert refused.code == 2
    assert "the classifier changed" in refused.err
    without_answers(run.folder / "evaluation" / "full" / "evaluation.json", "content")
    without_answers(run.folder / "results.json", "measured")
    assert sidelight("report", run.folder).code == 0
    evaluate_run(run)


def test_kind_an_audit_is_made_again_for_a_classifier_that_answers_otherwise(tmp_path: Path) -> None:
    run = run_at(tmp_path, audit={"count": 4, "draws": 1, "rivals": ["random"]})
    first = run_audit(run, ["stability"])["stability"]
    assert run_audit(run, ["stability"])["stability"]["seconds"] == first["seconds"]
    answer_otherwise(run)
    again = run_audit(run, ["stability"])["stability"]
    assert again["rows"] != first["rows"]
    write_json(run.folder / "audit" / "stability.json", {k: v for k, v in first.items() if k != "answers"})
    assert run_audit(run, ["stability"])["stability"]["rows"] == first["rows"]


def test_kind_a_judge_of_a_classifier_that_answered_otherwise_is_refused(tmp_path: Path) -> None:
    run = run_at(tmp_path, evaluation={**QUICK, "metrics": ["fidelity_plus"], "judge": JUDGE})

    def judge() -> str:
        target = run.open_target()
        set_reference(run, target)
        found = judge_of(run, target).fingerprint()
        assert "answers" not in judge_facts(run, target)
        return found

    first = judge()
    assert judge() == first
    answer_otherwise(run)
    with pytest.raises(ConfigError, match=f"the judge .* another classifier .{WORDS}"):
        judge()
    (record,) = run.folder.glob("judge/*/judge.json")
    without_answers(record)
    assert judge() == first


def ablate(run: Run) -> Any:
    return run_ablation(run)


def audit(run: Run) -> Any:
    return run_audit(run, ["retraining"])


@pytest.mark.parametrize("work", [ablate, audit])
def test_kind_scorers_that_were_trained_beside_other_answers_are_refused(
    tmp_path: Path, work: Callable[[Run], Any]
) -> None:
    checks = {"count": 3, "train": 12, "epochs": 1, "labels": False, "rivals": ["random"]}
    run = run_at(
        tmp_path, audit=checks, ablation={"variants": {"as it is": []}, "count": 4, "steps": 1, "samples": 1}
    )
    work(run)
    work(run)
    answer_otherwise(run)
    with pytest.raises(ConfigError, match=f"trained beside another classifier .{WORDS}"):
        work(run)
    for record in run.folder.glob("a*/**/training.json"):
        without_answers(record)
    work(run)
