"""Runs beside models that are no plain softmax: one number, a value, and labels that are decided each by itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sidelight.core.files import write_json
from sidelight.errors import ConfigError, InputError
from sidelight.lab.ablation.cells import Cell, cells_of
from sidelight.lab.ablation.run import Targets, _without_goal, run_ablation
from sidelight.lab.ablation.table import write_tables
from sidelight.lab.config.files import parse_config
from sidelight.lab.runs.labelled import class_numbers, require_classes
from sidelight.lab.runs.run import Run
from tiny_runs import IMAGE


def run_beside(folder: Path, head: dict[str, Any], **sections: Any) -> Run:
    """A run beside a saved model with random weights."""
    from transformers import ResNetConfig, ResNetForImageClassification

    with torch.random.fork_rng():
        sizes = {k: v for k, v in IMAGE["target"]["architecture"].items() if k != "model_type"}
        ResNetForImageClassification(ResNetConfig(**sizes, **head)).save_pretrained(folder / "model")
    target = {"pretrained": str(folder / "model"), "transform": IMAGE["target"]["transform"]}
    options = sections.pop("options", {})
    return Run.create(
        folder / "run", parse_config({**IMAGE, "target": {**target, "options": options}, **sections})
    )


@pytest.mark.parametrize(
    ("head", "options"),
    [({"num_labels": 1, "problem_type": "regression"}, {}), ({"num_labels": 1}, {"output": "value"})],
)
def test_a_value_is_refused_with_what_to_do_instead(head: Any, options: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a run measures a classifier.*Explainer\.fit.*lab\.compare"):
        run_beside(tmp_path, head, options=options).fit()


def test_a_value_whose_low_and_high_are_said_is_opened(tmp_path: Path) -> None:
    head = {"num_labels": 1, "problem_type": "regression"}
    target = run_beside(tmp_path, head, options={"threshold": 0.0, "scale": 1.0}).new_target()
    assert list(target.id2label.values()) == ["lower", "higher"]


def test_one_number_that_nobody_declared_is_no_class() -> None:
    with pytest.raises(InputError, match=r"one number a sample.*output='sigmoid'.*target\.options"):
        require_classes(torch.tensor([0, 1]), {0: "LABEL_0"}, False)


LABELS = {"num_labels": 10, "problem_type": "multi_label_classification"}


def left_out(run: Run) -> list[str]:
    return list(_without_goal(cells_of(run), Targets(run)))


def test_default_variants_without_a_goal_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, trained = run_beside(tmp_path, LABELS), []
    assert left_out(run) == ["label data", "label distribution"]

    def note(cell: Cell, target: Any, content: Any) -> None:
        trained.append(cell.variant.name)

    monkeypatch.setattr("sidelight.lab.ablation.run.run_cell", note)
    monkeypatch.setattr("sidelight.lab.ablation.run.write_tables", lambda run: [])
    assert run_ablation(run) == []
    assert "full" in trained
    assert not {"label data", "label distribution"} & set(trained)
    assert not (run.folder / "ablation" / "label-data").exists()


def test_the_table_says_why_default_variants_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collapse(cell: Cell, target: Any, content: Any) -> None:
        facts = {"measured": False, "collapsed": True, "message": "", "training": {}, "content": content}
        write_json(cell.folder / "cell.json", facts | {"target": target.fingerprint()})

    run = run_beside(tmp_path, LABELS)
    monkeypatch.setattr("sidelight.lab.ablation.run.run_cell", collapse)
    run_ablation(run)
    table = run.folder / "ablation" / "table.md"
    for _ in range(2):  # when it is made, and when it is made again from stored numbers
        told = table.read_text(encoding="utf-8")
        for name in ("data", "distribution"):
            assert (
                f"label {name} is left out: label='{name}' does not go with this model: it decides each label by itself"
                in told
            )
        assert "Not trained" not in told
        table.unlink()
        write_tables(run)


def test_a_variant_without_a_goal_that_was_asked_for_is_refused(tmp_path: Path) -> None:
    run = run_beside(tmp_path, LABELS)
    with pytest.raises(ConfigError, match=r"ablation variant .label data.*decides each label by itself"):
        run_ablation(run, ["label data"])
    assert left_out(run_beside(tmp_path / "classes", {"num_labels": 10})) == []


@pytest.mark.parametrize("output", ["sigmoid", "probabilities"])
@pytest.mark.parametrize(
    ("classes", "numbers"), [(("not spam", "spam"), None), (("spam", "not spam"), {0: 1, 1: 0})]
)
def test_the_two_classes_of_one_output_go_by_name(
    output: str,
    classes: tuple[str, ...],
    numbers: Any,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A warning said that "spam" and "not spam" are not the model's classes, and their numbers were taken as they are."""
    head = {"num_labels": 1, "id2label": {0: "spam"}, "label2id": {"spam": 0}}
    run = run_beside(tmp_path, head, options={"output": output})
    assert class_numbers(run.config.target, classes) == numbers
    assert "are not the model's" not in caplog.text
